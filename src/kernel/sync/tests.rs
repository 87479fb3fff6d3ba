//! Every rule of the machine, one by one. `tests/it/sim` runs whole swarms of it.

use std::collections::{BTreeMap, BTreeSet};

use super::machine::Config;
use super::*;
use crate::kernel::identity::{AuthorId, SecretKey, SwarmId};
use crate::kernel::log::{Hash, MAX_LENGTH, Range, Record, Tip};

const SWARM: SwarmId = SwarmId([1; 32]);

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn id(n: u8) -> AuthorId {
    key(n).author()
}

/// A log of `appends` records, each appended by itself, from an index on.
fn range(author: u8, from: u64, appends: u64) -> Range {
    let mut tip = Tip::empty(id(author));
    let (mut records, mut heads) = (Vec::new(), Vec::new());
    for index in 0..from + appends {
        let record = Record::new(b"test", &index.to_le_bytes()).unwrap();
        let append = tip.append(&key(author), SWARM, index, vec![record.clone()]);
        if index >= from {
            records.push(record);
            heads.extend(append.heads().iter().map(|head| (**head).clone()));
        }
        tip = append.tip().clone();
    }
    Range { author: id(author), from, records, heads }
}

/// The root of the log that [`range`] is a part of.
fn root(author: u8, length: u64) -> Hash {
    range(author, 0, length).heads.last().map_or_else(|| Hash::root(0, &[]), |head| head.root)
}

fn members(all: impl Iterator<Item = u8>) -> Input {
    let peers: BTreeSet<_> = all.map(id).collect();
    let logs = peers.iter().map(|author| (*author, MAX_LENGTH)).collect();
    Input::Members { peers, logs }
}

/// A machine at a time, with short ways to say what happens.
struct Node {
    sync: Sync,
    now_ms: u64,
}

impl Node {
    /// Members 1 to 5, of whom these are connected and have answered with an empty frontier.
    fn with(peers: &[u8]) -> Self {
        let sync = Sync::new(SWARM, Config::default(), 7);
        let mut node = Self { sync, now_ms: 1000 };
        assert_eq!(node.on(members(1..=5)), []);
        for peer in peers {
            let out = node.on(Input::Connected(id(*peer)));
            let ask = asked(&out).remove(0);
            assert!(matches!(ask.2, Request::Frontier(_)), "a frontier is asked for on connect");
            assert_eq!(node.answer(*peer, ask.1, &frontier(&[])), []);
        }
        node
    }

    fn on(&mut self, input: Input) -> Vec<Output> {
        self.sync.handle(self.now_ms, input)
    }

    fn answer(&mut self, peer: u8, request: u64, response: &Response) -> Vec<Output> {
        self.raw(peer, request, response.to_bytes())
    }

    fn raw(&mut self, peer: u8, request: u64, bytes: Vec<u8>) -> Vec<Output> {
        let result = Ok(bytes);
        self.on(Input::Response { peer: id(peer), id: request, result })
    }

    fn ask(&mut self, peer: u8, request: &Request) -> Vec<Output> {
        let bytes = request.to_bytes();
        self.on(Input::Request { peer: id(peer), id: 77, bytes })
    }

    /// A peer says how long logs are, by asking us.
    fn told(&mut self, peer: u8, logs: &[(u8, u64)]) -> Vec<Output> {
        let Response::Frontier(logs) = frontier(logs) else { unreachable!("a frontier") };
        self.ask(peer, &Request::Frontier(logs))
    }

    fn stored(&mut self, peer: u8, author: u8, result: Result<u64, IngestError>) -> Vec<Output> {
        let result = result.map(|length| (length, root(author, length)));
        self.on(Input::Ingested { peer: id(peer), author: id(author), result })
    }

    fn wait(&mut self, ms: u64) -> Vec<Output> {
        self.now_ms += ms;
        self.on(Input::Tick)
    }
}

