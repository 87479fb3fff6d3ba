//! What an event says in a discussion, in the same words as the state is told in.

use super::What;
use super::state::{limits_text, plan_text};
use crate::kernel::event::EventId;
use crate::kernel::event::kinds::{
    Act, ApprovalRequested, CoordinationOpened, DependencyDetected, HelpForm, Payload, Source,
    Subject, Verdict,
};
use crate::kernel::fold::Limits;

/// What an event says.
pub(super) struct Said {
    pub(super) what: What,
    pub(super) head: String,
    pub(super) text: String,
    pub(super) about: Option<EventId>,
    pub(super) epoch: Option<u64>,
    pub(super) deadline_ms: u64,
}

impl Said {
    fn new(what: What, head: impl Into<String>, epoch: u64) -> Self {
        let (head, epoch) = (head.into(), Some(epoch));
        Self { what, head, text: String::new(), about: None, epoch, deadline_ms: 0 }
    }

    fn about(mut self, about: EventId) -> Self {
        self.about = Some(about);
        self
    }

    fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    fn until(mut self, deadline_ms: u64) -> Self {
        self.deadline_ms = deadline_ms;
        self
    }
}

/// What an event says, if it is part of a discussion.
pub(super) fn said(payload: &Payload) -> Option<Said> {
    plans(payload)
        .or_else(|| messages(payload))
        .or_else(|| approvals(payload))
        .or_else(|| people(payload))
        .or_else(|| sessions(payload))
}

fn plans(payload: &Payload) -> Option<Said> {
    Some(match payload {
        Payload::PlanProposed(p) => Said::new(What::Plan, proposes(p.revision), p.epoch)
            .text(plan_text(&p.plan))
            .until(p.deadline_ms),
        Payload::PlanReviewed(p) => {
            Said::new(What::Review, verdict(&p.verdict), p.epoch).text(&*p.reason).about(p.plan)
        }
        Payload::PlanAdopted(p) => {
            Said::new(What::Adoption, "adopts its plan", p.epoch).about(p.plan)
        }
        Payload::DependencyDetected(p) => {
            let evidence = p.evidence.join("\n");
            let said = Said::new(What::Dependency, dependency(p), 0).text(evidence);
            Said { epoch: None, ..said }
        }
        _ => return None,
    })
}

fn messages(payload: &Payload) -> Option<Said> {
    Some(match payload {
        Payload::MessageSaid(p) => {
            let (what, head) = match p.act {
                Act::Comment => (What::Comment, "says"),
                Act::Question => (What::Question, "asks"),
                Act::Answer => (What::Answer, "answers"),
            };
            let said = Said::new(what, head, p.epoch).text(&*p.text).until(p.deadline_ms);
            Said { about: p.parent, ..said }
        }
        Payload::Withdrawn(p) => {
            Said::new(What::Withdrawal, "takes it back", p.epoch).text(&*p.reason).about(p.message)
        }
        Payload::DiscussionBounded(p) => {
            let limits = Limits {
                participants: p.participants,
                depth: p.depth,
                per_author: p.per_author,
                messages: p.messages,
                bytes: p.bytes,
                lifetime_ms: p.lifetime_ms,
            };
            Said::new(What::Limits, BOUNDED, p.epoch).text(limits_text(&limits))
        }
        Payload::HelpRequested(p) => Said::new(What::Help, "asks for help", p.epoch)
            .text(help_text(&p.missing, &p.tried))
            .until(p.deadline_ms),
        Payload::HelpOffered(p) => Said::new(What::Offer, offer(p.help), p.epoch)
            .text(&*p.text)
            .about(p.request)
            .until(p.until_ms),
        Payload::HelpAccepted(p) => {
            Said::new(What::Acceptance, "takes the offer", p.epoch).about(p.offer)
        }
        Payload::HandedOver(p) => {
            let head = format!("hands the task over to {}", p.to.short());
            Said::new(What::HandOff, head, p.epoch).about(p.offer)
        }
        _ => return None,
    })
}

fn approvals(payload: &Payload) -> Option<Said> {
    Some(match payload {
        Payload::ApprovalRequested(p) => {
            let ApprovalRequested { epoch, subject, hash, text, rule, deadline_ms } = p;
            let head = approve(*subject, &hash.short());
            let text = format!("rule: {rule}\n{text}");
            Said::new(What::Approval, head, *epoch).text(text).until(*deadline_ms)
        }
        Payload::ApprovalGiven(p) => Said::new(What::Verdict, approves(p.approved), p.epoch)
            .text(&*p.reason)
            .about(p.request),
        _ => return None,
    })
}

