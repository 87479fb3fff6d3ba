//! When to try again: exponential backoff with full jitter, and what a server asks for.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// The longest wait that a server can ask for. One that asks for more is asked again then.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// How often a request is sent, and how long is waited between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// How often it is sent at most, the first time included.
    pub attempts: u32,
    /// The bound of the first wait; it doubles with each further one.
    pub first: Duration,
    /// The longest wait. A server that asks for a longer one is not waited for.
    pub longest: Duration,
}

impl Default for Backoff {
    /// Three times, half a second, 10 seconds.
    fn default() -> Backoff {
        Backoff { attempts: 3, first: Duration::from_millis(500), longest: Duration::from_secs(10) }
    }
}

impl Backoff {
    /// The wait after the attempt of this number, counted from 1, if there is a further one:
    /// anywhere between nothing and the bound, so that many clients of a server that comes back
    /// don't come all at once; and not shorter than what the server asked for.
    #[must_use]
    pub fn wait(&self, attempt: u32, asked: Option<Duration>, random: u64) -> Option<Duration> {
        if attempt >= self.attempts || asked.is_some_and(|asked| asked > self.longest) {
            return None;
        }
        let doubled = self.first.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        let bound = u64::try_from(doubled.min(self.longest).as_millis()).unwrap_or(u64::MAX);
        let jitter = Duration::from_millis(random % bound.saturating_add(1).max(1));
        Some(asked.map_or(jitter, |asked| asked + jitter.min(self.first)))
    }
}

/// What `Retry-After` (RFC 9110, 10.2.3) asks for: seconds, or a date, which counts from the
/// server's own `Date`, so that no two clocks are compared.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            LONGEST_RETRY_AFTER
        }
        Err(_) => {
            let date = |text: &str| httpdate::parse_http_date(text).ok();
            let now = date(headers.get(DATE)?.to_str().ok()?)?;
            date(text)?.duration_since(now).unwrap_or_default()
        }
    };
    Some(asked.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn backoff() -> Backoff {
        Backoff {
            attempts: 4,
            first: Duration::from_millis(100),
            longest: Duration::from_millis(300),
        }
    }

    #[test]
    fn waits_grow_to_a_bound_and_end() {
        let ms = |attempt, random| backoff().wait(attempt, None, random).map(|w| w.as_millis());
        assert_eq!(ms(1, 0), Some(0));
        assert_eq!(ms(1, 100), Some(100));
        assert_eq!(ms(1, 101), Some(0), "the jitter is full: from nothing to the bound");
        assert_eq!(ms(2, 200), Some(200));
        assert_eq!(ms(3, 300), Some(300));
        assert_eq!(ms(3, 301), Some(0), "the bound is the longest wait");
        assert_eq!(ms(4, 7), None);
        let one = Backoff { attempts: 1, ..backoff() };
        assert_eq!(one.wait(1, None, 7), None);
    }

    #[test]
    fn what_the_server_asks_for_is_the_least() {
        let asked = |ms| backoff().wait(1, Some(Duration::from_millis(ms)), 50);
        assert_eq!(asked(200), Some(Duration::from_millis(250)));
        assert_eq!(asked(301), None, "nobody waits that long here");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |after: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(after).unwrap());
            if let Some(date) = date {
                headers.insert(DATE, HeaderValue::from_str(date).unwrap());
            }
            retry_after(&headers).map(|wait| wait.as_secs())
        };
        let (noon, later) = ("Sun, 22 Nov 2026 12:00:00 GMT", "Sun, 22 Nov 2026 12:01:30 GMT");
        assert_eq!(read("7", None), Some(7));
        assert_eq!(read(later, Some(noon)), Some(90));
        assert_eq!(read(noon, Some(later)), Some(0), "a date that is over");
        assert_eq!(read(later, None), None);
        assert_eq!(read("99999999999999999999", None), Some(3_600));
        assert_eq!(read("86400", None), Some(3_600));
        for garbage in ["", "-1", "soon", "1.5"] {
            assert_eq!(read(garbage, Some(noon)), None, "{garbage}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
