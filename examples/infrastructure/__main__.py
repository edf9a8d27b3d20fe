"""Four plans on a cloud that answers every other time: two are built, one exceeds a quota, one never comes up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowFailureError
from temporalio.worker import Worker

from examples.infrastructure.activities import Cloud, CloudActivities, Plan, Resource
from examples.infrastructure.workflow import Provision, layers
from examples.show import Mismatch, fresh, run

FILE = Path(__file__).parent / "plans.json"
ENDS = {"shop": "built", "staging": "no more machines", "analytics": "gave up on look", "docs": "built"}


def read() -> list[Plan]:
    """The plans."""
    return [
        Plan(plan["name"], [Resource(**resource) for resource in plan["resources"]])
        for plan in json.loads(FILE.read_text())
    ]


async def show(client: Client) -> None:
    """Build one plan after the other, then look what is there."""
    cloud = Cloud(slow={"database": 8, "warehouse": 0}, quota={"machine": 4})
    queue = fresh("infrastructure")
    plans = read()
    async with Worker(client, task_queue=queue, workflows=[Provision], activities=CloudActivities(cloud).all()):
        for plan in plans:
            try:
                running = await client.execute_workflow(
                    Provision.run, plan, id=f"{queue}-{plan.name}", task_queue=queue
                )
                ending = f"built: {', '.join(running)}"
            except WorkflowFailureError as error:
                cause: Any = error.cause
                ending = getattr(cause.cause if type(cause).__name__ == "ActivityError" else cause, "message", "")
            print(f"{plan.name:10} {ending}")
            if not ending.startswith(ENDS[plan.name]):
                raise Mismatch(f"{plan.name} ended with {ending!r}, not {ENDS[plan.name]!r}")
            check(cloud, plan, built=ending.startswith("built"))
    print(f"the cloud has made {sum(line[0] == '+' for line in cloud.log)} things, and keeps {len(cloud.things)}")


def check(cloud: Cloud, plan: Plan, *, built: bool) -> None:
    """Raises `Mismatch` unless all of the plan is there or nothing, made and deleted in the order of its layers."""
    wanted = sorted(resource.name for resource in plan.resources) if built else []
    if cloud.of(plan.name) != wanted:
        raise Mismatch(f"{plan.name} keeps {cloud.of(plan.name)}, not {wanted}")
    depth = {f"{plan.name}/{each.name}": number for number, layer in enumerate(layers(plan)) for each in layer}
    made = [depth[line[1:]] for line in cloud.log if line[0] == "+" and line[1:] in depth]
    gone = [depth[line[1:]] for line in cloud.log if line[0] == "-" and line[1:] in depth]
    if made != sorted(made) or gone != sorted(gone, reverse=True):
        raise Mismatch(f"{plan.name}: made in the order {made}, deleted in the order {gone}")


if __name__ == "__main__":
    run(show, __doc__)
