//! Copies all logs of a store to another, verified on the way and compared at the end.

use std::collections::BTreeSet;

use super::EngineError;
use super::source::events_of;
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::{IndexEntry, LogStore, Range, StoreError, Tip};

/// About how much is read and written at once.
const STEP_BYTES: usize = 4 * 1024 * 1024;

/// How many heads are compared at once.
const STEP_HEADS: usize = 4096;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// The number of logs.
    pub logs: u64,
    /// The number of records of all logs together.
    pub records: u64,
}

/// Copies every log of a store to an empty one, with all heads and the index. Every record is
/// verified as if a peer had sent it. `tell` gets the number of records so far.
///
/// # Errors
/// [`EngineError::Store`]: the store's own, or [`StoreError::Corrupt`] if a log of the first store
/// does not verify. The second store is then of no use.
pub fn copy(
    from: &dyn LogStore,
    to: &dyn LogStore,
    swarm: &SwarmId,
    mut tell: impl FnMut(u64),
) -> Result<Copied, EngineError> {
    let mut copied = Copied::default();
    let mut groups = BTreeSet::new();
    for log in from.logs()? {
        let author = log.author;
        let mut tip = Tip::empty(author);
        while let Some(range) = Range::read(from, author, tip.length(), STEP_BYTES)? {
            let append = tip.verify(swarm, range).map_err(|error| {
                let what = error.to_string();
                StoreError::Corrupt { author, index: tip.length(), what }
            })?;
            let (_, index) = events_of(&append);
            groups.extend(index.iter().map(|entry| entry.group));
            to.commit(std::slice::from_ref(&append), &index)?;
            tip = append.tip().clone();
            copied.records += append.records().len() as u64;
            tell(copied.records);
        }
        copied.logs += 1;
    }
    copy_places(from, to, &groups)?;
    Ok(copied)
}

/// Copies the places of the index that the records alone do not lead to.
fn copy_places(
    from: &dyn LogStore,
    to: &dyn LogStore,
    groups: &BTreeSet<[u8; 32]>,
) -> Result<(), EngineError> {
    for group in groups {
        let there: BTreeSet<_> = to.group(group)?.into_iter().collect();
        let missing: Vec<_> = from
            .group(group)?
            .into_iter()
            .filter(|place| !there.contains(place))
            .map(|place| IndexEntry { group: *group, place })
            .collect();
        if !missing.is_empty() {
            to.commit(&[], &missing)?;
        }
    }
    Ok(())
}

/// Compares two stores: the logs, their newest roots as the records lead to them, and all heads.
///
/// # Errors
/// [`EngineError::Store`], with the first log that differs.
pub fn compare(one: &dyn LogStore, other: &dyn LogStore) -> Result<(), EngineError> {
    let (logs, others) = (one.logs()?, other.logs()?);
    for (log, copy) in logs.iter().zip(&others) {
        if log != copy {
            return Err(differs(log.author, log.length.min(copy.length), "its length"));
        }
        let (tip, copy) = (Tip::open(one, log.author)?, Tip::open(other, log.author)?);
        if tip.root() != copy.root() {
            return Err(differs(log.author, log.length, "its root"));
        }
        let mut above = 0;
        loop {
            let heads = one.heads(&log.author, above, STEP_HEADS)?;
            if heads != other.heads(&log.author, above, STEP_HEADS)? {
                return Err(differs(log.author, above, "a head"));
            }
            let Some(last) = heads.last() else {
                break;
            };
            above = last.length;
        }
    }
    match logs.len().cmp(&others.len()) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(differs(others[logs.len()].author, 0, "the log itself")),
        std::cmp::Ordering::Greater => Err(differs(logs[others.len()].author, 0, "the log itself")),
    }
}

fn differs(author: AuthorId, index: u64, what: &str) -> EngineError {
    let what = format!("the copy differs in {what}");
    StoreError::Corrupt { author, index, what }.into()
}
