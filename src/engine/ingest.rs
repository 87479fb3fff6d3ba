//! Ranges that peers send: verified first, then stored. What a non-member says is refused before
//! that.

use super::{Engine, EngineError};
use crate::kernel::event::{EventId, Header, Hlc, NotEvents, check_events, swarm_id};
use crate::kernel::fold::Erasures;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{Append, Range, RangeError, RecordRef, SignedHead, Tip};

/// Why a range was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IngestError {
    /// Its author does not belong to the swarm, or was revoked before the range begins.
    #[error("log {0:?} is of no member")]
    NotAMember(AuthorId),
    /// It does not start where the log ends: not the sender's fault.
    #[error("the log goes on at {expected}, and the range starts at {found}")]
    Gap {
        /// The length of the log.
        expected: u64,
        /// The start of the range.
        found: u64,
    },
    /// Its records do not lead to the roots that its author signed: a fork, or a lie.
    #[error("index {index}: the records do not lead to the root that the author signed")]
    Conflict {
        /// The last index that the head covers.
        index: u64,
    },
    /// It is of a branch of a forked log that does not stand.
    #[error("log {0:?}: the range is of a branch that does not stand")]
    OtherBranch(AuthorId),
    /// It is of this node's own log, which takes in nothing from others any more.
    #[error("the log is this node's own")]
    OwnLog,
    /// It does not verify.
    #[error(transparent)]
    Invalid(RangeError),
    /// A payload of founding, membership or evidence, which nobody can erase, is not there.
    #[error("index {0}: the payload is absent, and one of its kind cannot be erased")]
    Withheld(u64),
    /// It verifies as a log, and its records are no events that follow each other.
    #[error(transparent)]
    Events(#[from] NotEvents),
    /// This node could not store it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Verifies a range, stores it durably and folds it. Gives the new length of the log.
    ///
    /// # Errors
    /// [`IngestError`]; nothing was stored.
    pub fn ingest(&self, range: Range, now_ms: u64) -> Result<u64, IngestError> {
        let heads = range.heads.clone();
        let author = range.author;
        let mut writer = self.writer();
        let tip = {
            let view = self.view();
            let members = &view.fold.state().members;
            if !members.stands(&author, range.from) && !self.founds(&range) {
                return Err(IngestError::NotAMember(author));
            }
            view.tips.get(&author).cloned().unwrap_or_else(|| Tip::empty(author))
        };
        let append = match tip.verify(&self.swarm, range) {
            Ok(append) => append,
            Err(RangeError::Gap { expected, found }) => {
                return Err(IngestError::Gap { expected, found });
            }
            Err(RangeError::Root { index }) if self.is_signed(&author, &heads, index) => {
                return Err(IngestError::Conflict { index });
            }
            Err(error) => return Err(IngestError::Invalid(error)),
        };
        if let Some(index) = withheld(&append) {
            return Err(IngestError::Withheld(index));
        }
        let newest = self.store.newest_head(&author).map_err(EngineError::from)?;
        check_events(&append, newest.map(|head| Hlc(head.clock)))?;
        if !self.is_of_the_standing_branch(&tip, &append) {
            return Err(IngestError::OtherBranch(author));
        }
        if author == self.me() {
            writer.own.take_in()?;
        }
        self.commit(&mut writer, append, now_ms)?;
        Ok(self.tip(&author).0)
    }

    /// Whether the head that covers records up to an index is the author's own word.
    fn is_signed(&self, author: &AuthorId, heads: &[SignedHead], index: u64) -> bool {
        let head = heads.iter().find(|head| head.length == index + 1 && head.author == *author);
        head.is_some_and(|head| head.clone().verify(&self.swarm).is_ok())
    }

    /// Whether the range begins with the event that founded this swarm. That event is known by the
    /// swarm's id, before anybody is known to be a member.
    fn founds(&self, range: &Range) -> bool {
        let first = range.records.first().filter(|_| range.from == 0);
        let id = first.map(|record| EventId(record.as_ref().leaf(&range.author).0));
        id.is_some_and(|id| swarm_id(id) == self.swarm)
    }
}

/// The first record without the payload that it must have.
fn withheld(append: &Append) -> Option<u64> {
    let must_have = |record: RecordRef<'_>| {
        record.body().is_none()
            && Header::read(record).is_ok_and(|header| !Erasures::may_be_erased(header.kind))
    };
    let mut records = (append.from()..).zip(append.records());
    records.find(|(_, record)| must_have(record.as_ref())).map(|(index, _)| index)
}
