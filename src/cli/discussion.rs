//! The discussion of a task for people: a tree, with what came of each part and by which rule.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::text::{Names, clean, count, time};
use crate::kernel::audit::{Entry, Outcome, Transcript};
use crate::kernel::identity::AuthorId;

/// The deepest indentation, in steps. What stands deeper is indented as far.
const MAX_INDENT: u32 = 12;

/// Writes a discussion. Names and texts in it are untrusted: nothing of them reaches a terminal
/// that could move its cursor.
///
/// # Errors
/// Those of the output.
pub fn text(out: &mut dyn Write, talk: &Transcript) -> io::Result<()> {
    writeln!(out, "{}  {}", label(talk), clean(&talk.title))?;
    let members: BTreeMap<AuthorId, String> = talk
        .names
        .iter()
        .filter_map(|(key, name)| Some((key.parse().ok()?, name.clone())))
        .collect();
    let names = Names::from(members);
    if talk.entries.is_empty() {
        return writeln!(out, "nothing was said about it");
    }
    for entry in &talk.entries {
        one(out, entry, &names)?;
    }
    let refused = talk.entries.iter().filter(|entry| entry.outcome == Outcome::Refused).count();
    let total = count(talk.refused, "event");
    if talk.refused > 0 {
        let other = talk.refused.saturating_sub(refused as u64);
        let note =
            if other > 0 { format!(", {other} of them not shown here") } else { String::new() };
        writeln!(out)?;
        writeln!(out, "{total} of the task and its sessions refused{note}")?;
    }
    Ok(())
}

fn label(talk: &Transcript) -> String {
    match talk.name.starts_with('#') {
        true => talk.task.get(..10).unwrap_or(&talk.task).to_owned(),
        false => clean(&talk.name).into_owned(),
    }
}

fn one(out: &mut dyn Write, entry: &Entry, names: &Names) -> io::Result<()> {
    let indent = "    ".repeat(entry.depth.min(MAX_INDENT) as usize);
    let author: Option<AuthorId> = entry.author.as_ref().and_then(|key| key.parse().ok());
    let who = author.map_or(String::new(), |author| format!("{} ", names.name(&author)));
    let at = entry.time_ms.map_or(String::new(), |ms| format!("{}  ", time(ms)));
    let until = entry.deadline_ms.map_or(String::new(), |ms| format!(", until {}", time(ms)));
    let event = entry.event.as_deref().and_then(|id| id.get(..10));
    let event = event.map_or(String::new(), |id| format!("  [{id}]"));
    writeln!(out, "{indent}{at}{who}{}{until}{event}", clean(&entry.head))?;
    for line in entry.text.lines() {
        writeln!(out, "{indent}    {}", clean(line))?;
    }
    writeln!(out, "{indent}  = {}", clean(&entry.rule))
}
