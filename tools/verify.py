"""Verifies bundles, proofs, fork proofs and checkpoints of bzzz, in Python.

    python3 tools/verify.py [bundle|proof|fork|checkpoint|tlog-proof] FILE [--author KEY] [--swarm ID] [--json]

A second verifier, written from the pages of schema/ and from nothing else: no code of bzzz is in it,
and the comments name the page of each rule. It needs Python 3.11, and `blake3` and `PyNaCl` from PyPI.

It ends with 0 if everything that it checked holds, with 1 if a rule is broken (author, index and rule
are named), and with 2 if it could not check: wrong usage, or the file could not be read. It holds a
bundle's records in memory. State digests of versions that tools/fold.py has not are listed as not checked.
"""

import json
import struct
import sys
from dataclasses import dataclass, field

import blake3
import nacl.bindings
import nacl.exceptions

# The limits, from identity.md, log.md, head.md, event.md, proof.md, bundle.md.
MAX_LENGTH = 1 << 40
MIN_HEADER, MAX_HEADER = 36, 512
MAX_BODY = 65_536
MAX_CAUSES = 8
MAX_HASHES = 128
HEAD_BYTES = 176
MIN_RECORD = 39
MAX_RANGE = 8_388_608
MAX_LOGS = 65_536
MAX_MANIFEST = 178 + 72 * MAX_LOGS
MAX_PROOF_FILE = 74_000


class Broken(Exception):
    """A rule that is broken: its name, in detail how, and where."""

    def __init__(self, rule, what, detail="", author=None, index=None, offset=0):
        super().__init__(what)
        self.rule, self.what, self.detail = rule, what, detail
        self.author, self.index, self.offset = author, index, offset


class Ended(Exception):
    """Bytes ended before a field did, or went on behind the last one."""


class Cursor:
    """Reads fields from left to right and never past the end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, size):
        if size > self.left():
            raise Ended(f"{size} bytes are wanted at {self.at}, and {self.left()} are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def end(self):
        if self.left():
            raise Ended(f"{self.left()} bytes are left at {self.at}")


# identity.md: hashes and signatures.


def derive(context, *parts):
    return blake3.blake3(b"".join(parts), derive_key_context="bzzz v1 " + context).digest()


def u64(number):
    return number.to_bytes(8, "little")


FIELD = 2**255 - 19
EIGHTH = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
# The y of the points whose order divides 8 (identity.md).
SMALL_ORDER = {0, 1, FIELD - 1, EIGHTH % FIELD, (-EIGHTH) % FIELD}


def is_small_order(point):
    y = int.from_bytes(point, "little") & ((1 << 255) - 1)
    return y % FIELD in SMALL_ORDER


def is_point(encoded):
    """Whether a y has an x on the curve -x^2 + y^2 = 1 + d x^2 y^2."""
    y = (int.from_bytes(encoded, "little") & ((1 << 255) - 1)) % FIELD
    d = -121665 * pow(121666, -1, FIELD)
    square = (y * y - 1) * pow(d * y * y + 1, -1, FIELD) % FIELD
    return pow(square, (FIELD - 1) // 2, FIELD) <= 1


def opens(signature, message, key):
    """Whether PyNaCl takes the signature: no cofactor, and S below the group's order."""
    try:
        nacl.bindings.crypto_sign_open(signature + message, key)
    except nacl.exceptions.BadSignatureError:
        return False
    return True


def verify_signature(author, use, message, signature):
    """Raises `Broken` with the detail `key` or `mismatch`."""
    if is_small_order(author):
        raise Broken("signature", "the author's key is of small order", "key")
    if is_small_order(signature[:32]):
        raise Broken("signature", "the signature's R is of small order", "mismatch")
    message = b"bzzz v1 " + use + b"\0" + message
    if not opens(signature, message, author):
        if not is_point(author):
            raise Broken("signature", "the author's key is no point", "key")
        raise Broken("signature", "the signature does not verify", "mismatch")


# log.md: records and the tree.


@dataclass
class Record:
    header: bytes
    body: bytes | None
    body_hash: bytes

    def leaf(self, author):
        return derive("leaf", author, self.header)

    def check_body(self):
        if self.body is not None and derive("body", self.body) != self.body_hash:
            raise Broken("record-body-hash", "the body is not the one of its header")


def read_record(data):
    def broken(detail, what):
        return Broken("record-bytes", what, detail)

    if len(data) < 3:
        raise broken("size", f"a record of {len(data)} bytes")
    header_len, mark = int.from_bytes(data[:2], "little"), data[2]
    if not MIN_HEADER <= header_len <= MAX_HEADER:
        raise broken("header", f"a header of {header_len} bytes")
    if mark > 1:
        raise broken("mark", f"the mark of a present body is {mark}")
    end = 3 + header_len
    if len(data) < end:
        raise broken("size", f"a record of {len(data)} bytes, and its header ends at {end}")
    body_len = int.from_bytes(data[end - 36 : end - 32], "little")
    if body_len > MAX_BODY:
        raise broken("body", f"a body of {body_len} bytes")
    if body_len == 0 and mark == 0:
        raise broken("empty-body", "an empty body is marked as absent")
    expected = end + (body_len if mark else 0)
    if len(data) != expected:
        raise broken("size", f"a record of {len(data)} bytes, and its lengths demand {expected}")
    return Record(data[3:end], data[end:] if mark else None, data[end - 32 : end])


