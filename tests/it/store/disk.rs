//! What only a store on a disk can suffer.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::kernel::log::{
    Append, IndexEntry, LogStore, MAX_APPEND_RECORDS, Range, Record, StoreError, Tip, TreeReader,
    prove_inclusion,
};
use bzzz::store::hypercore::HyperStore;
use bzzz::store::rocksdb::RocksStore;
use tempfile::TempDir;

use crate::log_laws::{SWARM, grow, key};

/// What a child process is to do, with what and where: `append rocksdb PATH`, `fill hypercore
/// PATH`; `hold`, `erase` and `check` are the others.
const TASK: &str = "BZZZ_TEST_STORE_TASK";

/// A kind of store on a disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rocks,
    Hyper,
}

impl Kind {
    pub(super) const BOTH: [Self; 2] = [Self::Rocks, Self::Hyper];

    fn name(self) -> &'static str {
        match self {
            Self::Rocks => "rocksdb",
            Self::Hyper => "hypercore",
        }
    }

    pub(super) fn open(
        self,
        path: &Path,
        swarm: Option<&SwarmId>,
    ) -> Result<Box<dyn LogStore>, StoreError> {
        Ok(match self {
            Self::Rocks => Box::new(RocksStore::open(path, swarm)?),
            Self::Hyper => Box::new(HyperStore::open(path, swarm)?),
        })
    }

    fn open_read_only(self, path: &Path) -> Result<Box<dyn LogStore>, StoreError> {
        Ok(match self {
            Self::Rocks => Box::new(RocksStore::open_read_only(path)?),
            Self::Hyper => Box::new(HyperStore::open_read_only(path)?),
        })
    }
}

/// A record of about 2 KiB that does not compress, so that a few appends fill tables.
pub(super) fn big_record(index: u64) -> Record {
    let mut body = vec![0; 2000];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&index.to_le_bytes());
    hasher.finalize_xof().fill(&mut body);
    Record::new(&index.to_le_bytes(), &body).unwrap()
}

pub(super) fn big_append(tip: &Tip, key: &SecretKey, count: u64) -> (Append, Vec<IndexEntry>) {
    let indices = tip.length()..tip.length() + count;
    let entries = indices.clone().map(entry).collect();
    let records = indices.map(big_record).collect();
    (tip.append(key, SWARM, tip.length(), records), entries)
}

pub(super) fn entry(index: u64) -> IndexEntry {
    let mut place = [0; 48];
    place[..8].copy_from_slice(&index.to_be_bytes());
    let group = [3; 32];
    IndexEntry { group, place }
}

/// Appends until the store fails, and tells each acknowledged length.
fn append_until_failure(
    kind: Kind,
    path: &Path,
    mut acknowledged: impl FnMut(u64),
) -> (Box<dyn LogStore>, StoreError) {
    let store = kind.open(path, Some(&SWARM)).unwrap();
    let mut tip = Tip::open(&*store, key(1).author()).unwrap();
    for round in 0.. {
        let (append, entries) = big_append(&tip, &key(1), 1 + round % 90);
        if let Err(error) = store.commit(std::slice::from_ref(&append), &entries) {
            return (store, error);
        }
        tip = append.tip().clone();
        acknowledged(tip.length());
    }
    unreachable!("the loop ends with a failure")
}

/// Reads all that a store holds of a log in every way, and returns its length if all is well.
pub(super) fn examine(store: &dyn LogStore, author: AuthorId) -> Result<u64, StoreError> {
    let tip = Tip::open(store, author)?;
    let mut copy = Tip::empty(author);
    while let Some(range) = Range::read(store, author, copy.length(), 1 << 20)? {
        let append = copy.verify(&SWARM, range).map_err(|error| StoreError::Corrupt {
            author,
            index: copy.length(),
            what: error.to_string(),
        })?;
        for record in append.records() {
            let index = u64::from_le_bytes(record.as_ref().header()[..8].try_into().unwrap());
            assert_eq!(record, &big_record(index), "a verified record is the one appended");
        }
        copy = append.tip().clone();
    }
    assert_eq!(copy, tip);
    let tree = TreeReader::new(store, &tip);
    for index in (0..tip.length()).step_by(100) {
        let leaf = big_record(index).as_ref().leaf(&author);
        let root = prove_inclusion(&tree, index, tip.length())?.root(leaf);
        assert_eq!(root, Ok(tip.root()), "the proof of {index}");
    }
    let places = store.group(&[3; 32])?;
    let expected = (0..tip.length()).map(|index| entry(index).place);
    assert!(places.into_iter().eq(expected), "the index has an entry for each record");
    Ok(tip.length())
}

