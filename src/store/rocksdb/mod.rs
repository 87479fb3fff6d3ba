//! A store in RocksDB.
//!
//! One process writes; others may read beside it. A commit is one write batch and one sync. Every
//! value that can be large or many is in a family of its own (`keys`), and nothing is kept in
//! memory but the number and the length of each log.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use rocksdb::{ColumnFamily, DB, FlushOptions, PrefixRange, ReadOptions, WriteBatch, WriteOptions};

use self::acknowledged::Acknowledged;
use super::lengths_behind;
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::{
    Append, Hash, IndexEntry, LogInfo, LogStore, MAX_LENGTH, NodeId, RecordRef, SignedHead,
    StoreError, TILE_HEIGHT, TILE_LEAVES, Tile,
};

mod acknowledged;
mod erase;
mod keys;
mod open;

/// A store in RocksDB.
pub struct RocksStore {
    db: DB,
    swarm: SwarmId,
    logs: RwLock<BTreeMap<AuthorId, Log>>,
    /// `None` if the store was opened for reading only.
    writer: Option<Mutex<Writer>>,
}

/// What is kept in memory of a log.
#[derive(Clone, Copy, Debug)]
struct Log {
    number: u32,
    length: u64,
}

struct Writer {
    poisoned: bool,
    acknowledged: Acknowledged,
}

impl RocksStore {
    /// Opens the store in a directory for reading and writing. With a swarm, it is created where
    /// there is none; without, it belongs to whichever swarm it names.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if the directory holds something else, another format or another
    /// swarm. [`StoreError::Io`] if another process has it open, if it cannot be read, or if it
    /// lost anything that it had acknowledged. [`StoreError::Corrupt`] if what it knows of a log
    /// is damaged.
    pub fn open(path: &Path, swarm: Option<&SwarmId>) -> Result<Self, StoreError> {
        let opened = open::writable(path, swarm)?;
        let mut writer = Writer { poisoned: false, acknowledged: opened.acknowledged };
        if !opened.sure {
            // What was computed from the logs may be ahead of what is left of them. No name in
            // UTF-8 has a byte of 0xff.
            let cache = family(&opened.db, keys::CACHE);
            let (first, end) = ([], [u8::MAX]);
            opened
                .db
                .delete_range_cf_opt(cache, &first[..], &end[..], &synced())
                .map_err(|error| io("empty its cache", &error))?;
        }
        erase::finish(&opened.db)?;
        writer.promise(&opened.db);
        Ok(Self {
            logs: RwLock::new(read_logs(&opened.db)?),
            db: opened.db,
            swarm: opened.swarm,
            writer: Some(Mutex::new(writer)),
        })
    }

