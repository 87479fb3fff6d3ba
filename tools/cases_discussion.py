"""Vectors of what is said about tasks and in sessions: bundles in which the last event is refused by one
rule of schema/fold.md, or is not. Each case is (name, title, reason or None, what is said).
"""

import lives
from sessions import session_of, task_of
from state import (
    APPROVAL, AUTHOR_MESSAGES, BYTES, CONTENT, DANGLING, DEPTH, EARLY, ENDED, HOPS, LIFETIME, LIMIT,
    MESSAGES, NOT_THE_AUTHOR, NOT_THE_OWNER, OBJECTION, OBJECTIONS, OWN_PLAN, PARTICIPANTS, REASONS,
    REPEATED, ROLE,
)
from writer import ACCEPT, CARA, START, STRANGER, TASK, Key, Log, World, refused, with_digest

COMMENT, QUESTION, ANSWER = range(3)
SUPPORT, OBJECT = 0, 2
NO_HELP, ADVICE, TAKE_OVER = range(3)
WEEK = 604_800_000
HASH, COMMIT = bytes([7]) * 32, "2" * 40
# The tasks of a session, in order.
SIDES = sorted([["tally", 1, 1], ["other", 2, 1]], key=task_of)
SESSION = session_of(SIDES)


class Talk:
    """Bert owns a task; Cara is an agent, Erin an operator, Anna an administrator."""

    def __init__(self):
        world = World()
        self.swarm, self.guests = world.swarm, 0
        self.anna, self.bert = world.anna, world.bert
        self.cara, self.erin = Log(CARA, self.swarm), Log(STRANGER, self.swarm)
        self.logs, self.ms, self.revisions, self.said = [self.anna, self.bert], START >> 16, 0, None
        self.admit(self.cara, 1)
        self.admit(self.erin, 2)
        self.claim(1)

    def admit(self, log, role):
        self.say(self.anna, 2, log.key.public, (role, []), "guest", task=bytes(32))
        self.logs.append(log)

    def guest(self, role=1):
        self.guests += 1
        log = Log(Key(100 + self.guests), self.swarm)
        self.admit(log, role)
        return log

    def crowd(self, count):
        return [self.guest() for _ in range(count)]

    def say(self, who, kind, *values, task=TASK):
        """The next event, a millisecond later; its id."""
        self.ms += 1
        who.write(self.ms << 16, kind, lives.spell(kind, *values), task=task)
        self.said = who.id(len(who.records) - 1)
        return self.said

    def later(self, ms):
        self.ms += ms

    # Of the task.

    def claim(self, epoch):
        intent = self.say(self.bert, 20, epoch, 9, 7, None)
        return self.say(self.bert, 21, intent, epoch, "1" * 40)

    def plan(self, who=None):
        self.revisions += 1
        return self.say(who or self.bert, 30, 1, self.revisions - 1, "sum", [], [], [], [], 0)

    def review(self, who, plan, verdict=SUPPORT, reason="why"):
        return self.say(who, 31, 1, plan, (verdict, []), reason)

    def adopt(self, plan, *considered):
        return self.say(self.bert, 32, 1, plan, [[one] for one in considered])

    def message(self, who, parent=None, act=COMMENT, said="a", epoch=1):
        return self.say(who, 80, epoch, parent and [parent], (act, []), said, 0)

    def withdraw(self, who, message, reason="why"):
        return self.say(who, 33, 1, message, reason)

    def bound(self, who=None, **limits):
        names = ["participants", "depth", "per_author", "messages", "bytes", "lifetime_ms"]
        return self.say(who or self.bert, 88, 1, *(limits.get(name, 1 << 31) for name in names))

    def ask_help(self, who=None, tried=0, missing="what"):
        return self.say(who or self.bert, 81, 1, [["a"]] * tried, missing, 0)

    def offer(self, who, request, help_=ADVICE, said="so", capabilities=0):
        values = (help_, []), said, [["a"]] * capabilities, 0
        return self.say(who, 82, 1, request, *values)

    def accept(self, offer, who=None):
        return self.say(who or self.bert, 83, 1, offer)

    def accepted(self, help_=TAKE_OVER):
        """An offer of Cara that was accepted."""
        offer = self.offer(self.cara, self.ask_help(), help_)
        self.accept(offer)
        return offer

    def hand(self, offer, to=CARA, base=("wip", COMMIT), claim=COMMIT, who=None):
        return self.say(who or self.bert, 84, 1, to.public, offer, base, claim)

    def ask_leave(self, hash_=HASH, shown="rm", rule="rm*", who=None):
        return self.say(who or self.bert, 86, 1, (1, []), hash_, shown, rule, 0)

    def approve(self, who, request, hash_=HASH, reason="why"):
        return self.say(who, 87, 1, request, hash_, True, reason)

    def detect(self, who, repository="other", issue=2, confidence=50, evidence=1):
        values = (1, []), confidence, [["a"]] * evidence
        return self.say(who, 85, repository, issue, *values)

    def ask(self, who, purpose):
        return self.say(who, 42, 1, (purpose, []), 0, bytes(32), "")

    def answer(self, who, ask, purpose):
        return self.say(who, 43, ask, 1, (purpose, []), "m", "said", None, None)

    def escalate(self):
        return self.say(self.bert, 64, 1, "why", "what")

    def resume(self):
        """People answered, and the work goes on."""
        answer = self.say(self.erin, 71, 1, self.escalate(), "so", "erin", "api")
        return self.say(self.bert, 68, 1, answer, None)

    def finish(self):
        return self.say(self.bert, 66, 1, "published")

    # Of a session.

    def open(self, who=None, sides=None, first=0, reason="why", evidence=1, wait=9000, session=SESSION):
        sides, evidence = sides or SIDES, [["a"]] * evidence
        return self.say(who or self.bert, 90, sides, first, reason, evidence, self.ms + wait, task=session)

    def join(self, who, opening, agrees=True, reason="why"):
        return self.say(who, 91, opening, agrees, reason, task=SESSION)

    def confer(self, who, parent, side=0, said="a"):
        return self.say(who, 92, parent, side, (COMMENT, []), said, task=SESSION)

    def resolve(self, who, opening, *considered, first=0):
        return self.say(who, 93, opening, first, [[one] for one in considered], task=SESSION)

    def give_up(self, who, opening, reason="why"):
        return self.say(who, 94, opening, reason, task=SESSION)

    def bundle(self, reason):
        """The bundle; its last event is refused for this reason, or is not refused."""
        for log in self.logs:
            if log.records and log.appends[-1:] != [len(log.records)]:
                log.seal()
        logs = [log for log in self.logs if log.records]
        met = [one[3] for one in refused(logs) if one[0] == self.said]
        assert met == ([] if reason is None else [reason]), met
        return with_digest(*logs)


