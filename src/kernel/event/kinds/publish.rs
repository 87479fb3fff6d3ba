//! The end of the work: branch, pull request, questions to people, reports.

use super::{choice, payload};
use crate::kernel::event::commit::CommitId;
use crate::kernel::event::header::EventId;

choice! {
    /// Whether a pull request is open.
    #[derive(Copy)]
    pub enum PullState {
        /// It is open.
        Open,
        /// It was merged.
        Merged,
        /// It was closed without a merge.
        Closed,
    }
}

choice! {
    /// What the checks of a pull request say, all together.
    #[derive(Copy)]
    pub enum CheckState {
        /// There are none.
        None,
        /// Some are not done, and none failed.
        Pending,
        /// All passed or were skipped.
        Passed,
        /// At least one failed.
        Failed,
    }
}

choice! {
    /// What the reviewers of a pull request say, the last word of each.
    #[derive(Copy)]
    pub enum ReviewState {
        /// Nobody reviewed it.
        None,
        /// Only comments.
        Commented,
        /// Somebody approved it, and nobody asks for changes.
        Approved,
        /// Somebody asks for changes.
        ChangesRequested,
    }
}

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
        /// What, in the words of the target, such as `claimed` or `completed`.
        pub status: String,
    }

    /// The owner's part in the task is over.
    pub struct TaskFinished {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// What came of it, in a word: `published`, `escalated`, `released`, `lost`, `merged` or
        /// `closed`.
        pub outcome: String,
    }

    /// The owner read its pull request. It is said again only when something changed.
    pub struct PullRequestSeen {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The pull request's number.
        pub number: u64,
        /// Whether it is open.
        pub state: PullState,
        /// The commit at the head of its branch, or nothing if that is not known.
        pub head: String,
        /// What its checks say.
        pub checks: CheckState,
        /// What its reviewers say.
        pub reviews: ReviewState,
        /// What failed and what is asked for, cut to 16 KiB. Untrusted.
        pub feedback: String,
    }

    /// The owner takes up its task again, with the same claim: after an answer of people, or
    /// because checks failed or changes were requested.
    pub struct WorkResumed {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The [`EscalationAnswered`] or the [`PullRequestSeen`].
        pub because: EventId,
        /// The branch and the commit to go on from; none to begin anew.
        pub base: Option<(String, CommitId)>,
    }

    /// Nobody acknowledged the question in time, and it is asked again with more weight.
    pub struct EscalationRaised {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The question.
        pub escalation: EventId,
        /// 1 for the first time that it is raised.
        pub level: u32,
    }

    /// Somebody saw the question and takes care of it.
    pub struct EscalationAcknowledged {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The question.
        pub escalation: EventId,
        /// Who, in the words of the channel.
        pub by: String,
        /// How it came: `api`, `command`, `n8n`.
        pub channel: String,
    }

    /// People answered. The author vouches for the channel, not for the name.
    pub struct EscalationAnswered {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The question.
        pub escalation: EventId,
        /// What they say, cut to 16 KiB.
        pub answer: String,
        /// Who, in the words of the channel.
        pub by: String,
        /// How it came: `api`, `command`, `n8n`.
        pub channel: String,
    }
}
