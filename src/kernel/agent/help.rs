//! Help: asked for when the owner is stuck, offered to others, and the hand-off of a task to a
//! helper.

use super::answer::{self, HelpAnswer};
use super::effect::{Effect, Key, What};
use super::input::Push;
use super::local::Committed;
use super::outcomes::{lost, mine, ours};
use super::plans::Asked;
use super::prompt;
use super::stuck;
use super::talk::chosen;
use super::wants::Wants;
use super::{Agent, Turn};
use crate::kernel::event::kinds::{
    Escalated, HandedOver, HelpAccepted, HelpForm, HelpOffered, HelpRequested, PublishIntended,
    PublishRefused, Purpose, TaskFinished, cut,
};
use crate::kernel::event::{Claim, ClaimStatus, CommitId, Draft, EventId, TaskId};
use crate::kernel::fold::{
    Command, Epoch, Help, MAX_HELP, MAX_OFFERS, Offer, Publish, SwarmState, Task, TaskStatus, Win,
};

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
        let others = !self.helpers(turn.state, task, &EventId([0; 32])).is_empty();
        let often = asked_for(task, epoch) >= self.config.talk.max_help as usize;
        if !others || often || epoch.help.len() >= MAX_HELP {
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
        // Those that were asked come before those that were not.
        let find = |form| {
            let mut offers: Vec<_> = help.offers.iter().filter(stands).collect();
            offers.sort_by_key(|offer| !asked.contains(&offer.author));
            offers.into_iter().find(|offer| offer.help == form)
        };
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
            let room = epoch.room_for(&self.me, 1, turn.now.wall_ms).unwrap_or(0);
            let offered = HelpOffered {
                epoch: epoch.number,
                request: help.event,
                help: if refuses { HelpForm::None } else { offered.help },
                text: cut(&offered.text, room),
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
            && help.offers.len() < MAX_OFFERS
            && epoch.room_for(&self.me, 1, turn.now.wall_ms).is_ok()
            && help.offers.iter().all(|offer| offer.author != self.me)
            && chosen(turn.state, task, &win.author, &help.event, self.config.talk.helpers)
                .contains(&self.me)
    }

    /// Whether this node could take the task now. What it handed over itself it does not take back:
    /// two nodes that are both stuck would hand a task to each other for ever.
    fn has_room_for(&self, turn: &Turn<'_>, task: &Task) -> bool {
        let state = turn.state;
        let live = self.live(state).into_iter();
        let promised = live.filter(|task| self.promised(task, turn.now)).count();
        let handed = |epoch: &Epoch| {
            epoch.handed.is_some() && epoch.winner.as_ref().is_some_and(|w| w.author == self.me)
        };
        let labels = &self.config.labels;
        self.config.works
            && (labels.is_empty() || task.labels.iter().any(|label| labels.contains(label)))
            && Wants::of(task).missing(&self.config.capabilities).is_empty()
            && !task.epochs.values().any(handed)
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
        if let Some(intended) = wip(task, epoch) {
            if intended.refused.is_some() {
                return self.release(turn, task, epoch, win);
            }
            let key = Key { task: task.id, what: What::HandOver };
            let effect = Effect::Publish {
                key: key.clone(),
                branch: intended.branch.clone(),
                commit: intended.commit.clone(),
                claim: self.next_claim(task, epoch.number, win, ClaimStatus::Released),
                expected: win.commit.clone(),
            };
            return self.ask_for(turn, key, effect);
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
            // What is pushed is in the log before, so that it is not lost if the node crashes.
            Some(Some(Committed { commit, changed, .. })) => {
                let (branch, epoch) = (wip_branch(task, epoch), epoch.number);
                let intended = PublishIntended { epoch, branch, commit, changed };
                turn.drafts.push(Draft::about(task.id, intended).because([helper.event]));
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
            let draft = handed(task, epoch, helper, win.commit.clone());
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
            Push::Won(claim) => handed(task, own, helper, claim),
            Push::Lost(Some(current)) if ours(own, &current).is_some() => {
                Draft::about(id, ours(own, &current).expect("it was just there"))
            }
            Push::Lost(current) => Draft::about(id, lost(own.number, current)),
            Push::Failed(reason) if failures > self.config.budget.retries => {
                // The claim alone is released then.
                let (epoch, reason) = (own.number, cut(&reason, 2048));
                Draft::about(id, PublishRefused { epoch, reason })
            }
            Push::Failed(_) => return Vec::new(),
        };
        vec![draft]
    }
}

/// Says to whom a task was handed over, and with which work.
fn handed(task: &Task, epoch: &Epoch, helper: &Offer, claim: CommitId) -> Draft {
    let (to, offer) = (helper.author, helper.event);
    let pushed = wip(task, epoch).filter(|intended| intended.refused.is_none());
    let base = pushed.map(|pushed| (pushed.branch.clone(), pushed.commit.clone()));
    let base = base.or_else(|| begins_at(task, epoch));
    let epoch = epoch.number;
    Draft::about(task.id, HandedOver { epoch, to, offer, base, claim }).because([offer])
}

/// The work that an epoch goes on from: what was published before it was resumed, or what was
/// handed over to it.
pub(super) fn begins_at(task: &Task, epoch: &Epoch) -> Option<(String, CommitId)> {
    let resumed = epoch.rounds.last().and_then(|round| round.base.clone());
    resumed.or_else(|| task.handed_to(epoch.number)?.base.clone())
}

/// The unfinished work that is pushed with the claim.
fn wip<'a>(task: &Task, epoch: &'a Epoch) -> Option<&'a Publish> {
    let branch = wip_branch(task, epoch);
    epoch.publish.as_ref().filter(|intended| intended.branch == branch)
}

/// How often help was asked for since the work began or was resumed. The work of those who handed
/// the task on is part of it: otherwise nodes that are all stuck would pass it round for ever.
fn asked_for(task: &Task, epoch: &Epoch) -> usize {
    if let Some(round) = epoch.rounds.last() {
        return epoch.help.iter().filter(|help| help.at > round.at).count();
    }
    let before = task.epochs.range(..epoch.number).rev().map(|(_, before)| before);
    let chain = before.filter(|before| before.winner.is_some()).take_while(|b| b.handed.is_some());
    epoch.help.len() + chain.map(|before| before.help.len()).sum::<usize>()
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
