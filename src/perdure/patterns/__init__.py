"""Patterns of orchestration, ready to use, on the public `temporalio` API alone: they run on every Temporal cluster.

    from perdure.patterns import Saga, options

The implementation passes through the workflow sandbox: it is loaded once, not for each workflow. docs/PATTERNS.md says
when to use which. `idempotent` and `Store` are loaded on first use, with SQLAlchemy.
"""

from typing import TYPE_CHECKING, Any

from temporalio import workflow as _workflow

with _workflow.unsafe.imports_passed_through():
    from perdure.patterns import options
    from perdure.patterns.answers import Approvals, Callbacks
    from perdure.patterns.approval import Notice, approval
    from perdure.patterns.callback import CallbackAddress, CallbackState, callback
    from perdure.patterns.callback_errors import CallbackExpired, CallbackFailed, CallbackStalled
    from perdure.patterns.compensation import Left, SagaReport
    from perdure.patterns.entity import DeadLetter, Entity, Limits, check, query, signal, update, upgrade
    from perdure.patterns.fanout.api import fan_out, retry_failed
    from perdure.patterns.fanout.flat import FanOut, FanOutStream
    from perdure.patterns.fanout.large import FanOutPages, fan_out_progress
    from perdure.patterns.fanout.leaf import FanOutLeaf
    from perdure.patterns.fanout.outcome import FanOutCancelled, FanOutFailed, FanOutProgress, Outcome
    from perdure.patterns.fanout.pages import Fold, Page, Pages, Remaining, Summary
    from perdure.patterns.fanout.tree import FanOutTree
    from perdure.patterns.keys import idempotency_key, undone_key
    from perdure.patterns.options import Options
    from perdure.patterns.payloads import large_payloads
    from perdure.patterns.plugin import PatternsPlugin
    from perdure.patterns.poll import Polled, PollMany, poll
    from perdure.patterns.polled import GaveUp, polled, polled_many
    from perdure.patterns.progress import Progress, progress
    from perdure.patterns.replies import Reply
    from perdure.patterns.resume import SagaResume, resume, what_is_left
    from perdure.patterns.saga import Parallel, Saga, SagaDeadline, SagaStuck, method
    from perdure.patterns.versioning import OpenRuns, open_runs, version
    from perdure.patterns.votes import Answer, ApprovalRequest, ApprovalState, AuditEntry, Decision
    from perdure.patterns.waits import Waits

if TYPE_CHECKING:
    from perdure.patterns.idempotency import Store as Store
    from perdure.patterns.idempotency import idempotent as idempotent

__all__ = [
    "Answer",
    "ApprovalRequest",
    "ApprovalState",
    "Approvals",
    "AuditEntry",
    "CallbackAddress",
    "CallbackExpired",
    "CallbackFailed",
    "CallbackStalled",
    "CallbackState",
    "Callbacks",
    "DeadLetter",
    "Decision",
    "Entity",
    "FanOut",
    "FanOutCancelled",
    "FanOutFailed",
    "FanOutLeaf",
    "FanOutPages",
    "FanOutProgress",
    "FanOutStream",
    "FanOutTree",
    "Fold",
    "GaveUp",
    "Left",
    "Limits",
    "Notice",
    "OpenRuns",
    "Options",
    "Outcome",
    "Page",
    "Pages",
    "Parallel",
    "PatternsPlugin",
    "PollMany",
    "Polled",
    "Progress",
    "Remaining",
    "Reply",
    "Saga",
    "SagaDeadline",
    "SagaReport",
    "SagaResume",
    "SagaStuck",
    "Store",
    "Summary",
    "Waits",
    "approval",
    "callback",
    "check",
    "fan_out",
    "fan_out_progress",
    "idempotency_key",
    "idempotent",
    "large_payloads",
    "method",
    "open_runs",
    "options",
    "poll",
    "polled",
    "polled_many",
    "progress",
    "query",
    "resume",
    "retry_failed",
    "signal",
    "undone_key",
    "update",
    "upgrade",
    "version",
    "what_is_left",
]


def __getattr__(name: str) -> Any:
    if name in ("Store", "idempotent"):
        with _workflow.unsafe.imports_passed_through():
            from perdure.patterns import idempotency
        return getattr(idempotency, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
