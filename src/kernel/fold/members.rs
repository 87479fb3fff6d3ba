//! Who belongs to the swarm, and up to where each log stands. Administrators are named by the
//! founding event.

use std::collections::{BTreeMap, BTreeSet};

use bincode::{Decode, Encode};
use serde::Serialize;

use super::refusal::{Reason, Refusals};
use crate::kernel::event::kinds::{ForkProven, ForkResolved, Payload, Role};
use crate::kernel::event::{Event, EventId, Hlc, swarm_id};
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::{Fork, ForkProof, Hash};

/// The most members that a swarm may ever have had.
pub(crate) const MAX_MEMBERS: usize = 4096;

/// The forks of one log that are kept, the lowest. The first alone says how far the log stands.
const MAX_FORKS: usize = 16;

/// The longest reason for a resolution, in bytes.
const MAX_REASON: usize = 4096;

/// A member, present or past.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Member {
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it may admit and revoke.
    pub administrator: bool,
    /// When it was admitted.
    pub since: Hlc,
    /// The number of its events that stand, once it was revoked or went on under another key.
    pub revoked_at: Option<u64>,
    /// The key under which it goes on.
    pub successor: Option<AuthorId>,
    /// The indices at which its log was proven to fork and which nobody resolved. Events from the
    /// first of them on do not stand.
    pub forks: BTreeSet<u64>,
    /// The branch of its log that stands since an administrator named it last.
    pub resolved: Option<Resolved>,
}

/// The branch of a forked log that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Resolved {
    /// The first record that differs between the branches is the last of so many.
    pub length: u64,
    /// Its root at that length.
    pub root: Hash,
}

impl Member {
    fn new(name: String, role: Role, administrator: bool, since: Hlc) -> Self {
        let (revoked_at, successor, forks, resolved) = (None, None, BTreeSet::new(), None);
        Self { name, role, administrator, since, revoked_at, successor, forks, resolved }
    }

    /// The first index at which its log forks, if that is not resolved.
    #[must_use]
    pub fn forked_at(&self) -> Option<u64> {
        self.forks.first().copied()
    }

    /// The number of its events that stand at most: it was revoked, or its log forked. None if
    /// there is no such limit.
    #[must_use]
    pub fn stands_to(&self) -> Option<u64> {
        [self.revoked_at, self.forked_at()].into_iter().flatten().min()
    }
}

/// The members of a swarm.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Members {
    swarm: SwarmId,
    /// The founding event, once it was seen.
    pub founded: Option<(EventId, String)>,
    /// All that were ever admitted.
    pub members: BTreeMap<AuthorId, Member>,
    /// What was refused.
    pub refusals: Refusals,
    /// The forks of administrators' logs that this aggregate was folded with: what they said from
    /// there on changed nothing, wherever it stands in the order.
    cuts: BTreeMap<AuthorId, u64>,
}

impl Members {
    /// Nobody yet.
    #[must_use]
    pub fn new(swarm: SwarmId) -> Self {
        Self::with_cuts(swarm, BTreeMap::new())
    }

    /// Nobody yet, and administrators' logs cut off at these indices.
    pub(super) fn with_cuts(swarm: SwarmId, cuts: BTreeMap<AuthorId, u64>) -> Self {
        let (members, refusals) = (BTreeMap::new(), Refusals::default());
        Self { swarm, founded: None, members, refusals, cuts }
    }

    /// Whether the event at this index of the author's log stands: the author was admitted, and
    /// not revoked and not proven to fork at or below it.
    #[must_use]
    pub fn stands(&self, author: &AuthorId, seq: u64) -> bool {
        let member = self.members.get(author);
        member.is_some_and(|member| member.stands_to().is_none_or(|length| seq < length))
    }

    /// What decides whether events of an author stand.
    pub(super) fn standing(&self, author: &AuthorId) -> Option<(&Role, Option<u64>)> {
        self.members.get(author).map(|member| (&member.role, member.stands_to()))
    }

