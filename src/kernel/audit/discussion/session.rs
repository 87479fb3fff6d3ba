//! The sessions about the order of a task and another one.

use super::{Outcome, Part, Root, Telling, What, rules};
use crate::kernel::audit::sessions_of;
use crate::kernel::event::kinds::Act;
use crate::kernel::fold::{Opening, Session};

impl Telling<'_> {
    pub(super) fn tell_sessions(&mut self) {
        let state = self.state;
        for id in sessions_of(state, self.task.id) {
            let Some(session) = state.sessions.get(&id) else { continue };
            if let Some(opening) = &session.opening {
                self.tell_session(session, opening);
            }
        }
    }

    fn tell_session(&mut self, session: &Session, opening: &Opening) {
        let root = Root::Session(session.id);
        let name = |at: u32| {
            let side = usize::try_from(at).ok().and_then(|at| opening.sides.get(at));
            side.map_or(String::new(), |side| format!("{}#{}", side.repository, side.issue))
        };
        let (first, second) = (name(opening.first), name(1 - opening.first.min(1)));
        let head = format!("opens a session: {second} waits for {first}");
        let mut text = opening.reason.clone();
        for evidence in &opening.evidence {
            text.push_str(&format!("\nevidence: {evidence}"));
        }
        let part = Part::new(What::Session, head).event(opening.event);
        let part = part.by(opening.by, opening.at).text(text).until(opening.deadline_ms);
        self.push(root, part.came(rules::session(self.state, session)));
        for (author, joined) in &session.joined {
            let (head, came) = match joined.agrees {
                true => ("joins and agrees", "stands: the session can be resolved at once"),
                false => ("joins and does not agree", "stands: the session cannot be resolved"),
            };
            let mut part = Part::new(What::Joined, head).event(joined.event).about(opening.event);
            part.author = Some(*author);
            self.push(root, part.text(&*joined.reason).came((Outcome::Stands, came)));
        }
        for (event, said) in &session.messages {
            let act = match said.act {
                Act::Comment => "says",
                Act::Question => "asks",
                Act::Answer => "answers",
            };
            let head = format!("{act}, for {}", name(said.side));
            let part = Part::new(What::Said, head).event(*event).about(said.parent);
            let part = part.by(said.author, said.at).text(&*said.text);
            let came = (Outcome::Stands, "stands: it is within the limits of the session");
            self.push(root, part.came(came));
        }
        if let Some((event, first)) = &session.resolved {
            let head = format!("settles the session: {} goes first", name(*first));
            let mut part = Part::new(What::Resolved, head).event(*event).about(opening.event);
            part.author = Some(opening.by);
            let rule = "resolved: nobody whom its author considered disagreed, and somebody agreed \
                        or the time was over";
            self.push(root, part.came((Outcome::Resolved, rule)));
        }
        if let Some((event, reason)) = &session.escalated {
            let part = Part::new(What::SessionEscalated, "gives the session to people");
            let part = part.event(*event).about(opening.event).text(&**reason);
            let rule = "given to people: by its author or somebody who joined";
            self.push(root, part.came((Outcome::Escalated, rule)));
        }
        self.tell_refusals(root, &session.refusals);
    }
}
