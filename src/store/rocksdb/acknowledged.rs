//! What the store has promised: the sequence number of its last durable write, in a small file
//! beside the database.
//!
//! RocksDB's write-ahead log ends at the first record that cannot be read, since a crash may have
//! torn it. Damage in the middle of the log looks the same, and would silently take all that
//! follows with it. The file tells the two apart. It is written after each durable write and is
//! never synced itself: it survives a crash of the process, and after one of the machine it may be
//! behind, but never ahead of what is durable.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::kernel::log::StoreError;
use crate::store::lock;

/// The name of the file in the store's directory.
pub(super) const NAME: &str = "ACKNOWLEDGED";

/// Sequence number (u64, little-endian) and the first bytes of its hash.
const BYTES: usize = 16;

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct Acknowledged(File);

/// The path of the file.
pub(super) fn path(store: &Path) -> PathBuf {
    store.join(NAME)
}

/// The last sequence number that was acknowledged. `None` if there is no file, or what is in it was
/// lost with the machine's power.
pub(super) fn read(store: &Path) -> io::Result<Option<u64>> {
    let file = match File::open(path(store)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::with_capacity(BYTES);
    file.take(BYTES as u64).read_to_end(&mut bytes)?;
    let Some(number) = bytes.first_chunk::<8>() else {
        return Ok(None);
    };
    let number = u64::from_le_bytes(*number);
    Ok((encode(number)[..] == bytes).then_some(number))
}

impl Acknowledged {
    /// Opens or creates the file.
    pub(super) fn open(store: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        Ok(Self(options.open(path(store))?))
    }

    /// Locks the file, and with it the store, until it is closed. Readers need no lock.
    pub(super) fn lock(&self, store: &Path) -> Result<(), StoreError> {
        lock(&self.0, store)
    }

    /// Notes that everything up to the sequence number is durable.
    pub(super) fn note(&mut self, number: u64) -> io::Result<()> {
        self.0.rewind()?;
        self.0.write_all(&encode(number))
    }
}

fn encode(number: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let hash = blake3::hash(&number.to_le_bytes());
    bytes[8..].copy_from_slice(&hash.as_bytes()[..8]);
    bytes
}
