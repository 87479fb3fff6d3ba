//! The network: libp2p over TCP and QUIC, discovery, gossip, and requests with answers.
//!
//! One task drives everything. The node gives it commands through a [`Handle`] and takes [`Event`]s
//! from a bounded channel. The bytes that travel mean nothing here: the protocol of replication
//! lives in the kernel, which asks and answers; gossip is only a hint and may get lost.
//!
//! What this module never does: read an event, decide who is a member, buffer without bound, or
//! talk to a node of another swarm. The names of all protocols carry the swarm's id, and a peer
//! that identifies itself as another swarm's is disconnected before the node hears of it.
//!
//! A slow node: gossip that finds no room in the event channel is dropped and counted; a peer's
//! request is answered "busy"; what must not be lost (connections, answers) waits, and while it
//! waits the network reads nothing more, so that the peers wait too.

mod address;
mod behaviour;
mod codec;
mod dialer;
mod driver;
mod gate;
mod handle;
mod key;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use libp2p::TransportError;
use libp2p::identity::Keypair;
use tokio::sync::{Semaphore, mpsc};
use zeroize::Zeroizing;

pub use handle::{
    Event, GossipTicket, Handle, MAX_TOPIC_BYTES, PeerInfo, RequestError, ResponseHandle, Stats,
    Verdict,
};
pub use key::PeerKey;
pub use libp2p::Multiaddr;

/// The most explicit peers, and the most listen addresses, that a configuration may name.
pub const MAX_ADDRESSES: usize = 256;

/// What a network is started with.
pub struct Config {
    /// The Ed25519 seed of the log's author: it is the node's libp2p identity too.
    pub secret: Zeroizing<[u8; 32]>,
    /// The swarm's id. Only peers of the same swarm are talked to.
    pub swarm: [u8; 32],
    /// Where to listen: `/ip4/A/tcp/P` or `/ip4/A/udp/P/quic-v1` (or `ip6`). Port 0 takes a free
    /// one.
    pub listen: Vec<Multiaddr>,
    /// Peers to keep dialled: as for `listen`, or with a host's name (`/dns/NAME/tcp/P`), which is
    /// looked up anew for each attempt; optionally with `/p2p/ID` at the end, which then must be
    /// who answers.
    pub peers: Vec<Multiaddr>,
    /// Whether to announce and find peers by mDNS. Only listen addresses on an interface that is
    /// not the loopback and that carries multicast are announced.
    pub mdns: bool,
    /// Bounds on what peers can make this node do.
    pub limits: Limits,
}

/// Bounds on what peers can make this node do. All have defaults.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; three quarters of them may be inbound. Explicit peers that are named by
    /// their id are let in even so. Default 64.
    pub max_connections: u32,
    /// Connections at once that are still in the handshake, each way. Default 32.
    pub max_pending: u32,
    /// Connections at once with one peer; two is common when both dial. Default 4.
    pub max_per_peer: u32,
    /// Streams at once on a connection that carry requests, half of them each way. Default 32.
    pub max_streams: u32,
    /// Bytes of a request. Default 64 KiB.
    pub max_request_bytes: u32,
    /// Bytes of a response. Default 8 MiB.
    pub max_response_bytes: u32,
    /// Bytes of a gossip message. Default 256 KiB.
    pub max_gossip_bytes: u32,
    /// The time from a request's start to the end of its answer, on both sides. Default 60 seconds.
    pub request_timeout: Duration,
    /// Requests of peers that wait for this node's answer; a further one is answered "busy". With
    /// `max_response_bytes` this bounds the memory of answers on their way. Default 64.
    pub max_inbound_requests: u32,
    /// As before, for one peer. Default 8.
    pub max_inbound_per_peer: u32,
    /// Requests of this node that wait for an answer. Default 256.
    pub max_outbound_requests: u32,
    /// Topics that one peer may be subscribed to. Default 256.
    pub max_topics: u32,
    /// Events that wait for the node to take them; half of the room is kept for those that must not
    /// be lost. Default 512, at least 4.
    pub event_queue: u32,
    /// The first delay before a lost peer is dialled again; it doubles with each failure. Default
    /// half a second.
    pub redial_first: Duration,
    /// The longest such delay. Default 30 seconds.
    pub redial_max: Duration,
    /// When a peer dials this node anew, its connections that are older than this are closed: it
    /// has lost them. Default 10 seconds, time enough for two nodes that dial each other at once.
    pub outlived: Duration,
    /// How often mDNS asks the local network anew. Default 30 seconds.
    pub mdns_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 128,
            max_pending: 32,
            max_per_peer: 4,
            max_streams: 32,
            max_request_bytes: 64 * 1024,
            max_response_bytes: 8 * 1024 * 1024,
            max_gossip_bytes: 256 * 1024,
            request_timeout: Duration::from_secs(60),
            max_inbound_requests: 64,
            max_inbound_per_peer: 8,
            max_outbound_requests: 256,
            max_topics: 256,
            event_queue: 512,
            redial_first: Duration::from_millis(500),
            redial_max: Duration::from_secs(30),
            outlived: Duration::from_secs(10),
            mdns_interval: Duration::from_secs(30),
        }
    }
}

