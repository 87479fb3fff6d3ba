//! The discussion of a task as a tree, with what came of each part and the rule that decided it.
//!
//! It follows from the state; what the state does not keep (the texts of refused events, when a
//! plan was adopted, questions to people of earlier rounds) comes from the events, if they are at
//! hand: [`Telling::event`].

mod event;
mod rules;
mod said;
mod session;
mod state;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kernel::event::{EventId, Hlc, TaskId};
use crate::kernel::fold::{SwarmState, Task};
use crate::kernel::identity::AuthorId;

/// The discussion of a task. Names and texts are untrusted; ids are hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// The task's id.
    pub task: String,
    /// The repository and the number.
    pub name: String,
    /// The title.
    pub title: String,
    /// The names of those who said something, by key.
    pub names: BTreeMap<String, String>,
    /// What was said, in the order of the tree: each entry before those below it.
    pub entries: Vec<Entry>,
    /// The refused events of the task and its sessions, those that are not listed included.
    pub refused: u64,
}

/// One part of a discussion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The event that said it; of a claim, its intent. None if the state alone does not tell.
    pub event: Option<String>,
    /// The event that it answers, or that it is about.
    pub parent: Option<String>,
    /// How far it stands below the root, from 0 on.
    pub depth: u32,
    /// Who said it: a key. None if the state alone does not tell.
    pub author: Option<String>,
    /// The hybrid logical clock of the event. None if the state alone does not tell.
    pub clock: Option<u64>,
    /// The clock's milliseconds since 1970.
    pub time_ms: Option<u64>,
    /// What it is.
    pub what: What,
    /// The same in words, to be read behind the author's name.
    pub head: String,
    /// What it says, in lines.
    pub text: String,
    /// Until when something is awaited, in milliseconds since 1970.
    pub deadline_ms: Option<u64>,
    /// What came of it.
    pub outcome: Outcome,
    /// The rule that decided that, in words.
    pub rule: String,
}

/// What a part of a discussion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A claim of the task that was won: what follows was said under it.
    Claim,
    /// Tighter limits of the discussion.
    Limits,
    /// A plan or a revision of it.
    Plan,
    /// A review of a plan.
    Review,
    /// The adoption of a plan.
    Adoption,
    /// A question.
    Question,
    /// An answer to a question.
    Answer,
    /// A comment.
    Comment,
    /// Something that its author took back.
    Withdrawal,
    /// A request for help.
    Help,
    /// An offer of help.
    Offer,
    /// The acceptance of an offer.
    Acceptance,
    /// The hand-off of the task to a helper.
    HandOff,
    /// A request for an approval of people.
    Approval,
    /// What a person said of it.
    Verdict,
    /// A question to people outside of the swarm.
    Escalation,
    /// The same question, raised again.
    Raised,
    /// Somebody takes care of the question.
    Acknowledgement,
    /// What people answered.
    PeoplesAnswer,
    /// Work that was taken up again.
    Round,
    /// A dependency that was found.
    Dependency,
    /// A session about the order of two tasks.
    Session,
    /// Somebody who joined a session.
    Joined,
    /// A message in a session.
    Said,
    /// The end of a session.
    Resolved,
    /// A session that was given to people.
    SessionEscalated,
    /// A refused event of which nothing more is known.
    Refused,
}

/// What came of a part of a discussion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing yet.
    Open,
    /// It stands as it was said.
    Stands,
    /// Its author took it back.
    Withdrawn,
    /// The owner had it when it adopted its plan.
    Considered,
    /// It stands, and came too late for the owner's decision.
    NotConsidered,
    /// It led to a revision of the plan.
    Heeded,
    /// The plan was adopted.
    Adopted,
    /// The plan was replaced by another one.
    Revised,
    /// It was answered.
    Answered,
    /// It was accepted.
    Accepted,
    /// Nobody took it.
    NotTaken,
    /// A person approved it.
    Approved,
    /// A person did not approve it.
    Denied,
    /// It was given to people.
    Escalated,
    /// It was settled.
    Resolved,
    /// It ended before anything came of it.
    Ended,
    /// It binds nobody.
    Void,
    /// The fold refused it: it changed nothing.
    Refused,
}

/// The discussion of a task as far as its state tells it.
#[must_use]
pub fn discussion(state: &SwarmState, task: &Task) -> Transcript {
    Telling::new(state, task).finish()
}

/// Where an entry stands if the event that it is about is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Root {
    Top,
    Epoch(u64),
    Session(TaskId),
}

#[derive(Debug)]
struct Node {
    entry: Entry,
    id: Option<EventId>,
    about: Option<EventId>,
    root: Root,
    /// Whether it is this root itself.
    is_root: bool,
    /// Not to be shown: a refused event that is no part of the discussion.
    hidden: bool,
}

