//! What can go wrong with git, and how its words are sorted.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::run::Fault;

/// Why an operation on a mirror or its remote did not happen.
///
/// Remotes are named without credentials, and what git said is one line without control characters.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The git command is absent or too old.
    #[error("no usable git command: {detail}; install git 2.32 or newer")]
    NoGit {
        /// What was found instead.
        detail: String,
    },
    /// The remote's address, branch or token cannot be used.
    #[error("the remote {remote} cannot be used: {why}")]
    BadRemote {
        /// The remote, without credentials.
        remote: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The mirror in the node's cache is damaged or not one of ours.
    #[error(
        "the mirror {} cannot be used: {detail}; it is only a cache: delete it",
        path.display()
    )]
    BadMirror {
        /// Its directory.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The network or the remote failed in a way that may pass.
    #[error("could not {operation} at {remote} for now: {detail}")]
    Transient {
        /// What was being done.
        operation: &'static str,
        /// The remote, without credentials.
        remote: String,
        /// What git said.
        detail: String,
    },
    /// Git did not end in time and was stopped.
    #[error("could not {operation} at {remote}: no end after {} s", limit.as_secs_f64())]
    Timeout {
        /// What was being done.
        operation: &'static str,
        /// The remote, without credentials.
        remote: String,
        /// The time that it had.
        limit: Duration,
    },
    /// A push had no clear answer, and the ref could not be read back: the ref may have moved.
    #[error("could not tell whether {remote} moved {reference}: {detail}; read it before acting")]
    Ambiguous {
        /// The remote, without credentials.
        remote: String,
        /// The claim ref in question.
        reference: String,
        /// What git said.
        detail: String,
    },
    /// The remote understood and declined: no permission, or a hook said no.
    #[error("{remote} refused to {operation}: {detail}")]
    Refused {
        /// What was being done.
        operation: &'static str,
        /// The remote, without credentials.
        remote: String,
        /// What git said.
        detail: String,
    },
    /// The repository, branch or commit is not there.
    #[error("could not {operation}: {remote} does not have it: {detail}")]
    Missing {
        /// What was being done.
        operation: &'static str,
        /// The remote, without credentials.
        remote: String,
        /// What git said.
        detail: String,
    },
    /// The remote cannot move several refs in one step, so that publishing cannot be fenced.
    #[error(
        "{remote} does not support atomic pushes, without which a publication cannot be fenced"
    )]
    NotAtomic {
        /// The remote, without credentials.
        remote: String,
    },
    /// A branch outside of [`super::WORK_BRANCHES`] exists already.
    #[error("the branch {branch} exists at {remote} and is not one that bzzz may move")]
    BranchTaken {
        /// The branch.
        branch: String,
        /// The remote, without credentials.
        remote: String,
    },
    /// A name, claim or message that is handed in cannot be used.
    #[error("cannot {operation}: {why}")]
    BadInput {
        /// What was being done.
        operation: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A tree holds a path that a node neither writes nor commits.
    #[error("cannot {operation} the path {path:?}: {why}")]
    BadPath {
        /// What was being done.
        operation: &'static str,
        /// The path inside the tree.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than a documented limit allows.
    #[error("cannot {operation}: {what} is over the limit of {limit}")]
    TooLarge {
        /// What was being done.
        operation: &'static str,
        /// What is too large, with its path if it has one.
        what: String,
        /// The limit, in the unit that `what` names.
        limit: u64,
    },
    /// The work tree is the same as the base: there is nothing to commit.
    #[error("the work tree does not differ from its base: there is nothing to commit")]
    Unchanged,
    /// Git failed on this machine for a reason of its own.
    #[error("could not {operation}: {detail}")]
    Failed {
        /// What was being done.
        operation: &'static str,
        /// What git said.
        detail: String,
    },
    /// The file system of this machine failed.
    #[error("could not {operation} {}: {source}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl GitError {
    /// Whether the same operation may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. } | Self::Timeout { .. } | Self::Ambiguous { .. })
    }

    /// Whether the remote said a clear no: to ask again without a change is useless.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::NotAtomic { .. } | Self::BranchTaken { .. })
    }
}

/// The families of git's complaints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Complaint {
    /// The remote has no such repository, branch or object.
    Missing,
    /// The remote declined.
    Refused,
    /// The remote has no atomic push.
    NotAtomic,
    /// Network, lock or overload: may pass.
    Transient,
    /// None of these words were found.
    Unknown,
}

