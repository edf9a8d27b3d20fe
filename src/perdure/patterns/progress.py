"""Long activities: heartbeats while work moves, and a typed cursor at which the next attempt goes on.

    @activity.defn
    async def load(file: str) -> int:
        async with progress(Cursor, stall_timeout=timedelta(minutes=2)) as p:
            cursor = p.cursor or Cursor(row=0)
            async for row in rows(file, after=cursor.row):
                await insert(row)
                cursor = Cursor(row=row.number)
                p.save(cursor)
        return cursor.row

In sync activities it is `with progress(...)`.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError

from perdure.patterns.snapshot import snapshot

C = TypeVar("C")

BEATS = 3
"""Heartbeats in each heartbeat timeout."""


class Progress(Generic[C]):
    """How far an activity has come. Made by `progress`; functions that it calls take it as `p: Progress[int]`.

    async def insert_all(rows: list[Row], p: Progress[int]) -> None:
        for row in rows[p.cursor or 0 :]:
            await insert(row)
            p.save(row.number)
    """

    def __init__(self, cursor_type: type[C], stall_timeout: timedelta) -> None:
        info = activity.info()
        if stall_timeout <= timedelta(0):
            raise ValueError(f"stall_timeout is {stall_timeout}: it has to be positive")
        if not info.heartbeat_timeout:
            raise ApplicationError(
                f"{info.activity_type} has no heartbeat timeout: nobody would see it hang; call it with one",
                type="NoHeartbeatTimeout",
                non_retryable=True,
            )
        self.cursor: C | None = _cursor(cursor_type, info.heartbeat_details)
        """What was saved last, by an attempt before at first; None: nothing. To change it does not save it."""
        self._saved = _details(self.cursor)
        self._stall_s = stall_timeout.total_seconds()
        self._every_s = info.heartbeat_timeout.total_seconds() / BEATS
        self.stalled = False
        """Whether heartbeats have stopped, since nothing moves."""
        self._moved_s = time.monotonic()
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def save(self, cursor: C) -> None:
        """Work has moved on to here: all before it is done, and is not done again: `p.save(row.number)`.

        The cursor as it is now is kept; what is changed in it later counts when it is saved again.
        Raises `CancelledError` if a sync activity is cancelled; an async one is cancelled by itself.
        """
        self.cursor = cursor
        self._saved = _details(cursor)
        self.alive()

    def alive(self) -> None:
        """Work moves, though there is nothing new to save. Raises as `save` does."""
        self._moved_s = time.monotonic()
        self._beat()
        if self._thread is not None and activity.is_cancelled():
            raise CancelledError("the activity was cancelled")

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beats())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    def __enter__(self) -> Self:
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._beats_in_thread,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    async def _beats(self) -> None:
        while True:
            self._beat_if_moving()
            await asyncio.sleep(self._every_s)

    def _beats_in_thread(self) -> None:
        while not self._ended.is_set():
            self._beat_if_moving()
            self._ended.wait(self._every_s)

    def _beat_if_moving(self) -> None:
        """Without heartbeats the server gives the work to another attempt."""
        stalled = time.monotonic() - self._moved_s >= self._stall_s
        if stalled and not self.stalled:
            activity.logger.warning("no progress for %s s: no heartbeats until there is some", self._stall_s)
        self.stalled = stalled
        if not stalled:
            self._beat()

    def _beat(self) -> None:
        activity.heartbeat(*self._saved)


def progress(cursor_type: type[C], *, stall_timeout: timedelta) -> Progress[C]:
    """Send heartbeats while the work moves, and keep a cursor of that type; `async with` or `with`, in an activity.

        async with progress(int, stall_timeout=timedelta(minutes=2)) as p:
            async for row in rows(file, after=p.cursor or 0):
                await insert(row)
                p.save(row.number)

    Heartbeats go on by themselves, until `stall_timeout` after the last `save` or `alive`: then the work hangs, and the
    server's heartbeat timeout ends the attempt. Raises `ApplicationError`, which is not tried again:
    `NoHeartbeatTimeout` if there is no such timeout, `WrongCursor` if the last cursor is of another type.
    """
    return Progress(cursor_type, stall_timeout)


def _details(cursor: Any) -> Sequence[Any]:
    """What heartbeats have. The work may change its cursor before it has come there, and they come at any time."""
    return () if cursor is None else snapshot((cursor,), activity.payload_converter)


def _cursor(cursor_type: type[C], details: Any) -> C | None:
    """What the attempt before has saved, as a value of the type, which heartbeats come without."""
    if not details:
        return None
    converter = activity.payload_converter()
    try:
        [cursor] = converter.from_payloads(converter.to_payloads(details[:1]), [cursor_type])
    except Exception as error:
        text = f"the last cursor, {details[0]!r}, is no {cursor_type.__name__}"
        raise ApplicationError(text, type="WrongCursor", non_retryable=True) from error
    found: C = cursor
    return found
