//! Where the verified events stand, so that they can be read again one by one. The index takes some
//! 40 bytes for each event; the events themselves stay where they are.

use std::collections::{BTreeMap, BTreeSet};

use super::examine::Seen;
use super::input::{Records, Spot};
use crate::kernel::event::{Event, EventId, Hlc, TaskId};
use crate::kernel::fold::{Aggregate, EventSource, FoldError, Place};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::RecordRef;

/// How many entries of a log lie together: no list is ever copied because it grows.
const CHUNK: usize = 1024;

/// The bits of an entry's place that are its record's length: records are below 2^17 bytes.
const LEN_BITS: u32 = 17;

/// The bits of a reference to an event that are its index; above them is the number of its log.
const SEQ_BITS: u32 = 40;

/// One event: 32 bytes. Half of its id is enough to find it by a cause, and to notice that its
/// bytes are no longer what they were: nobody finds other bytes with these 128 bits.
#[derive(Clone, Copy, Debug)]
struct Entry {
    clock: Hlc,
    spot: u64,
    id: [u8; 16],
}

#[derive(Debug, Default)]
struct Log {
    author: Option<AuthorId>,
    chunks: Vec<Vec<Entry>>,
    length: u64,
}

impl Log {
    fn push(&mut self, entry: Entry) {
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => chunk.push(entry),
            None => {
                // Most logs of a bundle may be short.
                let room = if self.chunks.is_empty() { 1 } else { CHUNK };
                let mut chunk = Vec::with_capacity(room);
                chunk.push(entry);
                self.chunks.push(chunk);
            }
        }
        self.length += 1;
    }

    fn get(&self, seq: u64) -> Option<&Entry> {
        let seq = usize::try_from(seq).ok()?;
        self.chunks.get(seq / CHUNK)?.get(seq % CHUNK)
    }
}

/// The index of an archive while it is built.
#[derive(Debug, Default)]
pub(super) struct Index {
    logs: Vec<Log>,
    numbers: BTreeMap<AuthorId, usize>,
    /// The events of each aggregate, by their references.
    aggregates: BTreeMap<Aggregate, Vec<u64>>,
    /// Events that name a task and that no state depends on: of unknown kinds, malformed, absent.
    unread: BTreeMap<TaskId, Vec<u64>>,
    spoken: BTreeMap<AuthorId, BTreeSet<Aggregate>>,
}

impl Index {
    /// Adds the next event of a log.
    pub(super) fn push(&mut self, author: AuthorId, seen: &Seen) {
        let next = self.logs.len();
        let number = *self.numbers.entry(author).or_insert(next);
        if number == next {
            self.logs.push(Log { author: Some(author), ..Log::default() });
        }
        let log = &mut self.logs[number];
        let reference = (number as u64) << SEQ_BITS | log.length;
        let id = seen.id.0.first_chunk().copied().unwrap_or_default();
        let spot = seen.at << LEN_BITS | u64::from(seen.len);
        log.push(Entry { clock: seen.clock, spot, id });
        if let Some(aggregate) = seen.aggregate {
            self.aggregates.entry(aggregate).or_default().push(reference);
            self.spoken.entry(author).or_default().insert(aggregate);
        } else if let Some(task) = seen.task {
            self.unread.entry(task).or_default().push(reference);
        }
    }

    fn place(&self, reference: u64) -> Option<Place> {
        let log = self.logs.get(usize::try_from(reference >> SEQ_BITS).ok()?)?;
        let seq = reference & ((1 << SEQ_BITS) - 1);
        Some(Place { clock: log.get(seq)?.clock, author: log.author?, seq })
    }

    fn log(&self, author: &AuthorId) -> Option<&Log> {
        self.logs.get(*self.numbers.get(author)?)
    }

    /// Closes the index.
    pub(super) fn finish<R>(mut self, records: R) -> Archive<R> {
        for references in self.aggregates.values_mut().chain(self.unread.values_mut()) {
            references.shrink_to_fit();
        }
        Archive { records, index: self }
    }

    fn places(&self, references: &[u64]) -> Vec<Place> {
        let mut places: Vec<Place> = references.iter().filter_map(|r| self.place(*r)).collect();
        places.sort_unstable();
        places
    }
}

/// The verified events of a bundle or a store. They are read when they are asked for, and compared
/// with the hash that was verified, so that bytes that change meanwhile are noticed.
pub struct Archive<R> {
    records: R,
    index: Index,
}

/// Ids of events with their places, to look up causes.
pub(super) struct Ids(Vec<(u64, u64)>);

impl<R> Archive<R> {
    /// The number of verified events of each log.
    #[must_use]
    pub fn lengths(&self) -> BTreeMap<AuthorId, u64> {
        let logs = self.index.logs.iter();
        logs.filter_map(|log| Some((log.author?, log.length))).collect()
    }

