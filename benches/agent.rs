//! How long one decision of an agent takes, beside how many tasks that are over.
//! `cargo bench --bench agent [-- --quick]`; needs none of the default features.
//!
//! Every task was claimed, worked on, published and merged, half of them by the agent itself, one
//! each minute, and the owners of every second one had agreed on its order with that before. There
//! are also 50 open issues that wait for one of another repository. A node asks its agent for every
//! change and four times a second, while it holds up the fold, so that a decision must not take
//! longer than a millisecond. The first one of a process may: it gets to know all tasks.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bzzz::kernel::agent::{
    Agent, AgentConfig, ApprovalRules, Budget, DayBudget, Effect, Input, IssueRead, Now, TalkConfig,
};
use bzzz::kernel::event::kinds::{
    CheckState, ClaimDropped, ClaimIntended, ClaimWon, CommandFinished, CommandIntended,
    CommandStatus, CoordinationJoined, CoordinationOpened, CoordinationResolved, MemberAdmitted,
    ModelAnswered, ModelAsked, Payload, PublishIntended, Published, PullRequestOpened,
    PullRequestSeen, PullState, Purpose, Reported, ReviewState, Role, SandboxClosed, SandboxOpened,
    Side, SwarmFounded, TaskFinished, TaskSeen, WorkDone,
};
use bzzz::kernel::event::{CommitId, Draft, Event, EventId, Hlc, TaskId, swarm_id};
use bzzz::kernel::fold::{
    Aggregate, EventSource, Fold, FoldError, Order, Place, SwarmState, TaskStatus,
};
use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::kernel::log::Hash;

const NOW: u64 = 1_800_000_000_000;
/// How many open issues wait for another one.
const WAITING: u64 = 50;
/// How long a decision may take.
const LIMIT: Duration = Duration::from_millis(1);

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let counts: &[u64] = if quick { &[100, 10_000] } else { &[100, 1_000, 10_000, 50_000] };
    println!("{:>8}{:>14}{:>14}{:>14}{:>10}", "tasks", "first", "idle", "one changed", "limit");
    for count in counts {
        row(*count, if quick { 50 } else { 200 });
    }
}

fn row(count: u64, rounds: usize) {
    let mut swarm = Swarm::new();
    for issue in 0..count {
        swarm.task(issue);
        if issue % 2 == 1 {
            swarm.session(issue);
        }
    }
    check(swarm.fold.state(), count);
    let issues = swarm.waiting(count);
    let mut agent = Agent::new(swarm.author(0), swarm.swarm, 1, config());
    let (mut mono_ms, wall_ms) = (1_000, swarm.clock >> 16);
    let mut take = |state: &SwarmState, input: Input| {
        mono_ms += 250;
        let now = Now { wall_ms: wall_ms + mono_ms, mono_ms };
        let begun = Instant::now();
        let effects = agent.step(state, input, now, mono_ms);
        (begun.elapsed(), effects)
    };
    let first = take(swarm.fold.state(), Input::Tick).0;
    let repository = "r".to_owned();
    let refs = Input::Claims { repository: repository.clone(), refs: Vec::new() };
    take(swarm.fold.state(), refs);
    take(swarm.fold.state(), Input::Issues { repository, issues });
    let mut step = |state: &SwarmState| take(state, Input::Tick);
    let (mut idle, mut changed) = (Vec::new(), Vec::new());
    for round in 0..rounds as u64 {
        let (time, effects) = step(swarm.fold.state());
        // Whatever is open waits, so that there is nothing to claim.
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Append(_))), "{effects:?}");
        idle.push(time);
        swarm.seen(round % count, false, "again");
        changed.push(step(swarm.fold.state()).0);
    }
    let (idle, changed) = (median(idle), median(changed));
    let said = if idle.max(changed) <= LIMIT { "met" } else { "MISSED" };
    println!("{count:>8}{first:>14.1?}{idle:>14.1?}{changed:>14.1?}{said:>10}");
}

