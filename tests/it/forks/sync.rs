//! Forks between whole nodes without a network: engines in memory, and the real sync machines.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bzzz::engine::{Engine, EngineError, IngestError, Stop, found};
use bzzz::kernel::event::kinds::{AgentStarted, ForkProven, ForkResolved, MemberAdmitted, Role};
use bzzz::kernel::event::{Draft, EventId};
use bzzz::kernel::fold::{Reason, SwarmState};
use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::kernel::log::{ForkProof, Hash, LogStore, MAX_LENGTH, Range};
use bzzz::kernel::sync::{self, Config, Input, Output, Request, Response, Sync};
use bzzz::store::memory::MemoryStore;

const NOW: u64 = 1_800_000_000_000;

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn id(n: u8) -> AuthorId {
    key(n).author()
}

fn open(n: u8, swarm: SwarmId) -> Arc<Engine> {
    let store: Arc<dyn LogStore> = Arc::new(MemoryStore::new());
    Arc::new(Engine::open(store, key(n), swarm, NOW).unwrap())
}

/// The founder, and members 2 to 5 admitted.
fn founder() -> Arc<Engine> {
    let store = Arc::new(MemoryStore::new());
    let founding = found(&key(1), "test", [7; 16], NOW).unwrap();
    let swarm = founding.swarm;
    founding.commit(&*store, &key(1)).unwrap();
    let engine = Engine::open(store, key(1), swarm, NOW).unwrap();
    for n in 2..=5 {
        let name = format!("m{n}");
        let admitted = MemberAdmitted { member: id(n), role: Role::Agent, name };
        engine.append(vec![Draft::general(admitted)], NOW + u64::from(n)).unwrap();
    }
    Arc::new(engine)
}

/// Copies a log from one engine to another, as far as it is taken in.
fn copy(from: &Engine, to: &Engine, author: AuthorId) -> Result<(), IngestError> {
    while let Some(range) = from.range(author, to.tip(&author).0, 1 << 20).unwrap() {
        to.ingest(range, NOW + 1000)?;
    }
    Ok(())
}

fn say(engine: &Engine, name: &str) -> Result<EventId, EngineError> {
    let started = AgentStarted {
        name: name.to_owned(),
        version: "0".to_owned(),
        process: 1,
        works: true,
        capabilities: Vec::new(),
    };
    engine.append(vec![Draft::general(started)], NOW + 500).map(|appended| appended.ids[0])
}

/// What a liar makes of a response.
type Lie = fn(Response) -> Response;

struct Peer {
    engine: Arc<Engine>,
    sync: Sync,
    lie: Option<Lie>,
}

/// Nodes that are all connected with each other, and what goes between them.
struct Swarm {
    peers: Vec<Peer>,
    now_ms: u64,
    asked: BTreeMap<u64, (usize, u64)>,
    next: u64,
    requests: u64,
    penalties: Vec<(AuthorId, String)>,
}

impl Swarm {
    fn new(engines: &[&Arc<Engine>]) -> Self {
        let peer = |engine: &&Arc<Engine>| {
            let sync = Sync::new(engine.swarm(), Config::default(), 7);
            Peer { engine: Arc::clone(engine), sync, lie: None }
        };
        let peers: Vec<Peer> = engines.iter().map(peer).collect();
        let (asked, penalties) = (BTreeMap::new(), Vec::new());
        Self { peers, now_ms: 1000, asked, next: 1, requests: 0, penalties }
    }

    fn connect(&mut self) {
        for a in 0..self.peers.len() {
            self.tell(a);
            for b in (0..self.peers.len()).filter(|b| *b != a) {
                let peer = self.peers[b].engine.me();
                self.on(a, Input::Connected(peer));
            }
        }
    }

