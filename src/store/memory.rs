//! A store in memory: for tests, simulators, and programs that verify what they were handed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::lengths_behind;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{
    Append, Hash, IndexEntry, LogInfo, LogStore, NodeId, Record, RecordRef, SignedHead, StoreError,
    TILE_LEAVES, Tile,
};

/// How many records a scan takes hold of at once, so that no lock is held while they are visited.
const SCAN_STEP: usize = 256;

/// A store in memory. What it holds is gone when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    logs: BTreeMap<AuthorId, Log>,
    groups: BTreeSet<IndexEntry>,
    cache: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Default)]
struct Log {
    records: Vec<Arc<Record>>,
    heads: BTreeMap<u64, SignedHead>,
    tiles: BTreeMap<u64, Tile>,
    nodes: BTreeMap<NodeId, Hash>,
}

impl Log {
    fn length(&self) -> u64 {
        self.records.len() as u64
    }

    fn extend(&mut self, append: &Append) {
        let records = append.records().iter().cloned().map(Arc::new);
        self.records.extend(records);
        for head in append.heads() {
            self.heads.insert(head.length, SignedHead::clone(head));
        }
        self.tiles.extend(append.tiles().iter().cloned());
        self.nodes.extend(append.nodes().iter().copied());
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // A writer that panicked left at worst a whole append out: each is checked before the first
    // change, and what follows only inserts.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn some_records(&self, author: &AuthorId, from: u64) -> Vec<Arc<Record>> {
        let state = self.read();
        let records = state.logs.get(author).map_or(&[][..], |log| &log.records);
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let some = records.iter().skip(from).take(SCAN_STEP);
        some.cloned().collect()
    }
}

impl LogStore for MemoryStore {
    fn logs(&self) -> Result<Vec<LogInfo>, StoreError> {
        let state = self.read();
        let logs = state
            .logs
            .iter()
            .map(|(author, log)| LogInfo { author: *author, length: log.length() });
        Ok(logs.collect())
    }

    fn commit(&self, appends: &[Append], index: &[IndexEntry]) -> Result<(), StoreError> {
        let mut state = self.write();
        let held = |author: &AuthorId| state.logs.get(author).map_or(0, Log::length);
        lengths_behind(appends, held)?;
        for append in appends {
            let log = state.logs.entry(append.author()).or_default();
            log.extend(append);
        }
        state.groups.extend(index);
        Ok(())
    }

    fn truncate(
        &self,
        author: &AuthorId,
        length: u64,
        index: &[IndexEntry],
    ) -> Result<(), StoreError> {
        let mut state = self.write();
        let Some(log) = state.logs.get_mut(author).filter(|log| log.length() > length) else {
            return Ok(());
        };
        if length > 0 && !log.heads.contains_key(&length) {
            return Err(StoreError::Gap { author: *author, length: log.length(), from: length });
        }
        log.records.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        log.heads.retain(|covered, _| *covered <= length);
        log.tiles.retain(|number, _| *number < length / TILE_LEAVES as u64);
        log.nodes.retain(|node, _| node.first_leaf() + node.width() <= length);
        if length == 0 {
            state.logs.remove(author);
        }
        for entry in index {
            state.groups.remove(entry);
        }
        state.cache.clear();
        Ok(())
    }

    fn heads(
        &self,
        author: &AuthorId,
        above: u64,
        limit: usize,
    ) -> Result<Vec<SignedHead>, StoreError> {
        let (state, from) = (self.read(), above.saturating_add(1));
        let log = state.logs.get(author);
        let heads = log.into_iter().flat_map(|log| log.heads.range(from..));
        Ok(heads.take(limit).map(|(_, head)| head.clone()).collect())
    }

    fn newest_head(&self, author: &AuthorId) -> Result<Option<SignedHead>, StoreError> {
        let state = self.read();
        let newest = state.logs.get(author).and_then(|log| log.heads.last_key_value());
        Ok(newest.map(|(_, head)| head.clone()))
    }

    fn scan(
        &self,
        author: &AuthorId,
        from: u64,
        visit: &mut dyn FnMut(u64, RecordRef<'_>) -> bool,
    ) -> Result<(), StoreError> {
        let mut index = from;
        loop {
            let some = self.some_records(author, index);
            if some.is_empty() {
                return Ok(());
            }
            for record in some {
                if !visit(index, Record::as_ref(&record)) {
                    return Ok(());
                }
                index += 1;
            }
        }
    }

    fn tile(&self, author: &AuthorId, number: u64) -> Result<Option<Tile>, StoreError> {
        let state = self.read();
        let tile = state.logs.get(author).and_then(|log| log.tiles.get(&number));
        Ok(tile.cloned())
    }

    fn node(&self, author: &AuthorId, node: NodeId) -> Result<Option<Hash>, StoreError> {
        let state = self.read();
        let hash = state.logs.get(author).and_then(|log| log.nodes.get(&node));
        Ok(hash.copied())
    }

    fn group(&self, group: &[u8; 32]) -> Result<Vec<[u8; 48]>, StoreError> {
        let entry = |place| IndexEntry { group: *group, place };
        let (first, last) = (entry([0; 48]), entry([u8::MAX; 48]));
        let state = self.read();
        Ok(state.groups.range(first..=last).map(|entry| entry.place).collect())
    }

    fn cache(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read().cache.get(name).cloned())
    }

    fn put_cache(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.write().cache.insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    fn erase(&self, places: &[(AuthorId, u64)]) -> Result<(), StoreError> {
        let mut state = self.write();
        for (author, index) in places {
            let index = usize::try_from(*index).unwrap_or(usize::MAX);
            let log = state.logs.get_mut(author);
            if let Some(record) = log.and_then(|log| log.records.get_mut(index)) {
                *record = Arc::new(Record::as_ref(record).without_body());
            }
        }
        Ok(())
    }
}
