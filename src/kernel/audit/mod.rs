//! Whether to believe it: exported logs are read, verified from the bytes up, folded anew, compared
//! with what was said of them, and replayed. `schema/bundle.md` has the format and the rules.
//!
//! Nothing here opens a file: what is read is handed in. Memory is bounded by one frame, some 150
//! bytes for each event, and the state; the events themselves stay in the file.

mod archive;
mod bundle;
mod compare;
mod export;
mod file;
mod manifest;
mod replay;
mod report;
mod rule;
mod verify;

pub use archive::Archive;
pub use bundle::{
    BUNDLE_FORMAT, BUNDLE_MAGIC, BundleError, BundleReader, HEADER_BYTES, MAX_MANIFEST_BYTES, Part,
};
pub use export::{ExportError, export};
pub use file::{
    EVENT_MAGIC, FORK_MAGIC, HEADS_MAGIC, HeadsProof, MAX_PROOF_FILE, PROOF_FORMAT, Proof,
    ProofFile, ProofFileError, Proven,
};
pub use manifest::{LogEnd, MAX_BUNDLE_LOGS, Manifest, ManifestError};
pub use replay::{LookupError, Step, Steps, find_task, fold_at, story};
pub use report::{Checked, Counted, Failure, Finding, LogReport, MAX_LISTED, Report, Unchecked};
pub use rule::Rule;
pub use verify::{Audit, AuditError, verify};
