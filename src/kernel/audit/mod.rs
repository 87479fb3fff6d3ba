//! Whether to believe it: exported logs are read, verified from the bytes up, folded anew, compared
//! with what was said of them, and replayed. `schema/bundle.md` has the format and the rules.
//!
//! Nothing here opens a file or starts a thread: what is read is handed in, and what can be done on
//! several threads is cut into pieces that do not depend on each other. The events stay in the
//! file: what is remembered is the state, 48 bytes for each block of up to 64 neighbouring events,
//! and as many causes as a given budget holds.

mod archive;
mod blocks;
mod bundle;
mod causes;
mod checkpoints;
mod claims;
mod compare;
mod discussion;
mod diverge;
mod erased;
mod examine;
mod explain;
mod export;
mod file;
mod input;
mod manifest;
mod naming;
mod pin;
mod policy;
mod replay;
mod report;
mod rule;
mod skipped;
mod tlog;
mod verify;
mod whole;
mod witness;

pub use archive::{Archive, BlockAt};
pub use blocks::{Blocks, InOrder};
pub use bundle::{
    BUNDLE_FORMAT, BUNDLE_MAGIC, BundleError, BundleReader, HEADER_BYTES, MAX_MANIFEST_BYTES, Part,
};
pub use checkpoints::{Confirmed, Unconfirmed, confirm};
pub use compare::Rest;
pub use discussion::{Entry, Outcome, Telling, Transcript, What, discussion};
pub use diverge::{Divergence, LogParts, Within, compare_logs, diverge};
pub use examine::{Examined, examine};
pub use explain::{
    EpochStory, Explanation, Free, MAX_TOLD, MAX_TRIES, Try, WaitKind, Waiting, Who, Won, explain,
};
pub use export::{ExportError, export};
pub use file::{
    EVENT_MAGIC, HEADS_MAGIC, HeadsProof, MAX_PROOF_FILE, PROOF_FORMAT, Proof, ProofFile,
    ProofFileError, Proven, fork_rule,
};
pub use input::{Input, Records, Sequential, Spot};
pub use manifest::{LogEnd, MAX_BUNDLE_LOGS, Manifest, ManifestError};
pub use pin::{PinError, Pins};
pub use policy::{MAX_POLICY_NAMES, PartReport, Policy, PolicyError, Speaker};
pub use replay::{LookupError, Step, Steps, find_task, fold_at, sessions_of, story};
pub use report::{
    Attested, Checked, Counted, Erased, Failure, Finding, LogReport, Lost, MAX_LISTED, Ownership,
    Report, Unchecked, Witness,
};
pub use rule::Rule;
pub use tlog::{Checkpoints, TlogError, checkpoint_rule, read_tlog_proof};
pub use verify::{
    Audit, AuditError, CAUSE_MIB, Expect, Verified, Verifier, verify, verify_expecting,
};