def admissions():
    """Who may say how much."""
    def many(number, who="cara"):
        return lambda t: [t.message(getattr(t, who)) for _ in range(number)]

    def chain(number):
        def said(t):
            parent = None
            for _ in range(number):
                parent = t.message(t.bert, parent)
        return said

    def crowd(number):
        return lambda t: [t.message(one) for one in t.crowd(number)]

    def full(t):
        for one in t.crowd(8):
            for _ in range(32):
                t.message(one)
        t.message(t.cara)

    def bounded(*speakers, said="a", **limits):
        def all_said(t):
            t.bound(**limits)
            for who in speakers:
                t.message(getattr(t, who), None, COMMENT, said)
        return all_said

    def after(ms, resumed=False):
        def said(t):
            won = t.ms
            if resumed:
                t.later(WEEK)
                t.resume()
                won = t.ms
            t.ms = won + ms - 1
            t.message(t.cara)
        return said

    yield "role", "A replica says something.", ROLE, lambda t: t.message(t.guest(0))
    yield "epoch", "There is no such epoch.", DANGLING, lambda t: t.message(t.cara, epoch=2)
    yield ("winner", "Nobody won the epoch.", DANGLING,
           lambda t: [t.say(t.bert, 20, 2, 9, 7, None), t.message(t.cara, epoch=2)])
    yield "ended", "The task is finished.", ENDED, lambda t: [t.finish(), t.message(t.cara)]
    yield ("ended-people", "The task is finished, for people too.", ENDED,
           lambda t: [t.finish(), t.message(t.erin)])
    yield "lifetime", "A millisecond after the lifetime.", LIFETIME, after(WEEK + 1)
    yield "lifetime-last", "The last millisecond of the lifetime.", None, after(WEEK)
    yield "lifetime-resumed", "The work was resumed, and a lifetime is over.", LIFETIME, after(WEEK + 1, True)
    yield "lifetime-resumed-last", "The work was resumed.", None, after(WEEK, True)
    yield ("lifetime-bounded", "A lifetime that the owner made shorter.", LIFETIME,
           lambda t: [t.bound(lifetime_ms=4), t.later(5), t.message(t.erin)])
    yield "participants", "The seventeenth who takes part.", PARTICIPANTS, crowd(17)
    yield ("participants-again", "One of sixteen who take part.", None,
           lambda t: [crowd(15)(t), many(2)(t)])
    yield "participants-bounded", "The second of one.", PARTICIPANTS, bounded("erin", "cara", participants=1)
    yield ("participants-people", "People and the owner take part in any case.", None,
           bounded("cara", "bert", "erin", participants=1))
    yield "author-messages", "The 33rd message of an author.", AUTHOR_MESSAGES, many(33)
    yield "author-messages-last", "The 32nd message of an author.", None, many(32)
    yield "author-messages-owner", "The owner's 33rd message.", AUTHOR_MESSAGES, many(33, "bert")
    yield "author-messages-people", "An operator's 33rd message.", AUTHOR_MESSAGES, many(33, "erin")
    yield "messages", "The 257th message.", MESSAGES, full
    yield "messages-bounded", "The second message of one.", MESSAGES, bounded("erin", "cara", messages=1)
    yield ("messages-people", "People and the owner may say more.", None,
           bounded("cara", "bert", "erin", messages=1))
    yield ("bytes-text", "A text of 8,193 bytes.", BYTES,
           lambda t: t.message(t.erin, said="x" * 8193))
    yield "bytes-text-last", "A text of 8,192 bytes.", None, lambda t: t.message(t.cara, said="x" * 8192)
    yield ("bytes-text-utf8", "A text of 8,193 bytes in fewer characters.", BYTES,
           lambda t: t.message(t.cara, said="x" * 8191 + "\u00fc"))
    yield "bytes", "Texts of more bytes than all may have.", BYTES, bounded("erin", "cara", bytes=5, said="xyz")
    yield "bytes-last", "Texts of as many bytes as all may have.", None, bounded("erin", "cara", bytes=6, said="xyz")
    yield "bytes-people", "People may say more.", None, bounded("cara", "erin", bytes=4, said="xyz")
    yield "depth", "The ninth in a chain.", DEPTH, chain(9)
    yield "depth-last", "The eighth in a chain.", None, chain(8)
    yield "depth-bounded", "Nothing may be said.", DEPTH, bounded("erin", depth=0)
    yield ("order", "A text that is too long, in a chain that is too.", BYTES,
           lambda t: [chain(8)(t), t.message(t.cara, t.said, said="x" * 8193)])
    yield ("bounded-role", "Another than the owner makes limits tighter.", NOT_THE_OWNER,
           lambda t: t.bound(t.cara, messages=0))
    yield ("bounded-wider", "Greater limits change nothing.", AUTHOR_MESSAGES,
           lambda t: [t.bound(per_author=1), t.bound(per_author=40), many(2)(t)])


