//! The interface for programs: JSON in and out.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::event::{Filter, names, views};
use super::find::{FindError, find_event};
use super::members::{self, MemberError};
use super::{MAX_LISTED, Site, event, open, task};
use crate::engine::{Engine, EngineError, EraseError};
use crate::kernel::audit;
use crate::kernel::audit::{LookupError, find_task};
use crate::kernel::fold::SwarmState;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::Hash;

/// How many events an answer holds if nobody says.
const EVENTS: usize = 50;

/// A refused request: `{"error": ...}`.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: String,
    /// More that programs may want to know.
    more: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), more: Vec::new() }
    }

    pub(super) fn with(mut self, key: &'static str, value: &str) -> Self {
        self.more.push((key, value.to_owned()));
        self
    }

    fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.error });
        for (key, value) in self.more {
            body[key] = json!(value);
        }
        let body = Json(body);
        if self.status == StatusCode::UNAUTHORIZED {
            return (self.status, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response();
        }
        (self.status, body).into_response()
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<FindError> for Refusal {
    fn from(error: FindError) -> Self {
        let status = match &error {
            FindError::Form(_) => StatusCode::BAD_REQUEST,
            FindError::Unknown(_) => StatusCode::NOT_FOUND,
            FindError::Ambiguous(_) => StatusCode::CONFLICT,
            FindError::Engine(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<EraseError> for Refusal {
    fn from(error: EraseError) -> Self {
        let status = match &error {
            EraseError::Unknown { .. } => StatusCode::NOT_FOUND,
            EraseError::NotAllowed(_) => StatusCode::FORBIDDEN,
            EraseError::Already { .. } | EraseError::Refused(_) => StatusCode::CONFLICT,
            EraseError::Text => StatusCode::BAD_REQUEST,
            EraseError::Engine(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<LookupError> for Refusal {
    fn from(error: LookupError) -> Self {
        Self::new(StatusCode::NOT_FOUND, error.to_string())
    }
}

impl From<MemberError> for Refusal {
    fn from(error: MemberError) -> Self {
        let status = match &error {
            MemberError::NotAnAdministrator | MemberError::Administrator(_) => {
                StatusCode::FORBIDDEN
            }
            MemberError::Unknown(_) | MemberError::Branch(_) => StatusCode::NOT_FOUND,
            MemberError::Text(_) | MemberError::Key(_) => StatusCode::BAD_REQUEST,
            MemberError::Engine(_) => StatusCode::INTERNAL_SERVER_ERROR,
            MemberError::Already(_)
            | MemberError::Revoked(_)
            | MemberError::Rotated { .. }
            | MemberError::NotForked(_)
            | MemberError::NoBranch
            | MemberError::Refused(_) => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string())
    }
}

pub(super) type Answer = Result<Json<Value>, Refusal>;
type Ask<T> = Result<Query<T>, QueryRejection>;

/// What stands after the question mark.
pub(super) fn asked<T>(query: Ask<T>) -> Result<T, Refusal> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(rejection) => Err(Refusal::bad(rejection.body_text())),
    }
}

/// A JSON body of bounded length.
pub(super) fn body<T: serde::de::DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Refusal> {
    let bytes = body.map_err(|error| Refusal::new(error.status(), error.body_text()))?;
    serde_json::from_slice(&bytes).map_err(|error| Refusal::bad(format!("the body: {error}")))
}

fn author(text: &str) -> Result<AuthorId, Refusal> {
    text.parse().map_err(|_| Refusal::bad("a key has 64 hexadecimal digits"))
}

fn limit(asked: Option<usize>) -> usize {
    asked.unwrap_or(EVENTS).clamp(1, MAX_LISTED)
}

/// Runs what may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    site: Arc<Site>,
    work: impl FnOnce(&Engine) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = spawn_blocking(move || work(&site.shared.engine)).await;
    done.unwrap_or_else(|_| {
        let what = "answering ended by a fault of this program";
        Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, what))
    })
}

pub(super) async fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this path")
}

pub(super) async fn wrong_method() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method")
}

pub(super) async fn health(State(site): State<Arc<Site>>) -> Json<Value> {
    let engine = &site.shared.engine;
    Json(json!({ "status": "ok", "node": engine.me(), "swarm": engine.swarm() }))
}

/// What the node says of itself, with names, the roots of the logs and the number of tasks.
pub(super) async fn status(State(site): State<Arc<Site>>) -> Answer {
    let mut status = (site.shared.status)().await;
    blocking(site, move |engine| {
        let heads = engine.lengths().into_keys();
        let heads = heads.map(|author| Ok((author.to_string(), engine.head(&author)?)));
        let heads: std::collections::BTreeMap<_, _> = heads.collect::<Result<_, EngineError>>()?;
        engine.read(|state| add_names(&mut status, state));
        for log in list(&mut status, "logs") {
            let head = log.get("author").and_then(Value::as_str).and_then(|a| heads.get(a));
            // The root belongs to the head's own length, in case the log has grown meanwhile.
            if let Some(Some(head)) = head {
                log["root"] = json!(head.root);
                log["length"] = json!(head.length);
            }
        }
        Ok(Json(status))
    })
    .await
}

fn list<'a>(status: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    status.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

fn add_names(status: &mut Value, state: &SwarmState) {
    let names = names(state);
    let named = |key: Option<&Value>| {
        let key: Option<AuthorId> = key.and_then(Value::as_str).and_then(|key| key.parse().ok());
        key.map(|key| event::name(&names, &key))
    };
    for (part, key) in [("peers", "node"), ("logs", "author")] {
        for entry in list(status, part) {
            let name = named(entry.get(key));
            entry["name"] = json!(name);
        }
    }
    let mut tasks = std::collections::BTreeMap::new();
    for task in state.tasks.values() {
        *tasks.entry(task.status().name()).or_insert(0_u64) += 1;
    }
    if let Some(fields) = status.as_object_mut() {
        let swarm_name = state.members.founded.as_ref().map(|(_, name)| name);
        fields.insert("swarm_name".to_owned(), json!(swarm_name));
        fields.insert("members".to_owned(), json!(state.members.present().len()));
        fields.insert("tasks".to_owned(), json!(tasks));
    }
}

#[derive(Deserialize)]
pub(super) struct TaskFilter {
    repository: Option<String>,
    status: Option<String>,
}

pub(super) async fn tasks(State(site): State<Arc<Site>>, query: Ask<TaskFilter>) -> Answer {
    let filter = asked(query)?;
    blocking(site, move |engine| {
        let mut tasks = engine.read(task::summaries);
        tasks.retain(|task| {
            filter.repository.as_ref().is_none_or(|wanted| task.repository == *wanted)
                && filter.status.as_ref().is_none_or(|wanted| task.status == *wanted)
        });
        Ok(Json(json!({ "tasks": tasks })))
    })
    .await
}

pub(super) async fn task(State(site): State<Arc<Site>>, Path(text): Path<String>) -> Answer {
    blocking(site, move |engine| {
        let found = engine.read(|state| {
            let task = find_task(state, &text)?;
            Ok::<_, LookupError>(task::view(state, task))
        });
        Ok(Json(json!(found?)))
    })
    .await
}

/// What was said about a task.
pub(super) async fn discussion(State(site): State<Arc<Site>>, Path(text): Path<String>) -> Answer {
    blocking(site, move |engine| {
        let found = engine.read(|state| {
            let task = state.tasks.get(&find_task(state, &text)?);
            Ok::<_, LookupError>(task.map(|task| audit::discussion(state, task)))
        });
        Ok(Json(json!(found?)))
    })
    .await
}

/// What waits for somebody, in all tasks or in one.
pub(super) async fn open(State(site): State<Arc<Site>>, query: Ask<OpenFilter>) -> Answer {
    let filter = asked(query)?;
    blocking(site, move |engine| {
        let items = engine.read(|state| {
            let task = filter.task.as_deref().map(|text| find_task(state, text)).transpose()?;
            Ok::<_, LookupError>(
                task.map_or_else(|| open::open(state), |t| open::open_in(state, t)),
            )
        });
        Ok(Json(json!({ "open": items? })))
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct OpenFilter {
    task: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct EventFilter {
    after: Option<u64>,
    limit: Option<usize>,
    author: Option<String>,
    task: Option<String>,
}

/// The latest events in the order of arrival, or those of an author or a task in the total order.
pub(super) async fn events(State(site): State<Arc<Site>>, query: Ask<EventFilter>) -> Answer {
    let asked = asked(query)?;
    let limit = limit(asked.limit);
    let by = (asked.author.as_deref().map(author).transpose()?, asked.task.clone());
    let run = site.recent.run;
    if asked.after.is_some() || by == (None, None) {
        let slice = site.recent.slice(asked.after, limit);
        let events = site.shared.engine.read(|state| {
            let task = by.1.as_deref().map(|text| find_task(state, text)).transpose()?;
            let mut events = slice.events;
            events.retain(|event| {
                by.0.is_none_or(|author| event.author == author)
                    && task.is_none_or(|task| event.header.task == Some(task))
            });
            Ok::<_, Refusal>(views(state, events.iter().map(|event| &**event)))
        })?;
        return Ok(Json(json!({ "run": run, "last": slice.last, "events": events })));
    }
    let last = site.recent.slice(None, 0).last;
    blocking(site, move |engine| {
        let task = by.1.map(|text| engine.read(|state| find_task(state, &text))).transpose()?;
        let filter = Filter { author: by.0, task, limit };
        let events = event::events(engine, &filter)?;
        Ok(Json(json!({ "run": run, "last": last, "events": events })))
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct Span {
    from: Option<u64>,
    limit: Option<usize>,
}

pub(super) async fn log(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    query: Ask<Span>,
) -> Answer {
    let (key, span) = (author(&key)?, asked(query)?);
    let (from, limit) = (span.from.unwrap_or(0), limit(span.limit));
    blocking(site, move |engine| {
        let Some(length) = engine.lengths().get(&key).copied() else {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "this node holds no log of that key"));
        };
        let events = event::events_from(engine, key, from, limit)?;
        Ok(Json(json!({ "author": key, "length": length, "from": from, "events": events })))
    })
    .await
}

pub(super) async fn members(State(site): State<Arc<Site>>) -> Answer {
    blocking(site, |engine| Ok(Json(json!({ "members": members::list(engine) })))).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Admission {
    key: String,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    name: String,
}

pub(super) async fn admit(
    State(site): State<Arc<Site>>,
    given: Result<Bytes, BytesRejection>,
) -> Answer {
    let asked: Admission = body(given)?;
    let key = author(&asked.key)?;
    let role = members::role_of(asked.role.as_deref().unwrap_or("agent"))
        .ok_or_else(|| Refusal::bad("a role is `agent`, `operator` or `replica`"))?;
    let now = (site.shared.clock)();
    blocking(site, move |engine| {
        let name = members::role_name(&role);
        members::admit(engine, key, role, &asked.name, now)?;
        Ok(Json(json!({ "admitted": key, "role": name, "name": asked.name })))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolution {
    #[serde(default)]
    root: Option<String>,
    #[serde(default)]
    reason: String,
}

pub(super) async fn resolve(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    given: Result<Bytes, BytesRejection>,
) -> Answer {
    let key = author(&key)?;
    let asked: Resolution = body(given)?;
    let root = asked.root.map(|root| root.parse::<Hash>());
    let root =
        root.transpose().map_err(|_| Refusal::bad("the root has to have 64 hexadecimal digits"))?;
    let now = (site.shared.clock)();
    blocking(site, move |engine| {
        let branch = members::resolve(engine, key, root, &asked.reason, now)?;
        Ok(Json(json!({ "resolved": key, "branch": branch })))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revocation {
    #[serde(default)]
    length: Option<u64>,
    #[serde(default)]
    reason: String,
}

pub(super) async fn revoke(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    given: Result<Bytes, BytesRejection>,
) -> Answer {
    let key = author(&key)?;
    let asked: Revocation = body(given)?;
    let now = (site.shared.clock)();
    blocking(site, move |engine| {
        let length = members::revoke(engine, key, asked.length, &asked.reason, now)?;
        Ok(Json(json!({ "revoked": key, "length": length })))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Erasing {
    event: String,
    reason: String,
}

/// Erases a payload; the bytes are out of this node's store when it answers.
pub(super) async fn erase(
    State(site): State<Arc<Site>>,
    given: Result<Bytes, BytesRejection>,
) -> Answer {
    let asked: Erasing = body(given)?;
    let now = (site.shared.clock)();
    blocking(site, move |engine| {
        let (author, seq) = find_event(engine, &asked.event)?;
        let erased = engine.erase(author, seq, &asked.reason, now)?;
        let (event, said) = (erased.event, erased.said);
        Ok(Json(json!({ "erased": event, "author": author, "seq": seq, "said": said })))
    })
    .await
}
