//! Claims by compare-and-swap: the one place where it is decided who owns a task.
//!
//! A claim is a commit of one blob, `claim`, whose parent is the claim before. It stands if and
//! only if the task's ref at the remote holds it. An answer that isn't clear is settled by reading
//! that ref, never by asking again blindly; the same commit may be pushed again, since only the one
//! value that was expected gives way to it.

use std::time::Duration;

use super::error::{Complaint, classify};
use super::mirror::{Mirror, garbled, known};
use super::refs::{claim_ref, first_id};
use super::remote::check_branch;
use super::run::{Call, Fault, Feed};
use super::{ClaimRef, CommitId, GitError, Swap};

/// The largest claim, in bytes.
pub const MAX_CLAIM_BYTES: usize = 4096;

/// The most claim refs of one remote.
pub const MAX_CLAIMS: usize = 10_000;

/// The longest message of a commit, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// The branches that a publication may move if they exist: what an earlier owner of the task
/// published. Any other branch is only ever created.
pub const WORK_BRANCHES: &str = "bzzz/";

/// How often one commit is pushed while the ref stays as expected and the failure may pass, for
/// example while another process holds the ref's lock.
const ATTEMPTS: u32 = 7;

/// The first pause between attempts; it doubles each time.
const PAUSE: Duration = Duration::from_millis(40);

/// One atomic push: refs, what they must hold before, what they hold after.
struct Move {
    reference: String,
    expected: Option<CommitId>,
    to: CommitId,
}

impl Mirror {
    /// Moves a task's claim ref from what was expected (nothing: create it only if it is absent) to
    /// a new commit that holds these bytes: acquires, renews, takes over or releases. The bytes
    /// must be unique, by a nonce, so that no two claims are one commit.
    ///
    /// # Errors
    /// [`GitError::Ambiguous`] and [`GitError::Timeout`] if the ref may yet move: read it later, it
    /// is ours if it holds these bytes. [`GitError::Refused`] if the remote declines.
    pub async fn push_claim(
        &self,
        issue: u64,
        claim: &[u8],
        message: &str,
        expected: Option<&CommitId>,
    ) -> Result<Swap, GitError> {
        let ours = match self.write_claim(claim, message, expected).await {
            // The parent may be one that this mirror never read.
            Err(GitError::Failed { .. }) if expected.is_some() => {
                let current = self.read_claim(issue).await?;
                if current.as_ref().map(|current| &current.commit) != expected {
                    return Ok(Swap::Lost { current });
                }
                self.write_claim(claim, message, expected).await?
            }
            written => written?,
        };
        let moves =
            [Move { reference: claim_ref(issue), expected: expected.cloned(), to: ours.clone() }];
        self.swap("move the claim", issue, &moves, self.limits.exchange).await
    }

    /// Publishes a commit under a branch, fenced by the claim: both refs move in one atomic push or
    /// neither does. The claim moves from `expected` to a new commit that holds the given bytes. A
    /// branch that exists is moved only below [`WORK_BRANCHES`], and only from where it was seen.
    ///
    /// # Errors
    /// As [`Mirror::push_claim`]; [`GitError::BranchTaken`]; [`GitError::NotAtomic`].
    pub async fn publish(
        &self,
        issue: u64,
        branch: &str,
        commit: &CommitId,
        claim: &[u8],
        message: &str,
        expected: &CommitId,
    ) -> Result<Swap, GitError> {
        const OPERATION: &str = "publish the branch";
        let bad = |why: &str| GitError::BadInput { operation: OPERATION, why: why.to_owned() };
        known(OPERATION, commit)?;
        check_branch(branch).map_err(bad)?;
        if branch == self.remote.branch {
            return Err(bad("the base branch is never published to"));
        }
        let heads = format!("refs/heads/{branch}");
        let reference = claim_ref(issue);
        let refs = self.list_refs(OPERATION, &[&heads, &reference]).await?;
        if refs.get(&reference) != Some(expected) {
            return Ok(Swap::Lost { current: self.read_claim(issue).await? });
        }
        let seen = refs.get(&heads).cloned();
        let free = seen.as_ref().is_none_or(|seen| seen == commit);
        if !free && !branch.starts_with(WORK_BRANCHES) {
            let (branch, remote) = (branch.to_owned(), self.remote.shown());
            return Err(GitError::BranchTaken { branch, remote });
        }
        let ours = self.write_claim(claim, message, Some(expected)).await?;
        let moves = [
            Move { reference, expected: Some(expected.clone()), to: ours },
            Move { reference: heads, expected: seen, to: commit.clone() },
        ];
        self.swap(OPERATION, issue, &moves, self.limits.transfer).await
    }

