//! The git adapter on real repositories: what a hostile one can try, what a remote can refuse.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail like the test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bzzz::integrations::git::{
    Author, GitError, Limits, MAX_FILE_BYTES, Mirror, Remote, Swap, Token,
};
use bzzz::kernel::event::CommitId;

const TOKEN: &str = "tok-5c1f0e9a7b";

/// A bare repository with one commit on `main`, and a place for mirrors and work trees.
pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        Self::of_format("sha1", files)
    }

    /// With object ids of this hash.
    fn of_format(format: &str, files: &[(&str, &str)]) -> Self {
        let format = &format!("--object-format={format}");
        let fixture = Self { dir: tempfile::tempdir().unwrap() };
        let root = fixture.dir.path();
        git(root, &["init", "--quiet", format, "--bare", "--initial-branch=main", "remote.git"]);
        git(root, &["init", "--quiet", format, "--initial-branch=main", "seed"]);
        for (path, content) in files {
            fixture.seed(path, content.as_bytes());
        }
        fixture.push_seed("First files");
        fixture
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn remote(&self) -> Remote {
        let url = self.path("remote.git").to_str().unwrap().to_owned();
        Remote { url, token: None, branch: "main".to_owned() }
    }

    pub(crate) async fn mirror(&self, name: &str) -> Mirror {
        Mirror::open(&self.path(name), self.remote()).await.unwrap()
    }

    pub(crate) fn seed(&self, path: &str, content: &[u8]) {
        let path = self.path("seed").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn push_seed(&self, message: &str) {
        let seed = self.path("seed");
        git(&seed, &["add", "--all", "--force"]);
        git(&seed, &["commit", "--quiet", "--allow-empty", "-m", message]);
        git(&seed, &["push", "--quiet", "../remote.git", "HEAD:refs/heads/main"]);
    }

    /// What the remote answers to a git command.
    pub(crate) fn ask(&self, args: &[&str]) -> String {
        git(&self.path("remote.git"), args)
    }

    /// What a ref of the remote points at.
    pub(crate) fn at(&self, reference: &str) -> Option<CommitId> {
        let listed = self.ask(&["for-each-ref", "--format=%(objectname)", reference]);
        listed.lines().next().map(|id| id.parse().unwrap())
    }

    pub(crate) fn hook(&self, name: &str, script: &str) {
        let path = self.path("remote.git/hooks").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        script_file(&path, script);
    }
}

pub(crate) fn script_file(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs plain git as a person would; its output.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    feed_git(dir, args, b"")
}

fn feed_git(dir: &Path, args: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("git")
        .args(args)
        .current_dir(dir)
        .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
        .envs([("GIT_AUTHOR_NAME", "seed"), ("GIT_AUTHOR_EMAIL", "seed@localhost")])
        .envs([("GIT_COMMITTER_NAME", "seed"), ("GIT_COMMITTER_EMAIL", "seed@localhost")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?} failed: {said}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn author() -> Author {
    Author { name: "agent <one>\n".to_owned(), email: "agent@localhost".to_owned() }
}

pub(crate) fn won(swap: Swap) -> CommitId {
    match swap {
        Swap::Won { claim_commit } => claim_commit,
        Swap::Lost { current } => panic!("lost to {current:?}"),
    }
}

/// How the HTTP server of a test behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It serves whoever brings the token.
    Serve,
    /// It carries pushes out, and cuts the connection before it answers.
    CutPushes,
    /// As before, and answers nothing from then on.
    CutPushesThenDie,
    /// It refuses everybody and repeats what they sent.
    RefuseAndRepeat,
    /// It sends everybody elsewhere.
    Redirect,
}

/// Serves a directory of repositories by `git http-backend` on a loopback port; the port.
pub(crate) fn serve(root: &Path, manner: Manner) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let root = root.to_owned();
    let dead = Arc::new(AtomicBool::new(false));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (root, dead) = (root.clone(), dead.clone());
            std::thread::spawn(move || answer(&stream.unwrap(), &root, manner, &dead));
        }
    });
    port
}

