//! A work tree, committed: what the sandbox left becomes a tree of git's.
//!
//! Git says which names count (its ignore rules); the node reads the files itself, never through a
//! link, so that a path that is swapped meanwhile can't bring a file of the machine into a commit.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::claims::check_message;
use super::mirror::{MAX_LISTING_BYTES, Mirror, garbled, io_error, known};
use super::refs::first_id;
use super::run::{Call, Feed, Sink, os};
use super::tree::{
    Entry, Kind, MAX_FILE_BYTES, MAX_PATH_BYTES, MAX_TREE_BYTES, check_count, check_path,
    stays_inside,
};
use super::{Author, CommitId, GitError};

const OPERATION: &str = "commit the work tree";

/// What is read of a file in one piece, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// A name in the work tree that may become part of the commit.
type Names = BTreeMap<PathBuf, Option<Entry>>;

/// A file that was read: its path, kind and mark in the import.
struct Taken {
    path: PathBuf,
    kind: Kind,
}

impl Mirror {
    /// Commits a work tree on top of `base`. Files of the base count, and new ones unless
    /// `.gitignore` files leave them out. Directories named `.git` don't count at any depth, so
    /// that a nested repository is committed as its files. Submodules stay as the base has them. A
    /// plain file that holds the text of the base's link at its path is still that link.
    ///
    /// # Errors
    /// [`GitError::Unchanged`]; [`GitError::BadPath`], also for a new link that leads out of the
    /// tree; [`GitError::TooLarge`]; [`GitError::Io`].
    pub async fn commit_tree(
        &self,
        work_tree: &Path,
        base: &CommitId,
        message: &str,
        author: &Author,
    ) -> Result<CommitId, GitError> {
        check_message(OPERATION, message)?;
        let work_tree = std::fs::canonicalize(work_tree).map_err(io_error("find", work_tree))?;
        let names = self.names(&work_tree, base).await?;
        let kept = names.values().flatten().filter(|entry| entry.kind == Kind::Submodule);
        let mut index: Vec<u8> = kept.flat_map(|e| index_line(e.kind, &e.id, &e.path)).collect();
        for (taken, id) in self.import(&work_tree, &names).await? {
            let before = names.get(&taken.path).and_then(Option::as_ref);
            let still_link = before.is_some_and(|e| e.kind == Kind::Link && e.id == id);
            let kind = if still_link { Kind::Link } else { taken.kind };
            index.extend(index_line(kind, &id, &taken.path));
        }
        let tree = self.write_index(index).await?;
        let before = format!("{}^{{tree}}", known(OPERATION, base)?);
        let call = Call::new(["rev-parse", "--verify", "--quiet", &before], self.limits.local);
        if first_id(&self.local(OPERATION, call).await?).as_ref() == Some(&tree) {
            return Err(GitError::Unchanged);
        }
        let args = ["commit-tree", "-F", "-", "-p", base.as_str(), tree.as_str()];
        let call = Call::new(args, self.limits.local)
            .env("GIT_AUTHOR_NAME", plain(&author.name))
            .env("GIT_AUTHOR_EMAIL", plain(&author.email))
            .feed(Feed::Bytes(message.as_bytes().to_vec()));
        self.written(OPERATION, call).await
    }

