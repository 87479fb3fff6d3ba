//! Verifies logs from their bytes up: parts, ranges, heads, events, manifest. What is compared once
//! every log verifies by itself is in [`super::compare`].
//!
//! Ranges are examined alone, on any thread ([`super::examine()`]), and then taken in one after the
//! other. One with which anything is wrong is gone through again, to name what was wrong first.

use std::collections::BTreeMap;

use super::archive::{Archive, Index};
use super::bundle::{BundleError, BundleReader, Part};
use super::causes::Causes;
use super::checkpoints::Confirmed;
use super::compare::{Rest, Said};
use super::examine::{Examined, Good, Noted, examine};
use super::input::{Input, Records, Sequential};
use super::manifest::Manifest;
use super::naming::{Broken, events, rule_of};
use super::pin::Pins;
use super::policy::Policy;
use super::report::{Counted, Failure, Report, Unchecked};
use super::rule::Rule;
use super::skipped::Skipped;
use super::tlog::Checkpoints;
use crate::kernel::event::{EventId, Hlc};
use crate::kernel::fold::FoldError;
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::tlog::TreeHead;
use crate::kernel::log::{Hash, Range, RangeError, Tip};

/// What a verification leaves behind: its report, and the events that verified.
pub struct Audit<R> {
    /// What was found.
    pub report: Report,
    /// The events of each log up to the first that does not verify.
    pub archive: Archive<R>,
    /// What became of the checkpoints; none where not all of it verifies.
    pub confirmed: Option<Confirmed>,
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

/// What the auditor brings along.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// Heads that were obtained elsewhere.
    pub pins: Pins,
    /// Whose word about other logs counts.
    pub policy: Option<Policy>,
    /// Checkpoints that were obtained elsewhere.
    pub checkpoints: Checkpoints,
    /// How many bytes the causes may take that are looked up at a time; [`CAUSE_MIB`] if nothing
    /// is said. With more of them, the logs are read again, twice for each part.
    pub cause_memory: Option<usize>,
}

/// The memory for causes in MiB, unless something else is said.
pub const CAUSE_MIB: u32 = 256;

/// Verifies a bundle on one thread. A rule that is broken is no error: it is in the report.
///
/// # Errors
/// [`AuditError`] if the bundle could not be read.
pub fn verify<I: Input>(input: I) -> Result<Audit<I>, AuditError> {
    verify_expecting(input, Expect::default())
}

/// Verifies a bundle on one thread, with what the auditor expects of it.
///
/// # Errors
/// As [`verify`].
pub fn verify_expecting<I: Input>(input: I, expect: Expect) -> Result<Audit<I>, AuditError> {
    let mut verifier = Verifier::new(expect);
    let mut read = || -> Result<(), BundleError> {
        let mut reader = BundleReader::open(Sequential::new(&input))?;
        let swarm = reader.swarm();
        verifier.header(swarm);
        loop {
            match reader.next_part()? {
                Some(Part::Range { at, bytes }) => {
                    verifier.range(at, bytes, examine(&swarm, at, bytes));
                }
                Some(Part::Manifest { at, bytes }) => verifier.manifest(at, bytes),
                None => return Ok(()),
            }
            verifier.read_up_to(reader.position());
        }
    };
    if let Err(error) = read() {
        verifier.broken(error)?;
    }
    let Verified { archive, mut report, rest } = verifier.finish(input, true);
    let compared = rest.map(|rest| rest.compare(&archive, &mut archive.events(), &mut report));
    Ok(Audit { report, confirmed: compared.transpose()?, archive })
}

/// One log while it is verified.
pub(super) struct Log {
    pub(super) tip: Tip,
    /// The tree of checkpoints, up to the last that the auditor has of this log.
    pub(super) tree: TreeHead,
    pub(super) appends: u64,
    pub(super) clocks: Option<(Hlc, Hlc)>,
    pub(super) broken: bool,
}

