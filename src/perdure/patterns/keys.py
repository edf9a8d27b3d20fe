"""Keys by which others recognise that a call is the same one again.

The key of step n of a chain's first run is `WORKFLOW_ID/FIRST_EXECUTION_RUN_ID/step#n`. A run that continues another
(continue-as-new, a retry or cron of the workflow) has that run's id in it, since its steps are new ones:
`WORKFLOW_ID/FIRST_EXECUTION_RUN_ID/CONTINUED_RUN_ID/step#n`. In place of a workflow id of more than `LONGEST` bytes
stands its SHA-256. A key is the activity's id, so activities read it with `idempotency_key()`, whatever their
arguments. It is the same in all attempts and after a reset.
"""

from __future__ import annotations

import hashlib

from temporalio import activity, workflow

UNDO = "/undo"
"""What the key of a compensation has after that of its step."""
LONGEST = 800
"""Bytes of a workflow id that are kept in keys; servers take activity ids of 1,000 bytes."""


def run_key() -> str:
    """What the keys of the current run begin with."""
    info = workflow.info()
    workflow_id = info.workflow_id
    if len(workflow_id.encode()) > LONGEST:
        workflow_id = hashlib.sha256(workflow_id.encode()).hexdigest()
    return "/".join(filter(None, [workflow_id, info.first_execution_run_id, info.continued_run_id]))


def step_key(number: int) -> str:
    """The key of step `number` of the current run, which counts from 1."""
    return f"{run_key()}/step#{number}"


def idempotency_key() -> str:
    """In an activity: the key of this call, to hand to outside APIs and to write next to what is changed.

        @activity.defn
        async def charge(order: Order) -> Receipt:
            return await bank.charge(order.cents, idempotency_key=idempotency_key())

    That of a saga's step stays the same after a reset; that of any other activity has the run's id in it.
    """
    info = activity.info()
    if "/step#" in info.activity_id:
        return info.activity_id
    return f"{info.workflow_id}/{info.workflow_run_id}/{info.activity_id}"


def undone_key() -> str:
    """In a compensation: the key of the step that is to be undone.

        @activity.defn
        async def refund(order: Order) -> None:
            await bank.refund(charge=undone_key())

    A late attempt of that step may still be on its way. So a compensation does not only delete what it finds under this
    key, it also leaves a mark there, by which the step refuses to act.
    """
    key = idempotency_key()
    if not key.endswith(UNDO):
        raise RuntimeError(f"{key} is no compensation")
    return key.removesuffix(UNDO)
