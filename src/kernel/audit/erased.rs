//! Payloads that are not there: erased, by whom and why, or lost.

use std::collections::BTreeMap;

use super::archive::Archive;
use super::examine::Noted;
use super::input::Records;
use super::report::{Erased, Finding, Lost, Report, Unchecked};
use crate::kernel::event::kinds::{Payload, PayloadErased};
use crate::kernel::event::{Body, Event};
use crate::kernel::fold::{EventSource, FoldError, Place, SwarmState};
use crate::kernel::identity::AuthorId;

/// Reports what was erased by an event, what should be and is there, and what is lost.
pub(super) fn report<R: Records>(
    archive: &Archive<R>,
    state: &SwarmState,
    noted: &Noted,
    report: &mut Report,
) -> Result<(), FoldError> {
    let mut erased: BTreeMap<(AuthorId, u64), (Place, PayloadErased)> = BTreeMap::new();
    for place in &noted.evidence {
        if let Some(Payload::PayloadErased(what)) = archive.event(place)?.payload() {
            if may_erase(state, place, what) {
                let at = (what.author, what.seq);
                erased.entry(at).or_insert_with(|| (*place, what.clone()));
            } else {
                let kind = "erasure";
                let author = Some(place.author);
                let what = format!(
                    "its event {} asks to erase one of {}, and it may not",
                    place.seq,
                    what.author.short()
                );
                report.findings.push(Finding { kind, author, what });
            }
        }
    }
    for place in &noted.absent {
        let event = archive.event(place)?;
        let at = (place.author, place.seq);
        match erased.remove(&at).filter(|(_, erased)| erased.event == event.id) {
            Some((by, erased)) => report.erased.push(Erased {
                author: place.author,
                index: place.seq,
                event: event.id,
                by: by.author,
                reason: erased.reason,
            }),
            None => {
                let (author, index) = at;
                report.lost.push(Lost { author, index, event: event.id });
            }
        }
    }
    if report.lost.count > 0 {
        let what = "events whose payload is not here and that no event erased: withheld or lost";
        let (count, what) = (Some(report.lost.count), what.to_owned());
        report.unchecked.push(Unchecked { kind: "absent", count, what });
    }
    for (at, (by, erased)) in &erased {
        let Some(clock) = archive.clock(&at.0, at.1) else {
            continue;
        };
        let Event { id, body, .. } = archive.event(&Place { clock, author: at.0, seq: at.1 })?;
        if id == erased.event && body != Body::Absent {
            let what = format!(
                "the payload of its event {} is here, and {} erased it",
                at.1,
                by.author.short()
            );
            report.findings.push(Finding { kind: "kept", author: Some(at.0), what });
        }
    }
    Ok(())
}

/// An author erases its own events, and an administrator erases any.
fn may_erase(state: &SwarmState, by: &Place, erased: &PayloadErased) -> bool {
    let members = &state.members;
    let administrator = members.members.get(&by.author).is_some_and(|m| m.administrator);
    members.stands(&by.author, by.seq) && (administrator || by.author == erased.author)
}
