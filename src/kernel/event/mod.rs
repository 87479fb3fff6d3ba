//! What can be said: headers, one file per family of kinds, the clock, the codec, and the claims
//! that stand in git repositories. `schema/event.md` has the bytes.

mod append;
mod claim;
mod clock;
mod codec;
mod commit;
mod header;
pub mod kinds;
mod proof;
mod task;
mod topic;

pub use append::{NotEvents, check_events};
pub use claim::{CLAIM_LIMIT, Claim, ClaimError, ClaimStatus, SignedClaim};
pub use clock::{Clock, ClockError, Hlc, MAX_AHEAD_MS};
pub use codec::{CodecError, decode, encode};
pub use commit::{CommitId, NotACommitId};
pub use header::{
    Body, Draft, Event, EventError, EventId, FORMAT, Header, MAX_CAUSES, Prepared, swarm_id,
};
pub use kinds::Payload;
pub use proof::{SignedEvent, SignedEventError};
pub use task::{MAX_REPOSITORY_NAME, TaskId};
pub use topic::Topic;
