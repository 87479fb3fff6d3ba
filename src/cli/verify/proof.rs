//! Single proofs: one event, two heads of one log, a fork.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::say;
use crate::cli::exit::{self, CliError, DONE, NO};
use crate::cli::text::{clean, time};
use crate::kernel::audit::{MAX_PROOF_FILE, Proof, ProofFile, ProofFileError, Proven, fork_rule};
use crate::kernel::event::{Body, Event, Hlc};
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::{Fork, ForkError, ForkProof, HeadError, SignedHead};

/// Verify that an event, or the beginning of a log, is in the log of an author
///
/// The file is one that `bzzz prove` wrote. It shows that the author signed a log with this event
/// at this index, or one that has the shorter log as its beginning. It does not show that the
/// author is a member of the swarm, nor that there is no other log: bundles and pins do.
#[derive(Debug, Args)]
pub(super) struct ProofArgs {
    /// The proof
    file: PathBuf,
    /// Whose log it has to be of: the author's public key, as you know it
    #[arg(long, value_name = "KEY")]
    author: AuthorId,
    /// Of which swarm it has to be
    #[arg(long, value_name = "ID")]
    swarm: Option<SwarmId>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Verify that an author signed two histories of one log
///
/// The file shows it by itself: both heads are signed, and the records before an index are the
/// same, and those at the index are not.
#[derive(Debug, Args)]
pub(super) struct ForkArgs {
    /// The fork proof
    file: PathBuf,
    /// Whose log it has to be of
    #[arg(long, value_name = "KEY")]
    author: Option<AuthorId>,
    /// Of which swarm it has to be
    #[arg(long, value_name = "ID")]
    swarm: Option<SwarmId>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is wrong: the rule's name, and a sentence.
pub(super) type Broken = (&'static str, String);

pub(super) fn run(args: &ProofArgs) -> Result<u8, CliError> {
    let bytes = read(&args.file, MAX_PROOF_FILE)?;
    let checked = check(&bytes, args).map_err(|error| (error.rule(), error.to_string()));
    verdict(checked, args.json, text)
}

fn check(bytes: &[u8], args: &ProofArgs) -> Result<Value, ProofFileError> {
    let file = ProofFile::from_bytes(bytes)?;
    if let Some(expected) = args.swarm.filter(|swarm| *swarm != file.swarm) {
        let found = file.swarm;
        return Err(HeadError::Swarm { expected, found }.into());
    }
    let shown = match (file.verify(&args.author)?, &file.proof) {
        (Proven::Event(event), Proof::Event(signed)) => json!({
            "kind": "event",
            "id": event.id,
            "index": event.header.seq,
            "event": event.header,
            "length": signed.head.length,
            "body": body(&event),
            "payload": event.payload(),
        }),
        (Proven::Prefix { from, to }, Proof::Heads(heads)) => json!({
            "kind": "heads",
            "from": end(from, &heads.from),
            "to": end(to, &heads.to),
        }),
        _ => return Err(ProofFileError::Magic),
    };
    Ok(with(shown, file.swarm, args.author))
}

fn end(length: u64, head: &SignedHead) -> Value {
    json!({ "length": length, "root": head.root, "time_ms": Hlc(head.clock).ms() })
}

pub(super) fn body(event: &Event) -> &'static str {
    match &event.body {
        Body::Known(_) => "known",
        Body::Unknown => "unknown",
        Body::Malformed(_) => "malformed",
        Body::Absent => "absent",
    }
}

pub(super) fn with(mut shown: Value, swarm: SwarmId, author: AuthorId) -> Value {
    shown["swarm"] = json!(swarm);
    shown["author"] = json!(author);
    shown
}

fn text(out: &mut dyn Write, shown: &Value) -> std::io::Result<()> {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let word = |value: &Value| clean(value.as_str().unwrap_or("")).into_owned();
    let (author, swarm) = (word(&shown["author"]), word(&shown["swarm"]));
    if shown["kind"] == "heads" {
        let [from, to] = ["from", "to"].map(|end| &shown[end]);
        let (short, long) = (number(&from["length"]), number(&to["length"]));
        writeln!(out, "log {author} of swarm {swarm}")?;
        for end in [from, to] {
            let at = time(number(&end["time_ms"]));
            writeln!(
                out,
                "  {} records, {at}, root {}",
                number(&end["length"]),
                word(&end["root"])
            )?;
        }
        return writeln!(out, "Verified: its first {short} records are the first of its {long}.");
    }
    writeln!(out, "event {} of swarm {swarm}", word(&shown["id"]))?;
    writeln!(out, "  at {}", time(number(&shown["event"]["time_ms"])))?;
    match shown["payload"].as_object() {
        Some(payload) => {
            for (name, value) in payload {
                writeln!(out, "  {name}: {}", clean(&value.to_string()))?;
            }
        }
        None => writeln!(
            out,
            "  kind {}, whose payload is {}",
            number(&shown["event"]["kind"]),
            word(&shown["body"])
        )?,
    }
    let (index, length) = (number(&shown["index"]), number(&shown["length"]));
    writeln!(out, "Verified: {author} signed it as record {index} of its log of {length}.")?;
    writeln!(out, "not checked: whether the author is a member, whether the event stands, and")?;
    writeln!(out, "whether it is true.")
}

pub(super) fn fork(args: &ForkArgs) -> Result<u8, CliError> {
    let bytes = read(&args.file, MAX_PROOF_FILE)?;
    let checked = check_fork(&bytes, args.swarm).map_err(|e| (fork_rule(&e), e.to_string()));
    let checked = checked.and_then(|(proof, fork)| match args.author {
        Some(author) if author != fork.author => {
            let what = format!("the proof is of log {}, not of {author}", fork.author);
            Err(("proof-author", what))
        }
        _ => Ok(forked(&proof, fork)),
    });
    verdict(checked, args.json, |out, shown| {
        let word = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let index = &shown["index"];
        for branch in shown["branches"].as_array().into_iter().flatten() {
            let (length, root, leaf) = (&branch["length"], &branch["root"], &branch["leaf"]);
            writeln!(out, "branch of {length} records, root {}", word(root))?;
            writeln!(out, "  its record {index} is {}", word(leaf))?;
        }
        let (author, swarm) = (word(&shown["author"]), word(&shown["swarm"]));
        writeln!(out, "Verified: {author} signed two histories of its log of swarm {swarm}.")?;
        writeln!(out, "They differ from index {index} on.")
    })
}

fn check_fork(bytes: &[u8], swarm: Option<SwarmId>) -> Result<(ForkProof, Fork), ForkError> {
    let proof = ForkProof::from_file(bytes)?;
    let fork = proof.verify(&swarm.unwrap_or_else(|| proof.swarm()))?;
    Ok((proof, fork))
}

fn forked(proof: &ForkProof, fork: Fork) -> Value {
    let branches = proof.branches.each_ref().map(|branch| {
        let (length, root) = (branch.head.length, branch.head.root);
        json!({ "length": length, "root": root, "leaf": branch.leaf })
    });
    let shown = json!({ "kind": "fork", "index": fork.index, "branches": branches });
    with(shown, proof.swarm(), fork.author)
}

/// Reads a file of at most so many bytes; of a longer one, one byte more than that.
pub(super) fn read(path: &Path, most: usize) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let file = exit::open(path)?;
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|error| {
        CliError::cannot_tell(format!("{} could not be read: {error}", path.display()))
    })?;
    Ok(bytes)
}

pub(super) fn verdict(
    checked: Result<Value, Broken>,
    json: bool,
    text: impl FnOnce(&mut dyn Write, &Value) -> std::io::Result<()>,
) -> Result<u8, CliError> {
    match checked {
        Ok(mut shown) => say(DONE, |out| {
            if !json {
                return text(out, &shown);
            }
            shown["verified"] = json!(true);
            writeln!(out, "{shown:#}")
        }),
        Err((rule, what)) => say(NO, |out| match json {
            true => writeln!(out, "{:#}", json!({ "verified": false, "rule": rule, "what": what })),
            false => writeln!(out, "FAILED {rule}: {}.\nDoes not verify.", clean(&what)),
        }),
    }
}
