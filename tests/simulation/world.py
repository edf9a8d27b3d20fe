"""One simulated world: a clock, a disk, a server that crashes, a network, workers and clients, all from one seed."""

from __future__ import annotations

import gc
import hashlib
import logging
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.simulation.clients import Client
from tests.simulation.disk import Disk
from tests.simulation.faults import MS, Faults, S
from tests.simulation.ledger import EARLIER, Ledger
from tests.simulation.loop import Spinning
from tests.simulation.network import Network
from tests.simulation.process import Listener, Process
from tests.simulation.workers import Worker

from perdure.clock import SECOND_NS, ManualClock

STEPS = 1_000
MIN_CRASHES = 3
HEAL_S = 4 * 3600
"""Simulated time in which everything has to come to its end once nothing goes wrong any more."""
SETTLE_S = 60
HEAL_STEPS = 60_000
MAX_OFFSET_NS = 5400 * S
"""How wrong the wall clock may be."""
LATE_SCHEDULE_NS = 90 * S
"""How long after its time a schedule's action may still not have been taken when all has settled."""
LATE_NS = 30 * S
"""How long after its time a deadline may still stand, once nothing goes wrong any more."""


@dataclass
class Report:
    """What came of a seed. `problems` is empty when all is well; `digest` is of everything that happened."""

    seed: int
    steps: int = 0
    crashes: int = 0
    commits: int = 0
    problems: list[str] = field(default_factory=list)
    digest: str = ""
    counts: Counter[str] = field(default_factory=Counter)


