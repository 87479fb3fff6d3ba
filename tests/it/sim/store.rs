//! A store in memory that keeps what is synced apart from what is not, and loses the latter when
//! its machine crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bzzz::kernel::identity::AuthorId;
use bzzz::kernel::log::{
    Append, Hash, IndexEntry, LogInfo, LogStore, NodeId, Record, RecordRef, SignedHead, StoreError,
    TILE_LEAVES, Tile,
};

/// When the machine crashes in the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CrashPoint {
    /// The writes were made and not synced: nothing of the commit is there afterwards.
    BeforeSync,
    /// They were synced, and nobody was told: all of the commit is there afterwards.
    AfterSync,
}

#[derive(Clone, Debug, Default)]
struct Disk {
    logs: BTreeMap<AuthorId, Log>,
    groups: BTreeMap<[u8; 32], BTreeSet<[u8; 48]>>,
    cache: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Debug, Default)]
struct Log {
    records: Vec<Record>,
    heads: BTreeMap<u64, SignedHead>,
    tiles: BTreeMap<u64, Tile>,
    nodes: BTreeMap<NodeId, Hash>,
}

enum Write {
    Append(Append),
    Index(IndexEntry),
    Cache(String, Vec<u8>),
    Erase(AuthorId, u64),
    Truncate(AuthorId, u64, Vec<IndexEntry>),
}

#[derive(Default)]
struct Inner {
    /// What survives a crash.
    synced: Disk,
    /// What is read: `synced` and all writes since.
    current: Disk,
    unsynced: Vec<Write>,
    crash: Option<CrashPoint>,
    dead: bool,
}

#[derive(Default)]
pub(super) struct SimStore(Mutex<Inner>);

impl SimStore {
    /// The machine crashes in the next commit.
    pub(super) fn crash_in_next_commit(&self, point: CrashPoint) {
        self.lock().crash = Some(point);
    }

    /// The machine is off: what was not synced is lost. The store can be opened again.
    pub(super) fn crash(&self) {
        let mut inner = self.lock();
        inner.current = inner.synced.clone();
        inner.unsynced.clear();
        inner.crash = None;
        inner.dead = false;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&Disk) -> T) -> Result<T, StoreError> {
        let inner = self.lock();
        if inner.dead {
            return Err(StoreError::Poisoned);
        }
        Ok(read(&inner.current))
    }

    fn read_log<T>(
        &self,
        author: &AuthorId,
        read: impl FnOnce(&Log) -> T,
    ) -> Result<Option<T>, StoreError> {
        self.read(|disk| disk.logs.get(author).map(read))
    }
}

impl Disk {
    fn write(&mut self, write: &Write) {
        match write {
            Write::Append(append) => {
                let log = self.logs.entry(append.author()).or_default();
                assert_eq!(log.records.len() as u64, append.from(), "it was checked");
                log.records.extend(append.records().iter().cloned());
                let heads = append.heads().iter().map(|head| (head.length, (**head).clone()));
                log.heads.extend(heads);
                log.tiles.extend(append.tiles().iter().cloned());
                log.nodes.extend(append.nodes().iter().copied());
            }
            Write::Index(entry) => {
                self.groups.entry(entry.group).or_default().insert(entry.place);
            }
            Write::Cache(name, value) => {
                self.cache.insert(name.clone(), value.clone());
            }
            Write::Erase(author, index) => {
                let index = usize::try_from(*index).expect("a small log");
                let log = self.logs.get_mut(author);
                if let Some(record) = log.and_then(|log| log.records.get_mut(index)) {
                    *record = record.as_ref().without_body();
                }
            }
            Write::Truncate(author, length, index) => {
                if let Some(log) = self.logs.get_mut(author) {
                    log.records.truncate(usize::try_from(*length).expect("a small log"));
                    log.heads.retain(|covered, _| covered <= length);
                    log.tiles.retain(|number, _| *number < length / TILE_LEAVES as u64);
                    log.nodes.retain(|node, _| node.first_leaf() + node.width() <= *length);
                }
                if *length == 0 {
                    self.logs.remove(author);
                }
                for entry in index {
                    self.groups.entry(entry.group).or_default().remove(&entry.place);
                }
                self.cache.clear();
            }
        }
    }
}

