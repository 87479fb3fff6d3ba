//! The outside world, a module each. They speak plain data and never import each other's types,
//! except that [`git`]'s commit ids are the kernel's. What task sources have in common is in
//! [`task`].

pub mod docker;
pub mod git;
pub mod github;
pub mod hive;
pub mod http;
pub mod local;
pub mod n8n;
pub mod ollama;
pub mod process;
pub mod sandbox;
pub mod scripted;
pub mod task;
