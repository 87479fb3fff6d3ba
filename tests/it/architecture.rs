//! Which module may import which: every path in `src` against the table of layers.
//!
//! The checker reads text, not a compiler's output, so that it also sees code that is left out of
//! a build by a feature or a platform. It strips comments and strings, takes every path apart
//! (grouped, renamed, inline), and resolves `crate`, `self` and `super` to modules. Paths within
//! doc comments are free to point anywhere.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The table: a layer, and the modules that it may import besides itself. The layer of a module is
/// the longest entry that it lies in.
const LAYERS: &[(&str, &[&str])] = &[
    ("kernel", &[]),
    ("kernel::identity", &[]),
    ("kernel::log", &["kernel::identity"]),
    ("kernel::event", &["kernel::identity", "kernel::log"]),
    ("kernel::sync", &["kernel::identity", "kernel::log"]),
    ("kernel::fold", &["kernel::identity", "kernel::log", "kernel::event"]),
    ("kernel::agent", &["kernel::identity", "kernel::log", "kernel::event", "kernel::fold"]),
    ("kernel::audit", &["kernel::identity", "kernel::log", "kernel::event", "kernel::fold"]),
    ("store", &["kernel::identity", "kernel::log"]),
    ("net", &["kernel::identity", "kernel::log", "kernel::sync"]),
    ("integrations", &["kernel::event", "kernel::agent"]),
    ("engine", &["kernel", "store"]),
    ("node", &["kernel", "store", "net", "integrations", "engine"]),
    ("web", &["kernel", "engine"]),
    ("cli", &["kernel", "engine", "node", "web"]),
    // The auditor's part of the command line: what it links can be read in an afternoon.
    ("cli::verify", &["kernel"]),
    ("cli::replay", &["kernel"]),
    ("bin", &["kernel", "engine", "node", "web", "cli"]),
];

/// The adapters of the outside world never import each other, but for those of one family.
const FAMILIES: &[&[&str]] =
    &[&["sandbox", "docker", "process"], &["reasoner", "ollama", "openai", "scripted"]];
/// What every adapter of the outside world may import.
const COMMON: &[&str] = &["integrations::http", "integrations::task"];

/// What the kernel must not reach: each would make one run differ from the next.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::env",
    "std::process",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::collections::hash_map",
    "std::collections::hash_set",
    "std::hash::RandomState",
    "tokio",
    "futures",
    "libp2p",
    "rocksdb",
    "reqwest",
    "bollard",
    "axum",
    "getrandom",
    "rand",
    "libc",
];
const IMPURE_WORDS: &[&str] = &["HashMap", "HashSet", "Instant", "SystemTime", "async", "await"];

#[test]
fn every_import_goes_by_the_table_of_layers() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 20, "only {} files found in {}", files.len(), src.display());
    let mut said = String::new();
    let mut paths = 0;
    for file in files {
        let name = file.strip_prefix(&src).expect("it was found below src");
        let name = name.to_str().expect("names in src are ASCII");
        let text = fs::read_to_string(&file).expect("a source file can be read");
        paths += Source::read(name, &text).paths.len();
        for problem in check(name, &text) {
            writeln!(said, "src/{name}:{problem}").expect("a string takes all");
        }
    }
    assert!(paths > 100, "only {paths} paths found: the checker reads the source wrongly");
    assert!(said.is_empty(), "against the table of layers:\n{said}");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("the entry can be read").path())
        .collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, files);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
}

