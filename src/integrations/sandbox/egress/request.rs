//! What a client in the sandbox asks the proxy for (RFC 9110 and 9112), and what goes on from it.

use httparse::{EMPTY_HEADER, Header, Status};

/// The longest head of a request, in bytes.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// The most header fields of a request.
const MAX_FIELDS: usize = 64;

/// The longest name of a host, as it was written, in bytes.
const MAX_HOST: usize = 253;

/// Fields that are for the proxy and for nobody behind it (RFC 9110, section 7.6.1).
const FOR_THE_PROXY: [&str; 9] = [
    "connection",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
];

/// A request that can be understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Whom it is for, as it was written: a name, or an address.
    pub(super) host: String,
    /// At which port.
    pub(super) port: u16,
    pub(super) way: Way,
}

/// How a request is passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `CONNECT`: bytes in both directions.
    Tunnel,
    /// A request that is written anew.
    Forward {
        /// Its head.
        head: Vec<u8>,
        /// The length of the body that follows, in bytes.
        body: u64,
    },
}

/// The status of an answer, and what is wrong.
pub(super) type Wrong = (u16, &'static str);

/// Reads a request's head. None if it goes on; otherwise the request and the length of the head.
///
/// # Errors
/// What is not a request, or not clear.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Request, usize)>, Wrong> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let length = match parsed.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err((431, "there are too many fields")),
        Err(_) => return Err((400, "this is no request")),
    };
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
        return Err((400, "this is no request"));
    };
    let request = if method == "CONNECT" {
        let (host, port) = authority(target)?;
        let port = port.ok_or(bad("CONNECT needs a port"))?;
        Request { host, port, way: Way::Tunnel }
    } else {
        forward(method, target, parsed.headers)?
    };
    Ok(Some((request, length)))
}

fn forward(method: &str, target: &str, fields: &[Header<'_>]) -> Result<Request, Wrong> {
    let scheme = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let rest = scheme.map(|_| &target[7..]);
    let rest = rest.ok_or(bad("this is a proxy: ask for http://HOST/PATH, or CONNECT"))?;
    let (place, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (host, port) = authority(place)?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut head = format!("{method} {slash}{path} HTTP/1.1\r\nHost: {place}\r\n").into_bytes();
    let listed: Vec<&str> = fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("connection"))
        .filter_map(|field| std::str::from_utf8(field.value).ok())
        .flat_map(|value| value.split(',').map(str::trim))
        .collect();
    let mut body = None;
    for field in fields {
        let is = |name: &&str| field.name.eq_ignore_ascii_case(name);
        if is(&"transfer-encoding") {
            return Err((411, "a body needs its length beforehand"));
        }
        if is(&"content-length") {
            let digits = field.value.iter().all(u8::is_ascii_digit);
            let value = std::str::from_utf8(field.value).ok().filter(|_| digits);
            let value: Option<u64> = value.and_then(|value| value.parse().ok());
            let value = value.filter(|_| body.is_none());
            body = Some(value.ok_or(bad("the length of the body is not clear"))?);
        } else if FOR_THE_PROXY.iter().any(is) || listed.iter().any(is) {
            continue;
        }
        head.extend_from_slice(field.name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(field.value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"Connection: close\r\n\r\n");
    let way = Way::Forward { head, body: body.unwrap_or(0) };
    Ok(Request { host, port: port.unwrap_or(80), way })
}

fn bad(text: &'static str) -> Wrong {
    (400, text)
}

/// Host and port, without a user.
fn authority(text: &str) -> Result<(String, Option<u16>), Wrong> {
    let wrong = bad("this is no host with a port");
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(wrong)?;
            (host, port.strip_prefix(':').or(if port.is_empty() { None } else { Some("x") }))
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if host.is_empty() || host.len() > MAX_HOST || !host.bytes().all(fine) {
        return Err(wrong);
    }
    let port = match port {
        None => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(port.parse().map_err(|_| wrong)?)
        }
        Some(_) => return Err(wrong),
    };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(text: &str) -> (String, u16, String, u64) {
        let (request, length) = read(text.as_bytes()).unwrap().expect("it is whole");
        assert!(text[..length].ends_with("\r\n\r\n"));
        let Way::Forward { head, body } = request.way else { panic!("{text}") };
        (request.host, request.port, String::from_utf8(head).unwrap(), body)
    }

    fn refused(text: &str) -> u16 {
        read(text.as_bytes()).unwrap_err().0
    }

    #[test]
    fn tunnels() {
        let text = "CONNECT Crates.io:443 HTTP/1.1\r\nHost: x\r\n\r\nrest";
        let (request, length) = read(text.as_bytes()).unwrap().expect("it is whole");
        let expected = Request { host: "Crates.io".to_owned(), port: 443, way: Way::Tunnel };
        assert_eq!((request, &text[length..]), (expected, "rest"));
        let (request, _) = read(b"CONNECT [::1]:80 HTTP/1.1\r\n\r\n").unwrap().unwrap();
        assert_eq!((request.host.as_str(), request.port), ("::1", 80));
        assert_eq!(read(b"CONNECT crates.io:443 HTTP/1.1\r\n"), Ok(None));
        for bad in ["a.b", "a.b:", "a.b:99999", "a.b:4x", "u@a.b:1", ":1", "[::1]x:1", "a b:1"] {
            assert_eq!(refused(&format!("CONNECT {bad} HTTP/1.1\r\n\r\n")), 400, "{bad}");
        }
    }

    #[test]
    fn a_request_is_written_anew() {
        let text = "GET HTTP://a.b:8080?q HTTP/1.1\r\nHost: evil.org\r\nAccept: */*\r\n\
                    Proxy-Authorization: Basic x\r\nConnection: keep-alive, X-Mine\r\nx-mine: 1\r\n\
                    Keep-Alive: 5\r\n\r\n";
        let head = "GET /?q HTTP/1.1\r\nHost: a.b:8080\r\nAccept: */*\r\nConnection: close\r\n\r\n";
        assert_eq!(forwarded(text), ("a.b".to_owned(), 8080, head.to_owned(), 0));
        let text = "POST http://a.b/x HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc";
        let head = "POST /x HTTP/1.1\r\nHost: a.b\r\nContent-Length: 3\r\n\
                    Connection: close\r\n\r\n";
        assert_eq!(forwarded(text), ("a.b".to_owned(), 80, head.to_owned(), 3));
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        for (text, status) in [
            ("GET / HTTP/1.1\r\nHost: a.b\r\n\r\n", 400),
            ("GET https://a.b/ HTTP/1.1\r\n\r\n", 400),
            ("GET http://u:p@a.b/ HTTP/1.1\r\n\r\n", 400),
            ("GET http:///x HTTP/1.1\r\n\r\n", 400),
            ("POST http://a.b/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
            ("POST http://a.b/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
            ("POST http://a.b/ HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
            ("POST http://a.b/ HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", 400),
            ("GET http://a.b/ HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400),
            ("GET http://a.b/ HTTP/1.1\r\nA : b\r\n\r\n", 400),
            ("\0\x01\r\n\r\n", 400),
        ] {
            assert_eq!(refused(text), status, "{text:?}");
        }
        let many = format!("GET http://a.b/ HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
        assert_eq!(refused(&many), 431);
    }
}
