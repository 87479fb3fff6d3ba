//! Holds a file against the table of keys, notes everything that is wrong with it, and collects
//! what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use toml_edit::{Item, TableLike};

use super::form::{Bad, from_default, from_toml};
use super::keys::{REPOSITORY, SECTIONS, section};
use super::problem::{Fault, Origin, Place, Problem, nearest, quoted};
use super::repair::{self, Repaired};
use super::table::{Fallback, Key, Section, Setting, Values};

/// How many repositories one node serves.
pub const MAX_REPOSITORIES: usize = 256;

/// How many problems a report names.
pub const MAX_PROBLEMS: usize = 1_000;

/// One repository's values and the line where it begins.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: u32,
    pub(super) values: Values,
    /// Keys that were set, well or badly.
    pub(super) tried: BTreeSet<&'static str>,
}

impl Entry {
    /// What to call the repository: its name, or its place in the file.
    pub(super) fn label(&self, index: usize) -> String {
        match self.values.text("name") {
            Some(name) => format!("repository[{name}]"),
            None => format!("repository[#{}]", index + 1),
        }
    }
}

/// What was found so far.
#[derive(Debug)]
pub(super) struct Checker<'a> {
    path: &'a Path,
    pub(super) base: &'a Path,
    /// The offset at which each line of the file begins.
    starts: Vec<usize>,
    lost: BTreeSet<String>,
    pub(super) problems: Vec<Problem>,
    pub(super) sections: BTreeMap<&'static str, Values>,
    /// Keys of sections that were set, well or badly.
    pub(super) tried: BTreeSet<(&'static str, &'static str)>,
    pub(super) repositories: Vec<Entry>,
    /// Whether there are more repositories than one node serves.
    too_many: bool,
}

/// Where the values of a table go.
enum Target {
    Section(&'static Section),
    Repository(usize),
}

impl<'a> Checker<'a> {
    /// `path` is the file's, `base` the directory where relative paths start.
    pub(super) fn new(path: &'a Path, base: &'a Path) -> Self {
        let sections = SECTIONS.iter().map(|section| (section.name, Values::default()));
        Self {
            path,
            base,
            starts: vec![0],
            lost: BTreeSet::new(),
            problems: vec![],
            sections: sections.collect(),
            tried: BTreeSet::new(),
            repositories: vec![],
            too_many: false,
        }
    }

    /// Notes a problem in the file.
    pub(super) fn in_file(&mut self, line: Option<u32>, key: impl Into<String>, fault: Fault) {
        let place = Place::File { path: self.path.to_owned(), line };
        self.note(place, key.into(), fault);
    }

    pub(super) fn note(&mut self, place: Place, key: String, fault: Fault) {
        let Fault { message, hint } = fault;
        self.problems.push(Problem { place, key, message, hint });
    }

    /// Notes a problem of a setting where the setting stands.
    pub(super) fn at(&mut self, origin: &Origin, key: impl Into<String>, fault: Fault) {
        let path = self.path.to_owned();
        let place = match origin {
            Origin::Default => Place::File { path, line: None },
            Origin::File { line } => Place::File { path, line: Some(*line) },
            Origin::Environment { variable } => Place::Environment { variable: variable.clone() },
            Origin::Flag => Place::Flag,
        };
        self.note(place, key.into(), fault);
    }

    fn line(&self, span: Option<Range<usize>>) -> u32 {
        let start = span.map_or(0, |span| span.start);
        let line = self.starts.partition_point(|line| *line <= start);
        u32::try_from(line).expect("a file of bounded size has few lines")
    }

    /// Takes in the file.
    pub(super) fn file(&mut self, text: &str) {
        let Repaired { document, broken, lost, again } = repair::parse(text);
        let raw = document.raw().bytes().enumerate();
        let ends = raw.filter(|(_, byte)| *byte == b'\n');
        self.starts.extend(ends.map(|(end, _)| end + 1));
        self.lost = lost;
        for broken in broken {
            let line = u32::try_from(broken.line + 1).expect("a file of bounded size");
            self.in_file(Some(line), broken.key, Fault::new(broken.message));
        }
        for (name, item) in document.iter() {
            let span = document.key(name).and_then(|key| key.span());
            match item.as_table_like() {
                Some(table) if again.contains(name) => {
                    for (name, item) in table.iter() {
                        self.item(name, item, key_span(table, name));
                    }
                }
                _ => self.item(name, item, span),
            }
        }
    }

    /// Takes in what stands at the top of the file: a section, or what was meant for one.
    fn item(&mut self, name: &str, item: &Item, span: Option<Range<usize>>) {
        let line = item.as_table().and_then(|table| table.span()).or(span);
        let line = self.line(line);
        if name == REPOSITORY.name {
            return self.repositories(item, line);
        }
        match section(name) {
            Some(section) => self.section(section, item, line),
            None => self.unknown_section(name, item, line),
        }
    }

