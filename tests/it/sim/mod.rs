//! The simulator: whole swarms of the kernel's real machines in one thread, under a virtual clock.
//!
//! Everything that happens follows from one seed: the same seed gives the same run, which a test
//! compares by the hash of all that happened. A failing seed prints itself and how to run it alone.
//!
//! Faults that are injected, all of which a swarm must survive:
//! - network: delay, loss, duplication, reordering, broken streams, partitions that heal,
//!   connections that are noticed late to be dead, gossip that loses any share of messages, or all;
//! - nodes: crashes at any time and in the middle of a commit, before or after it was synced;
//!   writes that were not synced are lost; memory is lost; the node starts again later;
//! - clocks: wall clocks that differ by up to three seconds;
//! - a malicious member: it changes bytes, swaps, drops and moves records, claims logs that are not
//!   there, answers nothing or noise, and asks noise;
//! - the outside: pushes that are refused, pushes whose answer is lost, boards that refuse, sandboxes
//!   that fail, models that are silent or talk nonsense.
//!
//! Not injected here: disks that lose synced writes, clocks that jump, authors that fork their own
//! logs, two nodes with one key.
//!
//! What must hold at the end, when the faults are over: all honest nodes hold the same logs and come
//! to one state digest; nothing acknowledged is lost; every task and epoch has one winner, the one
//! of the ref; every task is published or escalated; only the malicious member was penalised.

mod evil;
mod net;
mod node;
mod outside;
mod rng;
mod store;
mod world;

use bzzz::kernel::fold::{Task, TaskStatus};
use bzzz::kernel::log::Hash;

use outside::REPOSITORY;
use world::{Play, World};

/// The variable that names the one seed to run.
const SEED: &str = "BZZZ_SIM_SEED";

fn is_over(task: &Task) -> bool {
    let status = matches!(task.status(), TaskStatus::Published | TaskStatus::Escalated);
    status && task.current().is_some_and(|epoch| epoch.finished.is_some())
}

/// Says which seed it was, when a run panics.
struct Named(u64, &'static str);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed, test) = self;
            eprintln!(
                "seed {seed} failed; alone: {SEED}={seed} cargo test --release --test it -- \
                 sim::{test} --nocapture"
            );
        }
    }
}

fn run(seed: u64, play: Play, test: &'static str) -> (Hash, World) {
    let _named = Named(seed, test);
    let mut world = World::new(seed, play);
    world.loud = chosen_seed().is_some();
    let trace = world.run();
    check(&world);
    (trace, world)
}

fn run_all(count: u64, play: Play, test: &'static str) {
    let mut totals = std::collections::BTreeMap::new();
    for seed in chosen_seed().map_or(0..count, |seed| seed..seed + 1) {
        let (_, world) = run(seed, play, test);
        for (what, count) in world.counts {
            *totals.entry(what).or_insert(0) += count;
        }
    }
    println!("{test}: {totals:?}");
    if chosen_seed().is_none() {
        for what in ["crashes", "partitions", "penalties", "ranges"] {
            assert!(totals.get(what).is_some_and(|count| *count > 0), "no {what} in any run");
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever looks into a failing seed names it in the environment"
)]
fn chosen_seed() -> Option<u64> {
    std::env::var(SEED).ok()?.parse().ok()
}

/// What must hold when a run is over.
fn check(world: &World) {
    for node in world.nodes.iter().filter(|node| !node.is_evil) {
        node.check_acknowledged();
        let memory = node.memory.as_ref().expect("all nodes are up at the end");
        for other in world.nodes.iter().filter(|other| !other.is_evil) {
            for (author, acknowledged) in other.acknowledged.keys() {
                let held = node.length_of(author);
                assert!(held >= *acknowledged, "a node lacks what another acknowledged");
            }
        }
        for (issue, _) in world.outside.tasks() {
            let task = memory.fold.state().task(REPOSITORY, issue).expect("it was seen");
            for epoch in task.epochs.values() {
                let by_ref = world.outside.winners.get(&(issue, epoch.number));
                let by_state = epoch.winner.as_ref().map(|win| win.author);
                if let Some(winner) = by_state {
                    assert_eq!(Some(&winner), by_ref, "issue {issue}, epoch {}", epoch.number);
                }
            }
            if let Some(publish) = task.published() {
                let branch = world.outside.branch(&publish.branch);
                assert_eq!(branch, Some(&publish.commit), "issue {issue}: the branch's commit");
            }
        }
    }
}

#[test]
fn logs_meet_whatever_happens() {
    run_all(300, Play::Logs, "logs_meet_whatever_happens");
}

#[test]
fn swarms_finish_their_tasks_whatever_happens() {
    run_all(200, Play::Agents, "swarms_finish_their_tasks_whatever_happens");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for play in [Play::Logs, Play::Agents] {
        let traces = [7, 7, 8].map(|seed| run(seed, play, "the_same_seed_gives_the_same_run").0);
        assert_eq!(traces[0], traces[1]);
        assert_ne!(traces[0], traces[2]);
    }
}
