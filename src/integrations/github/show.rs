//! What a node shows of a task on its issue: assignee, labels and one comment.

use serde::Deserialize;
use serde_json::json;
use tracing::warn;

use super::account::{Account, Me};
use super::comment::{self, Part};
use super::wire::Method;
use super::{GitHub, GitHubError, Named, escaped, is_trusted};
use crate::integrations::task::{Assignment, Projection, State};

/// The most pages of comments that are read to find ours; they come oldest first.
const MAX_PAGES: usize = 20;

/// A comment as GitHub has it.
#[derive(Clone, Debug, Deserialize)]
struct Comment {
    id: u64,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    user: Option<Named>,
    #[serde(default)]
    author_association: String,
}

impl Comment {
    fn is_by(&self, me: &Me) -> bool {
        self.user.as_ref().is_some_and(|user| user.login.eq_ignore_ascii_case(&me.login))
    }
}

impl GitHub {
    /// Shows the state of a task on its issue. A repetition writes nothing. What GitHub refuses
    /// for good is logged, and the rest is done.
    ///
    /// # Errors
    /// [`GitHubError`] for what may work later, or needs another configuration.
    pub async fn project(&self, number: u64, projection: &Projection) -> Result<(), GitHubError> {
        let account = self.account().await?;
        let issue = self.issue(&account, number).await?;
        let path = self.path(&format!("/issues/{number}"));
        let has = |name: &String| {
            issue.labels.iter().any(|label| label.name().eq_ignore_ascii_case(name))
        };
        let add: Vec<&String> = projection.add_labels.iter().filter(|name| !has(name)).collect();
        if !add.is_empty() {
            let body = json!({ "labels": add });
            let said = account.write(Method::Post, &format!("{path}/labels"), Some(&body)).await;
            tolerate("label the issue", said)?;
        }
        for name in projection.remove_labels.iter().filter(|name| has(name)) {
            let path = format!("{path}/labels/{}", escaped(name));
            match account.write(Method::Delete, &path, None).await {
                // Somebody else was quicker.
                Err(GitHubError::NotFound { .. }) => {}
                said => tolerate("remove a label", said)?,
            }
        }
        if let Some(state) = projection.state {
            let state = if state == State::Open { "open" } else { "closed" };
            let body = json!({ "state": state });
            tolerate("set the state", account.write(Method::Patch, &path, Some(&body)).await)?;
        }
        let me = account.me().await?;
        let assigned = issue.assignees.iter().any(|who| who.login.eq_ignore_ascii_case(&me.login));
        let method = match projection.assignee {
            Assignment::To(_) if !assigned && !me.app => Method::Post,
            Assignment::Nobody if assigned => Method::Delete,
            _ => return Ok(()),
        };
        self.assign(&account, number, method, &[&me.login]).await
    }

    async fn assign(
        &self,
        account: &Account,
        number: u64,
        method: Method,
        who: &[&str],
    ) -> Result<(), GitHubError> {
        let path = self.path(&format!("/issues/{number}/assignees"));
        let body = json!({ "assignees": who });
        tolerate("assign the issue", account.write(method, &path, Some(&body)).await)
    }

    /// Says something in an epoch of a task: the task's one comment is written, or edited. Of
    /// several writers at once the oldest comment stays, and the others remove theirs.
    ///
    /// # Errors
    /// As [`GitHub::project`].
    pub async fn comment(
        &self,
        number: u64,
        task: &str,
        epoch: u64,
        text: &str,
    ) -> Result<(), GitHubError> {
        let account = self.account().await?;
        let me = account.me().await?.clone();
        let part = Part { epoch, by: me.login.clone(), text: text.to_owned() };
        let (mut found, whole) = self.comments(&account, number, task, &me).await?;
        if found.is_empty() {
            if !whole {
                warn!(issue = number, "the issue has too many comments to find ours among them");
                return Ok(());
            }
            let body = json!({ "body": comment::with("", task, part.clone()) });
            let path = self.path(&format!("/issues/{number}/comments"));
            let said = account.write(Method::Post, &path, Some(&body)).await;
            if said.is_err() {
                return tolerate("comment", said);
            }
            (found, _) = self.comments(&account, number, task, &me).await?;
        }
        let Some((oldest, others)) = found.split_first() else { return Ok(()) };
        for other in others.iter().filter(|other| other.is_by(&me)) {
            let path = self.path(&format!("/issues/comments/{}", other.id));
            match account.write(Method::Delete, &path, None).await {
                Err(GitHubError::NotFound { .. }) => {}
                said => tolerate("remove a second comment", said)?,
            }
        }
        let before = oldest.body.as_deref().unwrap_or_default();
        // An earlier owner is not assigned any more.
        let earlier = comment::parts(before);
        let earlier = earlier.iter().filter(|part| part.epoch < epoch && part.by != me.login);
        let earlier: Vec<&str> = earlier.map(|part| part.by.as_str()).collect();
        if !earlier.is_empty() {
            let issue = self.issue(&account, number).await?;
            let assigned = |by: &&str| issue.assignees.iter().any(|who| who.login == **by);
            let earlier: Vec<&str> = earlier.into_iter().filter(assigned).collect();
            if !earlier.is_empty() {
                self.assign(&account, number, Method::Delete, &earlier).await?;
            }
        }
        let after = comment::with(before, task, part);
        if comment::same(before, &after) {
            return Ok(());
        }
        let path = self.path(&format!("/issues/comments/{}", oldest.id));
        let said = account.write(Method::Patch, &path, Some(&json!({ "body": after }))).await;
        tolerate("edit the comment", said)
    }

    /// The comments of a task, oldest first, and whether all comments of the issue were read. Only
    /// those of this account and of people who may write count: anybody can copy a mark.
    async fn comments(
        &self,
        account: &Account,
        number: u64,
        task: &str,
        me: &Me,
    ) -> Result<(Vec<Comment>, bool), GitHubError> {
        let path = self.path(&format!("/issues/{number}/comments?per_page=100"));
        let (mut all, whole) = account.pages::<Comment>(&path, MAX_PAGES).await?;
        let mark = comment::mark(task);
        all.retain(|comment| {
            let marked = comment.body.as_deref().is_some_and(|body| body.starts_with(&mark));
            marked && (comment.is_by(me) || is_trusted(&comment.author_association))
        });
        all.sort_by_key(|comment| comment.id);
        Ok((all, whole))
    }
}

/// What GitHub will never do is no reason to try again: an issue whose conversation is locked, a
/// label that the token may not set. It shows something, and decides nothing.
fn tolerate<T>(what: &str, said: Result<T, GitHubError>) -> Result<(), GitHubError> {
    match said {
        Ok(_) => Ok(()),
        Err(error) if error.is_refusal() => {
            warn!(%error, "could not {what}; it is left as it is");
            Ok(())
        }
        Err(error) => Err(error),
    }
}
