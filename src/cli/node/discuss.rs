//! `bzzz discuss`: people take part in the discussion of a task, with the key of their node.

use std::io::{IsTerminal, Write};
use std::path::Path;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, part, whole};
use super::context::{Context, out, print_json};
use super::error::{Error, Result};
use super::task::read_text;
use crate::cli::text::{clean, table, time};
use crate::kernel::audit::{Transcript, discussion, find_task};
use crate::kernel::fold::MAX_MESSAGE;
use crate::web::{MAX_REASON, OpenItem, OpenKind, Say, Saying, open};

/// How much of a text a line of a list has, in characters.
const GIST: usize = 60;

/// Take part in the discussion of tasks: ask, object, approve, answer
///
/// What you say goes to the node that runs in this home, which signs it as an event with its own
/// key. A person's key is admitted with `bzzz member admit KEY --role operator`; an agent's key may
/// say everything but approvals, which are an operator's or an administrator's.
#[derive(Debug, Subcommand)]
pub(super) enum DiscussCommand {
    List(ListArgs),
    Show(ShowArgs),
    Say(SayArgs),
    Ask(AskArgs),
    Object(ObjectArgs),
    Support(SupportArgs),
    Approve(ApproveArgs),
    Refuse(RefuseArgs),
    Answer(AnswerArgs),
    Withdraw(WithdrawArgs),
}

/// List what waits for somebody: questions, plans, approvals, requests for help, escalations
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bzzz discuss list\n  \
                        bzzz discuss list --json | jq '.open[] | select(.what == \"approval\")'")]
pub(super) struct ListArgs {
    /// Of this task alone, with whole texts: REPOSITORY#ISSUE, or an id
    #[arg(value_name = "TASK")]
    task: Option<String>,
}

/// Show what was said about a task, as a tree: what came of each part, and by which rule
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bzzz discuss show 'sample#3'")]
pub(super) struct ShowArgs {
    /// The task: REPOSITORY#ISSUE, its id, or at least four digits that only its id begins with
    task: String,
}

/// Say something that asks for nothing
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bzzz discuss say 'sample#3' 'The old API goes away in May.'\n  \
                        bzzz discuss say 'sample#3' --to 1f00ab 'Agreed.'\n  \
                        bzzz discuss say 'sample#3' --session 'We can wait.'\n  \
                        bzzz discuss say 'sample#3' --session=1f00ab 'Take the other first.'"
)]
pub(super) struct SayArgs {
    #[command(flatten)]
    what: What,
    /// What it answers: the id of a plan, a message or a request for help, or at least four digits
    /// that only it begins with
    #[arg(long, value_name = "ID")]
    to: Option<String>,
    /// Say it in the open session about the order of this task and another one; where there are
    /// several, in the one with this id, as `bzzz discuss list` shows it
    #[arg(long, value_name = "ID", num_args = 0..=1, require_equals = true)]
    session: Option<Option<String>>,
}

/// Ask the owner of a task, and everybody else
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  bzzz discuss ask 'sample#3' 'Does that keep old files readable?'"
)]
pub(super) struct AskArgs {
    #[command(flatten)]
    what: What,
    /// What it is about: the id of a plan or a message
    #[arg(long, value_name = "ID")]
    to: Option<String>,
    /// For how long you wait for an answer, in seconds; nobody is told if nothing is said
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
}

/// Object to the plan of a task: its owner revises it, or asks people
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bzzz discuss object 'sample#3' 'It deletes the old reports.'\n  \
                        bzzz discuss object 'sample#3' --advisory 'A test would be good.'"
)]
pub(super) struct ObjectArgs {
    #[command(flatten)]
    what: What,
    /// Advise only: it does not stop the plan
    #[arg(long)]
    advisory: bool,
    #[command(flatten)]
    plan: PlanArg,
}

/// Support the plan of a task
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bzzz discuss support 'sample#3' 'Small, and tested.'")]
pub(super) struct SupportArgs {
    #[command(flatten)]
    what: OptionalWhat,
    #[command(flatten)]
    plan: PlanArg,
}

/// Approve exactly what a task's owner asks for: a plan, a command or a change
///
/// What is approved is shown with its hash; the approval is bound to that hash, and the node
/// refuses it if something else is asked for by now.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bzzz discuss approve 'sample#3'\n  \
                        bzzz discuss approve 'sample#3' --hash 5be1... --yes 'Looked at it.'")]
pub(super) struct ApproveArgs {
    #[command(flatten)]
    what: OptionalWhat,
    #[command(flatten)]
    request: RequestArgs,
}

