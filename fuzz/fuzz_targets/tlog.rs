//! Checkpoints and tlog-proofs: what reads is written as the same bytes, every hash of a path
//! matters, and nothing verifies that was not signed. The first byte selects.

#![no_main]

use bzzz::kernel::audit::read_tlog_proof;
use bzzz::kernel::log::MAX_LENGTH;
use bzzz::kernel::log::tlog::{
    Cosigner, MAX_NOTE, MAX_NOTE_SIGNATURES, SignedCheckpoint, TlogProof, TreeHash, decode_base64,
    encode_base64, included,
};
use bzzz_fuzz::{log, tlog_proof};
use libfuzzer_sys::fuzz_target;

fn checkpoint(bytes: &[u8]) -> Option<SignedCheckpoint> {
    let read = SignedCheckpoint::from_bytes(bytes).ok()?;
    let note = read.to_note();
    assert_eq!(note.to_text().as_bytes(), bytes);
    assert!(bytes.len() <= MAX_NOTE && note.signatures.len() <= MAX_NOTE_SIGNATURES);
    assert!((1..=MAX_LENGTH).contains(&read.says().length));
    if read.verify().is_ok() && read.says().author == log().author {
        assert_eq!(read.says(), tlog_proof().checkpoint.says(), "a forged checkpoint");
    }
    Some(read)
}

fn proof(bytes: &[u8]) {
    let Ok(read) = TlogProof::from_bytes(bytes) else {
        return;
    };
    assert_eq!(read.to_text().as_bytes(), bytes);
    let length = read.checkpoint.says().length;
    let leaf = TreeHash::leaf(read.record.as_ref().header());
    if let Ok(root) = included(read.index, length, leaf, &read.hashes) {
        assert!(read.index < length);
        assert_ne!(included(read.index, length, TreeHash([2; 32]), &read.hashes), Ok(root));
        for at in 0..read.hashes.len() {
            let mut other = read.hashes.clone();
            other[at].0[at % 32] ^= 1;
            assert_ne!(included(read.index, length, leaf, &other), Ok(root), "hash {at}");
        }
    }
    let author = log().author;
    if let Ok((proof, event)) = read_tlog_proof(bytes, Some(&author), None) {
        let index = usize::try_from(proof.index).expect("a short log");
        assert_eq!(proof.record.as_ref().header(), log().records[index].as_ref().header());
        assert_eq!((event.author, event.header.seq), (author, proof.index));
    }
}

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((0, bytes)) => drop(checkpoint(bytes)),
        Some((1, bytes)) => proof(bytes),
        Some((2, bytes)) => {
            let text = String::from_utf8_lossy(bytes);
            if let Some(decoded) = decode_base64(&text) {
                assert_eq!(encode_base64(&decoded), text);
            }
            assert_eq!(decode_base64(&encode_base64(bytes)).as_deref(), Some(bytes));
            let _ = text.parse::<Cosigner>();
        }
        _ => {}
    }
});
