//! The fixed JSON forms of a model's answers. What a model says is untrusted: a form that does not
//! fit is refused with a reason that the model is told.

use serde_json::{Map, Value, json};

use crate::kernel::event::kinds::{HelpForm, PlanText, Purpose, Verdict, cut};

/// The longest command in bytes.
const MAX_COMMAND: usize = 16 * 1024;

/// The longest other text in bytes, and the most entries of a list.
const MAX_TEXT: usize = 4096;
const MAX_LIST: usize = 32;

/// A plan, as the model answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanAnswer {
    /// The plan.
    Plan(PlanText),
    /// The model cannot plan before somebody answered this.
    Question(String),
}

/// The next step, as the model answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepAnswer {
    /// Run this command, for this reason.
    Command {
        /// Why.
        reasoning: String,
        /// What, for `sh -c`.
        command: String,
    },
    /// The work is done.
    Done {
        /// What was done.
        summary: String,
    },
    /// The model cannot go on.
    Help {
        /// Why.
        reasoning: String,
        /// What it asks.
        question: String,
    },
}

/// A verdict on a plan, as the model answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewAnswer {
    /// What it thinks.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

/// Whether and how the model can help somebody else, as it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelpAnswer {
    /// What it offers.
    pub help: HelpForm,
    /// The advice, or why it could do better.
    pub text: String,
}

/// The JSON schema of an answer.
#[must_use]
pub fn schema(purpose: Purpose) -> Value {
    let text = json!({"type": "string"});
    let list = json!({"type": "array", "items": {"type": "string"}});
    match purpose {
        Purpose::Plan => object(
            &[
                ("summary", &text),
                ("steps", &list),
                ("files", &list),
                ("tests", &list),
                ("risks", &list),
                ("question", &text),
            ],
            // A small model that may leave everything out does. A question comes without steps.
            &["summary", "steps"],
        ),
        Purpose::Help => object(
            &[
                ("help", &json!({"type": "string", "enum": ["advice", "take_over", "none"]})),
                ("text", &text),
            ],
            &["help", "text"],
        ),
        Purpose::Answer => object(&[("text", &text)], &["text"]),
        Purpose::Review => object(
            &[
                ("verdict", &json!({"type": "string", "enum": ["support", "object"]})),
                ("blocking", &json!({"type": "boolean"})),
                ("reason", &text),
            ],
            &["verdict", "reason"],
        ),
        Purpose::Step => object(
            &[
                ("reasoning", &text),
                ("action", &json!({"type": "string", "enum": ["command", "done", "help"]})),
                ("command", &text),
                ("summary", &text),
                ("question", &text),
            ],
            &["reasoning", "action"],
        ),
    }
}

fn object(properties: &[(&str, &Value)], required: &[&str]) -> Value {
    let properties: Map<String, Value> =
        properties.iter().map(|(name, form)| ((*name).to_owned(), (*form).clone())).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Reads a plan.
///
/// # Errors
/// What is wrong with the answer, in words for the model.
pub fn plan(text: &str) -> Result<PlanAnswer, String> {
    let fields = fields(text)?;
    let steps = list(&fields, "steps")?;
    let question = optional(&fields, "question", MAX_TEXT)?;
    if steps.is_empty() && !question.is_empty() {
        return Ok(PlanAnswer::Question(question));
    }
    if steps.is_empty() {
        return Err("`steps` is empty: name at least one step, or ask a `question`".to_owned());
    }
    Ok(PlanAnswer::Plan(PlanText {
        summary: needed(&fields, "summary", MAX_TEXT)?,
        steps,
        files: list(&fields, "files")?,
        tests: list(&fields, "tests")?,
        risks: list(&fields, "risks")?,
    }))
}

/// Reads an answer to somebody who asks for help.
///
/// # Errors
/// What is wrong with the answer, in words for the model.
pub fn help(text: &str) -> Result<HelpAnswer, String> {
    let fields = fields(text)?;
    let help = match needed(&fields, "help", 16)?.as_str() {
        "advice" => HelpForm::Advice,
        "take_over" => HelpForm::TakeOver,
        "none" => HelpForm::None,
        other => return Err(format!("`help` is advice, take_over or none, not {other:?}")),
    };
    let text = match help {
        HelpForm::Advice => needed(&fields, "text", MAX_TEXT)?,
        HelpForm::TakeOver | HelpForm::None => optional(&fields, "text", MAX_TEXT)?,
    };
    Ok(HelpAnswer { help, text })
}

/// Reads an answer to a question.
///
/// # Errors
/// What is wrong with the answer, in words for the model.
pub fn answer(text: &str) -> Result<String, String> {
    needed(&fields(text)?, "text", MAX_TEXT)
}

/// Reads a verdict.
///
/// # Errors
/// What is wrong with the answer, in words for the model.
pub fn review(text: &str) -> Result<ReviewAnswer, String> {
    let fields = fields(text)?;
    let blocking = fields.get("blocking").and_then(Value::as_bool).unwrap_or(false);
    let verdict = match (needed(&fields, "verdict", 16)?.as_str(), blocking) {
        ("support", _) => Verdict::Support,
        ("object", true) => Verdict::Object,
        ("object", false) => Verdict::Advise,
        (other, _) => return Err(format!("`verdict` is support or object, not {other:?}")),
    };
    Ok(ReviewAnswer { verdict, reason: needed(&fields, "reason", MAX_TEXT)? })
}

/// Reads a step.
///
/// # Errors
/// What is wrong with the answer, in words for the model.
pub fn step(text: &str) -> Result<StepAnswer, String> {
    let fields = fields(text)?;
    let reasoning = optional(&fields, "reasoning", MAX_TEXT)?;
    match needed(&fields, "action", 16)?.as_str() {
        "command" => {
            let command = needed(&fields, "command", MAX_COMMAND)?;
            if command.contains('\0') {
                return Err("`command` holds a zero byte".to_owned());
            }
            Ok(StepAnswer::Command { reasoning, command })
        }
        "done" => {
            let summary = optional(&fields, "summary", MAX_TEXT)?;
            Ok(StepAnswer::Done { summary: if summary.is_empty() { reasoning } else { summary } })
        }
        "help" => {
            // Some models put the question into the reasoning; people need one in any case.
            let question = match optional(&fields, "question", MAX_TEXT)? {
                empty if empty.is_empty() => needed(&fields, "reasoning", MAX_TEXT)?,
                question => question,
            };
            Ok(StepAnswer::Help { reasoning, question })
        }
        other => Err(format!("`action` is command, done or help, not {other:?}")),
    }
}

/// The object in the answer. Models like to wrap it into a fenced block.
fn fields(text: &str) -> Result<Map<String, Value>, String> {
    let text = text.trim();
    let text = text.strip_prefix("```json").or_else(|| text.strip_prefix("```")).unwrap_or(text);
    let text = text.strip_suffix("```").unwrap_or(text).trim();
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("the answer is JSON, but not an object".to_owned()),
        Err(error) => Err(format!("the answer is not JSON: {error}")),
    }
}

