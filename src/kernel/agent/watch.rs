//! After the pull request: its checks and reviews are watched. Failures go back to the work loop
//! with the same claim; a merge or a close ends the task, and the claim ref is deleted.

use super::effect::{Effect, Key, Target, What};
use super::input::PullRead;
use super::outbox::resume_from;
use super::{Agent, Now, Turn};
use crate::kernel::event::kinds::{
    CheckState, Escalated, PullRequestSeen, PullState, ReviewState, TaskFinished, WorkResumed, cut,
};
use crate::kernel::event::{Draft, TaskId};
use crate::kernel::fold::{Epoch, MAX_FEEDBACK, Pull, SwarmState, Task, Win};

impl Agent {
    /// The work is published: what becomes of it?
    pub(super) fn watch_pull(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        win: &Win,
    ) {
        let Some(pull) = &epoch.pull else { return };
        match pull.state {
            PullState::Merged => return self.end(turn, task, epoch, win, "merged"),
            PullState::Closed => return self.end(turn, task, epoch, win, "closed"),
            PullState::Open => {}
        }
        if epoch.escalation.is_none() && wants_more(epoch, pull) {
            return self.go_on(turn, task, epoch, pull);
        }
        let last = self.local.watched.get(&task.id);
        let due =
            last.is_none_or(|at| turn.now.mono_ms.saturating_sub(*at) >= self.config.watch_ms);
        if due {
            let key = Key { task: task.id, what: What::Watch };
            let effect = Effect::WatchPull { key: key.clone(), number: pull.number };
            self.ask_for(turn, key, effect);
        }
    }

    /// Back to the work loop, as often as is allowed.
    fn go_on(&mut self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch, pull: &Pull) {
        let Some(because) = pull.seen else { return };
        let number = epoch.number;
        let rounds = epoch.rounds.iter().filter(|round| !round.people).count();
        let draft = if rounds < self.config.max_rounds as usize {
            let base = resume_from(epoch);
            Draft::about(task.id, WorkResumed { epoch: number, because, base })
        } else {
            let reason = format!("the pull request is still not accepted after {rounds} rounds");
            let question = cut(&pull.feedback, 4096);
            Draft::about(task.id, Escalated { epoch: number, reason, question })
        };
        turn.drafts.push(draft.because([because]));
    }

    /// The task is over for good: the board is told, and the claim ref goes.
    fn end(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        win: &Win,
        outcome: &'static str,
    ) {
        if !epoch.reported.contains(&format!("board:{outcome}")) {
            return self.tell(turn, task, epoch, Target::Board, outcome);
        }
        if win.dropped.is_none() {
            // A node that read the issue before it was closed must not find the ref free: for a
            // lease, everybody has the time to read it again.
            let since = *self.local.ended.entry(task.id).or_insert(turn.now.mono_ms);
            if turn.now.mono_ms.saturating_sub(since) < self.config.lease_ms {
                return;
            }
            let key = Key { task: task.id, what: What::Claim };
            let expected = win.commit.clone();
            let effect = Effect::DropClaim { key: key.clone(), expected };
            return self.ask_for(turn, key, effect);
        }
        self.local.forget(task.id);
        let (number, outcome) = (epoch.number, outcome.to_owned());
        turn.drafts.push(Draft::about(task.id, TaskFinished { epoch: number, outcome }));
    }

    /// A pull request was read: what is new of it.
    pub(super) fn pull_seen(
        &mut self,
        state: &SwarmState,
        task: TaskId,
        read: PullRead,
        now: Now,
    ) -> Option<Draft> {
        self.local.watched.insert(task, now.mono_ms);
        let epoch = state.tasks.get(&task)?.current()?;
        let pull = epoch.pull.as_ref()?;
        let seen = PullRequestSeen {
            epoch: epoch.number,
            number: pull.number,
            state: read.state,
            head: read.head.map(|head| head.to_string()).unwrap_or_default(),
            checks: read.checks,
            reviews: read.reviews,
            feedback: cut(&read.feedback, MAX_FEEDBACK),
        };
        let same = pull.state == seen.state
            && pull.head == seen.head
            && pull.checks == seen.checks
            && pull.reviews == seen.reviews
            && pull.feedback == seen.feedback;
        (!same).then(|| Draft::about(task, seen))
    }
}

/// Whether the pull request asks for more work, and was not answered yet.
fn wants_more(epoch: &Epoch, pull: &Pull) -> bool {
    let asked = pull.checks == CheckState::Failed || pull.reviews == ReviewState::ChangesRequested;
    let answered = |seen| epoch.rounds.iter().any(|round| round.because == seen);
    asked && pull.seen.is_some_and(|seen| !answered(seen))
}
