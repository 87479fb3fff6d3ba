//! Proofs as files, small enough to be sent by mail: one event that proves itself, and two heads of
//! which the first is a prefix of the second. `schema/proof.md` has the bytes.

use crate::kernel::event::{Event, EventError, SignedEvent, SignedEventError};
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::{
    Consistency, Cursor, CursorError, ForkError, HEAD_BYTES, HeadError, ProofError, RecordError,
    SignedHead,
};

/// The first bytes of a file with one event.
pub const EVENT_MAGIC: &[u8; 10] = b"bzzz-event";

/// The first bytes of a file with two heads and what shows that they are of one log.
pub const HEADS_MAGIC: &[u8; 10] = b"bzzz-heads";

/// The format of these files that this program reads and writes.
pub const PROOF_FORMAT: u16 = 1;

/// The longest file with a proof, in bytes: one event of the greatest size fits.
pub const MAX_PROOF_FILE: usize = 74_000;

/// Why a file proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFileError {
    /// The first bytes are those of no proof.
    #[error("not a proof: it begins with neither `bzzz-event` nor `bzzz-heads`")]
    Magic,
    /// Longer than [`MAX_PROOF_FILE`].
    #[error("a proof of {0} bytes; at most {MAX_PROOF_FILE} are allowed")]
    TooLong(usize),
    /// A format that this program does not know.
    #[error("a proof of format {0}; this program knows format {PROOF_FORMAT}")]
    Format(u16),
    /// The bytes are cut short or too long.
    #[error("the file's bytes: {0}")]
    Bytes(#[from] CursorError),
    /// The event.
    #[error(transparent)]
    Event(#[from] SignedEventError),
    /// A head.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The hashes between the heads.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The proof is of somebody else's log.
    #[error("the proof is of log {found}, not of {expected}")]
    Author {
        /// The author that was expected.
        expected: AuthorId,
        /// The author in the file.
        found: AuthorId,
    },
    /// Heads and hashes speak of different lengths.
    #[error("the heads are of lengths {from} and {to}, and the hashes of others")]
    Lengths {
        /// The length of the first head.
        from: u64,
        /// The length of the second head.
        to: u64,
    },
    /// The clock of the longer log's head is not above that of the shorter.
    #[error("the clock of the longer head is not above that of the shorter")]
    Clock,
}

impl ProofFileError {
    /// The stable name of the rule that is broken.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Magic => "proof-magic",
            Self::TooLong(_) | Self::Bytes(_) => "proof-bytes",
            Self::Format(_) => "proof-format",
            Self::Author { .. } => "proof-author",
            Self::Lengths { .. } => "proof-length",
            Self::Clock => "head-clock",
            Self::Head(error) => head_rule(error),
            Self::Proof(error) => proof_rule(error),
            Self::Event(error) => match error {
                SignedEventError::Bytes(_) => "proof-bytes",
                SignedEventError::Record(RecordError::BodyHash) => "record-body-hash",
                SignedEventError::Record(_) => "record-bytes",
                SignedEventError::Proof(error) => proof_rule(error),
                SignedEventError::Head(error) => head_rule(error),
                SignedEventError::Event(EventError::Seq { .. }) => "event-seq",
                SignedEventError::Event(_) => "event-header",
                SignedEventError::Length { .. } => "proof-length",
            },
        }
    }
}

fn head_rule(error: &HeadError) -> &'static str {
    match error {
        HeadError::Size(_) | HeadError::Length(_) => "head-bytes",
        HeadError::Swarm { .. } => "head-swarm",
        HeadError::Signature { .. } => "head-signature",
    }
}

pub(super) fn proof_rule(error: &ProofError) -> &'static str {
    match error {
        ProofError::Bytes(_) => "proof-bytes",
        ProofError::Position { .. } => "proof-position",
        ProofError::Hashes { .. } => "proof-hashes",
        ProofError::Root => "proof-root",
    }
}

/// The stable name of the rule that a fork proof breaks.
#[must_use]
pub fn fork_rule(error: &ForkError) -> &'static str {
    match error {
        ForkError::Magic => "proof-magic",
        ForkError::Format(_) => "proof-format",
        ForkError::Bytes(_) => "proof-bytes",
        ForkError::Head { source, .. } => head_rule(source),
        ForkError::Proof { source, .. } => proof_rule(source),
        ForkError::Authors(..) => "fork-heads",
        ForkError::Position { .. } => "fork-index",
        ForkError::Before(_) => "fork-prefix",
        ForkError::Same(_) => "fork-leaves",
        ForkError::Order => "fork-order",
    }
}

