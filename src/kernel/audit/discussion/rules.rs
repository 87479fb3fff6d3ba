//! What came of each part of a discussion, and by which rule of the fold or of the owner's agent.

use super::Outcome;
use crate::kernel::event::kinds::{HelpForm, Subject, Verdict};
use crate::kernel::event::{EventId, Hlc};
use crate::kernel::fold::{
    Approval, Epoch, Escalation, Handed, Help, Message, Offer, Order, Part, Plan, Review, Session,
    SwarmState, Task,
};

pub(super) type Came = (Outcome, String);

fn came(outcome: Outcome, rule: &str) -> Came {
    (outcome, rule.to_owned())
}

const WITHDRAWN: &str = "withdrawn: its author took it back";

/// Whether nobody can say anything more under this claim.
fn over(epoch: &Epoch) -> bool {
    !epoch.is_active()
}

pub(super) fn claim(task: &Task, epoch: &Epoch) -> Came {
    if !epoch.contested.is_empty() {
        let others = epoch.contested.len();
        let rule = format!(
            "contested: {others} more say that they won it; the first in the total order counts"
        );
        return (Outcome::Stands, rule);
    }
    if let Some(outcome) = &epoch.finished {
        return (Outcome::Ended, format!("ended: the owner's part is over ({outcome})"));
    }
    if epoch.winner.as_ref().is_some_and(|win| win.lost_at.is_some()) {
        return came(Outcome::Ended, "ended: the owner lost the claim");
    }
    match task.current() {
        Some(current) if current.number > epoch.number => {
            came(Outcome::Ended, "ended: a later claim was won")
        }
        _ => came(Outcome::Stands, "stands: the owner works on the task"),
    }
}

pub(super) fn plan(epoch: &Epoch, at: usize) -> Came {
    let plan = &epoch.plans[at];
    let objections = plan.objections().filter(|review| in_time(epoch, at, review)).count();
    if plan.adopted.is_some() {
        let rule = "adopted: no blocking objection that the owner had considered stood";
        return came(Outcome::Adopted, rule);
    }
    let denied = approval_of(epoch, plan).and_then(|approval| approval.verdict.as_ref());
    let denied = denied.is_some_and(|verdict| !verdict.approved);
    if at + 1 < epoch.plans.len() {
        let rule = match (objections, denied) {
            (0, false) => "revised: the owner proposed another plan".to_owned(),
            (0, true) => "revised: a person did not approve it".to_owned(),
            (count, _) => format!("revised: blocking objections stood against it ({count})"),
        };
        return (Outcome::Revised, rule);
    }
    if epoch.escalation.is_some() {
        let rule = match (objections, denied) {
            (0, false) => "given to people: the owner could not go on".to_owned(),
            (0, true) => {
                "given to people: a person did not approve it, and no revision is left".to_owned()
            }
            (count, _) => format!(
                "given to people: blocking objections stand against it ({count}), and no revision \
                 is left"
            ),
        };
        return (Outcome::Escalated, rule);
    }
    if over(epoch) {
        return came(Outcome::Ended, "ended: the owner's part was over before it was adopted");
    }
    match objections {
        0 => came(Outcome::Open, "open: no blocking objection stands so far"),
        count => (Outcome::Open, format!("open: blocking objections stand against it ({count})")),
    }
}

/// Whether a review came before the next revision of the plan.
fn in_time(epoch: &Epoch, at: usize, review: &Review) -> bool {
    let said = epoch.discussion.messages.get(&review.event).map(|said| said.at);
    let next = epoch.plans.get(at + 1).map(|plan| plan.at);
    said.zip(next).is_none_or(|(said, next)| said < next)
}

fn approval_of<'a>(epoch: &'a Epoch, plan: &Plan) -> Option<&'a Approval> {
    epoch.approval(&Subject::Plan.hash(&plan.event.0))
}

/// Of an adoption, with its clock if that is known.
pub(super) fn adoption(plan: &Plan, at: Option<Hlc>, considered: Option<usize>) -> Came {
    let window = match at {
        Some(at) if at.ms() >= plan.deadline_ms => "the window had closed and ",
        Some(_) => "everybody who was asked for a review had answered, and ",
        None => "",
    };
    let considered = considered.map_or(String::new(), |n| format!(" (considered: {n})"));
    let rule = format!("adopted: {window}no blocking objection stood{considered}");
    (Outcome::Stands, rule)
}

pub(super) fn review(epoch: &Epoch, at: usize, review: &Review) -> Came {
    let plan = &epoch.plans[at];
    if review.withdrawn {
        return came(Outcome::Withdrawn, WITHDRAWN);
    }
    if review.verdict != Verdict::Object {
        return came(Outcome::Stands, "stands: it does not block the plan");
    }
    if plan.adopted.is_some() {
        let rule = "not considered: the owner did not have it when it adopted its plan";
        return came(Outcome::NotConsidered, rule);
    }
    if !in_time(epoch, at, review) {
        let rule = "not considered: the owner had revised the plan before";
        return came(Outcome::NotConsidered, rule);
    }
    if at + 1 < epoch.plans.len() {
        return came(Outcome::Heeded, "heeded: it blocked the plan, and the owner revised it");
    }
    if epoch.escalation.is_some() {
        return came(Outcome::Escalated, "given to people: it blocks the last revision");
    }
    came(Outcome::Stands, "stands: it blocks the plan until that is revised or it is withdrawn")
}

