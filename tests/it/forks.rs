//! Forks: the proof's laws against a naive model; what nodes and administrators make of one.

mod process;
mod proof;
mod sync;
