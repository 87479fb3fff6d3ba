//! The tree and its proofs against a model that is written from `schema/log.md` and
//! `schema/proof.md` alone: nothing of it is shared with what it is compared with, not even the
//! hashes.

use std::sync::LazyLock;

use bzzz::kernel::identity::AuthorId;
use bzzz::kernel::log::{
    Consistency, Cursor, Hash, Inclusion, LogStore, MAX_LENGTH, MAX_PROOF_HASHES, NodeId,
    ProofError, Record, TILE_HEIGHT, TILE_LEAVES, Tip, TreeReader, prove_consistency,
    prove_inclusion,
};
use bzzz::store::memory::MemoryStore;
use proptest::prelude::*;

use crate::log_laws::{SWARM, grow, key, record};

/// Every pair of numbers up to this one is tried.
const SMALL: u64 = 70;

/// The large log ends inside a tile.
const LARGE: u64 = (1 << 20) + 77;

/// A node of the tree, by its height and the number of nodes to its left.
type Node = (u8, u64);

/// The model: the tree of some leaves, each node computed once, by the definition.
struct Model(Vec<Vec<[u8; 32]>>);

fn leaf(author: &AuthorId, header: &[u8]) -> [u8; 32] {
    blake3::derive_key("bzzz v1 leaf", &[&author.0, header].concat())
}

fn parent(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    blake3::derive_key("bzzz v1 parent", &[left, right].concat())
}

fn root(length: u64, peaks: &[[u8; 32]]) -> Hash {
    let bytes = [&length.to_le_bytes(), peaks.as_flattened()].concat();
    Hash(blake3::derive_key("bzzz v1 root", &bytes))
}

/// For each bit that is set in the length, from the highest on, the node of that height that goes
/// on where the one before ended.
fn peaks(length: u64) -> Vec<Node> {
    let mut at = 0;
    let mut peaks = Vec::new();
    for height in (0..64).rev() {
        if length >> height & 1 == 1 {
            peaks.push((height, at >> height));
            at += 1 << height;
        }
    }
    peaks
}

/// The peak that covers an index.
fn peak_over(index: u64, length: u64) -> Node {
    let covers = |(height, offset): &Node| index >> height == *offset;
    peaks(length).into_iter().find(covers).unwrap()
}

/// The largest complete subtrees from one length to another.
fn between(from: u64, to: u64) -> Vec<Node> {
    let mut at = from;
    let mut nodes = Vec::new();
    while at < to {
        let fits = |height: &u8| at.is_multiple_of(1 << height) && at + (1 << height) <= to;
        let height = (0..64).rev().find(fits).unwrap();
        nodes.push((height, at >> height));
        at += 1 << height;
    }
    nodes
}

impl Model {
    fn new(leaves: Vec<[u8; 32]>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let (pairs, _) = below.as_chunks::<2>();
            levels.push(pairs.iter().map(|[left, right]| parent(*left, *right)).collect());
        }
        Self(levels)
    }

    fn node(&self, (height, offset): Node) -> [u8; 32] {
        self.0[usize::from(height)][usize::try_from(offset).unwrap()]
    }

    fn nodes(&self, nodes: &[Node]) -> Vec<[u8; 32]> {
        nodes.iter().map(|node| self.node(*node)).collect()
    }

    fn leaf(&self, index: u64) -> Hash {
        Hash(self.node((0, index)))
    }

    fn root(&self, length: u64) -> Hash {
        root(length, &self.nodes(&peaks(length)))
    }

    /// The siblings from the leaf up to its peak, then the other peaks.
    fn inclusion(&self, index: u64, length: u64) -> Vec<Hash> {
        let own = peak_over(index, length);
        let mut nodes: Vec<Node> =
            (0..own.0).map(|height| (height, (index >> height) ^ 1)).collect();
        nodes.extend(peaks(length).into_iter().filter(|peak| *peak != own));
        self.nodes(&nodes).into_iter().map(Hash).collect()
    }

    /// The peaks of the shorter log, then what covers the records between.
    fn consistency(&self, from: u64, to: u64) -> Vec<Hash> {
        let nodes = [peaks(from), between(from, to)].concat();
        self.nodes(&nodes).into_iter().map(Hash).collect()
    }
}

