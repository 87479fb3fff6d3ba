//! The story of one task, event by event.

use std::io::Write;

use serde_json::{Value, json};

use super::list::{Shown, label, summary, winner};
use super::{events, read_again};
use crate::cli::exit::CliError;
use crate::cli::text::{Names, clean, count, time};
use crate::kernel::audit::{Archive, Records, Step, story};
use crate::kernel::event::kinds::Payload;
use crate::kernel::event::{Body, TaskId};

pub(super) struct Story<'a, R> {
    archive: &'a Archive<R>,
    shown: &'a Shown<'a>,
    task: TaskId,
    names: Names,
}

impl<'a, R: Records> Story<'a, R> {
    pub(super) fn new(archive: &'a Archive<R>, shown: &'a Shown<'a>, task: TaskId) -> Self {
        Self { archive, shown, task, names: Names::of(shown.state) }
    }

    fn steps(&self) -> impl Iterator<Item = Result<Step, CliError>> {
        let steps = story(self.archive, self.shown.state, self.task, self.shown.at);
        steps.map(|step| step.map_err(read_again))
    }

    pub(super) fn text(&self, out: &mut dyn Write) -> Result<(), CliError> {
        if let Some(task) = self.shown.state.tasks.get(&self.task) {
            writeln!(out, "{}  {}", label(task), clean(&task.title))?;
            let owner = winner(task, &self.names).map_or(String::new(), |o| format!(", owner {o}"));
            let (status, epochs) = (task.status().name(), count(task.epochs.len() as u64, "epoch"));
            let at = self.shown.at.map_or(String::new(), |ms| format!(", at {}", time(ms)));
            writeln!(out, "{status}{owner}, {epochs}, task {}{at}", task.id)?;
            writeln!(out)?;
        }
        let width = self.names.width();
        let mut running = None;
        for step in self.steps() {
            let Step { event, refused, stands } = step?;
            // The parts of one command's output follow each other without a line of their own.
            let command = match event.payload() {
                Some(Payload::CommandOutput(output)) => Some(output.command),
                Some(Payload::CommandIntended(_)) => Some(event.id),
                _ => None,
            };
            let told = match self.shown.state.erasures.of(&event) {
                Some(erasure) => events::erased(&event, erasure, &self.names),
                None => events::tell(&event, &self.names),
            };
            let goes_on = matches!(event.payload(), Some(Payload::CommandOutput(_)))
                && command == running
                && refused.is_none()
                && stands;
            if !goes_on {
                let author = self.names.name(&event.author);
                let refused = match refused {
                    _ if !stands => "  (void: the author is not a member there)".to_owned(),
                    Some(reason) => format!("  (refused: {reason})"),
                    None => String::new(),
                };
                let at = time(event.header.clock.ms());
                writeln!(out, "{at}  {author:<width$}  {}{refused}", clean(&told.head))?;
            }
            running = command;
            for line in &told.lines {
                writeln!(out, "    {}", clean(line))?;
            }
        }
        Ok(())
    }

    pub(super) fn json(&self, out: &mut dyn Write) -> Result<(), CliError> {
        let steps = self.steps().map(|step| step.map(|step| self.step(&step)));
        let steps: Vec<Value> = steps.collect::<Result<_, _>>()?;
        let task = self.shown.state.tasks.get(&self.task);
        let all = json!({
            "swarm": self.shown.state.swarm,
            "verified": self.shown.verified,
            "at_ms": self.shown.at,
            "task": task.map(|task| summary(task, &self.names)),
            "state": task,
            "events": steps,
        });
        serde_json::to_writer_pretty(&mut *out, &all).map_err(std::io::Error::from)?;
        writeln!(out)?;
        Ok(())
    }

    fn step(&self, step: &Step) -> Value {
        let Step { event, refused, stands } = step;
        let erased = self.shown.state.erasures.of(event);
        let (payload, unread) = match &event.body {
            _ if erased.is_some() => (None, Some("erased".to_owned())),
            Body::Known(payload) => (Some(json!(payload)), None),
            Body::Unknown => (None, Some("unknown".to_owned())),
            Body::Malformed(why) => (None, Some(format!("malformed: {why}"))),
            Body::Absent => (None, Some("absent".to_owned())),
        };
        json!({
            "id": event.id,
            "author": event.author,
            "author_name": self.names.name(&event.author),
            "time": time(event.header.clock.ms()),
            "clock": event.header.clock,
            "header": event.header,
            "payload": payload,
            "unread": unread,
            "erased": erased,
            "refused": refused,
            "stands": stands,
        })
    }
}
