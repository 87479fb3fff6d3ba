//! What people say of a task through the interface of their node: messages, reviews of plans,
//! withdrawals, approvals. Each becomes one signed event of this node, and the answer says whether
//! the fold took it.

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Site;
use super::api::{Answer, Refusal, blocking, body};
use super::open::open_questions;
use crate::engine::{Engine, EngineError};
use crate::kernel::audit::find_task;
use crate::kernel::event::kinds::{
    Act, ApprovalGiven, CoordinationSaid, MessageSaid, PlanReviewed, Role, Verdict, Withdrawn,
};
use crate::kernel::event::{Draft, EventId, TaskId};
use crate::kernel::fold::{Epoch, MAX_MESSAGE, Reason, Session, SwarmState, Task};
use crate::kernel::identity::{AuthorId, IdPrefix};
use crate::kernel::log::Hash;

/// The longest body of a request to say something, in bytes: the longest text with all that JSON
/// may make of it.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// The longest reason of an approval, in bytes.
pub const MAX_REASON: usize = 4096;

/// The longest wait for an answer, in seconds: a discussion lives no longer.
const MAX_WAIT_S: u64 = 7 * 24 * 60 * 60;

/// What somebody wants to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Say {
    /// Something that asks for nothing.
    Comment,
    /// A question.
    Question,
    /// An answer to a question of the discussion.
    Answer,
    /// The plan is good.
    Support,
    /// Something to consider about the plan.
    Advise,
    /// The plan must be revised.
    Object,
    /// The author takes back what it said.
    Withdraw,
    /// What a request asks for may be done.
    Approve,
    /// It must not be done.
    Refuse,
}

/// A request to say something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saying {
    /// What it is meant as.
    pub say: Say,
    /// The text, or the reason.
    #[serde(default)]
    pub text: String,
    /// What it is about, as an id or at least four digits that only its id begins with: the parent
    /// of a message, the plan, the message to take back, the request for an approval. What is clear
    /// without it needs none.
    #[serde(default)]
    pub to: Option<String>,
    /// Of an approval, the hash that the person was shown.
    #[serde(default)]
    pub hash: Option<String>,
    /// Of a question, for how long an answer is awaited; for ever if nothing is said.
    #[serde(default)]
    pub wait_seconds: Option<u64>,
    /// In a session, the task that it speaks for.
    #[serde(default)]
    pub task: Option<String>,
}

/// An event that is ready to be appended, and what it is about.
struct Ready {
    draft: Draft,
    about: TaskId,
    name: String,
    target: Option<EventId>,
}

/// Says something in the discussion of a task.
pub(super) async fn in_task(
    State(site): State<Arc<Site>>,
    Path(task): Path<String>,
    given: Result<Bytes, BytesRejection>,
) -> Answer {
    say(site, given, move |state, me, saying, now_ms| {
        let id = find_task(state, &task)?;
        let task = state.tasks.get(&id).ok_or_else(|| missing("no such task"))?;
        prepare(task, me, saying, now_ms)
    })
    .await
}

/// Says something in a session about the order of two tasks.
pub(super) async fn in_session(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    given: Result<Bytes, BytesRejection>,
) -> Answer {
    say(site, given, move |state, _, saying, _| prepare_in_session(state, &id, saying)).await
}

/// Checks what somebody wants to say, makes the event of it, and appends that.
async fn say<F>(site: Arc<Site>, given: Result<Bytes, BytesRejection>, ready: F) -> Answer
where
    F: FnOnce(&SwarmState, &AuthorId, &Saying, u64) -> Result<Ready, Refusal> + Send + 'static,
{
    let saying = checked(&site, given)?;
    let now_ms = (site.shared.clock)();
    let inner = Arc::clone(&site);
    blocking(site, move |engine| {
        // One after the other, so that two that come at once do not both find it open.
        let _one = inner.answering.lock().unwrap_or_else(PoisonError::into_inner);
        let me = engine.me();
        let ready = engine.read(|state| {
            may(state, &me, saying.say)?;
            ready(state, &me, &saying, now_ms)
        })?;
        append(engine, ready, now_ms)
    })
    .await
}

