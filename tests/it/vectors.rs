//! The vectors of `schema/vectors/`: the kernel answers to each what its header says, and every
//! rule and every error of a reader has one. And the fixtures: bundles that must stay readable for
//! ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Cursor as Bytes;
use std::path::{Path, PathBuf};

use bzzz::kernel::audit::{
    Proof, ProofFile, ProofFileError, Rule, TlogError, checkpoint_rule, fork_rule, read_tlog_proof,
    verify,
};
use bzzz::kernel::event::{
    ClaimError, CodecError, EventError, Payload, SignedClaim, SignedEventError,
};
use bzzz::kernel::fold::FOLD_VERSION;
use bzzz::kernel::identity::{AuthorId, SignatureError, SwarmId};
use bzzz::kernel::log::tlog::{CheckpointError, NoteError, SignedCheckpoint, TlogProofError};
use bzzz::kernel::log::{
    Consistency, Cursor, ForkError, ForkProof, HEAD_BYTES, Hash, HeadError, Inclusion, ProofError,
    RangeError, RecordError, RecordRef, SignedHead,
};
use bzzz::kernel::sync::{MessageError, Request, Response};

/// One file: what its header says, and the bytes.
struct Vector {
    name: String,
    header: BTreeMap<String, String>,
    bytes: Vec<u8>,
}

/// What a reader answers; nothing of it is set if it accepts.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    rule: Option<String>,
    detail: Option<String>,
    author: Option<String>,
    index: Option<u64>,
}

impl Answer {
    fn of((rule, detail): (&str, &str)) -> Self {
        let detail = Some(detail.to_owned()).filter(|detail| !detail.is_empty());
        Self { rule: Some(rule.to_owned()), detail, ..Self::default() }
    }

