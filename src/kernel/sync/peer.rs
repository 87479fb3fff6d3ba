//! What is known of a peer: what it says it holds, what it was asked, and how it behaved.

use std::collections::BTreeMap;

use super::machine::Config;
use super::message::MAX_FETCH_BYTES;
use crate::kernel::identity::AuthorId;

/// A fetch asks for no less than this, however slow the peer was.
const MIN_FETCH_BYTES: u32 = 64 * 1024;

/// The first fetch from a peer asks for this much.
const FIRST_FETCH_BYTES: u32 = 1024 * 1024;

/// Failures beyond this number make no difference to waiting times.
const MAX_FAILURES: u32 = 7;

/// The longest penalty: a day.
const MAX_PENALTY_S: u64 = 24 * 60 * 60;

/// A connected peer.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// What it says of the logs of members; bounded by their number.
    pub(super) claims: BTreeMap<AuthorId, Claim>,
    /// The requests of ours that it has not answered.
    pub(super) asked: usize,
    /// The reads from our store that it waits for.
    pub(super) reading: usize,
    /// What it promised or was asked for, and did not give, since it last delivered.
    pub(super) faults: u32,
    /// How much to ask for at once: less after a time-out, more after success.
    pub(super) fetch_bytes: u32,
    /// When to exchange frontiers next.
    pub(super) frontier_at_ms: u64,
    /// The last author of our last frontier, when our logs did not fit into it.
    pub(super) told: Option<AuthorId>,
    /// It named all logs that it holds, since the last time that there were new ones.
    pub(super) named_all: bool,
}

/// What a peer says of one log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// The length that it named, or that it passed on a head of.
    pub(super) length: u64,
    /// It named the length as its own. Otherwise it only passed on a head.
    pub(super) own: bool,
    /// Fetches that failed one after the other.
    pub(super) failures: u32,
    /// Not to be asked for this log before.
    pub(super) not_before_ms: u64,
    /// Its copy was compared with ours, and is the same up to here.
    pub(super) agreed: u64,
}

/// What outlives a connection: how often a peer was penalised, and until when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    pub(super) offences: u32,
    pub(super) until_ms: u64,
}

impl Peer {
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            claims: BTreeMap::new(),
            asked: 0,
            reading: 0,
            faults: 0,
            fetch_bytes: FIRST_FETCH_BYTES,
            frontier_at_ms: now_ms,
            told: None,
            named_all: false,
        }
    }

    /// It names the length of a log that it holds.
    pub(super) fn claims(&mut self, author: AuthorId, length: u64) {
        let claim = self.claims.entry(author).or_insert_with(Claim::none);
        if !claim.own {
            // That it could not deliver what it had only passed on says nothing of what it holds.
            (claim.failures, claim.not_before_ms) = (0, 0);
        }
        (claim.length, claim.own) = (length, true);
    }

    /// It passed on a verified head.
    pub(super) fn passed_on(&mut self, author: AuthorId, length: u64) {
        let claim = self.claims.entry(author).or_insert_with(Claim::none);
        if length > claim.length {
            (claim.length, claim.own) = (length, false);
        }
    }

    pub(super) fn delivered(&mut self, author: &AuthorId) {
        self.faults = 0;
        self.fetch_bytes = self.fetch_bytes.saturating_mul(2).min(MAX_FETCH_BYTES);
        if let Some(claim) = self.claims.get_mut(author) {
            (claim.failures, claim.not_before_ms) = (0, 0);
        }
    }

    pub(super) fn was_slow(&mut self) {
        self.fetch_bytes = (self.fetch_bytes / 2).max(MIN_FETCH_BYTES);
    }

    /// A fetch of this log from it failed: it waits its turn behind the others.
    pub(super) fn failed(&mut self, author: &AuthorId, now_ms: u64, entropy: u64, config: &Config) {
        self.faults = self.faults.saturating_add(1);
        if let Some(claim) = self.claims.get_mut(author) {
            claim.failures = claim.failures.saturating_add(1);
            claim.not_before_ms = now_ms + backoff_ms(config, claim.failures, entropy);
        }
    }
}

impl Claim {
    fn none() -> Self {
        Self { length: 0, own: false, failures: 0, not_before_ms: 0, agreed: 0 }
    }
}

impl Record {
    /// Counts an offence; the penalty doubles from one to the next. Returns its seconds.
    pub(super) fn offence(&mut self, now_ms: u64, config: &Config) -> u64 {
        let doubled = 1u64 << self.offences.min(20);
        let seconds = config.penalty_s.saturating_mul(doubled).min(MAX_PENALTY_S);
        self.offences = self.offences.saturating_add(1);
        self.until_ms = now_ms.saturating_add(seconds * 1000);
        seconds
    }
}

/// How long to wait after so many failures: doubling, between 1 and 1.5 of the nominal time.
pub(super) fn backoff_ms(config: &Config, failures: u32, entropy: u64) -> u64 {
    let nominal = config.backoff_ms << failures.clamp(1, MAX_FAILURES).saturating_sub(1);
    nominal + entropy % (nominal / 2 + 1)
}
