//! Claims as they stand in a git repository: the blob `claim` of the commit that
//! `refs/bzzz/claims/<issue>` points at. Signed, so that whoever reads the ref knows who wrote it
//! (`schema/claim.md`).

use bincode::{Decode, Encode};
use serde::Serialize;

use super::codec::{CodecError, decode, encode};
use super::header::EventId;
use super::task::TaskId;
use crate::kernel::identity::{AuthorId, Context, SecretKey, Signature, SignatureError, SwarmId};

/// The longest claim in bytes.
pub const CLAIM_LIMIT: usize = 1024;

/// What a claim says of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimStatus {
    /// The author works on the task; it renews the claim within the lease.
    Active,
    /// The author gave the task back; anybody may take it with the next epoch.
    Released,
    /// The author published its work: nobody takes the task, unless its issue is closed and opened
    /// again.
    Published,
    /// The author asks people; nobody takes the task until they answered.
    Escalated,
}

/// A claim.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Claim {
    /// The format of the claim, 1.
    pub format: u16,
    /// The swarm.
    pub swarm: SwarmId,
    /// The author whose log holds the claim's events.
    pub author: AuthorId,
    /// The author's process: a number drawn at its start.
    pub process: u64,
    /// The task.
    pub task: TaskId,
    /// The epoch: one more than that of the claim that this one follows.
    pub epoch: u64,
    /// How often the claim was renewed in this epoch. It makes every claim commit a new one.
    pub renewal: u64,
    /// How long the claim stands without renewal, in milliseconds.
    pub lease_ms: u64,
    /// The event that intended it.
    pub event: EventId,
    /// What it says of its task.
    pub status: ClaimStatus,
}

/// Why bytes are no claim, or it is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The bytes do not decode.
    #[error("the claim: {0}")]
    Codec(#[from] CodecError),
    /// Shorter than a signature, or longer than [`CLAIM_LIMIT`].
    #[error("a claim of {0} bytes; at most {CLAIM_LIMIT} are allowed")]
    Size(usize),
    /// A format that this program does not know.
    #[error("a claim of format {0}; this program knows format 1")]
    Format(u16),
    /// The claim is for another swarm.
    #[error("the claim belongs to swarm {0:?}")]
    Swarm(SwarmId),
    /// The signature is wrong.
    #[error("the claim: {0}")]
    Signature(#[from] SignatureError),
}

/// A claim whose signature was verified. Only [`SignedClaim::read`] and signing make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedClaim {
    claim: Claim,
    bytes: Vec<u8>,
}

impl SignedClaim {
    /// Signs a claim.
    #[must_use]
    pub fn sign(key: &SecretKey, claim: Claim) -> Self {
        assert_eq!(key.author(), claim.author, "an author signs its own claims");
        let mut bytes = encode(&claim).expect("a claim is small");
        let signature = key.sign(Context::Claim, &bytes);
        bytes.extend_from_slice(&signature.0);
        Self { claim, bytes }
    }

    /// Reads and verifies a claim of this swarm.
    ///
    /// # Errors
    /// [`ClaimError`].
    pub fn read(swarm: &SwarmId, bytes: &[u8]) -> Result<Self, ClaimError> {
        let split = bytes.len().checked_sub(64).filter(|_| bytes.len() <= CLAIM_LIMIT);
        let (body, signature) = bytes.split_at(split.ok_or(ClaimError::Size(bytes.len()))?);
        let claim: Claim = decode(body)?;
        if claim.format != 1 {
            return Err(ClaimError::Format(claim.format));
        }
        if claim.swarm != *swarm {
            return Err(ClaimError::Swarm(claim.swarm));
        }
        let signature = Signature(signature.try_into().expect("64 bytes"));
        claim.author.verify(Context::Claim, body, &signature)?;
        Ok(Self { claim, bytes: bytes.to_vec() })
    }

    /// The claim.
    #[must_use]
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The bytes of the blob: the claim's encoding, then the signature.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}
