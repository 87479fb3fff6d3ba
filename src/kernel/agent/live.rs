//! The tasks that a decision has to look at. A swarm has many that are over, and a decision is
//! made for every change: looking at all of them each time takes longer than the rest of it.
//!
//! What is kept follows from the state alone, so that an agent that has just started knows the
//! same: a task is looked at again whenever the fold changed it.

use std::collections::{BTreeMap, BTreeSet};

use super::Agent;
use super::outbox::owes_hive;
use crate::kernel::event::TaskId;
use crate::kernel::fold::{Epoch, IntentResult, SwarmState, Task, TaskStatus};

#[derive(Debug, Default)]
pub(super) struct Live {
    /// How many changes of the state were seen.
    seen: Option<u64>,
    /// The tasks for which something may be left to do.
    tasks: BTreeSet<TaskId>,
    /// Those for which this node used a model or ran commands: the last day, since 1970.
    days: BTreeMap<TaskId, u64>,
    by_day: BTreeSet<(u64, TaskId)>,
}

impl Live {
    fn set(&mut self, task: TaskId, matters: bool, day: Option<u64>) {
        if matters {
            self.tasks.insert(task);
        } else {
            self.tasks.remove(&task);
        }
        if let Some(before) = self.days.remove(&task) {
            self.by_day.remove(&(before, task));
        }
        if let Some(day) = day {
            self.days.insert(task, day);
            self.by_day.insert((day, task));
        }
    }
}

impl Agent {
    /// Takes in what changed in the state since the last time. The state must be that of one fold,
    /// in whose order of changes it is handed in.
    pub(super) fn follow(&mut self, state: &SwarmState) {
        let changes = state.changes();
        let since = self.local.live.seen.replace(changes.count());
        let known = since.and_then(|seen| changes.since(seen));
        let changed: BTreeSet<TaskId> = match known {
            Some(tasks) => tasks.collect(),
            None => {
                self.local.live = Live { seen: self.local.live.seen, ..Live::default() };
                state.tasks.keys().copied().collect()
            }
        };
        for id in changed {
            let task = state.tasks.get(&id);
            let matters = task.is_some_and(|task| self.matters(task));
            self.local.live.set(id, matters, task.and_then(|task| self.last_day(task)));
        }
    }

