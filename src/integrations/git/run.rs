//! One invocation of the git command: a closed environment, a bounded answer, a time-out that ends
//! the whole process group.
//!
//! Nothing that git reads from the machine, the user or a repository can make it run a program or
//! rewrite a file: hooks, filters, attributes, editors, pagers, prompts, credential helpers,
//! file-system monitors, submodules, transport helpers and background maintenance are off.
//! Settings travel in the environment, so that the process list does not show the address; the
//! token is not even there, but in a file that lives as long as the invocation.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::remote::Remote;

/// The most of git's complaints that is kept, in bytes: its end.
const MAX_STDERR_BYTES: usize = 64 << 10;

/// The longest line of git's complaints in an error, in characters.
const MAX_DETAIL_CHARS: usize = 300;

/// What is read from or written to git in one piece, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// How long a group of processes has, after being asked to end, to remove its lock files. A lock
/// left behind in a repository would block its ref until a person removes it.
const GRACE: Duration = Duration::from_secs(1);

/// How long pipes may stay open after git ended, held by a process that it left behind.
const LINGER: Duration = Duration::from_secs(5);

/// What git may read as its standard input.
pub(super) enum Feed {
    /// Nothing.
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Pieces, until the sender is dropped.
    Pieces(mpsc::Receiver<Vec<u8>>),
}

/// Where git's standard output goes.
pub(super) enum Sink {
    /// Into memory, at most so many bytes.
    Memory(u64),
    /// To a reader, which bounds it.
    Pieces(mpsc::Sender<Vec<u8>>),
}

/// One invocation.
pub(super) struct Call<'a> {
    /// The arguments after `git`.
    pub(super) args: Vec<OsString>,
    /// Further variables of the environment, for example an index file of its own.
    pub(super) env: Vec<(&'static str, OsString)>,
    /// The remote that it may speak to, as `r`; none for work on this machine alone.
    pub(super) remote: Option<&'a Remote>,
    /// Standard input.
    pub(super) feed: Feed,
    /// Standard output.
    pub(super) sink: Sink,
    /// How long it may take.
    pub(super) limit: Duration,
    /// The largest file that it may write, in bytes; the remote decides how much it sends.
    pub(super) file_limit: Option<u64>,
    /// Where it runs, if not in the repository.
    pub(super) directory: Option<PathBuf>,
}

/// Why an invocation gave no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// Git could not be started.
    Spawn(io::Error),
    /// It was stopped after this time.
    Timeout(Duration),
    /// It answered more than this many bytes.
    TooMuch(u64),
    /// It ended with a complaint: one line for people, and all of it for sorting.
    Exit {
        /// One line without control characters.
        detail: String,
        /// Standard output and error.
        said: String,
    },
    /// It answered something that it should not.
    Garbled(String),
}

impl<'a> Call<'a> {
    /// An invocation on this machine alone that reads nothing and answers little.
    pub(super) fn new<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, limit: Duration) -> Self {
        Self {
            args: args.into_iter().map(|arg| arg.as_ref().to_owned()).collect(),
            env: Vec::new(),
            remote: None,
            feed: Feed::Null,
            sink: Sink::Memory(1 << 20),
            limit,
            file_limit: None,
            directory: None,
        }
    }

    /// With this standard input.
    pub(super) fn feed(mut self, feed: Feed) -> Self {
        self.feed = feed;
        self
    }

    /// With this place for standard output.
    pub(super) fn sink(mut self, sink: Sink) -> Self {
        self.sink = sink;
        self
    }

    /// With one more variable of the environment.
    pub(super) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Speaking to this remote, under the name `r`.
    pub(super) fn remote(mut self, remote: &'a Remote) -> Self {
        self.remote = Some(remote);
        self
    }

    /// Running in this directory.
    pub(super) fn directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Writing no file larger than this many bytes.
    pub(super) fn file_limit(mut self, bytes: u64) -> Self {
        self.file_limit = Some(bytes);
        self
    }
}

/// Runs git on one repository.
#[derive(Debug)]
pub(super) struct Runner {
    /// The bare repository.
    pub(super) repository: PathBuf,
    /// An empty directory, the home of every invocation.
    pub(super) home: PathBuf,
}

