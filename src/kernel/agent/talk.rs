//! Who is asked for a review or for help, questions to people, and answers to the questions of
//! others.

use super::answer;
use super::plans::Asked;
use super::{Agent, Turn};
use crate::kernel::event::kinds::{
    Act, DiscussionBounded, Escalated, MessageSaid, Purpose, Role, cut,
};
use crate::kernel::event::{Draft, EventId};
use crate::kernel::fold::{Epoch, Limits, Message, Part, SwarmState, Task};
use crate::kernel::identity::AuthorId;

/// How many questions of others than people an owner answers under one claim.
const MAX_ANSWERS: usize = 4;

/// What a node's operator decides about discussions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TalkConfig {
    /// How many other nodes are chosen to review a plan, and waited for.
    pub reviewers: u32,
    /// How many other nodes are chosen to help, and waited for.
    pub helpers: u32,
    /// Whether this node helps others.
    pub helps: bool,
    /// How often help is asked for before people are, since the work began or was resumed.
    pub max_help: u32,
    /// How long offers of help are awaited, in milliseconds.
    pub help_ms: u64,
    /// How long an answer of people in the swarm is awaited before others are asked, in
    /// milliseconds.
    pub question_ms: u64,
    /// From which confidence on, in percent, two plans that touch the same are put in an order;
    /// above 100 for never.
    pub order_percent: u32,
    /// How long the owner of the other task is waited for, in milliseconds.
    pub order_ms: u64,
    /// The limits of the discussions of this node's own tasks.
    pub limits: Limits,
}

impl Default for TalkConfig {
    fn default() -> Self {
        Self {
            reviewers: 3,
            helpers: 3,
            helps: true,
            max_help: 2,
            help_ms: 30_000,
            question_ms: 600_000,
            order_percent: 60,
            order_ms: 30_000,
            limits: Limits::WIDEST,
        }
    }
}

/// The nodes that are asked about something: those that can do what the labels name first,
/// and among equals by a hash of both, so that every node names the same ones and each is chosen
/// as often as another (rendezvous hashing; Thaler and Ravishankar, 1998).
pub(super) fn chosen(
    state: &SwarmState,
    task: &Task,
    owner: &AuthorId,
    about: &EventId,
    count: u32,
) -> Vec<AuthorId> {
    let others =
        state.agents.iter().filter(|(author, _)| *author != owner && state.members.may_act(author));
    let mut ranked: Vec<_> = others
        .map(|(author, agent)| {
            let can = &agent.started.capabilities;
            let misses = !task.labels.iter().any(|label| can.contains(label));
            let mut hasher = blake3::Hasher::new_derive_key("bzzz v1 chosen");
            hasher.update(&about.0);
            hasher.update(&author.0);
            (misses, *hasher.finalize().as_bytes(), *author)
        })
        .collect();
    ranked.sort_unstable();
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    ranked.into_iter().take(count).map(|(_, _, author)| author).collect()
}

impl Agent {
    /// Makes the limits of the task's discussion as tight as this node's operator wants them.
    pub(super) fn bound(&self, task: &Task, epoch: &Epoch) -> Option<Draft> {
        let (now, limits) = (epoch.discussion.limits, &self.config.talk.limits);
        let tighter = limits.participants < now.participants
            || limits.depth < now.depth
            || limits.per_author < now.per_author
            || limits.messages < now.messages
            || limits.bytes < now.bytes
            || limits.lifetime_ms < now.lifetime_ms;
        let Limits { participants, depth, per_author, messages, bytes, lifetime_ms } = *limits;
        let bounded = DiscussionBounded {
            epoch: epoch.number,
            participants,
            depth,
            per_author,
            messages,
            bytes,
            lifetime_ms,
        };
        tighter.then(|| Draft::about(task.id, bounded))
    }

    /// The model's question before it can plan. People in the swarm are asked first; if there are
    /// none, or they were asked before, the question leaves the swarm.
    pub(super) fn ask_people(
        &self,
        turn: &Turn<'_>,
        task: &Task,
        epoch: &Epoch,
        question: String,
    ) -> Draft {
        let epoch_number = epoch.number;
        let room = epoch.room_for(&self.me, 1, turn.now.wall_ms).is_ok();
        if room && turn.state.members.has_operator() && self.own_question(epoch).is_none() {
            let deadline_ms = turn.now.wall_ms.saturating_add(self.config.talk.question_ms);
            let act = Act::Question;
            let (parent, text) = (epoch.plan().map(|plan| plan.event), question);
            let said = MessageSaid { epoch: epoch_number, parent, act, text, deadline_ms };
            return Draft::about(task.id, said);
        }
        let reason = "the issue cannot be planned without an answer".to_owned();
        Draft::about(task.id, Escalated { epoch: epoch_number, reason, question })
    }

