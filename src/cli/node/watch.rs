//! `bzzz watch`: what happens in the swarm, as it reaches this node.

use std::collections::{BTreeSet, VecDeque};
use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::client::{Client, whole};
use super::context::{Context, out};
use super::error::{Error, Result};
use crate::cli::text::{clean, time};
use crate::web::{EventView, MAX_WAIT_S, Watched};

/// How long to wait before the node is looked for again.
const PAUSE: Duration = Duration::from_secs(1);

/// How many events are remembered as shown: more than a node keeps.
const SHOWN: usize = 2048;

/// The widest task name of a line, in characters.
const TASK: usize = 24;

/// Follow everything that happens, one line each: time, author, task, what
///
/// Events of all nodes are shown as they reach the node that runs in this home. If the node goes
/// away, that is said, and it is waited for. End it with Ctrl-C. With --json, one object a line, as
/// `bzzz log --json` has them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bzzz watch\n  bzzz watch 'sample#3' -n 100\n  \
                        bzzz watch --json | jq -r 'select(.kind == \"escalated\") | .gist'")]
pub(super) struct WatchArgs {
    /// About this task alone, and sessions that it is a side of: REPOSITORY#ISSUE, or an id
    task: Option<String>,
    /// How many of the last events to begin with
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 10)]
    number: usize,
}

/// What was shown already.
#[derive(Default)]
struct Shown {
    ids: BTreeSet<String>,
    order: VecDeque<String>,
    /// The run of the node and the number of the last event that it told.
    at: Option<(u64, u64)>,
}

pub(super) fn run(context: &Context, args: &WatchArgs) -> Result<()> {
    let mut client = Some(Client::running(context)?);
    let mut shown = Shown::default();
    loop {
        let Some(node) = &client else {
            std::thread::sleep(PAUSE);
            client = Client::find(&context.home)?;
            if client.is_some() {
                eprintln!("The node is back.");
            }
            continue;
        };
        match next(node, args, shown.at) {
            Ok(watched) => print(context, args, &mut shown, watched)?,
            Err(error) if Client::find(&context.home)?.is_some() => return Err(error),
            Err(_) => {
                eprintln!("The node went away; waiting for it. Ctrl-C ends this.");
                client = None;
            }
        }
    }
}

fn next(client: &Client, args: &WatchArgs, at: Option<(u64, u64)>) -> Result<Watched> {
    let mut query = Vec::new();
    query.extend(args.task.clone().map(|task| ("task", task)));
    match at {
        // The first look takes what there is.
        None => {}
        Some((run, last)) => query.extend([
            ("run", run.to_string()),
            ("after", last.to_string()),
            ("wait", MAX_WAIT_S.to_string()),
        ]),
    }
    whole(client.get(&["api", "v1", "watch"], &query)?)
}

fn print(context: &Context, args: &WatchArgs, shown: &mut Shown, watched: Watched) -> Result<()> {
    let Watched { run, last, missed, mut events } = watched;
    let first = shown.at.is_none();
    shown.at = Some((run, last));
    events.retain(|event| shown.is_new(event));
    if first {
        events.drain(..events.len().saturating_sub(args.number));
    }
    if missed > 0 {
        eprintln!("{missed} events came too fast to be shown; `bzzz log` has them.");
    }
    let mut out = out();
    for event in &events {
        match context.json {
            true => {
                serde_json::to_writer(&mut out, event).map_err(std::io::Error::from)?;
                writeln!(out)?;
            }
            false => writeln!(out, "{}", line(event))?,
        }
    }
    out.flush().map_err(Error::from)
}

impl Shown {
    /// Whether an event was not shown or passed over yet; it is remembered.
    fn is_new(&mut self, event: &EventView) -> bool {
        let new = self.ids.insert(event.id.clone());
        if new {
            self.order.push_back(event.id.clone());
        }
        if self.order.len() > SHOWN
            && let Some(old) = self.order.pop_front()
        {
            self.ids.remove(&old);
        }
        new
    }
}

fn line(event: &EventView) -> String {
    let task = event.task_name.as_deref().or(event.task.as_deref().and_then(|id| id.get(..10)));
    let cut = |text: &str, most: usize| clean(text).chars().take(most).collect::<String>();
    let (task, who) = (cut(task.unwrap_or("-"), TASK), cut(&event.author_name, TASK));
    let what = match event.gist.trim() {
        "" => event.kind.replace('_', " "),
        gist => clean(gist).into_owned(),
    };
    format!("{}  {who:<12}  {task:<12}  {what}", time(event.time_ms))
}