/// Every line of `text`, the file `name` below `src`, that breaks a rule: "LINE: what and why".
fn check(name: &str, text: &str) -> Vec<String> {
    let module = module_of(name);
    if module.is_empty() {
        // lib.rs is the map: it names all.
        return Vec::new();
    }
    let source = Source::read(name, text);
    let mut problems = source.problems;
    // A new part of the kernel needs a row of its own: it must not import all of it.
    let layer = layer_of(&module).filter(|layer| layer != "kernel" || module == "kernel");
    let Some(layer) = layer else {
        problems.push(format!("1: module `{module}` is in no layer of the table"));
        return problems;
    };
    for path in &source.paths {
        if let Some(target) = &path.module {
            if !allowed(&layer, target) {
                problems.push(format!("{}: {layer} may not import {target}", path.line));
            }
        } else if layer.starts_with("kernel") {
            let text = path.text.replacen("core::", "std::", 1).replacen("alloc::", "std::", 1);
            if IMPURE.iter().any(|impure| lies_in(&text, impure) || glob_reaches(&text, impure)) {
                problems.push(format!("{}: the kernel is pure and may not use {text}", path.line));
            }
        }
    }
    if layer.starts_with("kernel") {
        for (line, word) in &source.words {
            if IMPURE_WORDS.contains(&word.as_str()) {
                problems.push(format!("{line}: the kernel is pure and has no {word}"));
            }
        }
    }
    problems
}

/// `kernel/fold/order.rs` is `kernel::fold::order`, and `kernel/fold/mod.rs` is `kernel::fold`.
fn module_of(name: &str) -> String {
    let name = name.strip_suffix(".rs").unwrap_or(name);
    let name = name.strip_suffix("/mod").unwrap_or(name);
    if name == "lib" { String::new() } else { name.replace('/', "::") }
}

/// The layer of a module: for adapters of the outside world, each is its own.
fn layer_of(module: &str) -> Option<String> {
    if let Some(rest) = module.strip_prefix("integrations::") {
        return Some(format!("integrations::{}", rest.split("::").next().unwrap_or(rest)));
    }
    let layers = LAYERS.iter().map(|(layer, _)| *layer).filter(|layer| lies_in(module, layer));
    layers.max_by_key(|layer| layer.len()).map(str::to_owned)
}

fn allowed(layer: &str, target: &str) -> bool {
    if lies_in(target, layer) {
        return true;
    }
    if let Some(adapter) = layer.strip_prefix("integrations::") {
        let family = FAMILIES.iter().find(|family| family.contains(&adapter));
        let kin = |name: &&str| lies_in(target, &format!("integrations::{name}"));
        let common = COMMON.iter().any(|common| lies_in(target, common));
        if common || family.is_some_and(|family| family.iter().any(kin)) {
            return true;
        }
    }
    let row = if layer.starts_with("integrations::") { "integrations" } else { layer };
    // What is in a module of `cli` that all its parts share may be used by the auditor's parts.
    let shared = layer.starts_with("cli::") && target.starts_with("cli::");
    let table = LAYERS.iter().find(|(name, _)| *name == row).map_or(&[][..], |(_, may)| may);
    shared || table.iter().any(|may| lies_in(target, may))
}

