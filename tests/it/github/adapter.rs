//! The adapter alone against the counterpart: reading, writing once, watching, limits, and answers
//! that are none.

use std::sync::{Arc, Mutex};

use bzzz::integrations::github::{Access, GitHub, GitHubError};
use bzzz::integrations::task::{
    Assignment, CheckState, NewPull, Projection, PullState, ReviewState,
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::hub::{AGENTS, DEMO, Hub};

/// Whether an error is the one that a fault leads to.
type IsIt = fn(&GitHubError) -> bool;

fn access(hub: &Hub, token: &str) -> Access {
    let token = Zeroizing::new(token.to_owned());
    Access::token(&hub.api(), token, Arc::new(|_| {})).unwrap()
}

fn enter(access: &Access) -> GitHub {
    let labels = vec!["bzzz-task".to_owned()];
    GitHub::new(access.clone(), DEMO, "main", false, labels).unwrap()
}

fn agent(hub: &Hub, number: usize) -> GitHub {
    enter(&access(hub, AGENTS[number].1))
}

fn projection(add: &[&str], remove: &[&str], assignee: Assignment) -> Projection {
    let texts = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
    Projection { state: None, assignee, add_labels: texts(add), remove_labels: texts(remove) }
}

fn me() -> Assignment {
    Assignment::To("any".to_owned())
}

/// Pushes a branch with one more commit; its commit.
fn branch(hub: &Hub, name: &str) -> String {
    let dir = hub.dir.path().join(format!("push-{}", name.replace('/', "-")));
    let url = hub.remote().replace("http://", "http://x-access-token:tok-agent-a@");
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=t", "-c", "user.email=t@example.org"]).args(args);
        let output = command.current_dir(&dir).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    std::fs::create_dir(&dir).unwrap();
    git(&["clone", "-q", &url, "."]);
    git(&["checkout", "-qb", name]);
    std::fs::write(dir.join("work.txt"), name).unwrap();
    git(&["add", "-A"]);
    git(&["commit", "-qm", "Work"]);
    git(&["push", "-q", &url, name]);
    git(&["rev-parse", "HEAD"])
}

fn pull(branch: &str, commit: &str, body: &str) -> NewPull {
    NewPull {
        issue: 1,
        branch: branch.to_owned(),
        commit: commit.to_owned(),
        title: "Title".to_owned(),
        body: body.to_owned(),
        author: "a".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn github_issues_are_read_by_label_in_pages_and_for_free_if_nothing_changed() {
    let hub = Hub::start();
    let github = agent(&hub, 0);
    let task = ["bzzz-task"];
    let first = hub.issue("First", "It depends on #2.", &task);
    assert_eq!(first, 1);
    for n in 2..=120 {
        hub.issue(&format!("Issue {n}"), "", if n <= 110 { &task } else { &[] });
    }
    let read = github.issues(&[], 0).await.unwrap();
    assert_eq!(read.issues.len(), 110, "{:?}", read.faults);
    assert_eq!(read.issues[0].depends_on, [2]);
    let pages = hub.asked("GET", "/issues?state=open");
    assert_eq!(pages, 3);
    assert_eq!(github.issues(&[], 1).await.unwrap(), read);
    let journal = hub.control("GET", "requests", None);
    let free = journal.as_array().unwrap().iter().filter(|entry| entry["status"] == 304).count();
    assert_eq!(free, 3, "the second time nothing is sent but ETags");

    // What the swarm knows is read though it is closed or has no label any more.
    hub.owner("PATCH", "/issues/5", Some(&json!({ "state": "closed" })));
    let read = github.issues(&[5, 120, 999], 2).await.unwrap();
    assert_eq!(read.issues.len(), 111);
    let closed = read.issues.iter().find(|issue| issue.number == 5).unwrap();
    assert!(!closed.open && read.issues.iter().any(|issue| issue.number == 120));
    assert_eq!(read.gone, [999]);
}

#[tokio::test(flavor = "multi_thread")]
async fn github_is_told_once_whoever_tells_it_and_how_often() {
    let hub = Hub::start();
    let (a, b) = (agent(&hub, 0), agent(&hub, 1));
    let issue = hub.issue("One", "", &["bzzz-task", "needs-help"]);
    let claimed = projection(&["in-progress"], &["needs-help"], me());
    for _ in 0..2 {
        a.project(issue, &claimed).await.unwrap();
        a.comment(issue, "t1", 1, "I work on it.").await.unwrap();
    }
    let labels = |hub: &Hub| -> Vec<String> {
        let labels = hub.owner("GET", &format!("/issues/{issue}/labels"), None);
        let names =
            labels.as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap().to_owned());
        names.collect()
    };
    let mut found = labels(&hub);
    found.sort();
    assert_eq!(found, ["bzzz-task", "in-progress"]);
    assert_eq!(hub.asked("POST", "/labels"), 1);
    assert_eq!(hub.asked("POST", "/assignees"), 1);
    assert_eq!(hub.asked("POST", "/comments"), 1);
    assert_eq!(hub.asked("PATCH", "/comments"), 0);

    // Another owner in the next epoch, several times at once; the first one speaks late.
    b.project(issue, &claimed).await.unwrap();
    let (x, y, z) = tokio::join!(
        b.comment(issue, "t1", 2, "Now I do."),
        b.comment(issue, "t1", 2, "Now I do."),
        a.comment(issue, "t1", 1, "I gave it back."),
    );
    x.and(y).and(z).unwrap();
    let comments = hub.comments(issue);
    assert_eq!(comments.len(), 1);
    assert!(
        comments[0].contains("Now I do.") && comments[0].contains("<!-- bzzz:epoch:2 by agent-b")
    );
    let assignees = hub.owner("GET", &format!("/issues/{issue}"), None)["assignees"].clone();
    let names: Vec<_> =
        assignees.as_array().unwrap().iter().map(|who| who["login"].clone()).collect();
    assert_eq!(names, ["agent-b"], "who has the task now");
    b.project(issue, &projection(&[], &["in-progress"], Assignment::Nobody)).await.unwrap();
    assert_eq!(labels(&hub), ["bzzz-task"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn github_keeps_the_oldest_of_two_comments_that_were_written_at_once() {
    let hub = Hub::start();
    let (a, b) = (agent(&hub, 0), agent(&hub, 1));
    for round in 0..4 {
        let issue = hub.issue("One", "", &["bzzz-task"]);
        // Both have read that there is none before either writes.
        let slow = json!({ "delay": 0.4 });
        hub.fault("POST", &format!("/issues/{issue}/comments$"), 2, &slow);
        let (x, y) =
            tokio::join!(a.comment(issue, "t", 1, "From a."), b.comment(issue, "t", 2, "From b."));
        x.and(y).unwrap();
        let comments = hub.comments(issue);
        assert_eq!(comments.len(), 1, "round {round}: {comments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn github_has_one_pull_request_for_a_branch_after_every_sort_of_failure() {
    let hub = Hub::start();
    let github = agent(&hub, 0);
    let commit = branch(&hub, "bzzz/issue-1");
    let new = pull("bzzz/issue-1", &commit, "Closes #1.");
    let faults: [(Value, IsIt); 5] = [
        (json!({ "status": 500 }), |e| matches!(e, GitHubError::Server { code: 500, .. })),
        (json!({ "drop": true }), |e| matches!(e, GitHubError::Interrupted { .. })),
        (json!({ "status": 502, "after": true }), |e| matches!(e, GitHubError::Server { .. })),
        (json!({ "drop": true, "after": true }), |e| matches!(e, GitHubError::Interrupted { .. })),
        (json!({ "raw": "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>" }), |e| {
            matches!(e, GitHubError::NotJson { .. })
        }),
    ];
    let mut failed = 0;
    for (fault, expected) in faults {
        hub.fault("POST", "/pulls$", 1, &fault);
        match github.open_pull(&new).await {
            Err(error) => {
                assert!(expected(&error) && error.is_transient(), "{fault}: {error}");
                failed += 1;
            }
            // After a fault behind the write it is found, and nothing is asked for.
            Ok(_) => hub.no_faults(),
        }
    }
    assert_eq!(failed, 3, "two before the write, one behind it");
    let (number, place) = github.open_pull(&new).await.unwrap();
    assert_eq!(hub.pulls().len(), 1);
    assert!(place.starts_with("http://") && place.ends_with(&number.to_string()), "{place}");
    let again = NewPull { body: "Closes #1.\n\nMore.".to_owned(), ..new.clone() };
    assert_eq!(github.open_pull(&again).await.unwrap().0, number);
    assert!(hub.pulls()[0]["body"].as_str().unwrap().ends_with("More."));

    // Two at once, of another branch.
    let commit = branch(&hub, "bzzz/issue-2");
    let (new, other) = (pull("bzzz/issue-2", &commit, "b"), agent(&hub, 1));
    let (x, y) = tokio::join!(github.open_pull(&new), other.open_pull(&new));
    assert_eq!(x.unwrap().0, y.unwrap().0);
    assert_eq!(hub.pulls().len(), 2);

    // One that was closed with just this commit is not opened again.
    hub.owner("PATCH", &format!("/pulls/{number}"), Some(&json!({ "state": "closed" })));
    assert_eq!(github.open_pull(&again).await.unwrap().0, number);
    assert_eq!(hub.pulls().len(), 2);
    let refused = github.open_pull(&pull("bzzz/none", &commit, "b")).await.unwrap_err();
    assert!(matches!(refused, GitHubError::Refused { code: 422, .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn github_tells_what_became_of_a_pull_request() {
    let hub = Hub::start();
    let github = agent(&hub, 0);
    let commit = branch(&hub, "bzzz/issue-1");
    let (number, _) = github.open_pull(&pull("bzzz/issue-1", &commit, "b")).await.unwrap();
    let read = github.watch(number).await.unwrap();
    assert_eq!(
        (read.state, read.head.as_ref().map(|head| head.as_str())),
        (PullState::Open, Some(commit.as_str()))
    );
    assert_eq!(
        (read.checks, read.reviews, read.feedback.as_str()),
        (CheckState::None, ReviewState::None, "")
    );

    let run = json!({ "name": "tests", "head_sha": commit, "status": "in_progress" });
    let id = hub.owner("POST", "/check-runs", Some(&run))["id"].clone();
    assert_eq!(github.watch(number).await.unwrap().checks, CheckState::Pending);
    let output = json!({ "title": "2 of 9 fail", "summary": "test_csv: expected 3, found 4" });
    let done = json!({ "status": "completed", "conclusion": "failure", "output": output });
    hub.owner("PATCH", &format!("/check-runs/{id}"), Some(&done));
    let read = github.watch(number).await.unwrap();
    assert_eq!(read.checks, CheckState::Failed);
    assert!(
        read.feedback.contains("Check tests failed:\n2 of 9 fail\ntest_csv"),
        "{}",
        read.feedback
    );

    let review = json!({ "event": "REQUEST_CHANGES", "body": "Please name it otherwise." });
    hub.owner("POST", &format!("/pulls/{number}/reviews"), Some(&review));
    let read = github.watch(number).await.unwrap();
    assert_eq!(read.reviews, ReviewState::ChangesRequested);
    assert!(
        read.feedback.contains("octo-owner requests changes:\nPlease name"),
        "{}",
        read.feedback
    );
    let done = json!({ "status": "completed", "conclusion": "success" });
    hub.owner("PATCH", &format!("/check-runs/{id}"), Some(&done));
    let review = json!({ "event": "APPROVE", "body": "" });
    hub.owner("POST", &format!("/pulls/{number}/reviews"), Some(&review));
    let read = github.watch(number).await.unwrap();
    assert_eq!((read.checks, read.reviews), (CheckState::Passed, ReviewState::Approved));
    hub.owner("PUT", &format!("/pulls/{number}/merge"), Some(&json!({})));
    assert_eq!(github.watch(number).await.unwrap().state, PullState::Merged);
}

#[tokio::test(flavor = "multi_thread")]
async fn github_limits_close_all_repositories_of_a_token() {
    let hub = Hub::start();
    let shared = access(&hub, AGENTS[0].1);
    let (one, other) = (enter(&shared), enter(&shared));
    let secondary = json!({ "status": 403, "body":
        { "message": "You have exceeded a secondary rate limit. Please wait." } });
    hub.fault("GET", "/issues", 1, &secondary);
    let error = one.issues(&[], 0).await.unwrap_err();
    assert!(matches!(error, GitHubError::Limited { seconds: 61, .. }), "{error}");
    let before = hub.asked("GET", "/");
    assert!(matches!(other.issues(&[], 0).await, Err(GitHubError::Limited { .. })));
    assert!(matches!(other.watch(1).await, Err(GitHubError::Limited { .. })));
    assert_eq!(hub.asked("GET", "/"), before, "nothing is sent while the limit lasts");

    let waits = [
        (json!({ "status": 429, "headers": { "Retry-After": "2" } }), 3),
        (json!({ "status": 403, "headers": { "Retry-After": "2" } }), 3),
    ];
    for (fault, expected) in waits {
        let github = agent(&hub, 1);
        hub.fault("GET", "/issues", 1, &fault);
        let error = github.issues(&[], 0).await.unwrap_err();
        assert!(
            matches!(error, GitHubError::Limited { seconds, .. } if seconds == expected),
            "{error}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
        github.issues(&[], 0).await.unwrap();
    }
    let github = agent(&hub, 1);
    hub.fault("GET", "/issues", 1, &json!({ "status": 403, "body": { "message": "No." } }));
    let error = github.issues(&[], 0).await.unwrap_err();
    assert!(
        matches!(&error, GitHubError::Forbidden { message, .. } if message == "No."),
        "{error}"
    );
    github.issues(&[], 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn github_answers_that_are_none_have_names() {
    let hub = Hub::start();
    let github = agent(&hub, 0);
    let raw = |head: &str, body: &str| json!({ "raw": format!("HTTP/1.1 {head}\r\n\r\n{body}") });
    let kind = "Content-Type: application/json";
    let cases: [(Value, IsIt); 9] = [
        (raw(&format!("200 OK\r\n{kind}"), "[{"), |e| matches!(e, GitHubError::Malformed { .. })),
        (raw(&format!("200 OK\r\n{kind}"), "{}"), |e| matches!(e, GitHubError::Malformed { .. })),
        (raw(&format!("200 OK\r\n{kind}\r\nContent-Length: 99"), "[]"), |e| {
            matches!(e, GitHubError::Interrupted { .. })
        }),
        (raw(&format!("200 OK\r\n{kind}\r\nContent-Length: 99999999999"), "["), |e| {
            matches!(e, GitHubError::TooLarge { .. })
        }),
        (raw(&format!("200 OK\r\n{kind}"), &" ".repeat(17 << 20)), |e| {
            matches!(e, GitHubError::TooLarge { .. })
        }),
        (
            raw("302 Found\r\nLocation: http://127.0.0.1:1/steal", ""),
            |e| matches!(e, GitHubError::Redirected { to, .. } if to == "http://127.0.0.1:1/steal"),
        ),
        (
            raw(&format!("200 OK\r\n{kind}\r\nLink: <http://127.0.0.1:1/x>; rel=\"next\""), "[]"),
            |e| matches!(e, GitHubError::Malformed { .. }),
        ),
        (raw(&format!("304 Not Modified\r\n{kind}"), ""), |e| {
            matches!(e, GitHubError::Malformed { .. })
        }),
        (json!({ "raw": "SSH-2.0-x\r\n" }), |e| matches!(e, GitHubError::Interrupted { .. })),
    ];
    for (fault, expected) in cases {
        hub.fault("GET", "/issues", 1, &fault);
        let error = github.issues(&[], 0).await.unwrap_err();
        assert!(
            expected(&error),
            "{}: {error}",
            fault.to_string().chars().take(99).collect::<String>()
        );
    }
    let wrong = enter(&access(&hub, "tok-nobody"));
    let error = wrong.issues(&[], 0).await.unwrap_err();
    assert!(matches!(error, GitHubError::Unauthorized { .. }), "{error}");
    let labels = Vec::new();
    let none = GitHub::new(access(&hub, AGENTS[0].1), "octo-owner/none", "main", false, labels);
    assert!(matches!(none.unwrap().standing().await, Err(GitHubError::NotFound { .. })));
    let standing = github.standing().await.unwrap();
    assert!(standing.push && standing.login == "agent-a", "{standing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn github_app_gets_tokens_for_its_installation_and_masks_them() {
    let hub = Hub::start();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let on_token = Arc::new(move |token: &str| heard.lock().unwrap().push(token.to_owned()));
    let access = Access::app(&hub.api(), 77, hub.key.as_bytes(), None, on_token).unwrap();
    let github = enter(&access);
    let issue = hub.issue("One", "", &["bzzz-task"]);
    assert_eq!(github.issues(&[], 0).await.unwrap().issues.len(), 1);
    github.comment(issue, "t", 1, "From the App.").await.unwrap();
    assert_eq!(hub.comments(issue).len(), 1);
    let token = github.changing_token().await.unwrap().unwrap();
    assert_eq!(*told.lock().unwrap(), [token.as_str()], "one token for an hour, and it was told");
    assert_eq!(hub.asked("POST", "/access_tokens"), 1);

    // A token that was revoked is replaced with the next request.
    hub.control("POST", "revoke", Some(&json!({ "token": token.as_str() })));
    let error = github.issues(&[], 0).await.unwrap_err();
    assert!(matches!(error, GitHubError::Unauthorized { .. }), "{error}");
    github.issues(&[], 0).await.unwrap();
    assert_eq!(told.lock().unwrap().len(), 2);
    let bad = Access::app(&hub.api(), 77, b"no key", None, Arc::new(|_| {}));
    assert!(matches!(bad, Err(GitHubError::Settings(_))));
}
