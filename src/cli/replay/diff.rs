//! Where two bundles of one swarm part: two nodes, two replays, or two versions of the program.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{events, open, read_again};
use crate::cli::exit::{CliError, DONE, NO};
use crate::cli::text::{Names, chosen_names, clean, count, time};
use crate::cli::verify::Files;
use crate::kernel::audit::{
    Audit, Confirmed, Divergence, LogParts, Rule, Unconfirmed, Within, compare_logs, confirm,
    diverge, fold_at,
};
use crate::kernel::event::Event;
use crate::kernel::fold::{Aggregate, Erasures, FOLD_VERSION, SwarmState, Task};
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::Hash;

/// The most differences of two states that are printed.
const MAX_SHOWN: usize = 40;

/// The longest value that is printed, in characters.
const MAX_VALUE: usize = 120;

/// Say where two bundles of one swarm first part, and which decision differed
///
/// Logs are compared event by event; both are folded side by side, up to the first event after
/// which the states differ; and the checkpoints in each, which other nodes and versions wrote, are
/// compared with a fresh fold.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// A bundle, as `bzzz export` wrote it
    a: PathBuf,
    /// The other one
    b: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Compare what verifies of bundles that as a whole do not
    #[arg(long)]
    unverified: bool,
}

/// One of the two.
struct Side {
    audit: Audit<Files>,
    swarm: SwarmId,
    digest: Hash,
    confirmed: Confirmed,
    chosen: BTreeMap<AuthorId, String>,
    erasures: Erasures,
}

/// What events say, by what both sides know: of names, and of what was erased.
struct Words<'a> {
    names: Names,
    erasures: [&'a Erasures; 2],
}

impl Words<'_> {
    fn tell(&self, event: &Event) -> String {
        let erased = self.erasures.iter().find_map(|erasures| erasures.of(event));
        let told = match erased {
            Some(erasure) => events::erased(event, erasure, &self.names),
            None => events::tell(event, &self.names),
        };
        told.head
    }

    fn gist(&self, event: &Event) -> String {
        let head: String = self.tell(event).chars().take(MAX_VALUE).collect();
        format!("{}  [{}]", clean(&head), event.id.short())
    }

    /// An event in a line.
    fn line(&self, event: &Event) -> String {
        let (at, author) = (time(event.header.clock.ms()), self.names.name(&event.author));
        format!("{at}  {author}  {}, index {}", self.gist(event), event.header.seq)
    }

    fn json(&self, event: &Event) -> Value {
        json!({
            "id": event.id,
            "author": event.author,
            "author_name": self.names.name(&event.author),
            "index": event.header.seq,
            "time": time(event.header.clock.ms()),
            "clock": event.header.clock,
            "kind": event.header.kind,
            "says": self.tell(event),
        })
    }
}

/// What a node said of its state is compared here, and no reason to stop.
const SAID: &[Rule] = &[Rule::CheckpointDigest, Rule::StateDigest];

impl Side {
    fn open(path: &std::path::Path, unverified: bool) -> Result<Self, CliError> {
        let (mut audit, swarm) = open(path, unverified, SAID)?;
        let fold = fold_at(&audit.archive, swarm, None).map_err(read_again)?;
        let state = fold.state();
        let confirmed = match audit.confirmed.take() {
            Some(confirmed) => confirmed,
            None => confirm(&audit.archive, state).map_err(read_again)?,
        };
        let (digest, chosen) = (state.digest(), chosen_names(state));
        let erasures = state.erasures.clone();
        Ok(Self { audit, swarm, digest, confirmed, chosen, erasures })
    }

    /// What the bundle's exporter says of its state, if a fresh fold does not say the same.
    fn said(&self) -> Option<String> {
        let failures = &self.audit.report.failures.listed;
        let wrong = failures.iter().find(|failure| failure.rule == Rule::StateDigest);
        let other = self.audit.report.unchecked.iter().find(|not| not.kind == "digest");
        wrong.map(|wrong| wrong.what.clone()).or_else(|| other.map(|other| other.what.clone()))
    }

