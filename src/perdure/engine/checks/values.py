"""Rules on single values that commands and requests share: durations, retry policies, task queues, priorities, sizes.

All raise `InvalidArgument` with the real server's words. Those that normalise change the message they are given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload, Priority, RetryPolicy, SearchAttributes
from temporalio.api.enums.v1 import TaskQueueKind, TimeoutType, task_queue_pb2
from temporalio.api.failure.v1 import Failure
from temporalio.api.taskqueue.v1 import TaskQueue

from perdure.config import Dynamic, RetryDefaults
from perdure.engine.payloads import is_null
from perdure.errors import InvalidArgument

NANOS = 1_000_000_000
_INT64 = 1 << 63
MAX_DURATION_S = 100 * 365 * 24 * 3600
"""Longer durations are cut to this: a hundred years, so that a deadline still fits 64 bits of nanoseconds."""

FAIRNESS_KEY_MAX_BYTES = 64
MAX_CAUSES = 90
"""Of a failure: protobuf reads 100 messages within each other."""
TIMEOUT_FAILURE_TYPE_PREFIX = "TemporalTimeout:"
"""With the name of a timeout type after it, a non-retryable error type that means such timeouts."""

BLOB_TOO_LARGE = "Blob data size exceeds limit."
MEMO_TOO_LARGE = "Memo size exceeds limit."

_UUID_TEXT = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_UUID = re.compile(rf"(?:urn:uuid:)?{_UUID_TEXT}|\{{{_UUID_TEXT}\}}|[0-9a-f]{{32}}", re.IGNORECASE | re.ASCII)
_INTERNAL_TASK_QUEUE_PREFIX = "temporal-sys-per-ns-"
_INTERNAL_TASK_QUEUE = "temporal-sys-worker-controller-per-ns-tq"


def byte_length(text: str) -> int:
    """The length that limits are about: bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def is_uuid(text: str) -> bool:
    """Whether a run id is one. Braces, `urn:uuid:` and bare hex digits count, as with the real server."""
    return _UUID.fullmatch(text) is not None


def short_name(full_name: str, prefix: str) -> str:
    """How Temporal prints enum values: `RETRY_STATE_IN_PROGRESS` without its prefix `RETRY_STATE_` is `InProgress`."""
    return "".join(word.capitalize() for word in full_name.removeprefix(prefix).split("_"))


# Durations.


def duration_ns(duration: Duration) -> int:
    return int(duration.seconds) * NANOS + int(duration.nanos)


