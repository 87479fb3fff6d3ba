//! The repositories that nodes are configured for.

use std::collections::{BTreeMap, BTreeSet};

use bincode::{Decode, Encode};
use serde::Serialize;

use super::refusal::Reason;
use crate::kernel::event::kinds::{RepositoryConsent, RepositorySeen};
use crate::kernel::event::{Event, Hlc, MAX_REPOSITORY_NAME};
use crate::kernel::identity::AuthorId;

/// The most repositories that a swarm may know.
pub(crate) const MAX_REPOSITORIES: usize = 4096;

/// The most authors whose word on a repository's consent is kept.
pub(crate) const MAX_CONSENTS: usize = 256;

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Repository {
    /// Where it is, in the words of the last that said so.
    pub url: String,
    /// The branch that work starts from.
    pub branch: String,
    /// Who is configured for it.
    pub nodes: BTreeSet<AuthorId>,
    /// Whether it lets agents work in it: the last word of each author.
    pub consents: BTreeMap<AuthorId, Consent>,
}

/// What an author read of a repository's consent.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Consent {
    /// Whether agents may work in it.
    pub allowed: bool,
    /// Where that is said.
    pub source: String,
    /// What is said there.
    pub reason: String,
    /// When it was read.
    pub at: Hlc,
}

impl Repository {
    pub(super) fn consent(
        &mut self,
        event: &Event,
        read: &RepositoryConsent,
    ) -> Result<(), Reason> {
        if read.source.len() > 256 || read.reason.len() > 1024 {
            return Err(Reason::Content);
        }
        if !self.consents.contains_key(&event.author) && self.consents.len() >= MAX_CONSENTS {
            return Err(Reason::Limit);
        }
        let RepositoryConsent { allowed, source, reason, .. } = read.clone();
        let consent = Consent { allowed, source, reason, at: event.header.clock };
        self.consents.insert(event.author, consent);
        Ok(())
    }
}

pub(super) fn check(seen: &RepositorySeen, known: usize) -> Result<(), Reason> {
    if seen.repository.len() > MAX_REPOSITORY_NAME || seen.url.len() > 2048 {
        return Err(Reason::Content);
    }
    if known >= MAX_REPOSITORIES { Err(Reason::Limit) } else { Ok(()) }
}
