//! What came of effects becomes events.

use super::effect::{Key, Target, What};
use super::input::{Input, Outcome, Push, RefRead, Settings};
use super::local::Committed;
use super::reads::seen;
use super::{Agent, Now};
use crate::kernel::event::kinds::{
    ClaimDropped, ClaimFailed, ClaimLost, ClaimMoved, ClaimWon, CommandFinished, CommandOutput,
    ContextDropped, EgressDenied, ModelAnswered, ModelFailed, PublishRefused, Published,
    PullRequestOpened, Reported, SandboxClosed, SandboxFailed, SandboxOpened, SettingsRead, cut,
};
use crate::kernel::event::{Claim, Draft, EventId, TaskId};
use crate::kernel::fold::{Epoch, SwarmState};

/// The longest answer of a model that is kept, in bytes.
const MAX_ANSWER: usize = 48 * 1024;

/// The longest reason or error that is kept, in bytes.
const MAX_REASON: usize = 2048;

/// The longest host that a command was not let through to, in bytes.
const MAX_HOST: usize = 256;

impl Agent {
    /// Takes in what happened, and says what is to be remembered of it.
    pub(super) fn take_in(&mut self, state: &SwarmState, input: Input, now: Now) -> Vec<Draft> {
        match input {
            Input::Tick => Vec::new(),
            Input::Issues { repository, issues } => {
                self.local.polls.insert(repository.clone(), (now.mono_ms, false));
                if self.local.read.contains(&repository) {
                    let open = issues.iter().map(|i| (TaskId::of(&repository, i.number), i.open));
                    self.local.open.extend(open);
                }
                let found: Vec<_> = issues
                    .iter()
                    .flat_map(|issue| self.stated(state, &repository, issue))
                    .collect();
                let seen = issues.into_iter().filter_map(|issue| seen(state, &repository, issue));
                seen.chain(found).collect()
            }
            Input::Claims { repository, refs } => self.refs_read(state, repository, refs, now),
            Input::PollFailed { repository } => {
                self.local.polls.insert(repository, (now.mono_ms, false));
                Vec::new()
            }
            Input::Consent { .. } | Input::Ready { .. } => self.was_read(state, input),
            Input::TakeUp { repository, url, branch } => {
                self.take_up(state, repository, url, branch)
            }
            Input::LetGo { repository } => {
                self.let_go(state, &repository);
                Vec::new()
            }
            Input::Output { task, command, stream, at_ms, bytes } => {
                let Some(epoch) = self.own_epoch(state, task) else {
                    return Vec::new();
                };
                let part = self.local.parts.entry(task).or_default();
                let epoch = epoch.number;
                let output = CommandOutput { epoch, command, part: *part, stream, at_ms, bytes };
                *part += 1;
                vec![Draft::about(task, output).because([command])]
            }
            Input::Denied { task, command, host, port, count } => {
                let epoch = self.own_epoch(state, task).map(|own| own.number);
                let (host, port) = (cut(&host, MAX_HOST), u32::from(port));
                let denied = epoch.map(|epoch| EgressDenied { epoch, command, host, port, count });
                denied
                    .map(|denied| Draft::about(task, denied).because([command]))
                    .into_iter()
                    .collect()
            }
            Input::Outcome(key, outcome) => self.outcome(state, &key, outcome, now),
        }
    }

