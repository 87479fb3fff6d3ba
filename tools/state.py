"""What all aggregates of tools/fold.py share: the reasons of refusals, and the encoding of a state."""

from dataclasses import dataclass, field

from verify import u64

MALFORMED, ROLE, NOT_AN_ADMINISTRATOR, NOT_THE_FOUNDING, CONTENT, DANGLING = range(6)
NOT_THE_OWNER, OWN_PLAN, REPEATED, ENDED, OBJECTION, LIMIT, PROOF = range(6, 13)
PROTECTED, SIGNATURE, PARTICIPANTS, DEPTH, AUTHOR_MESSAGES, MESSAGES, BYTES = range(13, 20)
LIFETIME, HOPS, OBJECTIONS, NOT_THE_AUTHOR, APPROVAL, EARLY = range(20, 26)
# Those of tasks and sessions: Malformed is of no event, and the others are of members and erasures.
REASONS = set(range(26)) - {MALFORMED, NOT_AN_ADMINISTRATOR, NOT_THE_FOUNDING, PROOF, PROTECTED, SIGNATURE}
PLAN, REVIEW, STEP, HELP, ANSWER = range(5)
AGENT, OPERATOR, OBJECT = 1, 2, 2
RELEASED, PUBLISHED = 1, 2
PULL_OPEN = 0


class Refused(Exception):
    """An event changes nothing, for this reason."""


def demand(reason, holds):
    if not holds:
        raise Refused(reason)


# Encoding.


def u32(number):
    return number.to_bytes(4, "little")


def flag(value):
    return b"\1" if value else b"\0"


def text(value):
    data = value.encode()
    return u64(len(data)) + data


def raw(data):
    return u64(len(data)) + data


def option(value, encode):
    return b"\0" if value is None else b"\1" + encode(value)


def listed(values, encode):
    return u64(len(values)) + b"".join(map(encode, values))


def mapped(values, key, encode):
    """By rising key; a text's order is that of its UTF-8."""
    order = sorted(values, key=lambda k: k.encode() if isinstance(k, str) else k)
    return u64(len(values)) + b"".join(key(k) + encode(values[k]) for k in order)


def keys(values, key):
    return mapped(dict.fromkeys(values), key, lambda _: b"")


def same(data):
    return data


def size(value):
    """The bytes of a text."""
    return len(value.encode())


def is_commit(value):
    return len(value) in (40, 64) and all(digit in "0123456789abcdef" for digit in value)


@dataclass
class Refusals:
    first: list = field(default_factory=list)
    count: int = 0

    def add(self, event, reason):
        if len(self.first) < 256:
            self.first.append((event.id, event.author, event.seq, reason))
        self.count += 1

    def forget(self, author, start):
        """Takes out those that are listed of an author from an index on."""
        kept = [one for one in self.first if one[1] != author or one[2] < start]
        self.count -= len(self.first) - len(kept)
        self.first = kept

    def bytes(self):
        one = lambda r: r[0] + r[1] + u64(r[2]) + u32(r[3])
        return listed(self.first, one) + u64(self.count)
