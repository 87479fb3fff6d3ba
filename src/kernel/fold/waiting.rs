//! What a task waits for: what its issue names, what nodes found, and what the owners of two tasks
//! agreed on. It follows from the state; nothing of it is kept.

use std::collections::BTreeSet;

use serde::Serialize;

use super::sessions::Session;
use super::state::SwarmState;
use super::task::{Epoch, Task};
use crate::kernel::event::kinds::{Side, Source};
use crate::kernel::event::{CommitId, TaskId};
use crate::kernel::identity::AuthorId;

/// One thing that a task waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "for")]
pub enum Wait {
    /// The work on another issue, which is not published yet.
    Issue {
        /// Its repository.
        repository: String,
        /// Its number.
        issue: u64,
        /// Whether the state knows the issue.
        known: bool,
    },
    /// The owners of two tasks agreed that the other one goes first.
    Order {
        /// The session.
        session: TaskId,
        /// Its repository.
        repository: String,
        /// Its number.
        issue: u64,
    },
}

/// How the order stands that a session is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// It is not decided yet.
    Open,
    /// The other side's task waits for the first.
    Stands,
    /// The first side's work is published, or nobody works on it any more.
    Over,
    /// The session was given to people.
    Escalated,
    /// Who opened it owns neither of the tasks, or the owner of the first does not agree, or that
    /// of the second neither proposed it nor agreed.
    Void,
}

impl Wait {
    /// The task that is waited for.
    #[must_use]
    pub fn task(&self) -> TaskId {
        let (Self::Issue { repository, issue, .. } | Self::Order { repository, issue, .. }) = self;
        TaskId::of(repository, *issue)
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> String {
        let (Self::Issue { repository, issue, .. } | Self::Order { repository, issue, .. }) = self;
        format!("{repository}#{issue}")
    }
}

impl SwarmState {
    /// A side of a session: the epoch of its claim.
    #[must_use]
    pub fn side(&self, side: &Side) -> Option<&Epoch> {
        self.tasks.get(&side.task())?.epochs.get(&side.epoch)
    }

    fn owner_of(&self, side: &Side) -> Option<AuthorId> {
        Some(self.side(side)?.winner.as_ref()?.author)
    }

    /// How the order of a session stands (`schema/fold.md`, "Sessions").
    #[must_use]
    pub fn order(&self, session: &Session) -> Order {
        let Some((first, second)) = session.sides() else { return Order::Open };
        let Some(opening) = &session.opening else { return Order::Open };
        if session.escalated.is_some() {
            return Order::Escalated;
        }
        let (ahead, behind) = (self.owner_of(first), self.owner_of(second));
        let opener = ahead == Some(opening.by) || behind == Some(opening.by);
        let said = |owner: Option<AuthorId>| owner.and_then(|owner| session.joined.get(&owner));
        // Whoever is to wait must have proposed that, or agree; nobody else can make it wait.
        let waits = behind == Some(opening.by) || said(behind).is_some_and(|joined| joined.agrees);
        let refuses = ahead != Some(opening.by) && said(ahead).is_some_and(|joined| !joined.agrees);
        if !opener || refuses || (!waits && session.resolved.is_some()) {
            return Order::Void;
        }
        if session.resolved.is_none() {
            return Order::Open;
        }
        // An owner that is gone says nothing: its claim counts until the next one is won, or the
        // issue is closed.
        let current = self.tasks.get(&first.task()).filter(|task| task.open);
        let current = current.and_then(|task| task.current());
        let active = current.is_some_and(|epoch| {
            epoch.number == first.epoch
                && epoch.is_active()
                && epoch.publish.as_ref().is_none_or(|p| p.claim.is_none())
        });
        if active { Order::Stands } else { Order::Over }
    }

    /// What the task waits for, if all is believed that nodes say of it. A node that chooses its
    /// tasks believes less (`kernel::agent`).
    #[must_use]
    pub fn waits(&self, task: &Task) -> Vec<Wait> {
        let mut waits = Vec::new();
        for issue in &task.depends_on {
            let other = self.task(&task.repository, *issue);
            if other.is_none_or(Task::is_awaited) {
                let (repository, known) = (task.repository.clone(), other.is_some());
                waits.push(Wait::Issue { repository, issue: *issue, known });
            }
        }
        for (id, found) in &task.detected {
            let done = self.tasks.get(id).is_none_or(|other| !other.is_awaited());
            let named =
                found.repository == task.repository && task.depends_on.contains(&found.issue);
            if found.source == Source::Stated && !done && !named {
                let (repository, issue) = (found.repository.clone(), found.issue);
                waits.push(Wait::Issue { repository, issue, known: true });
            }
        }
        for (session, first) in self.ordered_after(task.id) {
            if self.order(session) == Order::Stands {
                let (repository, issue) = (first.repository.clone(), first.issue);
                waits.push(Wait::Order { session: session.id, repository, issue });
            }
        }
        waits
    }

    /// The sessions in which this task is the one to wait, and for which side.
    fn ordered_after(&self, task: TaskId) -> impl Iterator<Item = (&Session, &Side)> {
        self.sessions.of(task).filter_map(move |session| {
            let (first, second) = session.sides()?;
            (second.task() == task).then_some((session, first))
        })
    }

    /// The work to start from when the owners of two tasks of one repository agreed on their order:
    /// the branch and the commit of the first, unless it was merged meanwhile.
    #[must_use]
    pub fn ordered_base(&self, task: &Task) -> Option<(String, CommitId)> {
        self.ordered_after(task.id).find_map(|(session, first)| {
            let decided = session.resolved.is_some() && self.order(session) == Order::Over;
            let other = self.tasks.get(&first.task())?;
            other.pending().filter(|_| decided && other.repository == task.repository)
        })
    }

    /// The circle of tasks that wait for each other, beginning with this one, if it is in one.
    /// People have to break it: no task of it can begin.
    #[must_use]
    pub fn circle(&self, task: &Task) -> Option<Vec<String>> {
        let mut seen = BTreeSet::new();
        let mut path = vec![(task.id, task.name())];
        self.follow(task.id, task, &mut path, &mut seen)
            .then(|| path.into_iter().map(|(_, name)| name).collect())
    }

    fn follow(
        &self,
        end: TaskId,
        from: &Task,
        path: &mut Vec<(TaskId, String)>,
        seen: &mut BTreeSet<TaskId>,
    ) -> bool {
        for wait in self.waits(from) {
            let next = wait.task();
            if next == end {
                path.push((next, wait.name()));
                return true;
            }
            // A chain this long is no circle that anybody wrote down on purpose.
            let Some(task) = self.tasks.get(&next).filter(|_| path.len() < 64) else { continue };
            if seen.insert(next) {
                path.push((next, wait.name()));
                if self.follow(end, task, path, seen) {
                    return true;
                }
                path.pop();
            }
        }
        false
    }
}
