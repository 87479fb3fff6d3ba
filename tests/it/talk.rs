//! What members say of a task and in a session, in words: the steps of the tables in
//! `discussion_rules.rs`, and of the random discussions in `fold_laws.rs`. A step speaks of the
//! last thing of its sort if it does not say which one.

use std::collections::BTreeMap;

use bzzz::kernel::event::kinds::{
    Act, ApprovalGiven, ApprovalRequested, ClaimIntended, ClaimWon, CoordinationEscalated,
    CoordinationJoined, CoordinationOpened, CoordinationResolved, CoordinationSaid,
    DependencyDetected, DiscussionBounded, Escalated, EscalationAnswered, HandedOver, HelpAccepted,
    HelpForm, HelpOffered, HelpRequested, MessageSaid, ModelAnswered, ModelAsked, Payload,
    PlanAdopted, PlanProposed, PlanReviewed, PlanText, Purpose, Role, Side, Source, Subject,
    TaskFinished, Verdict, Withdrawn, WorkResumed,
};
use bzzz::kernel::event::{CommitId, Draft, EventId, TaskId};
use bzzz::kernel::fold::Limits;
use bzzz::kernel::identity::SecretKey;
use bzzz::kernel::log::Hash;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// It founded the swarm, and is an agent as well.
    Administrator,
    /// The agent that owns the task.
    Owner,
    /// An agent that does not.
    Agent,
    /// An operator.
    Person,
    /// A member that may say nothing about tasks.
    Replica,
    /// One of many other agents.
    Guest(u16),
    /// One of many other operators.
    People(u16),
}

impl Who {
    pub(crate) fn key(self) -> SecretKey {
        let one_of_many = |group: u8, n: u16| {
            let mut seed = [group; 32];
            seed[..2].copy_from_slice(&n.to_le_bytes());
            seed
        };
        SecretKey::from_seed(&match self {
            Self::Administrator => [1; 32],
            Self::Owner => [2; 32],
            Self::Agent => [3; 32],
            Self::Person => [4; 32],
            Self::Replica => [5; 32],
            Self::Guest(n) => one_of_many(6, n),
            Self::People(n) => one_of_many(7, n),
        })
    }

    pub(crate) fn role(self) -> Role {
        match self {
            Self::Person | Self::People(_) => Role::Operator,
            Self::Replica => Role::Replica,
            _ => Role::Agent,
        }
    }

    fn says(self, what: What) -> Step {
        Step { who: self, what, of: None, bytes: 1, count: 1, epoch: 1, fault: Fault::None }
    }
}

/// What was said before, by its sort. A review and an offer are messages too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    Intent,
    Plan,
    Review,
    Message,
    Question,
    Request,
    Offer,
    Leave,
    ModelQuestion,
    Escalation,
    PeoplesAnswer,
    Opening,
    Joined,
    Said,
    Other,
}

/// Which one of those before is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    First(Sort),
    Last(Sort),
    /// Something that nobody said.
    Nothing,
}

/// What is said.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Intends,
    Wins,
    Plans,
    Supports,
    Objects,
    /// It considered all reviews.
    Adopts,
    /// A comment, a question or an answer, below something or as a new thread.
    Says(Act),
    Withdraws,
    Bounds(Limits),
    AsksHelp,
    Offers(HelpForm),
    Accepts,
    HandsOver(Who),
    AsksLeave,
    Approves,
    Detects(u64, u32),
    AsksModel(Purpose),
    IsAnswered(Purpose),
    Escalates,
    AnswersTheOwner,
    Resumes,
    Finishes,
    /// Which side is to go first, and in how many milliseconds the deadline is.
    Opens(u32, u64),
    Joins(bool),
    Confers(u32),
    Resolves(u32),
    GivesUp,
}

/// How a payload is wrong, beyond what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// A claim or a base that is no commit, or a ref that is too long.
    Claim,
    Base,
    LongRef,
    LongRule,
    LongName,
    OtherHash,
    /// The sides of a session.
    OneSide,
    ThreeSides,
    Reversed,
    Twice,
    /// The header names another session.
    OtherSession,
}

