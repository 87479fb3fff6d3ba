//! Fork proofs: an author signed two histories of its log, and here is the first index at which
//! they differ. Whoever has the proof needs nothing else to believe it (`schema/proof.md`).

use super::cursor::{Cursor, CursorError};
use super::{
    Consistency, HEAD_BYTES, Hash, HeadError, Inclusion, LogStore, Peaks, ProofError, SignedHead,
    StoreError, Tip, TreeReader, prove_consistency, prove_inclusion,
};
use crate::kernel::identity::{AuthorId, SwarmId};

/// What a file with a fork proof begins with.
const FILE_MAGIC: &[u8; 9] = b"bzzz-fork";

/// The format of the file.
const FILE_FORMAT: u16 = 1;

/// One of the two histories: what its author signed of it, up to the first index that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// A head of this history, above the index.
    pub head: SignedHead,
    /// From the index on to the head's length: the history before the index.
    pub before: Consistency,
    /// The leaf at the index.
    pub leaf: Hash,
    /// The leaf's place at the index, in the head's length.
    pub inclusion: Inclusion,
}

/// Two histories of one log that differ first at one index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkProof {
    /// The branches, the one with the smaller leaf hash first.
    pub branches: [Branch; 2],
}

/// What a fork proof proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Whose log forked.
    pub author: AuthorId,
    /// The first index at which the histories differ.
    pub index: u64,
}

/// Why a fork proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForkError {
    /// The bytes are cut short or go on after the proof.
    #[error("the fork proof's bytes: {0}")]
    Bytes(#[from] CursorError),
    /// The file does not begin as one with a fork proof does.
    #[error("the file does not begin with \"bzzz-fork\"")]
    Magic,
    /// A format of the file that this program does not know.
    #[error("the file has format {0}; this program reads format {FILE_FORMAT}")]
    Format(u16),
    /// A head is malformed, of another swarm or wrongly signed.
    #[error("branch {branch}: {source}")]
    Head {
        /// 0 or 1.
        branch: usize,
        /// What is wrong with it.
        source: HeadError,
    },
    /// A proof is malformed or leads elsewhere.
    #[error("branch {branch}: {source}")]
    Proof {
        /// 0 or 1.
        branch: usize,
        /// What is wrong with it.
        source: ProofError,
    },
    /// The heads are of two authors.
    #[error("the heads are of two authors, {0:?} and {1:?}")]
    Authors(AuthorId, AuthorId),
    /// The proofs are not all about one index, or about another length than their head's.
    #[error("branch {branch}: a proof is of another index or length than the fork and its head")]
    Position {
        /// 0 or 1.
        branch: usize,
    },
    /// The histories differ before the index.
    #[error("the branches differ before the index {0}, so that it is not the first")]
    Before(u64),
    /// The histories do not differ at the index.
    #[error("the branches have the same record at index {0}")]
    Same(u64),
    /// The branches stand in the wrong order.
    #[error("the branch with the smaller leaf hash does not come first")]
    Order,
}

impl Branch {
    /// The branch of a log in a store under one of its heads. The index is below its length.
    ///
    /// # Errors
    /// [`StoreError`] if a node of the tree cannot be read.
    pub fn prove(
        store: &dyn LogStore,
        tip: &Tip,
        head: SignedHead,
        index: u64,
    ) -> Result<Self, StoreError> {
        let tree = TreeReader::new(store, tip);
        let before = prove_consistency(&tree, index, head.length)?;
        let inclusion = prove_inclusion(&tree, index, head.length)?;
        let leaf = tree.leaf(index)?;
        Ok(Self { head, before, leaf, inclusion })
    }

