//! What a verification found: failures, findings that are no failures, and what it did not check.

use std::collections::BTreeMap;

use serde::Serialize;

use super::policy::PartReport;
use super::rule::Rule;
use crate::kernel::event::{CommitId, EventId, Hlc, TaskId};
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::Hash;

/// The most failures, and the most findings, that a report lists; the rest is counted.
pub const MAX_LISTED: usize = 256;

/// A rule that was broken, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The rule.
    pub rule: Rule,
    /// In whose log; for the manifest, its exporter.
    pub author: Option<AuthorId>,
    /// At which index of the log.
    pub index: Option<u64>,
    /// At which byte of a bundle the part begins that broke it.
    pub offset: Option<u64>,
    /// What is wrong, in a sentence.
    pub what: String,
}

/// Something that an auditor should know and that breaks no rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its kind, a stable name (`schema/report.md`).
    pub kind: &'static str,
    /// In whose log, if it is about one.
    pub author: Option<AuthorId>,
    /// What, in a sentence.
    pub what: String,
}

/// Something that was not checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unchecked {
    /// Its stable name.
    pub kind: &'static str,
    /// How many there are, where they can be counted.
    pub count: Option<u64>,
    /// What, in a sentence.
    pub what: String,
}

/// A list that is cut at [`MAX_LISTED`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted<T> {
    /// The first of them.
    pub listed: Vec<T>,
    /// How many there are in all.
    pub count: u64,
}

impl<T> Default for Counted<T> {
    fn default() -> Self {
        Self { listed: Vec::new(), count: 0 }
    }
}

impl<T> Counted<T> {
    /// Adds one.
    pub fn push(&mut self, item: T) {
        if self.listed.len() < MAX_LISTED {
            self.listed.push(item);
        }
        self.count += 1;
    }
}

/// One log in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// Whose log.
    pub author: AuthorId,
    /// The author's name in the swarm, if it is known. Untrusted text.
    pub name: Option<String>,
    /// Whether everything of it in the bundle verifies by itself.
    pub verified: bool,
    /// The number of events that verify, from the first on.
    pub events: u64,
    /// The number of appends, and so of signed heads.
    pub appends: u64,
    /// The root at that length; none if nothing verifies.
    pub root: Option<Hash>,
    /// The clock of the first event.
    pub first: Option<Hlc>,
    /// The clock of the last event.
    pub last: Option<Hlc>,
}

/// What was compared beyond the logs themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The digest of a fresh fold; none if the logs did not verify.
    pub digest: Option<Hash>,
    /// The version of that fold.
    pub fold_version: Option<u32>,
    /// The founding event.
    pub founding: Option<EventId>,
    /// The number of members, present and past.
    pub members: u64,
    /// The number of tasks.
    pub tasks: u64,
    /// The number of causes that name an earlier event.
    pub causes: u64,
    /// The number of checkpoints that a fresh fold agrees with.
    pub checkpoints: u64,
    /// The number of events that the fold refused.
    pub refused: u64,
    /// The number of witnessed heads.
    pub witnessed: u64,
}

/// Who owned a task in one epoch, by the word of the logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ownership {
    /// The task.
    pub task: TaskId,
    /// Its repository and issue. Untrusted text.
    pub name: String,
    /// The epoch.
    pub epoch: u64,
    /// The owner.
    pub owner: AuthorId,
    /// When it won.
    pub from: Hlc,
    /// When it ended, if it did and the logs say when.
    pub until: Option<Hlc>,
    /// How: `active`, `released`, `published`, `escalated`, `lost`, `taken_over`, `finished`.
    pub end: &'static str,
    /// The event that intended the claim.
    pub intent: EventId,
    /// The claim commit that the claim was to replace.
    pub previous: Option<CommitId>,
    /// The claim commit, as the owner last moved it.
    pub claim: CommitId,
    /// The branch of what was published. Untrusted text.
    pub branch: Option<String>,
    /// The commit that was published under this claim.
    pub published: Option<CommitId>,
    /// The pull request that was opened under this claim.
    pub pull_request: Option<u64>,
    /// When the owner deleted the claim ref, after the end of the task.
    pub dropped: Option<Hlc>,
}

/// Up to where one witness attests a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// The witness.
    pub by: AuthorId,
    /// The number of events, from the first on, that it held.
    pub length: u64,
}

/// Up to where a log is attested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attested {
    /// Whose log.
    pub author: AuthorId,
    /// By whom.
    pub witnesses: Vec<Witness>,
    /// By the policy's quorum, if there is a policy.
    pub quorum: Option<u64>,
    /// By each part of the policy.
    pub policy: Vec<PartReport>,
}

/// A payload that was erased by design.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// In whose log.
    pub author: AuthorId,
    /// At which index.
    pub index: u64,
    /// The event.
    pub event: EventId,
    /// Who erased it.
    pub by: AuthorId,
    /// Why. Untrusted text.
    pub reason: String,
}

/// A payload that is not there, and that nobody erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// In whose log.
    pub author: AuthorId,
    /// At which index.
    pub index: u64,
    /// The event.
    pub event: EventId,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The swarm that the header names; none if there is no header.
    pub swarm: Option<SwarmId>,
    /// Who signed the manifest; none if there is no valid one.
    pub exporter: Option<AuthorId>,
    /// The number of bytes read.
    pub bytes: u64,
    /// The logs.
    pub logs: Vec<LogReport>,
    /// What was compared beyond the logs themselves.
    pub checked: Checked,
    /// The rules that were broken.
    pub failures: Counted<Failure>,
    /// What an auditor should know besides.
    pub findings: Counted<Finding>,
    /// Who owned which task, in the order of tasks and epochs.
    pub claims: Vec<Ownership>,
    /// Up to where each log is attested.
    pub attested: Vec<Attested>,
    /// Payloads that were erased.
    pub erased: Counted<Erased>,
    /// Payloads that are not there and were not erased.
    pub lost: Counted<Lost>,
    /// What was not checked.
    pub unchecked: Vec<Unchecked>,
    /// The members' names by their keys. Untrusted text.
    #[serde(skip)]
    pub names: BTreeMap<AuthorId, String>,
}

impl Report {
    /// Whether no rule was broken.
    #[must_use]
    pub fn verifies(&self) -> bool {
        self.failures.count == 0
    }

    /// The number of events that verify.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.logs.iter().map(|log| log.events).sum()
    }
}
