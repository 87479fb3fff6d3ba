//! The closed set of what an agent is told: what was read outside, and what came of its effects.

use super::effect::Key;
use crate::kernel::event::kinds::{CheckState, CommandStatus, PullState, ReviewState, Stream};
use crate::kernel::event::{Claim, CommitId, EventId, TaskId};
use crate::kernel::log::Hash;

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

/// The most paths of changed files that an agent is told.
pub const MAX_CHANGED_FILES: usize = 4096;

/// What came of an effect.
#[expect(clippy::large_enum_variant, reason = "one at a time is handed over, none is stored")]
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Of [`super::Effect::PushClaim`] and [`super::Effect::Publish`]; the claim that was pushed
    /// comes back.
    Pushed(Push, Claim),
    /// Of [`super::Effect::AskModel`].
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
    /// Of [`super::Effect::AskModel`].
    NoAnswer {
        /// The question.
        ask: EventId,
        /// Why.
        error: String,
    },
    /// Of [`super::Effect::OpenSandbox`].
    Opened {
        /// Which kind, and its image.
        sandbox: String,
        /// The commit whose files it holds.
        base: CommitId,
        /// What the repository's own file asked for, if there is one.
        settings: Option<Settings>,
        /// The limit of each command that applies in it, in seconds.
        command_seconds: u32,
    },
    /// Of [`super::Effect::Run`].
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
    /// Of [`super::Effect::Commit`].
    Committed {
        /// The commit.
        commit: CommitId,
        /// Files, lines added, lines removed.
        changed: (u32, u32, u32),
        /// The paths of the files, at most [`MAX_CHANGED_FILES`] of them.
        files: Vec<String>,
    },
    /// Of [`super::Effect::Commit`]: nothing was changed, or what was changed cannot be published.
    Unpublishable(String),
    /// Of [`super::Effect::OpenPull`].
    PullOpened {
        /// Its number.
        number: u64,
        /// Where people find it.
        place: String,
    },
    /// Of [`super::Effect::WatchPull`].
    PullSeen(PullRead),
    /// Of [`super::Effect::DropClaim`]: the ref is gone, or it was not this claim's any more.
    Dropped {
        /// The commit that it held.
        commit: CommitId,
    },
    /// Of [`super::Effect::CloseSandbox`], [`super::Effect::Escalate`] and
    /// [`super::Effect::Report`].
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
    /// A repository comes to those that this node works on.
    TakeUp {
        /// The repository's name.
        repository: String,
        /// Its URL without credentials.
        url: String,
        /// The branch that work starts from.
        branch: String,
    },
    /// A repository is none of those any more that this node works on: it is not read, and none of
    /// its tasks is claimed.
    LetGo {
        /// The repository's name.
        repository: String,
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
    /// A running command asked for a host that it may not reach.
    Denied {
        /// The task.
        task: TaskId,
        /// The command's event.
        command: EventId,
        /// The name or address that it asked for. Untrusted.
        host: String,
        /// The port.
        port: u16,
        /// How many times since that was last told.
        count: u32,
    },
    /// Something came of an effect.
    Outcome(Key, Outcome),
}
