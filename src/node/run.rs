//! The life of a node: opened, running, stopped.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tracing::{error, info};

use super::clock::{self, NoRandomness};
use super::config::Config;
use super::home::{Home, HomeError, Role};
use super::key::{Passphrase, Unlocked};
use super::mask::Masker;
use super::outside::{Outside, OutsideError};
use super::replicate::{Lags, Replicator};
use super::status::{LogStatus, NodeStatus, PeerStatus};
use super::takeup::{self, TakeUp};
use super::witness;
use super::work::{Crash, Worker};
use crate::engine::{Engine, EngineError, Stop};
use crate::kernel::agent::{Agent, AgentConfig, ApprovalRules, Budget, DayBudget, TalkConfig};
use crate::kernel::fold::Limits;
use crate::kernel::sync;
use crate::net::{self, Handle, NetError};

/// Why a node does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Its home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The outside world.
    #[error(transparent)]
    Outside(#[from] OutsideError),
    /// The machine has no randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// A part of the node ended by a fault of this program.
    #[error("a part of the node ended by a fault of this program: {0}")]
    Fault(String),
}

/// A running node.
pub struct Node {
    engine: Arc<Engine>,
    net: Handle,
    name: String,
    works: bool,
    lags: Lags,
    listening: Arc<Mutex<Vec<String>>>,
    masker: Masker,
    stop: watch::Sender<bool>,
    loops: Vec<JoinHandle<Result<(), EngineError>>>,
}

impl Node {
    /// Opens the home and starts the node.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(home: Home, config: &Config) -> Result<Self, NodeError> {
        let passphrase = config.node.passphrase_file.as_deref().map(Passphrase::from_file);
        let passphrase = passphrase.transpose().map_err(|error| HomeError::Key(error.into()))?;
        let unlocked = home.unlock(passphrase.as_ref())?;
        Self::start_as(home, config, unlocked, None).await
    }

    /// Starts the node with its key, which was read. A rotation of it that was interrupted is
    /// completed or undone first. It crashes where it is told to, in a test.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start_as(
        home: Home,
        config: &Config,
        unlocked: Unlocked,
        crash: Option<Crash>,
    ) -> Result<Self, NodeError> {
        let key = home.settle(&config.store, unlocked)?.key;
        let swarm = home.swarm()?;
        let me = key.author();
        let name = config.node.name.clone().unwrap_or_else(|| me.short());
        let store = home.store(&config.store, Role::Writer)?;
        let engine = Engine::open(store, key.clone(), swarm, clock::wall_ms())?;
        if let Some(successor) = engine.successor(&me) {
            return Err(EngineError::from(Stop::Rotated { successor }).into());
        }
        // A member who is alone has nobody to ask what its own log is.
        let alone = |present: &std::collections::BTreeSet<_>| present.len() == 1;
        if !engine.read(|state| alone(&state.members.present())) {
            engine.wait();
        }
        let engine = Arc::new(engine);
        engine.finish_erasing()?;
        let (digest, _) = engine.digest();
        info!(node = me.short(), name, swarm = swarm.short(), digest = digest.short(), "opened");

        let outside = Outside::open(&home, config).await?;
        let process = u64::from_le_bytes(clock::random()?);
        let agent = Agent::new(me, swarm, process, agent_config(config, &outside));
        let (net, events) = net::start(net::Config {
            secret: key.seed(),
            swarm: swarm.0,
            listen: config.net.listen.clone(),
            peers: config.net.peers.clone(),
            mdns: config.net.mdns,
            limits: net::Limits {
                max_connections: config.net.max_connections,
                max_request_bytes: u32::try_from(sync::MAX_REQUEST_BYTES).unwrap_or(u32::MAX),
                max_response_bytes: u32::try_from(sync::MAX_RESPONSE_BYTES).unwrap_or(u32::MAX),
                ..net::Limits::default()
            },
        })
        .await?;

        let stop = watch::Sender::new(false);
        let (for_sync, for_work) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let notified = (Arc::clone(&for_sync), Arc::clone(&for_work));
        engine.subscribe(move |_| {
            notified.0.notify_one();
            notified.1.notify_one();
        });
        let (lags, listening) = (Lags::default(), Arc::<Mutex<Vec<String>>>::default());
        let replicator = Replicator::new(
            Arc::clone(&engine),
            net.clone(),
            Arc::clone(&lags),
            Arc::clone(&listening),
            config.net.own_log_seconds.saturating_mul(1000),
        );
        let worker = Worker::new(Arc::clone(&engine), outside, home, name.clone(), agent, crash);
        let masker = worker.masker();
        let loops = vec![
            tokio::spawn(replicator.run(events, for_sync, stop.subscribe())),
            tokio::spawn(worker.run(for_work, stop.subscribe())),
            tokio::spawn(witness::run(
                Arc::clone(&engine),
                config.node.witness_seconds,
                stop.subscribe(),
            )),
        ];
        let works = config.agent.work;
        Ok(Self { engine, net, name, works, lags, listening, masker, stop, loops })
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Takes secrets out of a text of people before it becomes an event.
    #[must_use]
    pub fn mask(&self) -> Box<dyn Fn(String) -> String + Send + Sync> {
        let masker = self.masker.clone();
        Box::new(move |text| masker.text(text))
    }

    /// What the page and the command line are told. It may be asked at any time, also by several.
    #[must_use]
    pub fn status_source(&self) -> StatusSource {
        StatusSource {
            engine: Arc::clone(&self.engine),
            net: self.net.clone(),
            name: self.name.clone(),
            works: self.works,
            lags: Arc::clone(&self.lags),
            listening: Arc::clone(&self.listening),
        }
    }

    /// Waits until a part of the node ends by itself, which is a fault.
    pub async fn failed(&mut self) -> NodeError {
        let (first, _, _) = futures::future::select_all(self.loops.iter_mut()).await;
        match first {
            Ok(Ok(())) => NodeError::Fault("it stopped without being told".to_owned()),
            Ok(Err(error)) => error.into(),
            Err(panic) => NodeError::Fault(panic.to_string()),
        }
    }

    /// Stops the node: nothing is begun any more, sandboxes are closed, the fold's snapshot is
    /// written. Claims stay, so that the node goes on with its tasks when it is started again.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for part in self.loops {
            if let Ok(Err(error)) = part.await {
                error!(%error, "a part of the node failed while it stopped");
            }
        }
        if let Err(error) = tokio::task::block_in_place(|| self.engine.snapshot()) {
            error!(%error, "the snapshot was not written; the next start takes longer");
        }
        self.net.close().await;
        info!("stopped");
    }
}

