//! The discussion of a task as `bzzz-replay` tells it, and where two bundles part.

use bzzz::kernel::audit::{Outcome, Transcript, What};
use bzzz::kernel::event::kinds::{
    Act, ApprovalGiven, ApprovalRequested, CoordinationJoined, CoordinationOpened,
    CoordinationResolved, CoordinationSaid, DependencyDetected, DiscussionBounded, Escalated,
    EscalationAnswered, HelpAccepted, HelpForm, HelpOffered, HelpRequested, MessageSaid, Side,
    Source, Subject, WorkResumed,
};

use super::*;

fn plan(revision: u32, summary: &str) -> PlanProposed {
    let text = PlanText {
        summary: summary.to_owned(),
        steps: vec!["fix".to_owned()],
        files: vec!["tally.sh".to_owned()],
        tests: Vec::new(),
        risks: Vec::new(),
    };
    PlanProposed { epoch: 1, revision, plan: text, deadline_ms: START_MS + 14_000 }
}

fn review(plan: EventId, verdict: Verdict, reason: &str) -> PlanReviewed {
    PlanReviewed { epoch: 1, plan, verdict, reason: reason.to_owned() }
}

fn said(parent: Option<EventId>, act: Act, text: &str) -> MessageSaid {
    MessageSaid { epoch: 1, parent, act, text: text.to_owned(), deadline_ms: 0 }
}

/// Ben owns tally#1 and proposes a plan; carl and eve are agents, dora speaks for people.
fn planned() -> (World, EventId) {
    let (anna, ben) = (key(1), key(2));
    let mut world = World::found();
    world.admit(&ben, "ben", Role::Agent);
    world.admit(&key(3), "carl", Role::Agent);
    world.admit(&key(4), "dora\u{1b}[2J", Role::Operator);
    world.admit(&key(5), "eve", Role::Agent);
    world.say(&anna, [about(seen())]);
    let [intent] = world.say(&ben, [about(intended(1))]);
    let won = ClaimWon { intent, epoch: 1, commit: commit('a') };
    world.say(&ben, [about(won)]);
    let [plan] = world.say(&ben, [about(plan(0, "Return zero."))]);
    (world, plan)
}

/// A discussion with all of its parts, and an eve that goes beyond what she may do.
fn discussed() -> World {
    let (ben, carl, dora, eve) = (key(2), key(3), key(4), key(5));
    let (mut world, first) = planned();
    let bounded = DiscussionBounded {
        epoch: 1,
        participants: 8,
        depth: 4,
        per_author: 9,
        messages: 64,
        bytes: 65_536,
        lifetime_ms: 3_600_000,
    };
    world.say(&ben, [about(bounded)]);
    world.say(&carl, [about(review(first, Verdict::Object, "no test\u{1b}[31m\nadd one"))]);
    world.say(&eve, [about(review(first, Verdict::Object, "I object"))]);
    let [second] = world.say(&ben, [about(plan(1, "Return zero, with a test."))]);
    let [object] = world.say(&eve, [about(review(second, Verdict::Object, "again"))]);
    let withdrawn = bzzz::kernel::event::kinds::Withdrawn {
        epoch: 1,
        message: object,
        reason: "never mind".to_owned(),
    };
    world.say(&eve, [about(withdrawn)]);
    let [third] = world.say(&ben, [about(plan(2, "Return zero, with two tests."))]);
    world.say(&eve, [about(review(third, Verdict::Object, "and again"))]);
    let [support] = world.say(&carl, [about(review(third, Verdict::Support, "good"))]);
    let [comment] = world.say(&eve, [about(said(Some(support), Act::Comment, "is it?"))]);
    world.say(&eve, [about(said(Some(comment), Act::Answer, "no question was asked"))]);
    let [question] = world.say(&ben, [about(said(Some(third), Act::Question, "Which shell?"))]);
    world.say(&dora, [about(said(Some(question), Act::Answer, "POSIX"))]);
    let adopted = PlanAdopted { epoch: 1, plan: third, considered: vec![support] };
    world.say(&ben, [about(adopted)]);
    helped(&mut world);
    approved(&mut world);
    let escalated =
        Escalated { epoch: 1, reason: "stuck".to_owned(), question: "Which one?".to_owned() };
    let [escalation] = world.say(&ben, [about(escalated)]);
    let answered = EscalationAnswered {
        epoch: 1,
        escalation,
        answer: "The first.".to_owned(),
        by: "Dora".to_owned(),
        channel: "command".to_owned(),
    };
    let [because] = world.say(&dora, [about(answered)]);
    world.say(&ben, [about(WorkResumed { epoch: 1, because, base: None })]);
    ordered(&mut world);
    world
}

