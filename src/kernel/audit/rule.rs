//! The rules that a bundle must keep. Their names are stable: programs and people match on them.

use std::fmt;

use serde::Serialize;

macro_rules! rules {
    ($($name:ident $text:literal $says:literal,)*) => {
        /// A rule that a bundle broke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Rule {
            $(#[doc = $says] $name,)*
        }

        impl Rule {
            /// All rules, in the order in which they are checked.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The rule's stable name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What the rule says.
            #[must_use]
            pub fn says(self) -> &'static str {
                match self { $(Self::$name => $says,)* }
            }
        }
    };
}

rules! {
    BundleMagic "bundle-magic" "A bundle begins with the eleven bytes `bzzz-bundle`.",
    BundleFormat "bundle-format" "The format is one that the verifier knows.",
    Truncated "truncated" "The file goes on until its last part is complete.",
    FrameLength "frame-length" "A frame is not longer than a range may be.",
    TrailingBytes "trailing-bytes" "Nothing follows the manifest.",
    RangeBytes "range-bytes" "A frame is exactly one well-formed range.",
    RecordBytes "record-bytes" "A record's lengths fit its bytes and the limits.",
    HeadBytes "head-bytes" "A head's length is in the limits.",
    LogOrder "log-order" "Each log is in one piece, and logs are sorted by author.",
    LogGap "log-gap" "A range begins where its log ended.",
    RecordBodyHash "record-body-hash" "A body is the one that its header commits to.",
    HeadOrder "head-order" "Heads rise inside a range, and the last one covers its last record.",
    HeadAuthor "head-author" "A head is of the author in whose log it stands.",
    HeadRoot "head-root" "The records lead to the root of the head that covers them.",
    HeadSwarm "head-swarm" "A head is of the bundle's swarm.",
    HeadSignature "head-signature" "A head is signed by its author.",
    EventHeader "event-header" "A record's header is the header of an event.",
    EventSeq "event-seq" "An event names the index at which it stands.",
    ClockOrder "clock-order" "The clock rises strictly inside a log.",
    HeadClock "head-clock" "A head has the clock of the last event that it covers.",
    FoundingEvent "founding-event" "The bundle holds the event that the swarm's id commits to.",
    ManifestBytes "manifest-bytes" "The manifest is well formed, its logs sorted by author.",
    ManifestSwarm "manifest-swarm" "The manifest is of the bundle's swarm.",
    ManifestSignature "manifest-signature" "The manifest is signed by its exporter.",
    ManifestFrontier "manifest-frontier" "The manifest names each log, its length and its root.",
    ManifestEvents "manifest-events" "The manifest counts the events.",
    CauseOrder "cause-order" "A cause has an earlier clock than the event that it led to.",
    Member "member" "A log's author was admitted to the swarm.",
    ManifestExporter "manifest-exporter" "The exporter is a member of the swarm.",
    StateDigest "state-digest" "A fresh fold has the digest that the manifest names.",
    Pin "pin" "A log contains the heads that the auditor obtained elsewhere.",
    CheckpointRoot "checkpoint-root" "A log has the roots of the checkpoints obtained elsewhere.",
    WitnessedRoot "witnessed-root" "No witness holds another head that a log's author signed.",
    Policy "policy" "A log is attested by the quorum of the auditor's policy.",
    ClaimRef "claim-ref" "The claims in a repository's refs are those of the logs.",
    Store "store" "What a store keeps besides the records fits them.",
    CheckpointDigest "checkpoint-digest" "A fresh fold has the digest that a checkpoint names.",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_as_it_is_named() {
        for rule in Rule::ALL {
            let json = serde_json::to_string(rule).unwrap();
            assert_eq!(json, format!("\"{rule}\""));
        }
    }

    #[test]
    fn the_specification_names_every_rule() {
        let page = include_str!("../../../schema/bundle.md");
        for rule in Rule::ALL {
            assert!(page.contains(&format!("`{rule}`")), "schema/bundle.md lacks `{rule}`");
        }
    }
}
