//! The addresses that nodes listen on and dial: which are usable, and what stands behind a name.

use std::io;
use std::net::{IpAddr, SocketAddr};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::NetError;
use super::key::PeerKey;

/// The most addresses that are tried for one name.
const MAX_RESOLVED: usize = 8;

enum Host<'a> {
    Ip(IpAddr),
    Name(Protocol<'a>),
}

struct Parts<'a> {
    host: Host<'a>,
    port: u16,
    tcp: bool,
    rest: Vec<Protocol<'a>>,
}

/// The peer that the address names, if it names one, after checks that it can be dialled at all.
pub(super) fn check_peer(address: &Multiaddr) -> Result<Option<PeerId>, NetError> {
    let error = |reason: &str| {
        let reason = reason.to_owned();
        NetError::PeerAddress { address: address.clone(), reason }
    };
    let parts = parse(address).map_err(error)?;
    let nowhere = matches!(parts.host, Host::Ip(ip) if ip.is_unspecified());
    if nowhere || parts.port == 0 {
        return Err(error("it names no host or no port"));
    }
    match parts.rest.as_slice() {
        [] => Ok(None),
        [Protocol::P2p(peer)] if PeerKey::of(peer).is_some() => Ok(Some(*peer)),
        [Protocol::P2p(_)] => Err(error("its peer id is not that of an Ed25519 key")),
        _ => Err(error("only /p2p/ID may follow the port and quic-v1")),
    }
}

/// The socket to listen on and whether it is TCP (else QUIC), or what is wrong with the address.
pub(super) fn check_listen(address: &Multiaddr) -> Result<(SocketAddr, bool), &'static str> {
    let parts = parse(address)?;
    let Host::Ip(ip) = parts.host else {
        return Err("it must begin with /ip4/ADDRESS or /ip6/ADDRESS");
    };
    if !parts.rest.is_empty() {
        return Err("nothing may follow the port and quic-v1");
    }
    Ok((SocketAddr::new(ip, parts.port), parts.tcp))
}

/// Whether the address must be resolved before it can be dialled.
pub(super) fn is_name(address: &Multiaddr) -> bool {
    matches!(parse(address), Ok(Parts { host: Host::Name(_), .. }))
}

/// Replaces a name by the addresses that the system's resolver has for it now.
pub(super) async fn resolve(address: Multiaddr) -> io::Result<Vec<Multiaddr>> {
    let Ok(Parts { host: Host::Name(name), .. }) = parse(&address) else {
        return Ok(vec![address]);
    };
    let (host, v4, v6) = match &name {
        Protocol::Dns4(host) => (host, true, false),
        Protocol::Dns6(host) => (host, false, true),
        Protocol::Dns(host) => (host, true, true),
        _ => return Ok(Vec::new()),
    };
    let found = tokio::net::lookup_host((host.as_ref(), 0)).await?;
    let fits = |ip: &IpAddr| if ip.is_ipv4() { v4 } else { v6 };
    let mut ips: Vec<IpAddr> = found.map(|socket| socket.ip()).filter(fits).collect();
    ips.dedup();
    ips.truncate(MAX_RESOLVED);
    if ips.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address of this kind",
        ));
    }
    let with = |ip: IpAddr| Multiaddr::from(ip).into_iter().chain(address.iter().skip(1)).collect();
    Ok(ips.into_iter().map(with).collect())
}

fn parse(address: &Multiaddr) -> Result<Parts<'_>, &'static str> {
    let mut parts = address.iter();
    let host = match parts.next() {
        Some(Protocol::Ip4(ip)) => Host::Ip(ip.into()),
        Some(Protocol::Ip6(ip)) => Host::Ip(ip.into()),
        Some(name @ (Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_))) => Host::Name(name),
        _ => return Err("it must begin with /ip4/, /ip6/ or /dns/"),
    };
    let (port, tcp) = match parts.next() {
        Some(Protocol::Tcp(port)) => (port, true),
        Some(Protocol::Udp(port)) if parts.next() == Some(Protocol::QuicV1) => (port, false),
        _ => return Err("/tcp/PORT or /udp/PORT/quic-v1 must follow the host"),
    };
    Ok(Parts { host, port, tcp, rest: parts.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(address: &str) -> Result<Option<PeerId>, String> {
        let address = address.parse().expect("a well-formed multiaddress");
        check_peer(&address).map_err(|error| error.to_string())
    }

    #[test]
    fn peer_addresses_that_can_be_dialled() {
        let id = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
        assert_eq!(checked("/ip4/10.0.0.1/tcp/4001"), Ok(None));
        assert_eq!(checked("/ip6/::1/udp/4001/quic-v1"), Ok(None));
        assert_eq!(checked("/dns4/node-1/tcp/4001"), Ok(None));
        let named = checked(&format!("/ip4/10.0.0.1/udp/4001/quic-v1/p2p/{id}"));
        assert_eq!(named.expect("usable").expect("named").to_string(), id);
    }

    #[test]
    fn peer_addresses_that_cannot_be_dialled_say_why() {
        for (address, why) in [
            ("/tcp/4001", "it must begin with /ip4/, /ip6/ or /dns/"),
            ("/ip4/10.0.0.1/udp/4001", "/udp/PORT/quic-v1 must follow"),
            ("/ip4/0.0.0.0/tcp/4001", "no host or no port"),
            ("/ip4/10.0.0.1/tcp/0", "no host or no port"),
            ("/ip4/10.0.0.1/tcp/4001/ws", "only /p2p/ID may follow"),
            (
                "/ip4/10.0.0.1/tcp/4001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
                "not that of an Ed25519 key",
            ),
        ] {
            let error = checked(address).expect_err(address);
            assert!(error.contains(why) && error.contains(address), "{error}");
        }
    }

    #[tokio::test]
    async fn a_name_becomes_the_addresses_that_the_system_knows_for_it() {
        let name: Multiaddr = "/dns4/localhost/tcp/4001".parse().expect("well-formed");
        assert!(is_name(&name));
        let found = resolve(name).await.expect("every system knows localhost");
        assert_eq!(found, ["/ip4/127.0.0.1/tcp/4001".parse().expect("well-formed")]);
        let plain: Multiaddr = "/ip4/10.0.0.1/tcp/4001".parse().expect("well-formed");
        assert!(!is_name(&plain));
        assert_eq!(resolve(plain.clone()).await.expect("no name in it"), [plain]);
    }

    #[test]
    fn a_name_is_nothing_to_listen_on() {
        let name = "/dns4/localhost/tcp/4001".parse().expect("well-formed");
        assert!(check_listen(&name).is_err());
    }
}
