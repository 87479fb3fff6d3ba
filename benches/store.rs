//! How fast the log and its store are, as a share of what this machine can do at all.
//!
//! Each figure is measured against a minimal loop that does only what must be done (the hashes, the
//! tree, the signature, RocksDB). Both run in turn, several rounds, so that both meet the same
//! noise; the medians are printed. `cargo bench --bench store [-- --quick]`.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a benchmark that cannot go on ends"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use bzzz::kernel::identity::{AuthorId, Context, SecretKey, SwarmId};
use bzzz::kernel::log::{Hash, LogStore, Peaks, Range, Record, RecordRef, Tip};
use bzzz::store::hypercore::HyperStore;
use bzzz::store::rocksdb::RocksStore;
use tempfile::TempDir;

const SWARM: SwarmId = SwarmId([1; 32]);
const BATCH: usize = 1000;

/// How much is done in a round, and how many rounds.
struct Plan {
    rounds: usize,
    events: u64,
    singles: u64,
    small: u64,
    large: u64,
}

const FULL: Plan =
    Plan { rounds: 7, events: 100_000, singles: 1500, small: 10_000, large: 1_000_000 };

const QUICK: Plan = Plan { rounds: 3, events: 20_000, singles: 200, small: 10_000, large: 100_000 };

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let plan = if quick { QUICK } else { FULL };
    println!("{:<34}{:>14}{:>14}{:>8}{:>8}", "", "events/s", "limit", "share", "target");
    for kind in [Kind::Rocksdb, Kind::Hypercore] {
        append(kind, &plan);
        single(kind, &plan);
        verify(kind, &plan);
    }
    for kind in [Kind::Rocksdb, Kind::Hypercore] {
        open(kind, &plan);
    }
}

/// A kind of store. Both are held against the same limit, a minimal loop over RocksDB.
#[derive(Clone, Copy)]
enum Kind {
    Rocksdb,
    Hypercore,
}

impl Kind {
    fn name(self, what: &str) -> String {
        match self {
            Self::Rocksdb => format!("rocksdb: {what}"),
            Self::Hypercore => format!("hypercore: {what}"),
        }
    }

    fn open(self, path: &Path) -> Box<dyn LogStore> {
        match self {
            Self::Rocksdb => Box::new(RocksStore::open(path, Some(&SWARM)).unwrap()),
            Self::Hypercore => Box::new(HyperStore::open(path, Some(&SWARM)).unwrap()),
        }
    }
}

/// Runs both in turn and prints the rates of both and their ratio.
fn race(
    name: &str,
    target: f64,
    plan: &Plan,
    events: u64,
    mut ours: impl FnMut() -> Duration,
    mut limit: impl FnMut() -> Duration,
) {
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        times.1.push(limit());
        times.0.push(ours());
    }
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let rate = |times: Vec<Duration>| events as f64 / median(times).as_secs_f64();
    let (ours, limit) = (rate(times.0), rate(times.1));
    println!("{name:<34}{ours:>14.0}{limit:>14.0}{:>8.2}{target:>8.2}", ours / limit);
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

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

/// The own part of a header and a body, of the sizes that events usually have. Half of a body is
/// noise, half compresses, as text with hashes in it does.
fn event(index: u64) -> ([u8; 64], [u8; 200]) {
    let (mut head, mut body) = ([0; 64], [b' '; 200]);
    head[..8].copy_from_slice(&index.to_le_bytes());
    blake3::Hasher::new().update(&head).finalize_xof().fill(&mut body[..100]);
    (head, body)
}

fn events(count: u64) -> Vec<([u8; 64], [u8; 200])> {
    (0..count).map(event).collect()
}

/// The minimal loop: what it takes to keep a log that is hashed, signed and durable.
struct Minimal {
    db: rocksdb::DB,
    key: SecretKey,
    peaks: Peaks,
}

impl Minimal {
    fn open(path: &Path) -> Self {
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        // Tuned for this load, so that the limit is not one of RocksDB's defaults.
        options.set_compression_type(rocksdb::DBCompressionType::Lz4);
        options.set_recycle_log_file_num(2);
        let mut table = rocksdb::BlockBasedOptions::default();
        table.set_block_size(16 << 10);
        table.set_block_cache(&rocksdb::Cache::new_lru_cache(32 << 20));
        options.set_block_based_table_factory(&table);
        let db = rocksdb::DB::open(&options, path).unwrap();
        Self { db, key: key(), peaks: Peaks::default() }
    }

    fn append(&mut self, events: &[([u8; 64], [u8; 200])]) {
        let author = self.key.author();
        let mut batch = rocksdb::WriteBatch::default();
        let mut value = Vec::new();
        for (head, body) in events {
            value.clear();
            value.extend_from_slice(head);
            value.extend_from_slice(&Hash::body(body).0);
            let leaf = Hash::leaf(&author, &value);
            value.extend_from_slice(body);
            batch.put(self.peaks.length().to_be_bytes(), &value);
            self.peaks.push(leaf, |_, _| ());
        }
        let root = self.peaks.root();
        let signature = self.key.sign(Context::Head, &root.0);
        batch.put(b"head", [&root.0[..], &signature.0].concat());
        let mut sync = rocksdb::WriteOptions::default();
        sync.set_sync(true);
        self.db.write_opt(batch, &sync).unwrap();
    }

