//! The rules of `schema/fold.md` for what is said of tasks and in sessions, as tables: what was said
//! before => what is said then => whether it counts, and if not, why. In all of them the owner has
//! won epoch 1 of the task, unless the table says otherwise.

use std::collections::{BTreeMap, BTreeSet};

use bzzz::kernel::event::kinds::{HelpForm, MemberAdmitted, Purpose, SwarmFounded};
use bzzz::kernel::event::{Draft, Event, EventId, Hlc, swarm_id};
use bzzz::kernel::fold::{
    Aggregate, EventSource, Fold, FoldError, Limits, Place, Reason, Refusal, SwarmState,
};
use bzzz::kernel::identity::AuthorId;

use crate::talk::Sort::{self, Joined, Message, Offer, Plan, Request, Said};
use crate::talk::Which::{First, Last, Nothing};
use crate::talk::Who::{Administrator, Agent, Guest, Owner, People, Person, Replica};
use crate::talk::{Fault, Step, Talk, Who, session, task};

const NOW: u64 = 1_800_000_000_000;
const WEEK_MS: u64 = 7 * 24 * 60 * 60 * 1000;
const WIDE: Limits = Limits::WIDEST;

/// One line of a table.
struct Row {
    text: &'static str,
    given: Vec<Before>,
    when: Step,
    then: Then,
}

/// What happens before the event in question.
#[derive(Clone, Copy, Debug)]
enum Before {
    Says(Step),
    Passes(u64),
}

/// What becomes of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Counts,
    Refused(Reason),
}

use Then::{Counts, Refused};

impl From<Step> for Vec<Before> {
    fn from(step: Step) -> Self {
        vec![Before::Says(step)]
    }
}

/// The steps, again and again.
fn times<const N: usize>(count: usize, steps: [Step; N]) -> Vec<Before> {
    let all = (0..count).flat_map(|_| steps);
    all.map(Before::Says).collect()
}

/// So many other agents say it, each once.
fn guests(count: u16, step: Step) -> Vec<Before> {
    (0..count).map(|n| Before::Says(step.by(Guest(n)))).collect()
}

/// So many other operators say it, each once.
fn people(count: u16, step: Step) -> Vec<Before> {
    (0..count).map(|n| Before::Says(step.by(People(n)))).collect()
}

/// Each is said below the one before.
fn chain(count: usize, step: Step) -> Vec<Before> {
    let below = if matches!(step.what, crate::talk::What::Confers(_)) { Said } else { Message };
    let first = Before::Says(step);
    std::iter::once(first).chain(times(count - 1, [step.below(below)])).collect()
}

/// So many milliseconds pass.
fn passes(ms: u64) -> Vec<Before> {
    vec![Before::Passes(ms)]
}

macro_rules! table {
    ($([$($given:expr),* $(,)?] => $when:expr => $then:expr,)*) => {
        vec![$({
            let given: Vec<Vec<Before>> = vec![$(Vec::from($given)),*];
            let text = concat!("[", $(stringify!($given), ", ",)* "] => ", stringify!($when));
            Row { text, given: given.concat(), when: $when, then: $then }
        }),*]
    };
}

fn who_may_speak() -> Vec<Row> {
    use Reason::{NotTheOwner, OwnPlan, Role};
    table! {
        [] => Agent.comments() => Counts,
        [] => Owner.comments() => Counts,
        [] => Person.comments() => Counts,
        [] => Administrator.comments() => Counts,
        [] => Replica.comments() => Refused(Role),
        [Owner.plans()] => Agent.objects() => Counts,
        [Owner.plans()] => Person.objects() => Counts,
        [Owner.plans()] => Replica.objects() => Refused(Role),
        [Owner.plans()] => Owner.supports() => Refused(OwnPlan),
        [] => Person.plans() => Refused(Role),
        [] => Agent.plans() => Refused(NotTheOwner),
        [Agent.comments()] => Agent.withdraws() => Counts,
        [Person.comments()] => Person.withdraws() => Counts,
        [] => Owner.asks_help() => Counts,
        [] => Agent.asks_help() => Refused(NotTheOwner),
        [] => Person.asks_help() => Refused(Role),
        [Owner.asks_help()] => Agent.offers(HelpForm::Advice) => Counts,
        [Owner.asks_help()] => Person.offers(HelpForm::Advice) => Refused(Role),
        [Owner.asks_help()] => Owner.offers(HelpForm::Advice) => Refused(OwnPlan),
        [] => Owner.asks_leave() => Counts,
        [] => Agent.asks_leave() => Refused(NotTheOwner),
        [] => Person.asks_leave() => Refused(Role),
        [Owner.asks_leave()] => Person.approves() => Counts,
        [Owner.asks_leave()] => Administrator.approves() => Counts,
        [Owner.asks_leave()] => Agent.approves() => Refused(Role),
        [Owner.asks_leave()] => Owner.approves() => Refused(Role),
        [Owner.asks_leave()] => Replica.approves() => Refused(Role),
        [] => Agent.detects(2, 50) => Counts,
        [] => Owner.detects(2, 50) => Counts,
        [] => Person.detects(2, 50) => Refused(Role),
        [] => Owner.bounds(WIDE) => Counts,
        [] => Agent.bounds(WIDE) => Refused(NotTheOwner),
        [] => Person.bounds(WIDE) => Refused(Role),
        [] => Owner.asks_model(Purpose::Plan) => Counts,
        [] => Owner.asks_model(Purpose::Answer) => Counts,
        [] => Owner.asks_model(Purpose::Review) => Refused(OwnPlan),
        [] => Owner.asks_model(Purpose::Help) => Refused(OwnPlan),
        [] => Agent.asks_model(Purpose::Review) => Counts,
        [] => Agent.asks_model(Purpose::Help) => Counts,
        [] => Agent.asks_model(Purpose::Plan) => Refused(NotTheOwner),
        [] => Agent.asks_model(Purpose::Step) => Refused(NotTheOwner),
        [] => Agent.asks_model(Purpose::Answer) => Refused(NotTheOwner),
        [] => Person.asks_model(Purpose::Review) => Refused(Role),
    }
}

