//! What an agent decides, step by step: a real engine and a real agent, and around them a small
//! world that answers each effect at once and in which the test moves people, models and time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bzzz::engine::{Engine, found};
use bzzz::kernel::agent::{
    Agent, AgentConfig, ApprovalRules, Budget, DayBudget, Effect, EscalationCall, Input, IssueRead,
    Now, Outcome, PullRead, Push, RefRead, Report, Settings, TalkConfig,
};
use bzzz::kernel::event::kinds::{
    CheckState, CommandStatus, EscalationAcknowledged, EscalationAnswered, Payload, PullState,
    Purpose, ReviewState, Stream,
};
use bzzz::kernel::event::{Claim, ClaimStatus, CommitId, Draft, Event, TaskId};
use bzzz::kernel::fold::{Epoch, Task, TaskStatus};
use bzzz::kernel::identity::SecretKey;
use bzzz::kernel::log::Hash;
use bzzz::store::memory::MemoryStore;

const NOW: u64 = 1_800_000_000_000;
const REPOSITORY: &str = "r";
const COMMAND: &str = r#"{"reasoning":"next","action":"command","command":"make"}"#;
const DONE: &str = r#"{"reasoning":"tested","action":"done","summary":"done"}"#;
const HELP: &str = r#"{"reasoning":"vague","action":"help","question":"Which of both?"}"#;

pub(crate) fn config() -> AgentConfig {
    let repository = ("git://r".to_owned(), "main".to_owned());
    AgentConfig {
        works: true,
        review: false,
        labels: Vec::new(),
        capabilities: Vec::new(),
        max_tasks: 1,
        lease_ms: 30_000,
        plan_window_ms: 0,
        max_plan_revisions: 2,
        poll_ms: 5_000,
        command_seconds: 60,
        context_bytes: 16 * 1024,
        max_tokens: 100,
        budget: Budget {
            commands: 20,
            answers: 40,
            tokens: 1_000_000,
            wall_ms: 3_600_000,
            retries: 4,
        },
        day: DayBudget { commands: 1000, answers: 1000, tokens: 1_000_000 },
        max_rounds: 1,
        watch_ms: 1_000,
        hive: true,
        people: true,
        acknowledge_ms: 60_000,
        max_raises: 2,
        talk: TalkConfig::default(),
        approvals: ApprovalRules::default(),
        repositories: [(REPOSITORY.to_owned(), repository)].into(),
    }
}

/// The world around one agent.
struct World {
    engine: Engine,
    agent: Agent,
    now_ms: u64,
    open: bool,
    refs: BTreeMap<u64, (CommitId, Claim)>,
    commits: u64,
    /// What the model says next; then it is done.
    steps: VecDeque<&'static str>,
    settings: Option<Settings>,
    /// The limit in the next sandbox.
    command_seconds: u32,
    pull: PullRead,
    /// What was asked for, in order.
    commands: Vec<String>,
    prompts: Vec<String>,
    bases: Vec<Option<(String, CommitId)>>,
    reports: Vec<Report>,
    calls: Vec<EscalationCall>,
}

fn pull(state: PullState, checks: CheckState, feedback: &str) -> PullRead {
    let (reviews, feedback) = (ReviewState::None, feedback.to_owned());
    PullRead { state, head: None, checks, reviews, feedback }
}

