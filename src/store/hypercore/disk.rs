//! The files of a store: a few calls, so that a test can stand in for a disk that crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Handles that are kept open at once; a log in use has nine files.
const OPEN_FILES: usize = 192;

/// The files of one directory, named by paths relative to it with `/` between the parts.
///
/// What was written is durable once [`Disk::sync`] of that file has returned, and may be there in
/// part or not at all before.
pub trait Disk: Debug + Send + Sync + 'static {
    /// The length of a file in bytes; `None` if it is not there.
    ///
    /// # Errors
    /// The disk's.
    fn len(&self, path: &str) -> io::Result<Option<u64>>;

    /// Fills the bytes from a file. A file that ends before is an error of the kind
    /// [`io::ErrorKind::UnexpectedEof`].
    ///
    /// # Errors
    /// The disk's.
    fn read(&self, path: &str, at: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes into a file, which is made if it is not there, with the directories above it. What
    /// lies between its end and `at` is zero.
    ///
    /// # Errors
    /// The disk's.
    fn write(&self, path: &str, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts a file, or lengthens it by zeros. The file is made if it is not there.
    ///
    /// # Errors
    /// The disk's.
    fn set_len(&self, path: &str, length: u64) -> io::Result<()>;

    /// Makes a file's bytes durable, and its name.
    ///
    /// # Errors
    /// The disk's. Whatever was written since the last time may be lost.
    fn sync(&self, path: &str) -> io::Result<()>;

    /// Removes a file, or a directory with all that is in it. It need not be there.
    ///
    /// # Errors
    /// The disk's.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// The names in a directory, sorted; none if it is not there. The root is the empty path.
    ///
    /// # Errors
    /// The disk's.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
}

/// The files of a directory of this machine.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<String, Arc<File>>,
    /// Files whose names are not durable yet.
    fresh: BTreeSet<String>,
}

impl Files {
    /// The files below a directory, which need not be there yet.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle for reading, and for writing if the file may be written to.
    fn open(&self, path: &str, make: bool) -> io::Result<Arc<File>> {
        let mut state = self.state();
        if let Some(file) = state.open.get(path) {
            return Ok(Arc::clone(file));
        }
        let full = self.root.join(path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let file = match options.open(&full) {
            Err(error) if make && error.kind() == io::ErrorKind::NotFound => {
                if let Some(parent) = full.parent() {
                    fs::create_dir_all(parent)?;
                }
                state.fresh.insert(path.to_owned());
                options.create(true).truncate(false).open(&full)?
            }
            // A reader may have no right to write, and needs none.
            Err(error) if !make && error.kind() == io::ErrorKind::PermissionDenied => {
                File::open(&full)?
            }
            opened => opened?,
        };
        let file = Arc::new(file);
        if state.open.len() >= OPEN_FILES {
            state.open.clear();
        }
        state.open.insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }
}

impl Disk for Files {
    fn len(&self, path: &str) -> io::Result<Option<u64>> {
        match self.open(path, false) {
            Ok(file) => Ok(Some(file.metadata()?.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, path: &str, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.open(path, false)?.read_exact_at(bytes, at)
    }

    fn write(&self, path: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.open(path, true)?.write_all_at(bytes, at)
    }

    fn set_len(&self, path: &str, length: u64) -> io::Result<()> {
        self.open(path, true)?.set_len(length)
    }

    fn sync(&self, path: &str) -> io::Result<()> {
        self.open(path, false)?.sync_all()?;
        if !self.state().fresh.contains(path) {
            return Ok(());
        }
        let full = self.root.join(path);
        for above in full.ancestors().skip(1) {
            File::open(above)?.sync_all()?;
            if above == self.root {
                break;
            }
        }
        self.state().fresh.remove(path);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        let below = format!("{path}/");
        let gone = |name: &String| name == path || name.starts_with(&below);
        state.open.retain(|name, _| !gone(name));
        state.fresh.retain(|name| !gone(name));
        let full = self.root.join(path);
        let removed = match fs::symlink_metadata(&full) {
            Ok(data) if data.is_dir() => fs::remove_dir_all(&full),
            Ok(_) => fs::remove_file(&full),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(path)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
        };
        let mut names: Vec<String> = entries.map(name).collect::<Result<_, _>>()?;
        names.sort();
        Ok(names)
    }
}
