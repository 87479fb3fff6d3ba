//! What is refused before it is read: foreign hosts, foreign origins, writing without the token.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Site;
use super::api::Refusal;

pub(super) async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    site.requests.fetch_add(1, Ordering::Relaxed);
    let mut response = match check(&site, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            site.refused.fetch_add(1, Ordering::Relaxed);
            refusal.into_response()
        }
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn check(site: &Site, request: &Request) -> Result<(), Refusal> {
    let headers = request.headers();
    let host = one(headers, &HOST)?
        .ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "the request has no Host header"))?;
    if !site.shared.remote && !is_loopback(host) {
        let what = "the request names another host than this machine's loopback";
        return Err(Refusal::new(StatusCode::FORBIDDEN, what));
    }
    if let Some(origin) = one(headers, &ORIGIN)? {
        let own = origin.split_once("://").is_some_and(|(scheme, rest)| {
            matches!(scheme, "http" | "https") && rest.eq_ignore_ascii_case(host)
        });
        if !own {
            let what = "the request comes from a page of another origin";
            return Err(Refusal::new(StatusCode::FORBIDDEN, what));
        }
    }
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let open = reads && (!site.shared.remote || matches!(path, "/" | "/health"));
    // These know other keys too, and look at the body.
    let answers = *request.method() == Method::POST && path.starts_with(super::ESCALATIONS);
    if open || answers || has_token(headers, &site.shared.token) {
        return Ok(());
    }
    let what = "the request needs the token of this node: `Authorization: Bearer TOKEN`";
    Err(Refusal::new(StatusCode::UNAUTHORIZED, what))
}

/// The value of a header that may stand once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let wrong = || Refusal::new(StatusCode::BAD_REQUEST, format!("the {name} header is malformed"));
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| wrong()),
        (Some(_), Some(_)) => Err(wrong()),
    }
}

/// Whether a Host header names the loopback: by a name that no DNS answers for, or by an address.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Compares hashes, so that the time it takes says nothing about the token.
pub(super) fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
    given.is_some_and(|given| {
        !token.is_empty() && blake3::hash(given.as_bytes()) == blake3::hash(token.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_is_ours() {
        for ours in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8080", "[::1]:1", "[::1]"]
        {
            assert!(is_loopback(ours), "{ours}");
        }
        for foreign in
            ["", "evil.example", "127.0.0.1.evil.example:80", "localhost.evil", "10.0.0.1:80", "::"]
        {
            assert!(!is_loopback(foreign), "{foreign}");
        }
    }

    #[test]
    fn the_token_is_compared_whole() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            headers
        };
        assert!(has_token(&with("Bearer abc"), "abc"));
        for wrong in ["Bearer ab", "Bearer abcd", "abc", "Basic abc", "Bearer "] {
            assert!(!has_token(&with(wrong), "abc"), "{wrong}");
        }
        assert!(!has_token(&with("Bearer "), ""));
        assert!(!has_token(&HeaderMap::new(), "abc"));
    }
}
