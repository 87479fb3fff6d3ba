//! Whole nodes, each a process, with Hive and webhooks that come, go, fail and lie.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bzzz::node::clock;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::hive::{FakeHive, project};
use super::node::{ANSWER, ASKS, Place, model_server, models_asked};
use super::server::{Reply, Request, Server};
use crate::running::Up;

const HIVE_KEY: &str = "hive-key-of-the-test";
const SECRET: &str = "secret of webhooks in this test";

/// What Hive was told of a task, sorted.
fn told(hive: &FakeHive, project: u64, task: u64) -> Vec<String> {
    hive.look(|memory| {
        let told = memory.told.iter().filter(|told| (told.0, told.1) == (project, task));
        let mut told: Vec<String> = told.map(|told| told.2.clone()).collect();
        told.sort();
        told
    })
}

#[test]
fn a_node_works_without_hive_and_tells_it_once_when_it_comes() {
    let (model, address) = (model_server(), Server::free_address());
    let url = format!("hive.url=http://{address}");
    let settings = [url.as_str(), "hive.key_file=hive.key", "hive.poll_seconds=1"];
    let place = Place::new(&model, &settings);
    place.secret("hive.key", HIVE_KEY);
    let _up = place.up();
    place.add("Write it", "Now.", &[]);
    place.until("the work, with nobody at Hive's address", || place.status(1) == "published");

    let hive = FakeHive::start(Some(address), vec![project(7, &place.remote(), true, true)]);
    let all = ["claimed", "completed", "in_progress"];
    place.until("the reports", || told(&hive, 7, 1) == all);
    // A second task is told as it goes, and the first one not again.
    place.add("Write more", "Now.", &[]);
    place.until("the reports of the second", || told(&hive, 7, 2) == all);
    assert_eq!(told(&hive, 7, 1), all);
    assert_eq!(hive.look(|memory| memory.wrong.clone()), Vec::<String>::new());
    let reported = place.events("sample#1", "reported");
    let to_hive = |event: &&Value| event["payload"]["target"] == "hive";
    assert_eq!(reported.iter().filter(to_hive).count(), 3, "{reported:#?}");
    // The key that Hive is asked with stands nowhere but in its file.
    let log = place.said(&["log", "--json", "-n", "1000"]);
    assert!(!log.contains(HIVE_KEY));
    assert!(!std::fs::read_to_string(place.path("up.log")).unwrap().contains(HIVE_KEY));
}

#[test]
fn hive_says_when_tasks_are_claimed_and_can_allow_nothing_more() {
    let model = model_server();
    // What it lists beside is an address that would be noticed.
    let trap = Server::start(|_, _| Reply::text(500, "nobody should come here"));
    let hive = FakeHive::start(None, Vec::new());
    let url = format!("hive.url={}", hive.server.url());
    let settings = [url.as_str(), "hive.key_file=hive.key", "hive.poll_seconds=1"];
    let place = Place::new(&model, &settings);
    place.secret("hive.key", HIVE_KEY);
    let other = project(8, &format!("{}/acme/other.git", trap.url()), true, true);
    hive.look(|memory| memory.projects = vec![other.clone()]);
    let _up = place.up();
    place.add("Write it", "Now.", &[]);
    place.until("the issue", || place.status(1) == "open");
    let asked = || {
        let requests = hive.server.requests();
        requests.iter().filter(|request| request.path.ends_with("active-repos")).count()
    };
    for (enabled, ready) in [(true, false), (false, true), (false, false)] {
        let from = asked();
        place.until("some looks at Hive", || asked() >= from + 3);
        assert_eq!(place.status(1), "open");
        let ours = project(7, &place.remote(), enabled, ready);
        hive.look(|memory| memory.projects = vec![other.clone(), ours]);
    }
    let from = asked();
    place.until("some looks at Hive", || asked() >= from + 3);
    assert_eq!(place.status(1), "open");
    let says = place.says(&["doctor"]);
    assert!(says.contains("bzzz is not enabled") && says.contains("2 projects"), "{says}");
    let ours = project(7, &place.remote(), true, true);
    hive.look(|memory| memory.projects = vec![other.clone(), ours]);
    place.until("the work", || place.status(1) == "published");
    assert_eq!(trap.requests().len(), 0, "no address of Hive's is gone to");
    // A list that cannot be read changes nothing.
    hive.look(|memory| memory.projects = vec![json!(1); 1_001]);
    let from = asked();
    place.until("some looks at Hive", || asked() >= from + 2);
    place.add("Write more", "Now.", &[]);
    place.until("the second", || place.status(2) == "published");
}

fn signed(timestamp: &str, path: &str, body: &str) -> Vec<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{timestamp}.{path}.{body}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    vec![format!("X-Bzzz-Timestamp: {timestamp}"), format!("X-Bzzz-Signature: sha256={signature}")]
}

fn post(up: &Up, path: &str, body: &str) -> (u16, Value) {
    let now = (clock::wall_ms() / 1_000).to_string();
    up.post(path, &signed(&now, path, body), body)
}

