//! Reading issues: the open ones with one of the labels, and those that the swarm knows already.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tracing::debug;

use super::account::{Account, PAGE};
use super::{GitHub, GitHubError, escaped};
use crate::integrations::task::{Reference, references, shortened};
use crate::kernel::agent::IssueRead;

/// The most pages that are read of the issues with one label.
const MAX_PAGES: usize = 20;

/// The most issues that are read one by one at one time: known ones that the list does not show,
/// and those of other repositories that something depends on.
const MAX_SINGLE: usize = 20;

/// The most labels of an issue that are kept; GitHub allows 100.
const MAX_LABELS: usize = 100;

/// The longest label that is kept, in bytes.
const MAX_LABEL: usize = 256;

/// The longest title and text that are kept, in bytes: GitHub allows 256 and 65,536 characters.
const MAX_TITLE: usize = 1024;
const MAX_TEXT: usize = 64 << 10;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The issues, by number.
    pub issues: Vec<IssueRead>,
    /// Issues that the swarm knows and GitHub has no more: deleted, or moved away.
    pub gone: Vec<u64>,
    /// What could not be read, and why.
    pub faults: Vec<String>,
}

/// An issue as GitHub has it.
#[derive(Debug, Deserialize)]
pub(super) struct Issue {
    number: u64,
    #[serde(default)]
    title: String,
    #[serde(default)]
    body: Option<String>,
    state: String,
    #[serde(default)]
    pub(super) labels: Vec<Label>,
    #[serde(default)]
    pub(super) assignees: Vec<super::Named>,
    /// Pull requests are issues too.
    #[serde(default)]
    pull_request: Option<serde::de::IgnoredAny>,
}

/// GitHub documents both forms.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Label {
    Named {
        #[serde(default)]
        name: Option<String>,
    },
    Plain(String),
}

impl Label {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Named { name } => name.as_deref().unwrap_or_default(),
            Self::Plain(name) => name,
        }
    }
}

impl GitHub {
    /// The open issues with one of the labels, and the known ones that are not among them.
    ///
    /// # Errors
    /// [`GitHubError`] if the list could not be read; what is wrong with a single issue is in the
    /// answer.
    pub async fn issues(&self, known: &[u64], round: u64) -> Result<Read, GitHubError> {
        let account = self.account().await?;
        let mut read = Read::default();
        let mut listed = BTreeMap::new();
        for label in &self.labels {
            let path = self.path(&format!(
                "/issues?state=open&labels={}&sort=created&direction=asc&per_page={PAGE}",
                escaped(label)
            ));
            let (page, whole) = account.pages::<Issue>(&path, MAX_PAGES).await?;
            if !whole {
                let most = MAX_PAGES * PAGE;
                read.faults.push(format!("only {most} issues with the label {label} are read"));
            }
            let issues = page.into_iter().filter(|issue| issue.pull_request.is_none());
            listed.extend(issues.map(|issue| (issue.number, issue)));
        }
        let missing: Vec<u64> =
            known.iter().copied().filter(|number| !listed.contains_key(number)).collect();
        self.read_single(&account, &missing, round, &mut listed, &mut read).await;
        let mut hidden = self.waiting_elsewhere(&account, &listed, &mut read).await;
        hidden.retain(|number| !known.contains(number));
        listed.retain(|number, _| !hidden.contains(number));
        read.issues = listed.into_values().map(|issue| self.plain(issue)).collect();
        Ok(read)
    }

    /// Whether these issues and pull requests of the repository are closed, as far as they were
    /// read: a part of them each time. And what could not be read.
    ///
    /// # Errors
    /// [`GitHubError`] if there is no way to ask.
    pub async fn closed(
        &self,
        numbers: &[u64],
        round: u64,
    ) -> Result<(BTreeMap<u64, bool>, Vec<String>), GitHubError> {
        let (mut found, mut read) = (BTreeMap::new(), Read::default());
        if !numbers.is_empty() {
            let account = self.account().await?;
            self.read_single(&account, numbers, round, &mut found, &mut read).await;
        }
        let gone = read.gone.iter();
        read.faults.extend(gone.map(|number| format!("there is no issue {number} to wait for")));
        let closed = found.into_iter().map(|(number, issue)| (number, issue.state == "closed"));
        Ok((closed.collect(), read.faults))
    }

