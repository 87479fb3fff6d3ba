//! The end of an epoch: publication, pull request, questions to people, reports.

use bincode::{Decode, Encode};
use serde::Serialize;

use super::claims::Epoch;
use crate::kernel::event::kinds::{Payload, PublishIntended, Published, Purpose};
use crate::kernel::event::{ClaimStatus, CommitId, Event, EventId, Hlc};
use crate::kernel::fold::refusal::Reason;

/// The most reports of one epoch.
pub(crate) const MAX_REPORTS: usize = 64;

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
}

/// A question to people.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Escalation {
    /// The event.
    pub event: EventId,
    /// Why the owner cannot go on.
    pub reason: String,
    /// What it asks.
    pub question: String,
}

impl Epoch {
    /// The author owns the epoch; that was checked.
    pub(super) fn fold_publish(&mut self, event: &Event, payload: &Payload) -> Result<(), Reason> {
        match payload {
            Payload::PublishIntended(intended) => self.publish_intended(event, intended),
            Payload::Published(published) => self.published(event, published),
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
                let place = opened.place.clone();
                self.pull = Some(Pull { number: opened.number, place });
                Ok(())
            }
            Payload::Escalated(escalated) => {
                if self.escalation.is_some() {
                    return Err(Reason::Repeated);
                }
                let (reason, question) = (escalated.reason.clone(), escalated.question.clone());
                self.escalation = Some(Escalation { event: event.id, reason, question });
                self.answered(&event.author, Purpose::Step);
                self.answered(&event.author, Purpose::Plan);
                Ok(())
            }
            Payload::Reported(reported) => {
                if self.reported.len() >= MAX_REPORTS {
                    return Err(Reason::Limit);
                }
                self.reported.insert(format!("{}:{}", reported.target, reported.status));
                Ok(())
            }
            Payload::TaskFinished(finished) => {
                self.finished = Some(finished.outcome.clone());
                // Nothing asks for the outputs again; the log has them.
                for command in &mut self.work.commands {
                    command.excerpt = Vec::new();
                }
                self.asks.clear();
                Ok(())
            }
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

    fn published(&mut self, event: &Event, published: &Published) -> Result<(), Reason> {
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
}
