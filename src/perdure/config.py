"""What can be set: `Dynamic`, the limits and switches that Temporal calls dynamic configuration, and `Settings`, how
one server runs.

Every field of `Dynamic` is declared once, with Temporal's own key, its default and what it means; no other file
holds a value of it. A field exists only while something reads it. Names follow Temporal's Go constants, with the unit
last. Values come in as JSON, as `--dynamic-config-value KEY=JSON` of the official CLI sends them.

A value that can't be is a `StartupError` whose sentence names where it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any, Self

from perdure import values
from perdure.errors import StartupError

KIB = 1024
MIB = 1024 * KIB
MAX_REQUEST_BYTES = 4 * MIB
"""What the real frontend takes."""
MOST_REQUEST_BYTES = 2**31 - 1
"""The largest message that gRPC can be told to take."""
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def address(host: str, port: int) -> str:
    """`host:port`, as it is shown and dialled: with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class RetryDefaults:
    """What an unset field of a retry policy means (`history.default*RetryPolicy`)."""

    initial_interval_s: float = 1.0
    maximum_interval_coefficient: float = 100.0
    """The maximum interval, when unset, is this many initial intervals."""
    backoff_coefficient: float = 2.0
    maximum_attempts: int = 0
    """0: no limit."""


_RETRY = RetryDefaults()


