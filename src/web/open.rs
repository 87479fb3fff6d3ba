//! What waits for somebody: open questions, plans in their window, approvals that are awaited,
//! requests for help, escalations, and sessions about the order of tasks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{name, names};
use crate::kernel::event::kinds::{Subject, cut};
use crate::kernel::event::{EventId, TaskId};
use crate::kernel::fold::{Approval, Epoch, Session, SwarmState, Task};
use crate::kernel::identity::AuthorId;

/// The most open things that are told at once.
pub const MAX_OPEN: usize = 500;

/// How much of a text the list of all tasks has, in bytes.
const GIST: usize = 400;

/// The longest text that is looked at for the name of a commit, in bytes.
const MAX_LOOK: usize = 64 * 1024;

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenKind {
    /// People are asked to approve something.
    Approval,
    /// The owner cannot go on and asks people outside of the discussion.
    Escalation,
    /// A member asks something that nobody answered yet.
    Question,
    /// A plan that is not adopted yet.
    Plan,
    /// The owner asks other members for help.
    Help,
    /// The owners of two tasks discuss their order.
    Order,
}

impl OpenKind {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Escalation => "escalation",
            Self::Question => "question",
            Self::Plan => "plan",
            Self::Help => "help",
            Self::Order => "order",
        }
    }
}

/// Something that waits for somebody. Texts are untrusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenItem {
    /// `repository#issue`; of a session, both tasks.
    pub task: String,
    /// The id of the task or of the session.
    pub task_id: String,
    /// What it is.
    pub what: OpenKind,
    /// The event that opened it: the id to name in an answer.
    pub id: String,
    /// Whose it is.
    pub author: String,
    /// Its name.
    pub author_name: String,
    /// Since when, in milliseconds since 1970.
    pub at_ms: u64,
    /// Until when somebody waits, in milliseconds since 1970; 0 if that is not said.
    pub deadline_ms: u64,
    /// What it says: the question, the plan, what is to be approved.
    pub text: String,
    /// More: the rule that wants an approval, the reason of an escalation, who has objected.
    pub note: String,
    /// Of an approval, what it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
}

/// What an approval is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// `plan`, `command` or `change`.
    pub subject: String,
    /// The hash that an approval has to name.
    pub hash: String,
    /// Whether the text is known to say just what the hash commits to: the plan of that event, the
    /// whole command, the commit that it names.
    pub exact: bool,
}

/// What is open in all tasks, the oldest first, with the beginning of each text.
#[must_use]
pub fn open(state: &SwarmState) -> Vec<OpenItem> {
    let names = names(state);
    let mut items: Vec<OpenItem> = Vec::new();
    for task in state.tasks.values() {
        items.extend(of_task(task, &names));
    }
    for session in state.sessions.values() {
        items.extend(of_session(session, &names));
    }
    for item in &mut items {
        item.text = cut(&item.text, GIST);
    }
    items.sort_by(|one, other| (one.at_ms, &one.id).cmp(&(other.at_ms, &other.id)));
    items.truncate(MAX_OPEN);
    items
}

/// What is open in one task and in the sessions that it is a side of, with whole texts.
#[must_use]
pub fn open_in(state: &SwarmState, task: TaskId) -> Vec<OpenItem> {
    let names = names(state);
    let mut items: Vec<OpenItem> = Vec::new();
    if let Some(task) = state.tasks.get(&task) {
        items.extend(of_task(task, &names));
    }
    items.extend(state.sessions.of(task).filter_map(|session| of_session(session, &names)));
    items.sort_by(|one, other| (one.at_ms, &one.id).cmp(&(other.at_ms, &other.id)));
    items.truncate(MAX_OPEN);
    items
}

/// The names of both tasks of a session.
pub(super) fn both(session: &Session) -> String {
    let sides = session.opening.iter().flat_map(|opening| &opening.sides);
    let sides: Vec<String> =
        sides.map(|side| format!("{}#{}", side.repository, side.issue)).collect();
    sides.join(" and ")
}

