//! What one event says, in a line for people and the lines below it.

use super::talk;
use crate::cli::text::{Names, count, time};
use crate::kernel::event::kinds::{
    CheckState, CommandFinished, CommandStatus, KINDS, Payload, PullState, ReviewState, Stream,
    Verdict,
};
use crate::kernel::event::{Body, ClaimStatus, Event};
use crate::kernel::fold::Erasure;

/// What an event says. Untrusted text: it is cleaned when it is printed.
pub(super) struct Told {
    pub(super) head: String,
    pub(super) lines: Vec<String>,
}

impl Told {
    pub(super) fn line(head: impl Into<String>) -> Self {
        Self { head: head.into(), lines: Vec::new() }
    }

    /// Adds a text line by line, each with a mark before it; nothing for an empty text.
    pub(super) fn with(mut self, mark: &str, text: &str) -> Self {
        self.lines.extend(text.lines().map(|line| format!("{mark}{line}").trim_end().to_owned()));
        self
    }

    pub(super) fn with_all(self, mark: &str, texts: &[String]) -> Self {
        texts.iter().fold(self, |told, text| told.with(mark, text))
    }
}

/// What is told in place of a payload that was erased.
pub(super) fn erased(event: &Event, erasure: &Erasure, names: &Names) -> Told {
    let name = KINDS.iter().find(|(number, _)| *number == event.header.kind);
    let name = name.map_or("event", |(_, name)| *name);
    Told::line(format!("{name}, erased by {}: {}", names.name(&erasure.by), erasure.reason))
}

/// What an event says.
pub(super) fn tell(event: &Event, names: &Names) -> Told {
    let payload = match &event.body {
        Body::Known(payload) => payload,
        Body::Unknown => {
            return Told::line(format!(
                "event of kind {} and format {}, which this program does not know",
                event.header.kind, event.header.format
            ));
        }
        Body::Malformed(why) => {
            return Told::line(format!("event of kind {}, malformed: {why}", event.header.kind));
        }
        Body::Absent => {
            return Told::line(format!("event of kind {}, not in the bundle", event.header.kind));
        }
    };
    known(payload, names).unwrap_or_else(|| Told::line(payload.name()))
}

fn known(payload: &Payload, names: &Names) -> Option<Told> {
    claim(payload, names)
        .or_else(|| plan(payload))
        .or_else(|| model(payload))
        .or_else(|| command(payload))
        .or_else(|| end(payload))
        .or_else(|| talk::messages(payload, names))
        .or_else(|| talk::coordination(payload))
        .or_else(|| talk::swarm(payload, names))
}

fn claim(payload: &Payload, names: &Names) -> Option<Told> {
    Some(match payload {
        Payload::TaskSeen(p) => {
            let open = if p.open { "open" } else { "closed" };
            let told = Told::line(format!("sees the issue, {open}: {}", p.title));
            let told = match p.labels.as_slice() {
                [] => told,
                labels => told.with("labels: ", &labels.join(", ")),
            };
            let issues: Vec<String> = p.depends_on.iter().map(|n| format!("#{n}")).collect();
            match issues.as_slice() {
                [] => told,
                issues => told.with("depends on: ", &issues.join(", ")),
            }
        }
        Payload::ClaimIntended(p) => {
            let lease = seconds(p.lease_ms);
            Told::line(format!("is about to claim epoch {} for {lease}", p.epoch))
        }
        Payload::ClaimWon(p) => {
            Told::line(format!("won epoch {} with claim {}", p.epoch, p.commit.short()))
        }
        Payload::ClaimLost(p) => match &p.holder {
            Some((holder, epoch)) => {
                let holder = names.name(holder);
                Told::line(format!("lost epoch {}: {holder} holds epoch {epoch}", p.epoch))
            }
            None => Told::line(format!("lost epoch {}", p.epoch)),
        },
        Payload::ClaimMoved(p) => {
            let head = match p.status {
                ClaimStatus::Active => format!("renewed its claim, renewal {}", p.renewal),
                ClaimStatus::Released => "gave the task back".to_owned(),
                ClaimStatus::Published => "marked its claim as published".to_owned(),
                ClaimStatus::Escalated => "marked its claim as escalated".to_owned(),
            };
            Told::line(head).with("because: ", &p.reason)
        }
        Payload::ClaimSeen(p) => {
            let (holder, claim) = (names.name(&p.holder), p.commit.short());
            Told::line(format!("saw claim {claim} of {holder}, epoch {}", p.epoch))
        }
        Payload::ClaimExpired(p) => {
            let (holder, watched) = (names.name(&p.holder), seconds(p.watched_ms));
            Told::line(format!(
                "watched the claim of {holder}, epoch {}, stand still for {watched}",
                p.epoch
            ))
        }
        Payload::ClaimFailed(p) => {
            Told::line(format!("gave up claiming epoch {}", p.epoch)).with("because: ", &p.error)
        }
        Payload::ClaimDropped(p) => {
            Told::line(format!("deleted its claim ref, which held {}", p.commit.short()))
        }
        _ => return None,
    })
}

