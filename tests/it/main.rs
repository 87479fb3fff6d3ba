//! The integration tests, as one binary: RocksDB is linked once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    reason = "a test that cannot go on ends, and a test may read clock and environment"
)]

mod architecture;
mod bundle;
mod claims;
mod cli;
mod config;
mod crash_resume;
mod decisions;
mod deliberation;
mod discussion_rules;
mod erase;
mod fold_laws;
mod forks;
mod git;
mod github;
mod gossip;
mod hostile;
mod http;
mod keys;
mod local;
mod log_laws;
mod net;
mod people;
mod proof_laws;
mod reasoner;
mod running;
mod sandbox;
mod sim;
mod store;
mod swarm;
mod talk;
mod tidy;
mod tlog;
mod vectors;
