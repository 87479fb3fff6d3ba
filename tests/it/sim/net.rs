//! The simulated network: who is connected, what gets lost, how long the rest takes.

use std::collections::{BTreeMap, BTreeSet};

use super::rng::Rng;

/// How often in a hundred messages go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    pub(super) lost: u64,
    pub(super) twice: u64,
    /// Much slower than others, so that later messages overtake it.
    pub(super) slow: u64,
    /// The request fails at once, by a broken stream.
    pub(super) broken: u64,
}

/// What becomes of a message: when its copies arrive, after so many milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Arrives(Vec<u64>),
    Broken,
}

/// A connection between two nodes. The number tells it from the one before: messages of an old
/// connection do not arrive on a new one.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    up: bool,
    number: u64,
    /// One side will have nothing to do with the other before this time.
    banned_until_ms: u64,
}

#[derive(Default)]
pub(super) struct Network {
    pub(super) weather: Weather,
    links: BTreeMap<(usize, usize), Link>,
    /// One side of the partition, if there is one.
    island: BTreeSet<usize>,
}

impl Network {
    /// The number of the connection, if there is one.
    pub(super) fn connection(&self, a: usize, b: usize) -> Option<u64> {
        let link = self.links.get(&pair(a, b))?;
        link.up.then_some(link.number)
    }

    /// Whether messages get through, for what a connection is worth.
    pub(super) fn reaches(&self, a: usize, b: usize) -> bool {
        self.island.contains(&a) == self.island.contains(&b)
    }

    pub(super) fn part(&mut self, island: BTreeSet<usize>) {
        self.island = island;
    }

    /// Connects two nodes, if they can be and are not.
    pub(super) fn connect(&mut self, a: usize, b: usize, now_ms: u64) -> bool {
        let reaches = self.reaches(a, b);
        let link = self.links.entry(pair(a, b)).or_default();
        if link.up || !reaches || link.banned_until_ms > now_ms {
            return false;
        }
        link.up = true;
        link.number += 1;
        true
    }

    /// Takes a connection down; whether there was one.
    pub(super) fn disconnect(&mut self, a: usize, b: usize) -> bool {
        let link = self.links.get_mut(&pair(a, b));
        link.is_some_and(|link| std::mem::replace(&mut link.up, false))
    }

    pub(super) fn ban(&mut self, a: usize, b: usize, until_ms: u64) {
        self.links.entry(pair(a, b)).or_default().banned_until_ms = until_ms;
    }

    /// What becomes of a message that is sent now.
    pub(super) fn fate(&self, from: usize, to: usize, rng: &mut Rng) -> Fate {
        let weather = self.weather;
        if rng.percent(weather.broken) {
            return Fate::Broken;
        }
        if rng.percent(weather.lost) || !self.reaches(from, to) {
            return Fate::Arrives(Vec::new());
        }
        let copies = if rng.percent(weather.twice) { 2 } else { 1 };
        let delay = |rng: &mut Rng| {
            let slow = rng.percent(weather.slow);
            rng.range(if slow { 500..3_000 } else { 1..40 })
        };
        Fate::Arrives((0..copies).map(|_| delay(rng)).collect())
    }
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}
