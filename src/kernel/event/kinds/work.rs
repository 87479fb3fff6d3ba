//! The work loop: sandbox, questions to the model and its answers, commands and their output.

use bincode::{Decode, Encode};
use serde::Serialize;

use super::{choice, payload};
use crate::kernel::event::commit::CommitId;
use crate::kernel::event::header::EventId;
use crate::kernel::log::Hash;

choice! {
    /// What the model is asked for.
    #[derive(Copy)]
    pub enum Purpose {
        /// A plan for the task.
        Plan,
        /// A verdict on somebody else's plan.
        Review,
        /// The next step of the work.
        Step,
        /// Whether and how it can help somebody else.
        Help,
        /// An answer to a question about its own plan.
        Answer,
    }
}

choice! {
    /// Where a command wrote.
    #[derive(Copy)]
    pub enum Stream {
        /// Standard output.
        Stdout,
        /// Standard error.
        Stderr,
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandStatus {
    /// It ended by itself with this exit code.
    Exited(i32),
    /// It ran into its time limit and was killed.
    TimedOut,
    /// It was killed for another reason.
    Killed(String),
    /// Nobody knows: the engine failed, or the node was restarted.
    Lost(String),
}

/// Output is text for programs to read where it is text, and hexadecimal digits where it is not.
fn text_or_hex<S: serde::Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap as _;
    let mut field = to.serialize_map(Some(1))?;
    match std::str::from_utf8(bytes) {
        Ok(text) => field.serialize_entry("text", text)?,
        Err(_) => field.serialize_entry("hex", &hex::encode(bytes))?,
    }
    field.end()
}

payload! {
    /// The sandbox is ready and holds the files of a commit.
    pub struct SandboxOpened {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The owner's process. A sandbox does not outlive it.
        pub process: u64,
        /// Which kind of sandbox, and its image.
        pub sandbox: String,
        /// The commit that work starts from.
        pub base: CommitId,
    }

    /// The sandbox could not be made.
    pub struct SandboxFailed {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// Why.
        pub error: String,
    }

    /// The model is about to be asked.
    pub struct ModelAsked {
        /// The epoch of the claim that the question is about.
        pub epoch: u64,
        /// What for.
        pub purpose: Purpose,
        /// The number of the question among those of its purpose; of a review, the plan's revision.
        pub turn: u32,
        /// The hash of all messages.
        pub prompt: Hash,
        /// The last message, cut to 16 KiB; those before it follow from the log.
        pub last: String,
    }

    /// The model answered.
    pub struct ModelAnswered {
        /// The question.
        pub ask: EventId,
        /// The epoch of the question.
        pub epoch: u64,
        /// What for.
        pub purpose: Purpose,
        /// The model's name.
        pub model: String,
        /// The answer as it came, cut to 48 KiB. Untrusted.
        pub text: String,
        /// Tokens read; none if the server did not say, which is not zero.
        pub tokens_in: Option<u64>,
        /// Tokens written; none if the server did not say.
        pub tokens_out: Option<u64>,
    }

    /// The model did not answer.
    pub struct ModelFailed {
        /// The question.
        pub ask: EventId,
        /// The epoch of the question.
        pub epoch: u64,
        /// What for.
        pub purpose: Purpose,
        /// Why.
        pub error: String,
    }

    /// The answer was not in the form that was asked for.
    pub struct AnswerRefused {
        /// The answer.
        pub answer: EventId,
        /// The epoch of the question.
        pub epoch: u64,
        /// What for.
        pub purpose: Purpose,
        /// What is wrong with it.
        pub reason: String,
    }

    /// A command is about to run in the sandbox.
    pub struct CommandIntended {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The number of the command in this attempt, from 0 on.
        pub step: u32,
        /// The model's reason.
        pub reasoning: String,
        /// The command, for `sh -c`.
        pub command: String,
        /// Its time limit in seconds.
        pub seconds: u32,
    }

    /// A part of a command's output.
    pub struct CommandOutput {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The command.
        pub command: EventId,
        /// The number of the part, from 0 on.
        pub part: u32,
        /// Where it was written.
        pub stream: Stream,
        /// When, in milliseconds since the command's start.
        pub at_ms: u64,
        /// What.
        #[serde(flatten, serialize_with = "text_or_hex")]
        pub bytes: Vec<u8>,
    }

    /// A command ended.
    pub struct CommandFinished {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The command.
        pub command: EventId,
        /// How.
        pub status: CommandStatus,
        /// How long it ran, in milliseconds.
        pub duration_ms: u64,
        /// The bytes that it wrote.
        pub output_total: u64,
        /// The bytes of these that are in the log.
        pub output_kept: u64,
        /// The BLAKE3 hash of all that it wrote, in the order of arrival.
        pub output_hash: Hash,
    }

    /// The model says that the work is done.
    pub struct WorkDone {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// What was done.
        pub summary: String,
    }

    /// The sandbox is gone.
    pub struct SandboxClosed {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// Why.
        pub reason: String,
    }

    /// Messages were left out of a question, which was longer than the model's context. It follows
    /// the [`ModelAnswered`] or [`ModelFailed`] in the same append.
    pub struct ContextDropped {
        /// The epoch of the question.
        pub epoch: u64,
        /// The question.
        pub ask: EventId,
        /// The messages that were left out or cut.
        pub messages: u32,
        /// The bytes that these were shorter for it.
        pub bytes: u64,
    }

    /// A command tried to reach a host that the sandbox's allow-list does not name.
    pub struct EgressDenied {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The command.
        pub command: EventId,
        /// The name or address that it asked for. Untrusted.
        pub host: String,
        /// The port.
        pub port: u32,
        /// How many times since the last such event of this command.
        pub count: u32,
    }

    /// What a file of the repository asks for its sandbox, as far as it was granted: it can tighten
    /// limits and never loosen them. It follows the [`SandboxOpened`] in the same append.
    pub struct SettingsRead {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The name of the file.
        pub source: String,
        /// Commands that run before the first step of the model.
        pub setup: Vec<String>,
        /// The image and the limits that then apply, for people.
        pub limits: String,
        /// What was asked for and not granted, for people.
        pub denied: Vec<String>,
    }
}
