//! One suite of conformance for all stores, and what only a store on a disk can suffer: killed
//! processes, damaged files, a full disk, readers beside a writer, and directories of others.

use std::sync::atomic::{AtomicUsize, Ordering};

use bzzz::kernel::identity::AuthorId;
use bzzz::kernel::log::{
    Append, Hash, IndexEntry, LogInfo, LogStore, NodeId, Range, ReadLimit, RecordRef, SignedHead,
    StoreError, Tile, Tip, TreeReader, prove_consistency, prove_inclusion,
};
use bzzz::store::hypercore::HyperStore;
use bzzz::store::memory::MemoryStore;
use bzzz::store::rocksdb::RocksStore;
use tempfile::TempDir;

use crate::log_laws::{SWARM, append, contents, grow, key, leaves, naive_root, record};

mod crash;
mod disk;
pub(crate) mod erase;
mod hypercore;

/// A store under test that can be closed and opened again.
trait Backend {
    fn fresh() -> Self;
    fn store(&self) -> &dyn LogStore;
    fn reopen(&mut self);
}

struct Memory(MemoryStore);

impl Backend for Memory {
    fn fresh() -> Self {
        Self(MemoryStore::new())
    }

    fn store(&self) -> &dyn LogStore {
        &self.0
    }

    /// What is in memory has no other life.
    fn reopen(&mut self) {}
}

struct Rocks {
    directory: TempDir,
    store: Option<RocksStore>,
}

impl Backend for Rocks {
    fn fresh() -> Self {
        let directory = TempDir::new().unwrap();
        let store = Some(RocksStore::open(directory.path(), Some(&SWARM)).unwrap());
        Self { directory, store }
    }

    fn store(&self) -> &dyn LogStore {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        drop(self.store.take());
        self.store = Some(RocksStore::open(self.directory.path(), None).unwrap());
    }
}

struct Hyper {
    directory: TempDir,
    store: Option<HyperStore>,
}

impl Backend for Hyper {
    fn fresh() -> Self {
        let directory = TempDir::new().unwrap();
        let store = Some(HyperStore::open(directory.path(), Some(&SWARM)).unwrap());
        Self { directory, store }
    }

    fn store(&self) -> &dyn LogStore {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        drop(self.store.take());
        self.store = Some(HyperStore::open(self.directory.path(), None).unwrap());
    }
}

