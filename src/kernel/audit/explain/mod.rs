//! Why a task stands where it stands: who has it and why that node got it, and what it waits for.
//! All of it follows from the folded state, so that every node, and an auditor with a bundle, give
//! the same answer.

mod waits;

use serde::{Deserialize, Serialize};

pub use waits::{WaitKind, Waiting};

use crate::kernel::event::ClaimStatus;
use crate::kernel::event::TaskId;
use crate::kernel::fold::{Epoch, Intent, IntentResult, SwarmState, Task, Win};
use crate::kernel::identity::AuthorId;

/// The most attempts of one epoch that are told; the others are counted.
pub const MAX_TRIES: usize = 64;

/// The most epochs that are told, the newest.
pub const MAX_TOLD: usize = 32;

/// A node, for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Its key.
    pub key: String,
    /// Its name, or the beginning of its key. Untrusted.
    pub name: String,
}

/// Why a task stands where it stands. Texts are untrusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// `repository#issue`.
    pub task: String,
    /// Its id.
    pub id: String,
    /// The title.
    pub title: String,
    /// `open`, `claimed`, `published`, `escalated`, `merged`, `rejected` or `closed`.
    pub status: String,
    /// Who owns it now.
    pub owner: Option<Who>,
    /// The claims, the oldest first.
    pub epochs: Vec<EpochStory>,
    /// How many older claims are left out.
    pub older: u64,
    /// What it waits for.
    pub waits: Vec<Waiting>,
    /// The circle of tasks that wait for each other, if it is in one: people have to break it.
    pub circle: Option<Vec<String>>,
}

/// One epoch of the claim: how it came to be free, who tried, who won.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStory {
    /// Its number.
    pub epoch: u64,
    /// Why the task was free for it.
    pub free: Free,
    /// Who tried, in order.
    pub tries: Vec<Try>,
    /// How many more tried.
    pub more: u64,
    /// Who won it: whose claim the ref took.
    pub won: Option<Won>,
    /// Others that say that they won it too: one of them lies.
    pub contested: Vec<Who>,
    /// Whose claim of this epoch others saw in the ref, and how many did.
    pub seen: Vec<(Who, u64)>,
    /// What came of it, if the winner's part is over.
    pub ended: Option<String>,
}

/// Why a task was free to be claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Free {
    /// Nobody had it before.
    First,
    /// The owner of the epoch before gave it back.
    GivenBack {
        /// The owner.
        by: Who,
    },
    /// The owner of the epoch before handed it over to a helper.
    HandedOver {
        /// The owner.
        by: Who,
        /// The helper.
        to: Who,
    },
    /// The owner of the epoch before did not renew its claim for a whole lease.
    RanOut {
        /// The owner.
        holder: Who,
        /// The lease, in milliseconds.
        lease_ms: u64,
        /// Who watched it run out.
        watched_by: Vec<Who>,
    },
    /// The owner of the epoch before says that it had lost it.
    Lost {
        /// The owner.
        by: Who,
    },
    /// The issue was opened again after the work of the epoch before was over.
    OpenedAgain,
    /// The state does not say it: an event that does has not come yet, or was never said.
    Unknown,
}

/// An attempt to win an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// Whose.
    pub by: Who,
    /// When it was intended, in milliseconds since 1970.
    pub at_ms: u64,
    /// `pending`, `won`, `lost` or `failed`.
    pub result: String,
}

/// The claim that won an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Won {
    /// Whose.
    pub by: Who,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whether the claim took the place of this one in the ref; none if the ref was absent.
    pub replaced: Option<String>,
    /// The claim commit that the ref held last.
    pub commit: String,
    /// How long it stands without renewal, in milliseconds.
    pub lease_ms: u64,
    /// When it was last renewed, in milliseconds since 1970.
    pub renewed_ms: u64,
}

