"""Names of task queues as the storage and the matcher know them."""

from __future__ import annotations

WORKFLOW = "w"
ACTIVITY = "a"
NEXUS = "n"


def workflow_queue(namespace_id: str, name: str) -> str:
    return f"{namespace_id}/{WORKFLOW}/{name}"


def activity_queue(namespace_id: str, name: str) -> str:
    return f"{namespace_id}/{ACTIVITY}/{name}"


def nexus_queue(namespace_id: str, name: str) -> str:
    return f"{namespace_id}/{NEXUS}/{name}"
