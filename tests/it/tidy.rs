//! The rules of the house that no lint knows: lengths, names, what must be there, what must not.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// Lines of a file below `src/kernel`, without its tests.
const KERNEL_LINES: usize = 400;
/// Lines of any other file below `src`, without its tests.
const OTHER_LINES: usize = 600;
const COLUMNS: usize = 100;
/// Where the project's own files are; "" is its top without the folders there.
const FOLDERS: &[&str] = &[
    "",
    ".ci/",
    "benches/",
    "docs/",
    "fuzz/examples/",
    "fuzz/fuzz_targets/",
    "fuzz/src/",
    "schema/",
    "src/",
    "tests/",
    "tools/",
];
/// Beyond this a file is no text that people keep (a lock file, a fixture), and isn't read.
const FILE_BYTES: u64 = 1 << 20;

#[test]
fn the_project_is_tidy() {
    let tree = Tree::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(tree.files.len() > 50, "only {} files found", tree.files.len());
    let problems = tree.problems();
    assert!(problems.is_empty(), "untidy:\n{}", problems.join("\n"));
}

#[test]
fn the_scripts_parse() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = Tree::read(root);
    let mut parsed = 0;
    for (name, text) in &tree.files {
        let shell = match text.lines().next() {
            Some("#!/usr/bin/env bash") => "bash",
            Some("#!/bin/sh") => "sh",
            _ if name == "tools/lib.sh" => "bash",
            _ => continue,
        };
        let output = Command::new(shell).arg("-n").arg(root.join(name)).output();
        let output = output.expect("the shell can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} is no script of {shell}: {said}");
        parsed += 1;
    }
    assert!(parsed >= 6, "only {parsed} scripts found");
}

/// The files of the project by their path from its root; what isn't text is there as "".
struct Tree {
    files: BTreeMap<String, String>,
    /// Those whose owner may execute them.
    executable: Vec<String>,
}

impl Tree {
    fn read(root: &Path) -> Tree {
        let mut tree = Tree { files: BTreeMap::new(), executable: Vec::new() };
        for folder in FOLDERS {
            tree.read_folder(root, folder);
        }
        tree
    }

    fn read_folder(&mut self, root: &Path, folder: &str) {
        // A folder that isn't there yet has nothing untidy in it.
        let Ok(entries) = fs::read_dir(root.join(folder)) else {
            return;
        };
        for entry in entries {
            let entry = entry.expect("the entry can be read");
            let name = entry.file_name().into_string().expect("names are Unicode");
            let name = format!("{folder}{name}");
            let about = entry.metadata().expect("the entry can be looked at");
            if about.is_dir() {
                // At the top there may be more than the project: what was built, or left by a run.
                if !folder.is_empty() {
                    self.read_folder(root, &format!("{name}/"));
                }
            } else if about.is_file() {
                let small = about.len() <= FILE_BYTES;
                let text = small.then(|| fs::read(root.join(&name)).expect("it can be read"));
                let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
                if about.permissions().mode() & 0o100 != 0 {
                    self.executable.push(name.clone());
                }
                self.files.insert(name, text.unwrap_or_default());
            }
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, text) in &self.files {
            lengths(name, text, &mut problems);
            words(name, text, &mut problems);
            self.names(name, &mut problems);
            self.script(name, text, &mut problems);
        }
        self.documents(&mut problems);
        // A folder is looked at once for each of its files.
        problems.sort();
        problems.dedup();
        problems
    }

    /// One style of modules: a folder has its `mod.rs`. And every file of tests is compiled.
    fn names(&self, name: &str, problems: &mut Vec<String>) {
        let rust = name.starts_with("src/") && name != "src/lib.rs" && name.ends_with(".rs");
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        if rust && !matches!(folder, "src" | "src/bin") {
            if !self.files.contains_key(&format!("{folder}/mod.rs")) {
                problems.push(format!("{name}: its folder has no mod.rs"));
            }
            if self.files.contains_key(&format!("{folder}.rs")) {
                problems.push(format!("{folder}.rs: stands beside a folder of that name"));
            }
        }
        let (module, of_tests) = match name.strip_prefix("tests/it/") {
            Some(rest) if !rest.contains('/') => (file.strip_suffix(".rs"), true),
            Some(rest) => (rest.strip_suffix("/mod.rs"), true),
            None => (None, false),
        };
        if let Some(module) = module.filter(|module| of_tests && *module != "main") {
            let main = self.files.get("tests/it/main.rs").map_or("", String::as_str);
            if !main.lines().any(|line| line == format!("mod {module};")) {
                problems.push(format!("{name}: tests/it/main.rs has no `mod {module};`"));
            }
        }
    }

