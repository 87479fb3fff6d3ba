//! The door of a container's network to the proxy, where its sandbox may reach anything.
//!
//! The container has no network but a loopback of its own. On that one the node listens: a thread
//! of the node enters the container's network namespace, makes a socket there, and ends. A socket
//! stays in the namespace in which it was made; those that the proxy makes to the outside are in
//! the node's. So there is no way for a packet out of the container, no bridge, no route and no
//! rule that could be missing: there is one socket, and who holds it decides.
//!
//! Nothing of this is believed: the namespace must be another one than the node's, must have no
//! device but loopback, and a look from inside the container must show the very socket.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustix::fs::fstat;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;

use super::super::sandbox::{Denied, Egress, Proxy, SandboxError, Session};
use super::{Container, engine_error};

/// The proxy's port on the container's loopback.
const PORT: u16 = 3128;

/// Where a thread finds its own network.
const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// The environment of commands that may reach the proxy.
pub(super) const ENVIRONMENT: [&str; 6] = [
    "HTTP_PROXY=http://127.0.0.1:3128",
    "HTTPS_PROXY=http://127.0.0.1:3128",
    "http_proxy=http://127.0.0.1:3128",
    "https_proxy=http://127.0.0.1:3128",
    "NO_PROXY=localhost,127.0.0.1,::1",
    "no_proxy=localhost,127.0.0.1,::1",
];

/// A proxy that a container reaches.
#[derive(Debug)]
pub(super) struct Gate {
    proxy: Proxy,
    /// The container's network namespace, which stays the same while this is open.
    namespace: Arc<File>,
}

impl Gate {
    /// Makes the socket in the container's network and proves that it is there.
    pub(super) async fn open(container: &Container, egress: Egress) -> Result<Gate, SandboxError> {
        let pid = container.pid().await?;
        let place = format!("/proc/{pid}/ns/net");
        let namespace = File::open(&place).map_err(|error| {
            unenforceable(&format!("{place} of its first process cannot be opened: {error}"))
        })?;
        // The number has not gone to another process meanwhile.
        if container.pid().await? != pid {
            return Err(unenforceable("the container has ended"));
        }
        let namespace = Arc::new(namespace);
        let listener = inside(&namespace, || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
        .await?;
        container.sees(&listener).await?;
        let listener = tokio::net::TcpListener::from_std(listener);
        let listener = listener.map_err(|error| unenforceable(&error.to_string()))?;
        Ok(Gate { proxy: Proxy::start(listener, egress), namespace })
    }

    /// Looks at the network again, and serves one command.
    pub(super) async fn serve(&self) -> Result<Session, SandboxError> {
        inside(&self.namespace, || Ok(())).await?;
        Ok(self.proxy.serve())
    }

    pub(super) fn take_denied(&self) -> Vec<Denied> {
        self.proxy.take_denied()
    }

    /// Closes the socket and all connections.
    pub(super) async fn close(&self) {
        self.proxy.close().await;
    }
}

impl Container {
    /// The number of the container's first process, as this machine's kernel counts, if the engine
    /// is on it.
    async fn pid(&self) -> Result<i64, SandboxError> {
        let found = self.engine.inspect_container(&self.name, None).await;
        let found = found.map_err(|error| engine_error("describing the container", &error))?;
        let state = found.state.unwrap_or_default();
        let pid = state.pid.filter(|pid| *pid > 0 && state.running == Some(true));
        pid.ok_or_else(|| unenforceable("the engine does not name the container's first process"))
    }

    /// Looks from inside for a socket of this process, by its number in the kernel. This fails
    /// where the container has a network of another kernel (gVisor, Kata), or where the process
    /// whose namespace was entered is not the container's (an engine elsewhere).
    async fn sees(&self, listener: &TcpListener) -> Result<(), SandboxError> {
        let inode = fstat(listener).map_err(|error| unenforceable(&error.to_string()))?.st_ino;
        let (code, text) = self.helper("cat /proc/net/tcp").await?;
        let address = format!("0100007F:{PORT:04X}");
        let there = |line: &str| {
            let mut columns = line.split_whitespace().skip(1);
            columns.next() == Some(address.as_str())
                && columns.nth(1) == Some("0A")
                && columns.nth(5).and_then(|column| column.parse().ok()) == Some(inode)
        };
        if code == 0 && text.lines().any(there) {
            return Ok(());
        }
        Err(unenforceable(
            "the container does not see the proxy's socket: its engine is on another machine, or \
             its runtime has a network of its own",
        ))
    }
}

/// Whether this process may enter the networks of containers, for `bzzz doctor`.
pub(super) async fn check() -> Result<(), SandboxError> {
    let (tell, told) = oneshot::channel();
    let look = move || {
        let entered = File::open(OWN_NAMESPACE).and_then(|own| enter(&own));
        let _ = tell.send(entered);
    };
    start(look)?;
    let entered = told.await.map_err(|error| unenforceable(&error.to_string()))?;
    entered.map_err(|error| no_right(&error))
}

/// Does something in a network namespace, on a thread of its own that ends with it, after it has
/// made sure that it is a namespace of a sandbox.
async fn inside<T: Send + 'static>(
    namespace: &Arc<File>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, SandboxError> {
    let (tell, told) = oneshot::channel();
    let namespace = Arc::clone(namespace);
    start(move || {
        let done = alone(&namespace).and_then(|()| {
            work().map_err(|error| unenforceable(&format!("its network is of no use: {error}")))
        });
        let _ = tell.send(done);
    })?;
    told.await.map_err(|error| unenforceable(&error.to_string()))?
}

fn start(work: impl FnOnce() + Send + 'static) -> Result<(), SandboxError> {
    let thread = std::thread::Builder::new().name("bzzz-egress".to_owned()).spawn(work);
    thread.map(drop).map_err(|error| unenforceable(&format!("no thread can be started: {error}")))
}

/// Moves this thread into a namespace, which must be another one than before and have no device but
/// loopback.
fn alone(namespace: &File) -> Result<(), SandboxError> {
    let unknown = |error: io::Error| unenforceable(&format!("its network is not known: {error}"));
    let own = fs::metadata(OWN_NAMESPACE).map_err(unknown)?;
    let other = namespace.metadata().map_err(unknown)?;
    if (own.dev(), own.ino()) == (other.dev(), other.ino()) {
        return Err(unenforceable("the container is in the node's own network"));
    }
    enter(namespace).map_err(|error| no_right(&error))?;
    let now = fs::metadata(OWN_NAMESPACE).map_err(unknown)?;
    if (now.dev(), now.ino()) != (other.dev(), other.ino()) {
        return Err(unenforceable("its network was not entered"));
    }
    let devices = fs::read_to_string("/proc/thread-self/net/dev").map_err(unknown)?;
    let names =
        devices.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    let names: Vec<&str> = names.collect();
    if names != ["lo"] {
        return Err(unenforceable(&format!("its network has the devices {}", names.join(", "))));
    }
    Ok(())
}

fn enter(namespace: &File) -> io::Result<()> {
    let network = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(namespace.as_fd(), network).map_err(io::Error::from)
}

fn no_right(error: &io::Error) -> SandboxError {
    unenforceable(&format!(
        "the node may not enter the network of a container: {error}; it needs CAP_SYS_ADMIN and \
         CAP_SYS_PTRACE"
    ))
}

fn unenforceable(reason: &str) -> SandboxError {
    SandboxError::Unenforceable { limit: "egress", reason: reason.to_owned() }
}
