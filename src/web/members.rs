//! Who belongs to the swarm: admitting and revoking by an administrator.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::{Engine, EngineError};
use crate::kernel::event::kinds::{
    ForkResolved, MemberAdmitted, MemberRevoked, PayloadErased, Role,
};
use crate::kernel::event::{Draft, Hlc};
use crate::kernel::fold::SwarmState;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::Hash;

/// The longest name of a member and the longest reason, in bytes.
pub const MAX_TEXT: usize = 256;

/// A member as programs are told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its key.
    pub key: String,
    /// Its name; of an administrator, that of its node.
    pub name: String,
    /// `agent`, `operator` or `replica`.
    pub role: String,
    /// Whether it may admit and revoke.
    pub administrator: bool,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// The number of its events that stand, once it was revoked.
    pub revoked_at: Option<u64>,
    /// The key under which it goes on, if it rotated.
    #[serde(default)]
    pub successor: Option<String>,
    /// The key that it followed, if it came by a rotation.
    #[serde(default)]
    pub follows: Option<String>,
    /// The index at which its log was proven to fork, if nobody resolved that.
    #[serde(default)]
    pub forked_at: Option<u64>,
    /// How many of its events this node holds.
    pub length: u64,
}

/// Why a member was not admitted or revoked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MemberError {
    /// This node's key is not an administrator's.
    #[error("this node is no administrator of the swarm")]
    NotAnAdministrator,
    /// The key is a member's already.
    #[error("{0} is a member already")]
    Already(AuthorId),
    /// The key was revoked: its log stands up to a length for ever.
    #[error("{0} was revoked, and a revoked key is never admitted again")]
    Revoked(AuthorId),
    /// The key was rotated, and no length before that was named.
    #[error(
        "{key} was rotated to {successor} by its event {}; revoke that key, or this one with a \
             length of at most {}, which takes the rotation back",
        end - 1,
        end - 1
    )]
    Rotated {
        /// The key that was to be revoked.
        key: AuthorId,
        /// The one that followed it.
        successor: AuthorId,
        /// The number of events of the old log that stand.
        end: u64,
    },
    /// The key is no member's.
    #[error("{0} is no member")]
    Unknown(AuthorId),
    /// Administrators are named by the founding event, which nobody can change.
    #[error("{0} is an administrator, who cannot be revoked")]
    Administrator(AuthorId),
    /// The log did not fork, or that is resolved.
    #[error("the log of {0} is not known to fork")]
    NotForked(AuthorId),
    /// No known branch has this root.
    #[error("no proven branch of the log has the root {0} behind the fork")]
    Branch(Hash),
    /// This node holds none of the proven branches.
    #[error("this node holds none of the proven branches; name the root of the one that stands")]
    NoBranch,
    /// A text is too long or has control characters.
    #[error("the {0} has to be one line of at most {MAX_TEXT} bytes")]
    Text(&'static str),
    /// The key is no point on the curve, so that nobody can sign with it.
    #[error("{0} is no key that anybody can sign with")]
    Key(AuthorId),
    /// It was written, and the fold refused it.
    #[error("the event was refused: {0}")]
    Refused(String),
    /// It could not be written.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// All members, present and past, in the order of their admission.
#[must_use]
pub fn list(engine: &Engine) -> Vec<MemberView> {
    let lengths = engine.lengths();
    engine.read(|state| {
        let names = super::event::names(state);
        let mut members: Vec<_> = state.members.members.iter().collect();
        members.sort_by_key(|(_, member)| member.since);
        let followed = members.iter().filter_map(|(old, m)| Some((m.successor?, old.to_string())));
        let followed: BTreeMap<AuthorId, String> = followed.collect();
        let view = |(author, member): (&AuthorId, &crate::kernel::fold::Member)| MemberView {
            key: author.to_string(),
            name: super::event::name(&names, author),
            role: role_name(&member.role).to_owned(),
            administrator: member.administrator,
            since_ms: member.since.ms(),
            revoked_at: member.revoked_at,
            successor: member.successor.map(|key| key.to_string()),
            follows: followed.get(author).cloned(),
            forked_at: member.forked_at(),
            length: lengths.get(author).copied().unwrap_or(0),
        };
        members.into_iter().map(view).collect()
    })
}

/// Admits a member; durable when this returns.
///
/// # Errors
/// [`MemberError`].
pub fn admit(
    engine: &Engine,
    key: AuthorId,
    role: Role,
    name: &str,
    now_ms: u64,
) -> Result<(), MemberError> {
    check_text("name", name)?;
    may(engine)?;
    // What verifies nothing at all says so before it looks at the signature.
    let weak = key.verify(
        crate::kernel::identity::Context::Head,
        b"",
        &crate::kernel::identity::Signature([0; 64]),
    );
    if weak == Err(crate::kernel::identity::SignatureError::Key) {
        return Err(MemberError::Key(key));
    }
    match engine.read(|state| state.members.members.get(&key).map(|m| m.revoked_at)) {
        None => {}
        Some(None) => return Err(MemberError::Already(key)),
        Some(Some(_)) => return Err(MemberError::Revoked(key)),
    }
    let admitted = MemberAdmitted { member: key, role, name: name.to_owned() };
    append(engine, vec![Draft::general(admitted)], now_ms)
}

/// Revokes a member at a length of its log, or at as much as this node holds of it. Gives that
/// length; durable when this returns.
///
/// # Errors
/// [`MemberError`].
pub fn revoke(
    engine: &Engine,
    key: AuthorId,
    length: Option<u64>,
    reason: &str,
    now_ms: u64,
) -> Result<u64, MemberError> {
    check_text("reason", reason)?;
    may(engine)?;
    let found = engine.read(|state| {
        let member = state.members.members.get(&key);
        member.map(|member| (member.administrator, member.revoked_at, member.successor))
    });
    match found {
        None => return Err(MemberError::Unknown(key)),
        Some((true, ..)) => return Err(MemberError::Administrator(key)),
        // What a thief of the key rotated is taken back, at a length before that.
        Some((false, Some(end), Some(successor))) => match length {
            Some(length) if length < end => {}
            _ => return Err(MemberError::Rotated { key, successor, end }),
        },
        Some((false, Some(_), None)) => return Err(MemberError::Revoked(key)),
        Some((false, None, _)) => {}
    }
    let held = || engine.lengths().get(&key).copied().unwrap_or(0);
    let length = length.unwrap_or_else(held);
    let revoked = MemberRevoked { member: key, length, reason: reason.to_owned() };
    let mut drafts = vec![Draft::general(revoked)];
    drafts.extend(engine.read(|state| erasures_behind(state, &key, length)));
    append(engine, drafts, now_ms)?;
    Ok(length)
}

/// One branch of a forked log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchView {
    /// The index at which it differs from the others.
    pub index: u64,
    /// Its root behind the record at the index.
    pub root: String,
    /// Its record at the index.
    pub event: String,
    /// The length of the head that shows it.
    pub length: u64,
    /// The clock of that head, in milliseconds since 1970.
    pub time_ms: u64,
    /// Whether it is the one that this node holds.
    pub held: bool,
}

