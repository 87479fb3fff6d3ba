//! The bytes of one request and its answer on a stream of their own.
//!
//! A request is `length (u32, little-endian), bytes`. An answer is `status (1 byte), length (u32,
//! little-endian), bytes`, where status 0 is an answer, 1 says "busy, ask later" and 2 "I cannot
//! answer"; with 1 and 2 the length is 0. A length over the limit ends the stream before anything
//! is allocated for it, and memory grows only with the bytes that really arrive.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response};

/// What is reserved before the first byte of a body has arrived.
const FIRST_RESERVE: usize = 16 * 1024;

const STATUS_ANSWER: u8 = 0;
const STATUS_BUSY: u8 = 1;
const STATUS_FAILED: u8 = 2;

/// An answer as it travels.
#[derive(Debug)]
pub(super) enum Answer {
    /// The bytes that were asked for.
    Bytes(Vec<u8>),
    /// The peer has no room for the question now.
    Busy,
    /// The peer took the question and cannot answer it.
    Failed,
}

/// Why a frame was refused. Travels inside an [`io::Error`], which is all that a codec may return.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a message of {announced} bytes was announced, the limit is {limit}")]
    TooLarge { announced: u32, limit: u32 },
    #[error("an answer has the unknown status {0}")]
    Status(u8),
}

/// Reads and writes the frames within its two limits, both in bytes.
#[derive(Clone, Copy)]
pub(super) struct SyncCodec {
    pub(super) max_request: u32,
    pub(super) max_response: u32,
}

impl request_response::Codec for SyncCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_body(io, self.max_request).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut status = [0u8; 1];
        io.read_exact(&mut status).await?;
        let limit = if status[0] == STATUS_ANSWER { self.max_response } else { 0 };
        let bytes = read_body(io, limit).await?;
        match status[0] {
            STATUS_ANSWER => Ok(Answer::Bytes(bytes)),
            STATUS_BUSY => Ok(Answer::Busy),
            STATUS_FAILED => Ok(Answer::Failed),
            other => Err(invalid(FrameError::Status(other))),
        }
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_body(io, &request, self.max_request).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Answer,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let (status, bytes) = match answer {
            Answer::Bytes(bytes) => (STATUS_ANSWER, bytes),
            Answer::Busy => (STATUS_BUSY, Vec::new()),
            Answer::Failed => (STATUS_FAILED, Vec::new()),
        };
        io.write_all(&[status]).await?;
        write_body(io, &bytes, self.max_response).await
    }
}

async fn read_body<T>(io: &mut T, limit: u32) -> io::Result<Vec<u8>>
where
    T: AsyncRead + Unpin + Send,
{
    let mut prefix = [0u8; 4];
    io.read_exact(&mut prefix).await?;
    let announced = u32::from_le_bytes(prefix);
    if announced > limit {
        return Err(invalid(FrameError::TooLarge { announced, limit }));
    }
    let length = announced as usize;
    let mut bytes = Vec::with_capacity(length.min(FIRST_RESERVE));
    io.take(u64::from(announced)).read_to_end(&mut bytes).await?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

async fn write_body<T>(io: &mut T, bytes: &[u8], limit: u32) -> io::Result<()>
where
    T: AsyncWrite + Unpin + Send,
{
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    if length > limit {
        return Err(invalid(FrameError::TooLarge { announced: length, limit }));
    }
    io.write_all(&length.to_le_bytes()).await?;
    io.write_all(bytes).await
}

fn invalid(error: FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::io::Cursor;
    use libp2p::request_response::Codec;

    const NAME: StreamProtocol = StreamProtocol::new("/test");

    fn codec() -> SyncCodec {
        SyncCodec { max_request: 8, max_response: 16 }
    }

    fn read_request(bytes: &[u8]) -> io::Result<Vec<u8>> {
        block_on(codec().read_request(&NAME, &mut Cursor::new(bytes.to_vec())))
    }

    fn read_response(bytes: &[u8]) -> io::Result<Answer> {
        block_on(codec().read_response(&NAME, &mut Cursor::new(bytes.to_vec())))
    }

    #[test]
    fn the_bytes_of_a_request_and_an_answer() {
        let mut out = Vec::new();
        block_on(codec().write_request(&NAME, &mut out, b"abc".to_vec())).expect("a Vec takes all");
        assert_eq!(out, b"\x03\0\0\0abc");
        assert_eq!(read_request(&out).expect("just written"), b"abc");

        let mut out = Vec::new();
        let answer = Answer::Bytes(b"defg".to_vec());
        block_on(codec().write_response(&NAME, &mut out, answer)).expect("a Vec takes all");
        assert_eq!(out, b"\0\x04\0\0\0defg");
        assert!(matches!(read_response(&out), Ok(Answer::Bytes(b)) if b == b"defg"));
        assert!(matches!(read_response(b"\x01\0\0\0\0"), Ok(Answer::Busy)));
        assert!(matches!(read_response(b"\x02\0\0\0\0"), Ok(Answer::Failed)));
    }

    #[test]
    fn a_length_at_the_limit_passes_and_one_over_it_does_not() {
        assert_eq!(read_request(b"\x08\x00\x00\x0012345678").expect("at the limit").len(), 8);
        let over = read_request(b"\x09\x00\x00\x00123456789").expect_err("over the limit");
        assert!(over.to_string().contains("9 bytes was announced, the limit is 8"));
        let huge = read_request(b"\xff\xff\xff\xff").expect_err("far over the limit");
        assert_eq!(huge.kind(), io::ErrorKind::InvalidData);
        assert!(block_on(codec().write_request(&NAME, &mut Vec::new(), vec![0; 9])).is_err());
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_an_error() {
        for cut in [&b""[..], b"\x03\0", b"\x03\0\0\0ab"] {
            let error = read_request(cut).expect_err("cut short");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        assert!(read_response(b"\x03\0\0\0\0").is_err(), "no status 3");
        assert!(read_response(b"\x01\x01\0\0\0x").is_err(), "busy carries nothing");
    }
}