def _key(key: str, default: Any) -> Any:
    """A field of `Dynamic`. Without a key the value is a constant of the real server, settable in process only."""
    return field(default=default, metadata={"key": key})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dynamic:
    """Temporal's dynamic configuration, as far as it means something here. Immutable; one value for all namespaces."""

    # Sizes of what callers send.
    blob_size_limit_error_bytes: int = _key("limit.blobSize.error", 2 * MIB)
    """Largest payload, header or details."""
    blob_size_limit_warn_bytes: int = _key("limit.blobSize.warn", 512 * KIB)
    """Above, the log has a warning; up to this size the error limit does not apply."""
    memo_size_limit_error_bytes: int = _key("limit.memoSize.error", 2 * MIB)
    """Largest memo."""
    memo_size_limit_warn_bytes: int = _key("limit.memoSize.warn", 2 * KIB)
    """Above, the log has a warning; up to this size the error limit does not apply."""
    max_id_length: int = _key("limit.maxIDLength", 1000)
    """Longest workflow id, type, task queue, identity, ..., in bytes of UTF-8."""
    worker_build_id_size_limit_bytes: int = _key("limit.workerBuildIdSize", 255)
    """Longest build id."""
    max_links_per_request: int = _key("frontend.maxlinksPerRequest", 10)
    """Links in one request."""
    link_max_size_bytes: int = _key("frontend.linkMaxSize", 4000)
    """Largest link."""
    max_callbacks_per_execution: int = _key("callback.maxPerExecution", 2000)
    """Completion callbacks of one run."""
    callback_url_max_length: int = _key("frontend.callbackURLMaxLength", 1000)
    """Longest callback URL."""
    callback_header_max_size_bytes: int = _key("frontend.callbackHeaderMaxLength", 8 * KIB)
    """All names and values of a callback's header."""
    search_attributes_number_of_keys_limit: int = _key("frontend.searchAttributesNumberOfKeysLimit", 100)
    """Search attributes of one run."""
    search_attributes_size_of_value_limit_bytes: int = _key("frontend.searchAttributesSizeOfValueLimit", 2 * KIB)
    """Largest value."""
    search_attributes_total_size_limit_bytes: int = _key("frontend.searchAttributesTotalSizeLimit", 40 * KIB)
    """All names and values of one run."""

    # Sizes of what an execution accumulates.
    history_size_limit_error_bytes: int = _key("limit.historySize.error", 50 * MIB)
    """Above, the workflow is terminated."""
    history_size_limit_warn_bytes: int = _key("limit.historySize.warn", 10 * MIB)
    """Above, the log has a warning."""
    history_size_suggest_continue_as_new_bytes: int = _key("limit.historySize.suggestContinueAsNew", 4 * MIB)
    """From here workers are told to continue as new."""
    history_count_limit_error: int = _key("limit.historyCount.error", 50 * KIB)
    """Events; above, the workflow is terminated."""
    history_count_limit_warn: int = _key("limit.historyCount.warn", 10 * KIB)
    """Events; above, the log has a warning."""
    history_count_suggest_continue_as_new: int = _key("limit.historyCount.suggestContinueAsNew", 4 * KIB)
    """Events from which workers are told to continue as new."""
    mutable_state_size_limit_error_bytes: int = _key("limit.mutableStateSize.error", 8 * MIB)
    """What is pending, without what repeats the history; above, the workflow is terminated."""
    mutable_state_size_limit_warn_bytes: int = _key("limit.mutableStateSize.warn", MIB)
    """Above, the log has a warning."""
    mutable_state_activity_failure_size_limit_error_bytes: int = _key(
        "limit.mutableStateActivityFailureSize.error", 4 * KIB
    )
    """A larger last failure of a retrying activity is cut."""
    mutable_state_activity_failure_size_limit_warn_bytes: int = _key(
        "limit.mutableStateActivityFailureSize.warn", 2 * KIB
    )
    """Above, the log has a warning; up to this size the error limit does not apply."""
    num_pending_activities_limit_error: int = _key("limit.numPendingActivities.error", 2000)
    """0: no limit."""
    num_pending_child_executions_limit_error: int = _key("limit.numPendingChildExecutions.error", 2000)
    """0: no limit."""
    num_pending_signals_limit_error: int = _key("limit.numPendingSignals.error", 2000)
    """Signals to other workflows; 0: no limit."""
    num_pending_cancel_requests_limit_error: int = _key("limit.numPendingCancelRequests.error", 2000)
    """Cancels of other workflows; 0: no limit."""
    maximum_buffered_events_batch: int = _key("history.maximumBufferedEventsBatch", 100)
    """More buffered events force the started workflow task closed."""
    maximum_buffered_events_size_bytes: int = _key("history.maximumBufferedEventsSizeInBytes", 2 * MIB)
    """Likewise, by size."""
    maximum_signals_per_execution: int = _key("history.maximumSignalsPerExecution", 10_000)
    """Signals one run takes; 0: no limit."""
    max_buffered_query_count: int = _key("history.MaxBufferedQueryCount", 1)
    """Queries of one run that wait for a workflow task."""
    history_max_auto_reset_points: int = _key("history.historyMaxAutoResetPoints", 20)
    """Reset points one run keeps."""

    # Updates.
    max_in_flight_updates: int = _key("history.maxInFlightUpdates", 10)
    """Updates of one run that are admitted and not complete; 0: no limit."""
    max_in_flight_update_payloads_bytes: int = _key("history.maxInFlightUpdatePayloads", 20 * MIB)
    """Likewise, by size; 0: no limit."""
    max_total_updates: int = _key("history.maxTotalUpdates", 2000)
    """Updates one run takes, rejected ones not counted; 0: no limit."""
    max_total_updates_suggest_continue_as_new_threshold: float = _key(
        "history.maxTotalUpdates.suggestContinueAsNewThreshold", 0.9
    )
    """The part of them from which workers are told to continue as new."""
    discard_speculative_workflow_task_maximum_events_count: int = _key(
        "history.discardSpeculativeWorkflowTaskMaximumEventsCount", 10
    )
    """A workflow task that only rejected updates leaves no trace unless it brought more events than these."""
    speculative_workflow_task_schedule_to_start_timeout_s: float = _key("", 5.0)
    """How long a workflow task for updates alone waits for a worker before it is written."""

    # Workflow and activity tasks.
    default_workflow_task_timeout_s: float = _key("history.defaultWorkflowTaskTimeout", 10.0)
    """When a start names none."""
    max_workflow_task_timeout_s: float = _key("", 120.0)
    """Longer workflow task timeouts are cut to this."""
    workflow_task_heartbeat_timeout_s: float = _key("history.workflowTaskHeartbeatTimeout", 1800.0)
    """How long a worker may keep a workflow task by heartbeats."""
    workflow_task_retry_backoff_min_attempts: int = _key("", 3)
    """The task's timeout grows from the attempt after this."""
    workflow_task_retry_initial_interval_s: float = _key("", 5.0)
    """First addition to that timeout; it doubles."""
    workflow_task_retry_max_interval_s: float = _key("history.workflowTaskRetryMaxInterval", 600.0)
    """Largest addition."""
    least_activity_start_to_close_s: float = _key("", 0.5)
    """A shorter start-to-close timeout is told after so long (after a second there). None where time skips."""
    default_activity_retry_policy: RetryDefaults = _key("history.defaultActivityRetryPolicy", _RETRY)
    """Unset fields of an activity's retry policy."""
    default_workflow_retry_policy: RetryDefaults = _key("history.defaultWorkflowRetryPolicy", _RETRY)
    """Unset fields of a workflow's retry policy."""
    sticky_poller_unavailable_window_s: float = _key("", 10.0)
    """A sticky worker that has not polled for this long is gone."""
    query_poller_unavailable_window_s: float = _key("matching.queryPollerUnavailableWindow", 20.0)
    """Without a poll for this long queries fail at once."""
    poller_history_ttl_s: float = _key("matching.PollerHistoryTTL", 300.0)
    """How long DescribeTaskQueue shows a poller."""
    max_fairness_key_weight_overrides: int = _key("matching.maxFairnessKeyWeightOverrides", 1000)
    """Weights that may be set for the fairness keys of one task queue."""
    reachability_query_build_id_limit: int = _key("limit.reachabilityQueryBuildIds", 5)
    """Build ids that one DescribeTaskQueue may ask the reachability of."""
    poller_scaling_minimum_backlog_s: float = _key("matching.pollerScalingMinimumBacklog", 0.2)
    """Workers are told to poll more when tasks have waited for longer."""
    poller_scaling_wait_time_s: float = _key("matching.pollerScalingWaitTime", 1.0)
    """Workers are told to poll less when a poll has waited for so long."""
    poller_scaling_decisions_per_second: float = _key("matching.pollerScalingDecisionsPerSecond", 10.0)
    """How often a poller is told to poll more."""
    poller_scaling_task_add_to_dispatch_ratio: float = _key("matching.pollerScalingTaskAddToDispatchRatio", 1.2)
    """Workers are told to poll more when tasks come faster than they go by this factor."""
    enable_sticky_query: bool = _key("system.enableStickyQuery", True)
    """Queries go to the worker that has the workflow cached."""
    enable_eager_workflow_start: bool = _key("system.enableEagerWorkflowStart", True)
    """A start may bring the first task back to its caller."""
    enable_activity_eager_execution: bool = _key("system.enableActivityEagerExecution", True)
    """A completion may bring activities back to its worker."""
    enable_cancel_worker_polls_on_shutdown: bool = _key("frontend.enableCancelWorkerPollsOnShutdown", False)
    """ShutdownWorker ends the worker's polls."""
    worker_heartbeats_enabled: bool = _key("frontend.WorkerHeartbeatsEnabled", True)
    """Workers are asked to tell of themselves, and ListWorkers shows them."""
    worker_registry_entry_ttl_s: float = _key("matching.workerRegistryEntryTTL", 300.0)
    """A worker that has not been heard of for this long is forgotten."""
    worker_registry_max_entries: int = _key("matching.workerRegistryMaxEntries", 10_000)
    """Workers that are remembered; of more, those that were heard of longest ago are forgotten."""
    num_consecutive_workflow_task_problems_to_trigger_search_attribute: int = _key(
        "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute", 5
    )
    """Failed attempts after which TemporalReportedProblems is set; 0: never."""

    # Lives of workflows.
    workflow_id_reuse_minimal_interval_s: float = _key("history.workflowIdReuseMinimalInterval", 1.0)
    """A run younger than this is not terminated for a new start; a run that continues as new sooner gets a backoff."""
    enable_workflow_id_reuse_start_time_validation: bool = _key(
        "history.enableWorkflowIdReuseStartTimeValidation", False
    )
    """Refuse to use a workflow id again within `workflow_id_reuse_minimal_interval_s` of its last start."""
    enable_cross_namespace_commands: bool = _key("system.enableCrossNamespaceCommands", False)
    """Commands may name another namespace."""
    workflow_time_skipping_enabled: bool = _key("frontend.WorkflowTimeSkippingEnabled", True)
    """Starts and options may let workflows skip time."""
    workflow_time_skipping_max_skip_per_session: int = _key("frontend.WorkflowTimeSkippingMaxSkipPerSession", 200)
    """How often a workflow skips time where its config does not say."""
    disallow_query: bool = _key("system.disallowQuery", False)
    """Queries are refused."""

    # Batch operations.
    enable_batcher: bool = _key("frontend.enableBatcher", True)
    """There are batch operations."""
    max_concurrent_batch_operations: int = _key("frontend.MaxConcurrentBatchOperationPerNamespace", 1)
    """Batch jobs that may run at once in a namespace."""
    batcher_rps: int = _key("worker.batcherRPS", 50)
    """Operations a second of one batch job."""
    batcher_concurrency: int = _key("worker.batcherConcurrency", 5)
    """Executions that a batch job may be stuck at before it takes no others."""

    # Long polls, pages.
    matching_long_poll_expiration_interval_s: float = _key("matching.longPollExpirationInterval", 60.0)
    """A poll for a task answers empty after this."""
    history_long_poll_expiration_interval_s: float = _key("history.longPollExpirationInterval", 20.0)
    """A wait for new events or an update answers after this."""
    long_poll_buffer_s: float = _key("", 1.0)
    """A long poll answers this much before its caller's deadline."""
    min_long_poll_timeout_s: float = _key("", 2.0)
    """Long polls with a shorter deadline are refused."""
    history_max_page_size: int = _key("limit.historyMaxPageSize", 256)
    """Events asked of storage a page."""
    frontend_history_max_page_size: int = _key("frontend.historyMaxPageSize", 256)
    """Events a page of GetWorkflowExecutionHistory."""
    visibility_max_page_size: int = _key("frontend.visibilityMaxPageSize", 1000)
    """Executions a page."""
    send_raw_workflow_history: bool = _key("frontend.sendRawWorkflowHistory", False)
    """Histories travel as stored batches."""

    # Namespaces and visibility.
    namespace_min_retention_s: float = _key("system.namespaceMinRetentionLocal", HOUR_S)
    """Shortest retention of a namespace."""
    delete_namespace_delay_s: float = _key("frontend.deleteNamespaceNamespaceDeleteDelay", 0.0)
    """How long a deleted namespace's record stays."""
    suppress_error_set_system_search_attribute: bool = _key("system.suppressErrorSetSystemSearchAttribute", False)
    """System search attributes in requests are ignored, not refused."""
    reserved_task_queue_prefix: str = _key("", "/_sys/")
    """Task queue names may not start so."""

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, object]], source: str = "dynamic config") -> tuple[Self, list[str]]:
        """Temporal's keys (in any case) and their values -> the configuration, and the keys that mean nothing here,
        with the reason in brackets where that depends on the value.

        A text value is read as JSON, and as it stands when it is none (`10s` means `"10s"`). Later pairs win.
        Errors: `StartupError` naming `source` and the key.
        """
        changes: dict[str, object] = {}
        unknown: list[str] = []
        for key, value in pairs:
            name = _FIELD_OF_KEY.get(key.lower())
            if name is not None:
                changes[name] = _convert(value, name, getattr(_DEFAULT, name), f"{source}: {key}")
            elif (so := ALREADY_SO.get(key.lower())) is None:
                unknown.append(key)
            elif not so.asked_by(value):
                unknown.append(f"{key} ({so.what})")
        return cls(**changes), list(dict.fromkeys(unknown))  # type: ignore[arg-type]