def parent(left, right):
    return derive("parent", left, right)


def root(length, peaks):
    return derive("root", u64(length), *peaks)


def subtrees(start, end):
    """The largest complete subtrees over the records from `start` to `end`: (height, offset)."""
    nodes = []
    while start < end:
        height = (end - start).bit_length() - 1
        if start:
            height = min(height, (start & -start).bit_length() - 1)
        nodes.append((height, start >> height))
        start += 1 << height
    return nodes


class Peaks:
    """The peaks of a growing log."""

    def __init__(self, length=0, hashes=()):
        self.length, self.hashes = length, list(hashes)

    def push(self, node, height=0):
        offset = self.length >> height
        self.length += 1 << height
        while offset & 1:
            node = parent(self.hashes.pop(), node)
            offset >>= 1
        self.hashes.append(node)

    def root(self):
        return root(self.length, self.hashes)


def tree_root(leaves):
    peaks = Peaks()
    for leaf in leaves:
        peaks.push(leaf)
    return peaks.root()


# head.md.


@dataclass
class Head:
    swarm: bytes
    author: bytes
    length: int
    root: bytes
    clock: int
    signature: bytes
    signed: bytes

    def verify(self, swarm):
        if self.swarm != swarm:
            raise Broken("head-swarm", f"the head is of swarm {self.swarm.hex()}")
        try:
            verify_signature(self.author, b"head", self.signed, self.signature)
        except Broken as broken:
            raise Broken("head-signature", broken.what, broken.detail) from None


def read_head(data):
    if len(data) != HEAD_BYTES:
        raise Broken("head-bytes", f"a head of {len(data)} bytes", "size")
    swarm, author, length, head_root, clock, signature = struct.unpack("<32s32sQ32sQ64s", data)
    if not 1 <= length <= MAX_LENGTH:
        raise Broken("head-bytes", f"a head of length {length}", "length")
    return Head(swarm, author, length, head_root, clock, signature, data[:112])


# event.md.


@dataclass
class Event:
    author: bytes
    id: bytes
    format: int
    kind: int
    seq: int
    clock: int
    task: bytes
    causes: list
    body: bytes | None

    def place(self):
        return (self.clock, self.author, self.seq)


def read_event(author, index, record):
    cursor = Cursor(record.header)
    try:
        form, kind, seq, clock = (cursor.number(size) for size in (2, 2, 8, 8))
        task = cursor.take(32)
        count = cursor.number(1)
        if count > MAX_CAUSES:
            raise Broken("event-header", f"{count} causes", "causes")
        causes = [cursor.take(32) for _ in range(count)]
        cursor.take(36)
        cursor.end()
    except Ended as error:
        raise Broken("event-header", f"the header's bytes: {error}", "bytes") from None
    if seq != index:
        raise Broken("event-seq", f"the header says index {seq}, and it stands at {index}")
    leaf = record.leaf(author)
    return Event(author, leaf, form, kind, seq, clock, task, causes, record.body)


class Malformed(Exception):
    """A payload is not one of its kind."""


class Payload(Cursor):
    """Reads payloads: event.md, "Payload encoding"."""

    def u8(self):
        return self.number(1)

    def u32(self):
        return self.number(4)

    def u64(self):
        return self.number(8)

    def i32(self):
        return int.from_bytes(self.take(4), "little", signed=True)

    def flag(self):
        value = self.number(1)
        if value > 1:
            raise Malformed(f"a mark of {value}")
        return value == 1

    def key(self):
        return self.take(32)

    def bytes(self):
        return self.take(self.u64())

    def text(self):
        try:
            return self.bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("a text that is not UTF-8") from None

    def list(self, *element):
        count = self.u64()
        if count > self.left():
            raise Malformed(f"a list of {count} in {self.left()} bytes")
        return [self.fields(*element) for _ in range(count)]

    def option(self, *element):
        return self.fields(*element) if self.flag() else None

    def choice(self, *variants):
        number = self.u32()
        if number >= len(variants):
            raise Malformed(f"variant {number} of {len(variants)}")
        return (number, self.fields(*variants[number]))

    def fields(self, *types):
        return [self.field(kind) for kind in types]

    def field(self, kind):
        if isinstance(kind, tuple):
            return getattr(self, kind[0])(*kind[1:])
        if isinstance(kind, int):
            return self.take(kind)
        return getattr(self, kind)()


