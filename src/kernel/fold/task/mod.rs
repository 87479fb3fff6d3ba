//! One task: what is known of its issue, and what happened in each epoch of its claim.

mod claims;
mod discussion;
mod ending;
mod help;
mod plans;
mod publish;
mod work;

use std::collections::{BTreeMap, BTreeSet};

use bincode::{Decode, Encode};
use serde::Serialize;

pub use claims::{Epoch, Intent, IntentResult, Win};
pub use discussion::{Discussion, Limits, MAX_MESSAGE, MAX_OBJECTIONS, Message, Part};
pub use ending::{Acknowledged, Escalation, PeoplesAnswer, Round};
pub use help::{Approval, Approved, Handed, Help, Offer};
pub(crate) use help::{MAX_APPROVALS, MAX_HELP, MAX_OFFERS};
pub(crate) use plans::{MAX_PLANS, MAX_REVIEWS};
pub use plans::{Plan, Review};
pub use publish::{MAX_FEEDBACK, Publish, Pull};
pub use work::{Answer, Ask, Command, DAY_MS, OUTPUT_EXCERPT, Sandbox, Spent, Work};

use super::refusal::{Reason, Refusals};
use crate::kernel::event::kinds::{DependencyDetected, Payload, PullState, Source, TaskSeen};
use crate::kernel::event::{ClaimStatus, CommitId, Event, Hlc, MAX_REPOSITORY_NAME, TaskId};
use crate::kernel::identity::AuthorId;

/// The most epochs that a task may have.
pub(crate) const MAX_EPOCHS: usize = 1024;

/// The most tasks that one task is found to depend on, and the most nodes that find one such.
pub(crate) const MAX_DETECTED: usize = 64;
pub(crate) const MAX_DETECTORS: usize = 256;

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// The repository's name; empty until the issue was seen.
    pub repository: String,
    /// The issue's number.
    pub issue: u64,
    /// The issue's title.
    pub title: String,
    /// The issue's text.
    pub body: String,
    /// The issue's labels.
    pub labels: Vec<String>,
    /// Issues whose work must be published first.
    pub depends_on: Vec<u64>,
    /// Whether the issue is open.
    pub open: bool,
    /// When the issue was last seen to change.
    pub seen_at: Option<Hlc>,
    /// The epoch that was current when the issue was last seen closed, or 0.
    pub over: u64,
    /// What happened under each claim, by epoch.
    pub epochs: BTreeMap<u64, Epoch>,
    /// What was refused.
    pub refusals: Refusals,
    /// How many events are about the task, the refused ones not counted.
    pub events: u64,
    /// On which tasks it depends, as nodes found.
    pub detected: BTreeMap<TaskId, Detected>,
}

/// A dependency that nodes found.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Detected {
    /// The repository of the other task.
    pub repository: String,
    /// Its issue.
    pub issue: u64,
    /// How it was found.
    pub source: Source,
    /// In percent.
    pub confidence: u32,
    /// What speaks for it.
    pub evidence: Vec<String>,
    /// Who found it.
    pub by: BTreeSet<AuthorId>,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// The issue is open, and nobody owns the task.
    Open,
    /// Somebody owns the task and works on it.
    Claimed,
    /// The work is published.
    Published,
    /// The owner asks people.
    Escalated,
    /// The pull request was merged.
    Merged,
    /// The pull request was closed without a merge.
    Rejected,
    /// The issue is closed, and no work was published.
    Closed,
}

impl TaskStatus {
    /// The status in a word, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Claimed => "claimed",
            Self::Published => "published",
            Self::Escalated => "escalated",
            Self::Merged => "merged",
            Self::Rejected => "rejected",
            Self::Closed => "closed",
        }
    }
}

impl Task {
    pub(super) fn new(id: TaskId) -> Self {
        Self {
            id,
            repository: String::new(),
            issue: 0,
            title: String::new(),
            body: String::new(),
            labels: Vec::new(),
            depends_on: Vec::new(),
            open: false,
            seen_at: None,
            over: 0,
            epochs: BTreeMap::new(),
            refusals: Refusals::default(),
            events: 0,
            detected: BTreeMap::new(),
        }
    }

