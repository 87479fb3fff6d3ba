//! Fetches what peers have and our store has not, and judges what they answer.

use std::ops::Bound::{Excluded, Unbounded};

use super::io::{IngestError, Output};
use super::machine::{Asked, Doing, Sync, What};
use super::message::{Frontier, Held, MAX_FRONTIER_LOGS, Request, Response};
use super::peer::backoff_ms;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{Hash, MAX_LENGTH, Range};

impl Sync {
    pub(super) fn response(
        &mut self,
        peer: AuthorId,
        id: u64,
        result: Result<Vec<u8>, String>,
        out: &mut Vec<Output>,
    ) {
        let asked = self.asked.get(&id).filter(|asked| asked.peer == peer);
        let Some(Asked { what, .. }) = asked.copied() else {
            let late = result.is_err() || (self.was_asked(id) && !self.asked.contains_key(&id));
            if !late && self.peers.contains_key(&peer) {
                let reason = "it answered what it was not asked".to_owned();
                self.penalise(peer, reason, out);
            }
            return;
        };
        let Ok(bytes) = result else {
            return self.request_failed(id, false, out);
        };
        match (what, Response::from_bytes(&bytes)) {
            (What::Frontier, Ok(Response::Frontier(frontier))) => {
                self.forget_request(id);
                self.frontier_came(peer, frontier, out);
            }
            (What::Fetch { author, from, max_bytes }, Ok(Response::Range(range))) => {
                self.forget_request(id);
                match unasked(&range, author, from, max_bytes) {
                    Some(reason) => self.penalise(peer, reason, out),
                    None => self.range_came(peer, range, out),
                }
            }
            (What::Fetch { author, .. }, Ok(Response::Nothing { length })) => {
                self.nothing_came(id, peer, author, length);
            }
            (What::Prove { author, index }, Ok(Response::Proof(branch))) => {
                self.forget_request(id);
                self.proof_came(peer, author, index, branch, out);
            }
            // Its copy became shorter, since what does not stand was dropped.
            (What::Prove { .. }, Ok(Response::Nothing { .. })) | (_, Ok(Response::Refused(_))) => {
                self.request_failed(id, false, out);
            }
            (_, Ok(_)) => {
                let reason = "its response is of another type than the request".to_owned();
                self.penalise(peer, reason, out);
            }
            (_, Err(error)) => {
                self.penalise(peer, format!("its response is malformed: {error}"), out);
            }
        }
    }

    /// A request was not answered, or refused: the log's turn comes with another peer.
    pub(super) fn request_failed(&mut self, id: u64, late: bool, out: &mut Vec<Output>) {
        let Some(asked) = self.forget_request(id) else {
            return;
        };
        let entropy = self.random();
        let Some(peer) = self.peers.get_mut(&asked.peer) else {
            return;
        };
        if late {
            peer.was_slow();
        }
        match asked.what {
            What::Frontier => peer.faults = peer.faults.saturating_add(1),
            What::Fetch { author, .. } => {
                peer.failed(&author, self.now_ms, entropy, &self.config);
            }
            What::Prove { author, .. } => self.no_proof(asked.peer, author, out),
        }
    }

    fn frontier_came(&mut self, peer: AuthorId, frontier: Frontier, out: &mut Vec<Output>) {
        if frontier.swarm == self.swarm {
            if let Some(peer) = self.peers.get_mut(&peer) {
                peer.named_all |= frontier.logs.len() < MAX_FRONTIER_LOGS;
            }
            self.take_claims(peer, frontier, out);
        } else {
            self.penalise(peer, "its frontier is of another swarm".to_owned(), out);
        }
    }

    /// Notes what a peer says of members' logs; what it says of others is nothing to us.
    pub(super) fn take_claims(
        &mut self,
        peer: AuthorId,
        frontier: Frontier,
        out: &mut Vec<Output>,
    ) {
        for Held { author, length, root } in frontier.logs {
            let (Some(log), Some(claimant)) = (self.logs.get(&author), self.peers.get_mut(&peer))
            else {
                continue;
            };
            claimant.claims(author, length);
            if length > log.length {
                self.want(author);
            }
            if let Some(common) = self.is_suspicious(&peer, &author, (length, root)) {
                self.compare(peer, author, common, false, out);
            }
        }
    }

