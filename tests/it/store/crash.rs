//! Crashes at every sync, on a disk that keeps what was synced and an accident of the rest.
//!
//! Injected: the crash between any two syncs; unsynced writes that are lost, torn or there; files
//! whose names or removals are lost; bits that flip while the machine is off. Not injected: a disk
//! that says it has synced and has not.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use bzzz::kernel::identity::SecretKey;
use bzzz::kernel::log::{Append, IndexEntry, LogStore, Record, StoreError, Tip};
use bzzz::store::hypercore::HyperStore;
use bzzz::store::hypercore::disk::Disk;
use bzzz::store::rocksdb::RocksStore;
use tempfile::TempDir;

use super::disk::{big_append, big_record, copy, entry, examine};
use crate::log_laws::{SWARM, key};

/// A small generator, so that a failure can be had again from its seed.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[derive(Clone, Debug)]
enum Op {
    Write(u64, Vec<u8>),
    Length(u64),
    Remove,
}

fn place(at: u64) -> usize {
    usize::try_from(at).unwrap()
}

impl Op {
    fn apply(&self, file: &mut Option<Vec<u8>>) {
        match self {
            Self::Write(at, bytes) => {
                let file = file.get_or_insert_default();
                let end = place(*at) + bytes.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[place(*at)..end].copy_from_slice(bytes);
            }
            Self::Length(length) => file.get_or_insert_default().resize(place(*length), 0),
            Self::Remove => *file = None,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct CrashFile {
    durable: Option<Vec<u8>>,
    now: Option<Vec<u8>>,
    since: Vec<Op>,
}

#[derive(Debug, Default)]
struct World {
    files: BTreeMap<String, CrashFile>,
    syncs: u64,
    /// After so many syncs nothing works any more.
    limit: Option<u64>,
}

/// A disk in memory that crashes.
#[derive(Clone, Debug, Default)]
struct CrashDisk(Arc<Mutex<World>>);

impl CrashDisk {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// What is there after the crash: what was synced, and of the rest each part by chance, or
    /// nothing with the seed 0.
    fn after(&self, seed: u64) -> Self {
        let mut rng = Rng(seed);
        let files = self.world().files.clone().into_iter().map(|(path, file)| {
            let mut left = file.durable;
            for op in file.since {
                match (rng.below(3), op) {
                    (0, _) => {}
                    _ if seed == 0 => {}
                    (1, Op::Write(at, bytes)) => {
                        let cut = place(rng.below(bytes.len() as u64 + 1));
                        Op::Write(at, bytes[..cut].to_vec()).apply(&mut left);
                    }
                    (_, op) => op.apply(&mut left),
                }
            }
            (path, CrashFile { durable: left.clone(), now: left, since: Vec::new() })
        });
        let files = files.filter(|(_, file)| file.now.is_some()).collect();
        Self(Arc::new(Mutex::new(World { files, ..World::default() })))
    }

    fn change(&self, path: &str, op: Op) -> io::Result<()> {
        let mut world = self.world();
        world.alive()?;
        let file = world.files.entry(path.to_owned()).or_default();
        op.apply(&mut file.now);
        file.since.push(op);
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let world = self.world();
        let there = world.files.iter().filter(|(_, file)| file.now.is_some());
        there.map(|(path, _)| path.clone()).collect()
    }
}

impl World {
    fn alive(&self) -> io::Result<()> {
        match self.limit {
            Some(limit) if self.syncs > limit => Err(io::Error::other("the machine has crashed")),
            _ => Ok(()),
        }
    }
}

impl Disk for CrashDisk {
    fn len(&self, path: &str) -> io::Result<Option<u64>> {
        let world = self.world();
        Ok(world.files.get(path).and_then(|file| file.now.as_ref()).map(|now| now.len() as u64))
    }

    fn read(&self, path: &str, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let world = self.world();
        let now = world.files.get(path).and_then(|file| file.now.as_ref());
        let now = now.ok_or(io::ErrorKind::NotFound)?;
        let there = now.get(place(at)..place(at) + bytes.len());
        bytes.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, path: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(path, Op::Write(at, bytes.to_vec()))
    }

    fn set_len(&self, path: &str, length: u64) -> io::Result<()> {
        self.change(path, Op::Length(length))
    }

    fn sync(&self, path: &str) -> io::Result<()> {
        let mut world = self.world();
        world.syncs += 1;
        world.alive()?;
        let file = world.files.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        file.durable = file.now.clone();
        file.since.clear();
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let below = format!("{path}/");
        let names = self.names();
        let gone = names.into_iter().filter(|name| name == path || name.starts_with(&below));
        gone.into_iter().try_for_each(|name| self.change(&name, Op::Remove))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let start = if path.is_empty() { String::new() } else { format!("{path}/") };
        let names = self.names();
        let inside = names.iter().filter_map(|name| name.strip_prefix(&start));
        let mut parts: Vec<String> =
            inside.map(|rest| rest.split('/').next().unwrap().to_owned()).collect();
        parts.dedup();
        Ok(parts)
    }
}

/// A record of the longest body.
fn huge_append(tip: &Tip, key: &SecretKey, count: u64) -> Append {
    let indices = tip.length()..tip.length() + count;
    let records = indices.map(|i| Record::new(&i.to_le_bytes(), &vec![7; 64 * 1024]).unwrap());
    tip.append(key, SWARM, tip.length(), records.collect())
}

fn open(disk: &CrashDisk) -> Result<HyperStore, StoreError> {
    HyperStore::open_on(Arc::new(disk.clone()), Some(&SWARM), "the disk")
}

/// What was acknowledged before the crash, and what was under way.
#[derive(Debug, Default)]
struct Told {
    /// The lengths of the log of small and the log of huge records.
    acknowledged: (u64, u64),
    under_way: (u64, u64),
}

/// Works until the disk crashes or everything is done.
fn work(disk: &CrashDisk, told: &mut Told) -> Result<(), StoreError> {
    let mut tips = (Tip::empty(key(1).author()), Tip::empty(key(2).author()));
    // Opened anew each time, which begins a new journal; the huge records do so while it is open.
    for sizes in [&[(1, 0), (3, 0), (251, 0), (1, 1)][..], &[(256, 0), (300, 0)], &HUGE, &[(5, 2)]]
    {
        let store = open(disk)?;
        for (small, huge) in sizes {
            let (append, entries) = big_append(&tips.0, &key(1), *small);
            let mut appends = vec![append];
            if *huge > 0 {
                appends.push(huge_append(&tips.1, &key(2), *huge));
            }
            let behind = |tip: &Tip, append: Option<&Append>| {
                append.map_or_else(|| tip.clone(), |append| append.tip().clone())
            };
            let next = (behind(&tips.0, appends.first()), behind(&tips.1, appends.get(1)));
            told.under_way = (next.0.length(), next.1.length());
            let done = store.commit(&appends, &entries);
            if let Err(error) = done {
                poisoned(&store, &appends, &entries);
                return Err(error);
            }
            tips = next;
            told.acknowledged = told.under_way;
            if let Err(error) = store.put_cache("state", &told.acknowledged.0.to_le_bytes()) {
                // It was acknowledged; what came after it failed.
                poisoned(&store, &appends, &entries);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Enough for a journal to grow long.
const HUGE: [(u64, u64); 6] = [(1, 55), (1, 55), (1, 55), (1, 55), (1, 55), (1, 55)];

/// After a failed sync nothing is written any more.
fn poisoned(store: &HyperStore, appends: &[Append], entries: &[IndexEntry]) {
    assert_eq!(store.commit(appends, entries), Err(StoreError::Poisoned));
    assert_eq!(store.put_cache("x", b"y"), Err(StoreError::Poisoned));
}

fn huge_length(store: &dyn LogStore) -> u64 {
    let tip = Tip::open(store, key(2).author()).unwrap();
    let mut seen = 0;
    let mut visit = |_, record: bzzz::kernel::log::RecordRef<'_>| {
        record.check_body().unwrap();
        seen += 1;
        true
    };
    store.scan(&key(2).author(), 0, &mut visit).unwrap();
    assert_eq!(seen, tip.length());
    seen
}

#[test]
fn after_a_crash_at_any_sync_all_that_was_acknowledged_is_there() {
    let whole = CrashDisk::default();
    work(&whole, &mut Told::default()).unwrap();
    let syncs = whole.world().syncs;
    assert!(syncs > 60, "{syncs} syncs");
    let (mut torn, mut kept, mut lost) = (0, 0, 0);
    for limit in 0..syncs {
        let disk = CrashDisk::default();
        disk.world().limit = Some(limit);
        let mut told = Told::default();
        work(&disk, &mut told).unwrap_err();
        for seed in 0..6 {
            let what = format!("after {limit} of {syncs} syncs, seed {seed}");
            let left = disk.after(seed);
            let store = open(&left).unwrap_or_else(|error| panic!("{what}: {error}"));
            let small = examine(&store, key(1).author()).unwrap();
            let lengths = (small, huge_length(&store));
            let all = lengths == told.acknowledged;
            assert!(all || lengths == told.under_way, "{what}: {lengths:?} of {told:?}");
            if store.torn() > 0 {
                assert!(all, "{what}: what was cut off was never acknowledged");
                torn += 1;
            }
            if let Some(cache) = store.cache("state").unwrap() {
                let length = u64::from_le_bytes(cache.try_into().unwrap());
                assert!(length <= small, "{what}: a cache of {length} records, of {small}");
            }
            (kept, lost) = (kept + u64::from(!all), lost + u64::from(all));
            // It goes on from there.
            let tip = Tip::open(&store, key(1).author()).unwrap();
            let (append, entries) = big_append(&tip, &key(1), 2);
            store.commit(&[append], &entries).unwrap();
            drop(store);
            let store = open(&left).unwrap();
            assert_eq!(examine(&store, key(1).author()), Ok(small + 2), "{what}");
        }
    }
    // Each outcome was seen, so that the disk does what it is for.
    assert!(torn > 10 && kept > 10 && lost > 100, "{torn} torn, {kept} kept, {lost} lost");
}

#[test]
fn a_crash_while_recovering_from_a_crash_loses_nothing() {
    let disk = CrashDisk::default();
    disk.world().limit = Some(30);
    let mut told = Told::default();
    work(&disk, &mut told).unwrap_err();
    for seed in 1..20 {
        let mut left = disk.after(seed);
        for limit in 0..12 {
            left.world().limit = Some(limit);
            if let Err(error) = open(&left) {
                assert!(error.to_string().contains("crashed"), "seed {seed}: {error}");
            }
            left = left.after(seed * 100 + limit);
        }
        let store = open(&left).unwrap();
        let lengths = (examine(&store, key(1).author()).unwrap(), huge_length(&store));
        let right = [told.acknowledged, told.under_way];
        assert!(right.contains(&lengths), "seed {seed}: {lengths:?} of {told:?}");
    }
}

#[test]
fn flipped_bits_are_named_or_harmless() {
    let disk = CrashDisk::default();
    let mut tip = Tip::empty(key(1).author());
    for sizes in [&[1, 255, 44][..], &[30, 7]] {
        let store = open(&disk).unwrap();
        for size in sizes {
            let (append, entries) = big_append(&tip, &key(1), *size);
            store.commit(std::slice::from_ref(&append), &entries).unwrap();
            tip = append.tip().clone();
        }
    }
    let image = disk.after(1_000_000);
    // Everything that was written is on the disk.
    *image.world() = World {
        files: disk.world().files.iter().map(|(p, f)| (p.clone(), whole(f))).collect(),
        ..World::default()
    };
    assert_eq!(examine(&open(&image.after(0)).unwrap(), key(1).author()), Ok(tip.length()));
    let (mut named, mut refused) = (0, 0);
    for name in image.names() {
        let size = image.len(&name).unwrap().unwrap();
        let mut rng = Rng(size);
        for round in 0..40 {
            let damaged = image.after(0);
            let (at, bit) = (rng.below(size), rng.below(8));
            let what = format!("{name}: bit {bit} of byte {at}");
            {
                let mut world = damaged.world();
                let file = world.files.get_mut(&name).unwrap();
                let bytes = file.now.as_mut().unwrap();
                match round % 4 {
                    // A file that ends too early; a group is no log, and its end is not known.
                    3 if !name.starts_with("groups/") => bytes.truncate(place(at)),
                    _ => bytes[place(at)] ^= 1 << bit,
                }
                file.durable.clone_from(&file.now);
            }
            let opened = open(&damaged);
            let is_refused = opened.is_err();
            match opened.and_then(|store| examine(&store, key(1).author())) {
                Ok(length) => assert_eq!(length, tip.length(), "{what}"),
                Err(StoreError::Corrupt { author, index, .. }) => {
                    assert_eq!(author, key(1).author(), "{what}");
                    assert!(index <= tip.length(), "{what}: {index}");
                    named += 1;
                }
                Err(error) => assert!(error.to_string().len() > 40, "{what}: {error}"),
            }
            refused += u64::from(is_refused);
        }
    }
    assert!(named > 100 && refused > 20, "{named} named, {refused} refused at opening");
}

fn whole(file: &CrashFile) -> CrashFile {
    CrashFile { durable: file.now.clone(), now: file.now.clone(), since: Vec::new() }
}

#[test]
fn a_journal_that_is_cut_anywhere_loses_only_its_last_commit() {
    let disk = CrashDisk::default();
    let store = open(&disk).unwrap();
    let mut tip = Tip::empty(key(1).author());
    let mut ends = Vec::new();
    let journal = |disk: &CrashDisk| disk.list("").unwrap().into_iter().find(|n| n.contains('-'));
    let begun = disk.len(&journal(&disk).unwrap()).unwrap().unwrap();
    for _ in 0..3 {
        let (append, entries) = big_append(&tip, &key(1), 1);
        store.commit(std::slice::from_ref(&append), &entries).unwrap();
        tip = append.tip().clone();
        ends.push(disk.len(&journal(&disk).unwrap()).unwrap().unwrap());
    }
    drop(store);
    let name = journal(&disk).unwrap();
    for cut in (0..ends[2]).step_by(7).chain([ends[0], ends[1], ends[2] - 1]) {
        // Power failed: nothing but the journal was synced, and of that a part.
        let left = disk.after(0);
        left.set_len(&name, cut).unwrap();
        let found = open(&left).and_then(|store| {
            let author = key(1).author();
            Ok((examine(&store, author)?, store.torn()))
        });
        let whole = ends.iter().filter(|end| **end <= cut).count() as u64;
        match found {
            Ok((length, torn)) => {
                assert_eq!(length, whole, "cut at {cut}");
                assert_eq!(torn == 0, cut == begun || ends.contains(&cut), "cut at {cut}");
            }
            // Not even its first frame is whole.
            Err(error) => {
                assert!(cut < begun && error.to_string().contains(&name), "cut at {cut}: {error}");
            }
        }
        let acknowledged = disk.after(0);
        let bytes = {
            let world = disk.world();
            world.files["ACKNOWLEDGED"].now.clone().unwrap()
        };
        acknowledged.write("ACKNOWLEDGED", 0, &bytes).unwrap();
        acknowledged.set_len(&name, cut).unwrap();
        // What was acknowledged is missed.
        let error = open(&acknowledged).unwrap_err().to_string();
        assert!(error.contains("journal"), "cut at {cut}: {error}");
    }
    assert_eq!((big_record(0).len(), entry(0).group), (2047, [3; 32]));
}

/// The steps of a store that also changes what it wrote: how long the log is behind each, and
/// whether bodies are erased.
const STEPS: [(u64, bool); 7] =
    [(0, false), (200, false), (300, false), (300, true), (350, true), (300, true), (310, true)];

/// The records whose bodies are erased.
const ERASED: [u64; 2] = [3, 250];

/// Takes the steps, and tells how many are done.
fn rewrite(disk: &CrashDisk, done: &mut usize) -> Result<(), StoreError> {
    let author = key(1).author();
    let store = open(disk)?;
    let append = |count: u64| {
        let (append, entries) = big_append(&Tip::open(&store, author)?, &key(1), count);
        store.commit(&[append], &entries)
    };
    let dropped: Vec<IndexEntry> = (300..350).map(entry).collect();
    let steps: [&dyn Fn() -> Result<(), StoreError>; 6] = [
        &|| append(200),
        &|| append(100),
        &|| store.erase(&ERASED.map(|index| (author, index))),
        &|| append(50),
        &|| store.truncate(&author, 300, &dropped),
        &|| append(10),
    ];
    for step in steps {
        step()?;
        *done += 1;
    }
    Ok(())
}

/// Which of the records to erase have bodies; every other record is the one that was written.
fn bodies(store: &HyperStore) -> usize {
    let mut found = 0;
    let mut visit = |index, record: bzzz::kernel::log::RecordRef<'_>| {
        if record.body().is_some() || !ERASED.contains(&index) {
            assert_eq!(record, big_record(index).as_ref(), "{index}");
            found += usize::from(ERASED.contains(&index));
        }
        true
    };
    store.scan(&key(1).author(), 0, &mut visit).unwrap();
    found
}

fn anywhere(disk: &CrashDisk, bytes: &[u8]) -> bool {
    let world = disk.world();
    let mut files = world.files.values().filter_map(|file| file.now.as_ref());
    files.any(|file| file.windows(bytes.len()).any(|found| found == bytes))
}

#[test]
fn a_crash_while_bodies_are_erased_or_an_end_is_dropped_leaves_one_or_the_other() {
    let whole = CrashDisk::default();
    let mut done = 0;
    rewrite(&whole, &mut done).unwrap();
    let syncs = whole.world().syncs;
    assert_eq!(done, 6);
    let mut seen = [0; 7];
    for limit in 2..syncs {
        let disk = CrashDisk::default();
        disk.world().limit = Some(limit);
        let mut done = 0;
        rewrite(&disk, &mut done).unwrap_err();
        for seed in 0..4 {
            let what = format!("after {limit} of {syncs} syncs, seed {seed}, step {done}");
            let left = disk.after(seed);
            let store = open(&left).unwrap_or_else(|error| panic!("{what}: {error}"));
            let tip = Tip::open(&store, key(1).author()).unwrap();
            let places = store.group(&[3; 32]).unwrap();
            assert_eq!(places.len() as u64, tip.length(), "{what}");
            // Only records that are there can be erased.
            let there = ERASED.iter().filter(|index| **index < tip.length()).count();
            let found = (tip.length(), there > 0 && bodies(&store) == 0);
            let now = (done..=done + 1).find(|step| STEPS[*step] == found);
            let now = now.unwrap_or_else(|| panic!("{what}: {found:?}"));
            seen[now] += 1;
            if STEPS[now].1 {
                let secret = &big_record(250)[200..232];
                assert!(!anywhere(&left, secret), "{what}: the body is in a file");
            }
        }
    }
    // The last step is done when no sync is left to crash at.
    assert!(seen[..6].iter().all(|times| *times > 0), "{seen:?}");
}

// RocksDB's own input and output cannot be stood in for from here, so that its crashes are made of
// its files: the write-ahead log as it is after each sync, ended or changed at any byte.
#[test]
fn a_write_ahead_log_of_rocksdb_that_is_cut_anywhere_loses_only_whole_commits() {
    let (live, image) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let log_of = |path: &Path| {
        let files = fs::read_dir(path).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|end| end == "log")).max().unwrap()
    };
    let store = RocksStore::open(live.path(), Some(&SWARM)).unwrap();
    let mut tip = Tip::empty(key(1).author());
    let mut ends = Vec::new();
    for _ in 0..4 {
        let (append, entries) = big_append(&tip, &key(1), 1);
        store.commit(std::slice::from_ref(&append), &entries).unwrap();
        tip = append.tip().clone();
        ends.push(fs::metadata(log_of(live.path())).unwrap().len());
    }
    copy(live.path(), image.path());
    drop(store);
    let name = log_of(image.path()).file_name().unwrap().to_owned();
    let (mut opened, mut refused) = (0, 0);
    for cut in (0..ends[3]).step_by(401).chain(ends.iter().copied()) {
        for flipped in [false, true] {
            let damaged = TempDir::new().unwrap();
            copy(image.path(), damaged.path());
            let mut bytes = fs::read(damaged.path().join(&name)).unwrap();
            match flipped {
                true if cut < ends[3] => bytes[place(cut)] ^= 0x20,
                _ => bytes.truncate(place(cut)),
            }
            fs::write(damaged.path().join(&name), bytes).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count() as u64;
            let what = format!("cut at {cut} (flipped: {flipped})");
            // With what it had acknowledged it is refused, unless nothing is missing.
            let told = RocksStore::open(damaged.path(), None);
            assert_eq!(told.is_ok(), whole == 4, "{what}");
            drop(told);
            // Without, as after a failure of the power, the commits before the place are there.
            fs::remove_file(damaged.path().join("ACKNOWLEDGED")).unwrap();
            match RocksStore::open(damaged.path(), None) {
                Ok(store) => {
                    assert_eq!(examine(&store, key(1).author()), Ok(whole), "{what}");
                    opened += 1;
                }
                Err(error) => {
                    assert!(
                        whole == 0 && error.to_string().contains("no store"),
                        "{what}: {error}"
                    );
                    refused += 1;
                }
            }
        }
    }
    assert!(opened > 20, "{opened} opened, {refused} refused");
}
