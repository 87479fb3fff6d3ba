//! The node's copy of a remote: one bare object store under a cache directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{local_error, remote_error};
use super::refs::first_id;
use super::remote::{Remote, check_branch};
use super::run::{Call, ENTRIES, Fault, Runner, Sink, remove_left_entries, text};
use super::{CommitId, GitError, Limits};

/// The largest pack that a fetch may bring, in bytes.
pub const MAX_PACK_BYTES: u64 = 2 << 30;

/// The most files that a [`DiffStat`] names.
pub const MAX_DIFF_FILES: usize = 200;

/// The most that git may list of a tree, an index or a difference, in bytes.
pub(super) const MAX_LISTING_BYTES: u64 = 64 << 20;

/// The largest file that a fetch of claims may bring, in bytes.
const MAX_CLAIM_FETCH_BYTES: u64 = 16 << 20;

/// The local ref that keeps the base branch: where the next fetch starts from.
const BASE: &str = "refs/mirror/base";

/// All of a mirror's own configuration, for remotes of SHA-1 and of SHA-256.
const CONFIGS: [(&str, &str); 2] = [
    ("sha1", "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"),
    (
        "sha256",
        "[core]\n\trepositoryformatversion = 1\n\tbare = true\n\
         [extensions]\n\tobjectformat = sha256\n",
    ),
];

/// Wins over every `.gitattributes` of a tree: no conversion of any kind.
const ATTRIBUTES: &str = "* -text -eol -ident -filter -working-tree-encoding !diff -merge \
                          -export-subst -export-ignore\n";

/// The node's copy of one remote. It is a cache: while no node runs, it may be deleted.
///
/// Several tasks may use one mirror at once. Each operation has its own index file; only fetches
/// wait for each other.
#[derive(Debug)]
pub struct Mirror {
    pub(super) runner: Runner,
    pub(super) remote: Remote,
    pub(super) limits: Limits,
    /// Held while a fetch writes local refs.
    pub(super) fetching: tokio::sync::Mutex<()>,
    scratch: PathBuf,
}

/// How a fetch keeps what it brings.
#[derive(Clone, Copy)]
pub(super) enum Keep {
    /// In one pack: much at once.
    Pack,
    /// If they are few, as single objects: claims come one by one, and a pack each would be slow.
    Objects,
}

/// What a commit changes, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffStat {
    /// The changed files, at most [`MAX_DIFF_FILES`], in git's order.
    pub files: Vec<FileChange>,
    /// How many files changed in all.
    pub changed: u64,
    /// Lines added in all files; those of binary files don't count.
    pub added: u64,
    /// Lines removed from all files; those of binary files don't count.
    pub removed: u64,
}

/// What a commit changes in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// The path; what is no UTF-8 in it is replaced.
    pub path: String,
    /// Lines added and removed, or none for a binary file.
    pub lines: Option<(u64, u64)>,
}

impl Mirror {
    /// Opens the mirror in a directory, or creates it with the usual [`Limits`].
    ///
    /// # Errors
    /// See [`Mirror::open_with`].
    pub async fn open(dir: &Path, remote: Remote) -> Result<Self, GitError> {
        Self::open_with(dir, remote, Limits::default()).await
    }

    /// Opens the mirror in a directory, or creates it. Only creation asks the remote.
    ///
    /// # Errors
    /// [`GitError::BadRemote`] for an address, token or branch that can't be used;
    /// [`GitError::NoGit`]; [`GitError::BadMirror`] for a directory that holds something else; and
    /// at creation whatever the remote's answer is, [`GitError::Missing`] if it has no such branch.
    pub async fn open_with(dir: &Path, remote: Remote, limits: Limits) -> Result<Self, GitError> {
        remote.check()?;
        let made = |path: &Path| io_error("create the directory", path);
        let home = dir.join("home");
        let scratch = dir.join(ENTRIES);
        for path in [&home, &scratch] {
            std::fs::create_dir_all(path).map_err(made(path))?;
        }
        let dir = std::fs::canonicalize(dir).map_err(io_error("find the directory", dir))?;
        remove_left_entries(&dir.join(ENTRIES));
        // Until the repository exists, git runs in the scratch directory, where it finds none.
        let mut runner = Runner { repository: dir.join(ENTRIES), home: dir.join("home") };
        check_version(&runner, limits).await?;
        let repository = dir.join("mirror.git");
        if !repository.exists() {
            create(&runner, &remote, limits, &repository).await?;
        }
        runner.repository = repository;
        let mirror = Self {
            runner,
            remote,
            limits,
            fetching: tokio::sync::Mutex::new(()),
            scratch: dir.join(ENTRIES),
        };
        mirror.check().await?;
        Ok(mirror)
    }

