//! How fast a bundle verifies, as a share of what must be done in any case, and in how much memory.
//! `cargo bench --bench verify [-- --quick | --events N]`; needs none of the default features. With
//! a number of events, it runs once instead of three times.
//!
//! The bundle is that of agents at work: tasks are claimed, commands run and say something, work is
//! published, and one agent witnesses the logs of the others. The limit reads the same file on all
//! cores, a log on each, and does with it what nobody can leave out: parse records, hash bodies and
//! leaves, build the trees, compare the roots, verify the signatures. It reads no event and folds
//! nothing.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]
#![allow(clippy::cast_precision_loss, reason = "numbers for people")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bzzz::cli::verify::{Files, Progress, verify};
use bzzz::kernel::audit::{
    BUNDLE_FORMAT, BUNDLE_MAGIC, BundleReader, Expect, Input, LogEnd, Manifest, Part, Report,
    Sequential,
};
use bzzz::kernel::event::kinds::{
    ClaimIntended, ClaimWon, CommandFinished, CommandIntended, CommandOutput, CommandStatus,
    HeadsWitnessed, MemberAdmitted, Payload, PublishIntended, Published, Role, SandboxOpened,
    Stream, SwarmFounded, TaskFinished, TaskSeen, WitnessedHead,
};
use bzzz::kernel::event::{CommitId, Draft, EventId, Hlc, TaskId, swarm_id};
use bzzz::kernel::fold::FOLD_VERSION;
use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::kernel::log::{Hash, Peaks, Range, SignedHead, Tip};

const START: u64 = 1_800_000_000_000;
const AGENTS: u8 = 8;
const FRAME_BYTES: usize = 1 << 20;
/// Commands of one task, and the outputs of one command.
const COMMANDS: u32 = 60;
const OUTPUTS: u32 = 5;
/// The argument of a process that verifies once and prints its peak memory in bytes.
const ALONE: &str = "--alone";

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != ALONE).skip(1);
    if let Some(path) = arguments.next() {
        assert!(check(Path::new(&path)).verifies());
        return println!("{}", memory("VmHWM"));
    }
    let quick = std::env::args().any(|argument| argument == "--quick");
    let number = std::env::args().skip_while(|argument| argument != "--events").nth(1);
    let (rounds, events) = match number {
        Some(events) => (1, events.parse().expect("a number of events")),
        None => (3, if quick { 50_000 } else { 1_000_000 }),
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("swarm.bundle");
    let made = Maker::new(&path).make(events);
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    let mut report = None;
    for _ in 0..rounds {
        ours.push(timed(|| report = Some(check(&path))));
        limit.push(timed(|| least(&path)));
    }
    // In a process of its own, so that its peak is nobody else's.
    let alone = Command::new(std::env::current_exe().unwrap()).arg(ALONE).arg(&path).output();
    let peak: u64 = String::from_utf8(alone.unwrap().stdout).unwrap().trim().parse().unwrap();
    let report = report.unwrap();
    assert!(report.verifies(), "{:?}", report.failures);
    assert_eq!((report.findings.count, report.checked.refused), (0, 0), "{:?}", report.findings);
    let (ours, limit) = (median(ours), median(limit));
    let rate = |time: Duration| report.events() as f64 / time.as_secs_f64();
    let bytes = std::fs::metadata(&path).unwrap().len();
    println!(
        "{} events in {} appends of {} logs, {} tasks, {} MB, {} cores",
        report.events(),
        made,
        report.logs.len(),
        report.checked.tasks,
        bytes >> 20,
        std::thread::available_parallelism().unwrap(),
    );
    println!("{:<28}{:>12}{:>12}{:>8}", "", "events/s", "limit", "share");
    let share = rate(ours) / rate(limit);
    println!("{:<28}{:>12.0}{:>12.0}{share:>8.2}", "verify", rate(ours), rate(limit));
    println!("peak resident memory: {} MB, {} bytes an event", peak >> 20, peak / report.events());
}

fn check(path: &Path) -> Report {
    let files = Files::open(path).unwrap();
    let bytes = files.bytes();
    verify(files, bytes, Expect::default(), Progress::quiet()).unwrap().report
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A number of this process's memory, in bytes.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// What cannot be left out, on all cores, a log on each.
fn least(path: &Path) {
    let files = Files::open(path).unwrap();
    let mut reader = BundleReader::open(Sequential::new(&files)).unwrap();
    let swarm = reader.swarm();
    let mut logs: Vec<(AuthorId, Vec<(u64, usize)>)> = Vec::new();
    while let Some(Part::Range { at, bytes }) = reader.next_part().unwrap() {
        let author = AuthorId(*bytes.first_chunk().unwrap());
        if logs.last().is_none_or(|(last, _)| *last != author) {
            logs.push((author, Vec::new()));
        }
        logs.last_mut().unwrap().1.push((at, bytes.len()));
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while let Some((author, frames)) = logs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    least_of(&files, &swarm, author, frames);
                }
            });
        }
    });
}

