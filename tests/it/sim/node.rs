//! A simulated node: a store that survives crashes, and the real machines that do not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bzzz::engine::{self, Engine, EngineError};
use bzzz::kernel::agent::{Agent, AgentConfig, Now};
use bzzz::kernel::event::Draft;
use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::kernel::log::{Hash, LogStore, MAX_LENGTH, Range, StoreError};
use bzzz::kernel::sync::{Config, IngestError, Input, Sync};

use super::store::SimStore;

/// The wall clocks of the nodes start near this time, in milliseconds since 1970.
const START_MS: u64 = 1_800_000_000_000;

/// What the simulated nodes wait for; shorter than in production, so that runs are short.
fn sync_config() -> Config {
    Config { frontier_every_ms: 3_000, request_timeout_ms: 5_000, ..Config::default() }
}

/// The machine crashed in a commit.
#[derive(Debug)]
pub(super) struct Crashed;

/// What a crash takes away.
pub(super) struct Memory {
    pub(super) sync: Sync,
    pub(super) engine: Engine,
    pub(super) agent: Option<Agent>,
    told: Option<(BTreeSet<AuthorId>, BTreeMap<AuthorId, u64>)>,
    /// The requests that are being answered: whose, and the name that the asker gave it.
    pub(super) serving: BTreeMap<u64, (usize, u64)>,
    pub(super) served: u64,
}

pub(super) struct Node {
    pub(super) key: SecretKey,
    pub(super) id: AuthorId,
    pub(super) store: Arc<SimStore>,
    /// How far the wall clock is ahead of the true time, in milliseconds.
    pub(super) skew_ms: u64,
    /// How often the node was started.
    pub(super) life: u64,
    pub(super) memory: Option<Memory>,
    /// Every length and root that the store acknowledged.
    pub(super) acknowledged: BTreeMap<(AuthorId, u64), Hash>,
    pub(super) agent_config: Option<AgentConfig>,
    /// It answers wrongly on purpose.
    pub(super) is_evil: bool,
    /// It says what it must not.
    pub(super) attacks: bool,
    /// It is no member any more, so that nobody tells it anything.
    pub(super) is_revoked: bool,
}

impl Node {
    pub(super) fn now(&self, now_ms: u64) -> Now {
        Now { wall_ms: START_MS + self.skew_ms + now_ms, mono_ms: now_ms }
    }

    /// Founds the swarm in the node's empty store.
    pub(super) fn found(&self) -> SwarmId {
        let wall_ms = self.now(0).wall_ms;
        let founding = engine::found(&self.key, "simulated", [7; 16], wall_ms);
        let founding = founding.expect("a short name");
        let swarm = founding.swarm;
        founding.commit(&*self.store, &self.key).expect("an empty store");
        swarm
    }

    /// Starts the node from what its store holds: all that was ever acknowledged must be there.
    pub(super) fn start(&mut self, swarm: SwarmId, now_ms: u64, entropy: u64) -> Vec<Input> {
        self.store.crash();
        self.life += 1;
        self.check_acknowledged();
        let store: Arc<dyn LogStore> = Arc::<SimStore>::clone(&self.store);
        let wall_ms = self.now(now_ms).wall_ms;
        let engine = Engine::open(store, self.key.clone(), swarm, wall_ms);
        let engine = engine.expect("the store is whole");
        let lengths = engine.lengths().into_iter();
        let local = |(author, length)| {
            let (_, root) = engine.tip(&author);
            Input::Local { author, length, root }
        };
        let inputs = lengths.map(local).collect();
        let config = self.agent_config.clone();
        let process = self.life * 1000 + entropy % 1000;
        self.memory = Some(Memory {
            sync: Sync::new(swarm, sync_config(), entropy),
            engine,
            agent: config.map(|config| Agent::new(self.id, swarm, process, config)),
            told: None,
            serving: BTreeMap::new(),
            served: 0,
        });
        inputs
    }

    pub(super) fn memory(&mut self) -> &mut Memory {
        self.memory.as_mut().expect("the node is up")
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.memory.as_ref().expect("the node is up").engine
    }

    /// What `sync` is to know of the members, if it changed since it was told. Before the founding
    /// is known, any log may be the founder's.
    pub(super) fn members(&mut self, candidates: &[AuthorId]) -> Option<Input> {
        let memory = self.memory();
        let (mut peers, mut logs, founded) = memory.engine.read(|state| {
            let all = state.members.members.iter();
            let logs = all.map(|(author, m)| (*author, m.stands_to().unwrap_or(MAX_LENGTH)));
            let logs: BTreeMap<_, _> = logs.collect();
            (state.members.present(), logs, state.members.founded.is_some())
        });
        if !founded {
            peers.extend(candidates);
            logs.extend(candidates.iter().map(|author| (*author, MAX_LENGTH)));
        }
        let told = Some((peers.clone(), logs.clone()));
        if memory.told == told {
            return None;
        }
        memory.told = told;
        Some(Input::Members { peers, logs })
    }