def _convert(value: object, name: str, default: object, where: str) -> object:
    """`value` in the type of `default`; a name that ends in `_s` is a duration."""
    value = values.scalar(value) if isinstance(value, str) else value
    if isinstance(default, RetryDefaults):
        return _retry_defaults(value, default, where)
    if isinstance(default, bool):
        return values.boolean(value, where)
    if isinstance(default, int):
        return values.integer(value, where)
    if isinstance(default, float):
        return values.seconds(value, where) if name.endswith("_s") else values.number(value, where)
    return str(value)


def _retry_defaults(value: object, default: RetryDefaults, where: str) -> RetryDefaults:
    if not isinstance(value, dict):
        raise StartupError(f'{where}: expected an object such as {{"InitialIntervalInSeconds": 1}}, got {value!r}.')
    names = {
        "initialintervalinseconds": "initial_interval_s",
        "maximumintervalcoefficient": "maximum_interval_coefficient",
        "backoffcoefficient": "backoff_coefficient",
        "maximumattempts": "maximum_attempts",
    }
    changes: dict[str, Any] = {}
    for key, item in value.items():
        name = names.get(str(key).lower())
        if name is None:
            raise StartupError(f"{where}: {key} is not a field of a default retry policy.")
        changes[name] = _convert(item, name, getattr(default, name), f"{where}.{key}")
    return replace(default, **changes)


