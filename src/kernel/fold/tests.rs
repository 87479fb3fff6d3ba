//! Forks of administrators' logs: what they said behind the fork changes nothing, in whatever order
//! it arrives. Nor does an answer to what is said only later.

use std::collections::{BTreeMap, BTreeSet};

use super::{Aggregate, Dependencies, EventSource, Fold, FoldError, Place, Reason, SwarmState};
use crate::kernel::event::kinds::{
    Act, CheckState, ClaimIntended, ClaimWon, ForkProven, ForkResolved, MemberAdmitted,
    MessageSaid, Payload, PublishIntended, Published, PullRequestOpened, PullRequestSeen,
    PullState, ReviewState, Role, SwarmFounded, TaskSeen,
};
use crate::kernel::event::{CommitId, Draft, Event, Hlc, TaskId, swarm_id};
use crate::kernel::identity::{AuthorId, SecretKey, SwarmId};
use crate::kernel::log::{Branch, Consistency, ForkProof, Hash, Inclusion, SignedHead};

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn id(n: u8) -> AuthorId {
    key(n).author()
}

/// Some events, in the order of their clocks.
#[derive(Default)]
struct Said(Vec<Event>);

impl Said {
    fn say(&mut self, who: u8, payload: impl Into<Payload>) {
        let clock = Hlc(self.0.len() as u64 + 1);
        self.0.push(self.event(who, clock, Draft::general(payload)));
    }

    /// The next event of somebody's log, which is not said yet.
    fn event(&self, who: u8, clock: Hlc, draft: Draft) -> Event {
        let seq = self.0.iter().filter(|event| event.author == id(who)).count() as u64;
        let record = draft.record(seq, clock).unwrap();
        Event::read(id(who), seq, record.as_ref()).unwrap()
    }

    /// Administrators 1 and 2.
    fn founded() -> Self {
        let mut said = Self::default();
        let administrators = vec![id(1), id(2)];
        said.say(1, SwarmFounded { name: "s".to_owned(), administrators, nonce: [0; 16] });
        said
    }

    fn swarm(&self) -> SwarmId {
        swarm_id(self.0[0].id)
    }

    fn admit(&mut self, by: u8, member: u8) {
        let (member, name) = (id(member), "m".to_owned());
        self.say(by, MemberAdmitted { member, role: Role::Agent, name });
    }

    fn prove(&mut self, by: u8, whose: u8, index: u64) {
        let proof = proof(&key(whose), self.swarm(), index).to_bytes();
        self.say(by, ForkProven { proof });
    }

    fn resolve(&mut self, by: u8, whose: u8, index: u64) {
        let (author, root, reason) = (id(whose), Hash([0; 32]), String::new());
        self.say(by, ForkResolved { author, length: index + 1, root, reason });
    }

    /// The state, which is the same in every order of arrival of the logs, and in the total order.
    fn state(&self) -> SwarmState {
        let fold = |events: Vec<&Event>| {
            let mut fold = Fold::new(self.swarm());
            for event in events {
                let _ = fold.apply(event, self).unwrap();
            }
            fold.state().clone()
        };
        let expected = fold(self.0.iter().collect());
        for order in [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] {
            let by_log = order.iter().flat_map(|n| self.0.iter().filter(|e| e.author == id(*n)));
            assert_eq!(fold(by_log.collect()), expected, "logs in order {order:?}");
        }
        expected
    }
}

impl EventSource for Said {
    fn places(&self, aggregate: &Aggregate) -> Result<Vec<Place>, FoldError> {
        let of = self.0.iter().filter(|event| Aggregate::of(event) == Some(*aggregate));
        Ok(of.map(Place::of).collect())
    }

    fn event(&self, place: &Place) -> Result<Event, FoldError> {
        let found = self.0.iter().find(|event| Place::of(event) == *place);
        found.cloned().ok_or_else(|| FoldError("none".to_owned()))
    }

    fn event_at(&self, author: &AuthorId, seq: u64) -> Result<Option<Event>, FoldError> {
        let at = |event: &&Event| event.author == *author && event.header.seq == seq;
        Ok(self.0.iter().find(at).cloned())
    }

    fn aggregates_of(&self, _: &AuthorId, _: u64) -> Result<BTreeSet<Aggregate>, FoldError> {
        Ok(self.0.iter().filter_map(Aggregate::of).collect())
    }
}

/// Two histories that differ first at index 1 or 2.
fn proof(key: &SecretKey, swarm: SwarmId, index: u64) -> ForkProof {
    let before = Hash([7; 32]);
    let branch = |leaf: Hash| {
        let peaks = match index {
            1 => vec![Hash::parent(&before, &leaf)],
            _ => vec![before, leaf],
        };
        let length = index + 1;
        let root = Hash::root(length, &peaks);
        let head = SignedHead::clone(&SignedHead::sign(key, swarm, length, root, 1));
        let hashes = vec![before, leaf];
        let consistency = Consistency { from: index, to: length, hashes };
        let inclusion = Inclusion { index, length, hashes: vec![before] };
        Branch { head, before: consistency, leaf, inclusion }
    };
    let proof = ForkProof::new(branch(Hash([1; 32])), branch(Hash([2; 32])));
    assert!(proof.verify(&swarm).is_ok());
    proof
}

fn forks(state: &SwarmState) -> BTreeMap<AuthorId, u64> {
    let members = state.members.members.iter();
    members.filter_map(|(author, member)| Some((*author, member.forked_at()?))).collect()
}