    /// Whether what nodes said of their states is what a fresh fold says.
    fn confirms(&self) -> bool {
        self.confirmed.wrong.is_none()
            && !self.audit.report.failures.listed.iter().any(|f| f.rule == Rule::StateDigest)
    }
}

pub(super) fn run(args: &DiffArgs) -> Result<u8, CliError> {
    let (a, b) = (Side::open(&args.a, args.unverified)?, Side::open(&args.b, args.unverified)?);
    if a.swarm != b.swarm {
        let message = format!(
            "A is of swarm {}, and B of swarm {}: they have no event in common",
            a.swarm.short(),
            b.swarm.short()
        );
        return Err(CliError::no(message).hint("compare bundles of one swarm"));
    }
    let logs = compare_logs(&a.audit.archive, &b.audit.archive).map_err(read_again)?;
    let found = match logs.iter().any(|log| log.index.is_some()) {
        true => diverge(&a.audit.archive, &b.audit.archive, a.swarm).map_err(read_again)?,
        false => None,
    };
    let mut chosen = b.chosen.clone();
    chosen.extend(a.chosen.clone());
    let words = Words { names: Names::from(chosen), erasures: [&a.erasures, &b.erasures] };
    let shown = Shown { a: &a, b: &b, words, logs: &logs, found: found.as_ref() };
    let out = &mut io::BufWriter::new(io::stdout().lock());
    if args.json {
        shown.json(out)?;
    } else {
        shown.text(out)?;
    }
    out.flush()?;
    let one = found.is_none() && a.digest == b.digest && a.confirms() && b.confirms();
    Ok(if one { DONE } else { NO })
}

struct Shown<'a> {
    a: &'a Side,
    b: &'a Side,
    words: Words<'a>,
    logs: &'a [LogParts],
    found: Option<&'a Divergence>,
}

