//! What a repository's own file asks for its sandbox, held against what the node grants.
//!
//! ```toml
//! # .bzzz.toml
//! [sandbox]
//! memory_mib = 512
//! setup = ["make deps"]
//! ```
//!
//! The file is read from the objects of git, at the commit whose files the sandbox gets, and never
//! in the sandbox. It was written by whoever may write to the repository, so it can only tighten:
//! what it asks for beyond the node's own settings, or in a form that is not known, is not granted
//! and named, and the node's own value stands. `docs/sandbox.md` has the keys.

use toml_edit::{DocumentMut, Item, TableLike};

use super::consent::{FILE, MAX_FILE};
use crate::integrations::git::{GitError, Mirror};
use crate::integrations::sandbox::{Egress, Hosts, Limits};
use crate::kernel::agent::Settings;
use crate::kernel::event::CommitId;

/// The most commands that prepare a sandbox.
const MAX_SETUP: usize = 32;

/// The longest of them, in bytes: as much as an event keeps.
const MAX_COMMAND: usize = 1024;

/// The most hosts that are read.
const MAX_HOSTS: usize = 64;

/// The most complaints that are kept.
const MAX_DENIED: usize = 32;

/// The longest part of a complaint that the file itself gives, in characters.
const MAX_QUOTED: usize = 80;

const MIB: u64 = 1 << 20;

/// What the node grants at most.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) limits: Limits,
    /// The image of its containers, if it has any.
    pub(super) image: Option<String>,
    /// Further images that a repository may ask for.
    pub(super) images: Vec<String>,
    /// The hosts that commands may reach.
    pub(super) egress: Hosts,
    /// The bytes of one command that go there and back.
    pub(super) egress_bytes: u64,
}

/// What a sandbox is made with.
#[derive(Clone, Debug)]
pub(super) struct Granted {
    pub(super) limits: Limits,
    /// The image of its container, if it is one.
    pub(super) image: Option<String>,
    /// What its commands may reach.
    pub(super) egress: Egress,
    /// What the file said; none where there is no file, or none about the sandbox.
    pub(super) settings: Option<Settings>,
}

/// Reads the file of a commit.
///
/// # Errors
/// If git fails. A file that cannot be used is no error: it is named in the settings.
pub(super) async fn of(mirror: &Mirror, commit: &CommitId, own: &Own) -> Result<Granted, GitError> {
    match mirror.read_file(commit, FILE, MAX_FILE).await {
        Ok(None) => Ok(Reader::new(own).granted(false)),
        Ok(Some(bytes)) => Ok(read(&bytes, own)),
        Err(error @ (GitError::TooLarge { .. } | GitError::BadPath { .. })) => {
            Ok(unusable(own, &error.to_string()))
        }
        Err(error) => Err(error),
    }
}

fn unusable(own: &Own, why: &str) -> Granted {
    let mut reader = Reader::new(own);
    reader.deny(format!("the file is not used: {}", why.replace('\n', " ")));
    reader.granted(true)
}

fn read(bytes: &[u8], own: &Own) -> Granted {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return unusable(own, "it is not UTF-8");
    };
    let document: DocumentMut = match text.parse() {
        Ok(document) => document,
        Err(error) => return unusable(own, &error.to_string()),
    };
    let mut reader = Reader::new(own);
    match document.get("sandbox").map(Item::as_table_like) {
        None => return reader.granted(false),
        Some(None) => reader.deny("sandbox is a table: write [sandbox]".to_owned()),
        Some(Some(table)) => reader.table(table),
    }
    reader.granted(true)
}

