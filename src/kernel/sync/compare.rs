//! Two copies of one log that do not fit each other: a fork, or a lie?
//!
//! The peer proves, under its own newest head, what its copy has at an index and before it. A few
//! questions, halving the distance each time, lead to the first index that differs. Every answer
//! is signed by the log's author, so that the peer cannot make a fork up; and a peer whose copy
//! proves to be the same as ours has lied when it sent what does not fit.

use super::io::Output;
use super::machine::{Doing, Sync, What};
use super::message::Request;
use super::peer::Peer;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{Branch, ForkProof, Hash, MAX_LENGTH};

/// Comparisons with one peer at a time; what is more waits for the next frontiers.
const COMPARISONS_PER_PEER: usize = 4;

/// A comparison of our copy of a log with a peer's.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    pub(super) peer: AuthorId,
    /// The peer sent a range that does not fit: if the copies are the same, it lied.
    accused: bool,
    /// The copies are the same below this index.
    low: u64,
    /// They differ first below this index, if they do.
    high: u64,
    /// What is compared: the records that both hold and that stand.
    common: u64,
    /// The peer's branch, while ours is read.
    theirs: Option<Box<Branch>>,
}

/// Our copy of a log beside those of the connected peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// How many peers said what they hold.
    pub peers: usize,
    /// A peer names a longer copy, and has not failed to deliver; or a comparison is under way.
    pub behind: bool,
}

/// What a comparison led to.
enum Outcome {
    Same,
    Forked(Box<ForkProof>),
    /// The peer did not answer, or one of the copies changed meanwhile.
    Unknown,
}

impl Sync {
    /// Our copy of a log beside those of the connected peers.
    #[must_use]
    pub fn compared(&self, author: &AuthorId) -> Compared {
        let held = self.logs.get(author);
        let length = held.map_or(0, |log| log.length);
        // Who names a length and does not deliver is not waited for.
        let longer = |peer: &Peer| {
            let claim = peer.claims.get(author);
            claim.is_some_and(|claim| claim.own && claim.length > length && claim.failures < 3)
        };
        let peers = self.peers.iter().filter(|(id, _)| self.members.contains(*id));
        let named = peers.clone().filter(|(_, peer)| peer.named_all).count();
        let busy = held.is_some_and(|log| matches!(log.doing, Doing::Storing(_)));
        let comparing = self.comparisons.contains_key(author);
        let behind = busy || comparing || peers.clone().any(|(_, peer)| longer(peer));
        Compared { peers: if held.is_some() { named } else { 0 }, behind }
    }

    /// Whether what a peer says of its copy calls for a comparison, and of how many records: the
    /// copies have one length and two roots, the log ends to stand inside both of them, or its
    /// author holds less of it than we do.
    pub(super) fn is_suspicious(
        &self,
        peer: &AuthorId,
        author: &AuthorId,
        (length, root): (u64, Hash),
    ) -> Option<u64> {
        let log = self.logs.get(author)?;
        let common = length.min(log.length).min(log.stands);
        let is_cut = log.stands < MAX_LENGTH && common == log.stands;
        let differs = length == log.length && root != log.root;
        // An author who holds less of its own log than we do lost some of it, or forked it.
        let claim = self.peers.get(peer)?.claims.get(author)?;
        let differs = differs || (peer == author && length < log.length && claim.agreed == 0);
        let new = claim.agreed < common && claim.not_before_ms <= self.now_ms;
        (common > 0 && new && (is_cut || differs)).then_some(common)
    }

    /// Begins to compare our copy of a log with a peer's.
    pub(super) fn compare(
        &mut self,
        peer: AuthorId,
        author: AuthorId,
        common: u64,
        accused: bool,
        out: &mut Vec<Output>,
    ) {
        let busy = self.comparisons.values().filter(|comparison| comparison.peer == peer).count();
        let Some(log) = self.logs.get_mut(&author).filter(|log| log.doing == Doing::Nothing) else {
            return;
        };
        let asked = self.members.contains(&peer) && self.peers.contains_key(&peer);
        if busy >= COMPARISONS_PER_PEER || !asked {
            return;
        }
        log.doing = Doing::Comparing(peer);
        self.wanted.remove(&author);
        let (low, high, theirs) = (0, common, None);
        let comparison = Comparison { peer, accused, low, high, common, theirs };
        self.comparisons.insert(author, comparison);
        if common == 0 {
            return self.end_comparison(author, Outcome::Same, out);
        }
        // Whether they differ at all says the last record that both hold.
        self.ask_for_proof(peer, author, common - 1, out);
    }

