"""Provisioning: layer by layer, each watched until it runs; what can't be completed is torn down."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from examples.infrastructure.activities import CloudActivities, Plan, Resource
    from perdure.patterns import Saga, method, options, poll

LOOK_EVERY = timedelta(minutes=1)
PATIENCE = timedelta(minutes=15)
"""What does not run by then never will."""
DEADLINE = timedelta(hours=2)


@workflow.defn
class Provision:
    def __init__(self) -> None:
        self._running: list[str] = []

    @workflow.run
    async def run(self, plan: Plan) -> list[str]:
        async with Saga(deadline=DEADLINE, options=options.flaky_api) as saga:
            for layer in layers(plan):
                async with saga.parallel() as group:
                    for resource in layer:
                        group.start(
                            method(CloudActivities.create), plan.name, resource, undo=method(CloudActivities.delete)
                        )
                await asyncio.gather(*(self._until_it_runs(plan, resource) for resource in layer))
            saga.pivot()
        return self._running

    async def _until_it_runs(self, plan: Plan, resource: Resource) -> None:
        await poll(method(CloudActivities.look), plan.name, resource.name, every=LOOK_EVERY, give_up=PATIENCE)
        self._running.append(resource.name)

    @workflow.query
    def running(self) -> list[str]:
        """What of the plan runs by now."""
        return self._running


def layers(plan: Plan) -> list[list[Resource]]:
    """The resources in the order of their needs; those of one layer don't need each other."""
    found: list[list[Resource]] = []
    done: set[str] = set()
    open_ = list(plan.resources)
    while open_:
        layer = [resource for resource in open_ if done.issuperset(resource.needs)]
        if not layer:
            raise ValueError(f"these need each other: {[resource.name for resource in open_]}")
        found.append(layer)
        done |= {resource.name for resource in layer}
        open_ = [resource for resource in open_ if resource not in layer]
    return found
