//! The models that a server has: what it calls them, how large they are, what they can do.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::ReasonerError;
use crate::integrations::http::short;

/// The most models of one server.
pub const MAX_MODELS: usize = 256;

/// The longest text that is kept of a model, in bytes.
const MAX_TEXT: usize = 200;

/// The most capabilities that are kept of a model.
const MAX_CAPABILITIES: usize = 16;

/// A model of a server. What the server doesn't say is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModelInfo {
    /// Its name, as its server calls it.
    pub name: String,
    /// Its size, in bytes.
    pub bytes: Option<u64>,
    /// How many parameters it has, as its server writes it: `8.2B`.
    pub parameters: Option<String>,
    /// How they are stored: `Q4_K_M`.
    pub quantization: Option<String>,
    /// What it can do: `completion`, `tools`, `vision`, `thinking`, `embedding`.
    pub capabilities: Vec<String>,
    /// How much it reads at once, in tokens.
    pub context: Option<u64>,
}

impl ModelInfo {
    /// Whether this is the model that somebody calls so.
    #[must_use]
    pub fn is(&self, asked: &str) -> bool {
        self.name == asked || self.name.strip_suffix(":latest") == Some(asked)
    }

    /// Adds what `/api/show` of Ollama says.
    pub(super) fn shown(&mut self, show: &Value) {
        if let Some(list) = show["capabilities"].as_array() {
            let texts = list.iter().filter_map(Value::as_str).take(MAX_CAPABILITIES);
            self.capabilities = texts.map(|text| short(text, MAX_TEXT)).collect();
        }
        if let Some(info) = show["model_info"].as_object() {
            let context = info.iter().find(|(key, _)| key.ends_with(".context_length"));
            self.context = context.and_then(|(_, value)| value.as_u64()).or(self.context);
        }
        let details = &show["details"];
        let text = |key: &str| details[key].as_str().map(|text| short(text, MAX_TEXT));
        self.parameters = text("parameter_size").or(self.parameters.take());
        self.quantization = text("quantization_level").or(self.quantization.take());
    }
}

impl fmt::Display for ModelInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let size = self.bytes.map(|bytes| format!("{} MiB", bytes >> 20));
        let context = self.context.map(|tokens| format!("context {tokens}"));
        let can = (!self.capabilities.is_empty()).then(|| self.capabilities.join(" "));
        let known = [&self.parameters, &self.quantization, &size, &context, &can];
        let known: Vec<&str> = known.into_iter().flatten().map(String::as_str).collect();
        if known.is_empty() { Ok(()) } else { write!(f, " ({})", known.join(", ")) }
    }
}

/// Reads the answer of Ollama's `/api/tags`.
pub(super) fn of_tags(value: &Value) -> Result<Vec<ModelInfo>, ReasonerError> {
    let model = |entry: &Value| {
        let name = entry["name"].as_str().or_else(|| entry["model"].as_str())?;
        let mut model = ModelInfo { name: short(name, MAX_TEXT), ..ModelInfo::default() };
        model.bytes = entry["size"].as_u64();
        model.shown(entry);
        Some(model)
    };
    read(&value["models"], model)
}

/// Reads the answer of `/v1/models`. `meta` is llama.cpp's, `max_model_len` that of vLLM.
pub(super) fn of_data(value: &Value) -> Result<Vec<ModelInfo>, ReasonerError> {
    let model = |entry: &Value| {
        let mut model =
            ModelInfo { name: short(entry["id"].as_str()?, MAX_TEXT), ..ModelInfo::default() };
        model.bytes = entry["meta"]["size"].as_u64();
        let context = entry["max_model_len"].as_u64();
        model.context = context.or_else(|| entry["meta"]["n_ctx_train"].as_u64());
        Some(model)
    };
    read(&value["data"], model)
}

fn read(
    list: &Value,
    model: impl Fn(&Value) -> Option<ModelInfo>,
) -> Result<Vec<ModelInfo>, ReasonerError> {
    let wrong = |reason: String| {
        let place = "where its models are listed".to_owned();
        ReasonerError::Malformed { place, reason }
    };
    let list = list.as_array().ok_or_else(|| wrong("there is no list".to_owned()))?;
    if list.len() > MAX_MODELS {
        return Err(wrong(format!("it lists {} models, more than {MAX_MODELS}", list.len())));
    }
    Ok(list.iter().filter_map(model).collect())
}