/// Makes one test of each law for each store.
macro_rules! conformance {
    ($($law:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $law() { super::$law::<super::Memory>(); })*
        }
        mod rocksdb {
            $(#[test] fn $law() { super::$law::<super::Rocks>(); })*
        }
        mod hypercore_files {
            $(#[test] fn $law() { super::$law::<super::Hyper>(); })*
        }
    };
}

conformance! {
    what_was_appended_is_there_after_reopening,
    a_log_travels_in_ranges,
    groups_are_read_in_order,
    a_commit_is_all_or_nothing,
    one_commit_may_append_to_one_log_several_times,
    an_append_that_does_not_follow_is_refused,
    proofs_are_those_of_the_model,
    opening_reads_at_most_255_records,
    caches_are_kept_and_replaced,
    an_erased_body_is_gone_and_all_else_stays,
    reading_is_bounded_as_asked,
    what_is_not_there_is_not_an_error,
    a_visitor_may_use_the_store,
    many_threads_may_use_one_store,
    the_end_of_a_log_can_be_dropped,
}

/// Sizes of appends that meet the borders of tiles from all sides.
const SIZES: [u64; 9] = [1, 3, 251, 1, 256, 255, 1, 700, 12];

fn what_was_appended_is_there_after_reopening<B: Backend>() {
    let mut backend = B::fresh();
    let (mine, other) = (key(1), key(2));
    let mut total = 0;
    for size in SIZES {
        let tip = grow(backend.store(), &mine, &[size]);
        let small = grow(backend.store(), &other, &[2]);
        total += size;
        assert_eq!(tip.length(), total);
        backend.reopen();
        let store = backend.store();
        assert_eq!(Tip::open(store, mine.author()).unwrap(), tip);
        assert_eq!(Tip::open(store, other.author()).unwrap(), small);
        let head = store.newest_head(&mine.author()).unwrap().unwrap();
        assert_eq!((head.length, head.root), (tip.length(), tip.root()));
    }
    let store = backend.store();
    let mut logs = vec![(mine.author(), total), (other.author(), 18)];
    logs.sort();
    let info = |(author, length)| LogInfo { author, length };
    assert_eq!(store.logs().unwrap(), logs.into_iter().map(info).collect::<Vec<_>>());
    let mut seen = 0;
    store
        .scan(&mine.author(), 0, &mut |index, found| {
            assert_eq!((index, found), (seen, record(index).as_ref()));
            seen += 1;
            true
        })
        .unwrap();
    assert_eq!(seen, total);
    let heads = store.heads(&mine.author(), 0, 100).unwrap();
    let lengths: Vec<u64> = heads.iter().map(|head| head.length).collect();
    assert_eq!(lengths, [1, 4, 255, 256, 512, 767, 768, 1468, 1480]);
    let middle = store.heads(&mine.author(), 255, 2).unwrap();
    assert_eq!(middle, heads[3..5]);
    for head in heads {
        assert!(head.verify(&SWARM).is_ok());
    }
}

/// What is dropped is gone, what stays is as if the rest had never been, and the log goes on.
fn the_end_of_a_log_can_be_dropped<B: Backend>() {
    let (mine, other) = (key(1), key(2));
    let author = mine.author();
    let entry = |group: u8, place: u8| IndexEntry { group: [group; 32], place: [place; 48] };
    for (kept, length) in SIZES
        .iter()
        .scan(0, |sum, size| {
            *sum += size;
            Some(*sum)
        })
        .enumerate()
        .map(|(at, length)| (at + 1, length))
        .chain([(0, 0)])
    {
        let mut backend = B::fresh();
        let store = backend.store();
        grow(store, &other, &[1, 300]);
        grow(store, &mine, &SIZES);
        let one = append(&Tip::open(store, other.author()).unwrap(), &other, 1);
        store.commit(&[one], &[entry(1, 1), entry(1, 2), entry(2, 1)]).unwrap();
        store.put_cache("state", b"of all").unwrap();
        let untouched = contents(store, &other.author());
        if length > 0 {
            let gap = StoreError::Gap { author, length: 1480, from: 2 };
            assert_eq!(store.truncate(&author, 2, &[]), Err(gap), "no head has this length");
        }
        store.truncate(&author, 1480, &[entry(1, 1)]).unwrap();
        assert_eq!(store.group(&[1; 32]).unwrap().len(), 2, "it was not longer");
        assert_eq!(store.cache("state").unwrap().as_deref(), Some(&b"of all"[..]));

        store.truncate(&author, length, &[entry(1, 1), entry(2, 1)]).unwrap();
        let expected = MemoryStore::new();
        let tip = grow(&expected, &mine, &SIZES[..kept]);
        for _ in 0..2 {
            let store = backend.store();
            let whole = if length == 1480 { 2 } else { 1 };
            assert_eq!(store.group(&[1; 32]).unwrap().len(), whole, "length {length}");
            assert_eq!(store.cache("state").unwrap().is_some(), length == 1480);
            assert_eq!(contents(store, &author), contents(&expected, &author), "{length}");
            assert_eq!(Tip::open(store, author).unwrap(), tip);
            assert_eq!(store.logs().unwrap().len(), if length == 0 { 1 } else { 2 });
            assert_eq!(contents(store, &other.author()), untouched);
            for (height, offset) in [(8, length / 256), (9, length / 512), (10, length / 1024)] {
                let node = NodeId { height, offset };
                assert_eq!(store.node(&author, node).unwrap(), None, "{node:?} of {length}");
            }
            backend.reopen();
        }
        // It goes on, by other appends than those that were dropped.
        let store = backend.store();
        grow(store, &key(3), &[2]);
        let (tip, model) = (grow(store, &mine, &[700, 40]), grow(&expected, &mine, &[700, 40]));
        assert_eq!(tip, model);
        assert_eq!(contents(store, &author), contents(&expected, &author));
        backend.reopen();
        assert_eq!(Tip::open(backend.store(), author).unwrap(), tip);
        assert_eq!(Tip::open(backend.store(), key(3).author()).unwrap().length(), 2);
    }
}

fn a_log_travels_in_ranges<B: Backend>() {
    let (from, mut to) = (B::fresh(), B::fresh());
    let author = key(1).author();
    let tip = grow(from.store(), &key(1), &SIZES);
    let mut copy = Tip::empty(author);
    while let Some(range) = Range::read(from.store(), author, copy.length(), 20_000).unwrap() {
        let append = copy.verify(&SWARM, range).unwrap();
        to.store().commit(std::slice::from_ref(&append), &[]).unwrap();
        to.reopen();
        copy = Tip::open(to.store(), author).unwrap();
        assert_eq!(&copy, append.tip());
    }
    assert_eq!(copy, tip);
    assert_eq!(contents(from.store(), &author), contents(to.store(), &author));
    let ends = |at| Range::read(from.store(), author, at, 20_000).unwrap();
    assert_eq!(ends(1480), None);
    assert_eq!(ends(5000), None);
    let inside = ends(2).unwrap();
    assert_eq!((inside.from, inside.heads[0].length), (2, 4));
}

fn groups_are_read_in_order<B: Backend>() {
    let mut backend = B::fresh();
    let entry = |group: [u8; 32], place: u8| IndexEntry { group, place: [place; 48] };
    let (low, high) = ([7; 32], [0xff; 32]);
    let mut next = low;
    next[31] = 8;
    let store = backend.store();
    store.commit(&[], &[entry(low, 9), entry(high, 0xff), entry(low, 1)]).unwrap();
    store.commit(&[], &[entry(next, 5), entry(low, 4), entry(low, 1), entry(high, 0)]).unwrap();
    backend.reopen();
    let places = |group| -> Vec<u8> {
        let places = backend.store().group(&group).unwrap();
        places.iter().map(|place| place[47]).collect()
    };
    assert_eq!(places(low), [1, 4, 9]);
    assert_eq!(places(next), [5]);
    assert_eq!(places(high), [0, 0xff]);
    assert!(places([6; 32]).is_empty());
}

fn a_commit_is_all_or_nothing<B: Backend>() {
    let mut backend = B::fresh();
    let tip = grow(backend.store(), &key(1), &[5]);
    let good = append(&Tip::empty(key(2).author()), &key(2), 3);
    let follows = append(&tip, &key(1), 2);
    let entry = IndexEntry { group: [1; 32], place: [1; 48] };
    // The last append does not follow the one before it.
    let appends = [good.clone(), follows.clone(), follows.clone()];
    let refused = backend.store().commit(&appends, &[entry]);
    let (author, length, from) = (key(1).author(), 7, 5);
    assert_eq!(refused, Err(StoreError::Gap { author, length, from }));
    for _ in 0..2 {
        let store = backend.store();
        let length = 5;
        assert_eq!(store.logs().unwrap(), [LogInfo { author, length }]);
        assert_eq!(store.newest_head(&key(2).author()).unwrap(), None);
        assert_eq!(store.group(&[1; 32]).unwrap(), [[0; 48]; 0]);
        assert_eq!(Tip::open(store, author).unwrap(), tip);
        backend.reopen();
    }
    // The store is none the worse for it.
    backend.store().commit(&[good, follows], &[entry]).unwrap();
    assert_eq!(Tip::open(backend.store(), author).unwrap().length(), 7);
    assert_eq!(backend.store().group(&[1; 32]).unwrap(), [[1; 48]]);
}

fn one_commit_may_append_to_one_log_several_times<B: Backend>() {
    let mut backend = B::fresh();
    let first = append(&Tip::empty(key(1).author()), &key(1), 250);
    let second = append(first.tip(), &key(1), 10);
    let third = append(second.tip(), &key(1), 1);
    let other = append(&Tip::empty(key(2).author()), &key(2), 1);
    let tip = third.tip().clone();
    backend.store().commit(&[first, other, second, third], &[]).unwrap();
    backend.reopen();
    let store = backend.store();
    assert_eq!(Tip::open(store, key(1).author()).unwrap(), tip);
    assert_eq!(store.heads(&key(1).author(), 0, 9).unwrap().len(), 3);
    assert_eq!(Tip::open(store, key(2).author()).unwrap().length(), 1);
}

fn an_append_that_does_not_follow_is_refused<B: Backend>() {
    let backend = B::fresh();
    let author = key(1).author();
    let first = append(&Tip::empty(author), &key(1), 4);
    let second = append(first.tip(), &key(1), 4);
    let store = backend.store();
    let refused = store.commit(std::slice::from_ref(&second), &[]);
    let (length, from) = (0, 4);
    assert_eq!(refused, Err(StoreError::Gap { author, length, from }));
    store.commit(std::slice::from_ref(&first), &[]).unwrap();
    let refused = store.commit(&[first], &[]);
    let (length, from) = (4, 0);
    assert_eq!(refused, Err(StoreError::Gap { author, length, from }));
    store.commit(&[second], &[]).unwrap();
}

fn proofs_are_those_of_the_model<B: Backend>() {
    let mut backend = B::fresh();
    let author = key(1).author();
    grow(backend.store(), &key(1), &SIZES);
    backend.reopen();
    let tip = Tip::open(backend.store(), author).unwrap();
    let tree = TreeReader::new(backend.store(), &tip);
    let leaves = leaves(&author, tip.length());
    for length in [1, 255, 256, 257, 767, 768, 1279, 1280, 1480] {
        let root = naive_root(&leaves[..length]);
        for index in (0..length).step_by(37).chain([length - 1]) {
            let proof = prove_inclusion(&tree, index as u64, length as u64).unwrap();
            assert_eq!(proof.root(leaves[index]), Ok(root), "{index} in {length}");
        }
        for from in (0..length).step_by(41).chain([length]) {
            let proof = prove_consistency(&tree, from as u64, length as u64).unwrap();
            let roots = (naive_root(&leaves[..from]), root);
            assert_eq!(proof.roots(), Ok(roots), "{from} of {length}");
        }
    }
}

/// Counts the records that are read of another store.
struct Counting<'a>(&'a dyn LogStore, AtomicUsize);

