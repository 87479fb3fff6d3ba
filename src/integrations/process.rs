//! Commands as plain processes of the node's own user. THIS IS NO SANDBOX: a command can read and
//! write whatever the node can, its keys included, and use the network.
//!
//! It is there to try bzzz on a machine without Docker, with a script or a model that is trusted.
//! What it does: commands work on a copy of the work tree, with a cleared environment, as a process
//! group that is killed when its time is over, when the call is dropped, and when the node dies.
//! The output, the size of one file and the data of one process are bounded. What it doesn't:
//! everything else in `Limits`, and a process that leaves its group (`setsid`) lives on.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::mpsc::Sender;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::sandbox::{
    Bounds, Chunk, Collector, CommandStatus, Exported, Finished, Limits, SandboxError, SandboxSpec,
    Stream, copy_tree, status_of,
};

/// How long the output of a command that was killed may take to end.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// The longest content of an owner file, in bytes.
const OWNER_BYTES: u64 = 256;

/// Around a command: `$1` is the command, `$2` a file's size in blocks of 512 bytes, `$3` a
/// process's data in KiB. The watcher kills the whole group when its input ends; `read` and `kill`
/// are builtins, so it needs no further process.
const WRAPPER: &str = "ulimit -c 0; ulimit -f \"$2\"; ulimit -d \"$3\"
exec 3<&0 </dev/null
(exec >/dev/null 2>&1; read -r x <&3; kill -9 0) &
sh -c \"$1\" 3<&- &
exec >/dev/null 2>&1
wait $!";

/// Where the copies of work trees are, and what a command's `PATH` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSettings {
    /// A directory of the node's, made if it is absent.
    pub root: PathBuf,
    /// The `PATH` of commands.
    pub path: String,
}

impl ProcessSettings {
    /// Below `root`, with the usual places of programs.
    #[must_use]
    pub fn new(root: PathBuf) -> ProcessSettings {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
        ProcessSettings { root, path }
    }
}

/// Runs commands without isolation.
#[derive(Debug)]
pub struct ProcessSandbox {
    settings: ProcessSettings,
}

/// A copy of a work tree that commands work on.
#[derive(Debug)]
pub struct Directory {
    name: String,
    dir: PathBuf,
    path: String,
    limits: Limits,
    /// The links out of the tree that came in with it.
    links: BTreeMap<PathBuf, PathBuf>,
    /// Held while a command runs or files are copied out.
    turn: Mutex<()>,
    /// Turns true when the sandbox is closed, which stops a running command.
    closed: watch::Sender<bool>,
}

impl ProcessSandbox {
    /// Nothing is made before the first use.
    #[must_use]
    pub fn new(settings: ProcessSettings) -> ProcessSandbox {
        ProcessSandbox { settings }
    }

    pub(super) async fn open(&self, spec: &SandboxSpec) -> Result<Directory, SandboxError> {
        let dir = self.settings.root.join(&spec.name);
        fs::create_dir_all(&self.settings.root).map_err(failed("make", &self.settings.root))?;
        fs::create_dir(&dir).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => SandboxError::Exists { name: spec.name.clone() },
            _ => failed("make", &dir)(error),
        })?;
        match fill(&dir, spec).await {
            Ok(links) => Ok(Directory {
                name: spec.name.clone(),
                dir,
                path: self.settings.path.clone(),
                limits: spec.limits,
                links,
                turn: Mutex::new(()),
                closed: watch::Sender::new(false),
            }),
            Err(error) => {
                // The first error is the one to report; what can't be removed is an orphan.
                let _ = fs::remove_dir_all(&dir);
                Err(error)
            }
        }
    }

    pub(super) async fn remove_orphans(&self, owner: &str) -> Result<Vec<String>, SandboxError> {
        let root = &self.settings.root;
        let children = match fs::read_dir(root) {
            Ok(children) => children,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", root)(error)),
        };
        let mut removed = Vec::new();
        for child in children {
            let dir = child.map_err(failed("list", root))?.path();
            if owner_of(&dir).is_some_and(|found| found == owner) {
                fs::remove_dir_all(&dir).map_err(failed("remove", &dir))?;
                removed.extend(dir.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        removed.sort_unstable();
        Ok(removed)
    }

    pub(super) async fn check(&self) -> Result<String, SandboxError> {
        fs::create_dir_all(&self.settings.root).map_err(failed("make", &self.settings.root))?;
        Ok("plain processes with NO isolation: commands can do whatever the node's user can"
            .to_owned())
    }
}

/// The owner file is written first, so that what a crash leaves can be removed.
async fn fill(dir: &Path, spec: &SandboxSpec) -> Result<BTreeMap<PathBuf, PathBuf>, SandboxError> {
    let owner = dir.join("owner");
    fs::write(&owner, &spec.owner).map_err(failed("write", &owner))?;
    let tmp = dir.join("tmp");
    fs::create_dir(&tmp).map_err(failed("make", &tmp))?;
    let from = spec.work_tree.clone();
    let to = dir.join("work");
    let bounds = Bounds { bytes: spec.limits.disk_bytes, links: None };
    let (_, links) = copied(from, to, bounds).await?;
    Ok(links)
}

async fn copied(
    from: PathBuf,
    to: PathBuf,
    bounds: Bounds,
) -> Result<(Exported, BTreeMap<PathBuf, PathBuf>), SandboxError> {
    let copy = tokio::task::spawn_blocking(move || copy_tree(&from, &to, bounds));
    let copied = copy.await.map_err(|error| SandboxError::Engine {
        what: "copying the work tree",
        reason: error.to_string(),
    })?;
    Ok(copied?)
}

fn owner_of(dir: &Path) -> Option<String> {
    let file = fs::File::open(dir.join("owner")).ok()?;
    let mut owner = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, OWNER_BYTES), &mut owner).ok()?;
    Some(owner)
}

