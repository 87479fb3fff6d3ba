//! Sandboxes: the limits of real containers, each shown by something that runs into it. The tests
//! named `docker_*` need an engine, Docker's or Podman's (`tools/check-podman`); without one they
//! fail.

mod process;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Once;

use bzzz::integrations::docker::{DockerSandbox, DockerSettings};
use bzzz::integrations::sandbox::{
    Chunk, CommandStatus, Egress, Finished, Handle, Limits, Sandbox, SandboxError, SandboxSpec,
    Stream,
};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub(crate) const MIB: u64 = 1 << 20;

/// Small, so that running into them is quick; the time is ample for a busy machine.
pub(crate) fn limits() -> Limits {
    Limits {
        memory_bytes: 64 * MIB,
        cpus_milli: 1000,
        processes: 32,
        disk_bytes: 16 * MIB,
        output_bytes: 100_000,
        command_seconds: 120,
    }
}

pub(crate) fn spec(test: &str, tree: &Path, limits: Limits) -> SandboxSpec {
    let name = format!("bzzz-test-{}-{test}", std::process::id());
    let (owner, work_tree, egress) = (name.clone(), tree.to_owned(), Egress::none());
    SandboxSpec { owner, name, work_tree, image: None, limits, egress }
}

pub(crate) fn settings() -> DockerSettings {
    static IMAGE: Once = Once::new();
    IMAGE.call_once(|| {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/sandbox-image");
        let made = Command::new(tool).status().expect("tools/sandbox-image starts");
        assert!(made.success(), "the image is made: these tests need a Docker engine");
    });
    let mut settings = DockerSettings::default();
    #[expect(clippy::disallowed_methods, reason = "the engine may listen elsewhere")]
    if let Ok(host) = std::env::var("DOCKER_HOST") {
        settings.host = host;
    }
    settings
}

pub(crate) fn docker() -> Sandbox {
    Sandbox::Docker(DockerSandbox::new(settings()))
}

/// An open sandbox that is removed also where a test fails.
pub(crate) struct Bed {
    pub(crate) handle: Handle,
    pub(crate) name: String,
    pub(crate) tree: TempDir,
}

impl Bed {
    pub(crate) async fn new(test: &str, limits: Limits) -> Bed {
        Bed::reaching(test, limits, Egress::none()).await
    }

    pub(crate) async fn reaching(test: &str, limits: Limits, egress: Egress) -> Bed {
        let tree = tempfile::tempdir().expect("a directory can be made");
        fs::write(tree.path().join("hello.sh"), "echo hello from a file\n")
            .expect("a file can be written");
        let spec = SandboxSpec { egress, ..spec(test, tree.path(), limits) };
        let handle = docker().open(&spec).await.expect("the sandbox opens");
        Bed { handle, name: spec.name, tree }
    }

    pub(crate) async fn run(&self, command: &str) -> (Finished, Vec<Chunk>) {
        run(&self.handle, command).await
    }

    pub(crate) async fn text(&self, command: &str) -> String {
        text(&self.handle, command).await
    }

    /// Whatever runs beside the process that keeps the container open.
    pub(crate) async fn others(&self) -> Vec<String> {
        let seen = self.text("ps -o pid,user,args").await;
        let mine = |line: &&str| line.contains(" agent ") && !line.contains("ps -o pid");
        let quiet = |line: &&str| !line.contains("read -r x <&3");
        seen.lines().filter(mine).filter(quiet).map(str::to_owned).collect()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", "-v", &self.name]).output();
        for volume in volumes(&self.name) {
            let _ = Command::new("docker").args(["volume", "rm", &volume]).output();
        }
    }
}

/// The volumes of an owner, which only Podman's sandboxes have.
fn volumes(owner: &str) -> Vec<String> {
    let filter = format!("label=bzzz.owner={owner}");
    let listed = Command::new("docker").args(["volume", "ls", "-q", "--filter", &filter]).output();
    let listed = String::from_utf8(listed.expect("docker starts").stdout).expect("names are text");
    listed.lines().map(str::to_owned).collect()
}

