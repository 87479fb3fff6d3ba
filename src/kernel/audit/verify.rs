//! Verifies a bundle from its bytes up: parts, ranges, heads, events, manifest. What is compared
//! once every log verifies by itself is in [`super::compare`].

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use super::archive::{Archive, Index};
use super::bundle::{BundleError, BundleReader, Part};
use super::compare;
use super::manifest::Manifest;
use super::report::{Checked, Counted, Failure, LogReport, Report, Unchecked};
use super::rule::Rule;
use crate::kernel::event::kinds::Payload;
use crate::kernel::event::{Body, Event, EventError, EventId, FORMAT, Hlc, swarm_id};
use crate::kernel::fold::{FoldError, Place};
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::{Append, HeadError, Range, RangeError, RecordError, Tip};

/// What a verification leaves behind: its report, and the events that verified.
pub struct Audit<R> {
    /// What was found.
    pub report: Report,
    /// The events of each log up to the first that does not verify.
    pub archive: Archive<R>,
}

/// Why nothing can be said of a bundle.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It could not be read.
    #[error(transparent)]
    Read(BundleError),
    /// It could not be read again.
    #[error(transparent)]
    Fold(#[from] FoldError),
}

/// Verifies a bundle. A rule that is broken is no error: it is in the report.
///
/// # Errors
/// [`AuditError`] if the bundle could not be read.
pub fn verify<R: Read + Seek>(mut input: R) -> Result<Audit<R>, AuditError> {
    let mut pass = Pass::default();
    match pass.read(&mut input) {
        Ok(()) => {}
        Err(error) => match error.rule() {
            None => return Err(AuditError::Read(error)),
            Some(rule) => pass.fail(rule, None, None, error.at(), &error),
        },
    }
    pass.founded();
    pass.covered();
    let mut report = pass.report();
    let Pass { index, checkpoints, manifest, .. } = pass;
    let archive = index.finish(input);
    match manifest {
        Some((manifest, at)) if report.verifies() => {
            let said = compare::Said { manifest: &manifest, at, checkpoints: &checkpoints };
            compare::compare(&archive, &said, &mut report)?;
        }
        _ => report.unchecked.push(Unchecked {
            kind: "state",
            count: None,
            what: "members, causes, state and checkpoints, since not all of the bundle verifies"
                .to_owned(),
        }),
    }
    Ok(Audit { report, archive })
}

/// One log while it is verified.
struct Log {
    tip: Tip,
    appends: u64,
    clocks: Option<(Hlc, Hlc)>,
    broken: bool,
}

/// What is known while the bundle is read.
#[derive(Default)]
struct Pass {
    swarm: Option<SwarmId>,
    bytes: u64,
    index: Index,
    logs: BTreeMap<AuthorId, Log>,
    current: Option<AuthorId>,
    manifest: Option<(Manifest, u64)>,
    founding: Option<EventId>,
    checkpoints: Vec<Place>,
    failures: Counted<Failure>,
    skipped: Skipped,
}

/// What was passed over, counted.
#[derive(Default)]
struct Skipped {
    ranges: u64,
    kinds: BTreeMap<u16, u64>,
    formats: u64,
    malformed: u64,
    absent: u64,
}

/// A rule that an event broke: at which index, and how.
struct Broken(Rule, u64, String);

impl Pass {
    fn fail(
        &mut self,
        rule: Rule,
        author: Option<AuthorId>,
        index: Option<u64>,
        offset: u64,
        what: &dyn ToString,
    ) {
        let what = what.to_string();
        self.failures.push(Failure { rule, author, index, offset, what });
    }

    fn read(&mut self, input: impl Read) -> Result<(), BundleError> {
        let mut reader = BundleReader::open(input)?;
        let swarm = reader.swarm();
        self.swarm = Some(swarm);
        self.bytes = reader.position();
        loop {
            match reader.next_part()? {
                Some(Part::Range { at, bytes }) => self.range(&swarm, at, bytes),
                Some(Part::Manifest { at, bytes }) => self.read_manifest(&swarm, at, bytes),
                None => break,
            }
            self.bytes = reader.position();
        }
        Ok(())
    }

