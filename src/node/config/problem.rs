//! What can be wrong with a configuration, and where a value comes from.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Where a value of the configuration comes from. A later one overrides an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum Origin {
    /// Nobody set the key.
    Default,
    /// The file.
    File {
        /// The key's line, counted from 1.
        line: u32,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// A flag of the command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => write!(f, "default"),
            Origin::File { line } => write!(f, "file, line {line}"),
            Origin::Environment { variable } => write!(f, "environment, {variable}"),
            Origin::Flag => write!(f, "flag"),
        }
    }
}

/// Where a problem is. The order is the order of the report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "in", rename_all = "lowercase")]
pub enum Place {
    /// In the file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1; `None` if the whole file is meant.
        line: Option<u32>,
    },
    /// In an environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// In a flag of the command line.
    Flag,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Place::File { path, line: None } => write!(f, "{}", path.display()),
            Place::Environment { variable } => write!(f, "environment variable {variable}"),
            Place::Flag => write!(f, "command line"),
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// The key in question, with its section, as in `agent.max_tasks`; empty if no key is meant.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// A configuration that cannot be used: everything that is wrong with it, a line of text each, in
/// the order of the file, then the environment, then the command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct ConfigError {
    /// What is wrong; never empty.
    pub problems: Vec<Problem>,
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// What is wrong with a value, without saying where the value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// The longest piece of somebody's text that a message repeats, in characters.
const MAX_QUOTED: usize = 60;

/// A piece of somebody's text, fit for a terminal: bounded, and control characters escaped.
pub(super) fn quoted(text: &str) -> String {
    let mut out: String = text.chars().take(MAX_QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        out.push_str("...");
    }
    out
}

/// The one of `known` that `word` most likely was meant to be.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words are never a slip of one of our keys, and the distance costs length times length.
    if word.len() > MAX_QUOTED {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    known
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).clamp(1, 3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be added, dropped, changed or swapped to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = vec![];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_one_slip_away_and_no_other() {
        let known = ["max_tasks", "labels", "lease_seconds", "work"];
        for (word, expected) in [
            ("max_task", Some("max_tasks")),
            ("max-tasks", Some("max_tasks")),
            ("lable", Some("labels")),
            ("lables", Some("labels")),
            ("LEASE_SECOND", Some("lease_seconds")),
            ("wokr", Some("work")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), expected, "{word}");
        }
        assert_eq!(nearest(&"w".repeat(10_000), known.into_iter()), None);
    }

    #[test]
    fn a_quoted_text_is_short_and_plain() {
        assert_eq!(quoted("a\u{1b}[2J"), "a\\u{1b}[2J");
        assert_eq!(quoted(&"x".repeat(100)), format!("{}...", "x".repeat(60)));
    }
}
