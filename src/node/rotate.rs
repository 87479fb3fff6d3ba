//! The rotation of a node's key, which can be interrupted at any moment.
//!
//! Three steps, each durable before the next: the new key is in `key.next`; the rotation is the
//! last event of the old key's log; `key.next` takes the place of `key`. Between the steps the log
//! says how far it came, so that whoever comes next completes it or, if nothing was said, undoes
//! it.

use std::fs;
use std::path::PathBuf;

use tracing::warn;

use super::clock;
use super::config;
use super::home::{Home, HomeError, Role, io_error, new_key};
use super::key::{self, KeyFile, Unlocked};
use crate::engine::{Engine, EngineError, RotateError, Stop};

/// What came of a rotation.
#[derive(Debug)]
pub struct Rotated {
    /// The new key, which is the node's from now on.
    pub key: Unlocked,
    /// An earlier attempt had written the rotation, and only the key file was put in place now.
    pub completed: bool,
}

impl Home {
    /// The file of the key that is to follow, during a rotation.
    pub(super) fn next_file(&self) -> PathBuf {
        self.dir().join("key.next")
    }

    /// Rotates the node's key: the log of the engine's key ends, and the home has a new key with
    /// the same passphrase. The node must not run meanwhile. An attempt that was interrupted is
    /// completed.
    ///
    /// # Errors
    /// [`HomeError`]. If the log ended with the rotation nevertheless, the next attempt or start
    /// completes it.
    pub fn rotate(&self, engine: &Engine, present: &Unlocked) -> Result<Rotated, HomeError> {
        if let Some(key) = self.follower(engine, present)? {
            self.take_next(&key)?;
            return Ok(Rotated { key, completed: true });
        }
        engine.may_rotate()?;
        let key = self.make_next(present)?;
        match engine.rotate(&key.key, clock::wall_ms()) {
            Ok(()) => {}
            Err(error @ (RotateError::Refused(_) | RotateError::Known)) => {
                self.drop_next()?;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        }
        self.take_next(&key)?;
        Ok(Rotated { key, completed: false })
    }

    /// First step: a key that nobody had before, durably beside the present one.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn make_next(&self, present: &Unlocked) -> Result<Unlocked, HomeError> {
        let key = new_key(present.passphrase.clone())?;
        key::replace(&self.next_file(), &key)?;
        Ok(key)
    }

    /// Last step: the key that follows is the node's own, and the old one is gone.
    ///
    /// # Errors
    /// [`HomeError`]; the one or the other is in place.
    pub fn take_next(&self, next: &Unlocked) -> Result<(), HomeError> {
        let (from, to) = (self.next_file(), self.key_file());
        let moved = fs::rename(&from, &to).and_then(|()| key::sync_parent(&to));
        moved.map_err(|source| io_error(&to, "put in place", source))?;
        self.note_public(next)
    }

    /// Completes a rotation that was interrupted after it was said, and undoes one that was not
    /// said. Gives the key that is the node's from now on.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(super) fn settle(
        &self,
        store: &config::Store,
        present: Unlocked,
    ) -> Result<Unlocked, HomeError> {
        let path = self.next_file();
        if !path.exists() {
            self.note_public(&present)?;
            return Ok(present);
        }
        let store = self.store(store, Role::Writer)?;
        let engine = Engine::open(store, present.key.clone(), self.swarm()?, clock::wall_ms())?;
        let old = present.key.author();
        if let Some(next) = self.follower(&engine, &present)? {
            self.take_next(&next)?;
            let new = next.key.author();
            warn!(%old, %new, "a rotation of the key that was interrupted is complete");
            return Ok(next);
        }
        self.drop_next()?;
        warn!(key = %old, "a rotation of the key that was interrupted is undone: the key stays");
        Ok(present)
    }

    /// The key in `key.next`, if the log says that it follows. If the log has ended, nothing else
    /// will do.
    fn follower(&self, engine: &Engine, present: &Unlocked) -> Result<Option<Unlocked>, HomeError> {
        let Some(successor) = engine.ended()? else { return Ok(None) };
        let path = self.next_file();
        if !path.exists() {
            return Err(EngineError::from(Stop::Rotated { successor }).into());
        }
        let next = KeyFile::read(&path)?.unlock(present.passphrase.as_ref())?;
        match next.key.author() == successor {
            true => Ok(Some(next)),
            false => Err(HomeError::OtherNext { path, successor }),
        }
    }

    fn drop_next(&self) -> Result<(), HomeError> {
        let path = self.next_file();
        let removed = fs::remove_file(&path).and_then(|()| key::sync_parent(&path));
        removed.map_err(|source| io_error(&path, "removed", source))
    }
}