impl Shown<'_> {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for (name, side) in [("A", self.a), ("B", self.b)] {
            let total: u64 = side.audit.report.logs.iter().map(|log| log.events).sum();
            let (events, digest) = (count(total, "event"), side.digest.short());
            writeln!(out, "{name}  {events}, state {digest}, fold version {FOLD_VERSION}")?;
        }
        writeln!(out)?;
        for log in self.logs {
            self.log(out, log)?;
        }
        for (name, side) in [("A", self.a), ("B", self.b)] {
            self.checkpoints(out, name, side)?;
        }
        writeln!(out)?;
        match self.found {
            Some(found) => self.divergence(out, found),
            None if self.a.digest == self.b.digest => {
                writeln!(out, "both lead to one state: no decision differs")
            }
            None => writeln!(out, "the states differ, and no event alone tells why"),
        }
    }

    fn log(&self, out: &mut dyn Write, log: &LogParts) -> io::Result<()> {
        let name = self.words.names.name(&log.author);
        let Some(index) = log.index else {
            return writeln!(out, "log of {name}: the same {}", count(log.lengths.0, "event"));
        };
        match &log.events {
            (Some(a), Some(b)) if a.id == b.id => {
                writeln!(out, "log of {name}: index {index}: one of them has no payload there")
            }
            (Some(a), Some(b)) => {
                let (a, b) = (self.words.gist(a), self.words.gist(b));
                writeln!(out, "log of {name}: two histories from index {index} on")?;
                writeln!(out, "    A: {a}")?;
                writeln!(out, "    B: {b}")
            }
            (a, _) => {
                let (shorter, more) = match a {
                    None => ("A", log.lengths.1 - index),
                    Some(_) => ("B", log.lengths.0 - index),
                };
                let (same, more) = (count(index, "event"), count(more, "event"));
                writeln!(out, "log of {name}: the same {same}; {shorter} lacks {more} behind them")
            }
        }
    }

    fn divergence(&self, out: &mut dyn Write, found: &Divergence) -> io::Result<()> {
        let within = match found.within {
            Within::A => "in A alone",
            Within::B => "in B alone",
            Within::Both => "in both",
        };
        let names = &self.words.names;
        writeln!(out, "the states part after this event, which is {within}:")?;
        writeln!(out, "    {}", self.words.line(&found.event))?;
        writeln!(out, "and differ in {}:", clean(&subject(found)))?;
        let differences = differences(found);
        for Difference { path, a, b } in differences.iter().take(MAX_SHOWN) {
            writeln!(out, "    {}: A {}, B {}", clean(path), value(a), value(b))?;
        }
        if differences.len() > MAX_SHOWN {
            writeln!(out, "    and in {} places more", differences.len() - MAX_SHOWN)?;
        }
        let (Some(by), _) = found.deciders else { return Ok(()) };
        let other = found.deciders.1.filter(|other| *other != by);
        let who = match other {
            Some(other) => format!("{} in A, {} in B", names.name(&by), names.name(&other)),
            None => names.name(&by),
        };
        let decided = |event: Option<&Event>| match event {
            Some(event) => self.words.line(event),
            None => "nothing more".to_owned(),
        };
        if found.decisions == (None, None) {
            return writeln!(out, "the decisions of {who} from there on are the same");
        }
        writeln!(out, "what {who} decided next:")?;
        writeln!(out, "    A: {}", decided(found.decisions.0.as_ref()))?;
        writeln!(out, "    B: {}", decided(found.decisions.1.as_ref()))
    }

    fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        let log = |log: &LogParts| {
            json!({
                "author": log.author,
                "author_name": self.words.names.name(&log.author),
                "length_a": log.lengths.0,
                "length_b": log.lengths.1,
                "parts_at": log.index,
                "a": log.events.0.as_ref().map(|event| self.words.json(event)),
                "b": log.events.1.as_ref().map(|event| self.words.json(event)),
            })
        };
        let logs: Vec<Value> = self.logs.iter().map(log).collect();
        let found = self.found.map(|found| {
            json!({
                "event": self.words.json(&found.event),
                "within": found.within,
                "differs": subject(found),
                "differences": differences(found).iter().take(MAX_SHOWN).map(|one| {
                    json!({ "at": one.path, "a": one.a, "b": one.b })
                }).collect::<Vec<_>>(),
                "decider_a": found.deciders.0,
                "decider_b": found.deciders.1,
                "decision_a": found.decisions.0.as_ref().map(|e| self.words.json(e)),
                "decision_b": found.decisions.1.as_ref().map(|e| self.words.json(e)),
            })
        });
        let all = json!({
            "swarm": self.a.swarm,
            "fold_version": FOLD_VERSION,
            "same": self.found.is_none() && self.a.digest == self.b.digest,
            "a": self.side(self.a),
            "b": self.side(self.b),
            "logs": logs,
            "divergence": found,
        });
        serde_json::to_writer_pretty(&mut *out, &all)?;
        writeln!(out)
    }

    fn side(&self, side: &Side) -> Value {
        let one = |found: &Unconfirmed| {
            json!({
                "event": self.words.json(&found.event),
                "fold_version": found.fold_version,
                "said": found.said,
                "fresh": found.fresh,
            })
        };
        json!({
            "digest": side.digest,
            "verified": side.audit.report.verifies(),
            "manifest": side.said(),
            "checkpoints_confirmed": side.confirmed.confirmed,
            "first_wrong_checkpoint": side.confirmed.wrong.as_ref().map(one),
            "first_checkpoint_of_another_version": side.confirmed.other_version.as_ref().map(one),
        })
    }

    fn checkpoints(&self, out: &mut dyn Write, name: &str, side: &Side) -> io::Result<()> {
        let Confirmed { confirmed, wrong, other_version } = &side.confirmed;
        let confirmed = count(*confirmed, "checkpoint");
        writeln!(out, "{name}: a fresh fold confirms {confirmed}")?;
        if let Some(said) = side.said() {
            writeln!(out, "{name}: the manifest: {}", clean(&said))?;
        }
        if let Some(Unconfirmed { event, said, fresh, .. }) = wrong {
            let fresh = fresh.map_or(String::new(), |fresh| fresh.short());
            let who = self.words.line(event);
            writeln!(
                out,
                "{name}: the first that it does not: it has {}, a fresh fold {fresh}",
                said.short()
            )?;
            writeln!(out, "    {who}")?;
        }
        if let Some(Unconfirmed { event, fold_version, .. }) = other_version {
            let who = self.words.line(event);
            writeln!(
                out,
                "{name}: the first of another fold version ({fold_version}), which this program \
             cannot compare:"
            )?;
            writeln!(out, "    {who}")?;
        }
        Ok(())
    }
}

