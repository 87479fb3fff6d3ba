//! A node's home directory: where its key, its configuration, its store and its working files are.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::clock::{self, NoRandomness};
use super::config::{self, Config, ConfigError, StoreKind};
use super::key::{self, KeyError, KeyFile, Passphrase, Unlocked};
use super::stores;
use crate::engine::{self, Copied, EngineError, RotateError};
use crate::kernel::identity::{AuthorId, SecretKey, SwarmId};
use crate::kernel::log::{LogStore, StoreError};

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// To read, beside a node that runs.
    Reader,
    /// To read and write: nobody else has it open.
    Writer,
}

/// A node's home directory.
#[derive(Clone, Debug)]
pub struct Home {
    dir: PathBuf,
}

/// Why a home directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Something in it cannot be read or written.
    #[error("{path} cannot be {what}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// It is the home of a node already.
    #[error("{0} is the home of a node already")]
    Taken(PathBuf),
    /// Something is where a new store should be.
    #[error("{0} is there already; nothing was overwritten")]
    There(PathBuf),
    /// A founder that forgets its log.
    #[error("a swarm's founder keeps its log on disk: in memory, the founding event would be lost")]
    Memory,
    /// It is no node's home.
    #[error("{0} is no node's home; run `bzzz init` first, or name another with --home")]
    Absent(PathBuf),
    /// The file that names the swarm does not.
    #[error("{0} should hold a swarm's id, 64 hexadecimal digits")]
    Swarm(PathBuf),
    /// The public key of a protected key file is not to be had without its passphrase.
    #[error("{0} should hold the node's public key; `bzzz key show` writes it")]
    Public(PathBuf),
    /// A rotation was begun and is neither complete nor undone.
    #[error("a rotation of the key was begun and not finished: {0} is there")]
    Unfinished(PathBuf),
    /// The log has ended with a rotation to a key that is not in this home.
    #[error("the log has ended with a rotation to {successor}, and {path} is not that key")]
    OtherNext {
        /// The file of the key that was to follow.
        path: PathBuf,
        /// The key that follows.
        successor: AuthorId,
    },
    /// The file that is imported is of another swarm.
    #[error("the key is of swarm {found}, and this home of swarm {expected}")]
    OtherSwarm {
        /// What the file says.
        found: SwarmId,
        /// What the home says.
        expected: SwarmId,
    },
    /// The rotation.
    #[error(transparent)]
    Rotate(#[from] RotateError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The machine has no randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

impl Home {
    /// The home at a directory, which need not be there.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.dir.join(config::FILE_NAME)
    }

    /// The file in which a running node says where its API listens.
    #[must_use]
    pub fn api_file(&self) -> PathBuf {
        self.dir.join("api.addr")
    }

    /// The file that holds the token of the API.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.dir.join("api.token")
    }

    /// The directory of the remotes' mirrors.
    #[must_use]
    pub fn mirrors(&self) -> PathBuf {
        self.dir.join("mirrors")
    }

    /// The file of what was taken up from Hive.
    #[must_use]
    pub fn hive_file(&self) -> PathBuf {
        self.dir.join("hive.json")
    }

    /// The directory of the tasks' files.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// The key file.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.dir.join("key")
    }

    /// The file of the public key, beside a key file that a passphrase protects.
    pub(super) fn public_file(&self) -> PathBuf {
        self.dir.join("key.pub")
    }

    fn swarm_file(&self) -> PathBuf {
        self.dir.join("swarm")
    }

    /// The node's key file, which a passphrase may protect.
    ///
    /// # Errors
    /// [`HomeError::Absent`] or [`HomeError::Key`].
    pub fn read_key(&self) -> Result<KeyFile, HomeError> {
        if !self.dir.is_dir() || !self.key_file().exists() {
            return Err(HomeError::Absent(self.dir.clone()));
        }
        Ok(KeyFile::read(&self.key_file())?)
    }

    /// The node's key.
    ///
    /// # Errors
    /// [`HomeError::Absent`] or [`HomeError::Key`].
    pub fn unlock(&self, passphrase: Option<&Passphrase>) -> Result<Unlocked, HomeError> {
        Ok(self.read_key()?.unlock(passphrase)?)
    }

    /// The node's public key, for which no passphrase is needed.
    ///
    /// # Errors
    /// [`HomeError::Absent`], [`HomeError::Key`] or [`HomeError::Public`].
    pub fn author(&self) -> Result<AuthorId, HomeError> {
        let file = self.read_key()?;
        if !file.is_locked() {
            return Ok(file.unlock(None)?.key.author());
        }
        let path = self.public_file();
        key::read_public(&path).ok_or(HomeError::Public(path))
    }

    /// Writes the public key beside a protected key file, unless it is there.
    ///
    /// # Errors
    /// [`HomeError::Key`].
    pub fn note_public(&self, unlocked: &Unlocked) -> Result<(), HomeError> {
        let (path, author) = (self.public_file(), unlocked.key.author());
        if unlocked.passphrase.is_some() && key::read_public(&path) != Some(author) {
            key::write_public(&path, &author)?;
        }
        Ok(())
    }

    /// Writes the same key anew, protected by another passphrase or by none. At every moment one of
    /// the two files is there whole.
    ///
    /// # Errors
    /// [`HomeError::Key`], or [`HomeError::Unfinished`] during a rotation, whose new key has the
    /// old passphrase.
    pub fn protect(&self, key: &SecretKey, with: Option<Passphrase>) -> Result<(), HomeError> {
        if self.next_file().exists() {
            return Err(HomeError::Unfinished(self.next_file()));
        }
        let unlocked = Unlocked { key: key.clone(), swarm: None, passphrase: with };
        self.note_public(&unlocked)?;
        Ok(key::replace(&self.key_file(), &unlocked)?)
    }

    /// The swarm that the node belongs to.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn swarm(&self) -> Result<SwarmId, HomeError> {
        let path = self.swarm_file();
        if !path.exists() {
            return Err(HomeError::Absent(self.dir.clone()));
        }
        let text = fs::read_to_string(&path).map_err(|source| io_error(&path, "read", source))?;
        text.trim().parse().map_err(|_| HomeError::Swarm(path))
    }

    /// Founds a swarm with this node as its administrator, as [`Home::found_with`] does without any
    /// variables of the environment.
    ///
    /// # Errors
    /// [`HomeError`]; a home that is there already is left as it is.
    pub fn found(&self, name: &str, config: &str) -> Result<(AuthorId, SwarmId), HomeError> {
        self.found_with(name, config, &BTreeMap::new(), None)
    }

    /// Founds a swarm with this node as its administrator. The founding event goes into the store
    /// that the configuration names: the file in the home, or the text where there is none, with
    /// the variables of the environment. The passphrase, if there is one, protects the key file.
    ///
    /// # Errors
    /// [`HomeError`]; a home that is there already is left as it is.
    pub fn found_with(
        &self,
        name: &str,
        config: &str,
        environment: &BTreeMap<String, String>,
        passphrase: Option<Passphrase>,
    ) -> Result<(AuthorId, SwarmId), HomeError> {
        // A configuration that will not do is refused before anything is made.
        let file = self.config_file();
        let settings = match file.exists() {
            true => Config::load(&file, environment, &[])?,
            false => Config::parse(config, &file, environment, &[])?,
        };
        let settings = settings.config.store;
        if settings.kind == StoreKind::Memory {
            return Err(HomeError::Memory);
        }
        self.prepare(config)?;
        let unlocked = new_key(passphrase)?;
        let key = unlocked.key.clone();
        let founding = engine::found(&key, name, clock::random()?, clock::wall_ms())?;
        let swarm = founding.swarm;
        let store = stores::open(&settings, &swarm, Role::Writer)?;
        founding.commit(&*store, &key)?;
        self.complete(&swarm, &unlocked)?;
        Ok((key.author(), swarm))
    }

    /// Prepares to join a swarm, whose administrator then admits the node's key.
    ///
    /// # Errors
    /// [`HomeError`]; a home that is there already is left as it is.
    pub fn join(&self, swarm: SwarmId, config: &str) -> Result<AuthorId, HomeError> {
        self.join_with(swarm, config, None)
    }

    /// As [`Home::join`], with a new key whose file the passphrase protects.
    ///
    /// # Errors
    /// [`HomeError`]; a home that is there already is left as it is.
    pub fn join_with(
        &self,
        swarm: SwarmId,
        config: &str,
        passphrase: Option<Passphrase>,
    ) -> Result<AuthorId, HomeError> {
        self.join_as(swarm, config, &new_key(passphrase)?)
    }

    /// Makes a home for a key that was exported elsewhere.
    ///
    /// # Errors
    /// [`HomeError`]; a home that is there already is left as it is.
    pub fn join_as(
        &self,
        swarm: SwarmId,
        config: &str,
        unlocked: &Unlocked,
    ) -> Result<AuthorId, HomeError> {
        self.prepare(config)?;
        self.complete(&swarm, unlocked)?;
        Ok(unlocked.key.author())
    }

    /// Puts another key into the place of the home's own, whose file is put aside; tells where.
    /// The node must not run meanwhile.
    ///
    /// # Errors
    /// [`HomeError`]; the key file is one of the two, whole.
    pub fn exchange_key(&self, unlocked: &Unlocked) -> Result<PathBuf, HomeError> {
        let expected = self.swarm()?;
        if let Some(found) = unlocked.swarm.filter(|found| *found != expected) {
            return Err(HomeError::OtherSwarm { found, expected });
        }
        if self.next_file().exists() {
            return Err(HomeError::Unfinished(self.next_file()));
        }
        let (path, mut number) = (self.key_file(), 1);
        let aside = loop {
            let aside = self.dir.join(format!("key.old-{number}"));
            match fs::hard_link(&path, &aside) {
                Ok(()) => break aside,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(io_error(&aside, "made", source)),
            }
        };
        let unlocked = Unlocked { swarm: None, ..unlocked.clone() };
        key::replace(&path, &unlocked)?;
        self.note_public(&unlocked)?;
        Ok(aside)
    }

    /// The key file is written last, so that a home that was only half made is no home yet.
    fn complete(&self, swarm: &SwarmId, unlocked: &Unlocked) -> Result<(), HomeError> {
        self.write("swarm", &format!("{swarm}\n"))?;
        let unlocked = Unlocked { swarm: None, ..unlocked.clone() };
        self.note_public(&unlocked)?;
        Ok(key::write_new(&self.key_file(), &unlocked)?)
    }

    fn prepare(&self, config: &str) -> Result<(), HomeError> {
        if self.key_file().exists() {
            return Err(HomeError::Taken(self.dir.clone()));
        }
        let failed = |source| io_error(&self.dir, "made", source);
        fs::create_dir_all(&self.dir).map_err(failed)?;
        if !self.config_file().exists() {
            self.write(config::FILE_NAME, config)?;
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), HomeError> {
        let path = self.dir.join(name);
        fs::write(&path, text).map_err(|source| io_error(&path, "written", source))
    }

    /// Opens the node's store.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn store(
        &self,
        settings: &config::Store,
        role: Role,
    ) -> Result<Arc<dyn LogStore>, HomeError> {
        Ok(stores::open(settings, &self.swarm()?, role)?)
    }

    /// Copies the logs to a new store, which must not be there, and compares it with the old one.
    /// `tell` gets the number of records so far. The node must not run meanwhile.
    ///
    /// # Errors
    /// [`HomeError`]; the old store is as it was.
    pub fn migrate(
        &self,
        from: &config::Store,
        to: &config::Store,
        tell: impl FnMut(u64),
    ) -> Result<Copied, HomeError> {
        stores::migrate(from, to, &self.swarm()?, tell)
    }

    /// Names the new store in the configuration file, and puts the old one aside; tells where.
    ///
    /// # Errors
    /// [`HomeError`]. The configuration names one of the two in any case.
    pub fn use_store(
        &self,
        old: &config::Store,
        new: &config::Store,
    ) -> Result<PathBuf, HomeError> {
        let file = self.config_file();
        let text = fs::read_to_string(&file).map_err(|source| io_error(&file, "read", source))?;
        let text = new.put_into(&text, &file)?;
        let part = stores::beside(&file, "part");
        let written = fs::File::create(&part).and_then(|mut part| {
            part.write_all(text.as_bytes())?;
            part.sync_all()
        });
        let written = written.and_then(|()| fs::rename(&part, &file));
        written.map_err(|source| io_error(&file, "written", source))?;
        let aside = stores::beside(&old.path, "old");
        let moved = fs::rename(&old.path, &aside);
        moved.map_err(|source| io_error(&old.path, "put aside", source))?;
        Ok(aside)
    }
}

/// A key that nobody had before.
pub(super) fn new_key(passphrase: Option<Passphrase>) -> Result<Unlocked, HomeError> {
    let seed = zeroize::Zeroizing::new(clock::random()?);
    Ok(Unlocked { key: SecretKey::from_seed(&seed), swarm: None, passphrase })
}

pub(super) fn io_error(path: &Path, what: &'static str, source: io::Error) -> HomeError {
    HomeError::Io { path: path.to_owned(), what, source }
}
