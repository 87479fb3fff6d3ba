//! Stores of logs.

pub mod memory;
#[cfg(feature = "rocksdb")]
pub mod rocksdb;
