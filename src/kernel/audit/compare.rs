//! What is compared once every log verifies by itself: causes, members, claims, witnesses,
//! erasures, the state's digest, and what nodes said of it in their checkpoints.

use std::collections::BTreeMap;

use super::archive::Archive;
use super::causes::Causes;
use super::checkpoints::Confirmed;
use super::examine::Noted;
use super::input::Records;
use super::manifest::Manifest;
use super::policy::Policy;
use super::report::{Failure, Finding, Report, Unchecked};
use super::rule::Rule;
use super::tlog::Checkpoints;
use super::witness::Witnesses;
use super::{checkpoints, claims, erased};
use crate::kernel::event::Event;
use crate::kernel::fold::{
    FOLD_VERSION, Fold, FoldError, Member, Place, Reason, Refusals, SwarmState,
};
use crate::kernel::identity::{AuthorId, SwarmId};

/// What a bundle says of its own state.
pub(super) struct Said {
    pub(super) manifest: Manifest,
    pub(super) at: u64,
}

/// What is left to compare once all logs verify by themselves.
pub struct Rest {
    pub(super) said: Option<Said>,
    pub(super) swarm: SwarmId,
    /// Places sorted by author, then by index.
    pub(super) noted: Noted,
    pub(super) causes: Causes,
    pub(super) policy: Option<Policy>,
    pub(super) checkpoints: Checkpoints,
}

impl Rest {
    /// Compares, and writes what it found into the report; gives what became of the checkpoints.
    /// The events are those of the archive, in their total order; whoever has several threads
    /// reads them ahead.
    ///
    /// # Errors
    /// [`FoldError`] if an event could not be read again.
    pub fn compare<R: Records>(
        self,
        archive: &Archive<R>,
        events: &mut dyn Iterator<Item = Result<Event, FoldError>>,
        report: &mut Report,
    ) -> Result<Confirmed, FoldError> {
        let mut witnesses = Witnesses::read(archive, &self.swarm, &self.noted.evidence)?;
        let mut causes = self.causes;
        causes.sort();
        let mut fold = Fold::new(self.swarm);
        for event in events {
            let event = event?;
            causes.pass(&event);
            witnesses.pass(&event);
            let _ = fold.apply(&event, archive)?;
        }
        causes.finish(archive, report)?;
        let state = fold.state();
        names(state, report);
        report.checked.members = state.members.members.len() as u64;
        report.checked.tasks = state.tasks.len() as u64;
        standing(archive, state, self.said.as_ref(), report);
        digest(state, self.said.as_ref(), report);
        let confirmed = checkpoints::compare(archive, state, &self.noted.checkpoints, report)?;
        refusals(state, report);
        claims::report(state, report);
        let policy = self.policy.as_ref().map(|policy| (policy, &self.checkpoints));
        witnesses.report(archive, state, policy, report)?;
        erased::report(archive, state, &self.noted, report)?;
        Ok(confirmed)
    }
}

fn names(state: &SwarmState, report: &mut Report) {
    for (author, member) in &state.members.members {
        // Nobody named an administrator, so that its node's name has to do.
        let agent = state.agents.get(author).filter(|_| member.administrator);
        let name = agent.map_or(&member.name, |agent| &agent.started.name);
        report.names.insert(*author, name.clone());
    }
    for log in &mut report.logs {
        log.name = report.names.get(&log.author).cloned();
        let member = state.members.members.get(&log.author);
        log.successor = member.and_then(|member| member.successor);
    }
}

/// Adds a failure of an event.
pub(super) fn fail_at<R: Records>(
    archive: &Archive<R>,
    at: &Place,
    rule: Rule,
    what: String,
    report: &mut Report,
) {
    let offset = archive.offset(&at.author, at.seq);
    let (author, index) = (Some(at.author), Some(at.seq));
    report.failures.push(Failure { rule, author, index, offset, what });
}

/// Checks that the authors of all logs, and the exporter, are members.
fn standing<R: Records>(
    archive: &Archive<R>,
    state: &SwarmState,
    said: Option<&Said>,
    report: &mut Report,
) {
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
                let offset = archive.offset(&author, 0);
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
    let Some(said) = said else {
        return;
    };
    let exporter = said.manifest.exporter;
    match members.get(&exporter).map(|member| member.revoked_at) {
        None => report.failures.push(Failure {
            rule: Rule::ManifestExporter,
            author: Some(exporter),
            index: None,
            offset: Some(said.at),
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
fn digest(state: &SwarmState, said: Option<&Said>, report: &mut Report) {
    let fresh = state.digest();
    report.checked.digest = Some(fresh);
    report.checked.fold_version = Some(FOLD_VERSION);
    let Some(Said { manifest, at }) = said else {
        return;
    };
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
            offset: Some(*at),
            what: format!("the manifest has {}, and a fresh fold {fresh}", manifest.digest),
        });
    }
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
    count(&state.erasures.refusals);
    state.agent_refusals.values().for_each(&mut count);
    state.tasks.values().for_each(|task| count(&task.refusals));
    state.sessions.values().for_each(|session| count(&session.refusals));
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
