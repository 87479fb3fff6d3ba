//! Opening: what is in the directory, whether it is ours, and whether all of it is there.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rocksdb::{DB, IteratorMode, Options, WriteOptions};

use super::acknowledged::{self, Acknowledged};
use super::{io, keys};
use crate::kernel::identity::SwarmId;
use crate::kernel::log::StoreError;

const MAGIC: &[u8; 12] = b"bzzz store\r\n";

/// The version of the layout in [`keys`].
const VERSION: u32 = 1;

const OPEN: &str = "open its files";

/// A writer beside a reader changes the set of files about once a second at the very most; opening
/// takes far less, so that a few attempts find a moment without a change.
const READ_ONLY_ATTEMPTS: u32 = 50;

/// What the directory holds.
enum Found {
    Nothing,
    /// A database, and its families.
    Database(Vec<String>),
}

/// A database that was opened, and what was found out about it.
pub(super) struct Opened {
    pub(super) db: DB,
    pub(super) swarm: SwarmId,
    /// Whether the number of the last acknowledged write was there.
    pub(super) sure: bool,
    pub(super) acknowledged: Acknowledged,
}

/// Opens a database for writing, and creates it for a swarm if it is not there. What is there is
/// first opened for reading and checked, since opening it for writing replaces its log files.
pub(super) fn writable(path: &Path, swarm: Option<&SwarmId>) -> Result<Opened, StoreError> {
    let mut found = look(path)?;
    if let Found::Nothing = found {
        if swarm.is_none() {
            return Err(nothing(path));
        }
        fs::create_dir_all(path).map_err(|error| failed(OPEN, path, &error))?;
    }
    let acknowledged = lock(path)?;
    let mut options = keys::database_options(false);
    let (mut sure, mut named) = (false, None);
    match &mut found {
        Found::Nothing => options.create_if_missing(true),
        Found::Database(families) => {
            (named, sure) = check(path, families)?;
        }
    }
    if let (Some(found), Some(expected)) = (named, swarm)
        && found != *expected
    {
        return Err(other_swarm(path, found, *expected));
    }
    options.create_missing_column_families(named.is_none());
    let db = DB::open_cf_descriptors(&options, path, keys::descriptors())
        .map_err(|error| opening(path, &error))?;
    let swarm = match (named, swarm) {
        (Some(swarm), _) => swarm,
        (None, Some(swarm)) => create(&db, swarm)?,
        (None, None) => return Err(nothing(path)),
    };
    Ok(Opened { db, swarm, sure, acknowledged })
}

fn lock(path: &Path) -> Result<Acknowledged, StoreError> {
    let acknowledged = Acknowledged::open(path).map_err(|error| failed(OPEN, path, &error))?;
    acknowledged.lock(path)?;
    Ok(acknowledged)
}

/// The swarm of a database, and whether it is certain that nothing acknowledged is missing. No
/// swarm if a crash interrupted the creation.
fn check(path: &Path, families: &[String]) -> Result<(Option<SwarmId>, bool), StoreError> {
    let promised = acknowledged::read(path).map_err(|error| failed(OPEN, path, &error))?;
    let options = keys::database_options(true);
    let db = DB::open_cf_for_read_only(&options, path, families, false)
        .map_err(|error| opening(path, &error))?;
    complete(path, &db, promised)?;
    let whole = families.len() == keys::FAMILIES.len();
    let swarm = if whole { format(path, &db)? } else { None };
    if swarm.is_none() && !is_empty(&db, families).map_err(|error| opening(path, &error))? {
        return Err(not_ours(path));
    }
    Ok((swarm, promised.is_some()))
}

/// Opens a database as it is at some moment while this runs; another process may be writing to it.
pub(super) fn read_only(path: &Path) -> Result<(DB, SwarmId), StoreError> {
    let mut attempts = READ_ONLY_ATTEMPTS;
    loop {
        attempts -= 1;
        let before = table_files(path)?;
        let opened = try_read_only(path);
        // A table written or removed meanwhile may have made this see one part before and another
        // part after.
        if attempts == 0 || before == table_files(path)? {
            return opened;
        }
        drop(opened);
        thread::sleep(Duration::from_millis(20));
    }
}

fn try_read_only(path: &Path) -> Result<(DB, SwarmId), StoreError> {
    let families = match look(path)? {
        Found::Nothing => return Err(nothing(path)),
        Found::Database(families) => families,
    };
    let promised = acknowledged::read(path).map_err(|error| failed(OPEN, path, &error))?;
    if families.len() < keys::FAMILIES.len() {
        if promised.is_none_or(|number| number == 0) {
            return Err(nothing(path));
        }
        let cause = format!("{} has a damaged MANIFEST; restore it from a copy", path.display());
        return Err(StoreError::Io { what: OPEN, cause });
    }
    let options = keys::database_options(true);
    let db = DB::open_cf_descriptors_read_only(&options, path, keys::descriptors(), false)
        .map_err(|error| opening(path, &error))?;
    complete(path, &db, promised)?;
    let swarm = format(path, &db)?.ok_or_else(|| nothing(path))?;
    Ok((db, swarm))
}

