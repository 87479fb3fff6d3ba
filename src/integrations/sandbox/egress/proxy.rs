//! The proxy itself: takes connections of a sandbox, and lets through what its list allows.
//!
//! It serves while a command runs, and that command only: what goes on when it ends is cut off, and
//! between commands every connection is closed at once.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::address::NoAddress;
use super::hosts::host_name;
use super::request::{self, MAX_HEAD, Request, Way};
use super::{Denied, Egress};

/// The most connections at once. Others wait.
const MAX_CONNECTIONS: usize = 64;

/// The most different hosts that are kept of those that a command did not get to.
const MAX_DENIED: usize = 32;

/// How long the head of a request may take.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long one address may take to answer.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How long a refused client may go on sending, so that it can read why.
const LINGER: Duration = Duration::from_secs(1);

/// How long the proxy rests after a connection that it cannot serve or take.
const REST: Duration = Duration::from_millis(50);

/// What is read and written at once, in bytes.
const PIECE: usize = 16 * 1024;

/// A proxy. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// While it is there, the proxy serves a command.
pub(crate) struct Session {
    shared: Arc<Shared>,
    _alive: watch::Sender<()>,
}

#[derive(Debug)]
struct Shared {
    egress: Egress,
    command: Mutex<Option<Served>>,
    denials: Mutex<Denials>,
}

/// What the connections of one command share.
#[derive(Debug, Clone)]
struct Served {
    /// Nobody sends; its sender is gone when the command is over.
    over: watch::Receiver<()>,
    /// Bytes that may still go through.
    left: Arc<AtomicU64>,
}

/// What one command did not get to, and how often since that was last told.
#[derive(Debug, Default)]
struct Denials {
    hosts: BTreeMap<(String, u16), u32>,
    others: u32,
}

/// An answer of the proxy's own.
struct Refusal {
    status: u16,
    text: String,
}

impl Proxy {
    /// Takes connections from a socket from now on.
    pub(crate) fn start(listener: TcpListener, egress: Egress) -> Proxy {
        let denials = Mutex::new(Denials::default());
        let shared = Arc::new(Shared { egress, command: Mutex::new(None), denials });
        let task = tokio::spawn(take_connections(listener, Arc::clone(&shared)));
        Proxy { shared, task: Mutex::new(Some(task)) }
    }

    /// Serves a command, until what this returns is dropped.
    pub(crate) fn serve(&self) -> Session {
        let (alive, over) = watch::channel(());
        let left = Arc::new(AtomicU64::new(self.shared.egress.bytes));
        *lock(&self.shared.denials) = Denials::default();
        *lock(&self.shared.command) = Some(Served { over, left });
        Session { shared: Arc::clone(&self.shared), _alive: alive }
    }

    /// What the command did not get to since this was last asked.
    pub(crate) fn take_denied(&self) -> Vec<Denied> {
        lock(&self.shared.denials).take()
    }

    /// Ends all connections and closes the socket.
    pub(crate) async fn close(&self) {
        let task = lock(&self.task).take();
        if let Some(task) = task {
            task.abort();
            // It was told to end: that it did is no failure.
            let _ = task.await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        *lock(&self.shared.command) = None;
    }
}

impl Denials {
    fn note(&mut self, host: &str, port: u16) {
        let key = (host.to_owned(), port);
        let known = self.hosts.len();
        match self.hosts.get_mut(&key) {
            Some(count) => *count = count.saturating_add(1),
            None if known < MAX_DENIED => _ = self.hosts.insert(key, 1),
            None => self.others = self.others.saturating_add(1),
        }
    }

    fn take(&mut self) -> Vec<Denied> {
        let mut taken = Vec::new();
        for ((host, port), count) in &mut self.hosts {
            if *count > 0 {
                let count = std::mem::take(count);
                taken.push(Denied { host: host.clone(), port: *port, count });
            }
        }
        let count = std::mem::take(&mut self.others);
        if count > 0 {
            taken.push(Denied { host: "(others)".to_owned(), port: 0, count });
        }
        taken
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take_connections(listener: TcpListener, shared: Arc<Shared>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else {
            sleep(REST).await;
            continue;
        };
        let served = lock(&shared.command).clone();
        // Between commands nobody is served, and what a command left behind in the queue must not
        // become the next one's.
        let Some(served) = served else { continue };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let mut over = served.over.clone();
            tokio::select! {
                biased;
                _ = over.changed() => {}
                // What fails on the way to either side shows there.
                _ = converse(&shared, &served, client) => {}
            }
            drop(slot);
        });
    }
}

