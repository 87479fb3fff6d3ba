//! Signed notes (c2sp.org/signed-note): a text, and lines with signatures of it.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::base64;

/// The longest note in bytes: 16 signatures of the longest known kind fit.
pub const MAX_NOTE: usize = 131_072;

/// The most signatures of a note.
pub const MAX_NOTE_SIGNATURES: usize = 64;

/// What a line with a signature begins with: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// A note: its text, with its last newline, and its signatures in their order. Nothing is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The text that is signed.
    pub text: String,
    /// At least one.
    pub signatures: Vec<NoteSignature>,
}

/// One signature of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: String,
    /// The key's id: with the name it says which key and which algorithm.
    pub id: [u8; 4],
    /// What the algorithm made, at least one byte.
    pub signature: Vec<u8>,
}

/// Why bytes are no signed note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE`].
    #[error("a note of {0} bytes; at most {MAX_NOTE} are allowed")]
    Size(usize),
    /// Not UTF-8, or with other control characters than newlines.
    #[error("a note is UTF-8 without control characters, which this is not at byte {0}")]
    Characters(usize),
    /// It is not a text, an empty line and lines with signatures.
    #[error("a note is a text, an empty line and lines with signatures, each with a newline")]
    Parts,
    /// A line with a signature is malformed.
    #[error("line {0} behind the text is no signature: an em dash, a name, base 64")]
    Signature(usize),
    /// More than [`MAX_NOTE_SIGNATURES`].
    #[error("a note of {0} signatures; at most {MAX_NOTE_SIGNATURES} are allowed")]
    Count(usize),
}

/// The id of a key: the first four bytes of SHA-256 over name, newline, algorithm and public key.
#[must_use]
pub(super) fn key_id(name: &str, algorithm: u8, key: &[u8; 32]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', algorithm]);
    let [a, b, c, d, ..] = <[u8; 32]>::from(hash.chain_update(key).finalize());
    [a, b, c, d]
}

/// Whether a key can have this name in a note.
#[must_use]
pub(super) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+' || c < ' ')
}

impl Note {
    /// Reads a note from exactly these bytes.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE {
            return Err(NoteError::Size(bytes.len()));
        }
        let all = std::str::from_utf8(bytes);
        let all = all.map_err(|error| NoteError::Characters(error.valid_up_to()))?;
        if let Some(at) = all.find(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Characters(at));
        }
        let end = all.rfind("\n\n").ok_or(NoteError::Parts)?;
        let (text, lines) = (&all[..=end], &all[end + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Parts)?;
        let count = lines.split('\n').count();
        if count > MAX_NOTE_SIGNATURES {
            return Err(NoteError::Count(count));
        }
        let read = |(number, line)| NoteSignature::read(line).ok_or(NoteError::Signature(number));
        let signatures = (1..).zip(lines.split('\n')).map(read).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The note's own bytes, which are UTF-8.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut all = format!("{}\n", self.text);
        for NoteSignature { name, id, signature } in &self.signatures {
            let signature = base64::encode(&[id, signature.as_slice()].concat());
            writeln!(all, "{DASH}{name} {signature}").expect("a string takes all");
        }
        all
    }

    /// The signatures of the key of this name and id.
    pub fn of<'a>(&'a self, name: &'a str, id: [u8; 4]) -> impl Iterator<Item = &'a [u8]> {
        let fits = move |one: &&NoteSignature| one.name == name && one.id == id;
        self.signatures.iter().filter(fits).map(|one| one.signature.as_slice())
    }
}

impl NoteSignature {
    fn read(line: &str) -> Option<Self> {
        let (name, bytes) = line.strip_prefix(DASH)?.split_once(' ')?;
        let bytes = base64::decode(bytes).filter(|bytes| bytes.len() > 4 && is_key_name(name))?;
        let (id, signature) = bytes.split_first_chunk::<4>()?;
        Some(Self { name: name.to_owned(), id: *id, signature: signature.to_vec() })
    }
}
