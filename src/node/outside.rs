//! The adapters to the outside world that a configuration asks for.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::clock::{self, NoRandomness};
use super::config::{self, Config, ReasonerKind, SandboxKind};
use super::home::Home;
use super::settings::Own;
use crate::integrations::docker::{DockerSandbox, DockerSettings};
use crate::integrations::git::{GitError, Mirror, Remote, Secret};
use crate::integrations::local::{Board, BoardError};
use crate::integrations::ollama::{
    ModelServer, Ollama, OpenAi, Patience, Reasoner, ReasonerError, Secret as ModelKey,
};
use crate::integrations::process::{ProcessSandbox, ProcessSettings};
use crate::integrations::sandbox::{Limits, Sandbox, SandboxError};
use crate::integrations::scripted::Scripted;

/// The longest token file, in bytes.
const MAX_TOKEN: u64 = 16 * 1024;

/// Where Ollama listens unless told otherwise.
const OLLAMA: &str = "http://127.0.0.1:11434";

/// Why an adapter cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// A repository's remote.
    #[error("repository {name}: {source}")]
    Git {
        /// The repository.
        name: String,
        /// The cause.
        source: GitError,
    },
    /// A repository's board.
    #[error("repository {name}: {source}")]
    Board {
        /// The repository.
        name: String,
        /// The cause.
        source: BoardError,
    },
    /// The configuration names no such repository.
    #[error("no repository is called {0}")]
    Unknown(String),
    /// A file with a secret.
    #[error("the file {path} with a token or key cannot be used: {reason}")]
    Secret {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// The reasoner.
    #[error(transparent)]
    Reasoner(#[from] ReasonerError),
    /// The sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The machine has no randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// A repository: where its code and its issues are.
pub(super) struct Repository {
    pub(super) mirror: Mirror,
    pub(super) board: Board,
}

/// What effects are carried out with.
pub(super) struct Outside {
    pub(super) repositories: BTreeMap<String, Repository>,
    pub(super) reasoner: Option<Reasoner>,
    pub(super) sandbox: Sandbox,
    /// What a repository's own settings can tighten.
    pub(super) own: Own,
    /// The tokens and keys that all this is entered with, so that none gets into the log.
    pub(super) secrets: Vec<Zeroizing<Vec<u8>>>,
}

impl Outside {
    pub(super) async fn open(home: &Home, config: &Config) -> Result<Self, OutsideError> {
        let mut repositories = BTreeMap::new();
        for entry in &config.repositories {
            repositories.insert(entry.name.clone(), repository(home, entry).await?);
        }
        let reasoner = if config.repositories.is_empty() { None } else { Some(reasoner(config)?) };
        let (sandbox, limits) = sandbox(home, &config.sandbox);
        limits.check()?;
        let (image, images) = match config.sandbox.kind {
            SandboxKind::Docker => {
                (Some(config.sandbox.image.clone()), config.sandbox.images.clone())
            }
            SandboxKind::Process => (None, Vec::new()),
        };
        let own = Own { limits, image, images };
        let tokens = config.repositories.iter().filter_map(|entry| entry.token_file.as_deref());
        let mut secrets = Vec::new();
        for path in tokens.chain(config.reasoner.key_file.as_deref()) {
            secrets.push(Zeroizing::new(secret(path)?.into_bytes()));
        }
        Ok(Self { repositories, reasoner, sandbox, own, secrets })
    }
}

async fn repository(home: &Home, entry: &config::Repository) -> Result<Repository, OutsideError> {
    let name = entry.name.clone();
    let token = entry.token_file.as_deref().map(secret).transpose()?.map(Secret::new);
    let remote = Remote { url: entry.url.clone(), token, branch: entry.branch.clone() };
    let dir = home.mirrors().join(&name);
    let mirror = Mirror::open(&dir, remote).await;
    let mirror = mirror.map_err(|source| OutsideError::Git { name: name.clone(), source })?;
    let board = Board::open(&entry.board).map_err(|source| OutsideError::Board { name, source })?;
    Ok(Repository { mirror, board })
}

fn reasoner(config: &Config) -> Result<Reasoner, OutsideError> {
    let settings = &config.reasoner;
    let server = |default: &str| -> Result<ModelServer, OutsideError> {
        Ok(ModelServer {
            url: settings.url.clone().unwrap_or_else(|| default.to_owned()),
            model: settings.model.clone().unwrap_or_default(),
            key: settings.key_file.as_deref().map(secret).transpose()?.map(ModelKey::new),
            patience: Patience {
                idle: Duration::from_secs(settings.idle_seconds),
                total: Duration::from_secs(settings.timeout_seconds),
                ..Patience::default()
            },
        })
    };
    Ok(match settings.kind {
        ReasonerKind::Ollama => Reasoner::Ollama(Ollama::new(server(OLLAMA)?)?),
        ReasonerKind::Openai => Reasoner::OpenAi(OpenAi::new(server("")?)?),
        ReasonerKind::Scripted => {
            let script = settings.script.clone().unwrap_or_default();
            Reasoner::Scripted(Scripted::load(&script)?)
        }
    })
}

fn sandbox(home: &Home, settings: &config::Sandbox) -> (Sandbox, Limits) {
    let limits = Limits {
        memory_bytes: settings.memory_mib << 20,
        cpus_milli: settings.cpus_milli,
        processes: settings.processes,
        disk_bytes: settings.disk_mib << 20,
        output_bytes: settings.output_kib << 10,
        command_seconds: u32::try_from(settings.command_seconds).unwrap_or(u32::MAX),
    };
    let sandbox = match settings.kind {
        SandboxKind::Docker => Sandbox::Docker(DockerSandbox::new(DockerSettings {
            host: settings.docker_socket.display().to_string(),
            image: settings.image.clone(),
            runtime: settings.runtime.clone(),
        })),
        SandboxKind::Process => {
            Sandbox::Process(ProcessSandbox::new(ProcessSettings::new(home.work().join("process"))))
        }
    };
    (sandbox, limits)
}

fn secret(path: &Path) -> Result<String, OutsideError> {
    use std::io::Read;
    let failed = |reason: String| OutsideError::Secret { path: path.to_owned(), reason };
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    file.take(MAX_TOKEN).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    let text = text.trim();
    if text.is_empty() || text.lines().count() != 1 {
        return Err(failed("it should hold one line".to_owned()));
    }
    Ok(text.to_owned())
}

/// What of the outside world works, and what does not: a line each, whether it is well, and what
/// to do about it.
pub async fn doctor(home: &Home, config: &Config) -> Vec<(String, Result<String, String>)> {
    let mut findings = Vec::new();
    for entry in &config.repositories {
        let name = format!("repository {}", entry.name);
        let found = match repository(home, entry).await {
            Err(error) => Err(error.to_string()),
            Ok(repository) => look_at(&repository).await,
        };
        findings.push((name, found));
    }
    let (sandbox, _) = sandbox(home, &config.sandbox);
    let found = sandbox.check().await.map_err(|error| error.to_string());
    findings.push(("sandbox".to_owned(), found));
    if !config.repositories.is_empty() {
        let found = match reasoner(config) {
            Err(error) => Err(error.to_string()),
            Ok(reasoner) => reasoner.check().await.map_err(|error| error.to_string()),
        };
        findings.push(("reasoner".to_owned(), found));
    }
    let skew = clock::wall_ms();
    let found = if skew < 1_700_000_000_000 {
        Err("the machine's clock stands before 2023; set it".to_owned())
    } else {
        Ok("the machine's clock is set".to_owned())
    };
    findings.push(("clock".to_owned(), found));
    findings
}

async fn look_at(repository: &Repository) -> Result<String, String> {
    let base = repository.mirror.fetch_base().await.map_err(|error| error.to_string())?;
    let claims = repository.mirror.read_claims().await.map_err(|error| error.to_string())?;
    let (issues, bad) = repository.board.issues().map_err(|error| error.to_string())?;
    if let Some(error) = bad.first() {
        return Err(format!("{} issue files cannot be read; the first: {error}", bad.len()));
    }
    let (branch, short) = (repository.mirror.base_branch(), base.short());
    Ok(format!("{branch} is at {short}, {} issues, {} claims", issues.len(), claims.len()))
}