/// Refuse what a task's owner asks for, and say why
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bzzz discuss refuse 'sample#3' 'Not on a Friday.'")]
pub(super) struct RefuseArgs {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    request: RequestArgs,
}

/// Answer a question: of the discussion, or the one for which a task waits
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bzzz discuss answer 'sample#3' 'Take the second way.'\n  \
                        bzzz discuss answer 'sample#3' --to 1f00ab - <answer.txt")]
pub(super) struct AnswerArgs {
    #[command(flatten)]
    what: What,
    /// The question's id; needed if several are open
    #[arg(long, value_name = "ID")]
    to: Option<String>,
    /// Who answers, for others to read, if the task waits for people
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    #[arg(default_value = "operator")]
    by: String,
}

/// Take back what this node said: an objection, a message
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  bzzz discuss withdraw 'sample#3' --message 1f00ab 'I was wrong.'"
)]
pub(super) struct WithdrawArgs {
    #[command(flatten)]
    what: OptionalWhat,
    /// The id of what is taken back; needed if this node said several things
    #[arg(long, value_name = "ID")]
    message: Option<String>,
}

#[derive(Debug, Args)]
struct What {
    /// The task: REPOSITORY#ISSUE, its id, or at least four digits that only its id begins with
    task: String,
    /// The text, at most 8,192 bytes (4,096 for a refusal); `-` is standard input
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    text: String,
}

#[derive(Debug, Args)]
struct OptionalWhat {
    /// The task: REPOSITORY#ISSUE, its id, or at least four digits that only its id begins with
    task: String,
    /// Why, for others to read; `-` is standard input
    #[arg(default_value = "", hide_default_value = true)]
    text: String,
}

#[derive(Debug, Args)]
struct PlanArg {
    /// The plan's id, to be sure that it was not revised meanwhile
    #[arg(long, value_name = "ID")]
    plan: Option<String>,
}

