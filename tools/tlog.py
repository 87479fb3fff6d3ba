"""Checkpoints and proofs of schema/checkpoint.md, for tools/verify.py: written from that page alone."""

import base64
import binascii
import hashlib

import verify as v
from verify import Broken

MAX_NOTE, MAX_FILE = 131_072, 262_144
MAX_SIGNATURES, MAX_PATH = 64, 63
DASH = "\u2014 "
SPACES = set(map(chr, [0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]))


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def base64_bytes(text):
    """The bytes, or None if the text is not the one text for them."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None


def base64_hash(text):
    data = base64_bytes(text)
    return data if data is not None and len(data) == 32 else None


def decimal(text):
    """The number, or None if the text is not the one text for it."""
    plain = text.isascii() and text.isdigit() and len(text) <= 20
    return int(text) if plain and str(int(text)) == text and int(text) < 1 << 64 else None


# The tree.


def leaf_hash(entry):
    return sha256(b"\0", entry)


def split(count):
    """The largest power of two below a number above 1."""
    return 1 << (count - 1).bit_length() - 1


def root(leaves):
    """MTH over leaf hashes, at least one."""
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\1", root(leaves[:k]), root(leaves[k:]))


def path(index, length):
    """The runs whose hashes the path of an index has."""
    a, b, runs = 0, length, []
    while b - a > 1:
        k = split(b - a)
        if index < a + k:
            runs.append((a + k, b))
            b = a + k
        else:
            runs.append((a, a + k))
            a += k
    return runs[::-1]


def between(old, new):
    """The runs whose hashes a proof of consistency has."""
    if old == 0:
        return []
    a, b, runs = 0, new, []
    while b != old:
        k = split(b - a)
        if old <= a + k:
            runs.append((a + k, b))
            b = a + k
        else:
            runs.append((a, a + k))
            a += k
    if a:
        runs.append((a, b))
    return runs[::-1]


def included(index, length, leaf, hashes):
    """The root that a path leads to."""
    if index >= length or length > v.MAX_LENGTH:
        raise Broken("proof-position", f"index {index} of {length} records")
    runs = path(index, length)
    if len(runs) != len(hashes):
        raise Broken("proof-hashes", f"{len(hashes)} hashes; {len(runs)} are wanted")
    for (start, _), other in zip(runs, hashes):
        leaf = sha256(b"\1", leaf, other) if start > index else sha256(b"\1", other, leaf)
    return leaf


# Signed notes.


def key_id(name, algorithm, key):
    return sha256(name.encode(), b"\n", bytes([algorithm]), key)[:4]


def is_name(name):
    return name != "" and "+" not in name and not SPACES & set(name)


def read_signature(line):
    """(name, key id, signature), or None."""
    name, space, text = line.removeprefix(DASH).partition(" ")
    data = base64_bytes(text)
    if not line.startswith(DASH) or not space or data is None or len(data) < 5 or not is_name(name):
        return None
    return name, data[:4], data[4:]


def read_note(data):
    """The text and the signatures of a note."""

    def broken(detail, what):
        return Broken("note-bytes", what, detail)

    if len(data) > MAX_NOTE:
        raise broken("size", f"a note of {len(data)} bytes")
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise broken("characters", str(error)) from None
    if any(character < " " and character != "\n" for character in whole):
        raise broken("characters", "a control character")
    end = whole.rfind("\n\n")
    lines = whole[end + 2 :]
    if end < 0 or not lines.endswith("\n"):
        raise broken("parts", "it is not a text, an empty line and signatures")
    lines = lines[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise broken("count", f"{len(lines)} signatures")
    signatures = [read_signature(line) for line in lines]
    if None in signatures:
        raise broken("signature", "a line behind the text is no signature")
    return whole[: end + 1], signatures


# Checkpoints.


def read_id(text):
    fine = len(text) == 64 and all(digit in "0123456789abcdef" for digit in text)
    return bytes.fromhex(text) if fine else None


class Checkpoint:
    """A checkpoint that is well formed; no signature of it is verified."""

    def __init__(self, data):
        self.text, self.signatures = read_note(data)
        lines = self.text[:-1].split("\n")
        if len(lines) != 4:
            raise self.broken("lines", f"a text of {len(lines)} lines")
        self.origin = lines[0]
        words = lines[0].split("/")
        if len(words) != 3 or words[0] != "bzzz" or None in map(read_id, words[1:]):
            raise self.broken("origin", "the first line names no log of bzzz")
        self.swarm, self.author = map(read_id, words[1:])
        self.length = decimal(lines[1])
        if self.length is None or not 1 <= self.length <= v.MAX_LENGTH:
            raise self.broken("length", "the second line is no length of a log")
        self.root = base64_hash(lines[2])
        if self.root is None:
            raise self.broken("root", "the third line is no root")
        word, self.head_root = lines[3][:10], base64_hash(lines[3][10:])
        if word != "bzzz-root " or self.head_root is None:
            raise self.broken("head", "the fourth line is no root of log.md")

    @staticmethod
    def broken(detail, what):
        return Broken("checkpoint-text", what, detail)

    def expect(self, author, swarm):
        if author is not None and author != self.author:
            raise Broken("checkpoint-author", f"a checkpoint of log {self.author.hex()}")
        if swarm is not None and swarm != self.swarm:
            raise Broken("checkpoint-swarm", f"a checkpoint of swarm {self.swarm.hex()}")

    def signed_by(self, name, ident):
        return [one for of, number, one in self.signatures if (of, number) == (name, ident)]

    def verify(self):
        """The author's signatures."""
        found = self.signed_by(self.origin, key_id(self.origin, 1, self.author))
        if not found:
            raise Broken("checkpoint-signature", "its author did not sign it", "missing")
        verify_all(found, self.author, lambda _: self.text.encode(), "checkpoint-signature")

    def cosigned(self, vkey):
        """When the witness of this vkey cosigned it, or None."""
        name, ident, key = read_vkey(vkey)
        found = self.signed_by(name, ident)

        def message(data):
            return f"cosignature/v1\ntime {time_of(data)}\n{self.text}".encode()

        if any(len(one) != 72 or time_of(one) >> 63 for one in found):
            raise Broken("checkpoint-cosignature", "a cosignature of another form", "mismatch")
        verify_all(found, key, message, "checkpoint-cosignature", skip=8)
        return max(map(time_of, found), default=None)


