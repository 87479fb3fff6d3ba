"""The fold of schema/fold.md, in Python: what a set of events means, and the digest of that.

Written from the page alone. `fold(events, swarm)` takes verified events in any order (tools/verify.py,
`Event`), and `digest` is what manifests and checkpoints hold.
"""

from dataclasses import dataclass, field

import discussion as talk
import verify as v
from sessions import Session
from state import (
    AGENT, CONTENT, DANGLING, ENDED, HELP, LIMIT, NOT_AN_ADMINISTRATOR, NOT_THE_FOUNDING, NOT_THE_OWNER,
    OBJECT, OBJECTION, OBJECTIONS, OPERATOR, OWN_PLAN, PLAN, PROOF, PROTECTED, PUBLISHED, PULL_OPEN, REPEATED,
    REVIEW, ROLE, SIGNATURE, STEP, Refusals, Refused, demand, flag, is_commit, keys, listed, mapped, option,
    raw, same, size, text, u32,
)
from verify import derive, u64

VERSION = 5


@dataclass
class Member:
    name: str
    role: int
    administrator: bool
    since: int
    revoked_at: int | None = None
    successor: bytes | None = None
    forks: set = field(default_factory=set)
    resolved: tuple | None = None

    def bytes(self):
        parts = text(self.name) + u32(self.role) + flag(self.administrator) + u64(self.since)
        parts += option(self.revoked_at, u64) + option(self.successor, same)
        parts += keys(self.forks, u64)
        return parts + option(self.resolved, lambda branch: u64(branch[0]) + branch[1])


@dataclass
class Members:
    swarm: bytes
    founded: tuple | None = None
    members: dict = field(default_factory=dict)
    refusals: Refusals = field(default_factory=Refusals)
    cuts: dict = field(default_factory=dict)

    def stands(self, author, seq):
        member = self.members.get(author)
        if member is None:
            return False
        return all(seq < length for length in [member.revoked_at, *member.forks] if length is not None)

    def fork(self, event, proof):
        demand(ROLE, event.author in self.members)
        try:
            cursor = v.Cursor(proof)
            branch, _ = v.read_branch(cursor), v.read_branch(cursor)
            cursor.end()
        except (v.Broken, v.Ended):
            raise Refused(PROOF) from None
        member, index = self.members.get(branch.head.author), branch.path.a
        demand(DANGLING, member is not None)
        demand(REPEATED, index not in member.forks)
        demand(ENDED, member.resolved is None or index >= member.resolved[0])
        try:
            v.verify_fork(v.Cursor(proof), None, self.swarm)
        except v.Broken:
            raise Refused(PROOF) from None
        member.forks = set(sorted(member.forks | {index})[:16])

    def fold(self, event, fields):
        if event.kind == 6:
            self.fork(event, *fields)
            return
        author = self.members.get(event.author)
        ends = [self.cuts.get(event.author)]
        if author is not None:
            ends += [author.revoked_at, *author.forks]
        if any(end is not None and event.seq >= end for end in ends):
            return
        if event.kind == 9:
            self.rotate(event, author, *fields)
            return
        if event.kind == 1:
            name, administrators, _ = fields
            demand(CONTENT, len(administrators) <= 64 and len(name.encode()) <= 256)
            right = event.seq == 0 and derive("swarm", event.id) == self.swarm
            demand(NOT_THE_FOUNDING, right and self.founded is None)
            self.founded = (event.id, name)
            for (key,) in administrators:
                self.members[key] = Member("administrator", AGENT, True, event.clock)
            return
        demand(NOT_AN_ADMINISTRATOR, author is not None and author.administrator)
        member = self.members.get(fields[0])
        if event.kind == 2:
            key, (role, _), name = fields
            demand(CONTENT, len(name.encode()) <= 256)
            demand(REPEATED, member is None or member.revoked_at is not None)
            demand(ENDED, member is None)
            demand(LIMIT, len(self.members) < 4096)
            self.members[key] = Member(name, role, False, event.clock)
        elif event.kind == 7:
            _, length, root, reason = fields
            demand(CONTENT, len(reason.encode()) <= 4096)
            demand(DANGLING, member is not None and bool(member.forks))
            demand(CONTENT, length == min(member.forks) + 1)
            member.forks = {index for index in member.forks if index >= length}
            member.resolved = (length, root)
        else:
            demand(DANGLING, member is not None)
            demand(ROLE, not member.administrator)
            self.revoke(member, *fields[:2])

    def revoke(self, member, key, length):
        before = member.revoked_at
        rotated = member.successor is not None
        demand(REPEATED, before is None or rotated and length < before)
        member.revoked_at = length
        self.refusals.forget(key, length)
        following, member.successor = member.successor, None
        while following is not None and following in self.members:
            self.refusals.forget(following, 0)
            following = self.members.pop(following).successor

    def rotate(self, event, member, successor, signature):
        demand(DANGLING, member is not None)
        demand(REPEATED, successor not in self.members)
        demand(LIMIT, len(self.members) < 4096)
        signed = self.swarm + event.author + successor + u64(event.seq)
        try:
            v.verify_signature(successor, b"rotation", signed, signature)
        except v.Broken:
            raise Refused(SIGNATURE) from None
        after = Member(member.name, member.role, member.administrator, event.clock)
        self.members[successor] = after
        member.revoked_at, member.successor = event.seq + 1, successor

    def bytes(self):
        founded = option(self.founded, lambda f: f[0] + text(f[1]))
        members = mapped(self.members, same, Member.bytes)
        return self.swarm + founded + members + self.refusals.bytes() + mapped(self.cuts, same, u64)


