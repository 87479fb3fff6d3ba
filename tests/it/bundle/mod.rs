//! Bundles: a small swarm lives through a task, its logs are exported, and then everything that
//! can be wrong with a bundle is made wrong.

mod discussion;
mod evidence;
mod memory;
mod proofs;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bzzz::engine::StoreSource;
use bzzz::kernel::audit::{
    BUNDLE_FORMAT, BundleReader, Failure, HEADER_BYTES, LogEnd, Manifest, Part, Report, Rule,
    export, find_task, fold_at, story, verify,
};
use bzzz::kernel::event::kinds::{
    AgentStarted, Checkpoint, ClaimIntended, ClaimMoved, ClaimSeen, ClaimWon, CommandFinished,
    CommandIntended, CommandOutput, CommandStatus, Frontier, KINDS, MemberAdmitted, MemberRevoked,
    ModelAnswered, ModelAsked, PlanAdopted, PlanProposed, PlanReviewed, PlanText, PublishIntended,
    Published, PullRequestOpened, Purpose, Role, SandboxClosed, SandboxOpened, Stream,
    SwarmFounded, TaskFinished, TaskSeen, Verdict, WorkDone,
};
use bzzz::kernel::event::{
    ClaimStatus, Clock, CommitId, Draft, Event, EventId, Hlc, Payload, TaskId, swarm_id,
};
use bzzz::kernel::fold::{Aggregate, FOLD_VERSION, Fold, Place};
use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::kernel::log::{Hash, LogStore, Range, Record, SignedHead, Tip};
use bzzz::store::memory::MemoryStore;

/// 2026-01-31T12:00:00Z.
const START_MS: u64 = 1_769_860_800_000;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// A swarm in one store, all of whose members take in everything at once.
struct World {
    store: MemoryStore,
    swarm: SwarmId,
    clock: Clock,
    now_ms: u64,
    fold: Fold,
    tips: BTreeMap<AuthorId, Tip>,
}

impl World {
    /// Anna founds a swarm.
    fn found() -> Self {
        let anna = key(1);
        let founded = SwarmFounded {
            name: "tests".to_owned(),
            administrators: vec![anna.author()],
            nonce: [9; 16],
        };
        let mut clock = Clock::default();
        let at = clock.tick(START_MS).unwrap();
        let record = Draft::general(founded).record(0, at).unwrap();
        let swarm = swarm_id(EventId(record.as_ref().leaf(&anna.author()).0));
        let mut world = Self {
            store: MemoryStore::new(),
            swarm,
            clock,
            now_ms: START_MS,
            fold: Fold::new(swarm),
            tips: BTreeMap::new(),
        };
        world.append(&anna, at, vec![record]);
        world
    }

    /// One append. A second passes before it.
    fn say<const N: usize>(&mut self, who: &SecretKey, drafts: [Draft; N]) -> [EventId; N] {
        self.now_ms += 1000;
        let from = self.tips.get(&who.author()).map_or(0, Tip::length);
        let mut last = Hlc::default();
        let records: Vec<Record> = (from..)
            .zip(drafts)
            .map(|(seq, draft)| {
                last = self.clock.tick(self.now_ms).unwrap();
                draft.record(seq, last).unwrap()
            })
            .collect();
        let ids = self.append(who, last, records);
        ids.try_into().expect("one id for each draft")
    }

    fn append(&mut self, who: &SecretKey, clock: Hlc, records: Vec<Record>) -> Vec<EventId> {
        let author = who.author();
        let tip = self.tips.entry(author).or_insert_with(|| Tip::empty(author));
        let append = tip.append(who, self.swarm, clock.0, records);
        *tip = append.tip().clone();
        let read = (append.from()..)
            .zip(append.records())
            .map(|(seq, record)| Event::read(author, seq, record.as_ref()).unwrap());
        let events: Vec<Event> = read.collect();
        let entry = |event: &Event| Some(Aggregate::of(event)?.entry(Place::of(event)));
        let index: Vec<_> = events.iter().filter_map(entry).collect();
        self.store.commit(&[append], &index).unwrap();
        let source = StoreSource(&self.store);
        for event in &events {
            let _ = self.fold.apply(event, &source).unwrap();
        }
        events.iter().map(|event| event.id).collect()
    }

    fn admit(&mut self, who: &SecretKey, name: &str, role: Role) {
        let admitted = MemberAdmitted { member: who.author(), role, name: name.to_owned() };
        self.say(&key(1), [Draft::general(admitted)]);
    }

    fn checkpoint(&self) -> Checkpoint {
        let log =
            |(author, length): (&AuthorId, &u64)| Frontier { author: *author, length: *length };
        Checkpoint {
            fold_version: FOLD_VERSION,
            frontier: self.fold.frontier().iter().map(log).collect(),
            digest: self.fold.state().digest(),
        }
    }

