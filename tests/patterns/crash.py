"""A server on a file that is killed and started again, in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from perdure.config import Skipping
from perdure.engine.queues import activity_queue, workflow_queue
from perdure.runtime.namespace_time import SkippedClock
from perdure.server import Server
from perdure.testing import Env
from perdure.testing.host import Host


class FileHost(Host):
    """A `Host` whose server has a file."""

    def __init__(self, db: Path) -> None:
        super().__init__()
        self._db = db
        self.is_down = False
        """While it starts again; it still has the time of the server before then."""
        self.server = Server(db=db, skipping=Skipping.UNLOCKED)

    async def kill(self, env: Env, queue: str) -> None:
        """No goodbye to those who are connected; then a new server, on the same port and file."""
        await self.call(self._kill(env, queue))

    async def _kill(self, env: Env, queue: str) -> None:
        now_ns = self.time.of(env._id).clock.now_ns()
        port = self.server.port
        self.is_down = True
        await self.server.stop(grace_s=0)
        server = Server(db=self._db, port=port, skipping=Skipping.UNLOCKED)
        await server.start()
        self.server, self.is_down = server, False
        time = self.time.of(env._id)
        time.clock = SkippedClock(self.time._clock, now_ns)
        self.time.expect(env._id, [workflow_queue(env._id, queue), activity_queue(env._id, queue)], True)
        self.server.observe(env._watch.published)
        time.wake.set()


@contextlib.contextmanager
def file_env(db: Path, like: Env) -> Iterator[tuple[Env, Callable[[], Awaitable[None]]]]:
    """An `Env` on a file, and how to kill its server."""
    from tests.patterns.stage import QUEUE

    host = FileHost(db)
    host.start()
    try:
        env = Env(host, name=f"{like.name} on a file", stall_s=0, client_options=like._options)
        yield env, lambda: host.kill(env, QUEUE)
        env.finish()
    finally:
        host.stop()