/// One thing that somebody says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) who: Who,
    pub(crate) what: What,
    of: Option<Which>,
    bytes: usize,
    count: usize,
    epoch: u64,
    fault: Fault,
}

macro_rules! sayings {
    ($($name:ident($($arg:ident: $type:ty),*) => $what:expr;)*) => {
        impl Who {
            $(pub(crate) fn $name(self $(, $arg: $type)*) -> Step { self.says($what) })*
        }
    };
}

sayings! {
    intends() => What::Intends;
    wins() => What::Wins;
    plans() => What::Plans;
    supports() => What::Supports;
    objects() => What::Objects;
    adopts() => What::Adopts;
    comments() => What::Says(Act::Comment);
    asks() => What::Says(Act::Question);
    answers() => What::Says(Act::Answer);
    withdraws() => What::Withdraws;
    bounds(limits: Limits) => What::Bounds(limits);
    asks_help() => What::AsksHelp;
    offers(help: HelpForm) => What::Offers(help);
    accepts() => What::Accepts;
    hands_over_to(who: Who) => What::HandsOver(who);
    asks_leave() => What::AsksLeave;
    approves() => What::Approves;
    detects(issue: u64, confidence: u32) => What::Detects(issue, confidence);
    asks_model(purpose: Purpose) => What::AsksModel(purpose);
    is_answered(purpose: Purpose) => What::IsAnswered(purpose);
    escalates() => What::Escalates;
    answers_the_owner() => What::AnswersTheOwner;
    resumes() => What::Resumes;
    finishes() => What::Finishes;
    opens() => What::Opens(0, 60_000);
    opens_with(first: u32, wait_ms: u64) => What::Opens(first, wait_ms);
    joins(agrees: bool) => What::Joins(agrees);
    confers(side: u32) => What::Confers(side);
    resolves(first: u32) => What::Resolves(first);
    gives_up() => What::GivesUp;
}

impl Step {
    /// About this one, or below it.
    pub(crate) fn of(self, which: Which) -> Self {
        Self { of: Some(which), ..self }
    }

    /// Below the last of a sort.
    pub(crate) fn below(self, sort: Sort) -> Self {
        self.of(Which::Last(sort))
    }

    /// Said by somebody else.
    pub(crate) fn by(self, who: Who) -> Self {
        Self { who, ..self }
    }

    /// With a text of so many bytes.
    pub(crate) fn bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// With so many texts in its list.
    pub(crate) fn count(self, count: usize) -> Self {
        Self { count, ..self }
    }

    pub(crate) fn epoch(self, epoch: u64) -> Self {
        Self { epoch, ..self }
    }

    pub(crate) fn with(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }
}

/// The task that is spoken of.
pub(crate) fn task() -> TaskId {
    TaskId::of("r", 1)
}

fn sides() -> Vec<Side> {
    let side =
        |repository: &str, issue| Side { repository: repository.to_owned(), issue, epoch: 1 };
    let mut sides = vec![side("r", 1), side("s", 2)];
    sides.sort_by_key(Side::task);
    sides
}

/// The session that is spoken of.
pub(crate) fn session() -> TaskId {
    CoordinationOpened::session(&sides())
}

fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

fn no_commit() -> CommitId {
    // As a payload may have it: it decodes, and is none.
    let bytes = [b"\x01\0\0\0\0\0\0\0".as_slice(), b"x"].concat();
    bincode::decode_from_slice(&bytes, bincode::config::legacy()).unwrap().0
}

/// What was said so far, and the next event's payload.
#[derive(Default)]
pub(crate) struct Talk {
    said: BTreeMap<Sort, Vec<EventId>>,
    /// What people are to approve has a number, so that each request is of something else.
    leaves: u64,
    revisions: u32,
}

