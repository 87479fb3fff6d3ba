//! Masks secrets before anything is written: an append-only log forgets nothing.
//!
//! Two sorts are known: the node's own tokens and keys, by their exact values, and tokens of
//! well-known services, by their shapes. What was masked is replaced by a mark that names the sort,
//! such as `[masked: github-token]`. Reading takes time in proportion to the bytes, whatever they
//! are, and what is held back of a stream is bounded.

mod secrets;

use secrets::Own;
pub(super) use secrets::Secrets;

use crate::kernel::agent::{Input, IssueRead, Outcome, PullRead, Push, Settings};
use crate::kernel::event::kinds::CommandStatus;

/// The longest block of a private key, in bytes. Of a longer one, what follows stays.
const MAX_BLOCK: usize = 16 * 1024;

/// The longest token of the shape of a JSON Web Token, in bytes.
const MAX_JWT: usize = 8 * 1024;

/// How the first line of a private key begins (RFC 7468).
const BLOCK: &[u8] = b"-----BEGIN ";

/// How every part of a JSON Web Token that is an object begins: `{"` in base64url (RFC 7519).
const JWT: &[u8] = b"eyJ";

/// A token that begins with certain bytes and goes on with so many characters of one set.
struct Shape {
    name: &'static str,
    prefix: &'static [u8],
    set: fn(u8) -> bool,
    min: usize,
    max: usize,
}

const fn shape(
    name: &'static str,
    prefix: &'static [u8],
    set: fn(u8) -> bool,
    min: usize,
    max: usize,
) -> Shape {
    Shape { name, prefix, set, min, max }
}

fn alnum(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Letters, digits, `_` and `-`.
fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn base32(byte: u8) -> bool {
    byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte)
}

/// The shapes, each as its service documents it, or as gitleaks 8 has it (its file
/// `config/gitleaks.toml`) where the service does not say how long a token is.
const SHAPES: &[Shape] = &[
    // GitHub, "Behind GitHub's new authentication token formats": four letters and 36 characters,
    // which may become up to 255.
    shape("github-token", b"ghp_", alnum, 36, 255),
    shape("github-token", b"gho_", alnum, 36, 255),
    shape("github-token", b"ghu_", alnum, 36, 255),
    shape("github-token", b"ghs_", alnum, 36, 255),
    shape("github-token", b"ghr_", alnum, 36, 255),
    // gitleaks: github-fine-grained-pat.
    shape("github-token", b"github_pat_", word, 82, 255),
    // GitLab, "Token prefixes"; gitleaks: gitlab-pat.
    shape("gitlab-token", b"glpat-", word, 20, 300),
    // AWS, "IAM identifiers", unique prefixes; gitleaks: aws-access-token.
    shape("aws-key-id", b"AKIA", base32, 16, 16),
    shape("aws-key-id", b"ASIA", base32, 16, 16),
    // Slack, "Token types"; gitleaks: slack-bot-token and its neighbours.
    shape("slack-token", b"xoxb-", word, 20, 300),
    shape("slack-token", b"xoxp-", word, 20, 300),
    shape("slack-token", b"xoxa-", word, 20, 300),
    shape("slack-token", b"xoxr-", word, 20, 300),
    shape("slack-token", b"xoxs-", word, 20, 300),
    // gitleaks: gcp-api-key.
    shape("google-key", b"AIza", word, 35, 35),
    // npm, "About access tokens"; gitleaks: npm-access-token.
    shape("npm-token", b"npm_", alnum, 36, 36),
    // PyPI: the base64 of a macaroon that begins with the place "pypi.org"; gitleaks:
    // pypi-upload-token.
    shape("pypi-token", b"pypi-AgEIcHlwaS5vcmc", word, 50, 1000),
    // gitleaks: anthropic-api-key, openai-api-key, huggingface-access-token.
    shape("model-key", b"sk-ant-", word, 80, 300),
    shape("model-key", b"sk-proj-", word, 40, 300),
    shape("model-key", b"hf_", alnum, 34, 34),
    // gitleaks: stripe-access-token.
    shape("stripe-key", b"sk_live_", alnum, 10, 255),
    shape("stripe-key", b"rk_live_", alnum, 10, 255),
    // age's own description of its keys, and gitleaks: age-secret-key.
    shape("age-key", b"AGE-SECRET-KEY-1", alnum, 58, 58),
];

/// What stands at a place.
enum Found {
    /// A secret of so many bytes.
    Secret(usize, &'static str),
    /// Nothing.
    Nothing,
    /// That depends on what follows.
    More,
}

/// Knows the secrets.
#[derive(Clone, Default)]
pub(super) struct Masker {
    own: Secrets,
}

impl Masker {
    /// With the node's own secrets, and those that come to be known later.
    pub(super) fn new(own: Secrets) -> Self {
        Self { own }
    }