    fn range(&mut self, swarm: &SwarmId, at: u64, bytes: &[u8]) {
        let range = match Range::from_bytes(bytes) {
            Ok(range) => range,
            Err(error) => return self.range_failed(at, bytes, &error),
        };
        let (author, from) = (range.author, range.from);
        if self.current != Some(author) {
            if self.current.is_some_and(|current| current >= author) {
                let what = "the log stands behind one of a greater author, or in two pieces";
                self.fail(Rule::LogOrder, Some(author), Some(from), at, &what);
                self.log(author).broken = true;
                return;
            }
            self.current = Some(author);
        }
        let log = self.log(author);
        if log.broken {
            self.skipped.ranges += 1;
            return;
        }
        let append = match log.tip.verify(swarm, range) {
            Ok(append) => append,
            Err(error) => return self.range_failed(at, bytes, &error),
        };
        let last = log.clocks.map(|(_, last)| last);
        match events(&append, at, last) {
            Ok(events) => self.take(swarm, &append, events),
            Err(Broken(rule, index, what)) => {
                self.log(author).broken = true;
                self.fail(rule, Some(author), Some(index), at, &what);
            }
        }
    }

    fn log(&mut self, author: AuthorId) -> &mut Log {
        let new = || Log { tip: Tip::empty(author), appends: 0, clocks: None, broken: false };
        self.logs.entry(author).or_insert_with(new)
    }

    /// Takes in events that verify.
    fn take(&mut self, swarm: &SwarmId, append: &Append, events: Vec<(Event, u64, u32)>) {
        for (event, at, len) in events {
            let Skipped { kinds, formats, malformed, absent, .. } = &mut self.skipped;
            match &event.body {
                Body::Known(payload) => match **payload {
                    Payload::Checkpoint(_) => self.checkpoints.push(Place::of(&event)),
                    Payload::SwarmFounded(_) if event.header.seq == 0 => {
                        let founds = swarm_id(event.id) == *swarm;
                        self.founding = Some(event.id).filter(|_| founds).or(self.founding);
                    }
                    _ => {}
                },
                Body::Unknown if event.header.format != FORMAT => *formats += 1,
                Body::Unknown => *kinds.entry(event.header.kind).or_default() += 1,
                Body::Malformed(_) => *malformed += 1,
                Body::Absent => *absent += 1,
            }
            let log = self.log(event.author);
            let clock = event.header.clock;
            log.clocks = Some((log.clocks.map_or(clock, |(first, _)| first), clock));
            self.index.push(&event, at, len);
        }
        let log = self.log(append.author());
        log.tip = append.tip().clone();
        log.appends += append.heads().len() as u64;
    }

    fn range_failed(&mut self, at: u64, bytes: &[u8], error: &RangeError) {
        // The first 40 bytes of a range are its author and its first index.
        let author = bytes.first_chunk::<32>().map(|bytes| AuthorId(*bytes));
        let from = bytes.get(32..40).and_then(|from| from.try_into().ok()).map(u64::from_le_bytes);
        let (rule, index) = rule_of(error);
        if let Some(author) = author {
            self.log(author).broken = true;
        }
        self.fail(rule, author, index.or(from), at, error);
    }

    fn read_manifest(&mut self, swarm: &SwarmId, at: u64, bytes: &[u8]) {
        let (manifest, signature) = match Manifest::read(bytes) {
            Ok(read) => read,
            Err(error) => return self.fail(Rule::ManifestBytes, None, None, at, &error),
        };
        let exporter = Some(manifest.exporter);
        if let Err(error) = manifest.verify(&signature) {
            return self.fail(Rule::ManifestSignature, exporter, None, at, &error);
        }
        if manifest.swarm != *swarm {
            let what = format!("the manifest is of swarm {}", manifest.swarm);
            return self.fail(Rule::ManifestSwarm, exporter, None, at, &what);
        }
        self.manifest = Some((manifest, at));
    }

    /// The founding event must be there, if the logs could be read to their end.
    fn founded(&mut self) {
        if self.swarm.is_some() && self.founding.is_none() {
            let what = "no log begins with the event that the swarm's id commits to";
            self.fail(Rule::FoundingEvent, None, None, 13, &what);
        }
    }