fn frontier(logs: &[(u8, u64)]) -> Response {
    let held = |(n, length): &(u8, u64)| {
        let (author, length) = (id(*n), *length);
        Held { author, length, root: root(*n, length) }
    };
    let mut logs: Vec<_> = logs.iter().map(held).collect();
    logs.sort_unstable_by_key(|held| held.author);
    Response::Frontier(Frontier { swarm: SWARM, logs })
}

fn asked(out: &[Output]) -> Vec<(AuthorId, u64, Request)> {
    let asked = out.iter().filter_map(|output| match output {
        Output::Request { peer, id, bytes } => {
            Some((*peer, *id, Request::from_bytes(bytes).unwrap()))
        }
        _ => None,
    });
    asked.collect()
}

/// The one fetch: whom, the request's id, whose log, from where.
fn fetched(out: &[Output]) -> (AuthorId, u64, AuthorId, u64) {
    let mut fetches = asked(out).into_iter().filter_map(|(peer, id, request)| match request {
        Request::Fetch { author, from, .. } => Some((peer, id, author, from)),
        Request::Frontier(_) | Request::Prove { .. } => None,
    });
    let first = fetches.next().expect("a fetch");
    assert_eq!(fetches.next(), None, "one fetch");
    first
}

fn fetches(out: &[Output]) -> usize {
    let is_fetch = |(_, _, request): &(_, _, Request)| matches!(request, Request::Fetch { .. });
    asked(out).iter().filter(|asked| is_fetch(asked)).count()
}

fn responses(out: &[Output]) -> Vec<Response> {
    let responses = out.iter().filter_map(|output| match output {
        Output::Respond { bytes, .. } => Some(Response::from_bytes(bytes).unwrap()),
        _ => None,
    });
    responses.collect()
}

fn penalised(out: &[Output]) -> Option<(AuthorId, String, u64)> {
    out.iter().find_map(|output| match output {
        Output::Penalise { peer, reason, seconds } => Some((*peer, reason.clone(), *seconds)),
        _ => None,
    })
}

#[test]
fn a_range_is_asked_for_stored_and_followed_by_the_next() {
    let mut node = Node::with(&[2]);
    let out = node.told(2, &[(3, 5)]);
    assert_eq!(responses(&out), [frontier(&[])]);
    let (peer, request, author, from) = fetched(&out);
    assert_eq!((peer, author, from), (id(2), id(3), 0));
    let part = range(3, 0, 3);
    let out = node.answer(2, request, &Response::Range(part.clone()));
    let ingest = Output::Ingest { peer: id(2), range: part };
    assert_eq!(out, [ingest]);
    let (_, _, author, from) = fetched(&node.stored(2, 3, Ok(3)));
    assert_eq!((author, from), (id(3), 3));
    assert_eq!(node.sync.lag()[..].iter().filter(|lag| lag.claimed > lag.length).count(), 1);
}

#[test]
fn a_log_is_fetched_once_at_a_time_and_the_peers_share_the_logs() {
    let mut node = Node::with(&[2, 3]);
    let mut whom = BTreeSet::new();
    for peer in [2, 3] {
        let out = node.told(peer, &[(4, 9), (5, 9)]);
        for (peer, _, request) in asked(&out) {
            let Request::Fetch { author, .. } = request else {
                continue;
            };
            assert!(whom.insert(author), "one fetch for each log");
            assert_eq!(peer, id(2), "the first to say so is asked at once");
        }
    }
    assert_eq!(whom.len(), 2);
    let mut node = Node::with(&[2, 3]);
    let busy = node.told(2, &[(1, 1), (4, 9)]);
    assert_eq!(fetches(&busy), 2);
    let out = node.told(3, &[(1, 1), (4, 9), (5, 9), (2, 9)]);
    assert!(asked(&out).iter().all(|(peer, ..)| *peer == id(3)));
}

