//! The sandboxes of this process, by task, and what runs in them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::integrations::sandbox::{Handle, SandboxError};
use crate::kernel::event::TaskId;

/// A sandbox, and the files that it began with.
pub(super) struct Workspace {
    pub(super) handle: Handle,
    /// The task's directory on the host.
    pub(super) dir: PathBuf,
    /// Ends the running command when the sandbox is closed.
    pub(super) closed: watch::Sender<bool>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Workspaces(Mutex<BTreeMap<TaskId, Arc<Workspace>>>);

impl Workspaces {
    pub(super) fn put(&self, task: TaskId, workspace: Workspace) {
        self.lock().insert(task, Arc::new(workspace));
    }

    pub(super) fn get(&self, task: TaskId) -> Option<Arc<Workspace>> {
        self.lock().get(&task).cloned()
    }

    /// Closes a task's sandbox. It stays among the others until nothing of it is left, so that a
    /// node that stops meanwhile closes it as well.
    pub(super) async fn close(&self, task: TaskId) -> Option<Result<PathBuf, SandboxError>> {
        let workspace = self.get(task)?;
        workspace.closed.send_replace(true);
        let closed = workspace.handle.close().await;
        if closed.is_ok() {
            let mut all = self.lock();
            // Another one may have been opened for the task.
            if all.get(&task).is_some_and(|now| Arc::ptr_eq(now, &workspace)) {
                all.remove(&task);
            }
        }
        Some(closed.map(|()| workspace.dir.clone()))
    }

    pub(super) fn all(&self) -> Vec<TaskId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<TaskId, Arc<Workspace>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until a flag is set, or until nobody can set it any more.
pub(super) async fn told(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|set| *set).await;
}
