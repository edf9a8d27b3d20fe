"""Which tasks hold the clock of a namespace (see `skipping.py`), and what to say of them."""

from __future__ import annotations

from collections.abc import Iterator

from perdure.engine.execution import Activity, Item, Update, UpdateState, WorkflowTask
from perdure.engine.queues import workflow_queue
from perdure.runtime.matching import Matching
from perdure.runtime.namespace_time import NamespaceTime
from perdure.runtime.run import Run

POLLED_WITHIN_S = 1.0
"""A queue whose worker polled this lately is polled: it may be between two polls."""


class Tasks:
    def __init__(self, matching: Matching) -> None:
        self._matching = matching

    def held(self, time: NamespaceTime) -> Iterator[tuple[object, str]]:
        """What a worker has or is about to get: a token and a text for each."""
        for pending, (run, item) in time.tasks.items():
            if run.deleted or not run.execution.running:
                continue
            if (pending, getattr(item, "started_ns", 0)) in time.abandoned or _identity(item) in time.gone:
                continue
            if item_text := self._text(time, run, item):
                yield (pending, getattr(item, "attempt", 0)), item_text

    def _text(self, time: NamespaceTime, run: Run, item: Item) -> str:
        """What to say of a task that holds time; empty if it does not."""
        workflow_id = run.core.workflow_id
        if isinstance(item, Update):
            return f"update {item.update_id} of workflow {workflow_id} is not accepted yet"
        assert isinstance(item, WorkflowTask | Activity)
        what = (
            "workflow task" if isinstance(item, WorkflowTask) else f"activity {item.activity_type}#{item.activity_id}"
        )
        if item.started_ns:
            return f"{what} of workflow {workflow_id} is with worker {_identity(item)}"
        queue = item.queue or ""
        if isinstance(item, WorkflowTask) and item.sticky and not self._matching.has_pollers(queue, POLLED_WITHIN_S):
            queue = workflow_queue(run.core.namespace_id, run.core.task_queue)
        if queue in time.expected or self._matching.has_pollers(queue, POLLED_WITHIN_S):
            return f"{what} of workflow {workflow_id} waits for a worker that polls"
        return ""

    def idle(self, time: NamespaceTime) -> Iterator[str]:
        """Tasks that are ready and that no worker polls for. They don't hold time, but a test may wait for them."""
        for run, item in time.tasks.values():
            if isinstance(item, Update) or run.deleted:
                continue
            assert isinstance(item, WorkflowTask | Activity)
            if not item.started_ns and not self._text(time, run, item):
                what = "workflow task" if isinstance(item, WorkflowTask) else f"activity {item.activity_type}"
                yield (f"{what} of workflow {run.core.workflow_id}: no worker polls queue {item.task_queue}")


def holds(item: Item) -> bool:
    """Whether the item is a task that is ready or handed out, or an update that no worker has accepted yet."""
    if isinstance(item, Update):
        return item.state <= UpdateState.SENT
    return isinstance(item, WorkflowTask | Activity) and bool(item.started_ns or item.queue)


def _identity(item: Item) -> str:
    """Of the worker that has the task; empty if none has."""
    if isinstance(item, WorkflowTask) and item.started_ns:
        return item.identity
    return item.last_identity if isinstance(item, Activity) and item.started_ns else ""
