//! The closed sets of what an agent asks for, and of what comes back.

use crate::kernel::event::kinds::{
    CheckState, CommandStatus, PullState, Purpose, ReviewState, Stream,
};
use crate::kernel::event::{Claim, CommitId, Draft, EventId, TaskId};
use crate::kernel::log::Hash;

/// What a task's effect is about. One effect of a key is in flight at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The task.
    pub task: TaskId,
    /// What.
    pub what: What,
}

/// The part of a task's life that an effect belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A push of the claim ref.
    Claim,
    /// A question to the model.
    Model,
    /// Opening the sandbox.
    Open,
    /// A command.
    Command,
    /// Closing the sandbox.
    Close,
    /// Making the commit.
    Commit,
    /// The push of branch and claim.
    Publish,
    /// The pull request.
    Pull,
    /// A report of this status to this target.
    Report(Target, &'static str),
    /// A question to people outside of the swarm, and how often it was raised.
    Escalation(u32),
    /// A look at the pull request.
    Watch,
}

/// Who is told how a task goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The board where the issue is: labels, assignee, comment.
    Board,
    /// Hive.
    Hive,
    /// Whoever answers questions through N8N.
    People,
}

impl Target {
    /// The target's name in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Board => "board",
            Self::Hive => "hive",
            Self::People => "people",
        }
    }
}

/// Something that the agent wants done. Effects other than `Append` and `Poll` carry their [`Key`],
/// and each is answered by one [`Input::Outcome`].
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Effect {
    /// Append events, durably and as one, before anything else is done.
    Append(Vec<Draft>),
    /// Read issues and claim refs of a repository.
    Poll {
        /// The repository's name.
        repository: String,
    },
    /// Sign a claim and push it, by compare-and-swap.
    PushClaim {
        /// Names the effect.
        key: Key,
        /// The claim to sign.
        claim: Claim,
        /// The commit that the ref must hold; none if it must be absent.
        expected: Option<CommitId>,
    },
    /// Ask the model.
    AskModel {
        /// Names the effect.
        key: Key,
        /// The question's event.
        ask: EventId,
        /// The question.
        request: ModelRequest,
    },
    /// Make a sandbox with the files of a commit.
    OpenSandbox {
        /// Names the effect.
        key: Key,
        /// The epoch, for the sandbox's name.
        epoch: u64,
        /// The branch and the commit to start from; none for the repository's own branch.
        base: Option<(String, CommitId)>,
    },
    /// Run a command in the sandbox.
    Run {
        /// Names the effect.
        key: Key,
        /// The command's event.
        command: EventId,
        /// The command, for `sh -c`.
        text: String,
    },
    /// Destroy the sandbox.
    CloseSandbox {
        /// Names the effect.
        key: Key,
    },
    /// Make a commit of the sandbox's files.
    Commit {
        /// Names the effect.
        key: Key,
        /// Its parent.
        base: CommitId,
        /// Its message.
        message: String,
    },
    /// Push branch and claim as one.
    Publish {
        /// Names the effect.
        key: Key,
        /// The branch.
        branch: String,
        /// The work's commit.
        commit: CommitId,
        /// The claim to sign.
        claim: Claim,
        /// The claim commit that the ref must hold.
        expected: CommitId,
    },
    /// Open the pull request, or find the one that is open.
    OpenPull {
        /// Names the effect.
        key: Key,
        /// The branch.
        branch: String,
        /// The work's commit.
        commit: CommitId,
        /// The title.
        title: String,
        /// The text.
        body: String,
    },
    /// Read the pull request: whether it is open, its checks and its reviews.
    WatchPull {
        /// Names the effect.
        key: Key,
        /// Its number.
        number: u64,
    },
    /// Delete the claim ref, by compare-and-swap.
    DropClaim {
        /// Names the effect.
        key: Key,
        /// The commit that the ref must hold.
        expected: CommitId,
    },
    /// Ask people outside of the swarm.
    Escalate {
        /// Names the effect.
        key: Key,
        /// The question.
        call: EscalationCall,
    },
    /// Tell a board or Hive.
    Report {
        /// Names the effect.
        key: Key,
        /// What.
        report: Report,
    },
}

/// What a board or Hive is told. Telling it twice changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Who is told.
    pub target: Target,
    /// To a board: `claimed`, `published`, `escalated`, `released`, `merged` or `closed`. To Hive:
    /// `claimed`, `in_progress`, `completed`, `failed` or `escalated`.
    pub status: &'static str,
    /// The same for the same report, however often it is sent.
    pub id: Hash,
    /// The epoch, so that a comment of one epoch is edited, not repeated.
    pub epoch: u64,
    /// For people.
    pub text: String,
}

/// A question to people outside of the swarm. It is the same for the same event and level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscalationCall {
    /// The event that asks.
    pub id: EventId,
    /// How often it was raised again.
    pub level: u32,
    /// The repository's name.
    pub repository: String,
    /// The issue's number.
    pub issue: u64,
    /// The issue's title.
    pub title: String,
    /// The epoch of the owner's claim.
    pub epoch: u64,
    /// Why the owner cannot go on.
    pub reason: String,
    /// What it asks.
    pub question: String,
    /// Where people find the pull request, if there is one.
    pub pull: Option<String>,
}

/// Who speaks in a message to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The node: the rules.
    System,
    /// The node: issue, outputs, questions.
    User,
    /// The model's earlier answers.
    Assistant,
}

/// A message to the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What.
    pub content: String,
}

