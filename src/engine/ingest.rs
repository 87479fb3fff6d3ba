//! Ranges that peers send: verified first, then stored. What a non-member says is refused before
//! that.

use super::{Engine, EngineError};
use crate::kernel::event::{EventId, Hlc, NotEvents, check_events, swarm_id};
use crate::kernel::log::{Range, RangeError, Tip};

/// Why a range was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IngestError {
    /// Its author does not belong to the swarm, or was revoked before the range begins.
    #[error("log {0:?} is of no member")]
    NotAMember(crate::kernel::identity::AuthorId),
    /// It does not start where the log ends: not the sender's fault.
    #[error("the log goes on at {expected}, and the range starts at {found}")]
    Gap {
        /// The length of the log.
        expected: u64,
        /// The start of the range.
        found: u64,
    },
    /// It does not verify.
    #[error(transparent)]
    Invalid(RangeError),
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
            Err(error) => return Err(IngestError::Invalid(error)),
        };
        let newest = self.store.newest_head(&author).map_err(EngineError::from)?;
        check_events(&append, newest.map(|head| Hlc(head.clock)))?;
        let length = append.length();
        self.commit(&mut writer, append, now_ms)?;
        Ok(length)
    }

    /// Whether the range begins with the event that founded this swarm. That event is known by the
    /// swarm's id, before anybody is known to be a member.
    fn founds(&self, range: &Range) -> bool {
        let first = range.records.first().filter(|_| range.from == 0);
        let id = first.map(|record| EventId(record.as_ref().leaf(&range.author).0));
        id.is_some_and(|id| swarm_id(id) == self.swarm)
    }
}
