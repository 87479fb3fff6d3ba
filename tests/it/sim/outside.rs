//! The outside world of the simulated nodes: one git remote with claim refs, one board with issues,
//! sandboxes, and a model that answers by a script. Refs change by compare-and-swap alone.

use std::collections::BTreeMap;

use bzzz::kernel::agent::{
    Effect, Input, IssueRead, Key, ModelRequest, Outcome, PullRead, Push, RefRead, What,
};
use bzzz::kernel::event::kinds::{
    CheckState, CommandStatus, PullState, Purpose, ReviewState, Stream,
};
use bzzz::kernel::event::{Claim, CommitId, EventId, TaskId};
use bzzz::kernel::identity::AuthorId;
use bzzz::kernel::log::Hash;

use super::rng::Rng;

/// The name of the one repository.
pub(super) const REPOSITORY: &str = "repo";

/// How often in a hundred things outside go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    /// The remote or the board refuses, and did nothing.
    pub(super) refused: u64,
    /// The remote did what was asked, and the answer is lost.
    pub(super) unanswered: u64,
    /// The model does not answer.
    pub(super) speechless: u64,
    /// The model answers nonsense.
    pub(super) nonsense: u64,
    /// The sandbox fails.
    pub(super) sandbox: u64,
}

#[derive(Default)]
pub(super) struct Outside {
    issues: Vec<IssueRead>,
    refs: BTreeMap<u64, (CommitId, Claim)>,
    branches: BTreeMap<String, CommitId>,
    pulls: BTreeMap<String, u64>,
    commits: u64,
    /// Who won which epoch of which issue, by the ref: the one truth.
    pub(super) winners: BTreeMap<(u64, u64), AuthorId>,
    /// The issues in the order in which epochs of them were won, and by whom.
    pub(super) wins: Vec<(u64, AuthorId)>,
}

/// What issues want: their labels and texts, and how urgent that makes them, from 0 on.
pub(super) const WANTED: [(&[&str], &str, u8); 9] = [
    (&["low"], "Requires: rust", 0),
    (&["p3"], "## Requirements\n\n- docker", 0),
    (&["bug"], "Requires: rust", 1),
    (&["needs: docker"], "Do something.", 1),
    (&["priority/high"], "Requires: Rust", 2),
    (&["P1", "requires: docker"], "Do something.", 2),
    (&["urgent"], "Requires: rust", 3),
    (&["priority: low"], "Anybody can do it.", 0),
    (&["critical"], "Requires: rust, gpu", 3),
];

impl Outside {
    /// A board with this many issues; the third depends on the first, the fourth is too vague.
    pub(super) fn new(issues: u64) -> Self {
        let issue = |number| IssueRead {
            number,
            title: format!("issue {number}"),
            body: "something is to be done".to_owned(),
            labels: Vec::new(),
            depends_on: if number == 3 { vec![1] } else { Vec::new() },
            open: true,
        };
        Self { issues: (1..=issues).map(issue).collect(), ..Self::default() }
    }

    /// A board with the issues of [`WANTED`], the last of which nobody can do.
    pub(super) fn wanted() -> Self {
        let mut outside = Self::new(WANTED.len() as u64);
        for (issue, (labels, body, _)) in outside.issues.iter_mut().zip(WANTED) {
            issue.labels = labels.iter().map(|label| (*label).to_owned()).collect();
            issue.body = body.to_owned();
            issue.depends_on = Vec::new();
        }
        outside
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = (u64, TaskId)> + use<'_> {
        let numbers = self.issues.iter().map(|issue| issue.number);
        numbers.map(|number| (number, TaskId::of(REPOSITORY, number)))
    }

    pub(super) fn branch(&self, name: &str) -> Option<&CommitId> {
        self.branches.get(name)
    }

