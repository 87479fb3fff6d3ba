//! The front matter of a board's files: `key: value` lines between two lines of three dashes.
//!
//! A strict part of YAML: a value is a text up to the end of its line, a quoted text, or a list in
//! brackets. Every other construct is refused with its line. A document keeps its file's text, so
//! that changing one value leaves all other bytes as they were.

use std::collections::BTreeMap;
use std::ops::Range;

/// What is wrong, and in which line, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) why: String,
}

/// A value of the front matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    List(Vec<String>),
}

/// A file with a front matter that was read and checked.
#[derive(Debug)]
pub(super) struct Document {
    text: String,
    /// The values, with the line that each stands in.
    values: BTreeMap<String, (Value, usize, Range<usize>)>,
    /// Where the closing dashes begin.
    end: usize,
    /// Where the body begins.
    body: usize,
    /// The line break of this file.
    line_break: &'static str,
}

impl Document {
    /// Reads a file's text; only the given keys may occur, each once.
    pub(super) fn parse(text: String, keys: &[&str]) -> Result<Self, Wrong> {
        let line_break = if text.starts_with("---\r\n") { "\r\n" } else { "\n" };
        let mut values = BTreeMap::new();
        let mut at = 0;
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let wrong = |why: String| Wrong { line: number, why };
            let range = at..at + line.len();
            at = range.end;
            let line = line.trim_end_matches(['\n', '\r']);
            match (number, line.trim_end()) {
                (1, "---") => continue,
                (1, _) => return Err(wrong("the file must begin with a line '---'".to_owned())),
                (_, "---") => {
                    let end = range.start;
                    return Ok(Self { values, end, body: at, line_break, text });
                }
                (_, "") => continue,
                (_, line) if line.starts_with('#') => continue,
                _ => {}
            }
            let (key, value) = line
                .split_once(':')
                .ok_or_else(|| wrong(format!("expected 'key: value', found {}", quote(line))))?;
            if !keys.contains(&key) {
                let known = keys.join(", ");
                return Err(wrong(format!("unknown key {}; known are {known}", quote(key))));
            }
            let value = parse_value(value).map_err(|why| wrong(format!("{key}: {why}")))?;
            if values.insert(key.to_owned(), (value, number, range)).is_some() {
                return Err(wrong(format!("{key} occurs twice")));
            }
        }
        let line = text.lines().count().max(1);
        let why = "the front matter has no closing line '---'".to_owned();
        Err(Wrong { line, why })
    }

    /// A new file of these values and this body.
    pub(super) fn compose(values: &[(&str, Value)], body: &str) -> String {
        let lines: String = values.iter().map(|(key, value)| show(key, value, "\n")).collect();
        let body = body.trim_start_matches(['\n', '\r']).trim_end();
        let gap = if body.is_empty() { "" } else { "\n\n" };
        format!("---\n{lines}---{gap}{body}\n")
    }

    /// The file's text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What follows the front matter, without the blank lines around it.
    pub(super) fn body(&self) -> &str {
        self.text[self.body..].trim_start_matches(['\n', '\r']).trim_end()
    }

    /// The text of a key, none if it is absent or empty.
    pub(super) fn text_of(&self, key: &str) -> Result<Option<&str>, Wrong> {
        match self.values.get(key) {
            None => Ok(None),
            Some((Value::Text(text), ..)) => {
                Ok(Some(text.as_str()).filter(|text| !text.is_empty()))
            }
            Some((Value::List(_), line, _)) => {
                let why = format!("{key} is one text and no list");
                Err(Wrong { line: *line, why })
            }
        }
    }

    /// The text of a key that must be there.
    pub(super) fn required(&self, key: &str) -> Result<&str, Wrong> {
        let line = self.line(key);
        self.text_of(key)?.ok_or_else(|| Wrong { line, why: format!("{key} is missing or empty") })
    }

    /// The list of a key, empty if it is absent.
    pub(super) fn list_of(&self, key: &str) -> Result<&[String], Wrong> {
        match self.values.get(key) {
            None => Ok(&[]),
            Some((Value::List(list), ..)) => Ok(list),
            Some((Value::Text(text), ..)) if text.is_empty() => Ok(&[]),
            Some((Value::Text(_), line, _)) => {
                let why = format!("{key} is a list: write it in brackets, as in {key}: [a, b]");
                Err(Wrong { line: *line, why })
            }
        }
    }

    /// The line of a key; that of the first dashes if it is absent.
    pub(super) fn line(&self, key: &str) -> usize {
        self.values.get(key).map_or(1, |(_, line, _)| *line)
    }

    /// Whether a key has this value already.
    pub(super) fn is(&self, key: &str, value: &Value) -> bool {
        self.values.get(key).is_some_and(|(found, ..)| found == value)
    }

    /// The file's text with one value set: its line is replaced, or added before the closing
    /// dashes.
    pub(super) fn with(&self, key: &str, value: &Value) -> String {
        let range = self.values.get(key).map_or(self.end..self.end, |(.., range)| range.clone());
        let line = show(key, value, self.line_break);
        [&self.text[..range.start], &line, &self.text[range.end..]].concat()
    }

    /// The file's text with another body.
    pub(super) fn with_body(&self, body: &str) -> String {
        let body = body.trim_start_matches(['\n', '\r']).trim_end();
        let gap = if body.is_empty() { "" } else { self.line_break };
        let end = if body.is_empty() { "" } else { self.line_break };
        [&self.text[..self.body], gap, body, end].concat()
    }
}

