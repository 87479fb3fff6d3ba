//! Drives the kernel's sync machine with what the network and the engine bring, and carries out
//! what it asks for. Gossip goes out for what this node appends, each event on its own topic, and
//! what comes in is a hint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tracing::{debug, error, info, warn};

use super::clock;
use super::topics::{NEWS, Topics};
use super::workspace::told;
use crate::engine::{Engine, EngineError, IngestError, Stop};
use crate::kernel::event::{SignedEvent, Topic};
use crate::kernel::fold::Member;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{ForkProof, MAX_LENGTH, Range};
use crate::kernel::sync::{self, Input, Introduced, Lag, Output, Response, Sync};
use crate::net::{self, Handle, PeerKey, ResponseHandle, Verdict};

/// How often the machine is told the time.
const TICK: Duration = Duration::from_millis(250);

/// What others may know of replication: how far logs are behind.
pub(super) type Lags = Arc<Mutex<Vec<Lag>>>;

/// The replication of one node.
pub(super) struct Replicator {
    engine: Arc<Engine>,
    net: Handle,
    sync: Sync,
    lags: Lags,
    /// Requests of peers that wait for an answer.
    channels: BTreeMap<(AuthorId, u64), ResponseHandle>,
    next_request: u64,
    /// Whose logs the machine was told that we hold, and how long.
    told: BTreeMap<AuthorId, u64>,
    peers: BTreeSet<AuthorId>,
    /// Whose logs we hold, and up to which length they stand.
    logs: BTreeMap<AuthorId, u64>,
    /// Before the founding event is known: everybody whose log might begin with it.
    candidates: BTreeSet<AuthorId>,
    /// Peers whose keys follow those of members, by rotations that they showed and that are not in
    /// our logs yet: by the member's key, the peer's and the rotation's index. So there is one at
    /// most for each member.
    heirs: BTreeMap<AuthorId, (AuthorId, u64)>,
    published: u64,
    topics: Topics,
    listening: Arc<Mutex<Vec<String>>>,
    /// The node's own log is not compared with a peer's yet.
    waiting: bool,
    /// How long to wait for a peer, and until when, once this node is a member.
    wait_ms: u64,
    wait_until_ms: Option<u64>,
}

impl Replicator {
    pub(super) fn new(
        engine: Arc<Engine>,
        net: Handle,
        lags: Lags,
        listening: Arc<Mutex<Vec<String>>>,
        wait_ms: u64,
    ) -> Self {
        let entropy = clock::random().map_or(0, u64::from_le_bytes);
        let published = engine.lengths().get(&engine.me()).copied().unwrap_or(0);
        Self {
            sync: Sync::new(engine.swarm(), sync::Config::default(), entropy),
            engine,
            net,
            lags,
            channels: BTreeMap::new(),
            next_request: 0,
            told: BTreeMap::new(),
            peers: BTreeSet::new(),
            logs: BTreeMap::new(),
            candidates: BTreeSet::new(),
            heirs: BTreeMap::new(),
            published,
            topics: Topics::default(),
            listening,
            waiting: true,
            wait_ms,
            wait_until_ms: None,
        }
    }

