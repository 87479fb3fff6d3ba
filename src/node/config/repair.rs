//! Reads a file that may not be TOML, and still finds the keys in it. The parser stops at its first
//! error; here the line at fault is taken out and the rest is read again, so that one look at the
//! report is enough to mend a file. What was taken out is a problem, and nothing is ever run on
//! such a file.

use std::collections::BTreeSet;

use toml_edit::{Document, TomlError};

use super::problem::quoted;

/// How many places are mended before the rest of a file is given up.
const MAX_REPAIRS: usize = 64;

/// How far back the beginning of a value that doesn't end is looked for, in statements: a bit, and
/// further if nothing else helps. Each step costs two parses.
const BACK: usize = 8;
const FAR_BACK: usize = 256;

/// The longest statement that is taken out whole, in lines.
const MAX_STATEMENT: usize = 256;

/// What the parser says of a key that stands twice.
const DUPLICATE: &str = "duplicate key";

/// What could be read of a file.
#[derive(Debug)]
pub(super) struct Repaired {
    /// The rest of the file. Its lines have the numbers that they have in the file.
    pub(super) document: Document<String>,
    /// What was taken out of it.
    pub(super) broken: Vec<Broken>,
    /// The names of keys in what was taken out: they are not missing.
    pub(super) lost: BTreeSet<String>,
    /// Tables that stand for a second or malformed header, each with the section inside.
    pub(super) again: BTreeSet<String>,
}

/// A place that was taken out.
#[derive(Debug)]
pub(super) struct Broken {
    /// The line, counted from 0.
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) message: String,
}

/// Reads what can be read of `text`.
pub(super) fn parse(text: &str) -> Repaired {
    let mut repair = Repair {
        lines: text.split('\n').map(str::to_owned).collect(),
        broken: vec![],
        lost: BTreeSet::new(),
        again: BTreeSet::new(),
    };
    for _ in 0..MAX_REPAIRS {
        let joined = repair.lines.join("\n");
        let error = match Document::parse(joined.clone()) {
            Ok(document) => return repair.finish(document),
            Err(error) => error,
        };
        let at = repair.line_of(&joined, &error);
        let mended = if error.message() == DUPLICATE {
            let word = error.span().and_then(|span| joined.get(span)).unwrap_or_default();
            repair.duplicate(at, word.trim_matches(['"', '\'']))
        } else {
            repair.malformed(at, error.message())
        };
        if !mended {
            return repair.give_up(at);
        }
    }
    repair.give_up(0)
}

struct Repair {
    lines: Vec<String>,
    broken: Vec<Broken>,
    lost: BTreeSet<String>,
    again: BTreeSet<String>,
}

impl Repair {
    fn finish(self, document: Document<String>) -> Repaired {
        let Self { broken, lost, again, .. } = self;
        Repaired { document, broken, lost, again }
    }

    fn give_up(mut self, line: usize) -> Repaired {
        let message = "the file cannot be read any further: mend what is named and check again";
        self.broken.push(Broken { line, key: String::new(), message: message.to_owned() });
        let empty = Document::parse(String::new()).expect("an empty document is a valid one");
        // Any key may stand in what was given up.
        self.lost.insert(ANY.to_owned());
        self.finish(empty)
    }

    /// The line of an error, counted from 0.
    fn line_of(&self, joined: &str, error: &TomlError) -> usize {
        let start = error.span().map_or(joined.len(), |span| span.start.min(joined.len()));
        let before = joined.as_bytes().iter().take(start);
        before.filter(|byte| **byte == b'\n').count().min(self.lines.len() - 1)
    }

    /// Takes out a key or a header that stands a second time. Says whether that changed anything.
    fn duplicate(&mut self, at: usize, word: &str) -> bool {
        let header = header_name(&self.lines[at]);
        let is_header = header.is_some();
        let key = header.map_or_else(|| self.label(at, word), quoted);
        let same = |line: &str| match header {
            Some(name) => header_name(line) == Some(name),
            None => key_name(line) == Some(word),
        };
        let first = (0..at)
            .rev()
            .take_while(|line| is_header || header_name(&self.lines[*line]).is_none())
            .filter(|line| same(&self.lines[*line]))
            .last();
        let what = if is_header { "the section stands" } else { "the key is set" };
        let message = match first {
            Some(first) => format!("{what} a second time, first on line {}", first + 1),
            None => format!("{what} a second time"),
        };
        self.broken.push(Broken { line: at, key, message });
        let end = if is_header { at } else { self.statement_end(at) };
        self.take_out(at, end)
    }

    /// The last line of the statement that begins at a line.
    fn statement_end(&self, at: usize) -> usize {
        let mut statement = String::new();
        for (end, line) in self.lines.iter().enumerate().skip(at).take(MAX_STATEMENT) {
            statement.push_str(line);
            statement.push('\n');
            if Document::parse(statement.as_str()).is_ok() {
                return end;
            }
        }
        at
    }

