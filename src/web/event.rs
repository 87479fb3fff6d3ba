//! Events as JSON, and in a line for people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::engine::{Engine, EngineError};
use crate::kernel::event::kinds::{
    Act, CommandStatus, HelpForm, Payload, Side, Subject, Verdict, WitnessedHead,
};
use crate::kernel::event::{Body, ClaimStatus, Event, TaskId};
use crate::kernel::fold::{Place, SwarmState, Task};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{ForkProof, StoreError};

/// The longest gist of an event, in characters.
const GIST: usize = 160;

/// An event as programs are told it. Ids are hexadecimal digits; texts of others are untrusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// Its name.
    pub id: String,
    /// Whose log it is in.
    pub author: String,
    /// The author's name, or the beginning of its key.
    pub author_name: String,
    /// Its index in the log.
    pub seq: u64,
    /// Milliseconds since 1970, by the author's clock.
    pub time_ms: u64,
    /// The hybrid logical clock, which orders events.
    pub clock: u64,
    /// The task that it is about.
    pub task: Option<String>,
    /// The task's name for people, once its issue was seen.
    pub task_name: Option<String>,
    /// The kind, in lower case with underscores; `unknown`, `malformed`, `absent` or `erased` if
    /// there is nothing to read.
    pub kind: String,
    /// What it says, in one line.
    pub gist: String,
    /// The events that led to it.
    pub causes: Vec<String>,
    /// What it says.
    pub payload: Value,
}

/// Which events are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Of this author alone.
    pub author: Option<AuthorId>,
    /// About this task alone.
    pub task: Option<TaskId>,
    /// At most so many.
    pub limit: usize,
}

/// The last events that the filter lets pass, in the total order.
///
/// # Errors
/// [`EngineError`].
pub fn events(engine: &Engine, filter: &Filter) -> Result<Vec<EventView>, EngineError> {
    let mut found = match (filter.task, filter.author) {
        (Some(task), author) => {
            let mut events = engine.task_events(task)?;
            events.retain(|event| author.is_none_or(|author| event.author == author));
            events
        }
        (None, Some(author)) => {
            let length = engine.lengths().get(&author).copied().unwrap_or(0);
            tail(engine, author, length, filter.limit)?
        }
        (None, None) => latest(engine, filter.limit)?,
    };
    let surplus = found.len().saturating_sub(filter.limit);
    found.drain(..surplus);
    Ok(engine.read(|state| views(state, found.iter())))
}

/// At most `limit` events of one log, from an index on.
///
/// # Errors
/// [`EngineError`].
pub fn events_from(
    engine: &Engine,
    author: AuthorId,
    from: u64,
    limit: usize,
) -> Result<Vec<EventView>, EngineError> {
    let found = scan(engine, author, from, limit)?;
    Ok(engine.read(|state| views(state, found.iter())))
}

/// The last events of all logs, in the total order.
pub(super) fn latest(engine: &Engine, limit: usize) -> Result<Vec<Event>, StoreError> {
    let mut found: Vec<Event> = Vec::new();
    for (author, length) in engine.lengths() {
        found.extend(tail(engine, author, length, limit)?);
        found.sort_by_key(Place::of);
        let surplus = found.len().saturating_sub(limit);
        found.drain(..surplus);
    }
    Ok(found)
}

fn tail(
    engine: &Engine,
    author: AuthorId,
    length: u64,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    scan(engine, author, length.saturating_sub(limit as u64), limit)
}

/// Records whose header is malformed are no events.
fn scan(
    engine: &Engine,
    author: AuthorId,
    from: u64,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    let mut found = Vec::new();
    let end = from.saturating_add(limit as u64);
    engine.store().scan(&author, from, &mut |index, record| {
        if index < end {
            found.extend(Event::read(author, index, record).ok());
        }
        index + 1 < end
    })?;
    Ok(found)
}

pub(super) fn views<'a>(
    state: &SwarmState,
    events: impl Iterator<Item = &'a Event>,
) -> Vec<EventView> {
    let names = names(state);
    events.map(|event| view(event, state, &names)).collect()
}

/// The members' names. Administrators have none but that of their nodes.
pub(super) fn names(state: &SwarmState) -> BTreeMap<AuthorId, String> {
    let members = state.members.members.iter();
    let named = members.map(|(author, member)| {
        let agent = state.agents.get(author).filter(|_| member.administrator);
        let name = agent.map_or(&member.name, |agent| &agent.started.name);
        let name = if name.trim().is_empty() { author.short() } else { name.clone() };
        (*author, name)
    });
    named.collect()
}

