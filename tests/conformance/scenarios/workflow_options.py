"""Options of a workflow that are changed while it is open: its priority and its versioning override."""

from __future__ import annotations

from typing import Any

from tests.conformance.driver import Driver
from tests.conformance.messages import activity, child, continue_as_new, succeed

NO_RUN = "11111111-2222-4333-8444-555555555555"
VERSION = {"deployment_name": "d", "build_id": "b"}


async def _update(d: Driver, *paths: str, **fields: Any) -> Any:
    mask = fields.pop("mask", {"paths": paths})
    options = fields.pop("options", {})
    fields = {"workflow_execution": d.workflow_id, "identity": "operator", **fields}
    return await d.call(
        "UpdateWorkflowExecutionOptions", workflow_execution_options=options, update_mask=mask, **fields
    )


async def priority(d: Driver) -> None:
    await d.start()
    await _update(d, "priority", options={"priority": {"priority_key": 2, "fairness_key": "k", "fairness_weight": 3}})
    await d.describe()
    await d.step(activity())
    await d.poll_activity()
    await _update(d, "priority.priority_key", options={"priority": {"priority_key": 4}})
    await _update(d, "priority.fairness_key", options={"priority": {"fairness_key": "other"}})
    await _update(d, "priority.fairness_weight", options={"priority": {"fairness_weight": 1.5}})
    await d.describe()


async def priority_unchanged(d: Driver) -> None:
    await d.start(priority={"priority_key": 2})
    await _update(d, "priority", options={"priority": {"priority_key": 2}})
    await _update(d)
    await _update(d, options={"priority": {"priority_key": 5}})


async def priority_is_unset(d: Driver) -> None:
    await d.start(priority={"priority_key": 2})
    await _update(d, "priority")
    await d.describe()


async def part_of_no_priority(d: Driver) -> None:
    await d.start()
    await _update(d, "priority.priority_key", options={})
    await _update(d, "priority.fairness_weight", options={})
    await _update(d, "priority.fairness_key", "priority.priority_key", options={"priority": {"priority_key": 1}})
    await d.describe()


async def while_a_task_is_started(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await _update(d, "priority", options={"priority": {"priority_key": 2}})
    await _update(d, "priority", options={"priority": {"priority_key": 3}})
    await d.complete(task, succeed())
    await d.step(succeed())


async def between_tasks(d: Driver) -> None:
    await d.start()
    await d.step()
    await _update(d, "priority", options={"priority": {"priority_key": 2}})
    await d.poll_wft_in_vain()


async def are_inherited(d: Driver) -> None:
    await d.start()
    await _update(d, "priority", options={"priority": {"priority_key": 2}})
    await d.step(child(d.name("child"), parent_close_policy="ABANDON"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    await d.terminate(d.name("child"))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_TERMINATED")
    await d.step(continue_as_new())


async def by_camel_case(d: Driver) -> None:
    await d.start()
    await _update(d, "Priority", options={"priority": {"priority_key": 2}})
    await _update(d, "priority.priorityKey", options={"priority": {"priority_key": 2}})


async def is_refused(d: Driver) -> None:
    await d.start()
    fine: dict[str, Any] = {"options": {"priority": {"priority_key": 2}}}
    await _update(d, "priority", **fine, namespace="")
    await _update(d, "priority", **fine, namespace="nowhere")
    await _update(d, "priority", **fine, workflow_execution=None)
    await _update(d, "priority", **fine, workflow_execution="")
    await _update(d, "priority", **fine, workflow_execution="no such workflow")
    await _update(d, "priority", **fine, workflow_execution=(d.workflow_id, NO_RUN))
    await _update(d, "priority", **fine, workflow_execution=(d.workflow_id, "no uuid"))
    await _update(d, **fine, mask=None)
    await _update(d, "priority", options=None)
    await _update(d, "nonsense")
    await _update(d, "priority.nonsense")
    await _update(d, "versioning_override.behavior")
    await _update(d, "versioning_override.deployment")
    await _update(d, "versioning_override.pinned")
    await _update(d, "time_skipping_config.enabled")
    await _update(d, "priority", options={"priority": {"priority_key": -2}})
    await _update(d, "priority", options={"priority": {"fairness_key": "x" * 65}})
    await _update(d, "priority", options={"priority": {"fairness_weight": -1}})
    await d.terminate()
    await _update(d, "priority", **fine)


async def versioning_override(d: Driver) -> None:
    await d.start()
    await _update(d, "versioning_override", options={"versioning_override": {"auto_upgrade": True}})
    await d.describe()
    await _update(d, "versioning_override", options={"versioning_override": {"auto_upgrade": True}})
    await _update(d, "priority", options={"priority": {"priority_key": 2}})
    await d.step(succeed())


async def versioning_override_is_unset(d: Driver) -> None:
    await d.start()
    await d.step()
    await _update(d, "versioning_override", options={"versioning_override": {"behavior": "AUTO_UPGRADE"}})
    await _update(d, "versioning_override")


async def versioning_override_is_refused(d: Driver) -> None:
    await d.start()

    async def refused(**override: Any) -> None:
        await _update(d, "versioning_override", options={"versioning_override": override})

    await refused()
    await refused(pinned={})
    await refused(pinned={"behavior": "PINNED_OVERRIDE_BEHAVIOR_PINNED"})
    await refused(pinned={"version": VERSION})
    await refused(pinned={"behavior": "PINNED_OVERRIDE_BEHAVIOR_PINNED", "version": VERSION})
    await refused(pinned={"behavior": "PINNED_OVERRIDE_BEHAVIOR_PINNED", "version": {"build_id": "b"}})
    await refused(pinned={"behavior": "PINNED_OVERRIDE_BEHAVIOR_PINNED", "version": {"deployment_name": "d"}})
    await refused(auto_upgrade=False)
    await refused(behavior="AUTO_UPGRADE", pinned_version="d.b")
    await refused(behavior="PINNED")
    await refused(behavior="PINNED", pinned_version="nonsense")
    await refused(behavior="PINNED", pinned_version="d.b")
    await refused(one_time={})
