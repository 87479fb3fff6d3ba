//! The total order of events, and the aggregates that they belong to.

use bincode::{Decode, Encode};

use crate::kernel::event::kinds::KINDS;
use crate::kernel::event::{Body, Event, FORMAT, Hlc, TaskId};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::IndexEntry;

/// The place of an event in the total order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Place {
    /// First by clock,
    pub clock: Hlc,
    /// then by author,
    pub author: AuthorId,
    /// then by index.
    pub seq: u64,
}

impl Place {
    /// The place of an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self { clock: event.header.clock, author: event.author, seq: event.header.seq }
    }

    /// Bytes that sort as places do.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 48] {
        let mut bytes = [0; 48];
        bytes[..8].copy_from_slice(&self.clock.0.to_be_bytes());
        bytes[8..40].copy_from_slice(&self.author.0);
        bytes[40..].copy_from_slice(&self.seq.to_be_bytes());
        bytes
    }

    /// The place of its bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 48]) -> Self {
        let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let author = AuthorId(bytes[8..40].try_into().expect("32 bytes"));
        Self { clock: Hlc(number(0)), author, seq: number(40) }
    }
}

/// What an event is about: the part of the state that it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Aggregate {
    /// Who belongs to the swarm.
    Members,
    /// What a member's node says of itself.
    Agent(AuthorId),
    /// The repositories that nodes are configured for.
    Repositories,
    /// One task.
    Task(TaskId),
    /// The payloads that were erased.
    Erasures,
    /// One session about the order of two tasks.
    Session(TaskId),
}

impl Aggregate {
    /// The aggregate of an event; `None` if no state depends on it. The header alone decides, so
    /// that an event keeps its aggregate when its payload is erased.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let known = match &event.body {
            Body::Known(_) => true,
            Body::Unknown | Body::Malformed(_) => false,
            Body::Absent => event.header.format == FORMAT,
        };
        match event.header.kind {
            _ if !known => None,
            1..=3 | 6 | 7 | 9 => Some(Self::Members),
            4 | 5 => None,
            8 => Some(Self::Erasures),
            10 => Some(Self::Agent(event.author)),
            11 | 13 => Some(Self::Repositories),
            90..=94 => event.header.task.map(Self::Session),
            kind if KINDS.iter().any(|(number, _)| *number == kind) => {
                event.header.task.map(Self::Task)
            }
            _ => None,
        }
    }

    /// The aggregate's group in a store's index.
    #[must_use]
    pub fn group(&self) -> [u8; 32] {
        let (tag, bytes) = match self {
            Self::Members => (0, &[0; 32]),
            Self::Agent(author) => (1, &author.0),
            Self::Repositories => (2, &[0; 32]),
            Self::Task(task) => (3, &task.0),
            Self::Erasures => (4, &[0; 32]),
            Self::Session(session) => (5, &session.0),
        };
        let mut hasher = blake3::Hasher::new_derive_key("bzzz v1 group");
        hasher.update(&[tag]);
        hasher.update(bytes);
        *hasher.finalize().as_bytes()
    }

    /// The index entry of an event of this aggregate.
    #[must_use]
    pub fn entry(&self, place: Place) -> IndexEntry {
        IndexEntry { group: self.group(), place: place.to_bytes() }
    }
}