fn people(payload: &Payload) -> Option<Said> {
    Some(match payload {
        Payload::Escalated(p) => {
            let text = format!("because: {}\n{}", p.reason, p.question);
            Said::new(What::Escalation, "asks people", p.epoch).text(text)
        }
        Payload::EscalationRaised(p) => {
            let head = format!("asks people again, level {}", p.level);
            Said::new(What::Raised, head, p.epoch).about(p.escalation)
        }
        Payload::EscalationAcknowledged(p) => {
            let head = format!("hears by {} that {} takes care of it", p.channel, p.by);
            Said::new(What::Acknowledgement, head, p.epoch).about(p.escalation)
        }
        Payload::EscalationAnswered(p) => {
            let head = format!("has the answer of {}", p.by);
            Said::new(What::PeoplesAnswer, head, p.epoch).text(&*p.answer).about(p.escalation)
        }
        Payload::WorkResumed(p) => Said::new(What::Round, "takes the work up again", p.epoch),
        _ => return None,
    })
}

fn sessions(payload: &Payload) -> Option<Said> {
    let said = match payload {
        Payload::CoordinationOpened(p) => {
            let CoordinationOpened { sides, first, reason, deadline_ms, .. } = p;
            let at = usize::try_from(*first).ok();
            let side = at.and_then(|at| sides.get(at));
            let head = match side {
                Some(side) => {
                    format!("opens a session: {}#{} goes first", side.repository, side.issue)
                }
                None => "opens a session".to_owned(),
            };
            Said::new(What::Session, head, 0).text(&**reason).until(*deadline_ms)
        }
        Payload::CoordinationJoined(p) => {
            let head = if p.agrees { "joins and agrees" } else { "joins and does not agree" };
            Said::new(What::Joined, head, 0).text(&*p.reason).about(p.opening)
        }
        Payload::CoordinationSaid(p) => {
            let head = match p.act {
                Act::Comment => "says",
                Act::Question => "asks",
                Act::Answer => "answers",
            };
            Said::new(What::Said, head, 0).text(&*p.text).about(p.parent)
        }
        Payload::CoordinationResolved(p) => {
            Said::new(What::Resolved, "settles the session", 0).about(p.opening)
        }
        Payload::CoordinationEscalated(p) => {
            let head = "gives the session to people";
            Said::new(What::SessionEscalated, head, 0).text(&*p.reason).about(p.opening)
        }
        _ => return None,
    };
    Some(Said { epoch: None, ..said })
}

pub(super) const BOUNDED: &str = "makes the limits of the discussion tighter";

pub(super) fn proposes(revision: u32) -> String {
    match revision {
        0 => "proposes a plan".to_owned(),
        _ => format!("proposes revision {revision} of its plan"),
    }
}

pub(super) fn verdict(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Support => "supports the plan",
        Verdict::Advise => "advises on the plan",
        Verdict::Object => "objects to the plan (blocking)",
    }
}

pub(super) fn offer(help: HelpForm) -> &'static str {
    match help {
        HelpForm::None => "cannot help",
        HelpForm::Advice => "offers advice",
        HelpForm::TakeOver => "offers to take the task over",
    }
}

pub(super) fn help_text(missing: &str, tried: &[String]) -> String {
    let mut text = missing.to_owned();
    for tried in tried {
        text.push_str(&format!("\ntried: {tried}"));
    }
    text
}

pub(super) fn approve(subject: Subject, hash: &str) -> String {
    let subject = match subject {
        Subject::Plan => "a plan",
        Subject::Command => "a command",
        Subject::Change => "a change",
    };
    format!("asks people to approve {subject}, hash {hash}")
}

pub(super) fn approves(approved: bool) -> &'static str {
    if approved { "approves it" } else { "does not approve it" }
}

fn dependency(found: &DependencyDetected) -> String {
    let DependencyDetected { repository, issue, source, confidence, .. } = found;
    depends(&format!("{repository}#{issue}"), *source, *confidence)
}

pub(super) fn depends(other: &str, source: Source, confidence: u32) -> String {
    let how = match source {
        Source::Stated => "stated",
        Source::Overlap => "by overlap",
    };
    format!("found that it depends on {other}, {how}, {confidence} percent")
}
