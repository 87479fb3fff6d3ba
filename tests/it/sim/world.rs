//! The world: one queue of what will happen, under one virtual clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bzzz::kernel::agent::{self, AgentConfig, Effect};
use bzzz::kernel::fold::SwarmState;
use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::kernel::log::{Hash, Range};
use bzzz::kernel::sync::{Input, Output};

use super::acts::agent_config;
use super::net::{Network, Weather};
use super::node::Node;
use super::outside::{Outside, REPOSITORY, Trouble};
use super::rng::Rng;
use super::store::CrashPoint;

/// What a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Play {
    /// Nodes append at random, and logs replicate.
    Logs,
    /// Agents take the tasks of a board.
    Agents,
    /// They do so among members that attack their discussions.
    Attacks,
    /// Two agents of different capabilities share tasks; the outside gives no trouble.
    Skills,
}

/// What the two nodes of [`Play::Skills`] can do, each one thing.
pub(super) const SKILLS: [&str; 2] = ["rust", "docker"];

/// Faults end at the latest at this time, in milliseconds; then the swarm must come to an end.
const CALM_MS: u64 = 90_000;

/// How many members attack, how often each, and for how long: beyond the end of most tasks.
const ATTACKERS: u64 = 3;
const ATTACKS: u64 = 60;
const ATTACKS_MS: u64 = 240_000;

/// How long the swarm has for that, in milliseconds of virtual time.
const PATIENCE_MS: u64 = 60 * 60 * 1000;

pub(super) const TICK_MS: u64 = 500;

pub(super) enum Event {
    Dial(usize, usize),
    Break(usize, usize, u64),
    Part,
    Heal,
    Calm,
    Start(usize),
    Crash(usize, Option<CrashPoint>),
    Chatter(usize),
    Admit(usize),
    Revoke(usize),
    Attack(usize),
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
    pub(super) now_ms: u64,
    pub(super) events: u64,
    pub(super) queue: BTreeMap<(u64, u64), Event>,
    pub(super) rng: Rng,
    pub(super) play: Play,
    pub(super) swarm: SwarmId,
    pub(super) nodes: Vec<Node>,
    pub(super) net: Network,
    pub(super) outside: Outside,
    pub(super) trouble: Trouble,
    /// How often in a hundred gossip arrives; in some runs never.
    pub(super) gossip: u64,
    pub(super) calm: bool,
    /// The attacks that are still to come.
    pub(super) attacks: u64,
    /// Tells all that happens, for whoever looks into one seed.
    pub(super) loud: bool,
    pub(super) trace: blake3::Hasher,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

impl World {
    pub(super) fn new(seed: u64, play: Play) -> Self {
        let mut rng = Rng::new(seed);
        let (count, has_evil) = (rng.range(3..6), rng.percent(40));
        let (count, has_evil) = match play {
            Play::Skills => (SKILLS.len() as u64, false),
            Play::Logs | Play::Agents | Play::Attacks => (count, has_evil),
        };
        let mut world = Self {
            now_ms: 0,
            events: 0,
            queue: BTreeMap::new(),
            play,
            swarm: SwarmId([0; 32]),
            nodes: Vec::new(),
            net: Network::default(),
            outside: match play {
                Play::Logs => Outside::new(0),
                Play::Agents | Play::Attacks => Outside::new(4),
                Play::Skills => Outside::wanted(),
            },
            trouble: Trouble {
                refused: rng.range(0..8),
                unanswered: rng.range(0..8),
                speechless: rng.range(0..8),
                nonsense: rng.range(0..8),
                sandbox: rng.range(0..8),
            },
            gossip: if rng.percent(30) { 0 } else { rng.range(20..100) },
            calm: false,
            attacks: 0,
            loud: false,
            trace: blake3::Hasher::new(),
            counts: BTreeMap::new(),
            rng,
        };
        if play == Play::Skills {
            world.trouble = Trouble::default();
        }
        world.net.weather = Weather {
            lost: world.rng.range(0..12),
            twice: world.rng.range(0..12),
            slow: world.rng.range(0..12),
            broken: world.rng.range(0..6),
        };
        for n in 0..count {
            let is_evil = has_evil && n + 1 == count;
            world.add_node(is_evil);
        }
        for _ in 0..if play == Play::Attacks { ATTACKERS } else { 0 } {
            world.add_node(false);
            let attacker = world.nodes.last_mut().expect("it was just added");
            (attacker.attacks, attacker.agent_config) = (true, None);
        }
        world.plan_the_run();
        world
    }

