"""Fan-outs over a list: one outcome for each index, never more in flight than allowed, nothing starts after the end."""

import asyncio
import os
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError, CancelledError
from tests.patterns import crowds
from tests.patterns.crowds import WORKFLOWS, Crowded, Order, Spelled, Told, Unordered, work
from tests.patterns.twins.fan_out import ByHand

from perdure.patterns import FanOutProgress
from perdure.testing import assert_replays

HISTORIES = Path(__file__).parent / "histories"
FAULTS = ["plain", "evicted", "duplicated"] if "PERDURE_SWEEP" in os.environ else ["evicted", "duplicated"]

KINDS = ["activities", "children"]


@pytest.fixture(params=FAULTS)
def crowd(request, perdure):
    perdure.faults(evict_every_task=request.param == "evicted", duplicate_attempts=request.param == "duplicated")
    crowd = crowds.fresh()
    crowd.duplicated = request.param == "duplicated"
    crowd.evicted = request.param == "evicted"
    return crowd


def workers(perdure, **options):
    soon = timedelta(milliseconds=100)
    return perdure.worker(*WORKFLOWS, activities=[work], max_heartbeat_throttle_interval=soon, **options)


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


async def until_blocked(handle, crowd, completed, running):
    """Until so many have completed, and the next ones wait."""
    while crowd.running != running or await ended(handle) != completed:
        await asyncio.sleep(0.02)


async def ended(handle):
    """How many activities or children have completed."""
    names = ("activity_task_completed_event_attributes", "child_workflow_execution_completed_event_attributes")
    return sum(event.WhichOneof("attributes") in names for event in (await handle.fetch_history()).events)


async def failure_of(handle):
    with pytest.raises(WorkflowFailureError) as raised:
        await handle.result()
    return raised.value.cause


def details(error):
    """Outcomes that a failed workflow of the tests tells of."""
    [told] = error.details
    return [Told(**each) for each in told]


async def in_flight(perdure, handle):
    """The most activities or children that a history says were in flight, and what was scheduled after the end was
    decided."""
    now = most = 0
    for event in (await perdure.history(handle)).events:
        kind = event.WhichOneof("attributes")
        if kind in (
            "activity_task_scheduled_event_attributes",
            "start_child_workflow_execution_initiated_event_attributes",
        ):
            now += 1
        elif kind.startswith(("activity_task_c", "activity_task_f", "activity_task_timed")) or (
            kind.startswith("child_workflow_execution_") and "started" not in kind
        ):
            now -= kind != "activity_task_cancel_requested_event_attributes"
        most = max(most, now)
    return most


def assert_one_outcome_each(told, n):
    assert [each.index for each in told] == list(range(n))


@pytest.mark.parametrize("kind", KINDS)
async def test_all_complete_in_the_order_of_the_items(perdure, crowd, kind):
    async with workers(perdure):
        handle = await perdure.start(Crowded.run, Order(23, 4, children=kind == "children"))
        told = await handle.result()
        [progress] = await handle.query("perdure_fan_out", result_type=list[FanOutProgress])
    assert_one_outcome_each(told, 23)
    assert [each.result for each in told] == [f"done {n}" for n in range(23)]
    assert await in_flight(perdure, handle) == 4
    if not crowd.duplicated:
        assert crowd.most <= 4
        assert set(crowd.items.values()) == {1}
    if kind == "activities":
        prefix = f"{handle.id}/{handle.first_execution_run_id}/fan_out#1/step#"
        assert [each.key for each in told] == [f"{prefix}{n}" for n in range(23)]
        assert set(crowd.effects) == {each.key for each in told}
    assert (progress.state, progress.completed, progress.total, progress.in_flight) == ("completed", 23, 23, 0)


async def test_no_items(perdure):
    async with workers(perdure):
        assert await perdure.execute(Crowded.run, Order(0)) == []
        assert await perdure.execute(Crowded.run, Order(0, stream=True)) == []