    pub(super) fn heard(&mut self, peer: AuthorId, author: AuthorId, length: u64) {
        let Some(log) = self.logs.get(&author) else {
            return;
        };
        if length <= log.length || length > MAX_LENGTH {
            return;
        }
        // The author holds its own log, whoever passed its head on.
        for holder in [peer, author] {
            if let Some(peer) = self.peers.get_mut(&holder) {
                peer.passed_on(author, length);
            }
        }
        self.want(author);
    }

    fn nothing_came(&mut self, id: u64, peer: AuthorId, author: AuthorId, length: u64) {
        let entropy = self.random();
        self.forget_request(id);
        let Some(peer) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(claim) = peer.claims.get_mut(&author) else {
            return;
        };
        if claim.own {
            // It had named the length as its own: a promise that it did not keep.
            claim.length = length;
            peer.failed(&author, self.now_ms, entropy, &self.config);
        } else {
            // It had only passed on a head, and may hold the records itself soon.
            claim.failures = claim.failures.saturating_add(1);
            claim.not_before_ms = self.now_ms + backoff_ms(&self.config, claim.failures, entropy);
        }
    }

    fn range_came(&mut self, peer: AuthorId, range: Range, out: &mut Vec<Output>) {
        let Some(log) = self.logs.get_mut(&range.author) else {
            // The author is not a member any more.
            return;
        };
        if range.from != log.length || log.doing != Doing::Nothing {
            // The log grew by itself since it was asked for, or it was nobody's for a while and is
            // being fetched anew; the range comes again, from its end.
            return;
        }
        log.doing = Doing::Storing(peer);
        self.storing.insert(range.author, peer);
        self.wanted.remove(&range.author);
        out.push(Output::Ingest { peer, range });
    }

