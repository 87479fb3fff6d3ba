"""Vectors of checkpoint.md: checkpoints and tlog-proofs."""

import base64
import hashlib

import nacl.bindings

import tlog
from verify import tree_root, u64
from writer import (
    ACCEPT, ANNA, BERT, CARA, START, STRANGER, TASK, Log, World, broken_headers, record, refuse,
    started, text,
)

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


def checkpoints():
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


def tlog_proofs():
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
    for name, title, rule, detail, bad in broken_headers(log.swarm):
        yield name, title, refused(rule, detail), proof_of(bad, 1)
