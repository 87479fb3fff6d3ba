//! Folds events as they come, in any order of arrival, into the state of their total order.

use std::collections::{BTreeMap, BTreeSet};

use bincode::{Decode, Encode};

use super::erasures::Erasure;
use super::members::Members;
use super::order::{Aggregate, Place};
use super::state::{FOLD_VERSION, SwarmState};
use crate::kernel::event::kinds::Payload;
use crate::kernel::event::{Event, Hlc};
use crate::kernel::identity::{AuthorId, SwarmId};

/// Where the fold finds events again when an aggregate must be folded anew.
pub trait EventSource {
    /// The places of all folded and stored events of an aggregate, in order.
    ///
    /// # Errors
    /// [`FoldError`].
    fn places(&self, aggregate: &Aggregate) -> Result<Vec<Place>, FoldError>;

    /// The event at a place.
    ///
    /// # Errors
    /// [`FoldError`] if it is not there.
    fn event(&self, place: &Place) -> Result<Event, FoldError>;

    /// The event at an index of a log; `None` if the log has none there, or something that is no
    /// event.
    ///
    /// # Errors
    /// [`FoldError`].
    fn event_at(&self, author: &AuthorId, seq: u64) -> Result<Option<Event>, FoldError>;

    /// All tasks and agents of which an author has events before an index, and perhaps more.
    ///
    /// # Errors
    /// [`FoldError`].
    fn aggregates_of(
        &self,
        author: &AuthorId,
        before: u64,
    ) -> Result<BTreeSet<Aggregate>, FoldError>;
}

/// The events of an aggregate could not be read again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fold could not read events again: {0}")]
pub struct FoldError(pub String);

/// What became of an event that was given to the fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Applied {
    /// It was the last of its aggregate and changed (or was refused by) it.
    InOrder(Aggregate),
    /// It came late: its aggregate was folded anew.
    Refolded(Aggregate),
    /// No state depends on it.
    Nothing,
}

/// The state, and what is needed to go on folding.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Fold {
    state: SwarmState,
    last: BTreeMap<Aggregate, Place>,
    frontier: BTreeMap<AuthorId, u64>,
}

