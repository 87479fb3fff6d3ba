//! Which topics of gossip a node listens to.

use std::collections::{BTreeMap, BTreeSet};

use crate::kernel::event::{Hlc, TaskId, Topic};
use crate::kernel::fold::{SwarmState, Task};
use crate::kernel::identity::AuthorId;

/// The most topics of tasks that a node is subscribed to, those of the tasks that were claimed
/// last. With the two others it stays well below what peers allow (`net::Limits::max_topics`), also
/// while it changes from some to others.
const MAX_TASK_TOPICS: usize = 128;

/// How many of a log's last events are gossiped, or passed on, under one head at most.
pub(super) const NEWS: u64 = 64;

/// The topics that a node is subscribed to.
#[derive(Debug, Default)]
pub(super) struct Topics {
    /// How many changes of the state were seen.
    seen: Option<u64>,
    /// The tasks that somebody owns, and by which win.
    owned: BTreeMap<TaskId, (Hlc, AuthorId)>,
    subscribed: BTreeSet<Topic>,
}

/// What to leave and what to join, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    pub(super) leave: Vec<Topic>,
    pub(super) join: Vec<Topic>,
}

impl Topics {
    /// Takes in what changed in the state since the last time.
    pub(super) fn follow(&mut self, state: &SwarmState) -> Moves {
        let changes = state.changes();
        if self.seen == Some(changes.count()) {
            return Moves::default();
        }
        let since = self.seen.replace(changes.count());
        let changed: BTreeSet<TaskId> = match since.and_then(|seen| changes.since(seen)) {
            Some(tasks) => tasks.collect(),
            None => {
                self.owned.clear();
                state.tasks.keys().copied().collect()
            }
        };
        for id in changed {
            match state.tasks.get(&id).and_then(win) {
                Some(win) => drop(self.owned.insert(id, win)),
                None => drop(self.owned.remove(&id)),
            }
        }
        let wanted = self.wanted();
        let moves = Moves {
            leave: self.subscribed.difference(&wanted).copied().collect(),
            join: wanted.difference(&self.subscribed).copied().collect(),
        };
        self.subscribed = wanted;
        moves
    }

    /// The two topics that stand always, and those of the tasks that were won last.
    fn wanted(&self) -> BTreeSet<Topic> {
        let mut wins: Vec<_> = self.owned.iter().map(|(task, win)| (*win, *task)).collect();
        wins.sort_unstable();
        let last = wins.iter().rev().take(MAX_TASK_TOPICS);
        let always = [Topic::Coordination, Topic::MetaDiscussion];
        always.into_iter().chain(last.map(|(_, task)| Topic::Task(*task))).collect()
    }
}

/// The win by which somebody owns the task.
fn win(task: &Task) -> Option<(Hlc, AuthorId)> {
    let epoch = task.current().filter(|epoch| epoch.is_active())?;
    epoch.winner.as_ref().map(|win| (win.at, win.author))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, found};
    use crate::kernel::event::Draft;
    use crate::kernel::event::kinds::{ClaimIntended, ClaimWon, TaskFinished, TaskSeen};
    use crate::kernel::identity::SecretKey;
    use crate::store::memory::MemoryStore;
    use std::sync::Arc;

    const NOW: u64 = 1_800_000_000_000;

    fn topic(issue: u64) -> Topic {
        Topic::Task(TaskId::of("r", issue))
    }

    fn claim(engine: &Engine, issue: u64) {
        let task = TaskId::of("r", issue);
        let (repository, title, body) = ("r".to_owned(), String::new(), String::new());
        let (labels, depends_on) = (Vec::new(), Vec::new());
        let seen = TaskSeen { repository, issue, title, body, labels, depends_on, open: true };
        let intended = ClaimIntended { epoch: 1, lease_ms: 1, process: 1, previous: None };
        let drafts = vec![Draft::about(task, seen), Draft::about(task, intended)];
        let intent = engine.append(drafts, NOW).unwrap().ids[1];
        let won = ClaimWon { intent, epoch: 1, commit: "a".repeat(40).parse().unwrap() };
        engine.append(vec![Draft::about(task, won)], NOW).unwrap();
    }

    fn finish(engine: &Engine, issue: u64) {
        let finished = TaskFinished { epoch: 1, outcome: "released".to_owned() };
        let task = TaskId::of("r", issue);
        engine.append(vec![Draft::about(task, finished)], NOW).unwrap();
    }

    /// What is gossiped is read while the node's other parts append: an event that the store holds
    /// and no head that counts yet has no proof, and that is no fault.
    #[test]
    fn a_proof_is_asked_for_while_the_log_grows() {
        let key = SecretKey::from_seed(&[1; 32]);
        let (me, store) = (key.author(), Arc::new(MemoryStore::new()));
        let founding = found(&key, "test", [7; 16], NOW).unwrap();
        let swarm = founding.swarm;
        founding.commit(&*store, &key).unwrap();
        let engine = Engine::open(store, key, swarm, NOW).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (0..300).for_each(|issue| claim(&engine, issue)));
            let (mut from, mut over) = (0, false);
            while !over {
                over = writer.is_finished();
                let events = engine.events(me, from, 64).unwrap();
                for event in &events {
                    if let Some(signed) = engine.signed_event(&me, event.header.seq).unwrap() {
                        assert!(signed.verify(&swarm).is_ok());
                        from = event.header.seq;
                    }
                }
            }
            assert!(from > 0, "no event had a proof");
        });
    }

    #[test]
    fn topics_of_the_tasks_that_were_claimed_last_are_joined_and_left() {
        let key = SecretKey::from_seed(&[1; 32]);
        let store = Arc::new(MemoryStore::new());
        let founding = found(&key, "test", [7; 16], NOW).unwrap();
        let swarm = founding.swarm;
        founding.commit(&*store, &key).unwrap();
        let engine = Engine::open(store, key, swarm, NOW).unwrap();
        let mut topics = Topics::default();
        let mut follow = || engine.read(|state| topics.follow(state));
        let moves =
            |leave: &[Topic], join: &[Topic]| Moves { leave: leave.to_vec(), join: join.to_vec() };
        let always = [Topic::Coordination, Topic::MetaDiscussion];
        assert_eq!(follow(), moves(&[], &always));

        let most = MAX_TASK_TOPICS as u64;
        (0..most).for_each(|issue| claim(&engine, issue));
        let joined = follow().join;
        assert_eq!(joined.len(), MAX_TASK_TOPICS);
        assert_eq!(follow(), Moves::default());

        claim(&engine, most);
        assert_eq!(follow(), moves(&[topic(0)], &[topic(most)]), "the oldest makes room");
        finish(&engine, most - 1);
        assert_eq!(follow(), moves(&[topic(most - 1)], &[topic(0)]), "and comes back");
        finish(&engine, 1);
        assert_eq!(follow(), moves(&[topic(1)], &[]));
    }
}
