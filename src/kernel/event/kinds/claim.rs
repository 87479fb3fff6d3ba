//! Claims: what a node meant to do to a claim ref, and what came of it.

use super::payload;
use crate::kernel::event::claim::ClaimStatus;
use crate::kernel::event::commit::CommitId;
use crate::kernel::event::header::EventId;
use crate::kernel::identity::AuthorId;

payload! {
    /// The author is about to claim the task. The claim in the ref names this event.
    pub struct ClaimIntended {
        /// The epoch that it tries to win.
        pub epoch: u64,
        /// The lease in milliseconds.
        pub lease_ms: u64,
        /// The author's process.
        pub process: u64,
        /// The claim commit that it replaces; none if the ref must be absent.
        pub previous: Option<CommitId>,
    }

    /// The ref holds the author's claim.
    pub struct ClaimWon {
        /// The intent.
        pub intent: EventId,
        /// The epoch.
        pub epoch: u64,
        /// The claim commit.
        pub commit: CommitId,
    }

    /// The ref holds somebody else's claim: after an attempt, or after the author had owned it.
    pub struct ClaimLost {
        /// The epoch that the author tried to win or owned.
        pub epoch: u64,
        /// What the ref holds; none if it is absent.
        pub commit: Option<CommitId>,
        /// The author and the epoch of the claim in it, if it is a valid one.
        pub holder: Option<(AuthorId, u64)>,
    }

    /// The author moved its own claim on: a renewal, or the end of its work.
    pub struct ClaimMoved {
        /// The epoch.
        pub epoch: u64,
        /// The number of renewals.
        pub renewal: u64,
        /// The claim commit.
        pub commit: CommitId,
        /// What the claim now says.
        pub status: ClaimStatus,
        /// Why, for people; empty for a renewal.
        pub reason: String,
    }

    /// The author read somebody else's valid claim in the ref.
    pub struct ClaimSeen {
        /// The claim's author.
        pub holder: AuthorId,
        /// The claim's epoch.
        pub epoch: u64,
        /// The claim commit.
        pub commit: CommitId,
        /// What the claim says.
        pub status: ClaimStatus,
    }

    /// The author watched the ref for a whole lease on its own monotonic clock, and it did not
    /// move.
    pub struct ClaimExpired {
        /// The claim's author.
        pub holder: AuthorId,
        /// The claim's epoch.
        pub epoch: u64,
        /// The claim commit.
        pub commit: CommitId,
        /// For how long the author had watched it, in milliseconds.
        pub watched_ms: u64,
    }

    /// An attempt came to no result that could be known, and was given up.
    pub struct ClaimFailed {
        /// The intent.
        pub intent: EventId,
        /// The epoch.
        pub epoch: u64,
        /// Why.
        pub error: String,
    }

    /// The author deleted the claim ref after the end of the task.
    pub struct ClaimDropped {
        /// The epoch.
        pub epoch: u64,
        /// The claim commit that the ref held.
        pub commit: CommitId,
    }
}