/// A request of the right form and size, its text without secrets.
fn checked(site: &Site, given: Result<Bytes, BytesRejection>) -> Result<Saying, Refusal> {
    let mut saying: Saying = body(given)?;
    saying.text = (site.shared.mask)(saying.text.trim().to_owned());
    let verdict = matches!(saying.say, Say::Approve | Say::Refuse);
    let max = if verdict { MAX_REASON } else { MAX_MESSAGE };
    if saying.text.len() > max {
        let has = saying.text.len();
        return Err(bad(format!("the text has {has} bytes, and at most {max} are taken")));
    }
    let optional = matches!(saying.say, Say::Support | Say::Withdraw | Say::Approve);
    if saying.text.is_empty() && !optional {
        return Err(bad("the text is empty: say what, or why"));
    }
    if saying.wait_seconds.is_some_and(|wait| wait > MAX_WAIT_S) {
        return Err(bad(format!("an answer is awaited for at most {MAX_WAIT_S} seconds")));
    }
    Ok(saying)
}

fn bad(what: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, what)
}

fn missing(what: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, what)
}

fn conflict(what: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, what)
}

/// Whether the role of this node's key allows it to say this.
fn may(state: &SwarmState, me: &AuthorId, say: Say) -> Result<(), Refusal> {
    let forbidden = |what: &str| Err(Refusal::new(StatusCode::FORBIDDEN, what));
    let member = state.members.members.get(me).filter(|member| member.stands_to().is_none());
    let Some(member) = member else {
        return forbidden(
            "this node's key is no member of the swarm: an administrator admits a person's key \
             with `bzzz member admit KEY --role operator`",
        );
    };
    match (&member.role, say) {
        (Role::Replica, _) => forbidden(
            "this node's key has the role replica, which says nothing about tasks; people take \
             part with a key that was admitted with `--role operator`",
        ),
        (Role::Agent, Say::Approve | Say::Refuse) if !member.administrator => forbidden(
            "this node's key has the role agent, and agents do not approve: it takes the key of an \
             operator (`bzzz member admit KEY --role operator`) or of an administrator",
        ),
        _ => Ok(()),
    }
}

/// The event that says it, if there is something to say it about.
fn prepare(task: &Task, me: &AuthorId, saying: &Saying, now_ms: u64) -> Result<Ready, Refusal> {
    let name = task.name();
    let epoch = task.current().ok_or_else(|| {
        conflict(format!("nobody has claimed {name} yet, so that there is nothing to discuss"))
    })?;
    if let Some(outcome) = &epoch.finished {
        return Err(conflict(format!("the work on {name} has ended: {outcome}")));
    }
    let (draft, target) = match saying.say {
        Say::Comment | Say::Question | Say::Answer => message(task, epoch, me, saying, now_ms)?,
        Say::Support | Say::Advise | Say::Object => review(task, epoch, saying)?,
        Say::Withdraw => withdrawal(task, epoch, me, saying)?,
        Say::Approve | Say::Refuse => verdict(task, epoch, saying)?,
    };
    let draft = draft.because(target);
    Ok(Ready { draft, about: task.id, name, target })
}

type Said = Result<(Draft, Option<EventId>), Refusal>;

fn message(task: &Task, epoch: &Epoch, me: &AuthorId, saying: &Saying, now_ms: u64) -> Said {
    let act = act(saying.say);
    let to = saying.to.as_deref();
    let parent = match (act, to) {
        (Act::Answer, to) => {
            let asked = open_questions(epoch).filter(|(_, said)| said.author != *me);
            let asked: Vec<EventId> = asked.map(|(id, _)| *id).collect();
            match to {
                // One that was answered before can be answered again.
                Some(to) => {
                    let all = epoch.discussion.questions().map(|(id, _)| *id);
                    Some(pick(all, to, "question")?)
                }
                None => Some(only(&asked, "question", &task.name())?),
            }
        }
        (_, Some(to)) => {
            let plans = epoch.plans.iter().map(|plan| plan.event);
            let help = epoch.help.iter().map(|help| help.event);
            let messages = epoch.discussion.messages.keys().copied();
            Some(pick(plans.chain(help).chain(messages), to, "plan, request or message")?)
        }
        (_, None) => None,
    };
    let wait_ms = saying.wait_seconds.filter(|_| act == Act::Question).unwrap_or(0) * 1000;
    let deadline_ms = if wait_ms == 0 { 0 } else { now_ms.saturating_add(wait_ms) };
    let text = saying.text.clone();
    let said = MessageSaid { epoch: epoch.number, parent, act, text, deadline_ms };
    Ok((Draft::about(task.id, said), parent))
}

