//! Reading and changing a board.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::files::{self, fault, file_name, numbered};
use super::front::{Document, Value, Wrong};
use super::{
    Assignment, BoardError, Comment, Issue, MAX_DEPENDENCIES, MAX_LABELS, MAX_TEXT_BYTES, NewIssue,
    NewPull, Projection, Pull, PullState, State,
};
use crate::integrations::task::{CheckState, PullRead, ReviewState, references};
use crate::kernel::event::CommitId;

const ISSUES: &str = "issues";
const PULLS: &str = "pulls";
const COMMENTS: &str = "comments";

const ISSUE_KEYS: &[&str] = &["title", "state", "labels", "assignee", "depends_on", "created"];
const PULL_KEYS: &[&str] = &["title", "issue", "branch", "commit", "author", "state"];
const COMMENT_KEYS: &[&str] = &["author", "key"];

/// How often a change is begun again because a person saved the same file meanwhile.
const RETRIES: usize = 5;

/// A task board in a directory. Several processes may use one at once: each change holds the
/// board's lock, and a person's save between is seen and kept.
#[derive(Clone, Debug)]
pub struct Board {
    root: PathBuf,
}

impl Board {
    /// Makes a directory a board; one that is a board already stays as it is.
    ///
    /// # Errors
    /// [`BoardError::Io`].
    pub fn create(root: &Path) -> Result<Self, BoardError> {
        for name in [ISSUES, PULLS] {
            let path = root.join(name);
            fs::create_dir_all(&path).map_err(fault("create the directory", &path))?;
        }
        Self::open(root)
    }