/// Does what the environment asks; the other tests start it as a process of its own.
#[test]
#[ignore = "the work of child processes, which other tests start"]
#[expect(clippy::disallowed_methods, reason = "its parent says in the environment what to do")]
fn child() {
    let task = std::env::var(TASK).unwrap();
    let [task, kind, path] = task.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
    let kind = Kind::BOTH.into_iter().find(|known| known.name() == kind).unwrap();
    let path = Path::new(path);
    println!();
    match task {
        "append" => {
            append_until_failure(kind, path, |length| println!("acknowledged {length}"));
        }
        "hold" => {
            let _store = kind.open(path, Some(&SWARM)).unwrap();
            println!("open");
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
        "fill" => fill(kind, path),
        "erase" => super::erase::child(kind, path),
        "check" => {
            let store = kind.open(path, Some(&SWARM)).unwrap();
            println!("acknowledged {}", examine(&*store, key(1).author()).unwrap());
            grow_by_one(&*store);
        }
        _ => panic!("no such task: {task}"),
    }
}

pub(super) fn grow_by_one(store: &dyn LogStore) {
    let tip = Tip::open(store, key(1).author()).unwrap();
    let (append, entries) = big_append(&tip, &key(1), 1);
    store.commit(&[append], &entries).unwrap();
}

/// Fills the disk, and looks at what a full disk does to the store.
fn fill(kind: Kind, path: &Path) {
    let mut last = 0;
    let (store, error) = append_until_failure(kind, path, |length| last = length);
    let StoreError::Io { what, cause } = &error else {
        panic!("a full disk is an I/O error, not {error}");
    };
    assert_eq!(*what, "write an append");
    let reasons = ["No space left on device", "File too large"];
    assert!(reasons.iter().any(|reason| cause.contains(reason)), "{cause}");
    let tip = Tip::open(&*store, key(1).author()).unwrap();
    assert_eq!(tip.length(), last);
    let (append, entries) = big_append(&tip, &key(1), 1);
    for _ in 0..2 {
        let refused = store.commit(std::slice::from_ref(&append), &entries);
        assert_eq!(refused, Err(StoreError::Poisoned));
        assert_eq!(store.put_cache("x", b"y"), Err(StoreError::Poisoned));
    }
    assert_eq!(examine(&*store, key(1).author()), Ok(last));
    println!("acknowledged {last}");
}

fn command(task: &str, kind: Kind, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "store::disk::child", "--ignored", "--nocapture"]);
    command.env(TASK, format!("{task} {} {}", kind.name(), path.display()));
    command
}

