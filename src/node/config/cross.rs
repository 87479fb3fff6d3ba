//! The rules that concern several keys at once.

use std::net::SocketAddr;

use super::check::Checker;
use super::keys::{ReasonerKind, SandboxKind};
use super::problem::{Fault, Origin};
use super::table::{Setting, Typed, Value, Values};

/// Notes every rule that is broken. Runs after the defaults are set.
pub(super) fn check(checker: &mut Checker<'_>) {
    remote_api(checker);
    reasoner(checker);
    sandbox(checker);
    webhook(checker);
    take_up(checker);
    same_repository(checker);
    task_source(checker);
}

fn setting<'a>(checker: &'a Checker<'_>, section: &str, key: &str) -> Option<&'a Setting> {
    checker.sections.get(section).and_then(|values| values.get(key))
}

fn value<T: Typed>(checker: &Checker<'_>, section: &str, key: &str) -> Option<T> {
    setting(checker, section, key).and_then(|setting| T::from_value(&setting.value))
}

fn origin(checker: &Checker<'_>, section: &str, key: &str) -> Origin {
    setting(checker, section, key).map_or(Origin::Default, |setting| setting.origin.clone())
}

fn remote_api(checker: &mut Checker<'_>) {
    let listen: Option<SocketAddr> = value(checker, "api", "listen");
    let allowed = value(checker, "api", "allow_remote") == Some(true);
    let Some(listen) = listen.filter(|listen| !listen.ip().is_loopback() && !allowed) else {
        return;
    };
    let origin = origin(checker, "api", "listen");
    let fault = Fault::new(format!("other machines can reach {listen}"));
    let fault = fault.hint("listen on 127.0.0.1, or set api.allow_remote = true if that is meant");
    checker.at(&origin, "api.listen", fault);
}

fn reasoner(checker: &mut Checker<'_>) {
    let Some(kind) = value::<ReasonerKind>(checker, "reasoner", "kind") else {
        return;
    };
    let kind_origin = origin(checker, "reasoner", "kind");
    let takes_up = value(checker, "hive", "take_up") == Some(true);
    let has_some = takes_up || !checker.repositories.is_empty();
    let works = value(checker, "agent", "work") == Some(true) && has_some;
    let needed: &[&'static str] = match kind {
        // Ollama is the default: a node that works on no repository needs no model.
        ReasonerKind::Ollama if !works && kind_origin == Origin::Default => &[],
        ReasonerKind::Ollama => &["model"],
        ReasonerKind::Openai => &["url", "model"],
        ReasonerKind::Scripted => &["script"],
    };
    // With nothing said about the reasoner, it is the repository that makes one necessary.
    let place = match checker.repositories.first() {
        Some(first) if kind_origin == Origin::Default => Origin::File { line: first.line },
        None if takes_up && kind_origin == Origin::Default => origin(checker, "hive", "take_up"),
        _ => kind_origin.clone(),
    };
    for &key in needed {
        let set = setting(checker, "reasoner", key).is_some();
        if !set && !checker.was_tried("reasoner", key) {
            let fault = Fault::new(format!("the key is missing: kind \"{kind}\" needs it"));
            let fault = match kind_origin {
                Origin::Default => fault.hint("set it, or agent.work = false to take no tasks"),
                _ => fault,
            };
            checker.at(&place, format!("reasoner.{key}"), fault);
        }
    }
    let url: Option<String> = value(checker, "reasoner", "url");
    let doubled = url.is_some_and(|url| url.ends_with("/v1"));
    if kind == ReasonerKind::Openai && doubled {
        let origin = origin(checker, "reasoner", "url");
        let fault = Fault::new("the address ends with /v1, which the node adds itself");
        checker.at(&origin, "reasoner.url", fault.hint("leave out /v1"));
    }
}

/// Refuses settings of a container for a plain process, where nothing would come of them.
fn sandbox(checker: &mut Checker<'_>) {
    if value(checker, "sandbox", "kind") != Some(SandboxKind::Process) {
        return;
    }
    for key in ["docker_socket", "image", "images", "runtime", "egress", "egress_mib"] {
        let origin = origin(checker, "sandbox", key);
        if origin != Origin::Default {
            let fault = Fault::new("kind \"process\" has no container that this could apply to");
            let fault = fault.hint("leave the key out, or set sandbox.kind = \"docker\"");
            checker.at(&origin, format!("sandbox.{key}"), fault);
        }
    }
}

/// A webhook that cannot tell this node from anybody else would believe everybody.
fn webhook(checker: &mut Checker<'_>) {
    let set = setting(checker, "n8n", "webhook_url").is_some();
    let signed = setting(checker, "n8n", "secret_file").is_some();
    if set && !signed && !checker.was_tried("n8n", "secret_file") {
        let place = origin(checker, "n8n", "webhook_url");
        let fault = Fault::new("the key is missing: `webhook_url` needs it");
        let fault = fault.hint("name the file that holds the secret for signatures");
        checker.at(&place, "n8n.secret_file", fault);
    }
}

