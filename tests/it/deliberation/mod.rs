//! What nodes decide together: real engines and agents of a few members, whose logs meet at once,
//! and around them a small world that answers each effect and in which the test moves people,
//! models and time.

mod help;
mod order;
mod people;
mod plans;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bzzz::engine::{Engine, found};
use bzzz::kernel::agent::{
    Agent, AgentConfig, Budget, Effect, EscalationCall, Input, IssueRead, Now, Outcome, PullRead,
    Push, RefRead, Report,
};
use bzzz::kernel::event::kinds::{
    CheckState, CommandStatus, MemberAdmitted, PullState, Purpose, ReviewState, Role, Stream,
};
use bzzz::kernel::event::{Claim, CommitId, Draft, EventId, Payload, TaskId};
use bzzz::kernel::fold::{Epoch, SwarmState, Task, TaskStatus};
use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::kernel::log::Hash;
use bzzz::store::memory::MemoryStore;

const NOW: u64 = 1_800_000_000_000;
const REPOSITORY: &str = "r";
const DONE: &str = r#"{"reasoning":"tested","action":"done","summary":"done"}"#;
const STUCK: &str = r#"{"reasoning":"vague","action":"help","question":"Which of both?"}"#;
const MAKE: &str = r#"{"reasoning":"next","action":"command","command":"make"}"#;
const ADVICE: &str = r#"{"help":"advice","text":"Take the second."}"#;
const TAKE_OVER: &str = r#"{"help":"take_over","text":"I know it."}"#;
const OBJECT: &str = r#"{"verdict":"object","blocking":true,"reason":"It breaks the API."}"#;

fn config() -> AgentConfig {
    let budget =
        Budget { commands: 50, answers: 60, tokens: 1_000_000, wall_ms: 36_000_000, retries: 4 };
    AgentConfig {
        review: true,
        plan_window_ms: 60_000,
        poll_ms: 1_000,
        budget,
        repositories: [repository(REPOSITORY)].into(),
        ..crate::decisions::config()
    }
}

fn repository(name: &str) -> (String, (String, String)) {
    (name.to_owned(), (format!("git://owner/{name}"), "main".to_owned()))
}

/// It works on nothing and only reviews and helps, until it takes something over.
fn idle() -> AgentConfig {
    AgentConfig { labels: vec!["none of these".to_owned()], ..config() }
}

/// A member: with an agent, or a person.
struct Node {
    engine: Engine,
    agent: Option<Agent>,
    config: Option<AgentConfig>,
    process: u64,
    /// What its model answers, by issue and purpose; the question's turn selects.
    script: BTreeMap<(u64, u32), Vec<&'static str>>,
    prompts: Vec<(Purpose, String)>,
    reports: Vec<Report>,
    calls: Vec<EscalationCall>,
    commands: Vec<String>,
    bases: Vec<Option<(String, CommitId)>>,
    branches: Vec<(String, CommitId)>,
    /// It crashes at this event of its own log: before it is written, or after.
    crash: Option<(u64, bool)>,
}

struct World {
    swarm: SwarmId,
    nodes: Vec<Node>,
    now_ms: u64,
    issues: BTreeMap<(String, u64), IssueRead>,
    refs: BTreeMap<TaskId, (CommitId, Claim)>,
    claims: Vec<(AuthorId, u64)>,
    commits: u64,
    files: Vec<String>,
    changed: (u32, u32, u32),
    /// Whose questions of a purpose stay without answer for now, and what waits there.
    slow: BTreeSet<(usize, u32)>,
    held: Vec<(usize, Input)>,
}