/// What a client of the server asked for.
struct Request {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut request = Self { method, target, headers: BTreeMap::new(), body: Vec::new() };
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            request.headers.insert(name.to_lowercase(), value.to_owned());
        }
        request.body = vec![0; request.header("content-length").parse().unwrap_or(0)];
        from.read_exact(&mut request.body)?;
        Ok(request)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn path(&self) -> (&str, &str) {
        self.target.split_once('?').unwrap_or((&self.target, ""))
    }

    /// What `git http-backend` answers: its headers, and the rest.
    fn carry_out(&self, root: &Path) -> io::Result<(String, Vec<u8>)> {
        let (path, query) = self.path();
        let mut backend = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", root)
            .envs([("GIT_HTTP_EXPORT_ALL", "1"), ("REMOTE_USER", "agent")])
            .envs([("PATH_INFO", path), ("QUERY_STRING", query), ("REQUEST_METHOD", &self.method)])
            .env("CONTENT_TYPE", self.header("content-type"))
            .env("CONTENT_LENGTH", self.body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", self.header("content-encoding"))
            .env("GIT_PROTOCOL", self.header("git-protocol"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut stdin = backend.stdin.take().unwrap();
        let body = self.body.clone();
        let writer = std::thread::spawn(move || stdin.write_all(&body));
        let output = backend.wait_with_output()?.stdout;
        let _closed_early = writer.join().unwrap();
        let split = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&output[..split]).into_owned();
        Ok((head, output[split + 4..].to_vec()))
    }
}

fn answer(
    mut stream: &TcpStream,
    root: &Path,
    manner: Manner,
    dead: &AtomicBool,
) -> io::Result<()> {
    let request = Request::read(&mut BufReader::new(stream))?;
    if dead.load(Ordering::SeqCst) {
        return Ok(());
    }
    let mut respond = |status: &str, head: &str, content: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n", content.len());
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
        stream.write_all(content)
    };
    let sent = request.header("authorization");
    match manner {
        Manner::RefuseAndRepeat => {
            let said = format!("you sent {sent} and {TOKEN}");
            return respond("403 Forbidden", "Content-Type: text/plain", said.as_bytes());
        }
        Manner::Redirect => {
            let elsewhere = "Location: http://127.0.0.1:1/elsewhere.git";
            return respond("301 Moved", elsewhere, b"");
        }
        _ if sent != format!("Basic {}", encoded(&format!("x-access-token:{TOKEN}"))) => {
            let basic = "WWW-Authenticate: Basic realm=\"x\"";
            return respond("401 Unauthorized", basic, b"no");
        }
        _ => {}
    }
    let (head, content) = request.carry_out(root)?;
    let pushed = request.method == "POST" && request.path().0.ends_with("/git-receive-pack");
    if pushed && matches!(manner, Manner::CutPushes | Manner::CutPushesThenDie) {
        dead.store(manner == Manner::CutPushesThenDie, Ordering::SeqCst);
        return stream.shutdown(std::net::Shutdown::Both);
    }
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    respond(status, &head, &content)
}

/// What the server compares with comes from another program than the one that is tested.
pub(crate) fn encoded(text: &str) -> String {
    let mut base64 = Command::new("base64")
        .arg("-w0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Not as an argument: the process list must not name the token.
    base64.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(base64.wait_with_output().unwrap().stdout).unwrap()
}

pub(crate) fn web(port: u16, token: &str) -> Remote {
    let token = Some(Token::new(token.to_owned()));
    Remote { url: format!("http://127.0.0.1:{port}/remote.git"), token, branch: "main".to_owned() }
}

fn web_token(port: u16) -> Remote {
    web(port, TOKEN)
}

pub(crate) fn right_token() -> &'static str {
    TOKEN
}

