//! Which peers are to be dialled and when: a table without sockets or clock of its own.
//!
//! Explicit addresses stay in the table for as long as the node runs; those that mDNS found stay
//! until their announcement expires. A peer that is connected is not dialled; one that was lost or
//! could not be reached is dialled again after a delay that doubles from `first` to `max`, each cut
//! by up to half so that nodes that lost the same peer do not all return at one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

/// The most targets at once; further ones are refused. mDNS adds none beyond half of them.
pub(super) const MAX_TARGETS: usize = 512;
/// The most addresses of one peer that mDNS found.
const MAX_ADDRESSES: usize = 16;
/// Doubling stops here even if the configured maximum is never reached.
const MAX_DOUBLINGS: u32 = 16;

/// A target's number in the table.
pub(super) type TargetId = u64;

/// One attempt to make now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) target: TargetId,
    /// Who must answer; none if anyone at the address may.
    pub(super) peer: Option<PeerId>,
    pub(super) addresses: Vec<Multiaddr>,
    /// How many attempts before this one failed in a row.
    pub(super) failures: u32,
}

struct Target {
    /// The peer that the address names or that mDNS announced.
    pinned: Option<PeerId>,
    /// Who answered last.
    last: Option<PeerId>,
    addresses: Vec<Multiaddr>,
    explicit: bool,
    failures: u32,
    /// When to dial next, unless the peer is connected by then.
    next: Instant,
    in_flight: Option<Flight>,
}

/// What an attempt waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flight {
    Resolver,
    Connection(ConnectionId),
}

impl Target {
    fn is(&self, peer: &PeerId) -> bool {
        self.pinned.or(self.last).as_ref() == Some(peer)
    }
}

/// The table.
pub(super) struct Dialer {
    targets: BTreeMap<TargetId, Target>,
    next_id: TargetId,
    first: Duration,
    max: Duration,
    seed: [u8; 32],
}

impl Dialer {
    /// An empty table. The seed, different on each node, decides the jitter.
    pub(super) fn new(seed: [u8; 32], first: Duration, max: Duration) -> Self {
        let first = first.max(Duration::from_millis(1));
        Self { targets: BTreeMap::new(), next_id: 0, first, max: max.max(first), seed }
    }

    /// Adds an address to keep dialled. False if the table is full.
    pub(super) fn add_explicit(
        &mut self,
        address: Multiaddr,
        pinned: Option<PeerId>,
        now: Instant,
    ) -> bool {
        let known = |t: &Target| t.explicit && t.addresses.first() == Some(&address);
        if self.targets.values().any(known) {
            return true;
        }
        self.add(vec![address], pinned, true, now)
    }

    /// Notes an address that mDNS announced for a peer. True if it wasn't known before.
    pub(super) fn discovered(&mut self, peer: PeerId, address: Multiaddr, now: Instant) -> bool {
        let mine = |t: &&mut Target| !t.explicit && t.pinned == Some(peer);
        let Some(target) = self.targets.values_mut().find(mine) else {
            // Whoever floods the local network must not crowd out what was configured.
            if self.targets.len() >= MAX_TARGETS / 2 {
                return false;
            }
            return self.add(vec![address], Some(peer), false, now);
        };
        if target.addresses.contains(&address) || target.addresses.len() >= MAX_ADDRESSES {
            return false;
        }
        // A new address is a new hope: a peer that came back on another port is tried at once.
        target.addresses.push(address);
        target.failures = 0;
        target.next = now;
        true
    }

    /// Forgets an address whose announcement has expired.
    pub(super) fn expired(&mut self, peer: &PeerId, address: &Multiaddr) {
        self.targets.retain(|_, t| {
            if t.explicit || t.pinned.as_ref() != Some(peer) {
                return true;
            }
            t.addresses.retain(|a| a != address);
            !t.addresses.is_empty()
        });
    }

    /// The attempts to make now, to peers that are idle, that is, not connected. Each must be
    /// followed by [`Self::started`], [`Self::resolving`] or [`Self::postpone`].
    pub(super) fn due(&self, now: Instant, idle: impl Fn(&PeerId) -> bool) -> Vec<Attempt> {
        let open = |t: &Target| {
            t.in_flight.is_none()
                && t.next <= now
                && t.pinned.or(t.last).is_none_or(|peer| idle(&peer))
        };
        self.targets
            .iter()
            .filter(|(_, t)| open(t))
            .map(|(id, t)| Attempt {
                target: *id,
                peer: t.pinned,
                addresses: t.addresses.clone(),
                failures: t.failures,
            })
            .collect()
    }

