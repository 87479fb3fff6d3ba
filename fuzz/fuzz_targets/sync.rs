//! The replication machine: any sequence of inputs, against a model that knows what was asked.
//! It never panics, asks for nothing and stores nothing out of turn, keeps its limits, and, in the
//! end, still fetches from the one peer that behaves.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use bzzz::kernel::identity::{AuthorId, Signature};
use bzzz::kernel::log::{Branch, Hash, MAX_LENGTH, Range, Record, SignedHead};
use bzzz::kernel::sync::{
    Config, Frontier, Held, IngestError, Input, Introduced, MAX_RESPONSE_BYTES, Output, Refusal,
    Request, Response, Sync,
};
use bzzz_fuzz::script::{FORKS, fork_proof};
use bzzz_fuzz::{SWARM, key};
use libfuzzer_sys::fuzz_target;

/// Peers and logs have these numbers; the last is a stranger at first.
const NAMES: u8 = 7;

/// Behaves, and comes last.
const HONEST: AuthorId = AuthorId([99; 32]);

static IDS: LazyLock<Vec<AuthorId>> =
    LazyLock::new(|| (1..=NAMES).map(|n| key(n).author()).collect());

/// Both branches of every log at every index.
static BRANCHES: LazyLock<Vec<[Branch; 2]>> = LazyLock::new(|| {
    let all = (0..NAMES).flat_map(|n| (0..FORKS).map(move |index| (n, index)));
    all.map(|(n, index)| fork_proof(n, index).branches).collect()
});

fn id(n: u8) -> AuthorId {
    IDS[usize::from(n % NAMES)]
}

fn root(n: u8) -> Hash {
    Hash([n % 3; 32])
}

/// A branch of a log at an index, if there is one: it verifies.
fn branch(author: AuthorId, index: u64, which: u8) -> Option<Branch> {
    let both =
        BRANCHES.iter().find(|both| both[0].head.author == author && both[0].index() == index);
    both.map(|both| both[usize::from(which % 2)].clone())
}

/// The input, read from left to right; zeros behind its end.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn u8(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn u64(&mut self) -> u64 {
        // Short numbers are likelier, and so are those at the limit.
        match self.u8() {
            0xff => MAX_LENGTH,
            0xfe => u64::from_le_bytes(std::array::from_fn(|_| self.u8())),
            n => u64::from(n),
        }
    }

    fn raw(&mut self) -> Vec<u8> {
        let length = usize::from(self.u8()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken.to_vec()
    }
}

/// A range that is well formed; the machine does not verify.
fn range(author: AuthorId, from: u64, count: u8, size: u8, one_append: bool) -> Range {
    // Few are long, so that most inputs are quick: 17 of these exceed the first fetch's limit.
    let (count, body) = match size {
        255 => (count % 24, vec![7; 65_000]),
        _ => (count % 24, vec![7; usize::from(size)]),
    };
    let count = u64::from(count.max(1));
    let records = (0..count).map(|_| Record::new(b"", &body).expect("within the limits"));
    let head = |length| SignedHead {
        swarm: SWARM,
        author,
        length,
        root: Hash([0; 32]),
        clock: 0,
        signature: Signature([0; 64]),
    };
    let first = if one_append { count } else { 1 };
    let heads = (first..=count).map(|n| head(from.saturating_add(n).min(MAX_LENGTH)));
    Range { author, from, records: records.collect(), heads: heads.collect() }
}

/// The machine, and what a driver and its peers know.
struct Model {
    sync: Sync,
    config: Config,
    now_ms: u64,
    members: BTreeSet<AuthorId>,
    held: BTreeSet<AuthorId>,
    connected: BTreeSet<AuthorId>,
    next_request: u64,
    /// Requests of peers that are not answered.
    unanswered: BTreeMap<(AuthorId, u64), Option<Request>>,
    /// What is read from the store for whom: of which log, and for a proof, the index.
    reads: BTreeMap<(AuthorId, u64), (AuthorId, Option<u64>)>,
    /// Branches of ours that are read for comparisons.
    proving: Vec<(AuthorId, AuthorId, u64)>,
    /// Requests of ours.
    asked: BTreeMap<u64, (AuthorId, Request)>,
    last_asked: u64,
    ingests: Vec<(AuthorId, AuthorId, u64)>,
}

