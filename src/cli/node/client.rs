//! Talks to the running node of this home.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::Value;

use super::context::Context;
use super::error::{Error, Result};
use crate::node::Home;

/// The longest file with an address or a token, in bytes.
const MAX_FILE: u64 = 1024;

/// The longest answer, in bytes.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// How long a node may take to say that it is there.
const HELLO: Duration = Duration::from_secs(20);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);

/// A running node.
pub(super) struct Client {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

impl Client {
    /// The node that runs in a home; nothing if none does.
    pub(super) fn find(home: &Home) -> Result<Option<Self>> {
        let key = home.author()?.to_string();
        let Some(address) = small_file(&home.api_file()) else {
            return Ok(None);
        };
        let Some(base) = base(&address) else {
            let path = home.api_file();
            return Err(Error::new(format!("{} should hold an address", path.display())));
        };
        let token = small_file(&home.token_file()).filter(|token| !token.is_empty());
        // Whoever comes first installs it; it is the same one in the whole program.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |error: String| Error::new(format!("no HTTP client can be made: {error}"));
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(HELLO)
            .timeout(ANSWER)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        let client = Self { runtime, http, base, token };
        // A file that a killed node left may name a port that is somebody else's by now.
        let hello = client.ask(Method::GET, &["health"], &[], None, HELLO);
        let ours = hello.is_ok_and(|hello| hello.get("node").and_then(Value::as_str) == Some(&key));
        Ok(ours.then_some(client))
    }

    /// The node that runs in this home.
    pub(super) fn running(context: &Context) -> Result<Self> {
        Self::find(&context.home)?.ok_or_else(|| {
            let what = format!("no node runs in {}", context.home.dir().display());
            Error::new(what).hint(format!("`{}` starts it", context.command("up")))
        })
    }

    pub(super) fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value> {
        self.ask(Method::GET, path, query, None, ANSWER)
    }

    pub(super) fn post(&self, path: &[&str], body: &Value) -> Result<Value> {
        self.ask(Method::POST, path, &[], Some(body), ANSWER)
    }

    fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
        time: Duration,
    ) -> Result<Value> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url).timeout(time);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let failed = |error: reqwest::Error| {
            Error::new(format!("the node does not answer: {}", innermost(&error)))
        };
        let answered = self.runtime.block_on(async {
            let mut response = request.send().await?;
            let status = response.status();
            let mut bytes = Vec::new();
            while let Some(piece) = response.chunk().await? {
                bytes.extend_from_slice(&piece);
                if bytes.len() > MAX_ANSWER {
                    return Ok(None);
                }
            }
            Ok(Some((status, bytes)))
        });
        let Some((status, bytes)) = answered.map_err(failed)? else {
            return Err(Error::new(format!("the node's answer is over {MAX_ANSWER} bytes")));
        };
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Error::new(format!("the node's answer is no JSON: {error}")))?;
        if status.is_success() {
            return Ok(value);
        }
        let said = value.get("error").and_then(Value::as_str);
        Err(Error::new(said.map_or_else(|| format!("the node answers {status}"), str::to_owned)))
    }
}

/// Reads a typed part of an answer.
pub(super) fn part<T: serde::de::DeserializeOwned>(mut answer: Value, key: &str) -> Result<T> {
    let part = answer.get_mut(key).map(Value::take).unwrap_or_default();
    whole(part)
}

/// Reads a typed answer.
pub(super) fn whole<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T> {
    serde_json::from_value(answer).map_err(|error| {
        let what = format!("the node's answer has another form than this program expects: {error}");
        Error::new(what).hint("the node may be of another version: start it anew")
    })
}

fn small_file(path: &Path) -> Option<String> {
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(MAX_FILE).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}

/// Where a node that listens on an address is reached from its own machine.
fn base(address: &str) -> Option<Url> {
    let mut address: SocketAddr = address.parse().ok()?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip([127, 0, 0, 1].into()),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            address.set_ip(std::net::Ipv6Addr::LOCALHOST.into());
        }
        _ => {}
    }
    Url::parse(&format!("http://{address}/")).ok()
}

/// The innermost cause says what happened; the outer ones repeat the address.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
