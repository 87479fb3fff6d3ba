//! What an owned task needs next, from the claim to the end of the work loop.

use super::answer::{self, StepAnswer};
use super::effect::{Effect, Key, What};
use super::help::{begins_at, circles};
use super::plans::{Asked, give_up};
use super::rules::Gate;
use super::stuck;
use super::{Agent, Turn};
use crate::kernel::event::kinds::{
    ClaimLost, CommandFinished, CommandIntended, CommandStatus, Escalated, Purpose, Subject,
    TaskFinished, WorkDone, cut,
};
use crate::kernel::event::{ClaimStatus, Draft};
use crate::kernel::fold::{Command, Dependencies, Epoch, SwarmState, Task, Win};
use crate::kernel::log::Hash;

impl Agent {
    pub(super) fn work_on(&mut self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch) {
        let Some(win) = &epoch.winner else { return };
        let newer = task.current().filter(|current| current.number > epoch.number);
        if let Some(winner) = newer.and_then(|newer| newer.winner.as_ref()) {
            let holder = newer.map(|newer| (winner.author, newer.number));
            let commit = Some(winner.commit.clone());
            turn.drafts
                .push(Draft::about(task.id, ClaimLost { epoch: epoch.number, commit, holder }));
            return;
        }
        let published = epoch.publish.as_ref().is_some_and(|publish| publish.claim.is_some());
        if published {
            return self.after_publication(turn, task, epoch);
        }
        if epoch.escalation.is_some() {
            return self.after_escalation(turn, task, epoch, win);
        }
        if let Some(helper) = epoch.successor() {
            return self.hand_over(turn, task, epoch, win, helper);
        }
        if win.status == ClaimStatus::Released {
            return self.after_release(turn, task, epoch);
        }
        self.report(turn, task, epoch, "claimed");
        if let Some(publish) = &epoch.publish {
            return self.publish(turn, task, epoch, win, publish);
        }
        let stops = self.refused(turn.state, &task.repository) || self.local.spent;
        if stops && epoch.earlier.is_none() {
            return self.release(turn, task, epoch, win);
        }
        if !self.takes_up(turn, task, epoch, win) {
            self.renew(turn, task, epoch, win);
            if !stops {
                self.go_through(turn, task, epoch, win);
            }
        }
    }

    /// Plan, sandbox, steps and commit, one after the other.
    fn go_through(&mut self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch, win: &Win) {
        let planned = epoch.plan().is_some_and(|plan| plan.adopted.is_some());
        if let Some(bounded) = self.bound(task, epoch) {
            return turn.drafts.push(bounded);
        }
        if let Some(over) = self.over_budget(epoch, win, turn.now) {
            let question = "Should more be spent on this task, and how?".to_owned();
            let escalated = Escalated { epoch: epoch.number, reason: over, question };
            turn.drafts.push(Draft::about(task.id, escalated));
        } else if let Some(help) = epoch.open_help() {
            self.await_help(turn, task, epoch, help);
        } else if !planned {
            self.plan(turn, task, epoch);
        } else if self.holds(turn, task, epoch, win) {
            // It is decided with the owner of another task who goes first.
        } else if !self.has_sandbox(epoch, task) {
            self.open_sandbox(turn, task, epoch, win);
        } else if epoch.work.done.is_some() {
            self.commit(turn, task, epoch);
        } else {
            self.step_on(turn, task, epoch);
        }
    }

    /// Whether the sandbox of this attempt is one of this process.
    pub(super) fn has_sandbox(&self, epoch: &Epoch, task: &Task) -> bool {
        let ours = epoch.work.sandbox.as_ref().is_some_and(|s| s.process == self.process);
        ours && self.local.sandboxes.contains_key(&task.id)
    }

    fn open_sandbox(&mut self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch, win: &Win) {
        if let Some(command) = epoch.work.commands.last().filter(|last| last.status.is_none()) {
            let reason = "the node was restarted while the command ran";
            turn.drafts.push(lost_command(task, epoch, command, reason));
            return;
        }
        if epoch.work.failures > self.config.budget.retries {
            return self.release(turn, task, epoch, win);
        }
        let Dependencies::Ready(base) = turn.state.dependencies(task) else {
            return;
        };
        let base = begins_at(task, epoch).or(base);
        let key = Key { task: task.id, what: What::Open };
        let effect = Effect::OpenSandbox { key: key.clone(), epoch: epoch.number, base };
        self.ask_for(turn, key, effect);
    }

    /// Gives the task back, so that another node may try.
    pub(super) fn release(&mut self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch, win: &Win) {
        self.move_claim(turn, task, epoch, win, ClaimStatus::Released);
    }

