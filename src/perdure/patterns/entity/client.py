"""The client's side of an entity: messages with ids, sent until they are taken."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.common import RawValue, WorkflowIDConflictPolicy
from temporalio.converter import PayloadConverter, WorkflowSerializationContext
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from perdure.patterns.entity import errors
from perdure.patterns.entity.carried import Carried, DeadLetters, Window, digest, envelope
from perdure.patterns.entity.handlers import Definition
from perdure.patterns.entity.plan import Plan

T = TypeVar("T")

IN_FLIGHT = 10
"""Updates that servers take of one workflow at a time."""
LONGEST_ID = 200
AGAIN = (
    "in-flight updates has been reached",
    "total number of distinct updates",
    "limit for signal events",
    "workflow update was aborted",
    "workflow is closing",
    "unexpected workflow task failure",
)
"""What servers say of a run that is at a limit, or about to close: the next run will take the message. The last is
said when a message came while the run was ending, which made that task fail; it is done again."""
GONE = RPCStatusCode.NOT_FOUND


@dataclass(frozen=True)
class DeadLetter:
    """A signal that could not be handled: see `Entity.dead_letters`, `Entity.retry` and `Entity.drop`.

    for letter in await cart.dead_letters():
        print(letter.name, letter.error)
        await cart.retry(letter)
    """

    number: int
    name: str
    message_id: str
    error: str
    time: str
    """When it failed (ISO 8601)."""


class Reference:
    """One entity, as a client sees it."""

    def __init__(self, client: Client, plan: Plan, id: str, task_queue: str, initial: Any, patience: timedelta) -> None:
        self._client = client
        self._plan = plan
        self._id = id
        self._queue = task_queue
        self._initial = initial
        self._patience = patience.total_seconds()
        self._started = False
        self._places = asyncio.Semaphore(IN_FLIGHT)

    async def send(self, definition: Definition, args: tuple[Any, ...], message_id: str | None) -> Any:
        """A message of the class's own, as its handler's signature says."""
        if not definition.required <= len(args) <= len(definition.types):
            raise TypeError(f"{definition.name} takes {len(definition.types)} arguments and got {len(args)}")
        if definition.kind == "query":
            return await self._query(definition.name, args, definition.result)
        if message_id is not None and not 0 < len(message_id) <= LONGEST_ID:
            raise ValueError(f"a message id has 1 to {LONGEST_ID} characters")
        payloads = self._converter().to_payloads(args) if args else []
        key = message_id or str(uuid.uuid4())
        raw = [RawValue(envelope(key)), *map(RawValue, payloads)]
        if definition.kind == "signal":
            return await self._patiently(lambda: self._signal(definition.name, raw))
        update_id = f"{key}/{digest(definition.name, payloads)}"
        return await self._update(definition.name, raw, update_id, definition.result)

    async def dead_letters(self) -> list[DeadLetter]:
        found = await self._query("perdure_dead_letters", (), list[DeadLetter])
        return found  # type: ignore[no-any-return]

    async def handle_letter(self, name: str, letter: DeadLetter) -> None:
        key = str(uuid.uuid4())
        raw = [RawValue(envelope(key)), RawValue(self._converter().to_payload(letter.number))]
        await self._update(name, raw, key, None)

    async def status(self) -> dict[str, Any]:
        return await self._query("perdure_entity", (), dict[str, Any])  # type: ignore[no-any-return]

    async def _update(self, name: str, raw: list[RawValue], update_id: str, result: Any) -> Any:
        async def once() -> Any:
            if self._started:
                handle = self._client.get_workflow_handle(self._id)
                return await handle.execute_update(name, args=raw, id=update_id, result_type=result)
            given = await self._client.execute_update_with_start_workflow(
                name,
                args=raw,
                id=update_id,
                result_type=result,
                start_workflow_operation=WithStartWorkflowOperation(
                    self._plan.name,
                    args=self._input(),
                    id=self._id,
                    task_queue=self._queue,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                ),
            )
            self._started = True
            return given

        async with self._places:
            return await self._patiently(once)

    async def _signal(self, name: str, raw: list[RawValue]) -> None:
        if self._started:
            return await self._client.get_workflow_handle(self._id).signal(name, args=raw)
        await self._client.start_workflow(
            self._plan.name,
            args=self._input(),
            id=self._id,
            task_queue=self._queue,
            start_signal=name,
            start_signal_args=raw,
        )
        self._started = True

    async def _query(self, name: str, args: tuple[Any, ...], result: Any) -> Any:
        handle = self._client.get_workflow_handle(self._id)
        return await self._patiently(lambda: handle.query(name, args=args, result_type=result), starts=False)

    async def _patiently(self, call: Callable[[], Awaitable[T]], starts: bool = True) -> T:
        """Call until it is taken."""
        clock = asyncio.get_running_loop().time
        began, wait = clock(), 0.02
        while True:
            try:
                return await call()
            except (RPCError, WorkflowUpdateFailedError, WorkflowQueryFailedError) as error:
                if starts and self._started and isinstance(error, RPCError) and error.status is GONE:
                    self._started = False
                elif not _again(error):
                    raise
                if clock() + wait - began > self._patience:
                    raise TimeoutError(f"{self._id} has not taken the message for {self._patience:g} s") from error
            await asyncio.sleep(wait * random.uniform(0.5, 1))
            wait = min(wait * 2, 2)

    def _input(self) -> list[RawValue]:
        if self._initial is None:
            return []
        state = self._converter().to_payload(self._initial)
        carried = Carried(self._plan.version, state, 0, Window(0, 0), DeadLetters(0, 0), [])
        return [RawValue(carried.payload())]

    def _converter(self) -> PayloadConverter:
        context = WorkflowSerializationContext(namespace=self._client.namespace, workflow_id=self._id)
        return self._client.data_converter.with_context(context).payload_converter


def _again(error: RPCError | WorkflowUpdateFailedError | WorkflowQueryFailedError) -> bool:
    if isinstance(error, WorkflowUpdateFailedError):
        return isinstance(error.cause, ApplicationError) and error.cause.type == errors.DRAINING
    if isinstance(error, WorkflowQueryFailedError):
        return errors.LOADING in str(error)
    return any(text in error.message for text in AGAIN)
