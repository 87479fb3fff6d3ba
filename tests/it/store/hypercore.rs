//! The store in Hypercore's files: what npm's hypercore makes of them, long logs, and directories
//! that are something else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bzzz::kernel::identity::SwarmId;
use bzzz::kernel::log::{
    LogStore, MAX_APPEND_RECORDS, StoreError, Tip, TreeReader, prove_inclusion,
};
use bzzz::store::hypercore::HyperStore;
use bzzz::store::rocksdb::RocksStore;
use tempfile::TempDir;

use super::disk::{big_append, big_record, entry, examine};
use crate::log_laws::{SWARM, append, grow, key, record};

/// The modules that `tools/setup` installs, or the reason why they are not there.
#[expect(clippy::disallowed_methods, reason = "the scripts in tools say in the same way where")]
fn modules() -> Result<PathBuf, String> {
    let cache = std::env::var("BZZZ_CACHE").map(PathBuf::from).or_else(|_| {
        std::env::home_dir().map(|home| home.join(".cache/bzzz")).ok_or("no home directory")
    })?;
    let modules = cache.join("npm/node_modules");
    if !modules.join("hypercore/package.json").exists() {
        return Err(format!("npm's hypercore is not in {}: run tools/setup", modules.display()));
    }
    match Command::new("node").arg("--version").output() {
        Ok(output) if output.status.success() => Ok(modules),
        _ => Err("node is not installed: run tools/setup".to_owned()),
    }
}

/// What npm's hypercore says of a copy of a core; it is never given the original.
fn read_with_npm(modules: &Path, core: &Path) -> serde_json::Value {
    let directory = TempDir::new().unwrap();
    let copy = directory.path().join("core");
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(core).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/store/hypercore.js");
    let output = Command::new("node").arg(script).arg(modules).arg(copy).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..group.len()].copy_from_slice(group);
        let number = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for digit in 0..4 {
            let six = (number >> (18 - 6 * digit)) & 63;
            let past = digit > group.len();
            text.push(if past { '=' } else { char::from(DIGITS[six as usize]) });
        }
    }
    text
}

#[test]
fn npm_reads_what_was_written() {
    let modules = modules().unwrap_or_else(|why| panic!("{why}"));
    let directory = TempDir::new().unwrap();
    let author = key(1).author();
    let mut total = 0;
    for sizes in [&[1, 3, 251, 1][..], &[256, 1, 1, 1, 1, 1], &[700]] {
        // Opened anew, so that the crate reads its own files too.
        let store = HyperStore::open(directory.path(), Some(&SWARM)).unwrap();
        total = grow(&store, &key(1), sizes).length();
        let log = directory.path().join("logs").join(hex::encode(author.0));
        let read = read_with_npm(&modules, &log.join("core-00000-0"));
        assert!(read["version"].as_str().unwrap().starts_with("10."), "{}", read["version"]);
        let bytes: usize = (0..total).map(|index| record(index).len()).sum();
        assert_eq!(read["byteLength"], bytes);
        for length in ["length", "contiguousLength", "copied", "copyLength"] {
            assert_eq!(read[length], total, "{length}");
        }
        let blocks = read["blocks"].as_array().unwrap();
        for (index, block) in (0..total).zip(blocks) {
            assert_eq!(block, &base64(&record(index)), "block {index}");
        }
    }
    assert_eq!(total, 1217);
}

#[test]
fn a_log_of_several_cores_is_one_log() {
    let directory = TempDir::new().unwrap();
    let author = key(1).author();
    let mut store = HyperStore::open(directory.path(), Some(&SWARM)).unwrap();
    let mut tip = Tip::empty(author);
    let total = 3 * 32_768 + 5;
    while tip.length() < total {
        let count = (total - tip.length()).min(MAX_APPEND_RECORDS as u64 - 3);
        let next = append(&tip, &key(1), count);
        store.commit(std::slice::from_ref(&next), &[]).unwrap();
        tip = next.tip().clone();
        if tip.length().is_multiple_of(5) {
            drop(store);
            store = HyperStore::open(directory.path(), None).unwrap();
        }
    }
    drop(store);
    let store = HyperStore::open(directory.path(), None).unwrap();
    assert_eq!(Tip::open(&store, author).unwrap(), tip);
    let mut next = 32_700;
    let mut visit = |index, found: bzzz::kernel::log::RecordRef<'_>| {
        assert_eq!((index, found), (next, record(index).as_ref()));
        next += 1;
        true
    };
    store.scan(&author, 32_700, &mut visit).unwrap();
    assert_eq!(next, total);
    let tree = TreeReader::new(&store, &tip);
    for index in [0, 32_767, 32_768, 65_535, 65_536, 98_304, total - 1] {
        let proof = prove_inclusion(&tree, index, total).unwrap();
        assert_eq!(proof.root(record(index).as_ref().leaf(&author)), Ok(tip.root()));
    }
    let log = directory.path().join("logs").join(hex::encode(author.0));
    let cores = fs::read_dir(log).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(cores.count(), 4);
}

