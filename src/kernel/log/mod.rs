//! How it is kept tamper-evident: a flat in-order Merkle tree over BLAKE3, signed heads, proofs,
//! and the port to stores.
//!
//! A log belongs to one author, never shrinks and never forks. This module does not know what a
//! record says: to it, a record is a header that commits to a body (`schema/log.md`).

mod cursor;
mod fork;
mod hash;
mod head;
mod proof;
mod range;
mod reader;
mod record;
mod store;
mod tip;
pub mod tlog;
mod tree;

pub use cursor::{Cursor, CursorError};
pub use fork::{Branch, Fork, ForkError, ForkProof};
pub use hash::Hash;
pub use head::{HEAD_BYTES, HeadError, SignedHead, VerifiedHead};
pub use proof::{Consistency, Inclusion, MAX_PROOF_HASHES, ProofError};
pub use range::{MAX_RANGE_BYTES, Range, RangeError};
pub use reader::{TreeReader, prove_consistency, prove_inclusion};
pub use record::{BODY_COMMITMENT_BYTES, MAX_BODY, MAX_HEADER, Record, RecordError, RecordRef};
pub use store::{Append, IndexEntry, LogInfo, LogStore, ReadLimit, StoreError};
pub use tip::{MAX_APPEND_BYTES, MAX_APPEND_RECORDS, Tip};
pub use tree::{MAX_LENGTH, NodeId, Peaks, TILE_HEIGHT, TILE_LEAVES, Tile, peaks_of, subtrees_of};
