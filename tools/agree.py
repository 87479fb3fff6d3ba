"""Holds tools/verify.py against schema/vectors/ and, if it is there, against the program bzzz-verify.

    python3 tools/agree.py vectors DIRECTORY [PROGRAM]
    python3 tools/agree.py mutations BUNDLE COUNT SEED PROGRAM

`vectors` asks verify.py for every vector that it knows, and PROGRAM for those that are files. `mutations`
changes a bundle at random COUNT times and asks both: neither may accept one, and they must name the same
rule, author and index. It ends with 0 if all agree, and with 1 if not.
"""

import collections
import concurrent.futures
import functools
import json
import os
import random
import subprocess
import sys
import tempfile
import time

import fold
import tlog
import verify as v

MODES = {"bundle": [], "event-file": ["proof"], "heads-file": ["proof"], "fork-file": ["fork"]}
# These are asked as their vectors say.
MODES |= {"checkpoint": ["checkpoint"], "tlog-proof": ["tlog-proof"]}


def read_vector(path):
    """A vector's header and bytes."""
    with open(path, encoding="ascii") as file:
        head, _, digits = file.read().partition("\n\n")
    said = dict(line.split(": ", 1) for line in head.splitlines())
    return said, bytes.fromhex("".join(digits.split()))


def said_of(broken):
    """What was found, as a vector's header says it."""
    if broken is None:
        return {"expect": "accept"}
    author = None if broken.author is None else broken.author.hex()
    index = None if broken.index is None else str(broken.index)
    found = {"rule": broken.rule, "detail": broken.detail, "author": author, "index": index}
    return {"expect": "refuse"} | {name: value for name, value in found.items() if value}


def same(said, expected):
    """True if it is what the header says; a detail that the header does not ask for may be there."""
    named = ("expect", "rule", "author", "index")
    fine = all(said.get(name) == expected.get(name) for name in named)
    return fine and ("detail" not in expected or said.get("detail") == expected["detail"])


def whole(data, read):
    """Reads a proof of exactly these bytes."""
    cursor = v.Cursor(data)
    try:
        found = read(cursor)
        cursor.end()
    except v.Ended as error:
        raise v.Broken("proof-bytes", str(error), "bytes") from None
    return found


def leads_to(found, *roots):
    if list(found) != [bytes.fromhex(root) for root in roots]:
        raise v.Broken("proof-root", "it leads elsewhere")


def check_payload(said, data):
    try:
        v.read_payload(int(said["kind"]), data)
    except v.Malformed as error:
        raise v.Broken("payload-bytes", str(error)) from None


def check_hash(said, data):
    if v.derive(said["context"].removeprefix("bzzz v1 "), data).hex() != said["hash"]:
        raise v.Broken("hash", "another hash")


def check_bundle(said, data):
    bundle = v.Bundle(data)
    if not bundle.verify():
        raise bundle.failures[0]


def check_consistency(said, data):
    roots = whole(data, v.read_proof).roots()
    leads_to(roots, said["root-from"], said["root-to"])


def check_inclusion(said, data):
    found = whole(data, v.read_proof).included(bytes.fromhex(said["leaf"]))
    leads_to([found], said["root"])


def expected(said):
    return bytes.fromhex(said["log"]), bytes.fromhex(said["swarm"])


CHECKS = {
    "bundle": check_bundle,
    "event-file": lambda said, data: v.verify_event_file(data),
    "heads-file": lambda said, data: v.verify_heads_file(data),
    "fork-file": lambda said, data: v.verify_fork_file(data),
    "head": lambda said, data: v.read_head(data).verify(bytes.fromhex(said["swarm"])),
    "record": lambda said, data: v.read_record(data).check_body(),
    "inclusion": check_inclusion,
    "consistency": check_consistency,
    "payload": check_payload,
    "hash": check_hash,
    "checkpoint": lambda said, data: tlog.verify_checkpoint(data, *expected(said), said.get("cosigner")),
    "tlog-proof": lambda said, data: tlog.verify_proof(data, *expected(said)),
}