/// True if `path` is `module` or below it.
fn lies_in(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// True if `path` ends with `*` and so brings `impure` into reach.
fn glob_reaches(path: &str, impure: &str) -> bool {
    path.strip_suffix("::*").is_some_and(|parent| lies_in(impure, parent))
}

/// A path of the source: where it is, what it says, and, if it leads into this crate, where to.
struct Found {
    line: usize,
    text: String,
    module: Option<String>,
}

#[derive(Default)]
struct Source {
    paths: Vec<Found>,
    words: Vec<(usize, String)>,
    problems: Vec<String>,
}

impl Source {
    fn read(name: &str, text: &str) -> Source {
        let tokens = tokens(text);
        let binary = name.starts_with("bin/");
        let mut source = Source::default();
        // The modules that are open in this file, innermost last, each with its depth of braces.
        let mut open = vec![(module_of(name), 0)];
        let mut depth = 0;
        let mut at = 0;
        while at < tokens.len() {
            let (line, token) = &tokens[at];
            match token.as_str() {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if open.len() > 1 && open.last().is_some_and(|(_, from)| *from > depth) {
                        open.pop();
                    }
                }
                "mod" if tokens.get(at + 2).is_some_and(|(_, next)| next == "{") => {
                    let inner = format!("{}::{}", open[open.len() - 1].0, tokens[at + 1].1);
                    open.push((inner, depth + 1));
                    at += 1;
                }
                // `pub(crate)`, `pub(super)`: who may see it, not where from.
                "pub" if is_restricted(&tokens[at..]) => {
                    let within = tokens[at..].iter().take_while(|(_, token)| token != ")");
                    at += within.count();
                }
                word if is_word(word) => {
                    source.words.push((*line, word.to_owned()));
                    let mut texts = Vec::new();
                    let end = path(&tokens, at, "", &mut texts);
                    for (line, text) in texts {
                        let here = &open[open.len() - 1].0;
                        source.found(line, text, here, binary);
                    }
                    // The words inside a path count as well.
                    for (line, token) in &tokens[at + 1..end] {
                        if is_word(token) {
                            source.words.push((*line, token.clone()));
                        }
                    }
                    at = end - 1;
                }
                _ => {}
            }
            at += 1;
        }
        source
    }

    fn found(&mut self, line: usize, text: String, here: &str, binary: bool) {
        if text.starts_with("super::super::super") {
            self.problems.push(format!("{line}: {text} climbs too far; begin with crate::"));
        }
        let crates = ["crate", if binary { "bzzz" } else { "crate" }];
        let (first, rest) = text.split_once("::").unwrap_or((&text, ""));
        let mut module = match first {
            // A method's own value.
            "self" if rest.is_empty() => return,
            name if crates.contains(&name) => Vec::new(),
            "self" | "super" => here.split("::").collect(),
            _ if rest.is_empty() => return,
            _ => {
                self.paths.push(Found { line, text, module: None });
                return;
            }
        };
        let mut leading = first == "super";
        if leading {
            module.pop();
        }
        for segment in rest.split("::").filter(|segment| !segment.is_empty()) {
            match segment {
                "super" if leading => _ = module.pop(),
                "self" | "*" => leading = false,
                name => {
                    leading = false;
                    module.push(name);
                }
            }
        }
        let module = module.join("::");
        // A constant, a macro or a function of lib.rs: there are none.
        let module = if module.is_empty() { "crate".to_owned() } else { module };
        self.paths.push(Found { line, text, module: Some(module) });
    }
}

/// True if the tokens begin with `pub(crate)`, `pub(super)`, `pub(self)` or `pub(in ...)`.
fn is_restricted(tokens: &[(usize, String)]) -> bool {
    let scopes = ["crate", "super", "self", "in"];
    match tokens {
        [_, (_, open), (_, scope), ..] => open == "(" && scopes.contains(&scope.as_str()),
        _ => false,
    }
}

/// Reads the path that begins at `at`, with its groups, into `texts`; says where it ends.
fn path(
    tokens: &[(usize, String)],
    at: usize,
    before: &str,
    texts: &mut Vec<(usize, String)>,
) -> usize {
    let (line, first) = &tokens[at];
    let mut text = format!("{before}{first}");
    let mut at = at + 1;
    while tokens.get(at).is_some_and(|(_, token)| token == "::") {
        match tokens.get(at + 1).map(|(_, token)| token.as_str()) {
            Some(token) if is_word(token) || token == "*" => {
                text = format!("{text}::{token}");
                at += 2;
            }
            Some("{") => return group(tokens, at + 2, &format!("{text}::"), texts),
            // A turbofish, or the end of the file.
            _ => break,
        }
    }
    texts.push((*line, text));
    at
}