    /// The index that it is about.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.inclusion.index
    }

    /// Checks head, proofs and their positions, and gives the root of the history before the
    /// index: whatever it is, the author signed that it goes on with this leaf.
    ///
    /// # Errors
    /// [`ForkError`], in which the branch is called `branch`.
    pub fn verify(&self, swarm: &SwarmId, branch: usize) -> Result<Hash, ForkError> {
        let Self { head, before, leaf, inclusion } = self;
        let signed = head.clone().verify(swarm);
        signed.map_err(|source| ForkError::Head { branch, source })?;
        let lengths = before.to == head.length && inclusion.length == head.length;
        if !lengths || before.from != inclusion.index {
            return Err(ForkError::Position { branch });
        }
        let broken = |source| ForkError::Proof { branch, source };
        let (root_before, root) = before.roots().map_err(broken)?;
        let included = inclusion.root(*leaf).map_err(broken)?;
        if root != head.root || included != head.root {
            return Err(broken(ProofError::Root));
        }
        Ok(root_before)
    }

    /// The root of this history right behind the index, which tells it from all others. None if
    /// the proof has another shape than its position demands.
    #[must_use]
    pub fn root_behind(&self) -> Option<Hash> {
        let count = usize::try_from(self.before.from.count_ones()).ok()?;
        let peaks = self.before.hashes.get(..count)?.to_vec();
        let mut peaks = Peaks::new(self.before.from, peaks)?;
        peaks.push(self.leaf, |_, _| ());
        Some(peaks.root())
    }

    /// The bytes of `schema/proof.md`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.to_bytes().to_vec();
        bytes.extend_from_slice(&self.before.to_bytes());
        bytes.extend_from_slice(&self.leaf.0);
        bytes.extend_from_slice(&self.inclusion.to_bytes());
        bytes
    }

    /// Reads a branch, which is called `branch` in errors, and leaves the cursor behind it.
    ///
    /// # Errors
    /// [`ForkError`].
    pub fn read(cursor: &mut Cursor<'_>, branch: usize) -> Result<Self, ForkError> {
        let head = SignedHead::from_bytes(cursor.take(HEAD_BYTES)?);
        let head = head.map_err(|source| ForkError::Head { branch, source })?;
        let broken = |source| ForkError::Proof { branch, source };
        let before = Consistency::read(cursor).map_err(broken)?;
        let leaf = Hash(cursor.array()?);
        let inclusion = Inclusion::read(cursor).map_err(broken)?;
        Ok(Self { head, before, leaf, inclusion })
    }
}

impl ForkProof {
    /// A proof of two branches, in their order. Whether it proves anything, [`ForkProof::verify`]
    /// says.
    #[must_use]
    pub fn new(one: Branch, other: Branch) -> Self {
        if one.leaf <= other.leaf {
            Self { branches: [one, other] }
        } else {
            Self { branches: [other, one] }
        }
    }

    /// The swarm that the first head names. Whoever checks a proof without knowing the swarm
    /// verifies it for this one.
    #[must_use]
    pub fn swarm(&self) -> SwarmId {
        self.branches[0].head.swarm
    }

    /// Whose log it is about, as the first head says.
    #[must_use]
    pub fn author(&self) -> AuthorId {
        self.branches[0].head.author
    }

    /// The index that it is about, as the first branch says.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.branches[0].index()
    }

    /// Verifies everything: both signatures, all four proofs, that the histories agree before the
    /// index and differ at it.
    ///
    /// # Errors
    /// [`ForkError`], the first rule that failed.
    pub fn verify(&self, swarm: &SwarmId) -> Result<Fork, ForkError> {
        let [a, b] = &self.branches;
        let (author, index) = (a.head.author, a.index());
        if b.head.author != author {
            return Err(ForkError::Authors(author, b.head.author));
        }
        if b.index() != index {
            return Err(ForkError::Position { branch: 1 });
        }
        if a.verify(swarm, 0)? != b.verify(swarm, 1)? {
            return Err(ForkError::Before(index));
        }
        match a.leaf.cmp(&b.leaf) {
            std::cmp::Ordering::Less => Ok(Fork { author, index }),
            std::cmp::Ordering::Equal => Err(ForkError::Same(index)),
            std::cmp::Ordering::Greater => Err(ForkError::Order),
        }
    }

    /// The bytes of `schema/proof.md`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.branches.iter().flat_map(Branch::to_bytes).collect()
    }

    /// Reads a proof from exactly these bytes. Nothing is verified.
    ///
    /// # Errors
    /// [`ForkError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ForkError> {
        let mut cursor = Cursor::new(bytes);
        let branches = [Branch::read(&mut cursor, 0)?, Branch::read(&mut cursor, 1)?];
        cursor.end()?;
        Ok(Self { branches })
    }

    /// The bytes of a file: a name, the format, the proof.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        [&FILE_MAGIC[..], &FILE_FORMAT.to_le_bytes(), &self.to_bytes()].concat()
    }

    /// Reads a proof from exactly the bytes of a file. Nothing is verified.
    ///
    /// # Errors
    /// [`ForkError`].
    pub fn from_file(bytes: &[u8]) -> Result<Self, ForkError> {
        let rest = bytes.strip_prefix(FILE_MAGIC).ok_or(ForkError::Magic)?;
        let format = Cursor::new(rest).u16()?;
        if format != FILE_FORMAT {
            return Err(ForkError::Format(format));
        }
        Self::from_bytes(&rest[2..])
    }
}
