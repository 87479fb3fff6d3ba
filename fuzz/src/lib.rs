//! What the fuzz targets share: keys, and one small log that is signed with them.

pub mod script;

use std::sync::{Arc, LazyLock};

use bzzz::engine::{Engine, found};
use bzzz::kernel::audit::export;
use bzzz::kernel::event::{Draft, Hlc, Payload, SignedEvent, TaskId, kinds};
use bzzz::kernel::identity::{SecretKey, SwarmId};
use bzzz::kernel::log::tlog::{Checkpoint, Prover, TlogProof};
use bzzz::kernel::log::{LogStore, Range, Tip, TreeReader, prove_inclusion};
use bzzz::store::memory::MemoryStore;

/// The swarm of everything that is signed here.
pub const SWARM: SwarmId = SwarmId([9; 32]);

const NOW: u64 = 1_800_000_000_000;

/// The events of [`log`].
const LENGTH: u64 = 5;

/// A key of a seed.
#[must_use]
pub fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

static STORE: LazyLock<(MemoryStore, Tip)> = LazyLock::new(|| {
    let store = MemoryStore::new();
    let mut tip = Tip::empty(key(1).author());
    for count in [1, 3, 1] {
        let records = (tip.length()..tip.length() + count).map(|seq| {
            let payload = kinds::TaskFinished { epoch: seq, outcome: "lost".to_owned() };
            let draft = Draft::about(TaskId::of("r", 1), payload);
            draft.record(seq, Hlc(seq + 1)).expect("it is small")
        });
        let clock = tip.length() + count;
        let append = tip.append(&key(1), SWARM, clock, records.collect());
        store.commit(std::slice::from_ref(&append), &[]).expect("it goes on where the log ends");
        tip = append.tip().clone();
    }
    (store, tip)
});

static LOG: LazyLock<Range> = LazyLock::new(|| {
    let read = Range::read(&STORE.0, key(1).author(), 0, 1 << 20);
    read.expect("memory does not fail").expect("the log is not empty")
});

static EVENT: LazyLock<SignedEvent> = LazyLock::new(|| {
    let (store, tip) = &*STORE;
    let inclusion = prove_inclusion(&TreeReader::new(store, tip), 2, LENGTH);
    let head = store.newest_head(&key(1).author()).expect("memory does not fail");
    SignedEvent {
        record: log().records[2].clone(),
        inclusion: inclusion.expect("memory does not fail"),
        head: head.expect("the log has a head"),
    }
});

static TLOG: LazyLock<TlogProof> = LazyLock::new(|| {
    let (store, tip) = &*STORE;
    let (author, length, index) = (key(1).author(), LENGTH, 2);
    let prover = Prover::inclusion(index, length).read(store, &author, length);
    let prover = prover.expect("memory does not fail");
    let (root, head_root) = (prover.head().root(), tip.root());
    let checkpoint = Checkpoint { swarm: SWARM, author, length, root, head_root };
    TlogProof {
        record: log().records[2].clone(),
        index,
        hashes: prover.hashes(),
        checkpoint: checkpoint.sign(&key(1)),
    }
});

/// An event of [`log`] that proves itself by a checkpoint.
#[must_use]
pub fn tlog_proof() -> &'static TlogProof {
    &TLOG
}

static BUNDLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let engine = history();
    let (digest, frontier) = engine.digest();
    let mut bytes = Vec::new();
    export(engine.store(), engine.swarm(), &key(1), &frontier, digest, &mut bytes)
        .expect("memory does not fail");
    bytes
});

/// A founder and two members, one of whom wins a task and proposes a plan.
fn history() -> Engine {
    let said = "memory does not fail";
    let store = Arc::new(MemoryStore::new());
    let founding = found(&key(1), "fuzz", [7; 16], NOW).expect(said);
    let swarm = founding.swarm;
    founding.commit(&*store, &key(1)).expect(said);
    let founder = Engine::open(store, key(1), swarm, NOW).expect(said);
    for n in [2, 3] {
        let (member, name) = (key(n).author(), format!("m{n}"));
        let admitted = kinds::MemberAdmitted { member, role: kinds::Role::Agent, name };
        founder.append(vec![Draft::general(admitted)], NOW + u64::from(n)).expect(said);
    }
    let member = Engine::open(Arc::new(MemoryStore::new()), key(2), swarm, NOW).expect(said);
    let range = founder.range(founder.me(), 0, 1 << 20).expect(said).expect("it is not empty");
    member.ingest(range, NOW + 10).expect(said);
    for draft in drafts() {
        member.append(vec![draft], NOW + 20).expect(said);
    }
    member.append(vec![member.checkpoint()], NOW + 30).expect(said);
    while let Some(range) = member
        .range(member.me(), founder.lengths().get(&member.me()).copied().unwrap_or(0), 1 << 20)
        .expect(said)
    {
        founder.ingest(range, NOW + 40).expect(said);
    }
    founder
}

fn drafts() -> Vec<Draft> {
    let task = TaskId::of("r", 1);
    let seen = kinds::TaskSeen {
        repository: "r".to_owned(),
        issue: 1,
        title: "t".to_owned(),
        body: "b".to_owned(),
        labels: vec!["bzzz-task".to_owned()],
        depends_on: Vec::new(),
        open: true,
    };
    let intended = kinds::ClaimIntended { epoch: 1, lease_ms: 9, process: 1, previous: None };
    let finished = kinds::TaskFinished { epoch: 1, outcome: "lost".to_owned() };
    let about = |payload: Payload| Draft::about(task, payload);
    vec![about(seen.into()), about(intended.into()), about(finished.into())]
}

/// A bundle of a small swarm, exported by its founder, key 1.
#[must_use]
pub fn bundle() -> &'static [u8] {
    &BUNDLE
}

/// The whole log of key 1 in three appends.
#[must_use]
pub fn log() -> &'static Range {
    &LOG
}

/// Event 2 of that log, with its path to the newest head. No head of this length was ever signed
/// but this one.
#[must_use]
pub fn signed_event() -> &'static SignedEvent {
    &EVENT
}

/// That log in a store, and its end.
#[must_use]
pub fn store() -> (&'static MemoryStore, &'static Tip) {
    (&STORE.0, &STORE.1)
}
