//! Checkpoints (c2sp.org/tlog-checkpoint): a log's length and roots, as its author signs them for
//! witnesses and tools that know nothing of bzzz. `schema/checkpoint.md` has the rules.

use std::str::FromStr;

use super::base64;
use super::merkle::TreeHash;
use super::note::{Note, NoteError, NoteSignature, is_key_name, key_id};
use crate::kernel::identity::{AuthorId, SecretKey, Signature, SignatureError, SwarmId};
use crate::kernel::log::{Hash, MAX_LENGTH};

/// The algorithm of a log's own signatures: Ed25519 over the text.
const ED25519: u8 = 1;

/// The algorithm of cosignatures: Ed25519 over a time and the text (c2sp.org/tlog-cosignature).
const COSIGNATURE: u8 = 4;

/// What the line with our own root begins with.
const HEAD_WORD: &str = "bzzz-root ";

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The swarm that the log belongs to.
    pub swarm: SwarmId,
    /// The author, and so the log.
    pub author: AuthorId,
    /// The number of records, at least 1.
    pub length: u64,
    /// The root of RFC 6962 over the headers of these records.
    pub root: TreeHash,
    /// The root of `schema/log.md` at that length: both trees are over the same headers.
    pub head_root: Hash,
}

/// A checkpoint as it was received: well formed, no signature of it verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    says: Checkpoint,
    signatures: Vec<NoteSignature>,
}

/// Why a checkpoint is none, or is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is no signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text has more or fewer lines.
    #[error("a checkpoint of a log of bzzz has four lines, not {0}")]
    Lines(usize),
    /// The first line names no log of bzzz.
    #[error("the first line is not bzzz/SWARM/AUTHOR in lower-case hexadecimal digits")]
    Origin,
    /// The second line is no length.
    #[error("the second line is no length of a log, which is between 1 and {MAX_LENGTH}")]
    Length,
    /// The third line is no root.
    #[error("the third line is not 32 bytes in base 64")]
    Root,
    /// The fourth line is not our own root.
    #[error("the fourth line is not `bzzz-root` and 32 bytes in base 64")]
    HeadRoot,
    /// It is of somebody else's log.
    #[error("the checkpoint is of log {found}, not of {expected}")]
    Author {
        /// The author that was expected.
        expected: AuthorId,
        /// The author in the checkpoint.
        found: AuthorId,
    },
    /// It is of another swarm.
    #[error("the checkpoint is of swarm {found}, not of {expected}")]
    Swarm {
        /// The swarm that was expected.
        expected: SwarmId,
        /// The swarm in the checkpoint.
        found: SwarmId,
    },
    /// Its author did not sign it.
    #[error("no signature of it is of its author's key")]
    Unsigned,
    /// A signature under its author's name is wrong.
    #[error("the author's signature: {0}")]
    Signature(SignatureError),
    /// A cosignature of a known witness is wrong.
    #[error("the cosignature of {name:?}: {source}")]
    Cosignature {
        /// The witness's name.
        name: String,
        /// What is wrong.
        source: SignatureError,
    },
}

/// The name of a log in notes: the first line of its checkpoints, and its key's name.
#[must_use]
pub fn origin(swarm: &SwarmId, author: &AuthorId) -> String {
    format!("bzzz/{swarm}/{author}")
}

/// The log's key as other tools want it: name, id and key (a "vkey").
#[must_use]
pub fn verifier_key(swarm: &SwarmId, author: &AuthorId) -> String {
    let name = origin(swarm, author);
    let id = hex::encode(key_id(&name, ED25519, &author.0));
    let key = base64::encode(&[&[ED25519], author.0.as_slice()].concat());
    format!("{name}+{id}+{key}")
}

impl Checkpoint {
    /// The text that is signed, with its last newline.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { swarm, author, length, root, head_root } = self;
        let (origin, root) = (origin(swarm, author), base64::encode(&root.0));
        format!("{origin}\n{length}\n{root}\n{HEAD_WORD}{}\n", base64::encode(&head_root.0))
    }

    /// Reads a text. What reads is written as the same text.
    fn read(text: &str) -> Result<Self, CheckpointError> {
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        let [origin, length, root, head] = lines[..] else {
            return Err(CheckpointError::Lines(lines.len()));
        };
        let (swarm, author) = read_origin(origin).ok_or(CheckpointError::Origin)?;
        let length = decimal(length).filter(|length| (1..=MAX_LENGTH).contains(length));
        let length = length.ok_or(CheckpointError::Length)?;
        let root = base64::decode32(root).map(TreeHash).ok_or(CheckpointError::Root)?;
        let head = head.strip_prefix(HEAD_WORD).and_then(base64::decode32);
        let head_root = head.map(Hash).ok_or(CheckpointError::HeadRoot)?;
        Ok(Self { swarm, author, length, root, head_root })
    }

    /// Signs it with its author's key.
    #[must_use]
    pub fn sign(self, key: &SecretKey) -> SignedCheckpoint {
        assert_eq!(key.author(), self.author, "only its author signs a log's checkpoints");
        assert!((1..=MAX_LENGTH).contains(&self.length), "a checkpoint covers a record");
        let name = origin(&self.swarm, &self.author);
        let id = key_id(&name, ED25519, &self.author.0);
        let signature = key.sign_note(&self.text()).0.to_vec();
        let signatures = vec![NoteSignature { name, id, signature }];
        SignedCheckpoint { says: self, signatures }
    }
}

