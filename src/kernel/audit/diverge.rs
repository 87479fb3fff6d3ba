//! Where two archives of one swarm part: at which index of which log, after which event the states
//! that they lead to, and in which decision of whom.
//!
//! Both are read in order and at once: what is remembered is two states, and a block of each log.

use std::collections::BTreeSet;
use std::iter::Peekable;

use super::archive::Archive;
use super::input::Records;
use crate::kernel::event::{Body, Event, TaskId};
use crate::kernel::fold::{Aggregate, EventSource, Fold, FoldError, Place, SwarmState};
use crate::kernel::identity::{AuthorId, SwarmId};

/// Where two copies of one log part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogParts {
    /// Whose log.
    pub author: AuthorId,
    /// The number of its events in each.
    pub lengths: (u64, u64),
    /// The first index at which they differ; none if they are the same.
    pub index: Option<u64>,
    /// What stands there, in each.
    pub events: (Option<Event>, Option<Event>),
}

/// In which of the two an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Within {
    /// In the first alone.
    A,
    /// In the second alone.
    B,
    /// In both.
    Both,
}

/// The first event after which two states differ.
pub struct Divergence {
    /// The event.
    pub event: Event,
    /// Where it is.
    pub within: Within,
    /// What the states differ in.
    pub aggregate: Aggregate,
    /// The first state after it, with all that came before.
    pub a: SwarmState,
    /// The second state.
    pub b: SwarmState,
    /// Who decides about what they differ in, in each.
    pub deciders: (Option<AuthorId>, Option<AuthorId>),
    /// The first decisions of them from there on that are not the same in both; none at the end of
    /// a log.
    pub decisions: (Option<Event>, Option<Event>),
}

/// Compares the logs of two archives, each from its beginning. Events count as the same if their
/// ids are and if both are there with their payloads, or both without.
///
/// # Errors
/// [`FoldError`] if an event could not be read again.
pub fn compare_logs<A: Records, B: Records>(
    a: &Archive<A>,
    b: &Archive<B>,
) -> Result<Vec<LogParts>, FoldError> {
    let (of_a, of_b) = (a.lengths(), b.lengths());
    let authors: BTreeSet<AuthorId> = of_a.keys().chain(of_b.keys()).copied().collect();
    let length = |of: &std::collections::BTreeMap<AuthorId, u64>, author: &AuthorId| {
        of.get(author).copied().unwrap_or(0)
    };
    let mut logs = Vec::with_capacity(authors.len());
    for author in authors {
        let lengths = (length(&of_a, &author), length(&of_b, &author));
        let mut log = LogParts { author, lengths, index: None, events: (None, None) };
        for index in 0..lengths.0.max(lengths.1) {
            let events = (a.event_at(&author, index)?, b.event_at(&author, index)?);
            if !same(events.0.as_ref(), events.1.as_ref()) {
                (log.index, log.events) = (Some(index), events);
                break;
            }
        }
        logs.push(log);
    }
    Ok(logs)
}

fn same(a: Option<&Event>, b: Option<&Event>) -> bool {
    let absent = |event: &Event| matches!(event.body, Body::Absent);
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.id == b.id && absent(a) == absent(b),
        _ => false,
    }
}

/// Folds two archives of one swarm side by side, in the total order of the events of both, up to
/// the first event after which the states differ; none if they never do.
///
/// # Errors
/// [`FoldError`] if an event could not be read again.
pub fn diverge<A: Records, B: Records>(
    a: &Archive<A>,
    b: &Archive<B>,
    swarm: SwarmId,
) -> Result<Option<Divergence>, FoldError> {
    let (mut of_a, mut of_b) = (a.events().peekable(), b.events().peekable());
    let (mut fold_a, mut fold_b) = (Fold::new(swarm), Fold::new(swarm));
    let mut parted = false;
    loop {
        let (next_a, next_b) = step(&mut of_a, &mut of_b)?;
        let within = match (&next_a, &next_b) {
            (Some(_), None) => Within::A,
            (None, Some(_)) => Within::B,
            (Some(a), Some(b)) => {
                parted |= !same(Some(a), Some(b));
                Within::Both
            }
            (None, None) => return Ok(None),
        };
        parted |= within != Within::Both;
        if let Some(event) = &next_a {
            let _ = fold_a.apply(event, a)?;
        }
        if let Some(event) = &next_b {
            let _ = fold_b.apply(event, b)?;
        }
        let events = (next_a, next_b);
        let Some(event) = events.0.as_ref().or(events.1.as_ref()) else { return Ok(None) };
        let Some(aggregate) = Aggregate::of(event).filter(|_| parted) else { continue };
        let Some(aggregate) = differs(fold_a.state(), fold_b.state(), aggregate) else { continue };
        let (a, b) = (fold_a.state().clone(), fold_b.state().clone());
        let deciders = (decider(&a, aggregate), decider(&b, aggregate));
        let deciders = (deciders.0.or(deciders.1), deciders.1.or(deciders.0));
        let event = event.clone();
        let decisions = decisions((of_a, of_b), events, deciders, aggregate)?;
        return Ok(Some(Divergence { event, within, aggregate, a, b, deciders, decisions }));
    }
}

