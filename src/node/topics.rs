//! Which topics of gossip a node listens to.

use std::collections::BTreeSet;

use crate::kernel::event::Topic;
use crate::kernel::fold::SwarmState;

/// The most topics of tasks that a node is subscribed to, those of the tasks that were claimed
/// last. With the two others it stays well below what peers allow (`net::Limits::max_topics`), also
/// while it changes from some to others.
pub(super) const MAX_TASK_TOPICS: usize = 128;

/// How many of a log's last events are gossiped, or passed on, under one head at most.
pub(super) const NEWS: u64 = 64;

/// The topics to be subscribed to: the two that stand always, and those of the tasks that somebody
/// owns.
pub(super) fn wanted(state: &SwarmState) -> BTreeSet<Topic> {
    let mut owned: Vec<_> = state
        .tasks
        .values()
        .filter_map(|task| {
            let epoch = task.current().filter(|epoch| epoch.is_active())?;
            Some((epoch.winner.as_ref()?.at, epoch.winner.as_ref()?.author, task.id))
        })
        .collect();
    owned.sort_unstable();
    let last = owned.iter().rev().take(MAX_TASK_TOPICS);
    let always = [Topic::Coordination, Topic::MetaDiscussion];
    always.into_iter().chain(last.map(|(_, _, task)| Topic::Task(*task))).collect()
}
