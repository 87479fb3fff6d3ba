//! Reads fixed-layout bytes from left to right, never past the end, never allocating by a length
//! that was not checked against the bytes that are there.

/// The bytes ended before what was to be read, or went on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes were wanted at offset {at}, and {left} are left")]
pub struct CursorError {
    /// Where reading stood.
    pub at: usize,
    /// What was to be read; 0 when the bytes should have ended there.
    pub wanted: usize,
    /// What is left.
    pub left: usize,
}

/// A place in bytes.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The bytes not yet read.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `wanted` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn take(&mut self, wanted: usize) -> Result<&'a [u8], CursorError> {
        let left = self.left();
        if wanted > left {
            return Err(CursorError { at: self.at, wanted, left });
        }
        let taken = &self.bytes[self.at..self.at + wanted];
        self.at += wanted;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CursorError> {
        Ok(self.take(N)?.try_into().expect("take returns N bytes"))
    }

    /// One byte.
    ///
    /// # Errors
    /// If there is none.
    pub fn u8(&mut self) -> Result<u8, CursorError> {
        Ok(self.array::<1>()?[0])
    }

    /// A little-endian u16.
    ///
    /// # Errors
    /// If there are fewer than two bytes.
    pub fn u16(&mut self) -> Result<u16, CursorError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A little-endian u32.
    ///
    /// # Errors
    /// If there are fewer than four bytes.
    pub fn u32(&mut self) -> Result<u32, CursorError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A little-endian u64.
    ///
    /// # Errors
    /// If there are fewer than eight bytes.
    pub fn u64(&mut self) -> Result<u64, CursorError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Says that everything was read.
    ///
    /// # Errors
    /// If bytes are left.
    pub fn end(&self) -> Result<(), CursorError> {
        match self.left() {
            0 => Ok(()),
            left => Err(CursorError { at: self.at, wanted: 0, left }),
        }
    }
}