/// Goes through the table, and collects what is granted and what is not.
struct Reader<'a> {
    own: &'a Own,
    limits: Limits,
    image: Option<String>,
    egress: Hosts,
    setup: Vec<String>,
    denied: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(own: &'a Own) -> Self {
        let (limits, image, egress) = (own.limits, own.image.clone(), own.egress.clone());
        Self { own, limits, image, egress, setup: Vec::new(), denied: Vec::new() }
    }

    fn deny(&mut self, complaint: String) {
        if self.denied.len() < MAX_DENIED {
            self.denied.push(complaint);
        }
    }

    fn table(&mut self, table: &dyn TableLike) {
        for (key, item) in table.iter() {
            match key {
                "image" => self.image(item),
                "network" => self.network(item),
                "setup" => self.setup(item),
                _ => self.number(key, item),
            }
        }
    }

    fn number(&mut self, key: &str, item: &Item) {
        let own = self.own.limits;
        let most = match key {
            "memory_mib" => own.memory_bytes / MIB,
            "cpus_milli" => u64::from(own.cpus_milli),
            "processes" => u64::from(own.processes),
            "disk_mib" => own.disk_bytes / MIB,
            "output_kib" => own.output_bytes / 1024,
            "command_seconds" => u64::from(own.command_seconds),
            _ => return self.deny(format!("there is no key {:?}", quoted(key))),
        };
        let Some(asked) = item.as_integer().and_then(|number| u64::try_from(number).ok()) else {
            return self.deny(format!("{key} has to be a whole number"));
        };
        if asked > most {
            return self.deny(format!("{key} = {asked}: this node grants {most}"));
        }
        let mut limits = self.limits;
        let small = u32::try_from(asked).unwrap_or(u32::MAX);
        match key {
            "memory_mib" => limits.memory_bytes = asked * MIB,
            "cpus_milli" => limits.cpus_milli = small,
            "processes" => limits.processes = small,
            "disk_mib" => limits.disk_bytes = asked * MIB,
            "output_kib" => limits.output_bytes = asked * 1024,
            _ => limits.command_seconds = small,
        }
        match limits.check() {
            Ok(()) => self.limits = limits,
            Err(error) => self.deny(format!("{key} = {asked}: {error}")),
        }
    }

    fn image(&mut self, item: &Item) {
        let Some(asked) = item.as_str() else {
            return self.deny("image has to be a text".to_owned());
        };
        let shown = quoted(asked);
        let Some(own) = &self.own.image else {
            return self.deny(format!("image = {shown:?}: this node's sandbox is no container"));
        };
        if asked == own || self.own.images.iter().any(|image| image == asked) {
            self.image = Some(asked.to_owned());
        } else {
            self.deny(format!("image = {shown:?}: this node does not allow it"));
        }
    }

    /// Hosts of the node's own list, or none at all.
    fn network(&mut self, item: &Item) {
        if item.as_bool() == Some(false) {
            self.egress = Hosts::default();
            return;
        }
        let Some(array) = item.as_array() else {
            return self.deny("network has to be false or a list of hosts".to_owned());
        };
        let mut granted = Vec::new();
        for host in array.iter().take(MAX_HOSTS) {
            let shown = quoted(host.as_str().unwrap_or_default());
            match host.as_str().map(|host| Hosts::read(&[host])) {
                None => self.deny("network has to be a list of texts".to_owned()),
                Some(Err(error)) => self.deny(format!("network: {error}")),
                Some(Ok(asked)) if self.own.egress.grant(&asked).0.is_empty() => {
                    self.deny(format!("network to {shown:?}: this node does not allow it"));
                }
                Some(Ok(_)) => granted.extend(host.as_str()),
            }
        }
        if array.len() > MAX_HOSTS {
            self.deny(format!("network has more than {MAX_HOSTS} hosts: the others are left out"));
        }
        // Each was read before.
        self.egress = Hosts::read(&granted).unwrap_or_default();
    }

    /// All commands or none: they build on each other.
    fn setup(&mut self, item: &Item) {
        let texts = item.as_array().map(|array| {
            array.iter().take(MAX_SETUP + 1).map(|text| text.as_str().map(str::to_owned)).collect()
        });
        let Some(Some(texts)) = texts
            .map(|texts: Vec<Option<String>>| texts.into_iter().collect::<Option<Vec<String>>>())
        else {
            return self.deny("setup has to be a list of texts: none of it is run".to_owned());
        };
        let good = |text: &String| {
            !text.trim().is_empty() && text.len() <= MAX_COMMAND && !text.contains('\0')
        };
        if texts.len() > MAX_SETUP {
            let most = format!("setup has more than {MAX_SETUP} commands: none of it is run");
            return self.deny(most);
        }
        match texts.iter().position(|text| !good(text)) {
            None => self.setup = texts,
            Some(bad) => self.deny(format!(
                "setup[{bad}] is empty, longer than {MAX_COMMAND} bytes or has a zero byte: none \
                 of it is run"
            )),
        }
    }

    fn granted(self, said: bool) -> Granted {
        let Self { own, limits, image, egress, setup, denied } = self;
        let settings = said.then(|| Settings {
            source: FILE.to_owned(),
            setup,
            limits: described(&limits, image.as_deref(), &egress),
            denied,
        });
        let egress = Egress::new(egress, own.egress_bytes);
        Granted { limits, image, egress, settings }
    }
}

