//! Everything that can go wrong with GitHub, each thing by its name.

/// Why GitHub could not be asked, or what it refused. `request` is the method and the path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitHubError {
    /// The settings cannot be used.
    #[error("GitHub cannot be used as it is configured: {0}")]
    Settings(String),
    /// The request did not leave this machine.
    #[error("{request}: GitHub cannot be reached: {reason}")]
    Unreachable {
        /// What was asked.
        request: String,
        /// Why.
        reason: String,
    },
    /// No answer came in time. What was asked for may have happened.
    #[error("{request}: no answer within {seconds} s")]
    TimedOut {
        /// What was asked.
        request: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The connection broke. What was asked for may have happened.
    #[error("{request}: the answer broke off: {reason}")]
    Interrupted {
        /// What was asked.
        request: String,
        /// Why.
        reason: String,
    },
    /// The answer is larger than is read.
    #[error("{request}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// What was asked.
        request: String,
        /// How much is read.
        limit: usize,
    },
    /// There are more entries than are read.
    #[error("{request}: there are more than {limit} entries")]
    TooMany {
        /// What was asked.
        request: String,
        /// How many are read.
        limit: usize,
    },
    /// The answer is no JSON: a proxy, a sign-in page, another server.
    #[error("{request}: the answer is {found}, not JSON; is the address that of GitHub's API?")]
    NotJson {
        /// What was asked.
        request: String,
        /// What came.
        found: String,
    },
    /// The answer is JSON and not what GitHub documents.
    #[error("{request}: the answer is not what GitHub documents: {reason}")]
    Malformed {
        /// What was asked.
        request: String,
        /// What is wrong.
        reason: String,
    },
    /// The answer points elsewhere. It is not followed: the token would go along.
    #[error("{request}: it is now at {to}, where the token is not sent; change the configuration")]
    Redirected {
        /// What was asked.
        request: String,
        /// Where to.
        to: String,
    },
    /// The token is wrong, has run out or was revoked.
    #[error("{request}: the token is not accepted (401): {message}")]
    Unauthorized {
        /// What was asked.
        request: String,
        /// What GitHub says.
        message: String,
    },
    /// The token may not do this.
    #[error("{request}: the token may not do this (403): {message}")]
    Forbidden {
        /// What was asked.
        request: String,
        /// What GitHub says.
        message: String,
    },
    /// It is not there, or the token may not see it.
    #[error("{request}: it is not there, or the token may not see it ({code})")]
    NotFound {
        /// What was asked.
        request: String,
        /// 404 or 410.
        code: u16,
    },
    /// GitHub understood the request and will not do it.
    #[error("{request}: GitHub refuses it ({code}): {message}")]
    Refused {
        /// What was asked.
        request: String,
        /// The status.
        code: u16,
        /// What GitHub says.
        message: String,
    },
    /// GitHub failed. What was asked for may have happened.
    #[error("{request}: GitHub failed ({code}): {message}")]
    Server {
        /// What was asked.
        request: String,
        /// The status.
        code: u16,
        /// What GitHub says.
        message: String,
    },
    /// Nothing was sent: the rate limit must be waited for.
    #[error("{why}; the next request goes out in {seconds} s")]
    Limited {
        /// Which limit.
        why: &'static str,
        /// For how long.
        seconds: u64,
    },
    /// The App is not installed where the repository is.
    #[error("the GitHub App is not installed for {repository}")]
    NotInstalled {
        /// Owner and name.
        repository: String,
    },
}

impl GitHubError {
    /// Whether the same may work later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Interrupted { .. }
            | Self::NotJson { .. }
            | Self::Malformed { .. }
            | Self::Server { .. }
            | Self::Limited { .. } => true,
            Self::Settings(_)
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::Redirected { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::NotInstalled { .. } => false,
        }
    }

    /// Whether GitHub said that it will not do just this, while the token is good for other things.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Forbidden { .. } | Self::NotFound { .. } | Self::Refused { .. })
    }
}
