//! A real `bzzz up` with a repository, a board and a model server of this test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::server::{HANG, Reply, Request, Server};
use crate::running::{BZZZ, Up, said, sample};

/// What people answer, and the model waits for where an issue says that it should ask.
pub(crate) const ANSWER: &str = "Take the second way.";

/// In the text of an issue: the model asks people first.
pub(crate) const ASKS: &str = "ask people about it";

/// A model server in Ollama's dialect. It writes a file and is done, or asks people first.
pub(crate) fn model_server() -> Server {
    Server::start(|request, _| match request.path.as_str() {
        "/api/tags" => {
            let model = |name: &str| json!({ "name": name, "size": 1_000_000 });
            let models = ["a:1", "b:1", "c:1"].map(model);
            Reply::json(200, &json!({ "models": models }))
        }
        "/api/show" => Reply::json(
            200,
            &json!({
                "capabilities": ["completion"],
                "details": { "parameter_size": "1B" },
                "model_info": { "test.context_length": 4096 },
            }),
        ),
        "/api/chat" => chat(request),
        _ => Reply::text(404, "no such path"),
    })
}

fn chat(request: &Request) -> Reply {
    let body = request.json();
    let told: Vec<&str> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["content"].as_str().unwrap())
        .collect();
    let told = told.join("\n");
    let answer = if body["format"]["properties"]["steps"].is_object() {
        json!({ "summary": "Write a file", "steps": ["write it"] })
    } else if told.contains(ASKS) && !told.contains(ANSWER) {
        json!({ "reasoning": "two ways", "action": "help", "question": "Which way?" })
    } else if told.contains("it-is-written") {
        json!({ "reasoning": "it is there", "action": "done", "summary": "It is written." })
    } else {
        let command = "echo hello >hello.txt; echo it-is-written";
        json!({ "reasoning": "write it", "action": "command", "command": command })
    };
    let part = json!({
        "model": body["model"], "done": true, "prompt_eval_count": 10, "eval_count": 5,
        "message": { "role": "assistant", "content": answer.to_string() },
    });
    let kind = ("Content-Type", "application/x-ndjson".to_owned());
    Reply::Whole(200, vec![kind], format!("{part}\n").into_bytes())
}

/// The models that were asked, in the order of the questions.
pub(crate) fn models_asked(server: &Server) -> Vec<String> {
    let requests = server.requests();
    let chats = requests.iter().filter(|request| request.path == "/api/chat");
    chats.map(|request| request.json()["model"].as_str().unwrap().to_owned()).collect()
}

/// A home, a bare repository and a board.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    /// A node of a swarm of its own, with these settings.
    pub(crate) fn new(model: &Server, settings: &[&str]) -> Place {
        let place = Place { dir: tempfile::tempdir().unwrap() };
        let dir = place.dir.path();
        sample(dir);
        let url = format!("reasoner.url={}", model.url());
        let standard = [
            "net.listen=/ip4/127.0.0.1/tcp/0",
            "net.mdns=false",
            "node.witness_seconds=0",
            "sandbox.kind=process",
            "reasoner.kind=ollama",
            "reasoner.model=a:1",
            &url,
            "agent.poll_seconds=1",
            "agent.plan_window_seconds=0",
        ];
        let repository = "name=sample,url=sample.git,board=board";
        let mut args = vec!["init", "--name", "maple", "--repository", repository];
        for set in standard.iter().chain(settings) {
            args.extend(["--set", set]);
        }
        place.said(&args);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The address of the repository.
    pub(crate) fn remote(&self) -> String {
        self.path("sample.git").to_str().unwrap().to_owned()
    }

    /// A file that only its owner reads, in the node's home.
    pub(crate) fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path("home").join(name);
        fs::write(&path, format!("{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BZZZ);
        command.arg("--home").arg(self.path("home")).current_dir(self.dir.path());
        command
    }

    pub(crate) fn said(&self, args: &[&str]) -> String {
        said(self.command().args(args).output().unwrap(), args)
    }

    /// What a command says on both streams, however it ends.
    pub(crate) fn says(&self, args: &[&str]) -> String {
        let output = self.command().args(args).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    }

    pub(crate) fn add(&self, title: &str, body: &str, labels: &[&str]) {
        let mut args = vec!["task", "add", "--title", title, "--body", body];
        for label in labels {
            args.extend(["--label", label]);
        }
        self.said(&args);
    }

    /// The status of an issue's task; nothing if it was not seen yet.
    pub(crate) fn status(&self, issue: u64) -> String {
        let list: Value = serde_json::from_str(&self.said(&["task", "list", "--json"])).unwrap();
        let tasks = list["tasks"].as_array().unwrap();
        let task = tasks.iter().find(|task| task["issue"] == issue);
        task.map_or(String::new(), |task| task["status"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    pub(crate) fn until(&self, what: &str, right: impl Fn() -> bool) {
        let start = Instant::now();
        while !right() {
            let log = || fs::read_to_string(self.path("up.log")).unwrap();
            assert!(start.elapsed() < HANG, "waited too long for {what}\n{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The events of a task of one kind.
    pub(crate) fn events(&self, task: &str, kind: &str) -> Vec<Value> {
        let said = self.said(&["log", "--task", task, "--json", "-n", "500"]);
        let events = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|event| event["kind"] == kind).collect()
    }

    pub(crate) fn up(&self) -> Up {
        Up::start(self.command(), &[], &self.path("up.log"))
    }
}
