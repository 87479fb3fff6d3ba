//! The state of the swarm: all aggregates, and its digest.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use serde::Serialize;

use super::agents::Agent;
use super::changes::Changes;
use super::erasures::Erasures;
use super::members::{Member, Members};
use super::order::Aggregate;
use super::refusal::{Reason, Refusal, Refusals};
use super::repositories::{self, Repository};
use super::session_map::Sessions;
use super::task::Task;
use crate::kernel::event::kinds::{Payload, Role};
use crate::kernel::event::{Body, Event, TaskId};
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::Hash;

/// The version of the fold: it changes whenever one set of events may lead to another state.
pub const FOLD_VERSION: u32 = 5;

/// The state of a swarm.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct SwarmState {
    /// The swarm.
    pub swarm: SwarmId,
    /// Who belongs to it.
    pub members: Members,
    /// What their nodes say of themselves.
    pub agents: BTreeMap<AuthorId, Agent>,
    /// What was refused of that, by author: each author's is an aggregate of its own.
    pub agent_refusals: BTreeMap<AuthorId, Refusals>,
    /// The repositories.
    pub repositories: BTreeMap<String, Repository>,
    /// What was refused about them.
    pub repository_refusals: Refusals,
    /// The tasks.
    pub tasks: BTreeMap<TaskId, Task>,
    /// The payloads that were erased.
    pub erasures: Erasures,
    /// The sessions about the order of tasks.
    pub sessions: Sessions,
    /// No part of the state: what changed of late.
    #[serde(skip)]
    changes: Changes,
}

impl SwarmState {
    /// The state before any event.
    #[must_use]
    pub fn new(swarm: SwarmId) -> Self {
        Self {
            swarm,
            members: Members::new(swarm),
            agents: BTreeMap::new(),
            agent_refusals: BTreeMap::new(),
            repositories: BTreeMap::new(),
            repository_refusals: Refusals::default(),
            tasks: BTreeMap::new(),
            erasures: Erasures::default(),
            sessions: Sessions::default(),
            changes: Changes::default(),
        }
    }

