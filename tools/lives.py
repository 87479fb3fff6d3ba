"""Lives of tasks and sessions for tools/vectors.py: events of every kind in a fixed random order, some
that fit what was said before and some that do not, so that every rule of schema/fold.md about tasks,
repositories and sessions is met, in whichever order clocks bring them.
"""

import random

import fold
import sessions
import verify as v
from verify import u64
from writer import written

# The owner to be, another agent, an operator, and an administrator.
OWNER, AGENT, OPERATOR, ADMINISTRATOR = range(4)
DAY = 86_400_000 << 16


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
        # A variant that there is not has no fields.
        own = types[number] if number < len(types) else []
        return number.to_bytes(4, "little") + fields(own, inner)
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


class Chance:
    """What all lives draw from, and what they wrote: the state so far tells what was refused."""

    def __init__(self, seed, logs):
        self.chance = random.Random(seed)
        self.logs, self.state = logs, fold.fold(written(logs), logs[0].swarm)
        # The kinds of what was said, by its id, in the order in which it was said; and of what was
        # refused.
        self.said, self.wrong = {}, {}

    def write(self, who, clock, kind, payload, task):
        """Writes an event later than all before, and returns its id if it was not refused."""
        log = self.logs[who]
        log.write(clock, kind, spell(kind, *payload), task=task)
        event = log.event(len(log.records) - 1)
        before = self.refused()
        self.state.fold(event, v.read_payload(kind, event.body))
        if self.one_in(8):
            log.seal()
        if self.refused() > before:
            self.wrong[event.id] = kind
            return None
        self.said[event.id] = kind
        return event.id

    def refused(self):
        about = [*self.state.tasks.values(), *self.state.sessions.values()]
        return sum(one.refusals.count for one in about)

    def end(self):
        """The heads of all that has none."""
        for log in self.logs:
            if log.appends[-1:] != [len(log.records)]:
                log.seal()

    def one_in(self, n):
        return self.chance.randrange(n) == 0

    def pick(self, values):
        return self.chance.choice(values)

    def last(self, *kinds):
        """Mostly the last event of these kinds; now and then an older one, one that was refused,
        or none at all.
        """
        said = self.wrong if self.one_in(20) else self.said
        found = [event for event, kind in said.items() if kind in kinds]
        if not found or self.one_in(20):
            return bytes(32)
        return self.pick(found) if self.one_in(6) else found[-1]

    def text(self, limit):
        """Now and then a byte too long."""
        odds = 20 if limit < 1000 else 90
        return "x" * (limit + 1) if self.one_in(odds) else self.pick(["", "why", "gr\u00fcn"])

    def texts(self, limit):
        """Now and then one too many."""
        return [["a"]] * (limit + 1 if self.one_in(15) else self.chance.randrange(3))

    def choice(self, n):
        return (self.chance.randrange(n), [])


