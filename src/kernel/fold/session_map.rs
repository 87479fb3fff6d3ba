//! All sessions, and which of them concern a task. A decision asks that of every task it may take,
//! and a swarm has many sessions that are over.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};
use serde::{Serialize, Serializer};

use super::sessions::Session;
use crate::kernel::event::TaskId;

/// The sessions by their ids. What it knows besides follows from them: it has no bytes, and is made
/// anew when they are read.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    all: BTreeMap<TaskId, Session>,
    /// Those about the order of a task and another one.
    by_task: BTreeMap<TaskId, BTreeSet<TaskId>>,
    /// Those in which nothing was decided yet.
    open: BTreeSet<TaskId>,
}

impl Sessions {
    /// The sessions about the order of this task and another one, by their ids.
    pub fn of(&self, task: TaskId) -> impl Iterator<Item = &Session> {
        self.by_task.get(&task).into_iter().flatten().filter_map(|id| self.all.get(id))
    }

    /// Those in which nothing was decided yet, by their ids.
    pub fn open(&self) -> impl Iterator<Item = &Session> {
        self.open.iter().filter_map(|id| self.all.get(id))
    }

    /// Changes a session, which is made if it isn't there.
    pub(super) fn change<T>(&mut self, id: TaskId, how: impl FnOnce(&mut Session) -> T) -> T {
        let session = self.all.entry(id).or_insert_with(|| Session::new(id));
        let result = how(session);
        if session.is_open() {
            self.open.insert(id);
        } else {
            self.open.remove(&id);
        }
        // What an opening names stays as long as its session is there.
        if let Some((one, other)) = session.sides() {
            for side in [one, other] {
                self.by_task.entry(side.task()).or_default().insert(id);
            }
        }
        result
    }

    pub(super) fn remove(&mut self, id: TaskId) {
        let gone = self.all.remove(&id);
        self.open.remove(&id);
        let Some((one, other)) = gone.as_ref().and_then(Session::sides) else { return };
        for task in [one.task(), other.task()] {
            if let Some(sessions) = self.by_task.get_mut(&task) {
                sessions.remove(&id);
                if sessions.is_empty() {
                    self.by_task.remove(&task);
                }
            }
        }
    }
}

impl Deref for Sessions {
    type Target = BTreeMap<TaskId, Session>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl PartialEq for Sessions {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl Eq for Sessions {}

impl Serialize for Sessions {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.all.serialize(to)
    }
}

impl Encode for Sessions {
    fn encode<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
        self.all.encode(to)
    }
}

impl<Context> Decode<Context> for Sessions {
    fn decode<D: Decoder<Context = Context>>(from: &mut D) -> Result<Self, DecodeError> {
        let all = BTreeMap::<TaskId, Session>::decode(from)?;
        let mut sessions = Self::default();
        for (id, session) in all {
            sessions.change(id, |new| *new = session);
        }
        Ok(sessions)
    }
}

bincode::impl_borrow_decode!(Sessions);
