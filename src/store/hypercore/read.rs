//! Reading: entries of one size by their place, and records by the index of their core.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use super::cores::{BLOCKS, CoreId, core_of};
use super::disk::Disk;
use super::frame::Log;
use super::layout::{self, BLOCK, CHECK, HEAD, unsealed};
use super::{broken, corrupt};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{MAX_BODY, MAX_HEADER, SignedHead, StoreError, TILE_LEAVES};

/// How many entries of an index are read at once.
const STEP: u64 = 256;

/// How many bytes of records are read at once, unless one record is longer.
const READ_BYTES: u64 = 1 << 20;

/// The longest record: its header's length, its mark, header and body.
const MAX_RECORD: u64 = 3 + MAX_HEADER as u64 + MAX_BODY as u64;

/// What is left of the erased records of a log, by index.
pub(super) type Erased = BTreeMap<u64, Vec<u8>>;

/// One log of a disk.
pub(super) struct Reader<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) author: &'a AuthorId,
    pub(super) log: &'a Log,
}

impl Reader<'_> {
    fn core(&self, number: u32) -> CoreId {
        CoreId { author: *self.author, number, generation: self.log.generation(number) }
    }

    fn corrupt(&self, index: u64, what: impl ToString) -> StoreError {
        corrupt(self.author, index, what)
    }

    fn failed(&self, index: u64, what: &'static str, path: &str, error: &io::Error) -> StoreError {
        broken(self.author, index, what, path, error)
    }

    /// Reads some records from an index on, at least one; none behind the end of the log.
    pub(super) fn some(&self, from: u64, erased: &Erased) -> Result<Records, StoreError> {
        if from >= self.log.length {
            return Ok(Records::default());
        }
        let id = self.core(core_of(from));
        let count = STEP.min(id.first() + BLOCKS - from).min(self.log.length - from);
        let mut blocks = self.blocks(id, from, count)?;
        let start = blocks.first().map_or(0, |block| block.start);
        let fit = blocks.iter().take_while(|block| block.end - start <= READ_BYTES).count();
        blocks.truncate(fit.max(1));
        let end = blocks.last().map_or(start, |block| block.end);
        let (path, names) = (layout::core_data(id), layout::core_index(id));
        let inside = |end: u64| usize::try_from(end - start).expect("it was bounded");
        let mut records = Records { bytes: vec![0; inside(end)], places: Vec::new() };
        self.disk
            .read(&path, start, &mut records.bytes)
            .map_err(|error| self.failed(from, "read records", &path, &error))?;
        for (index, block) in (from..).zip(&blocks) {
            let mut place = inside(block.start)..inside(block.end);
            if let Some(left) = erased.get(&index) {
                place = records.bytes.len()..records.bytes.len() + left.len();
                records.bytes.extend_from_slice(left);
            }
            let record = &records.bytes[place.clone()];
            if layout::check(&names, index, record) != block.check {
                return Err(self.corrupt(index, "the record is not the one that was written"));
            }
            records.places.push(place);
        }
        Ok(records)
    }

    /// Where the blocks of some records are in the data of their core.
    fn blocks(&self, id: CoreId, from: u64, count: u64) -> Result<Vec<Block>, StoreError> {
        let path = layout::core_index(id);
        let first = from - id.first();
        // The block before says where the first one starts.
        let before = first.saturating_sub(1);
        let size = usize::try_from(first + count - before).expect("a few entries") * BLOCK;
        let mut bytes = vec![0; size];
        self.disk
            .read(&path, before * BLOCK as u64, &mut bytes)
            .map_err(|error| self.failed(from, "read where records are", &path, &error))?;
        let mut entries = bytes.as_chunks::<BLOCK>().0.iter();
        let end = |entry: &[u8; BLOCK]| {
            let (end, _) = entry.split_first_chunk().expect("an entry begins with 8 bytes");
            u64::from_le_bytes(*end)
        };
        let mut start = if first == 0 { Some(0) } else { entries.next().map(end) };
        let mut blocks = Vec::new();
        for (index, entry) in (from..).zip(entries) {
            let (at, end) = (start.unwrap_or(0), end(entry));
            if end.checked_sub(at).is_none_or(|size| size > MAX_RECORD) {
                return Err(self.corrupt(index, "where the record is cannot be"));
            }
            let check = *entry.last_chunk::<CHECK>().expect("an entry ends with a check");
            blocks.push(Block { start: at, end, check });
            start = Some(end);
        }
        Ok(blocks)
    }

    /// The head with a number, counted from 0.
    pub(super) fn head(&self, number: u64) -> Result<SignedHead, StoreError> {
        let heads = self.some_heads(number, 1)?;
        heads.into_iter().next().ok_or_else(|| self.corrupt(self.log.length, "a head is missing"))
    }

    /// Heads from a number on.
    pub(super) fn some_heads(
        &self,
        from: u64,
        count: usize,
    ) -> Result<Vec<SignedHead>, StoreError> {
        let path = layout::heads(self.author);
        let mut bytes = vec![0; count * HEAD];
        self.disk
            .read(&path, from * HEAD as u64, &mut bytes)
            .map_err(|error| self.failed(self.log.length, "read heads", &path, &error))?;
        let mut heads = Vec::with_capacity(count);
        for (number, entry) in (from..).zip(bytes.as_chunks::<HEAD>().0) {
            let what =
                |what: String| self.corrupt(self.log.length, format!("head {number}: {what}"));
            let content = unsealed(&path, number, entry)
                .ok_or_else(|| what("it is not the one that was written".to_owned()))?;
            let head = SignedHead::from_bytes(content).map_err(|error| what(error.to_string()))?;
            if head.author != *self.author {
                return Err(what(format!("it is of another log, {:?}", head.author)));
            }
            heads.push(head);
        }
        Ok(heads)
    }

    /// The number of the first head of a length above some; how many heads there are if none is.
    pub(super) fn first_head_above(&self, length: u64) -> Result<u64, StoreError> {
        let (mut low, mut high) = (0, self.log.heads);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.head(middle)?.length > length {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }

    /// The content of one entry of a file of tiles or nodes, which must be there.
    pub(super) fn entry(
        &self,
        path: &str,
        at: u64,
        size: usize,
        first_leaf: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; size];
        self.disk
            .read(path, at, &mut bytes)
            .map_err(|error| self.failed(first_leaf, "read the tree", path, &error))?;
        let content = unsealed(path, at, &bytes).ok_or_else(|| {
            self.corrupt(first_leaf, format!("the tree over it is damaged, in {path}"))
        })?;
        Ok(content.to_vec())
    }

    /// What is left of the erased records.
    pub(super) fn erased(&self) -> Result<Erased, StoreError> {
        let path = layout::erased(self.author);
        let size = usize::try_from(self.log.erased)
            .map_err(|_| self.corrupt(0, "too much of it is erased for this machine"))?;
        let mut bytes = vec![0; size];
        self.disk
            .read(&path, 0, &mut bytes)
            .map_err(|error| self.failed(0, "read what was erased", &path, &error))?;
        let damaged =
            || self.corrupt(0, format!("the list of erased records is damaged, in {path}"));
        let (mut erased, mut at, mut rest) = (Erased::new(), 0, &bytes[..]);
        while !rest.is_empty() {
            let (size, _) = rest.split_first_chunk::<2>().ok_or_else(damaged)?;
            let size = 2 + 8 + usize::from(u16::from_le_bytes(*size)) + CHECK;
            let (entry, behind) = rest.split_at_checked(size).ok_or_else(damaged)?;
            let content = unsealed(&path, at, entry).ok_or_else(damaged)?;
            let (index, record) = content[2..].split_first_chunk().ok_or_else(damaged)?;
            erased.insert(u64::from_le_bytes(*index), record.to_vec());
            at += size as u64;
            rest = behind;
        }
        Ok(erased)
    }
}

/// Neighbouring records, each of them compared with its check.
#[derive(Default)]
pub(super) struct Records {
    bytes: Vec<u8>,
    places: Vec<Range<usize>>,
}

impl Records {
    /// The records one after the other.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().map(|place| &self.bytes[place.clone()])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// Where a record's block is.
struct Block {
    start: u64,
    end: u64,
    check: [u8; CHECK],
}

/// An entry of the file of erased records, at an offset.
pub(super) fn erased_entry(path: &str, at: u64, index: u64, record: &[u8]) -> Vec<u8> {
    let size = u16::try_from(record.len()).expect("a record without a body is short");
    let content = [&size.to_le_bytes()[..], &index.to_le_bytes(), record].concat();
    layout::sealed(path, at, &content)
}

/// The number of the first leaf under a tile.
pub(super) fn first_leaf(tile: u64) -> u64 {
    tile.saturating_mul(TILE_LEAVES as u64)
}
