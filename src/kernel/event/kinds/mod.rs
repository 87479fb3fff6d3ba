//! The kinds of events: one file per family. A kind's number is never used again for another.

mod agent;
mod claim;
mod coordination;
mod discussion;
mod evidence;
mod plan;
mod publish;
mod swarm;
mod work;

use serde::Serialize;

pub use agent::{AgentStarted, RepositoryConsent, RepositorySeen, TaskSeen};
pub use claim::{
    ClaimDropped, ClaimExpired, ClaimFailed, ClaimIntended, ClaimLost, ClaimMoved, ClaimSeen,
    ClaimWon,
};
pub use coordination::{
    CoordinationEscalated, CoordinationJoined, CoordinationOpened, CoordinationResolved,
    CoordinationSaid, DependencyDetected, Side, Source,
};
pub use discussion::{
    Act, ApprovalGiven, ApprovalRequested, DiscussionBounded, HandedOver, HelpAccepted, HelpForm,
    HelpOffered, HelpRequested, MessageSaid, Subject, Withdrawn,
};
pub use evidence::{
    ForkProven, ForkResolved, HeadsWitnessed, KeyRotated, MAX_WITNESSED, PayloadErased,
    WitnessedHead,
};
pub use plan::{PlanAdopted, PlanProposed, PlanReviewed, PlanText, Verdict};
pub use publish::{
    CheckState, Escalated, EscalationAcknowledged, EscalationAnswered, EscalationRaised,
    PublishIntended, PublishRefused, Published, PullRequestOpened, PullRequestSeen, PullState,
    Reported, ReviewState, TaskFinished, WorkResumed,
};
pub use swarm::{Checkpoint, Frontier, MemberAdmitted, MemberRevoked, Role, SwarmFounded};
pub use work::{
    AnswerRefused, CommandFinished, CommandIntended, CommandOutput, CommandStatus, ContextDropped,
    EgressDenied, ModelAnswered, ModelAsked, ModelFailed, Purpose, SandboxClosed, SandboxFailed,
    SandboxOpened, SettingsRead, Stream, WorkDone,
};

use super::codec::{CodecError, decode, encode};

macro_rules! kinds {
    ($($number:literal $name:ident),* $(,)?) => {
        /// What an event says: one variant per kind.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum Payload {
            $(
                #[doc = concat!("Kind ", stringify!($number), ".")]
                $name($name),
            )*
        }

        impl Payload {
            /// The number of the kind.
            #[must_use]
            pub fn kind(&self) -> u16 {
                match self { $(Self::$name(_) => $number,)* }
            }

            /// The name of the kind.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name),)* }
            }

            /// The payload's bytes.
            ///
            /// # Errors
            /// [`CodecError::TooLong`].
            pub fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
                match self { $(Self::$name(payload) => encode(payload),)* }
            }

            /// The payload of a kind; `None` if this program does not know the kind.
            ///
            /// # Errors
            /// [`CodecError`] if the bytes are none of the kind.
            pub fn from_bytes(kind: u16, bytes: &[u8]) -> Result<Option<Self>, CodecError> {
                Ok(Some(match kind {
                    $($number => Self::$name(decode(bytes)?),)*
                    _ => return Ok(None),
                }))
            }
        }

        /// Every kind that this program knows: its number and its name.
        pub const KINDS: &[(u16, &str)] = &[$(($number, stringify!($name)),)*];

        $(impl From<$name> for Payload {
            fn from(payload: $name) -> Self {
                Self::$name(payload)
            }
        })*
    };
}

kinds! {
    1 SwarmFounded,
    2 MemberAdmitted,
    3 MemberRevoked,
    4 Checkpoint,
    5 HeadsWitnessed,
    6 ForkProven,
    7 ForkResolved,
    8 PayloadErased,
    9 KeyRotated,
    10 AgentStarted,
    11 RepositorySeen,
    12 TaskSeen,
    13 RepositoryConsent,
    20 ClaimIntended,
    21 ClaimWon,
    22 ClaimLost,
    23 ClaimMoved,
    24 ClaimSeen,
    25 ClaimExpired,
    26 ClaimFailed,
    27 ClaimDropped,
    30 PlanProposed,
    31 PlanReviewed,
    32 PlanAdopted,
    33 Withdrawn,
    40 SandboxOpened,
    41 SandboxFailed,
    42 ModelAsked,
    43 ModelAnswered,
    44 ModelFailed,
    45 AnswerRefused,
    46 CommandIntended,
    47 CommandOutput,
    48 CommandFinished,
    49 WorkDone,
    50 SandboxClosed,
    51 ContextDropped,
    52 EgressDenied,
    53 SettingsRead,
    60 PublishIntended,
    61 Published,
    62 PublishRefused,
    63 PullRequestOpened,
    64 Escalated,
    65 Reported,
    66 TaskFinished,
    67 PullRequestSeen,
    68 WorkResumed,
    69 EscalationRaised,
    70 EscalationAcknowledged,
    71 EscalationAnswered,
    80 MessageSaid,
    81 HelpRequested,
    82 HelpOffered,
    83 HelpAccepted,
    84 HandedOver,
    85 DependencyDetected,
    86 ApprovalRequested,
    87 ApprovalGiven,
    88 DiscussionBounded,
    90 CoordinationOpened,
    91 CoordinationJoined,
    92 CoordinationSaid,
    93 CoordinationResolved,
    94 CoordinationEscalated,
}

/// Derives what every payload needs.
macro_rules! payload {
    ($($(#[$doc:meta])* pub struct $name:ident { $($body:tt)* })*) => {
        $(
            $(#[$doc])*
            #[derive(
                Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode, serde::Serialize,
            )]
            pub struct $name { $($body)* }
        )*
    };
}
use payload;

/// Cuts a text to at most `max` bytes at a character's boundary.
#[must_use]
pub fn cut(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)].to_owned()
}

/// A marker that keeps the derives of this family's small enums in one place.
macro_rules! choice {
    ($(#[$doc:meta])* pub enum $name:ident { $($body:tt)* }) => {
        $(#[$doc])*
        #[derive(
            Clone, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode,
            serde::Serialize,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($body)* }
    };
}
use choice;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_used_once() {
        let numbers: std::collections::BTreeSet<_> = KINDS.iter().map(|(n, _)| n).collect();
        assert_eq!(numbers.len(), KINDS.len());
    }

    #[test]
    fn cutting_keeps_characters_whole() {
        assert_eq!(cut("aüb", 2), "a");
        assert_eq!(cut("aüb", 3), "aü");
        assert_eq!(cut("ab", 9), "ab");
    }
}
