//! Blocks of neighbouring events, and the total order that they are merged to.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::vec;

use super::archive::{BlockAt, Index};
use crate::kernel::event::{Event, EventId};
use crate::kernel::fold::{FoldError, Place};
use crate::kernel::identity::AuthorId;

/// What the ids of a block's events hash to: nobody finds other events with these 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest([u8; 16]);

impl Digest {
    pub(super) fn of<'a>(ids: impl Iterator<Item = &'a EventId>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("bzzz v1 block");
        for id in ids {
            hasher.update(&id.0);
        }
        let mut half = [0; 16];
        hasher.finalize_xof().fill(&mut half);
        Self(half)
    }
}

/// Blocks of several logs, by the places of their first events.
pub struct Blocks<'a> {
    index: &'a Index,
    next: BTreeSet<BlockAt>,
    /// The length of each log at which its blocks end, unless they all count.
    to: Option<BTreeMap<AuthorId, u64>>,
}

impl<'a> Blocks<'a> {
    /// From these blocks on, one of each log.
    pub(super) fn new(
        index: &'a Index,
        first: impl Iterator<Item = u64>,
        to: Option<BTreeMap<AuthorId, u64>>,
    ) -> Self {
        let next = first.filter_map(|reference| index.at(reference)).collect();
        Self { index, next, to }
    }
}

impl Iterator for Blocks<'_> {
    type Item = BlockAt;

    fn next(&mut self) -> Option<BlockAt> {
        let block = self.next.pop_first()?;
        let inside = |next: &BlockAt| {
            let to = self.to.as_ref().map(|to| to.get(&next.first.author).copied().unwrap_or(0));
            to.is_none_or(|to| next.first.seq < to)
        };
        self.next.extend(self.index.at(block.reference + 1).filter(inside));
        Some(block)
    }
}

/// Merges the events of blocks to their total order: the clock rises in every log, so that only one
/// block of each log is held. The blocks come by the places of their first events.
pub struct InOrder<I: Iterator<Item = (BlockAt, Result<Vec<Event>, FoldError>)>> {
    blocks: Peekable<I>,
    /// The next event of each log, and those of its block that follow.
    next: BTreeMap<Place, (Event, vec::IntoIter<Event>)>,
}

impl<I: Iterator<Item = (BlockAt, Result<Vec<Event>, FoldError>)>> InOrder<I> {
    /// Merges blocks, which were read wherever that may be.
    pub fn new(blocks: I) -> Self {
        Self { blocks: blocks.peekable(), next: BTreeMap::new() }
    }

    fn hold(&mut self, mut events: vec::IntoIter<Event>) {
        if let Some(event) = events.next() {
            self.next.insert(Place::of(&event), (event, events));
        }
    }
}

impl<I: Iterator<Item = (BlockAt, Result<Vec<Event>, FoldError>)>> Iterator for InOrder<I> {
    type Item = Result<Event, FoldError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let first = self.next.first_key_value().map(|(place, _)| *place);
            let due = |(block, _): &(BlockAt, _)| first.is_none_or(|first| block.first < first);
            match self.blocks.next_if(due) {
                Some((_, Ok(events))) => self.hold(events.into_iter()),
                Some((_, Err(error))) => return Some(Err(error)),
                None => break,
            }
        }
        let (_, (event, rest)) = self.next.pop_first()?;
        self.hold(rest);
        Some(Ok(event))
    }
}