    pub(super) async fn run(
        mut self,
        mut events: mpsc::Receiver<net::Event>,
        changed: Arc<Notify>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), EngineError> {
        self.choose_topics().await;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = told(&mut stop) => return Ok(()),
                event = events.recv() => match event {
                    Some(event) => self.network(event).await,
                    None => return Ok(()),
                },
                () = changed.notified() => {}
                _ = tick.tick() => self.feed(Input::Tick).await,
            }
            self.look_at_engine().await?;
        }
    }

    /// Tells the machine what is new in the store, and gossips what this node appended.
    async fn look_at_engine(&mut self) -> Result<(), EngineError> {
        let founded = self.engine.read(|state| state.members.founded.is_some());
        let heirs = &mut self.heirs;
        let (mut peers, mut logs) = self.engine.read(|state| {
            heirs.retain(|member, (heir, index)| {
                state.members.stands(member, *index) && !state.members.members.contains_key(heir)
            });
            let all = state.members.members.iter();
            let stands = |member: &Member| member.stands_to().unwrap_or(MAX_LENGTH);
            let logs = all.map(|(author, member)| (*author, stands(member)));
            (state.members.present(), logs.collect::<BTreeMap<_, _>>())
        });
        if !founded {
            peers.extend(&self.candidates);
            logs.extend(self.candidates.iter().map(|author| (*author, MAX_LENGTH)));
        }
        peers.extend(self.heirs.values().map(|(heir, _)| *heir));
        if peers != self.peers || logs != self.logs {
            self.peers.clone_from(&peers);
            self.logs.clone_from(&logs);
            self.feed(Input::Members { peers, logs }).await;
            let rotations = self.engine.rotations()?;
            self.feed(Input::Rotations(rotations)).await;
        }
        let lengths = self.engine.lengths();
        for (author, length) in &lengths {
            if self.told.get(author) != Some(length) {
                self.told.insert(*author, *length);
                let (length, root) = self.engine.tip(author);
                self.feed(Input::Local { author: *author, length, root }).await;
            }
        }
        for author in self.told.keys().copied().collect::<Vec<_>>() {
            if !lengths.contains_key(&author) {
                // All of it was of a branch that does not stand.
                self.told.remove(&author);
                let (length, root) = self.engine.tip(&author);
                self.feed(Input::Local { author, length, root }).await;
            }
        }
        self.compare_own();
        *self.lags.lock().unwrap_or_else(PoisonError::into_inner) = self.sync.lag();
        let me = self.engine.me();
        let own = lengths.get(&me).copied().unwrap_or(0);
        if own > self.published {
            let from = self.published.max(own.saturating_sub(NEWS));
            self.published = own;
            self.gossip(me, from, own).await?;
        }
        self.choose_topics().await;
        Ok(())
    }

    /// Gossips the newest event of each topic of a part of this node's own log.
    async fn gossip(&self, me: AuthorId, from: u64, to: u64) -> Result<(), EngineError> {
        let limit = usize::try_from(to - from).unwrap_or(usize::MAX);
        let events = self.engine.events(me, from, limit)?;
        let newest: BTreeMap<Topic, u64> =
            events.iter().map(|event| (Topic::of(&event.header), event.header.seq)).collect();
        for (topic, index) in newest {
            let Some(signed) = self.engine.signed_event(&me, index)? else { continue };
            let topic = topic.to_string();
            if let Err(error) = self.net.publish(&topic, signed.to_bytes()).await {
                debug!(topic, %error, "could not gossip");
            }
        }
        Ok(())
    }

    /// Joins and leaves the topics of tasks as they are claimed and end.
    async fn choose_topics(&mut self) {
        let topics = &mut self.topics;
        let moves = self.engine.read(|state| topics.follow(state));
        for topic in moves.leave {
            if let Err(error) = self.net.unsubscribe(&topic.to_string()).await {
                debug!(%topic, %error, "could not leave a topic");
            }
        }
        for topic in moves.join {
            if let Err(error) = self.net.subscribe(&topic.to_string()).await {
                warn!(%topic, %error, "could not subscribe");
            }
        }
    }

    async fn network(&mut self, event: net::Event) {
        match event {
            net::Event::Listening(address) => {
                info!(%address, "listening");
                let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
                listening.push(address.to_string());
            }
            net::Event::ListenLost { reason } => warn!(reason, "a listener stopped"),
            net::Event::Discovered { peer, address } => {
                debug!(peer = %AuthorId(peer.0), %address, "discovered");
            }
            net::Event::Connected { peer, address } => {
                let peer = AuthorId(peer.0);
                info!(peer = peer.short(), %address, "connected");
                self.candidates.insert(peer);
                self.feed(Input::Connected(peer)).await;
            }
            net::Event::Disconnected { peer, reason } => {
                let peer = AuthorId(peer.0);
                info!(peer = peer.short(), reason, "disconnected");
                self.channels.retain(|(asker, _), _| *asker != peer);
                self.heirs.retain(|_, (heir, _)| *heir != peer);
                self.feed(Input::Disconnected(peer)).await;
            }
            net::Event::DialFailed { address, reason } => {
                debug!(%address, reason, "could not dial");
            }
            net::Event::Refused { peer, address, reason } => {
                debug!(peer = AuthorId(peer.0).short(), %address, reason, "refused");
            }
            net::Event::Request { peer, bytes, channel } => {
                let (peer, id) = (AuthorId(peer.0), self.next_request);
                self.next_request += 1;
                self.channels.insert((peer, id), channel);
                self.feed(Input::Request { peer, id, bytes }).await;
            }
            net::Event::Response { peer, id, result } => {
                let peer = AuthorId(peer.0);
                self.note_candidates(result.as_deref().ok());
                let result = result.map_err(|error| error.to_string());
                self.feed(Input::Response { peer, id, result }).await;
            }
            net::Event::Gossip { peer, topic, bytes, ticket } => {
                let verdict = self.heard(AuthorId(peer.0), &topic, &bytes).await;
                let _ = self.net.verdict(ticket, verdict).await;
            }
        }
    }

    /// A node that does not know the founder yet learns from any frontier whose logs there are.
    /// Only the log whose first event gives the swarm's id is then taken in.
    fn note_candidates(&mut self, bytes: Option<&[u8]>) {
        if self.engine.read(|state| state.members.founded.is_some()) {
            return;
        }
        if let Some(Ok(Response::Frontier(frontier))) = bytes.map(Response::from_bytes) {
            let room = sync::MAX_FRONTIER_LOGS.saturating_sub(self.candidates.len());
            self.candidates.extend(frontier.logs.iter().map(|held| held.author).take(room));
        }
    }

    /// A gossiped event: verified, taken in at once if it is the next of its log, otherwise a
    /// reason to ask.
    async fn heard(&mut self, peer: AuthorId, topic: &str, bytes: &[u8]) -> Verdict {
        let Ok(signed) = SignedEvent::from_bytes(bytes) else { return Verdict::Reject };
        let (author, length) = (signed.head.author, signed.head.length);
        if !self.logs.contains_key(&author) || author == self.engine.me() {
            return Verdict::Ignore;
        }
        let held = self.engine.lengths().get(&author).copied().unwrap_or(0);
        if length < held {
            return Verdict::Ignore;
        }
        let Ok(event) = signed.verify(&self.engine.swarm()) else { return Verdict::Reject };
        let from = event.header.seq;
        if held == from && length == from + 1 {
            let range =
                Range { author, from, records: vec![signed.record], heads: vec![signed.head] };
            let _ = self.ingest(range);
        } else if length > held {
            self.feed(Input::Heard { peer, author, length }).await;
        }
        let news =
            Topic::of(&event.header).to_string() == topic && length.saturating_sub(from) <= NEWS;
        if news { Verdict::Accept } else { Verdict::Ignore }
    }

    async fn feed(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for output in self.sync.handle(clock::now().mono_ms, input) {
                inputs.extend(self.carry_out(output).await);
            }
        }
    }

    async fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Request { peer, id, bytes } => {
                if let Err(error) = self.net.request(PeerKey(peer.0), id, bytes).await {
                    let result = Err(error.to_string());
                    return Some(Input::Response { peer, id, result });
                }
            }
            Output::Respond { peer, id, bytes } => {
                if let Some(channel) = self.channels.remove(&(peer, id)) {
                    let _ = self.net.respond(channel, bytes).await;
                }
            }
            Output::Read { peer, id, author, from, max_bytes } => {
                let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
                let range =
                    tokio::task::block_in_place(|| self.engine.range(author, from, max_bytes));
                let result = range.map_err(|error| error.to_string());
                return Some(Input::ReadDone { peer, id, result });
            }
            Output::Prove { peer, answers, author, index } => {
                let branch = tokio::task::block_in_place(|| self.engine.branch(&author, index));
                let result = branch.map(|found| found.map(Box::new));
                let result = result.map_err(|error| error.to_string());
                return Some(Input::Proved { peer, answers, author, index, result });
            }
            Output::Introduced { peer, id, rotations } => {
                let result = self.introduced(peer, &rotations).await;
                return Some(Input::Introduced { peer, id, result });
            }
            Output::Forked { proof } => self.forked(&proof),
            Output::Ingest { peer, range } => {
                let author = range.author;
                let result = self.ingest(range).map(|_| self.engine.tip(&author));
                return Some(Input::Ingested { peer, author, result });
            }
            Output::Penalise { peer, reason, seconds } => {
                warn!(peer = peer.short(), reason, seconds, "a peer broke the rules");
                let time = Duration::from_secs(seconds);
                let _ = self.net.ban(PeerKey(peer.0), &reason, time).await;
            }
        }
        None
    }

    /// Judges the rotations that a stranger shows. Who is accepted is a peer from now on.
    async fn introduced(&mut self, peer: AuthorId, rotations: &[Vec<u8>]) -> Introduced {
        let judged = tokio::task::block_in_place(|| self.engine.introduced(&peer, rotations));
        let (member, index) = match judged {
            Ok(found) => found,
            Err(result) => return result,
        };
        if self.heirs.get(&member).is_some_and(|(heir, _)| *heir != peer) {
            return Introduced::Unknown;
        }
        info!(member = member.short(), peer = peer.short(), "a key follows another");
        self.heirs.insert(member, (peer, index));
        Introduced::Accepted
    }

    /// A fork was found: everybody is told. Who finds its own log forked cannot tell, and stops.
    fn forked(&self, proof: &ForkProof) {
        let (author, index) = (proof.author(), proof.index());
        let known = self.engine.read(|state| !state.members.stands(&author, index));
        let said = tokio::task::block_in_place(|| self.engine.forked(proof, clock::wall_ms()));
        match said {
            Ok(()) if author == self.engine.me() => error!("{}", Stop::Forked { index }),
            Ok(()) if !known => warn!(author = author.short(), index, "a log forked"),
            Ok(()) => {}
            Err(error) => warn!(author = author.short(), index, %error, "a log forked"),
        }
    }

    /// Lets the node append once its own log is known as far as peers know it, or if for a while
    /// no peer could be asked.
    fn compare_own(&mut self) {
        if !self.waiting {
            return;
        }
        let me = self.engine.me();
        let (member, alone) = self.engine.read(|state| {
            let present = state.members.present();
            (present.contains(&me), present.iter().all(|member| *member == me))
        });
        if !member {
            // Nobody would believe it; and what it said before it lost its disk is not known yet.
            return;
        }
        let compared = self.sync.compared(&me);
        let now_ms = clock::now().mono_ms;
        let until_ms = *self.wait_until_ms.get_or_insert(now_ms.saturating_add(self.wait_ms));
        let late = compared.peers == 0 && now_ms >= until_ms;
        if compared.behind || !(compared.peers > 0 || alone || late) {
            return;
        }
        if late && !alone {
            warn!("no peer could be asked for this node's own log; it goes on with what it holds");
        }
        self.waiting = false;
        self.engine.go_on();
    }

    fn ingest(&self, range: Range) -> Result<u64, sync::IngestError> {
        let ingested = tokio::task::block_in_place(|| self.engine.ingest(range, clock::wall_ms()));
        ingested.map_err(|error| match error {
            IngestError::Gap { expected, .. } => sync::IngestError::Gap { length: expected },
            IngestError::Conflict { .. } => sync::IngestError::Conflict,
            IngestError::OtherBranch(_) => sync::IngestError::OtherBranch,
            IngestError::OwnLog => {
                error!("{}", Stop::Twin);
                sync::IngestError::OwnLog
            }
            IngestError::Invalid(error) => sync::IngestError::Invalid(error.to_string()),
            IngestError::Withheld(_) => sync::IngestError::Invalid(error.to_string()),
            IngestError::Events(error) => sync::IngestError::Invalid(error.to_string()),
            IngestError::NotAMember(_) => sync::IngestError::NotAMember,
            IngestError::Engine(error) => {
                warn!(%error, "a range could not be stored");
                sync::IngestError::Store(error.to_string())
            }
        })
    }
}