    /// The scripts of the project stop at their first failure and can be started.
    fn script(&self, name: &str, text: &str, problems: &mut Vec<String>) {
        let own = name.strip_prefix("tools/").is_some_and(|rest| !rest.contains('/'));
        if !own && name != ".ci/run" {
            return;
        }
        let runs = text.starts_with("#!");
        if !runs && name != "tools/lib.sh" {
            return;
        }
        if runs && !text.starts_with("#!/usr/bin/env bash\n# ") {
            problems.push(format!("{name}: doesn't begin with bash and what it is for"));
        }
        if runs && !self.executable.iter().any(|file| file == name) {
            problems.push(format!("{name}: isn't executable"));
        }
        if !text.lines().any(|line| line == "set -euo pipefail") {
            problems.push(format!("{name}: has no `set -euo pipefail`"));
        }
    }

    /// What every reader looks for.
    fn documents(&self, problems: &mut Vec<String>) {
        for name in [
            "README.md",
            "CHANGELOG.md",
            "LICENSE-APACHE",
            "LICENSE-MIT",
            "docs/ARCHITECTURE.md",
            "docs/decisions.md",
            "docs/bzzz.toml",
        ] {
            if self.files.get(name).is_none_or(|text| text.trim().is_empty()) {
                problems.push(format!("{name}: is missing or empty"));
            }
        }
        let Some(readme) = self.files.get("README.md") else {
            return;
        };
        let mut lines = readme.lines();
        let paragraph = |line: &str| !line.is_empty() && !line.starts_with(['#', '-', '|', '`']);
        if lines.next() != Some("# bzzz")
            || lines.next() != Some("")
            || !lines.next().is_some_and(paragraph)
        {
            problems.push("README.md: begins with `# bzzz` and a paragraph of what it is".into());
        }
        for command in ["tools/demo", "tools/test", "bzzz-verify", "bzzz-replay"] {
            if !readme.contains(command) {
                problems.push(format!("README.md: doesn't name {command}"));
            }
        }
    }
}

/// Lines and columns. Columns are for the project's own code, not for what it keeps as data.
fn lengths(name: &str, text: &str, problems: &mut Vec<String>) {
    let rust = name.ends_with(".rs");
    let script = text.starts_with("#!") && !name.starts_with("tools/sample/");
    if rust || script {
        for (line, text) in text.lines().enumerate() {
            let columns = text.chars().count();
            if columns > COLUMNS {
                let line = line + 1;
                problems.push(format!("{name}:{line}: {columns} columns, {COLUMNS} are allowed"));
            }
        }
    }
    let of_tests = name.ends_with("/tests.rs") || name.contains("/tests/");
    if rust && name.starts_with("src/") && !of_tests {
        let allowed = if name.starts_with("src/kernel/") { KERNEL_LINES } else { OTHER_LINES };
        let lines = lines_without_tests(text);
        if lines > allowed {
            problems.push(format!("{name}: {lines} lines without tests, {allowed} are allowed"));
        }
    }
}

/// The lines of a file without the items that are `#[cfg(test)]` at its left margin.
fn lines_without_tests(text: &str) -> usize {
    let mut counted = 0;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            counted += 1;
            continue;
        }
        // The item ends with the first line at the margin that closes it.
        _ = lines.find(|line| {
            *line == "}" || (!line.starts_with([' ', '#']) && line.ends_with([';', '}']))
        });
    }
    counted
}

/// Words that are a promise to come back, and paths of one machine.
fn words(name: &str, text: &str, problems: &mut Vec<String>) {
    // In pieces, since this file is read as well.
    let promises = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let homes = [concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/ho", "me/")];
    if name == "Cargo.lock" || name.starts_with("LICENSE-") {
        return;
    }
    for (line, text) in text.lines().enumerate() {
        let line = line + 1;
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if promises.contains(&word) {
                problems.push(format!("{name}:{line}: {word} is a promise: do it, or file it"));
            }
        }
        for home in homes {
            // The user of the sandbox's image, and a place below a transcript's `[CWD]`.
            let found = text.split_once(home);
            let fine =
                |(before, rest): (&str, &str)| before.ends_with(']') || rest.starts_with("agent");
            if found.is_some_and(|found| !fine(found)) {
                problems.push(format!("{name}:{line}: {home} is a path of one machine"));
            }
        }
    }
}

/// Each rule catches a made-up untidy file, and lets the like of it pass that is right.
mod made_up {
    use super::{Tree, lines_without_tests};
    use std::collections::BTreeMap;

    fn problems(files: &[(&str, &str)], executable: &[&str]) -> Vec<String> {
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let mut all: BTreeMap<_, _> = files.iter().map(own).collect();
        // A project with nothing wrong.
        for name in [
            "CHANGELOG.md",
            "LICENSE-APACHE",
            "LICENSE-MIT",
            "docs/ARCHITECTURE.md",
            "docs/decisions.md",
            "docs/bzzz.toml",
        ] {
            all.entry(name.to_owned()).or_insert_with(|| "text".to_owned());
        }
        let readme = "# bzzz\n\nA paragraph.\n`tools/demo` `tools/test` bzzz-verify bzzz-replay";
        all.entry("README.md".to_owned()).or_insert_with(|| readme.to_owned());
        let executable = executable.iter().map(|name| (*name).to_owned()).collect();
        Tree { files: all, executable }.problems()
    }

