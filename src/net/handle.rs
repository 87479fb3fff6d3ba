//! What the rest of the node sees of the network: commands in, events out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libp2p::gossipsub::MessageId;
use libp2p::request_response::ResponseChannel;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::codec::Answer;
use super::key::PeerKey;
use super::{Limits, NetError, address};

/// The longest topic, in bytes, without the swarm's prefix.
pub const MAX_TOPIC_BYTES: usize = 192;
/// The longest reason for a ban or a disconnection that is kept, in bytes.
const MAX_REASON_BYTES: usize = 200;

/// What happened on the network.
#[derive(Debug)]
pub enum Event {
    /// The node listens on this address.
    Listening(Multiaddr),
    /// A listener stopped; the node goes on with what remains.
    ListenLost {
        /// Why, as a sentence.
        reason: String,
    },
    /// mDNS announced a peer on the local network, of whichever swarm. It is being dialled.
    Discovered {
        /// Who.
        peer: PeerKey,
        /// Where.
        address: Multiaddr,
    },
    /// A peer of this swarm is connected. Comes before anything else from this peer.
    Connected {
        /// Who.
        peer: PeerKey,
        /// Its address as seen from here.
        address: Multiaddr,
    },
    /// The last connection to a peer that was [`Event::Connected`] is gone.
    Disconnected {
        /// Who.
        peer: PeerKey,
        /// Why, as a sentence.
        reason: String,
    },
    /// An explicit address could not be reached; it will be tried again.
    DialFailed {
        /// The address as it was configured.
        address: Multiaddr,
        /// Why, as a sentence.
        reason: String,
    },
    /// A peer was connected and turned out not to be one of this swarm's.
    Refused {
        /// Who.
        peer: PeerKey,
        /// Its address as seen from here.
        address: Multiaddr,
        /// Why, as a sentence.
        reason: String,
    },
    /// A peer asks. Answer with [`Handle::respond`] or [`Handle::refuse`]; a handle that is dropped
    /// ends the stream without an answer.
    Request {
        /// Who asks.
        peer: PeerKey,
        /// What, at most [`Limits::max_request_bytes`].
        bytes: Vec<u8>,
        /// Where the answer goes.
        channel: ResponseHandle,
    },
    /// The answer to one [`Handle::request`], or why there is none. Comes exactly once for each.
    Response {
        /// Who was asked.
        peer: PeerKey,
        /// The number that the asker gave.
        id: u64,
        /// At most [`Limits::max_response_bytes`].
        result: Result<Vec<u8>, RequestError>,
    },
    /// A message on a topic that this node is subscribed to. It goes on to other peers only after
    /// [`Handle::verdict`] has accepted it, within a few seconds.
    Gossip {
        /// Who passed it on, which need not be who wrote it.
        peer: PeerKey,
        /// The topic without the swarm's prefix.
        topic: String,
        /// At most [`Limits::max_gossip_bytes`].
        bytes: Vec<u8>,
        /// For the verdict.
        ticket: GossipTicket,
    },
}

/// Where the answer to a peer's request goes.
#[derive(Debug)]
pub struct ResponseHandle {
    pub(super) channel: ResponseChannel<Answer>,
}

/// Names one gossip message that waits for a verdict.
#[derive(Debug, Clone)]
pub struct GossipTicket {
    pub(super) message: MessageId,
    pub(super) source: PeerId,
}

/// What becomes of a gossip message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It verifies: pass it on.
    Accept,
    /// It cannot be true (a signature that doesn't verify): don't pass it on, and lower the peer's
    /// score. Three of these within a minute and gossip from the peer is no longer taken in.
    Reject,
    /// Not to be judged here or of no use: don't pass it on, and blame nobody.
    Ignore,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There was no connection to ask over.
    #[error("the peer is not connected")]
    NotConnected,
    /// The peer has no room for the question now, or too many requests to it wait already
    /// ([`Limits::max_streams`] / 2): ask later.
    #[error("the peer is busy")]
    Busy,
    /// The peer took the question and says that it cannot answer.
    #[error("the peer cannot answer this request")]
    Failed,
    /// The peer ended the stream without an answer.
    #[error("the peer ended the stream without an answer")]
    Unanswered,
    /// No answer within [`Limits::request_timeout`].
    #[error("the peer did not answer in time")]
    Timeout,
    /// The connection was lost in between.
    #[error("the connection was lost before the answer came")]
    ConnectionLost,
    /// The peer doesn't speak this swarm's protocol.
    #[error("the peer does not speak the protocol of this swarm")]
    Protocol,
    /// The peer announced an answer that is larger than allowed. A fault of the peer.
    #[error("the peer announced an answer of {announced} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes.
        announced: u32,
        /// Bytes.
        limit: u32,
    },
    /// The answer's frame is not of the documented form. A fault of the peer.
    #[error("the peer's answer is malformed: {0}")]
    Malformed(String),
    /// The stream failed otherwise.
    #[error("the stream to the peer failed: {0}")]
    Stream(String),
}

