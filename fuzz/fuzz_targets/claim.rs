//! The claim in a git repository: what reads and verifies was signed; and any claim that decodes
//! has one encoding. The input is a claim; it is read as it is, and once more signed by its key.

#![no_main]

use bzzz::kernel::event::{CLAIM_LIMIT, Claim, SignedClaim, decode, encode};
use bzzz_fuzz::{SWARM, key};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = SignedClaim::read(&SWARM, bytes) {
        assert!(bytes.len() <= CLAIM_LIMIT);
        assert_eq!(read.as_bytes(), bytes);
        assert_eq!((read.claim().format, read.claim().swarm), (1, SWARM));
    }
    let body = &bytes[..bytes.len().saturating_sub(64)];
    let Ok(mut claim) = decode::<Claim>(body) else {
        return;
    };
    assert_eq!(encode(&claim).expect("a claim is small"), body, "a claim has two encodings");
    claim.author = key(1).author();
    let signed = SignedClaim::sign(&key(1), claim.clone());
    let read = SignedClaim::read(&claim.swarm, signed.as_bytes());
    assert_eq!(read.is_ok(), claim.format == 1, "what was signed reads, if its format is known");
    if claim.swarm != SWARM {
        assert!(SignedClaim::read(&SWARM, signed.as_bytes()).is_err());
    }
});
