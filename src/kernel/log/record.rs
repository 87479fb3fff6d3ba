//! Records: a header that commits to a body. The bytes here are the bytes that are hashed, stored
//! and sent; they are never encoded anew.

use std::ops::Deref;

use super::Hash;
use crate::kernel::identity::AuthorId;

/// The longest header in bytes.
pub const MAX_HEADER: usize = 512;

/// The longest body in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// The last bytes of every header: the body's length (u32, little-endian) and its hash.
pub const BODY_COMMITMENT_BYTES: usize = 4 + 32;

/// Header length (u16), whether the body is there (u8), before header and body.
const PREFIX: usize = 3;

/// No record has fewer bytes.
pub(super) const MIN_RECORD_BYTES: usize = PREFIX + BODY_COMMITMENT_BYTES;

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than the lengths in it demand, or more.
    #[error("a record of {found} bytes where its lengths demand {expected}")]
    Size {
        /// What the lengths demand.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// The header is shorter than its commitment to a body, or too long.
    #[error("a header of {0} bytes; it has between {BODY_COMMITMENT_BYTES} and {MAX_HEADER}")]
    Header(usize),
    /// The body is too long.
    #[error("a body of {0} bytes; at most {MAX_BODY} are allowed")]
    Body(usize),
    /// The mark that says whether the body is there is neither 0 nor 1.
    #[error("the mark of a present body is 0 or 1, not {0}")]
    Mark(u8),
    /// An empty body is marked as absent. There is nothing to erase in it, and one record has one
    /// encoding.
    #[error("an empty body is marked as absent")]
    EmptyBody,
    /// The body is not the one that the header commits to.
    #[error("the body's hash is not the one in the header")]
    BodyHash,
}

/// A record, borrowed: well formed, its body not yet compared with the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordRef<'a> {
    bytes: &'a [u8],
    header_end: usize,
}

impl<'a> RecordRef<'a> {
    /// Reads a record from exactly these bytes.
    ///
    /// # Errors
    /// [`RecordError`] except [`RecordError::BodyHash`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let [low, high, mark, ..] = *bytes else {
            return Err(RecordError::Size { expected: PREFIX, found: bytes.len() });
        };
        let header_len = usize::from(u16::from_le_bytes([low, high]));
        if !(BODY_COMMITMENT_BYTES..=MAX_HEADER).contains(&header_len) {
            return Err(RecordError::Header(header_len));
        }
        if mark > 1 {
            return Err(RecordError::Mark(mark));
        }
        let header_end = PREFIX + header_len;
        if bytes.len() < header_end {
            return Err(RecordError::Size { expected: header_end, found: bytes.len() });
        }
        let record = Self { bytes, header_end };
        let body_len = record.body_len();
        if body_len > MAX_BODY {
            return Err(RecordError::Body(body_len));
        }
        if body_len == 0 && mark == 0 {
            return Err(RecordError::EmptyBody);
        }
        let expected = header_end + if mark == 1 { body_len } else { 0 };
        if bytes.len() != expected {
            return Err(RecordError::Size { expected, found: bytes.len() });
        }
        Ok(record)
    }

    /// The header, which ends with the commitment to the body.
    #[must_use]
    pub fn header(self) -> &'a [u8] {
        &self.bytes[PREFIX..self.header_end]
    }

    /// The body; `None` if it is not there (erased or withheld).
    #[must_use]
    pub fn body(self) -> Option<&'a [u8]> {
        (self.bytes[2] == 1).then(|| &self.bytes[self.header_end..])
    }

    /// The body's length as the header has it.
    #[must_use]
    pub fn body_len(self) -> usize {
        let at = self.header_end - BODY_COMMITMENT_BYTES;
        let bytes = self.bytes[at..at + 4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes) as usize
    }

    /// The body's hash as the header has it.
    #[must_use]
    pub fn body_hash(self) -> Hash {
        Hash(self.bytes[self.header_end - 32..self.header_end].try_into().expect("32 bytes"))
    }

    /// The record's leaf hash in the log of `author`.
    #[must_use]
    pub fn leaf(self, author: &AuthorId) -> Hash {
        Hash::leaf(author, self.header())
    }

    /// Compares the body, if it is there, with the header's commitment.
    ///
    /// # Errors
    /// [`RecordError::BodyHash`].
    pub fn check_body(self) -> Result<(), RecordError> {
        match self.body() {
            Some(body) if Hash::body(body) != self.body_hash() => Err(RecordError::BodyHash),
            _ => Ok(()),
        }
    }

    /// The bytes as they are stored and sent.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The record with its body marked as absent: header, leaf and all proofs stay as they are. An
    /// empty body stays, since there is nothing in it.
    #[must_use]
    pub fn without_body(self) -> Record {
        if self.body_len() == 0 {
            return self.to_owned();
        }
        let mut bytes = self.bytes[..self.header_end].to_vec();
        bytes[2] = 0;
        Record { bytes, header_end: self.header_end }
    }

    /// Whether there is a body whose bytes could be taken out.
    #[must_use]
    pub fn has_content(self) -> bool {
        self.bytes.len() > self.header_end
    }

    /// An owned copy.
    #[must_use]
    pub fn to_owned(self) -> Record {
        Record { bytes: self.bytes.to_vec(), header_end: self.header_end }
    }
}

