//! The services beside git, board, model and sandbox: Hive, and the webhooks of N8N.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{info, warn};
use zeroize::Zeroizing;

use super::clock;
use super::config::Config;
use super::models::Models;
use super::outside::{OutsideError, secret};
use super::registry::{Registry, Told};
use super::takeup::TakeUp;
use super::work::Hands;
use crate::integrations::hive::{Hive, HiveSettings};
use crate::integrations::http::{Ambient, Backoff, Secret, short};
use crate::integrations::n8n::{Callback, Escalation, MAX_TEXT, N8n, Selector, Webhook, severity};
use crate::kernel::agent::{EscalationCall, Outcome, Report};
use crate::kernel::event::TaskId;

/// The clock and the numbers of this program.
const AMBIENT: Ambient = Ambient {
    mono_ms: || clock::now().mono_ms,
    random: || clock::random().map_or(0, u64::from_le_bytes),
};

/// What is told what, and asked for what.
pub(super) struct Services {
    /// Which repositories are worked on, and what becomes of their tasks.
    pub(super) hive: Option<Registry>,
    /// Who is told when a task needs people.
    pub(super) n8n: Option<N8n>,
    /// Where people's answers come back to, if that is configured.
    pub(super) callback: Option<String>,
    /// Which model a task is put to.
    pub(super) models: Models,
}

impl Services {
    pub(super) fn open(config: &Config) -> Result<Self, OutsideError> {
        let hive = match &config.hive.url {
            None => None,
            Some(url) => {
                let key = config.hive.key_file.as_deref().map(secret).transpose()?;
                let settings = HiveSettings {
                    url: url.clone(),
                    key: key.map(Secret::new),
                    patience: Duration::from_secs(config.hive.timeout_seconds),
                    backoff: Backoff::default(),
                };
                Some(Registry::new(Hive::new(settings, AMBIENT)?, config))
            }
        };
        let webhook = |url: &String, seconds, backoff| -> Result<Webhook, OutsideError> {
            let key = config.n8n.secret_file.as_deref().map(secret).transpose()?;
            let patience = Duration::from_secs(seconds);
            Ok(Webhook { url: url.clone(), secret: key.map(Secret::new), patience, backoff })
        };
        let n8n = match &config.n8n.webhook_url {
            None => None,
            Some(url) => {
                let webhook = webhook(url, config.n8n.timeout_seconds, Backoff::default())?;
                Some(N8n::new(webhook, AMBIENT)?)
            }
        };
        let selector = match &config.reasoner.select_url {
            None => None,
            Some(url) => {
                // The model waits for it: it is asked once.
                let once = Backoff { attempts: 1, ..Backoff::default() };
                let webhook = webhook(url, config.reasoner.select_seconds, once)?;
                Some(Selector::new(webhook, AMBIENT)?)
            }
        };
        let models = Models::new(&config.reasoner, selector);
        Ok(Self { hive, n8n, callback: config.n8n.callback_url.clone(), models })
    }
}

impl Services {
    /// What takes up repositories that only Hive names, if that is configured.
    pub(super) fn take_up(&self) -> Option<&TakeUp> {
        self.hive.as_ref().and_then(|registry| registry.take_up.as_ref())
    }
}

/// What an answer of people has to show, and what is done with it before it becomes an event.
pub struct PeoplesKeys {
    /// The key of callbacks.
    pub key: Option<Zeroizing<String>>,
    /// The secret of signatures.
    pub secret: Option<Zeroizing<String>>,
}

impl PeoplesKeys {
    /// Those that the configuration names.
    ///
    /// # Errors
    /// [`OutsideError::Secret`].
    pub fn read(config: &Config) -> Result<Self, OutsideError> {
        let read = |file: &Option<PathBuf>| -> Result<_, OutsideError> {
            Ok(file.as_deref().map(secret).transpose()?.map(Zeroizing::new))
        };
        let (key, secret) = (read(&config.n8n.callback_key_file)?, read(&config.n8n.secret_file)?);
        Ok(Self { key, secret })
    }
}

