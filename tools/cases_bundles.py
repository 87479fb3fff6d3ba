"""Vectors of bundles: each case is a function that yields (name, title, expectation, bytes)."""

import cases_discussion
import fold
import lives
import verify as v
from state import REASONS
from verify import derive, tree_root, u64
from writer import (
    ACCEPT, ANNA, BERT, CARA, FOUNDED, START, STRANGER, TASK, Log, World, admitted, branch,
    bundle, digest_of, founder, head, header, manifest, record, record_defects, refuse, refused, seen,
    spell, spell_range, started, text, u16, u32, with_digest,
)


def bundles_that_verify():
    version = fold.VERSION
    anna = founder()
    digest = digest_of(anna)
    only = bundle(anna.swarm, [anna], version=version, digest=digest)
    yield "one-event", "The smallest bundle, with the digest of its state.", ACCEPT, only
    anna.say(START + 1, 4, u32(version) + u64(1) + ANNA.public + u64(1) + digest)
    checked = bundle(anna.swarm, [anna], version=version, digest=digest)
    yield "checkpoint", "A checkpoint that a fresh fold agrees with.", ACCEPT, checked
    world = World()
    yield "two-logs", "Two logs, three appends, a cause.", ACCEPT, world.bundle()
    ends = [world.anna.end(), world.bert.end()]
    ranges = sorted([world.anna.range(), world.bert.range()])
    whole = spell(world.swarm, ranges, manifest(world.swarm, ends))
    yield "two-appends-in-one-range", "A range of more than one append.", ACCEPT, whole
    absent = World()
    erased = absent.bert.records[1]
    absent.bert.records[1] = record(erased[3 : 3 + 89], b"", 0)
    yield "payload-absent", "A payload is absent; its record verifies.", ACCEPT, absent.bundle()
    for name, title, kind, more in [
        ("unknown-kind", "An event of a kind that nobody knows.", 65_535, {}),
        ("unknown-format", "An event of another format.", 66, {"form": 2}),
        ("payload-malformed", "A payload that is not of its kind breaks no rule.", 66, {}),
        ("eight-causes", "Causes that are not in the bundle.", 66, {"causes": [bytes(32)] * 8}),
    ]:
        world = World()
        world.bert.say(START + 5, kind, b"\2", task=TASK, **more)
        yield name, title, ACCEPT, world.bundle()
    world = World()
    world.anna.say(START + 9, 3, BERT.public + u64(2) + text("gone"))
    yield "revoked", "Events behind a revocation are reported.", ACCEPT, world.bundle()
    yield "fold-unknown", "The state's digest is of an unknown version.", ACCEPT, world.bundle()


def bundles_of_parts():
    world = World()
    good, swarm = world.bundle(), world.swarm
    bad = b"bzzz-bindle" + good[11:]
    yield "bundle-magic", "Another magic.", refuse("bundle-magic"), bad
    bad = good[:11] + u16(2) + good[13:]
    yield "bundle-format", "Another format.", refuse("bundle-format"), bad
    first = 45 + 4 + int.from_bytes(good[45:49], "little")
    founded = ANNA.public < BERT.public
    assert not founded, "the founder's log stands last, so that a cut takes it away"
    for name, size in [("empty", 0), ("in-magic", 10), ("in-header", 44)]:
        yield f"truncated-{name}", "The file ends early.", refuse("truncated"), good[:size]
    said = len(manifest(swarm, [world.anna.end(), world.bert.end()]))
    for name, size in [
        ("in-length", 47),
        ("in-frame", first - 1),
        ("between-frames", first),
        ("no-manifest", len(good) - said - 4),
        ("in-manifest", len(good) - 1),
    ]:
        yield f"truncated-{name}", "The file ends early.", refuse("truncated"), good[:size]
    long = good[:45] + u32(v.MAX_RANGE + 1)
    yield "frame-length", "A frame above the limit.", refuse("frame-length"), long
    long = good[: len(good) - said - 4] + u32(v.MAX_MANIFEST + 1)
    yield "frame-length-manifest", "A manifest above the limit.", refuse("frame-length"), long
    yield "trailing-bytes", "A byte behind the manifest.", refuse("trailing-bytes"), good + b"\0"


