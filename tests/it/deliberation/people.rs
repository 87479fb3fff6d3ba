//! People: questions, answers, approvals, and the ladder of a question that nobody answers.

use bzzz::kernel::agent::{AgentConfig, ApprovalRules};
use bzzz::kernel::event::EventId;
use bzzz::kernel::event::kinds::{
    Act, ApprovalGiven, EscalationAcknowledged, EscalationAnswered, MessageSaid, Purpose, Subject,
};
use bzzz::kernel::fold::{Approval, Part, TaskStatus};

use super::{MAKE, STUCK, World, config};

const VAGUE: &str = r#"{"question":"Which of both files?"}"#;

fn said(parent: Option<EventId>, act: Act, text: &str) -> MessageSaid {
    MessageSaid { epoch: 1, parent, act, text: text.to_owned(), deadline_ms: 0 }
}

fn question(world: &World) -> Option<EventId> {
    let epoch = world.read(|state| state.task("r", 1)?.current().cloned())?;
    epoch.discussion.questions().next().map(|(event, _)| *event)
}

fn approval(world: &World) -> Option<Approval> {
    world.read(|state| state.task("r", 1)?.current()?.approvals.last().cloned())
}

fn give(world: &mut World, person: usize, approved: bool, reason: &str) {
    world.until("a request", |world| approval(world).is_some_and(|asked| asked.verdict.is_none()));
    let asked = approval(world).unwrap();
    let (request, hash, reason) = (asked.event, asked.hash, reason.to_owned());
    world.say(person, ApprovalGiven { epoch: 1, request, hash, approved, reason });
}

#[test]
fn a_question_of_the_model_goes_to_people_in_the_swarm_and_the_answer_to_the_model() {
    let mut world = World::new(&[config()]);
    let person = world.person();
    world.script(0, 1, Purpose::Plan, &[VAGUE]);
    world.until("a question", |world| question(world).is_some());
    world.run(100);
    assert!(world.epoch().escalation.is_none(), "people in the swarm have ten minutes");
    world.say(person, said(question(&world), Act::Answer, "The second file."));
    world.until("the work", |world| world.is(TaskStatus::Published));
    let asked = world.prompts(0, Purpose::Plan);
    assert_eq!(asked.len(), 2);
    assert!(asked[1].contains("You had asked: Which of both files?"));
    assert!(asked[1].contains("The second file."));
    let steps = world.prompts(0, Purpose::Step);
    assert!(steps[0].contains("The second file."), "it is not forgotten later");
    assert!(world.nodes[0].calls.is_empty(), "nobody else was asked");
    world.check();
}

#[test]
fn without_people_in_the_swarm_the_question_leaves_it_at_once() {
    let mut world = World::new(&[config()]);
    world.script(0, 1, Purpose::Plan, &[VAGUE]);
    world.run(5);
    assert_eq!(world.task().status(), TaskStatus::Escalated);
    assert_eq!(world.nodes[0].calls[0].question, "Which of both files?");
    assert_eq!((world.nodes[0].calls[0].level, question(&world)), (0, None));
    world.check();
}

#[test]
fn a_question_that_nobody_answers_in_time_leaves_the_swarm() {
    let mut world = World::new(&[config()]);
    world.person();
    world.script(0, 1, Purpose::Plan, &[VAGUE]);
    world.run(590);
    assert!(world.epoch().escalation.is_none());
    world.run(20);
    let asked = world.epoch().escalation.expect("the time is over");
    assert!(asked.reason.contains("in time"), "{}", asked.reason);
    assert_eq!(asked.question, "Which of both files?");
    world.check();
}

#[test]
fn a_second_question_after_an_answer_leaves_the_swarm() {
    let mut world = World::new(&[config()]);
    let person = world.person();
    world.script(0, 1, Purpose::Plan, &[VAGUE, VAGUE]);
    world.until("a question", |world| question(world).is_some());
    world.say(person, said(question(&world), Act::Answer, "Hm."));
    world.until("a question", |world| world.is(TaskStatus::Escalated));
    world.check();
}

