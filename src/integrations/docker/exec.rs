//! What runs in a container: commands, the sweep after each, and the copies in and out.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecResults};
use futures::{Stream as Items, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::super::sandbox::{
    ArchiveError, Bounds, Chunk, Collector, CommandStatus, Exported, Finished, SandboxError,
    Stream, pack, status_of, unpack,
};
use super::seal::Seal;
use super::setup::{COMMAND_USER, Kind, WORK};
use super::{Container, Turn, engine_error, gate, reason};

/// How long the output of a command that was killed may take to end.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// How long a helper (a sweep, a look inside) may take.
const HELPER_TIME: Duration = Duration::from_secs(30);

/// How long the engine may take to say how a command ended, after its output has.
const CODE_TIME: Duration = Duration::from_secs(10);

/// How long the files may take on their way in or out.
const COPY_TIME: Duration = Duration::from_secs(600);

/// How often a sweep is tried before the container itself is removed.
const SWEEPS: u32 = 3;

/// What is kept of a helper's output, in bytes.
const HELPER_OUTPUT: usize = 256 * 1024;

/// Around a command. The watcher is there before the command starts, and `read` and `kill` are
/// builtins, so it can end the command when no further process can be started. It fires when the
/// node writes a line (the time is over) and when its end of the pipe is gone (the node is dead, or
/// has dropped the call). After the command's own end, what it has left is killed at once, so that
/// its output ends. Podman adds two variables to those that a command is to have.
const WRAPPER: &str = "unset container TERM
exec 3<&0 </dev/null
(exec >/dev/null 2>&1; read -r x <&3; kill -9 -1) &
sh -c \"$1\" 3<&- &
exec >/dev/null 2>&1
wait $!
code=$?
kill -9 -1
exit $code";

/// The same, with the marks at its end: it keeps the streams for itself alone.
const SEALED_WRAPPER: &str = "unset container TERM
exec 3<&0 4>&1 5>&2 </dev/null
(exec >/dev/null 2>&1 4>&- 5>&-; read -r x <&3; kill -9 -1) &
sh -c \"$1\" 3<&- 4>&- 5>&- &
exec >/dev/null 2>&1
wait $!
code=$?
kill -9 -1
echo \"$2\" >&4
echo \"$2\" >&5
read -r x <&3
exit $code";

/// Ends every process of the commands' user, then prints the count of processes that the kernel
/// has killed for want of memory, where control groups of version 2 or 1 have it.
const SWEEP: &str = "kill -9 -1
for f in memory.events memory/memory.oom_control
do while read -r key value; do [ \"$key\" = oom_kill ] && echo \"oom_kill $value\"; done \
< /sys/fs/cgroup/$f; done 2>/dev/null; :";

/// What a full file system leaves of the input is read all the same: Podman resets the connection
/// of a program that ends before its input does, and what it said is lost.
const UNPACK: &str = "tar -x -f - -C /work && exit
code=$?
cat >/dev/null
exit $code";

/// A file that its owner may not read would stop the copy. The directory itself may be root's, so
/// that its mode stays; what cannot be read then is said by `tar`.
const PACK: &str = "chmod -R u+rwX . 2>/dev/null; tar -c -f - .";

/// A started program, with its streams.
struct Running {
    id: String,
    output: Pin<Box<dyn Items<Item = Result<LogOutput, Error>> + Send>>,
    input: Pin<Box<dyn AsyncWrite + Send>>,
    /// Where the engine may lose the end of the output.
    seal: Option<Seal>,
}

impl Running {
    /// The next part of the output, until its end.
    async fn next(&mut self) -> Option<Result<(Stream, Vec<u8>), Error>> {
        loop {
            let Some(item) = self.output.next().await else {
                return self.seal.as_mut().and_then(Seal::rest).map(Ok);
            };
            let item = match item {
                Ok(item) => item,
                Err(error) => return Some(Err(error)),
            };
            let stream = match item {
                LogOutput::StdErr { .. } => Stream::Stderr,
                _ => Stream::Stdout,
            };
            let Some(seal) = &mut self.seal else {
                return Some(Ok((stream, item.as_ref().to_vec())));
            };
            let bytes = seal.pass(stream, item.as_ref());
            if seal.is_there() {
                // All has come: it may end. If it has, the end of the output says so.
                let _ = self.input.write_all(b"\n").await;
            }
            if !bytes.is_empty() {
                return Some(Ok((stream, bytes)));
            }
        }
    }

    /// Whether all of the output has come, as far as that can be known.
    fn is_whole(&self) -> bool {
        self.seal.as_ref().is_none_or(Seal::is_there)
    }
}

/// What became of all that a command had started.
pub(super) enum Swept {
    /// It is dead, and the sandbox can go on.
    Clean,
    /// It is dead, and its container with it, for this reason.
    Gone(String),
    /// The engine does not answer. Its input is gone, which ends a command that does not resist;
    /// the container is an orphan.
    Unknown,
}

/// Why a program could not be started.
enum StartError {
    /// The engine refused: it has not run.
    Refused(Error),
    /// The connection failed: it may have run.
    Unknown(Error),
}

impl StartError {
    fn into_inner(self) -> Error {
        match self {
            StartError::Refused(error) | StartError::Unknown(error) => error,
        }
    }
}

impl Container {
    /// Runs one command to its end, and sweeps after it.
    pub(super) async fn command(
        &self,
        turn: &mut Turn,
        command: &str,
        sink: mpsc::Sender<Chunk>,
    ) -> Result<Finished, SandboxError> {
        let mut collector = Collector::new(self.limits.output_bytes, sink);
        let seal = self.seal();
        let started = match &seal {
            None => self.start_exec(&["sh", "-c", WRAPPER, "sh", command], None).await,
            Some(mark) => {
                let mark = mark.mark().to_owned();
                let sealed = ["sh", "-c", SEALED_WRAPPER, "sh", command, &mark];
                self.start_exec(&sealed, seal).await
            }
        };
        let mut running = match started {
            Ok(running) => running,
            Err(StartError::Refused(error)) => {
                return Err(self.refused(turn, error).await);
            }
            Err(StartError::Unknown(error)) => {
                self.sweep(turn).await;
                return Ok(collector.finish(CommandStatus::Lost(reason(&error))));
            }
        };
        let time = Duration::from_secs(u64::from(self.limits.command_seconds));
        let ended = match timeout(time, collect(&mut running, &mut collector)).await {
            Ok(Ok(())) => Ok(self.exit_code(&running.id).await),
            Ok(Err(error)) => Err(CommandStatus::Lost(reason(&error))),
            Err(_) => {
                // A failure of either shows in the sweep, which comes in any case.
                let _ = timeout(KILL_GRACE, running.input.write_all(b"\n")).await;
                let _ = timeout(KILL_GRACE, collect(&mut running, &mut collector)).await;
                Err(CommandStatus::TimedOut)
            }
        };
        collector.stop();
        let whole = running.is_whole();
        drop(running);
        let before = turn.out_of_memory;
        let swept = self.sweep(turn).await;
        let status = match (ended, swept) {
            (Err(status), _) => status,
            (Ok(Ok(code)), Swept::Gone(why)) if code > 128 => CommandStatus::Killed(why),
            (Ok(Ok(code)), _) if code <= 128 && !whole => {
                CommandStatus::Lost("the engine lost the end of its output".to_owned())
            }
            (Ok(Ok(code)), _) => status_of(code, turn.out_of_memory > before),
            (Ok(Err(_)), Swept::Gone(why)) => CommandStatus::Killed(why),
            (Ok(Err(why)), _) => CommandStatus::Lost(why),
        };
        Ok(collector.finish(status))
    }

    /// Kills all processes of the commands. Where that can't be made sure of, the container is
    /// removed, and the sandbox is gone.
    pub(super) async fn sweep(&self, turn: &mut Turn) -> Swept {
        let mut last = String::new();
        for round in 0..SWEEPS {
            if round > 0 {
                sleep(Duration::from_millis(200)).await;
            }
            match self.helper(SWEEP).await {
                Ok((0, text)) => {
                    let counts = text.lines().filter_map(|l| l.strip_prefix("oom_kill "));
                    let count = counts.filter_map(|n| n.trim().parse().ok()).max();
                    turn.out_of_memory = count.unwrap_or(turn.out_of_memory);
                    return Swept::Clean;
                }
                Ok((code, text)) => last = format!("code {code}: {}", text.trim()),
                Err(error) => last = error.to_string(),
            }
            if let Some(ended) = self.ended().await {
                last = ended;
                break;
            }
        }
        let why = format!("what ran in it could not be ended otherwise ({last})");
        turn.gone = Some(why.clone());
        match self.remove().await {
            Ok(()) => Swept::Gone(why),
            Err(_) => Swept::Unknown,
        }
    }

    /// How the container itself ended, if it has.
    async fn ended(&self) -> Option<String> {
        match self.engine.inspect_container(&self.name, None).await {
            Ok(found) => {
                let state = found.state.unwrap_or_default();
                if state.running == Some(true) {
                    return None;
                }
                let memory = if state.oom_killed == Some(true) { ", out of memory" } else { "" };
                let code = state.exit_code.unwrap_or(-1);
                Some(format!("its container ended with code {code}{memory}"))
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
                Some("its container was removed".to_owned())
            }
            Err(_) => None,
        }
    }

    async fn refused(&self, turn: &mut Turn, error: Error) -> SandboxError {
        if let Some(why) = self.ended().await {
            turn.gone = Some(why.clone());
            return SandboxError::Gone { name: self.name.clone(), reason: why };
        }
        engine_error("starting a command", &error)
    }

    /// Runs a script of our own without input. Its code and the beginning of its output.
    pub(super) async fn helper(&self, script: &str) -> Result<(i64, String), SandboxError> {
        let work = async {
            let mut running = self
                .start_script(script)
                .await
                .map_err(|error| engine_error("starting a helper", &error.into_inner()))?;
            let mut kept = Vec::new();
            while let Some(part) = running.next().await {
                let (_, bytes) = part.map_err(|error| engine_error("reading a helper", &error))?;
                let room = HELPER_OUTPUT - kept.len();
                kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            let code = self.exit_code(&running.id).await;
            let code =
                code.map_err(|reason| SandboxError::Engine { what: "ending a helper", reason })?;
            Ok((code, String::from_utf8_lossy(&kept).into_owned()))
        };
        match timeout(HELPER_TIME, work).await {
            Ok(result) => result,
            Err(_) => Err(SandboxError::Engine {
                what: "running a helper",
                reason: "it took longer than 30 seconds".to_owned(),
            }),
        }
    }

    fn seal(&self) -> Option<Seal> {
        (self.kind == Kind::Podman).then(|| Seal::new(&self.name))
    }

    /// Starts a script of our own, which gets no input.
    async fn start_script(&self, script: &str) -> Result<Running, StartError> {
        match self.seal() {
            None => self.start_exec(&["sh", "-c", script], None).await,
            Some(seal) => {
                let sealed = seal.script(script);
                self.start_exec(&["sh", "-c", &sealed], Some(seal)).await
            }
        }
    }

    async fn start_exec(
        &self,
        command: &[&str],
        seal: Option<Seal>,
    ) -> Result<Running, StartError> {
        let mut environment = vec![
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/tmp",
            "LANG=C.UTF-8",
        ];
        if self.gate.is_some() {
            environment.extend(gate::ENVIRONMENT);
        }
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            user: Some(COMMAND_USER),
            working_dir: Some(WORK),
            env: Some(environment),
            cmd: Some(command.to_vec()),
            ..CreateExecOptions::default()
        };
        let exec = self.engine.create_exec(&self.name, options).await;
        let id = exec.map_err(StartError::Refused)?.id;
        match self.engine.start_exec(&id, None).await {
            Ok(StartExecResults::Attached { output, input }) => {
                Ok(Running { id, output, input, seal })
            }
            Ok(StartExecResults::Detached) => unreachable!("detaching was not asked for"),
            Err(error @ Error::DockerResponseServerError { .. }) => Err(StartError::Refused(error)),
            Err(error) => Err(StartError::Unknown(error)),
        }
    }

    /// The engine may still be noting the end of a program whose output has ended.
    async fn exit_code(&self, id: &str) -> Result<i64, String> {
        let asked = async {
            loop {
                let found = self.engine.inspect_exec(id).await.map_err(|error| reason(&error))?;
                if let (Some(false), Some(code)) = (found.running, found.exit_code) {
                    return Ok(code);
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        let late = "the engine does not say how the command ended";
        timeout(CODE_TIME, asked).await.unwrap_or_else(|_| Err(late.to_owned()))
    }

    /// Copies the tree at `root` into the container. Returns the links that lead out of it.
    pub(super) async fn copy_in(
        &self,
        root: &Path,
    ) -> Result<BTreeMap<PathBuf, PathBuf>, SandboxError> {
        let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(4);
        let root = root.to_owned();
        let limit = self.limits.disk_bytes;
        let packer = tokio::task::spawn_blocking(move || pack(&root, limit, ChannelWriter(sender)));
        let work = async {
            let mut running = self
                .start_exec(&["sh", "-c", UNPACK], None)
                .await
                .map_err(|error| engine_error("copying files in", &error.into_inner()))?;
            let Running { id, output, input, .. } = &mut running;
            let feed = async {
                while let Some(bytes) = receiver.recv().await {
                    if input.write_all(&bytes).await.is_err() {
                        // It has ended early: its code says why.
                        break;
                    }
                }
                drop(receiver);
                let _ = input.shutdown().await;
            };
            let (said, ()) = tokio::join!(text_of(output), feed);
            self.copied("copying files in", id, said).await
        };
        let sent = within("copying files in", work).await;
        let packed = packer.await.map_err(|error| SandboxError::Engine {
            what: "packing the work tree",
            reason: error.to_string(),
        })?;
        match (packed, sent) {
            (Ok(links), Ok(())) => Ok(links),
            // The packer's pipe breaks when the other side ends first.
            (Err(ArchiveError::Io { source, .. }), Err(error))
                if source.kind() == io::ErrorKind::BrokenPipe =>
            {
                Err(error)
            }
            (Err(error), _) => Err(error.into()),
            (Ok(_), Err(error)) => Err(error),
        }
    }

    /// Copies the tree out of the container, into `dest`.
    pub(super) async fn copy_out(
        &self,
        dest: &Path,
        bounds: Bounds,
    ) -> Result<Exported, SandboxError> {
        let (sender, receiver) = mpsc::channel::<Vec<u8>>(4);
        let target = dest.to_owned();
        let unpacker = tokio::task::spawn_blocking(move || {
            unpack(ChannelReader { receiver, current: Vec::new(), at: 0 }, &target, bounds)
        });
        let work = async move {
            let mut running = self
                .start_script(PACK)
                .await
                .map_err(|error| engine_error("copying files out", &error.into_inner()))?;
            let mut said = Vec::new();
            let mut sender = Some(sender);
            while let Some(part) = running.next().await {
                match part.map_err(|error| engine_error("copying files out", &error))? {
                    (Stream::Stdout, bytes) => {
                        if let Some(open) = &sender
                            && open.send(bytes).await.is_err()
                        {
                            // The archive's end, or the unpacker has refused something.
                            sender = None;
                        }
                    }
                    (Stream::Stderr, bytes) => keep_text(&mut said, &bytes),
                }
            }
            drop(sender);
            self.copied("copying files out", &running.id, Ok(said)).await
        };
        let sent = within("copying files out", work).await;
        let unpacked = unpacker.await.map_err(|error| SandboxError::Engine {
            what: "unpacking the work tree",
            reason: error.to_string(),
        })?;
        match (unpacked, sent) {
            (Ok(exported), Ok(())) => Ok(exported),
            (Ok(_), Err(error)) => {
                // An archive that was cut at an entry's end looks complete.
                let _ = tokio::fs::remove_dir_all(dest).await;
                Err(error)
            }
            (Err(_), Err(error @ SandboxError::Engine { .. })) => Err(error),
            (Err(error), _) => Err(error.into()),
        }
    }

    async fn copied(
        &self,
        what: &'static str,
        id: &str,
        said: Result<Vec<u8>, SandboxError>,
    ) -> Result<(), SandboxError> {
        let said = said?;
        match self.exit_code(id).await {
            Ok(0) => Ok(()),
            Ok(code) => {
                let text = String::from_utf8_lossy(&said);
                let reason = format!("tar ended with code {code}: {}", text.trim());
                Err(SandboxError::Engine { what, reason })
            }
            Err(reason) => Err(SandboxError::Engine { what, reason }),
        }
    }
}

/// Takes a program's output to its end.
async fn collect(running: &mut Running, collector: &mut Collector) -> Result<(), Error> {
    while let Some(part) = running.next().await {
        let (stream, bytes) = part?;
        collector.take(stream, &bytes).await;
    }
    Ok(())
}

async fn text_of(
    output: &mut Pin<Box<dyn Items<Item = Result<LogOutput, Error>> + Send>>,
) -> Result<Vec<u8>, SandboxError> {
    let mut said = Vec::new();
    while let Some(item) = output.next().await {
        let item = item.map_err(|error| engine_error("copying files in", &error))?;
        keep_text(&mut said, item.as_ref());
    }
    Ok(said)
}

fn keep_text(said: &mut Vec<u8>, bytes: &[u8]) {
    let room = 500usize.saturating_sub(said.len());
    said.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

async fn within<T>(
    what: &'static str,
    work: impl Future<Output = Result<T, SandboxError>>,
) -> Result<T, SandboxError> {
    timeout(COPY_TIME, work).await.unwrap_or_else(|_| {
        Err(SandboxError::Engine { what, reason: "it took longer than 10 minutes".to_owned() })
    })
}

/// The blocking end of a channel, for writing.
struct ChannelWriter(mpsc::Sender<Vec<u8>>);

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(bytes.to_vec());
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The blocking end of a channel, for reading.
struct ChannelReader {
    receiver: mpsc::Receiver<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() {
            match self.receiver.blocking_recv() {
                Some(bytes) => (self.current, self.at) = (bytes, 0),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len() - self.at);
        buffer[..count].copy_from_slice(&self.current[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