impl Talk {
    fn find(&self, which: Which) -> EventId {
        let of = |sort: Sort| self.said.get(&sort).map_or(&[][..], Vec::as_slice);
        let found = match which {
            Which::First(sort) => of(sort).first(),
            Which::Last(sort) => of(sort).last(),
            Which::Nothing => None,
        };
        found.copied().unwrap_or(EventId([7; 32]))
    }

    fn all(&self, sort: Sort) -> Vec<EventId> {
        self.said.get(&sort).cloned().unwrap_or_default()
    }

    /// Keeps the event that a step became.
    pub(crate) fn note(&mut self, step: &Step, event: EventId) {
        let mut sorts = vec![match step.what {
            What::Intends => Sort::Intent,
            What::Plans => Sort::Plan,
            What::Supports | What::Objects => Sort::Review,
            What::Says(Act::Question) => Sort::Question,
            What::AsksHelp => Sort::Request,
            What::Offers(_) => Sort::Offer,
            What::AsksLeave => Sort::Leave,
            What::AsksModel(_) => Sort::ModelQuestion,
            What::Escalates => Sort::Escalation,
            What::AnswersTheOwner => Sort::PeoplesAnswer,
            What::Opens(..) => Sort::Opening,
            What::Joins(_) => Sort::Joined,
            What::Confers(_) => Sort::Said,
            _ => Sort::Other,
        }];
        if matches!(step.what, What::Says(_) | What::Supports | What::Objects | What::Offers(_)) {
            sorts.push(Sort::Message);
        }
        for sort in sorts {
            self.said.entry(sort).or_default().push(event);
        }
        self.revisions += u32::from(matches!(step.what, What::Plans));
        self.leaves += u64::from(matches!(step.what, What::AsksLeave));
    }

    /// The event that a step becomes at this time, in milliseconds since 1970.
    pub(crate) fn draft(&self, step: &Step, now_ms: u64) -> Draft {
        let of_session = matches!(
            step.what,
            What::Opens(..) | What::Joins(_) | What::Confers(_) | What::Resolves(_) | What::GivesUp
        );
        if of_session {
            let payload = self.of_session(step, now_ms);
            let named = match &payload {
                _ if step.fault == Fault::OtherSession => TaskId([9; 32]),
                Payload::CoordinationOpened(opened) => CoordinationOpened::session(&opened.sides),
                _ => session(),
            };
            return Draft::about(named, payload);
        }
        Draft::about(task(), self.of_task(step))
    }

