//! The laws of the log, against a model that is as naive as it can be, and bytes that never change.

use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::kernel::log::{
    Append, Consistency, Cursor, Hash, Inclusion, LogStore, MAX_RANGE_BYTES, Peaks, ProofError,
    Range, RangeError, Record, RecordError, SignedHead, Tip, TreeReader, prove_consistency,
    prove_inclusion,
};
use bzzz::store::memory::MemoryStore;
use proptest::prelude::*;

pub(crate) const SWARM: SwarmId = SwarmId([9; 32]);

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// The record at an index: its body has a length and bytes that depend on the index.
pub(crate) fn record(index: u64) -> Record {
    let body: Vec<u8> = (0..index % 7).flat_map(|_| index.to_le_bytes()).collect();
    Record::new(&index.to_le_bytes(), &body).unwrap()
}

pub(crate) fn records(from: u64, count: u64) -> Vec<Record> {
    (from..from + count).map(record).collect()
}

/// An append of `count` records that follow the tip.
pub(crate) fn append(tip: &Tip, key: &SecretKey, count: u64) -> Append {
    let clock = 1000 + tip.length();
    tip.append(key, SWARM, clock, records(tip.length(), count))
}

/// A log in a store, made by appends of these sizes.
pub(crate) fn grow(store: &dyn LogStore, key: &SecretKey, sizes: &[u64]) -> Tip {
    let mut tip = Tip::open(store, key.author()).unwrap();
    for size in sizes {
        let append = append(&tip, key, *size);
        store.commit(std::slice::from_ref(&append), &[]).unwrap();
        tip = append.tip().clone();
    }
    tip
}

pub(crate) fn leaves(author: &AuthorId, count: u64) -> Vec<Hash> {
    (0..count).map(|i| record(i).as_ref().leaf(author)).collect()
}

/// The model's node over these leaves, by the definition alone.
fn naive_node(leaves: &[Hash]) -> Hash {
    match leaves {
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len() / 2);
            Hash::parent(&naive_node(left), &naive_node(right))
        }
    }
}

/// The model's root: peaks are the largest powers of two from the left.
pub(crate) fn naive_root(leaves: &[Hash]) -> Hash {
    let mut rest = leaves;
    let mut peaks = Vec::new();
    while !rest.is_empty() {
        let (peak, others) = rest.split_at(1 << rest.len().ilog2());
        peaks.push(naive_node(peak));
        rest = others;
    }
    Hash::root(leaves.len() as u64, &peaks)
}

/// Everything that a store holds of a log, to compare two stores.
pub(crate) fn contents(store: &dyn LogStore, author: &AuthorId) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    store
        .scan(author, 0, &mut |index, record| {
            all.push([&index.to_le_bytes(), record.as_bytes()].concat());
            true
        })
        .unwrap();
    let heads = store.heads(author, 0, usize::MAX).unwrap();
    all.extend(heads.iter().map(|head| head.to_bytes().to_vec()));
    let tiles = all.len() as u64 / 256 + 1;
    for number in 0..tiles {
        let tile = store.tile(author, number).unwrap();
        all.extend(tile.map(|tile| tile.to_bytes()));
    }
    all
}

#[test]
fn roots_at_every_length_are_the_models() {
    let author = key(1).author();
    let leaves = leaves(&author, 600);
    let mut peaks = Peaks::default();
    for (length, leaf) in (1..).zip(&leaves) {
        peaks.push(*leaf, |_, _| ());
        assert_eq!(peaks.root(), naive_root(&leaves[..length]), "length {length}");
    }
}

#[test]
fn nodes_that_are_completed_are_the_models() {
    let leaves = leaves(&key(1).author(), 300);
    let mut peaks = Peaks::default();
    let mut seen = 0;
    for leaf in &leaves {
        peaks.push(*leaf, |node, hash| {
            let first = usize::try_from(node.first_leaf()).unwrap();
            let under = &leaves[first..first + usize::try_from(node.width()).unwrap()];
            assert_eq!(hash, naive_node(under), "{node:?}");
            seen += 1;
        });
    }
    // A tree of n leaves has as many inner nodes as merges: n less its peaks.
    assert_eq!(seen, 300 - 300u32.count_ones());
}

#[test]
fn every_leaf_is_proved_in_every_length() {
    let author = key(1).author();
    let store = MemoryStore::new();
    let tip = grow(&store, &key(1), &[1, 2, 250, 3, 256, 88]);
    let leaves = leaves(&author, tip.length());
    let roots: Vec<Hash> = (0..=leaves.len()).map(|n| naive_root(&leaves[..n])).collect();
    let tree = TreeReader::new(&store, &tip);
    let near = [1..35, 250..265, 505..520, 590..601];
    for length in near.into_iter().flatten() {
        for (index, leaf) in leaves[..length].iter().enumerate() {
            let proof = prove_inclusion(&tree, index as u64, length as u64).unwrap();
            let root = proof.root(*leaf);
            assert_eq!(root, Ok(roots[length]), "{index} in {length}");
        }
    }
}