#[test]
fn no_peer_is_asked_for_more_than_the_limit() {
    let mut node = Node::with(&[2]);
    let out = node.told(2, &[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);
    assert_eq!(fetches(&out), Config::default().asked_per_peer);
    let (_, request, Request::Fetch { author, .. }) = asked(&out).remove(0) else {
        unreachable!("a fetch")
    };
    let n = (1..=5).find(|n| id(*n) == author).unwrap();
    let out = node.answer(2, request, &Response::Range(range(n, 0, 1)));
    assert_eq!(fetches(&out), 1, "the place is free for the fifth log");
}

#[test]
fn only_members_are_asked_served_and_believed() {
    let mut node = Node::with(&[2]);
    let refused = |refusal| vec![Response::Refused(refusal)];
    assert_eq!(asked(&node.on(Input::Connected(id(9)))), [], "no frontier for a stranger");
    assert_eq!(responses(&node.told(9, &[(9, 1)])), refused(Refusal::NotAMember));
    assert_eq!(fetches(&node.told(2, &[(9, 1)])), 0, "a stranger's log is not asked for");
    let fetch = Request::Fetch { author: id(9), from: 0, max_bytes: 1 };
    assert_eq!(responses(&node.ask(2, &fetch)), refused(Refusal::UnknownLog));
    let heard = Input::Heard { peer: id(2), author: id(9), length: 1 };
    assert_eq!(node.on(heard), []);
    // Once it is a member, everybody is asked again, it among them.
    let out = node.on(members((1..=5).chain([9])));
    assert_eq!(asked(&out).len(), 2);
    // And once it is none, its logs are nothing to us.
    assert_eq!(fetches(&node.told(2, &[(9, 4)])), 1);
    assert_eq!(node.on(members(1..=5)), []);
    assert_eq!(responses(&node.ask(2, &fetch)), refused(Refusal::UnknownLog));
    assert!(node.sync.lag().iter().all(|lag| lag.author != id(9)));
}

#[test]
fn a_former_members_log_is_held_as_far_as_it_stands() {
    let mut node = Node::with(&[2]);
    let peers: BTreeSet<_> = (1..=4).map(id).collect();
    let mut logs: BTreeMap<_, _> = peers.iter().map(|author| (*author, MAX_LENGTH)).collect();
    logs.insert(id(5), 3);
    let _ = node.on(Input::Members { peers, logs });
    let (_, request, author, from) = fetched(&node.told(2, &[(5, 9)]));
    assert_eq!((author, from), (id(5), 0));
    let _ = node.answer(2, request, &Response::Range(range(5, 0, 3)));
    assert_eq!(fetches(&node.stored(2, 5, Ok(3))), 0, "the rest does not stand");
    let out = node.told(5, &[]);
    assert_eq!(responses(&out), [Response::Refused(Refusal::NotAMember)]);
}

#[test]
fn a_log_that_is_nobodys_for_a_while_is_stored_once_at_a_time() {
    let ingests = |out: &[Output]| {
        out.iter().filter(|output| matches!(output, Output::Ingest { .. })).count()
    };
    let range = |count| Response::Range(range(4, 0, count));
    // While its range is being stored.
    let mut node = Node::with(&[2, 3]);
    let (_, request, ..) = fetched(&node.told(2, &[(4, 9)]));
    assert_eq!(ingests(&node.answer(2, request, &range(3))), 1);
    let _ = node.on(members([1, 2, 3].into_iter()));
    let _ = node.on(members(1..=5));
    assert_eq!(fetches(&node.told(3, &[(4, 9)])), 0, "it is still being stored");
    assert_eq!(fetched(&node.stored(2, 4, Ok(3))).3, 3);
    // While it is being fetched: of the two answers, one counts.
    let mut node = Node::with(&[2, 3]);
    let (_, first, ..) = fetched(&node.told(2, &[(4, 9)]));
    let _ = node.on(members([1, 2, 3].into_iter()));
    let _ = node.on(members(1..=5));
    let (peer, second, ..) = fetched(&node.told(3, &[(4, 9)]));
    assert_eq!(peer, id(3));
    assert_eq!(ingests(&node.answer(2, first, &range(3))), 0);
    assert_eq!(ingests(&node.answer(3, second, &range(3))), 1);
}

#[test]
fn a_log_that_stands_up_to_another_length_meanwhile_is_fetched_and_stored_once_at_a_time() {
    let stands = |length| {
        let peers: BTreeSet<_> = (1..=5).map(id).collect();
        let all = peers.iter().map(|author| (*author, MAX_LENGTH));
        let logs = all.chain([(id(4), length)]).collect();
        Input::Members { peers, logs }
    };
    let mut node = Node::with(&[2, 3]);
    assert_eq!(fetches(&node.told(3, &[(4, 9)])), 1);
    assert_eq!(fetches(&node.told(2, &[(4, 9)])), 0);
    assert_eq!(fetches(&node.on(stands(8))), 0, "it is being fetched");
    let out = node.on(Input::Disconnected(id(3)));
    let (_, request, ..) = fetched(&out);
    let _ = node.answer(2, request, &Response::Range(range(4, 0, 3)));
    assert_eq!(fetches(&node.on(stands(7))), 0, "it is being stored");
    assert_eq!(fetches(&node.wait(1)), 0);
    let (_, request, _, from) = fetched(&node.stored(2, 4, Ok(3)));
    assert_eq!(from, 3);
    let _ = node.answer(2, request, &Response::Range(range(4, 3, 3)));
    let _ = node.stored(2, 4, Err(IngestError::Conflict));
    assert_eq!(fetches(&node.on(stands(6))), 0, "it is being compared");
}

#[test]
fn nobody_but_members_is_asked_for_proofs() {
    for member in [true, false] {
        let mut node = Node::with(&[2, 3]);
        let (_, request, ..) = fetched(&node.told(2, &[(4, 9)]));
        let _ = node.answer(2, request, &Response::Range(range(4, 0, 3)));
        let (_, request, ..) = fetched(&node.stored(2, 4, Ok(3)));
        let _ = node.answer(2, request, &Response::Range(range(4, 3, 3)));
        let _ = node.on(members((1..=5).filter(|n| member || *n != 2)));
        let out = node.stored(2, 4, Err(IngestError::Conflict));
        let proofs = asked(&out)
            .into_iter()
            .filter(|(_, _, request)| matches!(request, Request::Prove { .. }));
        assert_eq!(proofs.count(), usize::from(member));
    }
}

#[test]
fn frontiers_are_exchanged_again_and_again_but_one_at_a_time() {
    let mut node = Node::with(&[2]);
    assert_eq!(node.wait(4_000), []);
    let out = node.wait(3_000);
    let (peer, request, _) = asked(&out).remove(0);
    assert_eq!(peer, id(2));
    assert_eq!(node.wait(20_000), [], "the last one is not answered");
    let out = node.wait(11_000);
    assert_eq!(asked(&out).len(), 1, "it timed out, and is asked again");
    let late = node.answer(2, request, &frontier(&[(3, 9)]));
    assert_eq!(late, [], "too late to count, and no offence");
}

#[test]
fn gossip_leads_to_a_fetch_and_may_be_early() {
    let mut node = Node::with(&[2, 3]);
    let heard = |peer| Input::Heard { peer: id(peer), author: id(3), length: 4 };
    let (peer, request, ..) = fetched(&node.on(heard(2)));
    assert_eq!(peer, id(3), "the author holds its own log");
    let _ = node.answer(3, request, &Response::Range(range(3, 0, 4)));
    assert_eq!(node.stored(3, 3, Ok(4)), []);
    assert_eq!(node.on(heard(2)), [], "known already");
    let mut node = Node::with(&[2]);
    let (peer, request, ..) = fetched(&node.on(heard(2)));
    assert_eq!(peer, id(2));
    let out = node.answer(2, request, &Response::Nothing { length: 0 });
    assert_eq!(out, [], "no offence: it only passed a head on");
    assert_eq!(fetches(&node.wait(1_000)), 1, "it may hold the records by now");
}

#[test]
fn a_range_that_does_not_verify_costs_connection_and_score() {
    let mut node = Node::with(&[2, 3]);
    let (_, request, ..) = fetched(&node.told(2, &[(4, 9)]));
    let _ = node.told(3, &[(4, 9)]);
    let _ = node.answer(2, request, &Response::Range(range(4, 0, 2)));
    let bad = IngestError::Invalid("index 1: the body's hash".to_owned());
    let out = node.stored(2, 4, Err(bad));
    let (peer, reason, seconds) = penalised(&out).unwrap();
    assert_eq!((peer, seconds), (id(2), 60));
    assert!(reason.contains("does not verify: index 1"), "{reason}");
    assert_eq!(fetched(&out).0, id(3), "the other peer is asked at once");
    // It is not served and not taken back while the penalty lasts.
    assert_eq!(responses(&node.told(2, &[])), [Response::Refused(Refusal::Penalised)]);
    assert!(penalised(&node.on(Input::Connected(id(2)))).is_some());
    node.now_ms += 60_000;
    let (_, request, _) = asked(&node.on(Input::Connected(id(2)))).remove(0);
    // The next offence costs twice as much.
    let out = node.raw(2, request, vec![VERSION, 200]);
    assert_eq!(penalised(&out).map(|p| p.2), Some(120));
}

#[test]
fn what_was_not_asked_for_is_an_offence() {
    let other_log = range(5, 0, 2);
    let other_start = range(4, 1, 2);
    let fetch_answers = [Response::Range(other_log), Response::Range(other_start), frontier(&[])];
    for answer in fetch_answers {
        let mut node = Node::with(&[2]);
        let (_, request, ..) = fetched(&node.told(2, &[(4, 9)]));
        let out = node.answer(2, request, &answer);
        assert!(penalised(&out).is_some(), "{answer:?}");
        assert!(!out.iter().any(|output| matches!(output, Output::Ingest { .. })));
    }
    let mut node = Node::with(&[2]);
    assert!(penalised(&node.answer(2, 9999, &frontier(&[]))).is_some(), "no such request");
    let mut node = Node::with(&[2, 3]);
    let (_, request, ..) = fetched(&node.told(2, &[(4, 9)]));
    let out = node.answer(3, request, &Response::Nothing { length: 0 });
    assert_eq!(penalised(&out).map(|p| p.0), Some(id(3)), "another's request");
    let out = node.answer(2, request, &Response::Range(range(4, 0, 9)));
    assert!(matches!(out[..], [Output::Ingest { .. }]), "which still counts");
}

#[test]
fn longer_than_asked_is_an_offence_unless_it_is_one_append() {
    let record = |fill: u8| Record::new(b"test", &vec![fill; 60_000]).unwrap();
    let many = |appends: u8| {
        let mut tip = Tip::empty(id(4));
        let (mut records, mut heads) = (Vec::new(), Vec::new());
        for fill in 0..appends {
            let batch: Vec<_> = (0..20 / appends).map(|_| record(fill)).collect();
            let append = tip.append(&key(4), SWARM, 1, batch.clone());
            records.extend(batch);
            heads.extend(append.heads().iter().map(|head| (**head).clone()));
            tip = append.tip().clone();
        }
        Response::Range(Range { author: id(4), from: 0, records, heads })
    };
    for (appends, offence) in [(1, false), (2, true)] {
        let mut node = Node::with(&[2]);
        let (_, request, ..) = fetched(&node.told(2, &[(4, 20)]));
        let out = node.answer(2, request, &many(appends));
        assert_eq!(penalised(&out).is_some(), offence, "{appends} appends");
    }
}

#[test]
fn twice_half_and_huge() {
    let mut node = Node::with(&[2]);
    let (_, request, ..) = fetched(&node.told(2, &[(4, 9)]));
    let whole = Response::Range(range(4, 0, 3));
    let out = node.answer(2, request, &whole);
    assert!(matches!(out[..], [Output::Ingest { .. }]));
    assert_eq!(node.answer(2, request, &whole), [], "twice is no offence, and no use");
    let bytes = whole.to_bytes();
    let half = bytes[..bytes.len() / 2].to_vec();
    let huge = vec![VERSION; MAX_RESPONSE_BYTES + 1];
    for wrong in [half, huge, Vec::new()] {
        let mut node = Node::with(&[2]);
        let (_, request, ..) = fetched(&node.told(2, &[(4, 9)]));
        assert!(penalised(&node.raw(2, request, wrong)).is_some());
    }
    let mut node = Node::with(&[2]);
    let bytes = vec![VERSION; MAX_REQUEST_BYTES + 1];
    let peer = id(2);
    let out = node.on(Input::Request { peer, id: 1, bytes });
    assert!(penalised(&out).is_some());
    assert_eq!(responses(&out), [Response::Refused(Refusal::Malformed)]);
    // What a later version may say is answered, and no offence.
    let bytes = vec![VERSION, 55];
    let mut node = Node::with(&[2]);
    let out = node.on(Input::Request { peer, id: 1, bytes });
    assert_eq!(responses(&out), [Response::Refused(Refusal::Unknown)]);
    assert!(penalised(&out).is_none());
}

#[test]
fn who_promises_and_does_not_deliver_is_asked_last() {
    let mut node = Node::with(&[2]);
    let (_, request, ..) = fetched(&node.told(2, &[(4, 9)]));
    let out = node.answer(2, request, &Response::Nothing { length: 0 });
    assert!(penalised(&out).is_none());
    assert_eq!(fetches(&out), 0);
    let _ = node.told(2, &[(4, 9), (5, 9)]);
    // Somebody who kept its promises comes, and is asked for everything from now on.
    let mut node_3 = asked(&node.on(Input::Connected(id(3))));
    let (_, request, _) = node_3.remove(0);
    let out = node.answer(3, request, &frontier(&[(4, 9), (2, 9), (1, 9)]));
    assert_eq!(fetches(&out), 3);
    assert!(asked(&out).iter().all(|(peer, ..)| *peer == id(3)));
}

#[test]
fn a_failure_sends_the_log_to_another_peer_and_the_peer_to_the_end() {
    let mut node = Node::with(&[2, 3]);
    let (_, request, ..) = fetched(&node.told(2, &[(4, 9)]));
    let _ = node.told(3, &[(4, 9)]);
    let out = node.on(Input::Response {
        peer: id(2),
        id: request,
        result: Err("the stream was reset".to_owned()),
    });
    let (peer, request, ..) = fetched(&out);
    assert_eq!(peer, id(3));
    let out = node.on(Input::Disconnected(id(3)));
    assert_eq!(fetches(&out), 0, "the first is still waiting");
    let (peer, ..) = fetched(&node.wait(1_000));
    assert_eq!(peer, id(2));
    let whole = Response::Range(range(4, 0, 9));
    assert_eq!(node.answer(3, request, &whole), [], "from a connection that is gone");
}

#[test]
fn a_silent_peer_does_not_stop_a_log() {
    let mut node = Node::with(&[2, 3]);
    let _ = fetched(&node.told(2, &[(4, 9)]));
    let _ = node.told(3, &[(4, 9)]);
    let mut others = Vec::new();
    for _ in 0..200 {
        others.extend(asked(&node.wait(250)));
    }
    let fetch = others.iter().find(|(_, _, ask)| matches!(ask, Request::Fetch { .. }));
    assert_eq!(fetch.map(|(peer, ..)| *peer), Some(id(3)));
}

#[test]
fn gaps_and_our_own_failures_are_nobodys_fault() {
    let mut node = Node::with(&[2]);
    let (_, request, ..) = fetched(&node.told(2, &[(4, 9)]));
    let _ = node.answer(2, request, &Response::Range(range(4, 0, 3)));
    let out = node.stored(2, 4, Err(IngestError::Gap { length: 5 }));
    assert!(penalised(&out).is_none());
    let (_, request, _, from) = fetched(&out);
    assert_eq!(from, 5, "from where the store says");
    let _ = node.answer(2, request, &Response::Range(range(4, 5, 2)));
    let full = IngestError::Store("the disk is full".to_owned());
    let out = node.stored(2, 4, Err(full));
    assert_eq!(out, [], "not at once again");
    assert_eq!(fetches(&node.wait(1_000)), 1);
    // A range is dropped unseen when the log grew past its start by itself.
    let (_, request, ..) = {
        let mut node = Node::with(&[2]);
        let fetch = fetched(&node.told(2, &[(4, 9)]));
        let local = Input::Local { author: id(4), length: 2, root: root(4, 2) };
        assert_eq!(node.on(local), []);
        let out = node.answer(2, fetch.1, &Response::Range(range(4, 0, 3)));
        assert_eq!(fetched(&out).3, 2);
        fetch
    };
    assert!(request > 0);
}

#[test]
fn what_is_asked_of_us_is_read_and_answered_within_limits() {
    let mut node = Node::with(&[2]);
    let (author, from, max_bytes) = (id(1), 0, 1000);
    let fetch = Request::Fetch { author, from, max_bytes };
    assert_eq!(responses(&node.ask(2, &fetch)), [Response::Nothing { length: 0 }]);
    let (length, root) = (4, root(1, 4));
    let _ = node.on(Input::Local { author, length, root });
    let peer = id(2);
    let read = Output::Read { peer, id: 77, author, from, max_bytes };
    assert_eq!(node.ask(2, &fetch), [read]);
    let done = |result| Input::ReadDone { peer, id: 77, result };
    let out = node.on(done(Ok(Some(range(1, 0, 4)))));
    assert_eq!(responses(&out), [Response::Range(range(1, 0, 4))]);
    assert_eq!(node.on(done(Ok(None))), [], "answered once");
    let _ = node.ask(2, &fetch);
    let out = node.on(done(Err("io".to_owned())));
    assert_eq!(responses(&out), [Response::Refused(Refusal::Failed)]);
    let mut busy = 0;
    for id in 0..20 {
        let bytes = fetch.to_bytes();
        let out = node.on(Input::Request { peer, id, bytes });
        busy += usize::from(responses(&out) == [Response::Refused(Refusal::Busy)]);
    }
    assert_eq!(busy, 20 - Config::default().reads_per_peer);
}

#[test]
fn the_same_inputs_lead_to_the_same_outputs() {
    let run = || {
        let mut node = Node::with(&[2, 3, 4]);
        let mut all = Vec::new();
        for peer in [2, 3, 4] {
            all.extend(node.told(peer, &[(1, 5), (2, 6), (3, 7), (4, 8), (5, 9)]));
        }
        for _ in 0..300 {
            all.extend(node.wait(250));
        }
        all
    };
    assert_eq!(run(), run());
}

#[test]
fn more_logs_than_a_frontier_holds_take_turns() {
    let mut sync = Sync::new(SWARM, Config::default(), 1);
    let name = |n: u16| {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        AuthorId(bytes)
    };
    let members: BTreeSet<_> = (0..1500).map(name).collect();
    let logs = members.iter().map(|author| (*author, MAX_LENGTH)).collect();
    let peers = members.clone();
    let _ = sync.handle(0, Input::Members { peers, logs });
    for author in &members {
        let (author, root) = (*author, Hash([1; 32]));
        let _ = sync.handle(0, Input::Local { author, length: 1, root });
    }
    let mut told = Vec::new();
    let out = sync.handle(0, Input::Connected(name(3)));
    for (_, _, request) in asked(&out) {
        let Request::Frontier(frontier) = request else { unreachable!("a frontier") };
        told.extend(frontier.logs);
    }
    assert_eq!(told.len(), MAX_FRONTIER_LOGS);
    let bytes = Request::Frontier(Frontier { swarm: SWARM, logs: Vec::new() });
    let bytes = bytes.to_bytes();
    let peer = name(3);
    let out = sync.handle(0, Input::Request { peer, id: 1, bytes });
    for response in responses(&out) {
        let Response::Frontier(frontier) = response else { unreachable!("a frontier") };
        told.extend(frontier.logs);
    }
    let told: BTreeSet<_> = told.into_iter().map(|held| held.author).collect();
    assert_eq!(told, members);
}
