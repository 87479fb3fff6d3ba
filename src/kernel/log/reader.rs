//! Reads a log's tree from a store: its end at opening, and the nodes of proofs.

use super::tree::{Peaks, TILE_HEIGHT, TILE_LEAVES, Tile, peaks_of};
use super::{
    Consistency, Hash, Inclusion, LogStore, MAX_RANGE_BYTES, NodeId, Range, ReadLimit, SignedHead,
    StoreError, Tip,
};
use crate::kernel::identity::AuthorId;

/// The tree of one log in a store.
pub struct TreeReader<'a> {
    store: &'a dyn LogStore,
    tip: &'a Tip,
}

impl Tip {
    /// Opens the end of a log: at most 255 records are read, whatever its length, and the root is
    /// compared with the newest head.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if tree, records and head do not fit, or the store's own error.
    pub fn open(store: &dyn LogStore, author: AuthorId) -> Result<Self, StoreError> {
        let Some(head) = store.newest_head(&author)? else {
            return Ok(Self::empty(author));
        };
        let tail_from = head.length - head.length % TILE_LEAVES as u64;
        let mut hashes = Vec::new();
        for node in peaks_of(tail_from) {
            let hash = store.node(&author, node)?;
            hashes.push(hash.ok_or_else(|| missing(author, node))?);
        }
        let mut leaves = Vec::new();
        store.scan(&author, tail_from, &mut |index, record| {
            leaves.push(record.leaf(&author));
            index + 1 < head.length
        })?;
        if tail_from + leaves.len() as u64 != head.length {
            let what = format!("the head covers {} records, which are not all there", head.length);
            return Err(StoreError::Corrupt { author, index: head.length, what });
        }
        let peaks = Peaks::new(tail_from, hashes).expect("one hash for each peak");
        let tip = Self::resume(author, peaks, leaves);
        if tip.root() != head.root {
            let what = "the records do not lead to the newest head's root".to_owned();
            return Err(StoreError::Corrupt { author, index: head.length, what });
        }
        Ok(tip)
    }
}

impl<'a> TreeReader<'a> {
    /// The tree that ends at `tip`.
    #[must_use]
    pub fn new(store: &'a dyn LogStore, tip: &'a Tip) -> Self {
        Self { store, tip }
    }

    /// The leaf at an index, which must be inside the log.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub fn leaf(&self, index: u64) -> Result<Hash, StoreError> {
        self.hash(NodeId { height: 0, offset: index }, &mut None)
    }

    /// The hashes of complete nodes.
    fn hashes(&self, nodes: &[NodeId]) -> Result<Vec<Hash>, StoreError> {
        let mut tile: Option<(u64, Tile)> = None;
        nodes.iter().map(|node| self.hash(*node, &mut tile)).collect()
    }

    fn hash(&self, node: NodeId, kept: &mut Option<(u64, Tile)>) -> Result<Hash, StoreError> {
        let author = self.tip.author();
        if node.height >= TILE_HEIGHT {
            return self.store.node(&author, node)?.ok_or_else(|| missing(author, node));
        }
        let number = node.first_leaf() / TILE_LEAVES as u64;
        let inside = node.offset & ((1 << (TILE_HEIGHT - node.height)) - 1);
        let inside = usize::try_from(inside).expect("below 256");
        if number == self.tip.length() / TILE_LEAVES as u64 {
            let from = inside << node.height;
            let leaves = self.tip.tail().get(from..from + (1 << node.height));
            return leaves.map(super::tree::subtree_root).ok_or_else(|| missing(author, node));
        }
        if kept.as_ref().is_none_or(|(kept, _)| *kept != number) {
            let tile = self.store.tile(&author, number)?.ok_or_else(|| missing(author, node))?;
            *kept = Some((number, tile));
        }
        let (_, tile) = kept.as_ref().expect("it was just set");
        tile.node(node.height, inside).ok_or_else(|| missing(author, node))
    }
}

/// Proves that the record at `index` is in the log at `length`.
///
/// # Errors
/// [`StoreError`] if a node cannot be read. Index and length must be inside the log.
pub fn prove_inclusion(
    tree: &TreeReader<'_>,
    index: u64,
    length: u64,
) -> Result<Inclusion, StoreError> {
    assert!(index < length && length <= tree.tip.length(), "a position inside the log");
    let hashes = tree.hashes(&Inclusion::nodes(index, length))?;
    Ok(Inclusion { index, length, hashes })
}

/// Proves that the log at length `from` is a prefix of the log at length `to`.
///
/// # Errors
/// [`StoreError`] if a node cannot be read. Both lengths must be inside the log.
pub fn prove_consistency(
    tree: &TreeReader<'_>,
    from: u64,
    to: u64,
) -> Result<Consistency, StoreError> {
    assert!(from <= to && to <= tree.tip.length(), "lengths inside the log");
    let hashes = tree.hashes(&Consistency::nodes(from, to))?;
    Ok(Consistency { from, to, hashes })
}

impl Range {
    /// Reads the next range of a log from a store: up to the end of an append, as many appends as
    /// fit the limits, at least one. `None` if the log ends at `from`. From inside an append it
    /// follows only for a reader who has the first part of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(
        store: &dyn LogStore,
        author: AuthorId,
        from: u64,
        max_bytes: usize,
    ) -> Result<Option<Self>, StoreError> {
        let max_bytes = max_bytes.min(MAX_RANGE_BYTES / 2);
        let limit = ReadLimit { records: 8192, bytes: max_bytes };
        let mut records = store.records(&author, from, limit)?;
        let mut heads = store.heads(&author, from, records.len().clamp(1, 4096))?;
        let covered = |head: &SignedHead| head.length <= from + records.len() as u64;
        let whole = heads.iter().take_while(|head| covered(head)).count();
        if whole == 0 {
            // The first append alone is larger than the limits: it is sent whole all the same.
            let Some(first) = heads.first() else {
                return Ok(None);
            };
            let count = usize::try_from(first.length - from).expect("an append is small");
            let limit = ReadLimit { records: count, bytes: MAX_RANGE_BYTES };
            records = store.records(&author, from, limit)?;
            heads.truncate(1);
        } else {
            heads.truncate(whole);
        }
        let Some(last) = heads.last() else {
            return Ok(None);
        };
        let count = usize::try_from(last.length - from).expect("a range is small");
        records.truncate(count);
        if records.len() != count {
            let what = "records that a head covers are not there".to_owned();
            return Err(StoreError::Corrupt { author, index: from, what });
        }
        Ok(Some(Self { author, from, records, heads }))
    }
}

fn missing(author: AuthorId, node: NodeId) -> StoreError {
    let what = format!("the tree node of height {} over it is not there", node.height);
    StoreError::Corrupt { author, index: node.first_leaf(), what }
}
