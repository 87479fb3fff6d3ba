//! What an agent knows beside the folded state, and forgets at a restart.

use std::collections::{BTreeMap, BTreeSet};

use super::effect::{Key, What};
use super::input::RefRead;
use super::live::Live;
use crate::kernel::event::{CommitId, Draft, EventId, TaskId};
use crate::kernel::fold::SwarmState;

/// The wait after the first failure of an effect, in milliseconds; it doubles with each further
/// one.
const FIRST_WAIT_MS: u64 = 500;

/// The longest wait after a failure, in milliseconds.
const LONGEST_WAIT_MS: u64 = 60_000;

/// A claim ref that is watched: since when it holds the same commit, on the monotonic clock.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) read: RefRead,
    pub(super) since_ms: u64,
}

/// The work's commit.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) commit: CommitId,
    pub(super) changed: (u32, u32, u32),
    pub(super) files: Vec<String>,
}

/// What was decided to be said of a task the last time.
#[derive(Debug)]
struct Said {
    drafts: Vec<Draft>,
    repeats: u32,
    until_ms: u64,
}

#[derive(Debug, Default)]
pub(super) struct Local {
    pub(super) live: Live,
    said: BTreeMap<TaskId, Said>,
    in_flight: BTreeSet<Key>,
    waits: BTreeMap<Key, (u32, u64)>,
    /// What the claim refs held when they were last read.
    pub(super) refs: BTreeMap<TaskId, Watched>,
    /// Repositories whose refs were read at least once.
    pub(super) read: BTreeSet<String>,
    /// Whether an issue was open when this process read it, after it had read the refs.
    pub(super) open: BTreeMap<TaskId, bool>,
    /// When a repository was last asked for, and whether that is still under way.
    pub(super) polls: BTreeMap<String, (u64, bool)>,
    /// The sandboxes of this process, and the limit of each one's commands in seconds.
    pub(super) sandboxes: BTreeMap<TaskId, u32>,
    /// When a claim was last renewed by this process.
    pub(super) renewed: BTreeMap<TaskId, u64>,
    /// Tasks that this node gave back: how often, and until when it leaves them alone.
    pub(super) left_alone: BTreeMap<TaskId, (u32, u64)>,
    /// Whether the node's budget of the day is used up.
    pub(super) spent: bool,
    /// When the end of a task, by merge or close, was first seen.
    pub(super) ended: BTreeMap<TaskId, u64>,
    /// When an open pull request was last looked at.
    pub(super) watched: BTreeMap<TaskId, u64>,
    /// Repositories in which no new task may be claimed at present.
    pub(super) not_ready: BTreeSet<String>,
    /// What was left out of a question that is under way: messages and bytes.
    pub(super) dropped: BTreeMap<EventId, (u32, u64)>,
    /// The work's commit of this process, before it is decided to publish it: what changed in
    /// files, lines added and removed, and which files.
    pub(super) committed: BTreeMap<TaskId, Committed>,
    /// The commit of unfinished work that is to be handed over; none if there is nothing in it.
    pub(super) wip: BTreeMap<TaskId, Option<Committed>>,
    /// The number of the next part of a command's output.
    pub(super) parts: BTreeMap<TaskId, u32>,
}

impl Local {
    /// Marks an effect as under way, unless it is already or must wait.
    pub(super) fn start(&mut self, key: Key, mono_ms: u64) -> bool {
        !self.waits(&key, mono_ms) && self.in_flight.insert(key)
    }

    /// Whether an effect must wait after a failure.
    pub(super) fn waits(&self, key: &Key, mono_ms: u64) -> bool {
        self.waits.get(key).is_some_and(|(_, until)| mono_ms < *until)
    }

    pub(super) fn in_flight(&self, key: &Key) -> bool {
        self.in_flight.contains(key)
    }

