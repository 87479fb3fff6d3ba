//! What a task wants of whoever takes it: how urgent it is, what kind of work it is, and what a
//! node has to be capable of. `docs/github.md` has the words.
//!
//! All of it is read from the folded issue (labels and text), which anybody may have written: it
//! can keep a task from nodes or put it before others, and nothing else.

use std::collections::BTreeSet;

use crate::kernel::event::kinds::cut;
use crate::kernel::fold::Task;

/// The most capabilities that a task may require. One that names more is left to nobody.
pub const MAX_REQUIRES: usize = 16;

/// The longest name of a capability, in bytes.
pub const MAX_CAPABILITY: usize = 128;

/// What the issue of a task asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// How urgent it is.
    pub priority: Priority,
    /// What kind of work it is, if a label says so.
    pub kind: Option<Kind>,
    /// What a node has to be capable of, in small letters. What is no name of a capability stands
    /// here as it was written, and no node has it.
    pub requires: BTreeSet<String>,
}

/// How urgent a task is. The greater one is done first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// When nothing else is to be done.
    Low,
    /// What no label says.
    #[default]
    Normal,
    /// Before others.
    High,
    /// Before all others.
    Critical,
}

/// What kind of work a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Closing a hole.
    Security,
    /// Repairing what is wrong.
    Bug,
    /// Adding what is missing.
    Feature,
    /// Making it faster or smaller.
    Performance,
    /// Writing tests.
    Test,
    /// Writing documentation.
    Docs,
    /// Changing the form and not what it does.
    Refactor,
    /// What keeps a project going.
    Chore,
}

impl Priority {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "critical" | "urgent" | "blocker" | "p0" => Self::Critical,
            "high" | "p1" => Self::High,
            "normal" | "medium" | "p2" => Self::Normal,
            "low" | "minor" | "p3" | "p4" => Self::Low,
            _ => return None,
        })
    }
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Bug => "bug",
            Self::Feature => "feature",
            Self::Performance => "performance",
            Self::Test => "test",
            Self::Docs => "docs",
            Self::Refactor => "refactor",
            Self::Chore => "chore",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "security" | "vulnerability" => Self::Security,
            "bug" | "fix" | "regression" => Self::Bug,
            "feature" | "enhancement" | "feature request" => Self::Feature,
            "performance" | "perf" => Self::Performance,
            "test" | "tests" | "testing" => Self::Test,
            "docs" | "documentation" => Self::Docs,
            "refactor" | "refactoring" | "cleanup" => Self::Refactor,
            "chore" | "maintenance" | "dependencies" => Self::Chore,
            _ => return None,
        })
    }
}

impl Wants {
    /// What a task wants. Of several priorities the highest counts, of several kinds the first in
    /// the order of [`Kind`].
    #[must_use]
    pub fn of(task: &Task) -> Self {
        Self::said(&task.labels, &task.body)
    }

    fn said(labels: &[String], body: &str) -> Self {
        let mut wants = Self::default();
        let (mut priority, mut kind) = (None, None);
        for label in labels {
            let label = label.trim().to_lowercase();
            let urgency = valued(&label, &["priority", "prio"], ":/=- ").unwrap_or(&label);
            let urgency = urgency.strip_suffix("priority").unwrap_or(urgency);
            priority = priority.max(Priority::named(urgency.trim_end_matches(['-', ' '])));
            let work = valued(&label, &["type", "kind"], ":/=- ").unwrap_or(&label);
            kind = [kind, Kind::named(work)].into_iter().flatten().min();
            if let Some(list) = valued(&label, &["requires", "needs"], ":/=") {
                wants.require(list);
            }
        }
        wants.priority = priority.unwrap_or_default();
        wants.kind = kind;
        wants.read(body);
        wants
    }

    /// What a node with these capabilities lacks for the task; nothing if it may take it.
    #[must_use]
    pub fn missing(&self, capabilities: &[String]) -> Vec<&str> {
        let has =
            |needed: &&String| capabilities.iter().any(|one| one.eq_ignore_ascii_case(needed));
        let lacks = self.requires.iter().filter(|needed| !(is_capability(needed) && has(needed)));
        lacks.map(String::as_str).collect()
    }

