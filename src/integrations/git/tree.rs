//! A commit's files, written into a directory without git in it.
//!
//! The node writes them itself from the objects' bytes: no filter, no conversion, no submodule, no
//! `.git`. Whatever a tree's paths and links say, nothing outside of the directory is touched.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use tokio::sync::mpsc;

use super::mirror::{MAX_LISTING_BYTES, Mirror, garbled, io_error, known};
use super::run::{Call, Feed, Sink};
use super::{CommitId, GitError};

/// The most files of one tree.
pub const MAX_TREE_FILES: usize = 100_000;

/// The largest file that is written or committed, in bytes.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// All files of one tree together, in bytes.
pub const MAX_TREE_BYTES: u64 = 1 << 30;

/// The longest path inside a tree, in bytes.
pub const MAX_PATH_BYTES: usize = 2048;

const OPERATION: &str = "check the commit out";

/// What a tree's entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Executable,
    Link,
    /// A commit of another repository.
    Submodule,
}

impl Kind {
    /// The mode as git writes it.
    pub(super) fn mode(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Link => "120000",
            Self::Submodule => "160000",
        }
    }

    fn of(mode: &str) -> Option<Self> {
        match mode {
            "100644" | "100664" => Some(Self::File),
            "100755" => Some(Self::Executable),
            "120000" => Some(Self::Link),
            "160000" => Some(Self::Submodule),
            _ => None,
        }
    }
}

/// One file of a tree, its path checked.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) id: CommitId,
    pub(super) size: u64,
    /// Relative, of plain components.
    pub(super) path: PathBuf,
}

impl Mirror {
    /// Writes the files of a commit into a directory that is empty or absent. There is no `.git` in
    /// it; a submodule is an empty directory. A symbolic link is one only if it stays inside the
    /// tree: relative, with `..` only at its beginning and no more of them than its directory is
    /// deep. Any other is a plain file that holds the link's text, as on systems without links.
    ///
    /// # Errors
    /// [`GitError::BadPath`] and [`GitError::TooLarge`] before anything is written;
    /// [`GitError::Io`].
    pub async fn checkout(&self, commit: &CommitId, work_tree: &Path) -> Result<(), GitError> {
        let mut entries = self.list_tree(OPERATION, commit).await?;
        check_sizes(&entries)?;
        // Links come last, so that no path is ever followed through one.
        entries.sort_by_key(|entry| entry.kind == Kind::Link);
        let wanted = entries.iter().filter(|entry| entry.kind != Kind::Submodule);
        let names: Vec<u8> = wanted.flat_map(|e| format!("{}\n", e.id).into_bytes()).collect();
        let (sender, receiver) = mpsc::channel(8);
        let root = work_tree.to_owned();
        let writing = tokio::task::spawn_blocking(move || {
            write_tree(&root, &entries, &mut BufReader::new(Pieces::new(receiver)))
        });
        let call = Call::new(["cat-file", "--batch=%(objectsize)"], self.limits.local)
            .feed(Feed::Bytes(names))
            .sink(Sink::Pieces(sender));
        let read = self.local(OPERATION, call).await;
        let written = writing.await.map_err(|_| garbled(OPERATION, "writing was cut off"))?;
        // If git failed, the writer only saw its answer end.
        written.and(read.map(|_| ()))
    }

    /// The bytes of one file of a commit; none if there is none of this path. A link or a directory
    /// is no file.
    ///
    /// # Errors
    /// [`GitError::TooLarge`] for a file over the limit; [`GitError::BadPath`] for what is no file.
    pub async fn read_file(
        &self,
        commit: &CommitId,
        path: &str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, GitError> {
        const OPERATION: &str = "read a file of a commit";
        let id = known(OPERATION, commit)?;
        let args = ["ls-tree", "-l", "-z", "--full-tree", id, "--", path];
        let listing = self.local(OPERATION, Call::new(args, self.limits.local)).await?;
        let Some(line) = listing.split(|byte| *byte == 0).find(|line| !line.is_empty()) else {
            return Ok(None);
        };
        let no_file = || GitError::BadPath {
            operation: OPERATION,
            path: path.to_owned(),
            why: "it is no plain file",
        };
        let entry = parse_entry(line).ok_or_else(no_file)?;
        if !matches!(entry.kind, Kind::File | Kind::Executable) || entry.path != Path::new(path) {
            return Err(no_file());
        }
        if entry.size > limit {
            let what = format!("the file {path}, in bytes,");
            return Err(GitError::TooLarge { operation: OPERATION, what, limit });
        }
        let args = ["cat-file", "blob", entry.id.as_str()];
        let call = Call::new(args, self.limits.local).sink(Sink::Memory(limit));
        Ok(Some(self.local(OPERATION, call).await?))
    }

    /// The files of a commit's tree, their paths checked, their contents not yet.
    pub(super) async fn list_tree(
        &self,
        operation: &'static str,
        commit: &CommitId,
    ) -> Result<Vec<Entry>, GitError> {
        let args = ["ls-tree", "-r", "-l", "-z", "--full-tree", known(operation, commit)?];
        let call = Call::new(args, self.limits.local).sink(Sink::Memory(MAX_LISTING_BYTES));
        let listing = self.local(operation, call).await?;
        let mut entries = Vec::new();
        for line in listing.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let parsed = parse_entry(line);
            let entry = parsed.ok_or_else(|| garbled(operation, "an unexpected listing"))?;
            check_path(operation, &entry.path)?;
            entries.push(entry);
            check_count(operation, entries.len())?;
        }
        Ok(entries)
    }
}

