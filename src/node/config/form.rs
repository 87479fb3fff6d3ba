//! Reads a value, from the file or from a text of the environment or the command line, and says
//! what is wrong with it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tracing_subscriber::EnvFilter;

use super::problem::{Fault, nearest, quoted};
use super::table::{Form, Kind, Literal, Value};
use crate::integrations::sandbox::Hosts;

/// The longest text of one value, in bytes.
pub const MAX_TEXT: usize = 4_096;

/// The longest list.
pub const MAX_ITEMS: usize = 64;

/// What is wrong with a value, or with one element of it.
#[derive(Debug)]
pub(super) struct Bad {
    /// The element of a list, counted from 0.
    pub(super) element: Option<usize>,
    /// Where the element stands in the file.
    pub(super) span: Option<Range<usize>>,
    pub(super) fault: Fault,
}

impl From<Fault> for Vec<Bad> {
    fn from(fault: Fault) -> Self {
        vec![Bad { element: None, span: None, fault }]
    }
}

/// The type and the range of a value in words, to follow "expected".
pub(super) fn describe(kind: Kind) -> String {
    match kind {
        Kind::Flag => "true or false".to_owned(),
        Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
        Kind::Text(form) => form.describe().to_owned(),
        Kind::Choice(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            format!("one of {}", words.join(", "))
        }
        Kind::List { min: 0, form } => format!("a list, each element {}", form.describe()),
        Kind::List { min, form } => {
            format!("a list of at least {min}, each element {}", form.describe())
        }
    }
}

/// Reads a value of the file. Relative paths start at `base`.
pub(super) fn from_toml(
    kind: Kind,
    value: &toml_edit::Value,
    base: &Path,
) -> Result<Value, Vec<Bad>> {
    let wrong = |hint: Option<&str>| {
        let message = format!("expected {}, found {}", describe(kind), found(value));
        Vec::from(Fault { message, hint: hint.map(str::to_owned) })
    };
    match kind {
        Kind::Flag => match value.as_bool() {
            Some(flag) => Ok(Value::Flag(flag)),
            None if matches!(value.as_str(), Some("true" | "false")) => {
                Err(wrong(Some("leave out the quotes")))
            }
            None => Err(wrong(None)),
        },
        Kind::Integer { min, max } => match value {
            toml_edit::Value::Integer(number) => {
                let number = u64::try_from(*number.value());
                match number.ok().filter(|number| (min..=max).contains(number)) {
                    Some(number) => Ok(Value::Integer(number)),
                    None => Err(wrong(None)),
                }
            }
            toml_edit::Value::Float(_) => Err(wrong(Some("leave out the fraction"))),
            toml_edit::Value::String(text) if text.value().parse::<i64>().is_ok() => {
                Err(wrong(Some("leave out the quotes")))
            }
            _ => Err(wrong(None)),
        },
        Kind::Text(_) | Kind::Choice(_) => match value.as_str() {
            Some(text) => from_text(kind, text, base),
            None => Err(wrong(None)),
        },
        Kind::List { min, form } => match value.as_array() {
            Some(array) => from_array(min, form, array, base),
            None => Err(wrong(value.as_str().map(|_| "put the text in square brackets"))),
        },
    }
}

/// What somebody wrote instead, in words.
fn found(value: &toml_edit::Value) -> String {
    match value {
        toml_edit::Value::String(_) => "a text".to_owned(),
        toml_edit::Value::Integer(number) => number.value().to_string(),
        toml_edit::Value::Float(number) => number.value().to_string(),
        toml_edit::Value::Boolean(flag) => flag.value().to_string(),
        toml_edit::Value::Datetime(_) => "a date or time".to_owned(),
        toml_edit::Value::Array(_) => "a list".to_owned(),
        toml_edit::Value::InlineTable(_) => "a table".to_owned(),
    }
}

fn from_array(
    min: usize,
    form: Form,
    array: &toml_edit::Array,
    base: &Path,
) -> Result<Value, Vec<Bad>> {
    let mut texts = vec![];
    let mut bad = vec![];
    for (index, element) in array.iter().enumerate().take(MAX_ITEMS + 1) {
        match element.as_str() {
            Some(text) => texts.push((index, element.span(), text)),
            None => bad.push(Bad {
                element: Some(index),
                span: element.span(),
                fault: Fault::new(format!(
                    "expected {}, found {}",
                    form.describe(),
                    found(element)
                )),
            }),
        }
    }
    from_texts(min, form, &texts, bad, base)
}

