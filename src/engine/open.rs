//! Opening: the ends of all logs, and the fold from its snapshot on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};

use super::append::Queue;
use super::fork::Own;
use super::merge::Merge;
use super::source::StoreSource;
use super::{Engine, EngineError, SNAPSHOT, View, Writer, is_ahead};
use crate::kernel::event::kinds::SwarmFounded;
use crate::kernel::event::{Clock, Draft, EventId, Hlc, MAX_AHEAD_MS, swarm_id};
use crate::kernel::fold::Fold;
use crate::kernel::identity::{AuthorId, SecretKey, SwarmId};
use crate::kernel::log::{Append, LogStore, Record, Tip};

/// The founding of a swarm: what the founder's store is to hold first.
pub struct Founding {
    /// The swarm's id.
    pub swarm: SwarmId,
    clock: Hlc,
    record: Record,
}

/// Makes the founding event of a swarm whose administrator is the founder. The nonce is random.
///
/// # Errors
/// [`EngineError::Event`] if the name is too long.
pub fn found(
    key: &SecretKey,
    name: &str,
    nonce: [u8; 16],
    now_ms: u64,
) -> Result<Founding, EngineError> {
    let author = key.author();
    let founded = SwarmFounded { name: name.to_owned(), administrators: vec![author], nonce };
    let clock = Clock::default().tick(now_ms)?;
    let record = Draft::general(founded).record(0, clock)?;
    let swarm = swarm_id(EventId(record.as_ref().leaf(&author).0));
    Ok(Founding { swarm, clock, record })
}

impl Founding {
    /// Writes the founding event into an empty store.
    ///
    /// # Errors
    /// [`EngineError::Store`], also if the store is not empty.
    pub fn commit(self, store: &dyn LogStore, key: &SecretKey) -> Result<(), EngineError> {
        let tip = Tip::empty(key.author());
        let append: Append = tip.append(key, self.swarm, self.clock.0, vec![self.record]);
        let (_, index) = super::source::events_of(&append);
        Ok(store.commit(&[append], &index)?)
    }
}

impl Engine {
    /// Opens the engine of a node. The time a log takes to open does not grow with its length; the
    /// fold goes on from its last snapshot.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn open(
        store: Arc<dyn LogStore>,
        key: SecretKey,
        swarm: SwarmId,
        now_ms: u64,
    ) -> Result<Self, EngineError> {
        Self::open_as(store, key.author(), Some(key), swarm, now_ms)
    }

    /// Opens the engine of a node to read only, without its key. Every append is refused.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn open_to_read(
        store: Arc<dyn LogStore>,
        me: AuthorId,
        swarm: SwarmId,
        now_ms: u64,
    ) -> Result<Self, EngineError> {
        Self::open_as(store, me, None, swarm, now_ms)
    }

    fn open_as(
        store: Arc<dyn LogStore>,
        me: AuthorId,
        key: Option<SecretKey>,
        swarm: SwarmId,
        now_ms: u64,
    ) -> Result<Self, EngineError> {
        let mut tips = BTreeMap::new();
        let mut clock = Clock::default();
        let limit = Hlc::from_ms(now_ms.saturating_add(MAX_AHEAD_MS));
        for log in store.logs()? {
            tips.insert(log.author, Tip::open(&*store, log.author)?);
            let head = store.newest_head(&log.author)?.map_or(Hlc(0), |head| Hlc(head.clock));
            // An own event is behind the clock in any case, even if the wall clock was set back.
            if head <= limit || log.author == me {
                clock.observe(head);
            }
        }
        let snapshot = store.cache(SNAPSHOT)?;
        let fold = snapshot.and_then(|bytes| Fold::from_snapshot(&bytes, &swarm));
        let fits = |fold: &Fold| {
            let mut logs = fold.frontier().iter();
            logs.all(|(author, length)| tips.get(author).is_some_and(|t| t.length() >= *length))
        };
        let fold = fold.filter(fits).unwrap_or_else(|| Fold::new(swarm));
        // A log whose newest head is too far ahead may have events before it that were taken in.
        clock.observe(fold.latest());
        let engine = Self {
            store,
            me,
            key,
            swarm,
            queue: Queue::default(),
            writer: Mutex::new(Writer {
                clock,
                since_snapshot: 0,
                purged: BTreeMap::new(),
                own: Own::default(),
            }),
            view: RwLock::new(View { tips, fold, held: BTreeMap::new() }),
            witnessed: Mutex::default(),
            subscribers: RwLock::new(Vec::new()),
        };
        engine.catch_up(now_ms)?;
        Ok(engine)
    }

    /// Folds what the store has beyond the snapshot, in the total order.
    fn catch_up(&self, now_ms: u64) -> Result<(), EngineError> {
        let from: Vec<_> = {
            let view = self.view();
            let frontier = view.fold.frontier();
            let start = |author| frontier.get(author).copied().unwrap_or(0);
            view.tips.keys().map(|author| (*author, start(author))).collect()
        };
        let source = StoreSource(&*self.store);
        let mut merge = Merge::new(&*self.store, from)?;
        let mut writer = self.writer();
        let mut view = self.view.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let View { fold, held, .. } = &mut *view;
        while let Some(event) = merge.next()? {
            let clock = event.header.clock;
            if !held.is_empty() && held.contains_key(&event.author) {
                continue;
            }
            if is_ahead(clock, now_ms) {
                held.insert(event.author, clock);
                continue;
            }
            writer.clock.observe(clock);
            let _ = fold.apply(&event, &source)?;
            writer.since_snapshot += 1;
        }
        // A crash may have come between a resolution and what follows from it.
        self.drop_other_branches(&mut writer, &mut view)
    }
}
