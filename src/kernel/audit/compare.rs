//! What is compared once every log verifies by itself: causes, members, the state's digest, and
//! what nodes said of it in their checkpoints.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use super::archive::Archive;
use super::manifest::Manifest;
use super::report::{Failure, Finding, Report, Unchecked};
use super::rule::Rule;
use crate::kernel::event::kinds::{Checkpoint, Payload};
use crate::kernel::event::{Event, EventId, Hlc};
use crate::kernel::fold::{
    Epoch, EventSource, FOLD_VERSION, Fold, FoldError, Member, Place, Reason, Refusals, SwarmState,
    Task,
};
use crate::kernel::identity::AuthorId;

/// What the bundle says of its own state.
pub(super) struct Said<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) at: u64,
    /// Sorted by author, then by index.
    pub(super) checkpoints: &'a [Place],
}

/// Compares, and writes what it found into the report.
pub(super) fn compare<R: Read + Seek>(
    archive: &Archive<R>,
    said: &Said<'_>,
    report: &mut Report,
) -> Result<(), FoldError> {
    let swarm = said.manifest.swarm;
    let ids = archive.ids();
    let mut fold = Fold::new(swarm);
    let mut outside = 0;
    for place in archive.in_order() {
        let event = archive.event(&place)?;
        outside += causes(archive, &ids, &event, report);
        let _ = fold.apply(&event, archive)?;
    }
    if outside > 0 {
        let what = "causes that name events which are not in the bundle".to_owned();
        report.unchecked.push(Unchecked { kind: "causes", count: Some(outside), what });
    }
    let state = fold.state();
    for (author, member) in &state.members.members {
        // Nobody named an administrator, so that its node's name has to do.
        let agent = state.agents.get(author).filter(|_| member.administrator);
        let name = agent.map_or(&member.name, |agent| &agent.started.name);
        report.names.insert(*author, name.clone());
    }
    for log in &mut report.logs {
        log.name = report.names.get(&log.author).cloned();
    }
    report.checked.members = state.members.members.len() as u64;
    report.checked.tasks = state.tasks.len() as u64;
    standing(archive, state, said, report);
    digest(state, said, report);
    checkpoints(archive, state, said, report)?;
    refusals(state, report);
    for task in state.tasks.values() {
        for epoch in task.epochs.values() {
            claims(task, epoch, report);
        }
    }
    Ok(())
}

/// Checks an event's causes; returns how many name events that are not in the bundle.
fn causes<R>(
    archive: &Archive<R>,
    ids: &[(EventId, Hlc)],
    event: &Event,
    report: &mut Report,
) -> u64 {
    let mut outside = 0;
    for cause in &event.header.causes {
        match ids.binary_search_by_key(cause, |(id, _)| *id) {
            Err(_) => outside += 1,
            Ok(found) if ids[found].1 < event.header.clock => report.checked.causes += 1,
            Ok(_) => {
                let what = format!("the cause {} is not earlier than the event", cause.short());
                fail_at(archive, &Place::of(event), Rule::CauseOrder, what, report);
            }
        }
    }
    outside
}

fn fail_at<R>(archive: &Archive<R>, at: &Place, rule: Rule, what: String, report: &mut Report) {
    let offset = archive.entry(&at.author, at.seq).map_or(0, |entry| entry.at);
    let (author, index) = (Some(at.author), Some(at.seq));
    report.failures.push(Failure { rule, author, index, offset, what });
}

/// Checks that the authors of all logs, and the exporter, are members.
fn standing<R>(archive: &Archive<R>, state: &SwarmState, said: &Said<'_>, report: &mut Report) {
    let members = &state.members.members;
    for (author, length) in archive.lengths() {
        let member = members.get(&author);
        if let Some(index) = member.and_then(Member::forked_at).filter(|index| *index < length) {
            let behind = length - index;
            let what = format!("proven to fork at index {index}; events from it on: {behind}");
            report.findings.push(Finding { kind: "forked", author: Some(author), what });
        }
        match member.map(|member| member.revoked_at) {
            None => {
                let offset = archive.entry(&author, 0).map_or(0, |entry| entry.at);
                let what = "the author was never admitted to the swarm".to_owned();
                let (author, index) = (Some(author), Some(0));
                report.failures.push(Failure { rule: Rule::Member, author, index, offset, what });
            }
            Some(Some(stands)) if stands < length => {
                let behind = length - stands;
                let what = format!("revoked at length {stands}; events behind it: {behind}");
                report.findings.push(Finding { kind: "revoked", author: Some(author), what });
            }
            Some(_) => {}
        }
    }
    let exporter = said.manifest.exporter;
    match members.get(&exporter).map(|member| member.revoked_at) {
        None => report.failures.push(Failure {
            rule: Rule::ManifestExporter,
            author: Some(exporter),
            index: None,
            offset: said.at,
            what: "the exporter is no member, so that anybody may have cut the logs".to_owned(),
        }),
        Some(None) => {}
        Some(Some(_)) => {
            let what = "the exporter was revoked; it may have cut the logs".to_owned();
            report.findings.push(Finding { kind: "exporter", author: Some(exporter), what });
        }
    }
}