    /// The tasks for which something may be left to do, by their ids.
    pub(super) fn live<'a>(&self, state: &'a SwarmState) -> Vec<&'a Task> {
        self.local.live.tasks.iter().filter_map(|id| state.tasks.get(id)).collect()
    }

    /// The tasks for which this node used something on a day or later.
    pub(super) fn spent_since<'a>(&self, state: &'a SwarmState, day: u64) -> Vec<&'a Task> {
        let spent = self.local.live.by_day.range((day, TaskId([0; 32]))..);
        spent.filter_map(|(_, id)| state.tasks.get(id)).collect()
    }

    fn last_day(&self, task: &Task) -> Option<u64> {
        let usage = task.epochs.values().filter_map(|epoch| epoch.usage.get(&self.me));
        usage.filter_map(|days| days.keys().next_back().copied()).max()
    }

    /// Whether a decision may have something to do for the task, now or later, without the task
    /// changing before. Whatever is done about tasks must be covered here.
    fn matters(&self, task: &Task) -> bool {
        let claimable =
            task.open && matches!(task.status(), TaskStatus::Open | TaskStatus::Claimed);
        let current = task.current();
        claimable
            || current.is_some_and(Epoch::is_active)
            || current.is_some_and(|epoch| self.is_left(epoch))
            || task.epochs.values().any(|epoch| self.owns(epoch) || self.intends(epoch))
    }

    /// This node won the epoch and did not end it.
    fn owns(&self, epoch: &Epoch) -> bool {
        epoch.is_active() && epoch.winner.as_ref().is_some_and(|win| win.author == self.me)
    }

    /// This node wants to win the epoch, and nothing is known to have come of it.
    fn intends(&self, epoch: &Epoch) -> bool {
        let mut intents = epoch.intents.values();
        intents.any(|made| made.author == self.me && made.result == IntentResult::Pending)
    }

    /// Something is left to do after the end of this node's part: a pull request is watched,
    /// somebody is to be told, people are asked, or a sandbox is there.
    fn is_left(&self, epoch: &Epoch) -> bool {
        let held =
            epoch.winner.as_ref().is_some_and(|win| win.author == self.me && win.lost_at.is_none());
        held && (epoch.finished.as_deref() == Some("published")
            || epoch.escalation.is_some()
            || epoch.work.sandbox.is_some()
            || (self.config.hive && owes_hive(epoch)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::kernel::agent::{
        AgentConfig, ApprovalRules, Budget, DayBudget, Effect, Now, TalkConfig, Turn,
    };
    use crate::kernel::event::kinds::*;
    use crate::kernel::event::{CommitId, Draft, Event, EventId, Hlc, Payload, swarm_id};
    use crate::kernel::fold::{Aggregate, EventSource, Fold, FoldError, Place};
    use crate::kernel::identity::{AuthorId, SecretKey, SwarmId};
    use crate::kernel::log::Hash;

    const TASKS: usize = 6;

    /// Numbers that look random and are the same for the same seed.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % sides as u64).unwrap()
        }
    }

    fn key(n: u8) -> SecretKey {
        SecretKey::from_seed(&[n; 32])
    }

    fn commit() -> CommitId {
        "a".repeat(40).parse().unwrap()
    }

    /// Logs of members 1 to 3, the first of whom founds the swarm and admits the others.
    struct Logs {
        said: Vec<Event>,
        lengths: [u64; 4],
        swarm: SwarmId,
    }

    impl Logs {
        fn new() -> Self {
            let mut logs = Self { said: Vec::new(), lengths: [0; 4], swarm: SwarmId([0; 32]) };
            let administrators = vec![key(1).author()];
            let name = "s".to_owned();
            let founded = SwarmFounded { name, administrators, nonce: [0; 16] };
            logs.swarm = swarm_id(logs.say(1, Draft::general(founded)));
            for n in [2, 3] {
                let (member, name) = (key(n).author(), "m".to_owned());
                let admitted = MemberAdmitted { member, role: Role::Agent, name };
                logs.say(1, Draft::general(admitted));
            }
            logs
        }

        fn say(&mut self, who: u8, draft: Draft) -> EventId {
            let author = key(who).author();
            let seq = self.lengths[usize::from(who)];
            self.lengths[usize::from(who)] += 1;
            let clock = Hlc((self.said.len() as u64 + 1) << 16);
            let record = draft.record(seq, clock).unwrap();
            self.said.push(Event::read(author, seq, record.as_ref()).unwrap());
            self.said.last().unwrap().id
        }

        /// Logs in which tasks are claimed, talked about, worked on, handed over, given back, asked
        /// about, published, merged and closed, each by somebody and up to some point.
        fn at_random(dice: &mut Dice) -> Self {
            let mut logs = Self::new();
            let mut lives: Vec<Life> =
                (0..TASKS).map(|issue| Life::new(issue as u64, dice)).collect();
            for _ in 0..160 {
                let life = &mut lives[dice.roll(TASKS)];
                if life.step > 2 && dice.roll(2) == 0 {
                    life.talk(&mut logs, dice);
                } else {
                    life.go_on(&mut logs, dice);
                }
            }
            if dice.roll(2) == 0 {
                let (member, reason) = (key(3).author(), String::new());
                let length = dice.roll(usize::try_from(logs.lengths[3]).unwrap() + 1) as u64;
                logs.say(1, Draft::general(MemberRevoked { member, length, reason }));
            }
            for _ in 0..dice.roll(4) {
                let victim = &logs.said[dice.roll(logs.said.len())];
                let (event, author, seq) = (victim.id, victim.author, victim.header.seq);
                let reason = String::new();
                let erased = PayloadErased { event, author, seq, reason };
                logs.say(1, Draft::general(erased));
            }
            logs
        }

        /// The events as they arrive: each log in its order, the logs in any.
        fn arrive(&self, dice: &mut Dice) -> Vec<&Event> {
            let of = |n| self.said.iter().filter(move |event| event.author == key(n).author());
            let mut logs: [VecDeque<&Event>; 3] = [1, 2, 3].map(|n| of(n).collect());
            let mut order = Vec::new();
            // Members are known first, so that what they say is taken in.
            order.extend(logs[0].drain(..3));
            while order.len() < self.said.len() {
                let log = &mut logs[dice.roll(3)];
                let some = dice.roll(8).min(log.len());
                order.extend(log.drain(..some));
            }
            order
        }
    }

    impl EventSource for Logs {
        fn places(&self, aggregate: &Aggregate) -> Result<Vec<Place>, FoldError> {
            let of = self.said.iter().filter(|event| Aggregate::of(event) == Some(*aggregate));
            Ok(of.map(Place::of).collect())
        }

        fn event(&self, place: &Place) -> Result<Event, FoldError> {
            let found = self.said.iter().find(|event| Place::of(event) == *place);
            found.cloned().ok_or_else(|| FoldError("none".to_owned()))
        }

        fn event_at(&self, author: &AuthorId, seq: u64) -> Result<Option<Event>, FoldError> {
            let at = |event: &&Event| event.author == *author && event.header.seq == seq;
            Ok(self.said.iter().find(at).cloned())
        }

        fn aggregates_of(
            &self,
            author: &AuthorId,
            before: u64,
        ) -> Result<BTreeSet<Aggregate>, FoldError> {
            let of = |event: &&Event| event.author == *author && event.header.seq < before;
            Ok(self.said.iter().filter(of).filter_map(Aggregate::of).collect())
        }
    }

    /// A task, its owner, and how far it is.
    struct Life {
        issue: u64,
        who: u8,
        epoch: u64,
        step: usize,
        last: EventId,
        /// What was said last: a plan, a question, a request for help, an offer, a request for an
        /// approval, and the opening of a session.
        said: [EventId; 6],
        /// Nobody but the owner says anything.
        alone: bool,
    }

    impl Life {
        fn new(issue: u64, dice: &mut Dice) -> Self {
            let who = u8::try_from(2 + dice.roll(2)).unwrap();
            let none = EventId([0; 32]);
            Self {
                issue,
                who,
                epoch: 1,
                step: 0,
                last: none,
                said: [none; 6],
                alone: dice.roll(2) == 0,
            }
        }

        fn go_on(&mut self, logs: &mut Logs, dice: &mut Dice) {
            let payload = self.next(dice);
            self.step += 1;
            let id = TaskId::of("r", self.issue);
            self.last = logs.say(self.who, Draft::about(id, payload));
        }

        /// Something that is said beside the work, by the owner or by another member.
        fn talk(&mut self, logs: &mut Logs, dice: &mut Dice) {
            let owner = self.who;
            let other = match dice.roll(3) {
                _ if self.alone => owner,
                0 => 1,
                _ => 5 - owner,
            };
            let what = dice.roll(12);
            let (who, payload) = match what {
                0..=5 => (owner, self.asks(what, dice)),
                _ => (other, self.answers(what, dice)),
            };
            let about = match &payload {
                Payload::CoordinationOpened(opened) => CoordinationOpened::session(&opened.sides),
                _ => TaskId::of("r", self.issue),
            };
            let event = logs.say(who, Draft::about(about, payload));
            if let Some(said) =
                self.said.get_mut(what % 6).filter(|_| (what < 6 && what != 3) || what == 9)
            {
                *said = event;
            }
        }

        /// What an owner says: a plan, a question, a request for help or for an approval, and that
        /// its plan touches what another one does.
        fn asks(&self, what: usize, dice: &mut Dice) -> Payload {
            let (epoch, text) = (self.epoch, String::new);
            let deadline_ms = [0, 400, 600][dice.roll(3)];
            match what {
                0 => {
                    let (steps, files) = (vec!["s".to_owned()], vec!["a.rs".to_owned()]);
                    let (summary, tests, risks) = ("p".to_owned(), Vec::new(), Vec::new());
                    let plan = PlanText { summary, steps, files, tests, risks };
                    PlanProposed { epoch, revision: 0, plan, deadline_ms }.into()
                }
                1 => {
                    let (parent, act, text) = (None, Act::Question, "q".to_owned());
                    MessageSaid { epoch, parent, act, text, deadline_ms }.into()
                }
                2 => {
                    let (tried, missing) = (vec!["t".to_owned()], "m".to_owned());
                    HelpRequested { epoch, tried, missing, deadline_ms }.into()
                }
                3 if dice.roll(2) == 0 => HelpAccepted { epoch, offer: self.said[3] }.into(),
                3 => {
                    let (to, offer) = (key(5 - self.who).author(), self.said[3]);
                    HandedOver { epoch, to, offer, base: None, claim: commit() }.into()
                }
                4 => {
                    let (subject, hash, rule) = (Subject::Plan, Hash([7; 32]), text());
                    let text = "p".to_owned();
                    ApprovalRequested { epoch, subject, hash, text, rule, deadline_ms }.into()
                }
                _ => {
                    let side = |issue| Side { repository: "r".to_owned(), issue, epoch };
                    let next = (self.issue + 1) % TASKS as u64;
                    let mut sides = vec![side(self.issue), side(next)];
                    sides.sort_by_key(Side::task);
                    let (first, reason) = (u32::from(dice.roll(2) == 0), text());
                    let evidence = Vec::new();
                    CoordinationOpened { sides, first, reason, evidence, deadline_ms }.into()
                }
            }
        }

        /// What others say to that.
        fn answers(&self, what: usize, dice: &mut Dice) -> Payload {
            let epoch = self.epoch;
            match what {
                6 => {
                    let objects = dice.roll(2) == 0;
                    let verdict = if objects { Verdict::Object } else { Verdict::Support };
                    let (plan, reason) = (self.said[0], "r".to_owned());
                    PlanReviewed { epoch, plan, verdict, reason }.into()
                }
                7 => {
                    let (parent, act, text) = (Some(self.said[1]), Act::Answer, "a".to_owned());
                    MessageSaid { epoch, parent, act, text, deadline_ms: 0 }.into()
                }
                8 => {
                    let (parent, act, text) = (None, Act::Question, "q".to_owned());
                    MessageSaid { epoch, parent, act, text, deadline_ms: 600 }.into()
                }
                9 => {
                    let takes = dice.roll(2) == 0;
                    let help = if takes { HelpForm::TakeOver } else { HelpForm::Advice };
                    let (request, text, capabilities) = (self.said[2], "o".to_owned(), Vec::new());
                    HelpOffered { epoch, request, help, text, capabilities, until_ms: 600 }.into()
                }
                10 => {
                    let (request, hash, reason) = (self.said[4], Hash([7; 32]), String::new());
                    let approved = dice.roll(2) == 0;
                    ApprovalGiven { epoch, request, hash, approved, reason }.into()
                }
                _ => {
                    let (parent, act, text) = (None, Act::Comment, "c".to_owned());
                    MessageSaid { epoch, parent, act, text, deadline_ms: 0 }.into()
                }
            }
        }

        fn seen(&self, open: bool) -> Payload {
            let (repository, title, body) = ("r".to_owned(), "t".to_owned(), String::new());
            let (labels, depends_on, issue) = (Vec::new(), Vec::new(), self.issue);
            TaskSeen { repository, issue, title, body, labels, depends_on, open }.into()
        }

        fn next(&mut self, dice: &mut Dice) -> Payload {
            match self.step {
                0..=5 => self.work(dice),
                6..=13 => self.end(dice),
                _ => self.after(),
            }
        }

        fn work(&mut self, dice: &mut Dice) -> Payload {
            let (epoch, last) = (self.epoch, self.last);
            let text = String::new;
            match self.step {
                0 => self.seen(true),
                1 => ClaimIntended { epoch, lease_ms: 1, process: 1, previous: None }.into(),
                2 if dice.roll(6) == 0 => {
                    self.step = 0;
                    ClaimFailed { intent: last, epoch, error: text() }.into()
                }
                2 => ClaimWon { intent: last, epoch, commit: commit() }.into(),
                3 => {
                    let (sandbox, base) = (text(), commit());
                    SandboxOpened { epoch, process: 7, sandbox, base }.into()
                }
                4 => {
                    let (reasoning, command) = (text(), "c".to_owned());
                    CommandIntended { epoch, step: 0, reasoning, command, seconds: 1 }.into()
                }
                _ => {
                    let (status, output_hash) = (CommandStatus::Exited(0), Hash([0; 32]));
                    let (duration_ms, output_total, output_kept) = (0, 0, 0);
                    CommandFinished {
                        epoch,
                        command: last,
                        status,
                        duration_ms,
                        output_total,
                        output_kept,
                        output_hash,
                    }
                    .into()
                }
            }
        }

        fn end(&mut self, dice: &mut Dice) -> Payload {
            let epoch = self.epoch;
            let text = String::new;
            match self.step {
                6 => match dice.roll(6) {
                    0 => {
                        (self.step, self.epoch) = (0, epoch + 1);
                        TaskFinished { epoch, outcome: "released".to_owned() }.into()
                    }
                    1 => Escalated { epoch, reason: text(), question: text() }.into(),
                    2 => {
                        (self.step, self.epoch) = (0, epoch + 1);
                        ClaimLost { epoch, commit: None, holder: None }.into()
                    }
                    // Of a process that ended: nobody closed its sandbox.
                    3 => {
                        let (target, status) = ("board".to_owned(), "claimed".to_owned());
                        Reported { epoch, target, status }.into()
                    }
                    _ => SandboxClosed { epoch, reason: text() }.into(),
                },
                7 => {
                    let (branch, commit, changed) = (text(), commit(), (0, 0, 0));
                    PublishIntended { epoch, branch, commit, changed }.into()
                }
                8 => {
                    let (branch, claim) = (text(), commit());
                    Published { epoch, branch, commit: commit(), claim }.into()
                }
                9 => PullRequestOpened { epoch, number: 1, place: text() }.into(),
                10..=12 => {
                    let status = ["claimed", "in_progress", "completed"][self.step - 10];
                    let (target, status) = ("hive".to_owned(), status.to_owned());
                    Reported { epoch, target, status }.into()
                }
                _ => TaskFinished { epoch, outcome: "published".to_owned() }.into(),
            }
        }

        fn after(&self) -> Payload {
            let epoch = self.epoch;
            let text = String::new;
            match self.step {
                14 => PullRequestSeen {
                    epoch,
                    number: 1,
                    state: PullState::Merged,
                    head: text(),
                    checks: CheckState::None,
                    reviews: ReviewState::None,
                    feedback: text(),
                }
                .into(),
                15 => TaskFinished { epoch, outcome: "merged".to_owned() }.into(),
                16 => self.seen(false),
                // Some are opened again.
                step => self.seen(step == 20),
            }
        }
    }

    fn config() -> AgentConfig {
        AgentConfig {
            works: true,
            review: true,
            labels: Vec::new(),
            capabilities: Vec::new(),
            max_tasks: 9,
            lease_ms: 1,
            plan_window_ms: 0,
            max_plan_revisions: 1,
            poll_ms: 1_000_000,
            command_seconds: 1,
            context_bytes: 1024,
            max_tokens: 1,
            budget: Budget { commands: 9, answers: 9, tokens: 9, wall_ms: 9_000_000, retries: 1 },
            day: DayBudget { commands: 3, answers: 9, tokens: 9 },
            max_rounds: 1,
            watch_ms: 1,
            hive: true,
            people: true,
            acknowledge_ms: 1,
            max_raises: 1,
            talk: TalkConfig::default(),
            approvals: ApprovalRules::default(),
            repositories: [("r".to_owned(), (String::new(), String::new()))].into(),
        }
    }

    /// What an agent that has just read its repository decides, with or without a look at tasks
    /// for which nothing is left to do.
    fn decided(swarm: SwarmId, state: &SwarmState, all: bool) -> (Vec<Draft>, Vec<Effect>) {
        let mut agent = Agent::new(key(2).author(), swarm, 1, config());
        agent.follow(state);
        agent.local.read.insert("r".to_owned());
        agent.local.open = state.tasks.iter().map(|(id, task)| (*id, task.open)).collect();
        if all {
            agent.local.live.tasks = state.tasks.keys().copied().collect();
            agent.local.live.by_day = state.tasks.keys().map(|id| (u64::MAX, *id)).collect();
        }
        let now = Now { wall_ms: 500, mono_ms: 5_000 };
        let (drafts, effects) = (Vec::new(), Vec::new());
        let mut turn = Turn { state, now, entropy: 7, drafts, effects };
        agent.decide(&mut turn);
        (turn.drafts, turn.effects)
    }

    #[test]
    fn what_is_passed_over_changes_no_decision_and_what_changed_is_not_missed() {
        let (mut passed, mut looked) = (0, 0);
        for seed in 1..=150 {
            let mut dice = Dice(seed * 0x9e37_79b9);
            let logs = Logs::at_random(&mut dice);
            let mut fold = Fold::new(logs.swarm);
            let mut agent = Agent::new(key(2).author(), logs.swarm, 1, config());
            for event in logs.arrive(&mut dice) {
                let _ = fold.apply(event, &logs).unwrap();
                if dice.roll(4) > 0 {
                    continue;
                }
                let state = fold.state();
                agent.follow(state);
                let mut anew = Agent::new(key(2).author(), logs.swarm, 1, config());
                anew.follow(state);
                let (kept, found) = (&agent.local.live, &anew.local.live);
                assert_eq!(
                    (&kept.tasks, &kept.days, &kept.by_day),
                    (&found.tasks, &found.days, &found.by_day),
                    "seed {seed}"
                );
                assert_eq!(
                    decided(logs.swarm, state, false),
                    decided(logs.swarm, state, true),
                    "seed {seed}"
                );
                looked += found.tasks.len();
                passed += state.tasks.len() - found.tasks.len();
            }
        }
        assert!(passed > 1000 && looked > 1000, "passed over {passed}, looked at {looked}");
    }

    #[test]
    fn a_task_that_is_taken_back_with_the_end_of_a_log_is_forgotten() {
        let mut gone = 0;
        for seed in 1..=20 {
            let mut logs = Logs::at_random(&mut Dice(seed * 0x9e37_79b9));
            let mut fold = Fold::new(logs.swarm);
            for event in &logs.said {
                let _ = fold.apply(event, &logs).unwrap();
            }
            let mut agent = Agent::new(key(2).author(), logs.swarm, 1, config());
            agent.follow(fold.state());
            let before = fold.state().tasks.len();
            let author = key(3).author();
            let (dropped, left) = logs.said.into_iter().partition(|event| event.author == author);
            let dropped: Vec<Event> = dropped;
            logs.said = left;
            let about = dropped.iter().filter_map(Aggregate::of).collect();
            fold.retract(author, 0, &about, &logs).unwrap();
            agent.follow(fold.state());
            let mut anew = Agent::new(key(2).author(), logs.swarm, 1, config());
            anew.follow(fold.state());
            assert_eq!(agent.local.live.tasks, anew.local.live.tasks, "seed {seed}");
            gone += before - fold.state().tasks.len();
        }
        assert!(gone > 10, "only {gone} tasks are gone");
    }
}
