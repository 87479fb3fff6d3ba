//! What is told to others than the board: Hive, and people outside of the swarm. It follows from
//! the state alone, so that nothing is forgotten over a crash or while they are out of reach, and
//! it holds up nothing else.

use super::effect::{Effect, EscalationCall, Key, Report, Target, What};
use super::prompt;
use super::{Agent, Turn};
use crate::kernel::event::kinds::{EscalationRaised, PullState, SandboxClosed, WorkResumed};
use crate::kernel::event::{ClaimStatus, CommitId, Draft, TaskId};
use crate::kernel::fold::{Epoch, Escalation, Task, Win};
use crate::kernel::log::Hash;

impl Agent {
    /// Everything that goes on beside the work, and after it.
    pub(super) fn after_work(&mut self, turn: &mut Turn<'_>) {
        let state = turn.state;
        for (task, epoch, win) in self.held(state) {
            if self.config.hive {
                let outside = self.outside_from(turn);
                self.tell_hive(turn, task, epoch, outside);
            }
            // What was merged or closed needs no answer any more, and is not taken up again by one.
            let over = epoch.pull.as_ref().is_some_and(|pull| pull.state != PullState::Open);
            if let Some(escalation) = epoch.escalation.as_ref().filter(|_| !over) {
                self.follow_question(turn, task, epoch, escalation);
            }
            if epoch.finished.is_some()
                && epoch.work.sandbox.as_ref().is_some_and(|open| open.process != self.process)
            {
                let reason = "the node was restarted".to_owned();
                let closed = SandboxClosed { epoch: epoch.number, reason };
                turn.drafts.push(Draft::about(task.id, closed));
            }
            if epoch.finished.as_deref() == Some("published") {
                self.watch_pull(turn, task, epoch, win);
            }
        }
    }

    /// The first status that Hive was not told yet.
    fn tell_hive(&mut self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch, outside: u32) {
        if let Some(status) = due_to_hive(epoch, outside) {
            self.tell(turn, task, epoch, Target::Hive, status);
        }
    }

    /// Tells a target of a status.
    pub(super) fn tell(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        target: Target,
        status: &'static str,
    ) {
        let key = Key { task: task.id, what: What::Report(target, status) };
        let text = prompt::report(task, epoch, status);
        let id = report_id(task.id, epoch, target, status);
        let report = Report { target, status, id, epoch: epoch.number, text };
        self.ask_for(turn, key.clone(), Effect::Report { key, report });
    }

    /// The level from which on a question leaves the swarm. While there are people in it, the first
    /// level is theirs, if a next one can follow.
    fn outside_from(&self, turn: &Turn<'_>) -> u32 {
        let raises = self.config.acknowledge_ms > 0 && self.config.max_raises > 0;
        u32::from(raises && turn.state.members.has_operator())
    }

    /// A question goes out, is raised again when nobody takes care of it, and its answer resumes
    /// the work.
    fn follow_question(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        asked: &Escalation,
    ) {
        if let Some(answer) = &asked.answer {
            let settled = epoch.finished.is_some();
            if settled {
                let base = resume_from(epoch);
                let resumed = WorkResumed { epoch: epoch.number, because: answer.event, base };
                turn.drafts.push(Draft::about(task.id, resumed).because([answer.event]));
            }
            return;
        }
        let outside = asked.level >= self.outside_from(turn);
        if self.config.people && outside && !epoch.reported.contains(&asked_as(asked.level)) {
            let key = Key { task: task.id, what: What::Escalation(asked.level) };
            let call = EscalationCall {
                id: asked.event,
                level: asked.level,
                repository: task.repository.clone(),
                issue: task.issue,
                title: task.title.clone(),
                epoch: epoch.number,
                reason: asked.reason.clone(),
                question: asked.question.clone(),
                pull: epoch.pull.as_ref().map(|pull| pull.place.clone()),
            };
            self.ask_for(turn, key.clone(), Effect::Escalate { key, call });
        }
        let waited_ms = turn.now.wall_ms.saturating_sub(asked.raised_at.ms());
        let due = self.config.acknowledge_ms > 0
            && waited_ms >= self.config.acknowledge_ms
            && asked.acknowledged.is_none()
            && asked.level < self.config.max_raises;
        if due {
            let (epoch, level) = (epoch.number, asked.level + 1);
            let raised = EscalationRaised { epoch, escalation: asked.event, level };
            turn.drafts.push(Draft::about(task.id, raised).because([asked.event]));
        }
    }

    /// Whether the work must first move the claim back to its owner's hands: it was resumed.
    pub(super) fn takes_up(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        win: &Win,
    ) -> bool {
        let resumed = win.status != ClaimStatus::Active && !epoch.rounds.is_empty();
        if resumed && !self.claim_in_flight(task.id) {
            self.move_claim(turn, task, epoch, win, ClaimStatus::Active);
        }
        resumed
    }
}

/// Where resumed work goes on from: the pull request's head, which may hold commits of people, or
/// what was published last.
pub(super) fn resume_from(epoch: &Epoch) -> Option<(String, CommitId)> {
    let publish = epoch.published()?;
    let head = epoch.pull.as_ref().and_then(|pull| pull.head.parse().ok());
    Some((publish.branch.clone(), head.unwrap_or_else(|| publish.commit.clone())))
}

/// The report's name in events: a question of one level was sent.
pub(super) fn asked_as(level: u32) -> String {
    format!("{}:asked-{level}", Target::People.name())
}

/// Whether there is something that Hive should have been told and was not, or will have to be told
/// if a question is raised.
pub(super) fn owes_hive(epoch: &Epoch) -> bool {
    due_to_hive(epoch, 0).is_some()
}

/// The first status that Hive should have been told and was not.
fn due_to_hive(epoch: &Epoch, outside: u32) -> Option<&'static str> {
    let told = |status: &&str| epoch.reported.contains(&format!("hive:{status}"));
    hive_statuses(epoch, outside).into_iter().flatten().find(|status| !told(status))
}

/// What Hive should have been told by now, in order; of questions, from a level on.
fn hive_statuses(epoch: &Epoch, outside: u32) -> [Option<&'static str>; 4] {
    let works = !epoch.rounds.is_empty() || epoch.work.attempts > 0;
    let closed = epoch.pull.as_ref().is_some_and(|pull| pull.state == PullState::Closed);
    let published = epoch.publish.as_ref().is_some_and(|publish| publish.claim.is_some());
    let end = match epoch.finished.as_deref() {
        _ if closed => Some("failed"),
        _ if published && epoch.pull.is_some() => Some("completed"),
        Some("released") => Some("failed"),
        _ => None,
    };
    [
        epoch.rounds.is_empty().then_some("claimed"),
        works.then_some("in_progress"),
        epoch.escalation.as_ref().filter(|asked| asked.level >= outside).map(|_| "escalated"),
        end,
    ]
}

/// The same for the same report, however often it is sent, and another one in the next round.
fn report_id(task: TaskId, epoch: &Epoch, target: Target, status: &str) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("bzzz v1 report");
    hasher.update(&task.0);
    hasher.update(&epoch.number.to_le_bytes());
    hasher.update(&(epoch.rounds.len() as u64).to_le_bytes());
    hasher.update(target.name().as_bytes());
    hasher.update(b":");
    hasher.update(status.as_bytes());
    Hash(*hasher.finalize().as_bytes())
}
