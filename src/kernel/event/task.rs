//! Names of tasks.

use crate::kernel::identity::bytes32;

/// The longest name of a repository in bytes.
pub const MAX_REPOSITORY_NAME: usize = 128;

bytes32! {
    /// A task: one issue of one repository. It is the BLAKE3 hash, under the context
    /// `bzzz v1 task`, of the issue's number (u64, little-endian) and the repository's name.
    TaskId
}

impl TaskId {
    /// The task of an issue.
    #[must_use]
    pub fn of(repository: &str, issue: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("bzzz v1 task");
        hasher.update(&issue.to_le_bytes());
        hasher.update(repository.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }
}
