//! Plans of an epoch and what others said of them.

use bincode::{Decode, Encode};
use serde::Serialize;

use super::claims::Epoch;
use super::discussion::{MAX_OBJECTIONS, Part};
use crate::kernel::event::kinds::{
    Payload, PlanAdopted, PlanProposed, PlanReviewed, PlanText, Purpose, Verdict,
};
use crate::kernel::event::{Event, EventId, Hlc};
use crate::kernel::fold::refusal::Reason;
use crate::kernel::identity::AuthorId;

/// The most revisions of a plan in one epoch.
pub(crate) const MAX_PLANS: usize = 16;

/// The most reviews of one plan.
pub(crate) const MAX_REVIEWS: usize = 64;

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Plan {
    /// The event that proposed it.
    pub event: EventId,
    /// When it was proposed.
    pub at: Hlc,
    /// Until when objections are heard, in milliseconds since 1970.
    pub deadline_ms: u64,
    /// What it says.
    pub text: PlanText,
    /// What others said, in order.
    pub reviews: Vec<Review>,
    /// The event that adopted it.
    pub adopted: Option<EventId>,
}

/// What a member said of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Review {
    /// The event.
    pub event: EventId,
    /// Who.
    pub author: AuthorId,
    /// What it thinks.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// Whether its author took it back.
    pub withdrawn: bool,
}

impl Plan {
    /// The blocking objections that stand.
    pub fn objections(&self) -> impl Iterator<Item = &Review> {
        let stands = |review: &&Review| review.verdict == Verdict::Object && !review.withdrawn;
        self.reviews.iter().filter(stands)
    }
}

impl Epoch {
    pub(super) fn fold_plan(
        &mut self,
        event: &Event,
        payload: &Payload,
        person: bool,
    ) -> Result<(), Reason> {
        match payload {
            Payload::PlanProposed(proposed) => self.proposed(event, proposed),
            Payload::PlanReviewed(reviewed) => self.reviewed(event, reviewed, person),
            Payload::PlanAdopted(adopted) => self.adopted(event, adopted),
            _ => Err(Reason::Content),
        }
    }

    fn proposed(&mut self, event: &Event, proposed: &PlanProposed) -> Result<(), Reason> {
        self.owned_by(&event.author)?;
        if proposed.revision as usize != self.plans.len() {
            return Err(Reason::Repeated);
        }
        if self.plans.len() >= MAX_PLANS {
            return Err(Reason::Limit);
        }
        self.plans.push(Plan {
            event: event.id,
            at: event.header.clock,
            deadline_ms: proposed.deadline_ms,
            text: proposed.plan.clone(),
            reviews: Vec::new(),
            adopted: None,
        });
        self.answered(&event.author, Purpose::Plan);
        Ok(())
    }

    fn reviewed(
        &mut self,
        event: &Event,
        reviewed: &PlanReviewed,
        person: bool,
    ) -> Result<(), Reason> {
        if self.owned_by(&event.author).is_ok() {
            return Err(Reason::OwnPlan);
        }
        self.answered(&event.author, Purpose::Review);
        let at = self.plans.iter().position(|plan| plan.event == reviewed.plan);
        let at = at.ok_or(Reason::Dangling)?;
        let plan = &self.plans[at];
        if plan.reviews.iter().any(|review| review.author == event.author) {
            return Err(Reason::Repeated);
        }
        if plan.adopted.is_some() {
            return Err(Reason::Ended);
        }
        if plan.reviews.len() >= MAX_REVIEWS {
            return Err(Reason::Limit);
        }
        let objects = reviewed.verdict == Verdict::Object;
        let before = self.discussion.objections.get(&event.author).copied().unwrap_or(0);
        if objects && !person && before >= MAX_OBJECTIONS {
            return Err(Reason::Objections);
        }
        self.admit(event, person, 1, &reviewed.reason)?;
        if objects {
            self.discussion.objections.insert(event.author, before + 1);
        }
        self.plans[at].reviews.push(Review {
            event: event.id,
            author: event.author,
            verdict: reviewed.verdict.clone(),
            reason: reviewed.reason.clone(),
            withdrawn: false,
        });
        self.message(event, reviewed.plan, 1, Part::Review);
        Ok(())
    }

    /// A blocking objection that the owner had not seen when it adopted, since it came late in the
    /// total order or over the network, does not undo the adoption: the event lists what it
    /// considered.
    fn adopted(&mut self, event: &Event, adopted: &PlanAdopted) -> Result<(), Reason> {
        self.owned_by(&event.author)?;
        let plan = self.plans.last_mut().filter(|plan| plan.event == adopted.plan);
        let plan = plan.ok_or(Reason::Dangling)?;
        if plan.adopted.is_some() {
            return Err(Reason::Repeated);
        }
        if plan.objections().any(|review| adopted.considered.contains(&review.event)) {
            return Err(Reason::Objection);
        }
        plan.adopted = Some(event.id);
        Ok(())
    }
}
