//! The world: one queue of what will happen, under one virtual clock.

use std::collections::{BTreeMap, BTreeSet};

use bzzz::kernel::agent::{self, AgentConfig, Budget, Effect};
use bzzz::kernel::event::kinds::{AgentStarted, MemberAdmitted, Role, SwarmFounded};
use bzzz::kernel::event::{Clock, Draft, EventId, swarm_id};
use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::kernel::log::{Hash, Range};
use bzzz::kernel::sync::{Input, Output};

use super::evil;
use super::net::{Fate, Network, Weather};
use super::node::{Crashed, Node};
use super::outside::{self, Outside, REPOSITORY, Trouble};
use super::rng::Rng;
use super::store::{CrashPoint, SimStore};

/// What a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Play {
    /// Nodes append at random, and logs replicate.
    Logs,
    /// Agents take the tasks of a board.
    Agents,
}

/// Faults end at the latest at this time, in milliseconds; then the swarm must come to an end.
const CALM_MS: u64 = 90_000;

/// How long the swarm has for that, in milliseconds of virtual time.
const PATIENCE_MS: u64 = 60 * 60 * 1000;

const TICK_MS: u64 = 500;

enum Event {
    Dial(usize, usize),
    Break(usize, usize, u64),
    Part,
    Heal,
    Calm,
    Start(usize),
    Crash(usize, Option<CrashPoint>),
    Chatter(usize),
    Admit(usize),
    Tick(usize, u64),
    Request { from: usize, to: usize, connection: u64, id: u64, bytes: Vec<u8> },
    Response { from: usize, to: usize, connection: u64, id: u64, result: Result<Vec<u8>, String> },
    Gossip { from: usize, to: usize, author: AuthorId, length: u64 },
    Read { node: usize, life: u64, read: Output },
    Ingest { node: usize, life: u64, peer: AuthorId, range: Range },
    Effect(usize, u64, Effect),
    Inputs(usize, u64, Vec<agent::Input>),
}

pub(super) struct World {
    now_ms: u64,
    events: u64,
    queue: BTreeMap<(u64, u64), Event>,
    rng: Rng,
    play: Play,
    pub(super) nodes: Vec<Node>,
    net: Network,
    pub(super) outside: Outside,
    trouble: Trouble,
    /// How often in a hundred gossip arrives; in some runs never.
    gossip: u64,
    calm: bool,
    /// Tells all that happens, for whoever looks into one seed.
    pub(super) loud: bool,
    trace: blake3::Hasher,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

impl World {
    pub(super) fn new(seed: u64, play: Play) -> Self {
        let mut rng = Rng::new(seed);
        let count = rng.range(3..6);
        let has_evil = rng.percent(40);
        let mut world = Self {
            now_ms: 0,
            events: 0,
            queue: BTreeMap::new(),
            play,
            nodes: Vec::new(),
            net: Network::default(),
            outside: Outside::new(if play == Play::Agents { 4 } else { 0 }),
            trouble: Trouble {
                refused: rng.range(0..8),
                unanswered: rng.range(0..8),
                speechless: rng.range(0..8),
                nonsense: rng.range(0..8),
                sandbox: rng.range(0..8),
            },
            gossip: if rng.percent(30) { 0 } else { rng.range(20..100) },
            calm: false,
            loud: false,
            trace: blake3::Hasher::new(),
            counts: BTreeMap::new(),
            rng,
        };
        world.net.weather = Weather {
            lost: world.rng.range(0..12),
            twice: world.rng.range(0..12),
            slow: world.rng.range(0..12),
            broken: world.rng.range(0..6),
        };
        for n in 0..count {
            let is_evil = has_evil && n + 1 == count;
            world.add_node(n, is_evil);
        }
        world.plan_the_run();
        world
    }

    fn add_node(&mut self, n: u64, is_evil: bool) {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.rng.next().to_le_bytes());
        let key = SecretKey::from_seed(&seed);
        let id = key.author();
        let founder = self.nodes.first().map_or(id, |node| node.id);
        let works = self.play == Play::Agents && !is_evil;
        let node = Node {
            key,
            id,
            store: SimStore::default(),
            swarm: self.nodes.first().map_or(SwarmId([0; 32]), |node| node.swarm),
            founder,
            skew_ms: self.rng.range(0..3_000),
            life: 0,
            memory: None,
            acknowledged: BTreeMap::new(),
            agent_config: works.then(agent_config),
            is_evil,
        };
        self.nodes.push(node);
        if n == 0 {
            self.found();
        }
    }

