//! What all commands share: the home, the configuration, the form of the output, the lock.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{Error, Result};
use super::passphrase;
use crate::engine::Engine;
use crate::node::config::{Config, ConfigError, Loaded, StoreKind};
use crate::node::{Home, Role, Unlocked, clock};

/// The directory in the user's own that is the home unless another is named.
const DEFAULT_HOME: &str = ".bzzz";

/// The file that a process holds locked while it writes to the node's log.
const LOCK: &str = "lock";

pub(super) struct Context {
    pub(super) home: Home,
    /// Whether the home was named, so that the commands which are shown have to name it too.
    named: bool,
    pub(super) json: bool,
    pub(super) verbose: u8,
}

/// Held as long as this process may write to the node's log.
pub(super) struct Lock(#[expect(dead_code, reason = "dropping it unlocks")] File);

impl Context {
    pub(super) fn new(home: Option<&Path>, json: bool, verbose: u8) -> Result<Self> {
        let dir = match home {
            Some(dir) => std::path::absolute(dir)
                .map_err(|error| Error::usage(format!("{}: {error}", dir.display())))?,
            None => std::env::home_dir()
                .map(|dir| dir.join(DEFAULT_HOME))
                .ok_or_else(|| Error::usage("no home is known; name one with --home"))?,
        };
        Ok(Self { home: Home::at(&dir), named: home.is_some(), json, verbose })
    }

    /// A command as people would have to type it for this home.
    pub(super) fn command(&self, rest: &str) -> String {
        let dir = self.home.dir().display().to_string();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
        match (self.named, dir.chars().all(plain)) {
            (false, _) => format!("bzzz {rest}"),
            (true, true) => format!("bzzz --home {dir} {rest}"),
            (true, false) => format!("bzzz --home '{}' {rest}", dir.replace('\'', "'\\''")),
        }
    }

    /// The configuration, and where each value comes from.
    pub(super) fn loaded(
        &self,
        flags: &[(String, String)],
    ) -> std::result::Result<Loaded, ConfigError> {
        Config::load(&self.home.config_file(), &environment(), flags)
    }

    pub(super) fn config(&self, flags: &[(String, String)]) -> Result<Config> {
        // A missing home is said before its missing configuration.
        let _ = self.home.read_key()?;
        Ok(self.loaded(flags)?.config)
    }

    /// The logs as they are on disk, for reading; nothing if they are in the memory of a node.
    pub(super) fn reader(&self, config: &Config) -> Result<Option<Engine>> {
        match config.store.kind {
            StoreKind::Memory => Ok(None),
            StoreKind::Rocksdb | StoreKind::Hypercore => {
                let (me, swarm) = (self.home.author()?, self.home.swarm()?);
                let store = self.home.store(&config.store, Role::Reader)?;
                Ok(Some(Engine::open_to_read(store, me, swarm, clock::wall_ms())?))
            }
        }
    }

    /// As [`Context::reader`], with the node's key, to sign what stands in no log.
    pub(super) fn signer(&self, config: &Config) -> Result<Option<Engine>> {
        if config.store.kind == StoreKind::Memory {
            return Ok(None);
        }
        let (key, swarm) = (self.unlock(config)?.key, self.home.swarm()?);
        let store = self.home.store(&config.store, Role::Reader)?;
        Ok(Some(Engine::open(store, key, swarm, clock::wall_ms())?))
    }

    /// The logs for writing, which no node may have open.
    pub(super) fn writer(&self, config: &Config) -> Result<(Engine, Lock)> {
        self.writer_as(config, &self.unlock(config)?)
    }

    /// As [`Context::writer`], with the node's key, which was read.
    pub(super) fn writer_as(&self, config: &Config, unlocked: &Unlocked) -> Result<(Engine, Lock)> {
        if config.store.kind == StoreKind::Memory {
            let what = "the logs are kept in the node's memory, and no node runs here";
            return Err(Error::new(what).hint(format!("start it: {}", self.command("up"))));
        }
        let lock = self.lock()?;
        let (key, swarm) = (unlocked.key.clone(), self.home.swarm()?);
        let store = self.home.store(&config.store, Role::Writer)?;
        let engine = Engine::open(store, key, swarm, clock::wall_ms())?;
        engine.finish_erasing()?;
        Ok((engine, lock))
    }

    /// The node's key. A passphrase that protects it is read from the file that the configuration
    /// names, or asked for.
    pub(super) fn unlock(&self, config: &Config) -> Result<Unlocked> {
        let file = self.home.read_key()?;
        let named = config.node.passphrase_file.as_deref();
        let passphrase = match file.is_locked() {
            true => Some(passphrase::known(named, &self.home.key_file())?),
            false => None,
        };
        Ok(file.unlock(passphrase.as_ref())?)
    }

    /// Two processes that write under one key would fork its log.
    pub(super) fn lock(&self) -> Result<Lock> {
        let path = self.home.dir().join(LOCK);
        let failed =
            |error: io::Error| Error::new(format!("{} cannot be locked: {error}", path.display()));
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::Error(error)) => Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                let what = format!("a node runs in {} already", self.home.dir().display());
                Err(Error::new(what).hint(format!("`{}` shows it", self.command("status"))))
            }
        }
    }
}

/// The variables of the environment that are text.
pub(super) fn environment() -> BTreeMap<String, String> {
    let all = std::env::vars_os();
    all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Standard output.
pub(super) fn out() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Prints one JSON document.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let mut out = out();
    serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// Writes a file as a whole or not at all, readable by its owner alone if it is secret.
pub(super) fn write_whole(path: &Path, bytes: &[u8], secret: bool) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let aside = aside(path);
    // What an interrupted run left may have another mode.
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mode = if secret { 0o600 } else { 0o644 };
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&aside)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let moved = written.and_then(|()| std::fs::rename(&aside, path));
    if moved.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&aside);
    }
    moved
}

/// A name beside a file, for what is not whole yet.
pub(super) fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}
