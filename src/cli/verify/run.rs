//! Verifies on all cores: ranges are examined as they are read, and events are read again ahead of
//! the fold.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;

use super::cores::{Ordered, start};
use crate::kernel::audit::{
    Archive, Audit, AuditError, BlockAt, Blocks, BundleError, BundleReader, Confirmed, Examined,
    Expect, InOrder, Input, Part, Records, Report, Rest, Sequential, Verified, Verifier, examine,
};
use crate::kernel::event::Event;
use crate::kernel::fold::FoldError;
use crate::kernel::identity::SwarmId;

/// How many bytes of frames one thread examines at a time, if they are not larger each.
const PIECE_BYTES: usize = 256 * 1024;

/// How many blocks of events one thread reads at a time.
const PIECE_BLOCKS: usize = 4;

/// How far a verification has come, on a terminal.
pub struct Progress {
    shown: Option<(&'static str, u64)>,
    on: bool,
}

impl Progress {
    /// Shows it on standard error, if that is a terminal.
    #[must_use]
    pub fn new() -> Self {
        Self { shown: None, on: std::io::stderr().is_terminal() }
    }

    /// Shows nothing.
    #[must_use]
    pub fn quiet() -> Self {
        Self { shown: None, on: false }
    }

    fn show(&mut self, what: &'static str, done: u64, of: u64) {
        let percent = done.saturating_mul(100) / of.max(1);
        if self.on && self.shown != Some((what, percent)) {
            self.shown = Some((what, percent));
            eprint!("\r{what}: {percent} %\x1b[K");
            let _ = std::io::stderr().flush();
        }
    }

    fn end(&self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// Frames of a bundle, or ranges of a store, that one thread examines.
#[derive(Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    /// Where each stood, and where it ends in the bytes.
    ends: Vec<(u64, usize)>,
    up_to: u64,
}

impl Frames {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= PIECE_BYTES
    }

