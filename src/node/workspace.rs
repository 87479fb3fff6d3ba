//! The sandboxes of this process, by task, and what runs in them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::integrations::sandbox::Handle;
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

    pub(super) fn take(&self, task: TaskId) -> Option<Arc<Workspace>> {
        let taken = self.lock().remove(&task);
        if let Some(workspace) = &taken {
            workspace.closed.send_replace(true);
        }
        taken
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