pub(super) fn message(epoch: &Epoch, event: &EventId, said: &Message) -> Came {
    if said.withdrawn {
        return came(Outcome::Withdrawn, WITHDRAWN);
    }
    match said.part {
        Part::Question => {
            let answers = epoch.discussion.answers(event).count();
            if answers > 0 {
                return (Outcome::Answered, format!("answered: answers that stand: {answers}"));
            }
            let owner = epoch.winner.as_ref().is_some_and(|win| win.author == said.author);
            if owner && epoch.escalation.as_ref().is_some_and(|asked| asked.at > said.at) {
                let rule = "given to people: nobody answered before the owner asked them";
                return came(Outcome::Escalated, rule);
            }
            if over(epoch) {
                return came(Outcome::Ended, "ended: the task was over before anybody answered");
            }
            came(Outcome::Open, "open: nobody answered so far")
        }
        Part::Answer => came(Outcome::Stands, "stands: it answers another member's question"),
        _ => came(Outcome::Stands, "stands: it is within the limits of the discussion"),
    }
}

pub(super) fn help(epoch: &Epoch, at: usize) -> Came {
    let help = &epoch.help[at];
    match (&help.accepted, help.closed) {
        (Some(_), _) => came(Outcome::Accepted, "accepted: the owner took an offer that stood"),
        (None, true) => {
            came(Outcome::Escalated, "given to people: the owner took no offer and asked them")
        }
        (None, false) if over(epoch) => {
            came(Outcome::Ended, "ended: the owner's part was over before it took an offer")
        }
        (None, false) => came(Outcome::Open, "open: the owner waits for offers"),
    }
}

pub(super) fn offer(help: &Help, offer: &Offer) -> Came {
    if help.accepted.as_ref().is_some_and(|(accepted, _)| *accepted == offer.event) {
        return came(Outcome::Accepted, "accepted: the owner took it");
    }
    if offer.withdrawn {
        return came(Outcome::Withdrawn, WITHDRAWN);
    }
    if offer.help == HelpForm::None {
        return came(Outcome::Stands, "stands: nobody needs to wait for its author");
    }
    match (help.accepted.is_some(), help.closed) {
        (true, _) => came(Outcome::NotTaken, "not taken: the owner took another offer"),
        (false, true) => came(Outcome::NotTaken, "not taken: the owner asked people"),
        (false, false) => came(Outcome::Open, "open: the owner has not decided yet"),
    }
}

pub(super) fn handed(task: &Task, epoch: &Epoch, handed: &Handed) -> Came {
    let mut later = task.epochs.range(epoch.number + 1..).map(|(_, later)| later);
    let next = later.find_map(|later| Some((later.number, later.winner.as_ref()?.author)));
    match next {
        Some((number, author)) if author == handed.to => {
            (Outcome::Accepted, format!("accepted: the helper won the next claim, epoch {number}"))
        }
        Some((number, _)) => {
            (Outcome::NotTaken, format!("not taken: another member won epoch {number}"))
        }
        None => came(Outcome::Open, "open: the helper has not won the next claim yet"),
    }
}

pub(super) fn approval(epoch: &Epoch, approval: &Approval) -> Came {
    match &approval.verdict {
        Some(verdict) if verdict.approved => {
            came(Outcome::Approved, "approved: a person approved exactly this hash")
        }
        Some(_) => came(Outcome::Denied, "denied: a person did not approve it"),
        None if epoch.escalation.as_ref().is_some_and(|asked| asked.at > approval.at) => {
            came(Outcome::Escalated, "given to people: nobody answered before the owner asked")
        }
        None if over(epoch) => came(Outcome::Ended, "ended: the task was over before anybody did"),
        None if epoch.awaited().all(|asked| asked.event != approval.event) => {
            came(Outcome::Ended, "ended: the plan was revised, or the work was resumed")
        }
        None => came(Outcome::Open, "open: it is not done before a person approves it"),
    }
}

pub(super) fn escalation(escalation: &Escalation) -> Came {
    if let Some(answer) = &escalation.answer {
        let rule = format!("answered: by {}, the first answer counts", answer.by);
        return (Outcome::Answered, rule);
    }
    let level = escalation.level;
    match &escalation.acknowledged {
        Some(by) => (Outcome::Open, format!("open: {} takes care of it, level {level}", by.by)),
        None => (Outcome::Open, format!("open: nobody answered so far, level {level}")),
    }
}

pub(super) fn session(state: &SwarmState, session: &Session) -> Came {
    match state.order(session) {
        Order::Open => came(Outcome::Open, "open: it is not decided yet"),
        Order::Stands => {
            let rule = "resolved: its author owns a side, who is to wait proposed it or agreed, \
                        and the owner of the first did not disagree";
            came(Outcome::Resolved, rule)
        }
        Order::Over => {
            let rule = "resolved and over: the first side is published or nobody works on it";
            came(Outcome::Resolved, rule)
        }
        Order::Escalated => came(Outcome::Escalated, "given to people: there is no agreement"),
        Order::Void => {
            let rule = "void: its author owns neither side, or an owner disagrees, or the second \
                        side's owner neither proposed to wait nor agreed";
            came(Outcome::Void, rule)
        }
    }
}
