//! A reasoner that plays given answers, for the demo and for tests.
//!
//! The file is JSON:
//! `{ "issues": { "7": { "plan": [...], "steps": [...], "review": [...], "help": [...],
//! "answers": [...], "later": { ... } } } }`; `later` holds such lists for the second epoch and
//! those after it, if they are others. The question's turn selects from the list of its purpose. An
//! entry is the answer itself, any JSON value, or `{ "answer": ..., "delay_ms": 300 }`, which takes
//! its time. Where a list has ended or an issue is unknown, a step asks for help, a plan is to ask
//! for help, a review supports, and no help is offered to others.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::ollama::{ModelAnswer, ModelRequest, Purpose, ReasonerError};

/// The largest script, in bytes.
const MAX_SCRIPT_BYTES: u64 = 1 << 20;

/// The longest delay before an answer, in milliseconds.
const MAX_DELAY_MS: u64 = 600_000;

/// Answers from a file.
#[derive(Debug)]
pub struct Scripted {
    path: String,
    issues: BTreeMap<u64, Lists>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    issues: BTreeMap<String, RawLists>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLists {
    #[serde(default)]
    plan: Vec<Value>,
    #[serde(default)]
    steps: Vec<Value>,
    #[serde(default)]
    review: Vec<Value>,
    #[serde(default)]
    help: Vec<Value>,
    #[serde(default)]
    answers: Vec<Value>,
    later: Option<Box<RawLists>>,
}

#[derive(Debug)]
struct Lists {
    plan: Vec<Entry>,
    steps: Vec<Entry>,
    review: Vec<Entry>,
    help: Vec<Entry>,
    answers: Vec<Entry>,
    /// From the second epoch on.
    later: Option<Box<Lists>>,
}

#[derive(Debug)]
struct Entry {
    answer: Value,
    delay: Duration,
}

impl Scripted {
    /// Reads a script of at most 1 MiB, once.
    ///
    /// # Errors
    /// [`ReasonerError::Script`] names the file and the place in it.
    pub fn load(path: &Path) -> Result<Scripted, ReasonerError> {
        let shown = path.display().to_string();
        let wrong = |reason: String| ReasonerError::Script { path: shown.clone(), reason };
        let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
        let mut bytes = Vec::new();
        let read = file.take(MAX_SCRIPT_BYTES + 1).read_to_end(&mut bytes);
        let read = read.map_err(|error| wrong(error.to_string()))?;
        if u64::try_from(read).unwrap_or(u64::MAX) > MAX_SCRIPT_BYTES {
            return Err(wrong("it is larger than 1 MiB".to_owned()));
        }
        let file: File =
            serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        let mut issues = BTreeMap::new();
        for (number, lists) in file.issues {
            let issue = number
                .parse()
                .map_err(|_| wrong(format!("issues has {number:?}, which is no number")))?;
            let lists = Lists::new(&number, lists).map_err(&wrong)?;
            if issues.insert(issue, lists).is_some() {
                return Err(wrong(format!("issues has the number {issue} twice")));
            }
        }
        Ok(Scripted { path: shown, issues })
    }

    pub(super) async fn ask(&self, request: &ModelRequest) -> Result<ModelAnswer, ReasonerError> {
        let lists = self.issues.get(&request.issue);
        let lists = lists.map(|lists| match &lists.later {
            Some(later) if request.epoch > 1 => later,
            _ => lists,
        });
        let list = lists.map(|lists| match request.purpose {
            Purpose::Plan => &lists.plan,
            Purpose::Step => &lists.steps,
            Purpose::Review => &lists.review,
            Purpose::Help => &lists.help,
            Purpose::Answer => &lists.answers,
        });
        let turn = usize::try_from(request.turn).unwrap_or(usize::MAX);
        let text = match list.and_then(|list| list.get(turn)) {
            Some(entry) => {
                tokio::time::sleep(entry.delay).await;
                entry.answer.to_string()
            }
            None => ended(request).to_string(),
        };
        let model = "scripted".to_owned();
        Ok(ModelAnswer { text, tokens_in: None, tokens_out: None, model })
    }