    fn export(&self) -> Vec<u8> {
        self.export_by(&key(1))
    }

    fn export_by(&self, exporter: &SecretKey) -> Vec<u8> {
        let mut bundle = Vec::new();
        let digest = self.fold.state().digest();
        let frontier = self.fold.frontier();
        export(&self.store, self.swarm, exporter, frontier, digest, &mut bundle).unwrap();
        bundle
    }
}

fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

fn task() -> TaskId {
    TaskId::of("tally", 1)
}

fn about(payload: impl Into<Payload>) -> Draft {
    Draft::about(task(), payload)
}

fn seen() -> TaskSeen {
    TaskSeen {
        repository: "tally".to_owned(),
        issue: 1,
        title: "Sums of nothing fail\u{1b}[2J".to_owned(),
        body: "`tally` without numbers fails.".to_owned(),
        labels: vec!["bug".to_owned()],
        depends_on: Vec::new(),
        open: true,
    }
}

fn intended(epoch: u64) -> ClaimIntended {
    ClaimIntended { epoch, lease_ms: 60_000, process: 5, previous: None }
}

/// Anna, ben and carl; ben brings one task to a pull request, carl advises.
fn lived() -> World {
    let (anna, ben, carl) = (key(1), key(2), key(3));
    let mut world = World::found();
    world.admit(&ben, "ben", Role::Agent);
    world.admit(&carl, "carl", Role::Agent);
    let started = AgentStarted {
        name: "anna".to_owned(),
        version: "0.1.0".to_owned(),
        process: 4,
        works: false,
        capabilities: Vec::new(),
    };
    world.say(&anna, [Draft::general(started), about(seen())]);
    let [intent] = world.say(&ben, [about(intended(1))]);
    let won = ClaimWon { intent, epoch: 1, commit: commit('a') };
    let [won] = world.say(&ben, [about(won).because([intent])]);
    let saw = ClaimSeen {
        holder: ben.author(),
        epoch: 1,
        commit: commit('a'),
        status: ClaimStatus::Active,
    };
    world.say(&carl, [about(saw)]);
    let text = PlanText {
        summary: "Return zero for no numbers.".to_owned(),
        steps: vec!["read".to_owned(), "fix".to_owned()],
        files: vec!["tally.sh".to_owned()],
        tests: vec!["make test".to_owned()],
        risks: Vec::new(),
    };
    let plan = PlanProposed { epoch: 1, revision: 0, plan: text, deadline_ms: START_MS + 60_000 };
    let [plan] = world.say(&ben, [about(plan).because([won])]);
    let review = PlanReviewed {
        epoch: 1,
        plan,
        verdict: Verdict::Advise,
        reason: "mind the empty line".to_owned(),
    };
    let [review] = world.say(&carl, [about(review).because([plan])]);
    let adopted = PlanAdopted { epoch: 1, plan, considered: vec![review] };
    world.say(&ben, [about(adopted).because([plan, review])]);
    worked(&mut world, &ben);
    let checkpoint = world.checkpoint();
    world.say(&carl, [Draft::general(checkpoint)]);
    world
}

fn worked(world: &mut World, ben: &SecretKey) {
    let opened =
        SandboxOpened { epoch: 1, process: 5, sandbox: "process".to_owned(), base: commit('b') };
    world.say(ben, [about(opened)]);
    let purpose = Purpose::Step;
    let last = "go on".to_owned();
    let asked = ModelAsked { epoch: 1, purpose, turn: 0, prompt: Hash([1; 32]), last };
    let [ask] = world.say(ben, [about(asked)]);
    let answered = ModelAnswered {
        ask,
        epoch: 1,
        purpose,
        model: "scripted".to_owned(),
        text: "{\"command\": \"make test\"}".to_owned(),
        tokens_in: Some(12),
        tokens_out: None,
    };
    world.say(ben, [about(answered).because([ask])]);
    let run = CommandIntended {
        epoch: 1,
        step: 0,
        reasoning: "see what fails".to_owned(),
        command: "make test".to_owned(),
        seconds: 60,
    };
    let [command] = world.say(ben, [about(run)]);
    let part = |part, stream, bytes: &[u8]| CommandOutput {
        epoch: 1,
        command,
        part,
        stream,
        at_ms: 10,
        bytes: bytes.to_vec(),
    };
    let out = part(0, Stream::Stdout, b"1 of 2 tests\n\x1b[31mred\x1b[0m\n");
    let err = part(1, Stream::Stderr, b"make: *** failed\n");
    let finished = CommandFinished {
        epoch: 1,
        command,
        status: CommandStatus::Exited(2),
        duration_ms: 1250,
        output_total: 40,
        output_kept: 40,
        output_hash: Hash([2; 32]),
    };
    world.say(ben, [about(out), about(err), about(finished)]);
    let done = WorkDone { epoch: 1, summary: "Zero it is.".to_owned() };
    let closed = SandboxClosed { epoch: 1, reason: "done".to_owned() };
    let (branch, work) = ("bzzz/tally-1".to_owned(), commit('c'));
    let changed = (1, 2, 3);
    let publish =
        PublishIntended { epoch: 1, branch: branch.clone(), commit: work.clone(), changed };
    world.say(ben, [about(done), about(publish)]);
    let published = Published { epoch: 1, branch, commit: work, claim: commit('d') };
    let pull = PullRequestOpened { epoch: 1, number: 7, place: "pulls/7.md".to_owned() };
    let moved = ClaimMoved {
        epoch: 1,
        renewal: 1,
        commit: commit('d'),
        status: ClaimStatus::Published,
        reason: String::new(),
    };
    let finished = TaskFinished { epoch: 1, outcome: "published".to_owned() };
    world.say(ben, [about(published), about(pull), about(moved), about(closed), about(finished)]);
}

