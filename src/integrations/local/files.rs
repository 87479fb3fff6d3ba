//! The files of a board: numbered names, bounded reading, writing that is never half done.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{BoardError, MAX_FILE_BYTES, MAX_FILES};

/// How often the lock is tried, and the pause between: ten seconds in all.
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The longest slug of a file's name, in bytes.
const MAX_SLUG_BYTES: usize = 48;

/// The numbered files of a directory, and complaints about numbers that occur twice.
pub(super) struct Numbered {
    pub(super) files: BTreeMap<u64, PathBuf>,
    pub(super) faults: Vec<BoardError>,
    /// The highest number, also of files that can't be meant.
    pub(super) highest: u64,
}

/// Lists `<number>-<slug>.md` and `<number>.md`. Names that begin otherwise are none of the
/// board's.
pub(super) fn numbered(directory: &Path) -> Result<Numbered, BoardError> {
    let mut found: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, path) in list(directory)? {
        let Some(stem) = name.strip_suffix(".md") else {
            continue;
        };
        if !stem.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        match stem.split('-').next().unwrap_or(stem).parse::<u64>() {
            Ok(number) if number > 0 => found.entry(number).or_default().push(path),
            _ => {
                let why = "its name must begin with a number from 1, then a dash".to_owned();
                faults.push(BoardError::Syntax { path, line: 1, why });
            }
        }
    }
    let highest = found.keys().next_back().copied().unwrap_or(0);
    let mut files = BTreeMap::new();
    for (number, mut paths) in found {
        paths.sort();
        match <[PathBuf; 1]>::try_from(paths) {
            Ok([path]) => {
                files.insert(number, path);
            }
            Err(mut paths) => {
                let (first, second) = (paths.swap_remove(0), paths.swap_remove(0));
                faults.push(BoardError::Twice { first, second });
            }
        }
    }
    Ok(Numbered { files, faults, highest })
}

/// The names in a directory that don't begin with a dot, at most [`MAX_FILES`].
pub(super) fn list(directory: &Path) -> Result<Vec<(String, PathBuf)>, BoardError> {
    let mut names = Vec::new();
    let entries = fs::read_dir(directory).map_err(fault("list", directory))?;
    // Each numbered file may have a directory of the same name beside it.
    for entry in entries {
        let entry = entry.map_err(fault("list", directory))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push((name, entry.path()));
        }
        if names.len() > MAX_FILES * 2 {
            return Err(BoardError::TooMany { path: directory.to_owned() });
        }
    }
    if names.iter().filter(|(name, _)| name.ends_with(".md")).count() > MAX_FILES {
        return Err(BoardError::TooMany { path: directory.to_owned() });
    }
    names.sort();
    Ok(names)
}

/// Reads a file of at most [`MAX_FILE_BYTES`] as UTF-8.
pub(super) fn read(path: &Path) -> Result<String, BoardError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fault("open", path))?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(fault("read", path))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(BoardError::TooLarge { path: path.to_owned() });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        BoardError::Syntax { path: path.to_owned(), line, why: "it is not UTF-8".to_owned() }
    })
}

/// Creates a file with its whole content; an error if it exists.
pub(super) fn create(path: &Path, content: &str) -> Result<(), BoardError> {
    let aside = write_aside(path, content)?;
    fs::hard_link(&aside.0, path).map_err(fault("create", path))?;
    sync_directory(path)
}

/// Replaces a file's content. If it isn't what was `read` any more, a person saved it meanwhile:
/// then nothing is changed, and the answer is false.
pub(super) fn replace(path: &Path, read_before: &str, content: &str) -> Result<bool, BoardError> {
    let aside = write_aside(path, content)?;
    if read(path)? != read_before {
        return Ok(false);
    }
    fs::rename(&aside.0, path).map_err(fault("replace", path))?;
    sync_directory(path)?;
    Ok(true)
}

/// A file that is removed when it is dropped, unless it was renamed.
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        let _renamed = fs::remove_file(&self.0);
    }
}

fn write_aside(path: &Path, content: &str) -> Result<Aside, BoardError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(BoardError::TooLarge { path: path.to_owned() });
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!(".bzzz-{}-{number}", std::process::id());
    let aside = Aside(path.with_file_name(name));
    let mut file = File::create(&aside.0).map_err(fault("create", &aside.0))?;
    let written = file.write_all(content.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(fault("write", path))?;
    Ok(aside)
}

fn sync_directory(path: &Path) -> Result<(), BoardError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(fault("sync", directory))
}

/// Locks the board for one change. The lock ends with the file or the process.
pub(super) fn lock(root: &Path) -> Result<File, BoardError> {
    let path = root.join(".lock");
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(fault("open", &path))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(fault("lock", &path)(error)),
        }
    }
    Err(BoardError::Busy { path })
}

/// The file name of a number and a title: `0001-fix-the-parser.md`.
pub(super) fn file_name(number: u64, title: &str) -> String {
    let mut slug = String::new();
    for c in title.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
        if slug.len() >= MAX_SLUG_BYTES {
            break;
        }
    }
    match slug.trim_end_matches('-') {
        "" => format!("{number:04}.md"),
        slug => format!("{number:04}-{slug}.md"),
    }
}

pub(super) fn fault(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> BoardError + use<> {
    let path = path.to_owned();
    move |source| BoardError::Io { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn names_hold_a_number_and_a_slug() {
        assert_eq!(file_name(1, "Fix: the  Parser!"), "0001-fix-the-parser.md");
        assert_eq!(file_name(12345, "Üß"), "12345.md");
        assert_eq!(file_name(2, "../../etc"), "0002-etc.md");
        assert!(file_name(3, &"x".repeat(500)).len() < 64);
    }
}
