//! Writes configurations: the documented example, and the first file of a new node.

use std::path::PathBuf;

use super::form::describe;
use super::keys::{REPOSITORY, Repository, SECTIONS};
use super::overrides::variable;
use super::problem::{Fault, Place, Problem};
use super::table::{Fallback, Key, Kind, Section, literal};

const HEAD: &str = "\
# The configuration of a bzzz node: bzzz.toml in the node's home directory, ~/.bzzz unless --home or
# BZZZ_HOME says otherwise.
#
# A key that is commented out has the value that is shown, unless its comment says that none is set.
# The environment variable named with a key overrides the file, and a flag overrides both; there,
# the elements of a list are separated by commas. Relative paths start at the directory of this
# file. Secrets never stand here. `bzzz config check` names everything that is wrong; `bzzz config
# show` tells which values apply and where each comes from.
";

/// Writes the documented example, with some values set and some repositories added.
///
/// `values` are keys with their section, as in `agent.work`, and TOML literals.
pub(super) fn write(values: &[(String, String)], repositories: &[Repository]) -> String {
    let mut out = HEAD.to_owned();
    for section in SECTIONS {
        head(&mut out, section);
        out.push_str(&format!("[{}]\n", section.name));
        for key in section.keys {
            let full = format!("{}.{}", section.name, key.name);
            let value = values.iter().rev().find(|(name, _)| *name == full);
            let variable = variable(section, key);
            words(&mut out, key, Some(&variable));
            line(&mut out, key, value.map(|(_, value)| value.as_str()));
        }
    }
    head(&mut out, REPOSITORY);
    out.push_str(&format!("#[[{}]]\n", REPOSITORY.name));
    for key in REPOSITORY.keys {
        words(&mut out, key, None);
        line(&mut out, key, None);
    }
    for repository in repositories {
        out.push_str(&format!("\n[[{}]]\n", REPOSITORY.name));
        for (key, value) in set_keys(repository) {
            out.push_str(&format!("{key} = {value}\n"));
        }
    }
    out
}

/// The keys of a repository that are set, and their TOML literals.
fn set_keys(repository: &Repository) -> Vec<(&'static str, String)> {
    let Repository { name, url, branch, board, token_file, .. } = repository;
    let path = |path: &PathBuf| literal(&path.to_string_lossy());
    let number = |number: u64| number.to_string();
    let key_file = repository.github_key_file.as_ref();
    let keys = [
        ("name", Some(literal(name))),
        ("url", Some(literal(url))),
        ("branch", Some(literal(branch))),
        ("board", board.as_ref().map(path)),
        ("github", repository.github.as_deref().map(literal)),
        ("github_url", repository.github_url.as_deref().map(literal)),
        ("github_draft", repository.github_draft.then(|| "true".to_owned())),
        ("github_app", repository.github_app.map(number)),
        ("github_key_file", key_file.map(path)),
        ("github_installation", repository.github_installation.map(number)),
        ("token_file", token_file.as_ref().map(path)),
    ];
    keys.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// The keys of `values` that there are not.
pub(super) fn unknown(values: &[(String, String)]) -> Vec<Problem> {
    let known = |full: &str| {
        SECTIONS.iter().any(|section| {
            let key = full.strip_prefix(section.name).and_then(|rest| rest.strip_prefix('.'));
            key.is_some_and(|key| section.key(key).is_some())
        })
    };
    let unknown = values.iter().filter(|(key, _)| !known(key));
    let fault = Fault::new("unknown key");
    unknown
        .map(|(key, _)| Problem {
            place: Place::Flag,
            key: key.clone(),
            message: fault.message.clone(),
            hint: None,
        })
        .collect()
}

fn head(out: &mut String, section: &Section) {
    out.push('\n');
    for text in section.about {
        comment(out, text);
    }
}

fn words(out: &mut String, key: &Key, variable: Option<&str>) {
    out.push('\n');
    for text in key.doc {
        comment(out, text);
    }
    let mut kind = describe(key.spec.kind);
    if let Some(first) = kind.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let unit = match key.name.rsplit('_').next() {
        Some("seconds") => ", in seconds",
        Some("mib") => ", in MiB",
        Some("kib") => ", in KiB",
        _ => "",
    };
    let mut text = format!(" {kind}{unit}.");
    match key.spec.fallback {
        Fallback::Default(_) => {}
        Fallback::Unset(_) => text.push_str(" Not set by default."),
        Fallback::Required(_) => text.push_str(" Has to be set."),
    }
    if let Some(variable) = variable {
        text.push(' ');
        text.push_str(variable);
    }
    comment(out, &text);
}

/// A line of a comment; `text` begins with a space.
fn comment(out: &mut String, text: &str) {
    out.push('#');
    out.push_str(text);
    out.push('\n');
}

fn line(out: &mut String, key: &Key, value: Option<&str>) {
    let line = match (value, key.spec.fallback) {
        (Some(value), _) => format!("{} = {value}\n", key.name),
        (None, Fallback::Default(default)) => format!("#{} = {default}\n", key.name),
        (None, Fallback::Unset(example)) if matches!(key.spec.kind, Kind::Integer { .. }) => {
            format!("#{} = {example}\n", key.name)
        }
        (None, Fallback::Unset(example) | Fallback::Required(example)) => {
            format!("#{} = {}\n", key.name, literal(example))
        }
    };
    out.push_str(&line);
}