@dataclass
class Erasure:
    event: bytes
    by: bytes
    said: bytes
    index: int
    at: int
    reason: str

    def bytes(self):
        parts = self.event + self.by + self.said + u64(self.index) + u64(self.at)
        return parts + text(self.reason)


def may_be_erased(event):
    return not 1 <= event.kind <= 9


@dataclass
class Erasures:
    payloads: dict = field(default_factory=dict)
    counts: dict = field(default_factory=dict)
    refusals: Refusals = field(default_factory=Refusals)

    def of(self, event):
        """The erasure of an event, if there is one."""
        found = self.payloads.get(event.author, {}).get(event.seq)
        right = found is not None and found.event == event.id and may_be_erased(event)
        return found if right else None

    def fold(self, event, fields, members, target):
        erased, author, seq, reason = fields
        administrator = members.members[event.author].administrator
        own = author == event.author
        demand(CONTENT, len(reason.encode()) <= 256)
        demand(NOT_AN_ADMINISTRATOR, administrator or own)
        demand(DANGLING, not own or seq < event.seq)
        demand(REPEATED, seq not in self.payloads.get(author, {}))
        count = self.counts.get(event.author, 0)
        demand(LIMIT, count < (65_536 if administrator else 1024))
        demand(DANGLING, target is None or target.id == erased)
        demand(PROTECTED, target is None or may_be_erased(target))
        erasure = Erasure(erased, event.author, event.id, event.seq, event.clock, reason)
        self.payloads.setdefault(author, {})[seq] = erasure
        self.counts[event.author] = count + 1

    def bytes(self):
        log = lambda payloads: mapped(payloads, u64, Erasure.bytes)
        parts = mapped(self.payloads, same, log) + mapped(self.counts, same, u64)
        return parts + self.refusals.bytes()


@dataclass
class Agent:
    started: bytes
    at: int
    starts: int

    def bytes(self):
        return self.started + u64(self.at) + u64(self.starts)


@dataclass
class Intent:
    author: bytes
    at: int
    process: int
    lease_ms: int
    previous: str | None
    result: int = 0

    def bytes(self):
        numbers = u64(self.at) + u64(self.process) + u64(self.lease_ms)
        return self.author + numbers + option(self.previous, text) + u32(self.result)


@dataclass
class Win:
    author: bytes
    process: int
    at: int
    intent: bytes
    lease_ms: int
    commit: str
    moved_at: int
    renewal: int = 0
    status: int = 0
    lost_at: int | None = None
    dropped: int | None = None

    def bytes(self):
        parts = self.author + u64(self.process) + u64(self.at) + self.intent + u64(self.lease_ms)
        parts += text(self.commit) + u64(self.renewal) + u32(self.status) + u64(self.moved_at)
        return parts + option(self.lost_at, u64) + option(self.dropped, u64)


@dataclass
class Ask:
    event: bytes
    purpose: int
    turn: int
    waiting: bool = True
    answer: tuple | None = None
    failures: int = 0
    last_error: str | None = None
    nonsense: bool = False
    turns: list = field(default_factory=lambda: [0, 0])

    def bytes(self):
        parts = self.event + u32(self.purpose) + u32(self.turn) + flag(self.waiting)
        parts += option(self.answer, lambda a: a[0] + text(a[1])) + u32(self.failures)
        parts += option(self.last_error, text) + flag(self.nonsense)
        return parts + b"".join(map(u32, self.turns))

    def answered(self):
        self.answer, self.waiting, self.failures, self.last_error = None, False, 0, None


