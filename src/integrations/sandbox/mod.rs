//! Where a task's commands run: what both kinds of sandbox share, and the choice between them.
//!
//! A sandbox gets a copy of a work tree, runs commands on the copy, and gives a copy back. Nothing
//! in it is mounted from the host, so a quota on its files can be enforced, and no link that a
//! command makes can reach a file of the host. What comes back is checked entry by entry.

mod archive;
mod egress;
mod output;

use std::path::{Path, PathBuf};

use tokio::sync::mpsc::Sender;

use super::{docker, process};

pub use crate::kernel::event::kinds::{CommandStatus, Stream};
pub use archive::{ArchiveError, Exported, MAX_ENTRIES};
pub(crate) use archive::{Bounds, copy_tree, pack, unpack};
pub use egress::{Denied, Egress, Fixed, HostError, Hosts, Resolver};
pub(crate) use egress::{Proxy, Session};
pub(crate) use output::Collector;

/// The longest command, in bytes. An argument of a program cannot have more than 128 KiB on Linux.
pub const MAX_COMMAND_BYTES: usize = 64 * 1024;

/// The longest name of a sandbox, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// What the commands of one sandbox may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all processes together, in bytes. A container's files are in memory too: the
    /// engine enforces the sum of this, `disk_bytes` and the room for temporary files.
    pub memory_bytes: u64,
    /// Processor time per unit of time, in thousandths of one processor.
    pub cpus_milli: u32,
    /// Processes and threads at any one time.
    pub processes: u32,
    /// Bytes of all files of the work tree together.
    pub disk_bytes: u64,
    /// Output of one command that is kept, both streams together, in bytes. What comes after it is
    /// counted and hashed only.
    pub output_bytes: u64,
    /// Wall time of one command, in seconds.
    pub command_seconds: u32,
}

impl Default for Limits {
    /// 1 GiB of memory, one processor, 256 processes, 512 MiB of files, 256 KiB of output, 2
    /// minutes.
    fn default() -> Limits {
        Limits {
            memory_bytes: 1 << 30,
            cpus_milli: 1000,
            processes: 256,
            disk_bytes: 512 << 20,
            output_bytes: 256 << 10,
            command_seconds: 120,
        }
    }
}

impl Limits {
    /// Checks each limit against the range in which it can be enforced.
    ///
    /// # Errors
    /// [`SandboxError::Limit`] names the first limit that is out of its range.
    pub fn check(&self) -> Result<(), SandboxError> {
        const TIB: u64 = 1 << 40;
        let rows = [
            ("memory_bytes", self.memory_bytes, 16 << 20, TIB),
            ("cpus_milli", u64::from(self.cpus_milli), 10, 1_024_000),
            ("processes", u64::from(self.processes), 8, 32_768),
            ("disk_bytes", self.disk_bytes, 1 << 20, TIB),
            ("output_bytes", self.output_bytes, 1 << 10, 64 << 20),
            ("command_seconds", u64::from(self.command_seconds), 1, 86_400),
        ];
        for (limit, value, least, most) in rows {
            if !(least..=most).contains(&value) {
                return Err(SandboxError::Limit { limit, value, least, most });
            }
        }
        Ok(())
    }
}

/// What one sandbox is made from.
#[derive(Debug, Clone)]
pub struct SandboxSpec {
    /// Its name, unique on the machine: letters, digits, `-`, `_` and `.`, at most
    /// [`MAX_NAME_BYTES`].
    pub name: String,
    /// The id of the node that owns it, for [`Sandbox::remove_orphans`]: as `name`.
    pub owner: String,
    /// The directory whose files are copied in. Anything called `.git` stays outside.
    pub work_tree: PathBuf,
    /// The image, for a container; otherwise the one of the settings.
    pub image: Option<String>,
    /// What its commands may use.
    pub limits: Limits,
    /// What its commands may reach. Only a container can have anything here.
    pub egress: Egress,
}

impl SandboxSpec {
    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        for (what, value) in [("name", &self.name), ("owner", &self.owner)] {
            let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            let starts = value.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
            if !starts || value.len() > MAX_NAME_BYTES || !value.bytes().all(good) {
                return Err(SandboxError::Name { what, value: value.chars().take(80).collect() });
            }
        }
        self.limits.check()
    }
}

