//! Sessions about the order of two tasks (`schema/fold.md`, "Sessions").

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use serde::Serialize;

use super::refusal::{Reason, Refusals};
use super::task::{Limits, MAX_MESSAGE};
use crate::kernel::event::kinds::{
    Act, CoordinationEscalated, CoordinationJoined, CoordinationOpened, CoordinationResolved,
    CoordinationSaid, Payload, Side,
};
use crate::kernel::event::{Event, EventId, Hlc, MAX_REPOSITORY_NAME, TaskId};
use crate::kernel::identity::AuthorId;

/// How often a chain of answers in a session may go from one repository to another.
pub const MAX_HOPS: u32 = 4;

/// The most members that join a session.
const MAX_JOINED: usize = 16;

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Session {
    /// Its name, which follows from its sides.
    pub id: TaskId,
    /// How it was opened.
    pub opening: Option<Opening>,
    /// Who joined it.
    pub joined: BTreeMap<AuthorId, Joined>,
    /// What was said.
    pub messages: BTreeMap<EventId, Said>,
    /// How many messages each author said.
    pub authors: BTreeMap<AuthorId, u32>,
    /// How many bytes of text they have.
    pub bytes: u64,
    /// The event that resolved it, and which side goes first.
    pub resolved: Option<(EventId, u32)>,
    /// The event that gave it to people, and why.
    pub escalated: Option<(EventId, String)>,
    /// What was refused.
    pub refusals: Refusals,
    /// How many events are about it, the refused ones not counted.
    pub events: u64,
}

/// How a session was opened.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Opening {
    /// The event.
    pub event: EventId,
    /// Who.
    pub by: AuthorId,
    /// When.
    pub at: Hlc,
    /// The two tasks.
    pub sides: Vec<Side>,
    /// Which one is to go first, 0 or 1.
    pub first: u32,
    /// Why.
    pub reason: String,
    /// What both touch.
    pub evidence: Vec<String>,
    /// Until when the other side is waited for, in milliseconds since 1970.
    pub deadline_ms: u64,
}

/// What somebody who joined a session thinks of the proposal.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Joined {
    /// The event.
    pub event: EventId,
    /// Whether it agrees.
    pub agrees: bool,
    /// Why.
    pub reason: String,
}

/// A message of a session.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Said {
    /// Who.
    pub author: AuthorId,
    /// When.
    pub at: Hlc,
    /// What it answers.
    pub parent: EventId,
    /// For which side it speaks.
    pub side: u32,
    /// How far below the opening.
    pub depth: u32,
    /// How often the chain of answers went from one repository to the other.
    pub hops: u32,
    /// What it is meant as.
    pub act: Act,
    /// What it says.
    pub text: String,
}

impl Session {
    pub(super) fn new(id: TaskId) -> Self {
        Self {
            id,
            opening: None,
            joined: BTreeMap::new(),
            messages: BTreeMap::new(),
            authors: BTreeMap::new(),
            bytes: 0,
            resolved: None,
            escalated: None,
            refusals: Refusals::default(),
            events: 0,
        }
    }

    /// The side that is to go first, and the other one.
    #[must_use]
    pub fn sides(&self) -> Option<(&Side, &Side)> {
        let opening = self.opening.as_ref()?;
        let [one, other] = &opening.sides[..] else { return None };
        Some(if opening.first == 0 { (one, other) } else { (other, one) })
    }

    /// Whether it is about the order of this task and another one.
    #[must_use]
    pub fn concerns(&self, task: TaskId) -> bool {
        self.sides().is_some_and(|(one, other)| one.task() == task || other.task() == task)
    }

