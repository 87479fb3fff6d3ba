//! Who may be connected: the behaviour that refuses a connection before any protocol runs on it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::key::PeerKey;

/// The most bans that are remembered at once. One more displaces the one that ends first.
pub(super) const MAX_BANS: usize = 4096;
/// The longest ban; a longer one that is asked for is cut to this.
pub(super) const MAX_BAN: Duration = Duration::from_secs(30 * 24 * 3600);

/// Why a peer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("its identity is no Ed25519 key")]
    KeyType,
    #[error("it is banned for a time")]
    Banned,
    #[error("it is none of the peers that are allowed")]
    NotAllowed,
}

/// Bans with an end, and optionally the set of the only peers that may connect.
#[derive(Default)]
pub(super) struct Gate {
    banned: BTreeMap<PeerKey, Instant>,
    allowed: Option<BTreeSet<PeerKey>>,
}

impl Gate {
    /// The key of a peer that may be connected at this time, or why it may not.
    pub(super) fn permit(&self, peer: &PeerId, now: Instant) -> Result<PeerKey, Refusal> {
        let key = PeerKey::of(peer).ok_or(Refusal::KeyType)?;
        if self.banned.get(&key).is_some_and(|end| now < *end) {
            return Err(Refusal::Banned);
        }
        if self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(&key)) {
            return Err(Refusal::NotAllowed);
        }
        Ok(key)
    }

    /// Refuses the peer for this long. A ban never shortens one that runs.
    pub(super) fn ban(&mut self, peer: PeerKey, now: Instant, time: Duration) {
        self.forget_ended(now);
        if self.banned.len() >= MAX_BANS
            && let Some(first) = self.banned.iter().min_by_key(|(_, end)| **end).map(|(k, _)| *k)
        {
            self.banned.remove(&first);
        }
        let end = now + time.min(MAX_BAN);
        let held = self.banned.entry(peer).or_insert(end);
        *held = end.max(*held);
    }

    /// Lets only these peers connect; `None` lifts that.
    pub(super) fn allow_only(&mut self, peers: Option<BTreeSet<PeerKey>>) {
        self.allowed = peers;
    }

    /// Drops the bans that have ended.
    pub(super) fn forget_ended(&mut self, now: Instant) {
        self.banned.retain(|_, end| now < *end);
    }

    fn enforce(&self, peer: &PeerId) -> Result<(), ConnectionDenied> {
        self.permit(peer, Instant::now()).map(|_| ()).map_err(ConnectionDenied::new)
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.enforce(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if let Some(peer) = peer {
            self.enforce(&peer)?;
        }
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.enforce(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::tests::RSA_PEER;
    use super::*;
    use libp2p::identity::Keypair;

    fn peer(seed: u8) -> (PeerId, PeerKey) {
        let pair = Keypair::ed25519_from_bytes([seed; 32]).expect("any 32 bytes are a seed");
        let id = pair.public().to_peer_id();
        (id, PeerKey::of(&id).expect("an Ed25519 id"))
    }

    #[test]
    fn a_peer_with_another_kind_of_key_is_refused() {
        let rsa: PeerId = RSA_PEER.parse().expect("a well-formed peer id");
        let mut gate = Gate::default();
        assert_eq!(gate.permit(&rsa, Instant::now()), Err(Refusal::KeyType));
        let (here, there) = (Multiaddr::empty(), Multiaddr::empty());
        let connection = ConnectionId::new_unchecked(1);
        let denied = gate.handle_established_inbound_connection(connection, rsa, &here, &there);
        let cause = denied.err().and_then(|d| d.downcast::<Refusal>().ok());
        assert_eq!(cause, Some(Refusal::KeyType));
    }

    #[test]
    fn a_ban_ends_and_is_never_shortened() {
        let (id, key) = peer(1);
        let mut gate = Gate::default();
        let start = Instant::now();
        gate.ban(key, start, Duration::from_secs(60));
        gate.ban(key, start, Duration::from_secs(5));
        let before = start + Duration::from_secs(59);
        assert_eq!(gate.permit(&id, before), Err(Refusal::Banned));
        assert_eq!(gate.permit(&id, start + Duration::from_secs(60)), Ok(key));
    }

    #[test]
    fn bans_are_bounded_and_the_shortest_goes_first() {
        let mut gate = Gate::default();
        let now = Instant::now();
        for i in 0..=u32::try_from(MAX_BANS).expect("a small constant") {
            let mut key = [0u8; 32];
            key[..4].copy_from_slice(&i.to_le_bytes());
            gate.ban(PeerKey(key), now, Duration::from_secs(u64::from(i) + 1));
        }
        assert_eq!(gate.banned.len(), MAX_BANS);
        assert!(!gate.banned.contains_key(&PeerKey([0; 32])));
    }

    #[test]
    fn only_the_allowed_pass_when_there_is_a_list() {
        let ((a, a_key), (b, _)) = (peer(1), peer(2));
        let mut gate = Gate::default();
        gate.allow_only(Some(BTreeSet::from([a_key])));
        assert_eq!(gate.permit(&a, Instant::now()), Ok(a_key));
        assert_eq!(gate.permit(&b, Instant::now()), Err(Refusal::NotAllowed));
        gate.allow_only(None);
        assert!(gate.permit(&b, Instant::now()).is_ok());
    }
}
