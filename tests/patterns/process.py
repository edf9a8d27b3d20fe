"""`perdure up` on a file, a process of its own that is killed with SIGKILL, and an `Env` on it, in real time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.processes import ServerProcess, patiently
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import ConnectConfig, ServiceClient

from perdure.testing import Env, History
from perdure.testing.env import RETENTION_S
from perdure.testing.host import Host
from perdure.testing.watch import WatchedService


class RealTime:
    """What a `Host` is asked and told about time, where none can be skipped."""

    def expect(self, *about: object) -> None: ...
    def abandon(self, *about: object) -> None: ...
    def abandon_worker(self, *about: object) -> None: ...

    def idle(self, namespace_id: str) -> bool:
        """Nobody knows; what is pending tells, in cases without bare timers."""
        return True


class Outside:
    """What an `Env` wants of its server, of one that is not in this process."""

    time = None

    def __init__(self, address: str) -> None:
        self.address = address

    def observe(self, *about: object) -> None: ...
    def unobserve(self, *about: object) -> None: ...


class ProcessHost(Host):
    """A `Host` whose server is another process."""

    time = RealTime()  # type: ignore[assignment]

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.process = ServerProcess(folder / "perdure.db", folder / "perdure.log")
        self.server = Outside(self.process.address)  # type: ignore[assignment]

    async def _start(self) -> ServiceClient:
        await self.process.start_and_wait()
        runtime = Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=None)
        return await ServiceClient.connect(ConnectConfig(target_host=self.process.address, runtime=runtime))

    def stop(self) -> None:
        self.process.kill()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def kill(self) -> None:
        """SIGKILL; then a new process, on the same port and file."""
        before = self.process.pid
        self.process.kill()
        await self.call(self.process.start_and_wait())
        assert self.process.pid != before


class Patient(WatchedService):
    """Calls until there is a server: the SDK gives up after a few seconds, and a busy machine may take longer."""

    async def _rpc_call(self, *call: Any, **options: Any) -> Any:
        ask = super()._rpc_call
        return await patiently(lambda: ask(*call, **options))


class ProcessEnv(Env):
    """An `Env` on such a server."""

    def connect(self, **options: Any) -> Client:
        service = Patient(self._host.service, self._watch)
        return Client(service, namespace=self.namespace, **{**self._options, **options})

    async def _open(self, *options: Any) -> str:
        service = self._host.service.workflow_service
        retention = Duration(seconds=RETENTION_S)
        await service.register_namespace(
            RegisterNamespaceRequest(namespace=self.namespace, workflow_execution_retention_period=retention)
        )
        about = await service.describe_namespace(DescribeNamespaceRequest(namespace=self.namespace))
        return about.namespace_info.id

    def finish(self, *, passed: bool = True) -> None:
        """No observer hears of workflow tasks that fail in another process: the histories tell."""
        if passed:
            for run in self._host.run(self.histories()):
                self._hear(run)
        super().finish(passed=passed)

    def _hear(self, run: History) -> None:
        for event in run.events:
            if event.HasField("workflow_task_failed_event_attributes"):
                self._watch._failed(run.workflow_id, run.run_id, event)

    async def _close(self) -> None:
        """The namespace goes with the server's file."""


@contextlib.contextmanager
def process_host(folder: Path) -> Iterator[ProcessHost]:
    """Start the server, and kill it in the end."""
    host = ProcessHost(folder)
    try:
        host.start()
        yield host
    finally:
        host.stop()
