//! The claim refs of a local repository against the logs: who holds which claim, and what came
//! before it. Git is run with nothing of the machine's or the repository's configuration that could
//! make it run another program; it reads objects and refs, and nothing else.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::exit::CliError;
use crate::kernel::audit::{Failure, Finding, Ownership, Report, Rule, Unchecked};
use crate::kernel::event::{CLAIM_LIMIT, Claim, ClaimStatus, CommitId, SignedClaim, TaskId};
use crate::kernel::identity::SwarmId;

/// The refs of claims, before the issue's number.
const CLAIMS: &str = "refs/bzzz/claims/";

/// The most that git may answer to one question, in bytes.
const MAX_ANSWER: u64 = 256 << 20;

/// A repository by its name in the swarm.
#[derive(Clone, Debug)]
pub(super) struct Repository {
    name: String,
    path: PathBuf,
}

/// Reads `NAME=PATH`.
pub(super) fn repository(text: &str) -> Result<Repository, String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok(Repository { name: name.to_owned(), path: path.into() })
        }
        _ => Err("this should be NAME=PATH, with the repository's name in the swarm".to_owned()),
    }
}

/// One claim commit: its claim, if it holds a valid one.
struct Held {
    commit: CommitId,
    claim: Result<Claim, String>,
}

/// Compares the claims of a repository with the report's, and adds what it finds.
pub(super) fn compare(repository: &Repository, report: &mut Report) -> Result<(), CliError> {
    let Some(swarm) = report.swarm else {
        return Ok(());
    };
    let Repository { name, path } = repository;
    let mut chains = BTreeMap::new();
    let refs = git(path, &["for-each-ref", "--format=%(objectname) %(refname)", CLAIMS], "")?;
    for line in text(&refs).lines() {
        let found = line.split_once(' ').and_then(|(commit, name)| {
            let issue: u64 = name.strip_prefix(CLAIMS)?.parse().ok()?;
            Some((issue, commit.parse::<CommitId>().ok()?))
        });
        let Some((issue, commit)) = found else {
            found_odd(report, format!("the ref of {line:.200} is no claim's"));
            continue;
        };
        chains.insert(issue, chain(path, &swarm, &commit)?);
    }
    let mut later = 0;
    for (issue, chain) in &chains {
        let task = TaskId::of(name, *issue);
        later += walk(&format!("{name}#{issue}"), task, chain, report);
    }
    if later > 0 {
        let what = format!("claims in {name} that the logs do not have yet");
        report.unchecked.push(Unchecked { kind: "later", count: Some(later), what });
    }
    for owned in report.claims.clone() {
        if let Some(issue) = issue_of(&owned, name) {
            stands(path, &owned, chains.get(&issue).map_or(&[][..], Vec::as_slice), report)?;
        }
    }
    Ok(())
}

/// The issue of an ownership in this repository.
pub(super) fn issue_of(owned: &Ownership, repository: &str) -> Option<u64> {
    let issue = owned.name.strip_prefix(repository)?.strip_prefix('#')?.parse().ok()?;
    (TaskId::of(repository, issue) == owned.task).then_some(issue)
}

impl Repository {
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// The claim commits up to one, the oldest first.
fn chain(path: &Path, swarm: &SwarmId, last: &CommitId) -> Result<Vec<Held>, CliError> {
    let list = git(path, &["rev-list", "--first-parent", "--reverse", last.as_str()], "")?;
    let list = text(&list);
    let commits: Vec<CommitId> = list.lines().filter_map(|line| line.parse().ok()).collect();
    let asked: String = commits.iter().map(|commit| format!("{commit}:claim\n")).collect();
    let answer = git(path, &["cat-file", "--batch"], &asked)?;
    let mut rest = &answer[..];
    let mut chain = Vec::with_capacity(commits.len());
    for commit in commits {
        let claim = blob(&mut rest).and_then(|bytes| {
            SignedClaim::read(swarm, bytes)
                .map(|signed| signed.claim().clone())
                .map_err(|error| error.to_string())
        });
        chain.push(Held { commit, claim });
    }
    Ok(chain)
}

/// Takes the next object of an answer of `git cat-file --batch`.
fn blob<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let all: &'a [u8] = rest;
    let end = all.iter().position(|byte| *byte == b'\n').ok_or("git did not answer for it")?;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let behind = &all[end + 1..];
    *rest = behind;
    let words: Vec<&str> = head.rsplitn(3, ' ').collect();
    let [size, kind, _] = words[..] else {
        return Err("it holds no `claim`".to_owned());
    };
    let size: usize = size.parse().map_err(|_| "git gave it no size".to_owned())?;
    let bytes = behind.get(..size).ok_or("git cut it short")?;
    *rest = behind.get(size + 1..).unwrap_or_default();
    match kind == "blob" && size <= CLAIM_LIMIT {
        true => Ok(bytes),
        false => {
            Err(format!("a claim is a blob of at most {CLAIM_LIMIT} bytes; not a {kind} of {size}"))
        }
    }
}