/// A file with a proof, as it was read: nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofFile {
    /// The swarm that the file names.
    pub swarm: SwarmId,
    /// What it shows.
    pub proof: Proof,
}

/// What a file shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// One event is in its author's log.
    Event(Box<SignedEvent>),
    /// The log of the first head is a prefix of that of the second.
    Heads(Box<HeadsProof>),
}

/// Two heads of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadsProof {
    /// The head of the shorter log.
    pub from: SignedHead,
    /// The head of the longer log.
    pub to: SignedHead,
    /// What shows that it is one log.
    pub consistency: Consistency,
}

/// What a file was verified to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proven {
    /// This event is in its author's log.
    Event(Box<Event>),
    /// The log had these lengths; the records of the shorter are the first of the longer.
    Prefix {
        /// The shorter length.
        from: u64,
        /// The longer length.
        to: u64,
    },
}

impl ProofFile {
    /// Magic, format (u16), swarm, and the proof.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (magic, rest) = match &self.proof {
            Proof::Event(event) => (EVENT_MAGIC, event.to_bytes()),
            Proof::Heads(heads) => (HEADS_MAGIC, heads.to_bytes()),
        };
        let mut bytes = magic.to_vec();
        bytes.extend_from_slice(&PROOF_FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.swarm.0);
        bytes.extend_from_slice(&rest);
        bytes
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`ProofFileError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofFileError> {
        if bytes.len() > MAX_PROOF_FILE {
            return Err(ProofFileError::TooLong(bytes.len()));
        }
        let mut cursor = Cursor::new(bytes);
        let magic: [u8; 10] = cursor.array().map_err(|_| ProofFileError::Magic)?;
        if magic != *EVENT_MAGIC && magic != *HEADS_MAGIC {
            return Err(ProofFileError::Magic);
        }
        let format = cursor.u16()?;
        if format != PROOF_FORMAT {
            return Err(ProofFileError::Format(format));
        }
        let swarm = SwarmId(cursor.array()?);
        let rest = cursor.take(cursor.left())?;
        let proof = match magic == *EVENT_MAGIC {
            true => Proof::Event(Box::new(SignedEvent::from_bytes(rest)?)),
            false => Proof::Heads(Box::new(HeadsProof::from_bytes(rest)?)),
        };
        Ok(Self { swarm, proof })
    }

    /// Whose log the proof is of, by its own word.
    #[must_use]
    pub fn author(&self) -> AuthorId {
        match &self.proof {
            Proof::Event(event) => event.head.author,
            Proof::Heads(heads) => heads.from.author,
        }
    }

    /// Verifies what the file shows of the log of an author. The swarm is the one that the file
    /// names; who expects a certain one compares it.
    ///
    /// # Errors
    /// [`ProofFileError`], the first rule that failed.
    pub fn verify(&self, author: &AuthorId) -> Result<Proven, ProofFileError> {
        if self.author() != *author {
            return Err(ProofFileError::Author { expected: *author, found: self.author() });
        }
        match &self.proof {
            Proof::Event(event) => Ok(Proven::Event(Box::new(event.verify(&self.swarm)?))),
            Proof::Heads(heads) => heads.verify(&self.swarm, author),
        }
    }
}

impl HeadsProof {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.from.to_bytes().to_vec();
        bytes.extend_from_slice(&self.to.to_bytes());
        bytes.extend_from_slice(&self.consistency.to_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let mut cursor = Cursor::new(bytes);
        let from = SignedHead::from_bytes(cursor.take(HEAD_BYTES)?)?;
        let to = SignedHead::from_bytes(cursor.take(HEAD_BYTES)?)?;
        let consistency = Consistency::read(&mut cursor)?;
        cursor.end()?;
        Ok(Self { from, to, consistency })
    }

    fn verify(&self, swarm: &SwarmId, author: &AuthorId) -> Result<Proven, ProofFileError> {
        let (from, to) = (&self.from, &self.to);
        if to.author != *author {
            return Err(ProofFileError::Author { expected: *author, found: to.author });
        }
        let lengths = (from.length, to.length);
        if lengths != (self.consistency.from, self.consistency.to) {
            return Err(ProofFileError::Lengths { from: from.length, to: to.length });
        }
        if self.consistency.roots()? != (from.root, to.root) {
            return Err(ProofError::Root.into());
        }
        if from.length < to.length && from.clock >= to.clock {
            return Err(ProofFileError::Clock);
        }
        from.clone().verify(swarm)?;
        to.clone().verify(swarm)?;
        Ok(Proven::Prefix { from: from.length, to: to.length })
    }
}
