//! The end of an owned task: commit, fenced push, pull request, reports, questions to people.

use super::effect::{Effect, Key, Target, What};
use super::local::Committed;
use super::prompt;
use super::rules::Gate;
use super::{Agent, Turn};
use crate::kernel::event::kinds::{Escalated, PublishIntended, Subject, TaskFinished, cut};
use crate::kernel::event::{ClaimStatus, Draft, TaskId};
use crate::kernel::fold::{Epoch, Publish, Task, Win};

impl Agent {
    /// Makes a commit of the sandbox's files.
    pub(super) fn commit(&mut self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch) {
        if let Some(error) = &epoch.work.last_error {
            let (reason, question) = ("the work cannot be published".to_owned(), error.clone());
            let escalated = Escalated { epoch: epoch.number, reason, question };
            return turn.drafts.push(Draft::about(task.id, escalated));
        }
        let Some(sandbox) = &epoch.work.sandbox else {
            return;
        };
        if let Some(made) = self.local.committed.get(&task.id).cloned() {
            return self.decide_to_publish(turn, task, epoch, &made);
        }
        let key = Key { task: task.id, what: What::Commit };
        let (base, message) = (sandbox.base.clone(), prompt::commit_message(task, epoch));
        self.ask_for(turn, key.clone(), Effect::Commit { key, base, message });
    }

    /// The commit is made: it is published, unless people must approve it first.
    fn decide_to_publish(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        made: &Committed,
    ) {
        let (commit, changed) = (made.commit.clone(), made.changed);
        let name = commit.to_string();
        let handed = task.handed_to(epoch.number).is_some_and(|handed| handed.base.is_some());
        let inherited = handed && epoch.earlier.is_none();
        let rules = &self.config.approvals;
        let rule = rules.change(&made.files, changed);
        let rule = rule.or_else(|| inherited.then(|| rules.inherited()).flatten());
        let text = prompt::change(task, epoch, made);
        let asked = (Subject::Change, name.as_bytes(), text.as_str());
        let number = epoch.number;
        let draft = match self.gate(turn, task, epoch, asked, rule) {
            Gate::Waiting => return,
            Gate::Refused(verdict) => {
                let reason = "people refused the change".to_owned();
                let question = cut(&verdict.reason, 4096);
                let escalated = Escalated { epoch: number, reason, question };
                Draft::about(task.id, escalated).because([verdict.event])
            }
            Gate::Open => {
                let branch = format!("bzzz/issue-{}", task.issue);
                let intended = PublishIntended { epoch: number, branch, commit, changed };
                let because = epoch.work.done.as_ref().map(|(event, _)| *event);
                Draft::about(task.id, intended).because(because)
            }
        };
        turn.drafts.push(draft);
    }

    /// Pushes branch and claim as one, once no other push of the claim is under way.
    pub(super) fn publish(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        win: &Win,
        publish: &Publish,
    ) {
        if let Some(refused) = &publish.refused {
            let (reason, question) = ("the push was refused".to_owned(), refused.clone());
            let escalated = Escalated { epoch: epoch.number, reason, question };
            return turn.drafts.push(Draft::about(task.id, escalated));
        }
        if self.claim_in_flight(task.id) {
            return;
        }
        let key = Key { task: task.id, what: What::Publish };
        let effect = Effect::Publish {
            key: key.clone(),
            branch: publish.branch.clone(),
            commit: publish.commit.clone(),
            claim: self.next_claim(task, epoch.number, win, ClaimStatus::Published),
            expected: win.commit.clone(),
        };
        self.ask_for(turn, key, effect);
    }

    pub(super) fn after_publication(&mut self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch) {
        let Some(publish) = &epoch.publish else {
            return;
        };
        if self.local.sandboxes.contains_key(&task.id) {
            self.close_sandbox(turn, task.id);
        }
        if epoch.pull.is_none() {
            let key = Key { task: task.id, what: What::Pull };
            let effect = Effect::OpenPull {
                key: key.clone(),
                branch: publish.branch.clone(),
                commit: publish.commit.clone(),
                title: format!("{} (#{})", task.title, task.issue),
                body: prompt::pull_body(turn.state, task, epoch),
            };
            return self.ask_for(turn, key, effect);
        }
        self.finish(turn, task, epoch, "published");
    }

    pub(super) fn after_escalation(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        win: &Win,
    ) {
        if win.status != ClaimStatus::Escalated {
            return self.move_claim(turn, task, epoch, win, ClaimStatus::Escalated);
        }
        if self.local.sandboxes.contains_key(&task.id) {
            self.close_sandbox(turn, task.id);
        }
        self.finish(turn, task, epoch, "escalated");
    }

    /// Ends the owner's part once the board was told and the sandbox is gone.
    fn finish(&mut self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch, outcome: &'static str) {
        self.report(turn, task, epoch, outcome);
        let told = epoch.reported.contains(&format!("board:{outcome}"));
        if told && !self.local.sandboxes.contains_key(&task.id) {
            self.local.forget(task.id);
            let (number, outcome) = (epoch.number, outcome.to_owned());
            turn.drafts.push(Draft::about(task.id, TaskFinished { epoch: number, outcome }));
        }
    }

    /// Tells the board, unless it was told.
    pub(super) fn report(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        status: &'static str,
    ) {
        if epoch.reported.contains(&format!("board:{status}")) {
            return;
        }
        self.tell(turn, task, epoch, Target::Board, status);
    }

    pub(super) fn close_sandbox(&mut self, turn: &mut Turn<'_>, task: TaskId) {
        let key = Key { task, what: What::Close };
        self.ask_for(turn, key.clone(), Effect::CloseSandbox { key });
    }
}