/// Whether the engine is Podman's, as docker's own client is told.
fn is_podman() -> bool {
    let parts = "{{range .Server.Components}}{{.Name}};{{end}}";
    let said = Command::new("docker").args(["version", "--format", parts]).output();
    let said = String::from_utf8(said.expect("docker starts").stdout).expect("names are text");
    assert!(said.contains("Engine;"), "{said}");
    said.contains("Podman Engine;")
}

pub(crate) async fn run(handle: &Handle, command: &str) -> (Finished, Vec<Chunk>) {
    let (sink, mut source) = mpsc::channel::<Chunk>(8);
    let read = async {
        let mut chunks = Vec::new();
        while let Some(chunk) = source.recv().await {
            chunks.push(chunk);
        }
        chunks
    };
    let (finished, chunks) = tokio::join!(handle.run(command, sink), read);
    (finished.expect("the command is started"), chunks)
}

pub(crate) async fn text(handle: &Handle, command: &str) -> String {
    String::from_utf8_lossy(&bytes(&run(handle, command).await.1)).into_owned()
}

pub(crate) fn bytes(chunks: &[Chunk]) -> Vec<u8> {
    chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect()
}

#[tokio::test]
async fn docker_runs_commands_and_gives_files_back() {
    let bed = Bed::new("files", limits()).await;
    let (finished, chunks) = bed.run("sh hello.sh; mkdir -p d; echo new > d/file; exit 7").await;
    assert_eq!(finished.status, CommandStatus::Exited(7));
    assert_eq!(bytes(&chunks), b"hello from a file\n");
    assert_eq!(finished.output_hash, *blake3::hash(b"hello from a file\n").as_bytes());
    assert_eq!((finished.output_total, finished.output_kept, finished.truncated), (18, 18, false));

    let both = "echo one; sleep 0.3; echo two >&2; sleep 0.3; printf '\\000\\377\\n'";
    let (finished, chunks) = bed.run(both).await;
    let streams: Vec<Stream> = chunks.iter().map(|chunk| chunk.stream).collect();
    assert_eq!(streams, [Stream::Stdout, Stream::Stderr, Stream::Stdout]);
    assert_eq!(bytes(&chunks), b"one\ntwo\n\0\xff\n");
    assert!(chunks[0].at_ms <= chunks[1].at_ms && chunks[1].at_ms <= chunks[2].at_ms);
    assert!((600..=finished.duration_ms).contains(&chunks[2].at_ms));

    bed.run("ln -s d/file link; chmod +x hello.sh; rm -f gone").await;
    let dest = bed.tree.path().join("out");
    let exported = bed.handle.export(&dest).await.unwrap();
    assert_eq!((exported.files, exported.links), (2, 1));
    assert_eq!(fs::read_to_string(dest.join("link")).unwrap(), "new\n");
    // Work goes on after a copy.
    assert_eq!(bed.text("cat d/file").await, "new\n");
    assert_eq!(volumes(&bed.name).len(), if is_podman() { 2 } else { 0 });
    bed.handle.close().await.unwrap();
    bed.handle.close().await.unwrap();
    assert_eq!(volumes(&bed.name), [""; 0]);
    let (sink, _source) = mpsc::channel(1);
    let error = bed.handle.run("true", sink).await.unwrap_err();
    assert!(matches!(error, SandboxError::Gone { .. }), "{error}");
}

