//! A hybrid logical clock (Kulkarni and others, 2014): 48 bits of milliseconds since 1970, 16 bits
//! of counter. It grows strictly in a log and exceeds every event that its author had taken in.

use std::fmt;

use bincode::{Decode, Encode};
use serde::Serialize;

/// An event whose clock is further ahead of the receiver's than this is held back: 5 minutes.
pub const MAX_AHEAD_MS: u64 = 5 * 60 * 1000;

/// A time of the hybrid logical clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode, Serialize)]
#[serde(transparent)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The earliest time in a millisecond since 1970. Milliseconds beyond 48 bits are cut off.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        Self(ms.min((1 << 48) - 1) << 16)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn ms(self) -> u64 {
        self.0 >> 16
    }

    /// The counter inside the millisecond.
    #[must_use]
    pub fn counter(self) -> u16 {
        u16::try_from(self.0 & 0xffff).expect("masked to 16 bits")
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hlc({}+{})", self.ms(), self.counter())
    }
}

/// The clock cannot go on: it stands at the last time that 64 bits hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hybrid logical clock is exhausted")]
pub struct ClockError;

/// An author's clock: the greatest time that it gave or took in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock(Hlc);

impl Clock {
    /// A clock that goes on behind `last`.
    #[must_use]
    pub fn behind(last: Hlc) -> Self {
        Self(last)
    }

    /// Takes in a time of somebody's event.
    pub fn observe(&mut self, seen: Hlc) {
        self.0 = self.0.max(seen);
    }

    /// The time for the next event.
    ///
    /// # Errors
    /// [`ClockError`] when 64 bits are exhausted.
    pub fn tick(&mut self, now_ms: u64) -> Result<Hlc, ClockError> {
        let next = Hlc(self.0.0.checked_add(1).ok_or(ClockError)?);
        self.0 = next.max(Hlc::from_ms(now_ms));
        Ok(self.0)
    }

    /// The greatest time so far.
    #[must_use]
    pub fn last(self) -> Hlc {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_even_when_the_wall_clock_does_not() {
        let mut clock = Clock::default();
        let a = clock.tick(100).unwrap();
        let b = clock.tick(100).unwrap();
        let c = clock.tick(50).unwrap();
        assert!(a < b && b < c);
        clock.observe(Hlc::from_ms(900));
        assert!(clock.tick(101).unwrap() > Hlc::from_ms(900));
        assert_eq!(Clock::behind(Hlc(u64::MAX)).tick(1), Err(ClockError));
    }
}
