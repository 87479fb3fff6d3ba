//! How `bzzz` fails: one kind of error, with an exit status and, where there is one, a hint.

use std::io;
use std::process::ExitCode;

use crate::cli::text::clean;
use crate::engine::{EngineError, EraseError, RotateError};
use crate::kernel::audit::{BundleError, ExportError, LookupError};
use crate::kernel::log::StoreError;
use crate::node::clock::NoRandomness;
use crate::node::config::ConfigError;
use crate::node::key::{KeyError, OpenError};
use crate::node::{HomeError, NodeError, OutsideError};
use crate::web::FindError;
use crate::web::members::MemberError;

/// The status of a command that could not do what it was asked.
const FAILED: u8 = 1;

/// The status of a command that was not asked in a way that it understands.
const USAGE: u8 = 2;

/// Why a command ends early.
#[derive(Debug)]
pub(super) enum Error {
    /// Nobody reads on: the program ends quietly.
    Pipe,
    /// Everything was said already.
    Said,
    /// Everything else.
    Stop {
        status: u8,
        /// A sentence as errors have it: in lower case, without a stop.
        message: String,
        hint: Option<String>,
    },
}

pub(super) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self::Stop { status: FAILED, message: message.into(), hint: None }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::Stop { status: USAGE, message: message.into(), hint: None }
    }

    /// The same error with something to do about it.
    pub(super) fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Stop { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }
}

/// Ends the program.
pub(super) fn end(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) | Err(Error::Pipe) => ExitCode::SUCCESS,
        Err(Error::Said) => ExitCode::from(FAILED),
        Err(Error::Stop { status, message, hint }) => {
            eprintln!("Error: {}", sentence(&message));
            if let Some(hint) = hint {
                eprintln!("Hint: {}", sentence(&hint));
            }
            ExitCode::from(status)
        }
    }
}

/// A message as a sentence for people, line by line without what could move the cursor.
pub(super) fn sentence(message: &str) -> String {
    let lines: Vec<_> = message.lines().map(clean).collect();
    let text = lines.join("\n");
    let mut text = text.trim_end().to_owned();
    let plain = text.chars().take_while(|c| !c.is_whitespace()).all(|c| c.is_ascii_lowercase());
    if let Some(first) = text.get_mut(..1).filter(|_| plain) {
        first.make_ascii_uppercase();
    }
    if !text.ends_with(['.', '?', '!', ':']) && lines.len() < 2 {
        text.push('.');
    }
    text
}

impl From<io::Error> for Error {
    /// Errors of standard output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Pipe,
            _ => Self::new(format!("the output could not be written: {error}")),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let stop = Self::new(error.to_string());
        match &error {
            StoreError::Io { cause, .. } if cause.contains("open in another process") => {
                stop.hint("a node runs in this home already: `bzzz status` shows it")
            }
            StoreError::Foreign(what) if what.contains("holds no store") => {
                stop.hint("a node that joined a swarm has no logs until `bzzz up` met a member")
            }
            StoreError::Io { .. } | StoreError::Corrupt { .. } => stop.hint(
                "restore the store's directory from a copy; nothing in it was changed just now",
            ),
            StoreError::Foreign(_) | StoreError::Poisoned | StoreError::Gap { .. } => stop,
        }
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => error.into(),
            error => Self::new(error.to_string()),
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        let message = format!("the configuration cannot be used:\n{error}");
        Self::new(message).hint("`bzzz config example` prints every key with its meaning")
    }
}

impl From<HomeError> for Error {
    fn from(error: HomeError) -> Self {
        match error {
            HomeError::Store(error) => error.into(),
            HomeError::Engine(error) => error.into(),
            HomeError::Config(error) => error.into(),
            HomeError::Key(error) => error.into(),
            HomeError::Rotate(RotateError::Engine(error)) => error.into(),
            HomeError::Rotate(RotateError::NotAMember) => Self::new(error.to_string()).hint(
                "start the node with `bzzz up` until it has met a member, then stop it and try \
                 again",
            ),
            HomeError::Unfinished(_) => Self::new(error.to_string())
                .hint("`bzzz key rotate` or `bzzz up` completes or undoes it"),
            HomeError::Memory => Self::new(error.to_string()).hint(
                "set `store.kind` to \"rocksdb\" or \"hypercore\"; a node that joins may keep \
                 nothing",
            ),
            HomeError::Taken(_) => Self::new(error.to_string())
                .hint("`bzzz key show` prints its key; name another directory with --home"),
            error => Self::new(error.to_string()),
        }
    }
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        let stop = Self::new(error.to_string());
        match error {
            KeyError::Locked(_) => stop.hint(
                "name the file that holds it in BZZZ_NODE_PASSPHRASE_FILE or in \
                 node.passphrase_file of bzzz.toml",
            ),
            KeyError::Open { source: OpenError::Damaged(_), .. } => {
                stop.hint("restore it from a copy that `bzzz key export` made")
            }
            _ => stop,
        }
    }
}

impl From<NodeError> for Error {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Home(error) => error.into(),
            NodeError::Engine(error) => error.into(),
            NodeError::Outside(error) => error.into(),
            NodeError::Net(_) => Self::new(error.to_string())
                .hint("`net.listen` and `net.peers` in bzzz.toml say where the node listens"),
            error => Self::new(error.to_string()),
        }
    }
}

impl From<OutsideError> for Error {
    fn from(error: OutsideError) -> Self {
        Self::new(error.to_string()).hint("`bzzz doctor` checks everything that the node needs")
    }
}

impl From<NoRandomness> for Error {
    fn from(error: NoRandomness) -> Self {
        Self::new(error.to_string())
    }
}

impl From<MemberError> for Error {
    fn from(error: MemberError) -> Self {
        let stop = Self::new(error.to_string());
        match error {
            MemberError::Engine(error) => error.into(),
            MemberError::NotAnAdministrator => {
                stop.hint("run it in the home of the node that founded the swarm")
            }
            MemberError::Revoked(_) => stop.hint("let the node begin anew, with a new home"),
            _ => stop,
        }
    }
}

impl From<EraseError> for Error {
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::Engine(error) => error.into(),
            error => Self::new(error.to_string()),
        }
    }
}

impl From<FindError> for Error {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Engine(error) => error.into(),
            error @ FindError::Form(_) => {
                Self::usage(error.to_string()).hint("`bzzz log --json` shows ids and indices")
            }
            error => Self::new(error.to_string()).hint("`bzzz log --json` shows ids and indices"),
        }
    }
}

impl From<LookupError> for Error {
    fn from(error: LookupError) -> Self {
        Self::new(error.to_string()).hint("`bzzz task list` lists them")
    }
}

impl From<ExportError> for Error {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(error) => error.into(),
            error => Self::new(error.to_string()),
        }
    }
}

impl From<BundleError> for Error {
    fn from(error: BundleError) -> Self {
        Self::new(error.to_string()).hint("`bzzz-verify` says what is wrong with a bundle")
    }
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn messages_become_sentences() {
        assert_eq!(sentence("no node runs"), "No node runs.");
        assert_eq!(sentence("/srv/x is no home"), "/srv/x is no home.");
        assert_eq!(sentence("api.listen is taken"), "api.listen is taken.");
        assert_eq!(sentence("`bzzz up` starts it!"), "`bzzz up` starts it!");
        assert_eq!(sentence("it is so:\na: b\u{1b}[2J\n"), "It is so:\na: b\\u{1b}[2J");
    }
}