    /// Deletes a task's claim ref, if it still holds what was expected; a ref that is gone or holds
    /// another claim is left as it is, and nothing is to be done.
    ///
    /// # Errors
    /// [`GitError`] if the remote declines or cannot be reached.
    pub async fn drop_claim(&self, issue: u64, expected: &CommitId) -> Result<(), GitError> {
        const OPERATION: &str = "delete the claim";
        let reference = claim_ref(issue);
        let refs = self.list_refs(OPERATION, &[&reference]).await?;
        if refs.get(&reference) != Some(expected) {
            return Ok(());
        }
        let lease = format!("--force-with-lease={reference}:{expected}");
        let spec = format!(":{reference}");
        let args = ["push", "--porcelain", "--no-verify", "--no-signed", &lease, "r", &spec];
        let call = Call::new(args, self.limits.exchange).remote(&self.remote);
        let Err(fault) = self.runner.run(call).await.map(|_| ()) else { return Ok(()) };
        // Whoever's answer got lost: what the ref holds decides.
        let refs = self.list_refs(OPERATION, &[&reference]).await?;
        if refs.get(&reference) == Some(expected) {
            return Err(self.remote_fault(OPERATION, fault));
        }
        Ok(())
    }

    /// Writes the commit of a claim into the mirror. Nobody else sees it yet.
    async fn write_claim(
        &self,
        claim: &[u8],
        message: &str,
        parent: Option<&CommitId>,
    ) -> Result<CommitId, GitError> {
        const OPERATION: &str = "write the claim";
        check_message(OPERATION, message)?;
        if claim.is_empty() || claim.len() > MAX_CLAIM_BYTES {
            let why = format!("a claim has 1 to {MAX_CLAIM_BYTES} bytes, not {}", claim.len());
            return Err(GitError::BadInput { operation: OPERATION, why });
        }
        let call = |args: &[&str]| Call::new(args, self.limits.local);
        let blob = call(&["hash-object", "-w", "--stdin"]).feed(Feed::Bytes(claim.to_vec()));
        let blob = self.written(OPERATION, blob).await?;
        let entry = format!("100644 blob {blob}\tclaim\n");
        let tree = call(&["mktree"]).feed(Feed::Bytes(entry.into_bytes()));
        let tree = self.written(OPERATION, tree).await?;
        let mut args = vec!["commit-tree", "-F", "-"];
        if let Some(parent) = parent {
            args.extend(["-p", known(OPERATION, parent)?]);
        }
        args.push(tree.as_str());
        let commit = call(&args).feed(Feed::Bytes(message.as_bytes().to_vec()));
        self.written(OPERATION, commit).await
    }

    /// Runs a git command that writes one object; its id.
    pub(super) async fn written(
        &self,
        operation: &'static str,
        call: Call<'_>,
    ) -> Result<CommitId, GitError> {
        let answer = self.local(operation, call).await?;
        first_id(&answer).ok_or_else(|| garbled(operation, "git named no object"))
    }

