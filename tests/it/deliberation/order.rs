//! The order of tasks: plans that touch the same, and dependencies that issues state.

use bzzz::kernel::agent::AgentConfig;
use bzzz::kernel::event::TaskId;
use bzzz::kernel::event::kinds::{CoordinationOpened, CoordinationResolved, Purpose, Side, Source};
use bzzz::kernel::fold::{Order, TaskStatus, Wait};

use super::{MAKE, World, config, repository};

const PLAN: &str = r#"{"summary":"do it","steps":["look"],"files":["src/a.rs"]}"#;

/// A node that takes issues of one number alone.
fn only(label: &str) -> AgentConfig {
    AgentConfig { labels: vec![label.to_owned()], plan_window_ms: 0, ..config() }
}

/// Two nodes with a task each, and plans that touch one file. The first is slow at its work.
fn overlapping() -> World {
    let mut world = World::new(&[only("one"), only("two")]);
    world.issue("r", 2, "It is wrong as well.");
    let label = |world: &mut World, issue: u64, label: &str| {
        let issue = world.issues.get_mut(&("r".to_owned(), issue)).unwrap();
        issue.labels = vec![label.to_owned()];
    };
    label(&mut world, 1, "one");
    label(&mut world, 2, "two");
    for n in 0..2 {
        world.script(n, n as u64 + 1, Purpose::Plan, &[PLAN]);
    }
    world.slow.insert((0, Purpose::Step as u32));
    world
}

#[test]
fn the_later_of_two_plans_that_touch_the_same_waits_and_starts_from_the_first() {
    let mut world = overlapping();
    world.run(60);
    let (session, order) = world.read(|state| {
        let session = state.sessions.values().next().cloned().expect("a session");
        let order = state.order(&session);
        (session, order)
    });
    assert_eq!(order, Order::Stands, "{session:?}");
    assert_eq!(session.opening.as_ref().unwrap().by, world.id(1), "the later one proposes it");
    assert!(session.joined[&world.id(0)].agrees);
    let (one, two) = (world.task(), world.task_of("r", 2));
    let found = two.detected.get(&one.id).expect("it was found");
    assert_eq!((found.source, found.confidence), (Source::Overlap, 90));
    assert_eq!(found.evidence, ["file src/a.rs"]);
    assert_eq!(two.epochs[&1].finished.as_deref(), Some("released"), "it gave its task back");
    assert_eq!(two.epochs.len(), 1, "and does not take it again");
    assert!(world.nodes[1].bases.is_empty(), "it did not begin");
    let waits = world.read(|state| state.waits(&two));
    assert!(matches!(&waits[..], [Wait::Order { issue: 1, .. }]), "{waits:?}");
    world.answer_slowly();
    world.until("the second task", |world| world.is_so("r", 2, TaskStatus::Published));
    let first = world.task().published().cloned().unwrap();
    let base = Some((first.branch, first.commit));
    assert_eq!(world.nodes[1].bases, [base], "it starts from the first one's branch");
    world.check();
}

#[test]
fn the_owner_of_the_other_task_need_not_be_there() {
    let mut world = overlapping();
    world.until("the first plan", |world| {
        world.read(|state| {
            let task = state.task("r", 1).and_then(|task| task.current());
            task.is_some_and(|epoch| epoch.plan().is_some_and(|plan| plan.adopted.is_some()))
        })
    });
    world.nodes[0].agent = None;
    world.run(20);
    let open = world.read(|state| state.sessions.values().next().map(|s| s.is_open()));
    assert_eq!(open, Some(true), "it is waited for");
    world.run(30);
    let resolved = world.read(|s| s.sessions.values().next().is_some_and(|s| s.resolved.is_some()));
    assert!(resolved, "for so long");
    assert!(!world.is_so("r", 2, TaskStatus::Published), "it waits");
    // Its owner never says that it is gone; people close the issue.
    world.issues.get_mut(&("r".to_owned(), 1)).unwrap().open = false;
    world.until("the second task", |world| world.is_so("r", 2, TaskStatus::Published));
    world.check();
}

#[test]
fn nobody_can_make_somebody_elses_task_wait() {
    let mut world = overlapping();
    // The second one works on something else.
    world.nodes[1].script.clear();
    world.slow = [(0, Purpose::Step as u32), (1, Purpose::Step as u32)].into();
    world.run(10);
    let sides = [1, 2].map(|issue| Side { repository: "r".to_owned(), issue, epoch: 1 });
    let mut sides = sides.to_vec();
    sides.sort_by_key(Side::task);
    let session = CoordinationOpened::session(&sides);
    let first = u32::from(sides[1].issue == 1);
    let (reason, evidence, deadline_ms) = ("I first".to_owned(), Vec::new(), 0);
    let opened = CoordinationOpened { sides, first, reason, evidence, deadline_ms };
    let opening = world.say_about(0, session, opened);
    let considered = Vec::new();
    world.say_about(0, session, CoordinationResolved { opening, first, considered });
    world.read(|state| {
        let session = &state.sessions[&session];
        assert!(session.resolved.is_some(), "the fold takes it for what it is");
        assert_eq!(state.order(session), Order::Void);
        assert!(state.waits(state.task("r", 2).unwrap()).is_empty());
    });
    world.run(10);
    assert_eq!(world.task_of("r", 2).epochs[&1].finished, None, "it goes on");
    world.check();
}

#[test]
fn a_dependency_that_an_issue_states_across_repositories_holds_its_task_back() {
    let both = [repository("r"), repository("s")];
    let config = AgentConfig { repositories: both.into(), plan_window_ms: 0, ..config() };
    let mut world = World::new(&[config]);
    world.issues.clear();
    world.issue("r", 12, "The first.");
    world.issue("s", 3, "It depends on owner/r#12.");
    world.script(0, 12, Purpose::Step, &[MAKE]);
    world.slow.insert((0, Purpose::Step as u32));
    world.run(20);
    let task = world.task_of("s", 3);
    assert_eq!(task.detected[&TaskId::of("r", 12)].source, Source::Stated);
    assert!(task.epochs.is_empty(), "it waits");
    assert_eq!(world.task_of("r", 12).status(), TaskStatus::Claimed);
    world.answer_slowly();
    world.until("the second", |world| world.is_so("s", 3, TaskStatus::Published));
    let names = world.names(0);
    let published: Vec<_> = world.nodes[0].branches.iter().map(|(branch, _)| branch).collect();
    assert_eq!(published, ["bzzz/issue-12", "bzzz/issue-3"]);
    assert_eq!(names.iter().filter(|name| **name == "DependencyDetected").count(), 1);
    world.check();
}