fn helped(world: &mut World) {
    let (ben, carl, eve) = (key(2), key(3), key(5));
    let deadline_ms = world.now_ms + 60_000;
    let asked = HelpRequested {
        epoch: 1,
        tried: vec!["make".to_owned()],
        missing: "a compiler".to_owned(),
        deadline_ms,
    };
    let [request] = world.say(&ben, [about(asked)]);
    let offer = |help, text: &str| HelpOffered {
        epoch: 1,
        request,
        help,
        text: text.to_owned(),
        capabilities: vec!["c".to_owned()],
        until_ms: deadline_ms,
    };
    let [advice] = world.say(&carl, [about(offer(HelpForm::Advice, "use cc"))]);
    world.say(&eve, [about(offer(HelpForm::TakeOver, "give it to me"))]);
    world.say(&ben, [about(HelpAccepted { epoch: 1, offer: advice })]);
    // The owner alone takes an offer.
    world.say(&eve, [about(HelpAccepted { epoch: 1, offer: advice })]);
}

fn approved(world: &mut World) {
    let (ben, dora) = (key(2), key(4));
    let hash = Subject::Command.hash(b"make install");
    let asked = ApprovalRequested {
        epoch: 1,
        subject: Subject::Command,
        hash,
        text: "make install".to_owned(),
        rule: "command \"install\"".to_owned(),
        deadline_ms: world.now_ms + 60_000,
    };
    let [request] = world.say(&ben, [about(asked)]);
    let given = |hash| ApprovalGiven {
        epoch: 1,
        request,
        hash,
        approved: true,
        reason: "harmless".to_owned(),
    };
    let other = Subject::Command.hash(b"make clean");
    world.say(&dora, [about(given(other))]);
    world.say(&dora, [about(given(hash))]);
}

/// Carl owns tally#2, and both agree that tally#1 waits for it.
fn ordered(world: &mut World) {
    let (ben, carl) = (key(2), key(3));
    let other = TaskId::of("tally", 2);
    let seen = TaskSeen { issue: 2, title: "The other".to_owned(), ..seen() };
    let [_, intent] =
        world.say(&carl, [Draft::about(other, seen), Draft::about(other, intended(1))]);
    let won = ClaimWon { intent, epoch: 1, commit: commit('e') };
    world.say(&carl, [Draft::about(other, won)]);
    let found = DependencyDetected {
        repository: "tally".to_owned(),
        issue: 2,
        source: Source::Overlap,
        confidence: 90,
        evidence: vec!["file tally.sh".to_owned()],
    };
    let side = |issue| Side { repository: "tally".to_owned(), issue, epoch: 1 };
    let mut sides = vec![side(1), side(2)];
    sides.sort_by_key(Side::task);
    let first = u32::from(sides[1].issue == 2);
    let session = CoordinationOpened::session(&sides);
    let opened = CoordinationOpened {
        sides,
        first,
        reason: "the plans touch the same".to_owned(),
        evidence: vec!["file tally.sh".to_owned()],
        deadline_ms: world.now_ms + 60_000,
    };
    let drafts = [about(found), Draft::about(session, opened)];
    let [_, opening] = world.say(&ben, drafts);
    let joined = CoordinationJoined { opening, agrees: true, reason: "I go on".to_owned() };
    let [joined] = world.say(&carl, [Draft::about(session, joined)]);
    let said = CoordinationSaid {
        parent: opening,
        side: first,
        act: Act::Comment,
        text: "it is soon done".to_owned(),
    };
    world.say(&carl, [Draft::about(session, said)]);
    let resolved = |considered| CoordinationResolved { opening, first, considered };
    // Who did not open it does not end it.
    world.say(&carl, [Draft::about(session, resolved(vec![joined]))]);
    world.say(&ben, [Draft::about(session, resolved(vec![joined]))]);
}

