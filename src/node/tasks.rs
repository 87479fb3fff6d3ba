//! Where tasks come from and where what was done is shown: the one place that knows whether that
//! is a board or GitHub.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::warn;

use super::consent::{self, Consent};
use super::effects::{place, ref_read};
use super::evidence;
use super::outside::Repository;
use super::work::Hands;
use crate::integrations::github::{GitHub, GitHubError, defused};
use crate::integrations::local::{Board, BoardError};
use crate::integrations::task::{Assignment, NewPull, Projection, PullRead};
use crate::kernel::agent::{Input, IssueRead, Outcome, Report};
use crate::kernel::event::{CommitId, TaskId};
use crate::kernel::fold::Task;

/// Counts the polls, so that each reads another part of what is read in parts.
static ROUND: AtomicU64 = AtomicU64::new(0);

/// Where a repository's issues are.
pub(super) enum Source {
    /// On a board in a directory.
    Local(Board),
    /// On GitHub.
    GitHub(Box<GitHub>),
}

/// Why a source of tasks could not be asked or told.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error(transparent)]
    Local(#[from] BoardError),
    #[error(transparent)]
    GitHub(#[from] GitHubError),
}

fn on_github(message: &str) -> String {
    match message.rsplit_once("\n\nIssue: ") {
        Some((said, own)) => format!("{}\n\nIssue: {own}", defused(said)),
        None => defused(message),
    }
}

/// The issues of a source, those of the known ones that it has no more, and what could not be read.
type Issues = (Vec<IssueRead>, Vec<u64>, Vec<String>);

impl Source {
    /// A commit's message in which the words of issue and model close or call nothing when it lands
    /// on the branch that the source watches. The lines below them are the node's own.
    pub(super) fn harmless(&self, message: &str) -> String {
        match self {
            Self::GitHub(_) => on_github(message),
            Self::Local(_) => message.to_owned(),
        }
    }

    /// The issues that may be tasks. `known` are those that the swarm takes to be open.
    async fn issues(&self, known: &[u64]) -> Result<Issues, SourceError> {
        match self {
            Self::Local(board) => {
                let (issues, bad) = tokio::task::block_in_place(|| board.issues())?;
                let issues = issues.into_iter().map(|issue| IssueRead {
                    number: issue.number,
                    title: issue.title,
                    body: issue.body,
                    labels: issue.labels,
                    depends_on: issue.depends_on,
                    open: issue.open,
                });
                let bad = bad.iter().map(ToString::to_string);
                Ok((issues.collect(), Vec::new(), bad.collect()))
            }
            Self::GitHub(github) => {
                let read = github.issues(known, ROUND.fetch_add(1, Ordering::Relaxed)).await?;
                Ok((read.issues, read.gone, read.faults))
            }
        }
    }

    /// How many issues there are, and what could not be read.
    pub(super) async fn look(&self) -> Result<(usize, Vec<String>), SourceError> {
        let (issues, _, bad) = self.issues(&[]).await?;
        Ok((issues.len(), bad))
    }

    /// Opens a pull request or finds it: its number, and where people find it.
    async fn open_pull(&self, new: &NewPull) -> Result<(u64, String), SourceError> {
        match self {
            Self::Local(board) => {
                let number = tokio::task::block_in_place(|| board.open_pull(new))?;
                Ok((number, format!("pull request {number}")))
            }
            Self::GitHub(github) => Ok(github.open_pull(new).await?),
        }
    }

    /// Shows the state of a task on its issue, and says it in words.
    async fn tell(&self, told: &Tell<'_>) -> Result<(), SourceError> {
        let Tell { issue, task, name, projection, report } = *told;
        match self {
            Self::Local(board) => tokio::task::block_in_place(|| {
                board.project(issue, projection)?;
                let key = format!("{}-{}", report.epoch, report.status);
                Ok(board.comment(issue, &key, name, &report.text)?)
            }),
            Self::GitHub(github) => {
                github.project(issue, projection).await?;
                let text = format!("**{name}**: {}", report.text);
                Ok(github.comment(issue, &task.to_string(), report.epoch, &text).await?)
            }
        }
    }

    /// What became of a pull request.
    async fn watch(&self, number: u64) -> Result<PullRead, SourceError> {
        match self {
            Self::Local(board) => Ok(tokio::task::block_in_place(|| board.watch(number))?),
            Self::GitHub(github) => Ok(github.watch(number).await?),
        }
    }
}

/// What is to be shown.
#[derive(Clone, Copy)]
struct Tell<'a> {
    issue: u64,
    task: TaskId,
    name: &'a str,
    projection: &'a Projection,
    report: &'a Report,
}

