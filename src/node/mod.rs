//! The composition root: configuration, the clock, wiring, lifecycle, and the runtime that carries
//! effects out. The only module that knows all adapters but the page and the command line.
//!
//! Two loops run beside the network's own: `work` asks the kernel's agent what to do and does it,
//! and `replicate` drives the kernel's sync machine with what the network brings.

pub mod clock;
pub mod config;
mod consent;
mod effects;
mod egress;
mod evidence;
pub mod home;
mod issues;
pub mod key;
mod mask;
mod models;
mod outside;
mod registry;
mod replicate;
mod rotate;
mod run;
mod services;
mod settings;
mod status;
mod stores;
mod takeup;
mod tasks;
mod tell;
mod topics;
mod witness;
mod work;
mod workspace;

pub use home::{Home, HomeError, Role};
pub use issues::{NewIssue, add_issue};
pub use key::{KeyError, KeyFile, Passphrase, Unlocked};
pub use outside::{OutsideError, doctor};
pub use rotate::Rotated;
pub use run::{Node, NodeError, StatusSource, agent_settings};
pub use services::PeoplesKeys;
pub use status::{LogStatus, NodeStatus, PeerStatus};
pub use work::Crash;