/// The smallest swarm of two logs.
fn small() -> World {
    let mut world = World::found();
    world.admit(&key(2), "ben", Role::Agent);
    world.say(&key(2), [about(seen())]);
    world
}

fn check(bundle: &[u8]) -> Report {
    verify(Cursor::new(bundle)).expect("memory can be read").report
}

fn first(bundle: &[u8]) -> Failure {
    let report = check(bundle);
    let listed = report.failures.listed;
    assert_eq!(listed.len() as u64, report.failures.count);
    listed.into_iter().next().expect("the bundle should not verify")
}

/// A bundle taken apart: its header, its ranges and its manifest with the signature.
#[derive(Clone)]
struct Parts {
    header: Vec<u8>,
    ranges: Vec<Range>,
    manifest: Vec<u8>,
}

impl Parts {
    fn of(bundle: &[u8]) -> Self {
        let header = bundle[..HEADER_BYTES].to_vec();
        let mut parts = Self { header, ranges: Vec::new(), manifest: Vec::new() };
        let mut reader = BundleReader::open(bundle).unwrap();
        while let Some(part) = reader.next_part().unwrap() {
            match part {
                Part::Range { bytes, .. } => parts.ranges.push(Range::from_bytes(bytes).unwrap()),
                Part::Manifest { bytes, .. } => parts.manifest = bytes.to_vec(),
            }
        }
        parts
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bundle = self.header.clone();
        let mut part = |bytes: &[u8]| {
            bundle.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
            bundle.extend_from_slice(bytes);
        };
        self.ranges.iter().for_each(|range| part(&range.to_bytes()));
        part(&[]);
        part(&self.manifest);
        bundle
    }

    /// Cuts every range into single appends.
    fn split(mut self) -> Self {
        let cut = |range: Range| {
            let mut from = range.from;
            let mut records = range.records.into_iter();
            let heads = range.heads.into_iter().map(move |head| {
                let count = usize::try_from(head.length - from).unwrap();
                let records: Vec<Record> = records.by_ref().take(count).collect();
                let one = Range { author: range.author, from, records, heads: vec![head] };
                from = one.end();
                one
            });
            heads.collect::<Vec<_>>()
        };
        self.ranges = self.ranges.into_iter().flat_map(cut).collect();
        self
    }

    /// A manifest for what is there now, signed by anybody.
    fn signed(mut self, exporter: &SecretKey) -> Self {
        let (mut manifest, _) = Manifest::read(&self.manifest).unwrap();
        let mut logs = BTreeMap::new();
        for range in &self.ranges {
            let last = range.heads.last().unwrap();
            let (author, length, root) = (range.author, last.length, last.root);
            logs.insert(author, LogEnd { author, length, root });
        }
        manifest.logs = logs.into_values().collect();
        manifest.events = manifest.logs.iter().map(|log| log.length).sum();
        manifest.exporter = exporter.author();
        self.manifest = manifest.sign(exporter);
        self
    }
}

#[test]
fn a_bundle_of_a_whole_task_verifies() {
    let world = lived();
    let bundle = world.export();
    let report = check(&bundle);
    assert!(report.verifies(), "{:?}", report.failures);
    assert_eq!(report.bytes, bundle.len() as u64);
    assert_eq!(report.checked.digest, Some(world.fold.state().digest()));
    assert_eq!(report.checked.checkpoints, 1);
    assert_eq!((report.logs.len(), report.checked.members), (3, 3));
    assert!(report.checked.causes > 5);
    assert_eq!(report.findings.count, 0, "{:?}", report.findings);
    let kinds: Vec<&str> = report.unchecked.iter().map(|u| u.kind).collect();
    assert_eq!(kinds, ["truth", "time", "claims", "complete", "forks"]);
    for (author, tip) in &world.tips {
        let log = report.logs.iter().find(|log| log.author == *author).unwrap();
        assert_eq!((log.events, log.root), (tip.length(), Some(tip.root())));
    }
    // Cut into other ranges, it is the same.
    assert!(check(&Parts::of(&bundle).split().to_bytes()).verifies());
}

