//! What Hive says of this node's repositories, and what it is told of their tasks.
//!
//! Of the configured repositories it can only narrow which are worked on; whether it may name
//! others, and which, is the configuration's word too (`takeup`). Its last word counts while it
//! doesn't answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{debug, info, warn};

use super::config::{Config, Unlisted};
use super::takeup::TakeUp;
use super::work::Hands;
use crate::integrations::hive::{
    Claimed, Hive, Listing, MAX_SUMMARY, Project, Results, StatusUpdate, place,
};
use crate::integrations::http::short;
use crate::kernel::agent::Input;

/// How many entries of a listing that cannot be read are named in the log.
const MAX_NAMED: usize = 5;

/// How many projects that the configuration does not name `bzzz doctor` lists.
const MAX_LISTED: usize = 50;

/// Hive, as this node sees it.
pub(super) struct Registry {
    hive: Hive,
    unlisted: Unlisted,
    pub(super) poll: Duration,
    /// The configured repositories: name and place, if the remote has one that can be compared.
    places: BTreeMap<String, Option<String>>,
    projects: Mutex<Option<BTreeMap<String, Project>>>,
    /// What is taken up of what only Hive names.
    pub(super) take_up: Option<TakeUp>,
}

/// What Hive says of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Whether people want it to be worked on at all.
    pub(super) enabled: bool,
    /// Whether tasks may be claimed now.
    pub(super) ready: bool,
    /// Why not, for people.
    pub(super) reason: String,
}

/// Looks at Hive once in a while, as long as the node works, and hands on which repositories are
/// ready. No task is claimed before the first answer or failure.
pub(super) async fn watch(hands: Arc<Hands>) {
    let Some(registry) = &hands.outside.services.hive else { return };
    let mut last = BTreeMap::new();
    registry.say(&hands, &mut last, |_| word(true, false, "Hive was not asked yet")).await;
    if let Some(take_up) = &registry.take_up {
        take_up.hold(&hands).await;
    }
    loop {
        let words = registry.look().await;
        let unknown = || word(true, true, "Hive does not answer, and has not said anything yet");
        let of = |name: &String| {
            let known = words.as_ref().and_then(|words| words.get(name).cloned());
            known.unwrap_or_else(unknown)
        };
        registry.say(&hands, &mut last, of).await;
        if let Some(take_up) = &registry.take_up {
            take_up.follow(&hands).await;
        }
        tokio::time::sleep(registry.poll).await;
    }
}

fn word(enabled: bool, ready: bool, reason: &str) -> Word {
    Word { enabled, ready, reason: reason.to_owned() }
}

/// A report on a task.
pub(super) struct Told<'a> {
    pub(super) repository: &'a str,
    pub(super) issue: u64,
    pub(super) status: &'static str,
    pub(super) epoch: u64,
    pub(super) text: &'a str,
    /// Names the report for ever.
    pub(super) id: String,
    /// When, in seconds since 1970.
    pub(super) at_s: u64,
    /// The node's key and name.
    pub(super) agent: (String, &'a str),
}

impl Registry {
    pub(super) fn new(hive: Hive, config: &Config) -> Self {
        let places = config.repositories.iter();
        let places = places.map(|entry| (entry.name.clone(), place(&entry.url).ok()));
        Self {
            hive,
            unlisted: config.hive.unlisted,
            poll: Duration::from_secs(config.hive.poll_seconds),
            places: places.collect(),
            projects: Mutex::default(),
            take_up: TakeUp::of(config),
        }
    }

    /// Hands on which repositories are ready, and logs what is new.
    async fn say(
        &self,
        hands: &Hands,
        last: &mut BTreeMap<String, Word>,
        of: impl Fn(&String) -> Word,
    ) {
        for repository in self.places.keys() {
            let word = of(repository);
            let (ready, reason) = (word.enabled && word.ready, &word.reason);
            if last.get(repository) != Some(&word) {
                info!(repository, ready, reason, "Hive");
                last.insert(repository.clone(), word);
            }
            // It is said each time: a node that doesn't know its own log yet listens to nobody.
            let input = Input::Ready { repository: repository.clone(), ready };
            // The loop takes nothing more when the node stops.
            let _ = hands.inputs.send(input).await;
        }
    }