#[test]
fn a_discussion_is_told_with_its_outcomes_and_rules() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "talk", &discussed().export());
    let (status, told, error) = replayer(&[&path, "tally#1", "--discussion"]);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    for part in [
        "ben owns the task, epoch 1  [",
        "    at most 8 participants, 4 answers deep, 9 messages of one author",
        "ben proposes a plan, until 2026-01-31T12:00:14.000Z  [",
        "= revised: blocking objections stood against it (2)\n",
        "carl objects to the plan (blocking)  [",
        "no test\\u{1b}[31m\n",
        "= heeded: it blocked the plan, and the owner revised it\n",
        "ben proposes revision 1 of its plan, until",
        "= withdrawn: its author took it back\n",
        "eve takes it back  [",
        "ben proposes revision 2 of its plan, until",
        "= considered: the owner had it when it adopted its plan\n",
        "= answered: answers that stand: 1\n",
        "dora\\u{1b}[2J answers  [",
        "= adopted: the window had closed and no blocking objection stood (considered: 1)\n",
        "= accepted: the owner took an offer that stood\n",
        "= not taken: the owner took another offer\n",
        "= approved: a person approved exactly this hash\n",
        "= answered: people answered, the first answer counts\n",
        "ben takes the work up again: people answered  [",
        "ben opens a session: tally#1 waits for tally#2, until",
        "= stands: the session can be resolved at once\n",
        "ben settles the session: tally#2 goes first  [",
        "= refused: the author objected as often as one member may\n",
        "5 events of the task and its sessions refused\n",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "{told}");
}

/// As JSON it is read back, and then told alike; each part stands below what it is about.
#[test]
fn a_discussion_is_a_tree_that_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "talk", &discussed().export());
    let (_, told, _) = replayer(&[&path, "tally#1", "--discussion"]);
    let (status, json, _) = replayer(&[&path, "tally#1", "--discussion", "--json"]);
    assert_eq!(status, Some(0));
    let talk: Transcript = serde_json::from_str(&json).unwrap();
    let mut again = Vec::new();
    bzzz::cli::discussion::text(&mut again, &talk).unwrap();
    assert_eq!(String::from_utf8(again).unwrap(), told);
    let refused = talk.entries.iter().filter(|entry| entry.outcome == Outcome::Refused);
    let rules: Vec<&str> = refused.map(|entry| entry.rule.as_str()).collect();
    for why in [
        "the author objected as often as one member may",
        "the content does not fit the task or exceeds a limit",
        "the author does not own the task in that epoch",
        "the approval is for something else",
        "it is about something that another author said",
    ] {
        let rule = format!("refused: {why}");
        assert!(rules.contains(&rule.as_str()), "{rule} is not in {rules:?}");
    }
    assert_eq!((rules.len(), talk.refused), (5, 5));
    // Each stands below what it is about, and nothing is told twice.
    let mut ids = std::collections::BTreeSet::new();
    for (at, entry) in talk.entries.iter().enumerate() {
        assert!(entry.event.iter().all(|event| ids.insert(event.clone())), "{entry:?}");
        let above = talk.entries[..at].iter().rev().find(|above| above.depth < entry.depth);
        if let (Some(above), Some(parent)) = (above, &entry.parent) {
            assert_eq!(above.event.as_ref(), Some(parent), "{entry:?}");
        }
    }

    let (_, before, _) =
        replayer(&[&path, "tally#1", "--discussion", "--at", "2026-01-31T12:00:12Z", "--json"]);
    let before: Transcript = serde_json::from_str(&before).unwrap();
    let plans: Vec<Outcome> = before
        .entries
        .iter()
        .filter(|entry| entry.what == What::Plan)
        .map(|entry| entry.outcome)
        .collect();
    assert_eq!(plans, [Outcome::Revised, Outcome::Open]);
}

/// The state alone tells all but what it does not keep.
#[test]
fn a_state_alone_tells_its_discussion() {
    let world = discussed();
    let state = world.fold.state();
    let talk = bzzz::kernel::audit::discussion(state, &state.tasks[&task()]);
    let count = |what| talk.entries.iter().filter(|entry| entry.what == what).count();
    let parts = [
        (What::Plan, 3),
        (What::Review, 4),
        (What::Adoption, 1),
        (What::Question, 1),
        (What::Answer, 1),
        (What::Offer, 2),
        (What::Verdict, 1),
        (What::Round, 1),
        (What::Joined, 1),
        (What::Resolved, 1),
        (What::Refused, 5),
    ];
    for (what, expected) in parts {
        assert_eq!(count(what), expected, "{what:?}");
    }
}

