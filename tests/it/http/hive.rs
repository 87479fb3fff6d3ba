//! A Hive with a memory: projects, claims and statuses, as the interface has them. What it
//! is told twice, it notices.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::server::{Reply, Request, Server};

/// What Hive knows.
#[derive(Default)]
pub(crate) struct Memory {
    /// Projects, as `active-repos` lists them.
    pub(crate) projects: Vec<Value>,
    /// Who claimed which task of which project.
    pub(crate) claims: BTreeMap<(u64, u64), String>,
    /// What it was told, each thing once, in order: project, task, status.
    pub(crate) told: Vec<(u64, u64, String)>,
    /// The keys of idempotency, with what they stood for.
    keys: BTreeMap<String, String>,
    /// What was wrong with requests.
    pub(crate) wrong: Vec<String>,
}

/// A running Hive.
pub(crate) struct FakeHive {
    pub(crate) server: Server,
    pub(crate) memory: Arc<Mutex<Memory>>,
}

pub(crate) fn project(id: u64, git_url: &str, enabled: bool, ready: bool) -> Value {
    json!({
        "project_id": id, "name": "Sample", "git_url": git_url, "owner": "acme",
        "repository": "sample", "branch": "main", "bzzz_enabled": enabled,
        "ready_to_claim": ready, "private_repo": false, "github_token_required": false,
    })
}

impl FakeHive {
    pub(crate) fn start(address: Option<SocketAddr>, projects: Vec<Value>) -> FakeHive {
        let memory = Arc::new(Mutex::new(Memory { projects, ..Memory::default() }));
        let known = Arc::clone(&memory);
        let answer = move |request: &Request, _| {
            known.lock().unwrap_or_else(PoisonError::into_inner).answer(request)
        };
        let address = address.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap());
        FakeHive { server: Server::on(address, answer), memory }
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        look(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Memory {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.header("authorization") != Some("Bearer hive-key-of-the-test") {
            self.wrong.push(format!("{}: no key", request.line()));
            return Reply::text(401, "who are you?");
        }
        let path: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), &path[..]) {
            ("GET", ["health"]) => Reply::json(200, &json!({ "status": "healthy" })),
            ("GET", ["api", "bzzz", "active-repos"]) => {
                Reply::json(200, &json!({ "repositories": self.projects }))
            }
            ("GET", ["api", "bzzz", "projects", _, "tasks"]) => {
                let task = json!({ "number": 1, "title": "One", "is_claimed": false });
                Reply::json(200, &json!([task]))
            }
            ("POST", ["api", "bzzz", "projects", id, "claim"]) => self.claim(request, id),
            ("PUT", ["api", "bzzz", "projects", id, "status"]) => self.status(request, id),
            _ => {
                self.wrong.push(format!("{}: no such path", request.line()));
                Reply::text(404, "no such path")
            }
        }
    }

    fn claim(&mut self, request: &Request, id: &str) -> Reply {
        let (id, body): (u64, _) = (id.parse().unwrap(), request.json());
        let task = body["task_number"].as_u64().unwrap();
        let agent = body["agent_id"].as_str().unwrap().to_owned();
        let at = body["claimed_at"].as_u64().unwrap();
        if !(1_600_000_000..10_000_000_000).contains(&at) {
            self.wrong.push(format!("claimed_at is {at}"));
        }
        if body.as_object().unwrap().len() != 3 {
            self.wrong.push(format!("the claim has other fields: {body}"));
        }
        match self.claims.get(&(id, task)) {
            Some(other) if *other != agent => Reply::text(409, "claimed by another"),
            _ => {
                self.claims.insert((id, task), agent);
                self.tell(request, id, task, "claimed")
            }
        }
    }

    fn status(&mut self, request: &Request, id: &str) -> Reply {
        let (id, body): (u64, _) = (id.parse().unwrap(), request.json());
        let task = body["task_number"].as_u64().unwrap();
        let status = body["status"].as_str().unwrap();
        let known = ["in_progress", "completed", "failed", "escalated"].contains(&status);
        if !known || !body["updated_at"].is_u64() || !body["results"].is_object() {
            self.wrong.push(format!("a status that Hive doesn't know: {body}"));
        }
        self.tell(request, id, task, status)
    }

    /// The same key says the same thing, and is counted once.
    fn tell(&mut self, request: &Request, id: u64, task: u64, status: &str) -> Reply {
        let what = format!("{id} {task} {status}");
        let Some(key) = request.header("idempotency-key") else {
            self.wrong.push(format!("{what}: no key of idempotency"));
            return Reply::text(400, "no key");
        };
        match self.keys.insert(key.to_owned(), what.clone()) {
            None => self.told.push((id, task, status.to_owned())),
            Some(before) if before == what => {}
            Some(before) => self.wrong.push(format!("one key for {before} and {what}")),
        }
        Reply::json(200, &json!({ "success": true }))
    }
}
