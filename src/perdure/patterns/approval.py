"""Approvals: a workflow waits for people to decide, for as long as that takes.

    request = ApprovalRequest("Train to Oslo, 420 EUR", requester="ann")
    decision = await approval(
        request,
        ["bob", "carol"],
        deadline=timedelta(days=14),
        remind=timedelta(days=2),
        escalate=[(timedelta(days=7), "dora")],
        notify=mail,
    )
    if decision.approved:
        await workflow.execute_activity(book, request, **options.flaky_api.config())

Answers come as updates, `await Approvals(client, "trip-17").approve("bob")`, as signals, or by links.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from temporalio import workflow

from perdure.patterns import options as presets
from perdure.patterns.early import Early
from perdure.patterns.holder import held
from perdure.patterns.options import Options
from perdure.patterns.replies import Reply, decoded, for_next_run, refuse_unless_taken, why
from perdure.patterns.votes import MAX_AUDIT, Answer, ApprovalRequest, ApprovalState, Decision, Escalation, Seat

NAME = "perdure_approval"
"""The update and the signal; their argument is an `Answer`."""
QUERY = "perdure_approvals"
"""The query: `list[ApprovalState]`."""
MAX_REMINDERS = 200
LONGEST_ID = 200
SPELLING = "perdure_approval_spelling"
"""The patch: runs that have begun without it may have taken names with spaces around them by signal."""
REMEMBERED = 50
"""Decided approvals that a run hands to the next one, for late answers."""

Moment = timedelta | datetime
"""After the approval was opened, or a point in time (with its time zone)."""


@dataclass(frozen=True)
class Notice:
    """What the activity `notify` is called with: that somebody is to be asked.

    @activity.defn
    async def mail(notice: Notice) -> None:
        await send(notice.to, f"{notice.kind}: {notice.request.subject}", until=notice.deadline)
    """

    approval: str
    """The id of the approval in its workflow."""
    kind: Literal["asked", "reminder", "escalated", "delegated"]
    to: str
    """Who is asked."""
    request: ApprovalRequest
    deadline: datetime
    chain: str
    """The first run of the workflow's chain: to whom an answer belongs, even if the workflow's id is used again."""


Notify = Callable[[Notice], Awaitable[None]] | Callable[[Notice], None]


async def approval(
    request: ApprovalRequest,
    approvers: Sequence[str],
    *,
    deadline: Moment,
    quorum: int = 1,
    veto: bool = True,
    escalate: Sequence[tuple[Moment, str | Sequence[str]]] = (),
    remind: timedelta | Sequence[Moment] = (),
    notify: Notify | None = None,
    id: str = "approval",
    options: Options = presets.flaky_api,
) -> Decision:
    """Wait in workflow code until people have decided, or `deadline` has come.

    It is approved when `quorum` of those asked have approved. It is rejected by the first rejection; with `veto=False`
    when too few are left for the quorum. Whoever is named by `escalate` is asked, too, when nothing is decided by then;
    the others may still answer. The requester never decides, not on behalf of another either; and nobody has two votes.

    `notify` is an activity that is called, with `options`, for each person who is asked, escalated to or delegated to,
    and by `remind` (every so often, or at these moments) for those who have not answered. When it fails for good the
    audit trail says so, and the waiting goes on.

    Times are points in time from the moment on in which it is opened. A run that continues another by `Waits` goes on
    with what that had, whatever the arguments are by then. An answer counts when the workflow hears of it before the
    deadline. `id` tells approvals of a workflow apart, those at the same time and those one after the other.

    Raises `ValueError` when it is not clear who decides, or when.

        decision = await approval(request, ["bob", "carol", "dora"], quorum=2, deadline=timedelta(days=3), notify=mail)
    """
    desk = Desk.current()
    live = desk.claim(id, request)
    if live is None:
        state = _opened(id, request, approvers, quorum, veto, deadline, escalate, remind, notify)
        live = desk.open(state)
        if notify is not None:
            for who in approvers:
                state.note(state.opened, "asked", whom=who)
                state.untold.append(("asked", who))
        desk.admit(id)
    return await live.decided(notify, options)


class Live:
    """An approval of this run."""

    def __init__(self, state: ApprovalState) -> None:
        self.state = state
        self.claimed = False
        """Whether the workflow's code waits for it, or has the decision."""
        self._notify: Notify | None = None
        self._options = presets.flaky_api
        self._telling: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._handles: list[workflow.ActivityHandle[Any]] = []

    async def decided(self, notify: Notify | None, options: Options) -> Decision:
        """Wait for it."""
        self._notify, self._options = notify, options
        state = self.state
        try:
            while not state.outcome:
                state.pass_time(workflow.now())
                self.tell()
                if not state.outcome:
                    await self._until(state.next_due())
        except asyncio.CancelledError:
            if not state.outcome:
                state.note(workflow.now(), "cancelled")
                state.close(workflow.now(), "cancelled", "", [])
            raise
        finally:
            if state.outcome:
                for handle in self._handles:
                    handle.cancel()
        state.handed_over = state.handed_over or workflow.now()
        return state.decision()

    async def _until(self, due: datetime) -> None:
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: bool(self.state.outcome), timeout=due - workflow.now())

    def tell(self) -> None:
        """Have everybody told who is to be told."""
        if self._notify is None:
            return
        for kind, whom in self.state.untold:
            if (kind, whom) not in self._telling:
                task = asyncio.create_task(self._tell(kind, whom), name=f"approval: {kind} {whom}")
                self._telling[kind, whom] = task

    async def _tell(self, kind: str, whom: str) -> None:
        state = self.state
        notice = Notice(state.id, cast(Any, kind), whom, state.request, state.deadline, state.chain)
        start: Callable[..., workflow.ActivityHandle[Any]] = workflow.start_activity
        handle = start(self._notify, notice, **self._options.config())
        self._handles.append(handle)
        try:
            await handle
        except Exception as error:
            if not state.outcome:
                state.note(workflow.now(), "untold", why=why(error), whom=whom)
                workflow.logger.error("approval %s: %s can't be told (%s): %s", state.id, whom, kind, why(error))
        finally:
            self._handles.remove(handle)
            del self._telling[kind, whom]
            if (kind, whom) in state.untold:
                state.untold.remove((kind, whom))