def messages():
    """What a message may answer."""
    def answer(who, asker, withdrawn=False):
        def said(t):
            question = t.message(getattr(t, asker), None, QUESTION)
            if withdrawn:
                t.withdraw(getattr(t, asker), question)
            t.message(getattr(t, who), question, ANSWER)
        return said

    def asked(purpose, act):
        """The owner's model is asked, and what it says goes into a message."""
        def said(t):
            question = t.message(t.cara, None, QUESTION)
            t.answer(t.bert, t.ask(t.bert, purpose), purpose)
            t.message(t.bert, question, act)
        return said

    def below(kind):
        """A message below each of these, one below it, and one that is too deep."""
        def said(t):
            t.bound(depth=2)
            above = {
                "plan": lambda: t.plan(),
                "review": lambda: t.review(t.cara, t.plan()),
                "request": lambda: t.ask_help(),
                "offer": lambda: t.offer(t.cara, t.ask_help()),
            }[kind]()
            first = t.message(t.erin, above)
            if kind in ("plan", "request"):
                first = t.message(t.erin, first)
            t.message(t.erin, first)
        return said

    yield "parent", "It answers what is not there.", DANGLING, lambda t: t.message(t.cara, HASH)
    yield ("parent-other", "It answers an event of another kind.", DANGLING,
           lambda t: t.message(t.cara, t.claim(2)))
    yield ("parent-refused", "It answers what was refused.", DANGLING,
           lambda t: t.message(t.cara, t.message(t.guest(0))))
    for kind in ("plan", "review", "request", "offer"):
        yield f"below-{kind}", f"The depth is counted below the {kind}.", DEPTH, below(kind)
    yield ("answer-thread", "An answer to nothing.", CONTENT,
           lambda t: t.message(t.cara, None, ANSWER))
    yield ("answer-comment", "An answer to a comment.", CONTENT,
           lambda t: t.message(t.cara, t.message(t.erin), ANSWER))
    yield ("answer-plan", "An answer to a plan.", CONTENT,
           lambda t: t.message(t.cara, t.plan(), ANSWER))
    yield "answer-own", "An answer to an own question.", CONTENT, answer("cara", "cara")
    yield "answer-withdrawn", "An answer to a question that was withdrawn.", CONTENT, answer("cara", "erin", True)
    yield "answer", "An answer.", None, answer("cara", "erin")
    yield "answer-asked", "The owner's model answers a question.", None, asked(4, ANSWER)
    yield "answer-comment-asked", "A comment uses up no answer.", None, asked(4, COMMENT)
    yield "question-asked", "The owner's model asks instead of planning.", None, asked(0, QUESTION)

    yield ("withdrawn-dangling", "What is withdrawn is not there.", DANGLING,
           lambda t: t.withdraw(t.cara, HASH))
    yield ("withdrawn-plan", "A plan is not withdrawn.", DANGLING,
           lambda t: t.withdraw(t.bert, t.plan()))
    yield ("withdrawn-author", "Somebody else withdraws it.", NOT_THE_AUTHOR,
           lambda t: t.withdraw(t.bert, t.message(t.cara)))
    yield ("withdrawn-people", "People withdraw what they said alone.", NOT_THE_AUTHOR,
           lambda t: t.withdraw(t.erin, t.message(t.cara)))
    yield ("withdrawn-twice", "It was withdrawn before.", REPEATED,
           lambda t: [t.withdraw(t.cara, t.message(t.cara)), t.withdraw(t.cara, last(t, t.cara, 1))])
    yield ("withdrawn-bytes", "A reason of 8,193 bytes.", BYTES,
           lambda t: t.withdraw(t.cara, t.message(t.cara), "x" * 8193))
    yield ("withdrawn-counts", "What is withdrawn was said, and so is the withdrawal.", AUTHOR_MESSAGES,
           lambda t: [t.bound(per_author=2), t.withdraw(t.cara, t.message(t.cara)), t.message(t.cara)])
    yield ("withdrawn-ended", "The task is finished.", ENDED,
           lambda t: [t.message(t.cara), t.finish(), t.withdraw(t.cara, last(t, t.cara))])
    yield ("withdrawn-depth", "Nothing may be said, nor withdrawn.", DEPTH,
           lambda t: [t.message(t.cara), t.bound(depth=0), t.withdraw(t.cara, last(t, t.cara))])