    /// The places of all events in their total order.
    #[must_use]
    pub fn in_order(&self) -> InOrder<'_> {
        let index = &self.index;
        let next = index.numbers.keys().filter_map(|author| place(index, *author, 0)).collect();
        InOrder { index, next }
    }

    /// The places of all events that name a task, in their total order.
    pub(super) fn places_of(&self, task: TaskId) -> Vec<Place> {
        let known = self.index.aggregates.get(&Aggregate::Task(task));
        let unread = self.index.unread.get(&task);
        let all: Vec<u64> = known.into_iter().chain(unread).flatten().copied().collect();
        self.index.places(&all)
    }

    /// Every event's id, to be looked up: 16 bytes for each event.
    pub(super) fn ids(&self) -> Ids {
        let logs = self.index.logs.iter().enumerate();
        let chunks = self.index.logs.iter().flat_map(|log| &log.chunks);
        let mut ids = Vec::with_capacity(chunks.map(Vec::len).sum());
        for (number, log) in logs {
            let entries = log.chunks.iter().flatten();
            ids.extend((0u64..).zip(entries).map(|(seq, entry)| {
                let start = entry.id.first_chunk().copied().unwrap_or_default();
                (u64::from_be_bytes(start), (number as u64) << SEQ_BITS | seq)
            }));
        }
        ids.sort_unstable();
        Ids(ids)
    }

    /// The place of an event, if it is here.
    pub(super) fn find(&self, ids: &Ids, id: &EventId) -> Option<Place> {
        let start = u64::from_be_bytes(id.0.first_chunk().copied()?);
        let from = ids.0.partition_point(|(found, _)| *found < start);
        let same = ids.0[from..].iter().take_while(|(found, _)| *found == start);
        let mut places = same.filter_map(|(_, reference)| self.index.place(*reference));
        places.find(|place| {
            let log = self.index.log(&place.author);
            let entry = log.and_then(|log| log.get(place.seq));
            entry.is_some_and(|entry| id.0.starts_with(&entry.id))
        })
    }

    /// At which byte of the bundle an event stands.
    pub(super) fn offset(&self, author: &AuthorId, seq: u64) -> Option<u64> {
        Some(self.index.log(author)?.get(seq)?.spot >> LEN_BITS)
    }

    /// The clock of an event.
    pub(super) fn clock(&self, author: &AuthorId, seq: u64) -> Option<Hlc> {
        Some(self.index.log(author)?.get(seq)?.clock)
    }
}

fn place(index: &Index, author: AuthorId, seq: u64) -> Option<Place> {
    Some(Place { clock: index.log(&author)?.get(seq)?.clock, author, seq })
}

/// The places of all events in their total order: the clock rises in every log, so that the logs
/// only need to be merged.
pub struct InOrder<'a> {
    index: &'a Index,
    next: BTreeSet<Place>,
}

impl Iterator for InOrder<'_> {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        let first = self.next.pop_first()?;
        self.next.extend(place(self.index, first.author, first.seq + 1));
        Some(first)
    }
}

impl<R: Records> EventSource for Archive<R> {
    fn places(&self, aggregate: &Aggregate) -> Result<Vec<Place>, FoldError> {
        let references = self.index.aggregates.get(aggregate).map_or(&[][..], Vec::as_slice);
        Ok(self.index.places(references))
    }

    fn event(&self, place: &Place) -> Result<Event, FoldError> {
        let Place { author, seq, .. } = *place;
        let failed = |what: &dyn ToString| {
            FoldError(format!("log {author:?}, index {seq}: {}", what.to_string()))
        };
        let entry = self.index.log(&author).and_then(|log| log.get(seq));
        let entry = entry.ok_or_else(|| failed(&"it is not there"))?;
        let len = (entry.spot & ((1 << LEN_BITS) - 1)) as usize;
        let spot = Spot { author, seq, at: entry.spot >> LEN_BITS, len };
        let bytes = self.records.record(&spot).map_err(|error| failed(&error))?;
        let changed = || failed(&"it changed while it was read");
        let record = RecordRef::parse(&bytes).map_err(|_| changed())?;
        record.check_body().map_err(|_| changed())?;
        let event = Event::read(author, seq, record).map_err(|_| changed())?;
        if event.id.0.starts_with(&entry.id) { Ok(event) } else { Err(changed()) }
    }

    fn event_at(&self, author: &AuthorId, seq: u64) -> Result<Option<Event>, FoldError> {
        let place = place(&self.index, *author, seq);
        place.map(|place| self.event(&place)).transpose()
    }

    fn aggregates_of(&self, author: &AuthorId, _: u64) -> Result<BTreeSet<Aggregate>, FoldError> {
        Ok(self.index.spoken.get(author).cloned().unwrap_or_default())
    }
}
