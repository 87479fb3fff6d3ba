//! From a name to addresses, and which of these may be connected to.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::timeout;

/// How long a name may take to be resolved.
const RESOLVE_TIME: Duration = Duration::from_secs(10);

/// The most addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 16;

/// Where an address of Azure is that answers its own virtual machines alone, and hands out secrets
/// to them. It looks like a public one.
const AZURE: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// Blocks of IPv4 that are not of the public internet: IANA's registry of special addresses (RFC
/// 6890 and its successors), multicast, and what is reserved.
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Blocks within the public part of IPv6 (2000::/3) that are special: protocols with addresses of
/// IPv4 in them (Teredo, 6to4), benchmarks, documentation.
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Who knows the addresses of names.
#[derive(Debug, Clone)]
pub enum Resolver {
    /// The system. Addresses that are not of the public internet are not connected to.
    System,
    /// A table, for tests. No configuration leads here.
    Fixed(Fixed),
}

/// A table of names.
#[derive(Debug, Clone, Default)]
pub struct Fixed {
    /// The addresses; their ports take the place of the one that was asked for.
    pub names: BTreeMap<String, Vec<SocketAddr>>,
    /// Addresses that may be connected to although they are not public.
    pub exempt: Vec<SocketAddr>,
}

/// Why there is no address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAddress {
    /// The name is not known, or nobody answers.
    Unknown,
    /// All that are known are of this machine, or of networks that are not public.
    Private,
}

impl Resolver {
    /// The addresses of a name that may be connected to.
    pub(super) async fn addresses(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, NoAddress> {
        let found: Vec<SocketAddr> = match self {
            Resolver::Fixed(table) => table.names.get(host).cloned().unwrap_or_default(),
            Resolver::System => {
                // A name with a dot at its end is looked for as it stands, in no domain.
                let asked = tokio::net::lookup_host((format!("{host}."), port));
                match timeout(RESOLVE_TIME, asked).await {
                    Ok(Ok(found)) => found.take(MAX_ADDRESSES).collect(),
                    Ok(Err(_)) | Err(_) => Vec::new(),
                }
            }
        };
        if found.is_empty() {
            return Err(NoAddress::Unknown);
        }
        match self {
            Resolver::System => usable(found, &[]),
            Resolver::Fixed(table) => usable(found, &table.exempt),
        }
    }
}

/// Those of the addresses that may be connected to.
fn usable(found: Vec<SocketAddr>, exempt: &[SocketAddr]) -> Result<Vec<SocketAddr>, NoAddress> {
    let fine = |address: &SocketAddr| {
        exempt.contains(address) || (is_public(address.ip()) && !is_own(*address))
    };
    let good: Vec<SocketAddr> = found.into_iter().filter(fine).collect();
    if good.is_empty() { Err(NoAddress::Private) } else { Ok(good) }
}

/// Whether an address is one of the public internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            let inside = |&(block, length): &(Ipv4Addr, u32)| {
                bits >> (32 - length) == block.to_bits() >> (32 - length)
            };
            address != AZURE && !SPECIAL_V4.iter().any(inside)
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let inside = |&(block, length): &(Ipv6Addr, u32)| {
                bits >> (128 - length) == block.to_bits() >> (128 - length)
            };
            // Loopback, link-local, private, multicast and translated addresses are all outside of
            // the public part.
            bits >> 125 == 1 && !SPECIAL_V6.iter().any(inside)
        }
    }
}

/// Whether an address, public as it may look, is one of this machine's: then it would be the one
/// that packets to it come from. Nothing is sent.
fn is_own(address: SocketAddr) -> bool {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for public in ["1.1.1.1", "99.84.1.2", "172.15.0.1", "172.32.0.1", "2606:4700::1111"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for other in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "100::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "4000::1",
        ] {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn own_addresses_are_known() {
        assert!(is_own("127.0.0.1:80".parse().unwrap()));
        assert!(!is_own("192.0.2.1:80".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_name_leads_to_public_addresses_alone() {
        let own: SocketAddr = "127.0.0.1:7".parse().unwrap();
        let exempt: SocketAddr = "127.0.0.1:8".parse().unwrap();
        let public: SocketAddr = "192.31.196.1:80".parse().unwrap();
        let mut table = Fixed { exempt: vec![exempt], ..Fixed::default() };
        table.names.insert("own.org".to_owned(), vec![own]);
        table.names.insert("mixed.org".to_owned(), vec![own, public]);
        table.names.insert("exempt.org".to_owned(), vec![own, exempt]);
        let resolver = Resolver::Fixed(table);
        let found = async |name: &str| resolver.addresses(name, 80).await;
        assert_eq!(found("own.org").await, Err(NoAddress::Private));
        assert_eq!(found("mixed.org").await, Ok(vec![public]));
        assert_eq!(found("exempt.org").await, Ok(vec![exempt]));
        assert_eq!(found("unknown.org").await, Err(NoAddress::Unknown));
        // Without exceptions, as for the system's.
        assert_eq!(usable(vec![own, exempt], &[]), Err(NoAddress::Private));
        assert_eq!(usable(vec![exempt, public], &[]), Ok(vec![public]));
    }
}
