//! Checkpoints and proofs in the formats of transparency logs (C2SP).

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::policy;
use super::proof::{Broken, body, read, verdict, with};
use crate::cli::exit::CliError;
use crate::cli::text::{clean, time};
use crate::kernel::audit::{Checkpoints, Policy, Speaker, checkpoint_rule, read_tlog_proof};
use crate::kernel::event::Event;
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::tlog::{
    CheckpointError, MAX_NOTE, MAX_TLOG_PROOF, SignedCheckpoint, encode_base64, verifier_key,
};

/// Verify that an author signed a checkpoint of its log
///
/// A checkpoint (c2sp.org/tlog-checkpoint) is a log's length and root in a form that public
/// witnesses and other tools know; `bzzz checkpoint` prints it. That the log's records have this
/// root is shown by a bundle: `bzzz-verify BUNDLE --checkpoint FILE`.
#[derive(Debug, Args)]
pub(super) struct CheckpointArgs {
    /// The checkpoint
    file: PathBuf,
    #[command(flatten)]
    expected: Expected,
}

/// Verify that an event is in the log of an author, by a file of c2sp.org/tlog-proof
///
/// The file is one that `bzzz prove EVENT --checkpoint` wrote. It shows what `bzzz-verify proof`
/// shows, by a checkpoint in place of a head, and with its cosignatures who else has seen this log.
#[derive(Debug, Args)]
pub(super) struct TlogProofArgs {
    /// The proof
    file: PathBuf,
    #[command(flatten)]
    expected: Expected,
}

