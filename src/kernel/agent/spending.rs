//! What the work has cost, and which limit is reached.

use super::{Agent, Now};
use crate::kernel::fold::{DAY_MS, Epoch, Spent, SwarmState, Win};

impl Agent {
    /// Which limit of the task is reached in this round, if any. A command that runs is not counted
    /// against the time.
    pub(super) fn over_budget(&self, epoch: &Epoch, win: &Win, now: Now) -> Option<String> {
        let running = epoch.work.commands.last().is_some_and(|command| command.status.is_none());
        if running || epoch.work.done.is_some() {
            return None;
        }
        let round = epoch.rounds.last();
        let before = round.map(|round| round.spent).unwrap_or_default();
        let since = round.map_or(win.at, |round| round.at);
        let (budget, spent) = (&self.config.budget, &epoch.work.spent);
        let wall_ms = now.wall_ms.saturating_sub(since.ms());
        let tokens = self.tokens(spent).saturating_sub(self.tokens(&before));
        let limits = [
            ("commands", spent.commands - before.commands, budget.commands),
            ("answers of the model", spent.answers - before.answers, budget.answers),
            ("tokens", tokens, budget.tokens),
            ("seconds", wall_ms / 1000, budget.wall_ms / 1000),
        ];
        reached(&limits).map(|used| format!("the budget is used up: {used}"))
    }

    /// Which limit of the day is reached, if any.
    pub(super) fn over_day(&self, state: &SwarmState, now: Now) -> Option<String> {
        let today = now.wall_ms / DAY_MS;
        let tasks = self.spent_since(state, today);
        let epochs = tasks.into_iter().flat_map(|task| task.epochs.values());
        let mut spent = Spent::default();
        for used in epochs.filter_map(|epoch| epoch.usage.get(&self.me)?.get(&today)) {
            spent.commands = spent.commands.saturating_add(used.commands);
            spent.answers = spent.answers.saturating_add(used.answers);
            spent.tokens = spent.tokens.saturating_add(self.tokens(used));
        }
        let day = &self.config.day;
        let limits = [
            ("commands", spent.commands, day.commands),
            ("answers of the model", spent.answers, day.answers),
            ("tokens", spent.tokens, day.tokens),
        ];
        reached(&limits).map(|used| format!("the node's budget of today is used up: {used}"))
    }

    /// What is not known is not nothing: it counts as the most that an answer may have.
    fn tokens(&self, spent: &Spent) -> u64 {
        let unknown = spent.unknown.saturating_mul(u64::from(self.config.max_tokens));
        spent.tokens.saturating_add(unknown)
    }
}

fn reached(limits: &[(&str, u64, u64)]) -> Option<String> {
    let (what, used, limit) = limits.iter().find(|(_, used, limit)| used >= limit)?;
    Some(format!("{used} {what} of {limit}"))
}
