//! N8N: webhooks that tell people of a question of a node, and one that chooses a model.
//!
//! What goes out is signed with a secret that both sides know, so that a workflow can tell it from
//! what anybody else posts to its address. What comes back through the node's own API is checked
//! there.

mod select;
mod sign;

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Serialize;

use super::http::{self, Ambient, Backoff, Call, Caller, HttpError, Settings, Times};

pub use super::http::Secret;
pub use select::{Question, Selector};
pub use sign::{SIGNATURE, TIMESTAMP, signature};

/// The largest answer of a webhook, in bytes. Of an escalation's nothing is read but the status.
const MAX_ANSWER: usize = 64 * 1024;

/// The longest text of an escalation, in bytes; what is longer is cut.
pub const MAX_TEXT: usize = 16 * 1024;

/// How a webhook is reached.
#[derive(Debug)]
pub struct Webhook {
    /// Its whole address.
    pub url: String,
    /// With it, requests are signed.
    pub secret: Option<Secret>,
    /// How long its answer may take.
    pub patience: Duration,
    /// How often a request is sent.
    pub backoff: Backoff,
}

/// The webhook of escalations.
#[derive(Debug)]
pub struct N8n {
    caller: Caller,
    secret: Option<Secret>,
}

/// A question to people: the body of the webhook. `docs/n8n.md` describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Escalation {
    /// `bzzz.escalation`
    pub kind: &'static str,
    /// 1
    pub version: u32,
    /// The id of the event that asks, in hexadecimal digits.
    pub escalation: String,
    /// How often it was raised again.
    pub level: u32,
    /// `warning`, `high` or `critical`.
    pub severity: &'static str,
    /// The swarm's id.
    pub swarm: String,
    /// The key of the node that asks.
    pub node: String,
    /// Its name, for people.
    pub node_name: String,
    /// The repository's name.
    pub repository: String,
    /// The issue's number.
    pub issue: u64,
    /// The issue's title.
    pub title: String,
    /// Where people find the issue; empty if nobody knows.
    pub url: String,
    /// Under which claim.
    pub epoch: u64,
    /// Why the node cannot go on.
    pub reason: String,
    /// What it asks.
    pub question: String,
    /// Where to answer and to say that somebody looks at it, if the node knows how it is reached.
    pub callback: Option<Callback>,
}

/// The addresses of the node's API for one escalation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Callback {
    /// `POST {answer, by}`.
    pub answer: String,
    /// `POST {by}`.
    pub ack: String,
}

impl Callback {
    /// The addresses below that of the API.
    #[must_use]
    pub fn of(api: &str, escalation: &str) -> Callback {
        let of =
            |what| format!("{}/api/escalations/{escalation}/{what}", api.trim_end_matches('/'));
        Callback { answer: of("answer"), ack: of("ack") }
    }
}

/// How pressing a question is that was raised so often.
#[must_use]
pub fn severity(level: u32) -> &'static str {
    match level {
        0 => "warning",
        1 => "high",
        _ => "critical",
    }
}

impl N8n {
    /// A client that has not asked anything yet.
    ///
    /// # Errors
    /// [`HttpError::Settings`].
    pub fn new(webhook: Webhook, ambient: Ambient) -> Result<N8n, HttpError> {
        let (caller, secret) = caller("the webhook of escalations", webhook, ambient)?;
        Ok(N8n { caller, secret })
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn at(&self) -> &str {
        self.caller.at()
    }

    /// Tells of a question. Its `Idempotency-Key` is its event and level, so that a workflow can
    /// tell a repetition. `now_s` is the time in seconds since 1970.
    ///
    /// # Errors
    /// [`HttpError`]; it may have come through nevertheless.
    pub async fn escalate(&self, escalation: &Escalation, now_s: u64) -> Result<(), HttpError> {
        let body = json(escalation)?;
        let key = format!("{}:{}", escalation.escalation, escalation.level);
        let key = HeaderValue::from_str(&key)
            .map_err(|error| HttpError::Settings(format!("the escalation's id: {error}")))?;
        let mut headers = sign::headers(self.secret.as_ref(), now_s, &body)?;
        headers.push((HeaderName::from_static("idempotency-key"), key));
        let call = Call { method: Method::POST, path: "", headers, body: Some(body) };
        self.caller.call(&call).await.map(drop)
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, HttpError> {
    serde_json::to_vec(value).map_err(|error| HttpError::Settings(error.to_string()))
}

fn caller(
    name: &'static str,
    webhook: Webhook,
    ambient: Ambient,
) -> Result<(Caller, Option<Secret>), HttpError> {
    let base = http::address(&webhook.url)
        .map_err(|reason| HttpError::Settings(format!("{name}: {reason}")))?;
    let settings = Settings {
        name,
        base,
        key: None,
        times: Times::within(webhook.patience),
        backoff: webhook.backoff,
        threshold: 5,
        rest: Duration::from_secs(15),
        max_answer: MAX_ANSWER,
    };
    Ok((Caller::new(settings, ambient)?, webhook.secret))
}
