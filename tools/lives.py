"""Lives of tasks for tools/vectors.py: events of every kind in a fixed random order, some that fit
what was said before and some that do not, so that every rule of schema/fold.md about tasks and
repositories is met, in whichever order clocks bring them.
"""

import random

import verify as v
from verify import u64

AUTHORS = 3


def spell(kind, *values):
    """A payload's bytes, by its types in tools/verify.py."""
    return fields(v.PAYLOADS[kind], values)


def fields(types, values):
    assert len(types) == len(values), (types, values)
    return b"".join(map(field, types, values))


def field(form, value):
    if isinstance(form, int):
        return value
    if isinstance(form, tuple):
        name, *types = form
        if name == "list":
            return u64(len(value)) + b"".join(fields(types, one) for one in value)
        if name == "option":
            return b"\0" if value is None else b"\1" + fields(types, value)
        number, inner = value
        return number.to_bytes(4, "little") + fields(types[number], inner)
    if form == "key":
        return value
    if form in ("text", "commit"):
        return field("bytes", value.encode())
    if form == "bytes":
        return u64(len(value)) + value
    if form == "flag":
        return b"\1" if value else b"\0"
    if form == "i32":
        return value.to_bytes(4, "little", signed=True)
    return value.to_bytes({"u32": 4, "u64": 8}[form], "little")


class Life:
    """One random life of a task that three authors speak about."""

    def __init__(self, seed, keys):
        self.chance = random.Random(seed)
        self.keys = keys
        self.claim, self.asked = "1" * 40, None
        # The ids of what was said, by kind and author; the commits that it named; the steps.
        self.said, self.commits, self.steps, self.plans, self.levels = {}, ["0" * 40], 0, 0, 0

    def one_in(self, n):
        return self.chance.randrange(n) == 0

    def pick(self, values):
        return self.chance.choice(values)

    def last(self, *kinds):
        """Mostly the last event of these kinds; now and then an older one, or none at all."""
        found = [event for event, kind in self.said.items() if kind in kinds]
        if not found or self.one_in(12):
            return bytes(32)
        return self.pick(found) if self.one_in(6) else found[-1]

    def question(self):
        """Mostly the question that is open."""
        return self.last(64) if self.asked is None or self.one_in(8) else self.asked

    def commit(self):
        if self.one_in(3):
            self.commits.append(f"{self.chance.getrandbits(160):040x}")
        return "no commit" if self.one_in(15) else self.commits[-1]

    def epoch(self):
        return self.pick([1] * 12 + [2, 3])

    def text(self, limit):
        """Now and then a byte too long."""
        odds = 20 if limit < 1000 else 90
        return "x" * (limit + 1) if self.one_in(odds) else self.pick(["", "why", "gr\u00fcn"])

    def choice(self, n):
        return (self.chance.randrange(n), [])

    def payload(self, kind):
        """The values of a payload of the kind."""
        e, c = self.epoch(), self.chance
        some = [] if self.one_in(2) else [["a"], ["b"]]
        tokens = None if self.one_in(3) else [c.randrange(99)]
        if kind == 12:
            return ["tally", 1, self.text(1024), "body", some, [[2]], not self.one_in(4)]
        if kind == 13:
            name = "other" if self.one_in(6) else "tally"
            return [name, self.one_in(2), self.text(256), self.text(1024)]
        if kind == 48:
            status = self.pick([(0, [-1]), (1, []), (2, ["why"]), (3, ["how"])])
            return [e, self.last(46), status, 5, c.randrange(99), 1, bytes(32)]
        if kind == 46:
            step = c.randrange(9) if self.one_in(6) else self.steps
            return [e, step, "", f"echo {step}", 60]
        if kind == 30:
            revision = c.randrange(9) if self.one_in(6) else self.plans
            return [e, revision, "sum", some, [], some, [], c.getrandbits(40)]
        if kind == 69:
            return [e, self.question(), self.levels + self.pick([1, 1, 1, 2])]
        return {
            11: lambda: ["tally", self.text(2048), "main"],
            20: lambda: [c.randrange(4), 9, 7, None if self.one_in(2) else [self.commit()]],
            21: lambda: [self.last(20), e, self.commit()],
            22: lambda: [e, None, None if self.one_in(2) else [self.pick(self.keys), e]],
            23: lambda: [e, 1, self.commit(), self.choice(4), ""],
            24: lambda: [self.pick(self.keys), e, self.commit(), self.choice(4)],
            25: lambda: [self.pick(self.keys), e, self.commit(), 9],
            26: lambda: [self.last(20), e, "why"],
            27: lambda: [e, self.claim],
            31: lambda: [e, self.last(30), self.choice(3), "why"],
            32: lambda: [e, self.last(30), [[self.last(31)]] if some else []],
            40: lambda: [e, 7, "docker", self.commit()],
            41: lambda: [e, "why"],
            42: lambda: [e, self.pick([(0, []), (1, []), (2, []), (2, [])]), 0, bytes(32), ""],
            43: lambda: [self.last(42), e, self.choice(3), "m", "said", tokens, [3]],
            44: lambda: [self.last(42), e, self.choice(3), "why"],
            45: lambda: [self.last(43), e, self.choice(3), "why"],
            47: lambda: [e, self.last(46), 0, self.choice(2), 1, b"out" * self.pick([1, 9, 90, 1500])],
            49: lambda: [e, "done"],
            50: lambda: [e, "why"],
            51: lambda: [e, self.last(42), 2, 99],
            52: lambda: [e, self.last(46), self.text(256), 443, 1],
            53: lambda: [e, self.text(256), [["make"]] * self.pick([1, 2, 33]), "", some],
            60: lambda: [e, self.text(256), self.commits[0], 1, 2, 3],
            61: lambda: [e, self.pick(["", "why"]), self.commits[0], self.commit()],
            62: lambda: [e, "why"],
            63: lambda: [e, self.pick([1, 1, 2]), "place"],
            64: lambda: [e, "why", "what"],
            65: lambda: [e, "board", self.pick(["claimed", "published"])],
            66: lambda: [e, self.pick(["published", "escalated", "merged"])],
            67: lambda: [e, 1, self.pick([(0, []), (0, []), (1, []), (2, [])]), self.text(64),
                         self.choice(4), self.choice(4), self.text(16_384)],
            68: lambda: [e, self.last(67, 71), None if self.one_in(2) else ["b", self.commit()]],
            70: lambda: [e, self.question(), self.text(256), "api"],
            71: lambda: [e, self.question(), self.text(16_384), "eve", "api"],
        }[kind]()

    def note(self, kind, event, payload):
        self.said[event] = kind
        if kind == 64 and self.asked is None:
            self.asked = event
        elif kind == 68:
            self.asked = None
        if kind in (21, 23, 61):
            self.claim = payload[{21: 2, 23: 2, 61: 3}[kind]]
        if kind == 40 or kind == 68:
            self.steps = 0
        self.steps += kind == 46
        self.plans += kind == 30
        self.levels = {64: 0, 69: self.levels + 1}.get(kind, self.levels)