/// A log in a store, grown by appends of these sizes, and its model.
fn both(sizes: &[u64]) -> (MemoryStore, Tip, Model) {
    let store = MemoryStore::new();
    let tip = grow(&store, &key(1), sizes);
    let author = key(1).author();
    let leaves = (0..tip.length()).map(|index| leaf(&author, record(index).as_ref().header()));
    let model = Model::new(leaves.collect());
    (store, tip, model)
}

/// A proof of inclusion and the root that it leads to.
fn included(bytes: &[u8], leaf: Hash) -> Result<(Inclusion, Hash), ProofError> {
    let mut cursor = Cursor::new(bytes);
    let proof = Inclusion::read(&mut cursor)?;
    cursor.end()?;
    let root = proof.root(leaf)?;
    Ok((proof, root))
}

/// A proof of consistency and the roots that it leads to.
fn consistent(bytes: &[u8]) -> Result<(Consistency, (Hash, Hash)), ProofError> {
    let mut cursor = Cursor::new(bytes);
    let proof = Consistency::read(&mut cursor)?;
    cursor.end()?;
    let roots = proof.roots()?;
    Ok((proof, roots))
}

/// The bytes with each byte changed, cut short at each, and with each two hashes exchanged.
fn mutations(bytes: &[u8], mut each: impl FnMut(&[u8], &str)) {
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bad = bytes.to_vec();
            bad[at] ^= flip;
            each(&bad, &format!("byte {at} ^ {flip}"));
        }
        each(&bytes[..at], &format!("cut at {at}"));
    }
    each(&[bytes, &[0]].concat(), "a byte too many");
    let hashes = (bytes.len() - 17) / 32;
    for one in 0..hashes {
        for other in 0..one {
            let mut bad = bytes.to_vec();
            let (one, other) = (17 + 32 * one, 17 + 32 * other);
            for byte in 0..32 {
                bad.swap(one + byte, other + byte);
            }
            each(&bad, &format!("hashes at {other} and {one} exchanged"));
        }
        let mut bad = bytes.to_vec();
        bad.drain(17 + 32 * one..49 + 32 * one);
        bad[16] -= 1;
        each(&bad, &format!("without hash {one}"));
        let mut bad = bytes.to_vec();
        bad.splice(17 + 32 * one..17 + 32 * one, [7; 32]);
        bad[16] += 1;
        each(&bad, &format!("one more hash before {one}"));
    }
}

#[test]
fn every_small_inclusion_is_the_models() {
    let (store, tip, model) = both(&[1, 2, 40, 27]);
    let tree = TreeReader::new(&store, &tip);
    for length in 1..=SMALL {
        for index in 0..length {
            let proof = prove_inclusion(&tree, index, length).unwrap();
            assert_eq!(proof.hashes, model.inclusion(index, length), "{index} of {length}");
            let leaf = model.leaf(index);
            assert_eq!(proof.root(leaf), Ok(model.root(length)), "{index} of {length}");
            let read = included(&proof.to_bytes(), leaf);
            assert_eq!(read, Ok((proof, model.root(length))));
        }
    }
}

#[test]
fn every_small_consistency_is_the_models() {
    let (store, tip, model) = both(&[1, 2, 40, 27]);
    let tree = TreeReader::new(&store, &tip);
    for to in 0..=SMALL {
        for from in 0..=to {
            let proof = prove_consistency(&tree, from, to).unwrap();
            assert_eq!(proof.hashes, model.consistency(from, to), "{from} of {to}");
            let roots = (model.root(from), model.root(to));
            assert_eq!(proof.roots(), Ok(roots), "{from} of {to}");
            let read = consistent(&proof.to_bytes());
            assert_eq!(read, Ok((proof, roots)));
        }
    }
}

#[test]
fn no_mutation_of_a_small_inclusion_proves_anything() {
    let (_, _, model) = both(&[24]);
    for length in 1..24 {
        for index in 0..length {
            let hashes = model.inclusion(index, length);
            let bytes = Inclusion { index, length, hashes }.to_bytes();
            let leaf = model.leaf(index);
            mutations(&bytes, |bad, how| {
                let believed = included(bad, leaf).ok().is_some_and(|(proof, root)| {
                    proof.length <= 24 && root == model.root(proof.length)
                });
                assert!(!believed, "{index} of {length}: {how}");
            });
        }
    }
}

