//! What a verification passed over, and what none can check.

use std::collections::BTreeMap;

use super::report::Unchecked;

/// What was passed over, counted.
#[derive(Default)]
pub(super) struct Skipped {
    pub(super) ranges: u64,
    /// Whether there were too many logs.
    pub(super) logs: bool,
    pub(super) kinds: BTreeMap<u16, u64>,
    pub(super) formats: u64,
    pub(super) malformed: u64,
}

impl Skipped {
    /// What no verifier of a bundle can check, and what this one passed over.
    pub(super) fn unchecked(&self) -> Vec<Unchecked> {
        let mut all: Vec<Unchecked> = NEVER_CHECKED
            .iter()
            .map(|(kind, what)| Unchecked { kind, count: None, what: (*what).to_owned() })
            .collect();
        let mut counted = |kind, count, what: String| {
            if count > 0 {
                all.push(Unchecked { kind, count: Some(count), what });
            }
        };
        counted(
            "ranges",
            self.ranges,
            "ranges behind the first failure of their log, or of too many logs".to_owned(),
        );
        counted("formats", self.formats, "events of formats that this program skips".to_owned());
        let kinds: Vec<String> = self.kinds.keys().take(16).map(u16::to_string).collect();
        let what = format!("events of kinds that this program does not know: {}", kinds.join(", "));
        counted("kinds", self.kinds.values().sum(), what);
        let what = "events whose payload is not of their kind; the fold skips them";
        counted("malformed", self.malformed, what.to_owned());
        all
    }
}

/// What a bundle cannot show, whatever is in it.
const NEVER_CHECKED: &[(&str, &str)] = &[
    ("truth", "whether outputs, answers and reports are true; a log shows who said what, when"),
    ("time", "whether clocks told the right time; only their order was checked"),
    ("claims", "the claim refs; without the repositories, a claim is its author's word"),
    ("complete", "whether there are later events, or logs that the exporter did not have"),
    ("forks", "whether an author signed another log elsewhere"),
];
