"""What a strict type checker says to those who use the patterns."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
from datetime import timedelta
from temporalio import activity
from perdure.patterns import Polled, Saga, method, options, poll, polled, polled_many, progress, version

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
"""


def test_types_are_inferred_and_mistakes_found(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    args = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache")]
    told = subprocess.run(
        [*args, program.name], cwd=tmp_path, env={"MYPYPATH": str(ROOT / "src")}, capture_output=True, text=True
    )
    found = {int(number) for number in re.findall(r"^program\.py:(\d+): error", told.stdout, re.MULTILINE)}
    wrong = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if "# wrong" in line}
    assert found == wrong, told.stdout + told.stderr