#[test]
fn every_length_is_a_prefix_of_every_longer_one() {
    let author = key(1).author();
    let store = MemoryStore::new();
    let tip = grow(&store, &key(1), &[200, 56, 1, 255, 20]);
    let leaves = leaves(&author, tip.length());
    let roots: Vec<Hash> = (0..=leaves.len()).map(|n| naive_root(&leaves[..n])).collect();
    let tree = TreeReader::new(&store, &tip);
    for to in (0..=leaves.len()).filter(|to| *to < 40 || to % 16 < 2) {
        for from in 0..=to {
            let proof = prove_consistency(&tree, from as u64, to as u64).unwrap();
            assert_eq!(proof.roots(), Ok((roots[from], roots[to])), "{from} of {to}");
        }
    }
}

proptest! {
    #[test]
    fn a_changed_proof_of_inclusion_proves_nothing(
        length in 1u64..700, index in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(), flip in 1u8..,
    ) {
        let store = MemoryStore::new();
        let tip = grow(&store, &key(1), &[length]);
        let index = index.index(usize::try_from(length).unwrap()) as u64;
        let leaf = record(index).as_ref().leaf(&key(1).author());
        let proof = prove_inclusion(&TreeReader::new(&store, &tip), index, length).unwrap();
        prop_assert_eq!(proof.root(leaf), Ok(tip.root()));

        let bytes = proof.to_bytes();
        let read = |bytes: &[u8]| {
            let mut cursor = Cursor::new(bytes);
            let proof = Inclusion::read(&mut cursor)?;
            cursor.end()?;
            proof.root(leaf)
        };
        prop_assert_eq!(read(&bytes), Ok(tip.root()));
        let mut bad = bytes.clone();
        bad[at.index(bytes.len())] ^= flip;
        prop_assert_ne!(read(&bad), Ok(tip.root()));
        prop_assert!(read(&bytes[..at.index(bytes.len())]).is_err());

        let mut other = proof.clone();
        other.hashes.push(Hash([0; 32]));
        let (expected, found) = (proof.hashes.len(), other.hashes.len());
        prop_assert_eq!(other.root(leaf), Err(ProofError::Hashes { expected, found }));
        prop_assert_ne!(proof.root(Hash([7; 32])), Ok(tip.root()));
    }

    #[test]
    fn a_changed_proof_of_consistency_proves_nothing(
        to in 1u64..700, from in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(), flip in 1u8..,
    ) {
        let store = MemoryStore::new();
        let tip = grow(&store, &key(1), &[to]);
        let from = from.index(usize::try_from(to + 1).unwrap()) as u64;
        let leaves = leaves(&key(1).author(), from);
        let both = (naive_root(&leaves), tip.root());
        let bytes = prove_consistency(&TreeReader::new(&store, &tip), from, to)
            .unwrap()
            .to_bytes();
        let read = |bytes: &[u8]| {
            let mut cursor = Cursor::new(bytes);
            let proof = Consistency::read(&mut cursor)?;
            cursor.end()?;
            proof.roots()
        };
        prop_assert_eq!(read(&bytes), Ok(both));
        let mut bad = bytes.clone();
        bad[at.index(bytes.len())] ^= flip;
        prop_assert_ne!(read(&bad), Ok(both));
        prop_assert!(read(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn a_log_may_be_verified_in_any_pieces(
        sizes in prop::collection::vec(1u64..300, 1..8), max_bytes in 1usize..40_000,
    ) {
        let (one, two) = (MemoryStore::new(), MemoryStore::new());
        let author = key(1).author();
        let tip = grow(&one, &key(1), &sizes);
        let mut copy = Tip::empty(author);
        while let Some(range) = Range::read(&one, author, copy.length(), max_bytes).unwrap() {
            let bytes = range.to_bytes();
            let read = Range::from_bytes(&bytes).unwrap();
            prop_assert_eq!(&read, &range);
            prop_assert_eq!(read.to_bytes(), bytes);
            let append = copy.verify(&SWARM, read).unwrap();
            two.commit(std::slice::from_ref(&append), &[]).unwrap();
            copy = append.tip().clone();
        }
        prop_assert_eq!(&copy, &tip);
        prop_assert_eq!(contents(&one, &author), contents(&two, &author));
        prop_assert_eq!(Tip::open(&two, author).unwrap(), tip);
    }

    #[test]
    fn bytes_of_strangers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let tip = Tip::empty(key(1).author());
        if let Ok(range) = Range::from_bytes(&bytes) {
            prop_assert!(tip.verify(&SWARM, range).is_err());
        }
        let _ = Record::from_bytes(bytes.clone());
        let _ = SignedHead::from_bytes(&bytes);
        let leaf = Hash([1; 32]);
        let _ = Inclusion::read(&mut Cursor::new(&bytes)).map(|proof| proof.root(leaf));
        let _ = Consistency::read(&mut Cursor::new(&bytes)).map(|proof| proof.roots());
    }
}

/// A range in the middle of a log: two appends behind the first, and the tip before them.
fn middle() -> (Tip, Range) {
    let store = MemoryStore::new();
    grow(&store, &key(1), &[3, 2, 4]);
    let author = key(1).author();
    let range = Range::read(&store, author, 3, 1 << 20).unwrap().unwrap();
    assert_eq!((range.records.len(), range.heads.len()), (6, 2));
    let first = MemoryStore::new();
    (grow(&first, &key(1), &[3]), range)
}

fn verify_bytes(tip: &Tip, bytes: &[u8]) -> Result<Append, RangeError> {
    tip.verify(&SWARM, Range::from_bytes(bytes)?)
}

#[test]
fn any_flipped_byte_of_a_range_is_refused() {
    let (tip, range) = middle();
    let bytes = range.to_bytes();
    assert_eq!(verify_bytes(&tip, &bytes).unwrap().length(), 9);
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bad = bytes.clone();
            bad[at] ^= flip;
            assert!(verify_bytes(&tip, &bad).is_err(), "byte {at} ^ {flip}");
        }
        assert!(verify_bytes(&tip, &bytes[..at]).is_err(), "cut at {at}");
    }
    let long = [&bytes[..], &[0]].concat();
    assert!(verify_bytes(&tip, &long).is_err());
}

