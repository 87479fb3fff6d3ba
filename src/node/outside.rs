//! The adapters to the outside world that a configuration asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tracing::warn;
use zeroize::Zeroizing;

use super::clock::{self, NoRandomness};
use super::config::{self, Config, ReasonerKind, SandboxKind};
use super::consent;
use super::home::Home;
use super::mask::Secrets;
use super::models::Models;
use super::services::{self, Services};
use super::settings::Own;
use super::tasks::Source;
use crate::integrations::docker::{DockerSandbox, DockerSettings};
use crate::integrations::git::{GitError, Mirror, Remote, Token};
use crate::integrations::github::{self, Access, GitHub, GitHubError, OnToken, Standing};
use crate::integrations::http::HttpError;
use crate::integrations::local::{Board, BoardError};
use crate::integrations::ollama::{
    ModelServer, Ollama, OpenAi, Patience, Reasoner, ReasonerError, Secret as ModelKey,
};
use crate::integrations::process::{ProcessSandbox, ProcessSettings};
use crate::integrations::sandbox::{HostError, Hosts, Limits, Sandbox, SandboxError};
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
    /// A repository on GitHub.
    #[error("repository {name}: {source}")]
    GitHub {
        /// The repository.
        name: String,
        /// The cause.
        source: GitHubError,
    },
    /// A repository without a board that an issue could be written to.
    #[error("the issues of {0} are on GitHub: write them there")]
    NoBoard(String),
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
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The reasoner.
    #[error(transparent)]
    Reasoner(#[from] ReasonerError),
    /// The sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The hosts that a sandbox may reach.
    #[error("sandbox.egress: {0}")]
    Egress(#[from] HostError),
    /// A service that speaks HTTP.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The machine has no randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// A repository: where its code and its issues are.
pub(super) struct Repository {
    mirror: Mirror,
    /// What the mirror enters its remote with, if that changes.
    token: Option<Token>,
    pub(super) source: Source,
    /// Who named it to the node: the configuration, or Hive.
    pub(super) named_by: &'static str,
}

impl Repository {
    /// The mirror, with a token that is valid for as long as an operation may take.
    pub(super) async fn mirror(&self) -> Result<&Mirror, String> {
        if let (Source::GitHub(github), Some(token)) = (&self.source, &self.token) {
            match github.changing_token().await {
                Ok(Some(new)) => token.set(new.as_str().to_owned()),
                Ok(None) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(&self.mirror)
    }

    /// The remote, without credentials, for people.
    pub(super) fn remote_shown(&self) -> String {
        self.mirror.remote_shown()
    }
}

/// The repositories that are open, by name. Some come and go while the node runs.
#[derive(Default)]
pub(super) struct Repositories(RwLock<BTreeMap<String, Arc<Repository>>>);

impl Repositories {
    pub(super) fn get(&self, name: &str) -> Option<Arc<Repository>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn put(&self, name: &str, repository: Repository) {
        let mut open = self.0.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(name.to_owned(), Arc::new(repository));
    }

    /// Takes a repository out, unless something is still done with it: two mirrors in one
    /// directory would disturb each other. Tells whether it is out.
    pub(super) fn close(&self, name: &str) -> bool {
        let mut open = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let used = open.get(name).is_some_and(|repository| Arc::strong_count(repository) > 1);
        !used && open.remove(name).is_some()
    }
}

/// What is asked of a repository before it is opened while the node runs.
pub(super) struct Vetted {
    /// Whether it may be private.
    pub(super) private: bool,
}

impl Vetted {
    fn objection(&self, found: &Standing) -> Option<String> {
        let secret = found.private && !self.private;
        let why =
            secret.then(|| "it is private, says GitHub, and hive.private is not set".to_owned());
        hindrance(found).or(why)
    }
}

/// What effects are carried out with.
pub(super) struct Outside {
    pub(super) repositories: Repositories,
    doors: tokio::sync::Mutex<Doors>,
    /// Which issues are tasks.
    labels: Vec<String>,
    pub(super) reasoner: Option<Reasoner>,
    /// Hive, and the webhooks.
    pub(super) services: Services,
    pub(super) sandbox: Sandbox,
    /// What a repository's own settings can tighten.
    pub(super) own: Own,
    /// The tokens and keys that all this is entered with, so that none gets into the log.
    pub(super) secrets: Secrets,
}

impl Outside {
    pub(super) async fn open(home: &Home, config: &Config) -> Result<Self, OutsideError> {
        let secrets = Secrets::default();
        let mut doors = Doors::new(secrets.clone());
        let labels = config.agent.labels.clone();
        let repositories = Repositories::default();
        for entry in &config.repositories {
            let repository = repository(home, &labels, entry, &mut doors).await?;
            repositories.put(&entry.name, repository);
        }
        let needed = config.hive.take_up || !config.repositories.is_empty();
        let reasoner = if needed { Some(reasoner(config)?) } else { None };
        let (sandbox, limits) = sandbox(home, &config.sandbox);
        limits.check()?;
        let (image, images) = match config.sandbox.kind {
            SandboxKind::Docker => {
                (Some(config.sandbox.image.clone()), config.sandbox.images.clone())
            }
            SandboxKind::Process => (None, Vec::new()),
        };
        let egress = Hosts::read(&config.sandbox.egress)?;
        let egress_bytes = config.sandbox.egress_mib << 20;
        let own = Own { limits, image, images, egress, egress_bytes };
        let tokens = config.repositories.iter().filter_map(|entry| entry.token_file.as_deref());
        let files = tokens.chain(config.reasoner.key_file.as_deref());
        for path in files.chain(services::secret_files(config)) {
            secrets.keep(secret(path)?.as_bytes());
        }
        let services = Services::open(config)?;
        let doors = tokio::sync::Mutex::new(doors);
        let outside =
            Self { repositories, doors, labels, reasoner, services, sandbox, own, secrets };
        outside.recall(home, config).await;
        Ok(outside)
    }

    /// What was taken up before and what is here of it, so that its tasks go on whether or not
    /// Hive and GitHub answer.
    async fn recall(&self, home: &Home, config: &Config) {
        let Some(take_up) = self.services.take_up() else { return };
        let mut doors = self.doors.lock().await;
        for (wanted, entry) in take_up.recall(config, home) {
            if !home.mirrors().join(&entry.name).join("mirror.git").exists() {
                continue;
            }
            match repository(home, &self.labels, &entry, &mut doors).await {
                Ok(mut repository) => {
                    repository.named_by = consent::HIVE;
                    self.repositories.put(&entry.name, repository);
                    take_up.opened(&wanted);
                }
                Err(error) => warn!(%error, "what was taken from Hive cannot be opened"),
            }
        }
    }

    /// Opens one more repository on GitHub, if the node may work in it, as GitHub says.
    pub(super) async fn open_one(
        &self,
        home: &Home,
        entry: &config::Repository,
        vetted: Vetted,
    ) -> Result<(), String> {
        let mut doors = self.doors.lock().await;
        let source = source(&self.labels, entry, &mut doors).map_err(|error| error.to_string())?;
        if let Source::GitHub(github) = &source {
            let found = github.standing().await.map_err(|error| error.to_string())?;
            if let Some(why) = vetted.objection(&found) {
                return Err(why);
            }
        }
        let opened = repository(home, &self.labels, entry, &mut doors).await;
        let mut repository = opened.map_err(|error| error.to_string())?;
        repository.named_by = consent::HIVE;
        self.repositories.put(&entry.name, repository);
        Ok(())
    }
}

impl Outside {
    /// Why an open repository may not be worked on any more, by GitHub's word of now.
    ///
    /// # Errors
    /// GitHub does not say.
    pub(super) async fn objection(
        &self,
        name: &str,
        vetted: &Vetted,
    ) -> Result<Option<String>, String> {
        let Some(open) = self.repositories.get(name) else { return Ok(None) };
        let Source::GitHub(github) = &open.source else { return Ok(None) };
        let found = github.standing().await.map_err(|error| error.to_string())?;
        Ok(vetted.objection(&found))
    }
}

async fn repository(
    home: &Home,
    labels: &[String],
    entry: &config::Repository,
    doors: &mut Doors,
) -> Result<Repository, OutsideError> {
    let name = entry.name.clone();
    let source = source(labels, entry, doors)?;
    let dir = home.mirrors().join(&name);
    let web = entry.url.starts_with("https://") || entry.url.starts_with("http://");
    let token = match (&source, entry.token_file.as_deref()) {
        // A token for GitHub's API is none for a remote that is entered by SSH.
        (Source::GitHub(_), _) if !web => None,
        (_, Some(path)) => Some(Token::new(secret(path)?)),
        (Source::GitHub(github), None) => Some(Token::new(match github.changing_token().await {
            Ok(token) => token.map(|token| token.as_str().to_owned()).unwrap_or_default(),
            // What is here already is worked on when GitHub answers again.
            Err(error) if error.is_transient() && dir.exists() => String::new(),
            Err(source) => return Err(OutsideError::GitHub { name, source }),
        })),
        (Source::Local(_), None) => None,
    };
    let (url, branch) = (entry.url.clone(), entry.branch.clone());
    let mirror = Mirror::open(&dir, Remote { url, token: token.clone(), branch }).await;
    let mirror = mirror.map_err(|source| OutsideError::Git { name: name.clone(), source })?;
    Ok(Repository { mirror, token, source, named_by: consent::CONFIGURATION })
}

/// Where a repository's issues are. Nothing is asked yet.
fn source(
    labels: &[String],
    entry: &config::Repository,
    doors: &mut Doors,
) -> Result<Source, OutsideError> {
    let name = || entry.name.clone();
    let Some(repository) = &entry.github else {
        let board = entry.board.as_deref().unwrap_or(Path::new(""));
        let board = Board::open(board);
        let board = board.map_err(|source| OutsideError::Board { name: name(), source })?;
        return Ok(Source::Local(board));
    };
    let access = doors.enter(entry)?;
    let (draft, labels) = (entry.github_draft, labels.to_vec());
    let github = GitHub::new(access, repository, &entry.branch, draft, labels);
    let github = github.map_err(|source| OutsideError::GitHub { name: name(), source })?;
    Ok(Source::GitHub(Box::new(github)))
}

/// How a repository is entered: the API's address, the file with token or key, the App and its
/// installation.
type Door = (String, Option<PathBuf>, Option<u64>, Option<u64>);

/// The ways into GitHub: one for all repositories that are entered alike, since the rate limit is
/// one.
struct Doors {
    open: BTreeMap<Door, Access>,
    secrets: Secrets,
}

impl Doors {
    fn new(secrets: Secrets) -> Self {
        Self { open: BTreeMap::new(), secrets }
    }

    fn enter(&mut self, entry: &config::Repository) -> Result<Access, OutsideError> {
        let api = entry.github_url.clone().unwrap_or_else(|| github::API.to_owned());
        let file = entry.token_file.clone().or_else(|| entry.github_key_file.clone());
        let which = (api.clone(), file, entry.github_app, entry.github_installation);
        if let Some(access) = self.open.get(&which) {
            return Ok(access.clone());
        }
        let secrets = self.secrets.clone();
        let on_token: OnToken = Arc::new(move |token: &str| secrets.got(token.as_bytes()));
        let access = match (entry.github_app, &entry.github_key_file, &entry.token_file) {
            (Some(app), Some(file), _) => {
                let key = private(file)?;
                Access::app(&api, app, key.as_bytes(), entry.github_installation, on_token)
            }
            (_, _, Some(file)) => Access::token(&api, Zeroizing::new(secret(file)?), on_token),
            _ => Err(GitHubError::Settings("there is neither a token nor an App".to_owned())),
        };
        let failed = |source| OutsideError::GitHub { name: entry.name.clone(), source };
        let access = access.map_err(failed)?;
        self.open.insert(which, access.clone());
        Ok(access)
    }
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

/// The one line of a file with a token or a key.
pub(super) fn secret(path: &Path) -> Result<String, OutsideError> {
    let text = private(path)?;
    let text = text.trim();
    if text.is_empty() || text.lines().count() != 1 {
        let (path, reason) = (path.to_owned(), "it should hold one line".to_owned());
        return Err(OutsideError::Secret { path, reason });
    }
    Ok(text.to_owned())
}

/// What a file holds that only this user may read.
fn private(path: &Path) -> Result<Zeroizing<String>, OutsideError> {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    let failed = |reason: String| OutsideError::Secret { path: path.to_owned(), reason };
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let about = file.metadata().map_err(|error| failed(error.to_string()))?;
    let mode = about.permissions().mode() & 0o777;
    // Those of the group may read it: service managers hand secrets over so.
    if mode & 0o037 != 0 {
        let chmod = format!("run `chmod go= {}`", path.display());
        return Err(failed(format!("others may read or change it (mode {mode:o}): {chmod}")));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_TOKEN).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    Ok(text)
}

/// What of the outside world works, and what does not: a line each, whether it is well, and what
/// to do about it.
pub async fn doctor(home: &Home, config: &Config) -> Vec<(String, Result<String, String>)> {
    let mut findings = Vec::new();
    let mut doors = Doors::new(Secrets::default());
    let labels = &config.agent.labels;
    for entry in &config.repositories {
        if entry.github.is_some() {
            let found = match source(labels, entry, &mut doors) {
                Ok(Source::GitHub(github)) => standing(&github).await,
                Ok(Source::Local(_)) => Err("its issues are on a board".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            findings.push((format!("GitHub for {}", entry.name), found));
        }
        let name = format!("repository {}", entry.name);
        let found = match repository(home, labels, entry, &mut doors).await {
            Err(error) => Err(error.to_string()),
            Ok(repository) => look_at(&repository).await,
        };
        findings.push((name, found));
    }
    let (sandbox, _) = sandbox(home, &config.sandbox);
    let found = sandbox.check().await.map_err(|error| error.to_string());
    findings.push(("sandbox".to_owned(), found));
    if !config.sandbox.egress.is_empty() {
        let found = DockerSandbox::check_egress().await;
        let found =
            found.map(|()| format!("through a proxy to {}", config.sandbox.egress.join(", ")));
        findings.push(("egress".to_owned(), found.map_err(|error| error.to_string())));
    }
    if config.hive.take_up || !config.repositories.is_empty() {
        let found = match reasoner(config) {
            Err(error) => Err(error.to_string()),
            Ok(reasoner) => {
                let models = Models::new(&config.reasoner, None);
                reasoner.check(&models.named()).await.map_err(|error| error.to_string())
            }
        };
        findings.push(("reasoner".to_owned(), found));
    }
    findings.extend(services::doctor(config).await);
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
    let mirror = repository.mirror().await?;
    let consent =
        consent::ask(mirror, repository.named_by).await.map_err(|error| error.to_string())?;
    if !consent.allowed {
        let (file, reason) = (consent.source, consent.reason);
        return Err(format!("it lets no agents work in it, says its file {file}: {reason}"));
    }
    let base = mirror.fetch_base().await.map_err(|error| error.to_string())?;
    let claims = mirror.read_claims().await.map_err(|error| error.to_string())?;
    let (issues, bad) = repository.source.look().await.map_err(|error| error.to_string())?;
    if let Some(error) = bad.first() {
        return Err(format!("{} issues cannot be read; the first: {error}", bad.len()));
    }
    let (branch, short) = (mirror.base_branch(), base.short());
    Ok(format!("{branch} is at {short}, {issues} issues, {} claims", claims.len()))
}

/// Why the node cannot work in a repository on GitHub.
fn hindrance(found: &Standing) -> Option<String> {
    if found.archived {
        return Some("the repository is archived: nothing can be pushed to it".to_owned());
    }
    let login = &found.login;
    (!found.push).then(|| format!("{login} may not push, so that no task can be claimed"))
}

/// What the node may do on GitHub.
async fn standing(github: &GitHub) -> Result<String, String> {
    let found = github.standing().await.map_err(|error| error.to_string())?;
    if let Some(why) = hindrance(&found) {
        return Err(why);
    }
    let login = &found.login;
    let scopes = found.scopes.filter(|scopes| !scopes.is_empty());
    let scopes = scopes.map(|scopes| format!(" (scopes: {scopes})")).unwrap_or_default();
    let left = found.left.map(|(left, of)| format!("; {left} of {of} requests are left"));
    Ok(format!("enters as {login}{scopes} and may push{}", left.unwrap_or_default()))
}
