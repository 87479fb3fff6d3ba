//! Introductions: a node that went on under another key is a stranger to those who have not heard
//! of it, and nobody asks a stranger. So it shows the rotations that led to its key; then it is
//! asked for the end of its old log as a member would be.
//!
//! The machine does not read rotations. Whoever drives it judges them, and says so.

use super::io::{Introduced, Output};
use super::machine::{Sync, What};
use super::message::{Refusal, Request, Response};
use super::serve::respond;
use crate::kernel::identity::AuthorId;

impl What {
    /// Whether a frontier answers it.
    pub(super) fn is_for_a_frontier(self) -> bool {
        matches!(self, Self::Frontier | Self::Introduce)
    }
}

impl Sync {
    /// The rotations that led to this node's key, the oldest first; none if there was none. Where
    /// there were more than an introduction shows, it shows the newest.
    pub(super) fn our_rotations(&mut self, mut rotations: Vec<Vec<u8>>) {
        let surplus = rotations.len().saturating_sub(super::MAX_ROTATIONS);
        rotations.drain(..surplus);
        self.rotations = rotations;
    }

    /// A peer takes this node for a stranger: it is shown the rotations, if there are any.
    pub(super) fn introduce(&mut self, peer: AuthorId, out: &mut Vec<Output>) {
        if !self.rotations.is_empty() {
            let rotations = self.rotations.clone();
            self.ask(peer, What::Introduce, &Request::Introduce { rotations }, out);
        }
    }

    /// A stranger asks. Nothing but an introduction is read.
    pub(super) fn stranger_asked(
        &mut self,
        peer: AuthorId,
        id: u64,
        bytes: &[u8],
        out: &mut Vec<Output>,
    ) {
        let known = self.peers.contains_key(&peer);
        if !known || !Request::is_introduction(bytes) {
            return respond(peer, id, &Response::Refused(Refusal::NotAMember), out);
        }
        match Request::from_bytes(bytes) {
            Ok(Request::Introduce { rotations }) => {
                out.push(Output::Introduced { peer, id, rotations });
            }
            Ok(_) => respond(peer, id, &Response::Refused(Refusal::NotAMember), out),
            Err(error) => {
                respond(peer, id, &Response::Refused(Refusal::Malformed), out);
                self.penalise(peer, format!("its introduction is malformed: {error}"), out);
            }
        }
    }

    /// What the rotations that a stranger showed are worth.
    pub(super) fn introduced(
        &mut self,
        peer: AuthorId,
        id: u64,
        result: Introduced,
        out: &mut Vec<Output>,
    ) {
        match result {
            Introduced::Accepted => {
                self.members.insert(peer);
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.frontier_at_ms = self.now_ms;
                }
                let ours = self.frontier_for(&peer);
                respond(peer, id, &Response::Frontier(ours), out);
            }
            Introduced::Unknown => {
                respond(peer, id, &Response::Refused(Refusal::NotAMember), out);
            }
            Introduced::Invalid(reason) => {
                respond(peer, id, &Response::Refused(Refusal::Malformed), out);
                self.penalise(peer, format!("its introduction is wrong: {reason}"), out);
            }
        }
    }
}
