"""The run: all orders of a file through the workflow, while the server and the worker are killed on the way."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from examples.orders.orderfile import Ending, Order, OrderFile
from examples.orders.stores import Entry, open_books
from examples.orders.worker import TASK_QUEUE
from examples.orders.workflow import PATIENCE, OrderWorkflow, Receipt
from examples.processes import Process, ServerProcess, answering, patiently

MOST_IN_FLIGHT = 24
DOWN_S = 0.5
ORDERS_PER_KILL = 5


@dataclass(frozen=True)
class Accident:
    """A kill: of what, which orders had a charge in flight at that instant, and how long the victim was away."""

    victim: str
    in_flight: list[str]
    down_s: float


class Watcher(Protocol):
    """Is told what happens."""

    def moved(self, run: Run) -> None:
        """Take note that counts of `run` changed."""

    def said(self, text: str) -> None:
        """Take note of a single event."""


@dataclass
class Run:
    """One run; `server` is None if it is somebody else's, which is never killed."""

    file: OrderFile
    books: Path
    address: str
    server: ServerProcess | None
    watcher: Watcher
    answer_after_s: float = 0.25
    started: int = 0
    receipts: dict[str, Receipt] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    accidents: list[Accident] = field(default_factory=list)
    kills_planned: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.books.mkdir(parents=True, exist_ok=True)
        self._stores = open_books(self.books)
        self._stores[0].open_with(self.file.items)
        self._worker = Process("worker", self._worker_command(), self.books / "worker.log")
        self._in_flight_most = max(2, min(MOST_IN_FLIGHT, len(self.file.orders) // 6))
        charged = sum(ending is not Ending.OUT_OF_STOCK for ending in self.file.expected.values())
        kills = ["server", "worker", "server"] if self.server else ["worker"]
        self.kills_planned = kills[: charged // ORDERS_PER_KILL]

    @property
    def finished(self) -> int:
        """Return how many orders have ended, well or not."""
        return len(self.receipts) + len(self.failures)

    async def go(self) -> None:
        """Do it all; returns when every order has ended."""
        began = time.monotonic()
        try:
            if self.server:
                self.watcher.said(f"server ready in {await self.server.start_and_wait():.2f} s on {self.address}")
            client = await answering(self.address)
            self._worker.start()
            places = asyncio.Semaphore(self._in_flight_most)
            accidents = asyncio.create_task(self._kill_on_the_way())
            try:
                await asyncio.gather(*(self._see_through(client, order, places) for order in self.file.orders.values()))
            finally:
                accidents.cancel()
                await asyncio.gather(accidents, return_exceptions=True)
        finally:
            self._worker.stop()
            if self.server:
                self.server.stop()
        self.seconds = time.monotonic() - began

    def ledgers(self) -> list[list[Entry]]:
        """Return the ledgers of the three stores."""
        return [store.ledger() for store in self._stores]

    def close(self) -> None:
        """Close the stores."""
        for store in self._stores:
            store.close()

    async def _see_through(self, client: Client, order: Order, places: asyncio.Semaphore) -> None:
        async with places:
            self.started += 1
            self.watcher.moved(self)
            try:
                self.receipts[order.order] = await self._fulfil(client, order)
            except WorkflowFailureError as error:
                self.failures.append(f"{order.order}: the workflow failed: {error.cause}")
            self.watcher.moved(self)

    async def _fulfil(self, client: Client, order: Order) -> Receipt:
        workflow_id = f"order-{order.order}"

        async def start() -> None:
            await client.start_workflow(
                OrderWorkflow.run,
                order,
                id=workflow_id,
                task_queue=TASK_QUEUE,
                # A task that was handed to a dying connection comes again after this.
                task_timeout=PATIENCE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            )

        # The server may die after it has started the workflow and before it can say so.
        with suppress(WorkflowAlreadyStartedError):
            await patiently(start)
        handle: WorkflowHandle[Any, Receipt] = client.get_workflow_handle(workflow_id, result_type=Receipt)
        return await patiently(handle.result)

    async def _kill_on_the_way(self) -> None:
        """Kill as planned, spread over the run, each time while a charge is in flight."""
        for number, victim in enumerate(self.kills_planned, start=1):
            while self.finished < len(self.file.orders) * number // (len(self.kills_planned) + 1):
                await asyncio.sleep(0.01)
            while not await self._kill_during_a_charge(victim):
                pass

    async def _kill_during_a_charge(self, victim: str) -> bool:
        """Kill `victim` and start it again; return False if the charge was answered just before the kill."""
        booked = await self._fresh_charges()
        process = self._worker if victim == "worker" else self.server
        assert process is not None
        process.kill()
        killed = time.monotonic()
        hit = [order for order in booked if order in self._stores[1].in_flight()]
        self.watcher.said(f"killed the {victim} (SIGKILL) while charging {', '.join(hit) or 'nobody'}")
        await asyncio.sleep(DOWN_S)
        if isinstance(process, ServerProcess):
            await process.start_and_wait()
        else:
            process.start()
        down_s = time.monotonic() - killed
        self.watcher.said(f"the {victim} is back after {down_s:.2f} s")
        if hit:
            self.accidents.append(Accident(victim, hit, down_s))
        return bool(hit)

    async def _fresh_charges(self) -> list[str]:
        """Wait for charges that are booked, and whose answers are not due at once; return their orders."""
        while True:
            young = time.time_ns() - int(self.answer_after_s / 2 * 1e9)
            fresh = [order for order, since_ns in self._stores[1].in_flight().items() if since_ns > young]
            if fresh:
                return fresh
            await asyncio.sleep(0.005)

    def _worker_command(self) -> list[str]:
        program = [sys.executable, "-m", "examples.orders.worker"]
        options = ["--address", self.address, "--books", str(self.books), "--answer-after", str(self.answer_after_s)]
        return [*program, *options]