/// Reads a value that stands in an environment variable or on the command line. The elements of a
/// list are separated by commas.
pub(super) fn from_text(kind: Kind, text: &str, base: &Path) -> Result<Value, Vec<Bad>> {
    let wrong = || Fault::new(format!("expected {}, found `{}`", describe(kind), quoted(text)));
    match kind {
        Kind::Flag => match text {
            "true" => Ok(Value::Flag(true)),
            "false" => Ok(Value::Flag(false)),
            _ => Err(wrong().into()),
        },
        Kind::Integer { min, max } => text
            .parse()
            .ok()
            .filter(|number| (min..=max).contains(number))
            .map(Value::Integer)
            .ok_or_else(|| wrong().into()),
        Kind::Text(form) => form.read(text, base).map_err(Vec::from),
        Kind::Choice(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
        Kind::Choice(words) => {
            let fault = wrong();
            Err(Vec::from(match nearest(text, words.iter().copied()) {
                Some(word) => fault.hint(format!("did you mean \"{word}\"?")),
                None => fault,
            }))
        }
        Kind::List { min, form } => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let items: Vec<_> =
                items.take(MAX_ITEMS + 1).enumerate().map(|(n, item)| (n, None, item)).collect();
            from_texts(min, form, &items, vec![], base)
        }
    }
}

fn from_texts(
    min: usize,
    form: Form,
    texts: &[(usize, Option<Range<usize>>, &str)],
    mut bad: Vec<Bad>,
    base: &Path,
) -> Result<Value, Vec<Bad>> {
    let count = texts.len() + bad.len();
    if count > MAX_ITEMS {
        return Err(Fault::new(format!("the list is longer than {MAX_ITEMS} elements")).into());
    }
    if count < min {
        return Err(Fault::new(format!("expected a list of at least {min}, found {count}")).into());
    }
    let mut seen = BTreeSet::new();
    let mut items = vec![];
    for &(index, ref span, text) in texts {
        let mut fail = |fault| {
            bad.push(Bad { element: Some(index), span: span.clone(), fault });
        };
        match form.read(text, base) {
            _ if !seen.insert(text) => fail(Fault::new("the same element stands twice")),
            Ok(Value::Text(text)) => items.push(text),
            Ok(_) => fail(Fault::new("expected a text")),
            Err(fault) => fail(fault),
        }
    }
    if bad.is_empty() { Ok(Value::List(items)) } else { Err(bad) }
}

/// The value of a default. Relative paths start at `base`.
pub(super) fn from_default(kind: Kind, default: Literal, base: &Path) -> Value {
    match (kind, default) {
        (Kind::Text(form), Literal::Text(text)) => {
            form.read(text, base).expect("a default has its form; a test reads them all")
        }
        (_, Literal::Flag(flag)) => Value::Flag(flag),
        (_, Literal::Integer(number)) => Value::Integer(number),
        (_, Literal::Text(text)) => Value::Text(text.to_owned()),
        (_, Literal::List(items)) => {
            Value::List(items.iter().map(|&item| item.to_owned()).collect())
        }
    }
}