    /// Some seconds go by.
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.now_ms += 250;
            for n in 0..self.peers.len() {
                self.tell(n);
                self.on(n, Input::Tick);
            }
        }
    }

    /// A node's machine is told what is in its store, and does what follows.
    fn tell(&mut self, n: usize) {
        for input in self.look(n) {
            self.on(n, input);
        }
    }

    /// What is in a node's store.
    fn look(&self, n: usize) -> Vec<Input> {
        let engine = Arc::clone(&self.peers[n].engine);
        let (peers, logs) = engine.read(|state| {
            let all = state.members.members.iter();
            let logs = all.map(|(id, m)| (*id, m.stands_to().unwrap_or(MAX_LENGTH)));
            (state.members.present(), logs.collect())
        });
        let mut inputs = vec![Input::Members { peers, logs }];
        for author in engine.lengths().into_keys() {
            let (length, root) = engine.tip(&author);
            inputs.push(Input::Local { author, length, root });
        }
        inputs
    }

    fn on(&mut self, n: usize, input: Input) {
        let mut inputs = VecDeque::from([(n, input)]);
        while let Some((n, input)) = inputs.pop_front() {
            let mut changed = matches!(input, Input::Ingested { .. });
            for output in self.peers[n].sync.handle(self.now_ms, input) {
                changed |= matches!(output, Output::Forked { .. });
                inputs.extend(self.carry_out(n, output));
            }
            if changed {
                inputs.extend(self.look(n).into_iter().map(|input| (n, input)));
            }
        }
    }

    fn index_of(&self, id: &AuthorId) -> usize {
        self.peers.iter().position(|peer| peer.engine.me() == *id).unwrap()
    }

    fn carry_out(&mut self, n: usize, output: Output) -> Option<(usize, Input)> {
        let engine = Arc::clone(&self.peers[n].engine);
        let me = engine.me();
        Some(match output {
            Output::Request { peer, id, bytes } => {
                self.next += 1;
                self.requests +=
                    u64::from(matches!(Request::from_bytes(&bytes), Ok(Request::Prove { .. })));
                self.asked.insert(self.next, (n, id));
                (self.index_of(&peer), Input::Request { peer: me, id: self.next, bytes })
            }
            Output::Respond { id, bytes, .. } => {
                let (asker, id) = self.asked.remove(&id).unwrap();
                let response = Response::from_bytes(&bytes).unwrap();
                let lie = self.peers[n].lie.unwrap_or(|response| response);
                let result = Ok(lie(response).to_bytes());
                (asker, Input::Response { peer: me, id, result })
            }
            Output::Read { peer, id, author, from, max_bytes } => {
                let result = Ok(engine.range(author, from, max_bytes as usize).unwrap());
                (n, Input::ReadDone { peer, id, result })
            }
            Output::Prove { peer, answers, author, index } => {
                let result = Ok(engine.branch(&author, index).unwrap().map(Box::new));
                (n, Input::Proved { peer, answers, author, index, result })
            }
            Output::Ingest { peer, range } => {
                let author = range.author;
                let result = match engine.ingest(range, NOW + 1000) {
                    Ok(_) => Ok(engine.tip(&author)),
                    Err(IngestError::Gap { expected, .. }) => {
                        Err(sync::IngestError::Gap { length: expected })
                    }
                    Err(IngestError::Conflict { .. }) => Err(sync::IngestError::Conflict),
                    Err(IngestError::OtherBranch(_)) => Err(sync::IngestError::OtherBranch),
                    Err(IngestError::OwnLog) => Err(sync::IngestError::OwnLog),
                    Err(IngestError::NotAMember(_)) => Err(sync::IngestError::NotAMember),
                    Err(error) => Err(sync::IngestError::Invalid(error.to_string())),
                };
                (n, Input::Ingested { peer, author, result })
            }
            Output::Introduced { peer, id, rotations } => {
                let judged = engine.introduced(&peer, &rotations);
                let result = judged.map_or_else(|result| result, |_| sync::Introduced::Accepted);
                (n, Input::Introduced { peer, id, result })
            }
            Output::Forked { proof } => {
                engine.forked(&proof, NOW + 2000).unwrap();
                return None;
            }
            Output::Penalise { peer, reason, .. } => {
                self.penalties.push((peer, reason));
                return None;
            }
        })
    }

    fn digests(&self) -> Vec<Hash> {
        self.peers.iter().map(|peer| peer.engine.read(SwarmState::digest)).collect()
    }
}

/// A founder, members 2 and 3, and two engines with the key of member 4 whose logs differ from
/// index 1 on. Node 2 holds the one, node 3 the other, so long.
fn forked(one: usize, other: usize) -> [Arc<Engine>; 5] {
    let a = founder();
    let swarm = a.swarm();
    let [x, y, t, u] = [2, 3, 4, 4].map(|n| open(n, swarm));
    for engine in [&x, &y, &t, &u] {
        copy(&a, engine, a.me()).unwrap();
    }
    say(&t, "both").unwrap();
    copy(&t, &u, id(4)).unwrap();
    for (engine, holder, name, count) in [(&t, &x, "one", one), (&u, &y, "other", other)] {
        for _ in 0..count {
            say(engine, name).unwrap();
        }
        copy(engine, holder, id(4)).unwrap();
    }
    [a, x, y, t, u]
}

