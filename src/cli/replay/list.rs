//! The list of tasks.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::cli::text::{Names, clean, count, table, time};
use crate::kernel::fold::{SwarmState, Task};

/// The state that is shown.
pub(super) struct Shown<'a> {
    pub(super) state: &'a SwarmState,
    /// Up to when, in milliseconds since 1970.
    pub(super) at: Option<u64>,
    pub(super) verified: bool,
}

/// The tasks by name, each in a line.
pub(super) fn text(out: &mut dyn Write, shown: &Shown<'_>) -> io::Result<()> {
    let state = shown.state;
    let names = Names::of(state);
    let name = state.members.founded.as_ref().map_or("", |(_, name)| name);
    let at = shown.at.map_or(String::new(), |ms| format!(", at {}", time(ms)));
    let members = count(state.members.members.len() as u64, "member");
    let tasks = count(state.tasks.len() as u64, "task");
    writeln!(out, "swarm {} ({}): {members}, {tasks}{at}", clean(name), state.swarm.short())?;
    if state.tasks.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let head = ["TASK", "STATUS", "OWNER", "EPOCHS", "EVENTS", "TITLE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(in_order(state).into_iter().map(|task| {
        vec![
            label(task),
            task.status().name().to_owned(),
            winner(task, &names).unwrap_or_else(|| "-".to_owned()),
            task.epochs.len().to_string(),
            task.events.to_string(),
            clean(&task.title).into_owned(),
        ]
    }));
    table(out, &rows)
}

/// The tasks as one JSON object.
pub(super) fn json(out: &mut dyn Write, shown: &Shown<'_>) -> io::Result<()> {
    let state = shown.state;
    let names = Names::of(state);
    let tasks: Vec<Value> = in_order(state).into_iter().map(|task| summary(task, &names)).collect();
    let all = json!({
        "swarm": state.swarm,
        "name": state.members.founded.as_ref().map(|(_, name)| name),
        "verified": shown.verified,
        "at_ms": shown.at,
        "digest": state.digest(),
        "members": state.members.members,
        "agents": state.agents,
        "repositories": state.repositories,
        "tasks": tasks,
    });
    serde_json::to_writer_pretty(&mut *out, &all)?;
    writeln!(out)
}

/// What the list says of a task.
pub(super) fn summary(task: &Task, names: &Names) -> Value {
    let epoch = task.current();
    let published = task.published();
    json!({
        "id": task.id,
        "task": label(task),
        "title": task.title,
        "status": task.status(),
        "owner": epoch.and_then(|epoch| epoch.winner.as_ref()).map(|win| win.author),
        "owner_name": winner(task, names),
        "owned": task.owner().is_some(),
        "epoch": epoch.map(|epoch| epoch.number),
        "epochs": task.epochs.len(),
        "events": task.events,
        "refused": task.refusals.count,
        "contested": task.epochs.values().any(|epoch| !epoch.contested.is_empty()),
        "branch": published.map(|publish| &publish.branch),
        "commit": published.map(|publish| &publish.commit),
    })
}

/// For people: the repository and the issue's number, or the id before the issue was seen.
pub(super) fn label(task: &Task) -> String {
    match task.repository.is_empty() {
        true => task.id.short(),
        false => clean(&task.name()).into_owned(),
    }
}

/// Who won the last epoch.
pub(super) fn winner(task: &Task, names: &Names) -> Option<String> {
    Some(names.name(&task.current()?.winner.as_ref()?.author))
}

fn in_order(state: &SwarmState) -> Vec<&Task> {
    let mut tasks: Vec<&Task> = state.tasks.values().collect();
    tasks.sort_by_key(|task| (&task.repository, task.issue, task.id));
    tasks
}
