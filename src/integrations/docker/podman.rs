//! What Podman does otherwise than Docker, behind the same interface.
//!
//! The file systems in memory that it makes with a container take neither an owner nor a count of
//! files. Those of its volumes take all that the kernel does, so the places that commands may write
//! to are named volumes here, which go with their container. It also makes `/run` and `/var/tmp`
//! writable in a container whose root isn't; something that can't be written stands there.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{HostConfig, Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions};
use tokio::time::{Instant, sleep};

use super::super::sandbox::{Limits, SandboxError, SandboxSpec};
use super::setup::{Room, labels, rooms, ulimit};
use super::{LABEL_OWNER, engine_error};

/// Processes of the commands' user, on the whole machine. Podman's own default is more than the
/// service may set where it lacks `CAP_SYS_RESOURCE`; the container's count is bounded apart.
const USER_PROCESSES: i64 = 32_768;

/// How long a container may take to give up its volumes.
const VOLUME_TIME: Duration = Duration::from_secs(10);

/// Podman takes the runtime from its own settings, and drops what a client asks for.
pub(super) fn check_runtime(runtime: Option<&str>) -> Result<(), SandboxError> {
    let Some(runtime) = runtime else { return Ok(()) };
    let reason = format!(
        "Podman's is set in its own containers.conf: set {runtime} there, and leave out \
         sandbox.runtime"
    );
    Err(SandboxError::Engine { what: "choosing the runtime", reason })
}

/// The name of the volume that a sandbox has at a place.
fn volume(sandbox: &str, room: &Room) -> String {
    format!("{sandbox}{}", room.place.replace('/', "-"))
}

/// Makes the volumes of a sandbox.
///
/// # Errors
/// [`SandboxError::Exists`] where a container has them.
pub(super) async fn make_volumes(engine: &Docker, spec: &SandboxSpec) -> Result<(), SandboxError> {
    for room in rooms(&spec.limits) {
        let name = volume(&spec.name, &room);
        // What a removed container has left may be of another size, and would be used as it is.
        if !remove_volume(engine, &name).await? {
            return Err(SandboxError::Exists { name: spec.name.clone() });
        }
        // With `size` instead of blocks, Podman asks the disk's file system for a quota.
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(u64::MAX);
        let (blocks, files, mode) = (room.size.div_ceil(page), room.files, room.mode);
        let options = format!(
            "nr_blocks={blocks},nr_inodes={files},uid=1000,gid=1000,mode={mode},nosuid,nodev"
        );
        let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", &options)];
        let asked = VolumeCreateRequest {
            name: Some(name),
            driver: Some("local".to_owned()),
            driver_opts: Some(
                options
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
            ),
            labels: Some(labels(spec)),
            ..VolumeCreateRequest::default()
        };
        let made = engine.create_volume(asked).await;
        made.map_err(|error| engine_error("making a volume", &error))?;
    }
    Ok(())
}

/// Makes a container one of Podman's.
pub(super) fn change(host_config: &mut HostConfig, sandbox: &str, limits: &Limits) {
    let mount = |room: Room| Mount {
        target: Some(room.place.to_owned()),
        source: Some(volume(sandbox, &room)),
        typ: Some(MountType::VOLUME),
        ..Mount::default()
    };
    host_config.mounts = Some(rooms(limits).into_iter().map(mount).collect());
    let empty = ["/run", "/var/tmp"].map(|place| (place.to_owned(), "ro,size=64k".to_owned()));
    host_config.tmpfs = Some(empty.into_iter().collect());
    host_config.ulimits.get_or_insert_default().push(ulimit("nproc", USER_PROCESSES));
}

/// Removes the volumes of a sandbox; whether they are gone now, since those that a container uses
/// stay.
pub(super) async fn remove_volumes(
    engine: &Docker,
    sandbox: &str,
    limits: &Limits,
) -> Result<bool, SandboxError> {
    let mut gone = true;
    for room in rooms(limits) {
        gone &= remove_volume(engine, &volume(sandbox, &room)).await?;
    }
    Ok(gone)
}

/// Removes the volumes of a sandbox whose container is gone, or goes on another request.
pub(super) async fn wait_for_volumes(
    engine: &Docker,
    sandbox: &str,
    limits: &Limits,
) -> Result<(), SandboxError> {
    let begun = Instant::now();
    while !remove_volumes(engine, sandbox, limits).await? {
        if begun.elapsed() > VOLUME_TIME {
            let reason = "a container still uses it".to_owned();
            return Err(SandboxError::Engine { what: "removing a volume", reason });
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Removes the volumes of an owner that no container uses. Docker's engine has none.
pub(super) async fn remove_orphans(engine: &Docker, owner: &str) -> Result<(), SandboxError> {
    let label = format!("{LABEL_OWNER}={owner}");
    let filters = [("label", vec![label.as_str()])].into_iter().collect();
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let found = engine.list_volumes(Some(options)).await;
    let found = found.map_err(|error| engine_error("listing volumes", &error))?;
    for volume in found.volumes.into_iter().flatten() {
        remove_volume(engine, &volume.name).await?;
    }
    Ok(())
}

/// Whether a volume is gone now; one that a container uses stays.
async fn remove_volume(engine: &Docker, name: &str) -> Result<bool, SandboxError> {
    match engine.remove_volume(name, None::<RemoveVolumeOptions>).await {
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(true),
        Err(Error::DockerResponseServerError { status_code: 409, .. }) => Ok(false),
        Err(error) => Err(engine_error("removing a volume", &error)),
    }
}