/// The rules that whatever is said in a discussion is admitted by.
fn limits() -> Vec<Row> {
    use Reason::{AuthorMessages, Bytes, Dangling, Depth, Ended, Lifetime, Messages, Participants};
    let one = |limits: Limits| Owner.bounds(limits);
    table! {
        [] => Agent.comments().epoch(2) => Refused(Dangling),
        [Owner.intends().epoch(2)] => Agent.comments().epoch(2) => Refused(Dangling),
        [Owner.finishes()] => Agent.comments() => Refused(Ended),
        [Owner.finishes()] => Person.comments() => Refused(Ended),
        // An event comes a millisecond after the one before.
        [passes(WEEK_MS - 1)] => Agent.comments() => Counts,
        [passes(WEEK_MS)] => Agent.comments() => Refused(Lifetime),
        [passes(WEEK_MS)] => Person.comments() => Refused(Lifetime),
        [passes(WEEK_MS), Owner.escalates(), Person.answers_the_owner(), Owner.resumes()]
            => Agent.comments() => Counts,
        [Owner.escalates(), Person.answers_the_owner(), Owner.resumes(), passes(WEEK_MS)]
            => Agent.comments() => Refused(Lifetime),
        [one(Limits { lifetime_ms: 9, ..WIDE }), passes(8)] => Owner.comments() => Refused(Lifetime),
        [guests(15, Guest(0).comments())] => Agent.comments() => Counts,
        [guests(16, Guest(0).comments())] => Agent.comments() => Refused(Participants),
        [guests(16, Guest(0).comments())] => Guest(3).comments() => Counts,
        [guests(16, Guest(0).comments())] => Owner.comments() => Counts,
        [guests(16, Guest(0).comments())] => Person.comments() => Counts,
        [one(Limits { participants: 1, ..WIDE }), Person.comments()]
            => Agent.comments() => Refused(Participants),
        [times(31, [Agent.comments()])] => Agent.comments() => Counts,
        [times(32, [Agent.comments()])] => Agent.comments() => Refused(AuthorMessages),
        [times(32, [Owner.comments()])] => Owner.comments() => Refused(AuthorMessages),
        [times(32, [Person.comments()])] => Person.comments() => Refused(AuthorMessages),
        [times(32, [Agent.comments()])] => Person.comments() => Counts,
        [one(Limits { messages: 2, ..WIDE }), Person.comments()] => Agent.comments() => Counts,
        [one(Limits { messages: 1, ..WIDE }), Person.comments()]
            => Agent.comments() => Refused(Messages),
        [one(Limits { messages: 0, ..WIDE })] => Owner.comments() => Counts,
        [one(Limits { messages: 0, ..WIDE })] => Person.comments() => Counts,
        [] => Agent.comments().bytes(8192) => Counts,
        [] => Agent.comments().bytes(8193) => Refused(Bytes),
        [] => Owner.comments().bytes(8193) => Refused(Bytes),
        [] => Person.comments().bytes(8193) => Refused(Bytes),
        // 262,144 bytes in all.
        [times(16, [Agent.comments().bytes(8192), Guest(0).comments().bytes(8192)])]
            => Administrator.comments().bytes(1) => Refused(Bytes),
        [times(16, [Agent.comments().bytes(8192), Guest(0).comments().bytes(8192)])]
            => Administrator.comments().bytes(0) => Counts,
        [times(16, [Agent.comments().bytes(8192), Guest(0).comments().bytes(8192)])]
            => Person.comments().bytes(8192) => Counts,
        [one(Limits { bytes: 5, ..WIDE }), Person.comments().bytes(3)]
            => Agent.comments().bytes(2) => Counts,
        [one(Limits { bytes: 5, ..WIDE }), Person.comments().bytes(3)]
            => Agent.comments().bytes(3) => Refused(Bytes),
        [chain(7, Agent.comments())] => Agent.comments().below(Message) => Counts,
        [chain(8, Agent.comments())] => Agent.comments().below(Message) => Refused(Depth),
        [chain(8, Agent.comments())] => Person.comments().below(Message) => Refused(Depth),
        [one(Limits { depth: 0, ..WIDE })] => Owner.comments() => Refused(Depth),
        // Limits get tighter and never wider.
        [one(Limits { per_author: 1, ..WIDE }), one(WIDE), Agent.comments()]
            => Agent.comments() => Refused(AuthorMessages),
        // What comes first is told first.
        [chain(8, Agent.comments())]
            => Agent.comments().below(Message).bytes(8193) => Refused(Bytes),
        [one(Limits { messages: 0, bytes: 0, ..WIDE })] => Agent.comments() => Refused(Messages),
        [Owner.finishes(), passes(WEEK_MS)] => Agent.comments() => Refused(Ended),
    }
}