    /// The remote, without credentials, for people.
    #[must_use]
    pub fn remote_shown(&self) -> String {
        self.remote.shown()
    }

    /// The base branch.
    #[must_use]
    pub fn base_branch(&self) -> &str {
        &self.remote.branch
    }

    /// Fetches the base branch and nothing else; its commit.
    ///
    /// # Errors
    /// What the remote answered; a pack over [`MAX_PACK_BYTES`] is cut off.
    pub async fn fetch_base(&self) -> Result<CommitId, GitError> {
        self.fetch_head("fetch the base branch", &self.remote.branch, BASE).await
    }

    /// Fetches another branch, such as the work that a task builds on; its commit.
    ///
    /// # Errors
    /// [`GitError::BadInput`] for a name that is no branch's; otherwise as [`Mirror::fetch_base`].
    pub async fn fetch_branch(&self, branch: &str) -> Result<CommitId, GitError> {
        const OPERATION: &str = "fetch a branch";
        let bad = |why: &str| GitError::BadInput { operation: OPERATION, why: why.to_owned() };
        check_branch(branch).map_err(bad)?;
        self.fetch_head(OPERATION, branch, &format!("refs/bzzz/branches/{branch}")).await
    }

    async fn fetch_head(
        &self,
        operation: &'static str,
        branch: &str,
        local: &str,
    ) -> Result<CommitId, GitError> {
        let spec = format!("+refs/heads/{branch}:{local}");
        let _alone = self.fetching.lock().await;
        self.fetch(operation, &[spec], Keep::Pack).await?;
        let peeled = format!("{local}^{{commit}}");
        let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", &peeled];
        let answer = self.local(operation, Call::new(args, self.limits.local)).await?;
        first_id(&answer).ok_or_else(|| garbled(operation, "git named no commit"))
    }

    /// What differs between two commits that the mirror holds.
    ///
    /// # Errors
    /// [`GitError::Failed`] if it doesn't hold them; [`GitError::TooLarge`].
    pub async fn diff_stat(
        &self,
        base: &CommitId,
        commit: &CommitId,
    ) -> Result<DiffStat, GitError> {
        const OPERATION: &str = "compare two commits";
        let (base, commit) = (known(OPERATION, base)?, known(OPERATION, commit)?);
        let args = [
            "diff-tree",
            "--numstat",
            "-z",
            "-r",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--end-of-options",
            base,
            commit,
        ];
        let call = Call::new(args, self.limits.local).sink(Sink::Memory(MAX_LISTING_BYTES));
        let listing = self.local(OPERATION, call).await?;
        read_numstat(&listing).ok_or_else(|| garbled(OPERATION, "an unexpected listing"))
    }

    /// Runs git on this machine alone.
    pub(super) async fn local(
        &self,
        operation: &'static str,
        call: Call<'_>,
    ) -> Result<Vec<u8>, GitError> {
        self.runner.run(call).await.map_err(|fault| local_error(operation, fault))
    }

