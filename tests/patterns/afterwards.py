"""How the fault matrices of entities look at what has come out."""

import asyncio
import contextlib

from temporalio.client import WorkflowContinuedAsNewError, WorkflowFailureError

ENDS_WITHIN_S = 30
"""A run that was cancelled, when all its activities work."""


@contextlib.contextmanager
def undisturbed(probe):
    """What is done to look at the outcome meets no faults, and adds no moments."""
    moments, labels = [*probe.moments], {**probe.labels}
    probe.actions.clear()
    probe.choices.clear()
    probe.every = None
    try:
        yield
    finally:
        probe.moments, probe.labels = moments, labels


async def check_that_cancels_end_runs(stage):
    """A cancel ends the run. Only a run that a message in the same workflow task has filled may go on instead: the SDK
    tells of messages before it tells of the cancel."""
    for run in await stage.env.histories(stage.id):
        if _since_it_was_cancelled(run):
            await asyncio.wait([asyncio.ensure_future(_end(stage, run.run_id))], timeout=ENDS_WITHIN_S)
    for run in await stage.env.histories(stage.id):
        since = _since_it_was_cancelled(run)
        if since and run.status != "canceled":
            messages = {"workflow_execution_signaled", "workflow_execution_update_accepted"} & set(since)
            assert run.status == "continued as new" and messages, str(run)
            assert since.count("workflow_task_completed") == 1, str(run)


def _since_it_was_cancelled(run):
    names = [event.WhichOneof("attributes").removesuffix("_event_attributes") for event in run.events]
    asked = "workflow_execution_cancel_requested"
    return names[names.index(asked) :] if asked in names else []


async def _end(stage, run_id):
    with contextlib.suppress(WorkflowFailureError, WorkflowContinuedAsNewError):
        await stage.client.get_workflow_handle(stage.id, run_id=run_id).result(follow_runs=False)
