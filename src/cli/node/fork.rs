//! `bzzz doctor fork`: whether a log forked, and its proof as a file.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::client::Client;
use super::context::{Context, out, print_json, write_whole};
use super::error::{Error, Result, sentence};
use super::member;
use crate::cli::text::{clean, table, time};
use crate::web::members::{self, BranchView, MemberError};

/// Say whether a log forked: this node's own, or another member's
///
/// A log forks when two programs append to it with one key, as when an old copy of a store is
/// started beside the node that it was taken from. A running node compares its logs with those of
/// its peers all the time. The status is 1 if the log forked.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bzzz doctor fork\n  bzzz doctor fork 3b6a27bc... --out a.fork"
)]
pub(super) struct ForkArgs {
    /// The key of the log's author; this node's own if nothing is said
    key: Option<String>,
    /// Write the proof to a file that `bzzz-verify fork` checks alone
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &ForkArgs) -> Result<()> {
    let config = context.config(&[])?;
    let own = context.home.author()?;
    let key = args.key.as_deref().map_or(Ok(own), member::key)?;
    // What the running node found out, before anybody could say so in a log.
    let mut stopped = None;
    if key == own
        && let Some(client) = Client::find(&context.home)?
    {
        let status = client.get(&["api", "v1", "status"], &[])?;
        stopped = status.get("own_log").and_then(|why| why.as_str()).map(str::to_owned);
    }
    let Some(engine) = context.reader(&config)? else {
        let what = "the logs are kept in the node's memory, where this cannot look";
        return Err(Error::new(what).hint("`bzzz member list` shows the logs that forked"));
    };
    let branches = match members::branches(&engine, key) {
        Ok(branches) => branches,
        Err(MemberError::NotForked(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    if let Some(path) = &args.out {
        let index = branches.first().map(|branch| branch.index);
        let proofs = engine.fork_proofs(&key)?;
        let proof = proofs.into_iter().find(|proof| Some(proof.index()) == index);
        let proof = proof.ok_or(MemberError::NotForked(key))?;
        let written = write_whole(path, &proof.to_file(), false);
        written.map_err(|e| Error::new(format!("{} cannot be written: {e}", path.display())))?;
    }
    show(context, &key.to_string(), &branches, stopped.as_deref())?;
    if branches.is_empty() && stopped.is_none() { Ok(()) } else { Err(Error::Said) }
}

fn show(
    context: &Context,
    key: &str,
    branches: &[BranchView],
    stopped: Option<&str>,
) -> Result<()> {
    if context.json {
        let forked = !branches.is_empty();
        let said =
            json!({ "key": key, "forked": forked, "branches": branches, "stopped": stopped });
        return print_json(&said);
    }
    let mut out = out();
    if let Some(why) = stopped {
        writeln!(out, "{}", clean(&sentence(why)))?;
    }
    let Some(first) = branches.first() else {
        if stopped.is_none() {
            writeln!(out, "No fork of the log of {key} is known.")?;
        }
        return Ok(out.flush()?);
    };
    writeln!(out, "The log of {key} forks at index {}. Its branches:", first.index)?;
    let head = ["ROOT", "EVENT", "EVENTS", "LAST", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(branches.iter().map(|branch| {
        let held = if branch.held { "held by this node" } else { "" };
        let root = clean(&branch.root).into_owned();
        let event = clean(branch.event.get(..10).unwrap_or_default()).into_owned();
        vec![root, event, branch.length.to_string(), time(branch.time_ms), held.to_owned()]
    }));
    table(&mut out, &rows)?;
    writeln!(out, "An administrator says which one stands: bzzz member resolve {key} --root ROOT")?;
    Ok(out.flush()?)
}
