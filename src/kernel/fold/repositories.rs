//! The repositories that nodes are configured for.

use std::collections::BTreeSet;

use bincode::{Decode, Encode};
use serde::Serialize;

use super::refusal::Reason;
use crate::kernel::event::MAX_REPOSITORY_NAME;
use crate::kernel::event::kinds::RepositorySeen;
use crate::kernel::identity::AuthorId;

/// The most repositories that a swarm may know.
pub(crate) const MAX_REPOSITORIES: usize = 4096;

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Repository {
    /// Where it is, in the words of the last that said so.
    pub url: String,
    /// The branch that work starts from.
    pub branch: String,
    /// Who is configured for it.
    pub nodes: BTreeSet<AuthorId>,
}

pub(super) fn check(seen: &RepositorySeen, known: usize) -> Result<(), Reason> {
    if seen.repository.len() > MAX_REPOSITORY_NAME || seen.url.len() > 2048 {
        return Err(Reason::Content);
    }
    if known >= MAX_REPOSITORIES { Err(Reason::Limit) } else { Ok(()) }
}
