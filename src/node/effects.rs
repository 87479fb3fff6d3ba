//! Carries out one effect. Whatever comes of it comes back as an input; nothing here decides.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::outside::Repository;
use super::services;
use super::work::Hands;
use super::workspace::{Workspace, told};
use super::{egress, mask, settings, tasks};
use crate::integrations::git::{Author, ClaimRef, GitError, Swap};
use crate::integrations::ollama::ReasonerError;
use crate::integrations::sandbox::{Chunk, SandboxError, SandboxSpec};
use crate::kernel::agent::{
    Effect, Input, Key, MAX_CHANGED_FILES, ModelRequest, Outcome, Push, RefRead, Target,
};
use crate::kernel::event::kinds::{CommandStatus, Stream};
use crate::kernel::event::{Claim, CommitId, EventId, SignedClaim, TaskId};
use crate::kernel::log::Hash;

/// Output is passed on when it is this long or this old.
const OUTPUT_BYTES: usize = 32 * 1024;
const OUTPUT_AGE: Duration = Duration::from_millis(250);

/// The pieces of output that wait at most.
const OUTPUT_QUEUE: usize = 64;

/// Everything that comes from outside and may become an event goes through here, or through
/// [`pass_on`], where secrets are masked.
pub(super) async fn carry_out(hands: &Arc<Hands>, effect: Effect) -> Vec<Input> {
    let inputs = perform(hands, effect).await;
    inputs.into_iter().map(|input| hands.masker.input(input)).collect()
}

async fn perform(hands: &Arc<Hands>, effect: Effect) -> Vec<Input> {
    let (key, outcome) = match effect {
        Effect::Append(_) => return Vec::new(),
        Effect::Poll { repository } => return tasks::poll(hands, repository).await,
        Effect::PushClaim { key, claim, expected } => {
            let outcome = push_claim(hands, &key, claim, expected).await;
            (key, outcome)
        }
        Effect::AskModel { key, ask, request } => {
            let outcome = ask_model(hands, key.task, ask, &request).await;
            (key, outcome)
        }
        Effect::OpenSandbox { key, epoch, base } => {
            let outcome = open_sandbox(hands, &key, epoch, base).await;
            (key, outcome)
        }
        Effect::Run { key, command, text } => {
            let outcome = run(hands, key.task, command, &text).await;
            (key, outcome)
        }
        Effect::CloseSandbox { key } => {
            let outcome = close_sandbox(hands, key.task).await;
            (key, outcome)
        }
        Effect::Commit { key, base, message } => {
            let outcome = commit(hands, key.task, &base, &message).await;
            (key, outcome)
        }
        Effect::Publish { key, branch, commit, claim, expected } => {
            let outcome = publish(hands, &key, &branch, &commit, claim, &expected).await;
            (key, outcome)
        }
        Effect::OpenPull { key, branch, commit, title, body } => {
            let outcome = tasks::open_pull(hands, key.task, branch, commit, title, body).await;
            (key, outcome)
        }
        Effect::DropClaim { key, expected } => {
            let outcome = drop_claim(hands, key.task, expected).await;
            (key, outcome)
        }
        Effect::WatchPull { key, number } => {
            let outcome = tasks::watch(hands, key.task, number).await;
            (key, outcome)
        }
        Effect::Escalate { key, call } => {
            let outcome = services::ask_people(hands, &call).await;
            (key, outcome)
        }
        Effect::Report { key, report } => {
            let outcome = match report.target {
                Target::Board => tasks::tell(hands, key.task, &report).await,
                Target::Hive => services::tell_hive(hands, key.task, &report).await,
                Target::People => Outcome::Failed("people are asked, not told".to_owned()),
            };
            (key, outcome)
        }
    };
    vec![Input::Outcome(key, outcome)]
}