impl Form {
    /// The form in words, to follow "expected".
    fn describe(self) -> &'static str {
        match self {
            Form::Line => "a text of 1 to 100 characters",
            Form::Word => "a word of letters, digits and ._-+:/@",
            Form::Name => "a name of at most 64 letters, digits and ._-",
            Form::Slug => "a name of at most 64 small letters, digits and ._-",
            Form::Branch => "a name of a branch",
            Form::Path => "a path",
            Form::SecretPath => "a path of a file",
            Form::Socket => "an IP address and a port",
            Form::Listen => "a multiaddr with an IP address, over TCP or QUIC",
            Form::Peer => "a multiaddr with a host and a port, over TCP or QUIC",
            Form::Http => "an http or https address",
            Form::Remote => "a path or an address of a git repository",
            Form::OwnerName => "a repository on GitHub, OWNER/NAME",
            Form::Host => "a name of a host, with or without a port",
            Form::OwnerPattern => "OWNER/NAME, where the name may end in *",
            Form::Rule => "a label, `=` and the name of a model",
            Form::LogFilter => "a level or a filter",
        }
    }

    /// Checks a text and makes a value of it.
    fn read(self, text: &str, base: &Path) -> Result<Value, Fault> {
        if self == Form::SecretPath && looks_secret(text) {
            // The text itself is left out of the message: logs forget nothing.
            return Err(Fault::new("this looks like a secret itself").hint(
                "write the secret to a file that only you can read, and put the file's path here; \
                 take the secret for known if others could read this file",
            ));
        }
        if text.len() > MAX_TEXT {
            return Err(Fault::new(format!("the text is longer than {MAX_TEXT} bytes")));
        }
        let wrong = || {
            let found = if text.is_empty() { "nothing".to_owned() } else { quote(text) };
            Fault::new(format!("expected {}, found {found}", self.describe()))
        };
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(wrong());
        }
        let keep = |fine: bool| {
            if fine { Ok(Value::Text(text.to_owned())) } else { Err(wrong()) }
        };
        match self {
            Form::Line => keep(text.chars().count() <= 100 && text.trim() == text),
            Form::Word => keep(is_word(text, 128, "._-+:/@")),
            Form::Name => keep(is_word(text, 64, "._-")),
            Form::Slug => keep(is_word(text, 64, "._-") && text.to_lowercase() == text),
            Form::Branch => keep(is_branch(text)),
            Form::Path | Form::SecretPath => path(text, base),
            Form::Socket => text
                .parse::<SocketAddr>()
                .map_err(|_| wrong().hint("write for example \"127.0.0.1:7448\""))
                .map(|_| Value::Text(text.to_owned())),
            Form::Listen => address(text, false, wrong()),
            Form::Peer => address(text, true, wrong()),
            Form::Http => http(text, wrong()),
            Form::Remote => remote(text, base),
            Form::OwnerName => match text.split_once('/') {
                Some((owner, name)) if is_word(owner, 100, "-") && is_word(name, 100, "._-") => {
                    keep(true)
                }
                _ => Err(wrong().hint("write for example \"octo-org/sample\"")),
            },
            Form::Host => match Hosts::read(&[text]) {
                Ok(_) => keep(true),
                Err(_) => Err(wrong().hint("write for example \"crates.io\" or \"*.crates.io\"")),
            },
            Form::OwnerPattern => match text.split_once('/') {
                Some((owner, name)) if is_word(owner, 100, "-") && is_name_pattern(name) => {
                    keep(true)
                }
                _ => Err(wrong().hint("write for example \"octo-org/*\"")),
            },
            Form::Rule => keep(is_rule(text)),
            Form::LogFilter => log_filter(text, wrong()),
        }
    }
}

fn quote(text: &str) -> String {
    format!("`{}`", quoted(text))
}

/// Begins with a letter or digit; `signs` may follow.
fn is_word(text: &str, longest: usize, signs: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || signs.contains(c);
    text.len() <= longest
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(fine)
}

/// A name, or its beginning and `*`.
fn is_name_pattern(text: &str) -> bool {
    match text.strip_suffix('*') {
        Some(start) => start.is_empty() || is_word(start, 100, "._-"),
        None => is_word(text, 100, "._-"),
    }
}

/// The model's name has no `=`; a label may.
fn is_rule(text: &str) -> bool {
    text.rsplit_once('=').is_some_and(|(label, model)| {
        !label.is_empty()
            && label.chars().count() <= 100
            && label.trim() == label
            && is_word(model, 128, "._-+:/@")
    })
}

/// The rules of `git check-ref-format`, and no leading dash, which commands take for an option.
fn is_branch(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.ends_with(".lock")
    };
    text.len() <= 200
        && !text.starts_with('-')
        && text != "@"
        && text.split('/').all(part)
        && !text.contains("..")
        && !text.contains("@{")
        && !text.contains([' ', '~', '^', ':', '?', '*', '[', '\\'])
}

/// How the keys and tokens of well-known services begin.
const SECRET_STARTS: [&str; 10] =
    ["sk-", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "hf_", "xox", "Bearer ", "-----BEGIN"];

fn looks_secret(text: &str) -> bool {
    SECRET_STARTS.iter().any(|start| text.starts_with(start))
}

fn path(text: &str, base: &Path) -> Result<Value, Fault> {
    if text.starts_with('~') {
        return Err(Fault::new("`~` is not expanded here").hint("write the path in full"));
    }
    Ok(Value::Path(base.join(text)))
}