/// A connected peer of this swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Who.
    pub key: PeerKey,
    /// Its address as seen from here.
    pub address: Multiaddr,
    /// Whether this node dialled (the first connection that still stood then).
    pub outbound: bool,
    /// How many connections there are.
    pub connections: u32,
    /// The last round trip measured.
    pub round_trip: Option<Duration>,
}

/// What was dropped or refused since the start; all counters only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Gossip messages that came in while the node had no room for them.
    pub gossip_dropped: u64,
    /// Gossip messages of this node that could not be handed to any peer.
    pub gossip_unsent: u64,
    /// Requests of peers that were answered "busy".
    pub requests_refused: u64,
    /// Answers of this node that came after the peer had gone or given up.
    pub responses_late: u64,
    /// Connections that were refused: limits, bans, kinds of key, strangers.
    pub connections_refused: u64,
    /// Inbound connections that failed in the handshake.
    pub handshakes_failed: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) gossip_dropped: AtomicU64,
    pub(super) gossip_unsent: AtomicU64,
    pub(super) requests_refused: AtomicU64,
    pub(super) responses_late: AtomicU64,
    pub(super) connections_refused: AtomicU64,
    pub(super) handshakes_failed: AtomicU64,
}

/// Counts one more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(super) enum Command {
    Request { peer: PeerKey, id: u64, bytes: Vec<u8>, permit: OwnedSemaphorePermit },
    Respond { channel: ResponseHandle, answer: Answer },
    Publish { topic: String, bytes: Vec<u8> },
    Subscribe(String),
    Unsubscribe(String),
    Verdict { ticket: GossipTicket, verdict: Verdict },
    Disconnect { peer: PeerKey, reason: String },
    Ban { peer: PeerKey, reason: String, time: Duration },
    AllowOnly(Option<BTreeSet<PeerKey>>),
    Dial { address: Multiaddr, peer: Option<PeerId> },
    Peers(oneshot::Sender<Vec<PeerInfo>>),
    Close,
}

/// Gives commands to the network's task. Cloned freely; when the last clone is dropped, the task
/// ends and all connections close. No method waits for a peer.
#[derive(Clone)]
pub struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) counters: Arc<Counters>,
    pub(super) requests: Arc<Semaphore>,
    pub(super) limits: Limits,
    pub(super) local: PeerKey,
}

impl Handle {
    /// This node's own key.
    #[must_use]
    pub fn local(&self) -> PeerKey {
        self.local
    }

    /// Asks a peer; [`Event::Response`] with the same `id` brings the answer or why there is none.
    ///
    /// # Errors
    /// If the request is too large, too many requests wait for an answer, or the network has
    /// stopped: then no [`Event::Response`] follows.
    pub async fn request(&self, peer: PeerKey, id: u64, bytes: Vec<u8>) -> Result<(), NetError> {
        within("request", bytes.len(), self.limits.max_request_bytes)?;
        let requests = Arc::clone(&self.requests);
        let permit = requests
            .try_acquire_owned()
            .map_err(|_| NetError::TooManyRequests { limit: self.limits.max_outbound_requests })?;
        self.send(Command::Request { peer, id, bytes, permit }).await
    }

    /// Answers a peer's request.
    ///
    /// # Errors
    /// If the answer is too large (the peer is then told that there is none) or the network has
    /// stopped. That the peer has gone meanwhile is no error; [`Stats::responses_late`] counts it.
    pub async fn respond(&self, channel: ResponseHandle, bytes: Vec<u8>) -> Result<(), NetError> {
        let fits = within("response", bytes.len(), self.limits.max_response_bytes);
        let answer = if fits.is_ok() { Answer::Bytes(bytes) } else { Answer::Failed };
        self.send(Command::Respond { channel, answer }).await?;
        fits
    }

    /// Tells the peer that its request cannot be answered.
    ///
    /// # Errors
    /// If the network has stopped.
    pub async fn refuse(&self, channel: ResponseHandle) -> Result<(), NetError> {
        self.send(Command::Respond { channel, answer: Answer::Failed }).await
    }

    /// Sends a message to all peers that are subscribed to the topic. A hint: it may get lost.
    ///
    /// # Errors
    /// If message or topic are too long, or the network has stopped.
    pub async fn publish(&self, topic: &str, bytes: Vec<u8>) -> Result<(), NetError> {
        within("gossip message", bytes.len(), self.limits.max_gossip_bytes)?;
        self.send(Command::Publish { topic: checked_topic(topic)?, bytes }).await
    }

    /// Takes part in a topic; its name is without the swarm's prefix.
    ///
    /// # Errors
    /// If the topic is too long or the network has stopped.
    pub async fn subscribe(&self, topic: &str) -> Result<(), NetError> {
        self.send(Command::Subscribe(checked_topic(topic)?)).await
    }