#[tokio::test]
async fn docker_holds_nothing_of_the_host() {
    let bed = Bed::new("holds", limits()).await;
    let names = "env | cut -d= -f1 | grep -v -e PWD -e SHLVL -e HOSTNAME | sort | tr '\\n' ' '";
    assert_eq!(bed.text(names).await, "HOME LANG PATH ");
    assert_eq!(bed.text("id -u; id -g; id -G").await, "1000\n1000\n1000\n");
    let caps = bed.text("grep -e ^Cap -e NoNewPrivs /proc/self/status").await;
    for line in caps.lines() {
        let value = line.split_whitespace().nth(1).unwrap();
        assert!(value.trim_start_matches('0').is_empty() || line == "NoNewPrivs:\t1", "{line}");
    }
    assert_eq!(bed.text("cat /proc/net/dev | grep : | cut -d: -f1 | tr -d ' '").await, "lo\n");
    for attempt in [
        "nc -w 5 192.0.2.1 80",
        "touch /etc/x",
        "touch /x",
        "touch /dev/x",
        "mount -t tmpfs x /tmp",
        "mknod /tmp/d c 1 3",
        "chown 0 /work",
        "su -c true root",
        "ls /var/run/docker.sock",
        "ls /run/docker.sock",
        "cat /proc/kcore",
        "echo 1 > /proc/sys/kernel/core_pattern",
        "mkdir /sys/fs/cgroup/x",
        "kill -9 1 && sleep 1 && kill -0 $(pidof sleep | cut -d' ' -f2)",
    ] {
        let (finished, _) = bed.run(attempt).await;
        let CommandStatus::Exited(code) = finished.status else {
            panic!("{attempt}: {:?}", finished.status)
        };
        assert_ne!(code, 0, "{attempt}");
    }
    let host = bed.tree.path().display().to_string();
    assert_eq!(bed.text(&format!("ls {host} 2>/dev/null")).await, "");
    assert!(!bed.text("cat /proc/self/mountinfo").await.contains(&host));
    assert_eq!(bed.text("read line; echo [$line]").await, "[]\n");
}

#[tokio::test]
async fn docker_memory_is_bounded() {
    let bed = Bed::new("memory", limits()).await;
    bed.run("echo kept > file").await;
    let hog = "exec awk 'BEGIN { s = \"x\"; while (1) s = s s }'";
    let (finished, _) = bed.run(hog).await;
    assert_eq!(finished.status, CommandStatus::Killed("out of memory".to_owned()));
    assert_eq!(bed.text("cat file").await, "kept\n");
    let (finished, _) = bed.run("kill -9 $$").await;
    assert_eq!(finished.status, CommandStatus::Killed("signal 9".to_owned()));
}

#[tokio::test]
async fn docker_processes_are_bounded() {
    let bed = Bed::new("processes", Limits { command_seconds: 4, ..limits() }).await;
    bed.run("echo kept > file").await;
    let bomb = "b() { b | b & }; b 2>/dev/null & while :; do :; done";
    let (finished, _) = bed.run(bomb).await;
    assert_eq!(finished.status, CommandStatus::TimedOut);
    assert_eq!(bed.others().await, [""; 0]);
    assert_eq!(bed.text("cat file").await, "kept\n");
    let count = "i=0; while [ $i -lt 100 ]; do sleep 60 & i=$((i+1)); done 2>&1; echo";
    assert!(bed.text(count).await.contains("can't fork"));
    assert_eq!(bed.others().await, [""; 0]);
}

#[tokio::test]
async fn docker_disk_is_bounded() {
    let bed = Bed::new("disk", limits()).await;
    for place in ["/work", "/tmp"] {
        let big = format!("{place}/big");
        let fill = format!("cat /dev/zero > {big}; stat -c %s {big}; rm {big}");
        let (_, mut chunks) = bed.run(&fill).await;
        // What the shell says of it may come before or after.
        chunks.retain(|chunk| chunk.stream == Stream::Stdout);
        let said = String::from_utf8(bytes(&chunks)).unwrap();
        let size: u64 = said.lines().last().unwrap().parse().unwrap();
        assert!(size <= 16 * MIB, "{said}");
    }
    let many = "for i in 1 2 3 4 5; do dd if=/dev/zero of=f$i bs=4000000 count=1; done";
    let (finished, chunks) = bed.run(many).await;
    assert_ne!(finished.status, CommandStatus::Exited(0));
    let said = String::from_utf8(bytes(&chunks)).unwrap();
    assert!(said.contains("No space left on device"), "{said}");
    let kept = bed.handle.export(&bed.tree.path().join("out")).await.unwrap();
    assert!(kept.bytes <= 16 * MIB && kept.files >= 5, "{kept:?}");
}

