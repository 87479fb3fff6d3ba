//! Questions to the model, the owner's plan, and reviews of the plans of others.

use super::answer::{self, PlanAnswer, schema};
use super::effect::{Effect, Key, ModelRequest, What};
use super::prompt;
use super::rules::Gate;
use super::talk::chosen;
use super::{Agent, Turn};
use crate::kernel::event::Draft;
use crate::kernel::event::kinds::{
    AnswerRefused, Escalated, ModelAsked, PlanAdopted, PlanProposed, PlanReviewed, Purpose,
    Subject, Verdict, cut,
};
use crate::kernel::fold::{
    Answer, Epoch, MAX_OBJECTIONS, MAX_PLANS, MAX_REVIEWS, Message, Part, Plan, Task, TaskStatus,
};
use crate::kernel::identity::AuthorId;
use crate::kernel::log::Hash;

/// The longest last message that is kept with a question, in bytes.
const MAX_LAST: usize = 16 * 1024;

/// How many reviews one node asks its model for at once.
const MAX_REVIEWS_AT_ONCE: usize = 2;

/// How a question to the model stands.
pub(super) enum Asked<'a> {
    /// Asked, or about to be, or waiting to be asked again.
    Underway,
    /// Answered.
    Answer(&'a Answer),
    /// It failed too often. The text says how, the flag whether the model spoke nonsense.
    GivenUp(String, bool),
}

