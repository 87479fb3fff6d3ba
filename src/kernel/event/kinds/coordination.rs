//! What several tasks have to do with each other: dependencies, and sessions about their order.

use super::discussion::Act;
use super::{choice, payload};
use crate::kernel::event::header::EventId;
use crate::kernel::event::task::TaskId;

choice! {
    /// How a dependency was found.
    #[derive(Copy)]
    pub enum Source {
        /// An issue or a pull request says so.
        Stated,
        /// Two plans touch the same.
        Overlap,
    }
}

payload! {
    /// A node found that the task of the header depends on another one.
    pub struct DependencyDetected {
        /// The repository of the other task.
        pub repository: String,
        /// Its issue.
        pub issue: u64,
        /// How it was found.
        pub source: Source,
        /// In percent. What an issue states is 100.
        pub confidence: u32,
        /// What speaks for it. Untrusted.
        pub evidence: Vec<String>,
    }

    /// A task under one claim, as a side of a session.
    pub struct Side {
        /// The repository's name in the swarm.
        pub repository: String,
        /// The issue's number.
        pub issue: u64,
        /// The epoch of its claim.
        pub epoch: u64,
    }

    /// A node opens a session about the order of two tasks.
    pub struct CoordinationOpened {
        /// The two tasks, by rising id of the task.
        pub sides: Vec<Side>,
        /// The author's proposal: which side goes first, 0 or 1. The other one waits for its pull
        /// request.
        pub first: u32,
        /// Why.
        pub reason: String,
        /// What both touch. Untrusted.
        pub evidence: Vec<String>,
        /// Until when it waits for the other side, in milliseconds since 1970.
        pub deadline_ms: u64,
    }

    /// A node takes part in a session.
    pub struct CoordinationJoined {
        /// The event that opened the session.
        pub opening: EventId,
        /// Whether the proposed order suits it.
        pub agrees: bool,
        /// Why.
        pub reason: String,
    }

    /// Somebody says something in a session.
    pub struct CoordinationSaid {
        /// The opening, or another such message of the session.
        pub parent: EventId,
        /// For which side it speaks, 0 or 1.
        pub side: u32,
        /// What it is meant as.
        pub act: Act,
        /// What, at most 8 KiB. Untrusted.
        pub text: String,
    }

    /// The author of the opening ends the session with its proposal.
    pub struct CoordinationResolved {
        /// The event that opened the session.
        pub opening: EventId,
        /// Which side goes first.
        pub first: u32,
        /// The [`CoordinationJoined`] that it had when it decided.
        pub considered: Vec<EventId>,
    }

    /// The session came to no agreement, and people are asked.
    pub struct CoordinationEscalated {
        /// The event that opened the session.
        pub opening: EventId,
        /// Why.
        pub reason: String,
    }
}

impl Side {
    /// The task.
    #[must_use]
    pub fn task(&self) -> TaskId {
        TaskId::of(&self.repository, self.issue)
    }
}

impl CoordinationOpened {
    /// The name of the session between two claims: BLAKE3 under the context `bzzz v1 session`
    /// (`schema/kinds.md`, `CoordinationOpened`).
    #[must_use]
    pub fn session(sides: &[Side]) -> TaskId {
        let mut hasher = blake3::Hasher::new_derive_key("bzzz v1 session");
        for side in sides {
            hasher.update(&side.task().0);
            hasher.update(&side.epoch.to_le_bytes());
        }
        TaskId(*hasher.finalize().as_bytes())
    }
}
