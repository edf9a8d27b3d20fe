"""Callbacks: a workflow waits for an outside system, which completes once or fails once.

    video = await callback(Encoded, "talk.mov", notify=submit, expires=timedelta(hours=6))

`submit` is an activity: it tells the outside system where to call back (`CallbackAddress`, or a link made from it).
The outside system answers by `Callbacks(client, workflow_id).complete(...)`, by updates or signals, or by links.
"""

import asyncio
import contextlib
import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, TypeVar, TypeVarTuple, Unpack, cast

from temporalio import workflow
from temporalio.common import RawValue

from perdure.patterns import options as presets
from perdure.patterns.callback_errors import CallbackExpired, CallbackFailed, CallbackStalled
from perdure.patterns.early import Early
from perdure.patterns.holder import held
from perdure.patterns.options import Options
from perdure.patterns.replies import (
    JSON,
    Reply,
    decoded,
    encoding,
    for_next_run,
    moment,
    raw,
    refuse_unless_taken,
    sealed,
    unsealed,
    why,
)

T = TypeVar("T")
Q = TypeVar("Q")
Args = TypeVarTuple("Args")

COMPLETE, FAIL, HEARTBEAT = "perdure_callback_complete", "perdure_callback_fail", "perdure_callback_heartbeat"
NAMES = (COMPLETE, FAIL, HEARTBEAT)
"""Updates and signals; their arguments are the id and a value: the payload, the message, the progress."""
QUERY = "perdure_callbacks"
"""The query: `list[CallbackState]`."""
LONGEST_ID = 200
LONGEST_MESSAGE = 2000
REMEMBERED = 50
"""Callbacks that are over and that a run hands to the next one, for late calls."""
NOT_MORE_OFTEN = timedelta(seconds=10)
"""Heartbeats closer than this to the last one are not noted, or a quarter of the `stall_timeout` if that is less."""
JUDGES = "perdure_callback_judges"
"""The patch: runs that have begun without it may have taken what a check says False to, with an async check everything,
and no progress but that of the encodings `JSON`."""


_Judge = Literal["validator", "update", "signal"]
"""Who asks whether a call counts. Validators don't run in replays; what they took, updates take. Signals, and what came
early, nobody has judged before."""


@dataclass(frozen=True)
class CallbackAddress:
    """Where to call back; the first argument of the activity `notify`.

    @activity.defn
    async def submit(address: CallbackAddress, video: str) -> None:
        await encoder.submit(video, tell=f"{address.workflow_id}/{address.callback}")
    """

    callback: str
    """The id of the callback in its workflow."""
    workflow_id: str
    chain: str
    """The first run of the workflow's chain: to whom an answer belongs, even if the workflow's id is used again."""
    expires: datetime


@dataclass(frozen=True)
class EarlyCall:
    """What came before its callback was open."""

    name: str
    callback: str
    value: str
    """A payload, serialized, in base64."""


@dataclass
class CallbackState:
    """All about a callback: what the query tells, and what a run hands to the one that continues it.

    state = await Callbacks(client, "talk").state()
    if state is not None and not state.outcome:
        print(state.progress, "last heard of", state.heard)
    """

    id: str
    opened: datetime
    expires: datetime
    chain: str = ""
    stall_s: float = 0.0
    """0: silence is fine."""
    notified: bool = False
    heard: datetime | None = None
    """When it was last heard of; None: not yet."""
    heartbeats: int = 0
    progress: Any = None
    """The last, as it came."""
    outcome: Literal["", "completed", "failed", "expired", "stalled", "cancelled"] = ""
    """The empty text while it is open."""
    value: str = ""
    """Of a callback that has completed, until the workflow's code has got it: a payload, serialized, in base64."""
    message: str = ""
    """Why it has failed."""
    ended: datetime | None = None
    handed_over: datetime | None = None
    """When the workflow's code has got what came; None: not yet."""

    def close(self, now: datetime, outcome: Literal["completed", "failed", "expired", "stalled", "cancelled"]) -> None:
        """Once and for all."""
        assert not self.outcome
        self.outcome, self.ended = outcome, now

    def next_due(self) -> datetime:
        """When it ends by itself."""
        silent = [self.heard + timedelta(seconds=self.stall_s)] if self.stall_s and self.heard else []
        return min([self.expires, *silent])

    def pass_time(self, now: datetime) -> None:
        """End it if it is due."""
        if not self.outcome and now >= self.next_due():
            self.close(now, "expired" if now >= self.expires else "stalled")

    def shown(self) -> "CallbackState":
        """As others see it: without a value that the workflow's code has got."""
        return replace(self, value="") if self.handed_over is not None else self

    def sentence(self) -> str:
        """How it stands, for people."""
        if not self.outcome:
            return f"It is open until {moment(self.expires)}."
        assert self.ended is not None
        why = f" ({self.message})" if self.message else ""
        return f"it has {'been ' if self.outcome == 'cancelled' else ''}{self.outcome} on {moment(self.ended)}{why}."