    fn verify(&self) -> u64 {
        let author = self.key.author();
        let mut peaks = Peaks::default();
        let mut at = self.db.raw_iterator();
        at.seek_to_first();
        while let Some((key, value)) = at.item() {
            if key == b"head" {
                at.next();
                continue;
            }
            let (header, body) = value.split_at(96);
            assert_eq!(Hash::body(body).0, header[64..]);
            peaks.push(Hash::leaf(&author, header), |_, _| ());
            at.next();
        }
        let head = self.db.get(b"head").unwrap().unwrap();
        assert_eq!(head[..32], peaks.root().0);
        let signature = bzzz::kernel::identity::Signature(head[32..].try_into().unwrap());
        author.verify(Context::Head, &head[..32], &signature).unwrap();
        peaks.length()
    }
}

fn ours(kind: Kind, path: &Path) -> (Box<dyn LogStore>, Tip) {
    let store = kind.open(path);
    let tip = Tip::open(&*store, key().author()).unwrap();
    (store, tip)
}

fn append_ours(store: &dyn LogStore, tip: &mut Tip, events: &[([u8; 64], [u8; 200])]) {
    let record = |(head, body): &([u8; 64], [u8; 200])| Record::new(head, body).unwrap();
    let append = tip.append(&key(), SWARM, 1, events.iter().map(record).collect());
    store.commit(std::slice::from_ref(&append), &[]).unwrap();
    *tip = append.tip().clone();
}

fn append(kind: Kind, plan: &Plan) {
    let events = events(plan.events);
    let ours = || {
        let directory = TempDir::new().unwrap();
        let (store, mut tip) = ours(kind, directory.path());
        timed(|| {
            for batch in events.chunks(BATCH) {
                append_ours(&*store, &mut tip, batch);
            }
        })
    };
    let limit = || {
        let directory = TempDir::new().unwrap();
        let mut minimal = Minimal::open(directory.path());
        timed(|| {
            for batch in events.chunks(BATCH) {
                minimal.append(batch);
            }
        })
    };
    race(&kind.name("append in batches of 1,000"), 0.5, plan, plan.events, ours, limit);
}

fn single(kind: Kind, plan: &Plan) {
    let events = events(plan.singles);
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (store, mut tip) = ours(kind, one.path());
    let mut minimal = Minimal::open(two.path());
    let ours = || {
        timed(|| {
            for event in &events {
                append_ours(&*store, &mut tip, std::slice::from_ref(event));
            }
        })
    };
    let limit = || {
        timed(|| {
            for event in &events {
                minimal.append(std::slice::from_ref(event));
            }
        })
    };
    race(&kind.name("append one by one"), 0.6, plan, plan.singles, ours, limit);
}

fn verify(kind: Kind, plan: &Plan) {
    let events = events(plan.events);
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (store, mut tip) = ours(kind, one.path());
    let mut minimal = Minimal::open(two.path());
    for batch in events.chunks(BATCH) {
        append_ours(&*store, &mut tip, batch);
        minimal.append(batch);
    }
    drop((store, minimal.db));
    let (store, tip) = ours(kind, one.path());
    minimal = Minimal::open(two.path());
    let author = key().author();
    let ours = || {
        timed(|| {
            let mut verified = Tip::empty(author);
            while let Some(range) = next(&*store, author, &verified) {
                verified = verified.verify(&SWARM, range).unwrap().tip().clone();
            }
            assert_eq!(verified, tip);
        })
    };
    let limit = || timed(|| assert_eq!(minimal.verify(), plan.events));
    race(&kind.name("verify, from the store"), 0.5, plan, plan.events, ours, limit);
    let ours = || {
        timed(|| {
            let mut count = 0;
            let mut visit = |_, record: RecordRef<'_>| {
                count += 1;
                black_box(record.header());
                true
            };
            store.scan(&author, 0, &mut visit).unwrap();
            assert_eq!(count, plan.events);
        })
    };
    let limit = || {
        timed(|| {
            let mut at = minimal.db.raw_iterator();
            at.seek_to_first();
            while let Some(item) = at.item() {
                black_box(item);
                at.next();
            }
        })
    };
    race(&kind.name("scan"), 0.5, plan, plan.events, ours, limit);
}

fn next(store: &dyn LogStore, author: AuthorId, tip: &Tip) -> Option<Range> {
    Range::read(store, author, tip.length(), 1 << 20).unwrap()
}

fn open(kind: Kind, plan: &Plan) {
    println!("\n{:<34}{:>14}{:>14}", kind.name("open"), "closed", "killed");
    let mut firsts = Vec::new();
    for count in [plan.small, plan.large] {
        let (live, image) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let (store, mut tip) = ours(kind, live.path());
        for from in (0..count).step_by(BATCH) {
            let batch: Vec<_> = (from..).take(BATCH).map(event).collect();
            append_ours(&*store, &mut tip, &batch);
        }
        // A copy while nothing is written is what a killed process leaves.
        copy(live.path(), image.path());
        drop(store);
        let closed = (0..plan.rounds).map(|_| timed(|| assert_eq!(ours(kind, live.path()).1, tip)));
        let closed = median(closed.collect());
        let killed = (0..plan.rounds).map(|_| {
            let again = TempDir::new().unwrap();
            copy(image.path(), again.path());
            timed(|| assert_eq!(ours(kind, again.path()).1, tip))
        });
        let killed = median(killed.collect());
        println!("{count:>26} records{closed:>14.1?}{killed:>14.1?}");
        firsts.push(closed);
    }
    let ratio = firsts[1].as_secs_f64() / firsts[0].as_secs_f64();
    println!("{:<34}{ratio:>14.2}", "large by small");
}

fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let copied = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            std::fs::create_dir(&copied).unwrap();
            copy(&file.path(), &copied);
        } else {
            std::fs::copy(file.path(), copied).unwrap();
        }
    }
}