/// Messages, and taking them back.
fn messages() -> Vec<Row> {
    use Reason::{AuthorMessages, Bytes, Content, Dangling, Depth, Ended, NotTheAuthor, Repeated};
    let two_deep = || Owner.bounds(Limits { depth: 2, ..WIDE });
    table! {
        [] => Agent.comments().of(Nothing) => Refused(Dangling),
        [] => Agent.comments().below(Sort::Intent) => Refused(Dangling),
        [Replica.comments()] => Agent.comments().below(Message) => Refused(Dangling),
        // Plans and requests for help are above the first message, reviews and offers are messages.
        [two_deep(), Owner.plans(), Person.comments().below(Plan)]
            => Agent.comments().below(Message) => Counts,
        [two_deep(), Owner.plans(), Person.comments().below(Plan), Agent.comments().below(Message)]
            => Agent.comments().below(Message) => Refused(Depth),
        [two_deep(), Owner.plans(), Person.supports(), Agent.comments().below(Message)]
            => Agent.comments().below(Message) => Refused(Depth),
        [two_deep(), Owner.asks_help(), Person.comments().below(Request)]
            => Agent.comments().below(Message) => Counts,
        [two_deep(), Owner.asks_help(), Agent.offers(HelpForm::None), Owner.comments().below(Offer)]
            => Agent.comments().below(Message) => Refused(Depth),
        [Agent.asks()] => Owner.answers() => Counts,
        [Agent.asks()] => Person.answers() => Counts,
        [Agent.asks()] => Agent.answers() => Refused(Content),
        [Agent.comments()] => Owner.answers().below(Message) => Refused(Content),
        [Owner.plans()] => Agent.answers().below(Plan) => Refused(Content),
        [] => Owner.answers() => Refused(Dangling),
        [Agent.asks(), Agent.withdraws()] => Owner.answers() => Refused(Content),
        [Agent.asks(), Owner.answers()] => Person.answers() => Counts,
        [Agent.asks(), Owner.answers()] => Agent.asks().below(Message) => Counts,

        [] => Agent.withdraws() => Refused(Dangling),
        [Owner.plans()] => Owner.withdraws().of(Last(Plan)) => Refused(Dangling),
        [Owner.plans(), Agent.objects()] => Agent.withdraws() => Counts,
        [Owner.asks_help(), Agent.offers(HelpForm::Advice)] => Agent.withdraws() => Counts,
        [Agent.comments()] => Owner.withdraws() => Refused(NotTheAuthor),
        [Agent.comments()] => Person.withdraws() => Refused(NotTheAuthor),
        [Agent.comments()] => Administrator.withdraws() => Refused(NotTheAuthor),
        [Agent.comments(), Agent.withdraws()] => Agent.withdraws() => Refused(Repeated),
        [Agent.comments(), Owner.finishes()] => Agent.withdraws() => Refused(Ended),
        [Agent.comments()] => Agent.withdraws().bytes(8193) => Refused(Bytes),
        // What is withdrawn was said, and so is the withdrawal.
        [Owner.bounds(Limits { per_author: 2, ..WIDE }), Agent.comments(), Agent.withdraws()]
            => Agent.comments() => Refused(AuthorMessages),
    }
}

