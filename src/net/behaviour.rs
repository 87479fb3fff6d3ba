//! Sets up libp2p: transports, protocols, and their limits.

use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::gossipsub::{
    self, MaxCountSubscriptionFilter, MessageAuthenticity, MessageId, PeerScoreParams,
    PeerScoreThresholds, TopicHash, TopicScoreParams, TopicSubscriptionFilter, ValidationMode,
};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{NetworkBehaviour, Swarm};
use libp2p::{StreamProtocol, SwarmBuilder, identify, mdns, noise, ping, tcp, yamux};

use super::codec::SyncCodec;
use super::gate::Gate;
use super::handle::MAX_TOPIC_BYTES;
use super::{Config, Limits, NetError};

/// What a signature, the author, the topic and the framing add to a gossip message, at most.
const GOSSIP_OVERHEAD: usize = 4096;
/// Gossip messages that wait for one peer to read them, at most.
const GOSSIP_QUEUE: usize = 128;
/// Streams of all protocols but requests, on one connection.
const OTHER_STREAMS: u32 = 32;
/// Members stay connected whether or not there is something to say: longer than any node runs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Milliseconds without a packet after which a QUIC connection is given up.
const QUIC_IDLE_MS: u32 = 20_000;
/// How often a connection is probed, and how long a probe may take.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// A gossip message is known as seen for this long.
const SEEN_TIME: Duration = Duration::from_secs(120);
/// Heartbeats (seconds) for which a message waits for the node's verdict.
const GOSSIP_HISTORY: usize = 12;
/// How long an mDNS announcement holds.
const MDNS_TTL: Duration = Duration::from_secs(360);

pub(super) type NetSwarm = Swarm<Behaviour>;
type Filter = MaxCountSubscriptionFilter<SwarmTopics>;
pub(super) type Gossip = gossipsub::Behaviour<gossipsub::IdentityTransform, Filter>;

/// All protocols. The gate and the limits come first: what they refuse, the others never see.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) gate: Gate,
    pub(super) limits: connection_limits::Behaviour,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) gossip: Gossip,
    pub(super) sync: request_response::Behaviour<SyncCodec>,
}

/// Lets peers subscribe to this swarm's topics only.
pub(super) struct SwarmTopics {
    prefix: String,
}

impl TopicSubscriptionFilter for SwarmTopics {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        let name = topic.as_str().strip_prefix(&self.prefix);
        name.is_some_and(|name| !name.is_empty() && name.len() <= MAX_TOPIC_BYTES)
    }
}

/// What stands before the topics of a swarm on the wire.
pub(super) fn topic_prefix(swarm: &[u8; 32]) -> String {
    format!("{}/", hex::encode(swarm))
}

/// How a node of this swarm identifies itself.
pub(super) fn protocol_version(swarm: &[u8; 32]) -> String {
    format!("/bzzz/1/{}", hex::encode(swarm))
}

/// A swarm that does not listen yet.
pub(super) fn build(config: &Config, pair: Keypair) -> Result<NetSwarm, NetError> {
    let setup = |error: &dyn std::fmt::Display| NetError::Setup(error.to_string());
    let limits = &config.limits;
    let streams = limits.max_streams.saturating_add(OTHER_STREAMS);
    let behaviour = behaviour(config, &pair)?;
    let muxer = move || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(streams as usize);
        config
    };
    let swarm = SwarmBuilder::with_existing_identity(pair)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, muxer)
        .map_err(|error| setup(&error))?
        .with_quic_config(move |mut config| {
            config.max_concurrent_stream_limit = streams;
            // A busy machine may stall for longer than the ten seconds that libp2p would allow.
            config.max_idle_timeout = QUIC_IDLE_MS;
            config
        })
        .with_behaviour(|_| behaviour)
        .map_err(|error| setup(&error))?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(IDLE_TIMEOUT)
                .with_max_negotiating_inbound_streams(limits.max_streams as usize)
        })
        .build();
    Ok(swarm)
}