/// The files with secrets of these services.
pub(super) fn secret_files(config: &Config) -> impl Iterator<Item = &Path> {
    let hive = &config.hive;
    let token = if hive.take_up { &hive.github_token_file } else { &None };
    let (secret, callback) = (&config.n8n.secret_file, &config.n8n.callback_key_file);
    let files = [&hive.key_file, token, secret, callback];
    files.into_iter().filter_map(|file| file.as_deref())
}

/// Whether the services that the configuration names answer.
pub(super) async fn doctor(config: &Config) -> Vec<(String, Result<String, String>)> {
    let mut findings = Vec::new();
    let services = match Services::open(config) {
        Ok(services) => services,
        Err(error) => return vec![("services".to_owned(), Err(error.to_string()))],
    };
    if let Some(registry) = &services.hive {
        findings.push(("hive".to_owned(), registry.doctor().await));
        if let Some(file) = config.hive.github_token_file.as_deref().filter(|_| config.hive.take_up)
        {
            let found = secret(file).map_err(|error| error.to_string());
            let found = found.map(|_| format!("{} holds one", file.display()));
            findings.push(("token for what Hive names".to_owned(), found));
        }
    }
    if let Some(n8n) = &services.n8n {
        // A call would alert people.
        let told = match &services.callback {
            Some(url) => format!("answers come back to {url}"),
            None => "n8n.callback_url is not set: requests do not tell where to answer".to_owned(),
        };
        findings.push(("n8n".to_owned(), Ok(format!("{} is told of questions; {told}", n8n.at()))));
    }
    findings
}

/// Tells Hive of a task.
pub(super) async fn tell_hive(hands: &Hands, id: TaskId, report: &Report) -> Outcome {
    let Some(registry) = &hands.outside.services.hive else {
        return Outcome::Failed("Hive is not configured".to_owned());
    };
    let found = hands.engine.read(|state| {
        let task = state.tasks.get(&id)?;
        let win = task.epochs.get(&report.epoch).and_then(|epoch| epoch.winner.as_ref());
        Some((task.repository.clone(), task.issue, win.map(|win| win.at.ms())))
    });
    let Some((repository, issue, claimed_ms)) = found else {
        return Outcome::Failed("the task is not known".to_owned());
    };
    // A claim that is told again was made when it was made.
    let at_ms = match report.status {
        "claimed" => claimed_ms.unwrap_or_else(clock::wall_ms),
        _ => clock::wall_ms(),
    };
    let told = Told {
        repository: &repository,
        issue,
        status: report.status,
        epoch: report.epoch,
        text: &report.text,
        id: report.id.to_string(),
        at_s: at_ms / 1_000,
        agent: (hands.engine.me().to_string(), &hands.name),
    };
    match registry.tell(told).await {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed(error),
    }
}

/// Asks people through the webhook.
pub(super) async fn ask_people(hands: &Hands, call: &EscalationCall) -> Outcome {
    let services = &hands.outside.services;
    let Some(n8n) = &services.n8n else {
        return Outcome::Failed("no webhook for questions to people is configured".to_owned());
    };
    let escalation = call.id.to_string();
    let text = |text: &str| short(text, MAX_TEXT);
    let question = Escalation {
        kind: "bzzz.escalation",
        version: 1,
        level: call.level,
        severity: severity(call.level),
        swarm: hands.engine.swarm().to_string(),
        node: hands.engine.me().to_string(),
        node_name: hands.name.clone(),
        repository: call.repository.clone(),
        issue: call.issue,
        title: text(&call.title),
        url: call.pull.clone().unwrap_or_default(),
        epoch: call.epoch,
        reason: text(&call.reason),
        question: text(&call.question),
        callback: services.callback.as_ref().map(|api| Callback::of(api, &escalation)),
        escalation,
    };
    match n8n.escalate(&question, clock::wall_ms() / 1_000).await {
        Ok(()) => {
            let (repository, issue, level) = (&call.repository, call.issue, call.level);
            info!(repository, issue, level, "told the webhook that people are needed");
            Outcome::Done
        }
        Err(error) => {
            let error = hands.masker.text(error.to_string());
            warn!(issue = call.issue, error, "the webhook was not told that people are needed");
            Outcome::Failed(error)
        }
    }
}
