//! What it means: the state of the swarm as a deterministic fold over the events of all logs.
//!
//! `fold(set of events)` depends on the set alone, never on the order of arrival. Events are
//! ordered by (clock, author, sequence); each belongs to one aggregate, and a late event refolds
//! only the aggregate that it concerns. Every event is authorised, then applied; what is refused
//! is kept as a value, with its reason.

mod agents;
mod changes;
mod engine;
mod erasures;
mod members;
mod order;
mod refusal;
mod repositories;
mod session_map;
mod sessions;
mod state;
mod task;
#[cfg(test)]
mod tests;
mod waiting;

pub use agents::Agent;
pub use changes::Changes;
pub use engine::{Applied, EventSource, Fold, FoldError};
pub use erasures::{Erasure, Erasures, MAX_ERASURE_REASON};
pub use members::{Member, Members, Resolved};
pub use order::{Aggregate, Place};
pub use refusal::{MAX_REFUSALS, Reason, Refusal, Refusals};
pub use repositories::{Consent, Repository};
pub use session_map::Sessions;
pub use sessions::{Joined, MAX_HOPS, Opening, Said, Session};
pub use state::{Dependencies, FOLD_VERSION, SwarmState};
pub use task::{
    Acknowledged, Answer, Approval, Approved, Ask, Command, DAY_MS, Detected, Discussion, Epoch,
    Escalation, Handed, Help, Intent, IntentResult, Limits, MAX_FEEDBACK, MAX_MESSAGE,
    MAX_OBJECTIONS, Message, OUTPUT_EXCERPT, Offer, Part, PeoplesAnswer, Plan, Publish, Pull,
    Review, Round, Sandbox, Spent, Task, TaskStatus, Win, Work,
};
pub(crate) use task::{MAX_APPROVALS, MAX_HELP, MAX_OFFERS, MAX_PLANS, MAX_REVIEWS};
pub use waiting::{Order, Wait};
