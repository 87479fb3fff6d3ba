//! The discussion of an epoch: a tree of messages below plans and requests for help, bounded by
//! rules that no author's good will is needed for (`schema/fold.md`, "Discussion").

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use serde::Serialize;

use super::claims::Epoch;
use crate::kernel::event::kinds::{Act, DiscussionBounded, MessageSaid, Purpose, Withdrawn};
use crate::kernel::event::{Event, EventId, Hlc};
use crate::kernel::fold::refusal::Reason;
use crate::kernel::identity::AuthorId;

/// The longest text of one message, in bytes.
pub const MAX_MESSAGE: usize = 8 * 1024;

/// How often one member may object to the plans of one epoch.
pub const MAX_OBJECTIONS: u32 = 2;

/// The limits of a discussion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Limits {
    /// How many members may take part.
    pub participants: u32,
    /// How long a chain of answers may be.
    pub depth: u32,
    /// How many messages one author may say.
    pub per_author: u32,
    /// How many messages all authors together.
    pub messages: u32,
    /// How many bytes of text all messages together.
    pub bytes: u64,
    /// For how long, in milliseconds.
    pub lifetime_ms: u64,
}

impl Limits {
    /// The widest limits: an owner can make them tighter.
    pub const WIDEST: Self = Self {
        participants: 16,
        depth: 8,
        per_author: 32,
        messages: 256,
        bytes: 256 * 1024,
        lifetime_ms: 7 * 24 * 60 * 60 * 1000,
    };
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It asks for nothing.
    Comment,
    /// It asks.
    Question,
    /// It answers a question.
    Answer,
    /// A review of a plan; its words are with the plan.
    Review,
    /// An offer of help; its words are with the request.
    Offer,
}

/// A message of a discussion.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Message {
    /// Who.
    pub author: AuthorId,
    /// When.
    pub at: Hlc,
    /// What it answers.
    pub parent: Option<EventId>,
    /// How far below the beginning of its thread, from 1 on.
    pub depth: u32,
    /// What it is.
    pub part: Part,
    /// What it says; empty for a review or an offer.
    pub text: String,
    /// Until when an answer is awaited, in milliseconds since 1970; 0 for never.
    pub deadline_ms: u64,
    /// Whether its author took it back.
    pub withdrawn: bool,
}

/// The discussion of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Discussion {
    /// Its limits.
    pub limits: Limits,
    /// What was said.
    pub messages: BTreeMap<EventId, Message>,
    /// How many messages each author said.
    pub authors: BTreeMap<AuthorId, u32>,
    /// How many objections each author made.
    pub objections: BTreeMap<AuthorId, u32>,
    /// How many messages were said.
    pub said: u32,
    /// How many bytes of text they have.
    pub bytes: u64,
}

impl Default for Discussion {
    fn default() -> Self {
        Self {
            limits: Limits::WIDEST,
            messages: BTreeMap::new(),
            authors: BTreeMap::new(),
            objections: BTreeMap::new(),
            said: 0,
            bytes: 0,
        }
    }
}

impl Discussion {
    /// The limits of an author's messages that do not depend on their text.
    fn counts(&self, author: &AuthorId, free: bool, lived_ms: u64) -> Result<(), Reason> {
        let limits = &self.limits;
        let said = self.authors.get(author).copied();
        if lived_ms > limits.lifetime_ms {
            return Err(Reason::Lifetime);
        }
        if said.is_none() && !free && self.authors.len() >= limits.participants as usize {
            return Err(Reason::Participants);
        }
        if said.unwrap_or(0) >= limits.per_author {
            return Err(Reason::AuthorMessages);
        }
        if !free && self.said >= limits.messages {
            return Err(Reason::Messages);
        }
        Ok(())
    }

    /// The answers to a question, none of them taken back, in order.
    pub fn answers(&self, question: &EventId) -> impl Iterator<Item = (&EventId, &Message)> {
        let mut answers: Vec<_> = self
            .messages
            .iter()
            .filter(|(_, said)| {
                said.part == Part::Answer && !said.withdrawn && said.parent == Some(*question)
            })
            .collect();
        answers.sort_by_key(|(event, said)| (said.at, said.author, **event));
        answers.into_iter()
    }

    /// The questions that were not taken back, in order.
    pub fn questions(&self) -> impl Iterator<Item = (&EventId, &Message)> {
        let mut questions: Vec<_> = self
            .messages
            .iter()
            .filter(|(_, said)| said.part == Part::Question && !said.withdrawn)
            .collect();
        questions.sort_by_key(|(event, said)| (said.at, said.author, **event));
        questions.into_iter()
    }
}

impl Epoch {
    /// How many bytes this agent may say at this time, at a depth, or which limit keeps it out. The
    /// owner of the task has room for one message in any case but that of its own number.
    ///
    /// # Errors
    /// The reason for which the fold would refuse a message.
    pub fn room_for(&self, agent: &AuthorId, depth: u32, now_ms: u64) -> Result<usize, Reason> {
        let win = self.winner.as_ref().ok_or(Reason::Dangling)?;
        if self.finished.is_some() {
            return Err(Reason::Ended);
        }
        let began = self.rounds.last().map_or(win.at, |round| round.at);
        let free = win.author == *agent;
        let talk = &self.discussion;
        talk.counts(agent, free, now_ms.saturating_sub(began.ms()))?;
        if depth > talk.limits.depth {
            return Err(Reason::Depth);
        }
        let left = talk.limits.bytes.saturating_sub(talk.bytes);
        match usize::try_from(left).unwrap_or(usize::MAX) {
            _ if free => Ok(MAX_MESSAGE),
            0 => Err(Reason::Bytes),
            left => Ok(left.min(MAX_MESSAGE)),
        }
    }