#[derive(Debug, Args)]
struct RequestArgs {
    /// The id of the request; needed if several are open
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Only if the request has this hash, as it was shown before
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn run(context: &Context, command: &DiscussCommand) -> Result<()> {
    match command {
        DiscussCommand::List(args) => list(context, args),
        DiscussCommand::Show(args) => show(context, args),
        DiscussCommand::Say(args) => {
            let say = saying(Say::Comment, &args.what.text, args.to.as_deref())?;
            let Some(session) = &args.session else {
                return post(context, &args.what.task, &say, "Said it about");
            };
            let say = Saying { task: Some(args.what.task.clone()), ..say };
            let client = Client::running(context)?;
            let path = ["api", "v1", "sessions", session.as_ref().unwrap_or(&args.what.task)];
            told(context, &client.post(&path, &json!(say))?, "Said it in the session about")
        }
        DiscussCommand::Ask(args) => {
            let say = saying(Say::Question, &args.what.text, args.to.as_deref())?;
            let say = Saying { wait_seconds: args.wait, ..say };
            post(context, &args.what.task, &say, "Asked about")
        }
        DiscussCommand::Object(args) => {
            let (say, done) = match args.advisory {
                true => (Say::Advise, "Advised on the plan of"),
                false => (Say::Object, "Objected to the plan of"),
            };
            let say = saying(say, &args.what.text, args.plan.plan.as_deref())?;
            post(context, &args.what.task, &say, done)
        }
        DiscussCommand::Support(args) => {
            let say = saying(Say::Support, &args.what.text, args.plan.plan.as_deref())?;
            post(context, &args.what.task, &say, "Supported the plan of")
        }
        DiscussCommand::Withdraw(args) => {
            let say = saying(Say::Withdraw, &args.what.text, args.message.as_deref())?;
            post(context, &args.what.task, &say, "Took it back, about")
        }
        DiscussCommand::Approve(args) => {
            decide(context, Say::Approve, &args.what.task, &args.what.text, &args.request)
        }
        DiscussCommand::Refuse(args) => {
            decide(context, Say::Refuse, &args.what.task, &args.what.text, &args.request)
        }
        DiscussCommand::Answer(args) => answer(context, args),
    }
}

/// What is said, its text read from standard input if it stands there.
fn saying(say: Say, text: &str, to: Option<&str>) -> Result<Saying> {
    let max = match say {
        Say::Approve | Say::Refuse => MAX_REASON,
        _ => MAX_MESSAGE,
    };
    let text = match text {
        "-" => read_text(Path::new("-"), max as u64)?,
        text => text.to_owned(),
    };
    let text = text.trim().to_owned();
    if text.len() > max {
        return Err(Error::usage(format!("the text is over {max} bytes")));
    }
    let to = to.map(str::to_owned);
    Ok(Saying { say, text, to, hash: None, wait_seconds: None, task: None })
}

fn post(context: &Context, task: &str, say: &Saying, done: &str) -> Result<()> {
    let client = Client::running(context)?;
    let said = client.post(&["api", "v1", "tasks", task, "discussion"], &json!(say))?;
    told(context, &said, done)
}

/// Says what came of it.
fn told(context: &Context, said: &Value, done: &str) -> Result<()> {
    if context.json {
        return print_json(said);
    }
    let text = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default();
    let (task, event) = (clean(text("task")), text("event"));
    let mut out = out();
    writeln!(out, "{done} {task}, as event {}.", event.get(..10).unwrap_or(event))?;
    Ok(out.flush()?)
}

fn list(context: &Context, args: &ListArgs) -> Result<()> {
    let config = context.config(&[])?;
    let items = match context.reader(&config)? {
        Some(engine) => engine.read(|state| match &args.task {
            None => Ok::<_, Error>(open::open(state)),
            Some(text) => Ok(open::open_in(state, find_task(state, text)?)),
        })?,
        None => opened(&Client::running(context)?, args.task.as_deref())?,
    };
    if context.json {
        return print_json(&json!({ "open": items }));
    }
    let mut out = out();
    if items.is_empty() {
        writeln!(out, "Nothing is open.")?;
        return Ok(out.flush()?);
    }
    if args.task.is_some() {
        for item in &items {
            detail(&mut out, item)?;
        }
        return Ok(out.flush()?);
    }
    let head = ["TASK", "WHAT", "ID", "FROM", "UNTIL", "TEXT"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(items.iter().map(|item| {
        vec![
            clean(&item.task).into_owned(),
            item.what.name().to_owned(),
            short(&item.id).to_owned(),
            clean(&item.author_name).into_owned(),
            if item.deadline_ms == 0 { "-".to_owned() } else { time(item.deadline_ms) },
            gist(&item.text),
        ]
    }));
    table(&mut out, &rows)?;
    Ok(out.flush()?)
}

fn show(context: &Context, args: &ShowArgs) -> Result<()> {
    let config = context.config(&[])?;
    let talk: Transcript = match context.reader(&config)? {
        Some(engine) => engine.read(|state| {
            let id = find_task(state, &args.task)?;
            let missing = || Error::new(format!("no task is called {:?}", args.task));
            Ok::<_, Error>(discussion(state, state.tasks.get(&id).ok_or_else(missing)?))
        })?,
        None => {
            let path = ["api", "v1", "tasks", &args.task, "discussion"];
            whole(Client::running(context)?.get(&path, &[])?)?
        }
    };
    if context.json {
        return print_json(&talk);
    }
    let mut out = out();
    crate::cli::discussion::text(&mut out, &talk)?;
    Ok(out.flush()?)
}

/// What waits for somebody, as the running node knows it.
fn opened(client: &Client, task: Option<&str>) -> Result<Vec<OpenItem>> {
    let query: Vec<(&str, String)> =
        task.map(|task| ("task", task.to_owned())).into_iter().collect();
    part(client.get(&["api", "v1", "open"], &query)?, "open")
}

fn short(id: &str) -> &str {
    id.get(..10).unwrap_or(id)
}

fn gist(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let cut: String = line.chars().take(GIST).collect();
    let more = if cut.len() < line.len() || text.trim().lines().count() > 1 { "..." } else { "" };
    format!("{}{more}", clean(&cut))
}

/// All of an open thing. Its texts are untrusted.
fn detail(out: &mut dyn Write, item: &OpenItem) -> Result<()> {
    let (what, id, who) = (item.what.name(), &item.id, clean(&item.author_name));
    writeln!(out, "{what} {id}")?;
    writeln!(out, "  {} by {who} at {}", clean(&item.task), time(item.at_ms))?;
    if item.deadline_ms > 0 {
        writeln!(out, "  waits until {}", time(item.deadline_ms))?;
    }
    for line in item.note.lines() {
        writeln!(out, "  {}", clean(line))?;
    }
    for line in item.text.lines() {
        writeln!(out, "{}", format!("  | {}", clean(line)).trim_end())?;
    }
    if let Some(bound) = &item.bound {
        writeln!(out, "  hash of the {}: {}", bound.subject, bound.hash)?;
        if !bound.exact {
            writeln!(
                out,
                "  The hash could not be checked against the text: it may be cut, or another {}.",
                bound.subject
            )?;
        }
    }
    Ok(())
}

/// Approves or refuses what is shown, and nothing else.
fn decide(context: &Context, say: Say, task: &str, text: &str, args: &RequestArgs) -> Result<()> {
    if context.json && !args.yes {
        return Err(Error::usage("with --json nobody is asked")
            .hint("look with `bzzz discuss list TASK`, then name the hash: --hash HASH --yes"));
    }
    let say = saying(say, text, args.request.as_deref())?;
    let client = Client::running(context)?;
    let mut items = opened(&client, Some(task))?;
    items.retain(|item| item.what == OpenKind::Approval);
    if let Some(request) = &args.request {
        items.retain(|item| item.id.starts_with(&request.to_ascii_lowercase()));
    }
    let shown = match (&items[..], &args.request, &args.hash) {
        ([one], ..) => one,
        // It is not open any more, or never was: the node says what it knows of it.
        ([], Some(_), Some(hash)) => {
            let say = Saying { hash: Some(hash.clone()), ..say };
            return post(context, task, &say, "Decided on");
        }
        ([], ..) => {
            return Err(Error::new(format!("{task} waits for no approval"))
                .hint("`bzzz discuss list` shows what waits for somebody"));
        }
        (several, ..) => {
            let ids: Vec<&str> = several.iter().map(|item| short(&item.id)).collect();
            let what = format!("{task} waits for {} approvals", several.len());
            return Err(Error::new(what).hint(format!("name one: --request {}", ids.join(" or "))));
        }
    };
    let bound = shown.bound.as_ref();
    let hash = bound.ok_or_else(|| Error::new("the node does not say what is bound"))?.hash.clone();
    let mut out = out();
    if !context.json {
        detail(&mut out, shown)?;
        out.flush()?;
    }
    drop(out);
    if !args.yes && !confirmed(say.say)? {
        return Err(Error::new("nothing was said"));
    }
    // A hash that was named stands for what was looked at before; otherwise it is what was shown.
    let hash = args.hash.clone().unwrap_or(hash);
    let done = if say.say == Say::Approve { "Approved" } else { "Refused" };
    let say = Saying { to: Some(shown.id.clone()), hash: Some(hash), ..say };
    post(context, task, &say, &format!("{done} this for"))
}

/// Whether the person at the terminal says yes.
fn confirmed(say: Say) -> Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Error::usage("nobody can be asked: standard input is no terminal")
            .hint("--yes does it without asking; --hash HASH makes sure that it is what you saw"));
    }
    let verb = if say == Say::Approve { "Approve" } else { "Refuse" };
    eprint!("{verb} exactly this? [y/N] ");
    let mut line = String::new();
    let failed = |error| Error::new(format!("standard input cannot be read: {error}"));
    std::io::BufRead::read_line(&mut stdin.lock(), &mut line).map_err(failed)?;
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Answers a question of the discussion, or the one that the task waits for people with.
fn answer(context: &Context, args: &AnswerArgs) -> Result<()> {
    let task = args.what.task.as_str();
    let say = saying(Say::Answer, &args.what.text, args.to.as_deref())?;
    let client = Client::running(context)?;
    let me = context.home.author()?.to_string();
    let mut asked = opened(&client, Some(task))?;
    asked.retain(|item| match item.what {
        OpenKind::Escalation => true,
        OpenKind::Question => item.author != me,
        _ => false,
    });
    if let Some(to) = &args.to {
        asked.retain(|item| item.id.starts_with(&to.to_ascii_lowercase()));
    }
    match &asked[..] {
        [one] if one.what == OpenKind::Escalation => {
            let body = json!({ "answer": say.text, "by": args.by });
            let said = client.post(&["api", "escalations", &one.id, "answer"], &body)?;
            if context.json {
                return print_json(&said);
            }
            let mut out = out();
            writeln!(out, "Answered {} as {}.", clean(&one.task), clean(&args.by))?;
            Ok(out.flush()?)
        }
        [one] => {
            let say = Saying { to: Some(one.id.clone()), ..say };
            post(context, task, &say, "Answered the question of")
        }
        // One that somebody answered before can be answered again.
        [] if args.to.is_some() => post(context, task, &say, "Answered the question of"),
        [] => Err(Error::new(format!("{task} has no open question"))
            .hint("`bzzz discuss list` shows what waits for somebody")),
        several => {
            let ids: Vec<&str> = several.iter().map(|item| short(&item.id)).collect();
            let what = format!("{task} has {} open questions", several.len());
            Err(Error::new(what).hint(format!("name one: --to {}", ids.join(" or --to "))))
        }
    }
}