/// All tasks are over, every session is, and every event counted.
fn check(state: &SwarmState, count: u64) {
    assert_eq!(state.tasks.len() as u64, count);
    for task in state.tasks.values() {
        assert_eq!((task.refusals.count, task.status()), (0, TaskStatus::Merged));
    }
    assert_eq!(state.sessions.len() as u64, count / 2);
    for session in state.sessions.values() {
        assert_eq!((session.refusals.count, state.order(session)), (0, Order::Over));
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn config() -> AgentConfig {
    let repository = ("git://r".to_owned(), "main".to_owned());
    AgentConfig {
        works: true,
        review: true,
        labels: Vec::new(),
        capabilities: Vec::new(),
        max_tasks: 2,
        lease_ms: 30_000,
        plan_window_ms: 0,
        max_plan_revisions: 2,
        poll_ms: 3_600_000,
        command_seconds: 60,
        context_bytes: 16 * 1024,
        max_tokens: 100,
        budget: Budget { commands: 20, answers: 40, tokens: 1_000_000, wall_ms: 1_000, retries: 4 },
        day: DayBudget { commands: u64::MAX, answers: u64::MAX, tokens: u64::MAX },
        max_rounds: 1,
        watch_ms: 1_000,
        hive: true,
        people: true,
        acknowledge_ms: 60_000,
        max_raises: 2,
        talk: TalkConfig::default(),
        approvals: ApprovalRules::default(),
        repositories: ["r", "o/other"].map(|name| (name.to_owned(), repository.clone())).into(),
    }
}

/// The events come in their total order, so that none is asked for again.
struct Nothing;

impl EventSource for Nothing {
    fn places(&self, _: &Aggregate) -> Result<Vec<Place>, FoldError> {
        Err(FoldError("an event came late".to_owned()))
    }

    fn event(&self, _: &Place) -> Result<Event, FoldError> {
        Err(FoldError("an event came late".to_owned()))
    }

    fn event_at(&self, _: &AuthorId, _: u64) -> Result<Option<Event>, FoldError> {
        Err(FoldError("an event came late".to_owned()))
    }

    /// Asked when somebody is admitted: nobody has said anything before.
    fn aggregates_of(&self, _: &AuthorId, _: u64) -> Result<BTreeSet<Aggregate>, FoldError> {
        Ok(BTreeSet::new())
    }
}

/// Two members and what they say.
struct Swarm {
    keys: [SecretKey; 2],
    swarm: SwarmId,
    fold: Fold,
    lengths: BTreeMap<AuthorId, u64>,
    clock: u64,
}

impl Swarm {
    fn new() -> Self {
        let keys = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]));
        let authors = [keys[0].author(), keys[1].author()];
        let name = "bench".to_owned();
        let founded = SwarmFounded { name, administrators: vec![authors[0]], nonce: [1; 16] };
        let record = Draft::general(founded.clone()).record(0, Hlc(NOW << 16)).unwrap();
        let swarm = swarm_id(EventId(record.as_ref().leaf(&authors[0]).0));
        let (fold, lengths) = (Fold::new(swarm), BTreeMap::new());
        let mut said = Self { keys, swarm, fold, lengths, clock: NOW << 16 };
        said.say(0, Draft::general(founded));
        let (member, name) = (authors[1], "m".to_owned());
        said.say(0, Draft::general(MemberAdmitted { member, role: Role::Agent, name }));
        said
    }

    fn author(&self, who: usize) -> AuthorId {
        self.keys[who].author()
    }

    fn say(&mut self, who: usize, draft: Draft) -> EventId {
        let author = self.author(who);
        let length = self.lengths.entry(author).or_default();
        let record = draft.record(*length, Hlc(self.clock)).unwrap();
        let event = Event::read(author, *length, record.as_ref()).unwrap();
        *length += 1;
        self.clock += 1;
        let _ = self.fold.apply(&event, &Nothing).unwrap();
        event.id
    }

    fn seen(&mut self, issue: u64, open: bool, title: &str) {
        self.read("r", issue, open, title, "What is wrong.");
    }

    fn read(&mut self, repository: &str, issue: u64, open: bool, title: &str, body: &str) {
        let task = TaskId::of(repository, issue);
        let (title, body) = (title.to_owned(), body.to_owned());
        let (repository, labels, depends_on) = (repository.to_owned(), Vec::new(), Vec::new());
        let seen = TaskSeen { repository, issue, title, body, labels, depends_on, open };
        self.say(0, Draft::about(task, seen));
    }

    /// The owners of a task and of the one before agree that this one waits.
    fn session(&mut self, issue: u64) {
        let side = |issue| Side { repository: "r".to_owned(), issue, epoch: 1 };
        let mut sides = vec![side(issue - 1), side(issue)];
        sides.sort_by_key(Side::task);
        let (id, first) = (CoordinationOpened::session(&sides), u32::from(sides[1].issue < issue));
        let (reason, evidence, deadline_ms) = ("so".to_owned(), Vec::new(), 0);
        let opened = CoordinationOpened { sides, first, reason, evidence, deadline_ms };
        let opening = self.say(1, Draft::about(id, opened));
        let joined = CoordinationJoined { opening, agrees: true, reason: String::new() };
        let joined = self.say(0, Draft::about(id, joined));
        let resolved = CoordinationResolved { opening, first, considered: vec![joined] };
        self.say(1, Draft::about(id, resolved));
    }

    /// Open issues that wait for one of another repository.
    fn waiting(&mut self, after: u64) -> Vec<IssueRead> {
        self.read("o/other", 1, true, "First this", "It takes a while.");
        let title = "Something waits";
        let body = format!("Depends on o/other#1. {}", "What is wrong. ".repeat(140));
        let read = |number| IssueRead {
            number,
            title: title.to_owned(),
            body: body.clone(),
            labels: Vec::new(),
            depends_on: Vec::new(),
            open: true,
        };
        let issues: Vec<IssueRead> = (after..after + WAITING).map(read).collect();
        for issue in &issues {
            self.read("r", issue.number, true, title, &body);
        }
        issues
    }

    /// One task from its issue to its end.
    fn task(&mut self, issue: u64) {
        let id = TaskId::of("r", issue);
        let who = usize::from(issue % 2 == 1);
        let commit: CommitId = "a".repeat(40).parse().unwrap();
        let epoch = 1;
        self.clock += 60_000 << 16;
        self.seen(issue, true, "Something is wrong");
        let mut say = |payload: Payload| self.say(who, Draft::about(id, payload));
        let intended = ClaimIntended { epoch, lease_ms: 30_000, process: 9, previous: None };
        let intent = say(intended.into());
        say(ClaimWon { intent, epoch, commit: commit.clone() }.into());
        let (sandbox, base) = ("docker".to_owned(), commit.clone());
        say(SandboxOpened { epoch, process: 9, sandbox, base }.into());
        for step in 0..8 {
            let (purpose, last) = (Purpose::Step, "What next?".to_owned());
            let prompt = Hash([0; 32]);
            let ask = say(ModelAsked { epoch, purpose, turn: step, prompt, last }.into());
            let (model, text) = ("m".to_owned(), "{}".to_owned());
            let (tokens_in, tokens_out) = (Some(10), Some(10));
            let answered =
                ModelAnswered { ask, epoch, purpose, model, text, tokens_in, tokens_out };
            say(answered.into());
            let (reasoning, text) = ("to see".to_owned(), format!("make {step}"));
            let intended = CommandIntended { epoch, step, reasoning, command: text, seconds: 60 };
            let command = say(intended.into());
            let status = CommandStatus::Exited(0);
            let (duration_ms, output_total, output_kept) = (10, 0, 0);
            let output_hash = Hash([0; 32]);
            let finished = CommandFinished {
                epoch,
                command,
                status,
                duration_ms,
                output_total,
                output_kept,
                output_hash,
            };
            say(finished.into());
        }
        say(WorkDone { epoch, summary: "done".to_owned() }.into());
        let branch = format!("bzzz/{issue}");
        let changed = (1, 2, 3);
        let intended =
            PublishIntended { epoch, branch: branch.clone(), commit: commit.clone(), changed };
        say(intended.into());
        let claim = commit.clone();
        say(Published { epoch, branch, commit: commit.clone(), claim }.into());
        say(SandboxClosed { epoch, reason: "the work is published".to_owned() }.into());
        say(PullRequestOpened { epoch, number: issue, place: "p".to_owned() }.into());
        let mut told = |target: &str, status: &str| {
            let (target, status) = (target.to_owned(), status.to_owned());
            say(Reported { epoch, target, status }.into());
        };
        told("board", "claimed");
        for status in ["claimed", "in_progress", "completed"] {
            told("hive", status);
        }
        told("board", "published");
        say(TaskFinished { epoch, outcome: "published".to_owned() }.into());
        let (state, checks, reviews) =
            (PullState::Merged, CheckState::Passed, ReviewState::Approved);
        let (head, feedback) = (commit.to_string(), String::new());
        let seen = PullRequestSeen { epoch, number: issue, state, head, checks, reviews, feedback };
        say(seen.into());
        let (target, status) = ("board".to_owned(), "merged".to_owned());
        say(Reported { epoch, target, status }.into());
        say(ClaimDropped { epoch, commit }.into());
        say(TaskFinished { epoch, outcome: "merged".to_owned() }.into());
        self.seen(issue, false, "Something is wrong");
    }
}
