//! Writing: what a commit changes, gathered in the stage.

use super::Writer;
use super::cores::{BLOCKS, CoreId, core_of};
use super::frame::Log;
use super::layout::{self, HEAD, PLACE, TILE, sealed};
use super::{broken, corrupt, corrupt_file, io as failed};
use crate::kernel::log::{Append, IndexEntry, StoreError};

impl Writer {
    /// Gathers the changes of one append, and moves the log behind it.
    pub(super) fn put_append(&mut self, log: &mut Log, append: &Append) -> Result<(), StoreError> {
        let author = append.author();
        let mut records = append.records();
        let mut index = append.from();
        while !records.is_empty() {
            let number = core_of(index);
            let id = CoreId { author, number, generation: log.generation(number) };
            let blocks = index - id.first();
            let room = usize::try_from(BLOCKS - blocks).unwrap_or(usize::MAX);
            let (now, later) = records.split_at(room.min(records.len()));
            let now: Vec<&[u8]> = now.iter().map(|record| &record[..]).collect();
            self.put_records(id, blocks, &now)?;
            index += now.len() as u64;
            log.length = index;
            records = later;
        }
        let path = layout::heads(&author);
        for head in append.heads() {
            let entry = sealed(&path, log.heads, &head.to_bytes());
            self.stage.write(&path, log.heads * HEAD as u64, &entry);
            log.heads += 1;
        }
        let path = layout::tiles(&author);
        for (number, tile) in append.tiles() {
            let at = number * TILE as u64;
            self.stage.write(&path, at, &sealed(&path, at, &tile.to_bytes()));
        }
        let path = layout::nodes(&author);
        for (node, hash) in append.nodes() {
            let at = layout::node_at(*node);
            self.stage.write(&path, at, &sealed(&path, at, &hash.0));
        }
        Ok(())
    }

    /// Appends to a core that holds some blocks, and to its index.
    pub(super) fn put_records(
        &mut self,
        id: CoreId,
        blocks: u64,
        records: &[&[u8]],
    ) -> Result<(), StoreError> {
        let before = self.end_of(id, blocks)?;
        let path = layout::core_index(id);
        let (mut end, mut entries) = (before, Vec::new());
        for (index, record) in (id.first() + blocks..).zip(records) {
            end += record.len() as u64;
            entries.extend_from_slice(&end.to_le_bytes());
            entries.extend_from_slice(&layout::check(&path, index, record));
        }
        let behind = self.cores.append(id, (blocks, before), records)?;
        if behind != end {
            let what = format!("the core has {behind} bytes, not {end}");
            return Err(corrupt(&id.author, id.first() + blocks, what));
        }
        self.stage.write(&path, blocks * layout::BLOCK as u64, &entries);
        Ok(())
    }

    /// The bytes of the first blocks of a core, of which this commit may have written some.
    pub(super) fn end_of(&self, id: CoreId, blocks: u64) -> Result<u64, StoreError> {
        let Some(last) = blocks.checked_sub(1) else {
            return Ok(0);
        };
        let path = layout::core_index(id);
        let mut end = [0; 8];
        self.stage.read(&path, last * layout::BLOCK as u64, &mut end).map_err(|error| {
            broken(&id.author, id.first() + last, "read where records are", &path, &error)
        })?;
        Ok(u64::from_le_bytes(end))
    }

    /// Gathers entries of the index of groups.
    pub(super) fn put_index(&self, index: &[IndexEntry], number: u64) -> Result<(), StoreError> {
        for entry in index {
            let path = layout::group(&entry.group);
            let at = self.stage.len(&path).map_err(|error| failed("read a group", &error))?;
            if !at.is_multiple_of(PLACE as u64) {
                return Err(corrupt_file(&path, "a part of an entry is missing"));
            }
            let content = [&entry.place[..], &number.to_le_bytes()].concat();
            self.stage.write(&path, at, &sealed(&path, at, &content));
        }
        Ok(())
    }
}

/// The places in the bytes of a group, up to a commit, sorted.
pub(super) fn places(path: &str, bytes: &[u8], number: u64) -> Result<Vec<[u8; 48]>, StoreError> {
    let entries = entries(path, bytes)?.into_iter();
    let known = entries.filter(|(_, commit)| *commit <= number);
    let mut places: Vec<_> = known.map(|(place, _)| place).collect();
    places.sort_unstable();
    places.dedup();
    Ok(places)
}

/// The entries of a group as they came: the place, and the number of the commit.
pub(super) fn entries(path: &str, bytes: &[u8]) -> Result<Vec<([u8; 48], u64)>, StoreError> {
    // A writer beside this reader may be adding an entry, so that a part of one is no damage.
    let (entries, _) = bytes.as_chunks::<PLACE>();
    let mut found = Vec::with_capacity(entries.len());
    for (at, entry) in (0u64..).step_by(PLACE).zip(entries) {
        let content = layout::unsealed(path, at, entry);
        let (place, commit) = content.and_then(|content| content.split_first_chunk::<48>()).unzip();
        let commit = commit.and_then(|commit| commit.try_into().ok()).map(u64::from_le_bytes);
        match (place, commit) {
            (Some(place), Some(commit)) => found.push((*place, commit)),
            _ => return Err(corrupt_file(path, &format!("the entry at byte {at} is damaged"))),
        }
    }
    Ok(found)
}
