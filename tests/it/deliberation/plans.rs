//! Plans: reviews, objections, revisions, and who is waited for.

use bzzz::kernel::agent::{AgentConfig, TalkConfig};
use bzzz::kernel::event::kinds::{PlanReviewed, Purpose, Verdict, Withdrawn};
use bzzz::kernel::fold::{Limits, TaskStatus};

use super::{OBJECT, World, config, idle};

const SUPPORT: &str = r#"{"verdict":"support","reason":"fine"}"#;

#[test]
fn a_blocking_objection_revises_the_plan() {
    let mut world = World::new(&[config(), idle()]);
    world.script(1, 1, Purpose::Review, &[OBJECT]);
    world.until("the work", |world| world.is(TaskStatus::Published));
    let plans = world.epoch().plans;
    assert_eq!(plans.len(), 2);
    assert_eq!((plans[0].adopted, plans[0].reviews[0].verdict.clone()), (None, Verdict::Object));
    assert!(plans[1].adopted.is_some());
    let asked = world.prompts(0, Purpose::Plan);
    assert!(asked[1].contains("It breaks the API."), "the model is told why: {}", asked[1]);
    assert!(world.now_ms < 60_000, "nobody waited for the end of the window");
    world.check();
}

#[test]
fn an_objection_that_is_withdrawn_stands_no_more() {
    let mut world = World::new(&[config(), idle()]);
    world.script(1, 1, Purpose::Review, &[OBJECT]);
    world.until("the claim", |world| {
        world.read(|s| s.tasks.values().any(|t| t.current().is_some()))
    });
    world.slow.insert((0, Purpose::Plan as u32));
    world.until("an objection", |world| {
        world.epoch().plan().is_some_and(|plan| plan.objections().next().is_some())
    });
    world.run(3);
    assert_eq!(world.epoch().plans.len(), 1, "the revision is not there yet");
    let message = world.epoch().plans[0].reviews[0].event;
    let reason = "I had read it wrongly".to_owned();
    world.say(1, Withdrawn { epoch: 1, message, reason });
    world.run(3);
    assert!(world.epoch().plans[0].adopted.is_some(), "it is adopted as it was");
    world.answer_slowly();
    world.until("the work", |world| world.is(TaskStatus::Published));
    assert_eq!(world.epoch().plans.len(), 1);
    world.check();
}

#[test]
fn so_many_revisions_and_then_people() {
    let mut world = World::new(&[config(), idle(), idle()]);
    world.script(1, 1, Purpose::Review, &[OBJECT, OBJECT]);
    world.script(2, 1, Purpose::Review, &[SUPPORT, SUPPORT, OBJECT]);
    world.until("a question", |world| world.is(TaskStatus::Escalated));
    let epoch = world.epoch();
    assert_eq!(epoch.plans.len(), 3, "the first one and two revisions");
    let asked = epoch.escalation.unwrap();
    assert!(asked.reason.contains("blocking objections"), "{}", asked.reason);
    assert_eq!(asked.question, "It breaks the API.");
    world.check();
}

#[test]
fn who_objected_twice_can_only_advise() {
    let mut world = World::new(&[config(), idle()]);
    world.script(1, 1, Purpose::Review, &[OBJECT; 10]);
    world.until("the work", |world| world.is(TaskStatus::Published));
    let plans = world.epoch().plans;
    let verdicts: Vec<_> = plans.iter().map(|plan| plan.reviews[0].verdict.clone()).collect();
    assert_eq!(verdicts, [Verdict::Object, Verdict::Object, Verdict::Advise]);
    assert_eq!(world.prompts(1, Purpose::Review).len(), 3, "its model is asked once for each");
    world.check();
}

#[test]
fn a_person_may_object_to_every_revision() {
    // A node that is chosen and says nothing: the window stays open for people.
    let mut world = World::new(&[config(), idle()]);
    world.slow.insert((1, Purpose::Review as u32));
    let person = world.person();
    for revision in 0..3 {
        world.until("a plan", |world| world.plans() == revision + 1);
        let plan = world.epoch().plans[revision].event;
        let (verdict, reason) = (Verdict::Object, "not like this".to_owned());
        world.say(person, PlanReviewed { epoch: 1, plan, verdict, reason });
    }
    world.until("a question", |world| world.is(TaskStatus::Escalated));
    assert_eq!(world.epoch().escalation.unwrap().question, "not like this");
    world.check();
}

#[test]
fn only_the_chosen_review_and_only_they_are_waited_for() {
    let talk = TalkConfig { reviewers: 2, ..TalkConfig::default() };
    let first = AgentConfig { talk: talk.clone(), ..config() };
    let other = AgentConfig { talk, ..idle() };
    let mut world = World::new(&[first, other.clone(), other.clone(), other.clone(), other]);
    world.until("the work", |world| world.is(TaskStatus::Published));
    assert!(world.now_ms < 20_000, "it waited for nobody else");
    let reviews = world.epoch().plans[0].reviews.len();
    assert_eq!(reviews, 2);
    let asked: usize = (1..5).map(|n| world.prompts(n, Purpose::Review).len()).sum();
    assert_eq!(asked, 2, "the models of the others are left alone");
    world.check();
}

#[test]
fn a_chosen_node_that_is_silent_is_waited_for_to_the_end_of_the_window() {
    let mut world = World::new(&[config(), idle()]);
    world.slow.insert((1, Purpose::Review as u32));
    world.until("the claim", |world| {
        world.read(|s| s.tasks.values().any(|t| t.current().is_some()))
    });
    world.run(50);
    assert!(world.epoch().plans[0].adopted.is_none());
    world.run(15);
    assert!(world.epoch().plans[0].adopted.is_some());
    world.check();
}

#[test]
fn without_others_nobody_is_waited_for() {
    let mut world = World::new(&[AgentConfig { plan_window_ms: 600_000, ..config() }]);
    world.run(5);
    assert_eq!(world.task().status(), TaskStatus::Published);
    world.check();
}

#[test]
fn tighter_limits_are_said_once_and_hold() {
    let limits = Limits { participants: 1, messages: 1, ..Limits::WIDEST };
    let talk = TalkConfig { limits, ..TalkConfig::default() };
    let mut world = World::new(&[AgentConfig { talk, ..config() }, idle(), idle()]);
    world.until("the work", |world| world.is(TaskStatus::Published));
    assert_eq!(world.count(0, "DiscussionBounded"), 1);
    assert_eq!(world.epoch().discussion.limits, limits);
    assert_eq!(world.epoch().discussion.said, 1, "one review, and nothing of the other node");
    world.check();
    // Limits that are not tighter are not worth an event.
    let mut world = World::new(&[config(), idle()]);
    world.until("the work", |world| world.is(TaskStatus::Published));
    assert_eq!(world.count(0, "DiscussionBounded"), 0);
}
