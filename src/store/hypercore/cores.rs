//! The cores of logs: what the crate `hypercore` writes, and in which files.
//!
//! A log is a sequence of cores of [`BLOCKS`] blocks, since the crate cannot open a longer one
//! again. A block is a record, byte for byte. Reading does not go through the crate: an index
//! beside each core says where each block ends, and holds a check of its bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use hypercore::{
    Hypercore, HypercoreBuilder, HypercoreError, PartialKeypair, SigningKey, Storage,
    StorageTraits, Store,
};
use random_access_storage::{RandomAccess, RandomAccessError};
use zeroize::Zeroizing;

use super::change::Stage;
use super::{corrupt, layout};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::StoreError;

/// The blocks of a full core: 128 tiles.
pub(super) const BLOCKS: u64 = 32_768;

/// Cores that are kept open for appending.
const OPEN_CORES: usize = 64;

/// What the keys of cores are derived in.
const KEY_CONTEXT: &str = "bzzz 2026-11 key of a core in a store";

/// Which core of which log, and which making of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CoreId {
    pub(super) author: AuthorId,
    pub(super) number: u32,
    pub(super) generation: u32,
}

impl CoreId {
    /// The index of its first record.
    pub(super) fn first(self) -> u64 {
        u64::from(self.number) * BLOCKS
    }
}

/// The number of the core that holds a record.
pub(super) fn core_of(index: u64) -> u32 {
    u32::try_from(index / BLOCKS).unwrap_or(u32::MAX)
}

/// The cores that are open for appending.
pub(super) struct Cores {
    stage: Arc<Stage>,
    seed: Zeroizing<[u8; 32]>,
    open: BTreeMap<CoreId, Hypercore>,
}

impl fmt::Debug for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cores").field("open", &self.open.len()).finish_non_exhaustive()
    }
}

impl Cores {
    pub(super) fn new(stage: Arc<Stage>, seed: Zeroizing<[u8; 32]>) -> Self {
        Self { stage, seed, open: BTreeMap::new() }
    }

    /// Appends records to a core that holds `blocks` blocks of `bytes` bytes, and tells the bytes
    /// behind them.
    pub(super) fn append(
        &mut self,
        id: CoreId,
        (blocks, bytes): (u64, u64),
        records: &[&[u8]],
    ) -> Result<u64, StoreError> {
        let core = self.core(id, blocks, bytes)?;
        let outcome = run(id, || core.append_batch(records))?;
        let behind = id.first() + outcome.length;
        if behind == id.first() + BLOCKS {
            self.open.remove(&id);
        }
        Ok(outcome.byte_length)
    }

    /// Removes the bytes of blocks, as Hypercore's `clear` does.
    pub(super) fn clear(
        &mut self,
        id: CoreId,
        (blocks, bytes): (u64, u64),
        block: u64,
    ) -> Result<(), StoreError> {
        let mut core = self.core(id, blocks, bytes)?;
        run(id, || async move { core.clear(block, block + 1).await })
    }

    /// Forgets an open core whose files are removed or were not changed as it thinks.
    pub(super) fn forget(&mut self, id: CoreId) {
        self.open.remove(&id);
    }

    fn core(&mut self, id: CoreId, blocks: u64, bytes: u64) -> Result<Hypercore, StoreError> {
        if let Some(core) = self.open.get(&id) {
            return Ok(core.clone());
        }
        let (stage, folder) = (&self.stage, layout::core(id));
        let storage = run(id, || {
            let make = |store: Store| {
                let path = format!("{folder}/{store}");
                let file: Arc<dyn StorageTraits> =
                    Arc::new(Stored { stage: Arc::clone(stage), path });
                ready(Ok(file)).boxed()
            };
            Storage::open(make, false)
        })?;
        let key = self.key(id);
        let pair = PartialKeypair { public: key.verifying_key(), secret: Some(key) };
        let core = run(id, || HypercoreBuilder::new(storage).key_pair(pair).build())?;
        let info = core.info();
        if (info.length, info.byte_length) != (blocks, bytes) {
            let what = format!(
                "the core in {folder} has {} blocks of {} bytes, not {blocks} of {bytes}",
                info.length, info.byte_length
            );
            return Err(corrupt(&id.author, id.first() + info.length, what));
        }
        if self.open.len() >= OPEN_CORES {
            self.open.pop_first();
        }
        self.open.insert(id, core.clone());
        Ok(core)
    }

