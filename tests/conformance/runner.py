"""Finds the scenarios and runs them on a server, many at a time."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import pkgutil
import traceback
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from tests.conformance import scenarios
from tests.conformance.driver import Driver, connect, prepare
from tests.conformance.normalise import record

GOLDEN = Path(__file__).parent / "golden"
AT_ONCE = 8
# Scenarios with megabytes in their requests, which would hold up the deadlines of others: they run one by one.
HEAVY = ("limits/", "oversize/", "history/l", "buffering/two_megabytes", "search_attributes/too_")
SCENARIO_TIMEOUT_S = 60
MANY = 40
Scenario = Callable[[Driver], Awaitable[None]]


def find() -> dict[str, Scenario]:
    """All scenarios by `family/name`: the public coroutine functions of the modules in `scenarios` and their TABLE."""
    found: dict[str, Scenario] = {}
    for module_info in pkgutil.iter_modules(scenarios.__path__):
        module = importlib.import_module(f"{scenarios.__name__}.{module_info.name}")
        for name, function in vars(module).items():
            own = getattr(function, "__module__", "") == module.__name__ and not name.startswith("_")
            if own and inspect.iscoroutinefunction(function):
                found[f"{module_info.name}/{name}"] = function
        table: dict[str, Scenario] = getattr(module, "TABLE", {})
        found.update({f"{module_info.name}/{name}": scenario for name, scenario in table.items()})
    return found


def golden_path(name: str) -> Path:
    return GOLDEN / f"{name}.json"


def golden(name: str) -> dict[str, Any]:
    """What the reference answered. Raises FileNotFoundError for a scenario that was never recorded."""
    recorded: dict[str, Any] = json.loads(golden_path(name).read_text())
    return recorded


async def run(address: str, name: str, scenario: Scenario) -> dict[str, Any]:
    """One conversation on the server at `address`, normalised. What breaks in the scenario itself is in `broken`."""
    async with connect(address) as channel:
        driver = Driver(channel)
        broken = ""
        try:
            await asyncio.wait_for(scenario(driver), SCENARIO_TIMEOUT_S)
        except Exception:
            broken = traceback.format_exc()
        await driver.finish()
        result = record(driver)
        return {**result, "broken": broken} if broken else result


async def run_all(address: str, names: Iterable[str], *, at_once: int = AT_ONCE) -> dict[str, dict[str, Any]]:
    """Runs the named scenarios, up to `at_once` at the same time, heavy ones alone."""
    await prepare(address)
    known = find()
    gate = asyncio.Semaphore(at_once)

    async def one(name: str) -> tuple[str, dict[str, Any]]:
        async with gate:
            return name, await run(address, name, known[name])

    ordered = sorted(names, key=lambda name: name.startswith(HEAVY))
    heavy = [name for name in ordered if name.startswith(HEAVY)]
    records = dict(await asyncio.gather(*(one(name) for name in ordered[: len(ordered) - len(heavy)])))
    return {**records, **dict([await one(name) for name in heavy])}


async def run_until_alike(
    address: str, names: Iterable[str], alike: Callable[[str, dict[str, Any]], bool]
) -> dict[str, dict[str, Any]]:
    """Runs all, and those whose record is not as expected once more, one by one.

    Scenarios have deadlines of a second or less, which pass unmeant on a machine that is busy. When many differ, it is
    not the machine, and none runs again.
    """
    records = await run_all(address, names)
    again = [name for name, record in records.items() if not alike(name, record)]
    if len(again) > MANY:
        return records
    return {**records, **await run_all(address, again, at_once=1)}


def differences(expected: Any, actual: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Where two records differ: (path, expected, actual) a leaf; what is absent is `None`."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        keys = [*expected, *(key for key in actual if key not in expected)]
        pairs = [(f"{path}.{key}" if path else key, expected.get(key), actual.get(key)) for key in keys]
    elif isinstance(expected, list) and isinstance(actual, list):
        size = max(len(expected), len(actual))
        pairs = [(f"{path}[{i}]", _at(expected, i), _at(actual, i)) for i in range(size)]
    else:
        return [] if expected == actual else [(path, expected, actual)]
    return [found for where, one, other in pairs for found in differences(one, other, where)]


def _at(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else None
