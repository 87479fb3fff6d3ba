//! Hive: the registry of projects that people keep, which says what may be worked on and is told
//! what becomes of it. It has no authority: it never says where a repository is (the node's
//! configuration does) nor who owns a task (the claim ref does). Nothing of its answers is
//! believed beyond that; they are bounded and checked here.

mod list;
mod place;

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::http::{self, Ambient, Backoff, Call, Caller, HttpError, Settings, Times};

pub use super::http::Secret;
pub use list::{Listing, MAX_PROJECTS, Project};
pub use place::place;

/// The largest answer of Hive, in bytes: a thousand projects with room to spare.
pub const MAX_ANSWER: usize = 2 << 20;

/// The most tasks of a project that are read.
pub const MAX_TASKS: usize = 1_000;

/// The longest text of a status, in bytes.
pub const MAX_SUMMARY: usize = 16 * 1024;

/// A client of Hive.
#[derive(Debug)]
pub struct Hive(Caller);

/// How Hive is reached.
#[derive(Debug)]
pub struct HiveSettings {
    /// Its address: what stands before `/api/bzzz` and `/health`.
    pub url: String,
    /// Sent as a bearer token, if there is one.
    pub key: Option<Secret>,
    /// How long one answer may take.
    pub patience: Duration,
    /// How often a request is sent.
    pub backoff: Backoff,
}

/// That a task was claimed: the body of `POST /api/bzzz/projects/{id}/claim`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claimed {
    /// The number.
    pub task_number: u64,
    /// Who claimed it.
    pub agent_id: String,
    /// When, in seconds since 1970.
    pub claimed_at: u64,
}

/// What became of a task: the body of `PUT /api/bzzz/projects/{id}/status`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusUpdate {
    /// The number.
    pub task_number: u64,
    /// `claimed`, `in_progress`, `completed`, `failed` or `escalated`.
    pub status: &'static str,
    /// When, in seconds since 1970.
    pub updated_at: u64,
    /// What came of it.
    pub results: Results,
}

/// What came of a task, for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Results {
    /// Who worked on it.
    pub agent_id: String,
    /// The name by which people know that node.
    pub agent_name: String,
    /// Under which claim.
    pub epoch: u64,
    /// For people.
    pub summary: String,
    /// Names this report for ever: one that comes again has the same.
    pub report_id: String,
}

/// A task as Hive lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiveTask {
    /// The number.
    pub number: u64,
    /// The title, at most 200 bytes of it.
    pub title: String,
    /// Whether Hive takes it for claimed.
    pub claimed: bool,
}

impl Hive {
    /// A client that has not asked anything yet.
    ///
    /// # Errors
    /// [`HttpError::Settings`].
    pub fn new(settings: HiveSettings, ambient: Ambient) -> Result<Hive, HttpError> {
        let wrong = |reason: String| HttpError::Settings(format!("Hive: {reason}"));
        let settings = Settings {
            name: "Hive",
            base: http::base(&settings.url).map_err(wrong)?,
            key: settings.key,
            times: Times::within(settings.patience),
            backoff: settings.backoff,
            threshold: 5,
            rest: Duration::from_secs(15),
            max_answer: MAX_ANSWER,
        };
        Caller::new(settings, ambient).map(Hive)
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn at(&self) -> &str {
        self.0.at()
    }

    /// `GET /health`: what Hive says of itself, at most 200 bytes of it.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn health(&self) -> Result<String, HttpError> {
        let answer = self.0.call(&Call::get("health")).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let status = serde_json::from_str::<Value>(&text).ok();
        let status = status.and_then(|value| value["status"].as_str().map(str::to_owned));
        Ok(http::short(status.as_deref().unwrap_or(text.trim()), http::ERROR_BYTES))
    }

    /// `GET /api/bzzz/active-repos`: the projects, those that can be read.
    ///
    /// # Errors
    /// [`HttpError`]; [`HttpError::Malformed`] if the answer holds no list, or too long a one.
    pub async fn projects(&self) -> Result<Listing, HttpError> {
        let answer = self.0.call(&Call::get("api/bzzz/active-repos")).await?;
        let value: Value = answer.json()?;
        Listing::read(&value).map_err(|reason| answer.malformed(reason))
    }

    /// `GET /api/bzzz/projects/{id}/tasks`: the issues that Hive knows of.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn tasks(&self, project: u64) -> Result<Vec<HiveTask>, HttpError> {
        #[derive(Deserialize)]
        struct Entry {
            number: u64,
            #[serde(default)]
            title: String,
            #[serde(default)]
            is_claimed: bool,
        }
        let answer = self.0.call(&Call::get(&format!("api/bzzz/projects/{project}/tasks"))).await?;
        let mut value: Value = answer.json()?;
        // A bare list, or one in an object.
        let list = match value.get_mut("tasks") {
            Some(list) => list.take(),
            None => value,
        };
        let entries: Vec<Entry> = serde_json::from_value(list)
            .map_err(|error| answer.malformed(format!("the tasks: {error}")))?;
        if entries.len() > MAX_TASKS {
            return Err(answer.malformed(format!("it lists more than {MAX_TASKS} tasks")));
        }
        let tasks = entries.into_iter().map(|entry| HiveTask {
            number: entry.number,
            title: http::short(&entry.title, 200),
            claimed: entry.is_claimed,
        });
        Ok(tasks.collect())
    }

    /// `POST /api/bzzz/projects/{id}/claim`. `id` names the report for ever, so that Hive can tell
    /// a repetition.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn claim(&self, project: u64, claimed: &Claimed, id: &str) -> Result<(), HttpError> {
        let path = format!("api/bzzz/projects/{project}/claim");
        self.tell(Method::POST, &path, claimed, id).await
    }

    /// `PUT /api/bzzz/projects/{id}/status`. `id` names the report for ever.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn status(
        &self,
        project: u64,
        update: &StatusUpdate,
        id: &str,
    ) -> Result<(), HttpError> {
        let path = format!("api/bzzz/projects/{project}/status");
        self.tell(Method::PUT, &path, update, id).await
    }

    async fn tell(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        id: &str,
    ) -> Result<(), HttpError> {
        let settings = |reason: String| HttpError::Settings(format!("Hive: {reason}"));
        let body = serde_json::to_vec(body).map_err(|error| settings(error.to_string()))?;
        let id = HeaderValue::from_str(id).map_err(|error| settings(error.to_string()))?;
        let headers = vec![(HeaderName::from_static("idempotency-key"), id)];
        self.0.call(&Call { method, path, headers, body: Some(body) }).await.map(drop)
    }
}