/// A record that owns its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    bytes: Vec<u8>,
    header_end: usize,
}

impl Record {
    /// Makes a record from the header's own part and a body. The commitment to the body is
    /// appended to the header here.
    ///
    /// # Errors
    /// [`RecordError::Header`] or [`RecordError::Body`].
    pub fn new(head: &[u8], body: &[u8]) -> Result<Self, RecordError> {
        let header_len = head.len() + BODY_COMMITMENT_BYTES;
        let (Ok(header_u16), true) = (u16::try_from(header_len), header_len <= MAX_HEADER) else {
            return Err(RecordError::Header(header_len));
        };
        let (Ok(body_u32), true) = (u32::try_from(body.len()), body.len() <= MAX_BODY) else {
            return Err(RecordError::Body(body.len()));
        };
        let mut bytes = Vec::with_capacity(PREFIX + header_len + body.len());
        bytes.extend_from_slice(&header_u16.to_le_bytes());
        bytes.push(1);
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(&body_u32.to_le_bytes());
        bytes.extend_from_slice(&Hash::body(body).0);
        bytes.extend_from_slice(body);
        Ok(Self { bytes, header_end: PREFIX + header_len })
    }

    /// Takes over bytes.
    ///
    /// # Errors
    /// As [`RecordRef::parse`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, RecordError> {
        let header_end = RecordRef::parse(&bytes)?.header_end;
        Ok(Self { bytes, header_end })
    }

    /// Borrows the record.
    #[must_use]
    pub fn as_ref(&self) -> RecordRef<'_> {
        RecordRef { bytes: &self.bytes, header_end: self.header_end }
    }
}

impl Deref for Record {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_it_was_made() {
        let record = Record::new(b"head", b"body").unwrap();
        let read = RecordRef::parse(&record).unwrap();
        assert_eq!((read.body(), read.body_len()), (Some(&b"body"[..]), 4));
        assert!(read.header().starts_with(b"head"));
        assert_eq!(read.check_body(), Ok(()));
    }

    #[test]
    fn without_its_body_a_record_keeps_its_leaf() {
        let author = AuthorId([1; 32]);
        let whole = Record::new(b"head", b"body").unwrap();
        let erased = whole.as_ref().without_body();
        let read = RecordRef::parse(&erased).unwrap();
        assert_eq!((read.body(), read.body_len(), read.check_body()), (None, 4, Ok(())));
        assert_eq!(read.leaf(&author), whole.as_ref().leaf(&author));
        assert_eq!(read.without_body(), erased);
        assert!(whole.as_ref().has_content() && !read.has_content());
        let empty = Record::new(b"head", b"").unwrap();
        assert_eq!(empty.as_ref().without_body(), empty);
    }

    #[test]
    fn wrong_bytes_are_named() {
        let good = Record::new(b"head", b"body").unwrap().to_vec();
        let parse = |bytes: &[u8]| RecordRef::parse(bytes).and_then(RecordRef::check_body);
        let mut bad = good.clone();
        bad[2] = 2;
        assert_eq!(parse(&bad), Err(RecordError::Mark(2)));
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        assert_eq!(parse(&bad), Err(RecordError::BodyHash));
        for cut in 0..good.len() {
            assert!(parse(&good[..cut]).is_err(), "cut at {cut}");
        }
        let mut long = good;
        long.push(0);
        assert!(matches!(parse(&long), Err(RecordError::Size { .. })));
        let mut empty = Record::new(b"head", b"").unwrap().to_vec();
        empty[2] = 0;
        assert_eq!(parse(&empty), Err(RecordError::EmptyBody));
        assert_eq!(Record::new(b"", &[0; MAX_BODY + 1]), Err(RecordError::Body(MAX_BODY + 1)));
        assert_eq!(Record::new(&[0; MAX_HEADER], b""), Err(RecordError::Header(MAX_HEADER + 36)));
    }
}