    /// The epoch of a task that this node won last.
    pub(super) fn own_epoch<'a>(&self, state: &'a SwarmState, task: TaskId) -> Option<&'a Epoch> {
        let epochs = state.tasks.get(&task)?.epochs.values();
        epochs.rev().find(|epoch| epoch.winner.as_ref().is_some_and(|win| win.author == self.me))
    }

    fn outcome(&mut self, state: &SwarmState, key: &Key, outcome: Outcome, now: Now) -> Vec<Draft> {
        let failed = matches!(
            outcome,
            Outcome::Failed(_) | Outcome::NoAnswer { .. } | Outcome::Pushed(Push::Failed(_), _)
        );
        let failures = self.local.end(key, failed, now.mono_ms);
        let task = key.task;
        match outcome {
            Outcome::Pushed(push, claim) if key.what == What::HandOver => {
                self.hand_over_outcome(state, task, push, &claim, failures)
            }
            Outcome::Pushed(push, claim) if key.what == What::Publish => {
                self.publish_outcome(state, task, push, &claim, failures)
            }
            Outcome::Pushed(push, claim) => {
                self.claim_outcome(state, task, push, &claim, failures, now)
            }
            Outcome::PullSeen(read) => self.pull_seen(state, task, read, now).into_iter().collect(),
            Outcome::Dropped { commit } => {
                self.local.watch(task, None, now.mono_ms);
                let Some(own) = self.own_epoch(state, task) else {
                    return Vec::new();
                };
                vec![Draft::about(task, ClaimDropped { epoch: own.number, commit })]
            }
            Outcome::Failed(_)
                if key.what == What::Commit && failures > self.config.budget.retries =>
            {
                // Unfinished work that cannot be kept does not hold up its hand-off.
                self.local.wip.insert(task, None);
                Vec::new()
            }
            outcome => self.work_outcome(state, key, outcome),
        }
    }

    fn work_outcome(&mut self, state: &SwarmState, key: &Key, outcome: Outcome) -> Vec<Draft> {
        let task = key.task;
        if let Outcome::Answered { .. } | Outcome::NoAnswer { .. } = outcome {
            return self.model_outcome(state, task, outcome);
        }
        self.remember(state, key, &outcome);
        let Some(own) = self.own_epoch(state, task) else {
            return Vec::new();
        };
        let epoch = own.number;
        let draft = match (outcome, &key.what) {
            (Outcome::Opened { sandbox, base, settings, .. }, _) => {
                let process = self.process;
                let opened = SandboxOpened { epoch, process, sandbox, base };
                let settings = settings.map(|settings| settings_read(epoch, settings));
                let settings = settings.map(|settings| Draft::about(task, settings));
                return [Draft::about(task, opened)].into_iter().chain(settings).collect();
            }
            (Outcome::Failed(error), What::Open) => {
                Draft::about(task, SandboxFailed { epoch, error: cut(&error, MAX_REASON) })
            }
            (
                Outcome::Ended {
                    command,
                    status,
                    duration_ms,
                    output_total,
                    output_kept,
                    output_hash,
                },
                _,
            ) => {
                self.local.parts.remove(&task);
                let finished = CommandFinished {
                    epoch,
                    command,
                    status,
                    duration_ms,
                    output_total,
                    output_kept,
                    output_hash,
                };
                Draft::about(task, finished).because([command])
            }
            (Outcome::Done, What::Close) => {
                let reason = own.finished.clone().unwrap_or_else(|| "over".to_owned());
                Draft::about(task, SandboxClosed { epoch, reason })
            }
            (outcome, _) => return end_outcome(task, own, key, outcome),
        };
        vec![draft]
    }

    /// What stands in no event, since it must not survive a restart.
    fn remember(&mut self, state: &SwarmState, key: &Key, outcome: &Outcome) {
        let task = key.task;
        let handed = self.own_epoch(state, task).is_some_and(|own| own.successor().is_some());
        match outcome {
            Outcome::Opened { command_seconds, .. } => {
                self.local.sandboxes.insert(task, *command_seconds);
                self.local.committed.remove(&task);
                self.local.wip.remove(&task);
            }
            Outcome::Done if key.what == What::Close => {
                self.local.sandboxes.remove(&task);
            }
            Outcome::Unpublishable(_) if handed => {
                self.local.wip.insert(task, None);
            }
            Outcome::Committed { commit, changed, files } => {
                let (commit, changed, files) = (commit.clone(), *changed, files.clone());
                let made = Committed { commit, changed, files };
                match handed {
                    true => drop(self.local.wip.insert(task, Some(made))),
                    false => drop(self.local.committed.insert(task, made)),
                }
            }
            _ => {}
        }
    }

    fn model_outcome(&mut self, state: &SwarmState, task: TaskId, outcome: Outcome) -> Vec<Draft> {
        let asked = |ask: EventId| {
            let epochs = state.tasks.get(&task)?.epochs.values();
            let mut asks =
                epochs.filter_map(|epoch| Some((epoch.number, epoch.asks.get(&self.me)?)));
            asks.find(|(_, found)| found.event == ask).map(|(epoch, found)| (epoch, found.purpose))
        };
        match outcome {
            Outcome::Answered { ask, model, text, tokens_in, tokens_out } => {
                let Some((epoch, purpose)) = asked(ask) else {
                    return Vec::new();
                };
                let (model, text) = (cut(&model, 256), cut(&text, MAX_ANSWER));
                let answered =
                    ModelAnswered { ask, epoch, purpose, model, text, tokens_in, tokens_out };
                let answered = Draft::about(task, answered).because([ask]);
                [answered].into_iter().chain(self.left_out(task, epoch, ask)).collect()
            }
            Outcome::NoAnswer { ask, error } => {
                let Some((epoch, purpose)) = asked(ask) else {
                    return Vec::new();
                };
                let error = cut(&error, MAX_REASON);
                let failed = ModelFailed { ask, epoch, purpose, error };
                let failed = Draft::about(task, failed).because([ask]);
                [failed].into_iter().chain(self.left_out(task, epoch, ask)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What was left out of a question that is over.
    fn left_out(&mut self, task: TaskId, epoch: u64, ask: EventId) -> Option<Draft> {
        let (messages, bytes) = self.local.dropped.remove(&ask)?;
        let dropped = ContextDropped { epoch, ask, messages, bytes };
        Some(Draft::about(task, dropped).because([ask]))
    }

    /// A push of the claim ref alone: to win it, to renew it, or to end with it.
    fn claim_outcome(
        &mut self,
        state: &SwarmState,
        task: TaskId,
        push: Push,
        pushed: &Claim,
        failures: u32,
        now: Now,
    ) -> Vec<Draft> {
        let own = self.own_epoch(state, task).filter(|own| own.number == pushed.epoch);
        let own = own.filter(|own| own.is_active());
        let push = mine(push, pushed);
        if let Push::Won(commit) = &push {
            let claim = Some(pushed.clone());
            let issue = state.tasks.get(&task).map_or(0, |task| task.issue);
            let read = RefRead { issue, commit: commit.clone(), claim };
            self.local.watch(task, Some(read), now.mono_ms);
            self.local.renewed.insert(task, now.mono_ms);
        }
        if let (Some(own), Push::Lost(Some(current))) = (own, &push)
            && let Some(moved) = ours(own, current)
        {
            return vec![Draft::about(task, moved)];
        }
        let (epoch, intent) = (pushed.epoch, pushed.event);
        let draft = match (push, own) {
            (Push::Won(commit), None) => {
                Draft::about(task, ClaimWon { intent, epoch, commit }).because([intent])
            }
            (Push::Won(commit), Some(_)) => {
                let (renewal, status) = (pushed.renewal, pushed.status);
                let reason = String::new();
                Draft::about(task, ClaimMoved { epoch, renewal, commit, status, reason })
            }
            (Push::Lost(current), _) => {
                self.local.watch(task, current.clone(), now.mono_ms);
                let lost = lost(epoch, current);
                Draft::about(task, lost).because([intent])
            }
            (Push::Failed(error), None) if failures > self.config.budget.retries => {
                self.local.leave_alone(task, now.mono_ms, self.config.lease_ms);
                let error = cut(&error, MAX_REASON);
                Draft::about(task, ClaimFailed { intent, epoch, error }).because([intent])
            }
            (Push::Failed(_), _) => return Vec::new(),
        };
        vec![draft]
    }

    fn publish_outcome(
        &mut self,
        state: &SwarmState,
        task: TaskId,
        push: Push,
        pushed: &Claim,
        failures: u32,
    ) -> Vec<Draft> {
        let Some(own) = self.own_epoch(state, task) else {
            return Vec::new();
        };
        let (epoch, Some(publish)) = (own.number, &own.publish) else {
            return Vec::new();
        };
        let (branch, commit) = (publish.branch.clone(), publish.commit.clone());
        match mine(push, pushed) {
            Push::Won(claim) => {
                let published = Published { epoch, branch, commit, claim };
                vec![Draft::about(task, published).because([publish.intent])]
            }
            Push::Lost(Some(current)) if ours(own, &current).is_some() => {
                let moved = ours(own, &current).expect("it was just there");
                vec![Draft::about(task, moved)]
            }
            Push::Lost(current) => {
                let reason = "the claim ref holds another claim: nothing was published".to_owned();
                vec![
                    Draft::about(task, PublishRefused { epoch, reason }),
                    Draft::about(task, lost(epoch, current)),
                ]
            }
            Push::Failed(reason) if failures > self.config.budget.retries => {
                let reason = cut(&reason, MAX_REASON);
                vec![Draft::about(task, PublishRefused { epoch, reason })]
            }
            Push::Failed(_) => Vec::new(),
        }
    }
}

/// What came of the last steps: commit, pull request, reports.
fn end_outcome(task: TaskId, own: &Epoch, key: &Key, outcome: Outcome) -> Vec<Draft> {
    let epoch = own.number;
    let because = own.work.done.as_ref().map(|(event, _)| *event);
    match (outcome, &key.what) {
        (Outcome::Unpublishable(reason), _) if own.successor().is_none() => {
            let reason = cut(&reason, MAX_REASON);
            vec![Draft::about(task, PublishRefused { epoch, reason }).because(because)]
        }
        (Outcome::PullOpened { number, place }, _) => {
            vec![Draft::about(task, PullRequestOpened { epoch, number, place })]
        }
        (Outcome::Done, What::Report(target, status)) => {
            let (target, status) = (target.name().to_owned(), (*status).to_owned());
            vec![Draft::about(task, Reported { epoch, target, status })]
        }
        (Outcome::Done, What::Escalation(level)) => {
            let (target, status) = (Target::People.name().to_owned(), format!("asked-{level}"));
            vec![Draft::about(task, Reported { epoch, target, status })]
        }
        _ => Vec::new(),
    }
}

/// A ref that holds just what was pushed was won, whoever's answer got lost on the way.
pub(super) fn mine(push: Push, pushed: &Claim) -> Push {
    match push {
        Push::Lost(Some(RefRead { commit, claim: Some(claim), .. })) if claim == *pushed => {
            Push::Won(commit)
        }
        other => other,
    }
}

/// The ref holds a claim that this node pushed before, whose answer it never got: it takes over
/// where that push had left off.
pub(super) fn ours(own: &Epoch, current: &RefRead) -> Option<ClaimMoved> {
    let (win, claim) = (own.winner.as_ref()?, current.claim.as_ref()?);
    let same = claim.author == win.author && claim.epoch == own.number && claim.event == win.intent;
    (same && current.commit != win.commit).then(|| ClaimMoved {
        epoch: own.number,
        renewal: claim.renewal,
        commit: current.commit.clone(),
        status: claim.status,
        reason: "found in the ref after a push without an answer".to_owned(),
    })
}

pub(super) fn lost(epoch: u64, current: Option<RefRead>) -> ClaimLost {
    let holder = current.as_ref().and_then(|read| read.claim.as_ref());
    let holder = holder.map(|claim| (claim.author, claim.epoch));
    ClaimLost { epoch, commit: current.map(|read| read.commit), holder }
}

/// As much of a repository's settings as an event holds.
fn settings_read(epoch: u64, settings: Settings) -> SettingsRead {
    let texts = |texts: Vec<String>, max: usize| {
        texts.into_iter().take(32).map(|text| cut(&text, max)).collect()
    };
    SettingsRead {
        epoch,
        source: cut(&settings.source, 256),
        setup: texts(settings.setup, 1024),
        limits: cut(&settings.limits, 1024),
        denied: texts(settings.denied, 512),
    }
}
