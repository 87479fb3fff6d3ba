//! Tasks as programs are told them. Ids are hexadecimal digits; texts of others are untrusted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{command_status, name, names};
use crate::kernel::agent::Wants;
use crate::kernel::event::kinds::Verdict;
use crate::kernel::event::{ClaimStatus, TaskId};
use crate::kernel::fold::{
    Dependencies, Epoch, Escalation, Plan, Round, SwarmState, Task, Win, Work,
};
use crate::kernel::identity::AuthorId;

/// A task in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSummary {
    /// Its id.
    pub id: String,
    /// For people: `repository#issue`, or the beginning of the id before the issue was seen.
    pub task: String,
    /// The repository's name.
    pub repository: String,
    /// The issue's number.
    pub issue: u64,
    /// The issue's title.
    pub title: String,
    /// `open`, `claimed`, `published`, `escalated`, `merged`, `rejected` or `closed`.
    pub status: String,
    /// `low`, `normal`, `high` or `critical`.
    pub priority: String,
    /// What kind of work it is, such as `bug`, if a label says so.
    pub kind: Option<String>,
    /// What a node has to be capable of to take it.
    pub requires: Vec<String>,
    /// The winner of the highest epoch.
    pub owner: Option<String>,
    /// Its name.
    pub owner_name: Option<String>,
    /// Whether it still owns the task.
    pub owned: bool,
    /// The highest epoch that somebody won.
    pub epoch: Option<u64>,
    /// The number of epochs that somebody tried to win.
    pub epochs: u64,
    /// The number of events about it, the refused ones not counted.
    pub events: u64,
    /// The number of events about it that were refused.
    pub refused: u64,
    /// Whether two say that they won one epoch.
    pub contested: bool,
    /// The issue whose work has to be published first.
    pub waits_for: Option<u64>,
    /// The published branch.
    pub branch: Option<String>,
    /// Its commit.
    pub commit: Option<String>,
    /// The number of the pull request.
    pub pull: Option<u64>,
    /// Where people find it.
    pub pull_place: Option<String>,
}

/// All that the state holds of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskView {
    /// The task in a line.
    #[serde(flatten)]
    pub summary: TaskSummary,
    /// The issue's text.
    pub body: String,
    /// The issue's labels.
    pub labels: Vec<String>,
    /// Issues whose work has to be published first.
    pub depends_on: Vec<u64>,
    /// Whether the issue is open.
    pub issue_open: bool,
    /// What happened under each claim, by epoch.
    pub by_epoch: Vec<EpochView>,
    /// The first events that were refused.
    pub refusals: Vec<RefusalView>,
}

/// An epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochView {
    /// Its number, from 1 on.
    pub epoch: u64,
    /// How many tried to win it.
    pub tried: u64,
    /// Who won it.
    pub claim: Option<ClaimView>,
    /// Who else says that it won it.
    pub contested: Vec<String>,
    /// Who watched the claim run out.
    pub expired: Vec<String>,
    /// The plans, by revision.
    pub plans: Vec<PlanView>,
    /// How many sandboxes were opened: each begins a new attempt.
    pub attempts: u32,
    /// The commands of the last attempt.
    pub commands: Vec<CommandView>,
    /// What all attempts used up.
    pub spent: SpentView,
    /// The model's summary of the work, once it is done.
    pub done: Option<String>,
    /// What was wrong the last time that something failed.
    pub last_error: Option<String>,
    /// The publication.
    pub publish: Option<PublishView>,
    /// The pull request's number and where people find it.
    pub pull: Option<(u64, String)>,
    /// What people are asked.
    pub escalation: Option<QuestionView>,
    /// Why the work was taken up again, the oldest first.
    pub rounds: Vec<RoundView>,
    /// What came of the epoch, once the owner's part is over.
    pub finished: Option<String>,
}

/// The claim that won an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimView {
    /// Whose.
    pub author: String,
    /// Its name.
    pub author_name: String,
    /// When it was won, in milliseconds since 1970.
    pub won_ms: u64,
    /// When it was last moved.
    pub moved_ms: u64,
    /// For how long it stands without renewal.
    pub lease_ms: u64,
    /// How often it was renewed.
    pub renewals: u64,
    /// The claim commit.
    pub commit: String,
    /// `active`, `released`, `published` or `escalated`.
    pub status: String,
    /// When its author said that it had lost it.
    pub lost_ms: Option<u64>,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanView {
    /// In one or two sentences.
    pub summary: String,
    /// What will be done.
    pub steps: Vec<String>,
    /// The files that it will touch.
    pub files: Vec<String>,
    /// How it will be tested.
    pub tests: Vec<String>,
    /// What can go wrong.
    pub risks: Vec<String>,
    /// Until when objections are heard.
    pub deadline_ms: u64,
    /// Whether the owner adopted it.
    pub adopted: bool,
    /// What others said.
    pub reviews: Vec<ReviewView>,
}