    /// Does what a node asked for, and says what the node is told, in order.
    pub(super) fn execute(
        &mut self,
        effect: Effect,
        trouble: Trouble,
        rng: &mut Rng,
    ) -> Vec<Input> {
        match effect {
            Effect::Append(_) => unreachable!("the node appends by itself"),
            Effect::Poll { repository } => self.poll(repository, trouble, rng),
            Effect::PushClaim { key, claim, expected } => {
                let issue = self.issue_of(claim.task);
                let push = self.push(issue, &claim, expected.as_ref(), None, trouble, rng);
                vec![Input::Outcome(key, Outcome::Pushed(push, claim))]
            }
            Effect::Publish { key, branch, commit, claim, expected } => {
                let issue = self.issue_of(claim.task);
                let with = Some((branch, commit));
                let push = self.push(issue, &claim, Some(&expected), with, trouble, rng);
                vec![Input::Outcome(key, Outcome::Pushed(push, claim))]
            }
            Effect::AskModel { key, ask, request } => {
                vec![Input::Outcome(key, answer(ask, &request, trouble, rng))]
            }
            Effect::Run { key, command, .. } => run(key, command, rng),
            Effect::OpenSandbox { key, base, .. } if !rng.percent(trouble.sandbox) => {
                let base = base.map_or_else(|| commit_id(0), |(_, commit)| commit);
                let sandbox = "simulated".to_owned();
                let (settings, command_seconds) = (None, 60);
                let opened = Outcome::Opened { sandbox, base, settings, command_seconds };
                vec![Input::Outcome(key, opened)]
            }
            Effect::OpenSandbox { key, .. } => vec![failed(key, "no sandbox today")],
            Effect::CloseSandbox { key } => vec![Input::Outcome(key, Outcome::Done)],
            Effect::Commit { key, .. } => {
                let commit = self.new_commit();
                let changed = (1, 2, 3);
                vec![Input::Outcome(key, Outcome::Committed { commit, changed, files: Vec::new() })]
            }
            Effect::OpenPull { key, .. } | Effect::Report { key, .. }
                if rng.percent(trouble.refused) =>
            {
                vec![failed(key, "the board refused")]
            }
            Effect::OpenPull { key, branch, .. } => {
                let next = self.pulls.len() as u64 + 1;
                let number = *self.pulls.entry(branch).or_insert(next);
                let place = format!("pull {number}");
                vec![Input::Outcome(key, Outcome::PullOpened { number, place })]
            }
            Effect::Report { key, .. } | Effect::Escalate { key, .. } => {
                vec![Input::Outcome(key, Outcome::Done)]
            }
            Effect::WatchPull { key, number } => vec![Input::Outcome(key, self.watch(number, rng))],
            Effect::DropClaim { key, .. } if rng.percent(trouble.refused) => {
                vec![failed(key, "the remote refused")]
            }
            Effect::DropClaim { key, expected } => {
                let issue = self.issue_of(key.task);
                if self.refs.get(&issue).is_some_and(|(commit, _)| *commit == expected) {
                    self.refs.remove(&issue);
                }
                vec![Input::Outcome(key, Outcome::Dropped { commit: expected })]
            }
        }
    }

    fn poll(&self, repository: String, trouble: Trouble, rng: &mut Rng) -> Vec<Input> {
        if rng.percent(trouble.refused) {
            return vec![Input::PollFailed { repository }];
        }
        let refs = self.refs.iter().map(|(issue, (commit, claim))| RefRead {
            issue: *issue,
            commit: commit.clone(),
            claim: Some(claim.clone()),
        });
        let refs = refs.collect();
        let issues = Input::Issues { repository: repository.clone(), issues: self.issues.clone() };
        vec![Input::Claims { repository, refs }, issues]
    }

    /// What is seen of a pull request: people take their time, ask for changes now and then, and
    /// merge in the end. A merge closes the issue.
    fn watch(&mut self, number: u64, rng: &mut Rng) -> Outcome {
        let branch = self.pulls.iter().find(|(_, found)| **found == number);
        let head = branch.and_then(|(branch, _)| self.branches.get(branch)).cloned();
        let issue = branch.and_then(|(branch, _)| branch.rsplit('-').next()?.parse::<u64>().ok());
        let fate = rng.range(0..100);
        if fate < 20 {
            for one in self.issues.iter_mut().filter(|one| Some(one.number) == issue) {
                one.open = false;
            }
        }
        let (state, checks, reviews, feedback) = match fate {
            0..20 => (PullState::Merged, CheckState::Passed, ReviewState::Approved, ""),
            20..30 => (PullState::Open, CheckState::Failed, ReviewState::None, "a test fails"),
            30..40 => {
                (PullState::Open, CheckState::Passed, ReviewState::ChangesRequested, "rename it")
            }
            _ => (PullState::Open, CheckState::Pending, ReviewState::None, ""),
        };
        let feedback = feedback.to_owned();
        Outcome::PullSeen(PullRead { state, head, checks, reviews, feedback })
    }

