//! The shape of the flat tree (as in Hypercore, DEP-0002): leaves from left to right, a parent over
//! every two complete neighbours of one height, and at each length a row of peaks.

use super::Hash;

/// The longest log: 2^40 records. It bounds every proof.
pub const MAX_LENGTH: u64 = 1 << 40;

/// The height of a tile's root over its leaves.
pub const TILE_HEIGHT: u8 = 8;

/// The leaves of a full tile.
pub const TILE_LEAVES: usize = 256;

/// A node of the tree: the `offset`-th of its height from the left. Leaves have height 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId {
    /// The height over the leaves.
    pub height: u8,
    /// The number of nodes of this height to its left.
    pub offset: u64,
}

impl NodeId {
    /// The first leaf under the node.
    #[must_use]
    pub fn first_leaf(self) -> u64 {
        self.offset << self.height
    }

    /// The number of leaves under the node.
    #[must_use]
    pub fn width(self) -> u64 {
        1 << self.height
    }

    /// The other child of the same parent.
    #[must_use]
    pub fn sibling(self) -> Self {
        Self { height: self.height, offset: self.offset ^ 1 }
    }

    /// The node above.
    #[must_use]
    pub fn parent(self) -> Self {
        Self { height: self.height + 1, offset: self.offset >> 1 }
    }

    /// The left and the right child; none for a leaf.
    #[must_use]
    pub fn children(self) -> Option<(Self, Self)> {
        let height = self.height.checked_sub(1)?;
        let offset = self.offset << 1;
        Some((Self { height, offset }, Self { height, offset: offset + 1 }))
    }

    /// The number of the node in the in-order numbering of Hypercore's flat tree.
    #[must_use]
    pub fn flat_index(self) -> u64 {
        (self.offset << (self.height + 1)) + (1 << self.height) - 1
    }
}

/// The largest complete subtrees that cover the leaves `from..to`, from left to right.
#[must_use]
pub fn subtrees_of(from: u64, to: u64) -> Vec<NodeId> {
    let mut nodes = Vec::new();
    let mut at = from;
    while at < to {
        // The subtree must start at a multiple of its width and end inside the range.
        let aligned = if at == 0 { 63 } else { at.trailing_zeros() };
        let fits = (to - at).ilog2();
        let height = u8::try_from(aligned.min(fits)).expect("a height of u64 leaves is below 64");
        nodes.push(NodeId { height, offset: at >> height });
        at += 1 << height;
    }
    nodes
}

/// The peaks of a tree of `length` leaves, from left to right.
#[must_use]
pub fn peaks_of(length: u64) -> Vec<NodeId> {
    subtrees_of(0, length)
}

/// A full tile: the hashes of 256 neighbouring leaves. Immutable once written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tile(Box<[Hash]>);

impl Tile {
    /// A tile of exactly [`TILE_LEAVES`] hashes.
    #[must_use]
    pub fn new(leaves: Vec<Hash>) -> Option<Self> {
        (leaves.len() == TILE_LEAVES).then(|| Self(leaves.into_boxed_slice()))
    }

    /// The tile of its bytes, the leaf hashes one after the other.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() {
            return None;
        }
        Self::new(hashes.iter().map(|hash| Hash(*hash)).collect())
    }

    /// The leaf hashes one after the other.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|hash| hash.0).collect()
    }

    /// The leaf hashes.
    #[must_use]
    pub fn leaves(&self) -> &[Hash] {
        &self.0
    }
}

/// The root of the complete subtree over these leaves; their number is a power of two.
#[must_use]
pub(super) fn subtree_root(leaves: &[Hash]) -> Hash {
    assert!(leaves.len().is_power_of_two(), "a complete subtree has a power of two leaves");
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = leaves.split_at(leaves.len() / 2);
    Hash::parent(&subtree_root(left), &subtree_root(right))
}

/// The peaks of a growing tree, their hashes from left to right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    length: u64,
    hashes: Vec<Hash>,
}

impl Peaks {
    /// The peaks of a tree of `length` leaves; `None` if that many peaks do not fit the length.
    #[must_use]
    pub fn new(length: u64, hashes: Vec<Hash>) -> Option<Self> {
        let fits = length <= MAX_LENGTH && hashes.len() == length.count_ones() as usize;
        fits.then_some(Self { length, hashes })
    }

    /// The number of leaves.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The hashes from left to right.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The root hash, which covers length and peaks.
    #[must_use]
    pub fn root(&self) -> Hash {
        Hash::root(self.length, &self.hashes)
    }

    /// Appends one leaf and tells every inner node that it completes.
    pub fn push(&mut self, leaf: Hash, completed: impl FnMut(NodeId, Hash)) {
        self.push_subtree(0, leaf, completed);
    }

    /// Appends a complete subtree. Its height must not exceed that of the last peak, which
    /// [`subtrees_of`] guarantees.
    pub fn push_subtree(
        &mut self,
        height: u8,
        hash: Hash,
        mut completed: impl FnMut(NodeId, Hash),
    ) {
        let width = 1u64 << height;
        assert!(self.length.is_multiple_of(width), "a subtree starts at a multiple of its width");
        let mut node = NodeId { height, offset: self.length >> height };
        let mut hash = hash;
        while node.offset % 2 == 1 {
            let left = self.hashes.pop().expect("an odd node has a complete left sibling");
            hash = Hash::parent(&left, &hash);
            node = node.parent();
            completed(node, hash);
        }
        self.hashes.push(hash);
        self.length += width;
        assert_eq!(self.hashes.len(), self.length.count_ones() as usize, "peaks fit the length");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_the_ones_of_the_length() {
        let peaks = peaks_of(0b1101);
        let heights: Vec<u8> = peaks.iter().map(|p| p.height).collect();
        assert_eq!(heights, [3, 2, 0]);
        assert_eq!(peaks[2].first_leaf(), 12);
        assert_eq!(peaks_of(0), []);
    }

    #[test]
    fn flat_indices_are_in_order() {
        // Hypercore's picture: leaves 0, 2, 4, 6; parents 1, 5; the root over four leaves is 3.
        assert_eq!(NodeId { height: 0, offset: 3 }.flat_index(), 6);
        assert_eq!(NodeId { height: 1, offset: 1 }.flat_index(), 5);
        assert_eq!(NodeId { height: 2, offset: 0 }.flat_index(), 3);
    }

    #[test]
    fn a_range_is_covered_once() {
        for from in 0..40 {
            for to in from..40 {
                let mut at = from;
                for node in subtrees_of(from, to) {
                    assert_eq!(node.first_leaf(), at);
                    at += node.width();
                }
                assert_eq!(at, to);
            }
        }
    }
}
