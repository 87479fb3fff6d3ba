//! `bzzz doctor`: whether everything is there that the node needs.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::context::{Context, out, print_json};
use super::error::{Error, Result, sentence};
use super::fork;
use crate::cli::text::{clean, table};
use crate::node::config::{Config, StoreKind};
use crate::node::{self, Role};

/// A finding: what was looked at, and how it is.
struct Finding {
    what: String,
    well: bool,
    says: String,
    hint: Option<String>,
}

impl Finding {
    fn well(what: impl Into<String>, says: impl Into<String>) -> Self {
        Self { what: what.into(), well: true, says: says.into(), hint: None }
    }

    fn bad(what: impl Into<String>, error: Error) -> Self {
        let (says, hint) = match error {
            Error::Stop { message, hint, .. } => (message, hint),
            Error::Pipe | Error::Said => ("it failed".to_owned(), None),
        };
        Self { what: what.into(), well: false, says, hint }
    }

    fn of<E: Into<Error>>(what: &str, found: std::result::Result<String, E>) -> Self {
        match found {
            Ok(says) => Self::well(what, says),
            Err(error) => Self::bad(what, error.into()),
        }
    }
}

/// Check everything that the node needs: home, store, repositories, sandbox, model
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct DoctorArgs {
    #[command(subcommand)]
    about: Option<About>,
}

#[derive(Debug, Subcommand)]
enum About {
    Fork(fork::ForkArgs),
}

pub(super) fn run(context: &Context, args: &DoctorArgs) -> Result<()> {
    match &args.about {
        Some(About::Fork(args)) => fork::run(context, args),
        None => check(context),
    }
}

fn check(context: &Context) -> Result<()> {
    let mut findings = vec![home(context)];
    findings.push(Finding::of("key", context.home.author().map(|key| key.to_string())));
    findings.push(Finding::of("swarm", context.home.swarm().map(|swarm| swarm.to_string())));
    let loaded = context.loaded(&[]);
    match loaded {
        Err(error) => findings.push(Finding::bad("configuration", error.into())),
        Ok(loaded) => {
            let path = context.home.config_file().display().to_string();
            findings.push(Finding::well("configuration", path));
            let config = loaded.config;
            findings.push(store(context, &config));
            findings.push(running(context));
            findings.extend(outside(context, &config)?);
        }
    }
    show(context, &findings)?;
    if findings.iter().all(|finding| finding.well) { Ok(()) } else { Err(Error::Said) }
}

fn home(context: &Context) -> Finding {
    let dir = context.home.dir();
    let shown = dir.display();
    let about = match std::fs::metadata(dir) {
        Ok(about) => about,
        Err(error) => {
            let error = Error::new(format!("{shown} cannot be read: {error}"));
            return Finding::bad("home", error.hint("`bzzz init` makes one"));
        }
    };
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        let error = Error::new(format!("{shown} has mode {mode:o}: others may write into it"));
        return Finding::bad("home", error.hint(format!("run `chmod go-w {shown}`")));
    }
    Finding::well("home", shown.to_string())
}

fn store(context: &Context, config: &Config) -> Finding {
    if config.store.kind == StoreKind::Memory {
        return Finding::well("store", "in memory: everything is forgotten when the node stops");
    }
    let path = &config.store.path;
    if !path.exists() {
        return Finding::well("store", "none yet: the logs come with the first `bzzz up`");
    }
    let found = context.home.store(&config.store, Role::Reader).map_err(Error::from);
    let found = found.and_then(|_| context.reader(config));
    let Some(engine) = (match found {
        Ok(engine) => engine,
        Err(error) => return Finding::bad("store", error),
    }) else {
        return Finding::well("store", path.display().to_string());
    };
    let lengths = engine.lengths();
    let (logs, events) = (lengths.len(), lengths.values().sum::<u64>());
    let me = engine.me();
    let (founded, member) = engine
        .read(|state| (state.members.founded.is_some(), state.members.present().contains(&me)));
    if founded && !member {
        let error = Error::new("this node is no member of the swarm, so that nobody believes it");
        let hint = format!("on an administrator's machine: bzzz member admit {me}");
        return Finding::bad("store", error.hint(hint));
    }
    let digest = engine.digest().0.short();
    Finding::well("store", format!("{events} events of {logs} logs, state {digest}"))
}

fn running(context: &Context) -> Finding {
    let found = Client::find(&context.home).map(|client| match client {
        Some(_) => "it runs".to_owned(),
        None => "it does not run".to_owned(),
    });
    Finding::of("node", found)
}

fn outside(context: &Context, config: &Config) -> Result<Vec<Finding>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::new(format!("no threads can be started: {e}")))?;
    let found = runtime.block_on(node::doctor(&context.home, config));
    let findings = found.into_iter().map(|(what, found)| match found {
        Ok(says) => Finding::well(what, says),
        Err(says) => Finding::bad(what, Error::new(says)),
    });
    Ok(findings.collect())
}

fn show(context: &Context, findings: &[Finding]) -> Result<()> {
    if context.json {
        let list: Vec<Value> = findings
            .iter()
            .map(|f| json!({ "what": f.what, "well": f.well, "says": f.says, "hint": f.hint }))
            .collect();
        let well = findings.iter().all(|finding| finding.well);
        return print_json(&json!({ "well": well, "findings": list }));
    }
    let mut rows = Vec::new();
    for finding in findings {
        let mark = if finding.well { "ok" } else { "WRONG" };
        let says = if finding.well { finding.says.clone() } else { sentence(&finding.says) };
        for (line, text) in says.lines().enumerate() {
            let first = line == 0;
            rows.push(vec![
                if first { mark } else { "" }.to_owned(),
                if first { clean(&finding.what).into_owned() } else { String::new() },
                clean(text).into_owned(),
            ]);
        }
        if let Some(hint) = &finding.hint {
            rows.push(vec![String::new(), String::new(), format!("Hint: {}", sentence(hint))]);
        }
    }
    let mut out = out();
    table(&mut out, &rows)?;
    let wrong = findings.iter().filter(|finding| !finding.well).count();
    if wrong > 0 {
        writeln!(out, "\n{wrong} of {} things are wrong.", findings.len())?;
    }
    Ok(out.flush()?)
}