    /// Moves all refs or none. The first is the claim, whose value afterwards decides.
    async fn swap(
        &self,
        operation: &'static str,
        issue: u64,
        moves: &[Move],
        limit: Duration,
    ) -> Result<Swap, GitError> {
        let claim = &moves[0];
        for attempt in 1.. {
            let fault = match self.push(moves, limit).await {
                Ok(()) => {
                    return Ok(Swap::Won { claim_commit: claim.to.clone() });
                }
                Err(fault) => fault,
            };
            let again = attempt < ATTEMPTS && may_pass(&fault);
            let error = self.remote_fault(operation, fault);
            let names: Vec<&str> = moves.iter().map(|one| one.reference.as_str()).collect();
            let refs = match self.list_refs("read the claim back", &names).await {
                Ok(refs) => refs,
                Err(unread) => return Err(self.ambiguous(claim, &error, &unread)),
            };
            let held = refs.get(&claim.reference);
            if held == Some(&claim.to) {
                return Ok(Swap::Won { claim_commit: claim.to.clone() });
            }
            if held != claim.expected.as_ref() {
                return Ok(Swap::Lost { current: self.read_listed_claim(issue, refs).await? });
            }
            // The claim is as expected, so that only another ref or the remote can be the reason.
            let moved = |one: &Move| refs.get(&one.reference) != one.expected.as_ref();
            if !again || moves.iter().any(moved) {
                return Err(error);
            }
            tokio::time::sleep(pause(attempt, &claim.to)).await;
        }
        unreachable!("the loop returns at the last attempt")
    }

    fn ambiguous(&self, claim: &Move, error: &GitError, unread: &GitError) -> GitError {
        GitError::Ambiguous {
            remote: self.remote.shown(),
            reference: claim.reference.clone(),
            detail: format!("{error}; then {unread}"),
        }
    }

    async fn push(&self, moves: &[Move], limit: Duration) -> Result<(), Fault> {
        let mut args: Vec<String> = ["push", "--atomic", "--porcelain", "--no-verify"]
            .into_iter()
            .chain(["--no-follow-tags", "--recurse-submodules=no", "--no-signed"])
            .map(str::to_owned)
            .collect();
        for one in moves {
            let expected = one.expected.as_ref().map_or("", CommitId::as_str);
            args.push(format!("--force-with-lease={}:{expected}", one.reference));
        }
        args.push("r".to_owned());
        args.extend(moves.iter().map(|one| format!("{}:{}", one.to, one.reference)));
        self.runner.run(Call::new(args, limit).remote(&self.remote)).await.map(|_| ())
    }
}

/// Whether pushing the same commit again may succeed. A push that was stopped may still be under
/// way at the remote, so that nothing follows it but reading.
fn may_pass(fault: &Fault) -> bool {
    match fault {
        Fault::Exit { said, .. } => {
            matches!(classify(said), Complaint::Transient | Complaint::Unknown)
        }
        _ => false,
    }
}

/// The pause after a failed attempt: it doubles, and is drawn out by up to itself by the commit's
/// digits, so that processes that collided once don't collide again.
fn pause(attempt: u32, commit: &CommitId) -> Duration {
    let digits = commit.as_str().get(..2).and_then(|two| u32::from_str_radix(two, 16).ok());
    let base = PAUSE * 2u32.pow(attempt.min(ATTEMPTS) - 1);
    base + base * digits.unwrap_or(0) / 256
}

/// Checks a commit's message.
pub(super) fn check_message(operation: &'static str, message: &str) -> Result<(), GitError> {
    if message.trim().is_empty() || message.len() > MAX_MESSAGE_BYTES || message.contains('\0') {
        let why = format!("a message has 1 to {MAX_MESSAGE_BYTES} bytes and no zero byte");
        return Err(GitError::BadInput { operation, why });
    }
    Ok(())
}

impl ClaimRef {
    /// The full name of the ref.
    #[must_use]
    pub fn reference(&self) -> String {
        claim_ref(self.issue)
    }
}
