//! The node's store: of which kind, where, and how it becomes one of another kind.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{self, StoreKind};
use super::home::{HomeError, Role, io_error};
use crate::engine::{self, Copied};
use crate::kernel::identity::SwarmId;
use crate::kernel::log::{LogStore, StoreError};
use crate::store::hypercore::HyperStore;
use crate::store::memory::MemoryStore;
use crate::store::rocksdb::RocksStore;

/// Opens the store that the configuration names. A writer makes it where there is none.
pub(super) fn open(
    settings: &config::Store,
    swarm: &SwarmId,
    role: Role,
) -> Result<Arc<dyn LogStore>, StoreError> {
    let path = &settings.path;
    Ok(match (settings.kind, role) {
        (StoreKind::Memory, _) => Arc::new(MemoryStore::new()),
        (StoreKind::Rocksdb, Role::Writer) => Arc::new(RocksStore::open(path, Some(swarm))?),
        (StoreKind::Rocksdb, Role::Reader) => Arc::new(RocksStore::open_read_only(path)?),
        (StoreKind::Hypercore, Role::Writer) => Arc::new(HyperStore::open(path, Some(swarm))?),
        (StoreKind::Hypercore, Role::Reader) => Arc::new(HyperStore::open_read_only(path)?),
    })
}

/// Copies the store that `from` names to where `to` names one, which must not be there. The copy is
/// made beside that place, opened anew, compared with the first, and only then put there.
pub(super) fn migrate(
    from: &config::Store,
    to: &config::Store,
    swarm: &SwarmId,
    tell: impl FnMut(u64),
) -> Result<Copied, HomeError> {
    if to.path.exists() {
        return Err(HomeError::There(to.path.clone()));
    }
    // It makes no store where there is none to be copied.
    drop(open(from, swarm, Role::Reader)?);
    let old = open(from, swarm, Role::Writer)?;
    let part = config::Store { kind: to.kind, path: beside(&to.path, "part") };
    remove(&part.path)?;
    let new = open(&part, swarm, Role::Writer)?;
    let copied = engine::copy(&*old, &*new, swarm, tell)?;
    drop(new);
    let new = open(&part, swarm, Role::Writer)?;
    engine::compare(&*old, &*new)?;
    drop(new);
    fs::rename(&part.path, &to.path).map_err(|source| io_error(&to.path, "made", source))?;
    Ok(copied)
}

/// What an interrupted migration left.
fn remove(path: &Path) -> Result<(), HomeError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(io_error(path, "removed", source))
        }
        _ => Ok(()),
    }
}

/// A name beside a directory.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{end}"));
    path.with_file_name(name)
}
