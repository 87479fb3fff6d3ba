//! Reads several logs in their total order, a few records of each at a time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::kernel::event::Event;
use crate::kernel::fold::Place;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{LogStore, StoreError};

/// How many records of one log are read ahead.
const AHEAD: u64 = 256;

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
            let from = log.next;
            self.store.scan(&author, from, &mut |index, record| {
                log.ahead.extend(Event::read(author, index, record).ok());
                log.next = index + 1;
                log.next - from < AHEAD
            })?;
            if log.next == from {
                return Ok(());
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
