//! What is said about logs themselves: who holds them, which forked, what was erased, and which key
//! follows another.

use super::payload;
use crate::kernel::event::EventId;
use crate::kernel::identity::{AuthorId, Context, SecretKey, Signature, SignatureError, SwarmId};
use crate::kernel::log::Hash;

/// The most heads that one [`HeadsWitnessed`] names.
pub const MAX_WITNESSED: usize = 256;

payload! {
    /// The author holds these heads of other logs, and every event before each of them. It says
    /// so again only of what is new, so that the newest mention of a log counts.
    pub struct HeadsWitnessed {
        /// The heads, at most [`MAX_WITNESSED`], each of another author.
        pub heads: Vec<WitnessedHead>,
    }

    /// A signed head without its swarm, which is the event's.
    pub struct WitnessedHead {
        /// Whose log.
        pub author: AuthorId,
        /// The number of records that the head covers.
        pub length: u64,
        /// The root of the tree at that length.
        pub root: Hash,
        /// The clock of the last record that it covers.
        pub clock: u64,
        /// The signature of the log's author.
        pub signature: Signature,
    }

    /// A log forked: its author signed two histories. Everybody can check the proof; the log
    /// stands up to the first index at which the two differ.
    pub struct ForkProven {
        /// A fork proof of `schema/proof.md`.
        #[serde(with = "hex")]
        pub proof: Vec<u8>,
    }

    /// An administrator names the branch of a forked log that stands.
    pub struct ForkResolved {
        /// Whose log.
        pub author: AuthorId,
        /// The index of the log's first proven fork, plus 1.
        pub length: u64,
        /// The root of the standing branch at that length.
        pub root: Hash,
        /// Why this branch, at most 4096 bytes.
        pub reason: String,
    }

    /// The payload of an event is to be deleted everywhere. Its header stays, so that the log
    /// still verifies. Said by the event's author or by an administrator.
    pub struct PayloadErased {
        /// The event.
        pub event: EventId,
        /// Whose log it is in.
        pub author: AuthorId,
        /// Its index there.
        pub seq: u64,
        /// Why.
        pub reason: String,
    }

    /// The last event of a log: its author goes on under another key, with the same rights.
    pub struct KeyRotated {
        /// The new key.
        pub successor: AuthorId,
        /// The new key's signature over swarm, old key, new key, and this event's index (u64),
        /// in the context `bzzz v1 rotation`.
        pub signature: Signature,
    }
}

impl KeyRotated {
    /// What the new key signs: swarm || old key || new key || index of the event.
    #[must_use]
    pub fn message(swarm: &SwarmId, old: &AuthorId, new: &AuthorId, index: u64) -> Vec<u8> {
        [&swarm.0[..], &old.0, &new.0, &index.to_le_bytes()].concat()
    }

    /// The consent of a new key to follow an old one, whose log ends with the event at this index.
    #[must_use]
    pub fn sign(swarm: &SwarmId, old: &AuthorId, new: &SecretKey, index: u64) -> Self {
        let successor = new.author();
        let message = Self::message(swarm, old, &successor, index);
        Self { successor, signature: new.sign(Context::Rotation, &message) }
    }

    /// Whether the new key consented.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(
        &self,
        swarm: &SwarmId,
        old: &AuthorId,
        index: u64,
    ) -> Result<(), SignatureError> {
        let message = Self::message(swarm, old, &self.successor, index);
        self.successor.verify(Context::Rotation, &message, &self.signature)
    }
}