async fn drop_claim(hands: &Hands, task: TaskId, expected: CommitId) -> Outcome {
    let (repository, issue) = match place(hands, task) {
        Ok(place) => place,
        Err(error) => return Outcome::Failed(error),
    };
    let mirror = match repository.mirror().await {
        Ok(mirror) => mirror,
        Err(error) => return Outcome::Failed(error),
    };
    match mirror.drop_claim(issue, &expected).await {
        Ok(()) => Outcome::Dropped { commit: expected },
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// The repository and the issue of a task.
pub(super) fn place(hands: &Hands, task: TaskId) -> Result<(Arc<Repository>, u64), String> {
    let found = hands
        .engine
        .read(|state| state.tasks.get(&task).map(|task| (task.repository.clone(), task.issue)));
    let (name, issue) = found.ok_or("the task is not known")?;
    let repository = hands.outside.repositories.get(&name);
    let repository =
        repository.ok_or_else(|| format!("the repository {name} is not configured"))?;
    Ok((repository, issue))
}

pub(super) fn ref_read(hands: &Hands, read: ClaimRef) -> RefRead {
    let swarm = hands.engine.swarm();
    let claim = match SignedClaim::read(&swarm, &read.claim) {
        Ok(claim) => Some(claim.claim().clone()),
        Err(error) => {
            warn!(issue = read.issue, commit = read.commit.short(), %error, "no valid claim");
            None
        }
    };
    RefRead { issue: read.issue, commit: read.commit, claim }
}

async fn push_claim(hands: &Hands, key: &Key, claim: Claim, expected: Option<CommitId>) -> Outcome {
    let (repository, issue) = match place(hands, key.task) {
        Ok(place) => place,
        Err(error) => return Outcome::Failed(error),
    };
    let signed = SignedClaim::sign(hands.engine.key(), claim.clone());
    let message = claim_message(hands, &claim);
    let expected = expected.as_ref();
    let pushed = match repository.mirror().await {
        Ok(mirror) => {
            push(hands, mirror.push_claim(issue, signed.as_bytes(), &message, expected).await)
        }
        Err(error) => Push::Failed(error),
    };
    Outcome::Pushed(pushed, claim)
}

fn push(hands: &Hands, pushed: Result<Swap, GitError>) -> Push {
    match pushed {
        Ok(Swap::Won { claim_commit }) => Push::Won(claim_commit),
        Ok(Swap::Lost { current }) => Push::Lost(current.map(|read| ref_read(hands, read))),
        Err(error) => Push::Failed(error.to_string()),
    }
}

/// What the log of the claim ref tells people. It has no authority; the blob has.
fn claim_message(hands: &Hands, claim: &Claim) -> String {
    format!(
        "{:?} by {}, epoch {}\n\nAgent: {}\nEvent: {}\nLease: {} ms\nRenewal: {}\n",
        claim.status,
        hands.name,
        claim.epoch,
        claim.author,
        claim.event,
        claim.lease_ms,
        claim.renewal
    )
}

async fn ask_model(hands: &Hands, task: TaskId, ask: EventId, request: &ModelRequest) -> Outcome {
    let Some(reasoner) = &hands.outside.reasoner else {
        let error = "no reasoner is configured".to_owned();
        return Outcome::NoAnswer { ask, error };
    };
    let model = hands.outside.services.models.choose(&hands.engine, task, reasoner).await;
    let answered = match reasoner.ask_model(model.as_deref(), request).await {
        Err(error @ ReasonerError::NoModel { .. }) if model.is_some() => {
            warn!(%error, "the configured model is asked instead");
            reasoner.ask(request).await
        }
        answered => answered,
    };
    match answered {
        Ok(answer) => Outcome::Answered {
            ask,
            model: answer.model,
            text: answer.text,
            tokens_in: answer.tokens_in,
            tokens_out: answer.tokens_out,
        },
        Err(error) => Outcome::NoAnswer { ask, error: error.to_string() },
    }
}

async fn open_sandbox(
    hands: &Hands,
    key: &Key,
    epoch: u64,
    base: Option<(String, CommitId)>,
) -> Outcome {
    let (repository, issue) = match place(hands, key.task) {
        Ok(place) => place,
        Err(error) => return Outcome::Failed(error),
    };
    let dir = hands.home.work().join(format!("{}-{epoch}", key.task.short()));
    match prepare(hands, &repository, issue, epoch, base, &dir).await {
        Ok((workspace, opened)) => {
            hands.workspaces.put(key.task, workspace);
            opened
        }
        Err(error) => {
            remove(&dir);
            Outcome::Failed(error)
        }
    }
}

async fn prepare(
    hands: &Hands,
    repository: &Repository,
    issue: u64,
    epoch: u64,
    base: Option<(String, CommitId)>,
    dir: &PathBuf,
) -> Result<(Workspace, Outcome), String> {
    let git = |error: GitError| error.to_string();
    let mirror = repository.mirror().await?;
    let base = match base {
        None => mirror.fetch_base().await.map_err(git)?,
        Some((branch, commit)) => {
            let found = mirror.fetch_branch(&branch).await.map_err(git)?;
            if found != commit {
                return Err(format!("the branch {branch} is at {found}, and not at {commit}"));
            }
            commit
        }
    };
    let granted = settings::of(mirror, &base, &hands.outside.own).await.map_err(git)?;
    remove(dir);
    let tree = dir.join("tree");
    std::fs::create_dir_all(&tree).map_err(|error| format!("{}: {error}", tree.display()))?;
    mirror.checkout(&base, &tree).await.map_err(git)?;
    let owner = hands.engine.me().short();
    let spec = SandboxSpec {
        name: format!("bzzz-{owner}-{issue}-{epoch}"),
        owner,
        work_tree: tree,
        image: granted.image.clone(),
        limits: granted.limits,
        egress: granted.egress.clone(),
    };
    let failed = |error: SandboxError| error.to_string();
    let handle = hands.outside.sandbox.open(&spec).await.map_err(failed)?;
    let sandbox = match granted.image {
        Some(image) if granted.egress.hosts.is_empty() => format!("docker {image}"),
        Some(image) => format!("docker {image}, with a proxy"),
        None => "process, without isolation".to_owned(),
    };
    let workspace = Workspace { handle, dir: dir.clone(), closed: watch::Sender::new(false) };
    let (settings, command_seconds) = (granted.settings, granted.limits.command_seconds);
    Ok((workspace, Outcome::Opened { sandbox, base, settings, command_seconds }))
}

async fn run(hands: &Arc<Hands>, task: TaskId, command: EventId, text: &str) -> Outcome {
    let Some(workspace) = hands.workspaces.get(task) else {
        return ended(command, CommandStatus::Lost("the sandbox is gone".to_owned()));
    };
    let (sink, chunks) = mpsc::channel(OUTPUT_QUEUE);
    let mut closed = workspace.closed.subscribe();
    let running = async {
        let (finished, ()) =
            tokio::join!(workspace.handle.run(text, sink), pass_on(hands, task, command, chunks));
        finished
    };
    let (over, ended_or_closed) = watch::channel(());
    let work = async {
        let finished = tokio::select! {
            finished = running => Some(finished),
            () = told(&mut closed) => None,
        };
        drop(over);
        finished
    };
    let denied = egress::tell(hands, &workspace.handle, task, command, ended_or_closed);
    let (finished, ()) = tokio::join!(work, denied);
    let Some(finished) = finished else {
        return ended(command, CommandStatus::Killed("the sandbox was closed".to_owned()));
    };
    match finished {
        Ok(finished) => Outcome::Ended {
            command,
            status: finished.status,
            duration_ms: finished.duration_ms,
            output_total: finished.output_total,
            output_kept: finished.output_kept,
            output_hash: Hash(finished.output_hash),
        },
        Err(error) => ended(command, CommandStatus::Lost(error.to_string())),
    }
}

fn ended(command: EventId, status: CommandStatus) -> Outcome {
    Outcome::Ended {
        command,
        status,
        duration_ms: 0,
        output_total: 0,
        output_kept: 0,
        output_hash: Hash(*blake3::hash(b"").as_bytes()),
    }
}

/// Passes a command's output on, joined into larger pieces, so that a command which writes
/// byte by byte does not write an event for each. What may be the beginning of a secret waits until
/// it is known.
async fn pass_on(hands: &Hands, task: TaskId, command: EventId, mut chunks: mpsc::Receiver<Chunk>) {
    let mut output = Output {
        hands,
        task,
        command,
        streams: [hands.masker.stream(), hands.masker.stream()],
        at_ms: 0,
    };
    let mut waiting: Option<Chunk> = None;
    loop {
        let next = match &waiting {
            None => chunks.recv().await,
            Some(_) => match tokio::time::timeout(OUTPUT_AGE, chunks.recv()).await {
                Ok(next) => next,
                Err(_) => {
                    output.send(waiting.take()).await;
                    continue;
                }
            },
        };
        let Some(chunk) = next else { break };
        waiting = match waiting.take() {
            Some(mut before)
                if before.stream == chunk.stream
                    && before.bytes.len() + chunk.bytes.len() <= OUTPUT_BYTES =>
            {
                before.bytes.extend_from_slice(&chunk.bytes);
                Some(before)
            }
            before => {
                output.send(before).await;
                Some(chunk)
            }
        };
    }
    output.send(waiting).await;
    output.end().await;
}

/// The output of one command on its way into the log.
struct Output<'a> {
    hands: &'a Hands,
    task: TaskId,
    command: EventId,
    /// Of standard output and standard error.
    streams: [mask::Stream; 2],
    at_ms: u64,
}

impl Output<'_> {
    async fn send(&mut self, chunk: Option<Chunk>) {
        let Some(Chunk { stream, bytes, at_ms }) = chunk else { return };
        self.at_ms = at_ms;
        let [out, error] = &mut self.streams;
        let masked = match stream {
            Stream::Stdout => out.push(&bytes),
            Stream::Stderr => error.push(&bytes),
        };
        self.hand_over(stream, &masked).await;
    }

    async fn end(&mut self) {
        let [out, error] = &mut self.streams;
        let rest = [(Stream::Stdout, out.end()), (Stream::Stderr, error.end())];
        for (stream, bytes) in rest {
            self.hand_over(stream, &bytes).await;
        }
    }

    /// A mark may be longer than what it stands for, and an event has a limit.
    async fn hand_over(&self, stream: Stream, bytes: &[u8]) {
        let Self { task, command, at_ms, .. } = *self;
        for bytes in bytes.chunks(OUTPUT_BYTES) {
            let bytes = bytes.to_vec();
            let input = Input::Output { task, command, stream, at_ms, bytes };
            let _ = self.hands.inputs.send(input).await;
        }
    }
}