fn of_task(task: &Task, names: &BTreeMap<AuthorId, String>) -> Vec<OpenItem> {
    let Some(epoch) = task.current().filter(|epoch| epoch.is_active()) else {
        return Vec::new();
    };
    let Some(owner) = epoch.winner.as_ref().map(|win| win.author) else {
        return Vec::new();
    };
    let item = |what, id: EventId, author: AuthorId, at_ms: u64, deadline_ms: u64| OpenItem {
        task: task.name(),
        task_id: task.id.to_string(),
        what,
        id: id.to_string(),
        author: author.to_string(),
        author_name: name(names, &author),
        at_ms,
        deadline_ms,
        text: String::new(),
        note: String::new(),
        bound: None,
    };
    let mut items = Vec::new();
    for asked in epoch.awaited() {
        let made = item(OpenKind::Approval, asked.event, owner, asked.at.ms(), asked.deadline_ms);
        let (text, bound) = bound(epoch, asked);
        items.push(OpenItem { text, note: asked.rule.clone(), bound: Some(bound), ..made });
    }
    let asked = epoch.escalation.as_ref().filter(|asked| asked.answer.is_none());
    if let Some(asked) = asked {
        let made = item(OpenKind::Escalation, asked.event, owner, asked.at.ms(), 0);
        let care = asked.acknowledged.as_ref().map(|said| said.by.as_str());
        let note = match care {
            Some(by) => format!("{}; {by} takes care of it", asked.reason),
            None => asked.reason.clone(),
        };
        items.push(OpenItem { text: asked.question.clone(), note, ..made });
    }
    for (id, said) in open_questions(epoch) {
        let made = item(OpenKind::Question, *id, said.author, said.at.ms(), said.deadline_ms);
        items.push(OpenItem { text: said.text.clone(), ..made });
    }
    if let Some(plan) = epoch.plan().filter(|plan| plan.adopted.is_none()) {
        let made = item(OpenKind::Plan, plan.event, owner, plan.at.ms(), plan.deadline_ms);
        let against: Vec<String> = plan.objections().map(|one| name(names, &one.author)).collect();
        let note = match against[..] {
            [] => String::new(),
            _ => format!("objections: {}", against.join(", ")),
        };
        items.push(OpenItem { text: plan.text.to_string(), note, ..made });
    }
    if let Some(help) = epoch.open_help() {
        let made = item(OpenKind::Help, help.event, owner, help.at.ms(), help.deadline_ms);
        let note = format!("{} offers", help.offers.iter().filter(|o| !o.withdrawn).count());
        items.push(OpenItem { text: help.missing.clone(), note, ..made });
    }
    items
}

/// The questions of an epoch that nobody answered yet, in order.
pub(super) fn open_questions(
    epoch: &Epoch,
) -> impl Iterator<Item = (&EventId, &crate::kernel::fold::Message)> {
    let talk = &epoch.discussion;
    talk.questions().filter(|(id, _)| talk.answers(id).next().is_none())
}

/// What is to be approved, and whether the text is what the hash commits to. A plan is shown as the
/// state has it, not in the words of who asks.
fn bound(epoch: &Epoch, asked: &Approval) -> (String, Bound) {
    let (subject, text, exact) = match asked.subject {
        Subject::Plan => {
            let is_it = |event: &EventId| Subject::Plan.hash(&event.0) == asked.hash;
            let plan = epoch.plans.iter().find(|plan| is_it(&plan.event));
            let text = plan.map_or_else(|| asked.text.clone(), |plan| plan.text.to_string());
            ("plan", text, plan.is_some())
        }
        Subject::Command => {
            let exact = Subject::Command.hash(asked.text.as_bytes()) == asked.hash;
            ("command", asked.text.clone(), exact)
        }
        Subject::Change => {
            let hex = |word: &&str| {
                matches!(word.len(), 40 | 64) && word.bytes().all(|b| b.is_ascii_hexdigit())
            };
            let looked = cut(&asked.text, MAX_LOOK);
            let mut words = looked.split(|c: char| !c.is_ascii_alphanumeric()).filter(hex).take(64);
            let exact = words.any(|word| Subject::Change.hash(word.as_bytes()) == asked.hash);
            ("change", asked.text.clone(), exact)
        }
    };
    (text, Bound { subject: subject.to_owned(), hash: asked.hash.to_string(), exact })
}

fn of_session(session: &Session, names: &BTreeMap<AuthorId, String>) -> Option<OpenItem> {
    let opening = session.opening.as_ref().filter(|_| session.resolved.is_none())?;
    let note = match &session.escalated {
        Some((_, reason)) => format!("it came to no agreement: {reason}"),
        None => String::new(),
    };
    Some(OpenItem {
        task: both(session),
        task_id: session.id.to_string(),
        what: OpenKind::Order,
        id: opening.event.to_string(),
        author: opening.by.to_string(),
        author_name: name(names, &opening.by),
        at_ms: opening.at.ms(),
        deadline_ms: opening.deadline_ms,
        text: opening.reason.clone(),
        note,
        bound: None,
    })
}