class Desk:
    """All approvals of a run, behind one update, one signal and one query."""

    def __init__(self) -> None:
        self.all: dict[str, Live] = {}
        self.early: Early[Answer] = Early(lambda answer: answer.approval)
        self._hears_signals = False

    @classmethod
    def current(cls) -> "Desk":
        """Of the current run; made on first use."""
        desk = cls.first()
        if not desk._hears_signals:
            desk._hears_signals = True
            workflow.set_signal_handler(NAME, desk.signal)
        return desk

    @classmethod
    def first(cls) -> "Desk":
        """The same, before anything is known of the workflow. The query's handler is what holds it.

        The SDK keeps signals until somebody hears them, but not updates."""
        desk = held(QUERY, cls)
        if desk is not None:
            return desk
        desk = cls()
        workflow.set_query_handler(QUERY, desk.query)
        workflow.set_update_handler(NAME, desk.update, validator=desk.validate)
        return desk

    def claim(self, id: str, request: ApprovalRequest) -> Live | None:
        """What the run before has left open, or has decided without its code hearing of that."""
        live = self.all.get(id)
        if live is None:
            return None
        if live.claimed or live.state.handed_over is not None or live.state.outcome == "cancelled":
            raise ValueError(f"there was an approval {id!r} already: give each an id of its own, approval(..., id=...)")
        if live.state.request != request:
            raise ValueError(f"approval {id!r} was opened by the run before for another request: {live.state.request}")
        live.claimed = True
        return live

    def open(self, state: ApprovalState) -> Live:
        """One more."""
        live = self.all[state.id] = Live(state)
        live.claimed = True
        return live

    def admit(self, id: str) -> None:
        """Take what was said early, now that it is open."""
        self.early.admit(id, self.take, self.unheard)

    def carry(self) -> list[ApprovalState]:
        """For the next run: what is open, and the newest of what is decided."""
        return for_next_run([live.state for live in self.all.values()], workflow.now(), REMEMBERED)

    def restore(self, states: Sequence[ApprovalState], early: Sequence[Answer]) -> None:
        """From the run before."""
        self.early.keep(*early)
        for state in states:
            self.all.setdefault(state.id, Live(state))

    def query(self) -> list[ApprovalState]:
        return [live.state for live in self.all.values()]

    def validate(self, *answer: Any) -> None:
        given = _answer(answer)
        if isinstance(given, Answer):
            refuse_unless_taken(_spelling(given))
            live = self.all.get(given.approval)
            if live is None and self._may_open(given):
                return
            given = live.state.judge(given, workflow.now()) if live is not None else self._unknown(given)
        refuse_unless_taken(given)

    def _may_open(self, answer: Answer) -> bool:
        opened = any(live.claimed for live in self.all.values())
        return 0 < len(answer.approval) <= LONGEST_ID and self.early.may_come(opened, answer)

    async def update(self, *answer: Any) -> Reply:
        given = _answer(answer)
        if isinstance(given, Reply):
            return given
        return self.take(given) if given.approval in self.all else await self.early.reply(given)

    def signal(self, *answer: Any) -> None:
        given = _answer(answer)
        if isinstance(given, Reply):
            workflow.logger.warning("a signal %s was ignored: %s", NAME, given.text)
        elif not (spelt := _spelling(given)).taken and workflow.patched(SPELLING):
            self.unheard(given, spelt)
        elif given.approval not in self.all and not self.early.full:
            self.early.keep(given)
        elif not (reply := self.take(given)).taken:
            self.unheard(given, reply)

    def unheard(self, answer: Answer, reply: Reply) -> None:
        """It does not count, and nobody waits to be told."""
        workflow.logger.warning("a signal %s was ignored: %s", NAME, reply.text)
        live = self.all.get(answer.approval)
        if live is not None and len(live.state.audit) < MAX_AUDIT:
            live.state.note(workflow.now(), "ignored", answer.who[:LONGEST_ID], f"{answer.do}: {reply.text}")

    def take(self, answer: Answer) -> Reply:
        """Count an answer if it counts."""
        live = self.all.get(answer.approval)
        if live is None:
            return self._unknown(answer)
        reply = live.state.take(answer, workflow.now())
        live.tell()
        return reply

    def _unknown(self, answer: Answer) -> Reply:
        open_ones = [id for id, live in self.all.items() if not live.state.outcome]
        known = f"open are: {', '.join(open_ones)}" if open_ones else "none is open"
        return Reply("unknown", f"There is no approval {answer.approval[:LONGEST_ID]!r} in this workflow; {known}.")


