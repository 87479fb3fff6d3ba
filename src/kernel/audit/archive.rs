//! Where the verified events stand, so that they can be read again; the events themselves stay
//! where they are. What is remembered is blocks of neighbouring events, so that the index of a
//! gigabyte takes a few megabytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::blocks::{Blocks, Digest, InOrder};
use super::examine::Seen;
use super::input::{Records, Spot};
use crate::kernel::event::{Event, Hlc, TaskId};
use crate::kernel::fold::{Aggregate, EventSource, FoldError, Place};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::RecordRef;

/// The most events of a block, and the most bytes, unless its first record is longer.
const BLOCK_EVENTS: usize = 64;
const BLOCK_BYTES: u64 = 16 * 1024;

/// The bits of a reference to a block that are its number in its log; above them is the log's.
const BLOCK_BITS: u32 = 40;

/// How many blocks that were read out of order are kept: events of one task lie together.
const KEPT: usize = 32;

/// Neighbouring events of one range: 48 bytes for up to 64 of them.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// The index of the first event, and its clock.
    seq: u64,
    clock: Hlc,
    /// Where the length of the first record stands, and how many bytes follow up to the last.
    at: u64,
    bytes: u32,
    events: u32,
    /// What the events' ids hash to, so that bytes are noticed that are no longer what they were.
    digest: Digest,
}

#[derive(Debug)]
struct Log {
    author: AuthorId,
    blocks: Vec<Block>,
    length: u64,
}

/// The index of an archive while it is built.
#[derive(Debug, Default)]
pub(super) struct Index {
    logs: Vec<Log>,
    numbers: BTreeMap<AuthorId, usize>,
    /// The blocks in which an event of each aggregate stands, by their references.
    aggregates: BTreeMap<Aggregate, Vec<u64>>,
    /// Blocks with events that name a task and that no state depends on: of unknown kinds,
    /// malformed, absent.
    unread: BTreeMap<TaskId, Vec<u64>>,
    spoken: BTreeMap<AuthorId, BTreeSet<Aggregate>>,
}

/// A block, and where its first event stands in the total order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockAt {
    pub(super) first: Place,
    pub(super) reference: u64,
}

impl Index {
    /// Adds the next events of a log, those of one range.
    pub(super) fn push(&mut self, author: AuthorId, mut events: &[Seen]) {
        let next = self.logs.len();
        let number = *self.numbers.entry(author).or_insert(next);
        if number == next {
            self.logs.push(Log { author, blocks: Vec::new(), length: 0 });
        }
        while let Some(first) = events.first() {
            let end = |seen: &Seen| seen.at + u64::from(seen.len) - (first.at - 4);
            let fits = events.iter().take(BLOCK_EVENTS);
            let count = fits.take_while(|seen| end(seen) <= BLOCK_BYTES).count().max(1);
            let (block, rest) = events.split_at(count);
            events = rest;
            let log = &mut self.logs[number];
            let reference = (number as u64) << BLOCK_BITS | log.blocks.len() as u64;
            log.blocks.push(Block {
                seq: log.length,
                clock: first.clock,
                at: first.at - 4,
                bytes: small(block.last().map_or(0, end)),
                events: small(count as u64),
                digest: Digest::of(block.iter().map(|seen| &seen.id)),
            });
            log.length += count as u64;
            for seen in block {
                self.about(author, seen, reference);
            }
        }
    }

    fn about(&mut self, author: AuthorId, seen: &Seen, reference: u64) {
        let blocks = match (seen.aggregate, seen.task) {
            (Some(aggregate), _) => {
                self.spoken.entry(author).or_default().insert(aggregate);
                self.aggregates.entry(aggregate).or_default()
            }
            (None, Some(task)) => self.unread.entry(task).or_default(),
            (None, None) => return,
        };
        if blocks.last() != Some(&reference) {
            blocks.push(reference);
        }
    }

    fn log(&self, author: &AuthorId) -> Option<(usize, &Log)> {
        let number = *self.numbers.get(author)?;
        Some((number, self.logs.get(number)?))
    }

