//! One task, one owner: claims by compare-and-swap, with real processes against real repositories.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use bzzz::integrations::git::{GitError, Limits, Mirror, Remote, Swap, WORK_BRANCHES};
use bzzz::kernel::event::CommitId;
use rustix::process::{Pid, Signal, kill_process};

use crate::git::{Fixture, Manner, author, right_token, script_file, serve, web, won};

const PROCESSES: usize = 32;
const ROUNDS: u64 = 50;

/// A process of its own with a mirror of its own that does as it is told, a line at a time.
struct Worker {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Worker {
    fn start(fixture: &Fixture, name: &str) -> Self {
        Self::start_with(fixture, name, &std::env::var_os("PATH").unwrap())
    }

    fn start_with(fixture: &Fixture, name: &str, path: &OsStr) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env("PATH", path)
            .args(["--exact", "claims::child", "--nocapture"])
            .env("BZZZ_CLAIM_CHILD", format!("{name} {}", fixture.dir.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_ref().unwrap(), "{line}").unwrap();
    }

    /// The next answer, apart from what the test harness prints around it.
    fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the worker ended");
            if let Some((_, answer)) = line.split_once("@@") {
                return answer.trim().to_owned();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

fn told(swap: &Result<Swap, GitError>) -> String {
    match swap {
        Ok(Swap::Won { claim_commit }) => format!("won {claim_commit}"),
        Ok(Swap::Lost { current: Some(current) }) => {
            format!("lost {} {}", current.commit, String::from_utf8_lossy(&current.claim))
        }
        Ok(Swap::Lost { current: None }) => "lost".to_owned(),
        Err(error) => format!("error {error}"),
    }
}

/// Does what the lines say: `claim ISSUE` and `publish ISSUE`.
async fn work(mirror: &Mirror, name: &str, tree: &Path) {
    let mut held: Option<CommitId> = None;
    println!("@@ready");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (verb, issue) = line.split_once(' ').unwrap();
        let issue: u64 = issue.parse().unwrap();
        let claim = format!("{name} {verb} {issue}");
        let swap = match verb {
            "claim" => mirror.push_claim(issue, claim.as_bytes(), "Claim", None).await,
            _ => {
                let base = mirror.fetch_base().await.unwrap();
                fs::write(tree.join("work.txt"), name).unwrap();
                let commit = mirror.commit_tree(tree, &base, "Work", &author()).await.unwrap();
                let branch = format!("{WORK_BRANCHES}{issue}-work");
                let held = held.as_ref().unwrap();
                mirror.publish(issue, &branch, &commit, claim.as_bytes(), "Publish", held).await
            }
        };
        println!("@@{}", told(&swap));
        if let Ok(Swap::Won { claim_commit }) = swap {
            held = Some(claim_commit);
        }
    }
}

/// As a child of the tests below, one of their processes; by itself, a single claim and its
/// renewal.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the parent hands a child its part in the environment"
)]
async fn child() {
    if let Ok(part) = std::env::var("BZZZ_CLAIM_CHILD") {
        let (name, root) = part.split_once(' ').unwrap();
        let root = Path::new(root);
        let url = root.join("remote.git").to_str().unwrap().to_owned();
        let remote = Remote { url, token: None, branch: "main".to_owned() };
        let mirror = Mirror::open(&root.join(name), remote).await.unwrap();
        let tree = root.join(name).join("tree");
        fs::create_dir_all(&tree).unwrap();
        return work(&mirror, name, &tree).await;
    }
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let mirror = fixture.mirror("m").await;
    assert_eq!(mirror.read_claims().await.unwrap(), []);
    let first = won(mirror.push_claim(7, b"epoch 1", "Claim", None).await.unwrap());
    let second = won(mirror.push_claim(7, b"renewed", "Renew", Some(&first)).await.unwrap());
    let late = mirror.push_claim(7, b"late", "Renew", Some(&first)).await.unwrap();
    let claims = mirror.read_claims().await.unwrap();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].commit, second);
    assert_eq!(claims[0].parent, Some(first));
    assert_eq!(late, Swap::Lost { current: claims.into_iter().next() });
}

