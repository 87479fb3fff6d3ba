//! The one clock of the program, and its one source of randomness.
#![expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is handed")]

use std::sync::LazyLock;
use std::time::{Instant, SystemTime};

use crate::kernel::agent::Now;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The time.
#[must_use]
pub fn now() -> Now {
    let mono = START.elapsed().as_millis();
    Now { wall_ms: wall_ms(), mono_ms: u64::try_from(mono).unwrap_or(u64::MAX) }
}

/// Milliseconds since 1970; 0 if the machine's clock stands before that.
#[must_use]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The machine's randomness is not to be had.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the machine gives no random bytes: {0}")]
pub struct NoRandomness(getrandom::Error);

/// Random bytes of the operating system.
///
/// # Errors
/// [`NoRandomness`].
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}
