"""Records what the reference server answers: `python -m tests.conformance.record --reference HOST:PORT [NAME ...]`.

NAME is a family or `family/scenario`; without any, all are recorded, and goldens without a scenario are removed.
Each scenario runs twice; where the two records differ, twice again by itself. What differs even then is not kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from tests.conformance.driver import SEARCH_ATTRIBUTES, Driver, connect
from tests.conformance.runner import GOLDEN, differences, find, golden_path, run_all


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", required=True, metavar="HOST:PORT")
    parser.add_argument("--once", action="store_true", help="run once: faster, and blind to what is not deterministic")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    return asyncio.run(record(options.reference, options.names, once=options.once))


async def record(address: str, wanted: list[str], *, once: bool) -> int:
    names = [name for name in find() if not wanted or name in wanted or name.split("/")[0] in wanted]
    first = await run_all(address, names)
    second = first if once else await run_all(address, names)
    for _ in range(2):
        shaky = [name for name in names if _trouble(first[name], second[name])]
        first.update(await run_all(address, shaky, at_once=1))
        second.update(first if once else await run_all(address, shaky, at_once=1))
    await _write_settings(address)
    kept = [name for name in names if _keep(name, first[name], second[name])]
    _remove_strays(set(find()))
    print(f"{len(kept)} of {len(names)} scenarios recorded")
    return 0 if len(kept) == len(names) else 1


def _trouble(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return "broken" in first or "broken" in second or first != second


def _keep(name: str, first: dict[str, Any], second: dict[str, Any]) -> bool:
    golden_path(name).unlink(missing_ok=True)
    if broken := first.get("broken") or second.get("broken"):
        print(f"BROKEN {name}\n{broken}", file=sys.stderr)
        return False
    if found := differences(first, second):
        print(f"UNSTEADY {name}", *(f"  {path}: {one} / {other}" for path, one, other in found[:10]), sep="\n")
        return False
    _write(golden_path(name), first)
    return True


def _write(path: Any, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


async def _write_settings(address: str) -> None:
    async with connect(address) as channel:
        info = await Driver(channel).quietly("GetSystemInfo")
    settings = {"server_version": info.server_version, "search_attributes": SEARCH_ATTRIBUTES, "settings": SETTINGS}
    _write(GOLDEN / "SETTINGS.json", settings)


def _remove_strays(names: set[str]) -> None:
    for path in GOLDEN.glob("*/*.json"):
        if f"{path.parent.name}/{path.stem}" not in names:
            path.unlink()


# Dynamic configuration of the reference that bears on what is recorded; all else has the server's own default.
SETTINGS = {
    "system.forceSearchAttributesCacheRefreshOnRead": True,
    "system.enableEagerWorkflowStart": True,
    "history.enableChasm": True,
    "history.enableTransitionHistory": True,
    "frontend.enableCancelWorkerPollsOnShutdown": True,
    "frontend.namespaceRPS.visibility": 1000,
}

if __name__ == "__main__":
    sys.exit(main())
