//! Trees of files as tar streams: packed from the host, and unpacked with distrust.
//!
//! What comes out of a sandbox was made by commands of a model. So nothing is written outside of
//! the destination, nothing is overwritten, no link is followed, and the sizes of everything are
//! bounded before anything of that size exists.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

/// The most files, directories and links of one tree.
pub const MAX_ENTRIES: u64 = 200_000;

/// The longest path inside a tree, in bytes.
const MAX_PATH_BYTES: usize = 4096;

/// The most names that [`Exported::left_out`] lists.
const MAX_LEFT_OUT: usize = 100;

/// Why a tree could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file of the host could not be read or written.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// What was to be done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The stream is no tar archive of the expected kind.
    #[error("the archive from the sandbox cannot be read: {0}")]
    Format(String),
    /// An entry that no work tree should have.
    #[error("the work tree has {path:?}, {what}")]
    Unsafe {
        /// Its path in the tree.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The files together are larger than the disk limit.
    #[error("the files of the work tree are larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// There are more than [`MAX_ENTRIES`] of them.
    #[error("the work tree has more than {MAX_ENTRIES} files, directories and links")]
    TooMany,
    /// The place to copy to is in use.
    #[error("{} is no empty directory, so nothing is copied into it", .0.display())]
    Destination(PathBuf),
}

/// What was copied out of a sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// Regular files.
    pub files: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of the regular files together.
    pub bytes: u64,
    /// The first 100 paths that were left out, since git keeps none of them: named pipes, sockets,
    /// and whatever lies in a directory called `.git`, whose configuration could run commands.
    pub left_out: Vec<String>,
}

/// What [`unpack`] accepts.
pub(crate) struct Bounds {
    /// Bytes of all regular files together.
    pub(crate) bytes: u64,
    /// The links out of the tree that may be in it, with their targets; `None` allows any.
    pub(crate) links: Option<BTreeMap<PathBuf, PathBuf>>,
}

/// Writes the tree below `root` as a tar archive, in the order of its names. Links aren't followed;
/// `.git`, pipes, sockets and devices are left out. Returns the links that lead out of the tree.
pub(crate) fn pack(
    root: &Path,
    limit: u64,
    out: impl Write,
) -> Result<BTreeMap<PathBuf, PathBuf>, ArchiveError> {
    let mut builder = tar::Builder::new(BufWriter::with_capacity(64 * 1024, out));
    let mut outward = BTreeMap::new();
    let mut entries = 0u64;
    let mut bytes = 0u64;
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let host = root.join(&path);
        let meta = fs::symlink_metadata(&host).map_err(failed("read", &host))?;
        if path.as_os_str().len() > MAX_PATH_BYTES {
            return Err(not_safe(&path, "whose path is longer than 4096 bytes"));
        }
        if meta.is_dir() {
            list(&host, &path, entries, &mut waiting)?;
            if !path.as_os_str().is_empty() {
                let mut header = header(EntryType::Directory, 0, 0o755, &meta);
                builder
                    .append_data(&mut header, &path, io::empty())
                    .map_err(failed("pack", &host))?;
            }
        } else if meta.is_symlink() {
            let target = fs::read_link(&host).map_err(failed("read", &host))?;
            let mut header = header(EntryType::Symlink, 0, 0o777, &meta);
            builder.append_link(&mut header, &path, &target).map_err(failed("pack", &host))?;
            if leads_out(&path, &target) {
                outward.insert(path, target);
            }
        } else if meta.is_file() {
            bytes = bytes.saturating_add(
                append_file(&mut builder, &host, &path, limit - bytes)
                    .map_err(|error| error.unwrap_or(ArchiveError::TooLarge { limit }))?,
            );
        }
        entries += 1;
        if entries > MAX_ENTRIES {
            return Err(ArchiveError::TooMany);
        }
    }
    let out = builder.into_inner().map_err(failed("pack", root))?;
    out.into_inner().map_err(|error| failed("pack", root)(error.into_error()))?;
    Ok(outward)
}

/// Puts the children of a directory on the stack, the first name on top.
fn list(
    host: &Path,
    path: &Path,
    entries: u64,
    waiting: &mut Vec<PathBuf>,
) -> Result<(), ArchiveError> {
    let before = waiting.len();
    for child in fs::read_dir(host).map_err(failed("list", host))? {
        let name = child.map_err(failed("list", host))?.file_name();
        if !is_git(&name) {
            waiting.push(path.join(name));
        }
        let known = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        if known.saturating_add(entries) > MAX_ENTRIES {
            return Err(ArchiveError::TooMany);
        }
    }
    waiting[before..].sort_unstable_by(|a, b| b.cmp(a));
    Ok(())
}

