//! `bzzz task`: what there is to do and what was done.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::answer::{self, AckArgs, AnswerArgs};
use super::client::{Client, part, whole};
use super::context::{Context, out, print_json};
use super::error::{Error, Result};
use crate::cli::text::{clean, table, time};
use crate::kernel::audit::find_task;
use crate::node::{NewIssue, add_issue};
use crate::web::task::{self, ClaimView, CommandView, EpochView, PlanView};
use crate::web::{TaskSummary, TaskView};

/// The longest text of a new issue, in bytes.
const MAX_BODY: u64 = 32 * 1024;

/// Show tasks, add new ones, and answer their questions
#[derive(Debug, Subcommand)]
pub(super) enum TaskCommand {
    List(ListArgs),
    Show(ShowArgs),
    Add(AddArgs),
    Answer(AnswerArgs),
    Ack(AckArgs),
}

/// List the tasks that the swarm knows
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bzzz task list --repository sample --status escalated")]
pub(super) struct ListArgs {
    /// Of this repository alone
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// Of this status alone
    #[arg(long, value_enum)]
    status: Option<StatusName>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StatusName {
    Open,
    Claimed,
    Published,
    Escalated,
    Closed,
}

/// Show a task: its claims, plans, commands and results
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bzzz task show 'sample#3'")]
pub(super) struct ShowArgs {
    /// The task: REPOSITORY#ISSUE, its id, or at least four digits that only its id begins with
    task: String,
}

/// Write a new issue on the board of a repository
///
/// Every node that is configured for the board finds it at its next look. If none of the labels
/// makes an issue a task (`agent.labels`), the first of those is added.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bzzz task add --repository sample --title 'Sort the report' \\
      --body-file report.md --depends-on 2")]
pub(super) struct AddArgs {
    /// The repository, as bzzz.toml names it; needed if there are several
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// One line that says what is to be done
    #[arg(long)]
    title: String,
    /// The text
    #[arg(long, conflicts_with = "body_file", default_value = "", hide_default_value = true)]
    body: String,
    /// The file with the text; `-` is standard input
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// A label. Can be given again
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// The number of an issue whose work has to be published first. Can be given again
    #[arg(long, value_name = "ISSUE")]
    depends_on: Vec<u64>,
}

pub(super) fn run(context: &Context, command: &TaskCommand) -> Result<()> {
    match command {
        TaskCommand::List(args) => list(context, args),
        TaskCommand::Show(args) => show(context, args),
        TaskCommand::Add(args) => add(context, args),
        TaskCommand::Answer(args) => answer::answer(context, args),
        TaskCommand::Ack(args) => answer::acknowledge(context, args),
    }
}

fn list(context: &Context, args: &ListArgs) -> Result<()> {
    let config = context.config(&[])?;
    let mut tasks: Vec<TaskSummary> = match context.reader(&config)? {
        Some(engine) => engine.read(task::summaries),
        None => part(Client::running(context)?.get(&["api", "v1", "tasks"], &[])?, "tasks")?,
    };
    let status = args.status.and_then(|status| status.to_possible_value());
    tasks.retain(|task| {
        args.repository.as_ref().is_none_or(|wanted| task.repository == *wanted)
            && status.as_ref().is_none_or(|wanted| task.status == wanted.get_name())
    });
    if context.json {
        return print_json(&json!({ "tasks": tasks }));
    }
    let mut out = out();
    if tasks.is_empty() {
        writeln!(out, "No task.")?;
        return Ok(out.flush()?);
    }
    let head = ["TASK", "STATUS", "OWNER", "EPOCH", "PULL", "TITLE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(tasks.iter().map(|task| {
        vec![
            clean(&task.task).into_owned(),
            status_of(task),
            clean(task.owner_name.as_deref().unwrap_or("-")).into_owned(),
            task.epoch.map_or("-".to_owned(), |epoch| epoch.to_string()),
            task.pull.map_or("-".to_owned(), |pull| format!("#{pull}")),
            clean(&task.title).into_owned(),
        ]
    }));
    table(&mut out, &rows)?;
    Ok(out.flush()?)
}

fn status_of(task: &TaskSummary) -> String {
    match task.waits_for {
        Some(issue) if task.status == "open" => format!("waits for #{issue}"),
        _ => task.status.clone(),
    }
}

