//! GitHub: the adapter and whole nodes against a stateful server that nobody here wrote.

mod adapter;
mod hub;
mod nodes;
mod taken;
