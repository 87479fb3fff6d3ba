//! What tests with real nodes share: a repository with a board, and `bzzz up` as a process.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bzzz::engine::Engine;
use bzzz::node::config::Config;
use bzzz::node::{Home, Role, clock};
use serde_json::Value;

use crate::git::git;

pub(crate) const BZZZ: &str = env!("CARGO_BIN_EXE_bzzz");

/// Only a hang takes so long.
pub(crate) const HANG: Duration = Duration::from_secs(240);

/// A bare repository `sample.git` with one commit, its tree, and an empty `board`.
pub(crate) fn sample(dir: &Path) {
    git(dir, &["init", "-q", "--bare", "-b", "main", "sample.git"]);
    git(dir, &["clone", "-q", "sample.git", "tree"]);
    let tree = dir.join("tree");
    fs::write(tree.join("README.md"), "A sample.\n").unwrap();
    git(&tree, &["add", "."]);
    git(&tree, &["commit", "-qm", "x"]);
    git(&tree, &["push", "-q", "origin", "HEAD:main"]);
    for name in ["issues", "pulls"] {
        fs::create_dir_all(dir.join("board").join(name)).unwrap();
    }
}

/// The engine of a stopped node's home, whose key has no passphrase.
pub(crate) fn engine(home: &Home) -> Engine {
    let none = std::collections::BTreeMap::new();
    let config = Config::load(&home.config_file(), &none, &[]).unwrap().config;
    let store = home.store(&config.store, Role::Writer).unwrap();
    let key = home.unlock(None).unwrap().key;
    Engine::open(store, key, home.swarm().unwrap(), clock::wall_ms()).unwrap()
}

/// What a command said that has to have succeeded.
#[track_caller]
pub(crate) fn said(output: Output, args: &[&str]) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command complained of that has to have failed with status 1.
#[track_caller]
pub(crate) fn failed(output: Output, args: &[&str]) -> String {
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A running node. It is killed when the test gives up.
pub(crate) struct Up {
    child: Child,
    /// The address of its interface.
    pub(crate) api: String,
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Up {
    /// Starts `bzzz up --json` with what the command has already, and waits until it is ready. It
    /// logs to the file.
    pub(crate) fn start(mut command: Command, args: &[&str], log: &Path) -> Self {
        let logs = fs::File::create(log).unwrap();
        command.args(["up", "--json"]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(logs);
        let mut child = command.spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let mut up = Self { child, api: String::new() };
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(out).read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = receiver.recv_timeout(HANG).unwrap();
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{line:?}: {}", fs::read_to_string(log).unwrap()));
        let api = ready["api"].as_str().unwrap().trim_start_matches("http://");
        up.api = api.trim_end_matches('/').to_owned();
        up
    }

    /// Tells it to stop; gives its status.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < HANG, "it does not stop");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A request as it goes over the wire; the status and all of the answer.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
    ) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.api).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        let host = format!("Host: {}", self.api);
        let mut lines = vec![format!("{method} {path} HTTP/1.1"), "Connection: close".to_owned()];
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            lines.push(host);
        }
        lines.extend(headers.iter().map(|header| (*header).to_owned()));
        lines.push(format!("Content-Length: {}", body.len()));
        let request = format!("{}\r\n\r\n{body}", lines.join("\r\n"));
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    pub(crate) fn get(&self, path: &str, headers: &[&str]) -> (u16, String) {
        self.ask("GET", path, headers, "")
    }

    /// The status and the JSON of the answer.
    pub(crate) fn post(&self, path: &str, headers: &[String], body: &str) -> (u16, Value) {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let (status, answer) = self.ask("POST", path, &headers, body);
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}")))
    }
}
