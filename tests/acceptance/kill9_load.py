"""The load of the kill -9 test: each process notes what the server acknowledged, synced to disk, before it goes on.

    python -m tests.acceptance.kill9_load client|worker --name NAME --address HOST:PORT --folder FOLDER

Each process writes FOLDER/NAME.ledger (one JSON line an acknowledgement) and FOLDER/NAME.calls (the number of its calls
that are under way, so that the driver can choose its moment). A client opens no new workflows once FOLDER/stop exists.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import mmap
import os
import struct
import traceback
import uuid
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from examples.processes import answering, patiently
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.converter import default as default_converter
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

TASK_QUEUE = "kill9"
SIGNALS = 3
ACTIVITIES = 2
OPEN_WORKFLOWS = 32
CALL_TIMEOUT = timedelta(seconds=5)


class Ledger:
    """A file of acknowledgements that survives whatever happens to this process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, kind: str, workflow_id: str, what: str) -> None:
        """Write one acknowledgement and sync it."""
        os.write(self._file, json.dumps([kind, workflow_id, what]).encode() + b"\n")
        os.fsync(self._file)


class Calls:
    """The numbers of calls under way, changing ones and those that wait for a result, where others can read them."""

    LAYOUT = struct.Struct("ii")

    def __init__(self, path: Path) -> None:
        unfinished = path.with_suffix(".new")
        unfinished.write_bytes(self.LAYOUT.pack(0, 0))
        with unfinished.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), self.LAYOUT.size)
        unfinished.rename(path)
        self._counts = [0, 0]

    @contextmanager
    def under_way(self, *, waits: bool = False) -> Iterator[None]:
        """Count a call while the body lasts."""
        self._add(waits, 1)
        try:
            yield
        finally:
            self._add(waits, -1)

    def _add(self, waits: bool, number: int) -> None:
        self._counts[waits] += number
        self._shared[:] = self.LAYOUT.pack(*self._counts)

    @classmethod
    def read(cls, path: Path) -> tuple[int, int]:
        """Return the numbers that another process wrote to `path`."""
        changes, waits = cls.LAYOUT.unpack(path.read_bytes())
        return changes, waits


@workflow.defn
class Collect:
    """Has its activities done, collects its signals, and returns all of them."""

    def __init__(self) -> None:
        self._signals: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        answers = [self._answer(number) for number in range(ACTIVITIES)]
        done = await asyncio.gather(*answers)
        await workflow.wait_condition(lambda: len(self._signals) >= SIGNALS)
        return sorted(done) + sorted(self._signals)

    @workflow.signal
    def add(self, signal_id: str) -> None:
        self._signals.append(signal_id)

    def _answer(self, number: int) -> Awaitable[str]:
        return workflow.execute_activity_method(
            Answers.answer,
            number,
            # A task that was given to a dying connection is lost: it has to come again soon.
            start_to_close_timeout=timedelta(seconds=3),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100)),
        )


class Answers:
    """The activity of the load: it completes itself through the client, whose reply can be noted."""

    def __init__(self, client: Client, ledger: Ledger, calls: Calls) -> None:
        self._client, self._ledger, self._calls = client, ledger, calls
        self._tasks: set[asyncio.Task[None]] = set()

    @activity.defn
    async def answer(self, number: int) -> str:
        info = activity.info()
        assert info.workflow_id is not None
        task = asyncio.create_task(self._complete(info.task_token, info.workflow_id, f"a{number}"))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        activity.raise_complete_async()

    async def _complete(self, token: bytes, workflow_id: str, value: str) -> None:
        handle = self._client.get_async_activity_handle(task_token=token)
        with self._calls.under_way():
            try:
                await patiently(lambda: handle.complete(value, rpc_timeout=CALL_TIMEOUT))
            except RPCError as error:
                # Completed by a call whose reply got lost, or given up by the server: nothing was acknowledged.
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                return
        self._ledger.note("activity", workflow_id, value)


class LoadClient:
    """Opens workflows, signals them, waits for their results, and notes each reply."""

    def __init__(self, client: Client, ledger: Ledger, calls: Calls, name: str) -> None:
        self._client, self._ledger, self._calls, self._name = client, ledger, calls, name
        self._opened = 0

    async def go_on_until(self, stop: Path) -> None:
        """Keep workflows open until `stop` exists; return when the last of them has ended."""

        async def one_after_another() -> None:
            while not stop.exists():
                self._opened += 1
                await self._see_through(f"{self._name}-{self._opened}")

        await asyncio.gather(*(one_after_another() for _ in range(OPEN_WORKFLOWS)))

    async def _see_through(self, workflow_id: str) -> None:
        with self._calls.under_way(), suppress(WorkflowAlreadyStartedError):
            await patiently(lambda: self._start(workflow_id))
        self._ledger.note("start", workflow_id, "")
        await asyncio.gather(*(self._signal(workflow_id, f"s{number}") for number in range(SIGNALS)))
        handle: WorkflowHandle[Any, list[str]] = self._client.get_workflow_handle(workflow_id, result_type=list[str])
        with self._calls.under_way(waits=True):
            result = await patiently(handle.result)
        self._ledger.note("result", workflow_id, " ".join(result))

    async def _start(self, workflow_id: str) -> None:
        await self._client.start_workflow(
            Collect.run,
            id=workflow_id,
            task_queue=TASK_QUEUE,
            task_timeout=timedelta(seconds=2),
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            rpc_timeout=CALL_TIMEOUT,
        )

    async def _signal(self, workflow_id: str, signal_id: str) -> None:
        request = SignalWorkflowExecutionRequest(
            namespace=self._client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id),
            signal_name="add",
            request_id=str(uuid.uuid4()),
        )
        request.input.payloads.extend(await default_converter().encode([signal_id]))
        service = self._client.workflow_service
        with self._calls.under_way():
            await patiently(lambda: service.signal_workflow_execution(request, timeout=CALL_TIMEOUT))
        self._ledger.note("signal", workflow_id, signal_id)


async def run_client(args: argparse.Namespace, ledger: Ledger, calls: Calls) -> None:
    """Be a client until told to stop."""
    client = await answering(args.address)
    await LoadClient(client, ledger, calls, args.name).go_on_until(args.folder / "stop")


async def run_worker(args: argparse.Namespace, ledger: Ledger, calls: Calls) -> None:
    """Be a worker until killed."""
    client = await answering(args.address)
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Collect],
        activities=[Answers(client, ledger, calls).answer],
        workflow_runner=UnsandboxedWorkflowRunner(),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
    )
    await worker.run()


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one process of the load.")
    roles: dict[str, Any] = {"client": run_client, "worker": run_worker}
    parser.add_argument("role", choices=roles)
    parser.add_argument("--name", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    ledger, calls = Ledger(args.folder / f"{args.name}.ledger"), Calls(args.folder / f"{args.name}.calls")
    try:
        asyncio.run(roles[args.role](args, ledger, calls))
    except Exception:
        # Calls left open inside the SDK keep the interpreter from ending.
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    main()
