//! The journal: every commit is one frame in it, durable before the first other file changes.
//!
//! A file `journal-N` begins with a frame of all logs as they were behind commit N, whose changes
//! are durable in their files; the frames of the commits after N follow. When it has grown, the
//! changed files are synced, the next journal is begun, and the old one is removed.
//!
//! Each frame is durable before the next is begun. So a crash can tear the last frame only, and
//! that one was never acknowledged; anything else that cannot be read is damage, and is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::change::{Change, make_all};
use super::disk::Disk;
use super::frame::{Frame, Log, MARK};
use super::{corrupt_file, io as failed};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::StoreError;

/// A journal of more bytes is ended.
const ENOUGH: u64 = 16 * 1024 * 1024;

const PREFIX: &str = "journal-";

/// What the journals of a store say.
pub(super) struct Found {
    /// The number of the last commit.
    pub(super) number: u64,
    /// The logs behind it.
    pub(super) logs: BTreeMap<AuthorId, Log>,
    /// The changes of the commits since the journal was begun.
    pub(super) changes: Vec<Change>,
    /// The bytes behind the last whole frame: of a commit that a crash interrupted.
    pub(super) torn: u64,
}

/// The journal of a store that is written to.
#[derive(Debug)]
pub(super) struct Journal {
    disk: Arc<dyn Disk>,
    path: String,
    end: u64,
    /// The files that changed since the journal was begun.
    dirty: BTreeSet<String>,
}

pub(super) fn is_journal(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
}

/// The journals of a store, the newest first.
pub(super) fn names(disk: &dyn Disk) -> io::Result<Vec<String>> {
    let mut names = disk.list("")?;
    names.retain(|name| is_journal(name));
    names.reverse();
    Ok(names)
}

/// Reads the newest journal that was begun in full. `None` if there is none.
pub(super) fn read(disk: &dyn Disk) -> Result<Option<Found>, StoreError> {
    let names = names(disk).map_err(|error| failed("list its journals", &error))?;
    for (older, name) in names.iter().enumerate() {
        let length = disk.len(name).map_err(|error| failed("read its journal", &error))?;
        let length = length.ok_or_else(|| gone(name))?;
        let size = usize::try_from(length).map_err(|_| corrupt_file(name, "it is too long"))?;
        let mut bytes = vec![0; size];
        disk.read(name, 0, &mut bytes).map_err(|error| failed("read its journal", &error))?;
        if let Some(found) = replay(name, &bytes)? {
            return Ok(Some(found));
        }
        // A crash may have interrupted its beginning; then the one before is whole.
        if older + 1 == names.len() {
            return Err(corrupt_file(name, "its first frame cannot be read"));
        }
    }
    Ok(None)
}

fn gone(name: &str) -> StoreError {
    let cause = format!("{name} is gone: another process ended it");
    StoreError::Io { what: "read its journal", cause }
}

fn replay(name: &str, bytes: &[u8]) -> Result<Option<Found>, StoreError> {
    let mut rest = bytes;
    let mut found: Option<Found> = None;
    while let Some((frame, behind)) = Frame::decode(rest) {
        let expected = found.as_ref().map_or(frame.number, |found| found.number + 1);
        if frame.number != expected {
            let what = format!("commit {} where {expected} should stand", frame.number);
            return Err(corrupt_file(name, &what));
        }
        rest = behind;
        let found = found.get_or_insert_with(|| Found {
            number: frame.number,
            logs: BTreeMap::new(),
            changes: Vec::new(),
            torn: 0,
        });
        found.number = frame.number;
        found.logs.extend(frame.logs);
        found.changes.extend(frame.changes);
    }
    // Behind a torn frame there is nothing.
    let marks = rest.windows(MARK.len()).enumerate().filter(|(_, window)| window == MARK);
    for (at, _) in marks {
        if at > 0 && Frame::decode(&rest[at..]).is_some() {
            let at = bytes.len() - rest.len();
            let what = format!("the frame at byte {at} is damaged, and whole ones follow it");
            return Err(corrupt_file(name, &what));
        }
    }
    if let Some(found) = &mut found {
        found.torn = rest.len() as u64;
    }
    Ok(found)
}

impl Journal {
    /// Makes the changes of the journals in their files, and begins the next journal.
    pub(super) fn recover(disk: Arc<dyn Disk>, found: &Found) -> io::Result<Self> {
        let mut dirty = BTreeSet::new();
        make_all(&found.changes, &*disk, &mut dirty)?;
        let mut journal = Self { disk, path: String::new(), end: 0, dirty };
        let old = names(&*journal.disk)?;
        // The newest may be the unfinished beginning of the very one that is to be begun.
        journal.begin(found.number, &found.logs, old)?;
        Ok(journal)
    }

    /// Begins the first journal of a store.
    pub(super) fn create(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let mut journal = Self { disk, path: String::new(), end: 0, dirty: BTreeSet::new() };
        journal.begin(0, &BTreeMap::new(), Vec::new())?;
        Ok(journal)
    }

    /// Writes a commit, durably, and then makes its changes.
    pub(super) fn commit(&mut self, frame: &Frame) -> io::Result<()> {
        let bytes = frame.encode().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a commit of more than 4 GiB")
        })?;
        self.disk.write(&self.path, self.end, &bytes)?;
        self.disk.sync(&self.path)?;
        self.end += bytes.len() as u64;
        make_all(&frame.changes, &*self.disk, &mut self.dirty)
    }

    /// Whether the next one should be begun.
    pub(super) fn is_long(&self) -> bool {
        self.end > ENOUGH
    }

    /// Makes all changes durable in their files, and goes on with a new journal. Nothing of what
    /// the old one held is left.
    pub(super) fn rotate(&mut self, number: u64, logs: &BTreeMap<AuthorId, Log>) -> io::Result<()> {
        let old = names(&*self.disk)?;
        self.begin(number, logs, old)
    }

    fn begin(
        &mut self,
        number: u64,
        logs: &BTreeMap<AuthorId, Log>,
        old: Vec<String>,
    ) -> io::Result<()> {
        for path in &self.dirty {
            self.disk.sync(path)?;
        }
        self.dirty.clear();
        let path = format!("{PREFIX}{number:020}");
        if self.path == path {
            return Ok(());
        }
        let frame = Frame { number, logs: logs.clone(), changes: Vec::new() };
        let bytes = frame.encode().ok_or(io::ErrorKind::InvalidInput)?;
        if old.contains(&path) {
            // The newest holds this one frame, or a beginning of it, and maybe a torn one behind.
            self.disk.set_len(&path, bytes.len() as u64)?;
        }
        self.disk.write(&path, 0, &bytes)?;
        self.disk.sync(&path)?;
        for name in old.iter().filter(|name| **name != path) {
            self.disk.remove(name)?;
        }
        self.end = bytes.len() as u64;
        self.path = path;
        Ok(())
    }
}
