//! The sandbox of containers, of Docker's engine or of Podman's.
//!
//! The work tree is a tmpfs of a fixed size inside the container, and files go in and out as a tar
//! stream through a command's input and output. A directory of the host, mounted, would have no
//! quota on an ordinary file system, would need files of the container's user on the host, and
//! would let a link that a command makes point at the host. (The engine's own archive API does not
//! see into a tmpfs, and is refused under a read-only root.)
//!
//! The container's first process belongs to another user than its commands. So `kill -9 -1`, which
//! reaches every process of the caller's user in the container at once, ends all that a command
//! has left (also what ignores signals, has left its session, or forks without end), and nothing
//! else. A shell builtin does it, since nothing more may be startable by then.

mod exec;
mod gate;
mod podman;
mod seal;
mod setup;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bollard::errors::Error;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::sync::Mutex;
use tokio::sync::mpsc::Sender;

use super::sandbox::{
    Bounds, Chunk, Denied, Exported, Finished, Limits, SandboxError, SandboxSpec,
};
use gate::Gate;
use setup::Kind;

/// How long the engine may take to answer a request, in seconds.
const REQUEST_SECONDS: u64 = 120;

/// The label with the owner's id.
const LABEL_OWNER: &str = "bzzz.owner";

/// The label with the sandbox's name.
const LABEL_SANDBOX: &str = "bzzz.sandbox";

/// How a node's containers are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerSettings {
    /// The socket of Docker or Podman: a path, or `unix://` and a path as in `DOCKER_HOST`.
    pub host: String,
    /// The image, when a sandbox's specification names none. It needs `sh`, `tar`, `sleep`, `cat`
    /// and `chmod`.
    pub image: String,
    /// The container runtime (`runc`, `runsc`, `kata-runtime`); otherwise the engine's default.
    pub runtime: Option<String>,
}

impl Default for DockerSettings {
    /// The usual socket, the image that `tools/sandbox-image` makes, the engine's own runtime.
    fn default() -> DockerSettings {
        DockerSettings {
            host: "unix:///var/run/docker.sock".to_owned(),
            image: "bzzz-sandbox:1".to_owned(),
            runtime: None,
        }
    }
}

/// Makes containers.
#[derive(Debug)]
pub struct DockerSandbox {
    settings: DockerSettings,
}

/// One container, with a copy of a work tree in it.
#[derive(Debug)]
pub struct Container {
    engine: Docker,
    kind: Kind,
    name: String,
    limits: Limits,
    /// The links out of the tree that came in with it.
    links: BTreeMap<PathBuf, PathBuf>,
    /// The way to what it may reach, if that is anything.
    gate: Option<Gate>,
    /// Held while a command runs or files are copied out.
    turn: Mutex<Turn>,
}

/// What one command leaves to the next.
#[derive(Debug, Default)]
struct Turn {
    /// Something may be alive that was started for a call that was dropped.
    dirty: bool,
    /// How often the kernel had killed for want of memory when it was last asked.
    out_of_memory: u64,
    /// Why nothing can be run any more.
    gone: Option<String>,
}

impl DockerSandbox {
    /// Nothing is connected before the first use.
    #[must_use]
    pub fn new(settings: DockerSettings) -> DockerSandbox {
        DockerSandbox { settings }
    }

    pub(super) async fn open(&self, spec: &SandboxSpec) -> Result<Container, SandboxError> {
        let engine = self.connect().await?;
        let image = spec.image.as_ref().unwrap_or(&self.settings.image);
        let runtime = self.settings.runtime.as_deref();
        let (kind, _) = setup::check_engine(&engine, runtime, Some(&spec.limits)).await?;
        setup::check_image(&engine, image).await?;
        if kind == Kind::Podman {
            podman::make_volumes(&engine, spec).await?;
        }
        let body = setup::body(spec, image, runtime, kind);
        let options = CreateContainerOptionsBuilder::new().name(&spec.name).build();
        let created = match engine.create_container(Some(options), body).await {
            Ok(created) => created,
            Err(error) => {
                if kind == Kind::Podman {
                    // Those of a container that is there stay.
                    let _ = podman::remove_volumes(&engine, &spec.name, &spec.limits).await;
                }
                return Err(match error {
                    Error::DockerResponseServerError { status_code: 409, .. } => {
                        SandboxError::Exists { name: spec.name.clone() }
                    }
                    other => engine_error("making a container", &other),
                });
            }
        };
        let mut container = Container {
            engine,
            kind,
            name: spec.name.clone(),
            limits: spec.limits,
            links: BTreeMap::new(),
            gate: None,
            turn: Mutex::new(Turn::default()),
        };
        match container.start(created.warnings, spec).await {
            Ok(()) => Ok(container),
            Err(error) => {
                // The first error is the one to report; what can't be removed is an orphan.
                let _ = container.remove().await;
                Err(error)
            }
        }
    }

