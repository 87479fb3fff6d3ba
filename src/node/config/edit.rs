//! Changes single values of a file, and leaves the rest of it as people wrote it.

use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, Value};

use super::problem::Fault;
use super::{ConfigError, one};

/// The text of a file with some keys of a section set to texts.
///
/// # Errors
/// If the text is not TOML.
pub(super) fn set(
    text: &str,
    path: &Path,
    section: &str,
    values: &[(&str, &str)],
) -> Result<String, ConfigError> {
    let mut document: DocumentMut =
        text.parse().map_err(|_| one(path, None, Fault::new("this is not TOML")))?;
    let table = document.entry(section).or_insert_with(|| Item::Table(Table::new()));
    let table = table
        .as_table_like_mut()
        .ok_or_else(|| one(path, None, Fault::new(format!("{section} is no section"))))?;
    for (key, value) in values {
        match table.get_mut(key).and_then(Item::as_value_mut) {
            Some(old) => {
                let decor = old.decor().clone();
                *old = Value::from(*value);
                *old.decor_mut() = decor;
            }
            None => {
                table.insert(key, Item::Value(Value::from(*value)));
            }
        }
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_set_changes() {
        let set = |text: &str| {
            set(text, Path::new("x.toml"), "store", &[("kind", "hypercore"), ("path", "b")])
        };
        let text = "# a\n[node]\nname = \"x\" # mine\n\n[store]\nkind = \"rocksdb\" # why\n";
        let changed = "# a\n[node]\nname = \"x\" # mine\n\n[store]\nkind = \"hypercore\" # why\n\
                       path = \"b\"\n";
        assert_eq!(set(text).unwrap(), changed);
        let empty = set("# nothing\n").unwrap();
        assert!(empty.contains("[store]\nkind = \"hypercore\"\npath = \"b\"\n"), "{empty}");
        assert!(set("[store").is_err());
        assert!(set("store = 1\n").is_err());
    }
}
