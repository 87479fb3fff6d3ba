//! Reads several logs in their total order, a few records of each at a time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::kernel::event::Event;
use crate::kernel::fold::Place;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{LogStore, ReadLimit, StoreError};

/// How much of one log is read ahead.
const AHEAD: ReadLimit = ReadLimit { records: 1024, bytes: 1024 * 1024 };

struct Log {
    next: u64,
    ahead: VecDeque<Event>,
}

/// Events of several logs, each log from an index on, by rising place.
pub(super) struct Merge<'a> {
    store: &'a dyn LogStore,
    logs: BTreeMap<AuthorId, Log>,
    heap: BinaryHeap<Reverse<Place>>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(
        store: &'a dyn LogStore,
        from: impl IntoIterator<Item = (AuthorId, u64)>,
    ) -> Result<Self, StoreError> {
        let mut merge = Self { store, logs: BTreeMap::new(), heap: BinaryHeap::new() };
        for (author, next) in from {
            merge.logs.insert(author, Log { next, ahead: VecDeque::new() });
            merge.refill(author)?;
        }
        Ok(merge)
    }

    fn refill(&mut self, author: AuthorId) -> Result<(), StoreError> {
        let Some(log) = self.logs.get_mut(&author) else {
            return Ok(());
        };
        while log.ahead.is_empty() {
            let records = self.store.records(&author, log.next, AHEAD)?;
            if records.is_empty() {
                return Ok(());
            }
            for record in records {
                log.ahead.extend(Event::read(author, log.next, record.as_ref()).ok());
                log.next += 1;
            }
        }
        self.heap.extend(log.ahead.front().map(|event| Reverse(Place::of(event))));
        Ok(())
    }

    pub(super) fn next(&mut self) -> Result<Option<Event>, StoreError> {
        let Some(Reverse(place)) = self.heap.pop() else {
            return Ok(None);
        };
        let log = self.logs.get_mut(&place.author);
        let event = log.and_then(|log| log.ahead.pop_front());
        let ahead = self.logs.get(&place.author).and_then(|log| log.ahead.front());
        match ahead {
            Some(next) => self.heap.push(Reverse(Place::of(next))),
            None => self.refill(place.author)?,
        }
        Ok(event)
    }
}