#[tokio::test]
async fn work_goes_from_the_base_to_a_published_branch() {
    let fixture = Fixture::new(&[
        ("run.sh", "echo one\n"),
        ("gone.txt", "gone\n"),
        ("lib/deep/a.txt", "a\n"),
        (".gitignore", "*.pyc\nbuild/\n"),
        ("tracked.pyc", "kept although ignored\n"),
    ]);
    let mirror = fixture.mirror("m").await;
    let base = mirror.fetch_base().await.unwrap();
    assert_eq!(Some(&base), fixture.at("refs/heads/main").as_ref());
    let tree = fixture.path("w");
    mirror.checkout(&base, &tree).await.unwrap();
    assert!(!tree.join(".git").exists());
    let message = "Change things\n\nAnd say why.";
    let nothing = mirror.commit_tree(&tree, &base, message, &author()).await;
    assert!(matches!(nothing, Err(GitError::Unchanged)), "{nothing:?}");

    script_file(&tree.join("run.sh"), "echo two");
    fs::remove_file(tree.join("gone.txt")).unwrap();
    fs::create_dir_all(tree.join("build")).unwrap();
    fs::write(tree.join("build/out"), "no").unwrap();
    fs::write(tree.join("lib/x.pyc"), "no").unwrap();
    fs::write(tree.join("lib/name with \"quotes\"\nand lines"), "yes").unwrap();
    symlink("lib/deep", tree.join("link")).unwrap();
    git(&tree, &["init", "--quiet", "nested"]);
    fs::write(tree.join("nested/inner.txt"), "yes").unwrap();
    git(&tree, &["init", "--quiet", "."]);
    let commit = mirror.commit_tree(&tree, &base, message, &author()).await.unwrap();

    let claim = won(mirror.push_claim(3, b"claim one", "Claim 3", None).await.unwrap());
    let swap = mirror.publish(3, "bzzz/3-change", &commit, b"claim two", "Publish 3", &claim).await;
    let after = won(swap.unwrap());
    assert_eq!(fixture.at("refs/heads/bzzz/3-change").as_ref(), Some(&commit));
    assert_eq!(fixture.at("refs/bzzz/claims/3").as_ref(), Some(&after));
    assert_eq!(mirror.fetch_branch("bzzz/3-change").await.unwrap(), commit);
    let found = mirror.read_claim(3).await.unwrap().unwrap();
    assert_eq!((found.parent, found.claim), (Some(claim), b"claim two".to_vec()));

    let listed = fixture.ask(&["ls-tree", "-r", "-z", "bzzz/3-change"]);
    let entry =
        |line: &str| line.split_once('\t').map(|(head, path)| format!("{} {path}", &head[..6]));
    let listed: Vec<String> = listed.split_terminator('\0').filter_map(entry).collect();
    let expected = [
        "100644 .gitignore",
        "100644 lib/deep/a.txt",
        "100644 lib/name with \"quotes\"\nand lines",
        "120000 link",
        "100644 nested/inner.txt",
        "100755 run.sh",
        "100644 tracked.pyc",
    ];
    assert_eq!(listed, expected);
    let told = fixture.ask(&["log", "-1", "--format=%an|%ae|%P|%B", "bzzz/3-change"]);
    assert_eq!(told.trim(), format!("agent one|agent@localhost|{base}|{message}"));
    let stat = mirror.diff_stat(&base, &commit).await.unwrap();
    assert_eq!(stat.changed, 5);
    let changed = stat.files.iter().find(|file| file.path == "run.sh").unwrap();
    assert_eq!(changed.lines, Some((2, 1)));
}

