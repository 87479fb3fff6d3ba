//! What a task waits for, in the order in which it matters.

use serde::{Deserialize, Serialize};

use super::who;
use crate::kernel::event::kinds::{PullState, Source, Subject};
use crate::kernel::fold::{Epoch, Order, SwarmState, Task, TaskStatus, Wait};
use crate::kernel::identity::AuthorId;

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitKind {
    /// The issue is closed: nobody works on it.
    Closed,
    /// The repository does not want agents, as somebody read there.
    Consent,
    /// Another issue's work, which has to be published first.
    Issue,
    /// Another task that goes first, as the owners of both agreed.
    Order,
    /// The owners of two tasks, who still discuss their order.
    Session,
    /// Somebody to claim it.
    Owner,
    /// The helper that it was handed over to.
    Helper,
    /// An answer to the owner's question in the discussion.
    Answer,
    /// The end of the window for objections.
    Plan,
    /// A revision of the plan, after an objection.
    Revision,
    /// An approval of people.
    Approval,
    /// Offers of help.
    Help,
    /// People, who were asked because the owner cannot go on.
    People,
    /// The owner's model.
    Model,
    /// A command that runs.
    Command,
    /// People, who merge or close the pull request.
    Pull,
    /// The owner's next step.
    Work,
}

/// One thing that a task waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What sort of thing.
    #[serde(rename = "for")]
    pub kind: WaitKind,
    /// In a sentence without its stop. It may name untrusted texts.
    pub said: String,
    /// The event or the session that it is about.
    pub id: Option<String>,
    /// Until when, in milliseconds since 1970, if that was said.
    pub until_ms: Option<u64>,
}

impl Waiting {
    fn new(kind: WaitKind, said: impl Into<String>) -> Self {
        Self { kind, said: said.into(), id: None, until_ms: None }
    }

    fn about(self, id: impl ToString, until_ms: u64) -> Self {
        let until_ms = (until_ms > 0).then_some(until_ms);
        Self { id: Some(id.to_string()), until_ms, ..self }
    }
}

pub(super) fn waits(state: &SwarmState, task: &Task) -> Vec<Waiting> {
    let status = task.status();
    if matches!(status, TaskStatus::Merged | TaskStatus::Rejected | TaskStatus::Closed) {
        let said = match status {
            TaskStatus::Merged => "nothing: its pull request was merged",
            TaskStatus::Rejected => "nothing: its pull request was closed without a merge",
            _ => "nothing: its issue is closed",
        };
        return vec![Waiting::new(WaitKind::Closed, said)];
    }
    let mut all = dependencies(state, task);
    let owned = task.current().filter(|epoch| epoch.is_active());
    match owned {
        Some(epoch) => {
            sessions(state, task, &mut all);
            of_owner(state, epoch, &mut all);
        }
        None if status == TaskStatus::Published => {
            all.extend(task.current().and_then(pull));
        }
        None => {
            consents(state, task, &mut all);
            nobody(state, task, &mut all);
        }
    }
    all
}

/// Other tasks that have to come first.
fn dependencies(state: &SwarmState, task: &Task) -> Vec<Waiting> {
    let wait = |wait: Wait| match &wait {
        Wait::Issue { known, .. } => {
            let other = wait.task();
            let found = task.detected.get(&other);
            let stated = found.filter(|found| found.source == Source::Stated);
            let why = match stated.and_then(|found| found.evidence.first()) {
                Some(evidence) => format!(" (its issue says: {evidence})"),
                None => String::new(),
            };
            let there = if *known { "" } else { ", which nobody has seen" };
            let said = format!("the work on {}{there}, to be published{why}", wait.name());
            Waiting::new(WaitKind::Issue, said).about(other, 0)
        }
        Wait::Order { session, .. } => {
            let opening = state.sessions.get(session).and_then(|one| one.opening.as_ref());
            let reason = opening.map_or("", |opening| opening.reason.as_str());
            let said = format!("{}, which goes first as was agreed: {reason}", wait.name());
            Waiting::new(WaitKind::Order, said).about(session, 0)
        }
    };
    state.waits(task).into_iter().map(wait).collect()
}

/// Sessions about the order of this task and another that came to no end yet.
fn sessions(state: &SwarmState, task: &Task, all: &mut Vec<Waiting>) {
    for session in state.sessions.of(task.id) {
        let Some(opening) = &session.opening else { continue };
        let other = opening.sides.iter().find(|side| side.task() != task.id);
        let name = other.map_or_else(String::new, |s| format!("{}#{}", s.repository, s.issue));
        let said = match state.order(session) {
            Order::Open => format!("an agreement on the order with {name}: {}", opening.reason),
            Order::Escalated => format!("people, to decide on the order with {name}"),
            Order::Stands | Order::Over | Order::Void => continue,
        };
        all.push(Waiting::new(WaitKind::Session, said).about(session.id, opening.deadline_ms));
    }
}

