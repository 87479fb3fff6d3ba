//! What a pull request says so that an auditor with nothing but its text can check whose log
//! published the work: the event, the log's head, and the proof that the one is in the other.

use crate::engine::{Engine, EngineError};
use crate::kernel::audit::{Proof, ProofFile};
use crate::kernel::event::kinds::Payload;
use crate::kernel::event::{Body, Event, SignedEvent, TaskId};
use crate::kernel::log::{Tip, TreeReader, prove_inclusion};

/// The largest proof that stands in a text, in bytes; there it takes twice as many.
const MAX_PROOF: usize = 8 << 10;

/// Hexadecimal digits on a line.
const LINE: usize = 96;

/// The paragraph about the publication of a task by this node; empty if there is none. The head is
/// the one that was signed when the event was appended, so that a repetition says the same.
pub(super) fn of_publication(engine: &Engine, task: TaskId) -> Result<String, EngineError> {
    let me = engine.me();
    let ours = |event: &Event| {
        let published = |payload: &Payload| matches!(payload, Payload::Published(_));
        event.author == me && matches!(&event.body, Body::Known(payload) if published(payload))
    };
    let Some(event) = engine.task_events(task)?.into_iter().rev().find(ours) else {
        return Ok(String::new());
    };
    let index = event.header.seq;
    let Some(head) = engine.store().heads(&me, index, 1)?.pop() else {
        return Ok(String::new());
    };
    let tip = Tip::open(engine.store(), me)?;
    let tree = TreeReader::new(engine.store(), &tip);
    let inclusion = prove_inclusion(&tree, index, head.length)?;
    let Some(signed) = engine.signed_event(&me, index)? else { return Ok(String::new()) };
    let mut text = format!(
        "\n## Evidence\n\nLog `{me}` of swarm `{}`: event `{}` at index {index}, under the head of \
         {} events with root `{}`.\n",
        engine.swarm(),
        event.id,
        head.length,
        head.root,
    );
    let proof = Proof::Event(Box::new(SignedEvent { record: signed.record, inclusion, head }));
    let bytes = ProofFile { swarm: engine.swarm(), proof }.to_bytes();
    if bytes.len() <= MAX_PROOF {
        let digits = hex::encode(bytes);
        let lines: Vec<&str> = (0..digits.len())
            .step_by(LINE)
            .map(|at| &digits[at..digits.len().min(at + LINE)])
            .collect();
        text.push_str(&format!(
            "\n<details><summary>Proof</summary>\n\nSave the digits with `xxd -r -p > proof`, then \
             `bzzz-verify proof proof --author {me}`.\n\n```\n{}\n```\n\n</details>\n",
            lines.join("\n")
        ));
    }
    Ok(text)
}