    /// Where administrators' logs fork, and with which cuts these members were folded. Where the
    /// first is lower, some of what was folded does not stand.
    pub(super) fn cuts(&self) -> (BTreeMap<AuthorId, u64>, &BTreeMap<AuthorId, u64>) {
        let administrators = self.members.iter().filter(|(_, member)| member.administrator);
        let cuts = administrators.filter_map(|(id, member)| Some((*id, member.forked_at()?)));
        (cuts.collect(), &self.cuts)
    }

    /// Whether no administrator's log is cut off, nor should be.
    pub(super) fn is_uncut(&self) -> bool {
        let (found, cuts) = self.cuts();
        found.is_empty() && cuts.is_empty()
    }

    /// Whether an event about members counts. A fork proof speaks for itself, whoever passes it
    /// on; everything else must stand, as far as is known by then. So nobody resolves a fork of
    /// its own log from behind it.
    pub(super) fn counts(&self, event: &Event) -> bool {
        let proof = matches!(event.payload(), Some(Payload::ForkProven(_)));
        let member = self.members.get(&event.author);
        let (forked, revoked) = member.map_or((None, None), |m| (m.forked_at(), m.revoked_at));
        let cut = self.cuts.get(&event.author).copied();
        proof || [forked, revoked, cut].into_iter().flatten().all(|end| event.header.seq < end)
    }

    /// Who belongs to the swarm now.
    #[must_use]
    pub fn present(&self) -> BTreeSet<AuthorId> {
        let present = self.members.iter().filter(|(_, member)| member.revoked_at.is_none());
        present.map(|(author, _)| *author).collect()
    }

    /// Who belongs to the swarm now and may work on tasks: a forked log is nobody's word.
    #[must_use]
    pub fn may_act(&self, author: &AuthorId) -> bool {
        let member = self.members.get(author);
        member.is_some_and(|member| member.stands_to().is_none() && member.role == Role::Agent)
    }

    /// Whether a person takes part: a member with the role Operator.
    #[must_use]
    pub fn has_operator(&self) -> bool {
        let mut members = self.members.values();
        members.any(|member| member.stands_to().is_none() && member.role == Role::Operator)
    }

    pub(super) fn authorize(&self, event: &Event) -> Result<(), Reason> {
        match event.payload().ok_or(Reason::Malformed)? {
            Payload::SwarmFounded(founding) => {
                let right = swarm_id(event.id) == self.swarm && event.header.seq == 0;
                let fits = founding.administrators.len() <= 64 && founding.name.len() <= 256;
                match (&self.founded, right, fits) {
                    (None, true, true) => Ok(()),
                    (_, _, false) => Err(Reason::Content),
                    _ => Err(Reason::NotTheFounding),
                }
            }
            Payload::MemberAdmitted(admitted) => {
                self.administrator(event)?;
                if admitted.name.len() > 256 {
                    return Err(Reason::Content);
                }
                match self.members.get(&admitted.member) {
                    Some(member) if member.revoked_at.is_none() => Err(Reason::Repeated),
                    // A key that was revoked stays so: its log stands up to a length for ever.
                    Some(_) => Err(Reason::Ended),
                    None if self.members.len() >= MAX_MEMBERS => Err(Reason::Limit),
                    None => Ok(()),
                }
            }
            Payload::MemberRevoked(revoked) => {
                self.administrator(event)?;
                match self.members.get(&revoked.member) {
                    None => Err(Reason::Dangling),
                    Some(member) if member.administrator => Err(Reason::Role),
                    // What a thief of the key rotated can be taken back, up to before it.
                    Some(member) if member.successor.is_some() => match member.revoked_at {
                        Some(length) if revoked.length < length => Ok(()),
                        _ => Err(Reason::Repeated),
                    },
                    Some(member) if member.revoked_at.is_some() => Err(Reason::Repeated),
                    Some(_) => Ok(()),
                }
            }
            Payload::KeyRotated(rotated) => {
                let Event { author, header, .. } = event;
                if !self.members.contains_key(author) {
                    return Err(Reason::Dangling);
                }
                if self.members.contains_key(&rotated.successor) {
                    return Err(Reason::Repeated);
                }
                if self.members.len() >= MAX_MEMBERS {
                    return Err(Reason::Limit);
                }
                let verified = rotated.verify(&self.swarm, author, header.seq);
                verified.map_err(|_| Reason::Signature)
            }
            Payload::ForkProven(proven) => self.fork(event, proven).map(drop),
            Payload::ForkResolved(resolved) => {
                self.administrator(event)?;
                if resolved.reason.len() > MAX_REASON {
                    return Err(Reason::Content);
                }
                let member = self.members.get(&resolved.author).ok_or(Reason::Dangling)?;
                match member.forked_at() {
                    None => Err(Reason::Dangling),
                    // The root behind the first record that differs says which branch it is, to
                    // everybody who holds that record.
                    Some(index) if resolved.length != index + 1 => Err(Reason::Content),
                    Some(_) => Ok(()),
                }
            }
            _ => Err(Reason::Content),
        }
    }