def payload_types():
    """kinds.md. A number stands for that many bytes, a commit is a text."""
    key, hash_, id_, text, u32, u64_ = "key", "key", "key", "text", "u32", "u64"
    epoch, commit, flag, raw = "u64", "text", "flag", "bytes"
    texts, plan = ("list", text), [text] + 4 * [("list", text)]
    role, verdict, purpose = (("choice",) + n * ((),) for n in (3, 3, 5))
    act, help_, source, subject = (("choice",) + n * ((),) for n in (3, 3, 2, 3))
    stream, status = (("choice",) + n * ((),) for n in (2, 4))
    pull, checks, reviews = (("choice",) + n * ((),) for n in (3, 4, 4))
    ended = ("choice", ("i32",), (), (text,), (text,))
    holder = ("option", key, u64_)
    return {
        1: [text, ("list", key), 16],
        2: [key, role, text],
        3: [key, u64_, text],
        4: [u32, ("list", key, u64_), hash_],
        5: [("list", key, u64_, hash_, u64_, 64)],
        6: [raw],
        7: [key, u64_, hash_, text],
        8: [id_, key, u64_, text],
        9: [key, 64],
        10: [text, text, u64_, flag, texts],
        11: [text, text, text],
        12: [text, u64_, text, text, texts, ("list", u64_), flag],
        13: [text, flag, text, text],
        20: [epoch, u64_, u64_, ("option", commit)],
        21: [id_, epoch, commit],
        22: [epoch, ("option", commit), holder],
        23: [epoch, u64_, commit, status, text],
        24: [key, epoch, commit, status],
        25: [key, epoch, commit, u64_],
        26: [id_, epoch, text],
        27: [epoch, commit],
        30: [epoch, u32, *plan, u64_],
        31: [epoch, id_, verdict, text],
        32: [epoch, id_, ("list", id_)],
        33: [epoch, id_, text],
        40: [epoch, u64_, text, commit],
        41: [epoch, text],
        42: [epoch, purpose, u32, hash_, text],
        43: [id_, epoch, purpose, text, text, ("option", u64_), ("option", u64_)],
        44: [id_, epoch, purpose, text],
        45: [id_, epoch, purpose, text],
        46: [epoch, u32, text, text, u32],
        47: [epoch, id_, u32, stream, u64_, raw],
        48: [epoch, id_, ended, u64_, u64_, u64_, hash_],
        49: [epoch, text],
        50: [epoch, text],
        51: [epoch, id_, u32, u64_],
        52: [epoch, id_, text, u32, u32],
        53: [epoch, text, texts, text, texts],
        60: [epoch, text, commit, u32, u32, u32],
        61: [epoch, text, commit, commit],
        62: [epoch, text],
        63: [epoch, u64_, text],
        64: [epoch, text, text],
        65: [epoch, text, text],
        66: [epoch, text],
        67: [epoch, u64_, pull, text, checks, reviews, text],
        68: [epoch, id_, ("option", text, commit)],
        69: [epoch, id_, u32],
        70: [epoch, id_, text, text],
        71: [epoch, id_, text, text, text],
        80: [epoch, ("option", id_), act, text, u64_],
        81: [epoch, texts, text, u64_],
        82: [epoch, id_, help_, text, texts, u64_],
        83: [epoch, id_],
        84: [epoch, key, id_, ("option", text, commit), commit],
        85: [text, u64_, source, u32, texts],
        86: [epoch, subject, hash_, text, text, u64_],
        87: [epoch, id_, hash_, flag, text],
        88: [epoch, u32, u32, u32, u32, u64_, u64_],
        90: [("list", text, u64_, u64_), u32, text, texts, u64_],
        91: [id_, flag, text],
        92: [id_, u32, act, text],
        93: [id_, u32, ("list", id_)],
        94: [id_, text],
    }


PAYLOADS = payload_types()


def read_payload(kind, data):
    """The fields of a payload of a known kind."""
    if len(data) > MAX_BODY:
        raise Malformed(f"a payload of {len(data)} bytes")
    cursor = Payload(data)
    try:
        fields = cursor.fields(*PAYLOADS[kind])
        cursor.end()
    except Ended as error:
        raise Malformed(str(error)) from None
    return fields


# proof.md.


def own_peak(index, length):
    """The peaks of the length, and which of them covers the index."""
    peaks = subtrees(0, length)
    for number, (height, offset) in enumerate(peaks):
        if index < (offset + 1) << height:
            return peaks, number
    raise AssertionError("the peaks cover every index below the length")


@dataclass
class Proof:
    """An inclusion proof (a: index, b: length) or a consistency proof (a: from, b: to)."""

    a: int
    b: int
    hashes: list

    def counted(self, expected):
        if len(self.hashes) != expected:
            what = f"a proof of {len(self.hashes)} hashes, and {expected} are demanded"
            raise Broken("proof-hashes", what)

    def included(self, leaf):
        index, length = self.a, self.b
        if index >= length or length > MAX_LENGTH:
            raise Broken("proof-position", f"index {index} of a log of {length} records")
        peaks, own = own_peak(index, length)
        height = peaks[own][0]
        self.counted(height + len(peaks) - 1)
        node = leaf
        for sibling in self.hashes[:height]:
            node = parent(sibling, node) if index & 1 else parent(node, sibling)
            index >>= 1
        others = self.hashes[height:]
        return root(length, others[:own] + [node] + others[own:])

    def roots(self):
        if self.a > self.b or self.b > MAX_LENGTH:
            raise Broken("proof-position", f"a log of {self.a} as a prefix of one of {self.b}")
        added, old = subtrees(self.a, self.b), self.a.bit_count()
        self.counted(old + len(added))
        peaks = Peaks(self.a, self.hashes[:old])
        before = peaks.root()
        for (height, _), node in zip(added, self.hashes[old:]):
            peaks.push(node, height)
        return before, peaks.root()