    fn section(&mut self, section: &'static Section, item: &Item, line: u32) {
        if let Some(table) = item.as_table_like() {
            self.table(&Target::Section(section), table);
        } else if let Some(tables) = item.as_array_of_tables() {
            let fault = Fault::new("the section stands only once");
            let fault = fault.hint(format!("write [{}]", section.name));
            self.in_file(Some(line), section.name, fault);
            for table in tables {
                self.table(&Target::Section(section), table);
            }
        } else {
            let fault = Fault::new("this is a section, not a key");
            let fault = fault.hint(format!("write [{}] and its keys below it", section.name));
            self.in_file(Some(line), section.name, fault);
        }
    }

    fn unknown_section(&mut self, name: &str, item: &Item, line: u32) {
        let is_value = item.as_table_like().is_none() && !item.is_array_of_tables();
        if is_value && let Some(home) = SECTIONS.iter().find(|home| home.key(name).is_some()) {
            let fault = Fault::new("the key stands in no section");
            let hint = format!("it belongs below [{}]", home.name);
            return self.in_file(Some(line), quoted(name), fault.hint(hint));
        }
        let names = SECTIONS.iter().map(|section| section.name).chain([REPOSITORY.name]);
        let near = nearest(name, names).filter(|_| !is_value);
        let what = if is_value { "unknown key" } else { "unknown section" };
        let fault = match near {
            Some(near) if near == REPOSITORY.name => {
                Fault::new(what).hint(format!("did you mean [[{near}]]?"))
            }
            Some(near) => Fault::new(what).hint(format!("did you mean [{near}]?")),
            None => Fault::new(what),
        };
        self.in_file(Some(line), quoted(name), fault);
        // What stands below a misspelt header is checked as what it was meant for.
        match near.and_then(section) {
            Some(section) => self.section(section, item, line),
            None if near == Some(REPOSITORY.name) && item.is_array_of_tables() => {
                self.repositories(item, line);
            }
            None => {}
        }
    }

    fn repositories(&mut self, item: &Item, line: u32) {
        if let Some(tables) = item.as_array_of_tables() {
            for table in tables {
                let line = self.line(table.span());
                self.repository(table, line);
            }
        } else if let Some(array) = item.as_array() {
            for element in array {
                let line = self.line(element.span());
                match element.as_inline_table() {
                    Some(table) => self.repository(table, line),
                    None => self.in_file(
                        Some(line),
                        REPOSITORY.name,
                        Fault::new("expected a repository").hint("write [[repository]]"),
                    ),
                }
            }
        } else {
            let fault = Fault::new("a repository is written with two pairs of brackets");
            self.in_file(Some(line), REPOSITORY.name, fault.hint("write [[repository]]"));
            if let Some(table) = item.as_table_like() {
                self.repository(table, line);
            }
        }
    }

    fn repository(&mut self, table: &dyn TableLike, line: u32) {
        let index = self.repositories.len();
        if index == MAX_REPOSITORIES {
            // One problem is enough, however many there are.
            if !std::mem::replace(&mut self.too_many, true) {
                let fault = Fault::new(format!("more than {MAX_REPOSITORIES} repositories"));
                self.in_file(Some(line), REPOSITORY.name, fault);
            }
            return;
        }
        let (values, tried) = (Values::default(), BTreeSet::new());
        self.repositories.push(Entry { line, values, tried });
        self.table(&Target::Repository(index), table);
    }

    fn table(&mut self, target: &Target, table: &dyn TableLike) {
        let section = match target {
            Target::Section(section) => section,
            Target::Repository(_) => REPOSITORY,
        };
        for (name, item) in table.iter() {
            let line = self.line(key_span(table, name));
            match section.key(name) {
                Some(key) => self.value(target, key, item, line),
                None => self.unknown_key(target, name, line),
            }
        }
    }

    fn label(&self, target: &Target, key: &str) -> String {
        match target {
            Target::Section(section) => format!("{}.{key}", section.name),
            Target::Repository(index) => {
                format!("{}.{key}", self.repositories[*index].label(*index))
            }
        }
    }

    fn value(&mut self, target: &Target, key: &'static Key, item: &Item, line: u32) {
        self.tried(target, key.name);
        let read = match item.as_value() {
            Some(value) => from_toml(key.spec.kind, value, self.base),
            None => Err(Fault::new("this is a key, not a section").into()),
        };
        match read {
            Ok(value) => {
                let setting = Setting { value, origin: Origin::File { line } };
                match target {
                    Target::Section(section) => self.set(section, key, setting),
                    Target::Repository(index) => {
                        self.repositories[*index].values.0.insert(key.name, setting);
                    }
                }
            }
            Err(bad) => {
                for Bad { element, span, fault } in bad {
                    let line = span.map_or(line, |span| self.line(Some(span)));
                    let label = element_label(self.label(target, key.name), element);
                    self.in_file(Some(line), label, fault);
                }
            }
        }
    }

