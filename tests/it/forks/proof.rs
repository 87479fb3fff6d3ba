//! The laws of fork proofs: any two histories that differ give one, at the first index that
//! differs; no two heads of one history do; and nothing can be changed in it.

use bzzz::kernel::identity::SwarmId;
use bzzz::kernel::log::{
    Branch, Fork, ForkError, ForkProof, Hash, LogStore, ProofError, Record, Tip,
};
use bzzz::store::memory::MemoryStore;
use proptest::prelude::*;

use crate::log_laws::{SWARM, key, naive_root};

/// The record at an index, of a history that is its own from an index on.
fn record(index: u64, history: u8, own_from: u64) -> Record {
    let history = if index < own_from { 0 } else { history };
    Record::new(&[&index.to_le_bytes()[..], &[history]].concat(), b"body").unwrap()
}

/// A log in a store, made by appends of these sizes.
fn grow(sizes: &[u64], history: u8, own_from: u64) -> (MemoryStore, Tip) {
    let store = MemoryStore::new();
    let mut tip = Tip::empty(key(1).author());
    for size in sizes {
        let from = tip.length();
        let records = (from..from + size).map(|i| record(i, history, own_from)).collect();
        let append = tip.append(&key(1), SWARM, from, records);
        store.commit(std::slice::from_ref(&append), &[]).unwrap();
        tip = append.tip().clone();
    }
    (store, tip)
}

/// The branch under every head that covers the index.
fn branches((store, tip): &(MemoryStore, Tip), index: u64) -> Vec<Branch> {
    let heads = store.heads(&tip.author(), index, usize::MAX).unwrap();
    let prove = |head| Branch::prove(store, tip, head, index).unwrap();
    heads.into_iter().map(prove).collect()
}

fn one_of(branches: Vec<Branch>) -> Branch {
    branches.into_iter().next_back().unwrap()
}

