//! What the driver does with what the swarm reports.

use std::collections::BTreeMap;
use std::io;

use libp2p::core::ConnectedPoint;
use libp2p::gossipsub;
use libp2p::request_response::{self, InboundRequestId, OutboundFailure, OutboundRequestId};
use libp2p::swarm::{ConnectionError, ConnectionId, DialError, ListenError, SwarmEvent};
use libp2p::{PeerId, identify, mdns, ping};
use tokio::time::Instant;

use super::{Driver, Outbound, PING_FAILURES, Peer, STRANGER_BAN, innermost};
use crate::net::behaviour::BehaviourEvent;
use crate::net::codec::{Answer, FrameError};
use crate::net::handle::{Event, GossipTicket, RequestError, ResponseHandle, Verdict, count};
use crate::net::key::PeerKey;

impl Driver {
    pub(super) fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed {
                peer_id, connection_id, num_established, cause, ..
            } => {
                self.on_closed(peer_id, connection_id, num_established, cause.as_ref());
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                let counters = &self.counters;
                count(match error {
                    ListenError::Denied { .. } => &counters.connections_refused,
                    _ => &counters.handshakes_failed,
                });
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.on_dial_error(connection_id, &error);
            }
            SwarmEvent::NewListenAddr { address, .. } => self.must(Event::Listening(address), None),
            SwarmEvent::ListenerClosed { reason, .. } => {
                let reason = reason.err().map_or("it was closed".to_owned(), |e| e.to_string());
                self.must(Event::ListenLost { reason }, None);
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener could not accept a connection");
            }
            _ => {}
        }
    }

    fn on_established(&mut self, id: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let now = Instant::now();
        self.dialer.established(connection, id, now);
        let Some(key) = PeerKey::of(&id) else {
            // The gate has refused it already; should it ever not, it goes now.
            return self.disconnect(id, "its identity is no Ed25519 key".into());
        };
        let peer = self.peers.entry(id).or_insert_with(|| Peer {
            key,
            address: endpoint.get_remote_address().clone(),
            outbound: endpoint.is_dialer(),
            connections: BTreeMap::new(),
            since: now,
            announced: false,
            round_trip: None,
            ping_failures: 0,
            reason: None,
        });
        // A peer dials us only when it has no connection of ours: one that has stood for a while is
        // dead then, though over QUIC a crash goes unnoticed for long. Requests must not go there.
        let outlived = |since: &Instant| now - *since > self.limits.outlived;
        let dead: Vec<ConnectionId> = peer
            .connections
            .iter()
            .filter(|(_, since)| endpoint.is_listener() && outlived(since))
            .map(|(id, _)| *id)
            .collect();
        peer.connections.insert(connection, now);
        if peer.announced {
            self.dialer.confirmed(&id);
        }
        for connection in dead {
            self.swarm.close_connection(connection);
        }
    }

    fn on_closed(
        &mut self,
        id: PeerId,
        connection: ConnectionId,
        remaining: u32,
        cause: Option<&ConnectionError>,
    ) {
        if remaining > 0 {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.connections.remove(&connection);
            }
            return;
        }
        self.dialer.lost(&id, Instant::now());
        let Some(peer) = self.peers.remove(&id) else {
            return;
        };
        if peer.announced {
            let cause = || cause.map_or("the peer closed it".to_owned(), |e| innermost(e));
            let reason = peer.reason.unwrap_or_else(cause);
            self.must(Event::Disconnected { peer: peer.key, reason }, None);
        }
    }

    fn on_dial_error(&mut self, connection: ConnectionId, error: &DialError) {
        if matches!(error, DialError::LocalPeerId { .. }) {
            tracing::info!("a peer address is this node's own and is not dialled again");
            return self.dialer.remove(connection);
        }
        if let Some(address) = self.dialer.failed(connection, Instant::now()) {
            self.may(Event::DialFailed { address, reason: dial_reason(error) });
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(event) => self.on_identify(event),
            BehaviourEvent::Ping(event) => self.on_ping(event),
            BehaviourEvent::Mdns(event) => self.on_mdns(event),
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Sync(event) => self.on_sync(event),
        }
    }

    fn on_identify(&mut self, event: identify::Event) {
        match event {
            identify::Event::Received { peer_id, info, .. } => {
                if info.protocol_version == self.version {
                    self.announce(peer_id);
                } else {
                    self.refuse(peer_id, "it belongs to another swarm or is no bzzz node");
                }
            }
            identify::Event::Error { peer_id, error, .. } => {
                tracing::debug!(%peer_id, %error, "a peer could not be identified");
            }
            identify::Event::Sent { .. } | identify::Event::Pushed { .. } => {}
        }
    }

    /// Tells the node of a peer that has shown that it is of our swarm.
    fn announce(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if peer.announced {
            return;
        }
        peer.announced = true;
        let event = Event::Connected { peer: peer.key, address: peer.address.clone() };
        self.dialer.confirmed(&id);
        self.must(event, None);
    }

    /// Sends away a peer that is not of our swarm.
    pub(super) fn refuse(&mut self, id: PeerId, reason: &str) {
        count(&self.counters.connections_refused);
        if let Some(peer) = self.peers.get(&id) {
            let (key, address) = (peer.key, peer.address.clone());
            self.swarm.behaviour_mut().gate.ban(key, Instant::now(), STRANGER_BAN);
            self.may(Event::Refused { peer: key, address, reason: reason.to_owned() });
        }
        self.disconnect(id, reason.to_owned());
    }

    fn on_ping(&mut self, event: ping::Event) {
        let Some(peer) = self.peers.get_mut(&event.peer) else {
            return;
        };
        match event.result {
            Ok(time) => {
                peer.round_trip = Some(time);
                peer.ping_failures = 0;
            }
            Err(ping::Failure::Unsupported) => {}
            Err(ping::Failure::Timeout | ping::Failure::Other { .. }) => {
                peer.ping_failures += 1;
                if peer.ping_failures >= PING_FAILURES {
                    peer.ping_failures = 0;
                    peer.reason.get_or_insert("it no longer answers".to_owned());
                    self.swarm.close_connection(event.connection);
                }
            }
        }
    }

    fn on_mdns(&mut self, event: mdns::Event) {
        let now = Instant::now();
        match event {
            mdns::Event::Discovered(found) => {
                for (id, address) in found {
                    let Some(peer) = PeerKey::of(&id) else {
                        continue;
                    };
                    if self.dialer.discovered(id, address.clone(), now) {
                        self.may(Event::Discovered { peer, address });
                    }
                }
            }
            mdns::Event::Expired(gone) => {
                for (id, address) in gone {
                    self.dialer.expired(&id, &address);
                }
            }
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        let gossipsub::Event::Message { propagation_source: source, message_id, message } = event
        else {
            return;
        };
        let ticket = GossipTicket { message: message_id, source };
        let topic = message.topic.as_str().strip_prefix(&self.topics).map(str::to_owned);
        let fits = message.data.len() <= self.limits.max_gossip_bytes as usize;
        let (Some(topic), true) = (topic, fits) else {
            return self.verdict(&ticket, Verdict::Reject);
        };
        self.announce(source);
        let peer = self.peers.get(&source).filter(|_| self.has_room()).map(|peer| peer.key);
        match peer {
            Some(peer) => {
                self.must(Event::Gossip { peer, topic, bytes: message.data, ticket }, None);
            }
            None => {
                count(&self.counters.gossip_dropped);
                self.verdict(&ticket, Verdict::Ignore);
            }
        }
    }

    fn on_sync(&mut self, event: request_response::Event<Vec<u8>, Answer>) {
        use request_response::{Event as Sync, Message};
        match event {
            Sync::Message { peer, message, .. } => match message {
                Message::Request { request_id, request, channel } => {
                    self.on_request(peer, request_id, request, ResponseHandle { channel });
                }
                Message::Response { request_id, response } => {
                    let result = match response {
                        Answer::Bytes(bytes) => Ok(bytes),
                        Answer::Busy => Err(RequestError::Busy),
                        Answer::Failed => Err(RequestError::Failed),
                    };
                    self.on_response(request_id, result);
                }
            },
            Sync::OutboundFailure { request_id, error, .. } => {
                self.on_response(request_id, Err(request_error(error)));
            }
            Sync::InboundFailure { request_id, .. } | Sync::ResponseSent { request_id, .. } => {
                self.inbound.remove(&request_id);
            }
        }
    }

    fn on_request(
        &mut self,
        id: PeerId,
        request: InboundRequestId,
        bytes: Vec<u8>,
        channel: ResponseHandle,
    ) {
        self.announce(id);
        let of_peer = self.inbound.values().filter(|peer| **peer == id).count();
        let room = self.has_room()
            && self.inbound.len() < self.limits.max_inbound_requests as usize
            && of_peer < self.limits.max_inbound_per_peer as usize;
        let peer = self.peers.get(&id).filter(|_| room).map(|peer| peer.key);
        match peer {
            Some(peer) => {
                self.inbound.insert(request, id);
                self.must(Event::Request { peer, bytes, channel }, None);
            }
            None => {
                count(&self.counters.requests_refused);
                self.respond(channel, Answer::Busy);
            }
        }
    }

    fn on_response(&mut self, id: OutboundRequestId, result: Result<Vec<u8>, RequestError>) {
        if let Some(Outbound { peer, id, permit }) = self.outbound.remove(&id) {
            self.must(Event::Response { peer, id, result }, Some(permit));
        }
    }
}

