//! Plans and what others say of them.

use std::fmt;

use super::{choice, payload};
use crate::kernel::event::header::EventId;

choice! {
    /// What a reviewer thinks of a plan.
    pub enum Verdict {
        /// Go on.
        Support,
        /// There is something to consider; it does not stop the plan.
        Advise,
        /// The plan must be revised or the objection be withdrawn.
        Object,
    }
}

payload! {
    /// A plan's content.
    pub struct PlanText {
        /// In one or two sentences.
        pub summary: String,
        /// What will be done, in order.
        pub steps: Vec<String>,
        /// The files that it will touch.
        pub files: Vec<String>,
        /// How it will be tested.
        pub tests: Vec<String>,
        /// What can go wrong.
        pub risks: Vec<String>,
    }

    /// The owner proposes a plan, or a revision of it.
    pub struct PlanProposed {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// 0 for the first plan of the epoch.
        pub revision: u32,
        /// The content.
        pub plan: PlanText,
        /// Until when objections are heard, in milliseconds since 1970.
        pub deadline_ms: u64,
    }

    /// Another member reviewed a plan.
    pub struct PlanReviewed {
        /// The epoch of the plan's claim.
        pub epoch: u64,
        /// The plan.
        pub plan: EventId,
        /// What the reviewer thinks.
        pub verdict: Verdict,
        /// Why.
        pub reason: String,
    }

    /// The owner adopts its plan.
    pub struct PlanAdopted {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The plan.
        pub plan: EventId,
        /// The reviews that the owner had when it decided.
        pub considered: Vec<EventId>,
    }
}

/// For people and models: the summary, and below it each list under its name.
impl fmt::Display for PlanText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary)?;
        let lists = [
            ("Steps", &self.steps),
            ("Files", &self.files),
            ("Tests", &self.tests),
            ("Risks", &self.risks),
        ];
        for (title, entries) in lists.into_iter().filter(|(_, entries)| !entries.is_empty()) {
            write!(f, "\n\n{title}:")?;
            for entry in entries {
                write!(f, "\n- {entry}")?;
            }
        }
        Ok(())
    }
}
