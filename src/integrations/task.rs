//! What the adapters of task sources have in common: issues and pull requests in plain words,
//! whether they live in the files of a board or on GitHub.

use std::collections::BTreeSet;

pub use crate::kernel::agent::PullRead;
pub use crate::kernel::event::kinds::{CheckState, PullState, ReviewState};

/// The longest feedback of a pull request, in bytes.
pub const MAX_FEEDBACK: usize = 16 << 10;

/// The most issues that one issue may depend on.
pub const MAX_DEPENDENCIES: usize = 64;

/// Whether an issue is to be done, or a pull request to be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Still to be done.
    Open,
    /// Done, or not to be done.
    Closed,
}

/// What happens to an issue's assignee.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Assignment {
    /// It stays as it is.
    #[default]
    Keep,
    /// Nobody is assigned.
    Nobody,
    /// This one is assigned. On GitHub it is the token's own account, whatever the name.
    To(String),
}

/// What a node shows of a task on its issue. Repeating it changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projection {
    /// The new state, or none to leave it.
    pub state: Option<State>,
    /// The assignee.
    pub assignee: Assignment,
    /// Labels that it shall have.
    pub add_labels: Vec<String>,
    /// Labels that it shall not have.
    pub remove_labels: Vec<String>,
}

/// A pull request to be opened, or brought up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPull {
    /// The issue that it resolves.
    pub issue: u64,
    /// The branch: names the pull request.
    pub branch: String,
    /// The branch's commit.
    pub commit: String,
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// Who opens it.
    pub author: String,
}

/// An issue that another one depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// `OWNER/NAME`, in small letters; none for the same repository.
    pub repository: Option<String>,
    /// The number.
    pub number: u64,
}

/// The issues after "depends on" and "blocked by", in any case: `depends on #2, #3 and
/// owner/name#4`. Each once, in order, at most [`MAX_DEPENDENCIES`].
#[must_use]
pub fn references(body: &str) -> Vec<Reference> {
    let lower = body.to_ascii_lowercase();
    let mut found = BTreeSet::new();
    for phrase in ["depends on", "blocked by"] {
        for after in lower.split(phrase).skip(1) {
            let mut rest = after.trim_start_matches([':', ' ']);
            while let Some((reference, after)) = reference(rest) {
                found.insert(reference);
                rest = after.trim_start_matches([',', ' ']);
                rest = rest.strip_prefix("and ").unwrap_or(rest).trim_start();
            }
        }
    }
    found.into_iter().take(MAX_DEPENDENCIES).collect()
}

/// A reference at the beginning of a text, and what follows it.
fn reference(text: &str) -> Option<(Reference, &str)> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let end = text.find(|c: char| !plain(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let repository = match name {
        "" => None,
        name => {
            let (owner, name) = name.split_once('/')?;
            let fine = |part: &str| (1..=100).contains(&part.len()) && !part.contains('/');
            (fine(owner) && fine(name)).then(|| Some(format!("{owner}/{name}")))?
        }
    };
    let digits = rest.strip_prefix('#')?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let number = digits[..end].parse().ok().filter(|number| *number > 0)?;
    Some((Reference { repository, number }, &digits[end..]))
}

/// A text of at most so many bytes, cut at a character, and marked where it was cut.
#[must_use]
pub fn shortened(text: &str, bytes: usize) -> String {
    const MARK: &str = " [cut]";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::{references, shortened};

    fn found(text: &str) -> Vec<String> {
        let shown = |r: &super::Reference| {
            format!("{}#{}", r.repository.as_deref().unwrap_or_default(), r.number)
        };
        references(text).iter().map(shown).collect()
    }

    #[test]
    fn dependencies_are_found_in_the_text() {
        assert_eq!(found("This Depends on #12."), ["#12"]);
        assert_eq!(found("depends on: #3, #2 and #4; see #9"), ["#2", "#3", "#4"]);
        assert_eq!(found("Blocked by Owner/Re.po#7 and #8"), ["#8", "owner/re.po#7"]);
        assert_eq!(found("it depends on the weather, #5"), Vec::<String>::new());
        assert_eq!(found("depends on #0 #7"), Vec::<String>::new());
        assert_eq!(found("depends on a/b/c#1, /x#2, x/#3"), Vec::<String>::new());
        assert_eq!(found("depends on #99999999999999999999999"), Vec::<String>::new());
        assert_eq!(found("depends on"), Vec::<String>::new());
    }

    #[test]
    fn what_is_too_long_is_cut_at_a_character() {
        assert_eq!(shortened("short", 5), "short");
        let cut = shortened(&"\u{e9}".repeat(50), 21);
        assert!(cut.len() <= 21 && cut.ends_with("[cut]"), "{cut}");
    }
}