def read_proof(cursor):
    a, b, count = cursor.number(8), cursor.number(8), cursor.number(1)
    if count > MAX_HASHES:
        raise Broken("proof-hashes", f"a proof of {count} hashes")
    return Proof(a, b, [cursor.take(32) for _ in range(count)])


def opened(data, magic):
    """Reads magic and format of a file with a proof."""
    if len(data) > MAX_PROOF_FILE:
        raise Broken("proof-bytes", f"a file of more than {MAX_PROOF_FILE} bytes", "bytes")
    if data[: len(magic)] != magic:
        raise Broken("proof-magic", f"the file does not begin with {magic.decode()}")
    cursor = Cursor(data)
    cursor.take(len(magic))
    try:
        form = cursor.number(2)
    except Ended as error:
        raise Broken("proof-bytes", str(error), "bytes") from None
    if form != 1:
        raise Broken("proof-format", f"a file of format {form}")
    return cursor


def verify_signed_event(cursor, swarm, author=None):
    """A signed event from the cursor to its end."""
    try:
        record = read_record(cursor.take(cursor.number(4)))
        path = read_proof(cursor)
        head = read_head(cursor.take(HEAD_BYTES))
        cursor.end()
    except Ended as error:
        raise Broken("proof-bytes", f"the signed event's bytes: {error}", "bytes") from None
    try:
        if author is not None and head.author != author:
            raise Broken("proof-author", "the head is of another author than was expected")
        if path.b != head.length:
            raise Broken("proof-length", f"a path of length {path.b}, a head of {head.length}")
        record.check_body()
        if path.included(record.leaf(head.author)) != head.root:
            raise Broken("proof-root", "the path leads to another root than the head's")
        head.verify(swarm)
        return read_event(head.author, path.a, record)
    except Broken as broken:
        broken.author, broken.index = head.author, path.a
        raise


def verify_event_file(data, author=None, swarm=None):
    cursor = opened(data, b"bzzz-event")
    try:
        said = cursor.take(32)
    except Ended as error:
        raise Broken("proof-bytes", str(error), "bytes") from None
    if swarm is not None and said != swarm:
        raise Broken("head-swarm", f"the file is of swarm {said.hex()}")
    return verify_signed_event(cursor, said, author)


def verify_heads_file(data, author=None, swarm=None):
    """Two heads of one log: the author and both lengths."""
    cursor = opened(data, b"bzzz-heads")
    try:
        said = cursor.take(32)
        short, long = (read_head(cursor.take(HEAD_BYTES)) for _ in range(2))
        between = read_proof(cursor)
        cursor.end()
    except Ended as error:
        raise Broken("proof-bytes", f"the file's bytes: {error}", "bytes") from None
    if swarm is not None and said != swarm:
        raise Broken("head-swarm", f"the file is of swarm {said.hex()}")
    for head in (short, long):
        if head.author != (short.author if author is None else author):
            raise Broken("proof-author", "a head is of another author than was expected")
    if (between.a, between.b) != (short.length, long.length):
        raise Broken("proof-length", "the hashes are between other lengths than the heads'")
    if between.roots() != (short.root, long.root):
        raise Broken("proof-root", "the hashes lead to another root than a head's")
    if short.length < long.length and short.clock >= long.clock:
        raise Broken("head-clock", "the longer head's clock is not above the shorter's")
    short.verify(said)
    long.verify(said)
    return short.author, short.length, long.length


@dataclass
class Branch:
    head: Head
    before: Proof
    leaf: bytes
    path: Proof

    def verify(self, swarm):
        """The root before the fork."""
        self.head.verify(swarm)
        length = self.head.length
        if self.before.b != length or self.path.b != length or self.before.a != self.path.a:
            raise Broken("fork-index", "a proof is of another index or length than the fork's")
        before, after = self.before.roots()
        if self.path.included(self.leaf) != self.head.root or after != self.head.root:
            raise Broken("proof-root", "a proof leads to another root than the head's")
        return before


def read_branch(cursor):
    head = read_head(cursor.take(HEAD_BYTES))
    return Branch(head, read_proof(cursor), cursor.take(32), read_proof(cursor))


def verify_fork(cursor, author=None, swarm=None):
    """A fork proof from the cursor to its end: author and first index that differs."""
    try:
        a, b = read_branch(cursor), read_branch(cursor)
        cursor.end()
    except Ended as error:
        raise Broken("proof-bytes", f"the fork proof's bytes: {error}", "bytes") from None
    index = a.path.a
    try:
        if author is not None and a.head.author != author:
            raise Broken("proof-author", "the heads are of another author than was expected")
        if a.head.author != b.head.author:
            raise Broken("fork-heads", "the heads are of two authors")
        if b.path.a != index:
            raise Broken("fork-index", "the branches are about two indices")
        swarm = a.head.swarm if swarm is None else swarm
        if a.verify(swarm) != b.verify(swarm):
            raise Broken("fork-prefix", "the branches differ before the index")
        if a.leaf == b.leaf:
            raise Broken("fork-leaves", "the branches have the same record at the index")
        if a.leaf > b.leaf:
            raise Broken("fork-order", "the branch with the greater leaf hash comes first")
    except Broken as broken:
        broken.author, broken.index = a.head.author, index
        raise
    return a.head.author, index


