//! `bzzz log`: the events, one line each.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{Client, part};
use super::context::{Context, out};
use super::error::{Error, Result};
use crate::cli::text::{clean, table, time};
use crate::kernel::audit::find_task;
use crate::kernel::identity::{AuthorId, IdPrefix};
use crate::web::members::{self, MemberView};
use crate::web::{EventView, Filter, MAX_LISTED, events};

/// The most events that are printed at once.
const MAX_EVENTS: usize = 100_000;

/// How long to wait between two looks for new events.
const PAUSE: Duration = Duration::from_millis(300);

/// Print the last events, one line each: time, author, task, kind, gist
///
/// With --json, one object a line, with all that the event says.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct LogArgs {
    /// Of this author alone: its name, its key, or at least four digits that only its key begins
    /// with
    #[arg(long, value_name = "AUTHOR")]
    author: Option<String>,
    /// About this task alone: REPOSITORY#ISSUE or an id
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// How many
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 30)]
    number: usize,
    /// Go on with new events as the running node gets them
    #[arg(long, short)]
    follow: bool,
}

const AFTER: &str = "\
Examples:
  bzzz log -n 100
  bzzz log --task 'sample#3' --author maple
  bzzz log --follow --json | jq -c 'select(.kind == \"claim_won\")'";

pub(super) fn run(context: &Context, args: &LogArgs) -> Result<()> {
    if args.number > MAX_EVENTS {
        return Err(Error::usage(format!("at most {MAX_EVENTS} events are printed at once"))
            .hint("`bzzz export` writes all of them"));
    }
    let config = context.config(&[])?;
    if args.follow {
        return follow(context, args, &Client::running(context)?);
    }
    let found = match context.reader(&config)? {
        Some(engine) => {
            let task = args.task.as_deref().map(|task| engine.read(|s| find_task(s, task)));
            let author = args.author.as_deref().map(|text| author(text, &members::list(&engine)));
            let (task, author) = (task.transpose()?, author.transpose()?);
            events(&engine, &Filter { author, task, limit: args.number })?
        }
        None => {
            let client = Client::running(context)?;
            let author = named(&client, args)?;
            let limit = args.number.min(MAX_LISTED);
            let answer = client.get(&["api", "v1", "events"], &query(args, author, limit))?;
            part(answer, "events")?
        }
    };
    print(context, &found)
}

/// What a request asks for, beside the place to go on from.
fn query(args: &LogArgs, author: Option<AuthorId>, limit: usize) -> Vec<(&'static str, String)> {
    let mut query = vec![("limit", limit.to_string())];
    query.extend(author.map(|author| ("author", author.to_string())));
    query.extend(args.task.clone().map(|task| ("task", task)));
    query
}

fn named(client: &Client, args: &LogArgs) -> Result<Option<AuthorId>> {
    let Some(text) = &args.author else {
        return Ok(None);
    };
    let members: Vec<MemberView> = part(client.get(&["api", "v1", "members"], &[])?, "members")?;
    author(text, &members).map(Some)
}

fn follow(context: &Context, args: &LogArgs, client: &Client) -> Result<()> {
    let author = named(client, args)?;
    let path = ["api", "v1", "events"];
    let first = client.get(&path, &query(args, author, args.number.clamp(1, MAX_LISTED)))?;
    let mut run = first["run"].clone();
    let mut last = first["last"].as_u64().unwrap_or(0);
    let shown: Vec<EventView> = part(first, "events")?;
    // What came between the two looks is in both.
    let mut seen: BTreeSet<String> = shown.iter().map(|event| event.id.clone()).collect();
    if args.number > 0 {
        print(context, &shown)?;
    }
    loop {
        let mut query = query(args, author, MAX_LISTED);
        query.push(("after", last.to_string()));
        let next: Value = client.get(&path, &query)?;
        if next["run"] != run {
            // The node was started anew and counts from the beginning.
            (run, last) = (next["run"].clone(), 0);
            continue;
        }
        last = next["last"].as_u64().unwrap_or(last);
        let mut new: Vec<EventView> = part(next, "events")?;
        new.retain(|event| !seen.remove(&event.id));
        print(context, &new)?;
        std::thread::sleep(PAUSE);
    }
}

fn print(context: &Context, events: &[EventView]) -> Result<()> {
    let mut out = out();
    if context.json {
        for event in events {
            serde_json::to_writer(&mut out, event).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
        return Ok(out.flush()?);
    }
    let rows: Vec<Vec<String>> = events.iter().map(row).collect();
    table(&mut out, &rows)?;
    Ok(out.flush()?)
}

fn row(event: &EventView) -> Vec<String> {
    let task = event.task_name.as_deref().or(event.task.as_deref().and_then(|id| id.get(..10)));
    vec![
        time(event.time_ms),
        clean(&event.author_name).into_owned(),
        clean(task.unwrap_or("-")).into_owned(),
        event.kind.clone(),
        clean(&event.gist).into_owned(),
    ]
}

/// The member that a text names.
pub(super) fn author(text: &str, members: &[MemberView]) -> Result<AuthorId> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let prefix = IdPrefix::parse(text);
    let named = members.iter().filter(|member| member.name == text);
    let begun = members.iter().filter(|member| {
        let key: Option<AuthorId> = member.key.parse().ok();
        key.zip(prefix.as_ref()).is_some_and(|(key, prefix)| prefix.begins(key.as_bytes()))
    });
    let found: BTreeSet<&str> = named.chain(begun).map(|member| member.key.as_str()).collect();
    let mut found = found.into_iter();
    let hint = "`bzzz member list` shows names and keys";
    match (found.next().map(str::parse), found.next()) {
        (Some(Ok(key)), None) => Ok(key),
        (Some(_), Some(_)) => Err(Error::new(format!("{text:?} names several members")).hint(hint)),
        _ => Err(Error::new(format!("no member is called {text:?}")).hint(hint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(key: u8, name: &str) -> MemberView {
        MemberView {
            key: hex::encode([key; 32]),
            name: name.to_owned(),
            role: "agent".to_owned(),
            administrator: false,
            since_ms: 0,
            revoked_at: None,
            successor: None,
            follows: None,
            forked_at: None,
            length: 0,
        }
    }

    #[test]
    fn an_author_is_found_by_name_key_or_its_beginning() {
        let members = [member(0xaa, "oak"), member(0xab, "elm"), member(0xac, "elm")];
        let oak = AuthorId([0xaa; 32]);
        for text in ["oak", "aaaa", "AAAAAA", &"aa".repeat(32)] {
            assert_eq!(author(text, &members).unwrap(), oak, "{text}");
        }
        for text in ["elm", "aaa", "bbbb", "ash", ""] {
            assert!(author(text, &members).is_err(), "{text}");
        }
    }
}