/// The branches of a log at its first fork, as proofs show them.
///
/// # Errors
/// [`MemberError::NotForked`], or the engine's own.
pub fn branches(engine: &Engine, key: AuthorId) -> Result<Vec<BranchView>, MemberError> {
    let forked = engine.read(|state| state.members.members.get(&key)?.forked_at());
    let index = forked.ok_or(MemberError::NotForked(key))?;
    let held = engine.branch(&key, index)?.map(|branch| branch.leaf.to_string());
    let mut views: Vec<BranchView> = Vec::new();
    for proof in engine.fork_proofs(&key)?.into_iter().filter(|proof| proof.index() == index) {
        for branch in proof.branches {
            let Some(root) = branch.root_behind() else { continue };
            let (root, event) = (root.to_string(), branch.leaf.to_string());
            let length = branch.head.length;
            if !views.iter().any(|view| view.root == root) {
                let time_ms = Hlc(branch.head.clock).ms();
                let held = held.as_ref() == Some(&event);
                views.push(BranchView { index, root, event, length, time_ms, held });
            }
        }
    }
    Ok(views)
}

/// Says which branch of a forked log stands: the one with this root behind the fork, or the one
/// that this node holds. Gives the branch; durable when this returns.
///
/// # Errors
/// [`MemberError`].
pub fn resolve(
    engine: &Engine,
    key: AuthorId,
    root: Option<Hash>,
    reason: &str,
    now_ms: u64,
) -> Result<BranchView, MemberError> {
    check_text("reason", reason)?;
    may(engine)?;
    let mut branches = branches(engine, key)?.into_iter();
    let found = match root {
        Some(root) => {
            let named = branches.find(|branch| branch.root == root.to_string());
            named.ok_or(MemberError::Branch(root))
        }
        None => branches.find(|branch| branch.held).ok_or(MemberError::NoBranch),
    }?;
    let root = found.root.parse().map_err(|_| MemberError::NoBranch)?;
    let (length, reason) = (found.index + 1, reason.to_owned());
    let resolved = ForkResolved { author: key, length, root, reason };
    append(engine, vec![Draft::general(resolved)], now_ms)?;
    Ok(found)
}

/// The name of a role.
#[must_use]
pub fn role_name(role: &Role) -> &'static str {
    match role {
        Role::Agent => "agent",
        Role::Replica => "replica",
        Role::Operator => "operator",
    }
}

/// The role of a name.
#[must_use]
pub fn role_of(name: &str) -> Option<Role> {
    match name {
        "agent" => Some(Role::Agent),
        "replica" => Some(Role::Replica),
        "operator" => Some(Role::Operator),
        _ => None,
    }
}

/// What a member erased behind the length at which it is revoked would be void with the rest, and
/// the bytes are gone already: the administrator erases it in its own name.
fn erasures_behind(state: &SwarmState, key: &AuthorId, length: u64) -> Vec<Draft> {
    let void = state
        .erasures
        .iter()
        .filter(|(_, seq, erasure)| erasure.by == *key && erasure.index >= length && *seq < length);
    let erased = void.map(|(author, seq, erasure)| PayloadErased {
        event: erasure.event,
        author,
        seq,
        reason: erasure.reason.clone(),
    });
    erased.map(Draft::general).collect()
}

fn may(engine: &Engine) -> Result<(), MemberError> {
    let me = engine.me();
    let may = engine.read(|state| state.members.members.get(&me).is_some_and(|m| m.administrator));
    if may { Ok(()) } else { Err(MemberError::NotAnAdministrator) }
}

fn check_text(what: &'static str, text: &str) -> Result<(), MemberError> {
    let fine = text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
    if fine { Ok(()) } else { Err(MemberError::Text(what)) }
}

/// Appends the event; two that are decided at once may both come here, and the fold takes one.
fn append(engine: &Engine, drafts: Vec<Draft>, now_ms: u64) -> Result<(), MemberError> {
    let appended = engine.append(drafts, now_ms)?;
    let refused = engine.read(|state| {
        let mut refusals = state.members.refusals.first.iter();
        refusals.find(|refusal| appended.ids.contains(&refusal.event)).map(|r| r.reason)
    });
    match refused {
        None => Ok(()),
        Some(reason) => Err(MemberError::Refused(reason.to_string())),
    }
}