    /// Reads known issues that the list does not show, a part of them each time.
    async fn read_single(
        &self,
        account: &Account,
        missing: &[u64],
        round: u64,
        listed: &mut BTreeMap<u64, Issue>,
        read: &mut Read,
    ) {
        let parts = missing.len().div_ceil(MAX_SINGLE).max(1) as u64;
        let part = usize::try_from(round % parts).unwrap_or_default();
        for number in missing.iter().skip(part * MAX_SINGLE).take(MAX_SINGLE) {
            match account.read::<Issue>(&self.path(&format!("/issues/{number}"))).await {
                Ok(issue) if issue.number == *number => drop(listed.insert(*number, issue)),
                Ok(_) => read.faults.push(format!("issue {number} is answered with another one")),
                Err(GitHubError::NotFound { .. } | GitHubError::Redirected { .. }) => {
                    read.gone.push(*number);
                }
                Err(error) => {
                    read.faults.push(error.to_string());
                    if matches!(error, GitHubError::Limited { .. }) {
                        return;
                    }
                }
            }
        }
    }

    /// The issues that depend on an open one of another repository: they are left out until that
    /// is closed.
    async fn waiting_elsewhere(
        &self,
        account: &Account,
        listed: &BTreeMap<u64, Issue>,
        read: &mut Read,
    ) -> BTreeSet<u64> {
        let mut hidden = BTreeSet::new();
        let mut closed: BTreeMap<String, bool> = BTreeMap::new();
        for issue in listed.values() {
            for other in references(issue.body.as_deref().unwrap_or_default()) {
                let Some(repository) = self.elsewhere(other.repository) else { continue };
                let path = format!("/repos/{repository}/issues/{}", other.number);
                let known = closed.get(&path).copied();
                let is_closed = match known {
                    Some(is_closed) => is_closed,
                    None if closed.len() >= MAX_SINGLE => false,
                    None => match account.read::<Issue>(&path).await {
                        Ok(found) => found.state == "closed",
                        Err(error) => {
                            let number = issue.number;
                            read.faults.push(format!("what issue {number} depends on: {error}"));
                            false
                        }
                    },
                };
                closed.insert(path, is_closed);
                if !is_closed {
                    debug!(issue = issue.number, repository, other.number, "waits for another");
                    hidden.insert(issue.number);
                }
            }
        }
        hidden
    }

    /// An issue in plain words, bounded.
    fn plain(&self, issue: Issue) -> IssueRead {
        let body = issue.body.unwrap_or_default();
        let labels = issue.labels.iter().map(|label| shortened(label.name(), MAX_LABEL));
        let own = |reference: Reference| {
            let is_other = reference.number != issue.number;
            (is_other && self.elsewhere(reference.repository).is_none()).then_some(reference.number)
        };
        // The same number may be named with and without the repository.
        let depends_on: BTreeSet<u64> = references(&body).into_iter().filter_map(own).collect();
        IssueRead {
            number: issue.number,
            title: shortened(&issue.title, MAX_TITLE),
            labels: labels.take(MAX_LABELS).collect(),
            depends_on: depends_on.into_iter().collect(),
            open: issue.state == "open",
            body: shortened(&body, MAX_TEXT),
        }
    }

    /// A repository that is not this one.
    fn elsewhere(&self, repository: Option<String>) -> Option<String> {
        let own = format!("{}/{}", self.owner, self.name).to_ascii_lowercase();
        repository.filter(|other| *other != own)
    }

    /// One issue, for what is to be changed of it.
    pub(super) async fn issue(&self, account: &Account, number: u64) -> Result<Issue, GitHubError> {
        account.read(&self.path(&format!("/issues/{number}"))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_label_are_read() {
        let issue: Issue = serde_json::from_str(
            r#"{"number": 3, "title": "T", "body": null, "state": "open",
                "labels": ["a", {"name": "b", "color": "f"}, {"name": null}], "user": null}"#,
        )
        .unwrap();
        let labels: Vec<&str> = issue.labels.iter().map(Label::name).collect();
        assert_eq!(labels, ["a", "b", ""]);
    }
}