#[test]
fn any_changed_bit_is_noticed() {
    let good = small().export();
    let mut reader = BundleReader::open(&good[..]).unwrap();
    let mut ranges = Vec::new();
    while let Some(part) = reader.next_part().unwrap() {
        if let Part::Range { at, bytes } = part {
            ranges.push(at..at + bytes.len() as u64);
        }
    }
    for at in 0..good.len() {
        let inside = ranges.iter().any(|range| range.contains(&(at as u64)));
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            let failure = first(&bad);
            assert!(failure.offset <= Some(good.len() as u64), "byte {at}: {failure:?}");
            assert!(!failure.what.is_empty());
            // In the ranges, every failure names a log and an index. Around them, in the header,
            // the lengths of parts and the manifest, the byte is all that there is to name.
            let named = failure.author.is_some() && failure.index.is_some();
            assert!(named || !inside, "byte {at}: {failure:?}");
        }
    }
}

#[test]
fn any_changed_byte_of_a_whole_task_is_noticed() {
    let good = lived().export();
    for at in (0..good.len()).step_by(13) {
        let mut bad = good.clone();
        bad[at] = bad[at].wrapping_add(1);
        let _ = first(&bad);
    }
}

#[test]
fn a_truncated_or_longer_file_is_noticed() {
    let good = small().export();
    for at in 0..good.len() {
        let report = check(&good[..at]);
        let truncated = report.failures.listed.iter().any(|f| f.rule == Rule::Truncated);
        assert!(truncated, "cut at {at}: {:?}", report.failures);
    }
    let mut long = good.clone();
    long.push(0);
    assert_eq!(first(&long).rule, Rule::TrailingBytes);
    let twice = [good.clone(), good].concat();
    assert_eq!(first(&twice).rule, Rule::TrailingBytes);
}

/// Everything that can be dropped: a record, an append, the last append, a log.
#[test]
fn a_dropped_event_is_noticed() {
    let parts = Parts::of(&lived().export());
    for (at, range) in parts.ranges.iter().enumerate() {
        for record in 0..range.records.len() {
            let mut bad = parts.clone();
            bad.ranges[at].records.remove(record);
            if bad.ranges[at].records.is_empty() {
                continue;
            }
            let failure = first(&bad.to_bytes());
            assert_eq!(failure.author, Some(range.author));
            assert!(
                matches!(failure.rule, Rule::HeadRoot | Rule::HeadOrder | Rule::RangeBytes),
                "{failure:?}"
            );
        }
    }
    let parts = parts.split();
    for at in 0..parts.ranges.len() {
        let mut bad = parts.clone();
        let dropped = bad.ranges.remove(at);
        let failure = first(&bad.to_bytes());
        let last = bad.ranges.get(at).is_none_or(|next| next.author != dropped.author);
        let rule = if last { Rule::ManifestFrontier } else { Rule::LogGap };
        // Without the founder's first append, the founding event is missed as well.
        let founding = failure.rule == Rule::FoundingEvent;
        assert!(founding || failure.rule == rule, "range {at}: {failure:?}");
        if !founding {
            assert_eq!((failure.author, failure.index), (Some(dropped.author), Some(dropped.from)));
        }
    }
    for author in parts.ranges.iter().map(|range| range.author) {
        let mut bad = parts.clone();
        bad.ranges.retain(|range| range.author != author);
        let report = check(&bad.to_bytes());
        let failure = report.failures.listed.iter().find(|f| f.rule == Rule::ManifestFrontier);
        assert_eq!(failure.unwrap().author, Some(author));
    }
}

#[test]
fn a_swapped_pair_is_noticed() {
    let parts = Parts::of(&lived().export());
    for (at, range) in parts.ranges.iter().enumerate() {
        for record in 1..range.records.len() {
            let mut bad = parts.clone();
            bad.ranges[at].records.swap(record - 1, record);
            let failure = first(&bad.to_bytes());
            assert_eq!((failure.author, failure.rule), (Some(range.author), Rule::HeadRoot));
        }
        for head in 1..range.heads.len() {
            let mut bad = parts.clone();
            bad.ranges[at].heads.swap(head - 1, head);
            assert_eq!(first(&bad.to_bytes()).rule, Rule::HeadOrder);
        }
    }
    let parts = parts.split();
    for at in 1..parts.ranges.len() {
        let mut bad = parts.clone();
        bad.ranges.swap(at - 1, at);
        let same = parts.ranges[at - 1].author == parts.ranges[at].author;
        let rule = first(&bad.to_bytes()).rule;
        assert_eq!(rule, if same { Rule::LogGap } else { Rule::LogOrder }, "range {at}");
    }
}