/// A piece of a command's output, at most 16 KiB, in the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where it was written to.
    pub stream: Stream,
    /// The bytes, as they were written: not necessarily text.
    pub bytes: Vec<u8>,
    /// When it arrived, in milliseconds since the command's start.
    pub at_ms: u64,
}

/// What is known of a command that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub status: CommandStatus,
    /// Wall time, in milliseconds.
    pub duration_ms: u64,
    /// Bytes of output that were produced and counted.
    pub output_total: u64,
    /// Bytes of output that went to the sink.
    pub output_kept: u64,
    /// Whether output was produced that didn't go to the sink.
    pub truncated: bool,
    /// BLAKE3 of the whole output, both streams in the order of arrival.
    pub output_hash: [u8; 32],
}

/// Why a sandbox could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A name that no container or directory should have.
    #[error(
        "the sandbox's {what} {value:?} is not 1 to {MAX_NAME_BYTES} letters, digits and -_. that \
         start with a letter or digit"
    )]
    Name {
        /// `name` or `owner`.
        what: &'static str,
        /// Its beginning.
        value: String,
    },
    /// A limit outside of its range.
    #[error("the sandbox limit {limit} is {value}, and can only be from {least} to {most}")]
    Limit {
        /// Which limit.
        limit: &'static str,
        /// What was asked for.
        value: u64,
        /// The lowest value.
        least: u64,
        /// The highest value.
        most: u64,
    },
    /// No engine answers.
    #[error("no Docker engine answers at {host}: {reason}; start one, or set its address")]
    Unreachable {
        /// Where it was looked for.
        host: String,
        /// What happened.
        reason: String,
    },
    /// The image isn't on the machine. It is never fetched.
    #[error("the sandbox image {image} is not on this machine; make it with tools/sandbox-image")]
    ImageMissing {
        /// Its name.
        image: String,
    },
    /// A limit that this engine does not enforce.
    #[error("the engine cannot enforce the sandbox limit on {limit} ({reason}), so nothing is run")]
    Unenforceable {
        /// Which one.
        limit: &'static str,
        /// What the engine said.
        reason: String,
    },
    /// There is one of that name.
    #[error("a sandbox {name} exists already; remove what an earlier run has left")]
    Exists {
        /// Its name.
        name: String,
    },
    /// The sandbox has ended, and its files with it.
    #[error("the sandbox {name} is gone: {reason}")]
    Gone {
        /// Its name.
        name: String,
        /// What ended it.
        reason: String,
    },
    /// The engine refused a request, or failed in it.
    #[error("the engine failed in {what}: {reason}")]
    Engine {
        /// What was to be done.
        what: &'static str,
        /// What it said.
        reason: String,
    },
    /// A command that cannot be run.
    #[error("the command {0}")]
    Command(&'static str),
    /// A file of the host could not be used.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// What was to be done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The files could not be copied in or out.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// The kind of sandbox that a node uses.
#[derive(Debug)]
pub enum Sandbox {
    /// Containers.
    Docker(docker::DockerSandbox),
    /// Plain processes without any isolation.
    Process(process::ProcessSandbox),
}

/// One open sandbox. Its commands run one at a time: a second call waits for the first. A handle
/// that is dropped without [`Handle::close`] leaves its sandbox to [`Sandbox::remove_orphans`].
#[derive(Debug)]
pub enum Handle {
    /// A container.
    Docker(docker::Container),
    /// A directory.
    Process(process::Directory),
}

impl Sandbox {
    /// Makes a sandbox and copies the work tree into it.
    ///
    /// # Errors
    /// A bad specification, an engine that is absent or can't enforce a limit, a missing image, a
    /// work tree that is too large. Nothing is left behind.
    pub async fn open(&self, spec: &SandboxSpec) -> Result<Handle, SandboxError> {
        spec.check()?;
        match self {
            Sandbox::Docker(docker) => docker.open(spec).await.map(Handle::Docker),
            Sandbox::Process(process) => process.open(spec).await.map(Handle::Process),
        }
    }

    /// Removes every sandbox that `owner` has left, with all that runs in it, and names them.
    ///
    /// # Errors
    /// The engine is absent or refuses; some may have been removed.
    pub async fn remove_orphans(&self, owner: &str) -> Result<Vec<String>, SandboxError> {
        match self {
            Sandbox::Docker(docker) => docker.remove_orphans(owner).await,
            Sandbox::Process(process) => process.remove_orphans(owner).await,
        }
    }

    /// Says in one line what the sandbox is made of, for `bzzz doctor`.
    ///
    /// # Errors
    /// What would make [`Sandbox::open`] fail.
    pub async fn check(&self) -> Result<String, SandboxError> {
        match self {
            Sandbox::Docker(docker) => docker.check().await,
            Sandbox::Process(process) => process.check().await,
        }
    }
}

impl Handle {
    /// Runs a command with `sh -c` in the work tree, and sends its output to `sink` while it runs.
    ///
    /// It has no input, and an environment of `PATH`, `HOME` and `LANG`. When this returns, nothing
    /// that the command started is alive (the process sandbox does not promise that). A sink that
    /// nobody reads holds the command up until its time is over; a closed one is ignored. Dropping
    /// the future kills the command.
    ///
    /// # Errors
    /// Only what kept the command from being started. Whatever happens later is a
    /// [`CommandStatus`].
    pub async fn run(&self, command: &str, sink: Sender<Chunk>) -> Result<Finished, SandboxError> {
        if command.len() > MAX_COMMAND_BYTES {
            return Err(SandboxError::Command("is longer than 64 KiB"));
        }
        if command.contains('\0') {
            return Err(SandboxError::Command("has a zero byte in it"));
        }
        match self {
            Handle::Docker(container) => container.run(command, sink).await,
            Handle::Process(directory) => directory.run(command, sink).await,
        }
    }

    /// The hosts that the command, which runs or ran last, asked for and did not get to since this
    /// was last called.
    #[must_use]
    pub fn take_denied(&self) -> Vec<Denied> {
        match self {
            Handle::Docker(container) => container.take_denied(),
            Handle::Process(_) => Vec::new(),
        }
    }

    /// Copies the work tree out, into `dest`, which is made and must not exist or be empty.
    ///
    /// Regular files keep their contents and whether they are executable; links stay links.
    ///
    /// # Errors
    /// [`ArchiveError`] for entries that no work tree should have: links that lead out of it
    /// (unless they came in with it), devices, names with `..`. `dest` is then removed. What a
    /// dropped future leaves there is of no use.
    pub async fn export(&self, dest: &Path) -> Result<Exported, SandboxError> {
        match self {
            Handle::Docker(container) => container.export(dest).await,
            Handle::Process(directory) => directory.export(dest).await,
        }
    }

    /// Ends the sandbox: kills all that runs in it and removes its files. A second call does
    /// nothing.
    ///
    /// # Errors
    /// The engine fails; [`Sandbox::remove_orphans`] can remove the sandbox later.
    pub async fn close(&self) -> Result<(), SandboxError> {
        match self {
            Handle::Docker(container) => container.close().await,
            Handle::Process(directory) => directory.close().await,
        }
    }
}

/// The shell's convention for a program's end, read back.
pub(crate) fn status_of(code: i64, out_of_memory: bool) -> CommandStatus {
    match code {
        137 if out_of_memory => CommandStatus::Killed("out of memory".to_owned()),
        129..=192 => CommandStatus::Killed(format!("signal {}", code - 128)),
        _ => CommandStatus::Exited(i32::try_from(code).unwrap_or(i32::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_ranges() {
        assert!(Limits::default().check().is_ok());
        let few = Limits { processes: 7, ..Limits::default() };
        let error = few.check().unwrap_err().to_string();
        assert_eq!(error, "the sandbox limit processes is 7, and can only be from 8 to 32768");
    }

    #[test]
    fn names_are_names() {
        let spec = |name: &str| SandboxSpec {
            name: name.to_owned(),
            owner: "n".to_owned(),
            work_tree: PathBuf::new(),
            image: None,
            limits: Limits::default(),
            egress: Egress::none(),
        };
        assert!(spec("bzzz-ab12-7-1").check().is_ok());
        for bad in ["", ".", "..", "-a", "a/b", "a b", "ä", &"x".repeat(129)] {
            assert!(spec(bad).check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn statuses() {
        assert_eq!(status_of(0, true), CommandStatus::Exited(0));
        assert_eq!(status_of(137, true), CommandStatus::Killed("out of memory".to_owned()));
        assert_eq!(status_of(137, false), CommandStatus::Killed("signal 9".to_owned()));
        assert_eq!(status_of(200, false), CommandStatus::Exited(200));
    }
}
