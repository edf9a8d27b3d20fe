"""The rules of an approval: who may answer, what counts, when it is decided. No waiting; time is an argument.

`ApprovalState` is what the query tells, and what a run hands to the one that continues it; its fields are frozen.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from perdure.patterns.replies import Reply, moment

Verb = Literal["approve", "reject", "retract", "delegate", "withdraw"]
Outcome = Literal["approved", "rejected", "expired", "withdrawn"]

LONGEST_REASON = 2000
LONGEST_NAME = 200
MAX_AUDIT = 500
"""Entries after which votes are only given, not taken back or handed on any more, and ignored signals are not noted."""
PAST = {"approve": "approved", "reject": "rejected"}


@dataclass(frozen=True)
class ApprovalRequest:
    """What is to be decided.

    request = ApprovalRequest("Train to Oslo", requester="ann", details={"price": "420 EUR"})
    decision = await approval(request, ["bob"], deadline=timedelta(days=3))
    """

    subject: str
    """In a line: what people are asked."""
    requester: str
    """Who wants it; never decides on it."""
    details: dict[str, str] = field(default_factory=dict)
    """What people should see before they decide: label -> text."""


@dataclass(frozen=True)
class AuditEntry:
    """Something that happened in an approval.

    for entry in decision.audit:
        print(entry.at, entry.what, entry.who or "the workflow", entry.why)
    """

    at: datetime
    what: str
    """asked, reminded, escalated, untold (a notice failed for good), approved, rejected, retracted, delegated,
    withdrawn, expired, cancelled, ignored (a signal that could not be taken)"""
    who: str = ""
    """Who did it; the empty text: the workflow."""
    why: str = ""
    whom: str = ""
    """Who was asked, reminded or delegated to."""
    on_behalf_of: str = ""
    """Whose vote it was, if it was not their own."""


@dataclass(frozen=True)
class Decision:
    """How an approval has ended.

    decision = await approval(request, ["bob", "carol"], deadline=timedelta(days=3))
    if not decision.approved:
        return f"{decision.outcome}: {decision.reason}"
    """

    outcome: Outcome
    reason: str
    """The reasons of the votes that decided it, or of the withdrawal."""
    by: list[str]
    """Whose votes, or withdrawal, decided it; empty if its time was up."""
    at: datetime
    audit: list[AuditEntry]
    """All that happened, oldest first."""

    @property
    def approved(self) -> bool:
        """Whether it may be done."""
        return self.outcome == "approved"


@dataclass(frozen=True)
class Answer:
    """What a person says; the argument of the update and of the signal `perdure_approval`.

    await handle.signal("perdure_approval", Answer("approval", "bob", "reject", reason="too much"))
    """

    approval: str
    """The id of the approval in its workflow."""
    who: str
    """Who says it. The caller has to have made sure of that."""
    do: Verb
    reason: str = ""
    to: str = ""
    """Whom a vote is delegated to."""
    link: str = ""
    """The id of the link that was used, if one was: no link counts twice."""


@dataclass
class Seat:
    """A vote that somebody has."""

    owner: str
    holder: str
    """Who may give it: the owner, or whom it was delegated to."""
    vote: Literal["", "approved", "rejected"] = ""
    by: str = ""
    """Who gave it."""
    why: str = ""


@dataclass(frozen=True)
class Escalation:
    """Who is asked, too, when nothing is decided by then."""

    at: datetime
    who: list[str]


@dataclass
class ApprovalState:
    """All about an approval.

    for state in await Approvals(client, "trip-17").states():
        print(state.id, state.outcome or f"waits for {', '.join(state.waiting_for())}")
    """

    id: str
    request: ApprovalRequest
    quorum: int
    veto: bool
    opened: datetime
    deadline: datetime
    seats: list[Seat]
    escalations: list[Escalation]
    """Still to come."""
    reminders: list[datetime]
    """Still to come."""
    chain: str = ""
    """The first run of the workflow's chain."""
    audit: list[AuditEntry] = field(default_factory=list)
    outcome: Literal["", "approved", "rejected", "expired", "withdrawn", "cancelled"] = ""
    """The empty text while it is open; `cancelled` when the workflow has stopped waiting."""
    reason: str = ""
    by: list[str] = field(default_factory=list)
    decided: datetime | None = None
    used_links: list[str] = field(default_factory=list)
    untold: list[tuple[str, str]] = field(default_factory=list)
    """Who is still to be told: kind, whom."""
    handed_over: datetime | None = None
    """When the workflow's code has got the decision; None: not yet."""

    def decision(self) -> Decision:
        """Once it is decided."""
        assert self.outcome and self.outcome != "cancelled" and self.decided is not None
        return Decision(self.outcome, self.reason, list(self.by), self.decided, list(self.audit))

    def note(self, at: datetime, what: str, who: str = "", why: str = "", whom: str = "", behalf: str = "") -> None:
        """One more line of the audit trail."""
        self.audit.append(AuditEntry(at, what, who, why, whom, behalf))

    def close(
        self,
        now: datetime,
        outcome: Literal["approved", "rejected", "expired", "withdrawn", "cancelled"],
        reason: str,
        by: list[str],
    ) -> None:
        """Decided, once and for all."""
        assert not self.outcome
        self.outcome, self.reason, self.by, self.decided = outcome, reason, by, now
        self.untold.clear()

    def waiting_for(self) -> list[str]:
        """Who may vote and has not."""
        voted = {seat.by for seat in self.seats if seat.vote}
        return [seat.holder for seat in self.seats if not seat.vote and seat.holder not in voted]

    def next_due(self) -> datetime:
        """When something happens by itself."""
        return min([self.deadline, *(each.at for each in self.escalations[:1]), *self.reminders[:1]])

    def pass_time(self, now: datetime) -> None:
        """Do what is due; who has to be told of it is then in `untold`."""
        if self.outcome:
            return
        if now >= self.deadline:
            self.note(now, "expired")
            return self.close(now, "expired", f"nobody had decided by {moment(self.deadline)}", [])
        while self.escalations and self.escalations[0].at <= now:
            for who in self.escalations.pop(0).who:
                self._ask_too(who, now)
        if self.reminders and self.reminders[0] <= now:
            self.reminders = [at for at in self.reminders if at > now]
            newly = {whom for kind, whom in self.untold if kind == "escalated"}
            for who in self.waiting_for():
                if who not in newly:
                    self.note(now, "reminded", whom=who)
                    self.untold.append(("reminder", who))

    def _ask_too(self, who: str, now: datetime) -> None:
        if any(who in (seat.owner, seat.by) for seat in self.seats):
            return
        for seat in self.seats:
            if seat.holder == who:
                seat.holder = seat.owner
        self.seats.append(Seat(who, who))
        self.note(now, "escalated", whom=who)
        self.untold.append(("escalated", who))

    # Answers.

    def judge(self, answer: Answer, now: datetime) -> Reply:
        """Whether an answer counts; changes nothing."""
        voted = self._voted(answer.who)
        if self.outcome:
            same = voted is not None and PAST.get(answer.do) == voted.vote
            return Reply("again" if same else "late", f"Nothing has changed: {self.sentence()}", self.outcome)
        if now >= self.deadline:
            text = f"Nothing has changed: the time to answer was up on {moment(self.deadline)}."
            return Reply("late", text, "expired")
        if answer.link and answer.link in self.used_links:
            return Reply("again", f"This link has been used. {self.sentence()}")
        if refusal := next(self._refusals(answer), ""):
            return Reply("refused", refusal)
        if answer.do in PAST and voted is not None:
            whose = "Your vote" if voted.by == answer.who else f"{voted.by} has voted on your behalf, and that"
            return Reply("again", f"{whose} ({voted.vote}) stands; to change it, take it back first.")
        return Reply("taken", "")

    def _refusals(self, answer: Answer) -> Iterator[str]:
        """Why this can't be said, in words for who has said it."""
        who, requester = answer.who, self.request.requester
        if not who.strip() or max(len(who), len(answer.to), len(answer.link)) > LONGEST_NAME:
            yield f"Names have 1 to {LONGEST_NAME} characters."
        if len(answer.reason) > LONGEST_REASON:
            yield f"The reason is longer than {LONGEST_REASON} characters."
        if answer.do == "withdraw":
            if who != requester:
                yield f"Only {requester}, who has asked for it, can withdraw it."
            return
        if who == requester:
            yield "You have asked for this yourself: somebody else has to decide."
        if self._seat(who) is None and self._voted(who) is None:
            yield f"{who} is not among those who decide on this."
        if answer.do in ("retract", "delegate") and len(self.audit) >= MAX_AUDIT:
            yield "Too much has happened here: votes can only be given now."
        if answer.do == "retract" and self._voted(who) is None:
            yield "There is no vote of yours to take back."
        if answer.do == "delegate":
            yield from self._delegation_refusals(answer)

    def _delegation_refusals(self, answer: Answer) -> Iterator[str]:
        if self._voted(answer.who) is not None:
            yield "Your vote has been given: take it back before you hand it on."
        if not answer.to.strip():
            yield "Say to whom you hand your vote on."
        if answer.to == self.request.requester:
            yield f"{answer.to} has asked for this: somebody else has to decide."
        seat = self._seat(answer.who)
        for other in self.seats:
            own = other is seat and other.owner == answer.to and other.holder != answer.to
            if not own and answer.to in (other.owner, other.holder, other.by):
                yield f"{answer.to} has a vote here already."

    def take(self, answer: Answer, now: datetime) -> Reply:
        """Count an answer if it counts."""
        reply = self.judge(answer, now)
        if not reply.taken:
            return reply
        if answer.link:
            self.used_links.append(answer.link)
        if answer.do == "withdraw":
            self.note(now, "withdrawn", answer.who, answer.reason)
            self.close(now, "withdrawn", answer.reason, [answer.who])
        elif answer.do == "retract":
            self._retract(answer, now)
        elif answer.do == "delegate":
            self._delegate(answer, now)
        else:
            self._vote(answer, now)
        text = self.sentence()
        return Reply("taken", text[:1].upper() + text[1:], self.outcome)

    def _seat(self, who: str) -> Seat | None:
        """The vote that somebody may give: their own, or one that they hold for another."""
        own = [seat for seat in self.seats if seat.owner == who]
        return next(iter(own + [seat for seat in self.seats if seat.holder == who]), None)

    def _voted(self, who: str) -> Seat | None:
        """The vote that somebody has given, or that was given on their behalf."""
        return next((seat for seat in self.seats if seat.vote and who in (seat.by, seat.owner)), None)

    def _vote(self, answer: Answer, now: datetime) -> None:
        seat = self._seat(answer.who)
        assert seat is not None and not seat.vote
        seat.holder = answer.who
        seat.vote = "approved" if answer.do == "approve" else "rejected"
        seat.by, seat.why = answer.who, answer.reason
        behalf = seat.owner if seat.owner != answer.who else ""
        self.note(now, seat.vote, answer.who, answer.reason, behalf=behalf)
        approvals = [each for each in self.seats if each.vote == "approved"]
        rejections = [each for each in self.seats if each.vote == "rejected"]
        if len(approvals) >= self.quorum:
            self._decide(now, "approved", approvals)
        elif rejections and (self.veto or not self._reachable(len(approvals))):
            self._decide(now, "rejected", rejections)

    def _reachable(self, approvals: int) -> bool:
        known = {seat.owner for seat in self.seats} | {seat.by for seat in self.seats}
        later = {who for each in self.escalations for who in each.who} - known
        return approvals + sum(not seat.vote for seat in self.seats) + len(later) >= self.quorum

    def _decide(self, now: datetime, outcome: Literal["approved", "rejected"], seats: list[Seat]) -> None:
        reasons = [f"{seat.by}: {seat.why}" for seat in seats if seat.why]
        self.close(now, outcome, "; ".join(reasons), [seat.by for seat in seats])

    def _retract(self, answer: Answer, now: datetime) -> None:
        seat = self._voted(answer.who)
        assert seat is not None
        behalf = seat.owner if seat.owner != answer.who else ""
        self.note(now, "retracted", answer.who, answer.reason, behalf=behalf)
        seat.vote = seat.by = seat.why = ""

    def _delegate(self, answer: Answer, now: datetime) -> None:
        seat = self._seat(answer.who)
        assert seat is not None
        seat.holder = answer.to
        behalf = seat.owner if seat.owner != answer.who else ""
        self.note(now, "delegated", answer.who, answer.reason, whom=answer.to, behalf=behalf)
        self.untold.append(("delegated", answer.to))

    def sentence(self) -> str:
        """How it stands, for people."""
        if not self.outcome:
            given = sum(seat.vote == "approved" for seat in self.seats)
            return f"It is open until {moment(self.deadline)}, with {given} of {self.quorum} approvals."
        assert self.decided is not None
        if self.outcome == "expired":
            return f"it was not decided in time, by {moment(self.deadline)}."
        if self.outcome == "cancelled":
            return f"the workflow has stopped to wait for it on {moment(self.decided)}."
        by = f" by {', '.join(self.by)}" if self.by else ""
        why = f" ({self.reason})" if self.reason else ""
        return f"it was {self.outcome}{by} on {moment(self.decided)}{why}."
