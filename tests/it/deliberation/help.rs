//! Help: advice, hand-off, and what becomes of it over crashes.

use bzzz::kernel::agent::{AgentConfig, TalkConfig};
use bzzz::kernel::event::ClaimStatus;
use bzzz::kernel::event::kinds::{Payload, Purpose};
use bzzz::kernel::fold::TaskStatus;

use super::{ADVICE, DONE, MAKE, STUCK, TAKE_OVER, World, config, idle};

const NO_HELP: &str = r#"{"help":"none","text":"no"}"#;
const OTHER: &str = r#"{"reasoning":"next","action":"command","command":"test"}"#;

/// It takes any task, but the first node is quicker.
fn helper() -> AgentConfig {
    AgentConfig { review: false, ..config() }
}

#[test]
fn advice_goes_to_the_model_and_the_circle_counter_starts_anew() {
    let mut world = World::new(&[config(), idle()]);
    world.script(0, 1, Purpose::Step, &[&[MAKE; 6][..], &[MAKE; 5][..], &[DONE]].concat());
    world.script(1, 1, Purpose::Help, &[ADVICE]);
    world.until("the work", |world| world.is(TaskStatus::Published));
    assert_eq!(world.nodes[0].commands.len(), 11, "five more of the same after the advice");
    let (epoch, names) = (world.epoch(), world.names(0));
    assert_eq!(epoch.help.len(), 1);
    assert_eq!(epoch.help[0].tried, ["make"; 6]);
    assert!(epoch.help[0].missing.contains("circles"), "{}", epoch.help[0].missing);
    assert_eq!(names.iter().filter(|name| **name == "HelpAccepted").count(), 1);
    let asked = world.prompts(1, Purpose::Help);
    assert!(asked[0].contains("circles") && asked[0].contains("make"), "{}", asked[0]);
    let steps = world.prompts(0, Purpose::Step);
    let advised = steps.iter().filter(|prompt| prompt.contains("Take the second.")).count();
    assert_eq!(advised, 6, "each prompt after the advice has it");
    world.check();
}

#[test]
fn without_others_people_are_asked_at_once() {
    let mut world = World::new(&[config()]);
    world.script(0, 1, Purpose::Step, &[STUCK]);
    world.run(5);
    assert_eq!(world.task().status(), TaskStatus::Escalated);
    assert_eq!(world.count(0, "HelpRequested"), 0);
    world.check();
}

#[test]
fn when_nobody_helps_people_are_asked() {
    let mut world = World::new(&[config(), idle(), idle()]);
    world.script(0, 1, Purpose::Step, &[STUCK]);
    world.until("a question", |world| world.is(TaskStatus::Escalated));
    assert!(world.now_ms < 20_000, "both said that they cannot");
    let asked = world.epoch().escalation.unwrap();
    assert!(asked.reason.contains("no other node could help"), "{}", asked.reason);
    assert!(asked.question.contains("Which of both?"), "{}", asked.question);
    assert_eq!(world.epoch().help[0].offers.len(), 2);
    world.check();
}

#[test]
fn helpers_that_are_silent_are_waited_for_so_long() {
    let mut world = World::new(&[config(), idle()]);
    world.slow.insert((1, Purpose::Help as u32));
    world.script(0, 1, Purpose::Step, &[STUCK]);
    world.until("a request", |world| world.asked_for_help(1));
    world.run(25);
    assert!(world.epoch().escalation.is_none());
    world.run(10);
    assert_eq!(world.task().status(), TaskStatus::Escalated);
    world.check();
}

#[test]
fn help_is_asked_for_so_often() {
    let talk = TalkConfig { max_help: 2, ..TalkConfig::default() };
    let mut world = World::new(&[AgentConfig { talk, ..config() }, idle()]);
    world.script(0, 1, Purpose::Step, &[STUCK; 10]);
    world.script(1, 1, Purpose::Help, &[ADVICE; 10]);
    world.until("a question", |world| world.is(TaskStatus::Escalated));
    assert_eq!(world.epoch().help.len(), 2);
    assert!(world.epoch().help.iter().all(|help| help.accepted.is_some()));
    world.check();
}

