//! The state, the one way in, and what happens by itself: connections, members, time.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::Comparison;
use super::io::{Input, Output};
use super::message::Request;
use super::peer::{Peer, Record};
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::Hash;

/// With so many peers connected, no further one is taken note of unless it is a member.
const MAX_PEERS: usize = 1024;

/// The times and numbers of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// From one exchange of frontiers with a peer to the next, in milliseconds, before jitter.
    pub frontier_every_ms: u64,
    /// A request that is not answered after this time, in milliseconds, has failed.
    pub request_timeout_ms: u64,
    /// How long to wait after the first failure, in milliseconds; it doubles from there on.
    pub backoff_ms: u64,
    /// Unanswered requests to one peer, at most.
    pub asked_per_peer: usize,
    /// Ranges that are fetched or being stored, at most. Times the longest range, it bounds memory.
    pub fetches: usize,
    /// Reads from the store for one peer, at most.
    pub reads_per_peer: usize,
    /// Reads from the store for all peers, at most.
    pub reads: usize,
    /// The first penalty of a peer, in seconds; it doubles from one to the next, up to a day.
    pub penalty_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            frontier_every_ms: 5_000,
            request_timeout_ms: 30_000,
            backoff_ms: 500,
            asked_per_peer: 4,
            fetches: 16,
            reads_per_peer: 8,
            reads: 32,
            penalty_s: 60,
        }
    }
}

/// The replication of one node.
#[derive(Clone, Debug)]
pub struct Sync {
    pub(super) swarm: SwarmId,
    pub(super) config: Config,
    pub(super) now_ms: u64,
    entropy: u64,
    next_id: u64,
    pub(super) members: BTreeSet<AuthorId>,
    /// What our store holds of the members' logs, and what is being done about each.
    pub(super) logs: BTreeMap<AuthorId, Log>,
    /// The logs that somebody says to have more of, and that nothing is being done about.
    pub(super) wanted: BTreeSet<AuthorId>,
    /// Where the last turn through `wanted` ended.
    pub(super) turn: Option<AuthorId>,
    pub(super) peers: BTreeMap<AuthorId, Peer>,
    pub(super) asked: BTreeMap<u64, Asked>,
    pub(super) reads: BTreeSet<(AuthorId, u64)>,
    pub(super) rotations: Vec<Vec<u8>>,
    /// The logs of which our copy is being compared with a peer's.
    pub(super) comparisons: BTreeMap<AuthorId, Comparison>,
    /// The logs of which a range is being verified and stored, each with the peer that sent it:
    /// also those that are nobody's meanwhile, and may be somebody's again before it is done.
    pub(super) storing: BTreeMap<AuthorId, AuthorId>,
    /// Members that were penalised. Bounded by the members, who are the only ones to be believed
    /// a key.
    pub(super) records: BTreeMap<AuthorId, Record>,
}

/// One log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    pub(super) length: u64,
    pub(super) root: Hash,
    /// Up to which length the log stands.
    pub(super) stands: u64,
    pub(super) doing: Doing,
    /// Our store failed, or took the author for no member: not before this time.
    pub(super) not_before_ms: u64,
}

/// What is being done about a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Doing {
    #[default]
    Nothing,
    /// The request of this id is not answered.
    Fetching(u64),
    /// The range of this peer is being verified and stored.
    Storing(AuthorId),
    /// Our copy is being compared with this peer's.
    Comparing(AuthorId),
}

/// A request of ours that is not answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) peer: AuthorId,
    pub(super) what: What,
    pub(super) deadline_ms: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Frontier,
    Fetch { author: AuthorId, from: u64, max_bytes: u32 },
    Prove { author: AuthorId, index: u64 },
    Introduce,
}

/// How far a log is behind what peers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Whose log.
    pub author: AuthorId,
    /// The number of records in our store.
    pub length: u64,
    /// The greatest length that a connected peer names, as far as the log stands. Nobody has
    /// verified it.
    pub claimed: u64,
}

impl Log {
    fn new(stands: u64) -> Self {
        let (root, doing) = (Hash::root(0, &[]), Doing::Nothing);
        Self { length: 0, root, stands, doing, not_before_ms: 0 }
    }
}

impl Sync {
    /// A machine that knows no members, no logs and no peers. `entropy` is random bits for jitter
    /// and for the choice among equals.
    #[must_use]
    pub fn new(swarm: SwarmId, config: Config, entropy: u64) -> Self {
        Self {
            swarm,
            config,
            now_ms: 0,
            entropy,
            next_id: 1,
            members: BTreeSet::new(),
            logs: BTreeMap::new(),
            wanted: BTreeSet::new(),
            turn: None,
            peers: BTreeMap::new(),
            asked: BTreeMap::new(),
            reads: BTreeSet::new(),
            rotations: Vec::new(),
            comparisons: BTreeMap::new(),
            storing: BTreeMap::new(),
            records: BTreeMap::new(),
        }
    }