/// Repositories that Hive names are taken up only with all that keeps their token where it belongs.
fn take_up(checker: &mut Checker<'_>) {
    if value(checker, "hive", "take_up") == Some(true) {
        let place = origin(checker, "hive", "take_up");
        for key in ["url", "github_token_file"] {
            if setting(checker, "hive", key).is_none() && !checker.was_tried("hive", key) {
                let fault = Fault::new("the key is missing: `take_up` needs it");
                checker.at(&place, format!("hive.{key}"), fault);
            }
        }
    }
    for key in ["web_url", "github_url"] {
        let url: Option<String> = value(checker, "hive", key);
        let Some(url) = url else { continue };
        let place = origin(checker, "hive", key);
        if is_open(&url) {
            let fault = Fault::new("a token is sent only over https");
            checker.at(&place, format!("hive.{key}"), fault);
        }
        let host = url.split_once("://").map_or("", |(_, rest)| rest);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".:-".contains(c);
        if key == "web_url" && !host.chars().all(plain) {
            let fault = Fault::new("this is more than scheme, name and port of a host");
            let fault = fault.hint("write for example \"https://github.com\"");
            checker.at(&place, format!("hive.{key}"), fault);
        }
    }
}

/// Refuses two repositories of one name, or of one remote: their tasks would be claimed twice.
fn same_repository(checker: &mut Checker<'_>) {
    for key in ["name", "url", "github"] {
        for index in 0..checker.repositories.len() {
            let entry = &checker.repositories[index];
            let Some(Setting { value: Value::Text(text), origin }) = entry.values.get(key) else {
                continue;
            };
            let earlier = checker.repositories[..index]
                .iter()
                .find(|earlier| earlier.values.text(key) == Some(text.as_str()));
            if let Some(earlier) = earlier {
                let label = format!("repository[#{}].{key}", index + 1);
                let line = earlier.line;
                let message = format!("the repository that begins on line {line} has the same");
                let origin = origin.clone();
                checker.at(&origin, label, Fault::new(message));
            }
        }
    }
}

/// Refuses a repository whose issues come from nowhere or from two places, and settings of GitHub
/// that nothing would come of.
fn task_source(checker: &mut Checker<'_>) {
    let mut faults = Vec::new();
    for (index, entry) in checker.repositories.iter().enumerate() {
        let (label, begins) = (entry.label(index), Origin::File { line: entry.line });
        // A key that was set badly is reported already.
        let set = |key: &str| entry.tried.contains(key);
        let lost = checker.is_lost("board") || checker.is_lost("github");
        let found = match (set("board"), set("github")) {
            (true, true) => vec![(
                "github",
                Fault::new("the issues come from the board already")
                    .hint("leave out board or github"),
            )],
            (false, false) if !lost => vec![(
                "",
                Fault::new("nothing says where its issues are").hint("set board or github"),
            )],
            (_, true) => github(&entry.values, &set),
            (_, false) => not_github(&set),
        };
        for (key, fault) in found {
            let place = entry.values.get(key).map(|setting| setting.origin.clone());
            let name = if key.is_empty() { label.clone() } else { format!("{label}.{key}") };
            faults.push((place.unwrap_or_else(|| begins.clone()), name, fault));
        }
    }
    for (origin, key, fault) in faults {
        checker.at(&origin, key, fault);
    }
}

/// Settings of GitHub in a repository that is not there.
fn not_github(set: &dyn Fn(&str) -> bool) -> Vec<(&'static str, Fault)> {
    let keys = GITHUB_KEYS.iter().copied().filter(|key| set(key));
    let fault = || {
        Fault::new("the repository is not one on GitHub")
            .hint("set github = \"OWNER/NAME\", or leave the key out")
    };
    keys.map(|key| (key, fault())).collect()
}

const GITHUB_KEYS: [&str; 5] =
    ["github_url", "github_draft", "github_app", "github_key_file", "github_installation"];

/// What is wrong with how GitHub is entered.
fn github(values: &Values, set: &dyn Fn(&str) -> bool) -> Vec<(&'static str, Fault)> {
    let mut found = Vec::new();
    match (set("token_file"), set("github_app"), set("github_key_file")) {
        (false, false, false) => {
            let fault = Fault::new("GitHub needs a token or an App to enter with");
            found.push(("github", fault.hint("set token_file, or github_app and its key file")));
        }
        (true, false, false) | (false, true, true) => {}
        (true, ..) => {
            let fault = Fault::new("the node enters as an App already");
            found.push(("token_file", fault.hint("leave out token_file, or the App's keys")));
        }
        (false, true, false) => {
            let fault = Fault::new("the App's private key is missing");
            found.push(("github_app", fault.hint("set github_key_file")));
        }
        (false, false, true) => {
            let fault = Fault::new("the App's number is missing");
            found.push(("github_key_file", fault.hint("set github_app")));
        }
    }
    if set("github_installation") && !set("github_app") {
        let fault = Fault::new("an installation is that of an App");
        found.push(("github_installation", fault.hint("set github_app, or leave it out")));
    }
    if values.text("github_url").is_some_and(is_open) {
        found.push(("github_url", Fault::new("a token is sent only over https")));
    }
    found
}

/// Whether others on the way could read what is sent to the address.
fn is_open(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    !["127.0.0.1", "localhost", "::1"].contains(&host)
}

/// Where Ollama listens if nobody says otherwise.
const OLLAMA_URL: &str = "http://127.0.0.1:11434";

/// Sets the defaults that depend on another key.
pub(super) fn dependent_defaults(checker: &mut Checker<'_>) {
    let ollama = value(checker, "reasoner", "kind") == Some(ReasonerKind::Ollama);
    if ollama && setting(checker, "reasoner", "url").is_none() {
        let value = Value::Text(OLLAMA_URL.to_owned());
        let setting = Setting { value, origin: Origin::Default };
        checker.sections.entry("reasoner").or_default().0.insert("url", setting);
    }
}