    /// Takes out what is no TOML. Says whether that changed anything.
    fn malformed(&mut self, at: usize, message: &str) -> bool {
        let message = quoted(message);
        let (start, end) = self.culprit(at);
        let message = if start == at {
            message
        } else {
            format!("the value that begins here has no end: {message} on line {}", at + 1)
        };
        let key = key_name(&self.lines[start]).map(str::to_owned);
        let key = key.map_or_else(String::new, |key| self.label(start, &key));
        self.broken.push(Broken { line: start, key, message });
        self.take_out(start, end)
    }

    /// The lines to take out so that the parser gets furthest beyond its error at line `at`. An
    /// array or a text that isn't closed shows only later than where it begins.
    fn culprit(&mut self, at: usize) -> (usize, usize) {
        let mut best = (at, at);
        let mut furthest = self.next_error(at, at);
        if furthest == usize::MAX {
            return best;
        }
        let back = if furthest > at { BACK } else { FAR_BACK };
        let starts: Vec<usize> = (0..at)
            .rev()
            .filter(|line| key_name(&self.lines[*line]).is_some())
            .take(back)
            .collect();
        for start in starts {
            for end in [start, at - 1] {
                let error = self.next_error(start, end);
                if error > furthest {
                    (best, furthest) = ((start, end), error);
                }
            }
            if furthest == usize::MAX {
                break;
            }
        }
        best
    }

    /// The line of the first malformed place if some lines are taken out.
    fn next_error(&mut self, start: usize, end: usize) -> usize {
        let kept: Vec<String> = self.lines[start..=end].to_vec();
        self.blank(start, end);
        let joined = self.lines.join("\n");
        let next = match Document::parse(joined.as_str()) {
            Err(error) if error.message() != DUPLICATE => self.line_of(&joined, &error),
            _ => usize::MAX,
        };
        self.lines[start..=end].clone_from_slice(&kept);
        next
    }

    fn take_out(&mut self, start: usize, end: usize) -> bool {
        for line in &self.lines[start..=end] {
            self.lost.extend(key_name(line).map(str::to_owned));
        }
        let changed = self.lines[start..=end].iter().any(|line| !line.trim().is_empty());
        for line in start..=end {
            match placeholder(&self.lines[line], self.again.len()) {
                Some((table, header)) if !self.again.contains(&table) => {
                    self.again.insert(table);
                    self.lines[line] = header;
                }
                _ => self.lines[line].clear(),
            }
        }
        changed
    }

    fn blank(&mut self, start: usize, end: usize) {
        for line in start..=end {
            match placeholder(&self.lines[line], self.again.len()) {
                Some((_, header)) => self.lines[line] = header,
                None => self.lines[line].clear(),
            }
        }
    }

    /// A key's name with its section.
    fn label(&self, at: usize, key: &str) -> String {
        let section = (0..at).rev().find_map(|line| header_name(&self.lines[line]));
        match section {
            Some(section) => format!("{}.{}", quoted(section), quoted(key)),
            None => quoted(key),
        }
    }
}

/// Stands in [`Repaired::lost`] for all keys.
pub(super) const ANY: &str = "";

/// The word of a line that looks like `[word]` or `[[word]]`, also with a bracket too few. A header
/// that stands for another one has the other's word.
fn header_name(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix('[')?.trim_start_matches('[').trim_start();
    let rest = match rest.strip_prefix(PLACEHOLDER) {
        Some(rest) => rest.split_once("\".")?.1,
        None => rest,
    };
    let end = rest.find(|c: char| !is_bare(c)).unwrap_or(rest.len());
    if end == 0 { None } else { Some(&rest[..end]) }
}

/// The key of a line that looks like `key = value`.
fn key_name(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    let key = key.trim().trim_matches(['"', '\'']);
    let fine = !key.is_empty() && key.chars().all(|c| is_bare(c) || c == '.');
    if fine { Some(key) } else { None }
}

fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// How the tables begin that stand for a second or malformed header. A key with spaces is none of
/// ours.
const PLACEHOLDER: &str = "\"taken out ";

/// The header to put in place of one that cannot stay, so that the keys below it stay in their
/// section: the name of its outer table, and the line.
fn placeholder(line: &str, count: usize) -> Option<(String, String)> {
    if line.contains(PLACEHOLDER) {
        return None;
    }
    let name = header_name(line)?;
    let double = line.trim_start().starts_with("[[");
    let table = format!("taken out {count}");
    let header = format!("\"{table}\".{name}");
    let header = if double { format!("[[{header}]]") } else { format!("[{header}]") };
    Some((table, header))
}
