"""What a kill -9 must not lose: python -m tests.acceptance.kill9 [--kills N] [--seed N]

Clients and a worker put load on a server that is killed at random moments, each time with at least twenty calls under
way that change something, and started again. Every call that the server acknowledged is in a ledger, which the caller
synced to disk before it went on. In the end each of them has to be in the server's histories, exactly once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from examples.processes import PERDURE_UP, Process, ServerProcess, answering
from rich.console import Console
from rich.table import Table
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.converter import default as default_converter
from tests.acceptance.kill9_load import ACTIVITIES, SIGNALS, Calls

CLIENTS = ["client-1", "client-2"]
WORKERS = ["worker-1"]
LEAST_CALLS = 20
FULL_LOAD_WITHIN_S = 60
LAST_RESULTS_WITHIN_S = 120
HISTORIES_AT_ONCE = 16
Facts = Counter[tuple[str, str]]  # kind of call and what it carried, with the number of times
KINDS = ["start", "signal", "activity", "result"]
VALUES = [*(f"a{number}" for number in range(ACTIVITIES)), *(f"s{number}" for number in range(SIGNALS))]
EXPECTED = {
    ("start", ""),
    *(("activity" if value.startswith("a") else "signal", value) for value in VALUES),
    ("result", " ".join(VALUES)),
}


@dataclass(frozen=True)
class Kill:
    """One kill: how long after the server was ready, the calls under way, and how long the server was away."""

    after_s: float
    changes: int
    waits: int
    away_s: float


@dataclass
class Outcome:
    """What came out: acknowledgements by kind, and those that the server does not know, or knows twice."""

    kills: list[Kill] = field(default_factory=list)
    acknowledged: Counter[str] = field(default_factory=Counter)
    workflows: int = 0
    problems: list[str] = field(default_factory=list)

    def tables(self) -> list[Table]:
        """Return the tables to show."""
        kills = Table("kill", "ready for s", "changing calls under way", "results waited for", "away for s")
        for number, kill in enumerate(self.kills, start=1):
            kills.add_row(str(number), f"{kill.after_s:.2f}", str(kill.changes), str(kill.waits), f"{kill.away_s:.2f}")
        sums = Table("acknowledged", "number", "lost or doubled")
        wrong = Counter(problem.split()[0] for problem in self.problems)
        for kind in KINDS:
            sums.add_row(kind, str(self.acknowledged[kind]), str(wrong[kind]))
        return [kills, sums]


async def kill_and_compare(server: ServerProcess, folder: Path, kills: int, seed: int) -> Outcome:
    """Put load on `server`, kill it `kills` times, and hold its histories against the ledgers in `folder`."""
    outcome, chance = Outcome(), random.Random(seed)
    await server.start_and_wait()
    workers = [_load("worker", name, server, folder) for name in WORKERS]
    clients = [_load("client", name, server, folder) for name in CLIENTS]
    load = [*workers, *clients]
    try:
        for process in load:
            process.start()
        for _ in range(kills):
            outcome.kills.append(await _kill_under_load(server, load, folder, chance))
        (folder / "stop").touch()
        await _until_ended(clients, server)
        await _compare(await answering(server.address, server), folder, outcome)
    finally:
        for process in load:
            process.kill()
        server.kill()
    return outcome


async def _kill_under_load(server: ServerProcess, load: list[Process], folder: Path, chance: random.Random) -> Kill:
    ready = time.monotonic()
    await asyncio.sleep(chance.uniform(0.1, 2.0))
    while True:
        changes, waits = _calls(folder)
        if changes >= LEAST_CALLS:
            break
        for process in [server, *load]:
            process.check()
        assert time.monotonic() < ready + FULL_LOAD_WITHIN_S, f"never {LEAST_CALLS} calls at once: {changes}"
        await asyncio.sleep(0.001)
    killed = time.monotonic()
    server.kill()
    await asyncio.sleep(chance.uniform(0.0, 0.5))
    await server.start_and_wait()
    return Kill(killed - ready, changes, waits, time.monotonic() - killed)


async def _until_ended(clients: list[Process], server: ServerProcess) -> None:
    deadline = time.monotonic() + LAST_RESULTS_WITHIN_S
    while any(client.exit_code is None for client in clients):
        server.check()
        _check_none_failed(clients)
        assert time.monotonic() < deadline, "the last workflows did not end"
        await asyncio.sleep(0.05)
    _check_none_failed(clients)


def _check_none_failed(clients: list[Process]) -> None:
    for client in clients:
        if client.exit_code:
            client.check()


async def _compare(client: Client, folder: Path, outcome: Outcome) -> None:
    noted: defaultdict[str, Facts] = defaultdict(Counter)
    for path in folder.glob("*.ledger"):
        for line in path.read_text().splitlines():
            kind, workflow_id, what = json.loads(line)
            noted[workflow_id][kind, what] += 1
            outcome.acknowledged[kind] += 1
    outcome.workflows = len(noted)
    places = asyncio.Semaphore(HISTORIES_AT_ONCE)

    async def compare_one(workflow_id: str) -> None:
        async with places:
            found = await _facts(client, workflow_id)
        outcome.problems += differences(workflow_id, noted[workflow_id], found)

    await asyncio.gather(*map(compare_one, noted))


def differences(workflow_id: str, noted: Facts, found: Facts) -> list[str]:
    """Say what a history does not have exactly once: what was acknowledged, and what an ended workflow must have."""
    return [
        f"{kind} {what!r} of {workflow_id}: {found[kind, what]} times in its history"
        for kind, what in sorted({*noted, *found, *EXPECTED})
        if found[kind, what] != 1
    ]


async def _facts(client: Client, workflow_id: str) -> Facts:
    """Return what a history says, in the terms of the ledgers."""
    facts: Facts = Counter()
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
            facts["start", ""] += 1
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
            facts["signal", await _text(event.workflow_execution_signaled_event_attributes.input)] += 1
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            facts["activity", await _text(event.activity_task_completed_event_attributes.result)] += 1
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
            facts["result", await _text(event.workflow_execution_completed_event_attributes.result)] += 1
    return facts


async def _text(payloads: Payloads) -> str:
    (value,) = await default_converter().decode(payloads.payloads)
    return value if isinstance(value, str) else " ".join(value)


def _load(role: str, name: str, server: ServerProcess, folder: Path) -> Process:
    program = [sys.executable, "-m", "tests.acceptance.kill9_load", role]
    options = ["--name", name, "--address", server.address, "--folder", str(folder)]
    return Process(name, [*program, *options], folder / f"{name}.log")


def _calls(folder: Path) -> tuple[int, int]:
    """Return the numbers of changing and of waiting calls under way in all processes."""
    counts = [Calls.read(path) for path in folder.glob("*.calls")]
    return sum(changes for changes, _ in counts), sum(waits for _, waits in counts)


def main() -> int:
    """Run the test, and return 1 if anything acknowledged was lost."""
    parser = argparse.ArgumentParser(description="Kill a server under load, and look for what it forgot.")
    parser.add_argument("--kills", type=int, default=50, help="how often (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the moments (default: %(default)s)")
    parser.add_argument("--server-command", default=PERDURE_UP, help="{db} and {port} are filled in")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perdure-kill9-") as name:
        folder = Path(name)
        server = ServerProcess(folder / "server.db", folder / "server.log", args.server_command)
        outcome = asyncio.run(kill_and_compare(server, folder, args.kills, args.seed))
    Console().print(*outcome.tables())
    for problem in outcome.problems:
        print(problem)
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
