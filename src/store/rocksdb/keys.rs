//! The column families, their keys and their options. Numbers in keys are big-endian, so that keys
//! sort as numbers do. Inside the store a log has a number of four bytes in place of its author of
//! 32: every key is 28 bytes shorter for it.

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, LogLevel,
    Options,
};

use crate::kernel::log::NodeId;

/// RocksDB's own family: always there, never used.
pub(super) const DEFAULT: &str = "default";
/// `format` -> magic, format version, swarm; `log` and author -> the number of the log; `erasing`
/// -> keys of records.
pub(super) const META: &str = "meta";
/// Log number, index -> the bytes of the record.
pub(super) const RECORDS: &str = "records";
/// Log number, length -> the bytes of the signed head.
pub(super) const HEADS: &str = "heads";
/// Log number, tile number -> the leaf hashes.
pub(super) const TILES: &str = "tiles";
/// Log number, height, offset -> the hash.
pub(super) const NODES: &str = "nodes";
/// Group, place -> nothing.
pub(super) const GROUPS: &str = "groups";
/// Name -> a value that can be computed again.
pub(super) const CACHE: &str = "cache";

/// All families.
pub(super) const FAMILIES: [&str; 8] = [DEFAULT, META, RECORDS, HEADS, TILES, NODES, GROUPS, CACHE];

/// The key of the store's format in [`META`].
pub(super) const FORMAT: &[u8] = b"format";

/// In [`META`]: the keys in [`RECORDS`] whose bodies were erased and may still be in a file. It is
/// there only while they are being taken out.
pub(super) const ERASING: &[u8] = b"erasing";

/// What the keys of logs in [`META`] begin with.
pub(super) const LOG: &[u8] = b"log ";

/// What is not yet in a table is read from the write-ahead log at opening. This bounds its bytes,
/// and so the time to open after a crash, whatever the store's size.
const MAX_WAL_BYTES: u64 = 32 << 20;

/// What one family collects in memory before it writes a table.
const MEMTABLE_BYTES: usize = 16 << 20;

/// Decompressed blocks kept in memory, for all families together.
const CACHE_BYTES: usize = 32 << 20;

/// Large blocks: records are mostly read in order.
const BLOCK_BYTES: usize = 16 << 10;

/// Table files that a writer keeps open, so that a large store stays below the limits of a process.
const MAX_OPEN_FILES: i32 = 256;

/// The key of a log's number in [`META`].
pub(super) fn log(author: &[u8; 32]) -> Vec<u8> {
    [LOG, author].concat()
}

/// A key of [`RECORDS`], [`HEADS`] or [`TILES`].
pub(super) fn at(log: u32, number: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&log.to_be_bytes());
    key[4..].copy_from_slice(&number.to_be_bytes());
    key
}

/// A key of [`NODES`].
pub(super) fn node(log: u32, node: NodeId) -> [u8; 13] {
    let mut key = [0; 13];
    key[..4].copy_from_slice(&log.to_be_bytes());
    key[4] = node.height;
    key[5..].copy_from_slice(&node.offset.to_be_bytes());
    key
}

/// A key of [`GROUPS`].
pub(super) fn place(group: &[u8; 32], place: &[u8; 48]) -> [u8; 80] {
    let mut key = [0; 80];
    key[..32].copy_from_slice(group);
    key[32..].copy_from_slice(place);
    key
}

/// The options of the whole database.
pub(super) fn database_options(read_only: bool) -> Options {
    let mut options = Options::default();
    options.set_paranoid_checks(true);
    // A power failure may tear the last write, which nobody was promised: replay ends there. That
    // it does not end earlier is checked against `Acknowledged`.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_total_wal_size(MAX_WAL_BYTES);
    // A reader holds every file open: a writer beside it may remove what it has compacted.
    options.set_max_open_files(if read_only { -1 } else { MAX_OPEN_FILES });
    options.set_max_background_jobs(2);
    // Tables go to the disk as they are written, so that no sync of an append waits for a whole
    // one.
    options.set_bytes_per_sync(1 << 20);
    // No log file is ever written again (`set_recycle_log_file_num`), though syncs would be a
    // little cheaper: what was erased would stay in those that wait for their turn.
    options.set_recycle_log_file_num(0);
    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(1 << 20);
    options
}

/// The families with their options, which share one cache.
pub(super) fn descriptors() -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(CACHE_BYTES);
    let descriptor = |name: &&str| ColumnFamilyDescriptor::new(*name, family(name, &cache));
    FAMILIES.iter().map(descriptor).collect()
}

fn family(name: &str, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(BLOCK_BYTES);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_compression_type(match name {
        // Hashes and signatures do not shrink.
        HEADS | TILES | NODES => DBCompressionType::None,
        _ => DBCompressionType::Lz4,
    });
    options
}