#[tokio::test]
async fn docker_output_is_bounded() {
    let bed = Bed::new("output", Limits { command_seconds: 2, ..limits() }).await;
    let (finished, chunks) = bed.run("yes").await;
    assert_eq!(finished.status, CommandStatus::TimedOut);
    assert!(finished.truncated && finished.output_total > finished.output_kept);
    assert_eq!(finished.output_kept, 100_000);
    assert_eq!(bytes(&chunks), "y\n".repeat(50_000).as_bytes());
    let whole = "y\n".repeat(usize::try_from(finished.output_total).unwrap() / 2 + 1);
    let whole = &whole.as_bytes()[..usize::try_from(finished.output_total).unwrap()];
    assert_eq!(finished.output_hash, *blake3::hash(whole).as_bytes());
    // A reader that never reads holds up the command, not the node.
    let (sink, _source) = mpsc::channel(1);
    let finished = bed.handle.run("yes", sink).await.unwrap();
    assert_eq!(finished.status, CommandStatus::TimedOut);
    assert_eq!(bed.others().await, [""; 0]);
}

#[tokio::test]
async fn docker_nothing_outlives_its_command() {
    let bed = Bed::new("outlives", Limits { command_seconds: 3, ..limits() }).await;
    let stubborn = [
        "trap '' TERM HUP INT; while :; do sleep 1; done",
        "setsid sh -c 'trap \"\" TERM; (sleep 1000 &) ; sleep 1000' & sleep 1000",
    ];
    for command in stubborn {
        let (finished, _) = bed.run(command).await;
        assert_eq!(finished.status, CommandStatus::TimedOut, "{command}");
        assert_eq!(bed.others().await, [""; 0], "{command}");
    }
    // What is left behind holds the output, and does not hold up the command's end.
    let left = "setsid sh -c 'sleep 1000 & sleep 1000' & echo started";
    let (finished, chunks) = bed.run(left).await;
    assert_eq!(finished.status, CommandStatus::Exited(0));
    assert_eq!(bytes(&chunks), b"started\n");
    assert_eq!(bed.others().await, [""; 0]);
    // A command may kill all that it can.
    let (finished, _) = bed.run("sleep 1000 & kill -9 -1; echo still here; sleep 1000").await;
    assert_eq!(finished.status, CommandStatus::Killed("signal 9".to_owned()));
    assert_eq!(bed.others().await, [""; 0]);
}

