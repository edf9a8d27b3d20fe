"""Which overrides of its version a workflow can have: there are no versions of workers that it could be pinned to."""

from __future__ import annotations

from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import VersioningBehavior
from temporalio.api.workflow.v1 import VersioningOverride

from perdure.errors import FailedPrecondition, InvalidArgument

NOT_PRESENT = "is not present in task queue"
_PINNED = VersioningOverride.PinnedOverrideBehavior.PINNED_OVERRIDE_BEHAVIOR_PINNED


def check_override(override: VersioningOverride, workflow_id: str, task_queue: str) -> None:
    """An override for a workflow that is there already."""
    pinned = override.pinned
    if override.HasField("pinned") and pinned.behavior and not pinned.HasField("version"):
        raise FailedPrecondition(
            f"must specify a specific pinned override version because workflow with id {workflow_id} has behavior "
            "Unspecified and is not yet pinned to any version"
        )
    check_new_override(override, task_queue)


def check_new_override(override: VersioningOverride, task_queue: str) -> None:
    """An override for a workflow that is to be started."""
    check_form(override)
    version = version_of(override)
    if version is not None:
        raise FailedPrecondition(
            f"Pinned version '{version.deployment_name}:{version.build_id}' {NOT_PRESENT} '{task_queue}' of type "
            "'Workflow'"
        )


def check_form(override: VersioningOverride) -> None:
    """What needs no knowledge of versions."""
    kind = override.WhichOneof("override")
    if kind == "auto_upgrade":
        if not override.auto_upgrade:
            raise InvalidArgument("auto-upgrade override must be true")
    elif kind == "pinned":
        if not override.pinned.HasField("version"):
            raise InvalidArgument("must provide version if override is pinned.")
        if not override.pinned.behavior:
            raise InvalidArgument("must specify pinned override behavior if override is pinned.")
    elif kind == "one_time":
        if not override.one_time.HasField("target_deployment_version"):
            raise InvalidArgument("must provide target deployment version if override is one-time.")
    else:
        _check_old_form(override)


def _check_old_form(override: VersioningOverride) -> None:
    """An override in the deprecated fields."""
    if override.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_AUTO_UPGRADE:
        if override.HasField("deployment"):
            raise InvalidArgument("only provide deployment if behavior is 'PINNED'")
        if override.pinned_version:
            raise InvalidArgument("only provide pinned version if behavior is 'PINNED'")
    elif override.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_PINNED:
        version = override.pinned_version
        if not override.HasField("deployment") and not version:
            raise InvalidArgument("must provide deployment (deprecated) or pinned version if behavior is 'PINNED'")
        if not override.HasField("deployment") and "." not in version:
            raise InvalidArgument(
                f'invalid version string "{version}", expected format is "<deployment_name>.<build_id>"'
            )
    else:
        raise InvalidArgument("override behavior is required")


def version_of(override: VersioningOverride) -> WorkerDeploymentVersion | None:
    """The version to which an override of a good form pins its workflow."""
    present = present_form(override)
    if present.HasField("one_time"):
        return present.one_time.target_deployment_version
    return present.pinned.version if present.HasField("pinned") else None


def present_form(override: VersioningOverride) -> VersioningOverride:
    """The override as events have it, without the deprecated fields."""
    if override.WhichOneof("override") is not None:
        result = VersioningOverride()
        result.CopyFrom(override)
        for name in ("behavior", "deployment", "pinned_version"):
            result.ClearField(name)
        return result
    if override.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_AUTO_UPGRADE:
        return VersioningOverride(auto_upgrade=True)
    result = VersioningOverride()
    result.pinned.behavior = _PINNED
    version = result.pinned.version
    if override.pinned_version:
        version.deployment_name, _, version.build_id = override.pinned_version.partition(".")
    else:
        version.deployment_name, version.build_id = override.deployment.series_name, override.deployment.build_id
    return result
