//! The laws of the fold: the state depends on the set of events, never on the order in which logs
//! come in, on when it was opened, or on whether it went on from a snapshot.

use std::sync::Arc;

use bzzz::engine::{Engine, StoreSource, found};
use bzzz::kernel::event::kinds::{
    AgentStarted, ClaimIntended, ClaimMoved, ClaimWon, MemberAdmitted, MemberRevoked, ModelAsked,
    PlanProposed, PlanReviewed, PlanText, Purpose, Role, TaskSeen, Verdict,
};
use bzzz::kernel::event::{ClaimStatus, Draft, Event, EventId, Hlc, TaskId};
use bzzz::kernel::fold::{Fold, Reason, SwarmState, TaskStatus};
use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::kernel::log::{Hash, LogStore, Range, SignedHead, Tip};
use bzzz::store::memory::MemoryStore;
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000_000;

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
    while let Some(range) =
        from.range(author, to.lengths().get(&author).copied().unwrap_or(0), 1 << 20).unwrap()
    {
        to.ingest(range, NOW + 100_000).unwrap();
    }
    assert!(to.lengths()[&author] >= held);
}

fn say(engine: &Engine, at: u64, draft: Draft) -> EventId {
    engine.append(vec![draft], NOW + at).unwrap().ids[0]
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

/// Three members that talk about two tasks, some of it nonsense, one of them revoked in the end.
fn history() -> (SwarmId, Vec<(AuthorId, Vec<Range>)>) {
    let a = founder();
    let swarm = a.swarm();
    let others = [2, 3].map(|n| open(n, swarm, Arc::new(MemoryStore::new())));
    let [b, c] = &others;
    for other in [b, c] {
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
    say(b, 33, Draft::about(one, plan(1)));
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
    let (member, reason) = (c.me(), "left".to_owned());
    say(&a, 70, Draft::general(MemberRevoked { member, length: 5, reason }));
    let ranges = [&a, b, c].map(|engine| {
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

fn started(engine: &Engine) -> AgentStarted {
    let (name, version) = (engine.me().short(), "0".to_owned());
    AgentStarted { name, version, process: 1, works: true, capabilities: Vec::new() }
}

/// Takes the logs in by turns that the choices name; the founder's first range comes first, since
/// nobody is a member before it, and a member's log only after its admission.
fn ingest(swarm: SwarmId, logs: &[(AuthorId, Vec<Range>)], choices: &[usize]) -> Engine {
    let engine = open(9, swarm, Arc::new(MemoryStore::new()));
    let mut next = vec![0; logs.len()];
    for _ in 0..3 {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_order_of_arrival_does_not_matter(choices in prop::collection::vec(0usize..3, 1..40)) {
        prop_assume!((0..3).all(|log| choices.contains(&log)));
        let (swarm, logs) = history();
        let expected = ingest(swarm, &logs, &[0, 1, 2]).read(SwarmState::digest);
        let found = ingest(swarm, &logs, &choices).read(SwarmState::digest);
        prop_assert_eq!(expected, found);
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
    let (swarm, logs) = history();
    let engine = ingest(swarm, &logs, &[0, 1, 2]);
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
    let (swarm, logs) = history();
    let engine = ingest(swarm, &logs, &[0, 1, 2]);
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