/// Why the network did not start or take a command.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// As configured.
        address: Multiaddr,
        /// Why, as a sentence.
        reason: String,
    },
    /// The address cannot be dialled by any transport there is.
    #[error("the peer address {address} cannot be used: {reason}")]
    PeerAddress {
        /// As configured.
        address: Multiaddr,
        /// Why, as a sentence.
        reason: String,
    },
    /// The configuration names too many addresses.
    #[error("{count} {what} addresses are configured, the limit is {limit}")]
    TooManyAddresses {
        /// "listen" or "peer".
        what: &'static str,
        /// How many.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// mDNS could not watch the network interfaces.
    #[error("cannot watch the network interfaces for mdns: {0}; set mdns to false to go without")]
    Mdns(#[source] io::Error),
    /// libp2p refused the configuration.
    #[error("cannot set up the network: {0}")]
    Setup(String),
    /// Too long for the limits of this node.
    #[error("a {what} of {length} bytes is too large, the limit is {limit}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Bytes.
        length: usize,
        /// Bytes.
        limit: u32,
    },
    /// Too many requests wait for an answer.
    #[error("{limit} requests wait for an answer already")]
    TooManyRequests {
        /// How many may wait.
        limit: u32,
    },
    /// A topic's name is empty or too long.
    #[error("a topic has 1 to {MAX_TOPIC_BYTES} bytes, not {length}")]
    Topic {
        /// Bytes.
        length: usize,
    },
    /// The network's task has ended.
    #[error("the network has stopped")]
    Stopped,
}

/// Starts the network on the current tokio runtime. When this returns, all listen addresses are
/// bound; [`Event::Listening`] names the ports that were taken.
///
/// # Errors
/// If an address is malformed or taken, or libp2p refuses the configuration.
pub async fn start(config: Config) -> Result<(Handle, mpsc::Receiver<Event>), NetError> {
    at_most("listen", config.listen.len())?;
    at_most("peer", config.peers.len())?;
    let mut peers = Vec::new();
    for address in &config.peers {
        peers.push((address.clone(), address::check_peer(address)?));
    }

    let mut secret = config.secret.clone();
    let pair = Keypair::ed25519_from_bytes(secret.as_mut_slice())
        .map_err(|error| NetError::Setup(error.to_string()))?;
    let local = PeerKey::of(&pair.public().to_peer_id())
        .ok_or_else(|| NetError::Setup("the node's own key has no Ed25519 peer id".into()))?;
    let mut swarm = behaviour::build(&config, pair)?;
    for address in &config.listen {
        listen(&mut swarm, address)?;
    }

    let queue = config.limits.event_queue.max(4) as usize;
    let (events, receiver) = mpsc::channel(queue);
    let (commands, inbox) = mpsc::channel(driver::COMMAND_QUEUE);
    let counters = Arc::default();
    let handle = Handle {
        commands,
        counters: Arc::clone(&counters),
        requests: Arc::new(Semaphore::new(config.limits.max_outbound_requests as usize)),
        limits: config.limits.clone(),
        local,
    };
    let driver = driver::Driver::new(swarm, &config, peers, inbox, events, counters);
    tokio::spawn(driver.run());
    Ok((handle, receiver))
}

fn at_most(what: &'static str, count: usize) -> Result<(), NetError> {
    if count > MAX_ADDRESSES {
        return Err(NetError::TooManyAddresses { what, count, limit: MAX_ADDRESSES });
    }
    Ok(())
}

fn listen(swarm: &mut behaviour::NetSwarm, address: &Multiaddr) -> Result<(), NetError> {
    let error = |reason: String| NetError::Listen { address: address.clone(), reason };
    let (socket, tcp) = address::check_listen(address).map_err(|reason| error(reason.into()))?;
    // libp2p binds TCP with SO_REUSEPORT, under which a second node on the port would start without
    // an error and steal connections. Without the option the system says that the port is taken.
    if tcp && socket.port() != 0 {
        TcpListener::bind(socket).map_err(|cause| error(cause.to_string()))?;
    }
    match swarm.listen_on(address.clone()) {
        Ok(_) => Ok(()),
        Err(TransportError::Other(cause)) => Err(error(driver::innermost(&cause))),
        Err(TransportError::MultiaddrNotSupported(_)) => {
            Err(error("no transport of this node can listen there".into()))
        }
    }
}