impl World {
    fn new(config: AgentConfig, steps: &[&'static str]) -> Self {
        let key = SecretKey::from_seed(&[1; 32]);
        let store = Arc::new(MemoryStore::new());
        let founding = found(&key, "test", [7; 16], NOW).unwrap();
        let swarm = founding.swarm;
        founding.commit(&*store, &key).unwrap();
        let engine = Engine::open(store, key.clone(), swarm, NOW).unwrap();
        let agent = Agent::new(key.author(), swarm, 7, config);
        engine.append(agent.started("anna", "1"), NOW + 1).unwrap();
        Self {
            engine,
            agent,
            now_ms: 1000,
            open: true,
            refs: BTreeMap::new(),
            commits: 0,
            steps: steps.iter().copied().collect(),
            settings: None,
            command_seconds: 60,
            pull: pull(PullState::Open, CheckState::None, ""),
            commands: Vec::new(),
            prompts: Vec::new(),
            bases: Vec::new(),
            reports: Vec::new(),
            calls: Vec::new(),
        }
    }

    fn task(&self) -> Task {
        self.engine.read(|state| state.task(REPOSITORY, 1).cloned()).expect("it was read")
    }

    fn epoch(&self) -> Epoch {
        self.task().current().cloned().expect("it was claimed")
    }

    fn say(&self, draft: Draft) {
        self.engine.append(vec![draft], NOW + self.now_ms).unwrap();
    }

    /// People answer the question that is open.
    fn answer(&self, text: &str) {
        let (epoch, asked) = (self.epoch().number, self.epoch().escalation.expect("a question"));
        let (answer, by, channel) = (text.to_owned(), "eve".to_owned(), "api".to_owned());
        let said = EscalationAnswered { epoch, escalation: asked.event, answer, by, channel };
        self.say(Draft::about(TaskId::of(REPOSITORY, 1), said));
    }

    /// Runs so many seconds.
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now_ms += 1000;
            self.turn(Input::Tick);
        }
    }

    /// One input, and all that follows from it at once.
    fn turn(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = Now { wall_ms: NOW + self.now_ms, mono_ms: self.now_ms };
            let agent = &mut self.agent;
            let effects = self.engine.read(|state| agent.step(state, input, now, 0));
            for effect in effects {
                if let Effect::Append(drafts) = effect {
                    self.engine.append(drafts, now.wall_ms).unwrap();
                    inputs.push_back(Input::Tick);
                } else {
                    inputs.extend(self.carry_out(effect));
                }
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Vec<Input> {
        let (key, outcome) = match effect {
            Effect::Append(_) => unreachable!("appended by the caller"),
            Effect::Poll { repository } => return self.poll(repository),
            Effect::PushClaim { key, claim, expected } => {
                (key, Outcome::Pushed(self.push(&claim, expected.as_ref()), claim))
            }
            Effect::Publish { key, claim, expected, .. } => {
                (key, Outcome::Pushed(self.push(&claim, Some(&expected)), claim))
            }
            Effect::AskModel { key, ask, request } => {
                self.prompts.push(request.messages.iter().map(|m| m.content.clone()).collect());
                let text = match request.purpose {
                    Purpose::Plan => r#"{"summary":"do it","steps":["look"]}"#,
                    _ => self.steps.pop_front().unwrap_or(DONE),
                };
                let (model, text) = ("m".to_owned(), text.to_owned());
                let (tokens_in, tokens_out) = (Some(10), None);
                (key, Outcome::Answered { ask, model, text, tokens_in, tokens_out })
            }
            Effect::OpenSandbox { key, base, .. } => {
                let commit = base.as_ref().map_or_else(|| id(0), |(_, commit)| commit.clone());
                self.bases.push(base);
                let (sandbox, settings) = ("test".to_owned(), self.settings.clone());
                let command_seconds = self.command_seconds;
                (key, Outcome::Opened { sandbox, base: commit, settings, command_seconds })
            }
            Effect::Run { key, command, text } => {
                self.commands.push(text);
                let (task, bytes) = (key.task, b"same\n".to_vec());
                let output =
                    Input::Output { task, command, stream: Stream::Stdout, at_ms: 1, bytes };
                let ended = Outcome::Ended {
                    command,
                    status: CommandStatus::Exited(0),
                    duration_ms: 1,
                    output_total: 5,
                    output_kept: 5,
                    output_hash: Hash([0; 32]),
                };
                return vec![output, Input::Outcome(key, ended)];
            }
            Effect::Commit { key, .. } => {
                let (commit, changed) = (self.commit(), (1, 1, 0));
                (key, Outcome::Committed { commit, changed, files: Vec::new() })
            }
            Effect::OpenPull { key, .. } => {
                (key, Outcome::PullOpened { number: 5, place: "pull 5".to_owned() })
            }
            Effect::WatchPull { key, .. } => (key, Outcome::PullSeen(self.pull.clone())),
            Effect::DropClaim { key, expected } => {
                assert_eq!(self.refs.remove(&1).map(|(commit, _)| commit), Some(expected.clone()));
                (key, Outcome::Dropped { commit: expected })
            }
            Effect::Escalate { key, call } => {
                self.calls.push(call);
                (key, Outcome::Done)
            }
            Effect::Report { key, report } => {
                self.reports.push(report);
                (key, Outcome::Done)
            }
            Effect::CloseSandbox { key } => (key, Outcome::Done),
        };
        vec![Input::Outcome(key, outcome)]
    }

    fn poll(&self, repository: String) -> Vec<Input> {
        let read = |(issue, (commit, claim)): (&u64, &(CommitId, Claim))| RefRead {
            issue: *issue,
            commit: commit.clone(),
            claim: Some(claim.clone()),
        };
        let refs = self.refs.iter().map(read).collect();
        let issue = IssueRead {
            number: 1,
            title: "Sum".to_owned(),
            body: "It is wrong.".to_owned(),
            labels: Vec::new(),
            depends_on: Vec::new(),
            open: self.open,
        };
        let claims = Input::Claims { repository: repository.clone(), refs };
        vec![claims, Input::Issues { repository, issues: vec![issue] }]
    }

    fn push(&mut self, claim: &Claim, expected: Option<&CommitId>) -> Push {
        assert_eq!(self.refs.get(&1).map(|(commit, _)| commit), expected);
        let commit = self.commit();
        self.refs.insert(1, (commit.clone(), claim.clone()));
        Push::Won(commit)
    }

    fn commit(&mut self) -> CommitId {
        self.commits += 1;
        id(self.commits)
    }

    /// The limits that its commands were intended with.
    fn seconds(&self) -> Vec<u32> {
        let events = self.engine.task_events(TaskId::of(REPOSITORY, 1)).unwrap();
        let seconds = events.iter().filter_map(|event| match event.payload() {
            Some(Payload::CommandIntended(intended)) => Some(intended.seconds),
            _ => None,
        });
        seconds.collect()
    }

    fn told(&self, target: &str) -> Vec<&'static str> {
        let told = self.reports.iter().filter(|report| report.target.name() == target);
        told.map(|report| report.status).collect()
    }
}

