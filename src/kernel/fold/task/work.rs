//! The work loop of an epoch: sandbox, questions, answers, commands.

use bincode::{Decode, Encode};
use serde::Serialize;

use super::claims::Epoch;
use crate::kernel::event::kinds::{
    AnswerRefused, CommandFinished, CommandIntended, CommandOutput, CommandStatus, ContextDropped,
    EgressDenied, ModelAnswered, ModelAsked, Payload, Purpose, SandboxOpened, SettingsRead,
};
use crate::kernel::event::{CommitId, Event, EventId, Hlc};
use crate::kernel::fold::refusal::Reason;
use crate::kernel::identity::AuthorId;

/// The last bytes of a command's output that the state keeps, for the next prompt.
pub const OUTPUT_EXCERPT: usize = 4096;

/// The most commands of one attempt.
pub(crate) const MAX_COMMANDS: usize = 1024;

/// The most commands of a repository's own settings.
pub(crate) const MAX_SETUP: usize = 32;

/// The days of which an author's use of models is kept.
pub(crate) const MAX_DAYS: usize = 32;

/// A day in milliseconds.
pub const DAY_MS: u64 = 86_400_000;

/// The most members that ask models about one epoch.
pub(crate) const MAX_ASKERS: usize = 256;

/// A question to a model, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Ask {
    /// The question.
    pub event: EventId,
    /// What for.
    pub purpose: Purpose,
    /// The turn that it was asked in.
    pub turn: u32,
    /// Whether it waits for an answer.
    pub waiting: bool,
    /// The answer, until it is used or refused.
    pub answer: Option<Answer>,
    /// How many times in a row the model failed or its answer was refused.
    pub failures: u32,
    /// What was wrong the last time.
    pub last_error: Option<String>,
    /// Whether the last failure was an answer in the wrong form, not a model out of reach.
    pub nonsense: bool,
    /// How many plans were answered in this epoch, and how many steps in this attempt.
    pub turns: (u32, u32),
}

/// A model's answer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Answer {
    /// The event.
    pub event: EventId,
    /// The answer as it came.
    pub text: String,
}

/// The sandbox of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Sandbox {
    /// The event that says that it is ready.
    pub event: EventId,
    /// The owner's process that it belongs to.
    pub process: u64,
    /// Which kind, and its image.
    pub sandbox: String,
    /// The commit that work started from.
    pub base: CommitId,
}

/// A command of the current attempt.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Command {
    /// The event that intended it.
    pub event: EventId,
    /// The answer that it came from.
    pub text: String,
    /// When it was intended.
    pub at: Hlc,
    /// How many parts of its output came.
    pub parts: u32,
    /// The end of its output, both streams in order of arrival. Not shown where it is not text.
    #[serde(serialize_with = "lossy")]
    pub excerpt: Vec<u8>,
    /// How it ended.
    pub status: Option<CommandStatus>,
    /// How much it wrote.
    pub output_total: u64,
}

/// What an epoch has used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Spent {
    /// Commands.
    pub commands: u64,
    /// Answers of models to the owner.
    pub answers: u64,
    /// Tokens that the servers reported.
    pub tokens: u64,
    /// Answers whose cost is not known.
    pub unknown: u64,
}

/// The work loop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Work {
    /// The number of sandboxes that were opened: each begins a new attempt.
    pub attempts: u32,
    /// The sandbox, while it is there.
    pub sandbox: Option<Sandbox>,
    /// The commands of the current attempt.
    pub commands: Vec<Command>,
    /// How many times in a row a sandbox could not be made.
    pub failures: u32,
    /// What was wrong the last time.
    pub last_error: Option<String>,
    /// The event that says that the work is done, and its summary.
    pub done: Option<(EventId, String)>,
    /// Commands of the repository's own settings, which run before the first step of the model.
    pub setup: Vec<String>,
    /// What all attempts used up.
    pub spent: Spent,
}

impl Spent {
    /// Adds an answer, and its cost if it is known.
    fn answer(&mut self, tokens: Option<u64>) {
        self.answers += 1;
        match tokens {
            Some(tokens) => self.tokens = self.tokens.saturating_add(tokens),
            None => self.unknown += 1,
        }
    }
}

fn lossy<S: serde::Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&String::from_utf8_lossy(bytes))
}

