//! The node's one configuration file, `bzzz.toml`, and what overrides it: the environment, then the
//! flags of the command line. Everything that is wrong is reported at once, each thing with its
//! line.
//!
//! This module reads the file and nothing else: the environment is handed in, no path is looked at,
//! and no secret is taken, only the names of files that hold one.

mod check;
mod cross;
mod edit;
mod example;
mod form;
mod keys;
mod overrides;
mod problem;
mod repair;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::check::Checker;
use self::keys::{REPOSITORY, SECTIONS};
use self::problem::Fault;
use self::table::{Section, Values};

pub use self::check::{MAX_PROBLEMS, MAX_REPOSITORIES};
pub use self::form::{MAX_ITEMS, MAX_TEXT};
pub use self::keys::{
    Agent, Api, Approvals, Budget, Discussion, Hive, LogFormat, N8n, Net, Node, Reasoner,
    ReasonerKind, Repository, Sandbox, SandboxKind, Store, StoreKind, Unlisted,
};
pub use self::problem::{ConfigError, Origin, Place, Problem};
pub use self::table::{Value, literal};

/// The name of the file in the node's home directory.
pub const FILE_NAME: &str = "bzzz.toml";

/// The longest configuration file, in bytes.
pub const MAX_FILE: u64 = 256 * 1024;

/// A checked configuration: plain data, paths absolute, units in the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The directory of the file, where relative paths start.
    pub home: PathBuf,
    /// `[node]`
    pub node: Node,
    /// `[store]`
    pub store: Store,
    /// `[net]`
    pub net: Net,
    /// `[api]`
    pub api: Api,
    /// `[agent]`
    pub agent: Agent,
    /// `[discussion]`
    pub discussion: Discussion,
    /// `[approvals]`
    pub approvals: Approvals,
    /// `[budget]`
    pub budget: Budget,
    /// `[sandbox]`
    pub sandbox: Sandbox,
    /// `[reasoner]`
    pub reasoner: Reasoner,
    /// `[hive]`
    pub hive: Hive,
    /// `[n8n]`
    pub n8n: N8n,
    /// `[[repository]]`, in the order of the file.
    pub repositories: Vec<Repository>,
}

/// A configuration, and where each of its values comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every key with its value, in the order of the example.
    pub settings: Vec<Shown>,
}

impl Loaded {
    /// Where a key's value comes from; `None` if there is no such key or it is not set.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        let shown = self.settings.iter().find(|shown| shown.key == key)?;
        shown.origin.as_ref()
    }
}

/// A key, its effective value and where that comes from. Displayed as a line such as
/// `agent.max_tasks = 2  # file, line 12`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The key with its section, as in `agent.max_tasks` or `repository[sample].url`.
    pub key: String,
    /// Its value; `None` if nobody set it and it has no default.
    pub value: Option<Value>,
    /// Where the value comes from.
    pub origin: Option<Origin>,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.value, &self.origin) {
            (Some(value), Some(origin)) => write!(f, "{} = {value}  # {origin}", self.key),
            _ => write!(f, "# {} is not set", self.key),
        }
    }
}

impl Config {
    /// Reads a configuration: the file at `path`, overridden by those variables of `env` that
    /// begin with `BZZZ_`, overridden by `flags`, which are keys with their section and values.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, if anything is; a file that can't be read is the only problem
    /// then.
    pub fn load(
        path: &Path,
        env: &BTreeMap<String, String>,
        flags: &[(String, String)],
    ) -> Result<Loaded, ConfigError> {
        let text = read(path).map_err(|(line, fault)| one(path, line, fault))?;
        Self::parse(&text, path, env, flags)
    }

    /// Reads a configuration as [`Config::load`] does, but `text` in place of the file at `path`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, if anything is.
    pub fn parse(
        text: &str,
        path: &Path,
        env: &BTreeMap<String, String>,
        flags: &[(String, String)],
    ) -> Result<Loaded, ConfigError> {
        let home = std::path::absolute(path)
            .ok()
            .and_then(|path| path.parent().map(Path::to_owned))
            .ok_or_else(|| one(path, None, Fault::new("this is no path of a file")))?;
        if u64::try_from(text.len()).is_ok_and(|length| length > MAX_FILE) {
            return Err(one(path, None, too_long()));
        }
        let mut checker = Checker::new(path, &home);
        checker.file(text);
        checker.environment(env);
        checker.flags(flags);
        checker.defaults();
        cross::check(&mut checker);
        cross::dependent_defaults(&mut checker);
        let problems = checker.report();
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        let settings = show(&checker);
        let config = build(home.clone(), &checker);
        Ok(Loaded { config, settings })
    }

    /// The documented example: every key, commented out, with its default.
    pub fn example() -> String {
        example::write(&[], &[])
    }