async def callback(
    kind: type[T],
    *args: *Args,
    notify: Callable[[CallbackAddress, Unpack[Args]], Any] | None,
    expires: timedelta | datetime,
    stall_timeout: timedelta | None = None,
    check: Callable[[T], None] | None = None,
    id: str = "callback",
    options: Options = presets.flaky_api,
) -> T:
    """Wait in workflow code until an outside system has called back with a `kind`, and return that.

    `notify` is the activity that asks it to; it is called with the address and `args`, and with `options`. If it fails
    for good, so does this. `None` when the outside system knows without being asked.

    What can't be decoded as a `kind`, or what `check` raises for, is refused, and the wait goes on. A check can't be
    async (`TypeError`). The first that is taken ends it. Raises `CallbackFailed` when the outside system says
    so, `CallbackExpired` at `expires` (a point in time, or so long after this call), and `CallbackStalled` when there
    was no heartbeat for `stall_timeout`, which counts from when `notify` has succeeded.

    A run that continues another by `Waits` goes on with what that had. `id` tells callbacks of a workflow apart.

        paid = await callback(Payment, order, notify=open_checkout, expires=timedelta(hours=1))
    """
    desk = CallbackDesk.current()
    live: LiveCallback[T] = desk.claim(id) or desk.open(_opened(id, expires, stall_timeout))
    live.expect(kind, check)
    desk.admit(id)
    return await live.called(notify, args, options)


class LiveCallback(Generic[T]):
    """A callback of this run."""

    def __init__(self, state: CallbackState) -> None:
        self.state = state
        self.claimed = False
        self._kind: type[T] | None = None
        self._check: Callable[[T], object] | None = None
        self._value: list[T] = []
        self._failure: Exception | None = None

    def expect(self, kind: type[T], check: Callable[[T], object] | None) -> None:
        """What the workflow's code waits for. Raises `TypeError` for a check that nobody would wait for."""
        if inspect.iscoroutinefunction(check) and workflow.patched(JUDGES):
            raise TypeError(f"check is {check!r}: it can't be async, since an answer is judged at once")
        self._kind, self._check, self.claimed = kind, check, True

    async def called(self, notify: Callable[..., Any] | None, args: Sequence[Any], options: Options) -> T:
        """Wait for it."""
        state = self.state
        telling: asyncio.Task[None] | None = None
        if not state.notified and not state.outcome:
            telling = asyncio.create_task(self._tell(notify, args, options), name=f"callback: {state.id}")
        try:
            while not state.outcome:
                state.pass_time(workflow.now())
                if self._failure is not None:
                    raise self._failure
                if not state.outcome:
                    await self._until(state.next_due())
        except (asyncio.CancelledError, Exception) as error:
            if not state.outcome and (isinstance(error, asyncio.CancelledError) or _fails(error)):
                state.close(workflow.now(), "cancelled")
            raise
        finally:
            if telling is not None and state.outcome:
                telling.cancel()
        return self._result()

    async def _tell(self, notify: Callable[..., Any] | None, args: Sequence[Any], options: Options) -> None:
        if notify is not None:
            state = self.state
            address = CallbackAddress(state.id, workflow.info().workflow_id, state.chain, state.expires)
            start: Callable[..., workflow.ActivityHandle[Any]] = workflow.start_activity
            try:
                await start(notify, args=[address, *args], **options.config())
            except Exception as error:
                self._failure = error
                return
        self._notified()

    def _notified(self) -> None:
        self.state.notified = True
        self.state.heard = self.state.heard or workflow.now()

    async def _until(self, due: datetime) -> None:
        """Until something has happened. A heartbeat only makes it due later, which costs no timer."""

        def happened() -> bool:
            return bool(self.state.outcome) or self._failure is not None or self.state.next_due() < due

        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(happened, timeout=due - workflow.now())

    def _result(self) -> T:
        state = self.state
        state.handed_over = state.handed_over or workflow.now()
        if state.outcome == "completed":
            assert self._kind is not None
            return self._value[0] if self._value else unsealed(state.value, self._kind)
        if state.outcome == "failed":
            raise CallbackFailed(state.id, state.message)
        if state.outcome == "stalled":
            raise CallbackStalled(state.id, timedelta(seconds=state.stall_s), state.progress)
        raise CallbackExpired(state.id, state.expires)

    def judge(self, name: str, value: Any, now: datetime, by: _Judge = "validator") -> tuple[Reply, Any]:
        """Whether a call counts, and the value as the workflow wants it; changes nothing."""
        state = self.state
        if state.outcome:
            said_again = {COMPLETE: "completed", FAIL: "failed"}.get(name) == state.outcome
            status: Literal["again", "late"] = "again" if said_again else "late"
            return Reply(status, f"Nothing has changed: {state.sentence()}", state.outcome), None
        if now >= state.expires:
            return Reply("late", f"Nothing has changed: it has expired on {moment(state.expires)}.", "expired"), None
        try:
            if name == COMPLETE and self._kind is None:
                return Reply("taken", ""), value
            if name == COMPLETE and self._kind is not None:
                found = decoded(value, self._kind)
                if self._check is not None and self._check(found) is False and _judges(by):
                    raise ValueError("the check gives False; it should raise an error that says what is wrong")
                return Reply("taken", ""), found
            if name == FAIL:
                return Reply("taken", ""), decoded(value, str)[:LONGEST_MESSAGE]
        except Exception as error:
            return Reply("refused", f"This can't be taken, and the wait goes on: {why(error)}"), None
        if name == HEARTBEAT and not _can_be_shown(value, by):
            return Reply("refused", "Progress has to be JSON."), None
        if name == HEARTBEAT and state.heartbeats and state.heard and now < state.heard + self._not_more_often():
            return Reply("again", "It was heard of a moment ago, that is enough."), None
        return Reply("taken", ""), decoded(value, cast(Any, None)) if isinstance(value, RawValue) else value

    def _not_more_often(self) -> timedelta:
        quarter = timedelta(seconds=self.state.stall_s / 4)
        return min(quarter, NOT_MORE_OFTEN) if quarter else NOT_MORE_OFTEN

    def take(self, name: str, value: Any, now: datetime, by: _Judge = "signal") -> Reply:
        """Count a call if it counts."""
        reply, found = self.judge(name, value, now, by)
        state = self.state
        if not reply.taken:
            return reply
        if name == HEARTBEAT:
            state.heard, state.heartbeats, state.progress = now, state.heartbeats + 1, found
        elif name == FAIL:
            state.message = found
            state.close(now, "failed")
        else:
            self._value.append(found)
            state.value = sealed(value)
            state.close(now, "completed")
        text = state.sentence()
        return Reply("taken", text[:1].upper() + text[1:], state.outcome)


