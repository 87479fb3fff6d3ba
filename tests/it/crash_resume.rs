//! A node's process is ended at every place of its log, before an append and after it, through a
//! whole task with real git, a real board, real commands and RocksDB. Whatever it was at, the node
//! that starts then brings the task to its end: nothing is lost, nothing is done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bzzz::engine::Engine;
use bzzz::integrations::local::Board;
use bzzz::kernel::event::Event;
use bzzz::kernel::event::kinds::Payload;
use bzzz::kernel::fold::{Task, TaskStatus};
use bzzz::node::config::{Config, Repository, literal};
use bzzz::node::{Home, Node};

const BZZZ: &str = env!("CARGO_BIN_EXE_bzzz");
const ISSUE: &str =
    "---\ntitle: Say hello\nstate: open\nlabels: [bzzz-task]\ndepends_on: []\n---\nx\n";
const SCRIPT: &str = r#"{"issues": {"1": {
    "plan": [{"summary": "say it", "steps": ["write", "look"]}],
    "steps": [
        {"reasoning": "a", "action": "command", "command": "echo hello >>hello.txt"},
        {"reasoning": "b", "action": "command", "command": "cat hello.txt"},
        {"reasoning": "c", "action": "done", "summary": "said"}
    ]}}}"#;
const HANG: Duration = Duration::from_secs(120);

