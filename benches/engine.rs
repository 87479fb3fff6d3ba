//! How fast the engine appends and folds the events of a working agent, as a share of what must be
//! done in any case. `cargo bench --bench engine [-- --quick] [append|fold|open]`.
//!
//! The limit of the fold is a scan of the store that decodes every event and does nothing with it;
//! the limit of the append is the same store and log without index, fold and subscribers. Both run
//! in turn, several rounds, and the medians are printed.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bzzz::engine::{Engine, found};
use bzzz::kernel::event::kinds::{
    ClaimIntended, ClaimWon, CommandFinished, CommandIntended, CommandOutput, CommandStatus,
    SandboxOpened, Stream, TaskSeen,
};
use bzzz::kernel::event::{CommitId, Draft, Event, EventId, Hlc, TaskId};
use bzzz::kernel::identity::{SecretKey, SwarmId};
use bzzz::kernel::log::{Hash, LogStore, Tip};
use bzzz::store::rocksdb::RocksStore;

const BATCH: usize = 1000;
const NOW: u64 = 1_800_000_000_000;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, events) = if quick { (3, 20_000) } else { (5, 100_000) };
    println!("{:<28}{:>12}{:>12}{:>8}{:>8}", "", "events/s", "limit", "share", "target");
    let parts = ["append", "fold", "open"];
    let asked: Vec<String> = std::env::args().filter(|a| parts.contains(&a.as_str())).collect();
    let wants = |part: &str| asked.is_empty() || asked.iter().any(|a| a == part);
    if wants("append") {
        append(rounds, events);
    }
    if wants("fold") {
        fold(rounds, events);
    }
    if wants("open") {
        open(if quick { &[10_000, 50_000] } else { &[10_000, 1_000_000] });
    }
}

fn key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn commit() -> CommitId {
    "a".repeat(40).parse().unwrap()
}

fn store(path: &Path) -> (Arc<RocksStore>, SwarmId) {
    let founding = found(&key(), "bench", [1; 16], NOW).unwrap();
    let swarm = founding.swarm;
    let store = Arc::new(RocksStore::open(path, Some(&swarm)).unwrap());
    founding.commit(&*store, &key()).unwrap();
    (store, swarm)
}

/// What an agent says of its work: a claim, and then commands with their output.
struct Author {
    task: TaskId,
    command: EventId,
    step: u32,
}

impl Author {
    fn new(engine: &Engine) -> Self {
        let task = TaskId::of("r", 1);
        let seen = TaskSeen {
            repository: "r".to_owned(),
            issue: 1,
            title: "t".to_owned(),
            body: "b".to_owned(),
            labels: Vec::new(),
            depends_on: Vec::new(),
            open: true,
        };
        let intended = ClaimIntended { epoch: 1, lease_ms: 1000, process: 1, previous: None };
        let drafts = vec![Draft::about(task, seen), Draft::about(task, intended)];
        let intent = engine.append(drafts, NOW).unwrap().ids[1];
        let won = ClaimWon { intent, epoch: 1, commit: commit() };
        engine.append(vec![Draft::about(task, won)], NOW).unwrap();
        let mut author = Self { task, command: intent, step: 0 };
        let last = vec![author.opened(), author.intended()];
        author.command = engine.append(last, NOW).unwrap().ids[1];
        author
    }

    fn opened(&mut self) -> Draft {
        self.step = 0;
        let sandbox = "docker".to_owned();
        Draft::about(self.task, SandboxOpened { epoch: 1, process: 1, sandbox, base: commit() })
    }

    fn intended(&mut self) -> Draft {
        let (reasoning, command) = ("to see".to_owned(), "sh tests/run.sh".to_owned());
        let step = self.step;
        self.step += 1;
        let intended = CommandIntended { epoch: 1, step, reasoning, command, seconds: 60 };
        Draft::about(self.task, intended)
    }

    fn output(&self, part: usize) -> Draft {
        let output = CommandOutput {
            epoch: 1,
            command: self.command,
            part: u32::try_from(part).unwrap(),
            stream: Stream::Stdout,
            at_ms: 1,
            bytes: vec![b'x'; 200],
        };
        Draft::about(self.task, output)
    }