fn id(n: u64) -> CommitId {
    format!("{n:040x}").parse().unwrap()
}

#[test]
fn a_merge_ends_the_task_and_frees_its_ref_a_lease_later() {
    let mut world = World::new(config(), &[COMMAND, DONE]);
    world.run(10);
    assert_eq!(world.task().status(), TaskStatus::Published);
    assert_eq!(world.told("hive"), ["claimed", "in_progress", "completed"]);
    (world.pull, world.open) = (pull(PullState::Merged, CheckState::Passed, ""), false);
    world.run(10);
    assert_eq!(world.task().status(), TaskStatus::Merged);
    assert_eq!(world.refs.len(), 1, "others have the time to see that the issue is closed");
    world.run(30);
    assert!(world.refs.is_empty());
    assert_eq!(world.epoch().finished.as_deref(), Some("merged"));
    assert_eq!(world.told("board"), ["claimed", "published", "merged"]);
    world.run(100);
    assert_eq!(world.task().epochs.len(), 1, "nobody claims what is merged");
    // People open the issue again: it is a new task, with the next epoch.
    world.open = true;
    world.pull = pull(PullState::Open, CheckState::None, "");
    world.run(10);
    assert_eq!(world.epoch().number, 2);
    assert_eq!(world.task().status(), TaskStatus::Published);
}