/// A node that asks people through `webhook`.
fn asking(model: &Server, webhook: &Server, settings: &[&str]) -> Place {
    let url = format!("n8n.webhook_url={}/webhook/bzzz", webhook.url());
    let standard = [
        url.as_str(),
        "n8n.secret_file=n8n.secret",
        "n8n.callback_key_file=n8n.key",
        "n8n.callback_url=http://127.0.0.1:7448/",
    ];
    let place = Place::new(model, &[&standard[..], settings].concat());
    place.secret("n8n.secret", SECRET);
    place.secret("n8n.key", "callback-key-of-the-test");
    place
}

fn refuses_forgeries(up: &Up, path: &str, body: &str, asked: &Request) {
    let now = (clock::wall_ms() / 1_000).to_string();
    let old = (clock::wall_ms() / 1_000 - 400).to_string();
    let other = format!("/api/escalations/{}/answer", "00".repeat(32));
    let forged = [
        Vec::new(),
        signed(&now, path, "{}"),
        signed(&now, &other, body),
        signed(&old, path, body),
        vec!["Authorization: Bearer guess".to_owned()],
        vec![format!("X-Bzzz-Signature: sha256={}", "0".repeat(64))],
    ];
    for headers in forged {
        let (status, said) = up.post(path, &headers, body);
        assert_eq!(status, 401, "{headers:?}: {said}");
        assert!(said["error"].is_string(), "{said}");
    }
    let same = asked.headers.iter().filter(|(name, _)| name.starts_with("x-bzzz"));
    let same: Vec<String> = same.map(|(name, value)| format!("{name}: {value}")).collect();
    let reflected = String::from_utf8(asked.body.clone()).unwrap();
    assert_eq!(up.post(path, &same, &reflected).0, 401, "what goes out is no answer");
}

fn refuses_nonsense(up: &Up, path: &str, body: &str) {
    let other = format!("/api/escalations/{}/answer", "00".repeat(32));
    assert_eq!(post(up, &other, body).0, 404);
    assert_eq!(post(up, "/api/escalations/xy/answer", body).0, 400);
    let (empty, nobody) = ("{\"answer\":\"\",\"by\":\"ann\"}", "{\"answer\":\"x\",\"by\":\"\"}");
    for wrong in ["", "{}", "[]", empty, nobody] {
        assert_eq!(post(up, path, wrong).0, 400, "{wrong}");
    }
    let long = json!({ "answer": "x".repeat(20_000), "by": "ann" }).to_string();
    assert_eq!(post(up, path, &long).0, 413);
}

#[test]
fn people_are_asked_and_their_answer_resumes_the_task() {
    let model = model_server();
    let webhook = Server::start(|_, before| match before {
        0 => Reply::text(500, "not now"),
        _ => Reply::text(200, "{\"message\":\"Workflow was started\"}"),
    });
    let place = asking(&model, &webhook, &[]);
    let up = place.up();
    place.add("Write it", ASKS, &[]);
    let asked = webhook.until("the question, again after its failure", |all| all.len() >= 2);
    let question = asked[1].json();
    assert_eq!(asked[0].json(), question, "what is sent again is the same");
    for request in &asked {
        assert!(super::is_signed(request, SECRET));
    }
    let id = question["escalation"].as_str().unwrap().to_owned();
    assert_eq!(asked[1].header("idempotency-key"), Some(format!("{id}:0").as_str()));
    assert_eq!((&question["issue"], &question["severity"]), (&json!(1), &json!("warning")));
    assert!(question["question"].as_str().unwrap().contains("Which way?"), "{question}");
    let path = format!("/api/escalations/{id}/answer");
    let address = format!("http://127.0.0.1:7448{path}");
    assert_eq!(question["callback"]["answer"], address);

    let body = json!({ "answer": ANSWER, "by": "ann" }).to_string();
    refuses_forgeries(&up, &path, &body, &asked[1]);
    refuses_nonsense(&up, &path, &body);
    assert_eq!(place.events("sample#1", "escalation_answered").len(), 0);
    assert_eq!(place.status(1), "escalated");

    let ack = format!("/api/escalations/{id}/ack");
    for _ in 0..2 {
        let (status, said) = post(&up, &ack, "{\"by\":\"ben\"}");
        assert_eq!((status, &said["acknowledged_by"]), (200, &json!("ben")), "{said}");
    }
    assert_eq!(place.events("sample#1", "escalation_acknowledged").len(), 1);
    // The key of callbacks is as good as a signature.
    let key = ["Authorization: Bearer callback-key-of-the-test".to_owned()];
    let (status, said) = up.post(&path, &key, &body);
    assert_eq!((status, &said["answered_by"]), (200, &json!("ann")), "{said}");
    let (status, said) = post(&up, &path, &body);
    assert_eq!((status, &said["repeated"]), (200, &json!(true)), "{said}");
    let another = json!({ "answer": "Take the first way.", "by": "eve" }).to_string();
    let (status, said) = post(&up, &path, &another);
    assert_eq!((status, &said["answered_by"]), (409, &json!("ann")), "{said}");

    place.until("the end of the resumed work", || place.status(1) == "published");
    // The same afterwards.
    assert_eq!(post(&up, &path, &body).0, 200);
    assert_eq!(post(&up, &path, &another).0, 409);
    assert_eq!(post(&up, &ack, "{\"by\":\"ben\"}").0, 409);
    let answers = place.events("sample#1", "escalation_answered");
    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert_eq!(answers[0]["payload"]["channel"], "n8n");
    assert_eq!(answers[0]["payload"]["answer"], ANSWER);
    assert_eq!(webhook.requests().len(), 2, "nobody is asked again");
}

