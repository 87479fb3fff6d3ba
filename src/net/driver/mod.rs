//! The one task that drives the swarm: commands in, events out, in bounded memory.

mod react;

use std::collections::{BTreeMap, VecDeque};
use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance};
use libp2p::request_response::{InboundRequestId, OutboundRequestId};
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until};

use super::behaviour::{NetSwarm, protocol_version, topic_prefix, topic_score};
use super::codec::Answer;
use super::dialer::{Attempt, Dialer};
use super::handle::{
    Command, Counters, Event, GossipTicket, PeerInfo, RequestError, ResponseHandle, Verdict, count,
};
use super::key::PeerKey;
use super::{Config, Limits, address};

/// Commands that wait for the task.
pub(super) const COMMAND_QUEUE: usize = 64;
/// Events that wait for room in the channel; with more than these the swarm is not read.
const OUTBOX: usize = 16;
/// How often ended bans are forgotten and silent strangers are sent away.
const TICK: Duration = Duration::from_secs(5);
/// A connected peer that has not shown in this time that it is of our swarm is disconnected.
const IDENTIFY_TIME: Duration = Duration::from_secs(30);
/// How long a peer of another swarm is not let in or dialled again.
const STRANGER_BAN: Duration = Duration::from_secs(60);
/// A connection is closed after this many probes in a row without an answer.
const PING_FAILURES: u32 = 2;

struct Peer {
    key: PeerKey,
    address: Multiaddr,
    outbound: bool,
    /// The connections that stand, and since when.
    connections: BTreeMap<ConnectionId, Instant>,
    since: Instant,
    /// Whether it has shown that it is of our swarm and the node was told of it.
    announced: bool,
    round_trip: Option<Duration>,
    ping_failures: u32,
    /// Why this node ended the connection, if it did.
    reason: Option<String>,
}

struct Outbound {
    peer: PeerKey,
    id: u64,
    permit: OwnedSemaphorePermit,
}

/// An event that waits for room; a permit is held until the node can take the answer.
type Waiting = (Event, Option<OwnedSemaphorePermit>);

/// An attempt and what its names stand for.
type Resolved = (Attempt, io::Result<Vec<Multiaddr>>);

pub(super) struct Driver {
    swarm: NetSwarm,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    outbox: VecDeque<Waiting>,
    /// Room in the event channel that gossip and requests may not take.
    reserve: usize,
    counters: Arc<Counters>,
    limits: Limits,
    topics: String,
    version: String,
    dialer: Dialer,
    /// At most one for each target of the dialer.
    resolving: FuturesUnordered<BoxFuture<'static, Resolved>>,
    peers: BTreeMap<PeerId, Peer>,
    outbound: BTreeMap<OutboundRequestId, Outbound>,
    /// Requests of peers that the node has and hasn't answered, or whose answer is on its way.
    inbound: BTreeMap<InboundRequestId, PeerId>,
    next_tick: Instant,
}

impl Driver {
    pub(super) fn new(
        swarm: NetSwarm,
        config: &Config,
        peers: Vec<(Multiaddr, Option<PeerId>)>,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
        counters: Arc<Counters>,
    ) -> Self {
        let seed = *blake3::hash(&swarm.local_peer_id().to_bytes()).as_bytes();
        let limits = config.limits.clone();
        let mut driver = Self {
            reserve: events.max_capacity() / 2,
            topics: topic_prefix(&config.swarm),
            version: protocol_version(&config.swarm),
            dialer: Dialer::new(seed, limits.redial_first, limits.redial_max),
            resolving: FuturesUnordered::new(),
            swarm,
            commands,
            events,
            outbox: VecDeque::new(),
            counters,
            limits,
            peers: BTreeMap::new(),
            outbound: BTreeMap::new(),
            inbound: BTreeMap::new(),
            next_tick: Instant::now() + TICK,
        };
        for (address, peer) in peers {
            driver.add_explicit(address, peer);
        }
        driver
    }

    /// Runs until the node closes the network or drops its handles or its end of the events.
    pub(super) async fn run(mut self) {
        loop {
            self.dial_due();
            let wake = self.next_wake();
            tokio::select! {
                room = self.events.clone().reserve_owned(), if !self.outbox.is_empty() => {
                    let Ok(room) = room else { break };
                    if let Some((event, _permit)) = self.outbox.pop_front() {
                        room.send(event);
                    }
                }
                command = self.commands.recv() => match command {
                    Some(Command::Close) | None => break,
                    Some(command) => self.on_command(command),
                },
                event = self.swarm.select_next_some(), if self.outbox.len() < OUTBOX => {
                    self.on_swarm(event);
                }
                Some((attempt, found)) = self.resolving.next(), if !self.resolving.is_empty() => {
                    self.on_resolved(attempt, found);
                }
                () = sleep_until(wake) => self.on_tick(),
                () = self.events.closed() => break,
            }
        }
        // Before the end of the queue of commands, by which others know that its ports are free.
        drop(self.swarm);
    }

