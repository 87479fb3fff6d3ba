//! The integration tests, as one binary: RocksDB is linked once.

mod architecture;
mod bundle;
mod claims;
mod cli;
mod config;
mod fold_laws;
mod git;
mod hostile;
mod local;
mod log_laws;
mod net;
mod reasoner;
mod sandbox;
mod sim;
mod store;
mod swarm;
mod tidy;
