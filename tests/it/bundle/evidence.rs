//! What an auditor compares beyond the logs themselves: heads from elsewhere, witnesses, claims,
//! erasures; and that many threads say what one says.

use bzzz::cli::verify::{Files, Progress, verify as verify_on_all_cores};
use bzzz::kernel::audit::{Expect, Pins, Policy, verify_expecting};
use bzzz::kernel::event::kinds::{
    ClaimDropped, ClaimLost, HeadsWitnessed, PayloadErased, WitnessedHead,
};
use bzzz::kernel::event::{Claim, SignedClaim};
use bzzz::kernel::log::RecordRef;

use super::*;

fn expecting(bundle: &[u8], expect: Expect) -> Report {
    verify_expecting(Cursor::new(bundle), expect).expect("memory can be read").report
}

fn on_all_cores(bundle: &[u8]) -> Report {
    let input = Cursor::new(bundle);
    let bytes = bundle.len() as u64;
    verify_on_all_cores(input, bytes, Expect::default(), Progress::quiet()).unwrap().report
}

#[test]
fn all_cores_say_what_one_says() {
    let good = lived().export();
    let mut tried = vec![good.clone(), Parts::of(&good).split().to_bytes()];
    tried.extend((0..good.len()).step_by(97).map(|at| good[..at].to_vec()));
    for at in (0..good.len()).step_by(41) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        tried.push(bad);
    }
    for bundle in tried {
        assert_eq!(on_all_cores(&bundle), check(&bundle));
    }
}

/// A bundle that is cut into files is the same bundle.
#[test]
fn a_directory_of_pieces_is_a_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let good = lived().export();
    for (number, piece) in (0..).zip(good.chunks(777)) {
        write(folder.path(), &format!("piece-{number:04}"), piece);
    }
    write(folder.path(), "piece-0003-empty", b"");
    write(folder.path(), ".hidden", b"not a piece");
    let files = Files::open(folder.path()).unwrap();
    let bytes = files.bytes();
    let report = verify_on_all_cores(files, bytes, Expect::default(), Progress::quiet());
    assert_eq!(report.unwrap().report, check(&good));
    let path = folder.path().to_str().unwrap().to_owned();
    assert_eq!(verifier(&[&path]).0, Some(0));
    std::fs::remove_file(folder.path().join("piece-0002")).unwrap();
    assert_eq!(verifier(&[&path]).0, Some(1));
}

/// Logs of nothing, one for each author, cost nothing beyond the most that a manifest can name.
#[test]
fn too_many_logs_are_passed_over() {
    let mut bundle = small().export()[..HEADER_BYTES].to_vec();
    let most = bzzz::kernel::audit::MAX_BUNDLE_LOGS as u64;
    for number in 0..most + 4 {
        let mut frame = [0; 40];
        frame[..8].copy_from_slice(&number.to_be_bytes());
        bundle.extend_from_slice(&40u32.to_le_bytes());
        bundle.extend_from_slice(&frame);
    }
    let report = on_all_cores(&bundle);
    assert_eq!(report.logs.len() as u64, most);
    let passed = report.unchecked.iter().find(|unchecked| unchecked.kind == "ranges").unwrap();
    assert_eq!(passed.count, Some(4));
    // The ranges, that there are too many, the end that is missing, and the founding event.
    assert_eq!(report.failures.count, most + 3);
}

