//! Forks: what the engine does not append, what it does not take in, and what it drops.
//!
//! A log forks when two programs append with one key: a copy of a store that was restored, or two
//! nodes by mistake. A node therefore appends nothing before it knows its own log as far as others
//! do, and stops for good when it sees events in its log that it did not write.

use std::collections::BTreeSet;

use super::source::StoreSource;
use super::{Engine, EngineError, IngestError, View, Writer};
use crate::kernel::event::kinds::{ForkProven, Payload};
use crate::kernel::event::{Draft, Event};
use crate::kernel::fold::{Aggregate, EventSource, Place, Resolved};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{
    Append, Branch, ForkProof, Hash, IndexEntry, Tip, TreeReader, prove_consistency,
};

/// Why a node appends nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Its log forked.
    #[error(
        "this node's log forked at index {index}: two programs appended to it with one key; stop \
         all but one of them, and have an administrator say which branch stands (`bzzz member \
         resolve`)"
    )]
    Forked {
        /// The first index at which the branches differ.
        index: u64,
    },
    /// Events of its own log came from a peer, and this process had not written them.
    #[error(
        "another program appends to this node's log with the same key; stop it, and start this \
         node again"
    )]
    Twin,
    /// An administrator said that another branch of its log stands.
    #[error(
        "this node's branch of its log was dropped, since an administrator said that another one \
         stands; make sure that no other program runs with this key, and start this node again"
    )]
    Lost,
    /// Its key was rotated: the log has ended.
    #[error(
        "this node's key was rotated to {successor}, and its log has ended; run the node with \
             the new key, and this one never again"
    )]
    Rotated {
        /// The key under which the author goes on.
        successor: AuthorId,
    },
}

/// What this process may do with the node's own log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Own {
    /// Take in what others hold of it, and append.
    #[default]
    Open,
    /// Take in what others hold of it; appending has to wait.
    Waiting,
    /// Append. This process wrote the end of the log, so that nobody else may have.
    Writing,
    /// Neither, except that a log whose branch was lost is fetched again.
    Stopped(Stop),
}

impl Own {
    /// Before a verified range of the own log is taken in, which goes on where it ends.
    pub(super) fn take_in(&mut self) -> Result<(), IngestError> {
        match self {
            Self::Open | Self::Waiting | Self::Stopped(Stop::Lost) => Ok(()),
            Self::Writing => {
                *self = Self::Stopped(Stop::Twin);
                Err(IngestError::OwnLog)
            }
            Self::Stopped(_) => Err(IngestError::OwnLog),
        }
    }
}

impl Engine {
    /// Appends nothing until [`Engine::go_on`]: first the node's own log is compared with what
    /// peers hold of it.
    pub fn wait(&self) {
        let mut writer = self.writer();
        if writer.own == Own::Open {
            writer.own = Own::Waiting;
        }
    }

    /// The node's own log is known as far as others know it.
    pub fn go_on(&self) {
        let mut writer = self.writer();
        if writer.own == Own::Waiting {
            writer.own = Own::Open;
        }
    }

    /// Whether this node may append to its log.
    ///
    /// # Errors
    /// [`EngineError::Waiting`] or [`EngineError::Stopped`], which says what to do.
    pub fn may_append(&self) -> Result<(), EngineError> {
        self.begin_append(&self.writer())
    }

    pub(super) fn begin_append(&self, writer: &Writer) -> Result<(), EngineError> {
        if let Some(stop) = self.rotated() {
            return Err(stop.into());
        }
        match &writer.own {
            Own::Waiting => return Err(EngineError::Waiting),
            Own::Stopped(stop) => return Err(stop.clone().into()),
            Own::Open | Own::Writing => {}
        }
        let me = self.me();
        let forked = self.read(|state| state.members.members.get(&me).map(|me| me.forked_at()));
        match forked.flatten() {
            Some(index) => Err(Stop::Forked { index }.into()),
            None => Ok(()),
        }
    }