#[test]
fn no_mutation_of_a_small_consistency_proves_anything() {
    let (_, _, model) = both(&[24]);
    for to in 1..24 {
        for from in 0..=to {
            let hashes = model.consistency(from, to);
            let bytes = Consistency { from, to, hashes }.to_bytes();
            mutations(&bytes, |bad, how| {
                let believed = consistent(bad).ok().filter(|(proof, roots)| {
                    let (from, to) = (proof.from, proof.to);
                    to <= 24 && *roots == (model.root(from), model.root(to))
                });
                // With other numbers it may be the true proof of something else: the peaks of 1
                // are what goes from 0 to 1 as well.
                if let Some((proof, _)) = believed {
                    assert_ne!((proof.from, proof.to), (from, to), "{how}");
                    let hashes = model.consistency(proof.from, proof.to);
                    assert_eq!(proof.hashes, hashes, "{from} of {to}: {how}");
                }
            });
        }
    }
}

/// A path that is right proves its leaf at its place in its length, and no other.
#[test]
fn a_small_inclusion_proves_one_leaf_at_one_place() {
    let (_, _, model) = both(&[20]);
    for length in 1..=20 {
        for index in 0..length {
            let mut proof = Inclusion { index, length, hashes: model.inclusion(index, length) };
            for other in (0..20).filter(|other| *other != index) {
                let root = proof.root(model.leaf(other));
                assert_ne!(root, Ok(model.root(length)), "{other} as {index} of {length}");
            }
            for (other, long) in (1..=20).flat_map(|n| (0..n).map(move |i| (i, n))) {
                (proof.index, proof.length) = (other, long);
                let right = proof.root(model.leaf(index)) == Ok(model.root(long));
                let same = (other, long) == (index, length);
                assert_eq!(right, same, "{index} of {length} as {other} of {long}");
            }
        }
    }
}

#[test]
fn tiles_and_nodes_of_a_store_are_the_models() {
    let author = key(1).author();
    for sizes in [&[255, 1, 256, 700][..], &[4096, 1], &[1; 300], &[257, 255, 511, 1]] {
        let (store, tip, model) = both(sizes);
        let tiles = tip.length() / TILE_LEAVES as u64;
        for number in 0..=tiles {
            let tile = store.tile(&author, number).unwrap();
            assert_eq!(tile.is_some(), number < tiles, "only full tiles are stored");
            let Some(tile) = tile else { continue };
            for height in 0..=TILE_HEIGHT {
                let nodes = TILE_LEAVES >> height;
                for offset in 0..nodes {
                    let node = (height, number * nodes as u64 + offset as u64);
                    let found = tile.node(height, offset);
                    assert_eq!(found, Some(Hash(model.node(node))), "tile {number}, {node:?}");
                }
                assert_eq!(tile.node(height, nodes), None, "outside of the tile");
            }
        }
        for height in TILE_HEIGHT..20 {
            let complete = tip.length() >> height;
            for offset in 0..=complete {
                let expected = (offset < complete).then(|| Hash(model.node((height, offset))));
                let found = store.node(&author, NodeId { height, offset }).unwrap();
                assert_eq!(found, expected, "node {offset} of height {height}");
            }
        }
        assert_eq!(tip.root(), model.root(tip.length()));
        let tail: Vec<Hash> =
            (tiles * TILE_LEAVES as u64..tip.length()).map(|index| model.leaf(index)).collect();
        assert_eq!(tip.tail(), tail);
    }
}

/// A log of more than a million records in memory, and its model.
static BIG: LazyLock<(MemoryStore, Tip, Model)> = LazyLock::new(|| {
    let store = MemoryStore::new();
    let author = key(1).author();
    let mut tip = Tip::empty(author);
    let mut leaves = Vec::new();
    while tip.length() < LARGE {
        let count = (LARGE - tip.length()).min(4096);
        let indices = tip.length()..tip.length() + count;
        let records = indices.map(|index| Record::new(&index.to_le_bytes(), b"").unwrap());
        let records: Vec<Record> = records.collect();
        leaves.extend(records.iter().map(|record| leaf(&author, record.as_ref().header())));
        let append = tip.append(&key(1), SWARM, tip.length(), records);
        store.commit(std::slice::from_ref(&append), &[]).unwrap();
        tip = append.tip().clone();
    }
    (store, tip, Model::new(leaves))
});