#[test]
fn a_log_must_contain_the_heads_that_were_obtained_elsewhere() {
    let world = lived();
    let bundle = world.export();
    let ben = key(2).author();
    let pinned = |pins: &[String]| {
        let mut all = Pins::default();
        pins.iter().for_each(|pin| all.add(pin).unwrap());
        expecting(&bundle, Expect { pins: all, policy: None })
    };
    let heads = world.store.heads(&ben, 0, 100).unwrap();
    let right: Vec<String> =
        heads.iter().map(|head| format!("{ben}:{}:{}", head.length, head.root)).collect();
    assert!(pinned(&right).verifies());
    let first = |report: Report| {
        let failure = report.failures.listed.into_iter().next().unwrap();
        (failure.rule, failure.author, failure.index)
    };
    let other = format!("{ben} 3 {}", Hash([7; 32]));
    assert_eq!(first(pinned(std::slice::from_ref(&other))), (Rule::Pin, Some(ben), Some(2)));
    let length = world.tips[&ben].length();
    let longer = format!("{ben}:{}:{}", length + 1, Hash([7; 32]));
    assert_eq!(first(pinned(&[longer])), (Rule::Pin, Some(ben), Some(length)));
    let missing = format!("{}:1:{}", key(9).author(), Hash([7; 32]));
    assert_eq!(first(pinned(&[missing])).1, Some(key(9).author()));
    for bad in ["", "a:b:c", "1:2", &format!("{ben}:0:{}", Hash([7; 32]))] {
        assert!(Pins::default().add(bad).is_err(), "{bad}");
    }
    // The program takes them from the command line and from files.
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "good", &bundle);
    let text = format!("# of last week\n{}\n", right.join("\n"));
    let pins = write(folder.path(), "pins", text.as_bytes());
    assert_eq!(verifier(&[&path, "--pin", &pins, "--pin", &right[0]]).0, Some(0));
    assert_eq!(verifier(&[&path, "--pin", &other.replace(' ', ":")]).0, Some(1));
    assert_eq!(verifier(&[&path, "--pin", "no-such-file"]).0, Some(2));
}

fn witnessed(head: &SignedHead) -> WitnessedHead {
    let SignedHead { author, length, root, clock, signature, .. } = head.clone();
    WitnessedHead { author, length, root, clock, signature }
}

fn says(world: &mut World, who: u8, heads: Vec<WitnessedHead>) {
    world.say(&key(who), [Draft::general(HeadsWitnessed { heads })]);
}

#[test]
fn witnesses_attest_a_log_up_to_an_event() {
    let mut world = lived();
    let (anna, ben, carl) = (key(1).author(), key(2).author(), key(3).author());
    let heads = world.store.heads(&ben, 0, 100).unwrap();
    says(&mut world, 3, vec![witnessed(&heads[2])]);
    says(&mut world, 1, vec![witnessed(&heads[4])]);
    let annas = world.store.newest_head(&anna).unwrap().unwrap();
    says(&mut world, 3, vec![witnessed(&annas)]);
    let carls = world.store.newest_head(&carl).unwrap().unwrap();
    says(&mut world, 2, vec![witnessed(&carls)]);
    let bundle = world.export();
    let report = check(&bundle);
    assert!(report.verifies(), "{:?}", report.failures);
    assert_eq!(report.checked.witnessed, 4);
    let of = |report: &Report, author| {
        report.attested.iter().find(|log| log.author == author).unwrap().clone()
    };
    let mut by: Vec<_> = of(&report, ben).witnesses.iter().map(|w| (w.by, w.length)).collect();
    by.sort_by_key(|(_, length)| *length);
    assert_eq!(by, [(carl, heads[2].length), (anna, heads[4].length)]);

    let with = |quorum: &str| {
        let text = format!(
            "witness a {anna}\nwitness b {ben}\nwitness c {carl}\n\
             group one any a b c\ngroup two 2 a b c\nquorum {quorum}\n"
        );
        let policy = Some(Policy::parse(&text).unwrap());
        expecting(&bundle, Expect { policy, ..Expect::default() })
    };
    let report = with("one");
    assert!(report.verifies(), "{:?}", report.failures);
    assert_eq!(of(&report, ben).quorum, Some(heads[4].length));
    assert!(report.unchecked.iter().any(|unchecked| unchecked.kind == "unattested"));
    // Nobody but one other holds anna's log and carl's, and then two are too many.
    let report = with("two");
    assert_eq!(of(&report, ben).quorum, Some(heads[2].length));
    let failed: Vec<_> = report.failures.listed.iter().map(|f| (f.rule, f.author)).collect();
    assert_eq!(failed.len(), 2);
    assert!(failed.contains(&(Rule::Policy, Some(anna))), "{failed:?}");
    assert!(report.failures.listed[0].what.contains("two"), "{:?}", report.failures);
}

