//! Repositories that only Hive names, taken up while the node runs and let go again, if the
//! configuration allows it (`hive.take_up`). Hive can choose among what `hive.owners` has; it can
//! not say where a repository is, nor have more than `hive.max_repositories` at once.

mod memory;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::{debug, info, warn};

use self::memory::{Memory, Remembered};
use self::rules::Rules;
use super::clock;
use super::config::{self, Config};
use super::home::Home;
use super::outside::Vetted;
use super::work::Hands;
use crate::integrations::hive::{Project, place};
use crate::kernel::agent::Input;
use crate::kernel::fold::{IntentResult, SwarmState};
use crate::kernel::identity::AuthorId;

pub(super) use self::rules::Wanted;

/// How many refusals of one look are named in the log.
const MAX_NAMED: usize = 5;

/// How many repositories are opened in one round: each may be a clone.
const MAX_OPENED: usize = 4;

/// The longest wait before a repository that could not be opened is tried again, in milliseconds.
const LONGEST_WAIT_MS: u64 = 3_600_000;

/// How often the file is written at least, in milliseconds, while Hive says the same.
const WRITE_MS: u64 = 60_000;

/// For how long GitHub's word counts that the node may work in a repository, in milliseconds.
const VETTED_MS: u64 = 600_000;

/// What is taken up, and by which rules.
#[derive(Debug)]
pub(super) struct TakeUp {
    rules: Rules,
    hive: String,
    max: usize,
    keep_ms: u64,
    poll_ms: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Hive's last word, by the names of the repositories.
    word: BTreeMap<String, Wanted>,
    /// When it was heard, by the wall clock, and until when it counts, by the monotonic one.
    heard_ms: u64,
    until_ms: u64,
    /// What is open here.
    taken: BTreeMap<String, Wanted>,
    /// What the agent was told to be ready.
    ready: BTreeMap<String, bool>,
    /// Those let go of which nothing was left to do at the last look.
    idle: BTreeSet<String>,
    /// How often a repository could not be opened, and when it may be tried again.
    waits: BTreeMap<String, (u32, u64)>,
    /// Until when GitHub's word on what is open counts, by the monotonic clock. It is asked again
    /// after a restart: the configuration may have changed as well.
    vetted: BTreeMap<String, u64>,
    /// What was logged of a project that is not taken up.
    refused: BTreeMap<String, String>,
    written: Option<Memory>,
}

impl Kept {
    /// What is to be opened now, in the order of the names.
    fn due(&self, max: usize, now_ms: u64) -> Vec<Wanted> {
        let room = max.saturating_sub(self.taken.len()).min(MAX_OPENED);
        let due = self.word.iter().filter(|(name, wanted)| {
            let waits = self.waits.get(*name).is_some_and(|(_, until)| now_ms < *until);
            wanted.ready && !waits && !self.taken.contains_key(*name)
        });
        due.map(|(_, wanted)| wanted.clone()).take(room).collect()
    }

    fn memory(&self, hive: &str) -> Memory {
        let repositories = self.taken.iter().map(|(name, wanted)| Remembered {
            repository: wanted.repository.clone(),
            branch: wanted.branch.clone(),
            project: wanted.project,
            listed: self.word.contains_key(name),
            ready: self.word.get(name).is_some_and(|said| said.ready),
        });
        Memory::new(hive, self.heard_ms, repositories.collect())
    }
}

