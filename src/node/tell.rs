//! What the node says of its own doings on its log of lines, for whoever watches it.

use tracing::{debug, info, warn};

use super::work::Hands;
use crate::kernel::event::kinds::{Payload, Side};
use crate::kernel::event::{Draft, TaskId};
use crate::kernel::fold::{SwarmState, Task};

/// Says on the node's own log what it does, for whoever watches it.
pub(super) fn tell(hands: &Hands, draft: &Draft) {
    let task = draft.task.map(|id| hands.engine.read(|state| name(state, id)));
    let task = task.unwrap_or_default();
    match &draft.payload {
        Payload::ClaimWon(won) => info!(task, epoch = won.epoch, "claimed"),
        Payload::ClaimLost(lost) => info!(task, epoch = lost.epoch, "lost the claim"),
        Payload::PlanProposed(plan) => {
            info!(task, revision = plan.revision, summary = plan.plan.summary, "proposes a plan");
        }
        Payload::PlanReviewed(review) => {
            info!(task, verdict = ?review.verdict, reason = review.reason, "reviewed a plan");
        }
        Payload::PlanAdopted(_) => info!(task, "adopted the plan"),
        Payload::CommandIntended(command) => {
            let first = command.command.lines().next().unwrap_or("");
            info!(task, step = command.step, command = first, "runs");
        }
        Payload::CommandFinished(ended) => info!(task, status = ?ended.status, "command ended"),
        Payload::MessageSaid(said) => info!(task, act = ?said.act, text = said.text, "says"),
        Payload::HelpRequested(help) => info!(task, missing = help.missing, "asks for help"),
        Payload::HelpOffered(offer) => {
            info!(task, help = ?offer.help, text = offer.text, "answers a call for help");
        }
        Payload::HelpAccepted(_) => info!(task, "accepts the help"),
        Payload::HandedOver(handed) => {
            let work = handed.base.as_ref().map_or("nothing", |(branch, _)| branch.as_str());
            info!(task, to = handed.to.short(), work, "hands it over");
        }
        Payload::ApprovalRequested(asked) => {
            info!(task, subject = ?asked.subject, rule = asked.rule, "waits for an approval");
        }
        Payload::DependencyDetected(found) => {
            let (on, evidence) = (format!("{}#{}", found.repository, found.issue), &found.evidence);
            info!(task, on, confidence = found.confidence, ?evidence, "found a dependency");
        }
        Payload::CoordinationOpened(opened) => {
            let (task, reason) = (both(&opened.sides), &opened.reason);
            info!(task, reason, "proposes an order");
        }
        Payload::CoordinationJoined(joined) => {
            info!(task, agrees = joined.agrees, reason = joined.reason, "answers on the order");
        }
        Payload::CoordinationResolved(_) => info!(task, "the order stands"),
        Payload::CoordinationEscalated(asked) => {
            info!(task, reason = asked.reason, "no order could be agreed on");
        }
        Payload::WorkResumed(_) => info!(task, "goes on"),
        Payload::Published(published) => {
            info!(task, branch = published.branch, commit = published.commit.short(), "published");
        }
        Payload::PullRequestOpened(pull) => info!(task, number = pull.number, "pull request"),
        Payload::Escalated(escalated) => {
            info!(task, reason = escalated.reason, question = escalated.question, "needs help");
        }
        Payload::TaskFinished(finished) => info!(task, outcome = finished.outcome, "finished"),
        Payload::ModelFailed(failed) => warn!(task, error = failed.error, "no answer"),
        Payload::AnswerRefused(refused) => {
            warn!(task, reason = refused.reason, "refused the model's answer");
        }
        Payload::SandboxFailed(failed) => warn!(task, error = failed.error, "no sandbox"),
        Payload::SettingsRead(read) => {
            info!(task, limits = read.limits, denied = ?read.denied, "the repository's settings");
        }
        payload => debug!(task, kind = payload.name(), "says"),
    }
}

/// The name of a task, or of the two tasks that a session is about.
fn name(state: &SwarmState, id: TaskId) -> String {
    let task = state.tasks.get(&id).map(Task::name);
    let session = || {
        let opening = state.sessions.get(&id)?.opening.as_ref()?;
        Some(both(&opening.sides))
    };
    task.or_else(session).unwrap_or_default()
}

fn both(sides: &[Side]) -> String {
    let names = sides.iter().map(|side| format!("{}#{}", side.repository, side.issue));
    let names: Vec<_> = names.collect();
    names.join(" and ")
}