pub(super) fn start(task: &str, kind: Kind, path: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut command = command(task, kind, path);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

fn acknowledged(line: &str) -> Option<u64> {
    let (_, length) = line.split_once("acknowledged ")?;
    Some(length.trim().parse().unwrap())
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    killed(Kind::Rocks);
}

#[test]
fn a_killed_process_loses_nothing_acknowledged_in_hypercores_files() {
    killed(Kind::Hyper);
}

fn killed(kind: Kind) {
    let directory = TempDir::new().unwrap();
    let author = key(1).author();
    let mut last = 0;
    // The later rounds run long enough that tables are being written when the end comes.
    for commits in [0, 1, 2, 7, 20, 90, 250, 400] {
        let (mut child, output) = start("append", kind, directory.path());
        let mut seen = 0;
        for line in output.lines() {
            // The pipe still holds what the child said before its end.
            let Some(length) = acknowledged(&line.unwrap()) else {
                continue;
            };
            last = length;
            seen += 1;
            if seen == commits + 1 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen > commits, "the child ended by itself");
        let store = kind.open(directory.path(), None).unwrap();
        let length = examine(&*store, author).unwrap();
        assert!(length >= last, "{length} of {last}");
        // At most the one append that was under way is there and was not yet acknowledged.
        assert!(length - last <= MAX_APPEND_RECORDS as u64);
        last = length;
    }
    assert!(last > 8192, "tables were written: {last}");
}

#[test]
fn a_full_disk_stops_writing_and_loses_nothing() {
    filled(Kind::Rocks);
}

#[test]
fn a_full_disk_stops_writing_and_loses_nothing_in_hypercores_files() {
    filled(Kind::Hyper);
}

fn filled(kind: Kind) {
    let directory = TempDir::new().unwrap();
    let (own, root) = (directory.path().join("own"), directory.path());
    fs::create_dir(&own).unwrap();
    let in_own = own.join("store");
    // A small file system of its own where the system allows one, in a mount namespace that ends
    // with the process; otherwise a limit on the size of files.
    let name = kind.name();
    let own_file_system = "mount -t tmpfs -o size=48m tmpfs \"$1\"";
    let probe = Command::new("unshare")
        .args(["--mount", "sh", "-c", own_file_system, "sh"])
        .arg(&own)
        .output();
    let script = if probe.is_ok_and(|output| output.status.success()) {
        format!(
            "{own_file_system} && head -c 30000000 /dev/zero >\"$1/ballast\" && \
             {TASK}=\"fill {name} $2\" \"$0\" $3 && rm \"$1/ballast\" && \
             {TASK}=\"check {name} $2\" \"$0\" $3"
        )
    } else {
        format!(
            "trap '' XFSZ; (ulimit -f 8192; {TASK}=\"fill {name} $2\" \"$0\" $3) && \
             {TASK}=\"check {name} $2\" \"$0\" $3"
        )
    };
    let output = if script.starts_with("mount") {
        Command::new("unshare")
            .arg("--mount")
            .args(["sh", "-c", &script])
            .args(shell(&own, &in_own))
            .current_dir(root)
            .output()
    } else {
        Command::new("sh").args(["-c", &script]).args(shell(&own, &in_own)).output()
    };
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    let lengths: Vec<u64> = said.lines().filter_map(acknowledged).collect();
    let [filled, checked] = lengths[..] else {
        panic!("two lengths are told:\n{said}");
    };
    assert!(filled > 500, "{filled}");
    // The append that failed may have reached the disk all the same.
    assert!((filled..filled + 100).contains(&checked), "{checked} of {filled}");
}

/// The arguments of the script: this program, the mount point, the store, and how to run the child.
fn shell(own: &Path, store: &Path) -> [PathBuf; 4] {
    let run = "--exact store::disk::child --ignored --nocapture";
    [std::env::current_exe().unwrap(), own.into(), store.into(), run.into()]
}

#[test]
fn a_second_process_is_told_that_the_store_is_open() {
    Kind::BOTH.into_iter().for_each(held);
}

fn held(kind: Kind) {
    let directory = TempDir::new().unwrap();
    let (mut child, mut output) = start("hold", kind, directory.path());
    let mut line = String::new();
    while !line.contains("open") {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the child ended");
    }
    let refused = kind.open(directory.path(), Some(&SWARM)).err().unwrap().to_string();
    assert!(refused.contains("is open in another process"), "{refused}");
    assert!(refused.contains(directory.path().to_str().unwrap()), "{refused}");
    let beside = kind.open_read_only(directory.path()).unwrap();
    assert_eq!(beside.logs(), Ok(Vec::new()));
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(child.wait().unwrap().success());
    let store = kind.open(directory.path(), Some(&SWARM)).unwrap();
    // The same holds for two in one process.
    assert!(kind.open(directory.path(), Some(&SWARM)).is_err());
    drop(store);
    kind.open(directory.path(), Some(&SWARM)).unwrap();
}

#[test]
fn a_reader_beside_a_writer_sees_a_whole_past() {
    beside(Kind::Rocks);
}

#[test]
fn a_reader_beside_a_writer_sees_a_whole_past_in_hypercores_files() {
    beside(Kind::Hyper);
}

fn beside(kind: Kind) {
    let directory = TempDir::new().unwrap();
    let (mut child, output) = start("append", kind, directory.path());
    let (author, mut last, mut kept) = (key(1).author(), 0, Vec::new());
    for line in output.lines() {
        let Some(length) = acknowledged(&line.unwrap()) else {
            continue;
        };
        if length < last + 1000 {
            continue;
        }
        let store = kind.open_read_only(directory.path()).unwrap();
        last = examine(&*store, author).unwrap();
        assert!(last >= length, "what was acknowledged before is seen");
        let refused = store.put_cache("x", b"y").unwrap_err().to_string();
        assert!(refused.contains("for reading only"), "{refused}");
        kept.push((store, last));
        if kept.len() == 5 {
            child.kill().unwrap();
            break;
        }
    }
    child.wait().unwrap();
    assert_eq!(kept.len(), 5);
    // What the writer has compacted since is still there for those who read it.
    for (store, length) in kept {
        assert_eq!(examine(&*store, author), Ok(length));
    }
}

/// A store with tables, and a log file with more behind them, as a crash leaves it.
fn crashed() -> (TempDir, u64) {
    let (live, image) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let author = key(1).author();
    let mut tip = Tip::empty(author);
    for _ in 0..2 {
        let store = RocksStore::open(live.path(), Some(&SWARM)).unwrap();
        for _ in 0..6 {
            let (append, entries) = big_append(&tip, &key(1), 60);
            store.commit(std::slice::from_ref(&append), &entries).unwrap();
            tip = append.tip().clone();
        }
        // Nothing is written after the last commit, so that a copy is what a crash would leave.
        copy(live.path(), image.path());
    }
    (image, tip.length())
}

pub(super) fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let copied = to.join(file.file_name());
        match file.file_type().unwrap().is_dir() {
            true => copy(&file.path(), &copied),
            false => fs::copy(file.path(), copied).map(|_| ()).unwrap(),
        }
    }
}