#[tokio::test]
async fn nothing_that_a_repository_names_is_run_or_converted() {
    let lines = "$Id$\none\ntwo\n";
    let attributes = "* text eol=crlf ident filter=evil diff=evil merge=evil\n";
    let fixture = Fixture::new(&[("a.txt", lines)]);
    let seed = fixture.path("seed");
    fixture.seed(
        ".gitattributes",
        format!("{attributes}w.txt working-tree-encoding=UTF-16\n").as_bytes(),
    );
    let wide = "w\n".encode_utf16().flat_map(u16::to_be_bytes);
    fixture.seed("w.txt", &[0xfe, 0xff].into_iter().chain(wide).collect::<Vec<u8>>());
    git(&seed, &["-c", "core.attributesFile=/dev/null", "add", "--all"]);
    fixture.push_seed("Attributes");
    let mirror = fixture.mirror("m").await;
    let marker = fixture.path("ran");
    let evil = fixture.path("evil.sh");
    script_file(&evil, &format!("echo \"$0 $*\" >> '{}'; cat", marker.display()));

    // Both a mirror and a work tree full of programs, after the mirror was opened and checked.
    let repository = fixture.path("m/mirror.git");
    fs::create_dir_all(repository.join("hooks")).unwrap();
    let hooks = ["reference-transaction", "pre-push", "post-index-change", "post-checkout"];
    for hook in hooks.into_iter().chain(["pre-auto-gc", "post-merge", "pre-commit", "update"]) {
        fs::copy(&evil, repository.join("hooks").join(hook)).unwrap();
    }
    let settings = |evil: &Path| {
        let evil = evil.display();
        format!(
            "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\tfsmonitor = {evil}\n\
             \tsshCommand = {evil}\n\tpager = {evil}\n\teditor = {evil}\n\taskPass = {evil}\n\
             [filter \"evil\"]\n\tsmudge = {evil}\n\tclean = {evil}\n\tprocess = {evil}\n\
             [diff \"evil\"]\n\tcommand = {evil}\n\ttextconv = {evil}\n\
             [credential]\n\thelper = {evil}\n[gc]\n\tauto = 1\n[diff]\n\texternal = {evil}\n"
        )
    };
    fs::write(repository.join("config"), settings(&evil)).unwrap();
    let base = mirror.fetch_base().await.unwrap();
    let tree = fixture.path("w");
    mirror.checkout(&base, &tree).await.unwrap();
    assert_eq!(fs::read_to_string(tree.join("a.txt")).unwrap(), lines);
    let stored = fixture.ask(&["cat-file", "-s", "main:w.txt"]);
    let size = fs::metadata(tree.join("w.txt")).unwrap().len();
    assert_eq!(stored.trim().parse(), Ok(size), "the bytes of the object, not of an encoding");

    git(&fixture.dir.path().join("w"), &["init", "--quiet"]);
    fs::write(tree.join(".git/config"), settings(&evil).replace("bare = true", "bare = false"))
        .unwrap();
    for hook in hooks {
        fs::copy(&evil, tree.join(".git/hooks").join(hook)).unwrap();
    }
    fs::write(tree.join(".git/info/attributes"), attributes).unwrap();
    let same = mirror.commit_tree(&tree, &base, "m", &author()).await;
    assert!(matches!(same, Err(GitError::Unchanged)), "{same:?}");
    fs::write(tree.join("a.txt"), "$Id: x $\r\nthree\r\n").unwrap();
    let commit = mirror.commit_tree(&tree, &base, "m", &author()).await.unwrap();
    mirror.diff_stat(&base, &commit).await.unwrap();
    let claim = won(mirror.push_claim(1, b"one", "Claim", None).await.unwrap());
    let _ = won(mirror.publish(1, "bzzz/1", &commit, b"two", "P", &claim).await.unwrap());
    assert_eq!(fixture.ask(&["show", "bzzz/1:a.txt"]), "$Id: x $\r\nthree\r\n");
    let ran = fs::read_to_string(&marker).unwrap_or_default();
    assert_eq!(ran, "", "a program of the repository ran");

    // Opened again, such a mirror is refused.
    let refused = Mirror::open(&fixture.path("m"), fixture.remote()).await;
    assert!(matches!(refused, Err(GitError::BadMirror { .. })), "{refused:?}");
}

#[tokio::test]
async fn submodules_stay_as_they_are_and_are_never_fetched() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let seed = fixture.path("seed");
    let head = git(&seed, &["rev-parse", "HEAD"]);
    let modules =
        "[submodule \"x\"]\n\tpath = sub\n\turl = ext::sh -c 'touch ran'\n\tupdate = !touch ran\n";
    fixture.seed(".gitmodules", modules.as_bytes());
    git(&seed, &["update-index", "--add", "--cacheinfo", &format!("160000,{},sub", head.trim())]);
    git(&seed, &["add", ".gitmodules"]);
    git(&seed, &["commit", "--quiet", "-m", "Submodule"]);
    git(&seed, &["push", "--quiet", "../remote.git", "HEAD:main"]);
    let mirror = fixture.mirror("m").await;
    let base = mirror.fetch_base().await.unwrap();
    let tree = fixture.path("w");
    mirror.checkout(&base, &tree).await.unwrap();
    assert_eq!(fs::read_dir(tree.join("sub")).unwrap().count(), 0);
    fs::write(tree.join("a.txt"), "b\n").unwrap();
    let commit = mirror.commit_tree(&tree, &base, "m", &author()).await.unwrap();
    let stat = mirror.diff_stat(&base, &commit).await.unwrap();
    assert_eq!(stat.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["a.txt"]);
}