    /// The first node founds the swarm, whose name follows from the founding event.
    fn found(&mut self) {
        let administrator = self.nodes[0].id;
        let draft = Draft::general(SwarmFounded {
            name: "simulated".to_owned(),
            administrators: vec![administrator],
            nonce: [7; 16],
        });
        let wall_ms = self.nodes[0].now(0).wall_ms;
        let clock = Clock::default().tick(wall_ms).expect("the clock has room");
        let record = draft.record(0, clock).expect("a short draft");
        let id = EventId(record.as_ref().leaf(&administrator).0);
        self.nodes[0].swarm = swarm_id(id);
        self.start(0);
        assert!(self.append(0, &[draft]), "nothing crashes yet");
        let founded = &self.nodes[0].memory().fold.state().members.founded;
        assert!(founded.is_some(), "the founding stands");
    }

    fn plan_the_run(&mut self) {
        let count = self.nodes.len();
        for a in 0..count {
            let at = self.rng.range(0..2_000);
            if a > 0 {
                self.later(at, Event::Start(a));
                let at = self.rng.range(0..10_000);
                self.later(at, Event::Admit(a));
            }
            for b in a + 1..count {
                let at = self.rng.range(0..2_000);
                self.later(at, Event::Dial(a, b));
            }
            let busy = self.play == Play::Logs || self.nodes[a].is_evil;
            for _ in 0..if busy { self.rng.range(5..25) } else { 0 } {
                let at = self.rng.range(0..CALM_MS);
                self.later(at, Event::Chatter(a));
            }
        }
        for _ in 0..self.rng.range(0..5) {
            let node = self.rng.index(count);
            let point = match self.rng.range(0..3) {
                0 => None,
                1 => Some(CrashPoint::BeforeSync),
                _ => Some(CrashPoint::AfterSync),
            };
            let at = self.rng.range(2_000..CALM_MS);
            self.later(at, Event::Crash(node, point));
        }
        for _ in 0..self.rng.range(0..3) {
            let at = self.rng.range(2_000..CALM_MS);
            self.later(at, Event::Part);
        }
        self.later(CALM_MS, Event::Calm);
    }