    /// So many events: what the command says, its end, and the next command.
    fn batch(&mut self, size: usize) -> Vec<Draft> {
        let mut drafts: Vec<Draft> = (2..size).map(|part| self.output(part)).collect();
        let finished = CommandFinished {
            epoch: 1,
            command: self.command,
            status: CommandStatus::Exited(0),
            duration_ms: 5,
            output_total: 1200,
            output_kept: 1200,
            output_hash: Hash([2; 32]),
        };
        drafts.push(Draft::about(self.task, finished));
        if self.step == 100 {
            drafts.pop();
            drafts.push(self.opened());
        }
        drafts.push(self.intended());
        drafts
    }

    /// Appends this many events in batches of a size.
    fn say(&mut self, engine: &Engine, count: usize, size: usize) {
        for _ in 0..count / size {
            let ids = engine.append(self.batch(size), NOW).unwrap().ids;
            self.command = *ids.last().unwrap();
        }
    }
}

fn row(name: &str, count: usize, ours: Duration, limit: Duration, target: f64) {
    let count = f64::from(u32::try_from(count).unwrap());
    let (ours, limit) = (count / ours.as_secs_f64(), count / limit.as_secs_f64());
    println!("{name:<28}{ours:>12.0}{limit:>12.0}{:>8.2}{target:>8.2}", ours / limit);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn append(rounds: usize, count: usize) {
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let dir = tempfile::tempdir().unwrap();
        let (kept, swarm) = store(dir.path());
        let engine = Engine::open(kept, key(), swarm, NOW).unwrap();
        let mut author = Author::new(&engine);
        ours.push(timed(|| author.say(&engine, count, BATCH)));

        let dir = tempfile::tempdir().unwrap();
        let (kept, swarm) = store(dir.path());
        limit.push(timed(|| plain(&kept, swarm, &mut author, count)));
    }
    row("append, batches of 1,000", count, median(ours), median(limit), 0.5);
}

/// The same log and store, without index, fold and subscribers.
fn plain(store: &RocksStore, swarm: SwarmId, author: &mut Author, count: usize) {
    let mut tip = Tip::open(store, key().author()).unwrap();
    let mut clock = NOW << 17;
    for _ in 0..count / BATCH {
        let from = tip.length();
        let mut records = Vec::with_capacity(BATCH);
        for (seq, draft) in (from..).zip(author.batch(BATCH)) {
            clock += 1;
            records.push(draft.record(seq, Hlc(clock)).unwrap());
        }
        let append = tip.append(&key(), swarm, clock, records);
        store.commit(std::slice::from_ref(&append), &[]).unwrap();
        tip = append.tip().clone();
    }
}

fn fold(rounds: usize, count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (kept, swarm) = store(dir.path());
    let engine = Engine::open(kept, key(), swarm, NOW).unwrap();
    // Commands with a few lines of output each, as they come in practice.
    Author::new(&engine).say(&engine, count, 8);
    let refused =
        engine.read(|state| state.tasks.values().map(|task| task.refusals.count).sum::<u64>());
    assert_eq!(refused, 0, "every event counts");
    engine.store().put_cache("fold", b"none").unwrap();
    drop(engine);
    let kept: Arc<dyn LogStore> = Arc::new(RocksStore::open(dir.path(), Some(&swarm)).unwrap());
    let author = key().author();
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(timed(|| {
            black_box(Engine::open(Arc::clone(&kept), key(), swarm, NOW).unwrap());
        }));
        limit.push(timed(|| {
            kept.scan(&author, 0, &mut |index, record| {
                black_box(Event::read(author, index, record).unwrap());
                true
            })
            .unwrap();
        }));
    }
    row("fold of a whole log", count, median(ours), median(limit), 0.4);
}

/// Opening goes on from the snapshot that stopping wrote.
fn open(sizes: &[usize]) {
    for count in sizes {
        let dir = tempfile::tempdir().unwrap();
        let (kept, swarm) = store(dir.path());
        let engine = Engine::open(kept, key(), swarm, NOW).unwrap();
        Author::new(&engine).say(&engine, *count, BATCH);
        engine.snapshot().unwrap();
        drop(engine);
        let times = (0..5).map(|_| {
            let kept = Arc::new(RocksStore::open(dir.path(), Some(&swarm)).unwrap());
            timed(|| {
                black_box(Engine::open(kept, key(), swarm, NOW).unwrap());
            })
        });
        println!("open of {count:>9} events {:>14.1?}", median(times.collect()));
    }
}