fn reviews() -> Vec<Row> {
    use Reason::{Bytes, Dangling, Ended, Limit, Objection, Objections, Repeated};
    table! {
        [] => Agent.objects() => Refused(Dangling),
        [Owner.plans(), Agent.supports()] => Agent.objects() => Refused(Repeated),
        [Owner.plans(), Agent.supports(), Agent.withdraws()]
            => Agent.objects() => Refused(Repeated),
        [Owner.plans(), Owner.plans()] => Agent.supports().of(First(Plan)) => Counts,
        [Owner.plans(), Owner.adopts()] => Agent.objects() => Refused(Ended),
        [Owner.plans(), Owner.finishes()] => Agent.objects() => Refused(Ended),
        [Owner.plans(), people(63, Person.supports())] => Person.supports() => Counts,
        [Owner.plans(), people(64, Person.supports())] => Person.supports() => Refused(Limit),
        [Owner.plans()] => Agent.objects().bytes(8192) => Counts,
        [Owner.plans()] => Agent.objects().bytes(8193) => Refused(Bytes),
        [times(2, [Owner.plans(), Agent.objects()]), Owner.plans()]
            => Agent.objects() => Refused(Objections),
        [times(2, [Owner.plans(), Agent.objects()]), Owner.plans()] => Agent.supports() => Counts,
        [times(2, [Owner.plans(), Agent.objects(), Agent.withdraws()]), Owner.plans()]
            => Agent.objects() => Refused(Objections),
        [times(2, [Owner.plans(), Agent.objects()]), Owner.plans()]
            => Administrator.objects() => Counts,
        [times(5, [Owner.plans(), Person.objects()]), Owner.plans()] => Person.objects() => Counts,

        [Owner.plans()] => Owner.adopts() => Counts,
        [Owner.plans(), Agent.supports()] => Owner.adopts() => Counts,
        [Owner.plans(), Agent.supports(), Person.objects()]
            => Owner.adopts() => Refused(Objection),
        [Owner.plans(), Person.objects(), Person.withdraws()] => Owner.adopts() => Counts,
        [Owner.plans(), Person.objects(), Owner.plans()] => Owner.adopts() => Counts,
    }
}

fn help() -> Vec<Row> {
    use HelpForm::{Advice, TakeOver};
    use Reason::{Bytes, Content, Dangling, Ended, Limit, NotTheOwner, Participants, Repeated};
    let asked = || times(1, [Owner.asks_help(), Agent.offers(Advice)]);
    let accepted = || times(1, [Owner.asks_help(), Agent.offers(TakeOver), Owner.accepts()]);
    table! {
        [Owner.finishes()] => Owner.asks_help() => Refused(Ended),
        [Owner.asks_help()] => Owner.asks_help() => Refused(Repeated),
        [asked(), Owner.accepts()] => Owner.asks_help() => Counts,
        [Owner.asks_help(), Owner.escalates()] => Owner.asks_help() => Counts,
        [times(7, [Owner.asks_help(), Agent.offers(Advice), Owner.accepts()])]
            => Owner.asks_help() => Counts,
        [times(8, [Owner.asks_help(), Agent.offers(Advice), Owner.accepts()])]
            => Owner.asks_help() => Refused(Limit),
        [] => Owner.asks_help().bytes(8192).count(32) => Counts,
        [] => Owner.asks_help().bytes(8193) => Refused(Content),
        [] => Owner.asks_help().count(33) => Refused(Content),

        [] => Agent.offers(Advice) => Refused(Dangling),
        [asked()] => Agent.offers(TakeOver) => Refused(Repeated),
        [asked(), Agent.withdraws()] => Agent.offers(TakeOver) => Refused(Repeated),
        [asked(), Owner.accepts()] => Guest(0).offers(Advice) => Refused(Ended),
        [Owner.asks_help(), Owner.escalates()] => Agent.offers(Advice) => Refused(Ended),
        [Owner.asks_help(), Owner.finishes()] => Agent.offers(Advice) => Refused(Ended),
        [Owner.asks_help(), guests(16, Guest(0).offers(Advice))]
            => Agent.offers(Advice) => Refused(Limit),
        [Owner.asks_help(), guests(16, Guest(0).comments())]
            => Agent.offers(Advice) => Refused(Participants),
        [Owner.asks_help()] => Agent.offers(Advice).bytes(8192).count(64) => Counts,
        [Owner.asks_help()] => Agent.offers(Advice).bytes(8193) => Refused(Bytes),
        [Owner.asks_help()] => Agent.offers(Advice).count(65) => Refused(Content),

        [asked()] => Owner.accepts() => Counts,
        [asked()] => Agent.accepts() => Refused(NotTheOwner),
        [] => Owner.accepts() => Refused(Dangling),
        [Owner.asks_help()] => Owner.accepts() => Refused(Dangling),
        [Owner.asks_help(), Agent.offers(HelpForm::None)] => Owner.accepts() => Refused(Dangling),
        [asked(), Agent.withdraws()] => Owner.accepts() => Refused(Dangling),
        [asked(), Owner.escalates(), Owner.asks_help()] => Owner.accepts() => Refused(Dangling),
        [asked(), Owner.escalates()] => Owner.accepts() => Refused(Ended),
        [asked(), Owner.accepts()] => Owner.accepts() => Refused(Ended),

        [accepted()] => Owner.hands_over_to(Agent) => Counts,
        [accepted()] => Agent.hands_over_to(Agent) => Refused(NotTheOwner),
        [accepted()] => Owner.hands_over_to(Person) => Refused(Dangling),
        [] => Owner.hands_over_to(Agent) => Refused(Dangling),
        [Owner.asks_help(), Agent.offers(TakeOver)]
            => Owner.hands_over_to(Agent) => Refused(Dangling),
        [asked(), Owner.accepts()] => Owner.hands_over_to(Agent) => Refused(Dangling),
        [Owner.asks_help(), Guest(0).offers(TakeOver), Agent.offers(TakeOver), Owner.accepts()]
            => Owner.hands_over_to(Guest(0)).of(First(Offer)) => Refused(Dangling),
        [accepted()] => Owner.hands_over_to(Agent).with(Fault::Claim) => Refused(Content),
        [accepted()] => Owner.hands_over_to(Agent).with(Fault::Base) => Refused(Content),
        [accepted()] => Owner.hands_over_to(Agent).with(Fault::LongRef) => Refused(Content),
    }
}