#[test]
fn a_manifest_that_a_stranger_signed_proves_nothing() {
    let mut parts = Parts::of(&lived().export()).split();
    let last = parts.ranges.iter().rposition(|range| range.author == key(2).author()).unwrap();
    parts.ranges.remove(last);
    let rules = |bundle: &[u8]| -> Vec<Rule> {
        check(bundle).failures.listed.iter().map(|failure| failure.rule).collect()
    };
    // The state is another one as well, and the stranger may name that one, so that only its
    // standing gives it away.
    let bad = parts.clone().signed(&key(66));
    assert_eq!(rules(&bad.to_bytes()), [Rule::ManifestExporter, Rule::StateDigest]);
    let digest = check(&bad.to_bytes()).checked.digest.unwrap();
    let mut bad = bad;
    let (mut manifest, _) = Manifest::read(&bad.manifest).unwrap();
    manifest.digest = digest;
    bad.manifest = manifest.sign(&key(66));
    assert_eq!(rules(&bad.to_bytes()), [Rule::ManifestExporter]);
}

#[test]
fn what_the_manifest_says_is_compared() {
    let good = Parts::of(&lived().export());
    let with = |change: &dyn Fn(&mut Manifest)| {
        let mut parts = good.clone();
        let (mut manifest, _) = Manifest::read(&parts.manifest).unwrap();
        change(&mut manifest);
        parts.manifest = manifest.sign(&key(1));
        parts.to_bytes()
    };
    assert!(check(&with(&|_| ())).verifies());
    let rule = |change: &dyn Fn(&mut Manifest)| first(&with(change)).rule;
    assert_eq!(rule(&|m| m.digest.0[0] ^= 1), Rule::StateDigest);
    assert_eq!(rule(&|m| m.events += 1), Rule::ManifestEvents);
    assert_eq!(rule(&|m| m.logs[1].length += 1), Rule::ManifestFrontier);
    assert_eq!(rule(&|m| m.logs[1].root.0[0] ^= 1), Rule::ManifestFrontier);
    assert_eq!(rule(&|m| m.swarm.0[0] ^= 1), Rule::ManifestSwarm);
    assert_eq!(rule(&|m| m.logs.swap(0, 1)), Rule::ManifestBytes);
    assert_eq!(rule(&|m| m.format = BUNDLE_FORMAT + 1), Rule::ManifestBytes);
    // Another fold's digest cannot be compared: that is said, and is no failure.
    let report = check(&with(&|m| m.fold_version += 1));
    assert!(report.verifies());
    assert!(report.unchecked.iter().any(|unchecked| unchecked.kind == "digest"));
}

/// Members who sign what breaks the rules of events.
#[test]
fn an_author_that_breaks_a_rule_is_named() {
    let ben = key(2);
    // What ben's second append is, by its record and the clocks of record and head.
    let bad = |record: &dyn Fn(Hlc) -> Record, head_ahead: u64| {
        let mut world = small();
        let clock = world.clock.tick(world.now_ms).unwrap();
        let tip = &world.tips[&ben.author()];
        let append = tip.append(&ben, world.swarm, clock.0 + head_ahead, vec![record(clock)]);
        let end = append.tip();
        let mut parts = Parts::of(&world.export());
        let heads: Vec<SignedHead> = append.heads().iter().map(|h| (**h).clone()).collect();
        let records = append.records().to_vec();
        let range = Range { author: ben.author(), from: 1, records, heads };
        let behind = parts.ranges.iter().position(|r| r.author == ben.author()).unwrap() + 1;
        parts.ranges.insert(behind, range);
        let parts = parts.signed(&key(1));
        let failure = first(&parts.to_bytes());
        assert_eq!((failure.author, failure.index), (Some(ben.author()), Some(1)), "{failure:?}");
        assert_eq!(end.length(), 2);
        failure.rule
    };
    let draft = || about(seen());
    let fine = |clock| draft().record(1, clock).unwrap();
    assert_eq!(bad(&fine, 1), Rule::HeadClock);
    assert_eq!(bad(&|clock| draft().record(2, clock).unwrap(), 0), Rule::EventSeq);
    assert_eq!(bad(&|_| draft().record(1, Hlc(7)).unwrap(), 0), Rule::ClockOrder);
    assert_eq!(bad(&|_| Record::new(b"not a header", b"").unwrap(), 0), Rule::EventHeader);
    let other_body = |clock| {
        let mut bytes = draft().record(1, clock).unwrap().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        Record::from_bytes(bytes).unwrap()
    };
    assert_eq!(bad(&other_body, 0), Rule::RecordBodyHash);
}