/// Reads a repository: whether it lets agents work, then its claims, then its issues.
pub(super) async fn poll(hands: &Hands, repository: String) -> Vec<Input> {
    let Some(found) = hands.outside.repositories.get(&repository) else {
        return vec![Input::PollFailed { repository }];
    };
    match poll_issues(hands, &repository, &found).await {
        Ok(inputs) => inputs,
        Err(error) => {
            warn!(repository, error, "the repository could not be read");
            vec![Input::PollFailed { repository }]
        }
    }
}

async fn poll_issues(
    hands: &Hands,
    repository: &str,
    found: &Repository,
) -> Result<Vec<Input>, String> {
    let mirror = found.mirror().await?;
    let Consent { allowed, source, reason } =
        consent::ask(mirror, found.named_by).await.map_err(|error| error.to_string())?;
    if !allowed {
        warn!(repository, source, reason, "the repository lets no agents work in it");
    }
    let name = || repository.to_owned();
    let source = source.to_owned();
    let mut inputs = vec![Input::Consent { repository: name(), allowed, source, reason }];
    if !allowed {
        // Nothing of its issues is read.
        inputs.push(Input::PollFailed { repository: name() });
        return Ok(inputs);
    }
    // Refs come first, so that no issue is taken to be free before its ref was seen.
    match mirror.read_claims().await {
        Ok(refs) => {
            let refs = refs.into_iter().map(|read| ref_read(hands, read)).collect();
            inputs.push(Input::Claims { repository: name(), refs });
        }
        Err(error) => warn!(repository, %error, "the claims could not be read"),
    }
    let known: Vec<u64> = hands.engine.read(|state| {
        let known = state.tasks.values().filter(|task| task.repository == repository && task.open);
        known.map(|task| task.issue).collect()
    });
    let (mut issues, gone, mut faults) = match found.source.issues(&known).await {
        Ok(read) => read,
        Err(error) => {
            warn!(repository, %error, "the issues could not be read");
            inputs.push(Input::PollFailed { repository: name() });
            return Ok(inputs);
        }
    };
    if let Source::GitHub(github) = &found.source {
        faults.extend(drop_closed(hands, repository, github, &mut issues).await);
    }
    for error in faults {
        warn!(repository, error, "an issue could not be read");
    }
    // What is gone is closed, in the words that were last known of it.
    let closed = |task: &Task| IssueRead {
        number: task.issue,
        title: task.title.clone(),
        body: task.body.clone(),
        labels: task.labels.clone(),
        depends_on: task.depends_on.clone(),
        open: false,
    };
    issues.extend(gone.iter().filter_map(|number| {
        hands.engine.read(|state| state.task(repository, *number).map(closed))
    }));
    inputs.push(Input::Issues { repository: name(), issues });
    Ok(inputs)
}