def time_of(data):
    return int.from_bytes(data[:8], "big")


def verify_all(signatures, key, message, rule, skip=0):
    """identity.md, with a message of its own in place of context and message."""
    if signatures and (v.is_small_order(key) or not v.is_point(key)):
        raise Broken(rule, "the key is none", "key")
    for data in signatures:
        signature = data[skip:]
        fine = len(signature) == 64 and not v.is_small_order(signature[:32])
        if not fine or not v.opens(signature, message(data), key):
            raise Broken(rule, "a signature does not verify", "mismatch")


def read_vkey(text):
    """Name, key id and key of a cosigner."""
    name, digits, key = text.split("+", 2)
    key = base64_bytes(key)
    if key is None or len(key) != 33 or key[0] != 4 or key_id(name, 4, key[1:]).hex() != digits:
        raise ValueError(f"{text} is no key of a cosigner")
    return name, bytes.fromhex(digits), key[1:]


def verify_checkpoint(data, author=None, swarm=None, cosigner=None):
    checkpoint = Checkpoint(data)
    checkpoint.expect(author, swarm)
    checkpoint.verify()
    if cosigner is not None:
        checkpoint.cosigned(cosigner)
    return checkpoint


# Proofs as files.


def verify_proof(data, author=None, swarm=None):
    """The event that the file proves, and its checkpoint."""

    def broken(what):
        return Broken("proof-bytes", what, "bytes")

    if len(data) > MAX_FILE:
        raise broken(f"a file of more than {MAX_FILE} bytes")
    magic, rest = b"c2sp.org/tlog-proof@v1\n", data
    if not data.startswith(magic):
        raise Broken("proof-magic", "another first line")
    rest = data[len(magic) :]

    def line(what):
        nonlocal rest
        found, end, rest = rest.partition(b"\n")
        if not end:
            raise broken(f"no {what}")
        return found.decode("latin-1")

    extra = line("extra")
    body = base64_bytes(extra[6:]) if extra.startswith("extra ") else None
    if body is None:
        raise broken("the second line is not `extra` and base 64")
    number = line("index")
    index = decimal(number[6:]) if number.startswith("index ") else None
    if index is None:
        raise broken("the third line is not `index` and a number")
    hashes = []
    while text := line("hash"):
        if len(hashes) == MAX_PATH:
            raise Broken("proof-hashes", f"more than {MAX_PATH} hashes")
        hashes.append(base64_hash(text))
        if hashes[-1] is None:
            raise broken("a line is no hash")
    checkpoint = Checkpoint(rest)
    record = v.read_record(body)
    checkpoint.expect(author, swarm)
    record.check_body()
    if included(index, checkpoint.length, leaf_hash(record.header), hashes) != checkpoint.root:
        raise Broken("proof-root", "the path leads to another root than the checkpoint's")
    checkpoint.verify()
    return v.read_event(checkpoint.author, index, record), checkpoint
