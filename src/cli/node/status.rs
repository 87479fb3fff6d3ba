//! `bzzz status` and `bzzz peers`: what the running node says of itself.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Deserialize;

use super::client::{Client, whole};
use super::context::{Context, out, print_json};
use super::error::Result;
use crate::cli::text::{clean, table};

#[derive(Deserialize)]
struct Status {
    node: String,
    name: String,
    swarm: String,
    swarm_name: Option<String>,
    version: String,
    listening: Vec<String>,
    peers: Vec<Peer>,
    logs: Vec<Log>,
    digest: String,
    held: u64,
    works: bool,
    members: u64,
    tasks: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Peer {
    node: String,
    name: Option<String>,
    address: String,
    round_trip_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Log {
    author: String,
    name: Option<String>,
    length: u64,
    behind: u64,
    root: Option<String>,
}

pub(super) fn run(context: &Context) -> Result<()> {
    let answer = Client::running(context)?.get(&["api", "v1", "status"], &[])?;
    if context.json {
        return print_json(&answer);
    }
    let status: Status = whole(answer)?;
    let mut out = out();
    let swarm = status.swarm_name.as_deref().unwrap_or("not known yet");
    let tasks: Vec<String> = status.tasks.iter().map(|(s, count)| format!("{count} {s}")).collect();
    let mut facts = vec![
        ("node", format!("{} ({})", clean(&status.name), status.node)),
        ("swarm", format!("{} ({})", clean(swarm), status.swarm)),
        ("version", status.version.clone()),
        ("listening", status.listening.join(", ")),
        ("takes tasks", if status.works { "yes" } else { "no" }.to_owned()),
        ("members", status.members.to_string()),
        ("tasks", tasks.join(", ")),
        ("peers", status.peers.len().to_string()),
        ("digest", status.digest.clone()),
    ];
    if status.held > 0 {
        facts.push(("held back", format!("{} events, until their time comes", status.held)));
    }
    for (name, value) in facts {
        let value = if value.is_empty() { "none".to_owned() } else { value };
        writeln!(out, "{name:<12} {value}")?;
    }
    writeln!(out)?;
    let head = ["LOG OF", "EVENTS", "BEHIND", "ROOT"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(status.logs.iter().map(|log| {
        vec![
            shown(log.name.as_deref(), &log.author),
            log.length.to_string(),
            log.behind.to_string(),
            log.root.as_deref().map_or("-", short).to_owned(),
        ]
    }));
    table(&mut out, &rows)?;
    Ok(out.flush()?)
}

pub(super) fn peers(context: &Context) -> Result<()> {
    let mut answer = Client::running(context)?.get(&["api", "v1", "status"], &[])?;
    if context.json {
        return print_json(&answer["peers"].take());
    }
    let status: Status = whole(answer)?;
    let mut out = out();
    if status.peers.is_empty() {
        writeln!(out, "No peer is connected.")?;
        return Ok(out.flush()?);
    }
    let head = ["PEER", "KEY", "ROUND TRIP", "ADDRESS"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(status.peers.iter().map(|peer| {
        vec![
            shown(peer.name.as_deref(), &peer.node),
            short(&peer.node).to_owned(),
            peer.round_trip_ms.map_or("-".to_owned(), |ms| format!("{ms} ms")),
            clean(&peer.address).into_owned(),
        ]
    }));
    table(&mut out, &rows)?;
    Ok(out.flush()?)
}

fn shown(name: Option<&str>, key: &str) -> String {
    clean(name.unwrap_or_else(|| short(key))).into_owned()
}

fn short(id: &str) -> &str {
    id.get(..10).unwrap_or(id)
}