    /// The names that count: those of the base, and what git lists as new.
    async fn names(&self, work_tree: &Path, base: &CommitId) -> Result<Names, GitError> {
        let entries = self.list_tree(OPERATION, base).await?;
        let mut names: Names = entries.into_iter().map(|e| (e.path.clone(), Some(e))).collect();
        let index = self.scratch_file();
        let call = Call::new(["read-tree", base.as_str()], self.limits.local);
        self.local(OPERATION, call.env("GIT_INDEX_FILE", os(&index.0))).await?;
        let args = ["ls-files", "-z", "--others", "--exclude-standard"];
        let call = Call::new(args, self.limits.local)
            .env("GIT_INDEX_FILE", os(&index.0))
            .env("GIT_WORK_TREE", os(work_tree))
            .directory(work_tree)
            .sink(Sink::Memory(MAX_LISTING_BYTES));
        let listing = self.local(OPERATION, call).await?;
        for name in listing.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            match name.strip_suffix(b"/") {
                // A nested repository: git names it alone.
                Some(directory) => {
                    let directory = Path::new(OsStr::from_bytes(directory));
                    list_nested(work_tree, directory, &mut names)?;
                }
                None => add_name(&mut names, PathBuf::from(OsStr::from_bytes(name)))?,
            }
        }
        Ok(names)
    }

    /// Writes all files as objects, in one process of git; what they are and their ids.
    async fn import(
        &self,
        work_tree: &Path,
        names: &Names,
    ) -> Result<Vec<(Taken, CommitId)>, GitError> {
        let (sender, receiver) = mpsc::channel(8);
        let root = work_tree.to_owned();
        let kept = |entry: &Option<Entry>| {
            entry.as_ref().is_some_and(|entry| entry.kind == Kind::Submodule)
        };
        let paths: Vec<(PathBuf, bool)> = names
            .iter()
            .filter(|(_, entry)| !kept(entry))
            .map(|(path, entry)| (path.clone(), entry.is_some()))
            .collect();
        let reading = tokio::task::spawn_blocking(move || {
            Import { root, sender, total: 0, taken: Vec::new() }.run(&paths)
        });
        let call = Call::new(["fast-import", "--quiet", "--done"], self.limits.local)
            .feed(Feed::Pieces(receiver))
            .sink(Sink::Memory(MAX_LISTING_BYTES));
        let answer = self.local(OPERATION, call).await;
        // If reading failed, git only saw its input end.
        let taken = reading.await.map_err(|_| garbled(OPERATION, "reading was cut off"))??;
        let answer = answer?;
        let ids: Vec<_> = answer.split(|b| *b == b'\n').filter_map(first_id).collect();
        match ids.len() == taken.len() {
            true => Ok(taken.into_iter().zip(ids).collect()),
            false => Err(garbled(OPERATION, "git named fewer objects than it was given")),
        }
    }

    async fn write_index(&self, lines: Vec<u8>) -> Result<CommitId, GitError> {
        let index = self.scratch_file();
        let call = Call::new(["update-index", "-z", "--index-info"], self.limits.local)
            .env("GIT_INDEX_FILE", os(&index.0))
            .feed(Feed::Bytes(lines));
        self.local(OPERATION, call).await?;
        let call = Call::new(["write-tree"], self.limits.local);
        self.written(OPERATION, call.env("GIT_INDEX_FILE", os(&index.0))).await
    }
}

fn index_line(kind: Kind, id: &CommitId, path: &Path) -> Vec<u8> {
    let head = format!("{} {id}\t", kind.mode());
    [head.as_bytes(), path.as_os_str().as_bytes(), b"\0"].concat()
}

/// A name or an address as a commit may hold it, never empty.
fn plain(text: &str) -> String {
    let usable = |c: &char| !c.is_control() && *c != '<' && *c != '>';
    let text: String = text.chars().filter(usable).take(200).collect();
    if text.trim().is_empty() { "bzzz".to_owned() } else { text }
}

fn add_name(names: &mut Names, path: PathBuf) -> Result<(), GitError> {
    check_path(OPERATION, &path)?;
    names.entry(path).or_insert(None);
    check_count(OPERATION, names.len())
}

/// Adds the files of a nested repository without its `.git`.
fn list_nested(work_tree: &Path, directory: &Path, names: &mut Names) -> Result<(), GitError> {
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        if open_directory(work_tree, &directory).is_err() {
            continue;
        }
        let full = work_tree.join(&directory);
        for entry in std::fs::read_dir(&full).map_err(io_error("list", &full))? {
            let entry = entry.map_err(io_error("list", &full))?;
            if entry.file_name() == ".git" {
                continue;
            }
            let path = directory.join(entry.file_name());
            if entry.file_type().map_err(io_error("look at", &full))?.is_dir() {
                check_path(OPERATION, &path)?;
                pending.push(path);
                check_count(OPERATION, pending.len())?;
            } else {
                add_name(names, path)?;
            }
        }
    }
    Ok(())
}

