//! Whether a repository lets agents work in it: its own file says so, on the branch that work
//! starts from, whatever the configuration says.
//!
//! ```toml
//! # .bzzz.toml
//! [consent]
//! allow = false
//! reason = "We take no changes of agents."
//! ```
//!
//! A file without `[consent]`, or none, refuses nothing: the node's operator has opted in by naming
//! the repository, or by letting Hive name it. A file that cannot be read refuses: what it says may
//! be no.

use toml_edit::{DocumentMut, Item};

use crate::integrations::git::{GitError, Mirror};

/// The file in the repository.
pub(super) const FILE: &str = ".bzzz.toml";

/// Where a repository opted in that has no such file: the node's configuration names it.
pub(super) const CONFIGURATION: &str = "configuration";

/// The same for one that Hive names, within what the configuration allows.
pub(super) const HIVE: &str = "hive";

/// The largest file that is read, in bytes.
pub(super) const MAX_FILE: u64 = 64 << 10;

/// The longest reason that is kept, in bytes.
const MAX_REASON: usize = 1024;

/// What a repository says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Consent {
    /// Whether agents may work in it.
    pub(super) allowed: bool,
    /// Where that is said.
    pub(super) source: &'static str,
    /// What is said there.
    pub(super) reason: String,
}

impl Consent {
    fn refused(reason: &str) -> Self {
        let reason = crate::kernel::event::kinds::cut(reason, MAX_REASON);
        Self { allowed: false, source: FILE, reason }
    }
}

/// Fetches the base branch, and reads what the repository says on it.
///
/// # Errors
/// If the remote cannot be asked: nobody knows then.
pub(super) async fn ask(mirror: &Mirror, named_by: &'static str) -> Result<Consent, GitError> {
    let base = mirror.fetch_base().await?;
    match mirror.read_file(&base, FILE, MAX_FILE).await {
        Ok(None) => Ok(Consent { allowed: true, source: named_by, reason: String::new() }),
        Ok(Some(bytes)) => Ok(read(&bytes, named_by)),
        Err(error @ (GitError::TooLarge { .. } | GitError::BadPath { .. })) => {
            Ok(Consent::refused(&format!("{FILE} cannot be read: {error}")))
        }
        Err(error) => Err(error),
    }
}

fn read(bytes: &[u8], named_by: &'static str) -> Consent {
    let wrong = |why: &str| Consent::refused(&format!("{FILE} cannot be read: {why}"));
    let Ok(text) = std::str::from_utf8(bytes) else { return wrong("it is not UTF-8") };
    let document: DocumentMut = match text.parse() {
        Ok(document) => document,
        Err(error) => return wrong(&format!("{error}").replace('\n', " ")),
    };
    let (mut allowed, mut reason) = (true, String::new());
    match document.get("consent") {
        None => {
            return Consent { allowed, source: named_by, reason };
        }
        Some(Item::Table(table)) => {
            for (key, item) in table {
                match (key, item.as_bool(), item.as_str()) {
                    ("allow", Some(allow), _) => allowed = allow,
                    ("reason", _, Some(why)) => why.clone_into(&mut reason),
                    _ => return wrong(&format!("[consent] has no {key} of this kind")),
                }
            }
        }
        Some(_) => return wrong("consent is a table: write [consent]"),
    }
    let reason = crate::kernel::event::kinds::cut(&reason, MAX_REASON);
    Consent { allowed, source: FILE, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read() {
        let read = |text: &[u8]| read(text, HIVE);
        let no = read(b"[consent]\nallow = false\nreason = \"No.\"\n");
        assert_eq!(no, Consent { allowed: false, source: FILE, reason: "No.".to_owned() });
        assert!(read(b"[consent]\nallow = true\n").allowed);
        assert_eq!(read(b"[sandbox]\nx = 1\n").source, HIVE);
        assert!(read(b"").allowed);
    }

    #[test]
    fn what_cannot_be_read_refuses() {
        let bad: [&[u8]; 7] = [
            b"\xff",
            b"[consent",
            b"consent = false",
            b"[[consent]]\nallow = true",
            b"[consent]\nallow = \"no\"",
            b"[consent]\nalow = true",
            b"[consent]\nallow = true\nreason = 3",
        ];
        for text in bad {
            let read = read(text, CONFIGURATION);
            assert!(!read.allowed && !read.reason.is_empty(), "{}", String::from_utf8_lossy(text));
        }
    }
}
