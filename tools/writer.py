"""Writes valid bytes of every format of schema/, for the vectors: keys, events, logs, heads, proofs,
bundles, and a small swarm. Nothing of it is taken from tools/verify.py but hashes and the trees' shapes.
"""

import hashlib

import nacl.bindings

import fold
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
        return leaf(self.key.public, self.records[index])

    def event(self, index):
        return v.read_event(self.key.public, index, v.read_record(self.records[index]))

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


def written(logs):
    """The events of logs."""
    return [log.event(index) for log in logs for index in range(len(log.records))]


def refused(logs):
    """The refusals of tasks and sessions."""
    found = fold.fold(written(logs), logs[0].swarm)
    about = [*found.tasks.values(), *found.sessions.values()]
    return [refusal for one in about for refusal in one.refusals.first]


def digest_of(*logs):
    """The digest of the state that whole logs lead to."""
    return fold.fold(written(logs), logs[0].swarm).digest()


# What a vector's header says.


def refuse(rule, key=None, index=None, **more):
    expected = {"expect": "refuse", "rule": rule}
    expected |= {name: str(value) for name, value in more.items() if name in ("detail", "fold")}
    if key is not None:
        expected["author"] = (key if isinstance(key, bytes) else key.public).hex()
    if index is not None:
        expected["index"] = str(index)
    return expected


ACCEPT = {"expect": "accept"}


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


def with_digest(*logs, **more):
    """A bundle of whole logs, with the digest of their state."""
    said = {"version": fold.VERSION, "digest": digest_of(*logs)}
    return bundle(logs[0].swarm, logs, **said, **more)


def branch(log, index, **more):
    leaves = log.leaves()
    length = len(leaves)
    parts = [more.get("head", log.heads[-1])]
    parts += [more.get("before") or consistency(leaves, index, length)]
    parts += [more.get("leaf") or leaves[index]]
    parts += [more.get("path") or inclusion(leaves, index, length)]
    return b"".join(parts)


def broken_headers(swarm):
    """Logs of Bert whose second record has a broken header: name, title, rule, detail, log."""
    for name, title, rule, detail, own in [
        ("event-header", "Nine causes.", "event-header", "causes",
         header(66, 1, START + 3, b"x", causes=[bytes(32)] * 9)),
        ("event-header-short", "A header without the number of causes.", "event-header", "bytes",
         bytes(52) + u32(1) + derive("body", b"x")),
        ("event-seq", "The header names another index.", "event-seq", "",
         header(66, 2, START + 3, b"x")),
    ]:
        log = Log(BERT, swarm)
        log.say(START + 2, 10, started("bert"))
        log.records.append(record(own, b"x"))
        log.clocks.append(START + 3)
        log.seal()
        yield name, title, rule, detail, log
