//! Says from time to time which heads of other logs this node holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::debug;

use super::clock;
use super::workspace::told;
use crate::engine::{Engine, EngineError};

/// Runs until it is told to stop; with no time between, it never says anything.
pub(super) async fn run(
    engine: Arc<Engine>,
    seconds: u64,
    mut stop: watch::Receiver<bool>,
) -> Result<(), EngineError> {
    if seconds == 0 {
        told(&mut stop).await;
        return Ok(());
    }
    let time = Duration::from_secs(seconds);
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + time, time);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = told(&mut stop) => return Ok(()),
            _ = tick.tick() => {}
        }
        match tokio::task::block_in_place(|| engine.witness(clock::wall_ms())) {
            Ok(0) | Err(EngineError::Waiting | EngineError::Stopped(_)) => {}
            Ok(heads) => debug!(heads, "witnessed"),
            Err(error) => return Err(error),
        }
    }
}
