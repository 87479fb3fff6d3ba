//! How a container is made, and the proof that its limits hold before anything runs in it.

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum, SystemInfo,
};

use super::super::sandbox::{Limits, MAX_ENTRIES, SandboxError, SandboxSpec};
use super::{Container, LABEL_OWNER, LABEL_SANDBOX, engine_error};

/// The user of all commands.
pub(super) const COMMAND_USER: &str = "1000:1000";

/// The user of the container's first process, which no command can signal.
const KEEPER_USER: &str = "65534:65534";

/// Where the work tree is.
pub(super) const WORK: &str = "/work";

/// Room for temporary files, in bytes.
const TMP_BYTES: u64 = 64 << 20;

/// A file or directory, even an empty one, takes room in the kernel: so many bytes of a file system
/// have one each, and none is without bound.
const BYTES_PER_FILE: u64 = 4096;

/// Files that a small file system may have in any case: directories and links take no room there.
const LEAST_FILES: u64 = 4096;

/// What the kernel keeps of each file, in bytes; measured at 1.2 KiB.
const KERNEL_BYTES_PER_FILE: u64 = 1536;

/// Room for shared memory, in bytes.
const SHM_BYTES: u64 = 16 << 20;

/// A sandbox that nobody closes ends by itself after a day, in seconds.
const LIFETIME_SECONDS: &str = "86400";

/// The container's own processes beside those of the commands: its init, the one that keeps it
/// open, the two shells around a command, and what ends a command.
const OWN_PROCESSES: i64 = 8;

/// Open files of one process.
const OPEN_FILES: i64 = 4096;

/// Asks the engine whether it enforces what a sandbox needs; says what it is.
/// Where `limits` are given, they have to fit into the machine's memory.
pub(super) async fn check_engine(
    engine: &Docker,
    runtime: Option<&str>,
    limits: Option<&Limits>,
) -> Result<String, SandboxError> {
    let info = engine.info().await.map_err(|error| engine_error("describing itself", &error))?;
    let enforced = [
        ("memory", info.memory_limit),
        ("memory and swap together", info.swap_limit),
        ("processes", info.pids_limit),
        ("processor time", info.cpu_cfs_quota),
    ];
    for (limit, enforced) in enforced {
        if enforced != Some(true) {
            let reason = "the kernel or its control groups do not support it".to_owned();
            return Err(SandboxError::Unenforceable { limit, reason });
        }
    }
    if info.os_type.as_deref() != Some("linux") {
        let reason = format!("it runs {}", info.os_type.unwrap_or_default());
        return Err(SandboxError::Unenforceable { limit: "everything", reason });
    }
    let needed = limits.map_or(0, memory_of);
    if let Some(there) = info.mem_total
        && there < needed
    {
        let reason = format!("the sandbox may use {needed} bytes, the machine has {there}");
        return Err(SandboxError::Unenforceable { limit: "memory", reason });
    }
    let version = engine.version().await;
    let version = version.map_err(|error| engine_error("telling its version", &error))?;
    if version.components.iter().flatten().any(|part| part.name == "Podman Engine") {
        let reason = "Podman gives file systems in memory neither an owner nor a count".to_owned();
        return Err(SandboxError::Unenforceable { limit: "files", reason });
    }
    Ok(describe(&info, known_runtime(&info, runtime)?))
}

fn known_runtime<'a>(
    info: &'a SystemInfo,
    runtime: Option<&'a str>,
) -> Result<&'a str, SandboxError> {
    let Some(runtime) = runtime else {
        return Ok(info.default_runtime.as_deref().unwrap_or("its default"));
    };
    let known = info.runtimes.iter().flat_map(|all| all.keys());
    if known.clone().any(|name| name == runtime) {
        return Ok(runtime);
    }
    let mut known: Vec<&str> = known.map(String::as_str).collect();
    known.sort_unstable();
    let reason = format!("it has no runtime {runtime}, only {}", known.join(", "));
    Err(SandboxError::Engine { what: "choosing the runtime", reason })
}

fn describe(info: &SystemInfo, runtime: &str) -> String {
    let version = info.server_version.as_deref().unwrap_or("of unknown version");
    let groups = info.cgroup_version.map_or_else(|| "?".to_owned(), |v| v.to_string());
    format!("Docker {version}, runtime {runtime}, control groups v{groups}")
}

/// The image must be there: nothing is fetched when a task runs.
pub(super) async fn check_image(engine: &Docker, image: &str) -> Result<(), SandboxError> {
    match engine.inspect_image(image).await {
        Ok(_) => Ok(()),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
            Err(SandboxError::ImageMissing { image: image.to_owned() })
        }
        Err(error) => Err(engine_error("looking at the image", &error)),
    }
}

/// Older engines say only after the fact that they drop a limit.
pub(super) fn check_warnings(warnings: Vec<String>) -> Result<(), SandboxError> {
    let dropped = |text: &String| {
        let text = text.to_lowercase();
        text.contains("discarded") || text.contains("not support") || text.contains("without swap")
    };
    match warnings.into_iter().find(dropped) {
        None => Ok(()),
        Some(reason) => Err(SandboxError::Unenforceable { limit: "resources", reason }),
    }
}