/// The name of an author, or the first digits of its key.
pub(super) fn name(names: &BTreeMap<AuthorId, String>, author: &AuthorId) -> String {
    names.get(author).cloned().unwrap_or_else(|| author.short())
}

fn view(event: &Event, state: &SwarmState, names: &BTreeMap<AuthorId, String>) -> EventView {
    let task = event.header.task;
    let known = task.and_then(|task| state.tasks.get(&task));
    let known = known.filter(|task| !task.repository.is_empty());
    let erased = state.erasures.of(event).map(|erasure| {
        let by = name(names, &erasure.by);
        ("erased".to_owned(), format!("erased by {by}: {}", erasure.reason), Value::Null)
    });
    // What is erased is not shown, even where its bytes are still in memory.
    let (kind, gist, payload) = erased.unwrap_or_else(|| what(event, names));
    EventView {
        id: event.id.to_string(),
        author: event.author.to_string(),
        author_name: name(names, &event.author),
        seq: event.header.seq,
        time_ms: event.header.clock.ms(),
        clock: event.header.clock.0,
        task: task.map(|task| task.to_string()),
        task_name: known.map(Task::name),
        kind,
        gist: gist_line(&gist),
        causes: event.header.causes.iter().map(ToString::to_string).collect(),
        payload,
    }
}

/// What an event says: its kind, a gist, and all of it.
fn what(event: &Event, names: &BTreeMap<AuthorId, String>) -> (String, String, Value) {
    match &event.body {
        Body::Known(payload) => {
            let value = json!(payload);
            let kind = value.get("kind").and_then(Value::as_str).unwrap_or("unknown").to_owned();
            (kind, gist(payload, names), value)
        }
        Body::Unknown => {
            let text = format!("an event of kind {}, which is not known here", event.header.kind);
            ("unknown".to_owned(), text, Value::Null)
        }
        Body::Malformed(why) => ("malformed".to_owned(), why.clone(), Value::Null),
        Body::Absent => ("absent".to_owned(), "its payload is not here".to_owned(), Value::Null),
    }
}

/// The first line that says something, of bounded length.
fn gist_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut short: String = line.chars().take(GIST).collect();
    if line.chars().nth(GIST).is_some() {
        short.push_str("...");
    }
    short
}

fn gist(payload: &Payload, names: &BTreeMap<AuthorId, String>) -> String {
    match payload {
        Payload::SwarmFounded(p) => format!("founded the swarm {}", p.name),
        Payload::MemberAdmitted(p) => format!("admitted {} ({})", p.name, p.member.short()),
        Payload::MemberRevoked(p) => {
            let who = name(names, &p.member);
            format!("revoked {who} at {} events: {}", p.length, p.reason)
        }
        Payload::HeadsWitnessed(p) => {
            let head =
                |head: &WitnessedHead| format!("{} at {}", name(names, &head.author), head.length);
            let heads: Vec<String> = p.heads.iter().take(8).map(head).collect();
            format!("holds {} logs: {}", p.heads.len(), heads.join(", "))
        }
        Payload::PayloadErased(p) => {
            let whose = name(names, &p.author);
            format!("erased what {whose} said at index {}: {}", p.seq, p.reason)
        }
        Payload::ForkProven(p) => match ForkProof::from_bytes(&p.proof) {
            Ok(proof) => {
                let (who, index) = (name(names, &proof.author()), proof.index());
                format!("showed that the log of {who} forks at index {index}")
            }
            Err(_) => "gave a fork proof that is none".to_owned(),
        },
        Payload::ForkResolved(p) => {
            let (who, root) = (name(names, &p.author), p.root.short());
            format!("the branch {root} of the log of {who} stands: {}", p.reason)
        }
        Payload::Checkpoint(p) => {
            format!("state {} of {} logs", p.digest.short(), p.frontier.len())
        }
        Payload::AgentStarted(p) => format!("started as {}, version {}", p.name, p.version),
        Payload::RepositorySeen(p) => format!("works on {}, branch {}", p.repository, p.branch),
        Payload::RepositoryConsent(p) => {
            let allows = if p.allowed { "allows" } else { "refuses" };
            format!("{} {allows} agents, says {}: {}", p.repository, p.source, p.reason)
        }
        Payload::TaskSeen(p) => {
            let open = if p.open { "open" } else { "closed" };
            format!("saw the issue, {open}: {}", p.title)
        }
        Payload::PlanProposed(p) => format!("plan {}: {}", p.revision, p.plan.summary),
        Payload::PlanReviewed(p) => {
            let verdict = match p.verdict {
                Verdict::Support => "supports the plan",
                Verdict::Advise => "advises",
                Verdict::Object => "objects",
            };
            format!("{verdict}: {}", p.reason)
        }
        Payload::PlanAdopted(p) => format!("adopted its plan, {} reviews", p.considered.len()),
        Payload::Published(p) => format!("published {} at {}", p.branch, p.commit.short()),
        Payload::PublishIntended(p) => format!("publishes {} at {}", p.branch, p.commit.short()),
        Payload::PublishRefused(p) => format!("could not publish: {}", p.reason),
        Payload::PullRequestOpened(p) => format!("opened pull request {}: {}", p.number, p.place),
        Payload::PullRequestSeen(p) => {
            let (state, checks, reviews) = (p.state, p.checks, p.reviews);
            format!("pull request {}: {state:?}, checks {checks:?}, reviews {reviews:?}", p.number)
        }
        Payload::WorkResumed(_) => "takes the work up again".to_owned(),
        Payload::Escalated(p) => format!("asks people: {}", p.question),
        Payload::EscalationRaised(p) => format!("asks people again, level {}", p.level),
        Payload::EscalationAcknowledged(p) => format!("{} takes care of the question", p.by),
        Payload::EscalationAnswered(p) => format!("{} answered: {}", p.by, p.answer),
        Payload::Reported(p) => format!("told {}: {}", p.target, p.status),
        Payload::TaskFinished(p) => format!("finished epoch {}: {}", p.epoch, p.outcome),
        _ => gist_of_claim(payload, names)
            .or_else(|| gist_of_talk(payload, names))
            .unwrap_or_else(|| gist_of_work(payload)),
    }
}