class Life(Chance):
    """One random life of a task that its authors speak about."""

    def __init__(self, seed, logs, talks):
        super().__init__(seed, logs)
        self.talks = talks
        self.keys = [log.key.public for log in logs]
        self.claim, self.asked = "1" * 40, None
        # The commits that were named; the steps.
        self.commits, self.steps, self.plans, self.levels = ["0" * 40], 0, 0, 0
        # Who said what, the questions, the offer that was accepted, and the hashes to be approved.
        self.authors, self.questions, self.accepted, self.hashes = {}, [], bytes(32), {}

    def question(self):
        """Mostly the question that is open."""
        return self.last(64) if self.asked is None or self.one_in(8) else self.asked

    def commit(self):
        if self.one_in(3):
            self.commits.append(f"{self.chance.getrandbits(160):040x}")
        return "no commit" if self.one_in(15) else self.commits[-1]

    def epoch(self):
        return self.pick([1] * 12 + [2, 3])

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
            31: lambda: [e, self.last(30), (self.pick([0, 1, 2, 2, 2]), []), self.text(8192)],
            32: lambda: [e, self.last(30), [[self.last(31)]] if some else []],
            40: lambda: [e, 7, "docker", self.commit()],
            41: lambda: [e, "why"],
            33: lambda: [e, self.last(31, 80, 82), self.text(8192)],
            42: lambda: [e, (self.pick([0, 1, 2, 2, 3, 4]), []), 0, bytes(32), ""],
            43: lambda: [self.last(42), e, self.choice(5), "m", "said", tokens, [3]],
            44: lambda: [self.last(42), e, self.choice(5), "why"],
            45: lambda: [self.last(43), e, self.choice(5), "why"],
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
            80: lambda: self.message(e),
            81: lambda: [e, self.texts(32), self.text(8192), c.getrandbits(40)],
            82: lambda: [e, self.last(81), self.pick([(0, []), (1, []), (2, []), (2, [])]),
                         self.text(8192), self.texts(64), c.getrandbits(40)],
            83: lambda: [e, self.last(82)],
            84: lambda: self.handed(e),
            85: lambda: [self.pick(["tally", "other", self.text(128)]), self.pick([1, 2, 3]),
                         self.choice(2), self.pick([30, 60, 100, 101]), self.texts(16)],
            86: lambda: [e, self.choice(3), bytes([c.randrange(6)]) * 32, self.text(16_384),
                         self.text(1024), c.getrandbits(40)],
            87: lambda: self.approval(e),
            88: lambda: [e, *self.limits()],
        }[kind]()

    def message(self, e):
        act = self.chance.randrange(3)
        if act == 2 and self.questions and not self.one_in(5):
            parent = [self.pick(self.questions)]
        else:
            parent = None if self.one_in(3) else [self.last(30, 31, 80, 80, 81, 82)]
        return [e, parent, (act, []), self.text(8192), self.chance.getrandbits(40)]

    def handed(self, e):
        offer = self.last(82) if self.one_in(5) else self.accepted
        to = self.pick(self.keys) if self.one_in(8) else self.authors.get(offer, self.keys[0])
        base = None if self.one_in(2) else [self.text(256), self.commit()]
        return [e, to, offer, base, self.commit()]

    def approval(self, e):
        request = self.last(86)
        hash_ = bytes(32) if self.one_in(6) else self.hashes.get(request, bytes(32))
        return [e, request, hash_, self.one_in(2), self.text(4096)]

    def limits(self):
        """Mostly no tighter; else one of the six is."""
        limits = [16, 8, 32, 256, 262_144, 604_800_000]
        if self.one_in(2):
            tight = self.chance.randrange(6)
            limits[tight] = [2, 1, 12, 30, 90, 150][tight]
        return limits

    def note(self, kind, event, payload, author):
        self.authors[event] = author
        if kind == 80 and payload[2][0] == 1:
            self.questions.append(event)
        elif kind == 83:
            self.accepted = payload[1]
        elif kind == 86:
            self.hashes[event] = payload[2]
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
THEN = {42: (43, None), 43: (45, None), 46: (47, None), 47: (48, None), 60: (61, None), 30: (31, AGENT),
        31: (32, OWNER), 64: (69, OWNER), 69: (70, OPERATOR), 70: (71, OPERATOR), 71: (68, OWNER),
        67: (68, OWNER), 61: (27, OWNER), 44: (42, None), 45: (42, None), 48: (52, None),
        81: (82, AGENT), 82: (83, OWNER), 83: (84, OWNER), 86: (87, OPERATOR)}
# The same of a life in which much is discussed.
OFTEN_SAID = [30, 31, 33, 80, 80, 80, 80, 81, 85, 86]
THEN_SAID = THEN | {80: (80, None), 87: (87, ADMINISTRATOR), 85: (85, AGENT), 66: (64, OWNER)}
KINDS = [12, 13, *range(20, 28), 30, 31, 32, 33, *range(40, 54), *range(60, 72), *range(80, 89)]