class World:
    def __init__(self, seed: int, steps: int = STEPS, trace: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.wanted_steps = steps
        self.chance = random.Random(seed)
        self.clock = ManualClock()
        """What passes. What the machine's wall clock says may be something else."""
        self._wall_offset_ns = 0
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.faults = Faults(self.chance, self.counts)
        self.ledger = Ledger(self.complain, self.server_ns, self.clock.now_ns, self.counts)
        self.disk = Disk()
        self.network = Network(self)
        self.cache_bytes = self.chance.choice([0, 20_000, 10**8, 10**8])
        self.process: Process | None = None
        self.healing = False
        """Nothing goes wrong any more, and workflows end as soon as they can."""
        self.settling = False
        """Nothing goes wrong any more, and workflows do nothing: what they owe each other arrives."""
        self.steps = self.crashes = self.commits = 0
        self._dead: list[Process] = []
        self._hash = hashlib.blake2b(digest_size=12)
        self._trace = trace
        self._names = self._turns = 0
        self.workers = [Worker(self, number) for number in range(self.chance.choice([1, 2, 2, 3]))]
        self.clients = [Client(self, number) for number in range(self.chance.choice([2, 3, 4]))]

    # Telling.

    def complain(self, words: str) -> None:
        self.note(f"PROBLEM {words}")
        self.problems.append(words)

    def trace(self, words: str, data: bytes) -> None:
        """Something happened: that is a step, and goes into the digest."""
        self.steps += 1
        self._hash.update(b"%d %s " % (self.clock.now_ns(), words.encode()))
        self._hash.update(data)
        if self._trace is not None:
            now_s = self.clock.now_ns() / SECOND_NS - 1_700_000_000
            self._trace(f"{self.steps:6} {now_s:12.6f} {words} {hashlib.blake2b(data, digest_size=4).hexdigest()}")

    def note(self, words: str) -> None:
        self.trace(words, b"")

    def number(self) -> int:
        self._names += 1
        return self._names

    def name(self, what: str) -> str:
        return f"{what}{self.number()}"

    def after(self, delay_ns: int, callback: Callable[[], object]) -> None:
        self.clock.call_at(self.clock.now_ns() + delay_ns, callback)  # type: ignore[arg-type]

    # Time.

    def wall_ns(self) -> int:
        return self.clock.now_ns() + self._wall_offset_ns

    def server_ns(self) -> int:
        """What time the server thinks it is."""
        return self.process.clock.now_ns() if self.process is not None else self.wall_ns()

    def _set_clock(self) -> None:
        offset_ns = self._wall_offset_ns + self.faults.clock_jump_ns()
        self._wall_offset_ns = max(-MAX_OFFSET_NS, min(MAX_OFFSET_NS, offset_ns))
        self.note(f"the wall clock is set: {self._wall_offset_ns}")

    # The server.

    def boot(self) -> None:
        self.counts[EARLIER] += self.wall_ns() < self.ledger.latest_ns
        self.process = Process(self, self.crashes)
        self.process.start()

    def crash(self, when: str) -> None:
        process = self.process
        if process is None:
            return
        self.note(f"crash {when}")
        self.ledger.latest_ns = max(self.ledger.latest_ns, self.server_ns())
        self.counts[f"fault crash {when}"] += 1
        self.crashes += 1
        self.ledger.epoch += 1
        process.crash()
        self._dead.append(process)  # its coroutines must not be collected while the world goes on
        self.process = None
        self.network.cut(process)
        if not self.healing and self.chance.random() < 0.1:
            self._set_clock()
        down_ns = self.chance.choice([10 * MS, 200 * MS, 2 * S, 20 * S])
        self.after(self.chance.randrange(down_ns) + MS, self.boot)

    def _plan_clock(self) -> list[int]:
        return sorted(self.chance.randrange(self.wanted_steps) for _ in range(self.chance.choice([0, 0, 1, 2, 4])))

    def _plan_crashes(self) -> list[int]:
        number = MIN_CRASHES + self.chance.choice([0, 0, 1, 3])
        last = self.wanted_steps * 9 // 10
        return sorted(self.chance.randrange(last // 10, last) for _ in range(number))

    def _crash_soon(self) -> None:
        process, when = self.process, self.chance.choice(["before", "after", "now"])
        if process is None or when == "now":
            self.crash("between commits")
        else:
            process.crash_at_commit = when

    # Going on.

    def run(self) -> Report:
        """Live through all of it."""
        self._live()
        if self.process is not None:
            self.process.crash()
        return Report(
            self.seed, self.steps, self.crashes, self.commits, self.problems, self._hash.hexdigest(), self.counts
        )

    def _live(self) -> None:
        self.boot()
        crashes, clock = self._plan_crashes(), self._plan_clock()
        for actor in (*self.workers, *self.clients):
            self.after(self.chance.randrange(1, 50) * MS, actor.start)
        while (self.steps < self.wanted_steps or self.crashes < MIN_CRASHES) and not self.problems:
            if self._turns > 100 * self.wanted_steps:
                self.complain("time goes on and nothing happens")
            if crashes and self.steps >= crashes[0] and self.process is not None and not self.process.crash_at_commit:
                del crashes[0]
                self._crash_soon()
            if clock and self.steps >= clock[0]:
                del clock[0]
                self._set_clock()
            self._step()
        if not self.problems:
            self._heal()

    def _step(self) -> None:
        """The next thing that is due, and all that follows from it at once."""
        due_ns = self.clock.next_due_ns()
        if due_ns is None:
            self.complain("nothing will ever happen again")
            return
        self._turns += 1
        self.clock.advance(due_ns - self.clock.now_ns())
        if self.process is not None:
            try:
                self.process.loop.run_ready()
            except Spinning:
                self.complain("the event loop spins")

    # Healing.

    def _heal(self) -> None:
        """Nothing goes wrong any more: everything has to come to its end, and the two accounts to agree."""
        self.note("healing")
        self.healing = self.settling = True
        self.faults.heal()
        self._wall_offset_ns = max(self._wall_offset_ns, self.ledger.latest_ns - self.clock.now_ns())
        if self.process is not None:
            self.process.heal()
        for worker in self.workers:
            worker.revive()
        self._until(lambda: False, SETTLE_S)
        now_ns = self.server_ns()
        for words in [*self.ledger.unreported(now_ns - LATE_NS), *self.ledger.entities.lost(now_ns - LATE_SCHEDULE_NS)]:
            self.complain(words)
        if self.problems:
            return
        self.clients[0].delete_schedules()
        self.settling = False
        if not self._until(lambda: not self.ledger.busy() and all(c.idle for c in self.clients), HEAL_S):
            for words in [*self.ledger.busy(), *(c.stuck for c in self.clients if not c.idle)][:5]:
                self.complain(f"still: {words}")
            return
        self._check_quiet()
        for client in self.clients:
            client.finish_all()
        if not self._until(lambda: all(c.idle for c in self.clients) and not self.ledger.open_records(), HEAL_S):
            for record in self.ledger.open_records()[:5]:
                self.complain(f"{record.name} did not end: {record.names[-5:]}")
            return
        self.clients[0].look_at_all()
        self._until(lambda: self.clients[0].idle, 600)

    def _until(self, holds: Callable[[], bool], limit_s: float) -> bool:
        """Go on until it holds. False if it does not within the limit."""
        limit_ns, limit = self.clock.now_ns() + int(limit_s * S), self._turns + HEAL_STEPS
        while not self.problems and self.clock.now_ns() < limit_ns and self._turns < limit:
            for _ in range(20):
                self._step()
            if holds():
                return True
        return bool(self.problems)

    def _check_quiet(self) -> None:
        late_ns = self.server_ns() - LATE_NS
        for words in [*self.ledger.overdue(late_ns), *self.ledger.unreported(late_ns)]:
            self.complain(words)
        for record in self.ledger.open_records():
            if record.status == 1 and record.last_started and record.unseen():
                record.complain(f"nothing will wake it for {record.unseen()}")


@contextmanager
def _undisturbed(listener: Listener) -> Iterator[None]:
    """The server's log goes to the listener. What the coroutines of killed processes do when they are collected is of
    no interest; they are collected at the end."""
    logger = logging.getLogger("perdure")
    level, propagates, handlers = logger.level, logger.propagate, logger.handlers
    hook = sys.unraisablehook
    logger.handlers, logger.propagate = [listener], False
    logger.setLevel(logging.INFO)
    sys.unraisablehook = lambda _: None
    gc.disable()
    gc.freeze()  # what is there stays: no need to look at it again
    try:
        yield
        listener.setLevel(logging.CRITICAL)
        gc.enable()
        gc.collect()
    finally:
        gc.enable()
        logger.handlers, logger.propagate = handlers, propagates
        logger.setLevel(level)
        sys.unraisablehook = hook


def simulate(seed: int, steps: int = STEPS, trace: Callable[[str], None] | None = None) -> Report:
    """Run one seed. The same seed and steps give the same report, wherever they run."""
    world: World | None = World(seed, steps, trace)
    with _undisturbed(Listener(world.complain)):
        report = world.run()
        world = None
    return report