#[test]
fn failed_checks_go_back_to_the_work_so_many_times_and_then_to_people() {
    let mut world = World::new(config(), &[COMMAND, DONE, COMMAND, DONE]);
    world.run(10);
    let first = world.epoch().publish.unwrap();
    world.pull = pull(PullState::Open, CheckState::Failed, "test sum fails");
    world.run(1);
    world.pull = pull(PullState::Open, CheckState::Pending, "");
    world.run(10);
    assert_eq!(world.commands.len(), 2, "it worked again");
    assert!(world.prompts.last().unwrap().contains("test sum fails"));
    let base = Some(("bzzz/issue-1".to_owned(), first.commit.clone()));
    assert_eq!(world.bases, [None, base], "it went on from what was published");
    let (epoch, publish) = (world.epoch(), world.epoch().publish.unwrap());
    assert_eq!((epoch.number, epoch.rounds.len()), (1, 1), "under the same claim");
    assert_ne!(publish.commit, first.commit);
    world.pull = pull(PullState::Open, CheckState::Failed, "it still fails");
    world.run(10);
    assert_eq!(world.commands.len(), 2, "the rounds are used up");
    let asked = world.epoch().escalation.expect("people are asked");
    assert_eq!(asked.question, "it still fails");
    assert_eq!(world.calls.len(), 1);
    world.answer("Use the other file.");
    world.pull = pull(PullState::Open, CheckState::Pending, "");
    world.run(10);
    assert!(world.prompts.last().unwrap().contains("Use the other file."));
    assert_eq!(world.epoch().rounds.len(), 2, "an answer is worth another round");
    assert_eq!(world.task().status(), TaskStatus::Published);
}

#[test]
fn a_question_is_raised_until_somebody_cares_and_its_answer_resumes_the_work() {
    let mut world = World::new(config(), &[HELP]);
    world.run(10);
    assert_eq!(world.task().status(), TaskStatus::Escalated);
    assert_eq!(world.refs[&1].1.status, ClaimStatus::Escalated, "others leave it alone");
    assert_eq!((world.calls.len(), world.calls[0].level), (1, 0));
    world.run(70);
    assert_eq!(world.calls.len(), 2, "nobody cared for a minute");
    assert_eq!((world.calls[1].level, world.calls[1].id), (1, world.calls[0].id));
    let (epoch, asked) = (world.epoch().number, world.epoch().escalation.unwrap());
    let (by, channel) = ("eve".to_owned(), "api".to_owned());
    let said = EscalationAcknowledged { epoch, escalation: asked.event, by, channel };
    world.say(Draft::about(TaskId::of(REPOSITORY, 1), said));
    world.run(200);
    assert_eq!(world.calls.len(), 2, "somebody cares");
    world.answer("The first.");
    world.run(10);
    assert!(world.prompts.last().unwrap().contains("The first."));
    assert_eq!(world.task().status(), TaskStatus::Published);
    assert_eq!(world.refs[&1].1.epoch, 1, "under the same claim");
    let told = world.told("hive");
    assert_eq!(told, ["claimed", "in_progress", "escalated", "in_progress", "completed"]);
}

