//! Forks and restores with whole nodes: RocksDB on disk, libp2p on loopback.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bzzz::engine::{Engine, EngineError, Stop};
use bzzz::kernel::event::Draft;
use bzzz::kernel::event::kinds::{ForkResolved, MemberAdmitted, Role};
use bzzz::kernel::identity::{AuthorId, SwarmId};
use bzzz::kernel::log::ForkProof;
use bzzz::node::config::{Config, literal};
use bzzz::node::{Home, Node, clock};
use tempfile::TempDir;
use tokio::runtime::Runtime;

fn config(name: &str, peers: &[String], own_log_seconds: u64) -> String {
    let peers: Vec<String> = peers.iter().map(|peer| literal(peer)).collect();
    let values = [
        ("node.name", literal(name)),
        ("net.listen", "[\"/ip4/127.0.0.1/tcp/0\"]".to_owned()),
        ("net.peers", format!("[{}]", peers.join(", "))),
        ("net.mdns", "false".to_owned()),
        ("net.own_log_seconds", own_log_seconds.to_string()),
        ("agent.work", "false".to_owned()),
        ("sandbox.kind", literal("process")),
    ];
    let values: Vec<_> = values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Config::render(&values, &[]).unwrap()
}

fn wait(what: &str, mut ready: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    begun.elapsed()
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    assert!(status.success());
}

struct Stage {
    dir: TempDir,
    runtime: Runtime,
    swarm: SwarmId,
    founder: Node,
    address: Vec<String>,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let home = Home::at(&dir.path().join("alpha"));
        let (_, swarm) = home.found("test", &config("alpha", &[], 10)).unwrap();
        let founder = start(&runtime, &home);
        let address = address(&runtime, &founder);
        Self { dir, runtime, swarm, founder, address }
    }

    fn home(&self, name: &str) -> Home {
        Home::at(&self.dir.path().join(name))
    }

    /// A new member's home.
    fn member(&self, name: &str) -> (Home, AuthorId) {
        let home = self.home(name);
        let member = home.join(self.swarm, &config(name, &self.address, 10)).unwrap();
        let name = name.to_owned();
        let admitted = MemberAdmitted { member, role: Role::Agent, name };
        let draft = vec![Draft::general(admitted)];
        self.founder.engine().append(draft, clock::wall_ms()).unwrap();
        (home, member)
    }

    fn start(&self, home: &Home) -> Node {
        start(&self.runtime, home)
    }

    fn stop(&self, node: Node) {
        self.runtime.block_on(node.stop());
    }

    fn end(self) {
        let Self { dir, runtime, founder, .. } = self;
        runtime.block_on(founder.stop());
        drop(dir);
    }
}

fn start(runtime: &Runtime, home: &Home) -> Node {
    let config = Config::load(&home.config_file(), &BTreeMap::new(), &[]).unwrap().config;
    runtime.block_on(Node::start(home.clone(), &config)).unwrap()
}

fn address(runtime: &Runtime, node: &Node) -> Vec<String> {
    let source = node.status_source();
    wait("an address", || !runtime.block_on(source.status()).listening.is_empty());
    runtime.block_on(source.status()).listening
}

fn length(engine: &Engine, author: &AuthorId) -> u64 {
    engine.tip(author).0
}

/// Waits until the node said that it started, which is its first append.
fn said_hello(node: &Node, before: u64) {
    let me = node.engine().me();
    wait("the first event", || length(node.engine(), &me) > before);
}

