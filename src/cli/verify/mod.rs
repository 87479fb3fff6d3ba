//! `bzzz-verify`: verifies exported bundles, single proofs and checkpoints, offline.

mod cores;
mod files;
mod git;
mod print;
mod proof;
mod run;
mod tlog;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use self::files::Files;
pub use self::print::failed;
pub(crate) use self::print::{print as print_report, print_json};
#[cfg(feature = "node")]
pub(crate) use self::run::{Frames, compare, take};
pub use self::run::{Progress, verify};
use super::exit::{self, CliError, DONE, NO};
use crate::kernel::audit::{AuditError, CAUSE_MIB, Expect, Ownership, Pins, Policy, Report};

const PROGRAM: &str = "bzzz-verify";

/// The longest file of pins, or policy, in bytes.
const MAX_TEXT: u64 = 16 << 20;

/// Verify an exported bundle, or a single proof, offline
///
/// Every record, signature and rule is checked from the bytes up, the state is folded anew and
/// compared, and what cannot be checked is listed. No network is used and nothing is written.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, after_help = AFTER)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(flatten)]
    bundle: BundleArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Verify a bundle; the same as without `bundle`
    Bundle(BundleArgs),
    Proof(proof::ProofArgs),
    Fork(proof::ForkArgs),
    Checkpoint(tlog::CheckpointArgs),
    TlogProof(tlog::TlogProofArgs),
}

#[derive(Debug, Args)]
struct BundleArgs {
    /// The bundle, as `bzzz export` wrote it; a file that is called `proof` is named ./proof
    #[arg(required = true)]
    bundle: Option<PathBuf>,
    /// A head that you obtained elsewhere and that its log has to contain, or a file of such heads
    #[arg(long, value_name = "AUTHOR:LENGTH:ROOT|FILE")]
    pin: Vec<String>,
    /// A checkpoint (c2sp.org/tlog-checkpoint) that you obtained elsewhere, and whose roots its log
    /// has to have
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Whose word about other logs counts: a file of witnesses, groups and a quorum
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The memory for the causes of events, in MiB: what exceeds it is checked in further passes
    #[arg(long, value_name = "MIB", default_value_t = CAUSE_MIB)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    memory: u32,
    /// A local clone with the claim refs (refs/bzzz/claims/*), to be compared with the logs
    #[arg(long, value_name = "NAME=PATH", value_parser = git::repository)]
    git: Vec<git::Repository>,
    /// List who owned which task from when to when
    #[arg(long)]
    claims: bool,
    /// End with status 1 if anything was found, even if no rule is broken
    #[arg(long)]
    strict: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

const AFTER: &str = "\
Memory: the folded state, which grows with tasks and members; 48 bytes for each block of up to 64
events or 16 KiB of a log, and one such block of each log; 48 bytes for each checkpoint, erasure,
absent payload and event about logs, and 150 for each head in one; and causes, 48 bytes each, at
most --memory of them at a time. What exceeds that is checked in further passes over the bundle.

Exit status:
  0  it verifies
  1  it does not: author, index and rule are named
  2  it could not be checked: wrong usage, or a file could not be read

Examples:
  bzzz-verify swarm.bundle
  bzzz-verify --json swarm.bundle | jq '.failures.listed[].rule'
  bzzz-verify proof 81394770ea.bzzz-event --author 8139770ea87d175f56a35466c34c7ecc...
  bzzz-verify fork maple.bzzz-fork
  bzzz-verify checkpoint maple.checkpoint --author 8139770ea87d175f56a35466c34c7ecc...
  bzzz-verify swarm.bundle --checkpoint maple.checkpoint";

/// Runs the program on its arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        None => bundle(&cli.bundle),
        Some(Command::Bundle(args)) => bundle(args),
        Some(Command::Proof(args)) => proof::run(args),
        Some(Command::Fork(args)) => proof::fork(args),
        Some(Command::Checkpoint(args)) => tlog::checkpoint(args),
        Some(Command::TlogProof(args)) => tlog::proof(args),
    };
    exit::end(PROGRAM, result)
}