impl Model {
    fn new(entropy: u64) -> Self {
        let config = Config::default();
        Self {
            sync: Sync::new(SWARM, config.clone(), entropy),
            config,
            now_ms: 1000,
            members: BTreeSet::new(),
            held: BTreeSet::new(),
            connected: BTreeSet::new(),
            next_request: 1,
            unanswered: BTreeMap::new(),
            reads: BTreeMap::new(),
            proving: Vec::new(),
            asked: BTreeMap::new(),
            last_asked: 0,
            ingests: Vec::new(),
        }
    }

    fn members(&mut self, peers: BTreeSet<AuthorId>, logs: BTreeMap<AuthorId, u64>) {
        self.members = peers.clone();
        self.held = logs.keys().copied().collect();
        self.on(Input::Members { peers, logs }, None);
    }

    /// Hands an input in, and compares what comes out with what may come out.
    fn on(&mut self, input: Input, answered: Option<(AuthorId, Request, Vec<u8>)>) -> Vec<Output> {
        let out = self.sync.handle(self.now_ms, input.clone());
        assert!(out.len() <= 2 + 2 * usize::from(NAMES) + self.config.fetches);
        let mut ingest = answered;
        let mut introduced = Vec::new();
        for output in &out {
            match output {
                Output::Request { peer, id, bytes } => self.asks(*peer, *id, bytes),
                Output::Respond { peer, id, bytes } => {
                    let asked = self.unanswered.remove(&(*peer, *id));
                    assert!(asked.is_some(), "an answer to nothing");
                    assert!(bytes.len() <= MAX_RESPONSE_BYTES);
                    let response = Response::from_bytes(bytes).expect("it is well formed");
                    let member = self.members.contains(peer);
                    let refused = Response::Refused(Refusal::NotAMember);
                    let read = matches!(input, Input::ReadDone { .. } | Input::Proved { .. });
                    // What of an introduction that proves nothing.
                    let wrong = response == Response::Refused(Refusal::Malformed);
                    let refused = response == refused || wrong;
                    assert!(member || read || refused, "a stranger is served");
                }
                Output::Read { peer, id, author, from, max_bytes } => {
                    let asked = self.unanswered.get(&(*peer, *id)).cloned().flatten();
                    let (author, from, max_bytes) = (*author, *from, *max_bytes);
                    let fetch = Request::Fetch { author, from, max_bytes };
                    assert_eq!(asked, Some(fetch), "a read that nobody asked for");
                    assert!(self.members.contains(peer) && self.held.contains(&author));
                    let read = self.reads.insert((*peer, *id), (author, None));
                    assert_eq!(read, None, "read twice");
                }
                Output::Prove { peer, answers: Some(id), author, index } => {
                    let asked = self.unanswered.get(&(*peer, *id)).cloned().flatten();
                    let (author, index) = (*author, *index);
                    assert_eq!(asked, Some(Request::Prove { author, index }));
                    assert!(self.members.contains(peer) && self.held.contains(&author));
                    let read = self.reads.insert((*peer, *id), (author, Some(index)));
                    assert_eq!(read, None, "read twice");
                }
                Output::Prove { peer, answers: None, author, index } => {
                    let (from_peer, request, bytes) = ingest.take().expect("a proof came");
                    let (author, index) = (*author, *index);
                    assert_eq!((*peer, Request::Prove { author, index }), (from_peer, request));
                    let proof = Response::from_bytes(&bytes);
                    assert!(matches!(proof, Ok(Response::Proof(_))));
                    assert!(self.held.contains(&author), "a log that is nobody's");
                    self.proving.push((*peer, author, index));
                }
                Output::Introduced { peer, id, rotations } => {
                    let asked = self.unanswered.get(&(*peer, *id)).cloned().flatten();
                    let shown = Request::Introduce { rotations: rotations.clone() };
                    assert_eq!(asked, Some(shown), "an introduction that nobody sent");
                    assert!(!self.members.contains(peer) && self.connected.contains(peer));
                    introduced.push((*peer, *id));
                }
                Output::Forked { proof } => {
                    let fork = proof.verify(&SWARM).expect("it is verified");
                    assert!(self.held.contains(&fork.author), "a log that is nobody's");
                }
                Output::Ingest { peer, range } => {
                    let (from_peer, request, bytes) = ingest.take().expect("a range came");
                    assert_eq!(*peer, from_peer);
                    assert_eq!(Response::from_bytes(&bytes), Ok(Response::Range(range.clone())));
                    let Request::Fetch { author, from, .. } = request else {
                        panic!("a range for a frontier");
                    };
                    assert_eq!((range.author, range.from), (author, from));
                    assert!(self.held.contains(&author), "a log that is nobody's");
                    assert!(self.ingests.iter().all(|(_, other, _)| *other != author), "twice");
                    self.ingests.push((*peer, author, range.end()));
                }
                Output::Penalise { peer, reason, seconds } => {
                    assert!((1..=24 * 60 * 60).contains(seconds) && !reason.is_empty());
                    self.gone(*peer);
                }
            }
        }
        // The rotations that are shown here lead from nobody.
        for (peer, id) in introduced {
            let result = match id % 2 {
                0 => Introduced::Unknown,
                _ => Introduced::Invalid("fuzz".to_owned()),
            };
            self.on(Input::Introduced { peer, id, result }, None);
        }
        out
    }

