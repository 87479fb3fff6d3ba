//! Members that say what they must not: they flood discussions, object to everything, forge
//! parents, answer for others, speak after the end, and meddle with sessions. Their logs are whole
//! and replicate like all others: only the fold and the agents stand between them and the tasks.

use std::collections::BTreeMap;

use bzzz::kernel::event::kinds::{
    Act, ApprovalGiven, CoordinationEscalated, CoordinationJoined, CoordinationOpened,
    CoordinationResolved, CoordinationSaid, Escalated, EscalationAnswered, HandedOver,
    HelpAccepted, HelpForm, HelpOffered, MessageSaid, PlanAdopted, PlanReviewed, Side,
    TaskFinished, Verdict, Withdrawn,
};
use bzzz::kernel::event::{Draft, EventId, Payload};
use bzzz::kernel::fold::{Epoch, Limits, MAX_HOPS, MAX_REFUSALS, Session, SwarmState, Task};
use bzzz::kernel::identity::AuthorId;
use bzzz::kernel::log::Hash;

use super::rng::Rng;

/// How often attackers together answer questions to people in one epoch: each answer resumes the
/// work, which is within an agent's rights.
const MAX_RESUMED: usize = 3;

/// One attack, of whatever kind the dice say. One attacker does anything; the others above all
/// object and answer each other.
pub(super) fn drafts(state: &SwarmState, me: AuthorId, n: usize, rng: &mut Rng) -> Vec<Draft> {
    let tasks: Vec<&Task> = state.tasks.values().filter(|task| !task.epochs.is_empty()).collect();
    if tasks.is_empty() {
        return Vec::new();
    }
    let at_work: Vec<&Task> = tasks.iter().filter(|t| t.owner().is_some()).copied().collect();
    let task = match at_work.is_empty() || rng.percent(20) {
        true => tasks[rng.index(tasks.len())],
        false => at_work[rng.index(at_work.len())],
    };
    let epochs: Vec<&Epoch> = task.epochs.values().collect();
    let epoch = match rng.percent(80) {
        true => epochs[epochs.len() - 1],
        false => epochs[rng.index(epochs.len())],
    };
    let kind = match n.is_multiple_of(3) {
        true => rng.index(8),
        false => [1, 1, 4, 5, 5, 5, 6, 7][rng.index(8)],
    };
    let payloads = match kind {
        0 => flood(epoch, rng),
        1 => return object(&tasks),
        2 => forge(state, task, epoch, rng),
        3 => answer_for_others(epoch, rng),
        4 => offer(epoch, rng),
        5 => each_other(epoch, me),
        6 => return meddle(state, rng),
        _ => return open_session(&tasks, rng),
    };
    payloads.into_iter().map(|payload| Draft::about(task.id, payload)).collect()
}

fn said(epoch: &Epoch, parent: Option<EventId>, act: Act, text: String) -> Payload {
    MessageSaid { epoch: epoch.number, parent, act, text, deadline_ms: u64::MAX }.into()
}

/// More messages than an author may say, some of them longer than a message may be.
fn flood(epoch: &Epoch, rng: &mut Rng) -> Vec<Payload> {
    let message = |_| {
        let text = "x".repeat(rng.index(9_000));
        let act = if rng.percent(30) { Act::Question } else { Act::Comment };
        said(epoch, None, act, text)
    };
    (0..15).map(message).collect()
}

/// Every plan is wrong, and twice.
fn object(tasks: &[&Task]) -> Vec<Draft> {
    let epochs = tasks.iter().filter_map(|task| Some((task, task.current()?)));
    let plans = epochs.filter_map(|(task, epoch)| Some((task, epoch, epoch.plan()?)));
    let reviews = plans.flat_map(|(task, epoch, plan)| {
        [plan.event; 2].map(|plan| {
            let (verdict, reason, epoch) = (Verdict::Object, "no".to_owned(), epoch.number);
            Draft::about(task.id, PlanReviewed { epoch, plan, verdict, reason })
        })
    });
    reviews.collect()
}

/// Parents that are not there, or are of another task.
fn forge(state: &SwarmState, task: &Task, epoch: &Epoch, rng: &mut Rng) -> Vec<Payload> {
    let nothing = EventId([rng.next().to_le_bytes()[0]; 32]);
    let others = state.tasks.values().filter(|other| other.id != task.id);
    let epochs = others.flat_map(|other| other.epochs.values());
    let theirs = epochs.flat_map(|epoch| {
        epoch.plans.iter().map(|plan| plan.event).chain(epoch.discussion.messages.keys().copied())
    });
    let parents = std::iter::once(nothing).chain(theirs.take(4));
    let acts = [Act::Comment, Act::Question, Act::Answer];
    let messages = parents.zip(acts.into_iter().cycle());
    let messages = messages.map(|(parent, act)| said(epoch, Some(parent), act, "so?".to_owned()));
    let (number, reason) = (epoch.number, String::new());
    let withdrawn = Withdrawn { epoch: number, message: nothing, reason };
    messages.chain([withdrawn.into()]).collect()
}