    fn block(&self, reference: u64) -> Option<(AuthorId, &Block)> {
        let log = self.logs.get(usize::try_from(reference >> BLOCK_BITS).ok()?)?;
        let number = usize::try_from(reference & ((1 << BLOCK_BITS) - 1)).ok()?;
        Some((log.author, log.blocks.get(number)?))
    }

    pub(super) fn at(&self, reference: u64) -> Option<BlockAt> {
        let (author, block) = self.block(reference)?;
        let first = Place { clock: block.clock, author, seq: block.seq };
        Some(BlockAt { first, reference })
    }

    /// The block in which an event of a log stands.
    fn of(&self, author: &AuthorId, seq: u64) -> Option<BlockAt> {
        let (number, log) = self.log(author)?;
        let behind = log.blocks.partition_point(|block| block.seq <= seq);
        let block = behind.checked_sub(1).filter(|_| seq < log.length)?;
        self.at((number as u64) << BLOCK_BITS | block as u64)
    }

    /// Closes the index.
    pub(super) fn finish<R>(self, records: R) -> Archive<R> {
        Archive { records, index: self, kept: Mutex::default() }
    }
}

fn small(number: u64) -> u32 {
    u32::try_from(number).expect("records and blocks are far below 4 GiB")
}

/// Blocks, with their events.
type Kept = VecDeque<(u64, Arc<Vec<Event>>)>;

/// The verified events of a bundle or a store. They are read when they are asked for, and compared
/// with the hash that was verified, so that bytes that change meanwhile are noticed.
pub struct Archive<R> {
    records: R,
    index: Index,
    /// The blocks that were read last out of order.
    kept: Mutex<Kept>,
}

impl<R> Archive<R> {
    /// The number of verified events of each log.
    #[must_use]
    pub fn lengths(&self) -> BTreeMap<AuthorId, u64> {
        self.index.logs.iter().map(|log| (log.author, log.length)).collect()
    }

    /// All blocks, in the order in which [`InOrder`] takes them in.
    #[must_use]
    pub fn blocks(&self) -> Blocks<'_> {
        let first = (0..self.index.logs.len() as u64).map(|number| number << BLOCK_BITS);
        Blocks::new(&self.index, first, None)
    }
}

impl<R: Records> Archive<R> {
    /// Reads the events of a block.
    ///
    /// # Errors
    /// [`FoldError`] if it could not be read, or is no longer what was verified.
    pub fn read(&self, block: &BlockAt) -> Result<Vec<Event>, FoldError> {
        let Place { author, seq, .. } = block.first;
        let failed = |what: &dyn ToString| {
            FoldError(format!("log {author:?}, index {seq}: {}", what.to_string()))
        };
        let spot = self.spot(block).ok_or_else(|| failed(&"it is not there"))?;
        let records = self.records.records(&spot).map_err(|error| failed(&error))?;
        let changed = || failed(&"it changed while it was read");
        let mut events = Vec::with_capacity(records.len());
        for (seq, bytes) in (seq..).zip(&records) {
            let record = RecordRef::parse(bytes).map_err(|_| changed())?;
            record.check_body().map_err(|_| changed())?;
            events.push(Event::read(author, seq, record).map_err(|_| changed())?);
        }
        let same = self.index.block(block.reference).is_some_and(|(_, block)| {
            events.len() == block.events as usize
                && Digest::of(events.iter().map(|event| &event.id)) == block.digest
        });
        if same { Ok(events) } else { Err(changed()) }
    }

    fn spot(&self, block: &BlockAt) -> Option<Spot> {
        let (author, block) = self.index.block(block.reference)?;
        let Block { seq, at, bytes, events, .. } = *block;
        Some(Spot { author, seq, count: events as usize, at, len: bytes as usize })
    }

