//! The one way out of a sandbox: a proxy for HTTP that knows an allow-list of names.
//!
//! It runs in the node's process and gets its connections from a socket that is in the sandbox's
//! network, where nothing else is. Who may be asked for is decided by name and port; then the name
//! is resolved here, and only an address of the public internet is connected to, the very one that
//! was looked at. So neither an address nor a name that points into the machine or its network
//! leads there.

mod address;
mod hosts;
mod proxy;
mod request;

pub use address::{Fixed, Resolver};
pub use hosts::{HostError, Hosts};
pub(crate) use proxy::{Proxy, Session};

/// What a sandbox may reach, and how much of it.
#[derive(Debug, Clone)]
pub struct Egress {
    /// Whom; nobody if it is empty, and then there is no proxy either.
    pub hosts: Hosts,
    /// Bytes that one command may send and receive together.
    pub bytes: u64,
    /// Who knows the addresses.
    pub resolver: Resolver,
}

impl Egress {
    /// With the addresses that the system's resolver knows.
    #[must_use]
    pub fn new(hosts: Hosts, bytes: u64) -> Egress {
        Egress { hosts, bytes, resolver: Resolver::System }
    }

    /// No way out at all.
    #[must_use]
    pub fn none() -> Egress {
        Egress::new(Hosts::default(), 0)
    }
}

/// A host that a command asked for and did not get to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The name or address that it asked for, at most 253 characters, or `(others)`: what was asked
    /// for after 32 different ones. Untrusted.
    pub host: String,
    /// The port; 0 for the others.
    pub port: u16,
    /// How many times since this was last told.
    pub count: u32,
}
