"""Resets that change options of the new run."""

from __future__ import annotations

from tests.conformance.driver import Driver
from tests.conformance.messages import timer


async def changes_them(d: Driver) -> None:
    await d.start(priority={"priority_key": 4})
    await d.step(timer())
    override = {"versioning_override": {"auto_upgrade": True}}
    change = {"workflow_execution_options": override, "update_mask": {"paths": ["versioning_override"]}}
    await d.reset(post_reset_operations=[{"update_workflow_options": change}])
    await d.describe()
    priority = {"workflow_execution_options": {"priority": {"priority_key": 2}}, "update_mask": {"paths": ["priority"]}}
    unset = {"workflow_execution_options": {}, "update_mask": {"paths": ["versioning_override"]}}
    await d.reset(post_reset_operations=[{"update_workflow_options": each} for each in (unset, priority)])
    await d.describe()


async def is_refused(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    version = {"deployment_name": "d", "build_id": "b"}
    for options, path in (
        ({"versioning_override": {}}, "versioning_override"),
        ({"versioning_override": {"pinned": {"behavior": 1, "version": version}}}, "versioning_override"),
        ({}, "nothing"),
        ({"priority": {"priority_key": -1}}, "priority"),
        ({}, ""),
    ):
        change = {"workflow_execution_options": options, "update_mask": {"paths": [path]}}
        await d.reset(post_reset_operations=[{"update_workflow_options": change}])
