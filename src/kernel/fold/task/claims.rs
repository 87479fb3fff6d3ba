//! An epoch of a task: who tried to win it, who won it, and how it ended. The claim ref decides;
//! what authors say of it is compared, not believed.

use std::collections::{BTreeMap, BTreeSet};

use bincode::{Decode, Encode};
use serde::Serialize;

use super::discussion::Discussion;
use super::ending::{Escalation, Round};
use super::help::{Approval, Handed, Help};
use super::plans::Plan;
use super::publish::{Publish, Pull};
use super::work::{Ask, Spent, Work};
use crate::kernel::event::kinds::{
    ClaimDropped, ClaimExpired, ClaimFailed, ClaimIntended, ClaimLost, ClaimMoved, ClaimSeen,
    ClaimWon, Payload,
};
use crate::kernel::event::{ClaimStatus, CommitId, Event, EventId, Hlc};
use crate::kernel::fold::refusal::Reason;
use crate::kernel::identity::AuthorId;

/// The most attempts to win one epoch that are kept.
pub(crate) const MAX_INTENTS: usize = 4096;

/// An attempt to win an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Intent {
    /// Who.
    pub author: AuthorId,
    /// When.
    pub at: Hlc,
    /// In which process.
    pub process: u64,
    /// For how long, without renewal.
    pub lease_ms: u64,
    /// The claim commit that it was to replace.
    pub previous: Option<CommitId>,
    /// What came of it.
    pub result: IntentResult,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentResult {
    /// Nothing yet.
    Pending,
    /// The ref holds its claim.
    Won,
    /// The ref holds another's.
    Lost,
    /// It was given up.
    Failed,
}

/// The claim that won an epoch, by its author's word.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Win {
    /// Who.
    pub author: AuthorId,
    /// In which process.
    pub process: u64,
    /// When.
    pub at: Hlc,
    /// The intent that the claim in the ref names.
    pub intent: EventId,
    /// The lease in milliseconds.
    pub lease_ms: u64,
    /// The claim commit, as of the last renewal.
    pub commit: CommitId,
    /// How often it was renewed.
    pub renewal: u64,
    /// What the claim says.
    pub status: ClaimStatus,
    /// When it was last moved.
    pub moved_at: Hlc,
    /// When the author said that it had lost the claim.
    pub lost_at: Option<Hlc>,
    /// When the author deleted the claim ref.
    pub dropped: Option<Hlc>,
}

/// What happened under the claim of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Epoch {
    /// The number of the epoch, from 1 on.
    pub number: u64,
    /// Who tried to win it.
    pub intents: BTreeMap<EventId, Intent>,
    /// Who won it: the first in the total order that says so.
    pub winner: Option<Win>,
    /// Others that say that they won it as well. The epoch is contested then, and what nodes saw
    /// in the ref tells who lies.
    pub contested: BTreeSet<AuthorId>,
    /// Whose claim of this epoch was seen in the ref, and by whom.
    pub seen: BTreeMap<AuthorId, BTreeSet<AuthorId>>,
    /// Who watched the claim run out.
    pub expired: BTreeMap<AuthorId, Hlc>,
    /// Open questions to models, by who asked.
    pub asks: BTreeMap<AuthorId, Ask>,
    /// The plans, by revision.
    pub plans: Vec<Plan>,
    /// The work loop.
    pub work: Work,
    /// The publication.
    pub publish: Option<Publish>,
    /// The last publication before the work was resumed.
    pub earlier: Option<Publish>,
    /// The pull request.
    pub pull: Option<Pull>,
    /// The question to people.
    pub escalation: Option<Escalation>,
    /// How often the work was resumed, and why.
    pub rounds: Vec<Round>,
    /// What models were used for, by who asked them and by day since 1970.
    pub usage: BTreeMap<AuthorId, BTreeMap<u64, Spent>>,
    /// Who was told what: `target:status`.
    pub reported: BTreeSet<String>,
    /// What came of it, once the owner's part is over.
    pub finished: Option<String>,
    /// What members say about the task.
    pub discussion: Discussion,
    /// What help the owner asked for.
    pub help: Vec<Help>,
    /// To whom the task was handed over.
    pub handed: Option<Handed>,
    /// What people were to approve.
    pub approvals: Vec<Approval>,
}

