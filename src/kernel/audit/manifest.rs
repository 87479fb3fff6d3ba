//! The manifest at the end of a bundle: what the exporter says is in it, signed, so that a bundle
//! from which something was taken away at the end is noticed too.

use super::bundle::BUNDLE_FORMAT;
use crate::kernel::identity::{AuthorId, Context, SecretKey, Signature, SignatureError, SwarmId};
use crate::kernel::log::{Cursor, CursorError, Hash, MAX_LENGTH};

/// The most logs of one bundle.
pub const MAX_BUNDLE_LOGS: usize = 65_536;

/// The manifest's bytes without its logs: everything up to their number, and the signature.
pub(super) const FIXED_BYTES: usize = 2 + 32 + 32 + 8 + 4 + 32 + 4 + 64;

/// The bytes of one log in it.
pub(super) const LOG_BYTES: usize = 32 + 8 + 32;

/// The end of one log in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// Whose log.
    pub author: AuthorId,
    /// The number of its records, at least 1.
    pub length: u64,
    /// The root at that length.
    pub root: Hash,
}

/// A manifest. One that was read is not verified before [`Manifest::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The format of the bundle, [`BUNDLE_FORMAT`].
    pub format: u16,
    /// The swarm.
    pub swarm: SwarmId,
    /// Who exported.
    pub exporter: AuthorId,
    /// The number of events in all logs.
    pub events: u64,
    /// The version of the fold that the digest is of.
    pub fold_version: u32,
    /// The digest of the state that these events lead to.
    pub digest: Hash,
    /// The logs, sorted by author.
    pub logs: Vec<LogEnd>,
}

/// Why bytes are no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The bytes are cut short or too long.
    #[error("the manifest's bytes: {0}")]
    Bytes(#[from] CursorError),
    /// A format that this program does not know.
    #[error("a manifest of format {0}; this program knows format {BUNDLE_FORMAT}")]
    Format(u16),
    /// Too many logs.
    #[error("a manifest of {0} logs; at most {MAX_BUNDLE_LOGS} are allowed")]
    Logs(usize),
    /// The logs are not sorted by author, or one is there twice.
    #[error("log {0:?} is not sorted by author in the manifest")]
    Order(AuthorId),
    /// A length of 0 or above [`MAX_LENGTH`].
    #[error("the manifest gives log {author:?} {length} records")]
    Length {
        /// Whose log.
        author: AuthorId,
        /// The length.
        length: u64,
    },
}

impl Manifest {
    /// The bytes with the exporter's signature behind them. There are at most
    /// [`MAX_BUNDLE_LOGS`] logs.
    #[must_use]
    pub fn sign(&self, key: &SecretKey) -> Vec<u8> {
        assert_eq!(key.author(), self.exporter, "an exporter signs its own manifest");
        let mut bytes = self.signed_bytes();
        let signature = key.sign(Context::Manifest, &bytes);
        bytes.extend_from_slice(&signature.0);
        bytes
    }

    fn signed_bytes(&self) -> Vec<u8> {
        assert!(self.logs.len() <= MAX_BUNDLE_LOGS, "the number of logs was checked");
        let count = u32::try_from(self.logs.len()).expect("it was just compared");
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.logs.len() * LOG_BYTES);
        bytes.extend_from_slice(&self.format.to_le_bytes());
        bytes.extend_from_slice(&self.swarm.0);
        bytes.extend_from_slice(&self.exporter.0);
        bytes.extend_from_slice(&self.events.to_le_bytes());
        bytes.extend_from_slice(&self.fold_version.to_le_bytes());
        bytes.extend_from_slice(&self.digest.0);
        bytes.extend_from_slice(&count.to_le_bytes());
        for log in &self.logs {
            bytes.extend_from_slice(&log.author.0);
            bytes.extend_from_slice(&log.length.to_le_bytes());
            bytes.extend_from_slice(&log.root.0);
        }
        bytes
    }

    /// Reads a manifest and its signature from exactly these bytes.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn read(bytes: &[u8]) -> Result<(Self, Signature), ManifestError> {
        let mut cursor = Cursor::new(bytes);
        let format = cursor.u16()?;
        if format != BUNDLE_FORMAT {
            return Err(ManifestError::Format(format));
        }
        let swarm = SwarmId(cursor.array()?);
        let exporter = AuthorId(cursor.array()?);
        let events = cursor.u64()?;
        let fold_version = cursor.u32()?;
        let digest = Hash(cursor.array()?);
        let count = cursor.u32()? as usize;
        if count > MAX_BUNDLE_LOGS || count > cursor.left() / LOG_BYTES {
            return Err(ManifestError::Logs(count));
        }
        let mut logs: Vec<LogEnd> = Vec::with_capacity(count);
        for _ in 0..count {
            let author = AuthorId(cursor.array()?);
            let (length, root) = (cursor.u64()?, Hash(cursor.array()?));
            if logs.last().is_some_and(|last| last.author >= author) {
                return Err(ManifestError::Order(author));
            }
            if length == 0 || length > MAX_LENGTH {
                return Err(ManifestError::Length { author, length });
            }
            logs.push(LogEnd { author, length, root });
        }
        let signature = Signature(cursor.array()?);
        cursor.end()?;
        let manifest = Self { format, swarm, exporter, events, fold_version, digest, logs };
        Ok((manifest, signature))
    }

    /// Verifies the exporter's signature.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, signature: &Signature) -> Result<(), SignatureError> {
        self.exporter.verify(Context::Manifest, &self.signed_bytes(), signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_is_noticed() {
        let key = SecretKey::from_seed(&[3; 32]);
        let log = |n: u8| LogEnd { author: AuthorId([n; 32]), length: 7, root: Hash([n; 32]) };
        let manifest = Manifest {
            format: BUNDLE_FORMAT,
            swarm: SwarmId([1; 32]),
            exporter: key.author(),
            events: 14,
            fold_version: 1,
            digest: Hash([2; 32]),
            logs: vec![log(4), log(5)],
        };
        let good = manifest.sign(&key);
        assert_eq!(good.len(), FIXED_BYTES + 2 * LOG_BYTES);
        let (read, signature) = Manifest::read(&good).unwrap();
        assert_eq!(read, manifest);
        assert_eq!(read.verify(&signature), Ok(()));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let believed = Manifest::read(&bad).is_ok_and(|(m, s)| m.verify(&s).is_ok());
            assert!(!believed, "byte {at}");
            assert!(Manifest::read(&good[..at]).is_err(), "cut at {at}");
        }
    }
}