fn review(task: &Task, epoch: &Epoch, saying: &Saying) -> Said {
    let name = task.name();
    let plan = match &saying.to {
        Some(to) => pick(epoch.plans.iter().map(|plan| plan.event), to, "plan")?,
        None => {
            let plan = epoch.plan();
            plan.ok_or_else(|| conflict(format!("{name} has no plan yet")))?.event
        }
    };
    if epoch.plan().is_none_or(|last| last.event != plan) {
        return Err(conflict(format!(
            "the plan of {name} was revised since: look at the last one"
        )));
    }
    if epoch.plan().is_some_and(|plan| plan.adopted.is_some()) {
        return Err(conflict(format!(
            "{name} has no open plan: its plan was adopted; say what you think as a message"
        )));
    }
    let verdict = match saying.say {
        Say::Object => Verdict::Object,
        Say::Advise => Verdict::Advise,
        _ => Verdict::Support,
    };
    let reason = saying.text.clone();
    let reviewed = PlanReviewed { epoch: epoch.number, plan, verdict, reason };
    Ok((Draft::about(task.id, reviewed), Some(plan)))
}

fn withdrawal(task: &Task, epoch: &Epoch, me: &AuthorId, saying: &Saying) -> Said {
    let messages = epoch.discussion.messages.iter();
    let own = messages.filter(|(_, said)| said.author == *me && !said.withdrawn);
    let own: Vec<EventId> = own.map(|(id, _)| *id).collect();
    let message = match &saying.to {
        Some(to) => pick(own.into_iter(), to, "message of this node that stands")?,
        None => only(&own, "message of this node that stands", &task.name())?,
    };
    let (epoch, reason) = (epoch.number, saying.text.clone());
    Ok((Draft::about(task.id, Withdrawn { epoch, message, reason }), Some(message)))
}

fn verdict(task: &Task, epoch: &Epoch, saying: &Saying) -> Said {
    let request = match &saying.to {
        Some(to) => pick(epoch.approvals.iter().map(|asked| asked.event), to, "request")?,
        None => {
            let open: Vec<EventId> = epoch.awaited().map(|asked| asked.event).collect();
            only(&open, "request for an approval", &task.name())?
        }
    };
    let asked = epoch.approvals.iter().find(|asked| asked.event == request);
    let asked = asked.ok_or_else(|| missing("no such request"))?;
    let shown = saying.hash.as_deref().ok_or_else(|| {
        bad("an approval names the hash that was shown: it is bound to exactly that")
    })?;
    let hash: Hash =
        shown.parse().map_err(|_| bad("the hash has to have 64 hexadecimal digits"))?;
    if hash != asked.hash {
        let what = "the hash is not that of the request: look at what is asked for again";
        return Err(conflict(what).with("hash", &asked.hash.to_string()));
    }
    if let Some(before) = &asked.verdict {
        let verb = if before.approved { "approved" } else { "refused" };
        let what = format!("it was {verb} already by {}", before.author.short());
        return Err(conflict(what).with("event", &before.event.to_string()));
    }
    if !epoch.awaited().any(|asked| asked.event == request) {
        return Err(conflict("it is not asked for any more: look at what is asked for now"));
    }
    let (approved, reason) = (saying.say == Say::Approve, saying.text.clone());
    let given = ApprovalGiven { epoch: epoch.number, request, hash, approved, reason };
    Ok((Draft::about(task.id, given), Some(request)))
}

fn prepare_in_session(state: &SwarmState, id: &str, saying: &Saying) -> Result<Ready, Refusal> {
    let act = match saying.say {
        Say::Comment | Say::Question | Say::Answer => act(saying.say),
        _ => return Err(bad("a session takes comments, questions and answers")),
    };
    let session = find_session(state, id)?;
    let opening = session.opening.as_ref().ok_or_else(|| missing("the session was not opened"))?;
    if !session.is_open() {
        return Err(conflict("the session is over"));
    }
    let task = saying.task.as_deref();
    let task = find_task(state, task.ok_or_else(|| bad("`task` says for which side you speak"))?)?;
    let side = opening.sides.iter().position(|side| side.task() == task);
    let side = side.ok_or_else(|| bad("the session is not about that task"))?;
    let side = u32::try_from(side).map_err(|_| bad("there are two sides"))?;
    let parents = std::iter::once(opening.event).chain(session.messages.keys().copied());
    let parent = match &saying.to {
        Some(to) => pick(parents, to, "message")?,
        None => opening.event,
    };
    let said = CoordinationSaid { parent, side, act, text: saying.text.clone() };
    let draft = Draft::about(session.id, said).because([parent]);
    let name = super::open::both(session);
    Ok(Ready { draft, about: session.id, name, target: Some(parent) })
}