fn fork_of(engine: &Engine) -> Option<u64> {
    engine.read(|state| state.members.members[&id(4)].forked_at())
}

#[test]
fn relays_that_hold_two_branches_prove_the_fork_to_everybody_and_nobody_is_penalised() {
    for (one, other) in [(1, 1), (3, 3), (1, 40), (40, 1), (5, 2)] {
        let [a, x, y, ..] = forked(one, other);
        let mut swarm = Swarm::new(&[&a, &x, &y]);
        swarm.connect();
        // One round: frontiers are exchanged every 5 seconds, and what is new is fetched then.
        swarm.run(12);
        assert_eq!(swarm.penalties, [], "{one} and {other}");
        for engine in [&a, &x, &y] {
            assert_eq!(fork_of(engine), Some(1), "{one} and {other}");
            let proofs = engine.fork_proofs(&id(4)).unwrap();
            let file = ForkProof::from_file(&proofs[0].to_file()).unwrap();
            assert_eq!(file.verify(&engine.swarm()).map(|fork| fork.index), Ok(1));
            engine.read(|state| {
                assert_eq!(
                    state.agents[&id(4)].started.name,
                    "both",
                    "what differs does not stand"
                );
                assert!(!state.members.may_act(&id(4)));
            });
        }
        let digests = swarm.digests();
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{one} and {other}");
        assert!(swarm.requests < 40, "{} questions", swarm.requests);
    }
}

#[test]
fn a_relay_that_changes_records_is_penalised_and_forks_nobody() {
    let [a, x, _, t, _] = forked(9, 0);
    copy(&t, &a, id(4)).unwrap();
    say(&t, "more").unwrap();
    say(&t, "most").unwrap();
    copy(&t, &x, id(4)).unwrap();
    let mut swarm = Swarm::new(&[&a, &x]);
    swarm.peers[1].lie = Some(|response| match response {
        Response::Range(mut range) if range.author == id(4) => {
            range.records.reverse();
            Response::Range(range)
        }
        response => response,
    });
    swarm.connect();
    swarm.run(12);
    let (whom, why) = swarm.penalties.first().expect("it lied");
    assert_eq!(*whom, id(2));
    assert!(why.contains("does not fit the log that it proves to hold"), "{why}");
    assert_eq!(fork_of(&a), None);
}

#[test]
fn a_proof_that_does_not_verify_is_an_offence() {
    let [a, x, y, ..] = forked(3, 3);
    let mut swarm = Swarm::new(&[&a, &x, &y]);
    swarm.peers[2].lie = Some(|response| match response {
        Response::Proof(mut branch) => {
            branch.leaf = Hash([1; 32]);
            Response::Proof(branch)
        }
        response => response,
    });
    swarm.connect();
    swarm.run(2);
    assert!(swarm.penalties.iter().all(|(whom, _)| *whom == id(3)), "{:?}", swarm.penalties);
    assert!(swarm.penalties[0].1.contains("does not verify"), "{:?}", swarm.penalties);
}

#[test]
fn a_resolution_names_the_branch_that_every_node_then_holds() {
    let [a, x, y, t, u] = forked(5, 2);
    let mut swarm = Swarm::new(&[&a, &x, &y]);
    swarm.connect();
    swarm.run(12);
    let before = a.read(|state| state.members.refusals.count);
    let proofs = a.fork_proofs(&id(4)).unwrap();
    let held = t.branch(&id(4), 1).unwrap().unwrap();
    let branch = proofs[0].branches.iter().find(|branch| branch.leaf == held.leaf).unwrap();
    let root = branch.root_behind().unwrap();
    let resolve = |length, root| {
        let (author, reason) = (id(4), "a copy ran".to_owned());
        a.append(vec![Draft::general(ForkResolved { author, length, root, reason })], NOW + 3000)
    };
    resolve(3, root).unwrap();
    let refused = a.read(|state| state.members.refusals.clone());
    assert_eq!(refused.count, before + 1, "it has to name the record at the fork");
    assert_eq!(refused.first.last().unwrap().reason, Reason::Content);
    resolve(2, root).unwrap();
    swarm.run(30);
    assert_eq!(swarm.penalties, []);
    for engine in [&a, &x, &y] {
        assert_eq!(fork_of(engine), None);
        assert_eq!(engine.tip(&id(4)), t.tip(&id(4)), "the branch that stands, all of it");
        assert_eq!(engine.read(|state| state.agents[&id(4)].started.name.clone()), "one");
    }
    let digests = swarm.digests();
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    // The two that had the key: the one goes on, the other lost its branch and is silent.
    let mut nodes = Swarm::new(&[&a, &x, &t]);
    nodes.connect();
    nodes.run(12);
    say(&t, "goes on").unwrap();
    for author in [1, 2, 3] {
        let _ = copy(&a, &u, id(author));
    }
    assert_eq!(u.tip(&id(4)).0, 1, "it dropped its own");
    assert!(matches!(say(&u, "still here"), Err(EngineError::Stopped(Stop::Lost))));
    let refused = copy(&y, &u, id(4));
    assert!(refused.is_ok(), "and fetches the one that stands: {refused:?}");
    assert_eq!(u.read(|state| state.agents[&id(4)].started.name.clone()), "one");
    let again = Range::read(t.store(), id(4), 0, 1 << 20).unwrap().unwrap();
    assert!(matches!(u.ingest(again, NOW), Err(IngestError::Gap { .. })));
    nodes.run(12);
    for engine in [&a, &x] {
        assert_eq!(engine.read(|state| state.agents[&id(4)].started.name.clone()), "goes on");
    }
}