    /// Which tasks changed of late.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The digest: BLAKE3 under the context `bzzz v1 state` over the fold's version and the
    /// state's encoding, in which all maps are sorted.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let bytes = bincode::encode_to_vec(self, bincode::config::legacy())
            .expect("the state has no type that cannot be encoded");
        let mut hasher = blake3::Hasher::new_derive_key("bzzz v1 state");
        hasher.update(&FOLD_VERSION.to_le_bytes());
        hasher.update(&bytes);
        Hash(*hasher.finalize().as_bytes())
    }

    /// The task of an issue.
    #[must_use]
    pub fn task(&self, repository: &str, issue: u64) -> Option<&Task> {
        self.tasks.get(&TaskId::of(repository, issue))
    }

    /// Whether everything that the task depends on is published or closed, and the first such work
    /// that is not in the main branch yet.
    #[must_use]
    pub fn dependencies(&self, task: &Task) -> Dependencies {
        let mut base = None;
        for issue in &task.depends_on {
            match self.task(&task.repository, *issue).filter(|other| !other.is_awaited()) {
                None => return Dependencies::Waiting(*issue),
                Some(other) => base = base.or_else(|| other.pending()),
            }
        }
        Dependencies::Ready(base.or_else(|| self.ordered_base(task)))
    }

    /// Authorises an event, then applies it to its aggregate. What was refused is kept there. An
    /// erased payload is skipped, there or not: it leaves no trace.
    pub(super) fn fold(&mut self, aggregate: Aggregate, event: &Event) {
        if matches!(event.body, Body::Absent) || self.erasures.of(event).is_some() {
            return;
        }
        if let Err(reason) = self.authorize(aggregate, event) {
            self.refuse_event(aggregate, event, reason);
        }
        self.note(aggregate);
    }

    /// Authorises an erasure, then applies it. `target` is the event that stands at the place that
    /// it names, if there is one yet.
    pub(super) fn erase(&mut self, event: &Event, target: Option<&Event>) {
        if !self.members.stands(&event.author, event.header.seq) {
            return;
        }
        let Some(Payload::PayloadErased(erased)) = event.payload() else {
            return;
        };
        match self.erasures.authorize(&self.members, event, erased, target) {
            Ok(()) => self.erasures.apply(event, erased),
            Err(reason) => self.refuse_event(Aggregate::Erasures, event, reason),
        }
    }

    fn refuse_event(&mut self, aggregate: Aggregate, event: &Event, reason: Reason) {
        let Event { id, author, header, .. } = event;
        let refusal = Refusal { event: *id, author: *author, seq: header.seq, reason };
        self.refuse(aggregate, refusal);
    }

    fn authorize(&mut self, aggregate: Aggregate, event: &Event) -> Result<(), Reason> {
        if aggregate == Aggregate::Members {
            if self.members.counts(event) {
                self.members.authorize(event)?;
                self.members.apply(event);
            }
            return Ok(());
        }
        if !self.members.stands(&event.author, event.header.seq) {
            // It leaves no trace, not even a refusal: nodes that got to know of the revocation
            // sooner or later hold more or less of such a log, and come to the same state.
            return Ok(());
        }
        let Body::Known(payload) = &event.body else {
            return Err(Reason::Malformed);
        };
        match (aggregate, &**payload) {
            (Aggregate::Agent(author), Payload::AgentStarted(started)) => {
                if started.name.len() > 256 || started.capabilities.len() > 64 {
                    return Err(Reason::Content);
                }
                let agent = Agent::apply(self.agents.get(&author), event, started);
                self.agents.insert(author, agent);
            }
            (Aggregate::Repositories, Payload::RepositorySeen(seen)) => {
                let known = self.repositories.get_mut(&seen.repository);
                if let Some(repository) = known {
                    repository.nodes.insert(event.author);
                    return Ok(());
                }
                repositories::check(seen, self.repositories.len())?;
                let (url, branch) = (seen.url.clone(), seen.branch.clone());
                let nodes = [event.author].into();
                let repository = Repository { url, branch, nodes, consents: BTreeMap::new() };
                self.repositories.insert(seen.repository.clone(), repository);
            }
            (Aggregate::Repositories, Payload::RepositoryConsent(read)) => {
                let known = self.repositories.get_mut(&read.repository);
                known.ok_or(Reason::Dangling)?.consent(event, read)?;
            }
            (Aggregate::Task(id), payload) => {
                let person = self.speaks(event, payload)?;
                let task = self.tasks.entry(id).or_insert_with(|| Task::new(id));
                task.fold(event, payload, person)?;
            }
            (Aggregate::Session(id), payload) => {
                self.speaks(event, payload)?;
                self.sessions.change(id, |session| session.fold(event, payload))?;
            }
            _ => return Err(Reason::Content),
        }
        Ok(())
    }

    /// Whether the author's role allows it to say this; gives whether it speaks for people.
    fn speaks(&self, event: &Event, payload: &Payload) -> Result<bool, Reason> {
        let member = self.members.members.get(&event.author);
        let member = member.filter(|member| may_say(member, payload)).ok_or(Reason::Role)?;
        Ok(member.role == Role::Operator)
    }

    fn refuse(&mut self, aggregate: Aggregate, refusal: Refusal) {
        match aggregate {
            Aggregate::Members => self.members.refusals.push(refusal),
            Aggregate::Task(id) => {
                self.tasks.entry(id).or_insert_with(|| Task::new(id)).refusals.push(refusal);
            }
            Aggregate::Agent(author) => {
                self.agent_refusals.entry(author).or_default().push(refusal);
            }
            Aggregate::Repositories => self.repository_refusals.push(refusal),
            Aggregate::Erasures => self.erasures.refusals.push(refusal),
            Aggregate::Session(id) => {
                self.sessions.change(id, |session| session.refusals.push(refusal));
            }
        }
    }

    fn note(&mut self, aggregate: Aggregate) {
        if let Aggregate::Task(task) = aggregate {
            self.changes.note(task);
        }
    }

    /// Forgets what an aggregate's events had led to.
    pub(super) fn clear(&mut self, aggregate: Aggregate) {
        self.note(aggregate);
        match aggregate {
            Aggregate::Members => self.members = Members::new(self.swarm),
            Aggregate::Agent(author) => {
                self.agents.remove(&author);
                self.agent_refusals.remove(&author);
            }
            Aggregate::Repositories => {
                self.repositories.clear();
                self.repository_refusals = Refusals::default();
            }
            Aggregate::Task(id) => drop(self.tasks.remove(&id)),
            Aggregate::Erasures => self.erasures = Erasures::default(),
            Aggregate::Session(id) => self.sessions.remove(id),
        }
    }
}

/// Whether a member may say this of a task or in a session.
fn may_say(member: &Member, payload: &Payload) -> bool {
    match (&member.role, payload) {
        (Role::Replica, _) => false,
        (role, Payload::ApprovalGiven(_)) => *role == Role::Operator || member.administrator,
        (Role::Agent, _) => true,
        (Role::Operator, payload) => matches!(
            payload,
            Payload::EscalationAcknowledged(_)
                | Payload::EscalationAnswered(_)
                | Payload::PlanReviewed(_)
                | Payload::Withdrawn(_)
                | Payload::MessageSaid(_)
                | Payload::CoordinationSaid(_)
        ),
    }
}

/// Whether a task's dependencies are met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dependencies {
    /// This issue's work is not published yet, and people did not close it.
    Waiting(u64),
    /// All are. If there are any: the branch and the commit to start from.
    Ready(Option<(String, crate::kernel::event::CommitId)>),
}
