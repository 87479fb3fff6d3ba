//! The auditor on bundles that are signed as they should be, whatever their events say, and on such
//! bundles with one changed byte. The input: two bytes of offset, one byte that changes the byte
//! there (0 for none), a script.

#![no_main]

use std::io::Cursor;

use bzzz::kernel::audit::{Rule, export, fold_at, story, verify};
use bzzz::kernel::fold::{Fold, Place, SwarmState};
use bzzz::kernel::log::{LogStore, Tip};
use bzzz::store::memory::MemoryStore;
use bzzz_fuzz::key;
use bzzz_fuzz::script::{AUTHORS, World, author, frontier};
use libfuzzer_sys::fuzz_target;

/// What honest signatures can go with.
const OF_CONTENT: &[Rule] = &[Rule::CauseOrder, Rule::Member, Rule::CheckpointDigest];

fn state(world: &World) -> SwarmState {
    let mut events: Vec<_> = world.events.iter().map(|(event, ..)| event).collect();
    events.sort_by_key(|event| Place::of(event));
    let mut fold = Fold::new(world.swarm);
    for event in events {
        let _ = fold.apply(event, world).expect("the script's events can all be read");
    }
    fold.state().clone()
}

fn digest(world: &World) -> bzzz::kernel::log::Hash {
    state(world).digest()
}

/// Whether the exporter is a member, past or present. A fork of the founder's log at its first
/// record takes the founding out, and nobody is one.
fn exports(world: &World) -> bool {
    state(world).members.members.contains_key(&author(0))
}

fn bundle(world: &World) -> Vec<u8> {
    let store = MemoryStore::new();
    for (key, author) in (1..=AUTHORS).map(key).zip((0..).map(author)) {
        let mut tip = Tip::empty(author);
        let mut records = Vec::new();
        let length = world.log(author).count();
        for (index, (event, record, ends)) in world.log(author).enumerate() {
            records.push(record.clone());
            if *ends || index + 1 == length {
                let clock = event.header.clock.0;
                let append = tip.append(&key, world.swarm, clock, std::mem::take(&mut records));
                store.commit(std::slice::from_ref(&append), &[]).expect("it follows");
                tip = append.tip().clone();
            }
        }
    }
    let mut bytes = Vec::new();
    export(&store, world.swarm, &key(1), &frontier(world), digest(world), &mut bytes)
        .expect("memory does not fail");
    bytes
}

fuzz_target!(|bytes: &[u8]| {
    let Some(([low, high, change], script)) = bytes.split_first_chunk::<3>() else {
        return;
    };
    let world = World::of(script);
    let mut bytes = bundle(&world);
    let at = usize::from(u16::from_le_bytes([*low, *high])) % bytes.len();
    bytes[at] ^= change;
    let audit = verify(Cursor::new(&bytes)).expect("memory does not fail");
    assert!(serde_json::to_string(&audit.report).is_ok());
    if *change != 0 {
        assert!(!audit.report.verifies(), "byte {at} ^ {change} is not noticed");
        return;
    }
    for failure in &audit.report.failures.listed {
        let of_exporter = failure.rule == Rule::ManifestExporter && !exports(&world);
        assert!(of_exporter || OF_CONTENT.contains(&failure.rule), "{failure:?}");
    }
    assert_eq!(audit.report.events(), world.events.len() as u64);
    assert_eq!(audit.archive.lengths(), frontier(&world));
    let fold = fold_at(&audit.archive, world.swarm, None).expect("it was just verified");
    assert_eq!(fold.state().digest(), digest(&world));
    for task in fold.state().tasks.keys() {
        for step in story(&audit.archive, fold.state(), *task, None) {
            assert_eq!(step.expect("it was just verified").event.header.task, Some(*task));
        }
    }
});
