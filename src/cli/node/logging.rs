//! The program's own log, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::error::{Error, Result};
use crate::node::config::LogFormat;

/// Starts logging: what `filter` says, or more for each `-v`.
pub(super) fn start(format: LogFormat, filter: &str, verbose: u8) -> Result<()> {
    let filter = match verbose {
        0 => filter,
        1 => "info,bzzz=debug",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Error::new(format!("node.log_level cannot be used: {error}")))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Error::new(format!("the log cannot be started: {error}")))
}
