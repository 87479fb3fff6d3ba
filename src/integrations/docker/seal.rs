//! How it is known that a program's output is all there.
//!
//! Podman closes the connection of a program that has ended, and what was still on its way is lost
//! now and then (a known fault of `podman exec`). So a program's shell writes a mark to both
//! streams when the program has ended, and waits for a line of the node before it ends itself; the
//! node writes it when both marks have come. A program that writes the mark itself is ended by that
//! line, and what comes after a mark is output like any other.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::sandbox::Stream;

/// Looks for one program's marks.
#[derive(Debug)]
pub(super) struct Seal {
    /// With the line feed behind it.
    mark: String,
    /// What the streams ended with so far, if it may be the beginning of the mark.
    held: [Vec<u8>; 2],
}

impl Seal {
    /// With a mark that no other program has.
    pub(super) fn new(sandbox: &str) -> Seal {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("end of {sandbox} {}-{count}\n", std::process::id());
        Seal { mark, held: [Vec::new(), Vec::new()] }
    }

    /// The mark as the shell writes it, without the line feed.
    pub(super) fn mark(&self) -> &str {
        self.mark.trim_end()
    }

    /// A script of our own, with the marks at its end.
    pub(super) fn script(&self, script: &str) -> String {
        let mark = self.mark();
        format!("{script}\ncode=$?\necho '{mark}'\necho '{mark}' >&2\nread -r x\nexit $code")
    }

    /// Takes what came, and gives what is certainly no mark.
    pub(super) fn pass(&mut self, stream: Stream, bytes: &[u8]) -> Vec<u8> {
        let held = self.held_of(stream);
        held.extend_from_slice(bytes);
        let mut seen = std::mem::take(held);
        let longest = seen.len().min(self.mark.len());
        let begins = |length: &usize| seen.ends_with(&self.mark.as_bytes()[..*length]);
        let length = (0..=longest).rev().find(begins).unwrap_or(0);
        let tail = seen.split_off(seen.len() - length);
        *self.held_of(stream) = tail;
        seen
    }

    /// Whether both streams end with the mark.
    pub(super) fn is_there(&self) -> bool {
        self.held.iter().all(|held| held == self.mark.as_bytes())
    }

    /// What was held back of a stream that ended without a mark.
    pub(super) fn rest(&mut self) -> Option<(Stream, Vec<u8>)> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mark = self.mark.clone();
            let held = self.held_of(stream);
            if !held.is_empty() && held != mark.as_bytes() {
                return Some((stream, std::mem::take(held)));
            }
        }
        None
    }

    fn held_of(&mut self, stream: Stream) -> &mut Vec<u8> {
        &mut self.held[usize::from(stream == Stream::Stderr)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_are_found_however_they_come_and_all_else_is_output() {
        let seal = Seal::new("s");
        let said = format!("one\nen\nend of s{0}two{0}", seal.mark);
        for size in 1..=said.len() {
            let mut seal = Seal { mark: seal.mark.clone(), held: [Vec::new(), Vec::new()] };
            let mut out = Vec::new();
            for piece in said.as_bytes().chunks(size) {
                out.extend(seal.pass(Stream::Stdout, piece));
            }
            assert!(!seal.is_there());
            assert_eq!(seal.pass(Stream::Stderr, seal.mark.clone().as_bytes()), b"");
            assert!(seal.is_there());
            assert_eq!(seal.rest(), None);
            assert_eq!(out, said.as_bytes()[..said.len() - seal.mark.len()], "in parts of {size}");
            // What comes after a mark was no end.
            assert_eq!(seal.pass(Stream::Stdout, b"x"), [seal.mark.as_bytes(), b"x"].concat());
            assert!(!seal.is_there());
            assert_eq!(seal.pass(Stream::Stdout, b"en"), b"");
            assert_eq!(seal.rest(), Some((Stream::Stdout, b"en".to_vec())));
        }
    }
}
