//! Changes of files before they are made: what one commit writes, gathered so that the journal can
//! hold all of it before the first file changes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::Disk;

/// One change of one file. To make it a second time changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Bytes at an offset.
    Write {
        /// The file.
        path: String,
        /// The offset.
        at: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Another length.
    Length {
        /// The file.
        path: String,
        /// The length.
        length: u64,
    },
    /// A file or a directory is removed.
    Remove {
        /// The path.
        path: String,
    },
}

impl Change {
    fn path(&self) -> &str {
        match self {
            Self::Write { path, .. } | Self::Length { path, .. } | Self::Remove { path } => path,
        }
    }

    pub(super) fn make(&self, disk: &dyn Disk) -> io::Result<()> {
        match self {
            Self::Write { path, at, bytes } => disk.write(path, *at, bytes),
            Self::Length { path, length } => disk.set_len(path, *length),
            Self::Remove { path } => disk.remove(path),
        }
    }

    /// Whether this concerns the file.
    fn touches(&self, file: &str) -> bool {
        let path = self.path();
        match self {
            Self::Remove { .. } => {
                file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            _ => path == file,
        }
    }
}

/// Makes changes, and tells which files are to be synced for them.
pub(super) fn make_all(
    changes: &[Change],
    disk: &dyn Disk,
    dirty: &mut BTreeSet<String>,
) -> io::Result<()> {
    for change in changes {
        change.make(disk)?;
        match change {
            Change::Remove { path } => {
                let below = format!("{path}/");
                dirty.retain(|name| name != path && !name.starts_with(&below));
            }
            _ => {
                if !dirty.contains(change.path()) {
                    dirty.insert(change.path().to_owned());
                }
            }
        }
    }
    Ok(())
}

/// Files as they will be once the changes are made.
#[derive(Debug)]
pub(super) struct Stage {
    disk: Arc<dyn Disk>,
    changes: Mutex<Vec<Change>>,
}

impl Stage {
    pub(super) fn on(disk: Arc<dyn Disk>) -> Self {
        Self { disk, changes: Mutex::default() }
    }

    /// Takes the changes away: the stage is empty then.
    pub(super) fn take(&self) -> Vec<Change> {
        merge(std::mem::take(&mut *self.changes()))
    }

    pub(super) fn write(&self, path: &str, at: u64, bytes: &[u8]) {
        let mut changes = self.changes();
        if let Some(Change::Write { path: last, at: from, bytes: before }) = changes.last_mut()
            && last == path
            && *from + before.len() as u64 == at
        {
            before.extend_from_slice(bytes);
            return;
        }
        changes.push(Change::Write { path: path.to_owned(), at, bytes: bytes.to_vec() });
    }

    pub(super) fn set_len(&self, path: &str, length: u64) {
        self.changes().push(Change::Length { path: path.to_owned(), length });
    }

    pub(super) fn remove(&self, path: &str) {
        self.changes().push(Change::Remove { path: path.to_owned() });
    }

    pub(super) fn len(&self, path: &str) -> io::Result<u64> {
        let base = self.disk.len(path)?;
        Ok(length_behind(base, self.changes().iter().filter(|c| c.touches(path))).unwrap_or(0))
    }

    /// Reads bytes that are all there.
    pub(super) fn read(&self, path: &str, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let changes = self.changes();
        let changes: Vec<_> = changes.iter().filter(|change| change.touches(path)).collect();
        read_behind(&*self.disk, &changes, path, at, bytes)
    }

