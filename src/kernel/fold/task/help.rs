//! Requests for help, offers, hand-offs, and approvals of people.

use bincode::{Decode, Encode};
use serde::Serialize;

use super::claims::Epoch;
use super::discussion::{MAX_MESSAGE, Part};
use super::publish::MAX_FEEDBACK;
use crate::kernel::event::kinds::{
    ApprovalGiven, ApprovalRequested, HandedOver, HelpAccepted, HelpForm, HelpOffered,
    HelpRequested, Purpose, Subject,
};
use crate::kernel::event::{ClaimStatus, CommitId, Event, EventId, Hlc};
use crate::kernel::fold::refusal::Reason;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::Hash;

/// The most requests for help in one epoch.
pub(crate) const MAX_HELP: usize = 8;

/// The most offers that answer one request.
pub(crate) const MAX_OFFERS: usize = 16;

/// The most approvals that are asked for in one epoch.
pub(crate) const MAX_APPROVALS: usize = 256;

/// A request for help.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Help {
    /// The event.
    pub event: EventId,
    /// When it was asked.
    pub at: Hlc,
    /// What the owner did so far.
    pub tried: Vec<String>,
    /// What it needs.
    pub missing: String,
    /// Until when offers are awaited, in milliseconds since 1970.
    pub deadline_ms: u64,
    /// What others offered, in order.
    pub offers: Vec<Offer>,
    /// The offer that was accepted, and when.
    pub accepted: Option<(EventId, Hlc)>,
    /// Whether nobody waits for offers any more.
    pub closed: bool,
}

/// An offer of help.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Offer {
    /// The event.
    pub event: EventId,
    /// Who.
    pub author: AuthorId,
    /// What is offered.
    pub help: HelpForm,
    /// The advice, or why it could do better.
    pub text: String,
    /// What the author can do.
    pub capabilities: Vec<String>,
    /// Until when the offer stands, in milliseconds since 1970.
    pub until_ms: u64,
    /// Whether its author took it back.
    pub withdrawn: bool,
}

/// A claim that was released for a helper.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Handed {
    /// The event.
    pub event: EventId,
    /// When.
    pub at: Hlc,
    /// The helper.
    pub to: AuthorId,
    /// The ref and the commit that hold the work so far.
    pub base: Option<(String, CommitId)>,
    /// The claim commit.
    pub claim: CommitId,
}

/// Something that people must approve.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Approval {
    /// The event.
    pub event: EventId,
    /// When it was asked for.
    pub at: Hlc,
    /// What is to be approved.
    pub subject: Subject,
    /// What an approval is bound to.
    pub hash: Hash,
    /// What is to be approved, for people.
    pub text: String,
    /// Which rule asks for it.
    pub rule: String,
    /// Until when the owner waits, in milliseconds since 1970.
    pub deadline_ms: u64,
    /// What a person said.
    pub verdict: Option<Approved>,
}

/// What a person said of something that it was to approve.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Approved {
    /// The event.
    pub event: EventId,
    /// Who.
    pub author: AuthorId,
    /// Whether it may be done.
    pub approved: bool,
    /// Why.
    pub reason: String,
}

impl Help {
    /// The offer that was accepted.
    #[must_use]
    pub fn helper(&self) -> Option<&Offer> {
        let (accepted, _) = self.accepted.as_ref()?;
        self.offers.iter().find(|offer| offer.event == *accepted)
    }
}

impl Epoch {
    /// The request for help that waits for offers.
    #[must_use]
    pub fn open_help(&self) -> Option<&Help> {
        self.help.last().filter(|help| !help.closed)
    }

    /// The helper that takes the task over, if the owner accepted that since the work began or was
    /// resumed.
    #[must_use]
    pub fn successor(&self) -> Option<&Offer> {
        let help = self.help.last()?;
        let fresh = self.rounds.last().is_none_or(|round| help.at > round.at);
        help.helper().filter(|offer| fresh && offer.help == HelpForm::TakeOver)
    }

    /// The requests for an approval that people can still decide: nobody has, the work was not
    /// resumed since, and the plan is still the one that stands.
    pub fn awaited(&self) -> impl Iterator<Item = &Approval> {
        let since = self.rounds.last().map(|round| round.at);
        let plan = self.plan().filter(|plan| plan.adopted.is_none());
        let plan = plan.map(|plan| Subject::Plan.hash(&plan.event.0));
        self.approvals.iter().filter(move |asked| {
            asked.verdict.is_none()
                && since.is_none_or(|since| asked.at > since)
                && (asked.subject != Subject::Plan || plan == Some(asked.hash))
        })
    }

    /// The last request for the approval of this content.
    #[must_use]
    pub fn approval(&self, hash: &Hash) -> Option<&Approval> {
        self.approvals.iter().rev().find(|approval| approval.hash == *hash)
    }