def _answer(values: Sequence[Any]) -> Answer | Reply:
    """What was said, or why that is no answer."""
    try:
        [value] = values
        return decoded(value, Answer)
    except Exception as error:
        return Reply("refused", f"This is not an answer to an approval: {why(error)}")


def _opened(
    id: str,
    request: ApprovalRequest,
    approvers: Sequence[str],
    quorum: int,
    veto: bool,
    deadline: Moment,
    escalate: Sequence[tuple[Moment, str | Sequence[str]]],
    remind: timedelta | Sequence[Moment],
    notify: Notify | None,
) -> ApprovalState:
    """A new one. Raises `ValueError` when its terms are not clear."""
    now = workflow.now()
    if not id or len(id) > LONGEST_ID:
        raise ValueError(f"the id of an approval has 1 to {LONGEST_ID} characters, not {len(id)}")
    if notify is not None and not hasattr(notify, "__temporal_activity_definition"):
        raise ValueError(f"notify is {notify!r}: it has to be an activity, which takes a Notice")
    end = _moment(deadline, now, "deadline")
    escalations = [
        Escalation(_moment(at, now, "escalate"), [who] if isinstance(who, str) else list(who)) for at, who in escalate
    ]
    _check_people(request.requester, approvers, escalations, quorum)
    for name, moments in (("escalate", [each.at for each in escalations]), ("remind", _reminders(remind, now, end))):
        if any(later <= earlier for earlier, later in itertools.pairwise(moments)):
            raise ValueError(f"{name}: each has to be later than the one before")
        if moments and moments[-1] >= end:
            raise ValueError(f"{name}: {moments[-1]} is not before the deadline, {end}")
    if remind and notify is None:
        raise ValueError("remind: nobody can be reminded without `notify`, the activity that tells people")
    return ApprovalState(
        id=id,
        request=request,
        quorum=quorum,
        veto=veto,
        opened=now,
        deadline=end,
        seats=[Seat(who, who) for who in approvers],
        escalations=escalations,
        reminders=_reminders(remind, now, end),
        chain=workflow.info().first_execution_run_id,
    )


def _check_people(requester: str, approvers: Sequence[str], escalations: Sequence[Escalation], quorum: int) -> None:
    if isinstance(approvers, str):
        raise ValueError(f"approvers is a text: give a list of names, [{approvers!r}]")
    people = [*approvers, *(who for each in escalations for who in each.who)]
    if not approvers:
        raise ValueError("approvers is empty: nobody could decide")
    if not all(isinstance(who, str) and who and who == who.strip() for who in [requester, *people]):
        raise ValueError("names of the requester and of approvers may not be empty, or begin or end with a space")
    for who in people:
        if people.count(who) > 1:
            raise ValueError(f"{who} is named more than once, in approvers or escalate: nobody has two votes")
    if requester in people:
        raise ValueError(f"{requester} is the requester, and can't decide: leave them out of approvers and escalate")
    if not 1 <= quorum <= len(approvers):
        raise ValueError(f"quorum is {quorum}: it has to be from 1 to the number of approvers, {len(approvers)}")
    if not all(each.who for each in escalations):
        raise ValueError("escalate: name somebody to ask")


def _moment(at: Moment, now: datetime, name: str) -> datetime:
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise ValueError(f"{name}: {at} has no time zone, so it is no point in time")
        return at
    if at <= timedelta(0):
        raise ValueError(f"{name} is {at}: it has to be positive")
    return now + at


def _reminders(remind: timedelta | Sequence[Moment], now: datetime, end: datetime) -> list[datetime]:
    if not isinstance(remind, timedelta):
        return [_moment(at, now, "remind") for at in remind]
    _moment(remind, now, "remind")
    count = max(0, -((now - end) // remind) - 1)
    if count > MAX_REMINDERS:
        raise ValueError(f"remind: every {remind} would be {count} reminders, more than {MAX_REMINDERS}")
    return [now + remind * number for number in range(1, count + 1)]


def _spelling(answer: Answer) -> Reply:
    """A name with spaces around it looks like another's, and would get round the rule of four eyes."""
    if answer.to == answer.to.strip():
        return Reply("taken", "")
    return Reply("refused", f"Write {answer.to.strip()!r} without the spaces around it.")
