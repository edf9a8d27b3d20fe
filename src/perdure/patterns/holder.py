"""What a run has one of, and where it comes from."""

from typing import TypeVar

from temporalio import workflow

T = TypeVar("T")


def held(query: str, kind: type[T]) -> T | None:
    """The object one of whose methods answers that query of the current run; None if there is none of that kind.

    The query's handler is what holds it, so the SDK keeps it for as long as the run is in memory."""
    found = getattr(workflow.get_query_handler(query), "__self__", None)
    return found if isinstance(found, kind) else None


def was_reset() -> bool:
    """Whether a reset has made this run, which is handed again then what came behind that point. In validators alone:
    replayers give a run the id that it was started with."""
    info = workflow.info()
    return getattr(info, "original_execution_run_id", info.run_id) != info.run_id  # older SDKs don't tell it
