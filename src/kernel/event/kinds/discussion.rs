//! What members say about a task beside plans and reviews: messages, help, approvals, limits.

use super::{choice, payload};
use crate::kernel::event::commit::CommitId;
use crate::kernel::event::header::EventId;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::Hash;

choice! {
    /// What a message is meant as.
    #[derive(Copy)]
    pub enum Act {
        /// It asks for nothing.
        Comment,
        /// It asks.
        Question,
        /// It answers its parent.
        Answer,
    }
}

choice! {
    /// What is offered to somebody who asked for help.
    #[derive(Copy)]
    pub enum HelpForm {
        /// Nothing: nobody needs to wait for the author.
        None,
        /// The text.
        Advice,
        /// The author would take the task over.
        TakeOver,
    }
}

choice! {
    /// What people approve.
    #[derive(Copy)]
    pub enum Subject {
        /// A plan.
        Plan,
        /// A command.
        Command,
        /// The commit that is to be published.
        Change,
    }
}

payload! {
    /// The author takes back what it said in the discussion of a task.
    pub struct Withdrawn {
        /// The epoch that the message is about.
        pub epoch: u64,
        /// The author's own review, message or offer of help.
        pub message: EventId,
        /// Why.
        pub reason: String,
    }

    /// Somebody says something in the discussion of a task.
    pub struct MessageSaid {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// What it answers: a plan, a request for help, a review, an offer or a message; none for a
        /// new thread.
        pub parent: Option<EventId>,
        /// What it is meant as. An answer has a question as its parent.
        pub act: Act,
        /// What, at most 8 KiB. Untrusted.
        pub text: String,
        /// Of a question, until when its author waits for answers, in milliseconds since 1970;
        /// otherwise 0.
        pub deadline_ms: u64,
    }

    /// The owner cannot go on by itself and asks the other members, before it asks people.
    pub struct HelpRequested {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// What it did so far, the newest last.
        pub tried: Vec<String>,
        /// What it needs. Untrusted.
        pub missing: String,
        /// Until when offers are awaited, in milliseconds since 1970.
        pub deadline_ms: u64,
    }

    /// Another member answers a request for help.
    pub struct HelpOffered {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The request.
        pub request: EventId,
        /// What is offered.
        pub help: HelpForm,
        /// The advice, or why it could do better, at most 8 KiB. Untrusted.
        pub text: String,
        /// What the author can do, in the words of the repositories' labels.
        pub capabilities: Vec<String>,
        /// Until when the offer stands, in milliseconds since 1970.
        pub until_ms: u64,
    }

    /// The owner takes an offer.
    pub struct HelpAccepted {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The offer.
        pub offer: EventId,
    }

    /// The claim was released for a helper to take, with the next epoch.
    pub struct HandedOver {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// The helper.
        pub to: AuthorId,
        /// Its offer.
        pub offer: EventId,
        /// The ref and the commit that hold the work so far; none if there was none.
        pub base: Option<(String, CommitId)>,
        /// The claim commit, which says Released.
        pub claim: CommitId,
    }

    /// The owner's rules say that people must approve this before it is done.
    pub struct ApprovalRequested {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// What is to be approved.
        pub subject: Subject,
        /// What an approval is bound to; see [`Subject::hash`].
        pub hash: Hash,
        /// What is to be approved, for people; cut to 16 KiB. Untrusted.
        pub text: String,
        /// Which rule asks for it.
        pub rule: String,
        /// Until when the owner waits, in milliseconds since 1970.
        pub deadline_ms: u64,
    }

    /// A person approves or refuses exactly what the hash commits to.
    pub struct ApprovalGiven {
        /// The epoch of the request.
        pub epoch: u64,
        /// The request.
        pub request: EventId,
        /// The request's hash.
        pub hash: Hash,
        /// Whether it may be done.
        pub approved: bool,
        /// Why.
        pub reason: String,
    }

    /// The owner makes limits of the task's discussion tighter than `schema/fold.md` has them.
    pub struct DiscussionBounded {
        /// The epoch of the owner's claim.
        pub epoch: u64,
        /// How many members may take part.
        pub participants: u32,
        /// How long a chain of answers may be.
        pub depth: u32,
        /// How many messages one author may say.
        pub per_author: u32,
        /// How many messages all authors together.
        pub messages: u32,
        /// How many bytes of text all messages together.
        pub bytes: u64,
        /// For how long after the claim was won or the work resumed.
        pub lifetime_ms: u64,
    }
}

impl Subject {
    /// What an approval of this content is bound to: BLAKE3 under the context `bzzz v1 approval`
    /// over the subject and the content (`schema/kinds.md`, `ApprovalRequested`).
    #[must_use]
    pub fn hash(self, content: &[u8]) -> Hash {
        let mut hasher = blake3::Hasher::new_derive_key("bzzz v1 approval");
        hasher.update(&(self as u32).to_le_bytes());
        hasher.update(content);
        Hash(*hasher.finalize().as_bytes())
    }
}