@dataclass
class Review:
    event: bytes
    author: bytes
    verdict: int
    reason: str
    withdrawn: bool = False


@dataclass
class Plan:
    event: bytes
    at: int
    deadline_ms: int
    text: list
    reviews: list = field(default_factory=list)
    adopted: bytes | None = None

    def bytes(self):
        summary, *lists = self.text
        content = text(summary) + b"".join(listed(one, lambda t: text(t[0])) for one in lists)
        review = lambda r: r.event + r.author + u32(r.verdict) + text(r.reason) + flag(r.withdrawn)
        reviews = listed(self.reviews, review)
        numbers = u64(self.at) + u64(self.deadline_ms)
        return self.event + numbers + content + reviews + option(self.adopted, same)


@dataclass
class Command:
    event: bytes
    text: str
    at: int
    parts: int = 0
    excerpt: bytes = b""
    status: tuple | None = None
    output_total: int = 0

    def bytes(self):
        parts = self.event + text(self.text) + u64(self.at) + u32(self.parts) + raw(self.excerpt)
        return parts + option(self.status, ended) + u64(self.output_total)


def ended(status):
    number, fields = status
    value = b"".join(
        text(one) if isinstance(one, str) else one.to_bytes(4, "little", signed=True)
        for one in fields
    )
    return u32(number) + value


@dataclass
class Publish:
    intent: bytes
    branch: str
    commit: str
    changed: list
    at: int
    claim: str | None = None
    refused: str | None = None

    def bytes(self):
        parts = self.intent + text(self.branch) + text(self.commit)
        parts += b"".join(map(u32, self.changed)) + option(self.claim, text) + u64(self.at)
        return parts + option(self.refused, text)


@dataclass
class Work:
    attempts: int = 0
    sandbox: tuple | None = None
    commands: list = field(default_factory=list)
    failures: int = 0
    last_error: str | None = None
    done: tuple | None = None
    setup: list = field(default_factory=list)
    spent: list = field(default_factory=lambda: [0, 0, 0, 0])

    def bytes(self):
        sandbox = lambda s: s[0] + u64(s[1]) + text(s[2]) + text(s[3])
        parts = u32(self.attempts) + option(self.sandbox, sandbox)
        parts += listed(self.commands, Command.bytes) + u32(self.failures)
        parts += option(self.last_error, text)
        parts += option(self.done, lambda done: done[0] + text(done[1]))
        parts += listed(self.setup, lambda command: text(command[0]))
        return parts + numbers(self.spent)


def numbers(spent):
    return b"".join(map(u64, spent))


@dataclass
class Pull:
    number: int
    place: str
    head: str
    state: int = PULL_OPEN
    checks: int = 0
    reviews: int = 0
    feedback: str = ""
    seen: bytes | None = None

    def bytes(self):
        parts = u64(self.number) + text(self.place) + u32(self.state) + text(self.head)
        parts += u32(self.checks) + u32(self.reviews) + text(self.feedback)
        return parts + option(self.seen, same)


@dataclass
class Escalation:
    event: bytes
    at: int
    reason: str
    question: str
    raised_at: int
    level: int = 0
    acknowledged: tuple | None = None
    answer: tuple | None = None

    def bytes(self):
        parts = self.event + u64(self.at) + text(self.reason) + text(self.question)
        parts += u32(self.level) + u64(self.raised_at)
        parts += option(self.acknowledged, lambda a: text(a[0]) + text(a[1]))
        return parts + option(self.answer, lambda a: a[0] + text(a[1]) + text(a[2]))


@dataclass
class Round:
    event: bytes
    at: int
    because: bytes
    base: tuple | None
    message: str
    people: bool
    spent: tuple

    def bytes(self):
        parts = self.event + u64(self.at) + self.because
        parts += option(self.base, lambda base: text(base[0]) + text(base[1]))
        return parts + text(self.message) + flag(self.people) + numbers(self.spent)