impl Runner {
    /// Runs one invocation to its end; standard output, if it was to be kept in memory.
    pub(super) async fn run(&self, call: Call<'_>) -> Result<Vec<u8>, Fault> {
        let entry = Entry::of(call.remote, &self.home).map_err(Fault::Spawn)?;
        let mut command = self.command(&call, entry.as_ref());
        let Call { remote, feed, sink, limit, .. } = call;
        let scrub = |said: String| remote.map_or_else(|| said.clone(), |r| r.scrub(&said));
        let mut child = command.spawn().map_err(Fault::Spawn)?;
        let mut group = Group::of(&child);
        let talk = tokio::time::timeout(limit, converse(&mut child, feed, sink)).await;
        let Ok(talk) = talk else {
            group.end(&mut child).await;
            return Err(Fault::Timeout(limit));
        };
        let talk = match talk {
            Ok(talk) => talk,
            Err(fault) => {
                group.end(&mut child).await;
                return Err(fault);
            }
        };
        group.disarm();
        if talk.status.success() {
            return Ok(talk.stdout);
        }
        let said = String::from_utf8_lossy(&talk.stderr).into_owned();
        let said = scrub(format!("{}\n{said}", porcelain(&talk.stdout)));
        let detail = match talk.status.signal() {
            Some(signal) => format!("git was ended by signal {signal}; {}", telling_line(&said)),
            None => telling_line(&said),
        };
        Err(Fault::Exit { detail, said })
    }

    fn command(&self, call: &Call<'_>, entry: Option<&Entry>) -> Command {
        let mut command = match call.file_limit {
            // A lower limit that the machine sets already may not be raised; it holds as well. Git
            // sees the limit as an error of a write, and can say so.
            Some(bytes) => {
                let script = "ulimit -f \"$0\" 2>/dev/null; trap '' XFSZ; exec git \"$@\"";
                let mut shell = Command::new("sh");
                shell.args(["-c", script, &bytes.div_ceil(512).to_string()]);
                shell
            }
            None => Command::new("git"),
        };
        command.args(&call.args).env_clear();
        command.current_dir(call.directory.as_ref().unwrap_or(&self.repository));
        command.envs(ambient(call.remote)).envs(self.fixed(call.remote));
        if let Some(entry) = entry {
            command.env("GIT_CONFIG_GLOBAL", &entry.0);
        }
        let settings = settings(call.remote);
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (i, (key, value)) in settings.into_iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{i}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{i}"), value);
        }
        command.envs(call.env.iter().map(|(name, value)| (name, value)));
        let stdin = if matches!(call.feed, Feed::Null) { Stdio::null() } else { Stdio::piped() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command
    }

    fn fixed(&self, remote: Option<&Remote>) -> Vec<(&'static str, OsString)> {
        let null = || OsString::from("/dev/null");
        let text = |text: &str| OsString::from(text);
        vec![
            ("HOME", self.home.clone().into()),
            ("XDG_CONFIG_HOME", self.home.clone().into()),
            ("GIT_DIR", self.repository.clone().into()),
            ("LC_ALL", text("C")),
            ("LANGUAGE", text("C")),
            ("TZ", text("UTC")),
            ("GIT_CONFIG_NOSYSTEM", text("1")),
            ("GIT_CONFIG_SYSTEM", null()),
            ("GIT_CONFIG_GLOBAL", null()),
            ("GIT_ATTR_NOSYSTEM", text("1")),
            ("GIT_TERMINAL_PROMPT", text("0")),
            ("GIT_EDITOR", text("false")),
            ("GIT_PAGER", text("cat")),
            ("GIT_OPTIONAL_LOCKS", text("0")),
            ("GIT_NO_REPLACE_OBJECTS", text("1")),
            ("GIT_NO_LAZY_FETCH", text("1")),
            ("GIT_LITERAL_PATHSPECS", text("1")),
            ("GIT_PROTOCOL_FROM_USER", text("0")),
            ("GIT_ALLOW_PROTOCOL", text(remote.map_or("", Remote::protocol))),
            ("GIT_SSH_VARIANT", text("ssh")),
            ("GIT_SSH_COMMAND", text(SSH)),
            ("GIT_AUTHOR_NAME", text("bzzz")),
            ("GIT_AUTHOR_EMAIL", text("bzzz@localhost")),
            ("GIT_COMMITTER_NAME", text("bzzz")),
            ("GIT_COMMITTER_EMAIL", text("bzzz@localhost")),
        ]
    }
}

/// How git reaches a host by SSH: never asking, never forwarding.
const SSH: &str = "ssh -oBatchMode=yes -oForwardAgent=no -oForwardX11=no -oClearAllForwardings=yes \
                   -oPermitLocalCommand=no -oConnectTimeout=20";