    /// The manifest must name what there is, and there must be what it names.
    fn covered(&mut self) {
        let Some((manifest, at)) = self.manifest.take() else {
            return;
        };
        let mut wrong = Vec::new();
        let mut named = BTreeMap::new();
        for end in &manifest.logs {
            named.insert(end.author, end);
            match self.logs.get(&end.author) {
                Some(log) if log.broken => {}
                Some(log) if log.tip.length() == end.length && log.tip.root() == end.root => {}
                found => {
                    let length = found.map_or(0, |log| log.tip.length());
                    let what = format!(
                        "the manifest names {} records and the root {}; the bundle has {length}",
                        end.length,
                        end.root.short()
                    );
                    wrong.push((end.author, length.min(end.length), what));
                }
            }
        }
        for (author, log) in &self.logs {
            if !named.contains_key(author) && !log.broken {
                wrong.push((*author, 0, "the manifest does not name the log".to_owned()));
            }
        }
        for (author, index, what) in wrong {
            self.fail(Rule::ManifestFrontier, Some(author), Some(index), at, &what);
        }
        let sum: u128 = manifest.logs.iter().map(|log| u128::from(log.length)).sum();
        if sum != u128::from(manifest.events) {
            let what = format!("the manifest counts {} events in {sum}", manifest.events);
            self.fail(Rule::ManifestEvents, Some(manifest.exporter), None, at, &what);
        }
        self.manifest = Some((manifest, at));
    }

    fn report(&mut self) -> Report {
        let logs = self.logs.iter().map(|(author, log)| LogReport {
            author: *author,
            name: None,
            verified: !log.broken,
            events: log.tip.length(),
            appends: log.appends,
            root: (log.tip.length() > 0).then(|| log.tip.root()),
            first: log.clocks.map(|(first, _)| first),
            last: log.clocks.map(|(_, last)| last),
        });
        Report {
            swarm: self.swarm,
            exporter: self.manifest.as_ref().map(|(manifest, _)| manifest.exporter),
            bytes: self.bytes,
            logs: logs.collect(),
            checked: Checked { founding: self.founding, ..Checked::default() },
            failures: std::mem::take(&mut self.failures),
            findings: Counted::default(),
            unchecked: self.skipped.unchecked(),
            names: BTreeMap::new(),
        }
    }
}

/// Reads the events of a verified append, each with its place in the file, and checks what they
/// say of themselves.
fn events(
    append: &Append,
    at: u64,
    mut last: Option<Hlc>,
) -> Result<Vec<(Event, u64, u32)>, Broken> {
    let mut events = Vec::with_capacity(append.records().len());
    let mut heads = append.heads().iter().peekable();
    // A range begins with author, first index and two counts; a length precedes every record.
    let mut at = at + 48;
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
        let len = u32::try_from(record.len()).expect("records are below 64 KiB and a header");
        events.push((event, at + 4, len));
        at += 4 + u64::from(len);
        last = Some(clock);
    }
    Ok(events)
}

fn rule_of(error: &RangeError) -> (Rule, Option<u64>) {
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

impl Skipped {
    /// What no verifier of a bundle can check, and what this one passed over.
    fn unchecked(&self) -> Vec<Unchecked> {
        let mut all: Vec<Unchecked> = NEVER_CHECKED
            .iter()
            .map(|(kind, what)| Unchecked { kind, count: None, what: (*what).to_owned() })
            .collect();
        let mut counted = |kind, count, what: String| {
            if count > 0 {
                all.push(Unchecked { kind, count: Some(count), what });
            }
        };
        counted("ranges", self.ranges, "ranges behind the first failure of their log".to_owned());
        counted("formats", self.formats, "events of formats that this program skips".to_owned());
        let kinds: Vec<String> = self.kinds.keys().take(16).map(u16::to_string).collect();
        let what = format!("events of kinds that this program does not know: {}", kinds.join(", "));
        counted("kinds", self.kinds.values().sum(), what);
        let what = "events whose payload is not of their kind; the fold skips them";
        counted("malformed", self.malformed, what.to_owned());
        let what = "events whose payload is not in the bundle: erased, withheld or lost";
        counted("absent", self.absent, what.to_owned());
        all
    }
}

/// What a bundle cannot show, whatever is in it.
const NEVER_CHECKED: &[(&str, &str)] = &[
    ("truth", "whether outputs, answers and reports are true; a log shows who said what, when"),
    ("time", "whether clocks told the right time; only their order was checked"),
    ("claims", "the claim refs; without the repositories, a claim is its author's word"),
    ("complete", "whether there are later events, or logs that the exporter did not have"),
    ("forks", "whether an author signed another log elsewhere"),
];
