//! What the directory holds, and whether it is ours.

use std::sync::Arc;

use hypercore::generate_signing_key;
use zeroize::Zeroizing;

use super::disk::Disk;
use super::journal::{self, Journal};
use super::layout::{CHECK, FORMAT, check};
use super::{ACKNOWLEDGED, LOCK, corrupt_file, io as failed};
use crate::kernel::identity::SwarmId;
use crate::kernel::log::StoreError;

const MAGIC: &[u8; 12] = b"bzzz hyper\r\n";

/// The version of the layout in [`super::layout`].
const VERSION: u32 = 1;

const BYTES: usize = MAGIC.len() + 4 + 32 + 32 + CHECK;

const OPEN: &str = "open its files";

/// What the file FORMAT says.
pub(super) struct Format {
    pub(super) swarm: SwarmId,
    /// What the keys of this store's cores are derived from.
    pub(super) seed: Zeroizing<[u8; 32]>,
}

/// Reads the format, or makes a store where there is none and a swarm is given.
pub(super) fn open_or_create(
    disk: &Arc<dyn Disk>,
    swarm: Option<&SwarmId>,
    place: &str,
) -> Result<Format, StoreError> {
    let format = match (read(&**disk, place)?, swarm) {
        (Some(format), _) => format,
        (None, Some(swarm)) => create(disk, swarm)?,
        (None, None) => return Err(nothing(place)),
    };
    match swarm {
        Some(expected) if *expected != format.swarm => Err(StoreError::Foreign(format!(
            "{place} belongs to swarm {}, not to {expected}",
            format.swarm
        ))),
        _ => Ok(format),
    }
}

/// Reads the format of a store that is there.
pub(super) fn open(disk: &dyn Disk, place: &str) -> Result<Format, StoreError> {
    read(disk, place)?.ok_or_else(|| nothing(place))
}

/// `None` if there is nothing, or what an interrupted creation left.
fn read(disk: &dyn Disk, place: &str) -> Result<Option<Format>, StoreError> {
    let names = disk.list("").map_err(|error| failed(OPEN, &error))?;
    let known = |name: &str| {
        [FORMAT, ACKNOWLEDGED, LOCK, "logs", "groups", "cache"].contains(&name)
            || journal::is_journal(name)
    };
    let unknown = names.iter().find(|name| !known(name));
    if let Some(name) = unknown {
        let what = if names.iter().any(|name| name == "CURRENT") {
            format!("{place} holds a database of RocksDB, not a store of Hypercore's files")
        } else {
            format!("{place} holds {name}, which is no part of a store")
        };
        return Err(StoreError::Foreign(what));
    }
    let begun = names.iter().any(|name| ["logs", "groups", ACKNOWLEDGED].contains(&&name[..]));
    match content(disk)? {
        None if begun => Err(corrupt_file(FORMAT, &format!("it is not in {place}"))),
        Some(bytes) if !begun && is_torn(&bytes) => Ok(None),
        None => Ok(None),
        Some(bytes) => decode(&bytes, place).map(Some),
    }
}

/// Whether a crash interrupted the writing of the file, which is the last one of a new store: some
/// of its bytes are there, and others are zero or missing.
fn is_torn(bytes: &[u8]) -> bool {
    let start = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
    let whole = bytes.split_last_chunk().is_some_and(|(content, found)| {
        bytes.len() == BYTES && check(FORMAT, 0, content) == *found
    });
    !whole && bytes.len() <= BYTES && bytes.iter().zip(start).all(|(b, s)| [0, s].contains(b))
}

fn content(disk: &dyn Disk) -> Result<Option<Vec<u8>>, StoreError> {
    let length = disk.len(FORMAT).map_err(|error| failed(OPEN, &error))?;
    let Some(length) = length else {
        return Ok(None);
    };
    // One byte more than it should have shows that it is too long.
    let length = usize::try_from(length.min(BYTES as u64 + 1)).expect("a few bytes");
    let mut bytes = vec![0; length];
    disk.read(FORMAT, 0, &mut bytes).map_err(|error| failed(OPEN, &error))?;
    Ok(Some(bytes))
}

fn decode(bytes: &[u8], place: &str) -> Result<Format, StoreError> {
    let foreign = || StoreError::Foreign(format!("{place} holds a file FORMAT of another program"));
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(foreign)?;
    let (version, _) = rest.split_first_chunk().ok_or_else(foreign)?;
    let version = u32::from_le_bytes(*version);
    let whole = bytes
        .split_last_chunk::<CHECK>()
        .filter(|(content, found)| bytes.len() == BYTES && check(FORMAT, 0, content) == **found);
    let Some((content, _)) = whole else {
        // Another version may have another length and another check.
        return Err(match version {
            VERSION => corrupt_file(FORMAT, "its check does not hold"),
            _ => other_version(version, place),
        });
    };
    if version != VERSION {
        return Err(other_version(version, place));
    }
    let (swarm, seed) = content[MAGIC.len() + 4..].split_at(32);
    let seed = Zeroizing::new(seed.try_into().expect("32 bytes"));
    Ok(Format { swarm: SwarmId(swarm.try_into().expect("32 bytes")), seed })
}

fn other_version(version: u32, place: &str) -> StoreError {
    StoreError::Foreign(format!(
        "{place} has format {version}; this program reads format {VERSION}"
    ))
}

fn create(disk: &Arc<dyn Disk>, swarm: &SwarmId) -> Result<Format, StoreError> {
    let what = "make its files";
    for name in journal::names(&**disk).map_err(|error| failed(what, &error))? {
        disk.remove(&name).map_err(|error| failed(what, &error))?;
    }
    Journal::create(Arc::clone(disk)).map_err(|error| failed(what, &error))?;
    let seed = Zeroizing::new(generate_signing_key().to_bytes());
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(swarm.as_bytes());
    bytes.extend_from_slice(&*seed);
    let check = check(FORMAT, 0, &bytes);
    bytes.extend_from_slice(&check);
    let written = disk.set_len(FORMAT, 0).and_then(|()| disk.write(FORMAT, 0, &bytes));
    written.and_then(|()| disk.sync(FORMAT)).map_err(|error| failed(what, &error))?;
    Ok(Format { swarm: *swarm, seed })
}

fn nothing(place: &str) -> StoreError {
    StoreError::Foreign(format!("{place} holds no store"))
}
