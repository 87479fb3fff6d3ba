//! The node's own tokens and keys. More come to be known while it runs: a GitHub App gets a token
//! every hour.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use zeroize::Zeroizing;

/// The shortest own secret that is looked for, in bytes: a shorter one would be found everywhere.
const MIN_OWN: usize = 8;

/// The longest own secret, in bytes. A longer one is known by its beginning.
const MAX_OWN: usize = 1024;

/// How many secrets that were got while the node runs are looked for; older ones have run out.
const MAX_GOT: usize = 256;

/// Secrets, the longest first: of two that begin alike, the longer one is masked.
pub(super) type Own = Arc<Vec<Zeroizing<Vec<u8>>>>;

#[derive(Default)]
struct All {
    kept: Vec<Zeroizing<Vec<u8>>>,
    got: VecDeque<Zeroizing<Vec<u8>>>,
    sorted: Own,
}

/// The secrets that are known now. Clones are one list.
#[derive(Clone, Default)]
pub(in crate::node) struct Secrets(Arc<RwLock<All>>);

impl Secrets {
    /// Adds one that stays.
    pub(in crate::node) fn keep(&self, secret: &[u8]) {
        self.add(secret, true);
    }

    /// Adds one that was got, and runs out.
    pub(in crate::node) fn got(&self, secret: &[u8]) {
        self.add(secret, false);
    }

    fn add(&self, secret: &[u8], stays: bool) {
        let secret = &secret[..secret.len().min(MAX_OWN)];
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if secret.len() < MIN_OWN || all.sorted.iter().any(|known| known.as_slice() == secret) {
            return;
        }
        let secret = Zeroizing::new(secret.to_vec());
        if stays {
            all.kept.push(secret);
        } else {
            all.got.push_back(secret);
            if all.got.len() > MAX_GOT {
                all.got.pop_front();
            }
        }
        let mut sorted: Vec<_> = all.kept.iter().chain(&all.got).cloned().collect();
        sorted.sort_by_key(|secret| Reverse(secret.len()));
        all.sorted = Arc::new(sorted);
    }

    pub(super) fn now(&self) -> Own {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).sorted)
    }
}