fn approvals() -> Vec<Row> {
    use Reason::{Approval, Content, Dangling, Ended, Limit, Repeated};
    let same = || Owner.asks_leave().of(Last(Sort::Leave));
    let resumed = || times(1, [Owner.escalates(), Person.answers_the_owner(), Owner.resumes()]);
    table! {
        [Owner.asks_leave()] => Owner.asks_leave() => Counts,
        [Owner.asks_leave()] => same() => Refused(Repeated),
        [Owner.asks_leave(), resumed()] => same() => Counts,
        [resumed(), Owner.asks_leave()] => same() => Refused(Repeated),
        [times(255, [Owner.asks_leave()])] => Owner.asks_leave() => Counts,
        [times(256, [Owner.asks_leave()])] => Owner.asks_leave() => Refused(Limit),
        [] => Owner.asks_leave().bytes(16_384) => Counts,
        [] => Owner.asks_leave().bytes(16_385) => Refused(Content),
        [] => Owner.asks_leave().with(Fault::LongRule) => Refused(Content),

        [] => Person.approves() => Refused(Dangling),
        [Owner.asks_leave()] => Person.approves().with(Fault::OtherHash) => Refused(Approval),
        // What is approved is the last, and the request that is named is another one.
        [times(2, [Owner.asks_leave()])]
            => Person.approves().of(First(Sort::Leave)) => Refused(Approval),
        [Owner.asks_leave(), Person.approves()] => Administrator.approves() => Refused(Repeated),
        [Owner.asks_leave(), Owner.finishes()] => Person.approves() => Refused(Ended),
        [Owner.asks_leave()] => Person.approves().bytes(4096) => Counts,
        [Owner.asks_leave()] => Person.approves().bytes(4097) => Refused(Content),
    }
}

fn dependencies() -> Vec<Row> {
    use Reason::{Content, Limit};
    let all = |count: u64| -> Vec<Before> {
        (2..2 + count).map(|issue| Before::Says(Agent.detects(issue, 50))).collect()
    };
    table! {
        [Owner.finishes()] => Agent.detects(2, 100) => Counts,
        [] => Agent.detects(2, 101) => Refused(Content),
        // Issue 1 is the task itself.
        [] => Agent.detects(1, 50) => Refused(Content),
        [] => Agent.detects(2, 50).count(16) => Counts,
        [] => Agent.detects(2, 50).count(17) => Refused(Content),
        [] => Agent.detects(2, 50).with(Fault::LongName) => Refused(Content),
        [Agent.detects(2, 50)] => Agent.detects(2, 60) => Counts,
        [all(63)] => Agent.detects(65, 50) => Counts,
        [all(64)] => Agent.detects(66, 50) => Refused(Limit),
        [all(64)] => Owner.detects(2, 50) => Counts,
        [guests(255, Guest(0).detects(2, 50))] => Agent.detects(2, 50) => Counts,
        [guests(256, Guest(0).detects(2, 50))] => Agent.detects(2, 50) => Refused(Limit),
        [guests(256, Guest(0).detects(2, 50))] => Guest(0).detects(2, 50) => Counts,
    }
}