fn show(key: &str, value: &Value, line_break: &str) -> String {
    match value {
        Value::Text(text) if text.is_empty() => format!("{key}:{line_break}"),
        Value::Text(text) => format!("{key}: {}{line_break}", show_text(text)),
        Value::List(list) => {
            let items: Vec<String> = list.iter().map(|item| show_text(item)).collect();
            format!("{key}: [{}]{line_break}", items.join(", "))
        }
    }
}

/// Plain where every reader of YAML takes it as the same text, else in quotes.
fn show_text(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || " _-./+@()".contains(c);
    let begins = text.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '/');
    match begins && text.chars().all(plain) && text.trim() == text {
        true => text.to_owned(),
        false => quote(text),
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn parse_value(value: &str) -> Result<Value, String> {
    if !value.is_empty() && !value.starts_with([' ', '\t']) {
        return Err("a space must follow the colon".to_owned());
    }
    let value = value.trim();
    match value.strip_prefix('[') {
        Some(rest) => parse_list(rest).map(Value::List),
        None if value.starts_with(['"', '\'']) => match parse_quoted(value)? {
            (text, "") => Ok(Value::Text(text)),
            (_, rest) => Err(format!("unexpected {} after the closing quote", quote(rest.trim()))),
        },
        None => plain_text(value).map(Value::Text),
    }
}

fn plain_text(value: &str) -> Result<String, String> {
    let odd = ['{', '}', ']', '|', '>', '&', '*', '!', '%', '@', '`'];
    if value.starts_with(odd) || value == "-" || value.starts_with("- ") {
        return Err(format!("put {} in quotes", value.chars().take(40).collect::<String>()));
    }
    if value.chars().any(char::is_control) {
        return Err("it holds a control character".to_owned());
    }
    Ok(value.to_owned())
}

/// The items of a list, after its opening bracket.
fn parse_list(mut rest: &str) -> Result<Vec<String>, String> {
    let mut items = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(']') {
            return match after.trim() {
                "" => Ok(items),
                after => Err(format!("unexpected {} after the closing bracket", quote(after))),
            };
        }
        let (item, after) = match rest.starts_with(['"', '\'']) {
            true => parse_quoted(rest)?,
            false => {
                let end = rest.find([',', ']']).ok_or("the list has no closing bracket")?;
                (plain_text(rest[..end].trim())?, &rest[end..])
            }
        };
        if item.is_empty() {
            return Err("the list has an empty item".to_owned());
        }
        items.push(item);
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after,
            None if after.starts_with(']') => after,
            None => return Err("items of a list are parted by commas".to_owned()),
        };
    }
}