fn request_error(error: OutboundFailure) -> RequestError {
    match error {
        OutboundFailure::DialFailure => RequestError::NotConnected,
        OutboundFailure::Timeout => RequestError::Timeout,
        OutboundFailure::ConnectionClosed => RequestError::ConnectionLost,
        OutboundFailure::UnsupportedProtocols => RequestError::Protocol,
        OutboundFailure::Io(error) => {
            let frame = error.get_ref().and_then(|inner| inner.downcast_ref::<FrameError>());
            match (frame, error.kind()) {
                (Some(FrameError::TooLarge { announced, limit }), _) => {
                    RequestError::TooLarge { announced: *announced, limit: *limit }
                }
                (Some(frame), _) => RequestError::Malformed(frame.to_string()),
                (
                    None,
                    io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe,
                ) => RequestError::Unanswered,
                (None, _) => RequestError::Stream(innermost(&error)),
            }
        }
    }
}

fn dial_reason(error: &DialError) -> String {
    match error {
        DialError::WrongPeerId { obtained, .. } => {
            format!("another peer answers there: {obtained}")
        }
        DialError::Denied { .. } => "this node refuses the connection".to_owned(),
        DialError::Transport(errors) => {
            let reasons: Vec<String> = errors.iter().map(|(_, error)| innermost(error)).collect();
            reasons.join("; ")
        }
        other => innermost(other),
    }
}
