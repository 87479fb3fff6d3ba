//! The laws of the fold: the state depends on the set of events, never on the order in which logs
//! come in, on when it was opened, or on whether it went on from a snapshot.

use std::collections::BTreeSet;
use std::sync::Arc;

use bzzz::engine::{Engine, EraseError, StoreSource, found};
use bzzz::kernel::event::kinds::{
    AgentStarted, ClaimIntended, ClaimMoved, ClaimWon, KeyRotated, MemberAdmitted, MemberRevoked,
    ModelAsked, Payload, PayloadErased, PlanProposed, PlanReviewed, PlanText, Purpose, Role, Side,
    TaskSeen, Verdict,
};
use bzzz::kernel::event::{Body, ClaimStatus, Draft, Event, EventId, Hlc, TaskId};
use bzzz::kernel::fold::{Aggregate, Fold, Place, Reason, Session, SwarmState, TaskStatus};
use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::kernel::log::{Hash, LogStore, Range, ReadLimit, SignedHead, Tip};
use bzzz::store::memory::MemoryStore;
use proptest::prelude::*;

use crate::talk::{Talk, Who, random};

const NOW: u64 = 1_800_000_000_000;

/// The founder's first events: the founding, and the admission of everybody.
const ADMISSIONS: usize = 5;

/// All logs of [`history`], one after the other.
const IN_TURN: [usize; 5] = [0, 1, 2, 3, 4];

const ONE: ReadLimit = ReadLimit { records: 1, bytes: usize::MAX };

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn open(n: u8, swarm: SwarmId, store: Arc<dyn LogStore>) -> Engine {
    Engine::open(store, key(n), swarm, NOW).unwrap()
}

/// The founder's engine, with two members admitted.
fn founder() -> Engine {
    let store = Arc::new(MemoryStore::new());
    let founding = found(&key(1), "test", [7; 16], NOW).unwrap();
    let swarm = founding.swarm;
    founding.commit(&*store, &key(1)).unwrap();
    let engine = open(1, swarm, store);
    for n in [2, 3] {
        let (member, name) = (key(n).author(), format!("m{n}"));
        let admitted = MemberAdmitted { member, role: Role::Agent, name };
        engine.append(vec![Draft::general(admitted)], NOW + u64::from(n)).unwrap();
    }
    engine
}

fn catch_up(to: &Engine, from: &Engine, author: AuthorId) {
    let held = to.lengths().get(&author).copied().unwrap_or(0);
    let length = || to.lengths().get(&author).copied().unwrap_or(0);
    while let Some(range) = Range::read(from.store(), author, length(), 1 << 20).unwrap() {
        to.ingest(range, NOW + 100_000).unwrap();
    }
    assert!(to.lengths()[&author] >= held);
}

fn say(engine: &Engine, at: u64, draft: Draft) -> EventId {
    engine.append(vec![draft], NOW + at).unwrap().ids[0]
}

/// Says something under a key that went on under another: no engine would, so it goes past it, into
/// the log as it stands in the store.
fn say_behind(engine: &Engine, n: u8, at: u64, draft: Draft) {
    let (store, me) = (engine.store(), engine.me());
    let tip = Tip::open(store, me).unwrap();
    let clock = Hlc((NOW + at) << 16);
    let record = draft.record(tip.length(), clock).unwrap();
    let append = tip.append(&key(n), engine.swarm(), clock.0, vec![record]);
    let record = append.records()[0].as_ref();
    let event = Event::read(me, append.from(), record).unwrap();
    let entry = Aggregate::of(&event).unwrap().entry(Place::of(&event));
    store.commit(&[append], &[entry]).unwrap();
}

fn seen(issue: u64) -> Draft {
    let repository = "r".to_owned();
    Draft::about(
        TaskId::of("r", issue),
        TaskSeen {
            repository,
            issue,
            title: format!("issue {issue}"),
            body: String::new(),
            labels: vec!["bzzz-task".to_owned()],
            depends_on: Vec::new(),
            open: true,
        },
    )
}

fn plan(revision: u32) -> PlanProposed {
    let list = || vec!["a".to_owned()];
    let summary = "do it".to_owned();
    let plan = PlanText { summary, steps: list(), files: list(), tests: list(), risks: list() };
    PlanProposed { epoch: 1, revision, plan, deadline_ms: NOW + 5000 }
}