/// A review of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewView {
    /// Whose.
    pub author: String,
    /// Its name.
    pub author_name: String,
    /// `support`, `advise` or `object`.
    pub verdict: String,
    /// Why.
    pub reason: String,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandView {
    /// When it was intended.
    pub at_ms: u64,
    /// The command, for `sh -c`.
    pub command: String,
    /// How it ended; nothing while it runs.
    pub status: Option<String>,
    /// How much it wrote, in bytes.
    pub output_bytes: u64,
    /// The end of its output, until the epoch is finished.
    pub output_end: String,
}

/// What an epoch has used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpentView {
    /// Commands.
    pub commands: u64,
    /// Answers of models.
    pub answers: u64,
    /// Tokens that the servers reported.
    pub tokens: u64,
    /// Answers whose cost is not known.
    pub unknown: u64,
}

/// A publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishView {
    /// The branch.
    pub branch: String,
    /// The work's commit.
    pub commit: String,
    /// Files, lines added, lines removed.
    pub changed: (u32, u32, u32),
    /// Whether the remote has it.
    pub published: bool,
    /// Why it was refused.
    pub refused: Option<String>,
}

/// A question to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionView {
    /// The event that asks: `/api/escalations/{id}/answer` answers it.
    pub id: String,
    /// Why the owner cannot go on.
    pub reason: String,
    /// What it asks.
    pub question: String,
    /// When it was asked, in milliseconds since 1970.
    pub asked_ms: u64,
    /// How often it was raised again.
    pub level: u32,
    /// Who takes care of it.
    pub acknowledged_by: Option<String>,
    /// Who has answered it. The work goes on with the next step of its owner.
    pub answered_by: Option<String>,
}

/// Why work was taken up again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundView {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whether people answered; otherwise checks or reviewers of the pull request asked for it.
    pub people: bool,
    /// What they said.
    pub message: String,
}

/// A refused event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalView {
    /// The event.
    pub event: String,
    /// Whose.
    pub author: String,
    /// Its index in the author's log.
    pub seq: u64,
    /// Why, as a sentence.
    pub reason: String,
}

/// All tasks, by repository and issue.
#[must_use]
pub fn summaries(state: &SwarmState) -> Vec<TaskSummary> {
    let mut tasks: Vec<&Task> = state.tasks.values().collect();
    tasks.sort_by_key(|task| (&task.repository, task.issue, task.id));
    let names = names(state);
    tasks.into_iter().map(|task| summary(state, task, &names)).collect()
}

/// One task; nothing if there is none of that id.
#[must_use]
pub fn view(state: &SwarmState, task: TaskId) -> Option<TaskView> {
    let task = state.tasks.get(&task)?;
    let names = names(state);
    let refusals = task.refusals.first.iter().map(|refusal| RefusalView {
        event: refusal.event.to_string(),
        author: refusal.author.to_string(),
        seq: refusal.seq,
        reason: refusal.reason.to_string(),
    });
    Some(TaskView {
        summary: summary(state, task, &names),
        body: task.body.clone(),
        labels: task.labels.clone(),
        depends_on: task.depends_on.clone(),
        issue_open: task.open,
        by_epoch: task.epochs.values().map(|one| epoch(one, &names)).collect(),
        refusals: refusals.collect(),
    })
}

fn summary(state: &SwarmState, task: &Task, names: &BTreeMap<AuthorId, String>) -> TaskSummary {
    let epoch = task.current();
    let owner = epoch.and_then(|epoch| epoch.winner.as_ref()).map(|win| win.author);
    let published = task.published();
    let wants = Wants::of(task);
    let pull = task.epochs.values().rev().find_map(|epoch| epoch.pull.as_ref());
    let waits_for = match state.dependencies(task) {
        Dependencies::Waiting(issue) => Some(issue),
        Dependencies::Ready(_) => None,
    };
    TaskSummary {
        id: task.id.to_string(),
        task: if task.repository.is_empty() { task.id.short() } else { task.name() },
        repository: task.repository.clone(),
        issue: task.issue,
        title: task.title.clone(),
        status: task.status().name().to_owned(),
        priority: wants.priority.name().to_owned(),
        kind: wants.kind.map(|kind| kind.name().to_owned()),
        requires: wants.requires.into_iter().collect(),
        owner: owner.map(|owner| owner.to_string()),
        owner_name: owner.map(|owner| name(names, &owner)),
        owned: task.owner().is_some(),
        epoch: epoch.map(|epoch| epoch.number),
        epochs: task.epochs.len() as u64,
        events: task.events,
        refused: task.refusals.count,
        contested: task.epochs.values().any(|epoch| !epoch.contested.is_empty()),
        waits_for,
        branch: published.map(|publish| publish.branch.clone()),
        commit: published.map(|publish| publish.commit.to_string()),
        pull: pull.map(|pull| pull.number),
        pull_place: pull.map(|pull| pull.place.clone()),
    }
}