/// What was taken up before, as far as the configuration still allows it; the listed ones first.
/// With it, when that was heard. A file that cannot be read is as none.
fn recall(rules: &Rules, config: &Config, path: &Path) -> (Vec<(Wanted, bool)>, u64) {
    let memory = match Memory::read(path) {
        Ok(Some(memory)) => memory,
        Ok(None) => return (Vec::new(), 0),
        Err(error) => {
            let file = path.display();
            warn!(%file, error, "Hive's last word cannot be read; the node goes on without it");
            return (Vec::new(), 0);
        }
    };
    let same = Some(&memory.hive) == config.hive.url.as_ref();
    let mut found = BTreeMap::new();
    for Remembered { repository, branch, project, listed, ready } in memory.repositories {
        match rules.check(&repository, &branch, project, ready) {
            Ok(wanted) => {
                found.insert(wanted.name.clone(), (wanted, listed && same));
            }
            Err(reason) => {
                info!(repository, reason, "what was taken from Hive is left alone now");
            }
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by_key(|(_, listed)| !listed);
    found.truncate(usize::try_from(config.hive.max_repositories).unwrap_or(usize::MAX));
    (found, memory.heard_ms)
}

/// Name and branch of what is taken up by a node of this home, for one that does not run it.
pub(super) fn remembered(config: &Config) -> Vec<(String, String)> {
    let path = Home::at(&config.home).hive_file();
    let recalled = Rules::of(config).map(|rules| recall(&rules, config, &path).0);
    let names = recalled.into_iter().flatten();
    names.map(|(wanted, _)| (wanted.name, wanted.branch)).collect()
}

impl TakeUp {
    /// Nothing, unless the configuration allows it.
    pub(super) fn of(config: &Config) -> Option<Self> {
        Some(Self {
            rules: Rules::of(config)?,
            hive: config.hive.url.clone()?,
            max: usize::try_from(config.hive.max_repositories).unwrap_or(usize::MAX),
            keep_ms: config.hive.keep_seconds.saturating_mul(1_000),
            poll_ms: config.hive.poll_seconds.saturating_mul(1_000),
            kept: Mutex::default(),
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes Hive's last word from the file; gives what is to be opened before the node works.
    pub(super) fn recall(&self, config: &Config, home: &Home) -> Vec<(Wanted, config::Repository)> {
        let (found, heard_ms) = recall(&self.rules, config, &home.hive_file());
        let age_ms = clock::wall_ms().saturating_sub(heard_ms);
        let left_ms = self.keep_ms.saturating_sub(age_ms);
        let mut kept = self.kept();
        kept.heard_ms = heard_ms;
        kept.until_ms = clock::now().mono_ms.saturating_add(left_ms);
        let listed = found.iter().filter(|(_, listed)| *listed && left_ms > 0);
        kept.word = listed.map(|(wanted, _)| (wanted.name.clone(), wanted.clone())).collect();
        let entry = |(wanted, _): (Wanted, bool)| (wanted.clone(), self.rules.entry(&wanted));
        found.into_iter().map(entry).collect()
    }

    /// A repository is open.
    pub(super) fn opened(&self, wanted: &Wanted) {
        let mut kept = self.kept();
        kept.waits.remove(&wanted.name);
        kept.taken.insert(wanted.name.clone(), wanted.clone());
    }

    /// The names and branches of what is open.
    pub(super) fn taken(&self) -> Vec<(String, String)> {
        let kept = self.kept();
        kept.taken.values().map(|wanted| (wanted.name.clone(), wanted.branch.clone())).collect()
    }

    /// By which Hive names a repository that is or was taken up.
    pub(super) fn project(&self, repository: &str) -> Option<u64> {
        let kept = self.kept();
        let known = kept.word.get(repository).or_else(|| kept.taken.get(repository));
        known.map(|wanted| wanted.project)
    }

    /// Hive gave its list.
    pub(super) fn heard(&self, projects: &BTreeMap<String, Project>) {
        let (mut word, mut refused) = (BTreeMap::new(), BTreeMap::new());
        for (place, project) in projects {
            match self.rules.judge(project) {
                None => {}
                Some(Ok(wanted)) => drop(word.insert(wanted.name.clone(), wanted)),
                Some(Err(reason)) => drop(refused.insert(place.clone(), reason)),
            }
        }
        let mut kept = self.kept();
        let new = refused.iter().filter(|(place, why)| kept.refused.get(*place) != Some(*why));
        for (place, reason) in new.clone().take(MAX_NAMED) {
            warn!(place, reason, "a repository that Hive lists is not taken up");
        }
        let more = new.count().saturating_sub(MAX_NAMED);
        if more > 0 {
            warn!(more, "further repositories that Hive lists are not taken up");
        }
        kept.waits.retain(|name, _| word.contains_key(name));
        (kept.word, kept.refused) = (word, refused);
        kept.heard_ms = clock::wall_ms();
        kept.until_ms = clock::now().mono_ms.saturating_add(self.keep_ms);
    }

    /// Hive gave no list: its last word counts for a while.
    pub(super) fn missed(&self) {
        let mut kept = self.kept();
        if clock::now().mono_ms >= kept.until_ms && !kept.word.is_empty() {
            warn!("Hive's last word is too old: what was taken from it is let go");
            kept.word.clear();
        }
    }

    /// Nothing is claimed in what was taken up before Hive was asked.
    pub(super) async fn hold(&self, hands: &Hands) {
        for (repository, _) in self.taken() {
            let _ = hands.inputs.send(Input::Ready { repository, ready: false }).await;
        }
    }

    /// Brings what is open in line with Hive's last word.
    pub(super) async fn follow(&self, hands: &Hands) {
        self.vet(hands).await;
        self.pass_on(hands).await;
        let due = self.kept().due(self.max, clock::now().mono_ms);
        for wanted in due {
            self.take(hands, &wanted).await;
        }
        self.close(hands).await;
        self.remember(&hands.home);
    }

    /// Asks GitHub again whether the node may work in what is open. What it may not is as if Hive
    /// had dropped it.
    async fn vet(&self, hands: &Hands) {
        let now_ms = clock::now().mono_ms;
        let due: Vec<String> = {
            let kept = self.kept();
            let fresh = |name: &str| kept.vetted.get(name).is_some_and(|until| now_ms < *until);
            let listed = kept.taken.keys().filter(|name| kept.word.contains_key(*name));
            listed.filter(|name| !fresh(name)).cloned().collect()
        };
        let vetted = Vetted { private: self.rules.private };
        for name in due {
            match hands.outside.objection(&name, &vetted).await {
                Ok(None) => {
                    self.kept().vetted.insert(name, now_ms.saturating_add(VETTED_MS));
                }
                Ok(Some(why)) => {
                    warn!(repository = name, why, "what was taken up is not worked on any more");
                    self.kept().word.remove(&name);
                }
                Err(error) => debug!(repository = name, error, "GitHub does not say"),
            }
        }
    }

    /// Tells the agent what is open and ready. It is said each time: a node that doesn't know its
    /// own log yet listens to nobody.
    async fn pass_on(&self, hands: &Hands) {
        let mut inputs = Vec::new();
        {
            let mut kept = self.kept();
            let Kept { word, taken, ready: told, .. } = &mut *kept;
            for (name, wanted) in taken.iter_mut() {
                let listed = word.get(name);
                let ready = listed.is_some_and(|listed| listed.ready);
                wanted.project = listed.map_or(wanted.project, |listed| listed.project);
                if told.insert(name.clone(), ready) != Some(ready) {
                    let branch = &wanted.branch;
                    info!(repository = name, listed = listed.is_some(), ready, branch, "Hive");
                }
                inputs.push((name.clone(), wanted.branch.clone(), ready));
            }
        }
        for (repository, branch, ready) in inputs {
            let Some(open) = hands.outside.repositories.get(&repository) else { continue };
            let url = open.remote_shown();
            let taken = Input::TakeUp { repository: repository.clone(), url, branch };
            // The loop takes nothing more when the node stops.
            let _ = hands.inputs.send(taken).await;
            let _ = hands.inputs.send(Input::Ready { repository, ready }).await;
        }
    }

    /// Opens a repository, once GitHub has said that the node may work in it.
    async fn take(&self, hands: &Hands, wanted: &Wanted) {
        let (name, entry) = (&wanted.name, self.rules.entry(wanted));
        let vetted = Vetted { private: self.rules.private };
        if let Err(error) = hands.outside.open_one(&hands.home, &entry, vetted).await {
            let mut kept = self.kept();
            let (failures, until_ms) = kept.waits.entry(name.clone()).or_default();
            let wait_ms = self.poll_ms.saturating_mul(1 << (*failures).min(12));
            *until_ms = clock::now().mono_ms.saturating_add(wait_ms.min(LONGEST_WAIT_MS));
            *failures = failures.saturating_add(1);
            warn!(repository = name, error, "a repository that Hive lists cannot be taken up");
            return;
        }
        self.opened(wanted);
        self.kept().ready.insert(name.clone(), true);
        info!(repository = name, remote = entry.url, "taken up, as Hive says");
        let other = hands.engine.read(|state| other_name(state, name, &entry.url));
        if let Some(other) = other {
            warn!(repository = name, other, "the swarm knows this repository by another name too");
        }
        let (url, branch) = (entry.url, wanted.branch.clone());
        let taken = Input::TakeUp { repository: name.clone(), url, branch };
        let _ = hands.inputs.send(taken).await;
        let _ = hands.inputs.send(Input::Ready { repository: name.clone(), ready: true }).await;
    }

    /// Closes what Hive dropped, when two looks in a row find nothing left to do of this node's own
    /// tasks there, so that what was said last is told.
    async fn close(&self, hands: &Hands) {
        if hands.engine.may_append().is_err() {
            return;
        }
        let me = hands.engine.me();
        let dropped: Vec<String> = {
            let mut kept = self.kept();
            let Kept { word, taken, idle, .. } = &mut *kept;
            idle.retain(|name| !word.contains_key(name));
            taken.keys().filter(|name| !word.contains_key(*name)).cloned().collect()
        };
        for name in dropped {
            if hands.engine.read(|state| is_busy(state, &me, &name)) {
                self.kept().idle.remove(&name);
                continue;
            }
            if self.kept().idle.insert(name.clone()) || !hands.outside.repositories.close(&name) {
                continue;
            }
            {
                let mut kept = self.kept();
                kept.taken.remove(&name);
                kept.idle.remove(&name);
                kept.ready.remove(&name);
                kept.vetted.remove(&name);
            }
            info!(repository = name, "let go: Hive does not list it, and nothing is left to do");
            let mirror = hands.home.mirrors().join(&name);
            let _ = hands.inputs.send(Input::LetGo { repository: name }).await;
            let removed = tokio::task::block_in_place(|| std::fs::remove_dir_all(&mirror));
            if let Err(error) = removed {
                warn!(mirror = %mirror.display(), %error, "a mirror is left");
            }
        }
    }

    fn remember(&self, home: &Home) {
        let mut kept = self.kept();
        let memory = kept.memory(&self.hive);
        let same = kept.written.as_ref().is_some_and(|written| {
            let new = memory.heard_ms.saturating_sub(written.heard_ms) < WRITE_MS;
            new && written.repositories == memory.repositories
        });
        let path = home.hive_file();
        if same || (memory.repositories.is_empty() && !path.exists()) {
            return;
        }
        match tokio::task::block_in_place(|| memory.write(&path)) {
            Ok(()) => kept.written = Some(memory),
            Err(error) => {
                warn!(file = %path.display(), %error, "Hive's last word could not be written");
            }
        }
    }

    /// What would become of Hive's projects, a line each, at most `most` of them.
    pub(super) fn doctor(&self, projects: &BTreeMap<String, Project>, most: usize) -> String {
        let mut lines = Vec::new();
        for (place, project) in projects {
            match self.rules.judge(project) {
                None => {}
                Some(Ok(wanted)) if !wanted.ready => {
                    lines.push(format!("\n  {place}: not ready to claim"));
                }
                Some(Ok(wanted)) => {
                    let name = &wanted.name;
                    lines.push(format!("\n  {place}: may be taken up, as {name}"));
                }
                Some(Err(reason)) => lines.push(format!("\n  {place}: not taken up: {reason}")),
            }
        }
        let more = lines.len().saturating_sub(most);
        let mut text = lines.into_iter().take(most).collect::<String>();
        if more > 0 {
            text.push_str(&format!("\n  and {more} more"));
        }
        text
    }
}

/// Another name under which the swarm knows the place of a repository.
fn other_name(state: &SwarmState, name: &str, url: &str) -> Option<String> {
    let here = place(url).ok()?;
    let mut known = state.repositories.iter();
    let found = known.find(|(other, at)| *other != name && place(&at.url).as_ref() == Ok(&here));
    found.map(|(other, _)| other.clone())
}

/// Whether something is left to do of this node's own tasks in a repository: one is tried for or
/// worked on, people are asked, or a pull request is not at its end. The end is said when the board
/// was told and the claim ref is gone.
fn is_busy(state: &SwarmState, me: &AuthorId, repository: &str) -> bool {
    let tasks = state.tasks.values().filter(|task| task.repository == repository);
    let mut epochs = tasks.flat_map(|task| task.epochs.values().map(|epoch| (task.open, epoch)));
    epochs.any(|(open, epoch)| {
        let mut intents = epoch.intents.values();
        let tries = intents.any(|made| made.author == *me && made.result == IntentResult::Pending);
        let win = epoch.winner.as_ref();
        let holds = win.is_some_and(|win| win.author == *me && win.lost_at.is_none());
        let unfinished = match epoch.finished.as_deref() {
            None | Some("published") => true,
            // Nobody answers a question about a closed issue.
            Some("escalated") => open,
            Some(_) => false,
        };
        tries || (holds && unfinished)
    })
}