#[test]
fn a_head_of_another_swarm_or_author_is_named() {
    let good = Parts::of(&small().export());
    let at = good.ranges.iter().position(|range| range.author == key(2).author()).unwrap();
    let with = |sign: &dyn Fn(&SignedHead) -> SignedHead| {
        let mut parts = good.clone();
        let head = parts.ranges[at].heads[0].clone();
        parts.ranges[at].heads[0] = sign(&head);
        first(&parts.to_bytes()).rule
    };
    let sign = |key: &SecretKey, swarm, head: &SignedHead| {
        (*SignedHead::sign(key, swarm, head.length, head.root, head.clock)).clone()
    };
    assert_eq!(with(&|head| sign(&key(2), SwarmId([1; 32]), head)), Rule::HeadSwarm);
    assert_eq!(with(&|head| sign(&key(3), head.swarm, head)), Rule::HeadAuthor);
    let forged = |head: &SignedHead| {
        let stranger = sign(&key(3), head.swarm, head);
        SignedHead { author: key(2).author(), ..stranger }
    };
    assert_eq!(with(&forged), Rule::HeadSignature);
}

#[test]
fn a_log_of_a_stranger_is_named() {
    let mut world = small();
    world.say(&key(7), [about(seen())]);
    let failure = first(&world.export());
    assert_eq!((failure.rule, failure.author), (Rule::Member, Some(key(7).author())));
    assert_eq!(failure.index, Some(0));
}

#[test]
fn a_swarm_without_its_founding_event_is_named() {
    let world = small();
    let mut parts = Parts::of(&world.export());
    parts.ranges.retain(|range| range.author != key(1).author());
    assert_eq!(first(&parts.signed(&key(2)).to_bytes()).rule, Rule::FoundingEvent);
}

#[test]
fn a_cause_that_is_not_earlier_is_named() {
    let mut world = small();
    // Anna's event of a later time is the cause of one of ben's of an earlier time.
    let early = world.clock.tick(world.now_ms).unwrap();
    let [late] = world.say(&key(1), [about(seen())]);
    let record = about(seen()).because([late]).record(1, early).unwrap();
    world.append(&key(2), early, vec![record]);
    let failure = first(&world.export());
    assert_eq!(failure.rule, Rule::CauseOrder);
    assert_eq!((failure.author, failure.index), (Some(key(2).author()), Some(1)));
    // A cause that is nowhere cannot be checked, and that is said.
    let mut world = small();
    world.say(&key(2), [about(seen()).because([EventId([4; 32])])]);
    let report = check(&world.export());
    assert!(report.verifies());
    let causes = report.unchecked.iter().find(|unchecked| unchecked.kind == "causes").unwrap();
    assert_eq!(causes.count, Some(1));
}

#[test]
fn a_checkpoint_that_lies_is_named() {
    let mut world = lived();
    let honest = world.checkpoint();
    let mut lie = honest.clone();
    lie.digest.0[0] ^= 1;
    let mut beyond = honest.clone();
    beyond.frontier[0].length += 1000;
    let mut other = honest.clone();
    other.fold_version += 1;
    world.say(&key(2), [honest, lie, beyond, other].map(Draft::general));
    let length = world.tips[&key(2).author()].length();
    let report = check(&world.export());
    let [failure] = &report.failures.listed[..] else {
        panic!("{:?}", report.failures);
    };
    assert_eq!(failure.rule, Rule::CheckpointDigest);
    assert_eq!((failure.author, failure.index), (Some(key(2).author()), Some(length - 3)));
    assert_eq!(report.checked.checkpoints, 2);
    let skipped = report.unchecked.iter().find(|unchecked| unchecked.kind == "checkpoints");
    assert_eq!(skipped.unwrap().count, Some(2));
}

/// A checkpoint of a node that had not taken in everything that is in the bundle.
#[test]
fn a_checkpoint_of_an_older_frontier_is_folded_anew() {
    let mut world = small();
    let [intent] = world.say(&key(2), [about(intended(1))]);
    let old = world.checkpoint();
    world.admit(&key(3), "carl", Role::Agent);
    let won = ClaimWon { intent, epoch: 1, commit: commit('a') };
    world.say(&key(2), [about(won)]);
    world.say(&key(3), [Draft::general(old)]);
    let new = world.checkpoint();
    world.say(&key(3), [Draft::general(new)]);
    let report = check(&world.export());
    assert!(report.verifies(), "{:?}", report.failures);
    assert_eq!(report.checked.checkpoints, 2);
}