/// A question to the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRequest {
    /// What for.
    pub purpose: Purpose,
    /// The repository's name.
    pub repository: String,
    /// The issue's number.
    pub issue: u64,
    /// How many answers of this purpose there were before.
    pub turn: u32,
    /// The messages.
    pub messages: Vec<Message>,
    /// The JSON schema of the answer.
    pub schema: serde_json::Value,
    /// The most tokens of the answer.
    pub max_tokens: u32,
}

/// An issue as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueRead {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// Issues that must be published first.
    pub depends_on: Vec<u64>,
    /// Whether it is open.
    pub open: bool,
}

/// A claim ref as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefRead {
    /// The issue's number.
    pub issue: u64,
    /// The commit that the ref holds.
    pub commit: CommitId,
    /// The claim in it, if it is a valid one of this swarm.
    pub claim: Option<Claim>,
}

/// What came of a push of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// The ref holds our claim.
    Won(CommitId),
    /// The ref holds something else.
    Lost(Option<RefRead>),
    /// Nobody knows, or the remote refused; the ref is as before or ours.
    Failed(String),
}

/// A pull request as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRead {
    /// Whether it is open.
    pub state: PullState,
    /// The commit at the head of its branch, if that is known.
    pub head: Option<CommitId>,
    /// What its checks say of that commit.
    pub checks: CheckState,
    /// What its reviewers say of that commit.
    pub reviews: ReviewState,
    /// What failed and what is asked for.
    pub feedback: String,
}

/// What a repository's own file asks for its sandbox, as far as it was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of the file.
    pub source: String,
    /// Commands that run before the first step of the model.
    pub setup: Vec<String>,
    /// The image and the limits that then apply, for people.
    pub limits: String,
    /// What was asked for and not granted, for people.
    pub denied: Vec<String>,
}

/// What came of an effect.
#[expect(clippy::large_enum_variant, reason = "one at a time is handed over, none is stored")]
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Of [`Effect::PushClaim`] and [`Effect::Publish`]; the claim that was pushed comes back.
    Pushed(Push, Claim),
    /// Of [`Effect::AskModel`].
    Answered {
        /// The question.
        ask: EventId,
        /// The model's name.
        model: String,
        /// The answer.
        text: String,
        /// Tokens read.
        tokens_in: Option<u64>,
        /// Tokens written.
        tokens_out: Option<u64>,
    },
    /// Of [`Effect::AskModel`].
    NoAnswer {
        /// The question.
        ask: EventId,
        /// Why.
        error: String,
    },
    /// Of [`Effect::OpenSandbox`].
    Opened {
        /// Which kind, and its image.
        sandbox: String,
        /// The commit whose files it holds.
        base: CommitId,
        /// What the repository's own file asked for, if there is one.
        settings: Option<Settings>,
    },
    /// Of [`Effect::Run`].
    Ended {
        /// The command's event.
        command: EventId,
        /// How.
        status: CommandStatus,
        /// How long it ran, in milliseconds.
        duration_ms: u64,
        /// The bytes that it wrote.
        output_total: u64,
        /// The bytes of these that were passed on.
        output_kept: u64,
        /// The hash of all of them.
        output_hash: Hash,
    },
    /// Of [`Effect::Commit`].
    Committed {
        /// The commit.
        commit: CommitId,
        /// Files, lines added, lines removed.
        changed: (u32, u32, u32),
    },
    /// Of [`Effect::Commit`]: nothing was changed, or what was changed cannot be published.
    Unpublishable(String),
    /// Of [`Effect::OpenPull`].
    PullOpened {
        /// Its number.
        number: u64,
        /// Where people find it.
        place: String,
    },
    /// Of [`Effect::WatchPull`].
    PullSeen(PullRead),
    /// Of [`Effect::DropClaim`]: the ref is gone, or it was not this claim's any more.
    Dropped {
        /// The commit that it held.
        commit: CommitId,
    },
    /// Of [`Effect::CloseSandbox`], [`Effect::Escalate`] and [`Effect::Report`].
    Done,
    /// Of any effect: it failed and may be tried again.
    Failed(String),
}

/// What the agent is told.
#[expect(clippy::large_enum_variant, reason = "one at a time is handed over, none is stored")]
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Time went on, or the state changed.
    Tick,
    /// The issues of a repository were read.
    Issues {
        /// The repository's name.
        repository: String,
        /// The issues.
        issues: Vec<IssueRead>,
    },
    /// The claim refs of a repository were read, all of them.
    Claims {
        /// The repository's name.
        repository: String,
        /// The refs.
        refs: Vec<RefRead>,
    },
    /// A repository could not be read.
    PollFailed {
        /// The repository's name.
        repository: String,
    },
    /// It was read whether a repository lets agents work in it.
    Consent {
        /// The repository's name.
        repository: String,
        /// Whether it does.
        allowed: bool,
        /// Where that is said.
        source: String,
        /// What is said there.
        reason: String,
    },
    /// Whether new tasks of a repository may be claimed at present.
    Ready {
        /// The repository's name.
        repository: String,
        /// Whether they may.
        ready: bool,
    },
    /// A running command tried to reach a host that is not allowed.
    Denied {
        /// The task.
        task: TaskId,
        /// The command's event.
        command: EventId,
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// How many times.
        count: u32,
    },
    /// A running command wrote something.
    Output {
        /// The task.
        task: TaskId,
        /// The command's event.
        command: EventId,
        /// Where it wrote.
        stream: Stream,
        /// When, in milliseconds since its start.
        at_ms: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Something came of an effect.
    Outcome(Key, Outcome),
}