    fn asks(&mut self, peer: AuthorId, id: u64, bytes: &[u8]) {
        assert!(id > self.last_asked, "an id twice");
        self.last_asked = id;
        let request = Request::from_bytes(bytes).expect("it is well formed");
        assert!(self.members.contains(&peer), "a stranger is asked");
        assert!(self.connected.contains(&peer), "who is not connected is asked");
        if let Request::Fetch { author, .. } | Request::Prove { author, .. } = &request {
            assert!(self.held.contains(author), "a log that is nobody's");
        }
        self.asked.insert(id, (peer, request));
    }

    fn limits(&self) {
        assert!(self.reads.len() <= self.config.reads);
        for n in 0..NAMES {
            let reads = self.reads.keys().filter(|(peer, _)| *peer == id(n)).count();
            assert!(reads <= self.config.reads_per_peer);
        }
        let lag = self.sync.lag();
        assert_eq!(lag.iter().map(|lag| lag.author).collect::<BTreeSet<_>>(), self.held);
        assert!(self.sync.peers().is_subset(&self.members));
        assert!(self.sync.peers().is_subset(&self.connected));
    }

    fn gone(&mut self, peer: AuthorId) {
        self.connected.remove(&peer);
        self.asked.retain(|_, (of, _)| *of != peer);
        self.reads.retain(|(of, _), _| *of != peer);
        // Its streams are gone as well: what it asked needs no answer, and gets none.
        self.unanswered.retain(|(of, _), _| *of != peer);
    }

    fn disconnect(&mut self, peer: AuthorId) {
        self.gone(peer);
        self.on(Input::Disconnected(peer), None);
    }

    fn connect(&mut self, peer: AuthorId) {
        self.connected.insert(peer);
        self.on(Input::Connected(peer), None);
    }

    fn request(&mut self, peer: AuthorId, bytes: Vec<u8>) {
        let id = self.next_request;
        self.next_request += 1;
        self.unanswered.insert((peer, id), Request::from_bytes(&bytes).ok());
        self.on(Input::Request { peer, id, bytes }, None);
        let waits = self.unanswered.contains_key(&(peer, id));
        assert_eq!(waits, self.reads.contains_key(&(peer, id)), "a request without an answer");
    }

    fn respond(&mut self, peer: AuthorId, id: u64, result: Result<Vec<u8>, String>) {
        let asked = self.asked.get(&id).filter(|(whom, _)| *whom == peer).cloned();
        let answered = match (&asked, &result) {
            (Some((peer, request)), Ok(bytes)) => Some((*peer, request.clone(), bytes.clone())),
            _ => None,
        };
        if asked.is_some() {
            self.asked.remove(&id);
        }
        self.on(Input::Response { peer, id, result }, answered);
    }

    fn frontier(input: &mut Bytes<'_>) -> Frontier {
        let swarm = if input.u8() == 255 { HONEST.0 } else { SWARM.0 };
        let count = input.u8() % 8;
        let mut log = || {
            let (author, root) = (id(input.u8()), root(input.u8()));
            let length = input.u64().clamp(1, MAX_LENGTH);
            (author, Held { author, length, root })
        };
        let logs: BTreeMap<_, _> = (0..count).map(|_| log()).collect();
        let swarm = bzzz::kernel::identity::SwarmId(swarm);
        Frontier { swarm, logs: logs.into_values().collect() }
    }