impl LogStore for Counting<'_> {
    fn logs(&self) -> Result<Vec<LogInfo>, StoreError> {
        self.0.logs()
    }
    fn commit(&self, appends: &[Append], index: &[IndexEntry]) -> Result<(), StoreError> {
        self.0.commit(appends, index)
    }
    fn truncate(&self, of: &AuthorId, length: u64, i: &[IndexEntry]) -> Result<(), StoreError> {
        self.0.truncate(of, length, i)
    }
    fn heads(&self, of: &AuthorId, above: u64, n: usize) -> Result<Vec<SignedHead>, StoreError> {
        self.0.heads(of, above, n)
    }
    fn newest_head(&self, author: &AuthorId) -> Result<Option<SignedHead>, StoreError> {
        self.0.newest_head(author)
    }
    fn scan(
        &self,
        author: &AuthorId,
        from: u64,
        visit: &mut dyn FnMut(u64, RecordRef<'_>) -> bool,
    ) -> Result<(), StoreError> {
        self.0.scan(author, from, &mut |index, record| {
            self.1.fetch_add(1, Ordering::Relaxed);
            visit(index, record)
        })
    }
    fn tile(&self, author: &AuthorId, number: u64) -> Result<Option<Tile>, StoreError> {
        self.0.tile(author, number)
    }
    fn node(&self, author: &AuthorId, node: NodeId) -> Result<Option<Hash>, StoreError> {
        self.0.node(author, node)
    }
    fn group(&self, group: &[u8; 32]) -> Result<Vec<[u8; 48]>, StoreError> {
        self.0.group(group)
    }
    fn cache(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.cache(name)
    }
    fn put_cache(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.0.put_cache(name, value)
    }
    fn erase(&self, places: &[(AuthorId, u64)]) -> Result<(), StoreError> {
        self.0.erase(places)
    }
}

