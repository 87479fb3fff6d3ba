//! One token: who it is, what it has left, and what was read with it already. Requests go out one
//! after another, as GitHub asks for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use octocrab::Octocrab;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::GitHubError;
use super::budget::{Budget, Use};
use super::cache::Cache;
use super::wire::{self, Answer, Ask, Base, Method};

/// Entries on a page.
pub(super) const PAGE: usize = 50;

/// An installation's token is replaced when it is valid for less than this: longer than a push may
/// take.
const FRESH: Duration = Duration::from_secs(20 * 60);

/// How long a token has to be valid to be used while no other one can be had.
const LAST: Duration = Duration::from_secs(120);

/// How long GitHub's installation tokens are valid.
const HOUR: Duration = Duration::from_secs(3600);

/// Told of every token that is got, so that it is masked before anything is written.
pub type OnToken = Arc<dyn Fn(&str) + Send + Sync>;

/// What tokens are got with.
pub(super) enum Credential {
    /// A token that stays.
    Token(Zeroizing<String>),
    /// A GitHub App's installation of this number; its tokens are valid for an hour.
    Installation { id: u64, minted: tokio::sync::Mutex<Option<Minted>> },
}

/// A token of an installation.
pub(super) struct Minted {
    token: Zeroizing<String>,
    until: Instant,
}

/// Who writes with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Me {
    /// The account's name, `SLUG[bot]` for an App.
    pub(super) login: String,
    /// Whether it is an App, which no issue can be assigned to.
    pub(super) app: bool,
    /// What a classic token may do.
    pub(super) scopes: Option<String>,
}

/// One token's access to one API.
pub(super) struct Account {
    /// Signs as the App, or not at all.
    crab: Octocrab,
    base: Base,
    credential: Credential,
    budget: Budget,
    cache: Mutex<Cache>,
    /// One request at a time.
    line: tokio::sync::Mutex<()>,
    me: OnceCell<Me>,
    on_token: OnToken,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Account {
    pub(super) fn new(
        crab: Octocrab,
        base: Base,
        credential: Credential,
        on_token: OnToken,
    ) -> Self {
        if let Credential::Token(token) = &credential {
            on_token(token);
        }
        Self {
            crab,
            base,
            credential,
            budget: Budget::default(),
            cache: Mutex::default(),
            line: tokio::sync::Mutex::default(),
            me: OnceCell::new(),
            on_token,
        }
    }

    /// How many requests are left of how many.
    pub(super) fn left(&self) -> Option<(u64, u64)> {
        self.budget.left()
    }

    /// Whether its token changes.
    pub(super) fn is_app(&self) -> bool {
        matches!(self.credential, Credential::Installation { .. })
    }

    /// A token that is valid for a while, for git too.
    pub(super) async fn token(&self) -> Result<Zeroizing<String>, GitHubError> {
        let (id, minted) = match &self.credential {
            Credential::Token(token) => return Ok(token.clone()),
            Credential::Installation { id, minted } => (id, minted),
        };
        let mut minted = minted.lock().await;
        if let Some(minted) = &*minted
            && minted.until > Instant::now() + FRESH
        {
            return Ok(minted.token.clone());
        }
        let path = format!("/app/installations/{id}/access_tokens");
        let body = json!({});
        let ask = Ask { method: Method::Post, path: &path, body: Some(&body), etag: None };
        let answer = match (self.send(&self.crab, &ask, Use::Write).await, &*minted) {
            // The old one is good for a while yet.
            (Err(error), Some(old))
                if error.is_transient() && old.until > Instant::now() + LAST =>
            {
                return Ok(old.token.clone());
            }
            (answer, _) => answer?,
        };
        #[derive(Deserialize)]
        struct Made {
            token: String,
            expires_at: String,
        }
        let made: Made = wire::read(&ask.name(), &answer.body)?;
        let token = Zeroizing::new(made.token);
        (self.on_token)(&token);
        // By the server's own clock, whatever this machine's says.
        let left = wire::rfc3339(&made.expires_at).zip(answer.date);
        let left = left.map_or(HOUR, |(ends, now)| Duration::from_secs(ends.saturating_sub(now)));
        let until = Instant::now() + left.min(HOUR);
        *minted = Some(Minted { token: token.clone(), until });
        Ok(token)
    }

    /// Who writes with the token.
    pub(super) async fn me(&self) -> Result<&Me, GitHubError> {
        #[derive(Deserialize)]
        struct User {
            login: String,
        }
        #[derive(Deserialize)]
        struct App {
            slug: String,
        }
        self.me
            .get_or_try_init(|| async {
                if self.is_app() {
                    let ask = Ask { method: Method::Get, path: "/app", body: None, etag: None };
                    let answer = self.send(&self.crab, &ask, Use::Read).await?;
                    let app: App = wire::read(&ask.name(), &answer.body)?;
                    return Ok(Me { login: format!("{}[bot]", app.slug), app: true, scopes: None });
                }
                let answer = self.get("/user").await?;
                let user: User = wire::read("GET /user", &answer.body)?;
                Ok(Me { login: user.login, app: false, scopes: answer.scopes.clone() })
            })
            .await
    }

    /// Reads a path. What did not change since it was last read costs nothing.
    pub(super) async fn get(&self, path: &str) -> Result<Arc<Answer>, GitHubError> {
        let known = self.cache().get(path);
        let etag = known.as_ref().and_then(|answer| answer.etag.as_deref());
        let ask = Ask { method: Method::Get, path, body: None, etag };
        let answer = Arc::new(self.send_with_token(&ask, Use::Read).await?);
        if answer.status == 304 {
            return known.clone().ok_or_else(|| GitHubError::Malformed {
                request: ask.name(),
                reason: "not modified, and nothing was known".to_owned(),
            });
        }
        self.cache().put(path, &answer);
        Ok(answer)
    }

    /// Reads the JSON of a path.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, GitHubError> {
        let answer = self.get(path).await?;
        wire::read(&format!("GET {}", path.split('?').next().unwrap_or(path)), &answer.body)
    }

