"""What a strict type checker says to those who use the patterns."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
from datetime import timedelta
from temporalio import activity, workflow
from perdure.patterns import ApprovalRequest, Approvals, CallbackAddress, Callbacks, Decision, Notice, Reply, Waits
from perdure.patterns import approval, callback
from perdure.patterns import Fold, Outcome, Page, Pages, Polled, Saga, Summary, fan_out, method, options
from perdure.patterns import poll, polled, polled_many, progress, retry_failed, version

@activity.defn
async def book(trip: str, seats: int) -> float:
    return 1.0

@activity.defn
def cancel(trip: str, seats: int) -> None: ...

@activity.defn
def other(trip: str) -> None: ...

def is_ready(build: str) -> bool:
    return build == "ready"

@activity.defn
@polled(is_ready)
async def look(name: str, number: int) -> str:
    return "ready"

@activity.defn
@polled(is_ready)
def look_in_thread(name: str) -> str:
    return "ready"

@polled(is_ready)  # wrong: it looks at an int
async def count(name: str) -> int:
    return 1

@activity.defn
@polled_many(is_ready)
async def look_at_many(names: list[int]) -> list[str]:
    return ["ready"]

class Bank:
    @activity.defn
    async def charge(self, cents: int) -> bool:
        return True

@activity.defn
async def weigh(parcel: str) -> float:
    return 1.0

@activity.defn
def weigh_sync(parcel: str) -> float:
    return 1.0

@workflow.defn
class Weigh:
    @workflow.run
    async def run(self, parcel: str) -> float:
        return 1.0

@activity.defn
async def read(at: int) -> Page[str, int]:
    return Page(["a"], at + 1)

@activity.defn
async def total(done: list[tuple[int, str, float]], failed: list[tuple[int, str, str]]) -> float:
    return 1.0

@activity.defn
async def other_total(done: list[tuple[int, bytes, float]], failed: list[tuple[int, bytes, str]]) -> float:
    return 1.0

@activity.defn
async def add(totals: list[float]) -> float:
    return sum(totals)

@activity.defn
def report(done: list[tuple[int, str, float]], failed: list[tuple[int, str, str]]) -> None: ...

async def many() -> None:
    a: list[Outcome[str, float]] = await fan_out(["a", "b"], weigh, max_in_flight=2, on_error=0.1)
    b = await fan_out(["a", "b"], weigh_sync, on_error="collect", options=options.quick)
    c: float = b[0].unwrap()
    d = await fan_out(["a", "b"], Weigh.run)
    e: list[float] = [each.unwrap() for each in d]
    async with fan_out(["a"], weigh, as_completed=True) as stream:
        async for outcome in stream:
            f: float = outcome.unwrap()
            g: str = outcome.item
    h: list[Outcome[str, float]] = await retry_failed(a, weigh)
    i: list[Outcome[str, str]] = await fan_out(["a"], weigh)  # wrong: floats
    j: str = b[0].unwrap()  # wrong: a float
    await fan_out([1], weigh)  # wrong: no string
    await fan_out(["a"], weigh, on_error="ignore")  # wrong: no such policy
    async for k in fan_out(["a"], weigh):  # wrong: not as they come
        pass
    pages = Pages(read, 0)
    l: Summary[None] = await fan_out(pages, weigh, max_in_flight=200, on_error="collect")
    m = await fan_out(pages, weigh, fold=Fold(total, add), children=4)
    n: float | None = m.folded
    o: Summary[float] = await fan_out(pages, Weigh.run, fold=Fold(total, add))
    q: Summary[None] = await fan_out(Pages(read, 0, only=m.remaining), weigh_sync, fold=Fold(report))
    Pages(read, "a")  # wrong: a number is the cursor
    await fan_out(pages, weigh, fold=Fold(other_total, add))  # wrong: other items
    await fan_out(pages, weigh, as_completed=True)  # wrong: there is no such list

@activity.defn
async def tell(notice: Notice) -> None: ...

@activity.defn
def tell_sync(notice: Notice) -> None: ...

@activity.defn
async def submit(address: CallbackAddress, video: str) -> str:
    return "job"

class Mailer:
    @activity.defn
    async def tell(self, notice: Notice) -> None: ...

async def waits(replies: Approvals, systems: Callbacks) -> None:
    request, day = ApprovalRequest("x", "ann"), timedelta(1)
    a: Decision = await approval(request, ["bob"], deadline=day, notify=tell, remind=day, escalate=[(day, "eve")])
    b: bool = (await approval(request, ["bob"], deadline=day, notify=method(Mailer.tell))).approved
    c: str = await callback(str, "x", notify=submit, expires=day)
    d: Reply = await replies.approve("bob")
    await systems.complete(5)
    Waits.carry().restore()
    await approval(request, ["bob"], deadline=day, notify=tell_sync, escalate=[(day, ["eve", "fred"])])
    await approval(request, ["bob"])  # wrong: for ever
    await approval("x", ["bob"], deadline=day)  # wrong: who asks?
    await approval(request, ["bob"], deadline=day, notify=submit)  # wrong: takes no notice
    e: int = await callback(str, "x", notify=submit, expires=day)  # wrong: a str
    await callback(str, 1, notify=submit, expires=day)  # wrong: no video
    await callback(str, notify=submit, expires=day)  # wrong: what to encode?
    await callback(str, "x", notify=submit)  # wrong: for ever

async def run() -> None:
    async with Saga(timedelta(hours=1)) as saga:
        a: float = await saga.step(book, "x", 1, undo=cancel, options=options.quick.but(attempts=2))
        b: bool = await saga.step(method(Bank.charge), 5)
        async with saga.parallel() as group:
            c: float = group.start(book, "x", 1, undo=cancel).result()
        await saga.step(book, 1, "x")  # wrong: the order of the arguments
        await saga.step(book, "x", 1, undo=other)  # wrong: another signature
        await saga.step(method(Bank.charge), "5")  # wrong: no number
        d: str = await saga.step(book, "x", 1)  # wrong: a float
        options.quick.but(tries=2)  # wrong: no such option
    async with progress(int, stall_timeout=timedelta(1)) as p:
        e: int | None = p.cursor
        p.save("x")  # wrong: no int
    every = give_up = timedelta(1)
    f: str = await poll(look, "x", 1, every=every, give_up=give_up, mode="activity")
    f = await poll(look_in_thread, "x", every=every, give_up=give_up)
    g: list[Polled[str]] = await poll(look_at_many, [1], every=every, give_up=give_up, mode="child")
    h: int = await poll(look, "x", 1, every=every, give_up=give_up)  # wrong: a str
    await poll(look, 1, "x", every=every, give_up=give_up)  # wrong: the order of the arguments
    await poll(look_at_many, ["x"], every=every, give_up=give_up, mode="child")  # wrong: no int
    await poll(look, "x", 1, every=every, give_up=give_up, mode="often")  # wrong: no such mode
    await poll(look, "x", 1, every=every)  # wrong: for ever
    if version("fee-v2"):
        version.deprecated("fee-v2")

from dataclasses import dataclass
from temporalio.client import Client
from perdure.patterns import Entity, check, query, signal, update, upgrade

@dataclass
class Full:
    count: int = 0

class Box(Entity[Full], version=2):
    @update
    async def put(self, name: str, count: int) -> int:
        self.state.count += count
        before: int = await self.empty()
        self.later(timedelta(1), Box.note, "late")
        self.later(timedelta(1), Box.note, 5)  # wrong: no text
        self.state.number = 1  # wrong: no such field
        return before

    @check(put)
    def _sane(self, name: str, count: int) -> None: ...

    @check(put)  # wrong: takes something else
    def _other(self, name: int) -> None: ...

    @update
    def empty(self) -> int:
        return self.state.count

    @update
    async def fill(self, name: str, count: int = 1, weight: float = 1.0) -> int:
        self.later(timedelta(1), Box.shake)
        self.later(timedelta(1), Box.shake, 2)
        self.later(timedelta(1), Box.shake, times=2)
        self.later(timedelta(1), Box.shake, key="k")
        self.later(timedelta(1), Box.shake, 2, key="k")
        self.later(timedelta(1), Box.shake, "x")  # wrong: no number
        self.later(timedelta(1), Box.shake, "x", key="k")  # wrong: no number
        self.later(timedelta(1), Box.fill, "x")  # wrong: no signal
        self.not_later(Box.shake, key="k")
        return await self.fill(name)

    @check(fill)
    def _room(self, name: str, count: int, weight: float) -> None: ...

    @signal
    def note(self, text: str) -> None: ...

    @signal
    async def shake(self, times: int = 1) -> None: ...

    @query
    def count(self) -> int:
        return self.state.count

    @query
    def last(self, number: int = 10) -> list[str]:
        return []

    @upgrade(1)
    @staticmethod
    def _one(old: dict[str, object]) -> dict[str, object]:
        return old

async def send(client: Client) -> None:
    box = Box.of(client, "b", task_queue="q", initial=Full(1))
    n: int = await box.put("x", 1, message_id="m")
    m: int = await box.empty()
    o: int = await box.count()
    await box.note("x", message_id="n")
    await box.put(1, "x")  # wrong: the order of the arguments
    await box.put("x")  # wrong: two of them
    p: str = await box.count()  # wrong: an int
    await box.note(1)  # wrong: no text
    Box.of(client, "b", task_queue="q", initial=1)  # wrong: no state
    await box.nothing()  # wrong: there is none
    n = await box.fill("x")
    n = await box.fill("x", 2)
    n = await box.fill("x", weight=2.0)
    n = await box.fill("x", message_id="m")
    n = await box.fill("x", 2, message_id="m")
    n = await box.fill("x", 2, 2.0, message_id="m")
    n = await box.empty(message_id=None)
    await box.shake()
    await box.shake(message_id="m")
    await box.shake(2, message_id="m")
    q: list[str] = await box.last()
    q = await box.last(3)
    await box.fill()  # wrong: what?
    await box.fill(message_id="m")  # wrong: what?
    await box.fill("x", "y")  # wrong: no number
    await box.fill("x", "y", message_id="m")  # wrong: no number
    await box.fill("x", message_id=1)  # wrong: no text
    await box.put("x", message_id="m")  # wrong: two of them
    await box.put(1, "x", message_id="m")  # wrong: the order of the arguments
    await box.shake("x", message_id="m")  # wrong: no number
    await box.last("x")  # wrong: no number
    r: str = await box.fill("x", message_id="m")  # wrong: an int
"""


WRONG = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if "# wrong" in line}


def test_mypy_infers_types_and_finds_mistakes(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    args = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache")]
    told = subprocess.run(
        [*args, program.name], cwd=tmp_path, env={"MYPYPATH": str(ROOT / "src")}, capture_output=True, text=True
    )
    found = {int(number) for number in re.findall(r"^program\.py:(\d+): error", told.stdout, re.MULTILINE)}
    assert found == WRONG, told.stdout + told.stderr


def test_pyright_infers_types_and_finds_mistakes(tmp_path):
    """Strict, apart from variables that are there for their annotation alone."""
    (tmp_path / "program.py").write_text(PROGRAM)
    strict = {"typeCheckingMode": "strict", "reportUnusedVariable": False, "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({**strict, "extraPaths": [str(ROOT / "src")]}))
    env = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    told = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(tmp_path)],
        env=env,
        capture_output=True,
        text=True,
    )
    problems = json.loads(told.stdout)["generalDiagnostics"]
    found = {problem["range"]["start"]["line"] + 1 for problem in problems if problem["severity"] == "error"}
    assert found == WRONG, "\n".join(f"{each['range']['start']['line'] + 1}: {each['message']}" for each in problems)
