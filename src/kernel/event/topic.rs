//! Where an event is told to whoever listens: the topics of gossip. `schema/sync.md` has the names
//! and the table.

use std::fmt;

use super::header::Header;
use super::task::TaskId;

/// A topic of gossip. Its name, without the swarm's prefix, is what it displays as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Claims, agents, repositories, members, evidence, coordination sessions, and whatever this
    /// program does not know.
    Coordination,
    /// Plans, reviews, discussions, and questions to people.
    MetaDiscussion,
    /// The work on one task, while it runs.
    Task(TaskId),
}

impl Topic {
    /// The topic of an event: of its kind and its task alone.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        match header.kind {
            30..=39 | 64 | 69..=71 | 80..=89 => Self::MetaDiscussion,
            40..=63 | 65 => header.task.map_or(Self::Coordination, Self::Task),
            // That the work ended or is taken up again (66 to 68) concerns who listens no more.
            _ => Self::Coordination,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordination => f.write_str("bzzz/coordination/v1"),
            Self::MetaDiscussion => f.write_str("antennae/meta-discussion/v1"),
            Self::Task(task) => write!(f, "bzzz/task/{}/v1", hex::encode(task.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::event::kinds::KINDS;
    use crate::kernel::event::{FORMAT, Hlc};

    fn topic(kind: u16, task: Option<TaskId>) -> Topic {
        let (seq, clock, causes) = (0, Hlc(0), Vec::new());
        Topic::of(&Header { format: FORMAT, kind, seq, clock, task, causes })
    }

    #[test]
    fn every_kind_has_the_topic_of_the_table() {
        let task = TaskId([0xab; 32]);
        for (kind, name) in KINDS {
            let expected = match *name {
                "Escalated"
                | "EscalationRaised"
                | "EscalationAcknowledged"
                | "EscalationAnswered" => Topic::MetaDiscussion,
                "TaskFinished" | "PullRequestSeen" | "WorkResumed" => Topic::Coordination,
                _ => match kind {
                    30..40 | 80..90 => Topic::MetaDiscussion,
                    40..66 => Topic::Task(task),
                    _ => Topic::Coordination,
                },
            };
            assert_eq!(topic(*kind, Some(task)), expected, "{kind} {name}");
        }
        for unknown in [0, 19, 29, 72, 79, 95, 100, u16::MAX] {
            assert_eq!(topic(unknown, Some(task)), Topic::Coordination, "{unknown}");
        }
        assert_eq!(topic(47, None), Topic::Coordination, "work on no task");
    }

    #[test]
    fn topics_are_named_as_in_the_schema() {
        let task = Topic::Task(TaskId([0xab; 32]));
        assert_eq!(task.to_string(), format!("bzzz/task/{}/v1", "ab".repeat(32)));
        assert_eq!(Topic::Coordination.to_string(), "bzzz/coordination/v1");
        assert_eq!(Topic::MetaDiscussion.to_string(), "antennae/meta-discussion/v1");
    }
}
