//! What can be checked of a range without the ranges before it: bodies, events, clocks inside it,
//! signatures, and the hashes of its leaves. Ranges are examined independently of each other, on
//! as many cores as there are; their order and their roots are checked in `verify`.

use crate::kernel::event::kinds::Payload;
use crate::kernel::event::{Body, Event, EventId, FORMAT, Hlc, TaskId, swarm_id};
use crate::kernel::fold::{Aggregate, Place};
use crate::kernel::identity::{AuthorId, SwarmId};
use crate::kernel::log::{Hash, Range};

/// One event of a range, as far as it is remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) id: EventId,
    pub(super) clock: Hlc,
    pub(super) at: u64,
    pub(super) len: u32,
    pub(super) aggregate: Option<Aggregate>,
    pub(super) task: Option<TaskId>,
}

/// What was passed over, and what has to be looked at once all is read.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted {
    pub(super) founding: Option<EventId>,
    pub(super) checkpoints: Vec<Place>,
    /// Events about logs: witnessed heads, forks, erasures.
    pub(super) evidence: Vec<Place>,
    pub(super) absent: Vec<Place>,
    pub(super) kinds: Vec<u16>,
    pub(super) formats: u64,
    pub(super) malformed: u64,
}

/// A range in which everything is right that can be checked alone.
#[derive(Debug)]
pub(super) struct Good {
    pub(super) author: AuthorId,
    pub(super) from: u64,
    pub(super) heads: Vec<(u64, Hash)>,
    pub(super) events: Vec<Seen>,
    /// What events name as their causes.
    pub(super) causes: Vec<(Place, u8, EventId)>,
    pub(super) noted: Noted,
}

/// A range that was looked at: none of what is wrong with it is named yet.
#[derive(Debug)]
pub struct Examined(pub(super) Option<Box<Good>>);

/// Examines the bytes of a range that stand at this byte of the bundle.
#[must_use]
pub fn examine(swarm: &SwarmId, at: u64, bytes: &[u8]) -> Examined {
    Examined(Range::from_bytes(bytes).ok().and_then(|range| good(swarm, at, range)).map(Box::new))
}

fn good(swarm: &SwarmId, at: u64, range: Range) -> Option<Good> {
    let Range { author, from, records, heads } = range;
    let mut events: Vec<Seen> = Vec::with_capacity(records.len());
    let (mut noted, mut causes) = (Noted::default(), Vec::new());
    // A range begins with author, first index and two counts; a length precedes every record.
    let mut at = at + 48;
    for (index, record) in (from..).zip(&records) {
        let record = record.as_ref();
        record.check_body().ok()?;
        let event = Event::read(author, index, record).ok()?;
        let clock = event.header.clock;
        if events.last().is_some_and(|last| last.clock >= clock) {
            return None;
        }
        note(swarm, &event, &mut noted);
        let named = (0..).zip(&event.header.causes);
        causes.extend(named.map(|(nth, cause)| (Place::of(&event), nth, *cause)));
        let len = u32::try_from(record.as_bytes().len()).ok()?;
        let (id, task) = (event.id, event.header.task);
        let aggregate = Aggregate::of(&event);
        events.push(Seen { id, clock, at: at + 4, len, aggregate, task });
        at += 4 + u64::from(len);
    }
    let key = author.key();
    let mut covered = from;
    let mut roots = Vec::with_capacity(heads.len());
    for head in heads {
        let last = usize::try_from(head.length.checked_sub(from + 1)?).ok()?;
        let fits = head.author == author
            && head.length > covered
            && events.get(last).is_some_and(|event| event.clock.0 == head.clock);
        if !fits {
            return None;
        }
        let head = head.verify_by(swarm, &key).ok()?;
        covered = head.length;
        roots.push((head.length, head.root));
    }
    (covered == from + events.len() as u64).then_some(Good {
        author,
        from,
        heads: roots,
        events,
        causes,
        noted,
    })
}

fn note(swarm: &SwarmId, event: &Event, noted: &mut Noted) {
    match &event.body {
        Body::Known(payload) => match **payload {
            Payload::Checkpoint(_) => noted.checkpoints.push(Place::of(event)),
            Payload::SwarmFounded(_) if event.header.seq == 0 => {
                noted.founding = Some(event.id).filter(|id| swarm_id(*id) == *swarm);
            }
            Payload::HeadsWitnessed(_) | Payload::ForkProven(_) | Payload::PayloadErased(_) => {
                noted.evidence.push(Place::of(event));
            }
            _ => {}
        },
        Body::Unknown if event.header.format != FORMAT => noted.formats += 1,
        Body::Unknown => noted.kinds.push(event.header.kind),
        Body::Malformed(_) => noted.malformed += 1,
        Body::Absent => noted.absent.push(Place::of(event)),
    }
}
