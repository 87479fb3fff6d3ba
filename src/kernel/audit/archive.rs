//! Where the verified events stand in the file, so that they can be read again one by one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};

use crate::kernel::event::{Event, EventId, Hlc, TaskId};
use crate::kernel::fold::{Aggregate, EventSource, FoldError, Place};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::RecordRef;

/// Where one event stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) id: EventId,
    pub(super) clock: Hlc,
    pub(super) at: u64,
    pub(super) len: u32,
}

/// The verified events of a bundle. They are read from the file when they are asked for, and
/// compared with the hash that was verified, so that a file that changes meanwhile is noticed.
pub struct Archive<R> {
    input: RefCell<R>,
    index: Index,
}

/// The index of an archive while it is built.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) logs: BTreeMap<AuthorId, Vec<Entry>>,
    aggregates: BTreeMap<Aggregate, Vec<Place>>,
    /// Events that name a task and that no state depends on: of unknown kinds, malformed, absent.
    unread: BTreeMap<TaskId, Vec<Place>>,
    spoken: BTreeMap<AuthorId, BTreeSet<Aggregate>>,
}

impl Index {
    /// Adds the next event of a log.
    pub(super) fn push(&mut self, event: &Event, at: u64, len: u32) {
        let place = Place::of(event);
        let entry = Entry { id: event.id, clock: event.header.clock, at, len };
        self.logs.entry(event.author).or_default().push(entry);
        if let Some(aggregate) = Aggregate::of(event) {
            self.aggregates.entry(aggregate).or_default().push(place);
            self.spoken.entry(event.author).or_default().insert(aggregate);
        } else if let Some(task) = event.header.task {
            self.unread.entry(task).or_default().push(place);
        }
    }

    /// Sorts what was added log by log into the total order.
    pub(super) fn finish<R>(mut self, input: R) -> Archive<R> {
        for places in self.aggregates.values_mut().chain(self.unread.values_mut()) {
            places.sort_unstable();
        }
        Archive { input: RefCell::new(input), index: self }
    }
}

impl<R> Archive<R> {
    /// The number of verified events of each log.
    #[must_use]
    pub fn lengths(&self) -> BTreeMap<AuthorId, u64> {
        self.index.logs.iter().map(|(author, log)| (*author, log.len() as u64)).collect()
    }

    /// The places of all events in their total order.
    #[must_use]
    pub fn in_order(&self) -> InOrder<'_> {
        let logs = &self.index.logs;
        let next = logs.iter().filter_map(|(author, log)| place(*author, log, 0)).collect();
        InOrder { logs, next }
    }

    /// The places of all events that name a task, in their total order.
    pub(super) fn places_of(&self, task: TaskId) -> Vec<Place> {
        let known = self.index.aggregates.get(&Aggregate::Task(task));
        let unread = self.index.unread.get(&task);
        let mut places: Vec<Place> = known.into_iter().chain(unread).flatten().copied().collect();
        places.sort_unstable();
        places
    }

    /// Every event's id with its clock, sorted by id.
    pub(super) fn ids(&self) -> Vec<(EventId, Hlc)> {
        let entries = self.index.logs.values().flatten();
        let mut ids: Vec<_> = entries.map(|entry| (entry.id, entry.clock)).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn entry(&self, author: &AuthorId, seq: u64) -> Option<&Entry> {
        self.index.logs.get(author)?.get(usize::try_from(seq).ok()?)
    }
}

fn place(author: AuthorId, log: &[Entry], seq: u64) -> Option<Place> {
    let entry = log.get(usize::try_from(seq).ok()?)?;
    Some(Place { clock: entry.clock, author, seq })
}

/// The places of all events in their total order: the clock rises in every log, so that the logs
/// only need to be merged.
pub struct InOrder<'a> {
    logs: &'a BTreeMap<AuthorId, Vec<Entry>>,
    next: BTreeSet<Place>,
}

impl Iterator for InOrder<'_> {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        let first = self.next.pop_first()?;
        let log = &self.logs[&first.author];
        self.next.extend(place(first.author, log, first.seq + 1));
        Some(first)
    }
}

impl<R: Read + Seek> EventSource for Archive<R> {
    fn places(&self, aggregate: &Aggregate) -> Result<Vec<Place>, FoldError> {
        Ok(self.index.aggregates.get(aggregate).cloned().unwrap_or_default())
    }

    fn event(&self, place: &Place) -> Result<Event, FoldError> {
        let failed = |what: String| {
            FoldError(format!("log {:?}, index {}: {what}", place.author, place.seq))
        };
        let entry = self.entry(&place.author, place.seq);
        let entry = entry.ok_or_else(|| failed("it is not in the bundle".to_owned()))?;
        let mut bytes = vec![0; entry.len as usize];
        let mut input = self.input.borrow_mut();
        let read = input.seek(SeekFrom::Start(entry.at)).and_then(|_| input.read_exact(&mut bytes));
        read.map_err(|error| failed(error.to_string()))?;
        let record = RecordRef::parse(&bytes).ok();
        let same = |record: &RecordRef<'_>| {
            record.leaf(&place.author).0 == entry.id.0 && record.check_body().is_ok()
        };
        let record = record.filter(same);
        let record = record.ok_or_else(|| failed("the file changed while it was read".into()))?;
        Event::read(place.author, place.seq, record).map_err(|error| failed(error.to_string()))
    }

    fn find(&self, author: &AuthorId, seq: u64) -> Result<Option<Event>, FoldError> {
        let log = self.index.logs.get(author);
        let place = log.and_then(|log| place(*author, log, seq));
        place.map(|place| self.event(&place)).transpose()
    }

    fn aggregates_of(&self, author: &AuthorId, _: u64) -> Result<BTreeSet<Aggregate>, FoldError> {
        Ok(self.index.spoken.get(author).cloned().unwrap_or_default())
    }
}
