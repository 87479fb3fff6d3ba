//! Who belongs to the swarm. Administrators are named by the founding event.

use std::collections::{BTreeMap, BTreeSet};

use bincode::{Decode, Encode};
use serde::Serialize;

use super::refusal::{Reason, Refusals};
use crate::kernel::event::kinds::{Payload, Role};
use crate::kernel::event::{Event, EventId, Hlc, swarm_id};
use crate::kernel::identity::{AuthorId, SwarmId};

/// The most members that a swarm may ever have had.
pub(crate) const MAX_MEMBERS: usize = 4096;

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
}

impl Members {
    /// Nobody yet.
    #[must_use]
    pub fn new(swarm: SwarmId) -> Self {
        Self { swarm, founded: None, members: BTreeMap::new(), refusals: Refusals::default() }
    }

    /// Whether the event at this index of the author's log stands: the author was admitted, and
    /// not revoked below it.
    #[must_use]
    pub fn stands(&self, author: &AuthorId, seq: u64) -> bool {
        self.members.get(author).is_some_and(|m| m.revoked_at.is_none_or(|length| seq < length))
    }

    /// What decides whether events of an author stand.
    pub(super) fn standing(&self, author: &AuthorId) -> Option<(&Role, Option<u64>)> {
        self.members.get(author).map(|member| (&member.role, member.revoked_at))
    }

    /// Who belongs to the swarm now.
    #[must_use]
    pub fn present(&self) -> BTreeSet<AuthorId> {
        let present = self.members.iter().filter(|(_, member)| member.revoked_at.is_none());
        present.map(|(author, _)| *author).collect()
    }

    /// Who belongs to the swarm now and may work on tasks.
    #[must_use]
    pub fn may_act(&self, author: &AuthorId) -> bool {
        self.members.get(author).is_some_and(|m| m.revoked_at.is_none() && m.role == Role::Agent)
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
            _ => Err(Reason::Content),
        }
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
                    let (role, administrator) = (Role::Agent, true);
                    let member = Member {
                        name,
                        role,
                        administrator,
                        since,
                        revoked_at: None,
                        successor: None,
                    };
                    self.members.insert(*author, member);
                }
            }
            Some(Payload::MemberAdmitted(admitted)) => {
                let (name, role) = (admitted.name.clone(), admitted.role.clone());
                let member = Member {
                    name,
                    role,
                    administrator: false,
                    since,
                    revoked_at: None,
                    successor: None,
                };
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
            Some(Payload::KeyRotated(rotated)) => {
                let Some(member) = self.members.get_mut(&event.author) else {
                    return;
                };
                let after = Member { since, ..member.clone() };
                member.revoked_at = Some(event.header.seq + 1);
                member.successor = Some(rotated.successor);
                self.members.insert(rotated.successor, after);
            }
            _ => {}
        }
    }
}
