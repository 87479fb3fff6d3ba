//! Text for people: times, names, tables, and untrusted text that cannot move the cursor.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use crate::kernel::fold::SwarmState;
use crate::kernel::identity::AuthorId;

/// The last millisecond that RFC 3339 can name: the end of the year 9999.
const LAST_MS: u64 = 253_402_300_799_999;

/// The widest name that a column is made for, in characters.
const NAME_WIDTH: usize = 20;

/// A time in UTC with milliseconds, as RFC 3339 has it. A clock beyond the year 9999 is printed as
/// a number of milliseconds.
#[must_use]
pub fn time(ms: u64) -> String {
    if ms > LAST_MS {
        return format!("{ms}ms");
    }
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

/// The milliseconds since 1970 of a time in RFC 3339 (UTC), a date and a time with a space between,
/// or a number of milliseconds.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_time(text: &str) -> Result<u64, String> {
    if let Ok(ms) = text.trim_end_matches("ms").parse() {
        return Ok(ms);
    }
    let says = "a time is 2026-01-31T12:00:00Z (UTC) or a number of milliseconds since 1970";
    let time = humantime::parse_rfc3339_weak(text).map_err(|error| format!("{error}; {says}"))?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| says.to_owned())?;
    u64::try_from(since.as_millis()).map_err(|_| says.to_owned())
}

/// Untrusted text for a terminal: what could move the cursor, change colours, reorder or hide text
/// is written as an escape. Tabs stay; lines are split before.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    let unsafe_char = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(
                u32::from(c),
                0x061c | 0x200b | 0x200e | 0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff
            )
    };
    if !text.contains(unsafe_char) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if unsafe_char(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// The members' names, each for one key only: a name that two have is followed by the key.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<AuthorId, String>);

impl Names {
    /// The names of a state's members. Administrators have none but that of their nodes.
    #[must_use]
    pub fn of(state: &SwarmState) -> Self {
        Self::from(chosen_names(state))
    }

    /// The number of characters of the longest name.
    #[must_use]
    pub fn width(&self) -> usize {
        self.0.values().map(|name| name.chars().count()).max().unwrap_or(0)
    }

    /// The name of an author, or the first digits of its key.
    #[must_use]
    pub fn name(&self, author: &AuthorId) -> String {
        self.0.get(author).cloned().unwrap_or_else(|| author.short())
    }
}

/// The names of a state's members as they chose them, which are untrusted.
#[must_use]
pub fn chosen_names(state: &SwarmState) -> BTreeMap<AuthorId, String> {
    let named = state.members.members.iter().map(|(author, member)| {
        let agent = state.agents.get(author).filter(|_| member.administrator);
        let name = agent.map_or(&member.name, |agent| &agent.started.name);
        (*author, name.clone())
    });
    named.collect()
}

impl From<BTreeMap<AuthorId, String>> for Names {
    /// Of names as members chose them, which are untrusted.
    fn from(chosen: BTreeMap<AuthorId, String>) -> Self {
        let mut names = BTreeMap::new();
        for (author, name) in chosen {
            names.insert(author, clean(&name).chars().take(NAME_WIDTH).collect::<String>());
        }
        let mut uses: BTreeMap<String, u32> = BTreeMap::new();
        for name in names.values() {
            *uses.entry(name.clone()).or_default() += 1;
        }
        for (author, name) in &mut names {
            if name.trim().is_empty() || uses[name.as_str()] > 1 {
                *name = format!("{name} {}", author.short()).trim().to_owned();
            }
        }
        Self(names)
    }
}

/// A number of things, whose name in the plural ends in s.
#[must_use]
pub fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Writes rows in aligned columns; the last one is not padded.
///
/// # Errors
/// Those of the output.
pub fn table(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_they_print() {
        for ms in [0, 1, 951_782_400_000, 1_767_225_599_999, LAST_MS] {
            assert_eq!(parse_time(&time(ms)), Ok(ms));
        }
        assert_eq!(time(1_767_225_599_999), "2025-12-31T23:59:59.999Z");
        assert_eq!(parse_time(&time(u64::MAX >> 16)), Ok(u64::MAX >> 16));
        assert_eq!(parse_time("2026-01-01 00:00:00"), Ok(1_767_225_600_000));
        for bad in ["", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00+02:00", "-5"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn untrusted_text_cannot_reach_the_terminal() {
        assert_eq!(clean("a\tb ü"), "a\tb ü");
        assert_eq!(clean("\x1b[2Jgone\u{202e}x\r"), "\\u{1b}[2Jgone\\u{202e}x\\r");
        assert_eq!(clean("\u{9b}31m"), "\\u{9b}31m");
    }
}
