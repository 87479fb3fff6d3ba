//! How logs meet: the replication protocol as a state machine. It replicates what it cannot read.
//!
//! Nodes pull. Who asks, reads: a node asks its peers for their frontiers (which logs, how long),
//! when they connect and every few seconds, and fetches what they have and it has not, one range
//! of one log at a time. Gossip only hints at what there is to fetch, so that it may lose anything.
//!
//! The machine does no I/O. Whoever drives it hands in the time and what happened ([`Input`]) and
//! carries out what comes back ([`Output`]): it sends requests and responses, reads ranges from the
//! store, and verifies and stores what arrived. Nothing here believes a record or a head; a length
//! that a peer names is a reason to ask that peer, and nothing else.
//!
//! Where two copies of a log do not fit each other, the machine finds out whether the log forked
//! or the peer lied, and proves a fork ([`Output::Forked`]).
//!
//! `schema/sync.md` has the messages' bytes and the rules between nodes.

mod compare;
mod fetch;
mod introduce;
mod io;
mod machine;
mod message;
mod peer;
mod serve;
#[cfg(test)]
mod tests;

pub use compare::Compared;
pub use io::{IngestError, Input, Introduced, Output};
pub use machine::{Config, Lag, Sync};
pub use message::{
    Frontier, Held, MAX_FETCH_BYTES, MAX_FRONTIER_LOGS, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES,
    MAX_ROTATION_BYTES, MAX_ROTATIONS, MessageError, Refusal, Request, Response, VERSION,
};
