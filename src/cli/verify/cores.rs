//! Work on all cores, in order: one thread makes pieces of work, as many as there are cores do
//! them, and whoever asks gets the results in the order in which the pieces were made.
//!
//! A fixed number of pieces exists. Each goes round: made, done, taken, and back to the maker, so
//! that memory is bounded, whichever of them is slow.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope};

/// Results as they come, and the pieces that may be made anew.
pub(super) struct Ordered<P, D> {
    done: Receiver<(u64, D)>,
    free: SyncSender<P>,
    next: u64,
    early: BTreeMap<u64, D>,
}

/// The number of threads that work.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Starts the threads. The maker fills a piece and returns it, or `None` at the end.
pub(super) fn start<'scope, 'env, P, D>(
    scope: &'scope Scope<'scope, 'env>,
    mut make: impl FnMut(P) -> Option<P> + Send + 'scope,
    work: impl Fn(P) -> D + Clone + Send + 'scope,
    queue: &'scope Mutex<Option<Receiver<(u64, P)>>>,
) -> Ordered<P, D>
where
    P: Default + Send + 'scope,
    D: Send + 'scope,
{
    let pieces = 2 * cores() + 2;
    let (free, empty) = sync_channel::<P>(pieces);
    let (made, to_do) = sync_channel::<(u64, P)>(pieces);
    let (finished, done) = sync_channel(pieces);
    for _ in 0..pieces {
        // There is room for all of them, and the other end is there.
        let _ = free.send(P::default());
    }
    *queue.lock().unwrap_or_else(PoisonError::into_inner) = Some(to_do);
    scope.spawn(move || {
        for (number, piece) in (0..).zip(empty) {
            let Some(piece) = make(piece) else {
                break;
            };
            if made.send((number, piece)).is_err() {
                break;
            }
        }
    });
    for _ in 0..cores() {
        let (finished, work) = (finished.clone(), work.clone());
        scope.spawn(move || {
            loop {
                let next = {
                    let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                    queue.as_ref().and_then(|queue| queue.recv().ok())
                };
                let Some((number, piece)) = next else {
                    break;
                };
                if finished.send((number, work(piece))).is_err() {
                    break;
                }
            }
        });
    }
    Ordered { done, free, next: 0, early: BTreeMap::new() }
}

impl<P, D> Ordered<P, D> {
    /// The next result, once it is there; `None` behind the last.
    pub(super) fn next(&mut self) -> Option<D> {
        loop {
            if let Some(done) = self.early.remove(&self.next) {
                self.next += 1;
                return Some(done);
            }
            let (number, done) = self.done.recv().ok()?;
            self.early.insert(number, done);
        }
    }

    /// Lets a piece be made anew.
    pub(super) fn give_back(&self, piece: P) {
        // The maker may have come to its end.
        let _ = self.free.send(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_their_making() {
        let queue = Mutex::new(None);
        let mut numbers = 0..1000u64;
        let all = thread::scope(|scope| {
            let make = |_: u64| numbers.next();
            let work = |number: u64| {
                if number.is_multiple_of(7) {
                    thread::yield_now();
                }
                number * 2
            };
            let mut ordered = start(scope, make, work, &queue);
            let mut all = Vec::new();
            while let Some(number) = ordered.next() {
                all.push(number);
                ordered.give_back(0);
            }
            all
        });
        assert!(all.into_iter().eq((0..1000).map(|number| number * 2)));
    }

    #[test]
    fn who_stops_to_ask_ends_the_threads() {
        let queue = Mutex::new(None);
        thread::scope(|scope| {
            let mut ordered = start(scope, Some::<u64>, |number| number, &queue);
            assert_eq!(ordered.next(), Some(0));
        });
    }
}