/// `bzzz doctor fork` writes the proof beside the running node, and `bzzz-verify fork` checks it
/// from the file alone; of a file that was changed, and of another author's log, it says no.
fn proven_by_the_programs(home: &Home, dir: &Path, author: &AuthorId) {
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).env_clear().current_dir(dir).output();
        let output = output.unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
        (output.status.code(), said.concat())
    };
    let verify = |args: &[&str]| run(env!("CARGO_BIN_EXE_bzzz-verify"), args);
    let (key, at) = (author.to_string(), home.dir().to_str().unwrap());
    let doctor = ["--home", at, "doctor", "fork", &key, "--out", "beta.fork"];
    let (status, said) = run(env!("CARGO_BIN_EXE_bzzz"), &doctor);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains(&format!("The log of {key} forks at index 1.")), "{said}");
    let (status, said) = verify(&["fork", "beta.fork", "--author", &key]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&format!("Verified: {key} signed two histories")), "{said}");
    assert!(said.contains("They differ from index 1 on."), "{said}");
    let other = home.author().unwrap().to_string();
    let (status, said) = verify(&["fork", "beta.fork", "--author", &other]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("FAILED proof-author"), "{said}");
    let mut bytes = fs::read(dir.join("beta.fork")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(dir.join("changed.fork"), bytes).unwrap();
    let (status, said) = verify(&["fork", "changed.fork"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("FAILED "), "{said}");
}

#[test]
fn an_old_copy_of_a_store_fetches_what_it_said_since_before_it_appends() {
    let stage = Stage::new();
    let (home, beta) = stage.member("beta");
    let node = stage.start(&home);
    said_hello(&node, 0);
    stage.stop(node);
    copy(home.dir(), &stage.dir.path().join("backup"));
    for starts in 2..5 {
        let node = stage.start(&home);
        said_hello(&node, starts - 1);
        let founder = stage.founder.engine();
        wait("the founder", || length(founder, &beta) == length(node.engine(), &beta));
        stage.stop(node);
    }
    let held = length(stage.founder.engine(), &beta);
    assert_eq!(held, 4);
    // The disk is lost, and an old copy restored.
    fs::remove_dir_all(home.dir()).unwrap();
    copy(&stage.dir.path().join("backup"), home.dir());
    let node = stage.start(&home);
    said_hello(&node, held);
    let founder = stage.founder.engine();
    wait("the founder", || founder.tip(&beta) == node.engine().tip(&beta));
    assert_eq!(length(founder, &beta), held + 1, "all of it, and its hello");
    founder.read(|state| assert_eq!(state.members.members[&beta].forked_at(), None));
    stage.stop(node);
    stage.end();
}

#[test]
fn a_node_that_lost_its_disk_fetches_its_own_log_back() {
    let stage = Stage::new();
    let (home, beta) = stage.member("beta");
    for starts in 0..3 {
        let node = stage.start(&home);
        said_hello(&node, starts);
        let founder = stage.founder.engine();
        wait("the founder", || length(founder, &beta) == length(node.engine(), &beta));
        stage.stop(node);
    }
    fs::remove_dir_all(home.dir().join("store")).unwrap();
    let node = stage.start(&home);
    said_hello(&node, 3);
    let founder = stage.founder.engine();
    wait("the founder", || founder.tip(&beta) == node.engine().tip(&beta));
    assert_eq!(length(founder, &beta), 4);
    founder.read(|state| assert_eq!(state.members.members[&beta].forked_at(), None));
    stage.stop(node);
    stage.end();
}

#[test]
fn two_nodes_with_one_key_are_cut_off_everywhere_and_one_branch_is_made_to_stand() {
    let stage = Stage::new();
    let (home, beta) = stage.member("beta");
    let (third, _) = stage.member("gamma");
    let node = stage.start(&home);
    said_hello(&node, 0);
    let founder = stage.founder.engine();
    wait("the founder", || length(founder, &beta) == length(node.engine(), &beta));
    stage.stop(node);
    // A copy of beta's home that runs beside it, and that does not wait for anybody.
    let twin_home = stage.home("twin");
    copy(home.dir(), twin_home.dir());
    fs::write(twin_home.config_file(), config("twin", &[], 0)).unwrap();
    let twin = stage.start(&twin_home);
    said_hello(&twin, 1);
    let node = stage.start(&home);
    said_hello(&node, 1);
    wait("the founder", || length(founder, &beta) == 2);
    // Gamma meets the twin and the founder, who know nothing of each other's copy.
    let mut peers = stage.address.clone();
    peers.extend(address(&stage.runtime, &twin));
    fs::write(third.config_file(), config("gamma", &peers, 10)).unwrap();
    let gamma = stage.start(&third);
    let forked = |engine: &Engine| {
        engine.read(|state| state.members.members.get(&beta).and_then(|m| m.forked_at()))
    };
    let took = wait("the proof", || {
        [gamma.engine(), founder].iter().all(|engine| forked(engine) == Some(1))
    });
    println!("gamma and the founder held the proof {} ms after gamma's start", took.as_millis());
    // The proof stands alone in a file.
    let proof = founder.fork_proofs(&beta).unwrap().remove(0);
    let file = ForkProof::from_file(&proof.to_file()).unwrap();
    assert_eq!(file.verify(&file.swarm()).map(|fork| (fork.author, fork.index)), Ok((beta, 1)));
    proven_by_the_programs(&third, stage.dir.path(), &beta);
    // Both nodes with the key learn of it, and say nothing more.
    for silent in [&node, &twin] {
        wait("silence", || {
            let may = silent.engine().may_append();
            matches!(may, Err(EngineError::Stopped(Stop::Forked { index: 1 })))
        });
    }
    // The administrator names the branch of the node; the twin's is dropped, also by the twin.
    let branch = node.engine().branch(&beta, 1).unwrap().unwrap();
    let (root, reason) = (branch.root_behind().unwrap(), "a copy ran".to_owned());
    let resolved = ForkResolved { author: beta, length: 2, root, reason };
    founder.append(vec![Draft::general(resolved)], clock::wall_ms()).unwrap();
    wait("the branch that stands", || {
        let stands = node.engine().tip(&beta);
        [gamma.engine(), founder].iter().all(|e| forked(e).is_none() && e.tip(&beta) == stands)
    });
    wait("the node to go on", || node.engine().may_append().is_ok());
    wait("the twin's loss", || {
        matches!(twin.engine().may_append(), Err(EngineError::Stopped(Stop::Lost)))
    });
    for node in [node, twin, gamma] {
        stage.stop(node);
    }
    stage.end();
}