#[test]
fn questions_are_raised_only_so_often() {
    let mut world = World::new(config(), &[HELP]);
    world.run(1000);
    assert_eq!(world.calls.iter().map(|call| call.level).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn going_round_in_circles_ends_with_a_question() {
    let mut world = World::new(config(), &[COMMAND; 20]);
    world.run(20);
    assert_eq!(world.commands.len(), 6);
    let told = world.prompts.iter().filter(|prompt| prompt.contains("Do something else")).count();
    assert_eq!(told, 3, "after three, four and five times the same");
    assert!(world.epoch().escalation.unwrap().reason.contains("circles"));
}

#[test]
fn set_up_commands_of_the_repository_come_first() {
    let mut world = World::new(config(), &[COMMAND]);
    let (source, limits) = (".bzzz.toml".to_owned(), "512 MiB".to_owned());
    let setup = vec!["make deps".to_owned(), "make config".to_owned()];
    world.settings = Some(Settings { source, setup, limits, denied: Vec::new() });
    world.run(10);
    assert_eq!(world.commands, ["make deps", "make config", "make"]);
}

#[test]
fn a_command_names_the_limit_that_applies() {
    let mut world = World::new(config(), &[COMMAND, HELP, COMMAND]);
    let (source, limits) = (".bzzz.toml".to_owned(), "command_seconds 7".to_owned());
    let (setup, denied) = (vec!["make deps".to_owned()], Vec::new());
    world.settings = Some(Settings { source, setup, limits, denied });
    world.command_seconds = 7;
    world.run(10);
    assert_eq!(world.seconds(), [7, 7], "the set-up and the step; the node's own limit is 60");
    // The next sandbox is made from files that say nothing.
    (world.settings, world.command_seconds) = (None, 60);
    world.answer("The first.");
    world.run(10);
    assert_eq!(world.seconds(), [7, 7, 60]);
}

#[test]
fn a_used_up_day_gives_the_task_back_until_the_next() {
    // Answers of unknown cost count as the most that one may have, 100 tokens.
    let day = DayBudget { commands: 1000, answers: 1000, tokens: 250 };
    let mut world = World::new(AgentConfig { day, ..config() }, &[COMMAND, COMMAND, COMMAND]);
    world.run(10);
    assert_eq!(world.prompts.len(), 3, "one plan, two steps");
    assert_eq!(world.epoch().finished.as_deref(), Some("released"));
    assert_eq!(world.refs[&1].1.status, ClaimStatus::Released);
    world.run(500);
    assert_eq!(world.task().epochs.len(), 1, "it claims nothing more today");
    world.now_ms += 86_400_000;
    world.run(10);
    assert!(world.epoch().number > 1, "it is a new day");
}

#[test]
fn a_repository_that_refuses_is_left() {
    let mut world = World::new(config(), &[HELP]);
    let consent = |allowed| Input::Consent {
        repository: REPOSITORY.to_owned(),
        allowed,
        source: ".bzzz.toml".to_owned(),
        reason: "no agents here".to_owned(),
    };
    world.turn(consent(false));
    world.turn(consent(false));
    world.run(10);
    let length = world.engine.lengths()[&world.engine.me()];
    assert!(world.task().epochs.is_empty());
    world.turn(consent(false));
    world.run(1);
    assert_eq!(world.engine.lengths()[&world.engine.me()], length, "it is said once");
    world.turn(consent(true));
    world.run(10);
    assert_eq!(world.task().epochs.len(), 1);
}

#[test]
fn nothing_new_is_claimed_where_hive_is_not_ready() {
    let mut world = World::new(config(), &[HELP]);
    let ready = |ready| Input::Ready { repository: REPOSITORY.to_owned(), ready };
    world.turn(ready(false));
    world.run(30);
    assert!(world.task().epochs.is_empty());
    world.turn(ready(true));
    world.run(10);
    assert_eq!(world.task().status(), TaskStatus::Escalated);
    // What runs goes on.
    world.turn(ready(false));
    world.answer("The first.");
    world.run(10);
    assert_eq!(world.task().status(), TaskStatus::Published);
}

#[test]
fn a_repository_comes_and_goes_while_the_agent_runs() {
    let mut world = World::new(AgentConfig { repositories: BTreeMap::new(), ..config() }, &[HELP]);
    let take_up = || Input::TakeUp {
        repository: REPOSITORY.to_owned(),
        url: "git://r".to_owned(),
        branch: "main".to_owned(),
    };
    let let_go = || Input::LetGo { repository: REPOSITORY.to_owned() };
    let length = |world: &World| world.engine.lengths()[&world.engine.me()];
    let before = length(&world);
    world.run(10);
    assert_eq!(length(&world), before, "nobody reads it");
    // Its issue is closed, so that nothing is to be done.
    world.open = false;
    world.turn(take_up());
    let me = world.engine.me();
    let seen = world.engine.read(|state| state.repositories[REPOSITORY].clone());
    assert_eq!((seen.url.as_str(), seen.branch.as_str()), ("git://r", "main"));
    assert!(seen.nodes.contains(&me));
    let before = length(&world);
    assert!(!world.task().open);
    world.turn(let_go());
    world.turn(let_go());
    world.open = true;
    world.run(20);
    assert_eq!(length(&world), before, "it is not read any more");
    // Taken up again it is not said again, and its task is worked on.
    world.turn(take_up());
    world.turn(take_up());
    world.run(10);
    assert_eq!(world.task().status(), TaskStatus::Escalated);
    let events = world.engine.events(me, 0, 1_000).unwrap();
    let seen = |event: &&Event| matches!(event.payload(), Some(Payload::RepositorySeen(_)));
    assert_eq!(events.iter().filter(seen).count(), 1);
    // What runs ends where it was let go.
    world.turn(let_go());
    world.answer("The first.");
    world.run(10);
    assert_eq!(world.task().status(), TaskStatus::Published);
}
