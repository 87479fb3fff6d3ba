//! A script of a swarm, as bytes that a fuzzer can change: who says what, when. It leads to real
//! logs of real events, so that what is signed verifies however strange it is.
//!
//! The script is a list of entries:
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | author, modulo 4 |
//! | 1 | time: below 128 so many steps behind the author's last event, else behind all events |
//! | 1 | task: 0 for none, else one of four |
//! | 1 | bits 0-1: number of causes; 2: unknown format; 3: no body; 4: append ends; 5: fork |
//! | 2 | kind |
//! | 2 | length of the payload |
//! | n | payload; in it [`event_ref`] and [`author_ref`] stand for ids |
//!
//! "Fork" makes it a true fork proof, of the log and the index that the payload's bytes name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use bzzz::kernel::event::kinds::{ForkProven, Payload, SwarmFounded};
use bzzz::kernel::event::{Draft, Event, Hlc, TaskId, swarm_id};
use bzzz::kernel::fold::{Aggregate, EventSource, FoldError, Place};
use bzzz::kernel::identity::{AuthorId, SecretKey, SwarmId};
use bzzz::kernel::log::{Branch, ForkProof, LogStore, Record, Tip};
use bzzz::store::memory::MemoryStore;

use crate::{SWARM, key};

/// The authors of a script: keys 1 to 4. The first founds the swarm, and it alone administers it.
pub const AUTHORS: u8 = 4;

/// No script has more events.
const MAX_EVENTS: usize = 48;

const START: u64 = 1_800_000_000_000 << 16;

/// Half a second.
const STEP: u64 = 500 << 16;

/// 32 bytes that stand for the id of the event so many before.
#[must_use]
pub fn event_ref(back: u8) -> [u8; 32] {
    marked(0xee, back)
}

/// 32 bytes that stand for an author.
#[must_use]
pub fn author_ref(n: u8) -> [u8; 32] {
    marked(0xaa, n)
}

fn marked(mark: u8, n: u8) -> [u8; 32] {
    let mut bytes = [mark; 32];
    bytes[1] = n;
    bytes
}

/// Making a key costs more than folding a script.
static IDS: LazyLock<[AuthorId; AUTHORS as usize]> =
    LazyLock::new(|| std::array::from_fn(|n| key(u8::try_from(n + 1).expect("few")).author()));

/// The author of a number.
#[must_use]
pub fn author(n: u8) -> AuthorId {
    IDS[usize::from(n % AUTHORS)]
}

/// The task of a number that is not 0.
#[must_use]
pub fn task(n: u8) -> TaskId {
    TaskId::of("r", u64::from(n % 4))
}

fn founding() -> (Event, Record) {
    let name = "fuzz".to_owned();
    let founded = SwarmFounded { name, administrators: vec![author(0)], nonce: [0; 16] };
    let record = Draft::general(founded).record(0, Hlc(START)).expect("it is small");
    let event = Event::read(author(0), 0, record.as_ref()).expect("it was just made");
    (event, record)
}

/// The indices at which logs are forked here.
pub const FORKS: u8 = 6;

/// The payloads of true fork proofs, by author and index.
static PROOFS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let all = (0..AUTHORS).flat_map(|who| (0..FORKS).map(move |index| (who, index)));
    all.map(|(who, index)| fork(who, index)).collect()
});

/// Two histories of a log that differ first at an index, and the payload that proves it.
fn fork(who: u8, index: u8) -> Vec<u8> {
    let proof = prove(&key(who + 1), swarm_id(founding().0.id), index).to_bytes();
    Payload::from(ForkProven { proof }).to_bytes().expect("it is small")
}

/// A true fork proof of key `n + 1` in [`SWARM`].
#[must_use]
pub fn fork_proof(n: u8, index: u8) -> ForkProof {
    prove(&key(n + 1), SWARM, index)
}

fn prove(key: &SecretKey, swarm: SwarmId, index: u8) -> ForkProof {
    let branch = |history: u8| {
        let store = MemoryStore::new();
        let header = |at| if at < index { vec![at] } else { vec![at, history] };
        let records = (0..=index).map(|at| Record::new(&header(at), b"").expect("it is small"));
        let append = Tip::empty(key.author()).append(key, swarm, 1, records.collect());
        store.commit(std::slice::from_ref(&append), &[]).expect("the store is empty");
        let head = store.newest_head(&key.author()).expect("memory does not fail");
        let head = head.expect("it was just appended");
        Branch::prove(&store, append.tip(), head, index.into()).expect("memory does not fail")
    };
    ForkProof::new(branch(1), branch(2))
}

/// What a script led to.
pub struct World {
    /// The swarm that author 0 founded.
    pub swarm: SwarmId,
    /// The events in the order of the script, each with its record, and whether an append ends.
    pub events: Vec<(Event, Record, bool)>,
}

/// Writes scripts, for seeds.
#[derive(Default)]
pub struct Script(pub Vec<u8>);

impl Script {
    /// Adds an entry behind all events.
    ///
    /// # Panics
    /// If the payload is too long.
    pub fn say(&mut self, author: u8, task: u8, payload: impl Into<Payload>) {
        let payload = payload.into();
        let body = payload.to_bytes().expect("seeds are small");
        self.raw(author, 129, task, 0b1_0001, payload.kind(), &body);
    }