    #[track_caller]
    fn caught(name: &str, text: &str, problem: &str) {
        let said = problems(&[(name, text)], &[]);
        assert!(said.iter().any(|said| said.contains(problem)), "{name}: {said:?}");
    }

    #[track_caller]
    fn fine(name: &str, text: &str) {
        assert_eq!(problems(&[(name, text)], &[name]), Vec::<String>::new(), "{name}");
    }

    #[test]
    fn long_files_and_lines() {
        let lines = |count: usize| "// a line\n".repeat(count);
        let kernel = [("src/kernel/log/mod.rs", lines(401)), ("src/kernel/mod.rs", lines(400))];
        let kernel = kernel.each_ref().map(|(name, text)| (*name, text.as_str()));
        assert_eq!(problems(&kernel, &[]).len(), 1);
        caught("src/net.rs", &lines(601), "601 lines without tests, 600 are allowed");
        let tests = "#[cfg(test)]\nmod tests {\n    fn f() {\n    }\n}\n";
        fine("src/net.rs", &format!("{}{tests}", lines(600)));
        caught("src/net.rs", &format!("{tests}{}", lines(601)), "601 lines");
        assert_eq!(lines_without_tests("a\n#[cfg(test)]\nmod tests;\nb\n"), 2);
        assert_eq!(lines_without_tests("#[cfg(test)]\n#[path = \"x\"]\nuse a;\nb\nc\n"), 2);
        caught("tests/a.rs", &"é".repeat(101), "a.rs:1: 101 columns");
        fine("tests/a.rs", &"é".repeat(100));
        fine("docs/a.md", &"a".repeat(200));
    }

    #[test]
    fn modules_and_tests_that_are_not_where_they_belong() {
        caught("src/kernel/log/tile.rs", "", "src/kernel/log/tile.rs: its folder has no mod.rs");
        let beside = [("src/net/mod.rs", ""), ("src/net/a.rs", ""), ("src/net.rs", "")];
        assert_eq!(problems(&beside, &[]), ["src/net.rs: stands beside a folder of that name"]);
        caught("tests/it/claims.rs", "", "tests/it/main.rs has no `mod claims;`");
        caught("tests/it/sim/mod.rs", "", "tests/it/main.rs has no `mod sim;`");
        let listed = [("tests/it/claims.rs", ""), ("tests/it/main.rs", "mod claims;")];
        assert_eq!(problems(&listed, &[]), Vec::<String>::new());
    }

    #[test]
    fn promises_and_paths_of_one_machine() {
        let promise = concat!("// FIX", "ME: later");
        caught("src/net.rs", promise, "src/net.rs:1: FIX");
        fine("src/net.rs", "// mktemp /tmp/bzzz.XXXXXX, Todo");
        caught("docs/a.md", concat!("\nsee /ho", "me/ada/bzzz"), "docs/a.md:2: ");
        caught("tools/a", concat!("#!/usr/bin/env bash\n# x\ncd /ro", "ot/x"), "tools/a:3: ");
        fine("docs/a.md", concat!("HOME=/ho", "me/agent and root:/root:/bin/sh"));
    }

    #[test]
    fn scripts_that_go_on_after_a_failure() {
        caught("tools/a", "#!/usr/bin/env bash\n# x\n", "tools/a: has no `set -euo pipefail`");
        caught("tools/a", "#!/usr/bin/env bash\n# x\nset -euo pipefail\n", "isn't executable");
        caught("tools/a", "#!/bin/sh\n# x\nset -euo pipefail\n", "doesn't begin with bash");
        caught(".ci/run", "#!/usr/bin/env bash\nset -euo pipefail\n", "what it is for");
        caught("tools/lib.sh", "# x\n", "tools/lib.sh: has no `set -euo pipefail`");
        fine("tools/a", "#!/usr/bin/env bash\n# What it does.\nset -euo pipefail\n");
        fine("tools/sample/run.sh", "#!/bin/sh\n");
        fine("tools/sample-script.json", "{}");
    }

    #[test]
    fn documents_that_are_missing() {
        caught("README.md", "bzzz\n", "README.md: begins with");
        caught("README.md", "# bzzz\n\n## Install\n", "README.md: begins with");
        caught("README.md", "# bzzz\n\nIt is.\n", "README.md: doesn't name tools/demo");
        caught("CHANGELOG.md", "\n", "CHANGELOG.md: is missing or empty");
        fine("docs/a.md", "text");
    }
}
