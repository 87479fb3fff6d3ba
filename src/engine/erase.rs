//! Erased payloads: their bytes leave the store once the fold has accepted the erasure, and never
//! reach it if they come later.

use super::{Engine, EngineError, Writer};
use crate::kernel::event::kinds::PayloadErased;
use crate::kernel::event::{Draft, Event, EventId, Header};
use crate::kernel::fold::{Erasures, MAX_ERASURE_REASON, Reason, SwarmState};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{Append, LogStore, ReadLimit, RecordRef, StoreError};

/// Events of these kinds may change what is erased.
const DECIDE: std::ops::RangeInclusive<u16> = 1..=9;

/// Why a payload was not erased.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EraseError {
    /// There is no such event here.
    #[error("log {} has no event at index {seq} here", author.short())]
    Unknown {
        /// Whose log.
        author: AuthorId,
        /// The index.
        seq: u64,
    },
    /// Neither its author nor an administrator asks.
    #[error("only the event's author, {}, or an administrator can erase it", .0.short())]
    NotAllowed(AuthorId),
    /// It was erased before.
    #[error("it was erased before, by {}: {reason}", by.short())]
    Already {
        /// By whom.
        by: AuthorId,
        /// Why.
        reason: String,
    },
    /// The reason is too long or has control characters.
    #[error("the reason has to be one line of at most {MAX_ERASURE_REASON} bytes")]
    Text,
    /// The fold does not take it.
    #[error("it cannot be erased: {0}")]
    Refused(Reason),
    /// It could not be written.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<StoreError> for EraseError {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

/// An event whose payload was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErasedEvent {
    /// The event.
    pub event: EventId,
    /// Its author.
    pub author: AuthorId,
    /// Its index.
    pub seq: u64,
    /// The event that says so.
    pub said: EventId,
}

impl Engine {
    /// Erases the payload of an event: appends the event that says so, and deletes the bytes. When
    /// this returns, they are in no file of this node's store; other nodes follow when they hear of
    /// it.
    ///
    /// # Errors
    /// [`EraseError`]; nothing was erased, or the next opening finishes it.
    pub fn erase(
        &self,
        author: AuthorId,
        seq: u64,
        reason: &str,
        now_ms: u64,
    ) -> Result<ErasedEvent, EraseError> {
        if reason.len() > MAX_ERASURE_REASON || reason.chars().any(char::is_control) {
            return Err(EraseError::Text);
        }
        let limit = ReadLimit { records: 1, bytes: usize::MAX };
        let record = self.store.records(&author, seq, limit)?.pop();
        let event = record.and_then(|record| Event::read(author, seq, record.as_ref()).ok());
        let event = event.ok_or(EraseError::Unknown { author, seq })?;
        self.read(|state| self.may_erase(state, &event))?;
        let erased = PayloadErased { event: event.id, author, seq, reason: reason.to_owned() };
        let draft = Draft::general(erased).because([event.id]);
        let said = self.append(vec![draft], now_ms)?.ids[0];
        self.read(|state| {
            let mut refusals = state.erasures.refusals.first.iter();
            match refusals.find(|refusal| refusal.event == said) {
                Some(refusal) => Err(EraseError::Refused(refusal.reason)),
                None => Ok(ErasedEvent { event: event.id, author, seq, said }),
            }
        })
    }

    fn may_erase(&self, state: &SwarmState, event: &Event) -> Result<(), EraseError> {
        let me = self.me();
        let member = state.members.members.get(&me).filter(|m| m.revoked_at.is_none());
        if !member.is_some_and(|member| member.administrator || event.author == me) {
            return Err(EraseError::NotAllowed(event.author));
        }
        if !Erasures::may_be_erased(event.header.kind) {
            return Err(EraseError::Refused(Reason::Protected));
        }
        match state.erasures.of(event) {
            Some(erasure) => {
                Err(EraseError::Already { by: erasure.by, reason: erasure.reason.clone() })
            }
            None => Ok(()),
        }
    }

    /// Deletes from the store what is erased and still there, since a crash came between. Who opens
    /// an engine for writing calls it once; it looks at the erased events alone.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub fn finish_erasing(&self) -> Result<(), EngineError> {
        self.purge(&mut self.writer())
    }

    /// Takes the bodies that are known to be erased out of an append before it is stored.
    pub(super) fn strip(&self, append: &mut Append) {
        let view = self.view();
        let erasures = &view.fold.state().erasures;
        let author = append.author();
        if erasures.payloads.contains_key(&author) {
            append.erase(|seq, record| is_erased(erasures, &author, seq, record));
        }
    }

    /// After these events were folded: deletes what they erased from the store.
    pub(super) fn purge_after<'a>(
        &self,
        writer: &mut Writer,
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Result<(), EngineError> {
        let decided = events.into_iter().any(|event| DECIDE.contains(&event.header.kind));
        if decided { self.purge(writer) } else { Ok(()) }
    }

    /// Deletes all that is erased and still in the store. What was seen to be gone is not looked at
    /// again.
    fn purge(&self, writer: &mut Writer) -> Result<(), EngineError> {
        let mut due = Vec::new();
        {
            let view = self.view();
            let erasures = &view.fold.state().erasures;
            for (author, seq, erasure) in erasures.iter() {
                let held = view.tips.get(&author).is_some_and(|tip| seq < tip.length());
                if held && writer.purged.get(&(author, seq)) != Some(&erasure.event) {
                    due.push((author, seq, erasure.event));
                }
            }
        }
        let mut places = Vec::new();
        for (author, seq, event) in &due {
            if holds_body(&*self.store, author, *seq, *event)? {
                places.push((*author, *seq));
            }
        }
        if !places.is_empty() {
            // The snapshot first: the one before it may hold what is erased, and goes with it.
            self.snapshot()?;
            self.store.erase(&places)?;
        }
        let gone = due.into_iter().map(|(author, seq, event)| ((author, seq), event));
        writer.purged.extend(gone);
        Ok(())
    }
}

fn is_erased(erasures: &Erasures, author: &AuthorId, seq: u64, record: RecordRef<'_>) -> bool {
    let found = erasures.at(author, seq);
    found.is_some_and(|erasure| names(erasure.event, author, record))
}

/// Whether a record is the event, and one that may be erased.
fn names(event: EventId, author: &AuthorId, record: RecordRef<'_>) -> bool {
    let protected = Header::read(record).is_ok_and(|h| !Erasures::may_be_erased(h.kind));
    !protected && record.leaf(author).0 == event.0
}

fn holds_body(
    store: &dyn LogStore,
    author: &AuthorId,
    seq: u64,
    event: EventId,
) -> Result<bool, StoreError> {
    let limit = ReadLimit { records: 1, bytes: usize::MAX };
    let record = store.records(author, seq, limit)?.pop();
    Ok(record.is_some_and(|record| {
        let record = record.as_ref();
        record.has_content() && names(event, author, record)
    }))
}