    pub(super) async fn remove_orphans(&self, owner: &str) -> Result<Vec<String>, SandboxError> {
        let engine = self.connect().await?;
        let label = format!("{LABEL_OWNER}={owner}");
        let filters = [("label", vec![label.as_str()])].into_iter().collect();
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let found = engine
            .list_containers(Some(options))
            .await
            .map_err(|error| engine_error("listing containers", &error))?;
        let mut removed = Vec::new();
        for container in found {
            let Some(id) = container.id else { continue };
            let name = container.labels.unwrap_or_default().remove(LABEL_SANDBOX);
            remove(&engine, &id).await?;
            removed.push(name.unwrap_or(id));
        }
        podman::remove_orphans(&engine, owner).await?;
        removed.sort_unstable();
        Ok(removed)
    }

    pub(super) async fn check(&self) -> Result<String, SandboxError> {
        let engine = self.connect().await?;
        let runtime = self.settings.runtime.as_deref();
        let (_, made_of) = setup::check_engine(&engine, runtime, None).await?;
        setup::check_image(&engine, &self.settings.image).await?;
        Ok(format!("{made_of}, image {}", self.settings.image))
    }

    /// Says whether a sandbox can have a way out through the proxy.
    ///
    /// # Errors
    /// What would make a sandbox with egress fail to open, as far as that is known beforehand.
    pub async fn check_egress() -> Result<(), SandboxError> {
        gate::check().await
    }

    async fn connect(&self) -> Result<Docker, SandboxError> {
        let host = &self.settings.host;
        let unreachable = |reason: String| SandboxError::Unreachable { host: host.clone(), reason };
        let path = host.strip_prefix("unix://").unwrap_or(host);
        if !path.starts_with('/') {
            return Err(unreachable("it is no path of a Unix socket".to_owned()));
        }
        Docker::connect_with_unix(path, REQUEST_SECONDS, API_DEFAULT_VERSION)
            .map_err(|error| unreachable(reason(&error)))?
            .negotiate_version()
            .await
            .map_err(|error| unreachable(reason(&error)))
    }
}

impl Container {
    async fn start(
        &mut self,
        warnings: Vec<String>,
        spec: &SandboxSpec,
    ) -> Result<(), SandboxError> {
        setup::check_warnings(warnings)?;
        self.engine
            .start_container(&self.name, None)
            .await
            .map_err(|error| engine_error("starting the container", &error))?;
        setup::check_inside(self).await?;
        if !spec.egress.hosts.is_empty() {
            self.gate = Some(Gate::open(self, spec.egress.clone()).await?);
        }
        self.links = self.copy_in(&spec.work_tree).await?;
        Ok(())
    }

    pub(super) async fn run(
        &self,
        command: &str,
        sink: Sender<Chunk>,
    ) -> Result<Finished, SandboxError> {
        let mut turn = self.turn.lock().await;
        self.ready(&mut turn).await?;
        let _served = match &self.gate {
            Some(gate) => Some(gate.serve().await?),
            None => None,
        };
        turn.dirty = true;
        let finished = self.command(&mut turn, command, sink).await;
        // What could not be swept has ended the sandbox.
        turn.dirty = false;
        finished
    }

    pub(super) async fn export(&self, dest: &Path) -> Result<Exported, SandboxError> {
        let mut turn = self.turn.lock().await;
        self.ready(&mut turn).await?;
        turn.dirty = true;
        let bounds = Bounds { bytes: self.limits.disk_bytes, links: Some(self.links.clone()) };
        let exported = self.copy_out(dest, bounds).await?;
        turn.dirty = false;
        Ok(exported)
    }

    pub(super) fn take_denied(&self) -> Vec<Denied> {
        self.gate.as_ref().map(Gate::take_denied).unwrap_or_default()
    }

    pub(super) async fn close(&self) -> Result<(), SandboxError> {
        if let Some(gate) = &self.gate {
            gate.close().await;
        }
        // Without waiting for a turn: this is also how a running command is stopped.
        self.remove().await
    }

    /// Refuses where the sandbox is gone, and ends what a dropped call has left.
    async fn ready(&self, turn: &mut Turn) -> Result<(), SandboxError> {
        if turn.gone.is_none() && turn.dirty {
            self.sweep(turn).await;
            turn.dirty = false;
        }
        match &turn.gone {
            None => Ok(()),
            Some(reason) => {
                Err(SandboxError::Gone { name: self.name.clone(), reason: reason.clone() })
            }
        }
    }

    async fn remove(&self) -> Result<(), SandboxError> {
        remove(&self.engine, &self.name).await?;
        match self.kind {
            Kind::Docker => Ok(()),
            Kind::Podman => podman::wait_for_volumes(&self.engine, &self.name, &self.limits).await,
        }
    }
}

/// Removes a container with all that is in it; one that is gone already is fine.
async fn remove(engine: &Docker, container: &str) -> Result<(), SandboxError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match engine.remove_container(container, Some(options)).await {
        // 409: another request is removing it.
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
        Err(error) => Err(engine_error("removing a container", &error)),
    }
}

fn engine_error(what: &'static str, error: &Error) -> SandboxError {
    SandboxError::Engine { what, reason: reason(error) }
}

/// What the engine said, without the client's wrapping, and no more than a few lines of it.
fn reason(error: &Error) -> String {
    let text = match error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(inner) = source {
                text = format!("{text}: {inner}");
                source = inner.source();
            }
            text
        }
    };
    text.trim().chars().take(500).collect()
}
