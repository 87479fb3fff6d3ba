//! A range: what reads is written as the same bytes, and what verifies is the log that was signed.

#![no_main]

use bzzz::kernel::log::{Range, Tip};
use bzzz_fuzz::{SWARM, key, log};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(range) = Range::from_bytes(bytes) else {
        return;
    };
    assert_eq!(range.to_bytes(), bytes);
    assert!(!range.records.is_empty() && !range.heads.is_empty());
    assert!(range.heads.len() <= range.records.len());
    assert_eq!(range.end(), range.from + range.records.len() as u64);
    let Ok(append) = Tip::empty(key(1).author()).verify(&SWARM, range) else {
        return;
    };
    // Bodies may be withheld; headers and heads are those that were signed.
    let whole = log();
    assert_eq!(append.from(), 0);
    assert!(append.length() <= whole.end());
    for (found, signed) in append.records().iter().zip(&whole.records) {
        assert_eq!(found.as_ref().header(), signed.as_ref().header());
        assert_eq!(found.as_ref().check_body(), Ok(()));
    }
    for head in append.heads() {
        assert!(whole.heads.contains(head), "a forged head");
    }
});
