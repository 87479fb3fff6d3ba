//! A secret that a command printed, and three whole nodes with RocksDB that forget it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bzzz::engine::Engine;
use bzzz::kernel::event::kinds::{
    ClaimIntended, ClaimWon, CommandFinished, CommandIntended, CommandOutput, CommandStatus,
    MemberAdmitted, Role, SandboxOpened, Stream, TaskSeen,
};
use bzzz::kernel::event::{Draft, Event, EventId, Payload, TaskId};
use bzzz::kernel::fold::SwarmState;
use bzzz::kernel::identity::AuthorId;
use bzzz::kernel::log::Hash;
use bzzz::node::config::{Config, literal};
use bzzz::node::{Home, Node, clock};

use crate::store::erase::holds;

const SECRET: &str = "correct-horse-7f3a9c51d2e8-battery-staple";

fn config(name: &str, peers: &[String]) -> String {
    let peers: Vec<String> = peers.iter().map(|peer| literal(peer)).collect();
    let values = [
        ("node.name", literal(name)),
        ("node.witness_seconds", "1".to_owned()),
        ("net.listen", "[\"/ip4/127.0.0.1/tcp/0\"]".to_owned()),
        ("net.peers", format!("[{}]", peers.join(", "))),
        ("net.mdns", "false".to_owned()),
        ("agent.work", "false".to_owned()),
        ("agent.review", "false".to_owned()),
        ("sandbox.kind", literal("process")),
    ];
    let values: Vec<_> = values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Config::render(&values, &[]).unwrap()
}

fn load(home: &Home) -> Config {
    Config::load(&home.config_file(), &BTreeMap::new(), &[]).unwrap().config
}

fn wait(what: &str, mut ready: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(120), "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn say(engine: &Engine, task: TaskId, payload: impl Into<Payload>) -> EventId {
    engine.append(vec![Draft::about(task, payload)], clock::wall_ms()).unwrap().ids[0]
}

/// A task whose command prints the secret; gives the index of the output.
fn work(engine: &Engine) -> u64 {
    let (repository, task) = ("sample".to_owned(), TaskId::of("sample", 1));
    let seen = TaskSeen {
        repository,
        issue: 1,
        title: "print it".to_owned(),
        body: String::new(),
        labels: Vec::new(),
        depends_on: Vec::new(),
        open: true,
    };
    say(engine, task, seen);
    let intended = ClaimIntended { epoch: 1, lease_ms: 60_000, process: 1, previous: None };
    let intent = say(engine, task, intended);
    let commit = |digit: &str| digit.repeat(40).parse().unwrap();
    say(engine, task, ClaimWon { intent, epoch: 1, commit: commit("a") });
    let (sandbox, base) = ("process".to_owned(), commit("b"));
    say(engine, task, SandboxOpened { epoch: 1, process: 1, sandbox, base });
    let command = CommandIntended {
        epoch: 1,
        step: 0,
        reasoning: "look".to_owned(),
        command: "cat .env".to_owned(),
        seconds: 5,
    };
    let command = say(engine, task, command);
    let bytes = format!("PASSWORD={SECRET}\n").into_bytes();
    let total = bytes.len() as u64;
    let output =
        CommandOutput { epoch: 1, command, part: 0, stream: Stream::Stdout, at_ms: 3, bytes };
    let output = say(engine, task, output);
    // The node says things of its own meanwhile.
    let events = engine.events(engine.me(), 0, 1000).unwrap();
    let seq = events.iter().find(|event| event.id == output).unwrap().header.seq;
    let finished = CommandFinished {
        epoch: 1,
        command,
        status: CommandStatus::Exited(0),
        duration_ms: 4,
        output_total: total,
        output_kept: total,
        output_hash: Hash([7; 32]),
    };
    say(engine, task, finished);
    seq
}

fn excerpt(engine: &Engine) -> Option<Vec<u8>> {
    engine.read(|state| {
        let work = &state.task("sample", 1)?.current()?.work;
        Some(work.commands.first()?.excerpt.clone())
    })
}

fn start(runtime: &tokio::runtime::Runtime, home: &Home) -> Node {
    runtime.block_on(Node::start(home.clone(), &load(home))).unwrap()
}

fn admit(engine: &Engine, member: AuthorId, name: &str) {
    let admitted = MemberAdmitted { member, role: Role::Agent, name: name.to_owned() };
    engine.append(vec![Draft::general(admitted)], clock::wall_ms()).unwrap();
}