async fn close_sandbox(hands: &Hands, task: TaskId) -> Outcome {
    match hands.workspaces.close(task).await {
        None => {}
        Some(Ok(dir)) => remove(&dir),
        Some(Err(error)) => return Outcome::Failed(error.to_string()),
    }
    Outcome::Done
}

async fn commit(hands: &Hands, task: TaskId, base: &CommitId, message: &str) -> Outcome {
    let (repository, _) = match place(hands, task) {
        Ok(place) => place,
        Err(error) => return Outcome::Failed(error),
    };
    let Some(workspace) = hands.workspaces.get(task) else {
        return Outcome::Failed("the sandbox is gone".to_owned());
    };
    let out = workspace.dir.join("out");
    remove(&out);
    if let Err(error) = workspace.handle.export(&out).await {
        return Outcome::Unpublishable(error.to_string());
    }
    let author = Author {
        name: hands.name.clone(),
        email: format!("{}@agents.bzzz.invalid", hands.engine.me().short()),
    };
    let mirror = match repository.mirror().await {
        Ok(mirror) => mirror,
        Err(error) => return Outcome::Failed(error),
    };
    let message = repository.source.harmless(message);
    let commit = match mirror.commit_tree(&out, base, &message, &author).await {
        Ok(commit) => commit,
        Err(error) if error.is_transient() => return Outcome::Failed(error.to_string()),
        Err(error) => return Outcome::Unpublishable(error.to_string()),
    };
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    match mirror.diff_stat(base, &commit).await {
        Ok(stat) => {
            let changed = (number(stat.changed), number(stat.added), number(stat.removed));
            let files = stat.files.into_iter().take(MAX_CHANGED_FILES).map(|file| file.path);
            Outcome::Committed { commit, changed, files: files.collect() }
        }
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

async fn publish(
    hands: &Hands,
    key: &Key,
    branch: &str,
    commit: &CommitId,
    claim: Claim,
    expected: &CommitId,
) -> Outcome {
    let (repository, issue) = match place(hands, key.task) {
        Ok(place) => place,
        Err(error) => return Outcome::Failed(error),
    };
    let signed = SignedClaim::sign(hands.engine.key(), claim.clone());
    let message = claim_message(hands, &claim);
    let bytes = signed.as_bytes();
    let pushed = match repository.mirror().await {
        Ok(mirror) => {
            push(hands, mirror.publish(issue, branch, commit, bytes, &message, expected).await)
        }
        Err(error) => Push::Failed(error),
    };
    Outcome::Pushed(pushed, claim)
}

fn remove(dir: &PathBuf) {
    if let Err(error) = std::fs::remove_dir_all(dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        warn!(dir = %dir.display(), %error, "a directory could not be removed");
    }
}