@pytest.mark.parametrize("kind", KINDS)
async def test_fail_fast_cancels_what_is_in_flight_and_waits_for_it(perdure, crowd, kind):
    crowd.fail, crowd.block = {2}, {0, 1, 3}
    async with workers(perdure):
        handle = await perdure.start(Crowded.run, Order(50, 4, children=kind == "children"))
        error = await failure_of(handle)
    assert isinstance(error, ApplicationError) and error.type == "FanOutFailed"
    assert error.message == "1 of 50 failed; item 2: No: no 2"
    told = details(error)
    assert_one_outcome_each(told, 50)
    assert [each.state for each in told] == ["cancelled"] * 2 + ["failed", "cancelled"] + ["skipped"] * 46
    assert set(crowd.items) == {0, 1, 2, 3}, "nothing was started after the failure"
    assert crowd.running == 0, "all have ended"


async def test_collect_goes_on_to_the_end(perdure, crowd):
    crowd.fail = {1, 5, 9}
    async with workers(perdure):
        told = await perdure.execute(Crowded.run, Order(10, 3, "collect"))
    assert_one_outcome_each(told, 10)
    assert [each.index for each in told if each.state == "failed"] == [1, 5, 9]
    assert [each.error for each in told if each.error] == ["No: no 1", "No: no 5", "No: no 9"]


async def test_all_fail_for_good(perdure, crowd):
    crowd.fail = set(range(20))
    async with workers(perdure):
        told = await perdure.execute(Crowded.run, Order(20, 6, "collect"))
    assert Counter(each.state for each in told) == {"failed": 20}


@pytest.mark.parametrize("on_error", [2, 0.21])
async def test_a_threshold_is_borne_and_what_is_above_is_not(perdure, crowd, on_error):
    async with workers(perdure):
        crowd.fail = {1, 5}
        told = await perdure.execute(Crowded.run, Order(10, 1, on_error))
        assert Counter(each.state for each in told) == {"completed": 8, "failed": 2}
        crowd.fail = {1, 5, 6}
        error = await failure_of(await perdure.start(Crowded.run, Order(10, 1, on_error)))
    assert Counter(each.state for each in details(error)) == {"completed": 4, "failed": 3, "skipped": 3}


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (Order(1, 0), "max_in_flight is 0: it has to be 1 to 1000"),
        (Order(1, 1001), "max_in_flight is 1001: it has to be 1 to 1000"),
        (Order(1, 1, "ignore"), "on_error is 'ignore'"),
        (Order(1, 1, -1), "on_error is -1"),
        (Order(1, 1, 1.5), "a share is below 1"),
        (Order(1501), "1501 items are too many for one history"),
    ],
)
async def test_what_makes_no_sense_is_refused(perdure, order, text):
    async with workers(perdure, workflow_failure_exception_types=[ValueError]):
        error = await failure_of(await perdure.start(Crowded.run, order))
    assert text in str(error)


async def test_a_text_is_no_list_of_items(perdure):
    async with workers(perdure, workflow_failure_exception_types=[ValueError]):
        error = await failure_of(await perdure.start(Spelled.run, "abc"))
    assert "give a list of items" in str(error)


async def test_a_set_has_no_order_that_lasts(perdure):
    async with workers(perdure, workflow_failure_exception_types=[TypeError]):
        error = await failure_of(await perdure.start(Unordered.run, ["a", "b"]))
    assert "give a list, sorted(items)" in str(error)


async def test_outcomes_as_they_come(perdure, crowd):
    crowd.block = {0}
    async with workers(perdure):
        handle = await perdure.start(Crowded.run, Order(12, 3, stream=True))
        await until(lambda: len(crowd.items) == 12)
        crowd.block = set()
        told = await handle.result()
    assert sorted(each.index for each in told) == list(range(12))
    order = [each.index for each in told]
    assert order.index(0) >= 9, "the others did not wait for it, but for two that were in flight beside it"


async def test_a_stream_that_is_left_early_cancels_what_is_in_flight(perdure, crowd):
    crowd.block = {1, 2}
    async with workers(perdure):
        told = await perdure.execute(Crowded.run, Order(30, 3, stream=True, leave_after=4))
    assert_one_outcome_each(told, 30)
    states = Counter(each.state for each in told)
    assert states["cancelled"] >= 2 and states["skipped"] >= 20
    assert crowd.running == 0
    assert told[1].state == told[2].state == "cancelled"


