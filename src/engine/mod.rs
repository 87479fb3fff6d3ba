//! The one way in: append (group commit), ingest (verify, then store), query, subscribe. The engine
//! owns a store and a fold; nothing else writes to the store.
//!
//! The engine never starts a thread and never reads a clock: the caller's thread does the work, and
//! the time is handed in, so that the simulator runs this very code.

mod append;
mod copy;
mod erase;
mod fork;
mod ingest;
mod merge;
mod open;
mod rotate;
mod source;
mod witness;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

pub use append::Appended;
pub use copy::{Copied, compare, copy};
pub use erase::{EraseError, ErasedEvent};
pub use fork::Stop;
pub use ingest::IngestError;
pub use open::{Founding, found};
pub use rotate::RotateError;
pub use source::StoreSource;

use crate::kernel::event::kinds::{Checkpoint, Frontier};
use crate::kernel::event::{
    Clock, ClockError, Draft, Event, EventError, EventId, Hlc, MAX_AHEAD_MS, SignedEvent, TaskId,
};
use crate::kernel::fold::{
    Aggregate, Applied, EventSource, FOLD_VERSION, Fold, FoldError, Place, SwarmState,
};
use crate::kernel::identity::{AuthorId, SecretKey, SwarmId};
use crate::kernel::log::{
    Hash, LogStore, MAX_APPEND_RECORDS, Range, ReadLimit, SignedHead, StoreError, Tip, TreeReader,
    prove_inclusion,
};

/// After this many events the fold's snapshot is written again.
const SNAPSHOT_EVERY: u64 = 20_000;

/// The name of the fold's snapshot among the store's caches.
const SNAPSHOT: &str = "fold";

/// Why the engine could not do its work.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An event that cannot be written.
    #[error("the event cannot be written: {0}")]
    Event(#[from] EventError),
    /// The clock.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The fold. The engine must be opened anew.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// An append of no events, or of more than one append can hold.
    #[error("an append has between 1 and {MAX_APPEND_RECORDS} events, not {0}")]
    Count(usize),
    /// The node has not compared its log with a peer's yet.
    #[error("this node has not compared its own log with a peer's yet; try again in a moment")]
    Waiting,
    /// The engine was opened without a key.
    #[error("the logs were opened to be read, without this node's key")]
    NoKey,
    /// The node appends nothing any more.
    #[error(transparent)]
    Stopped(#[from] Stop),
    /// The store's first log is not the founding log of this swarm.
    #[error("the store holds no founding event of swarm {0}")]
    NotFounded(SwarmId),
}

/// Events that are in the store now.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Whose log.
    pub author: AuthorId,
    /// The events, by rising index.
    pub events: Vec<Arc<Event>>,
    /// The log's length now.
    pub length: u64,
}

/// How many events of a log are read at once when their time has come.
const READ_AGAIN: usize = 1024;

fn is_ahead(clock: Hlc, now_ms: u64) -> bool {
    clock.ms() > now_ms.saturating_add(MAX_AHEAD_MS)
}

type Subscriber = Box<dyn Fn(&Committed) + Send + Sync>;

/// A store and its fold.
pub struct Engine {
    store: Arc<dyn LogStore>,
    me: AuthorId,
    /// None if it is opened to be read.
    key: Option<SecretKey>,
    swarm: SwarmId,
    queue: append::Queue,
    writer: Mutex<Writer>,
    view: RwLock<View>,
    witnessed: Mutex<witness::Witnessed>,
    subscribers: RwLock<Vec<Subscriber>>,
}

/// What only the one writer needs.
struct Writer {
    clock: Clock,
    since_snapshot: u64,
    /// The erased payloads that were seen to be out of the store.
    purged: BTreeMap<(AuthorId, u64), EventId>,
    own: fork::Own,
}