    fn of_task(&self, step: &Step) -> Payload {
        let (epoch, text) = (step.epoch, "x".repeat(step.bytes));
        let list = vec!["a".to_owned(); step.count];
        let of = |sort: Sort| self.find(step.of.unwrap_or(Which::Last(sort)));
        match step.what {
            What::Intends => {
                ClaimIntended { epoch, lease_ms: 1000, process: 1, previous: None }.into()
            }
            What::Wins => ClaimWon { intent: of(Sort::Intent), epoch, commit: commit('1') }.into(),
            What::Plans => self.plan(epoch).into(),
            What::Supports | What::Objects => {
                let objects = matches!(step.what, What::Objects);
                let verdict = if objects { Verdict::Object } else { Verdict::Support };
                PlanReviewed { epoch, plan: of(Sort::Plan), verdict, reason: text }.into()
            }
            What::Adopts => {
                let considered = self.all(Sort::Review);
                PlanAdopted { epoch, plan: of(Sort::Plan), considered }.into()
            }
            What::Says(act) => {
                let parent = match act {
                    Act::Answer => Some(of(Sort::Question)),
                    _ => step.of.map(|which| self.find(which)),
                };
                MessageSaid { epoch, parent, act, text, deadline_ms: 0 }.into()
            }
            What::Withdraws => Withdrawn { epoch, message: of(Sort::Message), reason: text }.into(),
            What::Bounds(limits) => bounded(epoch, limits).into(),
            What::AsksHelp => {
                HelpRequested { epoch, tried: list, missing: text, deadline_ms: 0 }.into()
            }
            What::Offers(help) => {
                let (request, capabilities) = (of(Sort::Request), list);
                HelpOffered { epoch, request, help, text, capabilities, until_ms: 0 }.into()
            }
            What::Accepts => HelpAccepted { epoch, offer: of(Sort::Offer) }.into(),
            What::HandsOver(to) => self.handed(step, to, of(Sort::Offer)).into(),
            What::AsksLeave | What::Approves => self.leave(step, text),
            What::Detects(issue, confidence) => {
                let repository = match step.fault {
                    Fault::LongName => "s".repeat(129),
                    // Issue 1 of this repository is the task itself.
                    _ => "r".to_owned(),
                };
                let (source, evidence) = (Source::Overlap, list);
                DependencyDetected { repository, issue, source, confidence, evidence }.into()
            }
            What::AsksModel(purpose) => {
                let prompt = Hash([0; 32]);
                ModelAsked { epoch, purpose, turn: 0, prompt, last: text }.into()
            }
            What::IsAnswered(purpose) => {
                let (ask, model) = (of(Sort::ModelQuestion), "m".to_owned());
                let (tokens_in, tokens_out) = (None, None);
                ModelAnswered { ask, epoch, purpose, model, text, tokens_in, tokens_out }.into()
            }
            What::Escalates => Escalated { epoch, reason: text.clone(), question: text }.into(),
            What::AnswersTheOwner => {
                let (escalation, by, channel) =
                    (of(Sort::Escalation), "erin".to_owned(), "api".to_owned());
                EscalationAnswered { epoch, escalation, answer: text, by, channel }.into()
            }
            What::Resumes => {
                WorkResumed { epoch, because: of(Sort::PeoplesAnswer), base: None }.into()
            }
            What::Finishes => TaskFinished { epoch, outcome: "published".to_owned() }.into(),
            ref other => panic!("{other:?} is about a session"),
        }
    }

    fn plan(&self, epoch: u64) -> PlanProposed {
        let [steps, files, tests, risks] = [const { Vec::new() }; 4];
        let plan = PlanText { summary: "do it".to_owned(), steps, files, tests, risks };
        PlanProposed { epoch, revision: self.revisions, plan, deadline_ms: 0 }
    }

    fn handed(&self, step: &Step, to: Who, offer: EventId) -> HandedOver {
        let name = "w".repeat(if step.fault == Fault::LongRef { 257 } else { 256 });
        let base = if step.fault == Fault::Base { no_commit() } else { commit('2') };
        let claim = if step.fault == Fault::Claim { no_commit() } else { commit('3') };
        let (epoch, to) = (step.epoch, to.key().author());
        HandedOver { epoch, to, offer, base: Some((name, base)), claim }
    }

    /// A request for an approval, and an approval. A request is of something new, unless it is to
    /// be of what an earlier one was about.
    fn leave(&self, step: &Step, text: String) -> Payload {
        let hash = |number: u64| Subject::Command.hash(&number.to_le_bytes());
        if matches!(step.what, What::AsksLeave) {
            let number = self.leaves.saturating_sub(u64::from(step.of.is_some()));
            let rule = "r".repeat(if step.fault == Fault::LongRule { 1025 } else { 1024 });
            let (epoch, hash, subject) = (step.epoch, hash(number), Subject::Command);
            return ApprovalRequested { epoch, subject, hash, text, rule, deadline_ms: 0 }.into();
        }
        let hash = match step.fault {
            Fault::OtherHash => Hash([0; 32]),
            _ => hash(self.leaves.saturating_sub(1)),
        };
        let request = self.find(step.of.unwrap_or(Which::Last(Sort::Leave)));
        ApprovalGiven { epoch: step.epoch, request, hash, approved: true, reason: text }.into()
    }