/// A discussion in the making.
#[derive(Debug)]
pub struct Telling<'a> {
    state: &'a SwarmState,
    task: &'a Task,
    nodes: Vec<Node>,
    refused: u64,
}

/// What an entry is made of.
struct Part {
    id: Option<EventId>,
    about: Option<EventId>,
    author: Option<AuthorId>,
    at: Option<Hlc>,
    what: What,
    head: String,
    text: String,
    deadline_ms: u64,
    outcome: Outcome,
    rule: String,
}

impl Part {
    fn new(what: What, head: impl Into<String>) -> Self {
        Self {
            id: None,
            about: None,
            author: None,
            at: None,
            what,
            head: head.into(),
            text: String::new(),
            deadline_ms: 0,
            outcome: Outcome::Stands,
            rule: String::new(),
        }
    }

    fn by(mut self, author: AuthorId, at: Hlc) -> Self {
        (self.author, self.at) = (Some(author), Some(at));
        self
    }

    fn event(mut self, id: EventId) -> Self {
        self.id = Some(id);
        self
    }

    fn about(mut self, about: EventId) -> Self {
        self.about = Some(about);
        self
    }

    fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    fn until(mut self, deadline_ms: u64) -> Self {
        self.deadline_ms = deadline_ms;
        self
    }

    fn came(mut self, (outcome, rule): (Outcome, impl Into<String>)) -> Self {
        (self.outcome, self.rule) = (outcome, rule.into());
        self
    }
}

impl<'a> Telling<'a> {
    /// Begins with what the state tells.
    #[must_use]
    pub fn new(state: &'a SwarmState, task: &'a Task) -> Self {
        let mut telling = Self { state, task, nodes: Vec::new(), refused: 0 };
        telling.tell_task();
        telling.tell_sessions();
        telling
    }

    fn push(&mut self, root: Root, part: Part) {
        let Part { id, about, author, at, what, head, text, deadline_ms, outcome, rule } = part;
        let entry = Entry {
            event: id.map(|id| id.to_string()),
            parent: about.map(|id| id.to_string()),
            depth: 0,
            author: author.map(|author| author.to_string()),
            clock: at.map(|at| at.0),
            time_ms: at.map(Hlc::ms),
            what,
            head,
            text,
            deadline_ms: Some(deadline_ms).filter(|ms| *ms > 0),
            outcome,
            rule,
        };
        let (is_root, hidden) = (matches!(what, What::Claim | What::Session), false);
        self.nodes.push(Node { entry, id, about, root, is_root, hidden });
    }

    /// The tree. Whatever answers something that is not there stands below its claim.
    #[must_use]
    pub fn finish(mut self) -> Transcript {
        self.nodes.retain(|node| !node.hidden);
        let entries = ordered(&self.nodes);
        let spoke: Vec<_> = entries.iter().filter_map(|entry| entry.author.clone()).collect();
        let mut names = BTreeMap::new();
        for (author, member) in &self.state.members.members {
            let agent = self.state.agents.get(author).filter(|_| member.administrator);
            let name = agent.map_or(&member.name, |agent| &agent.started.name);
            let key = author.to_string();
            if spoke.contains(&key) {
                names.insert(key, name.clone());
            }
        }
        Transcript {
            task: self.task.id.to_string(),
            name: self.task.name(),
            title: self.task.title.clone(),
            names,
            entries,
            refused: self.refused,
        }
    }
}

/// The entries in the order of the tree, neighbours by their clocks; what has no clock comes last.
fn ordered(nodes: &[Node]) -> Vec<Entry> {
    let known = nodes.iter().enumerate();
    let ids: BTreeMap<_, _> = known.filter_map(|(at, node)| Some((node.id?, at))).collect();
    let known = nodes.iter().enumerate().filter(|(_, node)| node.is_root);
    let roots: BTreeMap<_, _> = known.map(|(at, node)| (node.root, at)).collect();
    let mut below: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for (at, node) in nodes.iter().enumerate() {
        let about = node.about.and_then(|id| ids.get(&id)).filter(|found| **found != at);
        let root = roots.get(&node.root).filter(|_| !node.is_root);
        below.entry(about.or(root).copied()).or_default().push(at);
    }
    for children in below.values_mut() {
        children.sort_by_key(|at| (nodes[*at].entry.clock.unwrap_or(u64::MAX), *at));
    }
    let mut entries = Vec::with_capacity(nodes.len());
    // No event can answer one that answers it: an id is a hash. What is taken out cannot come
    // again.
    let first = below.remove(&None).unwrap_or_default();
    let mut left: Vec<(usize, u32)> = first.into_iter().rev().map(|at| (at, 0)).collect();
    while let Some((at, depth)) = left.pop() {
        entries.push(Entry { depth, ..nodes[at].entry.clone() });
        let children = below.remove(&Some(at)).unwrap_or_default();
        left.extend(children.into_iter().rev().map(|at| (at, depth.saturating_add(1))));
    }
    entries
}
