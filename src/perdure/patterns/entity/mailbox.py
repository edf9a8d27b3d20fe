"""The workflow's side of an entity: messages in delivery order, one at a time, each acting once."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.common import RawValue
from temporalio.converter import DefaultFailureConverter
from temporalio.exceptions import ApplicationError

from perdure.patterns.entity import errors
from perdure.patterns.entity.bursts import Bursts
from perdure.patterns.entity.carried import (
    UPDATE,
    Carried,
    DeadLetters,
    Later,
    Letter,
    Reply,
    Window,
    digest,
    opened,
    weight,
)
from perdure.patterns.entity.copies import copied
from perdure.patterns.entity.errors import refusal
from perdure.patterns.entity.handlers import Definition
from perdure.patterns.entity.message import Message
from perdure.patterns.entity.plan import Plan, told
from perdure.patterns.entity.same import is_same, print_of
from perdure.patterns.holder import was_reset

RETRY = "perdure_retry"
DROP = "perdure_drop"
"""Updates by which dead letters are handled again, or given up."""
EVENTS_A_RUN = 4000
SIGNALS_A_RUN = 9000
CARRIED_BYTES = 300_000
"""Of signals not yet handled: more is handled before the run continues as new, since inputs are limited to 2 MB."""
INPUT_BYTES = 1_950_000
"""Of all that is carried: servers take inputs of 2 MiB, and codecs add to them."""
KEPT_BYTES = 1_800_000
"""Of the state and what is to be sent later. The rest is for what may be forgotten: replies and dead letters."""
BOUNDED = "perdure-entity-bounded"
"""Patch of runs in which a message fails that would take more of these."""
LATER = 1000
"""Signals that an entity may have planned to send itself."""
GIVEN = "perdure-entity-given"
"""Patch of first runs that fail, since they were started with a state that is none of the class."""


class Mailbox:
    """All that an entity's run holds. `view` makes what handlers see as `self`, of a state and a message id."""

    def __init__(self, plan: Plan, start: Payload | None, view: Callable[[Any, str], Any]) -> None:
        self.plan = plan
        self.window = Window(plan.limits.window, plan.limits.window_bytes)
        self.dead = DeadLetters(plan.limits.dead_letters, plan.limits.dead_bytes)
        self.state: Any = None
        self.loaded = False
        self._encoded: Payload | None = None
        self.handled = self.handled_before = 0
        self.queue: deque[Message] = deque()
        self._waiting = [0, 0]
        self.busy = self.closing = False
        self._view = view
        self._signals = self._updates = 0
        self._bursts = Bursts()
        self._tried = False
        self.later: dict[str, Later] = {}
        self._kept_bytes = 0
        self.received = 0
        self.saved = -1
        """What `received` was when the state was saved."""
        self.last = workflow.now()
        if start is not None:
            self.restore(start, given=workflow.info().continued_run_id is None)

    def restore(self, payload: Payload, given: bool = False) -> None:
        """Go on from what was carried, or saved, or given by a client at the start."""
        carried = Carried.read(payload, self.window, self.dead)
        self.later = carried.later
        self._keep(self._decoded(carried, given))
        self.handled = self.handled_before = carried.handled
        for name, key, args, again in carried.signals:
            self._enqueue(Message(name, key, args, remembered=bool(again), taken_along=again == UPDATE))

    def _decoded(self, carried: Carried, given: bool) -> Any:
        """The state. That of another run waits for code that can read it; what a client gave nobody can read."""
        try:
            return self.plan.decode_state(carried.version, carried.state, workflow.payload_converter())
        except Exception as error:
            if not given or carried.version != self.plan.version or not workflow.patched(GIVEN):
                raise
            text = f"the state that this {self.plan.name} was started with can't be read: {told(error)}"
            raise refusal(text, errors.UNDECODABLE) from error

    def begin(self) -> None:
        """With the first state of all."""
        self._keep(self.plan.first_state())

    def _keep(self, state: Any) -> None:
        self._encoded = workflow.payload_converter().to_payload(state)
        self._kept_bytes = self._weigh(self._encoded, self.later)
        self.state, self.loaded = state, True

    def payload(self) -> Payload:
        """What the next run needs."""
        return self._fitting(lambda payload: len(payload.data))

    def snapshot(self) -> str:
        """What `save` gets."""
        converter = workflow.payload_converter()
        return self._fitting(lambda payload: len(converter.to_payload(payload.data.decode()).data)).data.decode()

    def _fitting(self, size: Callable[[Payload], int]) -> Payload:
        """All that is carried, without the oldest replies, and then dead letters, for which there is no room."""
        assert self._encoded is not None
        signals = [
            (each.name, each.id, each.args, UPDATE if each.taken_along else each.remembered) for each in self.queue
        ]
        carried = Carried(self.plan.version, self._encoded, self.handled, self.window, self.dead, signals, self.later)
        while size(payload := carried.payload()) > INPUT_BYTES and (carried.window.replies or carried.dead.letters):
            if carried.window.replies:
                carried.window = carried.window.newer_half()
            else:
                carried.dead = carried.dead.newer_half()
        return payload

    def _weigh(self, encoded: Payload, later: dict[str, Later]) -> int:
        """What is carried of these, or saved, where it is a text inside of JSON."""
        quoted = self.plan.save is not None
        return weight(encoded, quoted) + sum(each.weight(quoted) + len(key) for key, each in later.items())

    def _bound(self, encoded: Payload, later: dict[str, Later]) -> int:
        """Their weight. Raises when it grows above what can be carried."""
        kept = self._weigh(encoded, later)
        if kept > max(KEPT_BYTES, self._kept_bytes) and workflow.patched(BOUNDED):
            _limit("the state and what is to be sent later", kept, KEPT_BYTES)
        return kept

    # What comes in.

    def signal(self, name: str, args: Sequence[RawValue]) -> None:
        key, payloads = opened([each.payload for each in args])
        self._signals += 1
        self._enqueue(Message(name, key or str(workflow.uuid4()), payloads, remembered=key is not None))

    def _enqueue(self, message: Message) -> None:
        self._touch()
        self.queue.append(message)
        self._waiting[message.reply is None] += message.size if message.reply is None else 1

    def _touch(self) -> None:
        self.received += 1
        self.last = workflow.now()

    def _dequeue(self) -> Message:
        message = self.queue.popleft()
        self._waiting[message.reply is None] -= message.size if message.reply is None else 1
        return message

    def validate(self, name: str, args: Sequence[RawValue]) -> None:
        """Raises what refuses an update. Changes nothing."""
        if self.draining() and (self.closing or not was_reset()):
            raise refusal("this entity moves to its next run: send the message again", errors.DRAINING)
        key, payloads = self._opened(args)
        if key in self.window.replies:
            if not self._is_known(key, name, payloads):
                raise _reused(key)
            return
        if name not in (RETRY, DROP):
            definition, values = self._understood("update", name, payloads)
            if self.loaded:
                self._check(key, definition, values)

    async def update(self, name: str, args: Sequence[RawValue]) -> RawValue:
        """The reply, when its turn has come."""
        key, payloads = self._opened(args)
        takes_along = self.draining() and name not in (RETRY, DROP)
        self._updates += 1
        known = self.window.replies.get(key)
        if known is not None:
            return _given(known[1]) if self._is_known(key, name, payloads) else _raise(_reused(key))
        if takes_along:
            # A reset may hand a run all that later runs have had: nobody would send that again. So it is not refused,
            # as what is new would be, and not all waited for in this run. The failure has no stack trace: thousands of
            # them would be too much for the answer to one workflow task.
            self._enqueue(Message(name, key, payloads, taken_along=True))
            return _given(_failure(refusal("the next run has it: send it again to hear its reply", errors.DRAINING)))
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._enqueue(Message(name, key, payloads, reply, context=contextvars.copy_context()))
        return _given(await reply)

    def query(self, name: str, args: Sequence[RawValue]) -> Any:
        if name == "perdure_entity":
            return self._status()
        if name == "perdure_dead_letters":
            return [
                {"number": d.number, "name": d.name, "message_id": d.message_id, "error": d.error, "time": d.time}
                for d in self.dead.letters
            ]
        _, payloads = opened([each.payload for each in args])
        definition, values = self._understood("query", name, payloads)
        if not self.loaded:
            raise refusal(f"{errors.LOADING}: ask again when the state is loaded", errors.LOADING)
        return definition.fn(self._view(copied(self.state), ""), *values)

    def _status(self) -> dict[str, Any]:
        return {
            "handled": self.handled,
            "handled_in_run": self.handled - self.handled_before,
            "waiting": len(self.queue),
            "draining": self.draining(),
            "remembered": len(self.window.replies),
            "remembered_bytes": self.window.size,
            "state_bytes": 0 if self._encoded is None else len(self._encoded.data),
            "later": len(self.later),
            "dead": len(self.dead.letters),
            "dead_lost": self.dead.lost,
        }

    # What it sends itself.

    def next_due(self) -> datetime | None:
        return min((each.due for each in self.later.values()), default=None)

    def send_due(self) -> None:
        """Let what is due wait for its turn, oldest first."""
        now = workflow.now()
        for key, each in sorted(self.later.items(), key=lambda item: item[1].due):
            if each.due <= now:
                del self.later[key]
                self._enqueue(Message(each.name, f"later/{key}/{each.due.isoformat()}", [*each.args], remembered=False))
                self._kept_bytes -= each.weight(self.plan.save is not None) + len(key)

    def _plan_later(self, wishes: dict[str, tuple[timedelta, str, tuple[Any, ...]] | None]) -> dict[str, Later]:
        """What is to be sent after a handler has succeeded."""
        later, converter = dict(self.later), workflow.payload_converter()
        for key, wish in wishes.items():
            later.pop(key, None)
            if wish is not None:
                delay, name, args = wish
                payloads = converter.to_payloads(args) if args else ()
                later[key] = Later(workflow.now() + delay, name, tuple(payloads))
        _limit("the list of what is to be sent later", len(later), LATER, "entries")
        return later

    # When to go on in another run.

    def draining(self) -> bool:
        """Whether this run is to end: nothing new is accepted."""
        info = workflow.info()
        return (
            self.closing
            or info.is_continue_as_new_suggested()
            or info.get_current_history_length() >= EVENTS_A_RUN
            or self._updates >= self.plan.limits.messages_a_run
            or self._signals >= SIGNALS_A_RUN
            or self.handled - self.handled_before >= self.plan.limits.messages_a_run
        )

    def quiet(self) -> bool:
        """Whether the run may end here: no update waits for its reply, and the rest can be carried."""
        return not (self.busy or not self.loaded or self._has_to_be_handled()) and workflow.all_handlers_finished()

    def _has_to_be_handled(self) -> bool:
        updates, signal_bytes = self._waiting
        room = INPUT_BYTES - self._kept_bytes - self.window.size - self.window.prints_size - self.plan.limits.dead_bytes
        return updates > 0 or signal_bytes > min(CARRIED_BYTES, max(room, 0))

    def _next(self) -> bool:
        return bool(self.queue) and (self.closing or not self.draining() or self._has_to_be_handled())

    # One at a time.

    async def work(self) -> NoReturn:
        """Handle messages for ever."""
        while True:
            await until(self._next)
            self.busy = True
            try:
                await self._bursts.next(self._cost())
                await self._take(self._dequeue())
            finally:
                self.busy = False

    def _cost(self) -> int:
        """Of the next message, in bytes of the state: two copies and an encoding of it, and a copy for each check."""
        assert self._encoded is not None
        checks = len(self.plan.checks.get(self.queue[0].name, ()))
        return len(self._encoded.data) * (3 + checks) // 3

    async def _take(self, message: Message) -> None:
        known = self.window.replies.get(message.id)
        if known is not None and self._is_known(message.id, message.name, message.args):
            reply = known[1]
        elif known is not None:
            reply = self._failed(message, _reused(message.id))
        else:
            reply = await self._acted(message)
            if message.remembered:
                print_ = print_of(message.name, message.args, self._types(message.name))
                self.window.put(message.id, digest(message.name, message.args), reply, print_)
            self.handled += 1
        self.last = workflow.now()
        if message.reply is not None:
            message.reply.set_result(reply)

    async def _acted(self, message: Message) -> Reply:
        if message.reply is not None and message.name in (RETRY, DROP):
            return await self._letter(message)
        return await self._turn(message.kind, message, lambda error: self._failed(message, error))

    async def _turn(self, kind: Any, message: Message, failed: Callable[[BaseException], Reply]) -> Reply:
        """Handle it on a copy of the state, in a task of its own: what fails leaves nothing behind."""
        task = asyncio.create_task(self._handle(kind, message), context=message.context)
        await workflow.wait([task])
        if task.cancelled():
            return failed(refusal("the handler cancelled itself", "Cancelled"))
        error = task.exception()
        if isinstance(error, workflow.NondeterminismError | workflow.ReadOnlyContextError):
            raise error
        if error is not None:
            return failed(error)
        self.state, self._encoded, self.later, self._kept_bytes, reply = task.result()
        return reply

    async def _handle(self, kind: Any, message: Message) -> tuple[Any, Payload, dict[str, Later], int, Reply]:
        definition, values = self._understood(kind, message.name, message.args)
        self._check(message.id, definition, values)
        view = self._view(copied(self.state), message.id)
        result = definition.fn(view, *values)
        if inspect.isawaitable(result):
            result = await result
        state = copied(view.state)
        encoded, reply = self._encode(state), Reply("none")
        if kind == "update":
            payload = workflow.payload_converter().to_payload(result)
            _limit("the reply", payload.ByteSize(), self.plan.limits.window_bytes // 2)
            reply = Reply("result", payload.SerializeToString())
        later = self._plan_later(view.__dict__["_later"])
        return state, encoded, later, self._bound(encoded, later), reply

    def _encode(self, state: Any) -> Payload:
        """As it will be carried. Whether it can be read again is tried once a run; after that types don't change."""
        converter = workflow.payload_converter()
        encoded = converter.to_payload(state)
        _limit("the state", len(encoded.data), self.plan.limits.state_bytes)
        if not self._tried:
            self.plan.decode_state(self.plan.version, encoded, converter)
            self._tried = True
        return encoded

    def _understood(self, kind: Any, name: str, args: Sequence[Payload]) -> tuple[Definition, list[Any]]:
        definition = self.plan.find(kind, name)
        if definition is None:
            known = ", ".join(sorted(each for of, each in self.plan.handlers if of == kind)) or "none"
            raise refusal(f"{self.plan.name} has no {kind} {name}; it has {known}", errors.UNKNOWN)
        try:
            return definition, self.plan.decode(definition, args, workflow.payload_converter())
        except ValueError as error:
            raise refusal(str(error), errors.UNDECODABLE) from error

    def _check(self, key: str, definition: Definition, values: Sequence[Any]) -> None:
        left_out = definition.defaults[len(values) - definition.required :]
        for fn in self.plan.checks.get(definition.name, ()):
            try:
                fn(self._view(copied(self.state), key), *values, *left_out)
            except (workflow.NondeterminismError, workflow.ReadOnlyContextError, ApplicationError):
                raise
            except Exception as error:
                raise refusal(str(error), errors.REFUSED) from error

    # What went wrong.

    def _failed(self, message: Message, error: BaseException) -> Reply:
        """An update tells its sender; a signal becomes a dead letter."""
        if message.kind == "signal" or not workflow.is_failure_exception(error):
            workflow.logger.warning("%s %s failed: %s", message.name, message.id, error, exc_info=error)
        if message.kind == "signal":
            text = f"{_type(error)}: {error}"
            self.dead.put(message.name, message.id, message.args, text, workflow.now().isoformat())
            return Reply("none")
        return _failure(error)

    async def _letter(self, message: Message) -> Reply:
        """Handle a dead letter again, or give it up."""
        letter: Letter | None = None
        try:
            letter = self.dead.find(workflow.payload_converter().from_payload(message.args[0], int))
        except Exception as error:
            workflow.logger.warning("%s: %s", message.name, error)
        if letter is None:
            return _failure(refusal("there is no such dead letter", errors.NO_LETTER))
        if message.name == RETRY:
            if letter.args is None:
                return _failure(refusal("it was too large to keep: drop it and send it again", errors.TOO_LARGE))
            again = Message(letter.name, letter.message_id, letter.args)
            reply = await self._turn("signal", again, _failure)
            if reply.how == "failure":
                return reply
        if letter in self.dead.letters:
            self.dead.letters.remove(letter)
        return Reply("result", workflow.payload_converter().to_payload(None).SerializeToString())

    # Whether a message is known.

    def _is_known(self, key: str, name: str, args: Sequence[Payload]) -> bool:
        """Whether it is the message that was remembered by that id."""
        if self.window.replies[key][0] == digest(name, args):
            return True
        print_ = self.window.prints.get(key)
        return print_ is not None and is_same(print_, name, args, self._types(name))

    def _types(self, name: str) -> list[Any]:
        definition = self.plan.find("update", name) or self.plan.find("signal", name)
        return definition.types if definition else []

    def _opened(self, args: Sequence[RawValue]) -> tuple[str, list[Payload]]:
        key, payloads = opened([each.payload for each in args])
        info = workflow.current_update_info()
        return key or (info.id if info else ""), payloads


async def until(condition: Callable[[], bool]) -> None:
    """Wait, also in a run that is cancelled, since there is something to do before it ends.

    An evicted run ends here, too: by the error itself, or, when it has been cancelled before, by the next wait, which
    the SDK refuses then."""
    while not condition():
        try:
            await workflow.wait_condition(condition)
        except asyncio.CancelledError:
            if workflow.cancellation_reason() is None:
                raise


def _limit(what: str, size: int, limit: int, unit: str = "bytes") -> None:
    if size > limit:
        raise refusal(f"{what} would have {size} {unit}, and may have {limit}", errors.TOO_LARGE)


def _type(error: BaseException) -> str:
    return (isinstance(error, ApplicationError) and error.type) or type(error).__name__


def _reused(message_id: str) -> ApplicationError:
    return refusal(f"the message id {message_id} was used for another message before", errors.ID_REUSED)


def _failure(error: BaseException) -> Reply:
    """As it is told to whoever sent the update. Bugs are told, too; they don't stop the entity."""
    if not workflow.is_failure_exception(error):
        cause, error = error, refusal(str(error), type(error).__name__)
        error.__cause__ = cause
    failure = Failure()
    DefaultFailureConverter().to_failure(error, workflow.payload_converter(), failure)
    return Reply("failure", failure.SerializeToString())


def _given(reply: Reply) -> RawValue:
    if reply.how == "result":
        return RawValue(Payload.FromString(reply.value))
    if reply.how == "failure":
        failure = Failure.FromString(reply.value)
        raise DefaultFailureConverter().from_failure(failure, workflow.payload_converter())
    return RawValue(workflow.payload_converter().to_payload(None))


def _raise(error: BaseException) -> Any:
    raise error