    /// What stands at an index. `end`: nothing follows the bytes.
    fn at(own: &Own, bytes: &[u8], index: usize, end: bool, before: Option<u8>) -> Found {
        let rest = &bytes[index..];
        let begins = |prefix: &[u8]| !end && rest.len() < prefix.len() && prefix.starts_with(rest);
        let mut more = false;
        for secret in &**own {
            if rest.starts_with(secret) {
                return Found::Secret(secret.len(), "own secret");
            }
            more |= begins(secret);
        }
        if more {
            return Found::More;
        }
        for shape in SHAPES {
            match shape.at(rest, end) {
                Found::More => more = true,
                Found::Nothing => more |= begins(shape.prefix),
                secret @ Found::Secret(..) => return secret,
            }
        }
        // It begins with a word, so that no long run of characters is read more than once.
        let found = match before.is_none_or(|byte| !word(byte)) {
            true if rest.starts_with(JWT) => jwt(rest, end),
            true if begins(JWT) => Found::More,
            _ if rest.starts_with(BLOCK) => block(rest, end),
            _ if begins(BLOCK) => Found::More,
            _ => Found::Nothing,
        };
        match found {
            Found::Nothing if more => Found::More,
            found => found,
        }
    }

    /// Masks what is certain, and says how many bytes it went through; the others depend on what
    /// follows.
    fn mask_into(
        &self,
        bytes: &[u8],
        end: bool,
        last: &mut Option<u8>,
        out: &mut Vec<u8>,
    ) -> usize {
        let (own, mut index) = (self.own.now(), 0);
        while let Some(byte) = bytes.get(index) {
            match Self::at(&own, bytes, index, end, *last) {
                Found::Secret(len, name) => {
                    out.extend_from_slice(format!("[masked: {name}]").as_bytes());
                    index += len;
                    *last = Some(b']');
                }
                Found::More => return index,
                Found::Nothing => {
                    out.push(*byte);
                    index += 1;
                    *last = Some(*byte);
                }
            }
        }
        index
    }

    /// A text without secrets.
    pub(super) fn text(&self, text: String) -> String {
        let mut out = Vec::with_capacity(text.len());
        self.mask_into(text.as_bytes(), true, &mut None, &mut out);
        // Secrets are replaced as a whole; own ones are text as well.
        String::from_utf8(out)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }

    /// An input for the agent without secrets. Of output, each stream is masked by itself before.
    pub(super) fn input(&self, input: Input) -> Input {
        match input {
            Input::Issues { repository, issues } => {
                let issues = issues.into_iter().map(|issue| IssueRead {
                    title: self.text(issue.title),
                    body: self.text(issue.body),
                    labels: issue.labels.into_iter().map(|label| self.text(label)).collect(),
                    ..issue
                });
                Input::Issues { repository, issues: issues.collect() }
            }
            Input::Consent { repository, allowed, source, reason } => {
                Input::Consent { repository, allowed, source, reason: self.text(reason) }
            }
            Input::Denied { task, command, host, port, count } => {
                Input::Denied { task, command, host: self.text(host), port, count }
            }
            Input::Outcome(key, outcome) => Input::Outcome(key, self.outcome(outcome)),
            other => other,
        }
    }

    fn outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Answered { ask, model, text, tokens_in, tokens_out } => {
                let (model, text) = (self.text(model), self.text(text));
                Outcome::Answered { ask, model, text, tokens_in, tokens_out }
            }
            Outcome::NoAnswer { ask, error } => Outcome::NoAnswer { ask, error: self.text(error) },
            Outcome::Pushed(Push::Failed(error), claim) => {
                Outcome::Pushed(Push::Failed(self.text(error)), claim)
            }
            Outcome::Ended {
                command,
                status,
                duration_ms,
                output_total,
                output_kept,
                output_hash,
            } => {
                let status = match status {
                    CommandStatus::Killed(why) => CommandStatus::Killed(self.text(why)),
                    CommandStatus::Lost(why) => CommandStatus::Lost(self.text(why)),
                    status => status,
                };
                Outcome::Ended {
                    command,
                    status,
                    duration_ms,
                    output_total,
                    output_kept,
                    output_hash,
                }
            }
            Outcome::PullSeen(read) => {
                Outcome::PullSeen(PullRead { feedback: self.text(read.feedback), ..read })
            }
            Outcome::Opened { sandbox, base, settings, command_seconds } => {
                let texts =
                    |texts: Vec<String>| texts.into_iter().map(|text| self.text(text)).collect();
                let settings = settings.map(|settings| Settings {
                    setup: texts(settings.setup),
                    denied: texts(settings.denied),
                    ..settings
                });
                Outcome::Opened { sandbox, base, settings, command_seconds }
            }
            Outcome::Committed { commit, changed, files } => {
                let files = files.into_iter().map(|file| self.text(file)).collect();
                Outcome::Committed { commit, changed, files }
            }
            Outcome::Unpublishable(why) => Outcome::Unpublishable(self.text(why)),
            Outcome::Failed(why) => Outcome::Failed(self.text(why)),
            other => other,
        }
    }

    /// A stream of bytes that comes in pieces.
    pub(super) fn stream(&self) -> Stream {
        Stream { masker: self.clone(), held: Vec::new(), last: None }
    }
}