/// Why a task stands where it stands; nothing if the state knows no such task.
#[must_use]
pub fn explain(state: &SwarmState, id: TaskId) -> Option<Explanation> {
    let task = state.tasks.get(&id)?;
    let older = task.epochs.len().saturating_sub(MAX_TOLD);
    let epochs = task.epochs.values().skip(older).map(|epoch| story(state, task, epoch));
    Some(Explanation {
        task: if task.repository.is_empty() { task.id.short() } else { task.name() },
        id: task.id.to_string(),
        title: task.title.clone(),
        status: task.status().name().to_owned(),
        owner: task.owner().map(|(owner, _)| who(state, &owner)),
        epochs: epochs.collect(),
        older: older as u64,
        waits: waits::waits(state, task),
        circle: state.circle(task),
    })
}

/// The member's name, or that of an administrator's node, or the beginning of the key.
fn who(state: &SwarmState, author: &AuthorId) -> Who {
    let member = state.members.members.get(author);
    let agent = state.agents.get(author).filter(|_| member.is_some_and(|m| m.administrator));
    let name = agent.map(|agent| agent.started.name.as_str());
    let name = name.or(member.map(|member| member.name.as_str())).unwrap_or_default();
    let name = if name.trim().is_empty() { author.short() } else { name.to_owned() };
    Who { key: author.to_string(), name }
}

fn story(state: &SwarmState, task: &Task, epoch: &Epoch) -> EpochStory {
    let mut intents: Vec<&Intent> = epoch.intents.values().collect();
    intents.sort_by_key(|intent| (intent.at, intent.author));
    let tries = intents.iter().take(MAX_TRIES).map(|intent| Try {
        by: who(state, &intent.author),
        at_ms: intent.at.ms(),
        result: match intent.result {
            IntentResult::Pending => "pending",
            IntentResult::Won => "won",
            IntentResult::Lost => "lost",
            IntentResult::Failed => "failed",
        }
        .to_owned(),
    });
    let seen = epoch.seen.iter().map(|(holder, by)| (who(state, holder), by.len() as u64));
    EpochStory {
        epoch: epoch.number,
        free: free(state, task, epoch),
        tries: tries.collect(),
        more: intents.len().saturating_sub(MAX_TRIES) as u64,
        won: epoch.winner.as_ref().map(|win| won(state, epoch, win)),
        contested: epoch.contested.iter().map(|author| who(state, author)).collect(),
        seen: seen.collect(),
        ended: ended(epoch),
    }
}

fn won(state: &SwarmState, epoch: &Epoch, win: &Win) -> Won {
    let intent = epoch.intents.get(&win.intent);
    let replaced = intent.and_then(|intent| intent.previous.as_ref());
    Won {
        by: who(state, &win.author),
        at_ms: win.at.ms(),
        replaced: replaced.map(ToString::to_string),
        commit: win.commit.to_string(),
        lease_ms: win.lease_ms,
        renewed_ms: win.moved_at.ms(),
    }
}

/// Why the task was free for an epoch: what became of the last one that somebody won before.
fn free(state: &SwarmState, task: &Task, epoch: &Epoch) -> Free {
    let before = task.epochs.range(..epoch.number).rev().map(|(_, before)| before);
    let mut won = before.filter_map(|before| Some((before, before.winner.as_ref()?)));
    let Some((before, win)) = won.next() else {
        return Free::First;
    };
    let by = who(state, &win.author);
    if let Some(handed) = &before.handed {
        return Free::HandedOver { by, to: who(state, &handed.to) };
    }
    if win.status == ClaimStatus::Released {
        return Free::GivenBack { by };
    }
    if !before.expired.is_empty() {
        let watched_by = before.expired.keys().map(|author| who(state, author)).collect();
        return Free::RanOut { holder: by, lease_ms: win.lease_ms, watched_by };
    }
    match win.lost_at {
        Some(_) => Free::Lost { by },
        None if task.over >= before.number => Free::OpenedAgain,
        None => Free::Unknown,
    }
}

fn ended(epoch: &Epoch) -> Option<String> {
    let win = epoch.winner.as_ref()?;
    let lost = win.lost_at.map(|_| "its owner lost the claim".to_owned());
    epoch.finished.clone().or(lost)
}
