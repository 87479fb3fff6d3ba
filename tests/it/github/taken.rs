//! Whole nodes that have no repository of their own, and take up what Hive names.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::hub::Hub;
use super::nodes::{Agent, all_told, check, files, free_port, script, verify};
use crate::http::hive::{FakeHive, project};
use crate::http::server::{Reply, Server};

const HIVE_KEY: &str = "hive-key-of-the-test";

/// A node without a repository, which may take up those of the demo's owner.
fn agent(hub: &Hub, hive: SocketAddr, more: &[&str]) -> Agent {
    let key = hub.dir.path().join("hive.key");
    fs::write(&key, HIVE_KEY).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let token = hub.dir.path().join("agent-a.token");
    let settings = [
        format!("hive.url=http://{hive}"),
        format!("hive.key_file={}", key.display()),
        "hive.poll_seconds=1".to_owned(),
        "hive.timeout_seconds=2".to_owned(),
        "hive.take_up=true".to_owned(),
        "hive.owners=octo-owner/*".to_owned(),
        format!("hive.web_url={}", hub.api()),
        format!("hive.github_url={}", hub.api()),
        format!("hive.github_token_file={}", token.display()),
    ];
    let more = more.iter().map(|set| (*set).to_owned());
    let args = settings.into_iter().chain(more).flat_map(|set| ["--set".to_owned(), set]);
    let args: Vec<String> = args.collect();
    Agent::init_with(hub, 0, &["--swarm-name", "test"], None, free_port(), &args).0
}

fn demo(hub: &Hub) -> Value {
    owned(7, &hub.remote())
}

/// A project at an address, which says nothing else of owner and name.
fn owned(id: u64, url: &str) -> Value {
    let mut project = project(id, url, true, true);
    (project["owner"], project["repository"]) = (json!(""), json!(""));
    project
}