    /// One step of the input.
    fn step(&mut self, input: &mut Bytes<'_>) {
        self.now_ms += u64::from(input.u8()) * 16;
        let op = input.u8();
        let who = id(input.u8());
        match op % 16 {
            0 => self.connect(who),
            1 => self.disconnect(who),
            2 => self.request(who, input.raw()),
            3 => self.request(who, Request::Frontier(Self::frontier(input)).to_bytes()),
            4 => {
                let (author, from) = (id(input.u8()), input.u64().min(MAX_LENGTH - 1));
                let max_bytes = u32::from(input.u8()) * 1000 + 1;
                self.request(who, Request::Fetch { author, from, max_bytes }.to_bytes());
            }
            5 => self.respond(who, input.u64(), Ok(Vec::new())),
            6 | 7 => self.answer(input),
            8 => self.read_done(input),
            9 => {
                let (length, root) = (input.u64().min(1 << 39), root(input.u8()));
                self.on(Input::Local { author: who, length, root }, None);
            }
            10 => self.ingested(input),
            11 => {
                let of = |bits: u8| (0..NAMES).filter(move |n| bits >> n & 1 == 1).map(id);
                let peers = of(input.u8()).collect();
                let logs = of(input.u8()).map(|log| (log, input.u64())).collect();
                self.members(peers, logs);
            }
            12 => {
                let (author, length) = (id(input.u8()), input.u64());
                self.on(Input::Heard { peer: who, author, length }, None);
            }
            13 => {
                let (author, index) = (id(input.u8()), input.u64().min(MAX_LENGTH - 1));
                self.request(who, Request::Prove { author, index }.to_bytes());
            }
            14 => self.proved(input),
            _ => drop(self.on(Input::Tick, None)),
        }
    }

    /// Answers one of the requests that are open, well or badly.
    fn answer(&mut self, input: &mut Bytes<'_>) {
        let nth = usize::from(input.u8()) % self.asked.len().max(1);
        let Some((id, (peer, request))) = self.asked.iter().nth(nth) else {
            return;
        };
        let (id, peer, request) = (*id, *peer, request.clone());
        let how = input.u8();
        let result = match (how % 8, request) {
            (0, _) => Ok(input.raw()),
            (1, _) => Err("reset".to_owned()),
            (2, _) => Ok(vec![1, 132, input.u8()]),
            (3, _) => Ok(Response::Nothing { length: input.u64().min(MAX_LENGTH) }.to_bytes()),
            (4, Request::Fetch { author, from, .. }) => {
                let from = from.saturating_add(u64::from(input.u8() % 2));
                let range = range(author, from, input.u8(), input.u8(), how & 8 == 0);
                Ok(Response::Range(range).to_bytes())
            }
            (_, Request::Fetch { author, from, .. }) => {
                let range = range(author, from, input.u8() % 16, 0, how & 8 == 0);
                Ok(Response::Range(range).to_bytes())
            }
            (_, Request::Prove { author, index }) => match branch(author, index, input.u8()) {
                Some(branch) => Ok(Response::Proof(Box::new(branch)).to_bytes()),
                None => Err("too far".to_owned()),
            },
            _ => Ok(Response::Frontier(Self::frontier(input)).to_bytes()),
        };
        self.respond(peer, id, result);
    }

    fn read_done(&mut self, input: &mut Bytes<'_>) {
        let nth = usize::from(input.u8()) % (self.reads.len() + 1);
        let found = self.reads.iter().nth(nth).map(|(read, what)| (*read, *what));
        let ((peer, id), (author, index)) = found.unwrap_or(((id(0), 0), (id(0), None)));
        let how = input.u8() % 4;
        let open = self.reads.remove(&(peer, id)).is_some();
        let input = if let Some(index) = index {
            let result = match how {
                0 => Ok(None),
                1 => Err("io".to_owned()),
                _ => Ok(branch(author, index, how).map(Box::new)),
            };
            Input::Proved { peer, answers: Some(id), author, index, result }
        } else {
            let result = match how {
                0 => Ok(None),
                1 => Err("io".to_owned()),
                _ => Ok(Some(range(author, 0, 2, 0, true))),
            };
            Input::ReadDone { peer, id, result }
        };
        let out = self.on(input, None);
        let answers = out.iter().filter(|output| matches!(output, Output::Respond { .. })).count();
        assert_eq!(answers, usize::from(open), "one answer for each read");
    }

