//! `bzzz checkpoint`: the node's own log for public witnesses and other tools (C2SP).

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::context::{Context, out, print_json, write_whole};
use super::error::{Error, Result};
use crate::engine::Engine;
use crate::kernel::log::SignedHead;
use crate::kernel::log::tlog::{
    Checkpoint, Prover, SignedCheckpoint, TileFile, Tiles, TreeHead, encode_base64, verifier_key,
    witness_request,
};

/// Print a signed checkpoint of the node's own log, for public witnesses and other tools
///
/// It is the newest head in the form of c2sp.org/tlog-checkpoint, over the SHA-256 tree of RFC 6962
/// with the events' headers as entries; of a log, only its author can sign one. The whole log is
/// read for it. It works beside a running node. `bzzz-verify checkpoint FILE --author KEY` checks
/// it, and `bzzz-verify BUNDLE --checkpoint FILE` compares a bundle with it.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct CheckpointArgs {
    /// Print what a witness is sent (add-checkpoint of c2sp.org/tlog-witness): this old length, the
    /// proof that the log of old is the beginning of the present one, the checkpoint
    #[arg(long, value_name = "LENGTH", conflicts_with_all = ["key", "tiles"])]
    since: Option<u64>,
    /// Print the log's key in the form that witnesses and monitors are configured with
    #[arg(long)]
    key: bool,
    /// Write the files of c2sp.org/tlog-tiles into this directory, from which monitors read the log
    /// once a web server offers it; files of an earlier run stay
    #[arg(long, value_name = "DIR", conflicts_with = "key")]
    tiles: Option<PathBuf>,
}

const AFTER: &str = "\
Examples:
  bzzz checkpoint > maple.checkpoint
  bzzz checkpoint --key
  bzzz checkpoint --since 0 | curl --data-binary @- https://witness.example.org/add-checkpoint
  bzzz checkpoint --tiles /srv/www/maple";

pub(super) fn run(context: &Context, args: &CheckpointArgs) -> Result<()> {
    if args.key {
        let key = verifier_key(&context.home.swarm()?, &context.home.author()?);
        return print(context, &key, || json!({ "verifier_key": key }));
    }
    let config = context.config(&[])?;
    let Some(engine) = context.signer(&config)? else {
        let what = "the node keeps its logs in memory, where nothing can be signed from";
        return Err(Error::new(what).hint("set `store.kind` to \"rocksdb\" in bzzz.toml"));
    };
    let (head, old) = (newest(&engine)?, args.since.unwrap_or(0));
    if old > head.length {
        let what = format!("the node's log has {} records, fewer than {old}", head.length);
        return Err(Error::usage(what).hint("--since takes the length that the witness knows"));
    }
    if let Some(dir) = &args.tiles {
        let (files, signed) = write_tiles(&engine, &head, dir)?;
        let length = signed.says().length;
        let text = format!(
            "Wrote {files} new files and the checkpoint of {length} records to {}.",
            dir.display()
        );
        return print(
            context,
            &text,
            || json!({ "directory": dir, "files": files, "length": length }),
        );
    }
    let prover = Prover::consistency(old, head.length);
    let prover = prover.read(engine.store(), &head.author, head.length)?;
    let signed = sign(&engine, &head, prover.head());
    let proof = prover.hashes();
    let text = match args.since {
        Some(old) => witness_request(old, &proof, &signed),
        None => signed.to_note().to_text(),
    };
    let says = signed.says();
    print(context, text.trim_end_matches('\n'), || {
        json!({
            "swarm": says.swarm,
            "author": says.author,
            "length": says.length,
            "root": encode_base64(&says.root.0),
            "bzzz_root": says.head_root,
            "verifier_key": verifier_key(&says.swarm, &says.author),
            "since": args.since,
            "consistency": proof.iter().map(|hash| encode_base64(&hash.0)).collect::<Vec<_>>(),
            "checkpoint": signed.to_note().to_text(),
        })
    })
}

fn print(context: &Context, text: &str, json: impl Fn() -> serde_json::Value) -> Result<()> {
    if context.json {
        return print_json(&json());
    }
    let mut out = out();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// The newest head of the node's own log, of which it may sign a checkpoint.
pub(super) fn newest(engine: &Engine) -> Result<SignedHead> {
    let me = engine.me();
    let Some(head) = engine.head(&me)? else {
        let what = "the node's own log has no record yet, and so no checkpoint";
        return Err(Error::new(what).hint("a node writes its first event when it is started"));
    };
    let forked = engine.read(|state| state.members.members.get(&me)?.forked_at());
    if let Some(index) = forked.filter(|index| *index < head.length) {
        let what = format!("the node's own log forked at index {index}; no checkpoint is signed");
        return Err(Error::new(what).hint("`bzzz doctor fork` says what to do"));
    }
    Ok(head)
}

/// The checkpoint of a head, with the tree over its records.
pub(super) fn sign(engine: &Engine, head: &SignedHead, tree: &TreeHead) -> SignedCheckpoint {
    let SignedHead { swarm, author, length, .. } = *head;
    assert_eq!(tree.length(), length, "the tree is over the head's records");
    let (root, head_root) = (tree.root(), head.root);
    Checkpoint { swarm, author, length, root, head_root }.sign(engine.key())
}

/// Writes what is not there yet, the checkpoint last; the number of new files.
fn write_tiles(engine: &Engine, head: &SignedHead, dir: &Path) -> Result<(u64, SignedCheckpoint)> {
    let (mut tiles, mut prover) = (Tiles::default(), Prover::default());
    let (mut files, mut failed) = (0, None);
    engine.store().scan(&head.author, 0, &mut |index, record| {
        prover.push(record.header());
        for file in tiles.push(record.header()) {
            match write_tile(dir, &file) {
                Ok(new) => files += u64::from(new),
                Err(error) => failed = Some(error),
            }
        }
        failed.is_none() && index + 1 < head.length
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    for file in tiles.partial() {
        files += u64::from(write_tile(dir, &file)?);
    }
    let signed = sign(engine, head, prover.head());
    let path = dir.join("checkpoint");
    write_whole(&path, signed.to_note().to_text().as_bytes(), false)
        .map_err(|error| cannot(&path, &error))?;
    Ok((files, signed))
}

/// Writes a file, if it is not there. One that is there has to be the same.
fn write_tile(dir: &Path, file: &TileFile) -> Result<bool> {
    let path = dir.join(&file.path);
    match fs::read(&path) {
        Ok(bytes) if bytes == file.bytes => return Ok(false),
        Ok(_) => {
            let what = format!("{} is of another log, or of another history", path.display());
            return Err(Error::new(what).hint("tiles never change: name another directory"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(&path, &error)),
    }
    let folder = path.parent().unwrap_or(dir);
    fs::create_dir_all(folder).map_err(|error| cannot(folder, &error))?;
    write_whole(&path, &file.bytes, false).map_err(|error| cannot(&path, &error))?;
    Ok(true)
}

fn cannot(path: &Path, error: &io::Error) -> Error {
    Error::new(format!("{} cannot be written: {error}", path.display()))
}