/// The settings of every invocation; they win over those of the repository.
const SETTINGS: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.autocrlf", "false"),
    ("core.safecrlf", "false"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("core.quotePath", "false"),
    ("core.logAllRefUpdates", "false"),
    ("credential.helper", ""),
    ("credential.interactive", "false"),
    ("protocol.allow", "never"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("push.recurseSubmodules", "no"),
    ("push.gpgSign", "false"),
    ("push.negotiate", "false"),
    ("commit.gpgSign", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("transfer.bundleURI", "false"),
    ("transfer.credentialsInUrl", "die"),
    // A redirection would take the token to wherever the remote points.
    ("http.followRedirects", "false"),
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "60"),
    ("remote.r.tagOpt", "--no-tags"),
];

fn settings(remote: Option<&Remote>) -> Vec<(String, String)> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let mut settings: Vec<_> = SETTINGS.iter().map(owned).collect();
    if let Some(remote) = remote {
        settings.push(("remote.r.url".to_owned(), remote.url.clone()));
    }
    settings
}

/// A file of git's settings that holds the token, for one invocation. In the environment it would
/// be there for whoever may read `/proc/PID/environ`, of git and of all that git starts.
struct Entry(PathBuf);

impl Entry {
    /// Beside the home of the invocations, for this user alone.
    fn of(remote: Option<&Remote>, home: &Path) -> io::Result<Option<Self>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Some((remote, header)) = remote.and_then(|r| Some((r, r.header()?))) else {
            return Ok(None);
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{ENTRY_PREFIX}{}-{number}", std::process::id());
        let path = home.with_file_name(ENTRIES).join(name);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
        let entry = Self(path);
        // Only requests below the remote's own address carry it. Neither an address nor base64 has
        // a line break.
        let quoted = remote.url.replace('\\', "\\\\").replace('"', "\\\"");
        let text = Zeroizing::new(format!(
            "[http \"{quoted}\"]\n\textraHeader = \"{}\"\n",
            header.expose()
        ));
        file.write_all(text.as_bytes())?;
        Ok(Some(entry))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_file(&self.0);
    }
}

/// Where these files are, beside the home of the invocations.
pub(super) const ENTRIES: &str = "scratch";

/// How their names begin; the number of the process follows.
const ENTRY_PREFIX: &str = "entry-";

/// Removes those that a killed process has left. Another that lives may use the mirror as well.
pub(super) fn remove_left_entries(scratch: &Path) {
    for entry in std::fs::read_dir(scratch).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(ENTRY_PREFIX) else { continue };
        let pid = rest.split('-').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        if pid.is_none_or(|pid| test_kill_process(pid) == Err(Errno::SRCH)) {
            let _gone_already = std::fs::remove_file(entry.path());
        }
    }
}

/// What an invocation takes over from the node's own environment: where programs are and, for a
/// remote, how this machine reaches the network. None of it is configuration of bzzz.
fn ambient(remote: Option<&Remote>) -> Vec<(&'static str, OsString)> {
    const WEB: &[&str] = &[
        "http_proxy",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "GIT_SSL_CAINFO",
    ];
    let names: &[&'static str] = match remote.map(Remote::protocol) {
        Some("http" | "https") => WEB,
        Some("ssh") => &["SSH_AUTH_SOCK"],
        _ => &[],
    };
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let others = names.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    others.chain([("PATH", path)]).collect()
}

