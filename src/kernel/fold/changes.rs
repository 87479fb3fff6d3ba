//! Which tasks changed of late, so that whoever follows the state need not look at all of them. It
//! is no part of the state: it has no bytes, and two states are equal whatever led to them.

use std::collections::VecDeque;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

use crate::kernel::event::TaskId;

/// How many changes are kept. Who was away for longer looks at all tasks.
const MAX_CHANGES: usize = 4096;

/// The last changes of tasks, in the order in which one fold made them.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// How many are not kept any more.
    forgotten: u64,
    last: VecDeque<TaskId>,
}

impl Changes {
    /// The number of changes since the fold was opened.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.forgotten + self.last.len() as u64
    }

    /// The tasks that changed after the first so many changes, some of them repeatedly. None if
    /// that is not known any more: then every task may have changed.
    #[must_use]
    pub fn since(&self, count: u64) -> Option<impl Iterator<Item = TaskId> + '_> {
        let from = usize::try_from(count.checked_sub(self.forgotten)?).ok()?;
        (from <= self.last.len()).then(|| self.last.range(from..).copied())
    }

    pub(super) fn note(&mut self, task: TaskId) {
        if self.last.len() == MAX_CHANGES {
            self.last.pop_front();
            self.forgotten += 1;
        }
        self.last.push_back(task);
    }
}

impl PartialEq for Changes {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Changes {}

impl Encode for Changes {
    fn encode<E: Encoder>(&self, _: &mut E) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl<Context> Decode<Context> for Changes {
    fn decode<D: Decoder<Context = Context>>(_: &mut D) -> Result<Self, DecodeError> {
        Ok(Self::default())
    }
}

bincode::impl_borrow_decode!(Changes);

#[cfg(test)]
mod tests {
    use super::*;

    fn task(n: usize) -> TaskId {
        TaskId::of("r", n as u64)
    }

    #[test]
    fn what_is_not_kept_any_more_is_not_known() {
        let mut changes = Changes::default();
        for n in 0..MAX_CHANGES + 3 {
            changes.note(task(n));
        }
        let count = changes.count();
        assert_eq!(count, MAX_CHANGES as u64 + 3);
        assert!(changes.since(2).is_none());
        assert_eq!(changes.since(3).map(Iterator::count), Some(MAX_CHANGES));
        let last: Vec<_> = changes.since(count - 2).into_iter().flatten().collect();
        assert_eq!(last, [task(MAX_CHANGES + 1), task(MAX_CHANGES + 2)]);
        assert_eq!(changes.since(count).map(Iterator::count), Some(0));
        assert!(changes.since(count + 1).is_none(), "of another fold");
    }

    #[test]
    fn they_have_no_bytes() {
        let mut changes = Changes::default();
        changes.note(task(1));
        let bytes = bincode::encode_to_vec(&changes, bincode::config::legacy());
        assert_eq!(bytes.unwrap(), Vec::<u8>::new());
        assert_eq!(changes, Changes::default());
    }
}
