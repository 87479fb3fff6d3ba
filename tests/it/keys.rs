//! The key of a node: protected, copied to another disk, and rotated, with real processes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use bzzz::engine::Engine;
use bzzz::kernel::identity::AuthorId;
use bzzz::node::key::KeyFile;
use bzzz::node::{Home, clock};
use serde_json::Value;

use crate::running::{BZZZ, Up, engine, failed, said};

const HANG: Duration = Duration::from_secs(90);

/// The homes of a swarm on this machine.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self { dir: tempfile::tempdir().unwrap() };
        stage.secret("passphrase", "four words are enough\n");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn home(&self, name: &str) -> Home {
        Home::at(&self.path(name))
    }

    fn secret(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, home: &str, args: &[&str]) -> Output {
        let mut command = Command::new(BZZZ);
        command.arg("--home").arg(self.path(home)).current_dir(self.dir.path());
        command.args(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs what has to succeed.
    fn said(&self, home: &str, args: &[&str]) -> String {
        said(self.run(home, args), args)
    }

    fn json(&self, home: &str, args: &[&str]) -> Value {
        let said = self.said(home, &[args, &["--json"]].concat());
        serde_json::from_str(&said).unwrap()
    }

    /// Runs what has to fail with status 1, and gives what it says.
    fn fails(&self, home: &str, args: &[&str]) -> String {
        failed(self.run(home, args), args)
    }

    /// Founds a swarm, or joins the one of another home; gives the node's key.
    fn init(&self, home: &str, founder: Option<&str>, more: &[&str]) -> String {
        let swarm = founder.map(|home| self.home(home).swarm().unwrap().to_string());
        let mut args = vec!["init", "--name", home, "--set", "net.mdns=false"];
        args.extend(["--set", "net.listen=/ip4/127.0.0.1/tcp/0"]);
        args.extend(["--set", "agent.work=false", "--set", "sandbox.kind=process"]);
        if let Some(swarm) = &swarm {
            args.extend(["--join", swarm]);
        }
        args.extend(more);
        let made = self.json(home, &args);
        let key = made["key"].as_str().unwrap().to_owned();
        if let Some(founder) = founder {
            self.said(founder, &["member", "admit", &key, "--name", home]);
        }
        key
    }

    fn up(&self, home: &str, peers: &[&str], more: &[&str]) -> Up {
        let peers = format!("net.peers={}", peers.join(","));
        let mut command = Command::new(BZZZ);
        command.arg("--home").arg(self.path(home));
        let args = [&["--set", peers.as_str()], more].concat();
        Up::start(command, &args, &self.path(&format!("{home}.log")))
    }

    fn log(&self, home: &str) -> String {
        fs::read_to_string(self.path(&format!("{home}.log"))).unwrap()
    }

    /// Where a running node listens.
    fn address(&self, home: &str) -> String {
        let mut found = None;
        wait("an address", || {
            let status = self.json(home, &["status"]);
            found = status["listening"][0].as_str().map(str::to_owned);
            found.is_some()
        });
        found.unwrap()
    }

    /// How many events of a log a running node holds.
    fn length(&self, home: &str, key: &str) -> u64 {
        let status = self.json(home, &["status"]);
        let logs = status["logs"].as_array().unwrap();
        let log = logs.iter().find(|log| log["author"] == key);
        log.map_or(0, |log| log["length"].as_u64().unwrap())
    }

    fn digest(&self, home: &str) -> Value {
        self.json(home, &["status"])["digest"].clone()
    }

    fn members(&self, home: &str) -> Vec<Value> {
        self.json(home, &["member", "list"])["members"].as_array().unwrap().clone()
    }

    fn member(&self, home: &str, key: &str) -> Option<Value> {
        self.members(home).into_iter().find(|member| member["key"] == key)
    }

    fn key(&self, home: &str) -> String {
        self.home(home).author().unwrap().to_string()
    }

    /// The engine of a stopped node's home, whose key has no passphrase.
    fn engine(&self, home: &str) -> Engine {
        engine(&self.home(home))
    }
}

fn wait(what: &str, mut ready: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < HANG, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
    begun.elapsed()
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

#[test]
fn a_key_file_is_protected_changed_and_opened_without_a_terminal() {
    let stage = Stage::new();
    let (one, two) = (stage.path("passphrase"), stage.secret("two", "another one\n"));
    let one = one.to_str().unwrap();
    let key = stage.init("a", None, &["--new-passphrase-file", one]);
    let file = stage.path("a/key");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"), "{text}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // To look, no passphrase is needed; to write or to run, it is.
    let shown = stage.json("a", &["key", "show"]);
    assert_eq!((&shown["key"], &shown["passphrase"]), (&Value::from(&*key), &Value::Bool(true)));
    assert_eq!(stage.members("a").len(), 1);
    let admit = ["member", "admit", &"11".repeat(32)];
    for args in [&admit[..], &["up"], &["key", "rotate"], &["export", "x.bundle"]] {
        let said = stage.fails("a", args);
        assert!(said.contains("a passphrase is needed") || said.contains("A passphrase"), "{said}");
        assert!(said.contains("BZZZ_NODE_PASSPHRASE_FILE"), "{said}");
    }
    let setting = format!("node.passphrase_file={one}");
    stage.up("a", &[], &["--set", &setting]).stop();
    let wrong = stage.fails("a", &["up", "--set", &format!("node.passphrase_file={two}")]);
    assert!(wrong.contains("the passphrase is wrong"), "{wrong}");
    fs::set_permissions(stage.path("two"), fs::Permissions::from_mode(0o644)).unwrap();
    let open = stage.fails("a", &["up", "--set", &format!("node.passphrase_file={two}")]);
    assert!(open.contains("chmod 600"), "{open}");
    fs::set_permissions(stage.path("two"), fs::Permissions::from_mode(0o600)).unwrap();

    // Changed, then removed; the old passphrase comes from the environment.
    let protect = |with: &str, args: &[&str]| {
        let mut command = Command::new(BZZZ);
        command.arg("--home").arg(stage.path("a")).args(["key", "passphrase"]).args(args);
        let output = command.env("BZZZ_NODE_PASSPHRASE_FILE", with).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    protect(one, &["--new-passphrase-file", &two]);
    stage.up("a", &[], &["--set", &format!("node.passphrase_file={two}")]).stop();
    protect(&two, &["--remove"]);
    assert_eq!(stage.json("a", &["key", "show"])["passphrase"], false);
    assert_eq!(stage.key("a"), key);
    stage.up("a", &[], &[]).stop();

    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let mode = stage.fails("a", &["up"]);
    assert!(mode.contains("mode 640") && mode.contains("chmod 600"), "{mode}");
}

#[test]
fn a_key_moves_to_an_empty_disk_and_its_log_comes_back() {
    let stage = Stage::new();
    let one = stage.path("passphrase");
    let one = one.to_str().unwrap();
    stage.init("a", None, &[]);
    let key = stage.init("b", Some("a"), &[]);
    let a = stage.up("a", &[], &[]);
    let address = stage.address("a");
    let b = stage.up("b", &[&address], &[]);
    wait("the first event", || stage.length("a", &key) > 0);
    b.stop();
    let before = stage.length("a", &key);

    let export = ["key", "export", "b.key", "--new-passphrase-file", one];
    stage.said("b", &export);
    let sealed = fs::read_to_string(stage.path("b.key")).unwrap();
    assert!(sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"), "{sealed}");
    let again = stage.fails("b", &export);
    assert!(again.contains("is there already"), "{again}");
    let plain = stage.run("b", &["key", "export", "-", "--plain"]);
    assert!(String::from_utf8_lossy(&plain.stderr).contains("Warning"), "{plain:?}");
    assert!(plain.stdout.starts_with(b"bzzz-key-v1\n"));

    fs::remove_dir_all(stage.path("b")).unwrap();
    let listen = ["--set", "net.listen=/ip4/127.0.0.1/tcp/0", "--set", "net.mdns=false"];
    let work = ["--set", "agent.work=false", "--set", "sandbox.kind=process"];
    let import = ["key", "import", "b.key", "--name", "b", "--passphrase-file", one];
    let import = [&import[..], &listen, &work].concat();
    let said = stage.said("b", &import);
    assert!(said.contains(&key) && said.contains("fork"), "{said}");
    let taken = stage.fails("b", &import);
    assert!(taken.contains("--replace"), "{taken}");
    assert!(KeyFile::read(&stage.path("b/key")).unwrap().is_locked(), "it keeps its passphrase");

    // What it said comes back before it says more.
    let setting = format!("node.passphrase_file={one}");
    let b = stage.up("b", &[&address], &["--set", &setting]);
    wait("the next event", || stage.length("a", &key) > before);
    wait("the same log", || stage.digest("a") == stage.digest("b"));
    for home in ["a", "b"] {
        assert_eq!(stage.member(home, &key).unwrap()["forked_at"], Value::Null);
    }
    b.stop();
    a.stop();

    // Another key is put in the place of this one only on request, and the old one is kept.
    let other = stage.init("c", Some("a"), &[]);
    stage.said("c", &["key", "export", "c.key", "--plain"]);
    stage.said("b", &["key", "import", "c.key", "--replace"]);
    assert_eq!(stage.key("b"), other);
    assert!(KeyFile::read(&stage.path("b/key.old-1")).unwrap().is_locked());
    let same = stage.fails("b", &["key", "import", "c.key", "--replace"]);
    assert!(same.contains("already"), "{same}");
}

#[test]
fn a_rotated_key_is_followed_everywhere_while_the_others_run() {
    let stage = Stage::new();
    stage.init("a", None, &[]);
    let old = stage.init("b", Some("a"), &[]);
    let c_key = stage.init("c", Some("a"), &[]);
    let a = stage.up("a", &[], &[]);
    let address = stage.address("a");
    let c = stage.up("c", &[&address], &[]);
    let b = stage.up("b", &[&address], &[]);
    wait("everybody", || stage.length("a", &old) > 0 && stage.length("c", &old) > 0);
    let refused = stage.fails("b", &["key", "rotate"]);
    assert!(refused.contains("runs"), "{refused}");
    b.stop();
    copy(&stage.path("b"), &stage.path("thief"));

    let rotated = stage.json("b", &["key", "rotate"]);
    let new = rotated["new"].as_str().unwrap().to_owned();
    assert_eq!((&rotated["old"], stage.key("b")), (&Value::from(&*old), new.clone()));
    assert_eq!(stage.members("a").iter().filter(|m| m["key"] == *new).count(), 0);
    let b = stage.up("b", &[&address], &[]);
    // It connects as a stranger, and is followed.
    let took = wait("the new key's first event", || {
        ["a", "c"].iter().all(|home| stage.length(home, &new) > 0)
    });
    println!("everybody held the new key's first event {} ms after its start", took.as_millis());
    wait("one state", || {
        let digest = stage.digest("a");
        digest == stage.digest("b") && digest == stage.digest("c")
    });
    let end = stage.length("a", &old);
    for home in ["a", "b", "c"] {
        let (before, after) = (stage.member(home, &old), stage.member(home, &new));
        let (before, after) = (before.unwrap(), after.unwrap());
        assert_eq!(
            (&before["successor"], &before["revoked_at"]),
            (&new.clone().into(), &end.into())
        );
        assert_eq!((&after["follows"], &after["role"]), (&old.clone().into(), &"agent".into()));
    }
    let list = stage.said("c", &["member", "list"]);
    assert!(list.contains(&format!("rotated to {}", &new[..10])), "{list}");
    assert!(list.contains(&format!("follows {}", &old[..10])), "{list}");

    // The old key adds nothing, whoever has it: a copy from before the rotation is refused as a
    // stranger, and what it says in the end nobody takes in.
    let held = stage.engine("thief").tip(&old.parse().unwrap()).0;
    let thief = stage.up("thief", &[&address], &["--set", "net.own_log_seconds=1"]);
    wait("what the thief says", || stage.length("thief", &old) > held);
    wait("the thief's connection", || {
        let peers = stage.json("a", &["peers"]);
        peers.as_array().unwrap().iter().any(|peer| peer["node"] == *old)
    });
    std::thread::sleep(Duration::from_secs(8));
    thief.stop();
    for home in ["a", "b", "c"] {
        assert_eq!(stage.length(home, &old), end, "{home}");
        let member = stage.member(home, &old).unwrap();
        assert_eq!((&member["forked_at"], &member["revoked_at"]), (&Value::Null, &end.into()));
    }

    // The members' logs go on as before.
    c.stop();
    let held = stage.length("b", &c_key);
    let c = stage.up("c", &[&address], &[]);
    wait("an event of c", || stage.length("b", &c_key) > held);
    for node in [a, b, c] {
        node.stop();
    }

    // An auditor sees it as well.
    stage.said("c", &["export", "swarm.bundle"]);
    let mut verify = Command::new(env!("CARGO_BIN_EXE_bzzz-verify"));
    let verified = verify.arg(stage.path("swarm.bundle")).output().unwrap();
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.success(), "{said}");
    assert!(said.contains(&format!("{} ended its log and goes on as {}", &old[..10], &new[..10])));
}

#[test]
fn an_administrator_rotates_twice_unseen_and_keeps_its_rights() {
    let stage = Stage::new();
    let first = stage.init("a", None, &[]);
    let beta = stage.init("b", Some("a"), &[]);
    let a = stage.up("a", &[], &[]);
    let b = stage.up("b", &[&stage.address("a")], &[]);
    wait("b's first event", || stage.length("a", &beta) > 0);
    a.stop();
    // Both rotations happen where nobody sees them.
    stage.said("a", &["key", "rotate"]);
    stage.said("a", &["key", "rotate"]);
    let third = stage.key("a");
    let address = stage.address("b");
    let a = stage.up("a", &[&address], &[]);
    wait("the third key", || stage.length("b", &third) > 0);
    let other = stage.init("c", Some("a"), &[]);
    wait("the member that it admits", || stage.member("b", &other).is_some());
    let member = stage.member("b", &third).unwrap();
    assert_eq!(member["administrator"], true);
    assert_eq!(stage.member("b", &first).unwrap()["successor"].as_str().map(str::len), Some(64));
    wait("one state", || stage.digest("a") == stage.digest("b"));
    a.stop();
    b.stop();
}

/// Where a rotation can end early: after each of its durable steps.
#[test]
fn a_rotation_that_ends_early_is_completed_or_undone() {
    let stage = Stage::new();
    let first = stage.init("a", None, &[]);
    let home = stage.home("a");
    let next = stage.path("a/key.next");
    // The new key was written, and nothing said: it is undone by a start, and replaced by a
    // rotation.
    let present = home.unlock(None).unwrap();
    let unused = home.make_next(&present).unwrap().key.author().to_string();
    let protect = stage.fails("a", &["key", "passphrase", "--remove"]);
    assert!(protect.contains("rotation") && protect.contains("Hint"), "{protect}");
    stage.up("a", &[], &[]).stop();
    assert!(!next.exists() && stage.log("a").contains("undone"), "{}", stage.log("a"));
    assert_eq!(stage.key("a"), first);
    home.make_next(&present).unwrap();
    let rotated = stage.json("a", &["key", "rotate"]);
    assert_eq!(rotated["completed"], false);
    let second = stage.key("a");
    assert!(second != first && second != unused && !next.exists());

    // It was said, and the key file is the old one: the rotation completes it.
    let said = || {
        let present = home.unlock(None).unwrap();
        let next = home.make_next(&present).unwrap().key;
        stage.engine("a").rotate(&next, clock::wall_ms()).unwrap();
        next.author().to_string()
    };
    let third = said();
    assert_eq!(stage.key("a"), second);
    let rotated = stage.json("a", &["key", "rotate"]);
    assert_eq!((&rotated["completed"], stage.key("a")), (&Value::Bool(true), third));
    // So does a start.
    let fourth = said();
    stage.up("a", &[], &[]).stop();
    assert!(stage.log("a").contains("is complete"), "{}", stage.log("a"));
    assert_eq!(stage.key("a"), fourth);
    // Without the key that follows, the log has ended.
    let fifth = said();
    fs::remove_file(&next).unwrap();
    for args in [&["up"][..], &["key", "rotate"]] {
        let ended = stage.fails("a", args);
        assert!(ended.contains(&format!("rotated to {fifth}")), "{ended}");
    }
}

/// The process is killed at moments that are spread over its run.
#[test]
fn a_rotation_that_is_killed_leaves_a_key_that_works() {
    let stage = Stage::new();
    stage.init("a", None, &[]);
    let begun = Instant::now();
    stage.said("a", &["key", "rotate"]);
    let whole = begun.elapsed();
    let (mut completed, mut undone) = (0, 0);
    for n in 0..24u32 {
        let before = stage.key("a");
        let mut command = Command::new(BZZZ);
        command.arg("--home").arg(stage.path("a")).args(["key", "rotate"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * n / 20);
        let _ = child.kill();
        child.wait().unwrap();
        let members = stage.members("a");
        let said = members.iter().any(|m| m["key"] == *before && !m["successor"].is_null());
        let rotated = stage.json("a", &["key", "rotate"]);
        match (said, rotated["completed"] == true) {
            (true, _) => completed += 1,
            (false, false) => undone += 1,
            (false, true) => panic!("it completed what was not said"),
        }
        let key = stage.key("a");
        assert_eq!(rotated["new"], *key);
        let members = stage.members("a");
        let present: Vec<_> = members.iter().filter(|m| m["revoked_at"].is_null()).collect();
        assert_eq!(present.len(), 1, "one key is present");
        assert_eq!(present[0]["key"], *key);
        assert_eq!(present[0]["administrator"], true);
    }
    println!("a rotation takes {whole:?}; killed 24: {completed} had been said, {undone} not");
    assert!(undone > 0, "none was killed early enough");
}

/// A passphrase is changed, and the process killed, again and again: the key is never lost.
#[test]
fn a_change_of_the_passphrase_that_is_killed_loses_no_key() {
    let stage = Stage::new();
    let one = stage.path("passphrase").to_str().unwrap().to_owned();
    let key = stage.init("a", None, &[]);
    let home = stage.home("a");
    let passphrase = bzzz::node::Passphrase::from_file(Path::new(&one)).unwrap();
    for n in 0..12u64 {
        let locked = KeyFile::read(&home.key_file()).unwrap().is_locked();
        let mut command = Command::new(BZZZ);
        command.arg("--home").arg(stage.path("a")).args(["key", "passphrase"]);
        match locked {
            true => command.arg("--remove"),
            false => command.args(["--new-passphrase-file", &one]),
        };
        command.env("BZZZ_NODE_PASSPHRASE_FILE", &one);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(100 * n));
        let _ = child.kill();
        child.wait().unwrap();
        let file = KeyFile::read(&home.key_file()).unwrap();
        let found = file.unlock(Some(&passphrase)).unwrap().key.author();
        assert_eq!(found.to_string(), key);
        assert_eq!(home.author().unwrap(), key.parse::<AuthorId>().unwrap());
    }
}