    pub(super) fn ingested(
        &mut self,
        peer: AuthorId,
        author: AuthorId,
        result: Result<(u64, Hash), IngestError>,
        out: &mut Vec<Output>,
    ) {
        let entropy = self.random();
        self.storing.remove(&author);
        if let Some(log) = self.logs.get_mut(&author) {
            match &result {
                Ok((length, root)) => (log.length, log.root) = (*length, *root),
                Err(IngestError::Gap { length }) => log.length = *length,
                Err(IngestError::Store(_) | IngestError::NotAMember | IngestError::OwnLog) => {
                    log.not_before_ms = self.now_ms + backoff_ms(&self.config, 1, entropy);
                }
                Err(IngestError::Invalid(_) | IngestError::Conflict | IngestError::OtherBranch) => {
                }
            }
            if log.doing == Doing::Storing(peer) {
                self.idle(author);
            }
        }
        match result {
            Ok(_) => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.delivered(&author);
                }
            }
            Err(IngestError::Invalid(reason)) => {
                self.penalise(peer, format!("its range does not verify: {reason}"), out);
            }
            Err(IngestError::Conflict) => {
                let log = self.logs.get(&author);
                let common = log.map_or(0, |log| log.length.min(log.stands));
                self.compare(peer, author, common, true, out);
            }
            Err(IngestError::OtherBranch) => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.failed(&author, self.now_ms, entropy, &self.config);
                }
            }
            Err(_) => {}
        }
    }

    /// Starts fetches of logs that somebody has more of, each from the peer that deserves it most.
    pub(super) fn fetch_wanted(&mut self, out: &mut Vec<Output>) {
        if self.wanted.is_empty() {
            return;
        }
        let mut free = self.free_fetches();
        // Turns, so that no log waits for ever behind those whose authors' names are smaller.
        let start = self.turn.map_or(Unbounded, Excluded);
        let later = self.wanted.range((start, Unbounded));
        let earlier = self.turn.map(|turn| self.wanted.range(..=turn));
        let turns: Vec<AuthorId> = later.chain(earlier.into_iter().flatten()).copied().collect();
        for author in turns {
            if free == 0 {
                return;
            }
            match self.best_peer(&author) {
                Choice::Ask(peer) => {
                    self.fetch(peer, author, out);
                    self.turn = Some(author);
                    free -= 1;
                }
                Choice::Later => {}
                Choice::Nobody => {
                    self.wanted.remove(&author);
                }
            }
        }
    }

    /// How many more fetches may start, by our own limit and by those of the peers.
    fn free_fetches(&self) -> usize {
        let fetching = self.logs.values().filter(|log| matches!(log.doing, Doing::Fetching(_)));
        let busy = fetching.count() + self.storing.len();
        let ours = self.config.fetches.saturating_sub(busy);
        let most = self.config.asked_per_peer;
        let theirs = self.peers.values().map(|peer| most.saturating_sub(peer.asked));
        ours.min(theirs.sum())
    }

    fn fetch(&mut self, peer: AuthorId, author: AuthorId, out: &mut Vec<Output>) {
        let from = self.logs.get(&author).map_or(0, |log| log.length);
        let max_bytes = self.peers.get(&peer).map_or(1, |peer| peer.fetch_bytes);
        let request = Request::Fetch { author, from, max_bytes };
        let what = What::Fetch { author, from, max_bytes };
        let id = self.ask(peer, what, &request, out);
        if let (Some(log), Some(id)) = (self.logs.get_mut(&author), id) {
            log.doing = Doing::Fetching(id);
            self.wanted.remove(&author);
        }
    }

    /// The peer that says to have more of a log, failed least, and has least to do.
    fn best_peer(&mut self, author: &AuthorId) -> Choice {
        let Some(log) = self.logs.get(author).copied() else {
            return Choice::Nobody;
        };
        if log.length >= log.stands {
            return Choice::Nobody;
        }
        if log.not_before_ms > self.now_ms {
            return Choice::Later;
        }
        let salt = self.random();
        let mut choice = Choice::Nobody;
        let mut best = None;
        for (id, peer) in &self.peers {
            let claim = peer.claims.get(author);
            let Some(claim) = claim.filter(|claim| claim.length > log.length) else {
                continue;
            };
            let waits = claim.not_before_ms > self.now_ms;
            if waits || peer.asked >= self.config.asked_per_peer || !self.members.contains(id) {
                choice = if best.is_none() { Choice::Later } else { choice };
                continue;
            }
            // Who only passed on a head may not hold the records yet, unless it is the author.
            let unsure = !claim.own && id != author;
            let (name, _) = id.0.split_first_chunk().expect("an id has 32 bytes");
            let tie = (u64::from_le_bytes(*name) ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let failures = peer.faults.saturating_add(claim.failures);
            let rank = (failures, unsure, peer.asked, tie);
            if best.is_none_or(|best| rank < best) {
                (best, choice) = (Some(rank), Choice::Ask(*id));
            }
        }
        choice
    }
}

/// Whom to ask for a log.
enum Choice {
    /// This peer.
    Ask(AuthorId),
    /// Somebody has more, and cannot be asked now.
    Later,
    /// Nobody has more.
    Nobody,
}

/// In which way a range is not what was asked for.
fn unasked(range: &Range, author: AuthorId, from: u64, max_bytes: u32) -> Option<String> {
    if range.author != author {
        return Some(format!("its range is of log {:?} and not {author:?}", range.author));
    }
    if range.from != from {
        let start = range.from;
        return Some(format!("its range starts at {start} and not at {from}"));
    }
    // A single append is sent whole, however long it is.
    let bytes: usize = range.records.iter().map(|record| record.len()).sum();
    if bytes as u64 > u64::from(max_bytes) && range.heads.len() > 1 {
        return Some(format!("its range has {bytes} bytes of records; {max_bytes} were asked for"));
    }
    None
}
