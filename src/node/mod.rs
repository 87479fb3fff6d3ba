//! The composition root: configuration, the clock, wiring, lifecycle, and the runtime that carries
//! effects out. The only module that knows all adapters but the page and the command line.
//!
//! Two loops run beside the network's own: `work` asks the kernel's agent what to do and does it,
//! and `replicate` drives the kernel's sync machine with what the network brings.

pub mod clock;
pub mod config;
mod effects;
pub mod home;
mod issues;
mod key;
mod mask;
mod outside;
mod replicate;
mod run;
mod settings;
mod status;
mod stores;
mod witness;
mod work;
mod workspace;

pub use home::{Home, HomeError, Role};
pub use issues::{NewIssue, add_issue};
pub use key::KeyError;
pub use outside::{OutsideError, doctor};
pub use run::{Node, NodeError, StatusSource};
pub use status::{LogStatus, NodeStatus, PeerStatus};