/// A verification while parts come in.
pub struct Verifier {
    pub(super) expect: Expect,
    pub(super) swarm: Option<SwarmId>,
    pub(super) bytes: u64,
    index: Index,
    pub(super) logs: BTreeMap<AuthorId, Log>,
    current: Option<AuthorId>,
    pub(super) manifest: Option<(Manifest, u64)>,
    pub(super) founding: Option<EventId>,
    noted: Noted,
    causes: Causes,
    pub(super) failures: Counted<Failure>,
    pub(super) skipped: Skipped,
}

/// Logs that were gone through, each by itself, and what is to be compared between them.
pub struct Verified<R> {
    /// The events of each log up to the first that does not verify.
    pub archive: Archive<R>,
    /// What was found until now.
    pub report: Report,
    /// What is left to do; nothing if not all verifies.
    pub rest: Option<Rest>,
}

impl Verifier {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(expect: Expect) -> Self {
        let causes = Causes::new(expect.cause_memory.unwrap_or((CAUSE_MIB as usize) << 20));
        Self {
            expect,
            swarm: None,
            bytes: 0,
            index: Index::default(),
            logs: BTreeMap::new(),
            current: None,
            manifest: None,
            founding: None,
            noted: Noted::default(),
            causes,
            failures: Counted::default(),
            skipped: Skipped::default(),
        }
    }

    /// The header was read.
    pub fn header(&mut self, swarm: SwarmId) {
        self.swarm = Some(swarm);
        self.bytes = super::HEADER_BYTES as u64;
    }

    /// So many bytes were read and taken in.
    pub fn read_up_to(&mut self, bytes: u64) {
        self.bytes = bytes;
    }