fn least_of(files: &Files, swarm: &SwarmId, author: &AuthorId, frames: &[(u64, usize)]) {
    let mut peaks = Peaks::default();
    let mut bytes = Vec::new();
    for (at, len) in frames {
        bytes.resize(*len, 0);
        assert_eq!(files.read_at(*at, &mut bytes).unwrap(), *len);
        let range = Range::from_bytes(&bytes).unwrap();
        let mut heads = range.heads.into_iter().peekable();
        for record in &range.records {
            record.as_ref().check_body().unwrap();
            peaks.push(record.as_ref().leaf(author), |_, _| ());
            if let Some(head) = heads.next_if(|head| head.length == peaks.length()) {
                assert_eq!(head.root, peaks.root());
                head.verify(swarm).unwrap();
            }
        }
    }
}

/// Writes the bundle, a log at a time.
struct Maker<'a> {
    path: &'a Path,
    out: BufWriter<File>,
    swarm: SwarmId,
    appends: u64,
    ends: Vec<LogEnd>,
    witnessed: Vec<WitnessedHead>,
}

/// One log while it is written.
struct Author {
    key: SecretKey,
    tip: Tip,
    clock: u64,
    frame: Range,
    frame_bytes: usize,
    task: TaskId,
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn commit() -> CommitId {
    "a".repeat(40).parse().unwrap()
}

fn frame(author: AuthorId, from: u64) -> Range {
    Range { author, from, records: Vec::new(), heads: Vec::new() }
}

impl Author {
    fn new(seed: u8) -> Self {
        let key = key(seed);
        let author = key.author();
        Self {
            key,
            tip: Tip::empty(author),
            clock: (START << 16) + u64::from(seed),
            frame: frame(author, 0),
            frame_bytes: 0,
            task: TaskId([0; 32]),
        }
    }

    fn about(&self, payload: impl Into<Payload>) -> Draft {
        Draft::about(self.task, payload)
    }
}

impl<'a> Maker<'a> {
    fn new(path: &'a Path) -> Self {
        let out = BufWriter::new(File::create(path).unwrap());
        let (swarm, appends) = (SwarmId([0; 32]), 0);
        Self { path, out, swarm, appends, ends: Vec::new(), witnessed: Vec::new() }
    }

    /// Gives the number of appends.
    fn make(mut self, events: u64) -> u64 {
        let mut order: Vec<u8> = (1..=AGENTS).collect();
        order.sort_by_key(|seed| key(*seed).author());
        let founded = SwarmFounded {
            name: "bench".to_owned(),
            administrators: vec![key(1).author()],
            nonce: [1; 16],
        };
        let first = Hlc((START << 16) + 1 + 16);
        let record = Draft::general(founded.clone()).record(0, first).unwrap();
        self.swarm = swarm_id(EventId(record.as_ref().leaf(&key(1).author()).0));
        self.out.write_all(BUNDLE_MAGIC).unwrap();
        self.out.write_all(&BUNDLE_FORMAT.to_le_bytes()).unwrap();
        self.out.write_all(&self.swarm.0).unwrap();
        for (at, seed) in order.iter().enumerate() {
            let mut author = Author::new(*seed);
            if *seed == 1 {
                self.say(&mut author, vec![Draft::general(founded.clone())]);
                let admit = |seed| {
                    let (member, role) = (key(seed).author(), Role::Agent);
                    let name = format!("agent {seed}");
                    Draft::general(MemberAdmitted { member, role, name })
                };
                self.say(&mut author, (2..=AGENTS).map(admit).collect());
            } else {
                author.clock += 1000;
            }
            let last = at + 1 == order.len();
            let mut issue = u64::from(*seed) << 32;
            while author.tip.length() < events / u64::from(AGENTS) {
                issue += 1;
                self.work(&mut author, issue);
            }
            if last {
                let heads = std::mem::take(&mut self.witnessed);
                author.clock += events << 16;
                for heads in heads.chunks(16) {
                    let heads = heads.to_vec();
                    self.say(&mut author, vec![Draft::general(HeadsWitnessed { heads })]);
                }
            }
            self.end(author);
        }
        self.out.write_all(&0u32.to_le_bytes()).unwrap();
        self.out.flush().unwrap();
        self.sign();
        self.appends
    }

