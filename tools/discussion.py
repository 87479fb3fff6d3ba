"""Discussion, help and approvals of schema/fold.md: what tools/fold.py keeps of them in an epoch, and
the rules of their kinds. Written from the page alone.
"""

from dataclasses import astuple, dataclass, field

import state
from state import (
    APPROVAL, AUTHOR_MESSAGES, BYTES, CONTENT, DANGLING, DEPTH, ENDED, LIFETIME, LIMIT, MESSAGES,
    NOT_THE_AUTHOR, OWN_PLAN, PARTICIPANTS, PLAN, RELEASED, REPEATED, STEP, demand, flag, is_commit,
    listed, mapped, option, same, size, text, u32,
)
from verify import u64

# The parts of a message. The first three are the acts of kinds.md.
COMMENT, QUESTION, ANSWER, REVIEW, OFFER = range(5)
NO_HELP, ADVICE, TAKE_OVER = range(3)
# The kinds that are admitted to a discussion; their rules are told whether a person speaks.
ADMITTED = {31, 33, 80, 82}


def milliseconds(clock):
    return clock >> 16


@dataclass
class Limits:
    participants: int = 16
    depth: int = 8
    per_author: int = 32
    messages: int = 256
    bytes: int = 262_144
    lifetime_ms: int = 604_800_000

    def encoded(self):
        *small, size_, lifetime = astuple(self)
        return b"".join(map(u32, small)) + u64(size_) + u64(lifetime)


@dataclass
class Message:
    author: bytes
    at: int
    parent: bytes | None
    depth: int
    part: int
    text: str
    deadline_ms: int
    withdrawn: bool = False

    def bytes(self):
        parts = self.author + u64(self.at) + option(self.parent, same) + u32(self.depth)
        parts += u32(self.part) + text(self.text) + u64(self.deadline_ms)
        return parts + flag(self.withdrawn)


@dataclass
class Discussion:
    limits: Limits = field(default_factory=Limits)
    messages: dict = field(default_factory=dict)
    authors: dict = field(default_factory=dict)
    objections: dict = field(default_factory=dict)
    said: int = 0
    size: int = 0

    def bytes(self):
        parts = self.limits.encoded() + mapped(self.messages, same, Message.bytes)
        parts += mapped(self.authors, same, u32) + mapped(self.objections, same, u32)
        return parts + u32(self.said) + u64(self.size)


@dataclass
class Offer:
    event: bytes
    author: bytes
    help: int
    text: str
    capabilities: list
    until_ms: int
    withdrawn: bool = False

    def bytes(self):
        parts = self.event + self.author + u32(self.help) + text(self.text)
        parts += listed(self.capabilities, lambda one: text(one[0]))
        return parts + u64(self.until_ms) + flag(self.withdrawn)


@dataclass
class Help:
    event: bytes
    at: int
    tried: list
    missing: str
    deadline_ms: int
    offers: list = field(default_factory=list)
    accepted: tuple | None = None
    closed: bool = False

    def bytes(self):
        parts = self.event + u64(self.at) + listed(self.tried, lambda one: text(one[0]))
        parts += text(self.missing) + u64(self.deadline_ms) + listed(self.offers, Offer.bytes)
        return parts + option(self.accepted, lambda a: a[0] + u64(a[1])) + flag(self.closed)

    def offer(self, event):
        return next((one for one in self.offers if one.event == event), None)


@dataclass
class Handed:
    event: bytes
    at: int
    to: bytes
    base: tuple | None
    claim: str

    def bytes(self):
        base = option(self.base, lambda base: text(base[0]) + text(base[1]))
        return self.event + u64(self.at) + self.to + base + text(self.claim)


@dataclass
class Approval:
    event: bytes
    at: int
    subject: int
    hash: bytes
    text: str
    rule: str
    deadline_ms: int
    verdict: tuple | None = None

    def bytes(self):
        parts = self.event + u64(self.at) + u32(self.subject) + self.hash + text(self.text)
        parts += text(self.rule) + u64(self.deadline_ms)
        return parts + option(self.verdict, lambda v: v[0] + v[1] + flag(v[2]) + text(v[3]))


