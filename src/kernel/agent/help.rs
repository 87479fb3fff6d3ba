//! Help: asked for when the owner is stuck, offered to others, and the hand-off of a task to a
//! helper.

use super::answer::{self, HelpAnswer};
use super::effect::{Effect, Key, What};
use super::input::Push;
use super::outcomes::{lost, mine, ours};
use super::plans::Asked;
use super::prompt;
use super::stuck;
use super::talk::chosen;
use super::{Agent, Turn};
use crate::kernel::event::kinds::{
    Escalated, HandedOver, HelpAccepted, HelpForm, HelpOffered, HelpRequested, Purpose,
    TaskFinished, cut,
};
use crate::kernel::event::{Claim, ClaimStatus, CommitId, Draft, EventId, TaskId};
use crate::kernel::fold::{Command, Epoch, Help, Offer, SwarmState, Task, TaskStatus, Win};

/// How many of the last commands are named in a request for help.
const TRIED: usize = 16;

/// How many requests of others one node's model works on at once.
const MAX_HELPS_AT_ONCE: usize = 1;

impl Agent {
    /// The owner cannot go on: other members are asked first, people after them.
    pub(super) fn need_help(
        &self,
        turn: &Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        reason: String,
        question: String,
    ) -> Draft {
        let since = epoch.rounds.last().map(|round| round.at);
        let asked = epoch.help.iter().filter(|help| since.is_none_or(|since| help.at > since));
        let others = !self.helpers(turn.state, task, &EventId([0; 32])).is_empty();
        if !others || asked.count() >= self.config.talk.max_help as usize {
            return Draft::about(task.id, Escalated { epoch: epoch.number, reason, question });
        }
        let commands = &epoch.work.commands;
        let last = &commands[commands.len().saturating_sub(TRIED)..];
        let tried = last.iter().map(|command| cut(&command.text, 512)).collect();
        let requested = HelpRequested {
            epoch: epoch.number,
            tried,
            missing: cut(&format!("{reason}: {question}"), 4096),
            deadline_ms: turn.now.wall_ms.saturating_add(self.config.talk.help_ms),
        };
        Draft::about(task.id, requested)
    }

    /// Those who are asked to help this node.
    fn helpers(
        &self,
        state: &SwarmState,
        task: &Task,
        about: &EventId,
    ) -> Vec<crate::kernel::identity::AuthorId> {
        chosen(state, task, &self.me, about, self.config.talk.helpers)
    }

    /// Takes an offer, once everybody who was asked answered or the time is over: advice first,
    /// since the work goes on where it is; then somebody who takes the task over; then people.
    pub(super) fn await_help(&self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch, help: &Help) {
        let asked = self.helpers(turn.state, task, &help.event);
        let all = asked.iter().all(|who| help.offers.iter().any(|offer| offer.author == *who));
        if !all && turn.now.wall_ms < help.deadline_ms {
            return;
        }
        let stands = |offer: &&Offer| {
            !offer.withdrawn
                && (offer.until_ms == 0 || turn.now.wall_ms < offer.until_ms)
                && turn.state.members.may_act(&offer.author)
        };
        let find = |form| help.offers.iter().filter(stands).find(|offer| offer.help == form);
        let draft = match find(HelpForm::Advice).or_else(|| find(HelpForm::TakeOver)) {
            Some(offer) => {
                let accepted = HelpAccepted { epoch: epoch.number, offer: offer.event };
                Draft::about(task.id, accepted).because([help.event, offer.event])
            }
            None => {
                let reason = "no other node could help".to_owned();
                let question = help.missing.clone();
                let escalated = Escalated { epoch: epoch.number, reason, question };
                Draft::about(task.id, escalated).because([help.event])
            }
        };
        turn.drafts.push(draft);
    }

    /// Answers the requests of others for which this node was chosen.
    pub(super) fn help_others(&mut self, turn: &mut Turn<'_>) {
        if self.local.spent {
            return;
        }
        let state = turn.state;
        let mut underway = 0;
        for task in self.live(state).into_iter().filter(|t| t.status() == TaskStatus::Claimed) {
            let Some(epoch) = task.current() else { continue };
            let Some(help) =
                epoch.open_help().filter(|help| self.may_help(turn, task, epoch, help))
            else {
                continue;
            };
            underway += 1;
            if underway > MAX_HELPS_AT_ONCE {
                return;
            }
            let (offered, because) = match self.ask(turn, task, epoch, Purpose::Help) {
                Asked::Underway => continue,
                Asked::GivenUp(error, _) => {
                    let text = cut(&format!("my model was of no use: {error}"), 1024);
                    (HelpAnswer { help: HelpForm::None, text }, None)
                }
                Asked::Answer(answer) => match answer::help(&answer.text) {
                    Ok(offered) => (offered, Some(answer.event)),
                    Err(reason) => {
                        let refused = self.refuse(task, epoch, Purpose::Help, answer, &reason);
                        turn.drafts.push(refused);
                        continue;
                    }
                },
            };
            let refuses = offered.help == HelpForm::TakeOver && !self.has_room_for(turn, task);
            let half_ms = self.config.talk.help_ms / 2;
            if refuses && turn.now.wall_ms.saturating_add(half_ms) < help.deadline_ms {
                // There may be room in time.
                continue;
            }
            let offered = HelpOffered {
                epoch: epoch.number,
                request: help.event,
                help: if refuses { HelpForm::None } else { offered.help },
                text: offered.text,
                capabilities: self.config.capabilities.iter().take(64).cloned().collect(),
                until_ms: help.deadline_ms.saturating_add(self.config.lease_ms),
            };
            let causes: Vec<_> = std::iter::once(help.event).chain(because).collect();
            turn.drafts.push(Draft::about(task.id, offered).because(causes));
        }
    }