    /// The digest is what a first verification says that it is.
    fn sign(&mut self) {
        let mut manifest = Manifest {
            format: BUNDLE_FORMAT,
            swarm: self.swarm,
            exporter: key(1).author(),
            events: self.ends.iter().map(|end| end.length).sum(),
            fold_version: FOLD_VERSION,
            digest: Hash([0; 32]),
            logs: self.ends.clone(),
        };
        let end = std::fs::metadata(self.path).unwrap().len();
        for _ in 0..2 {
            let file = File::options().write(true).open(self.path).unwrap();
            file.set_len(end).unwrap();
            let mut file = File::options().append(true).open(self.path).unwrap();
            let bytes = manifest.sign(&key(1));
            file.write_all(&u32::try_from(bytes.len()).unwrap().to_le_bytes()).unwrap();
            file.write_all(&bytes).unwrap();
            let digest = check(self.path).checked.digest;
            manifest.digest = digest.unwrap();
        }
    }

    /// One task: about 430 events in some 65 appends.
    fn work(&mut self, author: &mut Author, issue: u64) {
        author.task = TaskId::of("r", issue);
        let seen = TaskSeen {
            repository: "r".to_owned(),
            issue,
            title: "t".to_owned(),
            body: "b".repeat(500),
            labels: Vec::new(),
            depends_on: Vec::new(),
            open: true,
        };
        self.say(author, vec![author.about(seen)]);
        let intended = ClaimIntended { epoch: 1, lease_ms: 1000, process: 1, previous: None };
        let intent = self.say(author, vec![author.about(intended)]);
        let won = ClaimWon { intent, epoch: 1, commit: commit() };
        self.say(author, vec![author.about(won).because([intent])]);
        let sandbox = "docker".to_owned();
        let opened = SandboxOpened { epoch: 1, process: 1, sandbox, base: commit() };
        self.say(author, vec![author.about(opened)]);
        for step in 0..COMMANDS {
            self.command(author, step);
        }
        let branch = format!("bzzz/r-{issue}");
        let (commit, changed) = (commit(), (1, 2, 3));
        let publish =
            PublishIntended { epoch: 1, branch: branch.clone(), commit: commit.clone(), changed };
        self.say(author, vec![author.about(publish)]);
        let published = Published { epoch: 1, branch, claim: commit.clone(), commit };
        let finished = TaskFinished { epoch: 1, outcome: "published".to_owned() };
        self.say(author, vec![author.about(published), author.about(finished)]);
    }

    fn command(&mut self, author: &mut Author, step: u32) {
        let (reasoning, command) = ("to see".to_owned(), "sh tests/run.sh".to_owned());
        let run = CommandIntended { epoch: 1, step, reasoning, command, seconds: 60 };
        let command = self.say(author, vec![author.about(run)]);
        let mut drafts: Vec<Draft> = (0..OUTPUTS)
            .map(|part| {
                let (stream, bytes) = (Stream::Stdout, vec![b'x'; 200]);
                let output = CommandOutput { epoch: 1, command, part, stream, at_ms: 1, bytes };
                author.about(output)
            })
            .collect();
        let finished = CommandFinished {
            epoch: 1,
            command,
            status: CommandStatus::Exited(0),
            duration_ms: 5,
            output_total: 1000,
            output_kept: 1000,
            output_hash: Hash([2; 32]),
        };
        drafts.push(author.about(finished).because([command]));
        self.say(author, drafts);
    }

    /// One append; gives its last event.
    fn say(&mut self, author: &mut Author, drafts: Vec<Draft>) -> EventId {
        let mut records = Vec::with_capacity(drafts.len());
        for (seq, draft) in (author.tip.length()..).zip(drafts) {
            author.clock += 16;
            records.push(draft.record(seq, Hlc(author.clock)).unwrap());
        }
        let append = author.tip.append(&author.key, self.swarm, author.clock, records);
        author.tip = append.tip().clone();
        self.appends += 1;
        let last = append.records().last().unwrap().as_ref().leaf(&author.key.author());
        author.frame.records.extend(append.records().iter().cloned());
        let head: SignedHead = (*append.heads()[0]).clone();
        let every = self.appends.is_multiple_of(1000);
        if every {
            let SignedHead { author, length, root, clock, signature, .. } = head;
            self.witnessed.push(WitnessedHead { author, length, root, clock, signature });
        }
        author.frame.heads.push(head);
        author.frame_bytes += append.records().iter().map(|record| record.len()).sum::<usize>();
        if author.frame_bytes >= FRAME_BYTES {
            self.flush(author);
        }
        EventId(last.0)
    }

    fn flush(&mut self, author: &mut Author) {
        let next = frame(author.key.author(), author.tip.length());
        let full = std::mem::replace(&mut author.frame, next);
        author.frame_bytes = 0;
        if !full.records.is_empty() {
            let bytes = full.to_bytes();
            self.out.write_all(&u32::try_from(bytes.len()).unwrap().to_le_bytes()).unwrap();
            self.out.write_all(&bytes).unwrap();
        }
    }

    fn end(&mut self, mut author: Author) {
        self.flush(&mut author);
        let (length, root) = (author.tip.length(), author.tip.root());
        self.ends.push(LogEnd { author: author.key.author(), length, root });
    }
}
