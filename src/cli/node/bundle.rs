//! `bzzz export` and `bzzz import`: logs that travel as files.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::context::{Context, aside, out, print_json};
use super::error::{Error, Result};
use crate::engine::{Engine, IngestError};
use crate::kernel::audit::{BundleReader, Manifest, Part, export};
use crate::kernel::identity::SecretKey;
use crate::kernel::log::Range;
use crate::node::clock;

/// Write all logs to a file that anybody can verify offline
///
/// The file is a bundle: every log with its signed heads, and a manifest that this node signs. It
/// works beside a running node. `bzzz-verify FILE` checks it, `bzzz-replay FILE` tells its stories.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bzzz export swarm.bundle && bzzz-verify swarm.bundle")]
pub(super) struct ExportArgs {
    /// The file; one that is there is replaced, once the new one is whole
    file: PathBuf,
}

/// Take in the logs of a bundle, with the same checks as over the network
///
/// The node must not run meanwhile: a running one gets logs from its peers.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bzzz import /media/stick/swarm.bundle")]
pub(super) struct ImportArgs {
    /// The file, as `bzzz export` wrote it
    file: PathBuf,
}

pub(super) fn run_export(context: &Context, args: &ExportArgs) -> Result<()> {
    let config = context.config(&[])?;
    let Some(engine) = context.reader(&config)? else {
        let what = "the node keeps its logs in memory, where they cannot be exported from";
        return Err(
            Error::new(what).hint("set `store.kind` to \"rocksdb\" or \"hypercore\" in bzzz.toml")
        );
    };
    let key = context.unlock(&config)?.key;
    let part = aside(&args.file);
    let written = write(&engine, &key, &part).and_then(|written| {
        std::fs::rename(&part, &args.file)
            .map_err(|error| failed(&args.file, "written", &error))?;
        Ok(written)
    });
    if written.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&part);
    }
    let (manifest, bytes) = written?;
    if context.json {
        let logs = manifest.logs.iter();
        let logs = logs.map(|l| json!({ "author": l.author, "length": l.length, "root": l.root }));
        return print_json(&json!({
            "file": args.file,
            "bytes": bytes,
            "swarm": manifest.swarm,
            "exporter": manifest.exporter,
            "events": manifest.events,
            "fold_version": manifest.fold_version,
            "digest": manifest.digest,
            "logs": logs.collect::<Vec<_>>(),
        }));
    }
    let mut out = out();
    let (events, logs, file) = (manifest.events, manifest.logs.len(), args.file.display());
    writeln!(out, "Wrote {events} events of {logs} logs to {file}, {bytes} bytes.")?;
    writeln!(out, "State digest {}.", manifest.digest)?;
    Ok(out.flush()?)
}

fn write(engine: &Engine, key: &SecretKey, path: &Path) -> Result<(Manifest, u64)> {
    let file = File::create(path).map_err(|error| failed(path, "written", &error))?;
    let mut file = BufWriter::new(file);
    let (digest, frontier) = engine.digest();
    let manifest = export(engine.store(), engine.swarm(), key, &frontier, digest, &mut file)?;
    let file = file.into_inner().map_err(|error| failed(path, "written", error.error()))?;
    file.sync_all().map_err(|error| failed(path, "written", &error))?;
    let bytes = file.metadata().map_err(|error| failed(path, "written", &error))?.len();
    Ok((manifest, bytes))
}

fn failed(path: &Path, what: &str, error: &std::io::Error) -> Error {
    Error::new(format!("{} cannot be {what}: {error}", path.display()))
}

/// What came of a bundle's ranges.
#[derive(Default)]
struct Taken {
    events: u64,
    /// Ranges that this node held already.
    known: u64,
    /// Events of authors that are no members.
    refused: u64,
}

pub(super) fn run_import(context: &Context, args: &ImportArgs) -> Result<()> {
    let config = context.config(&[])?;
    let (engine, _lock) = context.writer(&config)?;
    let mut all = Taken::default();
    // An author's admission may stand behind its log in the file: what was refused is tried again
    // as long as anything new came in.
    loop {
        let taken = pass(&engine, &args.file)?;
        all.events += taken.events;
        all.known = all.known.max(taken.known);
        all.refused = taken.refused;
        if taken.events == 0 || taken.refused == 0 {
            break;
        }
    }
    engine.snapshot()?;
    if context.json {
        return print_json(&json!({ "events": all.events, "refused": all.refused }));
    }
    let mut out = out();
    writeln!(out, "Took in {} new events.", all.events)?;
    if all.refused > 0 {
        writeln!(out, "Left out {} events of authors that are no members.", all.refused)?;
    }
    Ok(out.flush()?)
}

