//! `bzzz fsck`: the checks of `bzzz-verify` on the node's own store.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;

use super::context::{Context, out};
use super::error::{Error, Result};
use crate::cli::verify::{Frames, Progress, compare, print_json, print_report, take};
use crate::kernel::audit::{Expect, Failure, Records, Report, Rule, Spot, Unchecked, Verifier};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{
    Hash, LogStore, NodeId, Peaks, Range, ReadLimit, StoreError, TILE_HEIGHT, TILE_LEAVES,
};
use crate::node::Role;
use crate::node::config::StoreKind;

/// How many bytes of records are read at once.
const RANGE_BYTES: usize = 1 << 20;

/// Verify all logs of the node's store, and the store itself
///
/// Every record, signature and rule is checked as `bzzz-verify` checks a bundle, the state is
/// folded anew, and the tree that the store keeps is compared with its records. Nothing is
/// written. The node must not run meanwhile.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct FsckArgs {
    /// List who owned which task from when to when
    #[arg(long)]
    claims: bool,
}

const AFTER: &str = "\
Exit status:
  0  everything verifies
  1  something does not, or could not be checked

Examples:
  bzzz fsck
  bzzz fsck --json | jq '.failures.listed[]'";

/// The records of a store, to be read again.
struct Stored(Arc<dyn LogStore>);

impl Records for Stored {
    fn records(&self, spot: &Spot) -> std::io::Result<Vec<Vec<u8>>> {
        let limit = ReadLimit { records: spot.count, bytes: usize::MAX };
        let records = self.0.records(&spot.author, spot.seq, limit);
        let records = records.map_err(std::io::Error::other)?;
        match records.len() == spot.count {
            true => Ok(records.iter().map(|record| record.to_vec()).collect()),
            false => Err(std::io::ErrorKind::NotFound.into()),
        }
    }
}

pub(super) fn run(context: &Context, args: &FsckArgs) -> Result<()> {
    let config = context.config(&[])?;
    if config.store.kind == StoreKind::Memory {
        return Err(Error::new("the node keeps its logs in memory: there is no store"));
    }
    let _lock = context.lock()?;
    let (key, swarm) = (context.home.key()?.author(), context.home.swarm()?);
    let store = context.home.store(&config.store, Role::Reader)?;
    let mut verifier = Verifier::new(Expect::default());
    verifier.header(swarm);
    let logs: Vec<AuthorId> = store.logs()?.iter().map(|log| log.author).collect();
    let failed = Mutex::new(None);
    let mut read = Reader { store: &*store, logs: logs.into_iter(), at: None };
    let make = |frames: Frames| match read.fill(frames) {
        Ok(frames) => frames,
        Err(error) => {
            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            None
        }
    };
    take(&mut verifier, swarm, make, |_, _| ());
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let verified = verifier.finish(Stored(Arc::clone(&store)), false);
    let audit = compare(verified, Progress::new());
    let mut report = audit.map_err(|error| Error::new(error.to_string()))?.report;
    if let Some(error) = failed {
        broken(&error, &mut report);
    }
    for (author, length) in
        report.logs.iter().map(|log| (log.author, log.events)).collect::<Vec<_>>()
    {
        tree(&*store, author, length, &mut report)?;
    }
    if !report.logs.iter().any(|log| log.author == key) {
        let what = "the node's own log is not in the store".to_owned();
        report.unchecked.push(Unchecked { kind: "own", count: None, what });
    }
    let mut out = out();
    match context.json {
        true => print_json(&mut out, &report)?,
        false => print_report(&mut out, &report, args.claims)?,
    }
    out.flush()?;
    if report.verifies() { Ok(()) } else { Err(Error::Said) }
}

/// Reads the ranges of all logs.
struct Reader<'a> {
    store: &'a dyn LogStore,
    logs: std::vec::IntoIter<AuthorId>,
    at: Option<(AuthorId, u64)>,
}

impl Reader<'_> {
    fn fill(&mut self, mut frames: Frames) -> std::result::Result<Option<Frames>, StoreError> {
        frames.clear();
        while !frames.is_full() {
            let Some((author, from)) = self.at.take().or_else(|| Some((self.logs.next()?, 0)))
            else {
                break;
            };
            if let Some(range) = Range::read(self.store, author, from, RANGE_BYTES)? {
                self.at = Some((author, range.end()));
                frames.push(0, &range.to_bytes());
            }
        }
        Ok((!frames.is_empty()).then_some(frames))
    }
}

fn broken(error: &StoreError, report: &mut Report) {
    let (author, index) = match error {
        StoreError::Corrupt { author, index, .. } => (Some(*author), Some(*index)),
        _ => (None, None),
    };
    let (rule, what) = (Rule::Store, error.to_string());
    report.failures.push(Failure { rule, author, index, offset: None, what });
}

/// Compares the tiles and the nodes that the store keeps of a log with its records.
fn tree(store: &dyn LogStore, author: AuthorId, length: u64, report: &mut Report) -> Result<()> {
    let mut peaks = Peaks::default();
    let mut leaves = Vec::with_capacity(TILE_LEAVES);
    let mut found: Vec<(u64, &'static str)> = Vec::new();
    let mut failed = None;
    store.scan(&author, 0, &mut |index, record| {
        let leaf = record.leaf(&author);
        leaves.push(leaf);
        let mut nodes: Vec<(NodeId, Hash)> = Vec::new();
        peaks.push(leaf, |node, hash| {
            if node.height >= TILE_HEIGHT {
                nodes.push((node, hash));
            }
        });
        let compare = || -> std::result::Result<(), StoreError> {
            for (node, hash) in nodes {
                if store.node(&author, node)? != Some(hash) {
                    found.push((index, "a node of the tree is not that of the records"));
                }
            }
            if leaves.len() == TILE_LEAVES {
                let tile = store.tile(&author, index / TILE_LEAVES as u64)?;
                if tile.is_none_or(|tile| tile.leaves() != leaves) {
                    found.push((index, "a tile of leaves is not that of the records"));
                }
                leaves.clear();
            }
            Ok(())
        };
        failed = compare().err();
        failed.is_none() && index + 1 < length
    })?;
    if let Some(error) = failed {
        broken(&error, report);
    }
    for (index, what) in found {
        let (author, index) = (Some(author), Some(index));
        let (rule, what) = (Rule::Store, what.to_owned());
        report.failures.push(Failure { rule, author, index, offset: None, what });
    }
    Ok(())
}
