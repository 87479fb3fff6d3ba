//! The latest events in the order in which this node came to hold them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::kernel::event::Event;

/// How many events are kept.
pub(super) const KEPT: usize = 512;

pub(super) struct Recent {
    /// Tells one run of the node from the next, since numbers start anew.
    pub(super) run: u64,
    inner: Mutex<Inner>,
    /// Changes with each new event.
    news: watch::Sender<u64>,
}

struct Inner {
    /// The number of the next event.
    next: u64,
    events: VecDeque<Arc<Event>>,
}

/// Some of them.
pub(super) struct Slice {
    /// What to ask for next.
    pub(super) last: u64,
    pub(super) events: Vec<Arc<Event>>,
    /// How many were asked for and are not kept any more.
    pub(super) missed: u64,
}

impl Recent {
    pub(super) fn new(run: u64) -> Self {
        let inner = Mutex::new(Inner { next: 1, events: VecDeque::new() });
        Self { run, inner, news: watch::Sender::new(0) }
    }

    /// What changes when there is something new.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    pub(super) fn push(&self, events: &[Arc<Event>]) {
        let mut inner = self.lock();
        for event in events {
            inner.next += 1;
            inner.events.push_back(Arc::clone(event));
        }
        let surplus = inner.events.len().saturating_sub(KEPT);
        inner.events.drain(..surplus);
        self.news.send_replace(inner.next);
    }

    /// Puts the past before what came since.
    pub(super) fn fill(&self, past: Vec<Event>) {
        let mut inner = self.lock();
        let new: Vec<Arc<Event>> = inner.events.drain(..).collect();
        let past = past.into_iter().filter(|event| !new.iter().any(|new| new.id == event.id));
        let mut all: VecDeque<Arc<Event>> = past.map(Arc::new).collect();
        inner.next += all.len() as u64;
        all.extend(new);
        let surplus = all.len().saturating_sub(KEPT);
        all.drain(..surplus);
        inner.events = all;
    }

    /// At most `limit` events: the first ones behind the number `after`, or the last of all.
    pub(super) fn slice(&self, after: Option<u64>, limit: usize) -> Slice {
        let inner = self.lock();
        let first = inner.next - inner.events.len() as u64;
        let len = inner.events.len();
        let missed = after.map_or(0, |after| first.saturating_sub(after.saturating_add(1)));
        let start = match after {
            Some(after) => {
                let skip = after.saturating_add(1).saturating_sub(first);
                usize::try_from(skip).unwrap_or(len).min(len)
            }
            None => len.saturating_sub(limit),
        };
        let events: Vec<_> = inner.events.iter().skip(start).take(limit).cloned().collect();
        let last = first + (start + events.len()) as u64 - 1;
        Slice { last, events, missed }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::event::kinds::TaskFinished;
    use crate::kernel::event::{Draft, Hlc};
    use crate::kernel::identity::AuthorId;

    fn event(seq: u64) -> Event {
        let draft = Draft::general(TaskFinished { epoch: seq, outcome: String::new() });
        let record = draft.record(seq, Hlc(seq)).unwrap();
        Event::read(AuthorId([1; 32]), seq, record.as_ref()).unwrap()
    }

    fn seqs(slice: &Slice) -> Vec<u64> {
        slice.events.iter().map(|event| event.header.seq).collect()
    }

    #[test]
    fn a_reader_that_goes_on_misses_nothing_and_sees_nothing_twice() {
        let recent = Recent::new(0);
        assert_eq!(recent.slice(None, 10).last, 0);
        recent.push(&[Arc::new(event(2))]);
        recent.fill(vec![event(0), event(1), event(2)]);
        let first = recent.slice(None, 2);
        assert_eq!((seqs(&first), first.last), (vec![1, 2], 3));
        assert!(recent.slice(Some(first.last), 9).events.is_empty());
        recent.push(&[Arc::new(event(3)), Arc::new(event(4))]);
        let next = recent.slice(Some(first.last), 1);
        assert_eq!((seqs(&next), next.last), (vec![3], 4));
        assert_eq!(seqs(&recent.slice(Some(next.last), 9)), [4]);
        assert!(recent.slice(Some(u64::MAX - 1), 9).events.is_empty());
    }

    #[test]
    fn no_more_is_kept_than_the_bound() {
        let recent = Recent::new(0);
        let many: Vec<_> = (0..KEPT as u64 + 40).map(|seq| Arc::new(event(seq))).collect();
        recent.push(&many);
        let all = recent.slice(Some(0), usize::MAX);
        assert_eq!((all.events.len(), all.missed), (KEPT, 40));
        assert_eq!(recent.slice(Some(40), usize::MAX).missed, 0);
        assert_eq!(all.events[0].header.seq, 40);
        assert_eq!(all.last, KEPT as u64 + 40);
    }
}