    fn changes(&self) -> MutexGuard<'_, Vec<Change>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The length of a file behind changes of it.
fn length_behind<'a>(base: Option<u64>, changes: impl Iterator<Item = &'a Change>) -> Option<u64> {
    changes.fold(base, |length, change| match change {
        Change::Write { at, bytes, .. } => {
            Some(length.unwrap_or(0).max(at.saturating_add(bytes.len() as u64)))
        }
        Change::Length { length, .. } => Some(*length),
        Change::Remove { .. } => None,
    })
}

/// Reads a file as it is behind changes of it.
fn read_behind(
    disk: &dyn Disk,
    changes: &[&Change],
    path: &str,
    at: u64,
    bytes: &mut [u8],
) -> io::Result<()> {
    // A file without bytes need not be there.
    if bytes.is_empty() {
        return Ok(());
    }
    if changes.is_empty() {
        return disk.read(path, at, bytes);
    }
    let base = disk.len(path)?;
    let end = at.saturating_add(bytes.len() as u64);
    if length_behind(base, changes.iter().copied()).is_none_or(|length| length < end) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let there = base.unwrap_or(0).clamp(at, end) - at;
    let there = usize::try_from(there).expect("no longer than the buffer");
    let (old, new) = bytes.split_at_mut(there);
    if !old.is_empty() {
        disk.read(path, at, old)?;
    }
    new.fill(0);
    for change in changes {
        let (from, patch): (u64, &[u8]) = match change {
            Change::Write { at, bytes, .. } => (*at, bytes),
            Change::Length { length, .. } => {
                zero_from(bytes, at, *length);
                continue;
            }
            Change::Remove { .. } => {
                bytes.fill(0);
                continue;
            }
        };
        let first = from.clamp(at, end);
        let last = from.saturating_add(patch.len() as u64).clamp(at, end);
        if first < last {
            let inside = |place: u64, of: u64| usize::try_from(place - of).expect("in the buffer");
            bytes[inside(first, at)..inside(last, at)]
                .copy_from_slice(&patch[inside(first, from)..inside(last, from)]);
        }
    }
    Ok(())
}

fn zero_from(bytes: &mut [u8], at: u64, length: u64) {
    let from = usize::try_from(length.saturating_sub(at)).unwrap_or(usize::MAX);
    if let Some(cut) = bytes.get_mut(from..) {
        cut.fill(0);
    }
}

/// Joins neighbouring writes: hypercore writes the nodes of its tree one by one in any order.
fn merge(changes: Vec<Change>) -> Vec<Change> {
    let mut merged = Vec::with_capacity(changes.len());
    let mut run: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut file = String::new();
    for change in changes {
        match change {
            Change::Write { path, at, bytes } => {
                if path != file {
                    finish(&mut merged, &file, &mut run);
                    file = path;
                }
                run.push((at, bytes));
            }
            other => {
                finish(&mut merged, &file, &mut run);
                merged.push(other);
            }
        }
    }
    finish(&mut merged, &file, &mut run);
    merged
}

fn finish(merged: &mut Vec<Change>, path: &str, run: &mut Vec<(u64, Vec<u8>)>) {
    let mut sorted: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let disjoint = {
        let mut places: Vec<_> = run.iter().map(|(at, b)| (*at, at + b.len() as u64)).collect();
        places.sort_unstable();
        places.array_windows().all(|[(_, end), (next, _)]| end <= next)
    };
    if !disjoint {
        let path = || path.to_owned();
        merged.extend(run.drain(..).map(|(at, bytes)| Change::Write { path: path(), at, bytes }));
        return;
    }
    sorted.extend(run.drain(..));
    let mut last: Option<(u64, Vec<u8>)> = None;
    for (at, bytes) in sorted {
        match &mut last {
            Some((from, before)) if *from + before.len() as u64 == at => before.extend(bytes),
            _ => {
                if let Some((at, bytes)) = last.replace((at, bytes)) {
                    merged.push(Change::Write { path: path.to_owned(), at, bytes });
                }
            }
        }
    }
    if let Some((at, bytes)) = last {
        merged.push(Change::Write { path: path.to_owned(), at, bytes });
    }
}

/// A disk as it is behind changes that nobody has made: what a reader sees of a journal.
#[derive(Debug)]
pub(super) struct Behind {
    disk: Arc<dyn Disk>,
    changes: Vec<Change>,
    of_file: BTreeMap<String, Vec<usize>>,
}

impl Behind {
    pub(super) fn new(disk: Arc<dyn Disk>, changes: Vec<Change>) -> Self {
        let mut of_file: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (number, change) in changes.iter().enumerate() {
            match change {
                Change::Remove { path } => {
                    let below = format!("{path}/");
                    of_file.entry(path.clone()).or_default().push(number);
                    let all = of_file.range_mut(below.clone()..);
                    let gone = all.take_while(|(name, _)| name.starts_with(&below));
                    gone.for_each(|(_, numbers)| numbers.push(number));
                }
                _ => of_file.entry(change.path().to_owned()).or_default().push(number),
            }
        }
        Self { disk, changes, of_file }
    }

    fn of(&self, path: &str) -> Vec<&Change> {
        let numbers = self.of_file.get(path).map_or(&[][..], Vec::as_slice);
        numbers.iter().map(|number| &self.changes[*number]).collect()
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "it was opened for reading only")
}

impl Disk for Behind {
    fn len(&self, path: &str) -> io::Result<Option<u64>> {
        Ok(length_behind(self.disk.len(path)?, self.of(path).into_iter()))
    }

    fn read(&self, path: &str, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        read_behind(&*self.disk, &self.of(path), path, at, bytes)
    }

    fn write(&self, _: &str, _: u64, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn set_len(&self, _: &str, _: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn sync(&self, _: &str) -> io::Result<()> {
        Err(read_only())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(read_only())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
}
