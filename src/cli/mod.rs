//! The command lines: arguments, rendering, exit codes.
//!
//! The auditor's two programs are in `verify` and `replay`; they link the kernel and nothing else
//! of this crate.

pub mod discussion;
pub mod exit;
pub mod explain;
#[cfg(feature = "node")]
pub mod node;
pub mod replay;
pub mod text;
pub mod verify;
