//! A record and the event in it: what reads is the same bytes again, and the header's numbers fit.

#![no_main]

use bzzz::kernel::event::{Event, Header, MAX_CAUSES};
use bzzz::kernel::identity::AuthorId;
use bzzz::kernel::log::{MAX_BODY, MAX_HEADER, Record, RecordRef};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(record) = RecordRef::parse(bytes) else {
        assert!(Record::from_bytes(bytes.to_vec()).is_err());
        return;
    };
    let owned = Record::from_bytes(bytes.to_vec()).expect("it was just read");
    assert_eq!((&owned[..], record.as_bytes()), (bytes, bytes));
    assert_eq!(owned.as_ref(), record);
    assert!(record.header().len() <= MAX_HEADER && record.body_len() <= MAX_BODY);
    assert!(record.body().is_none_or(|body| body.len() == record.body_len()));

    // A record that is made of the same parts differs at most in the hash of its body.
    let (head, _) = record.header().split_at(record.header().len() - 36);
    if let Some(body) = record.body() {
        let made = Record::new(head, body).expect("the parts are within the limits");
        assert_eq!(made[..] == *bytes, record.check_body().is_ok());
    } else {
        assert_eq!(record.check_body(), Ok(()), "an absent body is not compared");
    }

    let author = AuthorId([7; 32]);
    let Ok(header) = Header::read(record) else {
        assert!(Event::read(author, 0, record).is_err());
        return;
    };
    assert!(header.causes.len() <= MAX_CAUSES);
    assert_eq!(head.len(), 53 + 32 * header.causes.len());
    assert!(Event::read(author, header.seq.wrapping_add(1), record).is_err());
    let event = Event::read(author, header.seq, record).expect("its header reads");
    assert_eq!((event.header, event.id.0), (header, record.leaf(&author).0));
});