class CallbackDesk:
    """All callbacks of a run, behind their updates, signals and query."""

    def __init__(self) -> None:
        self.all: dict[str, LiveCallback[Any]] = {}
        self.early: Early[EarlyCall] = Early(lambda call: call.callback)
        self._hears_signals = False

    @classmethod
    def current(cls) -> "CallbackDesk":
        """Of the current run; made on first use."""
        desk = cls.first()
        if not desk._hears_signals:
            desk._hears_signals = True
            for name in NAMES:
                desk._hear_signals(name)
        return desk

    @classmethod
    def first(cls) -> "CallbackDesk":
        """The same, before anything is known of the workflow. The query's handler is what holds it.

        The SDK keeps signals until somebody hears them, but not updates."""
        desk = held(QUERY, cls)
        if desk is not None:
            return desk
        desk = cls()
        workflow.set_query_handler(QUERY, desk.query)
        for name in NAMES:
            desk._hear_updates(name)
        return desk

    def _hear_updates(self, name: str) -> None:
        def validate(*args: Any) -> None:
            refuse_unless_taken(self.judge(name, args))

        async def update(*args: Any) -> Reply:
            return await self.take(name, args)

        workflow.set_update_handler(name, update, validator=validate)

    def _hear_signals(self, name: str) -> None:
        def signal(*args: Any) -> None:
            live, value = self._live(args)
            if _is_early(live) and not self.early.full:
                self.early.keep(EarlyCall(name, args[0], sealed(value)))
                return
            reply = live if isinstance(live, Reply) else live.take(name, value, workflow.now())
            if not reply.taken:
                _unheard(name, reply)

        workflow.set_signal_handler(name, signal)

    def claim(self, id: str) -> LiveCallback[Any] | None:
        """What the run before has left open, or what came in without its code hearing of that."""
        live = self.all.get(id)
        if live is not None and (
            live.claimed or live.state.handed_over is not None or live.state.outcome == "cancelled"
        ):
            raise ValueError(f"there was a callback {id!r} already: give each an id of its own, callback(..., id=...)")
        return live

    def open(self, state: CallbackState) -> LiveCallback[Any]:
        """One more."""
        live = self.all[state.id] = LiveCallback(state)
        return live

    def admit(self, id: str) -> None:
        """Take what was said early, now that it is open."""
        live, now = self.all[id], workflow.now()
        self.early.admit(
            id,
            lambda call: live.take(call.name, raw(call.value), now),
            lambda call, reply: _unheard(call.name, reply),
        )

    def carry(self) -> list[CallbackState]:
        """For the next run: what is open, and the newest of what is over."""
        now = workflow.now()
        states = [live.state if live.state.handed_over == now else live.state.shown() for live in self.all.values()]
        return for_next_run(states, now, REMEMBERED)

    def restore(self, states: Sequence[CallbackState], early: Sequence[EarlyCall]) -> None:
        """From the run before."""
        self.early.keep(*early)
        for state in states:
            self.all.setdefault(state.id, LiveCallback(state))

    def query(self) -> list[CallbackState]:
        return [live.state.shown() for live in self.all.values()]

    def judge(self, name: str, args: Sequence[Any]) -> Reply:
        live, value = self._live(args)
        if not isinstance(live, Reply):
            return live.judge(name, value, workflow.now())[0]
        return Reply("taken", "") if live.status == "unknown" and self._may_open(name, args[0], value) else live

    def _may_open(self, name: str, id: str, value: Any) -> bool:
        opened = any(live.claimed for live in self.all.values())
        return 0 < len(id) <= LONGEST_ID and self.early.may_come(opened, EarlyCall(name, id, sealed(value)))

    async def take(self, name: str, args: Sequence[Any]) -> Reply:
        live, value = self._live(args)
        if _is_early(live):
            return await self.early.reply(EarlyCall(name, args[0], sealed(value)))
        return live if isinstance(live, Reply) else live.take(name, value, workflow.now(), by="update")

    def _live(self, args: Sequence[Any]) -> tuple[LiveCallback[Any] | Reply, Any]:
        if not 1 <= len(args) <= 2 or not isinstance(args[0], str):
            return Reply("refused", "The arguments are the id of a callback and a value."), None
        live, value = self.all.get(args[0]), args[1] if len(args) == 2 else None
        if live is None:
            open_ones = [id for id, each in self.all.items() if not each.state.outcome]
            known = f"open are: {', '.join(open_ones)}" if open_ones else "none is open"
            text = f"There is no callback {args[0][:LONGEST_ID]!r} in this workflow; {known}."
            return Reply("unknown", text), value
        return live, value