/// Reads the bundle once and takes in what can be.
fn pass(engine: &Engine, path: &Path) -> Result<Taken> {
    let file = File::open(path).map_err(|error| failed(path, "read", &error))?;
    let mut reader = BundleReader::open(BufReader::new(file))?;
    if reader.swarm() != engine.swarm() {
        let what = format!("the bundle is of swarm {}, and this node of another", reader.swarm());
        return Err(Error::new(what).hint(format!("this node's swarm is {}", engine.swarm())));
    }
    let mut taken = Taken::default();
    while let Some(range) = next_range(&mut reader)? {
        let (from, author) = (range.from, range.author);
        match take(engine, range)? {
            Came::New(events) => taken.events += events,
            Came::Known => taken.known += 1,
            Came::Refused(events) => taken.refused += events,
            Came::Gap(length) => {
                let what = format!(
                    "the bundle's log {author} goes on at {from}, and this node has it up to \
                     {length}"
                );
                return Err(Error::new(what));
            }
        }
    }
    Ok(taken)
}

fn next_range<R: Read>(reader: &mut BundleReader<R>) -> Result<Option<Range>> {
    match reader.next_part()? {
        Some(Part::Range { at, bytes }) => {
            let range = Range::from_bytes(bytes)
                .map_err(|error| Error::new(format!("the bundle, from byte {at} on: {error}")))?;
            Ok(Some(range))
        }
        // Who exported it doesn't matter here: every head is verified by itself.
        Some(Part::Manifest { .. }) | None => Ok(None),
    }
}

enum Came {
    New(u64),
    Known,
    Refused(u64),
    Gap(u64),
}

fn take(engine: &Engine, mut range: Range) -> Result<Came> {
    let author = range.author;
    let length = engine.lengths().get(&author).copied().unwrap_or(0);
    compare(engine, &range, length)?;
    if range.end() <= length {
        return Ok(Came::Known);
    }
    if range.from < length {
        // Both hold whole appends, so that the log's end is the end of one in the range.
        let held = usize::try_from(length - range.from).unwrap_or(range.records.len());
        range.records.drain(..held);
        range.heads.retain(|head| head.length > length);
        range.from = length;
    }
    let count = range.records.len() as u64;
    match engine.ingest(range, clock::wall_ms()) {
        Ok(_) => Ok(Came::New(count)),
        Err(IngestError::NotAMember(_) | IngestError::OtherBranch(_) | IngestError::OwnLog) => {
            Ok(Came::Refused(count))
        }
        Err(IngestError::Gap { expected, .. }) => Ok(Came::Gap(expected)),
        Err(IngestError::Engine(error)) => Err(error.into()),
        Err(error @ IngestError::Conflict { .. }) => {
            Err(Error::new(format!("the bundle has another log {author} than this node: {error}"))
                .hint("one of both was forked or tampered with; `bzzz-verify` checks the bundle"))
        }
        Err(
            error @ (IngestError::Invalid(_) | IngestError::Events(_) | IngestError::Withheld(_)),
        ) => Err(Error::new(format!("the bundle's log {author} does not verify: {error}"))
            .hint("what was taken in before it stands; `bzzz-verify` says more")),
    }
}

/// Two logs of one author that differ must not pass for one.
fn compare(engine: &Engine, range: &Range, length: u64) -> Result<()> {
    let Some(theirs) = range.heads.iter().rev().find(|head| head.length <= length) else {
        return Ok(());
    };
    let ours = engine.store().heads(&range.author, theirs.length - 1, 1)?.pop();
    let same = ours.is_some_and(|ours| ours.length == theirs.length && ours.root == theirs.root);
    if same {
        return Ok(());
    }
    let (author, at) = (range.author, theirs.length);
    Err(Error::new(format!("the bundle has another log {author} than this node, at {at} events"))
        .hint("one of both was forked or tampered with; `bzzz-verify` checks the bundle"))
}
