//! Causes point to events that are earlier. They are noted while the logs are read, and looked up
//! while the events go by once more; what does not fit into memory is looked up in further passes.

use std::collections::{BTreeMap, BTreeSet};

use super::archive::Archive;
use super::compare::fail_at;
use super::input::Records;
use super::report::{MAX_LISTED, Report, Unchecked};
use super::rule::Rule;
use crate::kernel::event::{Event, EventId, Hlc};
use crate::kernel::fold::{FoldError, Place};
use crate::kernel::identity::AuthorId;

/// The bytes of a cause that is noted.
const CAUSE_BYTES: usize = size_of::<Cause>();

/// Into so many parts the causes are divided at most; who has still more at a time made them up.
const MAX_DIVISOR: u128 = 1 << 12;

/// One cause: half an id is enough, nobody finds another event with these 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cause {
    id: u128,
    /// The event that names it, as its nth: its clock, its index, the number of its log.
    clock: Hlc,
    seq: u64,
    log: u32,
    nth: u8,
    found: Found,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    No,
    Earlier,
    NotEarlier,
}

/// The ids that leave this remainder when they are divided by a power of two.
#[derive(Clone, Copy, Debug)]
struct Part {
    divisor: u128,
    remainder: u128,
}

impl Part {
    fn has(self, id: u128) -> bool {
        id & (self.divisor - 1) == self.remainder
    }
}

/// The causes that are looked up at a time: those of one part.
#[derive(Debug)]
pub(super) struct Causes {
    most: usize,
    part: Part,
    /// The parts that are left for later.
    later: Vec<Part>,
    noted: Vec<Cause>,
    logs: Vec<AuthorId>,
    numbers: BTreeMap<AuthorId, u32>,
    /// More than fit even into the smallest part.
    too_many: bool,
}

impl Causes {
    /// Takes no more memory than so many bytes.
    pub(super) fn new(memory: usize) -> Self {
        let most = (memory / CAUSE_BYTES).max(1);
        Self {
            most,
            part: Part { divisor: 1, remainder: 0 },
            later: Vec::new(),
            noted: Vec::new(),
            logs: Vec::new(),
            numbers: BTreeMap::new(),
            too_many: false,
        }
    }

    /// Notes the nth cause of an event.
    pub(super) fn note(&mut self, of: &Place, nth: u8, cause: &EventId) {
        let id = half(cause);
        if self.too_many || !self.part.has(id) {
            return;
        }
        while self.noted.len() >= self.most {
            let Part { divisor, remainder } = self.part;
            if divisor >= MAX_DIVISOR {
                self.too_many = true;
                (self.noted, self.later) = (Vec::new(), Vec::new());
                return;
            }
            let part = Part { divisor: divisor * 2, remainder };
            self.later.push(Part { divisor: divisor * 2, remainder: remainder + divisor });
            self.part = part;
            self.noted.retain(|cause| part.has(cause.id));
            if !part.has(id) {
                return;
            }
        }
        if self.noted.len() == self.noted.capacity() {
            let room = self.noted.len().max(1024).min(self.most - self.noted.len());
            self.noted.reserve_exact(room);
        }
        let next = u32::try_from(self.logs.len()).expect("a bundle has few logs");
        let log = *self.numbers.entry(of.author).or_insert(next);
        if log == next {
            self.logs.push(of.author);
        }
        self.noted.push(Cause { id, clock: of.clock, seq: of.seq, log, nth, found: Found::No });
    }

    /// All causes of this part are noted.
    pub(super) fn sort(&mut self) {
        self.noted.sort_unstable();
    }

    /// An event goes by: whoever names it as a cause has to be later.
    pub(super) fn pass(&mut self, event: &Event) {
        let id = half(&event.id);
        if !self.part.has(id) {
            return;
        }
        let from = self.noted.partition_point(|cause| cause.id < id);
        for cause in self.noted[from..].iter_mut().take_while(|cause| cause.id == id) {
            let earlier = event.header.clock < cause.clock;
            cause.found = if earlier { Found::Earlier } else { Found::NotEarlier };
        }
    }

    /// All events went by once: looks up the causes of other parts, and reports what was found.
    pub(super) fn finish<R: Records>(
        mut self,
        archive: &Archive<R>,
        report: &mut Report,
    ) -> Result<(), FoldError> {
        let mut wrong = Wrong::default();
        let mut outside = self.tally(&mut wrong, report);
        while let Some(part) = self.later.pop() {
            self.part = part;
            self.noted.clear();
            for block in archive.blocks() {
                for event in archive.read(&block)? {
                    let of = Place::of(&event);
                    for (nth, cause) in (0..).zip(&event.header.causes) {
                        self.note(&of, nth, cause);
                    }
                }
            }
            self.sort();
            for block in archive.blocks() {
                archive.read(&block)?.iter().for_each(|event| self.pass(event));
            }
            outside += self.tally(&mut wrong, report);
        }
        let listed = wrong.first.len() as u64;
        for (place, _, id) in wrong.first {
            let cause = hex::encode(&id.to_be_bytes()[..5]);
            let what = format!("the cause {cause} is not earlier than the event");
            fail_at(archive, &place, Rule::CauseOrder, what, report);
        }
        report.failures.count += wrong.count - listed;
        if outside > 0 {
            let what = "causes that name events which are not here".to_owned();
            report.unchecked.push(Unchecked { kind: "causes", count: Some(outside), what });
        }
        if self.too_many {
            let what = "causes, of which there are more than fit into the memory that the \
                        verification may take"
                .to_owned();
            report.unchecked.push(Unchecked { kind: "causes", count: None, what });
        }
        Ok(())
    }

    /// Counts what was found of this part; returns how many causes name events that are not here.
    fn tally(&self, wrong: &mut Wrong, report: &mut Report) -> u64 {
        let mut outside = 0;
        for cause in &self.noted {
            match cause.found {
                Found::No => outside += 1,
                Found::Earlier => report.checked.causes += 1,
                Found::NotEarlier => {
                    let author = self.logs[cause.log as usize];
                    let place = Place { clock: cause.clock, author, seq: cause.seq };
                    wrong.push((place, cause.nth, cause.id));
                }
            }
        }
        outside
    }
}

/// Causes that are not earlier: the first in the total order, and how many there are.
#[derive(Debug, Default)]
struct Wrong {
    first: BTreeSet<(Place, u8, u128)>,
    count: u64,
}

impl Wrong {
    fn push(&mut self, cause: (Place, u8, u128)) {
        self.count += 1;
        self.first.insert(cause);
        if self.first.len() > MAX_LISTED {
            self.first.pop_last();
        }
    }
}

fn half(id: &EventId) -> u128 {
    u128::from_be_bytes(*id.0.first_chunk().expect("an id has 32 bytes"))
}