    pub(super) fn add_node(&mut self, is_evil: bool) {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.rng.next().to_le_bytes());
        let key = SecretKey::from_seed(&seed);
        let id = key.author();
        let works = self.play != Play::Logs && !is_evil;
        let capabilities = match self.play {
            Play::Skills => vec![SKILLS[self.nodes.len()].to_owned()],
            Play::Logs | Play::Agents | Play::Attacks => Vec::new(),
        };
        // Some clocks are further ahead than others put up with: their events are held back.
        let ahead = self.rng.percent(15);
        let node = Node {
            key,
            id,
            store: Arc::default(),
            skew_ms: self.rng.range(if ahead { 300_000..420_000 } else { 0..3_000 }),
            life: 0,
            memory: None,
            acknowledged: BTreeMap::new(),
            agent_config: works.then(|| AgentConfig { capabilities, ..agent_config() }),
            is_evil,
            attacks: false,
            is_revoked: false,
        };
        self.nodes.push(node);
        if self.nodes.len() == 1 {
            self.swarm = self.nodes[0].found();
        }
    }

    pub(super) fn plan_the_run(&mut self) {
        let count = self.nodes.len();
        for a in 0..count {
            let at = self.rng.range(0..2_000);
            self.later(at, Event::Start(a));
            if a > 0 {
                let at = self.rng.range(0..10_000);
                self.later(at, Event::Admit(a));
            }
            for b in a + 1..count {
                let at = self.rng.range(0..2_000);
                self.later(at, Event::Dial(a, b));
            }
            if self.nodes[a].attacks {
                self.later(15_000, Event::Chatter(a));
                for _ in 0..ATTACKS {
                    self.attacks += 1;
                    let at = self.rng.range(0..ATTACKS_MS);
                    self.later(at, Event::Attack(a));
                }
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
        if self.play == Play::Logs && self.rng.percent(30) {
            let at = self.rng.range(15_000..CALM_MS);
            self.later(at, Event::Revoke(1));
        }
        self.later(CALM_MS, Event::Calm);
    }

    pub(super) fn later(&mut self, after_ms: u64, event: Event) {
        self.events += 1;
        self.queue.insert((self.now_ms + after_ms, self.events), event);
    }

    pub(super) fn count(&mut self, what: &'static str) {
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

    pub(super) fn trace(&mut self, event: &Event) {
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
            Event::Revoke(n) => format!("revoke {n}"),
            Event::Attack(n) => format!("attack {n}"),
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

    pub(super) fn happen(&mut self, event: Event) {
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
            Event::Revoke(n) => self.revoke(n),
            Event::Attack(n) => self.attack(n),
            Event::Tick(n, life) => {
                if self.is_alive(n, life) {
                    self.later(TICK_MS, Event::Tick(n, life));
                    self.tick(n);
                }
            }
            Event::Request { from, to, connection, id, bytes } => {
                self.request_arrives(from, to, connection, id, bytes);
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

    pub(super) fn tick(&mut self, n: usize) {
        let wall_ms = self.nodes[n].now(self.now_ms).wall_ms;
        let engine = self.nodes[n].engine();
        engine.release(wall_ms).expect("the store is whole");
        if self.rng.percent(3) {
            engine.snapshot().expect("the store takes a cache");
        }
        self.tell_members(n);
        self.sync(n, Input::Tick);
        self.agent(n, agent::Input::Tick);
    }

    pub(super) fn is_alive(&self, n: usize, life: u64) -> bool {
        self.nodes[n].memory.is_some() && self.nodes[n].life == life
    }

    /// Why the run is not over yet, if it is not.
    pub(super) fn unfinished(&mut self) -> Option<String> {
        if self.nodes[0].memory.is_none() {
            return Some("the founder is down".to_owned());
        }
        if self.attacks > 0 {
            return Some("the attackers are not done".to_owned());
        }
        let present = self.nodes[0].engine().read(|state| state.members.present());
        for node in &mut self.nodes {
            node.is_revoked = !present.contains(&node.id);
        }
        let honest = || self.nodes.iter().filter(|node| node.counts());
        let mut held = None;
        let mut first: Option<SwarmState> = None;
        for node in honest() {
            if node.memory.is_none() {
                return Some("a node is down".to_owned());
            }
            let engine = node.engine();
            if let Some(why) = engine.read(|state| self.missing(state)) {
                return Some(why);
            }
            let logs = node.held_as_it_stands();
            if *held.get_or_insert_with(|| logs.clone()) != logs {
                return Some(format!("logs differ: {held:?} and {logs:?}"));
            }
            if engine.held() > 0 {
                return Some("events are held back".to_owned());
            }
            engine.read(|state| {
                let first = first.get_or_insert_with(|| state.clone());
                if first.digest() != state.digest() {
                    let [a, b] = [&*first, state].map(serde_json::to_string);
                    panic!("one set of events, and two digests:\n{a:?}\n{b:?}");
                }
            });
        }
        None
    }

    /// What a node does not know yet, or what is still to be done.
    pub(super) fn missing(&self, state: &SwarmState) -> Option<String> {
        if state.members.members.len() < self.nodes.len() {
            return Some("a member is not admitted".to_owned());
        }
        self.outside.tasks().find_map(|(issue, _)| {
            let task = state.task(REPOSITORY, issue);
            let over = task.is_some_and(|task| super::is_over(state, task));
            (!over).then(|| format!("issue {issue} is {:?}", task.map(|task| task.status())))
        })
    }
}