    /// Reads the pages of a list, at most so many. Gives its entries, and whether that were all.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        most: usize,
    ) -> Result<(Vec<T>, bool), GitHubError> {
        let mut entries = Vec::new();
        let mut next = Some(path.to_owned());
        for _ in 0..most {
            let Some(path) = next.take() else { break };
            let answer = self.get(&path).await?;
            let name = format!("GET {}", path.split('?').next().unwrap_or(&path));
            let mut page: Vec<T> = wire::read(&name, &answer.body)?;
            // GitHub sends no more than it was asked for.
            page.truncate(100);
            entries.extend(page);
            next.clone_from(&answer.next);
        }
        Ok((entries, next.is_none()))
    }

    /// Writes.
    pub(super) async fn write(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, GitHubError> {
        self.send_with_token(&Ask { method, path, body, etag: None }, Use::Write).await
    }

    async fn send_with_token(&self, ask: &Ask<'_>, what: Use) -> Result<Answer, GitHubError> {
        let token = self.token().await?;
        let crab = self.crab.user_access_token(token.as_str().to_owned());
        let crab = crab.map_err(|error| GitHubError::Settings(error.to_string()))?;
        let answered = self.send(&crab, ask, what).await;
        if let (Err(GitHubError::Unauthorized { .. }), Credential::Installation { minted, .. }) =
            (&answered, &self.credential)
        {
            // It was revoked before its time; the next request gets another one.
            minted.lock().await.take();
        }
        answered
    }

    async fn send(&self, crab: &Octocrab, ask: &Ask<'_>, what: Use) -> Result<Answer, GitHubError> {
        if what == Use::Write {
            tokio::time::sleep(self.budget.pace(Instant::now())).await;
        }
        let _turn = self.line.lock().await;
        self.budget.ask(what, Instant::now())?;
        let (answer, told) = wire::send(crab, &self.base, ask).await?;
        self.budget.tell(told, Instant::now())?;
        wire::check(ask, &answer)?;
        Ok(answer)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The accounts of one App, by the number of the installation.
pub(super) type Installations = tokio::sync::Mutex<BTreeMap<u64, Arc<Account>>>;