    /// Fetches refspecs; the caller holds `fetching`. No file that comes is larger than the limit;
    /// what is kept as one pack is so as a whole.
    pub(super) async fn fetch(
        &self,
        operation: &'static str,
        specs: &[String],
        keep: Keep,
    ) -> Result<(), GitError> {
        let (limit, unpack) = match keep {
            Keep::Pack => (self.limits.pack_bytes.min(MAX_PACK_BYTES), "fetch.unpackLimit=1"),
            Keep::Objects => (MAX_CLAIM_FETCH_BYTES, "fetch.unpackLimit=100"),
        };
        let mut args = vec!["-c", unpack, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head"];
        args.extend(["--no-auto-maintenance", "--no-recurse-submodules", "--refmap="]);
        args.extend(["--no-show-forced-updates", "--end-of-options", "r"]);
        args.extend(specs.iter().map(String::as_str));
        let call = Call::new(args, self.limits.transfer).remote(&self.remote).file_limit(limit);
        match self.runner.run(call).await {
            Ok(_) => Ok(()),
            Err(Fault::Exit { said, .. }) if cut_off(&said) => {
                self.remove_cut_off(limit);
                let what = "what the remote sends, in bytes,".to_owned();
                Err(GitError::TooLarge { operation, what, limit })
            }
            Err(fault) => Err(self.remote_fault(operation, fault)),
        }
    }

    /// Removes the packs that were cut off at a limit: git leaves them behind. What other
    /// operations are writing is smaller.
    fn remove_cut_off(&self, limit: u64) {
        let packs = self.runner.repository.join("objects/pack");
        for entry in std::fs::read_dir(packs).into_iter().flatten().flatten() {
            let temporary = entry.file_name().to_string_lossy().starts_with("tmp_");
            if temporary && entry.metadata().is_ok_and(|found| found.len() >= limit) {
                let _gone_already = std::fs::remove_file(entry.path());
            }
        }
    }

    pub(super) fn remote_fault(&self, operation: &'static str, fault: Fault) -> GitError {
        remote_error(operation, &self.remote.shown(), fault)
    }

    /// A path for one operation's index file; nobody else of this or another process takes it.
    pub(super) fn scratch_file(&self) -> ScratchFile {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        ScratchFile(self.scratch.join(format!("index-{}-{number}", std::process::id())))
    }

    /// Compares everything that could change what git does with what a new mirror holds.
    async fn check(&self) -> Result<(), GitError> {
        let path = &self.runner.repository;
        let bad = |detail: String| GitError::BadMirror { path: path.clone(), detail };
        let config = read_small(&path.join("config")).map_err(|e| bad(format!("config: {e}")))?;
        if !CONFIGS.iter().any(|(_, known)| config == *known) {
            return Err(bad("its configuration is not the one it was created with".to_owned()));
        }
        let attributes = path.join("info/attributes");
        let found = read_small(&attributes).map_err(|e| bad(format!("info/attributes: {e}")))?;
        if found != ATTRIBUTES {
            return Err(bad("its attributes are not those it was created with".to_owned()));
        }
        for name in ["hooks", "info/exclude", "objects/info/alternates", "config.worktree"] {
            if path.join(name).symlink_metadata().is_ok() {
                return Err(bad(format!("it holds {name}, which it was created without")));
            }
        }
        let args = ["rev-parse", "--is-bare-repository"];
        let answer = self.runner.run(Call::new(args, self.limits.local)).await;
        match answer.and_then(text) {
            Ok(answer) if answer.trim() == "true" => Ok(()),
            Ok(_) => Err(bad("it is no bare repository".to_owned())),
            Err(Fault::Exit { detail, .. }) => Err(bad(detail)),
            Err(fault) => Err(local_error("open the mirror", fault)),
        }
    }
}

/// A file that is removed when it is dropped, with the lock that git may have left beside it.
pub(super) struct ScratchFile(pub(super) PathBuf);

impl Drop for ScratchFile {
    fn drop(&mut self) {
        let _absent = std::fs::remove_file(&self.0);
        let _absent = std::fs::remove_file(self.0.with_extension("lock"));
    }
}

async fn check_version(runner: &Runner, limits: Limits) -> Result<(), GitError> {
    let answer = runner.run(Call::new(["--version"], limits.local)).await.and_then(text);
    let answer = answer.map_err(|fault| local_error("ask git for its version", fault))?;
    let words = answer.trim().strip_prefix("git version ").unwrap_or_default();
    let mut numbers = words.split(['.', ' ', '-']).map(str::parse::<u32>);
    let version = (numbers.next(), numbers.next());
    match version {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (2, 32) => Ok(()),
        _ => Err(GitError::NoGit { detail: format!("its version is {:?}", answer.trim()) }),
    }
}

/// Creates the repository aside and moves it into place, so that it is there as a whole or not at
/// all, and the first of several processes wins.
async fn create(
    runner: &Runner,
    remote: &Remote,
    limits: Limits,
    repository: &Path,
) -> Result<(), GitError> {
    const OPERATION: &str = "create the mirror";
    let branch = format!("refs/heads/{}", remote.branch);
    let args = ["ls-remote", "--refs", "--quiet", "r", &branch];
    let listed = runner.run(Call::new(args, limits.exchange).remote(remote)).await;
    let listed =
        listed.map_err(|fault| remote_error("read the base branch", &remote.shown(), fault))?;
    let Some(base) = first_id(&listed) else {
        return Err(GitError::Missing {
            operation: "read the base branch",
            remote: remote.shown(),
            detail: format!("there is no branch {}", remote.branch),
        });
    };
    let (format, config) = CONFIGS[usize::from(base.as_str().len() == 64)];
    let aside = repository.with_extension(format!("new-{}", std::process::id()));
    let new = Runner { repository: aside.clone(), home: runner.home.clone() };
    let _left_over = std::fs::remove_dir_all(&aside);
    std::fs::create_dir(&aside).map_err(io_error("create the directory", &aside))?;
    let format = format!("--object-format={format}");
    let args = ["init", "--quiet", "--bare", "--template=", "--initial-branch=main", &format];
    new.run(Call::new(args, limits.local)).await.map_err(|fault| local_error(OPERATION, fault))?;
    let info = aside.join("info");
    std::fs::create_dir_all(&info).map_err(io_error("create the directory", &info))?;
    for (name, content) in [("config", config), ("info/attributes", ATTRIBUTES)] {
        let path = aside.join(name);
        std::fs::write(&path, content).map_err(io_error("write", &path))?;
    }
    match std::fs::rename(&aside, repository) {
        Ok(()) => Ok(()),
        Err(_) if repository.exists() => {
            std::fs::remove_dir_all(&aside).map_err(io_error("remove", &aside))
        }
        Err(error) => Err(io_error("move into place", repository)(error)),
    }
}

/// Whether a fetch ended because a file reached its limit.
fn cut_off(said: &str) -> bool {
    said.to_lowercase().contains("file too large")
}

fn read_small(path: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut content = String::new();
    std::fs::File::open(path)?.take(4096).read_to_string(&mut content)?;
    Ok(content)
}

fn read_numstat(listing: &[u8]) -> Option<DiffStat> {
    let mut stat = DiffStat { files: Vec::new(), changed: 0, added: 0, removed: 0 };
    for entry in listing.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        let entry = String::from_utf8_lossy(entry);
        let mut fields = entry.splitn(3, '\t');
        let (added, removed) = (fields.next()?, fields.next()?);
        let path = fields.next()?.to_owned();
        let lines = match (added, removed) {
            ("-", "-") => None,
            (added, removed) => Some((added.parse().ok()?, removed.parse().ok()?)),
        };
        let (added, removed) = lines.unwrap_or((0, 0));
        stat.changed += 1;
        stat.added = stat.added.saturating_add(added);
        stat.removed = stat.removed.saturating_add(removed);
        if stat.files.len() < MAX_DIFF_FILES {
            stat.files.push(FileChange { path, lines });
        }
    }
    Some(stat)
}

/// The digits of a commit id that is safe to hand to git.
pub(super) fn known<'a>(operation: &'static str, id: &'a CommitId) -> Result<&'a str, GitError> {
    match id.is_valid() {
        true => Ok(id.as_str()),
        false => Err(GitError::BadInput { operation, why: "a commit id is malformed".to_owned() }),
    }
}

pub(super) fn garbled(operation: &'static str, detail: &str) -> GitError {
    GitError::Failed { operation, detail: detail.to_owned() }
}

pub(super) fn io_error(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> GitError + use<> {
    let path = path.to_owned();
    move |source| GitError::Io { operation, path, source }
}
