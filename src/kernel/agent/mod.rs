//! What to do next: `(state, input, now, entropy) -> effects`.
//!
//! The agent decides from the folded state alone what a task needs next, and asks for it as an
//! [`Effect`]; what came of an effect comes back as an [`Input`] and becomes an event. An intent is
//! in the log before its effect is asked for, so that after a crash the same decision is reached
//! again from the same log. Only what must not survive a restart is kept here: what is in flight,
//! what is watched, and when to try again.

pub mod answer;
mod claims;
mod config;
mod effect;
mod fit;
mod help;
mod input;
mod live;
mod local;
mod order;
mod outbox;
mod outcomes;
mod plans;
mod prompt;
mod publish;
mod reads;
mod references;
mod rules;
mod spending;
mod stuck;
mod talk;
mod wants;
mod watch;
mod work;

pub use answer::{PlanAnswer, ReviewAnswer, StepAnswer, schema};
pub use config::{AgentConfig, Budget, DayBudget};
pub use effect::{Effect, EscalationCall, Key, Message, ModelRequest, Report, Role, Target, What};
pub use fit::Obstacle;
pub use input::{Input, IssueRead, MAX_CHANGED_FILES, Outcome, PullRead, Push, RefRead, Settings};
pub use references::{MAX_DEPENDENCIES, Reference, references};
pub use rules::ApprovalRules;
pub use talk::TalkConfig;
pub use wants::{Kind, MAX_CAPABILITY, MAX_REQUIRES, Priority, Wants};

use std::collections::BTreeMap;

use local::Local;

use crate::kernel::event::kinds::{AgentStarted, RepositorySeen};
use crate::kernel::event::{Draft, TaskId};
use crate::kernel::fold::{Epoch, SwarmState, Task, Win};
use crate::kernel::identity::{AuthorId, SwarmId};

/// The time, handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970, by the node's wall clock.
    pub wall_ms: u64,
    /// Milliseconds of a clock that never jumps.
    pub mono_ms: u64,
}

/// What one call of [`Agent::step`] works with.
struct Turn<'a> {
    state: &'a SwarmState,
    now: Now,
    entropy: u64,
    drafts: Vec<Draft>,
    effects: Vec<Effect>,
}

/// The decisions of one node.
#[derive(Debug)]
pub struct Agent {
    me: AuthorId,
    swarm: SwarmId,
    /// A number drawn at the process's start.
    process: u64,
    config: AgentConfig,
    local: Local,
}

impl Agent {
    /// An agent that has just started.
    #[must_use]
    pub fn new(me: AuthorId, swarm: SwarmId, process: u64, config: AgentConfig) -> Self {
        Self { me, swarm, process, config, local: Local::default() }
    }

    /// What the node says when it starts.
    #[must_use]
    pub fn started(&self, name: &str, version: &str) -> Vec<Draft> {
        let mut drafts = vec![Draft::general(AgentStarted {
            name: name.to_owned(),
            version: version.to_owned(),
            process: self.process,
            works: self.config.works,
            capabilities: self.config.capabilities.clone(),
        })];
        drafts.extend(self.config.repositories.iter().map(|(repository, (url, branch))| {
            let (repository, url, branch) = (repository.clone(), url.clone(), branch.clone());
            Draft::general(RepositorySeen { repository, url, branch })
        }));
        drafts
    }

    /// Takes in what happened, and says what to do. The state must hold everything that was
    /// appended before. After effects of the kind [`Effect::Append`], the caller appends and calls
    /// again with [`Input::Tick`].
    #[must_use]
    pub fn step(
        &mut self,
        state: &SwarmState,
        input: Input,
        now: Now,
        entropy: u64,
    ) -> Vec<Effect> {
        self.follow(state);
        let mut turn = Turn { state, now, entropy, drafts: Vec::new(), effects: Vec::new() };
        turn.drafts = self.take_in(state, input, now);
        if turn.drafts.is_empty() {
            self.decide(&mut turn);
            self.hold_repeats(&mut turn);
        }
        let Turn { drafts, mut effects, .. } = turn;
        if !drafts.is_empty() {
            effects.insert(0, Effect::Append(drafts));
        }
        effects
    }

    /// The tasks that this node owns, and in which epoch, as far as it knows.
    fn own<'a>(&self, state: &'a SwarmState) -> impl Iterator<Item = (&'a Task, &'a Epoch)> {
        let me = self.me;
        self.live(state).into_iter().flat_map(move |task| {
            task.epochs.values().filter_map(move |epoch| {
                let mine = epoch.winner.as_ref().is_some_and(|win| win.author == me);
                (mine && epoch.is_active()).then_some((task, epoch))
            })
        })
    }

    /// The tasks of which this node won the newest epoch and has not lost it since, whether its
    /// part in them is over or not; but not those for which nothing is left to do (see `live`).
    fn held<'a>(
        &self,
        state: &'a SwarmState,
    ) -> impl Iterator<Item = (&'a Task, &'a Epoch, &'a Win)> + use<'a> {
        let me = self.me;
        self.live(state).into_iter().filter_map(move |task| {
            let epoch = task.current()?;
            let win = epoch.winner.as_ref()?;
            (win.author == me && win.lost_at.is_none()).then_some((task, epoch, win))
        })
    }

    fn decide(&mut self, turn: &mut Turn<'_>) {
        self.poll(turn);
        let state = turn.state;
        let owned: Vec<_> = self.own(state).collect();
        let lost = self.local.sandboxes.keys().filter(|id| owned.iter().all(|(t, _)| t.id != **id));
        for task in lost.copied().collect::<Vec<_>>() {
            self.close_sandbox(turn, task);
        }
        if !state.members.may_act(&self.me) {
            return;
        }
        self.local.spent = self.over_day(state, turn.now).is_some();
        for (task, epoch) in owned {
            self.work_on(turn, task, epoch);
        }
        self.after_work(turn);
        self.coordinate(turn);
        if self.config.review {
            self.review_others(turn);
        }
        if self.config.talk.helps {
            self.help_others(turn);
        }
        self.claim(turn);
    }

    /// Keeps back what it said of a task the last time too: had the fold taken it in, the decision
    /// would be another one now. It is said again after a wait, since the state may have come from
    /// elsewhere.
    fn hold_repeats(&mut self, turn: &mut Turn<'_>) {
        let mut said: BTreeMap<Option<TaskId>, Vec<Draft>> = BTreeMap::new();
        for draft in std::mem::take(&mut turn.drafts) {
            said.entry(draft.task).or_default().push(draft);
        }
        for (task, drafts) in said {
            if task.is_none_or(|task| self.local.may_say(task, &drafts, turn.now.mono_ms)) {
                turn.drafts.extend(drafts);
            }
        }
    }

    /// Asks for an effect, unless it is in flight or must wait after a failure.
    fn ask_for(&mut self, turn: &mut Turn<'_>, key: Key, effect: Effect) {
        if self.local.start(key, turn.now.mono_ms) {
            turn.effects.push(effect);
        }
    }

    /// Whether a claim operation of the task is under way.
    fn claim_in_flight(&self, task: TaskId) -> bool {
        self.local.in_flight(&Key { task, what: What::Claim })
    }
}
