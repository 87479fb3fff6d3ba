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
        let event = archive.event(place)?;
        if let Some(Payload::PayloadErased(what)) = event.payload() {
            let at = (what.author, what.seq);
            match state.erasures.at(&at.0, at.1) {
                Some(erasure) if erasure.said == event.id => {
                    erased.insert(at, (*place, what.clone()));
                }
                // It says again what counts already.
                Some(erasure) if erasure.event == what.event => {}
                _ => report.findings.push(refused(place, what)),
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
        let Some(Event { id, body, .. }) = archive.event_at(&at.0, at.1)? else {
            continue;
        };
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

/// The fold decides which erasures count: of members that stand, of nothing that is protected.
fn refused(by: &Place, what: &PayloadErased) -> Finding {
    let (index, other) = (by.seq, what.author.short());
    let what = format!("its event {index} asks to erase one of {other}, and it may not");
    Finding { kind: "erasure", author: Some(by.author), what }
}
