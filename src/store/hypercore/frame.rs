//! A frame of the journal: one commit, that is the logs as they are behind it and the changes of
//! files that it makes. Numbers are little-endian.
//!
//! ```text
//! 8   "bzzzfrm\n"
//! 8   number of the commit
//! 4   bytes of the body
//! 16  BLAKE3 of number, bytes and body, its beginning
//! ..  body: logs, changes
//! ```

use std::collections::BTreeMap;

use super::change::Change;
use crate::kernel::identity::AuthorId;

/// What every frame begins with.
pub(super) const MARK: &[u8; 8] = b"bzzzfrm\n";

const HEAD: usize = 8 + 8 + 4 + 16;

/// What the journal says of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    /// The number of records.
    pub(super) length: u64,
    /// The number of heads.
    pub(super) heads: u64,
    /// The bytes of the file of erased records.
    pub(super) erased: u64,
    /// The cores that were made anew, and how often.
    pub(super) generations: BTreeMap<u32, u32>,
}

impl Log {
    /// Which generation of a core counts.
    pub(super) fn generation(&self, core: u32) -> u32 {
        self.generations.get(&core).copied().unwrap_or(0)
    }
}

/// One commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its number: one more than that of the commit before.
    pub(super) number: u64,
    /// The logs that it changes, as they are behind it.
    pub(super) logs: BTreeMap<AuthorId, Log>,
    /// What it changes in files.
    pub(super) changes: Vec<Change>,
}

impl Frame {
    /// The bytes; `None` if they were too many for one frame.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        put_count(&mut body, self.logs.len())?;
        for (author, log) in &self.logs {
            body.extend_from_slice(&author.0);
            for number in [log.length, log.heads, log.erased] {
                body.extend_from_slice(&number.to_le_bytes());
            }
            put_count(&mut body, log.generations.len())?;
            for (core, generation) in &log.generations {
                body.extend_from_slice(&core.to_le_bytes());
                body.extend_from_slice(&generation.to_le_bytes());
            }
        }
        put_count(&mut body, self.changes.len())?;
        for change in &self.changes {
            put_change(&mut body, change)?;
        }
        let bytes = u32::try_from(body.len()).ok()?;
        let check = check(self.number, bytes, &body);
        let head = [&MARK[..], &self.number.to_le_bytes(), &bytes.to_le_bytes(), &check];
        let mut frame = head.concat();
        frame.append(&mut body);
        Some(frame)
    }

    /// Reads the frame at the beginning of the bytes, and tells what is behind it. `None` if there
    /// is no whole one.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let mut head = Input(head.strip_prefix(MARK)?);
        let (number, size) = (head.u64()?, head.u32()?);
        let (body, rest) = rest.split_at_checked(usize::try_from(size).ok()?)?;
        if check(number, size, body) != head.0 {
            return None;
        }
        let mut input = Input(body);
        let mut frame = Self { number, ..Self::default() };
        for _ in 0..input.u32()? {
            let author = AuthorId(input.array()?);
            let mut log = Log {
                length: input.u64()?,
                heads: input.u64()?,
                erased: input.u64()?,
                generations: BTreeMap::new(),
            };
            for _ in 0..input.u32()? {
                log.generations.insert(input.u32()?, input.u32()?);
            }
            frame.logs.insert(author, log);
        }
        for _ in 0..input.u32()? {
            frame.changes.push(input.change()?);
        }
        input.0.is_empty().then_some((frame, rest))
    }
}

fn check(number: u64, bytes: u32, body: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes()).update(&bytes.to_le_bytes()).update(body);
    let mut check = [0; 16];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    check
}

fn put_count(body: &mut Vec<u8>, count: usize) -> Option<()> {
    body.extend_from_slice(&u32::try_from(count).ok()?.to_le_bytes());
    Some(())
}

fn put_path(body: &mut Vec<u8>, tag: u8, path: &str) -> Option<()> {
    body.push(tag);
    body.extend_from_slice(&u16::try_from(path.len()).ok()?.to_le_bytes());
    body.extend_from_slice(path.as_bytes());
    Some(())
}

fn put_change(body: &mut Vec<u8>, change: &Change) -> Option<()> {
    match change {
        Change::Write { path, at, bytes } => {
            put_path(body, 0, path)?;
            body.extend_from_slice(&at.to_le_bytes());
            put_count(body, bytes.len())?;
            body.extend_from_slice(bytes);
        }
        Change::Length { path, length } => {
            put_path(body, 1, path)?;
            body.extend_from_slice(&length.to_le_bytes());
        }
        Change::Remove { path } => put_path(body, 2, path)?,
    }
    Some(())
}

/// Bytes that are read from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn change(&mut self) -> Option<Change> {
        let [tag] = self.array()?;
        let size = u16::from_le_bytes(self.array()?);
        let path = std::str::from_utf8(self.take(usize::from(size))?).ok()?.to_owned();
        // The bytes are those that were checked; a path still never leads out of the directory.
        if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return None;
        }
        match tag {
            0 => {
                let (at, size) = (self.u64()?, self.u32()?);
                let bytes = self.take(usize::try_from(size).ok()?)?.to_vec();
                Some(Change::Write { path, at, bytes })
            }
            1 => Some(Change::Length { path, length: self.u64()? }),
            2 => Some(Change::Remove { path }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_as_it_was_written_and_no_part_of_it_does() {
        let log = Log { length: 7, heads: 3, erased: 90, generations: [(2, 1)].into() };
        let path = "logs/x/heads".to_owned();
        let changes = vec![
            Change::Write { path: path.clone(), at: 9, bytes: vec![1, 2, 3] },
            Change::Length { path: path.clone(), length: 4 },
            Change::Remove { path },
        ];
        let frame = Frame { number: 5, logs: [(AuthorId([7; 32]), log)].into(), changes };
        let mut bytes = frame.encode().unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(Frame::decode(&bytes[..cut]), None, "cut at {cut}");
            bytes[cut] ^= 0x10;
            assert_eq!(Frame::decode(&bytes), None, "changed at {cut}");
            bytes[cut] ^= 0x10;
        }
        bytes.push(0xee);
        assert_eq!(Frame::decode(&bytes), Some((frame, &[0xee][..])));
    }
}