/// What the owner waits for.
fn of_owner(state: &SwarmState, epoch: &Epoch, all: &mut Vec<Waiting>) {
    let Some(owner) = epoch.winner.as_ref().map(|win| win.author) else { return };
    let before = all.len();
    discussion(state, epoch, &owner, all);
    if let Some(asked) = &epoch.escalation {
        let care = match (&asked.answer, &asked.acknowledged) {
            (Some(answer), _) => format!("; {} has answered, and the work goes on", answer.by),
            (None, Some(care)) => format!("; {} takes care of it", care.by),
            (None, None) => String::new(),
        };
        let said = format!("people, since {}: {}{care}", asked.reason, asked.question);
        all.push(Waiting::new(WaitKind::People, said).about(asked.event, 0));
    }
    all.extend(pull(epoch));
    if all.len() > before {
        return;
    }
    let name = who(state, &owner).name;
    let running = epoch.work.commands.last().filter(|command| command.status.is_none());
    let asked = epoch.asks.get(&owner).filter(|ask| ask.waiting);
    all.push(match (running, asked) {
        (Some(command), _) => {
            let first = command.text.lines().next().unwrap_or_default();
            let said = format!("a command of {name}: {first}");
            Waiting::new(WaitKind::Command, said).about(command.event, 0)
        }
        (None, Some(ask)) => {
            let failed = match &ask.last_error {
                Some(error) => format!(", which failed {} times, the last: {error}", ask.failures),
                None => String::new(),
            };
            let said = format!("the model of {name}{failed}");
            Waiting::new(WaitKind::Model, said).about(ask.event, 0)
        }
        (None, None) => Waiting::new(WaitKind::Work, format!("the next step of {name}")),
    });
}

/// Questions, approvals, requests for help and the plan of an epoch.
fn discussion(state: &SwarmState, epoch: &Epoch, owner: &AuthorId, all: &mut Vec<Waiting>) {
    let since = epoch.rounds.last().map(|round| round.at);
    let fresh = |at| since.is_none_or(|since| at > since);
    for asked in epoch.awaited() {
        let what = match asked.subject {
            Subject::Plan => "the plan",
            Subject::Command => "a command",
            Subject::Change => "the change",
        };
        let said = format!("people, to approve {what}: {}", asked.rule);
        all.push(Waiting::new(WaitKind::Approval, said).about(asked.event, asked.deadline_ms));
    }
    let talk = &epoch.discussion;
    for (id, said) in talk.questions() {
        if said.author == *owner && fresh(said.at) && talk.answers(id).next().is_none() {
            let text = format!("an answer to its owner's question: {}", said.text);
            all.push(Waiting::new(WaitKind::Answer, text).about(id, said.deadline_ms));
        }
    }
    if let Some(help) = epoch.open_help() {
        let said = format!("help of other members: {}", help.missing);
        all.push(Waiting::new(WaitKind::Help, said).about(help.event, help.deadline_ms));
    }
    if let Some(plan) = epoch.plan().filter(|plan| plan.adopted.is_none()) {
        let against: Vec<String> =
            plan.objections().map(|review| who(state, &review.author).name).collect();
        all.push(
            match against[..] {
                [] => {
                    Waiting::new(WaitKind::Plan, "the end of the window for objections to its plan")
                }
                _ => {
                    let said =
                        format!("a revision of its plan, to which {} objected", against.join(", "));
                    Waiting::new(WaitKind::Revision, said)
                }
            }
            .about(plan.event, plan.deadline_ms),
        );
    }
}

/// The pull request that people look at.
fn pull(epoch: &Epoch) -> Option<Waiting> {
    let pull = epoch.pull.as_ref().filter(|pull| pull.state == PullState::Open)?;
    let said = format!("people, to merge or close pull request {}: {}", pull.number, pull.place);
    Some(Waiting { id: pull.seen.map(|id| id.to_string()), ..Waiting::new(WaitKind::Pull, said) })
}

/// Who read that the repository wants no agents.
fn consents(state: &SwarmState, task: &Task, all: &mut Vec<Waiting>) {
    let Some(repository) = state.repositories.get(&task.repository) else { return };
    for (author, consent) in repository.consents.iter().filter(|(_, read)| !read.allowed).take(16) {
        let (name, source) = (who(state, author).name, &consent.source);
        let said = format!(
            "{} to allow agents: {source}, as {name} read: {}",
            task.repository, consent.reason
        );
        all.push(Waiting::new(WaitKind::Consent, said));
    }
}

/// Why nobody has it.
fn nobody(state: &SwarmState, task: &Task, all: &mut Vec<Waiting>) {
    if let Some(handed) = task.current().and_then(|epoch| epoch.handed.as_ref()) {
        let said = format!("{}, to which it was handed over", who(state, &handed.to).name);
        all.push(Waiting::new(WaitKind::Helper, said).about(handed.event, 0));
        return;
    }
    if !all.is_empty() {
        return;
    }
    let nodes = state
        .repositories
        .get(&task.repository)
        .map_or(0, |known| known.nodes.iter().filter(|node| state.members.may_act(node)).count());
    let said = match nodes {
        0 => format!("a node that is configured for {}: there is none", task.repository),
        1 => format!("the one node that is configured for {} to claim it", task.repository),
        many => format!("one of the {many} nodes that are configured for {}", task.repository),
    };
    all.push(Waiting::new(WaitKind::Owner, said));
}
