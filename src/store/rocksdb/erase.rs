//! Takes bodies out of the files. RocksDB only ever adds: what was replaced stays in the
//! write-ahead log until its tables are written, and in the tables until they are compacted.

use rocksdb::{BottommostLevelCompaction, CompactOptions, DB, FlushOptions, WriteBatch};

use super::{family, io, keys, synced};
use crate::kernel::log::{Record, StoreError};

/// A key of [`keys::RECORDS`], and the record without its body.
pub(super) type Erased = ([u8; 12], Record);

/// Up to so many places are compacted one by one; more, as one range of keys.
const ONE_BY_ONE: usize = 16;

/// Replaces records, and notes that their bodies are still in the files.
pub(super) fn replace(db: &DB, erased: &[Erased]) -> Result<(), StoreError> {
    let mut batch = WriteBatch::default();
    let mut list = Vec::with_capacity(erased.len() * 12);
    for (key, record) in erased {
        batch.put_cf(family(db, keys::RECORDS), key, &record[..]);
        list.extend_from_slice(key);
    }
    batch.put_cf(family(db, keys::META), keys::ERASING, list);
    db.write_opt(batch, &synced()).map_err(|error| io("erase payloads", &error))
}

/// Takes what was replaced out of the files, if anything is noted.
pub(super) fn finish(db: &DB) -> Result<(), StoreError> {
    let meta = family(db, keys::META);
    let list = db.get_cf(meta, keys::ERASING).map_err(|error| io("read its notes", &error))?;
    let Some(list) = list else {
        return Ok(());
    };
    let (keys, _) = list.as_chunks::<12>();
    rewrite(db, keys).map_err(|error| io("take erased payloads out of its files", &error))?;
    db.delete_cf_opt(meta, keys::ERASING, &synced()).map_err(|error| io("write its notes", &error))
}

fn rewrite(db: &DB, keys: &[[u8; 12]]) -> Result<(), rocksdb::Error> {
    // Once every family is in tables, a new log is begun and the old ones are removed.
    let families = keys::FAMILIES.map(|name| family(db, name));
    db.flush_cfs_opt(&families, &FlushOptions::default())?;
    let mut options = CompactOptions::default();
    // The lowest tables too: they are otherwise left as they are.
    options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    options.set_exclusive_manual_compaction(true);
    let records = family(db, keys::RECORDS);
    if keys.len() > ONE_BY_ONE {
        db.compact_range_cf_opt(records, keys.iter().min(), keys.iter().max(), &options);
    } else {
        for key in keys {
            db.compact_range_cf_opt(records, Some(key), Some(key), &options);
        }
    }
    // Values that were computed from what was erased, and were replaced since.
    let cache = family(db, keys::CACHE);
    db.compact_range_cf_opt(cache, None::<&[u8]>, None::<&[u8]>, &options);
    // Flushes and compactions remove files soon afterwards; allowing it again removes them now.
    db.disable_file_deletions()?;
    db.enable_file_deletions()
}
