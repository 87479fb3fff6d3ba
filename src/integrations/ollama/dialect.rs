//! The two dialects: how a question is put, and how a streamed answer is put together.

use serde_json::{Value, json};

use super::http::{Http, Lines};
use super::models::{self, ModelInfo};
use super::{MAX_ANSWER_BYTES, ModelAnswer, ModelRequest, ModelServer, ReasonerError};

use crate::integrations::http::short;

/// The most bytes that are kept of a model's name or a reported error.
const MAX_NAME_BYTES: usize = 200;

/// Of how many models a server is asked what they can do.
const MAX_SHOWN: usize = 16;

/// A server with Ollama's own API, `POST /api/chat`.
#[derive(Debug)]
pub struct Ollama(Http);

/// A server with the API of OpenAI, `POST /v1/chat/completions`.
#[derive(Debug)]
pub struct OpenAi {
    http: Http,
    /// What comes before the API's paths: `v1/`, unless the address ends with it.
    prefix: &'static str,
}

/// An answer while it comes.
#[derive(Default)]
struct Answer {
    text: String,
    tokens_in: Option<u64>,
    tokens_out: Option<u64>,
    model: Option<String>,
}

impl Answer {
    fn push(&mut self, piece: &str) -> Result<(), ReasonerError> {
        if self.text.len() + piece.len() > MAX_ANSWER_BYTES {
            return Err(ReasonerError::TooLong { limit: MAX_ANSWER_BYTES, of: "text" });
        }
        self.text.push_str(piece);
        Ok(())
    }

    fn named(&mut self, part: &Value) {
        if let Some(model) = part["model"].as_str().filter(|name| !name.is_empty()) {
            self.model = Some(short(model, MAX_NAME_BYTES));
        }
    }

    fn finish(self, asked: &str) -> Result<ModelAnswer, ReasonerError> {
        if self.text.trim().is_empty() {
            return Err(ReasonerError::Empty);
        }
        Ok(ModelAnswer {
            text: self.text,
            tokens_in: self.tokens_in,
            tokens_out: self.tokens_out,
            model: self.model.unwrap_or_else(|| asked.to_owned()),
        })
    }
}

impl Ollama {
    /// # Errors
    /// [`ReasonerError::Settings`] for an address or a model that cannot be used.
    pub fn new(server: ModelServer) -> Result<Ollama, ReasonerError> {
        Http::new(server).map(Ollama)
    }

    pub(super) async fn ask(
        &self,
        model: Option<&str>,
        request: &ModelRequest,
    ) -> Result<ModelAnswer, ReasonerError> {
        let model = model.unwrap_or(self.0.model());
        let body = json!({
            "model": model,
            "messages": messages(request),
            "format": request.schema,
            "stream": true,
            "options": { "num_predict": request.max_tokens },
        });
        let mut lines = match self.0.post("api/chat", &body).await {
            Ok(lines) => lines,
            Err(error) => return Err(self.without_model(model, error).await),
        };
        let mut answer = Answer::default();
        while let Some(line) = lines.next().await? {
            let part = lines.parse(&line)?;
            reported(&part)?;
            answer.named(&part);
            let done = part["done"].as_bool();
            match part["message"]["content"].as_str() {
                Some(piece) => answer.push(piece)?,
                None if done == Some(true) => {}
                None => return Err(lines.malformed("it has no message with content")),
            }
            if done == Some(true) {
                answer.tokens_in = part["prompt_eval_count"].as_u64();
                answer.tokens_out = part["eval_count"].as_u64();
                return answer.finish(model);
            }
        }
        Err(ReasonerError::Interrupted("its last part is missing".to_owned()))
    }

    /// Says whether an answer of status 404 is about the model.
    async fn without_model(&self, model: &str, error: ReasonerError) -> ReasonerError {
        if !matches!(error, ReasonerError::Status { code: 404, .. }) {
            return error;
        }
        let Ok(models) = self.list().await else { return error };
        has_model(&self.0, &models, model).err().unwrap_or(error)
    }

    async fn list(&self) -> Result<Vec<ModelInfo>, ReasonerError> {
        models::of_tags(&self.0.get("api/tags").await?)
    }

    /// The models that the server has, of the first few also what they can do.
    pub(super) async fn models(&self) -> Result<Vec<ModelInfo>, ReasonerError> {
        let mut list = self.list().await?;
        for model in list.iter_mut().take(MAX_SHOWN) {
            // What is not known of one is no reason to do without the list.
            let shown = self.0.ask("api/show", &json!({ "model": model.name })).await;
            model.shown(&shown.unwrap_or(Value::Null));
        }
        Ok(list)
    }

    pub(super) async fn check(&self, more: &[&str]) -> Result<String, ReasonerError> {
        let list = self.models().await?;
        for model in [self.0.model()].iter().chain(more) {
            has_model(&self.0, &list, model)?;
        }
        Ok(described("Ollama", &self.0, &list))
    }
}