    /// Opens the store in a directory for reading, as it is at this moment. Another process may
    /// have it open and go on writing, which this store then does not see. Writes are refused.
    ///
    /// # Errors
    /// As [`RocksStore::open`], except that another process may have it open.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let (db, swarm) = open::read_only(path)?;
        Ok(Self { logs: RwLock::new(read_logs(&db)?), db, swarm, writer: None })
    }

    /// The swarm that the store belongs to.
    #[must_use]
    pub fn swarm(&self) -> SwarmId {
        self.swarm
    }

    fn log(&self, author: &AuthorId) -> Option<Log> {
        let logs = self.logs.read().unwrap_or_else(PoisonError::into_inner);
        logs.get(author).copied()
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        family(&self.db, name)
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let Some(writer) = &self.writer else {
            return Err(StoreError::Io {
                what: "write",
                cause: "it was opened for reading only".to_owned(),
            });
        };
        let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.poisoned {
            return Err(StoreError::Poisoned);
        }
        Ok(writer)
    }

    /// The logs as they are behind a commit: those that it lengthens, new ones with a new number.
    fn logs_behind(&self, appends: &[Append]) -> Result<BTreeMap<AuthorId, Log>, StoreError> {
        let logs = self.logs.read().unwrap_or_else(PoisonError::into_inner);
        let lengths = lengths_behind(appends, |author| logs.get(author).map_or(0, |l| l.length))?;
        // Logs may have been dropped, so that there can be greater numbers than logs.
        let mut next = logs.values().map(|log| log.number).max().unwrap_or(0);
        let mut behind = BTreeMap::new();
        for (author, length) in lengths {
            let number = match logs.get(&author) {
                Some(log) => log.number,
                None => {
                    next += 1;
                    next
                }
            };
            behind.insert(author, Log { number, length });
        }
        Ok(behind)
    }

    /// The keys of those places that hold a body, with their records without it.
    fn with_content(&self, places: &[(AuthorId, u64)]) -> Result<Vec<erase::Erased>, StoreError> {
        let records = self.family(keys::RECORDS);
        let mut found = Vec::new();
        for (author, index) in places {
            let Some(log) = self.log(author).filter(|log| *index < log.length) else {
                continue;
            };
            let key = keys::at(log.number, *index);
            let bytes = self.db.get_pinned_cf(records, key);
            let bytes = bytes.map_err(|error| broken(author, *index, "read a record", &error))?;
            let bytes = bytes.ok_or_else(|| corrupt(author, *index, "the record is not there"))?;
            let record = RecordRef::parse(&bytes).map_err(|what| corrupt(author, *index, what))?;
            if record.has_content() {
                found.push((key, record.without_body()));
            }
        }
        Ok(found)
    }

    /// Deletes from a batch's point of view all of a log from a length on.
    fn delete_end(&self, batch: &mut WriteBatch, number: u32, length: u64) {
        let (log, next_log) = (|n: u64| keys::at(number, n), keys::at(number + 1, 0));
        batch.delete_range_cf(self.family(keys::RECORDS), log(length), next_log);
        batch.delete_range_cf(self.family(keys::HEADS), log(length + 1), next_log);
        let tiles = length / TILE_LEAVES as u64;
        batch.delete_range_cf(self.family(keys::TILES), log(tiles), next_log);
        let nodes = self.family(keys::NODES);
        let end_of = |height: u8| keys::node(number, NodeId { height: height + 1, offset: 0 });
        for height in TILE_HEIGHT..=MAX_LENGTH.ilog2().try_into().unwrap_or(u8::MAX) {
            // The first node of this height that is not complete within the length.
            let first = NodeId { height, offset: length >> height };
            batch.delete_range_cf(nodes, keys::node(number, first), end_of(height));
        }
    }

    fn put_append(&self, batch: &mut WriteBatch, number: u32, append: &Append) {
        let records = self.family(keys::RECORDS);
        for (index, record) in (append.from()..).zip(append.records()) {
            batch.put_cf(records, keys::at(number, index), &record[..]);
        }
        let heads = self.family(keys::HEADS);
        for head in append.heads() {
            batch.put_cf(heads, keys::at(number, head.length), head.to_bytes());
        }
        let tiles = self.family(keys::TILES);
        for (tile_number, tile) in append.tiles() {
            batch.put_cf(tiles, keys::at(number, *tile_number), tile.to_bytes());
        }
        let nodes = self.family(keys::NODES);
        for (node, hash) in append.nodes() {
            batch.put_cf(nodes, keys::node(number, *node), hash.0);
        }
    }
}

impl LogStore for RocksStore {
    fn logs(&self) -> Result<Vec<LogInfo>, StoreError> {
        let logs = self.logs.read().unwrap_or_else(PoisonError::into_inner);
        let info =
            |(author, log): (&AuthorId, &Log)| LogInfo { author: *author, length: log.length };
        Ok(logs.iter().map(info).collect())
    }

    fn commit(&self, appends: &[Append], index: &[IndexEntry]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let behind = self.logs_behind(appends)?;
        let mut batch = WriteBatch::default();
        let meta = self.family(keys::META);
        for append in appends {
            let (author, number) = (append.author(), behind[&append.author()].number);
            if append.from() == 0 {
                batch.put_cf(meta, keys::log(&author.0), number.to_be_bytes());
            }
            self.put_append(&mut batch, number, append);
        }
        let groups = self.family(keys::GROUPS);
        for entry in index {
            batch.put_cf(groups, keys::place(&entry.group, &entry.place), []);
        }
        if batch.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.db.write_opt(batch, &synced()) {
            writer.poisoned = true;
            return Err(io("write an append", &error));
        }
        let mut logs = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        logs.extend(behind);
        drop(logs);
        writer.promise(&self.db);
        Ok(())
    }

