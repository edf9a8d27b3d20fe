"""Five releases: one is good, one is bad, one breaks under load, one has no traffic, and one a person does not like."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from examples.canary.activities import Operations, Router, Service
from examples.canary.workflow import STAGES, Canary
from examples.show import Mismatch, fresh, run

FILE = Path(__file__).parent / "releases.json"


def read() -> tuple[Router, list[dict[str, Any]]]:
    """The router with the services as they are, and the releases that are to come."""
    releases: list[dict[str, Any]] = json.loads(FILE.read_text())
    services = {
        release["service"]: Service(release["requests"], {release["version"]: release["error_rates"]})
        for release in releases
    }
    return Router(services), releases


async def show(client: Client) -> None:
    """All releases at once; then the router's log has to agree with what became of them."""
    router, releases = read()
    queue = fresh("canary")

    async def tell(workflow_id: str, text: str) -> None:
        disliked = [f"{each['version']} of {each['service']} has {each.get('stop_at')} %" for each in releases]
        if text in disliked:
            await client.get_workflow_handle(workflow_id).signal(Canary.stop, "pat")

    async def one(release: dict[str, Any]) -> str:
        return await client.execute_workflow(
            Canary.run,
            args=[release["service"], release["version"]],
            id=f"{queue}-{release['service']}",
            task_queue=queue,
        )

    async with Worker(client, task_queue=queue, workflows=[Canary], activities=Operations(router, tell).all()):
        endings = await asyncio.gather(*(one(release) for release in releases))
    for release, ending in zip(releases, endings, strict=True):
        print(f"{release['service']:9} {release['version']:4} {ending}")
        if not ending.startswith(release["expect"]):
            raise Mismatch(f"{release['service']} ended with {ending!r}, not {release['expect']!r}")
        shares = check(router, release["service"], release["version"], promoted=ending == "promoted")
        print(f"               its traffic: {' -> '.join(f'{share} %' for share in shares)}")


def check(router: Router, service: str, version: str, *, promoted: bool) -> list[int]:
    """The shares that a version had. Raises `Mismatch` unless it went up by the stages, and ends at all or at none."""
    shares = [share.percent for share in router.log if (share.service, share.version) == (service, version)]
    top = shares.index(max(shares)) + 1
    wanted = STAGES if promoted else [*STAGES[:top], *reversed(STAGES[: top - 1]), 0]
    if shares != wanted:
        raise Mismatch(f"{version} of {service} had {shares} %, not {wanted}")
    return shares


if __name__ == "__main__":
    run(show, __doc__)