/// One connection: one request, and its answer.
async fn converse(shared: &Shared, served: &Served, mut client: TcpStream) -> io::Result<()> {
    let refused = match timeout(HEAD_TIME, read_head(&mut client)).await {
        Err(_) => refusal(408, "the request took too long"),
        Ok(Err(refused)) => refused,
        Ok(Ok(None)) => return Ok(()),
        Ok(Ok(Some((request, rest)))) => match shared.reach(&request).await {
            Ok(server) => {
                return pass(served, client, server, request.way, &rest).await;
            }
            Err(refused) => refused,
        },
    };
    let Refusal { status, text } = refused;
    let text = format!("bzzz: {text}\n");
    let head = format!(
        "HTTP/1.1 {status} Refused\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        text.len()
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(text.as_bytes()).await?;
    client.shutdown().await?;
    let mut rest = (&mut client).take(1 << 16);
    let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    Ok(())
}

/// The request, and what was read beyond its head. None: the client has gone.
async fn read_head(client: &mut TcpStream) -> Result<Option<(Request, Vec<u8>)>, Refusal> {
    let mut bytes = Vec::new();
    let mut piece = [0; 2048];
    loop {
        let room = (MAX_HEAD - bytes.len()).min(piece.len());
        if room == 0 {
            return Err(refusal(431, "the head of the request is too long"));
        }
        match client.read(&mut piece[..room]).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(count) => {
                bytes.extend_from_slice(&piece[..count]);
                // A head is whole only at the end of a line.
                if !piece[..count].contains(&b'\n') {
                    continue;
                }
            }
        }
        match request::read(&bytes) {
            Ok(None) => {}
            Ok(Some((request, length))) => return Ok(Some((request, bytes.split_off(length)))),
            Err((status, text)) => return Err(refusal(status, text)),
        }
    }
}

impl Shared {
    /// Connects to whom a request is for, if that is allowed.
    async fn reach(&self, request: &Request) -> Result<TcpStream, Refusal> {
        let (asked, port) = (request.host.as_str(), request.port);
        let denied = |why: &str| {
            lock(&self.denials).note(asked, port);
            Err(refusal(403, &format!("{asked}:{port} {why}")))
        };
        let Some(host) = host_name(asked) else {
            return denied("is not the name of a host; this sandbox can only ask for names");
        };
        if !self.egress.hosts.allows(&host, port) {
            return denied("is not on the allow-list of this sandbox");
        }
        match self.egress.resolver.addresses(&host, port).await {
            Err(NoAddress::Private) => denied("has no address on the public internet"),
            Err(NoAddress::Unknown) => {
                Err(refusal(502, &format!("the address of {asked} cannot be found")))
            }
            Ok(addresses) => connect(&addresses)
                .await
                .ok_or_else(|| refusal(502, &format!("{asked}:{port} does not answer"))),
        }
    }
}

fn refusal(status: u16, text: &str) -> Refusal {
    Refusal { status, text: text.to_owned() }
}

async fn connect(addresses: &[SocketAddr]) -> Option<TcpStream> {
    timeout(CONNECT_TIME, TcpStream::connect(addresses)).await.ok()?.ok()
}

async fn pass(
    served: &Served,
    mut client: TcpStream,
    mut server: TcpStream,
    way: Way,
    rest: &[u8],
) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    match way {
        Way::Tunnel => {
            to_client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            let up = async {
                served.spend(rest.len())?;
                to_server.write_all(rest).await?;
                pump(served, &mut from_client, &mut to_server, u64::MAX).await?;
                to_server.shutdown().await
            };
            let down = async {
                pump(served, &mut from_server, &mut to_client, u64::MAX).await?;
                to_client.shutdown().await
            };
            tokio::try_join!(up, down)?;
        }
        Way::Forward { head, body } => {
            let length = usize::try_from(body).map_or(rest.len(), |body| rest.len().min(body));
            let up = async {
                for part in [&head[..], &rest[..length]] {
                    served.spend(part.len())?;
                    to_server.write_all(part).await?;
                }
                let left = body - u64::try_from(length).unwrap_or(body);
                pump(served, &mut from_client, &mut to_server, left).await?;
                // An answer may come before the body has; the other direction ends this.
                std::future::pending::<io::Result<()>>().await
            };
            let down = async {
                pump(served, &mut from_server, &mut to_client, u64::MAX).await?;
                to_client.shutdown().await
            };
            tokio::select! {
                ended = up => ended?,
                ended = down => ended?,
            }
        }
    }
    Ok(())
}

impl Served {
    /// Counts bytes before they are passed on.
    fn spend(&self, bytes: usize) -> io::Result<()> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let less = |left: u64| left.checked_sub(bytes);
        let spent = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        spent.map(drop).map_err(|_| io::Error::from(io::ErrorKind::QuotaExceeded))
    }
}

/// Passes on at most `most` bytes, or all that come.
async fn pump(
    served: &Served,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    most: u64,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut left = most;
    while left > 0 {
        let room = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        let count = from.read(&mut piece[..room]).await?;
        if count == 0 {
            break;
        }
        served.spend(count)?;
        to.write_all(&piece[..count]).await?;
        left -= u64::try_from(count).unwrap_or(left);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_are_counted_and_bounded() {
        let mut denials = Denials::default();
        for _ in 0..3 {
            denials.note("a.b", 443);
        }
        let told = |host: &str, port, count| Denied { host: host.to_owned(), port, count };
        assert_eq!(denials.take(), [told("a.b", 443, 3)]);
        assert_eq!(denials.take(), []);
        for number in 0..100 {
            denials.note(&format!("h{number}.b"), 443);
        }
        denials.note("a.b", 443);
        let taken = denials.take();
        assert_eq!(taken.len(), 33, "{taken:?}");
        assert_eq!(taken[0], told("a.b", 443, 1));
        assert_eq!(taken[32], told("(others)", 0, 69));
    }
}