/// What only the owner, a person, or the author of something may say.
fn answer_for_others(epoch: &Epoch, rng: &mut Rng) -> Vec<Payload> {
    let number = epoch.number;
    let mut payloads: Vec<Payload> = Vec::new();
    for (message, _) in epoch.discussion.messages.iter().take(4) {
        let (message, reason) = (*message, "it meant nothing".to_owned());
        payloads.push(Withdrawn { epoch: number, message, reason }.into());
    }
    for plan in &epoch.plans {
        let considered = Vec::new();
        payloads.push(PlanAdopted { epoch: number, plan: plan.event, considered }.into());
    }
    for offer in epoch.help.iter().flat_map(|help| &help.offers) {
        payloads.push(HelpAccepted { epoch: number, offer: offer.event }.into());
        let claim = epoch.winner.as_ref().expect("it asked for help").commit.clone();
        let (to, base) = (offer.author, None);
        payloads.push(HandedOver { epoch: number, to, offer: offer.event, base, claim }.into());
    }
    let (request, hash) = (EventId([1; 32]), Hash([1; 32]));
    let (approved, reason) = (true, "I am a person".to_owned());
    payloads.push(ApprovalGiven { epoch: number, request, hash, approved, reason }.into());
    let (reason, question) = ("it is lost".to_owned(), "why?".to_owned());
    payloads.push(Escalated { epoch: number, reason, question }.into());
    payloads.push(TaskFinished { epoch: number, outcome: "published".to_owned() }.into());
    if let Some(asked) = &epoch.escalation
        && epoch.rounds.len() < MAX_RESUMED
        && rng.percent(30)
    {
        for answer in ["The first.", "The second."] {
            let (by, channel) = ("eve".to_owned(), "api".to_owned());
            let (answer, escalation) = (answer.to_owned(), asked.event);
            let answered = EscalationAnswered { epoch: number, escalation, answer, by, channel };
            payloads.push(answered.into());
        }
    }
    payloads
}

/// Help that is none: advice of no use, and tasks that it takes over and never touches.
fn offer(epoch: &Epoch, rng: &mut Rng) -> Vec<Payload> {
    let forms = [HelpForm::TakeOver, HelpForm::Advice, HelpForm::None];
    let (help, number) = (forms[rng.index(3)], epoch.number);
    let requests = epoch.help.iter().map(|help| help.event).chain([EventId([2; 32])]);
    let offers = requests.flat_map(|request| [request, request]).map(|request| {
        let (text, capabilities, until_ms) = ("trust me".to_owned(), Vec::new(), 0);
        HelpOffered { epoch: number, request, help, text, capabilities, until_ms }.into()
    });
    offers.collect()
}

/// Two attackers answer each other's last words, question by question.
fn each_other(epoch: &Epoch, me: AuthorId) -> Vec<Payload> {
    let owner = epoch.winner.as_ref().map(|win| win.author);
    let theirs = epoch
        .discussion
        .messages
        .iter()
        .filter(|(_, said)| said.author != me && Some(said.author) != owner && !said.withdrawn);
    let deepest: Vec<_> = {
        let mut all: Vec<_> = theirs.map(|(event, said)| (said.depth, *event)).collect();
        all.sort_unstable();
        all.into_iter().rev().take(3).map(|(_, event)| Some(event)).collect()
    };
    let parents = if deepest.is_empty() { vec![None] } else { deepest };
    let replies = parents.into_iter().flat_map(|parent| {
        [Act::Question, Act::Answer].map(|act| said(epoch, parent, act, "and you?".to_owned()))
    });
    replies.collect()
}

/// A session about two tasks of others, which it resolves at once, joins, and talks in.
fn open_session(tasks: &[&Task], rng: &mut Rng) -> Vec<Draft> {
    let side = |task: &Task| {
        let epoch = task.epochs.keys().last().copied().unwrap_or(1);
        Side { repository: task.repository.clone(), issue: task.issue, epoch }
    };
    let elsewhere = Side { repository: "elsewhere".to_owned(), issue: 1, epoch: 1 };
    let other = match rng.percent(50) {
        true => elsewhere,
        false => side(tasks[rng.index(tasks.len())]),
    };
    let mut sides = vec![side(tasks[rng.index(tasks.len())]), other];
    sides.sort_by_key(Side::task);
    let session = CoordinationOpened::session(&sides);
    let first = u32::from(rng.percent(50));
    let (reason, evidence, deadline_ms) = ("because".to_owned(), Vec::new(), 0);
    let opened = CoordinationOpened { sides, first, reason, evidence, deadline_ms };
    vec![Draft::about(session, opened)]
}