fn bundle(args: &BundleArgs) -> Result<u8, CliError> {
    let path = args.bundle.as_deref().ok_or_else(|| CliError::cannot_tell("no bundle is named"))?;
    let policy = policy(args.policy.as_deref())?;
    let checkpoints = tlog::checkpoints(&args.checkpoint, policy.as_ref())?;
    let cause_memory = usize::try_from(u64::from(args.memory) << 20).ok();
    let pins = pins(&args.pin)?;
    let expect = Expect { pins, policy, checkpoints, cause_memory };
    let files = Files::open(path)?;
    let bytes = files.bytes();
    let audit = verify(files, bytes, expect, Progress::new());
    let mut report = audit.map_err(|error| cannot_check(&error))?.report;
    claim_refs(&args.git, &mut report)?;
    let found = args.strict && report.findings.count > 0;
    let status = if report.verifies() && !found { DONE } else { NO };
    say(status, |out| match args.json {
        true => print_json(out, &report),
        false => print_report(out, &report, args.claims),
    })
}

/// Compares claim refs. Where all tasks that were claimed are of these repositories, claims are no
/// longer their authors' word alone.
fn claim_refs(repositories: &[git::Repository], report: &mut Report) -> Result<(), CliError> {
    if repositories.is_empty() || !report.verifies() {
        return Ok(());
    }
    for repository in repositories {
        git::compare(repository, report)?;
    }
    let compared = |owned: &Ownership| {
        repositories.iter().any(|repository| git::issue_of(owned, repository.name()).is_some())
    };
    if report.claims.iter().all(compared) {
        report.unchecked.retain(|unchecked| unchecked.kind != "claims");
    }
    Ok(())
}

/// Reads pins from the command line: each is one, or a file of them.
fn pins(texts: &[String]) -> Result<Pins, CliError> {
    let mut pins = Pins::default();
    for text in texts {
        let path = Path::new(text);
        if !path.is_file() {
            let hint = "--pin AUTHOR:LENGTH:ROOT, or a file with one in each line";
            pins.add(text).map_err(|e| CliError::cannot_tell(e.to_string()).hint(hint))?;
            continue;
        }
        for (number, line) in (1..).zip(small(path)?.lines()) {
            let line = line.split('#').next().unwrap_or("").trim();
            if !line.is_empty() {
                let name = path.display();
                let failed = |e| CliError::cannot_tell(format!("{name}, line {number}: {e}"));
                pins.add(line).map_err(failed)?;
            }
        }
    }
    Ok(pins)
}

fn policy(path: Option<&Path>) -> Result<Option<Policy>, CliError> {
    let Some(path) = path else {
        return Ok(None);
    };
    let failed = |e| CliError::cannot_tell(format!("{}, {e}", path.display()));
    Policy::parse(&small(path)?).map(Some).map_err(failed)
}

/// Reads a text file of the auditor's own.
fn small(path: &Path) -> Result<String, CliError> {
    let failed =
        |what: &str| CliError::cannot_tell(format!("{} could not be read: {what}", path.display()));
    let mut text = String::new();
    let read = exit::open(path)?.take(MAX_TEXT + 1).read_to_string(&mut text);
    match read.map_err(|error| failed(&error.to_string()))? {
        bytes if bytes as u64 > MAX_TEXT => Err(failed("it has more than 16 MiB")),
        _ => Ok(text),
    }
}

/// Prints. The verdict stands, whether or not somebody reads all of it.
fn say(status: u8, print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<u8, CliError> {
    let out = &mut io::BufWriter::new(io::stdout().lock());
    match print(out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(status),
        written => Ok(written.map(|()| status)?),
    }
}

/// The error of a bundle of which nothing can be said.
#[must_use]
pub fn cannot_check(error: &AuditError) -> CliError {
    CliError::cannot_tell(format!("the bundle could not be checked: {error}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_made() {
        Cli::command().debug_assert();
        for args in [
            &["a"][..],
            &["--json", "a"],
            &["bundle", "a"],
            &["fork", "a"],
            &["./fork"],
            &["--checkpoint", "b", "a"],
        ] {
            assert!(Cli::try_parse_from([&[PROGRAM], args].concat()).is_ok(), "{args:?}");
        }
        for args in [&[][..], &["bundle"], &["a", "fork", "b"], &["proof", "a"]] {
            assert!(Cli::try_parse_from([&[PROGRAM], args].concat()).is_err(), "{args:?}");
        }
    }
}
