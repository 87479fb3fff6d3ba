//! One request and its answer: bounded in time and bytes, never redirected, never repeated.

use std::time::Duration;

use http_body_util::BodyExt as _;
use octocrab::Octocrab;
use reqwest::Url;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, IF_NONE_MATCH, USER_AGENT};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::GitHubError;
use super::budget::Told;
use crate::integrations::task::shortened;

/// The largest answer that is read, in bytes: a page of 50 issues, each of the greatest length.
pub(super) const MAX_BODY: usize = 16 << 20;

/// How much of a text of the server stands in an error, in bytes.
const MAX_MESSAGE: usize = 300;

/// How long a request may take from its first byte to the last one of its answer.
const LIMIT: Duration = Duration::from_secs(30);

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The address of an API, checked: `https`, or `http` on this machine, without a last slash.
#[derive(Clone, Debug)]
pub(super) struct Base(Url);

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Patch,
    Delete,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A request: a path below the base, with its query.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Value>,
    /// What is here already.
    pub(super) etag: Option<&'a str>,
}

impl Ask<'_> {
    /// For errors: without the query.
    pub(super) fn name(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {}", self.method.name(), shortened(path, 200))
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    /// The path of the next page.
    pub(super) next: Option<String>,
    /// `Date`, in seconds since 1970.
    pub(super) date: Option<u64>,
    /// `X-OAuth-Scopes`: what a classic token may do.
    pub(super) scopes: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Base {
    pub(super) fn parse(text: &str) -> Result<Self, GitHubError> {
        let wrong = |why: &str| GitHubError::Settings(format!("the address {text:?} {why}"));
        let url = Url::parse(text.trim_end_matches('/')).map_err(|e| wrong(&e.to_string()))?;
        let Some(host) = url.host_str() else { return Err(wrong("names no host")) };
        let loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        if !url.username().is_empty() || url.password().is_some() {
            return Err(GitHubError::Settings("the address holds credentials".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("goes on after its path"));
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if loopback => Ok(Self(url)),
            _ => Err(wrong("is not https: a token is sent only over https")),
        }
    }

    fn text(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The path of an address, if it is one of this API.
    fn path_of(&self, address: &str) -> Option<String> {
        let path = address.strip_prefix(self.text())?;
        path.starts_with('/').then(|| path.to_owned())
    }
}

/// A client of the API that signs as an App, or not at all. What carries its requests follows no
/// redirect, takes no proxy and decompresses nothing. It needs a runtime.
pub(super) fn client(base: &Base, app: Option<(u64, &[u8])>) -> Result<Octocrab, GitHubError> {
    let wrong = |error: octocrab::Error| GitHubError::Settings(clean(&error.to_string()));
    // Whoever comes first installs it; it is the same one in the whole program.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let carrier = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .build()
        .map_err(|error| GitHubError::Settings(format!("no HTTP client can be made: {error}")))?;
    let agent = concat!("bzzz/", env!("CARGO_PKG_VERSION")).to_owned();
    let builder = Octocrab::builder().base_uri(base.text()).map_err(wrong)?;
    let builder = builder.add_header(ACCEPT, "application/vnd.github+json".to_owned());
    let builder = builder.add_header(USER_AGENT, agent);
    let builder = match app {
        None => builder,
        Some((id, key)) => builder.app_from_rsa_pem(id.into(), key).map_err(|_| {
            GitHubError::Settings("the App's key is no RSA private key in PEM".to_owned())
        })?,
    };
    builder.build_with_reqwest(carrier).map_err(wrong)
}

/// Sends a request and reads its answer.
pub(super) async fn send(
    crab: &Octocrab,
    base: &Base,
    ask: &Ask<'_>,
) -> Result<(Answer, Told), GitHubError> {
    match tokio::time::timeout(LIMIT, exchange(crab, base, ask)).await {
        Ok(answered) => answered,
        Err(_) => Err(GitHubError::TimedOut { request: ask.name(), seconds: LIMIT.as_secs() }),
    }
}

async fn exchange(
    crab: &Octocrab,
    base: &Base,
    ask: &Ask<'_>,
) -> Result<(Answer, Told), GitHubError> {
    let path = ask.path.to_owned();
    let sent = match ask.method {
        Method::Get => {
            let mut headers = HeaderMap::new();
            if let Some(etag) = ask.etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
                headers.insert(IF_NONE_MATCH, etag);
            }
            crab._get_with_headers(path, Some(headers)).await
        }
        Method::Post => crab._post(path, ask.body).await,
        Method::Patch => crab._patch(path, ask.body).await,
        Method::Delete => crab._delete(path, ask.body).await,
    };
    let response = sent.map_err(|error| broken(ask, &error))?;
    let (parts, mut stream) = response.into_parts();
    let too_large = || GitHubError::TooLarge { request: ask.name(), limit: MAX_BODY };
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let announced = text("content-length").and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY) {
        return Err(too_large());
    }
    let mut body = Vec::with_capacity(announced.unwrap_or(0).min(64 << 10));
    while let Some(frame) = stream.frame().await {
        let frame = frame.map_err(|error| broken(ask, &error))?;
        if let Ok(data) = frame.into_data() {
            if body.len() + data.len() > MAX_BODY {
                return Err(too_large());
            }
            body.extend_from_slice(&data);
        }
    }
    let status = parts.status.as_u16();
    let date = text("date").and_then(unix_seconds);
    let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
    let until = |at: u64| Some(Duration::from_secs(at.saturating_sub(date?)));
    let retry_after = text("retry-after").and_then(|value| match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => until(unix_seconds(value)?),
    });
    let told = Told {
        status,
        limit: number("x-ratelimit-limit"),
        remaining: number("x-ratelimit-remaining"),
        resets_in: number("x-ratelimit-reset").and_then(until),
        retry_after,
        secondary: matches!(status, 403 | 429) && speaks_of_abuse(&body),
    };
    let next = match text("link").and_then(next_link) {
        Some(address) => Some(base.path_of(&address).ok_or_else(|| GitHubError::Malformed {
            request: ask.name(),
            reason: format!("its next page is elsewhere: {}", clean(&address)),
        })?),
        None => None,
    };
    let owned = |name: &str| text(name).map(str::to_owned);
    if (300..400).contains(&status) && status != 304 {
        let to = clean(text("location").unwrap_or("no address"));
        return Err(GitHubError::Redirected { request: ask.name(), to });
    }
    let is_json = text("content-type").is_some_and(|kind| kind.contains("json"));
    if (200..300).contains(&status) && !body.is_empty() && !is_json {
        let kind = clean(text("content-type").unwrap_or("of no stated kind"));
        return Err(GitHubError::NotJson { request: ask.name(), found: kind });
    }
    let (etag, scopes) = (owned("etag"), owned("x-oauth-scopes"));
    Ok((Answer { status, etag, next, date, scopes, body }, told))
}

