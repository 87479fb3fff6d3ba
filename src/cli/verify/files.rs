//! A bundle in one file, or cut into the files of a directory.

use std::fs::File;
use std::io;
#[cfg(unix)]
use std::os::unix::fs::FileExt;
#[cfg(windows)]
use std::os::windows::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::cli::exit::{self, CliError};
use crate::kernel::audit::Input;

/// The files of a bundle, one after the other.
#[derive(Debug)]
pub struct Files {
    /// Each with the byte at which it begins, and its length.
    pieces: Vec<(u64, u64, File)>,
    bytes: u64,
}

impl Files {
    /// Opens a bundle: a file, or a directory whose files, sorted by their names as bytes, are its
    /// pieces. Files whose names begin with a dot are none.
    ///
    /// # Errors
    /// [`CliError::Stop`] with status 2.
    pub fn open(path: &Path) -> Result<Self, CliError> {
        let paths = match path.is_dir() {
            true => pieces(path).map_err(|error| failed(path, &error))?,
            false => vec![path.to_owned()],
        };
        if paths.is_empty() {
            let message = format!("{} holds no file", path.display());
            return Err(CliError::cannot_tell(message));
        }
        let mut files = Self { pieces: Vec::new(), bytes: 0 };
        for path in paths {
            let file = exit::open(&path)?;
            let len = file.metadata().map_err(|error| failed(&path, &error))?.len();
            files.pieces.push((files.bytes, len, file));
            files.bytes += len;
        }
        Ok(files)
    }

    /// The bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn failed(path: &Path, error: &io::Error) -> CliError {
    CliError::cannot_tell(format!("{} could not be read: {error}", path.display()))
}

fn pieces(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort_by(|a, b| {
        let name = |path: &Path| path.file_name().map(|n| n.as_encoded_bytes().to_vec());
        name(a).cmp(&name(b))
    });
    Ok(paths)
}

impl Input for Files {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let behind = self.pieces.partition_point(|(from, _, _)| *from <= at);
        // Pieces without a byte begin where the next one does, and lie before it.
        let Some((from, len, file)) = behind.checked_sub(1).and_then(|i| self.pieces.get(i)) else {
            return Ok(0);
        };
        let inside = at - from;
        let left = usize::try_from(len.saturating_sub(inside)).unwrap_or(usize::MAX);
        let fits = into.len().min(left);
        loop {
            #[cfg(unix)]
            let read = file.read_at(&mut into[..fits], inside);
            #[cfg(windows)]
            let read = file.seek_read(&mut into[..fits], inside);
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) if fits > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => return read,
            }
        }
    }
}
