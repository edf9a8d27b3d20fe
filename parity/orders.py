"""The workflow of examples/orders with the Python SDK, without kills: a dozen orders on both servers."""

from __future__ import annotations

import json
import logging
import secrets
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from examples.orders.activities import OrderActivities
from examples.orders.make_orders import make_orders
from examples.orders.orderfile import OrderFile, read_orders
from examples.orders.stores import open_books
from examples.orders.workflow import PATIENCE, OrderWorkflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.worker import Worker

from parity.histories import look
from parity.programs import finding
from parity.results import Finding

FAMILY = "orders"
ORDERS = 12
TRIES = 3


async def compare(perdure: str, reference: str) -> list[Finding]:
    """Each order as a finding."""
    # An order that is refused is an everyday answer here, not a warning with a traceback.
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)
    findings: list[Finding] = []
    for _ in range(TRIES):
        token = secrets.token_hex(6)
        here, there = await _fulfil(perdure, token), await _fulfil(reference, token)
        findings = [finding(FAMILY, name, there[name], here[name]) for name in sorted(here)]
        if all(found.state != "unexplained" for found in findings):
            break
    return findings


async def _fulfil(address: str, token: str) -> dict[str, dict[str, Any]]:
    client = await Client.connect(address, identity="parity")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(8) as threads:
        file = _orders(Path(folder))
        books = open_books(Path(folder))
        books[0].open_with(file.items)
        worker = Worker(
            client,
            task_queue=f"orders-{token}",
            workflows=[OrderWorkflow],
            activities=OrderActivities(books, 0.0).all(),
            activity_executor=threads,
        )
        async with worker:
            records = {name: await _one(client, address, token, name, order) for name, order in file.orders.items()}
        for store in books:
            store.close()
        return records


def _orders(folder: Path) -> OrderFile:
    path = folder / "orders.jsonl"
    path.write_text("".join(json.dumps(order) + "\n" for order in make_orders(ORDERS, seed=3)))
    return read_orders(path)


async def _one(client: Client, address: str, token: str, name: str, order: Any) -> dict[str, Any]:
    handle = await client.start_workflow(
        OrderWorkflow.run, order, id=f"order-{name}-{token}", task_queue=f"orders-{token}", task_timeout=PATIENCE
    )
    try:
        result: Any = str(await handle.result())
    except WorkflowFailureError as error:
        result = repr(error.cause)
    return await look(address, token, [(handle.id, handle.first_execution_run_id or "")], result)