fn win(engine: &Engine, task: TaskId, at: u64, commit: char) -> EventId {
    let intended = ClaimIntended { epoch: 1, lease_ms: 1000, process: 1, previous: None };
    let intent = say(engine, at, Draft::about(task, intended));
    let commit = commit.to_string().repeat(40).parse().unwrap();
    say(engine, at + 1, Draft::about(task, ClaimWon { intent, epoch: 1, commit }))
}

/// Some of what a random discussion says: three numbers for each step.
type Steps = [(u8, u8, u8)];

/// Five members that talk about two tasks, some of it nonsense, one of them revoked in the end. Two
/// of them, an agent and an operator, say nothing but what the random discussion lets them say.
fn history(steps: &Steps) -> (SwarmId, Vec<(AuthorId, Vec<Range>)>) {
    let a = founder();
    let swarm = a.swarm();
    let others = [2, 3].map(|n| open(n, swarm, Arc::new(MemoryStore::new())));
    let [b, c] = &others;
    let guests = [Who::Guest(0), Who::Person].map(|who| guest(&a, who));
    for other in [b, c].into_iter().chain(&guests) {
        catch_up(other, &a, a.me());
        say(other, 5, Draft::general(started(other)));
    }
    let (one, two) = (TaskId::of("r", 1), TaskId::of("r", 2));
    say(b, 10, seen(1));
    say(c, 9, seen(1));
    say(c, 12, seen(2));
    win(b, one, 20, 'b');
    let proposed = say(b, 30, Draft::about(one, plan(0)));
    for (n, reviewer) in [(0, &a), (1, c)] {
        let verdict = if n == 0 { Verdict::Object } else { Verdict::Support };
        let reason = "so".to_owned();
        let review = PlanReviewed { epoch: 1, plan: proposed, verdict, reason };
        say(reviewer, 31 + n, Draft::about(one, review));
    }
    let revised = say(b, 33, Draft::about(one, plan(1)));
    say(b, 34, Draft::about(one, plan(1)));
    // Both say that they won; the ref told one of them otherwise.
    win(b, two, 40, 'b');
    win(c, two, 41, 'c');
    say(&a, 42, Draft::about(one, plan(7)));
    let moved = ClaimMoved {
        epoch: 1,
        renewal: 1,
        commit: "d".repeat(40).parse().unwrap(),
        status: ClaimStatus::Released,
        reason: String::new(),
    };
    say(b, 50, Draft::about(two, moved));
    let (purpose, last) = (Purpose::Step, "next?".to_owned());
    let asked = ModelAsked { epoch: 1, purpose, turn: 0, prompt: Hash([1; 32]), last };
    say(c, 60, Draft::about(two, asked));
    erasures(&a, b, c);
    let (member, reason) = (c.me(), "left".to_owned());
    say(&a, 70, Draft::general(MemberRevoked { member, length: 5, reason }));
    discuss(steps, [proposed, revised], [&a, b, c, &guests[0], &guests[1]]);
    // One goes on under another key; what the old one says then is void.
    let index = b.lengths()[&b.me()];
    say(b, 1080, Draft::general(KeyRotated::sign(&swarm, &b.me(), &key(7), index)));
    say_behind(b, 2, 1081, seen(4));
    let ranges = [&a, b, c, &guests[0], &guests[1]].map(|engine| {
        let mut ranges = Vec::new();
        let mut from = 0;
        while let Some(range) = Range::read(engine.store(), engine.me(), from, 1).unwrap() {
            from = range.end();
            ranges.push(range);
        }
        (engine.me(), ranges)
    });
    (swarm, ranges.into())
}

/// The engine of another member.
fn guest(administrator: &Engine, who: Who) -> Engine {
    let (member, role, name) = (who.key().author(), who.role(), format!("{who:?}"));
    say(administrator, 4, Draft::general(MemberAdmitted { member, role, name }));
    let store = Arc::new(MemoryStore::new());
    Engine::open(store, who.key(), administrator.swarm(), NOW).unwrap()
}

/// A random discussion of the first task, and a session about it: a step each millisecond. Now and
/// then the administrator erases what was just said.
fn discuss(steps: &Steps, plans: [EventId; 2], engines: [&Engine; 5]) {
    let mut talk = Talk::default();
    for plan in plans {
        talk.note(&Who::Owner.plans(), plan);
    }
    for (n, (who, what, chance)) in steps.iter().enumerate() {
        let (step, at) = (random(*who, *what, *chance), 100 + 2 * n as u64);
        let author = step.who.key().author();
        let engine = engines.iter().find(|engine| engine.me() == author).unwrap();
        let event = say(engine, at, talk.draft(&step, NOW + at));
        talk.note(&step, event);
        if *chance > 240 {
            let (seq, reason) = (engine.lengths()[&author] - 1, "so".to_owned());
            say(engines[0], at + 1, Draft::general(PayloadErased { event, author, seq, reason }));
        }
    }
}