fn plan(payload: &Payload) -> Option<Told> {
    Some(match payload {
        Payload::PlanProposed(p) => {
            let (revision, deadline) = (p.revision, time(p.deadline_ms));
            let head = format!("proposes plan {revision}, open to objections until {deadline}");
            Told::line(head)
                .with("", &p.plan.summary)
                .with_all("- ", &p.plan.steps)
                .with_all("file: ", &p.plan.files)
                .with_all("test: ", &p.plan.tests)
                .with_all("risk: ", &p.plan.risks)
        }
        Payload::PlanReviewed(p) => {
            let verdict = match p.verdict {
                Verdict::Support => "supports the plan",
                Verdict::Advise => "advises on the plan",
                Verdict::Object => "objects to the plan",
            };
            Told::line(verdict).with("", &p.reason)
        }
        Payload::PlanAdopted(p) => {
            let reviews = count(p.considered.len() as u64, "review");
            Told::line(format!("adopts its plan, with {reviews} considered"))
        }
        _ => return None,
    })
}

fn model(payload: &Payload) -> Option<Told> {
    Some(match payload {
        Payload::ModelAsked(p) => {
            Told::line(format!("asks the model for a {}, turn {}", word(&p.purpose), p.turn))
        }
        Payload::ModelAnswered(p) => {
            let tokens = match (p.tokens_in, p.tokens_out) {
                (Some(read), Some(written)) => format!("{read} tokens read, {written} written"),
                _ => "tokens unknown".to_owned(),
            };
            let head = format!("has a {} from {}, {tokens}", word(&p.purpose), p.model);
            Told::line(head).with("> ", &p.text)
        }
        Payload::ModelFailed(p) => {
            let head = format!("had no answer for a {}", word(&p.purpose));
            Told::line(head).with("because: ", &p.error)
        }
        Payload::AnswerRefused(p) => {
            let head = format!("refuses the answer for a {}", word(&p.purpose));
            Told::line(head).with("because: ", &p.reason)
        }
        Payload::ContextDropped(p) => {
            let messages = count(u64::from(p.messages), "message");
            Told::line(format!("left {messages} of {} bytes out of its question", p.bytes))
        }
        _ => return None,
    })
}

fn command(payload: &Payload) -> Option<Told> {
    Some(match payload {
        Payload::SandboxOpened(p) => {
            Told::line(format!("opens a sandbox at {}: {}", p.base.short(), p.sandbox))
        }
        Payload::SandboxFailed(p) => Told::line("has no sandbox").with("because: ", &p.error),
        Payload::SandboxClosed(p) => Told::line("closes the sandbox").with("because: ", &p.reason),
        Payload::CommandIntended(p) => {
            let mut lines = p.command.lines();
            let told = Told::line(format!("$ {}", lines.next().unwrap_or_default()));
            let told = lines.fold(told, |told, line| told.with("> ", line));
            told.with("because: ", &p.reasoning)
        }
        Payload::CommandOutput(p) => {
            let (name, mark) = match p.stream {
                Stream::Stdout => ("standard output", "| "),
                Stream::Stderr => ("standard error", "! "),
            };
            let head = format!("more {name} of command {}", p.command.short());
            Told::line(head).with(mark, &String::from_utf8_lossy(&p.bytes))
        }
        Payload::CommandFinished(p) => Told::line(finished(p)),
        Payload::EgressDenied(p) => {
            let times = count(u64::from(p.count), "time");
            Told::line(format!("was not let through to {}:{}, {times}", p.host, p.port))
        }
        Payload::SettingsRead(p) => Told::line(format!("takes over settings of {}", p.source))
            .with("applies: ", &p.limits)
            .with_all("set-up: ", &p.setup)
            .with_all("not granted: ", &p.denied),
        Payload::WorkDone(p) => Told::line("says that the work is done").with("", &p.summary),
        _ => return None,
    })
}