    fn later(&mut self, after_ms: u64, event: Event) {
        self.events += 1;
        self.queue.insert((self.now_ms + after_ms, self.events), event);
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Runs to the end; the hash of all that happened.
    pub(super) fn run(&mut self) -> Hash {
        let mut next_look_ms = CALM_MS + 1_000;
        while let Some(((at_ms, _), event)) = self.queue.pop_first() {
            self.now_ms = at_ms;
            self.trace(&event);
            self.happen(event);
            if self.now_ms >= next_look_ms {
                next_look_ms = self.now_ms + 1_000;
                match self.unfinished() {
                    None => return Hash(*self.trace.finalize().as_bytes()),
                    Some(why) if self.now_ms > CALM_MS + PATIENCE_MS => panic!("no end: {why}"),
                    Some(_) => {}
                }
            }
        }
        panic!("nothing happens any more");
    }

    fn trace(&mut self, event: &Event) {
        let note = match event {
            Event::Dial(a, b) => format!("dial {a} {b}"),
            Event::Break(a, b, _) => format!("break {a} {b}"),
            Event::Part => "part".to_owned(),
            Event::Heal => "heal".to_owned(),
            Event::Calm => "calm".to_owned(),
            Event::Start(n) => format!("start {n}"),
            Event::Crash(n, point) => format!("crash {n} {point:?}"),
            Event::Chatter(n) => format!("chatter {n}"),
            Event::Admit(n) => format!("admit {n}"),
            Event::Tick(n, _) => format!("tick {n}"),
            Event::Request { from, to, bytes, .. } => {
                format!("request {from} {to} {}", blake3::hash(bytes))
            }
            Event::Response { from, to, result, .. } => match result {
                Ok(bytes) => format!("response {from} {to} {}", blake3::hash(bytes)),
                Err(error) => format!("response {from} {to} {error}"),
            },
            Event::Gossip { from, to, length, .. } => format!("gossip {from} {to} {length}"),
            Event::Read { node, read, .. } => format!("read {node} {read:?}"),
            Event::Ingest { node, range, .. } => format!("ingest {node} {}", range.end()),
            Event::Effect(n, _, effect) => format!("effect {n} {effect:?}"),
            Event::Inputs(n, _, inputs) => format!("inputs {n} {inputs:?}"),
        };
        self.trace.update(&self.now_ms.to_le_bytes());
        self.trace.update(note.as_bytes());
        if self.loud && !matches!(event, Event::Tick(..) | Event::Dial(..)) {
            println!("{:>8} {note}", self.now_ms);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Dial(a, b) => self.dial(a, b),
            Event::Break(a, b, connection) => {
                if self.net.connection(a, b) == Some(connection) && !self.net.reaches(a, b) {
                    self.disconnect(a, b);
                }
            }
            Event::Part => self.part(),
            Event::Heal => self.net.part(BTreeSet::new()),
            Event::Calm => self.calm_down(),
            Event::Start(n) => self.start(n),
            Event::Crash(n, point) => self.plan_crash(n, point),
            Event::Chatter(n) => self.chatter(n),
            Event::Admit(n) => self.admit(n),
            Event::Tick(n, life) => {
                if self.is_alive(n, life) {
                    self.later(TICK_MS, Event::Tick(n, life));
                    self.sync(n, Input::Tick);
                    self.agent(n, agent::Input::Tick);
                }
            }
            Event::Request { from, to, connection, id, bytes } => {
                self.request_arrives(from, to, connection, id, bytes)
            }
            Event::Response { from, to, connection, id, result } => {
                if self.net.connection(from, to) == Some(connection) {
                    let peer = self.nodes[from].id;
                    self.sync(to, Input::Response { peer, id, result });
                }
            }
            Event::Gossip { from, to, author, length } => {
                let peer = self.nodes[from].id;
                if self.net.connection(from, to).is_some() {
                    let heard = Input::Heard { peer, author, length };
                    self.sync(to, heard);
                }
            }
            Event::Read { node, life, read } => self.read(node, life, &read),
            Event::Ingest { node, life, peer, range } => self.ingest(node, life, peer, range),
            Event::Effect(n, life, effect) => self.effect(n, life, effect),
            Event::Inputs(n, life, inputs) => {
                for input in inputs {
                    if self.is_alive(n, life) {
                        self.agent(n, input);
                    }
                }
            }
        }
    }

    fn is_alive(&self, n: usize, life: u64) -> bool {
        self.nodes[n].memory.is_some() && self.nodes[n].life == life
    }

    fn dial(&mut self, a: usize, b: usize) {
        let again = self.rng.range(500..2_500);
        self.later(again, Event::Dial(a, b));
        let up = self.nodes[a].memory.is_some() && self.nodes[b].memory.is_some();
        if up && self.net.connect(a, b, self.now_ms) {
            let (id_a, id_b) = (self.nodes[a].id, self.nodes[b].id);
            self.sync(a, Input::Connected(id_b));
            self.sync(b, Input::Connected(id_a));
        }
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        if self.net.disconnect(a, b) {
            let (id_a, id_b) = (self.nodes[a].id, self.nodes[b].id);
            self.sync(a, Input::Disconnected(id_b));
            self.sync(b, Input::Disconnected(id_a));
        }
    }

    fn part(&mut self) {
        if self.calm {
            return;
        }
        self.count("partitions");
        let all = 0..self.nodes.len();
        let island: BTreeSet<usize> = all.filter(|_| self.rng.percent(50)).collect();
        self.net.part(island);
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                // It takes a while until a connection that carries nothing is given up.
                let after = self.rng.range(0..15_000);
                if let Some(connection) = self.net.connection(a, b) {
                    self.later(after, Event::Break(a, b, connection));
                }
            }
        }
        let heals = self.rng.range(2_000..40_000);
        self.later(heals, Event::Heal);
    }

    fn calm_down(&mut self) {
        self.calm = true;
        self.net.part(BTreeSet::new());
        self.net.weather = Weather::default();
        self.trouble = Trouble::default();
    }

    fn start(&mut self, n: usize) {
        if self.nodes[n].memory.is_some() {
            return;
        }
        if self.nodes[n].swarm == SwarmId([0; 32]) {
            self.nodes[n].swarm = self.nodes[0].swarm;
        }
        let entropy = self.rng.next();
        let inputs = self.nodes[n].start(entropy);
        for input in inputs {
            self.sync(n, input);
        }
        let life = self.nodes[n].life;
        self.later(TICK_MS, Event::Tick(n, life));
        let name = format!("node {n}");
        let memory = self.nodes[n].memory();
        let drafts = memory.agent.as_ref().map(|agent| agent.started(&name, "simulated"));
        // The founder's first event is the founding.
        let founded = self.nodes[n].length_of(&self.nodes[0].id) > 0 || n > 0;
        if let Some(drafts) = drafts.filter(|_| founded) {
            self.append(n, &drafts);
        }
    }

    fn plan_crash(&mut self, n: usize, point: Option<CrashPoint>) {
        match (self.calm || self.nodes[n].memory.is_none(), point) {
            (true, _) => {}
            (false, Some(point)) => self.nodes[n].store.crash_in_next_commit(point),
            (false, None) => self.crash(n),
        }
    }

    fn crash(&mut self, n: usize) {
        self.count("crashes");
        self.nodes[n].memory = None;
        self.nodes[n].store.crash();
        for other in 0..self.nodes.len() {
            self.disconnect(n, other);
        }
        let after = self.rng.range(500..30_000);
        self.later(after, Event::Start(n));
    }

    fn chatter(&mut self, n: usize) {
        if self.nodes[n].memory.is_none() || self.calm {
            return;
        }
        let drafts: Vec<Draft> = (0..self.rng.range(1..6))
            .map(|_| {
                let len = self.rng.index(250);
                Draft::general(AgentStarted {
                    name: "x".repeat(len),
                    version: "simulated".to_owned(),
                    process: self.rng.next(),
                    works: false,
                    capabilities: Vec::new(),
                })
            })
            .collect();
        self.append(n, &drafts);
        if self.nodes[n].is_evil && self.nodes[n].memory.is_some() {
            let to = self.rng.index(self.nodes.len());
            let noise = self.rng.range(0..60);
            let bytes = (0..noise).map(|_| self.rng.next().to_le_bytes()[0]).collect();
            self.send(n, to, u64::MAX, bytes);
        }
    }

    fn admit(&mut self, n: usize) {
        if self.nodes[0].memory.is_none() {
            return self.later(1_000, Event::Admit(n));
        }
        let member = self.nodes[n].id;
        if self.nodes[0].memory().fold.state().members.members.contains_key(&member) {
            return;
        }
        let admitted = MemberAdmitted {
            member,
            role: if self.nodes[n].is_evil { Role::Replica } else { Role::Agent },
            name: format!("node {n}"),
        };
        if !self.append(0, &[Draft::general(admitted)]) {
            self.later(1_000, Event::Admit(n));
        }
    }

    /// Appends to a node's own log. False if the node crashed meanwhile.
    fn append(&mut self, n: usize, drafts: &[Draft]) -> bool {
        if self.loud {
            let said: Vec<_> = drafts.iter().map(|draft| draft.payload.name()).collect();
            println!("{:>8} node {n} says {said:?}", self.now_ms);
        }
        match self.nodes[n].append(drafts, self.now_ms) {
            Ok(length) => {
                self.count("appends");
                let author = self.nodes[n].id;
                self.sync(n, Input::Local { author, length });
                self.grown(n, author, length);
                true
            }
            Err(Crashed) => {
                self.crash(n);
                false
            }
        }
    }

    /// A log in a node's store grew: others may hear of it, and the members may be others now.
    fn grown(&mut self, n: usize, author: AuthorId, length: u64) {
        for to in 0..self.nodes.len() {
            if self.net.connection(n, to).is_some() && self.rng.percent(self.gossip) {
                let after = self.rng.range(1..60);
                let gossip = Event::Gossip { from: n, to, author, length };
                self.later(after, gossip);
            }
        }
        if let Some(members) = self.nodes[n].members() {
            self.sync(n, members);
        }
    }

    fn sync(&mut self, n: usize, input: Input) {
        let Some(memory) = &mut self.nodes[n].memory else {
            return;
        };
        for output in memory.sync.handle(self.now_ms, input) {
            self.carry_out(n, output);
        }
    }

    fn carry_out(&mut self, n: usize, output: Output) {
        let life = self.nodes[n].life;
        match output {
            Output::Request { peer, id, bytes } => {
                let to = self.index_of(&peer);
                self.send(n, to, id, bytes);
            }
            Output::Respond { id, bytes, .. } => self.respond(n, id, bytes),
            read @ Output::Read { .. } => {
                let after = self.rng.range(0..20);
                let node = n;
                self.later(after, Event::Read { node, life, read });
            }
            Output::Ingest { peer, range } => {
                let after = self.rng.range(0..20);
                let ingest = Event::Ingest { node: n, life, peer, range };
                self.later(after, ingest);
            }
            Output::Penalise { peer, reason, seconds } => {
                let whom = self.index_of(&peer);
                if self.nodes[n].is_evil {
                    return;
                }
                assert!(self.nodes[whom].is_evil, "node {n} penalised node {whom}: {reason}");
                self.count("penalties");
                self.net.ban(n, whom, self.now_ms + seconds * 1000);
                self.disconnect(n, whom);
            }
        }
    }

    fn index_of(&self, id: &AuthorId) -> usize {
        let found = self.nodes.iter().position(|node| node.id == *id);
        found.expect("one of the nodes")
    }

    fn send(&mut self, from: usize, to: usize, id: u64, bytes: Vec<u8>) {
        let Some(connection) = self.net.connection(from, to) else {
            return;
        };
        self.count("requests");
        match self.net.fate(from, to, &mut self.rng) {
            Fate::Arrives(copies) => {
                for after in copies {
                    let bytes = bytes.clone();
                    let request = Event::Request { from, to, connection, id, bytes };
                    self.later(after, request);
                }
            }
            Fate::Broken => self.answer(to, from, connection, id, 5, Err("broken".to_owned())),
        }
    }

    fn answer(
        &mut self,
        from: usize,
        to: usize,
        connection: u64,
        id: u64,
        after_ms: u64,
        result: Result<Vec<u8>, String>,
    ) {
        let response = Event::Response { from, to, connection, id, result };
        self.later(after_ms, response);
    }

    fn request_arrives(
        &mut self,
        from: usize,
        to: usize,
        connection: u64,
        id: u64,
        bytes: Vec<u8>,
    ) {
        if self.net.connection(from, to) != Some(connection) {
            return;
        }
        let peer = self.nodes[from].id;
        let memory = self.nodes[to].memory();
        memory.served += 1;
        let serve = memory.served;
        memory.serving.insert(serve, (from, id));
        let id = serve;
        self.sync(to, Input::Request { peer, id, bytes });
    }

    fn respond(&mut self, n: usize, id: u64, bytes: Vec<u8>) {
        let Some((asker, their_id)) = self.nodes[n].memory().serving.remove(&id) else {
            return;
        };
        let mut bytes = Some(bytes);
        if self.nodes[n].is_evil && self.rng.percent(70) {
            let logs: Vec<AuthorId> = self.nodes.iter().map(|node| node.id).collect();
            bytes = bytes.and_then(|bytes| evil::mangle(bytes, &logs, &mut self.rng));
        }
        let (Some(bytes), Some(connection)) = (bytes, self.net.connection(n, asker)) else {
            return;
        };
        match self.net.fate(n, asker, &mut self.rng) {
            Fate::Arrives(copies) => {
                for after in copies {
                    self.answer(n, asker, connection, their_id, after, Ok(bytes.clone()));
                }
            }
            Fate::Broken => {
                self.answer(n, asker, connection, their_id, 5, Err("broken".to_owned()));
            }
        }
    }

    fn read(&mut self, n: usize, life: u64, read: &Output) {
        let Output::Read { peer, id, author, from, max_bytes } = *read else {
            unreachable!("only reads are queued as reads");
        };
        if !self.is_alive(n, life) {
            return;
        }
        let max_bytes = usize::try_from(max_bytes).expect("a small number");
        let range = Range::read(&self.nodes[n].store, author, from, max_bytes);
        let result = range.map_err(|error| error.to_string());
        self.sync(n, Input::ReadDone { peer, id, result });
    }

    fn ingest(&mut self, n: usize, life: u64, peer: AuthorId, range: Range) {
        if !self.is_alive(n, life) {
            return;
        }
        let author = range.author;
        match self.nodes[n].ingest(range) {
            Err(Crashed) => self.crash(n),
            Ok(result) => {
                let length = result.as_ref().ok().copied();
                let ingested = Input::Ingested { peer, author, result };
                self.sync(n, ingested);
                if let Some(length) = length {
                    self.count("ranges");
                    self.grown(n, author, length);
                    self.agent(n, agent::Input::Tick);
                }
            }
        }
    }

    /// Lets a node's agent decide, again and again until it has nothing more to say.
    fn agent(&mut self, n: usize, input: agent::Input) {
        let mut input = input;
        for _ in 0..1000 {
            let now = self.nodes[n].now(self.now_ms);
            let entropy = self.rng.next();
            let Some(memory) = &mut self.nodes[n].memory else {
                return;
            };
            let Some(agent) = &mut memory.agent else {
                return;
            };
            let mut said = false;
            for effect in agent.step(memory.fold.state(), input, now, entropy) {
                if let Effect::Append(drafts) = effect {
                    if !self.append(n, &drafts) {
                        return;
                    }
                    said = true;
                } else {
                    let life = self.nodes[n].life;
                    let after = outside::duration_ms(&effect, &mut self.rng);
                    self.later(after, Event::Effect(n, life, effect));
                }
            }
            if !said {
                return;
            }
            input = agent::Input::Tick;
        }
        panic!("node {n} never stops talking");
    }

    fn effect(&mut self, n: usize, life: u64, effect: Effect) {
        let alive = self.is_alive(n, life);
        if alive || outside::is_on_the_wire(&effect) {
            let inputs = self.outside.execute(effect, self.trouble, &mut self.rng);
            if alive {
                let after = self.rng.range(1..300);
                self.later(after, Event::Inputs(n, life, inputs));
            }
        }
    }

    /// Why the run is not over yet, if it is not.
    fn unfinished(&self) -> Option<String> {
        let honest = || self.nodes.iter().filter(|node| !node.is_evil);
        let mut held = None;
        let mut digest = None;
        for node in honest() {
            let Some(memory) = &node.memory else {
                return Some("a node is down".to_owned());
            };
            let state = memory.fold.state();
            if state.members.members.len() < self.nodes.len() {
                return Some("a member is not admitted".to_owned());
            }
            let unfinished = self.outside.tasks().find_map(|(issue, _)| {
                let task = state.task(REPOSITORY, issue);
                let over = task.is_some_and(super::is_over);
                (!over).then(|| format!("{issue} is {:?}", task.map(|task| task.status())))
            });
            if let Some(task) = unfinished {
                return Some(format!("issue {task}"));
            }
            let logs = node.held();
            if *held.get_or_insert_with(|| logs.clone()) != logs {
                return Some(format!("logs differ: {held:?} and {logs:?}"));
            }
            let theirs = (state.digest(), state);
            let (ours, first) = *digest.get_or_insert(theirs);
            if ours != theirs.0 {
                let [a, b] = [first, state].map(|state| serde_json::to_string(state));
                panic!("one set of events, and two digests:\n{a:?}\n{b:?}");
            }
        }
        None
    }
}

fn agent_config() -> AgentConfig {
    let repository = ("sim://repo".to_owned(), "main".to_owned());
    AgentConfig {
        works: true,
        review: true,
        labels: Vec::new(),
        capabilities: Vec::new(),
        max_tasks: 1,
        lease_ms: 30_000,
        plan_window_ms: 10_000,
        max_plan_revisions: 2,
        poll_ms: 5_000,
        command_seconds: 60,
        context_bytes: 16 * 1024,
        max_tokens: 1000,
        budget: Budget {
            commands: 20,
            answers: 40,
            tokens: 1_000_000,
            wall_ms: 60 * 60 * 1000,
            retries: 4,
        },
        repositories: [(REPOSITORY.to_owned(), repository)].into(),
    }
}