    /// This node's question since the work began or was resumed.
    fn own_question<'a>(&self, epoch: &'a Epoch) -> Option<(&'a EventId, &'a Message)> {
        let since = epoch.rounds.last().map(|round| round.at);
        let asked = epoch.discussion.questions().filter(|(_, said)| said.author == self.me);
        asked.filter(|(_, said)| since.is_none_or(|since| said.at > since)).last()
    }

    /// Whether the owner waits for an answer to its own question. If none comes in time, people
    /// outside of the swarm are asked.
    pub(super) fn waits_for_answer(&self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch) -> bool {
        let Some((event, asked)) = self.own_question(epoch) else { return false };
        if epoch.discussion.answers(event).next().is_some() {
            return false;
        }
        if turn.now.wall_ms >= asked.deadline_ms {
            let reason = "nobody in the swarm answered the question in time".to_owned();
            let question = asked.text.clone();
            let escalated = Escalated { epoch: epoch.number, reason, question };
            turn.drafts.push(Draft::about(task.id, escalated).because([*event]));
        }
        true
    }

    /// Whether the owner is about to answer somebody's question about its plan.
    pub(super) fn answer_questions(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &Epoch,
    ) -> bool {
        if epoch.plan().is_none_or(|plan| plan.adopted.is_some()) {
            return false;
        }
        // One question of a node is open at a time: the answer to that for a revision is not to be
        // thrown away.
        let revises = epoch.asks.get(&self.me).is_some_and(|ask| {
            ask.purpose == Purpose::Plan && (ask.waiting || ask.answer.is_some())
        });
        if revises {
            return false;
        }
        let late = epoch.room_for(&self.me, 1, turn.now.wall_ms).is_err();
        let asked = open_question(turn.state, epoch, &self.me).filter(|_| !late);
        let Some(event) = asked.map(|(event, _)| *event) else { return false };
        let text = match self.ask(turn, task, epoch, Purpose::Answer) {
            Asked::Underway => return true,
            Asked::GivenUp(error, _) => (format!("I cannot answer that: {error}"), None),
            Asked::Answer(answer) => match answer::answer(&answer.text) {
                Ok(text) => (text, Some(answer.event)),
                Err(reason) => {
                    let refused = self.refuse(task, epoch, Purpose::Answer, answer, &reason);
                    turn.drafts.push(refused);
                    return true;
                }
            },
        };
        let (text, because) = (cut(&text.0, 4096), text.1);
        let (act, deadline_ms) = (Act::Answer, 0);
        let said = MessageSaid { epoch: epoch.number, parent: Some(event), act, text, deadline_ms };
        let causes = std::iter::once(event).chain(because);
        turn.drafts.push(Draft::about(task.id, said).because(causes.collect::<Vec<_>>()));
        true
    }
}

/// The oldest question of somebody else that nobody answered and the owner has room to answer.
/// Those of people come first, and there is no other limit on them than on what they say.
pub(super) fn open_question<'a>(
    state: &SwarmState,
    epoch: &'a Epoch,
    me: &AuthorId,
) -> Option<(&'a EventId, &'a Message)> {
    let talk = &epoch.discussion;
    let person = |author: &AuthorId| {
        let member = state.members.members.get(author);
        member.is_some_and(|member| member.role == Role::Operator)
    };
    let asker = |said: &Message| Some(talk.messages.get(&said.parent?)?.author);
    let answered = talk.messages.values().filter(|said| {
        let by_me = said.part == Part::Answer && said.author == *me;
        by_me && asker(said).is_some_and(|asker| !person(&asker))
    });
    let patient = answered.count() < MAX_ANSWERS;
    let asked = talk.questions().filter(|(event, said)| {
        let fits = epoch.room_for(me, said.depth.saturating_add(1), 0).is_ok();
        let heard = person(&said.author) || patient;
        said.author != *me && heard && fits && talk.answers(event).next().is_none()
    });
    asked.min_by_key(|(_, said)| !person(&said.author))
}
