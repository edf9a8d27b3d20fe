"""Search attributes: which there are, of which type, where they are kept, and whether values fit them.

Numbers of types are those of `temporal.api.enums.v1.IndexedValueType`. *System* attributes are columns of the
visibility table. *Predefined* ones are set by the server or the SDKs and kept with the *custom* ones, those of the
namespace, in one JSON object by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

TEXT, KEYWORD, INT, DOUBLE, BOOL, DATETIME, KEYWORD_LIST = range(1, 8)

TYPE_NAMES: Mapping[int, str] = {
    TEXT: "Text",
    KEYWORD: "Keyword",
    INT: "Int",
    DOUBLE: "Double",
    BOOL: "Bool",
    DATETIME: "Datetime",
    KEYWORD_LIST: "KeywordList",
}
"""The names of the seven types in messages and in the metadata of payloads."""

EXECUTION_STATUS = "ExecutionStatus"
EXECUTION_DURATION = "ExecutionDuration"
NAMESPACE_DIVISION = "TemporalNamespaceDivision"
WORKFLOW_ID = "WorkflowId"
_SCHEDULE_ID = "ScheduleId"
_PREFIX = "Temporal"

SYSTEM: Mapping[str, int] = {
    "WorkflowId": KEYWORD,
    "RunId": KEYWORD,
    "WorkflowType": KEYWORD,
    "StartTime": DATETIME,
    "ExecutionTime": DATETIME,
    "CloseTime": DATETIME,
    "ExecutionStatus": KEYWORD,
    "TaskQueue": KEYWORD,
    "HistoryLength": INT,
    "ExecutionDuration": INT,
    "StateTransitionCount": INT,
    "HistorySizeBytes": INT,
    "ParentWorkflowId": KEYWORD,
    "ParentRunId": KEYWORD,
    "RootWorkflowId": KEYWORD,
    "RootRunId": KEYWORD,
}
"""Attributes that every run has; nobody can set them."""

SETTABLE_PREDEFINED: Mapping[str, int] = {
    "TemporalChangeVersion": KEYWORD_LIST,
    "BinaryChecksums": KEYWORD_LIST,
    "BuildIds": KEYWORD_LIST,
    "BatcherNamespace": KEYWORD,
    "BatcherUser": KEYWORD,
    "TemporalScheduledStartTime": DATETIME,
    "TemporalScheduledById": KEYWORD,
    "TemporalSchedulePaused": BOOL,
    "TemporalNamespaceDivision": KEYWORD,
    "TemporalPauseInfo": KEYWORD_LIST,
    "TemporalReportedProblems": KEYWORD_LIST,
}
"""Predefined attributes that clients may set: SDKs set some, and the real server does not refuse the others."""

PREDEFINED: Mapping[str, int] = {
    **SETTABLE_PREDEFINED,
    "TemporalWorkerDeploymentVersion": KEYWORD,
    "TemporalWorkflowVersioningBehavior": KEYWORD,
    "TemporalWorkerDeployment": KEYWORD,
    "TemporalUsedWorkerDeploymentVersions": KEYWORD_LIST,
    "TemporalExternalPayloadCount": INT,
    "TemporalExternalPayloadSizeBytes": INT,
}

RESERVED = frozenset(("NamespaceId", "MemoEncoding", "Memo", "VisibilityTaskKey"))
"""Further names that no custom attribute may have."""

_COLUMNS: Mapping[str, str] = {
    "WorkflowId": "workflow_id",
    "RunId": "run_id",
    "WorkflowType": "workflow_type",
    "StartTime": "start_time",
    "ExecutionTime": "execution_time",
    "CloseTime": "close_time",
    "ExecutionStatus": "status",
    "TaskQueue": "task_queue",
    "HistoryLength": "history_length",
    "ExecutionDuration": "execution_duration",
    "StateTransitionCount": "state_transition_count",
    "HistorySizeBytes": "history_size_bytes",
    "ParentWorkflowId": "parent_workflow_id",
    "ParentRunId": "parent_run_id",
    "RootWorkflowId": "root_workflow_id",
    "RootRunId": "root_run_id",
}


class Attribute(NamedTuple):
    """A search attribute as a query means it.

    `alias` is the word in the query, `name` the attribute it stands for. `column` is the column of a system attribute;
    None: a member of the JSON object.
    """

    alias: str
    name: str
    type: int
    column: str | None


_BUILT_IN = {name: Attribute(name, name, kind, _COLUMNS.get(name)) for name, kind in {**SYSTEM, **PREDEFINED}.items()}


def built_in(name: str) -> Attribute:
    """A system or predefined attribute."""
    return _BUILT_IN[name]


def is_reserved(name: str) -> bool:
    """Whether no custom attribute may have this name."""
    return name in _BUILT_IN or name in RESERVED or name.startswith(_PREFIX)


def resolve(alias: str, custom: Mapping[str, int]) -> Attribute | None:
    """The attribute that a word in a query stands for; None when there is none.

    `custom`: the types of the namespace's own attributes, by name. A custom ScheduleId hides the one that stands for
    the workflow id of a schedule. The prefix `Temporal` may be left out or put in front of built-in names.
    """
    if found := _BUILT_IN.get(alias):
        return found
    if kind := custom.get(alias):
        return Attribute(alias, alias, kind, None)
    bare = alias.removeprefix(_PREFIX)
    name = WORKFLOW_ID if bare == _SCHEDULE_ID else bare if bare != alias else _PREFIX + alias
    if found := _BUILT_IN.get(name):
        return found._replace(alias=alias)
    return None
