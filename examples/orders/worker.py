"""The worker process: python -m examples.orders.worker --address HOST:PORT --books FOLDER"""

from __future__ import annotations

import argparse
import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.worker import Worker

from examples.orders.activities import OrderActivities
from examples.orders.stores import open_books
from examples.orders.workflow import OrderWorkflow

TASK_QUEUE = "orders"
THREADS = 32


async def work(address: str, books: Path, answer_after_s: float) -> None:
    """Work on orders until the process ends."""
    activities = OrderActivities(open_books(books), answer_after_s)
    with ThreadPoolExecutor(THREADS) as threads:
        worker = Worker(
            await Client.connect(address),
            task_queue=TASK_QUEUE,
            workflows=[OrderWorkflow],
            activities=activities.all(),
            activity_executor=threads,
            max_concurrent_activities=THREADS,
            # How long tasks wait for this worker after its death before others may have them.
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
        )
        await worker.run()


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the worker of the orders demo.")
    parser.add_argument("--address", default="127.0.0.1:7233", help="of the server (default: %(default)s)")
    parser.add_argument("--books", type=Path, required=True, help="folder with the ledgers of the three stores")
    parser.add_argument(
        "--answer-after", type=float, default=0.25, metavar="S", help="of the payment provider (default: %(default)s)"
    )
    args = parser.parse_args()
    # A declined card is an everyday answer here, not a warning with a traceback.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
    asyncio.run(work(args.address, args.books, args.answer_after))


if __name__ == "__main__":
    main()
