//! What a malicious member answers instead of the truth.

use bzzz::kernel::identity::AuthorId;
use bzzz::kernel::log::{Hash, MAX_LENGTH};
use bzzz::kernel::sync::{Frontier, Held, Response};

use super::rng::Rng;

/// Makes a lie of a response; none if it would rather be silent.
pub(super) fn mangle(bytes: Vec<u8>, logs: &[AuthorId], rng: &mut Rng) -> Option<Vec<u8>> {
    let Ok(response) = Response::from_bytes(&bytes) else {
        return Some(bytes);
    };
    match (response, rng.range(0..8)) {
        (_, 0) => None,
        (_, 1) => Some((0..rng.range(0..200)).map(|_| rng.next().to_le_bytes()[0]).collect()),
        (Response::Frontier(mut frontier), _) => {
            boast(&mut frontier, logs, rng);
            Some(Response::Frontier(frontier).to_bytes())
        }
        (Response::Range(_), 2) => Some(Response::Nothing { length: MAX_LENGTH }.to_bytes()),
        (Response::Range(mut range), 3) => {
            range.author = logs[rng.index(logs.len())];
            Some(Response::Range(range).to_bytes())
        }
        (Response::Range(mut range), 4) => {
            range.from += 1;
            Some(Response::Range(range).to_bytes())
        }
        (Response::Range(mut range), 5) => {
            let (a, b) = (rng.index(range.records.len()), rng.index(range.records.len()));
            range.records.swap(a, b);
            Some(Response::Range(range).to_bytes())
        }
        (Response::Range(mut range), 6) => {
            range.records.truncate(range.records.len().div_ceil(2));
            Some(Response::Range(range).to_bytes())
        }
        _ => {
            let mut bytes = bytes;
            let at = rng.index(bytes.len());
            bytes[at] ^= 1 << rng.range(0..8);
            Some(bytes)
        }
    }
}

/// Claims to have more of everything than there is.
fn boast(frontier: &mut Frontier, logs: &[AuthorId], rng: &mut Rng) {
    let longer = |rng: &mut Rng| match rng.range(0..3) {
        0 => MAX_LENGTH,
        1 => rng.range(1..1000),
        _ => rng.range(1..40),
    };
    let held = |(author, length)| Held { author, length, root: Hash([7; 32]) };
    let mut all: Vec<Held> = logs.iter().map(|log| held((*log, longer(rng)))).collect();
    all.sort_unstable_by_key(|held| held.author);
    all.dedup_by_key(|held| held.author);
    frontier.logs = all;
}
