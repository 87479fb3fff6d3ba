//! People who take part in the discussion of a task: whole nodes of an agent that works, of a
//! person with an operator's key, and of an agent that only looks on, each a process.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use bzzz::engine::Engine;
use bzzz::kernel::event::kinds::{CoordinationOpened, Side, TaskSeen};
use bzzz::kernel::event::{Draft, TaskId};
use bzzz::node::{Home, clock};
use serde_json::{Value, json};

use crate::running::{BZZZ, HANG, Up, engine, failed, said, sample};

const ANSWER: &str = "By date, the oldest first.";
const OBJECTION: &str = "It deletes the old reports.";

/// The homes of a swarm on this machine.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    /// A swarm whose founder works by a script: it asks, plans, plans anew, runs a command.
    fn new() -> Self {
        let stage = Self { dir: tempfile::tempdir().unwrap() };
        sample(stage.dir.path());
        let plan = |summary: &str| json!({ "summary": summary, "steps": ["write it"] });
        let script = json!({ "issues": { "1": {
            "plan": [{ "question": "Sort by what?" }, plan("Delete and sort"), plan("Just sort")],
            "steps": [
                { "reasoning": "do it", "action": "command", "command": "echo a >sorted.txt" },
                { "reasoning": "it is there", "action": "done", "summary": "Sorted." },
            ],
        } } });
        fs::write(stage.path("script.json"), script.to_string()).unwrap();
        let script = format!("reasoner.script={}", stage.path("script.json").display());
        stage.init(
            "maple",
            &[
                "--repository",
                "name=sample,url=sample.git,board=board",
                "--set",
                "reasoner.kind=scripted",
                "--set",
                &script,
                "--set",
                "agent.poll_seconds=1",
                "--set",
                "agent.plan_window_seconds=0",
                "--set",
                "approvals.plans=true",
            ],
        );
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, home: &str) -> Command {
        let mut command = Command::new(BZZZ);
        command.arg("--home").arg(self.path(home)).current_dir(self.dir.path());
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, home: &str, args: &[&str]) -> Output {
        self.command(home).args(args).output().unwrap()
    }

    #[track_caller]
    fn said(&self, home: &str, args: &[&str]) -> String {
        said(self.run(home, args), args)
    }

    #[track_caller]
    fn json(&self, home: &str, args: &[&str]) -> Value {
        serde_json::from_str(&self.said(home, &[args, &["--json"]].concat())).unwrap()
    }

    /// Runs what has to fail with status 1, and gives what it says.
    #[track_caller]
    fn fails(&self, home: &str, args: &[&str]) -> String {
        failed(self.run(home, args), args)
    }

    fn init(&self, home: &str, more: &[&str]) -> String {
        let mut args = vec!["init", "--name", home];
        for set in ["net.mdns=false", "net.listen=/ip4/127.0.0.1/tcp/0", "sandbox.kind=process"] {
            args.extend(["--set", set]);
        }
        args.extend(more);
        self.json(home, &args)["key"].as_str().unwrap().to_owned()
    }

    fn up(&self, home: &str, peers: &str) -> Up {
        let peers = format!("net.peers={peers}");
        let log = self.path(&format!("{home}.log"));
        Up::start(self.command(home), &["--set", &peers], &log)
    }

    /// Joins and starts a node of that role.
    fn join(&self, home: &str, role: &str, peer: &str) -> Up {
        let status = self.json("maple", &["status"]);
        let swarm = status["swarm"].as_str().unwrap().to_owned();
        let key = self.init(home, &["--join", &swarm, "--set", "agent.work=false"]);
        self.said("maple", &["member", "admit", &key, "--name", home, "--role", role]);
        self.up(home, peer)
    }

    /// What is open of a sort in the task, as a node knows it, once it is as it should be.
    #[track_caller]
    fn open(&self, home: &str, what: &str, right: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let output = self.run(home, &["discuss", "list", "sample#1", "--json"]);
            let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let mut items = all["open"].as_array().cloned().unwrap_or_default().into_iter();
            if let Some(item) = items.find(|item| item["what"] == what && right(item)) {
                return item;
            }
            let log = || fs::read_to_string(self.path("maple.log")).unwrap();
            assert!(begun.elapsed() < HANG, "no {what} at {home}: {all:#}\n{}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// `bzzz watch --json`, line by line.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(mut command: Command) -> Self {
        command.args(["watch", "sample#1", "--json", "-n", "100"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for an event of a kind of an author, and gives it.
    #[track_caller]
    fn until(&self, author: &str, kind: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(HANG).unwrap_or_else(|_| panic!("no {kind}"));
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["kind"] == kind && event["author_name"] == author {
                return event;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn token(home: &Path) -> String {
    let token = fs::read_to_string(home.join("api.token")).unwrap();
    format!("Authorization: Bearer {}", token.trim())
}

#[test]
fn a_person_answers_objects_and_approves_and_an_agent_cannot() {
    let stage = Stage::new();
    let maple = stage.up("maple", "");
    let begun = Instant::now();
    let address = loop {
        let status = stage.json("maple", &["status"]);
        if let Some(address) = status["listening"][0].as_str() {
            break address.to_owned();
        }
        assert!(begun.elapsed() < HANG, "no address");
        std::thread::sleep(Duration::from_millis(100));
    };
    let ann = stage.join("ann", "operator", &address);
    let _oak = stage.join("oak", "agent", &address);
    stage.said("maple", &["task", "add", "--title", "Sort it", "--body", "Somehow."]);

    // The owner's question stands in the discussion; it is answered there.
    let asked = stage.open("ann", "question", |item| item["text"] == "Sort by what?");
    assert_eq!(asked["author_name"], "maple");
    let watch = Watch::start(stage.command("ann"));
    let told = stage.said("ann", &["explain", "sample#1"]);
    for part in ["maple owns it", "the claim ref was absent", "Sort by what?", "role operator"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    stage.said("ann", &["discuss", "answer", "sample#1", ANSWER]);
    let first = stage.open("ann", "approval", |_| true);
    assert!(first["text"].as_str().unwrap().contains("Delete and sort"), "{first:#}");
    assert_eq!(first["bound"]["exact"], true, "{first:#}");
    let hash = first["bound"]["hash"].as_str().unwrap();

    // Only people approve, and only what they were shown.
    stage.open("oak", "approval", |_| true);
    let approve = ["discuss", "approve", "sample#1", "--yes"];
    let refused = stage.fails("oak", &approve);
    assert!(refused.contains("agents do not approve") && refused.contains("operator"), "{refused}");
    let other = "0".repeat(64);
    let refused = stage.fails("ann", &[&approve[..], &["--hash", &other]].concat());
    assert!(refused.contains("hash is not that of the request"), "{refused}");
    let unasked = stage.run("ann", &approve[..3]);
    assert_eq!(unasked.status.code(), Some(2), "nobody can be asked without a terminal");
    refuses_nonsense(&ann, &token(&stage.path("ann")));

    // An objection leads to another plan, which needs an approval of its own.
    stage.said("ann", &["discuss", "object", "sample#1", OBJECTION]);
    let second = stage.open("ann", "approval", |item| item["bound"]["hash"] != hash);
    assert!(second["text"].as_str().unwrap().contains("Just sort"), "{second:#}");
    let why = stage.json("ann", &["explain", "sample#1"]);
    assert!(why["waits"].as_array().unwrap().iter().any(|wait| wait["for"] == "approval"));
    let stale = stage.fails("ann", &[&approve[..], &["--hash", hash]].concat());
    assert!(stale.contains("hash is not that of the request"), "{stale}");
    let request = first["id"].as_str().unwrap();
    let dead = ["--request", request, "--hash", hash];
    let dead = stage.fails("ann", &[&approve[..], &dead].concat());
    assert!(dead.contains("not asked for any more"), "{dead}");
    let shown = stage.said("ann", &[&approve[..], &["Looks good."]].concat());
    assert!(shown.contains(second["bound"]["hash"].as_str().unwrap()), "{shown}");
    let request = second["id"].as_str().unwrap();
    let hash = second["bound"]["hash"].as_str().unwrap();
    let named = ["--request", request, "--hash", hash];
    let again = stage.fails("ann", &[&approve[..], &named].concat());
    // The work may have gone on to its end since.
    assert!(again.contains("approved already") || again.contains("has ended"), "{again}");

    for (kind, part) in
        [("message_said", ANSWER), ("plan_reviewed", OBJECTION), ("approval_given", "Looks good.")]
    {
        let event = watch.until("ann", kind);
        assert_eq!(event["task_name"], "sample#1");
        assert!(event["payload"].to_string().contains(part), "{event:#}");
    }
    watch.until("maple", "published");
    let talk = stage.said("ann", &["discuss", "show", "sample#1"]);
    for part in ["Sort by what?", ANSWER, OBJECTION, "Just sort", "Looks good."] {
        assert!(talk.contains(part), "{part}: {talk}");
    }
    assert_eq!(ann.stop(), Some(0));
    assert_eq!(maple.stop(), Some(0));
}

/// What is of the wrong form, too long, or about nothing says so.
fn refuses_nonsense(up: &Up, token: &str) {
    let path = "/api/v1/tasks/sample%231/discussion";
    let long = json!({ "say": "comment", "text": "x".repeat(8 * 1024 + 1) }).to_string();
    let huge = json!({ "say": "comment", "text": "x".repeat(66 * 1024) }).to_string();
    let say = |value: Value| value.to_string();
    for (status, part, body) in [
        (400, "at most 8192", long),
        (413, "limit", huge),
        (400, "empty", say(json!({ "say": "object" }))),
        (400, "the body", say(json!({ "say": "sing", "text": "x" }))),
        (400, "the body", say(json!({ "say": "comment", "text": "x", "more": 1 }))),
        (400, "no id", say(json!({ "say": "comment", "text": "x", "to": "!" }))),
        (404, "there is no", say(json!({ "say": "comment", "text": "x", "to": "abcdef" }))),
        (404, "open question", say(json!({ "say": "answer", "text": "x" }))),
        (400, "hash", say(json!({ "say": "approve" }))),
        (400, "64 hexadecimal", say(json!({ "say": "approve", "hash": "00" }))),
    ] {
        let (found, said) = up.post(path, &[token.to_owned()], &body);
        let error = said["error"].as_str().unwrap();
        assert!(found == status && error.contains(part), "{found} {said}, not {status} {part}");
    }
    let (status, _) = up.post(path, &[], "{}");
    assert_eq!(status, 401, "writing needs the token");
    let body = json!({ "say": "comment", "text": "x" }).to_string();
    let (status, said) = up.post("/api/v1/tasks/sample%232/discussion", &[token.to_owned()], &body);
    assert_eq!(status, 404, "{said}");
    let (status, said) = up.post("/api/v1/sessions/sample%231", &[token.to_owned()], &body);
    assert_eq!(status, 404, "{said}");
}

/// Opens a session about the order of two issues of the sample, as the engine's node.
fn open_session(engine: &Engine, issues: [u64; 2]) -> String {
    let now_ms = clock::wall_ms();
    let side = |issue| Side { repository: "sample".to_owned(), issue, epoch: 1 };
    let mut sides = issues.map(side).to_vec();
    sides.sort_by_key(Side::task);
    let opened = CoordinationOpened {
        sides: sides.clone(),
        first: 0,
        reason: format!("{issues:?} touch the same"),
        evidence: vec!["file sort.sh".to_owned()],
        // Until then the node, which opened it, waits for the other owner.
        deadline_ms: now_ms + 3_600_000,
    };
    let draft = Draft::about(CoordinationOpened::session(&sides), opened);
    engine.append(vec![draft], now_ms).unwrap().ids[0].to_string()
}

#[test]
fn a_person_speaks_in_the_session_that_is_meant() {
    let stage = Stage::new();
    let engine = engine(&Home::at(&stage.path("maple")));
    let seen = |issue| TaskSeen {
        repository: "sample".to_owned(),
        issue,
        title: "Sort it".to_owned(),
        body: String::new(),
        labels: Vec::new(),
        depends_on: Vec::new(),
        open: true,
    };
    for issue in 1..=3 {
        let draft = Draft::about(TaskId::of("sample", issue), seen(issue));
        engine.append(vec![draft], clock::wall_ms()).unwrap();
    }
    let one = open_session(&engine, [1, 2]);
    let other = open_session(&engine, [1, 3]);
    drop(engine);
    let log = stage.path("maple.log");
    let maple = Up::start(stage.command("maple"), &["--set", "agent.work=false"], &log);

    // Issue 2 is a side of one session, issue 1 of two.
    let say = ["discuss", "say", "sample#2", "--session", "It can wait."];
    let said = stage.said("maple", &say);
    assert!(said.starts_with("Said it in the session about sample#"), "{said}");
    let several = stage.fails("maple", &["discuss", "say", "sample#1", "--session", "Which?"]);
    for id in [&one, &other] {
        assert!(several.contains("names several sessions") && several.contains(&id[..10]));
    }
    let named = format!("--session={}", &other[..12]);
    stage.said("maple", &["discuss", "say", "sample#1", &named, "Take the third first."]);
    let wrong = stage.fails("maple", &["discuss", "say", "sample#2", &named, "x"]);
    assert!(wrong.contains("session is not about that task"), "{wrong}");
    let none = stage.fails("maple", &["discuss", "say", "sample#1", "--session=0000", "x"]);
    assert!(none.contains("session about the order of tasks is called"), "{none}");

    let heard =
        |task: &str, text: &str| stage.said("maple", &["discuss", "show", task]).contains(text);
    assert!(heard("sample#2", "It can wait.") && heard("sample#1", "It can wait."));
    assert!(!heard("sample#3", "It can wait.") && heard("sample#3", "Take the third first."));
    assert_eq!(maple.stop(), Some(0));
}