/// A text in quotes, and what follows it. Between double quotes a backslash stands before a quote
/// or a backslash; between single quotes a single quote is doubled.
fn parse_quoted(value: &str) -> Result<(String, &str), String> {
    let mut chars = value.char_indices().peekable();
    let quote = chars.next().map_or('"', |(_, quote)| quote);
    let mut text = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote == '"' => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => text.push(c),
                _ => return Err("only \\\" and \\\\ are escapes".to_owned()),
            },
            '\'' if quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                chars.next();
                text.push('\'');
            }
            c if c == quote => return Ok((text, &value[at + 1..])),
            c if c.is_control() => return Err("it holds a control character".to_owned()),
            c => text.push(c),
        }
    }
    Err("the closing quote is missing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Document, Value};

    const KEYS: &[&str] = &["title", "labels", "assignee"];

    fn parse(text: &str) -> Result<Document, (usize, String)> {
        Document::parse(text.to_owned(), KEYS).map_err(|wrong| (wrong.line, wrong.why))
    }

    #[test]
    fn values_are_texts_quoted_texts_and_lists() {
        let text =
            "---\n# note\ntitle: \"a \\\"b\\\" \\\\ c\"\nlabels: [x, 'it''s', \"y, z\"]\n---\nB\n";
        let document = parse(text).unwrap();
        assert_eq!(document.required("title"), Ok("a \"b\" \\ c"));
        assert_eq!(document.list_of("labels").unwrap(), ["x", "it's", "y, z"]);
        assert_eq!(document.text_of("assignee"), Ok(None));
        assert_eq!(document.body(), "B");
    }

    #[test]
    fn a_title_may_hold_colons_and_hashes() {
        let document = parse("---\ntitle: Fix: the #12 of it\n---\n").unwrap();
        assert_eq!(document.required("title"), Ok("Fix: the #12 of it"));
    }

    #[test]
    fn errors_name_their_line() {
        let cases = [
            ("title: x\n", 1, "begin with"),
            ("", 1, "no closing"),
            ("---\ntitle: x\n", 2, "no closing"),
            ("---\ntitle x\n---\n", 2, "expected 'key: value'"),
            ("---\n\ntitel: x\n---\n", 3, "unknown key \"titel\""),
            ("---\ntitle: x\ntitle: y\n---\n", 3, "twice"),
            ("---\ntitle:x\n---\n", 2, "space"),
            ("---\ntitle: \"x\n---\n", 2, "closing quote"),
            ("---\ntitle: \"x\" y\n---\n", 2, "after the closing quote"),
            ("---\nlabels: [a, b\n---\n", 2, "closing bracket"),
            ("---\nlabels: [a,, b]\n---\n", 2, "empty item"),
            ("---\nlabels: [\"a\" b]\n---\n", 2, "commas"),
            ("---\ntitle: |\n  x\n---\n", 2, "quotes"),
            ("---\ntitle: x\u{7}\n---\n", 2, "control"),
        ];
        for (text, line, part) in cases {
            let (found, why) = parse(text).unwrap_err();
            assert_eq!(found, line, "{text:?}: {why}");
            assert!(why.contains(part), "{text:?}: {why}");
        }
    }

    #[test]
    fn what_is_not_changed_stays_byte_for_byte() {
        let text = "---\r\n# mine\r\ntitle:   odd  \r\nlabels: [ a ]\r\n---\r\n\r\n  body\r\n";
        let document = parse(text).unwrap();
        let labels = Value::List(vec!["a".to_owned(), "b: c".to_owned()]);
        let changed = document.with("labels", &labels);
        assert_eq!(changed, text.replace("[ a ]", "[a, \"b: c\"]"));
        let added = document.with("assignee", &Value::Text("me".to_owned()));
        assert_eq!(added, text.replace("---\r\n\r\n", "assignee: me\r\n---\r\n\r\n"));
    }

    #[test]
    fn what_is_composed_is_read_back() {
        for title in ["plain", "- x", "a: b", "\"q\"", "\\", "[x]", "#1", " x ", "ü", "it's"] {
            let value = Value::Text(title.to_owned());
            let text = Document::compose(&[("title", value.clone())], "body");
            assert_eq!(parse(&text).unwrap().required("title"), Ok(title));
            let list = Value::List(vec![title.to_owned(), "y".to_owned()]);
            let text = Document::compose(&[("title", value), ("labels", list)], "");
            assert_eq!(parse(&text).unwrap().list_of("labels").unwrap(), [title, "y"]);
        }
    }
}
