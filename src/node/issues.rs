//! New issues on the boards that a configuration names.

use super::config::Config;
use super::outside::OutsideError;
use crate::integrations::local::{self, Board};

/// An issue to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewIssue {
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// The labels.
    pub labels: Vec<String>,
    /// Issues whose work has to be published first.
    pub depends_on: Vec<u64>,
}

/// Writes an issue on the board of a repository. Gives its number.
///
/// # Errors
/// [`OutsideError::Board`]; [`OutsideError::NoBoard`]; [`OutsideError::Unknown`] if the
/// configuration names no such repository.
pub fn add_issue(config: &Config, repository: &str, issue: NewIssue) -> Result<u64, OutsideError> {
    let entry = config.repositories.iter().find(|entry| entry.name == repository);
    let entry = entry.ok_or_else(|| OutsideError::Unknown(repository.to_owned()))?;
    let NewIssue { title, body, labels, depends_on } = issue;
    let new = local::NewIssue { title, body, labels, depends_on };
    let board = entry.board.as_deref();
    let board = board.ok_or_else(|| OutsideError::NoBoard(repository.to_owned()))?;
    let added = Board::open(board).and_then(|board| board.add_issue(&new));
    added.map_err(|source| OutsideError::Board { name: repository.to_owned(), source })
}
