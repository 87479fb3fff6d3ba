//! Who says it: Ed25519 keys, signatures and the names of authors and swarms.
//!
//! Signatures are RFC 8032 Ed25519, made over `context || 0x00 || message` and verified strictly
//! (no small-order points, canonical scalars), so that every verifier agrees on every signature.
//! The one exception are signed notes, whose format is not ours: they are signed as they stand.
//! This module never makes randomness: the bytes of a new key are handed in.

mod prefix;

use std::fmt;

pub use prefix::IdPrefix;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

/// Makes a newtype of 32 bytes that prints and reads as 64 lower-case hexadecimal digits.
macro_rules! bytes32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
        )]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first ten hexadecimal digits, for people.
            #[must_use]
            pub fn short(&self) -> String {
                hex::encode(&self.0[..5])
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), hex::encode(&self.0[..5]))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::kernel::identity::NotAnId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; 32];
                match hex::decode_to_slice(text, &mut bytes) {
                    Ok(()) => Ok(Self(bytes)),
                    Err(_) => Err($crate::kernel::identity::NotAnId {
                        what: stringify!($name),
                        text: text.chars().take(80).collect(),
                    }),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    };
}
pub(crate) use bytes32;

/// A text that was to name a key, a swarm, a task or an event, and does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a {what} (64 hexadecimal digits): {text:?}")]
pub struct NotAnId {
    pub(crate) what: &'static str,
    pub(crate) text: String,
}

bytes32! {
    /// An author: an Ed25519 public key. It names the author's one log and is its libp2p identity.
    AuthorId
}
bytes32! {
    /// A swarm: commits to the founding event and its author (`schema/identity.md`).
    SwarmId
}

/// What a signature is for. The context is part of what is signed, so that a signature made for
/// one use is worth nothing in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// A signed head of a log.
    Head,
    /// A claim on a task, as kept in a git repository.
    Claim,
    /// The manifest of an exported bundle.
    Manifest,
    /// The consent of a new key to follow an old one.
    Rotation,
}

impl Context {
    fn text(self) -> &'static [u8] {
        match self {
            Self::Head => b"bzzz v1 head\0",
            Self::Claim => b"bzzz v1 claim\0",
            Self::Manifest => b"bzzz v1 manifest\0",
            Self::Rotation => b"bzzz v1 rotation\0",
        }
    }

    fn message(self, message: &[u8]) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.text().len() + message.len());
        all.extend_from_slice(self.text());
        all.extend_from_slice(message);
        all
    }
}

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Signature(pub [u8; 64]);

impl serde::Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}..)", hex::encode(&self.0[..5]))
    }
}

/// Why a signature was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The author's name is no point on the curve, or one of small order.
    #[error("the author's name is not a valid Ed25519 public key")]
    Key,
    /// The signature does not verify under the author's key.
    #[error("the signature does not verify")]
    Mismatch,
}

impl AuthorId {
    /// The key of this author, read once for many signatures.
    ///
    /// # Errors
    /// [`SignatureError::Key`] if the author's name is no usable key.
    pub fn key(&self) -> Result<PublicKey, SignatureError> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| SignatureError::Key)?;
        if key.is_weak() { Err(SignatureError::Key) } else { Ok(PublicKey(key)) }
    }

    /// Verifies a signature of this author strictly.
    ///
    /// # Errors
    /// [`SignatureError::Key`] if the author's name is no usable key, otherwise
    /// [`SignatureError::Mismatch`].
    pub fn verify(
        &self,
        context: Context,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.key()?.verify(context, message, signature)
    }
}

/// An author's public key: a point of the curve, not of small order. Only [`AuthorId::key`] makes
/// one.
#[derive(Clone, Debug)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The author whose key this is.
    #[must_use]
    pub fn author(&self) -> AuthorId {
        AuthorId(self.0.to_bytes())
    }

    /// Verifies a signature strictly.
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`].
    pub fn verify(
        &self,
        context: Context,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        let verified = self.0.verify_strict(&context.message(message), &signature);
        verified.map_err(|_| SignatureError::Mismatch)
    }

    /// Verifies a signature of a signed note strictly, over its text alone.
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`].
    pub fn verify_note(&self, text: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(text, &signature).map_err(|_| SignatureError::Mismatch)
    }
}

/// An author's secret key. It is wiped from memory when dropped and never printed.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key of a 32-byte seed (RFC 8032, section 5.1.5). The caller provides its randomness.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, to be written to a key file. The caller wipes it.
    #[must_use]
    pub fn seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_bytes())
    }

    /// The author whose key this is.
    #[must_use]
    pub fn author(&self) -> AuthorId {
        AuthorId(self.0.verifying_key().to_bytes())
    }

    /// Signs the text of a note, as it stands. It begins with `bzzz/` and no context does, so that
    /// it is worth nothing in any other use (`schema/security.md`).
    #[must_use]
    pub fn sign_note(&self, text: &str) -> Signature {
        assert!(text.starts_with("bzzz/") && !text.contains('\0'), "a note of a log of bzzz");
        Signature(self.0.sign(text.as_bytes()).to_bytes())
    }

    /// Signs a message for one use.
    #[must_use]
    pub fn sign(&self, context: Context, message: &[u8]) -> Signature {
        Signature(self.0.sign(&context.message(message)).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {:?})", self.author())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_bound_to_message_author_and_use() {
        let key = SecretKey::from_seed(&[7; 32]);
        let other = SecretKey::from_seed(&[8; 32]).author();
        let signature = key.sign(Context::Head, b"x");
        assert_eq!(key.author().verify(Context::Head, b"x", &signature), Ok(()));
        let no = Err(SignatureError::Mismatch);
        assert_eq!(key.author().verify(Context::Head, b"y", &signature), no);
        assert_eq!(key.author().verify(Context::Claim, b"x", &signature), no);
        assert_eq!(other.verify(Context::Head, b"x", &signature), no);
    }

    #[test]
    fn a_small_order_key_verifies_nothing() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let result = AuthorId(identity).verify(Context::Head, b"x", &Signature([0; 64]));
        assert_eq!(result, Err(SignatureError::Key));
    }

    #[test]
    fn ids_print_and_read_alike() {
        let id = SecretKey::from_seed(&[7; 32]).author();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("zz".parse::<AuthorId>().is_err());
    }
}
