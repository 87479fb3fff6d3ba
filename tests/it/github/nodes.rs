//! Whole nodes, as processes of their own, that take issues on GitHub to pull requests, and are
//! killed at any time.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::hub::{AGENTS, DEMO, Hub};
use crate::git::git;

/// A node's home, and its process while it runs.
pub(super) struct Agent {
    pub(super) home: PathBuf,
    name: &'static str,
    process: Option<Child>,
    /// How often it was started.
    starts: u32,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Agent {
    pub(super) fn bzzz(&self, args: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bzzz"));
        let output = command.arg("--home").arg(&self.home).arg("--json").args(args);
        let output = output.stdin(Stdio::null()).output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| json!({ "failed": format!("{output:?}") }))
    }

    /// Makes a home for the agent of this number, with the repository in its configuration.
    fn init(
        hub: &Hub,
        number: usize,
        how: &[&str],
        peer: Option<u16>,
        listen: u16,
    ) -> (Self, Value) {
        let file = hub.dir.path().join(format!("{}.token", AGENTS[number].0));
        let repository = format!(
            "name=demo,url={},github={DEMO},github_url={},token_file={}",
            hub.remote(),
            hub.api(),
            file.display()
        );
        let more = ["--repository".to_owned(), repository];
        Self::init_with(hub, number, how, peer, listen, &more)
    }

    /// Makes a home for the agent of this number, with more arguments.
    pub(super) fn init_with(
        hub: &Hub,
        number: usize,
        how: &[&str],
        peer: Option<u16>,
        listen: u16,
        more: &[String],
    ) -> (Self, Value) {
        let (name, token) = AGENTS[number];
        let dir = hub.dir.path();
        let file = dir.join(format!("{name}.token"));
        fs::write(&file, format!("{token}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let agent = Self { home: dir.join(name), name, process: None, starts: 0 };
        let script = dir.join("script.json");
        let mut args = vec!["init".to_owned(), "--name".to_owned(), name.to_owned()];
        args.extend(how.iter().map(|word| (*word).to_owned()));
        let settings = [
            format!("net.listen=/ip4/127.0.0.1/tcp/{listen}"),
            format!(
                "net.peers={}",
                peer.map_or_else(String::new, |port| format!("/ip4/127.0.0.1/tcp/{port}"))
            ),
            "net.mdns=false".to_owned(),
            "net.own_log_seconds=2".to_owned(),
            "agent.poll_seconds=1".to_owned(),
            "agent.watch_seconds=1".to_owned(),
            "agent.plan_window_seconds=1".to_owned(),
            "agent.lease_seconds=10".to_owned(),
            "agent.max_tasks=2".to_owned(),
            "budget.retries=20".to_owned(),
            "sandbox.kind=process".to_owned(),
            "reasoner.kind=scripted".to_owned(),
            format!("reasoner.script={}", script.display()),
        ];
        for setting in settings {
            args.extend(["--set".to_owned(), setting]);
        }
        args.extend(more.iter().cloned());
        let said = agent.bzzz(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(said["key"].is_string(), "{said}");
        (agent, said)
    }

    pub(super) fn up(&mut self) {
        let log = self.home.with_extension("log");
        let log = fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bzzz"));
        command.arg("--home").arg(&self.home).arg("up").env("CI", "");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(command.spawn().unwrap());
        self.starts += 1;
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.home.with_extension("log")).unwrap_or_default()
    }

    pub(super) fn tasks(&self) -> Vec<Value> {
        self.bzzz(&["task", "list"])["tasks"].as_array().cloned().unwrap_or_default()
    }

    pub(super) fn is_dead(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_some())
    }
}

/// What stands for a model: each issue is one file.
pub(super) fn script(dir: &Path, issues: u64) {
    let lists = (1..=issues).map(|n| {
        let plan = json!({ "summary": format!("Write done/{n}.txt"), "steps": ["Write it"],
            "files": [format!("done/{n}.txt")], "tests": [], "risks": [] });
        let command = format!("mkdir -p done && date +%s%N >>done/{n}.txt && sleep 1.5");
        let step =
            json!({ "reasoning": "It is missing.", "action": "command", "command": command });
        let done = json!({ "reasoning": "It is there.", "action": "done", "summary": "Written." });
        (n.to_string(), json!({ "plan": [plan], "steps": [step, done] }))
    });
    let issues: serde_json::Map<String, Value> = lists.collect();
    fs::write(dir.join("script.json"), json!({ "issues": issues }).to_string()).unwrap();
}

pub(super) fn files(hub: &Hub, consent: Option<&str>) {
    let source = hub.dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("README.md"), "A sample.\n").unwrap();
    if let Some(text) = consent {
        fs::write(source.join(".bzzz.toml"), text).unwrap();
    }
    hub.push(&source);
}

pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether every issue has its pull request, and the board was told.
pub(super) fn all_told(hub: &Hub, issues: &[u64]) -> bool {
    hub.pulls().len() >= issues.len()
        && issues.iter().all(|issue| {
            let found = hub.owner("GET", &format!("/issues/{issue}/labels"), None);
            let names: Vec<_> =
                found.as_array().unwrap().iter().map(|label| label["name"].clone()).collect();
            let said = hub.comments(*issue).iter().any(|text| text.contains("Pull request"));
            said && names.contains(&json!("in-review")) && !names.contains(&json!("in-progress"))
        })
}

/// One comment and one pull request for each issue, and each branch has the file.
pub(super) fn check(hub: &Hub, issues: &[u64]) {
    let pulls = hub.pulls();
    let mut heads = BTreeSet::new();
    for pull in &pulls {
        let head = pull["head"]["ref"].as_str().unwrap();
        assert!(heads.insert(head.to_owned()), "{head} has two pull requests");
        let body = pull["body"].as_str().unwrap();
        for part in
            ["Closes #", "## Plan", "## Commands", "## Cost", "## Evidence", "bzzz-verify proof"]
        {
            assert!(body.contains(part), "{part} is missing:\n{body}");
        }
    }
    assert_eq!(pulls.len(), issues.len());
    for issue in issues {
        let comments = hub.comments(*issue);
        assert_eq!(comments.len(), 1, "issue {issue}: {comments:#?}");
        assert!(heads.contains(&format!("bzzz/issue-{issue}")), "{heads:?}");
        let bare = hub.dir.path().join("repos").join(format!("{DEMO}.git"));
        let file = format!("bzzz/issue-{issue}:done/{issue}.txt");
        let shown = Command::new("git").args(["show", &file]).current_dir(bare).output().unwrap();
        assert!(shown.status.success(), "{shown:?}");
    }
}

/// Exports what an agent holds and lets the auditor's program judge it.
pub(super) fn verify(agent: &Agent, dir: &Path) {
    let bundle = dir.join("swarm.bzzz");
    agent.bzzz(&["export", bundle.to_str().unwrap()]);
    let output = Command::new(env!("CARGO_BIN_EXE_bzzz-verify")).arg(&bundle).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    for token in AGENTS.map(|(_, token)| token) {
        let bytes = fs::read(&bundle).unwrap();
        let found = bytes.windows(token.len()).any(|window| window == token.as_bytes());
        assert!(!found, "the bundle holds a token");
        assert!(!agent.log().contains(token), "the log holds a token");
    }
}