    /// A branch of ours was read for a comparison.
    fn proved(&mut self, input: &mut Bytes<'_>) {
        if self.proving.is_empty() {
            return;
        }
        let nth = usize::from(input.u8()) % self.proving.len();
        let (peer, author, index) = self.proving.remove(nth);
        let result = match input.u8() {
            255 => Err("io".to_owned()),
            which => Ok(branch(author, index, which).map(Box::new)),
        };
        self.on(Input::Proved { peer, answers: None, author, index, result }, None);
    }

    fn ingested(&mut self, input: &mut Bytes<'_>) {
        if self.ingests.is_empty() {
            return;
        }
        let nth = usize::from(input.u8()) % self.ingests.len();
        let (peer, author, end) = self.ingests.remove(nth);
        let result = match input.u8() % 8 {
            0 => Err(IngestError::Gap { length: input.u64().min(1 << 39) }),
            1 => Err(IngestError::Invalid("the root".to_owned())),
            2 => Err(IngestError::NotAMember),
            3 => Err(IngestError::Store("full".to_owned())),
            4 => Err(IngestError::Conflict),
            5 => match input.u8() % 2 {
                0 => Err(IngestError::OtherBranch),
                _ => Err(IngestError::OwnLog),
            },
            _ => Ok((end, root(input.u8()))),
        };
        self.on(Input::Ingested { peer, author, result }, None);
    }

    /// Whatever came before: a member that behaves connects, and its log is fetched.
    fn goes_on(&mut self) {
        while let Some((peer, author, end)) = self.ingests.pop() {
            self.on(Input::Ingested { peer, author, result: Ok((end, root(0))) }, None);
        }
        while let Some((peer, author, index)) = self.proving.pop() {
            let result = Ok(None);
            self.on(Input::Proved { peer, answers: None, author, index, result }, None);
        }
        let mut peers = self.members.clone();
        peers.insert(HONEST);
        let mut logs: BTreeMap<_, _> = self.held.iter().map(|log| (*log, MAX_LENGTH)).collect();
        logs.insert(HONEST, MAX_LENGTH);
        self.members(peers, logs);
        self.connect(HONEST);
        let mut length = 0;
        for _ in 0..1000 {
            let open = self.asked.iter().find(|(_, (peer, _))| *peer == HONEST);
            let Some((id, (_, request))) = open.map(|(id, asked)| (*id, asked.clone())) else {
                self.now_ms += 250;
                self.on(Input::Tick, None);
                continue;
            };
            let response = match request {
                Request::Frontier(_) => {
                    let logs = vec![Held { author: HONEST, length: 9, root: root(0) }];
                    Response::Frontier(Frontier { swarm: SWARM, logs })
                }
                Request::Fetch { author, from, .. } if author == HONEST => {
                    Response::Range(range(author, from, 3, 0, true))
                }
                Request::Fetch { .. } => Response::Nothing { length: 0 },
                Request::Prove { .. } | Request::Introduce { .. } => {
                    Response::Refused(Refusal::Failed)
                }
            };
            self.respond(HONEST, id, Ok(response.to_bytes()));
            if let Some((peer, author, end)) = self.ingests.pop() {
                self.on(Input::Ingested { peer, author, result: Ok((end, root(0))) }, None);
                length = end;
            }
            if length == 9 {
                return;
            }
        }
        panic!("the log of a peer that behaves is not fetched: {length} of 9");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Bytes(bytes);
    let mut model = Model::new(u64::from(input.u8()));
    let peers: BTreeSet<_> = (0..NAMES - 1).map(id).collect();
    model.members(peers.clone(), peers.iter().map(|author| (*author, MAX_LENGTH)).collect());
    let mut steps = 0;
    while !input.0.is_empty() && steps < 250 {
        model.step(&mut input);
        model.limits();
        steps += 1;
    }
    model.goes_on();
});
