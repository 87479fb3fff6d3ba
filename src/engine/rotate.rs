//! One key after another: the rotation that ends this node's log, and the rotations by which a
//! stranger shows that its key followed a member's.

use super::{Engine, EngineError, Stop};
use crate::kernel::event::kinds::{KeyRotated, Payload};
use crate::kernel::event::{Draft, Event, SignedEvent};
use crate::kernel::identity::{AuthorId, SecretKey};
use crate::kernel::log::Tip;
use crate::kernel::sync::{Introduced, MAX_ROTATIONS};

/// Why this node's key did not rotate.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RotateError {
    /// As far as this node's store knows, its key is no member's: nobody could follow it.
    #[error("this node's key is no member's, as far as its store knows")]
    NotAMember,
    /// The new key is a member's, present or past, or this node's own.
    #[error("the new key is known in the swarm already")]
    Known,
    /// Events of this node wait for their time: the machine's clock was set back.
    #[error(
        "the newest events of this node come from the future; set the machine's clock, and try \
             again"
    )]
    Clock,
    /// The rotation was written, and the fold refused it: the old key stays.
    #[error("the rotation was refused: {0}")]
    Refused(String),
    /// The rotation could not be written.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Whether this node's key can rotate: it is a member's, and its log goes on.
    ///
    /// # Errors
    /// [`RotateError`].
    pub fn may_rotate(&self) -> Result<(), RotateError> {
        self.may_append()?;
        let me = self.me();
        let member = self.read(|state| state.members.present().contains(&me));
        match (member, self.is_folded()) {
            (false, _) => Err(RotateError::NotAMember),
            (true, false) => Err(RotateError::Clock),
            (true, true) => Ok(()),
        }
    }

    /// Whether nothing of this node's log waits for its time.
    fn is_folded(&self) -> bool {
        let view = self.view();
        let length = view.tips.get(&self.me).map_or(0, Tip::length);
        view.fold.frontier().get(&self.me).copied().unwrap_or(0) == length
    }

    /// The key to which this node's log says to have rotated, also where the rotation waits for
    /// its time.
    ///
    /// # Errors
    /// [`EngineError`] if the store cannot be read.
    pub fn ended(&self) -> Result<Option<AuthorId>, EngineError> {
        let me = self.me();
        let (length, _) = self.tip(&me);
        if self.is_folded() || length == 0 {
            return Ok(self.successor(&me));
        }
        let last = self.events(me, length - 1, 1)?.pop();
        Ok(match last.as_ref().and_then(Event::payload) {
            Some(Payload::KeyRotated(rotated)) => Some(rotated.successor),
            _ => self.successor(&me),
        })
    }

    /// Ends this node's log with the rotation to another key, which consents by its signature;
    /// durable when this returns. Nothing can be appended from then on.
    ///
    /// # Errors
    /// [`RotateError`]; the old key stays.
    pub fn rotate(&self, new: &SecretKey, now_ms: u64) -> Result<(), RotateError> {
        self.may_rotate()?;
        let (me, successor) = (self.me(), new.author());
        if successor == me || self.read(|state| state.members.members.contains_key(&successor)) {
            return Err(RotateError::Known);
        }
        let (index, _) = self.tip(&me);
        let rotated = KeyRotated::sign(&self.swarm, &me, new, index);
        let appended = self.append(vec![Draft::general(rotated)], now_ms)?;
        if self.successor(&me) == Some(successor) {
            return Ok(());
        }
        let reason = self.read(|state| {
            let mut refusals = state.members.refusals.first.iter();
            let refusal = refusals.find(|refusal| appended.ids.contains(&refusal.event));
            refusal.map(|refusal| refusal.reason.to_string())
        });
        let reason = reason.unwrap_or_else(|| "another event came before it".to_owned());
        Err(RotateError::Refused(reason))
    }

    /// The key under which an author goes on, if it rotated.
    #[must_use]
    pub fn successor(&self, author: &AuthorId) -> Option<AuthorId> {
        self.read(|state| state.members.members.get(author)?.successor)
    }

    /// The rotations that led to this node's key, the oldest first, at most the newest
    /// [`MAX_ROTATIONS`], each as the bytes of a signed event.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub fn rotations(&self) -> Result<Vec<Vec<u8>>, EngineError> {
        let ends = self.read(|state| {
            let (mut key, mut ends) = (self.me(), Vec::new());
            while ends.len() < MAX_ROTATIONS {
                let mut members = state.members.members.iter();
                let Some((old, member)) = members.find(|(_, m)| m.successor == Some(key)) else {
                    break;
                };
                ends.extend(member.revoked_at.map(|length| (*old, length.saturating_sub(1))));
                key = *old;
            }
            ends
        });
        let mut rotations = Vec::new();
        for (author, index) in ends.into_iter().rev() {
            let signed = self.signed_event(&author, index)?;
            rotations.extend(signed.map(|signed| signed.to_bytes()));
        }
        Ok(rotations)
    }

    /// Judges the rotations that a peer shows, of which nothing is known (`schema/sync.md`,
    /// introductions). If they lead from a member's key to the peer's, gives that member and the
    /// index of its rotation.
    ///
    /// # Errors
    /// [`Introduced`], never [`Introduced::Accepted`].
    pub fn introduced(
        &self,
        peer: &AuthorId,
        rotations: &[Vec<u8>],
    ) -> Result<(AuthorId, u64), Introduced> {
        let links = rotations.iter().map(|bytes| link(bytes));
        let links = links.collect::<Result<Vec<_>, _>>().map_err(Introduced::Invalid)?;
        let follows = links.windows(2).all(|pair| pair[0].2.successor == pair[1].1.author);
        let ends = links.last().is_some_and(|(_, _, rotated)| rotated.successor == *peer);
        if !follows || !ends {
            return Err(Introduced::Invalid("the rotations do not lead to its key".to_owned()));
        }
        let known = self.read(|state| {
            let members = &state.members;
            let stands = |(_, event, _): &(SignedEvent, Event, KeyRotated)| {
                members.stands(&event.author, event.header.seq)
            };
            let known = !members.members.contains_key(peer);
            links.iter().rposition(stands).filter(|_| known)
        });
        let from = known.ok_or(Introduced::Unknown)?;
        for (signed, event, rotated) in &links[from..] {
            let invalid = |error: String| Introduced::Invalid(error);
            let _ = signed.verify(&self.swarm).map_err(|error| invalid(error.to_string()))?;
            let verified = rotated.verify(&self.swarm, &event.author, event.header.seq);
            verified.map_err(|error| invalid(format!("the new key's consent: {error}")))?;
        }
        let (_, first, _) = &links[from];
        Ok((first.author, first.header.seq))
    }

    /// Why nothing can be appended under a key that was rotated.
    pub(super) fn rotated(&self) -> Option<Stop> {
        self.successor(&self.me()).map(|successor| Stop::Rotated { successor })
    }
}

/// A signed event that says to be a rotation; its signatures are not looked at.
fn link(bytes: &[u8]) -> Result<(SignedEvent, Event, KeyRotated), String> {
    let signed = SignedEvent::from_bytes(bytes).map_err(|error| error.to_string())?;
    let record = signed.record.as_ref();
    let event = Event::read(signed.head.author, signed.inclusion.index, record);
    let event = event.map_err(|error| error.to_string())?;
    match event.payload() {
        Some(Payload::KeyRotated(rotated)) => {
            let rotated = rotated.clone();
            Ok((signed, event, rotated))
        }
        _ => Err("it shows an event that is no rotation".to_owned()),
    }
}