    /// The number of events that verified until now.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.logs.values().map(|log| log.tip.length()).sum()
    }

    /// The bytes are no whole bundle.
    ///
    /// # Errors
    /// [`AuditError::Read`] if it could not be read.
    pub fn broken(&mut self, error: BundleError) -> Result<(), AuditError> {
        match error.rule() {
            None => Err(AuditError::Read(error)),
            Some(rule) => {
                self.fail(rule, None, None, error.at(), &error);
                Ok(())
            }
        }
    }

    pub(super) fn fail(
        &mut self,
        rule: Rule,
        author: Option<AuthorId>,
        index: Option<u64>,
        offset: u64,
        what: &dyn ToString,
    ) {
        let (what, offset) = (what.to_string(), Some(offset));
        self.failures.push(Failure { rule, author, index, offset, what });
    }

    /// Takes in the next range, which was examined.
    pub fn range(&mut self, at: u64, bytes: &[u8], examined: Examined) {
        let Some(swarm) = self.swarm else {
            return;
        };
        if self.too_many(at, bytes) {
            return;
        }
        if let Some(good) = examined.0 {
            let follows = self.current.is_none_or(|current| current <= good.author);
            let log = self.log(good.author);
            if follows && !log.broken && self.grow(at, bytes, &good) {
                self.current = Some(good.author);
                self.take(*good);
                return;
            }
        }
        self.name(&swarm, at, bytes);
    }

    /// Moves a log on over a good range; `false` if it does not go on there, or leads to another
    /// root than a head's. What is pinned is compared.
    fn grow(&mut self, at: u64, bytes: &[u8], good: &Good) -> bool {
        let author = good.author;
        let pins = self.expect.pins.of(&author);
        let mut watch = self.expect.checkpoints.watch(&author, bytes);
        let log = self.log(author);
        let first = good.events.first().map(|event| event.clock);
        let rises = log.clocks.is_none_or(|(_, last)| first.is_some_and(|first| first > last));
        if log.tip.length() != good.from || !rises {
            return false;
        }
        let mut tip = log.tip.clone();
        let mut heads = good.heads.iter().peekable();
        let mut tree = log.tree.clone();
        let mut wrong = Vec::new();
        for event in &good.events {
            tip.push(Hash(event.id.0));
            watch.next(&mut tree, &tip);
            let length = tip.length();
            if let Some((_, root)) = heads.next_if(|(covered, _)| *covered == length)
                && *root != tip.root()
            {
                return false;
            }
            let here = pins.range((length, Hash([0; 32]))..=(length, Hash([255; 32])));
            wrong.extend(here.filter(|(_, root)| *root != tip.root()).copied());
        }
        (log.tip, log.tree) = (tip, tree);
        for (length, root) in wrong {
            let what = format!(
                "elsewhere it had the root {} at {length} records: it was rewritten or forked",
                root.short()
            );
            self.fail(Rule::Pin, Some(author), Some(length - 1), at, &what);
        }
        for (length, what) in watch.wrong {
            self.fail(Rule::CheckpointRoot, Some(author), Some(length - 1), at, &what);
        }
        true
    }

    /// Names what is wrong with a range.
    fn name(&mut self, swarm: &SwarmId, at: u64, bytes: &[u8]) {
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
        log.broken = true;
        let last = log.clocks.map(|(_, last)| last);
        let append = match log.tip.verify(swarm, range) {
            Ok(append) => append,
            Err(error) => return self.range_failed(at, bytes, &error),
        };
        let Broken(rule, index, what) = events(&append, last).err().unwrap_or_else(|| {
            Broken(Rule::RangeBytes, from, "the range changed while it was looked at".to_owned())
        });
        self.fail(rule, Some(author), Some(index), at, &what);
    }

    fn log(&mut self, author: AuthorId) -> &mut Log {
        self.logs.entry(author).or_insert_with(|| Log {
            tip: Tip::empty(author),
            tree: TreeHead::default(),
            appends: 0,
            clocks: None,
            broken: false,
        })
    }

    /// Remembers the events of a range.
    fn take(&mut self, good: Good) {
        let Good { author, heads, events, causes, noted, .. } = good;
        let log = self.log(author);
        log.appends += heads.len() as u64;
        if let (Some(first), Some(last)) = (events.first(), events.last()) {
            log.clocks = Some((log.clocks.map_or(first.clock, |(first, _)| first), last.clock));
        }
        self.index.push(author, &events);
        causes.iter().for_each(|(of, nth, cause)| self.causes.note(of, *nth, cause));
        self.founding = self.founding.or(noted.founding);
        self.noted.checkpoints.extend(noted.checkpoints);
        self.noted.evidence.extend(noted.evidence);
        self.noted.absent.extend(noted.absent);
        self.skipped.formats += noted.formats;
        self.skipped.malformed += noted.malformed;
        for kind in noted.kinds {
            *self.skipped.kinds.entry(kind).or_default() += 1;
        }
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

    /// Takes in the manifest.
    pub fn manifest(&mut self, at: u64, bytes: &[u8]) {
        let (manifest, signature) = match Manifest::read(bytes) {
            Ok(read) => read,
            Err(error) => return self.fail(Rule::ManifestBytes, None, None, at, &error),
        };
        let exporter = Some(manifest.exporter);
        if let Err(error) = manifest.verify(&signature) {
            return self.fail(Rule::ManifestSignature, exporter, None, at, &error);
        }
        if Some(manifest.swarm) != self.swarm {
            let what = format!("the manifest is of swarm {}", manifest.swarm);
            return self.fail(Rule::ManifestSwarm, exporter, None, at, &what);
        }
        self.manifest = Some((manifest, at));
    }

    /// Ends reading. A bundle has a manifest, and a store has none.
    pub fn finish<R: Records>(mut self, records: R, is_bundle: bool) -> Verified<R> {
        self.founded();
        self.covered();
        self.pinned();
        self.checkpointed();
        let mut report = self.report();
        let archive = std::mem::take(&mut self.index).finish(records);
        let whole = report.verifies() && (self.manifest.is_some() || !is_bundle);
        let rest = self.swarm.filter(|_| whole).map(|swarm| Rest {
            said: self.manifest.map(|(manifest, at)| Said { manifest, at }),
            swarm,
            noted: self.noted,
            causes: self.causes,
            policy: self.expect.policy,
            checkpoints: self.expect.checkpoints,
        });
        if rest.is_none() {
            report.unchecked.push(Unchecked {
                kind: "state",
                count: None,
                what: "members, causes, claims, witnesses, erasures, state and checkpoints, since \
                       not all of it verifies"
                    .to_owned(),
            });
        }
        Verified { archive, report, rest }
    }
}
