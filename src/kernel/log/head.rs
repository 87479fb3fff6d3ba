//! Signed heads: an author's word for what its log is at a length.

use super::{Hash, MAX_LENGTH};
use crate::kernel::identity::{
    AuthorId, Context, PublicKey, SecretKey, Signature, SignatureError, SwarmId,
};

/// The encoded size of a signed head.
pub const HEAD_BYTES: usize = 32 + 32 + 8 + 32 + 8 + 64;

/// A head as it was received: well formed, its signature not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    /// The swarm that the log belongs to.
    pub swarm: SwarmId,
    /// The author, and so the log.
    pub author: AuthorId,
    /// The number of records that the head covers, from the first on; at least 1.
    pub length: u64,
    /// The root of the tree at that length.
    pub root: Hash,
    /// The hybrid logical clock of the append's last record, as the author gave it.
    pub clock: u64,
    /// The author's signature over all of the above.
    pub signature: Signature,
}

/// A head whose signature was verified, and whose length is in range. Only
/// [`SignedHead::verify`] and signing make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedHead(SignedHead);

/// Why bytes are not a head, or a head is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not exactly [`HEAD_BYTES`] bytes.
    #[error("a signed head has {HEAD_BYTES} bytes, not {0}")]
    Size(usize),
    /// A length of 0 or above [`MAX_LENGTH`].
    #[error("a head's length is between 1 and {MAX_LENGTH}, not {0}")]
    Length(u64),
    /// The head speaks of another swarm.
    #[error("the head belongs to swarm {found:?}, not to {expected:?}")]
    Swarm {
        /// The swarm that was expected.
        expected: SwarmId,
        /// The swarm that the head names.
        found: SwarmId,
    },
    /// The signature is wrong.
    #[error("the head of length {length}: {source}")]
    Signature {
        /// The length of the head.
        length: u64,
        /// What is wrong with it.
        source: SignatureError,
    },
}

impl SignedHead {
    /// The bytes in the order of `schema/head.md`.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..112].copy_from_slice(&self.signed_bytes());
        bytes[112..].copy_from_slice(&self.signature.0);
        bytes
    }

    /// Reads a head.
    ///
    /// # Errors
    /// [`HeadError::Size`] or [`HeadError::Length`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let bytes: &[u8; HEAD_BYTES] =
            bytes.try_into().map_err(|_| HeadError::Size(bytes.len()))?;
        let head = Self {
            swarm: SwarmId(array(bytes, 0)),
            author: AuthorId(array(bytes, 32)),
            length: u64::from_le_bytes(array(bytes, 64)),
            root: Hash(array(bytes, 72)),
            clock: u64::from_le_bytes(array(bytes, 104)),
            signature: Signature(array(bytes, 112)),
        };
        if head.length == 0 || head.length > MAX_LENGTH {
            return Err(HeadError::Length(head.length));
        }
        Ok(head)
    }

    /// Verifies swarm and signature.
    ///
    /// # Errors
    /// [`HeadError`], which says what is wrong.
    pub fn verify(self, swarm: &SwarmId) -> Result<VerifiedHead, HeadError> {
        let key = self.author.key();
        self.verify_by(swarm, &key)
    }

    /// Verifies swarm and signature with the author's key, as [`AuthorId::key`] read it: many heads
    /// of one author need it only once.
    ///
    /// # Errors
    /// [`HeadError`], which says what is wrong.
    pub fn verify_by(
        self,
        swarm: &SwarmId,
        key: &Result<PublicKey, SignatureError>,
    ) -> Result<VerifiedHead, HeadError> {
        if self.swarm != *swarm {
            return Err(HeadError::Swarm { expected: *swarm, found: self.swarm });
        }
        if self.length == 0 || self.length > MAX_LENGTH {
            return Err(HeadError::Length(self.length));
        }
        let verified = match key {
            Ok(key) if key.author() == self.author => {
                key.verify(Context::Head, &self.signed_bytes(), &self.signature)
            }
            Ok(_) => Err(SignatureError::Key),
            Err(error) => Err(*error),
        };
        verified.map_err(|source| HeadError::Signature { length: self.length, source })?;
        Ok(VerifiedHead(self))
    }

    /// Signs a head. The length is at least 1.
    #[must_use]
    pub fn sign(
        key: &SecretKey,
        swarm: SwarmId,
        length: u64,
        root: Hash,
        clock: u64,
    ) -> VerifiedHead {
        assert!((1..=MAX_LENGTH).contains(&length), "a head covers at least one record");
        let signature = Signature([0; 64]);
        let mut head = Self { swarm, author: key.author(), length, root, clock, signature };
        head.signature = key.sign(Context::Head, &head.signed_bytes());
        VerifiedHead(head)
    }

    fn signed_bytes(&self) -> [u8; 112] {
        let mut bytes = [0; 112];
        bytes[..32].copy_from_slice(&self.swarm.0);
        bytes[32..64].copy_from_slice(&self.author.0);
        bytes[64..72].copy_from_slice(&self.length.to_le_bytes());
        bytes[72..104].copy_from_slice(&self.root.0);
        bytes[104..].copy_from_slice(&self.clock.to_le_bytes());
        bytes
    }
}

impl std::ops::Deref for VerifiedHead {
    type Target = SignedHead;

    fn deref(&self) -> &SignedHead {
        &self.0
    }
}

fn array<const N: usize>(bytes: &[u8; HEAD_BYTES], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the range has N bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_is_noticed() {
        let key = SecretKey::from_seed(&[1; 32]);
        let swarm = SwarmId([2; 32]);
        let bytes = SignedHead::sign(&key, swarm, 3, Hash([4; 32]), 5).to_bytes();
        assert!(SignedHead::from_bytes(&bytes).unwrap().verify(&swarm).is_ok());
        for at in 0..bytes.len() {
            let mut bad = bytes;
            bad[at] ^= 1;
            let refused = SignedHead::from_bytes(&bad).and_then(|head| head.verify(&swarm));
            assert!(refused.is_err(), "byte {at}");
        }
    }
}