    fn may_help(&self, turn: &Turn<'_>, task: &Task, epoch: &Epoch, help: &Help) -> bool {
        let Some(win) = epoch.winner.as_ref().filter(|win| win.author != self.me) else {
            return false;
        };
        turn.now.wall_ms < help.deadline_ms
            && help.offers.iter().all(|offer| offer.author != self.me)
            && chosen(turn.state, task, &win.author, &help.event, self.config.talk.helpers)
                .contains(&self.me)
    }

    /// Whether this node could take the task now.
    fn has_room_for(&self, turn: &Turn<'_>, task: &Task) -> bool {
        let state = turn.state;
        let live = self.live(state).into_iter();
        let promised = live.filter(|task| self.promised(task, turn.now)).count();
        self.config.works
            && self.config.repositories.contains_key(&task.repository)
            && !self.refused(state, &task.repository)
            && self.own(state).count() + promised < self.config.max_tasks
    }

    /// Hands the task to the helper: the work so far and the released claim go in one push; where
    /// there is no work, the claim alone.
    pub(super) fn hand_over(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        win: &Win,
        helper: &Offer,
    ) {
        if win.status == ClaimStatus::Released {
            return self.after_hand_over(turn, task, epoch, win, helper);
        }
        if self.claim_in_flight(task.id) {
            return;
        }
        let sandbox = epoch.work.sandbox.as_ref().filter(|_| self.has_sandbox(epoch, task));
        let Some(sandbox) = sandbox else {
            return self.release(turn, task, epoch, win);
        };
        match self.local.wip.get(&task.id).cloned() {
            None => {
                let key = Key { task: task.id, what: What::Commit };
                let (base, message) = (sandbox.base.clone(), prompt::wip_message(task, epoch));
                self.ask_for(turn, key.clone(), Effect::Commit { key, base, message });
            }
            Some(None) => self.release(turn, task, epoch, win),
            Some(Some(commit)) => {
                let key = Key { task: task.id, what: What::HandOver };
                let effect = Effect::Publish {
                    key: key.clone(),
                    branch: wip_branch(task, epoch),
                    commit,
                    claim: self.next_claim(task, epoch.number, win, ClaimStatus::Released),
                    expected: win.commit.clone(),
                };
                self.ask_for(turn, key, effect);
            }
        }
    }

    /// The claim is released: it is said to whom, the sandbox goes, and the owner's part is over.
    fn after_hand_over(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        win: &Win,
        helper: &Offer,
    ) {
        let number = epoch.number;
        if epoch.handed.is_none() {
            let draft = handed(task, number, helper, None, win.commit.clone());
            return turn.drafts.push(draft);
        }
        if self.local.sandboxes.contains_key(&task.id) {
            return self.close_sandbox(turn, task.id);
        }
        self.local.leave_alone(task.id, turn.now.mono_ms, self.config.lease_ms);
        self.local.forget(task.id);
        let outcome = "handed_over".to_owned();
        turn.drafts.push(Draft::about(task.id, TaskFinished { epoch: number, outcome }));
    }
}

impl Agent {
    /// The push of unfinished work and the released claim.
    pub(super) fn hand_over_outcome(
        &mut self,
        state: &SwarmState,
        id: TaskId,
        push: Push,
        pushed: &Claim,
        failures: u32,
    ) -> Vec<Draft> {
        let task = state.tasks.get(&id);
        let own = task.zip(self.own_epoch(state, id));
        let Some((task, own)) = own.filter(|(_, own)| own.handed.is_none()) else {
            return Vec::new();
        };
        let Some(helper) = own.successor() else { return Vec::new() };
        let draft = match mine(push, pushed) {
            Push::Won(claim) => {
                let commit = self.local.wip.get(&id).cloned().flatten();
                let base = commit.map(|commit| (wip_branch(task, own), commit));
                handed(task, own.number, helper, base, claim)
            }
            Push::Lost(Some(current)) if ours(own, &current).is_some() => {
                Draft::about(id, ours(own, &current).expect("it was just there"))
            }
            Push::Lost(current) => Draft::about(id, lost(own.number, current)),
            Push::Failed(_) => {
                if failures > self.config.budget.retries {
                    // The claim alone is released then.
                    self.local.wip.insert(id, None);
                }
                return Vec::new();
            }
        };
        vec![draft]
    }
}

/// Says to whom a task was handed over, and with which work.
fn handed(
    task: &Task,
    epoch: u64,
    helper: &Offer,
    base: Option<(String, CommitId)>,
    claim: CommitId,
) -> Draft {
    let (to, offer) = (helper.author, helper.event);
    Draft::about(task.id, HandedOver { epoch, to, offer, base, claim }).because([offer])
}

/// The branch that holds unfinished work of an epoch.
fn wip_branch(task: &Task, epoch: &Epoch) -> String {
    format!("bzzz/wip-{}-{}", task.issue, epoch.number)
}

/// Whether the work goes round in circles, counted from the last advice on.
pub(super) fn circles(epoch: &Epoch) -> usize {
    let advised = epoch.help.iter().rev().find_map(|help| help.accepted.map(|(_, at)| at));
    let commands = &epoch.work.commands;
    let from = advised.map_or(0, |advised| commands.partition_point(|c| c.at <= advised));
    let since: &[Command] = &commands[from..];
    stuck::repeats(since).0
}
