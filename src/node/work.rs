//! The loop around the kernel's agent: what happened goes in, effects come out and are carried out,
//! appends at once and in order, everything else beside the loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};
use zeroize::Zeroizing;

use super::clock;
use super::home::Home;
use super::mask::Masker;
use super::outside::Outside;
use super::tell::tell;
use super::workspace::{Workspaces, told};
use crate::engine::{Engine, EngineError};
use crate::kernel::agent::{Agent, Effect, Input};
use crate::kernel::event::Draft;
use crate::kernel::event::kinds::Payload;

/// How many inputs wait for the loop at most.
const QUEUE: usize = 256;

/// How often the loop looks at the time.
const TICK: Duration = Duration::from_millis(250);

/// How long the loop waits for its sandboxes to be closed when the node stops.
const CLOSE: Duration = Duration::from_secs(20);

/// Ends the process at one place of its own log, as abruptly as a loss of power would: what follows
/// a crash is tested with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Before the append with which the log would have so many events: what they tell of was done,
    /// and nothing says so.
    Before(u64),
    /// After the append with which it has so many, before anything else is done.
    After(u64),
}

/// What the effects of one node share.
pub(super) struct Hands {
    pub(super) engine: Arc<Engine>,
    pub(super) outside: Outside,
    pub(super) workspaces: Workspaces,
    pub(super) home: Home,
    pub(super) masker: Masker,
    pub(super) name: String,
    pub(super) inputs: mpsc::Sender<Input>,
}

/// The loop of one node.
pub(super) struct Worker {
    hands: Arc<Hands>,
    agent: Agent,
    inputs: mpsc::Receiver<Input>,
    effects: JoinSet<()>,
    crash: Option<Crash>,
}

impl Worker {
    pub(super) fn new(
        engine: Arc<Engine>,
        outside: Outside,
        home: Home,
        name: String,
        agent: Agent,
        crash: Option<Crash>,
    ) -> Self {
        let (sender, inputs) = mpsc::channel(QUEUE);
        let workspaces = Workspaces::default();
        let seed = Zeroizing::new(hex::encode(*engine.key().seed()));
        outside.secrets.keep(seed.as_bytes());
        let masker = Masker::new(outside.secrets.clone());
        let hands = Hands { engine, outside, workspaces, home, masker, name, inputs: sender };
        Self { hands: Arc::new(hands), agent, inputs, effects: JoinSet::new(), crash }
    }

    /// What knows the node's secrets.
    pub(super) fn masker(&self) -> Masker {
        self.hands.masker.clone()
    }

    /// Runs until it is told to stop, or the store fails.
    pub(super) async fn run(
        mut self,
        changed: Arc<Notify>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), EngineError> {
        self.remove_orphans().await;
        if self.hands.outside.services.hive.is_some() {
            self.effects.spawn(super::registry::watch(Arc::clone(&self.hands)));
        }
        let mut started = false;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let result = loop {
            let input = tokio::select! {
                biased;
                () = told(&mut stop) => break Ok(()),
                Some(input) = self.inputs.recv() => input,
                Some(ended) = self.effects.join_next() => {
                    if let Err(panic) = ended {
                        error!(%panic, "an effect ended by a fault of this program");
                    }
                    continue;
                }
                () = changed.notified() => Input::Tick,
                _ = tick.tick() => Input::Tick,
            };
            if self.hands.engine.may_append().is_err() {
                // It comes to know its own log, or does not append any more: the node goes on
                // to replicate. Where nothing may be claimed is kept for when it does.
                if let Input::Ready { repository, ready } = input {
                    self.agent.set_ready(repository, ready);
                }
                if let Err(error) = self.hands.engine.release(clock::wall_ms()) {
                    break Err(error);
                }
                continue;
            }
            let stepped = self.say_hello(started).and_then(|said| {
                started = said;
                self.step(input)
            });
            match stepped {
                Ok(()) | Err(EngineError::Waiting | EngineError::Stopped(_)) => {}
                Err(error) => break Err(error),
            }
        };
        self.close().await;
        result
    }