fn gist_of_talk(payload: &Payload, names: &BTreeMap<AuthorId, String>) -> Option<String> {
    Some(match payload {
        Payload::Withdrawn(p) => format!("takes it back: {}", p.reason),
        Payload::MessageSaid(p) => format!("{}: {}", act(p.act), p.text),
        Payload::DiscussionBounded(p) => {
            let (messages, bytes) = (p.messages, p.bytes);
            format!("bounds the discussion: {messages} messages of {bytes} bytes in all")
        }
        Payload::HelpRequested(p) => format!("asks for help: {}", p.missing),
        Payload::HelpOffered(p) => match p.help {
            HelpForm::None => format!("cannot help: {}", p.text),
            HelpForm::Advice => format!("advises: {}", p.text),
            HelpForm::TakeOver => format!("offers to take over: {}", p.text),
        },
        Payload::HelpAccepted(p) => format!("takes the offer {}", p.offer.short()),
        Payload::HandedOver(p) => format!("hands the task over to {}", name(names, &p.to)),
        Payload::ApprovalRequested(p) => {
            let subject = match p.subject {
                Subject::Plan => "plan",
                Subject::Command => "command",
                Subject::Change => "change",
            };
            format!("asks people to approve a {subject}, by the rule {}: {}", p.rule, p.text)
        }
        Payload::ApprovalGiven(p) => {
            let verdict = if p.approved { "approves" } else { "does not approve" };
            format!("{verdict} {}: {}", p.hash.short(), p.reason)
        }
        Payload::DependencyDetected(p) => {
            let (other, issue, sure) = (&p.repository, p.issue, p.confidence);
            format!("depends on {other}#{issue}, {sure} percent sure: {}", p.evidence.join(", "))
        }
        Payload::CoordinationOpened(p) => {
            let side = |side: &Side| format!("{}#{}", side.repository, side.issue);
            let sides: Vec<String> = p.sides.iter().take(2).map(side).collect();
            format!("opens a session about {}: {}", sides.join(" and "), p.reason)
        }
        Payload::CoordinationJoined(p) => {
            let agrees = if p.agrees { "agrees" } else { "does not agree" };
            format!("joins the session and {agrees}: {}", p.reason)
        }
        Payload::CoordinationSaid(p) => format!("{} in the session: {}", act(p.act), p.text),
        Payload::CoordinationResolved(p) => {
            format!("settles the session: side {} goes first", p.first)
        }
        Payload::CoordinationEscalated(p) => {
            format!("gives the session to people: {}", p.reason)
        }
        Payload::KeyRotated(p) => format!("goes on under the key {}", p.successor.short()),
        _ => return None,
    })
}

