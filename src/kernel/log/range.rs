//! Ranges: neighbouring records of one log with the heads of the appends that wrote them. Sync
//! messages and bundles are made of them.

use super::cursor::{Cursor, CursorError};
use super::head::HEAD_BYTES;
use super::record::MIN_RECORD_BYTES;
use super::{HeadError, MAX_LENGTH, Record, RecordError, RecordRef, SignedHead};
use crate::kernel::identity::AuthorId;

/// The longest range in bytes. One append always fits.
pub const MAX_RANGE_BYTES: usize = 8 * 1024 * 1024;

/// A range as it was received: well formed, nothing verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Whose log.
    pub author: AuthorId,
    /// The index of the first record.
    pub from: u64,
    /// The records, at least one.
    pub records: Vec<Record>,
    /// The heads of all appends in the range, by rising length; the last covers the last record.
    pub heads: Vec<SignedHead>,
}

/// Why a range does not verify, and at which index of the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The bytes are cut short or too long.
    #[error("the range's bytes: {0}")]
    Bytes(#[from] CursorError),
    /// More bytes than a range may have.
    #[error("a range of {0} bytes; at most {MAX_RANGE_BYTES} are allowed")]
    TooLong(usize),
    /// There is no record, or no head, or the numbers exceed the limits.
    #[error("a range of {records} records and {heads} heads from index {from}")]
    Empty {
        /// The first index.
        from: u64,
        /// The number of records.
        records: usize,
        /// The number of heads.
        heads: usize,
    },
    /// The range does not start where the log ends.
    #[error("the range starts at index {found}, and the log goes on at {expected}")]
    Gap {
        /// The length of the log.
        expected: u64,
        /// The start of the range.
        found: u64,
    },
    /// A record is malformed or its body is not the one of its header.
    #[error("index {index}: {source}")]
    Record {
        /// The index of the record.
        index: u64,
        /// What is wrong with it.
        source: RecordError,
    },
    /// A head is malformed, of another swarm, or wrongly signed.
    #[error("index {index}: {source}")]
    Head {
        /// The last index that the head covers.
        index: u64,
        /// What is wrong with it.
        source: HeadError,
    },
    /// A head of another author stands among this author's.
    #[error("index {index}: the head is of another author, {found:?}")]
    Author {
        /// The last index that the head covers.
        index: u64,
        /// The author that the head names.
        found: AuthorId,
    },
    /// The heads are not in rising order inside the range, or the last records have none.
    #[error("index {index}: no head covers the record, or heads are out of order")]
    Order {
        /// The first index without its head.
        index: u64,
    },
    /// The records do not hash to the head's root.
    #[error("index {index}: the records do not lead to the root of the head that covers them")]
    Root {
        /// The last index that the head covers.
        index: u64,
    },
}

impl Range {
    /// The index behind the last record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.from + self.records.len() as u64
    }

    /// Author, from (u64), number of records (u32), number of heads (u32), each record with its
    /// length (u32) before it, the heads.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let size: usize = self.records.iter().map(|record| 4 + record.len()).sum();
        let mut bytes = Vec::with_capacity(48 + size + self.heads.len() * HEAD_BYTES);
        bytes.extend_from_slice(&self.author.0);
        bytes.extend_from_slice(&self.from.to_le_bytes());
        bytes.extend_from_slice(&count(self.records.len()).to_le_bytes());
        bytes.extend_from_slice(&count(self.heads.len()).to_le_bytes());
        for record in &self.records {
            bytes.extend_from_slice(&count(record.len()).to_le_bytes());
            bytes.extend_from_slice(record);
        }
        for head in &self.heads {
            bytes.extend_from_slice(&head.to_bytes());
        }
        bytes
    }

    /// Reads a range from exactly these bytes.
    ///
    /// # Errors
    /// [`RangeError`], which names the index.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RangeError> {
        if bytes.len() > MAX_RANGE_BYTES {
            return Err(RangeError::TooLong(bytes.len()));
        }
        let mut cursor = Cursor::new(bytes);
        let author = AuthorId(cursor.array()?);
        let from = cursor.u64()?;
        let (records, heads) = (cursor.u32()? as usize, cursor.u32()? as usize);
        let in_limits = from <= MAX_LENGTH && records > 0 && heads > 0 && heads <= records;
        // This bounds what is allocated below.
        let least = records
            .saturating_mul(4 + MIN_RECORD_BYTES)
            .saturating_add(heads.saturating_mul(HEAD_BYTES));
        if !in_limits || least > cursor.left() {
            return Err(RangeError::Empty { from, records, heads });
        }
        let mut range = Self {
            author,
            from,
            records: Vec::with_capacity(records),
            heads: Vec::with_capacity(heads),
        };
        for index in (from..).take(records) {
            let len = cursor.u32()? as usize;
            let record = RecordRef::parse(cursor.take(len)?)
                .map_err(|source| RangeError::Record { index, source })?;
            range.records.push(record.to_owned());
        }
        for _ in 0..heads {
            let head = SignedHead::from_bytes(cursor.take(HEAD_BYTES)?)
                .map_err(|source| RangeError::Head { index: range.end() - 1, source })?;
            range.heads.push(head);
        }
        cursor.end()?;
        Ok(range)
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("ranges are far below 4 GiB")
}
