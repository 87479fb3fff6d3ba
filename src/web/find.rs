//! The event that a text names.

use crate::engine::{Engine, EngineError};
use crate::kernel::identity::{AuthorId, IdPrefix};
use crate::kernel::log::StoreError;

/// Why a text names no event.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FindError {
    /// It has another form.
    #[error("{0:?} names no event: it should be an id, or AUTHOR:INDEX, or at least four digits")]
    Form(String),
    /// Nothing has that name.
    #[error("no event is called {0:?}")]
    Unknown(String),
    /// Several have.
    #[error("{0:?} names several events or authors; more digits tell them apart")]
    Ambiguous(String),
    /// The store.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<StoreError> for FindError {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

/// The author and the index of the event that a text names: its id, a prefix of at least four
/// digits that is its alone, or the author's key or name and an index, with a colon between.
///
/// By id, all logs are read.
///
/// # Errors
/// [`FindError`].
pub fn find_event(engine: &Engine, text: &str) -> Result<(AuthorId, u64), FindError> {
    if let Some((author, index)) = text.rsplit_once(':') {
        let index = index.parse().map_err(|_| FindError::Form(text.to_owned()))?;
        return Ok((find_author(engine, author, text)?, index));
    }
    let prefix = IdPrefix::parse(text).ok_or_else(|| FindError::Form(text.to_owned()))?;
    let mut found = Vec::new();
    for author in engine.lengths().into_keys() {
        engine.store().scan(&author, 0, &mut |index, record| {
            if prefix.begins(record.leaf(&author).as_bytes()) {
                found.push((author, index));
            }
            found.len() < 2
        })?;
    }
    match found[..] {
        [] => Err(FindError::Unknown(text.to_owned())),
        [one] => Ok(one),
        _ => Err(FindError::Ambiguous(text.to_owned())),
    }
}

fn find_author(engine: &Engine, author: &str, text: &str) -> Result<AuthorId, FindError> {
    let names = engine.read(super::event::names);
    let prefix = IdPrefix::parse(author);
    let mut found = engine.lengths().into_keys().filter(|key| {
        names.get(key).is_some_and(|name| name == author)
            || prefix.as_ref().is_some_and(|prefix| prefix.begins(key.as_bytes()))
    });
    match (found.next(), found.next()) {
        (Some(author), None) => Ok(author),
        (None, _) => Err(FindError::Unknown(text.to_owned())),
        (Some(_), Some(_)) => Err(FindError::Ambiguous(text.to_owned())),
    }
}