async def test_a_stream_whose_reader_is_slow(perdure, crowd):
    async with workers(perdure):
        told = await perdure.execute(Crowded.run, Order(9, 3, stream=True, sleep_between_s=60))
    assert sorted(each.index for each in told) == list(range(9))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stream_or_list_that_fails_fast_has_an_outcome_for_each(perdure, crowd, stream):
    crowd.fail, crowd.block = {0}, {1}
    async with workers(perdure):
        handle = await perdure.start(Crowded.run, Order(5, 2, stream=stream))
        await failure_of(handle)
        told = await handle.query(Crowded.outcomes)
    assert [each.state for each in told] == ["failed", "cancelled", "skipped", "skipped", "skipped"]


async def test_what_failed_is_done_again_under_its_old_key(perdure, crowd):
    crowd.fail = {3, 4}
    async with workers(perdure):
        handle = await perdure.start(Crowded.run, Order(6, 2, "collect", again=True))
        await until(lambda: {3, 4} <= set(crowd.ended))
        await asyncio.sleep(0)
        crowd.fail = {4}
        told = await handle.result()
    history = await perdure.history(handle)
    ids = [step.id.rpartition("#")[2] for step in history.activities()]
    assert sorted(ids) == ["0", "1", "2", "3", "3", "4", "4", "5"] and ids[-2:] == ["3", "4"]
    assert len({step.id for step in history.activities()}) == 6
    assert_one_outcome_each(told, 6)
    assert told[4].state == "failed"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("after", range(12) if "PERDURE_SWEEP" in os.environ else [0, 6])
async def test_cancelled_at_any_time(perdure, crowd, kind, after):
    """After so many have ended; what is in flight is cancelled and waited for."""
    crowd.block = set(range(after, 12))
    async with workers(perdure):
        handle = await perdure.start(Crowded.run, Order(12, 4, "collect", children=kind == "children"))
        await until_blocked(handle, crowd, after, min(4, 12 - after))
        await handle.cancel()
        error = await failure_of(handle)
        told = await handle.query(Crowded.outcomes)
    assert isinstance(error, CancelledError)
    assert_one_outcome_each(told, 12)
    states = [each.state for each in told]
    flying = min(4, 12 - after)
    assert states == ["completed"] * after + ["cancelled"] * flying + ["skipped"] * (12 - after - flying)
    assert crowd.running == 0


async def test_cancelled_before_it_begins(perdure, crowd):
    handle = await perdure.start(Crowded.run, Order(5), task_queue="later")
    await handle.cancel()
    async with workers(perdure, task_queue="later"):
        assert isinstance(await failure_of(handle), CancelledError)
    assert not crowd.items


@pytest.mark.parametrize("on_error", ["collect", "fail_fast"])
async def test_stopped_by_signal(perdure, crowd, on_error):
    crowd.block = set(range(4, 20))
    async with workers(perdure):
        handle = await perdure.start(Crowded.run, Order(20, 4, on_error))
        await until_blocked(handle, crowd, 4, 4)
        await handle.signal("perdure_fan_out_cancel")
        if on_error == "collect":
            told = await handle.result()
        else:
            error = await failure_of(handle)
            assert error.type == "FanOutCancelled"
            told = details(error)
        [progress] = await handle.query("perdure_fan_out", result_type=list[FanOutProgress])
    states = Counter(each.state for each in told)
    assert states == {"completed": 4, "cancelled": 4, "skipped": 12}
    assert (progress.state, progress.completed, progress.cancelled, progress.skipped) == ("cancelled", 4, 4, 12)


