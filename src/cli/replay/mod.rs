//! `bzzz-replay`: tells what happened to the tasks of an exported bundle.

mod diff;
mod events;
mod list;
mod story;
mod talk;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::discussion;
use super::exit::{self, CliError, DONE};
use super::text::{clean, parse_time};
use super::verify::{Files, Progress, cannot_check, failed, verify};
use crate::kernel::audit::{
    Archive, Audit, AuditError, Expect, LookupError, Rule, Telling, find_task, fold_at, story,
};
use crate::kernel::event::TaskId;
use crate::kernel::fold::{FoldError, SwarmState};
use crate::kernel::identity::SwarmId;

const PROGRAM: &str = "bzzz-replay";

/// Tell what happened to the tasks of an exported bundle
///
/// Without TASK, the tasks are listed. With it, its story is told in the total order of events,
/// across all authors. The bundle is verified first. No network is used and nothing is written.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, after_help = AFTER)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(flatten)]
    story: Args,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Diff(diff::DiffArgs),
}

#[derive(Debug, clap::Args)]
struct Args {
    /// The bundle, as `bzzz export` wrote it; a file that is called `diff` is named ./diff
    #[arg(required = true)]
    bundle: Option<PathBuf>,
    /// The task: `repository#issue`, its id, or at least four digits that only its id begins with
    task: Option<String>,
    /// Tell the task's discussion instead, as a tree: what came of each part, and by which rule
    #[arg(long, requires = "task")]
    discussion: bool,
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
  0  done; of diff: the two lead to one state, and a fresh fold confirms what was said of it
  1  the bundle does not verify, or there is no such task; of diff: anything else
  2  wrong usage, or the file could not be read

Examples:
  bzzz-replay swarm.bundle
  bzzz-replay swarm.bundle 'tally#3'
  bzzz-replay swarm.bundle 'tally#3' --discussion
  bzzz-replay diff alpha.bundle beta.bundle
  bzzz-replay swarm.bundle 'tally#3' --at 2026-01-31T12:00:00Z
  bzzz-replay swarm.bundle --json | jq '.tasks[] | select(.status == \"escalated\")'";

/// Runs the program on its arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        None => run(&cli.story),
        Some(Command::Diff(args)) => diff::run(args),
    };
    exit::end(PROGRAM, result)
}

/// Verifies a bundle. One that breaks a rule is an error, unless that is allowed: by the user, or
/// since it breaks no other rule than these.
fn open(
    path: &Path,
    unverified: bool,
    allowed: &[Rule],
) -> Result<(Audit<Files>, SwarmId), CliError> {
    let files = Files::open(path)?;
    let bytes = files.bytes();
    let audit = verify(files, bytes, Expect::default(), Progress::new());
    let audit = audit.map_err(|error| cannot_check(&error))?;
    let failures = &audit.report.failures;
    let all = failures.count == failures.listed.len() as u64;
    let mut broken = failures.listed.iter();
    if let Some(first) = broken.find(|failure| !all || !allowed.contains(&failure.rule)) {
        let message = format!("the bundle {} does not verify: {}", path.display(), failed(first));
        if !unverified {
            let hint = "bzzz-verify says more; --unverified replays what verifies of it";
            return Err(CliError::no(message).hint(hint));
        }
        eprintln!("{PROGRAM}: {} What verifies of it follows.", clean(&message));
    }
    let nothing = || {
        let message = format!("there is nothing in {} that could be replayed", path.display());
        CliError::no(message)
    };
    let swarm = audit.report.swarm.ok_or_else(nothing)?;
    Ok((audit, swarm))
}

fn run(args: &Args) -> Result<u8, CliError> {
    let path = args.bundle.as_deref().ok_or_else(|| CliError::cannot_tell("no bundle is named"))?;
    let (audit, swarm) = open(path, args.unverified, &[])?;
    let fold = fold_at(&audit.archive, swarm, args.at).map_err(read_again)?;
    let out = &mut io::BufWriter::new(io::stdout().lock());
    let verified = audit.report.verifies();
    let shown = list::Shown { state: fold.state(), at: args.at, verified };
    match &args.task {
        None if args.json => list::json(out, &shown)?,
        None => list::text(out, &shown)?,
        Some(text) => {
            let task = find_task(fold.state(), text).map_err(|error| no_task(&error, args.at))?;
            if args.discussion {
                tell(out, args, &audit.archive, fold.state(), task)?;
            } else {
                let story = story::Story::new(&audit.archive, &shown, task);
                if args.json { story.json(out)? } else { story.text(out)? }
            }
        }
    }
    out.flush()?;
    Ok(DONE)
}

/// Tells a task's discussion: from the state, and from the events up to the same time.
fn tell(
    out: &mut dyn Write,
    args: &Args,
    archive: &Archive<Files>,
    state: &SwarmState,
    task: TaskId,
) -> Result<(), CliError> {
    let Some(known) = state.tasks.get(&task) else { return Ok(()) };
    let mut telling = Telling::new(state, known);
    for step in story(archive, state, task, args.at) {
        telling.event(&step.map_err(read_again)?.event);
    }
    let talk = telling.finish();
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &talk).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    Ok(discussion::text(out, &talk)?)
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_made() {
        Cli::command().debug_assert();
        let good: &[&[&str]] = &[
            &["a"],
            &["a", "t#1"],
            &["a", "t#1", "--discussion", "--json"],
            &["./diff"],
            &["diff", "a", "b"],
            &["diff", "--json", "a", "b"],
        ];
        for args in good {
            assert!(Cli::try_parse_from([&[PROGRAM], *args].concat()).is_ok(), "{args:?}");
        }
        let bad: &[&[&str]] = &[&[], &["a", "--discussion"], &["diff", "a"], &["diff"]];
        for args in bad {
            assert!(Cli::try_parse_from([&[PROGRAM], *args].concat()).is_err(), "{args:?}");
        }
    }
}
