//! What people say to a question of a node, through its interface: somebody takes care of it, or
//! somebody answers. Both become signed events of this node; the same said twice is one event.

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::api::{Answer, Refusal, blocking, body};
use super::callback::{Channel, Shown};
use super::{Site, event};
use crate::engine::{Engine, EngineError};
use crate::kernel::event::kinds::{EscalationAcknowledged, EscalationAnswered, Payload, Role};
use crate::kernel::event::{Draft, EventId, TaskId};
use crate::kernel::fold::{Escalation, SwarmState};
use crate::kernel::identity::AuthorId;

/// The longest answer, in bytes: with its name and JSON's escapes it fits into a request.
pub const MAX_ANSWER: usize = 8 * 1024;

/// The longest name of who answers, in bytes.
pub const MAX_BY: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    answer: String,
    by: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledging {
    by: String,
}

/// A request whose sender is known.
pub(super) struct Asked {
    escalation: EventId,
    channel: Channel,
    body: Bytes,
}

impl FromRequest<Arc<Site>> for Asked {
    type Rejection = Refusal;

    /// Who asks is looked at before anything is told, whether there is such a question or not.
    async fn from_request(request: Request, site: &Arc<Site>) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let id = Path::<String>::from_request_parts(&mut parts, site).await;
        let Path(id) = id.map_err(|error| Refusal::new(error.status(), error.body_text()))?;
        let (headers, path) = (parts.headers.clone(), parts.uri.path().to_owned());
        let body = Bytes::from_request(Request::from_parts(parts, body), site).await;
        let body = body.map_err(|error| Refusal::new(error.status(), error.body_text()))?;
        let now_s = (site.shared.clock)() / 1_000;
        let shown = Shown { headers: &headers, path: &path, body: &body, now_s };
        let channel = site.shared.callback.check(&shown, &site.shared.token)?;
        let wrong = || bad("an escalation's id has 64 hexadecimal digits");
        let escalation = id.parse().map_err(|_| wrong())?;
        Ok(Self { escalation, channel, body })
    }
}

/// A question that a node waits on.
struct Open {
    task: TaskId,
    name: String,
    epoch: u64,
    asked: Escalation,
}

pub(super) async fn answer(State(site): State<Arc<Site>>, asked: Asked) -> Answer {
    let Answered { answer, by } = body(Ok(asked.body))?;
    let by = name(by)?;
    if answer.trim().is_empty() || answer.len() > MAX_ANSWER {
        return Err(bad(format!("`answer` has to have 1 to {MAX_ANSWER} bytes")));
    }
    let (answer, by) = ((site.shared.mask)(answer), (site.shared.mask)(by));
    let (id, channel) = (asked.escalation, asked.channel.name());
    let now = (site.shared.clock)();
    let inner = Arc::clone(&site);
    blocking(site, move |engine| {
        // One after the other, so that two that come at once are not two events.
        let _one = inner.answering.lock().unwrap_or_else(PoisonError::into_inner);
        let open = match find(engine, id) {
            Some(open) => open,
            None => return over(engine, id, &answer),
        };
        if let Some(before) = &open.asked.answer {
            return repeated(id, before.event, &before.text, &before.by, &answer);
        }
        let said = EscalationAnswered {
            epoch: open.epoch,
            escalation: id,
            answer,
            by: by.clone(),
            channel: channel.to_owned(),
        };
        let event = append(engine, Draft::about(open.task, said).because([id]), &open, now)?;
        let task = open.name;
        Ok(Json(json!({ "escalation": id, "task": task, "event": event, "answered_by": by })))
    })
    .await
}

pub(super) async fn acknowledge(State(site): State<Arc<Site>>, asked: Asked) -> Answer {
    let Acknowledging { by } = body(Ok(asked.body))?;
    let by = (site.shared.mask)(name(by)?);
    let (id, channel) = (asked.escalation, asked.channel.name());
    let now = (site.shared.clock)();
    let inner = Arc::clone(&site);
    blocking(site, move |engine| {
        let _one = inner.answering.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = find(engine, id) else {
            let (_, by) = past(engine, id)?;
            return Err(answered_already(&by));
        };
        if let Some(before) = &open.asked.answer {
            return Err(answered_already(&before.by));
        }
        let task = open.name.clone();
        if open.asked.acknowledged.as_ref().is_some_and(|known| known.by == by) {
            let said = json!({ "escalation": id, "task": task, "acknowledged_by": by });
            return Ok(Json(said));
        }
        let said = EscalationAcknowledged {
            epoch: open.epoch,
            escalation: id,
            by: by.clone(),
            channel: channel.to_owned(),
        };
        let event = append(engine, Draft::about(open.task, said).because([id]), &open, now)?;
        Ok(Json(json!({ "escalation": id, "task": task, "event": event, "acknowledged_by": by })))
    })
    .await
}