/// Goes along the claims of one ref. Returns how many epochs the logs do not have.
fn walk(task: &str, id: TaskId, chain: &[Held], report: &mut Report) -> u64 {
    let mut before: Option<(&Claim, &CommitId)> = None;
    let mut later = 0;
    for Held { commit, claim } in chain {
        let place = format!("{task}, claim commit {commit}");
        let claim = match claim {
            Ok(claim) if claim.task == id => claim,
            Ok(_) => {
                found_odd(report, format!("{place}: the claim is of another task"));
                continue;
            }
            Err(error) => {
                found_odd(report, format!("{place}: {error}"));
                continue;
            }
        };
        let goes_on = before.is_some_and(|(before, _)| {
            before.epoch == claim.epoch
                && before.author == claim.author
                && before.event == claim.event
        });
        let follows = match before {
            Some((before, _)) if goes_on => claim.renewal > before.renewal,
            Some((before, _)) => claim.epoch == before.epoch + 1,
            None => claim.epoch == 1 || was_dropped(report, id, claim.epoch - 1),
        };
        if !follows {
            let what = format!("{place}: epoch {} does not follow the claim before", claim.epoch);
            failed(report, claim, what);
        }
        if !goes_on {
            let parent = before.map(|(_, commit)| commit);
            later += u64::from(!first_of_epoch(&place, claim, parent, id, report));
        }
        before = Some((claim, commit));
    }
    later
}

/// Compares the first claim of an epoch with the logs; `false` if they do not have the epoch.
fn first_of_epoch(
    place: &str,
    claim: &Claim,
    parent: Option<&CommitId>,
    task: TaskId,
    report: &mut Report,
) -> bool {
    let owned = report.claims.iter();
    let mut owned = owned.filter(|owned| owned.task == task && owned.epoch == claim.epoch);
    let Some(owned) = owned.next().cloned() else {
        return false;
    };
    if owned.owner != claim.author {
        let what = format!("{place}: it is of {}, and the logs say {}", claim.author, owned.owner);
        failed(report, claim, what);
    } else if owned.intent != claim.event {
        let what = format!("{place}: it names the event {}, not {}", claim.event, owned.intent);
        failed(report, claim, what);
    } else if owned.previous.as_ref() != parent {
        let what = format!("{place}: it follows another commit than the log intended");
        failed(report, claim, what);
    }
    true
}

/// Whether an owner says that it deleted the ref after the end of this epoch or of a later one.
fn was_dropped(report: &Report, task: TaskId, epoch: u64) -> bool {
    let mut claims = report.claims.iter();
    claims.any(|owned| owned.task == task && owned.epoch >= epoch && owned.dropped.is_some())
}

