//! Real networks on the loopback: two and three nodes in one process, over TCP and over QUIC.
//!
//! Every wait is for an event, with a limit that only a hang reaches.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use bzzz::net::{
    self, Config, Event, Handle, Limits, Multiaddr, NetError, PeerKey, RequestError, Verdict,
};
use tokio::sync::mpsc;

const SWARM: [u8; 32] = [1; 32];
const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
const TOPIC: &str = "bzzz/coordination/v1";
const HANG: Duration = Duration::from_secs(240);

struct Node {
    handle: Handle,
    events: mpsc::Receiver<Event>,
    address: Multiaddr,
}

impl Node {
    fn key(&self) -> PeerKey {
        self.handle.local()
    }

    /// Waits for the first event that the function takes; the others are passed over.
    async fn until<T>(&mut self, what: &str, take: impl FnMut(Event) -> Option<T>) -> T {
        until(&mut self.events, what, take).await
    }

    async fn connected(&mut self, to: PeerKey) -> Multiaddr {
        self.until("a connection", |event| match event {
            Event::Connected { peer, address } if peer == to => Some(address),
            _ => None,
        })
        .await
    }

    async fn disconnected(&mut self, from: PeerKey) -> String {
        self.until("a disconnection", |event| match event {
            Event::Disconnected { peer, reason } if peer == from => Some(reason),
            _ => None,
        })
        .await
    }

    async fn result(&mut self, number: u64) -> Result<Vec<u8>, RequestError> {
        self.until("a response", |event| match event {
            Event::Response { id, result, .. } if id == number => Some(result),
            _ => None,
        })
        .await
    }

    async fn asked(&mut self) -> (PeerKey, Vec<u8>, net::ResponseHandle) {
        self.until("a request", |event| match event {
            Event::Request { peer, bytes, channel } => Some((peer, bytes, channel)),
            _ => None,
        })
        .await
    }
}