    /// Opens a board.
    ///
    /// # Errors
    /// [`BoardError::NotABoard`]; [`BoardError::Io`] if it can't be read.
    pub fn open(root: &Path) -> Result<Self, BoardError> {
        for missing in [ISSUES, PULLS] {
            match fs::read_dir(root.join(missing)) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(BoardError::NotABoard { path: root.to_owned(), missing });
                }
                Err(error) => return Err(fault("list", &root.join(missing))(error)),
            }
        }
        Ok(Self { root: root.to_owned() })
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All issues that can be read, by number, and what is wrong with the others.
    ///
    /// # Errors
    /// If the directory can't be listed, or holds too many files.
    pub fn issues(&self) -> Result<(Vec<Issue>, Vec<BoardError>), BoardError> {
        self.all(ISSUES, read_issue)
    }

    /// All pull requests that can be read, by number, and what is wrong with the others.
    ///
    /// # Errors
    /// If the directory can't be listed, or holds too many files.
    pub fn pulls(&self) -> Result<(Vec<Pull>, Vec<BoardError>), BoardError> {
        self.all(PULLS, read_pull)
    }

    /// One issue.
    ///
    /// # Errors
    /// [`BoardError::NoIssue`]; what is wrong with its file.
    pub fn issue(&self, number: u64) -> Result<Issue, BoardError> {
        read_issue(&self.issue_file(number)?, number)
    }

    /// The comments on an issue, by key.
    ///
    /// # Errors
    /// [`BoardError::NoIssue`]; what is wrong with a comment's file.
    pub fn comments(&self, number: u64) -> Result<Vec<Comment>, BoardError> {
        let directory = self.issue_file(number)?.with_extension("").join(COMMENTS);
        if !directory.exists() {
            return Ok(Vec::new());
        }
        let names = files::list(&directory)?.into_iter();
        names.filter(|(name, _)| name.ends_with(".md")).map(|(_, p)| read_comment(&p)).collect()
    }

    /// Writes a new issue under the next number.
    ///
    /// # Errors
    /// [`BoardError::BadInput`], [`BoardError::Busy`], [`BoardError::TooMany`], [`BoardError::Io`].
    pub fn add_issue(&self, new: &NewIssue) -> Result<u64, BoardError> {
        check_text("title", &new.title)?;
        for label in &new.labels {
            check_text("label", label)?;
        }
        if new.labels.len() > MAX_LABELS || new.depends_on.len() > MAX_DEPENDENCIES {
            let why = format!("at most {MAX_LABELS} labels and {MAX_DEPENDENCIES} dependencies");
            return Err(BoardError::BadInput(why));
        }
        let mut values = vec![("title", text(&new.title)), ("state", text("open"))];
        values.push(("labels", Value::List(unique(&new.labels))));
        values.push(("assignee", text("")));
        let numbers = new.depends_on.iter().collect::<BTreeSet<_>>();
        values.push(("depends_on", Value::List(numbers.iter().map(ToString::to_string).collect())));
        let content = Document::compose(&values, &new.body);
        self.add(ISSUES, &new.title, &content)
    }

    /// Shows the state of a task on its issue. What the projection doesn't name stays byte for
    /// byte, and a repetition writes nothing.
    ///
    /// # Errors
    /// [`BoardError::NoIssue`]; what is wrong with its file; as [`Board::add_issue`].
    pub fn project(&self, number: u64, projection: &Projection) -> Result<(), BoardError> {
        for label in projection.add_labels.iter().chain(&projection.remove_labels) {
            check_text("label", label)?;
        }
        if let Assignment::To(name) = &projection.assignee {
            check_text("assignee", name)?;
        }
        let _locked = files::lock(&self.root)?;
        let path = self.issue_file(number)?;
        edit(&path, ISSUE_KEYS, |document| {
            let issue = issue_of(document, number)?;
            let mut changes = Vec::new();
            if let Some(state) = projection.state
                && issue.open != (state == State::Open)
            {
                changes.push(("state", text(if issue.open { "closed" } else { "open" })));
            }
            let assignee = match &projection.assignee {
                Assignment::Keep => issue.assignee.clone(),
                Assignment::Nobody => None,
                Assignment::To(name) => Some(name.clone()),
            };
            if assignee != issue.assignee {
                changes.push(("assignee", text(assignee.as_deref().unwrap_or_default())));
            }
            let all = issue.labels.iter().chain(&projection.add_labels).cloned();
            let all: Vec<_> = all.filter(|one| !projection.remove_labels.contains(one)).collect();
            let labels = unique(&all);
            if labels.len() > MAX_LABELS {
                let line = document.line("labels");
                return Err(Wrong { line, why: format!("there are over {MAX_LABELS} labels") });
            }
            if labels != issue.labels {
                changes.push(("labels", Value::List(labels)));
            }
            Ok((changes, None))
        })
    }

    /// Writes a comment; one of the same key on the same issue is edited.
    ///
    /// # Errors
    /// As [`Board::project`]; [`BoardError::BadInput`] for a key that is no plain file name.
    pub fn comment(
        &self,
        number: u64,
        key: &str,
        author: &str,
        body: &str,
    ) -> Result<(), BoardError> {
        check_key(key)?;
        check_text("author", author)?;
        let _locked = files::lock(&self.root)?;
        let directory = self.issue_file(number)?.with_extension("").join(COMMENTS);
        fs::create_dir_all(&directory).map_err(fault("create the directory", &directory))?;
        let path = directory.join(format!("{key}.md"));
        if path.exists() {
            return edit(&path, COMMENT_KEYS, |_| {
                Ok((vec![("author", text(author)), ("key", text(key))], Some(body.to_owned())))
            });
        }
        files::list(&directory)?;
        let values = [("author", text(author)), ("key", text(key))];
        files::create(&path, &Document::compose(&values, body))
    }

    /// Opens a pull request; its number. If the branch has one already, that is brought up to date:
    /// all but its state, which is the people's.
    ///
    /// # Errors
    /// As [`Board::add_issue`]; what is wrong with a file of another pull request.
    pub fn open_pull(&self, new: &NewPull) -> Result<u64, BoardError> {
        let given = [
            ("title", &new.title),
            ("branch", &new.branch),
            ("commit", &new.commit),
            ("author", &new.author),
        ];
        for (key, value) in given {
            check_text(key, value)?;
        }
        let _locked = files::lock(&self.root)?;
        let directory = self.root.join(PULLS);
        let values = [
            ("title", text(&new.title)),
            ("issue", text(&new.issue.to_string())),
            ("branch", text(&new.branch)),
            ("commit", text(&new.commit)),
            ("author", text(&new.author)),
        ];
        for (number, path) in numbered(&directory)?.files {
            // What can't be read is not this one, and doesn't stop it.
            if read_pull(&path, number).is_ok_and(|pull| pull.branch == new.branch) {
                let body = Some(new.body.clone());
                edit(&path, PULL_KEYS, |_| Ok((values.to_vec(), body.clone())))?;
                return Ok(number);
            }
        }
        let values: Vec<_> = values.into_iter().chain([("state", text("open"))]).collect();
        self.add_locked(PULLS, &new.title, &Document::compose(&values, &new.body))
    }

    /// What became of a pull request: what its file says of its state. A board has no checks and
    /// no reviews.
    ///
    /// # Errors
    /// [`BoardError::NoPull`]; what is wrong with its file.
    pub fn watch(&self, number: u64) -> Result<PullRead, BoardError> {
        let mut listed = numbered(&self.root.join(PULLS))?;
        let missing = || BoardError::NoPull { path: self.root.clone(), number };
        let pull = read_pull(&listed.files.remove(&number).ok_or_else(missing)?, number)?;
        let head = pull.commit.parse::<CommitId>().ok();
        let (checks, reviews, feedback) = (CheckState::None, ReviewState::None, String::new());
        Ok(PullRead { state: pull.state, head, checks, reviews, feedback })
    }

    fn all<T>(
        &self,
        directory: &str,
        read: fn(&Path, u64) -> Result<T, BoardError>,
    ) -> Result<(Vec<T>, Vec<BoardError>), BoardError> {
        let listed = numbered(&self.root.join(directory))?;
        let (mut found, mut faults) = (Vec::new(), listed.faults);
        for (number, path) in listed.files {
            match read(&path, number) {
                Ok(one) => found.push(one),
                Err(error) => faults.push(error),
            }
        }
        Ok((found, faults))
    }

    fn issue_file(&self, number: u64) -> Result<PathBuf, BoardError> {
        let mut listed = numbered(&self.root.join(ISSUES))?;
        let missing = || BoardError::NoIssue { path: self.root.clone(), number };
        listed.files.remove(&number).ok_or_else(missing)
    }

    fn add(&self, directory: &str, title: &str, content: &str) -> Result<u64, BoardError> {
        let _locked = files::lock(&self.root)?;
        self.add_locked(directory, title, content)
    }

    fn add_locked(&self, directory: &str, title: &str, content: &str) -> Result<u64, BoardError> {
        let directory = self.root.join(directory);
        let number = numbered(&directory)?.highest.saturating_add(1);
        files::create(&directory.join(file_name(number, title)), content)?;
        Ok(number)
    }
}

