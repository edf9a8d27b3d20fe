"""Which overrides of its version a workflow can have."""

from __future__ import annotations

from temporalio.api.enums.v1 import VersioningBehavior
from temporalio.api.workflow.v1 import VersioningOverride

from perdure.errors import FailedPrecondition, InvalidArgument

NOT_PRESENT = "is not present in task queue"


def check_override(override: VersioningOverride, workflow_id: str, task_queue: str) -> None:
    """An override that a workflow can have here: there are no versions of workers that it could be pinned to."""
    kind = override.WhichOneof("override")
    if kind == "auto_upgrade":
        if not override.auto_upgrade:
            raise InvalidArgument("auto-upgrade override must be true")
    elif kind == "pinned":
        _pinned(override, workflow_id, task_queue)
    elif kind == "one_time":
        if not override.one_time.HasField("target_deployment_version"):
            raise InvalidArgument("must provide target deployment version if override is one-time.")
        version = override.one_time.target_deployment_version
        raise _not_present(f"{version.deployment_name}:{version.build_id}", task_queue)
    else:
        _old_form(override, task_queue)


def _pinned(override: VersioningOverride, workflow_id: str, task_queue: str) -> None:
    pinned = override.pinned
    if pinned.HasField("version") and not pinned.behavior:
        raise InvalidArgument("must specify pinned override behavior if override is pinned.")
    if not pinned.HasField("version") and not pinned.behavior:
        raise InvalidArgument("must provide version if override is pinned.")
    if not pinned.HasField("version"):
        raise FailedPrecondition(
            f"must specify a specific pinned override version because workflow with id {workflow_id} has behavior "
            "Unspecified and is not yet pinned to any version"
        )
    raise _not_present(f"{pinned.version.deployment_name}:{pinned.version.build_id}", task_queue)


def _old_form(override: VersioningOverride, task_queue: str) -> None:
    """An override in the deprecated fields; one that upgrades is put into the present form."""
    version = override.pinned_version
    if override.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_AUTO_UPGRADE:
        if version:
            raise InvalidArgument("only provide pinned version if behavior is 'PINNED'")
    elif override.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_PINNED:
        if override.HasField("deployment"):
            version = f"{override.deployment.series_name}.{override.deployment.build_id}"
        if not version:
            raise InvalidArgument("must provide deployment (deprecated) or pinned version if behavior is 'PINNED'")
        if "." not in version:
            raise InvalidArgument(
                f'invalid version string "{version}", expected format is "<deployment_name>.<build_id>"'
            )
        raise _not_present(version.replace(".", ":", 1), task_queue)
    else:
        raise InvalidArgument("override behavior is required")


def _not_present(version: str, task_queue: str) -> FailedPrecondition:
    return FailedPrecondition(f"Pinned version '{version}' {NOT_PRESENT} '{task_queue}' of type 'Workflow'")
