//! The key file: the seed of an Ed25519 key as hexadecimal digits, readable by its owner alone,
//! and protected by a passphrase if its owner wants it.
//!
//! Its first line is `bzzz-key-v1`, the second the seed, 64 hexadecimal digits. A file that was
//! exported has a third, `swarm` and the swarm's id. With a passphrase, all of this is inside of an
//! armored file of the age format.

mod passphrase;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

pub use passphrase::{MAX_PASSPHRASE, OpenError, Passphrase, PassphraseError};

use crate::kernel::identity::{AuthorId, SecretKey, SwarmId};

/// The first line of a key file.
const MAGIC: &str = "bzzz-key-v1";

/// The longest key file that is read, in bytes.
const MAX_FILE: u64 = 4096;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the key file {path} cannot be {what}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// Others may read the file.
    #[error(
        "the key file {path} has mode {mode:o}, so that others may read it; run `chmod 600 {path}`"
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file holds no key.
    #[error("the key file {path} is not one: line {line} should be {expected}")]
    Form {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// What it should be.
        expected: &'static str,
    },
    /// The file is longer than a key file can be.
    #[error("the key file {0} is not one: it has more than {MAX_FILE} bytes")]
    Long(PathBuf),
    /// The file is protected, and no passphrase is known.
    #[error("the key file {0} is protected by a passphrase")]
    Locked(PathBuf),
    /// The file is protected, and was not opened.
    #[error("the key file {path} was not opened: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// The passphrase.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
}

/// A key that was read, and what protected its file.
#[derive(Clone, Debug)]
pub struct Unlocked {
    /// The key.
    pub key: SecretKey,
    /// The swarm in which it is used, if the file says so, as exported ones do.
    pub swarm: Option<SwarmId>,
    /// The passphrase of the file, if it has one.
    pub passphrase: Option<Passphrase>,
}

/// The bytes of a key file, and whether they are protected.
pub struct KeyFile {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
}

impl KeyFile {
    /// Reads a key file, which nobody but its owner may be able to read.
    ///
    /// # Errors
    /// [`KeyError`]; the key itself is not looked at yet.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Io { path: path.to_owned(), what: "read", source };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Mode { path: path.to_owned(), mode });
        }
        // The buffer never moves, so that one wipe is enough.
        let mut bytes = Zeroizing::new(Vec::with_capacity(8192));
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(KeyError::Long(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), bytes })
    }

    /// Whether a passphrase protects it.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        passphrase::is_sealed(&self.bytes)
    }

    /// The key. `passphrase` is asked for only if it is needed; `None` says that there is none.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn unlock(&self, passphrase: Option<&Passphrase>) -> Result<Unlocked, KeyError> {
        if !self.is_locked() {
            let (key, swarm) = self.parse(&self.bytes)?;
            return Ok(Unlocked { key, swarm, passphrase: None });
        }
        let passphrase = passphrase.ok_or_else(|| KeyError::Locked(self.path.clone()))?;
        let text = passphrase::open(&self.bytes, passphrase, MAX_FILE)
            .map_err(|source| KeyError::Open { path: self.path.clone(), source })?;
        let (key, swarm) = self.parse(&text)?;
        Ok(Unlocked { key, swarm, passphrase: Some(passphrase.clone()) })
    }

    fn parse(&self, text: &[u8]) -> Result<(SecretKey, Option<SwarmId>), KeyError> {
        let form = |line, expected| KeyError::Form { path: self.path.clone(), line, expected };
        let text = str::from_utf8(text).map_err(|_| form(1, "`bzzz-key-v1`"))?;
        let mut lines = text.lines();
        if lines.next() != Some(MAGIC) {
            return Err(form(1, "`bzzz-key-v1`"));
        }
        let mut seed = Zeroizing::new([0; 32]);
        let digits = lines.next().unwrap_or("").trim();
        hex::decode_to_slice(digits, &mut *seed).map_err(|_| form(2, "64 hexadecimal digits"))?;
        let third = lines.next().filter(|line| !line.trim().is_empty());
        let swarm = third.map(|line| line.strip_prefix("swarm ").and_then(|id| id.parse().ok()));
        let swarm = match swarm {
            Some(None) => return Err(form(3, "absent, or `swarm` and a swarm's id")),
            found => found.flatten(),
        };
        if lines.any(|line| !line.trim().is_empty()) {
            return Err(form(4, "absent"));
        }
        Ok((SecretKey::from_seed(&seed), swarm))
    }
}

/// The bytes of a key file.
///
/// # Errors
/// [`KeyError::Io`] if the machine cannot protect them.
pub fn bytes(unlocked: &Unlocked) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let digits = Zeroizing::new(hex::encode(*unlocked.key.seed()));
    let swarm = unlocked.swarm.map_or_else(String::new, |swarm| format!("swarm {swarm}\n"));
    let text = Zeroizing::new(format!("{MAGIC}\n{}\n{swarm}", *digits).into_bytes());
    let Some(passphrase) = &unlocked.passphrase else { return Ok(text) };
    let sealed = passphrase::seal(&text, passphrase);
    let sealed = sealed.map_err(|source| KeyError::Io {
        path: PathBuf::new(),
        what: "protected",
        source,
    })?;
    Ok(Zeroizing::new(sealed))
}

