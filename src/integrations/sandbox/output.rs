//! A command's output: counted and hashed as a whole, kept up to a bound.

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::{Chunk, CommandStatus, Finished, Stream};

/// The largest piece that goes to the sink, in bytes.
const CHUNK_BYTES: usize = 16 * 1024;

/// Takes a command's output as it arrives. It holds none of it.
pub(crate) struct Collector {
    sink: Sender<Chunk>,
    start: Instant,
    limit: u64,
    total: u64,
    kept: u64,
    closed: bool,
    duration_ms: Option<u64>,
    hasher: blake3::Hasher,
}

impl Collector {
    /// Starts the command's clock.
    pub(crate) fn new(limit: u64, sink: Sender<Chunk>) -> Collector {
        Collector {
            sink,
            start: Instant::now(),
            limit,
            total: 0,
            kept: 0,
            closed: false,
            duration_ms: None,
            hasher: blake3::Hasher::new(),
        }
    }

    /// Waits while the sink is full: a reader that is slow slows the command down.
    pub(crate) async fn take(&mut self, stream: Stream, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.total = self.total.saturating_add(length(bytes));
        let room = usize::try_from(self.limit - self.kept).unwrap_or(usize::MAX);
        for piece in bytes[..bytes.len().min(room)].chunks(CHUNK_BYTES) {
            if self.closed {
                return;
            }
            let chunk = Chunk { stream, bytes: piece.to_vec(), at_ms: self.elapsed_ms() };
            match self.sink.send(chunk).await {
                Ok(()) => self.kept += length(piece),
                Err(_) => self.closed = true,
            }
        }
    }

    /// Notes the command's end: what is done after it is no part of its time.
    pub(crate) fn stop(&mut self) {
        self.duration_ms = Some(self.elapsed_ms());
    }

    pub(crate) fn finish(self, status: CommandStatus) -> Finished {
        Finished {
            status,
            duration_ms: self.duration_ms.unwrap_or_else(|| self.elapsed_ms()),
            output_total: self.total,
            output_kept: self.kept,
            truncated: self.kept < self.total,
            output_hash: *self.hasher.finalize().as_bytes(),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        milliseconds(self.start.elapsed())
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_is_hashed_and_the_first_part_kept() {
        let (sink, mut chunks) = tokio::sync::mpsc::channel(16);
        let mut collector = Collector::new(5, sink);
        collector.take(Stream::Stdout, b"abc").await;
        collector.take(Stream::Stderr, b"defg").await;
        collector.take(Stream::Stdout, b"h").await;
        let finished = collector.finish(CommandStatus::Exited(0));
        assert_eq!((finished.output_total, finished.output_kept), (8, 5));
        assert!(finished.truncated);
        assert_eq!(finished.output_hash, *blake3::hash(b"abcdefgh").as_bytes());
        let mut kept = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            kept.push((chunk.stream, chunk.bytes));
        }
        assert_eq!(kept, [(Stream::Stdout, b"abc".to_vec()), (Stream::Stderr, b"de".to_vec())]);
    }

    #[tokio::test]
    async fn a_closed_sink_is_no_reason_to_stop() {
        let (sink, chunks) = tokio::sync::mpsc::channel(1);
        drop(chunks);
        let mut collector = Collector::new(100, sink);
        collector.take(Stream::Stdout, &[7; 50]).await;
        let finished = collector.finish(CommandStatus::TimedOut);
        assert_eq!((finished.output_total, finished.output_kept), (50, 0));
        assert!(finished.truncated);
    }
}
