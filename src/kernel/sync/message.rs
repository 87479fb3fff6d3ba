//! The messages of replication and their bytes (`schema/sync.md`): what is asked, what is answered.

use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::{
    Branch, Cursor, CursorError, ForkError, Hash, MAX_LENGTH, MAX_RANGE_BYTES, Range, RangeError,
};

/// The version of the protocol, the first byte of every message.
pub const VERSION: u8 = 1;

/// The most logs that one frontier names. More logs take turns.
pub const MAX_FRONTIER_LOGS: usize = 1024;

/// The longest request in bytes: a full frontier.
pub const MAX_REQUEST_BYTES: usize = 2 + 32 + 4 + MAX_FRONTIER_LOGS * FRONTIER_ENTRY_BYTES;

/// The longest response in bytes: a range and the two bytes before it.
pub const MAX_RESPONSE_BYTES: usize = 2 + MAX_RANGE_BYTES;

/// The most bytes of records that one fetch may ask for. A single append that is longer is sent
/// whole all the same.
pub const MAX_FETCH_BYTES: u32 = 4 * 1024 * 1024;

/// The most rotations that an introduction shows.
pub const MAX_ROTATIONS: usize = 8;

/// The most bytes of one of them. A rotation at the end of the longest log has less than half.
pub const MAX_ROTATION_BYTES: usize = 4096;

const FRONTIER_ENTRY_BYTES: usize = 32 + 8 + 32;

const FRONTIER: u8 = 1;
const FETCH: u8 = 2;
const PROVE: u8 = 3;
const INTRODUCE: u8 = 4;
const FRONTIER_IS: u8 = 129;
const RANGE_IS: u8 = 130;
const NOTHING: u8 = 131;
const REFUSED: u8 = 132;
const PROOF: u8 = 133;

/// What one node asks another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// "These are my logs; which are yours?"
    Frontier(Frontier),
    /// "Give me the records of this log from here on."
    Fetch {
        /// Whose log.
        author: AuthorId,
        /// The index of the first record that is wanted.
        from: u64,
        /// No further append once the records have this many bytes; at most [`MAX_FETCH_BYTES`].
        max_bytes: u32,
    },
    /// "Prove what your copy of this log has at an index, and before it."
    Prove {
        /// Whose log.
        author: AuthorId,
        /// The index of the record.
        index: u64,
    },
    /// "You do not know my key; this is how it followed one that you know." Answered with a
    /// frontier.
    Introduce {
        /// The rotations, the oldest first, 1 to [`MAX_ROTATIONS`]: each a signed event of at most
        /// [`MAX_ROTATION_BYTES`] bytes, of which nothing is verified.
        rotations: Vec<Vec<u8>>,
    },
}

/// What the other answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The logs of the one who answers.
    Frontier(Frontier),
    /// Records with their heads: well formed, nothing verified.
    Range(Range),
    /// There are no records at the index that was asked for; the log has this length there.
    Nothing {
        /// The number of records that the one who answers holds.
        length: u64,
    },
    /// The request is not answered.
    Refused(Refusal),
    /// The record at the index that was asked for, under the newest head of the one who answers:
    /// well formed, nothing verified.
    Proof(Box<Branch>),
}

/// Which logs a node holds, and how long they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontier {
    /// The swarm of the logs.
    pub swarm: SwarmId,
    /// The logs by rising author, at most [`MAX_FRONTIER_LOGS`].
    pub logs: Vec<Held>,
}

