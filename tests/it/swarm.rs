//! Three whole nodes in one process: real git, a real board, RocksDB, libp2p on loopback, the
//! process sandbox and the sample's script.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bzzz::engine::Engine;
use bzzz::kernel::event::Draft;
use bzzz::kernel::event::kinds::{MemberAdmitted, Role};
use bzzz::kernel::fold::TaskStatus;
use bzzz::kernel::identity::AuthorId;
use bzzz::node::config::{Config, Repository, literal};
use bzzz::node::{Home, Node, clock};

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools")
}

fn run(dir: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn copy(from: &Path, to: &Path) {
    run(to.parent().unwrap(), "cp", &["-r", from.to_str().unwrap(), to.to_str().unwrap()]);
}

/// The sample as a bare repository beside a board with its issues.
fn board(dir: &Path) -> (PathBuf, PathBuf) {
    let (source, board, bare) = (dir.join("source"), dir.join("board"), dir.join("repo.git"));
    copy(&tools().join("sample"), &source);
    copy(&tools().join("sample-board"), &board);
    fs::create_dir_all(board.join("pulls")).unwrap();
    run(&source, "git", &["init", "-q", "-b", "main"]);
    run(&source, "git", &["add", "-A"]);
    let name = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
    run(&source, "git", &[&name[..], &["commit", "-qm", "The sample"]].concat());
    run(dir, "git", &["clone", "-q", "--bare", "source", "repo.git"]);
    (board, bare)
}

fn config(name: &str, board: &Path, bare: &Path, peers: &[String]) -> String {
    config_with(name, &tools().join("sample-script.json"), board, bare, peers)
}

fn config_with(name: &str, script: &Path, board: &Path, bare: &Path, peers: &[String]) -> String {
    let peers: Vec<String> = peers.iter().map(|peer| literal(peer)).collect();
    let values = [
        ("node.name", literal(name)),
        ("net.listen", "[\"/ip4/127.0.0.1/tcp/0\"]".to_owned()),
        ("net.peers", format!("[{}]", peers.join(", "))),
        ("net.mdns", "false".to_owned()),
        ("agent.lease_seconds", "20".to_owned()),
        ("agent.plan_window_seconds", "5".to_owned()),
        ("discussion.help_seconds", "120".to_owned()),
        ("agent.poll_seconds", "1".to_owned()),
        ("sandbox.kind", literal("process")),
        ("reasoner.kind", literal("scripted")),
        ("reasoner.script", literal(script.to_str().unwrap())),
    ];
    let values: Vec<_> = values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let board = Some(board.to_owned());
    let repository = Repository { board, ..Repository::at("sample", bare.to_str().unwrap()) };
    Config::render(&values, &[repository]).unwrap()
}

fn load(home: &Home) -> Config {
    Config::load(&home.config_file(), &BTreeMap::new(), &[]).unwrap().config
}

fn admit(engine: &Engine, member: AuthorId, name: &str) {
    let admitted = MemberAdmitted { member, role: Role::Agent, name: name.to_owned() };
    engine.append(vec![Draft::general(admitted)], clock::wall_ms()).unwrap();
}

fn wait(what: &str, mut ready: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(240), "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn three_nodes_take_the_samples_issues_to_pull_requests() {
    let dir = tempfile::tempdir().unwrap();
    let (board, bare) = board(dir.path());
    let _ = tracing_subscriber::fmt().with_env_filter("info,libp2p=warn").try_init();
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let first = Home::at(&dir.path().join("alpha"));
    let (_, swarm) = first.found("demo", &config("alpha", &board, &bare, &[])).unwrap();
    let alpha = runtime.block_on(Node::start(first.clone(), &load(&first))).unwrap();
    let source = alpha.status_source();
    wait("an address", || !runtime.block_on(source.status()).listening.is_empty());
    let address = runtime.block_on(source.status()).listening;

    let mut nodes = vec![alpha];
    for name in ["beta", "gamma"] {
        let home = Home::at(&dir.path().join(name));
        let key = home.join(swarm, &config(name, &board, &bare, &address)).unwrap();
        admit(nodes[0].engine(), key, name);
        nodes.push(runtime.block_on(Node::start(home.clone(), &load(&home))).unwrap());
    }
    wait("the end of all tasks", || {
        nodes.iter().all(|node| {
            node.engine().read(|state| {
                state.tasks.len() == 6
                    && state.tasks.values().all(|task| {
                        matches!(task.status(), TaskStatus::Published | TaskStatus::Escalated)
                            && task.current().is_some_and(|epoch| epoch.finished.is_some())
                    })
            })
        })
    });
    wait("one digest", || {
        let first = nodes[0].engine().digest();
        nodes.iter().all(|node| node.engine().digest() == first)
    });
    nodes[0].engine().read(|state| {
        for task in state.tasks.values() {
            assert_eq!(task.refusals.count, 0, "{}: {:?}", task.name(), task.refusals);
            for epoch in task.epochs.values() {
                assert!(epoch.contested.is_empty(), "{}", task.name());
            }
        }
    });
    let branches = run(&bare, "git", &["branch", "--list", "bzzz/issue-*"]);
    assert_eq!(branches.lines().count(), 5, "{branches}");
    let unfinished = run(&bare, "git", &["branch", "--list", "bzzz/wip-4-1"]);
    assert_eq!(unfinished.lines().count(), 1, "one was handed over with its work: {branches}");
    for node in nodes {
        runtime.block_on(node.stop());
    }
}

/// The first one's script ends in the middle of the work: it waits for a file, writes half of what
/// is to be written, and is stuck.
const STUCK: &str = r#"{"issues": {"1": {
    "plan": [{"summary": "say it", "steps": ["write", "look"]}],
    "steps": [
        {"reasoning": "a", "action": "command",
         "command": "until [ -e GO ]; do sleep 0.1; done; echo half >half.txt"},
        {"reasoning": "b", "action": "help", "question": "How does it go on?"}
    ]}}}"#;

