//! How many requests one token has left. All repositories of a token share one budget, and a part
//! of it is kept for writes: what was done must be told even when reading used up the rest.
//!
//! The numbers are those of GitHub's headers; this module reads no clock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::GitHubError;

/// How long to wait after a secondary limit without a `Retry-After`: at least a minute, says
/// GitHub, and longer each time.
const SECONDARY: Duration = Duration::from_secs(60);

/// The longest wait that an answer can impose.
const LONGEST: Duration = Duration::from_secs(3_700);

/// So many writes may go out at once; after them, one each second, as GitHub asks for.
const BURST: u32 = 10;
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Write,
}

/// What an answer says of the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) status: u16,
    /// `X-RateLimit-Limit`
    pub(super) limit: Option<u64>,
    /// `X-RateLimit-Remaining`
    pub(super) remaining: Option<u64>,
    /// From the answer's own `Date` to `X-RateLimit-Reset`.
    pub(super) resets_in: Option<Duration>,
    /// `Retry-After`
    pub(super) retry_after: Option<Duration>,
    /// Whether the text speaks of a secondary limit.
    pub(super) secondary: bool,
}

#[derive(Debug, Default)]
struct Account {
    limit: Option<u64>,
    remaining: Option<u64>,
    resets: Option<Instant>,
    closed: Option<(Instant, &'static str)>,
    /// Secondary limits in a row.
    strikes: u32,
    /// When the writes so far will have been paid for.
    writes: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<Account>);

impl Budget {
    /// Whether a request may go out now.
    pub(super) fn ask(&self, what: Use, now: Instant) -> Result<(), GitHubError> {
        let mut account = self.lock();
        if let Some((until, why)) = account.closed {
            if now < until {
                return Err(limited(why, until - now));
            }
            account.closed = None;
        }
        if account.resets.is_some_and(|resets| resets <= now) {
            (account.remaining, account.resets) = (None, None);
        }
        let reserve = match what {
            Use::Read => account.limit.map_or(0, reserve),
            Use::Write => 0,
        };
        if let (Some(remaining), Some(resets)) = (account.remaining, account.resets)
            && remaining <= reserve
        {
            let why = match what {
                Use::Read => "the rest of GitHub's rate limit is kept for writes",
                Use::Write => "GitHub's rate limit is used up",
            };
            return Err(limited(why, resets - now));
        }
        Ok(())
    }

    /// How long a write has to wait, now that it is to go out.
    pub(super) fn pace(&self, now: Instant) -> Duration {
        let mut account = self.lock();
        let paid = account.writes.filter(|paid| *paid > now).unwrap_or(now) + WRITE_EVERY;
        account.writes = Some(paid);
        (paid - now).saturating_sub(WRITE_EVERY * BURST)
    }

    /// Takes in what an answer says; the error if it was one of a limit.
    pub(super) fn tell(&self, told: Told, now: Instant) -> Result<(), GitHubError> {
        let mut account = self.lock();
        if let (Some(limit), Some(remaining)) = (told.limit, told.remaining) {
            account.limit = Some(limit);
            account.remaining = Some(remaining);
            account.resets = Some(now + told.resets_in.unwrap_or(SECONDARY).min(LONGEST));
        }
        if !matches!(told.status, 403 | 429) {
            account.strikes = 0;
            return Ok(());
        }
        let (why, wait) = if let Some(wait) = told.retry_after {
            ("GitHub asks to wait (Retry-After)", wait)
        } else if told.remaining == Some(0) {
            ("GitHub's rate limit is used up", told.resets_in.unwrap_or(SECONDARY))
        } else if told.secondary || told.status == 429 {
            ("GitHub's secondary rate limit", SECONDARY * (1 << account.strikes.min(5)))
        } else {
            return Ok(());
        };
        let wait = wait.clamp(Duration::from_secs(1), LONGEST);
        account.strikes = account.strikes.saturating_add(1);
        let until = now + wait;
        account.closed = Some((until, why));
        Err(limited(why, wait))
    }

    /// How many requests are left of how many, if GitHub said so.
    pub(super) fn left(&self) -> Option<(u64, u64)> {
        let account = self.lock();
        Some((account.remaining?, account.limit?))
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept for writes: a twentieth, but at least 10 and at most 500.
fn reserve(limit: u64) -> u64 {
    (limit / 20).clamp(10, 500).min(limit / 2)
}

fn limited(why: &'static str, wait: Duration) -> GitHubError {
    GitHubError::Limited { why, seconds: wait.as_secs().saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, remaining: u64) -> Told {
        let resets_in = Some(Duration::from_secs(100));
        Told { status, limit: Some(5000), remaining: Some(remaining), resets_in, ..Told::default() }
    }

    #[test]
    fn a_part_is_kept_for_writes_until_the_window_ends() {
        let (budget, now) = (Budget::default(), Instant::now());
        budget.ask(Use::Read, now).unwrap();
        budget.tell(told(200, 251), now).unwrap();
        budget.ask(Use::Read, now).unwrap();
        budget.tell(told(200, 250), now).unwrap();
        assert!(matches!(
            budget.ask(Use::Read, now),
            Err(GitHubError::Limited { seconds: 101, .. })
        ));
        budget.ask(Use::Write, now).unwrap();
        budget.tell(told(200, 0), now).unwrap();
        assert!(matches!(budget.ask(Use::Write, now), Err(GitHubError::Limited { .. })));
        let later = now + Duration::from_secs(100);
        budget.ask(Use::Read, later).unwrap();
        budget.ask(Use::Write, later).unwrap();
    }

    #[test]
    fn a_limit_closes_the_whole_account() {
        let (budget, now) = (Budget::default(), Instant::now());
        let after =
            Told { status: 429, retry_after: Some(Duration::from_secs(7)), ..Told::default() };
        assert!(matches!(budget.tell(after, now), Err(GitHubError::Limited { seconds: 8, .. })));
        for what in [Use::Read, Use::Write] {
            budget.ask(what, now + Duration::from_secs(6)).unwrap_err();
        }
        budget.ask(Use::Write, now + Duration::from_secs(7)).unwrap();
        // The primary limit: until its reset.
        assert!(matches!(
            budget.tell(told(403, 0), now),
            Err(GitHubError::Limited { seconds: 101, .. })
        ));
        // A plain refusal closes nothing.
        let budget = Budget::default();
        budget.tell(told(403, 4000), now).unwrap();
        budget.ask(Use::Read, now).unwrap();
    }

    #[test]
    fn secondary_limits_in_a_row_wait_longer() {
        let (budget, now) = (Budget::default(), Instant::now());
        let secondary = Told { secondary: true, ..told(403, 4000) };
        for seconds in [61, 121, 241] {
            let error = budget.tell(secondary, now).unwrap_err();
            assert!(
                matches!(error, GitHubError::Limited { seconds: s, .. } if s == seconds),
                "{error}"
            );
        }
        budget.tell(told(200, 4000), now).unwrap();
        assert!(matches!(
            budget.tell(secondary, now),
            Err(GitHubError::Limited { seconds: 61, .. })
        ));
    }

    #[test]
    fn many_writes_go_out_one_each_second() {
        let (budget, now) = (Budget::default(), Instant::now());
        let waits: Vec<u64> = (0..13).map(|_| budget.pace(now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
        let later = now + Duration::from_secs(60);
        assert_eq!(budget.pace(later), Duration::ZERO);
    }
}
