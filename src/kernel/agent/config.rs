//! What a node's operator decides about its agent.

use std::collections::BTreeMap;

use super::rules::ApprovalRules;
use super::talk::TalkConfig;

/// How an agent works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// Whether it takes tasks.
    pub works: bool,
    /// Whether it reviews the plans of others.
    pub review: bool,
    /// An issue must carry one of these labels; none means any issue.
    pub labels: Vec<String>,
    /// What the node says that it can do.
    pub capabilities: Vec<String>,
    /// How many tasks it owns at once.
    pub max_tasks: usize,
    /// How long a claim stands without renewal, in milliseconds.
    pub lease_ms: u64,
    /// How long objections to a plan are heard, in milliseconds.
    pub plan_window_ms: u64,
    /// How often a plan is revised after blocking objections.
    pub max_plan_revisions: u32,
    /// How often repositories are read, in milliseconds.
    pub poll_ms: u64,
    /// A command's time limit in seconds.
    pub command_seconds: u32,
    /// The most bytes of messages that the model is sent.
    pub context_bytes: usize,
    /// The most tokens that the model may answer with.
    pub max_tokens: u32,
    /// What a task may cost.
    pub budget: Budget,
    /// What all tasks of one day may cost; a day begins at midnight UTC.
    pub day: DayBudget,
    /// How often the work is resumed because of a pull request's checks and reviews.
    pub max_rounds: u32,
    /// How often an open pull request is looked at, in milliseconds.
    pub watch_ms: u64,
    /// Whether Hive is told.
    pub hive: bool,
    /// Whether questions go to people outside of the swarm.
    pub people: bool,
    /// How long nobody needs to acknowledge a question before it is raised again, in milliseconds;
    /// 0 for never.
    pub acknowledge_ms: u64,
    /// How often a question is raised again.
    pub max_raises: u32,
    /// How it discusses and helps.
    pub talk: TalkConfig,
    /// What people must approve.
    pub approvals: ApprovalRules,
    /// The repositories at the start: name, and URL without credentials and branch. Others come
    /// and go by [`super::Input::TakeUp`] and [`super::Input::LetGo`].
    pub repositories: BTreeMap<String, (String, String)>,
}

/// What a node may spend in one day, reviews included. When a limit is reached, the node gives its
/// tasks back and claims none until the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayBudget {
    /// Commands.
    pub commands: u64,
    /// Answers of the model.
    pub answers: u64,
    /// Tokens. An answer whose cost is not known counts as `max_tokens`.
    pub tokens: u64,
}

/// What one round of a task may cost its owner: from the claim, or from the answer or the feedback
/// that resumed the work. A limit that is reached ends the round with a question to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Commands.
    pub commands: u64,
    /// Answers of the model.
    pub answers: u64,
    /// Tokens. An answer whose cost is not known counts as `max_tokens`, not as nothing.
    pub tokens: u64,
    /// Time since the claim was won or the work was resumed, in milliseconds.
    pub wall_ms: u64,
    /// Failures in a row of the model, the sandbox or the remote.
    pub retries: u32,
}
