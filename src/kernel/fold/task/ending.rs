//! The end of an epoch and what may follow it: questions to people and their answers, reports, and
//! work that is taken up again.

use bincode::{Decode, Encode};
use serde::Serialize;

use super::claims::Epoch;
use super::publish::MAX_FEEDBACK;
use super::work::{Spent, Work};
use crate::kernel::event::kinds::{
    Escalated, EscalationAcknowledged, EscalationAnswered, EscalationRaised, Payload, PullState,
    Purpose, WorkResumed,
};
use crate::kernel::event::{CommitId, Event, EventId, Hlc};
use crate::kernel::fold::refusal::Reason;

/// The most reports between two rounds of one epoch.
pub(crate) const MAX_REPORTS: usize = 64;

/// How often a question may be raised again.
pub(crate) const MAX_LEVEL: u32 = 16;

/// How often the work of one epoch may be resumed.
pub(crate) const MAX_ROUNDS: usize = 64;

/// The longest name of a person or a channel, in bytes.
const MAX_NAME: usize = 256;

/// A question to people.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Escalation {
    /// The event.
    pub event: EventId,
    /// When it was asked.
    pub at: Hlc,
    /// Why the owner cannot go on.
    pub reason: String,
    /// What it asks.
    pub question: String,
    /// How often it was raised again.
    pub level: u32,
    /// When it was asked or last raised.
    pub raised_at: Hlc,
    /// Who takes care of it.
    pub acknowledged: Option<Acknowledged>,
    /// What people answered.
    pub answer: Option<PeoplesAnswer>,
}

/// Who takes care of a question.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Acknowledged {
    /// Who, in the words of the channel.
    pub by: String,
    /// How it came.
    pub channel: String,
}

/// What people answered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct PeoplesAnswer {
    /// The event.
    pub event: EventId,
    /// What they say.
    pub text: String,
    /// Who, in the words of the channel.
    pub by: String,
}

/// Work that was taken up again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Round {
    /// The event that says so.
    pub event: EventId,
    /// When.
    pub at: Hlc,
    /// The answer of people, or what was seen of the pull request.
    pub because: EventId,
    /// The branch and the commit to go on from; none to begin anew.
    pub base: Option<(String, CommitId)>,
    /// The answer, or the pull request's feedback.
    pub message: String,
    /// Whether it was an answer of people.
    pub people: bool,
    /// What was used up before.
    pub spent: Spent,
}

impl Epoch {
    /// The author owns the epoch; that was checked.
    pub(super) fn fold_ending(&mut self, event: &Event, payload: &Payload) -> Result<(), Reason> {
        match payload {
            Payload::Escalated(escalated) => self.escalated(event, escalated),
            Payload::EscalationRaised(raised) => self.raised(event, raised),
            Payload::WorkResumed(resumed) => self.resumed(event, resumed),
            Payload::Reported(reported) => {
                if self.reported.len() >= MAX_REPORTS {
                    return Err(Reason::Limit);
                }
                self.reported.insert(format!("{}:{}", reported.target, reported.status));
                Ok(())
            }
            Payload::TaskFinished(finished) => {
                self.finished = Some(finished.outcome.clone());
                // Nothing asks for the outputs again; the log has them.
                for command in &mut self.work.commands {
                    command.excerpt = Vec::new();
                }
                self.asks.clear();
                Ok(())
            }
            _ => Err(Reason::Content),
        }
    }

    fn escalated(&mut self, event: &Event, escalated: &Escalated) -> Result<(), Reason> {
        if self.escalation.is_some() {
            return Err(Reason::Repeated);
        }
        self.escalation = Some(Escalation {
            event: event.id,
            at: event.header.clock,
            reason: escalated.reason.clone(),
            question: escalated.question.clone(),
            level: 0,
            raised_at: event.header.clock,
            acknowledged: None,
            answer: None,
        });
        if let Some(help) = self.help.last_mut() {
            help.closed = true;
        }
        self.answered(&event.author, Purpose::Step);
        self.answered(&event.author, Purpose::Plan);
        Ok(())
    }

    /// The question of this name, if nobody answered it yet.
    fn open_question(&mut self, escalation: &EventId) -> Result<&mut Escalation, Reason> {
        let found = self.escalation.as_mut().filter(|found| found.event == *escalation);
        let found = found.ok_or(Reason::Dangling)?;
        if found.answer.is_some() { Err(Reason::Ended) } else { Ok(found) }
    }

    fn raised(&mut self, event: &Event, raised: &EscalationRaised) -> Result<(), Reason> {
        let found = self.open_question(&raised.escalation)?;
        if raised.level != found.level + 1 {
            return Err(Reason::Repeated);
        }
        if raised.level > MAX_LEVEL {
            return Err(Reason::Limit);
        }
        found.level = raised.level;
        found.raised_at = event.header.clock;
        found.acknowledged = None;
        Ok(())
    }

    pub(super) fn acknowledged(&mut self, said: &EscalationAcknowledged) -> Result<(), Reason> {
        let found = self.open_question(&said.escalation)?;
        if said.by.len() > MAX_NAME || said.channel.len() > MAX_NAME {
            return Err(Reason::Content);
        }
        let (by, channel) = (said.by.clone(), said.channel.clone());
        found.acknowledged = Some(Acknowledged { by, channel });
        Ok(())
    }

    pub(super) fn answered_by_people(
        &mut self,
        event: &Event,
        said: &EscalationAnswered,
    ) -> Result<(), Reason> {
        let found = self.open_question(&said.escalation)?;
        let named = said.by.len() <= MAX_NAME && said.channel.len() <= MAX_NAME;
        if !named || said.answer.len() > MAX_FEEDBACK {
            return Err(Reason::Content);
        }
        let (text, by) = (said.answer.clone(), said.by.clone());
        found.answer = Some(PeoplesAnswer { event: event.id, text, by });
        Ok(())
    }

    fn resumed(&mut self, event: &Event, resumed: &WorkResumed) -> Result<(), Reason> {
        if self.rounds.len() >= MAX_ROUNDS {
            return Err(Reason::Limit);
        }
        if let Some((branch, commit)) = &resumed.base
            && (branch.len() > 256 || !commit.is_valid())
        {
            return Err(Reason::Content);
        }
        if self.rounds.iter().any(|round| round.because == resumed.because) {
            return Err(Reason::Repeated);
        }
        let answer = self.escalation.as_ref().and_then(|asked| asked.answer.as_ref());
        let answer = answer.filter(|answer| answer.event == resumed.because);
        let open = self.pull.as_ref().filter(|pull| pull.state == PullState::Open);
        let seen = open.filter(|pull| pull.seen == Some(resumed.because));
        let message = answer.map(|answer| &answer.text).or(seen.map(|pull| &pull.feedback));
        let message = message.ok_or(Reason::Dangling)?.clone();
        let round = Round {
            event: event.id,
            at: event.header.clock,
            because: resumed.because,
            base: resumed.base.clone(),
            message,
            people: answer.is_some(),
            spent: self.work.spent,
        };
        self.rounds.push(round);
        let publish = self.publish.take().filter(|publish| publish.claim.is_some());
        self.earlier = publish.or(self.earlier.take());
        self.escalation = None;
        self.finished = None;
        self.reported.clear();
        self.asks.clear();
        let Work { attempts, spent, .. } = self.work;
        self.work = Work { attempts, spent, ..Work::default() };
        Ok(())
    }
}
