//! The status page of a node, its interface for programs and its metrics: HTTP on the loopback.
//!
//! Reading is open to whoever reaches the address, since on the loopback that is the machine's own
//! people; where other machines reach it, everything but the empty page needs the token. Writing
//! always needs the token. What other sites' pages could make a browser ask is refused: requests
//! that name a foreign host (DNS rebinding) or come from a foreign origin.
//!
//! This module knows the engine and nothing of the network or of configuration: what only the node
//! can say is handed in.
//!
//! | path | what |
//! | --- | --- |
//! | `GET /` | the page |
//! | `GET /health` | `{status, node, swarm}` |
//! | `GET /metrics` | for Prometheus |
//! | `GET /api/v1/status` | the node, its peers, its logs with their roots, the state's digest |
//! | `GET /api/v1/tasks?repository&status` | [`TaskSummary`] of each |
//! | `GET /api/v1/tasks/{task}` | [`TaskView`]; the task as `repository#issue` or id |
//! | `GET /api/v1/tasks/{task}/explanation` | [`explain::Explained`]: why it stands so |
//! | `GET /api/v1/events?limit&author&task` | the last events, [`EventView`] each |
//! | `GET /api/v1/events?after=N` | those that came behind number N: `{run, last, events}` |
//! | `GET /api/v1/watch?after&run&task&wait` | [`Watched`]: waits up to `wait` seconds for events |
//! | `GET /api/v1/open?task` | what waits for somebody, [`OpenItem`] each |
//! | `GET /api/v1/tasks/{task}/discussion` | what was said: `kernel::audit::Transcript` |
//! | `POST /api/v1/tasks/{task}/discussion` | says something as this node: [`Saying`] |
//! | `POST /api/v1/sessions/{session}` | says something in a session: [`Saying`] |
//! | `GET /api/v1/log/{author}?from&limit` | events of one log |
//! | `GET /api/v1/members` | [`members::MemberView`] of each |
//! | `POST /api/v1/members` | admits `{key, role, name}` |
//! | `POST /api/v1/members/{key}/revoke` | revokes `{length, reason}` |
//! | `POST /api/v1/members/{key}/resolve` | names a forked log's branch `{root, reason}` |
//! | `POST /api/v1/erase` | erases the payload of `{event, reason}` |
//! | `POST /api/escalations/{id}/answer` | answers a question to people: `{answer, by}` |
//! | `POST /api/escalations/{id}/ack` | somebody takes care of it: `{by}` |
//!
//! The last two also take the key and the signatures of callbacks, as `docs/n8n.md` says.
//!
//! Errors are `{"error": ...}` with a fitting status. Numbers of arrival begin anew with each
//! `run`.

mod answers;
mod api;
mod callback;
mod event;
pub mod explain;
mod find;
mod guard;
mod listener;
pub mod members;
mod metrics;
pub mod open;
mod recent;
mod say;
pub mod task;
mod watch;

use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::middleware;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch as told};

use self::listener::Bounded;
use self::recent::Recent;
use crate::engine::Engine;
use crate::kernel::agent::AgentConfig;

pub use self::answers::{MAX_ANSWER, MAX_BY};
pub use self::callback::{Callback, MAX_SKEW_S, SIGNATURE, TIMESTAMP};
pub use self::event::{EventView, Filter, events, events_from};
pub use self::find::{FindError, find_event};
pub use self::open::{OpenItem, OpenKind};
pub use self::say::{MAX_REASON, Say, Saying};
pub use self::task::{TaskSummary, TaskView};
pub use self::watch::{MAX_WAIT_S, Watched};

/// The longest body of a request, in bytes.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// The most events, or tasks, that one answer holds.
pub const MAX_LISTED: usize = 500;

/// Where questions to people are answered.
const ESCALATIONS: &str = "/api/escalations/";

/// How long answers that are under way may take when the node stops.
const CLOSE: Duration = Duration::from_secs(2);

/// What tells the status of the node, as `NodeStatus` of the node has it.
pub type StatusSource = Box<dyn Fn() -> StatusFuture + Send + Sync>;

/// The status, as soon as it is known.
pub type StatusFuture = Pin<Box<dyn Future<Output = Value> + Send>>;