def live(seed, logs, task, start, events, talks=False):
    """Writes so many events into the logs of the four authors."""
    life = Life(seed, logs, talks)
    often, follows = (OFTEN_SAID, THEN_SAID) if talks else (OFTEN, THEN)
    opening = [(0, 11), (0, 12), (0, 20), (0, 21), (0, 40), (1, 20), (1, 21)]
    clock, then, before = start, None, 0
    for number in range(events):
        who, kind = (OWNER, life.pick(often if talks or life.one_in(2) else KINDS))
        if number < len(opening):
            who, kind = opening[number]
        elif then and not life.one_in(4):
            kind, other = then
            who = before if other is None else other
        elif life.one_in(4):
            who = life.pick([AGENT, AGENT, OPERATOR, ADMINISTRATOR])
        if talks and kind in (33, 80):
            who = life.pick([OWNER, AGENT, AGENT, OPERATOR, ADMINISTRATOR])
        if talks and number > 20 and life.one_in(40):
            who, kind = OWNER, 88
        then, before = follows.get(kind), who
        # Days pass, so that what was used up on the oldest is forgotten, and discussions end.
        clock += life.pick([1, 1, 1, DAY if number % 3 == 0 and not talks else 1])
        if talks:
            clock += 8 * DAY if number == events - 30 else 1 << 16
        payload = life.payload(kind)
        if number == 2:
            payload[0] = 1
        if number in (3, 6):
            payload = [life.last(20) if number == 6 else list(life.said)[-1], 1, "1" * 40]
        event = life.write(who, clock, kind, payload, bytes(32) if kind in (11, 13) else task)
        if event is not None:
            life.note(kind, event, payload, life.keys[who])
    life.end()


class Sessions(Chance):
    """Sessions about two pairs of tasks; the tasks of the second are of two repositories."""

    def __init__(self, seed, logs):
        super().__init__(seed, logs)
        # The openings, and what was said, by session.
        self.open, self.found = {}, {}

    def sides(self, number):
        """The sides of the session of a number, and its id."""
        other = "tally" if number % 2 else "other"
        sides = sorted([["tally", 1, number], [other, 2, 1]], key=sessions.task_of)
        return sides, sessions.session_of(sides)

    def of(self, session, *kinds):
        """Mostly the last event of these kinds in the session, as `last`."""
        found = [event for event in self.found.get(session, []) if self.said[event] in kinds]
        if not found or self.one_in(15):
            return self.last(*kinds)
        return self.pick(found) if self.one_in(3) else found[-1]

    def payload(self, kind, sides, session, clock):
        if kind == 90:
            return self.opening(sides, clock)
        opening = self.of(session, 90) if self.one_in(8) else self.open.get(session, bytes(32))
        parent = opening if self.one_in(3) else self.of(session, 92)
        joined = [event for event in self.found.get(session, []) if self.said[event] == 91]
        considered = [[event] for event in joined if not self.one_in(2)]
        return {
            91: lambda: [opening, not self.one_in(3), self.text(4096)],
            92: lambda: [parent, self.pick([0, 0, 0, 1, 1, 1, 1, 2]), self.choice(3), self.text(8192)],
            93: lambda: [opening, 1 if self.one_in(6) else 0, considered],
            94: lambda: [opening, self.text(4096)],
        }[kind]()

    def opening(self, sides, clock):
        sides = self.pick([sides] * 8 + [sides[::-1], sides[:1], [sides[0]] * 2, [*sides, ["z", 3, 1]]])
        first = self.pick([0] * 9 + [2])
        later = self.chance.randrange(2_000_000)
        return [sides, first, self.text(4096), self.texts(16), (clock >> 16) + later]


def confer(seed, logs, start, events, pairs):
    """Writes so many events about so many sessions into the logs of the four authors."""
    life, clock = Sessions(seed, logs), start
    for number in range(events):
        sides, session = life.sides(1 + life.chance.randrange(pairs))
        if session not in life.open or life.one_in(25):
            kind = 90
        else:
            kind = life.pick([91, 92, 92, 92, 92, 92, 92, 92] + [93, 94] * (pairs > 2))
        who = life.pick([OWNER, OWNER, OWNER, AGENT, AGENT, AGENT, OPERATOR, ADMINISTRATOR])
        clock += life.pick([1, 1, 70_000 << 16, 1 << 16])
        clock += 8 * DAY if number == events - 30 else 0
        payload = life.payload(kind, sides, session, clock)
        # Now and then in the name of another session.
        named = life.sides(1)[1] if life.one_in(30) else session
        event = life.write(who, clock, kind, payload, named)
        if event is not None:
            life.found.setdefault(session, []).append(event)
            if kind == 90:
                life.open.setdefault(session, event)
    life.end()