    fn of_session(&self, step: &Step, now_ms: u64) -> Payload {
        let reason = "x".repeat(step.bytes);
        let opening = self.find(step.of.unwrap_or(Which::Last(Sort::Opening)));
        match step.what {
            What::Opens(first, wait_ms) => {
                let evidence = vec!["a".to_owned(); step.count];
                let (sides, deadline_ms) = (faulty_sides(step.fault), now_ms + wait_ms);
                CoordinationOpened { sides, first, reason, evidence, deadline_ms }.into()
            }
            What::Joins(agrees) => CoordinationJoined { opening, agrees, reason }.into(),
            What::Confers(side) => {
                let (parent, act, text) = (opening, Act::Comment, reason);
                CoordinationSaid { parent, side, act, text }.into()
            }
            What::Resolves(first) => {
                let considered = self.all(Sort::Joined);
                CoordinationResolved { opening, first, considered }.into()
            }
            What::GivesUp => CoordinationEscalated { opening, reason }.into(),
            ref other => panic!("{other:?} is about a task"),
        }
    }
}

fn bounded(epoch: u64, limits: Limits) -> DiscussionBounded {
    let Limits { participants, depth, per_author, messages, bytes, lifetime_ms } = limits;
    DiscussionBounded { epoch, participants, depth, per_author, messages, bytes, lifetime_ms }
}

/// The sides of a session as an opening names them.
fn faulty_sides(fault: Fault) -> Vec<Side> {
    let mut sides = sides();
    match fault {
        Fault::OneSide => sides.truncate(1),
        Fault::ThreeSides => {
            sides.push(Side { repository: "t".to_owned(), issue: 3, epoch: 1 });
            sides.sort_by_key(Side::task);
        }
        Fault::Reversed => sides.reverse(),
        Fault::Twice => sides[1] = Side { epoch: 2, ..sides[0].clone() },
        Fault::LongName => {
            sides[0].repository = "r".repeat(129);
            sides.sort_by_key(Side::task);
        }
        _ => {}
    }
    sides
}

/// One step of a random discussion, of three numbers: every kind comes up, mostly from somebody who
/// may say it and about something that is there.
pub(crate) fn random(who: u8, what: u8, chance: u8) -> Step {
    use HelpForm::{Advice, TakeOver};
    use Sort::{Message, Offer, Plan, Request, Review, Said};
    use Who::{Administrator, Agent, Guest, Owner, Person};
    let any = [Administrator, Owner, Agent, Guest(0), Guest(0), Person][usize::from(who % 6)];
    let other = [Administrator, Guest(0), Person][usize::from(who % 3)];
    let owner = if chance.is_multiple_of(8) { any } else { Owner };
    let tight = Limits { per_author: 5, messages: 20, depth: 3, ..Limits::WIDEST };
    let purposes = [Purpose::Plan, Purpose::Review, Purpose::Step, Purpose::Help, Purpose::Answer];
    let purpose = purposes[usize::from(chance % 5)];
    let steps = [
        owner.plans(),
        owner.adopts(),
        other.supports(),
        other.objects(),
        other.objects(),
        any.comments(),
        any.comments().below([Message, Plan, Request, Review, Offer][usize::from(who % 5)]),
        any.comments().below(Message),
        any.asks(),
        other.asks().below(Plan),
        any.answers(),
        owner.answers(),
        any.withdraws(),
        other.withdraws().below([Review, Offer, Message][usize::from(chance % 3)]),
        owner.bounds(tight),
        owner.asks_help(),
        owner.asks_help(),
        other.offers(Advice),
        other.offers(TakeOver),
        owner.accepts(),
        owner.hands_over_to(Guest(0)),
        owner.asks_leave(),
        Person.approves(),
        any.approves(),
        any.detects(u64::from(chance % 4), u32::from(chance)),
        any.asks_model(purpose),
        any.is_answered(purpose),
        owner.escalates(),
        Person.answers_the_owner(),
        owner.resumes(),
        owner.finishes(),
        any.opens_with(0, u64::from(chance)),
        owner.opens(),
        other.joins(!chance.is_multiple_of(4)),
        any.confers(0),
        any.confers(u32::from(chance % 2)).below(Said),
        owner.resolves(0),
        any.gives_up(),
    ];
    steps[usize::from(what) % steps.len()]
}