impl World {
    /// A swarm of agents with one issue, which the first of them takes.
    fn new(configs: &[AgentConfig]) -> Self {
        let key = SecretKey::from_seed(&[1; 32]);
        let store = Arc::new(MemoryStore::new());
        let founding = found(&key, "test", [7; 16], NOW).unwrap();
        let swarm = founding.swarm;
        founding.commit(&*store, &key).unwrap();
        let engine = Engine::open(store, key, swarm, NOW).unwrap();
        let mut world = Self {
            swarm,
            nodes: vec![Node::new(engine, Some(configs[0].clone()), swarm)],
            now_ms: 1000,
            issues: BTreeMap::new(),
            refs: BTreeMap::new(),
            claims: Vec::new(),
            commits: 0,
            files: Vec::new(),
            changed: (1, 1, 0),
            slow: BTreeSet::new(),
            held: Vec::new(),
        };
        for config in &configs[1..] {
            world.join(Role::Agent, Some(config.clone()));
        }
        for n in 0..world.nodes.len() {
            world.start(n);
        }
        world.issue(REPOSITORY, 1, "It is wrong.");
        world
    }

    /// Adds a person; gives its number.
    fn person(&mut self) -> usize {
        self.join(Role::Operator, None)
    }

    fn join(&mut self, role: Role, config: Option<AgentConfig>) -> usize {
        let n = self.nodes.len();
        let key = SecretKey::from_seed(&[u8::try_from(n + 1).unwrap(); 32]);
        let store = Arc::new(MemoryStore::new());
        let member = key.author();
        let name = format!("member {n}");
        let admitted = Draft::general(MemberAdmitted { member, role, name });
        self.nodes[0].engine.append(vec![admitted], NOW + self.now_ms).unwrap();
        let engine = Engine::open(store, key, self.swarm, NOW).unwrap();
        self.nodes.push(Node::new(engine, config, self.swarm));
        self.meet();
        n
    }

    fn start(&mut self, n: usize) {
        let said = self.nodes[n].agent.as_ref().unwrap().started("node", "1");
        self.nodes[n].engine.append(said, NOW + self.now_ms).unwrap();
        self.meet();
    }

    fn issue(&mut self, repository: &str, number: u64, body: &str) {
        let issue = IssueRead {
            number,
            title: format!("Issue {number}"),
            body: body.to_owned(),
            labels: Vec::new(),
            depends_on: Vec::new(),
            open: true,
        };
        self.issues.insert((repository.to_owned(), number), issue);
    }

    fn script(&mut self, n: usize, issue: u64, purpose: Purpose, answers: &[&'static str]) {
        self.nodes[n].script.insert((issue, purpose as u32), answers.to_vec());
    }

    fn id(&self, n: usize) -> AuthorId {
        self.nodes[n].engine.me()
    }

    fn read<T>(&self, f: impl FnOnce(&SwarmState) -> T) -> T {
        self.nodes[0].engine.read(f)
    }

    fn task_of(&self, repository: &str, issue: u64) -> Task {
        self.read(|state| state.task(repository, issue).cloned()).expect("it was read")
    }

    fn is_so(&self, repository: &str, issue: u64, status: TaskStatus) -> bool {
        self.read(|state| state.task(repository, issue).is_some_and(|t| t.status() == status))
    }

    fn is(&self, status: TaskStatus) -> bool {
        self.is_so(REPOSITORY, 1, status)
    }

    /// How many plans were proposed under the present claim.
    fn plans(&self) -> usize {
        let plans = |task: &Task| task.current().map_or(0, |epoch| epoch.plans.len());
        self.read(|state| state.task(REPOSITORY, 1).map_or(0, plans))
    }

    /// Whether the owner asked for help in this epoch.
    fn asked_for_help(&self, epoch: u64) -> bool {
        let asked = |task: &Task| task.epochs.get(&epoch).is_some_and(|e| !e.help.is_empty());
        self.read(|state| state.task(REPOSITORY, 1).is_some_and(asked))
    }

    fn task(&self) -> Task {
        self.task_of(REPOSITORY, 1)
    }

    fn epoch(&self) -> Epoch {
        self.task().current().cloned().expect("it was claimed")
    }

    /// The names of a member's events about tasks and sessions, in order, and the events.
    fn log(&self, n: usize) -> Vec<(EventId, Payload)> {
        let (engine, author) = (&self.nodes[n].engine, self.id(n));
        let mut events = Vec::new();
        while let Some(range) = engine.range(author, events.len() as u64, 1 << 20).unwrap() {
            for record in &range.records {
                let (seq, record) = (events.len() as u64, record.as_ref());
                events.push(bzzz::kernel::event::Event::read(author, seq, record).unwrap());
            }
        }
        let known = events.into_iter().filter_map(|e| Some((e.id, e.payload().cloned()?)));
        known.collect()
    }

    fn names(&self, n: usize) -> Vec<&'static str> {
        self.log(n).iter().map(|(_, payload)| payload.name()).collect()
    }

