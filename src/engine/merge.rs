//! Reads several logs in their total order, a few records of each at a time.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, VecDeque};

use crate::kernel::event::Event;
use crate::kernel::fold::Place;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{LogStore, StoreError};

/// How many records of one log are read ahead.
const AHEAD: u64 = 256;

struct Log {
    author: AuthorId,
    next: u64,
    ahead: VecDeque<Event>,
}

/// Events of several logs, each log from an index on, by rising place.
pub(super) struct Merge<'a> {
    store: &'a dyn LogStore,
    logs: Vec<Log>,
    /// The place of the first event of each log, and the log's position in `logs`.
    heap: BinaryHeap<Reverse<(Place, usize)>>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(
        store: &'a dyn LogStore,
        from: impl IntoIterator<Item = (AuthorId, u64)>,
    ) -> Result<Self, StoreError> {
        let start = |(author, next)| Log { author, next, ahead: VecDeque::new() };
        let logs: Vec<Log> = from.into_iter().map(start).collect();
        let mut merge = Self { store, logs, heap: BinaryHeap::new() };
        for log in 0..merge.logs.len() {
            if let Some(place) = merge.first(log)? {
                merge.heap.push(Reverse((place, log)));
            }
        }
        Ok(merge)
    }

    /// The place of a log's first event, which is read if it has to be.
    fn first(&mut self, log: usize) -> Result<Option<Place>, StoreError> {
        let log = &mut self.logs[log];
        while log.ahead.is_empty() {
            let from = log.next;
            self.store.scan(&log.author, from, &mut |index, record| {
                log.ahead.extend(Event::read(log.author, index, record).ok());
                log.next = index + 1;
                log.next - from < AHEAD
            })?;
            if log.next == from {
                break;
            }
        }
        Ok(log.ahead.front().map(Place::of))
    }

    pub(super) fn next(&mut self) -> Result<Option<Event>, StoreError> {
        let Some(Reverse((_, log))) = self.heap.peek() else {
            return Ok(None);
        };
        let log = *log;
        let event = self.logs[log].ahead.pop_front();
        // The top is replaced where it stands: its successor is most often the next one too.
        let next = self.first(log)?;
        if let Some(mut top) = self.heap.peek_mut() {
            match next {
                Some(place) => *top = Reverse((place, log)),
                None => drop(PeekMut::pop(top)),
            }
        }
        Ok(event)
    }
}
