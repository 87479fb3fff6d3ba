//! Where passphrases come from: a file, or the terminal, where nothing is shown of what is typed.

use std::path::Path;

use zeroize::Zeroizing;

use super::error::{Error, Result};
use crate::node::Passphrase;
use crate::node::key::KeyError;

/// How often a new passphrase is asked for until it is typed twice alike.
const TRIES: usize = 3;

/// The passphrase of a file that is protected.
pub(super) fn known(file: Option<&Path>, of: &Path) -> Result<Passphrase> {
    match file {
        Some(file) => Ok(Passphrase::from_file(file).map_err(KeyError::from)?),
        None => ask(&format!("Passphrase of {}: ", of.display())),
    }
}

/// A new passphrase. On a terminal it is typed twice.
pub(super) fn new(file: Option<&Path>, what: &str) -> Result<Passphrase> {
    if let Some(file) = file {
        return Ok(Passphrase::from_file(file).map_err(KeyError::from)?);
    }
    for _ in 0..TRIES {
        let first = ask(&format!("New passphrase of {what}: "))?;
        if ask("The same again: ")?.is_same(&first) {
            return Ok(first);
        }
        eprintln!("The two are not the same.");
    }
    Err(Error::new("no passphrase was typed twice alike"))
}

fn ask(prompt: &str) -> Result<Passphrase> {
    let typed = rpassword::prompt_password(prompt).map_err(|error| {
        Error::new(format!("a passphrase is needed, and no terminal can be asked: {error}")).hint(
            "put it into a file that only you can read, and name the file in \
             BZZZ_NODE_PASSPHRASE_FILE, in node.passphrase_file of bzzz.toml, or, for a new one, \
             with --new-passphrase-file",
        )
    })?;
    let typed = Zeroizing::new(typed);
    Ok(Passphrase::new(&typed).map_err(KeyError::from)?)
}
