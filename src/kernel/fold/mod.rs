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
mod state;
mod task;
#[cfg(test)]
mod tests;

pub use agents::Agent;
pub use changes::Changes;
pub use engine::{Applied, EventSource, Fold, FoldError};
pub use erasures::{Erasure, Erasures, MAX_ERASURE_REASON};
pub use members::{Member, Members, Resolved};
pub use order::{Aggregate, Place};
pub use refusal::{MAX_REFUSALS, Reason, Refusal, Refusals};
pub use repositories::{Consent, Repository};
pub use state::{Dependencies, FOLD_VERSION, SwarmState};
pub use task::{
    Acknowledged, Answer, Ask, Command, DAY_MS, Epoch, Escalation, Intent, IntentResult,
    MAX_FEEDBACK, OUTPUT_EXCERPT, PeoplesAnswer, Plan, Publish, Pull, Review, Round, Sandbox,
    Spent, Task, TaskStatus, Win, Work,
};
