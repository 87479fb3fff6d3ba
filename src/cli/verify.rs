//! `bzzz-verify`: verifies an exported bundle offline.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

use super::exit::{self, CliError, DONE, NO};
use super::text::{clean, count, time};
use crate::kernel::audit::{AuditError, Failure, LogReport, Report, verify};

const PROGRAM: &str = "bzzz-verify";

/// Verify an exported bundle offline
///
/// Every record, signature and rule is checked from the bytes up, the state is folded anew and
/// compared, and what cannot be checked is listed. No network is used and nothing is written.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, after_help = AFTER)]
struct Args {
    /// The bundle, as `bzzz export` wrote it
    bundle: PathBuf,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

const AFTER: &str = "\
Exit status:
  0  the bundle verifies
  1  it does not: author, index and rule are named
  2  it could not be checked: wrong usage, or the file could not be read

Examples:
  bzzz-verify swarm.bundle
  bzzz-verify --json swarm.bundle | jq '.failures.listed[].rule'";

/// Runs the program on its arguments.
#[must_use]
pub fn main() -> ExitCode {
    exit::end(PROGRAM, run(&Args::parse()))
}

fn run(args: &Args) -> Result<u8, CliError> {
    let file = exit::open(&args.bundle)?;
    let report = verify(file).map_err(|error| cannot_check(&error))?.report;
    let status = if report.verifies() { DONE } else { NO };
    let out = &mut io::BufWriter::new(io::stdout().lock());
    let written = if args.json { print_json(out, &report) } else { print(out, &report) };
    match written.and_then(|()| out.flush()) {
        // The verdict stands, whether or not somebody read all of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(status),
        written => Ok(written.map(|()| status)?),
    }
}

/// The error of a bundle of which nothing can be said.
#[must_use]
pub fn cannot_check(error: &AuditError) -> CliError {
    CliError::cannot_tell(format!("the bundle could not be checked: {error}"))
}

#[derive(Serialize)]
struct Json<'a> {
    verified: bool,
    #[serde(flatten)]
    report: &'a Report,
}

fn print_json(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &Json { verified: report.verifies(), report })?;
    writeln!(out)
}

fn print(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    for log in &report.logs {
        print_log(out, log)?;
    }
    for failure in &report.failures.listed {
        writeln!(out, "FAILED {}", failed(failure))?;
    }
    more(out, "failures", report.failures.count, report.failures.listed.len())?;
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
        _ => writeln!(out, "Does not verify: {}.", count(report.failures.count, "failure")),
    }
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
    let Failure { rule, offset, what, .. } = failure;
    format!("{rule}: {author}{index}byte {offset}: {}.", clean(what))
}

fn more(out: &mut dyn Write, of: &str, count: u64, listed: usize) -> io::Result<()> {
    match count - listed as u64 {
        0 => Ok(()),
        left => writeln!(out, "{left} more {of} are not listed."),
    }
}