def ask_python(said, data):
    try:
        CHECKS[said["format"]](said, data)
    except v.Broken as broken:
        return said_of(broken)
    return said_of(None)


def author_of(form, data):
    """Whose log a proof is of, by its own word; bzzz-verify wants to be told."""
    at = {"event-file": len(data) - v.HEAD_BYTES + 32, "heads-file": 44 + 32}.get(form)
    return [] if at is None else ["--author", data[max(at, 0) :][:32].ljust(32, b"\0").hex()]


def asked_as(said, folder):
    """What bzzz-verify is told of a checkpoint: as its vector says."""
    if "log" not in said:
        return []
    options = ["--author", said["log"], "--swarm", said["swarm"]]
    if "cosigner" in said:
        policy = os.path.join(folder, "policy")
        with open(policy, "w", encoding="ascii") as file:
            file.write(f"witness w {said['cosigner']}\nquorum w\n")
        options += ["--policy", policy]
    return options


def ask_program(program, form, path, data=b"", said=()):
    """What bzzz-verify says of a file. Of proofs it tells the rule alone."""
    with tempfile.TemporaryDirectory() as folder:
        told = author_of(form, data) + asked_as(said, folder)
        command = [program, *MODES[form], "--json", *told, path]
        done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    said = json.loads(done.stdout)
    if done.returncode == 0:
        return {"expect": "accept", "fold": said.get("checked", {}).get("fold_version")}
    if form != "bundle":
        return {"expect": "refuse", "rule": said["rule"]}
    first = said["failures"]["listed"][0]
    index = None if first["index"] is None else str(first["index"])
    found = {"rule": first["rule"], "author": first["author"], "index": index}
    found = {"expect": "refuse"} | {name: value for name, value in found.items() if value}
    return found | {"fold": said["checked"]["fold_version"]}


def vectors(folder, program=None):
    """Asks for every vector. Returns the number of disagreements."""
    wrong, asked = 0, collections.Counter()
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        said, data = read_vector(path)
        form = said["format"]
        if form in CHECKS:
            asked["verify.py"] += 1
            found = ask_python(said, data)
            expected = said
            if int(said.get("fold", fold.VERSION)) != fold.VERSION:
                expected = {"expect": "accept"}
            if not same(found, expected):
                wrong += 1
                print(f"{name}: verify.py says {found}, the vector {said}")
        if program and form in MODES and can(program, form):
            asked["bzzz-verify"] += 1
            with tempfile.NamedTemporaryFile() as file:
                file.write(data)
                file.flush()
                found = ask_program(program, form, file.name, data, said)
            told = ("expect", "rule") + (("author", "index") if form == "bundle" else ())
            expected = {key: said[key] for key in told if key in said}
            if found.pop("fold", None) != int(said.get("fold", 0)) and "fold" in said:
                expected = {"expect": "accept"}
            if not same(found, expected):
                wrong += 1
                print(f"{name}: bzzz-verify says {found}, the vector {said}")
    for who, count in asked.items():
        print(f"{who}: {count} vectors")
    print(f"{wrong} disagreements")
    return wrong


@functools.cache
def can(program, form):
    """Whether this build of the program knows such files."""
    done = subprocess.run([program, "--help"], capture_output=True, check=False)
    words = {line.split()[0] for line in done.stdout.decode().splitlines() if line.split()}
    return words.issuperset(MODES[form])


def frames(data):
    """Where the frames of a bundle stand, with their lengths before them."""
    found, at = [], 45
    while size := int.from_bytes(data[at : at + 4], "little"):
        found.append((at, at + 4 + size))
        at += 4 + size
    return found