impl Inner {
    fn stage(&mut self, write: Write) {
        self.current.write(&write);
        self.unsynced.push(write);
    }

    fn sync(&mut self) {
        for write in self.unsynced.drain(..) {
            self.synced.write(&write);
        }
    }

    fn crash_at(&mut self, point: CrashPoint) -> Result<(), StoreError> {
        if self.crash != Some(point) {
            return Ok(());
        }
        self.dead = true;
        let cause = format!("the machine crashed: {point:?}");
        let what = "commit";
        Err(StoreError::Io { what, cause })
    }
}

impl LogStore for SimStore {
    fn logs(&self) -> Result<Vec<LogInfo>, StoreError> {
        let info = |(author, log): (&AuthorId, &Log)| LogInfo {
            author: *author,
            length: log.records.len() as u64,
        };
        self.read(|disk| disk.logs.iter().map(info).collect())
    }

    fn commit(&self, appends: &[Append], index: &[IndexEntry]) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if inner.dead {
            return Err(StoreError::Poisoned);
        }
        for append in appends {
            let (author, from) = (append.author(), append.from());
            let held = inner.current.logs.get(&author);
            let length = held.map_or(0, |log| log.records.len() as u64);
            if length != from {
                return Err(StoreError::Gap { author, length, from });
            }
            inner.stage(Write::Append(append.clone()));
        }
        for entry in index {
            inner.stage(Write::Index(*entry));
        }
        inner.crash_at(CrashPoint::BeforeSync)?;
        inner.sync();
        inner.crash_at(CrashPoint::AfterSync)
    }

    fn truncate(
        &self,
        author: &AuthorId,
        length: u64,
        index: &[IndexEntry],
    ) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if inner.dead {
            return Err(StoreError::Poisoned);
        }
        inner.stage(Write::Truncate(*author, length, index.to_vec()));
        inner.crash_at(CrashPoint::BeforeSync)?;
        inner.sync();
        inner.crash_at(CrashPoint::AfterSync)
    }

    fn heads(
        &self,
        author: &AuthorId,
        above: u64,
        limit: usize,
    ) -> Result<Vec<SignedHead>, StoreError> {
        let heads = self.read_log(author, |log| {
            let heads = log.heads.range(above + 1..).take(limit);
            heads.map(|(_, head)| head.clone()).collect()
        })?;
        Ok(heads.unwrap_or_default())
    }

    fn newest_head(&self, author: &AuthorId) -> Result<Option<SignedHead>, StoreError> {
        let newest = self.read_log(author, |log| log.heads.values().next_back().cloned())?;
        Ok(newest.flatten())
    }

    fn scan(
        &self,
        author: &AuthorId,
        from: u64,
        visit: &mut dyn FnMut(u64, RecordRef<'_>) -> bool,
    ) -> Result<(), StoreError> {
        let from = usize::try_from(from).expect("a small log");
        self.read_log(author, |log| {
            for (index, record) in log.records.iter().enumerate().skip(from) {
                if !visit(index as u64, record.as_ref()) {
                    return;
                }
            }
        })?;
        Ok(())
    }

    fn tile(&self, author: &AuthorId, number: u64) -> Result<Option<Tile>, StoreError> {
        let tile = self.read_log(author, |log| log.tiles.get(&number).cloned())?;
        Ok(tile.flatten())
    }

    fn node(&self, author: &AuthorId, node: NodeId) -> Result<Option<Hash>, StoreError> {
        let hash = self.read_log(author, |log| log.nodes.get(&node).copied())?;
        Ok(hash.flatten())
    }

    fn group(&self, group: &[u8; 32]) -> Result<Vec<[u8; 48]>, StoreError> {
        let places = |disk: &Disk| disk.groups.get(group).map(|g| g.iter().copied().collect());
        Ok(self.read(places)?.unwrap_or_default())
    }

    fn cache(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|disk| disk.cache.get(name).cloned())
    }

    fn put_cache(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if inner.dead {
            return Err(StoreError::Poisoned);
        }
        inner.stage(Write::Cache(name.to_owned(), value.to_vec()));
        Ok(())
    }

    fn erase(&self, places: &[(AuthorId, u64)]) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if inner.dead {
            return Err(StoreError::Poisoned);
        }
        for (author, index) in places {
            inner.stage(Write::Erase(*author, *index));
        }
        inner.sync();
        Ok(())
    }
}