#[derive(Debug, Args)]
struct Expected {
    /// Whose log it has to be of: the author's public key, as you know it
    #[arg(long, value_name = "KEY")]
    author: AuthorId,
    /// Of which swarm it has to be
    #[arg(long, value_name = "ID")]
    swarm: Option<SwarmId>,
    /// Whose cosignatures it has to have: a file of witnesses, groups and a quorum
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Reads checkpoints that a bundle's logs have to keep. One that its author did not sign says
/// nothing about the bundle, so that the bundle is not checked at all.
pub(super) fn checkpoints(
    paths: &[PathBuf],
    policy: Option<&Policy>,
) -> Result<Checkpoints, CliError> {
    let mut all = Checkpoints::default();
    for path in paths {
        let bytes = read(path, MAX_NOTE)?;
        let cosigners = policy.into_iter().flat_map(Policy::cosigners);
        let added = SignedCheckpoint::from_bytes(&bytes).and_then(|read| all.add(read, cosigners));
        added.map_err(|error| {
            let (path, rule) = (path.display(), checkpoint_rule(&error));
            CliError::cannot_tell(format!("{path} is no checkpoint to go by: {rule}: {error}"))
                .hint("nothing was said of the bundle; `bzzz-verify checkpoint` checks it alone")
        })?;
    }
    Ok(all)
}

pub(super) fn checkpoint(args: &CheckpointArgs) -> Result<u8, CliError> {
    let policy = policy(args.expected.policy.as_deref())?;
    let bytes = read(&args.file, MAX_NOTE)?;
    let checked = check(&bytes, &args.expected).map_err(|e| (checkpoint_rule(&e), e.to_string()));
    let checked = checked.and_then(|signed| {
        let mut shown = json!({ "kind": "checkpoint" });
        show(&mut shown, &signed, policy.as_ref())?;
        Ok(shown)
    });
    verdict(checked, args.expected.json, |out, shown| {
        print_checkpoint(out, shown)?;
        let length = &shown["length"];
        writeln!(out, "Verified: its author signed it, for a log of {length} records.")?;
        writeln!(out, "not checked: whether the log's records have these roots; a bundle shows it.")
    })
}

fn check(bytes: &[u8], expected: &Expected) -> Result<SignedCheckpoint, CheckpointError> {
    let signed = SignedCheckpoint::from_bytes(bytes)?;
    signed.expect(Some(&expected.author), expected.swarm.as_ref())?;
    signed.verify()?;
    Ok(signed)
}

pub(super) fn proof(args: &TlogProofArgs) -> Result<u8, CliError> {
    let Expected { author, swarm, policy: path, json } = &args.expected;
    let policy = policy(path.as_deref())?;
    let bytes = read(&args.file, MAX_TLOG_PROOF)?;
    let checked = read_tlog_proof(&bytes, Some(author), swarm.as_ref());
    let checked = checked.map_err(|error| (error.rule(), error.to_string()));
    let checked = checked.and_then(|(proof, event)| {
        let mut shown = shown_event(&event);
        show(&mut shown, &proof.checkpoint, policy.as_ref())?;
        Ok(shown)
    });
    verdict(checked, *json, |out, shown| {
        let word = |value: &Value| clean(value.as_str().unwrap_or("")).into_owned();
        let at = time(shown["event"]["time_ms"].as_u64().unwrap_or(0));
        writeln!(out, "event {}, at {at}", word(&shown["id"]))?;
        match shown["payload"].as_object() {
            Some(payload) => {
                for (name, value) in payload {
                    writeln!(out, "  {name}: {}", clean(&value.to_string()))?;
                }
            }
            None => writeln!(out, "  its payload is {}", word(&shown["body"]))?,
        }
        print_checkpoint(out, shown)?;
        let (index, length) = (&shown["index"], &shown["length"]);
        writeln!(out, "Verified: the author signed it as record {index} of its log of {length}.")?;
        writeln!(
            out,
            "not checked: whether the author is a member, whether the event stands, and"
        )?;
        writeln!(out, "whether it is true.")
    })
}

fn shown_event(event: &Event) -> Value {
    json!({
        "kind": "tlog-proof",
        "id": event.id,
        "index": event.header.seq,
        "event": event.header,
        "body": body(event),
        "payload": event.payload(),
    })
}

/// What a checkpoint says, and who cosigned it; refuses it if the policy's quorum did not.
fn show(
    shown: &mut Value,
    signed: &SignedCheckpoint,
    policy: Option<&Policy>,
) -> Result<(), Broken> {
    let says = signed.says();
    *shown = with(shown.take(), says.swarm, says.author);
    shown["length"] = json!(says.length);
    shown["root"] = json!(encode_base64(&says.root.0));
    shown["bzzz_root"] = json!(says.head_root);
    shown["verifier_key"] = json!(verifier_key(&says.swarm, &says.author));
    let mut cosigned = Vec::new();
    for cosigner in policy.into_iter().flat_map(Policy::cosigners) {
        let time = signed.cosigned(cosigner);
        if let Some(time) = time.map_err(|error| (checkpoint_rule(&error), error.to_string()))? {
            cosigned.push((cosigner, time));
        }
    }
    let times = cosigned.iter().map(|(by, time)| json!({ "by": by.name(), "time_s": time }));
    shown["cosigned"] = times.collect();
    shown["policy"] = Value::Null;
    if let Some(policy) = policy {
        let (quorum, parts) = policy.attested(says.length, |speaker| match speaker {
            Speaker::Cosigner(by) if cosigned.iter().any(|(one, _)| *one == by) => says.length,
            _ => 0,
        });
        if quorum < says.length {
            let missing = parts.iter().filter(|part| part.length == 0);
            let missing: Vec<&str> = missing.map(|part| part.name.as_str()).collect();
            let what = format!("the quorum did not cosign it: {} did not", missing.join(", "));
            return Err(("policy", what));
        }
        shown["policy"] = json!(parts);
    }
    Ok(())
}

fn print_checkpoint(out: &mut dyn Write, shown: &Value) -> std::io::Result<()> {
    let word = |value: &Value| clean(value.as_str().unwrap_or("")).into_owned();
    let (author, swarm) = (word(&shown["author"]), word(&shown["swarm"]));
    writeln!(out, "checkpoint of log {author} of swarm {swarm}")?;
    writeln!(out, "  {} records, root {}", shown["length"], word(&shown["root"]))?;
    writeln!(out, "  in bzzz's own tree {}", word(&shown["bzzz_root"]))?;
    for one in shown["cosigned"].as_array().into_iter().flatten() {
        let seconds = one["time_s"].as_u64().unwrap_or(0);
        let at = time(seconds.saturating_mul(1000));
        writeln!(out, "  cosigned by {}, by its own word at {at}", word(&one["by"]))?;
    }
    Ok(())
}