#[test]
fn a_question_that_nobody_takes_is_raised() {
    let model = model_server();
    let webhook = Server::start(|_, _| Reply::text(200, "ok"));
    let settings = ["n8n.acknowledge_seconds=2"];
    let place = asking(&model, &webhook, &settings);
    let up = place.up();
    place.add("Write it", ASKS, &[]);
    let levels = |all: &[Request]| -> Vec<u64> {
        let mut levels: Vec<_> = all.iter().map(|r| r.json()["level"].as_u64().unwrap()).collect();
        levels.dedup();
        levels
    };
    let asked = webhook.until("a raised question", |all| levels(all).starts_with(&[0, 1]));
    let raised = asked.iter().find(|request| request.json()["level"] == 1).unwrap();
    let id = raised.json()["escalation"].as_str().unwrap().to_owned();
    assert_eq!(raised.json()["severity"], "high");
    assert_eq!(raised.header("idempotency-key"), Some(format!("{id}:1").as_str()));
    assert!(asked.iter().all(|request| request.json()["escalation"] == id.as_str()));
    let (status, said) = post(&up, &format!("/api/escalations/{id}/ack"), "{\"by\":\"ben\"}");
    assert_eq!(status, 200, "{said}");
    let (status, said) = post(
        &up,
        &format!("/api/escalations/{id}/answer"),
        &json!({ "answer": ANSWER, "by": "ben" }).to_string(),
    );
    assert_eq!(status, 200, "{said}");
    place.until("the end", || place.status(1) == "published");
}

#[test]
fn a_webhook_chooses_models_and_its_failure_costs_nothing() {
    let model = model_server();
    let down = Arc::new(AtomicBool::new(false));
    let choice = Arc::new(AtomicU64::new(0));
    let (is_down, chosen) = (Arc::clone(&down), Arc::clone(&choice));
    let webhook = Server::start(move |_, _| {
        let name = ["b:1", "no-such-model"][chosen.load(Ordering::SeqCst) as usize];
        match is_down.load(Ordering::SeqCst) {
            true => Reply::Hang,
            false => Reply::json(200, &json!({ "model": name })),
        }
    });
    let url = format!("reasoner.select_url={}/webhook/model", webhook.url());
    let settings = [url.as_str(), "reasoner.select_seconds=1", "reasoner.choose=docs=c:1"];
    let place = Place::new(&model, &settings);
    let says = place.says(&["doctor"]);
    assert!(says.contains("b:1 (1B, 0 MiB, context 4096, completion)"), "{says}");
    let up = place.up();
    place.add("Write it", "Now.", &["bzzz-task", "docs"]);
    place.until("the first", || place.status(1) == "published");
    assert!(models_asked(&model).iter().all(|name| name == "b:1"), "{:?}", models_asked(&model));
    let asked = webhook.requests();
    assert_eq!(asked.len(), 1, "it is asked once for a task");
    assert_eq!(asked[0].json()["default"], "a:1");
    assert_eq!(asked[0].json()["models"][0]["context"], 4096);

    choice.store(1, Ordering::SeqCst);
    let before = models_asked(&model).len();
    place.add("Write it", "Now.", &["bzzz-task", "docs"]);
    place.until("the second", || place.status(2) == "published");
    let rest = models_asked(&model).split_off(before);
    assert!(!rest.is_empty() && rest.iter().all(|name| name == "c:1"), "{rest:?}");

    // A new process doesn't know that it failed.
    drop(up);
    down.store(true, Ordering::SeqCst);
    let _up = place.up();
    let before = models_asked(&model).len();
    place.add("Write it", "Now.", &["bzzz-task"]);
    place.until("the third", || place.status(3) == "published");
    let rest = models_asked(&model).split_off(before);
    assert!(!rest.is_empty() && rest.iter().all(|name| name == "a:1"), "{rest:?}");
}

#[test]
fn a_model_that_is_not_there_is_named() {
    let model = model_server();
    let place = Place::new(&model, &["reasoner.model=z:1"]);
    let says = place.says(&["doctor"]);
    assert!(says.contains("has no model z:1; it has a:1, b:1, c:1"), "{says}");
}

#[test]
fn a_secret_that_others_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let model = model_server();
    let place = Place::new(&model, &["hive.url=http://127.0.0.1:9", "hive.key_file=hive.key"]);
    let path = place.secret("hive.key", HIVE_KEY);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let says = place.says(&["up"]);
    assert!(says.contains("mode 644") && says.contains("chmod go="), "{says}");
    assert!(!says.contains(HIVE_KEY));
}