    pub(super) fn help_requested(
        &mut self,
        event: &Event,
        requested: &HelpRequested,
    ) -> Result<(), Reason> {
        self.owned_by(&event.author)?;
        if self.finished.is_some() {
            return Err(Reason::Ended);
        }
        if self.help.len() >= MAX_HELP {
            return Err(Reason::Limit);
        }
        if self.open_help().is_some() {
            return Err(Reason::Repeated);
        }
        if requested.tried.len() > 32 || requested.missing.len() > MAX_MESSAGE {
            return Err(Reason::Content);
        }
        self.help.push(Help {
            event: event.id,
            at: event.header.clock,
            tried: requested.tried.clone(),
            missing: requested.missing.clone(),
            deadline_ms: requested.deadline_ms,
            offers: Vec::new(),
            accepted: None,
            closed: false,
        });
        self.answered(&event.author, Purpose::Step);
        self.answered(&event.author, Purpose::Plan);
        Ok(())
    }

    pub(super) fn help_offered(
        &mut self,
        event: &Event,
        offered: &HelpOffered,
        person: bool,
    ) -> Result<(), Reason> {
        if self.owned_by(&event.author).is_ok() {
            return Err(Reason::OwnPlan);
        }
        self.answered(&event.author, Purpose::Help);
        let at = self.help.iter().position(|help| help.event == offered.request);
        let at = at.ok_or(Reason::Dangling)?;
        let help = &self.help[at];
        if help.closed {
            return Err(Reason::Ended);
        }
        if help.offers.iter().any(|offer| offer.author == event.author) {
            return Err(Reason::Repeated);
        }
        if help.offers.len() >= MAX_OFFERS {
            return Err(Reason::Limit);
        }
        if offered.capabilities.len() > 64 {
            return Err(Reason::Content);
        }
        self.admit(event, person, 1, &offered.text)?;
        self.help[at].offers.push(Offer {
            event: event.id,
            author: event.author,
            help: offered.help,
            text: offered.text.clone(),
            capabilities: offered.capabilities.clone(),
            until_ms: offered.until_ms,
            withdrawn: false,
        });
        self.message(event, offered.request, 1, Part::Offer);
        Ok(())
    }

    pub(super) fn help_accepted(
        &mut self,
        event: &Event,
        accepted: &HelpAccepted,
    ) -> Result<(), Reason> {
        self.owned_by(&event.author)?;
        let help = self.help.last_mut().ok_or(Reason::Dangling)?;
        let offered = help.offers.iter().any(|offer| {
            offer.event == accepted.offer && !offer.withdrawn && offer.help != HelpForm::None
        });
        if !offered {
            return Err(Reason::Dangling);
        }
        if help.closed {
            return Err(Reason::Ended);
        }
        help.accepted = Some((accepted.offer, event.header.clock));
        help.closed = true;
        Ok(())
    }

    pub(super) fn handed_over(&mut self, event: &Event, handed: &HandedOver) -> Result<(), Reason> {
        self.owned_by(&event.author)?;
        let helper = self.help.last().and_then(Help::helper);
        let helper = helper.filter(|offer| offer.help == HelpForm::TakeOver);
        if helper.is_none_or(|offer| offer.event != handed.offer || offer.author != handed.to) {
            return Err(Reason::Dangling);
        }
        let based = handed.base.as_ref();
        let valid = based.is_none_or(|(name, commit)| name.len() <= 256 && commit.is_valid());
        let Some(win) = self.winner.as_mut().filter(|_| valid && handed.claim.is_valid()) else {
            return Err(Reason::Content);
        };
        win.commit = handed.claim.clone();
        win.status = ClaimStatus::Released;
        win.moved_at = event.header.clock;
        self.handed = Some(Handed {
            event: event.id,
            at: event.header.clock,
            to: handed.to,
            base: handed.base.clone(),
            claim: handed.claim.clone(),
        });
        Ok(())
    }

    pub(super) fn approval_requested(
        &mut self,
        event: &Event,
        requested: &ApprovalRequested,
    ) -> Result<(), Reason> {
        self.owned_by(&event.author)?;
        let since = self.rounds.last().map(|round| round.at);
        let asked = self.approvals.iter().filter(|asked| asked.hash == requested.hash);
        if asked.into_iter().any(|asked| since.is_none_or(|since| asked.at > since)) {
            return Err(Reason::Repeated);
        }
        if self.approvals.len() >= MAX_APPROVALS {
            return Err(Reason::Limit);
        }
        if requested.text.len() > MAX_FEEDBACK || requested.rule.len() > 1024 {
            return Err(Reason::Content);
        }
        self.approvals.push(Approval {
            event: event.id,
            at: event.header.clock,
            subject: requested.subject,
            hash: requested.hash,
            text: requested.text.clone(),
            rule: requested.rule.clone(),
            deadline_ms: requested.deadline_ms,
            verdict: None,
        });
        Ok(())
    }

    pub(super) fn approval_given(
        &mut self,
        event: &Event,
        given: &ApprovalGiven,
    ) -> Result<(), Reason> {
        let found = self.approvals.iter_mut().find(|approval| approval.event == given.request);
        let found = found.ok_or(Reason::Dangling)?;
        if found.hash != given.hash {
            return Err(Reason::Approval);
        }
        if found.verdict.is_some() {
            return Err(Reason::Repeated);
        }
        if self.finished.is_some() {
            return Err(Reason::Ended);
        }
        if given.reason.len() > 4096 {
            return Err(Reason::Content);
        }
        found.verdict = Some(Approved {
            event: event.id,
            author: event.author,
            approved: given.approved,
            reason: given.reason.clone(),
        });
        Ok(())
    }
}