#[test]
fn thirty_two_processes_claim_one_task_and_one_wins() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let mut workers: Vec<Worker> =
        (0..PROCESSES).map(|i| Worker::start(&fixture, &format!("worker{i}"))).collect();
    for worker in &mut workers {
        assert_eq!(worker.answer(), "ready");
    }
    let mut winners = BTreeSet::new();
    for issue in 1..=ROUNDS {
        for worker in &mut workers {
            worker.tell(&format!("claim {issue}"));
        }
        let answers: Vec<String> = workers.iter_mut().map(Worker::answer).collect();
        let held = fixture.at(&format!("refs/bzzz/claims/{issue}")).unwrap();
        let won = format!("won {held}");
        let winner: Vec<usize> = (0..PROCESSES).filter(|i| answers[*i] == won).collect();
        assert_eq!(winner.len(), 1, "round {issue}: {answers:#?}");
        let lost = format!("lost {held} worker{} claim {issue}", winner[0]);
        let losers = answers.iter().filter(|answer| **answer == lost).count();
        assert_eq!(losers, PROCESSES - 1, "round {issue}: {answers:#?}");
        winners.insert(winner[0]);
    }
    workers.into_iter().for_each(Worker::end);
    assert!(winners.len() > 1, "it was always the same process that won: it was no race");
}

#[tokio::test]
async fn a_worker_that_was_paused_past_its_lease_publishes_nothing() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let mut worker = Worker::start(&fixture, "paused");
    assert_eq!(worker.answer(), "ready");
    worker.tell("claim 4");
    let held: CommitId = worker.answer().strip_prefix("won ").unwrap().parse().unwrap();
    worker.signal(Signal::STOP);
    worker.tell("publish 4");
    let taker = fixture.mirror("taker").await;
    let seen = taker.read_claim(4).await.unwrap().unwrap();
    assert_eq!((&seen.commit, seen.claim.as_slice()), (&held, b"paused claim 4".as_slice()));
    let taken = won(taker.push_claim(4, b"epoch 2", "Take over", Some(&held)).await.unwrap());
    worker.signal(Signal::CONT);
    assert_eq!(worker.answer(), format!("lost {taken} epoch 2"));
    worker.end();
    assert_eq!(fixture.at("refs/bzzz/claims/4"), Some(taken));
    assert_eq!(fixture.at("refs/heads/bzzz/"), None, "no branch was published");
}

/// The worker publishes; while something holds its push back, from `begun` until `go` exists, the
/// task is taken over. Nothing of the worker's may then be published.
async fn is_fenced(fixture: &Fixture, mut worker: Worker, begun: &Path, go: &Path) {
    assert_eq!(worker.answer(), "ready");
    worker.tell("claim 4");
    let held: CommitId = worker.answer().strip_prefix("won ").unwrap().parse().unwrap();
    worker.tell("publish 4");
    while !begun.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let taker = fixture.mirror("taker").await;
    let taken = won(taker.push_claim(4, b"epoch 2", "Take over", Some(&held)).await.unwrap());
    fs::write(go, "").unwrap();
    assert_eq!(worker.answer(), format!("lost {taken} epoch 2"));
    worker.end();
    assert_eq!(fixture.at("refs/bzzz/claims/4"), Some(taken));
    assert_eq!(fixture.at("refs/heads/bzzz/"), None, "no branch was published");
}

#[tokio::test]
async fn a_publication_under_way_is_fenced_by_a_take_over() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    // The push of a branch has arrived, and stands before its refs move, until the take-over is
    // done.
    let (begun, go) = (fixture.path("begun"), fixture.path("go"));
    let wait = format!(
        "touch '{}'; until [ -e '{}' ]; do sleep 0.05; done",
        begun.display(),
        go.display()
    );
    fixture.hook("pre-receive", &format!("if grep -q refs/heads/; then {wait}; fi"));
    let worker = Worker::start(&fixture, "slow");
    is_fenced(&fixture, worker, &begun, &go).await;
}

#[tokio::test]
async fn a_worker_that_lost_its_claim_after_its_last_look_publishes_nothing() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    // Before the worker's git, another of that name, which holds the push of a branch back.
    let found = Command::new("sh").args(["-c", "command -v git"]).output().unwrap();
    let real = String::from_utf8(found.stdout).unwrap();
    let (begun, go) = (fixture.path("begun"), fixture.path("go"));
    let (first, second) = (begun.display(), go.display());
    let wait = format!("touch '{first}'; until [ -e '{second}' ]; do sleep 0.05; done");
    let script = format!("case \"$*\" in *push*refs/heads/*) {wait};; esac\nexec {real}");
    let programs = fixture.path("programs");
    fs::create_dir(&programs).unwrap();
    script_file(&programs.join("git"), &format!("{} \"$@\"", script.trim()));
    let mut path = OsString::from(&programs);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());

    let worker = Worker::start_with(&fixture, "late", &path);
    is_fenced(&fixture, worker, &begun, &go).await;
}