fn optional(fields: &Map<String, Value>, name: &str, max: usize) -> Result<String, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) if name == "command" && text.len() > max => {
            Err(format!("`{name}` has {} bytes; at most {max} are allowed", text.len()))
        }
        Some(Value::String(text)) => Ok(cut(text.trim(), max)),
        Some(_) => Err(format!("`{name}` is not a text")),
    }
}

fn needed(fields: &Map<String, Value>, name: &str, max: usize) -> Result<String, String> {
    match optional(fields, name, max)? {
        text if text.is_empty() => Err(format!("`{name}` is missing or empty")),
        text => Ok(text),
    }
}

fn list(fields: &Map<String, Value>, name: &str) -> Result<Vec<String>, String> {
    let entries = match fields.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(format!("`{name}` is not a list")),
    };
    let texts = entries.iter().take(MAX_LIST).map(|entry| match entry {
        Value::String(text) => Ok(cut(text.trim(), 512)),
        _ => Err(format!("`{name}` holds something that is not a text")),
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whether_fenced_or_not() {
        let answer =
            "```json\n{\"reasoning\":\"look\",\"action\":\"command\",\"command\":\"ls\"}\n```";
        let (reasoning, command) = ("look".to_owned(), "ls".to_owned());
        assert_eq!(step(answer), Ok(StepAnswer::Command { reasoning, command }));
        assert!(plan(r#"{"summary":"s","steps":["a"]}"#).is_ok());
        let asked = plan(r#"{"question":"which?"}"#);
        assert_eq!(asked, Ok(PlanAnswer::Question("which?".to_owned())));
        let offered = help(r#"{"help":"advice","text":"try b"}"#).unwrap();
        assert_eq!((offered.help, offered.text.as_str()), (HelpForm::Advice, "try b"));
        assert_eq!(super::answer(r#"{"text":"b"}"#), Ok("b".to_owned()));
        let review = review(r#"{"verdict":"object","blocking":true,"reason":"r"}"#).unwrap();
        assert_eq!(review.verdict, Verdict::Object);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let bad = [
            ("", "not JSON"),
            ("[]", "not an object"),
            ("{}", "`action` is missing"),
            (r#"{"action":"dance"}"#, "not \"dance\""),
            (r#"{"action":"help","question":" "}"#, "`reasoning` is missing"),
            (r#"{"action":"command"}"#, "`command` is missing"),
            (r#"{"action":"command","command":7}"#, "not a text"),
            ("{\"action\":\"command\",\"command\":\"a\\u0000b\"}", "zero byte"),
        ];
        for (text, reason) in bad {
            let error = step(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert!(plan(r#"{"summary":"s","steps":[]}"#).is_err());
        assert!(help(r#"{"help":"advice"}"#).unwrap_err().contains("`text` is missing"));
        assert!(help(r#"{"help":"money","text":"1"}"#).unwrap_err().contains("not \"money\""));
        assert!(answer(r#"{"text":" "}"#).is_err());
        let long = format!(r#"{{"action":"command","command":"{}"}}"#, "x".repeat(20_000));
        assert!(step(&long).unwrap_err().contains("20000 bytes"));
    }
}