fn show(context: &Context, args: &ShowArgs) -> Result<()> {
    let config = context.config(&[])?;
    let task: TaskView = match context.reader(&config)? {
        Some(engine) => engine.read(|state| {
            let id = find_task(state, &args.task)?;
            let missing = || Error::new(format!("no task is called {:?}", args.task));
            task::view(state, id).ok_or_else(missing)
        })?,
        None => whole(Client::running(context)?.get(&["api", "v1", "tasks", &args.task], &[])?)?,
    };
    if context.json {
        return print_json(&task);
    }
    let mut out = out();
    let summary = &task.summary;
    writeln!(out, "{}  {}", clean(&summary.task), clean(&summary.title))?;
    let list = |texts: &[String]| clean(&texts.join(", ")).into_owned();
    let issues: Vec<String> = task.depends_on.iter().map(|issue| format!("#{issue}")).collect();
    for (name, value) in [
        ("status", status_of(summary)),
        ("task", summary.id.clone()),
        ("priority", clean(&summary.priority).into_owned()),
        ("type", clean(summary.kind.as_deref().unwrap_or("")).into_owned()),
        ("requires", list(&summary.requires)),
        ("labels", list(&task.labels)),
        ("depends on", list(&issues)),
        ("branch", clean(summary.branch.as_deref().unwrap_or("")).into_owned()),
        ("commit", summary.commit.clone().unwrap_or_default()),
        ("pull", summary.pull.map_or(String::new(), |pull| format!("#{pull}"))),
        ("events", format!("{}, {} refused", summary.events, summary.refused)),
    ] {
        if !value.is_empty() {
            writeln!(out, "{name:<10}  {value}")?;
        }
    }
    text(&mut out, "", &task.body)?;
    for one in &task.by_epoch {
        epoch(&mut out, one)?;
    }
    if !task.refusals.is_empty() {
        writeln!(out, "\nRefused events")?;
        for refusal in &task.refusals {
            let author = refusal.author.get(..10).unwrap_or(&refusal.author);
            writeln!(out, "  {author} at {}: {}", refusal.seq, clean(&refusal.reason))?;
        }
    }
    Ok(out.flush()?)
}

fn epoch(out: &mut dyn Write, epoch: &EpochView) -> Result<()> {
    writeln!(out, "\nEpoch {}, {} tried", epoch.epoch, epoch.tried)?;
    if let Some(one) = &epoch.claim {
        claim(out, one)?;
    }
    for (what, who) in [("also says it won", &epoch.contested), ("saw it run out", &epoch.expired)]
    {
        if !who.is_empty() {
            writeln!(out, "  {what}: {}", clean(&who.join(", ")))?;
        }
    }
    for (revision, one) in epoch.plans.iter().enumerate() {
        plan(out, revision, one)?;
    }
    let spent = &epoch.spent;
    if epoch.attempts > 0 || spent.answers > 0 {
        writeln!(
            out,
            "  spent: {} commands, {} answers, {} tokens known, {} answers of unknown cost, \
             {} sandboxes",
            spent.commands, spent.answers, spent.tokens, spent.unknown, epoch.attempts
        )?;
    }
    for one in &epoch.commands {
        command(out, one)?;
    }
    if let Some(done) = &epoch.done {
        text(out, "  done: ", done)?;
    }
    if let Some(publish) = &epoch.publish {
        let (files, added, removed) = publish.changed;
        let state = match (&publish.refused, publish.published) {
            (_, true) => "published".to_owned(),
            (Some(why), false) => format!("not published: {why}"),
            (None, false) => "not published yet".to_owned(),
        };
        let commit = publish.commit.get(..10).unwrap_or(&publish.commit);
        let branch = clean(&publish.branch);
        writeln!(out, "  {branch} at {commit}: {files} files, +{added} -{removed}")?;
        text(out, "  ", &state)?;
    }
    if let Some((number, place)) = &epoch.pull {
        writeln!(out, "  pull request #{number}: {}", clean(place))?;
    }
    for round in &epoch.rounds {
        let who = if round.people { "people answered" } else { "checks or reviewers said" };
        text(out, &format!("  {who}: "), &round.message)?;
    }
    if let Some(asked) = &epoch.escalation {
        text(out, "  asks people: ", &asked.question)?;
        text(out, "  because: ", &asked.reason)?;
        let said =
            [("answered by", &asked.answered_by), ("in the care of", &asked.acknowledged_by)];
        for (what, by) in said {
            if let Some(by) = by {
                text(out, &format!("  {what}: "), by)?;
            }
        }
    }
    if let Some(error) = &epoch.last_error {
        text(out, "  last error: ", error)?;
    }
    if let Some(outcome) = &epoch.finished {
        writeln!(out, "  finished: {}", clean(outcome))?;
    }
    Ok(())
}

