//! Answers what peers ask.

use std::ops::Bound::{Excluded, Unbounded};

use super::io::Output;
use super::machine::Sync;
use super::message::{Frontier, MAX_FRONTIER_LOGS, MessageError, Refusal, Request, Response};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::Range;

impl Sync {
    pub(super) fn request(&mut self, peer: AuthorId, id: u64, bytes: &[u8], out: &mut Vec<Output>) {
        // Who asks is judged before what is asked is read.
        if !self.members.contains(&peer) {
            return respond(peer, id, &Response::Refused(Refusal::NotAMember), out);
        }
        if self.penalised_for_s(&peer).is_some() {
            return respond(peer, id, &Response::Refused(Refusal::Penalised), out);
        }
        match Request::from_bytes(bytes) {
            Ok(Request::Frontier(frontier)) => self.frontier_asked(peer, id, frontier, out),
            Ok(Request::Fetch { author, from, max_bytes }) => {
                self.fetch_asked((peer, id), author, from, max_bytes, out);
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
        self.take_claims(peer, theirs);
        respond(peer, id, &Response::Frontier(ours), out);
    }

    /// Our logs for a peer: all of them, or the next ones that fit.
    pub(super) fn frontier_for(&mut self, peer: &AuthorId) -> Frontier {
        let told = self.peers.get(peer).and_then(|peer| peer.told);
        let start = told.map_or(Unbounded, Excluded);
        let held = self.logs.range((start, Unbounded)).filter(|(_, log)| log.length > 0);
        let mut held = held.map(|(author, log)| (*author, log.length));
        let logs: Vec<_> = held.by_ref().take(MAX_FRONTIER_LOGS).collect();
        let more = held.next().is_some();
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.told = logs.last().filter(|_| more).map(|(author, _)| *author);
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
        let full = self.reads.len() >= self.config.reads;
        let reader = self.peers.get_mut(&peer);
        let reader = reader.filter(|peer| !full && peer.reading < self.config.reads_per_peer);
        let Some(reader) = reader else {
            return respond(peer, id, &Response::Refused(Refusal::Busy), out);
        };
        if self.reads.insert((peer, id)) {
            reader.reading += 1;
            out.push(Output::Read { peer, id, author, from, max_bytes });
        }
    }

    pub(super) fn read_done(
        &mut self,
        peer: AuthorId,
        id: u64,
        result: Result<Option<Range>, String>,
        out: &mut Vec<Output>,
    ) {
        if !self.reads.remove(&(peer, id)) {
            // The peer disconnected while the store was read.
            return;
        }
        if let Some(reader) = self.peers.get_mut(&peer) {
            reader.reading -= 1;
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

fn respond(peer: AuthorId, id: u64, response: &Response, out: &mut Vec<Output>) {
    let bytes = response.to_bytes();
    out.push(Output::Respond { peer, id, bytes });
}
