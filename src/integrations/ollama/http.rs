//! Requests to a model server: bounded in time and size, without redirects, proxies or retries.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Response, Url};
use tokio::time::{Instant, timeout, timeout_at};

use super::{ModelServer, ReasonerError};
use crate::integrations::http::{self, causes};

/// The most bytes of one response on the wire: a small piece of text can come in a large wrapping.
const MAX_WIRE_BYTES: usize = 32 << 20;

/// The longest line of a streamed response, in bytes: one whole answer, escaped, in its wrapping.
const MAX_LINE_BYTES: usize = 512 << 10;

/// The largest response that isn't streamed, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;

/// How much of an error's text is kept, in bytes.
const ERROR_BYTES: usize = 200;

/// How long a server may take to list its models.
const LIST_TIME: Duration = Duration::from_secs(10);

/// A client of one server.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    base: Url,
    server: ModelServer,
}

/// A response that is read line by line.
pub(super) struct Lines {
    response: Response,
    url: String,
    buffer: Vec<u8>,
    /// Where in the buffer no line's end has been looked for yet.
    seen: usize,
    read: usize,
    number: usize,
    idle: Duration,
    deadline: Instant,
    ended: bool,
}

impl Http {
    pub(super) fn new(server: ModelServer) -> Result<Http, ReasonerError> {
        let base = http::base(&server.url).map_err(ReasonerError::Settings)?;
        if server.model.is_empty() {
            return Err(ReasonerError::Settings("no model is named".to_owned()));
        }
        let client = http::client(server.patience.connect).map_err(ReasonerError::Settings)?;
        Ok(Http { client, base, server })
    }

    pub(super) fn model(&self) -> &str {
        &self.server.model
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Sends a question and waits for the beginning of its answer.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<Lines, ReasonerError> {
        let deadline = Instant::now() + self.server.patience.total;
        let url = self.url(path)?;
        let request = self.client.post(url.clone()).json(body);
        self.send(request, url, self.server.patience.idle, deadline).await
    }

    /// Reads a small document.
    pub(super) async fn get(&self, path: &str) -> Result<serde_json::Value, ReasonerError> {
        let deadline = Instant::now() + LIST_TIME.min(self.server.patience.total);
        let url = self.url(path)?;
        let lines = self.send(self.client.get(url.clone()), url, LIST_TIME, deadline).await?;
        lines.document().await
    }

    /// Asks for a small document.
    pub(super) async fn ask(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<serde_json::Value, ReasonerError> {
        let deadline = Instant::now() + LIST_TIME.min(self.server.patience.total);
        let url = self.url(path)?;
        let request = self.client.post(url.clone()).json(body);
        self.send(request, url, LIST_TIME, deadline).await?.document().await
    }

    fn url(&self, path: &str) -> Result<Url, ReasonerError> {
        let joined = self.base.join(path);
        joined.map_err(|error| ReasonerError::Settings(format!("the address with {path}: {error}")))
    }

    async fn send(
        &self,
        mut request: reqwest::RequestBuilder,
        url: Url,
        idle: Duration,
        deadline: Instant,
    ) -> Result<Lines, ReasonerError> {
        if let Some(key) = &self.server.key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
                .map_err(|_| ReasonerError::Settings("the key is no HTTP header".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let first = timeout_at(deadline, timeout(idle, request.send())).await;
        let response = match first {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(error))) => return Err(not_sent(&url, &error)),
            Ok(Err(_)) | Err(_) => return Err(ReasonerError::TimedOut("no answer has begun")),
        };
        let code = response.status().as_u16();
        let mut lines = Lines {
            response,
            url: url.to_string(),
            buffer: Vec::new(),
            seen: 0,
            read: 0,
            number: 0,
            idle,
            deadline,
            ended: false,
        };
        if code == 200 {
            return Ok(lines);
        }
        // What the error says helps, but its loss doesn't matter.
        while lines.buffer.len() < ERROR_BYTES && matches!(lines.fill().await, Ok(true)) {}
        lines.buffer.truncate(ERROR_BYTES);
        let text = String::from_utf8_lossy(&lines.buffer).trim().to_owned();
        Err(ReasonerError::Status { code, text })
    }
}

impl Lines {
    /// Whether the server says that the answer is one JSON document.
    pub(super) fn is_document(&self) -> bool {
        let kind = self.response.headers().get(reqwest::header::CONTENT_TYPE);
        kind.and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
            kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json")
        })
    }

    /// The next line that isn't empty, without its end; `None` at the end of the response.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, ReasonerError> {
        loop {
            let end = self.buffer[self.seen..].iter().position(|byte| *byte == b'\n');
            let mut line = match end {
                Some(at) => {
                    let rest = self.buffer.split_off(self.seen + at + 1);
                    std::mem::replace(&mut self.buffer, rest)
                }
                None if self.ended => std::mem::take(&mut self.buffer),
                None => {
                    self.seen = self.buffer.len();
                    if self.seen > MAX_LINE_BYTES {
                        return Err(ReasonerError::TooLong { limit: MAX_LINE_BYTES, of: "a line" });
                    }
                    self.ended = !self.fill().await?;
                    continue;
                }
            };
            self.seen = 0;
            self.number += 1;
            while line.last().is_some_and(u8::is_ascii_whitespace) {
                line.pop();
            }
            if !line.is_empty() {
                return Ok(Some(line));
            }
            if self.ended && self.buffer.is_empty() {
                return Ok(None);
            }
        }
    }

    /// The whole response, as one document.
    pub(super) async fn document(mut self) -> Result<serde_json::Value, ReasonerError> {
        while self.fill().await? {
            if self.buffer.len() > MAX_BODY_BYTES {
                return Err(ReasonerError::TooLong { limit: MAX_BODY_BYTES, of: "a document" });
            }
        }
        self.parse(&self.buffer)
    }

    /// Reads JSON of this response.
    pub(super) fn parse(&self, bytes: &[u8]) -> Result<serde_json::Value, ReasonerError> {
        serde_json::from_slice(bytes).map_err(|error| self.malformed(&error.to_string()))
    }

    pub(super) fn malformed(&self, reason: &str) -> ReasonerError {
        let place = format!("from {} at line {}", self.url, self.number.max(1));
        ReasonerError::Malformed { place, reason: reason.to_owned() }
    }

    /// Takes the next piece into the buffer; false at the end.
    async fn fill(&mut self) -> Result<bool, ReasonerError> {
        let next = timeout_at(self.deadline, timeout(self.idle, self.response.chunk())).await;
        match next {
            Err(_) => Err(ReasonerError::TimedOut("the answer has not come to its end")),
            Ok(Err(_)) => Err(ReasonerError::TimedOut("it fell silent in the middle")),
            Ok(Ok(Err(error))) => Err(ReasonerError::Interrupted(causes(&error))),
            Ok(Ok(Ok(None))) => Ok(false),
            Ok(Ok(Ok(Some(piece)))) => {
                self.read = self.read.saturating_add(piece.len());
                if self.read > MAX_WIRE_BYTES {
                    return Err(ReasonerError::TooLong { limit: MAX_WIRE_BYTES, of: "transfer" });
                }
                self.buffer.extend_from_slice(&piece);
                Ok(true)
            }
        }
    }
}

fn not_sent(url: &Url, error: &reqwest::Error) -> ReasonerError {
    if error.is_timeout() {
        return ReasonerError::TimedOut("no connection was made");
    }
    if error.is_connect() {
        return ReasonerError::Unreachable { url: url.to_string(), reason: causes(error) };
    }
    ReasonerError::Interrupted(causes(error))
}