/// What readers see.
struct View {
    tips: BTreeMap<AuthorId, Tip>,
    fold: Fold,
    /// Logs whose next event comes from too far in the future, and its time. It and what stands
    /// behind it are in the store, and are read from there when their time has come.
    held: BTreeMap<AuthorId, Hlc>,
}

impl Engine {
    /// This node.
    #[must_use]
    pub fn me(&self) -> AuthorId {
        self.me
    }

    /// The swarm.
    #[must_use]
    pub fn swarm(&self) -> SwarmId {
        self.swarm
    }

    /// This node's key, for what is signed beside the log.
    ///
    /// # Panics
    /// If the engine was opened by [`Engine::open_to_read`], without a key.
    pub fn key(&self) -> &SecretKey {
        self.key.as_ref().expect("what signs opens the engine with its key")
    }

    /// The store, for reading.
    #[must_use]
    pub fn store(&self) -> &dyn LogStore {
        &*self.store
    }

    /// Looks at the state. The state does not change meanwhile, so the look should be short.
    pub fn read<T>(&self, look: impl FnOnce(&SwarmState) -> T) -> T {
        look(self.view().fold.state())
    }

    /// The length of every log.
    #[must_use]
    pub fn lengths(&self) -> BTreeMap<AuthorId, u64> {
        self.view().tips.iter().map(|(author, tip)| (*author, tip.length())).collect()
    }

    /// The digest of the state, and which events of each log it covers.
    #[must_use]
    pub fn digest(&self) -> (Hash, BTreeMap<AuthorId, u64>) {
        let view = self.view();
        (view.fold.state().digest(), view.fold.frontier().clone())
    }

    /// What this node can say of its own state.
    #[must_use]
    pub fn checkpoint(&self) -> Draft {
        let (digest, frontier) = self.digest();
        let frontier =
            frontier.into_iter().map(|(author, length)| Frontier { author, length }).collect();
        Draft::general(Checkpoint { fold_version: FOLD_VERSION, frontier, digest })
    }

    /// How many events are held back, since their time has not come.
    #[must_use]
    pub fn held(&self) -> u64 {
        let view = self.view();
        let folded = |author| view.fold.frontier().get(author).copied().unwrap_or(0);
        let stored = |author| view.tips.get(author).map_or(0, Tip::length);
        view.held.keys().map(|author| stored(author).saturating_sub(folded(author))).sum()
    }

    /// The length of a log and its root at that length.
    #[must_use]
    pub fn tip(&self, author: &AuthorId) -> (u64, Hash) {
        let view = self.view();
        let empty = || (0, Hash::root(0, &[]));
        view.tips.get(author).map_or_else(empty, |tip| (tip.length(), tip.root()))
    }