impl Fold {
    /// Before any event.
    #[must_use]
    pub fn new(swarm: SwarmId) -> Self {
        Self { state: SwarmState::new(swarm), last: BTreeMap::new(), frontier: BTreeMap::new() }
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> &SwarmState {
        &self.state
    }

    /// The greatest clock of the folded events that any state depends on.
    #[must_use]
    pub fn latest(&self) -> Hlc {
        self.last.values().map(|place| place.clock).max().unwrap_or_default()
    }

    /// How many events of each log were folded.
    #[must_use]
    pub fn frontier(&self) -> &BTreeMap<AuthorId, u64> {
        &self.frontier
    }

    /// Folds one event. The events of one log come by rising index; logs may come in any order.
    ///
    /// # Errors
    /// [`FoldError`] if an aggregate had to be folded anew and could not be read. The fold is then
    /// unusable.
    pub fn apply(&mut self, event: &Event, source: &dyn EventSource) -> Result<Applied, FoldError> {
        self.frontier.insert(event.author, event.header.seq + 1);
        let aggregate = Aggregate::of(event);
        let erased = self.state.erasures.at(&event.author, event.header.seq);
        if erased.is_some() && self.state.erasures.of(event).is_none() {
            // What an administrator erased before it was here is another event, or a protected one.
            let stale = self.refold_erasures(source)?;
            let folded = aggregate.filter(|own| *own == Aggregate::Erasures || stale.contains(own));
            self.refold_all(stale, source)?;
            if let Some(own) = folded {
                // With the others of its aggregate: it must not be folded twice.
                return Ok(Applied::Refolded(own));
            }
        }
        let Some(aggregate) = aggregate else {
            return Ok(Applied::Nothing);
        };
        let place = Place::of(event);
        let last = self.last.entry(aggregate).or_insert(place);
        let in_order = *last <= place;
        *last = place.max(*last);
        let before = (aggregate == Aggregate::Members).then(|| self.state.members.clone());
        if aggregate == Aggregate::Erasures {
            let stale =
                if in_order { self.erase(event, source)? } else { self.refold_erasures(source)? };
            self.refold_all(stale, source)?;
        } else if in_order {
            self.state.fold(aggregate, event);
        } else {
            self.refold(aggregate, source)?;
        }
        if let Some(before) = before {
            if in_order && !(before.is_uncut() && self.state.members.is_uncut()) {
                // What an administrator says behind a fork of its log does not count, wherever it
                // stands in the order; nor does what follows from it. Only the whole set tells.
                self.refold(aggregate, source)?;
            }
            self.refold_changed(&before, source)?;
        }
        Ok(if in_order { Applied::InOrder(aggregate) } else { Applied::Refolded(aggregate) })
    }

    fn refold(&mut self, aggregate: Aggregate, source: &dyn EventSource) -> Result<(), FoldError> {
        self.state.clear(aggregate);
        self.last.remove(&aggregate);
        self.fold_all(aggregate, source)?;
        if aggregate == Aggregate::Members { self.cut_administrators(source) } else { Ok(()) }
    }

    /// A fork of an administrator's log takes out what it said from there on, wherever that stands
    /// in the order. A cut once found stays, so that this ends and depends on the events alone.
    fn cut_administrators(&mut self, source: &dyn EventSource) -> Result<(), FoldError> {
        loop {
            let (found, cuts) = self.state.members.cuts();
            let mut next = cuts.clone();
            for (author, index) in found {
                next.entry(author).and_modify(|cut| *cut = index.min(*cut)).or_insert(index);
            }
            if next == *cuts {
                return Ok(());
            }
            self.state.members = Members::with_cuts(self.state.swarm, next);
            self.fold_all(Aggregate::Members, source)?;
        }
    }

    /// Folds all events of an aggregate that is empty.
    fn fold_all(
        &mut self,
        aggregate: Aggregate,
        source: &dyn EventSource,
    ) -> Result<(), FoldError> {
        for place in source.places(&aggregate)? {
            if place.seq >= self.frontier.get(&place.author).copied().unwrap_or(0) {
                continue;
            }
            let event = source.event(&place)?;
            match aggregate {
                Aggregate::Erasures => drop(self.erase(&event, source)?),
                _ => self.state.fold(aggregate, &event),
            }
            self.last.insert(aggregate, place);
        }
        Ok(())
    }

    fn refold_all(
        &mut self,
        stale: BTreeSet<Aggregate>,
        source: &dyn EventSource,
    ) -> Result<(), FoldError> {
        stale.into_iter().try_for_each(|aggregate| self.refold(aggregate, source))
    }

    /// Folds an erasure; gives the aggregate that is stale for it.
    fn erase(
        &mut self,
        event: &Event,
        source: &dyn EventSource,
    ) -> Result<BTreeSet<Aggregate>, FoldError> {
        let Some(Payload::PayloadErased(erased)) = event.payload() else {
            return Ok(BTreeSet::new());
        };
        let (author, seq) = (erased.author, erased.seq);
        let target = self.folded(&author, seq, source)?;
        let stands = self.state.members.stands(&author, seq);
        self.state.erase(event, target.as_ref().filter(|_| stands));
        let said = self.state.erasures.at(&author, seq).map(|erasure| erasure.said);
        let target = target.filter(|_| said == Some(event.id));
        Ok(target.as_ref().and_then(Aggregate::of).into_iter().collect())
    }

    fn folded(
        &self,
        author: &AuthorId,
        seq: u64,
        source: &dyn EventSource,
    ) -> Result<Option<Event>, FoldError> {
        if seq < self.frontier.get(author).copied().unwrap_or(0) {
            source.event_at(author, seq)
        } else {
            Ok(None)
        }
    }

    /// Folds all erasures anew; gives the aggregates that are stale for what changed.
    fn refold_erasures(
        &mut self,
        source: &dyn EventSource,
    ) -> Result<BTreeSet<Aggregate>, FoldError> {
        let place = |(author, seq, erasure): (_, _, &Erasure)| (author, seq, erasure.event);
        let before: BTreeSet<_> = self.state.erasures.iter().map(place).collect();
        self.refold(Aggregate::Erasures, source)?;
        let after: BTreeSet<_> = self.state.erasures.iter().map(place).collect();
        let mut stale = BTreeSet::new();
        for (author, seq, _) in before.symmetric_difference(&after) {
            let event = self.folded(author, *seq, source)?;
            stale.extend(event.as_ref().and_then(Aggregate::of));
        }
        stale.remove(&Aggregate::Members);
        stale.remove(&Aggregate::Erasures);
        Ok(stale)
    }

    /// Takes the end of a log back: only its first events are there any more. What the dropped
    /// ones were about is folded anew; the source does not have them any more.
    ///
    /// # Errors
    /// [`FoldError`]. The fold is then unusable.
    pub fn retract(
        &mut self,
        author: AuthorId,
        length: u64,
        about: &BTreeSet<Aggregate>,
        source: &dyn EventSource,
    ) -> Result<(), FoldError> {
        let before = self.state.members.clone();
        match self.frontier.get_mut(&author) {
            Some(folded) if *folded > length => *folded = length,
            _ => return Ok(()),
        }
        if length == 0 {
            self.frontier.remove(&author);
        }
        let mut about = about.clone();
        if about.remove(&Aggregate::Members) {
            self.refold(Aggregate::Members, source)?;
        }
        // What is erased is decided before what depends on it, also if only a target is gone.
        if about.remove(&Aggregate::Erasures) || self.last.contains_key(&Aggregate::Erasures) {
            about.extend(self.refold_erasures(source)?);
        }
        self.refold_all(about, source)?;
        self.refold_changed(&before, source)
    }

    /// When somebody's standing changed after events of theirs were folded, everything that they
    /// had spoken about is folded anew.
    fn refold_changed(
        &mut self,
        before: &Members,
        source: &dyn EventSource,
    ) -> Result<(), FoldError> {
        let after = &self.state.members;
        let (mut stale, mut changed) = (BTreeSet::new(), false);
        for author in before.members.keys().chain(after.members.keys()) {
            let folded = self.frontier.get(author).copied().unwrap_or(0);
            if folded > 0 && before.standing(author) != after.standing(author) {
                stale.extend(source.aggregates_of(author, folded)?);
                changed = true;
            }
        }
        stale.remove(&Aggregate::Members);
        stale.remove(&Aggregate::Erasures);
        // What is erased is decided first: the others depend on it.
        if changed && self.last.contains_key(&Aggregate::Erasures) {
            stale.extend(self.refold_erasures(source)?);
        }
        self.refold_all(stale, source)
    }

    /// The fold as bytes, for a cache: their hash, then the version and the fold.
    #[must_use]
    pub fn to_snapshot(&self) -> Vec<u8> {
        let fold = bincode::encode_to_vec((FOLD_VERSION, self), bincode::config::legacy())
            .expect("the fold has no type that cannot be encoded");
        [&snapshot_hash(&fold)[..], &fold].concat()
    }

    /// The fold of a snapshot; `None` if it is of another version or swarm, or damaged: the hash is
    /// compared before anything is decoded. A snapshot is a cache: without it, everything is
    /// folded anew.
    #[must_use]
    pub fn from_snapshot(bytes: &[u8], swarm: &SwarmId) -> Option<Self> {
        let (hash, bytes) = bytes.split_first_chunk::<32>()?;
        if *hash != snapshot_hash(bytes) {
            return None;
        }
        let config = bincode::config::legacy();
        let ((version, fold), read): ((u32, Self), usize) =
            bincode::decode_from_slice(bytes, config).ok()?;
        let ours = version == FOLD_VERSION && fold.state.swarm == *swarm && read == bytes.len();
        ours.then_some(fold)
    }
}

fn snapshot_hash(fold: &[u8]) -> [u8; 32] {
    blake3::derive_key("bzzz v1 snapshot", fold)
}