/// Looks from inside, as a command would: who it is, that the root can't be written, that the work
/// tree is a file system of its own with the size that was asked for, that there is no network.
pub(super) async fn check_inside(container: &Container) -> Result<(), SandboxError> {
    let probe = "cat /proc/self/status /proc/self/mounts /proc/net/dev";
    let (code, text) = container.helper(probe).await?;
    let failed = |limit: &'static str, reason: &str| {
        Err(SandboxError::Unenforceable { limit, reason: reason.to_owned() })
    };
    if code != 0 {
        return failed("everything", &format!("looking inside failed: {}", text.trim()));
    }
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map_or("", str::trim);
    if field("Uid:").split_whitespace().any(|uid| uid != "1000") {
        return failed("the user", "commands would run as another user than 1000");
    }
    if ["CapEff:", "CapBnd:"].iter().any(|set| field(set).contains(is_nonzero)) {
        return failed("capabilities", "some are left");
    }
    // Some runtimes' kernels do not report this one.
    if field("NoNewPrivs:") == "0" {
        return failed("privileges", "new ones could be had");
    }
    let mount = |place: &str| {
        text.lines().find(|line| line.split_whitespace().nth(1) == Some(place)).unwrap_or("")
    };
    if !mount("/").split_whitespace().nth(3).is_some_and(|o| o.split(',').any(|o| o == "ro")) {
        return failed("the root file system", "it can be written");
    }
    if !mount(WORK).starts_with("tmpfs ") || !mount(WORK).contains("size=") {
        return failed("disk", "the work tree has no size of its own");
    }
    let devices = text.lines().filter_map(|line| line.trim().split_once(": ")).filter(|(_, r)| {
        let mut numbers = r.split_whitespace();
        numbers.clone().count() == 16 && numbers.all(|n| n.bytes().all(|b| b.is_ascii_digit()))
    });
    for (device, _) in devices {
        if device != "lo" {
            return failed("network", &format!("there is a device {device}"));
        }
    }
    Ok(())
}

fn is_nonzero(digit: char) -> bool {
    digit != '0'
}

/// The container itself.
pub(super) fn body(spec: &SandboxSpec, image: &str, runtime: Option<&str>) -> ContainerCreateBody {
    let labels = [(LABEL_OWNER, &spec.owner), (LABEL_SANDBOX, &spec.name)];
    ContainerCreateBody {
        image: Some(image.to_owned()),
        hostname: Some("sandbox".to_owned()),
        user: Some(KEEPER_USER.to_owned()),
        entrypoint: Some(vec!["sleep".to_owned(), LIFETIME_SECONDS.to_owned()]),
        cmd: Some(Vec::new()),
        working_dir: Some("/".to_owned()),
        network_disabled: Some(true),
        stop_signal: Some("SIGKILL".to_owned()),
        labels: Some(labels.into_iter().map(|(k, v)| (k.to_owned(), v.clone())).collect()),
        host_config: Some(host_config(spec, runtime)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(spec: &SandboxSpec, runtime: Option<&str>) -> HostConfig {
    let limits = &spec.limits;
    let memory = memory_of(limits);
    let tmpfs = |size: u64, mode: &str| {
        let files = files_of(size);
        let options = format!("rw,exec,nosuid,nodev,size={size},nr_inodes={files}");
        format!("{options},uid=1000,gid=1000,mode={mode}")
    };
    let mounts = [
        (WORK.to_owned(), tmpfs(limits.disk_bytes, "0755")),
        ("/tmp".to_owned(), tmpfs(TMP_BYTES, "0700")),
    ];
    HostConfig {
        memory: Some(memory),
        memory_swap: Some(memory),
        nano_cpus: Some(i64::from(limits.cpus_milli) * 1_000_000),
        pids_limit: Some(i64::from(limits.processes) + OWN_PROCESSES),
        ulimits: Some(vec![
            ulimit("core", 0),
            ulimit("nofile", OPEN_FILES),
            ulimit("fsize", number(limits.disk_bytes)),
        ]),
        // Where the machine itself runs out of memory, a sandbox goes before a node.
        oom_score_adj: Some(500),
        init: Some(true),
        network_mode: Some("none".to_owned()),
        ipc_mode: Some("private".to_owned()),
        shm_size: Some(number(SHM_BYTES)),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        readonly_rootfs: Some(true),
        tmpfs: Some(mounts.into_iter().collect()),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        runtime: runtime.map(str::to_owned),
        ..HostConfig::default()
    }
}

/// Files of a tmpfs count as memory of the container, and so does what the kernel keeps of them.
fn memory_of(limits: &Limits) -> i64 {
    let files = files_of(limits.disk_bytes) + files_of(TMP_BYTES);
    let kept = files * KERNEL_BYTES_PER_FILE;
    number(limits.memory_bytes + limits.disk_bytes + TMP_BYTES + SHM_BYTES + kept)
}

/// How many files and directories a file system of this size may have.
fn files_of(bytes: u64) -> u64 {
    (bytes / BYTES_PER_FILE + LEAST_FILES).min(MAX_ENTRIES)
}

fn ulimit(name: &str, value: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) }
}

/// The limits' ranges keep every sum of them far below the largest signed number.
fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
