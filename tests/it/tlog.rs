//! The tree of checkpoints, its proofs and its files, against RFC 6962 written out as it stands
//! there, the verification of RFC 9162, and the hashes that Certificate Transparency tests with.

use bzzz::kernel::log::tlog::{
    Checkpoint, Prover, SignedCheckpoint, Tiles, TlogProof, TreeHash, TreeHead, included,
    witness_request,
};
use bzzz::kernel::log::{Hash, LogStore, ProofError, ReadLimit, StoreError};
use bzzz::store::memory::MemoryStore;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::log_laws::{SWARM, grow, key};

/// Every pair of numbers up to this one is tried.
const SMALL: u64 = 70;

fn sha256(parts: &[&[u8]]) -> TreeHash {
    TreeHash(Sha256::digest(parts.concat()).into())
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn leaves(count: u64) -> Vec<TreeHash> {
    (0..count).map(|index| sha256(&[&[0], &entry(index)])).collect()
}

/// RFC 6962's k: the largest power of two below n.
fn split(n: usize) -> usize {
    (0..).map(|bits| 1 << bits).take_while(|k| *k < n).last().unwrap()
}

/// MTH(D[n]), section 2.1.
fn mth(d: &[TreeHash]) -> TreeHash {
    match d {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = d.split_at(split(d.len()));
            sha256(&[&[1], &mth(left).0, &mth(right).0])
        }
    }
}

/// PATH(m, D[n]), section 2.1.1.
fn path(m: usize, d: &[TreeHash]) -> Vec<TreeHash> {
    if d.len() == 1 {
        return Vec::new();
    }
    let k = split(d.len());
    let (left, right) = d.split_at(k);
    let (mut inner, other) =
        if m < k { (path(m, left), mth(right)) } else { (path(m - k, right), mth(left)) };
    inner.push(other);
    inner
}

/// SUBPROOF(m, D[n], b), section 2.1.2.
fn subproof(m: usize, d: &[TreeHash], known: bool) -> Vec<TreeHash> {
    if m == d.len() {
        return if known { Vec::new() } else { vec![mth(d)] };
    }
    let k = split(d.len());
    let (left, right) = d.split_at(k);
    let (mut inner, other) = if m <= k {
        (subproof(m, left, known), mth(right))
    } else {
        (subproof(m - k, right, false), mth(left))
    };
    inner.push(other);
    inner
}

/// The verification of RFC 9162, section 2.1.4.2, with bits and not with a recursion.
fn consistent(first: u64, second: u64, roots: (TreeHash, TreeHash), proof: &[TreeHash]) -> bool {
    if first == second {
        return proof.is_empty() && roots.0 == roots.1;
    }
    let mut proof = proof.to_vec();
    if first.is_power_of_two() {
        proof.insert(0, roots.0);
    }
    let (mut fnode, mut snode) = (first - 1, second - 1);
    while fnode & 1 == 1 {
        (fnode, snode) = (fnode >> 1, snode >> 1);
    }
    let Some((start, rest)) = proof.split_first() else {
        return false;
    };
    let (mut fr, mut sr) = (*start, *start);
    for hash in rest {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            fr = sha256(&[&[1], &hash.0, &fr.0]);
            sr = sha256(&[&[1], &hash.0, &sr.0]);
            while fnode & 1 == 0 && fnode != 0 {
                (fnode, snode) = (fnode >> 1, snode >> 1);
            }
        } else {
            sr = sha256(&[&[1], &sr.0, &hash.0]);
        }
        (fnode, snode) = (fnode >> 1, snode >> 1);
    }
    snode == 0 && (fr, sr) == roots
}

fn run(mut prover: Prover, length: u64) -> Prover {
    (0..length).for_each(|index| prover.push(&entry(index)));
    prover
}

#[test]
fn the_roots_are_those_that_certificate_transparency_tests_with() {
    let entries = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut prover = Prover::default();
    assert_eq!(prover.head().root(), sha256(&[]));
    for (entry, root) in entries.iter().zip(roots) {
        prover.push(&hex::decode(entry).unwrap());
        assert_eq!(prover.head().root().to_string(), root);
    }
}

