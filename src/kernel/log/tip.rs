//! The growing end of a log: what is needed to append to it and to verify what follows it.

use super::tree::{Peaks, TILE_HEIGHT, TILE_LEAVES, Tile, subtree_root};
use super::{Append, Hash, Range, RangeError, Record, SignedHead, VerifiedHead};
use crate::kernel::identity::{AuthorId, SecretKey, SwarmId};

/// The most records that one append may write.
pub const MAX_APPEND_RECORDS: usize = 4096;

/// The most bytes of records that one append may write, so that it fits into one range.
pub const MAX_APPEND_BYTES: usize = 4 * 1024 * 1024;

/// The end of one log: its peaks, and the leaves since the last full tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    author: AuthorId,
    peaks: Peaks,
    tail: Vec<Hash>,
}

impl Tip {
    /// The end of an empty log.
    #[must_use]
    pub fn empty(author: AuthorId) -> Self {
        Self { author, peaks: Peaks::default(), tail: Vec::new() }
    }

    /// The end of a log whose peaks are known up to the last full tile, and whose leaves since then
    /// are given (fewer than a tile).
    #[must_use]
    pub fn resume(author: AuthorId, full_tiles: Peaks, leaves: Vec<Hash>) -> Self {
        assert!(full_tiles.length().is_multiple_of(TILE_LEAVES as u64), "full tiles");
        assert!(leaves.len() < TILE_LEAVES, "the leaves since the last full tile");
        let mut peaks = full_tiles;
        for leaf in &leaves {
            peaks.push(*leaf, |_, _| ());
        }
        Self { author, peaks, tail: leaves }
    }

    /// Whose log.
    #[must_use]
    pub fn author(&self) -> AuthorId {
        self.author
    }

    /// The number of records.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.peaks.length()
    }

    /// The root at this length.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.peaks.root()
    }

    /// The root behind these further leaves.
    #[must_use]
    pub fn root_behind(&self, leaves: impl Iterator<Item = Hash>) -> Hash {
        let mut peaks = self.peaks.clone();
        for leaf in leaves {
            peaks.push(leaf, |_, _| ());
        }
        peaks.root()
    }

    /// The leaves since the last full tile.
    #[must_use]
    pub fn tail(&self) -> &[Hash] {
        &self.tail
    }

    /// Moves on over one record that is not to be stored, by its leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        self.peaks.push(leaf, |_, _| ());
        self.tail.push(leaf);
        if self.tail.len() == TILE_LEAVES {
            self.tail.clear();
        }
    }

    /// Appends records under one new head. The tip itself moves only when the caller, after the
    /// store has the append, takes over [`Append::tip`].
    ///
    /// The records are within [`MAX_APPEND_RECORDS`] and [`MAX_APPEND_BYTES`], and there is one.
    #[must_use]
    pub fn append(
        &self,
        key: &SecretKey,
        swarm: SwarmId,
        clock: u64,
        records: Vec<Record>,
    ) -> Append {
        assert_eq!(key.author(), self.author, "only its author appends to a log");
        assert!((1..=MAX_APPEND_RECORDS).contains(&records.len()), "records in one append");
        let mut growth = Growth::new(self);
        for record in &records {
            growth.push(record.as_ref().leaf(&self.author));
        }
        let (length, root) = (growth.tip.length(), growth.tip.root());
        let head = SignedHead::sign(key, swarm, length, root, clock);
        growth.into_append(self.length(), records, vec![head])
    }

    /// Verifies a range that goes on where this log ends: every body against its header, every
    /// head's signature, and every head's root against the records that it covers.
    ///
    /// # Errors
    /// [`RangeError`], which names the first index and rule that failed.
    pub fn verify(&self, swarm: &SwarmId, range: Range) -> Result<Append, RangeError> {
        if range.author != self.author || range.from != self.length() {
            let (expected, found) = (self.length(), range.from);
            return Err(RangeError::Gap { expected, found });
        }
        let mut growth = Growth::new(self);
        let mut heads = Vec::with_capacity(range.heads.len());
        let mut pending = range.heads.into_iter().peekable();
        for (index, record) in (range.from..).zip(&range.records) {
            let record = record.as_ref();
            record.check_body().map_err(|source| RangeError::Record { index, source })?;
            growth.push(record.leaf(&self.author));
            if let Some(head) = pending.next_if(|head| head.length == index + 1) {
                heads.push(growth.tip.believe(swarm, head)?);
            }
        }
        let covered = heads.last().map_or(range.from, |head| head.length);
        if pending.peek().is_some() || covered != growth.tip.length() {
            return Err(RangeError::Order { index: covered });
        }
        Ok(growth.into_append(range.from, range.records, heads))
    }

    fn believe(&self, swarm: &SwarmId, head: SignedHead) -> Result<VerifiedHead, RangeError> {
        let index = head.length - 1;
        if head.author != self.author {
            return Err(RangeError::Author { index, found: head.author });
        }
        if head.root != self.root() {
            return Err(RangeError::Root { index });
        }
        head.verify(swarm).map_err(|source| RangeError::Head { index, source })
    }
}

/// A tip that grows, and what a store must write for it.
struct Growth {
    tip: Tip,
    tiles: Vec<(u64, Tile)>,
    nodes: Vec<(super::NodeId, Hash)>,
}

impl Growth {
    fn new(tip: &Tip) -> Self {
        Self { tip: tip.clone(), tiles: Vec::new(), nodes: Vec::new() }
    }

    fn push(&mut self, leaf: Hash) {
        let Self { tip, tiles, nodes } = self;
        tip.peaks.push(leaf, |node, hash| {
            if node.height >= TILE_HEIGHT {
                nodes.push((node, hash));
            }
        });
        tip.tail.push(leaf);
        if tip.tail.len() == TILE_LEAVES {
            let number = tip.peaks.length() / TILE_LEAVES as u64 - 1;
            let leaves = std::mem::take(&mut tip.tail);
            tiles.push((number, Tile::new(leaves).expect("a tile's worth of leaves")));
        }
    }

    fn into_append(self, from: u64, records: Vec<Record>, heads: Vec<VerifiedHead>) -> Append {
        let Self { tip, tiles, nodes } = self;
        Append { author: tip.author, from, records, heads, tiles, nodes, tip }
    }
}

impl Tile {
    /// The hash of a node at or below the tile's root, counted inside the tile.
    #[must_use]
    pub fn node(&self, height: u8, offset: usize) -> Option<Hash> {
        let width = 1usize.checked_shl(u32::from(height))?;
        let from = offset.checked_mul(width)?;
        Some(subtree_root(self.leaves().get(from..from.checked_add(width)?)?))
    }
}
