//! A circuit breaker: a server that fails again and again is left alone for a while, then tried
//! with one request. A plain machine: the time is handed in.

use std::time::Duration;

/// How long a server is left alone at most, unless it asks for more itself.
const LONGEST: Duration = Duration::from_secs(300);

/// The server is left alone for so long yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting(pub Duration);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many failures in a row, fewer than the threshold.
    Closed { failures: u32 },
    /// Nobody asks until then.
    Open { until_ms: u64, rest: Duration },
    /// One request was let through at that time.
    HalfOpen { since_ms: u64, rest: Duration },
}

/// The breaker of one server. Times are milliseconds of a clock that never jumps.
#[derive(Debug)]
pub struct Breaker {
    threshold: u32,
    rest: Duration,
    state: State,
}

impl Breaker {
    /// After `threshold` failures in a row, it opens for `rest`; each trial that fails doubles
    /// that.
    #[must_use]
    pub fn new(threshold: u32, rest: Duration) -> Breaker {
        Breaker { threshold: threshold.max(1), rest, state: State::Closed { failures: 0 } }
    }

    /// Whether a request may be sent now.
    ///
    /// # Errors
    /// How long to wait.
    pub fn enter(&mut self, now_ms: u64) -> Result<(), Resting> {
        let left = |until_ms: u64| Err(Resting(Duration::from_millis(until_ms - now_ms)));
        match self.state {
            State::Closed { .. } => return Ok(()),
            State::Open { until_ms, .. } if now_ms < until_ms => return left(until_ms),
            // A trial whose end nobody told is over after a while: it may have been given up.
            State::HalfOpen { since_ms, rest } if now_ms < after(since_ms, rest) => {
                return left(after(since_ms, rest));
            }
            State::Open { rest, .. } | State::HalfOpen { rest, .. } => {
                self.state = State::HalfOpen { since_ms: now_ms, rest };
            }
        }
        Ok(())
    }

    /// The server answered.
    pub fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// The server failed.
    pub fn failed(&mut self, now_ms: u64) {
        self.state = match self.state {
            State::Closed { failures } if failures + 1 < self.threshold => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } => open(now_ms, self.rest),
            // What was under way when it opened says nothing new.
            open @ State::Open { .. } => open,
            State::HalfOpen { rest, .. } => open(now_ms, rest.saturating_mul(2).min(LONGEST)),
        };
    }

    /// The server asks to be left alone for so long.
    pub fn told_to_rest(&mut self, now_ms: u64, wait: Duration) {
        let until_ms = after(now_ms, wait);
        self.state = State::Open { until_ms, rest: self.rest };
    }
}

fn open(now_ms: u64, rest: Duration) -> State {
    State::Open { until_ms: after(now_ms, rest), rest }
}

fn after(ms: u64, wait: Duration) -> u64 {
    ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(10);

    fn wait(ms: u64) -> Result<(), Resting> {
        Err(Resting(Duration::from_millis(ms)))
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let mut breaker = Breaker::new(3, REST);
        for _ in 0..5 {
            breaker.failed(0);
            breaker.failed(0);
            breaker.succeeded();
        }
        assert_eq!(breaker.enter(0), Ok(()));
        for now in [1, 2, 3] {
            assert_eq!(breaker.enter(now), Ok(()));
            breaker.failed(now);
        }
        assert_eq!(breaker.enter(4), wait(9_999));
        assert_eq!(breaker.enter(10_002), wait(1));
    }

    #[test]
    fn one_trial_is_let_through_and_decides() {
        let mut breaker = Breaker::new(1, REST);
        breaker.failed(0);
        assert_eq!(breaker.enter(10_000), Ok(()));
        assert_eq!(breaker.enter(10_001), wait(9_999), "a second one waits for the first");
        breaker.failed(10_002);
        assert_eq!(breaker.enter(10_003), wait(19_999), "it is left alone for twice as long");
        assert_eq!(breaker.enter(30_002), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.enter(30_003), Ok(()));
        assert_eq!(breaker.enter(30_003), Ok(()));
        breaker.failed(30_004);
        assert_eq!(breaker.enter(30_004), wait(10_000), "the wait is the first one again");
    }

    #[test]
    fn a_trial_that_never_ends_holds_nobody_up_for_ever() {
        let mut breaker = Breaker::new(1, REST);
        breaker.failed(0);
        assert_eq!(breaker.enter(10_000), Ok(()));
        assert_eq!(breaker.enter(20_000), Ok(()));
        assert_eq!(breaker.enter(20_001), wait(9_999));
    }

    #[test]
    fn the_wait_is_bounded_and_late_failures_do_not_lengthen_it() {
        let mut breaker = Breaker::new(1, REST);
        let mut now = 0;
        for _ in 0..20 {
            breaker.failed(now);
            breaker.failed(now + 1);
            let Err(Resting(wait)) = breaker.enter(now) else { panic!("it is open") };
            assert!(wait <= LONGEST, "{wait:?}");
            now = after(now, wait);
            assert_eq!(breaker.enter(now), Ok(()));
        }
        breaker.told_to_rest(now, Duration::from_secs(3_600));
        assert_eq!(breaker.enter(now + 1), wait(3_599_999));
    }
}
