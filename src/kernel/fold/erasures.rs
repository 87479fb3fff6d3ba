//! Which payloads are to be forgotten. An erased payload is absent for the fold, whether or not its
//! bytes are still there, and wherever in the total order the erasure stands.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use serde::Serialize;

use super::members::Members;
use super::refusal::{Reason, Refusals};
use crate::kernel::event::kinds::PayloadErased;
use crate::kernel::event::{Event, EventId, Hlc};
use crate::kernel::identity::AuthorId;

/// The longest reason, in bytes.
pub const MAX_ERASURE_REASON: usize = 256;

/// How many payloads an administrator may erase.
pub(crate) const MAX_ERASURES: u64 = 65_536;

/// How many payloads another member may erase, all of them its own.
pub(crate) const MAX_OWN_ERASURES: u64 = 1024;

/// The kinds of founding, membership and evidence: without their payloads, nobody could tell who
/// belongs to the swarm and what holds of the logs.
const PROTECTED: std::ops::RangeInclusive<u16> = 1..=9;

/// One payload that was erased.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Erasure {
    /// The event whose payload it was.
    pub event: EventId,
    /// Who erased it.
    pub by: AuthorId,
    /// The event that says so,
    pub said: EventId,
    /// and its index in the log of who erased it.
    pub index: u64,
    /// When.
    pub at: Hlc,
    /// Why.
    pub reason: String,
}

/// What was erased.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Erasures {
    /// By the author and the index of the event whose payload it was.
    pub payloads: BTreeMap<AuthorId, BTreeMap<u64, Erasure>>,
    /// How many each member erased.
    pub counts: BTreeMap<AuthorId, u64>,
    /// What was refused.
    pub refusals: Refusals,
}

impl Erasures {
    /// Whether the payload of an event of this kind may be erased at all.
    #[must_use]
    pub fn may_be_erased(kind: u16) -> bool {
        !PROTECTED.contains(&kind)
    }

    /// What is known of the payload at an index of a log. An event that stands there is only erased
    /// if it is the one that was named, see [`Erasures::of`].
    #[must_use]
    pub fn at(&self, author: &AuthorId, seq: u64) -> Option<&Erasure> {
        self.payloads.get(author)?.get(&seq)
    }

    /// The erasure of an event, if it was erased.
    #[must_use]
    pub fn of(&self, event: &Event) -> Option<&Erasure> {
        let found = self.at(&event.author, event.header.seq)?;
        (found.event == event.id && Self::may_be_erased(event.header.kind)).then_some(found)
    }

    /// All that were erased.
    pub fn iter(&self) -> impl Iterator<Item = (AuthorId, u64, &Erasure)> {
        let logs = self.payloads.iter();
        logs.flat_map(|(author, log)| log.iter().map(|(seq, erasure)| (*author, *seq, erasure)))
    }

    /// Whether nothing was erased.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    /// `target` is the event at the place that is named, if it is known and stands.
    pub(super) fn authorize(
        &self,
        members: &Members,
        event: &Event,
        erased: &PayloadErased,
        target: Option<&Event>,
    ) -> Result<(), Reason> {
        if erased.reason.len() > MAX_ERASURE_REASON {
            return Err(Reason::Content);
        }
        let administrator = members.members.get(&event.author).is_some_and(|m| m.administrator);
        if !administrator && erased.author != event.author {
            return Err(Reason::NotAnAdministrator);
        }
        if erased.author == event.author && erased.seq >= event.header.seq {
            return Err(Reason::Dangling);
        }
        if self.at(&erased.author, erased.seq).is_some() {
            return Err(Reason::Repeated);
        }
        let limit = if administrator { MAX_ERASURES } else { MAX_OWN_ERASURES };
        match self.counts.get(&event.author) {
            Some(count) if *count >= limit => return Err(Reason::Limit),
            _ => {}
        }
        // What depends on the target comes last: so a target that arrives later only matters to
        // an erasure that was applied, and the place tells that one.
        match target {
            Some(target) if target.id != erased.event => Err(Reason::Dangling),
            Some(target) if !Self::may_be_erased(target.header.kind) => Err(Reason::Protected),
            _ => Ok(()),
        }
    }

    pub(super) fn apply(&mut self, event: &Event, erased: &PayloadErased) {
        let erasure = Erasure {
            event: erased.event,
            by: event.author,
            said: event.id,
            index: event.header.seq,
            at: event.header.clock,
            reason: erased.reason.clone(),
        };
        self.payloads.entry(erased.author).or_default().insert(erased.seq, erasure);
        *self.counts.entry(event.author).or_default() += 1;
    }
}
