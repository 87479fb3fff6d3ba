//! Names the rule that a range breaks.

use super::rule::Rule;
use crate::kernel::event::{Event, EventError, Hlc};
use crate::kernel::log::{Append, HeadError, RangeError, RecordError};

/// A rule that an event broke: at which index, and how.
pub(super) struct Broken(pub(super) Rule, pub(super) u64, pub(super) String);

/// Names the first event of a verified append that breaks a rule.
pub(super) fn events(append: &Append, mut last: Option<Hlc>) -> Result<(), Broken> {
    let mut heads = append.heads().iter().peekable();
    for (index, record) in (append.from()..).zip(append.records()) {
        let event = Event::read(append.author(), index, record.as_ref()).map_err(|error| {
            let rule = match &error {
                EventError::Seq { .. } => Rule::EventSeq,
                _ => Rule::EventHeader,
            };
            Broken(rule, index, error.to_string())
        })?;
        let clock = event.header.clock;
        if last.is_some_and(|last| last >= clock) {
            let what = format!("the clock {clock:?} does not rise above the one before");
            return Err(Broken(Rule::ClockOrder, index, what));
        }
        if let Some(head) = heads.next_if(|head| head.length == index + 1)
            && head.clock != clock.0
        {
            let what = format!("the head has {:?}, its last event {clock:?}", Hlc(head.clock));
            return Err(Broken(Rule::HeadClock, index, what));
        }
        last = Some(clock);
    }
    Ok(())
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
