//! What an owned task needs next, from the claim to the end of the work loop.

use super::answer::{self, StepAnswer};
use super::effect::{Effect, Key, What};
use super::plans::{Asked, give_up};
use super::{Agent, Now, Turn};
use crate::kernel::event::kinds::{
    ClaimLost, CommandFinished, CommandIntended, CommandStatus, Escalated, Purpose, TaskFinished,
    WorkDone, cut,
};
use crate::kernel::event::{ClaimStatus, Draft};
use crate::kernel::fold::{Command, Dependencies, Epoch, Task, Win};
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
        if win.status == ClaimStatus::Released {
            return self.after_release(turn, task, epoch);
        }
        self.report(turn, task, epoch, "claimed");
        if let Some(publish) = &epoch.publish {
            return self.publish(turn, task, epoch, win, publish);
        }
        self.renew(turn, task, epoch, win);
        let planned = epoch.plan().is_some_and(|plan| plan.adopted.is_some());
        if let Some(over) = self.over_budget(epoch, win, turn.now) {
            let question = "Should more be spent on this task, and how?".to_owned();
            let escalated = Escalated { epoch: epoch.number, reason: over, question };
            turn.drafts.push(Draft::about(task.id, escalated));
        } else if !planned {
            self.plan(turn, task, epoch);
        } else if !self.has_sandbox(epoch, task) {
            self.open_sandbox(turn, task, epoch, win);
        } else if epoch.work.done.is_some() {
            self.commit(turn, task, epoch);
        } else {
            self.step_on(turn, task, epoch);
        }
    }

    /// Which limit is reached, if any. A command that runs is not counted against the time.
    fn over_budget(&self, epoch: &Epoch, win: &Win, now: Now) -> Option<String> {
        let (budget, spent) = (&self.config.budget, &epoch.work.spent);
        let running = epoch.work.commands.last().is_some_and(|command| command.status.is_none());
        if running || epoch.work.done.is_some() {
            return None;
        }
        let unknown = spent.unknown.saturating_mul(u64::from(self.config.max_tokens));
        let tokens = spent.tokens.saturating_add(unknown);
        let wall_ms = now.wall_ms.saturating_sub(win.at.ms());
        let limits = [
            ("commands", spent.commands, budget.commands),
            ("answers of the model", spent.answers, budget.answers),
            ("tokens", tokens, budget.tokens),
            ("seconds", wall_ms / 1000, budget.wall_ms / 1000),
        ];
        let over = limits.into_iter().find(|(_, used, limit)| used >= limit)?;
        let (what, used, limit) = over;
        Some(format!("the budget is used up: {used} {what} of {limit}"))
    }

    /// Whether the sandbox of this attempt is one of this process.
    fn has_sandbox(&self, epoch: &Epoch, task: &Task) -> bool {
        let ours = epoch.work.sandbox.as_ref().is_some_and(|s| s.process == self.process);
        ours && self.local.sandboxes.contains(&task.id)
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
        if self.local.sandboxes.contains(&task.id) {
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
                let step = u32::try_from(epoch.work.commands.len()).unwrap_or(u32::MAX);
                let seconds = self.config.command_seconds;
                let intended = CommandIntended { epoch: number, step, reasoning, command, seconds };
                Draft::about(task.id, intended)
            }
            Ok(StepAnswer::Done { summary }) => {
                Draft::about(task.id, WorkDone { epoch: number, summary })
            }
            Ok(StepAnswer::Help { reasoning, question }) => {
                let reason = cut(&reasoning, 2048);
                Draft::about(task.id, Escalated { epoch: number, reason, question })
            }
        };
        turn.drafts.push(draft.because([answer.event]));
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