    /// Leaves a topic.
    ///
    /// # Errors
    /// If the topic is too long or the network has stopped.
    pub async fn unsubscribe(&self, topic: &str) -> Result<(), NetError> {
        self.send(Command::Unsubscribe(checked_topic(topic)?)).await
    }

    /// Says what becomes of a gossip message.
    ///
    /// # Errors
    /// If the network has stopped.
    pub async fn verdict(&self, ticket: GossipTicket, verdict: Verdict) -> Result<(), NetError> {
        self.send(Command::Verdict { ticket, verdict }).await
    }

    /// Closes all connections to a peer. It may come back; an explicit peer is dialled again.
    ///
    /// # Errors
    /// If the network has stopped.
    pub async fn disconnect(&self, peer: PeerKey, reason: &str) -> Result<(), NetError> {
        self.send(Command::Disconnect { peer, reason: short(reason) }).await
    }

    /// Closes all connections to a peer and refuses it for this long (at most 30 days).
    ///
    /// # Errors
    /// If the network has stopped.
    pub async fn ban(&self, peer: PeerKey, reason: &str, time: Duration) -> Result<(), NetError> {
        self.send(Command::Ban { peer, reason: short(reason), time }).await
    }

    /// Lets only these peers connect, and closes the connections to others; `None` lifts that.
    ///
    /// # Errors
    /// If the network has stopped.
    pub async fn allow_only(&self, peers: Option<BTreeSet<PeerKey>>) -> Result<(), NetError> {
        self.send(Command::AllowOnly(peers)).await
    }

    /// Adds an address to keep dialled, as if it were in [`super::Config::peers`].
    ///
    /// # Errors
    /// If the address cannot be dialled by this node's transports or the network has stopped.
    pub async fn dial(&self, address: Multiaddr) -> Result<(), NetError> {
        let peer = address::check_peer(&address)?;
        self.send(Command::Dial { address, peer }).await
    }

    /// The connected peers of this swarm, in the order of their keys.
    ///
    /// # Errors
    /// If the network has stopped.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, NetError> {
        let (sender, receiver) = oneshot::channel();
        self.send(Command::Peers(sender)).await?;
        // A command that meets the end of the network's task lies in the queue until the last
        // handle is gone, with the sender in it (`Permit::send` of tokio's mpsc).
        tokio::select! {
            biased;
            peers = receiver => peers.map_err(|_| NetError::Stopped),
            () = self.commands.closed() => Err(NetError::Stopped),
        }
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            gossip_dropped: read(&self.counters.gossip_dropped),
            gossip_unsent: read(&self.counters.gossip_unsent),
            requests_refused: read(&self.counters.requests_refused),
            responses_late: read(&self.counters.responses_late),
            connections_refused: read(&self.counters.connections_refused),
            handshakes_failed: read(&self.counters.handshakes_failed),
        }
    }

    /// Closes the network and returns when its TCP ports are free again.
    pub async fn close(self) {
        // An error means that the task ends already. Its end of the queue goes last of all.
        let _ = self.send(Command::Close).await;
        self.commands.closed().await;
    }

    async fn send(&self, command: Command) -> Result<(), NetError> {
        self.commands.send(command).await.map_err(|_| NetError::Stopped)
    }
}

fn within(what: &'static str, length: usize, limit: u32) -> Result<(), NetError> {
    if length > limit as usize {
        return Err(NetError::TooLarge { what, length, limit });
    }
    Ok(())
}

fn checked_topic(topic: &str) -> Result<String, NetError> {
    if topic.is_empty() || topic.len() > MAX_TOPIC_BYTES {
        return Err(NetError::Topic { length: topic.len() });
    }
    Ok(topic.to_owned())
}

fn short(reason: &str) -> String {
    reason[..reason.floor_char_boundary(MAX_REASON_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    /// Commands that meet the end of the network's task, at any moment of it. Of those that were
    /// answered over a channel of their own, one in a hundred never was.
    #[test]
    fn what_is_asked_while_the_network_ends_has_an_end() {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_time().build().unwrap();
        for round in 0..4096_u32 {
            let (commands, inbox) = mpsc::channel(8);
            let handle = Handle {
                commands,
                counters: Arc::default(),
                requests: Arc::new(Semaphore::new(1)),
                limits: Limits::default(),
                local: PeerKey([1; 32]),
            };
            let begun = Arc::new(Barrier::new(2));
            let other = Arc::clone(&begun);
            let end = runtime.spawn(async move {
                other.wait();
                (0..round % 64).for_each(|_| std::hint::spin_loop());
                drop(inbox);
            });
            begun.wait();
            (0..round / 64).for_each(|_| std::hint::spin_loop());
            runtime.block_on(async {
                let asked = async {
                    match round % 2 {
                        0 => assert!(handle.peers().await.is_err()),
                        _ => handle.close().await,
                    }
                };
                // Only a hang takes so long.
                tokio::time::timeout(Duration::from_secs(60), asked).await.unwrap();
                end.await.unwrap();
            });
        }
    }
}
