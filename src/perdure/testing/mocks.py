"""Activities that a test stands in for, with the real name, signature and types: calls are what they will be."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from perdure.testing.watch import Watch

Overlook = Callable[[str, str, int], None]
"""Tells the server that an attempt (run id, activity id, attempt) will not end by itself."""
_MARK = "__temporal_activity_definition"


@dataclass
class Call:
    """One attempt that reached a mock."""

    args: tuple[Any, ...]
    attempt: int
    workflow_id: str
    activity_id: str
    info: activity.Info = field(repr=False)
    result: Any = None
    error: BaseException | None = None


class Mock:
    """An activity to give to a worker. Made by `Env.mock`."""

    def __init__(
        self,
        watch: Watch,
        overlook: Overlook,
        fn: Callable[..., Any] | str,
        *,
        returns: Any = None,
        raises: BaseException | type[BaseException] | Sequence[BaseException | type[BaseException] | None] = (),
        side_effect: Callable[..., Any] | None = None,
        blocks: bool = False,
    ) -> None:
        self._watch = watch
        self._overlook = overlook
        self._signature: inspect.Signature | None = None
        if isinstance(fn, str):
            definition = activity._Definition(fn, self, True, False)
        else:
            real = activity._Definition.must_from_callable(fn)
            self._signature = _signature(fn)
            definition = activity._Definition(real.name, self, True, False, real.arg_types, real.ret_type)
        setattr(self, _MARK, definition)
        self.name: str = str(definition.name or getattr(fn, "__name__", "dynamic"))
        self._ret_type = definition.ret_type
        self._always = raises if isinstance(raises, BaseException | type) else None
        self._raises = list(raises) if isinstance(raises, Sequence) else []
        self._returns = returns
        self._side_effect = side_effect
        self._blocks = blocks
        self._freed = 0
        self._blocked: list[asyncio.Future[None]] = []
        self._called = asyncio.Event()
        self.calls: list[Call] = []
        """All attempts, in the order in which they began."""

    @property
    def args(self) -> list[tuple[Any, ...]]:
        """The arguments of each attempt."""
        return [call.args for call in self.calls]

    async def called(self, times: int = 1) -> Call:
        """Wait until so many attempts have begun; gives the last of these."""
        while len(self.calls) < times:
            self._called.clear()
            await self._watch.race(self._called.wait())
        return self.calls[times - 1]

    def release(self, attempts: int | None = None) -> None:
        """Let attempts that block go on: the given number of them, also such as will come; by default all and for
        good."""
        if attempts is None:
            self._blocks = False
            attempts = len(self._blocked)
        for _ in range(attempts):
            while self._blocked and self._blocked[0].done():
                self._blocked.pop(0)
            if self._blocked:
                self._blocked.pop(0).set_result(None)
            else:
                self._freed += self._blocks

    async def __call__(self, *args: Any) -> Any:
        info = activity.info()
        call = Call(args, info.attempt, info.workflow_id or "", info.activity_id, info)
        self.calls.append(call)
        self._called.set()
        self._check_call(args)
        try:
            if self._blocks:
                await self._block(call)
            call.result = self._check_result(await self._outcome(args))
            return call.result
        except BaseException as error:
            call.error = error
            raise

    async def _block(self, call: Call) -> None:
        if self._freed:
            self._freed -= 1
            return
        gate = asyncio.get_running_loop().create_future()
        self._blocked.append(gate)
        self._overlook(call.info.workflow_run_id or "", call.activity_id, call.attempt)
        await gate

    async def _outcome(self, args: tuple[Any, ...]) -> Any:
        error = self._raises.pop(0) if self._raises else self._always
        if error is not None:
            raise error
        if self._side_effect is None:
            return self._returns
        result = self._side_effect(*args)
        return await result if inspect.isawaitable(result) else result

    def _check_call(self, args: tuple[Any, ...]) -> None:
        if self._signature is None:
            return
        try:
            self._signature.bind(*args)
        except TypeError as error:
            self._refuse(f"activity {self.name} was called with {len(args)} arguments: {error}")

    def _check_result(self, value: Any) -> Any:
        """What the mock gives has to survive the way to the workflow, as what the real one gives does."""
        if self._ret_type is None:
            return value
        converter = activity.payload_converter()
        try:
            converter.from_payloads(converter.to_payloads([value]), [self._ret_type])
        except Exception as error:
            self._refuse(f"the mock of {self.name} gives {value!r}, which is no {self._ret_type}: {error}")
        return value

    def _refuse(self, text: str) -> None:
        self._watch.problem(text)
        raise ApplicationError(text, type="MockMisused", non_retryable=True)


def _signature(fn: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(fn)
    names = list(signature.parameters)
    if names and names[0] == "self" and not inspect.ismethod(fn):
        return signature.replace(parameters=list(signature.parameters.values())[1:])
    return signature