#[test]
fn a_resolution_is_carried_out_at_the_next_start_if_a_crash_came_between() {
    let [a, x, y, t, _] = forked(4, 300);
    let mut swarm = Swarm::new(&[&a, &x, &y]);
    swarm.connect();
    swarm.run(12);
    let root = t.branch(&id(4), 1).unwrap().unwrap().root_behind().unwrap();
    let (author, reason) = (id(4), String::new());
    let resolved = ForkResolved { author, length: 2, root, reason };
    a.append(vec![Draft::general(resolved)], NOW + 3000).unwrap();
    // The store of node 3 gets the event as it would be after a crash right behind its commit.
    let (store, swarm_id) = (y.store(), y.swarm());
    let copy_of = MemoryStore::new();
    for info in store.logs().unwrap() {
        let mut tip = bzzz::kernel::log::Tip::empty(info.author);
        let from: &dyn LogStore = if info.author == a.me() { a.store() } else { store };
        while let Some(range) = Range::read(from, info.author, tip.length(), 1 << 20).unwrap() {
            let append = tip.verify(&swarm_id, range).unwrap();
            let events: Vec<_> = (append.from()..)
                .zip(append.records())
                .map(|(i, r)| bzzz::kernel::event::Event::read(info.author, i, r.as_ref()).unwrap())
                .collect();
            let entry = |event: &bzzz::kernel::event::Event| {
                let aggregate = bzzz::kernel::fold::Aggregate::of(event)?;
                Some(aggregate.entry(bzzz::kernel::fold::Place::of(event)))
            };
            let index: Vec<_> = events.iter().filter_map(entry).collect();
            tip = append.tip().clone();
            copy_of.commit(&[append], &index).unwrap();
        }
    }
    let opened = Engine::open(Arc::new(copy_of), key(3), swarm_id, NOW + 4000).unwrap();
    assert_eq!(fork_of(&opened), None);
    assert_eq!(opened.tip(&id(4)).0, 1, "the branch that does not stand is gone");
    assert_eq!(opened.read(|state| state.agents[&id(4)].started.name.clone()), "both");
    copy(&t, &opened, id(4)).unwrap();
    assert_eq!(opened.tip(&id(4)), t.tip(&id(4)));
}

#[test]
fn the_branch_that_does_not_stand_is_not_taken_in() {
    let [a, x, y, t, u] = forked(4, 4);
    let mut swarm = Swarm::new(&[&a, &x, &y]);
    swarm.connect();
    swarm.run(12);
    let root = t.branch(&id(4), 1).unwrap().unwrap().root_behind().unwrap();
    let (author, reason) = (id(4), String::new());
    let resolved = ForkResolved { author, length: 2, root, reason };
    a.append(vec![Draft::general(resolved)], NOW + 3000).unwrap();
    let z = open(5, a.swarm());
    for author in [1, 2, 3] {
        let _ = copy(&a, &z, id(author));
    }
    assert!(matches!(copy(&u, &z, id(4)), Err(IngestError::OtherBranch(_))));
    assert!(z.tip(&id(4)).0 < 2);
    copy(&t, &z, id(4)).unwrap();
    assert_eq!(z.tip(&id(4)), t.tip(&id(4)));
}