fn finished(p: &CommandFinished) -> String {
    let took = seconds(p.duration_ms);
    let how = match &p.status {
        CommandStatus::Exited(code) => format!("exit {code} after {took}"),
        CommandStatus::TimedOut => format!("timed out after {took}"),
        CommandStatus::Killed(why) => format!("killed after {took}: {why}"),
        CommandStatus::Lost(why) => format!("nobody knows how it ended: {why}"),
    };
    match p.output_total == p.output_kept {
        true => format!("{how}, {} bytes of output", p.output_total),
        false => format!("{how}, {} of {} bytes of output kept", p.output_kept, p.output_total),
    }
}

fn end(payload: &Payload) -> Option<Told> {
    Some(match payload {
        Payload::PublishIntended(p) => {
            let (files, added, removed) = p.changed;
            let commit = p.commit.short();
            let head = format!("is about to publish {} at {commit}", p.branch);
            Told::line(head).with(
                "",
                &format!("{}, +{added} -{removed} lines", count(u64::from(files), "file")),
            )
        }
        Payload::Published(p) => {
            let (commit, claim) = (p.commit.short(), p.claim.short());
            Told::line(format!("published {} at {commit} with claim {claim}", p.branch))
        }
        Payload::PublishRefused(p) => Told::line("could not publish").with("because: ", &p.reason),
        Payload::PullRequestOpened(p) => {
            Told::line(format!("opened pull request {}: {}", p.number, p.place))
        }
        Payload::Escalated(p) => {
            Told::line("asks people").with("because: ", &p.reason).with("? ", &p.question)
        }
        Payload::PullRequestSeen(p) => {
            let (state, checks) = (pull_state(p.state), check_state(p.checks));
            let reviews = review_state(p.reviews);
            let head = format!("sees pull request {}: {state}, {checks}, {reviews}", p.number);
            Told::line(head).with("> ", &p.feedback)
        }
        Payload::WorkResumed(p) => match &p.base {
            Some((branch, commit)) => {
                Told::line(format!("takes the work up again from {branch} at {}", commit.short()))
            }
            None => Told::line("takes the work up again"),
        },
        Payload::EscalationRaised(p) => {
            Told::line(format!("asks people again, with more weight: level {}", p.level))
        }
        Payload::EscalationAcknowledged(p) => {
            Told::line(format!("hears by {} that {} takes care of the question", p.channel, p.by))
        }
        Payload::EscalationAnswered(p) => {
            let head = format!("has an answer by {} from {}", p.channel, p.by);
            Told::line(head).with("> ", &p.answer)
        }
        Payload::Reported(p) => Told::line(format!("told {}: {}", p.target, p.status)),
        Payload::TaskFinished(p) => {
            Told::line(format!("is finished with epoch {}: {}", p.epoch, p.outcome))
        }
        _ => return None,
    })
}

fn pull_state(state: PullState) -> &'static str {
    match state {
        PullState::Open => "open",
        PullState::Merged => "merged",
        PullState::Closed => "closed without a merge",
    }
}

fn check_state(state: CheckState) -> &'static str {
    match state {
        CheckState::None => "no checks",
        CheckState::Pending => "checks pending",
        CheckState::Passed => "checks passed",
        CheckState::Failed => "checks failed",
    }
}

fn review_state(state: ReviewState) -> &'static str {
    match state {
        ReviewState::None => "no reviews",
        ReviewState::Commented => "commented",
        ReviewState::Approved => "approved",
        ReviewState::ChangesRequested => "changes requested",
    }
}

fn word(purpose: &crate::kernel::event::kinds::Purpose) -> &'static str {
    use crate::kernel::event::kinds::Purpose;
    match purpose {
        Purpose::Plan => "plan",
        Purpose::Review => "review",
        Purpose::Step => "step",
        Purpose::Help => "help",
        Purpose::Answer => "answer",
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_told_in_words() {
        for (kind, name) in KINDS {
            // Nothing but zeros is a payload of every kind: empty texts, lists and choices.
            let mut zeros = (0..1024).map(|len| vec![0; len]);
            let payload = zeros.find_map(|zeros| Payload::from_bytes(*kind, &zeros).ok().flatten());
            let payload = payload.unwrap_or_else(|| panic!("no payload of kind {kind}, {name}"));
            assert_eq!(payload.name(), *name);
            let told = known(&payload, &Names::default());
            let told = told.unwrap_or_else(|| panic!("{name} is told by its name alone"));
            assert!(told.head.contains(' '), "{name}: {}", told.head);
        }
    }
}
