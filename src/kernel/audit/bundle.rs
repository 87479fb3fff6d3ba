//! The export format: a header, frames of ranges, an empty frame, the manifest. It is written and
//! read from left to right, and no more than one frame is held at a time.

use std::io::{self, Read};

use super::manifest::{FIXED_BYTES, LOG_BYTES, MAX_BUNDLE_LOGS};
use super::rule::Rule;
use crate::kernel::identity::SwarmId;
use crate::kernel::log::MAX_RANGE_BYTES;

/// The first bytes of a bundle.
pub const BUNDLE_MAGIC: &[u8; 11] = b"bzzz-bundle";

/// The format that this program reads and writes.
pub const BUNDLE_FORMAT: u16 = 1;

/// Magic, format and swarm.
pub const HEADER_BYTES: usize = BUNDLE_MAGIC.len() + 2 + 32;

/// The longest manifest in bytes.
pub const MAX_MANIFEST_BYTES: usize = FIXED_BYTES + MAX_BUNDLE_LOGS * LOG_BYTES;

/// Why bytes are no bundle, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Nothing can be said of the bundle: reading failed.
    #[error("reading failed at byte {at}: {source}")]
    Io {
        /// Where reading stood.
        at: u64,
        /// The cause.
        source: io::Error,
    },
    /// The first bytes are not [`BUNDLE_MAGIC`].
    #[error("not a bundle: it does not begin with `bzzz-bundle`")]
    Magic,
    /// A format that this program does not know.
    #[error("a bundle of format {0}; this program knows format {BUNDLE_FORMAT}")]
    Format(u16),
    /// The bytes end inside a part.
    #[error("the file ends inside the {part} that begins at byte {at}")]
    Truncated {
        /// Where the part begins.
        at: u64,
        /// Which part.
        part: &'static str,
    },
    /// A part is longer than allowed.
    #[error("a {part} of {length} bytes at byte {at}; at most {limit} are allowed")]
    Length {
        /// Where its length stands.
        at: u64,
        /// Which part.
        part: &'static str,
        /// What its length says.
        length: u32,
        /// What is allowed.
        limit: usize,
    },
    /// Bytes follow the manifest.
    #[error("bytes follow the manifest, from byte {at} on")]
    Trailing {
        /// Where they begin.
        at: u64,
    },
}

impl BundleError {
    /// The rule that is broken; `None` if reading failed.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        Some(match self {
            Self::Io { .. } => return None,
            Self::Magic => Rule::BundleMagic,
            Self::Format(_) => Rule::BundleFormat,
            Self::Truncated { .. } => Rule::Truncated,
            Self::Length { .. } => Rule::FrameLength,
            Self::Trailing { .. } => Rule::TrailingBytes,
        })
    }

    /// The byte of the file at which it is broken.
    #[must_use]
    pub fn at(&self) -> u64 {
        match self {
            Self::Magic => 0,
            Self::Format(_) => BUNDLE_MAGIC.len() as u64,
            Self::Io { at, .. }
            | Self::Truncated { at, .. }
            | Self::Length { at, .. }
            | Self::Trailing { at } => *at,
        }
    }
}

/// A part of a bundle. Nothing in it is verified yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The bytes of a range, at most [`MAX_RANGE_BYTES`].
    Range {
        /// The offset of its first byte in the file.
        at: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The bytes of the manifest and its signature, at most [`MAX_MANIFEST_BYTES`].
    Manifest {
        /// The offset of its first byte in the file.
        at: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
}

/// Reads a bundle part by part.
pub struct BundleReader<R> {
    input: R,
    at: u64,
    swarm: SwarmId,
    buffer: Vec<u8>,
    manifest_read: bool,
}

impl<R: Read> BundleReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn open(input: R) -> Result<Self, BundleError> {
        let mut reader = Self {
            input,
            at: 0,
            swarm: SwarmId([0; 32]),
            buffer: Vec::new(),
            manifest_read: false,
        };
        let mut magic = [0; BUNDLE_MAGIC.len()];
        reader.fill(&mut magic, 0, "header")?;
        if magic != *BUNDLE_MAGIC {
            return Err(BundleError::Magic);
        }
        let mut format = [0; 2];
        reader.fill(&mut format, 0, "header")?;
        let format = u16::from_le_bytes(format);
        if format != BUNDLE_FORMAT {
            return Err(BundleError::Format(format));
        }
        let mut swarm = [0; 32];
        reader.fill(&mut swarm, 0, "header")?;
        reader.swarm = SwarmId(swarm);
        Ok(reader)
    }

    /// The swarm that the header names.
    #[must_use]
    pub fn swarm(&self) -> SwarmId {
        self.swarm
    }

    /// How many bytes were read.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Gives the input back.
    #[must_use]
    pub fn into_inner(self) -> R {
        self.input
    }

    /// The next part; `None` behind the manifest, once it is certain that nothing follows it.
    ///
    /// # Errors
    /// [`BundleError`]. Nothing can be read behind an error.
    pub fn next_part(&mut self) -> Result<Option<Part<'_>>, BundleError> {
        if self.manifest_read {
            return self.at_end().map(|()| None);
        }
        let start = self.at;
        let length = self.length("frame", MAX_RANGE_BYTES)?;
        if length > 0 {
            self.take(length, start, "frame")?;
            return Ok(Some(Part::Range { at: start + 4, bytes: &self.buffer }));
        }
        let start = self.at;
        let length = self.length("manifest", MAX_MANIFEST_BYTES)?;
        self.take(length, start, "manifest")?;
        self.manifest_read = true;
        Ok(Some(Part::Manifest { at: start + 4, bytes: &self.buffer }))
    }

    fn length(&mut self, part: &'static str, limit: usize) -> Result<usize, BundleError> {
        let at = self.at;
        let mut bytes = [0; 4];
        self.fill(&mut bytes, at, part)?;
        let length = u32::from_le_bytes(bytes);
        match length as usize {
            fits if fits <= limit => Ok(fits),
            _ => Err(BundleError::Length { at, part, length, limit }),
        }
    }

    /// Fills the buffer. The length was compared with its limit.
    fn take(&mut self, length: usize, start: u64, part: &'static str) -> Result<(), BundleError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(length, 0);
        let filled = self.fill(&mut buffer, start, part);
        self.buffer = buffer;
        filled
    }

    fn fill(&mut self, into: &mut [u8], start: u64, part: &'static str) -> Result<(), BundleError> {
        match self.input.read_exact(into) {
            Ok(()) => {
                self.at += into.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(BundleError::Truncated { at: start, part })
            }
            Err(source) => Err(BundleError::Io { at: self.at, source }),
        }
    }

    fn at_end(&mut self) -> Result<(), BundleError> {
        let at = self.at;
        match self.fill(&mut [0], at, "end") {
            Err(BundleError::Truncated { .. }) => Ok(()),
            Ok(()) => Err(BundleError::Trailing { at }),
            Err(error) => Err(error),
        }
    }
}