#[test]
fn nobody_resolves_a_fork_of_its_own_log_from_behind_it() {
    let mut said = Said::founded();
    said.admit(1, 3);
    said.prove(3, 1, 2);
    said.resolve(1, 1, 2);
    assert_eq!(forks(&said.state()), [(id(1), 2)].into());
    said.resolve(2, 1, 2);
    assert_eq!(forks(&said.state()), [].into());
}

#[test]
fn two_forked_administrators_do_not_resolve_each_other() {
    let mut said = Said::founded();
    said.admit(1, 3);
    said.admit(2, 3);
    said.prove(3, 1, 2);
    said.prove(3, 2, 1);
    said.resolve(1, 2, 1);
    said.resolve(2, 1, 2);
    assert_eq!(forks(&said.state()), [(id(1), 2), (id(2), 1)].into());
}

/// Member 3 was admitted behind a fork, so that its proofs are no member's, whenever they arrive.
#[test]
fn what_follows_from_behind_a_fork_is_the_same_in_every_order() {
    let mut said = Said::founded();
    said.admit(1, 3);
    said.prove(2, 1, 1);
    said.prove(3, 2, 2);
    let _ = said.state();
}

/// A message that names a parent of the future, or answers itself through another one, is refused,
/// whichever of the two arrives first.
#[test]
fn a_parent_of_the_future_is_no_parent() {
    let mut said = Said::founded();
    said.admit(1, 3);
    let task = TaskId::of("r", 1);
    let (epoch, process, lease_ms) = (1, 1, 1);
    let intended = ClaimIntended { epoch, lease_ms, process, previous: None };
    let intended = said.event(1, Hlc(10), Draft::about(task, intended));
    let (intent, commit) = (intended.id, "a".repeat(40).parse().unwrap());
    said.0.push(intended);
    let won = ClaimWon { intent, epoch, commit };
    said.0.push(said.event(1, Hlc(11), Draft::about(task, won)));
    let message = |parent| {
        let (act, text, deadline_ms) = (Act::Comment, "so?".to_owned(), 0);
        Draft::about(task, MessageSaid { epoch, parent, act, text, deadline_ms })
    };
    let later = said.event(2, Hlc(20), message(None));
    let earlier = said.event(3, Hlc(15), message(Some(later.id)));
    let (later_id, earlier_id) = (later.id, earlier.id);
    said.0.extend([earlier, later]);
    let state = said.state();
    let task = &state.tasks[&task];
    let messages = &task.epochs[&1].discussion.messages;
    assert_eq!(messages.keys().collect::<Vec<_>>(), [&later_id]);
    let refused: Vec<_> = task.refusals.first.iter().map(|r| (r.event, r.reason)).collect();
    assert_eq!(refused, [(earlier_id, Reason::Dangling)]);
}

/// What depends on a task goes on from its branch while that waits for people, and from the main
/// branch once they merged it or closed the issue, with its work or without.
#[test]
fn a_dependency_is_met_by_work_or_by_people() {
    let mut said = Said::founded();
    let seen = |issue, depends_on: &[u64], open| {
        let text = String::new;
        let (depends_on, labels, repository) = (depends_on.to_vec(), Vec::new(), "r".to_owned());
        TaskSeen { repository, issue, title: text(), body: text(), labels, depends_on, open }
    };
    let task = |issue| TaskId::of("r", issue);
    let mut tell = |issue, payload: Payload| {
        let clock = Hlc(said.0.len() as u64 + 1);
        said.0.push(said.event(1, clock, Draft::about(task(issue), payload)));
        let id = said.0.last().map(|event| event.id).unwrap();
        let state = said.state();
        let other = state.tasks.get(&task(2)).map(|task| state.dependencies(task));
        (id, other, state.tasks.get(&task(2)).map_or(0, |task| state.waits(task).len()))
    };
    let commit: CommitId = "a".repeat(40).parse().unwrap();
    let (epoch, branch) = (1, "bzzz/issue-1".to_owned());
    let ready = |base: Option<(String, CommitId)>| Some(Dependencies::Ready(base));

    assert_eq!(tell(2, seen(2, &[1], true).into()).1, Some(Dependencies::Waiting(1)));
    let (_, met, waits) = tell(1, seen(1, &[], true).into());
    assert_eq!((met, waits), (Some(Dependencies::Waiting(1)), 1));
    // People close it, and open it again.
    let (_, met, waits) = tell(1, seen(1, &[], false).into());
    assert_eq!((met, waits), (ready(None), 0));
    assert_eq!(tell(1, seen(1, &[], true).into()).1, Some(Dependencies::Waiting(1)));
    let intended = ClaimIntended { epoch, lease_ms: 1, process: 1, previous: None };
    let intent = tell(1, intended.into()).0;
    tell(1, ClaimWon { intent, epoch, commit: commit.clone() }.into());
    let (changed, claim) = ((1, 1, 1), commit.clone());
    let intended =
        PublishIntended { epoch, branch: branch.clone(), commit: commit.clone(), changed };
    assert_eq!(tell(1, intended.into()).1, Some(Dependencies::Waiting(1)));
    let published = Published { epoch, branch: branch.clone(), commit: commit.clone(), claim };
    let (_, met, waits) = tell(1, published.into());
    assert_eq!((met, waits), (ready(Some((branch, commit.clone()))), 0));
    tell(1, PullRequestOpened { epoch, number: 7, place: String::new() }.into());
    let (checks, reviews) = (CheckState::None, ReviewState::None);
    let (head, feedback, state) = (commit.to_string(), String::new(), PullState::Merged);
    let merged = PullRequestSeen { epoch, number: 7, state, head, checks, reviews, feedback };
    assert_eq!(tell(1, merged.into()).1, ready(None));
}
