"""What the programs saw on the reference, kept in golden/: python -m parity.golden --reference HOST:PORT.

Of histories only the types of the events are kept; `make parity` compares them whole.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

from tests.conformance.driver import prepare

from parity import cli
from parity.programs import PROGRAMS, Program, Records, build, run

TRIES = 5
GOLDEN = Path(__file__).parent / "golden"


def golden(program: Program) -> Records:
    """What the reference answered to each scenario of the program."""
    records: Records = json.loads((GOLDEN / f"{program.family}.json").read_text())
    return records


def outline(record: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a record."""
    histories = {
        f"{execution['workflow_id']} {execution['run_id']}": [event["event_type"] for event in execution["history"]]
        for execution in record["executions"]
    }
    broken = {"broken": record["broken"]} if "broken" in record else {}
    return {"result": record["result"], "histories": histories, **broken}


async def outlines(program: Program, address: str, names: list[str]) -> Records:
    """The named scenarios of a built program on one server; all if none is named."""
    await prepare(address)
    records = await run(program, address, names, secrets.token_hex(6), lambda name: None)
    return {name: outline(records[name]) for name in sorted(records)}


async def steady(program: Program, address: str) -> Records:
    """All scenarios, each repeated until it says the same twice in a row: on a busy machine things come too late."""
    records = await outlines(program, address, [])
    names = list(records)
    for _ in range(TRIES):
        again = await outlines(program, address, names)
        names = [name for name in names if again[name] != records[name]]
        records.update(again)
        if not names:
            return records
    raise SystemExit(f"these scenarios never say the same twice: {', '.join(names)}")


def golden_cli() -> Records:
    """What the official CLI printed on the reference, scenario by scenario."""
    records: Records = json.loads((GOLDEN / "cli.json").read_text())
    return records


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m parity.golden", description=__doc__)
    parser.add_argument("--reference", required=True, metavar="HOST:PORT")
    families = [*(program.family for program in PROGRAMS), cli.FAMILY]
    parser.add_argument("--only", choices=families, action="append", help="may be given again")
    options = parser.parse_args()
    address, wanted = options.reference, options.only or families
    for program in PROGRAMS:
        if program.family not in wanted:
            continue
        build(program)
        records = asyncio.run(steady(program, address))
        if broken := {name: record["broken"] for name, record in records.items() if "broken" in record}:
            raise SystemExit(f"these scenarios break: {broken}")
        _write(program.family, records)
    if cli.FAMILY in wanted:
        _write(cli.FAMILY, asyncio.run(cli.run(address, [], secrets.token_hex(6))))


def _write(family: str, records: Records) -> None:
    (GOLDEN / f"{family}.json").write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n")
    print(f"{family}: {len(records)} scenarios recorded")


if __name__ == "__main__":
    main()
