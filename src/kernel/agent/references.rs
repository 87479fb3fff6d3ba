//! The issues that an issue's text says it depends on.

use std::collections::BTreeSet;

/// The most issues that one issue may depend on.
pub const MAX_DEPENDENCIES: usize = 64;

/// An issue that another one depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// `OWNER/NAME`, in small letters; none for the same repository.
    pub repository: Option<String>,
    /// The number.
    pub number: u64,
}

/// The issues after "depends on" and "blocked by", in any case: `depends on #2, #3 and
/// owner/name#4`. Each once, in order, at most [`MAX_DEPENDENCIES`].
#[must_use]
pub fn references(body: &str) -> Vec<Reference> {
    let lower = body.to_ascii_lowercase();
    let mut found = BTreeSet::new();
    for phrase in ["depends on", "blocked by"] {
        for after in lower.split(phrase).skip(1) {
            let mut rest = after.trim_start_matches([':', ' ']);
            while let Some((reference, after)) = reference(rest) {
                found.insert(reference);
                rest = after.trim_start_matches([',', ' ']);
                rest = rest.strip_prefix("and ").unwrap_or(rest).trim_start();
            }
        }
    }
    found.into_iter().take(MAX_DEPENDENCIES).collect()
}

/// A reference at the beginning of a text, and what follows it.
fn reference(text: &str) -> Option<(Reference, &str)> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let end = text.find(|c: char| !plain(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let repository = match name {
        "" => None,
        name => {
            let (owner, name) = name.split_once('/')?;
            let fine = |part: &str| (1..=100).contains(&part.len()) && !part.contains('/');
            (fine(owner) && fine(name)).then(|| Some(format!("{owner}/{name}")))?
        }
    };
    let digits = rest.strip_prefix('#')?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let number = digits[..end].parse().ok().filter(|number| *number > 0)?;
    Some((Reference { repository, number }, &digits[end..]))
}

#[cfg(test)]
mod tests {
    use super::references;

    fn found(text: &str) -> Vec<String> {
        let shown = |r: &super::Reference| {
            format!("{}#{}", r.repository.as_deref().unwrap_or_default(), r.number)
        };
        references(text).iter().map(shown).collect()
    }

    #[test]
    fn dependencies_are_found_in_the_text() {
        assert_eq!(found("This Depends on #12."), ["#12"]);
        assert_eq!(found("depends on: #3, #2 and #4; see #9"), ["#2", "#3", "#4"]);
        assert_eq!(found("Blocked by Owner/Re.po#7 and #8"), ["#8", "owner/re.po#7"]);
        assert_eq!(found("it depends on the weather, #5"), Vec::<String>::new());
        assert_eq!(found("depends on #0 #7"), Vec::<String>::new());
        assert_eq!(found("depends on a/b/c#1, /x#2, x/#3"), Vec::<String>::new());
        assert_eq!(found("depends on #99999999999999999999999"), Vec::<String>::new());
        assert_eq!(found("depends on"), Vec::<String>::new());
    }
}