def verify_fork_file(data, author=None, swarm=None):
    return verify_fork(opened(data, b"bzzz-fork"), author, swarm)


# bundle.md.


@dataclass
class Range:
    author: bytes
    start: int
    records: list
    places: list
    heads: list


def read_range(data):
    """A range from exactly these bytes, with the offset of each record in it."""
    author = start = None
    try:
        cursor = Cursor(data)
        author, start = cursor.take(32), cursor.number(8)
        records, heads = cursor.number(4), cursor.number(4)
        found = Range(author, start, [], [], [])
        bounded = records * (4 + MIN_RECORD) + heads * HEAD_BYTES <= cursor.left()
        if start > MAX_LENGTH or not 1 <= heads <= records or not bounded:
            raise Broken("range-bytes", f"a range of {records} records and {heads} heads")
        for index in range(start, start + records):
            size = cursor.number(4)
            found.places.append(cursor.at)
            part = cursor.take(size)
            try:
                found.records.append(read_record(part))
            except Broken as broken:
                broken.index = index
                raise
        for _ in range(heads):
            try:
                found.heads.append(read_head(cursor.take(HEAD_BYTES)))
            except Broken as broken:
                broken.index = start + records - 1
                raise
        cursor.end()
        return found
    except Ended as error:
        raise Broken("range-bytes", f"the range's bytes: {error}", "", author, start) from None
    except Broken as broken:
        broken.author = author
        broken.index = start if broken.index is None else broken.index
        raise


@dataclass
class Log:
    peaks: Peaks = field(default_factory=Peaks)
    events: list = field(default_factory=list)
    places: list = field(default_factory=list)
    broken: bool = False


def grow(log, found, swarm):
    """Checks a range that goes on where the log ends. Returns its events and the peaks after it."""
    if found.start != log.peaks.length:
        what = f"the range starts at {found.start}, and the log goes on at {log.peaks.length}"
        raise Broken("log-gap", what, index=log.peaks.length)
    peaks = Peaks(log.peaks.length, log.peaks.hashes)
    next_head, covered = 0, found.start
    for index, record in enumerate(found.records, found.start):
        try:
            record.check_body()
            peaks.push(record.leaf(found.author))
            if next_head < len(found.heads) and found.heads[next_head].length == index + 1:
                head = found.heads[next_head]
                if head.author != found.author:
                    raise Broken("head-author", f"a head of author {head.author.hex()}")
                if head.root != peaks.root():
                    raise Broken("head-root", "the records do not lead to the head's root")
                head.verify(swarm)
                next_head, covered = next_head + 1, index + 1
        except Broken as broken:
            broken.index = index
            raise
    if next_head < len(found.heads) or covered != peaks.length:
        what = "no head covers the record, or heads are out of order"
        raise Broken("head-order", what, index=covered)
    return events_of(log, found), peaks


def events_of(log, found):
    """Checks what the events of a range say of themselves."""
    events, clocks = [], {head.length - 1: head.clock for head in found.heads}
    last = log.events[-1].clock if log.events else None
    for index, record in enumerate(found.records, found.start):
        try:
            event = read_event(found.author, index, record)
            if last is not None and event.clock <= last:
                raise Broken("clock-order", f"clock {event.clock} is not above {last}")
            if clocks.get(index, event.clock) != event.clock:
                what = f"the head's clock is {clocks[index]}, its last event's {event.clock}"
                raise Broken("head-clock", what)
        except Broken as broken:
            broken.index = index
            raise
        last = event.clock
        events.append(event)
    return events


@dataclass
class Manifest:
    swarm: bytes
    exporter: bytes
    events: int
    version: int
    digest: bytes
    logs: list


def read_manifest(data, swarm):
    """Reads a manifest and verifies what needs only its bytes."""

    def broken(what):
        return Broken("manifest-bytes", what)

    cursor = Cursor(data)
    try:
        form = cursor.number(2)
        if form != 1:
            raise broken(f"a manifest of format {form}")
        said, exporter, events = cursor.take(32), cursor.take(32), cursor.number(8)
        version, digest, count = cursor.number(4), cursor.take(32), cursor.number(4)
        if count > MAX_LOGS or count > cursor.left() // 72:
            raise broken(f"a manifest of {count} logs")
        logs = []
        for _ in range(count):
            author, length, end = cursor.take(32), cursor.number(8), cursor.take(32)
            if logs and logs[-1][0] >= author:
                raise broken(f"log {author.hex()} is out of order")
            if not 1 <= length <= MAX_LENGTH:
                raise broken(f"log {author.hex()} with {length} records")
            logs.append((author, length, end))
        signed = cursor.at
        signature = cursor.take(64)
        cursor.end()
    except Ended as error:
        raise broken(str(error)) from None
    try:
        verify_signature(exporter, b"manifest", data[:signed], signature)
    except Broken as bad:
        raise Broken("manifest-signature", bad.what, bad.detail, exporter) from None
    if said != swarm:
        raise Broken("manifest-swarm", f"the manifest is of swarm {said.hex()}", "", exporter)
    return Manifest(said, exporter, events, version, digest, logs)


