//! The way out of a sandbox through the proxy: who is let through is, and nobody else, whatever a
//! command tries. The names are a table's; everything else is as it always is.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bzzz::integrations::docker::DockerSandbox;
use bzzz::integrations::sandbox::{CommandStatus, Denied, Egress, Fixed, Hosts, Limits, Resolver};

use super::super::sandbox::{Bed, limits};

/// Bytes that one command may send and receive.
const BYTES: u64 = 300_000;

/// A server of HTTP, and the requests that it got.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let server = Server { address, seen: Arc::clone(&seen) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || answer(stream, &seen));
            }
        });
        server
    }

    /// The requests since this was last asked.
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

fn answer(mut stream: TcpStream, seen: &Mutex<Vec<String>>) {
    let mut from = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head).unwrap_or(0) == 0 {
            // Who connects and says nothing is seen too.
            break;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    from.read_exact(&mut body).unwrap();
    let text = format!("{head}{}", String::from_utf8(body).unwrap());
    let big = text.starts_with("GET /big");
    seen.lock().unwrap().push(text);
    let body = if big { "x".repeat(2_000_000) } else { "from outside\n".to_owned() };
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

/// `allowed` is a server; `private` leads to another one, as a name of the internet may lead to any
/// address of this machine; `denied` is not on the list.
fn egress(allowed: &Server, private: &Server) -> Egress {
    let name = |name: &str, server: &Server| (format!("{name}.example.org"), vec![server.address]);
    let names = [name("allowed", allowed), name("private", private), name("denied", allowed)];
    let metadata: SocketAddr = "169.254.169.254:80".parse().unwrap();
    let mut names: BTreeMap<String, Vec<SocketAddr>> = names.into_iter().collect();
    names.insert("metadata.example.org".to_owned(), vec![metadata]);
    let resolver = Resolver::Fixed(Fixed { names, exempt: vec![allowed.address] });
    let hosts = ["allowed.example.org", "private.example.org", "metadata.example.org"];
    Egress { resolver, ..Egress::new(Hosts::read(&hosts).unwrap(), BYTES) }
}

fn told(host: &str, port: u16, count: u32) -> Denied {
    Denied { host: host.to_owned(), port, count }
}

/// A request as it stands, sent to the proxy.
fn raw(request: &str) -> String {
    let request = request.replace("\r\n", "\\r\\n");
    format!("printf '{request}' | nc -w 10 127.0.0.1 3128; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_reaches_what_is_allowed_through_the_proxy() {
    let (allowed, private) = (Server::start(), Server::start());
    let bed = Bed::reaching("egress", limits(), egress(&allowed, &private)).await;
    let got = bed.text("wget -q -O - http://allowed.example.org/a?b").await;
    assert_eq!(got, "from outside\n");
    let seen = allowed.seen().join("");
    assert!(seen.starts_with("GET /a?b HTTP/1.1\r\nHost: allowed.example.org\r\n"), "{seen}");

    // The name that was allowed is the one that the server is told, and nothing for the proxy goes
    // further.
    let request = "POST http://ALLOWED.example.org./x HTTP/1.1\r\nHost: denied.example.org\r\n\
                   Proxy-Authorization: Basic eA==\r\nContent-Length: 3\r\n\r\nabcGET /more";
    let got = bed.text(&raw(request)).await;
    assert!(got.ends_with("from outside\n"), "{got}");
    let seen = allowed.seen().join("");
    let expected = "POST /x HTTP/1.1\r\nHost: ALLOWED.example.org.\r\nContent-Length: 3\r\n\
                    Connection: close\r\n\r\nabc";
    assert_eq!(seen, expected);

    let tunnel = "CONNECT allowed.example.org:443 HTTP/1.1\r\n\r\nGET /t HTTP/1.0\r\n\r\n";
    let got = bed.text(&raw(tunnel)).await;
    assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("from outside\n"), "{got}");
    assert_eq!(allowed.seen(), ["GET /t HTTP/1.0\r\n\r\n"]);
    assert_eq!(bed.handle.take_denied(), []);

    // What one command may have is bounded; the next begins anew.
    let big = "wget -q -O big http://allowed.example.org/big; stat -c %s big";
    let size: u64 = bed.text(big).await.lines().last().unwrap().parse().unwrap();
    assert!((1..=BYTES).contains(&size), "{size}");
    let got = bed.text("wget -q -O - http://allowed.example.org/again").await;
    assert_eq!(got, "from outside\n");
    let names = "env | grep -i proxy | cut -d= -f1 | sort | tr '\\n' ' '";
    let expected = "HTTPS_PROXY HTTP_PROXY NO_PROXY http_proxy https_proxy no_proxy ";
    assert_eq!(bed.text(names).await, expected);
    assert_eq!(private.seen(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_reaches_nothing_else_through_the_proxy() {
    let (allowed, private) = (Server::start(), Server::start());
    let bed = Bed::reaching("egress-else", limits(), egress(&allowed, &private)).await;
    let (own, theirs) = (private.address.port(), allowed.address.port());

    let got = bed.text("wget -q -O - http://denied.example.org/ 2>&1").await;
    assert!(got.contains("403"), "{got}");
    assert_eq!(bed.handle.take_denied(), [told("denied.example.org", 80, 1)]);
    for (target, port) in [
        ("169.254.169.254", 80),
        ("127.0.0.1", own),
        ("localhost", own),
        ("[::1]", own),
        ("172.17.0.1", 80),
        ("2130706433", own),
        ("0x7f.1", own),
        ("host.docker.internal", own),
        ("allowed.example.org", own),
        ("allowed.example.org", 22),
        ("metadata.example.org", 80),
        ("private.example.org", 443),
        ("private.example.org", 80),
    ] {
        let connect =
            raw(&format!("CONNECT {target}:{port} HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n"));
        let get = raw(&format!("GET http://{target}:{port}/ HTTP/1.1\r\n\r\n"));
        let got = bed.text(&format!("{connect}{get}")).await;
        assert_eq!(got.matches("HTTP/1.1 403 ").count(), 2, "{target}:{port}: {got}");
        assert!(!got.contains("from outside"), "{target}:{port}: {got}");
        let host = target.trim_matches(['[', ']']);
        assert_eq!(bed.handle.take_denied(), [told(host, port, 2)]);
    }
    // What is no request for a host gets nothing either, and counts for nothing.
    for (request, status) in [
        ("CONNECT /var/run/docker.sock HTTP/1.1\r\n\r\n", " 400 "),
        ("GET /var/run/docker.sock HTTP/1.1\r\nHost: allowed.example.org\r\n\r\n", " 400 "),
        ("GET http://u:p@allowed.example.org/ HTTP/1.1\r\n\r\n", " 400 "),
        ("GET unix://run/docker.sock HTTP/1.1\r\n\r\n", " 400 "),
        ("\\026\\003\\001\r\n\r\n", " 400 "),
    ] {
        let got = bed.text(&raw(request)).await;
        assert!(got.starts_with("HTTP/1.1 4") && got.contains(status), "{request}: {got}");
    }
    let long = "(printf 'GET http://allowed.example.org/ HTTP/1.1\\r\\nA: '; \
                yes | head -c 20000 | tr '\\n' y) | nc -w 10 127.0.0.1 3128";
    assert!(bed.text(long).await.starts_with("HTTP/1.1 431 "));

    // Beside the proxy there is nothing, as without it.
    let host = std::process::Command::new("hostname").arg("-I").output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap().replace('\n', " ");
    let direct = format!(
        "for a in 127.0.0.1 169.254.169.254 172.17.0.1 192.0.2.1 {host}; do \
         for p in {own} {theirs} 80 443 2375; do \
         nc -w 2 $a $p </dev/null >/dev/null && echo reached $a $p; done; done 2>/dev/null; \
         nslookup example.org >/dev/null 2>&1 && echo names; ls /sys/class/net; \
         wc -l </proc/net/route; awk '$4 == \"0A\"' /proc/net/tcp | wc -l; \
         find / -xdev -type s 2>/dev/null; echo end"
    );
    assert_eq!(bed.text(&direct).await, "lo\n1\n1\nend\n");
    assert_eq!((allowed.seen().len(), private.seen().len()), (0, 0));
}

/// The numbers of the sockets that listen in the sandbox.
async fn listening(bed: &Bed) -> Vec<String> {
    let rows = bed.text("cat /proc/net/tcp").await;
    let rows = rows.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(3) == Some(&"0A")).map(|row| row[9].to_owned()).collect()
}

/// Whether this process holds something open.
fn holds(what: &str) -> bool {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.into_iter().any(|link| link.to_str() == Some(what))
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_leaves_nothing_of_the_proxy_behind() {
    let (allowed, private) = (Server::start(), Server::start());
    let short = Limits { command_seconds: 3, ..limits() };
    let bed = Bed::reaching("egress-left", short, egress(&allowed, &private)).await;
    let sockets = listening(&bed).await;
    assert_eq!(sockets.len(), 1);
    let socket = format!("socket:[{}]", sockets[0]);
    let namespace = bed.text("readlink /proc/self/ns/net").await.trim().to_owned();
    assert!(holds(&socket) && holds(&namespace), "{socket} {namespace}");

    // A command that opens more than it may, and does not end by itself.
    let many = "i=0; while [ $i -lt 20 ]; do nc 127.0.0.1 3128 & i=$((i+1)); done; \
                (printf 'CONNECT allowed.example.org:443 HTTP/1.1\\r\\n\\r\\n'; sleep 1000) \
                | nc 127.0.0.1 3128; sleep 1000";
    let (finished, _) = bed.run(many).await;
    assert_eq!(finished.status, CommandStatus::TimedOut);
    // Its tunnel is cut with it: the server sees the end of a request that never came.
    let begun = Instant::now();
    while allowed.seen() != [""] {
        assert!(begun.elapsed() < Duration::from_secs(20), "the tunnel outlives its command");
        std::thread::sleep(Duration::from_millis(50));
    }
    let got = bed.text("wget -q -O - http://allowed.example.org/").await;
    assert_eq!(got, "from outside\n");

    bed.handle.close().await.unwrap();
    assert!(!holds(&socket), "the socket outlives its sandbox");
    drop(bed);
    assert!(!holds(&namespace), "the namespace outlives its sandbox");
    let threads = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.trim() == "bzzz-egress").count()
    };
    // Other tests may be at it at this moment.
    let begun = Instant::now();
    while threads() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "a thread is left");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn this_machine_may_enter_a_network() {
    DockerSandbox::check_egress().await.expect("the tests run with the right to enter a network");
}
