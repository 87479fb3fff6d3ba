//! A simulated node: a store that survives crashes, and the kernel's real machines that do not.

use std::collections::{BTreeMap, BTreeSet};

use bzzz::kernel::agent::{Agent, AgentConfig, Now};
use bzzz::kernel::event::{Clock, Draft, Event, Hlc};
use bzzz::kernel::fold::{Aggregate, EventSource, Fold, FoldError, Place};
use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::kernel::log::{
    Append, Hash, IndexEntry, LogStore, MAX_LENGTH, Range, RangeError, RecordRef, StoreError, Tip,
};
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
    pub(super) fold: Fold,
    pub(super) agent: Option<Agent>,
    clock: Clock,
    tips: BTreeMap<AuthorId, Tip>,
    told: Option<(BTreeSet<AuthorId>, BTreeMap<AuthorId, u64>)>,
    /// The requests that are being answered: whose, and the name that the asker gave it.
    pub(super) serving: BTreeMap<u64, (usize, u64)>,
    pub(super) served: u64,
}

pub(super) struct Node {
    pub(super) key: SecretKey,
    pub(super) id: AuthorId,
    pub(super) store: SimStore,
    pub(super) swarm: SwarmId,
    pub(super) founder: AuthorId,
    /// How far the wall clock is off, in milliseconds.
    pub(super) skew_ms: u64,
    /// How often the node was started.
    pub(super) life: u64,
    pub(super) memory: Option<Memory>,
    /// Every length and root that the store acknowledged.
    pub(super) acknowledged: BTreeMap<(AuthorId, u64), Hash>,
    pub(super) agent_config: Option<AgentConfig>,
    /// It answers wrongly on purpose.
    pub(super) is_evil: bool,
}

/// Reads events of a store again, for the fold.
struct Source<'a>(&'a SimStore);

impl EventSource for Source<'_> {
    fn places(&self, aggregate: &Aggregate) -> Result<Vec<Place>, FoldError> {
        let group = self.0.group(&aggregate.group()).map_err(fold_error)?;
        Ok(group.iter().map(Place::from_bytes).collect())
    }

    fn event(&self, place: &Place) -> Result<Event, FoldError> {
        let mut found = None;
        let visit = &mut |index, record: RecordRef<'_>| {
            found = Some(Event::read(place.author, index, record));
            false
        };
        self.0.scan(&place.author, place.seq, visit).map_err(fold_error)?;
        let event = found.ok_or_else(|| FoldError(format!("nothing at {place:?}")))?;
        event.map_err(|error| FoldError(error.to_string()))
    }

    fn aggregates_of(&self, author: &AuthorId) -> Result<BTreeSet<Aggregate>, FoldError> {
        let mut aggregates = BTreeSet::new();
        let visit = &mut |index, record: RecordRef<'_>| {
            let event = Event::read(*author, index, record).expect("it was read before");
            aggregates.extend(Aggregate::of(&event));
            true
        };
        self.0.scan(author, 0, visit).map_err(fold_error)?;
        Ok(aggregates)
    }
}

fn fold_error(error: StoreError) -> FoldError {
    FoldError(error.to_string())
}

impl Node {
    pub(super) fn now(&self, now_ms: u64) -> Now {
        Now { wall_ms: START_MS + self.skew_ms + now_ms, mono_ms: now_ms }
    }

    /// Starts the node from what its store holds: all that was ever acknowledged must be there.
    pub(super) fn start(&mut self, entropy: u64) -> Vec<Input> {
        self.store.crash();
        self.life += 1;
        let mut fold = Fold::new(self.swarm);
        let mut tips = BTreeMap::new();
        let mut clock = Clock::default();
        let mut inputs = Vec::new();
        for info in self.store.logs().expect("the store was opened anew") {
            let (author, length) = (info.author, info.length);
            let tip = Tip::open(&self.store, author).expect("the store is whole");
            tips.insert(author, tip);
            for event in self.events(&author) {
                clock.observe(event.header.clock);
                let _ = fold.apply(&event, &Source(&self.store)).expect("the store is whole");
            }
            inputs.push(Input::Local { author, length });
        }
        self.check_acknowledged();
        let config = self.agent_config.clone();
        let process = self.life * 1000 + entropy % 1000;
        let sync = Sync::new(self.swarm, sync_config(), entropy);
        let agent = config.map(|config| Agent::new(self.id, self.swarm, process, config));
        self.memory = Some(Memory {
            sync,
            fold,
            agent,
            clock,
            tips,
            told: None,
            serving: BTreeMap::new(),
            served: 0,
        });
        inputs.insert(0, self.members().expect("nothing was told yet"));
        inputs
    }

