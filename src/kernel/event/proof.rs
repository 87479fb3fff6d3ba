//! One event that proves itself: the record, its path to a root, and the signed head of that root.

use super::header::{Event, EventError};
use crate::kernel::identity::SwarmId;
use crate::kernel::log::{
    Cursor, CursorError, HEAD_BYTES, HeadError, Inclusion, ProofError, Record, RecordError,
    RecordRef, SignedHead,
};

/// An event with all that is needed to verify it offline, in O(log n) bytes. As received: nothing
/// is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedEvent {
    /// The record.
    pub record: Record,
    /// The path from the record's leaf to the head's root.
    pub inclusion: Inclusion,
    /// The head.
    pub head: SignedHead,
}

/// Why bytes are no signed event, or it is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedEventError {
    /// The bytes are cut short or too long.
    #[error("the signed event's bytes: {0}")]
    Bytes(#[from] CursorError),
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The path.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The head.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The header.
    #[error(transparent)]
    Event(#[from] EventError),
    /// Path and head speak of different lengths.
    #[error("the path is for length {path}, and the head for {head}")]
    Length {
        /// The path's length.
        path: u64,
        /// The head's length.
        head: u64,
    },
}

impl SignedEvent {
    /// The record with its length (u32) before it, the path, the head.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let len = u32::try_from(self.record.len()).expect("records are below 64 KiB and a header");
        let mut bytes = len.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.record);
        bytes.extend_from_slice(&self.inclusion.to_bytes());
        bytes.extend_from_slice(&self.head.to_bytes());
        bytes
    }

    /// Reads a signed event from exactly these bytes.
    ///
    /// # Errors
    /// [`SignedEventError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignedEventError> {
        let mut cursor = Cursor::new(bytes);
        let len = cursor.u32()? as usize;
        let record = RecordRef::parse(cursor.take(len)?)?.to_owned();
        let inclusion = Inclusion::read(&mut cursor)?;
        let head = SignedHead::from_bytes(cursor.take(HEAD_BYTES)?)?;
        cursor.end()?;
        Ok(Self { record, inclusion, head })
    }

    /// Verifies body, path and signature, and reads the event.
    ///
    /// # Errors
    /// [`SignedEventError`], the first rule that failed.
    pub fn verify(&self, swarm: &SwarmId) -> Result<Event, SignedEventError> {
        let (path, head) = (self.inclusion.length, self.head.length);
        if path != head {
            return Err(SignedEventError::Length { path, head });
        }
        let record = self.record.as_ref();
        record.check_body()?;
        let author = self.head.author;
        if self.inclusion.root(record.leaf(&author))? != self.head.root {
            return Err(ProofError::Root.into());
        }
        self.head.clone().verify(swarm)?;
        Ok(Event::read(author, self.inclusion.index, record)?)
    }
}