def last(t, log, before=0):
    """The id of an author's last event, or of one before."""
    return log.id(len(log.records) - 1 - before)


def plans():
    """Reviews and objections."""
    def objections(who, count):
        def said(t):
            for _ in range(count):
                t.review(getattr(t, who), t.plan(), OBJECT)
        return said

    def adopted(withdrawn):
        def said(t):
            plan = t.plan()
            review = t.review(t.cara, plan, OBJECT)
            if withdrawn:
                t.withdraw(t.cara, review)
            t.adopt(plan, review)
        return said

    yield "review-role", "A replica reviews.", ROLE, lambda t: t.review(t.guest(0), t.plan())
    yield "review-people", "An operator reviews.", None, lambda t: t.review(t.erin, t.plan(), OBJECT)
    yield "review-own-plan", "The owner reviews.", OWN_PLAN, lambda t: t.review(t.bert, t.plan())
    yield "review-plan", "There is no such plan.", DANGLING, lambda t: t.review(t.cara, HASH)
    yield ("review-twice", "A second review of a plan, the first withdrawn.", REPEATED,
           lambda t: [t.withdraw(t.cara, t.review(t.cara, t.plan())), t.review(t.cara, last(t, t.bert))])
    yield ("review-adopted", "The plan is adopted.", ENDED,
           lambda t: [t.adopt(t.plan()), t.review(t.cara, last(t, t.bert, 1))])
    yield "review-objections", "The third objection.", OBJECTIONS, objections("cara", 3)
    yield "review-objections-people", "The third objection of an operator.", None, objections("erin", 3)
    yield ("review-objections-support", "Support after two objections.", None,
           lambda t: [objections("cara", 2)(t), t.review(t.cara, t.plan())])
    yield ("review-objections-withdrawn", "The third objection, and two are withdrawn.", OBJECTIONS,
           lambda t: [t.withdraw(t.cara, t.review(t.cara, t.plan(), OBJECT)),
                      t.withdraw(t.cara, t.review(t.cara, t.plan(), OBJECT)),
                      t.review(t.cara, t.plan(), OBJECT)])
    yield ("review-bytes", "A reason of 8,193 bytes.", BYTES,
           lambda t: t.review(t.cara, t.plan(), SUPPORT, "x" * 8193))
    yield ("review-finished", "The task is finished.", ENDED,
           lambda t: [t.plan(), t.finish(), t.review(t.cara, last(t, t.bert, 1))])
    yield ("review-asked", "The question for a review is answered by one that is refused.", DANGLING,
           lambda t: [t.answer(t.cara, t.ask(t.cara, 1), 1), t.review(t.cara, HASH)])
    yield "plan-objection", "A plan is adopted against an objection.", OBJECTION, adopted(False)
    yield "plan-objection-withdrawn", "The objection was withdrawn.", None, adopted(True)
    yield "plan-role", "An operator proposes a plan.", ROLE, lambda t: t.plan(t.erin)


