//! Tells what happened: the state at a point of time, and the story of one task across authors.

use std::collections::{BTreeMap, BTreeSet};

use super::archive::Archive;
use super::input::Records;
use crate::kernel::event::{Event, EventId, TaskId};
use crate::kernel::fold::{Fold, FoldError, Members, Reason, SwarmState};
use crate::kernel::identity::{IdPrefix, SwarmId};

/// The fold of every event up to a time, in milliseconds since 1970, that time included; of all
/// events if there is none.
///
/// # Errors
/// [`FoldError`] if the bundle could not be read again.
pub fn fold_at<R: Records>(
    archive: &Archive<R>,
    swarm: SwarmId,
    until_ms: Option<u64>,
) -> Result<Fold, FoldError> {
    let mut fold = Fold::new(swarm);
    for event in archive.events() {
        let event = event?;
        if until_ms.is_some_and(|until| event.header.clock.ms() > until) {
            break;
        }
        let _ = fold.apply(&event, archive)?;
    }
    Ok(fold)
}

/// Why a text names no task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No task has that name.
    #[error("no task is called {0:?}")]
    Unknown(String),
    /// Several tasks begin with it.
    #[error("{text:?} begins the ids of {count} tasks")]
    Ambiguous {
        /// The text.
        text: String,
        /// How many tasks.
        count: usize,
    },
}

/// The task that a text names: `repository#issue`, an id, or a prefix of at least four digits of
/// one id alone.
///
/// # Errors
/// [`LookupError`].
pub fn find_task(state: &SwarmState, text: &str) -> Result<TaskId, LookupError> {
    if let Some(task) = state.tasks.values().find(|task| task.name() == text) {
        return Ok(task.id);
    }
    let prefix = IdPrefix::parse(text);
    let begins = |id: &&TaskId| prefix.as_ref().is_some_and(|prefix| prefix.begins(id.as_bytes()));
    let mut found = state.tasks.keys().filter(begins);
    match (found.next(), found.count()) {
        (Some(id), 0) => Ok(*id),
        (None, _) => Err(LookupError::Unknown(text.to_owned())),
        (Some(_), more) => Err(LookupError::Ambiguous { text: text.to_owned(), count: more + 1 }),
    }
}

/// One event of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The event.
    pub event: Event,
    /// Why the fold refused it, if it did and the state still lists it.
    pub refused: Option<Reason>,
    /// Whether its author was a member at that index. If not, the event changed nothing.
    pub stands: bool,
}

/// The sessions about the order of a task and another one: their events name the session.
#[must_use]
pub fn sessions_of(state: &SwarmState, task: TaskId) -> BTreeSet<TaskId> {
    state.sessions.of(task).map(|session| session.id).collect()
}

/// The events that name a task or one of its sessions, in their total order, up to the time of the
/// state that is given.
pub fn story<'a, R: Records>(
    archive: &'a Archive<R>,
    state: &'a SwarmState,
    task: TaskId,
    until_ms: Option<u64>,
) -> Steps<'a> {
    let inside = move |event: &Result<Event, FoldError>| {
        let ms = event.as_ref().map_or(0, |event| event.header.clock.ms());
        until_ms.is_none_or(|until| ms <= until)
    };
    let sessions = sessions_of(state, task);
    let refused = sessions.iter().filter_map(|session| state.sessions.get(session));
    let refused = refused.map(|session| &session.refusals);
    let refused = refused.chain(state.tasks.get(&task).map(|task| &task.refusals));
    let refused = refused.flat_map(|refusals| &refusals.first);
    let refused = refused.map(|refusal| (refusal.event, refusal.reason)).collect();
    let events = Box::new(archive.about(task, sessions).take_while(inside));
    Steps { events, members: &state.members, refused }
}

/// The steps of a story; each is read from the bundle when it is asked for.
pub struct Steps<'a> {
    events: Box<dyn Iterator<Item = Result<Event, FoldError>> + 'a>,
    members: &'a Members,
    refused: BTreeMap<EventId, Reason>,
}

impl Iterator for Steps<'_> {
    type Item = Result<Step, FoldError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.events.next()?.map(|event| {
            let refused = self.refused.get(&event.id).copied();
            let stands = self.members.stands(&event.author, event.header.seq);
            Step { event, refused, stands }
        }))
    }
}