fn run(program: &str, args: &[&str]) -> (i32, String) {
    let output = Command::new(program).args(args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn an_erased_secret_is_in_no_file_of_any_node_and_the_bundle_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let homes = ["alpha", "beta", "gamma"].map(|name| Home::at(&dir.path().join(name)));
    let (_, swarm) = homes[0].found("demo", &config("alpha", &[])).unwrap();
    let mut nodes = vec![start(&runtime, &homes[0])];
    let source = nodes[0].status_source();
    wait("an address", || !runtime.block_on(source.status()).listening.is_empty());
    let address = runtime.block_on(source.status()).listening;
    for (home, name) in homes[1..].iter().zip(["beta", "gamma"]) {
        let key = home.join(swarm, &config(name, &address)).unwrap();
        admit(nodes[0].engine(), key, name);
        nodes.push(start(&runtime, home));
    }
    let beta = nodes[1].engine().me();
    wait("the admission", || {
        nodes[1].engine().read(|state| state.members.present().contains(&beta))
    });
    let seq = work(nodes[1].engine());
    let shown = format!("PASSWORD={SECRET}\n").into_bytes();
    wait("the output", || nodes.iter().all(|n| excerpt(n.engine()).as_deref() == Some(&shown)));
    for (node, home) in nodes.iter().zip(&homes) {
        // Both the record and a snapshot of the state now hold it.
        node.engine().snapshot().unwrap();
        assert!(holds(&home.dir().join("store"), SECRET.as_bytes()));
    }
    // One node is away while it is erased.
    let gamma = nodes.pop().unwrap();
    runtime.block_on(gamma.stop());
    assert!(holds(&homes[2].dir().join("store"), SECRET.as_bytes()));
    let alpha = nodes[0].engine();
    let erased = alpha.erase(beta, seq, "a password was printed", clock::wall_ms()).unwrap();
    assert!(!holds(&homes[0].dir().join("store"), SECRET.as_bytes()), "at once where it is asked");
    nodes.push(start(&runtime, &homes[2]));
    wait("the erasure", || {
        nodes.iter().all(|node| {
            let gone = node.engine().read(|state| state.erasures.at(&beta, seq).is_some());
            gone && excerpt(node.engine()).is_some_and(|excerpt| excerpt.is_empty())
        })
    });
    wait("one digest", || {
        let digest = nodes[0].engine().read(SwarmState::digest);
        nodes.iter().all(|node| node.engine().read(SwarmState::digest) == digest)
    });
    // The state has it first; the files are rewritten behind it, before the next event is taken in.
    wait("the files", || {
        homes.iter().all(|home| !holds(&home.dir().join("store"), SECRET.as_bytes()))
    });
    wait("heads to be witnessed", || {
        let gamma = nodes[2].engine();
        let said = |(author, _)| gamma.events(author, 0, 1000).unwrap();
        let witnessed = |event: Event| matches!(event.payload(), Some(Payload::HeadsWitnessed(_)));
        gamma.lengths().into_iter().flat_map(said).any(witnessed)
    });
    for node in nodes {
        runtime.block_on(node.stop());
    }
    for home in &homes {
        assert!(!holds(home.dir(), SECRET.as_bytes()), "{home:?}");
    }
    exported(dir.path(), &homes[2], &erased.event);
}

/// The bundle verifies without the secret, and the story says who erased it and why.
fn exported(dir: &Path, home: &Home, event: &EventId) {
    let bundle = dir.join("swarm.bundle");
    let (home, bundle) = (home.dir().to_str().unwrap(), bundle.to_str().unwrap());
    let (bzzz, verify) = (env!("CARGO_BIN_EXE_bzzz"), env!("CARGO_BIN_EXE_bzzz-verify"));
    let (status, said) = run(bzzz, &["--home", home, "export", bundle]);
    assert_eq!(status, 0, "{said}");
    let bytes = std::fs::read(bundle).unwrap();
    assert!(!bytes.windows(SECRET.len()).any(|found| found == SECRET.as_bytes()));
    let (status, said) = run(verify, &[bundle]);
    assert_eq!(status, 0, "{said}");
    let replay = env!("CARGO_BIN_EXE_bzzz-replay");
    let (status, said) = run(replay, &[bundle, "sample#1"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("CommandOutput, erased by alpha: a password was printed"), "{said}");
    let (status, said) = run(bzzz, &["--home", home, "log", "-n", "100"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("erased by alpha: a password was printed"), "{said}");
    assert!(said.contains("holds "), "heads were witnessed: {said}");
    let id = event.to_string();
    let (status, said) = run(bzzz, &["--home", home, "erase", &id[..12], "--reason", "again"]);
    assert_eq!(status, 1, "{said}");
    assert!(said.to_lowercase().contains("only the event's author"), "{said}");
}