fn opening_reads_at_most_255_records<B: Backend>() {
    let backend = B::fresh();
    let author = key(1).author();
    for (size, reads) in [(255, 255), (1, 0), (1, 1), (254, 255), (257, 0), (1023, 255)] {
        let tip = grow(backend.store(), &key(1), &[size]);
        let counting = Counting(backend.store(), AtomicUsize::new(0));
        assert_eq!(Tip::open(&counting, author).unwrap(), tip);
        assert_eq!(counting.1.into_inner(), reads, "length {}", tip.length());
    }
}

fn caches_are_kept_and_replaced<B: Backend>() {
    let mut backend = B::fresh();
    assert_eq!(backend.store().cache("state").unwrap(), None);
    backend.store().put_cache("state", b"one").unwrap();
    backend.store().put_cache("state/2", b"").unwrap();
    backend.store().put_cache("state", b"two").unwrap();
    backend.reopen();
    let store = backend.store();
    assert_eq!(store.cache("state").unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(store.cache("state/2").unwrap().as_deref(), Some(&b""[..]));
    assert_eq!(store.cache("stat").unwrap(), None);
}

fn an_erased_body_is_gone_and_all_else_stays<B: Backend>() {
    let mut backend = B::fresh();
    let author = key(1).author();
    let tip = grow(backend.store(), &key(1), &[300, 40]);
    let before = contents(backend.store(), &author);
    let nowhere = [(author, 340), (author, u64::MAX), (key(2).author(), 0)];
    backend.store().erase(&nowhere).unwrap();
    assert_eq!(contents(backend.store(), &author), before);
    let erased = [8, 299, 339];
    let places: Vec<_> = erased.iter().map(|index| (author, *index)).chain(nowhere).collect();
    for _ in 0..2 {
        backend.store().erase(&places).unwrap();
        for _ in 0..2 {
            let store = backend.store();
            assert_eq!(Tip::open(store, author).unwrap(), tip);
            store
                .scan(&author, 0, &mut |index, found| {
                    let record = record(index);
                    let gone = erased.contains(&index);
                    assert_eq!(found.body().is_none(), gone, "{index}");
                    assert_eq!(found.leaf(&author), record.as_ref().leaf(&author), "{index}");
                    true
                })
                .unwrap();
            backend.reopen();
        }
    }
    let mut copy = Tip::empty(author);
    while let Some(range) = Range::read(backend.store(), author, copy.length(), 9000).unwrap() {
        copy = copy.verify(&SWARM, range).unwrap().tip().clone();
    }
    assert_eq!(copy, tip);
}

fn reading_is_bounded_as_asked<B: Backend>() {
    let backend = B::fresh();
    let author = key(1).author();
    grow(backend.store(), &key(1), &[600]);
    let store = backend.store();
    let read = |from, records, bytes| {
        let limit = ReadLimit { records, bytes };
        store.records(&author, from, limit).unwrap()
    };
    assert_eq!(read(590, 4, 1 << 20), (590..594).map(record).collect::<Vec<_>>());
    assert_eq!(read(590, 100, 1 << 20).len(), 10);
    assert_eq!(read(0, 100, 1).len(), 1);
    let two = record(5).len() + record(6).len();
    assert_eq!(read(5, 100, two).len(), 2);
    assert_eq!(read(5, 100, two - 1).len(), 1);
    let mut visits = Vec::new();
    let mut visit = |index, _: RecordRef<'_>| {
        visits.push(index);
        index < 514
    };
    store.scan(&author, 511, &mut visit).unwrap();
    assert_eq!(visits, [511, 512, 513, 514]);
}