    /// The fork that an event proves, if it is news.
    fn fork(&self, event: &Event, proven: &ForkProven) -> Result<Fork, Reason> {
        if !self.members.contains_key(&event.author) {
            return Err(Reason::Role);
        }
        let proof = ForkProof::from_bytes(&proven.proof).map_err(|_| Reason::Proof)?;
        let member = self.members.get(&proof.author()).ok_or(Reason::Dangling)?;
        // What is known or settled costs no signature check.
        if member.forks.contains(&proof.index()) {
            return Err(Reason::Repeated);
        }
        if member.resolved.is_some_and(|branch| proof.index() < branch.length) {
            return Err(Reason::Ended);
        }
        proof.verify(&self.swarm).map_err(|_| Reason::Proof)
    }

    fn administrator(&self, event: &Event) -> Result<(), Reason> {
        match self.members.get(&event.author) {
            Some(member) if member.administrator => Ok(()),
            _ => Err(Reason::NotAnAdministrator),
        }
    }

    pub(super) fn apply(&mut self, event: &Event) {
        let since = event.header.clock;
        match event.payload() {
            Some(Payload::SwarmFounded(founding)) => {
                self.founded = Some((event.id, founding.name.clone()));
                for author in &founding.administrators {
                    let name = "administrator".to_owned();
                    let member = Member::new(name, Role::Agent, true, since);
                    self.members.insert(*author, member);
                }
            }
            Some(Payload::MemberAdmitted(admitted)) => {
                let (name, role) = (admitted.name.clone(), admitted.role.clone());
                let member = Member::new(name, role, false, since);
                self.members.insert(admitted.member, member);
            }
            Some(Payload::MemberRevoked(revoked)) => {
                let Some(member) = self.members.get_mut(&revoked.member) else {
                    return;
                };
                member.revoked_at = Some(revoked.length);
                // The rotation stands no more, nor any that followed it.
                let mut next = member.successor.take();
                // What was refused of the void part leaves no trace: nodes that got to know of the
                // revocation sooner never had it.
                self.refusals.forget(&revoked.member, revoked.length);
                while let Some(key) = next {
                    next = self.members.remove(&key).and_then(|member| member.successor);
                    self.refusals.forget(&key, 0);
                }
            }
            Some(Payload::ForkProven(proven)) => {
                let proof = ForkProof::from_bytes(&proven.proof).ok();
                let member = proof.as_ref().and_then(|p| self.members.get_mut(&p.author()));
                if let (Some(proof), Some(member)) = (proof, member) {
                    member.forks.insert(proof.index());
                    if member.forks.len() > MAX_FORKS {
                        member.forks.pop_last();
                    }
                }
            }
            Some(Payload::ForkResolved(ForkResolved { author, length, root, .. })) => {
                if let Some(member) = self.members.get_mut(author) {
                    member.forks.retain(|index| index >= length);
                    member.resolved = Some(Resolved { length: *length, root: *root });
                }
            }
            Some(Payload::KeyRotated(rotated)) => {
                let Some(member) = self.members.get_mut(&event.author) else {
                    return;
                };
                let (name, role) = (member.name.clone(), member.role.clone());
                let after = Member::new(name, role, member.administrator, since);
                member.revoked_at = Some(event.header.seq + 1);
                member.successor = Some(rotated.successor);
                self.members.insert(rotated.successor, after);
            }
            _ => {}
        }
    }
}