    /// Adds an entry.
    ///
    /// # Panics
    /// If the body is too long.
    pub fn raw(&mut self, author: u8, time: u8, task: u8, flags: u8, kind: u16, body: &[u8]) {
        self.0.extend_from_slice(&[author, time, task, flags]);
        self.0.extend_from_slice(&kind.to_le_bytes());
        let length = u16::try_from(body.len()).expect("seeds are small");
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(body);
    }
}

impl World {
    /// Plays a script. What is cut short at its end is left out.
    #[must_use]
    pub fn of(script: &[u8]) -> Self {
        let (event, record) = founding();
        let mut world = Self { swarm: swarm_id(event.id), events: vec![(event, record, true)] };
        let mut rest = script;
        while world.events.len() < MAX_EVENTS
            && let Some((head, body)) = rest.split_at_checked(8)
        {
            let length = usize::from(u16::from_le_bytes([head[6], head[7]])).min(body.len());
            let (body, behind) = body.split_at(length);
            world.say(head, body);
            rest = behind;
        }
        world
    }

    fn say(&mut self, head: &[u8], body: &[u8]) {
        let [who, time, about, flags, ..] = *head else {
            return;
        };
        let who = author(who);
        let of_author = self.events.iter().filter(|(event, ..)| event.author == who);
        let seq = of_author.clone().count() as u64;
        let own = of_author.map(|(event, ..)| event.header.clock.0).max().unwrap_or(START);
        let all = self.events.iter().map(|(event, ..)| event.header.clock.0).max();
        let clock = match time {
            0..128 => own + 1 + u64::from(time) * STEP,
            _ => all.unwrap_or(START) + 1 + u64::from(time - 128) * STEP,
        };
        let causes = usize::from(flags & 3).min(self.events.len());
        let mut header = vec![1 + (flags >> 2 & 1), 0];
        header.extend_from_slice(&head[4..6]);
        header.extend_from_slice(&seq.to_le_bytes());
        header.extend_from_slice(&clock.to_le_bytes());
        header.extend_from_slice(&if about == 0 { [0; 32] } else { task(about).0 });
        header.push(u8::try_from(causes).expect("at most 3"));
        for (event, ..) in self.events.iter().rev().take(causes) {
            header.extend_from_slice(&event.id.0);
        }
        let body = match *body {
            [who, index, ..] if flags & 32 != 0 => {
                let nth = usize::from(who % AUTHORS * FORKS + index % FORKS);
                PROOFS[nth].clone()
            }
            _ => self.resolve(body),
        };
        let mut record = Record::new(&header, &body).expect("within the limits");
        if flags & 8 != 0 && !body.is_empty() {
            let mut bytes = record.to_vec();
            bytes.truncate(bytes.len() - body.len());
            bytes[2] = 0;
            record = Record::from_bytes(bytes).expect("a record without its body is one");
        }
        let event = Event::read(who, seq, record.as_ref()).expect("the header is an event's");
        self.events.push((event, record, flags & 16 != 0));
    }

    /// Puts ids in the place of what stands for them.
    fn resolve(&self, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        let mut at = 0;
        while let Some(window) = body.get(at..at + 32) {
            let n = window[1];
            let id = if window == event_ref(n) {
                let back = usize::from(n) % self.events.len();
                Some(self.events[self.events.len() - 1 - back].0.id.0)
            } else if window == author_ref(n) {
                Some(author(n).0)
            } else {
                None
            };
            if let Some(id) = id {
                body[at..at + 32].copy_from_slice(&id);
                at += 32;
            } else {
                at += 1;
            }
        }
        body
    }

    /// The events of one author by rising index.
    pub fn log(&self, of: AuthorId) -> impl Iterator<Item = &(Event, Record, bool)> {
        self.events.iter().filter(move |(event, ..)| event.author == of)
    }
}

impl EventSource for World {
    fn places(&self, aggregate: &Aggregate) -> Result<Vec<Place>, FoldError> {
        let of = |event: &&Event| Aggregate::of(event) == Some(*aggregate);
        let events = self.events.iter().map(|(event, ..)| event).filter(of);
        let places: BTreeSet<Place> = events.map(Place::of).collect();
        Ok(places.into_iter().collect())
    }

    fn event(&self, place: &Place) -> Result<Event, FoldError> {
        let mut events = self.events.iter().map(|(event, ..)| event);
        let found = events.find(|event| Place::of(event) == *place);
        found.cloned().ok_or_else(|| FoldError("no such event".to_owned()))
    }

    fn event_at(&self, author: &AuthorId, seq: u64) -> Result<Option<Event>, FoldError> {
        let mut events = self.events.iter().map(|(event, ..)| event);
        let at = |event: &&Event| event.author == *author && event.header.seq == seq;
        Ok(events.find(at).cloned())
    }

    fn aggregates_of(&self, of: &AuthorId, _: u64) -> Result<BTreeSet<Aggregate>, FoldError> {
        Ok(self.log(*of).filter_map(|(event, ..)| Aggregate::of(event)).collect())
    }
}

/// The length of every log of a world.
#[must_use]
pub fn frontier(world: &World) -> BTreeMap<AuthorId, u64> {
    let mut lengths = BTreeMap::new();
    for (event, ..) in &world.events {
        *lengths.entry(event.author).or_default() += 1;
    }
    lengths
}