    /// Reads the requirements of an issue's text: lines `Requires: a, b`, and what stands below a
    /// heading `Requirements`. Code and comments are left out.
    fn read(&mut self, body: &str) {
        let (mut below, mut skips) = (false, None);
        for line in body.lines() {
            let text = line.trim();
            if let Some(end) = skips {
                if text.contains(end) {
                    skips = None;
                }
                continue;
            }
            skips = skipped(text);
            if skips.is_some() || line.starts_with("    ") || line.starts_with('\t') {
                continue;
            }
            if text.starts_with('#') {
                let title = text.trim_matches(['#', ' ', ':', '*']).to_lowercase();
                below = matches!(title.as_str(), "requirements" | "requires");
            } else if let Some(list) = after_name(item(text)) {
                self.require(list);
            } else if below && item(text).split(',').all(|one| is_capability(bare(one))) {
                // Anything else below that heading is prose: for people and the model.
                self.require(item(text));
            }
        }
    }

    /// Takes in a list with commas between its entries.
    fn require(&mut self, list: &str) {
        for needed in list.split(',').map(|written| bare(written).to_lowercase()) {
            if matches!(needed.as_str(), "" | "none" | "n/a") || self.requires.contains(&needed) {
                continue;
            }
            self.requires.insert(match needed.len() {
                _ if self.requires.len() >= MAX_REQUIRES => {
                    format!("more than {MAX_REQUIRES} capabilities")
                }
                0..=MAX_CAPABILITY => needed,
                _ => format!("{} (cut)", cut(&needed, MAX_CAPABILITY)),
            });
        }
    }
}

/// What follows one of the names and a sign in a label.
fn valued<'a>(label: &'a str, names: &[&str], signs: &str) -> Option<&'a str> {
    let is_sign = |c: char| signs.contains(c);
    let mut rests = names.iter().filter_map(|name| label.strip_prefix(name));
    let rest = rests.find(|rest| rest.starts_with(is_sign))?;
    Some(rest.trim_matches(|c: char| is_sign(c) || c == ' '))
}

/// What ends the part of a text that begins with this line and is not read.
fn skipped(text: &str) -> Option<&'static str> {
    let marks = [("```", "```"), ("~~~", "~~~"), ("<!--", "-->")];
    let begins = |(begin, end): &&(&str, &str)| {
        text.strip_prefix(begin).is_some_and(|rest| !rest.contains(end))
    };
    marks.iter().find(begins).map(|(_, end)| *end)
}

/// The text of a list's entry, or of any other line.
fn item(text: &str) -> &str {
    let entry = ["- ", "* ", "+ "].iter().find_map(|mark| text.strip_prefix(mark));
    let entry = entry.unwrap_or(text).trim_start();
    let boxes = ["[ ] ", "[x] ", "[X] "];
    boxes.iter().find_map(|empty| entry.strip_prefix(empty)).unwrap_or(entry)
}

/// What follows `Requires:`, which may be bold.
fn after_name(text: &str) -> Option<&str> {
    let (name, rest) = text.split_once(':')?;
    let named = name.trim_matches(['*', '_', ' ']).eq_ignore_ascii_case("requires");
    named.then(|| rest.trim_start_matches(['*', '_', ' ']))
}

/// A name without what people set around it.
fn bare(written: &str) -> &str {
    written.trim().trim_end_matches('.').trim_matches('`')
}

