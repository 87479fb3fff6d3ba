//! `bzzz-replay`: tells what happened to the tasks of an exported bundle.

mod events;
mod list;
mod story;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::exit::{self, CliError, DONE};
use super::text::parse_time;
use super::verify::{Files, Progress, cannot_check, failed, verify};
use crate::kernel::audit::{AuditError, Expect, LookupError, find_task, fold_at};
use crate::kernel::fold::FoldError;

const PROGRAM: &str = "bzzz-replay";

/// Tell what happened to the tasks of an exported bundle
///
/// Without TASK, the tasks are listed. With it, its story is told in the total order of events,
/// across all authors. The bundle is verified first. No network is used and nothing is written.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, after_help = AFTER)]
struct Args {
    /// The bundle, as `bzzz export` wrote it
    bundle: PathBuf,
    /// The task: `repository#issue`, its id, or at least four digits that only its id begins with
    task: Option<String>,
    /// Stop at this time: 2026-01-31T12:00:00Z (UTC), or milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Replay what verifies of a bundle that as a whole does not
    #[arg(long)]
    unverified: bool,
}

const AFTER: &str = "\
Exit status:
  0  done
  1  the bundle does not verify, or there is no such task
  2  wrong usage, or the file could not be read

Examples:
  bzzz-replay swarm.bundle
  bzzz-replay swarm.bundle 'tally#3'
  bzzz-replay swarm.bundle 'tally#3' --at 2026-01-31T12:00:00Z
  bzzz-replay swarm.bundle --json | jq '.tasks[] | select(.status == \"escalated\")'";

/// Runs the program on its arguments.
#[must_use]
pub fn main() -> ExitCode {
    exit::end(PROGRAM, run(&Args::parse()))
}

fn run(args: &Args) -> Result<u8, CliError> {
    let files = Files::open(&args.bundle)?;
    let bytes = files.bytes();
    let audit = verify(files, bytes, Expect::default(), Progress::new());
    let audit = audit.map_err(|error| cannot_check(&error))?;
    let report = &audit.report;
    if let Some(first) = report.failures.listed.first() {
        let message = format!("the bundle does not verify: {}", failed(first));
        if !args.unverified {
            let hint = "bzzz-verify says more; --unverified replays what verifies of it";
            return Err(CliError::no(message).hint(hint));
        }
        eprintln!("{PROGRAM}: {message} What verifies of it follows.");
    }
    let Some(swarm) = report.swarm else {
        return Err(CliError::no("there is nothing in the file that could be replayed"));
    };
    let fold = fold_at(&audit.archive, swarm, args.at).map_err(read_again)?;
    let out = &mut io::BufWriter::new(io::stdout().lock());
    let shown = list::Shown { state: fold.state(), at: args.at, verified: report.verifies() };
    match &args.task {
        None if args.json => list::json(out, &shown)?,
        None => list::text(out, &shown)?,
        Some(text) => {
            let task = find_task(fold.state(), text).map_err(|error| no_task(&error, args.at))?;
            let story = story::Story::new(&audit.archive, &shown, task);
            if args.json { story.json(out)? } else { story.text(out)? }
        }
    }
    out.flush()?;
    Ok(DONE)
}

fn read_again(error: FoldError) -> CliError {
    cannot_check(&AuditError::Fold(error))
}

fn no_task(error: &LookupError, at: Option<u64>) -> CliError {
    let hint = match at {
        Some(_) => "there may be none yet at that time; without TASK, the tasks are listed",
        None => "without TASK, the tasks are listed",
    };
    CliError::no(error.to_string()).hint(hint)
}