/// Returns the file's size. `Err(None)` means that it is larger than `room`.
fn append_file(
    builder: &mut tar::Builder<impl Write>,
    host: &Path,
    path: &Path,
    room: u64,
) -> Result<u64, Option<ArchiveError>> {
    // The file may have been exchanged for a link or a pipe since it was looked at.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(host)
        .map_err(failed("read", host))?;
    let meta = file.metadata().map_err(failed("read", host))?;
    if !meta.is_file() {
        return Err(Some(not_safe(path, "which changed while it was copied")));
    }
    if meta.len() > room {
        return Err(None);
    }
    let mode = if meta.mode() & 0o111 == 0 { 0o644 } else { 0o755 };
    let mut header = header(EntryType::Regular, meta.len(), mode, &meta);
    let exact = Exact { file, left: meta.len() };
    builder.append_data(&mut header, path, exact).map_err(failed("pack", host))?;
    Ok(meta.len())
}

/// A file that has as many bytes as its header says, whatever happens to it meanwhile.
struct Exact {
    file: File,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.file.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has shrunk"));
        }
        self.left -= u64::try_from(count).unwrap_or(u64::MAX);
        Ok(count)
    }
}

fn header(kind: EntryType, size: u64, mode: u32, meta: &fs::Metadata) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
    header
}

/// Reads a tar archive into `dest`, which must not exist or be an empty directory. On an error
/// `dest` is removed.
pub(crate) fn unpack(
    reader: impl Read,
    dest: &Path,
    bounds: Bounds,
) -> Result<Exported, ArchiveError> {
    match fs::create_dir(dest) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let is_dir = fs::symlink_metadata(dest).is_ok_and(|meta| meta.is_dir());
            if !is_dir || fs::read_dir(dest).map_err(failed("list", dest))?.next().is_some() {
                return Err(ArchiveError::Destination(dest.to_owned()));
            }
        }
        Err(error) => return Err(failed("make", dest)(error)),
    }
    let mut unpacker = Unpacker::new(dest, bounds);
    match unpacker.run(reader) {
        Ok(()) => Ok(unpacker.done),
        Err(error) => {
            // The error that stopped the work is the one to report, even if this fails too.
            let _ = fs::remove_dir_all(dest);
            Err(error)
        }
    }
}

struct Unpacker<'a> {
    dest: &'a Path,
    bounds: Bounds,
    directories: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, u64>,
    done: Exported,
}