#[test]
fn a_question_about_the_plan_is_answered_before_it_is_adopted() {
    let mut world = World::new(&[config()]);
    let person = world.person();
    world.slow.insert((0, Purpose::Plan as u32));
    world.script(0, 1, Purpose::Answer, &[r#"{"text":"It keeps the API."}"#]);
    world.run(3);
    // The question is there before the plan, so that the window cannot close before it.
    let asked = world.say(person, said(None, Act::Question, "What of the API?"));
    world.answer_slowly();
    world.until("the work", |world| world.is(TaskStatus::Published));
    let prompts = world.prompts(0, Purpose::Answer);
    assert_eq!(prompts.len(), 1);
    assert!(prompts[0].contains("What of the API?"), "{}", prompts[0]);
    let talk = world.epoch().discussion;
    let (_, answer) = talk.answers(&asked).next().expect("an answer");
    assert_eq!((answer.author, answer.text.as_str()), (world.id(0), "It keeps the API."));
    let names = world.names(0);
    let at = |name: &str| names.iter().position(|found| *found == name).unwrap();
    assert!(at("MessageSaid") < at("PlanAdopted"));
    world.check();
}

#[test]
fn a_question_too_deep_to_be_answered_holds_up_nothing() {
    let mut world = World::new(&[config(), super::idle()]);
    world.slow.insert((0, Purpose::Plan as u32));
    world.run(3);
    let mut parent = None;
    for _ in 0..7 {
        parent = Some(world.say(1, said(parent, Act::Comment, "and")));
    }
    let deep = world.say(1, said(parent, Act::Question, "Why?"));
    let shallow = world.say(1, said(None, Act::Question, "Why not?"));
    world.answer_slowly();
    world.until("the work", |world| world.is(TaskStatus::Published));
    let talk = world.epoch().discussion;
    assert_eq!(talk.messages[&deep].depth, 8, "it was said");
    assert_eq!(talk.answers(&deep).count(), 0);
    assert_eq!(talk.answers(&shallow).count(), 1);
    world.check();
}

#[test]
fn agents_get_so_many_answers_and_people_come_first() {
    let mut world = World::new(&[config(), super::idle()]);
    let person = world.person();
    world.slow.insert((0, Purpose::Plan as u32));
    world.run(3);
    for _ in 0..20 {
        world.say(1, said(None, Act::Question, "Why?"));
    }
    let theirs = world.say(person, said(None, Act::Question, "And the tests?"));
    world.answer_slowly();
    world.until("the work", |world| world.is(TaskStatus::Published));
    let talk = world.epoch().discussion;
    assert_eq!(talk.answers(&theirs).count(), 1);
    assert!(world.prompts(0, Purpose::Answer)[0].contains("And the tests?"));
    let answers = talk.messages.values().filter(|said| said.part == Part::Answer);
    assert_eq!(answers.count(), 5, "four of the agent's, and that of the person");
    world.check();
}

#[test]
fn a_plan_waits_for_its_approval() {
    let rules = ApprovalRules { plans: true, wait_ms: 100_000, ..ApprovalRules::default() };
    let mut world = World::new(&[AgentConfig { approvals: rules, ..config() }]);
    let person = world.person();
    world.until("a request", |world| approval(world).is_some());
    world.run(50);
    assert!(world.epoch().plans[0].adopted.is_none());
    let asked = approval(&world).unwrap();
    assert_eq!(asked.hash, Subject::Plan.hash(&world.epoch().plans[0].event.0));
    give(&mut world, person, true, "fine");
    world.run(5);
    assert_eq!(world.task().status(), TaskStatus::Published);
    assert_eq!(world.count(0, "ApprovalRequested"), 1);
    world.check();
}

#[test]
fn a_plan_that_people_refuse_is_revised() {
    let rules = ApprovalRules { plans: true, wait_ms: 100_000, ..ApprovalRules::default() };
    let mut world = World::new(&[AgentConfig { approvals: rules, ..config() }]);
    let person = world.person();
    give(&mut world, person, false, "not the core");
    world.until("a revision", |world| world.plans() == 2);
    assert!(world.prompts(0, Purpose::Plan)[1].contains("not the core"));
    give(&mut world, person, true, "so be it");
    world.until("the work", |world| world.is(TaskStatus::Published));
    world.check();
}

#[test]
fn what_nobody_approves_in_time_becomes_a_question() {
    let rules = ApprovalRules { first_task: true, wait_ms: 100_000, ..ApprovalRules::default() };
    let mut world = World::new(&[AgentConfig { approvals: rules, ..config() }]);
    world.person();
    world.run(170);
    assert_eq!(world.task().status(), TaskStatus::Escalated);
    let asked = world.epoch().escalation.unwrap();
    assert!(asked.reason.contains("nobody approved in time"), "{}", asked.reason);
    world.check();
}

#[test]
fn a_command_waits_and_a_refusal_is_told_to_the_model() {
    let commands = vec!["rm *".to_owned()];
    let rules = ApprovalRules { commands, wait_ms: 100_000, ..ApprovalRules::default() };
    let mut world = World::new(&[AgentConfig { approvals: rules, ..config() }]);
    let person = world.person();
    let remove = r#"{"reasoning":"a","action":"command","command":"rm -r x"}"#;
    let remove_less = r#"{"reasoning":"b","action":"command","command":"rm x/a"}"#;
    world.script(0, 1, Purpose::Step, &[MAKE, remove, remove_less]);
    give(&mut world, person, false, "x is needed");
    world.until("another request", |world| {
        approval(world).is_some_and(|asked| asked.text == "rm x/a")
    });
    assert_eq!(world.nodes[0].commands, ["make"]);
    let prompts = world.prompts(0, Purpose::Step);
    assert!(prompts.last().unwrap().contains("x is needed"));
    give(&mut world, person, true, "fine");
    world.until("the work", |world| world.is(TaskStatus::Published));
    assert_eq!(world.nodes[0].commands, ["make", "rm x/a"]);
    world.check();
}

#[test]
fn a_change_waits_and_a_refusal_becomes_a_question() {
    for approved in [true, false] {
        let files = vec!["*.toml".to_owned()];
        let rules = ApprovalRules { files, wait_ms: 100_000, ..ApprovalRules::default() };
        let mut world = World::new(&[AgentConfig { approvals: rules, ..config() }]);
        let person = world.person();
        world.files = vec!["Cargo.toml".to_owned()];
        world.until("a request", |world| approval(world).is_some());
        world.run(20);
        assert!(world.nodes[0].branches.is_empty());
        assert_eq!(approval(&world).unwrap().subject, Subject::Change);
        give(&mut world, person, approved, "the versions");
        world.run(10);
        match approved {
            true => assert_eq!(world.task().status(), TaskStatus::Published),
            false => {
                assert_eq!(world.task().status(), TaskStatus::Escalated);
                assert_eq!(world.epoch().escalation.unwrap().question, "the versions");
                assert!(world.nodes[0].branches.is_empty());
            }
        }
        world.check();
    }
}

#[test]
fn the_first_level_of_a_question_is_for_people_in_the_swarm() {
    let mut world = World::new(&[config()]);
    let person = world.person();
    world.script(0, 1, Purpose::Step, &[STUCK]);
    world.until("a question", |world| world.is(TaskStatus::Escalated));
    world.run(30);
    assert!(world.nodes[0].calls.is_empty(), "nobody outside is asked yet");
    assert!(!world.told(0, "hive").contains(&"escalated"));
    world.run(40);
    let levels: Vec<_> = world.nodes[0].calls.iter().map(|call| call.level).collect();
    assert_eq!(levels, [1], "nobody acknowledged it for a minute");
    assert!(world.told(0, "hive").contains(&"escalated"));
    world.run(600);
    let levels: Vec<_> = world.nodes[0].calls.iter().map(|call| call.level).collect();
    assert_eq!(levels, [1, 2]);
    let escalation = world.epoch().escalation.unwrap().event;
    world.nodes[0].script.clear();
    let (answer, by, channel) = ("The first.".to_owned(), "eve".to_owned(), "command".to_owned());
    world.say(person, EscalationAnswered { epoch: 1, escalation, answer, by, channel });
    world.until("the work", |world| world.is(TaskStatus::Published));
    world.check();
}

#[test]
fn a_question_that_people_in_the_swarm_take_care_of_stays_there() {
    let mut world = World::new(&[config()]);
    let person = world.person();
    world.script(0, 1, Purpose::Step, &[STUCK]);
    world.until("a question", |world| world.is(TaskStatus::Escalated));
    let escalation = world.epoch().escalation.unwrap().event;
    let (by, channel) = ("eve".to_owned(), "command".to_owned());
    world.say(person, EscalationAcknowledged { epoch: 1, escalation, by, channel });
    world.run(500);
    assert!(world.nodes[0].calls.is_empty());
    assert!(!world.told(0, "hive").contains(&"escalated"));
    world.check();
}

#[test]
fn a_question_that_is_never_raised_leaves_the_swarm_at_once() {
    let mut world = World::new(&[AgentConfig { acknowledge_ms: 0, ..config() }]);
    world.person();
    world.script(0, 1, Purpose::Step, &[STUCK]);
    world.run(5);
    assert_eq!(world.nodes[0].calls.iter().map(|call| call.level).collect::<Vec<_>>(), [0]);
    world.check();
}
