//! The two dialects: how a question is put, and how a streamed answer is put together.

use serde_json::{Value, json};

use super::http::{Http, Lines};
use super::{MAX_ANSWER_BYTES, ModelAnswer, ModelRequest, ModelServer, ReasonerError};

/// The most bytes that are kept of a model's name or a reported error.
const MAX_NAME_BYTES: usize = 200;

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
            self.model = Some(short(model));
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

    pub(super) async fn ask(&self, request: &ModelRequest) -> Result<ModelAnswer, ReasonerError> {
        let body = json!({
            "model": self.0.model(),
            "messages": messages(request),
            "format": request.schema,
            "stream": true,
            "options": { "num_predict": request.max_tokens },
        });
        let mut lines = self.0.post("api/chat", &body).await?;
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
                return answer.finish(self.0.model());
            }
        }
        Err(ReasonerError::Interrupted("its last part is missing".to_owned()))
    }

    pub(super) async fn check(&self) -> Result<String, ReasonerError> {
        let list = self.0.get("api/tags").await?;
        let names = names(&list["models"], &["name", "model"])?;
        has_model(&self.0, &names, |name, asked| {
            name == asked || name.strip_suffix(":latest") == Some(asked)
        })?;
        Ok(format!("Ollama at {}, model {}", self.0.base(), self.0.model()))
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

    pub(super) async fn ask(&self, request: &ModelRequest) -> Result<ModelAnswer, ReasonerError> {
        let body = json!({
            "model": self.http.model(),
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
            return answer.finish(self.http.model());
        }
        let finished = self.streamed(&mut lines, &mut answer).await?;
        if !finished {
            return Err(ReasonerError::Interrupted("its last part is missing".to_owned()));
        }
        answer.finish(self.http.model())
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

    pub(super) async fn check(&self) -> Result<String, ReasonerError> {
        let list = self.http.get(&format!("{}models", self.prefix)).await?;
        let names = names(&list["data"], &["id"])?;
        has_model(&self.http, &names, |name, asked| name == asked)?;
        Ok(format!("OpenAI API at {}, model {}", self.http.base(), self.http.model()))
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
        Some(text) => Err(ReasonerError::Reported(short(text))),
        None => Ok(()),
    }
}

fn names(list: &Value, keys: &[&str]) -> Result<Vec<String>, ReasonerError> {
    let Some(list) = list.as_array() else {
        let place = "where its models are listed".to_owned();
        return Err(ReasonerError::Malformed { place, reason: "there is no list".to_owned() });
    };
    let name = |model: &Value| keys.iter().find_map(|key| model[*key].as_str()).map(short);
    Ok(list.iter().filter_map(name).collect())
}

fn has_model(
    http: &Http,
    names: &[String],
    same: impl Fn(&str, &str) -> bool,
) -> Result<(), ReasonerError> {
    if names.iter().any(|name| same(name, http.model())) {
        return Ok(());
    }
    let known = names.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
    Err(ReasonerError::NoModel {
        url: http.base().to_string(),
        model: http.model().to_owned(),
        known: if known.is_empty() { "none".to_owned() } else { known },
    })
}

fn short(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_NAME_BYTES);
    text[..end].to_owned()
}
