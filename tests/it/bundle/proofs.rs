//! Proofs as files: what they show, and that nothing in them can be changed.

use bzzz::kernel::audit::{HeadsProof, Proof, ProofFile, Proven};
use bzzz::kernel::event::SignedEvent;
use bzzz::kernel::log::{
    Branch, ForkProof, ReadLimit, TreeReader, prove_consistency, prove_inclusion,
};

use super::*;

fn event_file(world: &World, author: &AuthorId, index: u64) -> ProofFile {
    let tip = Tip::open(&world.store, *author).unwrap();
    let limit = ReadLimit { records: 1, bytes: usize::MAX };
    let record = world.store.records(author, index, limit).unwrap().remove(0);
    let inclusion = prove_inclusion(&TreeReader::new(&world.store, &tip), index, tip.length());
    let head = world.store.newest_head(author).unwrap().unwrap();
    let event = SignedEvent { record, inclusion: inclusion.unwrap(), head };
    ProofFile { swarm: world.swarm, proof: Proof::Event(Box::new(event)) }
}

fn heads_file(world: &World, author: &AuthorId, from: usize, to: usize) -> ProofFile {
    let tip = Tip::open(&world.store, *author).unwrap();
    let heads = world.store.heads(author, 0, 100).unwrap();
    let (from, to) = (heads[from].clone(), heads[to].clone());
    let tree = TreeReader::new(&world.store, &tip);
    let consistency = prove_consistency(&tree, from.length, to.length).unwrap();
    let heads = HeadsProof { from, to, consistency };
    ProofFile { swarm: world.swarm, proof: Proof::Heads(Box::new(heads)) }
}

/// Two histories of ben's log that differ from index 1 on.
fn fork_file() -> (Vec<u8>, AuthorId) {
    let ben = key(2);
    let branch = |draft: Draft| {
        let mut world = small();
        world.say(&ben, [draft]);
        let tip = Tip::open(&world.store, ben.author()).unwrap();
        let head = world.store.newest_head(&ben.author()).unwrap().unwrap();
        Branch::prove(&world.store, &tip, head, 1).unwrap()
    };
    let proof = ForkProof::new(branch(about(seen())), branch(about(intended(1))));
    (proof.to_file(), ben.author())
}

#[test]
fn a_proof_file_shows_what_was_signed_and_nothing_in_it_can_change() {
    let world = lived();
    let ben = key(2).author();
    for index in 0..world.tips[&ben].length() {
        let bytes = event_file(&world, &ben, index).to_bytes();
        let file = ProofFile::from_bytes(&bytes).unwrap();
        let Ok(Proven::Event(event)) = file.verify(&ben) else {
            panic!("{:?}", file.verify(&ben));
        };
        assert_eq!((event.author, event.header.seq), (ben, index));
        assert_eq!(file.verify(&key(1).author()).unwrap_err().rule(), "proof-author");
    }
    let heads = heads_file(&world, &ben, 1, 5);
    assert!(matches!(heads.verify(&ben), Ok(Proven::Prefix { .. })));
    let same = heads_file(&world, &ben, 5, 5);
    assert!(matches!(same.verify(&ben), Ok(Proven::Prefix { from, to }) if from == to));
    for good in [event_file(&world, &ben, 3).to_bytes(), heads.to_bytes()] {
        for at in 0..good.len() {
            let refused = |bytes: &[u8]| match ProofFile::from_bytes(bytes) {
                Ok(file) => file.verify(&ben).err(),
                Err(error) => Some(error),
            };
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let error = refused(&bad).unwrap_or_else(|| panic!("byte {at}, bit {bit}"));
                assert!(!error.rule().is_empty());
            }
            assert!(refused(&good[..at]).is_some(), "cut at {at}");
        }
        assert!(ProofFile::from_bytes(&[&good[..], b"x"].concat()).is_err());
    }
}

/// Two heads that are signed, and of which the first is of another history.
#[test]
fn heads_of_two_histories_are_not_consistent() {
    let ben = key(2);
    let mut one = small();
    let mut other = small();
    one.say(&ben, [about(seen())]);
    other.say(&ben, [about(intended(1))]);
    one.say(&ben, [about(seen())]);
    let ProofFile { swarm, proof: Proof::Heads(mut heads) } = heads_file(&one, &ben.author(), 1, 2)
    else {
        panic!("heads were asked for");
    };
    heads.from = other.store.newest_head(&ben.author()).unwrap().unwrap();
    let file = ProofFile { swarm, proof: Proof::Heads(heads) };
    assert_eq!(file.verify(&ben.author()).unwrap_err().rule(), "proof-root");
}

#[test]
fn bzzz_verify_checks_single_files() {
    let folder = tempfile::tempdir().unwrap();
    let world = lived();
    let ben = key(2).author();
    let name = ben.to_string();
    let event = event_file(&world, &ben, 1).to_bytes();
    let path = write(folder.path(), "event", &event);
    let (status, said) = verifier(&["proof", &path, "--author", &name]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("kind: \"claim_won\"") && said.contains("Verified: "), "{said}");
    let (status, said) = verifier(&["proof", &path, "--author", &name, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &json["verified"]), (Some(0), &serde_json::Value::Bool(true)));
    assert_eq!(json["index"], 1);
    let other = key(1).author().to_string();
    let (status, said) = verifier(&["proof", &path, "--author", &other]);
    assert_eq!(status, Some(1));
    assert!(said.contains("FAILED proof-author: "), "{said}");
    let swarm = SwarmId([1; 32]).to_string();
    assert_eq!(verifier(&["proof", &path, "--author", &name, "--swarm", &swarm]).0, Some(1));
    assert_eq!(verifier(&["proof", &path]).0, Some(2));

    let heads = write(folder.path(), "heads", &heads_file(&world, &ben, 0, 4).to_bytes());
    let (status, said) = verifier(&["proof", &heads, "--author", &name]);
    assert_eq!(status, Some(0), "{said}");

    let (bytes, author) = fork_file();
    let path = write(folder.path(), "fork", &bytes);
    let (status, said) = verifier(&["fork", &path]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&author.to_string()) && said.contains("from index 1 on"), "{said}");
    assert_eq!(verifier(&["fork", &path, "--author", &other]).0, Some(1));
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        let proof = ForkProof::from_file(&bad);
        assert!(proof.is_err() || proof.is_ok_and(|p| p.verify(&world.swarm).is_err()), "{at}");
    }
    let path = write(folder.path(), "bad", &bytes[..100]);
    let (status, said) = verifier(&["fork", &path, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, json["rule"].as_str()), (Some(1), Some("proof-bytes")));
}