impl<'a> Unpacker<'a> {
    fn new(dest: &'a Path, bounds: Bounds) -> Unpacker<'a> {
        Unpacker {
            dest,
            bounds,
            directories: BTreeSet::from([PathBuf::new()]),
            files: BTreeMap::new(),
            done: Exported::default(),
        }
    }

    fn run(&mut self, reader: impl Read) -> Result<(), ArchiveError> {
        let mut archive = tar::Archive::new(reader);
        let mut long_name = None;
        let mut long_link = None;
        let mut entries = 0;
        // Raw entries: the library would read long names of any length into memory.
        for entry in archive.entries().map_err(unreadable)?.raw(true) {
            let mut entry = entry.map_err(unreadable)?;
            entries += 1;
            if entries > 3 * MAX_ENTRIES || self.count() >= MAX_ENTRIES {
                return Err(ArchiveError::TooMany);
            }
            let kind = entry.header().entry_type();
            match kind {
                EntryType::GNULongName => long_name = Some(long(&mut entry)?),
                EntryType::GNULongLink => long_link = Some(long(&mut entry)?),
                _ => {
                    let name = long_name
                        .take()
                        .unwrap_or_else(|| entry.header().path_bytes().into_owned());
                    let link = long_link.take().or_else(|| {
                        entry.header().link_name_bytes().map(std::borrow::Cow::into_owned)
                    });
                    self.entry(kind, &name, link, &mut entry)?;
                }
            }
        }
        Ok(())
    }

    fn count(&self) -> u64 {
        let directories = u64::try_from(self.directories.len()).unwrap_or(u64::MAX);
        directories.saturating_add(self.done.files).saturating_add(self.done.links)
    }

    fn entry(
        &mut self,
        kind: EntryType,
        name: &[u8],
        link: Option<Vec<u8>>,
        entry: &mut tar::Entry<'_, impl Read>,
    ) -> Result<(), ArchiveError> {
        let path = inside(name)?;
        if path.components().any(|part| is_git(part.as_os_str())) {
            self.leave_out(&path);
            return Ok(());
        }
        if kind == EntryType::Directory {
            return self.directory(&path);
        }
        if path.as_os_str().is_empty() {
            return Err(not_safe(&path, "a root that is no directory"));
        }
        self.directory(path.parent().unwrap_or(Path::new("")))?;
        match kind {
            EntryType::Regular | EntryType::Continuous => self.file(path, entry),
            EntryType::Symlink => self.symlink(&path, link.unwrap_or_default()),
            EntryType::Link => self.hard_link(path, &link.unwrap_or_default()),
            EntryType::Fifo => {
                self.leave_out(&path);
                Ok(())
            }
            EntryType::Char | EntryType::Block => Err(not_safe(&path, "a device")),
            other => {
                let kind = other.as_byte();
                Err(ArchiveError::Format(format!("{path:?} is an entry of kind {kind}")))
            }
        }
    }

    fn leave_out(&mut self, path: &Path) {
        if self.done.left_out.len() < MAX_LEFT_OUT {
            self.done.left_out.push(path.to_string_lossy().into_owned());
        }
    }

    /// Makes a directory and those above it, unless this archive has made them. `create_dir` fails
    /// where anything else is, also a link to a directory.
    fn directory(&mut self, path: &Path) -> Result<(), ArchiveError> {
        let mut part = PathBuf::new();
        for name in path.components() {
            part.push(name);
            if self.directories.contains(&part) {
                continue;
            }
            if self.count() >= MAX_ENTRIES {
                return Err(ArchiveError::TooMany);
            }
            self.create(&part, |host| fs::create_dir(host))?;
            self.directories.insert(part.clone());
        }
        Ok(())
    }

    fn file(
        &mut self,
        path: PathBuf,
        entry: &mut tar::Entry<'_, impl Read>,
    ) -> Result<(), ArchiveError> {
        let size = entry.header().entry_size().map_err(unreadable)?;
        self.take_room(size)?;
        let executable = entry.header().mode().map_err(unreadable)? & 0o111 != 0;
        let mode = if executable { 0o755 } else { 0o644 };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut file = self.create(&path, |host| options.open(host))?;
        let copied = io::copy(entry, &mut file).map_err(failed("write", &path))?;
        if copied != size {
            return Err(ArchiveError::Format(format!("{path:?} ends too early")));
        }
        self.files.insert(path, size);
        self.done.files += 1;
        Ok(())
    }

    fn symlink(&mut self, path: &Path, target: Vec<u8>) -> Result<(), ArchiveError> {
        if target.is_empty() || target.len() > MAX_PATH_BYTES || target.contains(&0) {
            return Err(not_safe(path, "a link with an impossible target"));
        }
        let target = PathBuf::from(OsStr::from_bytes(&target));
        let known = match &self.bounds.links {
            None => true,
            Some(links) => links.get(path) == Some(&target),
        };
        if !known && leads_out(path, &target) {
            return Err(not_safe(path, "a link that leads out of it"));
        }
        self.create(path, |host| std::os::unix::fs::symlink(&target, host))?;
        self.done.links += 1;
        Ok(())
    }

    /// A hard link becomes a file of its own, and only of a file that came before it.
    fn hard_link(&mut self, path: PathBuf, target: &[u8]) -> Result<(), ArchiveError> {
        let source = inside(target)?;
        let Some(&size) = self.files.get(&source) else {
            return Err(not_safe(&path, "a hard link to something that is no file in it"));
        };
        self.take_room(size)?;
        let from = self.dest.join(&source);
        let mut reader = File::open(&from).map_err(failed("read", &from))?;
        let meta = reader.metadata().map_err(failed("read", &from))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(meta.mode() & 0o777);
        let mut file = self.create(&path, |host| options.open(host))?;
        io::copy(&mut reader, &mut file).map_err(failed("write", &path))?;
        self.files.insert(path, size);
        self.done.files += 1;
        Ok(())
    }

    fn take_room(&mut self, size: u64) -> Result<(), ArchiveError> {
        let bytes = self.done.bytes.saturating_add(size);
        if bytes > self.bounds.bytes {
            return Err(ArchiveError::TooLarge { limit: self.bounds.bytes });
        }
        self.done.bytes = bytes;
        Ok(())
    }

    fn create<T>(
        &self,
        path: &Path,
        make: impl FnOnce(&Path) -> io::Result<T>,
    ) -> Result<T, ArchiveError> {
        let host = self.dest.join(path);
        make(&host).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => not_safe(path, "which is in the archive twice"),
            _ => failed("make", &host)(error),
        })
    }
}

