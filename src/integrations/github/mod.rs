//! Issues and pull requests on GitHub, or on a GitHub Enterprise Server.
//!
//! What GitHub shows decides nothing: who owns a task is decided by the claim ref of the git
//! remote. Everything written here is read before it is written, so that a repetition, also after a
//! crash in the middle, changes nothing: one comment for each task, found by a hidden mark, and one
//! pull request for each branch.
//!
//! Requests of one token go out one after another and share one budget. Answers are bounded before
//! they are read, redirects are never followed, and nothing is sent again by itself: the caller
//! tries again, later.

mod account;
mod budget;
mod cache;
mod comment;
mod error;
mod issues;
mod pulls;
mod show;
mod watch;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use octocrab::Octocrab;
use serde::Deserialize;
use zeroize::Zeroizing;

use account::{Account, Credential, Installations};
use wire::{Ask, Base, Method};

pub use account::OnToken;
pub use comment::defused;
pub use error::GitHubError;
pub use issues::Read;

/// Where GitHub's own API is.
pub const API: &str = "https://api.github.com";

/// How a node enters GitHub: with a token, or as an App. Repositories that are entered in the same
/// way share one, and so one budget.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

enum Inner {
    Token(Arc<Account>),
    App(Box<App>),
}

/// A GitHub App.
struct App {
    crab: Octocrab,
    base: Base,
    /// The installation, if the configuration names one.
    installation: Option<u64>,
    accounts: Installations,
    /// The installation of each repository that was asked for.
    found: tokio::sync::Mutex<BTreeMap<String, u64>>,
    on_token: OnToken,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &*self.0 {
            Inner::Token(_) => "Access(token)",
            Inner::App(_) => "Access(app)",
        })
    }
}

impl Access {
    /// With a personal token. It has to be made within a runtime.
    ///
    /// # Errors
    /// [`GitHubError::Settings`].
    pub fn token(
        api: &str,
        token: Zeroizing<String>,
        on_token: OnToken,
    ) -> Result<Self, GitHubError> {
        let base = Base::parse(api)?;
        let crab = wire::client(&base, None)?;
        let account = Account::new(crab, base, Credential::Token(token), on_token);
        Ok(Self(Arc::new(Inner::Token(Arc::new(account)))))
    }

    /// As a GitHub App, with its private key in PEM; the installation is looked up for each
    /// repository unless it is named. It has to be made within a runtime.
    ///
    /// # Errors
    /// [`GitHubError::Settings`].
    pub fn app(
        api: &str,
        id: u64,
        key: &[u8],
        installation: Option<u64>,
        on_token: OnToken,
    ) -> Result<Self, GitHubError> {
        let base = Base::parse(api)?;
        let crab = wire::client(&base, Some((id, key)))?;
        let (accounts, found) = (Installations::default(), tokio::sync::Mutex::default());
        let app = App { crab, base, installation, accounts, found, on_token };
        Ok(Self(Arc::new(Inner::App(Box::new(app)))))
    }

    /// The account that a repository is entered with.
    async fn account(&self, owner: &str, name: &str) -> Result<Arc<Account>, GitHubError> {
        match &*self.0 {
            Inner::Token(account) => Ok(Arc::clone(account)),
            Inner::App(app) => app.account(owner, name).await,
        }
    }
}

impl App {
    async fn account(&self, owner: &str, name: &str) -> Result<Arc<Account>, GitHubError> {
        let id = match self.installation {
            Some(id) => id,
            None => self.installation_of(owner, name).await?,
        };
        let mut accounts = self.accounts.lock().await;
        let account = accounts.entry(id).or_insert_with(|| {
            let credential = Credential::Installation { id, minted: tokio::sync::Mutex::default() };
            let (crab, base) = (self.crab.clone(), self.base.clone());
            Arc::new(Account::new(crab, base, credential, Arc::clone(&self.on_token)))
        });
        Ok(Arc::clone(account))
    }

    async fn installation_of(&self, owner: &str, name: &str) -> Result<u64, GitHubError> {
        #[derive(Deserialize)]
        struct Installation {
            id: u64,
        }
        let repository = format!("{owner}/{name}");
        let mut found = self.found.lock().await;
        if let Some(id) = found.get(&repository) {
            return Ok(*id);
        }
        let path = format!("/repos/{repository}/installation");
        let ask = Ask { method: Method::Get, path: &path, body: None, etag: None };
        let (answer, _) = wire::send(&self.crab, &self.base, &ask).await?;
        match wire::check(&ask, &answer) {
            Err(GitHubError::NotFound { .. }) => Err(GitHubError::NotInstalled { repository }),
            Err(error) => Err(error),
            Ok(()) => {
                let installation: Installation = wire::read(&ask.name(), &answer.body)?;
                found.insert(repository, installation.id);
                Ok(installation.id)
            }
        }
    }
}