/// A member erases what it said, the administrator what others said, and some is refused: what is
/// protected, what is another's, what is not there, and what was erased before. The index of what
/// is erased is found by the name of its kind.
fn erasures(a: &Engine, b: &Engine, c: &Engine) {
    let find = |of: &Engine, kind: &str| {
        let events = of.events(of.me(), 0, 100).unwrap();
        let mut found =
            events.into_iter().filter(|e| e.payload().is_some_and(|p| p.name() == kind));
        let event = found.next().unwrap();
        (event.id, event.header.seq)
    };
    let erase = |by: &Engine, at, of: &Engine, (event, seq): (EventId, u64)| {
        let erased = PayloadErased { event, author: of.me(), seq, reason: "so".to_owned() };
        say(by, at, Draft::general(erased));
    };
    // All are found first: what is erased has no name any more.
    let (started, seen, won) = (find(b, "AgentStarted"), find(b, "TaskSeen"), find(b, "ClaimWon"));
    let (others, asked, admitted) =
        (find(c, "TaskSeen"), find(c, "ModelAsked"), find(a, "MemberAdmitted"));
    catch_up(a, b, b.me());
    catch_up(a, c, c.me());
    erase(b, 61, b, started);
    erase(b, 62, b, started);
    erase(c, 62, b, seen);
    erase(a, 63, b, started);
    erase(a, 64, c, others);
    // It is behind the length at which the author is revoked later.
    erase(a, 65, c, asked);
    erase(a, 66, b, (seen.0, won.1));
    erase(a, 67, b, (seen.0, 1000));
    erase(a, 68, a, admitted);
}

/// The places of [`erasures`] that are erased in the end.
fn erased(state: &SwarmState) -> Vec<(AuthorId, u64)> {
    state.erasures.iter().map(|(author, seq, _)| (author, seq)).collect()
}

fn started(engine: &Engine) -> AgentStarted {
    let (name, version) = (engine.me().short(), "0".to_owned());
    AgentStarted { name, version, process: 1, works: true, capabilities: Vec::new() }
}

/// Takes the logs in by turns that the choices name; the founder's first range comes first, since
/// nobody is a member before it, and a member's log only after its admission.
fn ingest(swarm: SwarmId, logs: &[(AuthorId, Vec<Range>)], choices: &[usize]) -> Engine {
    let engine = open(9, swarm, Arc::new(MemoryStore::new()));
    let mut next = vec![0; logs.len()];
    for _ in 0..ADMISSIONS {
        engine.ingest(logs[0].1[next[0]].clone(), NOW + 100_000).unwrap();
        next[0] += 1;
    }
    let mut choices = choices.iter().copied().cycle();
    while next.iter().zip(logs).any(|(at, (_, ranges))| *at < ranges.len()) {
        let log = choices.next().unwrap() % logs.len();
        if next[log] < logs[log].1.len() {
            // What stands behind a revocation may be refused; it is then no part of the state.
            let _ = engine.ingest(logs[log].1[next[log]].clone(), NOW + 100_000);
            next[log] += 1;
        }
    }
    engine
}

/// The same without the engine: nothing is deleted from the store.
fn fold_alone(swarm: SwarmId, logs: &[(AuthorId, Vec<Range>)], choices: &[usize]) -> SwarmState {
    let (store, mut fold) = (MemoryStore::new(), Fold::new(swarm));
    let mut next = vec![0; logs.len()];
    let mut tips: Vec<Tip> = logs.iter().map(|(author, _)| Tip::empty(*author)).collect();
    let first = [0; ADMISSIONS].iter().chain(choices.iter().cycle());
    for log in first.map(|choice| choice % logs.len()) {
        if let Some(range) = logs[log].1.get(next[log]) {
            let append = tips[log].verify(&swarm, range.clone()).unwrap();
            let records = (append.from()..).zip(append.records());
            let events = records.map(|(i, r)| Event::read(append.author(), i, r.as_ref()).unwrap());
            let events: Vec<Event> = events.collect();
            let entry = |event: &Event| Some(Aggregate::of(event)?.entry(Place::of(event)));
            let index: Vec<_> = events.iter().filter_map(entry).collect();
            store.commit(std::slice::from_ref(&append), &index).unwrap();
            for event in &events {
                let _ = fold.apply(event, &StoreSource(&store)).unwrap();
            }
            tips[log] = append.tip().clone();
            next[log] += 1;
        } else if next.iter().zip(logs).all(|(next, (_, ranges))| *next == ranges.len()) {
            break;
        }
    }
    fold.state().clone()
}

