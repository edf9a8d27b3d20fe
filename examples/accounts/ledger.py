"""The audit: what the accounts' histories say, message by message, in the order in which they acted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus


@dataclass(frozen=True, order=True)
class Effect:
    """An update that an account has accepted and done."""

    when: tuple[int, int]
    account: str
    step: str
    message_id: str
    transfer: str
    cents: int


async def effects(client: Client, account: str) -> list[Effect]:
    """Of all runs of an account, each message once."""
    found: dict[str, Effect] = {}
    async for events in runs(client, account):
        accepted: dict[int, Any] = {}
        for event in events:
            if event.HasField("workflow_execution_update_accepted_event_attributes"):
                accepted[event.event_id] = event.workflow_execution_update_accepted_event_attributes.accepted_request
            elif event.HasField("workflow_execution_update_completed_event_attributes"):
                done = event.workflow_execution_update_completed_event_attributes
                request = accepted[done.accepted_event_id].input
                if done.outcome.HasField("success"):
                    envelope, *args = await client.data_converter.decode(request.args.payloads)
                    key = envelope["perdure_message"]
                    transfer, cents = (args or [key])[0], sum(args[1:])
                    if request.name == "deposit":
                        transfer, cents = key, args[0]
                    when = (event.event_time.ToNanoseconds(), event.event_id)
                    found.setdefault(key, Effect(when, account, request.name, key, transfer, cents))
    return list(found.values())


async def runs(client: Client, account: str) -> AsyncIterator[list[Any]]:
    """Their events, oldest run first."""
    run_id = ""
    described = await client.get_workflow_handle(account).describe()
    assert described.status is WorkflowExecutionStatus.RUNNING
    chain: list[list[Any]] = []
    run_id = described.run_id
    while run_id:
        history = await client.get_workflow_handle(account, run_id=run_id).fetch_history()
        chain.insert(0, list(history.events))
        run_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
    for events in chain:
        yield events


@dataclass
class Audit:
    """What the effects come to."""

    deposited: int
    moments: int
    """At each of which balances and holds were what was deposited."""
    balances: dict[str, int]
    held: int


def audit(all_effects: list[Effect]) -> Audit:
    """Add up the effects one by one. Raises `AssertionError` at the first moment at which money was made or lost.

    A hold counts until its money has arrived; then it is a note that is taken away by and by.
    """
    balances: dict[str, int] = {}
    holds: dict[str, int] = {}
    arrived: set[str] = set()
    deposited = 0
    for effect in sorted(all_effects):
        here = balances.setdefault(effect.account, 0)
        if effect.step == "deposit":
            deposited += effect.cents
            here += effect.cents
        elif effect.step == "hold":
            assert effect.transfer not in holds, f"{effect.transfer} holds twice"
            here -= effect.cents
            holds[effect.transfer] = effect.cents
        elif effect.step == "credit":
            assert holds[effect.transfer] == effect.cents and effect.transfer not in arrived, effect
            here += effect.cents
            arrived.add(effect.transfer)
        elif effect.step == "settle":
            assert effect.transfer in arrived, f"{effect.transfer} is settled and has not arrived"
            del holds[effect.transfer]
        elif effect.step == "release":
            assert effect.transfer not in arrived, f"{effect.transfer} is released and has arrived"
            here += holds.pop(effect.transfer, 0)
        assert here >= 0, f"{effect.account} has {here} cents"
        balances[effect.account] = here
        held = sum(cents for transfer, cents in holds.items() if transfer not in arrived)
        total = sum(balances.values()) + held
        assert total == deposited, f"{total} cents of {deposited} after {effect}"
    return Audit(deposited, len(all_effects), balances, sum(holds.values()))