impl Agent {
    /// Sees to it that the model is asked, and hands out the answer.
    pub(super) fn ask<'a>(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
        epoch: &'a Epoch,
        purpose: Purpose,
    ) -> Asked<'a> {
        let ask = epoch.asks.get(&self.me).filter(|ask| ask.purpose == purpose);
        if let Some(answer) = ask.and_then(|ask| ask.answer.as_ref()) {
            return Asked::Answer(answer);
        }
        let failures = ask.map_or(0, |ask| ask.failures);
        let allowed = match purpose {
            Purpose::Review | Purpose::Help | Purpose::Answer => 1,
            Purpose::Plan | Purpose::Step => self.config.budget.retries,
        };
        if let Some(ask) = ask.filter(|ask| !ask.waiting && failures > allowed) {
            let error = ask.last_error.clone().unwrap_or_default();
            return Asked::GivenUp(error, ask.nonsense);
        }
        let number = turns(epoch, self.me, purpose);
        let (messages, dropped) =
            prompt::messages(turn.state, task, epoch, purpose, self.me, &self.config);
        let key = Key { task: task.id, what: What::Model };
        if let Some(ask) = ask.filter(|ask| ask.waiting) {
            let request = ModelRequest {
                purpose,
                repository: task.repository.clone(),
                issue: task.issue,
                epoch: epoch.number,
                turn: ask.turn,
                messages,
                schema: schema(purpose),
                max_tokens: self.config.max_tokens,
            };
            if dropped.0 > 0 {
                self.local.dropped.insert(ask.event, dropped);
            }
            let effect = Effect::AskModel { key: key.clone(), ask: ask.event, request };
            self.ask_for(turn, key, effect);
        } else if !self.local.waits(&key, turn.now.mono_ms) {
            let last = messages.last().map_or("", |message| message.content.as_str());
            let (last, prompt) = (cut(last, MAX_LAST), hash(&messages));
            let asked = ModelAsked { epoch: epoch.number, purpose, turn: number, prompt, last };
            turn.drafts.push(Draft::about(task.id, asked));
        }
        Asked::Underway
    }

    /// Says that an answer was not in the form that was asked for.
    pub(super) fn refuse(
        &self,
        task: &Task,
        epoch: &Epoch,
        purpose: Purpose,
        answer: &Answer,
        reason: &str,
    ) -> Draft {
        let (reason, epoch) = (cut(reason, 1024), epoch.number);
        let refused = AnswerRefused { answer: answer.event, epoch, purpose, reason };
        Draft::about(task.id, refused).because([answer.event])
    }

    /// The owner's way to an adopted plan.
    pub(super) fn plan(&mut self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch) {
        if self.waits_for_answer(turn, task, epoch) || self.answer_questions(turn, task, epoch) {
            return;
        }
        let Some(plan) = epoch.plan() else {
            return self.propose(turn, task, epoch);
        };
        let mut objections: Vec<_> = plan.objections().map(|o| (o.event, &o.reason)).collect();
        let refused = epoch.approval(&Subject::Plan.hash(&plan.event.0));
        let refused = refused.and_then(|approval| approval.verdict.as_ref());
        let refused = refused.filter(|verdict| !verdict.approved);
        objections.extend(refused.map(|verdict| (verdict.event, &verdict.reason)));
        if !objections.is_empty() {
            // Each answer of people is worth another revision.
            let answers = epoch.rounds.iter().filter(|round| round.people).count();
            let allowed = (self.config.max_plan_revisions as usize + answers).min(MAX_PLANS - 1);
            if epoch.plans.len() <= allowed {
                return self.propose(turn, task, epoch);
            }
            let reason = "blocking objections stand against the last revision of the plan";
            let question: Vec<_> = objections.iter().map(|(_, reason)| reason.as_str()).collect();
            let question = cut(&question.join("\n"), 4096);
            let escalated = Escalated { epoch: epoch.number, reason: reason.to_owned(), question };
            let causes = objections.iter().map(|(event, _)| *event);
            turn.drafts.push(Draft::about(task.id, escalated).because(causes));
        } else if turn.now.wall_ms >= plan.deadline_ms || self.all_reviewed(turn, task, plan) {
            let rule = self.config.approvals.plan(turn.state, task, self.me);
            let text = prompt::plan_text(&plan.text);
            let asked = (Subject::Plan, &plan.event.0[..], text.as_str());
            let Gate::Open = self.gate(turn, task, epoch, asked, rule) else {
                return;
            };
            let considered: Vec<_> = plan.reviews.iter().map(|review| review.event).collect();
            let causes = std::iter::once(plan.event).chain(considered.iter().copied());
            let causes: Vec<_> = causes.collect();
            let adopted = PlanAdopted { epoch: epoch.number, plan: plan.event, considered };
            turn.drafts.push(Draft::about(task.id, adopted).because(causes));
        }
    }

    /// Whether nobody is left whose review is worth waiting for: those that were chosen for it.
    fn all_reviewed(&self, turn: &Turn<'_>, task: &Task, plan: &Plan) -> bool {
        let chosen = chosen(turn.state, task, &self.me, &plan.event, self.config.talk.reviewers);
        chosen.iter().all(|author| plan.reviews.iter().any(|review| review.author == *author))
    }

    fn propose(&mut self, turn: &mut Turn<'_>, task: &Task, epoch: &Epoch) {
        match self.ask(turn, task, epoch, Purpose::Plan) {
            Asked::Underway => {}
            Asked::GivenUp(error, nonsense) => {
                turn.drafts.push(give_up(task, epoch, &error, nonsense));
            }
            Asked::Answer(answer) => match answer::plan(&answer.text) {
                Err(reason) => {
                    turn.drafts.push(self.refuse(task, epoch, Purpose::Plan, answer, &reason));
                }
                Ok(PlanAnswer::Question(question)) => {
                    let asked = self.ask_people(turn, task, epoch, question);
                    turn.drafts.push(asked.because([answer.event]));
                }
                Ok(PlanAnswer::Plan(plan)) => {
                    let proposed = PlanProposed {
                        epoch: epoch.number,
                        revision: u32::try_from(epoch.plans.len()).unwrap_or(u32::MAX),
                        plan,
                        deadline_ms: turn.now.wall_ms.saturating_add(self.config.plan_window_ms),
                    };
                    turn.drafts.push(Draft::about(task.id, proposed).because([answer.event]));
                }
            },
        }
    }

    /// Reviews the plans of others while objections are heard.
    pub(super) fn review_others(&mut self, turn: &mut Turn<'_>) {
        if self.local.spent {
            return;
        }
        let mut underway = 0;
        let state = turn.state;
        for task in self.live(state) {
            let Some(epoch) = task.current().filter(|_| task.status() == TaskStatus::Claimed)
            else {
                continue;
            };
            let Some(plan) = epoch.plan().filter(|plan| self.may_review(turn, task, epoch, plan))
            else {
                continue;
            };
            underway += 1;
            if underway > MAX_REVIEWS_AT_ONCE {
                return;
            }
            let Asked::Answer(answer) = self.ask(turn, task, epoch, Purpose::Review) else {
                continue;
            };
            turn.drafts.push(match answer::review(&answer.text) {
                Err(reason) => self.refuse(task, epoch, Purpose::Review, answer, &reason),
                Ok(review) => {
                    let room = epoch.room_for(&self.me, 1, turn.now.wall_ms).unwrap_or(0);
                    let objected = epoch.discussion.objections.get(&self.me).copied();
                    let verdict = match review.verdict {
                        // It has no objection left, but its reasons may still be of use.
                        Verdict::Object if objected >= Some(MAX_OBJECTIONS) => Verdict::Advise,
                        verdict => verdict,
                    };
                    let reason = cut(&review.reason, room);
                    let (epoch, plan) = (epoch.number, plan.event);
                    let reviewed = PlanReviewed { epoch, plan, verdict, reason };
                    Draft::about(task.id, reviewed).because([plan, answer.event])
                }
            });
        }
    }

    /// Whether a review of this plan is this node's to write: it was chosen, or it works on
    /// something in the same repository itself.
    fn may_review(&self, turn: &Turn<'_>, task: &Task, epoch: &Epoch, plan: &Plan) -> bool {
        let Some(win) = epoch.winner.as_ref().filter(|win| win.author != self.me) else {
            return false;
        };
        let heard = plan.adopted.is_none()
            && turn.now.wall_ms < plan.deadline_ms
            && plan.reviews.len() < MAX_REVIEWS
            && epoch.room_for(&self.me, 1, turn.now.wall_ms).is_ok()
            && plan.reviews.iter().all(|review| review.author != self.me);
        let count = self.config.talk.reviewers;
        heard
            && (chosen(turn.state, task, &win.author, &plan.event, count).contains(&self.me)
                || self.own(turn.state).any(|(own, _)| own.repository == task.repository))
    }
}

