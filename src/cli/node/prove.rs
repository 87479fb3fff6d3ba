//! `bzzz prove`: one event, or the beginning of a log, as a file that proves itself.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::context::{Context, out, print_json, write_whole};
use super::error::{Error, Result};
use super::{checkpoint, log};
use crate::engine::Engine;
use crate::kernel::audit::{HeadsProof, Proof, ProofFile};
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::tlog::{Prover, TlogProof};
use crate::kernel::log::{ReadLimit, SignedHead, Tip, TreeReader, prove_consistency};
use crate::web::{find_event, members};

/// Write a proof that anybody can verify offline, with a key and nothing else
///
/// Of one event: that it is in its author's log. Of two heads: that the shorter log is the
/// beginning of the longer one. `bzzz-verify proof FILE --author KEY` checks it. It works beside
/// a running node.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct ProveArgs {
    /// The event: its id, at least four digits that only its id begins with, or AUTHOR:INDEX
    #[arg(required_unless_present = "heads", conflicts_with = "heads")]
    event: Option<String>,
    /// Prove that an author's log of FROM records is the beginning of its log of TO records, or of
    /// what is here of it
    #[arg(long, num_args = 2..=3, value_names = ["AUTHOR", "FROM", "TO"])]
    heads: Option<Vec<String>>,
    /// Write the event's proof as a c2sp.org/tlog-proof file with a checkpoint, for other tools;
    /// only of an event of the node's own log, since its author has to sign the checkpoint
    #[arg(long, conflicts_with = "heads")]
    checkpoint: bool,
    /// The file; named after the event or the author otherwise
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

const AFTER: &str = "\
Examples:
  bzzz prove 81394770ea
  bzzz prove maple:17 -o claim.bzzz-event
  bzzz prove 81394770ea --checkpoint
  bzzz prove --heads maple 100 200";

pub(super) fn run(context: &Context, args: &ProveArgs) -> Result<()> {
    let config = context.config(&[])?;
    // Only a checkpoint is signed anew.
    let engine = if args.checkpoint { context.signer(&config) } else { context.reader(&config) };
    let Some(engine) = engine? else {
        let what = "the node keeps its logs in memory, where nothing can be proven from";
        return Err(Error::new(what).hint("set `store.kind` to \"rocksdb\" in bzzz.toml"));
    };
    if let Some(event) = args.event.as_ref().filter(|_| args.checkpoint) {
        return prove_by_checkpoint(context, &engine, event, args.out.as_deref());
    }
    let (file, name) = match (&args.event, &args.heads) {
        (_, Some(heads)) => prove_heads(&engine, heads)?,
        (Some(event), None) => prove_event(&engine, event)?,
        (None, None) => return Err(Error::usage("name an event or heads")),
    };
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(name));
    let bytes = file.to_bytes();
    write_whole(&path, &bytes, false)
        .map_err(|error| Error::new(format!("{} cannot be written: {error}", path.display())))?;
    say(context, &file, &path, bytes.len())
}

fn say(context: &Context, file: &ProofFile, path: &Path, bytes: usize) -> Result<()> {
    written(context, path, bytes, "proof", (file.swarm, file.author()))
}

fn written(
    context: &Context,
    path: &Path,
    bytes: usize,
    command: &str,
    (swarm, author): (SwarmId, AuthorId),
) -> Result<()> {
    if context.json {
        return print_json(
            &json!({ "file": path, "bytes": bytes, "swarm": swarm, "author": author }),
        );
    }
    let (mut out, path) = (out(), path.display());
    writeln!(out, "Wrote {path}, {bytes} bytes.")?;
    writeln!(out, "Check it: bzzz-verify {command} {path} --author {author}")?;
    Ok(out.flush()?)
}

/// Writes a file of c2sp.org/tlog-proof.
fn prove_by_checkpoint(
    context: &Context,
    engine: &Engine,
    event: &str,
    out: Option<&Path>,
) -> Result<()> {
    let (author, index) = find_event(engine, event)?;
    if author != engine.me() {
        let what = format!("record {index} is of log {author}, whose checkpoints only it can sign");
        return Err(Error::new(what).hint(
            "run this on its node, or without --checkpoint: by a head, the event is proven here",
        ));
    }
    let head = checkpoint::newest(engine)?;
    let limit = ReadLimit { records: 1, bytes: usize::MAX };
    let record = engine.store().records(&author, index, limit)?.pop();
    let Some(record) = record.filter(|_| index < head.length) else {
        let what = format!("log {author} has no record {index}; it has {} here", head.length);
        return Err(Error::new(what));
    };
    let name = format!("{}.tlog-proof", record.as_ref().leaf(&author).short());
    let prover = Prover::inclusion(index, head.length);
    let prover = prover.read(engine.store(), &author, head.length)?;
    let checkpoint = checkpoint::sign(engine, &head, prover.head());
    let text = TlogProof { record, index, hashes: prover.hashes(), checkpoint }.to_text();
    let path = out.map_or_else(|| PathBuf::from(name), Path::to_owned);
    write_whole(&path, text.as_bytes(), false)
        .map_err(|error| Error::new(format!("{} cannot be written: {error}", path.display())))?;
    written(context, &path, text.len(), "tlog-proof", (engine.swarm(), author))
}

fn prove_event(engine: &Engine, text: &str) -> Result<(ProofFile, String)> {
    let (author, index) = find_event(engine, text)?;
    let Some(signed) = engine.signed_event(&author, index)? else {
        let length = engine.lengths().get(&author).copied().unwrap_or(0);
        let what = format!("log {author} has no record {index}; it has {length} here");
        return Err(Error::new(what));
    };
    let name = format!("{}.bzzz-event", signed.record.as_ref().leaf(&author).short());
    Ok((ProofFile { swarm: engine.swarm(), proof: Proof::Event(Box::new(signed)) }, name))
}

fn prove_heads(engine: &Engine, words: &[String]) -> Result<(ProofFile, String)> {
    let [name, from, rest @ ..] = words else {
        return Err(Error::usage("--heads takes an author, a length and perhaps another"));
    };
    let author = log::author(name, &members::list(engine))?;
    let length = |text: &String| {
        text.parse::<u64>()
            .ok()
            .filter(|length| *length > 0)
            .ok_or_else(|| Error::usage(format!("{text:?} is no length of a log")))
    };
    let from = head(engine, author, length(from)?)?;
    let to = match rest.first() {
        Some(to) => head(engine, author, length(to)?)?,
        None => engine.head(&author)?.unwrap_or_else(|| from.clone()),
    };
    if from.length > to.length {
        return Err(Error::usage(format!("{} is longer than {}", from.length, to.length)));
    }
    let tip = Tip::open(engine.store(), author)?;
    let tree = TreeReader::new(engine.store(), &tip);
    let consistency = prove_consistency(&tree, from.length, to.length)?;
    let name = format!("{}-{}-{}.bzzz-heads", author.short(), from.length, to.length);
    let proof = Proof::Heads(Box::new(HeadsProof { from, to, consistency }));
    Ok((ProofFile { swarm: engine.swarm(), proof }, name))
}

/// The head of exactly this length.
fn head(engine: &Engine, author: AuthorId, length: u64) -> Result<SignedHead> {
    let next = engine.store().heads(&author, length - 1, 1)?.pop();
    match next {
        Some(head) if head.length == length => Ok(head),
        Some(head) => Err(Error::new(format!("log {author} has no head of {length} records"))
            .hint(format!("the next longer one is of {}", head.length))),
        None => Err(Error::new(format!("log {author} has fewer than {length} records here"))),
    }
}