/// Whether a text has the form of a capability, as `agent.capabilities` takes them.
fn is_capability(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-+:/@".contains(c);
    text.len() <= MAX_CAPABILITY
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(labels: &[&str], body: &str) -> Wants {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        Wants::said(&labels, body)
    }

    fn requires(body: &str) -> Vec<String> {
        wants(&[], body).requires.into_iter().collect()
    }

    #[test]
    fn labels_say_how_urgent_it_is() {
        use Priority::{Critical, High, Low, Normal};
        for (given, then) in [
            (&[][..], Normal),
            (&["bzzz-task", "bug", "priority", "p", "p5", "highlight"], Normal),
            (&["priority: high"], High),
            (&["priority/high"], High),
            (&["Priority-High"], High),
            (&["PRIO = P1"], High),
            (&["priority critical"], Critical),
            (&["high priority"], High),
            (&["low-priority"], Low),
            (&["P0"], Critical),
            (&["urgent"], Critical),
            (&["P2"], Normal),
            (&["p3"], Low),
            (&["priority: whenever"], Normal),
            (&["low", "p1", "medium"], High),
        ] {
            assert_eq!(wants(given, "").priority, then, "{given:?}");
        }
        assert!(Low < Normal && Normal < High && High < Critical);
    }

    #[test]
    fn labels_say_what_kind_of_work_it_is() {
        for (given, then) in [
            (&[][..], None),
            (&["bzzz-task", "priority: bug", "debug"], None),
            (&["Bug"], Some(Kind::Bug)),
            (&["kind/bug"], Some(Kind::Bug)),
            (&["type: enhancement"], Some(Kind::Feature)),
            (&["documentation"], Some(Kind::Docs)),
            (&["docs", "tests"], Some(Kind::Test)),
            (&["tests", "docs", "security"], Some(Kind::Security)),
        ] {
            assert_eq!(wants(given, "").kind, then, "{given:?}");
        }
    }

    #[test]
    fn text_and_labels_say_what_a_node_needs() {
        for (given, then) in [
            ("", &[][..]),
            ("It requires: patience.\nThis Requires: nothing of it", &[]),
            ("Requires: rust, docker", &["docker", "rust"]),
            ("requires:Rust,,`docker`.\r\nMore.", &["docker", "rust"]),
            ("- **Requires:** rust\n* __Requires__: gpu:80g", &["gpu:80g", "rust"]),
            ("Requires: none", &[]),
            ("Requires: rust and docker", &["rust and docker"]),
            (
                "## Requirements\n\n- rust\n- [x] `docker`\n\nIt must be fast.\n",
                &["docker", "rust"],
            ),
            ("### Requirements:\n\nrust, docker\n\n### Else\n\nperl", &["docker", "rust"]),
            ("### Requires\n\n_No response_\n- None\n- a user can log in", &[]),
            ("- rust\n# Requirements of a user\n- speed", &[]),
            ("```\nRequires: libc6\n```\nRequires: rust", &["rust"]),
            ("~~~ spec\nRequires: libc6\n```\n", &[]),
            ("```one``` line\nRequires: rust", &["rust"]),
            ("<!-- say it like this:\nRequires: gpu\n-->\n<!-- so -->\nRequires: rust", &["rust"]),
            ("    Requires: code\n\tRequires: code\n> Requires: a quotation", &[]),
        ] {
            assert_eq!(requires(given), then, "{given:?}");
        }
        let labels = ["needs: gpu", "Requires/Rust", "needs-help", "needs review", "requires: "];
        let both = wants(&labels, "Requires: docker").requires;
        assert_eq!(both.into_iter().collect::<Vec<_>>(), ["docker", "gpu", "rust"]);
    }

    #[test]
    fn a_node_may_take_what_it_lacks_nothing_for() {
        let words =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (given, when, then) in [
            ("", &[][..], &[][..]),
            ("", &["rust"], &[]),
            ("Requires: rust", &[], &["rust"]),
            ("Requires: rust, docker", &["Rust", "perl"], &["docker"]),
            ("Requires: rust, docker", &["docker", "rust"], &[]),
            ("Requires: rust and docker", &["rust", "docker"], &["rust and docker"]),
            ("Requires: rust and docker", &["rust and docker"], &["rust and docker"]),
        ] {
            let wants = wants(&[], given);
            assert_eq!(wants.missing(&words(when)), then, "{given:?}, {when:?}");
        }
    }

    #[test]
    fn too_much_is_left_to_nobody() {
        let all: Vec<String> = (0..=MAX_REQUIRES).map(|n| format!("c{n}")).collect();
        let fits = requires(&format!("Requires: {}", all[..MAX_REQUIRES].join(",")));
        assert_eq!(fits.len(), MAX_REQUIRES);
        let wants = wants(&[], &format!("Requires: {0}\nRequires: {0}, d, e", all.join(", ")));
        assert_eq!(wants.requires.len(), MAX_REQUIRES + 1);
        assert_eq!(wants.missing(&all), ["more than 16 capabilities"]);
        let long = "x".repeat(MAX_CAPABILITY);
        assert_eq!(requires(&format!("Requires: {long}")), std::slice::from_ref(&long));
        assert_eq!(requires(&format!("Requires: {long}y")), [format!("{long} (cut)")]);
    }
}
