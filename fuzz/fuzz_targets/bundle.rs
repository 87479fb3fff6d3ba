//! Bundles and their parts, ranges and manifests, and the auditor on arbitrary bytes. Whatever
//! verifies has the logs that were signed.

#![no_main]

use std::io::Cursor;

use bzzz::kernel::audit::{
    BundleReader, MAX_BUNDLE_LOGS, MAX_MANIFEST_BYTES, Manifest, Part, verify,
};
use bzzz::kernel::log::{MAX_LENGTH, MAX_RANGE_BYTES, Range};
use bzzz_fuzz::key;
use libfuzzer_sys::fuzz_target;

/// What reads is, signed by the model's key, the same bytes but for exporter and signature.
fn manifest(bytes: &[u8]) {
    let Ok((manifest, signature)) = Manifest::read(bytes) else {
        return;
    };
    assert!(manifest.logs.len() <= MAX_BUNDLE_LOGS);
    assert!(manifest.logs.is_sorted_by(|a, b| a.author < b.author));
    assert!(manifest.logs.iter().all(|log| (1..=MAX_LENGTH).contains(&log.length)));
    let genuine = manifest.exporter == key(1).author();
    if manifest.verify(&signature).is_ok() && genuine {
        assert_eq!(manifest.sign(&key(1)), bytes, "Ed25519 signatures are deterministic");
    }
    let mut ours = manifest.clone();
    ours.exporter = key(1).author();
    let signed = ours.sign(&key(1));
    assert_eq!((&signed[..34], &bytes[..34]), (&bytes[..34], &signed[..34]));
    assert_eq!(signed[66..signed.len() - 64], bytes[66..bytes.len() - 64]);
    let (again, signature) = Manifest::read(&signed).expect("it was just written");
    assert_eq!((&again, again.verify(&signature)), (&ours, Ok(())));
}

/// What reads is written as the same bytes.
fn range(bytes: &[u8]) {
    if let Ok(range) = Range::from_bytes(bytes) {
        assert_eq!(range.to_bytes(), bytes);
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut reader) = BundleReader::open(Cursor::new(bytes)) {
        while let Ok(Some(part)) = reader.next_part() {
            let (at, part, limit, check): (_, _, _, fn(&[u8])) = match part {
                Part::Range { at, bytes } => (at, bytes, MAX_RANGE_BYTES, range),
                Part::Manifest { at, bytes } => (at, bytes, MAX_MANIFEST_BYTES, manifest),
            };
            check(part);
            assert!(part.len() <= limit);
            let at = usize::try_from(at).expect("an offset in the input");
            assert_eq!(&bytes[at..at + part.len()], part, "a part is where it says");
        }
        assert!(reader.position() <= bytes.len() as u64);
    }
    let audit = verify(Cursor::new(bytes)).expect("memory does not fail");
    assert!(audit.report.bytes <= bytes.len() as u64);
    if audit.report.verifies() {
        let genuine = bzzz_fuzz::bundle();
        let genuine = verify(Cursor::new(genuine)).expect("memory does not fail");
        assert_eq!(audit.report.logs, genuine.report.logs, "a forged bundle");
        assert_eq!(audit.report.checked, genuine.report.checked);
    }
});