/// A log that a node holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whose.
    pub author: AuthorId,
    /// Its length, at least 1.
    pub length: u64,
    /// Its root at that length.
    pub root: Hash,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The one who asks is no member, as far as the one who answers knows.
    #[error("the asking node is not a member of the swarm")]
    NotAMember,
    /// The frontier is of another swarm.
    #[error("the request is about another swarm")]
    OtherSwarm,
    /// The log is no member's.
    #[error("the log is not a member's")]
    UnknownLog,
    /// The request's bytes are not a request.
    #[error("the request is malformed")]
    Malformed,
    /// The version or the type of the request is not known here.
    #[error("the request's version or type is not known")]
    Unknown,
    /// Too many requests are being answered.
    #[error("too many requests are being answered; ask again later")]
    Busy,
    /// The store failed.
    #[error("the store could not be read")]
    Failed,
    /// The one who asks was penalised and the time is not over.
    #[error("the asking node is penalised")]
    Penalised,
}

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The bytes are cut short or go on after the message.
    #[error("the message's bytes: {0}")]
    Bytes(#[from] CursorError),
    /// More bytes than such a message may have.
    #[error("a message of {found} bytes; at most {max} are allowed")]
    TooLong {
        /// What there is.
        found: usize,
        /// What is allowed.
        max: usize,
    },
    /// Another version of the protocol.
    #[error("version {0} of the sync protocol is not known; this is version {VERSION}")]
    Version(u8),
    /// A type of message that is not known, or that is no request or no response.
    #[error("message type {0} is not known here")]
    Type(u8),
    /// More logs than a frontier may name.
    #[error("a frontier of {0} logs; at most {MAX_FRONTIER_LOGS} are allowed")]
    Logs(usize),
    /// The authors are not in rising order, each once.
    #[error("log {0:?} of the frontier is not in rising order")]
    Order(AuthorId),
    /// A length or an index that no log has.
    #[error("a length or index of {0}; a log has between 1 and {MAX_LENGTH} records")]
    Length(u64),
    /// A fetch of no bytes, or of too many.
    #[error("a fetch of {0} bytes; between 1 and {MAX_FETCH_BYTES} are allowed")]
    FetchBytes(u32),
    /// An introduction of no rotations or of too many, or one of no bytes or of too many.
    #[error("an introduction's {0} of {1} is not allowed")]
    Introduction(&'static str, usize),
    /// A reason for a refusal that is not known.
    #[error("refusal {0} is not known")]
    Refusal(u8),
    /// The range is malformed.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// The proof is malformed.
    #[error(transparent)]
    Proof(#[from] ForkError),
}

impl Request {
    /// The bytes of `schema/sync.md`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Frontier(frontier) => frontier.to_bytes(FRONTIER),
            Self::Fetch { author, from, max_bytes } => {
                let mut bytes = vec![VERSION, FETCH];
                bytes.extend_from_slice(&author.0);
                bytes.extend_from_slice(&from.to_le_bytes());
                bytes.extend_from_slice(&max_bytes.to_le_bytes());
                bytes
            }
            Self::Prove { author, index } => {
                let mut bytes = vec![VERSION, PROVE];
                bytes.extend_from_slice(&author.0);
                bytes.extend_from_slice(&index.to_le_bytes());
                bytes
            }
            Self::Introduce { rotations } => {
                let count = u8::try_from(rotations.len()).expect("few rotations are shown");
                let mut bytes = vec![VERSION, INTRODUCE, count];
                for rotation in rotations {
                    let len = u32::try_from(rotation.len()).expect("a rotation is short");
                    bytes.extend_from_slice(&len.to_le_bytes());
                    bytes.extend_from_slice(rotation);
                }
                bytes
            }
        }
    }

    /// Whether these bytes begin as an introduction does.
    pub(super) fn is_introduction(bytes: &[u8]) -> bool {
        bytes.starts_with(&[VERSION, INTRODUCE])
    }

    /// Reads a request from exactly these bytes.
    ///
    /// # Errors
    /// [`MessageError`], the first rule that failed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        let (kind, mut cursor) = open(bytes, MAX_REQUEST_BYTES)?;
        let request = match kind {
            FRONTIER => Self::Frontier(Frontier::read(&mut cursor)?),
            FETCH => {
                let (author, from) = (AuthorId(cursor.array()?), cursor.u64()?);
                let max_bytes = cursor.u32()?;
                if from >= MAX_LENGTH {
                    return Err(MessageError::Length(from));
                }
                if !(1..=MAX_FETCH_BYTES).contains(&max_bytes) {
                    return Err(MessageError::FetchBytes(max_bytes));
                }
                Self::Fetch { author, from, max_bytes }
            }
            PROVE => {
                let (author, index) = (AuthorId(cursor.array()?), cursor.u64()?);
                if index >= MAX_LENGTH {
                    return Err(MessageError::Length(index));
                }
                Self::Prove { author, index }
            }
            INTRODUCE => Self::Introduce { rotations: rotations(&mut cursor)? },
            other => return Err(MessageError::Type(other)),
        };
        cursor.end()?;
        Ok(request)
    }
}