impl Epoch {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            intents: BTreeMap::new(),
            winner: None,
            contested: BTreeSet::new(),
            seen: BTreeMap::new(),
            expired: BTreeMap::new(),
            asks: BTreeMap::new(),
            plans: Vec::new(),
            work: Work::default(),
            publish: None,
            earlier: None,
            pull: None,
            escalation: None,
            rounds: Vec::new(),
            usage: BTreeMap::new(),
            reported: BTreeSet::new(),
            finished: None,
            discussion: Discussion::default(),
            help: Vec::new(),
            handed: None,
            approvals: Vec::new(),
        }
    }

    /// Whether the winner still owns the task, as far as it says.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.finished.is_none() && self.winner.as_ref().is_some_and(|win| win.lost_at.is_none())
    }

    /// The work that was published last under this claim.
    #[must_use]
    pub fn published(&self) -> Option<&Publish> {
        self.publish.as_ref().filter(|publish| publish.claim.is_some()).or(self.earlier.as_ref())
    }

    /// The plan that stands: the last one.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        self.plans.last()
    }

    pub(super) fn owned_by(&self, author: &AuthorId) -> Result<(), Reason> {
        match &self.winner {
            Some(win) if win.author == *author => Ok(()),
            _ => Err(Reason::NotTheOwner),
        }
    }

    pub(super) fn fold(
        &mut self,
        event: &Event,
        payload: &Payload,
        person: bool,
    ) -> Result<(), Reason> {
        let author = &event.author;
        match payload {
            Payload::ClaimWon(won) => self.won(event, won),
            Payload::ClaimLost(lost) => self.lost(event, lost),
            Payload::ClaimFailed(failed) => self.failed(author, failed),
            Payload::ClaimSeen(seen) => {
                self.saw(author, seen);
                Ok(())
            }
            Payload::ClaimExpired(expired) => self.expired(event, expired),
            Payload::ClaimMoved(moved) => self.moved(event, moved),
            Payload::ClaimDropped(dropped) => self.dropped(event, dropped),
            Payload::PlanProposed(_) | Payload::PlanReviewed(_) | Payload::PlanAdopted(_) => {
                self.fold_plan(event, payload, person)
            }
            Payload::MessageSaid(said) => self.said(event, said, person),
            Payload::Withdrawn(withdrawn) => self.withdrawn(event, withdrawn, person),
            Payload::DiscussionBounded(named) => self.bounded(event, named),
            Payload::HelpRequested(requested) => self.help_requested(event, requested),
            Payload::HelpOffered(offered) => self.help_offered(event, offered, person),
            Payload::HelpAccepted(accepted) => self.help_accepted(event, accepted),
            Payload::HandedOver(handed) => self.handed_over(event, handed),
            Payload::ApprovalRequested(requested) => self.approval_requested(event, requested),
            Payload::ApprovalGiven(given) => self.approval_given(event, given),
            Payload::PublishIntended(_)
            | Payload::Published(_)
            | Payload::PublishRefused(_)
            | Payload::PullRequestOpened(_)
            | Payload::PullRequestSeen(_) => {
                self.owned_by(author)?;
                self.fold_publish(event, payload)
            }
            Payload::EscalationAcknowledged(acknowledged) => self.acknowledged(acknowledged),
            Payload::EscalationAnswered(answered) => self.answered_by_people(event, answered),
            Payload::Escalated(_)
            | Payload::EscalationRaised(_)
            | Payload::WorkResumed(_)
            | Payload::Reported(_)
            | Payload::TaskFinished(_) => {
                self.owned_by(author)?;
                self.fold_ending(event, payload)
            }
            _ => self.fold_work(event, payload),
        }
    }

    pub(super) fn intended(
        &mut self,
        event: &Event,
        intended: &ClaimIntended,
    ) -> Result<(), Reason> {
        if self.intents.len() >= MAX_INTENTS {
            return Err(Reason::Limit);
        }
        let intent = Intent {
            author: event.author,
            at: event.header.clock,
            process: intended.process,
            lease_ms: intended.lease_ms,
            previous: intended.previous.clone().filter(CommitId::is_valid),
            result: IntentResult::Pending,
        };
        self.intents.insert(event.id, intent);
        Ok(())
    }

    /// The author's own pending intent.
    fn pending(&mut self, author: &AuthorId, intent: &EventId) -> Result<&mut Intent, Reason> {
        let intent = self.intents.get_mut(intent).filter(|intent| intent.author == *author);
        intent.ok_or(Reason::Dangling)
    }

    fn won(&mut self, event: &Event, won: &ClaimWon) -> Result<(), Reason> {
        if !won.commit.is_valid() {
            return Err(Reason::Content);
        }
        let intent = self.pending(&event.author, &won.intent)?;
        intent.result = IntentResult::Won;
        let (process, lease_ms) = (intent.process, intent.lease_ms);
        match &self.winner {
            Some(win) if win.author == event.author => return Err(Reason::Repeated),
            Some(_) => {
                self.contested.insert(event.author);
                return Ok(());
            }
            None => {}
        }
        let at = event.header.clock;
        self.winner = Some(Win {
            author: event.author,
            process,
            at,
            intent: won.intent,
            lease_ms,
            commit: won.commit.clone(),
            renewal: 0,
            status: ClaimStatus::Active,
            moved_at: at,
            lost_at: None,
            dropped: None,
        });
        Ok(())
    }

    fn lost(&mut self, event: &Event, lost: &ClaimLost) -> Result<(), Reason> {
        for intent in self.intents.values_mut() {
            if intent.author == event.author && intent.result == IntentResult::Pending {
                intent.result = IntentResult::Lost;
            }
        }
        if let Some((holder, epoch)) = lost.holder
            && epoch == self.number
        {
            self.seen.entry(holder).or_default().insert(event.author);
        }
        if let Some(win) = self.winner.as_mut().filter(|win| win.author == event.author) {
            win.lost_at = win.lost_at.or(Some(event.header.clock));
        }
        Ok(())
    }

    fn failed(&mut self, author: &AuthorId, failed: &ClaimFailed) -> Result<(), Reason> {
        self.pending(author, &failed.intent)?.result = IntentResult::Failed;
        Ok(())
    }

    fn saw(&mut self, author: &AuthorId, seen: &ClaimSeen) {
        self.seen.entry(seen.holder).or_default().insert(*author);
    }

    fn expired(&mut self, event: &Event, expired: &ClaimExpired) -> Result<(), Reason> {
        match &self.winner {
            Some(win) if win.author == expired.holder => {
                self.expired.insert(event.author, event.header.clock);
                Ok(())
            }
            _ => Err(Reason::Dangling),
        }
    }

    fn moved(&mut self, event: &Event, moved: &ClaimMoved) -> Result<(), Reason> {
        self.owned_by(&event.author)?;
        let Some(win) = self.winner.as_mut().filter(|_| moved.commit.is_valid()) else {
            return Err(Reason::Content);
        };
        win.commit = moved.commit.clone();
        win.renewal = moved.renewal;
        win.status = moved.status;
        win.moved_at = event.header.clock;
        Ok(())
    }

    fn dropped(&mut self, event: &Event, dropped: &ClaimDropped) -> Result<(), Reason> {
        self.owned_by(&event.author)?;
        let held = self.winner.as_mut().filter(|win| win.commit == dropped.commit);
        held.ok_or(Reason::Dangling)?.dropped = Some(event.header.clock);
        Ok(())
    }
}
