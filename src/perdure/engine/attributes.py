"""Search attributes that the server itself sets: who completed the tasks of a run, and what keeps it from progress."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

from temporalio.api.common.v1 import Payload, SearchAttributes, WorkerVersionStamp
from temporalio.api.enums.v1 import TimeoutType, WorkflowTaskFailedCause

from perdure.engine.checks.values import short_name
from perdure.engine.execution import Core

BUILD_IDS = "BuildIds"
BINARY_CHECKSUMS = "BinaryChecksums"
PAUSE_INFO = "TemporalPauseInfo"
VERSIONING_BEHAVIOR = "TemporalWorkflowVersioningBehavior"
REPORTED_PROBLEMS = "TemporalReportedProblems"
_UNVERSIONED = "unversioned"


def shown(core: Core) -> SearchAttributes:
    """All search attributes of a run, as clients and listings see them."""
    fields = SearchAttributes.FromString(core.search_attributes)
    if core.pause_info:
        fields.indexed_fields[PAUSE_INFO].CopyFrom(_keywords(core.pause_info))
    if core.versioning_override:
        fields.indexed_fields[VERSIONING_BEHAVIOR].CopyFrom(_keyword("AutoUpgrade"))
    if core.reported_problems:
        fields.indexed_fields[REPORTED_PROBLEMS].CopyFrom(_keywords(core.reported_problems))
    return fields


def shown_serialized(core: Core) -> bytes:
    """`shown`, serialized."""
    if not (core.pause_info or core.versioning_override or core.reported_problems):
        return core.search_attributes
    return shown(core).SerializeToString(deterministic=True)


def with_build_id(serialized: bytes, stamp: WorkerVersionStamp) -> bytes:
    """The search attributes after a task that a worker of this build completed."""
    return _with_build_id(serialized, stamp.build_id, stamp.use_versioning)


@lru_cache(maxsize=256)
def _with_build_id(serialized: bytes, build_id: str, use_versioning: bool) -> bytes:
    """Most runs have no attributes or those of runs before them, and the same few workers."""
    fields = SearchAttributes.FromString(serialized)
    known = _values(fields, BUILD_IDS)
    build_id = f"{'versioned' if use_versioning else _UNVERSIONED}:{build_id}" if build_id else _UNVERSIONED
    values = [] if use_versioning else [_UNVERSIONED]
    values += [value for value in known if value != _UNVERSIONED]
    if build_id not in values:
        values.append(build_id)
    return _with(fields, BUILD_IDS, values)


def with_checksums(serialized: bytes, checksums: Sequence[str]) -> bytes:
    """The search attributes of a run whose tasks were completed by these binaries."""
    return _with(SearchAttributes.FromString(serialized), BINARY_CHECKSUMS, checksums)


def problem(core: Core) -> list[str]:
    """What the last written failure of a workflow task was."""
    if core.last_task_timed_out:
        name = TimeoutType.Name(TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE)
        return ["category=WorkflowTaskTimedOut", f"cause=WorkflowTaskTimedOutCause{short_name(name, 'TIMEOUT_TYPE_')}"]
    cause = WorkflowTaskFailedCause.Name(core.last_task_failure_cause)  # type: ignore[arg-type]
    return [
        "category=WorkflowTaskFailed",
        f"cause=WorkflowTaskFailedCause{short_name(cause, 'WORKFLOW_TASK_FAILED_CAUSE_')}",
    ]


def _values(fields: SearchAttributes, name: str) -> list[str]:
    return list(json.loads(fields.indexed_fields[name].data)) if name in fields.indexed_fields else []


def _with(fields: SearchAttributes, name: str, values: Sequence[str]) -> bytes:
    fields.indexed_fields[name].CopyFrom(_keywords(values))
    return fields.SerializeToString(deterministic=True)


def _keyword(value: str) -> Payload:
    data = json.dumps(value, ensure_ascii=False).encode()
    return Payload(metadata={"encoding": b"json/plain", "type": b"Keyword"}, data=data)


def _keywords(values: Sequence[str]) -> Payload:
    data = json.dumps(list(values), separators=(",", ":"), ensure_ascii=False).encode()
    return Payload(metadata={"encoding": b"json/plain", "type": b"KeywordList"}, data=data)