/// Writes a new key file, durably. A file that is there is never overwritten.
///
/// # Errors
/// [`KeyError::Io`].
pub fn write_new(path: &Path, unlocked: &Unlocked) -> Result<(), KeyError> {
    let failed = |source| KeyError::Io { path: path.to_owned(), what: "written", source };
    if fs::symlink_metadata(path).is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let part = part(path);
    write_part(&part, &bytes(unlocked)?).map_err(failed)?;
    // A link fails where a rename would overwrite.
    let linked = fs::hard_link(&part, path);
    let _ = fs::remove_file(&part);
    linked.and_then(|()| sync_parent(path)).map_err(failed)
}

/// Puts a key file in the place of what is there: at every moment, the one or the other is there
/// whole.
///
/// # Errors
/// [`KeyError::Io`].
pub(super) fn replace(path: &Path, unlocked: &Unlocked) -> Result<(), KeyError> {
    let failed = |source| KeyError::Io { path: path.to_owned(), what: "written", source };
    let part = part(path);
    let written = write_part(&part, &bytes(unlocked)?);
    written.and_then(|()| fs::rename(&part, path)).map_err(failed)?;
    sync_parent(path).map_err(failed)
}

/// The public key beside a protected file, so that no passphrase is asked for to show it.
pub(super) fn read_public(path: &Path) -> Option<AuthorId> {
    let mut text = String::new();
    File::open(path).ok()?.take(128).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Writes the public key beside the key file.
pub(super) fn write_public(path: &Path, author: &AuthorId) -> Result<(), KeyError> {
    let failed = |source| KeyError::Io { path: path.to_owned(), what: "written", source };
    let part = part(path);
    let written = write_part(&part, format!("{author}\n").as_bytes());
    written.and_then(|()| fs::rename(&part, path)).map_err(failed)?;
    sync_parent(path).map_err(failed)
}

fn part(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

fn write_part(part: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name in a directory is durable once the directory is.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unlocked(n: u8, passphrase: Option<&str>) -> Unlocked {
        let passphrase = passphrase.map(|text| Passphrase::new(text).unwrap());
        Unlocked { key: SecretKey::from_seed(&[n; 32]), swarm: None, passphrase }
    }

    #[test]
    fn a_key_is_read_as_written_and_bad_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let plain = unlocked(3, None);
        write_new(&path, &plain).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = || KeyFile::read(&path).and_then(|file| file.unlock(None));
        assert_eq!(read().unwrap().key.author(), plain.key.author());
        assert!(matches!(write_new(&path, &plain), Err(KeyError::Io { what: "written", .. })));
        fs::write(&path, "bzzz-key-v1\nabc\n").unwrap();
        assert!(matches!(read(), Err(KeyError::Form { line: 2, .. })));
        fs::write(&path, "something\n").unwrap();
        assert!(matches!(read(), Err(KeyError::Form { line: 1, .. })));
        let seed = "07".repeat(32);
        fs::write(&path, format!("bzzz-key-v1\n{seed}\nswarm x\n")).unwrap();
        assert!(matches!(read(), Err(KeyError::Form { line: 3, .. })));
        fs::write(&path, format!("bzzz-key-v1\n{seed}\nswarm {seed}\nmore\n")).unwrap();
        assert!(matches!(read(), Err(KeyError::Form { line: 4, .. })));
        fs::write(&path, vec![b'x'; 4097]).unwrap();
        assert!(matches!(read(), Err(KeyError::Long(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(), Err(KeyError::Mode { mode: 0o644, .. })));
    }

    #[test]
    fn a_protected_key_is_opened_by_its_passphrase_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let mut locked = unlocked(4, Some("four words are enough"));
        locked.swarm = Some(SwarmId([5; 32]));
        write_new(&path, &locked).unwrap();
        let file = KeyFile::read(&path).unwrap();
        assert!(file.is_locked());
        assert!(matches!(file.unlock(None), Err(KeyError::Locked(_))));
        let found = file.unlock(locked.passphrase.as_ref()).unwrap();
        assert_eq!((found.key.author(), found.swarm), (locked.key.author(), locked.swarm));
        let wrong = Passphrase::new("four words").unwrap();
        let refused = file.unlock(Some(&wrong)).map(drop);
        assert!(matches!(refused, Err(KeyError::Open { source: OpenError::Passphrase, .. })));
        // What an interrupted replacement left is in nobody's way.
        fs::write(part(&path), "half").unwrap();
        replace(&path, &unlocked(5, None)).unwrap();
        let found = KeyFile::read(&path).unwrap().unlock(None).unwrap();
        assert_eq!(found.key.author(), unlocked(5, None).key.author());
        assert!(!part(&path).exists());
    }
}