fn sessions() -> Vec<Row> {
    use Reason::{Content, Dangling, Early, Ended, Limit, NotTheAuthor, Objection, Repeated, Role};
    let open = || Owner.opens();
    let over = || times(1, [Owner.opens_with(0, 0), Owner.resolves(0)]);
    let given_up = || times(1, [Owner.opens(), Owner.gives_up()]);
    let other = || Agent.opens().with(Fault::OtherSession);
    table! {
        [] => open() => Counts,
        [] => Administrator.opens() => Counts,
        [] => Person.opens() => Refused(Role),
        [] => Replica.opens() => Refused(Role),
        [] => open().with(Fault::OneSide) => Refused(Content),
        [] => open().with(Fault::ThreeSides) => Refused(Content),
        [] => open().with(Fault::Reversed) => Refused(Content),
        [] => open().with(Fault::Twice) => Refused(Content),
        [] => open().with(Fault::LongName) => Refused(Content),
        [] => open().with(Fault::OtherSession) => Refused(Content),
        [] => Owner.opens_with(1, 60_000) => Counts,
        [] => Owner.opens_with(2, 60_000) => Refused(Content),
        [] => open().bytes(4096).count(16) => Counts,
        [] => open().bytes(4097) => Refused(Content),
        [] => open().count(17) => Refused(Content),
        [open()] => Agent.opens() => Refused(Repeated),
        [over()] => Agent.opens() => Refused(Repeated),

        [] => Agent.joins(true) => Refused(Dangling),
        [open()] => Agent.joins(true) => Counts,
        [open()] => Owner.joins(true) => Counts,
        [open()] => Agent.joins(false) => Counts,
        [open()] => Person.joins(true) => Refused(Role),
        [open()] => Agent.joins(true).of(Nothing) => Refused(Dangling),
        [open(), other()] => Agent.joins(true) => Refused(Dangling),
        [open(), Agent.joins(false)] => Agent.joins(true) => Refused(Repeated),
        [open(), guests(15, Guest(0).joins(true))] => Agent.joins(true) => Counts,
        [open(), guests(16, Guest(0).joins(true))] => Agent.joins(true) => Refused(Limit),
        [open()] => Agent.joins(true).bytes(4096) => Counts,
        [open()] => Agent.joins(true).bytes(4097) => Refused(Content),
        [over()] => Agent.joins(false) => Refused(Ended),
        [given_up()] => Agent.joins(true) => Refused(Ended),

        [] => Owner.resolves(0) => Refused(Dangling),
        [open(), Agent.joins(true)] => Owner.resolves(0) => Counts,
        [open(), Agent.joins(true)] => Person.resolves(0) => Refused(Role),
        [open(), Agent.joins(true)] => Agent.resolves(0) => Refused(NotTheAuthor),
        [open(), Agent.joins(true)] => Owner.resolves(1) => Refused(Content),
        [open(), Agent.joins(true)] => Owner.resolves(0).of(Nothing) => Refused(Dangling),
        [open(), Agent.joins(true), Guest(0).joins(false)]
            => Owner.resolves(0) => Refused(Objection),
        [open()] => Owner.resolves(0) => Refused(Early),
        // The event comes a millisecond after the opening, whose deadline this is.
        [Owner.opens_with(0, 1)] => Owner.resolves(0) => Counts,
        [Owner.opens_with(0, 2)] => Owner.resolves(0) => Refused(Early),
        [over()] => Owner.resolves(0) => Refused(Ended),
        [given_up()] => Owner.resolves(0) => Refused(Ended),

        [] => Owner.gives_up() => Refused(Dangling),
        [open()] => Owner.gives_up() => Counts,
        [open()] => Owner.gives_up().of(Nothing) => Refused(Dangling),
        [open()] => Agent.gives_up() => Refused(NotTheAuthor),
        [open(), Agent.joins(true)] => Agent.gives_up() => Counts,
        [open(), Agent.confers(0)] => Agent.gives_up() => Refused(NotTheAuthor),
        [open()] => Person.gives_up() => Refused(Role),
        [open()] => Owner.gives_up().bytes(4096) => Counts,
        [open()] => Owner.gives_up().bytes(4097) => Refused(Content),
        [over()] => Owner.gives_up() => Refused(Ended),
        [given_up()] => Owner.gives_up() => Refused(Ended),
    }
}

/// What is said in a session is about the two tasks that it was opened for, each in a repository of
/// its own.
fn conferences() -> Vec<Row> {
    use Reason::{
        AuthorMessages, Bytes, Content, Dangling, Depth, Ended, Hops, Lifetime, Messages,
        Participants, Role,
    };
    let open = || Owner.opens();
    let to = |side| Agent.confers(side).below(Said);
    let full = || times(16, [Agent.confers(0).bytes(8192), Guest(0).confers(0).bytes(8192)]);
    let crowd =
        || -> Vec<Before> { (0..32).flat_map(|_| guests(8, Guest(0).confers(0))).collect() };
    table! {
        [] => Agent.confers(0) => Refused(Dangling),
        [open()] => Agent.confers(0) => Counts,
        [open()] => Person.confers(1) => Counts,
        [open()] => Replica.confers(0) => Refused(Role),
        [open()] => Agent.confers(2) => Refused(Content),
        [open()] => Agent.confers(0).of(Nothing) => Refused(Dangling),
        [open(), Agent.joins(true)] => Agent.confers(0).below(Joined) => Refused(Dangling),
        [open(), Agent.confers(0)] => Person.confers(0).below(Said) => Counts,
        [open(), Owner.gives_up()] => Agent.confers(0) => Refused(Ended),
        [Owner.opens_with(0, 0), Owner.resolves(0)] => Agent.confers(0) => Refused(Ended),
        [open(), passes(WEEK_MS - 1)] => Agent.confers(0) => Counts,
        [open(), passes(WEEK_MS)] => Agent.confers(0) => Refused(Lifetime),
        [open(), guests(15, Guest(0).confers(0))] => Agent.confers(0) => Counts,
        [open(), guests(16, Guest(0).confers(0))] => Agent.confers(0) => Refused(Participants),
        [open(), guests(16, Guest(0).confers(0))] => Owner.confers(0) => Refused(Participants),
        [open(), guests(16, Guest(0).confers(0))] => Guest(9).confers(0) => Counts,
        [open(), times(31, [Agent.confers(0)])] => Agent.confers(0) => Counts,
        [open(), times(32, [Agent.confers(0)])] => Agent.confers(0) => Refused(AuthorMessages),
        [open(), crowd()] => Agent.confers(0) => Refused(Messages),
        [open()] => Agent.confers(0).bytes(8192) => Counts,
        [open()] => Agent.confers(0).bytes(8193) => Refused(Bytes),
        [open(), full()] => Owner.confers(0).bytes(0) => Counts,
        [open(), full()] => Owner.confers(0).bytes(1) => Refused(Bytes),
        [open(), chain(7, Agent.confers(0))] => to(0) => Counts,
        [open(), chain(8, Agent.confers(0))] => to(0) => Refused(Depth),
        [open(), Agent.confers(0), times(2, [to(1), to(0)])] => to(0) => Counts,
        [open(), Agent.confers(0), times(2, [to(1), to(0)])] => to(1) => Refused(Hops),
        [open(), Agent.confers(0), times(2, [to(1), to(0)])] => Agent.confers(1) => Counts,
    }
}

