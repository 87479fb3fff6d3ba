//! Why a node does not take a task, as far as the log and its configuration tell. What only the
//! running node knows (what it read of the refs, what failed of late, what Hive says) is not here.

use serde::{Deserialize, Serialize};

use super::wants::Wants;
use super::{Agent, Now};
use crate::kernel::event::kinds::Role;
use crate::kernel::fold::{SwarmState, Task, TaskStatus, Wait};

/// The most other tasks that are named.
const MAX_NAMED: usize = 5;

/// What keeps a node from taking a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// One word for programs: `member`, `role`, `works`, `repository`, `closed`, `over`, `owned`,
    /// `labels`, `capabilities`, `consent`, `waits`, `handed`, `busy`, `day` or `urgent`.
    pub what: String,
    /// In a sentence without its stop. It may name untrusted texts.
    pub said: String,
}

impl Obstacle {
    fn new(what: &str, said: impl Into<String>) -> Self {
        Self { what: what.to_owned(), said: said.into() }
    }
}

impl Agent {
    /// What keeps this node from taking a task, the most lasting first; nothing if it would take
    /// it, or owns it.
    #[must_use]
    pub fn obstacles(&mut self, state: &SwarmState, task: &Task, now: Now) -> Vec<Obstacle> {
        self.follow(state);
        if task.owner().is_some_and(|(owner, _)| owner == self.me) {
            return Vec::new();
        }
        let mut all: Vec<Obstacle> = self.never(state).into_iter().collect();
        all.extend(self.unfit(state, task));
        let owned: Vec<String> = self.own(state).map(|(task, _)| task.name()).collect();
        if owned.len() >= self.config.max_tasks {
            let (most, named) = (self.config.max_tasks, owned.join(", "));
            let said = format!("it has {} tasks of {most} (agent.max_tasks): {named}", owned.len());
            all.push(Obstacle::new("busy", said));
        }
        all.extend(self.over_day(state, now).map(|said| Obstacle::new("day", said)));
        if all.is_empty() {
            all.extend(self.more_urgent(state, task));
        }
        all
    }

    /// What keeps this node from taking any task.
    fn never(&self, state: &SwarmState) -> Option<Obstacle> {
        let member = state.members.members.get(&self.me);
        let Some(member) = member.filter(|member| member.stands_to().is_none()) else {
            return Some(Obstacle::new("member", "its key is no member of the swarm"));
        };
        match member.role {
            Role::Operator => {
                Some(Obstacle::new("role", "its key has the role operator, which takes no tasks"))
            }
            Role::Replica => {
                Some(Obstacle::new("role", "its key has the role replica, which takes no tasks"))
            }
            Role::Agent if !self.config.works => {
                let said = "it takes no tasks: agent.work is false, or it has no repositories";
                Some(Obstacle::new("works", said))
            }
            Role::Agent => None,
        }
    }

    /// What keeps this node from taking this task, whatever else it does.
    fn unfit(&self, state: &SwarmState, task: &Task) -> Vec<Obstacle> {
        let mut all = Vec::new();
        let mut add = |what: &str, said: String| all.push(Obstacle::new(what, said));
        let repository = &task.repository;
        if !self.config.repositories.contains_key(repository) {
            add("repository", format!("it is not configured for {repository}"));
        }
        match task.status() {
            _ if !task.open => add("closed", "the issue is closed".to_owned()),
            TaskStatus::Open | TaskStatus::Claimed => {}
            TaskStatus::Escalated => add("over", "its owner keeps it and asks people".to_owned()),
            _ => add("over", "its work is published".to_owned()),
        }
        if let Some(win) = task.current().filter(|e| e.is_active()).and_then(|e| e.winner.as_ref())
        {
            let (holder, lease) = (win.author.short(), win.lease_ms / 1000);
            let said = format!(
                "{holder} owns it: it could be taken over only if its claim did not move for the \
                 whole lease of {lease} s on this node's clock"
            );
            add("owned", said);
        }
        let labels = &self.config.labels;
        if !labels.is_empty() && !task.labels.iter().any(|label| labels.contains(label)) {
            add("labels", format!("the issue has no label of agent.labels: {}", labels.join(", ")));
        }
        let wants = Wants::of(task);
        let missing = wants.missing(&self.config.capabilities);
        if !missing.is_empty() {
            let missing = missing.join(", ");
            add("capabilities", format!("agent.capabilities has not what it requires: {missing}"));
        }
        if self.refused(state, repository) {
            add("consent", format!("it read that {repository} wants no agents"));
        }
        let waits = self.waits(state, task);
        if !waits.is_empty() {
            let names: Vec<String> = waits.iter().map(Wait::name).collect();
            add("waits", format!("it waits for {}", names.join(", ")));
        }
        let handed = task.current().and_then(|epoch| epoch.handed.as_ref());
        if let Some(handed) = handed.filter(|handed| handed.to != self.me) {
            let said = format!("it was handed over to {}, for a lease", handed.to.short());
            add("handed", said);
        }
        all
    }

    /// Other tasks that this node would take first.
    fn more_urgent(&self, state: &SwarmState, task: &Task) -> Option<Obstacle> {
        let mine = Wants::of(task).priority;
        let before = state.tasks.values().filter(|other| {
            other.id != task.id
                && other.open
                && matches!(other.status(), TaskStatus::Open)
                && Wants::of(other).priority > mine
                && self.unfit(state, other).is_empty()
        });
        let mut names: Vec<String> = before.take(MAX_NAMED + 1).map(Task::name).collect();
        if names.is_empty() {
            return None;
        }
        if names.len() > MAX_NAMED {
            names.truncate(MAX_NAMED);
            names.push("others".to_owned());
        }
        Some(Obstacle::new("urgent", format!("more urgent ones come first: {}", names.join(", "))))
    }
}
