//! Heads that an auditor obtained elsewhere: a log has to contain them.

use std::collections::{BTreeMap, BTreeSet};

use crate::kernel::identity::{AuthorId, NotAnId};
use crate::kernel::log::{Hash, MAX_LENGTH};

/// Pinned lengths with their roots, by author.
#[derive(Clone, Debug, Default)]
pub struct Pins(BTreeMap<AuthorId, BTreeSet<(u64, Hash)>>);

/// Why a text is no pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// Not three parts.
    #[error("a pin is AUTHOR:LENGTH:ROOT, not {0:?}")]
    Parts(String),
    /// The author or the root.
    #[error(transparent)]
    Id(#[from] NotAnId),
    /// The length.
    #[error("a pinned length is between 1 and {MAX_LENGTH}, not {0:?}")]
    Length(String),
}

impl Pins {
    /// Adds the pin of a text `AUTHOR:LENGTH:ROOT`; the parts may be separated by spaces as well.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn add(&mut self, text: &str) -> Result<(), PinError> {
        let cut = |text: &str| text.chars().take(200).collect::<String>();
        let parts = text.split(|c: char| c == ':' || c.is_whitespace());
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        let [author, length, root] = parts[..] else {
            return Err(PinError::Parts(cut(text)));
        };
        let (author, root): (AuthorId, Hash) = (author.parse()?, root.parse()?);
        let number = length.parse().ok().filter(|length| (1..=MAX_LENGTH).contains(length));
        let number = number.ok_or_else(|| PinError::Length(cut(length)))?;
        self.0.entry(author).or_default().insert((number, root));
        Ok(())
    }

    /// The number of pins.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().map(|pins| pins.len() as u64).sum()
    }

    pub(super) fn of(&self, author: &AuthorId) -> BTreeSet<(u64, Hash)> {
        self.0.get(author).cloned().unwrap_or_default()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&AuthorId, &BTreeSet<(u64, Hash)>)> {
        self.0.iter()
    }
}