#[track_caller]
fn wait(agent: &mut Agent, what: &str, ready: impl Fn(&Agent) -> bool) {
    let begun = Instant::now();
    while !ready(agent) {
        assert!(!agent.is_dead(), "{what}: {}", agent.log());
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}: {}", agent.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// How often Hive was asked for its list.
fn looks(server: &Server) -> usize {
    let requests = server.requests();
    requests.iter().filter(|request| request.path.ends_with("active-repos")).count()
}

/// The payloads of one kind in the node's log.
fn events(agent: &Agent, kind: &str) -> Vec<Value> {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bzzz"));
    command.arg("--home").arg(&agent.home).args(["log", "--json", "-n", "10000"]);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let found = events.filter(|event| event["kind"] == kind);
    found.map(|event| event["payload"].clone()).collect()
}

/// Whether Hive was told of one task of the demo, all of it.
fn was_told(hive: &FakeHive) -> bool {
    let mut told: Vec<String> = hive.look(|memory| {
        memory.told.iter().map(|(project, _, status)| format!("{project} {status}")).collect()
    });
    told.sort();
    told == ["7 claimed", "7 completed", "7 in_progress"]
}

#[test]
fn github_a_repository_that_only_hive_names_is_worked_on_and_let_go() {
    let hub = Hub::start();
    files(&hub, None);
    script(hub.dir.path(), 6);
    let issue = |n: u64| hub.issue(&format!("Write {n}"), "It is missing.", &["bzzz-task"]);
    assert_eq!(issue(1), 1);
    let address = Server::free_address();
    let trap = Server::start(|_, _| Reply::text(500, "nobody should come here"));
    let mut agent = agent(&hub, address, &[]);
    // Hive is away at the start.
    agent.up();
    wait(&mut agent, "a look", |agent| agent.log().contains("Hive gives no list"));
    assert_eq!(agent.tasks().len(), 0);

    let foreign = owned(8, &format!("{}/eve/demo.git", hub.api()));
    let elsewhere = owned(9, &format!("{}/octo-owner/demo.git", trap.url()));
    let all = vec![foreign, elsewhere, demo(&hub)];
    let hive = FakeHive::start(Some(address), all.clone());
    wait(&mut agent, "the first", |_| all_told(&hub, &[1]));
    check(&hub, &[1]);
    let name = format!("127.0.0.1..{}_octo-owner_demo", hub.port);
    assert_eq!(agent.tasks()[0]["repository"], name.as_str());
    let log = agent.log();
    assert!(log.contains("/eve/demo") && log.contains("hive.owners does not have it"), "{log}");
    assert!(log.contains("it is not at"), "{log}");
    assert_eq!(trap.requests().len(), 0, "no address of Hive's is gone to");
    assert_eq!(hub.asked("GET", "/eve/"), 0, "nobody asks for the foreign one");
    wait(&mut agent, "the reports", |_| was_told(&hive));
    let says = agent.bzzz(&["doctor"]).to_string();
    assert!(says.contains("eve/demo: not taken up") && says.contains(&name), "{says}");

    // A restart without Hive: its last word counts.
    drop(hive);
    agent.kill();
    // Issues and pull requests are numbered together.
    let second = issue(2);
    agent.up();
    wait(&mut agent, "the second, without Hive", |_| all_told(&hub, &[1, second]));
    let explained = agent.bzzz(&["explain", &format!("{name}#1")]).to_string();
    assert!(!explained.contains("is not configured for"), "{explained}");

    // Hive drops it: nothing new is claimed, and what is published is watched.
    let hive = FakeHive::start(Some(address), Vec::new());
    wait(&mut agent, "the drop", |agent| agent.log().contains("listed=false"));
    let third = issue(3);
    wait(&mut agent, "the third, seen", |agent| agent.tasks().len() == 3);
    let from = looks(&hive.server);
    wait(&mut agent, "some looks", |_| looks(&hive.server) > from + 4);
    assert_eq!(hub.pulls().len(), 2);
    let mirror = agent.home.join("mirrors").join(&name);
    assert!(mirror.exists());
    for pull in hub.pulls() {
        let number = pull["number"].as_u64().unwrap();
        hub.owner("PUT", &format!("/pulls/{number}/merge"), Some(&json!({})));
    }
    wait(&mut agent, "the end", |agent| agent.log().contains("let go: Hive does not list it"));
    wait(&mut agent, "no mirror", |_| !mirror.exists());
    for n in [1, second] {
        assert!(hub.comments(n)[0].contains("was merged"), "{:?}", hub.comments(n));
    }
    let from = (looks(&hive.server), hub.asked("GET", "/issues"));
    wait(&mut agent, "some looks", |_| looks(&hive.server) > from.0 + 4);
    assert_eq!(hub.asked("GET", "/issues"), from.1, "it is read no more");

    // And takes it up again, without a restart.
    hive.look(|memory| memory.projects = all);
    wait(&mut agent, "the third", |_| hub.pulls().len() == 3 && all_told(&hub, &[third]));
    let seen = events(&agent, "repository_seen");
    assert_eq!(seen.len(), 2, "once taken up, and at the second start: {seen:?}");
    assert!(seen.iter().all(|seen| seen["repository"] == name.as_str()), "{seen:?}");
    assert_eq!(seen[0]["url"], hub.remote());
    let consents = events(&agent, "repository_consent");
    assert_eq!((consents.len(), &consents[0]["source"]), (1, &json!("hive")), "{consents:?}");
    assert_eq!(hive.look(|memory| memory.wrong.clone()), Vec::<String>::new());
    verify(&agent, hub.dir.path());
    assert!(!agent.log().contains(HIVE_KEY));
}

#[test]
fn github_a_hive_in_the_wrong_hands_is_bounded() {
    let hub = Hub::start();
    files(&hub, None);
    script(hub.dir.path(), 1);
    hub.issue("Write 1", "It is missing.", &["bzzz-task"]);
    let hive = FakeHive::start(None, vec![json!(1); 1_001]);
    let address = hive.server.url().trim_start_matches("http://").parse().unwrap();
    let mut agent = agent(&hub, address, &["hive.max_repositories=2"]);
    let word = agent.home.join("hive.json");
    fs::write(&word, "{\"format\":1,\"repositories\":[[[").unwrap();
    agent.up();
    wait(&mut agent, "a start", |agent| agent.log().contains("last word cannot be read"));
    wait(&mut agent, "looks", |_| looks(&hive.server) > 2);
    // As many as there may be, of the right owner, and none of them there.
    let many = (0..1_000).map(|n| owned(n, &format!("{}/octo-owner/no-{n}.git", hub.api())));
    let asked = || hub.asked("GET", "/octo-owner/no-");
    hive.look(|memory| memory.projects = many.collect());
    wait(&mut agent, "some tries", |_| asked() >= 6);
    let from = (looks(&hive.server), asked());
    wait(&mut agent, "looks", |_| looks(&hive.server) >= from.0 + 4);
    let (rounds, tries) = (looks(&hive.server) - from.0, asked() - from.1);
    assert!(tries <= 2 * (rounds + 1), "{tries} tries in {rounds} rounds");
    assert_eq!(fs::read_dir(agent.home.join("mirrors")).map_or(0, Iterator::count), 0);

    // GitHub's word on what is private counts, and not Hive's.
    hub.owner("PATCH", "", Some(&json!({ "private": true })));
    hive.look(|memory| memory.projects = vec![demo(&hub)]);
    wait(&mut agent, "a refusal", |agent| agent.log().contains("it is private, says GitHub"));
    assert_eq!(agent.tasks().len(), 0);
    hub.owner("PATCH", "", Some(&json!({ "private": false })));
    wait(&mut agent, "the work", |_| all_told(&hub, &[1]));
    // The file of garbage was replaced by a good one, which others do not read.
    let kept: Value = serde_json::from_slice(&fs::read(&word).unwrap()).unwrap();
    assert_eq!(kept["repositories"][0]["repository"], "octo-owner/demo");
    assert_eq!(fs::metadata(&word).unwrap().permissions().mode() & 0o777, 0o600);

    // It becomes private while the node is down: nothing more is claimed in it.
    agent.kill();
    hub.owner("PATCH", "", Some(&json!({ "private": true })));
    hub.issue("Write another", "It is missing.", &["bzzz-task"]);
    agent.up();
    wait(&mut agent, "a second thought", |agent| agent.log().contains("worked on any more"));
    let from = looks(&hive.server);
    wait(&mut agent, "looks", |_| looks(&hive.server) > from + 3);
    assert_eq!(hub.pulls().len(), 1);
    verify(&agent, hub.dir.path());
}
