"""The differences from the reference that stand, one by one; a path is one leaf of a scenario's record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.conformance.positions import POSITIONS
from tests.conformance.runner import golden


@dataclass(frozen=True)
class Accepted:
    """At `path` of the record of `scenario` the two servers differ, because of `reason`."""

    scenario: str
    path: str
    reference: Any
    perdure: Any
    reason: str


_POSITION = "Perdure says where a query is wrong."
_ORDER_BY = "ORDER BY works here; the reference refuses it on a store in SQL."
_PARSER = "Perdure's grammar has no subqueries, so that they are errors of syntax; both refuse them."
_DATES = "The reference compares dates with a fraction of a second as texts, and misses equal ones."
_CASE = "The reference's SQLite compares KeywordLists without regard to case; its other databases do not."
_BAD_PAGE = "The reference shows its client an error of its own for a page token that it can't read."
_NO_RATE_LIMIT = "Perdure has no limit of its own on the rate of tasks, so it tells of none where nobody has set one."
_NO_EMPTY_PAGE = "The reference follows a last page that is full with an empty one; Perdure's last page says so itself."
_ONE_CLOCK = "The reference reads its clock twice, before and after it stores a failure; Perdure's interval is exact."
_TIMER_AT_ONCE = "A timer of no length fires at once; the reference gets to it within a second."
_NO_TYPE = "The reference lets a query wait in vain whose answer has no type; here an answer is one."
_ANY_VERSION = "Perdure turns no client away for its version."
_NO_ALIASES = "Search attributes have their own names here and no columns behind them, and any number of each type."
_NO_UUID = "The reference has an error of its own for a namespace id that is no UUID; here there is none of that id."
_DEFAULT_MADE = "The reference makes its default namespace in another way than the others, without that state."
_NOT_BUILT = "Not done yet: what does not work here is not claimed, since SDKs send what they see promised."
_NO_SIZE_LIMIT = "Not done yet: a completion is bounded by the size of a message alone, so no other limit is told."
_FORGOTTEN = "The reference remembers an update that was never accepted for as long as its cache has the closed run."
_KEPT = "The reference forgets a run's memory when it can't read an answer; here the task stays with its worker."
_LOST = "The reference forgets a run's memory when it refuses a call, and the updates that wait; here they wait on."
_STILL_KNOWN = "The reference trips over one that a reset admitted and a worker rejected; here there is none any more."
_NEVER_WIRED = "The reference goes on saying that an admission is buffered when it is written; here it has its number."
_UNVERSIONED = "Workers have no versions here: an override is kept and shown, and nothing follows from it."
_SHARED = "The reference's event shares its config with the state, where the skip of the same moment switches it off."
_EMPTY = "The official command and Web UI look there before anything else, and an error would spoil what they show."
_NOT_CLOSED = (
    "The reference takes a paused run for a closed one: who waits for its result gets Paused, asks again at once."
)
_SETTING = "The reference was recorded with this switched on; it is off in Perdure as it is in the server by default."

_PANIC = "The reference's parser breaks on a time zone without a schedule."


def _each(scenario: str, paths: Iterable[str], reference: Any, perdure: Any, reason: str) -> Iterator[Accepted]:
    return (Accepted(scenario, path, reference, perdure, reason) for path in paths)


def _positions() -> Iterator[Accepted]:
    for scenario, calls, words in POSITIONS:
        recorded = golden(scenario)["calls"]
        for i in calls:
            message = recorded[i]["error"]["message"]
            yield Accepted(scenario, f"calls[{i}].error.message", message, f"{message} ({words})", _POSITION)


def _switched_off() -> Iterator[Accepted]:
    enabled = "time_skipping_config.enabled"
    for scenario, replies, events in (
        ("so_many_skips", (8,), ("calls[9].reply.history.events[17]", "executions[0].history[17]")),
        ("fast_forward_without_a_timer", (3, 6), ("executions[0].history[4]", "executions[0].history[6]")),
    ):
        paths = [f"calls[{i}].reply.workflow_execution_options.{enabled}" for i in replies]
        paths += [f"{event}.attributes.{enabled}" for event in events]
        yield from _each(f"time_skipping/{scenario}", paths, None, True, _SHARED)


_UNBUILT = (
    "standalone_activities",
    "standalone_activity_start_delay",
    "standalone_nexus_operation",
    "workflow_update_callbacks",
)
_DESCRIBED = (
    ("namespace/default_is_described", 0),
    ("namespace/is_deleted_by_an_update", 3),
    ("namespace/is_deleted_by_an_update", 4),
    ("namespace/is_deleted_by_an_update", 23),
    ("namespace/is_deprecated", 2),
    ("namespace/is_registered_and_described", 1),
    ("namespace/is_registered_and_described", 2),
    ("namespace/is_updated", 1),
    ("namespace/is_updated", 2),
    ("namespace/is_updated", 3),
)
"""Where a namespace is described: scenario and call."""


def _namespaces() -> Iterator[Accepted]:
    for scenario, i in _DESCRIBED:
        info = f"calls[{i}].reply.namespace_info"
        names = [f"{info}.capabilities.{name}" for name in _UNBUILT]
        yield from _each(scenario, names, True, None, _NOT_BUILT)
        on_shutdown = f"{info}.capabilities.worker_poll_complete_on_shutdown"
        yield Accepted(scenario, on_shutdown, True, None, _SETTING)
        limit = f"{info}.limits.workflow_task_completion_size_limit_error"
        yield Accepted(scenario, limit, 41943040, None, _NO_SIZE_LIMIT)


_COLUMNS = {"Bool": 3, "Datetime": 3, "Double": 3, "Int": 3, "Keyword": 10, "KeywordList": 3, "Text": 3}
_COLUMN_TYPES = {"KeywordList": "KEYWORD_LIST"}


def _columns() -> Iterator[Accepted]:
    scenario = "namespace/search_attributes_are_listed"
    for name, count in _COLUMNS.items():
        paths = [f"calls[1].reply.keys.{name}{number:02}" for number in range(1, count + 1)]
        yield from _each(scenario, paths, _COLUMN_TYPES.get(name, name.upper()), None, _NO_ALIASES)


_REFUSED_ORDER = {
    "code": "INVALID_ARGUMENT",
    "message": "invalid query: operation is not supported: 'ORDER BY' clause",
    "details": [],
}
_QUERY = "invalid query: "
_SYNTAX = "invalid query: malformed SQL query: syntax error at position"


def _queries() -> Iterator[Accepted]:
    yield Accepted("visibility/query_order_by", "calls[0].error", _REFUSED_ORDER, None, _ORDER_BY)
    yield Accepted("visibility/query_order_by", "calls[0].reply", None, {}, _ORDER_BY)
    messages = ("calls[0].error.message", "calls[1].error.message")
    yield from _each(
        "visibility/query_subquery",
        messages,
        f"{_QUERY}invalid expression: unexpected value type *sqlparser.Subquery",
        f"{_SYNTAX} 51 near 'select' (at position 18, near 'SELECT')",
        _PARSER,
    )
    yield from _each(
        "visibility/query_exists",
        messages,
        f"{_QUERY}operation is not supported: expression of type *sqlparser.ExistsExpr",
        f"{_SYNTAX} 34 near 'exists' (at position 1, near 'EXISTS')",
        _PARSER,
    )
    yield Accepted("visibility/conditions", "calls[24].reply.count", None, 1, _DATES)
    yield Accepted("visibility/conditions", "calls[26].reply.count", 1, 2, _DATES)
    lists = "visibility/keyword_lists_and_case"
    yield from _each(lists, ("calls[1].reply.count", "calls[2].reply.count"), 1, None, _CASE)
    yield Accepted(lists, "calls[3].reply.count", None, 1, _CASE)
    pages = "visibility/lists_in_pages"
    yield Accepted(pages, "calls[9].error.code", "UNKNOWN", "INVALID_ARGUMENT", _BAD_PAGE)
    again = "something went wrong, please retry (N)"
    yield Accepted(pages, "calls[9].error.message", again, "Invalid NextPageToken.", _BAD_PAGE)


def _intervals() -> Iterator[Accepted]:
    for scenario, call, reference, perdure in (
        ("activity/waits_between_attempts", 5, "~61s", "60s"),
        ("activity/worker_chooses_the_next_delay", 8, "~91s", "90s"),
        ("limits/long_activity_failure_is_cut", 5, "~61s", "60s"),
    ):
        for where in (f"calls[{call}].reply", "executions[0].describe.reply"):
            path = f"{where}.pending_activities[0].current_retry_interval"
            yield Accepted(scenario, path, reference, perdure, _ONE_CLOCK)
    path = "calls[5].reply.pending_activities[0].current_retry_interval"
    yield Accepted("activity/schedule_to_close_timeout_between_attempts", path, "~1s", "0.3s", _ONE_CLOCK)
    scenario = "activity_operations/paused_between_attempts"
    path = "calls[5].reply.pending_activities[0].current_retry_interval"
    yield Accepted(scenario, path, "~31s", "30s", _ONE_CLOCK)
    path = "calls[6].reply.pending_activities[0].current_retry_interval"
    yield Accepted("workflow_pause/activity_waits_for_its_next_attempt", path, "~2s", "1s", _ONE_CLOCK)
    for where in ("calls[7].reply", "executions[0].describe.reply"):
        path = f"{where}.pending_activities[0].current_retry_interval"
        yield Accepted("workflow_pause/activity_waits_on_after_the_pause", path, "~31s", "30s", _ONE_CLOCK)


def _overrides() -> Iterator[Accepted]:
    info = "executions[0].describe.reply.workflow_execution_info"
    build_ids = {"encoding": "json/plain", "type": "KeywordList", "data": '["unversioned"]'}
    for scenario, run in (
        ("workflow_options/versioning_override", 0),
        ("start/versioning_override", 0),
        ("start/versioning_override", 1),
        ("child/versioning_override", 1),
        ("child/versioning_override", 2),
    ):
        described = f"executions[{run}].describe.reply.workflow_execution_info"
        path = f"{described}.search_attributes.indexed_fields.BuildIds"
        yield Accepted(scenario, path, None, build_ids, _UNVERSIONED)
    path = f"{info}.versioning_info"
    yield Accepted("workflow_options/versioning_override_is_unset", path, {}, None, _UNVERSIONED)
    for where in ("calls[6].reply", "executions[2].describe.reply"):
        info = f"{where}.workflow_execution_info"
        fields = {"BuildIds": build_ids}
        path = f"{info}.search_attributes.indexed_fields"
        yield Accepted("reset_options/changes_them", path, fields, None, _UNVERSIONED)
        yield Accepted("reset_options/changes_them", f"{info}.versioning_info", {}, None, _UNVERSIONED)


_TASK = {"task_queue": {"name": "tq", "kind": "NORMAL"}, "start_to_close_timeout": "10s", "attempt": 1}
_FIRED = {"event_id": 6, "event_type": "TIMER_FIRED", "attributes": {"timer_id": "t", "started_event_id": 5}}
_TOLD = {"event_id": 7, "event_type": "WORKFLOW_TASK_SCHEDULED", "attributes": _TASK}
_WAITING = {"state": "SCHEDULED", "scheduled_time": "set", "original_scheduled_time": "set", "attempt": 1}


def _forgotten() -> Iterator[Accepted]:
    aborted = "workflow update was aborted by closing workflow"
    for scenario, call, update_id in (
        ("update_end/workflow_completes_instead", 6, "u"),
        ("update_end/workflow_is_terminated", 9, "admitted"),
    ):
        yield Accepted(scenario, f"calls[{call}].error.message", aborted, f'update "{update_id}" not found', _FORGOTTEN)


_PAUSED = {
    "event_id": 6,
    "event_type": "WORKFLOW_EXECUTION_PAUSED",
    "attributes": {"identity": "operator", "request_id": "pause"},
    "worker_may_ignore": True,
}


def _waited_for() -> Iterator[Accepted]:
    scenario = "workflow_pause/is_waited_for"
    yield from _each(scenario, (f"calls[{i}].reply.history.events" for i in (4, 5)), [_PAUSED], None, _NOT_CLOSED)
    yield from _each(scenario, (f"calls[{i}].reply.next_page_token" for i in (5, 6)), None, "token", _NOT_CLOSED)


def _unreadable() -> Iterator[Accepted]:
    started = {"scheduled_event_id": 6, "request_id": "request-2", "history_size_bytes": "set"}
    event = {"event_id": 7, "event_type": "WORKFLOW_TASK_STARTED", "attributes": started}
    pending = "executions[0].describe.reply.pending_workflow_task"
    scenario, error = "workflow_pause/an_update_is_refused_while_another_waits", "calls[1].error"
    paused, aborted = (
        "Workflow is paused. Cannot update the workflow.",
        "workflow update was aborted by closing workflow",
    )
    yield Accepted(scenario, f"{error}.code", "FAILED_PRECONDITION", "NOT_FOUND", _LOST)
    yield Accepted(scenario, f"{error}.message", paused, aborted, _LOST)
    yield Accepted(scenario, f"{error}.details[0]", None, {"type": "NotFoundFailure"}, _LOST)
    for name in ("body_of_a_type_without_dots", "body_without_type", "without_body", "without_body_and_command"):
        scenario = f"update_messages/{name}"
        yield Accepted(scenario, "executions[0].history[6]", None, event, _KEPT)
        yield Accepted(scenario, f"{pending}.state", "SCHEDULED", "STARTED", _KEPT)
        yield Accepted(scenario, f"{pending}.started_time", None, "set", _KEPT)


def _reset_updates() -> Iterator[Accepted]:
    for scenario, i in (
        ("reset_updates/is_ignored_the_second_time", 9),
        ("reset_updates/is_rejected_the_second_time", 10),
    ):
        again = "something went wrong, please retry (N)"
        yield Accepted(scenario, f"calls[{i}].error.code", "INTERNAL", "NOT_FOUND", _STILL_KNOWN)
        yield Accepted(scenario, f"calls[{i}].error.message", again, 'update "u" not found', _STILL_KNOWN)
        yield Accepted(scenario, f"calls[{i}].error.details[0]", None, {"type": "NotFoundFailure"}, _STILL_KNOWN)
    for where in ("calls[7]", "executions[1].describe"):
        info = f"{where}.reply.workflow_extended_info.request_id_infos.its-request"
        yield Accepted("reset_updates/with_a_request_id", f"{info}.buffered", True, None, _NEVER_WIRED)
        yield Accepted("reset_updates/with_a_request_id", f"{info}.event_id", None, 5, _NEVER_WIRED)


def _zone_alone() -> Iterator[Accepted]:
    scenario, error = "cron_retry_chain/schedules_that_are_refused", "calls[23].error"
    yield Accepted(scenario, f"{error}.code", "INTERNAL", "INVALID_ARGUMENT", _PANIC)
    again = "something went wrong, please retry (N)"
    yield Accepted(scenario, f"{error}.message", again, "invalid CronSchedule.", _PANIC)


def _timer() -> Iterator[Accepted]:
    scenario, run = "bad_commands/timer_without_timeout", "executions[0]"
    described = f"{run}.describe.reply"
    yield Accepted(scenario, f"{run}.history[5]", None, _FIRED, _TIMER_AT_ONCE)
    yield Accepted(scenario, f"{run}.history[6]", None, _TOLD, _TIMER_AT_ONCE)
    yield Accepted(scenario, f"{described}.workflow_execution_info.history_length", 5, 7, _TIMER_AT_ONCE)
    yield Accepted(scenario, f"{described}.pending_workflow_task", None, _WAITING, _TIMER_AT_ONCE)


def _rules() -> Iterator[Accepted]:
    scenario, i = "precedence/of_workflow_rules", 3
    error = {"code": "UNIMPLEMENTED", "message": "method ListWorkflowRules not supported", "details": []}
    yield Accepted(scenario, f"calls[{i}].error", error, None, _EMPTY)
    yield Accepted(scenario, f"calls[{i}].reply", None, {}, _EMPTY)


_UNREADABLE = "Unable to parse client version: No Major.Minor.Patch elements found"
_TOO_NEW = "Server version 1.32.0 is not supported. Client supports server versions: <1.0.0"
_TOO_NEW_DETAIL = {"type": "ServerVersionNotSupportedFailure", "client_supported_server_versions": "<1.0.0"}


def _versions() -> Iterator[Accepted]:
    scenario = "edge/client_versions_that_are_turned_away"
    errors = (
        {"code": "INVALID_ARGUMENT", "message": _UNREADABLE, "details": []},
        {"code": "FAILED_PRECONDITION", "message": _TOO_NEW, "details": [_TOO_NEW_DETAIL]},
    )
    for i, error in enumerate(errors):
        yield Accepted(scenario, f"calls[{i}].error", error, None, _ANY_VERSION)
        yield Accepted(scenario, f"calls[{i}].reply", None, {}, _ANY_VERSION)


_RATE_LIMIT = {"requests_per_second": 4000.0, "rate_limit_source": "SYSTEM"}
_EMPTY_PAGE = {
    "call": "GetWorkflowExecutionHistory",
    "request": {
        "namespace": "default",
        "execution": {"workflow_id": "wf"},
        "maximum_page_size": 1,
        "next_page_token": "token",
    },
    "reply": {"history": {}},
}
_TOO_MANY = "Unable to create search attributes: cannot have more than 3 search attribute of type Bool."
_ALIASES = ["ConfBool", "ConfDatetime", "ConfDouble", "ConfInt", "ConfKeyword", "ConfKeywordList", "ConfText"]
_FINE = {"query_result": {"payloads": [{"encoding": "json/plain", "data": '"fine"'}]}}
_NO_SUCH_NAMESPACE = {"type": "NamespaceNotFoundFailure", "namespace": "not-a-uuid"}

DIFFERENCES: tuple[Accepted, ...] = (
    *_positions(),
    *_queries(),
    *_namespaces(),
    *_columns(),
    *_intervals(),
    *_timer(),
    *_versions(),
    *_overrides(),
    *_each(
        "describe_task_queue/queue_that_nobody_uses",
        [f"calls[{i}].reply.effective_rate_limit" for i in range(12)],
        _RATE_LIMIT,
        None,
        _NO_RATE_LIMIT,
    ),
    *(
        Accepted(
            f"describe_task_queue/{name}", "calls[0].reply.effective_rate_limit", _RATE_LIMIT, None, _NO_RATE_LIMIT
        )
        for name in ("partitions", "sticky_queue")
    ),
    Accepted(
        "describe_task_queue/kinds_of_queues",
        "calls[7].reply.effective_rate_limit",
        _RATE_LIMIT,
        None,
        _NO_RATE_LIMIT,
    ),
    *_rules(),
    *_each(
        "namespace/task_queue_is_described",
        [f"calls[{i}].reply.effective_rate_limit" for i in (0, 2, 3)],
        _RATE_LIMIT,
        None,
        _NO_RATE_LIMIT,
    ),
    *_each(
        "edge/system_info",
        [f"calls[0].reply.capabilities.{name}" for name in ("nexus", "server_scaled_deployments")],
        True,
        None,
        _NOT_BUILT,
    ),
    Accepted("history/in_pages_of_one", "calls[5].reply.next_page_token", "token", None, _NO_EMPTY_PAGE),
    Accepted("history/in_pages_of_one", "calls[6]", _EMPTY_PAGE, None, _NO_EMPTY_PAGE),
    *_forgotten(),
    *_unreadable(),
    *_waited_for(),
    *_reset_updates(),
    *_zone_alone(),
    Accepted("query/is_answered_with_no_type", "calls[3].error", {"code": "DEADLINE_EXCEEDED"}, None, _NO_TYPE),
    Accepted("query/is_answered_with_no_type", "calls[3].reply", None, _FINE, _NO_TYPE),
    Accepted(
        "namespace/default_is_described",
        "calls[0].reply.config.custom_search_attribute_aliases",
        _ALIASES,
        None,
        _NO_ALIASES,
    ),
    Accepted(
        "namespace/default_is_described", "calls[0].reply.replication_config.state", None, "NORMAL", _DEFAULT_MADE
    ),
    Accepted(
        "namespace/too_many_search_attributes_of_a_type",
        "calls[1].error",
        {"code": "INVALID_ARGUMENT", "message": _TOO_MANY, "details": []},
        None,
        _NO_ALIASES,
    ),
    Accepted("namespace/too_many_search_attributes_of_a_type", "calls[1].reply", None, {}, _NO_ALIASES),
    Accepted("namespace/describe_is_refused", "calls[3].error.code", "UNKNOWN", "NOT_FOUND", _NO_UUID),
    Accepted(
        "namespace/describe_is_refused",
        "calls[3].error.message",
        "invalid UUID length: 10",
        "Namespace not-a-uuid is not found.",
        _NO_UUID,
    ),
    Accepted("namespace/describe_is_refused", "calls[3].error.details[0]", None, _NO_SUCH_NAMESPACE, _NO_UUID),
    *_switched_off(),
)