def mutate(data, places, chance):
    """The bundle, changed: the name of the change, and the new bytes."""
    def at(size=0):
        return chance.randrange(len(data) - size)

    kind = chance.choice(["bit", "byte", "cut", "insert", "drop", "swap", "double", "zero",
                          "frame-drop", "frame-swap", "frame-double", "number"])
    a = at()
    size = 1 + int(chance.paretovariate(0.7)) % 4096
    b = min(len(data), a + size)
    if kind == "bit":
        return kind, data[:a] + bytes([data[a] ^ 1 << chance.randrange(8)]) + data[a + 1 :]
    if kind == "byte":
        return kind, data[:a] + bytes([chance.randrange(256)]) + data[a + 1 :]
    if kind == "cut":
        return kind, data[:a]
    if kind == "insert":
        return kind, data[:a] + chance.randbytes(b - a) + data[a:]
    if kind == "drop":
        return kind, data[:a] + data[b:]
    if kind == "double":
        return kind, data[:b] + data[a:b] + data[b:]
    if kind == "zero":
        return kind, data[:a] + bytes(b - a) + data[b:]
    if kind == "swap":
        c = at(b - a)
        first, second = sorted([(a, b), (c, c + b - a)])
        if first[1] > second[0]:
            return kind, data
        (a, b), (c, d) = first, second
        return kind, data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]
    if kind == "number":
        # A field of a range: author, first index, counts, or the frame's length.
        a = chance.choice(places)[0] + chance.choice([0, 4, 36, 44, 48, 52])
        return kind, data[:a] + u32_near(data, a, chance) + data[a + 4 :]
    (a, b), (c, d) = sorted(chance.sample(places, 2))
    if kind == "frame-drop":
        return kind, data[:a] + data[b:]
    if kind == "frame-double":
        return kind, data[:d] + data[a:b] + data[d:]
    return kind, data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def u32_near(data, at, chance):
    number = int.from_bytes(data[at : at + 4], "little") + chance.choice([-1, 1, 2, 256, 1 << 31])
    return (number % (1 << 32)).to_bytes(4, "little")


def mutations(path, count, seed, program):
    """Asks both of `count` changed bundles. Returns the number of those that are wrong."""
    with open(path, "rb") as file:
        data = file.read()
    # A bundle's signatures come again in every mutation of it.
    v.verify_signature = remembered(v.verify_signature)
    chance, places = random.Random(int(seed)), frames(data)
    kinds, rules, wrong, accepted = collections.Counter(), collections.Counter(), 0, [0, 0]
    begun, spent = time.monotonic(), [0.0, 0.0]
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(1) as pool:
        file = os.path.join(folder, "mutated.bzzz")
        for number in range(int(count)):
            kind, changed = mutate(data, places, chance)
            while changed == data:
                kind, changed = mutate(data, places, chance)
            with open(file, "wb") as out:
                out.write(changed)
            asked = pool.submit(timed, spent, 1, ask_program, program, "bundle", file)
            mine = timed(spent, 0, ask_python, {"format": "bundle"}, changed)
            theirs = asked.result()
            kinds[kind] += 1
            rules[theirs.get("rule")] += 1
            accepted[0] += mine["expect"] == "accept"
            accepted[1] += theirs["expect"] == "accept"
            mine.pop("detail", None)
            theirs.pop("fold", None)
            if mine != theirs or mine["expect"] == "accept":
                wrong += 1
                print(f"mutation {number} ({kind}): verify.py says {mine}, bzzz-verify {theirs}")
    print("changes:", ", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items())))
    print("rules:", ", ".join(f"{rule} {n}" for rule, n in rules.most_common()))
    print(f"{count} mutations of {len(data)} bytes with seed {seed}: verify.py accepted "
          f"{accepted[0]}, bzzz-verify accepted {accepted[1]}, {wrong} wrong or not agreed on; "
          f"{time.monotonic() - begun:.0f} s, verify.py {spent[0]:.0f} s, "
          f"bzzz-verify {spent[1]:.0f} s")
    return wrong


def timed(spent, who, function, *arguments):
    begun = time.monotonic()
    found = function(*arguments)
    spent[who] += time.monotonic() - begun
    return found


def remembered(function):
    """Signatures that were verified once; what fails is asked again."""
    good = set()

    def check(*arguments):
        if arguments not in good:
            function(*arguments)
            good.add(arguments)

    return check


def main(arguments):
    match arguments:
        case ["vectors", folder, *program] if len(program) <= 1:
            return 1 if vectors(folder, *program) else 0
        case ["mutations", bundle, count, seed, program]:
            return 1 if mutations(bundle, count, seed, program) else 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