/// What kills everything as soon as it appears, the sweep too, costs its sandbox.
#[tokio::test]
async fn docker_a_hostile_command_ends() {
    let bed = Bed::new("hostile", Limits { command_seconds: 3, ..limits() }).await;
    let (finished, _) = bed.run("while :; do kill -9 -1; done").await;
    assert!(!matches!(finished.status, CommandStatus::Exited(0)), "{:?}", finished.status);
    let (sink, _source) = mpsc::channel(1);
    match bed.handle.run("true", sink).await {
        Ok(_) => assert_eq!(bed.others().await, [""; 0]),
        Err(SandboxError::Gone { .. }) => {
            let filter = format!("name={}", bed.name);
            let mut list = Command::new("docker");
            let found = list.args(["ps", "-aq", "--filter", &filter]).output().unwrap();
            assert_eq!(found.stdout, b"");
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn docker_a_dropped_call_ends_its_command() {
    let bed = Bed::new("dropped", limits()).await;
    {
        let (sink, mut source) = mpsc::channel::<Chunk>(8);
        let running = bed.handle.run("echo on; while :; do sleep 1; done", sink);
        tokio::pin!(running);
        tokio::select! {
            ended = &mut running => panic!("{ended:?}"),
            chunk = source.recv() => assert_eq!(chunk.unwrap().bytes, b"on\n"),
        }
    }
    assert_eq!(bed.others().await, [""; 0]);
}

#[tokio::test]
async fn docker_closing_stops_a_command() {
    let bed = Bed::new("closing", limits()).await;
    let (sink, mut source) = mpsc::channel::<Chunk>(8);
    let close = async {
        source.recv().await.unwrap();
        bed.handle.close().await.unwrap();
    };
    let (finished, ()) = tokio::join!(bed.handle.run("echo on; sleep 1000", sink), close);
    let status = finished.unwrap().status;
    assert!(matches!(status, CommandStatus::Killed(_)), "{status:?}");
}

/// A proxy before the engine, which can be cut.
async fn proxy(socket: &Path) -> tokio::task::JoinHandle<()> {
    let listener = UnixListener::bind(socket).expect("the socket's directory is there");
    let engine = settings().host.trim_start_matches("unix://").to_owned();
    tokio::spawn(async move {
        // The connections end with the task that holds them.
        let mut connections = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let engine = engine.clone();
            connections.spawn(async move {
                if let Ok(mut engine) = UnixStream::connect(engine).await {
                    let _ = copy_bidirectional(&mut client, &mut engine).await;
                }
            });
        }
    })
}

#[tokio::test]
async fn docker_a_lost_engine_leaves_the_outcome_open() {
    let tree = tempfile::tempdir().unwrap();
    let socket = tree.path().join("engine.sock");
    let engine = proxy(&socket).await;
    let through = DockerSettings { host: socket.display().to_string(), ..settings() };
    let sandbox = Sandbox::Docker(DockerSandbox::new(through));
    let work = tempfile::tempdir().unwrap();
    let spec = spec("lost", work.path(), limits());
    let handle = sandbox.open(&spec).await.unwrap();
    let (sink, mut source) = mpsc::channel(8);
    let cut = async {
        source.recv().await.unwrap();
        engine.abort();
        fs::remove_file(&socket).unwrap();
    };
    let (finished, ()) = tokio::join!(handle.run("echo on; sleep 1000", sink), cut);
    let status = finished.unwrap().status;
    assert!(matches!(status, CommandStatus::Lost(_)), "{status:?}");
    let (sink, _source) = mpsc::channel(1);
    let error = handle.run("true", sink).await.unwrap_err();
    assert!(matches!(error, SandboxError::Gone { .. }), "{error}");
    assert!(handle.close().await.is_err());
    // The command has lost its input and with it its life; its container is an orphan.
    assert_eq!(docker().remove_orphans(&spec.owner).await.unwrap(), [spec.name.as_str()]);
}

#[tokio::test]
async fn docker_refuses_to_copy_out_what_leads_out() {
    let bed = Bed::new("leads-out", limits()).await;
    for (link, target) in [("a", "/etc/passwd"), ("b", ".."), ("c", "d/../../x")] {
        bed.run(&format!("ln -s {target} {link}")).await;
        let dest = bed.tree.path().join("out");
        let error = bed.handle.export(&dest).await.unwrap_err().to_string();
        assert_eq!(error, format!("the work tree has {link:?}, a link that leads out of it"));
        assert!(!dest.exists());
        bed.run(&format!("rm {link}")).await;
    }
    bed.run("mkdir -p .git/hooks s/.git; echo x > .git/config; mkfifo pipe; chmod 0 hello.sh")
        .await;
    let dest = bed.tree.path().join("out");
    let exported = bed.handle.export(&dest).await.unwrap();
    assert!(exported.left_out.contains(&"pipe".to_owned()), "{exported:?}");
    assert!(exported.left_out.contains(&".git/config".to_owned()), "{exported:?}");
    assert!(!dest.join(".git").exists() && !dest.join("s/.git").exists());
    assert!(dest.join("hello.sh").exists());
}

#[tokio::test]
async fn docker_a_tree_that_does_not_fit_is_refused() {
    let tree = tempfile::tempdir().unwrap();
    fs::File::create(tree.path().join("big")).unwrap().set_len(17 * MIB).unwrap();
    let spec = spec("too-large", tree.path(), limits());
    let error = docker().open(&spec).await.unwrap_err();
    assert!(error.to_string().contains("larger than the limit of 16777216 bytes"), "{error}");
    // Within the limit by its bytes, and not by its blocks.
    fs::remove_file(tree.path().join("big")).unwrap();
    for number in 0..6000 {
        fs::write(tree.path().join(format!("f{number}")), "x").unwrap();
    }
    let error = docker().open(&spec).await.unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error}");
    assert_eq!(volumes(&spec.owner), [""; 0]);
    assert_eq!(docker().remove_orphans(&spec.owner).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn docker_orphans_are_found_by_their_owner() {
    let mine = Bed::new("orphan-mine", limits()).await;
    let other = Bed::new("orphan-other", limits()).await;
    let again = spec("orphan-mine", mine.tree.path(), limits());
    let error = docker().open(&again).await.unwrap_err();
    assert!(matches!(error, SandboxError::Exists { .. }), "{error}");
    assert_eq!(docker().remove_orphans(&mine.name).await.unwrap(), [mine.name.as_str()]);
    assert_eq!(docker().remove_orphans(&mine.name).await.unwrap(), [""; 0]);
    assert_eq!(volumes(&mine.name), [""; 0]);
    assert_eq!(other.text("sh hello.sh").await, "hello from a file\n");
}

#[tokio::test]
async fn docker_refuses_limits_that_the_machine_cannot_hold() {
    let tree = tempfile::tempdir().unwrap();
    let vast = Limits { memory_bytes: 1 << 40, ..limits() };
    let error = docker().open(&spec("vast", tree.path(), vast)).await.unwrap_err();
    let part = "the engine cannot enforce the sandbox limit on memory (the sandbox may use";
    assert!(error.to_string().starts_with(part), "{error}");
}

#[tokio::test]
async fn docker_says_what_is_missing() {
    let made_of = docker().check().await.unwrap();
    let (name, no_runtime) = match is_podman() {
        true => ("Podman ", "Podman's is set in its own containers.conf: set nothing there"),
        false => ("Docker ", "it has no runtime nothing, only "),
    };
    assert!(made_of.starts_with(name), "{made_of}");
    let image = "bzzz-no-such-image:1".to_owned();
    let missing = DockerSettings { image: image.clone(), ..settings() };
    let error = Sandbox::Docker(DockerSandbox::new(missing)).check().await.unwrap_err();
    let expected = format!(
        "the sandbox image {image} is not on this machine; make it with tools/sandbox-image"
    );
    assert_eq!(error.to_string(), expected);
    let runtime = DockerSettings { runtime: Some("nothing".to_owned()), ..settings() };
    let sandbox = Sandbox::Docker(DockerSandbox::new(runtime));
    let tree = tempfile::tempdir().unwrap();
    let opened = sandbox.open(&spec("runtime", tree.path(), limits())).await.unwrap_err();
    for error in [sandbox.check().await.unwrap_err(), opened] {
        assert!(error.to_string().contains(no_runtime), "{error}");
    }
}

#[tokio::test]
async fn docker_refuses_what_an_image_adds_without_a_bound() {
    let image = format!("bzzz-test-volume:{}", std::process::id());
    let recipe = format!("FROM {}\nVOLUME /data\n", settings().image);
    let mut build = Command::new("docker");
    build.env("DOCKER_BUILDKIT", "0").args(["build", "--quiet", "--tag", &image, "-"]);
    let mut build = build.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    build.stdin.take().unwrap().write_all(recipe.as_bytes()).unwrap();
    assert!(build.wait().unwrap().success());
    let tree = tempfile::tempdir().unwrap();
    let spec = SandboxSpec { image: Some(image.clone()), ..spec("volume", tree.path(), limits()) };
    let error = docker().open(&spec).await.unwrap_err().to_string();
    let removed = Command::new("docker").args(["image", "rm", "-f", &image]).output().unwrap();
    assert!(error.contains("/data, of type ") && error.contains("can be written"), "{error}");
    assert!(removed.status.success(), "{removed:?}");
    assert_eq!(docker().remove_orphans(&spec.owner).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn an_absent_engine_is_named() {
    for host in ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:1"] {
        let absent = DockerSettings { host: host.to_owned(), ..DockerSettings::default() };
        let error = Sandbox::Docker(DockerSandbox::new(absent)).check().await.unwrap_err();
        assert!(matches!(error, SandboxError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains(host), "{error}");
    }
}
