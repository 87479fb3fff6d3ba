//! Events: a header in a fixed layout, and a payload that the header commits to.

use serde::Serialize;

use super::clock::Hlc;
use super::codec::CodecError;
use super::kinds::Payload;
use super::task::TaskId;
use crate::kernel::identity::{AuthorId, SwarmId, bytes32};
use crate::kernel::log::{Cursor, CursorError, MAX_HEADER, Record, RecordError, RecordRef};

/// The format version that this program writes.
pub const FORMAT: u16 = 1;

/// The most causes that an event may name.
pub const MAX_CAUSES: usize = 8;

bytes32! {
    /// An event: its leaf hash, which covers author, header and, through the header, the payload.
    EventId
}

/// What every event says, whatever its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The format version; events of other versions are kept and skipped.
    pub format: u16,
    /// The number of the kind.
    pub kind: u16,
    /// The index in the author's log.
    pub seq: u64,
    /// When, by the author's hybrid logical clock.
    pub clock: Hlc,
    /// The task that it is about.
    pub task: Option<TaskId>,
    /// The events that led to it, at most [`MAX_CAUSES`].
    pub causes: Vec<EventId>,
}

/// Why a record is not an event, or a draft cannot become one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The header is cut short or too long.
    #[error("the header's bytes: {0}")]
    Header(#[from] CursorError),
    /// The header names another index than the record has in its log.
    #[error("the header says index {found}, and the record stands at {expected}")]
    Seq {
        /// Where the record stands.
        expected: u64,
        /// What the header says.
        found: u64,
    },
    /// More causes than [`MAX_CAUSES`].
    #[error("{0} causes; at most {MAX_CAUSES} are allowed")]
    Causes(usize),
    /// The payload is too long.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Header or payload do not fit into a record.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// An event that is not yet in a log: its author, index and clock come with the append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The task that it is about.
    pub task: Option<TaskId>,
    /// The events that led to it, at most [`MAX_CAUSES`]; what exceeds that is dropped.
    pub causes: Vec<EventId>,
    /// What it says.
    pub payload: Payload,
}

/// The payload as far as this program can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A kind that this program knows.
    Known(Box<Payload>),
    /// A kind or a format version that this program does not know.
    Unknown,
    /// A known kind whose bytes are not a payload of it, and why.
    Malformed(String),
    /// The payload is not there.
    Absent,
}

/// An event as read from a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub id: EventId,
    /// Who says it.
    pub author: AuthorId,
    /// The header.
    pub header: Header,
    /// The payload.
    pub body: Body,
}

impl Header {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(53 + 32 * self.causes.len());
        bytes.extend_from_slice(&self.format.to_le_bytes());
        bytes.extend_from_slice(&self.kind.to_le_bytes());
        bytes.extend_from_slice(&self.seq.to_le_bytes());
        bytes.extend_from_slice(&self.clock.0.to_le_bytes());
        bytes.extend_from_slice(&self.task.map_or([0; 32], |task| task.0));
        bytes.push(u8::try_from(self.causes.len()).expect("at most MAX_CAUSES"));
        bytes.extend(self.causes.iter().flat_map(|cause| cause.0));
        bytes
    }

    /// Reads the header of a record.
    ///
    /// # Errors
    /// [`EventError::Header`] or [`EventError::Causes`].
    pub fn read(record: RecordRef<'_>) -> Result<Self, EventError> {
        let mut cursor = Cursor::new(record.header());
        let format = cursor.u16()?;
        let kind = cursor.u16()?;
        let seq = cursor.u64()?;
        let clock = Hlc(cursor.u64()?);
        let task = Some(TaskId(cursor.array()?)).filter(|task| task.0 != [0; 32]);
        let count = usize::from(cursor.u8()?);
        if count > MAX_CAUSES {
            return Err(EventError::Causes(count));
        }
        let (causes, _) = cursor.take(count * 32)?.as_chunks::<32>();
        let causes = causes.iter().map(|cause| EventId(*cause)).collect();
        cursor.take(crate::kernel::log::BODY_COMMITMENT_BYTES)?;
        cursor.end()?;
        Ok(Self { format, kind, seq, clock, task, causes })
    }
}

