//! How programs end: one kind of error, with its exit status and, where there is one, a hint.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::text::clean;

/// The status of a program that did what it was asked.
pub const DONE: u8 = 0;

/// The status of a program that can say that the answer is no: a bundle does not verify, a task is
/// not there.
pub const NO: u8 = 1;

/// The status of a program that cannot tell: wrong usage, or something could not be read.
pub const CANNOT_TELL: u8 = 2;

/// Why a program ends early.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Nobody reads on: the program ends quietly.
    #[error("nobody reads the output")]
    Pipe,
    /// Everything else.
    #[error("{message}")]
    Stop {
        /// The exit status.
        status: u8,
        /// What is wrong, without a stop.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

impl CliError {
    /// The answer is no.
    #[must_use]
    pub fn no(message: impl Into<String>) -> Self {
        Self::Stop { status: NO, message: message.into(), hint: None }
    }

    /// The program cannot tell.
    #[must_use]
    pub fn cannot_tell(message: impl Into<String>) -> Self {
        Self::Stop { status: CANNOT_TELL, message: message.into(), hint: None }
    }

    /// The same error with a hint.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Stop { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }
}

impl From<io::Error> for CliError {
    /// Errors of standard output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Pipe,
            _ => Self::cannot_tell(format!("the output could not be written: {error}")),
        }
    }
}

/// Ends a program: what is wrong goes to standard error, and the status is returned.
#[must_use]
pub fn end(program: &str, result: Result<u8, CliError>) -> ExitCode {
    let status = match result {
        Ok(status) => status,
        Err(CliError::Pipe) => DONE,
        Err(CliError::Stop { status, message, hint }) => {
            eprintln!("{program}: {}", clean(&message));
            if let Some(hint) = hint {
                eprintln!("hint: {}", clean(&hint));
            }
            status
        }
    };
    ExitCode::from(status)
}

/// Opens a bundle, which must be a file that can be read twice.
///
/// # Errors
/// [`CliError::Stop`] with status 2.
pub fn open(path: &Path) -> Result<std::fs::File, CliError> {
    let failed = |error: io::Error| {
        CliError::cannot_tell(format!("{} could not be read: {error}", path.display()))
    };
    let about = std::fs::metadata(path).map_err(failed)?;
    if !about.is_file() {
        let message = format!("{} is not a regular file", path.display());
        return Err(CliError::cannot_tell(message).hint("a bundle is read twice, so save it first"));
    }
    std::fs::File::open(path).map_err(failed)
}
