//! The tree of RFC 6962, section 2.1, over SHA-256: its root and its proofs over entries that are
//! handed in one by one. O(log n) hashes are kept, whatever the length.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::kernel::identity::{AuthorId, bytes32};
use crate::kernel::log::{LogStore, MAX_LENGTH, NodeId, ProofError, StoreError, subtrees_of};

bytes32! {
    /// A node of the tree: a SHA-256 hash.
    TreeHash
}

impl TreeHash {
    /// The hash of an entry.
    #[must_use]
    pub fn leaf(entry: &[u8]) -> Self {
        Self::of(&[&[0], entry])
    }

    /// The hash of an inner node.
    #[must_use]
    pub fn parent(left: &Self, right: &Self) -> Self {
        Self::of(&[&[1], &left.0, &right.0])
    }

    fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// The root over complete subtrees of falling heights, from left to right: the last two are
    /// joined first. Of none it is the hash of nothing.
    fn over(subtrees: impl DoubleEndedIterator<Item = Self>) -> Self {
        let joined = subtrees.rev().reduce(|right, left| Self::parent(&left, &right));
        joined.unwrap_or_else(|| Self::of(&[]))
    }
}

/// A growing tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeHead {
    length: u64,
    peaks: Vec<TreeHash>,
}

impl TreeHead {
    /// The number of entries.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The root over all entries so far.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        TreeHash::over(self.peaks.iter().copied())
    }

    /// The roots of the complete subtrees, from left to right.
    #[cfg(test)]
    pub(super) fn peaks(&self) -> &[TreeHash] {
        &self.peaks
    }

    /// Appends an entry by its hash, and tells every complete node that it makes, its leaf first.
    pub fn push(&mut self, leaf: TreeHash, mut completed: impl FnMut(NodeId, TreeHash)) {
        let mut node = NodeId { height: 0, offset: self.length };
        let mut hash = leaf;
        completed(node, hash);
        while node.offset % 2 == 1 {
            let left = self.peaks.pop().expect("an odd node has a complete left sibling");
            hash = TreeHash::parent(&left, &hash);
            node = node.parent();
            completed(node, hash);
        }
        self.peaks.push(hash);
        self.length += 1;
        assert_eq!(self.peaks.len(), self.length.count_ones() as usize, "peaks fit the length");
    }
}

/// A run of entries, whose root is one hash of a proof: from the first, up to before the second.
type Run = (u64, u64);

/// Where RFC 6962 splits so many entries, at least two: the largest power of two below.
fn split(entries: u64) -> u64 {
    1 << (entries - 1).ilog2()
}

/// The runs of the audit path of an entry (RFC 6962, section 2.1.1), from the leaf's sibling on.
fn path(index: u64, length: u64) -> Vec<Run> {
    let (mut from, mut to) = (0, length);
    let mut runs = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            runs.push((middle, to));
            to = middle;
        } else {
            runs.push((from, middle));
            from = middle;
        }
    }
    runs.reverse();
    runs
}

/// The runs of a consistency proof (RFC 6962, section 2.1.2). From length 0 there are none.
fn between(old: u64, new: u64) -> Vec<Run> {
    if old == 0 {
        return Vec::new();
    }
    let (mut from, mut to) = (0, new);
    let mut runs = Vec::new();
    while to != old {
        let middle = from + split(to - from);
        if old <= middle {
            runs.push((middle, to));
            to = middle;
        } else {
            runs.push((from, middle));
            from = middle;
        }
    }
    // The old tree's root is known; the root of its right end alone is not.
    if from > 0 {
        runs.push((from, to));
    }
    runs.reverse();
    runs
}

/// The number of hashes of an inclusion proof, and the root that it leads to from an entry.
///
/// # Errors
/// [`ProofError::Position`] or [`ProofError::Hashes`].
pub fn included(
    index: u64,
    length: u64,
    leaf: TreeHash,
    hashes: &[TreeHash],
) -> Result<TreeHash, ProofError> {
    if index >= length || length > MAX_LENGTH {
        return Err(ProofError::Position { index, length });
    }
    let runs = path(index, length);
    if runs.len() != hashes.len() {
        return Err(ProofError::Hashes { expected: runs.len(), found: hashes.len() });
    }
    let join = |hash, ((from, _), other): (&Run, &TreeHash)| match *from > index {
        true => TreeHash::parent(&hash, other),
        false => TreeHash::parent(other, &hash),
    };
    Ok(runs.iter().zip(hashes).fold(leaf, join))
}

/// Makes a proof while entries pass by: the nodes that it needs are kept, and no others.
#[derive(Clone, Debug, Default)]
pub struct Prover {
    head: TreeHead,
    runs: Vec<Run>,
    nodes: BTreeMap<NodeId, Option<TreeHash>>,
}

impl Prover {
    /// Proves that an entry is in the tree of a length, which is above the index.
    #[must_use]
    pub fn inclusion(index: u64, length: u64) -> Self {
        assert!(index < length && length <= MAX_LENGTH, "a position inside the log");
        Self::of(path(index, length))
    }

    /// Proves that the tree of the old length is the beginning of the tree of the new one.
    #[must_use]
    pub fn consistency(old: u64, new: u64) -> Self {
        assert!(old <= new && new <= MAX_LENGTH, "lengths inside the log");
        Self::of(between(old, new))
    }

    fn of(runs: Vec<Run>) -> Self {
        let subtrees = runs.iter().flat_map(|(from, to)| subtrees_of(*from, *to));
        let nodes = subtrees.map(|node| (node, None)).collect();
        Self { head: TreeHead::default(), runs, nodes }
    }

    /// The tree as far as entries were handed in.
    #[must_use]
    pub fn head(&self) -> &TreeHead {
        &self.head
    }

    /// The next entry.
    pub fn push(&mut self, entry: &[u8]) {
        let nodes = &mut self.nodes;
        self.head.push(TreeHash::leaf(entry), |node, hash| {
            if let Some(wanted) = nodes.get_mut(&node) {
                *wanted = Some(hash);
            }
        });
    }

    /// Reads the headers of a log's first records from a store.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Corrupt`] if there are fewer.
    pub fn read(
        mut self,
        store: &dyn LogStore,
        author: &AuthorId,
        length: u64,
    ) -> Result<Self, StoreError> {
        if length > 0 {
            store.scan(author, 0, &mut |index, record| {
                self.push(record.header());
                index + 1 < length
            })?;
        }
        if self.head.length != length {
            let what = format!("a head covers {length} records, which are not all there");
            return Err(StoreError::Corrupt { author: *author, index: self.head.length, what });
        }
        Ok(self)
    }

    /// The proof's hashes. All entries up to the length were handed in.
    #[must_use]
    pub fn hashes(&self) -> Vec<TreeHash> {
        let node = |node| {
            let hash = self.nodes.get(&node).copied().flatten();
            hash.expect("every node up to the length was completed")
        };
        let run = |(from, to): &Run| TreeHash::over(subtrees_of(*from, *to).into_iter().map(node));
        self.runs.iter().map(run).collect()
    }
}