class Bundle:
    """One verification of a bundle: what it found is in `failures`, `notes` and `unchecked`."""

    def __init__(self, data):
        self.data = data
        self.failures, self.notes, self.unchecked = [], [], []
        self.logs, self.current = {}, None
        self.swarm = self.founding = self.manifest = None
        self.skipped, self.absent = {}, []

    def verify(self):
        """True if no rule is broken."""
        try:
            self.read()
        except Broken as broken:
            self.failures.append(broken)
        if self.swarm is not None and self.founding is None:
            what = "no log begins with the event that the swarm's id commits to"
            self.failures.append(Broken("founding-event", what, offset=13))
        if self.manifest:
            self.covered()
        if self.manifest and not self.failures:
            self.compare()
        else:
            self.unchecked.append("members, causes, state: not all of the bundle verifies")
        what = "events whose payload is not in the bundle and that no event erased"
        self.skipped[what] = len(self.absent)
        return not self.failures

    def take(self, at, size, start):
        if at + size > len(self.data):
            what = f"the file ends inside the part that begins at byte {start}"
            raise Broken("truncated", what, offset=start)
        return self.data[at : at + size]

    def part(self, at, limit):
        """The offset and the bytes of a part with its length before it."""
        size = int.from_bytes(self.take(at, 4, at), "little")
        if size > limit:
            what = f"a part of {size} bytes; at most {limit} are allowed"
            raise Broken("frame-length", what, offset=at)
        return at + 4, self.take(at + 4, size, at)

    def read(self):
        if self.take(0, 11, 0) != b"bzzz-bundle":
            raise Broken("bundle-magic", "the file does not begin with bzzz-bundle")
        form = int.from_bytes(self.take(11, 2, 0), "little")
        if form != 1:
            raise Broken("bundle-format", f"a bundle of format {form}", offset=11)
        self.swarm = self.take(13, 32, 0)
        at = 45
        while True:
            start, data = self.part(at, MAX_RANGE)
            at = start + len(data)
            if not data:
                break
            try:
                self.take_range(start, data)
            except Broken as broken:
                broken.offset = start
                if broken.author is not None:
                    self.logs.setdefault(broken.author, Log()).broken = True
                self.failures.append(broken)
        start, data = self.part(at, MAX_MANIFEST)
        self.manifest_at = start
        try:
            self.manifest = read_manifest(data, self.swarm)
        except Broken as broken:
            broken.offset = start
            self.failures.append(broken)
        end = start + len(data)
        if end != len(self.data):
            raise Broken("trailing-bytes", "bytes follow the manifest", offset=end)

    def take_range(self, start, data):
        found = read_range(data)
        author = found.author
        if author != self.current:
            if self.current is not None and self.current >= author:
                what = "the log stands behind one of a greater author, or in two pieces"
                raise Broken("log-order", what, "", author, found.start)
            self.current = author
        log = self.logs.setdefault(author, Log())
        if log.broken:
            self.skip("ranges behind the first failure of their log")
            return
        try:
            events, log.peaks = grow(log, found, self.swarm)
        except Broken as broken:
            broken.author = author
            raise
        log.events += events
        log.places += [start + place for place in found.places]
        for event in events:
            self.look(event)

    def skip(self, what):
        self.skipped[what] = self.skipped.get(what, 0) + 1

    def look(self, event):
        """Counts what cannot be read, and finds the founding event."""
        if event.body is None:
            return self.absent.append(event)
        if event.format != 1:
            return self.skip("events of formats that this program does not know")
        if event.kind not in PAYLOADS:
            return self.skip("events of kinds that this program does not know")
        try:
            read_payload(event.kind, event.body)
        except Malformed:
            return self.skip("events whose payload is not of their kind")
        if event.kind == 1 and event.seq == 0 and derive("swarm", event.id) == self.swarm:
            self.founding = event
        return None

    def covered(self):
        """Compares the manifest with the logs."""
        manifest, wrong = self.manifest, []
        for author, length, end in manifest.logs:
            log = self.logs.get(author, Log())
            have = log.peaks.length
            if not log.broken and (have != length or log.peaks.root() != end):
                what = f"the manifest names {length} records; the bundle has {have}, or other ones"
                wrong.append((author, min(have, length), what))
        named = {author for author, _, _ in manifest.logs}
        for author, log in sorted(self.logs.items()):
            if author not in named and not log.broken:
                wrong.append((author, 0, "the manifest does not name the log"))
        for author, index, what in wrong:
            self.fail("manifest-frontier", what, author, index, self.manifest_at)
        total = sum(length for _, length, _ in manifest.logs)
        if total != manifest.events:
            what = f"the manifest counts {manifest.events} events in {total}"
            self.fail("manifest-events", what, manifest.exporter, None, self.manifest_at)

    def witnessed(self, events, members):
        """bundle.md, `witnessed-root`: heads of other logs than these, that their authors signed."""
        forked, wrong = set(), []
        for event in events:
            if event.format != 1 or event.body is None or event.kind not in (5, 6):
                continue
            try:
                (said,) = read_payload(event.kind, event.body)
            except Malformed:
                continue
            if event.kind == 6:
                try:
                    forked.add(verify_fork(Cursor(said), None, self.swarm)[0])
                except Broken:
                    self.skip("proofs of forks that prove nothing")
                continue
            if not members.stands(event.author, event.seq):
                continue
            for author, length, said_root, clock, signature in said:
                log = self.logs.get(author)
                if author == event.author or not log or not 1 <= length <= len(log.events):
                    continue
                signed = self.swarm + author + u64(length) + said_root + u64(clock)
                leaves = (event.id for event in log.events[:length])
                head = Head(self.swarm, author, length, said_root, clock, signature, signed)
                if tree_root(leaves) != said_root:
                    wrong.append((author, length, head))
        for author, length, head in sorted(wrong, key=lambda one: one[:2]):
            try:
                head.verify(self.swarm)
            except Broken:
                self.notes.append(f"a head of {author.hex()} is said to be held; nobody signed it")
                continue
            if author in forked:
                self.notes.append(f"log {author.hex()} forked, as an event proves")
                continue
            offset = self.logs[author].places[length - 1]
            what = f"somebody holds another head of {length} records that the author signed"
            self.fail("witnessed-root", what, author, length - 1, offset)

    def fail(self, rule, what, author, index, offset):
        self.failures.append(Broken(rule, what, "", author, index, offset))

    def compare(self):
        """What needs all logs: causes and members."""
        events = [event for log in self.logs.values() for event in log.events]
        events.sort(key=Event.place)
        clocks = {event.id: event.clock for event in events}
        outside = 0
        for event in events:
            for cause in event.causes:
                if cause not in clocks:
                    outside += 1
                elif clocks[cause] >= event.clock:
                    offset = self.logs[event.author].places[event.seq]
                    what = f"the cause {cause.hex()} is not earlier than the event"
                    self.fail("cause-order", what, event.author, event.seq, offset)
        import fold

        state = fold.fold(events, self.swarm)
        members = state.members.members
        for author, log in sorted(self.logs.items()):
            if author not in members:
                what = "the author was never admitted to the swarm"
                self.fail("member", what, author, 0, log.places[0])
            elif not state.members.stands(author, len(log.events) - 1):
                self.notes.append(f"log {author.hex()}: its last events do not stand")
        if self.manifest.exporter not in members:
            what = "the exporter is no member, so that anybody may have cut the logs"
            self.fail("manifest-exporter", what, self.manifest.exporter, None, self.manifest_at)
        self.digests(state)
        self.witnessed(events, state.members)
        self.erased(events, state.erasures)
        self.skipped["causes that name events which are not in the bundle"] = outside

    def erased(self, events, erasures):
        """Notes what was erased; what is absent and was not erased stays in `absent`."""
        for event in events:
            erasure = erasures.of(event)
            if erasure is None:
                continue
            what = "was erased" if event.body is None else "is here, though it was erased"
            where = f"the payload of event {event.seq} of log {event.author.hex()}"
            self.notes.append(f"{where} {what} by {erasure.by.hex()}")
        self.absent = [event for event in self.absent if erasures.of(event) is None]

    def digests(self, state):
        """Compares the digests of manifest and checkpoints with a fold: fold.md."""
        import fold

        manifest = self.manifest
        if manifest.version != fold.VERSION:
            self.unchecked.append(f"the state digest, of version {manifest.version} of the fold")
        elif state.digest() != manifest.digest:
            what = f"the manifest has {manifest.digest.hex()}, the fold {state.digest().hex()}"
            self.fail("state-digest", what, manifest.exporter, None, self.manifest_at)
        for author, log in sorted(self.logs.items()):
            reached = {}
            for event in log.events:
                said = checkpoint(event)
                if said is None:
                    continue
                version, frontier, digest = said
                lengths = {author: length for author, length in frontier}
                inside = all(n <= len(self.log(who).events) for who, n in lengths.items())
                grows = all(lengths.get(who, 0) >= n for who, n in reached.items())
                standing = state.members.stands(author, event.seq)
                if not (version == fold.VERSION and len(lengths) == len(frontier) and inside
                        and grows and standing):
                    self.skip("checkpoints of other versions or of events that are not here")
                    continue
                reached = {who: n for who, n in lengths.items() if n}
                part = [one for who, n in reached.items() for one in self.logs[who].events[:n]]
                then = fold.fold(part, self.swarm)
                if any(one.body is None and then.erasures.of(one) is None for one in part):
                    self.skip("checkpoints of events whose payload is not in the bundle")
                    continue
                fresh = then.digest()
                if fresh != digest:
                    what = f"it has {digest.hex()}, and the fold {fresh.hex()}"
                    self.fail("checkpoint-digest", what, author, event.seq, log.places[event.seq])

    def log(self, author):
        return self.logs.get(author, Log())