    /// The earliest time at which [`Self::due`] could have something, given who is connected.
    pub(super) fn next_due(&self, idle: impl Fn(&PeerId) -> bool) -> Option<Instant> {
        self.targets
            .values()
            .filter(|t| t.in_flight.is_none())
            .filter(|t| t.pinned.or(t.last).is_none_or(|peer| idle(&peer)))
            .map(|t| t.next)
            .min()
    }

    /// The attempt has become this connection.
    pub(super) fn started(&mut self, target: TargetId, connection: ConnectionId) {
        if let Some(t) = self.targets.get_mut(&target) {
            t.in_flight = Some(Flight::Connection(connection));
        }
    }

    /// The attempt waits for a name to be resolved.
    pub(super) fn resolving(&mut self, target: TargetId) {
        if let Some(t) = self.targets.get_mut(&target) {
            t.in_flight = Some(Flight::Resolver);
        }
    }

    /// The attempt could not even start; it comes again after the delay.
    pub(super) fn postpone(&mut self, target: TargetId, now: Instant) {
        if let Some(t) = self.targets.get_mut(&target) {
            t.in_flight = None;
        }
        self.backoff(target, now);
    }

    /// A connection was made, by one of these attempts or otherwise.
    pub(super) fn established(&mut self, connection: ConnectionId, peer: PeerId, now: Instant) {
        let Some(id) = self.by_connection(connection) else {
            return;
        };
        if let Some(t) = self.targets.get_mut(&id) {
            t.in_flight = None;
            t.last = Some(peer);
        }
        // A connection proves nothing yet: should the peer turn out to be a stranger or refuse us,
        // the next attempt waits longer. `confirmed` takes that back.
        self.backoff(id, now);
    }

    /// The peer has proved to be of our swarm.
    pub(super) fn confirmed(&mut self, peer: &PeerId) {
        for t in self.targets.values_mut().filter(|t| t.is(peer)) {
            t.failures = 0;
        }
    }

    /// The last connection to the peer is gone.
    pub(super) fn lost(&mut self, peer: &PeerId, now: Instant) {
        let of_peer = self.targets.iter().filter(|(_, t)| t.is(peer) && t.failures == 0);
        let ids: Vec<TargetId> = of_peer.map(|(id, _)| *id).collect();
        for id in ids {
            self.backoff(id, now);
        }
    }

    /// The connection could not be made. Returns the target's explicit address, if it is one.
    pub(super) fn failed(&mut self, connection: ConnectionId, now: Instant) -> Option<Multiaddr> {
        let id = self.by_connection(connection)?;
        let target = self.targets.get_mut(&id)?;
        target.in_flight = None;
        let address = target.explicit.then(|| target.addresses.first().cloned()).flatten();
        self.backoff(id, now);
        address
    }

    /// Takes the target of this connection out of the table for good: it was this node itself.
    pub(super) fn remove(&mut self, connection: ConnectionId) {
        if let Some(id) = self.by_connection(connection) {
            self.targets.remove(&id);
        }
    }

    fn add(
        &mut self,
        addresses: Vec<Multiaddr>,
        pinned: Option<PeerId>,
        explicit: bool,
        now: Instant,
    ) -> bool {
        if self.targets.len() >= MAX_TARGETS {
            return false;
        }
        let target = Target {
            pinned,
            last: None,
            addresses,
            explicit,
            failures: 0,
            next: now,
            in_flight: None,
        };
        self.targets.insert(self.next_id, target);
        self.next_id += 1;
        true
    }

    fn by_connection(&self, connection: ConnectionId) -> Option<TargetId> {
        let flight = Some(Flight::Connection(connection));
        let found = self.targets.iter().find(|(_, t)| t.in_flight == flight);
        found.map(|(id, _)| *id)
    }

    fn backoff(&mut self, target: TargetId, now: Instant) {
        let Some(failures) = self.targets.get(&target).map(|t| t.failures) else {
            return;
        };
        let delay = self.delay(target, failures);
        if let Some(t) = self.targets.get_mut(&target) {
            t.failures = failures.saturating_add(1);
            t.next = now + delay;
        }
    }

