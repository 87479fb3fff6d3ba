//! Hive's last word on what was taken up, in a file of the home: a node that is started while Hive
//! is away goes on with it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The format of the file.
const FORMAT: u32 = 1;

/// The largest file that is read, in bytes: the most repositories with the longest names.
const MAX_FILE: u64 = 64 << 10;

/// The most repositories in it, as many as `hive.max_repositories` can be.
const MAX_REPOSITORIES: usize = 64;

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    format: u32,
    /// The address of the Hive whose word this is.
    pub(super) hive: String,
    /// When it was heard, in milliseconds since 1970.
    pub(super) heard_ms: u64,
    pub(super) repositories: Vec<Remembered>,
}

/// A repository that was taken up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remembered {
    /// `OWNER/NAME`.
    pub(super) repository: String,
    pub(super) branch: String,
    pub(super) project: u64,
    /// Whether Hive still lists it; if not, tasks of it are not over.
    pub(super) listed: bool,
    /// Whether Hive said that tasks may be claimed.
    pub(super) ready: bool,
}

impl Memory {
    pub(super) fn new(hive: &str, heard_ms: u64, repositories: Vec<Remembered>) -> Self {
        Self { format: FORMAT, hive: hive.to_owned(), heard_ms, repositories }
    }

    /// Reads the file; nothing if there is none. What it names is not yet checked against the
    /// configuration.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, String> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let mut text = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
        if text.len() as u64 > MAX_FILE {
            return Err(format!("it is longer than {MAX_FILE} bytes"));
        }
        let read: Self = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        if read.format != FORMAT {
            return Err(format!("its format is {}, and not {FORMAT}", read.format));
        }
        if read.repositories.len() > MAX_REPOSITORIES {
            return Err(format!("it names more than {MAX_REPOSITORIES} repositories"));
        }
        Ok(Some(read))
    }

    /// Writes the file: what is there is the old one or the new one, also after a crash.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let part = path.with_extension("part");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&part, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Memory {
        let remembered = |n: usize| Remembered {
            repository: format!("{}/{n:0>100}", "o".repeat(100)),
            branch: "b".repeat(200),
            project: u64::MAX,
            listed: n.is_multiple_of(2),
            ready: n.is_multiple_of(3),
        };
        let all = (0..MAX_REPOSITORIES).map(remembered).collect();
        Memory::new(&format!("https://{}", "h".repeat(2_000)), u64::MAX, all)
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hive.json");
        assert_eq!(Memory::read(&path), Ok(None));
        for memory in [Memory::new("https://h", 1, Vec::new()), full()] {
            memory.write(&path).unwrap();
            assert_eq!(Memory::read(&path), Ok(Some(memory)));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hive.json");
        let mut many = full();
        many.repositories.push(many.repositories[0].clone());
        let text = serde_json::to_string(&full()).unwrap();
        let bad = [
            String::new(),
            "[]".to_owned(),
            text[..text.len() / 2].to_owned(),
            text.replace("\"format\":1", "\"format\":2"),
            text.replace("\"hive\"", "\"more\":1,\"hive\""),
            serde_json::to_string(&many).unwrap(),
            format!("{text}{}", " ".repeat(1 << 17)),
            "[".repeat(60_000),
        ];
        for text in bad {
            fs::write(&path, &text).unwrap();
            assert!(Memory::read(&path).is_err(), "{}", &text[..text.len().min(100)]);
        }
    }
}