/// A stuck node, a helper that takes the task over, and another one that may not.
fn hand_off() -> World {
    let mut world = World::new(&[config(), helper(), helper()]);
    world.script(0, 1, Purpose::Step, &[MAKE, STUCK]);
    world.script(1, 1, Purpose::Help, &[TAKE_OVER]);
    world.script(1, 1, Purpose::Step, &[OTHER, DONE]);
    world.script(2, 1, Purpose::Step, &[OTHER, DONE]);
    world
}

#[test]
fn a_task_is_handed_over_with_the_work_so_far() {
    let mut world = hand_off();
    world.until("the work", |world| world.is(TaskStatus::Published));
    let task = world.task();
    let (first, second) = (&task.epochs[&1], &task.epochs[&2]);
    assert_eq!(first.finished.as_deref(), Some("handed_over"));
    let handed = first.handed.as_ref().expect("it was handed over");
    assert_eq!(handed.to, world.id(1));
    let base = handed.base.clone().expect("with the work so far");
    assert_eq!(base.0, "bzzz/wip-1-1");
    assert_eq!(world.nodes[0].branches, std::slice::from_ref(&base));
    assert_eq!(second.winner.as_ref().unwrap().author, world.id(1));
    assert_eq!(world.nodes[1].bases, [Some(base)], "the helper goes on from there");
    let names = world.names(0);
    let at = |name: &str| names.iter().position(|found| *found == name).unwrap();
    assert!(at("PublishIntended") < at("HandedOver"), "the intent is in the log before the push");
    let plan = world.prompts(1, Purpose::Plan);
    assert!(plan[0].contains("Another agent handed this over."), "{}", plan[0]);
    assert!(plan[0].contains("Which of both?") && plan[0].contains("make"));
    let by: Vec<_> = world.claims.iter().map(|(author, _)| *author).collect();
    assert!(!by.contains(&world.id(2)), "the third one stayed away");
    world.check();
}

#[test]
fn others_take_what_the_helper_leaves_for_a_lease() {
    let mut world = hand_off();
    world.until("the offers", |world| {
        world.read(|state| {
            let first = state.task("r", 1).and_then(|task| task.epochs.get(&1));
            first.and_then(|epoch| epoch.help.first()).is_some_and(|help| help.offers.len() == 2)
        })
    });
    // The helper is gone before it hears that its offer was accepted.
    world.nodes[1].agent = None;
    world.run(25);
    let handed = world.task().epochs[&1].handed.clone().expect("it was handed over");
    assert_eq!(handed.to, world.id(1));
    assert_eq!(world.task().epochs.len(), 1, "it is the helper's for a lease");
    world.until("the work", |world| world.is(TaskStatus::Published));
    assert_ne!(world.task().epochs[&2].winner.as_ref().unwrap().author, world.id(1));
    let bases = world.nodes[0].bases[1..].iter().chain(&world.nodes[2].bases);
    assert_eq!(bases.collect::<Vec<_>>(), [&handed.base], "from the work so far");
    world.check();
}