def _is_early(live: LiveCallback[Any] | Reply) -> bool:
    """Not open yet, or just continued: then the type is not known yet."""
    if isinstance(live, Reply):
        return live.status == "unknown"
    return not live.claimed and not live.state.outcome


def _judges(by: _Judge) -> bool:
    """Whether a call is judged as this release does it."""
    return by == "validator" or (by == "signal" and workflow.patched(JUDGES))


def _can_be_shown(value: Any, by: _Judge) -> bool:
    """Whether progress is JSON. The workflow's converter may have an encoding of its own for that."""
    if by == "update" or encoding(value) in JSON:
        return True
    try:
        json.dumps(decoded(value, cast(Any, None)))
    except Exception:
        return False
    return _judges(by)


def _unheard(name: str, reply: Reply) -> None:
    workflow.logger.warning("a signal %s was ignored: %s", name, reply.text)


def _fails(error: BaseException) -> bool:
    return isinstance(error, Exception) and workflow.is_failure_exception(error)


def _opened(id: str, expires: timedelta | datetime, stall_timeout: timedelta | None) -> CallbackState:
    now = workflow.now()
    if not id or len(id) > LONGEST_ID:
        raise ValueError(f"the id of a callback has 1 to {LONGEST_ID} characters, not {len(id)}")
    if isinstance(expires, datetime) and expires.tzinfo is None:
        raise ValueError(f"expires: {expires} has no time zone, so it is no point in time")
    if isinstance(expires, timedelta) and expires <= timedelta(0):
        raise ValueError(f"expires is {expires}: it has to be positive")
    if stall_timeout is not None and stall_timeout <= timedelta(0):
        raise ValueError(f"stall_timeout is {stall_timeout}: it has to be positive")
    end = expires if isinstance(expires, datetime) else now + expires
    stall_s = stall_timeout.total_seconds() if stall_timeout is not None else 0.0
    return CallbackState(id, now, end, workflow.info().first_execution_run_id, stall_s)