def bundles_of_ranges():
    """Frames that are no ranges."""
    world = World()
    bert, swarm = world.bert, world.swarm
    ends = [world.anna.end(), bert.end()]
    said = manifest(swarm, ends)
    rest = [world.anna.range()]

    def with_frame(data):
        return spell(swarm, [data, *rest], said)

    good = bert.range(0, 1)
    records, heads = bert.records[:1], bert.heads[:1]
    for name, title, data, who, index in [
        ("short", "A frame of 31 bytes.", good[:31], None, None),
        ("no-counts", "A frame of 40 bytes.", good[:40], BERT, 0),
        ("no-record", "No record.", spell_range(BERT.public, 0, [], heads), BERT, 0),
        ("no-head", "No head.", spell_range(BERT.public, 0, records, []), BERT, 0),
        ("two-heads", "More heads than records.",
         spell_range(BERT.public, 0, records, heads * 2), BERT, 0),
        ("many-records", "A number of records that the bytes cannot hold.",
         spell_range(BERT.public, 0, records, heads, (0xFFFF_FFFF, 1)), BERT, 0),
        ("43-bytes-each", "A number of records that only shorter records could have.",
         spell_range(BERT.public, 0, records, heads, (len(good) // 8, 1)), BERT, 0),
        ("from-too-far", "The first index is above 2^40.",
         spell_range(BERT.public, v.MAX_LENGTH + 1, records, heads), BERT, v.MAX_LENGTH + 1),
        ("trailing", "A byte behind the heads.", good + b"\0", BERT, 0),
        ("cut", "The last head is cut.", good[:-1], BERT, 0),
        ("record-too-long", "A record longer than the frame.",
         good[:48] + u32(len(good)) + good[52:], BERT, 0),
    ]:
        yield f"range-bytes-{name}", title, refuse("range-bytes", who, index), with_frame(data)
    whole = records[0]
    for name, title, data in record_defects(whole):
        frame = spell_range(BERT.public, 0, [data], heads)
        # A range of records that are too short is refused by its count.
        rule = "record-bytes" if len(data) >= v.MIN_RECORD else "range-bytes"
        yield f"{rule}-{name}", title, refuse(rule, BERT, 0), with_frame(frame)
    for name, length in [("zero", 0), ("too-long", v.MAX_LENGTH + 1)]:
        bad = heads[0][:64] + u64(length) + heads[0][72:]
        frame = spell_range(BERT.public, 0, records, [bad])
        title = f"A head of length {length}."
        yield f"head-bytes-{name}", title, refuse("head-bytes", BERT, 0), with_frame(frame)


def bundles_of_logs():
    """Ranges that do not verify."""
    world = World()
    swarm, anna, bert = world.swarm, world.anna, world.bert
    said = manifest(swarm, [anna.end(), bert.end()])
    frames = [bert.range(0, 1), bert.range(1, 2), anna.range(0, 1), anna.range(1, 2)]

    def of(*numbers):
        return spell(swarm, [frames[number] for number in numbers], said)

    yield ("log-order", "The logs are not sorted by author.",
           refuse("log-order", BERT, 0), of(2, 3, 0, 1))
    yield ("log-order-two-pieces", "A log goes on behind another.",
           refuse("log-order", BERT, 1), of(0, 2, 3, 1))
    yield "log-gap", "An append is left out.", refuse("log-gap", ANNA, 1), spell(
        swarm, [frames[0], frames[1], frames[2], spell_range(ANNA.public, 2, anna.records[1:],
                                                            anna.heads[1:])], said)
    yield "log-gap-start", "A log does not begin at 0.", refuse("log-gap", BERT, 0), of(1, 2, 3)
    yield "log-gap-twice", "An append stands twice.", refuse("log-gap", BERT, 1), of(0, 0, 1, 2, 3)

    def changed(change, rule, key=BERT, index=0, title=""):
        """Bert's log of one append, changed."""
        log = Log(BERT, swarm)
        log.write(START + 2, 10, started("bert"))
        log.write(START + 3, 66, u64(1) + text("lost"), task=TASK)
        change(log)
        if not log.heads:
            log.seal()
        frame = spell_range(BERT.public, 0, log.records, log.heads)
        ends = [anna.end(), log.end()]
        data = spell(swarm, [frame, anna.range()], manifest(swarm, ends))
        return title, refuse(rule, key, index), data

    def body(log):
        log.records[1] = log.records[1][:-1] + b"T"

    yield ("record-body-hash",
           *changed(body, "record-body-hash", index=1, title="A body was changed."))
    for name, title, index, lengths in [
        ("missing", "The last record has no head.", 1, [1]),
        ("falling", "Heads fall.", 2, [2, 1]),
        ("twice", "Two heads of one length.", 2, [2, 2]),
        ("beyond", "A head beyond the range.", 0, [3]),
    ]:
        def heads(log, lengths=lengths):
            for length in lengths:
                leaves = log.leaves()[:length]
                log.seal(length=length, root=tree_root(leaves), clock=START + 1 + length)

        yield f"head-order-{name}", *changed(heads, "head-order", index=index, title=title)
    for name, title, more in [
        ("author", "A head of another author.", {"key": STRANGER}),
        ("root", "A head with another root.", {"root": bytes(32)}),
        ("swarm", "A head of another swarm.", {"swarm": bytes(32)}),
        ("signature", "A head that was signed for another use.", {"use": b"claim"}),
        ("clock", "A head with another clock.", {"clock": START + 9}),
    ]:
        def seal(log, more=more):
            log.seal(**more)

        yield f"head-{name}", *changed(seal, f"head-{name}", index=1, title=title)

    def short(log):
        log.records[1] = record(bytes(52) + u32(1) + derive("body", b"x"), b"x")

    def long(log):
        own = header(66, 1, START + 3, b"x")
        log.records[1] = record(own[:53] + b"\0" + own[53:], b"x")

    def causes(log):
        log.records[1] = record(header(66, 1, START + 3, b"x", causes=[bytes(32)] * 9), b"x")

    def seq(log):
        log.records[1] = record(header(66, 2, START + 3, b"x"), b"x")

    for name, title, change in [
        ("short", "A header without the number of causes.", short),
        ("long", "A byte between causes and body.", long),
        ("causes", "Nine causes.", causes),
    ]:
        yield f"event-header-{name}", *changed(change, "event-header", index=1, title=title)
    yield "event-seq", *changed(seq, "event-seq", index=1, title="A header names another index.")
    for name, title, clock in [("equal", "Two events of one clock.", START + 2),
                               ("falling", "The clock runs backwards.", START + 1)]:
        def clocks(log, clock=clock):
            log.records[1] = record(header(66, 1, clock, b"x"), b"x")
            log.clocks[1] = clock

        yield f"clock-order-{name}", *changed(clocks, "clock-order", index=1, title=title)


def bundles_of_manifests():
    world = World()
    swarm, anna, bert = world.swarm, world.anna, world.bert
    ends = [bert.end(), anna.end()]
    frames = [bert.range(), anna.range()]
    good = manifest(swarm, ends)

    def said(data):
        return spell(swarm, frames, data)

    missing = spell(swarm, frames[:1], manifest(swarm, ends[:1]))
    yield "founding-event", "The founder's log is missing.", refuse("founding-event"), missing
    other = bytes(range(32))
    log = Log(ANNA, other)
    log.say(START, 1, FOUNDED)
    wrong = bundle(other, [log])
    yield ("founding-event-other", "Event 0 founds another swarm.",
           refuse("founding-event"), wrong)
    for name, title, data in [
        ("empty", "A manifest of no bytes.", b""),
        ("short", "A manifest without its last byte.", good[:-1]),
        ("long", "A byte behind the signature.", good + b"\0"),
        ("format", "A manifest of another format.", manifest(swarm, ends, form=2)),
        ("order", "Logs out of order.", manifest(swarm, ends[::-1], sort=False)),
        ("twice", "A log that is named twice.", manifest(swarm, [ends[0], *ends])),
        ("zero", "A log of no records.", manifest(swarm, [(*ends[0][:1], 0, ends[0][2])])),
        ("too-long", "A log of more than 2^40 records.",
         manifest(swarm, [(ends[0][0], v.MAX_LENGTH + 1, ends[0][2])])),
        ("count", "More logs than there are bytes.", manifest(swarm, ends, count=v.MAX_LOGS)),
    ]:
        yield f"manifest-bytes-{name}", title, refuse("manifest-bytes"), said(data)
    yield ("manifest-swarm", "A manifest of another swarm.",
           refuse("manifest-swarm", ANNA), said(manifest(bytes(32), ends)))
    yield ("manifest-signature", "A manifest that was signed for another use.",
           refuse("manifest-signature", ANNA), said(manifest(swarm, ends, use=b"head")))
    for name, title, named, who, index in [
        ("log-left-out", "The manifest does not name a log.", ends[1:], BERT, 0),
        ("log-cut", "A log is longer in the manifest.",
         [(BERT.public, 4, ends[0][2]), ends[1]], BERT, 3),
        ("log-longer", "A log is shorter in the manifest.",
         [(BERT.public, 2, ends[0][2]), ends[1]], BERT, 2),
        ("root", "Another root.", [(BERT.public, 3, bytes(32)), ends[1]], BERT, 3),
        ("log-missing", "A log of the manifest is not in the bundle.",
         [*ends, (CARA.public, 1, bytes(32))], CARA, 0),
    ]:
        yield (f"manifest-frontier-{name}", title,
               refuse("manifest-frontier", who, index), said(manifest(swarm, named)))
    yield ("manifest-events", "Another number of events.",
           refuse("manifest-events", ANNA), said(manifest(swarm, ends, events=6)))
    for name, title, clock in [("later", "A cause that is later.", START + 6),
                               ("equal", "A cause of the same clock.", START + 5)]:
        late = World()
        late.anna.say(clock, 65_535, b"x")
        late.bert.say(START + 5, 66, b"x", causes=[late.anna.id(2)])
        yield f"cause-order-{name}", title, refuse("cause-order", BERT, 3), late.bundle()
    guest = Log(STRANGER, swarm)
    guest.say(START + 2, 10, started("guest"))
    yield ("member", "A log of somebody who was never admitted.",
           refuse("member", STRANGER, 0), bundle(swarm, [anna, bert, guest]))
    own = World()
    own.bert.say(START + 7, 2, admitted(STRANGER, 1, "guest"))
    yield ("member-by-a-member", "Only an administrator admits.", refuse("member", STRANGER, 0),
           bundle(own.swarm, [own.anna, own.bert, guest_of(own.swarm)]))
    yield ("manifest-exporter", "The exporter is no member.",
           refuse("manifest-exporter", STRANGER), said(manifest(swarm, ends, key=STRANGER)))
    yield from bundles_of_witnesses()
    yield from bundles_of_forks()
    yield from bundles_of_rotations()
    yield from bundles_of_erasures()
    # Of each version that there may be, so that a reader of any version has one that it checks.
    for version in range(1, 9):
        yield (f"state-digest-{version}", "Another digest of the state.",
               refuse("state-digest", ANNA, fold=version),
               said(manifest(swarm, ends, version=version)))
        wrong = founder()
        wrong.say(START + 1, 4, u32(version) + u64(1) + ANNA.public + u64(1) + bytes(32))
        yield (f"checkpoint-digest-{version}", "A checkpoint with another digest.",
               refuse("checkpoint-digest", ANNA, 1, fold=version), bundle(wrong.swarm, [wrong]))


def bundles_of_witnesses():
    """Anna says what she holds of Bert's log."""
    def said(key, length, root, use=b"head"):
        world = World()
        whole = head(key, world.swarm, length, root or tree_root(world.bert.leaves()), START, use)
        witnessed = whole[32:]
        world.anna.say(START + 9, 5, u64(1) + witnessed)
        return world

    good = said(BERT, 3, None)
    yield "witnessed", "A witness holds the log's head.", ACCEPT, good.bundle()
    yield ("witnessed-root", "A witness holds another head that the author signed.",
           refuse("witnessed-root", BERT, 2), said(BERT, 3, bytes(32)).bundle())
    yield ("witnessed-unsigned", "A witness holds another head that nobody signed.", ACCEPT,
           said(BERT, 3, bytes(32), b"claim").bundle())
    yield ("witnessed-longer", "A witness holds a head that is longer than the log.", ACCEPT,
           said(BERT, 4, bytes(32)).bundle())


def bundles_of_forks():
    """What a proven fork does to a log and to the members."""
    world = World()
    other = Log(BERT, world.swarm)
    other.records, other.clocks = world.bert.records[:2], world.bert.clocks[:2]
    other.write(START + 4, 66, u64(1) + text("won"), task=TASK)
    other.seal()
    pair = sorted([world.bert, other], key=lambda log: log.id(2))
    proven = b"".join(branch(log, 2) for log in pair)
    proven = u64(len(proven)) + proven
    leaves = other.leaves()
    whole = head(BERT, world.swarm, 3, tree_root(leaves), START + 4)[32:]
    world.anna.say(START + 9, 6, proven)
    world.anna.say(START + 10, 5, u64(1) + whole)
    forked = {"version": fold.VERSION, "digest": digest_of(world.anna, world.bert)}
    yield ("fork-proven", "A log is proven to fork; the witness of the other branch is reported.",
           ACCEPT, world.bundle(**forked))
    world.anna.say(START + 11, 7, BERT.public + u64(3) + tree_root(leaves) + text("why"))
    resolved = {"version": fold.VERSION, "digest": digest_of(world.anna, world.bert)}
    yield "fork-resolved", "The fork is resolved.", ACCEPT, world.bundle(**resolved)
    # Anna's own log forks at 2, where it admits a guest: nothing behind that counts.
    world = World()
    world.anna.say(START + 5, 2, admitted(STRANGER, 1, "guest"))
    other = Log(ANNA, world.swarm)
    other.records, other.clocks = world.anna.records[:2], world.anna.clocks[:2]
    other.say(START + 5, 66, u64(1) + text("won"))
    pair = sorted([world.anna, other], key=lambda log: log.id(2))
    proven = b"".join(branch(log, 2) for log in pair)
    world.bert.say(START + 9, 6, u64(len(proven)) + proven)
    logs = [world.anna, world.bert]
    cut = {"version": fold.VERSION, "digest": digest_of(*logs)}
    yield "fork-administrator", "An administrator's log forked.", ACCEPT, world.bundle(**cut)
    yield ("member-fork", "Whom a forked administrator admitted is no member.",
           refuse("member", STRANGER, 0), bundle(world.swarm, [*logs, guest_of(world.swarm)]))


def rotated(log, successor, use=b"rotation"):
    """The payload of the next event of a log, which goes on under another key."""
    keys = log.key.public + successor.public
    return successor.public + successor.sign(use, log.swarm + keys + u64(len(log.records)))


def bundles_of_rotations():
    """Members who go on under other keys."""
    def log_of(key, swarm, clock):
        log = Log(key, swarm)
        log.say(clock, 10, started("next"))
        log.say(clock + 1, 12, seen(), task=TASK)
        return log

    world = World()
    anna, bert, swarm = world.anna, world.bert, world.swarm
    bert.say(START + 5, 9, rotated(bert, CARA))
    cara = log_of(CARA, swarm, START + 6)
    yield ("rotated", "A member goes on under another key.", ACCEPT,
           with_digest(anna, bert, cara))
    yield ("rotated-exporter", "The successor exports.", ACCEPT,
           with_digest(anna, bert, cara, key=CARA))
    bert.say(START + 9, 9, rotated(bert, STRANGER))
    bert.say(START + 10, 12, seen(), task=TASK)
    yield ("rotated-twice", "What is behind a rotation counts for nothing.", ACCEPT,
           with_digest(anna, bert, cara))
    yield ("member-rotated-twice", "A key rotates once.", refuse("member", STRANGER, 0),
           bundle(swarm, [anna, bert, cara, log_of(STRANGER, swarm, START + 11)]))
    cara.say(START + 12, 9, rotated(cara, STRANGER))
    guest = log_of(STRANGER, swarm, START + 13)
    chain = [anna, bert, cara, guest]
    yield "rotated-chain", "The successor has one too.", ACCEPT, with_digest(*chain)
    anna.say(START + 15, 3, BERT.public + u64(4) + text("gone"))
    yield ("rotated-kept", "A revocation that covers the rotation is refused.", ACCEPT,
           with_digest(*chain))
    # Refused before the revocation, and forgotten with it.
    bert, cara = World().bert, Log(CARA, swarm)
    bert.say(START + 5, 2, admitted(STRANGER, 1, "guest"))
    bert.say(START + 6, 2, admitted(STRANGER, 1, "guest"))
    bert.say(START + 7, 9, rotated(bert, CARA))
    cara.say(START + 8, 2, admitted(STRANGER, 1, "guest"))
    cara.say(START + 9, 9, rotated(cara, STRANGER))
    anna.say(START + 16, 3, BERT.public + u64(4) + text("stolen"))
    anna.say(START + 17, 3, BERT.public + u64(3) + text("again"))
    yield ("rotated-revoked", "A revocation takes successors and their refusals out.", ACCEPT,
           with_digest(anna, bert))
    for name, title, key, logs in [
        ("successor", "A revocation takes the successor out.", CARA, [cara]),
        ("chain", "A revocation takes the successor's successor out.", STRANGER,
         [log_of(STRANGER, swarm, START + 13)]),
    ]:
        yield (f"member-revoked-{name}", title, refuse("member", key, 0),
               bundle(swarm, [anna, bert, *logs]))
    world = World()
    world.bert.say(START + 5, 9, rotated(world.bert, CARA, b"head"))
    world.bert.say(START + 6, 9, rotated(world.bert, ANNA))
    world.bert.say(START + 7, 12, seen(), task=TASK)
    logs = [world.anna, world.bert]
    yield ("rotated-refused", "The successor did not sign, or is a member.", ACCEPT,
           with_digest(*logs))
    yield ("member-rotated-unsigned", "The successor did not sign.", refuse("member", CARA, 0),
           bundle(swarm, [*logs, log_of(CARA, swarm, START + 8)]))
    world = World()
    world.anna.say(START + 5, 9, rotated(world.anna, CARA))
    cara = Log(CARA, swarm)
    cara.say(START + 6, 2, admitted(STRANGER, 0, "guest"))
    yield ("rotated-administrator", "An administrator's successor admits.", ACCEPT,
           with_digest(world.anna, world.bert, cara, log_of(STRANGER, swarm, START + 7)))


def erased(log, index, reason="a secret", event=None):
    return (event or log.id(index)) + log.key.public + u64(index) + text(reason)


def forget(log, index):
    """Takes a payload out of a log."""
    data = log.records[index]
    log.records[index] = record(data[3 : 3 + int.from_bytes(data[:2], "little")], b"", 0)


def bundles_of_erasures():
    """Payloads that are not there, or need not be."""
    world = World()
    anna, bert = world.anna, world.bert
    before = digest_of(anna, bert)
    both = sorted([(log.key.public, len(log.records)) for log in (anna, bert)])
    frontier = u64(2) + b"".join(author + u64(length) for author, length in both)
    anna.say(START + 9, 8, erased(bert, 1))
    yield ("erased-kept", "An erased payload is there, and counts for nothing.", ACCEPT,
           with_digest(anna, bert))
    after = digest_of(anna, bert)
    forget(bert, 1)
    assert digest_of(anna, bert) == after, "an erased payload may be there or not"
    yield "erased", "An administrator erased a payload.", ACCEPT, with_digest(anna, bert)

    def checkpoint(frontier, digest):
        return u32(fold.VERSION) + frontier + digest

    full = u64(2) + b"".join(a + u64(n + (a == ANNA.public)) for a, n in both)
    anna.say(START + 10, 4, checkpoint(frontier, before))
    anna.say(START + 11, 4, checkpoint(full, after))
    yield ("erased-checkpoint", "A checkpoint of before an erasure, and one of behind it.",
           ACCEPT, with_digest(anna, bert))
    anna.say(START + 12, 4, checkpoint(full, before))
    yield ("checkpoint-digest-erased", "A checkpoint that does not know of an erasure.",
           refuse("checkpoint-digest", ANNA, 5, fold=fold.VERSION),
           bundle(anna.swarm, [anna, bert]))
    world = World()
    forget(world.bert, 1)
    world.anna.say(START + 9, 4, checkpoint(frontier, before))
    yield ("payload-lost", "A checkpoint over a payload that is lost is not checked.", ACCEPT,
           with_digest(world.anna, world.bert))
    world = World()
    world.bert.say(START + 9, 8, erased(world.bert, 1))
    yield "erased-own", "A member erases what it said.", ACCEPT, with_digest(world.anna, world.bert)
    world = World()
    anna, bert = world.anna, world.bert
    bert.say(START + 5, 65_535, b"x")
    for clock, log, payload in [
        (6, bert, erased(bert, 1, "x" * 257)),
        (7, bert, erased(anna, 1)),
        (8, bert, erased(bert, 9, event=bytes(32))),
        (9, anna, erased(bert, 1, event=bytes(32))),
        (10, anna, erased(anna, 1)),
        (11, bert, erased(bert, 1)),
        (12, anna, erased(bert, 1, "again")),
        (13, anna, erased(bert, 99, event=bytes(32))),
        (14, anna, erased(bert, 3)),
    ]:
        log.say(START + clock, 8, payload)
    yield ("erasure-refused", "Erasures that are refused, and of what is not there.", ACCEPT,
           with_digest(anna, bert))
    world = World()
    world.bert.say(START + 5, 9, rotated(world.bert, CARA))
    world.anna.say(START + 6, 8, erased(world.bert, 3))
    cara = Log(CARA, world.swarm)
    cara.say(START + 7, 8, erased(world.bert, 2))
    yield ("erasure-rotation", "A rotation is not erased, nor does a successor erase.", ACCEPT,
           with_digest(world.anna, world.bert, cara))
    # The targets have later clocks than what erases them: an agent that started (3), an erasure
    # that is refused (4), and an event that is named rightly, then wrongly (5).
    late = World()
    late.anna.write(START + 5, 8, erased(late.bert, 3, event=bytes(32)))
    late.anna.write(START + 6, 8, erased(late.bert, 4, event=bytes(32)))
    late.bert.say(START + 20, 10, started("bert"))
    late.bert.say(START + 21, 8, erased(late.bert, 1, "x" * 257))
    late.bert.say(START + 22, 66, u64(1) + text("won"), task=TASK)
    late.anna.write(START + 7, 8, erased(late.bert, 5))
    late.anna.write(START + 8, 8, erased(late.bert, 5, event=bytes(32)))
    late.anna.seal()
    yield ("erasure-early", "Erasures that are earlier than what they name.", ACCEPT,
           with_digest(late.anna, late.bert))
    # What does not stand is no target, so that an erasure of it is kept.
    world.anna.say(START + 8, 3, BERT.public + u64(2) + text("gone"))
    world.anna.say(START + 9, 8, erased(world.bert, 2, event=bytes(32)))
    yield ("erasure-revoked", "An erasure of an event that does not stand.", ACCEPT,
           with_digest(world.anna, world.bert))


def guest_of(swarm):
    log = Log(STRANGER, swarm)
    log.say(START + 8, 10, started("guest"))
    return log


def bundles_of_lives():
    """Tasks and sessions of which much is said, much of it refused. Erin answers for people."""
    def logs():
        world = World()
        cara, erin = Log(CARA, world.swarm), Log(STRANGER, world.swarm)
        world.anna.say(START + 5, 2, admitted(CARA, 1, "cara"))
        world.anna.say(START + 6, 2, admitted(STRANGER, 2, "erin"))
        return [world.bert, cara, erin, world.anna]

    met = set()

    def case(name, title, life):
        met.update(reason for _, _, _, reason in refused(life))
        return name, title, ACCEPT, with_digest(*life)

    for seed in range(1, 5):
        life = logs()
        lives.live(seed, life, TASK, START + 7, 300)
        yield case(f"life-{seed}", "Much is said of a task.", life)
    # The seeds are ones that, all together, meet every reason.
    for number, seed in enumerate([5, 10, 32, 93], 1):
        life = logs()
        lives.live(seed, life, TASK, START + 7, 300, talks=True)
        yield case(f"life-discussed-{number}", "A task is much discussed.", life)
    for number, (seed, pairs) in enumerate([(2, 2), (13, 4), (31, 4)], 1):
        life = logs()
        lives.confer(seed, life, START + 7, 250, pairs)
        yield case(f"life-sessions-{number}", f"Much is said in {pairs} sessions.", life)
    assert met >= REASONS, f"reasons that no life meets: {REASONS - met}"


def bundles():
    yield from bundles_that_verify()
    yield from bundles_of_parts()
    yield from bundles_of_ranges()
    yield from bundles_of_logs()
    yield from bundles_of_manifests()
    yield from bundles_of_lives()
    yield from cases_discussion.bundles()