    /// Counts a message, or says which limit keeps it out.
    pub(super) fn admit(
        &mut self,
        event: &Event,
        person: bool,
        depth: u32,
        text: &str,
    ) -> Result<(), Reason> {
        let win = self.winner.as_ref().ok_or(Reason::Dangling)?;
        if self.finished.is_some() {
            return Err(Reason::Ended);
        }
        let began = self.rounds.last().map_or(win.at, |round| round.at);
        // Nobody can use up what the owner and people need to end a discussion.
        let free = person || win.author == event.author;
        let lived_ms = event.header.clock.ms().saturating_sub(began.ms());
        self.discussion.counts(&event.author, free, lived_ms)?;
        let talk = &mut self.discussion;
        let limits = talk.limits;
        let said = talk.authors.get(&event.author).copied();
        let bytes = talk.bytes.saturating_add(text.len() as u64);
        if text.len() > MAX_MESSAGE || (!free && bytes > limits.bytes) {
            return Err(Reason::Bytes);
        }
        if depth > limits.depth {
            return Err(Reason::Depth);
        }
        talk.authors.insert(event.author, said.unwrap_or(0) + 1);
        talk.said = talk.said.saturating_add(1);
        talk.bytes = bytes;
        Ok(())
    }

    pub(super) fn message(&mut self, event: &Event, parent: EventId, depth: u32, part: Part) {
        let message = Message {
            author: event.author,
            at: event.header.clock,
            parent: Some(parent),
            depth,
            part,
            text: String::new(),
            deadline_ms: 0,
            withdrawn: false,
        };
        self.discussion.messages.insert(event.id, message);
    }

    pub(super) fn said(
        &mut self,
        event: &Event,
        said: &MessageSaid,
        person: bool,
    ) -> Result<(), Reason> {
        let parent = said.parent.as_ref().and_then(|id| self.discussion.messages.get(id));
        let depth = match &said.parent {
            None => 1,
            Some(id) if self.begins(id) => 1,
            Some(_) => parent.ok_or(Reason::Dangling)?.depth.saturating_add(1),
        };
        let asked = parent.filter(|parent| {
            parent.part == Part::Question && !parent.withdrawn && parent.author != event.author
        });
        if said.act == Act::Answer && asked.is_none() {
            return Err(Reason::Content);
        }
        self.admit(event, person, depth, &said.text)?;
        let part = match said.act {
            Act::Comment => Part::Comment,
            Act::Question => Part::Question,
            Act::Answer => Part::Answer,
        };
        let message = Message {
            author: event.author,
            at: event.header.clock,
            parent: said.parent,
            depth,
            part,
            text: said.text.clone(),
            deadline_ms: said.deadline_ms,
            withdrawn: false,
        };
        self.discussion.messages.insert(event.id, message);
        if self.owned_by(&event.author).is_ok() {
            match said.act {
                Act::Answer => self.answered(&event.author, Purpose::Answer),
                Act::Question => self.answered(&event.author, Purpose::Plan),
                Act::Comment => {}
            }
        }
        Ok(())
    }

    /// Whether a thread begins at this event: a plan or a request for help.
    fn begins(&self, event: &EventId) -> bool {
        self.plans.iter().any(|plan| plan.event == *event)
            || self.help.iter().any(|help| help.event == *event)
    }

    pub(super) fn withdrawn(
        &mut self,
        event: &Event,
        withdrawn: &Withdrawn,
        person: bool,
    ) -> Result<(), Reason> {
        let id = &withdrawn.message;
        let message = self.discussion.messages.get(id).ok_or(Reason::Dangling)?;
        if message.author != event.author {
            return Err(Reason::NotTheAuthor);
        }
        if message.withdrawn {
            return Err(Reason::Repeated);
        }
        self.admit(event, person, 1, &withdrawn.reason)?;
        if let Some(message) = self.discussion.messages.get_mut(id) {
            message.withdrawn = true;
        }
        let mut reviews = self.plans.iter_mut().flat_map(|plan| &mut plan.reviews);
        if let Some(review) = reviews.find(|review| review.event == *id) {
            review.withdrawn = true;
        }
        let mut offers = self.help.iter_mut().flat_map(|help| &mut help.offers);
        if let Some(offer) = offers.find(|offer| offer.event == *id) {
            offer.withdrawn = true;
        }
        Ok(())
    }

    pub(super) fn bounded(
        &mut self,
        event: &Event,
        named: &DiscussionBounded,
    ) -> Result<(), Reason> {
        self.owned_by(&event.author)?;
        let limits = &mut self.discussion.limits;
        *limits = Limits {
            participants: limits.participants.min(named.participants),
            depth: limits.depth.min(named.depth),
            per_author: limits.per_author.min(named.per_author),
            messages: limits.messages.min(named.messages),
            bytes: limits.bytes.min(named.bytes),
            lifetime_ms: limits.lifetime_ms.min(named.lifetime_ms),
        };
        Ok(())
    }
}
