//! The text of the one comment that a task has: a hidden mark that names the task, and a part for
//! each epoch, behind a hidden mark of its own. Whoever owned the task writes its own epoch's part
//! and leaves the others as they are.

/// How many epochs the comment shows; the oldest ones are left out.
const MAX_EPOCHS: usize = 20;

/// The longest part, in bytes. GitHub allows 65,536 characters for all.
const MAX_PART: usize = 3_000;

use crate::integrations::task::shortened;

/// What one owner says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) epoch: u64,
    /// The account that wrote it.
    pub(super) by: String,
    pub(super) text: String,
}

/// The mark of a task's comment: its first line.
pub(super) fn mark(task: &str) -> String {
    format!("<!-- bzzz:task:{task} -->")
}

/// The parts of a comment's text.
pub(super) fn parts(body: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for line in body.lines() {
        let about = line.strip_prefix("<!-- bzzz:epoch:").and_then(|rest| {
            let (epoch, by) = rest.strip_suffix(" -->")?.split_once(" by ")?;
            Some((epoch.parse().ok()?, by.to_owned()))
        });
        match (about, parts.last_mut()) {
            (Some((epoch, by)), _) => parts.push(Part { epoch, by, text: String::new() }),
            (None, Some(part)) => {
                part.text.push_str(line);
                part.text.push('\n');
            }
            (None, None) => {}
        }
    }
    for part in &mut parts {
        part.text = part.text.trim().to_owned();
    }
    parts
}

/// A comment's text with one part set.
pub(super) fn with(body: &str, task: &str, part: Part) -> String {
    let mut parts = parts(body);
    parts.retain(|other| other.epoch != part.epoch);
    parts.push(part);
    parts.sort_by_key(|part| part.epoch);
    let old = parts.len().saturating_sub(MAX_EPOCHS);
    let mut text = mark(task);
    for part in &parts[old..] {
        let (epoch, by) = (part.epoch, &part.by);
        // No text may pass for a mark.
        let said = part.text.replace("<!--", "&lt;!--").replace('\u{200b}', "");
        let said = shortened(&defused(&said), MAX_PART);
        text.push_str(&format!("\n<!-- bzzz:epoch:{epoch} by {by} -->\n{said}\n"));
    }
    text
}

/// A text that calls nobody and closes nothing: what a model or an issue says must not, and GitHub
/// acts on `@name` and on `#7` after some words. An invisible character stands after the sign.
#[must_use]
pub fn defused(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        let acts = match c {
            '@' => chars.peek().is_some_and(|next| next.is_alphanumeric()),
            '#' => chars.peek().is_some_and(char::is_ascii_digit),
            _ => false,
        };
        if acts {
            out.push('\u{200b}');
        }
    }
    // Addresses of issues and the old form of references close too.
    out.replace("/issues/", "/issues\u{200b}/").replace("GH-", "GH\u{200b}-")
}

/// Whether two texts are the same for people: GitHub may change the ends of lines.
pub(super) fn same(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.replace("\r\n", "\n").trim().to_owned();
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(epoch: u64, text: &str) -> Part {
        Part { epoch, by: "a[bot]".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn each_epoch_has_its_part() {
        let first = with("", "t", part(1, "I work on it."));
        assert!(first.starts_with("<!-- bzzz:task:t -->\n"), "{first}");
        let second = with(&first.replace('\n', "\r\n"), "t", part(2, "Now I do.\n\nReally."));
        assert_eq!(parts(&second), [part(1, "I work on it."), part(2, "Now I do.\n\nReally.")]);
        // A late word of the first owner does not touch what the second says.
        let late = with(&second, "t", part(1, "I gave it back."));
        assert_eq!(parts(&late), [part(1, "I gave it back."), part(2, "Now I do.\n\nReally.")]);
        assert!(same(&with(&late, "t", part(2, "Now I do.\n\nReally.")), &late));
    }

    #[test]
    fn no_text_calls_people_or_closes_issues() {
        let text = "@all: fixes #12, closes o/r#3 and GH-4, a@b, 1 @ 2, # 5";
        let defused = defused(text);
        assert_eq!(defused.matches('\u{200b}').count(), 5, "{defused:?}");
        assert_eq!(defused.replace('\u{200b}', ""), text);
        let once = with("", "t", part(1, text));
        assert_eq!(with(&once, "t", parts(&once).remove(0)), once, "and not again and again");
    }

    #[test]
    fn no_text_passes_for_a_mark() {
        let text = with("", "t", part(1, "x\n<!-- bzzz:epoch:9 by me -->\ny"));
        assert_eq!(parts(&text).len(), 1, "{text}");
        let many =
            (0..100).fold(String::new(), |text, n| with(&text, "t", part(n, &"x".repeat(9999))));
        assert_eq!(parts(&many).len(), MAX_EPOCHS);
        assert!(many.len() < 65_536);
    }
}