/// The next event of the total order: from both if both have one at that place.
fn step<I, J>(
    a: &mut Peekable<I>,
    b: &mut Peekable<J>,
) -> Result<(Option<Event>, Option<Event>), FoldError>
where
    I: Iterator<Item = Result<Event, FoldError>>,
    J: Iterator<Item = Result<Event, FoldError>>,
{
    let place = |next: Option<&Result<Event, FoldError>>| match next {
        Some(Ok(event)) => Ok(Some(Place::of(event))),
        Some(Err(error)) => Err(error.clone()),
        None => Ok(None),
    };
    let (at_a, at_b) = (place(a.peek())?, place(b.peek())?);
    let first = at_a.into_iter().chain(at_b).min();
    let a = if at_a == first { a.next().transpose()? } else { None };
    let b = if at_b == first { b.next().transpose()? } else { None };
    Ok((a, b))
}

/// What of two states differs after an event of this aggregate: it, or, since members and erasures
/// bear on all others, the first that does.
fn differs(a: &SwarmState, b: &SwarmState, aggregate: Aggregate) -> Option<Aggregate> {
    let other = match aggregate {
        Aggregate::Members => a.members != b.members,
        Aggregate::Erasures => a.erasures != b.erasures,
        Aggregate::Repositories => {
            a.repositories != b.repositories || a.repository_refusals != b.repository_refusals
        }
        Aggregate::Agent(author) => {
            a.agents.get(&author) != b.agents.get(&author)
                || a.agent_refusals.get(&author) != b.agent_refusals.get(&author)
        }
        Aggregate::Task(task) => a.tasks.get(&task) != b.tasks.get(&task),
        Aggregate::Session(session) => a.sessions.get(&session) != b.sessions.get(&session),
    };
    if other {
        return Some(aggregate);
    }
    if !matches!(aggregate, Aggregate::Members | Aggregate::Erasures) {
        return None;
    }
    let tasks: BTreeSet<_> = a.tasks.keys().chain(b.tasks.keys()).collect();
    let task = tasks.into_iter().find(|task| a.tasks.get(*task) != b.tasks.get(*task));
    let sessions: BTreeSet<_> = a.sessions.keys().chain(b.sessions.keys()).collect();
    let session = sessions.into_iter().find(|id| a.sessions.get(*id) != b.sessions.get(*id));
    let rest = || (a != b).then_some(aggregate);
    let task = task.map(|task| Aggregate::Task(*task));
    task.or(session.map(|id| Aggregate::Session(*id))).or_else(rest)
}

/// Who decides about an aggregate: the owner of the task, who opened the session.
fn decider(state: &SwarmState, aggregate: Aggregate) -> Option<AuthorId> {
    match aggregate {
        Aggregate::Task(task) => Some(state.tasks.get(&task)?.current()?.winner.as_ref()?.author),
        Aggregate::Session(id) => Some(state.sessions.get(&id)?.opening.as_ref()?.by),
        Aggregate::Agent(author) => Some(author),
        Aggregate::Members | Aggregate::Repositories | Aggregate::Erasures => None,
    }
}

/// The first two decisions that are not the same, from the event of the divergence on.
fn decisions<I, J>(
    rest: (I, J),
    first: (Option<Event>, Option<Event>),
    deciders: (Option<AuthorId>, Option<AuthorId>),
    aggregate: Aggregate,
) -> Result<(Option<Event>, Option<Event>), FoldError>
where
    I: Iterator<Item = Result<Event, FoldError>>,
    J: Iterator<Item = Result<Event, FoldError>>,
{
    let about = match aggregate {
        Aggregate::Task(task) | Aggregate::Session(task) => Some(task),
        _ => None,
    };
    let mut of_a = first.0.map(Ok).into_iter().chain(rest.0);
    let mut of_b = first.1.map(Ok).into_iter().chain(rest.1);
    loop {
        let a = next_of(&mut of_a, deciders.0, about)?;
        let b = next_of(&mut of_b, deciders.1, about)?;
        if a.is_none() || b.is_none() || !same(a.as_ref(), b.as_ref()) {
            return Ok((a, b));
        }
    }
}

fn next_of(
    events: &mut impl Iterator<Item = Result<Event, FoldError>>,
    author: Option<AuthorId>,
    about: Option<TaskId>,
) -> Result<Option<Event>, FoldError> {
    let Some(author) = author else { return Ok(None) };
    for event in events {
        let event = event?;
        if event.author == author && event.header.task == about {
            return Ok(Some(event));
        }
    }
    Ok(None)
}