impl OpenAi {
    /// # Errors
    /// [`ReasonerError::Settings`] for an address or a model that cannot be used.
    pub fn new(server: ModelServer) -> Result<OpenAi, ReasonerError> {
        let http = Http::new(server)?;
        let prefix = if http.base().path().ends_with("/v1/") { "" } else { "v1/" };
        Ok(OpenAi { http, prefix })
    }

    pub(super) async fn ask(
        &self,
        model: Option<&str>,
        request: &ModelRequest,
    ) -> Result<ModelAnswer, ReasonerError> {
        let model = model.unwrap_or(self.http.model());
        let body = json!({
            "model": model,
            "messages": messages(request),
            "response_format": {
                "type": "json_schema",
                "json_schema": { "name": "answer", "strict": true, "schema": request.schema },
            },
            "stream": true,
            "stream_options": { "include_usage": true },
            "max_tokens": request.max_tokens,
        });
        let path = format!("{}chat/completions", self.prefix);
        let mut lines = self.http.post(&path, &body).await?;
        let mut answer = Answer::default();
        if lines.is_document() {
            // The server doesn't stream.
            let document = lines.document().await?;
            reported(&document)?;
            take_part(&mut answer, &document, "message")?;
            return answer.finish(model);
        }
        let finished = self.streamed(&mut lines, &mut answer).await?;
        if !finished {
            return Err(ReasonerError::Interrupted("its last part is missing".to_owned()));
        }
        answer.finish(model)
    }

    /// Takes events to the end. Some servers end without `[DONE]`: then the reason for which the
    /// model has stopped shows that the answer is whole.
    async fn streamed(
        &self,
        lines: &mut Lines,
        answer: &mut Answer,
    ) -> Result<bool, ReasonerError> {
        let mut stopped = false;
        while let Some(line) = lines.next().await? {
            let Some(data) = line.strip_prefix(b"data:") else {
                // Comments keep a connection open; other fields have no meaning here.
                let known = [&b":"[..], b"event:", b"id:", b"retry:"];
                if known.iter().any(|field| line.starts_with(field)) {
                    continue;
                }
                return Err(lines.malformed("it is no server-sent event"));
            };
            let data = data.trim_ascii();
            if data == b"[DONE]" {
                return Ok(true);
            }
            let part = lines.parse(data)?;
            reported(&part)?;
            stopped |= take_part(answer, &part, "delta")?;
        }
        Ok(stopped)
    }

    /// The models that the server has.
    pub(super) async fn models(&self) -> Result<Vec<ModelInfo>, ReasonerError> {
        models::of_data(&self.http.get(&format!("{}models", self.prefix)).await?)
    }

    pub(super) async fn check(&self, more: &[&str]) -> Result<String, ReasonerError> {
        let list = self.models().await?;
        for model in [self.http.model()].iter().chain(more) {
            has_model(&self.http, &list, model)?;
        }
        Ok(described("OpenAI API", &self.http, &list))
    }
}

/// Whether the part says that the model has stopped.
fn take_part(answer: &mut Answer, part: &Value, content: &str) -> Result<bool, ReasonerError> {
    answer.named(part);
    let choice = &part["choices"][0];
    if let Some(piece) = choice[content]["content"].as_str() {
        answer.push(piece)?;
    }
    if let Some(count) = part["usage"]["prompt_tokens"].as_u64() {
        answer.tokens_in = Some(count);
    }
    if let Some(count) = part["usage"]["completion_tokens"].as_u64() {
        answer.tokens_out = Some(count);
    }
    Ok(choice["finish_reason"].is_string())
}

fn messages(request: &ModelRequest) -> Value {
    let message =
        |m: &super::Message| json!({ "role": super::role_name(m.role), "content": m.content });
    request.messages.iter().map(message).collect()
}

/// Both dialects can report an error inside of an answer with status 200.
fn reported(part: &Value) -> Result<(), ReasonerError> {
    let error = &part["error"];
    match error.as_str().or_else(|| error["message"].as_str()) {
        Some(text) => Err(ReasonerError::Reported(short(text, MAX_NAME_BYTES))),
        None => Ok(()),
    }
}

fn has_model(http: &Http, list: &[ModelInfo], model: &str) -> Result<(), ReasonerError> {
    if list.iter().any(|known| known.is(model)) {
        return Ok(());
    }
    let names: Vec<&str> = list.iter().take(10).map(|known| known.name.as_str()).collect();
    let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let (url, model) = (http.base().to_string(), model.to_owned());
    Err(ReasonerError::NoModel { url, model, known })
}

/// The server, and a line for each of its models.
fn described(dialect: &str, http: &Http, list: &[ModelInfo]) -> String {
    let mut text = format!("{dialect} at {}, model {}", http.base(), http.model());
    for model in list {
        text.push_str(&format!("\n  {model}"));
    }
    text
}
