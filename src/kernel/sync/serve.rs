//! Answers what peers ask.

use std::ops::Bound::{Excluded, Unbounded};

use super::io::{Introduced, Output};
use super::machine::Sync;
use super::message::{Frontier, Held, MAX_FRONTIER_LOGS, MessageError, Refusal, Request, Response};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{Branch, Range};

impl Sync {
    pub(super) fn request(&mut self, peer: AuthorId, id: u64, bytes: &[u8], out: &mut Vec<Output>) {
        // Who asks is judged before what is asked is read.
        if !self.members.contains(&peer) {
            return self.stranger_asked(peer, id, bytes, out);
        }
        if self.penalised_for_s(&peer).is_some() {
            return respond(peer, id, &Response::Refused(Refusal::Penalised), out);
        }
        match Request::from_bytes(bytes) {
            Ok(Request::Frontier(frontier)) => self.frontier_asked(peer, id, frontier, out),
            Ok(Request::Fetch { author, from, max_bytes }) => {
                self.fetch_asked((peer, id), author, from, max_bytes, out);
            }
            Ok(Request::Prove { author, index }) => self.prove_asked(peer, id, author, index, out),
            // It is known by now, or comes late: what it gets is what it would have got.
            Ok(Request::Introduce { .. }) => {
                self.introduced(peer, id, Introduced::Accepted, out);
            }
            // A later version of this program may ask what this one does not know: no offence.
            Err(MessageError::Version(_) | MessageError::Type(_)) => {
                respond(peer, id, &Response::Refused(Refusal::Unknown), out);
            }
            Err(error) => {
                respond(peer, id, &Response::Refused(Refusal::Malformed), out);
                self.penalise(peer, format!("its request is malformed: {error}"), out);
            }
        }
    }

    fn frontier_asked(&mut self, peer: AuthorId, id: u64, theirs: Frontier, out: &mut Vec<Output>) {
        if theirs.swarm != self.swarm {
            return respond(peer, id, &Response::Refused(Refusal::OtherSwarm), out);
        }
        let ours = self.frontier_for(&peer);
        respond(peer, id, &Response::Frontier(ours), out);
        self.take_claims(peer, theirs, out);
    }

    /// Our logs for a peer: all of them, or the next ones that fit.
    pub(super) fn frontier_for(&mut self, peer: &AuthorId) -> Frontier {
        let told = self.peers.get(peer).and_then(|peer| peer.told);
        let start = told.map_or(Unbounded, Excluded);
        let held = self.logs.range((start, Unbounded)).filter(|(_, log)| log.length > 0);
        let mut held = held.map(|(author, log)| {
            let (author, length, root) = (*author, log.length, log.root);
            Held { author, length, root }
        });
        let logs: Vec<_> = held.by_ref().take(MAX_FRONTIER_LOGS).collect();
        let more = held.next().is_some();
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.told = logs.last().filter(|_| more).map(|held| held.author);
        }
        let swarm = self.swarm;
        Frontier { swarm, logs }
    }

    fn fetch_asked(
        &mut self,
        (peer, id): (AuthorId, u64),
        author: AuthorId,
        from: u64,
        max_bytes: u32,
        out: &mut Vec<Output>,
    ) {
        let Some(log) = self.logs.get(&author) else {
            return respond(peer, id, &Response::Refused(Refusal::UnknownLog), out);
        };
        if from >= log.length {
            let length = log.length;
            return respond(peer, id, &Response::Nothing { length }, out);
        }
        if self.begin_read(peer, id, out) {
            out.push(Output::Read { peer, id, author, from, max_bytes });
        }
    }

    fn prove_asked(
        &mut self,
        peer: AuthorId,
        id: u64,
        author: AuthorId,
        index: u64,
        out: &mut Vec<Output>,
    ) {
        let Some(log) = self.logs.get(&author) else {
            return respond(peer, id, &Response::Refused(Refusal::UnknownLog), out);
        };
        if index >= log.length {
            let length = log.length;
            return respond(peer, id, &Response::Nothing { length }, out);
        }
        if self.begin_read(peer, id, out) {
            out.push(Output::Prove { peer, answers: Some(id), author, index });
        }
    }

    /// Whether the store may be read for a request. Otherwise the peer is told to come again.
    fn begin_read(&mut self, peer: AuthorId, id: u64, out: &mut Vec<Output>) -> bool {
        let full = self.reads.len() >= self.config.reads;
        let reader = self.peers.get_mut(&peer);
        let reader = reader.filter(|peer| !full && peer.reading < self.config.reads_per_peer);
        let Some(reader) = reader else {
            respond(peer, id, &Response::Refused(Refusal::Busy), out);
            return false;
        };
        let new = self.reads.insert((peer, id));
        reader.reading += usize::from(new);
        new
    }

    /// Whether the peer still waits for what was read.
    fn end_read(&mut self, peer: AuthorId, id: u64) -> bool {
        let waits = self.reads.remove(&(peer, id));
        if let Some(reader) = self.peers.get_mut(&peer).filter(|_| waits) {
            reader.reading -= 1;
        }
        waits
    }

    pub(super) fn proof_read(
        &mut self,
        (peer, id): (AuthorId, u64),
        author: &AuthorId,
        result: Result<Option<Box<Branch>>, String>,
        out: &mut Vec<Output>,
    ) {
        if !self.end_read(peer, id) {
            return;
        }
        let response = match result {
            Ok(Some(branch)) if self.logs.contains_key(author) => Response::Proof(branch),
            Ok(Some(_)) => Response::Refused(Refusal::UnknownLog),
            Ok(None) => Response::Nothing { length: 0 },
            Err(_) => Response::Refused(Refusal::Failed),
        };
        respond(peer, id, &response, out);
    }

    pub(super) fn read_done(
        &mut self,
        peer: AuthorId,
        id: u64,
        result: Result<Option<Range>, String>,
        out: &mut Vec<Output>,
    ) {
        if !self.end_read(peer, id) {
            return;
        }
        let response = match result {
            // Membership may have ended while the store was read.
            Ok(Some(range)) if self.logs.contains_key(&range.author) => Response::Range(range),
            Ok(Some(_)) => Response::Refused(Refusal::UnknownLog),
            Ok(None) => Response::Nothing { length: 0 },
            Err(_) => Response::Refused(Refusal::Failed),
        };
        respond(peer, id, &response, out);
    }
}

pub(super) fn respond(peer: AuthorId, id: u64, response: &Response, out: &mut Vec<Output>) {
    let bytes = response.to_bytes();
    out.push(Output::Respond { peer, id, bytes });
}