#[test]
fn two_winners_refusals_and_revocations_are_found() {
    let mut world = lived();
    let (ben, carl) = (key(2), key(3));
    let [a] = world.say(&ben, [about(intended(2))]);
    let [b] = world.say(&carl, [about(intended(2))]);
    world.say(&ben, [about(ClaimWon { intent: a, epoch: 2, commit: commit('e') })]);
    world.say(&carl, [about(ClaimWon { intent: b, epoch: 2, commit: commit('f') })]);
    world.say(&carl, [about(WorkDone { epoch: 2, summary: String::new() })]);
    let saw = ClaimSeen {
        holder: carl.author(),
        epoch: 2,
        commit: commit('f'),
        status: ClaimStatus::Active,
    };
    world.say(&key(1), [about(saw)]);
    let length = world.tips[&carl.author()].length();
    let reason = "left".to_owned();
    let revoked = MemberRevoked { member: carl.author(), length, reason };
    world.say(&key(1), [Draft::general(revoked)]);
    world.say(&carl, [about(seen())]);
    let report = check(&world.export());
    assert!(report.verifies(), "{:?}", report.failures);
    let kinds: Vec<&str> = report.findings.listed.iter().map(|f| f.kind).collect();
    assert_eq!(kinds, ["revoked", "refused", "contested", "witness"]);
    assert_eq!(report.checked.refused, 1);
    // The story shows the event behind the revocation, and that it is void.
    let audit = verify(Cursor::new(world.export())).unwrap();
    let steps = story(&audit.archive, world.fold.state(), task(), None);
    let steps: Vec<_> = steps.map(Result::unwrap).collect();
    let void: Vec<_> = steps.iter().filter(|step| !step.stands).collect();
    assert_eq!(void.len(), 1);
    assert_eq!(void[0].event.author, carl.author());
    assert_eq!(steps.iter().filter(|step| step.refused.is_some()).count(), 1);
}

/// A frontier inside the logs is exported as it was asked for.
#[test]
fn what_comes_after_the_frontier_is_not_exported() {
    let mut world = small();
    let (before, digest) = (world.fold.frontier().clone(), world.fold.state().digest());
    let old = world.export();
    world.say(&key(2), [about(intended(1)), about(intended(2))]);
    let mut bundle = Vec::new();
    export(&world.store, world.swarm, &key(1), &before, digest, &mut bundle).unwrap();
    assert_eq!(bundle, old);
    let mut inside = before;
    *inside.get_mut(&key(2).author()).unwrap() += 1;
    let refused = export(&world.store, world.swarm, &key(1), &inside, digest, &mut Vec::new());
    assert!(refused.unwrap_err().to_string().contains("no append ends"));
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    let mut bundle = small().export()[..HEADER_BYTES].to_vec();
    bundle.extend_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(first(&bundle).rule, Rule::FrameLength);
    bundle.truncate(HEADER_BYTES);
    bundle.extend_from_slice(&0u32.to_le_bytes());
    bundle.extend_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(first(&bundle).rule, Rule::FrameLength);
}

/// The events that verified are those that are replayed, and only up to the time asked for.
#[test]
fn a_story_is_told_up_to_a_time() {
    let world = lived();
    let audit = verify(Cursor::new(world.export())).unwrap();
    let fold = fold_at(&audit.archive, world.swarm, None).unwrap();
    assert_eq!(fold.state(), world.fold.state());
    let all = world.fold.state().tasks[&task()].events;
    let whole = story(&audit.archive, fold.state(), task(), None).count();
    assert_eq!(whole as u64, all);
    assert_eq!(find_task(fold.state(), "tally#1"), Ok(task()));
    assert_eq!(find_task(fold.state(), &task().to_string()[..6]), Ok(task()));
    assert!(find_task(fold.state(), "tally#2").is_err());
    let at = Some(START_MS + 4000);
    let early = fold_at(&audit.archive, world.swarm, at).unwrap();
    let steps: Vec<_> = story(&audit.archive, early.state(), task(), at).collect();
    assert_eq!(steps.len(), 2, "the issue and the intent");
    assert!(early.state().tasks[&task()].current().is_none());
}

/// The pages of the specification name every kind, and their examples are real.
#[test]
fn the_specification_is_up_to_date() {
    let page = include_str!("../../../schema/kinds.md");
    for (number, name) in KINDS {
        assert!(page.contains(&format!("\n### {number} {name}\n")), "kinds.md lacks {name}");
    }
    let page = include_str!("../../../schema/identity.md");
    assert!(page.contains(&task().to_string()));
    let page = include_str!("../../../schema/bundle.md");
    let mut reader = BundleReader::open(Cursor::new(small().export())).unwrap();
    while let Some(Part::Range { bytes, .. } | Part::Manifest { bytes, .. }) =
        reader.next_part().unwrap()
    {
        let length = bytes.len();
        assert!(page.contains(&format!("\n    {length} | ")), "bundle.md lacks a part of {length}");
    }
}