/// Numbers of all sizes up to the large log's length, and those near powers of two.
fn number() -> impl Strategy<Value = u64> {
    let any = (0..=LARGE.ilog2(), any::<u64>()).prop_map(|(bits, n)| n & ((2 << bits) - 1));
    let near =
        (0..=LARGE.ilog2(), -2i64..=2).prop_map(|(bit, d)| (1u64 << bit).saturating_add_signed(d));
    prop_oneof![any, near, Just(LARGE)].prop_map(|n: u64| n.min(LARGE))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_large_inclusion_is_the_models(
        index in number(), length in number(), at in any::<prop::sample::Index>(), flip in 1u8..,
    ) {
        let (a, b) = (index, length);
        let length = a.max(b).max(1);
        let index = a.min(b).min(length - 1);
        let (store, tip, model) = &*BIG;
        let proof = prove_inclusion(&TreeReader::new(store, tip), index, length).unwrap();
        prop_assert_eq!(&proof.hashes, &model.inclusion(index, length));
        let (leaf, root) = (model.leaf(index), model.root(length));
        let mut bytes = proof.to_bytes();
        prop_assert_eq!(included(&bytes, leaf), Ok((proof, root)));
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok((Inclusion { length, .. }, root)) = included(&bytes, leaf) && length <= LARGE {
            prop_assert_ne!(root, model.root(length), "byte {} ^ {}", at, flip);
        }
    }

    #[test]
    fn a_large_consistency_is_the_models(
        from in number(), to in number(), at in any::<prop::sample::Index>(), flip in 1u8..,
    ) {
        let (from, to) = (from.min(to), from.max(to));
        let (store, tip, model) = &*BIG;
        let proof = prove_consistency(&TreeReader::new(store, tip), from, to).unwrap();
        prop_assert_eq!(&proof.hashes, &model.consistency(from, to));
        let mut bytes = proof.to_bytes();
        prop_assert_eq!(consistent(&bytes), Ok((proof, (model.root(from), model.root(to)))));
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok((proof, roots)) = consistent(&bytes) && proof.to <= LARGE {
            // Other numbers may make it the true proof of something else.
            let (from, to) = (proof.from, proof.to);
            let right = roots == (model.root(from), model.root(to));
            prop_assert!(!right || proof.hashes == model.consistency(from, to), "byte {}", at);
        }
    }

    /// Whatever the numbers are: a proof has the number of hashes that they demand, or is refused.
    #[test]
    fn the_number_of_hashes_follows_from_the_position(
        a in prop_oneof![any::<u64>(), 0..=MAX_LENGTH],
        b in prop_oneof![any::<u64>(), 0..=MAX_LENGTH],
        count in 0..=MAX_PROOF_HASHES,
    ) {
        let hashes = vec![Hash([1; 32]); count];
        let proof = Inclusion { index: a, length: b, hashes: hashes.clone() };
        let in_limits = a < b && b <= MAX_LENGTH;
        let expected = in_limits.then(|| usize::from(peak_over(a, b).0) + peaks(b).len() - 1);
        match proof.root(Hash([2; 32])) {
            Ok(_) => prop_assert_eq!(expected, Some(count)),
            Err(ProofError::Position { .. }) => prop_assert_eq!(expected, None),
            Err(error) => {
                let expected = expected.unwrap();
                prop_assert_eq!(error, ProofError::Hashes { expected, found: count });
            }
        }
        let proof = Consistency { from: a, to: b, hashes };
        let in_limits = a <= b && b <= MAX_LENGTH;
        let expected = in_limits.then(|| peaks(a).len() + between(a, b).len());
        match proof.roots() {
            Ok(_) => prop_assert_eq!(expected, Some(count)),
            Err(ProofError::Position { .. }) => prop_assert_eq!(expected, None),
            Err(error) => {
                let expected = expected.unwrap();
                prop_assert!(expected <= MAX_PROOF_HASHES);
                prop_assert_eq!(error, ProofError::Hashes { expected, found: count });
            }
        }
    }
}
