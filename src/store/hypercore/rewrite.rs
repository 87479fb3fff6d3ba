//! What changes bytes that were written before: erasing bodies, and dropping the end of a log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use super::cores::{BLOCKS, CoreId, core_of};
use super::frame::Log;
use super::layout::{self, BLOCK, CHECK, PLACE, sealed};
use super::read::{Reader, erased_entry};
use super::{HyperStore, Writer, corrupt, io as failed, write};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{IndexEntry, Record, RecordRef, StoreError};

impl HyperStore {
    /// Takes the bodies of records out of all files. In the core their blocks are cleared, as
    /// Hypercore does it; what is left of the records goes to a file beside it.
    pub(super) fn erase_bodies(&self, places: &[(AuthorId, u64)]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let mut found = BTreeMap::new();
        for (author, index) in places {
            let records = self.some_records(author, *index)?;
            let Some(bytes) = records.iter().next() else {
                continue;
            };
            let record = RecordRef::parse(bytes).map_err(|what| corrupt(author, *index, what))?;
            if record.has_content() {
                found.insert((*author, *index), record.without_body());
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let whole = self.rewritten.write().unwrap_or_else(PoisonError::into_inner);
        self.write(&mut writer, |writer, _| {
            let mut logs = BTreeMap::new();
            for ((author, index), record) in &found {
                let log = logs.entry(*author);
                let log = log.or_insert_with(|| self.log(author).unwrap_or_default());
                writer.erase(*author, *index, log, record)?;
            }
            Ok(logs)
        })?;
        drop(whole);
        // The old journal may hold the bodies, and goes with all that it holds.
        self.begin_journal(&mut writer)
    }

    /// Drops the end of a log. The core that holds the new end is made anew, since the crate cannot
    /// cut one; those behind it are removed.
    pub(super) fn drop_end(
        &self,
        author: &AuthorId,
        length: u64,
        index: &[IndexEntry],
    ) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let Some(log) = self.log(author).filter(|log| log.length > length) else {
            return Ok(());
        };
        let reader = Reader { disk: &*self.disk, author, log: &log };
        let heads = reader.first_head_above(length)?;
        let last = heads.checked_sub(1).map(|last| reader.head(last)).transpose()?;
        if last.map_or(0, |head| head.length) != length {
            return Err(StoreError::Gap { author: *author, length: log.length, from: length });
        }
        let _whole = self.rewritten.write().unwrap_or_else(PoisonError::into_inner);
        self.write(&mut writer, |writer, _| {
            let mut behind = Log { length, heads, ..log.clone() };
            self.remake(writer, *author, &log, &mut behind)?;
            self.keep_erased(writer, author, &log, &mut behind)?;
            self.take_out(writer, index)?;
            writer.stage.remove("cache");
            Ok([(*author, behind)].into())
        })?;
        let mut erased = self.erased.lock().unwrap_or_else(PoisonError::into_inner);
        erased.remove(author);
        Ok(())
    }

    /// Makes the core of the new end anew, and removes what is left over.
    fn remake(
        &self,
        writer: &mut Writer,
        author: AuthorId,
        log: &Log,
        behind: &mut Log,
    ) -> Result<(), StoreError> {
        let (first, last) = (core_of(behind.length), core_of(log.length - 1));
        for number in first..=last {
            let id = CoreId { author, number, generation: log.generation(number) };
            writer.cores.forget(id);
            writer.stage.remove(&layout::core(id));
            writer.stage.remove(&layout::core_index(id));
            behind.generations.insert(number, id.generation + 1);
        }
        let generation = behind.generation(first);
        let id = CoreId { author, number: first, generation };
        let erased = self.erased(&author, log)?;
        let mut blocks = 0;
        while id.first() + blocks < behind.length {
            let from = id.first() + blocks;
            let records = Reader { disk: &*self.disk, author: &author, log }.some(from, &erased)?;
            let left = usize::try_from(behind.length - from).unwrap_or(usize::MAX);
            let records: Vec<&[u8]> = records.iter().take(left).collect();
            writer.put_records(id, blocks, &records)?;
            blocks += records.len() as u64;
        }
        Ok(())
    }

    /// Keeps the entries of erased records that are still in cores of before.
    fn keep_erased(
        &self,
        writer: &Writer,
        author: &AuthorId,
        log: &Log,
        behind: &mut Log,
    ) -> Result<(), StoreError> {
        if log.erased == 0 {
            return Ok(());
        }
        // In the core that was made anew they stand as they are.
        let end = u64::from(core_of(behind.length)) * BLOCKS;
        let path = layout::erased(author);
        let mut bytes = Vec::new();
        for (index, record) in self.erased(author, log)?.range(..end) {
            let entry = erased_entry(&path, bytes.len() as u64, *index, record);
            bytes.extend_from_slice(&entry);
        }
        behind.erased = bytes.len() as u64;
        writer.stage.write(&path, 0, &bytes);
        writer.stage.set_len(&path, behind.erased);
        Ok(())
    }

    /// Takes entries out of the index of groups.
    fn take_out(&self, writer: &Writer, index: &[IndexEntry]) -> Result<(), StoreError> {
        let groups: BTreeSet<_> = index.iter().map(|entry| entry.group).collect();
        let gone: BTreeSet<_> = index.iter().collect();
        for group in groups {
            let path = layout::group(&group);
            let bytes = self.group_bytes(&path)?;
            let mut left = Vec::with_capacity(bytes.len());
            for (place, commit) in write::entries(&path, &bytes)? {
                if !gone.contains(&IndexEntry { group, place }) {
                    let content = [&place[..], &commit.to_le_bytes()].concat();
                    let entry = sealed(&path, left.len() as u64, &content);
                    left.extend_from_slice(&entry);
                }
            }
            debug_assert!(left.len().is_multiple_of(PLACE), "whole entries");
            writer.stage.write(&path, 0, &left);
            writer.stage.set_len(&path, left.len() as u64);
        }
        Ok(())
    }

    fn begin_journal(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let begun = writer.journal.rotate(state.number, &state.logs);
        writer.poisoned = begun.is_err();
        begun.map_err(|error| failed("take erased payloads out of its files", &error))
    }
}

impl Writer {
    /// Gathers the changes that take one body out.
    fn erase(
        &mut self,
        author: AuthorId,
        index: u64,
        log: &mut Log,
        record: &Record,
    ) -> Result<(), StoreError> {
        let number = core_of(index);
        let id = CoreId { author, number, generation: log.generation(number) };
        let blocks = (log.length - id.first()).min(BLOCKS);
        let bytes = self.end_of(id, blocks)?;
        let block = index - id.first();
        self.cores.clear(id, (blocks, bytes), block)?;
        let path = layout::core_index(id);
        let at = (block + 1) * BLOCK as u64 - CHECK as u64;
        self.stage.write(&path, at, &layout::check(&path, index, record));
        let path = layout::erased(&author);
        let entry = erased_entry(&path, log.erased, index, record);
        self.stage.write(&path, log.erased, &entry);
        log.erased += entry.len() as u64;
        Ok(())
    }
}
