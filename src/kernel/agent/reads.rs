//! What was read outside becomes events: issues, claim refs, consent.

use super::input::{Input, IssueRead, RefRead};
use super::references::references;
use super::{Agent, Now};
use crate::kernel::event::kinds::{
    ClaimLost, ClaimSeen, DependencyDetected, RepositoryConsent, RepositorySeen, Source, TaskSeen,
    cut,
};
use crate::kernel::event::{Claim, ClaimStatus, Draft, TaskId};
use crate::kernel::fold::{Consent, SwarmState};

/// The longest text of an issue that is kept, in bytes.
const MAX_ISSUE_TEXT: usize = 32 * 1024;

impl Agent {
    /// Whether new tasks of a repository may be claimed from now on.
    pub fn set_ready(&mut self, repository: String, ready: bool) {
        match ready {
            true => self.local.not_ready.remove(&repository),
            false => self.local.not_ready.insert(repository),
        };
    }

    /// What a repository says of itself, and what Hive says of it.
    pub(super) fn was_read(&mut self, state: &SwarmState, input: Input) -> Vec<Draft> {
        match input {
            Input::Consent { repository, allowed, source, reason } => {
                let known = state.repositories.get(&repository);
                let last = known.and_then(|known| known.consents.get(&self.me));
                let (source, reason) = (cut(&source, 256), cut(&reason, 1024));
                let same = |last: &Consent| {
                    last.allowed == allowed && last.source == source && last.reason == reason
                };
                if known.is_none() || last.is_some_and(same) {
                    return Vec::new();
                }
                vec![Draft::general(RepositoryConsent { repository, allowed, source, reason })]
            }
            Input::Ready { repository, ready } => {
                self.set_ready(repository, ready);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// A repository comes to those that are worked on. That is said of a member once; what comes
    /// before the agent says that it started is said there.
    pub(super) fn take_up(
        &mut self,
        state: &SwarmState,
        repository: String,
        url: String,
        branch: String,
    ) -> Vec<Draft> {
        let place = (url.clone(), branch.clone());
        if self.config.repositories.insert(repository.clone(), place).is_some() {
            return Vec::new();
        }
        self.local.forget_repository(state, &repository);
        let known = state.repositories.get(&repository);
        let said = known.is_some_and(|known| known.nodes.contains(&self.me));
        if said || !state.members.stands(&self.me, 0) {
            return Vec::new();
        }
        vec![Draft::general(RepositorySeen { repository, url, branch })]
    }

    /// A repository is let go. Tasks of it that this node owns stay its own.
    pub(super) fn let_go(&mut self, state: &SwarmState, repository: &str) {
        if self.config.repositories.remove(repository).is_some() {
            self.local.forget_repository(state, repository);
        }
    }

    pub(super) fn refs_read(
        &mut self,
        state: &SwarmState,
        repository: String,
        refs: Vec<RefRead>,
        now: Now,
    ) -> Vec<Draft> {
        let mut drafts = Vec::new();
        let ids = |task: &crate::kernel::fold::Task| task.repository == repository;
        let held: Vec<TaskId> = refs.iter().map(|r| TaskId::of(&repository, r.issue)).collect();
        let known = state.tasks.values().filter(|task| ids(task)).map(|task| task.id);
        for gone in known.filter(|id| !held.contains(id)).collect::<Vec<_>>() {
            // Its issue is to be read after this, before the ref is taken to be free.
            self.local.open.remove(&gone);
            self.local.watch(gone, None, now.mono_ms);
        }
        for (read, id) in refs.into_iter().zip(held) {
            drafts.extend(self.ref_read(state, id, read, now));
        }
        self.local.read.insert(repository);
        drafts
    }

    /// A ref was read: somebody's claim is remembered as seen once, and a claim that this node
    /// had and has no more is given up.
    fn ref_read(
        &mut self,
        state: &SwarmState,
        task: TaskId,
        read: RefRead,
        now: Now,
    ) -> Option<Draft> {
        self.local.watch(task, Some(read.clone()), now.mono_ms);
        let claim = read.claim.filter(|claim| claim.author != self.me)?;
        let known = state.tasks.get(&task)?;
        if let Some(epoch) = self.own_epoch(state, task)
            && epoch.is_active()
            && claim.epoch >= epoch.number
        {
            let holder = Some((claim.author, claim.epoch));
            let (epoch, commit) = (epoch.number, Some(read.commit));
            return Some(Draft::about(task, ClaimLost { epoch, commit, holder }));
        }
        let epoch = known.epochs.get(&claim.epoch)?;
        let told = epoch.seen.get(&claim.author).is_some_and(|by| by.contains(&self.me));
        let Claim { author: holder, epoch, status, .. } = claim;
        (!told)
            .then(|| Draft::about(task, ClaimSeen { holder, epoch, commit: read.commit, status }))
    }
}

impl Agent {
    /// The issues of other repositories that an issue says it depends on, as far as this node is
    /// configured for them and has not said so before.
    pub(super) fn stated(
        &self,
        state: &SwarmState,
        repository: &str,
        issue: &IssueRead,
    ) -> Vec<Draft> {
        let id = TaskId::of(repository, issue.number);
        let known = state.tasks.get(&id);
        let mut drafts = Vec::new();
        for (other, number, place) in self.named(repository, &issue.body) {
            let said = known.and_then(|known| known.detected.get(&TaskId::of(other, number)));
            if !said.is_some_and(|said| said.by.contains(&self.me)) {
                let found = DependencyDetected {
                    repository: other.to_owned(),
                    issue: number,
                    source: Source::Stated,
                    confidence: 100,
                    evidence: vec![format!("the issue names {place}#{number}")],
                };
                drafts.push(Draft::about(id, found));
            }
        }
        drafts
    }

    /// The issues of other repositories that a text names as what it depends on, as far as this
    /// node is configured for them: the repository's name, the number, and the place as it is
    /// written there.
    pub(super) fn named(&self, repository: &str, body: &str) -> Vec<(&str, u64, String)> {
        let named = references(body).into_iter().filter_map(|reference| {
            let place = reference.repository?;
            let mut names = self.config.repositories.iter();
            let (other, _) = names.find(|(name, (url, _))| is_at(&place, name, url))?;
            (other != repository).then_some((other.as_str(), reference.number, place))
        });
        named.collect()
    }
}

/// Whether `OWNER/NAME`, in small letters, is this repository: by its name, or by the end of its
/// URL.
fn is_at(place: &str, name: &str, url: &str) -> bool {
    let url = url.to_ascii_lowercase();
    let url = url.trim_end_matches('/').trim_end_matches(".git");
    let ends = url.strip_suffix(place).is_some_and(|before| before.ends_with(['/', ':']));
    ends || name.eq_ignore_ascii_case(place)
}

/// What is to be said of an issue, if it reads otherwise than before.
pub(super) fn seen(state: &SwarmState, repository: &str, issue: IssueRead) -> Option<Draft> {
    let seen = TaskSeen {
        repository: repository.to_owned(),
        issue: issue.number,
        title: cut(&issue.title, 512),
        body: cut(&issue.body, MAX_ISSUE_TEXT),
        labels: issue.labels.iter().take(32).map(|label| cut(label, 128)).collect(),
        depends_on: issue.depends_on.into_iter().take(32).collect(),
        open: issue.open,
    };
    let id = TaskId::of(repository, seen.issue);
    let known = state.tasks.get(&id).is_some_and(|task| task.reads_as(&seen));
    (!known).then(|| Draft::about(id, seen))
}

/// Whether a claim in the ref keeps others away for good.
pub(super) fn is_settled(status: ClaimStatus) -> bool {
    matches!(status, ClaimStatus::Published | ClaimStatus::Escalated)
}
