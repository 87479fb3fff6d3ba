//! What authors said of each other's logs: heads that they hold, and forks that they prove.

use std::collections::BTreeMap;

use super::archive::Archive;
use super::compare::fail_at;
use super::input::Records;
use super::policy::{Policy, Speaker};
use super::report::{Attested, Failure, Finding, Report, Unchecked, Witness};
use super::rule::Rule;
use super::tlog::Checkpoints;
use crate::kernel::event::Event;
use crate::kernel::event::kinds::{HeadsWitnessed, Payload, WitnessedHead};
use crate::kernel::fold::{EventSource, FoldError, Place, SwarmState};
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::{Fork, ForkProof, Hash, SignedHead, Tip};

/// One witnessed head, without its signature: who said it, where.
#[derive(Clone, Copy)]
struct Word {
    by: AuthorId,
    seq: u64,
    root: Hash,
}

/// What is known of a log.
#[derive(Default)]
struct Log {
    /// What was said, by length.
    words: BTreeMap<u64, Vec<Word>>,
    tip: Option<Tip>,
    /// By witness: where it said it, and of which length, as the log has it.
    agree: BTreeMap<AuthorId, Vec<(u64, u64)>>,
    /// Lengths and words that the log does not have.
    differ: Vec<(u64, Word)>,
}

/// Witnessed heads, while they are compared with the logs.
pub(super) struct Witnesses {
    swarm: SwarmId,
    logs: BTreeMap<AuthorId, Log>,
    /// Forks that an event proves, and where it stands.
    forks: BTreeMap<AuthorId, (Fork, Place)>,
    heads: u64,
}

impl Witnesses {
    /// Reads the events that speak of logs.
    pub(super) fn read<R: Records>(
        archive: &Archive<R>,
        swarm: &SwarmId,
        evidence: &[Place],
    ) -> Result<Self, FoldError> {
        let forks = BTreeMap::new();
        let mut all = Self { swarm: *swarm, logs: BTreeMap::new(), forks, heads: 0 };
        for place in evidence {
            let event = archive.event(place)?;
            match event.payload() {
                Some(Payload::HeadsWitnessed(HeadsWitnessed { heads })) => {
                    for head in heads.iter().filter(|head| head.author != place.author) {
                        all.heads += 1;
                        let word = Word { by: place.author, seq: place.seq, root: head.root };
                        let log = all.logs.entry(head.author).or_default();
                        // Most lengths are witnessed once: there is no room for more than that.
                        let words = log.words.entry(head.length);
                        words.or_insert_with(|| Vec::with_capacity(1)).push(word);
                    }
                }
                Some(Payload::ForkProven(proven)) => {
                    let proof = ForkProof::from_bytes(&proven.proof).ok();
                    if let Some(fork) = proof.and_then(|proof| proof.verify(swarm).ok()) {
                        all.forks.entry(fork.author).or_insert((fork, *place));
                    }
                }
                _ => {}
            }
        }
        Ok(all)
    }

    /// Moves on over the next event of a log, and compares what was said of its length.
    pub(super) fn pass(&mut self, event: &Event) {
        let author = event.author;
        let Some(log) = self.logs.get_mut(&author) else {
            return;
        };
        let tip = log.tip.get_or_insert_with(|| Tip::empty(author));
        tip.push(Hash(event.id.0));
        let length = tip.length();
        for word in log.words.remove(&length).into_iter().flatten() {
            if word.root == tip.root() {
                log.agree.entry(word.by).or_default().push((word.seq, length));
            } else {
                log.differ.push((length, word));
            }
        }
    }

    /// Reports how far each log is attested, and heads that are of other logs than these.
    pub(super) fn report<R: Records>(
        &self,
        archive: &Archive<R>,
        state: &SwarmState,
        policy: Option<(&Policy, &Checkpoints)>,
        report: &mut Report,
    ) -> Result<(), FoldError> {
        for (fork, place) in self.forks.values() {
            let what = format!(
                "{} proves that the log has two histories from index {} on",
                place.author.short(),
                fork.index
            );
            report.findings.push(Finding { kind: "fork", author: Some(fork.author), what });
        }
        let mut beyond = 0;
        for (author, log) in &self.logs {
            beyond += log.words.values().map(Vec::len).sum::<usize>() as u64;
            for (length, word) in &log.differ {
                if state.members.stands(&word.by, word.seq) {
                    self.differs(archive, author, *length, word, report)?;
                }
            }
        }
        if beyond > 0 {
            let what = "witnessed heads of logs that are longer than they are here".to_owned();
            report.unchecked.push(Unchecked { kind: "witnessed", count: Some(beyond), what });
        }
        report.checked.witnessed = self.heads;
        for (author, length) in archive.lengths() {
            self.attested(author, length, state, policy, report);
        }
        Ok(())
    }