/// The error that an answer stands for, if it does.
pub(super) fn check(ask: &Ask<'_>, answer: &Answer) -> Result<(), GitHubError> {
    let request = ask.name();
    let message = message(&answer.body);
    Err(match answer.status {
        200..=299 | 304 => return Ok(()),
        401 => GitHubError::Unauthorized { request, message },
        403 => GitHubError::Forbidden { request, message },
        code @ (404 | 410) => GitHubError::NotFound { request, code },
        code @ 500..=599 => GitHubError::Server { request, code, message },
        code => GitHubError::Refused { request, code, message },
    })
}

/// Reads the JSON of an answer.
pub(super) fn read<T: DeserializeOwned>(request: &str, body: &[u8]) -> Result<T, GitHubError> {
    serde_json::from_slice(body).map_err(|error| GitHubError::Malformed {
        request: request.to_owned(),
        reason: error.to_string(),
    })
}

/// What an error of GitHub says, on one line.
fn message(body: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(&body[..body.len().min(64 << 10)]) else {
        return clean(&String::from_utf8_lossy(&body[..body.len().min(MAX_MESSAGE)]));
    };
    let mut text = value["message"].as_str().unwrap_or("no message").to_owned();
    for error in value["errors"].as_array().into_iter().flatten().take(5) {
        let words = ["resource", "field", "code", "message"].map(|key| error[key].as_str());
        let words: Vec<&str> = words.into_iter().flatten().collect();
        text.push_str(&format!("; {}", error.as_str().unwrap_or(&words.join(" "))));
    }
    clean(&text)
}

