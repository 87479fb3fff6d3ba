//! The event that a text names.

use crate::engine::{Engine, EngineError};
use crate::kernel::event::EventId;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::StoreError;

/// The fewest digits that may stand for an event's id or an author's key.
const MIN_PREFIX: usize = 4;

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
    if text.len() < MIN_PREFIX || text.len() > 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(FindError::Form(text.to_owned()));
    }
    let prefix = text.to_ascii_lowercase();
    let mut found = Vec::new();
    for author in engine.lengths().into_keys() {
        engine.store().scan(&author, 0, &mut |index, record| {
            if begins(EventId(record.leaf(&author).0), &prefix) {
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

fn begins(id: EventId, prefix: &str) -> bool {
    // A byte tells most of them apart before any text is made.
    u8::from_str_radix(&prefix[..2], 16) == Ok(id.0[0]) && id.to_string().starts_with(prefix)
}

fn find_author(engine: &Engine, author: &str, text: &str) -> Result<AuthorId, FindError> {
    let names = engine.read(super::event::names);
    let digits = author.len() >= MIN_PREFIX && author.bytes().all(|b| b.is_ascii_hexdigit());
    let prefix = author.to_ascii_lowercase();
    let mut found = engine.lengths().into_keys().filter(|key| {
        names.get(key).is_some_and(|name| name == author)
            || (digits && key.to_string().starts_with(&prefix))
    });
    match (found.next(), found.next()) {
        (Some(author), None) => Ok(author),
        (None, _) => Err(FindError::Unknown(text.to_owned())),
        (Some(_), Some(_)) => Err(FindError::Ambiguous(text.to_owned())),
    }
}