/// Opens a damaged copy. Whatever was done to it, either an error says so, or all is there.
fn damage(
    image: &Path,
    name: &str,
    length: u64,
    what: &str,
    change: impl Fn(&mut Vec<u8>),
) -> bool {
    let damaged = TempDir::new().unwrap();
    copy(image, damaged.path());
    let file = damaged.path().join(name);
    let mut bytes = fs::read(&file).unwrap();
    change(&mut bytes);
    fs::write(&file, bytes).unwrap();
    judge(damaged.path(), length, &format!("{name}: {what}"))
}

fn judge(damaged: &Path, length: u64, what: &str) -> bool {
    let opened = RocksStore::open(damaged, None);
    match opened.and_then(|store| examine(&store, key(1).author())) {
        Ok(found) => {
            assert_eq!(found, length, "{what}: records are lost and nobody says so");
            true
        }
        Err(error) => {
            assert!(error.to_string().len() > 20, "{what}: {error}");
            false
        }
    }
}

#[test]
fn damaged_files_are_noticed() {
    let (image, length) = crashed();
    assert!(judge_copy(image.path(), length), "the image itself is well");
    let (mut noticed, mut tables, mut logs) = (0, 0, 0);
    for file in fs::read_dir(image.path()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let size = fs::read(image.path().join(&name)).unwrap().len();
        if size == 0 || name.starts_with("LOG") {
            continue;
        }
        tables += u32::from(name.ends_with(".sst"));
        logs += u32::from(name.ends_with(".log"));
        for part in 0..4 {
            let at = (size - 1) * part / 3;
            let flip = |bytes: &mut Vec<u8>| bytes[at] ^= 0x41;
            noticed += u32::from(!damage(image.path(), &name, length, &format!("flip {at}"), flip));
            let cut = |bytes: &mut Vec<u8>| bytes.truncate(at);
            noticed += u32::from(!damage(image.path(), &name, length, &format!("cut {at}"), cut));
        }
        let removed = TempDir::new().unwrap();
        copy(image.path(), removed.path());
        fs::remove_file(removed.path().join(&name)).unwrap();
        noticed += u32::from(!judge(removed.path(), length, &format!("{name}: removed")));
    }
    assert!(tables > 3 && logs > 0, "{tables} tables and {logs} logs");
    assert!(noticed > 40, "{noticed} damages were noticed");
}

fn judge_copy(image: &Path, length: u64) -> bool {
    let same = TempDir::new().unwrap();
    copy(image, same.path());
    judge(same.path(), length, "no damage")
}