    /// Between half of `first * 2^failures`, bounded by `max`, and the whole of it.
    fn delay(&self, target: TargetId, failures: u32) -> Duration {
        let whole = self.first.saturating_mul(1 << failures.min(MAX_DOUBLINGS)).min(self.max);
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        hasher.update(&target.to_le_bytes());
        hasher.update(&failures.to_le_bytes());
        let chance = u32::from(hasher.finalize().as_bytes()[0]);
        whole / 2 + whole / 2 * chance / 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;

    const FIRST: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_secs(60);

    fn peer(seed: u8) -> PeerId {
        let pair = Keypair::ed25519_from_bytes([seed; 32]).expect("any 32 bytes are a seed");
        pair.public().to_peer_id()
    }

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}").parse().expect("a well-formed address")
    }

    fn dialer() -> Dialer {
        Dialer::new([9; 32], FIRST, MAX)
    }

    fn connection(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    #[test]
    fn a_failing_target_is_tried_ever_more_seldom_up_to_the_maximum() {
        let (mut dialer, mut now) = (dialer(), Instant::now());
        assert!(dialer.add_explicit(address(1), None, now));
        let mut delays = Vec::new();
        for n in 0..20 {
            let due = dialer.due(now, |_| true);
            assert_eq!(due.len(), 1);
            dialer.started(due[0].target, connection(n));
            assert!(dialer.due(now + MAX, |_| true).is_empty(), "one attempt at a time");
            assert_eq!(dialer.failed(connection(n), now), Some(address(1)));
            let next = dialer.next_due(|_| true).expect("it comes again");
            delays.push(next - now);
            now = next;
        }
        assert!(delays[0] >= FIRST / 2 && delays[0] <= FIRST);
        assert!(delays[19] >= MAX / 2 && delays[19] <= MAX);
        assert!(delays.iter().collect::<std::collections::BTreeSet<_>>().len() > 6, "jitter");
    }

    #[test]
    fn a_connected_peer_is_left_alone_and_comes_back_soon_after_a_loss() {
        let (mut dialer, now) = (dialer(), Instant::now());
        dialer.add_explicit(address(1), None, now);
        dialer.started(dialer.due(now, |_| true)[0].target, connection(1));
        dialer.established(connection(1), peer(1), now);
        dialer.confirmed(&peer(1));
        assert!(dialer.due(now + MAX * 9, |p| *p != peer(1)).is_empty());
        assert_eq!(dialer.next_due(|p| *p != peer(1)), None);
        let lost = now + MAX * 9;
        dialer.lost(&peer(1), lost);
        let next = dialer.next_due(|_| true).expect("it comes again");
        assert!(next > lost && next <= lost + FIRST);
        assert_eq!(dialer.due(next, |_| true)[0].peer, None, "anyone at the address may answer");
    }

    #[test]
    fn a_peer_that_connects_and_drops_us_is_not_hammered() {
        let (mut dialer, mut now) = (dialer(), Instant::now());
        dialer.add_explicit(address(1), Some(peer(1)), now);
        for n in 0..12 {
            dialer.started(dialer.due(now, |_| true)[0].target, connection(n));
            dialer.established(connection(n), peer(1), now);
            dialer.lost(&peer(1), now);
            now = dialer.next_due(|_| true).expect("it comes again");
        }
        let before = now;
        dialer.started(dialer.due(now, |_| true)[0].target, connection(99));
        dialer.established(connection(99), peer(1), now);
        assert!(dialer.next_due(|_| true).expect("it comes again") - before >= MAX / 2);
    }

    #[test]
    fn what_mdns_finds_is_dialled_until_it_expires() {
        let (mut dialer, now) = (dialer(), Instant::now());
        assert!(dialer.discovered(peer(1), address(1), now));
        assert!(!dialer.discovered(peer(1), address(1), now));
        assert!(dialer.discovered(peer(1), address(2), now));
        assert_eq!(dialer.due(now, |_| true)[0].addresses, [address(1), address(2)]);
        dialer.expired(&peer(1), &address(1));
        assert_eq!(dialer.due(now, |_| true)[0].addresses, [address(2)]);
        dialer.expired(&peer(1), &address(2));
        assert!(dialer.due(now, |_| true).is_empty());
    }

    #[test]
    fn the_table_and_the_addresses_are_bounded() {
        let (mut dialer, now) = (dialer(), Instant::now());
        for port in 0..u16::try_from(MAX_ADDRESSES).expect("a small constant") {
            assert!(dialer.discovered(peer(1), address(port), now));
        }
        assert!(!dialer.discovered(peer(1), address(999), now));
        for seed in 2..=255 {
            assert!(dialer.discovered(peer(seed), address(1), now));
        }
        assert!(dialer.add_explicit(address(1), None, now));
        assert!(!dialer.discovered(peer(0), address(1), now), "mDNS gets half of the table");
        for port in 0..=u16::try_from(MAX_TARGETS / 2).expect("a small constant") {
            assert!(dialer.add_explicit(address(port), None, now));
        }
        assert!(!dialer.add_explicit(address(9999), None, now));
        assert!(dialer.add_explicit(address(1), None, now), "known already");
    }
}
