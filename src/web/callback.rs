//! Who may answer a question of a node through its interface: whoever shows the node's token, the
//! key of callbacks, or a fresh signature with the secret that is shared with the workflow.

use axum::http::{HeaderMap, StatusCode, header};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::api::Refusal;

/// The header with the signature: `sha256=` and 64 hexadecimal digits.
pub const SIGNATURE: &str = "x-bzzz-signature";

/// The header with the time that is signed: seconds since 1970, in decimal digits.
pub const TIMESTAMP: &str = "x-bzzz-timestamp";

/// How far the time of a signature may be from this node's, in seconds.
pub const MAX_SKEW_S: u64 = 300;

/// What a callback has to show.
#[derive(Default)]
pub struct Callback {
    /// A key, for `Authorization: Bearer KEY`.
    pub key: Option<Zeroizing<String>>,
    /// A secret, for signatures.
    pub secret: Option<Zeroizing<String>>,
}

/// How an answer came, for the event that tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// With the node's own token.
    Api,
    /// With the key or the secret of callbacks.
    N8n,
}

impl Channel {
    pub(super) fn name(self) -> &'static str {
        match self {
            Channel::Api => "api",
            Channel::N8n => "n8n",
        }
    }
}

/// What of a request is checked.
pub(super) struct Shown<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) path: &'a str,
    pub(super) body: &'a [u8],
    /// The node's time, in seconds since 1970.
    pub(super) now_s: u64,
}

impl Callback {
    /// Who asks.
    ///
    /// # Errors
    /// Status 401, and what was missing or wrong.
    pub(super) fn check(&self, shown: &Shown<'_>, token: &str) -> Result<Channel, Refusal> {
        let refused = |what: &str| Err(Refusal::new(StatusCode::UNAUTHORIZED, what));
        let bearer = |secret: &str| super::guard::has_token(shown.headers, secret);
        if bearer(token) {
            return Ok(Channel::Api);
        }
        if self.key.as_ref().is_some_and(|key| bearer(key)) {
            return Ok(Channel::N8n);
        }
        if shown.headers.contains_key(header::AUTHORIZATION) {
            return refused("the key in `Authorization` is not one that may answer");
        }
        let (signature, timestamp) = (one(shown, SIGNATURE)?, one(shown, TIMESTAMP)?);
        let (Some(signature), Some(timestamp)) = (signature, timestamp) else {
            return refused(
                "the request needs `Authorization: Bearer KEY`, or X-Bzzz-Signature and \
                 X-Bzzz-Timestamp",
            );
        };
        let Some(secret) = &self.secret else {
            return refused("this node knows no secret for signatures; set n8n.secret_file");
        };
        let time: u64 = match timestamp.parse() {
            Ok(time) => time,
            Err(_) => return refused("X-Bzzz-Timestamp is no number of seconds since 1970"),
        };
        // The time is part of what is signed, so that an old request cannot be sent again later.
        if time.abs_diff(shown.now_s) > MAX_SKEW_S {
            return refused("X-Bzzz-Timestamp is more than 300 s from this node's time");
        }
        if !is_signed(secret, timestamp, shown, signature) {
            return refused("X-Bzzz-Signature is not that of this time, path and body");
        }
        Ok(Channel::N8n)
    }
}

/// Whether the signature is that of `TIMESTAMP.PATH.BODY`. The path is in it, so that an answer to
/// one question is none to another. The comparison takes the same time wherever they differ.
fn is_signed(secret: &str, timestamp: &str, shown: &Shown<'_>, signature: &str) -> bool {
    let digits = signature.strip_prefix("sha256=").and_then(|digits| hex::decode(digits).ok());
    let (Some(given), Ok(mut mac)) = (digits, Hmac::<Sha256>::new_from_slice(secret.as_bytes()))
    else {
        return false;
    };
    mac.update(format!("{timestamp}.{}.", shown.path).as_bytes());
    mac.update(shown.body);
    !secret.is_empty() && mac.verify_slice(&given).is_ok()
}

/// The value of a header that may stand once.
fn one<'a>(shown: &Shown<'a>, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    let wrong = || Refusal::new(StatusCode::BAD_REQUEST, format!("the {name} header is malformed"));
    let mut values = shown.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| wrong()),
        (Some(_), Some(_)) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const PATH: &str = "/api/escalations/ab/answer";

    fn callback() -> Callback {
        let text = |text: &str| Some(Zeroizing::new(text.to_owned()));
        Callback { key: text("callback-key"), secret: text("It's a secret") }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn channel(headers: &HeaderMap, path: &str, body: &[u8], now_s: u64) -> Option<Channel> {
        let shown = Shown { headers, path, body, now_s };
        callback().check(&shown, "node-token").ok()
    }

    /// Made with `openssl dgst -sha256 -hmac`, of `1700000000.` PATH `.{"a":1}`.
    const SIGNED: &str = "sha256=2c9f6bba22d3a257e0c105daee2f898fbac6a2a80ad104499089da4d607ecb8f";

    #[test]
    fn a_fresh_signature_of_this_request_is_believed() {
        let signed = headers(&[(SIGNATURE, SIGNED), (TIMESTAMP, "1700000000")]);
        let ask = |path, body: &[u8], now| channel(&signed, path, body, now);
        let now = 1_700_000_000;
        for skew in [0, 1, 299, 300] {
            assert_eq!(ask(PATH, b"{\"a\":1}", now + skew), Some(Channel::N8n));
            assert_eq!(ask(PATH, b"{\"a\":1}", now - skew), Some(Channel::N8n));
        }
        assert_eq!(ask(PATH, b"{\"a\":1}", now + 301), None);
        assert_eq!(ask(PATH, b"{\"a\":1}", now - 301), None);
        assert_eq!(ask(PATH, b"{\"a\":2}", now), None);
        assert_eq!(ask("/api/escalations/ac/answer", b"{\"a\":1}", now), None);
        let other = headers(&[(SIGNATURE, SIGNED), (TIMESTAMP, "1700000001")]);
        assert_eq!(channel(&other, PATH, b"{\"a\":1}", now), None);
        for wrong in ["", "sha256=", "sha256=00", &SIGNED[7..], &SIGNED[..70]] {
            let wrong = headers(&[(SIGNATURE, wrong), (TIMESTAMP, "1700000000")]);
            assert_eq!(channel(&wrong, PATH, b"{\"a\":1}", now), None);
        }
    }

    #[test]
    fn keys_are_believed_and_others_are_not() {
        let ask = |value: &str| channel(&headers(&[("authorization", value)]), PATH, b"", 0);
        assert_eq!(ask("Bearer node-token"), Some(Channel::Api));
        assert_eq!(ask("Bearer callback-key"), Some(Channel::N8n));
        for wrong in ["Bearer callback-ke", "Bearer It's a secret", "callback-key", "Bearer "] {
            assert_eq!(ask(wrong), None, "{wrong}");
        }
        assert_eq!(channel(&HeaderMap::new(), PATH, b"", 0), None);
        let signed = headers(&[(SIGNATURE, SIGNED), (TIMESTAMP, "1700000000")]);
        let shown =
            Shown { headers: &signed, path: PATH, body: b"{\"a\":1}", now_s: 1_700_000_000 };
        assert!(Callback::default().check(&shown, "node-token").is_err(), "no secret is known");
    }
}