async fn until<T>(
    events: &mut mpsc::Receiver<Event>,
    what: &str,
    mut take: impl FnMut(Event) -> Option<T>,
) -> T {
    let wait = async {
        loop {
            let event = events.recv().await.expect("the network runs");
            if let Some(found) = take(event) {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(HANG, wait).await;
    found.map_err(|_| format!("waited for {what} in vain")).expect("no hang")
}

/// Waits until something that no event tells is so.
async fn becomes(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done = tokio::time::timeout(HANG, wait).await;
    done.map_err(|_| format!("waited in vain until {what}")).expect("no hang");
}

fn config(seed: u8, listen: &[&str], peers: &[&Multiaddr]) -> Config {
    Config {
        secret: [seed; 32].into(),
        swarm: SWARM,
        listen: listen.iter().map(|a| a.parse().expect("a well-formed address")).collect(),
        peers: peers.iter().map(|a| (*a).clone()).collect(),
        mdns: false,
        limits: quick(),
    }
}

/// The defaults, but lost peers are dialled again soon.
fn quick() -> Limits {
    Limits { redial_first: Duration::from_millis(50), ..Limits::default() }
}

async fn start(config: Config) -> Node {
    let (handle, mut events) = net::start(config).await.expect("the network starts");
    let address = until(&mut events, "a listener", |event| match event {
        Event::Listening(address) => Some(address),
        _ => None,
    })
    .await;
    Node { handle, events, address }
}

/// Two connected nodes; the second has dialled the first.
async fn pair(listen: &str, first: Limits, second: Limits) -> (Node, Node) {
    let mut a = start(Config { limits: first, ..config(1, &[listen], &[]) }).await;
    let to = [&a.address];
    let mut b = start(Config { limits: second, ..config(2, &[listen], &to) }).await;
    a.connected(b.key()).await;
    let address = b.connected(a.key()).await;
    let quic = listen.contains("quic");
    assert_eq!(address.to_string().contains("quic-v1"), quic, "{address}");
    (a, b)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..=250u8).cycle().take(length).collect()
}

async fn largest_messages_both_ways(listen: &str) {
    let (mut a, mut b) = pair(listen, quick(), quick()).await;
    let request = pattern(64 * 1024);
    let response = pattern(8 * 1024 * 1024);
    for _ in 0..2 {
        a.handle.request(b.key(), 7, request.clone()).await.expect("sent");
        let (from, bytes, channel) = b.asked().await;
        assert_eq!((from, &bytes), (a.key(), &request));
        b.handle.respond(channel, response.clone()).await.expect("sent");
        assert!(a.result(7).await.expect("an answer") == response);
        std::mem::swap(&mut a, &mut b);
    }
}

#[tokio::test]
async fn the_largest_messages_travel_both_ways_over_tcp() {
    largest_messages_both_ways(TCP).await;
}

#[tokio::test]
async fn the_largest_messages_travel_both_ways_over_quic() {
    largest_messages_both_ways(QUIC).await;
}

#[tokio::test]
async fn both_sides_send_bulk_at_once() {
    let (mut a, mut b) = pair(TCP, quick(), quick()).await;
    let bulk = pattern(4 * 1024 * 1024);
    for id in 0..8 {
        a.handle.request(b.key(), id, vec![1]).await.expect("sent");
        b.handle.request(a.key(), id, vec![2]).await.expect("sent");
    }
    let ((), ()) = tokio::join!(serve_all(&mut a, &bulk), serve_all(&mut b, &bulk));
}

async fn serve_all(node: &mut Node, bulk: &[u8]) {
    let (mut asked, mut answered) = (0, 0);
    while asked < 8 || answered < 8 {
        match node.until("anything", Some).await {
            Event::Request { channel, .. } => {
                node.handle.respond(channel, bulk.to_vec()).await.expect("sent");
                asked += 1;
            }
            Event::Response { result, .. } => {
                assert!(result.expect("an answer") == bulk);
                answered += 1;
            }
            _ => {}
        }
    }
}

async fn oversize_request(listen: &str) {
    let large = Limits { max_request_bytes: 128 * 1024, ..quick() };
    let (mut a, mut b) = pair(listen, large, quick()).await;

    let here = a.handle.request(b.key(), 1, vec![0; 128 * 1024 + 1]).await;
    let error = here.expect_err("over this node's own limit").to_string();
    assert_eq!(error, "a request of 131073 bytes is too large, the limit is 131072");

    a.handle.request(b.key(), 2, vec![0; 64 * 1024 + 1]).await.expect("within its own limit");
    let refused = a.result(2).await.expect_err("over the limit of the peer");
    assert!(matches!(refused, RequestError::Unanswered | RequestError::Stream(_)), "{refused}");

    // The node behind the limit never saw it: the first that it sees is the next.
    a.handle.request(b.key(), 3, b"small".to_vec()).await.expect("sent");
    let (_, bytes, channel) = b.asked().await;
    assert_eq!(bytes, b"small");
    b.handle.respond(channel, b"answer".to_vec()).await.expect("sent");
    assert_eq!(a.result(3).await.expect("an answer"), b"answer");
}

#[tokio::test]
async fn an_oversize_request_is_refused_on_both_sides_over_tcp() {
    oversize_request(TCP).await;
}

#[tokio::test]
async fn an_oversize_request_is_refused_on_both_sides_over_quic() {
    oversize_request(QUIC).await;
}

#[tokio::test]
async fn an_oversize_response_is_refused_on_both_sides() {
    let small = Limits { max_response_bytes: 1024, ..quick() };
    let larger = Limits { max_response_bytes: 4096, ..quick() };
    let (mut a, mut b) = pair(TCP, small, larger).await;

    a.handle.request(b.key(), 1, vec![]).await.expect("sent");
    let (_, _, channel) = b.asked().await;
    b.handle.respond(channel, vec![0; 2048]).await.expect("within its own limit");
    let refused = a.result(1).await;
    assert_eq!(refused, Err(RequestError::TooLarge { announced: 2048, limit: 1024 }));

    a.handle.request(b.key(), 2, vec![]).await.expect("sent");
    let (_, _, channel) = b.asked().await;
    let here = b.handle.respond(channel, vec![0; 4097]).await;
    assert!(matches!(here, Err(NetError::TooLarge { length: 4097, limit: 4096, .. })));
    assert_eq!(a.result(2).await, Err(RequestError::Failed));
}

#[tokio::test]
async fn every_request_has_an_outcome() {
    let one = Limits { max_outbound_requests: 1, ..quick() };
    let (mut a, mut b) = pair(TCP, one, quick()).await;

    let nobody = PeerKey([3; 32]);
    a.handle.request(nobody, 1, vec![]).await.expect("taken");
    assert_eq!(a.result(1).await, Err(RequestError::NotConnected));

    a.handle.request(b.key(), 2, vec![]).await.expect("sent");
    let second = a.handle.request(b.key(), 3, vec![]).await;
    assert!(matches!(second, Err(NetError::TooManyRequests { limit: 1 })));
    let (_, _, channel) = b.asked().await;
    b.handle.refuse(channel).await.expect("sent");
    assert_eq!(a.result(2).await, Err(RequestError::Failed));

    a.handle.request(b.key(), 4, vec![]).await.expect("the first has its outcome");
    let (_, _, channel) = b.asked().await;
    drop(channel);
    assert_eq!(a.result(4).await, Err(RequestError::Unanswered));

    a.handle.request(b.key(), 5, vec![]).await.expect("sent");
    let (_, _, channel) = b.asked().await;
    b.handle.close().await;
    assert_eq!(a.result(5).await, Err(RequestError::ConnectionLost));
    drop(channel);
}

#[tokio::test]
async fn a_request_that_nobody_answers_times_out() {
    let hasty = Limits { request_timeout: Duration::from_millis(300), ..quick() };
    let (mut a, mut b) = pair(QUIC, hasty, quick()).await;
    a.handle.request(b.key(), 1, vec![]).await.expect("sent");
    let (_, _, channel) = b.asked().await;
    assert_eq!(a.result(1).await, Err(RequestError::Timeout));
    b.handle.respond(channel, vec![]).await.expect("late is no error");
}

/// Takes gossip in, accepts what begins with "good" and ignores the rest.
async fn next_good(node: &mut Node) -> (PeerKey, String, Vec<u8>) {
    loop {
        let (peer, topic, bytes, ticket) = node
            .until("gossip", |event| match event {
                Event::Gossip { peer, topic, bytes, ticket } => Some((peer, topic, bytes, ticket)),
                _ => None,
            })
            .await;
        let good = bytes.starts_with(b"good");
        let verdict = if good { Verdict::Accept } else { Verdict::Ignore };
        node.handle.verdict(ticket, verdict).await.expect("taken");
        if good {
            return (peer, topic, bytes);
        }
    }
}

#[tokio::test]
async fn gossip_reaches_all_through_those_who_accept_it() {
    // The second and the third know only the first; so what the third hears of the second has
    // passed the first, and what the first ignored never comes.
    let mut hub = start(config(1, &[TCP, QUIC], &[])).await;
    let mut writer = start(config(2, &[TCP], &[&hub.address])).await;
    let mut reader = start(config(3, &[TCP], &[&hub.address])).await;
    for node in [&hub, &writer, &reader] {
        node.handle.subscribe(TOPIC).await.expect("taken");
    }
    let (hub_key, writer_key) = (hub.key(), writer.key());
    writer.connected(hub_key).await;
    reader.connected(hub_key).await;

    let publish = async {
        for n in 0u64.. {
            // Whether the peers have subscribed yet is not known here; so it is said until heard.
            let large = [format!("good {n} ").into_bytes(), pattern(200 * 1024)].concat();
            let bad = format!("bad {n}").into_bytes();
            writer.handle.publish(TOPIC, bad).await.expect("taken");
            writer.handle.publish(TOPIC, large).await.expect("taken");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let relay = async {
        loop {
            assert_eq!(next_good(&mut hub).await.0, writer_key);
        }
    };
    let hear = reader.until("gossip", |event| match event {
        Event::Gossip { peer, topic, bytes, .. } => Some((peer, topic, bytes)),
        _ => None,
    });
    let (peer, topic, bytes) = tokio::select! {
        heard = hear => heard,
        () = publish => unreachable!("it says it for ever"),
        () = relay => unreachable!("it relays for ever"),
    };
    assert_eq!((peer, topic.as_str()), (hub_key, TOPIC));
    assert!(bytes.starts_with(b"good") && bytes.ends_with(&pattern(200 * 1024)));

    let too_large = writer.handle.publish(TOPIC, vec![0; 256 * 1024 + 1]).await;
    assert!(matches!(too_large, Err(NetError::TooLarge { .. })));
    let too_long = writer.handle.publish(&"t".repeat(999), vec![]).await;
    assert!(matches!(too_long, Err(NetError::Topic { length: 999 })));
}

/// One round trip, so that what was sent before it has most likely arrived.
async fn round_trip(from: &mut Node, to: &mut Node) {
    from.handle.request(to.key(), 0, vec![]).await.expect("sent");
    let (_, _, channel) = to.asked().await;
    to.handle.respond(channel, vec![]).await.expect("sent");
    from.result(0).await.expect("an answer");
}

#[tokio::test]
async fn gossip_of_a_peer_is_no_longer_taken_in_after_three_rejections() {
    let (mut a, mut liar) = pair(TCP, quick(), quick()).await;
    a.handle.subscribe(TOPIC).await.expect("taken");
    let mut n = 0u64;
    for _ in 0..3 {
        let heard = a.until("gossip", |event| match event {
            Event::Gossip { ticket, .. } => Some(ticket),
            _ => None,
        });
        let lie = async {
            loop {
                n += 1;
                let bytes = n.to_le_bytes().to_vec();
                liar.handle.publish(TOPIC, bytes).await.expect("taken");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let ticket = tokio::select! {
            ticket = heard => ticket,
            () = lie => unreachable!("it lies for ever"),
        };
        a.handle.verdict(ticket, Verdict::Reject).await.expect("taken");
    }
    // What was on its way before the third verdict may still come.
    round_trip(&mut liar, &mut a).await;
    for n in 0u64..20 {
        liar.handle.publish(TOPIC, format!("late {n}").into_bytes()).await.expect("taken");
        liar.handle.request(a.key(), n, vec![]).await.expect("sent");
        let channel = a
            .until("a request", |event| match event {
                Event::Gossip { bytes, .. } => panic!("took {bytes:?} in"),
                Event::Request { channel, .. } => Some(channel),
                _ => None,
            })
            .await;
        a.handle.respond(channel, vec![]).await.expect("sent");
        liar.result(n).await.expect("an answer");
    }
}

#[tokio::test]
async fn nodes_of_two_swarms_do_not_talk() {
    let mut a = start(config(1, &[TCP], &[])).await;
    let other = Config { swarm: [2; 32], ..config(2, &[TCP], &[&a.address]) };
    let mut b = start(other).await;
    let (a_key, b_key) = (a.key(), b.key());
    let refusal = |event: Event| match event {
        Event::Connected { .. } => panic!("connected to a stranger"),
        Event::Refused { peer, reason, .. } => Some((peer, reason)),
        _ => None,
    };
    // Whoever identifies the other first ends it; the other may see no more than a closed
    // connection.
    let (stranger, reason) = tokio::select! {
        refused = a.until("a refusal", refusal) => refused,
        refused = b.until("a refusal", refusal) => refused,
    };
    assert!(stranger == a_key || stranger == b_key);
    assert_eq!(reason, "it belongs to another swarm or is no bzzz node");
    a.handle.request(b_key, 1, vec![]).await.expect("taken");
    assert_eq!(a.result(1).await, Err(RequestError::NotConnected));
    assert_eq!(a.handle.peers().await.expect("it runs"), []);
}

#[tokio::test]
async fn an_address_that_names_a_peer_accepts_no_other() {
    let a = start(config(1, &[TCP], &[])).await;
    let other = PeerKey::peer_id(&start(config(9, &[TCP], &[])).await.key()).expect("a key");
    let wrong: Multiaddr = format!("{}/p2p/{other}", a.address).parse().expect("well-formed");
    let mut b = start(config(2, &[TCP], &[&wrong])).await;
    let (address, reason) = b
        .until("a failed dial", |event| match event {
            Event::Connected { .. } => panic!("connected to the wrong peer"),
            Event::DialFailed { address, reason } => Some((address, reason)),
            _ => None,
        })
        .await;
    assert_eq!(address, wrong);
    assert!(reason.starts_with("another peer answers there: 12D3Koo"), "{reason}");
}

#[tokio::test]
async fn a_peer_is_reached_by_the_name_of_its_host() {
    let mut a = start(config(1, &[TCP], &[])).await;
    let named = a.address.to_string().replace("/ip4/127.0.0.1/", "/dns4/localhost/");
    let mut b = start(config(2, &[TCP], &[])).await;
    b.handle.dial(named.parse().expect("well-formed")).await.expect("taken");
    b.connected(a.key()).await;
    a.connected(b.key()).await;
}

#[tokio::test]
async fn a_peer_id_of_another_kind_of_key_is_refused_at_the_start() {
    let rsa = "/ip4/127.0.0.1/tcp/4001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
    let address = rsa.parse().expect("well-formed");
    let error = net::start(config(1, &[TCP], &[&address])).await.err().expect("refused");
    assert!(error.to_string().contains("not that of an Ed25519 key"), "{error}");
}

#[tokio::test]
async fn a_banned_peer_is_sent_away_and_not_let_in_again() {
    let (mut a, b) = pair(TCP, quick(), quick()).await;
    a.handle.ban(b.key(), "it sent a forged head", Duration::from_secs(3600)).await.expect("taken");
    assert_eq!(a.disconnected(b.key()).await, "it sent a forged head");
    becomes("the banned peer was refused three times", async || {
        a.handle.stats().connections_refused >= 3
    })
    .await;
    assert_eq!(a.handle.peers().await.expect("it runs"), []);
    while let Ok(event) = a.events.try_recv() {
        assert!(!matches!(event, Event::Connected { .. }), "{event:?}");
    }
}

#[tokio::test]
async fn only_allowed_peers_stay() {
    let (mut a, mut b) = pair(TCP, quick(), quick()).await;
    let mut c = start(config(3, &[TCP], &[&a.address])).await;
    a.connected(c.key()).await;
    c.connected(a.key()).await;
    let allowed = BTreeSet::from([c.key()]);
    a.handle.allow_only(Some(allowed)).await.expect("taken");
    let reason = a.disconnected(b.key()).await;
    assert_eq!(reason, "it is none of the peers that are allowed");
    let peers = a.handle.peers().await.expect("it runs");
    assert_eq!(peers.iter().map(|p| p.key).collect::<Vec<_>>(), [c.key()]);
    b.disconnected(a.key()).await;
    a.handle.allow_only(None).await.expect("taken");
    b.connected(a.key()).await;
}

async fn redialled_after_restart(listen: &str) {
    let (a, mut b) = pair(listen, quick(), quick()).await;
    let (address, key) = (a.address.to_string(), a.key());
    a.handle.close().await;
    b.disconnected(key).await;
    b.until("a failed dial", |event| matches!(event, Event::DialFailed { .. }).then_some(())).await;
    let mut again = restart(config(1, &[&address], &[])).await;
    assert_eq!(b.connected(key).await.to_string(), address);
    b.handle.request(key, 1, b"welcome back".to_vec()).await.expect("sent");
    let (_, bytes, channel) = again.asked().await;
    again.handle.respond(channel, bytes).await.expect("sent");
    assert_eq!(b.result(1).await.expect("an answer"), b"welcome back");
}

/// Starts a node on a port that a node before may not have let go of yet.
async fn restart(config: Config) -> Node {
    let listen: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
    let probe = async || {
        let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
        let config = Config { secret: config.secret.clone(), ..self::config(1, &listen, &[]) };
        net::start(config).await.ok()
    };
    let mut found = None;
    becomes("the port is free again", async || {
        found = probe().await;
        found.is_some()
    })
    .await;
    let (handle, mut events) = found.expect("just found");
    let address = until(&mut events, "a listener", |event| match event {
        Event::Listening(address) => Some(address),
        _ => None,
    })
    .await;
    Node { handle, events, address }
}

#[tokio::test]
async fn an_explicit_peer_is_dialled_again_after_its_restart_over_tcp() {
    redialled_after_restart(TCP).await;
}

#[tokio::test]
async fn an_explicit_peer_is_dialled_again_after_its_restart_over_quic() {
    redialled_after_restart(QUIC).await;
}

async fn answer_all(node: &mut Node) {
    loop {
        let (_, _, channel) = node.asked().await;
        node.handle.respond(channel, vec![]).await.expect("sent");
    }
}

#[test]
fn requests_do_not_go_to_a_connection_that_died_with_its_process() {
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let (ours, theirs) = (runtime(), runtime());
    // QUIC itself notices after twenty seconds; a request that went the wrong way times out before.
    let request_timeout = Duration::from_secs(10);
    let limits = Limits { outlived: Duration::ZERO, request_timeout, ..quick() };
    let mut a = ours.block_on(start(Config { limits, ..config(1, &[QUIC], &[]) }));
    let key = a.key();
    let peers = [&a.address];
    let b = theirs.block_on(async {
        let mut b = start(config(2, &[QUIC], &peers)).await;
        b.connected(key).await;
        b
    });
    ours.block_on(a.connected(b.key()));
    // A crash: the tasks are gone and the socket with them, and nobody says goodbye.
    theirs.shutdown_background();
    drop(b);

    let mut again = ours.block_on(start(config(2, &[QUIC], &[&a.address.clone()])));
    ours.block_on(async {
        again.connected(key).await;
        for n in 0..4 {
            a.handle.request(again.key(), n, vec![]).await.expect("taken");
            // While the dead connection is being closed, it may still take a request with it.
            let outcome = tokio::select! {
                outcome = a.result(n) => outcome,
                () = answer_all(&mut again) => unreachable!("it answers for ever"),
            };
            assert!(matches!(outcome, Ok(_) | Err(RequestError::ConnectionLost)), "{outcome:?}");
        }
        becomes("only the new connection stands", async || {
            let peers = a.handle.peers().await.expect("it runs");
            peers.iter().map(|peer| peer.connections).collect::<Vec<_>>() == [1]
        })
        .await;
    });
}

#[tokio::test]
async fn a_dropped_connection_comes_back() {
    let (mut a, mut b) = pair(TCP, quick(), quick()).await;
    a.handle.disconnect(b.key(), "just so").await.expect("taken");
    assert_eq!(a.disconnected(b.key()).await, "just so");
    b.disconnected(a.key()).await;
    b.connected(a.key()).await;
    a.connected(b.key()).await;
}

#[tokio::test]
async fn connections_are_limited_and_a_place_that_is_given_up_is_taken() {
    let two = Limits { max_connections: 2, ..quick() };
    let mut server = start(Config { limits: two, ..config(1, &[TCP], &[]) }).await;
    let mut first = start(config(2, &[TCP], &[&server.address])).await;
    first.connected(server.key()).await;
    let mut second = start(config(3, &[TCP], &[&server.address])).await;
    second.connected(server.key()).await;
    let third = start(config(4, &[TCP], &[&server.address])).await;
    becomes("the third was refused", async || server.handle.stats().connections_refused > 0).await;
    let peers = server.handle.peers().await.expect("it runs");
    let keys: BTreeSet<PeerKey> = peers.iter().map(|peer| peer.key).collect();
    assert_eq!(keys, BTreeSet::from([first.key(), second.key()]));
    first.handle.close().await;
    server.connected(third.key()).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_names_the_address() {
    for listen in [TCP, QUIC] {
        let a = start(config(1, &[listen], &[])).await;
        let address = a.address.to_string();
        let error = net::start(config(2, &[&address], &[])).await.err().expect("taken").to_string();
        assert!(error.contains(&format!("cannot listen on {address}: ")), "{error}");
        assert!(error.to_lowercase().contains("in use"), "{error}");
    }
    let nowhere = net::start(config(1, &["/ip4/127.0.0.1/udp/0"], &[])).await;
    assert!(matches!(nowhere, Err(NetError::Listen { .. })));
}

#[tokio::test]
async fn a_slow_node_refuses_requests_and_loses_only_gossip() {
    let narrow = Limits { event_queue: 4, ..quick() };
    let (mut a, mut b) = pair(TCP, narrow, quick()).await;
    a.handle.subscribe(TOPIC).await.expect("taken");

    // Nobody reads the first node's events: two requests find room, the others are told at once.
    for id in 0..6 {
        b.handle.request(a.key(), id, vec![]).await.expect("sent");
    }
    for _ in 0..4 {
        let result = b
            .until("a response", |event| match event {
                Event::Response { result, .. } => Some(result),
                _ => None,
            })
            .await;
        assert_eq!(result, Err(RequestError::Busy));
    }
    assert_eq!(a.handle.stats().requests_refused, 4);

    // Gossip finds no room and is counted.
    let mut n = 0u64;
    becomes("gossip was dropped", async || {
        n += 1;
        b.handle.publish(TOPIC, n.to_le_bytes().to_vec()).await.expect("taken");
        a.handle.stats().gossip_dropped > 0
    })
    .await;

    // The slow node's own requests all have their outcome, once each, however late it reads them.
    for id in 100..140 {
        a.handle.request(b.key(), id, vec![]).await.expect("taken");
    }
    let (mut own, mut answered) = (BTreeSet::new(), BTreeSet::new());
    let mut theirs = 0;
    while own.len() < 40 || theirs < 2 || answered.len() < 2 {
        let event = tokio::time::timeout(HANG, async {
            tokio::select! {
                event = a.events.recv() => (true, event.expect("it runs")),
                event = b.events.recv() => (false, event.expect("it runs")),
            }
        });
        match event.await.expect("no hang") {
            (true, Event::Request { channel, .. }) => {
                theirs += 1;
                a.handle.respond(channel, vec![]).await.expect("sent");
            }
            (false, Event::Request { channel, .. }) => {
                b.handle.respond(channel, vec![]).await.expect("sent");
            }
            (true, Event::Response { id, result, .. }) => {
                assert!(matches!(result, Ok(_) | Err(RequestError::Busy)), "{result:?}");
                assert!(own.insert(id), "{id} has two outcomes");
            }
            (false, Event::Response { id, result, .. }) => {
                assert_eq!(result, Ok(vec![]));
                assert!(answered.insert(id), "{id} has two outcomes");
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn the_network_ends_with_its_handles_or_its_receiver() {
    let Node { handle, mut events, .. } = start(config(1, &[TCP], &[])).await;
    drop(handle);
    let end = tokio::time::timeout(HANG, async { while events.recv().await.is_some() {} });
    end.await.expect("the events end");

    let Node { handle, events, .. } = start(config(1, &[TCP], &[])).await;
    drop(events);
    becomes("the network has stopped", async || handle.peers().await.is_err()).await;
}

/// mDNS needs an interface that carries multicast, and these tests must not reach the world: so the
/// test below runs this binary once more, in a network namespace of its own.
#[test]
fn nodes_find_each_other_by_mdns() {
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/in-netns");
    let output = Command::new(tool)
        .arg(std::env::current_exe().expect("this binary has a path"))
        .args(["--exact", "net::mdns_inside", "--ignored", "--nocapture"])
        .output()
        .expect("tools/in-netns can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("1 passed"), "{text}\n{errors}");
}

#[tokio::test]
#[ignore = "nodes_find_each_other_by_mdns runs it in a network namespace"]
async fn mdns_inside() {
    let everywhere = ["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"];
    let find = |seed, swarm| Config {
        mdns: true,
        swarm,
        limits: Limits { mdns_interval: Duration::from_secs(2), ..quick() },
        ..config(seed, &everywhere, &[])
    };
    let mut a = start(find(1, SWARM)).await;
    let mut stranger = start(find(9, [9; 32])).await;
    let mut b = start(find(2, SWARM)).await;
    assert!(b.connected(a.key()).await.to_string().starts_with("/ip4/10.99.0.1/"));
    a.connected(b.key()).await;
    a.handle.request(b.key(), 1, b"found".to_vec()).await.expect("sent");
    let (_, bytes, channel) = b.asked().await;
    b.handle.respond(channel, bytes).await.expect("sent");
    assert_eq!(a.result(1).await.expect("an answer"), b"found");

    // A node that comes back on other ports is found again.
    let key = a.key();
    a.handle.close().await;
    b.disconnected(key).await;
    let _again = start(find(1, SWARM)).await;
    b.connected(key).await;
    while let Ok(event) = stranger.events.try_recv() {
        assert!(!matches!(event, Event::Connected { .. }), "{event:?}");
    }
}
