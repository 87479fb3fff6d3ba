//! A passphrase, and the file of the age format (age-encryption.org/v1, armored, one scrypt
//! recipient) that it opens: `age -d` opens the same file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::iter;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor, scrypt};
use zeroize::Zeroizing;

/// The longest passphrase in bytes.
pub const MAX_PASSPHRASE: usize = 1024;

/// Files are written with a work factor of 2 to this: 128 MiB, and about half a second.
const WORK: u8 = 17;

/// Files with a greater work factor than 2 to this, 1 GiB and some seconds, are refused unread.
const MAX_WORK: u8 = 20;

/// How a file of the age format begins that is text.
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// How one begins that is not.
const BINARY: &[u8] = b"age-encryption.org/";

/// What opens a key file. It is wiped from memory when dropped and never printed.
#[derive(Clone)]
pub struct Passphrase(SecretString);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase")
    }
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// The file that holds it cannot be read.
    #[error("the passphrase file {path} cannot be read: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Others may read the file.
    #[error(
        "the passphrase file {path} has mode {mode:o}, so that others may read it; run `chmod 600 \
         {path}`"
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file holds something else.
    #[error("the passphrase file {0} should hold one line of text")]
    Lines(PathBuf),
    /// Nothing, or too much.
    #[error("a passphrase has between 1 and {MAX_PASSPHRASE} bytes")]
    Size,
}

/// Why a protected file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is another passphrase.
    #[error("the passphrase is wrong")]
    Passphrase,
    /// It costs too much to try.
    #[error("its work factor is 2^{0}; at most 2^{MAX_WORK} is tried")]
    Work(u8),
    /// It is a file of the age format that a key opens, and no passphrase.
    #[error("it is encrypted for a key and not by a passphrase")]
    Recipient,
    /// It is damaged.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl Passphrase {
    /// A passphrase as somebody typed it.
    ///
    /// # Errors
    /// [`PassphraseError::Size`].
    pub fn new(text: &str) -> Result<Self, PassphraseError> {
        match text.len() {
            1..=MAX_PASSPHRASE => Ok(Self(SecretString::from(text.to_owned()))),
            _ => Err(PassphraseError::Size),
        }
    }

    /// The only line of a file that its owner alone can read, for nodes that nobody watches.
    ///
    /// # Errors
    /// [`PassphraseError`].
    pub fn from_file(path: &Path) -> Result<Self, PassphraseError> {
        let failed = |source| PassphraseError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(PassphraseError::Mode { path: path.to_owned(), mode });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PASSPHRASE + 2));
        file.take(MAX_PASSPHRASE as u64 + 2).read_to_end(&mut bytes).map_err(failed)?;
        let lines = || PassphraseError::Lines(path.to_owned());
        let text = str::from_utf8(&bytes).map_err(|_| lines())?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.contains('\n') { Err(lines()) } else { Self::new(text) }
    }

    /// Whether two are the same, as when one is typed twice.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        use age::secrecy::ExposeSecret;
        self.0.expose_secret() == other.0.expose_secret()
    }
}

/// Whether bytes begin as a file of the age format does.
pub(super) fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(ARMOR) || bytes.starts_with(BINARY)
}

/// Protects a text by a passphrase.
pub(super) fn seal(text: &[u8], passphrase: &Passphrase) -> io::Result<Vec<u8>> {
    let mut recipient = scrypt::Recipient::new(passphrase.0.clone());
    recipient.set_work_factor(WORK);
    let encryptor = Encryptor::with_recipients(iter::once(&recipient as &dyn age::Recipient))
        .map_err(io::Error::other)?;
    let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
    let mut writer = encryptor.wrap_output(armor)?;
    writer.write_all(text)?;
    writer.finish()?.finish()
}

/// Opens what [`seal`] or `age -p` made. The work factor is looked at before any work is done.
pub(super) fn open(
    bytes: &[u8],
    passphrase: &Passphrase,
    max: u64,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(bytes)).map_err(refused)?;
    if !decryptor.is_scrypt() {
        return Err(OpenError::Recipient);
    }
    let mut identity = scrypt::Identity::new(passphrase.0.clone());
    identity.set_max_work_factor(MAX_WORK);
    let reader = decryptor.decrypt(iter::once(&identity as &dyn age::Identity)).map_err(refused)?;
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(max).unwrap_or(0)));
    let read = reader.take(max).read_to_end(&mut text);
    read.map_err(|error| OpenError::Damaged(error.to_string()))?;
    Ok(text)
}

fn refused(error: DecryptError) -> OpenError {
    match error {
        DecryptError::ExcessiveWork { required, .. } => OpenError::Work(required),
        DecryptError::KeyDecryptionFailed
        | DecryptError::NoMatchingKeys
        | DecryptError::DecryptionFailed => OpenError::Passphrase,
        other => OpenError::Damaged(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_opened_by_its_passphrase_alone() {
        let right = Passphrase::new("a b c").unwrap();
        let sealed = seal(b"text", &right).unwrap();
        assert!(is_sealed(&sealed) && !is_sealed(b"bzzz-key-v1\n"));
        assert_eq!(&**open(&sealed, &right, 100).unwrap(), b"text");
        let wrong = Passphrase::new("a b d").unwrap();
        assert!(matches!(open(&sealed, &wrong, 100), Err(OpenError::Passphrase)));
        let mut damaged = sealed.clone();
        let at = damaged.len() / 2;
        damaged[at] ^= 1;
        assert!(open(&damaged, &right, 100).is_err());
        assert!(open(&sealed[..sealed.len() / 2], &right, 100).is_err());
    }

    #[test]
    fn too_much_work_is_refused_before_it_is_done() {
        // What `age -p` would write with a work factor of 2^30: trying it would take hours.
        let salt = "A".repeat(22);
        let body = "A".repeat(43);
        let head = format!("age-encryption.org/v1\n-> scrypt {salt} 30\n{body}\n--- {body}\n");
        let bytes = [head.as_bytes(), &[0; 40]].concat();
        let opened = open(&bytes, &Passphrase::new("x").unwrap(), 100);
        assert!(matches!(opened, Err(OpenError::Work(30))), "{opened:?}");
    }

    #[test]
    fn a_passphrase_file_is_one_line_of_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passphrase");
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Passphrase::from_file(&path)
        };
        assert!(write("x y\n", 0o600).unwrap().is_same(&Passphrase::new("x y").unwrap()));
        assert!(write("x y", 0o400).unwrap().is_same(&Passphrase::new("x y").unwrap()));
        assert!(matches!(write("x\ny\n", 0o600), Err(PassphraseError::Lines(_))));
        assert!(matches!(write("\n", 0o600), Err(PassphraseError::Size)));
        assert!(matches!(write(&"x".repeat(1025), 0o600), Err(PassphraseError::Size)));
        assert!(matches!(write("x", 0o640), Err(PassphraseError::Mode { mode: 0o640, .. })));
        let none = Passphrase::from_file(&dir.path().join("none"));
        assert!(matches!(none, Err(PassphraseError::Io { .. })));
    }
}
