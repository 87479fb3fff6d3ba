//! The pure part: no I/O, no clock, no randomness, no environment, no async.
//!
//! Time, randomness and bytes are handed in, so that a whole swarm can run in one thread of a test
//! under a virtual clock. A module imports only those above it in this list.

pub mod agent;
pub mod audit;
pub mod event;
pub mod fold;
pub mod identity;
pub mod log;
pub mod sync;