def helps():
    """Requests, offers, hand-offs."""
    def requests(count):
        return lambda t: [t.accept(t.offer(t.cara, t.ask_help())) for _ in range(count)]

    def offers(count):
        def said(t):
            crowd, request = t.crowd(count), t.ask_help()
            for one in crowd:
                t.offer(one, request)
        return said

    yield "request-role", "An operator asks for help.", ROLE, lambda t: t.ask_help(t.erin)
    yield "request-owner", "Another than the owner asks for help.", NOT_THE_OWNER, lambda t: t.ask_help(t.cara)
    yield "request-ended", "The task is finished.", ENDED, lambda t: [t.finish(), t.ask_help()]
    yield "request-limit", "The ninth request.", LIMIT, lambda t: [requests(8)(t), t.ask_help()]
    yield "request-open", "A request is open.", REPEATED, lambda t: [t.ask_help(), t.ask_help()]
    yield ("request-escalated", "A question to people closes the request before.", None,
           lambda t: [t.ask_help(), t.escalate(), t.ask_help()])
    yield "request-tried", "33 things were tried.", CONTENT, lambda t: t.ask_help(tried=33)
    yield ("request-missing", "What is missing has 8,193 bytes.", CONTENT,
           lambda t: t.ask_help(missing="x" * 8193))
    yield "request-longest", "The longest request.", None, lambda t: t.ask_help(tried=32, missing="x" * 8192)
    yield ("request-asked", "The question for the next step is answered.", None,
           lambda t: [t.answer(t.bert, t.ask(t.bert, 2), 2), t.ask_help()])

    yield ("offer-role", "An operator offers help.", ROLE,
           lambda t: t.offer(t.erin, t.ask_help()))
    yield "offer-own", "The owner offers help.", OWN_PLAN, lambda t: t.offer(t.bert, t.ask_help())
    yield "offer-request", "There is no such request.", DANGLING, lambda t: t.offer(t.cara, HASH)
    yield ("offer-asked", "The question for help is answered by an offer that is refused.", DANGLING,
           lambda t: [t.answer(t.cara, t.ask(t.cara, 3), 3), t.offer(t.cara, HASH)])
    yield ("offer-closed", "An offer was accepted.", ENDED,
           lambda t: [t.accepted(), t.offer(t.guest(), last(t, t.bert, 1))])
    yield ("offer-twice", "A second offer of an author, the first withdrawn.", REPEATED,
           lambda t: [t.withdraw(t.cara, t.offer(t.cara, t.ask_help())), t.offer(t.cara, last(t, t.bert))])
    yield "offer-limit", "The 17th offer.", LIMIT, offers(17)
    yield ("offer-capabilities", "65 capabilities.", CONTENT,
           lambda t: t.offer(t.cara, t.ask_help(), capabilities=65))
    yield ("offer-bytes", "A text of 8,193 bytes.", BYTES,
           lambda t: t.offer(t.cara, t.ask_help(), said="x" * 8193))
    yield ("offer-longest", "The longest offer.", None,
           lambda t: t.offer(t.cara, t.ask_help(), TAKE_OVER, "x" * 8192, 64))
    yield ("offer-finished", "The task is finished.", ENDED,
           lambda t: [t.ask_help(), t.finish(), t.offer(t.cara, last(t, t.bert, 1))])

    yield ("accepted-owner", "Another than the owner takes an offer.", NOT_THE_OWNER,
           lambda t: t.accept(t.offer(t.cara, t.ask_help()), t.cara))
    yield "accepted-request", "There is no request.", DANGLING, lambda t: t.accept(HASH)
    yield ("accepted-offer", "There is no such offer.", DANGLING,
           lambda t: [t.ask_help(), t.accept(HASH)])
    yield ("accepted-none", "An offer of nothing.", DANGLING,
           lambda t: t.accept(t.offer(t.cara, t.ask_help(), NO_HELP)))
    yield ("accepted-withdrawn", "An offer that was withdrawn.", DANGLING,
           lambda t: [t.withdraw(t.cara, t.offer(t.cara, t.ask_help())), t.accept(last(t, t.cara, 1))])
    yield ("accepted-earlier", "An offer of an earlier request.", DANGLING,
           lambda t: [t.offer(t.cara, t.ask_help()), t.escalate(), t.ask_help(), t.accept(last(t, t.cara))])
    yield ("accepted-twice", "The request is closed.", ENDED, lambda t: t.accept(t.accepted()))
    yield ("accepted-escalated", "The request was closed by a question to people.", ENDED,
           lambda t: [t.offer(t.cara, t.ask_help()), t.escalate(), t.accept(last(t, t.cara))])

    yield ("handed-owner", "Another than the owner hands over.", NOT_THE_OWNER,
           lambda t: t.hand(t.accepted(), who=t.cara))
    yield "handed-request", "There is no request.", DANGLING, lambda t: t.hand(HASH)
    yield ("handed-open", "No offer was accepted.", DANGLING,
           lambda t: t.hand(t.offer(t.cara, t.ask_help(), TAKE_OVER)))
    yield ("handed-offer", "Another offer was accepted.", DANGLING,
           lambda t: [t.offer(t.guest(), t.ask_help(), TAKE_OVER), t.offer(t.cara, last(t, t.bert), TAKE_OVER),
                      t.accept(t.said), t.hand(last(t, t.logs[-1]), Key(101))])
    yield "handed-advice", "Advice was accepted.", DANGLING, lambda t: t.hand(t.accepted(ADVICE))
    yield "handed-to", "It goes to somebody else.", DANGLING, lambda t: t.hand(t.accepted(), STRANGER)
    yield "handed-claim", "The claim is no commit.", CONTENT, lambda t: t.hand(t.accepted(), claim="x")
    yield ("handed-base", "The base is no commit.", CONTENT,
           lambda t: t.hand(t.accepted(), base=("wip", "x")))
    yield ("handed-ref", "A ref of 257 bytes.", CONTENT,
           lambda t: t.hand(t.accepted(), base=("x" * 257, COMMIT)))
    yield "handed", "The task is handed over.", None, lambda t: t.hand(t.accepted())
    yield ("handed-bare", "The task is handed over, and nothing was done so far.", None,
           lambda t: t.hand(t.accepted(), base=None))


