//! The command line of the node: the transcripts of the manual, and a real node with its page.
//!
//! Every wait is for an event, with a limit that only a hang reaches.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::running::{BZZZ, HANG, Up, failed, said, sample};

const VERIFY: &str = env!("CARGO_BIN_EXE_bzzz-verify");
const KEY: &str = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";

#[test]
fn the_manual_is_true() {
    let cases = trycmd::TestCases::new();
    cases.env("BZZZ_HOME", "home").env("COLUMNS", "100").timeout(HANG);
    cases.register_bins([("bzzz", Path::new(BZZZ)), ("bzzz-verify", Path::new(VERIFY))]);
    cases.case("tests/cli/*.md");
}

/// A home, and a board with its repository.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BZZZ);
        command.arg("--home").arg(self.path("home")).current_dir(self.dir.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    /// Runs what has to succeed.
    fn said(&self, args: &[&str]) -> String {
        said(self.run(args), args)
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.said(args)).unwrap()
    }

    /// Runs what has to fail with status 1, and gives what it says.
    fn fails(&self, args: &[&str]) -> String {
        failed(self.run(args), args)
    }

    /// Founds a swarm whose node works on an empty board, in plain processes, by a script.
    fn found(&self) {
        sample(self.dir.path());
        fs::write(self.path("script.json"), r#"{ "issues": {} }"#).unwrap();
        let script = format!("reasoner.script={}", self.path("script.json").display());
        let repository = "name=sample,url=sample.git,board=board";
        let mut args = vec!["init", "--name", "maple", "--repository", repository];
        for set in [
            "net.listen=/ip4/127.0.0.1/tcp/0",
            "net.mdns=false",
            "sandbox.kind=process",
            "reasoner.kind=scripted",
            &script,
            "agent.poll_seconds=1",
            "agent.plan_window_seconds=0",
        ] {
            args.extend(["--set", set]);
        }
        self.said(&args);
    }

    fn up(&self, args: &[&str]) -> Up {
        Up::start(self.command(), args, &self.path("up.log"))
    }

    fn token(&self) -> String {
        fs::read_to_string(self.path("home/api.token")).unwrap().trim().to_owned()
    }

    /// Asks again until the answer is as it should be.
    fn until(&self, args: &[&str], right: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let value = self.json(args);
            if right(&value) {
                return value;
            }
            let log = fs::read_to_string(self.path("up.log")).unwrap();
            assert!(start.elapsed() < HANG, "{args:?}: {value:#}\n{log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn a_node_starts_answers_and_stops() {
    let place = Place::new();
    place.found();
    let up = place.up(&[]);
    let status = place.json(&["status", "--json"]);
    assert_eq!(status["name"], "maple");
    assert_eq!(status["members"], 1);
    assert_eq!(status["logs"][0]["root"].as_str().unwrap().len(), 64);
    assert_eq!(place.json(&["peers", "--json"]), Value::Array(Vec::new()));
    assert!(place.said(&["status"]).contains("maple"));
    assert!(place.said(&["peers"]).contains("No peer"));

    // A second process of this home would fork its log.
    let second = place.fails(&["up"]);
    assert!(second.contains("already") && second.contains("Hint:"), "{second}");

    // Writing goes through the running node.
    assert!(place.said(&["member", "admit", KEY, "--name", "oak"]).contains("Admitted oak"));
    let again = place.fails(&["member", "admit", KEY]);
    assert!(again.contains("is a member already"), "{again}");
    let members = place.json(&["member", "list", "--json"]);
    assert_eq!(members["members"].as_array().unwrap().len(), 2);
    let revoked = place.json(&["member", "revoke", KEY, "--reason", "lost", "--json"]);
    assert_eq!(revoked["length"], 0);

    let bundle = place.path("swarm.bundle");
    place.said(&["export", bundle.to_str().unwrap()]);
    let verified = Command::new(VERIFY).arg(&bundle).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));

    assert_eq!(up.stop(), Some(0));
    assert!(!place.path("home/api.addr").exists() && !place.path("home/api.token").exists());
    assert!(place.fails(&["status"]).contains("No node runs"));
}