impl SignedCheckpoint {
    /// Reads a checkpoint from exactly these bytes.
    ///
    /// # Errors
    /// [`CheckpointError::Note`] and those of the text.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let Note { text, signatures } = Note::from_bytes(bytes)?;
        let says = Checkpoint::read(&text)?;
        Ok(Self { says, signatures })
    }

    /// The note.
    #[must_use]
    pub fn to_note(&self) -> Note {
        Note { text: self.says.text(), signatures: self.signatures.clone() }
    }

    /// What it says.
    #[must_use]
    pub fn says(&self) -> &Checkpoint {
        &self.says
    }

    /// Compares author and swarm with those that are expected, if any.
    ///
    /// # Errors
    /// [`CheckpointError::Author`] or [`CheckpointError::Swarm`].
    pub fn expect(
        &self,
        author: Option<&AuthorId>,
        swarm: Option<&SwarmId>,
    ) -> Result<(), CheckpointError> {
        let Checkpoint { author: found, swarm: of, .. } = self.says;
        match (author, swarm) {
            (Some(&expected), _) if expected != found => {
                Err(CheckpointError::Author { expected, found })
            }
            (_, Some(&expected)) if expected != of => {
                Err(CheckpointError::Swarm { expected, found: of })
            }
            _ => Ok(()),
        }
    }

    /// Verifies that its author signed it. Every signature under the author's name and key counts;
    /// those of others are passed over.
    ///
    /// # Errors
    /// [`CheckpointError::Unsigned`] or [`CheckpointError::Signature`].
    pub fn verify(&self) -> Result<(), CheckpointError> {
        let author = self.says.author;
        let name = origin(&self.says.swarm, &author);
        let note = self.to_note();
        let mut signatures = note.of(&name, key_id(&name, ED25519, &author.0)).peekable();
        if signatures.peek().is_none() {
            return Err(CheckpointError::Unsigned);
        }
        let wrong = CheckpointError::Signature;
        let key = author.key().map_err(wrong)?;
        for signature in signatures {
            let signature = signature.try_into().map_err(|_| wrong(SignatureError::Mismatch))?;
            key.verify_note(note.text.as_bytes(), &Signature(signature)).map_err(wrong)?;
        }
        Ok(())
    }

    /// When a witness cosigned it, by its own word, in seconds since 1970; `None` if it did not.
    ///
    /// # Errors
    /// [`CheckpointError::Cosignature`] if a signature under the witness's name and key is wrong.
    pub fn cosigned(&self, by: &Cosigner) -> Result<Option<u64>, CheckpointError> {
        let note = self.to_note();
        let wrong = |source| CheckpointError::Cosignature { name: by.name.clone(), source };
        let mut newest = None;
        for bytes in note.of(&by.name, by.id) {
            let mismatch = || wrong(SignatureError::Mismatch);
            let (time, signature) = bytes.split_first_chunk::<8>().ok_or_else(mismatch)?;
            let signature = signature.try_into().map_err(|_| mismatch())?;
            let time = u64::from_be_bytes(*time);
            if i64::try_from(time).is_err() {
                return Err(mismatch());
            }
            let message = format!("cosignature/v1\ntime {time}\n{}", note.text);
            let key = by.key.key().map_err(wrong)?;
            key.verify_note(message.as_bytes(), &Signature(signature)).map_err(wrong)?;
            newest = newest.max(Some(time));
        }
        Ok(newest)
    }
}

/// The body of a request by which a witness is asked for a cosignature (`add-checkpoint` of
/// c2sp.org/tlog-witness): the old length, a proof of consistency from it, the checkpoint.
#[must_use]
pub fn witness_request(old: u64, proof: &[TreeHash], checkpoint: &SignedCheckpoint) -> String {
    let proof: String = proof.iter().map(|hash| base64::encode(&hash.0) + "\n").collect();
    format!("old {old}\n{proof}\n{}", checkpoint.to_note().to_text())
}

/// A witness outside of the swarm: its name and key, by which its cosignatures are known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cosigner {
    name: String,
    id: [u8; 4],
    key: AuthorId,
}

impl Cosigner {
    /// The name of its key. Untrusted text.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A text that is no key of a cosigner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cosigner's key: NAME+ID+KEY with an id and a key of the algorithm 4")]
pub struct NotACosigner;

impl FromStr for Cosigner {
    type Err = NotACosigner;

    /// Reads a "vkey" of c2sp.org/signed-note.
    fn from_str(text: &str) -> Result<Self, NotACosigner> {
        let read = || {
            let (name, rest) = text.split_once('+')?;
            let (digits, key) = rest.split_once('+')?;
            let key = base64::decode(key)?;
            let key = AuthorId(key.strip_prefix(&[COSIGNATURE])?.try_into().ok()?);
            let id = key_id(name, COSIGNATURE, &key.0);
            let fits = is_key_name(name) && hex::encode(id) == digits;
            fits.then(|| Self { name: name.to_owned(), id, key })
        };
        read().ok_or(NotACosigner)
    }
}

fn read_origin(line: &str) -> Option<(SwarmId, AuthorId)> {
    let (swarm, author) = line.strip_prefix("bzzz/")?.split_once('/')?;
    let (swarm, author) = (swarm.parse().ok()?, author.parse().ok()?);
    (origin(&swarm, &author) == line).then_some((swarm, author))
}

/// A number in decimal digits, without a zero or a sign before it.
pub(super) fn decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}
