//! Events read again from a store, for aggregates that are folded anew.

use std::collections::BTreeSet;

use crate::kernel::event::Event;
use crate::kernel::fold::{Aggregate, EventSource, FoldError, Place};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{Append, IndexEntry, LogStore, ReadLimit};

/// The events of a store.
pub struct StoreSource<'a>(pub &'a dyn LogStore);

impl EventSource for StoreSource<'_> {
    fn places(&self, aggregate: &Aggregate) -> Result<Vec<Place>, FoldError> {
        let places = self.0.group(&aggregate.group()).map_err(|e| FoldError(e.to_string()))?;
        Ok(places.iter().map(Place::from_bytes).collect())
    }

    fn event(&self, place: &Place) -> Result<Event, FoldError> {
        let limit = ReadLimit { records: 1, bytes: usize::MAX };
        let records = self.0.records(&place.author, place.seq, limit);
        let record = records.map_err(|error| FoldError(error.to_string()))?.pop();
        let record = record.ok_or_else(|| {
            FoldError(format!("log {:?}, index {}: no record", place.author, place.seq))
        })?;
        Event::read(place.author, place.seq, record.as_ref())
            .map_err(|error| FoldError(error.to_string()))
    }

    fn event_at(&self, author: &AuthorId, seq: u64) -> Result<Option<Event>, FoldError> {
        let limit = ReadLimit { records: 1, bytes: usize::MAX };
        let records = self.0.records(author, seq, limit);
        let record = records.map_err(|error| FoldError(error.to_string()))?.pop();
        Ok(record.and_then(|record| Event::read(*author, seq, record.as_ref()).ok()))
    }

    fn aggregates_of(
        &self,
        author: &AuthorId,
        before: u64,
    ) -> Result<BTreeSet<Aggregate>, FoldError> {
        let mut found = BTreeSet::new();
        self.0
            .scan(author, 0, &mut |index, record| {
                let event = Event::read(*author, index, record);
                found.extend(event.ok().as_ref().and_then(Aggregate::of));
                index + 1 < before
            })
            .map_err(|error| FoldError(error.to_string()))?;
        Ok(found)
    }
}

/// The events of an append, and the index entries that lead to them. Records whose header is
/// malformed are kept in the log, and no state depends on them.
pub(super) fn events_of(append: &Append) -> (Vec<Event>, Vec<IndexEntry>) {
    let author = append.author();
    let records = (append.from()..).zip(append.records());
    let events: Vec<Event> =
        records.filter_map(|(i, record)| Event::read(author, i, record.as_ref()).ok()).collect();
    let entry = |event: &Event| Some(Aggregate::of(event)?.entry(Place::of(event)));
    let index = events.iter().filter_map(entry).collect();
    (events, index)
}