    fn events(&self, author: &AuthorId) -> Vec<Event> {
        let mut events = Vec::new();
        let visit = &mut |index, record: RecordRef<'_>| {
            events.push(Event::read(*author, index, record).expect("it was an event"));
            true
        };
        self.store.scan(author, 0, visit).expect("the store is whole");
        events
    }

    pub(super) fn memory(&mut self) -> &mut Memory {
        self.memory.as_mut().expect("the node is up")
    }

    /// What `sync` is to know of the members, if it changed since it was told.
    pub(super) fn members(&mut self) -> Option<Input> {
        let (id, founder) = (self.id, self.founder);
        let memory = self.memory();
        let members = &memory.fold.state().members;
        let mut peers = members.present();
        peers.extend([id, founder]);
        let all = members.members.iter();
        let mut logs: BTreeMap<_, _> = all
            .map(|(author, member)| (*author, member.revoked_at.unwrap_or(MAX_LENGTH)))
            .collect();
        for author in [id, founder] {
            logs.entry(author).or_insert(MAX_LENGTH);
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
        let (id, swarm, wall_ms) = (self.id, self.swarm, self.now(now_ms).wall_ms);
        let key = self.key.clone();
        let memory = self.memory();
        let tip = memory.tips.entry(id).or_insert_with(|| Tip::empty(id)).clone();
        let mut clock = Hlc::default();
        let mut records = Vec::new();
        for (seq, draft) in (tip.length()..).zip(drafts) {
            clock = memory.clock.tick(wall_ms).expect("the clock has room");
            records.push(draft.record(seq, clock).expect("drafts are short"));
        }
        let append = tip.append(&key, swarm, clock.0, records);
        self.commit(append)
    }

    /// Verifies a range and stores it. Returns the new length of the log.
    pub(super) fn ingest(&mut self, range: Range) -> Result<Result<u64, IngestError>, Crashed> {
        let (author, swarm) = (range.author, self.swarm);
        let memory = self.memory();
        let tip = memory.tips.entry(author).or_insert_with(|| Tip::empty(author));
        match tip.verify(&swarm, range) {
            Ok(append) => self.commit(append).map(Ok),
            Err(RangeError::Gap { expected: length, .. }) => Ok(Err(IngestError::Gap { length })),
            Err(error) => Ok(Err(IngestError::Invalid(error.to_string()))),
        }
    }

    fn commit(&mut self, append: Append) -> Result<u64, Crashed> {
        let author = append.author();
        let records = (append.from()..).zip(append.records());
        let events: Vec<Event> = records
            .map(|(index, record)| Event::read(author, index, record.as_ref()).expect("an event"))
            .collect();
        let index: Vec<IndexEntry> = events
            .iter()
            .filter_map(|event| Some(Aggregate::of(event)?.entry(Place::of(event))))
            .collect();
        let (length, root) = (append.length(), append.tip().root());
        match self.store.commit(std::slice::from_ref(&append), &index) {
            Ok(()) => {}
            Err(StoreError::Io { .. }) => return Err(Crashed),
            Err(error) => panic!("node {:?}: {error}", self.id),
        }
        self.acknowledged.insert((author, length), root);
        let memory = self.memory.as_mut().expect("the node is up");
        memory.tips.insert(author, append.tip().clone());
        for event in &events {
            memory.clock.observe(event.header.clock);
            let _ = memory.fold.apply(event, &Source(&self.store)).expect("the store is whole");
        }
        Ok(length)
    }

    /// Nothing that the store acknowledged is lost or changed.
    pub(super) fn check_acknowledged(&self) {
        for ((author, length), root) in &self.acknowledged {
            let heads = self.store.heads(author, length - 1, 1).expect("the store is open");
            let found = heads.first().map(|head| (head.length, head.root));
            assert_eq!(
                found,
                Some((*length, *root)),
                "node {:?} lost an acknowledged head of {author:?}",
                self.id
            );
        }
    }

    pub(super) fn length_of(&self, author: &AuthorId) -> u64 {
        let memory = self.memory.as_ref();
        memory.and_then(|memory| memory.tips.get(author)).map_or(0, Tip::length)
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
