//! What the state tells of a task's discussion.

use super::{Outcome, Part, Root, Telling, What, rules, said};
use crate::kernel::event::kinds::{PlanText, Subject};
use crate::kernel::fold::{Approval, Epoch, Escalation, Help, Limits, Part as Said, Refusals, Win};

impl Telling<'_> {
    pub(super) fn tell_task(&mut self) {
        let task = self.task;
        for found in task.detected.values() {
            let other = format!("{}#{}", found.repository, found.issue);
            let head = said::depends(&other, found.source, found.confidence);
            let count = found.by.len();
            let rule = format!("stands: found by nodes: {count}; the highest confidence counts");
            let part = Part::new(What::Dependency, head).text(found.evidence.join("\n"));
            self.push(Root::Top, part.came((Outcome::Stands, rule)));
        }
        for epoch in task.epochs.values() {
            if let Some(win) = &epoch.winner {
                self.tell_epoch(epoch, win);
            }
        }
        self.tell_refusals(Root::Top, &task.refusals);
    }

    pub(super) fn tell_refusals(&mut self, root: Root, refusals: &Refusals) {
        self.refused = self.refused.saturating_add(refusals.count);
        for refusal in &refusals.first {
            let head = format!("says something, index {}", refusal.seq);
            let mut part = Part::new(What::Refused, head).event(refusal.event);
            part.author = Some(refusal.author);
            let rule = format!("refused: {}", refusal.reason);
            self.push(root, part.came((Outcome::Refused, rule)));
        }
    }

    fn tell_epoch(&mut self, epoch: &Epoch, win: &Win) {
        let root = Root::Epoch(epoch.number);
        let head = format!("owns the task, epoch {}", epoch.number);
        let part = Part::new(What::Claim, head).event(win.intent).by(win.author, win.at);
        let part = match self.task.handed_to(epoch.number).filter(|by| by.to == win.author) {
            Some(handed) => part.text(format!("handed over with claim {}", handed.claim.short())),
            None => part,
        };
        self.push(root, part.came(rules::claim(self.task, epoch)));
        self.tell_limits(root, &epoch.discussion.limits);
        for at in 0..epoch.plans.len() {
            self.tell_plan(root, epoch, win, at);
        }
        for (event, said) in &epoch.discussion.messages {
            let (what, head) = match said.part {
                Said::Comment => (What::Comment, "says"),
                Said::Question => (What::Question, "asks"),
                Said::Answer => (What::Answer, "answers"),
                Said::Review | Said::Offer => continue,
            };
            let mut part = Part::new(what, head).event(*event).by(said.author, said.at);
            part.about = said.parent;
            let part = part.text(&*said.text).until(said.deadline_ms);
            self.push(root, part.came(rules::message(epoch, event, said)));
        }
        for at in 0..epoch.help.len() {
            self.tell_help(root, epoch, win, at);
        }
        if let Some(handed) = &epoch.handed {
            let head = format!("hands the task over to {}", handed.to.short());
            let mut part = Part::new(What::HandOff, head).event(handed.event);
            part = part.by(win.author, handed.at);
            part.about = epoch.help.last().map(|help| help.event);
            let base = handed.base.as_ref();
            let base = base.map(|(name, commit)| format!("work so far: {name} at {commit}"));
            let came = rules::handed(self.task, epoch, handed);
            self.push(root, part.text(base.unwrap_or_default()).came(came));
        }
        for approval in &epoch.approvals {
            self.tell_approval(root, epoch, win, approval);
        }
        if let Some(escalation) = &epoch.escalation {
            self.tell_escalation(root, win, escalation);
        }
        for round in &epoch.rounds {
            let (head, rule) = match round.people {
                true => ("takes the work up again: people answered", "because of that answer"),
                false => (
                    "takes the work up again: its pull request asks for it",
                    "because of what was seen of the pull request",
                ),
            };
            let part = Part::new(What::Round, head).event(round.event).by(win.author, round.at);
            let part = part.text(&*round.message);
            self.push(
                root,
                part.came((Outcome::Stands, format!("resumed: {rule}, once for each"))),
            );
        }
    }

    fn tell_limits(&mut self, root: Root, limits: &Limits) {
        if *limits == Limits::WIDEST {
            return;
        }
        let text = limits_text(limits);
        let part = Part::new(What::Limits, said::BOUNDED).text(text);
        let rule = "stands: an owner can make limits tighter, never wider";
        self.push(root, part.came((Outcome::Stands, rule)));
    }

    fn tell_plan(&mut self, root: Root, epoch: &Epoch, win: &Win, at: usize) {
        let plan = &epoch.plans[at];
        let head = said::proposes(u32::try_from(at).unwrap_or(u32::MAX));
        let part = Part::new(What::Plan, head).event(plan.event).by(win.author, plan.at);
        let part = part.text(plan_text(&plan.text)).until(plan.deadline_ms);
        self.push(root, part.came(rules::plan(epoch, at)));
        for review in &plan.reviews {
            let head = said::verdict(&review.verdict);
            let mut part = Part::new(What::Review, head).event(review.event).about(plan.event);
            part.author = Some(review.author);
            part.at = epoch.discussion.messages.get(&review.event).map(|said| said.at);
            self.push(root, part.text(&*review.reason).came(rules::review(epoch, at, review)));
        }
        if let Some(event) = plan.adopted {
            let mut part = Part::new(What::Adoption, "adopts its plan").event(event);
            part = part.about(plan.event);
            part.author = Some(win.author);
            self.push(root, part.came(rules::adoption(plan, None, None)));
        }
    }

    fn tell_help(&mut self, root: Root, epoch: &Epoch, win: &Win, at: usize) {
        let help: &Help = &epoch.help[at];
        let text = said::help_text(&help.missing, &help.tried);
        let part = Part::new(What::Help, "asks for help").event(help.event);
        let part = part.by(win.author, help.at).text(text).until(help.deadline_ms);
        self.push(root, part.came(rules::help(epoch, at)));
        for offer in &help.offers {
            let head = said::offer(offer.help);
            let mut part = Part::new(What::Offer, head).event(offer.event).about(help.event);
            part.author = Some(offer.author);
            part.at = epoch.discussion.messages.get(&offer.event).map(|said| said.at);
            let part = part.text(&*offer.text).until(offer.until_ms);
            self.push(root, part.came(rules::offer(help, offer)));
        }
        if let Some((offer, at)) = help.accepted {
            let part = Part::new(What::Acceptance, "takes the offer").about(offer);
            let rule = "accepted: the offer stood and nobody else's was taken before";
            self.push(root, part.by(win.author, at).came((Outcome::Stands, rule)));
        }
    }

    fn tell_approval(&mut self, root: Root, epoch: &Epoch, win: &Win, approval: &Approval) {
        let head = said::approve(approval.subject, &approval.hash.short());
        let mut text = format!("rule: {}", approval.rule);
        // The text of a plan is there already.
        let plan = epoch.plans.iter().find(|plan| {
            approval.subject == Subject::Plan && Subject::Plan.hash(&plan.event.0) == approval.hash
        });
        if plan.is_none() {
            text.push_str(&format!("\n{}", approval.text));
        }
        let mut part = Part::new(What::Approval, head).event(approval.event);
        part.about = plan.map(|plan| plan.event);
        let part = part.by(win.author, approval.at).text(text).until(approval.deadline_ms);
        self.push(root, part.came(rules::approval(epoch, approval)));
        if let Some(verdict) = &approval.verdict {
            let head = said::approves(verdict.approved);
            let mut part = Part::new(What::Verdict, head).event(verdict.event);
            part = part.about(approval.event).text(&*verdict.reason);
            part.author = Some(verdict.author);
            let rule = "stands: it names the hash that was asked for, and the first verdict counts";
            self.push(root, part.came((Outcome::Stands, rule)));
        }
    }

    fn tell_escalation(&mut self, root: Root, win: &Win, escalation: &Escalation) {
        let part = Part::new(What::Escalation, "asks people").event(escalation.event);
        let text = format!("because: {}\n{}", escalation.reason, escalation.question);
        let part = part.by(win.author, escalation.at).text(text);
        self.push(root, part.came(rules::escalation(escalation)));
        if escalation.level > 0 {
            let head = format!("asks people again, level {}", escalation.level);
            let part = Part::new(What::Raised, head).about(escalation.event);
            let rule = "raised: nobody took care of the question in time";
            let part = part.by(win.author, escalation.raised_at);
            self.push(root, part.came((Outcome::Stands, rule)));
        }
        if let Some(by) = &escalation.acknowledged {
            let head = format!("hears by {} that {} takes care of it", by.channel, by.by);
            let part = Part::new(What::Acknowledgement, head).about(escalation.event);
            let rule = "stands: until the question is raised again";
            self.push(root, part.came((Outcome::Stands, rule)));
        }
        if let Some(answer) = &escalation.answer {
            let head = format!("has the answer of {}", answer.by);
            let part = Part::new(What::PeoplesAnswer, head).event(answer.event);
            let part = part.about(escalation.event).text(&*answer.text);
            let rule = "stands: the first answer counts";
            self.push(root, part.came((Outcome::Stands, rule)));
        }
    }
}

/// A plan in lines.
pub(super) fn plan_text(plan: &PlanText) -> String {
    let mut text = plan.summary.clone();
    let parts = [
        ("- ", &plan.steps),
        ("file: ", &plan.files),
        ("test: ", &plan.tests),
        ("risk: ", &plan.risks),
    ];
    for (mark, lines) in parts {
        for line in lines {
            text.push_str(&format!("\n{mark}{line}"));
        }
    }
    text
}

/// Limits in words.
pub(super) fn limits_text(limits: &Limits) -> String {
    format!(
        "at most {} participants, {} answers deep, {} messages of one author, {} messages and {} \
         bytes in all, for {} ms",
        limits.participants,
        limits.depth,
        limits.per_author,
        limits.messages,
        limits.bytes,
        limits.lifetime_ms
    )
}