    fn truncate(
        &self,
        author: &AuthorId,
        length: u64,
        index: &[IndexEntry],
    ) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let Some(log) = self.log(author).filter(|log| log.length > length) else {
            return Ok(());
        };
        let head = length.checked_sub(1).map(|above| self.heads(author, above, 1)).transpose()?;
        if head.is_some_and(|heads| heads.first().is_none_or(|head| head.length != length)) {
            return Err(StoreError::Gap { author: *author, length: log.length, from: length });
        }
        let mut batch = WriteBatch::default();
        self.delete_end(&mut batch, log.number, length);
        if length == 0 {
            batch.delete_cf(self.family(keys::META), keys::log(&author.0));
        }
        let groups = self.family(keys::GROUPS);
        for entry in index {
            batch.delete_cf(groups, keys::place(&entry.group, &entry.place));
        }
        // No name in UTF-8 has a byte of 0xff.
        batch.delete_range_cf(self.family(keys::CACHE), &[][..], &[u8::MAX][..]);
        if let Err(error) = self.db.write_opt(batch, &synced()) {
            writer.poisoned = true;
            return Err(io("drop the end of a log", &error));
        }
        let mut logs = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        match length {
            0 => logs.remove(author),
            _ => logs.insert(*author, Log { number: log.number, length }),
        };
        drop(logs);
        writer.promise(&self.db);
        Ok(())
    }

    fn heads(
        &self,
        author: &AuthorId,
        above: u64,
        limit: usize,
    ) -> Result<Vec<SignedHead>, StoreError> {
        let Some(log) = self.log(author).filter(|log| above < log.length) else {
            return Ok(Vec::new());
        };
        let mut heads = Vec::new();
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_upper_bound(keys::at(log.number, log.length + 1));
        let mut at = self.db.raw_iterator_cf_opt(self.family(keys::HEADS), bounds);
        at.seek(keys::at(log.number, above + 1));
        while let Some((key, value)) = at.item().filter(|_| heads.len() < limit) {
            let head = read_head(author, value).map_err(|what| corrupt(author, above, what))?;
            if key != keys::at(log.number, head.length) {
                return Err(corrupt(author, head.length, "a head in another's place"));
            }
            heads.push(head);
            at.next();
        }
        at.status().map_err(|error| broken(author, above, "read heads", &error))?;
        Ok(heads)
    }

    fn newest_head(&self, author: &AuthorId) -> Result<Option<SignedHead>, StoreError> {
        let Some(log) = self.log(author) else {
            return Ok(None);
        };
        let key = keys::at(log.number, log.length);
        let bytes = self.db.get_pinned_cf(self.family(keys::HEADS), key);
        let bytes = bytes.map_err(|error| broken(author, log.length, "read a head", &error))?;
        let bytes = bytes.ok_or_else(|| corrupt(author, log.length, "the head is not there"))?;
        let head = read_head(author, &bytes).map_err(|what| corrupt(author, log.length, what))?;
        Ok(Some(head))
    }

    fn scan(
        &self,
        author: &AuthorId,
        from: u64,
        visit: &mut dyn FnMut(u64, RecordRef<'_>) -> bool,
    ) -> Result<(), StoreError> {
        let Some(log) = self.log(author) else {
            return Ok(());
        };
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_upper_bound(keys::at(log.number, log.length));
        let mut at = self.db.raw_iterator_cf_opt(self.family(keys::RECORDS), bounds);
        if from < log.length {
            at.seek(keys::at(log.number, from));
        }
        for index in from..log.length {
            let item = at.item().filter(|(key, _)| *key == keys::at(log.number, index));
            let Some((_, value)) = item else {
                at.status().map_err(|error| broken(author, index, "read a record", &error))?;
                return Err(corrupt(author, index, "the record is not there"));
            };
            let record = RecordRef::parse(value).map_err(|what| corrupt(author, index, what))?;
            if !visit(index, record) {
                break;
            }
            at.next();
        }
        Ok(())
    }

    fn tile(&self, author: &AuthorId, number: u64) -> Result<Option<Tile>, StoreError> {
        let Some(log) = self.log(author) else {
            return Ok(None);
        };
        let index = number.saturating_mul(TILE_LEAVES as u64);
        let key = keys::at(log.number, number);
        let bytes = self.db.get_pinned_cf(self.family(keys::TILES), key);
        let bytes = bytes.map_err(|error| broken(author, index, "read a tile", &error))?;
        let tile = |bytes: &[u8]| {
            let tile = Tile::from_bytes(bytes);
            tile.ok_or_else(|| corrupt(author, index, "the tile over it has another size"))
        };
        bytes.as_deref().map(tile).transpose()
    }

    fn node(&self, author: &AuthorId, node: NodeId) -> Result<Option<Hash>, StoreError> {
        let Some(log) = self.log(author) else {
            return Ok(None);
        };
        let index = node.first_leaf();
        let key = keys::node(log.number, node);
        let bytes = self.db.get_pinned_cf(self.family(keys::NODES), key);
        let bytes = bytes.map_err(|error| broken(author, index, "read a tree node", &error))?;
        let hash = |bytes: &[u8]| match bytes.try_into() {
            Ok(hash) => Ok(Hash(hash)),
            Err(_) => Err(corrupt(author, index, "a tree node over it has another size")),
        };
        bytes.as_deref().map(hash).transpose()
    }

    fn group(&self, group: &[u8; 32]) -> Result<Vec<[u8; 48]>, StoreError> {
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_range(PrefixRange(&group[..]));
        let mut at = self.db.raw_iterator_cf_opt(self.family(keys::GROUPS), bounds);
        at.seek(group);
        let mut places = Vec::new();
        while let Some(key) = at.key() {
            let place = key.strip_prefix(&group[..]).and_then(|place| place.try_into().ok());
            places.push(place.ok_or_else(|| StoreError::Io {
                what: "read a group",
                cause: format!("a key of {} bytes", key.len()),
            })?);
            at.next();
        }
        at.status().map_err(|error| io("read a group", &error))?;
        Ok(places)
    }

    fn cache(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.db.get_cf(self.family(keys::CACHE), name);
        value.map_err(|error| io("read its cache", &error))
    }

    fn put_cache(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        self.db.put_cf(self.family(keys::CACHE), name, value).map_err(|error| {
            writer.poisoned = true;
            io("write to its cache", &error)
        })
    }

    fn erase(&self, places: &[(AuthorId, u64)]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let found = self.with_content(places)?;
        if found.is_empty() {
            return Ok(());
        }
        let erased = erase::replace(&self.db, &found).and_then(|()| erase::finish(&self.db));
        writer.poisoned = erased.is_err();
        writer.promise(&self.db);
        erased
    }
}