/// A repository on GitHub.
#[derive(Debug)]
pub struct GitHub {
    access: Access,
    owner: String,
    name: String,
    /// The branch that pull requests go to.
    base: String,
    /// Whether pull requests begin as drafts.
    draft: bool,
    /// An issue is read only if it carries one of these.
    labels: Vec<String>,
}

/// What a node finds out about its standing in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The account that it writes as.
    pub login: String,
    /// What a classic token may do, if GitHub says.
    pub scopes: Option<String>,
    /// Whether it may push.
    pub push: bool,
    /// Whether the repository takes no changes any more.
    pub archived: bool,
    /// Whether not everybody can read the repository.
    pub private: bool,
    /// Requests left, of how many.
    pub left: Option<(u64, u64)>,
}

impl GitHub {
    /// A repository, by its owner and name. Nothing is asked yet.
    ///
    /// # Errors
    /// [`GitHubError::Settings`] for what is no `OWNER/NAME`.
    pub fn new(
        access: Access,
        repository: &str,
        base: &str,
        draft: bool,
        labels: Vec<String>,
    ) -> Result<Self, GitHubError> {
        let plain = |part: &str| {
            let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            (1..=100).contains(&part.len())
                && part.chars().all(fine)
                && !part.chars().all(|c| c == '.')
        };
        let parts = repository.split_once('/');
        let Some((owner, name)) = parts.filter(|(owner, name)| plain(owner) && plain(name)) else {
            let why = format!("{repository:?} is no OWNER/NAME");
            return Err(GitHubError::Settings(why));
        };
        let (owner, name, base) = (owner.to_owned(), name.to_owned(), base.to_owned());
        Ok(Self { access, owner, name, base, draft, labels })
    }

    /// The token to enter the git remote with, if it changes: that of an App's installation, valid
    /// for at least 20 minutes from now.
    ///
    /// # Errors
    /// [`GitHubError`].
    pub async fn changing_token(&self) -> Result<Option<Zeroizing<String>>, GitHubError> {
        if let Inner::Token(_) = &*self.access.0 {
            return Ok(None);
        }
        Ok(Some(self.account().await?.token().await?))
    }

    /// Whether the token is good, and for what.
    ///
    /// # Errors
    /// [`GitHubError`].
    pub async fn standing(&self) -> Result<Standing, GitHubError> {
        #[derive(Deserialize, Default)]
        struct Permissions {
            #[serde(default)]
            push: bool,
        }
        #[derive(Deserialize)]
        struct Repository {
            #[serde(default)]
            permissions: Option<Permissions>,
            #[serde(default)]
            archived: bool,
            /// What GitHub does not say is taken for the worse.
            #[serde(default = "yes")]
            private: bool,
        }
        fn yes() -> bool {
            true
        }
        let account = self.account().await?;
        let me = account.me().await?;
        let found: Repository = account.read(&self.path("")).await?;
        // GitHub tells an App its permissions of the installation elsewhere.
        let push = found.permissions.map_or(account.is_app(), |p| p.push || account.is_app());
        Ok(Standing {
            login: me.login.clone(),
            scopes: me.scopes.clone(),
            push,
            archived: found.archived,
            private: found.private,
            left: account.left(),
        })
    }

    async fn account(&self) -> Result<Arc<Account>, GitHubError> {
        self.access.account(&self.owner, &self.name).await
    }

    /// A path below the repository's own.
    fn path(&self, rest: &str) -> String {
        format!("/repos/{}/{}{rest}", self.owner, self.name)
    }
}

/// Whose word counts: an owner, a member of the organisation, or a collaborator. Anybody can write
/// comments and reviews in a public repository.
fn is_trusted(association: &str) -> bool {
    matches!(association, "OWNER" | "MEMBER" | "COLLABORATOR")
}

/// An account, as answers name it. A deleted one is null.
#[derive(Clone, Debug, Default, Deserialize)]
struct Named {
    #[serde(default)]
    login: String,
}

/// A text for the query or the path of an address.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
