//! `bzzz explain`: why a task stands where it stands.

use std::io::Write;

use clap::Args;

use super::client::{Client, whole};
use super::context::{Context, out, print_json};
use super::error::{Error, Result};
use crate::cli::explain::write;
use crate::cli::text::clean;
use crate::kernel::audit::find_task;
use crate::node::{agent_settings, clock};
use crate::web::explain::{Explained, explained};

/// Explain a task: who has it and why that node got it, what it waits for, why this node does not
/// take it
///
/// All but the last follows from the folded log, so that every node says the same.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bzzz explain 'sample#3'\n  \
                        bzzz explain 'sample#3' --json | jq -r '.waits[].said'")]
pub(super) struct ExplainArgs {
    /// The task: REPOSITORY#ISSUE, its id, or at least four digits that only its id begins with
    task: String,
}

pub(super) fn run(context: &Context, args: &ExplainArgs) -> Result<()> {
    let config = context.config(&[])?;
    let told: Explained = match context.reader(&config)? {
        Some(engine) => {
            let (me, now) = (engine.me(), clock::wall_ms());
            engine.read(|state| {
                let task = find_task(state, &args.task)?;
                let told = explained(state, task, me, agent_settings(&config), now);
                told.ok_or_else(|| Error::new(format!("no task is called {:?}", args.task)))
            })?
        }
        None => {
            let path = ["api", "v1", "tasks", &args.task, "explanation"];
            whole(Client::running(context)?.get(&path, &[])?)?
        }
    };
    if context.json {
        return print_json(&told);
    }
    let mut out = out();
    write(&mut out, &told.explanation)?;
    let here = clean(&told.node.name);
    if told.owns {
        writeln!(out, "\nThis node, {here}, owns it.")?;
        return Ok(out.flush()?);
    }
    writeln!(out, "\nWhy this node, {here}, does not take it")?;
    for obstacle in &told.obstacles {
        writeln!(out, "  {}: {}.", obstacle.what, clean(&obstacle.said))?;
    }
    if told.obstacles.is_empty() {
        writeln!(
            out,
            "  Nothing in the log keeps it from that: it takes it at one of its next looks, unless \
             another node\n  is quicker. `bzzz doctor` says whether the repository can be reached."
        )?;
    }
    Ok(out.flush()?)
}