#[test]
fn opening_does_not_read_the_logs() {
    let directory = TempDir::new().unwrap();
    let store = HyperStore::open(directory.path(), Some(&SWARM)).unwrap();
    let tip = grow(&store, &key(1), &[3000, 300]);
    drop(store);
    // The second opening begins a journal that has nothing to be done again.
    drop(HyperStore::open(directory.path(), None).unwrap());
    let log = directory.path().join("logs").join(hex::encode(key(1).author().0));
    fs::rename(&log, directory.path().join("logs/elsewhere")).unwrap();
    let store = HyperStore::open(directory.path(), None).unwrap();
    assert_eq!(store.logs().unwrap()[0].length, tip.length());
    let error = store.newest_head(&key(1).author()).unwrap_err();
    let StoreError::Corrupt { author, index, what } = error else {
        panic!("a missing file is damage: {error}");
    };
    assert_eq!((author, index), (key(1).author(), 3300));
    assert!(what.contains("heads"), "{what}");
}

fn foreign(path: &Path, swarm: Option<&SwarmId>) -> String {
    match HyperStore::open(path, swarm) {
        Err(StoreError::Foreign(what)) => what,
        Err(other) => panic!("not an error of another's store: {other}"),
        Ok(_) => panic!("another's store was opened"),
    }
}

#[test]
fn directories_that_are_no_store_of_this_kind_are_left_as_they_are() {
    let directory = TempDir::new().unwrap();
    let absent = directory.path().join("absent");
    assert!(foreign(&absent, None).ends_with("holds no store"));
    assert!(!absent.exists());
    assert!(matches!(HyperStore::open_read_only(&absent), Err(StoreError::Foreign(_))));

    let homely = directory.path().join("homely");
    fs::create_dir(&homely).unwrap();
    fs::write(homely.join("letter.txt"), "dear").unwrap();
    assert!(foreign(&homely, Some(&SWARM)).contains("letter.txt"));
    assert_eq!(fs::read_dir(&homely).unwrap().count(), 1);
    let file = homely.join("letter.txt");
    assert!(matches!(HyperStore::open(&file, Some(&SWARM)), Err(StoreError::Io { .. })));

    let (rocks, hyper) = (directory.path().join("rocks"), directory.path().join("hyper"));
    drop(RocksStore::open(&rocks, Some(&SWARM)).unwrap());
    let before = fs::read_dir(&rocks).unwrap().count();
    assert!(foreign(&rocks, Some(&SWARM)).contains("RocksDB"));
    assert_eq!(fs::read_dir(&rocks).unwrap().count(), before);
    drop(HyperStore::open(&hyper, Some(&SWARM)).unwrap());
    let what = RocksStore::open(&hyper, Some(&SWARM)).err().unwrap().to_string();
    assert!(what.contains("which is no part of a store"), "{what}");
}

#[test]
fn other_swarms_formats_and_programs_are_named() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    drop(HyperStore::open(path, Some(&SWARM)).unwrap());
    let other = SwarmId([5; 32]);
    let what = foreign(path, Some(&other));
    assert!(what.contains(&SWARM.to_string()) && what.contains(&other.to_string()), "{what}");
    assert_eq!(HyperStore::open(path, None).unwrap().swarm(), SWARM);

    let file = path.join("FORMAT");
    let good = fs::read(&file).unwrap();
    let mut bytes = good.clone();
    bytes[12] = 2;
    fs::write(&file, &bytes).unwrap();
    assert!(foreign(path, None).contains("has format 2; this program reads format 1"));
    fs::write(&file, "a story\n").unwrap();
    assert!(foreign(path, Some(&SWARM)).contains("another program"));
    bytes.clone_from(&good);
    bytes[20] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let error = HyperStore::open(path, None).unwrap_err().to_string();
    assert!(error.contains("FORMAT: its check does not hold"), "{error}");
    fs::remove_file(&file).unwrap();
    let error = HyperStore::open(path, Some(&SWARM)).unwrap_err().to_string();
    assert!(error.contains("FORMAT: it is not in"), "{error}");
    fs::write(&file, good).unwrap();
    let store = HyperStore::open(path, None).unwrap();
    assert_eq!(grow(&store, &key(1), &[2]).length(), 2);
}

#[test]
fn damage_of_a_record_names_log_and_index() {
    let directory = TempDir::new().unwrap();
    let author = key(1).author();
    let store = HyperStore::open(directory.path(), Some(&SWARM)).unwrap();
    let (append, entries) = big_append(&Tip::empty(author), &key(1), 300);
    store.commit(&[append], &entries).unwrap();
    drop(store);
    drop(HyperStore::open(directory.path(), None).unwrap());
    let data = directory.path().join("logs").join(hex::encode(author.0)).join("core-00000-0/data");
    let mut bytes = fs::read(&data).unwrap();
    let at = big_record(0).len() * 123 + 1000;
    bytes[at] ^= 4;
    fs::write(&data, bytes).unwrap();
    let store = HyperStore::open(directory.path(), None).unwrap();
    let error = examine(&store, author).unwrap_err();
    let what = "the record is not the one that was written".to_owned();
    assert_eq!(error, StoreError::Corrupt { author, index: 123, what });
}

