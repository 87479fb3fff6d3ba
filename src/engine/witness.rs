//! Witnessing: this node says in its own log which heads of other logs it holds, so that nobody can
//! rewrite one without it.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::{Engine, EngineError};
use crate::kernel::event::kinds::{HeadsWitnessed, MAX_WITNESSED, WitnessedHead};
use crate::kernel::event::{Draft, Header};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::StoreError;

/// The name among the store's caches of what was said last: author (32) and length (u64,
/// little-endian) of each. Without it, some heads are said once more.
const SAID: &str = "witnessed";

/// The bytes of one entry of it.
const ENTRY: usize = 40;

/// The kinds that only say what nodes hold. If they were a reason to say so again, two nodes would
/// witness each other's witnessing for ever.
const NO_REASON: [u16; 2] = [4, 5];

/// What is known of the logs of others.
#[derive(Default)]
pub(super) struct Witnessed {
    read: bool,
    /// The lengths that this node's log names.
    said: BTreeMap<AuthorId, u64>,
    /// Up to here, nothing is a reason to say more.
    looked: BTreeMap<AuthorId, u64>,
}

impl Engine {
    /// Records the newest heads of other logs that this node holds, if something was said in them
    /// since it last did. Gives the number of heads: 0 if there is nothing to record, or this node
    /// is no member or may not append now. At most [`MAX_WITNESSED`] heads are recorded at once,
    /// those of logs with something to say first; the others follow when it is called again.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn witness(&self, now_ms: u64) -> Result<usize, EngineError> {
        let me = self.me();
        let member = self.read(|state| state.members.present().contains(&me));
        if !member || self.may_append().is_err() {
            return Ok(0);
        }
        let mut known = self.witnessed.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &mut *known;
        if !known.read {
            known.said = self.read_said()?;
            known.looked.clone_from(&known.said);
            known.read = true;
        }
        let lengths = self.lengths();
        let new = |(author, length): &(AuthorId, u64)| {
            *author != me && known.said.get(author).is_none_or(|said| said < length)
        };
        let mut logs: Vec<(AuthorId, u64)> = lengths.into_iter().filter(new).collect();
        let mut reasons = BTreeMap::new();
        for (author, length) in &logs {
            let from = known.looked.get(author).copied().unwrap_or(0);
            let reason = self.is_reason(author, from, *length)?;
            if !reason {
                known.looked.insert(*author, *length);
            }
            reasons.insert(*author, reason);
        }
        if !reasons.values().any(|reason| *reason) {
            return Ok(0);
        }
        logs.sort_by_key(|(author, _)| !reasons[author]);
        logs.truncate(MAX_WITNESSED);
        let mut heads = Vec::with_capacity(logs.len());
        for (author, _) in logs {
            // It may have grown meanwhile: the head that is there now is the one that is said.
            heads.extend(self.head(&author)?);
        }
        let said: Vec<_> = heads.iter().map(|head| (head.author, head.length)).collect();
        let heads = heads.into_iter().map(|head| WitnessedHead {
            author: head.author,
            length: head.length,
            root: head.root,
            clock: head.clock,
            signature: head.signature,
        });
        self.append(vec![Draft::general(HeadsWitnessed { heads: heads.collect() })], now_ms)?;
        known.said.extend(said.iter().copied());
        known.looked.extend(said.iter().copied());
        self.store.put_cache(SAID, &encode(&known.said))?;
        Ok(said.len())
    }

    /// Whether a log says something in this part.
    fn is_reason(&self, author: &AuthorId, from: u64, to: u64) -> Result<bool, StoreError> {
        let mut found = false;
        if from < to {
            self.store.scan(author, from, &mut |index, record| {
                found = Header::read(record).is_ok_and(|h| !NO_REASON.contains(&h.kind));
                !found && index + 1 < to
            })?;
        }
        Ok(found)
    }

    fn read_said(&self) -> Result<BTreeMap<AuthorId, u64>, StoreError> {
        let bytes = self.store.cache(SAID)?.unwrap_or_default();
        let (entries, _) = bytes.as_chunks::<ENTRY>();
        let entry = |entry: &[u8; ENTRY]| {
            let (author, length) = entry.split_first_chunk::<32>()?;
            Some((AuthorId(*author), u64::from_le_bytes(length.try_into().ok()?)))
        };
        Ok(entries.iter().filter_map(entry).collect())
    }
}

fn encode(said: &BTreeMap<AuthorId, u64>) -> Vec<u8> {
    said.iter()
        .flat_map(|(author, length)| [&author.0[..], &length.to_le_bytes()].concat())
        .collect()
}