impl Response {
    /// The bytes of `schema/sync.md`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Frontier(frontier) => frontier.to_bytes(FRONTIER_IS),
            Self::Range(range) => {
                let range = range.to_bytes();
                let mut bytes = Vec::with_capacity(2 + range.len());
                bytes.extend_from_slice(&[VERSION, RANGE_IS]);
                bytes.extend_from_slice(&range);
                bytes
            }
            Self::Nothing { length } => {
                let mut bytes = vec![VERSION, NOTHING];
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes
            }
            Self::Refused(refusal) => vec![VERSION, REFUSED, refusal.number()],
            Self::Proof(branch) => [vec![VERSION, PROOF], branch.to_bytes()].concat(),
        }
    }

    /// Reads a response from exactly these bytes.
    ///
    /// # Errors
    /// [`MessageError`], the first rule that failed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        let (kind, mut cursor) = open(bytes, MAX_RESPONSE_BYTES)?;
        let response = match kind {
            FRONTIER_IS => Self::Frontier(Frontier::read(&mut cursor)?),
            RANGE_IS => Self::Range(Range::from_bytes(cursor.take(cursor.left())?)?),
            NOTHING => {
                let length = cursor.u64()?;
                if length > MAX_LENGTH {
                    return Err(MessageError::Length(length));
                }
                Self::Nothing { length }
            }
            REFUSED => Self::Refused(Refusal::of(cursor.u8()?)?),
            PROOF => Self::Proof(Box::new(Branch::read(&mut cursor, 0)?)),
            other => return Err(MessageError::Type(other)),
        };
        cursor.end()?;
        Ok(response)
    }
}

fn rotations(cursor: &mut Cursor<'_>) -> Result<Vec<Vec<u8>>, MessageError> {
    let within = |what, found, max| match (1..=max).contains(&found) {
        true => Ok(found),
        false => Err(MessageError::Introduction(what, found)),
    };
    let count = within("number of rotations", usize::from(cursor.u8()?), MAX_ROTATIONS)?;
    let mut rotations = Vec::with_capacity(count);
    for _ in 0..count {
        let len = within("rotation's size", cursor.u32()? as usize, MAX_ROTATION_BYTES)?;
        rotations.push(cursor.take(len)?.to_vec());
    }
    Ok(rotations)
}

/// Checks size and version, and reads the type.
fn open(bytes: &[u8], max: usize) -> Result<(u8, Cursor<'_>), MessageError> {
    if bytes.len() > max {
        let found = bytes.len();
        return Err(MessageError::TooLong { found, max });
    }
    let mut cursor = Cursor::new(bytes);
    match cursor.u8()? {
        VERSION => Ok((cursor.u8()?, cursor)),
        other => Err(MessageError::Version(other)),
    }
}

impl Frontier {
    fn to_bytes(&self, kind: u8) -> Vec<u8> {
        let count = u32::try_from(self.logs.len()).expect("a frontier names few logs");
        let mut bytes = Vec::with_capacity(38 + self.logs.len() * FRONTIER_ENTRY_BYTES);
        bytes.extend_from_slice(&[VERSION, kind]);
        bytes.extend_from_slice(&self.swarm.0);
        bytes.extend_from_slice(&count.to_le_bytes());
        for Held { author, length, root } in &self.logs {
            bytes.extend_from_slice(&author.0);
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&root.0);
        }
        bytes
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, MessageError> {
        let swarm = SwarmId(cursor.array()?);
        let count = cursor.u32()? as usize;
        if count > MAX_FRONTIER_LOGS {
            return Err(MessageError::Logs(count));
        }
        // The bytes are taken before anything is allocated by their count.
        let mut entries = Cursor::new(cursor.take(count * FRONTIER_ENTRY_BYTES)?);
        let mut logs: Vec<Held> = Vec::with_capacity(count);
        for _ in 0..count {
            let (author, length) = (AuthorId(entries.array()?), entries.u64()?);
            let root = Hash(entries.array()?);
            if logs.last().is_some_and(|last| last.author >= author) {
                return Err(MessageError::Order(author));
            }
            if !(1..=MAX_LENGTH).contains(&length) {
                return Err(MessageError::Length(length));
            }
            logs.push(Held { author, length, root });
        }
        Ok(Self { swarm, logs })
    }
}

impl Refusal {
    fn number(self) -> u8 {
        match self {
            Self::NotAMember => 1,
            Self::OtherSwarm => 2,
            Self::UnknownLog => 3,
            Self::Malformed => 4,
            Self::Unknown => 5,
            Self::Busy => 6,
            Self::Failed => 7,
            Self::Penalised => 8,
        }
    }

