//! `bzzz erase`: takes the payload of an event out of all stores.

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::client::{Client, part};
use super::context::{Context, out, print_json};
use super::error::Result;
use crate::kernel::event::EventId;
use crate::kernel::identity::AuthorId;
use crate::node::clock;
use crate::web::find_event;

/// Erase what an event says, on every node; its author's node or an administrator's can
///
/// The event's header and its place in the log stay, so that the log still verifies; who erased it
/// and why is recorded for ever. The bytes are out of this node's store when this returns, and out
/// of the others' as they hear of it. Copies outside of the stores (bundles exported before,
/// backups, git repositories, model servers, files of sandboxes) are not touched.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct EraseArgs {
    /// The event: its id, at least four digits that only its id begins with, or AUTHOR:INDEX
    event: String,
    /// Why, for people; one line that every node keeps
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

const AFTER: &str = "\
Examples:
  bzzz log --task 'sample#3' --json | jq -r 'select(.kind == \"command_output\") | .id'
  bzzz erase 3b6a27bc --reason 'a password was printed'
  bzzz erase maple:117 --reason 'a legal duty'";

pub(super) fn run(context: &Context, args: &EraseArgs) -> Result<()> {
    let (event, author, seq): (EventId, AuthorId, u64);
    if let Some(client) = Client::find(&context.home)? {
        let body = json!({ "event": args.event, "reason": args.reason });
        let answer = client.post(&["api", "v1", "erase"], &body)?;
        event = parsed(part(answer.clone(), "erased")?)?;
        author = parsed(part(answer.clone(), "author")?)?;
        seq = part(answer, "seq")?;
    } else {
        let config = context.config(&[])?;
        let (engine, _lock) = context.writer(&config)?;
        let (of, at) = find_event(&engine, &args.event)?;
        let erased = engine.erase(of, at, &args.reason, clock::wall_ms())?;
        (event, author, seq) = (erased.event, erased.author, erased.seq);
    }
    if context.json {
        return print_json(&json!({ "erased": event, "author": author, "seq": seq }));
    }
    let mut out = out();
    writeln!(out, "Erased event {} ({}:{seq}).", event.short(), author.short())?;
    Ok(out.flush()?)
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: String) -> Result<T> {
    text.parse()
        .map_err(|error: T::Err| super::error::Error::new(format!("the node says: {error}")))
}