    /// Reads the events of a block, or gives those that were read before.
    fn again(&self, block: &BlockAt) -> Result<Arc<Vec<Event>>, FoldError> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lock().iter().find(|(of, _)| *of == block.reference).cloned();
        if let Some((_, events)) = found {
            return Ok(events);
        }
        let events = Arc::new(self.read(block)?);
        let mut kept = lock();
        kept.truncate(KEPT - 1);
        kept.push_front((block.reference, Arc::clone(&events)));
        Ok(events)
    }

    /// All events in their total order, read on this thread.
    pub fn events(&self) -> impl Iterator<Item = Result<Event, FoldError>> {
        InOrder::new(self.blocks().map(|block| (block, self.read(&block))))
    }

    /// The events of each log from one length up to another, in their total order.
    pub(super) fn between(
        &self,
        from: BTreeMap<AuthorId, u64>,
        to: BTreeMap<AuthorId, u64>,
    ) -> impl Iterator<Item = Result<Event, FoldError>> {
        let start = move |author: &AuthorId| from.get(author).copied().unwrap_or(0);
        let first: Vec<_> = to
            .iter()
            .filter(|(author, length)| start(author) < **length)
            .filter_map(|(author, _)| Some(self.index.of(author, start(author))?.reference))
            .collect();
        let blocks = Blocks::new(&self.index, first.into_iter(), Some(to.clone()));
        InOrder::new(blocks.map(move |block| {
            let author = block.first.author;
            let inside = start(&author)..to.get(&author).copied().unwrap_or(0);
            let events = self.again(&block).map(|events| {
                let events = events.iter().filter(|event| inside.contains(&event.header.seq));
                events.cloned().collect()
            });
            (block, events)
        }))
    }

    /// All events that name a task or one of these sessions, in their total order.
    pub(super) fn about(
        &self,
        task: TaskId,
        sessions: BTreeSet<TaskId>,
    ) -> impl Iterator<Item = Result<Event, FoldError>> {
        let wanted = std::iter::once(Aggregate::Task(task));
        let wanted = wanted.chain(sessions.iter().map(|session| Aggregate::Session(*session)));
        let known = wanted.filter_map(|aggregate| self.index.aggregates.get(&aggregate));
        let blocks = known.chain(self.index.unread.get(&task)).flatten();
        let blocks: BTreeSet<BlockAt> = blocks.filter_map(|block| self.index.at(*block)).collect();
        let of = move |event: &Event| match Aggregate::of(event) {
            Some(Aggregate::Session(session)) => sessions.contains(&session),
            Some(aggregate) => aggregate == Aggregate::Task(task),
            None => event.header.task == Some(task),
        };
        InOrder::new(blocks.into_iter().map(move |block| {
            let events = self.read(&block);
            (block, events.map(|events| events.into_iter().filter(&of).collect()))
        }))
    }

    /// At which byte of the bundle an event stands.
    pub(super) fn offset(&self, author: &AuthorId, seq: u64) -> Option<u64> {
        let spot = self.spot(&self.index.of(author, seq)?)?;
        let before = usize::try_from(seq - spot.seq).ok()?;
        let records = self.records.records(&spot).ok()?;
        let bytes: u64 = records.iter().take(before).map(|record| 4 + record.len() as u64).sum();
        Some(spot.at + bytes + 4)
    }
}

impl<R: Records> EventSource for Archive<R> {
    fn places(&self, aggregate: &Aggregate) -> Result<Vec<Place>, FoldError> {
        let mut places = Vec::new();
        for reference in self.index.aggregates.get(aggregate).into_iter().flatten() {
            if let Some(block) = self.index.at(*reference) {
                let events = self.again(&block)?;
                let of = events.iter().filter(|event| Aggregate::of(event) == Some(*aggregate));
                places.extend(of.map(Place::of));
            }
        }
        places.sort_unstable();
        Ok(places)
    }

    fn event(&self, place: &Place) -> Result<Event, FoldError> {
        let Place { author, seq, .. } = *place;
        let missing = || FoldError(format!("log {author:?}, index {seq}: it is not there"));
        self.event_at(&author, seq)?.ok_or_else(missing)
    }

    fn event_at(&self, author: &AuthorId, seq: u64) -> Result<Option<Event>, FoldError> {
        let Some(block) = self.index.of(author, seq) else {
            return Ok(None);
        };
        let events = self.again(&block)?;
        let before = usize::try_from(seq - block.first.seq).unwrap_or(usize::MAX);
        Ok(events.get(before).cloned())
    }

    fn aggregates_of(&self, author: &AuthorId, _: u64) -> Result<BTreeSet<Aggregate>, FoldError> {
        Ok(self.index.spoken.get(author).cloned().unwrap_or_default())
    }
}
