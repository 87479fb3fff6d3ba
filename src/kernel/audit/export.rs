//! Writes a bundle from a store.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::bundle::{BUNDLE_FORMAT, BUNDLE_MAGIC};
use super::manifest::{LogEnd, MAX_BUNDLE_LOGS, Manifest};
use crate::kernel::fold::FOLD_VERSION;
use crate::kernel::identity::{AuthorId, SecretKey, SwarmId};
use crate::kernel::log::{Hash, LogStore, Range, StoreError};

/// How many bytes of records one frame holds, unless one append is longer.
const FRAME_BYTES: usize = 1024 * 1024;

/// Why a bundle could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Writing failed.
    #[error("the bundle could not be written: {0}")]
    Io(#[from] io::Error),
    /// More logs than a bundle may have.
    #[error("a bundle of {0} logs; at most {MAX_BUNDLE_LOGS} are allowed")]
    Logs(usize),
    /// The state does not cover whole appends of a log: events of it are held back.
    #[error("log {author}: no append ends at {length} records; try again when all is folded")]
    Boundary {
        /// Whose log.
        author: AuthorId,
        /// The length that was asked for.
        length: u64,
    },
}

/// Writes the logs up to a frontier, and the manifest that the exporter signs. The digest is that
/// of the state at exactly this frontier, by this program's fold; a node's engine has both at hand.
///
/// Logs that grow meanwhile do no harm: nothing behind the frontier is written.
///
/// # Errors
/// [`ExportError`]. What was written until then is no bundle.
pub fn export(
    store: &dyn LogStore,
    swarm: SwarmId,
    key: &SecretKey,
    frontier: &BTreeMap<AuthorId, u64>,
    digest: Hash,
    out: &mut dyn Write,
) -> Result<Manifest, ExportError> {
    if frontier.len() > MAX_BUNDLE_LOGS {
        return Err(ExportError::Logs(frontier.len()));
    }
    out.write_all(BUNDLE_MAGIC)?;
    out.write_all(&BUNDLE_FORMAT.to_le_bytes())?;
    out.write_all(&swarm.0)?;
    let mut logs = Vec::with_capacity(frontier.len());
    for (author, length) in frontier {
        logs.extend(export_log(store, *author, *length, out)?);
    }
    let manifest = Manifest {
        format: BUNDLE_FORMAT,
        swarm,
        exporter: key.author(),
        events: logs.iter().map(|log| log.length).sum(),
        fold_version: FOLD_VERSION,
        digest,
        logs,
    };
    out.write_all(&0u32.to_le_bytes())?;
    write_part(out, &manifest.sign(key))?;
    out.flush()?;
    Ok(manifest)
}

/// The log's end; `None` for an empty log, which is not in the bundle.
fn export_log(
    store: &dyn LogStore,
    author: AuthorId,
    length: u64,
    out: &mut dyn Write,
) -> Result<Option<LogEnd>, ExportError> {
    let mut end = None;
    let mut from = 0;
    while from < length {
        let Some(mut range) = Range::read(store, author, from, FRAME_BYTES)? else {
            return Err(ExportError::Boundary { author, length });
        };
        let inside = range.heads.iter().take_while(|head| head.length <= length).count();
        range.heads.truncate(inside);
        let Some(last) = range.heads.last() else {
            return Err(ExportError::Boundary { author, length });
        };
        let records = usize::try_from(last.length - from).expect("a range is small");
        range.records.truncate(records);
        from = last.length;
        end = Some(LogEnd { author, length: last.length, root: last.root });
        write_part(out, &range.to_bytes())?;
    }
    Ok(end)
}

fn write_part(out: &mut dyn Write, bytes: &[u8]) -> Result<(), ExportError> {
    let length = u32::try_from(bytes.len()).expect("ranges and manifests are far below 4 GiB");
    out.write_all(&length.to_le_bytes())?;
    Ok(out.write_all(bytes)?)
}
