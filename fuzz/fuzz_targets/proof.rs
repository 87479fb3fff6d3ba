//! Heads, the three proofs, and events that prove themselves: what reads is written as the same
//! bytes, every hash matters, and nothing that was not signed verifies. The first byte selects.

#![no_main]

use bzzz::kernel::event::SignedEvent;
use bzzz::kernel::log::{
    Consistency, Cursor, ForkProof, HEAD_BYTES, Hash, Inclusion, MAX_LENGTH, MAX_PROOF_HASHES,
    SignedHead,
};
use bzzz_fuzz::script::fork_proof;
use bzzz_fuzz::{SWARM, log, signed_event};
use libfuzzer_sys::fuzz_target;

fn head(bytes: &[u8]) {
    let Ok(head) = SignedHead::from_bytes(bytes) else {
        return;
    };
    assert_eq!(head.to_bytes(), bytes);
    assert_eq!(bytes.len(), HEAD_BYTES);
    assert!((1..=MAX_LENGTH).contains(&head.length));
    let swarm = head.swarm;
    let genuine = log().heads.contains(&head) || head.author != log().author;
    assert!(head.clone().verify(&swarm).is_err() || genuine, "a forged head");
    assert!(swarm == SWARM || head.verify(&SWARM).is_err(), "a head of another swarm");
}

fn inclusion(bytes: &[u8]) {
    let mut cursor = Cursor::new(bytes);
    let Ok(proof) = Inclusion::read(&mut cursor) else {
        return;
    };
    assert_eq!(proof.to_bytes(), bytes[..bytes.len() - cursor.left()]);
    let Ok(root) = proof.root(Hash([1; 32])) else {
        return;
    };
    assert!(proof.index < proof.length && proof.length <= MAX_LENGTH);
    assert!(proof.hashes.len() < MAX_PROOF_HASHES);
    let nodes = Inclusion::nodes(proof.index, proof.length);
    assert_eq!(nodes.len(), proof.hashes.len(), "as many hashes as nodes");
    assert_ne!(proof.root(Hash([2; 32])), Ok(root), "another leaf has another root");
    for at in 0..proof.hashes.len() {
        let mut other = proof.clone();
        other.hashes[at].0[at % 32] ^= 1;
        assert_ne!(other.root(Hash([1; 32])), Ok(root), "hash {at} does not matter");
    }
}

fn consistency(bytes: &[u8]) {
    let mut cursor = Cursor::new(bytes);
    let Ok(proof) = Consistency::read(&mut cursor) else {
        return;
    };
    assert_eq!(proof.to_bytes(), bytes[..bytes.len() - cursor.left()]);
    let Ok((from, to)) = proof.roots() else {
        return;
    };
    assert!(proof.from <= proof.to && proof.to <= MAX_LENGTH);
    assert_eq!(from == to, proof.from == proof.to, "a root covers the length");
    assert_eq!(Consistency::nodes(proof.from, proof.to).len(), proof.hashes.len());
    for at in 0..proof.hashes.len() {
        let mut other = proof.clone();
        other.hashes[at].0[at % 32] ^= 1;
        assert_ne!(other.roots(), Ok((from, to)), "hash {at} does not matter");
    }
}

fn event(bytes: &[u8]) {
    let Ok(event) = SignedEvent::from_bytes(bytes) else {
        return;
    };
    assert_eq!(event.to_bytes(), bytes);
    if let Ok(read) = event.verify(&SWARM) {
        assert_eq!(event.head.length, event.inclusion.length);
        assert_eq!(read.author, event.head.author);
        let genuine = signed_event();
        if event.head.author == genuine.head.author {
            assert!(log().heads.contains(&event.head), "a forged head");
            let index = usize::try_from(event.inclusion.index).expect("a short log");
            let signed = log().records[index].as_ref();
            assert_eq!(event.record.as_ref().header(), signed.header(), "a forged record");
        }
    }
}

fn fork(bytes: &[u8]) {
    let Ok(proof) = ForkProof::from_bytes(bytes) else {
        return;
    };
    assert_eq!(proof.to_bytes(), bytes);
    assert_eq!(ForkProof::from_file(&proof.to_file()), Ok(proof.clone()));
    let Ok(fork) = proof.verify(&proof.swarm()) else {
        return;
    };
    assert_eq!((fork.author, fork.index), (proof.author(), proof.index()));
    let [a, b] = &proof.branches;
    assert!(a.leaf < b.leaf && a.head.author == b.head.author);
    let genuine = fork_proof(0, 3);
    if fork.author == genuine.author() {
        assert_eq!(proof, genuine, "a forged fork proof");
    }
}

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((0, bytes)) => head(bytes),
        Some((1, bytes)) => inclusion(bytes),
        Some((2, bytes)) => consistency(bytes),
        Some((3, bytes)) => event(bytes),
        Some((4, bytes)) => fork(bytes),
        _ => {}
    }
});
