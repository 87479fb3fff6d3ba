//! What is checked of a bundle as a whole, most of it once its last part was read.

use std::collections::BTreeMap;

use super::manifest::MAX_BUNDLE_LOGS;
use super::report::{Checked, Counted, LogReport, Report};
use super::rule::Rule;
use super::verify::Verifier;
use crate::kernel::identity::AuthorId;

impl Verifier {
    /// The founding event must be there, if the logs could be read to their end.
    pub(super) fn founded(&mut self) {
        if self.swarm.is_some() && self.founding.is_none() {
            let what = "no log begins with the event that the swarm's id commits to";
            self.fail(Rule::FoundingEvent, None, None, 13, &what);
        }
    }

    /// The manifest must name what there is, and there must be what it names.
    pub(super) fn covered(&mut self) {
        let Some((manifest, at)) = self.manifest.take() else {
            return;
        };
        let mut wrong = Vec::new();
        let mut named = BTreeMap::new();
        for end in &manifest.logs {
            named.insert(end.author, end);
            match self.logs.get(&end.author) {
                Some(log) if log.broken => {}
                Some(log) if log.tip.length() == end.length && log.tip.root() == end.root => {}
                found => {
                    let length = found.map_or(0, |log| log.tip.length());
                    let what = format!(
                        "the manifest names {} records and the root {}; the bundle has {length}",
                        end.length,
                        end.root.short()
                    );
                    wrong.push((end.author, length.min(end.length), what));
                }
            }
        }
        for (author, log) in &self.logs {
            if !named.contains_key(author) && !log.broken {
                wrong.push((*author, 0, "the manifest does not name the log".to_owned()));
            }
        }
        for (author, index, what) in wrong {
            self.fail(Rule::ManifestFrontier, Some(author), Some(index), at, &what);
        }
        let sum: u128 = manifest.logs.iter().map(|log| u128::from(log.length)).sum();
        if sum != u128::from(manifest.events) {
            let what = format!("the manifest counts {} events in {sum}", manifest.events);
            self.fail(Rule::ManifestEvents, Some(manifest.exporter), None, at, &what);
        }
        self.manifest = Some((manifest, at));
    }

    /// Every pinned head must be inside its log.
    pub(super) fn pinned(&mut self) {
        let mut wrong = Vec::new();
        for (author, pins) in self.expect.pins.all() {
            let log = self.logs.get(author);
            let length = log.map_or(0, |log| log.tip.length());
            let broken = log.is_some_and(|log| log.broken);
            let beyond = pins.iter().filter(|(pinned, _)| *pinned > length && !broken);
            wrong.extend(beyond.map(|(pinned, _)| (*author, length, *pinned)));
        }
        for (author, length, pinned) in wrong {
            let what = format!(
                "elsewhere it had {pinned} records, and here it has {length}: older, or cut"
            );
            self.fail(Rule::Pin, Some(author), Some(length), 0, &what);
        }
    }

    /// Passes over the logs behind the most that a manifest can name, so that what is remembered of
    /// each stays bounded.
    pub(super) fn too_many(&mut self, at: u64, bytes: &[u8]) -> bool {
        let author = bytes.first_chunk::<32>().map(|bytes| AuthorId(*bytes));
        let known = author.is_none_or(|author| self.logs.contains_key(&author));
        if known || self.logs.len() < MAX_BUNDLE_LOGS {
            return false;
        }
        if !self.skipped.logs {
            let what = format!("it is one of more than {MAX_BUNDLE_LOGS} logs");
            self.fail(Rule::ManifestFrontier, author, Some(0), at, &what);
        }
        self.skipped.logs = true;
        self.skipped.ranges += 1;
        true
    }

    /// What was found until now.
    pub(super) fn report(&mut self) -> Report {
        let logs = self.logs.iter().map(|(author, log)| LogReport {
            author: *author,
            name: None,
            verified: !log.broken,
            events: log.tip.length(),
            appends: log.appends,
            root: (log.tip.length() > 0).then(|| log.tip.root()),
            first: log.clocks.map(|(first, _)| first),
            last: log.clocks.map(|(_, last)| last),
        });
        Report {
            swarm: self.swarm,
            exporter: self.manifest.as_ref().map(|(manifest, _)| manifest.exporter),
            bytes: self.bytes,
            logs: logs.collect(),
            checked: Checked { founding: self.founding, ..Checked::default() },
            failures: std::mem::take(&mut self.failures),
            findings: Counted::default(),
            claims: Vec::new(),
            attested: Vec::new(),
            erased: Counted::default(),
            lost: Counted::default(),
            unchecked: self.skipped.unchecked(),
            names: BTreeMap::new(),
        }
    }
}
