//! The swarm: how it was founded, who belongs to it, and what its state was.

use super::{choice, payload};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::Hash;

choice! {
    /// What a member may do.
    pub enum Role {
        /// Hold and pass on logs, and say nothing about tasks.
        Replica,
        /// Take tasks, work on them and review the plans of others.
        Agent,
        /// Take part in discussions on behalf of people: object, answer, approve. It takes no
        /// tasks.
        Operator,
    }
}

payload! {
    /// The first event of the founder's log. The swarm's id commits to it.
    pub struct SwarmFounded {
        /// A name for people.
        pub name: String,
        /// Who may admit and revoke members. They are members themselves.
        pub administrators: Vec<AuthorId>,
        /// Random bytes that make the swarm's id unique.
        pub nonce: [u8; 16],
    }

    /// An administrator admits a member.
    pub struct MemberAdmitted {
        /// The member's key.
        pub member: AuthorId,
        /// What it may do.
        pub role: Role,
        /// A name for people.
        pub name: String,
    }

    /// An administrator revokes a member. The member's log stands up to a length, since a clock
    /// can be backdated and an index cannot.
    pub struct MemberRevoked {
        /// The member's key.
        pub member: AuthorId,
        /// The number of events of the member that still stand.
        pub length: u64,
        /// Why.
        pub reason: String,
    }

    /// What a node's state was at a frontier. Two nodes with one version of the fold, one frontier
    /// and two digests are a bug or a lie.
    pub struct Checkpoint {
        /// The version of the fold.
        pub fold_version: u32,
        /// Which events it covers.
        pub frontier: Vec<Frontier>,
        /// The digest of the state.
        pub digest: Hash,
    }

    /// The length of one log.
    #[derive(Copy)]
    pub struct Frontier {
        /// Whose log.
        pub author: AuthorId,
        /// The number of its events.
        pub length: u64,
    }
}
