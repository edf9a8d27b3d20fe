"""What has to be true of a run that a reset made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from tests.simulation.entities import NO_SIGNALS

if TYPE_CHECKING:
    from tests.simulation.ledger import Ledger
    from tests.simulation.records import Record

RESET = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW


def beginning(record: Record) -> Any:
    """The event that says by which reset a run began; None for other runs."""
    for number, name in enumerate(record.names, 1):
        if name == "WORKFLOW_TASK_FAILED":
            event = HistoryEvent.FromString(record.events[number - 1])
            a = event.workflow_task_failed_event_attributes
            if a.cause == RESET and a.new_run_id == record.who.run_id:
                return event
    return None


def check(ledger: Ledger, record: Record, event: Any) -> None:
    """Right after the batch with which the run began."""
    a = event.workflow_task_failed_event_attributes
    base = ledger.by_run_id.get(a.base_run_id)
    if base is None:
        record.complain(f"it was reset from {a.base_run_id}, which is not durable")
        return
    record.reset_from = a.base_run_id
    number = event.event_id
    if number > len(base.events) or base.events[number - 2] != record.events[number - 2]:
        number -= 1  # the workflow task was only scheduled: its start is of the new run
    if record.events[: number - 1] != base.events[: number - 1]:
        record.complain(f"its history is not that of {base.name} up to event {number}")
    if not base.end:
        record.complain(f"it was reset from {base.name}, which goes on")
    _check_signals(ledger, record, base, number, a.failure.message)
    _check_repeats(ledger, record, a)
    if base.ended_ns == record.begun_ns:  # a run that had ended before was told nothing more
        ledger.take_over_children(base.who.run_id, record.who.run_id, number)


def _check_signals(ledger: Ledger, record: Record, base: Record, number: int, reason: str) -> None:
    """Those behind the point, also of the runs that continued the old one, are there once more, in their order."""
    wanted: list[str] = []
    last: Record | None = base
    while last is not None and not reason.endswith(NO_SIGNALS):
        wanted += [name for at, name in last.signal_events if last is not base or at >= number]
        if last.deleted:
            return  # what is being deleted may be seen or not
        last = _continuation(ledger, last)
    found = [name for at, name in record.signal_events if at >= number]
    for name in record.again:
        if found.count(name) > wanted.count(name):
            record.complain(f"signal {name} was delivered twice")
    if found[: len(wanted)] != wanted or set(found[len(wanted) :]) & {name for _, name in base.signal_events}:
        record.complain(f"it was reset from {base.name}: signals {wanted} are to be applied again, and {found} were")


def _continuation(ledger: Ledger, record: Record) -> Record | None:
    if record.end != "WORKFLOW_EXECUTION_CONTINUED_AS_NEW":
        return None
    event = HistoryEvent.FromString(record.events[-1])
    return ledger.by_run_id.get(event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id)


def _check_repeats(ledger: Ledger, record: Record, a: Any) -> None:
    """A batch job resets each run once."""
    reason = a.failure.message
    if reason.startswith("batch"):
        key = (reason, a.base_run_id)
        if key in ledger.batch_resets:
            record.complain(f"batch job {reason} has reset {a.base_run_id} twice")
        ledger.batch_resets.add(key)
