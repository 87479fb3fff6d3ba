//! What a running node can say of itself beside the state of the swarm.

use serde::Serialize;

use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::Hash;

/// A node, as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    /// Its key.
    pub node: AuthorId,
    /// Its name.
    pub name: String,
    /// The swarm.
    pub swarm: SwarmId,
    /// The version of the program.
    pub version: &'static str,
    /// Where it listens.
    pub listening: Vec<String>,
    /// Who is connected.
    pub peers: Vec<PeerStatus>,
    /// The logs.
    pub logs: Vec<LogStatus>,
    /// The digest of its state.
    pub digest: Hash,
    /// How many events are held back.
    pub held: u64,
    /// Whether it takes tasks.
    pub works: bool,
    /// Why it appends nothing to its own log, if it does not.
    pub own_log: Option<String>,
}

/// A connected peer.
#[derive(Clone, Debug, Serialize)]
pub struct PeerStatus {
    /// Its key.
    pub node: AuthorId,
    /// Its address.
    pub address: String,
    /// The last round trip in milliseconds.
    pub round_trip_ms: Option<u64>,
}

/// A log.
#[derive(Clone, Debug, Serialize)]
pub struct LogStatus {
    /// Whose.
    pub author: AuthorId,
    /// How many events this node holds.
    pub length: u64,
    /// How many more a peer claims to hold.
    pub behind: u64,
}