    pub(super) fn describe(&self) -> String {
        format!("the script {}, for {} issues", self.path, self.issues.len())
    }
}

impl Lists {
    fn new(number: &str, raw: RawLists) -> Result<Lists, String> {
        let list = |name: &str, values: Vec<Value>| {
            let entries = values.into_iter().enumerate();
            let entry = |(at, value)| {
                Entry::new(value).map_err(|reason| format!("issues.{number}.{name}[{at}] {reason}"))
            };
            entries.map(entry).collect::<Result<Vec<Entry>, String>>()
        };
        let later = match raw.later {
            Some(later) => Some(Box::new(Lists::new(&format!("{number}.later"), *later)?)),
            None => None,
        };
        Ok(Lists {
            later,
            plan: list("plan", raw.plan)?,
            steps: list("steps", raw.steps)?,
            review: list("review", raw.review)?,
            help: list("help", raw.help)?,
            answers: list("answers", raw.answers)?,
        })
    }
}

impl Entry {
    /// An object with `answer` is the wrapper: no answer of a model has a member of that name.
    fn new(value: Value) -> Result<Entry, String> {
        let Value::Object(mut members) = value else {
            return Ok(Entry { answer: value, delay: Duration::ZERO });
        };
        let Some(answer) = members.remove("answer") else {
            return match members.contains_key("delay_ms") {
                true => Err("has delay_ms without answer".to_owned()),
                false => Ok(Entry { answer: Value::Object(members), delay: Duration::ZERO }),
            };
        };
        let delay = members.remove("delay_ms");
        if let Some(other) = members.keys().next() {
            return Err(format!("has {other:?} beside answer"));
        }
        let milliseconds = match delay {
            None => 0,
            Some(delay) => delay
                .as_u64()
                .filter(|delay| *delay <= MAX_DELAY_MS)
                .ok_or_else(|| format!("has a delay_ms that is not from 0 to {MAX_DELAY_MS}"))?,
        };
        Ok(Entry { answer, delay: Duration::from_millis(milliseconds) })
    }
}

/// What is said where the script says nothing.
fn ended(request: &ModelRequest) -> Value {
    let issue = request.issue;
    match request.purpose {
        Purpose::Plan => json!({
            "summary": "the script has no plan for this issue",
            "steps": ["ask for help"],
            "files": [],
            "tests": [],
            "risks": [],
        }),
        Purpose::Review => json!({
            "verdict": "support",
            "blocking": false,
            "reason": "no objection",
        }),
        Purpose::Help => json!({ "help": "none", "text": "the script says nothing to that" }),
        Purpose::Answer => json!({ "text": "the script says nothing to that" }),
        Purpose::Step => json!({
            "reasoning": "the script has ended",
            "action": "help",
            "question": format!("the script has no further step for issue {issue}; what next?"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Scripted, ReasonerError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script.json");
        std::fs::write(&path, text).unwrap();
        Scripted::load(&path)
    }

    fn request(purpose: Purpose, issue: u64, turn: u32) -> ModelRequest {
        ModelRequest {
            purpose,
            repository: "r".to_owned(),
            issue,
            epoch: 1,
            turn,
            messages: Vec::new(),
            schema: Value::Null,
            max_tokens: 100,
        }
    }

    #[tokio::test]
    async fn plays_its_lists() {
        let script = load(
            r#"{"issues": {"7": {"plan": [{"summary": "s"}],
                "steps": [{"action": "done"}, {"answer": "no object", "delay_ms": 30}]}}}"#,
        )
        .unwrap();
        let ask = async |purpose, issue, turn| {
            script.ask(&request(purpose, issue, turn)).await.unwrap().text
        };
        assert_eq!(ask(Purpose::Plan, 7, 0).await, r#"{"summary":"s"}"#);
        assert_eq!(ask(Purpose::Step, 7, 0).await, r#"{"action":"done"}"#);
        let before = tokio::time::Instant::now();
        assert_eq!(ask(Purpose::Step, 7, 1).await, r#""no object""#);
        assert!(before.elapsed() >= Duration::from_millis(30));
        assert!(ask(Purpose::Step, 7, 2).await.contains(r#""action":"help""#));
        assert!(ask(Purpose::Step, 8, 0).await.contains(r#""action":"help""#));
        assert!(ask(Purpose::Review, 7, 0).await.contains(r#""verdict":"support""#));
        assert!(ask(Purpose::Plan, 8, 0).await.contains(r#""steps":["ask for help"]"#));
    }

    #[tokio::test]
    async fn a_later_epoch_has_lists_of_its_own() {
        let script =
            load(r#"{"issues": {"7": {"steps": ["a"], "later": {"steps": ["b"]}}}}"#).unwrap();
        let ask = async |epoch| {
            let request = ModelRequest { epoch, ..request(Purpose::Step, 7, 0) };
            script.ask(&request).await.unwrap().text
        };
        assert_eq!([ask(1).await, ask(2).await, ask(3).await], [r#""a""#, r#""b""#, r#""b""#]);
        let error = load(r#"{"issues": {"7": {"later": {"steps": [{"delay_ms": 1}]}}}}"#);
        assert!(error.unwrap_err().to_string().contains("issues.7.later.steps[0]"));
    }

    #[test]
    fn errors_name_the_place() {
        let reason = |text: &str| match load(text).unwrap_err() {
            ReasonerError::Script { reason, .. } => reason,
            other => panic!("{other}"),
        };
        assert!(reason("{").contains("line 1 column 1"));
        assert!(reason(r#"{"issues": {}, "more": 1}"#).contains("unknown field `more`"));
        assert!(reason(r#"{"issues": {"7": {"step": []}}}"#).contains("unknown field `step`"));
        assert_eq!(reason(r#"{"issues": {"x": {}}}"#), r#"issues has "x", which is no number"#);
        assert_eq!(reason(r#"{"issues": {"7": {}, "07": {}}}"#), "issues has the number 7 twice");
        assert_eq!(
            reason(r#"{"issues": {"7": {"steps": [1, {"answer": 1, "delay_ms": -1}]}}}"#),
            "issues.7.steps[1] has a delay_ms that is not from 0 to 600000"
        );
        assert!(reason(&" ".repeat((1 << 20) + 1)).contains("larger than 1 MiB"));
        assert!(Scripted::load(Path::new("/nonexistent/script")).is_err());
    }
}