#[test]
fn a_witnessed_head_of_another_history_is_evidence_of_a_fork() {
    let ben = key(2);
    let with = |head: &dyn Fn(&World) -> SignedHead| {
        let mut world = lived();
        let head = head(&world);
        says(&mut world, 3, vec![witnessed(&head)]);
        check(&world.export())
    };
    let other = |world: &World, key: &SecretKey| {
        (*SignedHead::sign(key, world.swarm, 2, Hash([7; 32]), 5)).clone()
    };
    let report = with(&|world| other(world, &ben));
    let failure = &report.failures.listed[0];
    assert_eq!(failure.rule, Rule::WitnessedRoot);
    assert_eq!((failure.author, failure.index), (Some(ben.author()), Some(1)));
    // Nobody signed it: then it is the witness who is to be asked.
    let report = with(&|world| SignedHead { author: ben.author(), ..other(world, &key(3)) });
    assert!(report.verifies());
    assert_eq!(report.findings.listed[0].kind, "witness");
    let longer =
        |world: &World| (*SignedHead::sign(&ben, world.swarm, 99, Hash([7; 32]), 5)).clone();
    let report = with(&longer);
    let beyond = report.unchecked.iter().find(|unchecked| unchecked.kind == "witnessed");
    assert_eq!(beyond.unwrap().count, Some(1));
}

#[test]
fn owners_are_listed_from_when_to_when() {
    let report = check(&lived().export());
    let [claim] = &report.claims[..] else {
        panic!("{:?}", report.claims);
    };
    assert_eq!((claim.name.as_str(), claim.epoch), ("tally#1", 1));
    assert_eq!((claim.owner, claim.end), (key(2).author(), "published"));
    assert_eq!((claim.published.clone(), claim.pull_request), (Some(commit('c')), Some(7)));
    assert!(claim.until.is_some_and(|until| until > claim.from));
}

#[test]
fn work_that_is_published_after_the_claim_was_lost_is_found() {
    let mut world = small();
    let ben = key(2);
    let [intent] = world.say(&ben, [about(intended(1))]);
    world.say(&ben, [about(ClaimWon { intent, epoch: 1, commit: commit('a') })]);
    let lost = ClaimLost { epoch: 1, commit: Some(commit('e')), holder: None };
    world.say(&ben, [about(lost)]);
    let (branch, work) = ("bzzz/tally-1".to_owned(), commit('c'));
    let publish = PublishIntended {
        epoch: 1,
        branch: branch.clone(),
        commit: work.clone(),
        changed: (1, 1, 1),
    };
    let published = Published { epoch: 1, branch, commit: work, claim: commit('d') };
    world.say(&ben, [about(publish), about(published)]);
    let bundle = world.export();
    let report = check(&bundle);
    assert_eq!(report.findings.listed[0].kind, "published-late", "{:?}", report.findings);
    assert_eq!(report.claims[0].end, "lost");
    // Whoever asks for it gets a status.
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "late", &bundle);
    assert_eq!(verifier(&[&path]).0, Some(0));
    let (status, said) = verifier(&[&path, "--strict", "--claims"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("owned: tally#1 epoch 1 by ben"), "{said}");
}