def approvals():
    """What people must approve. Here to ask for an approval is to ask for leave."""
    def leaves(t):
        for number in range(256):
            t.ask_leave(bytes([number]) + bytes(31))

    yield "leave-owner", "Another than the owner asks for leave.", NOT_THE_OWNER, lambda t: t.ask_leave(who=t.cara)
    yield "leave-twice", "It was asked before.", REPEATED, lambda t: [t.ask_leave(), t.ask_leave()]
    yield ("leave-resumed", "It was asked before the work was resumed.", None,
           lambda t: [t.ask_leave(), t.resume(), t.ask_leave()])
    yield ("leave-resumed-twice", "It was asked since the work was resumed.", REPEATED,
           lambda t: [t.ask_leave(), t.resume(), t.ask_leave(), t.ask_leave()])
    yield "leave-limit", "The 257th.", LIMIT, lambda t: [leaves(t), t.ask_leave(bytes([9]) * 32)]
    yield "leave-text", "A text of 16,385 bytes.", CONTENT, lambda t: t.ask_leave(shown="x" * 16_385)
    yield "leave-rule", "A rule of 1,025 bytes.", CONTENT, lambda t: t.ask_leave(rule="x" * 1025)
    yield "leave", "The longest.", None, lambda t: t.ask_leave(shown="x" * 16_384, rule="x" * 1024)

    yield "approval-role", "An agent approves.", ROLE, lambda t: t.approve(t.cara, t.ask_leave())
    yield "approval-owner", "The owner approves.", ROLE, lambda t: t.approve(t.bert, t.ask_leave())
    yield "approval-people", "An operator approves.", None, lambda t: t.approve(t.erin, t.ask_leave())
    yield ("approval-administrator", "An administrator approves.", None,
           lambda t: t.approve(t.anna, t.ask_leave()))
    yield "approval-request", "There is no such request.", DANGLING, lambda t: t.approve(t.erin, HASH)
    yield ("approval-hash", "It is of something else than was asked.", APPROVAL,
           lambda t: t.approve(t.erin, t.ask_leave(), bytes(32)))
    yield ("approval-twice", "It was approved before.", REPEATED,
           lambda t: [t.approve(t.erin, t.ask_leave()), t.approve(t.anna, last(t, t.bert))])
    yield ("approval-ended", "The task is finished.", ENDED,
           lambda t: [t.ask_leave(), t.finish(), t.approve(t.erin, last(t, t.bert, 1))])
    yield ("approval-reason", "A reason of 4,097 bytes.", CONTENT,
           lambda t: t.approve(t.erin, t.ask_leave(), reason="x" * 4097))


def detections():
    """Dependencies that nodes find, and who asks a model for what."""
    yield "detected-role", "An operator finds a dependency.", ROLE, lambda t: t.detect(t.erin)
    yield ("detected-repository", "A repository's name of 129 bytes.", CONTENT,
           lambda t: t.detect(t.cara, "x" * 129))
    yield "detected-confidence", "101 percent.", CONTENT, lambda t: t.detect(t.cara, confidence=101)
    yield "detected-evidence", "17 texts of evidence.", CONTENT, lambda t: t.detect(t.cara, evidence=17)
    yield "detected-itself", "A task depends on itself.", CONTENT, lambda t: t.detect(t.cara, "tally", 1)
    yield ("detected-limit", "The 65th dependency.", LIMIT,
           lambda t: [t.detect(t.cara, issue=2 + n) for n in range(65)])
    yield ("detected-again", "One of 64 dependencies is found again.", None,
           lambda t: [*(t.detect(t.cara, issue=2 + n) for n in range(64)), t.detect(t.bert)])
    yield ("detected-surer", "It is found again, with more confidence.", None,
           lambda t: [t.detect(t.cara), t.detect(t.bert, confidence=51, evidence=2)])
    yield ("detected-less-sure", "It is found again, with no more confidence.", None,
           lambda t: [t.detect(t.cara), t.detect(t.bert, confidence=50, evidence=2)])
    for who, name, purpose, reason in [
        ("bert", "review", 1, OWN_PLAN), ("bert", "help", 3, OWN_PLAN), ("cara", "plan", 0, NOT_THE_OWNER),
        ("cara", "step", 2, NOT_THE_OWNER), ("cara", "answer", 4, NOT_THE_OWNER), ("cara", "help", 3, None),
        ("bert", "answer", 4, None), ("erin", "review", 1, ROLE),
    ]:
        yield (f"asked-{name}-{who}", f"A model is asked with the purpose {name}.", reason,
               lambda t, who=who, purpose=purpose: t.ask(getattr(t, who), purpose))