/// Where the status of a running node comes from.
#[derive(Clone)]
pub struct StatusSource {
    engine: Arc<Engine>,
    net: Handle,
    name: String,
    works: bool,
    lags: Lags,
    listening: Arc<Mutex<Vec<String>>>,
}

impl StatusSource {
    /// The node as it is now.
    pub async fn status(&self) -> NodeStatus {
        let peers = self.net.peers().await.unwrap_or_default();
        let lags = self.lags.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let behind = |author| {
            let lag = lags.iter().find(|lag| lag.author == author);
            lag.map_or(0, |lag| lag.claimed.saturating_sub(lag.length))
        };
        let logs = self.engine.lengths().into_iter();
        let logs =
            logs.map(|(author, length)| LogStatus { author, length, behind: behind(author) });
        NodeStatus {
            node: self.engine.me(),
            name: self.name.clone(),
            swarm: self.engine.swarm(),
            version: env!("CARGO_PKG_VERSION"),
            listening: self.listening.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            peers: peers
                .into_iter()
                .map(|peer| PeerStatus {
                    node: crate::kernel::identity::AuthorId(peer.key.0),
                    address: peer.address.to_string(),
                    round_trip_ms: peer
                        .round_trip
                        .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
                })
                .collect(),
            logs: logs.collect(),
            digest: self.engine.digest().0,
            held: self.engine.held(),
            works: self.works,
            own_log: match self.engine.may_append() {
                Ok(()) => None,
                Err(error) => Some(error.to_string()),
            },
        }
    }
}