/// Words that name a complaint, in the C locale; the first match wins, so that definite answers
/// stand before the general "the remote end hung up" that follows many of them.
const WORDS: &[(Complaint, &[&str])] = &[
    (Complaint::NotAtomic, &["does not support --atomic", "not support atomic"]),
    (
        Complaint::Missing,
        &[
            "does not appear to be a git repository",
            "couldn't find remote ref",
            "repository not found",
            "returned error: 404",
            "returned error: 410",
            "not our ref",
            "' does not exist",
        ],
    ),
    (
        Complaint::Refused,
        &[
            "hook declined",
            "authentication failed",
            "could not read username",
            "could not read password",
            "unable to get password",
            "terminal prompts disabled",
            "permission denied",
            "permission to",
            "access denied",
            "insufficient permission",
            "returned error: 400",
            "returned error: 401",
            "returned error: 403",
            "returned error: 30",
            "unable to update url base from redirection",
            "dubious ownership",
            "host key verification failed",
            "protected branch",
            "hidden ref",
            "prohibited",
            "funny refname",
            "certificate",
            "transport '",
        ],
    ),
    (
        Complaint::Transient,
        &[
            "could not resolve",
            "connection refused",
            "connection reset",
            "connection timed out",
            "connection closed",
            "couldn't connect",
            "could not connect",
            "failed to connect",
            "network is unreachable",
            "no route to host",
            "timed out",
            "too slow",
            "early eof",
            "hung up",
            "unexpected disconnect",
            "rpc failed",
            "returned error: 429",
            "returned error: 5",
            "empty reply",
            "recv failure",
            "cannot lock ref",
            "unable to lock",
            "failed to update ref",
            "failed to lock",
            "reference already exists",
            ".lock': file exists",
            "stale info",
            "atomic push failed",
            "atomic push failure",
            "atomic transaction failed",
            "incorrect old value",
            "unpacker error",
            "unable to migrate objects",
            "remote unpack failed",
        ],
    ),
];

/// Sorts what git said.
pub(super) fn classify(said: &str) -> Complaint {
    let said = said.to_lowercase();
    WORDS
        .iter()
        .find(|(_, words)| words.iter().any(|word| said.contains(word)))
        .map_or(Complaint::Unknown, |(complaint, _)| *complaint)
}

/// Turns the failure of an invocation that speaks to a remote into an error.
pub(super) fn remote_error(operation: &'static str, remote: &str, fault: Fault) -> GitError {
    let remote = remote.to_owned();
    let (detail, said) = match fault {
        Fault::Exit { detail, said } => (detail, said),
        Fault::Timeout(limit) => {
            return GitError::Timeout { operation, remote, limit };
        }
        other => return local_error(operation, other),
    };
    match classify(&said) {
        Complaint::NotAtomic => GitError::NotAtomic { remote },
        Complaint::Missing => GitError::Missing { operation, remote, detail },
        Complaint::Refused => GitError::Refused { operation, remote, detail },
        Complaint::Transient => GitError::Transient { operation, remote, detail },
        Complaint::Unknown => GitError::Failed { operation, detail: format!("{remote}: {detail}") },
    }
}

/// Turns the failure of an invocation on this machine alone into an error.
pub(super) fn local_error(operation: &'static str, fault: Fault) -> GitError {
    match fault {
        Fault::Exit { detail, .. } => GitError::Failed { operation, detail },
        Fault::Spawn(source) if source.kind() == io::ErrorKind::NotFound => {
            GitError::NoGit { detail: source.to_string() }
        }
        Fault::Spawn(source) => {
            GitError::Failed { operation, detail: format!("could not start git: {source}") }
        }
        Fault::Timeout(limit) => GitError::Failed {
            operation,
            detail: format!("git did not end within {} s", limit.as_secs_f64()),
        },
        Fault::TooMuch(limit) => {
            GitError::TooLarge { operation, what: "git's answer in bytes".to_owned(), limit }
        }
        Fault::Garbled(detail) => GitError::Failed { operation, detail },
    }
}

#[cfg(test)]
mod tests {
    use super::{Complaint, classify};

    #[test]
    fn definite_answers_win_over_the_hang_up_that_follows_them() {
        let said = "fatal: '/x' does not appear to be a git repository\nthe remote end hung up";
        assert_eq!(classify(said), Complaint::Missing);
        let said = "! [remote rejected] a -> b (pre-receive hook declined)\nRPC failed";
        assert_eq!(classify(said), Complaint::Refused);
        assert_eq!(classify("fatal: Could not resolve host: example"), Complaint::Transient);
        assert_eq!(classify("fatal: a thing nobody foresaw"), Complaint::Unknown);
    }
}
