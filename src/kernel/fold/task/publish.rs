//! The publication of an epoch's work, and its pull request.

use bincode::{Decode, Encode};
use serde::Serialize;

use super::claims::Epoch;
use crate::kernel::event::kinds::{
    CheckState, Payload, PublishIntended, Published, PullRequestOpened, PullRequestSeen, PullState,
    ReviewState,
};
use crate::kernel::event::{ClaimStatus, CommitId, Event, EventId, Hlc};
use crate::kernel::fold::refusal::Reason;

/// The longest feedback of a pull request, and the longest answer of people, in bytes.
pub const MAX_FEEDBACK: usize = 16 * 1024;

/// The publication of an epoch's work.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Publish {
    /// The event that intended it.
    pub intent: EventId,
    /// The branch.
    pub branch: String,
    /// The work's commit.
    pub commit: CommitId,
    /// Files, lines added, lines removed.
    pub changed: (u32, u32, u32),
    /// The claim commit that moved with the branch, once the remote has both.
    pub claim: Option<CommitId>,
    /// When.
    pub at: Hlc,
    /// Why it was refused.
    pub refused: Option<String>,
}

/// A pull request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Where people find it.
    pub place: String,
    /// Whether it is open.
    pub state: PullState,
    /// The commit at the head of its branch, or nothing if that is not known.
    pub head: String,
    /// What its checks say.
    pub checks: CheckState,
    /// What its reviewers say.
    pub reviews: ReviewState,
    /// What failed and what is asked for.
    pub feedback: String,
    /// The event that saw it last.
    pub seen: Option<EventId>,
}

impl Epoch {
    /// The author owns the epoch; that was checked.
    pub(super) fn fold_publish(&mut self, event: &Event, payload: &Payload) -> Result<(), Reason> {
        match payload {
            Payload::PublishIntended(intended) => self.publish_intended(event, intended),
            Payload::Published(published) => self.was_published(event, published),
            Payload::PublishRefused(refused) => {
                let publish = self.publish.as_mut();
                match publish.filter(|publish| publish.claim.is_none()) {
                    Some(publish) => publish.refused = Some(refused.reason.clone()),
                    // The work could not even be made a commit.
                    None => self.work.last_error = Some(refused.reason.clone()),
                }
                Ok(())
            }
            Payload::PullRequestOpened(opened) => {
                self.pull_opened(opened);
                Ok(())
            }
            Payload::PullRequestSeen(seen) => self.pull_seen(event, seen),
            _ => Err(Reason::Content),
        }
    }

    fn publish_intended(
        &mut self,
        event: &Event,
        intended: &PublishIntended,
    ) -> Result<(), Reason> {
        if !intended.commit.is_valid() || intended.branch.len() > 256 {
            return Err(Reason::Content);
        }
        if self.publish.as_ref().is_some_and(|publish| publish.claim.is_some()) {
            return Err(Reason::Ended);
        }
        self.publish = Some(Publish {
            intent: event.id,
            branch: intended.branch.clone(),
            commit: intended.commit.clone(),
            changed: intended.changed,
            claim: None,
            at: event.header.clock,
            refused: None,
        });
        Ok(())
    }

    fn was_published(&mut self, event: &Event, published: &Published) -> Result<(), Reason> {
        let fits = |publish: &&mut Publish| {
            publish.branch == published.branch && publish.commit == published.commit
        };
        if !published.claim.is_valid() {
            return Err(Reason::Content);
        }
        let publish = self.publish.as_mut().filter(fits).ok_or(Reason::Dangling)?;
        publish.claim = Some(published.claim.clone());
        publish.at = event.header.clock;
        if let Some(win) = &mut self.winner {
            win.commit = published.claim.clone();
            win.status = ClaimStatus::Published;
            win.moved_at = event.header.clock;
        }
        Ok(())
    }

    fn pull_opened(&mut self, opened: &PullRequestOpened) {
        let place = opened.place.clone();
        if let Some(pull) = self.pull.as_mut().filter(|pull| pull.number == opened.number) {
            pull.place = place;
            return;
        }
        let head = self.publish.as_ref().map(|publish| publish.commit.to_string());
        self.pull = Some(Pull {
            number: opened.number,
            place,
            state: PullState::Open,
            head: head.unwrap_or_default(),
            checks: CheckState::None,
            reviews: ReviewState::None,
            feedback: String::new(),
            seen: None,
        });
    }

    fn pull_seen(&mut self, event: &Event, seen: &PullRequestSeen) -> Result<(), Reason> {
        let pull = self.pull.as_mut().filter(|pull| pull.number == seen.number);
        let pull = pull.ok_or(Reason::Dangling)?;
        if seen.head.len() > 64 || seen.feedback.len() > MAX_FEEDBACK {
            return Err(Reason::Content);
        }
        pull.state = seen.state;
        pull.head.clone_from(&seen.head);
        pull.checks = seen.checks;
        pull.reviews = seen.reviews;
        pull.feedback.clone_from(&seen.feedback);
        pull.seen = Some(event.id);
        Ok(())
    }
}
