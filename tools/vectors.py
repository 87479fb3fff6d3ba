"""Writes the vectors of schema/vectors/, one file for each case.

    python3 tools/vectors.py DIRECTORY

It makes valid bytes as the pages of schema/ say, breaks one rule of them at a time, and says in the
file's header what a reader must answer. Seeds are fixed, so that it always writes the same bytes. It
has its own writer; of tools/verify.py, tlog.py and fold.py it takes hashes, the trees' shapes and digests.
"""

import base64
import hashlib
import os
import struct
import sys

import nacl.bindings

import fold
import lives
import tlog
import verify as v
from verify import FIELD, derive, subtrees, tree_root, u64

START = 1_769_860_800_000 << 16
ORDER = 2**252 + 27742317777372353535851937790883648493

def u16(number):
    return number.to_bytes(2, "little")


def u32(number):
    return number.to_bytes(4, "little")


def text(value):
    value = value.encode()
    return u64(len(value)) + value


def sized(data):
    return u32(len(data)) + data


# Ed25519 by hand, for the signatures that no library makes.

D = -121665 * pow(121666, -1, FIELD) % FIELD


def add(p, q):
    (x1, y1), (x2, y2) = p, q
    k = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + k, -1, FIELD)
    return x % FIELD, (y1 * y2 + x1 * x2) * pow(1 - k, -1, FIELD) % FIELD


def times(number, point):
    total = (0, 1)
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


