//! The allow-list: names of hosts, with everything below a name, and with ports.

use std::fmt;

/// The longest name of a host, in bytes (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;

/// The longest part of a name between two dots, in bytes (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// The ports of an entry that names none.
const PORTS: [u16; 2] = [443, 80];

/// Something that is no entry of an allow-list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a host such as crates.io, *.crates.io or example.org:8443")]
pub struct HostError(String);

/// An allow-list. Empty, it allows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Whether it stands for all names below it, and not for itself.
    below: bool,
    name: String,
    port: Option<u16>,
}

impl Hosts {
    /// Reads entries: `crates.io`, `*.crates.io` for all names below it, `example.org:8443` for
    /// this port alone. Without a port an entry is for 443 and 80.
    ///
    /// # Errors
    /// Names the first entry that is none. Addresses are none, nor are names without a dot, nor
    /// are all names below a name without a dot.
    pub fn read<T: AsRef<str>>(entries: &[T]) -> Result<Hosts, HostError> {
        entries.iter().map(|entry| Entry::read(entry.as_ref())).collect::<Result<_, _>>().map(Hosts)
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a host, in the form of [`host_name`], may be reached at a port.
    pub(super) fn allows(&self, host: &str, port: u16) -> bool {
        let asked = Entry { below: false, name: host.to_owned(), port: Some(port) };
        self.0.iter().any(|entry| entry.covers(&asked))
    }

    /// The entries of another list that this one grants, and those that it does not.
    #[must_use]
    pub fn grant(&self, asked: &Hosts) -> (Hosts, Hosts) {
        let granted = |asked: &Entry| self.0.iter().any(|entry| entry.covers(asked));
        let (granted, refused) = asked.0.iter().cloned().partition(granted);
        (Hosts(granted), Hosts(refused))
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let below = if entry.below { "*." } else { "" };
            write!(f, "{comma}{below}{}", entry.name)?;
            if let Some(port) = entry.port {
                write!(f, ":{port}")?;
            }
        }
        Ok(())
    }
}

impl Entry {
    fn read(text: &str) -> Result<Entry, HostError> {
        let wrong = || HostError(text.chars().take(80).collect());
        let (name, port) = match text.split_once(':') {
            None => (text, None),
            Some((name, port)) => {
                let digits = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|port| digits && *port != 0);
                (name, Some(port.ok_or_else(wrong)?))
            }
        };
        let (below, name) = match name.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, name),
        };
        let name = host_name(name).ok_or_else(wrong)?;
        Ok(Entry { below, name, port })
    }

    /// Whether all that `other` stands for is what this stands for too.
    fn covers(&self, other: &Entry) -> bool {
        let inside = other.name.strip_suffix(&self.name).is_some_and(|rest| rest.ends_with('.'));
        let same = other.name == self.name && other.below == self.below;
        let port = match (self.port, other.port) {
            (None, None) => true,
            (None, Some(port)) => PORTS.contains(&port),
            (Some(own), other) => other == Some(own),
        };
        port && (same || (self.below && inside))
    }
}

/// A name of a host in the form in which names are compared: small letters, no dot at the end. None
/// for what is no such name, addresses in any notation included.
pub(super) fn host_name(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let sign = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(sign)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let (_, last) = text.rsplit_once('.')?;
    // Addresses end with a digit, or with a number that begins with one ("127.0x1").
    let named = last.starts_with(|first: char| first.is_ascii_alphabetic());
    let good = text.len() <= MAX_NAME && named && text.split('.').all(label);
    good.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_names() {
        let list = Hosts::read(&["Crates.io", "*.crates.io", "example.org:8443", "a.b."]).unwrap();
        assert_eq!(list.to_string(), "crates.io, *.crates.io, example.org:8443, a.b");
        for bad in [
            "",
            "*",
            "*.",
            "*.io",
            "localhost",
            "127.0.0.1",
            "[::1]",
            "::1",
            "2130706433",
            "127.1",
            "0x7f.1",
            "127.0x1",
            "a..b",
            "-a.b",
            "a-.b",
            "a b.c",
            "ä.de",
            "a.b:",
            "a.b:0",
            "a.b:65536",
            "a.b:+1",
            "http://a.b",
            "a.b/c",
            "a*.b.c",
            "*.*.b.c",
            "u@a.b",
            ".a.b",
        ] {
            let error = Hosts::read(&[bad]).unwrap_err().to_string();
            assert!(error.contains("is no name of a host such as"), "{bad}: {error}");
        }
        assert!(Hosts::read(&[format!("{}.org", "a".repeat(64))]).is_err());
        assert!(Hosts::read(&[format!("{}org", "a.".repeat(126))]).is_err());
    }

    #[test]
    fn a_list_allows_what_it_names() {
        let list = Hosts::read(&["crates.io", "*.rust-lang.org", "example.org:8443"]).unwrap();
        for (host, port) in [
            ("crates.io", 443),
            ("crates.io", 80),
            ("static.rust-lang.org", 443),
            ("a.b.rust-lang.org", 80),
            ("example.org", 8443),
        ] {
            assert!(list.allows(host, port), "{host}:{port}");
        }
        for (host, port) in [
            ("crates.io", 22),
            ("static.crates.io", 443),
            ("notcrates.io", 443),
            ("rust-lang.org", 443),
            ("evilrust-lang.org", 443),
            ("static.rust-lang.org.evil.org", 443),
            ("example.org", 443),
            ("a.example.org", 8443),
        ] {
            assert!(!list.allows(host, port), "{host}:{port}");
        }
        assert!(!Hosts::default().allows("crates.io", 443));
    }

    #[test]
    fn a_list_grants_only_parts_of_itself() {
        let own = Hosts::read(&["crates.io", "*.rust-lang.org", "example.org:8443"]).unwrap();
        let granted = [
            "crates.io",
            "crates.io:443",
            "static.rust-lang.org",
            "*.rust-lang.org",
            "*.a.rust-lang.org",
            "*.rust-lang.org:80",
            "example.org:8443",
        ];
        let refused = [
            "*.crates.io",
            "crates.io:22",
            "rust-lang.org",
            "*.org.evil.net",
            "example.org",
            "example.org:443",
        ];
        let asked: Vec<&str> = granted.iter().chain(&refused).copied().collect();
        let (yes, no) = own.grant(&Hosts::read(&asked).unwrap());
        assert_eq!(yes.to_string(), granted.join(", "));
        assert_eq!(no.to_string(), refused.join(", "));
    }
}
