//! What overrides the file: environment variables and flags, held against the same table of keys.

use std::collections::BTreeMap;

use super::check::{Checker, element_label};
use super::form::{Bad, from_text};
use super::keys::{SECTIONS, section};
use super::problem::{Fault, Origin, Place, nearest, quoted};
use super::table::{Key, Section, Setting};

/// Variables that begin like ours and are none of the configuration: the home directory's, which
/// the command line reads, and that of the cache, which the scripts in `tools/` read.
const FOREIGN: [&str; 2] = ["BZZZ_HOME", "BZZZ_CACHE"];

/// Whether a variable is none of ours; those of tests aren't either.
fn is_foreign(variable: &str) -> bool {
    !variable.starts_with("BZZZ_") || FOREIGN.contains(&variable) || variable.contains("_TEST_")
}

/// The environment variable that overrides a key.
pub(super) fn variable(section: &Section, key: &Key) -> String {
    format!("BZZZ_{}_{}", section.name, key.name).to_uppercase()
}

impl Checker<'_> {
    /// Takes in the environment.
    pub(super) fn environment(&mut self, env: &BTreeMap<String, String>) {
        for (name, text) in env.iter().filter(|(name, _)| !is_foreign(name)) {
            let place = Place::Environment { variable: quoted(name) };
            let keys = SECTIONS.iter().flat_map(|s| s.keys.iter().map(move |key| (*s, key)));
            let all: Vec<_> = keys.map(|(s, key)| (variable(s, key), s, key)).collect();
            match all.iter().find(|(variable, ..)| variable == name) {
                Some((_, section, key)) => {
                    let origin = Origin::Environment { variable: name.clone() };
                    self.text(section, key, text, &place, &origin);
                }
                None => {
                    let names = all.iter().map(|(variable, ..)| variable.to_lowercase());
                    let names: Vec<String> = names.collect();
                    let near = nearest(name, names.iter().map(String::as_str));
                    let fault = Fault::new("unknown environment variable");
                    let fault = match near {
                        _ if name.starts_with("BZZZ_REPOSITORY") => {
                            fault.hint("repositories are set in the file")
                        }
                        Some(near) => fault.hint(format!("did you mean {}?", near.to_uppercase())),
                        None => fault,
                    };
                    self.note(place, String::new(), fault);
                }
            }
        }
    }

    /// Takes in the flags: keys with their section, and values.
    pub(super) fn flags(&mut self, flags: &[(String, String)]) {
        for (name, text) in flags {
            let known = name.split_once('.').and_then(|(section_name, key)| {
                section(section_name).and_then(|section| Some((section, section.key(key)?)))
            });
            if let Some((section, key)) = known {
                self.text(section, key, text, &Place::Flag, &Origin::Flag);
                continue;
            }
            let all = SECTIONS.iter().flat_map(|section| {
                section.keys.iter().map(|key| format!("{}.{}", section.name, key.name))
            });
            let all: Vec<String> = all.collect();
            let fault = Fault::new("unknown key");
            let fault = match nearest(name, all.iter().map(String::as_str)) {
                Some(near) => fault.hint(format!("did you mean {near}?")),
                None => fault,
            };
            self.note(Place::Flag, quoted(name), fault);
        }
    }

    fn text(
        &mut self,
        section: &'static Section,
        key: &'static Key,
        text: &str,
        place: &Place,
        origin: &Origin,
    ) {
        self.tried.insert((section.name, key.name));
        match from_text(key.spec.kind, text, self.base) {
            Ok(value) => self.set(section, key, Setting { value, origin: origin.clone() }),
            Err(bad) => {
                for Bad { element, fault, .. } in bad {
                    let label = format!("{}.{}", section.name, key.name);
                    self.note(place.clone(), element_label(label, element), fault);
                }
            }
        }
    }
}
