//! The task board in a directory, as people and several processes use it.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use bzzz::integrations::local::{
    Assignment, Board, BoardError, MAX_FILE_BYTES, MAX_FILES, NewIssue, NewPull, Projection, State,
};
use bzzz::integrations::task::{CheckState, PullState, ReviewState};

fn board() -> (tempfile::TempDir, Board) {
    let dir = tempfile::tempdir().unwrap();
    let board = Board::create(dir.path()).unwrap();
    (dir, board)
}

fn issue(title: &str) -> NewIssue {
    NewIssue { title: title.to_owned(), ..NewIssue::default() }
}

fn pull(branch: &str, commit: &str) -> NewPull {
    NewPull {
        issue: 1,
        branch: branch.to_owned(),
        commit: commit.to_owned(),
        title: "Fix: it".to_owned(),
        body: "Resolves #1.\n".to_owned(),
        author: "agent".to_owned(),
    }
}

#[test]
fn an_issue_is_written_for_people_and_read_back() {
    let (dir, board) = board();
    let new = NewIssue {
        title: "Fix: the \"parser\"".to_owned(),
        body: "It fails.\n\nDepends on #7 and #3.\n".to_owned(),
        labels: vec!["bug".to_owned(), "good first".to_owned(), "bug".to_owned()],
        depends_on: vec![3, 2],
    };
    assert_eq!(board.add_issue(&new).unwrap(), 1);
    let text = fs::read_to_string(dir.path().join("issues/0001-fix-the-parser.md")).unwrap();
    let expected = "---\ntitle: \"Fix: the \\\"parser\\\"\"\nstate: open\n\
                    labels: [bug, good first]\n\
                    assignee:\ndepends_on: [2, 3]\n---\n\nIt fails.\n\nDepends on #7 and #3.\n";
    assert_eq!(text, expected);
    let (issues, faults) = board.issues().unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(issues.len(), 1);
    assert_eq!(issues[0].title, new.title);
    assert_eq!(issues[0].depends_on, [2, 3, 7]);
    assert_eq!((issues[0].open, &issues[0].assignee), (true, &None));
    assert_eq!(issues[0].body, new.body.trim());
    assert_eq!(board.add_issue(&issue("Next")).unwrap(), 2);
}

