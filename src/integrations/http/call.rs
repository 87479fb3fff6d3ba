//! Calls of one server: sent, answered within bounds, repeated where that is of use.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, Url};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::retry::retry_after;
use super::{Ambient, Backoff, Breaker, ERROR_BYTES, HttpError, Resting, Secret};

/// How long a server may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// To accept a connection.
    pub connect: Duration,
    /// Between two pieces of an answer, and before the first.
    pub idle: Duration,
    /// For the whole answer.
    pub total: Duration,
}

impl Times {
    /// So long for an answer, and no longer for any part of it.
    #[must_use]
    pub fn within(total: Duration) -> Times {
        Times { connect: total.min(Duration::from_secs(10)), idle: total, total }
    }
}

/// How one server is called.
#[derive(Debug)]
pub struct Settings {
    /// What it is called in errors of the settings, as in "Hive".
    pub name: &'static str,
    /// Its address; other addresses are below its path.
    pub base: Url,
    /// Sent as a bearer token, if there is one.
    pub key: Option<Secret>,
    /// How long it may take.
    pub times: Times,
    /// How often a request is sent.
    pub backoff: Backoff,
    /// How many failures in a row are borne before it is left alone.
    pub threshold: u32,
    /// How long it is left alone then.
    pub rest: Duration,
    /// The largest answer, in bytes.
    pub max_answer: usize,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Its method.
    pub method: Method,
    /// What follows the server's address; empty for the address itself.
    pub path: &'a str,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A body of JSON.
    pub body: Option<Vec<u8>>,
}

impl<'a> Call<'a> {
    /// A request without a body.
    #[must_use]
    pub fn get(path: &'a str) -> Call<'a> {
        Call { method: Method::GET, path, headers: Vec::new(), body: None }
    }
}

/// An answer with a status of success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub code: u16,
    /// The body.
    pub body: Vec<u8>,
    at: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// [`HttpError::Malformed`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.body).map_err(|error| self.malformed(error.to_string()))
    }

    /// The error of a body that says the wrong thing.
    #[must_use]
    pub fn malformed(&self, reason: String) -> HttpError {
        HttpError::Malformed { at: self.at.clone(), reason }
    }
}