fn speaks_of_abuse(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&body[..body.len().min(4096)]).to_lowercase();
    text.contains("secondary rate limit") || text.contains("abuse detection")
}

pub(super) fn clean(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    shortened(plain.trim(), MAX_MESSAGE)
}

fn broken(ask: &Ask<'_>, error: &(dyn std::error::Error + 'static)) -> GitHubError {
    let request = ask.name();
    let mut cause = error;
    let mut connect = false;
    while let Some(inner) = cause.source() {
        cause = inner;
        if let Some(carried) = cause.downcast_ref::<reqwest::Error>() {
            connect |= carried.is_connect();
        }
    }
    let reason = clean(&cause.to_string());
    match connect {
        true => GitHubError::Unreachable { request, reason },
        false => GitHubError::Interrupted { request, reason },
    }
}

/// The address in `<...>; rel="next"` of a `Link` header (RFC 8288).
fn next_link(header: &str) -> Option<String> {
    header.split(',').find_map(|link| {
        let (address, about) = link.trim().strip_prefix('<')?.split_once('>')?;
        about.split(';').any(|part| part.trim() == "rel=\"next\"").then(|| address.to_owned())
    })
}

/// Seconds since 1970 of a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110).
pub(super) fn unix_seconds(date: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let words: Vec<&str> = date.split_ascii_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let month = MONTHS.find(month).filter(|at| month.len() == 3 && at % 3 == 0)? / 3 + 1;
    rfc3339(&format!("{year}-{month:02}-{day}T{time}Z"))
}

/// Seconds since 1970 of a time as JSON has it.
pub(super) fn rfc3339(time: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339(time).ok()?;
    time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_an_api_are_https_or_of_this_machine() {
        for good in ["https://api.github.com", "https://ghe.example/api/v3/", "http://127.0.0.1:1"]
        {
            Base::parse(good).unwrap();
        }
        for bad in ["http://api.github.com", "ftp://x", "https://u:p@x", "https://x/?a", "x", ""] {
            assert!(Base::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_next_page_is_one_of_the_same_api() {
        let link = "<https://g.example/api/v3/r?page=1>; rel=\"prev\", \
                    <https://g.example/api/v3/r?page=3>; rel=\"next\"";
        let next = next_link(link).unwrap();
        let base = Base::parse("https://g.example/api/v3").unwrap();
        assert_eq!(base.path_of(&next).as_deref(), Some("/r?page=3"));
        for other in ["https://evil.example/r", "https://g.example.evil/r", "https://g.example/r"] {
            assert_eq!(base.path_of(other), None, "{other}");
        }
        assert_eq!(next_link("<https://x/y>; rel=\"last\""), None);
    }

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(unix_seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for bad in ["", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 anF 1994 08:49:37 GMT", "6"] {
            assert_eq!(unix_seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_error_says_what_github_says() {
        let body = br#"{"message":"Validation Failed","errors":[{"resource":"PullRequest",
            "code":"custom","message":"No commits\u0007between"}, "plain"]}"#;
        assert_eq!(
            message(body),
            "Validation Failed; PullRequest custom No commits between; plain"
        );
        assert_eq!(message(b"<html>\n"), "<html>");
        assert!(speaks_of_abuse(b"You have exceeded a Secondary Rate Limit."));
    }
}
