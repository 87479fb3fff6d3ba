//! What members' nodes say of themselves.

use bincode::{Decode, Encode};
use serde::Serialize;

use crate::kernel::event::kinds::AgentStarted;
use crate::kernel::event::{Event, Hlc};

/// A member's node, as of its last start.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Agent {
    /// What it said.
    pub started: AgentStarted,
    /// When.
    pub at: Hlc,
    /// How often it was started.
    pub starts: u64,
}

impl Agent {
    pub(super) fn apply(before: Option<&Self>, event: &Event, started: &AgentStarted) -> Self {
        let starts = before.map_or(0, |agent| agent.starts) + 1;
        Self { started: started.clone(), at: event.header.clock, starts }
    }
}