#[test]
fn npm_reads_a_core_from_which_bodies_were_erased() {
    let modules = modules().unwrap_or_else(|why| panic!("{why}"));
    let directory = TempDir::new().unwrap();
    let author = key(1).author();
    let erased = [1, 2, 3, 254, 299];
    let store = HyperStore::open(directory.path(), Some(&SWARM)).unwrap();
    grow(&store, &key(1), &[200, 100]);
    store.erase(&erased.map(|index| (author, index))).unwrap();
    let total = grow(&store, &key(1), &[7]).length();
    drop(store);
    let store = HyperStore::open(directory.path(), None).unwrap();
    let mut visit = |index, found: bzzz::kernel::log::RecordRef<'_>| {
        let whole = record(index);
        let expected = if erased.contains(&index) { whole.as_ref().without_body() } else { whole };
        assert_eq!(found, expected.as_ref(), "{index}");
        true
    };
    store.scan(&author, 0, &mut visit).unwrap();
    assert_eq!(Tip::open(&store, author).unwrap().length(), total);
    let log = directory.path().join("logs").join(hex::encode(author.0));
    let read = read_with_npm(&modules, &log.join("core-00000-0"));
    assert_eq!((&read["length"], &read["copied"]), (&total.into(), &(total - 5).into()));
    for (index, block) in (0..total).zip(read["blocks"].as_array().unwrap()) {
        match erased.contains(&index) {
            true => assert!(block.is_null(), "block {index}"),
            false => assert_eq!(block, &base64(&record(index)), "block {index}"),
        }
    }
}

#[test]
fn the_end_of_a_log_can_be_dropped_and_grow_again() {
    let author = key(1).author();
    for (sizes, length, cores) in [
        (&[255, 1, 256, 100][..], 512, 1),
        (&[255, 2, 256, 100][..], 255, 1),
        (&[7, 300][..], 0, 1),
        (&[4000, 4000, 4000, 4000, 4000, 4000, 4000, 4000, 768, 4, 4000][..], 32_768, 2),
        (&[4000, 4000, 4000, 4000, 4000, 4000, 4000, 4000, 768, 4, 4000][..], 28_000, 1),
    ] {
        let directory = TempDir::new().unwrap();
        let mut store = HyperStore::open(directory.path(), Some(&SWARM)).unwrap();
        let total = grow(&store, &key(1), sizes).length();
        let entries: Vec<_> = (0..total).map(entry).collect();
        store.commit(&[], &entries).unwrap();
        store.put_cache("state", b"x").unwrap();
        let erased = [3, 254, total - 1];
        store.erase(&erased.map(|index| (author, index))).unwrap();
        let none = store.truncate(&author, length + 1, &[]);
        assert_eq!(none, Err(StoreError::Gap { author, length: total, from: length + 1 }));
        let from = usize::try_from(length).unwrap();
        store.truncate(&author, length, &entries[from..]).unwrap();
        for round in 0..2 {
            let logs = store.logs().unwrap();
            let lengths: Vec<u64> = logs.iter().map(|log| log.length).collect();
            assert_eq!(lengths, [length].into_iter().filter(|l| *l > 0).collect::<Vec<_>>());
            assert_eq!(Tip::open(&store, author).unwrap().length(), length);
            assert_eq!(store.group(&[3; 32]).unwrap().len() as u64, length);
            assert_eq!(store.cache("state").unwrap(), None);
            assert_eq!(store.heads(&author, length, 9).unwrap(), []);
            assert_eq!(store.tile(&author, length / 256).unwrap(), None);
            if round == 0 {
                drop(store);
                store = HyperStore::open(directory.path(), None).unwrap();
            }
        }
        let tip = grow(&store, &key(1), &[300, 1]);
        drop(store);
        let store = HyperStore::open(directory.path(), None).unwrap();
        assert_eq!(Tip::open(&store, author).unwrap(), tip);
        let mut seen = 0;
        let mut visit = |index, found: bzzz::kernel::log::RecordRef<'_>| {
            let whole = record(index);
            let gone = erased.contains(&index) && index < length;
            assert_eq!(found, if gone { whole.as_ref().without_body() } else { whole }.as_ref());
            seen += 1;
            true
        };
        store.scan(&author, 0, &mut visit).unwrap();
        assert_eq!(seen, length + 301);
        let log = directory.path().join("logs").join(hex::encode(author.0));
        let found = fs::read_dir(log).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir());
        assert_eq!(found.count(), cores, "{length}");
    }
}
