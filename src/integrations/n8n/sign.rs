//! Signatures of what goes out: HMAC-SHA256 (RFC 2104, FIPS 180-4) of the time and the body.

use hmac::{Hmac, Mac};
use reqwest::header::{HeaderName, HeaderValue};
use sha2::Sha256;

use super::Secret;
use crate::integrations::http::HttpError;

/// The header with the signature: `sha256=` and 64 hexadecimal digits.
pub const SIGNATURE: &str = "x-bzzz-signature";

/// The header with the time that is signed: seconds since 1970, in decimal digits.
pub const TIMESTAMP: &str = "x-bzzz-timestamp";

/// The signature of a body: `sha256=` and the HMAC of `TIMESTAMP.BODY` in hexadecimal digits.
///
/// # Errors
/// [`HttpError::Settings`], for a secret that is no key. None is: HMAC takes all lengths.
pub fn signature(secret: &Secret, timestamp: u64, body: &[u8]) -> Result<String, HttpError> {
    let key = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes());
    let mut mac = key.map_err(|error| HttpError::Settings(format!("the secret: {error}")))?;
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(body);
    Ok(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

pub(super) fn headers(
    secret: Option<&Secret>,
    now_s: u64,
    body: &[u8],
) -> Result<Vec<(HeaderName, HeaderValue)>, HttpError> {
    let Some(secret) = secret else { return Ok(Vec::new()) };
    let signature = HeaderValue::from_str(&signature(secret, now_s, body)?)
        .map_err(|error| HttpError::Settings(error.to_string()))?;
    let timestamp = HeaderValue::from(now_s);
    Ok(vec![
        (HeaderName::from_static(SIGNATURE), signature),
        (HeaderName::from_static(TIMESTAMP), timestamp),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected value was made with `openssl dgst -sha256 -hmac`.
    #[test]
    fn a_signature_is_that_of_openssl() {
        let secret = Secret::new("It's a secret".to_owned());
        let signed = signature(&secret, 1_700_000_000, b"{\"a\":1}").unwrap();
        assert_eq!(signed, EXPECTED);
    }

    const EXPECTED: &str =
        "sha256=063c01779d2db19173363fe63eef90a220a70862d2f4742cbb8b449a2c73c877";
}