    /// The documented example with some values set and some repositories added: the first file of a
    /// node. `values` are keys with their section, as in `agent.work`, and TOML literals
    /// ([`literal`] makes one of a text).
    ///
    /// # Errors
    ///
    /// What `bzzz config check` would find wrong with the result.
    pub fn render(
        values: &[(String, String)],
        repositories: &[Repository],
    ) -> Result<String, ConfigError> {
        let unknown = example::unknown(values);
        if !unknown.is_empty() {
            return Err(ConfigError { problems: unknown });
        }
        let text = example::write(values, repositories);
        Self::parse(&text, Path::new(FILE_NAME), &BTreeMap::new(), &[])?;
        Ok(text)
    }
}

impl Repository {
    /// A repository of this name and remote, its branch `main`, nothing else set. Its issues have
    /// to come from somewhere.
    pub fn at(name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            branch: "main".to_owned(),
            board: None,
            github: None,
            github_url: None,
            github_draft: false,
            github_app: None,
            github_key_file: None,
            github_installation: None,
            token_file: None,
        }
    }
}

impl Store {
    /// The text of the configuration file at `path` with this store in it. A directory in the home
    /// is named from there.
    ///
    /// # Errors
    ///
    /// What would be wrong with the result.
    pub fn put_into(&self, text: &str, path: &Path) -> Result<String, ConfigError> {
        let home = path.parent().unwrap_or(Path::new(""));
        let name = self.path.strip_prefix(home).unwrap_or(&self.path);
        let name = name
            .to_str()
            .ok_or_else(|| one(path, None, Fault::new("the store's path is not UTF-8")))?;
        let values = [("kind", self.kind.as_str()), ("path", name)];
        let text = edit::set(text, path, Self::SECTION.name, &values)?;
        let found = Config::parse(&text, path, &BTreeMap::new(), &[])?.config.store;
        assert_eq!(found, *self, "what was written is read");
        Ok(text)
    }
}

fn build(home: PathBuf, checker: &Checker<'_>) -> Config {
    let section = |section: Section| &checker.sections[section.name];
    let repositories = checker.repositories.iter();
    Config {
        home,
        node: Node::build(section(Node::SECTION)),
        store: Store::build(section(Store::SECTION)),
        net: Net::build(section(Net::SECTION)),
        api: Api::build(section(Api::SECTION)),
        agent: Agent::build(section(Agent::SECTION)),
        discussion: Discussion::build(section(Discussion::SECTION)),
        approvals: Approvals::build(section(Approvals::SECTION)),
        budget: Budget::build(section(Budget::SECTION)),
        sandbox: Sandbox::build(section(Sandbox::SECTION)),
        reasoner: Reasoner::build(section(Reasoner::SECTION)),
        hive: Hive::build(section(Hive::SECTION)),
        n8n: N8n::build(section(N8n::SECTION)),
        repositories: repositories.map(|entry| Repository::build(&entry.values)).collect(),
    }
}

fn show(checker: &Checker<'_>) -> Vec<Shown> {
    let mut shown = vec![];
    let mut add = |label: &str, section: &Section, values: &Values| {
        for key in section.keys {
            let setting = values.get(key.name);
            shown.push(Shown {
                key: format!("{label}.{}", key.name),
                value: setting.map(|setting| setting.value.clone()),
                origin: setting.map(|setting| setting.origin.clone()),
            });
        }
    };
    for section in SECTIONS {
        add(section.name, section, &checker.sections[section.name]);
    }
    for (index, entry) in checker.repositories.iter().enumerate() {
        add(&entry.label(index), REPOSITORY, &entry.values);
    }
    shown
}

fn one(path: &Path, line: Option<u32>, fault: Fault) -> ConfigError {
    let Fault { message, hint } = fault;
    let place = Place::File { path: path.to_owned(), line };
    ConfigError { problems: vec![Problem { place, key: String::new(), message, hint }] }
}

fn too_long() -> Fault {
    Fault::new(format!("the file is longer than {MAX_FILE} bytes"))
}

/// Reads a file of bounded size; a fault comes with the line that it is about.
fn read(path: &Path) -> Result<String, (Option<u32>, Fault)> {
    let unreadable = |error: std::io::Error| {
        let fault = Fault::new(format!("the configuration cannot be read: {error}"));
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        (None, if missing { fault.hint("`bzzz init` makes one") } else { fault })
    };
    // Opening a named pipe would wait for a writer.
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() {
        return Err((None, Fault::new("this is not a file")));
    }
    let mut bytes = vec![];
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        return Err((None, too_long()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        (u32::try_from(line).ok(), Fault::new("the line is not UTF-8 text"))
    })
}
