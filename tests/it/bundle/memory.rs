//! What is verified without remembering every event: blocks of events that are read again, causes
//! that do not fit into memory, and bytes that change between the two readings.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use bzzz::cli::verify::{Progress, verify as verify_on_all_cores};
use bzzz::kernel::audit::{Expect, Input, verify_expecting};
use bzzz::kernel::fold::EventSource;

use super::*;

/// Three logs of many blocks each, that take turns; some records are longer than a block.
fn long() -> World {
    let mut world = lived();
    let (ben, carl) = (key(2), key(3));
    for turn in 0..150u32 {
        let run = CommandIntended {
            epoch: 1,
            step: turn,
            reasoning: "again".to_owned(),
            command: "make test".to_owned(),
            seconds: 60,
        };
        let [command] = world.say(&ben, [about(run)]);
        let bytes = vec![b'x'; if turn.is_multiple_of(40) { 30_000 } else { 300 }];
        let stream = Stream::Stdout;
        let said = CommandOutput { epoch: 1, command, part: 0, stream, at_ms: 1, bytes };
        world.say(&ben, [about(said.clone()).because([command]), about(said)]);
        world.say(&carl, [about(seen()).because([command])]);
        if turn.is_multiple_of(20) {
            let checkpoint = world.checkpoint();
            world.say(&key(1), [Draft::general(checkpoint)]);
        }
    }
    // All that carl spoke about is folded anew.
    let (member, length) = (carl.author(), world.tips[&carl.author()].length() - 7);
    let reason = "left".to_owned();
    world.say(&key(1), [Draft::general(MemberRevoked { member, length, reason })]);
    world
}

#[test]
fn logs_of_many_blocks_verify_and_are_told() {
    let world = long();
    let bundle = world.export();
    let audit = verify(Cursor::new(&bundle)).unwrap();
    let report = &audit.report;
    assert!(report.verifies(), "{:?}", report.failures);
    assert_eq!(report.checked.digest, Some(world.fold.state().digest()));
    assert_eq!(report.checked.checkpoints, 9);
    assert!(report.checked.causes > 300, "{}", report.checked.causes);
    let input = Cursor::new(&bundle);
    let cores =
        verify_on_all_cores(input, bundle.len() as u64, Expect::default(), Progress::quiet());
    assert_eq!(cores.unwrap().report, *report);
    // The story is in the total order, and has every event that names the task.
    let steps: Vec<_> = story(&audit.archive, world.fold.state(), task(), None)
        .map(|step| Place::of(&step.unwrap().event))
        .collect();
    assert!(steps.is_sorted());
    let all = world.tips.iter().map(|(author, tip)| (0..tip.length()).map(|seq| (*author, seq)));
    let source = StoreSource(&world.store);
    let names = |(author, seq): &(AuthorId, u64)| {
        let event = source.event_at(author, *seq).unwrap().unwrap();
        event.header.task == Some(task())
    };
    assert_eq!(steps.len(), all.flatten().filter(names).count());
    // Where something is wrong is found in the middle of a block, too.
    let mut world = long();
    let early = world.clock.tick(world.now_ms).unwrap();
    let [late] = world.say(&key(1), [about(seen())]);
    let seq = world.tips[&key(2).author()].length();
    let record = about(seen()).because([late]).record(seq, early).unwrap();
    let bytes = record.to_vec();
    world.append(&key(2), early, vec![record]);
    let bundle = world.export();
    let failure = first(&bundle);
    assert_eq!((failure.rule, failure.index), (Rule::CauseOrder, Some(seq)));
    let at = usize::try_from(failure.offset.unwrap()).unwrap();
    assert_eq!(bundle[at..at + bytes.len()], bytes, "the offset is that of the record");
}

/// In parts or at once, the causes are the same; and who gives no room for them is told so.
#[test]
fn causes_that_do_not_fit_into_memory_are_looked_up_in_parts() {
    let mut world = long();
    let early = world.clock.tick(world.now_ms).unwrap();
    let [late] = world.say(&key(1), [about(seen())]);
    let seq = world.tips[&key(2).author()].length();
    let record = about(seen()).because([late, EventId([4; 32])]).record(seq, early).unwrap();
    world.append(&key(2), early, vec![record]);
    let bundle = world.export();
    let with = |memory| {
        let expect = Expect { cause_memory: Some(memory), ..Expect::default() };
        verify_expecting(Cursor::new(&bundle), expect).unwrap().report
    };
    let whole = check(&bundle);
    assert_eq!(whole.failures.count, 1);
    assert_eq!(with(1 << 20), whole);
    // Some 20 and 6 of more than 300 at a time.
    for memory in [1000, 300] {
        assert_eq!(with(memory), whole, "{memory} bytes");
    }
    // Several events name one cause: no part of one can be made.
    let none = with(1);
    let unchecked = none.unchecked.iter().filter(|unchecked| unchecked.kind == "causes");
    assert!(unchecked.clone().any(|causes| causes.what.contains("more than fit")));
    assert_eq!((none.checked.causes, none.failures.count), (0, 0));
}

/// A file whose byte turns when it is read for the second time.
struct Turning<'a> {
    bytes: &'a [u8],
    at: usize,
    reads: AtomicUsize,
}

impl Input for Turning<'_> {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let read = Cursor::new(self.bytes).read_at(at, into)?;
        let at = usize::try_from(at).unwrap();
        if (at..at + read).contains(&self.at) && self.reads.fetch_add(1, Ordering::Relaxed) > 0 {
            into[self.at - at] ^= 1;
        }
        Ok(read)
    }
}

#[test]
fn bytes_that_change_after_they_were_verified_are_noticed() {
    let bundle = lived().export();
    let parts = Parts::of(&bundle);
    let record = &parts.ranges[1].records[3];
    let start = bundle.windows(record.len()).position(|bytes| bytes == &record[..]).unwrap();
    for at in (start..start + record.len()).step_by(7) {
        let input = Turning { bytes: &bundle, at, reads: AtomicUsize::new(0) };
        let error = verify(input).err().expect("it changed").to_string();
        assert!(error.contains("changed"), "{error}");
    }
}