impl Directory {
    pub(super) async fn run(
        &self,
        command: &str,
        sink: Sender<Chunk>,
    ) -> Result<Finished, SandboxError> {
        let _turn = self.turn.lock().await;
        let work = self.dir.join("work");
        if !work.is_dir() {
            let reason = "its directory is gone".to_owned();
            return Err(SandboxError::Gone { name: self.name.clone(), reason });
        }
        let mut collector = Collector::new(self.limits.output_bytes, sink);
        let mut child = self.start(command, &work).map_err(failed("start sh in", &work))?;
        let (Some(stdin), Some(mut stdout), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            unreachable!("all three were asked for as pipes")
        };
        let group = child.id();
        let mut closed = self.closed.subscribe();
        let time = Duration::from_secs(u64::from(self.limits.command_seconds));
        let ended = tokio::select! {
            exit = until_exit(&mut child, &mut stdout, &mut stderr, &mut collector) => match exit {
                Ok(exit) => status_of(code_of(exit), false),
                Err(error) => CommandStatus::Lost(error.to_string()),
            },
            () = tokio::time::sleep(time) => CommandStatus::TimedOut,
            () = async { let _ = closed.wait_for(|closed| *closed).await; } => {
                CommandStatus::Killed("the sandbox was closed".to_owned())
            }
        };
        collector.stop();
        // The watcher sees the end of its input and kills the group.
        drop(stdin);
        let rest = drain(&mut stdout, &mut stderr, &mut collector);
        if timeout(KILL_GRACE, rest).await.is_err()
            && let Some(group) = group
        {
            // The watcher itself was killed, or something has left the group and holds the output.
            kill_group(group).await;
            let rest = drain(&mut stdout, &mut stderr, &mut collector);
            let _ = timeout(KILL_GRACE, rest).await;
        }
        Ok(collector.finish(ended))
    }

    fn start(&self, command: &str, work: &Path) -> io::Result<Child> {
        let blocks = (self.limits.disk_bytes / 512).to_string();
        let data = (self.limits.memory_bytes / 1024).to_string();
        Command::new("/bin/sh")
            .args(["-c", WRAPPER, "sh", command, &blocks, &data])
            .current_dir(work)
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", self.dir.join("tmp"))
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    pub(super) async fn export(&self, dest: &Path) -> Result<Exported, SandboxError> {
        let _turn = self.turn.lock().await;
        let bounds = Bounds { bytes: self.limits.disk_bytes, links: Some(self.links.clone()) };
        let (exported, _) = copied(self.dir.join("work"), dest.to_owned(), bounds).await?;
        Ok(exported)
    }

    pub(super) async fn close(&self) -> Result<(), SandboxError> {
        self.closed.send_replace(true);
        let _turn = self.turn.lock().await;
        match tokio::fs::remove_dir_all(&self.dir).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &self.dir)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Takes output until the command's shell has ended, though something may still hold the pipes.
async fn until_exit(
    child: &mut Child,
    stdout: &mut ChildStdout,
    stderr: &mut ChildStderr,
    collector: &mut Collector,
) -> io::Result<ExitStatus> {
    tokio::select! {
        exit = child.wait() => exit,
        () = async {
            drain(stdout, stderr, collector).await;
            std::future::pending::<()>().await;
        } => unreachable!("what is pending for ever does not end"),
    }
}

/// Takes output until both pipes have ended. It can be dropped between two pieces at any time.
async fn drain(stdout: &mut ChildStdout, stderr: &mut ChildStderr, collector: &mut Collector) {
    let (mut out, mut err) = ([0; 8192], [0; 8192]);
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        tokio::select! {
            count = read(stdout, &mut out), if out_open => {
                out_open = count > 0;
                collector.take(Stream::Stdout, &out[..count]).await;
            }
            count = read(stderr, &mut err), if err_open => {
                err_open = count > 0;
                collector.take(Stream::Stderr, &err[..count]).await;
            }
        }
    }
}

/// A pipe that fails has ended.
async fn read(pipe: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> usize {
    pipe.read(buffer).await.unwrap_or(0)
}

async fn kill_group(group: u32) {
    let script = format!("kill -9 -{group}");
    let killer = Command::new("/bin/sh").args(["-c", &script]).stderr(Stdio::null()).status();
    // That nothing is left to kill is no failure.
    let _ = killer.await;
}

fn code_of(exit: ExitStatus) -> i64 {
    exit.code().or_else(|| exit.signal().map(|signal| 128 + signal)).map_or(-1, i64::from)
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SandboxError {
    move |source| SandboxError::Io { what, path: path.to_owned(), source }
}
