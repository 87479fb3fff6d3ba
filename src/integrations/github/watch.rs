//! What became of a pull request: its state, its checks, its reviews, and what these ask for.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::account::{Account, Me};
use super::pulls::Pull;
use super::{GitHub, GitHubError, Named, is_trusted};
use crate::integrations::task::{
    CheckState, MAX_FEEDBACK, PullRead, PullState, ReviewState, shortened,
};
use crate::kernel::event::CommitId;

/// The most pages of checks, reviews and comments that are read.
const MAX_PAGES: usize = 5;

/// The longest words of one check, review or comment, in bytes.
const MAX_WORDS: usize = 2_000;

#[derive(Debug, Default, Deserialize)]
struct CheckRuns {
    #[serde(default)]
    check_runs: Vec<CheckRun>,
}

#[derive(Debug, Deserialize)]
struct CheckRun {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    status: String,
    #[serde(default)]
    conclusion: Option<String>,
    #[serde(default)]
    output: Option<Output>,
}

#[derive(Debug, Default, Deserialize)]
struct Output {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    summary: Option<String>,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Combined {
    #[serde(default)]
    statuses: Vec<CommitStatus>,
}

#[derive(Debug, Deserialize)]
struct CommitStatus {
    #[serde(default)]
    context: String,
    state: String,
    #[serde(default)]
    description: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Review {
    #[serde(default)]
    id: u64,
    #[serde(default)]
    user: Option<Named>,
    #[serde(default)]
    state: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    author_association: String,
    /// The commit that was reviewed.
    #[serde(default)]
    commit_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ReviewComment {
    #[serde(default)]
    pull_request_review_id: Option<u64>,
    #[serde(default)]
    path: String,
    #[serde(default)]
    line: Option<u64>,
    #[serde(default)]
    body: Option<String>,
}

impl GitHub {
    /// Reads a pull request. What did not change costs nothing of the rate limit.
    ///
    /// # Errors
    /// [`GitHubError`].
    pub async fn watch(&self, number: u64) -> Result<PullRead, GitHubError> {
        let account = self.account().await?;
        let pull: Pull = account.read(&self.path(&format!("/pulls/{number}"))).await?;
        let merged = pull.merged == Some(true) || pull.merged_at.is_some();
        let state = match (merged, pull.state.as_str()) {
            (true, _) => PullState::Merged,
            (false, "closed") => PullState::Closed,
            (false, _) => PullState::Open,
        };
        let head: CommitId = pull.head.sha.parse().map_err(|_| GitHubError::Malformed {
            request: format!("GET {}", self.path(&format!("/pulls/{number}"))),
            reason: "its head is no commit".to_owned(),
        })?;
        let mut feedback = String::new();
        let (mut checks, mut reviews) = (CheckState::None, ReviewState::None);
        if state == PullState::Open {
            checks = self.checks(&account, head.as_str(), &mut feedback).await?;
            reviews = self.reviews(&account, number, head.as_str(), &mut feedback).await?;
        }
        let feedback = shortened(feedback.trim(), MAX_FEEDBACK);
        Ok(PullRead { state, head: Some(head), checks, reviews, feedback })
    }

    async fn checks(
        &self,
        account: &Account,
        head: &str,
        feedback: &mut String,
    ) -> Result<CheckState, GitHubError> {
        let path = self.path(&format!("/commits/{head}/check-runs?filter=latest&per_page=100"));
        let runs: CheckRuns = match account.read(&path).await {
            // A fine-grained token cannot have the right to read checks; it may see the workflows.
            Err(error) if error.is_refusal() => self.workflows(account, head).await?,
            runs => runs?,
        };
        let path = self.path(&format!("/commits/{head}/status?per_page=100"));
        let combined: Combined = match account.read(&path).await {
            Err(error) if error.is_refusal() => Combined::default(),
            combined => combined?,
        };
        let mut found = Vec::new();
        for run in runs.check_runs.iter().take(1_000) {
            let state = run.state();
            if state == CheckState::Failed {
                say(
                    feedback,
                    &format!("Check {} failed", one_line(run.name.as_deref().unwrap_or_default())),
                    &run.words(),
                );
            }
            found.push(state);
        }
        for status in combined.statuses.iter().take(1_000) {
            let state = match status.state.as_str() {
                "success" => CheckState::Passed,
                "pending" => CheckState::Pending,
                _ => CheckState::Failed,
            };
            if state == CheckState::Failed {
                let words = status.description.as_deref().unwrap_or_default();
                say(feedback, &format!("Status {} failed", one_line(&status.context)), words);
            }
            found.push(state);
        }
        Ok(all(&found))
    }

    /// The runs of workflows for a commit, which are most of its checks.
    async fn workflows(&self, account: &Account, head: &str) -> Result<CheckRuns, GitHubError> {
        #[derive(Deserialize)]
        struct Runs {
            #[serde(default)]
            workflow_runs: Vec<CheckRun>,
        }
        let path = self.path(&format!("/actions/runs?head_sha={head}&per_page=100"));
        match account.read::<Runs>(&path).await {
            Err(error) if error.is_refusal() => Ok(CheckRuns::default()),
            runs => Ok(CheckRuns { check_runs: runs?.workflow_runs }),
        }
    }

    async fn reviews(
        &self,
        account: &Account,
        number: u64,
        head: &str,
        feedback: &mut String,
    ) -> Result<ReviewState, GitHubError> {
        let me = account.me().await?;
        let path = self.path(&format!("/pulls/{number}/reviews?per_page=100"));
        let (all, _) = account.pages::<Review>(&path, MAX_PAGES).await?;
        let last = last_words(&all, me, head);
        let asking: Vec<&&Review> =
            last.values().filter(|review| review.state == "CHANGES_REQUESTED").collect();
        if asking.is_empty() {
            let approved = last.values().any(|review| review.state == "APPROVED");
            let trusted = all.iter().any(|review| counts(review, me));
            return Ok(match (approved, trusted) {
                (true, _) => ReviewState::Approved,
                (false, true) => ReviewState::Commented,
                (false, false) => ReviewState::None,
            });
        }
        let path = self.path(&format!("/pulls/{number}/comments?per_page=100"));
        let (comments, _) = account.pages::<ReviewComment>(&path, MAX_PAGES).await?;
        for review in asking {
            let name = review.user.as_ref().map_or("", |user| user.login.as_str());
            let words = review.body.as_deref().unwrap_or_default();
            say(feedback, &format!("{} requests changes", one_line(name)), words);
            let own = |c: &&ReviewComment| c.pull_request_review_id == Some(review.id);
            for comment in comments.iter().filter(own) {
                let line = comment.line.map(|line| format!(":{line}")).unwrap_or_default();
                let place = format!("{}{line}", one_line(&comment.path));
                say(feedback, &place, comment.body.as_deref().unwrap_or_default());
            }
        }
        Ok(ReviewState::ChangesRequested)
    }
}

impl CheckRun {
    fn state(&self) -> CheckState {
        match (self.status.as_str(), self.conclusion.as_deref()) {
            ("completed", Some("success" | "neutral" | "skipped")) => CheckState::Passed,
            ("completed", Some("stale")) => CheckState::None,
            ("completed", _) => CheckState::Failed,
            _ => CheckState::Pending,
        }
    }

    fn words(&self) -> String {
        let output = self.output.as_ref();
        let part = |pick: fn(&Output) -> Option<&String>| output.and_then(pick).map(String::as_str);
        let conclusion = self.conclusion.as_deref();
        let parts = [
            conclusion.filter(|word| *word != "failure"),
            part(|output| output.title.as_ref()),
            part(|output| output.summary.as_ref()),
            part(|output| output.text.as_ref()),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }
}

/// All checks together.
fn all(found: &[CheckState]) -> CheckState {
    let any = |wanted| found.contains(&wanted);
    match (any(CheckState::Failed), any(CheckState::Pending), any(CheckState::Passed)) {
        (true, ..) => CheckState::Failed,
        (false, true, _) => CheckState::Pending,
        (false, false, true) => CheckState::Passed,
        (false, false, false) => CheckState::None,
    }
}

/// Whether a review is of somebody who may write, and not our own.
fn counts(review: &Review, me: &Me) -> bool {
    let own = review.user.as_ref().is_some_and(|user| user.login.eq_ignore_ascii_case(&me.login));
    !own && is_trusted(&review.author_association)
}

/// The last verdict of each reviewer on a commit; comments leave it as it is. What was asked for of
/// an earlier commit may be done by now: GitHub keeps showing it until there is another review.
fn last_words<'a>(reviews: &'a [Review], me: &Me, head: &str) -> BTreeMap<&'a str, &'a Review> {
    let mut last = BTreeMap::new();
    let of_head = |review: &&Review| review.commit_id.as_deref().is_none_or(|id| id == head);
    for review in reviews.iter().filter(|review| counts(review, me)).filter(of_head) {
        let name = review.user.as_ref().map_or("", |user| user.login.as_str());
        match review.state.as_str() {
            "APPROVED" | "CHANGES_REQUESTED" => drop(last.insert(name, review)),
            "DISMISSED" => drop(last.remove(name)),
            _ => {}
        }
    }
    last
}

fn say(feedback: &mut String, title: &str, words: &str) {
    if feedback.len() <= MAX_FEEDBACK {
        feedback.push_str(&format!("{title}:\n{}\n\n", shortened(words.trim(), MAX_WORDS)));
    }
}

fn one_line(text: &str) -> String {
    shortened(&text.replace(char::is_control, " "), 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(status: &str, conclusion: Option<&str>) -> CheckState {
        let (status, conclusion) = (status.to_owned(), conclusion.map(str::to_owned));
        CheckRun { name: None, status, conclusion, output: None }.state()
    }

    #[test]
    fn one_failure_outweighs_everything() {
        let good = run("completed", Some("success"));
        let open = run("in_progress", None);
        assert_eq!(all(&[]), CheckState::None);
        assert_eq!(all(&[good, run("completed", Some("skipped"))]), CheckState::Passed);
        assert_eq!(all(&[good, open]), CheckState::Pending);
        assert_eq!(all(&[good, open, run("completed", Some("timed_out"))]), CheckState::Failed);
        assert_eq!(all(&[run("completed", None)]), CheckState::Failed);
    }

    fn review(login: &str, state: &str, association: &str) -> Review {
        Review {
            id: 1,
            user: Some(Named { login: login.to_owned() }),
            state: state.to_owned(),
            body: None,
            author_association: association.to_owned(),
            commit_id: Some("c2".to_owned()),
        }
    }

    #[test]
    fn the_last_verdict_of_people_who_may_write_counts() {
        let me = Me { login: "bot".to_owned(), app: false, scopes: None };
        let old = Review {
            commit_id: Some("c1".to_owned()),
            ..review("c", "CHANGES_REQUESTED", "OWNER")
        };
        let said = [
            old,
            review("a", "CHANGES_REQUESTED", "MEMBER"),
            review("stranger", "CHANGES_REQUESTED", "NONE"),
            review("bot", "CHANGES_REQUESTED", "COLLABORATOR"),
            review("b", "CHANGES_REQUESTED", "OWNER"),
            review("a", "APPROVED", "MEMBER"),
            review("a", "COMMENTED", "MEMBER"),
            review("b", "DISMISSED", "OWNER"),
        ];
        let last = last_words(&said, &me, "c2");
        assert_eq!(last.len(), 1);
        assert_eq!(last["a"].state, "APPROVED");
    }
}