#[test]
fn an_administrators_words_behind_its_fork_do_not_stand_wherever_they_are_in_the_order() {
    // Two engines with the founder's key: each admits somebody else after the common part.
    let a = founder();
    let swarm = a.swarm();
    let b = open(1, swarm);
    copy(&a, &b, a.me()).unwrap();
    let [x, y] = [2, 3].map(|n| open(n, swarm));
    for (engine, holder, n) in [(&a, &x, 7), (&b, &y, 8)] {
        let (member, name) = (id(n), String::new());
        let admitted = MemberAdmitted { member, role: Role::Agent, name };
        engine.append(vec![Draft::general(admitted)], NOW + 600).unwrap();
        copy(engine, holder, id(1)).unwrap();
    }
    let has = |engine: &Engine, n| engine.read(|s| s.members.members.contains_key(&id(n)));
    assert!(has(&x, 7) && has(&y, 8));
    let mut swarm = Swarm::new(&[&x, &y]);
    swarm.connect();
    swarm.run(12);
    for engine in [&x, &y] {
        let forked = engine.read(|state| state.members.members[&id(1)].forked_at());
        assert_eq!(forked, Some(5), "a founding and four admissions are common");
        assert!(!has(engine, 7) && !has(engine, 8));
        assert!(has(engine, 4));
    }
    let digests = swarm.digests();
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_process_that_did_not_append_takes_its_own_log_in_and_one_that_did_stops() {
    let [a, _, _, t, u] = forked(0, 0);
    // A restored copy: it lacks what was said since, and takes it in before it appends.
    say(&t, "since").unwrap();
    let restored = open(4, a.swarm());
    copy(&a, &restored, a.me()).unwrap();
    restored.wait();
    assert!(matches!(say(&restored, "too early"), Err(EngineError::Waiting)));
    copy(&t, &restored, id(4)).unwrap();
    restored.go_on();
    assert_eq!(restored.tip(&id(4)), t.tip(&id(4)));
    say(&restored, "goes on").unwrap();
    // The other program with this key sees events that it did not write, and says nothing more.
    assert!(matches!(copy(&restored, &t, id(4)), Err(IngestError::OwnLog)));
    assert!(matches!(say(&t, "more"), Err(EngineError::Stopped(Stop::Twin))));
    assert_eq!(u.tip(&id(4)).0, 1);
}

#[test]
fn a_machine_says_whether_peers_hold_more_of_a_log() {
    let [a, x, _, t, _] = forked(3, 0);
    let restored = open(4, a.swarm());
    copy(&a, &restored, a.me()).unwrap();
    restored.wait();
    let mut swarm = Swarm::new(&[&restored, &a, &x]);
    swarm.tell(0);
    let compared = swarm.peers[0].sync.compared(&id(4));
    assert_eq!((compared.peers, compared.behind), (0, false));
    swarm.connect();
    swarm.run(8);
    let compared = swarm.peers[0].sync.compared(&id(4));
    assert_eq!((compared.peers, compared.behind), (2, false));
    assert_eq!(restored.tip(&id(4)), t.tip(&id(4)), "it fetched its own log back");
    assert_eq!(swarm.penalties, []);
    assert_eq!(fork_of(&a), None);
}

#[test]
fn what_is_no_proof_or_settled_is_refused() {
    let [a, x, y, ..] = forked(2, 2);
    let mut swarm = Swarm::new(&[&a, &x, &y]);
    swarm.connect();
    swarm.run(12);
    let proof = a.fork_proofs(&id(4)).unwrap().remove(0);
    let mut broken = proof.clone();
    broken.branches[0].head.clock += 1;
    let say = |proof: Vec<u8>, at| {
        let ids = x.append(vec![Draft::general(ForkProven { proof })], NOW + at).unwrap().ids;
        x.read(|state| {
            let refusals = &state.members.refusals.first;
            refusals.iter().find(|refusal| ids.contains(&refusal.event)).map(|r| r.reason)
        })
    };
    assert_eq!(say(vec![1, 2, 3], 5000), Some(Reason::Proof));
    assert_eq!(say(proof.to_bytes(), 5001), Some(Reason::Repeated));
    let mut other = broken.clone();
    for branch in &mut other.branches {
        (branch.before.from, branch.inclusion.index) = (0, 0);
    }
    assert_eq!(say(other.to_bytes(), 5002), Some(Reason::Proof));
    let mut stranger = broken;
    for branch in &mut stranger.branches {
        branch.head.author = id(9);
    }
    assert_eq!(say(stranger.to_bytes(), 5003), Some(Reason::Dangling));
}