fn tables() -> Vec<Row> {
    let tables = [
        who_may_speak(),
        limits(),
        messages(),
        reviews(),
        help(),
        approvals(),
        dependencies(),
        sessions(),
        conferences(),
    ];
    tables.into_iter().flatten().collect()
}

/// The events that were said, by authors who are members from the beginning.
struct Swarm {
    events: Vec<Event>,
    lengths: BTreeMap<AuthorId, u64>,
    talk: Talk,
    now_ms: u64,
}

impl Swarm {
    fn new(others: &BTreeSet<Who>) -> Self {
        let (events, talk) = (Vec::new(), Talk::default());
        let mut swarm = Self { events, lengths: BTreeMap::new(), talk, now_ms: NOW };
        let administrators = vec![Administrator.key().author()];
        let founded = SwarmFounded { name: "s".to_owned(), administrators, nonce: [0; 16] };
        swarm.write(Administrator, &Draft::general(founded));
        for who in [Owner, Agent, Person, Replica].iter().chain(others) {
            let (member, role) = (who.key().author(), who.role());
            let admitted = MemberAdmitted { member, role, name: format!("{who:?}") };
            swarm.write(Administrator, &Draft::general(admitted));
        }
        swarm.say(Owner.intends());
        swarm.say(Owner.wins());
        swarm
    }

    /// The next event, a millisecond after the one before.
    fn write(&mut self, who: Who, draft: &Draft) -> EventId {
        let author = who.key().author();
        let seq = self.lengths.entry(author).or_default();
        let record = draft.record(*seq, Hlc::from_ms(self.now_ms)).unwrap();
        let event = Event::read(author, *seq, record.as_ref()).unwrap();
        *seq += 1;
        self.now_ms += 1;
        let id = event.id;
        self.events.push(event);
        id
    }

    fn say(&mut self, step: Step) -> EventId {
        let draft = self.talk.draft(&step, self.now_ms);
        let event = self.write(step.who, &draft);
        self.talk.note(&step, event);
        event
    }

    fn fold<'a>(&'a self, events: impl Iterator<Item = &'a Event>) -> SwarmState {
        let mut fold = Fold::new(swarm_id(self.events[0].id));
        for event in events {
            let _ = fold.apply(event, self).unwrap();
        }
        fold.state().clone()
    }
}

impl EventSource for Swarm {
    fn places(&self, aggregate: &Aggregate) -> Result<Vec<Place>, FoldError> {
        let of = self.events.iter().filter(|event| Aggregate::of(event) == Some(*aggregate));
        Ok(of.map(Place::of).collect())
    }

    fn event(&self, place: &Place) -> Result<Event, FoldError> {
        let found = self.events.iter().find(|event| Place::of(event) == *place);
        found.cloned().ok_or_else(|| FoldError("none".to_owned()))
    }

    fn event_at(&self, author: &AuthorId, seq: u64) -> Result<Option<Event>, FoldError> {
        let at = |event: &&Event| event.author == *author && event.header.seq == seq;
        Ok(self.events.iter().find(at).cloned())
    }

    fn aggregates_of(&self, _: &AuthorId, _: u64) -> Result<BTreeSet<Aggregate>, FoldError> {
        Ok(self.events.iter().filter_map(Aggregate::of).collect())
    }
}

/// The refusals of tasks and sessions, and how many events of theirs were not refused.
fn outcome(state: &SwarmState) -> (Vec<Refusal>, u64) {
    let tasks = state.tasks.values().map(|task| (&task.refusals, task.events));
    let sessions = state.sessions.values().map(|session| (&session.refusals, session.events));
    let (mut refusals, mut events) = (Vec::new(), 0);
    for (refused, count) in tasks.chain(sessions) {
        refusals.extend(refused.first.iter().cloned());
        events += count;
    }
    (refusals, events)
}

