//! The one pull request of a branch: found before it is opened.

use serde::Deserialize;
use serde_json::json;

use super::account::Account;
use super::comment::{defused, same};
use super::wire::{self, Method};
use super::{GitHub, GitHubError, escaped};
use crate::integrations::task::{NewPull, shortened};

/// The longest title that GitHub takes, in characters, and text, in bytes to be safe.
const MAX_TITLE: usize = 256;
const MAX_BODY: usize = 60_000;

/// The most pull requests of one branch that are read.
const MAX_PULLS: usize = 100;

/// A pull request as GitHub has it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Pull {
    pub(super) number: u64,
    pub(super) state: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    html_url: String,
    #[serde(default)]
    pub(super) merged_at: Option<String>,
    #[serde(default)]
    pub(super) merged: Option<bool>,
    pub(super) head: Side,
    base: Side,
}

/// One end of a pull request.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Side {
    #[serde(rename = "ref")]
    name: String,
    pub(super) sha: String,
    /// None if it was deleted.
    #[serde(default)]
    repo: Option<Repository>,
}

#[derive(Clone, Debug, Deserialize)]
struct Repository {
    full_name: String,
}

impl GitHub {
    /// Opens the pull request of a branch, or finds the one that is there and brings its words up
    /// to date. Gives its number and its address for people.
    ///
    /// # Errors
    /// [`GitHubError`]. After one that may pass, the same call finds what the first one did.
    pub async fn open_pull(&self, new: &NewPull) -> Result<(u64, String), GitHubError> {
        let account = self.account().await?;
        let title: String = new.title.chars().take(MAX_TITLE).collect();
        // The first line is the node's own: it closes the issue. All else may be of the model.
        let (first, rest) = new.body.split_once('\n').unwrap_or((&new.body, ""));
        let body = shortened(&format!("{first}\n{}", defused(rest)), MAX_BODY);
        if let Some(found) = self.pull_of(&account, new).await? {
            return self.refresh(&account, found, &title, &body).await;
        }
        let path = self.path("/pulls");
        let mut draft = self.draft;
        let made = loop {
            let ask = json!({
                "title": title, "head": new.branch, "base": self.base, "body": body, "draft": draft,
            });
            match account.write(Method::Post, &path, Some(&ask)).await {
                // Drafts are not in every plan.
                Err(GitHubError::Refused { message, .. })
                    if draft && message.to_lowercase().contains("draft") =>
                {
                    draft = false;
                }
                made => break made,
            }
        };
        match made {
            Ok(answer) => {
                let pull: Pull = wire::read(&format!("POST {path}"), &answer.body)?;
                Ok((pull.number, place(&pull)))
            }
            // Another process of this node, or an earlier try that got no answer.
            Err(refused @ GitHubError::Refused { code: 422, .. }) => {
                let found = self.pull_of(&account, new).await?.ok_or(refused)?;
                self.refresh(&account, found, &title, &body).await
            }
            Err(error) => Err(error),
        }
    }

    /// The pull request of a branch: the open one, or else the one that was closed or merged with
    /// just this commit.
    async fn pull_of(&self, account: &Account, new: &NewPull) -> Result<Option<Pull>, GitHubError> {
        let own = format!("{}/{}", self.owner, self.name);
        let path = self.path(&format!(
            "/pulls?state=all&head={}:{}&base={}&per_page={MAX_PULLS}",
            escaped(&self.owner),
            escaped(&new.branch),
            escaped(&self.base)
        ));
        let (mut pulls, _) = account.pages::<Pull>(&path, 1).await?;
        // A head that GitHub does not understand filters nothing.
        pulls.retain(|pull| {
            let repository = pull.head.repo.as_ref().map(|repo| repo.full_name.as_str());
            pull.head.name == new.branch
                && pull.base.name == self.base
                && repository.is_some_and(|name| name.eq_ignore_ascii_case(&own))
        });
        pulls.sort_by_key(|pull| pull.number);
        let open = pulls.iter().find(|pull| pull.state == "open");
        let over = pulls.iter().rev().find(|pull| pull.head.sha == new.commit);
        Ok(open.or(over).cloned())
    }

    async fn refresh(
        &self,
        account: &Account,
        found: Pull,
        title: &str,
        body: &str,
    ) -> Result<(u64, String), GitHubError> {
        let old = found.body.as_deref().unwrap_or_default();
        if found.state == "open" && !(found.title == title && same(old, body)) {
            let path = self.path(&format!("/pulls/{}", found.number));
            let ask = json!({ "title": title, "body": body });
            account.write(Method::Patch, &path, Some(&ask)).await?;
        }
        Ok((found.number, place(&found)))
    }
}

/// Where people find it.
fn place(pull: &Pull) -> String {
    let url = wire::clean(&pull.html_url);
    match url.starts_with("https://") || url.starts_with("http://") {
        true => url,
        false => format!("pull request {}", pull.number),
    }
}