impl Epoch {
    pub(super) fn fold_work(&mut self, event: &Event, payload: &Payload) -> Result<(), Reason> {
        match payload {
            Payload::ModelAsked(asked) => return self.asked(event, asked),
            Payload::ModelAnswered(answered) => return self.model_answered(event, answered),
            Payload::ModelFailed(failed) => {
                return self.no_answer(&event.author, &failed.ask, &failed.error);
            }
            Payload::AnswerRefused(refused) => return self.answer_refused(event, refused),
            Payload::ContextDropped(dropped) => return self.context_dropped(event, dropped),
            _ => self.owned_by(&event.author)?,
        }
        match payload {
            Payload::SandboxOpened(opened) => return self.sandbox_opened(event, opened),
            Payload::SandboxFailed(failed) => {
                self.work.failures += 1;
                self.work.last_error = Some(failed.error.clone());
            }
            Payload::SandboxClosed(_) => self.work.sandbox = None,
            Payload::CommandIntended(intended) => return self.command_intended(event, intended),
            Payload::CommandOutput(output) => return self.output(output),
            Payload::CommandFinished(finished) => return self.command_finished(finished),
            Payload::EgressDenied(denied) => return self.egress_denied(denied),
            Payload::SettingsRead(read) => return self.settings_read(read),
            Payload::WorkDone(done) => {
                self.work.done = Some((event.id, done.summary.clone()));
                self.answered(&event.author, Purpose::Step);
            }
            _ => return Err(Reason::Content),
        }
        Ok(())
    }

    fn asked(&mut self, event: &Event, asked: &ModelAsked) -> Result<(), Reason> {
        let owns = self.owned_by(&event.author).is_ok();
        if owns == matches!(asked.purpose, Purpose::Review | Purpose::Help) {
            return Err(if owns { Reason::OwnPlan } else { Reason::NotTheOwner });
        }
        if self.asks.len() >= MAX_ASKERS && !self.asks.contains_key(&event.author) {
            return Err(Reason::Limit);
        }
        let before = self.asks.get(&event.author);
        let ask = Ask {
            event: event.id,
            purpose: asked.purpose,
            turn: asked.turn,
            waiting: true,
            answer: None,
            failures: before.map_or(0, |ask| ask.failures),
            last_error: before.and_then(|ask| ask.last_error.clone()),
            nonsense: before.is_some_and(|ask| ask.nonsense),
            turns: before.map_or((0, 0), |ask| ask.turns),
        };
        self.asks.insert(event.author, ask);
        Ok(())
    }

    fn waiting(&mut self, author: &AuthorId, ask: &EventId) -> Result<&mut Ask, Reason> {
        let found = self.asks.get_mut(author).filter(|found| found.event == *ask && found.waiting);
        found.ok_or(Reason::Dangling)
    }

    fn model_answered(&mut self, event: &Event, answered: &ModelAnswered) -> Result<(), Reason> {
        let ask = self.waiting(&event.author, &answered.ask)?;
        ask.waiting = false;
        ask.answer = Some(Answer { event: event.id, text: answered.text.clone() });
        match ask.purpose {
            Purpose::Plan => ask.turns.0 += 1,
            Purpose::Review | Purpose::Help | Purpose::Answer => {}
            Purpose::Step => ask.turns.1 += 1,
        }
        let tokens = match (answered.tokens_in, answered.tokens_out) {
            (Some(read), Some(written)) => Some(read.saturating_add(written)),
            _ => None,
        };
        self.used_on(event).answer(tokens);
        if self.owned_by(&event.author).is_ok() {
            self.work.spent.answer(tokens);
        }
        Ok(())
    }

    fn no_answer(&mut self, author: &AuthorId, ask: &EventId, error: &str) -> Result<(), Reason> {
        let ask = self.waiting(author, ask)?;
        ask.waiting = false;
        ask.failures += 1;
        ask.nonsense = false;
        ask.last_error = Some(error.to_owned());
        Ok(())
    }

    fn answer_refused(&mut self, event: &Event, refused: &AnswerRefused) -> Result<(), Reason> {
        let ask = self.asks.get_mut(&event.author).ok_or(Reason::Dangling)?;
        if ask.answer.as_ref().is_none_or(|answer| answer.event != refused.answer) {
            return Err(Reason::Dangling);
        }
        ask.answer = None;
        ask.failures += 1;
        ask.nonsense = true;
        ask.last_error = Some(refused.reason.clone());
        Ok(())
    }

