//! The address of a remote: what may be used as one, and what may be shown of it.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use zeroize::Zeroizing;

use super::GitError;

/// The longest address of a remote, in bytes.
pub const MAX_URL_BYTES: usize = 2048;

/// The longest name of a branch, in bytes.
pub const MAX_BRANCH_BYTES: usize = 200;

/// A text that is never shown: `Debug` prints stars, and the memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps a text secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place that must hand it on.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A token that may be replaced while it is in use, as that of a GitHub App is every hour. Clones
/// are one token.
#[derive(Clone, Debug)]
pub struct Token(Arc<RwLock<Secret>>);

impl Token {
    /// With this text; an empty one is no token yet.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Arc::new(RwLock::new(Secret::new(text))))
    }

    /// Replaces the text, for all that is begun from now on.
    pub fn set(&self, text: String) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Secret::new(text);
    }

    fn get(&self) -> Secret {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where a repository lives, and how the node may enter.
#[derive(Clone, Debug)]
pub struct Remote {
    /// `https://`, `http://`, `ssh://` or `file://`, `user@host:path`, or an absolute path. It
    /// holds no password; an address of HTTP holds no user either.
    pub url: String,
    /// For HTTP: a token, or `user:password`. Plain `http` carries one only over loopback.
    pub token: Option<Token>,
    /// The base branch, for example `main`: what work starts from.
    pub branch: String,
}

/// How git reaches a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Https,
    Http,
    Ssh,
    File,
}

impl Remote {
    /// The address as it may be shown: without user and password.
    #[must_use]
    pub fn shown(&self) -> String {
        let shown: String = match self.url.split_once("://") {
            Some((scheme, rest)) => {
                let authority = rest.find('/').unwrap_or(rest.len());
                let host = rest[..authority].rfind('@').map_or(0, |at| at + 1);
                format!("{scheme}://{}", &rest[host..])
            }
            None => self.url.clone(),
        };
        shown.chars().filter(|c| !c.is_control()).take(200).collect()
    }

    /// Checks that the address, the token and the base branch can be used.
    pub(super) fn check(&self) -> Result<(), GitError> {
        self.faults().map_err(|why| GitError::BadRemote { remote: self.shown(), why })
    }

    /// The one protocol that git may use for this remote.
    pub(super) fn protocol(&self) -> &'static str {
        match self.scheme() {
            Some(Scheme::Https) => "https",
            Some(Scheme::Http) => "http",
            Some(Scheme::Ssh) => "ssh",
            Some(Scheme::File) | None => "file",
        }
    }

    /// The header that carries the token: GitHub, GitLab and Gitea all take any user name with it.
    pub(super) fn header(&self) -> Option<Secret> {
        let token = self.token.as_ref()?.get();
        let token = token.expose();
        if token.is_empty() {
            return None;
        }
        let pair = Zeroizing::new(match token.contains(':') {
            true => token.to_owned(),
            false => format!("x-access-token:{token}"),
        });
        let encoded = Zeroizing::new(base64(pair.as_bytes()));
        Some(Secret::new(format!("Authorization: Basic {}", encoded.as_str())))
    }

    /// Removes the token, also in its encoded form, from what git or a remote said.
    pub(super) fn scrub(&self, said: &str) -> String {
        let Some(token) = self.token.as_ref().map(Token::get) else {
            return said.to_owned();
        };
        let mut said = said.to_owned();
        let header = self.header();
        let encoded = header.as_ref().and_then(|header| header.expose().rsplit(' ').next());
        for secret in encoded.into_iter().chain(token.expose().split(':')) {
            if secret.len() >= 4 {
                said = said.replace(secret, "***");
            }
        }
        said
    }

    fn scheme(&self) -> Option<Scheme> {
        let known = [
            ("https://", Scheme::Https),
            ("http://", Scheme::Http),
            ("ssh://", Scheme::Ssh),
            ("file:///", Scheme::File),
            ("/", Scheme::File),
        ];
        let named = known.iter().find(|(start, _)| self.url.starts_with(start));
        named.map(|(_, scheme)| *scheme).or_else(|| {
            // `user@host:path`: a colon before any slash, and no transport helper (`ext::`).
            let (host, path) = self.url.split_once(':')?;
            let plain = |c: char| c.is_ascii_alphanumeric() || "@._-[]".contains(c);
            let usable = !host.is_empty() && host.chars().all(plain) && !path.is_empty();
            let rooted = path.starts_with('/') && host.contains('@');
            let usable = usable && (rooted || !path.starts_with([':', '/', '-']));
            usable.then_some(Scheme::Ssh)
        })
    }

    fn faults(&self) -> Result<(), &'static str> {
        if self.url.len() > MAX_URL_BYTES {
            return Err("its address is too long");
        }
        if self.url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("its address holds a space or a control character");
        }
        let Some(scheme) = self.scheme() else {
            return Err("give https://, http://, ssh:// or file://, user@host:path, \
                        or an absolute path");
        };
        let authority = match self.url.split_once("://") {
            Some((_, rest)) => &rest[..rest.find('/').unwrap_or(rest.len())],
            None => self.url.split_once(':').map_or("", |(host, _)| host),
        };
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let web = matches!(scheme, Scheme::Http | Scheme::Https);
        if user.contains(':') || (web && authority.contains('@')) {
            return Err("its address holds credentials: put them into the token");
        }
        if user.starts_with('-') || host.starts_with('-') {
            return Err("its host begins with a dash");
        }
        if scheme != Scheme::File && host.is_empty() {
            return Err("its address names no host");
        }
        if let Some(token) = &self.token {
            if !web {
                return Err("only an address of HTTP takes a token");
            }
            if token.get().expose().chars().any(char::is_control) {
                return Err("its token holds a control character");
            }
            if scheme == Scheme::Http && !is_loopback(host) {
                return Err("a token is sent only over https");
            }
        }
        check_branch(&self.branch)
    }
}

