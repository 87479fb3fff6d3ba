//! What people must approve before a node does it, by its operator's rules.

use super::{Agent, Turn};
use crate::kernel::event::Draft;
use crate::kernel::event::kinds::{ApprovalRequested, Escalated, Subject, cut};
use crate::kernel::fold::{Approved, Epoch, MAX_APPROVALS, MAX_FEEDBACK, SwarmState, Task};
use crate::kernel::identity::AuthorId;

/// What needs an approval. Patterns match a whole text; `*` stands for anything, `?` for one
/// character.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApprovalRules {
    /// Every plan.
    pub plans: bool,
    /// The plan of a node's first task in a repository: until one of its tasks there was published.
    pub first_task: bool,
    /// Commands that match one of these patterns.
    pub commands: Vec<String>,
    /// Changes of files whose paths match one of these patterns.
    pub files: Vec<String>,
    /// Changes of more lines than this, added and removed together; 0 for no such rule.
    pub lines: u32,
    /// How long an approval is awaited before the question goes to people outside, in milliseconds.
    pub wait_ms: u64,
}

/// How something stands that people may have to approve.
pub(super) enum Gate<'a> {
    /// It may be done.
    Open,
    /// Nobody said anything yet, or the question is on its way.
    Waiting,
    /// It must not be done.
    Refused(&'a Approved),
}

impl ApprovalRules {
    /// The rule that asks for an approval of this node's plan.
    pub(super) fn plan(&self, state: &SwarmState, task: &Task, me: AuthorId) -> Option<String> {
        if self.plans {
            return Some("every plan is approved by people".to_owned());
        }
        let published = |other: &Task| {
            let mut epochs = other.epochs.values();
            other.repository == task.repository
                && epochs.any(|epoch| {
                    epoch.published().is_some()
                        && epoch.winner.as_ref().is_some_and(|win| win.author == me)
                })
        };
        let first = self.first_task && !state.tasks.values().any(published);
        first.then(|| format!("it is this node's first task in {}", task.repository))
    }

    /// The rule that asks for an approval of a command.
    pub(super) fn command(&self, command: &str) -> Option<String> {
        let pattern = self.commands.iter().find(|pattern| matches(pattern, command))?;
        Some(format!("commands like \"{pattern}\" are approved by people"))
    }

    /// The rule that asks for an approval of a change.
    pub(super) fn change(&self, files: &[String], changed: (u32, u32, u32)) -> Option<String> {
        let lines = changed.1.saturating_add(changed.2);
        if self.lines > 0 && lines > self.lines {
            let most = self.lines;
            return Some(format!("it changes {lines} lines, and more than {most} are approved"));
        }
        if !self.files.is_empty() && changed.0 as usize > files.len() {
            return Some(format!("it changes {} files, too many to look at", changed.0));
        }
        let touched = |pattern: &&String| files.iter().any(|file| matches(pattern, file));
        let pattern = self.files.iter().find(touched)?;
        Some(format!("changes of files like \"{pattern}\" are approved by people"))
    }

    /// The rule that asks for an approval of a change that goes on from work which somebody handed
    /// over: nobody has approved that, and it is no part of what changed since.
    pub(super) fn inherited(&self) -> Option<String> {
        let looks = self.lines > 0 || !self.files.is_empty();
        looks.then(|| "it goes on from unfinished work that nobody approved".to_owned())
    }
}

impl Agent {
    /// Whether something may be done; asks people if a rule wants that.
    pub(super) fn gate<'a>(
        &self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &'a Epoch,
        (subject, content, text): (Subject, &[u8], &str),
        rule: Option<String>,
    ) -> Gate<'a> {
        let Some(rule) = rule else { return Gate::Open };
        let hash = subject.hash(content);
        let asked: Vec<_> = epoch.approvals.iter().filter(|asked| asked.hash == hash).collect();
        let verdicts = asked.iter().filter_map(|asked| asked.verdict.as_ref());
        if verdicts.clone().any(|verdict| verdict.approved) {
            return Gate::Open;
        }
        let since = epoch.rounds.last().map(|round| round.at);
        let fresh = |at| since.is_none_or(|since| at > since);
        let Some(last) = asked.last().filter(|asked| fresh(asked.at)) else {
            if epoch.approvals.len() >= MAX_APPROVALS {
                let reason = format!("people were asked for too many approvals: {rule}");
                let question = cut(&format!("May this be done?\n\n{text}"), 4096);
                let escalated = Escalated { epoch: epoch.number, reason, question };
                turn.drafts.push(Draft::about(task.id, escalated));
                return Gate::Waiting;
            }
            let deadline_ms = turn.now.wall_ms.saturating_add(self.config.approvals.wait_ms);
            let (text, rule) = (cut(text, MAX_FEEDBACK), cut(&rule, 1024));
            let epoch = epoch.number;
            let requested = ApprovalRequested { epoch, subject, hash, text, rule, deadline_ms };
            turn.drafts.push(Draft::about(task.id, requested));
            return Gate::Waiting;
        };
        if let Some(verdict) = &last.verdict {
            return Gate::Refused(verdict);
        }
        if turn.now.wall_ms >= last.deadline_ms {
            let reason = format!("nobody approved in time: {}", last.rule);
            let question = cut(&format!("May this be done?\n\n{}", last.text), 4096);
            let escalated = Escalated { epoch: epoch.number, reason, question };
            turn.drafts.push(Draft::about(task.id, escalated).because([last.event]));
        }
        Gate::Waiting
    }
}

/// Whether a pattern with `*` and `?` matches the whole text. It takes a time of the product of
/// their lengths at most.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star stood, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, t) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts() {
        let table = [
            ("rm *", "rm -rf .", true),
            ("rm *", "rm", false),
            ("*curl*", "x=1 curl a", true),
            ("git push", "git push -f", false),
            ("src/*/key?.rs", "src/node/key2.rs", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXcYb", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn a_change_is_looked_at_by_size_and_by_files() {
        let files = vec!["*.toml".to_owned()];
        let rules = ApprovalRules { lines: 100, files, ..ApprovalRules::default() };
        assert_eq!(rules.change(&["a.rs".to_owned()], (1, 50, 50)), None);
        assert!(rules.change(&["a.rs".to_owned()], (2, 1, 0)).unwrap().contains("2 files"));
        assert!(rules.change(&["a.rs".to_owned()], (1, 51, 50)).unwrap().contains("101 lines"));
        assert!(rules.change(&["Cargo.toml".to_owned()], (1, 1, 0)).unwrap().contains("*.toml"));
    }
}