# What happens often, so that lives get somewhere.
OFTEN = [40, 42, 46, 60, 63, 64, 66, 67, 30, 13]
# What then follows, and who says it: the same author if nobody is named.
THEN = {42: (43, None), 43: (45, None), 46: (47, None), 47: (48, None), 60: (61, None), 30: (31, 1),
        31: (32, 0), 64: (69, 0), 69: (70, 2), 70: (71, 2), 71: (68, 0), 67: (68, 0), 61: (27, 0),
        44: (42, None), 45: (42, None), 48: (52, None)}
KINDS = [12, 13, *range(20, 28), 30, 31, 32, *range(40, 54), *range(60, 72)]


def live(seed, logs, task, start, events):
    """Writes so many events into the logs: the owner to be, another agent, an operator."""
    life = Life(seed, [log.key.public for log in logs])
    opening = [(0, 11), (0, 12), (0, 20), (0, 21), (0, 40), (1, 20), (1, 21)]
    clock, then, before = start, None, 0
    for number in range(events):
        who, kind = (0, life.pick(OFTEN if life.one_in(2) else KINDS))
        if number < len(opening):
            who, kind = opening[number]
        elif then and not life.one_in(4):
            kind, other = then
            who = before if other is None else other
        elif life.one_in(4):
            who = life.chance.randrange(1, AUTHORS)
        then, before = THEN.get(kind), who
        # Days pass, so that what was used up on the oldest is forgotten.
        clock += life.pick([1, 1, 1, 86_400_000 << 16 if number % 3 == 0 else 1])
        named = {} if kind in (11, 13) else {"task": task}
        payload = life.payload(kind)
        if number == 2:
            payload[0] = 1
        if number in (3, 6):
            payload = [life.last(20) if number == 6 else list(life.said)[-1], 1, "1" * 40]
        log = logs[who]
        log.write(clock, kind, spell(kind, *payload), **named)
        life.note(kind, log.id(len(log.records) - 1), payload)
        if life.one_in(8):
            log.seal()
    for log in logs:
        if log.appends[-1:] != [len(log.records)]:
            log.seal()
