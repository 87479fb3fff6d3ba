//! The key file: the seed of an Ed25519 key as hexadecimal digits, readable by its owner alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::kernel::identity::SecretKey;

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
}

/// Reads a key file.
pub(super) fn read(path: &Path) -> Result<SecretKey, KeyError> {
    let failed = |source| KeyError::Io { path: path.to_owned(), what: "read", source };
    let file = fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Mode { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    let form = |line, expected| KeyError::Form { path: path.to_owned(), line, expected };
    let mut lines = text.lines();
    if lines.next() != Some(MAGIC) {
        return Err(form(1, "`bzzz-key-v1`"));
    }
    let mut seed = Zeroizing::new([0; 32]);
    let digits = lines.next().unwrap_or("").trim();
    hex::decode_to_slice(digits, &mut *seed).map_err(|_| form(2, "64 hexadecimal digits"))?;
    if lines.any(|line| !line.trim().is_empty()) {
        return Err(form(3, "absent"));
    }
    Ok(SecretKey::from_seed(&seed))
}

/// Writes a new key file. A file that is there is never overwritten.
pub(super) fn write(path: &Path, key: &SecretKey) -> Result<(), KeyError> {
    let failed = |source| KeyError::Io { path: path.to_owned(), what: "written", source };
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = options.map_err(failed)?;
    let text = Zeroizing::new(format!("{MAGIC}\n{}\n", *Zeroizing::new(hex::encode(*key.seed()))));
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_written_and_bad_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = SecretKey::from_seed(&[3; 32]);
        write(&path, &key).unwrap();
        assert_eq!(read(&path).unwrap().author(), key.author());
        assert!(matches!(write(&path, &key), Err(KeyError::Io { what: "written", .. })));
        fs::write(&path, "bzzz-key-v1\nabc\n").unwrap();
        assert!(matches!(read(&path), Err(KeyError::Form { line: 2, .. })));
        fs::write(&path, "something\n").unwrap();
        assert!(matches!(read(&path), Err(KeyError::Form { line: 1, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&path), Err(KeyError::Mode { mode: 0o644, .. })));
    }
}