/// Reads the members of a group, from behind its brace; says where the group ends.
fn group(
    tokens: &[(usize, String)],
    mut at: usize,
    before: &str,
    texts: &mut Vec<(usize, String)>,
) -> usize {
    while let Some((line, token)) = tokens.get(at) {
        match token.as_str() {
            "}" => return at + 1,
            "*" => {
                texts.push((*line, format!("{before}*")));
                at += 1;
            }
            // The new name of a renamed member is no path.
            "as" => at += 2,
            token if is_word(token) => at = path(tokens, at, before, texts),
            _ => at += 1,
        }
    }
    at
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

/// The words and marks of the source, with their lines; without comments, strings and characters.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = match rest[0] {
            b'/' if rest.starts_with(b"//") => until(rest, b"\n").saturating_sub(1).max(2),
            b'/' if rest.starts_with(b"/*") => block_comment(rest),
            b'"' => quoted(rest, 1),
            b'r' | b'b' | b'c' if raw_string(rest) > 0 => raw_string(rest),
            b'b' if rest.starts_with(b"b'") => character(&rest[1..]) + 1,
            b'\'' => character(rest),
            first if first.is_ascii_alphabetic() || first == b'_' => {
                let inside = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                let length = rest.iter().take_while(|byte| inside(byte)).count();
                tokens.push((line, text[at..at + length].to_owned()));
                length
            }
            // A number, so that its suffix doesn't count as a word.
            first if first.is_ascii_digit() => {
                let inside = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                rest.iter().take_while(|byte| inside(byte)).count()
            }
            b':' if rest.starts_with(b"::") => {
                tokens.push((line, "::".to_owned()));
                2
            }
            first => {
                if !first.is_ascii_whitespace() && first.is_ascii() {
                    tokens.push((line, char::from(first).to_string()));
                }
                1
            }
        };
        line += rest[..length.min(rest.len())].iter().filter(|byte| **byte == b'\n').count();
        at += length;
    }
    tokens
}

/// How many bytes up to and with the first `mark`.
fn until(bytes: &[u8], mark: &[u8]) -> usize {
    let found = bytes.windows(mark.len()).position(|window| window == mark);
    found.map_or(bytes.len(), |position| position + mark.len())
}

/// Block comments nest.
fn block_comment(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 && at < bytes.len() {
        let (step, change) = match &bytes[at..] {
            [b'*', b'/', ..] => (2, -1),
            [b'/', b'*', ..] => (2, 1),
            _ => (1, 0),
        };
        at += step;
        depth += change;
    }
    at
}