    /// The newest head of a log.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub fn head(&self, author: &AuthorId) -> Result<Option<SignedHead>, EngineError> {
        Ok(self.store.newest_head(author)?)
    }

    /// The next range of a log, for a peer that has it up to `from`.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub fn range(
        &self,
        author: AuthorId,
        from: u64,
        max_bytes: usize,
    ) -> Result<Option<Range>, EngineError> {
        Ok(Range::read(&*self.store, author, from, max_bytes)?)
    }

    /// The events among so many records of one log from an index on. A record whose header is
    /// malformed is none.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn events(
        &self,
        author: AuthorId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Event>, EngineError> {
        let mut events = Vec::new();
        self.store.scan(&author, from, &mut |index, record| {
            if index - from < limit as u64 {
                events.extend(Event::read(author, index, record));
            }
            index + 1 - from < limit as u64
        })?;
        Ok(events)
    }

    /// The events of a task in their total order.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn task_events(&self, task: TaskId) -> Result<Vec<Event>, EngineError> {
        let source = StoreSource(&*self.store);
        let places: Vec<Place> = source.places(&Aggregate::Task(task))?;
        Ok(places.iter().map(|place| source.event(place)).collect::<Result<_, _>>()?)
    }

    /// An event with its proof, under the log's present head. None if the log does not have it,
    /// or not yet: the store holds an append a moment before its head counts.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub fn signed_event(
        &self,
        author: &AuthorId,
        index: u64,
    ) -> Result<Option<SignedEvent>, EngineError> {
        let tip = self.view().tips.get(author).cloned();
        let Some(tip) = tip.filter(|tip| index < tip.length()) else {
            return Ok(None);
        };
        let Some(head) = self.store.heads(author, tip.length() - 1, 1)?.pop() else {
            return Ok(None);
        };
        let limit = ReadLimit { records: 1, bytes: usize::MAX };
        let Some(record) = self.store.records(author, index, limit)?.pop() else {
            return Ok(None);
        };
        let tree = TreeReader::new(&*self.store, &tip);
        let inclusion = prove_inclusion(&tree, index, tip.length())?;
        Ok(Some(SignedEvent { record, inclusion, head }))
    }

    /// Calls the subscriber with everything that is committed from now on, on the thread that
    /// committed it. It must be quick and must not call the engine's writing methods.
    pub fn subscribe(&self, subscriber: impl Fn(&Committed) + Send + Sync + 'static) {
        let mut all = self.subscribers.write().unwrap_or_else(PoisonError::into_inner);
        all.push(Box::new(subscriber));
    }

    /// Folds events that were held back and whose time has come.
    ///
    /// # Errors
    /// [`EngineError::Fold`].
    pub fn release(&self, now_ms: u64) -> Result<(), EngineError> {
        let due = |time: &Hlc| !is_ahead(*time, now_ms);
        if !self.view().held.values().any(due) {
            return Ok(());
        }
        let mut writer = self.writer();
        let held = self.view().held.clone();
        for author in held.iter().filter(|(_, time)| due(time)).map(|(author, _)| *author) {
            self.view.write().unwrap_or_else(PoisonError::into_inner).held.remove(&author);
            let mut from = self.view().fold.frontier().get(&author).copied().unwrap_or(0);
            let length = self.view().tips.get(&author).map_or(0, Tip::length);
            while from < length && !self.view().held.contains_key(&author) {
                let events = self.events(author, from, READ_AGAIN)?;
                let events: Vec<_> = events.into_iter().map(Arc::new).collect();
                self.fold_in(&mut writer, author, &events, now_ms)?;
                self.purge_after(&mut writer, events.iter().map(|event| &**event))?;
                from += READ_AGAIN as u64;
            }
        }
        Ok(())
    }

    /// Writes the fold's snapshot, so that the next start folds only what came after it.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub fn snapshot(&self) -> Result<(), EngineError> {
        let bytes = self.view().fold.to_snapshot();
        Ok(self.store.put_cache(SNAPSHOT, &bytes)?)
    }

    fn view(&self) -> std::sync::RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Folds committed events of one log, in their order. From one that is too far ahead on, they
    /// wait.
    fn fold_in(
        &self,
        writer: &mut Writer,
        author: AuthorId,
        events: &[Arc<Event>],
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let source = StoreSource(&*self.store);
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let View { fold, held, .. } = &mut *view;
        writer.since_snapshot += events.len() as u64;
        if held.contains_key(&author) {
            return Ok(());
        }
        let mut members = false;
        for event in events {
            let clock = event.header.clock;
            if is_ahead(clock, now_ms) {
                held.insert(author, clock);
                break;
            }
            writer.clock.observe(clock);
            let applied = fold.apply(event, &source)?;
            members |= matches!(
                applied,
                Applied::InOrder(Aggregate::Members) | Applied::Refolded(Aggregate::Members)
            );
        }
        if members { self.drop_other_branches(writer, &mut view) } else { Ok(()) }
    }

    fn tell(&self, committed: &Committed) {
        for subscriber in &*self.subscribers.read().unwrap_or_else(PoisonError::into_inner) {
            subscriber(committed);
        }
    }
}