    /// A member says once that it started; before it is admitted nobody would believe it.
    fn say_hello(&mut self, started: bool) -> Result<bool, EngineError> {
        let me = self.hands.engine.me();
        if started || !self.hands.engine.read(|state| state.members.stands(&me, 0)) {
            return Ok(started);
        }
        let drafts = self.agent.started(&self.hands.name, env!("CARGO_PKG_VERSION"));
        self.append(drafts)?;
        Ok(true)
    }

    /// One input, and all that follows from it at once.
    fn step(&mut self, input: Input) -> Result<(), EngineError> {
        let mut next = Some(input);
        self.hands.engine.release(clock::wall_ms())?;
        while let Some(input) = next.take() {
            let entropy = clock::random().map_or(0, u64::from_le_bytes);
            let now = clock::now();
            let agent = &mut self.agent;
            let effects = self.hands.engine.read(|state| agent.step(state, input, now, entropy));
            for effect in effects {
                match effect {
                    Effect::Append(drafts) => {
                        self.append(drafts)?;
                        next = Some(Input::Tick);
                    }
                    effect => self.start(effect),
                }
            }
        }
        Ok(())
    }

    fn append(&self, drafts: Vec<Draft>) -> Result<(), EngineError> {
        let finished = drafts.iter().any(|draft| matches!(draft.payload, Payload::TaskFinished(_)));
        for draft in &drafts {
            tell(&self.hands, draft);
        }
        let engine = &self.hands.engine;
        let crash =
            self.crash.map(|crash| (crash, engine.tip(&engine.me()).0 + drafts.len() as u64));
        if let Some((Crash::Before(at), then)) = crash
            && then >= at
        {
            std::process::abort();
        }
        tokio::task::block_in_place(|| {
            engine.append(drafts, clock::wall_ms())?;
            if let Some((Crash::After(at), then)) = crash
                && then >= at
            {
                std::process::abort();
            }
            if finished {
                let checkpoint = engine.checkpoint();
                engine.append(vec![checkpoint], clock::wall_ms())?;
            }
            Ok(())
        })
    }

    fn start(&mut self, effect: Effect) {
        let hands = Arc::clone(&self.hands);
        self.effects.spawn(async move {
            for input in super::effects::carry_out(&hands, effect).await {
                // The loop takes nothing more when the node stops; what is not in the log then
                // is decided again after the restart.
                let _ = hands.inputs.send(input).await;
            }
        });
    }

    /// Sandboxes of an earlier process of this node are of no use to anybody.
    async fn remove_orphans(&self) {
        let owner = self.hands.engine.me().short();
        match self.hands.outside.sandbox.remove_orphans(&owner).await {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => info!(?removed, "removed sandboxes of an earlier process"),
            Err(error) => warn!(%error, "could not look for sandboxes of an earlier process"),
        }
        // So are the work trees beside them; those of plain processes went with these.
        let work = self.hands.home.work();
        let left = std::fs::read_dir(&work).into_iter().flatten().flatten();
        for tree in left.map(|entry| entry.path()).filter(|path| !path.ends_with("process")) {
            if let Err(error) = std::fs::remove_dir_all(&tree) {
                warn!(tree = %tree.display(), %error, "a work tree is left of an earlier process");
            }
        }
    }

    /// Stops what runs and removes the sandboxes. Claims stay: the node goes on with its tasks when
    /// it is started again within their lease.
    async fn close(mut self) {
        self.inputs.close();
        for task in self.hands.workspaces.all() {
            let closed = tokio::time::timeout(CLOSE, self.hands.workspaces.close(task)).await;
            if let Ok(Some(Err(error))) = closed {
                warn!(%error, "a sandbox could not be closed");
            }
        }
        self.effects.shutdown().await;
        debug!("the work loop has ended");
    }
}
