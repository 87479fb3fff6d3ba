"""Coordination sessions of schema/fold.md, for tools/fold.py. Written from the page alone."""

from dataclasses import dataclass, field

from state import (
    AUTHOR_MESSAGES, BYTES, CONTENT, DANGLING, DEPTH, EARLY, ENDED, HOPS, LIFETIME, LIMIT, MESSAGES,
    NOT_THE_AUTHOR, OBJECTION, PARTICIPANTS, REPEATED, Refusals, demand, flag, listed, mapped, option,
    same, size, text, u32,
)
from verify import derive, u64

WEEK_MS = 604_800_000


def task_of(side):
    repository, issue, _ = side
    return derive("task", u64(issue), repository.encode())


def session_of(sides):
    """The id of a session, by its sides."""
    return derive("session", *(task_of(side) + u64(side[2]) for side in sides))


@dataclass
class Opening:
    event: bytes
    by: bytes
    at: int
    sides: list
    first: int
    reason: str
    evidence: list
    deadline_ms: int

    def bytes(self):
        side = lambda one: text(one[0]) + u64(one[1]) + u64(one[2])
        parts = self.event + self.by + u64(self.at) + listed(self.sides, side) + u32(self.first)
        parts += text(self.reason) + listed(self.evidence, lambda one: text(one[0]))
        return parts + u64(self.deadline_ms)


@dataclass
class Said:
    author: bytes
    at: int
    parent: bytes
    side: int
    depth: int
    hops: int
    act: int
    text: str

    def bytes(self):
        numbers = b"".join(map(u32, (self.side, self.depth, self.hops, self.act)))
        return self.author + u64(self.at) + self.parent + numbers + text(self.text)


@dataclass
class Session:
    id: bytes
    opening: Opening | None = None
    joined: dict = field(default_factory=dict)
    messages: dict = field(default_factory=dict)
    authors: dict = field(default_factory=dict)
    size: int = 0
    resolved: tuple | None = None
    escalated: tuple | None = None
    refusals: Refusals = field(default_factory=Refusals)
    events: int = 0

    def bytes(self):
        joined = lambda one: one[0] + flag(one[1]) + text(one[2])
        parts = self.id + option(self.opening, Opening.bytes) + mapped(self.joined, same, joined)
        parts += mapped(self.messages, same, Said.bytes) + mapped(self.authors, same, u32)
        parts += u64(self.size) + option(self.resolved, lambda one: one[0] + u32(one[1]))
        parts += option(self.escalated, lambda one: one[0] + text(one[1]))
        return parts + self.refusals.bytes() + u64(self.events)

    def fold(self, event, fields, _):
        if event.kind != 90:
            demand(DANGLING, self.opening is not None)
            # All but CoordinationSaid name the opening.
            demand(DANGLING, event.kind == 92 or fields[0] == self.opening.event)
            demand(ENDED, self.resolved is None and self.escalated is None)
        getattr(self, f"fold_{event.kind}")(event, *fields)
        self.events += 1

    def fold_90(self, event, sides, first, reason, evidence, deadline_ms):
        tasks = [task_of(side) for side in sides]
        demand(CONTENT, len(tasks) == 2 and tasks[0] < tasks[1])
        demand(CONTENT, all(size(side[0]) <= 128 for side in sides) and session_of(sides) == self.id)
        demand(CONTENT, first <= 1 and size(reason) <= 4096 and len(evidence) <= 16)
        demand(REPEATED, self.opening is None)
        said = (event.id, event.author, event.clock, sides, first, reason, evidence, deadline_ms)
        self.opening = Opening(*said)

    def fold_91(self, event, _, agrees, reason):
        demand(REPEATED, event.author not in self.joined)
        demand(LIMIT, len(self.joined) < 16)
        demand(CONTENT, size(reason) <= 4096)
        self.joined[event.author] = (event.id, agrees, reason)

    def fold_92(self, event, parent, side, act, said):
        opening, author = self.opening, event.author
        demand(CONTENT, side <= 1)
        depth, hops = 1, 0
        if parent != opening.event:
            above = self.messages.get(parent)
            demand(DANGLING, above is not None)
            repositories = [opening.sides[number][0] for number in (above.side, side)]
            depth, hops = above.depth + 1, above.hops + (repositories[0] != repositories[1])
        demand(LIFETIME, (event.clock >> 16) - (opening.at >> 16) <= WEEK_MS)
        demand(PARTICIPANTS, author in self.authors or len(self.authors) < 16)
        own = self.authors.get(author, 0)
        demand(AUTHOR_MESSAGES, own < 32)
        demand(MESSAGES, len(self.messages) < 256)
        demand(BYTES, size(said) <= 8192 and self.size + size(said) <= 262_144)
        demand(DEPTH, depth <= 8)
        demand(HOPS, hops <= 4)
        message = Said(author, event.clock, parent, side, depth, hops, act[0], said)
        self.messages[event.id] = message
        self.authors[author] = own + 1
        self.size += size(said)

    def fold_93(self, event, _, first, considered):
        opening = self.opening
        demand(NOT_THE_AUTHOR, event.author == opening.by)
        demand(CONTENT, first == opening.first)
        named = [agrees for said, agrees, _ in self.joined.values() if [said] in considered]
        demand(OBJECTION, all(named))
        demand(EARLY, bool(named) or event.clock >> 16 >= opening.deadline_ms)
        self.resolved = (event.id, first)

    def fold_94(self, event, _, reason):
        demand(NOT_THE_AUTHOR, event.author == self.opening.by or event.author in self.joined)
        demand(CONTENT, size(reason) <= 4096)
        self.escalated = (event.id, reason)