#[test]
fn a_task_is_seen_and_told() {
    let place = Place::new();
    place.found();
    let up = place.up(&[]);
    let added = place.json(&["task", "add", "--title", "Sort it", "--body", "Now.", "--json"]);
    assert_eq!(added["task"], "sample#1");
    let mut follow = place.command();
    let follow = follow.args(["log", "--follow", "--json", "-n", "0", "--task", "sample#1"]);
    // The script has no answer for it, so that the node asks people.
    let list = ["task", "list", "--json"];
    let tasks = place.until(&list, |all| all["tasks"][0]["status"] == "escalated");
    let task = &tasks["tasks"][0];
    assert_eq!(task["task"], "sample#1");
    assert_eq!(task["owner_name"], "maple");
    assert_eq!(task["epoch"], 1);
    assert_eq!(task["contested"], false);
    assert_eq!(task["id"], added["id"]);

    let shown = place.json(&["task", "show", "sample#1", "--json"]);
    assert_eq!(shown["by_epoch"][0]["claim"]["author_name"], "maple");
    assert!(shown["by_epoch"][0]["escalation"]["question"].is_string(), "{shown:#}");
    let text = place.said(&["task", "show", task["id"].as_str().unwrap()]);
    for part in ["sample#1  Sort it", "escalated", "won by maple", "asks people", "Now."] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let none = place.json(&["task", "list", "--status", "published", "--json"]);
    assert_eq!(none["tasks"], Value::Array(Vec::new()));
    let log = place.said(&["log", "--task", "sample#1", "-n", "100"]);
    assert!(log.contains("task_seen") && log.contains("claim_won"), "{log}");
    let by_name = place.said(&["log", "--author", "maple", "--json", "-n", "1000"]);
    for line in by_name.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["author_name"], "maple");
    }

    // Whoever follows sees what comes from now on.
    let mut child = follow.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let issue = fs::read_dir(place.path("board/issues")).unwrap();
    let mut issue = issue.map(|entry| entry.unwrap().path());
    let issue = issue.find(|path| path.extension().is_some_and(|e| e == "md")).unwrap();
    let start = Instant::now();
    let line = loop {
        // The issue changes again and again until the follower has begun.
        let text = fs::read_to_string(&issue).unwrap();
        fs::write(&issue, format!("{text}\nAnd sort it well.\n")).unwrap();
        if let Ok(line) = receiver.recv_timeout(Duration::from_secs(3)) {
            break line;
        }
        assert!(start.elapsed() < HANG, "nothing is followed");
    };
    let _ = child.kill();
    let _ = child.wait();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["task_name"], "sample#1");
    assert_eq!(up.stop(), Some(0));
    // What was said by a running node is told without one as well.
    assert!(place.said(&["task", "show", "sample#1"]).contains("won by maple"));
}

/// Answers the first task.
fn answer(text: &str) -> [&str; 6] {
    ["task", "answer", "sample#1", text, "--by", "ann"]
}