def x_of(y):
    square = (y * y - 1) * pow(D * y * y + 1, -1, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if (x * x - square) % FIELD:
        x = x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
    return None if (x * x - square) % FIELD else x


def packed(point):
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE_Y = 4 * pow(5, -1, FIELD) % FIELD
BASE = min(x_of(BASE_Y), FIELD - x_of(BASE_Y), key=lambda x: x & 1), BASE_Y
TORSION = x_of(v.EIGHTH), v.EIGHTH


def scalar_hash(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER


class Key:
    """An author's key, of a fixed seed."""

    def __init__(self, number):
        seed = bytes([number]) * 32
        self.public, self.secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        half = bytearray(hashlib.sha512(seed).digest()[:32])
        half[0] &= 248
        half[31] = half[31] & 127 | 64
        self.scalar = int.from_bytes(half, "little")

    def sign(self, use, message):
        message = b"bzzz v1 " + use + b"\0" + message
        return nacl.bindings.crypto_sign(message, self.secret)[:64]


ANNA, BERT, CARA, STRANGER = (Key(number) for number in (1, 2, 3, 9))
NO_TASK = bytes(32)


# Events and logs.


def header(kind, seq, clock, body, causes=(), task=NO_TASK, form=1):
    own = u16(form) + u16(kind) + u64(seq) + u64(clock) + task + bytes([len(causes)])
    return own + b"".join(causes) + u32(len(body)) + derive("body", body)


def record(head, body, mark=1):
    return u16(len(head)) + bytes([mark]) + head + (body if mark else b"")


def leaf(author, data):
    return derive("leaf", author, data[3 : 3 + int.from_bytes(data[:2], "little")])


def node(leaves, height, offset):
    if height == 0:
        return leaves[offset]
    left, right = (node(leaves, height - 1, 2 * offset + side) for side in (0, 1))
    return derive("parent", left, right)


def inclusion(leaves, index, length):
    """The bytes of an inclusion proof, by log.md and proof.md."""
    peaks, own = v.own_peak(index, length)
    hashes, offset = [], index
    for height in range(peaks[own][0]):
        hashes.append(node(leaves, height, offset ^ 1))
        offset >>= 1
    hashes += [node(leaves, *peak) for number, peak in enumerate(peaks) if number != own]
    return proof(index, length, hashes)


def consistency(leaves, start, end):
    nodes = subtrees(0, start) + subtrees(start, end)
    return proof(start, end, [node(leaves, *place) for place in nodes])


def proof(a, b, hashes):
    return u64(a) + u64(b) + bytes([len(hashes)]) + b"".join(hashes)


def head(key, swarm, length, root, clock, use=b"head"):
    signed = swarm + key.public + u64(length) + root + u64(clock)
    return signed + key.sign(use, signed)


class Log:
    """A log that grows append by append."""

    def __init__(self, key, swarm=None):
        self.key, self.swarm = key, swarm
        self.records, self.clocks, self.heads, self.appends = [], [], [], []

    def leaves(self):
        return [leaf(self.key.public, data) for data in self.records]

    def id(self, index):
        return self.leaves()[index]

    def write(self, clock, kind, body, **more):
        """One record, without a head."""
        seq = more.pop("seq", len(self.records))
        mark = more.pop("mark", 1)
        self.records.append(record(header(kind, seq, clock, body, **more), body, mark))
        self.clocks.append(clock)

    def seal(self, **more):
        """The head over all records so far."""
        length = more.pop("length", len(self.records))
        root = more.pop("root", None) or tree_root(self.leaves())
        key, swarm = more.pop("key", self.key), more.pop("swarm", self.swarm)
        clock = more.pop("clock", self.clocks[-1])
        self.heads.append(head(key, swarm, length, root, clock, **more))
        self.appends.append(len(self.records))

    def say(self, clock, kind, body, **more):
        self.write(clock, kind, body, **more)
        self.seal()

    def range(self, first=0, last=None):
        """The range of the appends from `first` to before `last`."""
        ends = [0, *self.appends]
        last = len(self.appends) if last is None else last
        records = self.records[ends[first] : ends[last]]
        return spell_range(self.key.public, ends[first], records, self.heads[first:last])

    def end(self):
        return self.key.public, len(self.records), tree_root(self.leaves())


def spell_range(author, start, records, heads, counts=None):
    counts = counts or (len(records), len(heads))
    counted = author + u64(start) + u32(counts[0]) + u32(counts[1])
    return counted + b"".join(map(sized, records)) + b"".join(heads)


def manifest(swarm, ends, key=ANNA, **more):
    """The manifest's bytes with its signature."""
    ends = sorted(ends) if more.get("sort", True) else ends
    events = more.get("events", sum(length for _, length, _ in ends))
    fields = u16(more.get("form", 1)) + swarm + key.public + u64(events)
    fields += u32(more.get("version", 0xFFFF_FFFF)) + more.get("digest", bytes(32))
    fields += u32(more.get("count", len(ends)))
    fields += b"".join(author + u64(length) + root for author, length, root in ends)
    return fields + key.sign(more.get("use", b"manifest"), fields)


def spell(swarm, frames, said, form=1, magic=b"bzzz-bundle"):
    """A bundle's bytes."""
    return magic + u16(form) + swarm + b"".join(map(sized, frames)) + u32(0) + sized(said)


def bundle(swarm, logs, **more):
    """A bundle of whole logs; a frame for each append."""
    logs = sorted(logs, key=lambda log: log.key.public)
    frames = [log.range(i, i + 1) for log in logs for i in range(len(log.appends))]
    return spell(swarm, frames, manifest(swarm, [log.end() for log in logs], **more))


# A small swarm.

FOUNDED = text("vectors") + u64(1) + ANNA.public + bytes(range(16))


def founder():
    log = Log(ANNA)
    log.write(START, 1, FOUNDED)
    log.swarm = derive("swarm", log.id(0))
    log.seal()
    return log


def admitted(key, role, name):
    return key.public + u32(role) + text(name)


def started(name):
    return text(name) + text("0.1.0") + u64(7) + b"\1" + u64(1) + text("rust")


def seen():
    return text("tally") + u64(1) + text("Sum") + text("It is wrong.") + u64(0) + u64(0) + b"\1"


TASK = derive("task", u64(1), b"tally")


class World:
    """Anna founds a swarm and admits Bert; Bert starts and sees a task."""

    def __init__(self):
        self.anna = founder()
        self.swarm = self.anna.swarm
        self.anna.say(START + 1, 2, admitted(BERT, 1, "bert"))
        self.bert = Log(BERT, self.swarm)
        self.bert.say(START + 2, 10, started("bert"), causes=(self.anna.id(1),))
        self.bert.write(START + 3, 12, seen(), task=TASK)
        self.bert.write(START + 4, 66, u64(1) + text("lost"), task=TASK)
        self.bert.seal()

    def bundle(self, **more):
        return bundle(self.swarm, [self.anna, self.bert], **more)


def digest_of(*logs):
    """The digest of the state that whole logs lead to."""
    events = []
    for log in logs:
        for index, data in enumerate(log.records):
            events.append(v.read_event(log.key.public, index, v.read_record(data)))
    return fold.fold(events, logs[0].swarm).digest()


# The cases. Each is a function that yields (name, title, expectation, bytes).

REFUSE = "refuse"


def refuse(rule, key=None, index=None, **more):
    expected = {"expect": "refuse", "rule": rule}
    expected |= {name: str(value) for name, value in more.items() if name in ("detail", "fold")}
    if key is not None:
        expected["author"] = (key if isinstance(key, bytes) else key.public).hex()
    if index is not None:
        expected["index"] = str(index)
    return expected


ACCEPT = {"expect": "accept"}


def bundles_that_verify(version):
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


def record_defects(good):
    """Bytes that are no record. The detail is the name without what follows a dot."""
    size = int.from_bytes(good[:2], "little")
    yield "size-short", "A record without its last byte.", good[:-1]
    yield "size-long", "A byte behind the body.", good + b"\0"
    yield "size-tiny", "A record of two bytes.", good[:2]
    yield "size-header", "A record that ends inside its header.", good[: size + 2]
    yield "size-absent", "An absent body that is there.", good[:2] + b"\0" + good[3:]
    yield "header-short", "A header of 35 bytes.", u16(35) + good[2:38]
    yield "header-long", "A header of 513 bytes.", u16(513) + b"\1" + bytes(513)
    yield "mark", "A mark of 2.", good[:2] + b"\2" + good[3:]
    over = u32(v.MAX_BODY + 1)
    own = good[: 3 + size - 36] + over + good[3 + size - 32 : 3 + size]
    yield "body", "A body of 65,537 bytes.", own
    empty = header(66, 0, START, b"")
    yield "empty-body", "An empty body that is marked as absent.", record(empty, b"", 0)


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


def with_digest(*logs, **more):
    """A bundle of whole logs, with the digest of their state."""
    said = {"version": fold.VERSION, "digest": digest_of(*logs)}
    return bundle(logs[0].swarm, logs, **said, **more)


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


def heads(_):
    """Heads alone, and the strictness of signatures. Each has its swarm in the header."""
    swarm = bytes(range(32))
    more = {"swarm": swarm.hex()}
    good = head(ANNA, swarm, 3, derive("root", b""), START)
    signed = good[:112]
    yield "head-one", "A head.", ACCEPT | more, good
    for name, data in [("short", good[:-1]), ("long", good + b"\0"), ("empty", b"")]:
        yield (f"head-size-{name}", f"A head of {len(data)} bytes.",
               refuse("head-bytes", detail="size") | more, data)
    for name, length in [("zero", 0), ("too-long", v.MAX_LENGTH + 1)]:
        yield (f"head-length-{name}", f"A head of length {length}.",
               refuse("head-bytes", detail="length") | more,
               head(ANNA, swarm, length, bytes(32), START))
    yield ("head-greatest-length", "A head of length 2^40.", ACCEPT | more,
           head(ANNA, swarm, v.MAX_LENGTH, bytes(32), START))
    yield ("head-swarm", "A head of another swarm.", refuse("head-swarm") | more,
           head(ANNA, bytes(32), 3, bytes(32), START))
    mismatch = refuse("head-signature", detail="mismatch") | more
    yield "signature-changed", "A bit of the root was changed.", mismatch, (
        good[:72] + bytes([good[72] ^ 1]) + good[73:])
    yield ("signature-use", "Signed for another use.", mismatch,
           head(ANNA, swarm, 3, bytes(32), START, b"manifest"))
    s = int.from_bytes(good[144:], "little")
    yield "signature-s-not-reduced", "S is S + L.", mismatch, (
        good[:144] + (s + ORDER).to_bytes(32, "little"))
    message = b"bzzz v1 head\0"
    identity = packed((0, 1))
    k = scalar_hash(identity, ANNA.public, message, signed)
    small = identity + (k * ANNA.scalar % ORDER).to_bytes(32, "little")
    yield "signature-r-small-order", "R is of small order.", mismatch, signed + small
    weak = refuse("head-signature", detail="key") | more
    rest = signed[64:]
    for name, title, key in [
        ("identity", "The key is the neutral point.", identity),
        ("identity-not-reduced", "The key is the neutral point, its y not reduced.",
         (FIELD + 1).to_bytes(32, "little")),
        ("order-8", "The key is a point of order 8.", packed(TORSION)),
    ]:
        point = packed(times(5, BASE))
        yield (f"signature-key-{name}", title, weak,
               swarm + key + rest + point + (5).to_bytes(32, "little"))
    off = next(y for y in range(2, 99) if x_of(y) is None).to_bytes(32, "little")
    yield "signature-key-no-point", "The key is no point.", weak, swarm + off + rest + good[112:]
    mixed = packed(add(times(ANNA.scalar, BASE), TORSION))
    found = {}
    nonce = 2
    while len(found) < 2:
        point, own = packed(times(nonce, BASE)), swarm + mixed + rest
        k = scalar_hash(point, mixed, message, own)
        kind = "without" if k % 8 == 0 else "with"
        s = (nonce + k * ANNA.scalar) % ORDER
        found.setdefault(kind, own + point + s.to_bytes(32, "little"))
        nonce += 1
    yield ("signature-cofactor", "Only the equation with the cofactor holds.", mismatch,
           found["with"])
    yield ("signature-mixed-key", "A key with a part of small order, and the equation holds.",
           ACCEPT | more, found["without"])


def records(_):
    good = record(header(66, 0, START, b"body"), b"body")
    yield "record-one", "A record.", ACCEPT, good
    yield "record-absent", "A record without its body.", ACCEPT, record(good[3:92], b"", 0)
    plain = b"head" + u32(4) + derive("body", b"body")
    yield "record-of-log-md", "The example of log.md.", ACCEPT, record(plain, b"body")
    shortest = u32(0) + derive("body", b"")
    yield "record-shortest", "The shortest record.", ACCEPT, record(shortest, b"")
    for name, title, data in record_defects(good):
        detail = next(d for d in ("size", "header", "mark", "body", "empty-body")
                      if name.startswith(d))
        yield f"record-{name}", title, refuse("record-bytes", detail=detail), data
    yield "record-body-hash", "Another body.", refuse("record-body-hash"), good[:-1] + b"Y"


def tree(count):
    return [derive("leaf", u16(number)) for number in range(count)]


def inclusions(_):
    for index, length in [(0, 1), (0, 2), (9, 13), (12, 13), (255, 256), (256, 300)]:
        leaves = tree(length)
        more = {"leaf": leaves[index].hex(), "root": tree_root(leaves).hex()}
        yield (f"inclusion-{index}-of-{length}", f"Record {index} of {length}.", ACCEPT | more,
               inclusion(leaves, index, length))
    leaves = tree(13)
    more = {"leaf": leaves[9].hex(), "root": tree_root(leaves).hex()}
    good = inclusion(leaves, 9, 13)
    hashes = [good[at : at + 32] for at in range(17, len(good), 32)]
    defects = [
        ("cut", "The last byte is missing.", "proof-bytes", "bytes", good[:-1]),
        ("trailing", "A byte behind the hashes.", "proof-bytes", "bytes", good + b"\0"),
        ("129", "129 hashes.", "proof-hashes", "", proof(9, 13, [bytes(32)] * 129)),
        ("at-the-length", "Index 13 of 13.", "proof-position", "", proof(13, 13, hashes)),
        ("too-long", "A log above 2^40.", "proof-position", "",
         proof(9, v.MAX_LENGTH + 1, hashes)),
        ("few", "A hash is missing.", "proof-hashes", "", proof(9, 13, hashes[:-1])),
        ("many", "A hash too many.", "proof-hashes", "", proof(9, 13, hashes + [bytes(32)])),
        ("none", "No hashes.", "proof-hashes", "", proof(9, 13, [])),
        ("swapped", "Two hashes are swapped.", "proof-root", "",
         proof(9, 13, [hashes[1], hashes[0], *hashes[2:]])),
        ("neighbour", "The proof is of the neighbour.", "proof-root", "", proof(8, 13, hashes)),
    ]
    for name, title, rule, detail, data in defects:
        expected = refuse(rule, **({"detail": detail} if detail else {}))
        yield f"inclusion-{name}", title, expected | more, data


def consistencies(_):
    for start, end in [(0, 1), (0, 13), (1, 2), (3, 7), (8, 13), (13, 13), (6, 300), (256, 300)]:
        leaves = tree(end)
        more = {"root-from": tree_root(leaves[:start]).hex(), "root-to": tree_root(leaves).hex()}
        yield (f"consistency-{start}-to-{end}", f"{start} records, then {end}.", ACCEPT | more,
               consistency(leaves, start, end))
    leaves = tree(13)
    more = {"root-from": tree_root(leaves[:6]).hex(), "root-to": tree_root(leaves).hex()}
    good = consistency(leaves, 6, 13)
    hashes = [good[at : at + 32] for at in range(17, len(good), 32)]
    other = [bytes(32), *hashes[1:]]
    for name, title, rule, detail, data in [
        ("cut", "The last byte is missing.", "proof-bytes", "bytes", good[:-1]),
        ("trailing", "A byte behind the hashes.", "proof-bytes", "bytes", good + b"\0"),
        ("129", "129 hashes.", "proof-hashes", "", proof(6, 13, [bytes(32)] * 129)),
        ("backwards", "From 14 to 13.", "proof-position", "", proof(14, 13, hashes)),
        ("too-long", "A log above 2^40.", "proof-position", "",
         proof(6, v.MAX_LENGTH + 1, hashes)),
        ("few", "A hash is missing.", "proof-hashes", "", proof(6, 13, hashes[:-1])),
        ("many", "A hash too many.", "proof-hashes", "", proof(6, 13, hashes + [bytes(32)])),
        ("old-peak", "Another old peak.", "proof-root", "", proof(6, 13, other)),
        ("new-subtree", "Another new subtree.", "proof-root", "",
         proof(6, 13, [*hashes[:-1], bytes(32)])),
    ]:
        expected = refuse(rule, **({"detail": detail} if detail else {}))
        yield f"consistency-{name}", title, expected | more, data


EVENT_FILE = b"bzzz-event" + u16(1)


def signed_event(log, index, end, **more):
    leaves = log.leaves()[:end]
    path = more.get("path") or inclusion(leaves, index, end)
    return sized(more.get("record", log.records[index])) + path + more.get("head", log.heads[-1])


def event_files(_):
    log = World().bert
    more = {}
    start = EVENT_FILE + log.swarm
    good = start + signed_event(log, 1, 3)
    yield "event-one", "Event 1 under the head of 3.", ACCEPT, good
    absent = record(log.records[1][3:92], b"", 0)
    yield ("event-absent", "An event without its payload.", ACCEPT,
           start + signed_event(log, 1, 3, record=absent))
    yield "proof-magic", "Another magic.", refuse("proof-magic"), b"bzzz-evnet" + good[10:]
    yield ("proof-magic-short", "A file of five bytes.", refuse("proof-magic"), good[:5])
    yield "proof-format", "Another format.", refuse("proof-format"), good[:10] + u16(2) + good[12:]
    cut = refuse("proof-bytes", detail="bytes")
    yield "proof-bytes-in-swarm", "The file ends in the swarm.", cut, good[:43]
    yield "proof-bytes-in-record", "The file ends in the record.", cut, good[:60]
    yield "proof-bytes-in-head", "The file ends in the head.", cut, good[:-1]
    yield "proof-bytes-trailing", "A byte behind the head.", cut, good + b"\0"
    yield ("proof-bytes-too-long", "A file above the limit.", cut, good.ljust(74_001, b"\0"))
    yield ("proof-hashes-129", "129 hashes.", refuse("proof-hashes"),
           start + signed_event(log, 1, 3, path=proof(1, 3, [bytes(32)] * 129)))
    mark = log.records[1][:2] + b"\2" + log.records[1][3:]
    yield ("event-record-bytes", "A mark of 2.", refuse("record-bytes", detail="mark"),
           start + signed_event(log, 1, 3, record=mark))
    zero = log.heads[-1][:64] + u64(0) + log.heads[-1][72:]
    yield ("event-head-bytes", "A head of length 0.", refuse("head-bytes", detail="length"),
           start + signed_event(log, 1, 3, head=zero))
    leaves = log.leaves()
    yield ("proof-length", "A path for another length.", refuse("proof-length", BERT, 1),
           start + signed_event(log, 1, 3, path=inclusion(leaves, 1, 2)))
    body = log.records[1][:-1] + b"\2"
    yield ("event-record-body-hash", "A changed payload.", refuse("record-body-hash", BERT, 1),
           start + signed_event(log, 1, 3, record=body))
    yield ("proof-position", "Index 3 of 3.", refuse("proof-position", BERT, 3),
           start + signed_event(log, 1, 3, path=proof(3, 3, [bytes(32)] * 2)))
    yield ("proof-hashes", "A hash is missing.", refuse("proof-hashes", BERT, 1),
           start + signed_event(log, 1, 3, path=proof(1, 3, [bytes(32)])))
    yield ("proof-root", "The record of another index.", refuse("proof-root", BERT, 1),
           start + signed_event(log, 1, 3, record=log.records[0]))
    other = Log(BERT, bytes(32))
    other.records, other.clocks = log.records, log.clocks
    other.seal()
    yield ("event-head-swarm", "A head of another swarm.", refuse("head-swarm", BERT, 1),
           start + signed_event(other, 1, 3))
    other.seal(swarm=log.swarm, use=b"claim")
    yield ("event-head-signature", "A head that was signed for another use.",
           refuse("head-signature", BERT, 1, detail="mismatch"), start + signed_event(other, 1, 3))
    for name, title, rule, detail, own in [
        ("event-header", "Nine causes.", "event-header", "causes",
         header(66, 1, START + 3, b"x", causes=[bytes(32)] * 9)),
        ("event-header-short", "A header without the number of causes.", "event-header", "bytes",
         bytes(52) + u32(1) + derive("body", b"x")),
        ("event-seq", "The header names another index.", "event-seq", "",
         header(66, 2, START + 3, b"x")),
    ]:
        bad = Log(BERT, log.swarm)
        bad.say(START + 2, 10, started("bert"))
        bad.records.append(record(own, b"x"))
        bad.clocks.append(START + 3)
        bad.seal()
        expected = refuse(rule, BERT, 1, **({"detail": detail} if detail else {}))
        yield name, title, expected | more, start + signed_event(bad, 1, 2)


def heads_files(_):
    log = World().bert
    leaves = log.leaves()
    short, long = log.heads
    start = b"bzzz-heads" + u16(1) + log.swarm
    between = consistency(leaves, 1, 3)
    good = start + short + long + between
    yield "heads-one", "Heads of 1 and 3 records.", ACCEPT, good
    yield ("heads-same", "One head twice.", ACCEPT,
           start + long + long + consistency(leaves, 3, 3))
    cut = refuse("proof-bytes", detail="bytes")
    yield "heads-magic", "Another magic.", refuse("proof-magic"), b"bzzz-haeds" + good[10:]
    yield "heads-format", "Another format.", refuse("proof-format"), good[:10] + u16(2) + good[12:]
    yield "heads-cut", "The last byte is missing.", cut, good[:-1]
    yield "heads-trailing", "A byte behind the hashes.", cut, good + b"\0"
    zero = short[:64] + u64(0) + short[72:]
    yield ("heads-bytes", "A head of length 0.", refuse("head-bytes", detail="length"),
           start + zero + long + between)

    def other(key=BERT, swarm=log.swarm, length=3, root=tree_root(leaves), clock=START + 4, **more):
        return head(key, swarm, length, root, clock, **more)

    for name, title, rule, first, second, hashes in [
        ("author", "Heads of two authors.", "proof-author", short, other(key=ANNA), between),
        ("lengths", "Hashes between other lengths.", "proof-length", short, long,
         consistency(leaves, 2, 3)),
        ("backwards", "The longer head comes first.", "proof-position", long, short,
         proof(3, 1, [])),
        ("hashes", "A hash is missing.", "proof-hashes", short, long, between[:16] + b"\1"
         + between[17:49]),
        ("root", "Another root.", "proof-root", short, other(root=bytes(32)), between),
        ("clock", "The clock does not rise.", "head-clock", short, other(clock=START + 2), between),
        ("swarm", "A head of another swarm.", "head-swarm", short, other(swarm=bytes(32)), between),
        ("signature", "Signed for another use.", "head-signature", short, other(use=b"claim"),
         between),
    ]:
        yield f"heads-{name}", title, refuse(rule), start + first + second + hashes


FORK_FILE = b"bzzz-fork" + u16(1)


def branch(log, index, **more):
    leaves = log.leaves()
    length = len(leaves)
    parts = [more.get("head", log.heads[-1])]
    parts += [more.get("before") or consistency(leaves, index, length)]
    parts += [more.get("leaf") or leaves[index]]
    parts += [more.get("path") or inclusion(leaves, index, length)]
    return b"".join(parts)


def grown(count, twist, swarm, key=BERT, **more):
    """A log of `count` records, of which those from `twist` on are of this branch alone."""
    log = Log(key, swarm)
    for number in range(count):
        log.write(START + number, 66, bytes([number >= twist, more.get("salt", 0)]))
    log.seal(**{name: value for name, value in more.items() if name != "salt"})
    return log


def forks(_):
    swarm = bytes(range(32))

    def pair(index, first, second):
        """Two logs of these lengths that fork at the index; the smaller leaf first."""
        logs = [grown(first, 999, swarm), grown(second, index, swarm)]
        return sorted(logs, key=lambda log: log.id(index))

    def both(index, logs):
        return FORK_FILE + b"".join(branch(log, index) for log in logs)

    for index, first, second in [(0, 1, 1), (0, 5, 3), (4, 5, 5), (4, 5, 13), (255, 256, 300)]:
        yield (f"fork-at-{index}-of-{first}-and-{second}", "Two branches.", ACCEPT,
               both(index, pair(index, first, second)))
    a, b = pair(4, 7, 9)
    good = both(4, (a, b))
    yield "fork-magic", "Another magic.", refuse("proof-magic"), b"bzzz-frok" + good[9:]
    yield "fork-format", "Another format.", refuse("proof-format"), good[:9] + u16(2) + good[11:]
    cut = refuse("proof-bytes", detail="bytes")
    yield "fork-bytes-cut", "The last byte is missing.", cut, good[:-1]
    yield "fork-bytes-trailing", "A byte behind the proof.", cut, good + b"\0"
    zero = a.heads[-1][:64] + u64(0) + a.heads[-1][72:]
    yield ("fork-head-bytes", "A head of length 0.", refuse("head-bytes", detail="length"),
           FORK_FILE + branch(a, 4, head=zero) + branch(b, 4))
    many = proof(4, 7, [bytes(32)] * 129)
    yield ("fork-hashes-129", "129 hashes.", refuse("proof-hashes"),
           FORK_FILE + branch(a, 4, before=many) + branch(b, 4))

    def bad(name, title, rule, one, other, **more):
        return name, title, refuse(rule, BERT, 4, **more), FORK_FILE + one + other

    two = grown(9, 4, swarm, STRANGER)
    yield bad("fork-heads", "Heads of two authors.", "fork-heads",
              branch(pair(4, 7, 9)[0], 4), branch(two, 4))
    yield bad("fork-index", "The branches are about two indices.", "fork-index",
              branch(a, 4), branch(b, 5))
    yield bad("fork-index-before", "A history up to another index.", "fork-index",
              branch(a, 4, before=consistency(a.leaves(), 3, len(a.records))), branch(b, 4))
    length = len(a.records)
    yield bad("fork-index-length", "A path of another length.", "fork-index",
              branch(a, 4, path=inclusion(a.leaves(), 4, length - 1)), branch(b, 4))
    yield bad("fork-index-history", "A history to another length.", "fork-index",
              branch(a, 4, before=consistency(a.leaves(), 4, length - 1)), branch(b, 4))
    elsewhere = grown(len(b.records), 4 if b.id(4) != grown(9, 99, swarm).id(4) else 99, bytes(32))
    yield bad("fork-swarm", "Heads of two swarms.", "head-swarm",
              branch(a, 4), branch(b, 4, head=elsewhere.heads[-1]))
    forged = head(BERT, swarm, len(a.records), tree_root(a.leaves()), START, b"claim")
    yield bad("fork-signature", "A head that was signed for another use.", "head-signature",
              branch(a, 4, head=forged), branch(b, 4), detail="mismatch")
    yield bad("fork-hashes", "A path without a hash.", "proof-hashes",
              branch(a, 4, path=proof(4, length, [])), branch(b, 4))
    yield bad("fork-hashes-history", "A history without a hash.", "proof-hashes",
              branch(a, 4, before=proof(4, length, [])), branch(b, 4))
    yield bad("fork-root", "A leaf that the path does not lead from.", "proof-root",
              branch(a, 4, leaf=bytes(32)), branch(b, 4))
    nodes = subtrees(4, length)
    wrong = proof(4, length, [bytes(32)] * (1 + len(nodes)))
    yield bad("fork-root-history", "A history that leads to another root.", "proof-root",
              branch(a, 4, before=wrong), branch(b, 4))
    yield ("fork-position", "The index is the length.", refuse("proof-position", BERT, length),
           FORK_FILE + branch(a, 4, before=proof(length, length, [bytes(32)] * 3),
                              path=proof(length, length, []))
           + branch(b, 4, before=proof(length, len(b.records), []),
                    path=proof(length, len(b.records), [])))
    early = grown(9, 2, swarm)
    one, other = sorted([grown(7, 99, swarm), early], key=lambda log: log.id(4))
    yield bad("fork-prefix", "The branches differ before the index.", "fork-prefix",
              branch(one, 4), branch(other, 4))
    same = grown(9, 5, swarm)
    yield bad("fork-leaves", "The branches have one record at the index.", "fork-leaves",
              branch(grown(7, 99, swarm), 4), branch(same, 4))
    yield bad("fork-order", "The greater leaf hash comes first.", "fork-order",
              branch(b, 4), branch(a, 4))


def payloads(_):
    """Payloads alone: the canonical form of event.md."""
    good = u64(1) + text("lost")
    long = u64(1) + text("x" * (v.MAX_BODY - 15))
    finished = {"kind": "66"}
    bad = {"expect": "refuse", "rule": "payload-bytes"}
    yield "payload-one", "The example of event.md.", ACCEPT | finished, good
    for name, title, data in [
        ("empty", "No bytes.", b""),
        ("cut", "The last byte is missing.", good[:-1]),
        ("trailing", "A byte behind the last field.", good + b"\0"),
        ("huge-text", "A text longer than what is left.", u64(1) + u64(1 << 63) + b"lost"),
        ("not-utf8", "A text that is not UTF-8.", u64(1) + u64(1) + b"\xff"),
        ("surrogate", "A surrogate in UTF-8.", u64(1) + u64(3) + b"\xed\xa0\x80"),
        ("too-long", "65,537 bytes.", long),
        ("overlong", "UTF-8 longer than it need be.", u64(1) + u64(2) + b"\xc0\x80"),
    ]:
        yield f"payload-{name}", title, bad | finished, data
    for kind, name, title, expected, data in [
        (10, "bool-2", "A bool of 2.", bad, started("a").replace(b"\1" + u64(1), b"\2" + u64(1))),
        (12, "bool-last", "A bool of 255.", bad, seen()[:-1] + b"\xff"),
        (20, "none", "An option without a value.", ACCEPT, bytes(24) + b"\0"),
        (20, "option-2", "The mark of an option is 2.", bad, bytes(24) + b"\2" + text("a" * 40)),
        (20, "option-value", "A value behind none.", bad, bytes(24) + b"\0" + text("a" * 40)),
        (20, "commit", "A commit that is none decodes.", ACCEPT, bytes(24) + b"\1" + text("Z")),
        (2, "role-1", "The role Agent.", ACCEPT, admitted(BERT, 1, "b")),
        (2, "role-3", "A role that there is not.", bad, admitted(BERT, 3, "b")),
        (48, "exited", "A negative exit code.", ACCEPT,
         u64(1) + bytes(32) + u32(0) + b"\xff" * 4 + bytes(24 + 32)),
        (48, "status-4", "A status that there is not.", bad,
         u64(1) + bytes(32) + u32(4) + bytes(24 + 32)),
        (1, "no-list", "A list of no elements.", ACCEPT, text("x") + u64(0) + bytes(16)),
        (1, "list-huge", "A list of 2^61 keys.", bad, text("x") + u64(1 << 61) + bytes(16)),
        (10, "many-texts", "8,000 empty texts in a list.", ACCEPT,
         text("a") + text("b") + u64(0) + b"\0" + u64(8000) + bytes(8 * 8000)),
        (7, "resolved", "A fork is resolved.", ACCEPT, bytes(32) + u64(4) + bytes(32) + text("r")),
        (9, "rotated", "A key is rotated.", ACCEPT, bytes(96)),
        (9, "rotated-short", "A signature of 63 bytes.", bad, bytes(95)),
    ]:
        yield f"payload-{name}", title, expected | {"kind": str(kind)}, data


def claim(key=ANNA, use=b"claim", **more):
    fields = u16(more.get("form", 1)) + more.get("swarm", bytes(range(32))) + key.public + u64(7)
    fields += TASK + u64(2) + u64(3) + u64(60_000) + bytes(32) + u32(more.get("status", 0))
    fields += more.get("tail", b"")
    return fields + key.sign(use, fields)


def claims(_):
    more = {"swarm": bytes(range(32)).hex()}
    yield "claim-one", "A claim.", ACCEPT | more, claim()
    for name, title, rule, data in [
        ("bytes-short", "A field is cut.", "claim-bytes", claim()[1:]),
        ("bytes-long", "A byte behind the fields.", "claim-bytes", claim(tail=b"\0")),
        ("bytes-status", "A status that there is not.", "claim-bytes", claim(status=4)),
        ("length-short", "63 bytes.", "claim-length", claim()[:63]),
        ("length-long", "1,025 bytes.", "claim-length", claim(tail=bytes(1025 - 230))),
        ("format", "Another format.", "claim-format", claim(form=2)),
        ("swarm", "Another swarm.", "claim-swarm", claim(swarm=bytes(32))),
        ("signature", "Signed for another use.", "claim-signature", claim(use=b"head")),
    ]:
        yield f"claim-{name}", title, refuse(rule) | more, data


def requests(_):
    log = b"\0" * 32 + u64(1) + b"\5" * 32
    frontier = b"\1\1" + b"\t" * 32 + u32(1) + log
    fetch = b"\1\2" + b"\7" * 32 + u64(3) + u32(4)
    yield "request-frontier", "The example of sync.md.", ACCEPT, frontier
    yield "request-fetch", "The example of sync.md.", ACCEPT, fetch
    yield "request-no-logs", "A frontier of no logs.", ACCEPT, b"\1\1" + bytes(36)
    prove = b"\1\3" + b"\7" * 32 + u64(9)
    yield "request-prove", "A proof is asked for.", ACCEPT, prove
    for name, title, rule, data in [
        ("empty", "No bytes.", "message-bytes", b""),
        ("cut", "The last byte is missing.", "message-bytes", fetch[:-1]),
        ("trailing", "A byte too many.", "message-bytes", fetch + b"\0"),
        ("too-long", "Above the limit of a request.", "message-length", bytes(73_767)),
        ("version", "Another version.", "message-version", b"\2" + fetch[1:]),
        ("type", "An unknown type.", "message-type", b"\1\4" + fetch[2:]),
        ("response", "A response for a request.", "message-type", b"\1\x83" + u64(1)),
        ("logs", "1,025 logs.", "frontier-logs", b"\1\1" + bytes(32) + u32(1025)),
        ("logs-cut", "More logs than bytes.", "message-bytes",
         b"\1\1" + bytes(32) + u32(1024) + log),
        ("order", "Logs out of order.", "frontier-order",
         b"\1\1" + bytes(32) + u32(2) + b"\2" * 32 + log[32:] + b"\1" * 32 + log[32:]),
        ("twice", "A log twice.", "frontier-order", frontier[:34] + u32(2) + log + log),
        ("log-empty", "A log of no records.", "message-number",
         frontier[:-40] + u64(0) + log[40:]),
        ("log-too-long", "A log above 2^40.", "message-number",
         frontier[:-40] + u64(v.MAX_LENGTH + 1) + log[40:]),
        ("from", "A fetch from 2^40 on.", "message-number",
         fetch[:34] + u64(v.MAX_LENGTH) + fetch[42:]),
        ("prove-from", "A proof of record 2^40.", "message-number", prove[:34] + u64(v.MAX_LENGTH)),
        ("no-bytes", "A fetch of 0 bytes.", "fetch-bytes", fetch[:-4] + u32(0)),
        ("many-bytes", "A fetch above the limit.", "fetch-bytes", fetch[:-4] + u32(4_194_305)),
    ]:
        yield f"request-{name}", title, refuse(rule), data


def responses(_):
    range_ = World().bert.range()
    yield "response-frontier", "A frontier.", ACCEPT, b"\1\x81" + b"\t" * 32 + u32(0)
    yield "response-range", "A range.", ACCEPT, b"\1\x82" + range_
    yield "response-nothing", "The example of sync.md.", ACCEPT, b"\1\x83" + u64(258)
    log = World().bert
    proven = b"\1\x85" + branch(log, 1)
    yield "response-proof", "A branch of a fork proof.", ACCEPT, proven
    yield "response-busy", "The example of sync.md.", ACCEPT, b"\1\x84\6"
    for name, title, rule, data in [
        ("range-bytes", "A range that is cut.", "range-bytes", b"\1\x82" + range_[:-1]),
        ("proof-cut", "A proof that is cut.", "proof-bytes", proven[:-1]),
        ("proof-trailing", "A byte behind the proof.", "message-bytes", proven + b"\0"),
        ("proof-head", "A head of length 0.", "head-bytes",
         proven[:66] + u64(0) + proven[74:]),
        ("proof-hashes", "129 hashes.", "proof-hashes",
         b"\1\x85" + branch(log, 1, path=proof(1, 3, [bytes(32)] * 129))),
        ("nothing-too-long", "A log above 2^40.", "message-number", b"\1\x83" + u64(v.MAX_LENGTH + 1)),
        ("refusal-0", "No reason.", "refusal-reason", b"\1\x84\0"),
        ("refusal-9", "An unknown reason.", "refusal-reason", b"\1\x84\x09"),
        ("trailing", "A byte too many.", "message-bytes", b"\1\x84\6\0"),
        ("request", "A request for a response.", "message-type", b"\1\2"),
    ]:
        yield f"response-{name}", title, refuse(rule), data


def hashes(_):
    """Hashes of identity.md: the context, the input, and what comes out."""
    for name, context, data in [
        ("leaf", "leaf", bytes(32) + b"head"),
        ("parent", "parent", bytes(32) + b"\1" * 32),
        ("root-empty", "root", u64(0)),
        ("root-three", "root", u64(3) + bytes(32) + b"\1" * 32),
        ("body-empty", "body", b""),
        ("body", "body", b"body"),
        ("swarm", "swarm", bytes(32)),
        ("task", "task", u64(1) + b"tally"),
    ]:
        more = {"context": f"bzzz v1 {context}", "hash": derive(context, data).hex()}
        yield f"hash-{name}", f"The hash for {context}.", ACCEPT | more, data


def bundles_of_lives():
    """Tasks of which much is said, much of it refused. Erin answers for people."""
    for seed in range(1, 5):
        world = World()
        cara, erin = Log(CARA, world.swarm), Log(STRANGER, world.swarm)
        world.anna.say(START + 5, 2, admitted(CARA, 1, "cara"))
        world.anna.say(START + 6, 2, admitted(STRANGER, 2, "erin"))
        lives.live(seed, [world.bert, cara, erin], TASK, START + 7, 300)
        logs = [log for log in (world.anna, world.bert, cara, erin) if log.records]
        yield f"life-{seed}", "Much is said of a task.", ACCEPT, with_digest(*logs)


# checkpoint.md.

DASH = "\u2014 "


def b64(data):
    return base64.b64encode(data).decode()


def entries(log):
    return [tlog.leaf_hash(data[3 : 3 + int.from_bytes(data[:2], "little")]) for data in log.records]


def origin(log):
    return f"bzzz/{log.swarm.hex()}/{log.key.public.hex()}"


def text_of(log, **more):
    """The text of a checkpoint of all records."""
    lines = [
        more.get("origin", origin(log)),
        str(more.get("length", len(log.records))),
        more.get("root", b64(tlog.root(entries(log)))),
        more.get("head", "bzzz-root " + b64(tree_root(log.leaves()))),
    ]
    return "".join(line + "\n" for line in lines)


def plain(key, message):
    return nacl.bindings.crypto_sign(message, key.secret)[:64]


def line_of(name, algorithm, key, signature):
    ident = hashlib.sha256(name.encode() + b"\n" + bytes([algorithm]) + key.public).digest()[:4]
    return f"{DASH}{name} {b64(ident + signature)}\n"


def signature_of(log, said, **more):
    name, key = more.get("name", origin(log)), more.get("key", log.key)
    signature = more.get("signature") or plain(key, more.get("over", said).encode())
    return line_of(name, more.get("algorithm", 1), key, signature)


def noted(said, *lines):
    return (said + "\n" + "".join(lines)).encode()


def checkpoint_of(log, **more):
    said = text_of(log, **more)
    return noted(said, signature_of(log, said))


WITNESS = "witness.example/w1"
WITNESS_KEY = f"{WITNESS}+" + hashlib.sha256(
    WITNESS.encode() + b"\n\4" + CARA.public).hexdigest()[:8] + "+" + b64(b"\4" + CARA.public)


def cosignature(said, time=1_770_000_000, **more):
    message = more.get("message", f"cosignature/v1\ntime {time}\n{said}").encode()
    signature = time.to_bytes(8, "big") + plain(CARA, message) + more.get("behind", b"")
    return line_of(WITNESS, 4, CARA, signature)


def checkpoints(_):
    log = World().bert
    expected = {"swarm": log.swarm.hex(), "log": BERT.public.hex()}

    def refused(rule, detail=None):
        return refuse(rule, **({"detail": detail} if detail else {})) | expected

    said = text_of(log)
    own = signature_of(log, said)
    good = noted(said, own)
    other = line_of("example.com/else", 1, STRANGER, bytes(64))
    fine = ACCEPT | expected
    yield "one", "A checkpoint of 3 records.", fine, good
    single = Log(BERT, log.swarm)
    single.say(START + 2, 10, started("bert"))
    yield "one-record", "A checkpoint of 1 record.", fine, checkpoint_of(single)
    unknown = "Signatures of other names, keys and algorithms are passed over."
    alike = line_of(origin(log), 2, BERT, b"x") + line_of(origin(log), 1, STRANGER, bytes(64))
    yield "other-signatures", unknown, fine, noted(said, other, alike, own, cosignature(said))
    yield "twice", "Two good signatures of the author's key.", fine, noted(said, own, own)
    yield "many", "64 signatures.", fine, noted(said, own, *[other] * 63)
    name = other.replace("example.com/else", "\u00e9l\u200bm")
    yield "name", "A name with characters beyond ASCII, none of them a space.", fine, noted(said, name, own)
    long = line_of("example.com/else", 6, STRANGER, bytes(6000))
    yield "long", "Signatures of 6,000 bytes, below the limit.", fine, noted(said, own, *[long] * 16)

    size = refused("note-bytes", "size")
    yield "note-size", "A note above the limit.", size, noted(said, own, *[long] * 17)
    characters = refused("note-bytes", "characters")
    yield "note-tab", "A tab.", characters, good.replace(b"\n3\n", b"\n3\t\n")
    yield "note-utf-8", "An em dash that is cut.", characters, good.replace("\u2014".encode(), b"\xe2\x80")
    yield "note-overlong", "A newline in two bytes.", characters, good.replace(b"\n3\n", b"\xc0\x8a3\n")
    parts = refused("note-bytes", "parts")
    yield "note-empty", "No bytes.", parts, b""
    yield "note-no-empty-line", "No empty line.", parts, said.encode() + own.encode()
    yield "note-no-end", "The last newline is missing.", parts, good[:-1]
    yield "note-no-signature", "Nothing behind the empty line.", parts, noted(said)
    line = refused("note-bytes", "signature")
    for name, title, wrong in [
        ("dash", "A hyphen in place of the em dash.", own.replace("\u2014", "-")),
        ("space", "Two spaces before the base 64.", own.replace(" ", "  ").replace("\u2014  ", DASH)),
        ("name-space", "A name with a no-break space.", other.replace("/", "\u00a0")),
        ("name-line", "A name with a line separator.", other.replace("/", "\u2028")),
        ("name-plus", "A name with a plus.", other.replace("/", "+")),
        ("name-empty", "An empty name.", f"{DASH} {other.split(' ')[2]}"),
        ("short", "A signature of no byte.", f"{DASH}a {b64(bytes(4))}\n"),
        ("base64", "Base 64 with other bits behind the last byte.", own[:-3] + chr(ord(own[-3]) + 1) + "=\n"),
        ("padding", "Base 64 without its padding.", own[:-2] + "\n"),
        ("url", "Base 64 with the digits for addresses.", f"{DASH}a -_-_-_-_\n"),
        ("word", "A third word.", own[:-1] + " x\n"),
    ]:
        yield f"note-signature-{name}", title, line, noted(said, own, wrong)
    yield "note-count", "65 signatures.", refused("note-bytes", "count"), noted(said, own, *[other] * 64)

    short, longer = said.rsplit("\n", 2)[0] + "\n", said + "bzzz-more\n"
    lines = refused("checkpoint-text", "lines")
    yield "lines-three", "Three lines, without our root.", lines, noted(short, signature_of(log, short))
    yield "lines-five", "Five lines.", lines, noted(longer, signature_of(log, longer))
    blank = said.replace("\n3\n", "\n\n3\n")
    yield "lines-empty", "An empty line in the text.", lines, noted(blank, signature_of(log, blank))
    start, number = origin(log), "3"
    for detail, name, title, value in [
        ("origin", "case", "Digits of the author in upper case.", start[:70] + start[70:].upper()),
        ("origin", "word", "Another first word.", start.replace("bzzz", "bzz")),
        ("origin", "short", "A digit less.", start[:-1]),
        ("origin", "more", "A word more.", start + "/x"),
        ("origin", "space", "A space behind the origin.", start + " "),
        ("length", "zero", "Length 0.", "0"),
        ("length", "beyond", "Length 2^40 + 1.", str((1 << 40) + 1)),
        ("length", "zeros", "A zero before the length.", "0" + number),
        ("length", "sign", "A plus before the length.", "+" + number),
        ("length", "space", "A space behind the length.", number + " "),
        ("length", "empty-word", "No number.", "x"),
        ("length", "huge", "A length beyond 2^64.", str((1 << 64) + 3)),
        ("root", "short", "A root of 31 bytes.", b64(bytes(31))),
        ("root", "long", "A root of 33 bytes.", b64(bytes(33))),
        ("root", "base64", "A root with other bits behind its end.", b64(bytes(32))[:-2] + "B="),
        ("root", "space", "A space behind the root.", b64(bytes(32)) + " "),
        ("head", "word", "Another word before our root.", "bzzz_root " + b64(bytes(32))),
        ("head", "short", "Our root has 31 bytes.", "bzzz-root " + b64(bytes(31))),
        ("head", "space", "Two spaces before our root.", "bzzz-root  " + b64(bytes(32))),
    ]:
        wrong = checkpoint_of(log, **{detail: value})
        yield f"{detail}-{name}", title, refused("checkpoint-text", detail), wrong

    anna = Log(ANNA, log.swarm)
    anna.say(START + 2, 10, started("anna"))
    yield "author", "A checkpoint of another author.", refused("checkpoint-author"), checkpoint_of(anna)
    away = Log(BERT, bytes(32))
    away.say(START + 2, 10, started("bert"))
    yield "swarm", "A checkpoint of another swarm.", refused("checkpoint-swarm"), checkpoint_of(away)
    missing = refused("checkpoint-signature", "missing")
    yield "unsigned", "Signed by somebody else alone.", missing, noted(said, other)
    key = signature_of(log, said, key=STRANGER)
    yield "unsigned-key", "Another key under the author's name.", missing, noted(said, key)
    name = signature_of(log, said, name="bzzz/bert")
    yield "unsigned-name", "The author's key under another name.", missing, noted(said, name)
    mismatch = refused("checkpoint-signature", "mismatch")
    wrong = signature_of(log, said, over=said + "\n")
    yield "signature", "A signature over another text.", mismatch, noted(said, wrong)
    yield "signature-text", "A text that was changed.", mismatch, noted(text_of(log, length=2), own)
    yield "signature-second", "A good signature, and a bad one of the same key.", mismatch, noted(said, own, wrong)
    use = signature_of(log, said, signature=BERT.sign(b"head", said.encode()))
    yield "signature-use", "A signature with a context of bzzz.", mismatch, noted(said, use)
    cut = signature_of(log, said, signature=plain(BERT, said.encode())[:63])
    yield "signature-short", "A signature of 63 bytes.", mismatch, noted(said, cut)
    weak = (1).to_bytes(32, "little")
    claimed = text_of(log, origin=f"bzzz/{log.swarm.hex()}/{weak.hex()}")
    ident = hashlib.sha256(claimed.split("\n")[0].encode() + b"\n\1" + weak).digest()[:4]
    forged = f"{DASH}{claimed.split(chr(10))[0]} {b64(ident + weak + bytes(32))}\n"
    yield ("signature-key", "A key of small order, whose signatures anybody makes.",
           refuse("checkpoint-signature", detail="key") | expected | {"log": weak.hex()}, noted(claimed, forged))

    asked = expected | {"cosigner": WITNESS_KEY}
    yield "cosigned", "A cosignature.", ACCEPT | asked, noted(said, own, cosignature(said))
    last = cosignature(said, time=(1 << 63) - 1)
    yield "cosigned-last", "A cosignature of the last second.", ACCEPT | asked, noted(said, own, last)
    twice = noted(said, own, cosignature(said), cosignature(said, time=1_770_000_060))
    yield "cosigned-twice", "Two cosignatures of one witness.", ACCEPT | asked, twice
    broken = refuse("checkpoint-cosignature", detail="mismatch") | asked
    for name, title, wrong in [
        ("text", "A cosignature of another text.", cosignature(text_of(log, length=2))),
        ("time", "A cosignature whose time was changed.",
         cosignature(said, message=f"cosignature/v1\ntime 1\n{said}")),
        ("plain", "A cosigner's signature without a time in it.", cosignature(said, message=said)),
        ("long", "A cosignature of 73 bytes.", cosignature(said, behind=b"\0")),
        ("beyond", "A cosignature of a time of 2^63.", cosignature(said, time=1 << 63)),
    ]:
        yield f"cosignature-{name}", title, broken, noted(said, own, wrong)


def grown_log(count):
    log = Log(BERT, World().swarm)
    for index in range(count):
        log.write(START + index, 66, u64(index) + text("lost"), task=TASK)
    log.seal()
    return log


def proof_of(log, index, **more):
    """The bytes of a tlog-proof file."""
    leaves = entries(log)
    runs = tlog.path(index, len(leaves))
    hashes = more.get("hashes", [b64(tlog.root(leaves[a:b])) for a, b in runs])
    extra = more.get("extra", "extra " + b64(more.get("record", log.records[min(index, len(leaves) - 1)])))
    lines = ["c2sp.org/tlog-proof@v1", extra, more.get("number", f"index {index}"), *hashes, ""]
    lines = [line for line in lines if line is not None]
    return "".join(line + "\n" for line in lines).encode() + more.get("note", checkpoint_of(log))


def tlog_proofs(_):
    log = World().bert
    expected = {"swarm": log.swarm.hex(), "log": BERT.public.hex()}

    def refused(rule, detail=None):
        return refuse(rule, **({"detail": detail} if detail else {})) | expected

    good = proof_of(log, 1)
    fine = ACCEPT | expected
    yield "one", "Event 1 of 3.", fine, good
    for index, count in [(0, 1), (0, 2), (6, 7), (3, 7), (12, 13), (9, 13), (255, 256), (256, 300), (299, 300)]:
        yield f"{index}-of-{count}", f"Record {index} of {count}.", fine, proof_of(grown_log(count), index)
    absent = record(log.records[1][3:92], b"", 0)
    yield "absent", "An event without its payload.", fine, proof_of(log, 1, record=absent)
    yield "cosigned", "With a signature that nobody asked for.", fine, good + cosignature(text_of(log)).encode()

    magic = refused("proof-magic")
    yield "magic", "Another version.", magic, good.replace(b"@v1", b"@v2")
    yield "magic-line", "A carriage return behind the first line.", magic, good.replace(b"@v1", b"@v1\r")
    yield "magic-none", "No bytes.", magic, b""
    cut = refused("proof-bytes", "bytes")
    lines = good.split(b"\n")
    yield "extra-none", "No record.", cut, proof_of(log, 1, extra=None)
    yield "extra-word", "Another word before the record.", cut, good.replace(b"extra ", b"Extra ")
    yield "extra-base64", "The record's base 64 is cut.", cut, good.replace(lines[1], lines[1][:-1])
    yield "extra-end", "The file ends in the record.", cut, good[:100]
    for name, title, value in [
        ("zeros", "A zero before the index.", "index 01"),
        ("sign", "A negative index.", "index -1"),
        ("none", "No index.", "index "),
        ("word", "Another word before the index.", "Index 1"),
        ("huge", "An index of 2^64.", f"index {1 << 64}"),
    ]:
        yield f"index-{name}", title, cut, proof_of(log, 1, number=value)
    yield "hash-short", "A hash of 31 bytes.", cut, proof_of(log, 1, hashes=[b64(bytes(31))] * 2)
    yield "hash-base64", "A hash with a space behind it.", cut, proof_of(log, 1, hashes=[b64(bytes(32)) + " "] * 2)
    yield "hash-end", "The file ends behind the hashes.", cut, b"\n".join(lines[:5]) + b"\n"
    size = good.replace(lines[1], b"extra " + b64(bytes(200_000)).encode())
    yield "size", "A file above the limit.", cut, size
    yield "hashes-64", "64 hashes.", refused("proof-hashes"), proof_of(log, 1, hashes=[b64(bytes(32))] * 64)
    yield ("note", "No checkpoint.", refused("note-bytes", "parts"), proof_of(log, 1, note=b""))
    three = text_of(log).rsplit("\n", 2)[0] + "\n"
    yield ("text", "A checkpoint of three lines.", refused("checkpoint-text", "lines"),
           proof_of(log, 1, note=noted(three, signature_of(log, three))))
    mark = log.records[1][:2] + b"\2" + log.records[1][3:]
    yield "record-bytes", "A mark of 2.", refused("record-bytes", "mark"), proof_of(log, 1, record=mark)
    anna = Log(ANNA, log.swarm)
    anna.say(START + 2, 10, started("anna"))
    yield "author", "A proof of another author's log.", refused("checkpoint-author"), proof_of(anna, 0)
    away = Log(BERT, bytes(32))
    away.say(START + 2, 10, started("bert"))
    yield "swarm", "A proof of another swarm's log.", refused("checkpoint-swarm"), proof_of(away, 0)
    body = log.records[1][:-1] + b"\2"
    yield "record-body-hash", "A changed payload.", refused("record-body-hash"), proof_of(log, 1, record=body)
    yield "position", "Index 3 of 3.", refused("proof-position"), proof_of(log, 1, number="index 3")
    yield "hashes-few", "A hash is missing.", refused("proof-hashes"), proof_of(log, 1, hashes=[b64(bytes(32))])
    yield "hashes-many", "A hash too many.", refused("proof-hashes"), proof_of(log, 1, hashes=[b64(bytes(32))] * 3)
    yield "root", "The record of another index.", refused("proof-root"), proof_of(log, 1, record=log.records[0])
    swapped = [b64(tlog.root(entries(log)[a:b])) for a, b in tlog.path(1, 3)][::-1]
    yield "root-swapped", "The hashes in another order.", refused("proof-root"), proof_of(log, 1, hashes=swapped)
    ours = [b64(one) for one in (log.leaves()[0], log.leaves()[2])]
    yield "root-ours", "Hashes of the tree of log.md.", refused("proof-root"), proof_of(log, 1, hashes=ours)
    wrong = noted(text_of(log), signature_of(log, text_of(log), over="x"))
    yield ("signature", "A checkpoint that its author did not sign.",
           refused("checkpoint-signature", "mismatch"), proof_of(log, 1, note=wrong))
    for name, title, rule, detail, own in [
        ("event-header", "Nine causes.", "event-header", "causes",
         header(66, 1, START + 3, b"x", causes=[bytes(32)] * 9)),
        ("event-header-short", "A header without the number of causes.", "event-header", "bytes",
         bytes(52) + u32(1) + derive("body", b"x")),
        ("event-seq", "The header names another index.", "event-seq", "",
         header(66, 2, START + 3, b"x")),
    ]:
        bad = Log(BERT, log.swarm)
        bad.say(START + 2, 10, started("bert"))
        bad.records.append(record(own, b"x"))
        yield name, title, refused(rule, detail), proof_of(bad, 1)


def bundles(version):
    yield from bundles_that_verify(version)
    yield from bundles_of_parts()
    yield from bundles_of_ranges()
    yield from bundles_of_logs()
    yield from bundles_of_manifests()
    yield from bundles_of_lives()


FORMATS = {
    "bundle": bundles,
    "event-file": event_files,
    "heads-file": heads_files,
    "fork-file": forks,
    "head": heads,
    "record": records,
    "inclusion": inclusions,
    "consistency": consistencies,
    "payload": payloads,
    "claim": claims,
    "request": requests,
    "response": responses,
    "hash": hashes,
    "checkpoint": checkpoints,
    "tlog-proof": tlog_proofs,
}


def main(folder):
    os.makedirs(folder, exist_ok=True)
    written = set()
    for form, cases in FORMATS.items():
        for name, title, expected, data in cases(fold.VERSION):
            prefix = form if form == "tlog-proof" else form.split("-")[0]
            name = name if name.startswith(prefix) else f"{form}-{name}"
            path = os.path.join(folder, f"{name}.txt")
            if path in written:
                raise SystemExit(f"two cases have the name {name}")
            written.add(path)
            lines = {"format": form, "title": title} | expected
            digits = data.hex()
            rows = [digits[at : at + 64] for at in range(0, len(digits), 64)]
            with open(path, "w", encoding="ascii") as file:
                file.write("".join(f"{key}: {value}\n" for key, value in lines.items()))
                file.write("\n" + "".join(f"{row}\n" for row in rows))
    for name in os.listdir(folder):
        if name.endswith(".txt") and os.path.join(folder, name) not in written:
            os.remove(os.path.join(folder, name))
    print(f"{len(written)} vectors in {folder}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