@dataclass
class Epoch(talk.Rules):
    number: int
    intents: dict = field(default_factory=dict)
    winner: Win | None = None
    contested: set = field(default_factory=set)
    seen: dict = field(default_factory=dict)
    expired: dict = field(default_factory=dict)
    asks: dict = field(default_factory=dict)
    plans: list = field(default_factory=list)
    work: Work = field(default_factory=Work)
    publish: Publish | None = None
    earlier: Publish | None = None
    pull: Pull | None = None
    escalation: Escalation | None = None
    rounds: list = field(default_factory=list)
    usage: dict = field(default_factory=dict)
    reported: set = field(default_factory=set)
    finished: str | None = None
    discussion: talk.Discussion = field(default_factory=talk.Discussion)
    help: list = field(default_factory=list)
    handed: talk.Handed | None = None
    approvals: list = field(default_factory=list)

    def bytes(self):
        parts = u64(self.number) + mapped(self.intents, same, Intent.bytes)
        parts += option(self.winner, Win.bytes) + keys(self.contested, same)
        parts += mapped(self.seen, same, lambda seers: keys(seers, same))
        parts += mapped(self.expired, same, u64) + mapped(self.asks, same, Ask.bytes)
        parts += listed(self.plans, Plan.bytes) + self.work.bytes()
        parts += option(self.publish, Publish.bytes) + option(self.earlier, Publish.bytes)
        parts += option(self.pull, Pull.bytes) + option(self.escalation, Escalation.bytes)
        parts += listed(self.rounds, Round.bytes)
        parts += mapped(self.usage, same, lambda days: mapped(days, u64, numbers))
        parts += keys(self.reported, text) + option(self.finished, text)
        parts += self.discussion.bytes() + listed(self.help, talk.Help.bytes)
        parts += option(self.handed, talk.Handed.bytes)
        return parts + listed(self.approvals, talk.Approval.bytes)

    def owned_by(self, author):
        return self.winner is not None and self.winner.author == author

    def answered(self, author, purpose):
        ask = self.asks.get(author)
        if ask and ask.purpose == purpose:
            ask.answered()

    def own_intent(self, event, intent):
        found = self.intents.get(intent)
        demand(DANGLING, found is not None and found.author == event.author)
        return found

    def fold(self, event, fields, person):
        kind = event.kind
        if kind in OF_OWNERS:
            demand(NOT_THE_OWNER, self.owned_by(event.author))
        more = [person] if kind in talk.ADMITTED else []
        getattr(self, f"fold_{kind}")(event, *fields, *more)

    # Claims.

    def fold_21(self, event, intent, _, commit):
        demand(CONTENT, is_commit(commit))
        found = self.own_intent(event, intent)
        found.result = 1
        demand(REPEATED, not self.owned_by(event.author))
        if self.winner is not None:
            self.contested.add(event.author)
            return
        clock = event.clock
        win = Win(event.author, found.process, clock, intent, found.lease_ms, commit, clock)
        self.winner = win

    def fold_22(self, event, _, __, holder):
        for intent in self.intents.values():
            if intent.author == event.author and intent.result == 0:
                intent.result = 2
        if holder is not None and holder[1] == self.number:
            self.seen.setdefault(holder[0], set()).add(event.author)
        if self.owned_by(event.author) and self.winner.lost_at is None:
            self.winner.lost_at = event.clock

    def fold_23(self, event, _, renewal, commit, status, __):
        demand(CONTENT, is_commit(commit))
        win = self.winner
        win.commit, win.renewal, win.status, win.moved_at = commit, renewal, status[0], event.clock

    def fold_24(self, event, holder, *_):
        self.seen.setdefault(holder, set()).add(event.author)

    def fold_25(self, event, holder, *_):
        demand(DANGLING, self.owned_by(holder))
        self.expired[event.author] = event.clock

    def fold_26(self, event, intent, *_):
        self.own_intent(event, intent).result = 3

    def fold_27(self, event, _, commit):
        demand(DANGLING, self.winner.commit == commit)
        self.winner.dropped = event.clock

    # Plans.

    def fold_30(self, event, _, revision, *rest):
        *plan, deadline = rest
        demand(REPEATED, revision == len(self.plans))
        demand(LIMIT, len(self.plans) < 16)
        self.plans.append(Plan(event.id, event.clock, deadline, plan))
        self.answered(event.author, PLAN)

    def fold_31(self, event, _, plan, verdict, reason, person):
        author, objects = event.author, verdict[0] == OBJECT
        demand(OWN_PLAN, not self.owned_by(author))
        self.answered(author, REVIEW)
        found = next((one for one in self.plans if one.event == plan), None)
        demand(DANGLING, found is not None)
        demand(REPEATED, all(one.author != author for one in found.reviews))
        demand(ENDED, found.adopted is None)
        demand(LIMIT, len(found.reviews) < 64)
        before = self.discussion.objections.get(author, 0)
        demand(OBJECTIONS, not objects or person or before < 2)
        self.admit(event, 1, reason, person)
        found.reviews.append(Review(event.id, author, verdict[0], reason))
        self.add(event, plan, 1, talk.REVIEW)
        if objects:
            self.discussion.objections[author] = before + 1

    def fold_32(self, event, _, plan, considered):
        demand(DANGLING, bool(self.plans) and self.plans[-1].event == plan)
        found = self.plans[-1]
        demand(REPEATED, found.adopted is None)
        stand = [one for one in found.reviews if one.verdict == OBJECT and not one.withdrawn]
        demand(OBJECTION, not any([one.event] in considered for one in stand))
        found.adopted = event.id

    # Models.

    def fold_42(self, event, _, purpose, turn, *__):
        owns = self.owned_by(event.author)
        for_others = purpose[0] in (REVIEW, HELP)
        demand(OWN_PLAN, not owns or not for_others)
        demand(NOT_THE_OWNER, owns or for_others)
        before = self.asks.get(event.author)
        demand(LIMIT, before is not None or len(self.asks) < 256)
        ask = Ask(event.id, purpose[0], turn)
        if before:
            ask.failures, ask.last_error = before.failures, before.last_error
            ask.nonsense, ask.turns = before.nonsense, before.turns
        self.asks[event.author] = ask

    def waiting(self, event, asked):
        ask = self.asks.get(event.author)
        demand(DANGLING, ask is not None and ask.event == asked and ask.waiting)
        return ask

    def fold_43(self, event, asked, _, __, ___, answer, tokens_in, tokens_out):
        ask = self.waiting(event, asked)
        ask.waiting, ask.answer = False, (event.id, answer)
        if ask.purpose in (PLAN, STEP):
            ask.turns[ask.purpose // STEP] += 1
        counted = [self.used_on(event)]
        if self.owned_by(event.author):
            counted.append(self.work.spent)
        for spent in counted:
            spent[1] += 1
            if tokens_in is not None and tokens_out is not None:
                spent[2] = min(2**64 - 1, spent[2] + tokens_in[0] + tokens_out[0])
            else:
                spent[3] += 1

    def used_on(self, event):
        """What the author used up on the day of the event."""
        days = self.usage.setdefault(event.author, {})
        spent = days.setdefault((event.clock >> 16) // 86_400_000, [0, 0, 0, 0])
        if len(days) > 32:
            del days[min(days)]
        return spent

    def fold_44(self, event, asked, _, __, error):
        ask = self.waiting(event, asked)
        ask.waiting, ask.nonsense, ask.last_error = False, False, error
        ask.failures += 1

    def fold_45(self, event, answer, _, __, reason):
        ask = self.asks.get(event.author)
        demand(DANGLING, ask is not None and ask.answer is not None and ask.answer[0] == answer)
        ask.answer, ask.nonsense, ask.last_error = None, True, reason
        ask.failures += 1

    # Work.

    def fold_40(self, event, _, process, sandbox, base):
        demand(CONTENT, is_commit(base))
        work = self.work
        work.attempts += 1
        work.failures, work.last_error, work.commands, work.done = 0, None, [], None
        work.setup = []
        work.sandbox = (event.id, process, sandbox, base)
        ask = self.asks.get(event.author)
        if ask:
            ask.answer, ask.waiting, ask.turns[1] = None, False, 0

    def fold_41(self, _, __, error):
        self.work.failures += 1
        self.work.last_error = error

    def fold_50(self, *_):
        self.work.sandbox = None

    def fold_46(self, event, _, step, __, command, ___):
        commands = self.work.commands
        demand(LIMIT, len(commands) < 1024)
        demand(REPEATED, step == len(commands))
        commands.append(Command(event.id, command, event.clock))
        self.work.spent[0] += 1
        self.used_on(event)[0] += 1
        self.answered(event.author, STEP)

    def running(self, command):
        commands = self.work.commands
        demand(DANGLING, bool(commands) and commands[-1].event == command)
        demand(ENDED, commands[-1].status is None)
        return commands[-1]

    def fold_47(self, _, __, command, ___, ____, _____, data):
        found = self.running(command)
        found.parts += 1
        found.excerpt = (found.excerpt + data)[-4096:]

    def fold_48(self, _, __, command, status, ___, total, *____):
        found = self.running(command)
        found.status, found.output_total = status, total

    def fold_49(self, event, _, summary):
        self.work.done = (event.id, summary)
        self.answered(event.author, STEP)

    def fold_51(self, event, _, asked, *__):
        ask = self.asks.get(event.author)
        demand(DANGLING, ask is not None and ask.event == asked)

    def fold_52(self, _, __, command, host, *___):
        self.running(command)
        demand(CONTENT, len(host.encode()) <= 256)

    def fold_53(self, _, __, source, setup, *___):
        demand(CONTENT, len(setup) <= 32 and len(source.encode()) <= 256)
        self.work.setup = setup

    # The end.

    def fold_60(self, event, _, branch, commit, *changed):
        demand(CONTENT, is_commit(commit) and len(branch.encode()) <= 256)
        demand(ENDED, self.publish is None or self.publish.claim is None)
        self.publish = Publish(event.id, branch, commit, changed, event.clock)

    def fold_61(self, event, _, branch, commit, claim):
        demand(CONTENT, is_commit(claim))
        found = self.publish
        demand(DANGLING, found is not None and (found.branch, found.commit) == (branch, commit))
        found.claim, found.at = claim, event.clock
        win = self.winner
        win.commit, win.status, win.moved_at = claim, PUBLISHED, event.clock

    def fold_62(self, _, __, reason):
        if self.publish is not None and self.publish.claim is None:
            self.publish.refused = reason
        else:
            self.work.last_error = reason

    def fold_63(self, _, __, number, place):
        if self.pull is not None and self.pull.number == number:
            self.pull.place = place
        else:
            head = "" if self.publish is None else self.publish.commit
            self.pull = Pull(number, place, head)

    def fold_67(self, event, _, number, state, head, checks, reviews, feedback):
        pull = self.pull
        demand(DANGLING, pull is not None and pull.number == number)
        demand(CONTENT, len(head.encode()) <= 64 and len(feedback.encode()) <= 16_384)
        pull.state, pull.head, pull.checks, pull.reviews = state[0], head, checks[0], reviews[0]
        pull.feedback, pull.seen = feedback, event.id

    def fold_64(self, event, _, reason, question):
        demand(REPEATED, self.escalation is None)
        self.escalation = Escalation(event.id, event.clock, reason, question, event.clock)
        self.answered(event.author, STEP)
        self.answered(event.author, PLAN)
        if self.help:
            self.help[-1].closed = True

    def open_question(self, escalation):
        found = self.escalation
        demand(DANGLING, found is not None and found.event == escalation)
        demand(ENDED, found.answer is None)
        return found

    def fold_69(self, event, _, escalation, level):
        found = self.open_question(escalation)
        demand(REPEATED, level == found.level + 1)
        demand(LIMIT, level <= 16)
        found.level, found.raised_at, found.acknowledged = level, event.clock, None

    def fold_70(self, _, __, escalation, by, channel):
        found = self.open_question(escalation)
        demand(CONTENT, len(by.encode()) <= 256 and len(channel.encode()) <= 256)
        found.acknowledged = (by, channel)

    def fold_71(self, event, _, escalation, answer, by, channel):
        found = self.open_question(escalation)
        named = len(by.encode()) <= 256 and len(channel.encode()) <= 256
        demand(CONTENT, named and len(answer.encode()) <= 16_384)
        found.answer = (event.id, answer, by)

    def fold_68(self, event, _, because, base):
        demand(LIMIT, len(self.rounds) < 64)
        demand(CONTENT, base is None or len(base[0].encode()) <= 256 and is_commit(base[1]))
        demand(REPEATED, all(one.because != because for one in self.rounds))
        answer = self.escalation.answer if self.escalation is not None else None
        people = answer is not None and answer[0] == because
        pull = self.pull
        seen = pull is not None and pull.state == PULL_OPEN and pull.seen == because
        demand(DANGLING, people or seen)
        message, spent = answer[1] if people else pull.feedback, tuple(self.work.spent)
        self.rounds.append(Round(event.id, event.clock, because, base, message, people, spent))
        if self.publish is not None and self.publish.claim is not None:
            self.earlier = self.publish
        self.publish = self.escalation = self.finished = None
        self.reported, self.asks = set(), {}
        self.work = Work(attempts=self.work.attempts, spent=self.work.spent)

    def fold_65(self, _, __, target, status):
        demand(LIMIT, len(self.reported) < 64)
        self.reported.add(f"{target}:{status}")

    def fold_66(self, _, __, outcome):
        self.finished = outcome
        for command in self.work.commands:
            command.excerpt = b""
        self.asks = {}


OF_OWNERS = {23, 27, 30, 32, 40, 41, *range(46, 51), 52, 53, *range(60, 70), 81, 83, 84, 86, 88}
# What operators may say of a task or in a session, too.
OF_PEOPLE = {31, 33, 70, 71, 80, 92}
SESSIONS = range(90, 95)
# Where the epoch stands among the fields.
EPOCH_AT = {21: 1, 24: 1, 25: 1, 26: 1, 43: 1, 44: 1, 45: 1}


@dataclass
class Detected:
    repository: str
    issue: int
    source: int
    confidence: int
    evidence: list
    by: set = field(default_factory=set)

    def bytes(self):
        parts = text(self.repository) + u64(self.issue) + u32(self.source) + u32(self.confidence)
        return parts + listed(self.evidence, lambda one: text(one[0])) + keys(self.by, same)


@dataclass
class Task:
    id: bytes
    repository: str = ""
    issue: int = 0
    title: str = ""
    body: str = ""
    labels: list = field(default_factory=list)
    depends_on: list = field(default_factory=list)
    open: bool = False
    seen_at: int | None = None
    over: int = 0
    epochs: dict = field(default_factory=dict)
    refusals: Refusals = field(default_factory=Refusals)
    events: int = 0
    detected: dict = field(default_factory=dict)

    def bytes(self):
        parts = self.id + text(self.repository) + u64(self.issue) + text(self.title)
        parts += text(self.body) + listed(self.labels, lambda label: text(label[0]))
        parts += listed(self.depends_on, lambda issue: u64(issue[0])) + flag(self.open)
        parts += option(self.seen_at, u64) + u64(self.over)
        parts += mapped(self.epochs, u64, Epoch.bytes)
        parts += self.refusals.bytes() + u64(self.events)
        return parts + mapped(self.detected, same, Detected.bytes)

    def detect(self, event, repository, issue, source, confidence, evidence):
        other = derive("task", u64(issue), repository.encode())
        fits = size(repository) <= 128 and confidence <= 100 and len(evidence) <= 16
        demand(CONTENT, fits and other != self.id)
        found = self.detected.get(other)
        demand(LIMIT, found is not None or len(self.detected) < 64)
        if found is None:
            found = Detected(repository, issue, source[0], confidence, evidence)
            self.detected[other] = found
        demand(LIMIT, event.author in found.by or len(found.by) < 256)
        found.by.add(event.author)
        if confidence > found.confidence:
            found.source, found.confidence, found.evidence = source[0], confidence, evidence

    def fold(self, event, fields, person):
        if event.kind == 12:
            repository, issue, title, _, labels, depends_on, _ = fields
            name = repository.encode()
            fits = derive("task", u64(issue), name) == self.id and len(name) <= 128
            fits = fits and len(title.encode()) <= 1024 and len(labels) <= 64
            demand(CONTENT, fits and len(depends_on) <= 64)
            self.repository, self.issue, self.title, self.body = fields[:4]
            self.labels, self.depends_on, self.open = fields[4:]
            won = [number for number, epoch in self.epochs.items() if epoch.winner]
            if not self.open and won:
                self.over = max(won)
            self.seen_at = event.clock
        elif event.kind == 20:
            number, lease, process, previous = fields
            there = number in self.epochs
            demand(LIMIT, number != 0 and (there or len(self.epochs) < 1024))
            epoch = self.epochs.setdefault(number, Epoch(number))
            demand(LIMIT, len(epoch.intents) < 4096)
            previous = previous[0] if previous and is_commit(previous[0]) else None
            found = Intent(event.author, event.clock, process, lease, previous)
            epoch.intents[event.id] = found
        elif event.kind == 85:
            self.detect(event, *fields)
        else:
            number = fields[EPOCH_AT.get(event.kind, 0)]
            demand(DANGLING, number in self.epochs)
            self.epochs[number].fold(event, fields, person)
        self.events += 1


@dataclass
class State:
    swarm: bytes
    members: Members
    agents: dict = field(default_factory=dict)
    agent_refusals: dict = field(default_factory=dict)
    repositories: dict = field(default_factory=dict)
    repository_refusals: Refusals = field(default_factory=Refusals)
    tasks: dict = field(default_factory=dict)
    erasures: Erasures = field(default_factory=Erasures)
    sessions: dict = field(default_factory=dict)

    def bytes(self):
        def repository(found):
            url, branch, nodes, consents = found
            parts = text(url) + text(branch) + keys(nodes, same)
            return parts + mapped(consents, same, consent)

        def consent(read):
            allowed, source, reason, at = read
            return flag(allowed) + text(source) + text(reason) + u64(at)

        parts = self.swarm + self.members.bytes() + mapped(self.agents, same, Agent.bytes)
        parts += mapped(self.agent_refusals, same, Refusals.bytes)
        parts += mapped(self.repositories, text, repository) + self.repository_refusals.bytes()
        parts += mapped(self.tasks, same, Task.bytes) + self.erasures.bytes()
        return parts + mapped(self.sessions, same, Session.bytes)

    def digest(self):
        return derive("state", u32(VERSION), self.bytes())

    def fold(self, event, fields):
        """An event of another aggregate than members and erasures."""
        if not self.members.stands(event.author, event.seq) or self.erasures.of(event):
            return
        about = self.session if event.kind in SESSIONS else self.task
        refusals = lambda: about(event.task).refusals
        try:
            if event.kind == 10:
                refusals = lambda: self.agent_refusals.setdefault(event.author, Refusals())
                name, capabilities = fields[0], fields[4]
                demand(CONTENT, len(name.encode()) <= 256 and len(capabilities) <= 64)
                before = self.agents.get(event.author)
                starts = before.starts + 1 if before else 1
                self.agents[event.author] = Agent(event.body, event.clock, starts)
            elif event.kind == 11:
                refusals = lambda: self.repository_refusals
                self.repository(event, *fields)
            elif event.kind == 13:
                refusals = lambda: self.repository_refusals
                self.consent(event, *fields)
            else:
                member = self.members.members[event.author]
                person = member.role == OPERATOR
                right = member.role == AGENT or person and event.kind in OF_PEOPLE
                if event.kind == 87:
                    right = person or member.administrator
                demand(ROLE, right)
                about(event.task).fold(event, fields, person)
        except Refused as refused:
            refusals().add(event, refused.args[0])

    def erase(self, event, fields, target):
        """A `PayloadErased`, and the event at the place that it names, if there is one."""
        if not self.members.stands(event.author, event.seq):
            return
        if target is not None and not self.members.stands(target.author, target.seq):
            target = None
        try:
            self.erasures.fold(event, fields, self.members, target)
        except Refused as refused:
            self.erasures.refusals.add(event, refused.args[0])

    def task(self, task):
        return self.tasks.setdefault(task, Task(task))

    def session(self, session):
        return self.sessions.setdefault(session, Session(session))

    def repository(self, event, name, url, branch):
        found = self.repositories.get(name)
        if found:
            found[2].add(event.author)
            return
        demand(CONTENT, len(name.encode()) <= 128 and len(url.encode()) <= 2048)
        demand(LIMIT, len(self.repositories) < 4096)
        self.repositories[name] = (url, branch, {event.author}, {})

    def consent(self, event, name, allowed, source, reason):
        demand(DANGLING, name in self.repositories)
        consents = self.repositories[name][3]
        demand(CONTENT, len(source.encode()) <= 256 and len(reason.encode()) <= 1024)
        demand(LIMIT, event.author in consents or len(consents) < 256)
        consents[event.author] = (allowed, source, reason, event.clock)


def fold_members(events, swarm):
    """Again and again, until no administrator's log is found to fork earlier than it was cut."""
    cuts = {}
    while True:
        members = Members(swarm, cuts=cuts)
        for event, fields in events:
            try:
                members.fold(event, fields)
            except Refused as refused:
                members.refusals.add(event, refused.args[0])
        found = dict(cuts)
        for author, member in members.members.items():
            if member.administrator and member.forks:
                found[author] = min(min(member.forks), cuts.get(author, 1 << 64))
        if found == cuts:
            return members
        cuts = found


def fold(events, swarm):
    """The state that verified events lead to."""
    members, erasures, others = [], [], []
    for event in sorted(events, key=v.Event.place):
        if event.format != 1 or event.body is None or event.kind not in v.PAYLOADS:
            continue
        try:
            fields = v.read_payload(event.kind, event.body)
        except v.Malformed:
            continue
        if event.kind in (1, 2, 3, 6, 7, 9):
            members.append((event, fields))
        elif event.kind == 8:
            erasures.append((event, fields))
        elif event.kind in (10, 11, 13) or event.kind not in (4, 5) and event.task != bytes(32):
            others.append((event, fields))
    state = State(swarm, fold_members(members, swarm))
    places = {(event.author, event.seq): event for event in events}
    for event, fields in erasures:
        state.erase(event, fields, places.get((fields[1], fields[2])))
    for event, fields in others:
        state.fold(event, fields)
    return state
