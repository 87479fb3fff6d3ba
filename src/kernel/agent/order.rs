//! The order of tasks whose plans touch the same: who detects it opens a session with the owner of
//! the other task, and the later plan waits for the earlier one's pull request.

use std::collections::BTreeSet;

use super::{Agent, Turn};
use crate::kernel::event::kinds::{
    CoordinationEscalated, CoordinationJoined, CoordinationOpened, CoordinationResolved,
    DependencyDetected, PlanText, Side, Source,
};
use crate::kernel::event::{Draft, TaskId};
use crate::kernel::fold::{Epoch, Opening, Order, Session, SwarmState, Task, Wait, Win};

/// The most evidence that an event names.
const MAX_EVIDENCE: usize = 16;

impl Agent {
    /// Looks for plans of others that touch the same as this node's, and moves the sessions on that
    /// this node has a part in.
    pub(super) fn coordinate(&mut self, turn: &mut Turn<'_>) {
        let state = turn.state;
        if self.config.talk.order_percent <= 100 {
            for (task, epoch) in self.own(state) {
                if let Some(drafts) = self.find_overlap(turn, task, epoch) {
                    turn.drafts.extend(drafts);
                }
            }
        }
        for session in state.sessions.open() {
            let Some(opening) = &session.opening else { continue };
            let draft = self.join(state, session, opening);
            let draft = draft.or_else(|| self.settle(turn, session, opening));
            turn.drafts.extend(draft);
        }
        self.local.forget_sessions(state);
    }

    /// What a task waits for, as far as this node believes it: what the issue's text names now, not
    /// what others say that it named; and an order if this node is the one that waits, or saw in
    /// the ref that the claim which waits was won.
    pub(super) fn waits(&self, state: &SwarmState, task: &Task) -> Vec<Wait> {
        let mut waits = state.waits(task);
        waits.retain(|wait| match wait {
            Wait::Issue { repository, .. } => *repository == task.repository,
            Wait::Order { session, .. } => self.saw_who_waits(state, session),
        });
        let named = self.named(&task.repository, &task.body).into_iter();
        waits.extend(named.filter_map(|(repository, issue, _)| {
            let other = state.task(repository, issue)?;
            let (repository, known) = (repository.to_owned(), true);
            other.is_awaited().then_some(Wait::Issue { repository, issue, known })
        }));
        waits
    }

    fn saw_who_waits(&self, state: &SwarmState, session: &TaskId) -> bool {
        let sides = state.sessions.get(session).and_then(Session::sides);
        let Some(epoch) = sides.and_then(|(_, second)| state.side(second)) else { return false };
        let Some(win) = &epoch.winner else { return false };
        win.author == self.me || epoch.seen.get(&win.author).is_some_and(|by| by.contains(&self.me))
    }

    /// The first older plan that this node's plan overlaps with, and is in no session with yet.
    fn find_overlap(&self, turn: &Turn<'_>, task: &Task, epoch: &Epoch) -> Option<Vec<Draft>> {
        let plan = epoch.plan().filter(|_| has_not_begun(epoch))?;
        for other in self.live(turn.state).into_iter().filter(|other| other.id != task.id) {
            let active = other.current().filter(|epoch| epoch.is_active() && !has_ended(epoch));
            let Some(theirs) = active else { continue };
            let Some(older) = theirs.plan().filter(|older| older.at < plan.at) else { continue };
            let mut sides = vec![side(task, epoch), side(other, theirs)];
            sides.sort_by_key(Side::task);
            let session = CoordinationOpened::session(&sides);
            if turn.state.sessions.get(&session).is_some_and(|known| known.opening.is_some()) {
                continue;
            }
            let same = other.repository == task.repository;
            let (confidence, evidence) = overlap(&plan.text, &older.text, same);
            if confidence < self.config.talk.order_percent || confidence == 0 {
                continue;
            }
            let (repository, issue) = (other.repository.clone(), other.issue);
            let found = DependencyDetected {
                repository,
                issue,
                source: Source::Overlap,
                confidence,
                evidence: evidence.clone(),
            };
            let first = u32::from(sides[1].task() == other.id);
            let reason = format!("the plans touch the same, and that of {} is older", other.name());
            let deadline_ms = turn.now.wall_ms.saturating_add(self.config.talk.order_ms);
            let opened = CoordinationOpened { sides, first, reason, evidence, deadline_ms };
            let causes = [plan.event, older.event];
            return Some(vec![
                Draft::about(task.id, found).because(causes),
                Draft::about(session, opened).because(causes),
            ]);
        }
        None
    }

    /// The owner of the task that is to go first says whether that suits it.
    fn join(&self, state: &SwarmState, session: &Session, opening: &Opening) -> Option<Draft> {
        let (first, _) = session.sides()?;
        let epoch = state.side(first)?;
        let mine = epoch.winner.as_ref().is_some_and(|win| win.author == self.me);
        if !mine || session.joined.contains_key(&self.me) {
            return None;
        }
        let agrees = epoch.is_active() && epoch.escalation.is_none();
        let reason = match agrees {
            true => "my plan is older; I go on",
            false => "I do not work on it any more",
        };
        let (opening, reason) = (opening.event, reason.to_owned());
        let joined = CoordinationJoined { opening, agrees, reason };
        Some(Draft::about(session.id, joined).because([opening]))
    }

