//! A report for people, and as JSON.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::text::{clean, count, time};
use crate::kernel::audit::{Failure, LogReport, Report};
use crate::kernel::identity::AuthorId;

#[derive(Serialize)]
struct Json<'a> {
    verified: bool,
    #[serde(flatten)]
    report: &'a Report,
}

pub(crate) fn print_json(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &Json { verified: report.verifies(), report })?;
    writeln!(out)
}

pub(crate) fn print(out: &mut dyn Write, report: &Report, claims: bool) -> io::Result<()> {
    for log in &report.logs {
        print_log(out, log)?;
    }
    for log in &report.logs {
        if let Some(successor) = log.successor {
            let (old, new) = (log.author.short(), successor.short());
            writeln!(out, "rotated: {old} ended its log and goes on as {new}.")?;
        }
    }
    for failure in &report.failures.listed {
        writeln!(out, "FAILED {}", failed(failure))?;
    }
    more(out, "failures", report.failures.count, report.failures.listed.len())?;
    print_state(out, report)?;
    print_evidence(out, report)?;
    if claims {
        print_claims(out, report)?;
    }
    for finding in &report.findings.listed {
        let name = finding.author.map(|author| match report.names.get(&author) {
            Some(name) => format!("{} ({}): ", clean(name), author.short()),
            None => format!("{}: ", author.short()),
        });
        let what = clean(&finding.what);
        writeln!(out, "found {}: {}{what}.", finding.kind, name.unwrap_or_default())?;
    }
    more(out, "findings", report.findings.count, report.findings.listed.len())?;
    for unchecked in &report.unchecked {
        let count = unchecked.count.map_or(String::new(), |count| format!(" ({count})"));
        writeln!(out, "not checked: {}{count}.", clean(&unchecked.what))?;
    }
    let (events, logs) = (count(report.events(), "event"), count(report.logs.len() as u64, "log"));
    match (report.swarm, report.exporter) {
        (Some(swarm), Some(exporter)) if report.verifies() => writeln!(
            out,
            "Verified: {events} in {logs} of swarm {swarm}, as {exporter} exported them."
        ),
        (Some(swarm), None) if report.verifies() => {
            writeln!(out, "Verified: {events} in {logs} of swarm {swarm}, as this store has them.")
        }
        _ => writeln!(out, "Does not verify: {}.", count(report.failures.count, "failure")),
    }
}

fn print_state(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let checked = &report.checked;
    if let (Some(digest), Some(version)) = (checked.digest, checked.fold_version) {
        let (members, tasks) = (count(checked.members, "member"), count(checked.tasks, "task"));
        let refused = count(checked.refused, "event");
        writeln!(out, "state: {members}, {tasks}, {refused} refused, fold version {version}.")?;
        writeln!(out, "digest: {digest}.")?;
        let causes = count(checked.causes, "cause");
        let checkpoints = count(checked.checkpoints, "checkpoint");
        writeln!(out, "agree: {causes}, {checkpoints}.")?;
    }
    Ok(())
}

/// A name for people: untrusted, and so with the key.
fn named(report: &Report, author: &AuthorId) -> String {
    match report.names.get(author) {
        Some(name) => format!("{} ({})", clean(name), author.short()),
        None => author.short(),
    }
}

/// Who attests what, and what was erased or is lost.
fn print_evidence(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    for log in &report.attested {
        let name = named(report, &log.author);
        for witness in &log.witnesses {
            let by = named(report, &witness.by);
            writeln!(out, "attested: {} of {name}, by {by}.", count(witness.length, "event"))?;
        }
        if let Some(quorum) = log.quorum {
            writeln!(out, "attested: {} of {name}, by the quorum.", count(quorum, "event"))?;
        }
    }
    for erased in &report.erased.listed {
        let (name, by) = (named(report, &erased.author), named(report, &erased.by));
        let (index, reason) = (erased.index, clean(&erased.reason));
        writeln!(out, "erased: {name}, index {index}, by {by}: {reason}.")?;
    }
    more(out, "erasures", report.erased.count, report.erased.listed.len())?;
    for lost in &report.lost.listed {
        writeln!(
            out,
            "lost: the payload of {}, index {}.",
            named(report, &lost.author),
            lost.index
        )?;
    }
    more(out, "lost payloads", report.lost.count, report.lost.listed.len())
}

fn print_claims(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    for claim in &report.claims {
        let until = match (claim.until, claim.end) {
            (Some(until), end) => format!("{} {end}", time(until.ms())),
            (None, end) => end.to_owned(),
        };
        let (task, epoch) = (clean(&claim.name), claim.epoch);
        let (owner, from) = (named(report, &claim.owner), time(claim.from.ms()));
        let work = claim.published.as_ref().map_or(String::new(), |c| format!(", commit {c}"));
        let pull = claim.pull_request.map_or(String::new(), |n| format!(", pull request {n}"));
        writeln!(out, "owned: {task} epoch {epoch} by {owner}, {from} to {until}{work}{pull}.")?;
    }
    Ok(())
}

fn print_log(out: &mut dyn Write, log: &LogReport) -> io::Result<()> {
    let name = match &log.name {
        Some(name) => format!("{} ({})", clean(name), log.author.short()),
        None => log.author.to_string(),
    };
    let (events, appends) = (count(log.events, "event"), count(log.appends, "append"));
    if !log.verified {
        return writeln!(out, "log {name}: does not verify behind its first {events}.");
    }
    let ends = [log.first, log.last].map(|clock| clock.map_or(String::new(), |c| time(c.ms())));
    let root = log.root.map_or(String::new(), |root| root.short());
    let [first, last] = ends;
    writeln!(out, "log {name}: {events} in {appends} verify, {first} to {last}, root {root}.")
}

/// One failure in a line: rule, author, index, byte and what is wrong.
#[must_use]
pub fn failed(failure: &Failure) -> String {
    let author = failure.author.map_or(String::new(), |author| format!("log {author}, "));
    let index = failure.index.map_or(String::new(), |index| format!("index {index}, "));
    let byte = failure.offset.map_or(String::new(), |offset| format!("byte {offset}: "));
    let Failure { rule, what, .. } = failure;
    format!("{rule}: {author}{index}{byte}{}.", clean(what))
}

fn more(out: &mut dyn Write, of: &str, count: u64, listed: usize) -> io::Result<()> {
    match count - listed as u64 {
        0 => Ok(()),
        left => writeln!(out, "{left} more {of} are not listed."),
    }
}
