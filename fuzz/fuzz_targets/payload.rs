//! The payload of every kind: what decodes is written as the same bytes again, and as JSON. The
//! first byte selects the kind.

#![no_main]

use bzzz::kernel::event::kinds::{KINDS, Payload};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((selector, bytes)) = bytes.split_first() else {
        return;
    };
    // One selector is left for a kind that nobody knows.
    let (kind, name) = KINDS.get(usize::from(*selector)).copied().unwrap_or((999, ""));
    let Ok(read) = Payload::from_bytes(kind, bytes) else {
        return;
    };
    let Some(payload) = read else {
        assert!(KINDS.iter().all(|(known, _)| *known != kind));
        return;
    };
    assert_eq!((payload.kind(), payload.name()), (kind, name));
    let again = payload.to_bytes().expect("it was read from few enough bytes");
    assert_eq!(again, bytes, "{name} has two encodings");
    assert!(serde_json::to_string(&payload).is_ok());
});