/// The bundle without the payload of one of ben's events, and a manifest for the state without it.
fn without_payload(world: &World, seq: u64) -> Report {
    let mut parts = Parts::of(&world.export()).split();
    for range in parts.ranges.iter_mut().filter(|range| range.author == key(2).author()) {
        for (at, record) in (range.from..).zip(&mut range.records) {
            if at == seq {
                let bytes: RecordRef<'_> = record.as_ref();
                let mut bytes = bytes.as_bytes()[..3 + bytes.header().len()].to_vec();
                bytes[2] = 0;
                *record = Record::from_bytes(bytes).unwrap();
            }
        }
    }
    let digest = check(&parts.to_bytes()).checked.digest.unwrap();
    let (mut manifest, _) = Manifest::read(&parts.manifest).unwrap();
    manifest.digest = digest;
    parts.manifest = manifest.sign(&key(1));
    check(&parts.to_bytes())
}

#[test]
fn a_payload_that_is_not_there_was_erased_or_is_lost() {
    let ben = key(2).author();
    let of = |world: &World| {
        let seq = world.tips[&ben].length() - 1;
        let record = world.store.records(
            &ben,
            seq,
            bzzz::kernel::log::ReadLimit { records: 1, bytes: usize::MAX },
        );
        let event = EventId(record.unwrap()[0].as_ref().leaf(&ben).0);
        PayloadErased { event, author: ben, seq, reason: "a token".to_owned() }
    };
    let mut world = small();
    world.say(&key(2), [about(intended(1))]);
    let seq = world.tips[&ben].length() - 1;
    let report = without_payload(&world, seq);
    assert_eq!((report.lost.count, report.erased.count), (1, 0), "{report:?}");
    assert!(report.unchecked.iter().any(|unchecked| unchecked.kind == "absent"));

    let erased = of(&world);
    world.say(&key(1), [Draft::general(erased)]);
    let report = without_payload(&world, seq);
    assert_eq!((report.lost.count, report.erased.count), (0, 1), "{report:?}");
    let listed = &report.erased.listed[0];
    assert_eq!((listed.index, listed.by), (seq, key(1).author()));
    assert_eq!(listed.reason, "a token");

    // Somebody else's erasure of it counts for nothing.
    let mut world = small();
    world.admit(&key(3), "carl", Role::Agent);
    let erased = of(&world);
    let seq = erased.seq;
    world.say(&key(3), [Draft::general(erased)]);
    let report = without_payload(&world, seq);
    assert_eq!((report.lost.count, report.erased.count), (1, 0), "{report:?}");
    assert!(report.findings.listed.iter().any(|finding| finding.kind == "erasure"));
}