/// The names of the files that flushing and compaction add and remove, sorted.
pub(super) fn table_files(path: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = names(path)?;
    names.retain(|name| [".sst", ".log"].iter().any(|end| name.ends_with(end)));
    names.sort();
    Ok(names)
}

fn names(path: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read its directory", path, &error)),
    };
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let names: Result<_, _> = entries.map(|entry| entry.map(name)).collect();
    names.map_err(|error| failed("read its directory", path, &error))
}

/// Says what is there without changing it. RocksDB, asked to create what is missing, would make a
/// database among any files, and an empty one in place of one that lost a single file.
fn look(path: &Path) -> Result<Found, StoreError> {
    let names = names(path)?;
    if names.iter().any(|name| name == "CURRENT") {
        let families =
            DB::list_cf(&Options::default(), path).map_err(|error| opening(path, &error))?;
        let known = |name: &String| keys::FAMILIES.contains(&name.as_str());
        return match families.iter().all(known) {
            true => Ok(Found::Database(families)),
            false => Err(not_ours(path)),
        };
    }
    let tables = names.iter().any(|name| name.ends_with(".sst"));
    let promised = acknowledged::read(path).map_err(|error| failed(OPEN, path, &error))?;
    if tables || promised.is_some() {
        let cause = format!("{} has lost its file CURRENT; restore it from a copy", path.display());
        return Err(StoreError::Io { what: OPEN, cause });
    }
    match names.iter().find(|name| !of_an_interrupted_creation(name)) {
        Some(name) => Err(StoreError::Foreign(format!(
            "{} holds {name}, which is no part of a store",
            path.display()
        ))),
        None => Ok(Found::Nothing),
    }
}

fn of_an_interrupted_creation(name: &str) -> bool {
    let starts = [acknowledged::NAME, "LOG", "LOCK", "IDENTITY", "MANIFEST-", "OPTIONS-"];
    starts.iter().any(|start| name.starts_with(start)) || name.ends_with(".dbtmp")
}

fn is_empty(db: &DB, families: &[String]) -> Result<bool, rocksdb::Error> {
    for name in families {
        let family = db.cf_handle(name).expect("the families were opened");
        if let Some(first) = db.iterator_cf(family, IteratorMode::Start).next() {
            return first.map(|_| false);
        }
    }
    Ok(true)
}

/// Compares what was recovered with what had been acknowledged.
fn complete(path: &Path, db: &DB, promised: Option<u64>) -> Result<(), StoreError> {
    let (found, promised) = (db.latest_sequence_number(), promised.unwrap_or(0));
    if found >= promised {
        return Ok(());
    }
    let cause = format!(
        "the files in {} end at write {found} of {promised}; restore them from a copy, or remove \
         {} to go on with what is left",
        path.display(),
        acknowledged::path(path).display()
    );
    Err(StoreError::Io { what: "recover all that it had acknowledged", cause })
}

fn format(path: &Path, db: &DB) -> Result<Option<SwarmId>, StoreError> {
    let meta = db.cf_handle(keys::META).expect("the families were opened");
    let bytes = db.get_cf(meta, keys::FORMAT).map_err(|error| opening(path, &error))?;
    let Some(bytes) = bytes else {
        return Ok(None);
    };
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| not_ours(path))?;
    let (version, swarm) = rest.split_first_chunk().ok_or_else(|| not_ours(path))?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(StoreError::Foreign(format!(
            "{} has format {version}; this program reads format {VERSION}",
            path.display()
        )));
    }
    let swarm = swarm.try_into().map_err(|_| not_ours(path))?;
    Ok(Some(SwarmId(swarm)))
}

fn create(db: &DB, swarm: &SwarmId) -> Result<SwarmId, StoreError> {
    let meta = db.cf_handle(keys::META).expect("the families were opened");
    let bytes = [&MAGIC[..], &VERSION.to_le_bytes(), swarm.as_bytes()].concat();
    let mut sync = WriteOptions::default();
    sync.set_sync(true);
    db.put_cf_opt(meta, keys::FORMAT, bytes, &sync)
        .map_err(|error| io("write its format", &error))?;
    Ok(*swarm)
}

fn nothing(path: &Path) -> StoreError {
    StoreError::Foreign(format!("{} holds no store", path.display()))
}

fn not_ours(path: &Path) -> StoreError {
    StoreError::Foreign(format!("{} holds a database of another program", path.display()))
}

fn other_swarm(path: &Path, found: SwarmId, expected: SwarmId) -> StoreError {
    StoreError::Foreign(format!("{} belongs to swarm {found}, not to {expected}", path.display()))
}

fn failed(what: &'static str, path: &Path, error: &std::io::Error) -> StoreError {
    let cause = format!("{}: {error}", path.display());
    StoreError::Io { what, cause }
}

fn opening(path: &Path, error: &rocksdb::Error) -> StoreError {
    let text = error.as_ref();
    let cause = if text.contains("lock file") || text.contains("lock hold by") {
        format!("{} is open in another process ({text})", path.display())
    } else {
        format!("{}: {text}", path.display())
    };
    StoreError::Io { what: OPEN, cause }
}