    /// A witness holds another head of this length. If its author signed it, it signed two logs.
    fn differs<R: Records>(
        &self,
        archive: &Archive<R>,
        author: &AuthorId,
        length: u64,
        word: &Word,
        report: &mut Report,
    ) -> Result<(), FoldError> {
        let Some(event) = archive.event_at(&word.by, word.seq)? else {
            return Ok(());
        };
        let clock = event.header.clock;
        let Some(Payload::HeadsWitnessed(said)) = event.payload() else {
            return Ok(());
        };
        let same = |head: &&WitnessedHead| {
            head.author == *author && head.length == length && head.root == word.root
        };
        let signed = said.heads.iter().filter(same).any(|head| {
            let WitnessedHead { author, length, root, clock, signature } = head.clone();
            let head = SignedHead { swarm: self.swarm, author, length, root, clock, signature };
            head.verify(&self.swarm).is_ok()
        });
        let by = word.by.short();
        if !signed {
            let what =
                format!("it says that it holds a head of {} that nobody signed", author.short());
            report.findings.push(Finding { kind: "witness", author: Some(word.by), what });
        } else if self.forks.contains_key(author) {
            let what = format!("{by} holds the head of another history, of {length} records");
            report.findings.push(Finding { kind: "fork", author: Some(*author), what });
        } else {
            let what = format!(
                "the log forked: {by} (index {}) holds another head of {length} records, with the \
                 root {}, that its author signed",
                word.seq,
                word.root.short()
            );
            let at = Place { clock, author: *author, seq: length - 1 };
            fail_at(archive, &at, Rule::WitnessedRoot, what, report);
        }
        Ok(())
    }

    fn attested(
        &self,
        author: AuthorId,
        length: u64,
        state: &SwarmState,
        policy: Option<(&Policy, &Checkpoints)>,
        report: &mut Report,
    ) {
        let agree = self.logs.get(&author).map(|log| &log.agree);
        let longest = |(by, words): (&AuthorId, &Vec<(u64, u64)>)| {
            let stand = words.iter().filter(|(seq, _)| state.members.stands(by, *seq));
            let length = stand.map(|(_, length)| *length).max()?;
            Some((*by, length))
        };
        let by: BTreeMap<AuthorId, u64> = agree.into_iter().flatten().filter_map(longest).collect();
        let witnesses = by.iter().map(|(by, length)| Witness { by: *by, length: *length });
        let mut attested =
            Attested { author, witnesses: witnesses.collect(), quorum: None, policy: Vec::new() };
        if let Some((policy, checkpoints)) = policy {
            let (quorum, parts) = policy.attested(length, |speaker| match speaker {
                Speaker::Member(witness) => by.get(witness).copied().unwrap_or(0),
                Speaker::Cosigner(cosigner) => checkpoints.cosigned(&author, cosigner),
            });
            if quorum == 0 && length > 0 {
                let missing = parts.iter().filter(|part| part.length == 0);
                let missing: Vec<&str> = missing.map(|part| part.name.as_str()).collect();
                let what = format!("no event of it is attested: {}", missing.join(", "));
                let (author, index) = (Some(author), Some(0));
                let rule = Rule::Policy;
                report.failures.push(Failure { rule, author, index, offset: None, what });
            } else if quorum < length {
                let what = format!(
                    "events of log {} behind index {quorum}, which the policy's quorum does not \
                     attest yet",
                    author.short()
                );
                let count = Some(length - quorum);
                report.unchecked.push(Unchecked { kind: "unattested", count, what });
            }
            (attested.quorum, attested.policy) = (Some(quorum), parts);
        }
        report.attested.push(attested);
    }
}