    fn count(&self, n: usize, name: &str) -> usize {
        self.names(n).iter().filter(|found| **found == name).count()
    }

    /// Somebody says something, outside of its agent.
    fn say(&mut self, n: usize, payload: impl Into<Payload>) -> EventId {
        self.say_about(n, TaskId::of(REPOSITORY, 1), payload)
    }

    fn say_about(&mut self, n: usize, task: TaskId, payload: impl Into<Payload>) -> EventId {
        let draft = Draft::about(task, payload);
        let said = self.nodes[n].engine.append(vec![draft], NOW + self.now_ms).unwrap();
        self.meet();
        said.ids[0]
    }

    /// Everybody gets what the others have.
    fn meet(&self) {
        for from in &self.nodes {
            for to in &self.nodes {
                for (author, length) in from.engine.lengths() {
                    loop {
                        let held = to.engine.lengths().get(&author).copied().unwrap_or(0);
                        if held >= length {
                            break;
                        }
                        let range = from.engine.range(author, held, 1 << 20).unwrap().unwrap();
                        if to.engine.ingest(range, NOW + self.now_ms).is_err() {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Runs so many seconds.
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now_ms += 1000;
            for n in 0..self.nodes.len() {
                self.turn(n, Input::Tick);
            }
        }
    }

    /// Runs until something is so.
    fn until(&mut self, what: &str, ready: impl Fn(&Self) -> bool) {
        for _ in 0..1000 {
            if ready(self) {
                return;
            }
            self.run(1);
        }
        let task = self.read(|state| state.task(REPOSITORY, 1).cloned());
        panic!("{what} never came; the task: {task:#?}");
    }

    /// One input, and all that follows from it at once.
    fn turn(&mut self, n: usize, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = Now { wall_ms: NOW + self.now_ms, mono_ms: self.now_ms };
            let node = &mut self.nodes[n];
            let Some(agent) = &mut node.agent else { return };
            for effect in node.engine.read(|state| agent.step(state, input, now, 0)) {
                if let Effect::Append(drafts) = effect {
                    if self.append(n, drafts) {
                        return;
                    }
                    inputs.push_back(Input::Tick);
                } else {
                    let answers = self.carry_out(n, effect);
                    inputs.extend(answers);
                }
            }
        }
    }

    /// Appends what an agent says. True if its node crashed there.
    fn append(&mut self, n: usize, drafts: Vec<Draft>) -> bool {
        let (me, node) = (self.id(n), &mut self.nodes[n]);
        let after = node.engine.lengths()[&me] + drafts.len() as u64;
        let crash = node.crash.take_if(|(at, _)| *at < after);
        if crash.is_none_or(|(_, written)| written) {
            node.engine.append(drafts, NOW + self.now_ms).unwrap();
            self.meet();
        }
        if crash.is_some() {
            self.crash(n);
        }
        crash.is_some()
    }

    /// The node's process ends, and another one starts.
    fn crash(&mut self, n: usize) {
        let (me, node) = (self.id(n), &mut self.nodes[n]);
        node.process += 1;
        let config = node.config.clone().unwrap();
        node.agent = Some(Agent::new(me, self.swarm, node.process, config));
        self.held.retain(|(of, _)| *of != n);
        self.start(n);
    }

    /// The models that were slow answer.
    fn answer_slowly(&mut self) {
        self.slow.clear();
        for (n, input) in std::mem::take(&mut self.held) {
            self.turn(n, input);
        }
    }

    fn carry_out(&mut self, n: usize, effect: Effect) -> Vec<Input> {
        let (key, outcome) = match effect {
            Effect::Append(_) => unreachable!("appended by the caller"),
            Effect::Poll { repository } => return self.poll(&repository),
            Effect::PushClaim { key, claim, expected } => {
                (key, Outcome::Pushed(self.push(&claim, expected.as_ref()), claim))
            }
            Effect::Publish { key, claim, expected, branch, commit } => {
                let push = self.push(&claim, Some(&expected));
                if matches!(push, Push::Won(_)) {
                    self.nodes[n].branches.push((branch, commit));
                }
                (key, Outcome::Pushed(push, claim))
            }
            Effect::AskModel { key, ask, request } => {
                let node = &mut self.nodes[n];
                let prompt = request.messages.iter().map(|m| m.content.clone()).collect();
                node.prompts.push((request.purpose, prompt));
                let purpose = request.purpose as u32;
                let list = node.script.get(&(request.issue, purpose));
                let text = list.and_then(|list| list.get(request.turn as usize));
                let text = (*text.unwrap_or(&usual(request.purpose))).to_owned();
                let (model, tokens_in, tokens_out) = ("m".to_owned(), Some(10), Some(1));
                let answered = Outcome::Answered { ask, model, text, tokens_in, tokens_out };
                if self.slow.contains(&(n, purpose)) {
                    self.held.push((n, Input::Outcome(key, answered)));
                    return Vec::new();
                }
                (key, answered)
            }
            Effect::OpenSandbox { key, base, .. } => {
                let commit = base.as_ref().map_or_else(|| id(0), |(_, commit)| commit.clone());
                self.nodes[n].bases.push(base);
                let (sandbox, settings) = ("test".to_owned(), None);
                let command_seconds = 60;
                (key, Outcome::Opened { sandbox, base: commit, settings, command_seconds })
            }
            Effect::Run { key, command, text } => return self.ran(n, key, command, text),
            Effect::Commit { key, .. } => {
                let (commit, changed, files) = (self.commit(), self.changed, self.files.clone());
                (key, Outcome::Committed { commit, changed, files })
            }
            Effect::OpenPull { key, .. } => {
                (key, Outcome::PullOpened { number: 5, place: "pull 5".to_owned() })
            }
            Effect::WatchPull { key, .. } => {
                let (state, checks) = (PullState::Open, CheckState::None);
                let (reviews, feedback, head) = (ReviewState::None, String::new(), None);
                (key, Outcome::PullSeen(PullRead { state, head, checks, reviews, feedback }))
            }
            Effect::DropClaim { key, expected } => {
                self.refs.remove(&key.task);
                (key, Outcome::Dropped { commit: expected })
            }
            Effect::Escalate { key, call } => {
                self.nodes[n].calls.push(call);
                (key, Outcome::Done)
            }
            Effect::Report { key, report } => {
                self.nodes[n].reports.push(report);
                (key, Outcome::Done)
            }
            Effect::CloseSandbox { key } => (key, Outcome::Done),
        };
        vec![Input::Outcome(key, outcome)]
    }

    fn ran(
        &mut self,
        n: usize,
        key: bzzz::kernel::agent::Key,
        command: EventId,
        text: String,
    ) -> Vec<Input> {
        self.nodes[n].commands.push(text);
        let (task, bytes) = (key.task, b"same\n".to_vec());
        let output = Input::Output { task, command, stream: Stream::Stdout, at_ms: 1, bytes };
        let ended = Outcome::Ended {
            command,
            status: CommandStatus::Exited(0),
            duration_ms: 1,
            output_total: 5,
            output_kept: 5,
            output_hash: Hash([0; 32]),
        };
        vec![output, Input::Outcome(key, ended)]
    }

    fn poll(&self, repository: &str) -> Vec<Input> {
        let here = self.issues.iter().filter(|((name, _), _)| name == repository);
        let read = |issue: u64| {
            let (commit, claim) = self.refs.get(&TaskId::of(repository, issue))?.clone();
            Some(RefRead { issue, commit, claim: Some(claim) })
        };
        let refs = here.clone().filter_map(|((_, issue), _)| read(*issue)).collect();
        let issues = here.map(|(_, issue)| issue.clone()).collect();
        let repository = repository.to_owned();
        let claims = Input::Claims { repository: repository.clone(), refs };
        vec![claims, Input::Issues { repository, issues }]
    }

    /// Compare-and-swap.
    fn push(&mut self, claim: &Claim, expected: Option<&CommitId>) -> Push {
        let held = self.refs.get(&claim.task);
        if held.map(|(commit, _)| commit) != expected {
            let issue = self.issues.keys().find(|(r, n)| TaskId::of(r, *n) == claim.task);
            let issue = issue.expect("an issue of the board").1;
            return Push::Lost(held.cloned().map(|(commit, claim)| {
                let claim = Some(claim);
                RefRead { issue, commit, claim }
            }));
        }
        let commit = self.commit();
        self.claims.push((claim.author, claim.epoch));
        self.refs.insert(claim.task, (commit.clone(), claim.clone()));
        Push::Won(commit)
    }

    fn commit(&mut self) -> CommitId {
        self.commits += 1;
        id(self.commits)
    }

    fn told(&self, n: usize, target: &str) -> Vec<&'static str> {
        let reports = self.nodes[n].reports.iter();
        reports.filter(|r| r.target.name() == target).map(|report| report.status).collect()
    }

    /// The questions that a node's model was asked for a purpose.
    fn prompts(&self, n: usize, purpose: Purpose) -> Vec<&str> {
        let asked = self.nodes[n].prompts.iter().filter(|(found, _)| *found == purpose);
        asked.map(|(_, prompt)| prompt.as_str()).collect()
    }

    /// All nodes hold one state, in which nothing was refused.
    fn check(&self) {
        for node in &self.nodes {
            assert_eq!(node.engine.digest(), self.nodes[0].engine.digest());
        }
        self.read(|state| {
            let tasks = state.tasks.values().map(|task| &task.refusals);
            for refusals in tasks.chain(state.sessions.values().map(|s| &s.refusals)) {
                assert_eq!(refusals.count, 0, "{refusals:?}");
            }
        });
    }
}

impl Node {
    fn new(engine: Engine, config: Option<AgentConfig>, swarm: SwarmId) -> Self {
        let me = engine.me();
        let agent = config.clone().map(|config| Agent::new(me, swarm, 7, config));
        Self {
            engine,
            agent,
            config,
            process: 7,
            script: BTreeMap::new(),
            prompts: Vec::new(),
            reports: Vec::new(),
            calls: Vec::new(),
            commands: Vec::new(),
            bases: Vec::new(),
            branches: Vec::new(),
            crash: None,
        }
    }
}

fn id(n: u64) -> CommitId {
    format!("{n:040x}").parse().unwrap()
}

/// What a model answers where the script says nothing.
fn usual(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Plan => r#"{"summary":"do it","steps":["look"]}"#,
        Purpose::Step => DONE,
        Purpose::Review => r#"{"verdict":"support","reason":"fine"}"#,
        Purpose::Help => r#"{"help":"none","text":"no idea"}"#,
        Purpose::Answer => r#"{"text":"because"}"#,
    }
}

impl World {
    /// Whether the issue's work is published, or people are asked, and its owner is done.
    fn task_ended(&self) -> bool {
        let task = self.read(|state| state.task(REPOSITORY, 1).cloned());
        let Some(task) = task else { return false };
        let over = matches!(task.status(), TaskStatus::Published | TaskStatus::Escalated);
        over && task.current().is_some_and(|epoch| epoch.finished.is_some())
    }
}