/// Wherever the first node crashes in the hand-off, one helper publishes once, and what was pushed
/// is where it goes on from.
#[test]
fn a_crash_at_any_point_of_a_hand_off_loses_nothing_and_doubles_nothing() {
    let mut whole = hand_off();
    whole.until("the work", |world| world.is(TaskStatus::Published));
    let names = whole.names(0);
    let from = names.iter().position(|name| *name == "HelpRequested").unwrap();
    let to = names.iter().position(|name| *name == "TaskFinished").unwrap();
    let (mut with_work, mut runs) = (0, 0);
    for (at, name) in names.iter().enumerate().take(to + 1).skip(from) {
        for written in [false, true] {
            let place = format!("{name} {written}");
            let mut world = hand_off();
            world.nodes[0].crash = Some((at as u64, written));
            world.until(&place, |world| world.task_ended());
            assert!(world.nodes[0].crash.is_none(), "{place}: it crashed");
            world.run(5);
            let task = world.task();
            assert_eq!(task.status(), TaskStatus::Published, "{place}");
            assert_eq!(task.refusals.count, 0, "{place}: {:?}", task.refusals);
            assert!(task.epochs.values().all(|epoch| epoch.contested.is_empty()), "{place}");
            let handed = task.epochs.values().filter(|epoch| epoch.handed.is_some()).count();
            assert_eq!(handed, 1, "{place}");
            let first = &task.epochs[&1];
            let base = first.handed.as_ref().unwrap().base.clone();
            let pushed = world.nodes[0].branches.last().cloned();
            assert_eq!(pushed, base, "{place}: what was pushed is what is handed over");
            assert_eq!(world.nodes[1].bases, std::slice::from_ref(&base), "{place}: gone on from");
            assert_eq!(world.nodes[1].branches.len(), 1, "{place}: it published once");
            with_work += usize::from(base.is_some());
            runs += 1;
            world.check();
        }
    }
    println!("{runs} crashes in a hand-off, {with_work} of them with the work so far");
    assert!(with_work * 2 > runs, "{with_work} of {runs}");
}

#[test]
fn what_was_handed_over_is_handed_on_if_there_is_nothing_newer() {
    let mut world = hand_off();
    world.script(1, 1, Purpose::Step, &[OTHER, STUCK]);
    world.script(2, 1, Purpose::Help, &[NO_HELP]);
    world.slow.insert((2, Purpose::Help as u32));
    world.until("the first hand-off", |world| world.asked_for_help(1));
    world.answer_slowly();
    world.slow.insert((2, Purpose::Help as u32));
    world.script(2, 1, Purpose::Help, &[TAKE_OVER]);
    world.until("the second request", |world| world.asked_for_help(2));
    // Its sandbox is gone with it, and what it did in there.
    world.crash(1);
    world.answer_slowly();
    world.until("the work", |world| world.is(TaskStatus::Published));
    let task = world.task();
    let base = |epoch: u64| task.epochs[&epoch].handed.as_ref().unwrap().base.clone();
    assert_eq!(base(1).unwrap().0, "bzzz/wip-1-1");
    assert_eq!(base(2), base(1));
    assert_eq!(world.nodes[2].bases, [base(1)]);
    world.check();
}

#[test]
fn nodes_that_are_all_stuck_do_not_pass_a_task_round() {
    let mut world = World::new(&[config(), helper(), helper()]);
    for n in 0..3 {
        world.script(n, 1, Purpose::Step, &[STUCK; 10]);
        world.script(n, 1, Purpose::Help, &[TAKE_OVER; 10]);
    }
    world.until("a question", |world| world.is(TaskStatus::Escalated));
    let task = world.task();
    assert_eq!(task.epochs.len(), 3, "the first, and two who took it over");
    let owners: std::collections::BTreeSet<_> =
        task.epochs.values().map(|epoch| epoch.winner.as_ref().unwrap().author).collect();
    assert_eq!(owners.len(), 3, "nobody got it back");
    world.run(200);
    assert_eq!(world.task().epochs.len(), 3);
    world.check();
}

#[test]
fn a_helper_without_room_does_not_offer_to_take_over() {
    let mut world = World::new(&[config(), AgentConfig { works: false, ..idle() }]);
    world.script(0, 1, Purpose::Step, &[STUCK]);
    world.script(1, 1, Purpose::Help, &[TAKE_OVER]);
    world.until("a question", |world| world.is(TaskStatus::Escalated));
    assert_eq!(world.refs.values().next().unwrap().1.status, ClaimStatus::Escalated);
    let offered = world.log(1).into_iter().find_map(|(_, payload)| match payload {
        Payload::HelpOffered(offered) => Some(offered.help),
        _ => None,
    });
    assert_eq!(offered, Some(bzzz::kernel::event::kinds::HelpForm::None));
    world.check();
}