    /// The answer was used.
    pub(super) fn answered(&mut self, author: &AuthorId, purpose: Purpose) {
        if let Some(ask) = self.asks.get_mut(author).filter(|ask| ask.purpose == purpose) {
            ask.answer = None;
            ask.waiting = false;
            ask.failures = 0;
            ask.last_error = None;
        }
    }

    fn sandbox_opened(&mut self, event: &Event, opened: &SandboxOpened) -> Result<(), Reason> {
        if !opened.base.is_valid() {
            return Err(Reason::Content);
        }
        let work = &mut self.work;
        work.attempts += 1;
        work.failures = 0;
        work.last_error = None;
        work.commands.clear();
        work.done = None;
        work.setup.clear();
        work.sandbox = Some(Sandbox {
            event: event.id,
            process: opened.process,
            sandbox: opened.sandbox.clone(),
            base: opened.base.clone(),
        });
        // A new attempt begins with an empty work tree, so its steps are counted anew.
        if let Some(ask) = self.asks.get_mut(&event.author) {
            ask.answer = None;
            ask.waiting = false;
            ask.turns.1 = 0;
        }
        Ok(())
    }

    fn command_intended(
        &mut self,
        event: &Event,
        intended: &CommandIntended,
    ) -> Result<(), Reason> {
        if self.work.commands.len() >= MAX_COMMANDS {
            return Err(Reason::Limit);
        }
        if intended.step as usize != self.work.commands.len() {
            return Err(Reason::Repeated);
        }
        self.work.commands.push(Command {
            event: event.id,
            text: intended.command.clone(),
            at: event.header.clock,
            parts: 0,
            excerpt: Vec::new(),
            status: None,
            output_total: 0,
        });
        self.work.spent.commands += 1;
        self.used_on(event).commands += 1;
        self.answered(&event.author, Purpose::Step);
        Ok(())
    }

    /// What the author has used up on the day of the event.
    fn used_on(&mut self, event: &Event) -> &mut Spent {
        let days = self.usage.entry(event.author).or_default();
        let day = event.header.clock.ms() / DAY_MS;
        days.entry(day).or_default();
        if days.len() > MAX_DAYS {
            days.pop_first();
        }
        // Events are folded by rising clocks: the day that was removed is not this one.
        days.entry(day).or_default()
    }

    fn running(&mut self, command: &EventId) -> Result<&mut Command, Reason> {
        // Commands run one after the other, so only the newest can be running.
        let newest = self.work.commands.last_mut().filter(|newest| newest.event == *command);
        let newest = newest.ok_or(Reason::Dangling)?;
        if newest.status.is_some() { Err(Reason::Ended) } else { Ok(newest) }
    }

    fn output(&mut self, output: &CommandOutput) -> Result<(), Reason> {
        let command = self.running(&output.command)?;
        command.parts += 1;
        let keep = output.bytes.len().min(OUTPUT_EXCERPT);
        let drop = (command.excerpt.len() + keep).saturating_sub(OUTPUT_EXCERPT);
        command.excerpt.drain(..drop);
        command.excerpt.extend_from_slice(&output.bytes[output.bytes.len() - keep..]);
        Ok(())
    }

    fn command_finished(&mut self, finished: &CommandFinished) -> Result<(), Reason> {
        let command = self.running(&finished.command)?;
        command.status = Some(finished.status.clone());
        command.output_total = finished.output_total;
        Ok(())
    }

    fn egress_denied(&mut self, denied: &EgressDenied) -> Result<(), Reason> {
        self.running(&denied.command)?;
        if denied.host.len() > 256 { Err(Reason::Content) } else { Ok(()) }
    }

    fn settings_read(&mut self, read: &SettingsRead) -> Result<(), Reason> {
        if read.setup.len() > MAX_SETUP || read.source.len() > 256 {
            return Err(Reason::Content);
        }
        self.work.setup.clone_from(&read.setup);
        Ok(())
    }

    fn context_dropped(&self, event: &Event, dropped: &ContextDropped) -> Result<(), Reason> {
        let ask = self.asks.get(&event.author).filter(|ask| ask.event == dropped.ask);
        ask.map(drop).ok_or(Reason::Dangling)
    }
}
