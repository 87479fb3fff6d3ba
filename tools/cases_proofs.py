"""Vectors of heads, records, hashes, and of the proofs about them."""

import verify as v
from verify import FIELD, derive, subtrees, tree_root, u64
from writer import (
    ACCEPT, ANNA, BASE, BERT, ORDER, START, STRANGER, TORSION, Log, World, add, branch, broken_headers,
    consistency, head, header, inclusion, packed, proof, record, record_defects, refuse,
    scalar_hash, sized, times, u16, u32, x_of,
)


def heads():
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


def records():
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


def inclusions():
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


def consistencies():
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


def event_files():
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
    for name, title, rule, detail, bad in broken_headers(log.swarm):
        expected = refuse(rule, BERT, 1, **({"detail": detail} if detail else {}))
        yield name, title, expected | more, start + signed_event(bad, 1, 2)


def heads_files():
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


def grown(count, twist, swarm, key=BERT, **more):
    """A log of `count` records, of which those from `twist` on are of this branch alone."""
    log = Log(key, swarm)
    for number in range(count):
        log.write(START + number, 66, bytes([number >= twist, more.get("salt", 0)]))
    log.seal(**{name: value for name, value in more.items() if name != "salt"})
    return log


def forks():
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


def hashes():
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
        ("session", "session", bytes(32) + u64(1) + b"\1" * 32 + u64(2)),
        ("approval-plan", "approval", u32(0) + b"\1" * 32),
        ("approval-command", "approval", u32(1) + b"rm -r target"),
        ("approval-change", "approval", u32(2) + b"2" * 40),
    ]:
        more = {"context": f"bzzz v1 {context}", "hash": derive(context, data).hex()}
        yield f"hash-{name}", f"The hash for {context}.", ACCEPT | more, data
