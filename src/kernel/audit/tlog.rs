//! Checkpoints and proofs of the world of transparency logs: the rules that they break, and
//! checkpoints that an auditor obtained elsewhere, which a bundle's logs have to keep.

use std::collections::BTreeMap;

use super::file::proof_rule;
use super::rule::Rule;
use super::verify::Verifier;
use crate::kernel::event::{Event, EventError};
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::tlog::{
    Checkpoint, CheckpointError, Cosigner, SignedCheckpoint, TlogProof, TlogProofError, TreeHash,
    TreeHead,
};
use crate::kernel::log::{Range, RecordError, Tip};

/// The stable name of the rule that a checkpoint breaks.
#[must_use]
pub fn checkpoint_rule(error: &CheckpointError) -> &'static str {
    match error {
        CheckpointError::Note(_) => "note-bytes",
        CheckpointError::Lines(_)
        | CheckpointError::Origin
        | CheckpointError::Length
        | CheckpointError::Root
        | CheckpointError::HeadRoot => "checkpoint-text",
        CheckpointError::Author { .. } => "checkpoint-author",
        CheckpointError::Swarm { .. } => "checkpoint-swarm",
        CheckpointError::Unsigned | CheckpointError::Signature(_) => "checkpoint-signature",
        CheckpointError::Cosignature { .. } => "checkpoint-cosignature",
    }
}

/// Why a file of c2sp.org/tlog-proof proves nothing of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlogError {
    /// The file.
    #[error(transparent)]
    Proof(#[from] TlogProofError),
    /// The record is no event, or one of another index.
    #[error(transparent)]
    Event(#[from] EventError),
}

impl From<CheckpointError> for TlogError {
    fn from(error: CheckpointError) -> Self {
        Self::Proof(error.into())
    }
}

impl TlogError {
    /// The stable name of the rule that is broken.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Proof(TlogProofError::Magic) => "proof-magic",
            Self::Proof(TlogProofError::Size(_) | TlogProofError::Line { .. }) => "proof-bytes",
            Self::Proof(TlogProofError::Checkpoint(error)) => checkpoint_rule(error),
            Self::Proof(TlogProofError::Record(RecordError::BodyHash)) => "record-body-hash",
            Self::Proof(TlogProofError::Record(_)) => "record-bytes",
            Self::Proof(TlogProofError::Proof(error)) => proof_rule(error),
            Self::Event(EventError::Seq { .. }) => "event-seq",
            Self::Event(_) => "event-header",
        }
    }
}

/// Reads and verifies a file of c2sp.org/tlog-proof: of the log of this author and swarm, if they
/// are given.
///
/// # Errors
/// [`TlogError`], the first rule that failed.
pub fn read_tlog_proof(
    bytes: &[u8],
    author: Option<&AuthorId>,
    swarm: Option<&SwarmId>,
) -> Result<(TlogProof, Event), TlogError> {
    let proof = TlogProof::from_bytes(bytes)?;
    proof.checkpoint.expect(author, swarm)?;
    proof.verify()?;
    let author = proof.checkpoint.says().author;
    let event = Event::read(author, proof.index, proof.record.as_ref())?;
    Ok((proof, event))
}

/// Checkpoints that an auditor obtained elsewhere. Their authors signed them.
#[derive(Clone, Debug, Default)]
pub struct Checkpoints(BTreeMap<AuthorId, Vec<SignedCheckpoint>>);

impl Checkpoints {
    /// Adds one.
    ///
    /// # Errors
    /// [`CheckpointError`] if its author did not sign it, or one of these cosigned it wrongly.
    pub fn add<'a>(
        &mut self,
        checkpoint: SignedCheckpoint,
        cosigners: impl Iterator<Item = &'a Cosigner>,
    ) -> Result<(), CheckpointError> {
        checkpoint.verify()?;
        for cosigner in cosigners {
            checkpoint.cosigned(cosigner)?;
        }
        self.0.entry(checkpoint.says().author).or_default().push(checkpoint);
        Ok(())
    }

    /// How many records of a log a cosigner attests, from the first on.
    pub(super) fn cosigned(&self, author: &AuthorId, by: &Cosigner) -> u64 {
        let all = self.0.get(author).into_iter().flatten();
        let cosigned = all.filter(|one| one.cosigned(by).is_ok_and(|time| time.is_some()));
        cosigned.map(|one| one.says().length).max().unwrap_or(0)
    }

    /// What is to be compared with the next range of a log, of which these are the bytes.
    pub(super) fn watch(&self, author: &AuthorId, range: &[u8]) -> Watch {
        let Some(checkpoints) = self.0.get(author) else {
            return Watch::default();
        };
        let records = Range::from_bytes(range).map(|range| range.records).unwrap_or_default();
        let leaves = records.iter().map(|record| TreeHash::leaf(record.as_ref().header()));
        let leaves: Vec<_> = leaves.collect();
        let checkpoints = checkpoints.iter().map(|one| one.says().clone()).collect();
        Watch { leaves: leaves.into_iter(), checkpoints, wrong: Vec::new() }
    }
}

/// The checkpoints of one log, while its records pass by.
#[derive(Debug, Default)]
pub(super) struct Watch {
    leaves: std::vec::IntoIter<TreeHash>,
    checkpoints: Vec<Checkpoint>,
    /// The lengths at which a checkpoint has another root, and what is wrong.
    pub(super) wrong: Vec<(u64, String)>,
}

impl Watch {
    /// Moves the tree on by one record. The tip is the one behind it.
    pub(super) fn next(&mut self, tree: &mut TreeHead, tip: &Tip) {
        let Some(leaf) = self.leaves.next() else {
            return;
        };
        tree.push(leaf, |_, _| ());
        let length = tree.length();
        for said in self.checkpoints.iter().filter(|said| said.length == length) {
            if said.root != tree.root() {
                let what = format!(
                    "a checkpoint of {length} records has the root {}: the log was rewritten or \
                     forked",
                    said.root.short()
                );
                self.wrong.push((length, what));
            } else if said.head_root != tip.root() {
                let what = format!(
                    "a checkpoint of these {length} records says bzzz-root {}, which they do not \
                     have",
                    said.head_root.short()
                );
                self.wrong.push((length, what));
            }
        }
    }
}

impl Verifier {
    /// Every checkpoint must be of a log of this swarm, and inside it.
    pub(super) fn checkpointed(&mut self) {
        let mut wrong = Vec::new();
        for said in self.expect.checkpoints.0.values().flatten().map(SignedCheckpoint::says) {
            let log = self.logs.get(&said.author);
            let length = log.map_or(0, |log| log.tip.length());
            if self.swarm.is_some_and(|swarm| swarm != said.swarm) {
                let what = format!("a checkpoint of the log is of swarm {}", said.swarm);
                wrong.push((said.author, 0, what));
            } else if said.length > length && !log.is_some_and(|log| log.broken) {
                let what = format!(
                    "a checkpoint has {} records, and here it has {length}: older, or cut",
                    said.length
                );
                wrong.push((said.author, length, what));
            }
        }
        for (author, length, what) in wrong {
            self.fail(Rule::CheckpointRoot, Some(author), Some(length), 0, &what);
        }
    }
}
