//! The port to stores. It speaks of records, heads and tree nodes, not of keys; everything else in
//! a store is an index or a cache that can be rebuilt.

use super::{Hash, NodeId, Record, RecordRef, SignedHead, Tile, Tip, VerifiedHead};
use crate::kernel::identity::AuthorId;

/// Why a store could not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk or the database failed.
    #[error("the store could not {what}: {cause}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The cause in the words of the layer below.
        cause: String,
    },
    /// The store holds something that it never wrote in this form.
    #[error("the store is corrupt: log {author:?}, index {index}: {what}")]
    Corrupt {
        /// The log.
        author: AuthorId,
        /// The index of the record, or the length of the head.
        index: u64,
        /// What is wrong.
        what: String,
    },
    /// The store is not one of this program, of another format, or of another swarm.
    #[error("not a store for this: {0}")]
    Foreign(String),
    /// An earlier write failed, so that nothing more is written until the store is opened anew.
    #[error("the store took no more writes after a failed one; restart to open it anew")]
    Poisoned,
    /// The append does not follow what the store holds.
    #[error("log {author:?} has {length} records; an append at {from} does not follow")]
    Gap {
        /// The log.
        author: AuthorId,
        /// What the store holds.
        length: u64,
        /// Where the append starts.
        from: u64,
    },
}

/// Everything that a store writes for one append, or for one verified range. Only
/// [`Tip::append`] and [`Tip::verify`] make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    pub(super) author: AuthorId,
    pub(super) from: u64,
    pub(super) records: Vec<Record>,
    pub(super) heads: Vec<VerifiedHead>,
    pub(super) tiles: Vec<(u64, Tile)>,
    pub(super) nodes: Vec<(NodeId, Hash)>,
    pub(super) tip: Tip,
}

impl Append {
    /// Whose log.
    #[must_use]
    pub fn author(&self) -> AuthorId {
        self.author
    }

    /// The index of the first record.
    #[must_use]
    pub fn from(&self) -> u64 {
        self.from
    }

    /// The records.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The heads by rising length.
    #[must_use]
    pub fn heads(&self) -> &[VerifiedHead] {
        &self.heads
    }

    /// The tiles that became full, with their numbers from the left.
    #[must_use]
    pub fn tiles(&self) -> &[(u64, Tile)] {
        &self.tiles
    }

    /// The nodes of [`super::TILE_HEIGHT`] and above that became complete.
    #[must_use]
    pub fn nodes(&self) -> &[(NodeId, Hash)] {
        &self.nodes
    }

    /// The end of the log behind the append.
    #[must_use]
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The log's length behind the append.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.tip.length()
    }

    /// Takes the bodies out of the records that the test names by index and record. Nothing else of
    /// the append changes.
    pub fn erase(&mut self, erased: impl Fn(u64, RecordRef<'_>) -> bool) {
        for (index, record) in (self.from..).zip(&mut self.records) {
            if erased(index, record.as_ref()) {
                *record = record.as_ref().without_body();
            }
        }
    }
}

/// One log in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// Whose log.
    pub author: AuthorId,
    /// The number of records.
    pub length: u64,
}

/// One entry of the index of groups: which records belong to what, in which order. The store does
/// not know what the groups are; the index can be rebuilt from the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexEntry {
    /// The group.
    pub group: [u8; 32],
    /// The place in the group: sorted as bytes.
    pub place: [u8; 48],
}

/// How much to read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// At most this many records.
    pub records: usize,
    /// No further record once this many bytes are read; the first is always read.
    pub bytes: usize,
}