    fn at(self, author: &dyn ToString, index: u64) -> Self {
        Self { author: Some(author.to_string()), index: Some(index), ..self }
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(name)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

impl Vector {
    fn read(path: &Path) -> Self {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(path).unwrap();
        assert!(text.is_ascii(), "{name}: not ASCII");
        let (header, digits) = text.split_once("\n\n").unwrap();
        let pair = |line: &str| {
            let (key, value) = line.split_once(": ").unwrap();
            (key.to_owned(), value.to_owned())
        };
        let header = header.lines().map(pair).collect();
        let bytes = hex::decode(digits.replace('\n', "")).unwrap();
        Self { name, header, bytes }
    }

    fn says(&self, key: &str) -> &str {
        let said = self.header.get(key);
        said.unwrap_or_else(|| panic!("{}: the header has no {key}", self.name))
    }

    fn expected(&self) -> Answer {
        let get = |key: &str| self.header.get(key).cloned();
        if get("fold").is_some_and(|version| version != FOLD_VERSION.to_string()) {
            // A digest of a version that this program has not is not checked.
            return Answer::default();
        }
        match self.says("expect") {
            "accept" => Answer::default(),
            "refuse" => Answer {
                rule: Some(self.says("rule").to_owned()),
                detail: get("detail"),
                author: get("author"),
                index: get("index").map(|index| index.parse().unwrap()),
            },
            other => panic!("{}: expect: {other}", self.name),
        }
    }

    fn swarm(&self) -> SwarmId {
        self.says("swarm").parse().unwrap()
    }

    fn hash(&self, key: &str) -> Hash {
        self.says(key).parse().unwrap()
    }

    fn answer(&self) -> Answer {
        let refused = match self.says("format") {
            "bundle" => return bundle(&self.bytes),
            "event-file" | "heads-file" => return proof_file(&self.bytes),
            "fork-file" => return fork_file(&self.bytes),
            "head" => SignedHead::from_bytes(&self.bytes)
                .and_then(|head| head.verify(&self.swarm()))
                .map_err(|error| head(&error))
                .err(),
            "record" => RecordRef::parse(&self.bytes)
                .and_then(RecordRef::check_body)
                .map_err(|error| record(&error))
                .err(),
            "inclusion" => self.inclusion().map_err(|error| proof(&error)).err(),
            "consistency" => self.consistency().map_err(|error| proof(&error)).err(),
            "payload" => Payload::from_bytes(self.says("kind").parse().unwrap(), &self.bytes)
                .map(|payload| assert!(payload.is_some(), "{}: an unknown kind", self.name))
                .map_err(|error| codec(&error))
                .err(),
            "claim" => {
                SignedClaim::read(&self.swarm(), &self.bytes).map_err(|error| claim(&error)).err()
            }
            "request" => Request::from_bytes(&self.bytes).map_err(|error| message(&error)).err(),
            "response" => Response::from_bytes(&self.bytes).map_err(|error| message(&error)).err(),
            "checkpoint" => self.checkpoint().map_err(|error| checkpoint(&error)).err(),
            "tlog-proof" => read_tlog_proof(&self.bytes, Some(&self.log()), Some(&self.swarm()))
                .map_err(|error| tlog_name(&error))
                .err(),
            "hash" => {
                let found = blake3::derive_key(self.says("context"), &self.bytes);
                (Hash(found) != self.hash("hash")).then_some(("hash", ""))
            }
            other => panic!("{}: format: {other}", self.name),
        };
        refused.map(Answer::of).unwrap_or_default()
    }

    /// The author that the reader expects.
    fn log(&self) -> AuthorId {
        self.says("log").parse().unwrap()
    }

    fn checkpoint(&self) -> Result<(), CheckpointError> {
        let read = SignedCheckpoint::from_bytes(&self.bytes)?;
        read.expect(Some(&self.log()), Some(&self.swarm()))?;
        read.verify()?;
        if let Some(cosigner) = self.header.get("cosigner") {
            let time = read.cosigned(&cosigner.parse().unwrap())?;
            assert!(time.is_some(), "{}: nobody cosigned it", self.name);
        }
        Ok(())
    }

    fn inclusion(&self) -> Result<(), ProofError> {
        let mut cursor = Cursor::new(&self.bytes);
        let proof = Inclusion::read(&mut cursor)?;
        cursor.end()?;
        match proof.root(self.hash("leaf"))? {
            root if root == self.hash("root") => Ok(()),
            _ => Err(ProofError::Root),
        }
    }

    fn consistency(&self) -> Result<(), ProofError> {
        let mut cursor = Cursor::new(&self.bytes);
        let proof = Consistency::read(&mut cursor)?;
        cursor.end()?;
        match proof.roots()? {
            roots if roots == (self.hash("root-from"), self.hash("root-to")) => Ok(()),
            _ => Err(ProofError::Root),
        }
    }
}

fn bundle(bytes: &[u8]) -> Answer {
    let report = verify(Bytes::new(bytes.to_vec())).unwrap().report;
    let Some(first) = report.failures.listed.first() else {
        return Answer::default();
    };
    Answer {
        rule: Some(first.rule.to_string()),
        detail: None,
        author: first.author.map(|author| author.to_string()),
        index: first.index,
    }
}

fn proof_file(bytes: &[u8]) -> Answer {
    let file = match ProofFile::from_bytes(bytes) {
        Ok(file) => file,
        Err(error) => return Answer::of(named(&error)),
    };
    let Err(error) = file.verify(&file.author()) else {
        return Answer::default();
    };
    match &file.proof {
        Proof::Event(event) => Answer::of(named(&error)).at(&file.author(), event.inclusion.index),
        Proof::Heads(_) => Answer::of(named(&error)),
    }
}

fn fork_file(bytes: &[u8]) -> Answer {
    let named = |error: &ForkError| {
        let name = fork(error);
        assert_eq!(name.0, fork_rule(error), "the name that programs are told");
        Answer::of(name)
    };
    let file = match ForkProof::from_file(bytes) {
        Ok(file) => file,
        Err(error) => return named(&error),
    };
    let first = &file.branches[0];
    let answer = file.verify(&file.swarm()).map_err(|error| named(&error));
    answer.err().map(|no| no.at(&first.head.author, first.index())).unwrap_or_default()
}

type Name = (&'static str, &'static str);

/// The rule, and in detail how it is broken, of each variant of an error; and all of them.
macro_rules! names {
    ($($function:ident $all:ident $error:ident {
        $($pattern:pat => $rule:literal $detail:literal,)*
    } $({ $($inner:pat => $result:expr,)* })?)*) => {$(
        const $all: &[Name] = &[$(($rule, $detail),)*];

        fn $function(error: &$error) -> Name {
            match error {
                $($pattern => ($rule, $detail),)*
                $($($inner => $result,)*)?
            }
        }
    )*};
}

names! {
    signature SIGNATURE SignatureError {
        SignatureError::Key => "head-signature" "key",
        SignatureError::Mismatch => "head-signature" "mismatch",
    }
    head HEAD HeadError {
        HeadError::Size(_) => "head-bytes" "size",
        HeadError::Length(_) => "head-bytes" "length",
        HeadError::Swarm { .. } => "head-swarm" "",
    } {
        HeadError::Signature { source, .. } => signature(source),
    }
    record RECORD RecordError {
        RecordError::Size { .. } => "record-bytes" "size",
        RecordError::Header(_) => "record-bytes" "header",
        RecordError::Body(_) => "record-bytes" "body",
        RecordError::Mark(_) => "record-bytes" "mark",
        RecordError::EmptyBody => "record-bytes" "empty-body",
        RecordError::BodyHash => "record-body-hash" "",
    }
    proof PROOF ProofError {
        ProofError::Bytes(_) => "proof-bytes" "bytes",
        ProofError::Position { .. } => "proof-position" "",
        ProofError::Hashes { .. } => "proof-hashes" "",
        ProofError::Root => "proof-root" "",
    }
    event EVENT EventError {
        EventError::Header(_) => "event-header" "bytes",
        EventError::Causes(_) => "event-header" "causes",
        EventError::Seq { .. } => "event-seq" "",
    } {
        EventError::Codec(_) | EventError::Record(_) => panic!("only for who writes"),
    }
    signed_event SIGNED_EVENT SignedEventError {
        SignedEventError::Bytes(_) => "proof-bytes" "bytes",
        SignedEventError::Length { .. } => "proof-length" "",
    } {
        SignedEventError::Record(error) => record(error),
        SignedEventError::Proof(error) => proof(error),
        SignedEventError::Head(error) => head(error),
        SignedEventError::Event(error) => event(error),
    }
    fork FORK ForkError {
        ForkError::Bytes(_) => "proof-bytes" "bytes",
        ForkError::Magic => "proof-magic" "",
        ForkError::Format(_) => "proof-format" "",
        ForkError::Authors(..) => "fork-heads" "",
        ForkError::Position { .. } => "fork-index" "",
        ForkError::Before(_) => "fork-prefix" "",
        ForkError::Same(_) => "fork-leaves" "",
        ForkError::Order => "fork-order" "",
    } {
        ForkError::Head { source, .. } => head(source),
        ForkError::Proof { source, .. } => proof(source),
    }
    codec CODEC CodecError {
        CodecError::Decode(_) => "payload-bytes" "decode",
        CodecError::Trailing(_) => "payload-bytes" "trailing",
        CodecError::TooLong(_) => "payload-bytes" "too-long",
    }
    claim CLAIM ClaimError {
        ClaimError::Codec(_) => "claim-bytes" "",
        ClaimError::Size(_) => "claim-length" "",
        ClaimError::Format(_) => "claim-format" "",
        ClaimError::Swarm(_) => "claim-swarm" "",
        ClaimError::Signature(_) => "claim-signature" "",
    }
    note NOTE NoteError {
        NoteError::Size(_) => "note-bytes" "size",
        NoteError::Characters(_) => "note-bytes" "characters",
        NoteError::Parts => "note-bytes" "parts",
        NoteError::Count(_) => "note-bytes" "count",
        NoteError::Signature(_) => "note-bytes" "signature",
    }
    unsigned CHECKPOINT CheckpointError {
        CheckpointError::Lines(_) => "checkpoint-text" "lines",
        CheckpointError::Origin => "checkpoint-text" "origin",
        CheckpointError::Length => "checkpoint-text" "length",
        CheckpointError::Root => "checkpoint-text" "root",
        CheckpointError::HeadRoot => "checkpoint-text" "head",
        CheckpointError::Author { .. } => "checkpoint-author" "",
        CheckpointError::Swarm { .. } => "checkpoint-swarm" "",
        CheckpointError::Unsigned => "checkpoint-signature" "missing",
        CheckpointError::Signature(SignatureError::Key) => "checkpoint-signature" "key",
        CheckpointError::Signature(SignatureError::Mismatch) => "checkpoint-signature" "mismatch",
        CheckpointError::Cosignature { .. } => "checkpoint-cosignature" "mismatch",
    } {
        CheckpointError::Note(error) => note(error),
    }
    tlog_file TLOG_FILE TlogProofError {
        TlogProofError::Magic => "proof-magic" "",
        TlogProofError::Size(_) => "proof-bytes" "bytes",
        TlogProofError::Line { .. } => "proof-bytes" "bytes",
    } {
        TlogProofError::Checkpoint(error) => checkpoint(error),
        TlogProofError::Record(error) => record(error),
        TlogProofError::Proof(error) => proof(error),
    }
    message MESSAGE MessageError {
        MessageError::Bytes(_) => "message-bytes" "",
        MessageError::TooLong { .. } => "message-length" "",
        MessageError::Version(_) => "message-version" "",
        MessageError::Type(_) => "message-type" "",
        MessageError::Logs(_) => "frontier-logs" "",
        MessageError::Order(_) => "frontier-order" "",
        MessageError::Length(_) => "message-number" "",
        MessageError::FetchBytes(_) => "fetch-bytes" "",
        MessageError::Refusal(_) => "refusal-reason" "",
    } {
        MessageError::Proof(error) => fork(error),
        MessageError::Range(RangeError::Bytes(_)) => ("range-bytes", ""),
        MessageError::Range(other) => panic!("no vector for a message is of this: {other}"),
    }
}

names! {
    heads HEADS ProofFileError {
        ProofFileError::Magic => "proof-magic" "",
        ProofFileError::TooLong(_) => "proof-bytes" "bytes",
        ProofFileError::Bytes(_) => "proof-bytes" "bytes",
        ProofFileError::Format(_) => "proof-format" "",
        ProofFileError::Author { .. } => "proof-author" "",
        ProofFileError::Lengths { .. } => "proof-length" "",
        ProofFileError::Clock => "head-clock" "",
    } {
        ProofFileError::Event(error) => signed_event(error),
        ProofFileError::Head(error) => head(error),
        ProofFileError::Proof(error) => proof(error),
    }
}

/// The name of a checkpoint's error, which is the one that programs are told.
fn checkpoint(error: &CheckpointError) -> Name {
    let name = unsigned(error);
    assert_eq!(name.0, checkpoint_rule(error));
    name
}

/// The name of the error of a tlog-proof, which is the one that programs are told.
fn tlog_name(error: &TlogError) -> Name {
    let name = match error {
        TlogError::Proof(error) => tlog_file(error),
        TlogError::Event(error) => event(error),
    };
    assert_eq!(name.0, error.rule());
    name
}

/// The name of a file's error, which is the one that programs are told.
fn named(error: &ProofFileError) -> Name {
    let name = heads(error);
    assert_eq!(name.0, error.rule());
    name
}

fn vectors() -> Vec<Vector> {
    let vectors: Vec<Vector> = files("schema/vectors").iter().map(|p| Vector::read(p)).collect();
    assert!(vectors.len() > 250, "only {} vectors found", vectors.len());
    vectors
}

#[test]
fn the_kernel_answers_every_vector_as_it_says() {
    let mut wrong = Vec::new();
    for vector in vectors() {
        let (expected, found) = (vector.expected(), vector.answer());
        // A header names the detail only where it is the point of the case.
        let detail = expected.detail.is_none() || expected.detail == found.detail;
        if !detail || (Answer { detail: None, ..found }) != (Answer { detail: None, ..expected }) {
            let (expected, found) = (vector.expected(), vector.answer());
            wrong.push(format!("{}: {found:?} instead of {expected:?}", vector.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_a_vector() {
    let mut have: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    let mut accepted = BTreeSet::new();
    for vector in vectors() {
        let format = vector.says("format").to_owned();
        match vector.answer() {
            Answer { rule: Some(rule), detail, .. } => {
                have.entry(format).or_default().insert((rule, detail.unwrap_or_default()));
            }
            _ => drop(accepted.insert(format)),
        }
    }
    // Pins and policies are the auditor's own, claim refs a repository's, and a store is no bundle.
    let own = [Rule::Pin, Rule::CheckpointRoot, Rule::Policy, Rule::ClaimRef, Rule::Store];
    let rules = Rule::ALL.iter().filter(|rule| !own.contains(rule));
    let rules: Vec<Name> = rules.map(|rule| (rule.name(), "")).collect();
    let files: &[Name] = &[("proof-magic", ""), ("proof-format", "")];
    let demanded: [(&str, &[&[Name]]); 13] = [
        ("bundle", &[&rules]),
        ("event-file", &[files, SIGNED_EVENT, RECORD_IN_FILES, HEAD_IN_FILES, PROOF, EVENT]),
        ("heads-file", &[HEADS, HEAD_IN_FILES, PROOF]),
        ("fork-file", &[FORK, HEAD_IN_FILES, PROOF]),
        ("head", &[HEAD, SIGNATURE]),
        ("record", &[RECORD]),
        ("inclusion", &[PROOF]),
        ("consistency", &[PROOF]),
        ("payload", &[CODEC]),
        ("claim", &[CLAIM]),
        ("request", &[MESSAGE_IN_REQUESTS]),
        ("checkpoint", &[NOTE, CHECKPOINT]),
        ("tlog-proof", &[TLOG_FILE, RECORD_IN_FILES, CHECKPOINT_IN_FILES, TLOG_PATH, EVENT]),
    ];
    let mut missing = Vec::new();
    for (format, names) in demanded {
        let have = have.remove(format).unwrap_or_default();
        for (rule, detail) in names.iter().copied().flatten() {
            if !have.contains(&((*rule).to_owned(), (*detail).to_owned())) {
                missing.push(format!("{format}: {rule} {detail}"));
            }
        }
        if !accepted.contains(format) {
            missing.push(format!("{format}: one that is accepted"));
        }
    }
    let responses = have.remove("response").unwrap_or_default();
    for (rule, _) in MESSAGE.iter().filter(|name| !MESSAGE_IN_REQUESTS.contains(name)) {
        if !responses.iter().any(|(have, _)| have == rule) {
            missing.push(format!("response: {rule}"));
        }
    }
    assert!(missing.is_empty(), "no vector for:\n{}", missing.join("\n"));
}

/// A file's head has the size of a head, or the file ends early.
const HEAD_IN_FILES: &[Name] =
    &[("head-bytes", "length"), ("head-swarm", ""), ("head-signature", "mismatch")];

/// How a record's bytes are broken has vectors of its own.
const RECORD_IN_FILES: &[Name] = &[("record-bytes", "mark"), ("record-body-hash", "")];

/// How a checkpoint is broken has vectors of its own.
const CHECKPOINT_IN_FILES: &[Name] = &[
    ("note-bytes", "parts"),
    ("checkpoint-text", "lines"),
    ("checkpoint-author", ""),
    ("checkpoint-swarm", ""),
    ("checkpoint-signature", "mismatch"),
];

/// How a record or its header is broken is in log.md and event.md.
const TLOG_RECORD: &[Name] =
    &[("record-bytes", ""), ("record-body-hash", ""), ("event-header", ""), ("event-seq", "")];

const TLOG_PATH: &[Name] = &[("proof-position", ""), ("proof-hashes", ""), ("proof-root", "")];

const MESSAGE_IN_REQUESTS: &[Name] = MESSAGE.split_at(8).0;

/// A name that a program prints is in the page that says what it means.
#[test]
fn the_pages_name_every_rule() {
    let page = |name: &str| fs::read_to_string(folder("schema").join(name)).unwrap();
    let pages: [(&str, &[&[Name]]); 6] = [
        ("proof.md", &[SIGNED_EVENT, HEADS, FORK, PROOF]),
        ("log.md", &[RECORD]),
        ("head.md", &[HEAD, SIGNATURE]),
        ("claim.md", &[CLAIM]),
        ("sync.md", &[MESSAGE]),
        ("checkpoint.md", &[NOTE, CHECKPOINT, TLOG_FILE, TLOG_PATH, TLOG_RECORD]),
    ];
    for (name, rules) in pages {
        let page = page(name);
        for (rule, detail) in rules.iter().copied().flatten() {
            for word in [rule, detail].into_iter().filter(|word| !word.is_empty()) {
                assert!(page.contains(&format!("`{word}`")), "schema/{name} lacks `{word}`");
            }
        }
    }
}

/// The bytes of a page's examples: of each line that is set in, what stands before two spaces.
fn examples(page: &str) -> String {
    let page = fs::read_to_string(folder("schema").join(page)).unwrap();
    let digits = |line: &str| {
        let shown = line.strip_prefix("    ").and_then(|line| line.split("  ").next());
        let shown = shown.unwrap_or("-").replace(' ', "");
        let hex =
            shown.len().is_multiple_of(2) && shown.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hex { shown } else { "\n".to_owned() }
    };
    page.lines().map(digits).collect()
}

#[test]
fn the_examples_of_the_pages_are_vectors() {
    let all = vectors();
    let bytes = |name: &str| {
        let vector = all.iter().find(|vector| vector.name == format!("{name}.txt"));
        hex::encode(&vector.unwrap().bytes)
    };
    for (page, name) in
        [("bundle.md", "bundle-one-event"), ("proof.md", "event-one"), ("claim.md", "claim-one")]
    {
        assert!(examples(page).contains(&bytes(name)), "schema/{page} does not show {name}");
    }
    // Texts are shown with lines that go on behind a backslash.
    let shown = fs::read_to_string(folder("schema/checkpoint.md")).unwrap();
    let shown: String = shown.replace("\\\n", "").replace("DASH", "\u{2014}");
    let shown: String = shown.split_whitespace().collect();
    let text = |name: &str| {
        let text = String::from_utf8(hex::decode(bytes(name)).unwrap()).unwrap();
        text.split_whitespace().collect::<String>()
    };
    assert!(shown.contains(&text("checkpoint-one")), "schema/checkpoint.md does not show it");
    let proof = text("tlog-proof-one");
    let (_, behind) = proof.split_once("index").unwrap();
    let end = behind.find("bzzz").unwrap();
    assert!(shown.contains(&format!("index{}", &behind[..end])), "the path of the proof's example");
    let log = bytes("bundle-two-logs");
    let head = examples("head.md");
    let head = head.lines().find(|line| line.len() == 2 * HEAD_BYTES).unwrap();
    assert!(log.contains(head), "the head of schema/head.md");
    // The state is that of the smallest bundle, and so is the digest behind it.
    let fold = examples("fold.md");
    let state = fold.lines().find(|line| line.len() > 400).unwrap();
    let page = fs::read_to_string(folder("schema/fold.md")).unwrap();
    let version = page.split_once("This page is version ").unwrap().1;
    let version: u32 = version.split_whitespace().next().unwrap().parse().unwrap();
    assert!(version <= FOLD_VERSION, "schema/fold.md is of a later version than the program");
    let prefix = version.to_le_bytes().to_vec();
    let input = [prefix, hex::decode(state).unwrap()].concat();
    let digest = hex::encode(blake3::derive_key("bzzz v1 state", &input));
    assert!(bytes("bundle-one-event").contains(&digest), "the state of schema/fold.md");
    assert!(fold.lines().any(|line| line == digest), "the digest in schema/fold.md");
}

/// Bundles that released formats wrote. None is ever taken away or made anew.
#[test]
fn old_bundles_verify() {
    let mut found = 0;
    for path in files("tests/fixtures/v1") {
        let report = verify(Bytes::new(fs::read(&path).unwrap())).unwrap().report;
        assert!(report.verifies(), "{}: {:?}", path.display(), report.failures.listed);
        assert_eq!(report.checked.refused, 0, "{}: the fold refuses events", path.display());
        let unread: Vec<_> = report
            .unchecked
            .iter()
            .filter(|unchecked| {
                matches!(unchecked.kind, "formats" | "kinds" | "malformed" | "absent")
            })
            .collect();
        assert!(unread.is_empty(), "{}: {unread:?}", path.display());
        assert!(report.events() > 100 && report.checked.tasks > 0, "{}", path.display());
        found += 1;
    }
    assert!(found > 0, "no fixtures found");
}
