//! Names the rule that a range breaks.

use super::rule::Rule;
use crate::kernel::event::{EventError, Hlc, NotEvents, check_events};
use crate::kernel::log::{Append, HeadError, RangeError, RecordError};

/// A rule that an event broke: at which index, and how.
pub(super) struct Broken(pub(super) Rule, pub(super) u64, pub(super) String);

/// Names the first event of a verified append that breaks a rule.
pub(super) fn events(append: &Append, last: Option<Hlc>) -> Result<(), Broken> {
    check_events(append, last).map_err(|error| {
        let (rule, index) = match &error {
            NotEvents::Header { index, source: EventError::Seq { .. } } => (Rule::EventSeq, *index),
            NotEvents::Header { index, .. } => (Rule::EventHeader, *index),
            NotEvents::Clock { index, .. } => (Rule::ClockOrder, *index),
            NotEvents::HeadClock { length, .. } => (Rule::HeadClock, length - 1),
        };
        Broken(rule, index, error.to_string())
    })
}

/// The rule, and the index if the error names one.
pub(super) fn rule_of(error: &RangeError) -> (Rule, Option<u64>) {
    match error {
        RangeError::Bytes(_) | RangeError::TooLong(_) | RangeError::Empty { .. } => {
            (Rule::RangeBytes, None)
        }
        RangeError::Gap { expected, .. } => (Rule::LogGap, Some(*expected)),
        RangeError::Record { index, source: RecordError::BodyHash } => {
            (Rule::RecordBodyHash, Some(*index))
        }
        RangeError::Record { index, .. } => (Rule::RecordBytes, Some(*index)),
        RangeError::Head { index, source } => {
            let rule = match source {
                HeadError::Size(_) | HeadError::Length(_) => Rule::HeadBytes,
                HeadError::Swarm { .. } => Rule::HeadSwarm,
                HeadError::Signature { .. } => Rule::HeadSignature,
            };
            (rule, Some(*index))
        }
        RangeError::Author { index, .. } => (Rule::HeadAuthor, Some(*index)),
        RangeError::Order { index } => (Rule::HeadOrder, Some(*index)),
        RangeError::Root { index } => (Rule::HeadRoot, Some(*index)),
    }
}
