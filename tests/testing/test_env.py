"""The fixture `perdure`, as a test uses it."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    PauseWorkflowExecutionRequest,
    ResetWorkflowExecutionRequest,
    UnpauseWorkflowExecutionRequest,
)
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner
from tests.testing.workflows import Broken, Carrier, Once, Order, Receipt, Shop, Sleeper, charge_card, reserve

from perdure.testing import Env, Stalled, WorkflowTaskFailed, assert_replays
from perdure.testing.watch import _soon

BOOK = Order("book", 20)


def shop(perdure: Env, **charge):
    activities = [
        perdure.mock(reserve, returns="shelf 3"),
        perdure.mock(charge_card, **(charge or {"returns": Receipt(7)})),
        perdure.mock(Carrier.ship, returns=True),
    ]
    return perdure.worker(Shop, activities=activities)


async def test_a_workflow_with_mocked_activities(perdure: Env) -> None:
    reserved = perdure.mock(reserve, returns="shelf 3")
    charged = perdure.mock(charge_card, raises=[ApplicationError("declined"), None], returns=Receipt(7))
    shipped = perdure.mock(Carrier().ship, side_effect=lambda order, receipt: order == BOOK and receipt.number == 7)
    began = perdure.now()
    async with perdure.worker(Shop, activities=[reserved, charged, shipped]):
        handle = await perdure.start(Shop.run, BOOK)
        assert await handle.result() == 7
    assert perdure.now() - began >= timedelta(days=1)
    assert [call.args for call in reserved.calls] == [(BOOK,)]
    assert [call.attempt for call in charged.calls] == [1, 2]
    assert str(charged.calls[0].error) == "declined" and charged.calls[1].result == Receipt(7)
    assert shipped.args == [(BOOK, Receipt(7))] and shipped.calls[0].result is True


async def test_a_history_tells_what_happened(perdure: Env) -> None:
    async with shop(perdure, raises=[ApplicationError("declined")], returns=Receipt(7)):
        handle = await perdure.start(Shop.run, BOOK, id="order")
        await handle.signal(Shop.wrap, "red")
        assert await handle.execute_update(Shop.price, 5, id="cheaper") == 5
        assert await handle.result() == 7
    history = await perdure.history(handle)
    history.assert_order("reserve", "charge", "ship")
    history.assert_order("wrap", "ship")
    history.assert_activities("reserve", "charge", "ship")
    with pytest.raises(AssertionError, match="no charge after ship"):
        history.assert_order("ship", "charge")
    charge = history.activity("charge")
    assert (charge.status, charge.attempts, charge.failure, charge.result) == (
        "completed",
        2,
        "declined",
        {"number": 7},
    )
    assert charge.args == [{"item": "book", "price": 20}]
    day = next(timer for timer in history.timers if timer.delay == timedelta(days=1))
    assert day.status == "fired" and day.duration == timedelta(days=1)
    [update] = history.updates("price")
    assert (update.id, update.args, update.result) == ("cheaper", [5], 5)
    assert update.duration is not None and timedelta(hours=1) <= update.duration < timedelta(hours=2)
    [signal] = history.signals()
    assert (signal.name, signal.args) == ("wrap", ["red"])
    assert (history.status, history.result, history.workflow_type) == ("completed", 7, "Shop")


async def test_a_timeline_can_be_read(perdure: Env) -> None:
    async with shop(perdure, raises=[ApplicationError("declined")], returns=Receipt(7)):
        await perdure.execute(Shop.run, BOOK, id="order")
    text = str(await perdure.history("order"))
    assert "order Shop({'item': 'book', 'price': 20})" in text
    assert "completed after 1d 00:00:0" in text.splitlines()[0]
    assert "activity charge#2({'item': 'book', 'price': 20}) completed" in text
    assert "attempt 2: declined" in text
    assert "timer 1 of 1d 00:00:00 fired after 1d 00:00:00" in text


async def test_each_run_of_a_workflow_that_was_reset_has_its_own_run_id(perdure: Env) -> None:
    async with perdure.worker(Sleeper):
        handle = await perdure.start(Sleeper.run, 1)
        await handle.result()
        made = await perdure.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=perdure.namespace,
                workflow_execution=WorkflowExecution(workflow_id=handle.id),
                workflow_task_finish_event_id=4,
                request_id="once",
            )
        )
        await perdure.client.get_workflow_handle(handle.id, run_id=made.run_id).result()
    assert [run.run_id for run in await perdure.histories(handle.id)] == [handle.first_execution_run_id, made.run_id]


@pytest.mark.perdure(time="manual")
async def test_a_manual_clock_moves_by_advance_alone(perdure: Env) -> None:
    async with perdure.worker(Sleeper):
        handle = await perdure.start(Sleeper.run, 30.0)
        await perdure.advance(timedelta(days=29))
        assert await perdure.open_workflows() == [handle.id]
        await perdure.advance(timedelta(days=1))
        assert await perdure.open_workflows() == []


@pytest.mark.perdure(time="manual")
async def test_advance_until(perdure: Env) -> None:
    charged = perdure.mock(charge_card, raises=ApplicationError("declined"))
    began = perdure.now()
    async with perdure.worker(Shop, activities=[perdure.mock(reserve, returns="x"), charged]):
        await perdure.start(Shop.run, BOOK)
        await perdure.advance_until(lambda: len(charged.calls) == 10)
        assert len(charged.calls) == 10
        assert timedelta(minutes=4) < perdure.now() - began < timedelta(hours=1)
        with pytest.raises(AssertionError, match="did not come true within"):
            await perdure.advance_until(lambda: len(charged.calls) == 100, limit=timedelta(hours=1))


@pytest.mark.perdure(time="real")
async def test_a_real_clock_can_not_be_moved(perdure: Env) -> None:
    async with perdure.worker(Sleeper):
        handle = await perdure.start(Sleeper.run, 0.000_002)
        await handle.result()
        with pytest.raises(Exception, match="is real"):
            await perdure.advance(timedelta(days=1))


async def test_a_blocked_activity_holds_time_until_it_is_released(perdure: Env) -> None:
    slow = perdure.mock(reserve, blocks=True, returns="late")
    async with perdure.worker(Once, activities=[slow]):
        handle = await perdure.start(Once.run, BOOK)
        result = asyncio.create_task(handle.result())
        call = await slow.called()
        before = perdure.now()
        assert "activity reserve#1 of workflow" in perdure.why_time_stands()
        slow.release()
        assert await result == "late"
        assert perdure.now() - before < timedelta(hours=1)
        assert call.result == "late"


async def test_advance_fires_the_timeout_of_an_activity_that_hangs(perdure: Env) -> None:
    stuck = perdure.mock(reserve, blocks=True)
    async with perdure.worker(Once, activities=[stuck]):
        handle = await perdure.start(Once.run, BOOK)
        await stuck.called()
        await perdure.advance(timedelta(hours=2))
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    assert (await perdure.history(handle)).activity("reserve").status == "timed out"


async def test_a_failing_workflow_task_fails_the_test_at_once(perdure: Env) -> None:
    async with perdure.worker(Broken):
        with pytest.raises(WorkflowTaskFailed, match="a bug of the workflow"):
            await perdure.execute(Broken.run)
    perdure.allow_task_failures()
    assert len(perdure.task_failures) == 1


async def test_failing_workflow_tasks_can_be_allowed(perdure: Env) -> None:
    perdure.allow_task_failures()
    async with perdure.worker(Broken):
        handle = await perdure.start(Broken.run)
        while not perdure.task_failures:
            await perdure.settle()
        await handle.terminate()


@pytest.mark.perdure(stall_s=2)
async def test_a_test_that_waits_for_nothing_is_told_why(perdure: Env) -> None:
    with pytest.raises(Stalled, match=r"workflow task of workflow w: no worker polls queue nobody"):
        await perdure.execute(Sleeper.run, 1.0, id="w", task_queue="nobody")


@pytest.mark.perdure(stall_s=1)
async def test_a_test_that_polls_by_query_is_told_that_this_moves_no_time(perdure: Env) -> None:
    async with perdure.worker(Sleeper):
        handle = await perdure.start(Sleeper.run, 1.0)
        with pytest.raises(Stalled, match="polling by query does not let time skip: wait for a result"):
            while True:
                await handle.query("__temporal_workflow_metadata")


@pytest.mark.perdure(skips=5)
async def test_an_endless_workflow_stops_at_the_budget_of_skips(perdure: Env) -> None:
    async with perdure.worker(Sleeper):
        with pytest.raises(Stalled, match="budget of skips is spent"):
            await perdure.execute(Sleeper.run, 1.0, cron_schedule="@daily")


async def test_wrong_use_of_an_activity_fails_the_test(perdure: Env) -> None:
    async with perdure.worker(Once, activities=[perdure.mock(reserve, returns=Receipt(1))]):
        with pytest.raises(AssertionError, match="the mock of reserve gives"):
            await perdure.execute(Once.run, BOOK)
    perdure._watch.problems.clear()


async def test_faults_go_unnoticed_by_a_correct_workflow(perdure: Env) -> None:
    perdure.faults(evict_every_task=True, duplicate_attempts=True)
    async with shop(perdure):
        handle = await perdure.start(Shop.run, BOOK)
        assert await handle.result() == 7
    assert [step.attempts for step in (await perdure.history(handle)).activities()] == [2, 2, 2]


async def test_a_saved_history_replays(perdure: Env, tmp_path: Path) -> None:
    async with shop(perdure):
        handle = await perdure.start(Shop.run, BOOK)
        await handle.result()
    (await perdure.history(handle)).save(tmp_path / "order.json")
    assert_replays(Shop, tmp_path / "*.json")
    with pytest.raises(AssertionError, match="no history matches"):
        assert_replays(Shop, tmp_path / "*.txt")
    other = (tmp_path / "order.json").read_text().replace("reserve", "unreserve")
    (tmp_path / "other.json").write_text(other)
    (tmp_path / "third.json").write_text((tmp_path / "order.json").read_text())
    with pytest.raises(AssertionError, match=r"other\.json does not replay") as raised:
        assert_replays([Shop], tmp_path / "*.json")
    assert str(raised.value).count("does not replay") == 1, "those before and after it do"


@pytest.mark.parametrize("perdure", ["manual"], indirect=True)
def test_a_test_without_a_loop_has_an_env_too(perdure: Env) -> None:
    assert "moved by hand" in perdure.why_time_stands()


@pytest.mark.perdure(time="manual")
async def test_a_workflow_that_is_paused_is_open(perdure: Env) -> None:
    async with perdure.worker(Sleeper):
        handle = await perdure.start(Sleeper.run, 60, id="sleeps")
        await perdure.settle()
        names = {"namespace": perdure.namespace, "workflow_id": handle.id}
        await perdure.client.workflow_service.pause_workflow_execution(PauseWorkflowExecutionRequest(**names))
        await perdure.advance(timedelta(minutes=5))
        assert await perdure.open_workflows() == ["sleeps"]
        [history] = await perdure.histories()
        assert history.status == "running" and "sleeps" in str(history)
        await perdure.client.workflow_service.unpause_workflow_execution(UnpauseWorkflowExecutionRequest(**names))
        await perdure.advance(timedelta(days=60))
        await handle.result()
        again = await perdure.start(Sleeper.run, 60, id="stays")
        names["workflow_id"] = again.id
        await perdure.client.workflow_service.pause_workflow_execution(PauseWorkflowExecutionRequest(**names))


async def test_sync_activities_and_other_runners(perdure: Env) -> None:
    from tests.testing.workflows import activity, workflow

    @activity.defn(name="reserve")
    def real(order: Order) -> str:
        return order.item

    async with perdure.worker(Once, activities=[real], workflow_runner=UnsandboxedWorkflowRunner()):
        assert await perdure.execute(Once.run, BOOK) == "book"
    assert workflow


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([RPCStatusCode.RESOURCE_EXHAUSTED] * 3, [False, False, False, False]),
        ([RPCStatusCode.UNAVAILABLE], [False, True]),
        ([RPCStatusCode.NOT_FOUND], [False]),
    ],
)
async def test_a_busy_workflow_is_asked_again_at_once_and_other_trouble_is_left_to_the_sdk(
    answers: list[RPCStatusCode], asked: list[bool]
) -> None:
    retries = []

    async def ask(retry: bool) -> None:
        retries.append(retry)
        if len(retries) <= len(answers):
            raise RPCError("no", answers[len(retries) - 1], b"")

    with contextlib.suppress(RPCError):
        await _soon(ask)
    assert retries == asked