    fn of(number: u8) -> Result<Self, MessageError> {
        Ok(match number {
            1 => Self::NotAMember,
            2 => Self::OtherSwarm,
            3 => Self::UnknownLog,
            4 => Self::Malformed,
            5 => Self::Unknown,
            6 => Self::Busy,
            7 => Self::Failed,
            8 => Self::Penalised,
            other => return Err(MessageError::Refusal(other)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::log::Record;

    fn frontier(count: u8) -> Frontier {
        let held = |n| Held {
            author: AuthorId([n; 32]),
            length: u64::from(n) + 1,
            root: Hash([n + 5; 32]),
        };
        let logs = (0..count).map(held);
        Frontier { swarm: SwarmId([9; 32]), logs: logs.collect() }
    }

    fn fetch() -> Request {
        Request::Fetch { author: AuthorId([7; 32]), from: 3, max_bytes: 4 }
    }

    #[test]
    fn every_message_reads_as_it_was_written_and_no_cut_does() {
        let prove = Request::Prove { author: AuthorId([7; 32]), index: 9 };
        let introduce = Request::Introduce { rotations: vec![vec![7; 3], vec![8; 4096]] };
        let requests = [Request::Frontier(frontier(3)), fetch(), prove, introduce];
        for request in requests {
            let bytes = request.to_bytes();
            assert_eq!(Request::from_bytes(&bytes), Ok(request));
            for cut in 0..bytes.len() {
                assert!(Request::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
            }
            let longer = [bytes, vec![0]].concat();
            assert!(Request::from_bytes(&longer).is_err());
        }
        let mut responses = vec![Response::Frontier(frontier(3)), Response::Nothing { length: 5 }];
        let refusals = (1..=8).map(|number| Response::Refused(Refusal::of(number).unwrap()));
        responses.extend(refusals);
        for response in responses {
            let bytes = response.to_bytes();
            assert_eq!(Response::from_bytes(&bytes), Ok(response));
            for cut in 0..bytes.len() {
                assert!(Response::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_schema() {
        let bytes = fetch().to_bytes();
        let expected = format!("0102{}030000000000000004000000", "07".repeat(32));
        assert_eq!(hex::encode(bytes), expected);
        let bytes = Response::Refused(Refusal::Busy).to_bytes();
        assert_eq!(hex::encode(bytes), "018406");
        let bytes = Response::Nothing { length: 258 }.to_bytes();
        assert_eq!(hex::encode(bytes), "01830201000000000000");
        let bytes = Request::Frontier(frontier(1)).to_bytes();
        let (swarm, author) = ("09".repeat(32), "00".repeat(32));
        let root = "05".repeat(32);
        let expected = format!("0101{swarm}01000000{author}0100000000000000{root}");
        assert_eq!(hex::encode(bytes), expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let read = Request::from_bytes;
        assert_eq!(read(&[2, 1]), Err(MessageError::Version(2)));
        assert_eq!(read(&[1, 77]), Err(MessageError::Type(77)));
        assert_eq!(read(&[1, NOTHING]), Err(MessageError::Type(NOTHING)));
        let huge = vec![1; MAX_REQUEST_BYTES + 1];
        assert!(matches!(read(&huge), Err(MessageError::TooLong { .. })));
        let mut many = Request::Frontier(frontier(0)).to_bytes();
        many[34..38].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read(&many), Err(MessageError::Logs(u32::MAX as usize)));
        let mut twice = frontier(2);
        twice.logs[1] = twice.logs[0];
        let twice = Request::Frontier(twice).to_bytes();
        assert_eq!(read(&twice), Err(MessageError::Order(AuthorId([0; 32]))));
        let mut empty = frontier(1);
        empty.logs[0].length = 0;
        let empty = Request::Frontier(empty).to_bytes();
        assert_eq!(read(&empty), Err(MessageError::Length(0)));
        let response = Response::from_bytes;
        assert_eq!(response(&[1, REFUSED, 99]), Err(MessageError::Refusal(99)));
        assert!(response(&vec![1; MAX_RESPONSE_BYTES + 1]).is_err());
    }

    #[test]
    fn a_full_frontier_is_within_the_limit() {
        let mut logs = Vec::new();
        for n in 0..u16::try_from(MAX_FRONTIER_LOGS).unwrap() {
            let mut author = [0; 32];
            author[..2].copy_from_slice(&n.to_be_bytes());
            logs.push(Held { author: AuthorId(author), length: 1, root: Hash([0; 32]) });
        }
        let swarm = SwarmId([9; 32]);
        let bytes = Request::Frontier(Frontier { swarm, logs }).to_bytes();
        assert_eq!(bytes.len(), MAX_REQUEST_BYTES);
        assert!(Request::from_bytes(&bytes).is_ok());
    }

    #[test]
    fn a_range_travels_whole() {
        let range = Range {
            author: AuthorId([7; 32]),
            from: 0,
            records: vec![Record::new(b"head", b"body").unwrap()],
            heads: Vec::new(),
        };
        // Without a head it is no range, and the error says so.
        let bytes = Response::Range(range).to_bytes();
        let refused = Response::from_bytes(&bytes);
        assert!(matches!(refused, Err(MessageError::Range(RangeError::Empty { .. }))));
    }
}
