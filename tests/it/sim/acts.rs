//! What the nodes do: they append, replicate, and carry out what their agents decide.

use bzzz::kernel::agent::{
    self, AgentConfig, ApprovalRules, Budget, DayBudget, Effect, TalkConfig,
};
use bzzz::kernel::event::Draft;
use bzzz::kernel::event::kinds::ForkProven;
use bzzz::kernel::fold::SwarmState;
use bzzz::kernel::identity::AuthorId;
use bzzz::kernel::log::Range;
use bzzz::kernel::sync::{Input, Introduced, Output};

use super::evil;
use super::net::Fate;
use super::node::Crashed;
use super::outside::{self, REPOSITORY};
use super::world::{Event, World};

impl World {
    /// Appends to a node's own log. False if the node crashed meanwhile.
    pub(super) fn append(&mut self, n: usize, drafts: &[Draft]) -> bool {
        if self.loud {
            let said: Vec<_> = drafts.iter().map(|draft| draft.payload.name()).collect();
            println!("{:>8} node {n} says {said:?}", self.now_ms);
        }
        match self.nodes[n].append(drafts, self.now_ms) {
            Ok(length) => {
                self.count("appends");
                let author = self.nodes[n].id;
                self.tell_length(n, author);
                self.grown(n, author, length);
                true
            }
            Err(Crashed) => {
                self.crash(n);
                false
            }
        }
    }

    /// A log in a node's store grew: others may hear of it, and the members may be others now.
    pub(super) fn grown(&mut self, n: usize, author: AuthorId, length: u64) {
        for to in 0..self.nodes.len() {
            if self.net.connection(n, to).is_some() && self.rng.percent(self.gossip) {
                let after = self.rng.range(1..60);
                let gossip = Event::Gossip { from: n, to, author, length };
                self.later(after, gossip);
            }
        }
        self.tell_members(n);
    }

    pub(super) fn tell_length(&mut self, n: usize, author: AuthorId) {
        let (length, root) = self.nodes[n].engine().tip(&author);
        self.sync(n, Input::Local { author, length, root });
    }

    pub(super) fn tell_members(&mut self, n: usize) {
        let all: Vec<AuthorId> = self.nodes.iter().map(|node| node.id).collect();
        if let Some(members) = self.nodes[n].members(&all) {
            self.sync(n, members);
        }
    }

    pub(super) fn sync(&mut self, n: usize, input: Input) {
        let Some(memory) = &mut self.nodes[n].memory else {
            return;
        };
        for output in memory.sync.handle(self.now_ms, input) {
            self.carry_out(n, output);
        }
    }

    pub(super) fn carry_out(&mut self, n: usize, output: Output) {
        let life = self.nodes[n].life;
        match output {
            Output::Request { peer, id, bytes } => {
                let to = self.index_of(&peer);
                self.send(n, to, id, bytes);
            }
            Output::Respond { id, bytes, .. } => self.respond(n, id, bytes),
            read @ (Output::Read { .. } | Output::Prove { .. }) => {
                let after = self.rng.range(0..20);
                let node = n;
                self.later(after, Event::Read { node, life, read });
            }
            Output::Introduced { peer, id, rotations } => {
                let judged = self.nodes[n].engine().introduced(&peer, &rotations);
                let result = judged.map_or_else(|result| result, |_| Introduced::Accepted);
                self.sync(n, Input::Introduced { peer, id, result });
            }
            Output::Forked { proof } => {
                self.count("proofs");
                let proven = ForkProven { proof: proof.to_bytes() };
                let (author, index) = (proof.author(), proof.index());
                let known = self.nodes[n].engine().read(|s| !s.members.stands(&author, index));
                if author != self.nodes[n].id && !known {
                    self.append(n, &[Draft::general(proven)]);
                }
            }
            Output::Ingest { peer, range } => {
                let after = self.rng.range(0..20);
                let ingest = Event::Ingest { node: n, life, peer, range };
                self.later(after, ingest);
            }
            Output::Penalise { peer, reason, seconds } => {
                let whom = self.index_of(&peer);
                if self.nodes[n].is_evil {
                    return;
                }
                assert!(self.nodes[whom].is_evil, "node {n} penalised node {whom}: {reason}");
                self.count("penalties");
                self.net.ban(n, whom, self.now_ms + seconds * 1000);
                self.disconnect(n, whom);
            }
        }
    }

    pub(super) fn index_of(&self, id: &AuthorId) -> usize {
        let found = self.nodes.iter().position(|node| node.id == *id);
        found.expect("one of the nodes")
    }

    pub(super) fn send(&mut self, from: usize, to: usize, id: u64, bytes: Vec<u8>) {
        let Some(connection) = self.net.connection(from, to) else {
            return;
        };
        self.count("requests");
        match self.net.fate(from, to, &mut self.rng) {
            Fate::Arrives(copies) => {
                for after in copies {
                    let bytes = bytes.clone();
                    let request = Event::Request { from, to, connection, id, bytes };
                    self.later(after, request);
                }
            }
            Fate::Broken => self.answer(to, from, connection, id, 5, Err("broken".to_owned())),
        }
    }

    pub(super) fn answer(
        &mut self,
        from: usize,
        to: usize,
        connection: u64,
        id: u64,
        after_ms: u64,
        result: Result<Vec<u8>, String>,
    ) {
        let response = Event::Response { from, to, connection, id, result };
        self.later(after_ms, response);
    }