fn quoted(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// The length of a string with a prefix (`r`, `r#`, `b`, `br#`, `c` ...), or 0 if none begins.
fn raw_string(bytes: &[u8]) -> usize {
    let prefix = bytes.iter().take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count();
    let hashes = bytes[prefix..].iter().take_while(|byte| **byte == b'#').count();
    if prefix > 2 || bytes.get(prefix + hashes) != Some(&b'"') {
        return 0;
    }
    if !bytes[..prefix].contains(&b'r') {
        return if hashes == 0 { quoted(bytes, prefix + 1) } else { 0 };
    }
    let begin = prefix + hashes + 1;
    let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    begin + until(&bytes[begin..], &end)
}

/// The length of a character such as `'a'`, `'\''` or `'{'`; of a lifetime only its mark.
fn character(bytes: &[u8]) -> usize {
    if bytes.get(1) == Some(&b'\\') {
        return 3 + until(bytes.get(3..).unwrap_or_default(), b"'");
    }
    let text = String::from_utf8_lossy(&bytes[1..bytes.len().min(8)]);
    let first = text.chars().next().map_or(0, char::len_utf8);
    if bytes.get(1 + first) == Some(&b'\'') { first + 2 } else { 1 }
}

/// Each rule catches a made-up bad file, and lets the like of it pass that is right.
mod made_up {
    use super::{check, tokens};

    /// A case is a line: the file, its text and, if it is bad, what must be said of it; between
    /// bars. In the text `\n` stands for the end of a line.
    #[track_caller]
    fn cases(table: &str) {
        for case in table.lines().map(str::trim).filter(|case| !case.is_empty()) {
            let mut parts = case.split(" | ");
            let name = parts.next().expect("a case begins with a file");
            let text = parts.next().expect("a case has a text");
            let problems = check(name, &text.replace("\\n", "\n"));
            match parts.next() {
                None => assert_eq!(problems, Vec::<String>::new(), "{case}"),
                Some(problem) => {
                    let said = problems.iter().any(|said| said.contains(problem));
                    assert!(said, "{case}: {problems:?}");
                }
            }
        }
    }

    #[test]
    fn the_kernel_imports_downwards_only() {
        cases(
            "
            kernel/log/mod.rs | use crate::kernel::fold::A; | 1: kernel::log may not import kernel
            kernel/sync/wire.rs | use crate::kernel::event::Event; | kernel::sync may not import
            kernel/identity/mod.rs | fn f(l: crate::kernel::log::Leaf) {} | kernel::log::Leaf
            kernel/fold/mod.rs | use crate::engine::Engine; | may not import engine::Engine
            kernel/fold/mod.rs | use crate::kernel as k; | may not import kernel
            kernel/fold/task.rs | use crate::kernel::{event::Event, log::{self, Leaf}};
            kernel/log/mod.rs | pub(super) struct A; pub(crate) fn f() {}
            kernel/log/mod.rs | struct A(pub (u8, crate::kernel::fold::B)); | kernel::fold
            kernel/log/mod.rs | struct A(pub(super) crate::kernel::fold::B); | kernel::fold
            kernel/mod.rs | pub use self::identity::Key; pub mod fold;
            ",
        );
    }

    #[test]
    fn groups_and_lines_and_renames_are_seen() {
        cases(
            "
            store/a.rs | use crate::kernel::{\\nlog::Leaf,\\nagent::{f as d, B}}; | 3: store may not
            store/a.rs | use crate::kernel::{\\nlog::Leaf,\\nagent::{f as d, B}}; | kernel::agent::B
            store/a.rs | use crate::kernel::log::{Leaf as node, Path};
            net/mod.rs | use crate::{engine, kernel::sync::Machine}; | import engine
            net/mod.rs | use crate::*; | may not import crate
            engine/mod.rs | fn f() { crate::net::start::<u8>(); } | import net::start
            engine/mod.rs | pub(crate) use crate::node::Config; | import node::Config
            engine/mod.rs | fn f(a: &crate::node::A<crate::web::B>) {} | import web::B
            ",
        );
    }

    #[test]
    fn relative_paths_are_resolved() {
        cases(
            "
            kernel/log/mod.rs | use super::fold::Order; | may not import kernel::fold
            kernel/log/tile.rs | use super::super::fold::Order; | import kernel::fold
            kernel/log/mod.rs | use super::*; | may not import kernel
            kernel/log/mod.rs | mod tests { use super::super::event::Event; } | kernel::event
            kernel/log/mod.rs | mod tests { use super::*; } use super::event::A; | kernel::event
            kernel/log/mod.rs | #[cfg(test)] mod tests { use super::*; use super::Leaf; }
            kernel/log/mod.rs | mod a { mod b {} } use super::identity::Key;
            kernel/log/tile.rs | use super::proof::Path; fn f(&self) { self.x }
            kernel/log/tree/tile.rs | use super::super::super::store::Memory; | climbs too far
            ",
        );
    }

    #[test]
    fn adapters_do_not_import_each_other() {
        cases(
            "
            store/rocksdb.rs | use crate::net::Peer; | store may not import net::Peer
            net/mod.rs | use crate::store::Memory; | net may not import store::Memory
            web/mod.rs | use crate::node::Node; | web may not import node::Node
            node/mod.rs | use crate::web::Server; | node may not import web::Server
            node/mod.rs | use crate::cli::Arguments; | node may not import cli::Arguments
            node/mod.rs | use crate::{net::Net, integrations::git::Mirror, store::Memory};
            web/api.rs | use crate::{engine::Engine, kernel::fold::SwarmState};
            ",
        );
    }

    #[test]
    fn integrations_keep_apart_but_for_families() {
        cases(
            "
            integrations/git/mod.rs | use super::local::Board; | may not import integrations::local
            integrations/git/mod.rs | use crate::integrations::docker::A; | may not import
            integrations/docker.rs | use crate::kernel::fold::SwarmState; | kernel::fold
            integrations/scripted.rs | use super::sandbox::Limits; | may not import
            integrations/git.rs | use super::Anything; | may not import
            integrations/git/run.rs | use super::GitError; use crate::kernel::event::CommitId;
            integrations/docker.rs | use super::sandbox::{Chunk, Limits};
            integrations/sandbox.rs | use crate::integrations::{docker, process};
            integrations/scripted.rs | use super::ollama::ModelRequest; use super::http::get;
            integrations/mod.rs | pub mod git; pub use self::git::Mirror;
            ",
        );
    }

    #[test]
    fn the_auditors_command_line_reaches_the_kernel_only() {
        cases(
            "
            cli/verify.rs | use crate::engine::Engine; | cli::verify may not import engine
            cli/replay/mod.rs | use crate::node::Node; | cli::replay may not import node
            cli/verify.rs | use super::output::Table; use crate::kernel::audit::verify;
            cli/up.rs | use crate::node::Node; use super::verify::Report;
            cli/up.rs | use crate::store::Memory; | cli may not import store::Memory
            bin/bzzz.rs | fn main() { bzzz::store::open(); } | bin may not import store
            bin/bzzz-verify.rs | use bzzz::net::Net; | may not import net::Net
            bin/bzzz.rs | fn main() -> std::process::ExitCode { bzzz::cli::main() }
            ",
        );
    }

    #[test]
    fn the_kernel_is_pure() {
        cases(
            "
            kernel/fold/mod.rs | use std::fs; | is pure
            kernel/fold/mod.rs | use std::{fmt, net::TcpStream}; | is pure
            kernel/fold/mod.rs | fn f() { std::thread::sleep(d) } | is pure
            kernel/fold/mod.rs | use std::time::{Duration, Instant}; | is pure
            kernel/fold/mod.rs | use std::time::*; | is pure
            kernel/fold/mod.rs | use core::time; fn f() { time::SystemTime::now() } | is pure
            kernel/fold/mod.rs | use std::time as t; fn f() { t::Instant::now() } | is pure
            kernel/fold/mod.rs | fn f() { std::env::var(name) } | is pure
            kernel/fold/mod.rs | use std::process::Command; | is pure
            kernel/fold/mod.rs | use tokio::sync::mpsc; | is pure
            kernel/fold/mod.rs | use std::collections::{BTreeMap, HashMap}; | is pure
            kernel/fold/mod.rs | fn f(m: &HashMap<u8, u8>) {} | is pure
            kernel/fold/mod.rs | use std::collections::*; | is pure
            kernel/fold/mod.rs | async fn f() {} | is pure
            kernel/fold/mod.rs | fn f() { async move {} } | is pure
            kernel/fold/mod.rs | use rand::rng; | is pure
            kernel/fold/mod.rs | use std::time::Duration; use std::collections::BTreeMap;
            node/mod.rs | use tokio::fs; use std::time::Instant; async fn f() {}
            ",
        );
    }

    #[test]
    fn a_new_module_needs_a_row() {
        cases(
            "
            misc/mod.rs | fn f() {} | in no layer
            utilities.rs | fn f() {} | in no layer
            kernel/utilities.rs | fn f() {} | in no layer
            lib.rs | pub mod kernel;
            ",
        );
    }

    #[test]
    fn comments_strings_and_characters_are_no_code() {
        cases(
            r##"
            kernel/log/a.rs | //! [`crate::node`]\n/* use /* crate::net */ crate::web; */
            kernel/log/a.rs | const A: &str = "crate::net \" std::fs"; const B: char = '"';
            kernel/log/a.rs | const A: &str = r#"crate::net "std::fs" "#;
            kernel/log/a.rs | const A: (u8, &[u8]) = (b'"', b"std::fs");
            kernel/log/a.rs | fn f<'a>(x: &'a u8) { q == '\''; q == '{' }\nuse crate::net::A; | 2:
            kernel/log/a.rs | const A: char = '\\';\nuse crate::net::A; | 2: kernel
            kernel/log/a.rs | const A: char = '\u{7d}'; use super::identity::Key; mod a {}
            kernel/log/a.rs | const A: &str = "\n\n";\n// x\nuse crate::net::A; | 5: kernel
            "##,
        );
        assert_eq!(tokens("a::b /* */ 'x' c\"d\" 1u8").len(), 3);
    }
}