/// What the page and the interface are made of.
pub struct Shared {
    /// The logs and the state.
    pub engine: Arc<Engine>,
    /// What only the node can say.
    pub status: StatusSource,
    /// Milliseconds since 1970.
    pub clock: Box<dyn Fn() -> u64 + Send + Sync>,
    /// What a request has to show before it may write. It should be random.
    pub token: String,
    /// Whether other machines reach the address. Then reading needs the token too.
    pub remote: bool,
    /// What an answer to a question has to show, beside the token.
    pub callback: Callback,
    /// Takes secrets out of a text before it becomes an event.
    pub mask: Box<dyn Fn(String) -> String + Send + Sync>,
    /// How the node's agent works, to say why it does not take a task.
    pub agent: Box<dyn Fn() -> AgentConfig + Send + Sync>,
}

/// What the handlers share.
struct Site {
    shared: Shared,
    recent: Arc<Recent>,
    page: String,
    policy: String,
    requests: AtomicU64,
    refused: AtomicU64,
    /// Held while an answer to a question is looked at and appended.
    answering: Mutex<()>,
    /// Who may still wait for events.
    watchers: Arc<Semaphore>,
    /// Whether the node stops.
    stopping: told::Receiver<bool>,
}

/// Serves until `shutdown` is over.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    shared: Shared,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (told, mut stopping) = told::channel(false);
    let site = Arc::new(Site::new(shared, stopping.clone())?);
    let shutdown = async move {
        shutdown.await;
        told.send_replace(true);
    };
    let serving = axum::serve(Bounded::new(listener), router(site));
    let serving = serving.with_graceful_shutdown(shutdown).into_future();
    let late = async {
        // An error says that the sender is gone, and so the server.
        let _ = stopping.wait_for(|stopping| *stopping).await;
        tokio::time::sleep(CLOSE).await;
    };
    tokio::select! {
        served = serving => served,
        () = late => Ok(()),
    }
}

fn router(site: Arc<Site>) -> Router {
    let longer = DefaultBodyLimit::max(say::MAX_BODY);
    Router::new()
        .route("/", get(page))
        .route("/health", get(api::health))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/tasks", get(api::tasks))
        .route("/api/v1/tasks/{task}", get(api::task))
        .route(
            "/api/v1/tasks/{task}/discussion",
            get(api::discussion).post(say::in_task).layer(longer),
        )
        .route("/api/v1/sessions/{session}", post(say::in_session).layer(longer))
        .route("/api/v1/tasks/{task}/explanation", get(explain::explanation))
        .route("/api/v1/open", get(api::open))
        .route("/api/v1/events", get(api::events))
        .route("/api/v1/watch", get(watch::watch))
        .route("/api/v1/log/{author}", get(api::log))
        .route("/api/v1/members", get(api::members).post(api::admit))
        .route("/api/v1/members/{key}/revoke", post(api::revoke))
        .route("/api/v1/erase", post(api::erase))
        .route("/api/escalations/{id}/answer", post(answers::answer))
        .route("/api/escalations/{id}/ack", post(answers::acknowledge))
        .route("/api/v1/members/{key}/resolve", post(api::resolve))
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(&site), guard::guard))
        .with_state(site)
}

async fn page(axum::extract::State(site): axum::extract::State<Arc<Site>>) -> Response {
    let policy = [(header::CONTENT_SECURITY_POLICY, site.policy.clone())];
    (policy, Html(site.page.clone())).into_response()
}

impl Site {
    fn new(shared: Shared, stopping: told::Receiver<bool>) -> io::Result<Self> {
        let recent = Arc::new(Recent::new((shared.clock)()));
        // First the subscription, then the past: nothing is lost between them.
        let sink = Arc::clone(&recent);
        shared.engine.subscribe(move |committed| sink.push(&committed.events));
        let past = event::latest(&shared.engine, recent::KEPT).map_err(io::Error::other)?;
        recent.fill(past);
        let nonce = hex::encode(blake3::derive_key("bzzz v1 page nonce", shared.token.as_bytes()));
        let page = include_str!("page.html").replace("NONCE", &nonce[..32]);
        let policy = format!(
            "default-src 'none'; connect-src 'self'; style-src 'nonce-{0}'; \
             script-src 'nonce-{0}'; img-src data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
            &nonce[..32]
        );
        let (requests, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        let answering = Mutex::default();
        let watchers = Arc::new(Semaphore::new(watch::MAX_WATCHERS));
        Ok(Self { shared, recent, page, policy, requests, refused, answering, watchers, stopping })
    }
}
