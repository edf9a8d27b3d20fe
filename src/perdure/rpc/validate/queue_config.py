"""What UpdateTaskQueueConfig may set."""

from __future__ import annotations

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.workflowservice.v1 import UpdateTaskQueueConfigRequest

from perdure.config import Dynamic
from perdure.engine.checks.values import FAIRNESS_KEY_MAX_BYTES, byte_length
from perdure.errors import InvalidArgument

MAX_REASON_BYTES = 1000
TOO_MANY_OVERRIDES = "fairness weight overrides update rejected: exceeding maximum key size"


def queue_config(request: UpdateTaskQueueConfigRequest, config: Dynamic) -> None:
    """Times and rates in the real server's order and words."""
    workflow = request.task_queue_type == TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    if request.update_queue_rate_limit.HasField("rate_limit") and workflow:
        raise InvalidArgument("Setting rate limit on workflow task queues is not allowed.")
    _rate_limit(request.update_queue_rate_limit, "UpdateQueueRateLimit")
    if request.update_fairness_key_rate_limit_default.HasField("rate_limit") and workflow:
        raise InvalidArgument("Setting fairness key rate limit on workflow task queues is not allowed.")
    _rate_limit(request.update_fairness_key_rate_limit_default, "UpdateFairnessKeyRateLimitDefault")
    _text("Identity", request.identity, config.max_id_length)
    _weights(request, config.max_fairness_key_weight_overrides)
    if request.task_queue.startswith(config.reserved_task_queue_prefix):
        prefix = config.reserved_task_queue_prefix
        raise InvalidArgument(f"task queue family name cannot have prefix {prefix} {request.task_queue}")


def _rate_limit(update: UpdateTaskQueueConfigRequest.RateLimitUpdate, label: str) -> None:
    if not update.HasField("rate_limit"):
        return
    if update.rate_limit.requests_per_second < 0:
        raise InvalidArgument(f"RequestsPerSecond for {label} rate limit must be non-negative.")
    _text(f"{label}.Reason", update.reason, MAX_REASON_BYTES)


def _text(name: str, value: str, longest: int) -> None:
    if byte_length(value) > longest:
        raise InvalidArgument(f"{name} field too long (max {longest} characters).")


def _weights(request: UpdateTaskQueueConfigRequest, most: int) -> None:
    weights, unset = request.set_fairness_weight_overrides, request.unset_fairness_weight_overrides
    number = len(weights) + len(unset)
    if number > most:
        raise InvalidArgument(f"too many fairness weight overrides in request: got {number}, maximum {most}")
    for key in (*weights, *unset):
        if not key:
            raise InvalidArgument("fairness weight override key must not be empty")
        if byte_length(key) > FAIRNESS_KEY_MAX_BYTES:
            raise InvalidArgument("fairness key length exceeds limit")
        if key in weights and weights[key] <= 0:
            raise InvalidArgument(f'invalid fairness weight weight for key "{key}": must be greater than zero')
    for key in unset:
        if key in weights:
            raise InvalidArgument(f'fairness weight override key "{key}" present in both set and unset lists')