/// The logs without the payloads that are erased, as far as the choices say so.
fn without_bytes(
    logs: &[(AuthorId, Vec<Range>)],
    erased: &[(AuthorId, u64)],
    choices: &[usize],
) -> Vec<(AuthorId, Vec<Range>)> {
    let mut logs = logs.to_vec();
    let mut choices = choices.iter().cycle();
    for (author, ranges) in &mut logs {
        for range in ranges {
            for (index, record) in (range.from..).zip(&mut range.records) {
                if erased.contains(&(*author, index)) && choices.next().unwrap().is_multiple_of(2) {
                    *record = record.as_ref().without_body();
                }
            }
        }
    }
    logs
}

/// The next log to take something in from, again and again; each comes up.
fn choices() -> impl Strategy<Value = Vec<usize>> {
    let some = prop::collection::vec(0usize..60, 1..40);
    (some, Just(IN_TURN.to_vec()).prop_shuffle()).prop_map(|(some, all)| [some, all].concat())
}

fn steps() -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
    prop::collection::vec(any::<(u8, u8, u8)>(), 0..60)
}

/// What a state knows of its sessions besides follows from them.
fn sessions_are_found_by_their_tasks(state: &SwarmState) {
    let all = || state.sessions.values();
    assert!(state.sessions.open().eq(all().filter(|session| session.is_open())));
    let sides = all().filter_map(Session::sides).flat_map(|(one, other)| [one, other]);
    let tasks: BTreeSet<TaskId> = sides.map(Side::task).chain([TaskId::of("r", 9)]).collect();
    for task in tasks {
        assert!(state.sessions.of(task).eq(all().filter(|session| session.concerns(task))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_erased_payload_is_absent_with_or_without_its_bytes_in_any_order(
        choices in choices(),
        steps in steps(),
    ) {
        let (swarm, logs) = history(&steps);
        let expected = ingest(swarm, &logs, &IN_TURN).read(SwarmState::clone);
        let erased = erased(&expected);
        let bare = without_bytes(&logs, &erased, &choices);
        prop_assert_eq!(&fold_alone(swarm, &logs, &choices), &expected);
        prop_assert_eq!(&fold_alone(swarm, &bare, &choices), &expected);
        let engine = ingest(swarm, &bare, &choices);
        prop_assert_eq!(&engine.read(SwarmState::clone), &expected);
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(choices in choices(), steps in steps()) {
        let (swarm, logs) = history(&steps);
        let expected = ingest(swarm, &logs, &IN_TURN).read(SwarmState::digest);
        let found = ingest(swarm, &logs, &choices).read(SwarmState::clone);
        prop_assert_eq!(expected, found.digest());
        sessions_are_found_by_their_tasks(&found);
        let bytes = bincode::encode_to_vec(&found, bincode::config::legacy()).unwrap();
        let read = bincode::decode_from_slice(&bytes, bincode::config::legacy());
        let (read, length): (SwarmState, usize) = read.unwrap();
        prop_assert_eq!((&read, length), (&found, bytes.len()));
        sessions_are_found_by_their_tasks(&read);
    }
}

#[test]
fn a_fold_that_goes_on_from_a_snapshot_or_starts_anew_is_the_same() {
    let a = founder();
    let store = Arc::new(MemoryStore::new());
    let swarm = a.swarm();
    let b = open(2, swarm, Arc::<MemoryStore>::clone(&store));
    catch_up(&b, &a, a.me());
    say(&b, 10, seen(1));
    let anew = open(2, swarm, Arc::<MemoryStore>::clone(&store)).digest();
    assert_eq!(anew, b.digest());
    b.snapshot().unwrap();
    say(&b, 11, seen(2));
    assert_eq!(open(2, swarm, store).digest(), b.digest());
}

/// Not one bit of a snapshot is believed that a fold did not write, and no length in it.
#[test]
fn a_damaged_snapshot_is_not_read() {
    let (swarm, logs) = history(&[]);
    let engine = ingest(swarm, &logs, &IN_TURN);
    let mut fold = Fold::new(swarm);
    let source = StoreSource(engine.store());
    for (author, ranges) in &logs {
        for range in ranges {
            for (seq, record) in (range.from..).zip(&range.records) {
                let event = Event::read(*author, seq, record.as_ref()).unwrap();
                let _ = fold.apply(&event, &source).unwrap();
            }
        }
    }
    let good = fold.to_snapshot();
    assert_eq!(Fold::from_snapshot(&good, &swarm), Some(fold));
    for at in 0..good.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            assert_eq!(Fold::from_snapshot(&bad, &swarm), None, "byte {at} ^ {flip}");
        }
        assert_eq!(Fold::from_snapshot(&good[..at], &swarm), None, "cut at {at}");
    }
    assert_eq!(Fold::from_snapshot(&[0xff; 200], &swarm), None);
    assert_eq!(Fold::from_snapshot(&good, &SwarmId([0; 32])), None, "of another swarm");
}

#[test]
fn what_is_refused_is_kept_with_its_reason() {
    let (swarm, logs) = history(&[]);
    let engine = ingest(swarm, &logs, &IN_TURN);
    engine.read(|state| {
        let task = state.task("r", 1).unwrap();
        let reasons: Vec<Reason> = task.refusals.first.iter().map(|r| r.reason).collect();
        assert!(reasons.contains(&Reason::Repeated), "{reasons:?}");
        assert!(reasons.contains(&Reason::NotTheOwner), "{reasons:?}");
        assert_eq!(task.status(), TaskStatus::Claimed);
        assert_eq!(task.current().unwrap().plans.len(), 2);
    });
}

#[test]
fn what_is_erased_leaves_state_and_store() {
    let (swarm, logs) = history(&[]);
    let engine = ingest(swarm, &logs, &IN_TURN);
    let (b, c) = (key(2).author(), key(3).author());
    engine.read(|state| {
        let places: Vec<_> = erased(state).into_iter().collect();
        // What b started with, what c saw, and what is not there yet. c's question is behind its
        // end, so that nothing is known of it, and its erasure waits as well.
        assert_eq!(places.iter().filter(|(author, _)| *author == b).count(), 2, "{places:?}");
        assert_eq!(places.iter().filter(|(author, _)| *author == c).count(), 2, "{places:?}");
        let reasons: Vec<Reason> =
            state.erasures.refusals.first.iter().map(|refusal| refusal.reason).collect();
        let expected = [Reason::Repeated, Reason::Repeated, Reason::Dangling, Reason::Protected];
        assert_eq!(reasons, expected, "another's erasure is void: its author was revoked before");
        assert!(!state.agents.contains_key(&b) && state.agents.contains_key(&c));
        // b saw the issue after c did, and nobody erased that.
        let seen_at = state.task("r", 1).unwrap().seen_at.map(Hlc::ms);
        assert_eq!(seen_at, Some(NOW + 10));
    });
    for (author, seq) in engine.read(erased) {
        let events = engine.events(author, seq, 1).unwrap();
        assert!(events.iter().all(|event| event.body == Body::Absent), "{author:?} {seq}");
    }
    // A node that opens the store anew comes to the same.
    assert_eq!(fold_alone(swarm, &logs, &IN_TURN), engine.read(SwarmState::clone));
}

#[test]
fn an_erasure_that_is_cut_off_is_finished_by_the_next_to_open() {
    let a = founder();
    let swarm = a.swarm();
    let id = say(&a, 10, seen(1));
    let erased = PayloadErased { event: id, author: a.me(), seq: 3, reason: String::new() };
    let store = Arc::new(MemoryStore::new());
    let mut tip = Tip::empty(a.me());
    say(&a, 11, Draft::general(erased));
    while let Some(mut range) = Range::read(a.store(), a.me(), tip.length(), 1).unwrap() {
        if range.from == 3 {
            // What a crash left: the payload that was to go.
            let draft = seen(1).record(3, Hlc::from_ms(NOW + 10)).unwrap();
            assert_eq!(draft.as_ref().header(), range.records[0].as_ref().header());
            range.records[0] = draft;
        }
        let append = tip.verify(&swarm, range).unwrap();
        store.commit(std::slice::from_ref(&append), &[]).unwrap();
        tip = append.tip().clone();
    }
    let body = || store.records(&a.me(), 3, ONE).unwrap()[0].as_ref().body().is_some();
    assert!(body());
    let again = open(1, swarm, Arc::<MemoryStore>::clone(&store));
    assert_eq!(again.read(|state| state.tasks.len()), 0);
    again.finish_erasing().unwrap();
    assert!(!body());
}

#[test]
fn who_may_erase_what() {
    let a = founder();
    let b = open(2, a.swarm(), Arc::new(MemoryStore::new()));
    catch_up(&b, &a, a.me());
    say(&b, 10, seen(1));
    say(&a, 11, seen(2));
    catch_up(&a, &b, b.me());
    catch_up(&b, &a, a.me());
    let why = |result: Result<_, EraseError>| result.unwrap_err().to_string();
    let (me, other) = (b.me(), a.me());
    assert!(why(b.erase(other, 3, "x", NOW)).contains("only the event's author"));
    assert!(why(b.erase(me, 7, "x", NOW)).contains("no event at index 7"));
    assert!(why(b.erase(me, 0, "x\ny", NOW)).contains("one line"));
    assert!(why(a.erase(other, 1, "x", NOW)).contains("cannot be erased"));
    let erased = b.erase(me, 0, "printed a password", NOW + 20).unwrap();
    assert_eq!((erased.author, erased.seq), (me, 0));
    assert!(why(b.erase(me, 0, "x", NOW)).contains("erased before"));
    // The administrator may erase what another said, also when it holds the bytes.
    catch_up(&a, &b, me);
    assert_eq!(a.digest(), b.digest());
    a.erase(me, 0, "x", NOW).unwrap_err();
    say(&b, 30, seen(3));
    catch_up(&a, &b, me);
    a.erase(me, 2, "a legal duty", NOW + 40).unwrap();
    catch_up(&b, &a, other);
    assert_eq!(a.digest(), b.digest());
    for engine in [&a, &b] {
        let record = engine.store().records(&me, 2, ONE).unwrap().pop().unwrap();
        assert_eq!(record.as_ref().body(), None);
        assert!(engine.signed_event(&me, 2).unwrap().unwrap().verify(&a.swarm()).is_ok());
    }
}

#[test]
fn a_founding_payload_is_not_taken_in_without_its_bytes() {
    let a = founder();
    let b = open(2, a.swarm(), Arc::new(MemoryStore::new()));
    let mut range = Range::read(a.store(), a.me(), 0, 1).unwrap().unwrap();
    range.records[0] = range.records[0].as_ref().without_body();
    let error = b.ingest(range, NOW).unwrap_err();
    assert!(matches!(error, bzzz::engine::IngestError::Withheld(0)), "{error}");
}

/// All engines take in all that the others have.
fn replicate(engines: &[&Engine]) {
    for (to, from) in engines.iter().flat_map(|to| engines.iter().map(move |from| (to, from))) {
        for author in from.lengths().into_keys().filter(|author| *author != to.me()) {
            catch_up(to, from, author);
        }
    }
}

/// The greatest length of a log that another's log says it holds.
fn witnessed(engine: &Engine, by: AuthorId, of: AuthorId) -> u64 {
    let events = engine.events(by, 0, 10_000).unwrap();
    let heads = events.iter().filter_map(|event| match event.payload() {
        Some(Payload::HeadsWitnessed(witnessed)) => Some(&witnessed.heads),
        _ => None,
    });
    heads.flatten().filter(|head| head.author == of).map(|head| head.length).max().unwrap_or(0)
}

#[test]
fn heads_are_witnessed_and_a_quiet_swarm_becomes_quiet() {
    let a = founder();
    let others = [2, 3].map(|n| open(n, a.swarm(), Arc::new(MemoryStore::new())));
    let [b, c] = &others;
    let all = [&a, b, c];
    replicate(&all);
    let mut at = 1000;
    for issue in 1..4 {
        say(b, at, seen(issue));
        say(c, at + 1, seen(issue + 10));
        let spoken: Vec<(AuthorId, u64)> =
            [&a, b, c].iter().map(|e| (e.me(), e.lengths()[&e.me()])).collect();
        let mut rounds = 0;
        loop {
            replicate(&all);
            at += 10;
            let said: usize = all.iter().map(|e| e.witness(NOW + at).unwrap()).sum();
            if said == 0 {
                break;
            }
            rounds += 1;
            assert!(rounds < 3, "nodes witness each other's witnessing");
        }
        let lengths = a.lengths();
        for _ in 0..5 {
            replicate(&all);
            at += 10;
            assert!(all.iter().all(|e| e.witness(NOW + at).unwrap() == 0));
        }
        assert_eq!(a.lengths(), lengths);
        for (of, length) in spoken {
            for by in all.iter().map(|e| e.me()).filter(|by| *by != of) {
                assert!(witnessed(&a, by, of) >= length, "{by:?} of {of:?}");
            }
        }
    }
    for engine in all {
        let heads = engine.events(engine.me(), 0, 10_000).unwrap();
        for event in heads {
            let Some(Payload::HeadsWitnessed(witnessed)) = event.payload() else { continue };
            for head in &witnessed.heads {
                assert_ne!(head.author, engine.me());
                let held = a.store().heads(&head.author, head.length - 1, 1).unwrap().remove(0);
                assert_eq!((held.length, held.root), (head.length, head.root));
                assert_eq!((held.clock, held.signature), (head.clock, head.signature));
            }
        }
    }
    let digest = a.read(SwarmState::digest);
    assert!(all.iter().all(|engine| engine.read(SwarmState::digest) == digest));
}

#[test]
fn a_rotated_key_has_the_same_rights_and_the_old_one_has_none() {
    let a = founder();
    let swarm = a.swarm();
    let b = open(2, swarm, Arc::new(MemoryStore::new()));
    catch_up(&b, &a, a.me());
    say(&b, 10, seen(1));
    let index = |engine: &Engine| engine.lengths()[&engine.me()];
    let rotate = |engine: &Engine, at, rotated: KeyRotated| {
        say(engine, at, Draft::general(rotated));
        let refusals = engine.read(|state| state.members.refusals.first.clone());
        refusals.last().map(|refusal| refusal.reason)
    };
    let mut bad = KeyRotated::sign(&swarm, &b.me(), &key(8), index(&b));
    bad.successor = key(9).author();
    assert_eq!(rotate(&b, 11, bad), Some(Reason::Signature));
    let elsewhere = KeyRotated::sign(&swarm, &b.me(), &key(8), index(&b) + 1);
    assert_eq!(rotate(&b, 12, elsewhere), Some(Reason::Signature));
    let taken = KeyRotated::sign(&swarm, &b.me(), &key(3), index(&b));
    assert_eq!(rotate(&b, 13, taken), Some(Reason::Repeated));
    let length = index(&b) + 1;
    let right = KeyRotated::sign(&swarm, &b.me(), &key(8), index(&b));
    assert_eq!(rotate(&b, 14, right), Some(Reason::Repeated), "no refusal was added");
    // Not even a refusal is left of what the old key says now.
    say_behind(&b, 2, 15, seen(2));
    let again = KeyRotated::sign(&swarm, &b.me(), &key(9), index(&b) + 1);
    say_behind(&b, 2, 16, Draft::general(again));
    catch_up(&a, &b, b.me());
    let new = open(8, swarm, Arc::new(MemoryStore::new()));
    catch_up(&new, &a, a.me());
    catch_up(&new, &b, b.me());
    say(&new, 20, seen(3));
    catch_up(&a, &new, new.me());
    for engine in [&a, &new] {
        engine.read(|state| {
            let members = &state.members;
            let (old, after) = (&members.members[&b.me()], &members.members[&new.me()]);
            assert_eq!((old.revoked_at, old.successor), (Some(length), Some(new.me())));
            assert_eq!((&after.name, &after.role), (&old.name, &old.role));
            assert!(members.may_act(&new.me()) && !members.may_act(&b.me()));
            assert_eq!(members.refusals.count, 3);
            let issues: Vec<u64> = state.tasks.values().map(|task| task.issue).collect();
            assert!(issues.contains(&1) && issues.contains(&3) && !issues.contains(&2));
        });
    }
    assert_eq!(a.digest().0, new.digest().0);
    // Whoever is told of nothing but a revocation before the rotation comes to the same state as
    // who had taken the rotation in.
    let (member, reason) = (b.me(), "the key was stolen before".to_owned());
    say(&a, 30, Draft::general(MemberRevoked { member, length: 1, reason }));
    let fresh = open(9, swarm, Arc::new(MemoryStore::new()));
    catch_up(&fresh, &a, a.me());
    let range = Range::read(b.store(), b.me(), 0, 1).unwrap().unwrap();
    fresh.ingest(range, NOW + 100_000).unwrap();
    assert_eq!(fresh.lengths()[&b.me()], 1);
    assert_eq!(a.digest().0, fresh.digest().0);
    assert!(a.read(|state| !state.members.members.contains_key(&new.me())));
}

#[test]
fn an_administrators_new_key_is_an_administrators() {
    let a = founder();
    let swarm = a.swarm();
    let index = a.lengths()[&a.me()];
    say(&a, 10, Draft::general(KeyRotated::sign(&swarm, &a.me(), &key(8), index)));
    let new = open(8, swarm, Arc::new(MemoryStore::new()));
    catch_up(&new, &a, a.me());
    let admit = |n: u8| {
        let (member, name) = (key(n).author(), String::new());
        Draft::general(MemberAdmitted { member, role: Role::Replica, name })
    };
    say(&new, 20, admit(5));
    say_behind(&a, 1, 21, admit(6));
    let behind = Range::read(a.store(), a.me(), index + 1, 1 << 20).unwrap().unwrap();
    let error = new.ingest(behind, NOW + 100_000).unwrap_err();
    assert!(matches!(error, bzzz::engine::IngestError::NotAMember(_)), "{error}");
    catch_up(&a, &new, new.me());
    for engine in [&a, &new] {
        engine.read(|state| {
            let present = state.members.present();
            assert!(present.contains(&key(5).author()), "the new key admits");
            assert!(!present.contains(&key(6).author()), "the old one does not");
            assert_eq!(state.members.refusals.count, 0);
        });
    }
}

#[test]
fn a_stranger_is_refused_before_anything_is_stored() {
    let a = founder();
    let stranger = founder_of_another();
    let range = Range::read(stranger.store(), stranger.me(), 0, 1).unwrap().unwrap();
    let error = a.ingest(range, NOW).unwrap_err();
    assert!(matches!(error, bzzz::engine::IngestError::NotAMember(_)), "{error}");
    assert_eq!(a.lengths().len(), 1);
}

fn founder_of_another() -> Engine {
    let store = Arc::new(MemoryStore::new());
    let founding = found(&key(5), "other", [8; 16], NOW).unwrap();
    let swarm = founding.swarm;
    founding.commit(&*store, &key(5)).unwrap();
    open(5, swarm, store)
}

#[test]
fn an_event_from_too_far_ahead_waits_for_its_time() {
    let a = founder();
    let b = open(2, a.swarm(), Arc::new(MemoryStore::new()));
    catch_up(&b, &a, a.me());
    let far = 3_600_000;
    say(&b, far, seen(1));
    let range = Range::read(b.store(), b.me(), 0, 1).unwrap().unwrap();
    a.ingest(range, NOW).unwrap();
    assert_eq!(a.held(), 1);
    assert!(a.read(|state| state.tasks.is_empty()));
    a.release(NOW + far).unwrap();
    assert_eq!((a.held(), a.read(|state| state.tasks.len())), (0, 1));
}

/// A member's log can be well signed and still be none of events: what would make every bundle fail
/// to verify is not stored.
#[test]
fn records_that_are_no_events_in_a_row_are_not_stored() {
    let a = founder();
    let member = key(2);
    let append = |events: &[(u64, u64)], clock: u64| {
        let record = |(seq, clock): &(u64, u64)| seen(1).record(*seq, Hlc(*clock)).unwrap();
        let tip = Tip::empty(member.author());
        let appended = tip.append(&member, a.swarm(), clock, events.iter().map(record).collect());
        let heads = appended.heads().iter().map(|head| SignedHead::clone(head)).collect();
        Range { author: member.author(), from: 0, records: appended.records().to_vec(), heads }
    };
    let now = NOW << 16;
    for (events, clock, what) in [
        (vec![(0, now), (7, now + 1)], now + 1, "index 1: the header says index 7"),
        (vec![(0, now), (1, now)], now, "does not rise"),
        (vec![(0, now), (1, now + 1)], now + 9, "the head of length 2"),
    ] {
        let error = a.ingest(append(&events, clock), NOW).unwrap_err();
        assert!(matches!(error, bzzz::engine::IngestError::Events(_)), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
    let record = bzzz::kernel::log::Record::new(b"no header", b"").unwrap();
    let appended = Tip::empty(member.author()).append(&member, a.swarm(), now, vec![record]);
    let heads = appended.heads().iter().map(|head| SignedHead::clone(head)).collect();
    let records = appended.records().to_vec();
    let range = Range { author: member.author(), from: 0, records, heads };
    assert!(a.ingest(range, NOW).unwrap_err().to_string().starts_with("index 0: the header"));
    assert!(!a.lengths().contains_key(&member.author()), "nothing was stored");
    a.ingest(append(&[(0, now), (1, now + 1)], now + 1), NOW).unwrap();
    assert_eq!(a.lengths()[&member.author()], 2);
}