fn bad(what: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, what)
}

fn name(by: String) -> Result<String, Refusal> {
    let fine = !by.trim().is_empty() && by.len() <= MAX_BY && !by.chars().any(char::is_control);
    if fine { Ok(by) } else { Err(bad(format!("`by` has to be a line of 1 to {MAX_BY} bytes"))) }
}

fn find(engine: &Engine, id: EventId) -> Option<Open> {
    engine.read(|state| {
        let epochs = state.tasks.values().flat_map(|task| {
            task.epochs
                .values()
                .filter_map(move |epoch| Some((task, epoch, epoch.escalation.as_ref()?)))
        });
        let mut open = epochs.filter(|(_, _, asked)| asked.event == id);
        open.next().map(|(task, epoch, asked)| Open {
            task: task.id,
            name: task.name(),
            epoch: epoch.number,
            asked: asked.clone(),
        })
    })
}

/// The answer that a question got whose work went on since, and who gave it.
fn past(engine: &Engine, id: EventId) -> Result<(EscalationAnswered, String), Refusal> {
    let resumed = engine.read(|state: &SwarmState| {
        let tasks = state.tasks.values();
        let resumed =
            tasks.filter(|task| task.epochs.values().any(|epoch| !epoch.rounds.is_empty()));
        resumed.map(|task| task.id).collect::<Vec<_>>()
    });
    for task in resumed {
        let events = engine.task_events(task)?;
        let answer = events.iter().find_map(|event| match event.payload() {
            Some(Payload::EscalationAnswered(said)) if said.escalation == id => Some(said.clone()),
            _ => None,
        });
        if let Some(said) = answer {
            let by = said.by.clone();
            return Ok((said, by));
        }
    }
    Err(Refusal::new(StatusCode::NOT_FOUND, "this node knows no such escalation"))
}

/// The work went on already: the same answer is acknowledged, another one comes too late.
fn over(engine: &Engine, id: EventId, answer: &str) -> Answer {
    let (said, by) = past(engine, id)?;
    if said.answer != answer {
        return Err(answered_already(&by));
    }
    Ok(Json(json!({ "escalation": id, "answered_by": by, "repeated": true })))
}

fn repeated(id: EventId, event: EventId, text: &str, by: &str, answer: &str) -> Answer {
    if text != answer {
        return Err(answered_already(by));
    }
    Ok(Json(json!({ "escalation": id, "event": event, "answered_by": by, "repeated": true })))
}

fn answered_already(by: &str) -> Refusal {
    let what = format!("{by} has answered already");
    Refusal::new(StatusCode::CONFLICT, what).with("answered_by", by)
}

/// Whether the fold takes an answer of this node.
fn may_answer(state: &SwarmState, me: &AuthorId) -> bool {
    let member = state.members.members.get(me);
    member.is_some_and(|member| {
        member.stands_to().is_none() && matches!(member.role, Role::Agent | Role::Operator)
    })
}

/// Appends what people say, if this node may speak for them.
fn append(engine: &Engine, draft: Draft, open: &Open, now_ms: u64) -> Result<EventId, Refusal> {
    let me = engine.me();
    let (may, owner) = engine.read(|state| {
        let task = state.tasks.get(&open.task);
        let winner = task.and_then(|task| task.epochs.get(&open.epoch)?.winner.as_ref());
        let names = event::names(state);
        (may_answer(state, &me), winner.map(|win| event::name(&names, &win.author)))
    });
    if !may {
        let owner = owner.unwrap_or_else(|| "the task's owner".to_owned());
        let what = format!("this node may not speak for people in the swarm; answer at {owner}");
        return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, what).with("owner", &owner));
    }
    let appended = engine.append(vec![draft], now_ms)?;
    let refused = engine.read(|state| {
        let task = state.tasks.get(&open.task)?;
        let mut refusals = task.refusals.first.iter();
        refusals.find(|refusal| appended.ids.contains(&refusal.event)).map(|r| r.reason)
    });
    match refused {
        None => appended.ids.first().copied().ok_or_else(|| EngineError::Count(0).into()),
        Some(reason) => {
            let what = format!("the event was refused: {reason}");
            Err(Refusal::new(StatusCode::CONFLICT, what))
        }
    }
}