/// What an event says that was erased is told no more.
#[test]
fn an_erased_message_is_not_told() {
    let (mut world, first) = planned();
    let carl = key(3);
    let [secret] = world.say(&carl, [about(said(Some(first), Act::Comment, "hunter2"))]);
    let erased = bzzz::kernel::event::kinds::PayloadErased {
        event: secret,
        author: carl.author(),
        seq: 0,
        reason: "a password".to_owned(),
    };
    world.say(&key(1), [Draft::general(erased)]);
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "erased", &world.export());
    for more in [&["--discussion"][..], &["--discussion", "--json"]] {
        let (status, said, _) = replayer(&[&[path.as_str(), "tally#1"], more].concat());
        assert_eq!(status, Some(0));
        assert!(said.contains("Return zero.") && !said.contains("hunter2"), "{said}");
    }
}

/// One node heard an objection before it decided, the other never did.
fn parted(objects: bool) -> World {
    let (mut world, first) = planned();
    let (ben, carl) = (key(2), key(3));
    if objects {
        world.say(&carl, [about(review(first, Verdict::Object, "no test"))]);
        world.say(&ben, [about(plan(1, "With a test."))]);
    } else {
        world.now_ms += 1000;
        world.say(&ben, [about(PlanAdopted { epoch: 1, plan: first, considered: Vec::new() })]);
    }
    world
}

#[test]
fn a_difference_is_named_by_event_state_and_decision() {
    let folder = tempfile::tempdir().unwrap();
    let a = write(folder.path(), "a", &parted(true).export());
    let b = write(folder.path(), "b", &parted(false).export());
    let (status, said, error) = replayer(&["diff", &a, &a]);
    assert_eq!((status, error.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("both lead to one state"), "{said}");

    let (status, said, _) = replayer(&["diff", &a, &b]);
    assert_eq!(status, Some(1), "{said}");
    for line in [
        "log of ben: two histories from index 3 on",
        "log of carl: the same 0 events; B lacks 1 event behind them",
        "the states part after this event, which is in A alone:",
        "carl  objects to the plan",
        "and differ in task tally#1:",
        "epochs.1.plans.0.reviews.0",
        "what ben decided next:",
        "ben  proposes plan 1",
        "ben  adopts its plan",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
    let (status, json, _) = replayer(&["diff", &b, &a, "--json"]);
    assert_eq!(status, Some(1));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["divergence"]["within"], "b");
    assert_eq!(json["divergence"]["decision_a"]["kind"], 32);
    assert_eq!(json["divergence"]["decision_b"]["kind"], 30);
    assert_eq!(json["same"], false);
}

/// A longer copy whose surplus changes no state is no divergence; a wrong digest is one, and one of
/// another version is named.
#[test]
fn checkpoints_of_other_versions_and_wrong_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let short = write(folder.path(), "short", &parted(true).export());
    let mut world = parted(true);
    let right = world.checkpoint();
    world.say(&key(3), [Draft::general(right.clone())]);
    let old = Checkpoint { fold_version: FOLD_VERSION - 1, ..right };
    world.say(&key(3), [Draft::general(old)]);
    let long = write(folder.path(), "long", &world.export());
    let (status, said, _) = replayer(&["diff", &short, &long]);
    assert_eq!(status, Some(0), "{said}");
    for line in [
        "A lacks 2 events behind them",
        "B: a fresh fold confirms 1 checkpoint\n",
        "both lead to one state",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
    let version = format!("B: the first of another fold version ({}),", FOLD_VERSION - 1);
    assert!(said.contains(&version), "{said}");

    let wrong = Checkpoint { digest: Hash([9; 32]), ..world.checkpoint() };
    world.say(&key(3), [Draft::general(wrong)]);
    let lies = write(folder.path(), "lies", &world.export());
    let (status, said, _) = replayer(&["diff", &short, &lies]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("B: the first that it does not: it has 0909090909"), "{said}");
    assert!(said.contains("carl  has the state 0909090909"), "{said}");
}

#[test]
fn bundles_that_cannot_be_compared_are_no_divergence() {
    let folder = tempfile::tempdir().unwrap();
    let a = write(folder.path(), "a", &parted(true).export());
    let mut bad = parted(true).export();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    let bad = write(folder.path(), "bad", &bad);
    let (status, said, error) = replayer(&["diff", &a, &bad]);
    assert_eq!((status, said.as_str()), (Some(1), ""));
    assert!(error.contains("bad does not verify: "), "{error}");
    assert_eq!(replayer(&["diff", &a, &bad, "--unverified"]).0, Some(0));
    let missing = folder.path().join("missing");
    assert_eq!(replayer(&["diff", &a, missing.to_str().unwrap()]).0, Some(2));
    assert_eq!(replayer(&["diff", &a]).0, Some(2));
}