async def test_paused_and_resumed(perdure, crowd):
    if crowd.evicted:
        pytest.skip("the SDK loses workflow tasks when it has no cache and is queried often")
    crowd.block = {5}
    async with workers(perdure):
        handle = await perdure.start(Crowded.run, Order(20, 1))

        async def progress():
            [told] = await handle.query("perdure_fan_out", result_type=list[FanOutProgress])
            return told

        await until(lambda: crowd.items[5])
        await handle.signal("perdure_fan_out_pause")
        crowd.block = set()
        while (told := await progress()).in_flight:
            await asyncio.sleep(0.01)
        assert (told.state, told.completed, told.total) == ("paused", 6, 20)
        assert set(crowd.items) == set(range(6))
        await handle.signal("perdure_fan_out_resume", 2)
        assert (await progress()).state == "paused", "that was another one"
        await handle.signal("perdure_fan_out_resume")
        assert_one_outcome_each(await handle.result(), 20)


async def test_paused_before_it_begins_and_stopped_while_it_pauses(perdure, crowd):
    handle = await perdure.start(Crowded.run, Order(5, on_error="collect"), task_queue="later")
    await handle.signal("perdure_fan_out_pause")
    async with workers(perdure, task_queue="later"):
        [told] = await handle.query("perdure_fan_out", result_type=list[FanOutProgress])
        assert (told.state, told.in_flight, told.completed) == ("paused", 0, 0)
        await handle.signal("perdure_fan_out_cancel")
        assert [each.state for each in await handle.result()] == ["skipped"] * 5
    assert not crowd.items


async def test_the_worker_goes_away_and_another_goes_on(perdure, crowd):
    crowd.block = {7}
    async with workers(perdure, task_queue="q"):
        handle = await perdure.start(Crowded.run, Order(20, 4), task_queue="q")
        await until(lambda: crowd.items[7])
        crowd.block = set()
    async with workers(perdure, task_queue="q"):
        assert_one_outcome_each(await handle.result(), 20)
    assert await in_flight(perdure, handle) <= 4


async def test_an_activity_that_can_not_be_decoded_is_a_bug(perdure):
    """It fails the workflow task, not the item."""
    crowds.fresh()
    perdure.allow_task_failures()
    async with perdure.worker(Crowded, activities=[lie]):
        handle = await perdure.start(Crowded.run, Order(1, on_error="collect"))
        await until_task_failed(perdure, handle)
        await handle.terminate()


@activity.defn(name="work")
async def lie(item: int) -> int:
    return item


async def until_task_failed(perdure, handle):
    for _ in range(1000):
        history = await handle.fetch_history()
        if any(event.HasField("workflow_task_failed_event_attributes") for event in history.events):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no workflow task failed")


async def counts(perdure, handle):
    """Events by type."""
    events = (await perdure.history(handle)).events
    return Counter(event.WhichOneof("attributes").removesuffix("_event_attributes") for event in events)


@pytest.mark.parametrize("fails", [False, True])
async def test_it_has_the_events_of_one_that_is_written_by_hand(perdure, fails):
    """One at a time, since otherwise chance decides which of them end in one workflow task."""
    crowd = crowds.fresh()
    crowd.fail = {5} if fails else set()
    async with perdure.worker(*WORKFLOWS, ByHand, activities=[work]):
        ours = await perdure.start(Crowded.run, Order(12, 1))
        theirs = await perdure.start(ByHand.run, 12, 1)
        await asyncio.wait([asyncio.ensure_future(each.result()) for each in (ours, theirs)])
    assert await counts(perdure, ours) == await counts(perdure, theirs)


async def test_it_has_no_more_events_than_one_that_is_written_by_hand(perdure):
    crowds.fresh()
    async with perdure.worker(*WORKFLOWS, ByHand, activities=[work]):
        ours = await perdure.start(Crowded.run, Order(40, 8))
        theirs = await perdure.start(ByHand.run, 40, 8)
        await asyncio.gather(ours.result(), theirs.result())
    told = [await counts(perdure, each) for each in (ours, theirs)]
    for each in told:
        for name in list(each):
            if name.startswith("workflow_task"):
                del each[name]
    assert told[0] == told[1]


def test_histories_of_earlier_releases_replay():
    assert_replays(WORKFLOWS, HISTORIES / "*-fan-out-flat-*.json")
