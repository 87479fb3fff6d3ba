//! `bzzz key`: the node's key, by which others know it.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::{Context, out, print_json};
use super::error::{Error, Result};
use super::passphrase;
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::node::key::{self, KeyFile, Unlocked};

/// Show, protect, copy and rotate the node's key
///
/// The key is what the node is: whoever has it can speak as this node. Two programs that run with
/// one key fork its log.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Print the public key, by which an administrator admits the node, and how the key is kept
    Show,
    Passphrase(PassphraseArgs),
    Export(ExportArgs),
    Import(ImportArgs),
    Rotate(RotateArgs),
}

/// Set, change or remove the passphrase of the key file
///
/// The node may run meanwhile; it needs the passphrase when it starts. `age -d` opens the file
/// too.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bzzz key passphrase\n  bzzz key passphrase --remove")]
pub(super) struct PassphraseArgs {
    /// Leave the key file without a passphrase
    #[arg(long, conflicts_with = "new_passphrase_file")]
    remove: bool,
    /// The file that holds the new passphrase; the terminal is asked if none is named
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

/// Write a copy of the key to a file, protected by a passphrase
///
/// Keep it where the machine's loss does not reach it. `bzzz key import` makes a home of it on
/// another machine; the node then fetches its own log from its peers. Never run two nodes with one
/// key: that forks its log.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bzzz key export /media/stick/maple.key\n  bzzz key export -")]
pub(super) struct ExportArgs {
    /// The file, which must not be there; - for standard output
    file: PathBuf,
    /// The file that holds the copy's passphrase; the terminal is asked if none is named
    #[arg(long, value_name = "FILE", conflicts_with = "plain")]
    new_passphrase_file: Option<PathBuf>,
    /// Write the key as it is: whoever reads the file can speak as this node
    #[arg(long)]
    plain: bool,
}

/// Make a home for a key that was exported, or give this home another key
///
/// The node that had the key must never run again. This one starts with an empty log, fetches what
/// it said from its peers, and only then says more. It needs at least one peer for that.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bzzz key import /media/stick/maple.key \
                        --set net.peers=/ip4/192.0.2.7/tcp/7447")]
pub(super) struct ImportArgs {
    /// The file, as `bzzz key export` wrote it
    file: PathBuf,
    /// The swarm, if the file does not name it
    #[arg(long, value_name = "SWARM_ID")]
    join: Option<SwarmId>,
    /// The node's name, for people
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Set a key of the new home's configuration. Can be given again
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = super::key_value)]
    set: Vec<(String, String)>,
    /// The file that holds the passphrase; the terminal is asked if none is named
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Put the key into the place of this home's own, whose file is put aside
    #[arg(long, conflicts_with_all = ["join", "name", "set"])]
    replace: bool,
}

/// End this key's log and go on under a new key
///
/// The new key takes over the membership with its role and rights, and keeps the passphrase. The
/// last event of the old log, signed by both keys, says so; nothing counts that the old key says
/// later. The node must not run; start it soon afterwards, so that its peers hear of the new key.
/// A rotation that was interrupted is completed by running this again, or by `bzzz up`.
#[derive(Debug, Args)]
pub(super) struct RotateArgs {}

pub(super) fn run(context: &Context, command: &KeyCommand) -> Result<()> {
    match command {
        KeyCommand::Show => show(context),
        KeyCommand::Passphrase(args) => protect(context, args),
        KeyCommand::Export(args) => export(context, args),
        KeyCommand::Import(args) => import(context, args),
        KeyCommand::Rotate(RotateArgs {}) => rotate(context),
    }
}

fn show(context: &Context) -> Result<()> {
    let file = context.home.read_key()?;
    let key = match context.home.author() {
        Ok(key) => key,
        Err(crate::node::HomeError::Public(_)) => {
            let unlocked = context.unlock(&context.config(&[])?)?;
            context.home.note_public(&unlocked)?;
            unlocked.key.author()
        }
        Err(error) => return Err(error.into()),
    };
    let (path, locked) = (context.home.key_file(), file.is_locked());
    if context.json {
        return print_json(&json!({ "key": key, "file": path, "passphrase": locked }));
    }
    let mut out = out();
    // Alone, so that scripts can take it.
    writeln!(out, "{key}")?;
    out.flush()?;
    let how = if locked { "protected by a passphrase" } else { "without a passphrase" };
    eprintln!("In {}, {how}.", path.display());
    Ok(())
}

fn protect(context: &Context, args: &PassphraseArgs) -> Result<()> {
    let config = context.config(&[])?;
    let unlocked = context.unlock(&config)?;
    let with = match args.remove {
        true => None,
        false => Some(passphrase::new(args.new_passphrase_file.as_deref(), "the key file")?),
    };
    let locked = with.is_some();
    context.home.protect(&unlocked.key, with)?;
    if context.json {
        return print_json(&json!({ "key": unlocked.key.author(), "passphrase": locked }));
    }
    let mut out = out();
    match locked {
        true => writeln!(out, "The key file is protected by the new passphrase.")?,
        false => writeln!(out, "The key file has no passphrase.")?,
    }
    if locked && config.node.passphrase_file.is_some() {
        writeln!(out, "Put it into the file that node.passphrase_file names as well.")?;
    }
    Ok(out.flush()?)
}