    /// Whether nothing was decided yet.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.opening.is_some() && self.resolved.is_none() && self.escalated.is_none()
    }

    pub(super) fn fold(&mut self, event: &Event, payload: &Payload) -> Result<(), Reason> {
        if let Payload::CoordinationOpened(opened) = payload {
            self.opened(event, opened)?;
        } else {
            let opening = self.opening.as_ref().ok_or(Reason::Dangling)?;
            let named = match payload {
                Payload::CoordinationJoined(joined) => joined.opening,
                Payload::CoordinationResolved(resolved) => resolved.opening,
                Payload::CoordinationEscalated(escalated) => escalated.opening,
                _ => opening.event,
            };
            if named != opening.event {
                return Err(Reason::Dangling);
            }
            if !self.is_open() {
                return Err(Reason::Ended);
            }
            match payload {
                Payload::CoordinationJoined(joined) => self.join(event, joined)?,
                Payload::CoordinationSaid(said) => self.said(event, said)?,
                Payload::CoordinationResolved(resolved) => self.resolve(event, resolved)?,
                Payload::CoordinationEscalated(escalated) => self.escalate(event, escalated)?,
                _ => return Err(Reason::Content),
            }
        }
        self.events += 1;
        Ok(())
    }

    fn opened(&mut self, event: &Event, opened: &CoordinationOpened) -> Result<(), Reason> {
        let ordered = match &opened.sides[..] {
            [one, other] => one.task() < other.task(),
            _ => false,
        };
        let named = |side: &Side| side.repository.len() <= MAX_REPOSITORY_NAME;
        let fits = ordered
            && opened.sides.iter().all(named)
            && CoordinationOpened::session(&opened.sides) == self.id
            && opened.first < 2
            && opened.reason.len() <= 4096
            && opened.evidence.len() <= 16;
        if !fits {
            return Err(Reason::Content);
        }
        if self.opening.is_some() {
            return Err(Reason::Repeated);
        }
        self.opening = Some(Opening {
            event: event.id,
            by: event.author,
            at: event.header.clock,
            sides: opened.sides.clone(),
            first: opened.first,
            reason: opened.reason.clone(),
            evidence: opened.evidence.clone(),
            deadline_ms: opened.deadline_ms,
        });
        Ok(())
    }

    fn join(&mut self, event: &Event, joined: &CoordinationJoined) -> Result<(), Reason> {
        if self.joined.contains_key(&event.author) {
            return Err(Reason::Repeated);
        }
        if self.joined.len() >= MAX_JOINED {
            return Err(Reason::Limit);
        }
        if joined.reason.len() > 4096 {
            return Err(Reason::Content);
        }
        let (agrees, reason) = (joined.agrees, joined.reason.clone());
        self.joined.insert(event.author, Joined { event: event.id, agrees, reason });
        Ok(())
    }

    fn said(&mut self, event: &Event, said: &CoordinationSaid) -> Result<(), Reason> {
        let opening = self.opening.as_ref().ok_or(Reason::Dangling)?;
        let repository = |side: u32| {
            let side = usize::try_from(side).ok().and_then(|side| opening.sides.get(side));
            side.map(|side| side.repository.as_str())
        };
        let here = repository(said.side).ok_or(Reason::Content)?;
        let (depth, hops) = if said.parent == opening.event {
            (1, 0)
        } else {
            let parent = self.messages.get(&said.parent).ok_or(Reason::Dangling)?;
            let hop = u32::from(repository(parent.side) != Some(here));
            (parent.depth.saturating_add(1), parent.hops.saturating_add(hop))
        };
        let limits = Limits::WIDEST;
        let before = self.authors.get(&event.author).copied();
        let bytes = self.bytes.saturating_add(said.text.len() as u64);
        let lived_ms = event.header.clock.ms().saturating_sub(opening.at.ms());
        if lived_ms > limits.lifetime_ms {
            return Err(Reason::Lifetime);
        }
        if before.is_none() && self.authors.len() >= limits.participants as usize {
            return Err(Reason::Participants);
        }
        if before.unwrap_or(0) >= limits.per_author {
            return Err(Reason::AuthorMessages);
        }
        if self.messages.len() >= limits.messages as usize {
            return Err(Reason::Messages);
        }
        if said.text.len() > MAX_MESSAGE || bytes > limits.bytes {
            return Err(Reason::Bytes);
        }
        if depth > limits.depth {
            return Err(Reason::Depth);
        }
        if hops > MAX_HOPS {
            return Err(Reason::Hops);
        }
        self.authors.insert(event.author, before.unwrap_or(0) + 1);
        self.bytes = bytes;
        let message = Said {
            author: event.author,
            at: event.header.clock,
            parent: said.parent,
            side: said.side,
            depth,
            hops,
            act: said.act,
            text: said.text.clone(),
        };
        self.messages.insert(event.id, message);
        Ok(())
    }

    fn resolve(&mut self, event: &Event, resolved: &CoordinationResolved) -> Result<(), Reason> {
        let opening = self.opening.as_ref().filter(|opening| opening.by == event.author);
        let opening = opening.ok_or(Reason::NotTheAuthor)?;
        if resolved.first != opening.first {
            return Err(Reason::Content);
        }
        let considered = |joined: &&Joined| resolved.considered.contains(&joined.event);
        if self.joined.values().filter(considered).any(|joined| !joined.agrees) {
            return Err(Reason::Objection);
        }
        let agreed = self.joined.values().filter(considered).any(|joined| joined.agrees);
        if !agreed && event.header.clock.ms() < opening.deadline_ms {
            return Err(Reason::Early);
        }
        self.resolved = Some((event.id, resolved.first));
        Ok(())
    }

    fn escalate(&mut self, event: &Event, escalated: &CoordinationEscalated) -> Result<(), Reason> {
        let opened = self.opening.as_ref().is_some_and(|opening| opening.by == event.author);
        if !opened && !self.joined.contains_key(&event.author) {
            return Err(Reason::NotTheAuthor);
        }
        if escalated.reason.len() > 4096 {
            return Err(Reason::Content);
        }
        self.escalated = Some((event.id, escalated.reason.clone()));
        Ok(())
    }
}
