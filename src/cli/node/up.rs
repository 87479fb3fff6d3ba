//! `bzzz up`: runs the node in the foreground.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info};

use super::context::{Context, out, write_whole};
use super::error::{Error, Result};
use super::logging;
use crate::node::config::Config;
use crate::node::{Crash, Home, Node, NodeError, PeoplesKeys, Unlocked, agent_settings, clock};
use crate::web;

/// Run the node in the foreground until it is told to stop
///
/// The log goes to standard error. One line on standard output says when the node is up, and where
/// its page and API are. SIGINT and SIGTERM stop it in order; a second one ends it at once.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct UpArgs {
    /// Override a key of the configuration; lists are separated by commas. Can be given again
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = super::key_value)]
    set: Vec<(String, String)>,
    /// End the process abruptly at a place of the node's own log: "before:N" or "after:N" events.
    /// Tests of what follows a crash use it
    #[arg(long, value_name = "WHERE", hide = true, value_parser = crash)]
    crash: Option<Crash>,
}

fn crash(text: &str) -> std::result::Result<Crash, String> {
    let wrong = || "it reads before:N or after:N".to_owned();
    let (side, number) = text.split_once(':').ok_or_else(wrong)?;
    let number = number.parse().map_err(|_| wrong())?;
    match side {
        "before" => Ok(Crash::Before(number)),
        "after" => Ok(Crash::After(number)),
        _ => Err(wrong()),
    }
}

const AFTER: &str = "\
Exit status:
  0  it was told to stop
  1  it could not start, or a part of it failed
  2  wrong usage

Examples:
  bzzz up
  bzzz up --set api.listen=127.0.0.1:7400 --set node.log_format=json";

pub(super) fn run(context: &Context, args: &UpArgs) -> Result<()> {
    let config = context.config(&args.set)?;
    let _lock = context.lock()?;
    // Before anything else starts: somebody may have to type the passphrase.
    let unlocked = context.unlock(&config)?;
    logging::start(config.node.log_format, &config.node.log_level, context.verbose)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::new(format!("no threads can be started: {e}")))?;
    let ended = runtime.block_on(live(context, &config, unlocked, args.crash));
    // Something that waits for the disk or the network must not hold the end up.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    ended
}

async fn live(
    context: &Context,
    config: &Config,
    unlocked: Unlocked,
    crash: Option<Crash>,
) -> Result<()> {
    let mut signals = Signals::listen()?;
    let home = &context.home;
    let listener = listen(config).await?;
    let mut node = tokio::select! {
        started = Node::start_as(home.clone(), config, unlocked, crash) => started?,
        () = signals.next() => return Ok(()),
    };
    let result = serve(context, config, listener, &mut node, &mut signals).await;
    remove(home);
    tokio::select! {
        () = node.stop() => result,
        () = signals.next() => {
            result?;
            Err(Error::new("the node was told twice to stop, and did not finish what it was at"))
        }
    }
}

async fn listen(config: &Config) -> Result<TcpListener> {
    let address = config.api.listen;
    TcpListener::bind(address).await.map_err(|error| {
        Error::new(format!("the API cannot listen on {address}: {error}"))
            .hint("`--set api.listen=127.0.0.1:0` takes any free port")
    })
}

/// Serves the page until a signal comes or a part fails.
async fn serve(
    context: &Context,
    config: &Config,
    listener: TcpListener,
    node: &mut Node,
    signals: &mut Signals,
) -> Result<()> {
    let fault = |error: std::io::Error| Error::new(format!("the API failed: {error}"));
    let address = listener.local_addr().map_err(fault)?;
    let token = hex::encode(clock::random::<32>()?);
    let source = node.status_source();
    let PeoplesKeys { key, secret } = PeoplesKeys::read(config).map_err(NodeError::from)?;
    let settings = config.clone();
    let shared = web::Shared {
        engine: Arc::clone(node.engine()),
        status: Box::new(move || {
            let source = source.clone();
            Box::pin(async move { json!(source.status().await) })
        }),
        clock: Box::new(clock::wall_ms),
        token: token.clone(),
        remote: !address.ip().is_loopback() && config.api.allow_remote,
        callback: web::Callback { key, secret },
        mask: node.mask(),
        agent: Box::new(move || agent_settings(&settings)),
    };
    let stop = watch::Sender::new(false);
    let mut stopped = stop.subscribe();
    let shutdown = async move {
        // An error says that the sender is gone: then it is over as well.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let mut page = tokio::spawn(web::serve(listener, shared, shutdown));
    write(&context.home, address, &token)?;
    announce(context, config, node, address)?;
    let result = tokio::select! {
        () = signals.next() => {
            info!("told to stop");
            Ok(())
        }
        error = node.failed() => Err(error.into()),
        served = &mut page => {
            let why = match served {
                Ok(Ok(())) => "it ended by itself".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            return Err(Error::new(format!("the API failed: {why}")));
        }
    };
    stop.send_replace(true);
    if let Err(error) = page.await {
        error!(%error, "the API failed while it was stopped");
    }
    result
}

/// Writes down where the API is and what it wants to see, the token first.
fn write(home: &Home, address: SocketAddr, token: &str) -> Result<()> {
    for (path, text, secret) in [
        (home.token_file(), format!("{token}\n"), true),
        (home.api_file(), format!("{address}\n"), false),
    ] {
        write_whole(&path, text.as_bytes(), secret).map_err(|error| {
            Error::new(format!("{} cannot be written: {error}", path.display()))
        })?;
    }
    Ok(())
}

/// What is left there would only mislead.
fn remove(home: &Home) {
    for path in [home.api_file(), home.token_file()] {
        // It may never have been written.
        let _ = std::fs::remove_file(path);
    }
}

fn announce(context: &Context, config: &Config, node: &Node, address: SocketAddr) -> Result<()> {
    let engine = node.engine();
    let (me, swarm) = (engine.me(), engine.swarm());
    let name = config.node.name.clone().unwrap_or_else(|| me.short());
    let mut out = out();
    let said = match context.json {
        true => writeln!(
            out,
            "{}",
            json!({ "node": me, "name": name, "swarm": swarm, "api": format!("http://{address}/") })
        ),
        false => writeln!(out, "{name} is up in swarm {}: http://{address}/", swarm.short()),
    };
    match said.and_then(|()| out.flush()) {
        // The node runs on for those who don't read this.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// What tells the program to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let failed = |error: std::io::Error| Error::new(format!("no signals are heard: {error}"));
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        Ok(Self { interrupt, terminate })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