impl Draft {
    /// A draft about a task.
    #[must_use]
    pub fn about(task: TaskId, payload: impl Into<Payload>) -> Self {
        Self { task: Some(task), causes: Vec::new(), payload: payload.into() }
    }

    /// A draft about no task.
    #[must_use]
    pub fn general(payload: impl Into<Payload>) -> Self {
        Self { task: None, causes: Vec::new(), payload: payload.into() }
    }

    /// The same draft, led to by these events.
    #[must_use]
    pub fn because(mut self, causes: impl IntoIterator<Item = EventId>) -> Self {
        self.causes.extend(causes);
        self.causes.truncate(MAX_CAUSES);
        self
    }

    /// Encodes the draft, so that only index and time are missing.
    ///
    /// # Errors
    /// [`EventError::Codec`] if the payload is too long.
    pub fn prepare(&self) -> Result<Prepared, EventError> {
        let header = Header {
            format: FORMAT,
            kind: self.payload.kind(),
            seq: 0,
            clock: Hlc(0),
            task: self.task,
            causes: self.causes.iter().copied().take(MAX_CAUSES).collect(),
        };
        Ok(Prepared { header, body: self.payload.to_bytes()? })
    }

    /// The record of the draft at an index and a time.
    ///
    /// # Errors
    /// [`EventError`] if the payload is too long.
    pub fn record(&self, seq: u64, clock: Hlc) -> Result<Record, EventError> {
        self.prepare()?.record(seq, clock)
    }
}

/// A draft whose payload is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    header: Header,
    body: Vec<u8>,
}

impl Prepared {
    /// No record of it is larger than this, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.len() + MAX_HEADER + 8
    }

    /// The record at an index and a time.
    ///
    /// # Errors
    /// [`EventError::Record`] if the payload is too long.
    pub fn record(mut self, seq: u64, clock: Hlc) -> Result<Record, EventError> {
        self.header.seq = seq;
        self.header.clock = clock;
        Ok(Record::new(&self.header.to_bytes(), &self.body)?)
    }
}

impl Event {
    /// Reads the event of a record in the log of `author` at `index`. Kinds and versions that this
    /// program does not know are no error.
    ///
    /// # Errors
    /// [`EventError`] if the header is malformed or stands at another index.
    pub fn read(author: AuthorId, index: u64, record: RecordRef<'_>) -> Result<Self, EventError> {
        let header = Header::read(record)?;
        if header.seq != index {
            return Err(EventError::Seq { expected: index, found: header.seq });
        }
        let body = match record.body() {
            None => Body::Absent,
            Some(_) if header.format != FORMAT => Body::Unknown,
            Some(bytes) => match Payload::from_bytes(header.kind, bytes) {
                Ok(Some(payload)) => Body::Known(Box::new(payload)),
                Ok(None) => Body::Unknown,
                Err(error) => Body::Malformed(error.to_string()),
            },
        };
        Ok(Self { id: EventId(record.leaf(&author).0), author, header, body })
    }

    /// The payload, if this program can read it.
    #[must_use]
    pub fn payload(&self) -> Option<&Payload> {
        match &self.body {
            Body::Known(payload) => Some(payload),
            _ => None,
        }
    }
}

/// The swarm that this event founds: it commits to the event, and the event's id commits to its
/// author.
#[must_use]
pub fn swarm_id(founding: EventId) -> SwarmId {
    SwarmId(blake3::derive_key("bzzz v1 swarm", &founding.0))
}

impl Serialize for Header {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = to.serialize_struct("Header", 6)?;
        fields.serialize_field("format", &self.format)?;
        fields.serialize_field("kind", &self.kind)?;
        fields.serialize_field("seq", &self.seq)?;
        fields.serialize_field("time_ms", &self.clock.ms())?;
        fields.serialize_field("task", &self.task)?;
        fields.serialize_field("causes", &self.causes)?;
        fields.end()
    }
}