_DEFAULT = Dynamic()
_FIELD_OF_KEY: Mapping[str, str] = {f.metadata["key"].lower(): f.name for f in fields(Dynamic) if f.metadata["key"]}


@dataclass(frozen=True, slots=True)
class AlreadySo:
    """What Perdure does anyway, and which values of a key ask for that; any, if neither is given."""

    what: str
    only: object = None
    """Just this one."""
    from_rate: int | None = None
    """A rate of so many or more: that of the real server, so it is asked to hold nobody up."""
    zero: bool = False
    """0 is no limit."""

    def asked_by(self, value: object) -> bool:
        value = values.scalar(value) if isinstance(value, str) else value
        if isinstance(self.only, bool):
            try:
                return values.boolean(value, "") is self.only
            except StartupError:
                return False
        if self.only is not None:
            return value == self.only
        if self.from_rate is None:
            return True
        return isinstance(value, int | float) and (value >= self.from_rate or (self.zero and value == 0))


_FRESH = "search attributes are never stale"
_ENDPOINTS = "endpoints are never stale"
_REQUESTS = "requests are not rate-limited"
_STORAGE = "storage is not rate-limited"
_PARTITIONS = "task queues have no partitions"
_UPDATES = "updates are always on"

ALREADY_SO: Mapping[str, AlreadySo] = {
    "system.forcesearchattributescacherefreshonread": AlreadySo(_FRESH, only=True),
    "system.forcenexusendpointrefreshonread": AlreadySo(_ENDPOINTS, only=True),
    "system.refreshnexusendpointsminwait": AlreadySo(_ENDPOINTS),
    "system.system.refreshnexusendpointsminwait": AlreadySo("the Python SDK's tests spell it so"),
    "history.persistencemaxqps": AlreadySo(_STORAGE, from_rate=9000, zero=True),
    "frontend.persistencemaxqps": AlreadySo(_STORAGE, from_rate=2000, zero=True),
    "frontend.enableserverversioncheck": AlreadySo("the server never calls home", only=False),
    "frontend.namespacerps": AlreadySo(_REQUESTS, from_rate=2400),
    "frontend.namespacerps.visibility": AlreadySo(_REQUESTS, from_rate=50),
    "frontend.globalnamespacerps": AlreadySo(_REQUESTS, from_rate=2400, zero=True),
    "frontend.rps": AlreadySo(_REQUESTS, from_rate=2400),
    "history.rps": AlreadySo(_REQUESTS, from_rate=3000),
    "matching.rps": AlreadySo(_REQUESTS, from_rate=1200),
    "matching.numtaskqueuereadpartitions": AlreadySo(_PARTITIONS, only=1),
    "matching.numtaskqueuewritepartitions": AlreadySo(_PARTITIONS, only=1),
    "history.hostlevelcachemaxsize": AlreadySo("caches are bounded in bytes, by settings of our own"),
    "history.enablechasm": AlreadySo("there is one kind of execution"),
    "history.enabletransitionhistory": AlreadySo("there is one cluster"),
    "frontend.enableupdateworkflowexecution": AlreadySo(_UPDATES, only=True),
    "frontend.enableupdateworkflowexecutionasyncaccepted": AlreadySo(_UPDATES, only=True),
}
"""Keys (in lower case) that users set to get what Perdure does anyway; where they do, they are accepted in silence."""


