//! The fold: whatever is said, the state depends on the set of events alone, not on the order in
//! which logs come in nor on whether it went on from a snapshot. The input is a script.

#![no_main]

use bzzz::kernel::event::Event;
use bzzz::kernel::fold::{Fold, MAX_REFUSALS, Place};
use bzzz_fuzz::script::World;
use libfuzzer_sys::fuzz_target;

fn fold<'a>(world: &World, events: impl Iterator<Item = &'a Event>) -> Fold {
    let mut fold = Fold::new(world.swarm);
    for event in events {
        let _ = fold.apply(event, world).expect("the script's events can all be read");
    }
    fold
}

fuzz_target!(|script: &[u8]| {
    let world = World::of(script);
    let as_said: Vec<&Event> = world.events.iter().map(|(event, ..)| event).collect();
    let mut in_order = as_said.clone();
    in_order.sort_by_key(|event| Place::of(event));
    // One log after the other, the last author's first: members come before their admission.
    let mut by_log = as_said.clone();
    by_log.sort_by_key(|event| (std::cmp::Reverse(event.author), event.header.seq));

    let expected = fold(&world, in_order.into_iter());
    for other in [&as_said, &by_log] {
        let found = fold(&world, other.iter().copied());
        assert_eq!(found.state(), expected.state(), "the order of arrival matters");
        assert_eq!(found.state().digest(), expected.state().digest());
        assert_eq!(found.frontier(), expected.frontier());
        assert_eq!(found.latest(), expected.latest());
    }

    let (before, after) = as_said.split_at(as_said.len() / 2);
    let snapshot = fold(&world, before.iter().copied()).to_snapshot();
    let mut resumed = Fold::from_snapshot(&snapshot, &world.swarm).expect("its own snapshot");
    for event in after {
        let _ = resumed.apply(event, &world).expect("the script's events can all be read");
    }
    assert_eq!(resumed.state(), expected.state(), "a snapshot matters");

    let state = expected.state();
    assert!(serde_json::to_string(state).is_ok());
    for task in state.tasks.values() {
        let _ = (task.status(), task.current(), task.published(), state.dependencies(task));
        assert!(task.refusals.first.len() <= MAX_REFUSALS);
    }
});