    /// Asks Hive once. Gives its word on each configured repository; `None` if it has none to give
    /// and has never given one.
    pub(super) async fn look(&self) -> Option<BTreeMap<String, Word>> {
        match self.hive.projects().await {
            Ok(Listing { projects, refused }) => {
                for reason in refused.iter().take(MAX_NAMED) {
                    warn!(reason, "an entry of Hive's list cannot be taken");
                }
                if let Some(take_up) = &self.take_up {
                    take_up.heard(&projects);
                }
                let known = self.keep(projects);
                debug!(hive = self.hive.at(), known, "asked Hive");
            }
            Err(error) => {
                warn!(%error, "Hive gives no list of repositories; what it said last still counts");
                if let Some(take_up) = &self.take_up {
                    take_up.missed();
                }
            }
        }
        let kept = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        let projects = kept.as_ref()?;
        let word = |name: &String| (name.clone(), self.word(projects.get(name)));
        Some(self.places.keys().map(word).collect())
    }

    /// Keeps the projects of the configured repositories, by their names here.
    fn keep(&self, mut projects: BTreeMap<String, Project>) -> usize {
        let places = self.places.iter().filter_map(|(name, place)| Some((name, place.as_ref()?)));
        let found =
            places.filter_map(|(name, place)| Some((name.clone(), projects.remove(place)?)));
        let found: BTreeMap<_, _> = found.collect();
        let count = found.len();
        *self.projects.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        count
    }

    fn word(&self, project: Option<&Project>) -> Word {
        match project {
            None if self.unlisted == Unlisted::Work => word(true, true, "Hive does not list it"),
            None => word(true, false, "Hive does not list it"),
            Some(project) if !project.enabled => {
                word(false, false, "Hive says that bzzz is not enabled")
            }
            Some(project) if !project.ready => {
                word(true, false, "Hive says that it is not ready to claim")
            }
            Some(_) => word(true, true, "Hive says that it is ready to claim"),
        }
    }

    fn project(&self, repository: &str) -> Result<u64, String> {
        if !self.places.contains_key(repository)
            && let Some(project) = self.take_up.as_ref().and_then(|t| t.project(repository))
        {
            return Ok(project);
        }
        let kept = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(projects) = kept.as_ref() else {
            return Err("Hive has not said yet which project the repository is".to_owned());
        };
        let project = projects.get(repository);
        project.map(|project| project.id).ok_or_else(|| "Hive does not list it".to_owned())
    }

    /// Tells Hive. Doing it twice changes nothing.
    pub(super) async fn tell(&self, told: Told<'_>) -> Result<(), String> {
        let project = self.project(told.repository)?;
        let (agent_id, agent_name) = told.agent;
        let sent = if told.status == "claimed" {
            let claimed = Claimed { task_number: told.issue, agent_id, claimed_at: told.at_s };
            self.hive.claim(project, &claimed, &told.id).await
        } else {
            let results = Results {
                agent_id,
                agent_name: agent_name.to_owned(),
                epoch: told.epoch,
                summary: short(told.text, MAX_SUMMARY),
                report_id: told.id.clone(),
            };
            let update = StatusUpdate {
                task_number: told.issue,
                status: told.status,
                updated_at: told.at_s,
                results,
            };
            self.hive.status(project, &update, &told.id).await
        };
        sent.map_err(|error| error.to_string())?;
        let (repository, issue, status) = (told.repository, told.issue, told.status);
        info!(repository, issue, status, "told Hive");
        Ok(())
    }

    /// Whether Hive answers, and what it says of the configured repositories.
    pub(super) async fn doctor(&self) -> Result<String, String> {
        let health = self.hive.health().await.map_err(|error| error.to_string())?;
        let listing = self.hive.projects().await.map_err(|error| error.to_string())?;
        if let Some(first) = listing.refused.first() {
            let count = listing.refused.len();
            return Err(format!("{count} entries of its list cannot be read; the first: {first}"));
        }
        let all = listing.projects.len();
        let others = self.take_up.as_ref().map(|t| t.doctor(&listing.projects, MAX_LISTED));
        self.keep(listing.projects);
        let mut text = format!("{} says {health:?}; {all} projects", self.hive.at());
        let kept: BTreeMap<String, Project> = {
            let kept = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
            kept.clone().unwrap_or_default()
        };
        for name in self.places.keys() {
            let reason = self.word(kept.get(name)).reason;
            text.push_str(&format!("\n  {name}: {reason}"));
            if let Some(project) = kept.get(name) {
                let tasks = self.hive.tasks(project.id).await.map_err(|error| error.to_string())?;
                let claimed = tasks.iter().filter(|task| task.claimed).count();
                let (id, all) = (project.id, tasks.len());
                text.push_str(&format!(" (project {id}, {all} tasks, {claimed} claimed)"));
            }
        }
        text.push_str(&others.unwrap_or_default());
        Ok(text)
    }
}