#[test]
fn every_small_path_is_that_of_the_rfc() {
    for length in 1..=SMALL {
        let d = leaves(length);
        for index in 0..length {
            let at = usize::try_from(index).unwrap();
            let prover = run(Prover::inclusion(index, length), length);
            let hashes = prover.hashes();
            assert_eq!(prover.head().root(), mth(&d), "{length}");
            assert_eq!(hashes, path(at, &d), "{index} of {length}");
            assert_eq!(included(index, length, d[at], &hashes), Ok(mth(&d)), "{index} of {length}");
            // Nothing else is proven by it.
            for other in (0..length).filter(|other| *other != index) {
                let root = included(other, length, d[at], &hashes);
                assert_ne!(root, Ok(mth(&d)), "{index} as {other} of {length}");
            }
            let beyond = included(length, length, d[at], &hashes);
            assert_eq!(beyond, Err(ProofError::Position { index: length, length }));
            let more = [&hashes[..], &[d[0]]].concat();
            let refused = included(index, length, d[at], &more);
            assert!(matches!(refused, Err(ProofError::Hashes { .. })), "{index} of {length}");
        }
    }
}

#[test]
fn every_small_consistency_is_that_of_the_rfc() {
    let d = leaves(SMALL);
    for new in 1..=SMALL {
        let all = &d[..usize::try_from(new).unwrap()];
        assert_eq!(run(Prover::consistency(0, new), new).hashes(), []);
        for old in 1..=new {
            let prover = run(Prover::consistency(old, new), new);
            let hashes = prover.hashes();
            let old_size = usize::try_from(old).unwrap();
            assert_eq!(hashes, subproof(old_size, all, true), "{old} of {new}");
            let roots = (mth(&all[..old_size]), mth(all));
            assert!(consistent(old, new, roots, &hashes), "{old} of {new}");
            assert!(!consistent(old, new, (roots.0, d[0]), &hashes) || new == 1, "{old} of {new}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn proofs_of_any_length_are_those_of_the_rfc(new in 1..3000u64, a: u64, b: u64) {
        let (index, old) = (a % new, b % new + 1);
        let d = leaves(new);
        let root = mth(&d);
        let path = run(Prover::inclusion(index, new), new).hashes();
        prop_assert_eq!(included(index, new, d[usize::try_from(index).unwrap()], &path), Ok(root));
        let proof = run(Prover::consistency(old, new), new).hashes();
        let old_root = mth(&d[..usize::try_from(old).unwrap()]);
        prop_assert!(consistent(old, new, (old_root, root), &proof));
        for at in 0..proof.len() {
            let mut bad = proof.clone();
            bad[at].0[at % 32] ^= 1;
            prop_assert!(!consistent(old, new, (old_root, root), &bad));
        }
    }

    /// The tiles hold every node: the root follows from those that a length needs.
    #[test]
    fn tiles_hold_the_tree(length in 1..2000u64) {
        let mut tiles = Tiles::default();
        let mut entries = Vec::new();
        let mut files = Vec::new();
        for index in 0..length {
            files.extend(tiles.push(&entry(index)));
        }
        files.extend(tiles.partial());
        files.sort_by(|a, b| a.path.cmp(&b.path));
        for file in files.iter().filter(|file| file.path.starts_with("tile/entries/")) {
            let mut rest = &file.bytes[..];
            while let Some((size, more)) = rest.split_first_chunk::<2>() {
                let (one, more) = more.split_at(u16::from_be_bytes(*size).into());
                entries.push(sha256(&[&[0], one]));
                rest = more;
            }
        }
        prop_assert_eq!(mth(&entries), mth(&leaves(length)));
        let level = |name: &str| -> Vec<TreeHash> {
            let own = files.iter().filter(|file| file.path.starts_with(name));
            let bytes: Vec<u8> = own.flat_map(|file| file.bytes.clone()).collect();
            bytes.as_chunks::<32>().0.iter().map(|hash| TreeHash(*hash)).collect()
        };
        prop_assert_eq!(level("tile/0/"), leaves(length));
        let full: Vec<TreeHash> = leaves(length).chunks_exact(256).map(mth).collect();
        prop_assert_eq!(level("tile/1/"), full);
    }
}

/// A proof from a store, with the checkpoint of all of its log.
fn proof(store: &MemoryStore, index: u64, length: u64) -> TlogProof {
    let author = key(1).author();
    let prover = Prover::inclusion(index, length).read(store, &author, length).unwrap();
    let head = store.heads(&author, length - 1, 1).unwrap().remove(0);
    assert_eq!(head.length, length);
    let root = prover.head().root();
    let checkpoint = Checkpoint { swarm: SWARM, author, length, root, head_root: head.root };
    let limit = ReadLimit { records: 1, bytes: usize::MAX };
    let record = store.records(&author, index, limit).unwrap().remove(0);
    TlogProof { record, index, hashes: prover.hashes(), checkpoint: checkpoint.sign(&key(1)) }
}

#[test]
fn a_store_proves_its_records_and_nothing_in_a_proof_can_change() {
    let store = MemoryStore::new();
    grow(&store, &key(1), &[1, 2, 300]);
    for (index, length) in [(0, 1), (1, 3), (0, 303), (256, 303), (302, 303)] {
        let good = proof(&store, index, length);
        let text = good.to_text();
        let read = TlogProof::from_bytes(text.as_bytes()).unwrap();
        assert_eq!((read.verify(), &read), (Ok(()), &good));
        for at in 0..text.len() {
            let refused = |bytes: &[u8]| {
                TlogProof::from_bytes(bytes).map_or(true, |read| {
                    let other = read.checkpoint.expect(Some(&key(1).author()), Some(&SWARM));
                    read.verify().is_err() || other.is_err()
                })
            };
            for bit in 0..8 {
                let mut bad = text.clone().into_bytes();
                bad[at] ^= 1 << bit;
                assert!(refused(&bad), "{index} of {length}: byte {at}, bit {bit}");
            }
            assert!(refused(&text.as_bytes()[..at]), "{index} of {length}: cut at {at}");
        }
    }
    let short = Prover::default().read(&store, &key(1).author(), 304);
    assert!(matches!(short, Err(StoreError::Corrupt { index: 303, .. })));
}

#[test]
fn a_request_to_a_witness_is_as_its_specification_has_it() {
    let store = MemoryStore::new();
    grow(&store, &key(1), &[3, 4]);
    let checkpoint = proof(&store, 0, 7).checkpoint;
    let note = checkpoint.to_note().to_text();
    let author = key(1).author();
    let prover = Prover::consistency(3, 7).read(&store, &author, 7).unwrap();
    let body = witness_request(3, &prover.hashes(), &checkpoint);
    let (head, rest) = body.split_once("\n\n").unwrap();
    assert_eq!(rest, note);
    assert_eq!((head.lines().next(), head.lines().count()), (Some("old 3"), 1 + 4));
    assert_eq!(witness_request(0, &[], &checkpoint), format!("old 0\n\n{note}"));
}

/// The bytes of a checkpoint of known keys never change.
#[test]
fn the_same_head_makes_the_same_checkpoint() {
    let (swarm, author) = (SWARM, key(1).author());
    let mut tree = TreeHead::default();
    tree.push(TreeHash::leaf(b"head"), |_, _| ());
    let says = Checkpoint { swarm, author, length: 1, root: tree.root(), head_root: Hash([7; 32]) };
    let text = says.clone().sign(&key(1)).to_note().to_text();
    assert_eq!(text, says.sign(&key(1)).to_note().to_text());
    let read = SignedCheckpoint::from_bytes(text.as_bytes()).unwrap();
    assert_eq!(read.verify(), Ok(()));
    assert_eq!(
        blake3::hash(text.as_bytes()).to_string(),
        "0dccf3bf86806b90c1cfab852fcb38880fdf62af5d34c416fd038318e7491174"
    );
}
