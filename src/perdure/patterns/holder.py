"""What a run has one of: the handler of a query holds it, so the SDK keeps it for as long as the run is in memory."""

from typing import TypeVar

from temporalio import workflow

T = TypeVar("T")


def held(query: str, kind: type[T]) -> T | None:
    """The object one of whose methods answers that query of the current run; None if there is none of that kind."""
    found = getattr(workflow.get_query_handler(query), "__self__", None)
    return found if isinstance(found, kind) else None