impl Shape {
    fn at(&self, rest: &[u8], end: bool) -> Found {
        let Some(rest) = rest.strip_prefix(self.prefix) else {
            return Found::Nothing;
        };
        let run = run(rest, self.max + 1, self.set);
        if run > self.max {
            Found::Nothing
        } else if run == rest.len() && !end {
            Found::More
        } else if run < self.min {
            Found::Nothing
        } else {
            Found::Secret(self.prefix.len() + run, self.name)
        }
    }
}

fn run(bytes: &[u8], max: usize, set: fn(u8) -> bool) -> usize {
    bytes.iter().take(max).take_while(|byte| set(**byte)).count()
}

/// Header, payload and signature with dots between, the first two objects in base64url.
fn jwt(rest: &[u8], end: bool) -> Found {
    let mut at = 0;
    for part in 0..3 {
        if part < 2 && rest.len() >= at + JWT.len() && !rest[at..].starts_with(JWT) {
            return Found::Nothing;
        }
        let length = run(&rest[at..], MAX_JWT.saturating_sub(at), word);
        at += length;
        if at >= MAX_JWT {
            // Far longer than any that is of use; as much of it is masked as was looked at.
            return if part == 2 { Found::Secret(at, "jwt") } else { Found::Nothing };
        }
        if at == rest.len() && !end {
            return Found::More;
        }
        if length < 10 {
            return Found::Nothing;
        }
        if part < 2 {
            if rest.get(at) != Some(&b'.') {
                return Found::Nothing;
            }
            at += 1;
        }
    }
    Found::Secret(at, "jwt")
}

/// From the first line of a private key to its last, or as far as it goes on like one.
fn block(rest: &[u8], end: bool) -> Found {
    const KEY: &[u8] = b"PRIVATE KEY";
    const END: &[u8] = b"-----END ";
    let label: fn(u8) -> bool = |b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ';
    let name = BLOCK.len() + run(&rest[BLOCK.len()..], 64, label);
    if name == rest.len() && !end {
        return Found::More;
    }
    if !rest[..name].windows(KEY.len()).any(|found| found == KEY) {
        return Found::Nothing;
    }
    // Base64, line ends also as they are written in JSON, and the headers of old forms.
    let inside = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=-,: \t\r\n\\".contains(byte);
    let body = rest[name..].iter().take(MAX_BLOCK).take_while(inside).count();
    let stop = name + body;
    let last = rest[name..stop].windows(END.len()).position(|found| found == END);
    match last.map(|at| name + at + END.len()) {
        Some(at) => {
            // The label and five dashes: what follows may be another secret.
            let label = run(&rest[at..], 64, label);
            let dashes = run(&rest[at + label..], 5, |byte| byte == b'-');
            let last = at + label + dashes;
            if last == rest.len() && dashes < 5 && label < 64 && !end {
                return Found::More;
            }
            Found::Secret(last, "private-key")
        }
        None if stop == rest.len() && body < MAX_BLOCK && !end => Found::More,
        None => Found::Secret(stop, "private-key"),
    }
}

/// A stream that is masked: what may be the beginning of a secret is held back until it is known.
pub(super) struct Stream {
    masker: Masker,
    held: Vec<u8>,
    last: Option<u8>,
}

impl Stream {
    /// Takes a piece, and gives what is certain.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        self.take(false)
    }

    /// The rest: nothing follows.
    pub(super) fn end(&mut self) -> Vec<u8> {
        self.take(true)
    }

    fn take(&mut self, end: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.held.len());
        let done = self.masker.mask_into(&self.held, end, &mut self.last, &mut out);
        self.held.drain(..done);
        out
    }
}

#[cfg(test)]
mod tests;
