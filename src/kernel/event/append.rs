//! Whether the records of an append are events of their log: what a verifier demands of a log, a
//! node demands before it stores one, so that nothing that it holds fails to verify later.

use super::clock::Hlc;
use super::header::{EventError, Header};
use crate::kernel::log::Append;

/// Why the records of an append are no events that follow each other (`schema/event.md`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEvents {
    /// A record's header is malformed or names another index.
    #[error("index {index}: {source}")]
    Header {
        /// The record's index.
        index: u64,
        /// What is wrong.
        source: EventError,
    },
    /// A clock is not above the one before.
    #[error("index {index}: the clock {clock:?} does not rise above {before:?}")]
    Clock {
        /// The record's index.
        index: u64,
        /// Its clock.
        clock: Hlc,
        /// The clock of the record before.
        before: Hlc,
    },
    /// A head has another clock than the last record that it covers.
    #[error("the head of length {length} has the clock {head:?}, its last event {clock:?}")]
    HeadClock {
        /// The head's length.
        length: u64,
        /// The head's clock.
        head: Hlc,
        /// The last record's clock.
        clock: Hlc,
    },
}

/// Checks headers, indices and clocks of an append; `before` is the clock of the log's last event.
///
/// # Errors
/// [`NotEvents`], the first that is wrong.
pub fn check_events(append: &Append, mut before: Option<Hlc>) -> Result<(), NotEvents> {
    let mut heads = append.heads().iter().peekable();
    for (index, record) in (append.from()..).zip(append.records()) {
        let header = Header::read(record.as_ref());
        let header = header.map_err(|source| NotEvents::Header { index, source })?;
        if header.seq != index {
            let source = EventError::Seq { expected: index, found: header.seq };
            return Err(NotEvents::Header { index, source });
        }
        let clock = header.clock;
        if let Some(before) = before.filter(|before| *before >= clock) {
            return Err(NotEvents::Clock { index, clock, before });
        }
        if let Some(head) = heads.next_if(|head| head.length == index + 1)
            && head.clock != clock.0
        {
            return Err(NotEvents::HeadClock { length: head.length, head: Hlc(head.clock), clock });
        }
        before = Some(clock);
    }
    Ok(())
}
