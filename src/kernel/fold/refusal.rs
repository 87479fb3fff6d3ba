//! Events that changed nothing, and why.

use bincode::{Decode, Encode};
use serde::Serialize;

use crate::kernel::event::EventId;
use crate::kernel::identity::AuthorId;

/// The refusals that an aggregate keeps, the first ones in the total order; the rest is counted.
pub const MAX_REFUSALS: usize = 256;

/// Why an event was refused.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, thiserror::Error,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The payload is not one of its kind.
    #[error("the payload is malformed")]
    Malformed,
    /// The author's role does not allow it.
    #[error("the author's role does not allow it")]
    Role,
    /// Only an administrator may say it.
    #[error("the author is not an administrator")]
    NotAnAdministrator,
    /// The swarm is founded already, or by another event.
    #[error("the swarm was founded by another event")]
    NotTheFounding,
    /// Name and content of the task do not fit, or a limit is exceeded.
    #[error("the content does not fit the task or exceeds a limit")]
    Content,
    /// The event cites an intent, plan, question or command that is not there.
    #[error("it cites something that is not there")]
    Dangling,
    /// The author does not own the task in that epoch.
    #[error("the author does not own the task in that epoch")]
    NotTheOwner,
    /// The owner reviews its own plan, or helps itself.
    #[error("an owner neither reviews its own plan nor helps itself")]
    OwnPlan,
    /// It was said already.
    #[error("it was said before")]
    Repeated,
    /// It comes after the end of what it is about.
    #[error("what it is about has ended")]
    Ended,
    /// A blocking objection stands against the plan.
    #[error("a blocking objection stands against the plan")]
    Objection,
    /// The limit of entries of this sort is reached.
    #[error("the limit of entries is reached")]
    Limit,
    /// The proof that it gives proves nothing.
    #[error("the proof does not verify")]
    Proof,
    /// The payload is one of founding, membership or evidence.
    #[error("what founds the swarm, admits members or is evidence cannot be erased")]
    Protected,
    /// A signature in the event does not verify.
    #[error("a signature in it does not verify")]
    Signature,
    /// As many members as may take part in the discussion do already.
    #[error("the discussion has as many participants as it may have")]
    Participants,
    /// The chain of answers is too long.
    #[error("the chain of answers is too long")]
    Depth,
    /// The author said as many messages as one author may.
    #[error("the author said as much as one author may in this discussion")]
    AuthorMessages,
    /// The discussion has as many messages as it may have.
    #[error("the discussion has as many messages as it may have")]
    Messages,
    /// The text is too long, or all texts together are.
    #[error("the text is too long, or all texts of the discussion are")]
    Bytes,
    /// The discussion has lasted as long as it may.
    #[error("the discussion has lasted as long as it may")]
    Lifetime,
    /// The chain of answers went from repository to repository too often.
    #[error("the chain of answers went from one repository to another too often")]
    Hops,
    /// The author objected as often as one member may under one claim.
    #[error("the author objected as often as one member may")]
    Objections,
    /// Only the author of what it is about may say it.
    #[error("it is about something that another author said")]
    NotTheAuthor,
    /// The approval is bound to something else than what was asked for.
    #[error("the approval is for something else")]
    Approval,
    /// It comes before its time.
    #[error("it comes before its time")]
    Early,
}

/// One refused event.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Refusal {
    /// The event.
    pub event: EventId,
    /// Who said it.
    pub author: AuthorId,
    /// Its index.
    pub seq: u64,
    /// Why it was refused.
    pub reason: Reason,
}

/// The refused events of an aggregate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Refusals {
    /// The first of them.
    pub first: Vec<Refusal>,
    /// How many there are in all.
    pub count: u64,
}

impl Refusals {
    /// Adds one.
    pub fn push(&mut self, refusal: Refusal) {
        if self.first.len() < MAX_REFUSALS {
            self.first.push(refusal);
        }
        self.count += 1;
    }

    /// Takes out those that are listed of an author from an index on.
    pub(super) fn forget(&mut self, author: &AuthorId, from: u64) {
        let before = self.first.len();
        self.first.retain(|refusal| refusal.author != *author || refusal.seq < from);
        self.count -= (before - self.first.len()) as u64;
    }
}
