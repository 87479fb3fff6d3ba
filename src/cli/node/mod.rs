//! `bzzz`: the node and its command line.

mod answer;
mod bundle;
mod checkpoint;
mod client;
mod configure;
mod context;
mod discuss;
mod doctor;
mod erase;
mod error;
mod explain;
mod fork;
mod fsck;
mod init;
mod key;
mod log;
mod logging;
mod member;
mod passphrase;
mod prove;
mod status;
mod store;
mod task;
mod up;
mod watch;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use self::context::{Context, out};
use self::error::Result;
use crate::node::config::LogFormat;

/// Let coding agents share work through signed, replicated logs
///
/// Each machine runs a node in a home directory of its own. Nodes that belong to one swarm find
/// each other, take issues of git repositories as tasks, and record every step in signed logs that
/// anybody can replay and verify.
#[derive(Debug, Parser)]
#[command(name = "bzzz", version, after_help = AFTER)]
struct Cli {
    /// The node's home directory [default: .bzzz in your own]
    #[arg(long, global = true, value_name = "DIR", env = "BZZZ_HOME", hide_env_values = true)]
    home: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long, global = true)]
    json: bool,
    /// Log more to standard error; -vv even more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "\
Exit status:
  0  done
  1  it could not be done; a hint says what to do where there is something
  2  wrong usage

Examples:
  bzzz init --name maple --swarm-name orchard
  bzzz up
  bzzz task list
  bzzz export swarm.bundle && bzzz-verify swarm.bundle";

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::InitArgs),
    Up(up::UpArgs),
    /// Show the running node: its logs, its state and its connections
    Status,
    /// Show who the running node is connected to
    Peers,
    #[command(subcommand)]
    Task(task::TaskCommand),
    #[command(subcommand)]
    Discuss(discuss::DiscussCommand),
    Explain(explain::ExplainArgs),
    Log(log::LogArgs),
    Watch(watch::WatchArgs),
    #[command(subcommand)]
    Member(member::MemberCommand),
    Erase(erase::EraseArgs),
    Export(bundle::ExportArgs),
    Import(bundle::ImportArgs),
    #[command(subcommand)]
    Store(store::StoreCommand),
    Prove(prove::ProveArgs),
    Checkpoint(checkpoint::CheckpointArgs),
    Fsck(fsck::FsckArgs),
    Doctor(doctor::DoctorArgs),
    #[command(subcommand)]
    Config(configure::ConfigCommand),
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Print completions for a shell, to be read by it at its start
    #[command(after_help = "Example:\n  bzzz completions bash \
                      > ~/.local/share/bash-completion/completions/bzzz")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Runs the program on its arguments.
#[must_use]
pub fn main() -> ExitCode {
    error::end(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Result<()> {
    if let Command::Completions { shell } = &cli.command {
        return completions(*shell);
    }
    let context = &Context::new(cli.home.as_deref(), cli.json, cli.verbose)?;
    // `up` starts the log as its configuration says.
    if !matches!(cli.command, Command::Up(_)) {
        logging::start(LogFormat::Text, "warn", cli.verbose)?;
    }
    match &cli.command {
        Command::Init(args) => init::run(context, args),
        Command::Up(args) => up::run(context, args),
        Command::Status => status::run(context),
        Command::Peers => status::peers(context),
        Command::Task(command) => task::run(context, command),
        Command::Discuss(command) => discuss::run(context, command),
        Command::Explain(args) => explain::run(context, args),
        Command::Log(args) => log::run(context, args),
        Command::Watch(args) => watch::run(context, args),
        Command::Member(command) => member::run(context, command),
        Command::Erase(args) => erase::run(context, args),
        Command::Export(args) => bundle::run_export(context, args),
        Command::Import(args) => bundle::run_import(context, args),
        Command::Store(command) => store::run(context, command),
        Command::Prove(args) => prove::run(context, args),
        Command::Checkpoint(args) => checkpoint::run(context, args),
        Command::Fsck(args) => fsck::run(context, args),
        Command::Doctor(args) => doctor::run(context, args),
        Command::Config(command) => configure::run(context, command),
        Command::Key(command) => key::run(context, command),
        Command::Completions { shell } => completions(*shell),
    }
}

fn completions(shell: Shell) -> Result<()> {
    // Into memory first: the generator panics when nobody reads on.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bzzz", &mut text);
    let mut out = out();
    out.write_all(&text)?;
    Ok(out.flush()?)
}

/// Reads `KEY=VALUE`.
fn key_value(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("this should be KEY=VALUE, such as agent.max_tasks=2".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_made() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_are_split_at_the_first_sign() {
        assert_eq!(key_value("a.b=c=d"), Ok(("a.b".to_owned(), "c=d".to_owned())));
        assert!(key_value("a.b").is_err());
        assert!(key_value("=c").is_err());
    }
}