#[test]
fn any_dropped_or_moved_record_is_refused() {
    let (tip, range) = middle();
    for at in 0..range.records.len() {
        let mut dropped = range.clone();
        dropped.records.remove(at);
        assert!(tip.verify(&SWARM, dropped).is_err(), "without {at}");
        let mut doubled = range.clone();
        doubled.records.insert(at, range.records[at].clone());
        assert!(tip.verify(&SWARM, doubled).is_err(), "{at} twice");
        for other in 0..at {
            let mut swapped = range.clone();
            swapped.records.swap(at, other);
            assert!(tip.verify(&SWARM, swapped).is_err(), "{at} for {other}");
        }
    }
}

#[test]
fn the_first_index_and_rule_that_fail_are_named() {
    let (tip, range) = middle();
    let refused = |change: &dyn Fn(&mut Range)| {
        let mut range = range.clone();
        change(&mut range);
        tip.verify(&SWARM, range).unwrap_err()
    };
    let (expected, found) = (3, 4);
    assert_eq!(refused(&|r| r.from = 4), RangeError::Gap { expected, found });
    assert_eq!(refused(&|r| r.records.swap(0, 1)), RangeError::Root { index: 4 });
    assert_eq!(refused(&|r| r.records[4] = record(50)), RangeError::Root { index: 8 });
    assert_eq!(refused(&|r| r.heads.truncate(r.heads.len() - 1)), RangeError::Order { index: 5 });
    assert_eq!(refused(&|r| r.heads.swap(0, 1)), RangeError::Order { index: 9 });
    assert_eq!(
        refused(&|r| r.records.truncate(r.records.len() - 1)),
        RangeError::Order { index: 5 }
    );
    let foreign = key(2).author();
    let author = RangeError::Author { index: 4, found: foreign };
    assert_eq!(refused(&|r| r.heads[0].author = foreign), author);
    let head = refused(&|r| r.heads[1].clock += 1);
    assert!(matches!(head, RangeError::Head { index: 8, .. }), "{head}");
    let swarm = refused(&|r| r.heads[0].swarm = SwarmId([1; 32]));
    assert!(matches!(swarm, RangeError::Head { index: 4, .. }), "{swarm}");
    let body = refused(&|r| {
        let mut bytes = r.records[2].to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        r.records[2] = Record::from_bytes(bytes).unwrap();
    });
    let source = RecordError::BodyHash;
    assert_eq!(body, RangeError::Record { index: 5, source });
    let other = Tip::empty(foreign).verify(&SWARM, range.clone());
    assert!(matches!(other, Err(RangeError::Gap { .. })));
}

#[test]
fn an_absent_body_leaves_the_log_verifiable() {
    let (tip, mut range) = middle();
    let record = &range.records[3];
    let header_end = 3 + record.as_ref().header().len();
    let mut bytes = record[..header_end].to_vec();
    bytes[2] = 0;
    range.records[3] = Record::from_bytes(bytes).unwrap();
    assert_eq!(range.records[3].as_ref().body(), None);
    assert_eq!(verify_bytes(&tip, &range.to_bytes()).unwrap().length(), 9);
}

