//! How a container is made, and the proof that its limits hold before anything runs in it.

use std::collections::BTreeMap;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum, SystemInfo, SystemVersion,
};

use super::super::sandbox::{Limits, MAX_ENTRIES, SandboxError, SandboxSpec};
use super::{Container, LABEL_OWNER, LABEL_SANDBOX, engine_error, podman};

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

/// What answers at the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Docker,
    Podman,
}

impl Kind {
    fn of(version: &SystemVersion) -> Kind {
        let mut parts = version.components.iter().flatten();
        if parts.any(|part| part.name == "Podman Engine") { Kind::Podman } else { Kind::Docker }
    }
}

/// A file system in memory that commands may write to.
pub(super) struct Room {
    pub(super) place: &'static str,
    /// In bytes.
    pub(super) size: u64,
    /// How many files and directories it may have.
    pub(super) files: u64,
    pub(super) mode: &'static str,
}

/// All of them.
pub(super) fn rooms(limits: &Limits) -> [Room; 2] {
    let room = |place, size, mode| Room { place, size, files: files_of(size), mode };
    [room(WORK, limits.disk_bytes, "0755"), room("/tmp", TMP_BYTES, "0700")]
}

/// Asks the engine whether it enforces what a sandbox needs; says what it is.
/// Where `limits` are given, they have to fit into the machine's memory.
pub(super) async fn check_engine(
    engine: &Docker,
    runtime: Option<&str>,
    limits: Option<&Limits>,
) -> Result<(Kind, String), SandboxError> {
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
    let kind = Kind::of(&version);
    if kind == Kind::Podman {
        podman::check_runtime(runtime)?;
    }
    Ok((kind, describe(kind, &info, known_runtime(&info, runtime)?)))
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

fn describe(kind: Kind, info: &SystemInfo, runtime: &str) -> String {
    let version = info.server_version.as_deref().unwrap_or("of unknown version");
    let groups = info.cgroup_version.map_or_else(|| "?".to_owned(), |v| v.to_string());
    format!("{kind:?} {version}, runtime {runtime}, control groups v{groups}")
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

/// Looks from inside, as a command would: who it is, that the root can't be written, that all that
/// can be written are file systems in memory of the size that was asked for, that there is no
/// network.
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
    check_mounts(&text, &container.limits)?;
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

/// Whether what can be written is bounded, by the kernel's list of what is mounted.
fn check_mounts(text: &str, limits: &Limits) -> Result<(), SandboxError> {
    let failed =
        |limit: &'static str, reason: String| Err(SandboxError::Unenforceable { limit, reason });
    // The last one at a place is the one that is seen.
    let mut mounts = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split(' ').skip(1);
        if let (Some(place), Some(sort), Some(options)) = (words.next(), words.next(), words.next())
            && place.starts_with('/')
        {
            mounts.insert(place, (sort, options));
        }
    }
    let has = |options: &str, wanted: &str| options.split(',').any(|option| option == wanted);
    if !mounts.get("/").is_some_and(|(_, options)| has(options, "ro")) {
        return failed("the root file system", "it can be written".to_owned());
    }
    for room in rooms(limits) {
        let place = room.place;
        let Some(("tmpfs", options)) = mounts.remove(place) else {
            return failed("disk", format!("{place} is no file system in memory of its own"));
        };
        let number = |name: &str| {
            let value = options.split(',').find_map(|option| option.strip_prefix(name));
            value.map(|value| value.trim_end_matches('k').parse::<u64>().unwrap_or(u64::MAX))
        };
        // The kernel rounds up to whole pages, which have 64 KiB at most.
        if number("size=").is_none_or(|kib| kib > room.size.div_ceil(1024).next_multiple_of(64)) {
            return failed("disk", format!("{place} is not of the size that was asked for"));
        }
        // Some runtimes' kernels do not report this one.
        if number("nr_inodes=").is_some_and(|files| files > room.files) {
            return failed("files", format!("{place} can have more than were asked for"));
        }
    }
    // What the runtime makes for the kernel's own files belongs to root.
    let own = |place: &str| ["/dev", "/proc", "/sys"].iter().any(|top| place.starts_with(top));
    let more = mounts.iter().find(|(place, (_, options))| has(options, "rw") && !own(place));
    match more {
        Some((place, (sort, _))) => {
            let why = "a volume of the image, perhaps";
            failed("disk", format!("{place}, of type {sort}, can be written without bound: {why}"))
        }
        None => Ok(()),
    }
}

fn is_nonzero(digit: char) -> bool {
    digit != '0'
}

/// The container itself.
pub(super) fn body(
    spec: &SandboxSpec,
    image: &str,
    runtime: Option<&str>,
    kind: Kind,
) -> ContainerCreateBody {
    let mut host_config = host_config(spec, runtime);
    match kind {
        Kind::Docker => host_config.tmpfs = Some(tmpfs(&spec.limits)),
        Kind::Podman => podman::change(&mut host_config, &spec.name, &spec.limits),
    }
    ContainerCreateBody {
        image: Some(image.to_owned()),
        hostname: Some("sandbox".to_owned()),
        user: Some(KEEPER_USER.to_owned()),
        entrypoint: Some(vec!["sleep".to_owned(), LIFETIME_SECONDS.to_owned()]),
        cmd: Some(Vec::new()),
        working_dir: Some("/".to_owned()),
        network_disabled: Some(true),
        stop_signal: Some("SIGKILL".to_owned()),
        labels: Some(labels(spec)),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

/// What tells whose a container or a volume is.
pub(super) fn labels<M: FromIterator<(String, String)>>(spec: &SandboxSpec) -> M {
    let labels = [(LABEL_OWNER, &spec.owner), (LABEL_SANDBOX, &spec.name)];
    labels.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect()
}

fn tmpfs<M: FromIterator<(String, String)>>(limits: &Limits) -> M {
    let options = |room: Room| {
        let Room { place, size, files, mode } = room;
        let options = format!("rw,exec,nosuid,nodev,size={size},nr_inodes={files}");
        (place.to_owned(), format!("{options},uid=1000,gid=1000,mode={mode}"))
    };
    rooms(limits).into_iter().map(options).collect()
}

fn host_config(spec: &SandboxSpec, runtime: Option<&str>) -> HostConfig {
    let limits = &spec.limits;
    let memory = memory_of(limits);
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
    let rooms = rooms(limits);
    let files: u64 = rooms.iter().map(|room| room.files * KERNEL_BYTES_PER_FILE + room.size).sum();
    number(limits.memory_bytes + SHM_BYTES + files)
}

/// How many files and directories a file system of this size may have.
fn files_of(bytes: u64) -> u64 {
    (bytes / BYTES_PER_FILE + LEAST_FILES).min(MAX_ENTRIES)
}

pub(super) fn ulimit(name: &str, value: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) }
}

/// The limits' ranges keep every sum of them far below the largest signed number.
fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { disk_bytes: 16 << 20, ..Limits::default() }
    }

    /// What the kernel lists in a container, with these changes.
    fn checked(changes: &[(&str, &str)]) -> String {
        let mut mounts = "Name:\tsh\noverlay / overlay ro,relatime,lowerdir=/l 0 0\n\
            proc /proc proc rw,nosuid 0 0\n\
            tmpfs /dev tmpfs rw,nosuid,size=65536k,mode=755 0 0\n\
            shm /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=16384k 0 0\n\
            tmpfs /work tmpfs rw,nosuid,size=16384k,nr_inodes=8192,uid=1000,gid=1000 0 0\n\
            tmpfs /tmp tmpfs rw,nosuid,size=65536k,nr_inodes=20480,mode=700,uid=1000 0 0\n\
            tmpfs /run tmpfs ro,nosuid,size=64k 0 0\n\
            tmpfs /proc/keys tmpfs rw,nosuid,size=65536k 0 0\nface |bytes\n"
            .to_owned();
        for (from, to) in changes {
            assert!(mounts.contains(from), "{from}");
            mounts = mounts.replace(from, to);
        }
        let checked = check_mounts(&mounts, &limits());
        checked.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn what_can_be_written_has_a_bound_of_its_own() {
        assert_eq!(checked(&[]), "");
        // A runtime with a kernel of its own may not say how many files there can be.
        assert_eq!(checked(&[(",nr_inodes=8192", "")]), "");
        for (from, to, part) in [
            ("overlay ro,", "overlay rw,", "the root file system (it can be written)"),
            ("overlay / ", "overlay /other ", "the root file system (it can be written)"),
            ("/work tmpfs", "/work ext4", "disk (/work is no file system in memory of its own)"),
            ("tmpfs /work", "tmpfs /wark", "disk (/work is no file system in memory of its own)"),
            ("size=16384k", "size=16449k", "disk (/work is not of the size"),
            ("size=16384k,nr", "nr", "disk (/work is not of the size"),
            ("size=16384k,nr", "size=1g,nr", "disk (/work is not of the size"),
            ("nr_inodes=20480", "nr_inodes=20481", "files (/tmp can have more than"),
            ("nr_inodes=8192", "nr_inodes=", "files (/work can have more than"),
            ("/run tmpfs ro", "/run tmpfs rw", "disk (/run, of type tmpfs, can be written"),
            ("/run tmpfs ro", "/data ext4 rw", "disk (/data, of type ext4, can be written"),
        ] {
            let said = checked(&[(from, to)]);
            assert!(said.contains(part), "{from} as {to}: {said}");
        }
        // The last one at a place is the one that is seen.
        let over = "tmpfs /work tmpfs rw,size=9999999k 0 0\nface |";
        assert!(checked(&[("face |", over)]).contains("/work is not of the size"));
    }
}
