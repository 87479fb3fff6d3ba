//! What a key of the configuration is: its type, its range, its default and its words. The keys
//! themselves stand in `keys.rs`; the check, the example, the overview of effective values and the
//! typed structs all come from them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use libp2p::Multiaddr;
use serde::Serialize;

use super::problem::Origin;

/// A section: `[name]`, or `[[repository]]`.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: &'static str,
    /// What the section is about, a line of text each.
    pub(super) about: &'static [&'static str],
    pub(super) keys: &'static [Key],
}

impl Section {
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// A key of a section.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// What the key means, a line of text each.
    pub(super) doc: &'static [&'static str],
    pub(super) spec: Spec,
}

/// What values a key takes, and which it has if nobody sets it.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) kind: Kind,
    pub(super) fallback: Fallback,
}

/// The type of a value and its range.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number, both ends included.
    Integer { min: u64, max: u64 },
    /// A text of a form.
    Text(Form),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of at least `min` texts of a form, none of them twice.
    List { min: usize, form: Form },
}

/// What a text has to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Any text without control characters.
    Line,
    /// A word of letters, digits and some signs.
    Word,
    /// A short name of letters, digits, `.`, `_` and `-`.
    Name,
    /// A short name in lower case, which can stand in the names of files and containers.
    Slug,
    /// A name of a git branch.
    Branch,
    /// A path of this machine, relative to the configuration's directory.
    Path,
    /// A path of a file that holds a secret; never the secret.
    SecretPath,
    /// An IP address and a port.
    Socket,
    /// A multiaddr to listen on.
    Listen,
    /// A multiaddr to dial.
    Peer,
    /// An http or https address without credentials.
    Http,
    /// A git remote without credentials.
    Remote,
    /// A repository on GitHub: its owner and its name.
    OwnerName,
    /// A host, or all below one, with or without a port.
    Host,
    /// Repositories of an owner: a repository on GitHub, whose name may end in `*`.
    OwnerPattern,
    /// A label, `=` and the name of a model.
    Rule,
    /// A filter of the log, as `tracing` reads it.
    LogFilter,
}

/// What a key is worth if nobody sets it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fallback {
    /// This value.
    Default(Literal),
    /// Nothing; the text is an example.
    Unset(&'static str),
    /// It has to be set; the text is an example.
    Required(&'static str),
}

/// A value that can stand in a constant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Literal {
    Flag(bool),
    Integer(u64),
    Text(&'static str),
    List(&'static [&'static str]),
}

pub(super) const fn flag(default: bool) -> Spec {
    Spec { kind: Kind::Flag, fallback: Fallback::Default(Literal::Flag(default)) }
}

pub(super) const fn integer(min: u64, max: u64, default: u64) -> Spec {
    assert!(min <= default && default <= max, "the default is within the range");
    Spec {
        kind: Kind::Integer { min, max },
        fallback: Fallback::Default(Literal::Integer(default)),
    }
}

pub(super) const fn text(form: Form, default: &'static str) -> Spec {
    Spec { kind: Kind::Text(form), fallback: Fallback::Default(Literal::Text(default)) }
}

pub(super) const fn optional(form: Form, example: &'static str) -> Spec {
    Spec { kind: Kind::Text(form), fallback: Fallback::Unset(example) }
}

pub(super) const fn optional_integer(min: u64, max: u64, example: &'static str) -> Spec {
    Spec { kind: Kind::Integer { min, max }, fallback: Fallback::Unset(example) }
}

pub(super) const fn required(form: Form, example: &'static str) -> Spec {
    Spec { kind: Kind::Text(form), fallback: Fallback::Required(example) }
}

pub(super) const fn choice(words: &'static [&'static str]) -> Spec {
    Spec { kind: Kind::Choice(words), fallback: Fallback::Default(Literal::Text(words[0])) }
}

pub(super) const fn list(form: Form, min: usize, default: &'static [&'static str]) -> Spec {
    assert!(default.len() >= min, "the default is long enough");
    Spec { kind: Kind::List { min, form }, fallback: Fallback::Default(Literal::List(default)) }
}

/// A checked value. Serialised as the plain value, a path as its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Integer(u64),
    /// A text.
    Text(String),
    /// A path, absolute.
    Path(PathBuf),
    /// A list of texts.
    List(Vec<String>),
}

impl fmt::Display for Value {
    /// Writes the value as a TOML literal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Text(text) => write!(f, "{}", literal(text)),
            Value::Path(path) => write!(f, "{}", literal(&path.to_string_lossy())),
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(|item| literal(item)).collect();
                write!(f, "[{}]", items.join(", "))
            }
        }
    }
}

impl fmt::Display for Literal {
    /// Writes the value as a TOML literal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Literal::Flag(flag) => Value::Flag(flag).fmt(f),
            Literal::Integer(number) => Value::Integer(number).fmt(f),
            Literal::Text(text) => write!(f, "{}", literal(text)),
            Literal::List(items) => {
                Value::List(items.iter().map(|&item| item.to_owned()).collect()).fmt(f)
            }
        }
    }
}

/// A text as a TOML literal, in quotes and with escapes.
pub fn literal(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

/// A value and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// The values of one section.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(pub(super) BTreeMap<&'static str, Setting>);

impl Values {
    pub(super) fn get(&self, key: &str) -> Option<&Setting> {
        self.0.get(key)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key).map(|setting| &setting.value) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// A type that a checked value turns into.
pub(super) trait Typed: Sized {
    /// The value as this type; `None` if the key is not set.
    fn from_value(value: &Value) -> Option<Self>;

    /// The value of a key that has a default or is required.
    fn required(value: Option<&Value>) -> Self {
        value.and_then(Self::from_value).expect("the check and the table agree on the type")
    }
}

impl Typed for bool {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Flag(flag) = value { Some(*flag) } else { None }
    }
}

impl Typed for u64 {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Integer(number) = value { Some(*number) } else { None }
    }
}

impl Typed for u32 {
    fn from_value(value: &Value) -> Option<Self> {
        u64::from_value(value).and_then(|number| u32::try_from(number).ok())
    }
}

impl Typed for String {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text.clone()) } else { None }
    }
}

impl Typed for PathBuf {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Path(path) = value { Some(path.clone()) } else { None }
    }
}

impl Typed for SocketAddr {
    fn from_value(value: &Value) -> Option<Self> {
        String::from_value(value).and_then(|text| text.parse().ok())
    }
}

impl Typed for Vec<String> {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::List(items) = value { Some(items.clone()) } else { None }
    }
}

impl Typed for Vec<Multiaddr> {
    fn from_value(value: &Value) -> Option<Self> {
        let items = Vec::<String>::from_value(value)?;
        items.iter().map(|item| item.parse().ok()).collect()
    }
}

impl<T: Typed> Typed for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        T::from_value(value).map(Some)
    }

    fn required(value: Option<&Value>) -> Self {
        value.map(|value| T::required(Some(value)))
    }
}
