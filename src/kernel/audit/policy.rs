//! Whose word about other logs counts: a policy of witnesses and groups, in the manner of Sigsum's
//! policy files.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::kernel::identity::{AuthorId, NotAnId};
use crate::kernel::log::tlog::{Cosigner, NotACosigner};

/// The most names in a policy.
pub const MAX_POLICY_NAMES: usize = 1024;

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// In the order of the file: a group's members come before it.
    parts: Vec<(String, Rule)>,
    /// The position of the part that decides; none if nothing is asked.
    quorum: Option<usize>,
}

/// Whose word counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// A member of the swarm, by the heads that it recorded.
    Member(AuthorId),
    /// A witness outside of it, by its cosignatures of checkpoints.
    Cosigner(Cosigner),
}

#[derive(Clone, Debug)]
enum Rule {
    Witness(Speaker),
    /// So many of these parts.
    Group(usize, Vec<usize>),
}

/// Why a text is no policy, and in which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct PolicyError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Up to where one part of a policy attests a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartReport {
    /// The name of the witness or group.
    pub name: String,
    /// How many of its members have to attest; none for a witness.
    pub needs: Option<usize>,
    /// How many members it has.
    pub of: usize,
    /// The number of events that it attests, from the first on.
    pub length: u64,
}

impl Policy {
    /// Reads a policy: lines `witness NAME KEY`, `group NAME k|all|any MEMBER...` and, once,
    /// `quorum NAME|none`. A `#` begins a comment. The key is an author, or that of a cosigner with
    /// its name and id.
    ///
    /// # Errors
    /// [`PolicyError`], the first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut policy = Self { parts: Vec::new(), quorum: None };
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        let mut decided = false;
        let mut last = 0;
        for (number, line) in (1..).zip(text.lines()) {
            last = number;
            let failed = |what: String| PolicyError { line: number, what };
            let line = line.split('#').next().unwrap_or("");
            let words: Vec<&str> = line.split_whitespace().collect();
            let (name, rule) = match words[..] {
                [] => continue,
                ["quorum", name] if !decided => {
                    decided = true;
                    if name != "none" {
                        policy.quorum = Some(known(&names, name).map_err(failed)?);
                    }
                    continue;
                }
                ["quorum", ..] => return Err(failed("one line `quorum NAME|none`".to_owned())),
                ["witness", name, key] => (name, Rule::Witness(speaker(key).map_err(failed)?)),
                ["group", name, needs, ref members @ ..] if !members.is_empty() => {
                    let known = |member: &&str| known(&names, member);
                    let all = members.iter().map(known).collect::<Result<Vec<_>, _>>();
                    let all = all.map_err(failed)?;
                    let needs = threshold(needs, all.len()).map_err(failed)?;
                    (name, Rule::Group(needs, all))
                }
                _ => return Err(failed("neither witness, group nor quorum".to_owned())),
            };
            let fits = name != "none" && name.len() <= 64 && names.len() < MAX_POLICY_NAMES;
            if !fits || names.insert(name.to_owned(), policy.parts.len()).is_some() {
                return Err(failed(format!("{name:.80} is taken, too long or one too many")));
            }
            policy.parts.push((name.to_owned(), rule));
        }
        match decided {
            true => Ok(policy),
            false => Err(PolicyError { line: last, what: "there is no line `quorum`".to_owned() }),
        }
    }

    /// The cosigners that it names.
    pub fn cosigners(&self) -> impl Iterator<Item = &Cosigner> {
        self.parts.iter().filter_map(|(_, rule)| match rule {
            Rule::Witness(Speaker::Cosigner(cosigner)) => Some(cosigner),
            _ => None,
        })
    }

    /// How far a log is attested by each part, and by the whole, when each witness attests it as
    /// far as is given. Without a quorum, all of it is.
    #[must_use]
    pub fn attested(&self, length: u64, by: impl Fn(&Speaker) -> u64) -> (u64, Vec<PartReport>) {
        let mut lengths: Vec<u64> = Vec::with_capacity(self.parts.len());
        let mut reports = Vec::with_capacity(self.parts.len());
        for (name, rule) in &self.parts {
            let (length, needs, of) = match rule {
                Rule::Witness(speaker) => (by(speaker), None, 1),
                Rule::Group(needs, members) => {
                    let mut each: Vec<u64> = members.iter().map(|at| lengths[*at]).collect();
                    each.sort_unstable_by(|a, b| b.cmp(a));
                    (each[needs - 1], Some(*needs), members.len())
                }
            };
            lengths.push(length);
            reports.push(PartReport { name: name.clone(), needs, of, length });
        }
        (self.quorum.map_or(length, |at| lengths[at]), reports)
    }
}

fn speaker(key: &str) -> Result<Speaker, String> {
    match key.contains('+') {
        true => key.parse().map(Speaker::Cosigner).map_err(|e: NotACosigner| e.to_string()),
        false => key.parse().map(Speaker::Member).map_err(|e: NotAnId| e.to_string()),
    }
}

fn known(names: &BTreeMap<String, usize>, name: &str) -> Result<usize, String> {
    names.get(name).copied().ok_or_else(|| format!("{name:.80} is not defined above"))
}

fn threshold(text: &str, of: usize) -> Result<usize, String> {
    let needs = match text {
        "all" => Some(of),
        "any" => Some(1),
        text => text.parse().ok().filter(|needs| (1..=of).contains(needs)),
    };
    needs.ok_or_else(|| format!("a group needs `all`, `any` or 1 to {of} of its members"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_as_long_as_the_last_that_it_needs() {
        let key = |n: u8| AuthorId([n; 32]).to_string();
        let text = format!(
            "# who watches\nwitness a {}\nwitness b {} # ours\nwitness c {}\n\
             group two 2 a b c\ngroup every all two c\nquorum every\n",
            key(1),
            key(2),
            key(3)
        );
        let policy = Policy::parse(&text).unwrap();
        let by = |speaker: &Speaker| match speaker {
            Speaker::Member(author) => [0, 10, 7, 3][usize::from(author.0[0])],
            Speaker::Cosigner(_) => 0,
        };
        let (length, parts) = policy.attested(20, by);
        assert_eq!(length, 3);
        let lengths: Vec<u64> = parts.iter().map(|part| part.length).collect();
        assert_eq!(lengths, [10, 7, 3, 7, 3]);
        assert_eq!(Policy::parse("quorum none").unwrap().attested(20, by).0, 20);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line() {
        let key = AuthorId([1; 32]).to_string();
        let line = |text: &str| Policy::parse(text).unwrap_err().line;
        assert_eq!(line(""), 0);
        assert_eq!(line("quorum a"), 1);
        assert_eq!(line("\nwitness a 00"), 2);
        assert_eq!(line(&format!("witness a {key}\nwitness a {key}")), 2);
        assert_eq!(line(&format!("witness a {key}\ngroup g 2 a\nquorum g")), 2);
        assert_eq!(line(&format!("witness a {key}\ngroup g 0 a\nquorum g")), 2);
        assert_eq!(line("group g any\nquorum g"), 1);
        assert_eq!(line("quorum none\nwitness a example.com/w+00000000+BAAA"), 2);
        assert_eq!(line("quorum none\nquorum none"), 2);
    }
}