    /// Takes in what happened, at a time of a monotonic clock in milliseconds, and says what to do.
    #[must_use]
    pub fn handle(&mut self, now_ms: u64, input: Input) -> Vec<Output> {
        self.now_ms = self.now_ms.max(now_ms);
        let mut out = Vec::new();
        match input {
            Input::Connected(peer) => self.connected(peer, &mut out),
            Input::Disconnected(peer) => self.disconnected(&peer),
            Input::Request { peer, id, bytes } => self.request(peer, id, &bytes, &mut out),
            Input::Response { peer, id, result } => self.response(peer, id, result, &mut out),
            Input::ReadDone { peer, id, result } => self.read_done(peer, id, result, &mut out),
            Input::Proved { peer, answers, author, index, result } => match answers {
                Some(id) => self.proof_read((peer, id), &author, result, &mut out),
                None => self.own_branch(peer, author, index, result.ok().flatten(), &mut out),
            },
            Input::Local { author, length, root } => self.local(author, length, root),
            Input::Ingested { peer, author, result } => {
                self.ingested(peer, author, result, &mut out);
            }
            Input::Members { peers, logs } => self.new_members(peers, &logs),
            Input::Rotations(rotations) => self.our_rotations(rotations),
            Input::Introduced { peer, id, result } => self.introduced(peer, id, result, &mut out),
            Input::Heard { peer, author, length } => self.heard(peer, author, length),
            Input::Tick => self.tick(&mut out),
        }
        self.exchange_frontiers(&mut out);
        self.fetch_wanted(&mut out);
        out
    }

    /// How far each member's log is behind what connected peers say.
    #[must_use]
    pub fn lag(&self) -> Vec<Lag> {
        let lag = |(author, log): (&AuthorId, &Log)| {
            let claims = self.peers.values().filter_map(|peer| peer.claims.get(author));
            let claimed = claims.map(|claim| claim.length.min(log.stands)).max();
            let claimed = claimed.unwrap_or(0);
            let (author, length) = (*author, log.length);
            Lag { author, length, claimed }
        };
        self.logs.iter().map(lag).collect()
    }

    /// The peers that are connected and members.
    #[must_use]
    pub fn peers(&self) -> BTreeSet<AuthorId> {
        let members = self.peers.keys().filter(|peer| self.members.contains(*peer));
        members.copied().collect()
    }

    fn connected(&mut self, peer: AuthorId, out: &mut Vec<Output>) {
        if let Some(seconds) = self.penalised_for_s(&peer) {
            let reason = "it is still penalised for what it did before".to_owned();
            out.push(Output::Penalise { peer, reason, seconds });
            return;
        }
        let room = self.peers.len() < MAX_PEERS || self.members.contains(&peer);
        // A second connection changes nothing.
        if room && !self.peers.contains_key(&peer) {
            self.peers.insert(peer, Peer::new(self.now_ms));
        }
    }

    pub(super) fn disconnected(&mut self, peer: &AuthorId) {
        self.peers.remove(peer);
        self.forget_comparisons(peer);
        self.reads.retain(|(reader, _)| reader != peer);
        let gone: Vec<u64> = self.asked_of(peer);
        for id in gone {
            self.forget_request(id);
        }
    }

    /// Takes a request off the lists; its log, if it was a fetch, is wanted again.
    pub(super) fn forget_request(&mut self, id: u64) -> Option<Asked> {
        let asked = self.asked.remove(&id)?;
        if let Some(peer) = self.peers.get_mut(&asked.peer) {
            peer.asked -= 1;
        }
        if let What::Fetch { author, .. } = asked.what
            && self.logs.get(&author).is_some_and(|log| log.doing == Doing::Fetching(id))
        {
            self.idle(author);
        }
        Some(asked)
    }

    /// Nothing is being done about the log any more.
    pub(super) fn idle(&mut self, author: AuthorId) {
        if let Some(log) = self.logs.get_mut(&author) {
            log.doing = Doing::Nothing;
            self.want(author);
        }
    }

    /// Somebody may have more of the log. It is not wanted while something is being done about it:
    /// it will be once that is done, or else it would be fetched and stored twice at once.
    pub(super) fn want(&mut self, author: AuthorId) {
        if self.logs.get(&author).is_some_and(|log| log.doing == Doing::Nothing) {
            self.wanted.insert(author);
        }
    }

    fn asked_of(&self, peer: &AuthorId) -> Vec<u64> {
        let asked = self.asked.iter().filter(|(_, asked)| asked.peer == *peer);
        asked.map(|(id, _)| *id).collect()
    }