    fn next_wake(&self) -> Instant {
        let due = self.dialer.next_due(|peer| !self.peers.contains_key(peer));
        due.map_or(self.next_tick, |due| due.min(self.next_tick))
    }

    /// Gives the node an event that must not be lost.
    fn must(&mut self, event: Event, permit: Option<OwnedSemaphorePermit>) {
        if !self.outbox.is_empty() {
            self.outbox.push_back((event, permit));
            return;
        }
        match self.events.try_send(event) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(event)) => self.outbox.push_back((event, permit)),
        }
    }

    /// Whether there is room for an event that could be refused instead.
    fn has_room(&self) -> bool {
        self.outbox.is_empty() && self.events.capacity() > self.reserve
    }

    /// Gives the node an event that only informs, if there is room.
    fn may(&mut self, event: Event) {
        if self.has_room() {
            self.must(event, None);
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Request { peer, id, bytes, permit } => self.request(peer, id, bytes, permit),
            Command::Respond { channel, answer } => self.respond(channel, answer),
            Command::Publish { topic, bytes } => self.publish(&topic, bytes),
            Command::Subscribe(topic) => self.subscribe(&topic),
            Command::Unsubscribe(topic) => {
                let topic = self.topic(&topic);
                self.swarm.behaviour_mut().gossip.unsubscribe(&topic);
            }
            Command::Verdict { ticket, verdict } => self.verdict(&ticket, verdict),
            Command::Disconnect { peer, reason } => {
                if let Some(peer) = peer.peer_id() {
                    self.disconnect(peer, reason);
                }
            }
            Command::Ban { peer, reason, time } => self.ban(peer, reason, time),
            Command::AllowOnly(peers) => {
                self.swarm.behaviour_mut().gate.allow_only(peers);
                self.enforce_gate();
            }
            Command::Dial { address, peer } => self.add_explicit(address, peer),
            Command::Peers(reply) => {
                // The one who asked may have stopped waiting.
                let _ = reply.send(self.peer_infos());
            }
            Command::Close => {}
        }
    }

    fn request(&mut self, peer: PeerKey, id: u64, bytes: Vec<u8>, permit: OwnedSemaphorePermit) {
        let refusal = match peer.peer_id().filter(|peer| self.is_ours(peer)) {
            None => RequestError::NotConnected,
            // Half of the streams are left for the requests that come in.
            Some(_) if self.waiting_for(peer) >= self.limits.max_streams / 2 => RequestError::Busy,
            Some(to) => {
                let request = self.swarm.behaviour_mut().sync.send_request(&to, bytes);
                self.outbound.insert(request, Outbound { peer, id, permit });
                return;
            }
        };
        self.must(Event::Response { peer, id, result: Err(refusal) }, Some(permit));
    }

    /// Whether a peer is connected that has shown that it is of our swarm.
    fn is_ours(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.announced)
    }

    fn waiting_for(&self, peer: PeerKey) -> u32 {
        let count = self.outbound.values().filter(|waiting| waiting.peer == peer).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn respond(&mut self, to: ResponseHandle, answer: Answer) {
        if self.swarm.behaviour_mut().sync.send_response(to.channel, answer).is_err() {
            count(&self.counters.responses_late);
        }
    }

    fn topic(&self, topic: &str) -> IdentTopic {
        IdentTopic::new(format!("{}{topic}", self.topics))
    }

    fn publish(&mut self, topic: &str, bytes: Vec<u8>) {
        let topic = self.topic(topic);
        match self.swarm.behaviour_mut().gossip.publish(topic, bytes) {
            Ok(_) | Err(gossipsub::PublishError::Duplicate) => {}
            // A topic that nobody listens to is nothing to speak of.
            Err(gossipsub::PublishError::NoPeersSubscribedToTopic) => {
                count(&self.counters.gossip_unsent);
            }
            Err(error) => {
                tracing::debug!(%error, "a gossip message was not sent");
                count(&self.counters.gossip_unsent);
            }
        }
    }

    fn subscribe(&mut self, topic: &str) {
        let topic = self.topic(topic);
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        if let Err(error) = gossip.subscribe(&topic) {
            tracing::warn!(%topic, %error, "cannot subscribe to a topic");
        }
        if let Err(error) = gossip.set_topic_params(topic, topic_score()) {
            tracing::warn!(error, "cannot score the peers on a topic");
        }
    }

    fn verdict(&mut self, ticket: &GossipTicket, verdict: Verdict) {
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Reject => MessageAcceptance::Reject,
            Verdict::Ignore => MessageAcceptance::Ignore,
        };
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(&ticket.message, &ticket.source, acceptance);
    }

    fn add_explicit(&mut self, address: Multiaddr, peer: Option<PeerId>) {
        if let Some(peer) = peer {
            self.swarm.behaviour_mut().limits.bypass_peer_id(&peer);
        }
        if !self.dialer.add_explicit(address.clone(), peer, Instant::now()) {
            let reason = "too many addresses are to be kept dialled already".to_owned();
            self.may(Event::DialFailed { address, reason });
        }
    }

    fn ban(&mut self, peer: PeerKey, reason: String, time: Duration) {
        let now = Instant::now();
        self.swarm.behaviour_mut().gate.ban(peer, now, time);
        if let Some(peer) = peer.peer_id() {
            self.disconnect(peer, reason);
        }
    }

    fn disconnect(&mut self, peer: PeerId, reason: String) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.reason.get_or_insert(reason);
        }
        // An error means that it is not connected, which is what was asked for.
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    fn enforce_gate(&mut self) {
        let now = Instant::now();
        let gate = &self.swarm.behaviour().gate;
        let refused = |peer: &PeerId| gate.permit(peer, now).err().map(|why| (*peer, why));
        let refused: Vec<_> = self.peers.keys().filter_map(refused).collect();
        for (peer, why) in refused {
            self.disconnect(peer, why.to_string());
        }
    }

    fn peer_infos(&self) -> Vec<PeerInfo> {
        let mut infos: Vec<PeerInfo> = self
            .peers
            .values()
            .filter(|peer| peer.announced)
            .map(|peer| PeerInfo {
                key: peer.key,
                address: peer.address.clone(),
                outbound: peer.outbound,
                connections: u32::try_from(peer.connections.len()).unwrap_or(u32::MAX),
                round_trip: peer.round_trip,
            })
            .collect();
        infos.sort_by_key(|info| info.key);
        infos
    }

    fn dial_due(&mut self) {
        let now = Instant::now();
        for attempt in self.dialer.due(now, |peer| !self.peers.contains_key(peer)) {
            self.dial(attempt, now);
        }
    }

    fn dial(&mut self, attempt: Attempt, now: Instant) {
        if !attempt.addresses.iter().any(address::is_name) {
            return self.dial_resolved(&attempt, now);
        }
        self.dialer.resolving(attempt.target);
        self.resolving.push(Box::pin(async move {
            let mut found = Vec::new();
            for address in &attempt.addresses {
                match address::resolve(address.clone()).await {
                    Ok(addresses) => found.extend(addresses),
                    Err(error) => return (attempt, Err(error)),
                }
            }
            (attempt, Ok(found))
        }));
    }

    fn on_resolved(&mut self, mut attempt: Attempt, found: io::Result<Vec<Multiaddr>>) {
        let now = Instant::now();
        match found {
            Ok(addresses) => {
                attempt.addresses = addresses;
                self.dial_resolved(&attempt, now);
            }
            Err(error) => {
                self.dialer.postpone(attempt.target, now);
                if let Some(address) = attempt.addresses.into_iter().next() {
                    self.may(Event::DialFailed { address, reason: error.to_string() });
                }
            }
        }
    }

    fn dial_resolved(&mut self, attempt: &Attempt, now: Instant) {
        // Each dial takes a fresh local port: from the listening port a second connection to the
        // same remote address would be refused for as long as the first one lingers in the system.
        let opts = if let Some(peer) = attempt.peer {
            let addresses = attempt.addresses.clone();
            DialOpts::peer_id(peer).addresses(addresses).allocate_new_port().build()
        } else {
            // Without a peer's id only one address can be tried at a time: they take turns.
            let turn = attempt.failures as usize % attempt.addresses.len().max(1);
            let Some(address) = attempt.addresses.get(turn).cloned() else {
                return self.dialer.postpone(attempt.target, now);
            };
            DialOpts::unknown_peer_id().address(address).allocate_new_port().build()
        };
        let connection = opts.connection_id();
        match self.swarm.dial(opts) {
            Ok(()) => self.dialer.started(attempt.target, connection),
            Err(_) => self.dialer.postpone(attempt.target, now),
        }
    }

    fn on_tick(&mut self) {
        let now = Instant::now();
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.swarm.behaviour_mut().gate.forget_ended(now);
        let silent = |p: &Peer| !p.announced && now - p.since > IDENTIFY_TIME;
        let silent: Vec<PeerId> =
            self.peers.iter().filter(|(_, p)| silent(p)).map(|(id, _)| *id).collect();
        for peer in silent {
            self.refuse(peer, "it did not identify itself in time");
        }
    }
}

/// What is at the bottom of an error; libp2p wraps the cause several times over.
pub(super) fn innermost(error: &dyn StdError) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
