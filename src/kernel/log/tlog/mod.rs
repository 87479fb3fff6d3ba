//! Logs for the world of transparency logs (C2SP): the tree of RFC 6962 over the headers of the
//! same records, checkpoints as signed notes, proofs and tiles as files. Public witnesses and
//! existing tools work with these; what bzzz itself relies on is [`super::SignedHead`].
//!
//! `schema/checkpoint.md` has the bytes. Nothing here knows what a header says.

mod base64;
mod checkpoint;
mod file;
mod merkle;
mod note;
mod tiles;

pub use base64::{decode as decode_base64, encode as encode_base64};
pub use checkpoint::{
    Checkpoint, CheckpointError, Cosigner, NotACosigner, SignedCheckpoint, origin, verifier_key,
    witness_request,
};
pub use file::{MAX_TLOG_PROOF, TlogProof, TlogProofError};
pub use merkle::{Prover, TreeHash, TreeHead, included};
pub use note::{MAX_NOTE, MAX_NOTE_SIGNATURES, Note, NoteError, NoteSignature};
pub use tiles::{TileFile, Tiles};
