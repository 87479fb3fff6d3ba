//! Stores of logs: [`memory`] for tests, simulators and auditors, `rocksdb` or `hypercore` for
//! nodes. One suite of conformance runs on all (`tests/it/store.rs`).

use std::collections::BTreeMap;

use crate::kernel::identity::AuthorId;
use crate::kernel::log::{Append, StoreError};

#[cfg(feature = "hypercore")]
pub mod hypercore;
pub mod memory;
#[cfg(feature = "rocksdb")]
pub mod rocksdb;

/// Locks a file of a store for this process. A program that this one starts holds a copy of every
/// open file until its own begins, so that a store that was just closed can be locked a little
/// longer: the lock is tried for a second.
#[cfg(any(feature = "hypercore", feature = "rocksdb"))]
fn lock(file: &std::fs::File, path: &std::path::Path) -> Result<(), StoreError> {
    const WHAT: &str = "open its files";
    let mut attempts = 50;
    loop {
        attempts -= 1;
        let cause = match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(std::fs::TryLockError::WouldBlock) if attempts > 0 => {
                std::thread::sleep(std::time::Duration::from_millis(20));
                continue;
            }
            Err(std::fs::TryLockError::WouldBlock) => " is open in another process".to_owned(),
            Err(std::fs::TryLockError::Error(error)) => format!(": {error}"),
        };
        return Err(StoreError::Io { what: WHAT, cause: format!("{}{cause}", path.display()) });
    }
}

/// The lengths of the logs behind a commit. Each append must start where the log ends in the store,
/// or where an earlier append of the same commit ended.
fn lengths_behind(
    appends: &[Append],
    held: impl Fn(&AuthorId) -> u64,
) -> Result<BTreeMap<AuthorId, u64>, StoreError> {
    let mut lengths = BTreeMap::new();
    for append in appends {
        let (author, from) = (append.author(), append.from());
        let length = lengths.entry(author).or_insert_with(|| held(&author));
        if *length != from {
            return Err(StoreError::Gap { author, length: *length, from });
        }
        *length = append.length();
    }
    Ok(lengths)
}
