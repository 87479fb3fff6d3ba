//! Language models behind HTTP, and what every reasoner is asked and answers.
//!
//! [`Reasoner`] is one of two dialects of model servers (Ollama's own, and the one of OpenAI that
//! many servers speak) or a script. It asks once and says what came of it; whether to ask again is
//! decided elsewhere, by [`ReasonerError::is_transient`] and the task's budget.

mod dialect;
mod http;
mod models;

use std::time::Duration;

use super::scripted::Scripted;

pub use super::http::Secret;
pub use crate::kernel::agent::{Message, ModelRequest, Role};
pub use crate::kernel::event::kinds::Purpose;
pub use dialect::{Ollama, OpenAi};
pub use models::{MAX_MODELS, ModelInfo};

/// The longest answer, in bytes. A model that talks on is cut off there.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelAnswer {
    /// What was said: meant to be JSON of the schema, and not checked.
    pub text: String,
    /// Tokens read. Unknown is not zero.
    pub tokens_in: Option<u64>,
    /// Tokens written. Unknown is not zero.
    pub tokens_out: Option<u64>,
    /// The model that answered, as its server calls it.
    pub model: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReasonerError {
    /// The settings cannot work.
    #[error("the reasoner's settings are wrong: {0}")]
    Settings(String),
    /// No connection.
    #[error("no model server answers at {url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The server answers with a status other than 200. Redirects are not followed.
    #[error("the model server answers with status {code}: {text}")]
    Status {
        /// The HTTP status code.
        code: u16,
        /// The first 200 bytes of what it says.
        text: String,
    },
    /// It took too long.
    #[error("the model server took too long: {0}")]
    TimedOut(&'static str),
    /// The connection ended in the middle of an answer.
    #[error("the model server ended the connection in the middle of its answer: {0}")]
    Interrupted(String),
    /// The answer is larger than a bound.
    #[error("the model's answer is longer than {limit} bytes of {of}")]
    TooLong {
        /// The bound, in bytes.
        limit: usize,
        /// What is bounded.
        of: &'static str,
    },
    /// The server's answer isn't of its dialect.
    #[error("the model server's answer cannot be read {place}: {reason}")]
    Malformed {
        /// Where in the answer.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The server reports a failure inside of its answer.
    #[error("the model server reports: {0}")]
    Reported(String),
    /// An answer of no text.
    #[error("the model's answer is empty")]
    Empty,
    /// The server doesn't have the model.
    #[error("the model server at {url} has no model {model}; it has {known}")]
    NoModel {
        /// Where.
        url: String,
        /// The model that was asked for.
        model: String,
        /// Those that it has, the first ten.
        known: String,
    },
    /// The script cannot be used.
    #[error("the script {path} cannot be used: {reason}")]
    Script {
        /// Its file.
        path: String,
        /// What is wrong, and where.
        reason: String,
    },
}

impl ReasonerError {
    /// Whether the same question may be answered if it is asked again after a while.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            ReasonerError::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500..=599),
            ReasonerError::Unreachable { .. }
            | ReasonerError::TimedOut(_)
            | ReasonerError::Interrupted(_)
            | ReasonerError::Reported(_) => true,
            ReasonerError::Settings(_)
            | ReasonerError::TooLong { .. }
            | ReasonerError::Malformed { .. }
            | ReasonerError::Empty
            | ReasonerError::NoModel { .. }
            | ReasonerError::Script { .. } => false,
        }
    }
}

/// How long a model server may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// To accept a connection.
    pub connect: Duration,
    /// Between two pieces of an answer, and before the first: a server may have to load the model.
    pub idle: Duration,
    /// For the whole answer.
    pub total: Duration,
}

impl Default for Patience {
    /// 10 seconds, 2 minutes, 10 minutes.
    fn default() -> Patience {
        Patience {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            total: Duration::from_secs(600),
        }
    }
}

/// A model server, and the model to ask for.
#[derive(Debug, Clone)]
pub struct ModelServer {
    /// Its address, `http://HOST:PORT`, with or without a path before that of the API.
    pub url: String,
    /// The model's name.
    pub model: String,
    /// Sent as a bearer token, if there is one.
    pub key: Option<Secret>,
    /// How long to wait for it.
    pub patience: Patience,
}

/// Who thinks for a node.
#[derive(Debug)]
pub enum Reasoner {
    /// A server with Ollama's own API.
    Ollama(Ollama),
    /// A server with the API of OpenAI.
    OpenAi(OpenAi),
    /// Answers from a file.
    Scripted(Scripted),
}

impl Reasoner {
    /// Asks once. Dropping the future ends the request.
    ///
    /// # Errors
    /// [`ReasonerError`] says why there is no answer. The tokens of a failed request are unknown.
    pub async fn ask(&self, request: &ModelRequest) -> Result<ModelAnswer, ReasonerError> {
        self.ask_model(None, request).await
    }

    /// Asks once: the model of this name, or the configured one.
    ///
    /// # Errors
    /// As [`Reasoner::ask`]; [`ReasonerError::NoModel`] if the server says that it has no such
    /// model.
    pub async fn ask_model(
        &self,
        model: Option<&str>,
        request: &ModelRequest,
    ) -> Result<ModelAnswer, ReasonerError> {
        match self {
            Reasoner::Ollama(ollama) => ollama.ask(model, request).await,
            Reasoner::OpenAi(openai) => openai.ask(model, request).await,
            Reasoner::Scripted(scripted) => scripted.ask(request).await,
        }
    }

    /// The models that there are to choose from.
    ///
    /// # Errors
    /// The server isn't there, or its list cannot be read.
    pub async fn models(&self) -> Result<Vec<ModelInfo>, ReasonerError> {
        match self {
            Reasoner::Ollama(ollama) => ollama.models().await,
            Reasoner::OpenAi(openai) => openai.models().await,
            Reasoner::Scripted(_) => Ok(Vec::new()),
        }
    }

    /// Says who answers and with which models, for `bzzz doctor`. `more` are names of models that
    /// are asked for beside the configured one.
    ///
    /// # Errors
    /// The server isn't there, or doesn't have a model.
    pub async fn check(&self, more: &[&str]) -> Result<String, ReasonerError> {
        match self {
            Reasoner::Ollama(ollama) => ollama.check(more).await,
            Reasoner::OpenAi(openai) => openai.check(more).await,
            Reasoner::Scripted(scripted) => Ok(scripted.describe()),
        }
    }
}