fn git(folder: &Path, args: &[&str], input: &[u8]) -> String {
    use std::io::Write as _;
    let mut command = Command::new("git");
    for (name, value) in [("GIT_AUTHOR_NAME", "t"), ("GIT_COMMITTER_NAME", "t")] {
        command.env(name, value).env(name.replace("NAME", "EMAIL"), "t@example.org");
    }
    let command = command.args(args).current_dir(folder);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {args:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A claim commit of a task of `tally`, as a node makes it.
fn claim_commit(
    folder: &Path,
    who: &SecretKey,
    claim: Claim,
    parent: Option<&CommitId>,
) -> CommitId {
    let signed = SignedClaim::sign(who, claim);
    let blob = git(folder, &["hash-object", "-w", "--stdin"], signed.as_bytes());
    let tree = git(folder, &["mktree"], format!("100644 blob {blob}\tclaim\n").as_bytes());
    let mut args = vec!["commit-tree", "-m", "claim", &tree];
    args.extend(parent.iter().flat_map(|parent| ["-p", parent.as_str()]));
    git(folder, &args, b"").parse().unwrap()
}

/// Ben wins and releases epoch 1 of a task, carl wins epoch 2: in the logs and in a repository.
fn claimed(folder: &Path) -> (World, Vec<CommitId>) {
    let (ben, carl) = (key(2), key(3));
    let mut world = small();
    world.admit(&carl, "carl", Role::Agent);
    git(folder, &["init", "-q", "--bare", "."], b"");
    let mut claims: Vec<CommitId> = Vec::new();
    for (who, epoch, statuses) in [
        (&ben, 1, &[ClaimStatus::Active, ClaimStatus::Released][..]),
        (&carl, 2, &[ClaimStatus::Active]),
    ] {
        let previous = claims.last().cloned();
        let [event] = world.say(who, [about(ClaimIntended { previous, ..intended(epoch) })]);
        for (renewal, status) in (0..).zip(statuses) {
            let claim = Claim {
                format: 1,
                swarm: world.swarm,
                author: who.author(),
                process: 5,
                task: task(),
                epoch,
                renewal,
                lease_ms: 60_000,
                event,
                status: *status,
            };
            let commit = claim_commit(folder, who, claim, claims.last());
            claims.push(commit.clone());
            let (status, reason) = (*status, String::new());
            if renewal == 0 {
                world.say(who, [about(ClaimWon { intent: event, epoch, commit })]);
            } else {
                world.say(who, [about(ClaimMoved { epoch, renewal, commit, status, reason })]);
            }
        }
    }
    (world, claims)
}

#[test]
fn claim_refs_are_compared_with_the_logs() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("r.git");
    std::fs::create_dir(&repository).unwrap();
    let (mut world, claims) = claimed(&repository);
    let path = write(folder.path(), "bundle", &world.export());
    let option = format!("tally={}", repository.display());
    let held = |commit: &CommitId| {
        let name = "refs/bzzz/claims/1";
        git(&repository, &["update-ref", name, commit.as_str()], b"");
        let (status, said) = verifier(&[&path, "--git", &option, "--json"]);
        let json: serde_json::Value = serde_json::from_str(&said).unwrap();
        let rule = json["failures"]["listed"][0]["rule"].as_str().map(str::to_owned);
        (status, rule, said)
    };
    let (status, rule, said) = held(&claims[2]);
    assert_eq!((status, rule), (Some(0), None), "{said}");
    assert!(!said.contains("the claim refs; without"), "{said}");
    // Carl's claim was never there, or ben's was taken away.
    let refused = (Some(1), Some("claim-ref".to_owned()));
    let (status, rule, said) = held(&claims[1]);
    assert_eq!((status, rule), refused, "{said}");
    let swarm = world.swarm;
    let claim = |who: &SecretKey, epoch, event| Claim {
        format: 1,
        swarm,
        author: who.author(),
        process: 5,
        task: task(),
        epoch,
        renewal: 0,
        lease_ms: 60_000,
        event,
        status: ClaimStatus::Active,
    };
    let alone = claim_commit(&repository, &key(3), claim(&key(3), 2, EventId([1; 32])), None);
    assert_eq!((held(&alone).0, held(&alone).1), refused);
    // One that the logs do not have yet is not checked, and that is said.
    let event = EventId([1; 32]);
    let next = claim_commit(&repository, &key(2), claim(&key(2), 3, event), claims.last());
    let (status, _, said) = held(&next);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("\"later\""), "{said}");
    let jump = claim_commit(&repository, &key(2), claim(&key(2), 4, event), claims.last());
    assert_eq!((held(&jump).0, held(&jump).1), refused);
    assert_eq!(verifier(&[&path, "--git", "tally=/no/such/place"]).0, Some(2));
    // Carl deletes the ref after the end: that it is gone is right then, and wrong for others.
    git(&repository, &["update-ref", "-d", "refs/bzzz/claims/1"], b"");
    assert_eq!(verifier(&[&path, "--git", &option]).0, Some(1));
    let (epoch, commit) = (2, claims[2].clone());
    world.say(&key(3), [about(ClaimDropped { epoch, commit })]);
    let path = write(folder.path(), "dropped", &world.export());
    let (status, said) = verifier(&[&path, "--git", &option]);
    assert_eq!(status, Some(0), "{said}");
}