fn agent_config(config: &Config, outside: &Outside) -> AgentConfig {
    let mut agent = agent_settings(config);
    let taken = outside.services.take_up().map(TakeUp::taken).unwrap_or_default();
    let entries = config.repositories.iter();
    let entries = entries.map(|entry| (entry.name.clone(), entry.branch.clone())).chain(taken);
    let shown = |name: &String| {
        let open = outside.repositories.get(name);
        open.map_or_else(String::new, |open| open.remote_shown())
    };
    agent.repositories =
        entries.map(|(name, branch)| (name.clone(), (shown(&name), branch))).collect();
    agent
}

/// What a configuration says of the node's agent. The addresses of repositories are left out: a
/// running node knows them without credentials. Those that were taken up from Hive, as the home's
/// file has it, are among them.
#[must_use]
pub fn agent_settings(config: &Config) -> AgentConfig {
    let (agent, budget) = (&config.agent, &config.budget);
    let context = usize::try_from(config.reasoner.context_bytes).unwrap_or(usize::MAX);
    let repositories = config.repositories.iter();
    let repositories = repositories
        .map(|entry| (entry.name.clone(), entry.branch.clone()))
        .chain(takeup::remembered(config))
        .map(|(name, branch)| (name, (String::new(), branch)));
    let has_some = config.hive.take_up || !config.repositories.is_empty();
    AgentConfig {
        works: agent.work && has_some,
        review: agent.review && has_some,
        labels: agent.labels.clone(),
        capabilities: agent.capabilities.clone(),
        max_tasks: usize::try_from(agent.max_tasks).unwrap_or(usize::MAX),
        lease_ms: agent.lease_seconds.saturating_mul(1000),
        plan_window_ms: agent.plan_window_seconds.saturating_mul(1000),
        max_plan_revisions: agent.max_plan_revisions,
        poll_ms: agent.poll_seconds.saturating_mul(1000),
        command_seconds: u32::try_from(config.sandbox.command_seconds).unwrap_or(u32::MAX),
        context_bytes: context,
        max_tokens: config.reasoner.max_tokens,
        budget: Budget {
            commands: u64::from(budget.commands),
            answers: u64::from(budget.model_calls),
            tokens: budget.tokens,
            wall_ms: budget.wall_seconds.saturating_mul(1000),
            retries: budget.retries,
        },
        day: DayBudget {
            commands: u64::from(budget.day_commands),
            answers: u64::from(budget.day_model_calls),
            tokens: budget.day_tokens,
        },
        max_rounds: agent.max_rounds,
        watch_ms: agent.watch_seconds.saturating_mul(1000),
        hive: config.hive.url.is_some(),
        people: config.n8n.webhook_url.is_some(),
        acknowledge_ms: config.n8n.acknowledge_seconds.saturating_mul(1000),
        max_raises: config.n8n.max_raises,
        talk: talk_config(config),
        approvals: approval_rules(config),
        repositories: repositories.collect(),
    }
}

fn talk_config(config: &Config) -> TalkConfig {
    let talk = &config.discussion;
    TalkConfig {
        reviewers: talk.reviewers,
        helpers: talk.helpers,
        helps: talk.help && (config.hive.take_up || !config.repositories.is_empty()),
        max_help: talk.max_help,
        help_ms: talk.help_seconds.saturating_mul(1000),
        question_ms: talk.question_seconds.saturating_mul(1000),
        order_percent: talk.order_percent,
        order_ms: talk.order_seconds.saturating_mul(1000),
        limits: Limits {
            participants: talk.participants,
            depth: talk.depth,
            per_author: talk.messages_of_author,
            messages: talk.messages,
            bytes: talk.text_kib.saturating_mul(1024),
            lifetime_ms: talk.lifetime_seconds.saturating_mul(1000),
        },
    }
}

fn approval_rules(config: &Config) -> ApprovalRules {
    let rules = &config.approvals;
    ApprovalRules {
        plans: rules.plans,
        first_task: rules.first_task,
        commands: rules.commands.clone(),
        files: rules.files.clone(),
        lines: rules.lines,
        wait_ms: rules.wait_seconds.saturating_mul(1000),
    }
}