/// What the logs say of an ownership has to be in the repository.
fn stands(
    path: &Path,
    owned: &Ownership,
    chain: &[Held],
    report: &mut Report,
) -> Result<(), CliError> {
    let mine = |held: &&Held| {
        held.claim
            .as_ref()
            .is_ok_and(|claim| claim.author == owned.owner && claim.epoch == owned.epoch)
    };
    let place = format!("{}, epoch {}", owned.name, owned.epoch);
    if !chain.iter().any(|held| mine(&held)) && was_dropped(report, owned.task, owned.epoch) {
        return Ok(());
    }
    let mut fail = |what: String| {
        let (rule, author) = (Rule::ClaimRef, Some(owned.owner));
        report.failures.push(Failure { rule, author, index: None, offset: None, what });
    };
    if !chain.iter().any(|held| mine(&held)) {
        fail(format!("{place}: the owner's claim was never in the ref"));
        return Ok(());
    }
    if !chain.iter().filter(mine).any(|held| held.commit == owned.claim) {
        fail(format!("{place}: the claim commit {} is not in the ref", owned.claim));
    }
    let (Some(work), Some(branch)) = (&owned.published, &owned.branch) else {
        return Ok(());
    };
    let published =
        |held: &Held| held.claim.as_ref().is_ok_and(|claim| claim.status == ClaimStatus::Published);
    if !chain.iter().filter(mine).any(published) {
        fail(format!("{place}: it says that it published, and no claim in the ref does"));
    }
    let tip = format!("refs/heads/{branch}");
    let shown = git(path, &["rev-parse", "--verify", "--quiet", "--end-of-options", &tip], "");
    let Ok(tip) = shown.map(|tip| text(&tip).trim().to_owned()) else {
        let what = format!("{place}: the branch {branch:.200} is not in the repository");
        report.findings.push(Finding { kind: "branch", author: Some(owned.owner), what });
        return Ok(());
    };
    if git(path, &["merge-base", "--is-ancestor", work.as_str(), &tip], "").is_err() {
        let what = format!("{place}: the branch {branch:.200} does not hold the commit {work}");
        report.findings.push(Finding { kind: "branch", author: Some(owned.owner), what });
    }
    Ok(())
}

fn failed(report: &mut Report, claim: &Claim, what: String) {
    let (rule, author) = (Rule::ClaimRef, Some(claim.author));
    report.failures.push(Failure { rule, author, index: None, offset: None, what });
}

/// What nobody signed is no author's doing.
fn found_odd(report: &mut Report, what: String) {
    report.findings.push(Finding { kind: "claim-ref", author: None, what });
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs git on a repository.
fn git(path: &Path, args: &[&str], input: &str) -> Result<Vec<u8>, CliError> {
    let failed = |what: &str| {
        CliError::cannot_tell(format!("git {} in {}: {what}", args[0], path.display()))
    };
    let mut command = Command::new("git");
    command.arg("-C").arg(path).args(args).env_clear();
    // Where git and what it needs are found; all else is given here.
    command.envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
    for (name, value) in ENVIRONMENT {
        command.env(name, value);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed(&error.to_string()))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut answer = Vec::new();
    let read = std::thread::scope(|scope| {
        scope.spawn(move || {
            // Git may end before it read everything; its status says so.
            let _ = stdin.map(|mut stdin| stdin.write_all(input.as_bytes()));
        });
        let limit = MAX_ANSWER + 1;
        stdout.map_or(Ok(0), |stdout| stdout.take(limit).read_to_end(&mut answer))
    });
    if answer.len() as u64 > MAX_ANSWER {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| failed(&error.to_string()))?;
    read.map_err(|error| failed(&error.to_string()))?;
    match status.success() {
        true => Ok(answer),
        false => Err(failed(&format!("it ended with {status}"))),
    }
}

/// No configuration but this, no other program, no network, no change.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("LC_ALL", "C"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_PAGER", "cat"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_ALLOW_PROTOCOL", ""),
    ("GIT_CONFIG_COUNT", "4"),
    ("GIT_CONFIG_KEY_0", "core.hooksPath"),
    ("GIT_CONFIG_VALUE_0", "/dev/null"),
    ("GIT_CONFIG_KEY_1", "core.fsmonitor"),
    ("GIT_CONFIG_VALUE_1", "false"),
    ("GIT_CONFIG_KEY_2", "safe.directory"),
    ("GIT_CONFIG_VALUE_2", "*"),
    ("GIT_CONFIG_KEY_3", "core.commitGraph"),
    ("GIT_CONFIG_VALUE_3", "false"),
];
