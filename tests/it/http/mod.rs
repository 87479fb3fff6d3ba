//! The clients of Hive and N8N against real HTTP servers that answer as they should, as they should
//! not, and not at all.

pub(crate) mod hive;
pub(crate) mod node;
mod process;
pub(crate) mod server;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bzzz::integrations::hive::{Claimed, Hive, HiveSettings, Results, StatusUpdate};
use bzzz::integrations::http::{Ambient, Backoff, HttpError, Secret};
use bzzz::integrations::n8n::{Escalation, N8n, Question, Selector, Webhook};
use bzzz::node::clock;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use hive::{FakeHive, project};
use server::{Reply, Request, Server};

const AMBIENT: Ambient = Ambient {
    mono_ms: || clock::now().mono_ms,
    random: || clock::random().map_or(0, u64::from_le_bytes),
};

/// Waits that a test can afford.
fn backoff(attempts: u32) -> Backoff {
    Backoff { attempts, first: Duration::from_millis(20), longest: Duration::from_secs(2) }
}

fn settings(url: &str, attempts: u32) -> HiveSettings {
    HiveSettings {
        url: url.to_owned(),
        key: Some(Secret::new("hive-key-of-the-test".to_owned())),
        patience: Duration::from_secs(2),
        backoff: backoff(attempts),
    }
}

fn hive(url: &str, attempts: u32) -> Hive {
    Hive::new(settings(url, attempts), AMBIENT).expect("the settings are good")
}

fn webhook(url: &str, attempts: u32) -> Webhook {
    Webhook {
        url: format!("{url}/webhook/0f1e-secret-path"),
        secret: Some(Secret::new("webhook secret".to_owned())),
        patience: Duration::from_secs(2),
        backoff: backoff(attempts),
    }
}

fn escalation() -> Escalation {
    Escalation {
        kind: "bzzz.escalation",
        version: 1,
        escalation: "ab".repeat(32),
        level: 0,
        severity: "warning",
        swarm: "cd".repeat(32),
        node: "ef".repeat(32),
        node_name: "maple".to_owned(),
        repository: "sample".to_owned(),
        issue: 7,
        title: "Sort it".to_owned(),
        url: String::new(),
        epoch: 1,
        reason: "the model asks for help".to_owned(),
        question: "Which way? \"ä\"".to_owned(),
        callback: None,
    }
}

/// What went wrong, in a word.
fn sort(error: &HttpError) -> &'static str {
    match error {
        HttpError::Settings(_) => "settings",
        HttpError::Unreachable { .. } => "unreachable",
        HttpError::TimedOut { .. } => "timed out",
        HttpError::Interrupted { .. } => "interrupted",
        HttpError::TooLong { .. } => "too long",
        HttpError::Status { .. } => "status",
        HttpError::Malformed { .. } => "malformed",
        HttpError::Resting { .. } => "resting",
    }
}