def known_key(key: str) -> bool:
    """Whether a dynamic configuration key, in any case, means something here."""
    return key.lower() in _FIELD_OF_KEY


TRANSPORTS = ("native", "grpcio")
LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warn", "error", "never")


class Skipping(Enum):
    """Whether the time of a server skips. Then each namespace has a clock of its own."""

    OFF = "off"
    LOCKED = "locked"
    """Clocks jump by themselves once a client has unlocked them."""
    UNLOCKED = "unlocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one server runs. Immutable. The defaults are those of an embedded server; see `perdure.cli.settings`."""

    db: Path | None = None
    """The SQLite file; None: in memory."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 7233
    """0: any free one."""
    http_port: int | None = None
    """The port of the HTTP API; 0: any free one, None: none is served."""
    links_keys_file: Path | None = None
    """The keys of the links of approvals and callbacks, one a line, the first signs; None: no links are served."""
    namespaces: tuple[str, ...] = ()
    """Namespaces to have at start, besides `default`."""
    search_attributes: Mapping[str, str] = field(default_factory=dict)
    """Search attributes to register at start in those namespaces: name -> type as in `Keyword`, `Int`, `Datetime`."""
    transport: str = "native"
    """One of `TRANSPORTS`."""
    log_format: str = "text"
    """One of `LOG_FORMATS`."""
    log_level: str = "info"
    """One of `LOG_LEVELS`."""
    execution_cache_bytes: int = 32 * MIB
    """Memory for executions that nothing holds at the moment."""
    max_request_bytes: int = MAX_REQUEST_BYTES
    """Larger requests are refused, over gRPC and HTTP (the default is the real server's limit)."""
    shutdown_grace_s: float = 5.0
    """How long a stop waits for calls under way."""
    dynamic: Dynamic = field(default_factory=Dynamic)
    skipping: Skipping = Skipping.OFF
    """Whether the clocks of namespaces skip, which is for tests."""
    skips: int = 100_000
    """How often the clock of a namespace may jump by itself for what a client waits for."""

    def __post_init__(self) -> None:
        for name, port in (("port", self.port), ("http-port", self.http_port or 0)):
            values.port(port, name)
        if self.port == self.http_port != 0:
            raise StartupError(f"port and http-port are both {self.port}; gRPC and HTTP need a port each.")
        if not 0 < self.max_request_bytes <= MOST_REQUEST_BYTES:
            given = f"max-request-bytes: {self.max_request_bytes}"
            raise StartupError(f"{given} is no limit for requests; give one from 1 to {MOST_REQUEST_BYTES}.")
        if self.skips < 1:
            raise StartupError(f"skips: {self.skips} is no budget; give how often time may skip, 1 or more.")
        if self.links_keys_file is not None and self.http_port is None:
            raise StartupError("links-keys-file: links are served over HTTP; give an http-port, too.")
        for name, value, choices in (
            ("transport", self.transport, TRANSPORTS),
            ("log-format", self.log_format, LOG_FORMATS),
            ("log-level", self.log_level, LOG_LEVELS),
        ):
            if value not in choices:
                raise StartupError(f"{name}: {value!r} is not one of {', '.join(choices)}.")
