//! The events as they come: a request waits until there is something to tell, or its time is over.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::api::{Answer, Refusal, asked};
use super::event::{EventView, views};
use super::open::both;
use super::recent::{KEPT, Slice};
use super::{MAX_LISTED, Site};
use crate::kernel::audit::find_task;
use crate::kernel::event::{Event, TaskId};
use crate::kernel::fold::SwarmState;

/// The longest that a request waits, in seconds: shorter than what the listener takes for silence.
pub const MAX_WAIT_S: u64 = 20;

/// The most requests that wait at once; the others find their answers soon enough by asking again.
pub(super) const MAX_WATCHERS: usize = 32;

#[derive(Deserialize)]
pub(super) struct WatchFilter {
    after: Option<u64>,
    run: Option<u64>,
    task: Option<String>,
    #[serde(default)]
    wait: u64,
}

/// What came since.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Watched {
    /// Which run of the node counts: numbers begin anew with each.
    pub run: u64,
    /// What to ask for next.
    pub last: u64,
    /// How many events came meanwhile that are not kept any more; a look at the log has them.
    pub missed: u64,
    /// The events, in the order in which they came to this node.
    pub events: Vec<EventView>,
}

/// What came behind a number of arrival; waits for it if nothing has.
pub(super) async fn watch(
    State(site): State<Arc<Site>>,
    query: Result<Query<WatchFilter>, QueryRejection>,
) -> Answer {
    let filter = asked(query)?;
    let engine = &site.shared.engine;
    let task = filter.task.as_deref();
    let task = task.map(|text| engine.read(|state| find_task(state, text))).transpose()?;
    let run = site.recent.run;
    // Numbers of another run mean nothing: all that is kept is told.
    let mut after = filter.after.filter(|_| filter.run.is_none_or(|asked| asked == run));
    let _place = match filter.wait {
        0 => None,
        _ => Some(Arc::clone(&site.watchers).try_acquire_owned().map_err(|_| {
            let what =
                format!("{MAX_WATCHERS} requests wait for events already; ask without `wait`");
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, what)
        })?),
    };
    let end = Instant::now() + Duration::from_secs(filter.wait.min(MAX_WAIT_S));
    let (mut news, mut stopping) = (site.recent.news(), site.stopping.clone());
    let mut missed = 0;
    let events = loop {
        news.borrow_and_update();
        let Slice { last, events, missed: lost } = match after {
            None => site.recent.slice(None, KEPT),
            after => site.recent.slice(after, MAX_LISTED),
        };
        missed += lost;
        after = Some(last);
        let all = events.len() == MAX_LISTED;
        let told = engine.read(|state| tell(state, &events, task));
        if !told.is_empty() || *stopping.borrow() || Instant::now() >= end {
            break told;
        }
        if all {
            continue;
        }
        tokio::select! {
            // In each case the next look says what there is.
            _ = timeout_at(end, news.changed()) => {}
            _ = stopping.changed() => {}
        }
    };
    let last = after.unwrap_or(0);
    Ok(Json(json!(Watched { run, last, missed, events })))
}

/// The events that are about a task, or in a session that it is a side of; all if none is named.
fn tell(state: &SwarmState, events: &[Arc<Event>], task: Option<TaskId>) -> Vec<EventView> {
    let session = |id: Option<TaskId>| id.and_then(|id| state.sessions.get(&id));
    let concerns = |event: &&Arc<Event>| match (task, event.header.task) {
        (None, _) => true,
        (Some(task), about) => {
            about == Some(task) || session(about).is_some_and(|session| session.concerns(task))
        }
    };
    let events: Vec<&Arc<Event>> = events.iter().filter(concerns).collect();
    if events.is_empty() {
        return Vec::new();
    }
    let mut told = views(state, events.iter().map(|event| &***event));
    for (view, event) in told.iter_mut().zip(&events) {
        if view.task_name.is_none() {
            view.task_name = session(event.header.task).map(both).filter(|name| !name.is_empty());
        }
    }
    told
}
