//! The end of the work: branch, pull request, questions to people, reports.

use super::payload;
use crate::kernel::event::commit::CommitId;

payload! {
    /// The branch and the claim are about to be pushed together.
    pub struct PublishIntended {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The branch.
        pub branch: String,
        /// The work's commit.
        pub commit: CommitId,
        /// Files, lines added, lines removed.
        pub changed: (u32, u32, u32),
    }

    /// The remote has branch and claim.
    pub struct Published {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The branch.
        pub branch: String,
        /// The work's commit.
        pub commit: CommitId,
        /// The claim commit that moved with it.
        pub claim: CommitId,
    }

    /// The push was refused for good: the claim was lost, there was nothing to publish, or the
    /// remote refused.
    pub struct PublishRefused {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// Why.
        pub reason: String,
    }

    /// The pull request is open.
    pub struct PullRequestOpened {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// Its number.
        pub number: u64,
        /// Where people find it.
        pub place: String,
    }

    /// The owner asks people.
    pub struct Escalated {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// Why the owner cannot go on.
        pub reason: String,
        /// What it asks.
        pub question: String,
    }

    /// Something outside was told, and was read back or acknowledged.
    pub struct Reported {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// Who was told.
        pub target: String,
        /// What: `claimed`, `published` or `escalated`.
        pub status: String,
    }

    /// The owner's part in the task is over.
    pub struct TaskFinished {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// What came of it, in a word: `published`, `escalated`, `released` or `lost`.
        pub outcome: String,
    }
}
