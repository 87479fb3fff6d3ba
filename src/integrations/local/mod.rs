//! A task board in a directory: issues, comments and pull requests as Markdown files that a person
//! can read and edit with any editor, and keep in git.
//!
//! ```text
//! issues/0001-slug.md                  an issue
//! issues/0001-slug/comments/KEY.md     a comment on it
//! pulls/0001-slug.md                   a pull request
//! ```
//!
//! Each file begins with a front matter between two lines of three dashes. What a node changes is
//! single lines of it; all else that people wrote stays byte for byte. Files are replaced as a
//! whole and never left half written. The board says what there is to do and shows what was done;
//! it decides nothing: who owns a task is decided by the claim ref of the git remote.

mod board;
mod files;
mod front;

use std::io;
use std::path::PathBuf;

pub use super::task::{Assignment, MAX_DEPENDENCIES, NewPull, Projection, PullState, State};
pub use board::Board;

/// The largest file of a board, in bytes.
pub const MAX_FILE_BYTES: u64 = 64 << 10;

/// The most files in one directory of a board: issues, pull requests, or comments on one issue.
pub const MAX_FILES: usize = 10_000;

/// The most labels of an issue.
pub const MAX_LABELS: usize = 100;

/// The longest label, name, branch or title, in bytes.
pub const MAX_TEXT_BYTES: usize = 256;

/// Why a board could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The directory is no board.
    #[error("{} is no task board: it has no directory {missing}", path.display())]
    NotABoard {
        /// The directory.
        path: PathBuf,
        /// The directory that it lacks.
        missing: &'static str,
    },
    /// A file is not written as it must be.
    #[error("{}, line {line}: {why}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// A file is over [`MAX_FILE_BYTES`].
    #[error("{} is over the limit of {MAX_FILE_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A directory holds more than [`MAX_FILES`].
    #[error("{} holds more than {MAX_FILES} files", path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
    /// Two files have one number, so that neither can be meant.
    #[error("{} and {} have the same number: rename one", first.display(), second.display())]
    Twice {
        /// The one file.
        first: PathBuf,
        /// The other file.
        second: PathBuf,
    },
    /// There is no issue of this number.
    #[error("the board {} has no issue {number}", path.display())]
    NoIssue {
        /// The board.
        path: PathBuf,
        /// The number.
        number: u64,
    },
    /// There is no pull request of this number.
    #[error("the board {} has no pull request {number}", path.display())]
    NoPull {
        /// The board.
        path: PathBuf,
        /// The number.
        number: u64,
    },
    /// What was to be written can't be.
    #[error("cannot write to the board: {0}")]
    BadInput(String),
    /// Another process keeps the board locked, or a person saves the same file again and again.
    #[error("{} stayed in use by another process: try again", path.display())]
    Busy {
        /// The file in use.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("could not {operation} {}: {source}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// An issue, as its file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Its number, from the file's name.
    pub number: u64,
    /// One line.
    pub title: String,
    /// Markdown; untrusted text.
    pub body: String,
    /// In the file's order, each once.
    pub labels: Vec<String>,
    /// Whether it is still to be done.
    pub open: bool,
    /// Whom the board shows as working on it. It has no authority.
    pub assignee: Option<String>,
    /// The issues that must be closed before, ascending: from the front matter, and from the body's
    /// words "depends on #12".
    pub depends_on: Vec<u64>,
    /// When it was written (RFC 3339), if the file says so.
    pub created: Option<String>,
}

/// An issue to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewIssue {
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// Each once.
    pub labels: Vec<String>,
    /// The issues that must be closed before.
    pub depends_on: Vec<u64>,
}

/// A comment on an issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Names the comment on its issue: writing it again edits it.
    pub key: String,
    /// Who says it.
    pub author: String,
    /// Markdown; untrusted text.
    pub text: String,
}

/// A pull request, as its file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Its number, from the file's name; issues and pull requests count apart.
    pub number: u64,
    /// One line.
    pub title: String,
    /// The issue that it resolves.
    pub issue: u64,
    /// The branch.
    pub branch: String,
    /// The branch's commit.
    pub commit: String,
    /// Who opened it.
    pub author: String,
    /// Whether it is still to be decided.
    pub state: PullState,
    /// Markdown; untrusted text.
    pub body: String,
}