/// The second one's takes over.
const HELPER: &str = r#"{"issues": {"1": {
    "help": [{"help": "take_over", "text": "I know"}],
    "plan": [{"summary": "say the rest", "steps": ["write"]}],
    "steps": [
        {"reasoning": "a", "action": "command", "command": "cat half.txt half.txt >whole.txt"},
        {"reasoning": "b", "action": "done", "summary": "said"}
    ]}}}"#;

#[test]
fn a_stuck_node_hands_its_work_to_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let (board, bare) = board(dir.path());
    for issue in fs::read_dir(board.join("issues")).unwrap().flatten() {
        fs::remove_file(issue.path()).unwrap();
    }
    let issue = "---\ntitle: Say it\nstate: open\nlabels: [bzzz-task]\ndepends_on: []\n---\nx\n";
    fs::write(board.join("issues/0001-say.md"), issue).unwrap();
    let go = dir.path().join("go");
    let (stuck, helper) = (dir.path().join("stuck.json"), dir.path().join("helper.json"));
    fs::write(&stuck, STUCK.replace("GO", go.to_str().unwrap())).unwrap();
    fs::write(&helper, HELPER).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let home = Home::at(&dir.path().join("alpha"));
    let (_, swarm) = home.found("demo", &config_with("alpha", &stuck, &board, &bare, &[])).unwrap();
    let alpha = runtime.block_on(Node::start(home.clone(), &load(&home))).unwrap();
    let owned = |node: &Node| {
        node.engine().read(|state| {
            let task = state.task("sample", 1);
            task.and_then(|task| task.current())
                .is_some_and(|epoch| !epoch.work.commands.is_empty())
        })
    };
    wait("the first node's command", || owned(&alpha));
    let source = alpha.status_source();
    let address = runtime.block_on(source.status()).listening;
    let home = Home::at(&dir.path().join("beta"));
    let key = home.join(swarm, &config_with("beta", &helper, &board, &bare, &address)).unwrap();
    admit(alpha.engine(), key, "beta");
    let beta = runtime.block_on(Node::start(home.clone(), &load(&home))).unwrap();
    wait("the helper", || {
        alpha.engine().read(|state| state.agents.contains_key(&key)) && owned(&beta)
    });
    fs::write(&go, "").unwrap();

    wait("the end of the task", || {
        [&alpha, &beta].into_iter().all(|node| {
            node.engine().read(|state| {
                let task = state.task("sample", 1);
                task.and_then(|task| task.current()).is_some_and(|epoch| epoch.finished.is_some())
                    && task.is_some_and(|task| {
                        matches!(task.status(), TaskStatus::Published | TaskStatus::Escalated)
                    })
            })
        })
    });
    wait("one digest", || alpha.engine().digest() == beta.engine().digest());
    let task = alpha.engine().read(|state| state.task("sample", 1).cloned()).unwrap();
    assert_eq!(task.status(), TaskStatus::Published, "{task:#?}");
    assert_eq!(task.refusals.count, 0, "{:?}", task.refusals);
    assert_eq!(task.epochs[&1].finished.as_deref(), Some("handed_over"));
    assert_eq!(task.epochs[&2].winner.as_ref().unwrap().author, key);
    let (wip, commit) = task.epochs[&1].handed.as_ref().unwrap().base.clone().unwrap();
    let found = run(&bare, "git", &["rev-parse", &wip]);
    assert_eq!(found.trim(), commit.to_string(), "the work so far is where it is said to be");
    run(&bare, "git", &["merge-base", "--is-ancestor", &wip, "bzzz/issue-1"]);
    assert_eq!(run(&bare, "git", &["show", "bzzz/issue-1:whole.txt"]), "half\nhalf\n");
    let commits = run(&bare, "git", &["log", "--format=%an", "main..bzzz/issue-1"]);
    assert_eq!(commits, "beta\nalpha\n", "the helper's commit is on top of the first one's");
    let pulls = fs::read_dir(board.join("pulls")).unwrap().count();
    assert_eq!(pulls, 1);
    for node in [alpha, beta] {
        runtime.block_on(node.stop());
    }
}

