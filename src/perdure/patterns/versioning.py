"""Changes of workflow code under workflows that are running.

The life of a change:

1. Introduce it: the old branch stays for the runs that were past this place already.

       if version("fee-v2"):
           fee = await new_fee(order)
       else:
           fee = await old_fee(order)

2. When `open_runs` says that nothing needs the old branch any more: `version.deprecated("fee-v2")` in place of the
   `if`, and the new branch alone.
3. When all runs that were started before step 2 are closed and out of retention: remove the line.

Never use an id again, and never move a `version(...)` that is deployed.
"""

from __future__ import annotations

from dataclasses import dataclass

from temporalio import workflow
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus

_ATTRIBUTE = "TemporalChangeVersion"


class _Version:
    """See `version`."""

    def __call__(self, change: str) -> bool:
        return workflow.patched(change)

    def deprecated(self, change: str) -> None:
        """The old branch is gone; runs that took the new one still replay. Does not say so for runs that took the old
        one: they fail to replay, so ask `open_runs` first."""
        workflow.deprecate_patch(change)


version = _Version()
"""Whether to take the new branch of a change: `if version("fee-v2"): ...`.

True in runs that get here for the first time, False where an older version of the code has been here already. The first
answer in a run holds for the whole of it, in loops, too. A change costs a run two events (a marker and a search
attribute).
"""


@dataclass(frozen=True)
class OpenRuns:
    """Open runs, by what they have to do with a change. Each is `workflow_id`, `run_id`."""

    new: list[tuple[str, str]]
    """Have taken the new branch, and will."""
    old: list[tuple[str, str]]
    """May still need the old branch: they were started before the change, and have not taken the new one. Some of them
    have taken the old one, the others have not got there; their histories don't tell which."""
    later: list[tuple[str, str]]
    """Were started with the new code and have not got there: they will take the new branch."""

    @property
    def old_branch_needed(self) -> bool:
        """Whether the old branch has to stay."""
        return bool(self.old)


async def open_runs(client: Client, workflow_type: str, change: str, since: str = "") -> OpenRuns:
    """Which open runs of a type still need, or may need, the old branch of a change.

    `since` is when the last worker with the old code went away (RFC 3339); without it runs that have not reached the
    change count as `old`, since old code may have started them. By visibility, which may lag on other servers.

        runs = await open_runs(client, "Order", "fee-v2", since="2026-05-01T00:00:00Z")
        assert not runs.old_branch_needed, runs.old
    """
    for text in (workflow_type, change, since):
        if '"' in text or "\\" in text:
            raise ValueError(f"{text!r} can't be part of a query")
    is_open = f'WorkflowType = "{workflow_type}" AND ExecutionStatus = "Running"'
    everything = [run async for run in client.list_workflows(is_open)]
    changed = {run.run_id async for run in client.list_workflows(f'{is_open} AND {_ATTRIBUTE} = "{change}"')}
    fresh: set[str] = set()
    if since:
        fresh = {run.run_id async for run in client.list_workflows(f'{is_open} AND StartTime >= "{since}"')}
    still = [run for run in everything if run.status is WorkflowExecutionStatus.RUNNING]
    return OpenRuns(
        new=[_ids(run) for run in still if run.run_id in changed],
        old=[_ids(run) for run in still if run.run_id not in changed | fresh],
        later=[_ids(run) for run in still if run.run_id in fresh - changed],
    )


def _ids(run: WorkflowExecution) -> tuple[str, str]:
    return run.id, run.run_id
