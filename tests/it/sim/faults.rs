//! What befalls the nodes: connections, partitions, starts and crashes, members that come and go.

use std::collections::BTreeSet;

use bzzz::kernel::event::Draft;
use bzzz::kernel::event::kinds::{AgentStarted, MemberAdmitted, MemberRevoked, Role};
use bzzz::kernel::sync::Input;

use super::attack;
use super::net::Weather;
use super::outside::Trouble;
use super::store::CrashPoint;
use super::world::{Event, TICK_MS, World};

impl World {
    pub(super) fn dial(&mut self, a: usize, b: usize) {
        let again = self.rng.range(500..2_500);
        self.later(again, Event::Dial(a, b));
        let up = self.nodes[a].memory.is_some() && self.nodes[b].memory.is_some();
        if up && self.net.connect(a, b, self.now_ms) {
            let (id_a, id_b) = (self.nodes[a].id, self.nodes[b].id);
            self.sync(a, Input::Connected(id_b));
            self.sync(b, Input::Connected(id_a));
        }
    }

    pub(super) fn disconnect(&mut self, a: usize, b: usize) {
        if self.net.disconnect(a, b) {
            let (id_a, id_b) = (self.nodes[a].id, self.nodes[b].id);
            self.sync(a, Input::Disconnected(id_b));
            self.sync(b, Input::Disconnected(id_a));
        }
    }

    pub(super) fn part(&mut self) {
        if self.calm {
            return;
        }
        self.count("partitions");
        let all = 0..self.nodes.len();
        let island: BTreeSet<usize> = all.filter(|_| self.rng.percent(50)).collect();
        self.net.part(island);
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                // It takes a while until a connection that carries nothing is given up.
                let after = self.rng.range(0..15_000);
                if let Some(connection) = self.net.connection(a, b) {
                    self.later(after, Event::Break(a, b, connection));
                }
            }
        }
        let heals = self.rng.range(2_000..40_000);
        self.later(heals, Event::Heal);
    }

    pub(super) fn calm_down(&mut self) {
        self.calm = true;
        self.net.part(BTreeSet::new());
        self.net.weather = Weather::default();
        self.trouble = Trouble::default();
    }

    pub(super) fn start(&mut self, n: usize) {
        if self.nodes[n].memory.is_some() {
            return;
        }
        let entropy = self.rng.next();
        let inputs = self.nodes[n].start(self.swarm, self.now_ms, entropy);
        self.tell_members(n);
        for input in inputs {
            self.sync(n, input);
        }
        let life = self.nodes[n].life;
        self.later(TICK_MS, Event::Tick(n, life));
        let name = format!("node {n}");
        let memory = self.nodes[n].memory();
        let drafts = memory.agent.as_ref().map(|agent| agent.started(&name, "simulated"));
        if let Some(drafts) = drafts {
            self.append(n, &drafts);
        }
    }

    pub(super) fn plan_crash(&mut self, n: usize, point: Option<CrashPoint>) {
        match (self.calm || self.nodes[n].memory.is_none(), point) {
            (true, _) => {}
            (false, Some(point)) => self.nodes[n].store.crash_in_next_commit(point),
            (false, None) => self.crash(n),
        }
    }

    pub(super) fn crash(&mut self, n: usize) {
        self.count("crashes");
        self.nodes[n].memory = None;
        self.nodes[n].store.crash();
        for other in 0..self.nodes.len() {
            self.disconnect(n, other);
        }
        let after = self.rng.range(500..30_000);
        self.later(after, Event::Start(n));
    }

    pub(super) fn chatter(&mut self, n: usize) {
        if self.nodes[n].memory.is_none() || self.calm {
            return;
        }
        let drafts: Vec<Draft> = (0..self.rng.range(1..6))
            .map(|_| {
                let len = self.rng.index(250);
                Draft::general(AgentStarted {
                    name: "x".repeat(len),
                    version: "simulated".to_owned(),
                    process: self.rng.next(),
                    works: false,
                    capabilities: Vec::new(),
                })
            })
            .collect();
        self.append(n, &drafts);
        if self.nodes[n].is_evil && self.nodes[n].memory.is_some() {
            let to = self.rng.index(self.nodes.len());
            let noise = self.rng.range(0..60);
            let bytes = (0..noise).map(|_| self.rng.next().to_le_bytes()[0]).collect();
            self.send(n, to, u64::MAX, bytes);
        }
    }

    /// An attacker says something, if it is up and a member already.
    pub(super) fn attack(&mut self, n: usize) {
        self.attacks -= 1;
        let (me, rng) = (self.nodes[n].id, &mut self.rng);
        let Some(memory) = &self.nodes[n].memory else {
            return;
        };
        let drafts = memory.engine.read(|state| match state.members.may_act(&me) {
            true => attack::drafts(state, me, n, rng),
            false => Vec::new(),
        });
        if !drafts.is_empty() && self.append(n, &drafts) {
            self.count("attacks");
            *self.counts.entry("words of attackers").or_default() += drafts.len() as u64;
        }
    }

    pub(super) fn admit(&mut self, n: usize) {
        if self.nodes[0].memory.is_none() {
            return self.later(1_000, Event::Admit(n));
        }
        let member = self.nodes[n].id;
        if self.nodes[0].engine().read(|state| state.members.members.contains_key(&member)) {
            return;
        }
        let admitted = MemberAdmitted {
            member,
            role: if self.nodes[n].is_evil { Role::Replica } else { Role::Agent },
            name: format!("node {n}"),
        };
        if !self.append(0, &[Draft::general(admitted)]) {
            self.later(1_000, Event::Admit(n));
        }
    }

    /// The founder revokes a member. The log stands as far as the founder holds it, or less far.
    pub(super) fn revoke(&mut self, n: usize) {
        let member = self.nodes[n].id;
        if self.nodes[0].memory.is_none() {
            return;
        }
        let engine = self.nodes[0].engine();
        if !engine.read(|state| state.members.may_act(&member)) {
            return;
        }
        let held = engine.lengths().get(&member).copied().unwrap_or(0);
        let length = held - self.rng.range(0..3).min(held);
        let reason = "it was simulated badly".to_owned();
        if self.append(0, &[Draft::general(MemberRevoked { member, length, reason })]) {
            self.count("revocations");
        }
    }
}
