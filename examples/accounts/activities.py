"""What a transfer does to an account: an update with a fixed message id, which a workflow can't send itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from examples.accounts.account import Account

REFUSALS = ("InsufficientFunds", "Closed")
"""Answers of an account. Every other error leaves open whether it has acted: ask again."""


@dataclass(frozen=True)
class Step:
    step: str
    account: str
    transfer: str
    cents: list[int]


def account(client: Client, name: str, task_queue: str) -> Account:
    return Account.of(client, f"account-{name}", task_queue=task_queue, patience=timedelta(seconds=20))


@activity.defn
async def act(step: Step) -> None:
    to = account(activity.client(), step.account, activity.info().task_queue)
    key = f"{step.transfer}/{step.step}"
    try:
        if step.step == "hold":
            await to.hold(step.transfer, *step.cents, message_id=key)
        elif step.step == "credit":
            await to.credit(step.transfer, *step.cents, message_id=key)
        else:
            await {"settle": to.settle, "forget": to.forget, "release": to.release}[step.step](
                step.transfer, message_id=key
            )
    except WorkflowUpdateFailedError as error:
        if isinstance(error.cause, ApplicationError) and error.cause.type in REFUSALS:
            raise error.cause from None
        raise