/// What applies, for people.
fn described(limits: &Limits, image: Option<&str>, egress: &Hosts) -> String {
    let image = image.map_or(String::new(), |image| format!("image {image}, "));
    let network = match egress.is_empty() {
        true => "no network".to_owned(),
        false => format!("network to {egress}"),
    };
    format!(
        "{image}memory_mib {}, cpus_milli {}, processes {}, disk_mib {}, output_kib {}, \
         command_seconds {}, {network}",
        limits.memory_bytes / MIB,
        limits.cpus_milli,
        limits.processes,
        limits.disk_bytes / MIB,
        limits.output_bytes / 1024,
        limits.command_seconds
    )
}

/// The beginning of a text of the file.
fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Own {
        let images = vec!["rust:1".to_owned()];
        let (image, egress) = (Some("bzzz-sandbox:1".to_owned()), Hosts::default());
        Own { limits: Limits::default(), image, images, egress, egress_bytes: 1 << 20 }
    }

    fn denied(text: &str) -> Vec<String> {
        let granted = read(text.as_bytes(), &own());
        assert_eq!(granted.limits, Limits::default(), "{text}");
        assert_eq!(granted.image.as_deref(), Some("bzzz-sandbox:1"), "{text}");
        let settings = granted.settings.expect("something was said");
        assert!(settings.setup.is_empty(), "{text}");
        settings.denied
    }

    #[test]
    fn what_tightens_is_granted() {
        let text = "[sandbox]\nimage = \"rust:1\"\nmemory_mib = 512\ncpus_milli = 500\n\
                    processes = 64\ndisk_mib = 100\noutput_kib = 16\ncommand_seconds = 30\n\
                    network = false\nsetup = [\"make deps\", \"make\"]\n[consent]\nallow = true\n";
        let granted = read(text.as_bytes(), &own());
        let expected = Limits {
            memory_bytes: 512 << 20,
            cpus_milli: 500,
            processes: 64,
            disk_bytes: 100 << 20,
            output_bytes: 16 << 10,
            command_seconds: 30,
        };
        assert_eq!(granted.limits, expected);
        assert_eq!(granted.image.as_deref(), Some("rust:1"));
        let settings = granted.settings.expect("something was said");
        assert_eq!(settings.setup, ["make deps", "make"]);
        assert!(settings.denied.is_empty(), "{:?}", settings.denied);
        assert_eq!(
            settings.limits,
            "image rust:1, memory_mib 512, cpus_milli 500, processes 64, disk_mib 100, \
             output_kib 16, command_seconds 30, no network"
        );
    }

    #[test]
    fn nothing_is_loosened() {
        let cases = [
            ("memory_mib = 1025", "memory_mib = 1025: this node grants 1024"),
            ("cpus_milli = 1001", "cpus_milli = 1001: this node grants 1000"),
            ("processes = 257", "processes = 257: this node grants 256"),
            ("disk_mib = 513", "disk_mib = 513: this node grants 512"),
            ("output_kib = 9000000000000000000", "output_kib = 9000000000000000000: this node"),
            ("command_seconds = 121", "command_seconds = 121: this node grants 120"),
            ("memory_mib = 1", "memory_mib = 1: the sandbox limit memory_bytes is 1048576, and"),
            ("memory_mib = -1", "memory_mib has to be a whole number"),
            ("memory_mib = \"9\"", "memory_mib has to be a whole number"),
            ("image = \"evil:1\"", "image = \"evil:1\": this node does not allow it"),
            ("image = 1", "image has to be a text"),
            ("network = true", "network has to be false or a list of hosts"),
            ("network = [\"pypi.org\"]", "network to \"pypi.org\": this node does not allow it"),
            ("privileged = true", "there is no key \"privileged\""),
            ("setup = \"make\"", "setup has to be a list of texts"),
            ("setup = [\"make\", 3]", "setup has to be a list of texts"),
            ("setup = [\"make\", \"\"]", "setup[1] is empty"),
        ];
        for (line, complaint) in cases {
            let denied = denied(&format!("[sandbox]\n{line}\n"));
            assert!(denied.len() == 1 && denied[0].starts_with(complaint), "{line}: {denied:?}");
        }
        let long = denied(&format!("[sandbox]\nsetup = [\"{}\"]\n", "x".repeat(1025)));
        assert!(long[0].starts_with("setup[0] is empty, longer than 1024 bytes"), "{long:?}");
        let many = denied(&format!("[sandbox]\nsetup = [{}]\n", "\"a\",".repeat(33)));
        assert!(many[0].starts_with("setup has more than 32 commands"), "{many:?}");
        let keys: String = (0..100).map(|key| format!("k{key} = 1\n")).collect();
        assert_eq!(denied(&format!("[sandbox]\n{keys}")).len(), MAX_DENIED);
    }

    #[test]
    fn of_the_network_something_can_only_be_left_out() {
        let egress = Hosts::read(&["crates.io", "*.rust-lang.org"]).unwrap();
        let own = Own { egress, ..own() };
        let asked = |line: &str| {
            let granted = read(format!("[sandbox]\n{line}\n").as_bytes(), &own);
            let settings = granted.settings.expect("something was said");
            (granted.egress.hosts.to_string(), settings.denied, settings.limits)
        };
        let all = "crates.io, *.rust-lang.org";
        let (hosts, denied, limits) = asked("memory_mib = 512");
        assert!(denied.is_empty() && limits.ends_with(&format!(", network to {all}")), "{limits}");
        assert_eq!(hosts, all);
        for nothing in ["network = false", "network = []"] {
            let (hosts, denied, limits) = asked(nothing);
            assert!(denied.is_empty() && limits.ends_with(", no network"), "{limits}");
            assert_eq!(hosts, "");
        }
        let (hosts, denied, _) = asked("network = [\"crates.io:443\", \"static.rust-lang.org\"]");
        assert_eq!((hosts.as_str(), denied.len()), ("crates.io:443, static.rust-lang.org", 0));
        let (hosts, denied, _) =
            asked("network = [\"crates.io\", \"*.crates.io\", \"crates.io:22\", \"::1\", 7]");
        assert_eq!((hosts.as_str(), denied.len()), ("crates.io", 4), "{denied:?}");
        assert_eq!(denied[0], "network to \"*.crates.io\": this node does not allow it");
        for wrong in ["network = true", "network = \"crates.io\"", "network = 1"] {
            let (hosts, denied, _) = asked(wrong);
            assert_eq!((hosts.as_str(), denied.len()), (all, 1), "{wrong}");
        }
        let many = format!("network = [{}]", "\"crates.io\",".repeat(65));
        assert!(asked(&many).1[0].starts_with("network has more than 64 hosts"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_and_changes_nothing() {
        for text in ["[sandbox", "sandbox = 3", "[[sandbox]]\nmemory_mib = 1"] {
            assert_eq!(denied(text).len(), 1, "{text}");
        }
        let bytes = read(b"\xff", &own()).settings.expect("something was said");
        assert_eq!(bytes.denied, ["the file is not used: it is not UTF-8"]);
        assert!(read(b"", &own()).settings.is_none());
        assert!(read(b"[consent]\nallow = true\n", &own()).settings.is_none());
    }

    #[test]
    fn without_a_container_there_is_no_image() {
        let own = Own { image: None, images: Vec::new(), ..own() };
        let granted = read(b"[sandbox]\nimage = \"rust:1\"\n", &own);
        assert_eq!(granted.image, None);
        let denied = granted.settings.expect("something was said").denied;
        assert_eq!(denied, ["image = \"rust:1\": this node's sandbox is no container"]);
    }
}