fn git(dir: &Path, args: &[&str]) -> String {
    let name = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
    let output = Command::new("git").args(name).args(args).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A home with a board of one issue and its repository.
struct Place {
    dir: tempfile::TempDir,
    home: Home,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (board, source) = (dir.path().join("board"), dir.path().join("source"));
        fs::create_dir_all(board.join("issues")).unwrap();
        fs::create_dir_all(board.join("pulls")).unwrap();
        fs::write(board.join("issues/0001-hello.md"), ISSUE).unwrap();
        fs::create_dir(&source).unwrap();
        fs::write(source.join("README.md"), "A sample.\n").unwrap();
        git(&source, &["init", "-q", "-b", "main"]);
        git(&source, &["add", "."]);
        git(&source, &["commit", "-qm", "x"]);
        git(dir.path(), &["clone", "-q", "--bare", "source", "repo.git"]);
        let script = dir.path().join("script.json");
        fs::write(&script, SCRIPT).unwrap();
        let values = [
            ("node.name", literal("anna")),
            ("net.listen", "[\"/ip4/127.0.0.1/tcp/0\"]".to_owned()),
            ("net.mdns", "false".to_owned()),
            ("api.listen", literal("127.0.0.1:0")),
            ("agent.plan_window_seconds", "0".to_owned()),
            ("agent.poll_seconds", "1".to_owned()),
            ("agent.lease_seconds", "20".to_owned()),
            ("sandbox.kind", literal("process")),
            ("reasoner.kind", literal("scripted")),
            ("reasoner.script", literal(script.to_str().unwrap())),
        ];
        let values: Vec<_> = values.into_iter().map(|(k, value)| (k.to_owned(), value)).collect();
        let url = dir.path().join("repo.git");
        let repository = Repository::at("sample", url.to_str().unwrap());
        let repository = Repository { board: Some(board), ..repository };
        let home = Home::at(&dir.path().join("home"));
        home.found("crash", &Config::render(&values, &[repository]).unwrap()).unwrap();
        Self { dir, home }
    }

    fn config(&self) -> Config {
        Config::load(&self.home.config_file(), &BTreeMap::new(), &[]).unwrap().config
    }

    /// Runs the program until it crashes; `false` if it came to the end of the task before.
    fn crash(&self, place: &str) -> bool {
        let mut command = Command::new(BZZZ);
        command.arg("--home").arg(self.dir.path().join("home")).args(["up", "--crash", place]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert_eq!(status.code(), None, "{place}: it ended by itself");
                return true;
            }
            if begun.elapsed() > HANG {
                child.kill().unwrap();
                child.wait().unwrap();
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts a node that goes on to the end of the task. Gives the task and the node's own log.
    fn finish(&self, place: &str) -> (Task, Vec<Event>) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let node = runtime.block_on(Node::start(self.home.clone(), &self.config())).unwrap();
        let task = |engine: &Engine| engine.read(|state| state.task("sample", 1).cloned());
        let begun = Instant::now();
        let task = loop {
            if let Some(task) = task(node.engine())
                && task.current().is_some_and(|epoch| epoch.finished.is_some())
                && !has_sandbox(&task)
            {
                break task;
            }
            assert!(begun.elapsed() < HANG, "{place}: {:?}", task(node.engine()));
            std::thread::sleep(Duration::from_millis(20));
        };
        let events = log(node.engine());
        runtime.block_on(node.stop());
        (task, events)
    }
}

fn has_sandbox(task: &Task) -> bool {
    task.epochs.values().any(|epoch| epoch.work.sandbox.is_some())
}

fn log(engine: &Engine) -> Vec<Event> {
    let mut events = Vec::new();
    let me = engine.me();
    while let Some(range) = engine.range(me, events.len() as u64, 1 << 20).unwrap() {
        let from = events.len() as u64;
        let read = range.records.iter().zip(from..);
        events.extend(read.map(|(record, seq)| Event::read(me, seq, record.as_ref()).unwrap()));
    }
    events
}

fn check(place: &str, at: &Place, task: &Task, events: &[Event]) {
    assert_eq!(task.status(), TaskStatus::Published, "{place}");
    assert_eq!(task.epochs.len(), 1, "{place}: it goes on with its claim");
    assert_eq!(task.refusals.count, 0, "{place}: nothing is said that does not fit");
    let board = Board::open(&at.dir.path().join("board")).unwrap();
    let keys = board.comments(1).unwrap().into_iter().map(|comment| comment.key);
    let keys: Vec<String> = keys.collect();
    let once: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(keys.len(), once.len(), "{place}: {keys:?}");
    assert_eq!(board.pulls().unwrap().0.len(), 1, "{place}: one pull request");
    let bare = at.dir.path().join("repo.git");
    let told = git(&bare, &["show", "bzzz/issue-1:hello.txt"]);
    assert_eq!(told, "hello\n", "{place}: commands ran once in what was published");
    let commits = git(&bare, &["rev-list", "--count", "main..bzzz/issue-1"]);
    assert_eq!(commits.trim(), "1", "{place}");
    let mut open = BTreeSet::new();
    for event in events {
        match event.payload() {
            Some(Payload::CommandIntended(_)) => assert!(open.insert(event.id)),
            Some(Payload::CommandFinished(ended)) => assert!(open.remove(&ended.command)),
            _ => {}
        }
    }
    assert!(open.is_empty(), "{place}: the end of each command is known, or known to be lost");
    let left = fs::read_dir(at.home.work()).unwrap().flatten().map(|entry| entry.path());
    let left: Vec<PathBuf> = left.filter(|path| !path.ends_with("process")).collect();
    assert!(left.is_empty(), "{place}: {left:?}");
}

#[test]
fn a_task_survives_a_crash_at_each_of_its_events() {
    let whole = Place::new();
    let (task, events) = whole.finish("whole");
    check("whole", &whole, &task, &events);
    let length = events.len() as u64;
    assert!(length > 25, "{length} events");
    // The first two are those of the founding.
    let places: Vec<String> =
        (2..=length).flat_map(|at| [format!("before:{at}"), format!("after:{at}")]).collect();
    let (next, crashed) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(place) = places.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let at = Place::new();
                    crashed.fetch_add(u64::from(at.crash(place)), Ordering::Relaxed);
                    let (task, events) = at.finish(place);
                    check(place, &at, &task, &events);
                }
            });
        }
    });
    assert_eq!(crashed.into_inner(), places.len() as u64, "each run crashed where it was told to");
}
