//! What the events tell beyond the state: the texts of what was refused, when things were said
//! whose clocks the state does not keep, and questions to people of earlier rounds.

use super::said::{Said, said};
use super::{Node, Outcome, Root, Telling, What, rules};
use crate::kernel::event::kinds::{Payload, PlanAdopted};
use crate::kernel::event::{Event, EventId};
use crate::kernel::fold::{Aggregate, Refusals};

impl Telling<'_> {
    /// Adds what an event of the task or of one of its sessions tells. They come in the total
    /// order; whatever is no part of a discussion, or counts for nothing, is passed over.
    pub fn event(&mut self, event: &Event) {
        let members = &self.state.members;
        let counts = members.stands(&event.author, event.header.seq)
            && self.state.erasures.of(event).is_none();
        if !counts {
            return;
        }
        let told = event.payload().and_then(said);
        let known = self.nodes.iter().position(|node| node.id == Some(event.id));
        match (known, told) {
            (Some(at), told) if self.nodes[at].entry.outcome == Outcome::Refused => {
                self.refused(at, event, told);
            }
            (Some(at), Some(told)) if told.what == self.nodes[at].entry.what => {
                self.nodes[at].seen(event);
                self.decided(at, event);
            }
            // The intent of a claim names its entry, and says nothing itself.
            (Some(_), _) | (None, None) => {}
            (None, Some(told)) => self.forgotten(event, told),
        }
    }

    fn refused(&mut self, at: usize, event: &Event, told: Option<Said>) {
        let root = match &told {
            Some(told) => root(event, told),
            None => self.nodes[at].root,
        };
        let node = &mut self.nodes[at];
        let Some(told) = told else {
            // A refused event of another family is in the task's story.
            node.hidden = true;
            return;
        };
        node.seen(event);
        node.fill(told);
        node.root = root;
    }

    /// What the owner had considered when it adopted its plan is in the event alone.
    fn decided(&mut self, at: usize, event: &Event) {
        let Some(Payload::PlanAdopted(adopted)) = event.payload() else { return };
        let PlanAdopted { plan, considered, .. } = adopted;
        let task = self.task;
        let mut plans = task.epochs.values().flat_map(|epoch| &epoch.plans);
        let Some(plan) = plans.find(|known| known.event == *plan) else { return };
        let clock = Some(event.header.clock);
        let (_, rule) = rules::adoption(plan, clock, Some(considered.len()));
        self.nodes[at].entry.rule = rule;
        for node in &mut self.nodes {
            let listed = node.id.is_some_and(|id| considered.contains(&id));
            if listed && node.entry.outcome == Outcome::Stands {
                node.entry.outcome = Outcome::Considered;
                node.entry.rule =
                    "considered: the owner had it when it adopted its plan".to_owned();
            }
        }
    }

    /// An event that the state does not name any more, or never did.
    fn forgotten(&mut self, event: &Event, told: Said) {
        if !self.certain(event) {
            return;
        }
        let place = root(event, &told);
        let fits = |node: &&mut Node| {
            node.id.is_none()
                && node.root == place
                && node.entry.what == told.what
                && (node.about == told.about || told.what == What::Limits)
                && (told.what != What::Dependency || node.entry.head == told.head)
                && (told.what != What::Raised || node.entry.clock == Some(event.header.clock.0))
                && (told.what != What::Acknowledgement || node.entry.head == told.head)
        };
        if let Some(node) = self.nodes.iter_mut().find(fits) {
            node.seen(event);
            return;
        }
        let (outcome, rule) = match told.what {
            What::Withdrawal => (Outcome::Stands, "stands: it takes back what its author said"),
            What::Limits => (Outcome::Stands, "stands: an owner can make limits tighter"),
            What::Dependency => (Outcome::Stands, "stands: the highest confidence counts"),
            What::Raised => (Outcome::Stands, "raised: nobody took care of the question in time"),
            What::Acknowledgement => (Outcome::Ended, "ended: somebody else took care of it later"),
            What::Escalation => (Outcome::Ended, "ended: the work was taken up again"),
            What::PeoplesAnswer => {
                self.answered(told.about);
                (Outcome::Stands, "stands: the first answer counts")
            }
            // Whatever else counts is in the state.
            _ => return,
        };
        let at = self.nodes.len();
        self.push(place, super::Part::new(told.what, "").event(event.id).came((outcome, rule)));
        self.nodes[at].seen(event);
        self.nodes[at].fill(told);
    }

    fn answered(&mut self, question: Option<EventId>) {
        let asked = self.nodes.iter_mut().find(|node| question.is_some() && node.id == question);
        if let Some(node) = asked.filter(|node| node.entry.what == What::Escalation) {
            node.entry.outcome = Outcome::Answered;
            node.entry.rule = "answered: people answered, the first answer counts".to_owned();
        }
    }

    /// Whether an event that is not among the listed refusals was not refused: the list is bounded.
    fn certain(&self, event: &Event) -> bool {
        let all = |refusals: &Refusals| refusals.count == refusals.first.len() as u64;
        match Aggregate::of(event) {
            Some(Aggregate::Session(id)) => {
                self.state.sessions.get(&id).is_some_and(|session| all(&session.refusals))
            }
            _ => all(&self.task.refusals),
        }
    }
}

fn root(event: &Event, told: &Said) -> Root {
    match (Aggregate::of(event), told.epoch) {
        (Some(Aggregate::Session(id)), _) => Root::Session(id),
        (_, Some(epoch)) => Root::Epoch(epoch),
        (_, None) => Root::Top,
    }
}

impl Node {
    /// Takes over who said it, and when.
    fn seen(&mut self, event: &Event) {
        let clock = event.header.clock;
        self.id = Some(event.id);
        self.entry.event = Some(event.id.to_string());
        self.entry.author = Some(event.author.to_string());
        self.entry.clock = Some(clock.0);
        self.entry.time_ms = Some(clock.ms());
    }

    fn fill(&mut self, told: Said) {
        let Said { what, head, text, about, deadline_ms, .. } = told;
        self.about = about;
        self.entry.parent = about.map(|id| id.to_string());
        self.entry.what = what;
        self.entry.head = head;
        self.entry.text = text;
        self.entry.deadline_ms = Some(deadline_ms).filter(|ms| *ms > 0);
        // A refused claim to be a beginning begins nothing.
        self.is_root = false;
    }
}