async fn impatient(fixture: &Fixture) -> Mirror {
    let limits = Limits { exchange: Duration::from_secs(8), ..Limits::default() };
    Mirror::open_with(&fixture.path("m"), fixture.remote(), limits).await.unwrap()
}

#[tokio::test]
async fn a_time_out_after_the_ref_moved_is_ours() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let mirror = impatient(&fixture).await;
    fixture.hook("post-receive", "sleep 600");
    let ours = won(mirror.push_claim(2, b"one", "Claim", None).await.unwrap());
    assert_eq!(fixture.at("refs/bzzz/claims/2"), Some(ours));
}

#[tokio::test]
async fn a_time_out_before_the_ref_moved_is_an_error_and_leaves_no_lock() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let mirror = impatient(&fixture).await;
    fixture.hook("update", "sleep 600");
    let error = mirror.push_claim(2, b"one", "Claim", None).await.unwrap_err();
    assert!(matches!(error, GitError::Timeout { .. }) && error.is_transient(), "{error:?}");
    assert_eq!(fixture.at("refs/bzzz/claims/2"), None);
    fs::remove_file(fixture.path("remote.git/hooks/update")).unwrap();
    let ours = won(mirror.push_claim(2, b"two", "Claim", None).await.unwrap());
    assert_eq!(fixture.at("refs/bzzz/claims/2"), Some(ours));
}

#[tokio::test]
async fn a_connection_cut_after_the_ref_moved_is_ours() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let port = serve(fixture.dir.path(), Manner::CutPushes);
    let mirror = Mirror::open(&fixture.path("m"), web(port, right_token())).await.unwrap();
    let first = won(mirror.push_claim(2, b"one", "Claim", None).await.unwrap());
    assert_eq!(fixture.at("refs/bzzz/claims/2").as_ref(), Some(&first));
    let second = won(mirror.push_claim(2, b"two", "Renew", Some(&first)).await.unwrap());
    assert_eq!(fixture.at("refs/bzzz/claims/2"), Some(second));
}

#[tokio::test]
async fn what_cannot_be_read_back_is_neither_won_nor_lost() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let port = serve(fixture.dir.path(), Manner::CutPushesThenDie);
    let mirror = Mirror::open(&fixture.path("m"), web(port, right_token())).await.unwrap();
    let error = mirror.push_claim(2, b"one", "Claim", None).await.unwrap_err();
    assert!(matches!(error, GitError::Ambiguous { .. }) && error.is_transient(), "{error:?}");
    // Read later, the ref says that it was ours.
    let claim = fixture.mirror("later").await.read_claim(2).await.unwrap().unwrap();
    assert_eq!(claim.claim, b"one");
}

#[tokio::test]
async fn a_branch_and_its_claim_move_together_or_not_at_all() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let mirror = fixture.mirror("m").await;
    let base = mirror.fetch_base().await.unwrap();
    let tree = fixture.path("w");
    mirror.checkout(&base, &tree).await.unwrap();
    fs::write(tree.join("a.txt"), "b\n").unwrap();
    let commit = mirror.commit_tree(&tree, &base, "Work", &author()).await.unwrap();
    let claim = won(mirror.push_claim(4, b"one", "Claim", None).await.unwrap());
    let publish = async |branch: &str, claim: &CommitId| {
        mirror.publish(4, branch, &commit, b"two", "Publish", claim).await
    };

    fixture.hook("update", "case $1 in refs/heads/*) exit 1;; esac");
    let error = publish("bzzz/4", &claim).await.unwrap_err();
    assert!(error.is_refusal(), "{error:?}");
    assert_eq!(fixture.at("refs/bzzz/claims/4").as_ref(), Some(&claim), "the claim moved alone");
    fs::remove_file(fixture.path("remote.git/hooks/update")).unwrap();

    fixture.ask(&["config", "receive.advertiseAtomic", "false"]);
    let error = publish("bzzz/4", &claim).await.unwrap_err();
    assert!(matches!(error, GitError::NotAtomic { .. }), "{error:?}");
    fixture.ask(&["config", "receive.advertiseAtomic", "true"]);

    fixture.ask(&["branch", "people", "main"]);
    fixture.ask(&["branch", "bzzz/4", "main"]);
    let error = publish("people", &claim).await.unwrap_err();
    assert!(matches!(error, GitError::BranchTaken { .. }), "{error:?}");
    for bad in ["main", "", "a..b", "-x", "x:refs/heads/main"] {
        let error = publish(bad, &claim).await.unwrap_err();
        assert!(matches!(error, GitError::BadInput { .. }), "{bad:?}: {error:?}");
    }
    let after = won(publish("bzzz/4", &claim).await.unwrap());
    assert_eq!(fixture.at("refs/heads/bzzz/4").as_ref(), Some(&commit));
    let again = publish("bzzz/4", &claim).await.unwrap();
    assert!(matches!(again, Swap::Lost { current: Some(c) } if c.commit == after));
    assert_eq!(fixture.at("refs/heads/people"), fixture.at("refs/heads/main"));
}

