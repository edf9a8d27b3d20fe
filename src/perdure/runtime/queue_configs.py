"""What operators set for task queues: rate limits and weights, durable as metadata."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import DecodeError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueueConfig

from perdure.engine.queues import activity_queue, nexus_queue
from perdure.errors import DataLoss
from perdure.runtime.executor import Executor
from perdure.runtime.matching import Matching
from perdure.storage.base import Batch, Storage

PREFIX = "task-queue-config/"
_LIMITED = {
    int(TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY): activity_queue,
    int(TaskQueueType.TASK_QUEUE_TYPE_NEXUS): nexus_queue,
}
"""The types whose tasks are bounded, and the names of their queues in matching."""

_Key = tuple[str, int, str]
"""(namespace id, type, name)"""


def decoded(name: str, blob: bytes) -> tuple[_Key, TaskQueueConfig]:
    """An entry of the metadata whose key begins with `PREFIX`. Raises `DataLoss`."""
    try:
        namespace_id, kind, queue = name.removeprefix(PREFIX).split("/", 2)
        return (namespace_id, int(kind), queue), TaskQueueConfig.FromString(blob)
    except (ValueError, DecodeError) as error:
        raise DataLoss(f"what was set for task queues can't be read at {name!r}") from error


class QueueConfigs:
    """The configurations by namespace, type and name; `load` reads them, and tells matching of their limits."""

    def __init__(self, executor: Executor, matching: Matching) -> None:
        self._executor = executor
        self._matching = matching
        self._configs: dict[_Key, TaskQueueConfig] = {}

    async def load(self, storage: Storage) -> None:
        """What is durable. Raises `DataLoss`."""
        for name, blob in (await storage.meta_all(PREFIX)).items():
            self._set(*decoded(name, blob))

    def get(self, namespace_id: str, kind: int, name: str) -> TaskQueueConfig | None:
        """The configuration of a queue; None if nothing was ever set."""
        return self._configs.get((namespace_id, kind, name))

    def change(self, namespace_id: str, kind: int, name: str, config: TaskQueueConfig) -> None:
        """Replace a configuration. Not durable yet: await `executor.flushed`."""
        key = (namespace_id, kind, name)
        before = self._configs.get(key)
        entry: dict[str, bytes | None] = {_name(key): config.SerializeToString(deterministic=True)}
        self._set(key, config)
        self._write(entry, lambda: self._set(key, before))

    def forget(self, namespace_id: str) -> None:
        """Remove what was set in a namespace that is gone."""
        keys = [key for key in self._configs if key[0] == namespace_id]
        gone = {key: self._configs[key] for key in keys}
        for key in keys:
            self._set(key, None)

        def undo() -> None:
            for key, config in gone.items():
                self._set(key, config)

        if gone:
            self._write({_name(key): None for key in keys}, undo)

    def _write(self, changes: dict[str, bytes | None], undo: object) -> None:
        def write(batch: Batch) -> None:
            batch.meta.update(changes)

        self._executor.write(write, undo)  # type: ignore[arg-type]

    def _set(self, key: _Key, config: TaskQueueConfig | None) -> None:
        if config is None:
            self._configs.pop(key, None)
        else:
            self._configs[key] = config
        self._matching.configure(dict(self._limits(key, config)))

    @staticmethod
    def _limits(key: _Key, config: TaskQueueConfig | None) -> Iterator[tuple[str, float | None]]:
        namespace_id, kind, name = key
        if kind in _LIMITED:
            limited = config is not None and config.queue_rate_limit.HasField("rate_limit")
            rate = config.queue_rate_limit.rate_limit.requests_per_second if config is not None and limited else None
            yield _LIMITED[kind](namespace_id, name), rate


def _name(key: _Key) -> str:
    return PREFIX + "/".join(map(str, key))