/// Compares the manifest's digest with that of a fresh fold.
fn digest(state: &SwarmState, said: &Said<'_>, report: &mut Report) {
    let fresh = state.digest();
    report.checked.digest = Some(fresh);
    report.checked.fold_version = Some(FOLD_VERSION);
    let manifest = said.manifest;
    if manifest.fold_version != FOLD_VERSION {
        let what = format!(
            "the manifest's state digest: it is of fold version {}, and this program has {}",
            manifest.fold_version, FOLD_VERSION
        );
        report.unchecked.push(Unchecked { kind: "digest", count: None, what });
    } else if manifest.digest != fresh {
        report.failures.push(Failure {
            rule: Rule::StateDigest,
            author: Some(manifest.exporter),
            index: None,
            offset: said.at,
            what: format!("the manifest has {}, and a fresh fold {fresh}", manifest.digest),
        });
    }
}

/// Compares every checkpoint with a fresh fold at its frontier. The checkpoints of one author are
/// folded one after the other, since what a node knows only grows.
fn checkpoints<R: Read + Seek>(
    archive: &Archive<R>,
    state: &SwarmState,
    said: &Said<'_>,
    report: &mut Report,
) -> Result<(), FoldError> {
    let mut not_checked = 0;
    for places in said.checkpoints.chunk_by(|a, b| a.author == b.author) {
        let mut fold = Fold::new(state.swarm);
        for place in places {
            let event = archive.event(place)?;
            let Some(Payload::Checkpoint(checkpoint)) = event.payload() else {
                continue;
            };
            let stands = state.members.stands(&place.author, place.seq);
            if !stands || !reach(archive, &mut fold, checkpoint)? {
                not_checked += 1;
                continue;
            }
            let fresh = fold.state().digest();
            if checkpoint.digest == fresh {
                report.checked.checkpoints += 1;
            } else {
                let what = format!("it has {}, and a fresh fold {fresh}", checkpoint.digest);
                fail_at(archive, place, Rule::CheckpointDigest, what, report);
            }
        }
    }
    if not_checked > 0 {
        let what = "checkpoints of other fold versions, of revoked authors, or of events that \
                    are not in the bundle"
            .to_owned();
        report.unchecked.push(Unchecked { kind: "checkpoints", count: Some(not_checked), what });
    }
    Ok(())
}

/// Folds on to a checkpoint's frontier; `false` if that cannot be: it is of another version, goes
/// beyond the bundle, or goes back behind the author's last checkpoint.
fn reach<R: Read + Seek>(
    archive: &Archive<R>,
    fold: &mut Fold,
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
    let mut new = Vec::new();
    for (author, length) in &frontier {
        let from = fold.frontier().get(author).copied().unwrap_or(0);
        new.extend((from..*length).filter_map(|seq| {
            let clock = archive.entry(author, seq)?.clock;
            Some(Place { clock, author: *author, seq })
        }));
    }
    new.sort_unstable();
    for place in new {
        let _ = fold.apply(&archive.event(&place)?, archive)?;
    }
    Ok(true)
}

/// Lists what the fold refused, by author and reason.
fn refusals(state: &SwarmState, report: &mut Report) {
    let mut total = 0;
    let mut by: BTreeMap<(AuthorId, Reason), u64> = BTreeMap::new();
    let mut count = |refusals: &Refusals| {
        total += refusals.count;
        for refusal in &refusals.first {
            *by.entry((refusal.author, refusal.reason)).or_default() += 1;
        }
    };
    count(&state.members.refusals);
    count(&state.repository_refusals);
    state.agent_refusals.values().for_each(&mut count);
    state.tasks.values().for_each(|task| count(&task.refusals));
    report.checked.refused = total;
    let listed: u64 = by.values().sum();
    for ((author, reason), count) in by {
        let what = format!("refused {count} times by the fold: {reason}");
        report.findings.push(Finding { kind: "refused", author: Some(author), what });
    }
    if total > listed {
        let what = format!("refused {} times more by the fold", total - listed);
        report.findings.push(Finding { kind: "refused", author: None, what });
    }
}

/// Reports an epoch that two say they won, or whose claim in the ref was seen to be another's.
fn claims(task: &Task, epoch: &Epoch, report: &mut Report) {
    let Some(winner) = epoch.winner.as_ref().map(|win| win.author) else {
        return;
    };
    let name = |author: &AuthorId| match report.names.get(author) {
        Some(name) => format!("{name} ({})", author.short()),
        None => author.short(),
    };
    let mut found = Vec::new();
    let place = format!("{}, epoch {}", task.name(), epoch.number);
    for other in &epoch.contested {
        let what = format!("{place}: {} and {} both say they won it", name(&winner), name(other));
        found.push(("contested", *other, what));
    }
    for (holder, seers) in epoch.seen.iter().filter(|(holder, _)| **holder != winner) {
        let what = format!(
            "{place}: {} says it won, and {} saw the claim of {} in the ref",
            name(&winner),
            seers.iter().map(&name).collect::<Vec<_>>().join(", "),
            name(holder)
        );
        found.push(("witness", winner, what));
    }
    for (kind, author, what) in found {
        report.findings.push(Finding { kind, author: Some(author), what });
    }
}
