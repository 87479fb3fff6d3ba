//! What nodes said of their state, against a fresh fold at the same frontier.

use std::collections::BTreeMap;

use super::archive::Archive;
use super::compare::fail_at;
use super::input::Records;
use super::report::{Report, Unchecked};
use super::rule::Rule;
use crate::kernel::event::kinds::{Checkpoint, Payload};
use crate::kernel::event::{Body, Event};
use crate::kernel::fold::{EventSource, FOLD_VERSION, Fold, FoldError, Place, SwarmState};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::Hash;

/// Compares every checkpoint with a fresh fold at its frontier, and reports it.
pub(super) fn compare<R: Records>(
    archive: &Archive<R>,
    state: &SwarmState,
    checkpoints: &[Place],
    report: &mut Report,
) -> Result<Confirmed, FoldError> {
    let (found, not_checked) = walk(archive, state, checkpoints, |place, what| {
        fail_at(archive, place, Rule::CheckpointDigest, what, report);
    })?;
    report.checked.checkpoints = found.confirmed;
    if not_checked > 0 {
        let what = "checkpoints of other fold versions, of revoked authors, or of events that \
                    are not in the bundle or were erased later"
            .to_owned();
        report.unchecked.push(Unchecked { kind: "checkpoints", count: Some(not_checked), what });
    }
    Ok(found)
}

/// Compares the checkpoints of what verifies of a bundle. 48 bytes are kept for each.
///
/// # Errors
/// [`FoldError`] if an event could not be read again.
pub fn confirm<R: Records>(
    archive: &Archive<R>,
    state: &SwarmState,
) -> Result<Confirmed, FoldError> {
    let mut places = Vec::new();
    for event in archive.events() {
        let event = event?;
        if matches!(event.payload(), Some(Payload::Checkpoint(_))) {
            places.push(Place::of(&event));
        }
    }
    places.sort_unstable_by_key(|place| (place.author, place.seq));
    Ok(walk(archive, state, &places, |_, _| ())?.0)
}

/// The checkpoints of one author are folded one after the other, since what a node knows only
/// grows; one state is kept at a time. Says which are wrong, and counts what can't be checked.
fn walk<R: Records>(
    archive: &Archive<R>,
    state: &SwarmState,
    checkpoints: &[Place],
    mut wrong: impl FnMut(&Place, String),
) -> Result<(Confirmed, u64), FoldError> {
    let (mut found, mut not_checked) = (Confirmed::default(), 0);
    for places in checkpoints.chunk_by(|a, b| a.author == b.author) {
        let (mut fold, mut absent) = (Fold::new(state.swarm), Vec::new());
        for place in places {
            let event = archive.event(place)?;
            let Some(Payload::Checkpoint(checkpoint)) = event.payload() else {
                continue;
            };
            let (fold_version, said) = (checkpoint.fold_version, checkpoint.digest);
            let stands = state.members.stands(&place.author, place.seq);
            if stands && fold_version != FOLD_VERSION {
                let event = event.clone();
                let other = Unconfirmed { event, fold_version, said, fresh: None };
                keep_first(&mut found.other_version, other);
            }
            if !stands || !reach(archive, &mut fold, &mut absent, checkpoint)? {
                not_checked += 1;
                continue;
            }
            let fresh = fold.state().digest();
            if said == fresh {
                found.confirmed += 1;
                continue;
            }
            wrong(place, format!("it has {said}, and a fresh fold {fresh}"));
            let differs = Unconfirmed { event, fold_version, said, fresh: Some(fresh) };
            keep_first(&mut found.wrong, differs);
        }
    }
    Ok((found, not_checked))
}

/// Folds on to a checkpoint's frontier; `false` if that cannot be: it is of another version, goes
/// beyond the bundle, goes back behind the author's last checkpoint, or covers events whose
/// payloads are `absent` without being erased at that frontier.
fn reach<R: Records>(
    archive: &Archive<R>,
    fold: &mut Fold,
    absent: &mut Vec<Event>,
    checkpoint: &Checkpoint,
) -> Result<bool, FoldError> {
    let frontier: BTreeMap<AuthorId, u64> =
        checkpoint.frontier.iter().map(|log| (log.author, log.length)).collect();
    let lengths = archive.lengths();
    let inside = |(author, length): (&AuthorId, &u64)| {
        *length == 0 || lengths.get(author).is_some_and(|have| length <= have)
    };
    let behind =
        |(author, length): (&AuthorId, &u64)| frontier.get(author).is_none_or(|next| next < length);
    let possible = checkpoint.fold_version == FOLD_VERSION
        && frontier.len() == checkpoint.frontier.len()
        && frontier.iter().all(inside)
        && !fold.frontier().iter().any(behind);
    if !possible {
        return Ok(false);
    }
    for event in archive.between(fold.frontier().clone(), frontier) {
        let event = event?;
        let _ = fold.apply(&event, archive)?;
        absent.extend(Some(event).filter(|event| event.body == Body::Absent));
    }
    absent.retain(|event| fold.state().erasures.of(event).is_none());
    Ok(absent.is_empty())
}

/// A checkpoint that a fresh fold does not confirm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    /// The event.
    pub event: Event,
    /// The version of the fold that it is of.
    pub fold_version: u32,
    /// The digest that it has.
    pub said: Hash,
    /// That of a fresh fold at its frontier; none if it is of another version.
    pub fresh: Option<Hash>,
}

/// What nodes said of their states, and what a fresh fold says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirmed {
    /// How many a fresh fold confirms.
    pub confirmed: u64,
    /// The first in the total order that has another digest.
    pub wrong: Option<Unconfirmed>,
    /// The first in the total order that is of another version of the fold.
    pub other_version: Option<Unconfirmed>,
}

fn keep_first(kept: &mut Option<Unconfirmed>, next: Unconfirmed) {
    let later = |first: &Unconfirmed| Place::of(&next.event) < Place::of(&first.event);
    if kept.as_ref().is_none_or(later) {
        *kept = Some(next);
    }
}