    fn after_release(&mut self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch) {
        self.report(turn, task, epoch, "released");
        if self.local.sandboxes.contains_key(&task.id) {
            return self.close_sandbox(turn, task.id);
        }
        self.local.leave_alone(task.id, turn.now.mono_ms, self.config.lease_ms);
        self.local.forget(task.id);
        let outcome = "released".to_owned();
        turn.drafts.push(Draft::about(task.id, TaskFinished { epoch: epoch.number, outcome }));
    }

    /// One turn of the work loop.
    fn step_on(&mut self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch) {
        if let Some(command) = epoch.work.commands.last().filter(|last| last.status.is_none()) {
            let key = Key { task: task.id, what: What::Command };
            let effect = Effect::Run {
                key: key.clone(),
                command: command.event,
                text: command.text.clone(),
            };
            return self.ask_for(turn, key, effect);
        }
        if let Some(command) = epoch.work.setup.get(epoch.work.commands.len()) {
            return self.set_up(turn, task, epoch, command);
        }
        if circles(epoch) >= stuck::GIVE_UP {
            let reason = "the work goes round in circles".to_owned();
            let command = epoch.work.commands.last().map_or("", |command| command.text.as_str());
            let question = format!(
                "The same commands give the same outcome again and again, such \
                                    as: {}. What should be done instead?",
                cut(command, 1024)
            );
            let draft = self.need_help(turn, task, epoch, reason, question);
            return turn.drafts.push(draft);
        }
        let answer = match self.ask(turn, task, epoch, Purpose::Step) {
            Asked::Underway => return,
            Asked::GivenUp(error, nonsense) => {
                return turn.drafts.push(give_up(task, epoch, &error, nonsense));
            }
            Asked::Answer(answer) => answer,
        };
        let number = epoch.number;
        let draft = match answer::step(&answer.text) {
            Err(reason) => self.refuse(task, epoch, Purpose::Step, answer, &reason),
            Ok(StepAnswer::Command { reasoning, command }) => {
                let rule = self.config.approvals.command(&command);
                let asked = (Subject::Command, command.as_bytes(), command.as_str());
                match self.gate(turn, task, epoch, asked, rule) {
                    Gate::Waiting => return,
                    Gate::Refused(verdict) => {
                        let why = format!("people refused this command: {}", verdict.reason);
                        self.refuse(task, epoch, Purpose::Step, answer, &why)
                    }
                    Gate::Open => {
                        Draft::about(task.id, self.command(task, epoch, reasoning, command))
                    }
                }
            }
            Ok(StepAnswer::Done { summary }) => {
                Draft::about(task.id, WorkDone { epoch: number, summary })
            }
            Ok(StepAnswer::Help { reasoning, question }) => {
                self.need_help(turn, task, epoch, cut(&reasoning, 2048), question)
            }
        };
        turn.drafts.push(draft.because([answer.event]));
    }
}

impl Agent {
    /// A command of the repository's own settings, which people may have to approve like those of
    /// the model.
    fn set_up(&self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch, command: &str) {
        let reasoning = "the repository's own settings ask for it".to_owned();
        let rule = self.config.approvals.command(command);
        let asked = (Subject::Command, command.as_bytes(), command);
        let draft = match self.gate(turn, task, epoch, asked, rule) {
            Gate::Waiting => return,
            Gate::Refused(verdict) => {
                let reason = "people refused a command of the repository's settings".to_owned();
                let question = cut(&verdict.reason, 4096);
                let escalated = Escalated { epoch: epoch.number, reason, question };
                Draft::about(task.id, escalated).because([verdict.event])
            }
            Gate::Open => {
                let command = command.to_owned();
                Draft::about(task.id, self.command(task, epoch, reasoning, command))
            }
        };
        turn.drafts.push(draft);
    }

    /// The next command of an attempt. Its limit is that of the sandbox.
    fn command(
        &self,
        task: &Task,
        epoch: &Epoch,
        reasoning: String,
        command: String,
    ) -> CommandIntended {
        let limit = self.local.sandboxes.get(&task.id).copied();
        CommandIntended {
            epoch: epoch.number,
            step: u32::try_from(epoch.work.commands.len()).unwrap_or(u32::MAX),
            reasoning,
            command,
            seconds: limit.unwrap_or(self.config.command_seconds),
        }
    }

    /// Whether this node read last that the repository wants no agents.
    pub(super) fn refused(&self, state: &SwarmState, repository: &str) -> bool {
        let known = state.repositories.get(repository);
        let consent = known.and_then(|known| known.consents.get(&self.me));
        consent.is_some_and(|consent| !consent.allowed)
    }
}

/// Says that nobody knows what became of a command.
fn lost_command(task: &Task, epoch: &Epoch, command: &Command, reason: &str) -> Draft {
    let finished = CommandFinished {
        epoch: epoch.number,
        command: command.event,
        status: CommandStatus::Lost(reason.to_owned()),
        duration_ms: 0,
        output_total: 0,
        output_kept: 0,
        output_hash: Hash(*blake3::hash(b"").as_bytes()),
    };
    Draft::about(task.id, finished).because([command.event])
}