/// Takes out of what issues depend on what is no task and was closed by people: an issue without
/// the label, a pull request. The fold knows how it is with tasks. What was not read stays as the
/// swarm knows it of the same text, so that nodes that read more or less do not contradict each
/// other. Gives what could not be read.
async fn drop_closed(
    hands: &Hands,
    repository: &str,
    github: &GitHub,
    issues: &mut [IssueRead],
) -> Vec<String> {
    let listed: BTreeSet<u64> = issues.iter().map(|issue| issue.number).collect();
    let task = |number: u64| hands.engine.read(|state| state.task(repository, number).is_some());
    let is_task = |number: u64| listed.contains(&number) || task(number);
    let open = issues.iter().filter(|issue| issue.open);
    let others: BTreeSet<u64> = open.flat_map(|issue| &issue.depends_on).copied().collect();
    let others: Vec<u64> = others.into_iter().filter(|number| !is_task(*number)).collect();
    let asked = github.closed(&others, ROUND.load(Ordering::Relaxed)).await;
    let (closed, faults) = asked.unwrap_or_else(|error| (BTreeMap::new(), vec![error.to_string()]));
    for issue in issues {
        let known = hands.engine.read(|state| {
            let task = state.task(repository, issue.number);
            task.filter(|task| task.body == issue.body).map(|task| task.depends_on.clone())
        });
        issue.depends_on.retain(|number| match closed.get(number) {
            Some(closed) => !closed,
            None => is_task(*number) || known.as_ref().is_none_or(|all| all.contains(number)),
        });
    }
    faults
}

pub(super) async fn open_pull(
    hands: &Hands,
    task: TaskId,
    branch: String,
    commit: CommitId,
    title: String,
    body: String,
) -> Outcome {
    let (repository, issue) = match place(hands, task) {
        Ok(place) => place,
        Err(error) => return Outcome::Failed(error),
    };
    let (commit, author) = (commit.to_string(), hands.name.clone());
    let proven = tokio::task::block_in_place(|| evidence::of_publication(&hands.engine, task));
    let proven = match proven {
        Ok(proven) => proven,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let body = format!("{body}{proven}");
    let new = NewPull { issue, branch, commit, title, body, author };
    match repository.source.open_pull(&new).await {
        Ok((number, place)) => Outcome::PullOpened { number, place },
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

pub(super) async fn watch(hands: &Hands, task: TaskId, number: u64) -> Outcome {
    let (repository, _) = match place(hands, task) {
        Ok(place) => place,
        Err(error) => return Outcome::Failed(error),
    };
    match repository.source.watch(number).await {
        Ok(read) => Outcome::PullSeen(read),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// Labels, assignee and words for each status and epoch. Doing it twice changes nothing.
pub(super) async fn tell(hands: &Arc<Hands>, task: TaskId, report: &Report) -> Outcome {
    let (repository, issue) = match place(hands, task) {
        Ok(place) => place,
        Err(error) => return Outcome::Failed(error),
    };
    let (add, remove): (&[&str], &[&str]) = match report.status {
        "claimed" => (&["in-progress"], &["needs-help", "in-review"]),
        "published" => (&["in-review"], &["in-progress", "needs-help"]),
        "escalated" => (&["needs-help"], &["in-progress", "in-review"]),
        "merged" | "closed" => (&[], &["in-progress", "in-review", "needs-help"]),
        _ => (&[], &["in-progress"]),
    };
    let texts = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
    let assignee = match report.status {
        "released" => Assignment::Nobody,
        _ => Assignment::To(hands.name.clone()),
    };
    let projection =
        Projection { state: None, assignee, add_labels: texts(add), remove_labels: texts(remove) };
    let name = &hands.name;
    let told = Tell { issue, task, name, projection: &projection, report };
    match repository.source.tell(&told).await {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::on_github;

    #[test]
    fn a_commit_closes_no_other_issue() {
        let said = "Sum\n\nfixes #12, closes GH-3\n\nIssue: sample#7\nEpoch: 1\n";
        let message = on_github(said);
        assert!(!message.contains("#12") && !message.contains("GH-3"), "{message:?}");
        assert!(message.ends_with("\n\nIssue: sample#7\nEpoch: 1\n"), "{message:?}");
        assert_eq!(message.replace('\u{200b}', ""), said);
    }
}