/// Refuses more than [`MAX_TREE_FILES`].
pub(super) fn check_count(operation: &'static str, files: usize) -> Result<(), GitError> {
    if files > MAX_TREE_FILES {
        let what = "the number of files".to_owned();
        return Err(GitError::TooLarge { operation, what, limit: MAX_TREE_FILES as u64 });
    }
    Ok(())
}

/// `<mode> <type> <id> <size>\t<path>`, the size padded, a dash for submodules.
fn parse_entry(line: &[u8]) -> Option<Entry> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let mut fields = std::str::from_utf8(&line[..tab]).ok()?.split_ascii_whitespace();
    let kind = Kind::of(fields.next()?)?;
    let _object_type = fields.next()?;
    let id = CommitId::from_str(fields.next()?).ok()?;
    let size = match fields.next()? {
        "-" => 0,
        size => size.parse().ok()?,
    };
    let path = PathBuf::from(OsStr::from_bytes(&line[tab + 1..]));
    Some(Entry { kind, id, size, path })
}

/// Refuses paths that leave the tree or that some file system takes for git's own directory.
pub(super) fn check_path(operation: &'static str, path: &Path) -> Result<(), GitError> {
    let bytes = path.as_os_str().as_bytes();
    let why = match () {
        () if bytes.is_empty() => "it is empty",
        () if bytes.len() > MAX_PATH_BYTES => "it is too long",
        () if bytes.contains(&0) => "it holds a zero byte",
        () => match bytes.split(|byte| *byte == b'/').find_map(bad_component) {
            Some(why) => why,
            None => return Ok(()),
        },
    };
    let path = path.to_string_lossy().chars().take(200).collect();
    Err(GitError::BadPath { operation, path, why })
}

fn bad_component(component: &[u8]) -> Option<&'static str> {
    match component {
        b"" | b"." | b".." => return Some("it leaves the tree or has an empty part"),
        _ if component.len() > 255 => return Some("one of its parts is too long"),
        _ => {}
    }
    // HFS+ ignores some characters, NTFS dots and spaces at the end, both the case.
    let text = String::from_utf8_lossy(component).to_lowercase();
    let ignored = |c: &char| {
        !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let text: String = text.chars().filter(ignored).collect();
    let text = text.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    matches!(text, ".git" | "git~1").then_some("it is a name of git's own directory")
}

fn check_sizes(entries: &[Entry]) -> Result<(), GitError> {
    let mut total = 0u64;
    for entry in entries {
        // A link's text is a path.
        let limit = match entry.kind {
            Kind::Link => MAX_PATH_BYTES as u64,
            _ => MAX_FILE_BYTES,
        };
        if entry.size > limit {
            let what = format!("{}, in bytes,", entry.path.display());
            return Err(GitError::TooLarge { operation: OPERATION, what, limit });
        }
        total = total.saturating_add(entry.size);
    }
    if total > MAX_TREE_BYTES {
        let what = "the tree, in bytes,".to_owned();
        return Err(GitError::TooLarge { operation: OPERATION, what, limit: MAX_TREE_BYTES });
    }
    Ok(())
}

fn write_tree(root: &Path, entries: &[Entry], from: &mut impl BufRead) -> Result<(), GitError> {
    fs::create_dir_all(root).map_err(io_error("create the directory", root))?;
    let mut listed = fs::read_dir(root).map_err(io_error("list", root))?;
    if listed.next().is_some() {
        let full = io::Error::from(io::ErrorKind::DirectoryNotEmpty);
        return Err(io_error("check a commit out into", root)(full));
    }
    let mut made = BTreeSet::new();
    for entry in entries {
        let path = root.join(&entry.path);
        let parent = entry.path.parent().unwrap_or(Path::new(""));
        make_directories(root, parent, &mut made)?;
        match entry.kind {
            Kind::Submodule => make_directories(root, &entry.path, &mut made)?,
            Kind::File => write_file(&path, 0o644, entry, from)?,
            Kind::Executable => write_file(&path, 0o755, entry, from)?,
            Kind::Link => write_link(&path, entry, from)?,
        }
    }
    Ok(())
}