fn what_is_not_there_is_not_an_error<B: Backend>() {
    let backend = B::fresh();
    let (author, store) = (key(1).author(), backend.store());
    let node = |height, offset| NodeId { height, offset };
    for length in [0, 256] {
        assert_eq!(store.logs().unwrap().len(), usize::from(length > 0));
        assert_eq!(store.heads(&author, length, 5).unwrap(), []);
        assert_eq!(store.heads(&author, u64::MAX, 5).unwrap(), []);
        assert_eq!(store.heads(&author, 0, 0).unwrap(), []);
        for from in [length, length + 1, u64::MAX] {
            let mut visit = |index, _: RecordRef<'_>| panic!("there is no record {index}");
            store.scan(&author, from, &mut visit).unwrap();
        }
        assert_eq!(store.tile(&author, 0).unwrap().is_some(), length == 256);
        assert_eq!(store.tile(&author, u64::MAX).unwrap(), None);
        assert_eq!(store.node(&author, node(8, 0)).unwrap().is_some(), length == 256);
        assert_eq!(store.node(&author, node(9, 0)).unwrap(), None);
        assert_eq!(store.node(&author, node(8, 1)).unwrap(), None);
        assert_eq!(store.newest_head(&key(2).author()).unwrap(), None);
        if length == 0 {
            grow(store, &key(1), &[256]);
        }
    }
    store.commit(&[], &[]).unwrap();
}

fn a_visitor_may_use_the_store<B: Backend>() {
    let backend = B::fresh();
    let (author, store) = (key(1).author(), backend.store());
    grow(store, &key(1), &[10]);
    let mut visits = 0;
    store
        .scan(&author, 0, &mut |_, _| {
            visits += 1;
            grow(store, &key(2), &[1]);
            assert_eq!(store.logs().unwrap().len(), 2);
            true
        })
        .unwrap();
    assert_eq!(visits, 10);
    assert_eq!(Tip::open(store, key(2).author()).unwrap().length(), 10);
}

fn many_threads_may_use_one_store<B: Backend>() {
    let mut backend = B::fresh();
    let store = backend.store();
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            scope.spawn(move || grow(store, &key(seed), &[40; 20]));
            scope.spawn(move || {
                for _ in 0..50 {
                    let tip = Tip::open(store, key(seed).author()).unwrap();
                    let tree = TreeReader::new(store, &tip);
                    if tip.length() > 0 {
                        let proof = prove_inclusion(&tree, 0, tip.length()).unwrap();
                        let leaf = record(0).as_ref().leaf(&tip.author());
                        assert_eq!(proof.root(leaf), Ok(tip.root()));
                    }
                }
            });
        }
    });
    backend.reopen();
    for seed in 1..=4 {
        let tip = Tip::open(backend.store(), key(seed).author()).unwrap();
        let expected = naive_root(&leaves(&tip.author(), 800));
        assert_eq!((tip.length(), tip.root()), (800, expected));
    }
}