    /// The effect is over; after a failure it waits before it may start again.
    pub(super) fn end(&mut self, key: &Key, failed: bool, mono_ms: u64) -> u32 {
        self.in_flight.remove(key);
        if !failed {
            self.waits.remove(key);
            return 0;
        }
        let (failures, until) = self.waits.entry(key.clone()).or_default();
        *until = mono_ms.saturating_add(wait_ms(*failures));
        *failures += 1;
        *failures
    }

    /// Whether these drafts may be appended: at once if they are not those of the last time,
    /// otherwise after a wait that doubles.
    pub(super) fn may_say(&mut self, task: TaskId, drafts: &[Draft], mono_ms: u64) -> bool {
        let last = self.said.get_mut(&task).filter(|last| last.drafts == drafts);
        let Some(last) = last else {
            let until_ms = mono_ms.saturating_add(wait_ms(0));
            self.said.insert(task, Said { drafts: drafts.to_vec(), repeats: 0, until_ms });
            return true;
        };
        if mono_ms < last.until_ms {
            return false;
        }
        last.repeats += 1;
        last.until_ms = mono_ms.saturating_add(wait_ms(last.repeats));
        true
    }

    /// Takes in a read of a ref.
    pub(super) fn watch(&mut self, task: TaskId, read: Option<RefRead>, mono_ms: u64) {
        match read {
            None => drop(self.refs.remove(&task)),
            Some(read) => {
                let same = self.refs.get(&task).filter(|seen| seen.read.commit == read.commit);
                let since_ms = same.map_or(mono_ms, |seen| seen.since_ms);
                self.refs.insert(task, Watched { read, since_ms });
            }
        }
    }

    /// Forgets what was read of a repository: it has to be read again before anything of it is
    /// claimed. When its tasks may be tried again stays known.
    pub(super) fn forget_repository(&mut self, state: &SwarmState, repository: &str) {
        self.polls.remove(repository);
        self.read.remove(repository);
        self.not_ready.remove(repository);
        for task in state.tasks.values().filter(|task| task.repository == repository) {
            self.open.remove(&task.id);
            self.refs.remove(&task.id);
        }
    }

    /// Leaves a task alone for a while, longer each time.
    pub(super) fn leave_alone(&mut self, task: TaskId, mono_ms: u64, lease_ms: u64) {
        let (times, until) = self.left_alone.entry(task).or_default();
        *until = mono_ms.saturating_add(lease_ms.saturating_mul(1 << (*times).min(6)));
        *times += 1;
    }

    /// Forgets what was said in sessions that are over.
    pub(super) fn forget_sessions(&mut self, state: &SwarmState) {
        self.said.retain(|id, _| {
            state.sessions.get(id).is_none_or(crate::kernel::fold::Session::is_open)
        });
    }

    /// Forgets a task that is over for this node. A sandbox that is still there stays known.
    pub(super) fn forget(&mut self, task: TaskId) {
        self.renewed.remove(&task);
        self.parts.remove(&task);
        self.said.remove(&task);
        self.watched.remove(&task);
        self.ended.remove(&task);
        self.committed.remove(&task);
        self.wip.remove(&task);
        self.waits.retain(|key, _| key.task != task || key.what == What::Close);
    }
}

fn wait_ms(failures: u32) -> u64 {
    FIRST_WAIT_MS.saturating_mul(1 << failures.min(10)).min(LONGEST_WAIT_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::event::kinds::TaskFinished;

    #[test]
    fn the_same_is_not_said_again_at_full_speed() {
        let task = TaskId([1; 32]);
        let finished =
            |epoch| vec![Draft::about(task, TaskFinished { epoch, outcome: "lost".to_owned() })];
        let mut local = Local::default();
        assert!(local.may_say(task, &finished(1), 0));
        let said = (1..=10_000).filter(|now| local.may_say(task, &finished(1), *now)).count();
        assert_eq!(said, 4, "after 500, 1000, 2000 and 4000 ms");
        assert!(local.may_say(task, &finished(2), 10_000), "something new is said at once");
    }
}
