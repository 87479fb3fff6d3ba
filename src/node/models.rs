//! Which model a task is put to: what a webhook chooses, else what the configuration says for one
//! of the issue's labels, else the configured one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tracing::{info, warn};

use super::clock;
use super::config;
use crate::engine::Engine;
use crate::integrations::n8n::{Question, Selector};
use crate::integrations::ollama::Reasoner;
use crate::kernel::event::TaskId;

/// How long a webhook that failed is not asked, in milliseconds.
const PAUSE_MS: u64 = 60_000;

/// Of how many tasks the webhook's choice is kept. If there are more, it is asked again.
const MAX_CHOSEN: usize = 1_024;

/// The most models that a webhook is offered.
const MAX_OFFERED: usize = 64;

/// How models are chosen.
pub(super) struct Models {
    default: String,
    /// Labels and models, in the order of the configuration.
    rules: Vec<(String, String)>,
    selector: Option<Selector>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    chosen: BTreeMap<TaskId, String>,
    not_before_ms: u64,
}

/// What of an issue the choice depends on.
struct About {
    repository: String,
    issue: u64,
    title: String,
    labels: Vec<String>,
}

impl Models {
    pub(super) fn new(settings: &config::Reasoner, selector: Option<Selector>) -> Self {
        let rules = settings.choose.iter().filter_map(|rule| rule.rsplit_once('='));
        let rules = rules.map(|(label, model)| (label.to_owned(), model.to_owned()));
        Self {
            default: settings.model.clone().unwrap_or_default(),
            rules: rules.collect(),
            selector,
            kept: Mutex::default(),
        }
    }

    /// The models that the configuration names for labels.
    pub(super) fn named(&self) -> Vec<&str> {
        self.rules.iter().map(|(_, model)| model.as_str()).collect()
    }

    /// The model for a task; `None` for the configured one.
    pub(super) async fn choose(
        &self,
        engine: &Engine,
        task: TaskId,
        reasoner: &Reasoner,
    ) -> Option<String> {
        if let Some(model) = self.kept(|kept| kept.chosen.get(&task).cloned()) {
            return Some(model);
        }
        let about = engine.read(|state| {
            state.tasks.get(&task).map(|task| About {
                repository: task.repository.clone(),
                issue: task.issue,
                title: task.title.clone(),
                labels: task.labels.clone(),
            })
        })?;
        let rests = |kept: &mut Kept| clock::now().mono_ms < kept.not_before_ms;
        if let Some(selector) = self.selector.as_ref().filter(|_| !self.kept(rests)) {
            let (repository, issue) = (about.repository.clone(), about.issue);
            match self.ask(selector, &about, reasoner).await {
                Ok(model) => {
                    info!(repository, issue, model, "a model was chosen");
                    self.keep(task, model.clone());
                    return Some(model);
                }
                Err(error) => {
                    warn!(repository, issue, error, "no model was chosen");
                    self.kept(|kept| kept.not_before_ms = clock::now().mono_ms + PAUSE_MS);
                }
            }
        }
        let by_label = |(label, _): &&(String, String)| about.labels.contains(label);
        self.rules.iter().find(by_label).map(|(_, model)| model.clone())
    }

    /// Asks the webhook, and believes it only a model that there is.
    async fn ask(
        &self,
        selector: &Selector,
        about: &About,
        reasoner: &Reasoner,
    ) -> Result<String, String> {
        let mut models = reasoner.models().await.map_err(|error| error.to_string())?;
        models.truncate(MAX_OFFERED);
        let question = Question {
            kind: "bzzz.model-selection",
            version: 1,
            repository: about.repository.clone(),
            issue: about.issue,
            title: about.title.clone(),
            labels: about.labels.clone(),
            default: self.default.clone(),
            models,
        };
        let chosen = selector.select(&question, clock::wall_ms() / 1_000).await;
        let chosen = chosen.map_err(|error| error.to_string())?;
        match question.models.iter().find(|model| model.is(&chosen)) {
            Some(model) => Ok(model.name.clone()),
            None => Err(format!("the webhook chose {chosen:?}, which the server does not have")),
        }
    }

    fn keep(&self, task: TaskId, model: String) {
        self.kept(|kept| {
            if kept.chosen.len() >= MAX_CHOSEN {
                kept.chosen.clear();
            }
            kept.chosen.insert(task, model);
        });
    }

    fn kept<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> T {
        look(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