/// The state of the discussion and of the session alone. The answer of a model is used up even by
/// what is refused.
fn said(state: &SwarmState) -> impl PartialEq + std::fmt::Debug {
    let epoch = state.tasks.get(&task()).and_then(|task| task.epochs.get(&1));
    let of_epoch = epoch.map(|epoch| {
        let talk = (epoch.discussion.clone(), epoch.help.clone(), epoch.approvals.clone());
        (talk, epoch.plans.clone(), epoch.handed.clone(), epoch.winner.clone())
    });
    let of_session = state.sessions.get(&session()).map(|session| {
        let talk = (session.messages.clone(), session.authors.clone(), session.bytes);
        let ends = (session.resolved, session.escalated.clone());
        (session.opening.clone(), session.joined.clone(), talk, ends)
    });
    let detected = state.tasks.get(&task()).map(|task| task.detected.clone());
    (of_epoch, of_session, detected)
}

/// What became of the row's event; the state is the same if the logs come one by one, the last
/// member's first.
fn judge(row: &Row) -> Then {
    let mut others = BTreeSet::new();
    for before in &row.given {
        if let Before::Says(Step { who: who @ (Guest(_) | People(_)), .. }) = before {
            others.insert(*who);
        }
    }
    if matches!(row.when.who, Guest(_) | People(_)) {
        others.insert(row.when.who);
    }
    let mut swarm = Swarm::new(&others);
    for before in &row.given {
        match before {
            Before::Says(step) => _ = swarm.say(*step),
            Before::Passes(ms) => swarm.now_ms += ms,
        }
    }
    let before = swarm.fold(swarm.events.iter());
    let event = swarm.say(row.when);
    let after = swarm.fold(swarm.events.iter());
    let (refusals, counted) = outcome(&after);
    let refusal = refusals.iter().find(|refusal| refusal.event == event);
    let more = counted - outcome(&before).1;
    let then = match refusal {
        Some(refusal) => Refused(refusal.reason),
        None => Counts,
    };
    assert_eq!(more, u64::from(then == Counts), "{}: events that count", row.text);
    let unchanged = format!("{:?}", said(&before)) == format!("{:?}", said(&after));
    assert!(then == Counts || unchanged, "{}: what was refused changed something", row.text);
    if swarm.events.len() < 64 {
        let mut logs: Vec<&Event> = swarm.events.iter().collect();
        logs.sort_by_key(|event| (std::cmp::Reverse(event.author), event.header.seq));
        let other = swarm.fold(logs.into_iter());
        assert_eq!(other.digest(), after.digest(), "{}: another order of arrival", row.text);
    }
    then
}

#[test]
fn the_fold_does_what_the_tables_say() {
    let mut wrong = Vec::new();
    for row in tables() {
        let found = judge(&row);
        if found != row.then {
            wrong.push(format!("{}: {found:?}, not {:?}", row.text, row.then));
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every kind is in the tables with one that counts and one that is refused, and so is every reason
/// that there is for tasks and sessions.
#[test]
fn the_tables_are_complete() {
    let (mut counts, mut refused, mut reasons) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for row in tables() {
        let name = Talk::default().draft(&row.when, NOW).payload.name();
        match row.then {
            Counts => counts.insert(name),
            Refused(reason) => {
                reasons.insert(format!("{reason:?}"));
                refused.insert(name)
            }
        };
    }
    let kinds = [
        "PlanProposed",
        "PlanReviewed",
        "PlanAdopted",
        "Withdrawn",
        "ModelAsked",
        "MessageSaid",
        "HelpRequested",
        "HelpOffered",
        "HelpAccepted",
        "HandedOver",
        "DependencyDetected",
        "ApprovalRequested",
        "ApprovalGiven",
        "DiscussionBounded",
        "CoordinationOpened",
        "CoordinationJoined",
        "CoordinationSaid",
        "CoordinationResolved",
        "CoordinationEscalated",
    ];
    for kind in kinds {
        assert!(refused.contains(kind), "no row in which {kind} is refused");
        assert!(kind == "PlanProposed" || counts.contains(kind), "no row in which {kind} counts");
    }
    use Reason::{
        Approval, AuthorMessages, Bytes, Content, Dangling, Depth, Early, Ended, Hops, Lifetime,
        Limit, Messages, NotTheAuthor, NotTheOwner, Objection, Objections, OwnPlan, Participants,
        Repeated, Role,
    };
    for reason in [
        Role,
        Content,
        Dangling,
        NotTheOwner,
        OwnPlan,
        Repeated,
        Ended,
        Objection,
        Limit,
        Participants,
        Depth,
        AuthorMessages,
        Messages,
        Bytes,
        Lifetime,
        Hops,
        Objections,
        NotTheAuthor,
        Approval,
        Early,
    ] {
        assert!(reasons.contains(&format!("{reason:?}")), "no row refuses as {reason:?}");
    }
}
