//! Names of git commits, as events and claims carry them.

use std::fmt;
use std::str::FromStr;

use bincode::{Decode, Encode};
use serde::Serialize;

/// The id of a git commit: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize)]
#[serde(transparent)]
pub struct CommitId(String);

/// A text that is not the id of a git commit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a git commit id (40 or 64 lower-case hexadecimal digits): {0:?}")]
pub struct NotACommitId(String);

impl CommitId {
    /// The hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the digits are well formed. Decoded ids are not checked by the codec, so that the
    /// fold asks this before it believes one.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        matches!(self.0.len(), 40 | 64)
            && self.0.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    }

    /// The first ten digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..10).unwrap_or(&self.0)
    }
}

impl FromStr for CommitId {
    type Err = NotACommitId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = Self(text.to_owned());
        if id.is_valid() { Ok(id) } else { Err(NotACommitId(text.chars().take(80).collect())) }
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitId({})", self.0)
    }
}
