"""Vectors of payloads, claims and the messages of sync.md."""

import lives
import verify as v
from verify import u64
from writer import (
    ACCEPT, ANNA, BERT, TASK, World, admitted, branch, proof, refuse, seen, started, text, u16,
    u32,
)


def payloads():
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
        (42, "purpose-4", "The last purpose.", ACCEPT,
         u64(1) + u32(4) + u32(0) + bytes(32) + text("")),
        (42, "purpose-5", "A purpose that there is not.", bad,
         u64(1) + u32(5) + u32(0) + bytes(32) + text("")),
    ]:
        yield f"payload-{name}", title, expected | {"kind": str(kind)}, data
    yield from payloads_of_discussions()


def payloads_of_discussions():
    """Each of the kinds 33, 80 to 88 and 90 to 94, whole, cut, and with a choice that there is not."""
    bad = {"expect": "refuse", "rule": "payload-bytes"}
    some, id_ = [["a"], ["b"]], bytes([7]) * 32
    sides = [["tally", 1, 1], ["other", 2, 1]]
    for kind, name, values in [
        (33, "withdrawn", [1, id_, "why"]),
        (80, "message", [1, [id_], (2, []), "so", 5]),
        (80, "message-thread", [1, None, (0, []), "", 0]),
        (81, "help-requested", [1, some, "what", 5]),
        (82, "help-offered", [1, id_, (2, []), "so", some, 5]),
        (83, "help-accepted", [1, id_]),
        (84, "handed", [1, id_, id_, ["wip", "2" * 40], "3" * 40]),
        (84, "handed-bare", [1, id_, id_, None, "3" * 40]),
        (85, "detected", ["other", 2, (1, []), 50, some]),
        (86, "approval-requested", [1, (2, []), id_, "2" * 40, "lines > 9", 5]),
        (87, "approval-given", [1, id_, id_, True, "why"]),
        (88, "bounded", [1, 2, 3, 4, 5, 6, 7]),
        (90, "session-opened", [sides, 1, "why", some, 5]),
        (91, "session-joined", [id_, False, "why"]),
        (92, "session-said", [id_, 1, (1, []), "so"]),
        (93, "session-resolved", [id_, 1, [[id_], [id_]]]),
        (94, "session-escalated", [id_, "why"]),
    ]:
        more, good = {"kind": str(kind)}, lives.spell(kind, *values)
        yield f"payload-{name}", "A payload.", ACCEPT | more, good
        yield f"payload-{name}-cut", "The last byte is missing.", bad | more, good[:-1]
        yield f"payload-{name}-long", "A byte behind the last field.", bad | more, good + b"\0"
    for kind, name, values in [
        (80, "message-act", [1, None, (3, []), "so", 5]),
        (82, "help-offered-help", [1, id_, (3, []), "so", [], 5]),
        (85, "detected-source", ["other", 2, (2, []), 50, []]),
        (86, "approval-requested-subject", [1, (3, []), id_, "", "", 5]),
        (92, "session-said-act", [id_, 1, (3, []), "so"]),
    ]:
        data = lives.spell(kind, *values)
        yield f"payload-{name}", "A choice that there is not.", bad | {"kind": str(kind)}, data
    for kind, name, at, byte in [(80, "message-option", 8, b"\2"), (91, "session-joined-flag", 32, b"\2"),
                                 (87, "approval-given-flag", 72, b"\xff")]:
        good = {80: [1, [id_], (2, []), "so", 5], 91: [id_, True, ""], 87: [1, id_, id_, True, ""]}
        data = lives.spell(kind, *good[kind])
        data = data[:at] + byte + data[at + 1 :]
        yield f"payload-{name}", "A mark that is neither 0 nor 1.", bad | {"kind": str(kind)}, data
    huge = u64(1) + u64(1 << 61) + text("what") + u64(5)
    yield "payload-help-requested-huge", "A list of 2^61 texts.", bad | {"kind": "81"}, huge
    huge = u64(1 << 40) + u32(0) + text("") + u64(0) + u64(0)
    yield "payload-session-opened-huge", "A list of 2^40 sides.", bad | {"kind": "90"}, huge


def claim(key=ANNA, use=b"claim", **more):
    fields = u16(more.get("form", 1)) + more.get("swarm", bytes(range(32))) + key.public + u64(7)
    fields += TASK + u64(2) + u64(3) + u64(60_000) + bytes(32) + u32(more.get("status", 0))
    fields += more.get("tail", b"")
    return fields + key.sign(use, fields)


def claims():
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


def requests():
    log = b"\0" * 32 + u64(1) + b"\5" * 32
    frontier = b"\1\1" + b"\t" * 32 + u32(1) + log
    fetch = b"\1\2" + b"\7" * 32 + u64(3) + u32(4)
    yield "request-frontier", "The example of sync.md.", ACCEPT, frontier
    yield "request-fetch", "The example of sync.md.", ACCEPT, fetch
    yield "request-no-logs", "A frontier of no logs.", ACCEPT, b"\1\1" + bytes(36)
    prove = b"\1\3" + b"\7" * 32 + u64(9)
    yield "request-prove", "A proof is asked for.", ACCEPT, prove
    shown = u32(3) + b"abc"
    introduce = b"\1\4\2" + shown + u32(1) + b"d"
    yield ("request-introduce", "The example of sync.md. What is shown is read later.", ACCEPT,
           introduce)
    yield ("request-introduce-most", "As many rotations as are allowed, one of the most bytes.",
           ACCEPT, b"\1\4\10" + 7 * shown + u32(4096) + bytes(4096))
    for name, title, rule, data in [
        ("empty", "No bytes.", "message-bytes", b""),
        ("cut", "The last byte is missing.", "message-bytes", fetch[:-1]),
        ("trailing", "A byte too many.", "message-bytes", fetch + b"\0"),
        ("too-long", "Above the limit of a request.", "message-length", bytes(73_767)),
        ("version", "Another version.", "message-version", b"\2" + fetch[1:]),
        ("type", "An unknown type.", "message-type", b"\1\5" + fetch[2:]),
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
        ("introduce-none", "An introduction of no rotations.", "introduction-size", b"\1\4\0"),
        ("introduce-many", "An introduction of 9 rotations.", "introduction-size",
         b"\1\4\11" + 9 * shown),
        ("introduce-empty", "A rotation of no bytes.", "introduction-size",
         b"\1\4\1" + u32(0)),
        ("introduce-long", "A rotation of 4,097 bytes.", "introduction-size",
         b"\1\4\1" + u32(4097) + bytes(4097)),
        ("introduce-cut", "The last byte of a rotation is missing.", "message-bytes",
         introduce[:-1]),
        ("introduce-trailing", "A byte behind the rotations.", "message-bytes", introduce + b"\0"),
        ("no-bytes", "A fetch of 0 bytes.", "fetch-bytes", fetch[:-4] + u32(0)),
        ("many-bytes", "A fetch above the limit.", "fetch-bytes", fetch[:-4] + u32(4_194_305)),
    ]:
        yield f"request-{name}", title, refuse(rule), data


def responses():
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
