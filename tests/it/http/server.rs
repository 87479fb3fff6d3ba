//! A real HTTP server on loopback whose answers a test decides, also those that no good server
//! gives. It remembers what it was asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// No wait of a test takes so long, unless something hangs.
pub(crate) const HANG: Duration = Duration::from_secs(240);

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} stands twice");
        value
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// Method and path.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What a server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// An answer: status, further headers, body.
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Nothing, until the client leaves.
    Hang,
    /// A head and a piece of the body, then nothing until the client leaves.
    HangInside,
    /// The connection is closed without a byte.
    CloseAtOnce,
    /// The connection is closed after a piece of the body.
    CloseInside,
    /// Bytes that are no HTTP.
    Garbage,
    /// A body of so many bytes, announced.
    Large(usize),
    /// Chunks that never end.
    EndlessChunks,
    /// A header that never ends.
    EndlessHeader,
    /// A byte of the body at a time, slowly, for ever.
    Trickle,
}

impl Reply {
    pub(crate) fn json(status: u16, value: &Value) -> Reply {
        let kind = ("Content-Type", "application/json".to_owned());
        Reply::Whole(status, vec![kind], value.to_string().into_bytes())
    }

    pub(crate) fn text(status: u16, text: &str) -> Reply {
        Reply::Whole(status, Vec::new(), text.as_bytes().to_vec())
    }
}

type Answerer = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// A server that runs until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stopped: Arc<AtomicBool>,
}

impl Server {
    /// `answer` is given the request, and how many there were before it.
    pub(crate) fn start(
        answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Server {
        Server::on("127.0.0.1:0".parse().unwrap(), answer)
    }

    /// A server at an address, so that it can go and come back.
    pub(crate) fn on(
        address: SocketAddr,
        answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let stopped = Arc::new(AtomicBool::new(false));
        let answer: Arc<Answerer> = Arc::new(answer);
        let shared = (Arc::clone(&requests), Arc::clone(&stopped));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.1.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (requests, answer) = (Arc::clone(&shared.0), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &requests, &*answer));
            }
        });
        Server { address, requests, stopped }
    }

    /// An address on which nobody listens now.
    pub(crate) fn free_address() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the requests are as they should be.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, right: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let start = Instant::now();
        loop {
            let requests = self.requests();
            if right(&requests) {
                return requests;
            }
            let lines: Vec<String> = requests.iter().map(Request::line).collect();
            assert!(start.elapsed() < HANG, "{what}: {lines:#?}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the one who accepts; the port is free when it has ended.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, requests: &Mutex<Vec<Request>>, answer: &Answerer) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    let Some(request) = read(&mut stream) else { return };
    let before = {
        let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(request.clone());
        requests.len() - 1
    };
    // The client may leave at any time.
    let _ = reply(&mut stream, answer(&request, before));
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).expect("the head is text");
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let header = |line: &str| {
        let (name, value) = line.split_once(':').expect("a header has a colon");
        (name.to_owned(), value.trim().to_owned())
    };
    let headers: Vec<_> = lines.map(header).collect();
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(0, |(_, value)| value.parse().expect("a length"));
    let mut body = bytes[end + 4..].to_vec();
    while body.len() < length {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => body.extend_from_slice(&buffer[..count]),
        }
    }
    Some(Request { method, path, headers, body })
}

fn reply(stream: &mut TcpStream, reply: Reply) -> std::io::Result<()> {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n";
    let gone = |stream: &mut TcpStream| stream.read(&mut [0; 1]).map(drop);
    match reply {
        Reply::Whole(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n");
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
            stream.write_all(head.as_bytes())?;
            stream.write_all(&body)
        }
        Reply::Hang => gone(stream),
        Reply::HangInside => {
            stream.write_all(&[HEAD, b"Content-Length: 100\r\n\r\n{\"repos"].concat())?;
            gone(stream)
        }
        Reply::CloseAtOnce => Ok(()),
        Reply::CloseInside => {
            stream.write_all(&[HEAD, b"Content-Length: 100\r\n\r\n{\"repos"].concat())
        }
        Reply::Garbage => stream.write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n"),
        Reply::Large(length) => {
            stream.write_all(HEAD)?;
            stream.write_all(format!("Content-Length: {length}\r\n\r\n").as_bytes())?;
            let piece = [b' '; 8192];
            for _ in 0..length.div_ceil(piece.len()) {
                stream.write_all(&piece)?;
            }
            Ok(())
        }
        Reply::EndlessChunks => {
            stream.write_all(&[HEAD, b"Transfer-Encoding: chunked\r\n\r\n"].concat())?;
            loop {
                stream.write_all(b"1000\r\n")?;
                stream.write_all(&[b' '; 0x1000])?;
                stream.write_all(b"\r\n")?;
            }
        }
        Reply::EndlessHeader => {
            stream.write_all(&[HEAD, b"X-Long: "].concat())?;
            loop {
                stream.write_all(&[b'x'; 4096])?;
            }
        }
        Reply::Trickle => {
            stream.write_all(&[HEAD, b"Content-Length: 10000\r\n\r\n"].concat())?;
            loop {
                stream.write_all(b" ")?;
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