#[test]
fn what_a_range_claims_is_bounded_before_it_is_allocated() {
    let (_, range) = middle();
    let bytes = range.to_bytes();
    for (at, len) in [(32, 8), (40, 4), (44, 4)] {
        let mut bad = bytes.clone();
        bad[at..at + len].fill(0xff);
        let refused = Range::from_bytes(&bad);
        assert!(matches!(refused, Err(RangeError::Empty { .. })), "{refused:?}");
    }
    let huge = vec![0; MAX_RANGE_BYTES + 1];
    assert_eq!(Range::from_bytes(&huge), Err(RangeError::TooLong(MAX_RANGE_BYTES + 1)));
}

#[test]
fn appending_and_verifying_write_the_same() {
    let (tip, range) = middle();
    let first = append(&tip, &key(1), 2);
    let second = append(first.tip(), &key(1), 4);
    let verified = tip.verify(&SWARM, range).unwrap();
    assert_eq!(verified.tip(), second.tip());
    assert_eq!(verified.records(), [first.records(), second.records()].concat());
    assert_eq!(verified.heads(), [first.heads(), second.heads()].concat());
    let (one, two) = (MemoryStore::new(), MemoryStore::new());
    for store in [&one, &two] {
        grow(store, &key(1), &[3]);
    }
    one.commit(&[first, second], &[]).unwrap();
    two.commit(&[verified], &[]).unwrap();
    let author = key(1).author();
    assert_eq!(contents(&one, &author), contents(&two, &author));
}

#[test]
fn hashes_are_those_of_blake3s_derive_key_mode() {
    let of = |context: &str, parts: &[&[u8]]| {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        for part in parts {
            hasher.update(part);
        }
        Hash(*hasher.finalize().as_bytes())
    };
    let (author, one, two) = (AuthorId([1; 32]), Hash([1; 32]), Hash([2; 32]));
    assert_eq!(Hash::leaf(&author, b"x"), of("bzzz v1 leaf", &[&[1; 32], b"x"]));
    assert_eq!(Hash::parent(&one, &two), of("bzzz v1 parent", &[&one.0, &two.0]));
    assert_eq!(Hash::body(b"x"), of("bzzz v1 body", &[b"x"]));
    let length = 3u64.to_le_bytes();
    assert_eq!(Hash::root(3, &[one, two]), of("bzzz v1 root", &[&length, &one.0, &two.0]));
}

#[test]
fn the_bytes_never_change() {
    let author = key(1).author();
    let store = MemoryStore::new();
    let tip = grow(&store, &key(1), &[2, 1]);
    let head = store.newest_head(&author).unwrap().unwrap();
    let record = Record::new(b"head", b"body").unwrap();
    let proof = prove_inclusion(&TreeReader::new(&store, &tip), 1, 3).unwrap();
    let found = [
        ("author", author.to_string()),
        ("record", hex::encode(&record[..])),
        ("leaf", record.as_ref().leaf(&author).to_string()),
        ("root of nothing", Hash::root(0, &[]).to_string()),
        ("root", tip.root().to_string()),
        ("head", hex::encode(head.to_bytes())),
        ("inclusion", hex::encode(proof.to_bytes())),
    ];
    let expected = [
        ("author", "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"),
        (
            "record",
            "28000168656164040000001728a7122f01a4d865c6a4913e0d96bf2f1e0874b3\
             37c38b35b37b1686ecc7a9626f6479",
        ),
        ("leaf", "2e75ef6b9f19552f1b0c7dab2b9c6c7e61ecece6d7cb675b75a58de2a7f201f2"),
        ("root of nothing", "84a623b017b563674bf230c348cf01dad5355f8aa46bc0307b42dbdd3aadf42d"),
        ("root", "84edb9ea2e1d29cd0b58488b91c23fe6dd94ee013dc7791cc4a134796892b157"),
        (
            "head",
            "0909090909090909090909090909090909090909090909090909090909090909\
             8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c\
             030000000000000084edb9ea2e1d29cd0b58488b91c23fe6dd94ee013dc7791c\
             c4a134796892b157ea030000000000002af4797e3c5b82d58d72094232e64f6e\
             dfd8a70d85c5da6d7b1232337301418deb370ba2dabf05d8d7d7641565bd7400\
             2a7ce8a8488213b1f2a3a56578975b07",
        ),
        (
            "inclusion",
            "01000000000000000300000000000000023e240cce314bbd0df09bbf55c34580\
             6c897b55eff9aa31cdf7aea5d41ccab5939e831774d3c94bbaf48dbe6be2fb87\
             0f3dce1e09bf4211a150d4a5c0f598fd78",
        ),
    ];
    let expected = expected.map(|(name, value)| (name, value.to_owned()));
    assert_eq!(found, expected, "{found:#?}");
}