    /// For people: the repository and the issue's number.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}#{}", self.repository, self.issue)
    }

    /// The highest epoch that somebody won.
    #[must_use]
    pub fn current(&self) -> Option<&Epoch> {
        self.epochs.values().rev().find(|epoch| epoch.winner.is_some())
    }

    /// Who owns the task now, and in which epoch.
    #[must_use]
    pub fn owner(&self) -> Option<(AuthorId, u64)> {
        let epoch = self.current().filter(|epoch| epoch.is_active())?;
        Some((epoch.winner.as_ref()?.author, epoch.number))
    }

    /// How the task was handed over to this epoch, if it was: by the owner of the one before.
    #[must_use]
    pub fn handed_to(&self, epoch: u64) -> Option<&Handed> {
        let mut before = self.epochs.range(..epoch).rev().map(|(_, before)| before);
        before.find(|before| before.winner.is_some())?.handed.as_ref()
    }

    /// The work that was published.
    #[must_use]
    pub fn published(&self) -> Option<&Publish> {
        self.epochs.values().rev().find_map(Epoch::published)
    }

    /// Whether those that depend on it have to wait: its work is not published, and people did not
    /// close it.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.open && self.published().is_none()
    }

    /// The branch and the commit that were published, unless people merged or closed them since:
    /// then the main branch is what others go on from, and the branch may be gone.
    #[must_use]
    pub fn pending(&self) -> Option<(String, CommitId)> {
        let ended = matches!(self.status(), TaskStatus::Merged | TaskStatus::Rejected);
        let work = self.published().filter(|_| self.open && !ended)?;
        Some((work.branch.clone(), work.commit.clone()))
    }

    /// Where the task stands.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        let reopened = |epoch: &&Epoch| self.open && self.over >= epoch.number;
        let Some(epoch) = self.current().filter(|epoch| !reopened(epoch)) else {
            return if self.open { TaskStatus::Open } else { TaskStatus::Closed };
        };
        let status = epoch.winner.as_ref().map(|win| win.status);
        match epoch.pull.as_ref().map(|pull| pull.state) {
            Some(PullState::Merged) => return TaskStatus::Merged,
            Some(PullState::Closed) => return TaskStatus::Rejected,
            Some(PullState::Open) | None => {}
        }
        match status {
            _ if epoch.escalation.is_some() && status == Some(ClaimStatus::Escalated) => {
                TaskStatus::Escalated
            }
            _ if epoch.publish.as_ref().is_some_and(|publish| publish.claim.is_some()) => {
                TaskStatus::Published
            }
            _ if !self.open && epoch.published().is_none() => TaskStatus::Closed,
            Some(ClaimStatus::Released) | None => TaskStatus::Open,
            Some(_) if epoch.is_active() => TaskStatus::Claimed,
            Some(_) => TaskStatus::Open,
        }
    }

    /// Authorises an event, then applies it.
    pub(super) fn fold(
        &mut self,
        event: &Event,
        payload: &Payload,
        person: bool,
    ) -> Result<(), Reason> {
        match payload {
            Payload::DependencyDetected(detected) => self.detected(event, detected)?,
            Payload::TaskSeen(seen) => self.seen(event, seen)?,
            Payload::ClaimIntended(intended) => {
                let full = self.epochs.len() >= MAX_EPOCHS;
                if intended.epoch == 0 || (full && !self.epochs.contains_key(&intended.epoch)) {
                    return Err(Reason::Limit);
                }
                let epoch = self.epochs.entry(intended.epoch);
                epoch.or_insert_with(|| Epoch::new(intended.epoch)).intended(event, intended)?;
            }
            _ => {
                let number = epoch_of(payload).ok_or(Reason::Content)?;
                let epoch = self.epochs.get_mut(&number).ok_or(Reason::Dangling)?;
                epoch.fold(event, payload, person)?;
            }
        }
        self.events += 1;
        Ok(())
    }

    fn seen(&mut self, event: &Event, seen: &TaskSeen) -> Result<(), Reason> {
        let fits = TaskId::of(&seen.repository, seen.issue) == self.id
            && seen.repository.len() <= MAX_REPOSITORY_NAME
            && seen.title.len() <= 1024
            && seen.labels.len() <= 64
            && seen.depends_on.len() <= 64;
        if !fits {
            return Err(Reason::Content);
        }
        self.repository.clone_from(&seen.repository);
        self.issue = seen.issue;
        self.title.clone_from(&seen.title);
        self.body.clone_from(&seen.body);
        self.labels.clone_from(&seen.labels);
        self.depends_on.clone_from(&seen.depends_on);
        self.open = seen.open;
        if !seen.open
            && let Some(current) = self.current()
        {
            self.over = current.number;
        }
        self.seen_at = Some(event.header.clock);
        Ok(())
    }

    fn detected(&mut self, event: &Event, detected: &DependencyDetected) -> Result<(), Reason> {
        let other = TaskId::of(&detected.repository, detected.issue);
        let fits = detected.repository.len() <= MAX_REPOSITORY_NAME
            && detected.confidence <= 100
            && detected.evidence.len() <= 16
            && other != self.id;
        if !fits {
            return Err(Reason::Content);
        }
        let DependencyDetected { repository, issue, source, confidence, evidence } =
            detected.clone();
        let Some(known) = self.detected.get_mut(&other) else {
            if self.detected.len() >= MAX_DETECTED {
                return Err(Reason::Limit);
            }
            let by = [event.author].into();
            let found = Detected { repository, issue, source, confidence, evidence, by };
            self.detected.insert(other, found);
            return Ok(());
        };
        if known.by.len() >= MAX_DETECTORS && !known.by.contains(&event.author) {
            return Err(Reason::Limit);
        }
        known.by.insert(event.author);
        if confidence > known.confidence {
            (known.source, known.confidence, known.evidence) = (source, confidence, evidence);
        }
        Ok(())
    }

    /// Whether the issue reads as it did when it was last seen.
    #[must_use]
    pub fn reads_as(&self, seen: &TaskSeen) -> bool {
        self.seen_at.is_some()
            && self.title == seen.title
            && self.body == seen.body
            && self.labels == seen.labels
            && self.depends_on == seen.depends_on
            && self.open == seen.open
    }
}