fn export(context: &Context, args: &ExportArgs) -> Result<()> {
    let to_output = args.file == Path::new("-");
    if !to_output && std::fs::symlink_metadata(&args.file).is_ok() {
        let what = format!("{} is there already; nothing was overwritten", args.file.display());
        return Err(Error::new(what));
    }
    let unlocked = context.unlock(&context.config(&[])?)?;
    let passphrase = match args.plain {
        true => {
            eprintln!("Warning: whoever reads this file can speak as this node.");
            None
        }
        false => Some(passphrase::new(args.new_passphrase_file.as_deref(), "the copy")?),
    };
    let swarm = Some(context.home.swarm()?);
    let copy = Unlocked { key: unlocked.key, swarm, passphrase };
    if to_output {
        let mut out = out();
        out.write_all(&key::bytes(&copy)?)?;
        return Ok(out.flush()?);
    }
    key::write_new(&args.file, &copy)?;
    let author = copy.key.author();
    if context.json {
        let locked = !args.plain;
        return print_json(&json!({ "key": author, "file": args.file, "passphrase": locked }));
    }
    let mut out = out();
    writeln!(out, "Wrote the key {} to {}.", author.short(), args.file.display())?;
    writeln!(
        out,
        "Import it only where this node is lost: two that run with one key fork its log."
    )?;
    Ok(out.flush()?)
}

fn import(context: &Context, args: &ImportArgs) -> Result<()> {
    let file = KeyFile::read(&args.file)?;
    let asked = match file.is_locked() {
        true => Some(passphrase::known(args.passphrase_file.as_deref(), &args.file)?),
        false => None,
    };
    let unlocked = file.unlock(asked.as_ref())?;
    let author = unlocked.key.author();
    let aside = match args.replace {
        true => Some(exchange(context, &unlocked)?),
        false => {
            make(context, args, &unlocked)?;
            None
        }
    };
    if context.json {
        return print_json(&json!({
            "key": author, "home": context.home.dir(), "swarm": context.home.swarm()?, "old": aside,
        }));
    }
    let mut out = out();
    writeln!(out, "This home has the key {author}.")?;
    if let Some(aside) = aside {
        writeln!(out, "Its old key is in {}; remove it once it is of no use.", aside.display())?;
    }
    writeln!(out)?;
    writeln!(out, "Make sure that no other node runs with this key: two fork its log.")?;
    writeln!(
        out,
        "`{}` fetches its log from its peers before it says more.",
        context.command("up")
    )?;
    Ok(out.flush()?)
}

fn make(context: &Context, args: &ImportArgs, unlocked: &Unlocked) -> Result<()> {
    let swarm = match (unlocked.swarm, args.join) {
        (Some(found), Some(asked)) if found != asked => {
            return Err(Error::usage(format!("the key is of swarm {found}, not of {asked}")));
        }
        (found, asked) => found.or(asked).ok_or_else(|| {
            Error::usage("the file does not name the key's swarm").hint("name it with --join")
        })?,
    };
    let config = super::init::rendered(context, &args.set, args.name.as_deref(), &[])?;
    context.home.join_as(swarm, &config, unlocked).map_err(|error| match error {
        crate::node::HomeError::Taken(_) => {
            Error::from(error).hint("--replace puts the key into the place of this home's own")
        }
        error => error.into(),
    })?;
    Ok(())
}

fn exchange(context: &Context, unlocked: &Unlocked) -> Result<PathBuf> {
    let _lock = context.lock()?;
    if context.home.author().is_ok_and(|own| own == unlocked.key.author()) {
        return Err(Error::new("this is the home's key already"));
    }
    Ok(context.home.exchange_key(unlocked)?)
}

fn rotate(context: &Context) -> Result<()> {
    let config = context.config(&[])?;
    let present = context.unlock(&config)?;
    let old = present.key.author();
    let (engine, _lock) = context.writer_as(&config, &present)?;
    let owned = owned(&engine, &old);
    let rotated = context.home.rotate(&engine, &present)?;
    let new = rotated.key.key.author();
    if context.json {
        return print_json(&json!({
            "old": old, "new": new, "completed": rotated.completed, "tasks": owned,
        }));
    }
    let mut out = out();
    if rotated.completed {
        writeln!(out, "The rotation that was interrupted is complete.")?;
    }
    writeln!(out, "The key {} is followed by a new one.", old.short())?;
    writeln!(out)?;
    writeln!(out, "  old  {old}")?;
    writeln!(out, "  new  {new}")?;
    writeln!(out)?;
    for task in &owned {
        writeln!(out, "Task {task} is free for every node once the old key's claim has run out.")?;
    }
    writeln!(out, "Start the node soon: its peers hear of the new key when it connects.")?;
    writeln!(out, "Copies of the old key are of no use any more; export the new one.")?;
    Ok(out.flush()?)
}

/// The tasks that a key owns.
fn owned(engine: &crate::engine::Engine, key: &AuthorId) -> Vec<String> {
    engine.read(|state| {
        let tasks = state.tasks.values();
        let own = tasks.filter(|task| task.owner().is_some_and(|(owner, _)| owner == *key));
        own.map(|task| task.name()).collect()
    })
}