#[tokio::test]
async fn links_never_lead_out_of_the_tree() {
    let fixture = Fixture::new(&[("lib/a.txt", "a\n"), ("sub/f", "f\n")]);
    let seed = fixture.path("seed");
    let outside = fixture.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("f"), "secret of the machine\n").unwrap();
    symlink(&outside, seed.join("absolute")).unwrap();
    symlink("../../outside", seed.join("lib/climbs")).unwrap();
    symlink("here", seed.join("here")).unwrap();
    symlink("here/../outside", seed.join("twisted")).unwrap();
    symlink("../sub/f", seed.join("lib/inside")).unwrap();
    fixture.push_seed("Links");
    let mirror = fixture.mirror("m").await;
    let base = mirror.fetch_base().await.unwrap();
    let tree = fixture.path("w");
    mirror.checkout(&base, &tree).await.unwrap();
    for plain in ["absolute", "lib/climbs", "twisted"] {
        assert!(tree.join(plain).symlink_metadata().unwrap().is_file(), "{plain}");
    }
    assert_eq!(fs::read_to_string(tree.join("lib/climbs")).unwrap(), "../../outside");
    assert_eq!(fs::read_to_string(tree.join("lib/inside")).unwrap(), "f\n");
    assert!(tree.join("lib/inside").symlink_metadata().unwrap().is_symlink());
    let same = mirror.commit_tree(&tree, &base, "m", &author()).await;
    assert!(matches!(same, Err(GitError::Unchanged)), "a link as a file is no change: {same:?}");

    // A directory of the base is swapped for a link out of the tree: nothing is read through it.
    fs::remove_dir_all(tree.join("sub")).unwrap();
    symlink("../outside", tree.join("sub")).unwrap();
    let refused = mirror.commit_tree(&tree, &base, "m", &author()).await;
    assert!(
        matches!(&refused, Err(GitError::BadPath { path, .. }) if path == "sub"),
        "{refused:?}"
    );
    fs::remove_file(tree.join("sub")).unwrap();
    symlink("lib", tree.join("sub")).unwrap();
    let commit = mirror.commit_tree(&tree, &base, "m", &author()).await.unwrap();
    let listed = mirror.diff_stat(&base, &commit).await.unwrap();
    let listed: Vec<_> = listed.files.into_iter().map(|file| file.path).collect();
    assert_eq!(listed, ["sub", "sub/f"]);
}

#[tokio::test]
async fn forged_trees_write_nothing() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let remote = fixture.path("remote.git");
    let blob = feed_git(&remote, &["hash-object", "-w", "--stdin"], b"evil\n").trim().to_owned();
    let link = feed_git(&remote, &["hash-object", "-w", "--stdin"], b"b").trim().to_owned();
    let inner = feed_git(&remote, &["mktree"], format!("100644 blob {blob}\tconfig\n").as_bytes());
    let inner = inner.trim();
    let forged = [
        format!("040000 tree {inner}\t.git\n"),
        format!("040000 tree {inner}\t.GIT\n"),
        format!("040000 tree {inner}\tgit~1\n"),
        format!("040000 tree {inner}\t..\n"),
        format!("120000 blob {link}\ta\n040000 tree {inner}\ta\n"),
    ];
    let mut base = None;
    for (i, tree) in forged.iter().enumerate() {
        let tree = feed_git(&remote, &["mktree"], tree.as_bytes());
        let commit = git(&remote, &["commit-tree", "-m", "forged", tree.trim()]);
        git(&remote, &["update-ref", "refs/heads/main", commit.trim()]);
        let mirror = fixture.mirror("m").await;
        // A refusal by git itself would do as well, but the node's own is what is tested.
        let commit = mirror.fetch_base().await.unwrap();
        assert_ne!(base.replace(commit.clone()), Some(commit.clone()));
        let tree = fixture.path(&format!("w{i}"));
        let refused = mirror.checkout(&commit, &tree).await;
        let named = matches!(refused, Err(GitError::BadPath { .. } | GitError::Io { .. }));
        assert!(named, "tree {i}: {refused:?}");
        assert!(!tree.join("config").exists() && !tree.join(".git").exists());
        assert!(!fixture.path("config").exists());
    }
}