/// What the states differ in.
fn subject(found: &Divergence) -> String {
    match found.aggregate {
        Aggregate::Members => "the members".to_owned(),
        Aggregate::Agent(author) => format!("the agent {}", author.short()),
        Aggregate::Repositories => "the repositories".to_owned(),
        Aggregate::Erasures => "what was erased".to_owned(),
        Aggregate::Session(id) => format!("the session {}", id.short()),
        Aggregate::Task(id) => {
            let name = |state: &SwarmState| {
                let task = state.tasks.get(&id).filter(|task| !task.repository.is_empty());
                task.map(Task::name)
            };
            let name = name(&found.a).or_else(|| name(&found.b));
            name.map_or_else(|| format!("the task {}", id.short()), |name| format!("task {name}"))
        }
    }
}

/// One value of a state that is another in the other.
struct Difference {
    path: String,
    a: Value,
    b: Value,
}

fn differences(found: &Divergence) -> Vec<Difference> {
    let part = |state: &SwarmState| match found.aggregate {
        Aggregate::Members => json!(state.members),
        Aggregate::Erasures => json!(state.erasures),
        Aggregate::Repositories => {
            json!({ "known": state.repositories, "refusals": state.repository_refusals })
        }
        Aggregate::Agent(author) => json!({
            "agent": state.agents.get(&author),
            "refusals": state.agent_refusals.get(&author),
        }),
        Aggregate::Task(task) => json!(state.tasks.get(&task)),
        Aggregate::Session(session) => json!(state.sessions.get(&session)),
    };
    let mut out = Vec::new();
    compare(String::new(), part(&found.a), part(&found.b), &mut out);
    out
}

/// States are as deep as their types are, so that this ends soon.
fn compare(path: String, a: Value, b: Value, out: &mut Vec<Difference>) {
    let inside = |key: &str| match path.is_empty() {
        true => key.to_owned(),
        false => format!("{path}.{key}"),
    };
    match (a, b) {
        (a, b) if a == b => {}
        (Value::Object(mut a), Value::Object(mut b)) => {
            let keys: BTreeSet<String> = a.keys().chain(b.keys()).cloned().collect();
            for key in keys {
                let (a, b) = (a.remove(&key), b.remove(&key));
                compare(inside(&key), a.unwrap_or_default(), b.unwrap_or_default(), out);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() <= 4096 && b.len() <= 4096 => {
            let count = a.len().max(b.len());
            let (mut a, mut b) = (a.into_iter(), b.into_iter());
            for index in 0..count {
                let (a, b) = (a.next().unwrap_or_default(), b.next().unwrap_or_default());
                compare(inside(&index.to_string()), a, b, out);
            }
        }
        (a, b) => out.push(Difference { path, a, b }),
    }
}

/// A value in a few words.
fn value(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut short: String = text.chars().take(MAX_VALUE).collect();
    if text.chars().nth(MAX_VALUE).is_some() {
        short.push_str("...");
    }
    clean(&short).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_compared_value_by_value() {
        let a = json!({ "x": [1, { "y": "a" }], "only": true, "same": [1, 2] });
        let b = json!({ "x": [1, { "y": "b" }, 3], "same": [1, 2] });
        let mut out = Vec::new();
        compare(String::new(), a, b, &mut out);
        let lines: Vec<String> = out
            .iter()
            .map(|one| format!("{}: A {}, B {}", one.path, value(&one.a), value(&one.b)))
            .collect();
        assert_eq!(lines, ["only: A true, B nothing", "x.1.y: A a, B b", "x.2: A nothing, B 3"]);
    }
}
