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
from datetime import UTC, datetime, timedelta

from temporalio import workflow
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from perdure.patterns.listing import described, listed_open

_ATTRIBUTE = "TemporalChangeVersion"


class _Version:
    """See `version`."""

    def __call__(self, change: str) -> bool:
        return workflow.patched(change)

    def deprecated(self, change: str) -> None:
        """The old branch is gone; runs that took the new one still replay.

            version.deprecated("fee-v2")
            fee = await new_fee(order)

        Runs that took the old one fail to replay, so ask `open_runs` first.
        """
        workflow.deprecate_patch(change)


version = _Version()
"""Whether to take the new branch of a change.

    if version("fee-v2"):
        fee = await new_fee(order)
    else:
        fee = await old_fee(order)

True in runs that get here for the first time, False where an older version of the code has been here already. The first
answer in a run holds for the whole of it, in loops, too. A change costs a run two events (a marker and a search
attribute).
"""


@dataclass(frozen=True)
class OpenRuns:
    """Open runs, by what they have to do with a change. Each is `workflow_id`, `run_id`.

    runs = await open_runs(client, "Order", "fee-v2")
    for workflow_id, run_id in runs.old:
        print(workflow_id, run_id, "still needs the old branch")
    """

    new: list[tuple[str, str]]
    """Have taken the new branch, and will."""
    old: list[tuple[str, str]]
    """May still need the old branch: they were started before the change (what was reset: its first run), and have not
    taken the new one. Some of them have taken the old one, the others have not got there; no history tells which."""
    later: list[tuple[str, str]]
    """Were started with the new code and have not got there: they will take the new branch."""

    @property
    def old_branch_needed(self) -> bool:
        """Whether the old branch has to stay."""
        return bool(self.old)


async def open_runs(client: Client, workflow_type: str, change: str, since: str = "") -> OpenRuns:
    """Which open runs of a type still need, or may need, the old branch of a change; those that are paused, too.

        runs = await open_runs(client, "Order", "fee-v2", since="2026-05-01T00:00:00Z")
        assert not runs.old_branch_needed, runs.old

    `since` is when the last worker with the old code went away (RFC 3339); without it runs that have not reached the
    change count as `old`, since old code may have started them. By visibility, which may lag on other servers; what was
    started later is described one by one. Raises `ValueError` for a time without an offset.
    """
    for text in (workflow_type, change):
        if '"' in text or "\\" in text:
            raise ValueError(f"{text!r} can't be part of a query")
    since_ns = _ns(since) if since else None
    of_type = f'WorkflowType = "{workflow_type}"'
    everything = await listed_open(client, of_type)
    changed = {run.execution.run_id for run in await listed_open(client, f'{of_type} AND {_ATTRIBUTE} = "{change}"')}
    runs = OpenRuns([], [], [])
    for run in everything:
        if run.execution.run_id in changed:
            found = runs.new
        else:
            found = runs.later if since_ns is not None and await _began_since(client, run, since_ns) else runs.old
        found.append((run.execution.workflow_id, run.execution.run_id))
    return runs


async def _began_since(client: Client, run: WorkflowExecutionInfo, since_ns: int) -> bool:
    """A reset gives a run that starts now, and goes on with what another has done: a description tells when that was
    started, no listing does."""
    if run.start_time.ToNanoseconds() < since_ns:
        return False
    try:
        about = await described(client, run.execution.workflow_id, run.execution.run_id)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return True
    return about.workflow_extended_info.original_start_time.ToNanoseconds() >= since_ns


def _ns(time: str) -> int:
    told = datetime.fromisoformat(time)
    if told.tzinfo is None:
        raise ValueError(f"{time} has no offset: say {time}Z if it is in UTC")
    return (told - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000