fn behaviour(config: &Config, pair: &Keypair) -> Result<Behaviour, NetError> {
    let local = pair.public().to_peer_id();
    let mdns = if config.mdns {
        let settings = mdns::Config {
            ttl: MDNS_TTL,
            query_interval: config.limits.mdns_interval,
            enable_ipv6: false,
        };
        Some(mdns::tokio::Behaviour::new(settings, local).map_err(NetError::Mdns)?)
    } else {
        None
    };
    // Listen addresses stay private: mDNS tells the local network, the configuration tells the
    // rest.
    let identity = identify::Config::new(protocol_version(&config.swarm), pair.public())
        .with_agent_version(concat!("bzzz/", env!("CARGO_PKG_VERSION")).to_owned())
        .with_cache_size(0)
        .with_hide_listen_addrs(true);
    let pings = ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT);
    Ok(Behaviour {
        gate: Gate::default(),
        limits: connection_limits::Behaviour::new(connection_limits(&config.limits)),
        identify: identify::Behaviour::new(identity),
        ping: ping::Behaviour::new(pings),
        mdns: mdns.into(),
        gossip: gossip(config, pair)?,
        sync: requests(config)?,
    })
}

fn connection_limits(limits: &Limits) -> ConnectionLimits {
    let inbound = limits.max_connections - limits.max_connections / 4;
    ConnectionLimits::default()
        .with_max_established(Some(limits.max_connections))
        .with_max_established_incoming(Some(inbound))
        .with_max_established_per_peer(Some(limits.max_per_peer))
        .with_max_pending_incoming(Some(limits.max_pending))
        .with_max_pending_outgoing(Some(limits.max_pending))
}

fn requests(config: &Config) -> Result<request_response::Behaviour<SyncCodec>, NetError> {
    let name = format!("/bzzz/sync/1/{}", hex::encode(config.swarm));
    let protocol =
        StreamProtocol::try_from_owned(name).map_err(|error| NetError::Setup(error.to_string()))?;
    let codec = SyncCodec {
        max_request: config.limits.max_request_bytes,
        max_response: config.limits.max_response_bytes,
    };
    let settings = request_response::Config::default()
        .with_request_timeout(config.limits.request_timeout)
        .with_max_concurrent_streams(config.limits.max_streams as usize);
    let protocols = [(protocol, ProtocolSupport::Full)];
    Ok(request_response::Behaviour::with_codec(codec, protocols, settings))
}

fn gossip(config: &Config, pair: &Keypair) -> Result<Gossip, NetError> {
    let limits = &config.limits;
    let prefix = topic_prefix(&config.swarm);
    let settings = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix(format!("/bzzz/gossip/1/{}", hex::encode(config.swarm)))
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        // One event is one message, whoever publishes it and however often.
        .message_id_fn(|message| content_id(&message.topic, &message.data))
        .max_transmit_size(limits.max_gossip_bytes as usize + GOSSIP_OVERHEAD)
        .connection_handler_queue_len(GOSSIP_QUEUE)
        .duplicate_cache_time(SEEN_TIME)
        .history_length(GOSSIP_HISTORY)
        .heartbeat_initial_delay(Duration::from_millis(500))
        .heartbeat_interval(Duration::from_secs(1))
        // A mesh of two or three nodes is below `mesh_n_low` for ever; that only means that each
        // heartbeat looks for more peers. What this node writes goes to all that are subscribed.
        .mesh_outbound_min(1)
        .mesh_n_low(3)
        .mesh_n(6)
        .mesh_n_high(12)
        .flood_publish(true)
        .build()
        .map_err(|error| NetError::Setup(error.to_string()))?;
    let topics = limits.max_topics as usize;
    let filter = MaxCountSubscriptionFilter {
        filter: SwarmTopics { prefix },
        max_subscribed_topics: topics,
        max_subscriptions_per_request: topics,
    };
    let author = MessageAuthenticity::Signed(pair.clone());
    let mut gossip = Gossip::new_with_subscription_filter(author, settings, filter)
        .map_err(|error| NetError::Setup(error.to_owned()))?;
    gossip
        .with_peer_score(score_params(), PeerScoreThresholds::default())
        .map_err(NetError::Setup)?;
    Ok(gossip)
}

fn content_id(topic: &TopicHash, data: &[u8]) -> MessageId {
    let mut hasher = blake3::Hasher::new_derive_key("bzzz net gossip message id v1");
    hasher.update(topic.as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(data);
    MessageId::new(hasher.finalize().as_bytes())
}

/// Many nodes on one address are no offence: that is how a small swarm is tried out.
fn score_params() -> PeerScoreParams {
    PeerScoreParams { ip_colocation_factor_weight: 0.0, ..PeerScoreParams::default() }
}

/// Only what the node rejected counts: a peer that has nothing to say is as good as any other. Two
/// rejections cost 80, the third takes the peer below the threshold under which it is ignored; the
/// count halves in about a minute.
pub(super) fn topic_score() -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -20.0,
        invalid_message_deliveries_decay: 0.99,
        ..TopicScoreParams::default()
    }
}
