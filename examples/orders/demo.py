"""The demo: python -m examples.orders.demo [FILE]. Orders in, kills on the way, and a table from the ledgers."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig

from examples.orders.audit import Audit, audit
from examples.orders.orderfile import BadOrderFile, OrderFile, read_orders
from examples.orders.run import Run
from examples.orders.show import as_json, progress_on, show_report
from examples.processes import PERDURE_UP, ProcessDied, ServerProcess

ORDERS = Path(__file__).parent / "orders.jsonl"
OK, MISMATCH, UNUSABLE, INTERRUPTED = 0, 1, 2, 130


def main() -> int:
    """Run the demo, and return the exit code: 0 all as expected, 1 a mismatch, 2 it could not run."""
    args = _arguments()
    try:
        file = read_orders(args.file)
    except BadOrderFile as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    folder: Path = args.dir or Path(tempfile.mkdtemp(prefix="perdure-orders-"))
    if folder.exists() and any(folder.iterdir()):
        print(f"error: {folder} is not empty; the ledgers need a folder of their own", file=sys.stderr)
        return UNUSABLE
    # The SDK logs to stdout, and here it would warn of each call that a dead server does not answer.
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter="error"))))
    # So that nothing is left running, whoever stops the demo.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        ok = asyncio.run(_demo(file, folder, args))
    except KeyboardInterrupt:
        print(f"interrupted; logs and ledgers: {folder}", file=sys.stderr)
        return INTERRUPTED
    except (ProcessDied, TimeoutError) as error:
        reason = str(error) or f"not all orders had ended after {args.timeout:g} s"
        print(f"error: {reason}\nlogs and ledgers: {folder}", file=sys.stderr)
        return MISMATCH
    if ok and not args.dir:
        shutil.rmtree(folder)
    else:
        print(f"logs and ledgers: {folder}", file=sys.stderr)
    return OK if ok else MISMATCH


async def _demo(file: OrderFile, folder: Path, args: argparse.Namespace) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    server = None if args.address else ServerProcess(folder / "server.db", folder / "server.log", args.server_command)
    address = args.address or (server.address if server else "")
    console = Console(stderr=args.json)
    with progress_on(console, len(file.orders)) as watcher:
        run = Run(file, folder, address, server, watcher, args.answer_after)
        async with asyncio.timeout(args.timeout):
            await run.go()
    found = audit(file, run.ledgers())
    found.problems += _problems_of(run, found)
    run.close()
    if args.json:
        print(json.dumps(as_json(run, found), indent=2))
    else:
        show_report(console, run, found)
    return not found.problems


def _problems_of(run: Run, found: Audit) -> list[str]:
    """Return what the ledgers cannot show: what the workflows said, and whether the kills hit."""
    problems = list(run.failures)
    for order, ending in found.endings.items():
        receipt = run.receipts.get(order)
        if receipt is not None and receipt.completed != (ending == "completed"):
            problems.append(f"{order}: {ending} in the ledgers, but its workflow says {receipt}")
    if len(run.accidents) < len(run.kills_planned):
        problems.append(f"only {len(run.accidents)} of {len(run.kills_planned)} kills hit a charge in flight")
    charged_again = {entry.order_id for entry in found.repeats if entry.action == "charge"}
    for accident in run.accidents:
        if accident.victim == "worker" and not charged_again.intersection(accident.in_flight):
            problems.append(f"no repeat was turned away for {', '.join(accident.in_flight)}")
    return problems


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.orders.demo",
        description="Put a file of orders through a workflow, kill the server and the worker while they charge cards, "
        "and check the ledgers: exit code 0 if everything is as the file expects, 1 if not, 2 for a bad file.",
    )
    parser.add_argument(
        "file", type=Path, nargs="?", default=ORDERS, help="orders as JSON lines (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout, progress on stderr")
    parser.add_argument("--dir", type=Path, help="folder for ledgers, logs and database (default: a temporary one)")
    server = parser.add_mutually_exclusive_group()
    server.add_argument(
        "--server-command",
        default=PERDURE_UP,
        metavar="COMMAND",
        help="starts the server; {db} and {port} are filled in (default: perdure up)",
    )
    server.add_argument("--address", metavar="HOST:PORT", help="use a server that runs already; it is not killed")
    parser.add_argument(
        "--answer-after",
        type=float,
        default=0.25,
        metavar="S",
        help="how long a charge is in flight, in seconds (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout", type=float, default=180, metavar="S", help="give up after so many seconds (default: %(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
