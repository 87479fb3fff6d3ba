//! The git command, hardened: a mirror of a remote, work trees without git in them, and claims by
//! compare-and-swap on one ref of the remote per task.
//!
//! The node alone speaks to the remote; the sandbox sees files only. Git runs no program that a
//! repository, a user or a machine names (`run` has the list), and what a remote sends is bounded.
//! The claim's bytes are the caller's: this module moves them and never judges them.

mod claims;
mod commit;
mod error;
mod mirror;
mod refs;
mod remote;
mod run;
mod tree;

use crate::kernel::event::CommitId;

pub use claims::{MAX_CLAIM_BYTES, MAX_CLAIMS, MAX_MESSAGE_BYTES, WORK_BRANCHES};
pub use error::GitError;
pub use mirror::{DiffStat, FileChange, MAX_DIFF_FILES, MAX_PACK_BYTES, Mirror};
pub use remote::{MAX_BRANCH_BYTES, MAX_URL_BYTES, Remote, Secret, Token};
pub use tree::{MAX_FILE_BYTES, MAX_PATH_BYTES, MAX_TREE_BYTES, MAX_TREE_FILES};

use std::time::Duration;

/// How long git may take before it is stopped, and how much it may fetch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For work on this machine alone.
    pub local: Duration,
    /// For a short exchange: to list refs, to move a claim.
    pub exchange: Duration,
    /// For what may move much data: to fetch the base, to publish a branch.
    pub transfer: Duration,
    /// The largest pack that one fetch may bring, in bytes; at most [`MAX_PACK_BYTES`].
    pub pack_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            local: Duration::from_secs(300),
            exchange: Duration::from_secs(60),
            transfer: Duration::from_secs(900),
            pack_bytes: MAX_PACK_BYTES,
        }
    }
}

/// Who a commit is by. Line breaks and angle brackets are left out of both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The name that people see.
    pub name: String,
    /// The address; it need not exist.
    pub email: String,
}

/// The claim ref of a task, as the remote has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRef {
    /// The number of the issue.
    pub issue: u64,
    /// What the ref points at.
    pub commit: CommitId,
    /// The claim before, if there was one.
    pub parent: Option<CommitId>,
    /// The bytes of the blob `claim`; the caller verifies them. Empty if the ref points at
    /// something without such a blob, or with one over [`MAX_CLAIM_BYTES`]: such a ref blocks the
    /// task until a person removes it or somebody takes it over.
    pub claim: Vec<u8>,
}

/// How a compare-and-swap ended. There is no third way: what could not be found out is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Swap {
    /// The ref holds our commit.
    Won {
        /// Our commit.
        claim_commit: CommitId,
    },
    /// The ref holds something else than was expected, and not ours.
    Lost {
        /// What it holds, if it exists.
        current: Option<ClaimRef>,
    },
}