def set_duration_ns(duration: Duration, value_ns: int) -> None:
    """Sets a duration that may be zero so that it is present in its parent nevertheless."""
    duration.SetInParent()
    if value_ns < 0:
        duration.seconds, duration.nanos = -(-value_ns // NANOS), -(-value_ns % NANOS)
    else:
        duration.seconds, duration.nanos = divmod(value_ns, NANOS)


def cap_duration(duration: Duration) -> str | None:
    """Cuts a duration to `MAX_DURATION_S`. Returns what is wrong with it, or None. An absent one is zero and right."""
    seconds, nanos = duration.seconds, duration.nanos
    if (seconds > 0 and nanos < 0) or (seconds < 0 and nanos > 0):
        return "duration has seconds and nanos with different signs"
    if seconds < 0 or nanos < 0:
        return "negative duration"
    if seconds > MAX_DURATION_S or (seconds == MAX_DURATION_S and nanos > 0):
        duration.seconds, duration.nanos = MAX_DURATION_S, 0
    return None


def run_timeout_ns(run_ns: int, execution_ns: int) -> int:
    """A run's timeout: never beyond the execution's. 0 is no timeout, in and out."""
    return min(run_ns, execution_ns) if run_ns and execution_ns else run_ns or execution_ns


def task_timeout_ns(task_ns: int, run_ns: int, config: Dynamic) -> int:
    """A workflow task's timeout: the default when 0, never beyond the maximum or the run's own timeout."""
    wanted = task_ns or int(config.default_workflow_task_timeout_s * NANOS)
    wanted = min(wanted, int(config.max_workflow_task_timeout_s * NANOS))
    return min(wanted, run_ns) if run_ns else wanted


# Retry policies.


def fill_retry_policy(policy: RetryPolicy, defaults: RetryDefaults) -> None:
    if policy.maximum_attempts == 0:
        policy.maximum_attempts = defaults.maximum_attempts
    if duration_ns(policy.initial_interval) == 0:
        set_duration_ns(policy.initial_interval, int(defaults.initial_interval_s * NANOS))
    if duration_ns(policy.maximum_interval) == 0:
        set_duration_ns(policy.maximum_interval, _default_maximum_ns(duration_ns(policy.initial_interval), defaults))
    if policy.backoff_coefficient == 0:
        policy.backoff_coefficient = defaults.backoff_coefficient


def _default_maximum_ns(initial_ns: int, defaults: RetryDefaults) -> int:
    """As the real server reckons, in 64 bits: of an initial interval that is too long comes a negative one, or a short
    one, and the check refuses both."""
    initial_ns = max(-_INT64, min(initial_ns, _INT64 - 1))
    return (int(defaults.maximum_interval_coefficient) * initial_ns + _INT64) % (2 * _INT64) - _INT64


def check_retry_policy(policy: RetryPolicy) -> None:
    """A policy after `fill_retry_policy`. With one attempt there are no retries, and nothing else is looked at."""
    if policy.maximum_attempts == 1:
        return
    if problem := cap_duration(policy.initial_interval):
        raise InvalidArgument(f"invalid InitialInterval set on retry policy: {problem}")
    if policy.backoff_coefficient < 1:
        raise InvalidArgument("BackoffCoefficient cannot be less than 1 on retry policy.")
    if problem := cap_duration(policy.maximum_interval):
        raise InvalidArgument(f"invalid MaximumInterval set on retry policy: {problem}")
    maximum_ns = duration_ns(policy.maximum_interval)
    if 0 < maximum_ns < duration_ns(policy.initial_interval):
        raise InvalidArgument("MaximumInterval cannot be less than InitialInterval on retry policy.")
    if policy.maximum_attempts < 0:
        raise InvalidArgument("MaximumAttempts cannot be negative on retry policy.")
    for error_type in policy.non_retryable_error_types:
        if error_type.startswith(TIMEOUT_FAILURE_TYPE_PREFIX):
            name = error_type[len(TIMEOUT_FAILURE_TYPE_PREFIX) :]
            if name not in _TIMEOUT_TYPE_NAMES:
                raise InvalidArgument(f"Invalid timeout type value: {name}.")


_TIMEOUT_TYPE_NAMES = frozenset(
    name
    for full, number in TimeoutType.items()
    if number != TimeoutType.TIMEOUT_TYPE_UNSPECIFIED
    for name in (full, short_name(full, "TIMEOUT_TYPE_"))
)


# Task queues.


def check_task_queue(queue: TaskQueue | None, config: Dynamic, *, default: str = "", partition: bool = False) -> None:
    """A task queue as a worker names it; fills in its kind and an absent name.

    `None`: the request has none. `default`: the name an empty one means; empty: a name is required.
    `partition`: names under the reserved prefix, which are partitions, are let through.
    """
    if queue is None:
        raise InvalidArgument("taskQueue is not set")
    if queue.kind == task_queue_pb2.TASK_QUEUE_KIND_UNSPECIFIED:
        queue.kind = task_queue_pb2.TASK_QUEUE_KIND_NORMAL
    if not queue.name:
        if not default:
            raise InvalidArgument("missing task queue name")
        queue.name = default
    _check_task_queue_name(queue.name, config, partition)
    if queue.kind == task_queue_pb2.TASK_QUEUE_KIND_STICKY and queue.normal_name:
        _check_task_queue_name(queue.normal_name, config, partition=True)


def check_user_task_queue(queue: TaskQueue | None, config: Dynamic, *, default: str = "", parent: str = "") -> None:
    """A task queue that a user chose for something new. `parent`: the queue of the workflow that asks, if one does."""
    check_task_queue(queue, config, default=default)
    assert queue is not None
    if _is_internal(queue.name) and not _is_internal(parent):
        where = f" (in parent component task queue: {parent})" if parent else ""
        raise InvalidArgument(f"cannot use internal per-namespace task queue:{queue.name}{where}")


def _check_task_queue_name(name: str, config: Dynamic, partition: bool) -> None:
    if byte_length(name) > config.max_id_length:
        raise InvalidArgument("taskQueue length exceeds limit")
    if not partition and name.startswith(config.reserved_task_queue_prefix):
        raise InvalidArgument(f"task queue name cannot start with reserved prefix {config.reserved_task_queue_prefix}")


def _is_internal(name: str) -> bool:
    return name.startswith(_INTERNAL_TASK_QUEUE_PREFIX) or name == _INTERNAL_TASK_QUEUE


# Priorities.


def check_priority(priority: Priority) -> None:
    if priority.priority_key < 0:
        raise InvalidArgument("priority key can't be negative")
    if byte_length(priority.fairness_key) > FAIRNESS_KEY_MAX_BYTES:
        raise InvalidArgument("fairness key length exceeds limit")
    if priority.fairness_weight < 0:
        raise InvalidArgument("must be greater than zero")


# Sizes.


def exceeds(size: int, warn: int, error: int) -> bool:
    """Whether a size is over its limit. An error limit below the warning limit has no effect of its own."""
    return size > warn and size > error


def check_blob_size(size: int, config: Dynamic, message: str = BLOB_TOO_LARGE) -> None:
    if exceeds(size, config.blob_size_limit_warn_bytes, config.blob_size_limit_error_bytes):
        raise InvalidArgument(message)


def check_causes(failure: Failure) -> None:
    """Clients are given a failure deeper within messages than it came, and it has to be read there, too."""
    causes = 0
    while failure.HasField("cause"):
        failure = failure.cause
        causes += 1
    if causes > MAX_CAUSES:
        raise InvalidArgument(f"Failure is nested too deeply: it has {causes} causes, more than {MAX_CAUSES}.")


def check_memo_size(size: int, config: Dynamic, message: str = MEMO_TOO_LARGE) -> None:
    if exceeds(size, config.memo_size_limit_warn_bytes, config.memo_size_limit_error_bytes):
        raise InvalidArgument(message)


def size_of_map(values: Mapping[str, Message]) -> int:
    """Keys and encoded values, without the frames around them."""
    return sum(byte_length(key) + value.ByteSize() for key, value in values.items())


def size_of_payloads(fields: Mapping[str, Payload]) -> int:
    """Keys and data, without metadata."""
    return sum(byte_length(key) + len(payload.data) for key, payload in fields.items())


def merged(old: Mapping[str, Payload], upserted: Mapping[str, Payload]) -> dict[str, Payload]:
    """The fields of a memo or of search attributes after an upsert; nil payloads take fields away."""
    fields = dict(old)
    for key, payload in upserted.items():
        if is_null(payload):
            fields.pop(key, None)
        else:
            fields[key] = payload
    return fields


def check_search_attributes_size(fields: Mapping[str, Payload], config: Dynamic) -> None:
    limit = config.search_attributes_size_of_value_limit_bytes
    for name, payload in fields.items():
        if len(payload.data) > limit:
            size = len(payload.data)
            raise InvalidArgument(f"search attribute {name} value size {size} exceeds size limit {limit}")
    total = SearchAttributes(indexed_fields=fields).ByteSize() if fields else 0
    if total > config.search_attributes_total_size_limit_bytes:
        limit = config.search_attributes_total_size_limit_bytes
        raise InvalidArgument(f"total size of search attributes {total} exceeds size limit {limit}")


def check_within(count: int, limit: int, what: str) -> None:
    """Refuses one more of something when `count` are there. A limit of 0 or less is none."""
    if 0 < limit <= count:
        raise InvalidArgument(f"the number of {what}, {count}, has reached the per-workflow limit of {limit}")


def printed(queue: TaskQueue) -> str:
    """A task queue inside an error message, as Go prints it."""
    parts: Iterable[str] = (
        f'name:"{queue.name}"' if queue.name else "",
        f"kind:{TaskQueueKind.Name(queue.kind)}" if queue.kind in TaskQueueKind.values() and queue.kind else "",
        f'normal_name:"{queue.normal_name}"' if queue.normal_name else "",
    )
    return " ".join(part for part in parts if part)