#[test]
fn github_five_issues_become_pull_requests_through_every_sort_of_fault() {
    let hub = Hub::start();
    files(&hub, None);
    script(hub.dir.path(), 5);
    let issues: Vec<u64> = (1..=5)
        .map(|n| hub.issue(&format!("Write {n}"), "It is missing.", &["bzzz-task"]))
        .collect();
    let faults = [
        ("GET", "/issues", json!({ "status": 500 })),
        ("GET", "/issues", json!({ "status": 429, "headers": { "Retry-After": "2" } })),
        ("POST", "/comments$", json!({ "drop": true, "after": true })),
        (
            "POST",
            "/comments$",
            json!({ "status": 403, "headers": { "Retry-After": "1" }, "body":
            { "message": "You have exceeded a secondary rate limit." } }),
        ),
        ("POST", "/pulls$", json!({ "status": 502, "after": true })),
        ("POST", "/pulls$", json!({ "drop": true })),
        ("POST", "/labels$", json!({ "status": 500 })),
        ("PATCH", "/comments", json!({ "drop": true })),
        ("GET", "/pulls", json!({ "raw": "HTTP/1.1 200 OK\r\n\r\n<html>" })),
    ];
    for (method, path, fault) in &faults {
        hub.fault(method, path, 1, fault);
    }
    let (mut agent, _) = Agent::init(&hub, 0, &["--swarm-name", "test"], None, free_port());
    agent.up();
    let begun = Instant::now();
    while !all_told(&hub, &issues) {
        assert!(!agent.is_dead(), "{}", agent.log());
        assert!(begun.elapsed() < Duration::from_secs(240), "{}", agent.log());
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("five issues took {:?}", begun.elapsed());
    check(&hub, &issues);
    let left = hub.control("POST", "faults", Some(&json!({ "path": "none", "status": 1 })));
    assert_eq!(left.as_array().unwrap().len(), 1, "every fault happened: {left}");
    verify(&agent, hub.dir.path());
}

#[test]
fn github_two_nodes_share_ten_issues_and_are_killed_again_and_again() {
    let hub = Hub::start();
    files(&hub, None);
    script(hub.dir.path(), 10);
    let issues: Vec<u64> = (1..=10)
        .map(|n| hub.issue(&format!("Write {n}"), "It is missing.", &["bzzz-task"]))
        .collect();
    let ports = [free_port(), free_port()];
    let (a, founded) = Agent::init(&hub, 0, &["--swarm-name", "test"], Some(ports[1]), ports[0]);
    let swarm = founded["swarm"].as_str().unwrap();
    let (b, joined) = Agent::init(&hub, 1, &["--join", swarm], Some(ports[0]), ports[1]);
    a.bzzz(&["member", "admit", joined["key"].as_str().unwrap(), "--name", "agent-b"]);
    let mut agents = [a, b];
    for agent in &mut agents {
        agent.up();
    }
    let (begun, mut kills) = (Instant::now(), 0_u64);
    let mut next = Duration::from_secs(2);
    while !all_told(&hub, &issues) {
        for agent in &mut agents {
            assert!(!agent.is_dead(), "{}: {}", agent.name, agent.log());
        }
        let logs = || agents.iter().map(Agent::log).collect::<Vec<_>>().join("\n-----\n");
        assert!(begun.elapsed() < Duration::from_secs(420), "{}", logs());
        if begun.elapsed() > next && kills < 12 {
            // At another place of the work each time.
            let agent = &mut agents[usize::try_from(kills % 2).unwrap()];
            agent.kill();
            std::thread::sleep(Duration::from_millis(300));
            agent.up();
            kills += 1;
            next = begun.elapsed() + Duration::from_millis(1_600 + kills * 731 % 1_500);
        }
        std::thread::sleep(Duration::from_millis(400));
    }
    println!("ten issues took {:?} with {kills} kills", begun.elapsed());
    assert!(kills >= 4, "only {kills} kills: the work was too quick for the test to mean much");
    // What was decided is known to both in the end.
    let done = |agent: &Agent| {
        let tasks = agent.tasks();
        tasks.len() == 10
            && tasks.iter().all(|task| task["status"] == "published" && task["contested"] == false)
    };
    let begun = Instant::now();
    while !agents.iter().all(done) {
        let seen: Vec<_> = agents.iter().map(Agent::tasks).collect();
        assert!(begun.elapsed() < Duration::from_secs(60), "{seen:#?}");
        std::thread::sleep(Duration::from_millis(500));
    }
    check(&hub, &issues);
    let owners: BTreeSet<String> =
        agents[0].tasks().iter().map(|task| task["owner_name"].to_string()).collect();
    assert_eq!(owners.len(), 2, "both worked: {owners:?}");
    verify(&agents[0], hub.dir.path());
    verify(&agents[1], hub.dir.path());
}

#[test]
fn github_repository_that_refuses_is_left_alone() {
    let hub = Hub::start();
    files(&hub, Some("[consent]\nallow = false\nreason = \"We work by hand.\"\n"));
    script(hub.dir.path(), 1);
    hub.issue("Write 1", "It is missing.", &["bzzz-task"]);
    let (mut agent, _) = Agent::init(&hub, 0, &["--swarm-name", "test"], None, free_port());
    let found = agent.bzzz(&["doctor"]).to_string();
    assert!(found.contains("We work by hand."), "{found}");
    assert!(found.contains("enters as agent-a"), "{found}");
    let before = hub.asked("GET", "/issues");
    agent.up();
    let begun = Instant::now();
    while !agent.log().contains("We work by hand.") {
        assert!(!agent.is_dead(), "{}", agent.log());
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", agent.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(hub.asked("GET", "/issues"), before, "no issue is read");
}

fn wait(agent: &mut Agent, what: &str, ready: &dyn Fn(&Agent) -> bool) {
    let begun = Instant::now();
    while !ready(agent) {
        assert!(!agent.is_dead(), "{what}: {}", agent.log());
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}: {}", agent.log());
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// An issue without the label is closed by people, and a branch that was merged is deleted.
#[test]
fn github_what_a_task_depends_on_may_be_no_task_or_be_merged() {
    let hub = Hub::start();
    files(&hub, None);
    script(hub.dir.path(), 6);
    let by_hand = hub.issue("Decide", "People do.", &[]);
    let text = format!("Depends on #{by_hand}.");
    let first = hub.issue("Write 2", &text, &["bzzz-task"]);
    let (mut agent, _) = Agent::init(&hub, 0, &["--swarm-name", "test"], None, free_port());
    agent.up();
    wait(&mut agent, "the task to wait", &|agent| {
        agent.tasks().iter().any(|task| task["waits_for"] == by_hand)
    });
    assert!(hub.pulls().is_empty());
    let closed = json!({ "state": "closed" });
    hub.owner("PATCH", &format!("/issues/{by_hand}"), Some(&closed));
    wait(&mut agent, "the first", &|_| all_told(&hub, &[first]));

    let pull = hub.pulls()[0]["number"].as_u64().unwrap();
    hub.owner("PUT", &format!("/pulls/{pull}/merge"), Some(&json!({})));
    let bare = hub.dir.path().join("repos").join(format!("{DEMO}.git"));
    let branch = format!("refs/heads/bzzz/issue-{first}");
    git(&bare, &["update-ref", "-d", &branch]);
    wait(&mut agent, "the merge", &|agent| {
        agent.tasks().iter().any(|task| task["status"] == "merged")
    });
    // By its number, and with the repository's own name.
    let text = format!("Blocked by #{first}, depends on {DEMO}#{by_hand}.");
    let second = hub.issue("Write 4", &text, &["bzzz-task"]);
    wait(&mut agent, "the second", &|_| all_told(&hub, &[second]));
    verify(&agent, hub.dir.path());
}

#[test]
fn github_pull_request_is_watched_until_it_is_merged() {
    let hub = Hub::start();
    files(&hub, None);
    script(hub.dir.path(), 1);
    let issue = hub.issue("Write 1", "It is missing.", &["bzzz-task"]);
    let (mut agent, _) = Agent::init(&hub, 0, &["--swarm-name", "test"], None, free_port());
    agent.up();
    wait(&mut agent, "a pull request", &|_| all_told(&hub, &[issue]));
    let pull = hub.pulls()[0].clone();
    let head = pull["head"]["sha"].clone();
    // A check fails: the work goes on with the same claim, and the same pull request.
    let run = json!({ "name": "tests", "head_sha": head, "status": "completed",
        "conclusion": "failure", "output": { "title": "1 fails", "summary": "two lines" } });
    hub.owner("POST", "/check-runs", Some(&run));
    wait(&mut agent, "another commit", &|_| hub.pulls()[0]["head"]["sha"] != head);
    agent.kill();
    agent.up();
    wait(&mut agent, "the word of it", &|_| all_told(&hub, &[issue]));
    assert_eq!(hub.pulls().len(), 1);
    assert_eq!(hub.comments(issue).len(), 1);

    let number = pull["number"].as_u64().unwrap();
    hub.owner("PUT", &format!("/pulls/{number}/merge"), Some(&json!({})));
    let bare = hub.dir.path().join("repos").join(format!("{DEMO}.git"));
    let claims = || {
        let args = ["for-each-ref", "refs/bzzz/claims"];
        let output = Command::new("git").args(args).current_dir(&bare).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!claims().is_empty());
    wait(&mut agent, "the end of the claim", &|_| claims().is_empty());
    wait(&mut agent, "the end of the task", &|agent| agent.log().contains("merged"));
    assert!(hub.comments(issue)[0].contains("was merged"), "{:?}", hub.comments(issue));
    let issue = hub.owner("GET", &format!("/issues/{issue}"), None);
    assert_eq!(issue["state"], "closed");
    let labels: Vec<_> =
        issue["labels"].as_array().unwrap().iter().map(|l| l["name"].clone()).collect();
    assert_eq!(labels, ["bzzz-task"]);
    verify(&agent, hub.dir.path());
}