    pub(super) fn request_arrives(
        &mut self,
        from: usize,
        to: usize,
        connection: u64,
        id: u64,
        bytes: Vec<u8>,
    ) {
        if self.net.connection(from, to) != Some(connection) {
            return;
        }
        let peer = self.nodes[from].id;
        let memory = self.nodes[to].memory();
        memory.served += 1;
        let serve = memory.served;
        memory.serving.insert(serve, (from, id));
        let id = serve;
        self.sync(to, Input::Request { peer, id, bytes });
    }

    pub(super) fn respond(&mut self, n: usize, id: u64, bytes: Vec<u8>) {
        let Some((asker, their_id)) = self.nodes[n].memory().serving.remove(&id) else {
            return;
        };
        let mut bytes = Some(bytes);
        if self.nodes[n].is_evil && self.rng.percent(70) {
            let logs: Vec<AuthorId> = self.nodes.iter().map(|node| node.id).collect();
            bytes = bytes.and_then(|bytes| evil::mangle(bytes, &logs, &mut self.rng));
        }
        let (Some(bytes), Some(connection)) = (bytes, self.net.connection(n, asker)) else {
            return;
        };
        match self.net.fate(n, asker, &mut self.rng) {
            Fate::Arrives(copies) => {
                for after in copies {
                    self.answer(n, asker, connection, their_id, after, Ok(bytes.clone()));
                }
            }
            Fate::Broken => {
                self.answer(n, asker, connection, their_id, 5, Err("broken".to_owned()));
            }
        }
    }

    pub(super) fn read(&mut self, n: usize, life: u64, read: &Output) {
        if let Output::Prove { peer, answers, author, index } = *read
            && self.is_alive(n, life)
        {
            let branch = self.nodes[n].engine().branch(&author, index);
            let result = branch.map(|branch| branch.map(Box::new)).map_err(|e| e.to_string());
            return self.sync(n, Input::Proved { peer, answers, author, index, result });
        }
        let Output::Read { peer, id, author, from, max_bytes } = *read else {
            return;
        };
        if !self.is_alive(n, life) {
            return;
        }
        let max_bytes = usize::try_from(max_bytes).expect("a small number");
        let range = self.nodes[n].engine().range(author, from, max_bytes);
        let result = range.map_err(|error| error.to_string());
        self.sync(n, Input::ReadDone { peer, id, result });
    }

    pub(super) fn ingest(&mut self, n: usize, life: u64, peer: AuthorId, range: Range) {
        if !self.is_alive(n, life) {
            return;
        }
        let author = range.author;
        match self.nodes[n].ingest(range, self.now_ms) {
            Err(Crashed) => self.crash(n),
            Ok(result) => {
                let length = result.as_ref().ok().map(|(length, _)| *length);
                let ingested = Input::Ingested { peer, author, result };
                self.sync(n, ingested);
                if let Some(length) = length {
                    self.count("ranges");
                    self.grown(n, author, length);
                    self.agent(n, agent::Input::Tick);
                }
            }
        }
    }

    /// Lets a node's agent decide, again and again until it has nothing more to say.
    pub(super) fn agent(&mut self, n: usize, input: agent::Input) {
        let mut input = input;
        for _ in 0..1000 {
            let now = self.nodes[n].now(self.now_ms);
            let entropy = self.rng.next();
            let Some(memory) = &mut self.nodes[n].memory else {
                return;
            };
            let Some(agent) = &mut memory.agent else {
                return;
            };
            let mut said = false;
            let step = |state: &SwarmState| agent.step(state, input, now, entropy);
            for effect in memory.engine.read(step) {
                if let Effect::Append(drafts) = effect {
                    if !self.append(n, &drafts) {
                        return;
                    }
                    said = true;
                } else {
                    let life = self.nodes[n].life;
                    let after = outside::duration_ms(&effect, &mut self.rng);
                    self.later(after, Event::Effect(n, life, effect));
                }
            }
            if !said {
                return;
            }
            input = agent::Input::Tick;
        }
        let refused = self.nodes[n].engine().read(|state| {
            let refusals = state.tasks.values().flat_map(|task| task.refusals.first.last());
            refusals.map(|refusal| refusal.reason.to_string()).collect::<Vec<_>>()
        });
        panic!("node {n} never stops talking; the last refusals: {refused:?}");
    }

    pub(super) fn effect(&mut self, n: usize, life: u64, effect: Effect) {
        let alive = self.is_alive(n, life);
        if alive || outside::is_on_the_wire(&effect) {
            let inputs = self.outside.execute(effect, self.trouble, &mut self.rng);
            if alive {
                let after = self.rng.range(1..300);
                self.later(after, Event::Inputs(n, life, inputs));
            }
        }
    }
}

/// How often a question is raised again.
pub(super) const MAX_RAISES: u32 = 2;

pub(super) fn agent_config() -> AgentConfig {
    let repository = ("sim://repo".to_owned(), "main".to_owned());
    AgentConfig {
        works: true,
        review: true,
        labels: Vec::new(),
        capabilities: Vec::new(),
        max_tasks: 1,
        lease_ms: 30_000,
        plan_window_ms: 10_000,
        max_plan_revisions: 2,
        poll_ms: 5_000,
        command_seconds: 60,
        context_bytes: 16 * 1024,
        max_tokens: 1000,
        budget: Budget {
            commands: 20,
            answers: 40,
            tokens: 1_000_000,
            wall_ms: 60 * 60 * 1000,
            retries: 4,
        },
        day: DayBudget { commands: 1_000_000, answers: 1_000_000, tokens: 1_000_000_000 },
        max_rounds: 2,
        watch_ms: 5_000,
        hive: true,
        people: true,
        acknowledge_ms: 30_000,
        max_raises: MAX_RAISES,
        talk: TalkConfig::default(),
        approvals: ApprovalRules::default(),
        repositories: [(REPOSITORY.to_owned(), repository)].into(),
    }
}