/// Two nodes in two directories, with no address configured, in a network of their own.
const MDNS: &str = r#"
set -euo pipefail
cd "$1"; bzzz=$2
"$bzzz" --home a --json init --name a --swarm-name test >a.json
"$bzzz" --home b --json init --name b --join "$(jq -r .swarm a.json)" >b.json
"$bzzz" --home a member admit "$(jq -r .key b.json)" --name b
"$bzzz" --home a up >a.out 2>a.log & a=$!
"$bzzz" --home b up >b.out 2>b.log & b=$!
trap 'kill $a $b; wait' EXIT
for _ in $(seq 600); do
    one=$("$bzzz" --home a --json status 2>/dev/null | jq -r '.digest, (.peers | length)' || true)
    two=$("$bzzz" --home b --json status 2>/dev/null | jq -r '.digest, (.peers | length)' || true)
    logs=$("$bzzz" --home b --json status 2>/dev/null | jq '.logs | length' || true)
    if [ -n "$one" ] && [ "$one" = "$two" ] && [ "$logs" = 2 ]; then echo "met: $one"; exit 0; fi
    sleep 0.2
done
tail -n 20 a.log b.log >&2
exit 1
"#;

#[test]
fn two_nodes_meet_by_mdns_with_no_address_configured() {
    let dir = tempfile::tempdir().unwrap();
    let bzzz = env!("CARGO_BIN_EXE_bzzz");
    let netns = tools().join("in-netns");
    let place = dir.path().to_str().unwrap();
    let args = ["bash", "-c", MDNS, "mdns", place, bzzz];
    let said = run(dir.path(), netns.to_str().unwrap(), &args);
    assert!(said.contains("met: "), "{said}");
}
