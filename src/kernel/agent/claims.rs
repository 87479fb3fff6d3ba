//! Polling, choosing and claiming tasks, taking over, and keeping claims alive.

use super::effect::{Effect, Key, What};
use super::local::Watched;
use super::reads::is_settled;
use super::wants::{Priority, Wants};
use super::{Agent, Now, Turn};
use crate::kernel::event::kinds::{ClaimExpired, ClaimFailed, ClaimIntended, HelpForm};
use crate::kernel::event::{Claim, ClaimStatus, CommitId, Draft, EventId};
use crate::kernel::fold::{
    Dependencies, Epoch, Intent, IntentResult, Offer, SwarmState, Task, TaskStatus, Win,
};

impl Agent {
    /// Reads every repository once in a while.
    pub(super) fn poll(&mut self, turn: &mut Turn<'_>) {
        for repository in self.config.repositories.keys() {
            let due = match self.local.polls.get(repository) {
                None => true,
                Some((_, true)) => false,
                Some((at, false)) => turn.now.mono_ms >= at.saturating_add(self.config.poll_ms),
            };
            if due {
                self.local.polls.insert(repository.clone(), (turn.now.mono_ms, true));
                turn.effects.push(Effect::Poll { repository: repository.clone() });
            }
        }
    }

    /// Pushes for what this node intended, and intends to claim another task when it has room.
    pub(super) fn claim(&mut self, turn: &mut Turn<'_>) {
        let state = turn.state;
        let mut busy = self.own(state).count();
        for task in self.live(state) {
            for (event, epoch, intent) in self.pending(task) {
                busy += 1;
                if self.too_late(turn, task, event, epoch, intent) {
                    continue;
                }
                let claim = self.claim_of(task, epoch, *event, intent);
                let key = Key { task: task.id, what: What::Claim };
                let expected = intent.previous.clone();
                self.ask_for(turn, key.clone(), Effect::PushClaim { key, claim, expected });
            }
        }
        if !self.config.works || self.local.spent || !turn.drafts.is_empty() {
            return;
        }
        // What this node said it would take over comes first, and room is kept for it.
        let promised: Vec<_> =
            self.live(state).into_iter().filter(|t| self.promised(t, turn.now)).collect();
        let room = self.config.max_tasks.saturating_sub(busy);
        if room > promised.len() {
            turn.drafts.extend(self.intend(state, turn.now, turn.entropy));
        } else if room > 0 {
            let handed = promised.into_iter();
            let mut free =
                handed.filter_map(|task| Some((task, self.is_free(state, task, turn.now)?)));
            if let Some((task, free)) = free.next() {
                turn.drafts.extend(self.intend_on(task, free, turn.now));
            }
        }
    }

    /// Whether an attempt to create the ref must wait, or is over: the ref may be absent because
    /// the task has ended since, so that the issue must have been read, and be open.
    fn too_late(
        &self,
        turn: &mut Turn<'_>,
        task: &Task,
        intent: &EventId,
        epoch: u64,
        made: &Intent,
    ) -> bool {
        let ours = |watched: &Watched| {
            watched.read.claim.as_ref().is_some_and(|claim| claim.event == *intent)
        };
        if made.previous.is_some() || self.local.refs.get(&task.id).is_some_and(ours) {
            return false;
        }
        let Some(open) = self.local.open.get(&task.id).copied() else {
            return true;
        };
        if !open {
            let (intent, error) = (*intent, "the issue was closed".to_owned());
            let failed = ClaimFailed { intent, epoch, error };
            turn.drafts.push(Draft::about(task.id, failed).because([intent]));
        }
        !open
    }

