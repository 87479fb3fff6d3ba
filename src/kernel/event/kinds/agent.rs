//! What nodes say of themselves, of repositories and of issues.

use super::payload;

payload! {
    /// A node started.
    pub struct AgentStarted {
        /// A name for people.
        pub name: String,
        /// The version of the program.
        pub version: String,
        /// A number drawn at the start; it tells one process of a node from the next.
        pub process: u64,
        /// Whether it takes tasks.
        pub works: bool,
        /// What it can do, in the words of the repositories' labels.
        pub capabilities: Vec<String>,
    }

    /// A node is configured for a repository.
    pub struct RepositorySeen {
        /// The repository's name in the swarm.
        pub repository: String,
        /// Where it is, without credentials.
        pub url: String,
        /// The branch that work starts from.
        pub branch: String,
    }

    /// What a node read of an issue. It is said again only when something changed.
    pub struct TaskSeen {
        /// The repository's name in the swarm.
        pub repository: String,
        /// The issue's number.
        pub issue: u64,
        /// The title.
        pub title: String,
        /// The text, cut to 32 KiB. Untrusted.
        pub body: String,
        /// The labels.
        pub labels: Vec<String>,
        /// Issues of the same repository whose work must be published first.
        pub depends_on: Vec<u64>,
        /// Whether the issue is open.
        pub open: bool,
    }

    /// Whether a repository lets agents work in it, as a node read it. It is said again only when
    /// that changed.
    pub struct RepositoryConsent {
        /// The repository's name in the swarm.
        pub repository: String,
        /// Whether agents may work in it.
        pub allowed: bool,
        /// Where that is said: the name of a file in the repository, `hive`, or `configuration`.
        pub source: String,
        /// What is said there; may be empty.
        pub reason: String,
    }
}