/// The epoch that an event is about.
fn epoch_of(payload: &Payload) -> Option<u64> {
    Some(match payload {
        Payload::ClaimWon(p) => p.epoch,
        Payload::ClaimLost(p) => p.epoch,
        Payload::ClaimMoved(p) => p.epoch,
        Payload::ClaimSeen(p) => p.epoch,
        Payload::ClaimExpired(p) => p.epoch,
        Payload::ClaimFailed(p) => p.epoch,
        Payload::ClaimDropped(p) => p.epoch,
        Payload::PlanProposed(p) => p.epoch,
        Payload::PlanReviewed(p) => p.epoch,
        Payload::PlanAdopted(p) => p.epoch,
        Payload::SandboxOpened(p) => p.epoch,
        Payload::SandboxFailed(p) => p.epoch,
        Payload::ModelAsked(p) => p.epoch,
        Payload::ModelAnswered(p) => p.epoch,
        Payload::ModelFailed(p) => p.epoch,
        Payload::AnswerRefused(p) => p.epoch,
        Payload::CommandIntended(p) => p.epoch,
        Payload::CommandOutput(p) => p.epoch,
        Payload::CommandFinished(p) => p.epoch,
        Payload::WorkDone(p) => p.epoch,
        Payload::SandboxClosed(p) => p.epoch,
        Payload::ContextDropped(p) => p.epoch,
        Payload::EgressDenied(p) => p.epoch,
        Payload::SettingsRead(p) => p.epoch,
        Payload::PublishIntended(p) => p.epoch,
        Payload::Published(p) => p.epoch,
        Payload::PublishRefused(p) => p.epoch,
        Payload::PullRequestOpened(p) => p.epoch,
        Payload::Escalated(p) => p.epoch,
        Payload::Reported(p) => p.epoch,
        Payload::TaskFinished(p) => p.epoch,
        Payload::PullRequestSeen(p) => p.epoch,
        Payload::WorkResumed(p) => p.epoch,
        Payload::EscalationRaised(p) => p.epoch,
        Payload::EscalationAcknowledged(p) => p.epoch,
        Payload::EscalationAnswered(p) => p.epoch,
        Payload::Withdrawn(p) => p.epoch,
        Payload::MessageSaid(p) => p.epoch,
        Payload::HelpRequested(p) => p.epoch,
        Payload::HelpOffered(p) => p.epoch,
        Payload::HelpAccepted(p) => p.epoch,
        Payload::HandedOver(p) => p.epoch,
        Payload::ApprovalRequested(p) => p.epoch,
        Payload::ApprovalGiven(p) => p.epoch,
        Payload::DiscussionBounded(p) => p.epoch,
        Payload::SwarmFounded(_)
        | Payload::MemberAdmitted(_)
        | Payload::MemberRevoked(_)
        | Payload::Checkpoint(_)
        | Payload::HeadsWitnessed(_)
        | Payload::ForkProven(_)
        | Payload::ForkResolved(_)
        | Payload::PayloadErased(_)
        | Payload::KeyRotated(_)
        | Payload::AgentStarted(_)
        | Payload::RepositorySeen(_)
        | Payload::RepositoryConsent(_)
        | Payload::TaskSeen(_)
        | Payload::ClaimIntended(_)
        | Payload::DependencyDetected(_)
        | Payload::CoordinationOpened(_)
        | Payload::CoordinationJoined(_)
        | Payload::CoordinationSaid(_)
        | Payload::CoordinationResolved(_)
        | Payload::CoordinationEscalated(_) => return None,
    })
}
