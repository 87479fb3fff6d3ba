//! A webhook that chooses the model for a task. It is asked once for each, may be wrong or away,
//! and chooses only among what there is.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::{Ambient, Call, Caller, HttpError, Secret, Webhook, caller, json, sign};

/// The longest name of a model, in bytes.
const MAX_NAME: usize = 200;

/// The webhook of model selection.
#[derive(Debug)]
pub struct Selector {
    caller: Caller,
    secret: Option<Secret>,
}

/// What is asked: the body of the webhook. `docs/n8n.md` describes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Question<M> {
    /// `bzzz.model-selection`
    pub kind: &'static str,
    /// 1
    pub version: u32,
    /// The repository's name.
    pub repository: String,
    /// The issue's number.
    pub issue: u64,
    /// The issue's title.
    pub title: String,
    /// The issue's labels.
    pub labels: Vec<String>,
    /// The model that is taken if the webhook doesn't answer.
    pub default: String,
    /// The models that there are; each has a `name`.
    pub models: Vec<M>,
}

impl Selector {
    /// A client that has not asked anything yet.
    ///
    /// # Errors
    /// [`HttpError::Settings`].
    pub fn new(webhook: Webhook, ambient: Ambient) -> Result<Selector, HttpError> {
        let (caller, secret) = caller("the webhook of model selection", webhook, ambient)?;
        Ok(Selector { caller, secret })
    }

    /// Asks for a model: `{"model": NAME}`. Whether there is one of that name is for the caller to
    /// see. `now_s` is the time in seconds since 1970.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn select<M: Serialize>(
        &self,
        question: &Question<M>,
        now_s: u64,
    ) -> Result<String, HttpError> {
        #[derive(Deserialize)]
        struct Chosen {
            model: String,
        }
        let body = json(question)?;
        let headers = sign::headers(self.secret.as_ref(), now_s, &body)?;
        let call = Call { method: Method::POST, path: "", headers, body: Some(body) };
        let answer = self.caller.call(&call).await?;
        let Chosen { model } = answer.json()?;
        if model.is_empty() || model.len() > MAX_NAME || model.chars().any(char::is_control) {
            let reason = format!("`model` is no line of 1 to {MAX_NAME} bytes");
            return Err(answer.malformed(reason));
        }
        Ok(model)
    }
}