    /// The key of a core. It says nothing of the log's author, whose heads do.
    fn key(&self, id: CoreId) -> SigningKey {
        let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
        hasher.update(&*self.seed).update(&id.author.0);
        hasher.update(&id.number.to_le_bytes()).update(&id.generation.to_le_bytes());
        let secret = Zeroizing::new(*hasher.finalize().as_bytes());
        SigningKey::from_bytes(&secret)
    }
}

/// Runs what the crate calls asynchronous. All of its input and output is the [`Stage`]'s, which is
/// done at once. The crate panics at some files that it did not write.
fn run<T, F>(id: CoreId, future: impl FnOnce() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, HypercoreError>>,
{
    let done = catch_unwind(AssertUnwindSafe(|| future().now_or_never()));
    let what = match done {
        Ok(Some(Ok(value))) => return Ok(value),
        Ok(Some(Err(HypercoreError::IO { source, .. }))) => {
            return Err(super::io("use the files of a core", &source));
        }
        Ok(Some(Err(error))) => error.to_string(),
        Ok(None) => "the core waits for something".to_owned(),
        Err(_) => "the core's files make the crate panic".to_owned(),
    };
    Err(corrupt(&id.author, id.first(), format!("{}: {what}", layout::core(id))))
}

/// One of the four files of a core.
#[derive(Debug)]
struct Stored {
    stage: Arc<Stage>,
    path: String,
}

impl Stored {
    fn read_now(&self, offset: u64, length: u64) -> Result<Vec<u8>, RandomAccessError> {
        let there = self.stage.len(&self.path)?;
        let end = offset.checked_add(length).filter(|end| *end <= there);
        let (Some(_), Ok(size)) = (end, usize::try_from(length)) else {
            let end = Some(offset.saturating_add(length));
            return Err(RandomAccessError::OutOfBounds { offset, end, length: there });
        };
        let mut bytes = vec![0; size];
        self.stage.read(&self.path, offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Overwrites with zeros. The file keeps its length, since the block's place does.
    fn delete_now(&self, offset: u64, length: u64) -> Result<(), RandomAccessError> {
        let there = self.stage.len(&self.path)?;
        let end = offset.saturating_add(length).min(there);
        let size = usize::try_from(end.saturating_sub(offset));
        let zeros = vec![0; size.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?];
        self.stage.write(&self.path, offset, &zeros);
        Ok(())
    }
}

impl RandomAccess for Stored {
    fn write(&self, offset: u64, data: &[u8]) -> BoxFuture<'static, Result<(), RandomAccessError>> {
        self.stage.write(&self.path, offset, data);
        ready(Ok(())).boxed()
    }

    fn read(
        &self,
        offset: u64,
        length: u64,
    ) -> BoxFuture<'static, Result<Vec<u8>, RandomAccessError>> {
        ready(self.read_now(offset, length)).boxed()
    }

    fn del(&self, offset: u64, length: u64) -> BoxFuture<'static, Result<(), RandomAccessError>> {
        ready(self.delete_now(offset, length)).boxed()
    }

    fn truncate(&self, length: u64) -> BoxFuture<'static, Result<(), RandomAccessError>> {
        self.stage.set_len(&self.path, length);
        ready(Ok(())).boxed()
    }

    /// A length that cannot be read is none: the core then has fewer blocks than it should have.
    fn len(&self) -> u64 {
        self.stage.len(&self.path).unwrap_or(0)
    }
}
