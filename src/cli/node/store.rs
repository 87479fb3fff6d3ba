//! `bzzz store`: the files in which the logs are kept.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::context::{Context, out, print_json};
use super::error::{Error, Result};
use crate::node::config::{Origin, Store, StoreKind};

/// Change how the logs are kept
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    Migrate(MigrateArgs),
}

/// Move all logs to a store of another kind
///
/// The node must not run meanwhile. Every record and signature is verified on the way, and the copy
/// is compared with the old store before bzzz.toml names it. The old store is kept beside it under
/// the name that is printed; it must not be used again.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bzzz store migrate --to hypercore")]
pub(super) struct MigrateArgs {
    /// The kind of the new store
    #[arg(long, value_name = "KIND")]
    to: Kind,
    /// The new store's directory, which must not be there [default: store-KIND in the home]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A database of RocksDB
    Rocksdb,
    /// Files of Hypercore 10
    Hypercore,
}

impl From<Kind> for StoreKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Rocksdb => Self::Rocksdb,
            Kind::Hypercore => Self::Hypercore,
        }
    }
}

pub(super) fn run(context: &Context, command: &StoreCommand) -> Result<()> {
    match command {
        StoreCommand::Migrate(args) => migrate(context, args),
    }
}

fn migrate(context: &Context, args: &MigrateArgs) -> Result<()> {
    let config = context.config(&[])?;
    let old = config.store;
    let kind = StoreKind::from(args.to);
    if old.kind == StoreKind::Memory {
        return Err(Error::new("the logs are kept in memory: there is nothing to move")
            .hint(format!("set `store.kind` to \"{kind}\" in bzzz.toml")));
    }
    if old.kind == kind {
        return Err(Error::new(format!("the logs are in a store of the kind {kind} already")));
    }
    named_by_file_alone(context)?;
    let path = match &args.path {
        Some(path) => std::path::absolute(path)
            .map_err(|error| Error::usage(format!("{}: {error}", path.display())))?,
        None => context.home.dir().join(format!("store-{kind}")),
    };
    let new = Store { kind, path };
    let lock = context.lock()?;
    let shown = !context.json && std::io::stderr().is_terminal();
    let copied = context.home.migrate(&old, &new, |records| {
        if shown {
            // Progress that nobody sees is no reason to stop.
            let _ = write!(std::io::stderr(), "\r{records} events");
        }
    })?;
    if shown {
        let _ = writeln!(std::io::stderr());
    }
    let aside = context.home.use_store(&old, &new)?;
    drop(lock);
    if context.json {
        return print_json(&json!({
            "logs": copied.logs, "events": copied.records,
            "kind": kind.as_str(), "path": new.path, "old": aside,
        }));
    }
    let mut out = out();
    writeln!(out, "Moved {} events of {} logs.", copied.records, copied.logs)?;
    writeln!(out)?;
    writeln!(out, "  store  {kind}, in {}", new.path.display())?;
    writeln!(out, "  old    {}", aside.display())?;
    writeln!(out)?;
    writeln!(out, "Remove the old store once the node runs: used again, it would fork the log.")?;
    Ok(out.flush()?)
}

/// Only the file can be changed here.
fn named_by_file_alone(context: &Context) -> Result<()> {
    let loaded = context.loaded(&[])?;
    let keys = ["store.kind", "store.path"];
    for shown in loaded.settings.iter().filter(|shown| keys.contains(&shown.key.as_str())) {
        if let Some(origin @ (Origin::Environment { .. } | Origin::Flag)) = &shown.origin {
            let what =
                format!("{} is set by the {origin}, which cannot be changed here", shown.key);
            return Err(Error::new(what).hint("set it in bzzz.toml alone, and try again"));
        }
    }
    Ok(())
}
