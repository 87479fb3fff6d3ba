//! What can be said.

mod commit;

pub use commit::{CommitId, NotACommitId};