fn claim(out: &mut dyn Write, claim: &ClaimView) -> Result<()> {
    let ClaimView { author_name, won_ms, lease_ms, renewals, status, .. } = claim;
    let (name, won, lease) = (clean(author_name), time(*won_ms), lease_ms / 1000);
    writeln!(out, "  won by {name} at {won}, lease {lease} s, {renewals} renewals, {status}")?;
    if let Some(lost) = claim.lost_ms {
        writeln!(out, "  lost at {}", time(lost))?;
    }
    Ok(())
}

fn plan(out: &mut dyn Write, revision: usize, plan: &PlanView) -> Result<()> {
    let adopted = if plan.adopted { ", adopted" } else { "" };
    writeln!(out, "  plan {revision}{adopted}")?;
    text(out, "    ", &plan.summary)?;
    for step in &plan.steps {
        text(out, "    - ", step)?;
    }
    for review in &plan.reviews {
        let verdict = match review.verdict.as_str() {
            "support" => "supports it",
            "advise" => "advises",
            _ => "objects",
        };
        text(out, &format!("    {} {verdict}: ", clean(&review.author_name)), &review.reason)?;
    }
    Ok(())
}

fn command(out: &mut dyn Write, command: &CommandView) -> Result<()> {
    text(out, "  $ ", &command.command)?;
    let status = command.status.as_deref().unwrap_or("running");
    writeln!(out, "    {}, {} bytes of output", clean(status), command.output_bytes)?;
    if !command.output_end.is_empty() {
        text(out, "    | ", &command.output_end)?;
    }
    Ok(())
}

/// Writes untrusted text line by line, each behind the same mark.
fn text(out: &mut dyn Write, mark: &str, text: &str) -> Result<()> {
    if mark.is_empty() && !text.is_empty() {
        writeln!(out)?;
    }
    for line in text.lines() {
        writeln!(out, "{}", format!("{mark}{}", clean(line)).trim_end())?;
    }
    Ok(())
}

fn add(context: &Context, args: &AddArgs) -> Result<()> {
    let config = context.config(&[])?;
    let names: Vec<&str> = config.repositories.iter().map(|entry| entry.name.as_str()).collect();
    let known = match names.as_slice() {
        [] => "bzzz.toml names no repository".to_owned(),
        names => format!("bzzz.toml names {}", names.join(", ")),
    };
    let repository = match (args.repository.as_deref(), names.as_slice()) {
        (Some(name), _) if names.contains(&name) => name,
        (Some(name), _) => {
            return Err(Error::new(format!("no repository is called {name:?}")).hint(known));
        }
        (None, [only]) => *only,
        (None, _) => return Err(Error::usage("the repository is not clear").hint(known)),
    };
    let body = match &args.body_file {
        Some(path) => read_text(path, MAX_BODY)?,
        None => args.body.clone(),
    };
    let mut labels = args.label.clone();
    if !labels.iter().any(|label| config.agent.labels.contains(label)) {
        labels.extend(config.agent.labels.first().cloned());
    }
    let issue =
        NewIssue { title: args.title.clone(), body, labels, depends_on: args.depends_on.clone() };
    let number = add_issue(&config, repository, issue)?;
    if context.json {
        let task = crate::kernel::event::TaskId::of(repository, number);
        let name = format!("{repository}#{number}");
        return print_json(&json!({ "task": name, "id": task, "issue": number }));
    }
    let mut out = out();
    writeln!(out, "Added {repository}#{number}.")?;
    Ok(out.flush()?)
}

/// The text of a file of at most `max` bytes; `-` is standard input.
pub(super) fn read_text(path: &Path, max: u64) -> Result<String> {
    let failed = |why: String| Error::new(format!("{} cannot be read: {why}", path.display()));
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(max + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(max + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > max {
        return Err(failed(format!("it is over {max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8 text".to_owned()))
}