#[tokio::test]
async fn sizes_are_bounded() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let mirror = fixture.mirror("m").await;
    let base = mirror.fetch_base().await.unwrap();
    let tree = fixture.path("w");
    mirror.checkout(&base, &tree).await.unwrap();
    let large = fs::File::create(tree.join("large")).unwrap();
    large.set_len(MAX_FILE_BYTES + 1).unwrap();
    let refused = mirror.commit_tree(&tree, &base, "m", &author()).await;
    assert!(
        matches!(&refused, Err(GitError::TooLarge { what, .. }) if what.contains("large")),
        "{refused:?}"
    );
    large.set_len(MAX_FILE_BYTES).unwrap();
    mirror.commit_tree(&tree, &base, "m", &author()).await.unwrap();
    fs::remove_file(tree.join("large")).unwrap();
    Command::new("mkfifo").arg(tree.join("pipe")).status().unwrap();
    let same = mirror.commit_tree(&tree, &base, "m", &author()).await;
    assert!(matches!(same, Err(GitError::Unchanged)), "a pipe is no file: {same:?}");

    let seed = fixture.path("seed");
    fs::File::create(seed.join("huge")).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
    fixture.push_seed("Huge");
    let commit = mirror.fetch_base().await.unwrap();
    let refused = mirror.checkout(&commit, &fixture.path("w2")).await;
    assert!(
        matches!(&refused, Err(GitError::TooLarge { what, .. }) if what.contains("huge")),
        "{refused:?}"
    );
    assert!(!fixture.path("w2").exists(), "nothing is written before all sizes are known");

    // Noise, so that the pack is as large as the file.
    let mut noise = vec![0; 1 << 20];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    fixture.seed("huge", &noise);
    fixture.push_seed("Noise");
    let limits = Limits { pack_bytes: 256 << 10, ..Limits::default() };
    let small = Mirror::open_with(&fixture.path("m2"), fixture.remote(), limits).await.unwrap();
    let refused = small.fetch_base().await;
    assert!(matches!(refused, Err(GitError::TooLarge { .. })), "{refused:?}");
}

#[tokio::test]
async fn what_a_remote_refuses_is_told_apart() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let open = async |url: &str, branch: &str| {
        let remote = Remote { url: url.to_owned(), token: None, branch: branch.to_owned() };
        Mirror::open(&fixture.path("none"), remote).await.unwrap_err()
    };
    let absent = fixture.path("absent.git").to_str().unwrap().to_owned();
    let error = open(&absent, "main").await;
    assert!(matches!(error, GitError::Missing { .. }), "{error:?}");
    assert!(error.to_string().contains("absent.git"), "{error}");
    let error = open(&fixture.remote().url, "no-such-branch").await;
    assert!(matches!(error, GitError::Missing { .. }), "{error:?}");
    assert!(error.to_string().contains("no-such-branch"), "{error}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = open(&format!("http://127.0.0.1:{closed}/x.git"), "main").await;
    assert!(error.is_transient(), "{error:?}");
    for bad in ["relative/x.git", "ext::touch ran", "-x", "https://u:p@h/x"] {
        let error = open(bad, "main").await;
        assert!(matches!(error, GitError::BadRemote { .. }), "{error:?}");
        assert!(!error.to_string().contains("u:p"), "{error}");
    }
    let mirror = fixture.mirror("m").await;
    fixture.hook("pre-receive", "echo 'no claims here' >&2; exit 1");
    let error = mirror.push_claim(1, b"one", "Claim", None).await.unwrap_err();
    assert!(error.is_refusal(), "{error:?}");
    assert!(error.to_string().contains("no claims here"), "{error}");
    assert_eq!(fixture.at("refs/bzzz/claims/1"), None);
    let error = mirror.push_claim(1, &[0; 5000], "Claim", None).await.unwrap_err();
    assert!(matches!(error, GitError::BadInput { .. }), "{error:?}");
    fs::remove_dir_all(fixture.path("remote.git")).unwrap();
    let error = mirror.fetch_base().await.unwrap_err();
    assert!(matches!(error, GitError::Missing { .. }), "{error:?}");
}