/// Creates each missing directory itself: one that exists without being made here is a file or a
/// link of a forged tree.
fn make_directories(
    root: &Path,
    path: &Path,
    made: &mut BTreeSet<PathBuf>,
) -> Result<(), GitError> {
    if path.as_os_str().is_empty() || made.contains(path) {
        return Ok(());
    }
    make_directories(root, path.parent().unwrap_or(Path::new("")), made)?;
    let full = root.join(path);
    fs::create_dir(&full).map_err(io_error("create the directory", &full))?;
    made.insert(path.to_owned());
    Ok(())
}

fn write_file(
    path: &Path,
    mode: u32,
    entry: &Entry,
    from: &mut impl BufRead,
) -> Result<(), GitError> {
    let fault = |error| io_error("write", path)(error);
    let mut content = next_object(entry, from).map_err(fault)?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(fault)?;
    copy_exactly(&mut content, &mut file, entry.size).map_err(fault)?;
    end_object(from).map_err(fault)
}

fn write_link(path: &Path, entry: &Entry, from: &mut impl BufRead) -> Result<(), GitError> {
    let fault = |error| io_error("write the link", path)(error);
    let mut target = Vec::new();
    next_object(entry, from).and_then(|mut c| c.read_to_end(&mut target)).map_err(fault)?;
    end_object(from).map_err(fault)?;
    let depth = entry.path.components().count() - 1;
    if stays_inside(&target, depth) {
        return std::os::unix::fs::symlink(OsStr::from_bytes(&target), path).map_err(fault);
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
    file.and_then(|mut file| file.write_all(&target)).map_err(fault)
}

/// Whether a link in a directory of this depth can't lead out of the tree, whatever other such
/// links the tree has: its `..` climb only from its own, real directory.
pub(super) fn stays_inside(target: &[u8], depth: usize) -> bool {
    if target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
        return false;
    }
    let parts: Vec<&[u8]> = target.split(|byte| *byte == b'/').collect();
    let climbs = parts.iter().take_while(|part| **part == b"..").count();
    let rest = &parts[climbs..];
    let harmless = |part: &[u8]| matches!(part, b"." | b"") || bad_component(part).is_none();
    climbs <= depth && rest.iter().all(|part| harmless(part))
}

/// The content of the next object in git's answer, which must be the entry's.
fn next_object<'a, R: BufRead>(entry: &Entry, from: &'a mut R) -> io::Result<io::Take<&'a mut R>> {
    let mut head = String::new();
    Read::take(&mut *from, 100).read_line(&mut head)?;
    if head.trim_end().parse() != Ok(entry.size) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "git's answer is cut short"));
    }
    Ok(Read::take(from, entry.size))
}

fn end_object(from: &mut impl BufRead) -> io::Result<()> {
    let mut end = [0];
    from.read_exact(&mut end)
}

fn copy_exactly(from: &mut impl Read, to: &mut File, size: u64) -> io::Result<()> {
    match io::copy(from, to)? == size {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "git's answer is cut short")),
    }
}

/// Reads the pieces that git's output arrives in.
struct Pieces {
    from: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    read: usize,
}

impl Pieces {
    fn new(from: mpsc::Receiver<Vec<u8>>) -> Self {
        Self { from, piece: Vec::new(), read: 0 }
    }
}

impl Read for Pieces {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.read == self.piece.len() {
            match self.from.blocking_recv() {
                Some(piece) => (self.piece, self.read) = (piece, 0),
                None => return Ok(0),
            }
        }
        let n = (&self.piece[self.read..]).read(to)?;
        self.read += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{check_path, stays_inside};

    #[test]
    fn paths_that_leave_the_tree_or_name_git_are_refused() {
        for path in ["a", "a/b", ".gitignore", ".github/x", "a b/c\n", "git", ".gitx"] {
            check_path("test", Path::new(path)).unwrap();
        }
        let bad = ["", "../a", "a/../b", "/a", "a//b", "./a", ".git", ".GIT/config", "a/.Git/x"];
        for path in bad.into_iter().chain([".git.", ".git ", "GIT~1/x", ".g\u{200c}it", ".git::$X"])
        {
            assert!(check_path("test", Path::new(path)).is_err(), "{path:?} was taken");
        }
        assert!(check_path("test", Path::new(&"a/".repeat(2000))).is_err());
    }

    #[test]
    fn a_link_climbs_only_from_its_own_directory() {
        for (target, depth) in [("a", 0), ("a/b", 0), ("../a", 1), ("../../a", 2), ("./a", 0)] {
            assert!(stays_inside(target.as_bytes(), depth), "{target}");
        }
        let bad = [("", 0), ("/etc/passwd", 5), ("..", 0), ("../a", 0), ("../../a", 1)];
        // The third may lead out if `a` is itself a link to the root.
        for (target, depth) in bad.into_iter().chain([("a/..", 3), ("a/../../b", 9), (".git/x", 0)])
        {
            assert!(!stays_inside(target.as_bytes(), depth), "{target}");
        }
    }
}