    /// This node's attempts that have no result yet.
    fn pending<'a>(
        &self,
        task: &'a Task,
    ) -> impl Iterator<Item = (&'a EventId, u64, &'a Intent)> + use<'a> {
        let me = self.me;
        task.epochs.values().flat_map(move |epoch| {
            let mine = epoch.intents.iter().filter(move |(_, intent)| {
                intent.author == me && intent.result == IntentResult::Pending
            });
            mine.map(move |(event, intent)| (event, epoch.number, intent))
        })
    }

    fn claim_of(&self, task: &Task, epoch: u64, event: EventId, intent: &Intent) -> Claim {
        Claim {
            format: 1,
            swarm: self.swarm,
            author: self.me,
            process: intent.process,
            task: task.id,
            epoch,
            renewal: 0,
            lease_ms: intent.lease_ms,
            event,
            status: ClaimStatus::Active,
        }
    }

    /// The claim that follows this node's present one.
    pub(super) fn next_claim(
        &self,
        task: &Task,
        epoch: u64,
        win: &Win,
        status: ClaimStatus,
    ) -> Claim {
        Claim {
            format: 1,
            swarm: self.swarm,
            author: self.me,
            process: win.process,
            task: task.id,
            epoch,
            renewal: win.renewal + 1,
            lease_ms: win.lease_ms,
            event: win.intent,
            status,
        }
    }

    /// Chooses one of the most urgent tasks that are free and within this node's capabilities, at
    /// random so that nodes rarely choose the same.
    fn intend(&self, state: &SwarmState, now: Now, entropy: u64) -> Vec<Draft> {
        let free = self.live(state).into_iter().filter_map(|task| {
            let free = self.is_free(state, task, now)?;
            Some((Wants::of(task).priority, task, free))
        });
        let mut free: Vec<(Priority, &Task, Free)> = free.collect();
        let Some(highest) = free.iter().map(|(priority, ..)| *priority).max() else {
            return Vec::new();
        };
        free.retain(|(priority, ..)| *priority == highest);
        free.sort_by_key(|(_, task, _)| (&task.repository, task.issue));
        let chosen = usize::try_from(entropy % free.len() as u64).expect("below a length");
        let (_, task, free) = free.swap_remove(chosen);
        self.intend_on(task, free, now)
    }

    fn intend_on(&self, task: &Task, free: Free, now: Now) -> Vec<Draft> {
        let mut drafts = Vec::new();
        if let Some((watched, claim)) = free.expired {
            drafts.push(Draft::about(
                task.id,
                ClaimExpired {
                    holder: claim.author,
                    epoch: claim.epoch,
                    commit: watched.read.commit,
                    watched_ms: now.mono_ms.saturating_sub(watched.since_ms),
                },
            ));
        }
        drafts.push(Draft::about(
            task.id,
            ClaimIntended {
                epoch: free.epoch,
                lease_ms: self.config.lease_ms,
                process: self.process,
                previous: free.previous,
            },
        ));
        drafts
    }

    /// Whether and how the task can be claimed now.
    fn is_free(&self, state: &SwarmState, task: &Task, now: Now) -> Option<Free> {
        let wanted = self.config.labels.is_empty()
            || task.labels.iter().any(|label| self.config.labels.contains(label));
        let left_alone = self.local.left_alone.get(&task.id);
        let ready = task.open
            && wanted
            && matches!(task.status(), TaskStatus::Open | TaskStatus::Claimed)
            && self.local.read.contains(&task.repository)
            && self.config.repositories.contains_key(&task.repository)
            && !self.local.not_ready.contains(&task.repository)
            && !self.refused(state, &task.repository)
            && left_alone.is_none_or(|(_, until)| now.mono_ms >= *until)
            && matches!(state.dependencies(task), Dependencies::Ready(_))
            && self.may_succeed(task, now)
            && self.is_able(task)
            && self.waits(state, task).is_empty();
        if !ready || task.current().is_some_and(|e| self.is_mine(e) && e.is_active()) {
            return None;
        }
        let above = task.current().map_or(0, |epoch| epoch.number);
        let Some(watched) = self.local.refs.get(&task.id) else {
            // The ref of a task that is over is deleted: its issue must have been read after it.
            // The state may still hold an older word of somebody whose clock is ahead.
            if self.local.open.get(&task.id) != Some(&true) {
                return None;
            }
            return Some(Free { epoch: above + 1, previous: None, expired: None });
        };
        let previous = Some(watched.read.commit.clone());
        let unmoved_ms = now.mono_ms.saturating_sub(watched.since_ms);
        let Some(claim) = &watched.read.claim else {
            // The ref holds something that no member signed. It is left standing for a lease.
            let old = unmoved_ms >= self.config.lease_ms;
            return old.then_some(Free { epoch: above + 1, previous, expired: None });
        };
        let epoch = above.max(claim.epoch).saturating_add(1);
        match claim.status {
            // What was settled is over, unless people opened the issue again.
            status if is_settled(status) && task.over < claim.epoch => None,
            status if is_settled(status) => Some(Free { epoch, previous, expired: None }),
            ClaimStatus::Released => Some(Free { epoch, previous, expired: None }),
            _ if claim.author == self.me => Some(Free { epoch, previous, expired: None }),
            _ if unmoved_ms >= claim.lease_ms => {
                let expired = Some((watched.clone(), claim.clone()));
                Some(Free { epoch, previous, expired })
            }
            _ => None,
        }
    }

    /// Whether this node has every capability that the task requires.
    pub(super) fn is_able(&self, task: &Task) -> bool {
        Wants::of(task).missing(&self.config.capabilities).is_empty()
    }

    /// Whether this node offered to take the task over, and is waited for.
    pub(super) fn promised(&self, task: &Task, now: Now) -> bool {
        let Some(last) = task.current() else { return false };
        let mine = |offer: &Offer| {
            offer.author == self.me && offer.help == HelpForm::TakeOver && !offer.withdrawn
        };
        match (&last.handed, last.open_help(), last.successor()) {
            (Some(handed), ..) => {
                let others_wait = self.local.refs.get(&task.id).is_some_and(|watched| {
                    now.mono_ms.saturating_sub(watched.since_ms) < self.config.lease_ms
                });
                handed.to == self.me
                    && others_wait
                    && task.status() == TaskStatus::Open
                    && self.config.repositories.contains_key(&task.repository)
            }
            (None, Some(help), _) => last.is_active() && help.offers.iter().any(mine),
            (None, None, successor) => last.is_active() && successor.is_some_and(mine),
        }
    }

    /// Whether a task that was handed over is this node's to take: it is the helper, or a lease
    /// went by. The ref may say that the claim is released before its owner has said to whom, and
    /// what it pushed: even the helper waits for that.
    fn may_succeed(&self, task: &Task, now: Now) -> bool {
        let Some(last) = task.current() else { return true };
        let first = last.handed.as_ref().is_some_and(|handed| handed.to == self.me);
        let free = last.handed.is_none() && last.successor().is_none();
        // A ref that somebody deleted holds nothing for the helper any more.
        let over = self.local.refs.get(&task.id).is_none_or(|watched| {
            now.mono_ms.saturating_sub(watched.since_ms) >= self.config.lease_ms
        });
        first || free || over
    }

    fn is_mine(&self, epoch: &Epoch) -> bool {
        epoch.winner.as_ref().is_some_and(|win| win.author == self.me)
    }

    /// Renews the claim when a third of its lease is over.
    pub(super) fn renew(&mut self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch, win: &Win) {
        let last = self.local.renewed.get(&task.id).copied();
        let due = last.is_none_or(|at| turn.now.mono_ms.saturating_sub(at) >= win.lease_ms / 3);
        if due && win.status == ClaimStatus::Active {
            self.move_claim(turn, task, epoch, win, ClaimStatus::Active);
        }
    }

    /// Moves this node's claim on to a status.
    pub(super) fn move_claim(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        win: &Win,
        status: ClaimStatus,
    ) {
        let claim = self.next_claim(task, epoch.number, win, status);
        let key = Key { task: task.id, what: What::Claim };
        let expected = Some(win.commit.clone());
        self.ask_for(turn, key.clone(), Effect::PushClaim { key, claim, expected });
    }
}

/// How a task can be claimed.
struct Free {
    epoch: u64,
    previous: Option<CommitId>,
    /// The claim that ran out.
    expired: Option<(Watched, Claim)>,
}