    /// Appends drafts as one. Returns the new length of the log.
    pub(super) fn append(&mut self, drafts: &[Draft], now_ms: u64) -> Result<u64, Crashed> {
        let wall_ms = self.now(now_ms).wall_ms;
        match self.engine().append(drafts.to_vec(), wall_ms) {
            Ok(appended) => {
                let length = appended.from + appended.ids.len() as u64;
                self.acknowledge(self.id, length);
                Ok(length)
            }
            Err(EngineError::Store(StoreError::Io { .. })) => Err(Crashed),
            Err(error) => panic!("node {:?}: {error}", self.id),
        }
    }

    /// Verifies a range and stores it. Returns the new length of the log.
    pub(super) fn ingest(
        &mut self,
        range: Range,
        now_ms: u64,
    ) -> Result<Result<(u64, Hash), IngestError>, Crashed> {
        let (author, wall_ms) = (range.author, self.now(now_ms).wall_ms);
        let error = match self.engine().ingest(range, wall_ms) {
            Ok(length) => {
                self.acknowledge(author, length);
                return Ok(Ok(self.engine().tip(&author)));
            }
            Err(error) => error,
        };
        Ok(Err(match error {
            engine::IngestError::Gap { expected, .. } => IngestError::Gap { length: expected },
            engine::IngestError::Invalid(error) => IngestError::Invalid(error.to_string()),
            engine::IngestError::Withheld(_) => IngestError::Invalid(error.to_string()),
            engine::IngestError::Events(error) => IngestError::Invalid(error.to_string()),
            engine::IngestError::NotAMember(_) => IngestError::NotAMember,
            engine::IngestError::Conflict { .. } => IngestError::Conflict,
            engine::IngestError::OtherBranch(_) => IngestError::OtherBranch,
            engine::IngestError::OwnLog => IngestError::OwnLog,
            engine::IngestError::Engine(EngineError::Store(StoreError::Io { .. })) => {
                return Err(Crashed);
            }
            engine::IngestError::Engine(error) => panic!("node {:?}: {error}", self.id),
        }))
    }

    fn acknowledge(&mut self, author: AuthorId, length: u64) {
        let head = self.store.newest_head(&author).expect("the store is open");
        let head = head.filter(|head| head.length == length).expect("the head of the append");
        self.acknowledged.insert((author, length), head.root);
    }

    /// Nothing that the store acknowledged is lost or changed.
    pub(super) fn check_acknowledged(&self) {
        for ((author, length), root) in &self.acknowledged {
            let heads = self.store.heads(author, length - 1, 1).expect("the store is open");
            let found = heads.first().map(|head| (head.length, head.root));
            let expected = Some((*length, *root));
            assert_eq!(found, expected, "{:?} lost acknowledged events of {author:?}", self.id);
        }
    }

    /// Whether the swarm's end is to be found in this node.
    pub(super) fn counts(&self) -> bool {
        !self.is_evil && !self.is_revoked
    }

    pub(super) fn stands(&self, author: &AuthorId, seq: u64) -> bool {
        self.engine().read(|state| state.members.stands(author, seq))
    }

    /// The logs that the node holds, former members' as far as they stand: lengths and roots.
    pub(super) fn held_as_it_stands(&self) -> BTreeMap<AuthorId, (u64, Hash)> {
        let members = self.engine().read(|state| state.members.members.clone());
        let mut held = self.held();
        for (author, (length, root)) in &mut held {
            let stands = members.get(author).and_then(|member| member.revoked_at);
            if let Some(stands) = stands.filter(|stands| stands <= length) {
                (*length, *root) = (stands, Hash([0; 32]));
            }
        }
        held.retain(|_, (length, _)| *length > 0);
        held
    }

    /// The logs that the node holds: lengths and roots.
    pub(super) fn held(&self) -> BTreeMap<AuthorId, (u64, Hash)> {
        let logs = self.store.logs().expect("the store is open");
        let held = logs.into_iter().map(|info| {
            let head = self.store.newest_head(&info.author).expect("the store is open");
            let head = head.expect("a log has a head");
            assert_eq!(head.length, info.length, "the newest head covers the log");
            (info.author, (head.length, head.root))
        });
        held.collect()
    }
}
