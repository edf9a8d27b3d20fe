"""The differences from the reference that stand, one by one; a path is one leaf of a scenario's record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Accepted:
    """At `path` of the record of `scenario` the two servers differ, because of `reason`."""

    scenario: str
    path: str
    reference: Any
    perdure: Any
    reason: str


_NO_RATE_LIMIT = "Perdure has no limit on the rate of tasks, so it tells of none."
_NO_EMPTY_PAGE = "The reference follows a last page that is full with an empty one; Perdure's last page says so itself."
_RATE_LIMIT = {"requests_per_second": 4000.0, "rate_limit_source": "SYSTEM"}

DIFFERENCES: tuple[Accepted, ...] = (
    *(
        Accepted(
            "namespace/task_queue_is_described",
            f"calls[{i}].reply.effective_rate_limit",
            _RATE_LIMIT,
            None,
            _NO_RATE_LIMIT,
        )
        for i in (0, 2, 3)
    ),
    Accepted("history/in_pages_of_one", "calls[5].reply.next_page_token", "token", None, _NO_EMPTY_PAGE),
    Accepted(
        "history/in_pages_of_one",
        "calls[6]",
        {
            "call": "GetWorkflowExecutionHistory",
            "request": {
                "namespace": "default",
                "execution": {"workflow_id": "wf"},
                "maximum_page_size": 1,
                "next_page_token": "token",
            },
            "reply": {"history": {}},
        },
        None,
        _NO_EMPTY_PAGE,
    ),
)