#[test]
fn a_store_that_lost_acknowledged_writes_opens_only_when_told_so() {
    let (image, length) = crashed();
    let logs = fs::read_dir(image.path()).unwrap().map(|file| file.unwrap().path());
    let mut logs: Vec<_> =
        logs.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    logs.sort_by_key(|path| fs::metadata(path).unwrap().len());
    let log = logs.last().unwrap();
    let mut bytes = fs::read(log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(log, bytes).unwrap();
    // Trying changes nothing: the second attempt says what the first said.
    let errors = [(); 2].map(|()| RocksStore::open(image.path(), None).err().unwrap().to_string());
    assert_eq!(errors[0], errors[1]);
    assert!(errors[0].contains("all that it had acknowledged"), "{}", errors[0]);
    let file = image.path().join("ACKNOWLEDGED");
    assert!(errors[0].contains(file.to_str().unwrap()), "{}", errors[0]);
    assert!(RocksStore::open_read_only(image.path()).is_err());

    fs::remove_file(file).unwrap();
    let store = RocksStore::open(image.path(), None).unwrap();
    let left = examine(&store, key(1).author()).unwrap();
    assert!((360..length).contains(&left), "{left} of {length}");
    grow_by_one(&store);
}

#[test]
fn a_cache_is_forgotten_with_what_it_was_computed_from() {
    let directory = TempDir::new().unwrap();
    let store = RocksStore::open(directory.path(), Some(&SWARM)).unwrap();
    store.put_cache("state", b"x").unwrap();
    drop(store);
    fs::remove_file(directory.path().join("ACKNOWLEDGED")).unwrap();
    let store = RocksStore::open(directory.path(), None).unwrap();
    assert_eq!(store.cache("state").unwrap(), None);
    store.put_cache("state", b"y").unwrap();
    drop(store);
    let store = RocksStore::open(directory.path(), None).unwrap();
    assert_eq!(store.cache("state").unwrap().as_deref(), Some(&b"y"[..]));
}

fn foreign(path: &Path, swarm: Option<&SwarmId>) -> String {
    match RocksStore::open(path, swarm) {
        Err(StoreError::Foreign(what)) => what,
        Err(other) => panic!("not an error of another's store: {other}"),
        Ok(_) => panic!("another's store was opened"),
    }
}

#[test]
fn a_store_of_another_swarm_is_refused_by_name() {
    let directory = TempDir::new().unwrap();
    drop(RocksStore::open(directory.path(), Some(&SWARM)).unwrap());
    let other = SwarmId([5; 32]);
    let what = foreign(directory.path(), Some(&other));
    assert!(what.contains(&SWARM.to_string()) && what.contains(&other.to_string()), "{what}");
    let store = RocksStore::open(directory.path(), None).unwrap();
    assert_eq!(store.swarm(), SWARM);
}

#[test]
fn directories_that_are_no_store_are_left_as_they_are() {
    let directory = TempDir::new().unwrap();
    let absent = directory.path().join("absent");
    assert!(foreign(&absent, None).ends_with("holds no store"));
    assert!(!absent.exists());
    assert!(matches!(RocksStore::open_read_only(&absent), Err(StoreError::Foreign(_))));

    let homely = directory.path().join("homely");
    fs::create_dir(&homely).unwrap();
    fs::write(homely.join("letter.txt"), "dear").unwrap();
    assert!(foreign(&homely, Some(&SWARM)).contains("letter.txt"));
    assert_eq!(fs::read_dir(&homely).unwrap().count(), 1);

    let file = homely.join("letter.txt");
    assert!(matches!(RocksStore::open(&file, Some(&SWARM)), Err(StoreError::Io { .. })));

    let other = directory.path().join("other");
    let db = rocksdb::DB::open_default(&other).unwrap();
    db.put(b"theirs", b"x").unwrap();
    drop(db);
    assert!(foreign(&other, Some(&SWARM)).contains("another program"));
    let mut families = rocksdb::DB::list_cf(&rocksdb::Options::default(), &other).unwrap();
    families.sort();
    assert_eq!(families, ["default"]);
    assert!(RocksStore::open_read_only(&other).is_err());
}

#[test]
fn a_store_of_another_format_is_refused() {
    let directory = TempDir::new().unwrap();
    drop(RocksStore::open(directory.path(), Some(&SWARM)).unwrap());
    let families = rocksdb::DB::list_cf(&rocksdb::Options::default(), directory.path()).unwrap();
    let options = rocksdb::Options::default();
    let db = rocksdb::DB::open_cf(&options, directory.path(), families).unwrap();
    let meta = db.cf_handle("meta").unwrap();
    let mut format = db.get_cf(meta, "format").unwrap().unwrap();
    format[12] = 2;
    db.put_cf(meta, "format", format).unwrap();
    drop(db);
    assert!(foreign(directory.path(), None).contains("has format 2; this program reads format 1"));
}

#[test]
fn an_interrupted_creation_is_taken_up() {
    for families in [&["default"][..], &["default", "meta", "records"]] {
        let directory = TempDir::new().unwrap();
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        drop(rocksdb::DB::open_cf(&options, directory.path(), families).unwrap());
        assert!(foreign(directory.path(), None).ends_with("holds no store"));
        let store = RocksStore::open(directory.path(), Some(&SWARM)).unwrap();
        grow(&store, &key(1), &[3]);
    }
}