/// A client of one server.
pub struct Caller {
    client: Client,
    settings: Settings,
    breaker: Mutex<Breaker>,
    ambient: Ambient,
    at: String,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Caller {
    /// A client that has not asked anything yet.
    ///
    /// # Errors
    /// [`HttpError::Settings`].
    pub fn new(settings: Settings, ambient: Ambient) -> Result<Caller, HttpError> {
        let name = settings.name;
        let wrong = |reason: String| HttpError::Settings(format!("{name}: {reason}"));
        let client = super::client(settings.times.connect).map_err(wrong)?;
        if let Some(key) = &settings.key {
            bearer(key).ok_or_else(|| wrong("the key cannot stand in a header".to_owned()))?;
        }
        let at = super::origin(&settings.base);
        let breaker = Mutex::new(Breaker::new(settings.threshold, settings.rest));
        Ok(Caller { client, settings, breaker, ambient, at })
    }

    /// Scheme, host and port of the server.
    #[must_use]
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Sends a request until it is answered, its answer is final, or it was sent often enough. The
    /// server must not mind to get it twice: an answer can be lost.
    ///
    /// # Errors
    /// [`HttpError`]: that of the last attempt.
    pub async fn call(&self, call: &Call<'_>) -> Result<Answer, HttpError> {
        let mut attempt = 1;
        loop {
            self.enter()?;
            let error = match self.once(call).await {
                Ok(answer) => {
                    self.breaker().succeeded();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let asked = self.note(&error);
            let wait = self.settings.backoff.wait(attempt, asked, (self.ambient.random)());
            let Some(wait) = wait.filter(|_| error.is_transient()) else {
                if let Some(asked) = asked {
                    self.breaker().told_to_rest((self.ambient.mono_ms)(), asked);
                }
                return Err(error);
            };
            sleep(wait).await;
            attempt += 1;
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> Result<(), HttpError> {
        let entered = self.breaker().enter((self.ambient.mono_ms)());
        entered.map_err(|Resting(wait)| HttpError::Resting { at: self.at.clone(), wait })
    }

    /// Tells the breaker how it went. Gives how long the server asks to be left alone.
    fn note(&self, error: &HttpError) -> Option<Duration> {
        // A server that says no is well. One that sends too much is not.
        let well = !error.is_transient() && !matches!(error, HttpError::TooLong { .. });
        let mut breaker = self.breaker();
        if well {
            breaker.succeeded();
        } else {
            breaker.failed((self.ambient.mono_ms)());
        }
        match error {
            HttpError::Status { retry_after, .. } if !well => *retry_after,
            _ => None,
        }
    }

    async fn once(&self, call: &Call<'_>) -> Result<Answer, HttpError> {
        let settings = &self.settings;
        let url = match call.path {
            "" => Ok(settings.base.clone()),
            path => settings.base.join(path),
        };
        let url = url.map_err(|error| HttpError::Settings(format!("{}: {error}", call.path)))?;
        let mut headers: HeaderMap = call.headers.iter().cloned().collect();
        if let Some(value) = settings.key.as_ref().and_then(bearer) {
            headers.insert(AUTHORIZATION, value);
        }
        let mut request = self.client.request(call.method.clone(), url).headers(headers);
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let deadline = Instant::now() + settings.times.total;
        let late = |what| HttpError::TimedOut { at: self.at.clone(), what };
        let sent = timeout_at(deadline, timeout(settings.times.idle, request.send())).await;
        let response = match sent {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(error))) => return Err(self.not_sent(&error)),
            Ok(Err(_)) | Err(_) => return Err(late("no answer has begun")),
        };
        self.take(response, deadline).await
    }

    async fn take(&self, response: Response, deadline: Instant) -> Result<Answer, HttpError> {
        let code = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        if response.status().is_success() {
            let body = self.body(response, deadline, self.settings.max_answer).await?;
            return Ok(Answer { code, body, at: self.at.clone() });
        }
        // What the error says helps, but its loss doesn't matter.
        let text = match self.body(response, deadline, ERROR_BYTES * 8).await {
            Ok(body) => super::short(String::from_utf8_lossy(&body).trim(), ERROR_BYTES),
            Err(_) => String::new(),
        };
        Err(HttpError::Status { at: self.at.clone(), code, text, retry_after })
    }

    /// The body, of at most `limit` bytes.
    async fn body(
        &self,
        mut response: Response,
        deadline: Instant,
        limit: usize,
    ) -> Result<Vec<u8>, HttpError> {
        let too_long = || HttpError::TooLong { at: self.at.clone(), limit };
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_long());
        }
        let late = |what| HttpError::TimedOut { at: self.at.clone(), what };
        let mut body = Vec::new();
        loop {
            let next = timeout(self.settings.times.idle, response.chunk());
            match timeout_at(deadline, next).await {
                Err(_) => return Err(late("its answer has not come to its end")),
                Ok(Err(_)) => return Err(late("it fell silent in the middle")),
                Ok(Ok(Err(error))) => {
                    let reason = super::causes(&error);
                    return Err(HttpError::Interrupted { at: self.at.clone(), reason });
                }
                Ok(Ok(Ok(None))) => return Ok(body),
                Ok(Ok(Ok(Some(piece)))) if body.len() + piece.len() > limit => {
                    return Err(too_long());
                }
                Ok(Ok(Ok(Some(piece)))) => body.extend_from_slice(&piece),
            }
        }
    }

    fn not_sent(&self, error: &reqwest::Error) -> HttpError {
        let at = self.at.clone();
        if error.is_timeout() {
            return HttpError::TimedOut { at, what: "no connection was made" };
        }
        let reason = super::causes(error);
        if error.is_connect() {
            return HttpError::Unreachable { at, reason };
        }
        HttpError::Interrupted { at, reason }
    }
}

fn bearer(key: &Secret) -> Option<HeaderValue> {
    let text = zeroize::Zeroizing::new(format!("Bearer {}", key.expose()));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