    fn tried(&mut self, target: &Target, key: &'static str) {
        match target {
            Target::Section(section) => self.tried.insert((section.name, key)),
            Target::Repository(index) => self.repositories[*index].tried.insert(key),
        };
    }

    pub(super) fn set(&mut self, section: &Section, key: &Key, setting: Setting) {
        let values = self.sections.entry(section.name).or_default();
        values.0.insert(key.name, setting);
    }

    fn unknown_key(&mut self, target: &Target, name: &str, line: u32) {
        let section = match target {
            Target::Section(section) => section,
            Target::Repository(_) => REPOSITORY,
        };
        let names = section.keys.iter().map(|key| key.name);
        let near = nearest(name, names).and_then(|near| section.key(near));
        let elsewhere = SECTIONS.iter().find(|section| section.key(name).is_some());
        let fault = Fault::new("unknown key");
        let fault = if is_secret(name) {
            let file = if matches!(target, Target::Repository(_)) {
                "token_file"
            } else {
                "reasoner.key_file"
            };
            fault.hint(format!(
                "a secret never stands in this file: put it into a file of its own and name that \
                 file in {file}"
            ))
        } else if let Some(elsewhere) = elsewhere {
            fault.hint(format!("it belongs below [{}]", elsewhere.name))
        } else if let Some(near) = near {
            fault.hint(format!("did you mean {}?", near.name))
        } else {
            fault
        };
        if let Some(near) = near {
            self.tried(target, near.name);
        }
        let label = self.label(target, &quoted(name));
        self.in_file(Some(line), label, fault);
    }

    /// Gives every key that nobody set its default, and notes those that have none and need a
    /// value.
    pub(super) fn defaults(&mut self) {
        for section in SECTIONS {
            let values = self.sections.entry(section.name).or_default();
            let missing = fill(section, values, self.base);
            assert!(missing.is_empty(), "no key of a section that stands once is required");
        }
        for index in 0..self.repositories.len() {
            let entry = &mut self.repositories[index];
            let missing = fill(REPOSITORY, &mut entry.values, self.base);
            let missing = missing.into_iter().filter(|key| !entry.tried.contains(key));
            let (line, label) = (entry.line, entry.label(index));
            for key in missing.collect::<Vec<_>>() {
                if !self.is_lost(key) {
                    let fault = Fault::new("the key is missing and has no default");
                    self.in_file(Some(line), format!("{label}.{key}"), fault);
                }
            }
        }
    }

    /// Whether a key stood somewhere in a place that couldn't be read.
    pub(super) fn is_lost(&self, key: &str) -> bool {
        let full = |lost: &String| lost == repair::ANY || lost.rsplit('.').next() == Some(key);
        self.lost.iter().any(full)
    }

    /// Whether somebody tried to set a key.
    pub(super) fn was_tried(&self, section: &'static str, key: &'static str) -> bool {
        self.tried.contains(&(section, key)) || self.is_lost(key)
    }

    /// The report: everything that is wrong, in order, each thing once.
    pub(super) fn report(&mut self) -> Vec<Problem> {
        let mut problems = std::mem::take(&mut self.problems);
        problems.sort();
        problems.dedup();
        if problems.len() > MAX_PROBLEMS {
            let further = problems.len() - MAX_PROBLEMS;
            problems.truncate(MAX_PROBLEMS);
            problems.push(Problem {
                place: Place::File { path: self.path.to_owned(), line: None },
                key: String::new(),
                message: format!("there are {further} further problems"),
                hint: None,
            });
        }
        problems
    }
}

fn key_span(table: &dyn TableLike, name: &str) -> Option<Range<usize>> {
    table.get_key_value(name).and_then(|(key, _)| key.span())
}

pub(super) fn element_label(label: String, element: Option<usize>) -> String {
    match element {
        Some(element) => format!("{label}[{element}]"),
        None => label,
    }
}

/// Names under which people put secrets into configurations.
fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase().replace(['-', '_'], "");
    ["key", "apikey", "token", "password", "secret", "bearer", "accesstoken"]
        .contains(&name.as_str())
}

/// Sets what nobody set. The names of keys that have no default and need a value.
fn fill(section: &Section, values: &mut Values, base: &Path) -> Vec<&'static str> {
    let mut missing = vec![];
    for key in section.keys {
        if values.get(key.name).is_some() {
            continue;
        }
        match key.spec.fallback {
            Fallback::Default(literal) => {
                let value = from_default(key.spec.kind, literal, base);
                let setting = Setting { value, origin: Origin::Default };
                values.0.insert(key.name, setting);
            }
            Fallback::Unset(_) => {}
            Fallback::Required(_) => missing.push(key.name),
        }
    }
    missing
}