#[test]
fn people_answer_a_question_from_the_command_line() {
    let place = Place::new();
    place.found();
    // The first step waits for a file of the test, the second asks.
    let (flag, script) = (place.path("go"), place.path("script.json"));
    let wait = format!("until test -e {}; do sleep 0.1; done", flag.display());
    let command = serde_json::json!({ "reasoning": "r", "action": "command", "command": wait });
    let help = serde_json::json!({ "reasoning": "r", "action": "help", "question": "Which way?" });
    let plan = serde_json::json!({ "summary": "s", "steps": ["x"] });
    let lists = serde_json::json!({ "plan": [plan], "steps": [command, help] });
    let all = serde_json::json!({ "issues": { "1": lists } });
    fs::write(&script, all.to_string()).unwrap();
    fs::write(&flag, "").unwrap();
    assert!(place.fails(&answer("x")).contains("No node runs"));

    let up = place.up(&[]);
    place.said(&["task", "add", "--title", "Sort it"]);
    place.said(&["task", "add", "--title", "Train it", "--body", "Requires: gpu", "--label", "P1"]);
    let list = ["task", "list", "--json"];
    place.until(&list, |all| all["tasks"][0]["status"] == "escalated");
    let show = ["task", "show", "sample#1", "--json"];
    let first = place.json(&show)["by_epoch"][0]["escalation"]["id"].clone();

    // Nobody has what the second wants.
    let second = place.said(&["task", "show", "sample#2"]);
    for part in ["status      open", "priority    high", "requires    gpu"] {
        assert!(second.contains(part), "{part}: {second}");
    }
    let none = place.fails(&["task", "answer", "sample#2", "x"]);
    assert!(none.contains("sample#2 asks nothing: it is open") && none.contains("Hint:"), "{none}");
    assert!(place.fails(&["task", "ack", "sample#9"]).contains("No task is called"));
    assert_eq!(place.run(&answer("")).status.code(), Some(2));
    assert_eq!(place.run(&answer(" ")).status.code(), Some(2));
    assert_eq!(place.run(&answer(&"x".repeat(8193))).status.code(), Some(2));
    let nameless = place.fails(&["task", "ack", "sample#1", "--by", "a\nb"]);
    assert!(nameless.contains("has to be a line"), "{nameless}");

    let said = place.said(&["task", "ack", "sample#1", "--by", "ann"]);
    assert_eq!(said, "ann takes care of sample#1.\n");
    assert_eq!(place.json(&show)["by_epoch"][0]["escalation"]["acknowledged_by"], "ann");
    fs::remove_file(&flag).unwrap();
    assert_eq!(place.said(&answer("Take the second.")), "Answered sample#1 as ann.\n");
    let rounds = |task: &Value| task["by_epoch"][0]["rounds"].as_array().unwrap().len();
    let resumed = place.until(&show, |task| rounds(task) == 1);
    assert_eq!(resumed["by_epoch"][0]["rounds"][0]["message"], "Take the second.");
    let text = place.said(&["task", "show", "sample#1"]);
    assert!(text.contains("people answered: Take the second."), "{text}");
    let late = place.fails(&answer("Take the first."));
    assert!(late.contains("was answered already") && late.contains("claimed"), "{late}");
    let log = place.said(&["log", "--task", "sample#1", "--json", "-n", "200"]);
    assert_eq!(log.matches("\"gist\":\"ann answered: ").count(), 1, "{log}");

    // It asks again; this time the answer comes through a pipe.
    fs::write(&flag, "").unwrap();
    let again = |task: &Value| {
        let id = &task["by_epoch"][0]["escalation"]["id"];
        task["status"] == "escalated" && id.is_string() && *id != first
    };
    place.until(&show, again);
    let mut child = place.command();
    let child = child.args(answer("-")).arg("--json").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"Neither.\n").unwrap();
    let said = child.wait_with_output().unwrap();
    assert!(said.status.success());
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!((&said["task"], &said["answered_by"]), (&"sample#1".into(), &"ann".into()));
    let resumed = place.until(&show, |task| rounds(task) == 2);
    assert_eq!(resumed["by_epoch"][0]["rounds"][1]["message"], "Neither.");
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn the_page_and_the_interface_answer_and_refuse() {
    let place = Place::new();
    place.found();
    let up = place.up(&["--set", "agent.work=false"]);
    let (status, page) = up.get("/", &[]);
    assert_eq!(status, 200);
    assert!(page.contains("content-security-policy") && page.contains("<title>bzzz</title>"));
    assert!(!page.contains("NONCE"), "the page's marks are replaced");
    for (path, part) in [
        ("/health", "\"status\":\"ok\""),
        ("/metrics", "bzzz_log_events{author=\""),
        ("/metrics", "bzzz_tasks{status=\"open\"} 0"),
        ("/api/v1/status", "\"swarm_name\":\"swarm\""),
        ("/api/v1/tasks", "{\"tasks\":[]}"),
        ("/api/v1/events?limit=1", "\"events\":[{"),
        ("/api/v1/members", "\"administrator\":true"),
    ] {
        let (status, answer) = up.get(path, &[]);
        assert!(status == 200 && answer.contains(part), "{path}: {answer}");
    }
    let key = place.json(&["key", "show", "--json"])["key"].as_str().unwrap().to_owned();
    let (_, log) = up.get(&format!("/api/v1/log/{key}?from=0&limit=1"), &[]);
    assert!(log.contains("swarm_founded"), "{log}");
    let (_, none) = up.get("/api/v1/events?after=1000000", &[]);
    assert!(none.contains("\"events\":[]"), "{none}");

    for (status, path) in [
        (404, "/nothing"),
        (404, "/api/v1/tasks/sample%233"),
        (404, &format!("/api/v1/log/{KEY}")),
        (400, "/api/v1/log/maple"),
        (400, "/api/v1/events?limit=many"),
        (405, "/api/v1/members/x/revoke"),
    ] {
        let (found, answer) = up.get(path, &[]);
        assert!(found == status && answer.contains("{\"error\":"), "{path}: {answer}");
    }

    // Foreign hosts and origins are refused, whatever they ask for.
    let origin = format!("Origin: http://{}", up.api);
    assert_eq!(up.get("/api/v1/status", &["Host: evil.example"]).0, 403);
    assert_eq!(up.get("/", &["Host: 127.0.0.1.evil.example:80"]).0, 403);
    assert_eq!(up.get("/api/v1/status", &["Origin: https://evil.example"]).0, 403);
    assert_eq!(up.get("/api/v1/status", &["Origin: null"]).0, 403);
    assert_eq!(up.get("/api/v1/status", &[&origin]).0, 200);
    assert_eq!(up.get("/api/v1/status", &["Host: localhost:80"]).0, 200);

    // Writing needs the token.
    let path = "/api/v1/members";
    let body = format!("{{\"key\":\"{KEY}\",\"name\":\"oak\"}}");
    let right = format!("Authorization: Bearer {}", place.token());
    let long = format!("{{\"key\":\"{KEY}\",\"name\":\"{}\"}}", "x".repeat(20_000));
    for (status, header, body) in [
        (401, "Accept: */*", body.as_str()),
        (401, "Authorization: Bearer 00", &body),
        (401, "Authorization: Bearer ", &body),
        (400, &right, "{"),
        (400, &right, "{\"key\":\"maple\"}"),
        (400, &right, "{\"key\":\"maple\",\"colour\":\"red\"}"),
        (413, &right, &long),
        (200, &right, &body),
        (409, &right, &body),
    ] {
        let (found, answer) = up.ask("POST", path, &[header], body);
        assert_eq!(found, status, "{header}: {answer}");
    }
    let mode = fs::metadata(place.path("home/api.token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn logs_travel_as_files_to_a_node_that_joins() {
    let founder = Place::new();
    let founded = founder.json(&["init", "--name", "maple", "--json"]);
    let joiner = Place::new();
    let swarm = founded["swarm"].as_str().unwrap();
    let joined = joiner.json(&["init", "--name", "oak", "--join", swarm, "--json"]);
    assert_eq!(joined["founded"], false);
    assert!(joiner.fails(&["task", "list"]).contains("holds no store"));

    let bundle = founder.path("swarm.bundle");
    let bundle = bundle.to_str().unwrap();
    founder.said(&["export", bundle]);
    assert_eq!(joiner.json(&["import", bundle, "--json"])["events"], 1);
    let refused = joiner.fails(&["member", "admit", KEY]);
    assert!(refused.contains("no administrator"), "{refused}");

    // The rest comes with the next bundle, and nothing of it twice.
    founder.said(&["member", "admit", joined["key"].as_str().unwrap(), "--name", "oak"]);
    founder.said(&["export", bundle]);
    assert_eq!(joiner.json(&["import", bundle, "--json"])["events"], 1);
    assert_eq!(joiner.json(&["import", bundle, "--json"])["events"], 0);
    let members = |place: &Place| {
        let mut members = place.json(&["member", "list", "--json"]);
        members["members"].take()
    };
    assert_eq!(members(&joiner), members(&founder));

    // A file that was tampered with is refused, and what was there stays.
    founder.said(&["member", "admit", KEY]);
    founder.said(&["export", bundle]);
    let mut bytes = fs::read(bundle).unwrap();
    let key = hex::decode(KEY).unwrap();
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap();
    bytes[at] ^= 1;
    fs::write(bundle, &bytes).unwrap();
    let said = joiner.fails(&["import", bundle]);
    assert!(said.contains("Error:"), "{said}");
    assert_eq!(members(&joiner).as_array().unwrap().len(), 2);
}

#[test]
fn events_and_heads_prove_themselves_and_a_store_is_checked() {
    let place = Place::new();
    place.said(&["init", "--name", "maple"]);
    for byte in 1..5 {
        let key = bzzz::kernel::identity::SecretKey::from_seed(&[byte; 32]).author().to_string();
        place.said(&["member", "admit", &key, "--name", &format!("oak {byte}")]);
    }
    let key = place.said(&["key", "show"]);
    let verify = |args: &[&str]| {
        let output = Command::new(VERIFY).args(args).current_dir(place.dir.path()).output();
        output.unwrap().status.code()
    };
    let last = place.json(&["log", "-n", "1", "--json"]);
    let id = last["id"].as_str().unwrap();
    for name in [&id[..9], id, &format!("{}:4", key.trim()), &format!("{}:4", &key[..8])] {
        let wrote = place.json(&["prove", name, "-o", "x", "--json"]);
        assert_eq!(wrote["author"], key.trim());
        assert_eq!(verify(&["proof", "x", "--author", key.trim()]), Some(0), "{name}");
    }
    assert!(place.said(&["prove", id]).contains(&format!("Wrote {}.bzzz-event", &id[..10])));
    place.said(&["prove", "--heads", key.trim(), "2", "5", "-o", "heads"]);
    assert_eq!(verify(&["proof", "heads", "--author", key.trim()]), Some(0));
    place.said(&["prove", "--heads", key.trim(), "1", "-o", "heads"]);
    assert_eq!(verify(&["proof", "heads", "--author", key.trim()]), Some(0));
    for (args, says) in [
        (&["prove", "administrator:99"][..], "no record 99"),
        (&["prove", "ffff0000"], "no event is called"),
        (&["prove", "--heads", key.trim(), "2", "99"], "fewer than 99"),
    ] {
        let said = place.fails(args).to_lowercase();
        assert!(said.contains(says), "{said}");
    }
    assert_eq!(place.run(&["prove", "zz"]).status.code(), Some(2));

    let said = place.said(&["fsck"]);
    assert!(said.contains("Verified: 5 events in 1 log"), "{said}");
    assert_eq!(place.json(&["fsck", "--json"])["verified"], true);
}

#[test]
fn checkpoints_are_for_witnesses_and_other_tools() {
    let place = Place::new();
    let founded = place.json(&["init", "--name", "maple", "--json"]);
    let key = place.said(&["key", "show"]).trim().to_owned();
    for byte in 2..6 {
        let key = bzzz::kernel::identity::SecretKey::from_seed(&[byte; 32]).author().to_string();
        place.said(&["member", "admit", &key, "--name", &format!("oak {byte}")]);
    }
    let verify = |args: &[&str]| {
        let output = Command::new(VERIFY).args(args).current_dir(place.dir.path()).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let text = place.said(&["checkpoint"]);
    assert_eq!(place.said(&["checkpoint"]), text, "the same head, the same note");
    fs::write(place.path("five"), &text).unwrap();
    let (status, said) = verify(&["checkpoint", "five", "--author", &key]);
    assert!(status == Some(0) && said.contains("a log of 5 records"), "{said}");
    assert_eq!(verify(&["checkpoint", "five", "--author", KEY]).0, Some(1));
    let vkey = place.said(&["checkpoint", "--key"]).trim().to_owned();
    let swarm = founded["swarm"].as_str().unwrap();
    assert!(vkey.starts_with(&format!("bzzz/{swarm}/{key}+")), "{vkey}");

    // The log grows; the old checkpoint is kept, and one of another log is not.
    place.said(&["member", "admit", KEY]);
    place.said(&["export", "swarm.bundle"]);
    assert_eq!(verify(&["swarm.bundle", "--checkpoint", "five"]).0, Some(0));
    let elm = Place::new();
    elm.said(&["init", "--name", "elm"]);
    fs::write(place.path("other"), elm.said(&["checkpoint"])).unwrap();
    let (status, said) = verify(&["swarm.bundle", "--checkpoint", "other"]);
    assert!(status == Some(1) && said.contains("FAILED checkpoint-root: "), "{said}");

    let body = place.said(&["checkpoint", "--since", "5"]);
    let (proof, note) = body.split_once("\n\n").unwrap();
    assert_eq!(note, place.said(&["checkpoint"]));
    assert_eq!((proof.lines().next(), proof.lines().count()), (Some("old 5"), 1 + 3));
    let said = place.json(&["checkpoint", "--since", "5", "--json"]);
    assert_eq!((said["length"].as_u64(), said["verifier_key"].as_str()), (Some(6), Some(&*vkey)));
    assert_eq!(place.run(&["checkpoint", "--since", "7"]).status.code(), Some(2));

    for index in ["administrator:0", "administrator:5"] {
        let wrote = place.said(&["prove", index, "--checkpoint", "-o", "x.tlog-proof"]);
        assert!(wrote.contains("bzzz-verify tlog-proof x.tlog-proof --author "), "{wrote}");
        let (status, said) = verify(&["tlog-proof", "x.tlog-proof", "--author", &key]);
        assert!(status == Some(0) && said.contains(" of its log of 6."), "{said}");
    }
    let (_, said) = verify(&["tlog-proof", "x.tlog-proof", "--author", &key, "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["payload"]["member"], KEY);
    assert_eq!((&said["index"], &said["verified"]), (&Value::from(5), &Value::from(true)));

    // Only its author signs a log's checkpoints, and a node without a record has none.
    let joiner = Place::new();
    joiner.said(&["init", "--name", "ash", "--join", swarm]);
    let bundle = place.path("swarm.bundle");
    joiner.said(&["import", bundle.to_str().unwrap()]);
    let said = joiner.fails(&["prove", &format!("{key}:0"), "--checkpoint"]);
    assert!(said.contains("only it can sign") && said.contains("Hint: "), "{said}");
    assert!(joiner.fails(&["checkpoint"]).contains("no record yet"));
}

/// All files below a folder, by their path in it.
fn files_below(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => all.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    all.sort();
    all
}

#[test]
fn monitors_read_a_log_from_its_tiles() {
    let place = Place::new();
    place.said(&["init", "--name", "maple"]);
    let said = place.said(&["checkpoint", "--tiles", "tiles"]);
    assert_eq!(said, "Wrote 2 new files and the checkpoint of 1 records to tiles.\n");
    place.said(&["member", "admit", KEY]);
    assert_eq!(place.json(&["checkpoint", "--tiles", "tiles", "--json"])["files"], 2);
    let expected = [
        "checkpoint",
        "tile/0/000.p/1",
        "tile/0/000.p/2",
        "tile/entries/000.p/1",
        "tile/entries/000.p/2",
    ];
    assert_eq!(files_below(&place.path("tiles")), expected);
    let read = |name: &str| fs::read(place.path("tiles").join(name)).unwrap();
    assert_eq!(read("checkpoint"), place.said(&["checkpoint"]).into_bytes());
    assert!(read("tile/0/000.p/2").starts_with(&read("tile/0/000.p/1")));
    let entries = read("tile/entries/000.p/2");
    let length = usize::from(u16::from_be_bytes([entries[0], entries[1]]));
    assert!(entries.starts_with(&read("tile/entries/000.p/1")) && length == 89);
    assert_eq!(entries.len(), 2 * (2 + length));
    // A directory of another log is not mixed with this one.
    fs::write(place.path("tiles/tile/0/000.p/2"), [7; 64]).unwrap();
    let said = place.fails(&["checkpoint", "--tiles", "tiles"]);
    assert!(said.contains("000.p/2 is of another log"), "{said}");
}

#[test]
fn a_node_that_keeps_nothing_on_disk_is_asked() {
    let founder = Place::new();
    founder.found();
    let first = founder.up(&["--set", "agent.work=false"]);
    founder.said(&["task", "add", "--title", "Sort it"]);
    let listening = founder.until(&["status", "--json"], |s| s["listening"][0].is_string());
    let peer = format!("net.peers={}", listening["listening"][0].as_str().unwrap());
    let swarm = listening["swarm"].as_str().unwrap();

    let place = Place::new();
    let mut args = vec!["init", "--name", "oak", "--join", swarm, "--json"];
    let listen = "net.listen=/ip4/127.0.0.1/tcp/0";
    for set in ["store.kind=memory", "net.mdns=false", "agent.work=false", listen, &peer] {
        args.extend(["--set", set]);
    }
    let joined = place.json(&args);
    assert!(place.fails(&["task", "list"]).contains("No node runs"));
    let second = place.up(&[]);
    founder.said(&["member", "admit", joined["key"].as_str().unwrap(), "--name", "oak"]);
    place.until(&["member", "list", "--json"], |m| m["members"][1].is_object());
    place.until(&["peers", "--json"], |peers| peers[0]["name"] == "maple");
    let theirs = founder.json(&["status", "--json"])["digest"].clone();
    assert_eq!(theirs.as_str().unwrap().len(), 64);
    // What each says of its start reaches the other, and then both are in one state.
    let start = Instant::now();
    while founder.json(&["status", "--json"])["digest"]
        != place.json(&["status", "--json"])["digest"]
    {
        assert!(start.elapsed() < HANG, "the states differ");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(place.json(&["task", "list", "--json"]), founder.json(&["task", "list", "--json"]));
    assert!(place.said(&["log", "--author", "maple", "-n", "5"]).contains("maple"));
    assert!(place.said(&["log", "-n", "1"]).lines().count() == 1);
    let refused = place.fails(&["export", "x"]);
    assert!(refused.contains("in memory"), "{refused}");
    let refused = place.fails(&["member", "admit", KEY]);
    assert!(refused.contains("no administrator"), "{refused}");
    assert_eq!((first.stop(), second.stop()), (Some(0), Some(0)));
}

#[test]
fn where_others_reach_the_page_reading_needs_the_token_too() {
    let place = Place::new();
    place.said(&["init", "--set", "net.listen=/ip4/127.0.0.1/tcp/0", "--set", "net.mdns=false"]);
    let remote = ["--set", "api.listen=0.0.0.0:0", "--set", "sandbox.kind=process"];
    assert!(place.fails(&["up", remote[0], remote[1]]).contains("allow_remote"));
    let mut up = place.up(&[&remote[..], &["--set", "api.allow_remote=true"]].concat());
    up.api = up.api.replace("0.0.0.0", "127.0.0.1");
    let token = format!("Authorization: Bearer {}", place.token());
    for (path, without) in [("/", 200), ("/health", 200), ("/metrics", 401), ("/api/v1/tasks", 401)]
    {
        assert_eq!(up.get(path, &[]).0, without, "{path}");
        assert_eq!(up.get(path, &[&token, "Host: node.example"]).0, 200, "{path}");
    }
    // The command line has the token.
    assert_eq!(place.json(&["status", "--json"])["members"], 1);
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn what_is_broken_is_named() {
    let place = Place::new();
    place.said(&["init"]);
    let key = place.path("home/key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = place.fails(&["up"]);
    assert!(said.contains("mode 644") && said.contains("chmod 600"), "{said}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

    // A file that a killed node left behind misleads nobody.
    fs::write(place.path("home/api.addr"), "127.0.0.1:1\n").unwrap();
    assert!(place.fails(&["status"]).contains("No node runs"));
    fs::write(place.path("home/api.addr"), "nonsense\n").unwrap();
    assert!(place.fails(&["status"]).contains("should hold an address"));
    fs::remove_file(place.path("home/api.addr")).unwrap();

    let store = place.path("home/store");
    for entry in fs::read_dir(&store).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("MANIFEST-") {
            fs::write(&path, "not a manifest").unwrap();
        }
    }
    for args in [&["up"][..], &["task", "list"], &["member", "admit", KEY], &["export", "x"]] {
        let said = place.fails(args);
        assert!(said.contains("The store could not") && said.contains("Hint:"), "{said}");
    }
    assert!(!place.path("x").exists());
    assert_eq!(place.run(&["doctor"]).status.code(), Some(1));
}
