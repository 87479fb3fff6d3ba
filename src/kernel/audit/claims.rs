//! Who owned which task from when to when, by the word of the logs; what in it cannot be.

use super::report::{Finding, Ownership, Report};
use crate::kernel::event::{ClaimStatus, Hlc};
use crate::kernel::fold::{Epoch, SwarmState, Task, Win};
use crate::kernel::identity::AuthorId;

/// Reports the owners of all tasks, and epochs of which not everything can be true.
pub(super) fn report(state: &SwarmState, report: &mut Report) {
    for task in state.tasks.values() {
        let won: Vec<(&Epoch, &Win)> = task
            .epochs
            .values()
            .filter_map(|epoch| Some((epoch, epoch.winner.as_ref()?)))
            .collect();
        for (at, (epoch, win)) in won.iter().enumerate() {
            let next = won.get(at + 1).copied();
            owned(task, epoch, win, next, report);
            contested(task, epoch, win, report);
        }
    }
}

/// How and when an ownership ended, as far as the logs say.
fn end(epoch: &Epoch, win: &Win, next: Option<(&Epoch, &Win)>) -> (&'static str, Option<Hlc>) {
    let status = match win.status {
        ClaimStatus::Active => None,
        ClaimStatus::Released => Some("released"),
        ClaimStatus::Published => Some("published"),
        ClaimStatus::Escalated => Some("escalated"),
    };
    let taken = next.map(|(_, next)| next.at);
    let ends = [
        win.lost_at.map(|at| ("lost", at)),
        status.map(|status| (status, win.moved_at)),
        taken.map(|at| ("taken_over", at)),
    ];
    match ends.into_iter().flatten().min_by_key(|(_, at)| *at) {
        Some((how, at)) => (how, Some(at)),
        None if epoch.finished.is_some() => ("finished", None),
        None => ("active", None),
    }
}

fn owned(task: &Task, epoch: &Epoch, win: &Win, next: Option<(&Epoch, &Win)>, report: &mut Report) {
    let (end, until) = end(epoch, win, next);
    let published = epoch.published();
    report.claims.push(Ownership {
        task: task.id,
        name: task.name(),
        epoch: epoch.number,
        owner: win.author,
        from: win.at,
        until,
        end,
        intent: win.intent,
        previous: epoch.intents.get(&win.intent).and_then(|intent| intent.previous.clone()),
        claim: win.commit.clone(),
        branch: published.map(|publish| publish.branch.clone()),
        published: published.map(|publish| publish.commit.clone()),
        pull_request: epoch.pull.as_ref().map(|pull| pull.number),
        dropped: win.dropped,
    });
    let place = format!("{}, epoch {}", task.name(), epoch.number);
    let author = Some(win.author);
    let mut found = |kind, what| report.findings.push(Finding { kind, author, what });
    if let Some(publish) = published {
        let lost = win.lost_at.filter(|at| *at < publish.at);
        let taken = next.filter(|(_, next)| next.at < publish.at);
        if lost.is_some() {
            let what = format!("{place}: it says that it published after it had lost the claim");
            found("published-late", what);
        } else if let Some((next, _)) = taken {
            let what =
                format!("{place}: it says that it published when epoch {} was won", next.number);
            found("published-late", what);
        }
    }
    if let Some((next, winner)) = next
        && win.status == ClaimStatus::Active
        && epoch.expired.is_empty()
        && win.lost_at.is_none_or(|at| at > winner.at)
        && winner.author != win.author
    {
        let what = format!(
            "{place}: epoch {} was won although nobody saw this claim run out, nor did it end",
            next.number
        );
        found("unexpired", what);
    }
}

/// Reports an epoch that two say they won, or whose claim in the ref was seen to be another's.
fn contested(task: &Task, epoch: &Epoch, win: &Win, report: &mut Report) {
    let winner = win.author;
    let name = |author: &AuthorId| match report.names.get(author) {
        Some(name) => format!("{name} ({})", author.short()),
        None => author.short(),
    };
    let mut found = Vec::new();
    let place = format!("{}, epoch {}", task.name(), epoch.number);
    for other in &epoch.contested {
        let what = format!("{place}: {} and {} both say they won it", name(&winner), name(other));
        found.push(("contested", *other, what));
    }
    for (holder, seers) in epoch.seen.iter().filter(|(holder, _)| **holder != winner) {
        let what = format!(
            "{place}: {} says it won, and {} saw the claim of {} in the ref",
            name(&winner),
            seers.iter().map(&name).collect::<Vec<_>>().join(", "),
            name(holder)
        );
        found.push(("witness", winner, what));
    }
    for (kind, author, what) in found {
        report.findings.push(Finding { kind, author: Some(author), what });
    }
}
