"""Names of task queues as the storage and the matcher know them, and the order of the tasks in one.

The order is one integer, smaller first: all tasks of a priority before those of the next, and by age within one.
"""

from __future__ import annotations

from temporalio.api.common.v1 import Priority

WORKFLOW = "w"
ACTIVITY = "a"
NEXUS = "n"

LEVELS = 5
"""Priorities go from 1, served first, to this."""
DEFAULT_LEVEL = 3
"""The priority of what names none."""
_SPAN_NS = 3 * 10**18
"""More than the time (in the year 2065) of any task; five spans fit into 64 bits around the default's."""


def workflow_queue(namespace_id: str, name: str) -> str:
    return f"{namespace_id}/{WORKFLOW}/{name}"


def activity_queue(namespace_id: str, name: str) -> str:
    return f"{namespace_id}/{ACTIVITY}/{name}"


def nexus_queue(namespace_id: str, name: str) -> str:
    return f"{namespace_id}/{NEXUS}/{name}"


def task_order(now_ns: int, *priorities: bytes) -> int:
    """The place of a task that is ready now. Of serialized priorities, a later one overrides an earlier one."""
    serialized = b"".join(priorities)
    if not serialized:
        return now_ns
    key = Priority.FromString(serialized).priority_key or DEFAULT_LEVEL
    return now_ns + (min(max(key, 1), LEVELS) - DEFAULT_LEVEL) * _SPAN_NS


def level(order: int) -> int:
    """The priority of a task, 1 to `LEVELS`, by its order."""
    return DEFAULT_LEVEL + order // _SPAN_NS


def ready_ns(order: int) -> int:
    """Since when a task waits, by its order."""
    return order % _SPAN_NS


def first_order(level: int) -> int:
    """The lowest order of a priority; all of the next one are at or above that one's."""
    return (level - DEFAULT_LEVEL) * _SPAN_NS
