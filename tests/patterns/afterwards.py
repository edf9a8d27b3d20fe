"""How the fault matrices of entities look at what has come out."""

import asyncio
import contextlib

from temporalio.client import WorkflowContinuedAsNewError, WorkflowFailureError

ENDS_WITHIN_S = 30
"""A run that was cancelled, when all its activities work."""
CANCEL = "workflow_execution_cancel_requested"
MESSAGES = {"workflow_execution_signaled", "workflow_execution_update_accepted"}


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
            assert run.status == "continued as new" and MESSAGES & set(_of_the_task(run)), str(run)
            assert since.count("workflow_task_completed") == 1, str(run)


async def all_runs(stage):
    """Of the workflow's id, to the one that nothing continues: a run may do so between the listing and a look at it."""
    while (runs := await stage.env.histories(stage.id))[-1].status == "continued as new":
        await asyncio.sleep(0)
    return runs


def _names(run):
    return [event.WhichOneof("attributes").removesuffix("_event_attributes") for event in run.events]


def _since_it_was_cancelled(run):
    names = _names(run)
    return names[names.index(CANCEL) :] if CANCEL in names else []


def _of_the_task(run):
    """What the workflow task that told of the cancel told of: all since the last one that was answered before."""
    names = _names(run)
    before = names[: names.index(CANCEL)]
    answered = [number for number, name in enumerate(before) if name == "workflow_task_completed"]
    return names[answered[-1] + 1 if answered else 0 :]


async def _end(stage, run_id):
    with contextlib.suppress(WorkflowFailureError, WorkflowContinuedAsNewError):
        await stage.client.get_workflow_handle(stage.id, run_id=run_id).result(follow_runs=False)