/// The end of the work when the model is of no use. Nonsense is a matter for people; a model out of
/// reach is this node's own trouble.
pub(super) fn give_up(task: &Task, epoch: &Epoch, error: &str, nonsense: bool) -> Draft {
    let reason = if nonsense {
        "the model's answers were not in the form that was asked for"
    } else {
        "the model could not be asked"
    };
    let (reason, question) = (reason.to_owned(), error.to_owned());
    Draft::about(task.id, Escalated { epoch: epoch.number, reason, question })
}

/// The turn of a question: for a review, the revision that it is about; otherwise the number of
/// answers that were had.
fn turns(epoch: &Epoch, me: AuthorId, purpose: Purpose) -> u32 {
    let ask = epoch.asks.get(&me);
    match purpose {
        Purpose::Plan => ask.map_or(0, |ask| ask.turns.0),
        Purpose::Review => u32::try_from(epoch.plans.len().saturating_sub(1)).unwrap_or(u32::MAX),
        Purpose::Step => ask.map_or(0, |ask| ask.turns.1),
        Purpose::Help => u32::try_from(epoch.help.len().saturating_sub(1)).unwrap_or(u32::MAX),
        Purpose::Answer => {
            let answers = epoch.discussion.messages.values();
            let mine = |said: &&Message| said.part == Part::Answer && said.author == me;
            u32::try_from(answers.filter(mine).count()).unwrap_or(u32::MAX)
        }
    }
}

fn hash(messages: &[super::effect::Message]) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("bzzz v1 prompt");
    for message in messages {
        let len = u64::try_from(message.content.len()).expect("a length fits 64 bits");
        hasher.update(&[message.role as u8]);
        hasher.update(&len.to_le_bytes());
        hasher.update(message.content.as_bytes());
    }
    Hash(*hasher.finalize().as_bytes())
}
