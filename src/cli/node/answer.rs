//! `bzzz task answer` and `bzzz task ack`: what people say to a question, through the running node.

use std::io::Write;
use std::path::Path;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::client::{Client, whole};
use super::context::{Context, out, print_json};
use super::error::{Error, Result};
use super::task::read_text;
use crate::cli::text::clean;
use crate::web::{MAX_ANSWER, TaskView};

/// Answer the question of a task; its owner takes the work up again
///
/// The answer goes to the node that runs in this home, which signs it as an event. Any agent's node
/// may take it, wherever the task's owner is. The same answer said again changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bzzz task answer 'sample#3' 'Take the second way.'\n  \
                        bzzz task answer 'sample#3' - <answer.txt")]
pub(super) struct AnswerArgs {
    /// The task: REPOSITORY#ISSUE, its id, or at least four digits that only its id begins with
    task: String,
    /// The answer, at most 8,192 bytes; `-` is standard input
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    text: String,
    #[command(flatten)]
    who: Who,
}

/// Say that somebody takes care of a task's question, so that it is not raised again
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bzzz task ack 'sample#3' --by ann")]
pub(super) struct AckArgs {
    /// The task: REPOSITORY#ISSUE, its id, or at least four digits that only its id begins with
    task: String,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Args)]
struct Who {
    /// Who says it, for others to read
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    #[arg(default_value = "operator")]
    by: String,
}

/// A question that a task asks.
struct Asked {
    client: Client,
    task: String,
    id: String,
}

pub(super) fn answer(context: &Context, args: &AnswerArgs) -> Result<()> {
    let asked = question(context, &args.task)?;
    let text = match args.text.as_str() {
        "-" => read_text(Path::new("-"), MAX_ANSWER as u64)?,
        text => text.to_owned(),
    };
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_ANSWER {
        return Err(Error::usage(format!("an answer has 1 to {MAX_ANSWER} bytes")));
    }
    let said = asked.say("answer", &json!({ "answer": text, "by": args.who.by }))?;
    if context.json {
        return print_json(&said);
    }
    let by = said.get("answered_by").and_then(Value::as_str).unwrap_or(&args.who.by);
    let (task, by) = (clean(&asked.task), clean(by));
    let mut out = out();
    match said.get("repeated") {
        None => writeln!(out, "Answered {task} as {by}.")?,
        Some(_) => writeln!(out, "{by} has given {task} this answer already.")?,
    }
    Ok(out.flush()?)
}

pub(super) fn acknowledge(context: &Context, args: &AckArgs) -> Result<()> {
    let asked = question(context, &args.task)?;
    let said = asked.say("ack", &json!({ "by": args.who.by }))?;
    if context.json {
        return print_json(&said);
    }
    let by = said.get("acknowledged_by").and_then(Value::as_str).unwrap_or(&args.who.by);
    let mut out = out();
    writeln!(out, "{} takes care of {}.", clean(by), clean(&asked.task))?;
    Ok(out.flush()?)
}

impl Asked {
    fn say(&self, what: &str, body: &Value) -> Result<Value> {
        self.client.post(&["api", "escalations", &self.id, what], body)
    }
}

/// The question that a task asks at present.
fn question(context: &Context, task: &str) -> Result<Asked> {
    let client = Client::running(context)?;
    let view: TaskView = whole(client.get(&["api", "v1", "tasks", task], &[])?)?;
    let (task, status) = (view.summary.task, view.summary.status);
    let current = view.by_epoch.into_iter().rev().find(|epoch| epoch.claim.is_some());
    if let Some(asked) = current.as_ref().and_then(|epoch| epoch.escalation.as_ref()) {
        let id = asked.id.clone();
        return Ok(Asked { client, task, id });
    }
    let last = current.as_ref().and_then(|epoch| epoch.rounds.last());
    Err(match last.filter(|round| round.people) {
        Some(_) => Error::new(format!("the question of {task} was answered already"))
            .hint(format!("`bzzz task show '{task}'` shows the answer; the task is {status}")),
        None => Error::new(format!("{task} asks nothing: it is {status}"))
            .hint("`bzzz task list --status escalated` lists the tasks that ask"),
    })
}