def checkpoint(event):
    """What a `Checkpoint` says: version, frontier, digest."""
    if event.format != 1 or event.kind != 4 or event.body is None:
        return None
    try:
        return read_payload(event.kind, event.body)
    except Malformed:
        return None


# The program.

NEVER = [
    "truth: whether outputs, answers and reports are true",
    "time: whether clocks told the right time; only their order was checked",
    "claims: the claim refs; without the repositories, a claim is its author's word",
    "complete: whether there are later events, or logs that the exporter did not have",
    "forks: whether an author signed another log elsewhere",
]


def check(command, data, author, swarm):
    """(failures, what was found, what was not checked)."""
    if command == "bundle":
        bundle = Bundle(data)
        bundle.verify()
        failures, unchecked = bundle.failures, bundle.unchecked
        found = {
            "logs": len(bundle.logs),
            "events": sum(len(log.events) for log in bundle.logs.values()),
            "notes": bundle.notes,
        }
        unchecked += [f"{count} {what}" for what, count in bundle.skipped.items() if count]
        if swarm is not None and bundle.swarm not in (None, swarm):
            raise SystemExit("verify.py: the bundle is of another swarm than --swarm")
        return failures, found, NEVER + unchecked
    try:
        if data[:10] == b"bzzz-heads" and command == "proof":
            who, short, long = verify_heads_file(data, author, swarm)
            found = {"author": who.hex(), "from": short, "to": long}
        elif command == "proof":
            event = verify_event_file(data, author, swarm)
            found = {"event": event.id.hex(), "author": event.author.hex(), "index": event.seq}
            found |= {"kind": event.kind, "payload": event.body is not None}
        elif command in ("checkpoint", "tlog-proof"):
            found = check_tlog(command, data, author, swarm)
        else:
            who, index = verify_fork_file(data, author, swarm)
            found = {"author": who.hex(), "index": index}
        return [], found, NEVER[:2]
    except Broken as broken:
        return [broken], {}, NEVER[:2]