/// Opens a directory below the root without following any link.
fn open_directory(root: &Path, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let mut at = openat(CWD, root, flags, Mode::empty())?;
    for part in path.components() {
        at = openat(&at, part.as_os_str(), flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(at)
}

/// What is at a path now.
enum Found {
    File(File, u64, Kind),
    Link(Vec<u8>),
    Nothing,
}

/// Reads what the work tree holds and writes it as `git fast-import` wants it.
struct Import {
    root: PathBuf,
    sender: mpsc::Sender<Vec<u8>>,
    total: u64,
    taken: Vec<Taken>,
}

impl Import {
    /// Reads all paths; each comes with whether the base has it.
    fn run(mut self, paths: &[(PathBuf, bool)]) -> Result<Vec<Taken>, GitError> {
        for (path, in_base) in paths {
            match self.find(path)? {
                Found::Nothing => {}
                Found::File(file, size, kind) => self.file(path, file, size, kind)?,
                Found::Link(target) => self.link(path, target, *in_base)?,
            }
        }
        let marks = (1..=self.taken.len()).flat_map(|i| format!("get-mark :{i}\n").into_bytes());
        let end = marks.chain(*b"done\n").collect();
        self.send(end)?;
        Ok(self.taken)
    }

    /// What is at a path, found without following any link. A path whose directory is gone or
    /// became something else is absent.
    fn find(&self, path: &Path) -> Result<Found, GitError> {
        let full = self.root.join(path);
        let fault = |errno: Errno| io_error("read", &full)(errno.into());
        let gone = |errno: Errno| matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP);
        let name = path.file_name().unwrap_or_default();
        let parent = match open_directory(&self.root, path.parent().unwrap_or(Path::new(""))) {
            Ok(parent) => parent,
            Err(errno) if gone(errno) => return Ok(Found::Nothing),
            Err(errno) => return Err(fault(errno)),
        };
        // A pipe must not make the node wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match openat(&parent, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::LOOP) => {
                let target = readlinkat(&parent, name, Vec::new()).map_err(fault)?;
                return Ok(Found::Link(target.into_bytes()));
            }
            // A socket can't be opened.
            Err(errno) if gone(errno) || errno == Errno::NXIO => return Ok(Found::Nothing),
            Err(errno) => return Err(fault(errno)),
        };
        let stat = fstat(&file).map_err(fault)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(Found::Nothing);
        }
        let kind = if stat.st_mode & 0o100 == 0 { Kind::File } else { Kind::Executable };
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        Ok(Found::File(File::from(file), size, kind))
    }

    fn file(&mut self, path: &Path, file: File, size: u64, kind: Kind) -> Result<(), GitError> {
        self.begin(path, size, MAX_FILE_BYTES, kind)?;
        let full = self.root.join(path);
        let (mut file, mut left) = (file.take(size), size);
        let mut piece = vec![0; PIECE_BYTES];
        while left > 0 {
            let n = file.read(&mut piece).map_err(io_error("read", &full))?;
            if n == 0 {
                let cut = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                return Err(io_error("read the whole of the changing file", &full)(cut));
            }
            self.send(piece[..n].to_vec())?;
            left -= n as u64;
        }
        self.send(b"\n".to_vec())
    }

    fn link(&mut self, path: &Path, target: Vec<u8>, in_base: bool) -> Result<(), GitError> {
        let depth = path.components().count() - 1;
        if !stays_inside(&target, depth) {
            let why = match in_base {
                true => "it became a link that leads out of the tree",
                false => "it is a link that leads out of the tree",
            };
            let path = path.display().to_string();
            return Err(GitError::BadPath { operation: OPERATION, path, why });
        }
        let size = target.len() as u64;
        self.begin(path, size, MAX_PATH_BYTES as u64, Kind::Link)?;
        self.send([target.as_slice(), b"\n"].concat())
    }

    fn begin(&mut self, path: &Path, size: u64, limit: u64, kind: Kind) -> Result<(), GitError> {
        let large = |what: String, limit| GitError::TooLarge { operation: OPERATION, what, limit };
        if size > limit {
            return Err(large(format!("{}, in bytes,", path.display()), limit));
        }
        self.total = self.total.saturating_add(size);
        if self.total > MAX_TREE_BYTES {
            return Err(large("the work tree, in bytes,".to_owned(), MAX_TREE_BYTES));
        }
        self.taken.push(Taken { path: path.to_owned(), kind });
        let mark = self.taken.len();
        self.send(format!("blob\nmark :{mark}\ndata {size}\n").into_bytes())
    }

    fn send(&self, bytes: Vec<u8>) -> Result<(), GitError> {
        let ended = |_| garbled(OPERATION, "git stopped reading");
        self.sender.blocking_send(bytes).map_err(ended)
    }
}