/// The session that an id, the beginning of one, or a task names that is a side of one only.
fn find_session<'a>(state: &'a SwarmState, text: &str) -> Result<&'a Session, Refusal> {
    let task = find_task(state, text).ok();
    let prefix = IdPrefix::parse(text);
    let begins = |id: &[u8; 32]| prefix.as_ref().is_some_and(|prefix| prefix.begins(id));
    let mut found = state.sessions.values().filter(|session| {
        begins(session.id.as_bytes())
            || session.opening.as_ref().is_some_and(|opening| begins(opening.event.as_bytes()))
            || task.is_some_and(|task| session.is_open() && session.concerns(task))
    });
    match (found.next(), found.next()) {
        (Some(session), None) => Ok(session),
        (None, _) => {
            Err(missing(format!("no session about the order of tasks is called {text:?}")))
        }
        (Some(one), Some(other)) => {
            let opening = |session: &Session| Some(session.opening.as_ref()?.event.short());
            let ids: Vec<String> = [one, other].into_iter().filter_map(opening).collect();
            let ids = ids.join(" and ");
            Err(conflict(format!("{text:?} names several sessions, {ids} among them: name its id")))
        }
    }
}

fn act(say: Say) -> Act {
    match say {
        Say::Question => Act::Question,
        Say::Answer => Act::Answer,
        _ => Act::Comment,
    }
}

/// The one event of these that a text names.
fn pick(events: impl Iterator<Item = EventId>, text: &str, what: &str) -> Result<EventId, Refusal> {
    let prefix = IdPrefix::parse(text).ok_or_else(|| {
        let (least, text) = (IdPrefix::LEAST, text.chars().take(80).collect::<String>());
        bad(format!(
            "{text:?} is no id: it has 64 hexadecimal digits, of which {least} or more are named"
        ))
    })?;
    let mut found = events.filter(|event| prefix.begins(event.as_bytes()));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(missing(format!("there is no {what} {text} in the present discussion"))),
        (Some(_), Some(_)) => Err(conflict(format!("{text} begins the ids of several"))),
    }
}

/// The one event that there is, if it needs no name.
fn only(events: &[EventId], what: &str, task: &str) -> Result<EventId, Refusal> {
    match events {
        [one] => Ok(*one),
        [] => Err(missing(format!("{task} has no open {what}"))),
        several => {
            let ids: Vec<String> = several.iter().take(16).map(|event| event.short()).collect();
            let (count, ids) = (several.len(), ids.join(", "));
            Err(conflict(format!("{task} has {count} of that kind ({what}): name one of {ids}")))
        }
    }
}

/// Appends it, and says whether the fold took it.
fn append(engine: &Engine, ready: Ready, now_ms: u64) -> Answer {
    let Ready { draft, about, name, target } = ready;
    let appended = engine.append(vec![draft], now_ms)?;
    let event = *appended.ids.first().ok_or(EngineError::Count(0))?;
    match engine.read(|state| fate(state, about, target, event)) {
        Ok(()) => Ok(Json(json!({ "event": event, "task": name, "to": target, "taken": true }))),
        Err(reason) => {
            let why = reason.map_or_else(|| "it is not said why".to_owned(), |r| r.to_string());
            let what = format!("it was said, and refused by the rules of the discussion: {why}");
            let word = json!(reason).as_str().unwrap_or("unknown").to_owned();
            Err(conflict(what).with("reason", &word).with("event", &event.to_string()))
        }
    }
}

/// Whether the fold took an event of one of these kinds, or why not.
fn fate(
    state: &SwarmState,
    about: TaskId,
    target: Option<EventId>,
    event: EventId,
) -> Result<(), Option<Reason>> {
    let why = |refusals: &crate::kernel::fold::Refusals| {
        refusals.first.iter().find(|refusal| refusal.event == event).map(|refusal| refusal.reason)
    };
    if let Some(session) = state.sessions.get(&about) {
        let taken = session.messages.contains_key(&event);
        return if taken { Ok(()) } else { Err(why(&session.refusals)) };
    }
    let task = state.tasks.get(&about).ok_or(None)?;
    let refused = why(&task.refusals);
    let taken = |epoch: &Epoch| {
        let talk = &epoch.discussion;
        let given = epoch.approvals.iter().filter_map(|asked| asked.verdict.as_ref());
        let withdrawn = target.and_then(|target| talk.messages.get(&target));
        talk.messages.contains_key(&event)
            || given.into_iter().any(|verdict| verdict.event == event)
            || withdrawn.is_some_and(|message| message.withdrawn)
    };
    match refused {
        None if task.epochs.values().any(taken) => Ok(()),
        refused => Err(refused),
    }
}