fn act(act: Act) -> &'static str {
    match act {
        Act::Comment => "says",
        Act::Question => "asks",
        Act::Answer => "answers",
    }
}

fn gist_of_claim(payload: &Payload, names: &BTreeMap<AuthorId, String>) -> Option<String> {
    Some(match payload {
        Payload::ClaimIntended(p) => format!("is about to claim epoch {}", p.epoch),
        Payload::ClaimWon(p) => format!("won epoch {}", p.epoch),
        Payload::ClaimLost(p) => match &p.holder {
            Some((holder, epoch)) => {
                format!("lost epoch {}: {} holds epoch {epoch}", p.epoch, name(names, holder))
            }
            None => format!("lost epoch {}", p.epoch),
        },
        Payload::ClaimMoved(p) => match p.status {
            ClaimStatus::Active => format!("renewed its claim, renewal {}", p.renewal),
            ClaimStatus::Released => format!("gave the task back: {}", p.reason),
            ClaimStatus::Published => "marked its claim as published".to_owned(),
            ClaimStatus::Escalated => "marked its claim as escalated".to_owned(),
        },
        Payload::ClaimSeen(p) => {
            format!("saw the claim of {}, epoch {}", name(names, &p.holder), p.epoch)
        }
        Payload::ClaimExpired(p) => {
            format!("saw the claim of {} run out, epoch {}", name(names, &p.holder), p.epoch)
        }
        Payload::ClaimFailed(p) => format!("gave up claiming epoch {}: {}", p.epoch, p.error),
        Payload::ClaimDropped(_) => "deleted its claim ref".to_owned(),
        _ => return None,
    })
}

fn gist_of_work(payload: &Payload) -> String {
    match payload {
        Payload::SandboxOpened(p) => format!("opened a sandbox: {}", p.sandbox),
        Payload::SandboxFailed(p) => format!("has no sandbox: {}", p.error),
        Payload::SandboxClosed(p) => format!("closed the sandbox: {}", p.reason),
        Payload::ModelAsked(p) => format!("asks the model, {:?} {}", p.purpose, p.turn),
        Payload::ModelAnswered(p) => format!("{} answered: {}", p.model, p.text.trim()),
        Payload::ModelFailed(p) => format!("had no answer: {}", p.error),
        Payload::AnswerRefused(p) => format!("refused the answer: {}", p.reason),
        Payload::CommandIntended(p) => format!("$ {}", p.command),
        Payload::CommandOutput(p) => format!("| {}", String::from_utf8_lossy(&p.bytes).trim()),
        Payload::CommandFinished(p) => {
            let status = command_status(&p.status);
            format!("{status} after {} ms, {} bytes of output", p.duration_ms, p.output_total)
        }
        Payload::WorkDone(p) => format!("the work is done: {}", p.summary),
        Payload::ContextDropped(p) => format!("left {} bytes out of the question", p.bytes),
        Payload::EgressDenied(p) => format!("was not let through to {}:{}", p.host, p.port),
        Payload::SettingsRead(p) => format!("takes over {}: {}", p.source, p.limits),
        other => other.name().to_owned(),
    }
}

/// How a command ended, in a few words.
pub(super) fn command_status(status: &CommandStatus) -> String {
    match status {
        CommandStatus::Exited(code) => format!("exit {code}"),
        CommandStatus::TimedOut => "timed out".to_owned(),
        CommandStatus::Killed(why) => format!("killed: {why}"),
        CommandStatus::Lost(why) => format!("nobody knows how it ended: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_gist() {
        for (kind, name) in crate::kernel::event::kinds::KINDS {
            // Nothing but zeros is a payload of every kind: empty texts, lists and choices.
            let mut zeros = (0..1024).map(|len| vec![0; len]);
            let payload = zeros.find_map(|zeros| Payload::from_bytes(*kind, &zeros).ok().flatten());
            let payload = payload.unwrap_or_else(|| panic!("no payload of kind {kind}, {name}"));
            let said = gist_line(&gist(&payload, &BTreeMap::new()));
            assert!(!said.is_empty() && said != *name, "{name} is told by its name alone");
        }
    }

    #[test]
    fn a_gist_is_one_short_line() {
        assert_eq!(gist_line("\n  a \n b"), "a");
        assert_eq!(gist_line(""), "");
        assert_eq!(gist_line(&"ü".repeat(200)), format!("{}...", "ü".repeat(GIST)));
    }
}