/// A store of logs. All methods may be called from several threads; one writer at a time commits.
pub trait LogStore: Send + Sync {
    /// Drops the end of a log: its first `length` records stay, and what was computed from them.
    /// Of the rest nothing can be read any more: no record from index `length` on, no head of a
    /// greater length, no tile and no node over a leaf from there on. A log of length 0 is not in
    /// the list of logs. The given index entries (those of the dropped records) are removed, and
    /// all caches are emptied. All of it or nothing is there after a crash, and it is durable when
    /// this returns; the next append to the log starts at `length`. A failure of the write poisons
    /// the store.
    ///
    /// `length` is 0 or that of one of the log's heads. A log that is not longer is left as it is.
    ///
    /// # Errors
    /// [`StoreError::Gap`] if no head has this length, and nothing was changed; or the store's own.
    fn truncate(
        &self,
        author: &AuthorId,
        length: u64,
        index: &[IndexEntry],
    ) -> Result<(), StoreError>;

    /// The logs, by author.
    ///
    /// # Errors
    /// [`StoreError`].
    fn logs(&self) -> Result<Vec<LogInfo>, StoreError>;

    /// Writes appends and index entries as one: after a crash all of it is there or nothing. It is
    /// durable when this returns. A failure poisons the store.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was acknowledged.
    fn commit(&self, appends: &[Append], index: &[IndexEntry]) -> Result<(), StoreError>;

    /// At most `limit` heads of lengths above `above`, by rising length.
    ///
    /// # Errors
    /// [`StoreError`].
    fn heads(
        &self,
        author: &AuthorId,
        above: u64,
        limit: usize,
    ) -> Result<Vec<SignedHead>, StoreError>;

    /// The head of the greatest length.
    ///
    /// # Errors
    /// [`StoreError`].
    fn newest_head(&self, author: &AuthorId) -> Result<Option<SignedHead>, StoreError>;

    /// Visits records from an index on, until the visitor returns `false` or the log ends. The
    /// visitor gets the index and the record.
    ///
    /// # Errors
    /// [`StoreError`].
    fn scan(
        &self,
        author: &AuthorId,
        from: u64,
        visit: &mut dyn FnMut(u64, RecordRef<'_>) -> bool,
    ) -> Result<(), StoreError>;

    /// A full tile.
    ///
    /// # Errors
    /// [`StoreError`].
    fn tile(&self, author: &AuthorId, number: u64) -> Result<Option<Tile>, StoreError>;

    /// A complete node of [`super::TILE_HEIGHT`] or above.
    ///
    /// # Errors
    /// [`StoreError`].
    fn node(&self, author: &AuthorId, node: NodeId) -> Result<Option<Hash>, StoreError>;

    /// The places of a group in their order.
    ///
    /// # Errors
    /// [`StoreError`].
    fn group(&self, group: &[u8; 32]) -> Result<Vec<[u8; 48]>, StoreError>;

    /// A value that can be computed again, written by [`LogStore::put_cache`].
    ///
    /// # Errors
    /// [`StoreError`].
    fn cache(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a value that can be computed again. It need not survive a crash.
    ///
    /// # Errors
    /// [`StoreError`].
    fn put_cache(&self, name: &str, value: &[u8]) -> Result<(), StoreError>;

    /// Replaces records by their form without a body ([`RecordRef::without_body`]). Records that
    /// have no content, and places that the store does not hold, are passed over.
    ///
    /// It is durable when this returns, and the bodies are in none of the store's files any more;
    /// nor is what a value of [`LogStore::put_cache`] was before it was replaced. After a crash in
    /// between, the next opening for writing finishes it. A failure poisons the store.
    ///
    /// # Errors
    /// [`StoreError`].
    fn erase(&self, places: &[(AuthorId, u64)]) -> Result<(), StoreError>;

    /// Reads records from an index on.
    ///
    /// # Errors
    /// [`StoreError`].
    fn records(
        &self,
        author: &AuthorId,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        let mut bytes = 0;
        self.scan(author, from, &mut |_, record| {
            bytes += record.as_bytes().len();
            if records.len() == limit.records || (bytes > limit.bytes && !records.is_empty()) {
                return false;
            }
            records.push(record.to_owned());
            true
        })?;
        Ok(records)
    }
}