def sessions():
    """Coordination sessions, each about `SIDES` if nothing else is said."""
    long, third = ["x" * 129, 1, 1], ["third", 3, 1]
    one_repository = sorted([["tally", 1, 1], ["tally", 2, 1]], key=task_of)

    def opening(name, title, **more):
        return f"opened-{name}", title, CONTENT, lambda t: t.open(**more)

    def with_sides(name, title, sides):
        """The header names the session of just these sides."""
        return opening(name, title, sides=sides, session=session_of(sides))

    def many(count, who="bert"):
        return lambda t, opened: [t.confer(getattr(t, who), opened) for _ in range(count)]

    def chain(count, sides=(0,)):
        def said(t, opened):
            for number in range(count):
                opened = t.confer(t.cara, opened, sides[number % len(sides)])
        return said

    def full(t, opened):
        for one in t.crowd(8):
            for _ in range(32):
                t.confer(one, opened)
        t.confer(t.cara, opened)

    def opened(name, title, reason, said, **more):
        return name, title, reason, lambda t: said(t, t.open(**more))

    yield "opened-role", "An operator opens a session.", ROLE, lambda t: t.open(t.erin)
    yield with_sides("one-side", "A session of one side.", SIDES[:1])
    yield with_sides("three-sides", "A session of three sides.", sorted([*SIDES, third], key=task_of))
    yield with_sides("order", "The sides in the other order.", SIDES[::-1])
    yield with_sides("twice", "One task twice.", [SIDES[0], [*SIDES[0][:2], 2]])
    yield with_sides("repository", "A repository's name of 129 bytes.", sorted([long, third], key=task_of))
    yield opening("session", "The header names another session.", session=HASH)
    yield opening("epoch", "The header names the session of another epoch.",
                  session=session_of([[*SIDES[0][:2], 2], SIDES[1]]))
    yield opening("first", "The third side goes first.", first=2)
    yield opening("reason", "A reason of 4,097 bytes.", reason="x" * 4097)
    yield opening("evidence", "17 texts of evidence.", evidence=17)
    yield "opened-again", "A session is opened again.", REPEATED, lambda t: [t.open(), t.open(t.cara)]
    yield "opened", "A session.", None, lambda t: t.open(reason="x" * 4096, evidence=16)
    yield "opened-task", "The header names a task.", CONTENT, lambda t: t.open(session=TASK)

    for name, act in [
        ("joined", lambda t, opening: t.join(t.cara, opening)),
        ("said", lambda t, opening: t.confer(t.cara, opening)),
        ("resolved", lambda t, opening: t.resolve(t.bert, opening)),
        ("escalated", lambda t, opening: t.give_up(t.bert, opening)),
    ]:
        yield (f"session-{name}-unopened", "The session is not open.", DANGLING,
               lambda t, act=act: act(t, HASH))
        yield (f"session-{name}-resolved", "The session is resolved.", ENDED,
               lambda t, act=act: [t.resolve(t.bert, t.open(wait=0)), act(t, last(t, t.bert, 1))])
        yield (f"session-{name}-ended", "The session is given up.", ENDED,
               lambda t, act=act: [t.give_up(t.bert, t.open()), act(t, last(t, t.bert, 1))])
        if name != "said":
            yield (f"session-{name}-other", "It names another opening.", DANGLING,
                   lambda t, act=act: [t.open(), act(t, HASH)])

    yield opened("joined-role", "An operator joins.", ROLE, lambda t, o: t.join(t.erin, o))
    yield opened("joined-twice", "It joined before.", REPEATED,
                 lambda t, o: [t.join(t.cara, o), t.join(t.cara, o)])
    yield opened("joined-limit", "The 17th joins.", LIMIT,
                 lambda t, o: [t.join(one, o) for one in t.crowd(17)])
    yield opened("joined-reason", "A reason of 4,097 bytes.", CONTENT,
                 lambda t, o: t.join(t.cara, o, reason="x" * 4097))

    yield opened("conferred-people", "An operator speaks.", None, lambda t, o: t.confer(t.erin, o))
    yield opened("conferred-role", "A replica speaks.", ROLE, lambda t, o: t.confer(t.guest(0), o))
    yield opened("conferred-side", "It speaks for a third side.", CONTENT, lambda t, o: t.confer(t.cara, o, 2))
    yield opened("conferred-parent", "It answers what is not there.", DANGLING,
                 lambda t, o: t.confer(t.cara, HASH))
    yield opened("conferred-parent-joined", "It answers what is no message.", DANGLING,
                 lambda t, o: t.confer(t.cara, t.join(t.cara, o)))
    yield opened("conferred-lifetime", "A millisecond after the lifetime.", LIFETIME,
                 lambda t, o: [t.later(WEEK), t.confer(t.erin, o)])
    yield opened("conferred-lifetime-last", "The last millisecond of the lifetime.", None,
                 lambda t, o: [t.later(WEEK - 1), t.confer(t.erin, o)])
    yield opened("conferred-participants", "The 17th who takes part.", PARTICIPANTS,
                 lambda t, o: [*(t.confer(one, o) for one in t.crowd(16)), t.confer(t.erin, o)])
    yield opened("conferred-author-messages", "The 33rd message of an author.", AUTHOR_MESSAGES, many(33))
    yield opened("conferred-messages", "The 257th message.", MESSAGES, full)
    yield opened("conferred-bytes", "A text of 8,193 bytes.", BYTES,
                 lambda t, o: t.confer(t.cara, o, said="x" * 8193))
    yield opened("conferred-depth", "The ninth in a chain.", DEPTH, chain(9))
    yield opened("conferred-depth-last", "The eighth in a chain.", None, chain(8))
    yield opened("conferred-hops", "The fifth hop between repositories.", HOPS, chain(6, (0, 1)))
    yield opened("conferred-hops-last", "The fourth hop between repositories.", None, chain(5, (0, 1)))

    def in_one(t):
        opening = t.open(sides=one_repository, session=session_of(one_repository))
        for number in range(8):
            values = opening, number % 2, (COMMENT, []), "a"
            opening = t.say(t.cara, 92, *values, task=session_of(one_repository))

    yield "conferred-no-hops", "Both tasks are of one repository.", None, in_one

    yield opened("resolved-author", "Another than the opening's author ends it.", NOT_THE_AUTHOR,
                 lambda t, o: t.resolve(t.cara, o, t.join(t.cara, o)))
    yield opened("resolved-first", "Another order than was proposed.", CONTENT,
                 lambda t, o: t.resolve(t.bert, o, t.join(t.cara, o), first=1))
    yield opened("resolved-objection", "Somebody does not agree.", OBJECTION,
                 lambda t, o: t.resolve(t.bert, o, t.join(t.cara, o, False), t.join(t.guest(), o)))
    yield opened("resolved-early", "Nobody agreed, and the deadline is not there.", EARLY,
                 lambda t, o: t.resolve(t.bert, o))
    yield opened("resolved-early-considered", "What agreed is not named.", EARLY,
                 lambda t, o: [t.join(t.cara, o), t.resolve(t.bert, o, HASH)])
    yield opened("resolved", "The other side agreed.", None,
                 lambda t, o: t.resolve(t.bert, o, t.join(t.cara, o)))
    yield opened("resolved-deadline", "Nobody answered until the deadline.", None,
                 lambda t, o: t.resolve(t.bert, o), wait=2)
    yield opened("resolved-before-deadline", "A millisecond before the deadline.", EARLY,
                 lambda t, o: t.resolve(t.bert, o), wait=3)
    yield opened("given-up-author", "Somebody who did not join gives up.", NOT_THE_AUTHOR,
                 lambda t, o: [t.confer(t.cara, o), t.give_up(t.cara, o)])
    yield opened("given-up-joined", "Somebody who joined gives up.", None,
                 lambda t, o: [t.join(t.cara, o, False), t.give_up(t.cara, o)])
    yield opened("given-up-reason", "A reason of 4,097 bytes.", CONTENT,
                 lambda t, o: t.give_up(t.bert, o, "x" * 4097))


def bundles():
    met = set()
    groups = [("message", admissions), ("message", messages), ("", plans), ("help", helps),
              ("", approvals), ("", detections), ("session", sessions)]
    for prefix, cases in groups:
        for name, title, reason, said in cases():
            talk = Talk()
            said(talk)
            if prefix and not name.startswith(prefix):
                name = f"{prefix}-{name}"
            yield name, title, ACCEPT, talk.bundle(reason)
            met.add(reason)
    assert met == REASONS | {None}, f"reasons that no case meets: {REASONS - met}"
