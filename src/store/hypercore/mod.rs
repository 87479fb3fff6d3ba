//! A store in Hypercore's files.
//!
//! Each log is a sequence of cores that the crate `hypercore` writes and that other programs for
//! Hypercore can read (`layout`). What Hypercore has no place for (signed heads, our own tree, the
//! index of groups) stands beside them in files of entries of one size, each with a check.
//!
//! The crate neither syncs nor writes its four files as one. So all that a commit changes is first
//! gathered (`change`), then written as one frame to a journal and synced, and only then made in
//! the files (`journal`). A commit costs one sync. Opening makes the journal's changes again, which
//! is harmless, and reads no more than that: the time does not grow with the logs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io as std_io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use self::change::{Behind, Stage};
use self::cores::Cores;
use self::disk::{Disk, Files};
use self::frame::{Frame, Log};
use self::journal::Journal;
use self::layout::{CHECK, NODE, TILE};
use self::read::{Erased, Reader, Records, first_leaf};
use super::lengths_behind;
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::{
    Append, Hash, IndexEntry, LogInfo, LogStore, NodeId, RecordRef, SignedHead, StoreError,
    TILE_HEIGHT, TILE_LEAVES, Tile,
};

mod change;
mod cores;
pub mod disk;
mod format;
mod frame;
mod journal;
mod layout;
mod read;
mod rewrite;
mod write;

/// The file that the one writer holds locked.
const LOCK: &str = "LOCK";

/// The file with the number of the last acknowledged commit.
const ACKNOWLEDGED: &str = "ACKNOWLEDGED";

/// The number of a commit and its check.
const ACKNOWLEDGED_BYTES: usize = 8 + CHECK;

/// A writer beside a reader begins a new journal every 16 MiB; a few attempts find a moment
/// between.
const READ_ONLY_ATTEMPTS: u32 = 50;

/// A store in Hypercore's files.
#[derive(Debug)]
pub struct HyperStore {
    disk: Arc<dyn Disk>,
    swarm: SwarmId,
    state: RwLock<State>,
    /// The erased records of the logs that have some, as of so many bytes of their lists.
    erased: Mutex<BTreeMap<AuthorId, (u64, Arc<Erased>)>>,
    /// Held while bytes change that a reader may be looking at; an append changes none.
    rewritten: RwLock<()>,
    /// `None` if the store was opened for reading only.
    writer: Option<Mutex<Writer>>,
    torn: u64,
    /// Dropping it unlocks.
    lock: Option<File>,
}

/// What the last commit left.
#[derive(Debug)]
struct State {
    number: u64,
    logs: BTreeMap<AuthorId, Log>,
}

#[derive(Debug)]
struct Writer {
    poisoned: bool,
    journal: Journal,
    stage: Arc<Stage>,
    cores: Cores,
}