/// Takes `HOST/tcp/PORT` and `HOST/udp/PORT/quic-v1`, the transports there are. A peer's host may
/// be a name, but neither its host nor its port may be left open.
fn address(text: &str, peer: bool, wrong: Fault) -> Result<Value, Fault> {
    let example = "write for example \"/ip4/192.0.2.7/tcp/7447\" or \
                   \"/ip4/192.0.2.7/udp/7447/quic-v1\"";
    let Ok(address) = text.parse::<Multiaddr>() else {
        return Err(wrong.hint(example));
    };
    let mut parts: Vec<Protocol<'_>> = address.iter().collect();
    if matches!(parts.last(), Some(Protocol::P2p(_))) {
        if !peer {
            return Err(wrong.hint("leave out /p2p/ and what follows it"));
        }
        parts.pop();
    }
    let host = |host: &Protocol<'_>| match host {
        Protocol::Ip4(ip) => !peer || !ip.is_unspecified(),
        Protocol::Ip6(ip) => !peer || !ip.is_unspecified(),
        Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) => peer,
        _ => false,
    };
    let port = |port: u16| !peer || port != 0;
    let fine = match parts.as_slice() {
        [at, Protocol::Tcp(number)] => host(at) && port(*number),
        [at, Protocol::Udp(number), Protocol::QuicV1] => host(at) && port(*number),
        _ => false,
    };
    if fine { Ok(Value::Text(text.to_owned())) } else { Err(wrong.hint(example)) }
}

fn http(text: &str, wrong: Fault) -> Result<Value, Fault> {
    let Ok(url) = reqwest::Url::parse(text) else {
        return Err(wrong.hint("write for example \"http://127.0.0.1:11434\""));
    };
    // The text is left out of these messages: it may hold a secret.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::new("the address holds credentials")
            .hint("put the key into a file of its own and name it in key_file"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Fault::new("the address goes on after its path, with ? or #")
            .hint("write the server's address alone"));
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong);
    }
    Ok(Value::Text(text.trim_end_matches('/').to_owned()))
}

fn remote(text: &str, base: &Path) -> Result<Value, Fault> {
    let secret = || {
        // The text is left out: it holds the secret.
        Fault::new("the address holds credentials")
            .hint("leave them out, put the token into a file of its own and name it in token_file")
    };
    if text.starts_with('-') {
        return Err(Fault::new("a remote doesn't begin with a dash: git takes it for an option"));
    }
    if let Some((scheme, _)) = text.split_once("://") {
        if !matches!(scheme, "https" | "http" | "ssh" | "git" | "file") {
            return Err(Fault::new(format!("the scheme {} is not known here", quote(scheme)))
                .hint("take https, ssh, git, file or a path"));
        }
        let Ok(url) = reqwest::Url::parse(text) else {
            return Err(Fault::new("the address is malformed"));
        };
        let user = !url.username().is_empty() && scheme != "ssh";
        if user || url.password().is_some() {
            return Err(secret());
        }
        return Ok(Value::Text(text.to_owned()));
    }
    match text.split_once(':') {
        // `ext::` and its like make git run a program of the address's choice.
        Some((helper, rest)) if rest.starts_with(':') && !helper.contains('/') => {
            Err(Fault::new(format!("the remote helper {} is not allowed", quote(helper)))
                .hint("take https, ssh, git, file or a path"))
        }
        // user@host:path
        Some((host, rest)) if !host.contains('/') => {
            if rest.contains('@') && !host.contains('@') {
                return Err(secret());
            }
            Ok(Value::Text(text.to_owned()))
        }
        _ => match path(text, base)? {
            Value::Path(path) => match path.into_os_string().into_string() {
                Ok(path) => Ok(Value::Text(path)),
                Err(_) => Err(Fault::new("the path of the configuration is not UTF-8")
                    .hint("write the remote's path in full")),
            },
            other => Ok(other),
        },
    }
}

fn log_filter(text: &str, wrong: Fault) -> Result<Value, Fault> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    if let Err(error) = EnvFilter::builder().parse(text) {
        let why = error.to_string();
        return Err(wrong.hint(quoted(&why)));
    }
    // The filter takes a bare word for the name of a part of the program, and logs all of it.
    let bare = text.split(',').map(str::trim).find(|part| {
        part.chars().all(|c| c.is_ascii_alphanumeric())
            && !LEVELS.contains(&part.to_lowercase().as_str())
    });
    match bare {
        None => Ok(Value::Text(text.to_owned())),
        Some(word) => Err(match nearest(word, LEVELS.into_iter()) {
            Some(level) => wrong.hint(format!("did you mean \"{level}\"?")),
            None => {
                wrong.hint(format!("write a level for a part, as in \"{}=debug\"", quoted(word)))
            }
        }),
    }
}
