//! The hashes of the log: BLAKE3 in its `derive_key` mode with a context of its own for each use
//! (BLAKE3 paper, section 2.3), so that no hash of one kind can stand for one of another.

use std::sync::LazyLock;

use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

use crate::kernel::identity::{AuthorId, bytes32};

bytes32! {
    /// A BLAKE3 hash of 32 bytes.
    Hash
}

static LEAF: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("bzzz v1 leaf"));
static PARENT: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("bzzz v1 parent"));
static ROOT: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("bzzz v1 root"));
static BODY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("bzzz v1 body"));

impl Hash {
    /// The hash of a leaf: it covers the author and the header, so that a leaf of one author's log
    /// is never one of another's.
    #[must_use]
    pub fn leaf(author: &AuthorId, header: &[u8]) -> Self {
        Self::of(&LEAF, &[&author.0, header])
    }

    /// The hash of an inner node.
    #[must_use]
    pub fn parent(left: &Self, right: &Self) -> Self {
        Self::of(&PARENT, &[&left.0, &right.0])
    }

    /// The hash of a record's body.
    #[must_use]
    pub fn body(body: &[u8]) -> Self {
        Self::of(&BODY, &[body])
    }

    /// The root of a log: it covers the length and the peaks from left to right.
    #[must_use]
    pub fn root(length: u64, peaks: &[Self]) -> Self {
        let mut hasher = Hasher::new_from_context_key(&ROOT);
        hasher.update(&length.to_le_bytes());
        for peak in peaks {
            hasher.update(&peak.0);
        }
        Self(*hasher.finalize().as_bytes())
    }

    fn of(key: &ContextKey, parts: &[&[u8]]) -> Self {
        let mut hasher = Hasher::new_from_context_key(key);
        for part in parts {
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }
}
