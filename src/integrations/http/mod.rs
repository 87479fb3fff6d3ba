//! What all HTTP clients of this program share: an address that is checked, a client without
//! redirects and proxies, answers that are bounded in size and time, retries with full jitter that
//! honour `Retry-After`, and a circuit breaker.
//!
//! Nothing here reads a clock or draws a number: both are handed in, as [`Ambient`]. Addresses are
//! shown without their paths, since the path of a webhook is as good as a password.

mod breaker;
mod call;
mod retry;

use std::fmt;
use std::time::Duration;

use reqwest::{Client, Url};
use zeroize::Zeroizing;

pub use breaker::{Breaker, Resting};
pub use call::{Answer, Call, Caller, Settings, Times};
pub use retry::{Backoff, LONGEST_RETRY_AFTER};

/// The largest answer, in bytes, unless a caller says otherwise.
pub const MAX_ANSWER: usize = 1 << 20;

/// How much of an error's text is kept, in bytes.
pub const ERROR_BYTES: usize = 200;

/// Why a request was not answered as it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The settings cannot work.
    #[error("{0}")]
    Settings(String),
    /// No connection.
    #[error("nobody answers at {at}: {reason}")]
    Unreachable {
        /// Scheme, host and port.
        at: String,
        /// What happened.
        reason: String,
    },
    /// It took too long.
    #[error("{at} took too long: {what}")]
    TimedOut {
        /// Scheme, host and port.
        at: String,
        /// What did not happen in time.
        what: &'static str,
    },
    /// The connection ended in the middle, or what came is no HTTP.
    #[error("{at} broke off its answer: {reason}")]
    Interrupted {
        /// Scheme, host and port.
        at: String,
        /// What happened.
        reason: String,
    },
    /// The answer is larger than its bound.
    #[error("the answer of {at} is longer than {limit} bytes")]
    TooLong {
        /// Scheme, host and port.
        at: String,
        /// The bound, in bytes.
        limit: usize,
    },
    /// The status is none of success. Redirects are not followed: they would carry the key along.
    #[error("{at} answers with status {code}: {text}")]
    Status {
        /// Scheme, host and port.
        at: String,
        /// The status.
        code: u16,
        /// The first 200 bytes of what it says.
        text: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The answer cannot be read.
    #[error("the answer of {at} cannot be read: {reason}")]
    Malformed {
        /// Scheme, host and port.
        at: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// It failed so often, or asked so, that it is left alone.
    #[error("{at} is left alone for another {} s after its last failure", .wait.as_secs())]
    Resting {
        /// Scheme, host and port.
        at: String,
        /// For how long.
        wait: Duration,
    },
}

impl HttpError {
    /// Whether the same request may be answered if it is sent again after a while.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            HttpError::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500..=599),
            HttpError::Unreachable { .. }
            | HttpError::TimedOut { .. }
            | HttpError::Interrupted { .. }
            | HttpError::Resting { .. } => true,
            HttpError::Settings(_) | HttpError::TooLong { .. } | HttpError::Malformed { .. } => {
                false
            }
        }
    }
}

/// A key that shows itself to nobody: not in logs, not in errors, not in memory after its end.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a key over.
    #[must_use]
    pub fn new(key: String) -> Secret {
        Secret(Zeroizing::new(key))
    }

    /// The key itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What the adapters take from the machine: a clock that never jumps, and numbers that nobody
/// foresees.
#[derive(Clone, Copy)]
pub struct Ambient {
    /// Milliseconds of a clock that never jumps.
    pub mono_ms: fn() -> u64,
    /// A random number.
    pub random: fn() -> u64,
}

impl fmt::Debug for Ambient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ambient")
    }
}

/// Reads the address of a server: http or https, with a host, without credentials, `?` and `#`.
///
/// # Errors
/// What is wrong with it, in words that don't repeat a password.
pub fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("the address is malformed: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!("the address {text:?} is not http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address has a password in it; set a key instead".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("the address ends with a ? or # part".to_owned());
    }
    Ok(url)
}

/// Reads the address of a server below whose path others are: it ends with `/` then.
///
/// # Errors
/// As [`address`].
pub fn base(text: &str) -> Result<Url, String> {
    let mut url = address(text)?;
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Scheme, host and port: what may be shown of an address.
#[must_use]
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// A client that follows no redirects and asks no proxy; TLS by rustls with ring.
///
/// # Errors
/// Why there is none.
pub fn client(connect: Duration) -> Result<Client, String> {
    // Whoever comes first installs it; it is the same one in the whole program.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(connect)
        .user_agent(concat!("bzzz/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("no HTTP client can be made: {}", causes(&error)))
}

/// The innermost cause says what happened; the outer ones repeat the address.
#[must_use]
pub fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// The beginning of a text, at a border of characters.
#[must_use]
pub fn short(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}