class Rules:
    """What an epoch does with the events of these kinds."""

    def admit(self, event, depth, said, person):
        """Counts what the author says, or refuses it."""
        found, author = self.discussion, event.author
        limits, free = found.limits, person or self.owned_by(author)
        demand(DANGLING, self.winner is not None)
        demand(ENDED, self.finished is None)
        since = self.rounds[-1].at if self.rounds else self.winner.at
        past = milliseconds(event.clock) - milliseconds(since)
        demand(LIFETIME, past <= limits.lifetime_ms)
        taking_part = author in found.authors or free
        demand(PARTICIPANTS, taking_part or len(found.authors) < limits.participants)
        own = found.authors.get(author, 0)
        demand(AUTHOR_MESSAGES, own < limits.per_author)
        demand(MESSAGES, free or found.said < limits.messages)
        demand(BYTES, size(said) <= 8192 and (free or found.size + size(said) <= limits.bytes))
        demand(DEPTH, depth <= limits.depth)
        found.authors[author] = own + 1
        found.said += 1
        found.size += size(said)

    def add(self, event, parent, depth, part, said="", deadline_ms=0):
        message = Message(event.author, event.clock, parent, depth, part, said, deadline_ms)
        self.discussion.messages[event.id] = message

    def fold_80(self, event, _, parent, act, said, deadline_ms, person):
        parent = None if parent is None else parent[0]
        above = self.discussion.messages.get(parent)
        if parent is None or any(one.event == parent for one in (*self.plans, *self.help)):
            depth = 1
        else:
            demand(DANGLING, above is not None)
            depth = above.depth + 1
        answers = above is not None and above.part == QUESTION and not above.withdrawn
        answers = answers and above.author != event.author
        demand(CONTENT, act[0] != ANSWER or answers)
        self.admit(event, depth, said, person)
        self.add(event, parent, depth, act[0], said, deadline_ms)
        if self.owned_by(event.author) and act[0] != COMMENT:
            self.answered(event.author, state.ANSWER if act[0] == ANSWER else PLAN)

    def fold_33(self, event, _, message, reason, person):
        found = self.discussion.messages.get(message)
        demand(DANGLING, found is not None)
        demand(NOT_THE_AUTHOR, found.author == event.author)
        demand(REPEATED, not found.withdrawn)
        self.admit(event, 1, reason, person)
        reviews = (review for plan in self.plans for review in plan.reviews)
        offers = (offer for request in self.help for offer in request.offers)
        for one in (found, *(one for one in (*reviews, *offers) if one.event == message)):
            one.withdrawn = True

    def fold_88(self, _, __, *named):
        limits = self.discussion.limits
        self.discussion.limits = Limits(*map(min, astuple(limits), named))

    # Help.

    def fold_81(self, event, _, tried, missing, deadline_ms):
        demand(ENDED, self.finished is None)
        demand(LIMIT, len(self.help) < 8)
        demand(REPEATED, not self.help or self.help[-1].closed)
        demand(CONTENT, len(tried) <= 32 and size(missing) <= 8192)
        self.help.append(Help(event.id, event.clock, tried, missing, deadline_ms))
        self.answered(event.author, STEP)
        self.answered(event.author, PLAN)

    def fold_82(self, event, _, request, help_, said, capabilities, until_ms, person):
        author = event.author
        demand(OWN_PLAN, not self.owned_by(author))
        self.answered(author, state.HELP)
        found = next((one for one in self.help if one.event == request), None)
        demand(DANGLING, found is not None)
        demand(ENDED, not found.closed)
        demand(REPEATED, all(offer.author != author for offer in found.offers))
        demand(LIMIT, len(found.offers) < 16)
        demand(CONTENT, len(capabilities) <= 64)
        self.admit(event, 1, said, person)
        found.offers.append(Offer(event.id, author, help_[0], said, capabilities, until_ms))
        self.add(event, request, 1, OFFER)

    def fold_83(self, event, _, offer):
        found = self.help[-1].offer(offer) if self.help else None
        demand(DANGLING, found is not None and not found.withdrawn and found.help != NO_HELP)
        demand(ENDED, not self.help[-1].closed)
        self.help[-1].accepted, self.help[-1].closed = (offer, event.clock), True

    def fold_84(self, event, _, to, offer, base, claim):
        accepted = self.help[-1].accepted if self.help else None
        demand(DANGLING, accepted is not None and accepted[0] == offer)
        found = self.help[-1].offer(offer)
        demand(DANGLING, found.help == TAKE_OVER and found.author == to)
        fits = base is None or is_commit(base[1]) and size(base[0]) <= 256
        demand(CONTENT, is_commit(claim) and fits)
        self.handed = Handed(event.id, event.clock, to, base, claim)
        win = self.winner
        win.commit, win.status, win.moved_at = claim, RELEASED, event.clock

    # Approvals.

    def fold_86(self, event, _, subject, hash_, shown, rule, deadline_ms):
        since = self.rounds[-1].at if self.rounds else 0
        asked = (one for one in self.approvals if one.hash == hash_)
        demand(REPEATED, not any(one.at > since for one in asked))
        demand(LIMIT, len(self.approvals) < 256)
        demand(CONTENT, size(shown) <= 16_384 and size(rule) <= 1024)
        approval = Approval(event.id, event.clock, subject[0], hash_, shown, rule, deadline_ms)
        self.approvals.append(approval)

    def fold_87(self, event, _, request, hash_, approved, reason):
        found = next((one for one in self.approvals if one.event == request), None)
        demand(DANGLING, found is not None)
        demand(APPROVAL, found.hash == hash_)
        demand(REPEATED, found.verdict is None)
        demand(ENDED, self.finished is None)
        demand(CONTENT, size(reason) <= 4096)
        found.verdict = (event.id, event.author, approved, reason)