    fn ask_for_proof(
        &mut self,
        peer: AuthorId,
        author: AuthorId,
        index: u64,
        out: &mut Vec<Output>,
    ) {
        let what = What::Prove { author, index };
        self.ask(peer, what, &Request::Prove { author, index }, out);
    }

    /// The peer's branch at an index came: it is verified, and ours is read.
    pub(super) fn proof_came(
        &mut self,
        peer: AuthorId,
        author: AuthorId,
        index: u64,
        branch: Box<Branch>,
        out: &mut Vec<Output>,
    ) {
        if branch.head.author != author || branch.index() != index {
            let reason = "its proof is of another record than was asked for".to_owned();
            return self.penalise(peer, reason, out);
        }
        if let Err(error) = branch.verify(&self.swarm, 0) {
            return self.penalise(peer, format!("its proof does not verify: {error}"), out);
        }
        let comparison = self.comparisons.get_mut(&author);
        if let Some(comparison) = comparison.filter(|comparison| comparison.peer == peer) {
            comparison.theirs = Some(branch);
            out.push(Output::Prove { peer, answers: None, author, index });
        }
    }

    /// Our own branch at the index was read.
    pub(super) fn own_branch(
        &mut self,
        peer: AuthorId,
        author: AuthorId,
        index: u64,
        ours: Option<Box<Branch>>,
        out: &mut Vec<Output>,
    ) {
        let comparison = self.comparisons.get_mut(&author);
        let Some(comparison) = comparison.filter(|comparison| comparison.peer == peer) else {
            return;
        };
        let theirs = comparison.theirs.take();
        let (Some(theirs), Some(ours)) = (theirs.filter(|b| b.index() == index), ours) else {
            return self.end_comparison(author, Outcome::Unknown, out);
        };
        let before = |branch: &Branch| branch.before.roots().ok().map(|(root, _)| root);
        if before(&ours) != before(&theirs) {
            comparison.high = index;
        } else if ours.leaf != theirs.leaf {
            let proof = ForkProof::new(*ours, *theirs);
            let outcome = match proof.verify(&self.swarm) {
                Ok(_) => Outcome::Forked(Box::new(proof)),
                Err(_) => Outcome::Unknown,
            };
            return self.end_comparison(author, outcome, out);
        } else {
            comparison.low = index + 1;
        }
        let Comparison { low, high, common, .. } = *comparison;
        if low < high {
            self.ask_for_proof(peer, author, low + (high - low) / 2, out);
        } else if low == common {
            self.end_comparison(author, Outcome::Same, out);
        } else {
            self.end_comparison(author, Outcome::Unknown, out);
        }
    }

    /// The peer did not prove what it was asked for.
    pub(super) fn no_proof(&mut self, peer: AuthorId, author: AuthorId, out: &mut Vec<Output>) {
        if self.comparisons.get(&author).is_some_and(|comparison| comparison.peer == peer) {
            self.end_comparison(author, Outcome::Unknown, out);
        }
    }

    fn end_comparison(&mut self, author: AuthorId, outcome: Outcome, out: &mut Vec<Output>) {
        let Some(Comparison { peer, accused, common, .. }) = self.comparisons.remove(&author)
        else {
            return;
        };
        self.idle(author);
        let entropy = self.random();
        // The author's own node is not accused: two of them may run with one key, and answer by
        // turns.
        let same = matches!(outcome, Outcome::Same);
        if same && accused && peer != author {
            let reason = "its range does not fit the log that it proves to hold".to_owned();
            return self.penalise(peer, reason, out);
        }
        let Some(peer) = self.peers.get_mut(&peer) else {
            return;
        };
        if !same || accused {
            peer.failed(&author, self.now_ms, entropy, &self.config);
        } else if let Some(claim) = peer.claims.get_mut(&author) {
            claim.agreed = common;
        }
        if let Outcome::Forked(proof) = outcome {
            out.push(Output::Forked { proof });
        }
    }

    /// Nothing more comes of comparisons with a peer that is gone.
    pub(super) fn forget_comparisons(&mut self, peer: &AuthorId) {
        let with = self.comparisons.iter().filter(|(_, comparison)| comparison.peer == *peer);
        let logs: Vec<AuthorId> = with.map(|(author, _)| *author).collect();
        for author in logs {
            self.comparisons.remove(&author);
            self.idle(author);
        }
    }
}
