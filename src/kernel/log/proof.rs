//! Proofs that need no store: a record is in a log of a length (inclusion), and a log is a prefix
//! of a longer one (consistency). Both are O(log n) hashes (`schema/proof.md`).

use super::cursor::{Cursor, CursorError};
use super::tree::{Peaks, peaks_of, subtrees_of};
use super::{Hash, MAX_LENGTH, NodeId};

/// No proof of a log of at most [`MAX_LENGTH`] records needs more hashes than this.
pub const MAX_PROOF_HASHES: usize = 128;

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The bytes are cut short or too long.
    #[error("the proof's bytes: {0}")]
    Bytes(#[from] CursorError),
    /// Index and length do not fit each other or the limits.
    #[error("index {index} is not in a log of {length} records")]
    Position {
        /// The index of the record, or the shorter length.
        index: u64,
        /// The length of the log.
        length: u64,
    },
    /// The number of hashes is not the one that the position demands.
    #[error("a proof of {found} hashes where the position demands {expected}")]
    Hashes {
        /// What the position demands.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// The hashes lead to another root.
    #[error("the proof leads to another root than the head's")]
    Root,
}

/// The path from a leaf to the root of a log of `length` records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The index of the record.
    pub index: u64,
    /// The length of the log.
    pub length: u64,
    /// The siblings on the way from the leaf to its peak, then the other peaks from left to right.
    pub hashes: Vec<Hash>,
}

impl Inclusion {
    /// The nodes whose hashes the proof holds, in their order.
    #[must_use]
    pub fn nodes(index: u64, length: u64) -> Vec<NodeId> {
        let peaks = peaks_of(length);
        let own = own_peak(&peaks, index);
        let mut nodes = Vec::new();
        let mut node = NodeId { height: 0, offset: index };
        while node != own {
            nodes.push(node.sibling());
            node = node.parent();
        }
        nodes.extend(peaks.into_iter().filter(|peak| *peak != own));
        nodes
    }

    /// The root that the proof leads to from this leaf.
    ///
    /// # Errors
    /// [`ProofError::Position`] or [`ProofError::Hashes`].
    pub fn root(&self, leaf: Hash) -> Result<Hash, ProofError> {
        let Self { index, length, .. } = *self;
        if index >= length || length > MAX_LENGTH {
            return Err(ProofError::Position { index, length });
        }
        let peaks = peaks_of(length);
        let own = own_peak(&peaks, index);
        let expected = usize::from(own.height) + peaks.len() - 1;
        if self.hashes.len() != expected {
            return Err(ProofError::Hashes { expected, found: self.hashes.len() });
        }
        let (siblings, others) = self.hashes.split_at(usize::from(own.height));
        let mut hash = leaf;
        let mut node = NodeId { height: 0, offset: index };
        for sibling in siblings {
            hash = match node.offset % 2 {
                0 => Hash::parent(&hash, sibling),
                _ => Hash::parent(sibling, &hash),
            };
            node = node.parent();
        }
        let mut others = others.iter().copied();
        let all: Vec<Hash> = peaks
            .iter()
            .filter_map(|peak| if *peak == own { Some(hash) } else { others.next() })
            .collect();
        Ok(Hash::root(length, &all))
    }

    /// Index, length, number of hashes (u8), the hashes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self.index, self.length, &self.hashes)
    }

    /// Reads a proof, and leaves the cursor behind it.
    ///
    /// # Errors
    /// [`ProofError::Bytes`] or [`ProofError::Hashes`].
    pub fn read(cursor: &mut Cursor<'_>) -> Result<Self, ProofError> {
        let (index, length, hashes) = decode(cursor)?;
        Ok(Self { index, length, hashes })
    }
}

/// Shows that a log of `from` records is a prefix of one of `to` records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// The shorter length.
    pub from: u64,
    /// The longer length.
    pub to: u64,
    /// The peaks of the shorter log, then the subtrees that cover the records between.
    pub hashes: Vec<Hash>,
}

impl Consistency {
    /// The nodes whose hashes the proof holds, in their order.
    #[must_use]
    pub fn nodes(from: u64, to: u64) -> Vec<NodeId> {
        let mut nodes = peaks_of(from);
        nodes.extend(subtrees_of(from, to));
        nodes
    }

    /// The roots at both lengths.
    ///
    /// # Errors
    /// [`ProofError::Position`] or [`ProofError::Hashes`].
    pub fn roots(&self) -> Result<(Hash, Hash), ProofError> {
        let Self { from, to, .. } = *self;
        if from > to || to > MAX_LENGTH {
            return Err(ProofError::Position { index: from, length: to });
        }
        let added = subtrees_of(from, to);
        let count = from.count_ones() as usize;
        let expected = count + added.len();
        if self.hashes.len() != expected {
            return Err(ProofError::Hashes { expected, found: self.hashes.len() });
        }
        let (old, new) = self.hashes.split_at(count);
        let mut peaks = Peaks::new(from, old.to_vec()).expect("the count of peaks was checked");
        let root_from = peaks.root();
        for (node, hash) in added.iter().zip(new) {
            peaks.push_subtree(node.height, *hash, |_, _| ());
        }
        Ok((root_from, peaks.root()))
    }

    /// Both lengths, number of hashes (u8), the hashes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self.from, self.to, &self.hashes)
    }

    /// Reads a proof, and leaves the cursor behind it.
    ///
    /// # Errors
    /// [`ProofError::Bytes`] or [`ProofError::Hashes`].
    pub fn read(cursor: &mut Cursor<'_>) -> Result<Self, ProofError> {
        let (from, to, hashes) = decode(cursor)?;
        Ok(Self { from, to, hashes })
    }
}

fn own_peak(peaks: &[NodeId], index: u64) -> NodeId {
    *peaks
        .iter()
        .find(|peak| index < peak.first_leaf() + peak.width())
        .expect("the peaks cover every index below the length")
}

fn encode(a: u64, b: u64, hashes: &[Hash]) -> Vec<u8> {
    let count = u8::try_from(hashes.len()).expect("a proof has at most MAX_PROOF_HASHES hashes");
    let mut bytes = Vec::with_capacity(17 + hashes.len() * 32);
    bytes.extend_from_slice(&a.to_le_bytes());
    bytes.extend_from_slice(&b.to_le_bytes());
    bytes.push(count);
    bytes.extend(hashes.iter().flat_map(|hash| hash.0));
    bytes
}

fn decode(cursor: &mut Cursor<'_>) -> Result<(u64, u64, Vec<Hash>), ProofError> {
    let (a, b) = (cursor.u64()?, cursor.u64()?);
    let count = usize::from(cursor.u8()?);
    if count > MAX_PROOF_HASHES {
        return Err(ProofError::Hashes { expected: MAX_PROOF_HASHES, found: count });
    }
    let (hashes, _) = cursor.take(count * 32)?.as_chunks::<32>();
    Ok((a, b, hashes.iter().map(|hash| Hash(*hash)).collect()))
}