impl Writer {
    /// Notes that all that was written is durable. Where that fails, nothing is lost but a check at
    /// the next opening, so that it is no failure of the write.
    fn promise(&mut self, db: &DB) {
        let _ = self.acknowledged.note(db.latest_sequence_number());
    }
}

impl Drop for RocksStore {
    /// Writes what is in memory to tables, so that the next opening has no log to replay. What
    /// fails here is in the log all the same.
    fn drop(&mut self) {
        if self.writer().is_ok() {
            let families = keys::FAMILIES.map(|name| self.family(name));
            let _ = self.db.flush_cfs_opt(&families, &FlushOptions::default());
        }
    }
}

fn family<'a>(db: &'a DB, name: &str) -> &'a ColumnFamily {
    db.cf_handle(name).expect("every family was opened")
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

/// The number of every log, and its length as its newest head has it.
fn read_logs(db: &DB) -> Result<BTreeMap<AuthorId, Log>, StoreError> {
    let mut bounds = ReadOptions::default();
    bounds.set_iterate_range(PrefixRange(keys::LOG));
    let mut at = db.raw_iterator_cf_opt(family(db, keys::META), bounds);
    at.seek(keys::LOG);
    let mut logs = BTreeMap::new();
    while let Some((key, value)) = at.item() {
        let author = key.strip_prefix(keys::LOG).and_then(|author| author.try_into().ok());
        let (Some(author), Ok(number)) = (author, value.try_into()) else {
            return Err(StoreError::Io {
                what: "read its list of logs",
                cause: "an entry of another size".to_owned(),
            });
        };
        let (author, number) = (AuthorId(author), u32::from_be_bytes(number));
        let length = read_length(db, &author, number)?;
        logs.insert(author, Log { number, length });
        at.next();
    }
    at.status().map_err(|error| io("read its list of logs", &error))?;
    Ok(logs)
}

fn read_length(db: &DB, author: &AuthorId, number: u32) -> Result<u64, StoreError> {
    let mut at = db.raw_iterator_cf(family(db, keys::HEADS));
    at.seek_for_prev(keys::at(number, u64::MAX));
    let Some((key, value)) = at.item() else {
        at.status().map_err(|error| broken(author, 0, "read heads", &error))?;
        return Err(corrupt(author, 0, "the log has no head"));
    };
    let head = read_head(author, value).map_err(|what| corrupt(author, 0, what))?;
    if key != keys::at(number, head.length) {
        return Err(corrupt(author, head.length, "a head in another's place"));
    }
    Ok(head.length)
}

fn read_head(author: &AuthorId, bytes: &[u8]) -> Result<SignedHead, String> {
    let head = SignedHead::from_bytes(bytes).map_err(|error| error.to_string())?;
    if head.author != *author {
        return Err(format!("a head of another log, {:?}", head.author));
    }
    Ok(head)
}

fn corrupt(author: &AuthorId, index: u64, what: impl ToString) -> StoreError {
    StoreError::Corrupt { author: *author, index, what: what.to_string() }
}

/// What RocksDB says of one place of a log.
fn broken(author: &AuthorId, index: u64, what: &'static str, error: &rocksdb::Error) -> StoreError {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => corrupt(author, index, error),
        _ => io(what, error),
    }
}

fn io(what: &'static str, error: &rocksdb::Error) -> StoreError {
    StoreError::Io { what, cause: error.to_string() }
}
