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