def check_tlog(command, data, author, swarm):
    """checkpoint.md."""
    import tlog

    if command == "checkpoint":
        found, checkpoint = {}, tlog.verify_checkpoint(data, author, swarm)
    else:
        event, checkpoint = tlog.verify_proof(data, author, swarm)
        found = {"event": event.id.hex(), "index": event.seq, "kind": event.kind}
    found |= {"author": checkpoint.author.hex(), "length": checkpoint.length}
    return found | {"root": checkpoint.root.hex(), "bzzz_root": checkpoint.head_root.hex()}


def usage(what):
    print(f"verify.py: {what}\n\n{__doc__.splitlines()[2].strip()}", file=sys.stderr)
    return 2


def main(arguments):
    command, files, options, as_json = "bundle", [], {"--author": None, "--swarm": None}, False
    arguments = list(arguments)
    commands = {"bundle": None, "proof": MAX_PROOF_FILE, "fork": MAX_PROOF_FILE}
    # No limit above that of the longest file: tools/tlog.py looks closer.
    commands |= {"checkpoint": 1 << 18, "tlog-proof": 1 << 18}
    if arguments and arguments[0] in commands:
        command = arguments.pop(0)
    while arguments:
        argument = arguments.pop(0)
        if argument in ("-h", "--help"):
            print(__doc__)
            return 0
        if argument == "--json":
            as_json = True
        elif argument in options:
            try:
                options[argument] = bytes.fromhex(arguments.pop(0))
            except (IndexError, ValueError):
                return usage(f"{argument} needs 64 hexadecimal digits")
        elif argument.startswith("-"):
            return usage(f"there is no option {argument}")
        else:
            files.append(argument)
    if len(files) != 1:
        return usage("one file is needed")
    limit = commands[command]
    try:
        with open(files[0], "rb") as file:
            data = file.read() if limit is None else file.read(limit + 1)
    except OSError as error:
        print(f"verify.py: {error}", file=sys.stderr)
        return 2
    failures, found, unchecked = check(command, data, options["--author"], options["--swarm"])
    if as_json:
        listed = [
            {
                "rule": broken.rule,
                "author": broken.author and broken.author.hex(),
                "index": broken.index,
                "offset": broken.offset,
                "what": broken.what,
            }
            for broken in failures
        ]
        report = {"verified": not failures, "failures": listed}
        print(json.dumps(report | found | {"unchecked": unchecked}, indent=2))
        return 1 if failures else 0
    for broken in failures:
        author = broken.author.hex() if broken.author else "-"
        index = "-" if broken.index is None else broken.index
        print(f"FAILED {broken.rule}: author {author}, index {index}: {broken.what}")
    print(*(f"{name}: {value}" for name, value in found.items()), sep="\n")
    for what in unchecked:
        print(f"not checked: {what}")
    print("DOES NOT VERIFY" if failures else "verifies")
    return 1 if failures else 0


if __name__ == "__main__":
    # By its own name, so that tools/fold.py has the same classes.
    import verify

    sys.exit(verify.main(sys.argv[1:]))
