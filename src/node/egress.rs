//! Tells the agent what a running command asked for and did not get to.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::work::Hands;
use crate::integrations::sandbox::Handle;
use crate::kernel::agent::Input;
use crate::kernel::event::{EventId, TaskId};

/// The wait before the first look; each next one is twice as long, so that a command which asks
/// without end writes few events.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Tells what is new again and again, and a last time when nobody can set the flag any more: the
/// end of the command is told after that.
pub(super) async fn tell(
    hands: &Hands,
    handle: &Handle,
    task: TaskId,
    command: EventId,
    mut over: watch::Receiver<()>,
) {
    let mut wait = FIRST_WAIT;
    loop {
        let last = timeout(wait, over.changed()).await.is_ok();
        wait = (wait * 2).min(LONGEST_WAIT);
        for denied in handle.take_denied() {
            let (host, port, count) = (denied.host, denied.port, denied.count);
            let input = Input::Denied { task, command, host, port, count };
            // The loop takes nothing more when the node stops.
            let _ = hands.inputs.send(hands.masker.input(input)).await;
        }
        if last {
            return;
        }
    }
}