/// Copies a tree of the host to another place of the host, by the same rules. Returns also the
/// links that lead out of it.
pub(crate) fn copy_tree(
    from: &Path,
    to: &Path,
    bounds: Bounds,
) -> Result<(Exported, BTreeMap<PathBuf, PathBuf>), ArchiveError> {
    let (reader, writer) = io::pipe().map_err(failed("make a pipe for", from))?;
    let limit = bounds.bytes;
    std::thread::scope(|scope| {
        let packer = scope.spawn(move || pack(from, limit, writer));
        let unpacked = unpack(reader, to, bounds);
        let packed = packer.join().unwrap_or_else(|_| {
            Err(ArchiveError::Format("the thread that packed it failed".to_owned()))
        });
        match (packed, unpacked) {
            (Ok(links), Ok(exported)) => Ok((exported, links)),
            // The one side's end breaks the other's pipe: the cause is the other error.
            (Err(ArchiveError::Io { source, .. }), Err(error))
                if source.kind() == io::ErrorKind::BrokenPipe =>
            {
                Err(error)
            }
            (Err(error), copied) => {
                if copied.is_ok() {
                    let _ = fs::remove_dir_all(to);
                }
                Err(error)
            }
            (Ok(_), Err(error)) => Err(error),
        }
    })
}

/// A path in the tree from a name in the archive.
fn inside(name: &[u8]) -> Result<PathBuf, ArchiveError> {
    let shown = Path::new(OsStr::from_bytes(&name[..name.len().min(200)]));
    if name.len() > MAX_PATH_BYTES {
        return Err(not_safe(shown, "whose path is longer than 4096 bytes"));
    }
    if name.contains(&0) {
        return Err(not_safe(shown, "a name with a zero byte in it"));
    }
    let mut path = PathBuf::new();
    for part in Path::new(OsStr::from_bytes(name)).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => path.push(name),
            Component::ParentDir => return Err(not_safe(shown, "a name with .. in it")),
            Component::RootDir | Component::Prefix(_) => {
                return Err(not_safe(shown, "an absolute name"));
            }
        }
    }
    Ok(path)
}

/// Whether a link at `path` could lead out of the tree. `..` counts only at a target's beginning:
/// it goes up from the link's own directory, which is a real one, and by no more than its depth. A
/// later `..` could come after another link and go up from there, so it is taken as leading out.
fn leads_out(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    let mut down = false;
    for part in target.components() {
        match part {
            Component::RootDir | Component::Prefix(_) => return true,
            Component::CurDir => {}
            Component::Normal(_) => down = true,
            Component::ParentDir if down || depth == 0 => return true,
            Component::ParentDir => depth -= 1,
        }
    }
    false
}

fn is_git(name: &OsStr) -> bool {
    name.as_bytes().eq_ignore_ascii_case(b".git")
}

fn long(entry: &mut tar::Entry<'_, impl Read>) -> Result<Vec<u8>, ArchiveError> {
    let size = entry.header().entry_size().map_err(unreadable)?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    // One zero byte more ends it.
    if size > MAX_PATH_BYTES + 1 {
        return Err(ArchiveError::Format(format!("a name of {size} bytes")));
    }
    let mut name = vec![0; size];
    entry.read_exact(&mut name).map_err(unreadable)?;
    while name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

fn unreadable(error: io::Error) -> ArchiveError {
    ArchiveError::Format(error.to_string())
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
    move |source| ArchiveError::Io { what, path: path.to_owned(), source }
}

fn not_safe(path: &Path, what: &'static str) -> ArchiveError {
    ArchiveError::Unsafe { path: path.to_string_lossy().into_owned(), what }
}

#[cfg(test)]
mod tests;
