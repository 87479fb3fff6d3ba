//! Why a task stands where it stands, and why this node does not take it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Site;
use super::api::{Answer, Refusal, blocking};
use crate::kernel::agent::{Agent, AgentConfig, Now, Obstacle};
use crate::kernel::audit::{Explanation, Who, explain, find_task};
use crate::kernel::event::TaskId;
use crate::kernel::fold::SwarmState;
use crate::kernel::identity::AuthorId;

/// An explanation, with what concerns the node that gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// What every node would say.
    #[serde(flatten)]
    pub explanation: Explanation,
    /// The node that was asked.
    pub node: Who,
    /// Whether it owns the task.
    pub owns: bool,
    /// What keeps it from taking the task, as far as the log and its configuration tell.
    pub obstacles: Vec<Obstacle>,
}

/// Explains a task for a node of this configuration; nothing if the state knows no such task.
#[must_use]
pub fn explained(
    state: &SwarmState,
    task: TaskId,
    me: AuthorId,
    config: AgentConfig,
    wall_ms: u64,
) -> Option<Explained> {
    let explanation = explain(state, task)?;
    let task = state.tasks.get(&task)?;
    // An agent that has read nothing yet: what it says follows from the state alone.
    let mut agent = Agent::new(me, state.swarm, 0, config);
    let obstacles = agent.obstacles(state, task, Now { wall_ms, mono_ms: 0 });
    let name = super::event::name(&super::event::names(state), &me);
    let node = Who { key: me.to_string(), name };
    let owns = task.owner().is_some_and(|(owner, _)| owner == me);
    Some(Explained { explanation, node, owns, obstacles })
}

pub(super) async fn explanation(State(site): State<Arc<Site>>, Path(text): Path<String>) -> Answer {
    let (config, now) = ((site.shared.agent)(), (site.shared.clock)());
    blocking(site, move |engine| {
        let me = engine.me();
        let found = engine.read(|state| {
            let task = find_task(state, &text)?;
            Ok::<_, Refusal>(explained(state, task, me, config, now))
        })?;
        let missing = || Refusal::new(StatusCode::NOT_FOUND, "there is no such task");
        Ok(Json(json!(found.ok_or_else(missing)?)))
    })
    .await
}
