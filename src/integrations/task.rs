//! What the adapters of task sources have in common: issues and pull requests in plain words,
//! whether they live in the files of a board or on GitHub.

pub use crate::kernel::agent::{MAX_DEPENDENCIES, PullRead, Reference, references};
pub use crate::kernel::event::kinds::{CheckState, PullState, ReviewState};

/// The longest feedback of a pull request, in bytes.
pub const MAX_FEEDBACK: usize = 16 << 10;

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
    use super::shortened;

    #[test]
    fn what_is_too_long_is_cut_at_a_character() {
        assert_eq!(shortened("short", 5), "short");
        let cut = shortened(&"\u{e9}".repeat(50), 21);
        assert!(cut.len() <= 21 && cut.ends_with("[cut]"), "{cut}");
    }
}
