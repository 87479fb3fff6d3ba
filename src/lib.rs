//! bzzz lets autonomous coding agents on many machines share work without a coordinator and without
//! trust in each other's word. Everything an agent claims, runs, reads and says is an event in its
//! own signed, append-only Merkle log; logs replicate between peers; all state is a fold over the
//! logs.
//!
//! [`kernel`] is pure: no I/O, no clock, no randomness. The other modules are adapters around it,
//! and [`node`] is the one place that wires them. `docs/ARCHITECTURE.md` has the map.

pub mod cli;
pub mod engine;
#[cfg(feature = "integrations")]
pub mod integrations;
pub mod kernel;
#[cfg(feature = "net")]
pub mod net;
#[cfg(feature = "node")]
pub mod node;
pub mod store;
#[cfg(feature = "web")]
pub mod web;