fn a_proof() -> ForkProof {
    let (a, b) = (grow(&[3, 2, 4], 1, 4), grow(&[4, 9], 2, 4));
    ForkProof::new(one_of(branches(&a, 4)), one_of(branches(&b, 4)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn two_histories_give_a_proof_at_the_first_index_that_differs(
        common in 0u64..600,
        one in prop::collection::vec(1u64..90, 1..4),
        other in prop::collection::vec(1u64..90, 1..4),
        wrong in any::<prop::sample::Index>(),
    ) {
        // Some of each history's appends are behind the common part, and the first may cross it.
        let sizes = |own: &[u64]| {
            let all = [&[common.div_ceil(2), common / 2][..], own].concat();
            all.into_iter().filter(|size| *size > 0).collect::<Vec<_>>()
        };
        let (a, b) = (grow(&sizes(&one), 1, common), grow(&sizes(&other), 2, common));
        let author = key(1).author();
        for one in branches(&a, common) {
            for other in branches(&b, common) {
                // The model: the head's root is that of the leaves, computed by definition alone.
                for (branch, history) in [(&one, 1), (&other, 2)] {
                    let leaf = |i| record(i, history, common).as_ref().leaf(&author);
                    let leaves: Vec<Hash> = (0..branch.head.length).map(leaf).collect();
                    prop_assert_eq!(branch.head.root, naive_root(&leaves));
                    let at = usize::try_from(common).unwrap();
                    prop_assert_eq!(branch.leaf, leaves[at]);
                    prop_assert_eq!(branch.verify(&SWARM, 0), Ok(naive_root(&leaves[..at])));
                }
                let proof = ForkProof::new(one.clone(), other);
                prop_assert_eq!(proof.verify(&SWARM), Ok(Fork { author, index: common }));
                let bytes = proof.to_bytes();
                prop_assert!(bytes.len() <= 2 * (176 + 17 + 32 + 17 + 80 * 32));
                prop_assert_eq!(ForkProof::from_bytes(&bytes), Ok(proof.clone()));
                prop_assert_eq!(ForkProof::from_file(&proof.to_file()), Ok(proof));
            }
        }
        // At any other index the two prove nothing.
        let shorter = a.1.length().min(b.1.length());
        let index = wrong.index(usize::try_from(shorter).unwrap()) as u64;
        let at = |log| one_of(branches(log, index));
        let found = ForkProof::new(at(&a), at(&b)).verify(&SWARM);
        match index.cmp(&common) {
            std::cmp::Ordering::Less => prop_assert_eq!(found, Err(ForkError::Same(index))),
            std::cmp::Ordering::Equal => prop_assert!(found.is_ok()),
            std::cmp::Ordering::Greater => prop_assert_eq!(found, Err(ForkError::Before(index))),
        }
    }

    #[test]
    fn no_two_heads_of_one_history_give_a_proof(
        sizes in prop::collection::vec(1u64..200, 1..6), index in any::<prop::sample::Index>(),
    ) {
        let log = grow(&sizes, 1, 0);
        let index = index.index(usize::try_from(log.1.length()).unwrap()) as u64;
        let all = branches(&log, index);
        for one in &all {
            for other in &all {
                let proof = ForkProof::new(one.clone(), other.clone());
                prop_assert_eq!(proof.verify(&SWARM), Err(ForkError::Same(index)));
                // Whatever leaf is claimed in place of the true one, it leads elsewhere.
                let mut lie = other.clone();
                lie.leaf = Hash([index.to_le_bytes()[0]; 32]);
                let found = ForkProof::new(one.clone(), lie).verify(&SWARM);
                let wrong = |found: &Result<Fork, ForkError>| {
                    matches!(found, Err(ForkError::Proof { source: ProofError::Root, .. }))
                };
                prop_assert!(wrong(&found), "{:?}", found);
            }
        }
    }
}

#[test]
fn any_changed_byte_of_a_proof_is_refused() {
    let proof = a_proof();
    let author = key(1).author();
    assert_eq!(proof.verify(&SWARM), Ok(Fork { author, index: 4 }));
    let bytes = proof.to_bytes();
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bad = bytes.clone();
            bad[at] ^= flip;
            let found = ForkProof::from_bytes(&bad).and_then(|proof| proof.verify(&SWARM));
            assert!(found.is_err(), "byte {at} ^ {flip}");
        }
        assert!(ForkProof::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
    }
    let long = [&bytes[..], &[0]].concat();
    assert!(matches!(ForkProof::from_bytes(&long), Err(ForkError::Bytes(_))));
}

#[test]
fn what_is_wrong_with_a_proof_is_named() {
    let refused = |change: &dyn Fn(&mut ForkProof)| {
        let mut proof = a_proof();
        change(&mut proof);
        proof.verify(&SWARM).unwrap_err()
    };
    assert_eq!(refused(&|proof| proof.branches.reverse()), ForkError::Order);
    let (right, wrong) = (key(1).author(), key(2).author());
    let authors = refused(&|proof| proof.branches[1].head.author = wrong);
    assert_eq!(authors, ForkError::Authors(right, wrong));
    let twice = refused(&|proof| proof.branches[1] = proof.branches[0].clone());
    assert_eq!(twice, ForkError::Same(4));
    let position = refused(&|proof| proof.branches[1].before.from = 3);
    assert_eq!(position, ForkError::Position { branch: 1 });
    let position = refused(&|proof| proof.branches[1].inclusion.index = 3);
    assert_eq!(position, ForkError::Position { branch: 1 });
    let position = refused(&|proof| proof.branches[0].inclusion.length += 1);
    assert_eq!(position, ForkError::Position { branch: 0 });
    let signature = refused(&|proof| proof.branches[1].head.clock += 1);
    assert!(matches!(signature, ForkError::Head { branch: 1, .. }), "{signature}");
    let swarm = a_proof().verify(&SwarmId([8; 32])).unwrap_err();
    assert!(matches!(swarm, ForkError::Head { branch: 0, .. }), "{swarm}");
}

#[test]
fn a_file_names_itself_and_its_format() {
    let file = a_proof().to_file();
    assert_eq!(&file[..11], b"bzzz-fork\x01\x00");
    assert_eq!(ForkProof::from_file(b"bzzz-form"), Err(ForkError::Magic));
    let mut other = file.clone();
    other[9] = 2;
    assert_eq!(ForkProof::from_file(&other), Err(ForkError::Format(2)));
    assert!(matches!(ForkProof::from_file(&file[..10]), Err(ForkError::Bytes(_))));
}