/// What an invocation that ended left.
struct Talk {
    status: std::process::ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

async fn converse(child: &mut Child, feed: Feed, sink: Sink) -> Result<Talk, Fault> {
    let stdin = child.stdin.take();
    let stdout = child.stdout.take().expect("standard output is piped");
    let stderr = child.stderr.take().expect("standard error is piped");
    let feeding = async {
        if let Some(stdin) = stdin {
            write_feed(stdin, feed).await;
        }
        Ok::<(), Fault>(())
    };
    let pipes = async { tokio::try_join!(feeding, read_sink(stdout, sink), read_tail(stderr)) };
    tokio::pin!(pipes);
    tokio::select! {
        read = &mut pipes => {
            let ((), stdout, stderr) = read?;
            let status = child.wait().await.map_err(Fault::Spawn)?;
            Ok(Talk { status, stdout, stderr })
        }
        // A process left behind by git may hold the pipes open for ever. The reading goes on for a
        // moment, and what it would have said after that is not waited for.
        late = async {
            let status = child.wait().await;
            tokio::time::sleep(LINGER).await;
            status
        } => {
            let status = late.map_err(Fault::Spawn)?;
            match status.success() {
                true => Err(Fault::Garbled("git ended, but left its output open".to_owned())),
                false => Ok(Talk { status, stdout: Vec::new(), stderr: Vec::new() }),
            }
        }
    }
}

/// Writes all of the feed. A git that reads no further says why by its status, so that a broken
/// pipe is no error here.
async fn write_feed(mut stdin: ChildStdin, feed: Feed) {
    match feed {
        Feed::Null => {}
        Feed::Bytes(bytes) => {
            let _closed_early = stdin.write_all(&bytes).await;
        }
        Feed::Pieces(mut pieces) => {
            while let Some(piece) = pieces.recv().await {
                if stdin.write_all(&piece).await.is_err() {
                    return;
                }
            }
        }
    }
    let _closed_early = stdin.shutdown().await;
}

async fn read_sink(mut from: impl AsyncRead + Unpin, sink: Sink) -> Result<Vec<u8>, Fault> {
    match sink {
        Sink::Memory(limit) => {
            let mut kept = Vec::new();
            let garbled = |error: io::Error| Fault::Garbled(format!("git's output: {error}"));
            from.take(limit + 1).read_to_end(&mut kept).await.map_err(garbled)?;
            let over = u64::try_from(kept.len()).unwrap_or(u64::MAX) > limit;
            if over { Err(Fault::TooMuch(limit)) } else { Ok(kept) }
        }
        Sink::Pieces(to) => {
            let mut piece = vec![0; PIECE_BYTES];
            loop {
                match from.read(&mut piece).await {
                    Ok(0) => return Ok(Vec::new()),
                    Ok(n) if to.send(piece[..n].to_vec()).await.is_ok() => {}
                    // The reader gave up and says why itself.
                    Ok(_) => return Err(Fault::Garbled("its answer was not read".to_owned())),
                    Err(error) => return Err(Fault::Garbled(format!("git's output: {error}"))),
                }
            }
        }
    }
}

async fn read_tail(mut from: impl AsyncRead + Unpin) -> Result<Vec<u8>, Fault> {
    let mut kept = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut piece).await {
        kept.extend_from_slice(&piece[..n]);
        let over = kept.len().saturating_sub(MAX_STDERR_BYTES);
        kept.drain(..over);
    }
    Ok(kept)
}

/// The lines of `git push --porcelain` that report a ref which did not move.
fn porcelain(stdout: &[u8]) -> String {
    let text = String::from_utf8_lossy(stdout);
    text.lines().filter(|line| line.starts_with("!\t")).collect::<Vec<_>>().join("\n")
}

/// The line that says most: why a ref was rejected, else git's first fatal error, else the last
/// line; with what the remote itself said last.
fn telling_line(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let starting = |start: &str| lines.iter().find(|line| line.starts_with(start)).copied();
    let told = starting("!\t")
        .or_else(|| starting("fatal:"))
        .or_else(|| starting("error:"))
        .or_else(|| lines.last().copied())
        .unwrap_or("git said nothing");
    let remote = lines.iter().rev().find_map(|line| line.strip_prefix("remote:"));
    let mut line = told.to_owned();
    if let Some(remote) = remote.map(str::trim).filter(|remote| !remote.is_empty()) {
        line.push_str(&format!(" (the remote says: {remote})"));
    }
    let plain = line.replace('\t', " ");
    plain.chars().filter(|c| !c.is_control()).take(MAX_DETAIL_CHARS).collect()
}

/// A child's process group, asked to end when it is dropped before its child ended.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    fn disarm(&mut self) {
        self.0 = None;
    }

    /// Asks the group to end, gives it [`GRACE`], then ends it. The child is not waited for before
    /// that, so that its number cannot have been given to another process.
    async fn end(&mut self, child: &mut Child) {
        if let Some(group) = self.0.take() {
            let _gone_already = kill_process_group(group, Signal::TERM);
            tokio::time::sleep(GRACE).await;
            let _gone_already = kill_process_group(group, Signal::KILL);
        }
        let _status = child.wait().await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _gone_already = kill_process_group(group, Signal::TERM);
        }
    }
}

/// Reads git's answer as text.
pub(super) fn text(bytes: Vec<u8>) -> Result<String, Fault> {
    String::from_utf8(bytes).map_err(|_| Fault::Garbled("git's answer is not UTF-8".to_owned()))
}

/// A path for a variable of the environment.
pub(super) fn os(path: &Path) -> OsString {
    path.as_os_str().to_owned()
}