/// Whether the host (with or without a port) is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name == "::1" || name == "127.0.0.1"
}

/// Whether git takes the name as that of a branch; stricter than git, which also takes `@{`-free
/// names of any script.
pub(super) fn check_branch(name: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/+#".contains(c);
    if name.is_empty() || name.len() > MAX_BRANCH_BYTES {
        return Err("a branch's name has 1 to 200 bytes");
    }
    if !name.chars().all(plain) || name.contains("..") {
        return Err("a branch's name holds letters, digits, '.', '_', '-', '+', '#', '/', no '..'");
    }
    let part = |part: &str| {
        let dotted = part.starts_with('.') || part.ends_with('.') || part.ends_with(".lock");
        !part.is_empty() && !part.starts_with('-') && !dotted
    };
    match name.split('/').all(part) {
        true => Ok(()),
        false => Err("a part of a branch's name is empty, or begins or ends in a way git refuses"),
    }
}

/// Base64 with padding (RFC 4648): the form that the header wants.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let digit = (group >> (18 - 6 * i)) & 63;
            let shown = i <= chunk.len();
            text.push(if shown { char::from(DIGITS[digit as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Remote, Token, base64, check_branch};

    fn remote(url: &str, token: Option<&str>) -> Remote {
        let token = token.map(|text| Token::new(text.to_owned()));
        Remote { url: url.to_owned(), token, branch: "main".to_owned() }
    }

    #[test]
    fn base64_pads_as_the_rfc_says() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn addresses_that_name_a_repository_are_taken() {
        let good = [
            "https://example.org/a/b.git",
            "http://127.0.0.1:8080/b.git",
            "ssh://git@example.org:22/b.git",
            "git@example.org:a/b.git",
            "git@example.org:/a/b.git",
            "file:///srv/b.git",
            "/srv/b.git",
        ];
        for url in good {
            remote(url, None).check().unwrap();
        }
    }

    #[test]
    fn addresses_that_run_or_reveal_something_are_refused() {
        let bad = [
            "ext::sh -c id",
            "ext::id",
            "fd::3",
            "-oProxyCommand=id",
            "ssh://-oProxyCommand=id/x",
            "ssh://git@-oProxyCommand=id/x",
            "-x@host:path",
            "relative/path",
            "../up",
            "https://user:word@example.org/b.git",
            "https://token@example.org/b.git",
            "ssh://git:word@example.org/b.git",
            "ftp://example.org/b.git",
            "https:///b.git",
            "",
        ];
        for url in bad {
            assert!(remote(url, None).check().is_err(), "{url} was taken");
        }
        assert!(remote("http://example.org/b.git", Some("token")).check().is_err());
        assert!(remote("ssh://git@example.org/b.git", Some("token")).check().is_err());
        remote("http://127.0.0.1:1/b.git", Some("token")).check().unwrap();
    }

    #[test]
    fn nothing_shown_holds_a_credential() {
        assert_eq!(remote("https://u:p@example.org/b", None).shown(), "https://example.org/b");
        let remote = remote("https://example.org/b", Some("tokentoken"));
        assert!(!format!("{remote:?}").contains("tokentoken"));
        let header = remote.header().unwrap();
        let said = format!("x tokentoken y {}", header.expose());
        assert_eq!(remote.scrub(&said), "x *** y Authorization: Basic ***");
        let before = remote.header().unwrap();
        remote.token.as_ref().unwrap().clone().set("another token".to_owned());
        assert_ne!(remote.header().unwrap().expose(), before.expose());
    }

    #[test]
    fn branch_names_are_plain() {
        for name in ["main", "bzzz/3-fix", "release/1.2", "a_b"] {
            check_branch(name).unwrap();
        }
        for name in ["", "-x", "a..b", "a/", "/a", "a//b", ".a", "a.lock", "a b", "a:b", "a~1", "*"]
        {
            assert!(check_branch(name).is_err(), "{name} was taken");
        }
    }
}