#[test]
fn a_bad_issue_hides_no_other_and_is_named_with_its_line() {
    let (dir, board) = board();
    board.add_issue(&issue("Good")).unwrap();
    let write =
        |name: &str, text: &[u8]| fs::write(dir.path().join("issues").join(name), text).unwrap();
    write("0002-typo.md", b"---\ntitle: x\nstate: open\nlables: [a]\n---\n");
    write("0003-state.md", b"---\ntitle: x\nstate: done\n---\n");
    write("0004-self.md", b"---\ntitle: x\nstate: open\ndepends_on: [4]\n---\n");
    write("0005-large.md", &vec![b'x'; usize::try_from(MAX_FILE_BYTES).unwrap() + 1]);
    write("0006-bytes.md", b"---\ntitle: x\nstate: open\n---\n\xff\n");
    write("0007-a.md", b"---\ntitle: x\nstate: open\n---\n");
    write("7-b.md", b"---\ntitle: x\nstate: open\n---\n");
    write("8x-odd.md", b"---\ntitle: x\nstate: open\n---\n");
    write("README.md", b"about this board");
    write(".0009-hidden.md", b"half written");
    let (issues, faults) = board.issues().unwrap();
    assert_eq!(issues.iter().map(|issue| issue.number).collect::<Vec<_>>(), [1]);
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let told = told.join("\n");
    for part in [
        "0002-typo.md, line 4: unknown key \"lables\"",
        "0003-state.md, line 3: state is open or closed",
        "0004-self.md, line 4: depends_on",
        "0005-large.md is over the limit of 65536 bytes",
        "0006-bytes.md, line 5: it is not UTF-8",
        "0007-a.md and ",
        "8x-odd.md, line 1: its name",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    assert_eq!(faults.len(), 7, "{told}");
    assert_eq!(board.add_issue(&issue("After")).unwrap(), 8, "numbers of bad files are taken too");
}

#[test]
fn a_projection_changes_its_lines_alone_and_only_once() {
    let (dir, board) = board();
    let path = dir.path().join("issues/12-mine.md");
    let text = "---\r\n# my note\r\ntitle:   By hand  \r\nstate: open\r\n\
                labels: [ 'mine' , old]\r\ncreated: 2026-01-31T12:00:00Z\r\n---\r\n\
                \r\n\r\n  Body --- with odd   space \r\n\r\n";
    fs::write(&path, text).unwrap();
    let projection = Projection {
        state: Some(State::Closed),
        assignee: Assignment::To("agent-1".to_owned()),
        add_labels: vec!["bzzz: done".to_owned(), "mine".to_owned()],
        remove_labels: vec!["old".to_owned(), "absent".to_owned()],
    };
    board.project(12, &projection).unwrap();
    let expected = text
        .replace("state: open", "state: closed")
        .replace("[ 'mine' , old]", "[mine, \"bzzz: done\"]")
        .replace("12:00:00Z\r\n", "12:00:00Z\r\nassignee: agent-1\r\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    board.project(12, &projection).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before, "nothing was written");
    board.project(12, &Projection::default()).unwrap();
    let back = Projection { assignee: Assignment::Nobody, ..Projection::default() };
    board.project(12, &back).unwrap();
    let after = board.issue(12).unwrap();
    assert_eq!((after.open, after.assignee), (false, None));
    assert_eq!(after.created.as_deref(), Some("2026-01-31T12:00:00Z"));
    let missing = board.project(13, &projection);
    assert!(matches!(missing, Err(BoardError::NoIssue { number: 13, .. })), "{missing:?}");
    let many = Projection {
        add_labels: (0..101).map(|i| format!("l{i}")).collect(),
        ..Projection::default()
    };
    assert!(matches!(board.project(12, &many), Err(BoardError::Syntax { .. })));
    let newline = Projection { add_labels: vec!["a\nstate: open".to_owned()], ..back };
    assert!(matches!(board.project(12, &newline), Err(BoardError::BadInput(_))));
    assert!(!board.issue(12).unwrap().open);
}

#[test]
fn a_comment_is_edited_and_not_repeated() {
    let (dir, board) = board();
    board.add_issue(&issue("One")).unwrap();
    board.comment(1, "plan", "agent", "First.").unwrap();
    board.comment(1, "done", "agent", "---\nodd: text\n---").unwrap();
    board.comment(1, "plan", "agent two", "Second.\n").unwrap();
    let comments = board.comments(1).unwrap();
    let told: Vec<_> = comments.iter().map(|c| (&*c.key, &*c.author, &*c.text)).collect();
    let expected = [("done", "agent", "---\nodd: text\n---"), ("plan", "agent two", "Second.")];
    assert_eq!(told, expected);
    let path = dir.path().join("issues/0001-one/comments/plan.md");
    let text = "---\nauthor: agent two\nkey: plan\n---\n\nSecond.\n";
    assert_eq!(fs::read_to_string(path).unwrap(), text);
    for key in ["", "../x", ".x", "a/b", "a b"] {
        let refused = board.comment(1, key, "agent", "x");
        assert!(matches!(refused, Err(BoardError::BadInput(_))), "{key:?}: {refused:?}");
    }
    let large = "x".repeat(usize::try_from(MAX_FILE_BYTES).unwrap());
    let refused = board.comment(1, "plan", "agent", &large);
    assert!(matches!(refused, Err(BoardError::TooLarge { .. })), "{refused:?}");
    assert_eq!(board.comments(1).unwrap().len(), 2);
}

#[test]
fn a_branch_has_one_pull_request() {
    let (dir, board) = board();
    assert_eq!(board.open_pull(&pull("bzzz/1-a", "aaaa")).unwrap(), 1);
    assert_eq!(board.open_pull(&pull("bzzz/2-b", "bbbb")).unwrap(), 2);
    let path = dir.path().join("pulls/0001-fix-it.md");
    let merged = fs::read_to_string(&path).unwrap().replace("state: open", "state: merged");
    fs::write(&path, merged).unwrap();
    assert_eq!(board.open_pull(&pull("bzzz/1-a", "cccc")).unwrap(), 1);
    let (pulls, faults) = board.pulls().unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(pulls.len(), 2);
    assert_eq!(
        (pulls[0].commit.as_str(), pulls[0].state),
        ("cccc", PullState::Merged),
        "the state is the people's"
    );
    assert_eq!((pulls[1].branch.as_str(), pulls[1].issue), ("bzzz/2-b", 1));
    assert_eq!(pulls[1].body, "Resolves #1.");
    let (merged, open) = (board.watch(1).unwrap(), board.watch(2).unwrap());
    assert_eq!((merged.state, merged.head), (PullState::Merged, None));
    assert_eq!(
        (open.state, open.checks, open.reviews),
        (PullState::Open, CheckState::None, ReviewState::None)
    );
    assert!(matches!(board.watch(3), Err(BoardError::NoPull { number: 3, .. })));
}

#[test]
fn a_directory_that_is_no_board_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = Board::open(dir.path()).unwrap_err();
    assert!(matches!(error, BoardError::NotABoard { missing: "issues", .. }), "{error:?}");
    let board = Board::create(dir.path()).unwrap();
    fs::remove_dir(dir.path().join("issues")).unwrap();
    fs::write(dir.path().join("issues"), "a file").unwrap();
    let error = board.issues().unwrap_err();
    assert!(error.to_string().contains("could not list"), "{error}");
    let file = dir.path().join("issues");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    for i in 0..=MAX_FILES {
        fs::write(file.join(format!("{}-x.md", i + 1)), "").unwrap();
    }
    let error = board.issues().unwrap_err();
    assert!(matches!(error, BoardError::TooMany { .. }), "{error:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_left() {
    let (dir, board) = board();
    board.add_issue(&issue("One")).unwrap();
    let path = dir.path().join("issues/0001-one.md");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let (issues, faults) = board.issues().unwrap();
    assert!(issues.is_empty());
    assert!(faults[0].to_string().contains("0001-one.md"), "{}", faults[0]);
}

const CHILDREN: usize = 8;
const EACH: usize = 5;

/// Adds issues, labels one issue and comments on it, as one of several processes.
fn use_board(board: &Board, name: &str) {
    for i in 0..EACH {
        board.add_issue(&issue(&format!("From {name}, {i}"))).unwrap();
        let add_labels = vec![format!("{name}-{i}")];
        board.project(1, &Projection { add_labels, ..Projection::default() }).unwrap();
        board.comment(1, &format!("{name}-{i}"), name, "text").unwrap();
        board.open_pull(&pull(&format!("bzzz/{i}"), "aaaa")).unwrap();
    }
}

/// As a child of the test below, one of its processes; by itself, a single one.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the parent hands a child its part in the environment"
)]
fn child() {
    if let Ok(part) = std::env::var("BZZZ_BOARD_CHILD") {
        let (name, root) = part.split_once(' ').unwrap();
        return use_board(&Board::open(root.as_ref()).unwrap(), name);
    }
    let (_dir, board) = board();
    board.add_issue(&issue("Shared")).unwrap();
    use_board(&board, "alone");
    assert_eq!(board.issues().unwrap().0.len(), 1 + EACH);
}

#[test]
fn several_processes_lose_nothing_of_each_other() {
    let (dir, board) = board();
    board.add_issue(&issue("Shared")).unwrap();
    let children: Vec<_> = (0..CHILDREN)
        .map(|i| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "local::child"])
                .env("BZZZ_BOARD_CHILD", format!("child{i} {}", dir.path().display()))
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let (issues, faults) = board.issues().unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    let numbers: Vec<u64> = issues.iter().map(|issue| issue.number).collect();
    assert_eq!(numbers, (1..=1 + (CHILDREN * EACH) as u64).collect::<Vec<_>>());
    assert_eq!(issues[0].labels.len(), CHILDREN * EACH);
    assert_eq!(board.comments(1).unwrap().len(), CHILDREN * EACH);
    assert_eq!(board.pulls().unwrap().0.len(), EACH);
    let left = fs::read_dir(dir.path().join("issues")).unwrap().flatten();
    assert_eq!(left.filter(|e| e.file_name().to_string_lossy().starts_with('.')).count(), 0);
}