#[tokio::test]
async fn a_ref_that_holds_no_claim_hides_no_other() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let mirror = fixture.mirror("m").await;
    let good = won(mirror.push_claim(1, b"good", "Claim", None).await.unwrap());
    let blob = fixture.ask(&["rev-parse", "main:a.txt"]);
    fixture.ask(&["update-ref", "refs/bzzz/claims/2", blob.trim()]);
    fixture.ask(&["update-ref", "refs/bzzz/claims/3", "main"]);
    fixture.ask(&["update-ref", "refs/bzzz/claims/04", "main"]);
    fixture.ask(&["update-ref", "refs/bzzz/claims/x/5", "main"]);
    fixture.ask(&["tag", "-a", "-m", "x", "tagged", "main"]);
    fixture.ask(&["update-ref", "refs/bzzz/claims/6", "tagged"]);
    let other = fixture.mirror("other").await;
    let claims = other.read_claims().await.unwrap();
    let told: Vec<_> = claims.iter().map(|c| (c.issue, c.claim.as_slice())).collect();
    assert_eq!(told, [(1, b"good".as_slice()), (2, b""), (3, b""), (6, b"")]);
    assert_eq!(claims[0].commit, good);
    assert_eq!(other.read_claim(9).await.unwrap(), None);
    let lost = other.push_claim(3, b"mine", "Claim", None).await.unwrap();
    assert!(matches!(lost, Swap::Lost { current: Some(c) } if c.claim.is_empty()));
}

#[tokio::test]
async fn a_lock_that_somebody_left_is_a_passing_error() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let mirror = fixture.mirror("m").await;
    let first = won(mirror.push_claim(1, b"one", "Claim", None).await.unwrap());
    let lock = fixture.path("remote.git/refs/bzzz/claims/1.lock");
    fs::write(&lock, "").unwrap();
    let error = mirror.push_claim(1, b"two", "Renew", Some(&first)).await.unwrap_err();
    assert!(matches!(error, GitError::Transient { .. }), "{error:?}");
    assert_eq!(fixture.at("refs/bzzz/claims/1").as_ref(), Some(&first));
    fs::remove_file(lock).unwrap();
    let _ = won(mirror.push_claim(1, b"three", "Renew", Some(&first)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_of_one_node_share_a_mirror() {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let mirror = std::sync::Arc::new(fixture.mirror("m").await);
    let tasks: Vec<_> = (1..=8u64)
        .map(|issue| {
            let (mirror, tree) = (mirror.clone(), fixture.path(&format!("w{issue}")));
            tokio::spawn(async move {
                let claim = format!("claim {issue}");
                let claim = mirror.push_claim(issue, claim.as_bytes(), "C", None).await.unwrap();
                let base = mirror.fetch_base().await.unwrap();
                mirror.checkout(&base, &tree).await.unwrap();
                fs::write(tree.join("a.txt"), format!("{issue}\n")).unwrap();
                let commit = mirror.commit_tree(&tree, &base, "Work", &author()).await.unwrap();
                assert!(mirror.read_claims().await.unwrap().len() <= 8);
                let branch = format!("bzzz/{issue}");
                let done = format!("done {issue}");
                let claim = won(claim);
                mirror.publish(issue, &branch, &commit, done.as_bytes(), "P", &claim).await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        let _ = won(task.await.unwrap());
    }
    for issue in 1..=8 {
        let shown = fixture.ask(&["show", &format!("bzzz/{issue}:a.txt")]);
        assert_eq!(shown, format!("{issue}\n"));
    }
    assert_eq!(fs::read_dir(fixture.path("m/scratch")).unwrap().count(), 0);
}