    /// Compare-and-swap on the claim ref, together with a branch if there is one.
    fn push(
        &mut self,
        issue: u64,
        claim: &Claim,
        expected: Option<&CommitId>,
        with: Option<(String, CommitId)>,
        trouble: Trouble,
        rng: &mut Rng,
    ) -> Push {
        if rng.percent(trouble.refused) {
            return Push::Failed("the remote refused".to_owned());
        }
        let held = self.refs.get(&issue);
        if held.map(|(commit, _)| commit) != expected {
            return Push::Lost(held.map(|(commit, claim)| RefRead {
                issue,
                commit: commit.clone(),
                claim: Some(claim.clone()),
            }));
        }
        let commit = self.new_commit();
        self.refs.insert(issue, (commit.clone(), claim.clone()));
        if !self.winners.contains_key(&(issue, claim.epoch)) {
            self.wins.push((issue, claim.author));
        }
        let winner = *self.winners.entry((issue, claim.epoch)).or_insert(claim.author);
        assert_eq!(winner, claim.author, "two winners of issue {issue}, epoch {}", claim.epoch);
        if let Some((branch, work)) = with {
            self.branches.insert(branch, work);
        }
        if rng.percent(trouble.unanswered) {
            return Push::Failed("the answer is lost".to_owned());
        }
        Push::Won(commit)
    }

    fn issue_of(&self, task: TaskId) -> u64 {
        self.tasks().find(|(_, id)| *id == task).expect("a task of the board").0
    }

    fn new_commit(&mut self) -> CommitId {
        self.commits += 1;
        commit_id(self.commits)
    }
}

fn commit_id(n: u64) -> CommitId {
    format!("{n:040x}").parse().expect("40 digits")
}

fn failed(key: Key, why: &str) -> Input {
    Input::Outcome(key, Outcome::Failed(why.to_owned()))
}

fn run(key: Key, command: EventId, rng: &mut Rng) -> Vec<Input> {
    let (task, bytes) = (key.task, format!("output {}\n", rng.range(0..10)).into_bytes());
    let output_total = bytes.len() as u64;
    let output_hash = Hash(*blake3::hash(&bytes).as_bytes());
    let output = Input::Output { task, command, stream: Stream::Stdout, at_ms: 5, bytes };
    let ended = Outcome::Ended {
        command,
        status: CommandStatus::Exited(0),
        duration_ms: 9,
        output_total,
        output_kept: output_total,
        output_hash,
    };
    vec![output, Input::Outcome(key, ended)]
}

fn answer(ask: EventId, request: &ModelRequest, trouble: Trouble, rng: &mut Rng) -> Outcome {
    if rng.percent(trouble.speechless) {
        let error = "the model does not answer".to_owned();
        return Outcome::NoAnswer { ask, error };
    }
    let text = match request.purpose {
        _ if rng.percent(trouble.nonsense) => "I would rather dance",
        Purpose::Plan => r#"{"summary":"do it","steps":["look","change","test"]}"#,
        Purpose::Review if rng.percent(20) => r#"{"verdict":"object","reason":"hm"}"#,
        Purpose::Review if rng.percent(10) => {
            r#"{"verdict":"object","blocking":true,"reason":"no"}"#
        }
        Purpose::Review => r#"{"verdict":"support","reason":"fine"}"#,
        Purpose::Step if request.issue == 4 && request.turn > 0 => {
            r#"{"reasoning":"vague","action":"help","question":"What is meant?"}"#
        }
        Purpose::Step if request.turn >= 3 => {
            r#"{"reasoning":"tested","action":"done","summary":"done"}"#
        }
        Purpose::Step => r#"{"reasoning":"next","action":"command","command":"make test"}"#,
        Purpose::Help if rng.percent(40) => r#"{"help":"advice","text":"read it again"}"#,
        Purpose::Help if rng.percent(60) => r#"{"help":"take_over","text":"let me try"}"#,
        Purpose::Help => r#"{"help":"none","text":"no idea"}"#,
        Purpose::Answer => r#"{"text":"because it is simple"}"#,
    };
    Outcome::Answered {
        ask,
        model: "script".to_owned(),
        text: text.to_owned(),
        tokens_in: Some(100),
        tokens_out: Some(10),
    }
}

/// Whether an effect that is under way goes on when its node crashes: it is on the wire.
pub(super) fn is_on_the_wire(effect: &Effect) -> bool {
    matches!(effect, Effect::PushClaim { .. } | Effect::Publish { .. })
}

/// How long an effect takes, in milliseconds.
pub(super) fn duration_ms(effect: &Effect, rng: &mut Rng) -> u64 {
    match effect {
        Effect::AskModel { key, .. } => {
            assert_eq!(key.what, What::Model, "a question is keyed as one");
            rng.range(200..4_000)
        }
        Effect::Run { .. } => rng.range(50..6_000),
        _ => rng.range(10..500),
    }
}
