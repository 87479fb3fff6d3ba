//! `bzzz config`: the configuration as it is, and what is wrong with it.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::{Context, out, print_json};
use super::error::{Error, Result, sentence};
use crate::node::config::Config;

/// Check and show the configuration
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Name everything that is wrong with bzzz.toml and the environment, with its line
    Check(SetArgs),
    /// Show every key with its effective value and where that comes from
    Show(SetArgs),
    /// Print the documented example: every key with its default
    Example,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Override a key, as with `bzzz up`. Can be given again
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = super::key_value)]
    set: Vec<(String, String)>,
}

pub(super) fn run(context: &Context, command: &ConfigCommand) -> Result<()> {
    match command {
        ConfigCommand::Check(args) => check(context, args),
        ConfigCommand::Show(args) => show(context, args),
        ConfigCommand::Example => {
            let mut out = out();
            out.write_all(Config::example().as_bytes())?;
            Ok(out.flush()?)
        }
    }
}

fn check(context: &Context, args: &SetArgs) -> Result<()> {
    let path = context.home.config_file();
    let problems = match context.loaded(&args.set) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems,
    };
    if context.json {
        print_json(&json!({ "file": path, "problems": problems }))?;
    } else {
        let mut out = out();
        for problem in &problems {
            writeln!(out, "{}", sentence(&problem.to_string()).trim_end_matches('.'))?;
        }
        match problems.len() {
            0 => writeln!(out, "{} is well.", path.display())?,
            1 => writeln!(out, "1 problem.")?,
            count => writeln!(out, "{count} problems.")?,
        }
        out.flush()?;
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Said) }
}

fn show(context: &Context, args: &SetArgs) -> Result<()> {
    let loaded = context.loaded(&args.set)?;
    if context.json {
        return print_json(&json!({ "settings": loaded.settings }));
    }
    let mut out = out();
    for shown in &loaded.settings {
        writeln!(out, "{shown}")?;
    }
    Ok(out.flush()?)
}