/// Words in the sessions that are there: endings of others' sessions, and talk without end.
fn meddle(state: &SwarmState, rng: &mut Rng) -> Vec<Draft> {
    let sessions: Vec<&Session> = state.sessions.values().collect();
    if sessions.is_empty() {
        return Vec::new();
    }
    let session = sessions[rng.index(sessions.len())];
    let opening = session.opening.as_ref().map_or(EventId([3; 32]), |opening| opening.event);
    let (agrees, reason) = (rng.percent(50), "I speak for them".to_owned());
    let resolved = CoordinationResolved { opening, first: 0, considered: Vec::new() };
    let escalated = CoordinationEscalated { opening, reason: reason.clone() };
    let joined = CoordinationJoined { opening, agrees, reason };
    let mut payloads: Vec<Payload> = Vec::new();
    let deepest = session.messages.iter().max_by_key(|(_, said)| said.depth);
    let mut parent = deepest.map_or((opening, 0), |(event, said)| (*event, said.side));
    for _ in 0..2 {
        let (act, text) = (Act::Comment, "to and fro".to_owned());
        let side = 1 - parent.1;
        payloads.push(CoordinationSaid { parent: parent.0, side, act, text }.into());
        parent = (opening, side);
    }
    match rng.range(0..40) {
        0 => payloads.push(resolved.into()),
        1 => payloads.push(escalated.into()),
        _ => payloads.push(joined.into()),
    }
    payloads.into_iter().map(|payload| Draft::about(session.id, payload)).collect()
}

/// What the state holds of all this stays within the limits. Gives the greatest numbers.
pub(super) fn check(state: &SwarmState, attackers: &[AuthorId]) -> BTreeMap<String, u64> {
    let mut most: BTreeMap<String, u64> = BTreeMap::new();
    let mut note = |what: &str, n: usize| {
        let n = n as u64;
        let held = most.entry(format!("most {what}")).or_default();
        *held = n.max(*held);
    };
    for task in state.tasks.values() {
        assert!(task.refusals.first.len() <= MAX_REFUSALS, "{}", task.name());
        note("epochs", task.epochs.len());
        for epoch in task.epochs.values() {
            check_discussion(epoch, attackers);
            let talk = &epoch.discussion;
            note("messages", talk.messages.len());
            note("bytes of messages", usize::try_from(talk.bytes).expect("a small number"));
            note("plans", epoch.plans.len());
            note("requests for help", epoch.help.len());
            note("rounds", epoch.rounds.len());
            for offers in epoch.help.iter().map(|help| &help.offers) {
                assert!(offers.len() <= 16);
                note("offers", offers.len());
            }
        }
    }
    for session in state.sessions.values() {
        let limits = Limits::WIDEST;
        assert!(session.messages.len() <= limits.messages as usize);
        assert!(session.bytes <= limits.bytes && session.joined.len() <= 16);
        assert!(session.authors.values().all(|said| *said <= limits.per_author));
        for said in session.messages.values() {
            assert!(said.depth <= limits.depth && said.hops <= MAX_HOPS);
        }
        note("messages of a session", session.messages.len());
    }
    note("sessions", state.sessions.len());
    most
}

fn check_discussion(epoch: &Epoch, attackers: &[AuthorId]) {
    let (talk, limits) = (&epoch.discussion, Limits::WIDEST);
    let owner = epoch.winner.as_ref().map(|win| win.author);
    assert!(talk.messages.len() <= (limits.messages + limits.per_author) as usize);
    assert!(talk.authors.len() <= limits.participants as usize + 1);
    assert!(talk.authors.values().all(|said| *said <= limits.per_author));
    assert!(talk.bytes <= limits.bytes + u64::from(limits.per_author) * 8192);
    assert!(talk.objections.values().all(|objections| *objections <= 2));
    assert!(epoch.plans.len() <= 16 && epoch.help.len() <= 8 && epoch.rounds.len() <= 64);
    for said in talk.messages.values() {
        assert!(said.depth <= limits.depth && said.text.len() <= 8192);
    }
    // No attacker got to own anything, so that none of the owner's words is one of theirs.
    assert!(owner.is_none_or(|owner| !attackers.contains(&owner)));
    assert!(epoch.approvals.iter().all(|asked| asked.verdict.is_none()));
}

/// What of the attackers' words was refused, by reason.
pub(super) fn refused(state: &SwarmState, attackers: &[AuthorId]) -> BTreeMap<String, u64> {
    let mut reasons = BTreeMap::new();
    let tasks = state.tasks.values().map(|task| &task.refusals);
    for refusals in tasks.chain(state.sessions.values().map(|session| &session.refusals)) {
        for refusal in refusals.first.iter().filter(|r| attackers.contains(&r.author)) {
            *reasons.entry(format!("refused: {:?}", refusal.reason)).or_insert(0) += 1;
        }
    }
    reasons
}