    /// Who opened a session ends it, once the other owner said what it thinks, or in time.
    fn settle(&self, turn: &Turn<'_>, session: &Session, opening: &Opening) -> Option<Draft> {
        if opening.by != self.me {
            return None;
        }
        let (first, _) = session.sides()?;
        let owner = turn.state.side(first).and_then(|epoch| epoch.winner.as_ref());
        let joined = owner.and_then(|win| session.joined.get(&win.author));
        if joined.is_none() && turn.now.wall_ms < opening.deadline_ms {
            return None;
        }
        let causes: Vec<_> = joined.iter().map(|joined| joined.event).collect();
        let draft = match joined.filter(|joined| !joined.agrees) {
            Some(joined) => {
                let (opening, reason) = (opening.event, joined.reason.clone());
                Draft::about(session.id, CoordinationEscalated { opening, reason })
            }
            None => {
                let (first, considered) = (opening.first, causes.clone());
                let opening = opening.event;
                Draft::about(session.id, CoordinationResolved { opening, first, considered })
            }
        };
        Some(draft.because(causes))
    }

    /// Whether the work on a planned task must wait for another one: while a session of this node
    /// is open; and when it was agreed to wait, the task goes back until the other is published.
    pub(super) fn holds(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        win: &Win,
    ) -> bool {
        if !has_not_begun(epoch) {
            return false;
        }
        let state = turn.state;
        // Only what it opened itself holds it up: that it also ends, at the latest in time.
        let behind = |session: &&Session| {
            let second = session.sides().map(|(_, second)| second);
            session.opening.as_ref().is_some_and(|opening| opening.by == self.me)
                && second.is_some_and(|side| side.task() == task.id && side.epoch == epoch.number)
        };
        let mut orders = state.sessions.of(task.id).filter(behind).map(|s| state.order(s));
        if orders.any(|order| order == Order::Open) {
            return true;
        }
        let waits = self.waits(state, task);
        let waits = waits.iter().any(|wait| matches!(wait, Wait::Order { .. }));
        if waits {
            self.release(turn, task, epoch, win);
        }
        waits
    }
}

fn side(task: &Task, epoch: &Epoch) -> Side {
    Side { repository: task.repository.clone(), issue: task.issue, epoch: epoch.number }
}

/// Whether nothing was done yet in this round but planning.
fn has_not_begun(epoch: &Epoch) -> bool {
    epoch.work.sandbox.is_none() && epoch.work.commands.is_empty() && !has_ended(epoch)
}

fn has_ended(epoch: &Epoch) -> bool {
    let over = |publish: &crate::kernel::fold::Publish| publish.claim.is_some();
    epoch.escalation.is_some() || epoch.publish.as_ref().is_some_and(over)
}

/// How sure it is that two plans touch the same, in percent, and what speaks for it: files that
/// both name in one repository, and otherwise names as programs have them (paths, keys, functions).
fn overlap(one: &PlanText, other: &PlanText, same_repository: bool) -> (u32, Vec<String>) {
    let files = |plan: &PlanText| -> BTreeSet<String> {
        let names = plan.files.iter().map(|file| file.trim().trim_start_matches("./"));
        names.filter(|file| !file.is_empty()).map(str::to_owned).collect()
    };
    let common: Vec<String> = match same_repository {
        true => files(one).intersection(&files(other)).cloned().collect(),
        false => Vec::new(),
    };
    if !common.is_empty() {
        return (90, shown("file", common));
    }
    let shared: Vec<String> = names(one).intersection(&names(other)).cloned().collect();
    let confidence = match shared.len() {
        0 => 0,
        1 => 50,
        2 => 65,
        _ => 80,
    };
    (confidence, shown("name", shared))
}

fn shown(what: &str, found: Vec<String>) -> Vec<String> {
    found.into_iter().take(MAX_EVIDENCE).map(|name| format!("{what} {name}")).collect()
}

/// The names in a plan that look like a program's: with an underscore, a slash, or a dot or colons
/// inside.
fn names(plan: &PlanText) -> BTreeSet<String> {
    let texts = std::iter::once(&plan.summary).chain(&plan.steps).chain(&plan.files);
    let inside = |c: char| c.is_alphanumeric() || "_./:-".contains(c);
    let words = texts.flat_map(|text| text.split(move |c| !inside(c)));
    let words = words.map(|word| word.trim_matches(['.', ':', '-', '/']));
    let named =
        |word: &&str| (5..=128).contains(&word.len()) && word.contains(['_', '/', '.', ':']);
    words.filter(named).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(summary: &str, files: &[&str]) -> PlanText {
        PlanText {
            summary: summary.to_owned(),
            steps: vec!["do it".to_owned()],
            files: files.iter().map(|file| (*file).to_owned()).collect(),
            tests: Vec::new(),
            risks: Vec::new(),
        }
    }

    #[test]
    fn plans_overlap_in_files_of_one_repository_and_in_names_of_two() {
        let (a, b) = (plan("x", &["src/a.rs", "b.rs"]), plan("y", &["./src/a.rs"]));
        assert_eq!(overlap(&a, &b, true), (90, vec!["file src/a.rs".to_owned()]));
        assert_eq!(overlap(&a, &b, false).0, 50, "one name alone is weak");
        let a = plan("Rename user_id of api/v2/users.", &[]);
        let b = plan("Call api/v2/users with its user_id", &[]);
        let names = vec!["name api/v2/users".to_owned(), "name user_id".to_owned()];
        assert_eq!(overlap(&a, &b, false), (65, names));
        assert_eq!(overlap(&plan("Fix it. Now.", &[]), &plan("Fix it. Now.", &[]), true).0, 0);
    }
}