    pub(crate) fn push(&mut self, at: u64, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push((at, self.bytes.len()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn each(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut from = 0;
        self.ends.iter().map(move |(at, end)| {
            let bytes = &self.bytes[from..*end];
            from = *end;
            (*at, bytes)
        })
    }
}

/// The end of a bundle.
#[derive(Default)]
struct End {
    /// The manifest, where it stands, and where it ends.
    manifest: Option<(u64, Vec<u8>, u64)>,
    /// How reading ended, once it did.
    ended: Option<Result<(), BundleError>>,
}

/// Verifies a bundle of so many bytes.
///
/// # Errors
/// [`AuditError`] if it could not be read.
pub fn verify<I: Input>(
    input: I,
    bytes: u64,
    expect: Expect,
    mut progress: Progress,
) -> Result<Audit<I>, AuditError> {
    let mut verifier = Verifier::new(expect);
    match BundleReader::open(Sequential::new(&input)) {
        Err(error) => verifier.broken(error)?,
        Ok(mut reader) => {
            let swarm = reader.swarm();
            verifier.header(swarm);
            let end = Mutex::new(End::default());
            let make = |mut frames: Frames| {
                frames.clear();
                let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
                // It is asked once more after the frames before the end.
                while end.ended.is_none() && !frames.is_full() {
                    read(&mut reader, &mut frames, &mut end);
                }
                (!frames.is_empty()).then_some(frames)
            };
            take(&mut verifier, swarm, make, |up_to, _| {
                progress.show("verifying", up_to, bytes);
            });
            let end = end.into_inner().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, manifest, up_to)) = end.manifest {
                verifier.manifest(at, &manifest);
                verifier.read_up_to(up_to);
            }
            if let Some(Err(error)) = end.ended {
                verifier.broken(error)?;
            }
        }
    }
    let verified = verifier.finish(input, true);
    compare(verified, progress)
}

/// Reads the next part. Behind the manifest it makes sure that nothing follows.
fn read<I: Input>(reader: &mut BundleReader<Sequential<I>>, frames: &mut Frames, end: &mut End) {
    let manifest = match reader.next_part() {
        Ok(Some(Part::Range { at, bytes })) => {
            frames.push(at, bytes);
            frames.up_to = reader.position();
            return;
        }
        Ok(Some(Part::Manifest { at, bytes })) => (at, bytes.to_vec()),
        Ok(None) => return end.ended = Some(Ok(())),
        Err(error) => return end.ended = Some(Err(error)),
    };
    end.manifest = Some((manifest.0, manifest.1, reader.position()));
}

/// Examines frames on all cores and takes them in, in their order.
pub(crate) fn take(
    verifier: &mut Verifier,
    swarm: SwarmId,
    make: impl FnMut(Frames) -> Option<Frames> + Send,
    mut show: impl FnMut(u64, u64),
) {
    let queue = Mutex::new(None);
    thread::scope(|scope| {
        let work = move |frames: Frames| {
            let examined: Vec<Examined> =
                frames.each().map(|(at, bytes)| examine(&swarm, at, bytes)).collect();
            (frames, examined)
        };
        let mut ordered = start(scope, make, work, &queue);
        while let Some((frames, examined)) = ordered.next() {
            for ((at, bytes), examined) in frames.each().zip(examined) {
                verifier.range(at, bytes, examined);
            }
            verifier.read_up_to(frames.up_to);
            show(frames.up_to, verifier.events());
            ordered.give_back(frames);
        }
    });
}

/// Compares what is left, with the events read ahead.
pub(crate) fn compare<R: Records>(
    verified: Verified<R>,
    mut progress: Progress,
) -> Result<Audit<R>, AuditError> {
    let Verified { archive, mut report, rest } = verified;
    let of = report.events();
    let show = |done| progress.show("folding", done, of);
    let compared = rest.map(|rest| fold(rest, &archive, &mut report, show));
    progress.end();
    Ok(Audit { report, confirmed: compared.transpose()?, archive })
}

fn fold<R: Records>(
    rest: Rest,
    archive: &Archive<R>,
    report: &mut Report,
    show: impl FnMut(u64),
) -> Result<Confirmed, FoldError> {
    let queue = Mutex::new(None);
    let mut blocks = archive.blocks();
    thread::scope(|scope| {
        let make = |mut piece: Vec<BlockAt>| fill(&mut blocks, &mut piece).then_some(piece);
        let work = |piece: Vec<BlockAt>| {
            let read = piece.iter().map(|block| (*block, archive.read(block))).collect();
            (piece, read)
        };
        let ordered = start(scope, make, work, &queue);
        let ahead = Ahead { ordered, ready: Vec::new().into_iter(), taken: 0, show };
        rest.compare(archive, &mut InOrder::new(ahead), report)
    })
}

fn fill(blocks: &mut Blocks<'_>, piece: &mut Vec<BlockAt>) -> bool {
    piece.clear();
    piece.extend(blocks.take(PIECE_BLOCKS));
    !piece.is_empty()
}

/// A block that was read.
type Read = (BlockAt, Result<Vec<Event>, FoldError>);

/// Blocks in their order, read ahead on other threads.
struct Ahead<S> {
    /// What a piece leads to; the piece is used again.
    ordered: Ordered<Vec<BlockAt>, (Vec<BlockAt>, Vec<Read>)>,
    ready: std::vec::IntoIter<Read>,
    taken: u64,
    show: S,
}

impl<S: FnMut(u64)> Iterator for Ahead<S> {
    type Item = Read;

    fn next(&mut self) -> Option<Read> {
        loop {
            if let Some(read) = self.ready.next() {
                self.taken += read.1.as_ref().map_or(0, |events| events.len() as u64);
                return Some(read);
            }
            (self.show)(self.taken);
            let (piece, read) = self.ordered.next()?;
            self.ordered.give_back(piece);
            self.ready = read.into_iter();
        }
    }
}