fn epoch(epoch: &Epoch, names: &BTreeMap<AuthorId, String>) -> EpochView {
    let Work { attempts, commands, last_error, done, spent, .. } = &epoch.work;
    EpochView {
        epoch: epoch.number,
        tried: epoch.intents.len() as u64,
        claim: epoch.winner.as_ref().map(|win| claim(win, names)),
        contested: epoch.contested.iter().map(|author| name(names, author)).collect(),
        expired: epoch.expired.keys().map(|author| name(names, author)).collect(),
        plans: epoch.plans.iter().map(|one| plan(one, names)).collect(),
        attempts: *attempts,
        commands: commands.iter().map(command).collect(),
        spent: SpentView {
            commands: spent.commands,
            answers: spent.answers,
            tokens: spent.tokens,
            unknown: spent.unknown,
        },
        done: done.as_ref().map(|(_, summary)| summary.clone()),
        last_error: last_error.clone(),
        publish: epoch.publish.as_ref().map(|publish| PublishView {
            branch: publish.branch.clone(),
            commit: publish.commit.to_string(),
            changed: publish.changed,
            published: publish.claim.is_some(),
            refused: publish.refused.clone(),
        }),
        pull: epoch.pull.as_ref().map(|pull| (pull.number, pull.place.clone())),
        escalation: epoch.escalation.as_ref().map(question),
        rounds: epoch.rounds.iter().map(round).collect(),
        finished: epoch.finished.clone(),
    }
}

fn question(asked: &Escalation) -> QuestionView {
    QuestionView {
        id: asked.event.to_string(),
        reason: asked.reason.clone(),
        question: asked.question.clone(),
        asked_ms: asked.at.ms(),
        level: asked.level,
        acknowledged_by: asked.acknowledged.as_ref().map(|said| said.by.clone()),
        answered_by: asked.answer.as_ref().map(|said| said.by.clone()),
    }
}

fn round(round: &Round) -> RoundView {
    RoundView { at_ms: round.at.ms(), people: round.people, message: round.message.clone() }
}

fn claim(win: &Win, names: &BTreeMap<AuthorId, String>) -> ClaimView {
    let status = match win.status {
        ClaimStatus::Active => "active",
        ClaimStatus::Released => "released",
        ClaimStatus::Published => "published",
        ClaimStatus::Escalated => "escalated",
    };
    ClaimView {
        author: win.author.to_string(),
        author_name: name(names, &win.author),
        won_ms: win.at.ms(),
        moved_ms: win.moved_at.ms(),
        lease_ms: win.lease_ms,
        renewals: win.renewal,
        commit: win.commit.to_string(),
        status: status.to_owned(),
        lost_ms: win.lost_at.map(|at| at.ms()),
    }
}

fn plan(plan: &Plan, names: &BTreeMap<AuthorId, String>) -> PlanView {
    let reviews = plan.reviews.iter().map(|review| ReviewView {
        author: review.author.to_string(),
        author_name: name(names, &review.author),
        verdict: match review.verdict {
            Verdict::Support => "support".to_owned(),
            Verdict::Advise => "advise".to_owned(),
            Verdict::Object => "object".to_owned(),
        },
        reason: review.reason.clone(),
    });
    PlanView {
        summary: plan.text.summary.clone(),
        steps: plan.text.steps.clone(),
        files: plan.text.files.clone(),
        tests: plan.text.tests.clone(),
        risks: plan.text.risks.clone(),
        deadline_ms: plan.deadline_ms,
        adopted: plan.adopted.is_some(),
        reviews: reviews.collect(),
    }
}

fn command(command: &crate::kernel::fold::Command) -> CommandView {
    CommandView {
        at_ms: command.at.ms(),
        command: command.text.clone(),
        status: command.status.as_ref().map(command_status),
        output_bytes: command.output_total,
        output_end: String::from_utf8_lossy(&command.excerpt).into_owned(),
    }
}