impl HyperStore {
    /// Opens the store in a directory for reading and writing. With a swarm, it is created where
    /// there is none; without, it belongs to whichever swarm it names.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if the directory holds something else, another format or another
    /// swarm. [`StoreError::Io`] if another process has it open, if it cannot be read, or if it
    /// lost anything that it had acknowledged.
    pub fn open(path: &Path, swarm: Option<&SwarmId>) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let files = Files::below(path);
        let names = files.list("").map_err(|error| at(path, "open its files", &error))?;
        let files: Arc<dyn Disk> = Arc::new(files);
        // Nothing is made, not even the lock, in a directory of others.
        match (format::open(&*files, &place), swarm) {
            (Err(StoreError::Foreign(what)), Some(_)) if what.ends_with("holds no store") => {
                fs::create_dir_all(path).map_err(|error| at(path, "make its files", &error))?;
            }
            (Err(error), _) => return Err(error),
            (Ok(_), _) => debug_assert!(!names.is_empty(), "a format was read"),
        }
        let lock = lock(path)?;
        let mut store = Self::open_on(files, swarm, &place)?;
        store.lock = Some(lock);
        Ok(store)
    }

    /// Opens a store on a disk that nobody else writes to. The place is a name of the disk for
    /// people.
    ///
    /// # Errors
    /// As [`HyperStore::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        swarm: Option<&SwarmId>,
        place: &str,
    ) -> Result<Self, StoreError> {
        let format = format::open_or_create(&disk, swarm, place)?;
        let found = complete(&*disk, place)?;
        let journal = Journal::recover(Arc::clone(&disk), &found)
            .map_err(|error| io("recover its last commits", &error))?;
        let stage = Arc::new(Stage::on(Arc::clone(&disk)));
        let cores = Cores::new(Arc::clone(&stage), format.seed);
        let writer = Writer { poisoned: false, journal, stage, cores };
        acknowledge(&*disk, found.number);
        Ok(Self {
            disk,
            swarm: format.swarm,
            state: RwLock::new(State { number: found.number, logs: found.logs }),
            erased: Mutex::default(),
            rewritten: RwLock::default(),
            writer: Some(Mutex::new(writer)),
            torn: found.torn,
            lock: None,
        })
    }

    /// Opens the store in a directory for reading, as it is at this moment. Another process may
    /// have it open and go on writing, which this store then does not see. Writes are refused.
    ///
    /// # Errors
    /// As [`HyperStore::open`], except that another process may have it open.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let disk: Arc<dyn Disk> = Arc::new(Files::below(path));
        let format = format::open(&*disk, &place)?;
        let mut attempts = READ_ONLY_ATTEMPTS;
        let found = loop {
            attempts -= 1;
            let before = journal::names(&*disk);
            let found = complete(&*disk, &place);
            // A new journal meanwhile may have made this miss the old one.
            let same = before.is_ok_and(|b| journal::names(&*disk).is_ok_and(|after| b == after));
            if same || attempts == 0 {
                break found?;
            }
            thread::sleep(Duration::from_millis(20));
        };
        Ok(Self {
            disk: Arc::new(Behind::new(disk, found.changes)),
            swarm: format.swarm,
            state: RwLock::new(State { number: found.number, logs: found.logs }),
            erased: Mutex::default(),
            rewritten: RwLock::default(),
            writer: None,
            torn: found.torn,
            lock: None,
        })
    }

    /// The swarm that the store belongs to.
    #[must_use]
    pub fn swarm(&self) -> SwarmId {
        self.swarm
    }

    /// How many bytes of a commit that a crash interrupted were cut off at opening. It was never
    /// acknowledged.
    #[must_use]
    pub fn torn(&self) -> u64 {
        self.torn
    }

    fn log(&self, author: &AuthorId) -> Option<Log> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.logs.get(author).cloned()
    }

    fn number(&self) -> u64 {
        self.state.read().unwrap_or_else(PoisonError::into_inner).number
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

    /// Gathers changes, writes them as one commit, and lets everybody see it. `gather` gets the
    /// number of the commit and tells the logs as they are behind it.
    fn write(
        &self,
        writer: &mut Writer,
        gather: impl FnOnce(&mut Writer, u64) -> Result<BTreeMap<AuthorId, Log>, StoreError>,
    ) -> Result<(), StoreError> {
        let number = self.number() + 1;
        writer.poisoned = true;
        let logs = gather(writer, number)?;
        let frame = Frame { number, logs, changes: writer.stage.take() };
        writer.journal.commit(&frame).map_err(|error| io("write an append", &error))?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.number = number;
        state.logs.extend(frame.logs);
        let logs = writer.journal.is_long().then(|| state.logs.clone());
        drop(state);
        acknowledge(&*self.disk, number);
        writer.poisoned = false;
        if let Some(logs) = logs {
            // The commit is durable: what fails here stops only the next one.
            writer.poisoned = writer.journal.rotate(number, &logs).is_err();
        }
        Ok(())
    }

    /// What is in the file of a group.
    fn group_bytes(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        let failed = |error| io("read a group", &error);
        let Some(length) = self.disk.len(path).map_err(failed)? else {
            return Ok(Vec::new());
        };
        let size = usize::try_from(length).map_err(|_| corrupt_file(path, "it is too long"))?;
        let mut bytes = vec![0; size];
        self.disk.read(path, 0, &mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// Some records from an index on, as one moment has them.
    fn some_records(&self, author: &AuthorId, from: u64) -> Result<Records, StoreError> {
        let _whole = self.rewritten.read().unwrap_or_else(PoisonError::into_inner);
        let Some(log) = self.log(author) else {
            return Ok(Records::default());
        };
        let erased = self.erased(author, &log)?;
        Reader { disk: &*self.disk, author, log: &log }.some(from, &erased)
    }

    fn erased(&self, author: &AuthorId, log: &Log) -> Result<Arc<Erased>, StoreError> {
        if log.erased == 0 {
            return Ok(Arc::default());
        }
        let mut kept = self.erased.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((bytes, erased)) = kept.get(author)
            && *bytes == log.erased
        {
            return Ok(Arc::clone(erased));
        }
        let erased = Arc::new(Reader { disk: &*self.disk, author, log }.erased()?);
        kept.insert(*author, (log.erased, Arc::clone(&erased)));
        Ok(erased)
    }
}

impl LogStore for HyperStore {
    fn logs(&self) -> Result<Vec<LogInfo>, StoreError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let info =
            |(author, log): (&AuthorId, &Log)| LogInfo { author: *author, length: log.length };
        // A log that was dropped whole still has generations of cores.
        Ok(state.logs.iter().filter(|(_, log)| log.length > 0).map(info).collect())
    }

    fn commit(&self, appends: &[Append], index: &[IndexEntry]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        lengths_behind(appends, |author| self.log(author).map_or(0, |log| log.length))?;
        if appends.is_empty() && index.is_empty() {
            return Ok(());
        }
        self.write(&mut writer, |writer, number| {
            let mut logs = BTreeMap::new();
            for append in appends {
                let author = append.author();
                let log = logs.entry(author);
                let log = log.or_insert_with(|| self.log(&author).unwrap_or_default());
                writer.put_append(log, append)?;
            }
            writer.put_index(index, number)?;
            Ok(logs)
        })
    }

    fn heads(
        &self,
        author: &AuthorId,
        above: u64,
        limit: usize,
    ) -> Result<Vec<SignedHead>, StoreError> {
        let Some(log) = self.log(author).filter(|log| above < log.length && limit > 0) else {
            return Ok(Vec::new());
        };
        let reader = Reader { disk: &*self.disk, author, log: &log };
        let from = reader.first_head_above(above)?;
        let count = usize::try_from(log.heads - from).unwrap_or(usize::MAX).min(limit);
        reader.some_heads(from, count)
    }

    fn newest_head(&self, author: &AuthorId) -> Result<Option<SignedHead>, StoreError> {
        let Some(log) = self.log(author) else {
            return Ok(None);
        };
        let Some(last) = log.heads.checked_sub(1) else {
            return Ok(None);
        };
        let head = Reader { disk: &*self.disk, author, log: &log }.head(last)?;
        if head.length != log.length {
            return Err(corrupt(author, log.length, "the newest head has another length"));
        }
        Ok(Some(head))
    }

    fn scan(
        &self,
        author: &AuthorId,
        from: u64,
        visit: &mut dyn FnMut(u64, RecordRef<'_>) -> bool,
    ) -> Result<(), StoreError> {
        let end = self.log(author).map_or(0, |log| log.length);
        let mut index = from;
        while index < end {
            let records = self.some_records(author, index)?;
            if records.is_empty() {
                break;
            }
            for record in records.iter() {
                let read = RecordRef::parse(record).map_err(|what| corrupt(author, index, what))?;
                if index >= end || !visit(index, read) {
                    return Ok(());
                }
                index += 1;
            }
        }
        Ok(())
    }

    fn tile(&self, author: &AuthorId, number: u64) -> Result<Option<Tile>, StoreError> {
        let there = |log: &Log| number < log.length / TILE_LEAVES as u64;
        let Some(log) = self.log(author).filter(there) else {
            return Ok(None);
        };
        let (path, at) = (layout::tiles(author), number * TILE as u64);
        let reader = Reader { disk: &*self.disk, author, log: &log };
        let bytes = reader.entry(&path, at, TILE, first_leaf(number))?;
        Ok(Tile::from_bytes(&bytes))
    }

    fn node(&self, author: &AuthorId, node: NodeId) -> Result<Option<Hash>, StoreError> {
        let there = |log: &Log| {
            let behind = node.offset.checked_add(1).and_then(|n| n.checked_mul(1 << node.height));
            behind.is_some_and(|behind| behind <= log.length)
        };
        if !(TILE_HEIGHT..64).contains(&node.height) {
            return Ok(None);
        }
        let Some(log) = self.log(author).filter(there) else {
            return Ok(None);
        };
        let (path, at) = (layout::nodes(author), layout::node_at(node));
        let reader = Reader { disk: &*self.disk, author, log: &log };
        let bytes = reader.entry(&path, at, NODE, node.first_leaf())?;
        Ok(bytes.try_into().ok().map(Hash))
    }

    fn group(&self, group: &[u8; 32]) -> Result<Vec<[u8; 48]>, StoreError> {
        let _whole = self.rewritten.read().unwrap_or_else(PoisonError::into_inner);
        let (path, number) = (layout::group(group), self.number());
        write::places(&path, &self.group_bytes(&path)?, number)
    }

    fn cache(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = layout::cache(name);
        let failed = |error| io("read its cache", &error);
        let Some(length) = self.disk.len(&path).map_err(failed)? else {
            return Ok(None);
        };
        let Ok(size) = usize::try_from(length) else {
            return Ok(None);
        };
        let mut bytes = vec![0; size];
        match self.disk.read(&path, 0, &mut bytes) {
            // A writer is replacing it.
            Err(error) if error.kind() == std_io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read.map_err(failed)?,
        }
        let content = layout::unsealed(&path, 0, &bytes);
        let parts = content.and_then(|content| content.split_first_chunk());
        // What was computed from commits that are not there is ahead of the logs.
        let known = parts.filter(|(number, _)| u64::from_le_bytes(**number) <= self.number());
        Ok(known.map(|(_, value)| value.to_vec()))
    }

    fn put_cache(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let path = layout::cache(name);
        let content = [&self.number().to_le_bytes(), value].concat();
        let bytes = layout::sealed(&path, 0, &content);
        let written = self.disk.write(&path, 0, &bytes);
        written.and_then(|()| self.disk.set_len(&path, bytes.len() as u64)).map_err(|error| {
            writer.poisoned = true;
            io("write to its cache", &error)
        })
    }

    fn truncate(
        &self,
        author: &AuthorId,
        length: u64,
        index: &[IndexEntry],
    ) -> Result<(), StoreError> {
        self.drop_end(author, length, index)
    }

    fn erase(&self, places: &[(AuthorId, u64)]) -> Result<(), StoreError> {
        self.erase_bodies(places)
    }
}

/// Reads the journals, and compares what they hold with what had been acknowledged.
fn complete(disk: &dyn Disk, place: &str) -> Result<journal::Found, StoreError> {
    let promised = acknowledged(disk).map_err(|error| io("open its files", &error))?.unwrap_or(0);
    let found = journal::read(disk)?;
    let found =
        found.ok_or_else(|| corrupt_file("journal", &format!("there is none in {place}")))?;
    if found.number >= promised {
        return Ok(found);
    }
    let cause = format!(
        "the journal in {place} ends at commit {} of {promised}; restore the files from a copy, or \
         remove {place}/{ACKNOWLEDGED} to go on with what is left",
        found.number
    );
    Err(StoreError::Io { what: "recover all that it had acknowledged", cause })
}

/// The number of the last commit that was acknowledged. `None` if it is not known: the file is
/// never synced.
fn acknowledged(disk: &dyn Disk) -> std_io::Result<Option<u64>> {
    if disk.len(ACKNOWLEDGED)? != Some(ACKNOWLEDGED_BYTES as u64) {
        return Ok(None);
    }
    let mut bytes = [0; ACKNOWLEDGED_BYTES];
    disk.read(ACKNOWLEDGED, 0, &mut bytes)?;
    let number = layout::unsealed(ACKNOWLEDGED, 0, &bytes).and_then(|n| n.try_into().ok());
    Ok(number.map(u64::from_le_bytes))
}

/// Notes that everything up to a commit is durable. Where that fails, nothing is lost but a check
/// at the next opening.
fn acknowledge(disk: &dyn Disk, number: u64) {
    let bytes = layout::sealed(ACKNOWLEDGED, 0, &number.to_le_bytes());
    let _ = disk.write(ACKNOWLEDGED, 0, &bytes);
}

fn lock(path: &Path) -> Result<File, StoreError> {
    const OPEN: &str = "open its files";
    let file = File::options().create(true).truncate(false).write(true).open(path.join(LOCK));
    let file = file.map_err(|error| at(path, OPEN, &error))?;
    super::lock(&file, path)?;
    Ok(file)
}

fn at(path: &Path, what: &'static str, error: &std_io::Error) -> StoreError {
    StoreError::Io { what, cause: format!("{}: {error}", path.display()) }
}

fn io(what: &'static str, error: &std_io::Error) -> StoreError {
    StoreError::Io { what, cause: error.to_string() }
}

fn corrupt(author: &AuthorId, index: u64, what: impl ToString) -> StoreError {
    StoreError::Corrupt { author: *author, index, what: what.to_string() }
}

/// Damage of a file that belongs to no one place of a log.
fn corrupt_file(path: &str, what: &str) -> StoreError {
    let cause = format!("{path}: {what}; restore the store's directory from a copy");
    StoreError::Io { what: "read its files", cause }
}

/// What the disk says of one place of a log. A file that ends too early is damage.
fn broken(
    author: &AuthorId,
    index: u64,
    what: &'static str,
    path: &str,
    error: &std_io::Error,
) -> StoreError {
    match error.kind() {
        std_io::ErrorKind::UnexpectedEof | std_io::ErrorKind::NotFound => {
            corrupt(author, index, format!("{path} ends before it"))
        }
        _ => StoreError::Io { what, cause: format!("{path}: {error}") },
    }
}