/// All ways to fail, and what each is called.
fn failures() -> Vec<(Reply, &'static str)> {
    let elsewhere = ("Location", "http://127.0.0.1:9/".to_owned());
    vec![
        (Reply::Hang, "timed out"),
        (Reply::HangInside, "timed out"),
        (Reply::Trickle, "timed out"),
        (Reply::CloseAtOnce, "interrupted"),
        (Reply::CloseInside, "interrupted"),
        (Reply::Garbage, "interrupted"),
        (Reply::EndlessHeader, "interrupted"),
        (Reply::Large(64 << 20), "too long"),
        (Reply::EndlessChunks, "too long"),
        (Reply::text(500, "oh no"), "status"),
        (Reply::text(429, "slow down"), "status"),
        (Reply::text(404, "no such thing"), "status"),
        (Reply::Whole(302, vec![elsewhere], Vec::new()), "status"),
        (Reply::text(200, "<html>"), "malformed"),
        (Reply::text(200, ""), "malformed"),
        (Reply::json(200, &json!({ "repositories": "none" })), "malformed"),
        (Reply::json(200, &json!({ "repositories": vec![0; 1_001] })), "malformed"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_of_a_server_has_its_name_and_its_end() {
    for (reply, expected) in failures() {
        let given = reply.clone();
        let server = Server::start(move |_, _| given.clone());
        let error = hive(&server.url(), 1).projects().await.expect_err("it fails");
        assert_eq!(sort(&error), expected, "{reply:?}: {error}");
        assert_eq!(server.requests().len(), 1, "{reply:?}");
        let said = error.to_string();
        assert!(said.contains(&server.url()) && !said.contains("hive-key"), "{said}");
        assert!(said.len() < 500, "{said}");
    }
    let nobody = format!("http://{}", Server::free_address());
    let error = hive(&nobody, 1).projects().await.expect_err("nobody is there");
    assert_eq!(sort(&error), "unreachable", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    for (reply, expected) in failures() {
        let given = reply.clone();
        let good = json!({ "repositories": [] });
        let server = Server::start(move |_, before| match before {
            0 | 1 => given.clone(),
            _ => Reply::json(200, &good),
        });
        let answer = hive(&server.url(), 3).projects().await;
        let again = matches!(expected, "timed out" | "interrupted")
            || matches!(reply, Reply::Whole(429 | 500, ..));
        assert_eq!(answer.is_ok(), again, "{reply:?}: {answer:?}");
        assert_eq!(server.requests().len(), if again { 3 } else { 1 }, "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_asked_for_is_kept_or_the_server_is_left_alone() {
    let later = |seconds: &str| vec![("Retry-After", seconds.to_owned())];
    // A second is waited for.
    let server = Server::start(move |_, before| match before {
        0 => Reply::Whole(429, later("1"), Vec::new()),
        _ => Reply::json(200, &json!([])),
    });
    let begun = clock::now().mono_ms;
    assert!(hive(&server.url(), 2).projects().await.is_ok());
    assert!(clock::now().mono_ms - begun >= 1_000);
    // A minute isn't: nobody is asked in it.
    let server = Server::start(move |_, _| Reply::Whole(503, later("60"), Vec::new()));
    let hive = hive(&server.url(), 3);
    let first = hive.projects().await.unwrap_err();
    let HttpError::Status { code: 503, retry_after: Some(wait), .. } = first else {
        panic!("{first}")
    };
    assert_eq!(wait, Duration::from_secs(60));
    let second = hive.projects().await.unwrap_err();
    let HttpError::Resting { wait, .. } = second else { panic!("{second}") };
    assert!(wait > Duration::from_secs(30) && wait <= Duration::from_secs(60), "{wait:?}");
    assert_eq!(server.requests().len(), 1);
}

/// A clock that the next test moves.
static TIME: AtomicU64 = AtomicU64::new(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_again_and_again_is_left_alone_and_tried_once() {
    let mend = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mended = std::sync::Arc::clone(&mend);
    let server = Server::start(move |_, _| match mended.load(Ordering::SeqCst) {
        true => Reply::json(200, &json!([])),
        false => Reply::text(500, "no"),
    });
    let ambient = Ambient { mono_ms: || TIME.load(Ordering::SeqCst), random: || 0 };
    let hive = Hive::new(settings(&server.url(), 1), ambient).unwrap();
    for asked in 1..=5 {
        assert_eq!(sort(&hive.projects().await.unwrap_err()), "status");
        assert_eq!(server.requests().len(), asked);
    }
    for _ in 0..3 {
        assert_eq!(sort(&hive.projects().await.unwrap_err()), "resting");
    }
    assert_eq!(server.requests().len(), 5, "nobody asks it");
    TIME.fetch_add(15_000, Ordering::SeqCst);
    assert_eq!(sort(&hive.projects().await.unwrap_err()), "status", "one trial");
    assert_eq!(sort(&hive.projects().await.unwrap_err()), "resting");
    assert_eq!(server.requests().len(), 6);
    TIME.fetch_add(15_000, Ordering::SeqCst);
    assert_eq!(sort(&hive.projects().await.unwrap_err()), "resting", "twice as long");
    mend.store(true, Ordering::SeqCst);
    TIME.fetch_add(15_000, Ordering::SeqCst);
    assert!(hive.projects().await.is_ok());
    assert!(hive.projects().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_takes_the_key_nowhere() {
    let other = Server::start(|_, _| Reply::json(200, &json!([])));
    let to = other.url();
    let server = Server::start(move |_, _| {
        Reply::Whole(307, vec![("Location", format!("{to}/api/bzzz/active-repos"))], Vec::new())
    });
    assert_eq!(sort(&hive(&server.url(), 3).projects().await.unwrap_err()), "status");
    assert_eq!(server.requests().len(), 1);
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hive_is_told_with_its_own_words_and_twice_is_once() {
    let url = "https://github.com/acme/sample";
    let fake = FakeHive::start(None, vec![project(7, url, true, true)]);
    let hive = hive(&fake.server.url(), 3);
    assert_eq!(hive.health().await.unwrap(), "healthy");
    let listing = hive.projects().await.unwrap();
    assert_eq!(listing.projects["github.com/acme/sample"].id, 7);
    assert_eq!(hive.tasks(7).await.unwrap()[0].title, "One");

    let claimed =
        Claimed { task_number: 3, agent_id: "maple".to_owned(), claimed_at: 1_700_000_000 };
    for _ in 0..2 {
        hive.claim(7, &claimed, "report-1").await.unwrap();
    }
    let update = StatusUpdate {
        task_number: 3,
        status: "completed",
        updated_at: 1_700_000_001,
        results: Results {
            agent_id: "maple".to_owned(),
            agent_name: "maple".to_owned(),
            epoch: 1,
            summary: "It is done.".to_owned(),
            report_id: "report-2".to_owned(),
        },
    };
    for _ in 0..2 {
        hive.status(7, &update, "report-2").await.unwrap();
    }
    let other = Claimed { agent_id: "oak".to_owned(), ..claimed };
    let refused = hive.claim(7, &other, "report-3").await.unwrap_err();
    assert!(matches!(refused, HttpError::Status { code: 409, .. }), "{refused}");
    fake.look(|memory| {
        assert_eq!(memory.wrong, Vec::<String>::new());
        let told = |status: &str| (7, 3, status.to_owned());
        assert_eq!(memory.told, [told("claimed"), told("completed")]);
    });
    let requests = fake.server.requests();
    let lines: Vec<String> = requests.iter().skip(3).map(Request::line).collect();
    assert_eq!(lines[0], "POST /api/bzzz/projects/7/claim");
    assert_eq!(lines[2], "PUT /api/bzzz/projects/7/status");
    assert_eq!(requests[5].json()["results"]["summary"], "It is done.");
}

/// The check that a workflow makes, written apart from the code that signs.
fn is_signed(request: &Request, secret: &str) -> bool {
    let timestamp = request.header("x-bzzz-timestamp").expect("the time is there");
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(&request.body);
    let expected = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    request.header("x-bzzz-signature") == Some(&expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_to_people_is_signed_and_repeated_under_one_key() {
    let server = Server::start(|_, before| match before {
        0 => Reply::text(500, "not now"),
        1 => Reply::CloseInside,
        _ => Reply::text(200, "Workflow was started"),
    });
    let n8n = N8n::new(webhook(&server.url(), 3), AMBIENT).unwrap();
    let now_s = clock::wall_ms() / 1_000;
    n8n.escalate(&escalation(), now_s).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request.line(), "POST /webhook/0f1e-secret-path");
        assert!(is_signed(request, "webhook secret"));
        assert!(!is_signed(request, "another secret"));
        assert_eq!(request.header("x-bzzz-timestamp"), Some(now_s.to_string().as_str()));
        let key = format!("{}:0", "ab".repeat(32));
        assert_eq!(request.header("idempotency-key"), Some(key.as_str()));
        assert_eq!(request.header("content-type"), Some("application/json"));
        let body = request.json();
        assert_eq!(body["question"], "Which way? \"ä\"");
        assert_eq!((&body["level"], &body["severity"]), (&json!(0), &json!("warning")));
    }
    // A webhook's path is a secret; nobody reads it in an error.
    let server = Server::start(|_, _| Reply::text(404, "not registered"));
    let n8n = N8n::new(webhook(&server.url(), 3), AMBIENT).unwrap();
    let error = n8n.escalate(&escalation(), now_s).await.unwrap_err().to_string();
    assert!(error.contains("404") && !error.contains("secret-path"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_chooses_a_model_or_says_nothing() {
    let question = || Question {
        kind: "bzzz.model-selection",
        version: 1,
        repository: "sample".to_owned(),
        issue: 7,
        title: "Sort it".to_owned(),
        labels: vec!["docs".to_owned()],
        default: "a:1".to_owned(),
        models: vec![json!({ "name": "a:1" }), json!({ "name": "b:1" })],
    };
    let server = Server::start(|_, _| Reply::json(200, &json!({ "model": "b:1" })));
    let selector = Selector::new(webhook(&server.url(), 1), AMBIENT).unwrap();
    assert_eq!(selector.select(&question(), 1).await.unwrap(), "b:1");
    let request = &server.requests()[0];
    assert!(is_signed(request, "webhook secret"));
    assert_eq!(request.json()["models"][1]["name"], "b:1");
    assert_eq!(request.json()["labels"], json!(["docs"]));

    let long = json!({ "model": "x".repeat(201) });
    let wrong = [json!({}), json!({ "model": "" }), json!({ "model": 7 }), json!("b:1"), long];
    let answers = wrong.iter().map(|value| (Reply::json(200, value), "malformed"));
    let repositories = |reply: &Reply| match reply {
        Reply::Whole(200, _, body) => body.starts_with(b"{\"repositories"),
        _ => false,
    };
    let failures = failures().into_iter().filter(|(reply, _)| !repositories(reply));
    for (reply, expected) in answers.chain(failures) {
        let given = reply.clone();
        let server = Server::start(move |_, _| given.clone());
        let selector = Selector::new(webhook(&server.url(), 1), AMBIENT).unwrap();
        let error = selector.select(&question(), 1).await.expect_err("it fails");
        assert_eq!(sort(&error), expected, "{reply:?}: {error}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for url in ["", "hive", "ftp://h/", "http://", "http://u:p@h/", "http://h/?a=b", "http://h/#a"]
    {
        let error = Hive::new(settings(url, 1), AMBIENT).expect_err(url);
        assert_eq!(sort(&error), "settings", "{url}");
        assert!(!error.to_string().contains("u:p"), "{error}");
    }
    let key = Some(Secret::new("two\nlines".to_owned()));
    let bad = HiveSettings { key, ..settings("http://h/", 1) };
    let error = Hive::new(bad, AMBIENT).expect_err("no header takes it");
    assert!(!error.to_string().contains("lines"), "{error}");
}
