//! Where a repository is, in one form for all ways to write it, so that what Hive says can be
//! compared with what the node is configured with.

use reqwest::Url;

/// The place of a git remote: `host[:port]/path` without credentials, `.git` and the scheme, in
/// small letters, or `file:/path` for one of this machine.
///
/// # Errors
/// What is wrong with the address, in words that don't repeat it: it may hold a secret.
pub fn place(url: &str) -> Result<String, String> {
    if url.is_empty() || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("it is no address".to_owned());
    }
    if let Some((scheme, _)) = url.split_once("://") {
        let parsed = Url::parse(url).map_err(|error| format!("it is malformed: {error}"))?;
        if parsed.password().is_some() || (scheme != "ssh" && !parsed.username().is_empty()) {
            return Err("it holds credentials".to_owned());
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err("it goes on after its path, with ? or #".to_owned());
        }
        return match parsed.scheme() {
            "file" => file(parsed.path()),
            "https" | "http" | "git" | "ssh" => {
                let host = parsed.host_str().ok_or("it has no host")?;
                let port = parsed.port().filter(|port| (scheme, *port) != ("ssh", 22));
                let host = port.map_or(host.to_owned(), |port| format!("{host}:{port}"));
                remote(&host, parsed.path())
            }
            _ => Err("its scheme is none of https, http, ssh, git and file".to_owned()),
        };
    }
    if url.starts_with('/') {
        return file(url);
    }
    // user@host:path, where the user is no secret.
    let (host, path) = url.split_once(':').ok_or("it is neither an address nor a path")?;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if host.is_empty() || host.contains('/') || path.starts_with(':') || path.contains('@') {
        return Err("it is no address of a git remote".to_owned());
    }
    remote(host, path)
}

fn file(path: &str) -> Result<String, String> {
    let path = trimmed(path);
    if path.is_empty() { Err("it has no path".to_owned()) } else { Ok(format!("file:/{path}")) }
}

fn remote(host: &str, path: &str) -> Result<String, String> {
    let path = trimmed(path);
    if path.is_empty() {
        return Err("it has no path".to_owned());
    }
    Ok(format!("{host}/{path}").to_lowercase())
}

fn trimmed(path: &str) -> &str {
    let path = path.trim_matches('/');
    path.strip_suffix(".git").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn all_ways_to_write_a_remote_are_one_place() {
        for url in [
            "https://github.com/Acme/Sample",
            "https://GitHub.com/acme/sample.git",
            "https://github.com:443/acme/sample/",
            "ssh://git@github.com/acme/sample.git",
            "ssh://git@github.com:22/acme/sample",
            "git://github.com/acme/sample",
            "git@github.com:acme/sample.git",
        ] {
            assert_eq!(place(url).as_deref(), Ok("github.com/acme/sample"), "{url}");
        }
        assert_eq!(place("http://127.0.0.1:4600/a/b.git").as_deref(), Ok("127.0.0.1:4600/a/b"));
        assert_eq!(place("/srv/Git/a.git").as_deref(), Ok("file:/srv/Git/a"));
        assert_eq!(place("file:///srv/Git/a.git").as_deref(), Ok("file:/srv/Git/a"));
    }

    #[test]
    fn what_is_no_remote_or_holds_a_secret_is_refused() {
        for url in [
            "",
            "github.com",
            "https://",
            "https://github.com",
            "https://github.com/",
            "https://user@github.com/a/b",
            "https://user:secret@github.com/a/b",
            "ssh://git:secret@github.com/a/b",
            "https://github.com/a/b?token=secret",
            "https://github.com/a/b#x",
            "ext::sh -c true",
            "ext::true",
            "javascript://x/y",
            "../a",
            "a b",
            "https://github.com/a\n/b",
        ] {
            let said = place(url).expect_err(url);
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
