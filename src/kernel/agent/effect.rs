//! The closed set of what an agent asks for. What comes back is in `input.rs`.

use crate::kernel::event::kinds::Purpose;
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
    /// The push of unfinished work and of the claim, which is released to a helper.
    HandOver,
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
/// and each is answered by one [`super::Input::Outcome`].
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
    /// The epoch of the claim that the question is about.
    pub epoch: u64,
    /// How many answers of this purpose there were before.
    pub turn: u32,
    /// The messages.
    pub messages: Vec<Message>,
    /// The JSON schema of the answer.
    pub schema: serde_json::Value,
    /// The most tokens of the answer.
    pub max_tokens: u32,
}
