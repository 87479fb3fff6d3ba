//! Takes bodies out of the files. RocksDB only ever adds: what was replaced stays in the
//! write-ahead log until its tables are written, and in the tables until they are compacted.

use std::time::Duration;

use rocksdb::{BottommostLevelCompaction, CompactOptions, DB, FlushOptions, WriteBatch};

use super::open::table_files;
use super::{family, io, keys, synced};
use crate::kernel::log::{Record, StoreError};

/// A key of [`keys::RECORDS`], and the record without its body.
pub(super) type Erased = ([u8; 12], Record);

const REWRITE: &str = "take erased payloads out of its files";

/// How often it is looked whether those have ended who read files that are replaced, and the time
/// between: 30 seconds together.
const LOOKS: u32 = 3000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

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
    let what = |error: &rocksdb::Error| io(REWRITE, error);
    let before = table_files(db.path())?;
    rewrite(db, keys).map_err(|error| what(&error))?;
    let mut looks = 0;
    while let Some(file) = left_of(db, &before)? {
        if looks == LOOKS {
            let cause = format!("{file} is still being read; the next opening removes it");
            return Err(StoreError::Io { what: REWRITE, cause });
        }
        looks += 1;
        std::thread::sleep(BETWEEN_LOOKS);
    }
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
    Ok(())
}

/// The first of these files that is there and of no use any more. Flushes and compactions remove
/// them soon afterwards, and a reader that began before keeps what it reads.
fn left_of(db: &DB, before: &[String]) -> Result<Option<String>, StoreError> {
    let what = |error: &rocksdb::Error| io(REWRITE, error);
    // Allowing it again removes now what may be removed.
    db.disable_file_deletions().map_err(|error| what(&error))?;
    db.enable_file_deletions().map_err(|error| what(&error))?;
    let live = db.live_files().map_err(|error| what(&error))?;
    let now = table_files(db.path())?;
    let logs = now.iter().filter(|name| name.ends_with(".log"));
    let log = logs.max_by_key(|name| (name.len(), *name));
    let is_live = |name: &String| {
        Some(name) == log || live.iter().any(|file| file.name.trim_start_matches('/') == name)
    };
    Ok(now.iter().find(|name| before.contains(name) && !is_live(name)).cloned())
}