#[tokio::test]
async fn a_remote_that_never_answers_costs_its_time_and_no_more() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let limits = Limits { exchange: Duration::from_millis(700), ..Limits::default() };
    let opened = Mirror::open_with(&fixture.path("m"), web_token(port), limits).await;
    assert!(matches!(opened, Err(GitError::Timeout { .. })), "{opened:?}");
    // The whole group is gone: the helper that held the connection has closed it.
    let (mut held, _) = silent.accept().unwrap();
    held.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut rest = Vec::new();
    let ended = held.read_to_end(&mut rest);
    assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionReset));
}

/// Everything that the process list shows of all processes, a line each: their arguments and their
/// environments, as far as this user may read them.
pub(crate) fn process_list() -> String {
    let mut shown = String::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        for name in ["cmdline", "environ"] {
            if let Ok(line) = fs::read(entry.path().join(name)) {
                shown.push_str(&String::from_utf8_lossy(&line).replace('\n', " "));
                shown.push('\n');
            }
        }
    }
    shown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_neither_listed_nor_told() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let port = serve(fixture.dir.path(), Manner::Serve);
    let done = Arc::new(AtomicBool::new(false));
    let watching = done.clone();
    let watcher = std::thread::spawn(move || {
        let (mut seen, secrets) =
            (0, [TOKEN.to_owned(), encoded(&format!("x-access-token:{TOKEN}"))]);
        while !watching.load(Ordering::SeqCst) {
            let shown = process_list();
            seen += usize::from(shown.contains("git\0push") || shown.contains("remote-http"));
            for secret in &secrets {
                let line = shown.lines().find(|line| line.contains(secret.as_str()));
                assert_eq!(line, None, "the process list shows the token");
            }
        }
        seen
    });
    let mirror = Mirror::open(&fixture.path("m"), web_token(port)).await.unwrap();
    mirror.fetch_base().await.unwrap();
    let mut last = None;
    for claim in 0..6u8 {
        last = Some(won(mirror.push_claim(1, &[claim], "C", last.as_ref()).await.unwrap()));
    }
    assert_eq!(fixture.at("refs/bzzz/claims/1"), last);
    done.store(true, Ordering::SeqCst);
    let seen = watcher.join().unwrap();
    assert!(seen > 0, "the watcher never saw git at work");

    let wrong = Mirror::open(&fixture.path("m2"), web(port, "wrong-token-abc")).await.unwrap_err();
    assert!(wrong.is_refusal(), "{wrong:?}");
    assert!(!format!("{wrong:?} {wrong}").contains("wrong-token-abc"));
    let port = serve(fixture.dir.path(), Manner::RefuseAndRepeat);
    let error = Mirror::open(&fixture.path("m3"), web_token(port)).await.unwrap_err();
    assert!(error.is_refusal(), "{error:?}");
    let told = format!("{error:?} {error}");
    assert!(
        !told.contains(TOKEN) && !told.contains(&encoded(&format!("x-access-token:{TOKEN}"))),
        "{told}"
    );
    let port = serve(fixture.dir.path(), Manner::Redirect);
    let error = Mirror::open(&fixture.path("m4"), web_token(port)).await.unwrap_err();
    assert!(error.is_refusal(), "a redirection is not followed: {error:?}");
}

#[tokio::test]
async fn repositories_of_either_hash_are_served() {
    for (format, digits) in [("sha1", 40), ("sha256", 64)] {
        let fixture = Fixture::of_format(format, &[("a.txt", "a\n")]);
        let mirror = fixture.mirror("m").await;
        let base = mirror.fetch_base().await.unwrap();
        assert_eq!(base.as_str().len(), digits);
        let tree = fixture.path("w");
        mirror.checkout(&base, &tree).await.unwrap();
        fs::write(tree.join("a.txt"), "b\n").unwrap();
        let commit = mirror.commit_tree(&tree, &base, "m", &author()).await.unwrap();
        let claim = won(mirror.push_claim(1, b"one", "C", None).await.unwrap());
        let _ = won(mirror.publish(1, "bzzz/1", &commit, b"two", "P", &claim).await.unwrap());
        assert_eq!(fixture.ask(&["show", "bzzz/1:a.txt"]), "b\n");
        // Opened again, it needs no remote.
        fs::rename(fixture.path("remote.git"), fixture.path("away.git")).unwrap();
        let again = fixture.mirror("m").await;
        assert_eq!(again.diff_stat(&base, &commit).await.unwrap().changed, 1);
    }
}
