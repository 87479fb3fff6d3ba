//! What goes into the machine, and what comes out.

use std::collections::{BTreeMap, BTreeSet};

use crate::kernel::identity::AuthorId;
use crate::kernel::log::{Branch, ForkProof, Hash, Range};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A peer that proved this key is connected.
    Connected(AuthorId),
    /// The last connection to a peer is gone; requests to it are not answered any more.
    Disconnected(AuthorId),
    /// A peer asks. `id` is the caller's name for the request; it comes back with the response.
    Request {
        /// Who asks.
        peer: AuthorId,
        /// The caller's name for the request, unlike all others of this peer that are not answered.
        id: u64,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A request of ours was answered, or failed.
    Response {
        /// Who was asked.
        peer: AuthorId,
        /// The id of [`Output::Request`].
        id: u64,
        /// The message, or why there is none.
        result: Result<Vec<u8>, String>,
    },
    /// What [`Output::Read`] asked for; no range if the log ends before the index.
    ReadDone {
        /// Who asked.
        peer: AuthorId,
        /// The id of [`Output::Read`].
        id: u64,
        /// The range, or why the store failed.
        result: Result<Option<Range>, String>,
    },
    /// What [`Output::Prove`] asked for; no branch if the log ends before the index.
    Proved {
        /// As in the output.
        peer: AuthorId,
        /// As in the output.
        answers: Option<u64>,
        /// As in the output.
        author: AuthorId,
        /// As in the output.
        index: u64,
        /// The branch, or why the store failed.
        result: Result<Option<Box<Branch>>, String>,
    },
    /// A log in our store has this length now, durably: by an append of ours or by whatever else.
    /// It may be shorter than before, if what does not stand was dropped.
    Local {
        /// Whose log.
        author: AuthorId,
        /// The number of its records.
        length: u64,
        /// Its root at that length.
        root: Hash,
    },
    /// What came of [`Output::Ingest`]. Every ingest is answered, once.
    Ingested {
        /// Who had sent the range.
        peer: AuthorId,
        /// Whose log.
        author: AuthorId,
        /// The length of the log in our store, durably, and its root.
        result: Result<(u64, Hash), IngestError>,
    },
    /// The members of the swarm. It replaces what was handed in before.
    Members {
        /// Those who belong to it now: they may ask, and they are asked.
        peers: BTreeSet<AuthorId>,
        /// Whose logs we hold, and up to which length they stand: the greatest length that a log
        /// can have, the length from which on a former member was revoked, or the index at which
        /// the log forked. What goes beyond is not asked for, except when it comes in one range
        /// with what stands.
        logs: BTreeMap<AuthorId, u64>,
    },
    /// Gossip: a peer passed on a head, which was verified, so that the log has this length
    /// somewhere. The peer itself need not hold it.
    Heard {
        /// Who passed it on.
        peer: AuthorId,
        /// Whose log.
        author: AuthorId,
        /// The length that the head covers.
        length: u64,
    },
    /// The rotations that led to this node's key, the oldest first, each as a signed event. It
    /// replaces what was handed in before.
    Rotations(Vec<Vec<u8>>),
    /// What came of [`Output::Introduced`]. Who is accepted is one of the peers until the next
    /// [`Input::Members`], which says whether it still is.
    Introduced {
        /// As in the output.
        peer: AuthorId,
        /// As in the output.
        id: u64,
        /// What the rotations are worth.
        result: Introduced,
    },
    /// Time passed. Due about four times a second.
    Tick,
}

/// What the rotations that a stranger showed are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Introduced {
    /// They lead from a member's key to the stranger's.
    Accepted,
    /// They lead from nobody that is known here, or from where nothing stands. Nobody's fault.
    Unknown,
    /// They prove nothing: the stranger's fault.
    Invalid(String),
}

/// Something to be done.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a request, and hand in [`Input::Response`].
    Request {
        /// To whom.
        peer: AuthorId,
        /// The machine's name for the request; no two have the same.
        id: u64,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Answer a request.
    Respond {
        /// To whom.
        peer: AuthorId,
        /// The id of [`Input::Request`].
        id: u64,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Read a range with [`Range::read`], and hand in [`Input::ReadDone`].
    Read {
        /// Who asked.
        peer: AuthorId,
        /// The id of [`Input::Request`].
        id: u64,
        /// Whose log.
        author: AuthorId,
        /// The index of the first record.
        from: u64,
        /// The most bytes of records, unless a single append has more.
        max_bytes: u32,
    },
    /// Read a branch of our copy under its newest head with [`Branch::prove`], and hand in
    /// [`Input::Proved`].
    Prove {
        /// Who asked, or whose copy ours is compared with.
        peer: AuthorId,
        /// The id of the [`Input::Request`] that it answers; none if it is for a comparison.
        answers: Option<u64>,
        /// Whose log.
        author: AuthorId,
        /// The index.
        index: u64,
    },
    /// A stranger shows the rotations that led to its key. Judge them, and hand in
    /// [`Input::Introduced`].
    Introduced {
        /// Who.
        peer: AuthorId,
        /// The id of [`Input::Request`].
        id: u64,
        /// The rotations, each as a signed event that nobody has looked at.
        rotations: Vec<Vec<u8>>,
    },
    /// A log forked. The proof is verified: say so to everybody.
    Forked {
        /// The proof.
        proof: Box<ForkProof>,
    },
    /// Verify a range, store it durably, and hand in [`Input::Ingested`]. No other range of the
    /// log is given out before that.
    Ingest {
        /// Who sent it.
        peer: AuthorId,
        /// The range, from the end of our log on, as far as the machine knows.
        range: Range,
    },
    /// The peer broke a rule: close its connections and take no new ones for this time.
    Penalise {
        /// Who.
        peer: AuthorId,
        /// What it did.
        reason: String,
        /// For how long.
        seconds: u64,
    },
}

/// Why a range was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// It does not start where the log ends: another range came first. Nobody's fault.
    #[error("the log has {length} records, and the range does not start there")]
    Gap {
        /// The length of the log in our store.
        length: u64,
    },
    /// Its records do not lead to the roots that the author signed: the log forked, or the peer
    /// changed them.
    #[error("the range does not fit the log, though its heads are the author's")]
    Conflict,
    /// It is of a branch of a forked log that does not stand. Not the peer's fault.
    #[error("the range is of a branch that does not stand")]
    OtherBranch,
    /// The log is this node's own, and it takes in no more of it. Nobody's fault.
    #[error("the log is this node's own")]
    OwnLog,
    /// It does not verify: the peer's fault.
    #[error("the range does not verify: {0}")]
    Invalid(String),
    /// The author is not a member any more. Nobody's fault.
    #[error("the log is not a member's")]
    NotAMember,
    /// Our store failed: not the peer's fault.
    #[error("the store failed: {0}")]
    Store(String),
}
