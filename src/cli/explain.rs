//! Why a task stands where it stands, in words. All texts of others are cleaned here.

use std::io::{self, Write};

use super::text::{clean, time};
use crate::kernel::audit::{EpochStory, Explanation, Free, Try, Waiting, Who, Won};

/// The longest sentence, in characters; events have all of it.
const LONG: usize = 400;

/// Writes what every node would say of a task.
///
/// # Errors
/// Those of the output.
pub fn write(out: &mut dyn Write, told: &Explanation) -> io::Result<()> {
    writeln!(out, "{}  {}", clean(&told.task), clean(&told.title))?;
    match &told.owner {
        Some(owner) => writeln!(out, "It is {}, and {} owns it.", told.status, name(owner))?,
        None => writeln!(out, "It is {}, and nobody owns it.", told.status)?,
    }
    writeln!(out, "\nHow it came to that")?;
    if told.epochs.is_empty() {
        writeln!(out, "  Nobody has tried to claim it.")?;
    }
    if told.older > 0 {
        writeln!(out, "  {} older claims are left out.", told.older)?;
    }
    for one in &told.epochs {
        epoch(out, one)?;
    }
    writeln!(out, "\nWhat it waits for")?;
    for one in &told.waits {
        waiting(out, one)?;
    }
    if told.waits.is_empty() {
        writeln!(out, "  Nothing.")?;
    }
    if let Some(circle) = &told.circle {
        let circle: Vec<_> = circle.iter().map(|task| clean(task)).collect();
        writeln!(out, "  These wait for each other, and people have to break the circle:")?;
        writeln!(out, "    {}", circle.join(" -> "))?;
    }
    Ok(())
}

fn name(who: &Who) -> String {
    clean(&who.name).into_owned()
}

fn names(all: &[Who]) -> String {
    all.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn epoch(out: &mut dyn Write, epoch: &EpochStory) -> io::Result<()> {
    let free = match &epoch.free {
        Free::First => "nobody had it before".to_owned(),
        Free::GivenBack { by } => format!("{} had given it back", name(by)),
        Free::HandedOver { by, to } => format!("{} had handed it over to {}", name(by), name(to)),
        Free::RanOut { holder, lease_ms, watched_by } => format!(
            "the lease of {} ({} s) had run out, as {} watched",
            name(holder),
            lease_ms / 1000,
            names(watched_by)
        ),
        Free::Lost { by } => format!("{} had lost it", name(by)),
        Free::OpenedAgain => "the issue was opened again".to_owned(),
        Free::Unknown => "it is not said why it was free".to_owned(),
    };
    writeln!(out, "  Claim {}: {free}.", epoch.epoch)?;
    match &epoch.won {
        Some(won) => winner(out, won)?,
        None => writeln!(out, "    Nobody has won it yet.")?,
    }
    let winner = epoch.won.as_ref().map(|won| won.by.key.as_str());
    let others = epoch.tries.iter().filter(|tried| winner != Some(tried.by.key.as_str()));
    for tried in others {
        writeln!(out, "    {}", attempt(tried))?;
    }
    if epoch.more > 0 {
        writeln!(out, "    {} more tried.", epoch.more)?;
    }
    if !epoch.contested.is_empty() {
        let also = names(&epoch.contested);
        writeln!(
            out,
            "    CONTESTED: {also} says to have won it too. What others saw in the ref:"
        )?;
        for (holder, count) in &epoch.seen {
            writeln!(out, "      {}, seen by {count}", name(holder))?;
        }
    }
    if let Some(ended) = &epoch.ended {
        writeln!(out, "    It ended: {}", cut(ended))?;
    }
    Ok(())
}

fn winner(out: &mut dyn Write, won: &Won) -> io::Result<()> {
    let how = match &won.replaced {
        None => "the claim ref was absent, and its push created it".to_owned(),
        Some(old) => {
            let old = old.get(..10).unwrap_or(old);
            format!("its push replaced {old} in the claim ref by compare-and-swap")
        }
    };
    writeln!(out, "    {} won it at {}: {how}.", name(&won.by), time(won.at_ms))?;
    let lease = won.lease_ms / 1000;
    writeln!(
        out,
        "    Its claim was last moved at {}; the lease is {lease} s.",
        time(won.renewed_ms)
    )
}

fn attempt(tried: &Try) -> String {
    let (who, at) = (name(&tried.by), time(tried.at_ms));
    match tried.result.as_str() {
        "lost" => format!("{who} tried at {at} and lost: the ref took another claim."),
        "failed" => format!("{who} tried at {at} and gave up."),
        "won" => format!("{who} tried at {at} and says that it won."),
        _ => format!("{who} tried at {at}; what came of it is not said."),
    }
}

fn waiting(out: &mut dyn Write, one: &Waiting) -> io::Result<()> {
    let until = one.until_ms.map(|ms| format!(", until {}", time(ms))).unwrap_or_default();
    writeln!(out, "  For {}{until}.", cut(&one.said).trim_end_matches('.'))?;
    match &one.id {
        Some(id) => writeln!(out, "    {id}"),
        None => Ok(()),
    }
}

/// A sentence on one line, without what could move the cursor.
fn cut(text: &str) -> String {
    let line = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(LONG).collect();
    let more = if short.len() < line.len() { "..." } else { "" };
    format!("{}{more}", clean(&short))
}