fn program(path: &str, args: &[&str]) -> Output {
    let output = Command::new(path).args(args).stdin(Stdio::null()).output();
    output.expect("the program can be started")
}

fn verifier(args: &[&str]) -> (Option<i32>, String) {
    let output = program(env!("CARGO_BIN_EXE_bzzz-verify"), args);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn replayer(args: &[&str]) -> (Option<i32>, String, String) {
    let output = program(env!("CARGO_BIN_EXE_bzzz-replay"), args);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn bzzz_verify_tells_yes_from_no_from_cannot_tell() {
    let folder = tempfile::tempdir().unwrap();
    let good = lived().export();
    let path = write(folder.path(), "good", &good);
    let (status, said) = verifier(&[&path]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("log ")).count(), 3);
    let ben = key(2).author();
    let says = format!("log ben ({}): 18 events in 11 appends verify, 2026-01-31T12:", ben.short());
    assert!(said.contains(&says), "{said}");
    assert!(said.contains("not checked: the claim refs"), "{said}");
    assert!(said.trim_end().lines().last().unwrap().starts_with("Verified: "), "{said}");

    let mut bad = good.clone();
    let middle = good.len() / 2;
    bad[middle] ^= 1;
    let path = write(folder.path(), "bad", &bad);
    let (status, said) = verifier(&[&path]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.lines().any(|l| l.starts_with("FAILED ") && l.contains(", index ")), "{said}");
    let (status, said) = verifier(&["--json", &path]);
    assert_eq!(status, Some(1));
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["verified"], false);
    assert!(json["failures"]["listed"][0]["rule"].is_string());
    assert!(json["failures"]["listed"][0]["index"].is_u64());

    let empty = write(folder.path(), "empty", b"");
    assert_eq!(verifier(&[&empty]).0, Some(1));
    let missing = folder.path().join("missing");
    assert_eq!(verifier(&[missing.to_str().unwrap()]).0, Some(2));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(verifier(&[folder.path().to_str().unwrap()]).0, Some(2));
    assert_eq!(verifier(&[]).0, Some(2));
    assert_eq!(verifier(&["--nonsense", &path]).0, Some(2));
}

#[test]
fn bzzz_replay_tells_a_story() {
    let folder = tempfile::tempdir().unwrap();
    let good = lived().export();
    let path = write(folder.path(), "good", &good);
    let (status, said, error) = replayer(&[&path]);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    let row: Vec<&str> = said.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(row[..5], ["tally#1", "published", "ben", "1", "21"]);
    let (status, said, _) = replayer(&[&path, "tally#1"]);
    assert_eq!(status, Some(0));
    assert_eq!(said, include_str!("story.txt"), "{said}");
    let (_, said, _) = replayer(&[&path, "tally#1", "--at", "2026-01-31T12:00:04.500Z"]);
    assert!(said.contains("\nopen, 1 epoch, "), "{said}");
    assert!(!said.contains("won epoch"), "{said}");
    let (_, said, _) = replayer(&[&path, "tally#1", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["events"].as_array().unwrap().len(), 21);
    assert_eq!(json["task"]["status"], "published");
    let output = json["events"].as_array().unwrap().iter();
    let output = output.map(|event| &event["payload"]).find(|p| p["kind"] == "command_output");
    assert_eq!(output.unwrap()["text"], "1 of 2 tests\n\u{1b}[31mred\u{1b}[0m\n");
    let (_, said, _) = replayer(&[&path, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["tasks"][0]["owner_name"], "ben");

    assert_eq!(replayer(&[&path, "tally#9"]).0, Some(1));
    assert_eq!(replayer(&[&path, "--at", "yesterday"]).0, Some(2));
    let mut bad = good;
    let last = bad.len() - 1;
    bad[last] ^= 1;
    let path = write(folder.path(), "bad", &bad);
    let (status, said, error) = replayer(&[&path]);
    assert_eq!((status, said.as_str()), (Some(1), ""));
    assert!(error.contains("manifest-signature"), "{error}");
    let (status, said, error) = replayer(&[&path, "--unverified"]);
    assert_eq!(status, Some(0));
    assert!(said.contains("tally#1") && error.contains("does not verify"), "{said}{error}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "good", &lived().export());
    for program in [env!("CARGO_BIN_EXE_bzzz-verify"), env!("CARGO_BIN_EXE_bzzz-replay")] {
        // The reading end is closed before the program starts to write.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(program);
        let child = command.args([&path, "--json"]).stdout(writer).stderr(Stdio::piped());
        let output = child.spawn().unwrap().wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*error), (Some(0), ""), "{program}");
    }
}
