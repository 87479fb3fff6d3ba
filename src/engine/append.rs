//! Group commit: appends that wait while one is being written go into the next write together,
//! under one signature. The thread that gets the writer writes for all that wait.

use std::sync::{Arc, Mutex, PoisonError};

use super::fork::Own;
use super::source::events_of;
use super::{Committed, Engine, EngineError, SNAPSHOT_EVERY, Writer};
use crate::kernel::event::{Clock, Draft, Event, EventId, Prepared};
use crate::kernel::log::{Append, MAX_APPEND_BYTES, MAX_APPEND_RECORDS, Record, Tip};

/// Events that are durably in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The index of the first.
    pub from: u64,
    /// Their names.
    pub ids: Vec<EventId>,
}

type Slot = Arc<Mutex<Option<Result<Appended, EngineError>>>>;

struct Request {
    events: Vec<Prepared>,
    now_ms: u64,
    slot: Slot,
}

/// Appends that wait.
#[derive(Default)]
pub(super) struct Queue(Mutex<Vec<Request>>);

impl Engine {
    /// Appends events to this node's log, all of them or none. They are durable and folded when
    /// this returns.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was appended.
    pub fn append(&self, drafts: Vec<Draft>, now_ms: u64) -> Result<Appended, EngineError> {
        let events = drafts.iter().map(Draft::prepare).collect::<Result<Vec<_>, _>>()?;
        let bytes: usize = events.iter().map(Prepared::size).sum();
        let fits = (1..=MAX_APPEND_RECORDS).contains(&events.len()) && bytes <= MAX_APPEND_BYTES;
        if !fits {
            return Err(EngineError::Count(events.len()));
        }
        let slot = Slot::default();
        self.queue.lock().push(Request { events, now_ms, slot: Arc::clone(&slot) });
        let mut writer = self.writer();
        loop {
            let done = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(result) = done {
                return result;
            }
            let batch = self.queue.take_batch();
            self.write(&mut writer, batch);
        }
    }

    /// Writes all requests as one append, and answers each.
    fn write(&self, writer: &mut Writer, batch: Vec<Request>) {
        if let Err(error) = self.begin_append(writer) {
            for request in batch {
                answer(&request.slot, Err(error.clone()));
            }
            return;
        }
        let Some(key) = &self.key else {
            for request in batch {
                answer(&request.slot, Err(EngineError::NoKey));
            }
            return;
        };
        let me = self.me();
        let tip = self.view().tips.get(&me).cloned().unwrap_or_else(|| Tip::empty(me));
        let mut clock = writer.clock;
        let mut records = Vec::new();
        let mut answered = Vec::with_capacity(batch.len());
        for Request { events, now_ms, slot } in batch {
            let from = tip.length() + records.len() as u64;
            let before = clock;
            match encode(events, from, &mut clock, now_ms) {
                Ok(mut encoded) => {
                    let ids = encoded.iter().map(|r| EventId(r.as_ref().leaf(&me).0)).collect();
                    answered.push((slot, now_ms, Appended { from, ids }));
                    records.append(&mut encoded);
                }
                Err(error) => {
                    clock = before;
                    answer(&slot, Err(error));
                }
            }
        }
        if records.is_empty() {
            return;
        }
        let append = tip.append(key, self.swarm, clock.last().0, records);
        let now_ms = answered.iter().map(|(_, now_ms, _)| *now_ms).max().unwrap_or(0);
        writer.clock = clock;
        writer.own = Own::Writing;
        let result = self.commit(writer, append, now_ms);
        for (slot, _, appended) in answered {
            answer(&slot, result.clone().map(|()| appended));
        }
    }

    /// Stores an append or a verified range, folds it and tells subscribers.
    pub(super) fn commit(
        &self,
        writer: &mut Writer,
        mut append: Append,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        self.strip(&mut append);
        let (author, length) = (append.author(), append.length());
        let (events, index) = events_of(&append);
        self.store.commit(std::slice::from_ref(&append), &index)?;
        {
            let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
            view.tips.insert(author, append.tip().clone());
        }
        let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
        self.fold_in(writer, author, &events, now_ms)?;
        self.purge_after(writer, events.iter().map(|event| &**event))?;
        if writer.since_snapshot >= SNAPSHOT_EVERY {
            writer.since_snapshot = 0;
            self.snapshot()?;
        }
        self.tell(&Committed { author, events, length });
        Ok(())
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As many requests as fit into one append, at least one.
    fn take_batch(&self) -> Vec<Request> {
        let mut queue = self.lock();
        let (mut count, mut bytes, mut take) = (0, 0, 0);
        for request in queue.iter() {
            count += request.events.len();
            bytes += request.events.iter().map(Prepared::size).sum::<usize>();
            if take > 0 && (count > MAX_APPEND_RECORDS || bytes > MAX_APPEND_BYTES) {
                break;
            }
            take += 1;
        }
        queue.drain(..take).collect()
    }
}

fn encode(
    events: Vec<Prepared>,
    from: u64,
    clock: &mut Clock,
    now_ms: u64,
) -> Result<Vec<Record>, EngineError> {
    let records = (from..).zip(events).map(|(seq, event)| {
        let time = clock.tick(now_ms)?;
        Ok(event.record(seq, time)?)
    });
    records.collect()
}

fn answer(slot: &Slot, result: Result<Appended, EngineError>) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
}