/// The values to set, and the body if it is to be replaced.
type Changes = (Vec<(&'static str, Value)>, Option<String>);

/// Changes single lines of a file; the caller holds the lock. Nothing is written if nothing
/// changes.
fn edit(
    path: &Path,
    keys: &[&str],
    change: impl Fn(&Document) -> Result<Changes, Wrong>,
) -> Result<(), BoardError> {
    let named = |wrong: Wrong| syntax(path, wrong);
    for _ in 0..RETRIES {
        let read = files::read(path)?;
        let mut document = Document::parse(read.clone(), keys).map_err(named)?;
        let (values, body) = change(&document).map_err(named)?;
        for (key, value) in values {
            if document.is(key, &value) {
                continue;
            }
            document = Document::parse(document.with(key, &value), keys).map_err(named)?;
        }
        let content = match body {
            Some(body) if document.body() != body.trim() => document.with_body(&body),
            _ => document.text().to_owned(),
        };
        if content == read || files::replace(path, &read, &content)? {
            return Ok(());
        }
    }
    Err(BoardError::Busy { path: path.to_owned() })
}

fn read_issue(path: &Path, number: u64) -> Result<Issue, BoardError> {
    let document = Document::parse(files::read(path)?, ISSUE_KEYS).map_err(|w| syntax(path, w))?;
    issue_of(&document, number).map_err(|wrong| syntax(path, wrong))
}

fn issue_of(document: &Document, number: u64) -> Result<Issue, Wrong> {
    let body = document.body().to_owned();
    let mut depends_on: BTreeSet<u64> = references(&body)
        .into_iter()
        .filter(|reference| reference.repository.is_none())
        .map(|reference| reference.number)
        .collect();
    for item in document.list_of("depends_on")? {
        let other = item.trim_start_matches('#').parse::<u64>().ok();
        let Some(other) = other.filter(|other| *other > 0 && *other != number) else {
            let why = format!("depends_on: {item:?} is no number of another issue");
            return Err(Wrong { line: document.line("depends_on"), why });
        };
        depends_on.insert(other);
    }
    depends_on.remove(&number);
    let limits = [
        ("depends_on", depends_on.len(), MAX_DEPENDENCIES),
        ("labels", document.list_of("labels")?.len(), MAX_LABELS),
    ];
    for (key, found, limit) in limits {
        if found > limit {
            let why = format!("{key}: at most {limit}, not {found}");
            return Err(Wrong { line: document.line(key), why });
        }
    }
    let created = document.text_of("created")?.map(str::to_owned);
    if created.as_deref().is_some_and(|created| !is_rfc3339(created)) {
        let why = "created: write it as 2026-01-31T12:00:00Z".to_owned();
        return Err(Wrong { line: document.line("created"), why });
    }
    Ok(Issue {
        number,
        title: document.required("title")?.to_owned(),
        body,
        labels: unique(document.list_of("labels")?),
        open: is_open(document, &["closed"])?,
        assignee: document.text_of("assignee")?.map(str::to_owned),
        depends_on: depends_on.into_iter().collect(),
        created,
    })
}

fn read_pull(path: &Path, number: u64) -> Result<Pull, BoardError> {
    let named = |wrong| syntax(path, wrong);
    let document = Document::parse(files::read(path)?, PULL_KEYS).map_err(named)?;
    let required = |key| document.required(key).map(str::to_owned).map_err(named);
    let issue = required("issue")?.parse().map_err(|_| {
        named(Wrong { line: document.line("issue"), why: "issue is a number".to_owned() })
    })?;
    Ok(Pull {
        number,
        title: required("title")?,
        issue,
        branch: required("branch")?,
        commit: required("commit")?,
        author: required("author")?,
        state: match document.required("state").map_err(named)? {
            "merged" => PullState::Merged,
            _ if is_open(&document, &["closed", "merged"]).map_err(named)? => PullState::Open,
            _ => PullState::Closed,
        },
        body: document.body().to_owned(),
    })
}

fn read_comment(path: &Path) -> Result<Comment, BoardError> {
    let named = |wrong| syntax(path, wrong);
    let document = Document::parse(files::read(path)?, COMMENT_KEYS).map_err(named)?;
    let required = |key| document.required(key).map(str::to_owned).map_err(named);
    let text = document.body().to_owned();
    Ok(Comment { key: required("key")?, author: required("author")?, text })
}

fn is_open(document: &Document, closed: &[&str]) -> Result<bool, Wrong> {
    match document.required("state")? {
        "open" => Ok(true),
        state if closed.contains(&state) => Ok(false),
        state => {
            let known = closed.join(" or ");
            let why = format!("state is open or {known}, not {state:?}");
            Err(Wrong { line: document.line("state"), why })
        }
    }
}

/// The shape alone: `2026-01-31T12:00:00`, a fraction, and `Z` or an offset.
fn is_rfc3339(text: &str) -> bool {
    let digits: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let Some(rest) = digits.strip_prefix("0000-00-00T00:00:00") else {
        return false;
    };
    let rest = rest.strip_prefix('.').map_or(rest, |part| part.trim_start_matches('0'));
    matches!(rest, "Z" | "+00:00" | "-00:00")
}

fn check_text(name: &str, value: &str) -> Result<(), BoardError> {
    let usable = !value.trim().is_empty() && value.len() <= MAX_TEXT_BYTES;
    match usable && !value.chars().any(char::is_control) {
        true => Ok(()),
        false => {
            let why = format!("the {name} must be one line of 1 to {MAX_TEXT_BYTES} bytes");
            Err(BoardError::BadInput(why))
        }
    }
}

fn check_key(key: &str) -> Result<(), BoardError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match (1..=128).contains(&key.len()) && !key.starts_with('.') && key.chars().all(plain) {
        true => Ok(()),
        false => {
            let why =
                "a comment's key has 1 to 128 letters, digits, '.', '_' and '-', no dot first";
            Err(BoardError::BadInput(why.to_owned()))
        }
    }
}

fn unique(items: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    items.iter().filter(|item| seen.insert(item.as_str())).cloned().collect()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn syntax(path: &Path, wrong: Wrong) -> BoardError {
    BoardError::Syntax { path: path.to_owned(), line: wrong.line, why: wrong.why }
}

#[cfg(test)]
mod tests {
    use super::is_rfc3339;

    #[test]
    fn times_have_the_shape_of_the_rfc() {
        for good in ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123+02:00"] {
            assert!(is_rfc3339(good), "{good}");
        }
        for bad in ["2026-01-31", "yesterday", "2026-01-31 12:00:00Z", "2026-01-31T12:00:00"] {
            assert!(!is_rfc3339(bad), "{bad}");
        }
    }
}
