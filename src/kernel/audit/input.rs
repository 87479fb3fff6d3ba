//! Where verified bytes are read from, and read again: the ports to files and stores.

use std::io::{self, Cursor, Read};

use crate::kernel::identity::AuthorId;

/// Bytes that can be read from any place, by several readers at once.
pub trait Input: Sync {
    /// Reads into the buffer from byte `at` on; returns how many bytes, 0 only at the end.
    ///
    /// # Errors
    /// The cause.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;
}

impl<T: AsRef<[u8]> + Sync> Input for Cursor<T> {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.get_ref().as_ref();
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let len = into.len().min(bytes.len() - from);
        into[..len].copy_from_slice(&bytes[from..from + len]);
        Ok(len)
    }
}

impl<I: Input> Input for &I {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        (**self).read_at(at, into)
    }
}

/// Reads an input from its first byte to its last.
pub struct Sequential<I> {
    input: I,
    at: u64,
}

impl<I: Input> Sequential<I> {
    /// Starts at the first byte.
    pub fn new(input: I) -> Self {
        Self { input, at: 0 }
    }
}

impl<I: Input> Read for Sequential<I> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read_at(self.at, into)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Where neighbouring records of one range were when they were verified.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// In whose log.
    pub author: AuthorId,
    /// The index of the first.
    pub seq: u64,
    /// How many.
    pub count: usize,
    /// At which byte of the bundle the first one's length stands; of no use for a store.
    pub at: u64,
    /// How many bytes they take there, each with its length before it.
    pub len: usize,
}

/// Records that were verified and can be read again.
pub trait Records: Sync {
    /// The bytes of each record as they are now; whether they are still the same is compared.
    ///
    /// # Errors
    /// The cause.
    fn records(&self, spot: &Spot) -> io::Result<Vec<Vec<u8>>>;
}

impl<I: Input> Records for I {
    fn records(&self, spot: &Spot) -> io::Result<Vec<Vec<u8>>> {
        let mut bytes = vec![0; spot.len];
        let mut done = 0;
        while done < bytes.len() {
            match self.read_at(spot.at + done as u64, &mut bytes[done..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => done += read,
            }
        }
        let mut records = Vec::with_capacity(spot.count);
        let mut rest = &bytes[..];
        while let Some((len, behind)) = rest.split_first_chunk() {
            let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
            let record = behind.split_at_checked(len);
            let (record, behind) = record.ok_or(io::ErrorKind::InvalidData)?;
            records.push(record.to_vec());
            rest = behind;
        }
        Ok(records)
    }
}