    /// Takes note of a proven fork: it is said to everybody, unless it is known or settled. If the
    /// node's own log forked, it stops to append; others say so.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn forked(&self, proof: &ForkProof, now_ms: u64) -> Result<(), EngineError> {
        let (author, index) = (proof.author(), proof.index());
        if proof.verify(&self.swarm).is_err() {
            return Ok(());
        }
        let known = self.read(|state| {
            state.members.members.get(&author).is_none_or(|member| {
                let settled = member.resolved.is_some_and(|branch| index < branch.length);
                settled || member.forked_at().is_some_and(|first| first <= index)
            })
        });
        if known {
            return Ok(());
        }
        if author == self.me() {
            self.writer().own = Own::Stopped(Stop::Forked { index });
            return Ok(());
        }
        let proof = proof.to_bytes();
        self.append(vec![Draft::general(ForkProven { proof })], now_ms).map(drop)
    }

    /// What this node's copy of a log has at an index, under its newest head; none if it ends
    /// before.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub fn branch(&self, author: &AuthorId, index: u64) -> Result<Option<Branch>, EngineError> {
        let tip = self.view().tips.get(author).cloned();
        let Some(tip) = tip.filter(|tip| index < tip.length()) else { return Ok(None) };
        let Some(head) = self.store.heads(author, tip.length() - 1, 1)?.pop() else {
            return Ok(None);
        };
        Ok(Some(Branch::prove(&*self.store, &tip, head, index)?))
    }

    /// The proofs of forks that were said, by rising index: those of one author.
    ///
    /// # Errors
    /// [`EngineError`] if the store cannot be read.
    pub fn fork_proofs(&self, author: &AuthorId) -> Result<Vec<ForkProof>, EngineError> {
        let source = StoreSource(&*self.store);
        let mut proofs = Vec::new();
        for place in source.places(&Aggregate::Members)? {
            let event = source.event(&place)?;
            let Some(Payload::ForkProven(proven)) = event.payload() else { continue };
            let proof = ForkProof::from_bytes(&proven.proof).ok();
            proofs
                .extend(proof.filter(|proof| {
                    proof.author() == *author && proof.verify(&self.swarm).is_ok()
                }));
        }
        proofs.sort_by_key(ForkProof::index);
        Ok(proofs)
    }

    /// Whether records that follow are of the branch that stands, as far as they show it.
    pub(super) fn is_of_the_standing_branch(&self, tip: &Tip, append: &Append) -> bool {
        let author = append.author();
        let resolved = self.read(|state| state.members.members.get(&author)?.resolved);
        let Some(Resolved { length, root }) = resolved else { return true };
        if tip.length() >= length || append.length() < length {
            return true;
        }
        let count = usize::try_from(length - tip.length()).unwrap_or(usize::MAX);
        let records = append.records().iter().take(count);
        tip.root_behind(records.map(|record| record.as_ref().leaf(&author))) == root
    }

    /// Drops the end of each log of which this node holds a branch that an administrator said not
    /// to stand. Replication then fetches the one that does.
    pub(super) fn drop_other_branches(
        &self,
        writer: &mut Writer,
        view: &mut View,
    ) -> Result<(), EngineError> {
        let members = view.fold.state().members.members.iter();
        let resolved = members.filter_map(|(author, member)| Some((*author, member.resolved?)));
        let resolved: Vec<_> = resolved.collect();
        for (author, Resolved { length, root }) in resolved {
            let Some(tip) = view.tips.get(&author).filter(|tip| tip.length() >= length) else {
                continue;
            };
            if self.root_at(tip, length)? != root {
                self.drop_branch(view, author, length - 1)?;
                if author == self.me() {
                    writer.own = Own::Stopped(Stop::Lost);
                }
            }
        }
        Ok(())
    }

    fn root_at(&self, tip: &Tip, length: u64) -> Result<Hash, EngineError> {
        let tree = TreeReader::new(&*self.store, tip);
        let proof = prove_consistency(&tree, length, tip.length())?;
        let (root, _) = proof.roots().expect("a proof of our own tree has its shape");
        Ok(root)
    }

    /// Drops all of a log from the append on that wrote the record at an index.
    fn drop_branch(&self, view: &mut View, author: AuthorId, at: u64) -> Result<(), EngineError> {
        let length = self.last_head_to(&author, at)?;
        let (mut index, mut about) = (Vec::<IndexEntry>::new(), BTreeSet::new());
        self.store.scan(&author, length, &mut |seq, record| {
            if let Ok(event) = Event::read(author, seq, record)
                && let Some(aggregate) = Aggregate::of(&event)
            {
                index.push(aggregate.entry(Place::of(&event)));
                about.insert(aggregate);
            }
            true
        })?;
        self.store.truncate(&author, length, &index)?;
        match length {
            0 => view.tips.remove(&author),
            _ => view.tips.insert(author, Tip::open(&*self.store, author)?),
        };
        let source = StoreSource(&*self.store);
        view.fold.retract(author, length, &about, &source)?;
        let folded = view.fold.frontier().get(&author).copied().unwrap_or(0);
        if folded >= length {
            view.held.remove(&author);
        }
        Ok(())
    }

    /// The length of the last append that ends at or before a length; 0 if there is none.
    fn last_head_to(&self, author: &AuthorId, length: u64) -> Result<u64, EngineError> {
        // An append has at most so many records, so that a head is among these.
        let above = length.saturating_sub(crate::kernel::log::MAX_APPEND_RECORDS as u64);
        let heads = self.store.heads(author, above, crate::kernel::log::MAX_APPEND_RECORDS)?;
        let before = heads.iter().map(|head| head.length).take_while(|covered| *covered <= length);
        Ok(before.last().unwrap_or(0))
    }
}
