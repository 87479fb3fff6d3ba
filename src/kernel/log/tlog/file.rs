//! Proofs as files (c2sp.org/tlog-proof@v1): a record, its path, and the checkpoint of the root.

use std::fmt::Write;

use super::base64;
use super::checkpoint::{CheckpointError, SignedCheckpoint, decimal};
use super::merkle::{TreeHash, included};
use crate::kernel::log::{ProofError, Record, RecordError};

/// The first line of a file.
const MAGIC: &str = "c2sp.org/tlog-proof@v1\n";

/// The longest file in bytes: the longest record and the longest checkpoint fit.
pub const MAX_TLOG_PROOF: usize = 262_144;

/// The most hashes of a file; a log of 2^40 records needs 40.
const MAX_HASHES: usize = 63;

/// A record of a log that proves itself. As received: well formed, nothing verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// The record; the tree is over its header.
    pub record: Record,
    /// Its index.
    pub index: u64,
    /// The path of RFC 6962, from the leaf's sibling on.
    pub hashes: Vec<TreeHash>,
    /// The checkpoint whose root it leads to.
    pub checkpoint: SignedCheckpoint,
}

/// Why a file proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// The first line is another.
    #[error("not a proof: it does not begin with the line c2sp.org/tlog-proof@v1")]
    Magic,
    /// Longer than [`MAX_TLOG_PROOF`].
    #[error("a proof of {0} bytes; at most {MAX_TLOG_PROOF} are allowed")]
    Size(usize),
    /// A line is not what it should be.
    #[error("line {line} is not {expected}")]
    Line {
        /// The line, counted from 1.
        line: usize,
        /// What it should be.
        expected: &'static str,
    },
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The path.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl TlogProof {
    /// The file's bytes, which are UTF-8.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{MAGIC}extra {}\n", base64::encode(&self.record));
        writeln!(text, "index {}", self.index).expect("a string takes all");
        for hash in &self.hashes {
            writeln!(text, "{}", base64::encode(&hash.0)).expect("a string takes all");
        }
        text + "\n" + &self.checkpoint.to_note().to_text()
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`TlogProofError`] except of the path and the body's hash.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TlogProofError> {
        if bytes.len() > MAX_TLOG_PROOF {
            return Err(TlogProofError::Size(bytes.len()));
        }
        let mut rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or(TlogProofError::Magic)?;
        let wrong = |line, expected| TlogProofError::Line { line, expected };
        let extra = || wrong(2, "`extra` and the record in base 64");
        let line = take_line(&mut rest).ok_or_else(extra)?;
        let record = text_of(line, "extra ").and_then(base64::decode).ok_or_else(extra)?;
        let number = || wrong(3, "`index` and a number");
        let line = take_line(&mut rest).ok_or_else(number)?;
        let index = text_of(line, "index ").and_then(decimal).ok_or_else(number)?;
        let mut hashes = Vec::new();
        for line in 4.. {
            let hash = || wrong(line, "a hash of 32 bytes in base 64, or empty");
            let text = take_line(&mut rest).ok_or_else(hash)?;
            if text.is_empty() {
                break;
            }
            if hashes.len() == MAX_HASHES {
                return Err(ProofError::Hashes { expected: MAX_HASHES, found: line - 3 }.into());
            }
            let read = text_of(text, "").and_then(base64::decode32);
            hashes.push(read.map(TreeHash).ok_or_else(hash)?);
        }
        let checkpoint = SignedCheckpoint::from_bytes(rest)?;
        let record = Record::from_bytes(record)?;
        Ok(Self { record, index, hashes, checkpoint })
    }

    /// Verifies body, path and the author's signature. Whose log it has to be, and what the header
    /// says, is for the caller to compare ([`SignedCheckpoint::expect`]).
    ///
    /// # Errors
    /// [`TlogProofError`], the first rule that failed.
    pub fn verify(&self) -> Result<(), TlogProofError> {
        let record = self.record.as_ref();
        record.check_body()?;
        let says = self.checkpoint.says();
        let leaf = TreeHash::leaf(record.header());
        if included(self.index, says.length, leaf, &self.hashes)? != says.root {
            return Err(ProofError::Root.into());
        }
        Ok(self.checkpoint.verify()?)
    }
}

/// The next line, without its newline; `None` if none ends.
fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (line, behind) = rest.split_at(end);
    *rest = &behind[1..];
    Some(line)
}

/// What a line says behind its first word.
fn text_of<'a>(line: &'a [u8], word: &str) -> Option<&'a str> {
    std::str::from_utf8(line).ok()?.strip_prefix(word)
}