    fn local(&mut self, author: AuthorId, length: u64, root: Hash) {
        if let Some(log) = self.logs.get_mut(&author) {
            let shorter = length < log.length;
            (log.length, log.root) = (length, root);
            if shorter {
                self.want(author);
            }
        }
    }

    fn new_members(&mut self, members: BTreeSet<AuthorId>, logs: &BTreeMap<AuthorId, u64>) {
        let held = |author: &AuthorId| logs.contains_key(author);
        self.records.retain(|peer, _| members.contains(peer));
        self.wanted.retain(held);
        self.logs.retain(|author, _| held(author));
        self.comparisons.retain(|author, _| held(author));
        for peer in self.peers.values_mut() {
            peer.claims.retain(|author, _| held(author));
        }
        let known = |author| self.logs.contains_key(author);
        let new = logs.keys().any(|author| !known(author))
            || members.iter().any(|member| !self.members.contains(member));
        for (author, stands) in logs {
            let storing = self.storing.get(author).map(|peer| Doing::Storing(*peer));
            let doing = storing.unwrap_or_default();
            let log =
                self.logs.entry(*author).or_insert_with(|| Log { doing, ..Log::new(*stands) });
            if log.stands != *stands {
                log.stands = *stands;
                self.want(*author);
            }
        }
        self.members = members;
        let compared = self.comparisons.values().map(|comparison| comparison.peer);
        let strangers: Vec<_> = compared.filter(|peer| !self.members.contains(peer)).collect();
        for peer in strangers {
            self.forget_comparisons(&peer);
        }
        if new {
            // Peers may hold the new logs, and what they said of them was not kept.
            for peer in self.peers.values_mut() {
                peer.frontier_at_ms = self.now_ms;
                peer.named_all = false;
            }
        }
    }

    fn tick(&mut self, out: &mut Vec<Output>) {
        let late = self.asked.iter().filter(|(_, asked)| asked.deadline_ms <= self.now_ms);
        let late: Vec<u64> = late.map(|(id, _)| *id).collect();
        for id in late {
            self.request_failed(id, true, out);
        }
    }

    fn exchange_frontiers(&mut self, out: &mut Vec<Output>) {
        let (members, asked) = (&self.members, &self.asked);
        let due = |(id, peer): &(&AuthorId, &Peer)| {
            members.contains(*id) && peer.frontier_at_ms <= self.now_ms
        };
        let open = |peer: &AuthorId| {
            let is_open = |asked: &Asked| asked.peer == *peer && asked.what.is_for_a_frontier();
            asked.values().any(is_open)
        };
        let due = self.peers.iter().filter(due).map(|(id, _)| *id);
        let due: Vec<AuthorId> = due.filter(|id| !open(id)).collect();
        for peer in due {
            let frontier = self.frontier_for(&peer);
            let every = self.config.frontier_every_ms;
            let wait = every + self.random() % (every / 4 + 1);
            if let Some(peer) = self.peers.get_mut(&peer) {
                peer.frontier_at_ms = self.now_ms.saturating_add(wait);
            }
            self.ask(peer, What::Frontier, &Request::Frontier(frontier), out);
        }
    }

    pub(super) fn ask(
        &mut self,
        peer: AuthorId,
        what: What,
        request: &Request,
        out: &mut Vec<Output>,
    ) -> Option<u64> {
        let id = self.next_id;
        self.peers.get_mut(&peer)?.asked += 1;
        self.next_id += 1;
        let deadline_ms = self.now_ms.saturating_add(self.config.request_timeout_ms);
        let asked = Asked { peer, what, deadline_ms };
        self.asked.insert(id, asked);
        let bytes = request.to_bytes();
        out.push(Output::Request { peer, id, bytes });
        Some(id)
    }

    /// Whether the machine ever gave a request this id.
    pub(super) fn was_asked(&self, id: u64) -> bool {
        id != 0 && id < self.next_id
    }

    /// The peer broke a rule: it is cut off.
    pub(super) fn penalise(&mut self, peer: AuthorId, reason: String, out: &mut Vec<Output>) {
        self.disconnected(&peer);
        let seconds = if self.members.contains(&peer) {
            let record = self.records.entry(peer).or_default();
            record.offence(self.now_ms, &self.config)
        } else {
            self.config.penalty_s
        };
        out.push(Output::Penalise { peer, reason, seconds });
    }

    /// For how many seconds more a peer is penalised.
    pub(super) fn penalised_for_s(&self, peer: &AuthorId) -> Option<u64> {
        let until_ms = self.records.get(peer)?.until_ms;
        let left_ms = until_ms.checked_sub(self.now_ms).filter(|left| *left > 0)?;
        Some(left_ms.div_ceil(1000))
    }

    /// The next of the bits that were handed in (splitmix64, Steele and others, 2014).
    pub(super) fn random(&mut self) -> u64 {
        self.entropy = self.entropy.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.entropy;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}
