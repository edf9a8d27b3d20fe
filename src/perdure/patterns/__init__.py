"""Patterns of orchestration, ready to use, on the public `temporalio` API alone: they run on every Temporal cluster.

    from perdure.patterns import Saga, options

The implementation passes through the workflow sandbox: it is loaded once, not for each workflow. docs/PATTERNS.md says
when to use which.
"""

from temporalio import workflow as _workflow

with _workflow.unsafe.imports_passed_through():
    from perdure.patterns import options
    from perdure.patterns.compensation import Left, SagaReport
    from perdure.patterns.keys import idempotency_key, undone_key
    from perdure.patterns.options import Options
    from perdure.patterns.resume import SagaResume, resume, what_is_left
    from perdure.patterns.saga import Parallel, Saga, SagaDeadline, SagaStuck, method
    from perdure.patterns.versioning import OpenRuns, open_runs, version

__all__ = [
    "Left",
    "OpenRuns",
    "Options",
    "Parallel",
    "Saga",
    "SagaDeadline",
    "SagaReport",
    "SagaResume",
    "SagaStuck",
    "idempotency_key",
    "method",
    "open_runs",
    "options",
    "resume",
    "undone_key",
    "version",
    "what_is_left",
]
