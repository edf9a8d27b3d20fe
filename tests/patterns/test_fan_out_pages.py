"""Fan-outs over pages: a tree of children; what is promised of lists holds for all of it together."""

import asyncio
import os
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import WorkerConfig
from tests.patterns import crowds
from tests.patterns.crowds import ACTIVITIES, LARGE, CrowdedPages, Large, LargeTold, Total
from tests.patterns.twins.fan_out_pages import PageByHand, PagesByHand

from perdure.patterns import FanOutLeaf, FanOutTree, PatternsPlugin, fan_out_progress
from perdure.patterns.fanout import large
from perdure.testing import assert_replays

HISTORIES = Path(__file__).parent / "histories"
FAULTS = ["plain", "evicted", "duplicated"] if "PERDURE_SWEEP" in os.environ else ["evicted", "duplicated"]


@pytest.fixture(params=FAULTS)
def crowd(request, perdure):
    perdure.faults(evict_every_task=request.param == "evicted", duplicate_attempts=request.param == "duplicated")
    crowd = crowds.fresh()
    crowd.fault = request.param
    return crowd


def workers(perdure, **options):
    soon = timedelta(milliseconds=100)
    return perdure.worker(
        *LARGE, FanOutTree, FanOutLeaf, activities=ACTIVITIES, max_heartbeat_throttle_interval=soon, **options
    )


async def until(condition):
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


async def failure_of(handle):
    with pytest.raises(WorkflowFailureError) as raised:
        await handle.result()
    return raised.value.cause


def summary_of(error):
    """What a failed workflow of the tests tells of its fan-out."""
    [told] = error.details
    return LargeTold(**{**told, "folded": Total(**told["folded"]) if told["folded"] else None})


def assert_all_done(crowd, told, n):
    assert (told.completed, told.failed, told.cancelled, told.skipped) == (n, 0, 0, 0)
    assert told.read_all and told.left == [] and told.errors == []
    assert set(crowd.items) == set(range(n))
    assert told.folded == (Total(n, 0, sum(range(n))) if n else None)
    assert set(crowd.folded) == set(range(n))
    if crowd.fault != "duplicated":
        assert set(crowd.items.values()) <= {1}, "each index once"
        assert set(crowd.folded.values()) <= {1}


@pytest.mark.parametrize(
    ("n", "size", "most", "children", "kind"),
    [
        (57, 10, 10, 3, "activities"),
        (20, 10, 4, 1, "activities"),
        (0, 10, 9, 3, "activities"),
        (25, 10, 6, None, "children"),
    ],
)
async def test_all_complete(perdure, crowd, n, size, most, children, kind):
    async with workers(perdure):
        handle = await perdure.start(CrowdedPages.run, Large(n, size, most, children, as_children=kind == "children"))
        told = await handle.result()
        [progress] = await fan_out_progress(perdure.client, handle.id)
    assert_all_done(crowd, told, n)
    assert told.pages == max(1, -(-n // size))
    assert (progress.state, progress.completed, progress.total) == ("completed", n, n)
    if crowd.fault != "duplicated":
        assert crowd.most <= most
    history = await perdure.history(handle)
    assert len(history.events) < 20, "however many items there are"


async def test_the_workflows_continue_as_new(perdure, crowd, monkeypatch):
    monkeypatch.setattr(large, "ITEMS_A_RUN", 7)
    monkeypatch.setattr(large, "LEAVES_A_RUN", 2)
    monkeypatch.setattr(large, "MERGED_AT_ONCE", 3)
    async with workers(perdure):
        handle = await perdure.start(CrowdedPages.run, Large(95, 20, 8, 2))
        told = await handle.result()
    assert_all_done(crowd, told, 95)
    assert told.pages == 5 and crowd.reads.count(0) == (2 if crowd.fault == "duplicated" else 1)
    assert crowd.merges >= 3
    keys = {key.rpartition("#")[0] for key in crowd.effects}
    assert keys == {f"{handle.id}/{handle.first_execution_run_id}/fan_out#1/step"}


async def test_what_failed_is_told_and_done_again(perdure, crowd):
    crowd.fail = {3, 4, 5, 11, 39}
    async with workers(perdure):
        handle = await perdure.start(CrowdedPages.run, Large(40, 10, 8, 2, "collect"))
        told = await handle.result()
        assert (told.completed, told.failed, told.read_all) == (35, 5, True)
        assert told.left == [[3, 5], [11, 11], [39, 39]]
        assert told.errors == [f"{n}: No: no {n}" for n in sorted(crowd.fail)]
        assert told.folded == Total(35, 5, sum(set(range(40)) - crowd.fail))

        crowds.fresh().fault = crowd.fault
        crowd.fail = {4, 39}
        handle = await perdure.start(CrowdedPages.run, Large(40, 10, 8, 2, "collect", again=True))
        await until(lambda: len(set(crowd.ended)) == 40)
        crowd.fail = set()
        told = await handle.result()
    assert told.left == [] and told.completed <= 2, "the second time those alone were called"
    assert len(crowd.effects) == 40, "under their old keys"


async def test_fail_fast_stops_the_whole_tree(perdure, crowd):
    crowd.fail, crowd.block = {12}, set(range(200)) - {12}
    async with workers(perdure):
        error = await failure_of(await perdure.start(CrowdedPages.run, Large(200, 10, 9, 3)))
        assert crowd.running == 0, "all have ended"
        started = set(crowd.items)
    assert error.type == "FanOutFailed" and error.message.endswith("item 12: No: no 12")
    told = summary_of(error)
    assert started <= set(range(30)) and len(started) <= 9
    assert (told.failed, told.completed, told.read_all) == (1, 0, False)
    assert told.cancelled + told.skipped + told.failed == told.pages * 10
    assert told.left == [[0, 10 * told.pages - 1], [10 * told.pages, -1]]
    assert set(crowd.items) == started, "nothing started later"


@pytest.mark.parametrize(("on_error", "fails"), [(4, False), (3, True)])
async def test_a_number_of_failures_is_borne_over_all_pages(perdure, crowd, on_error, fails):
    crowd.fail = {1, 11, 21, 31}
    async with workers(perdure):
        handle = await perdure.start(CrowdedPages.run, Large(80, 10, 3, 1, on_error))
        if fails:
            told = summary_of(await failure_of(handle))
            assert told.failed == 4 and not told.read_all and told.pages == 4
        else:
            told = await handle.result()
            assert (told.completed, told.failed, told.read_all) == (76, 4, True)


@pytest.mark.parametrize("after", [0, 25])
async def test_cancelled(perdure, crowd, after):
    crowd.block = set(range(after, 100))
    async with workers(perdure):
        handle = await perdure.start(CrowdedPages.run, Large(100, 10, 6, 2))
        await until(lambda: crowd.running == 6)
        await handle.cancel()
        assert isinstance(await failure_of(handle), CancelledError)
    assert crowd.running == 0
    started = set(crowd.items)
    await asyncio.sleep(0.1)
    assert set(crowd.items) == started


@pytest.mark.parametrize("on_error", ["collect", "fail_fast"])
async def test_stopped_by_signal(perdure, crowd, on_error):
    crowd.block = set(range(15, 100))
    async with workers(perdure):
        handle = await perdure.start(CrowdedPages.run, Large(100, 10, 6, 2, on_error))
        await until(lambda: crowd.running == 6)
        await handle.signal("perdure_fan_out_cancel")
        if on_error == "collect":
            told = await handle.result()
        else:
            error = await failure_of(handle)
            assert isinstance(error, ApplicationError) and error.type == "FanOutCancelled"
            told = summary_of(error)
    assert told.cancelled == 6 and not told.read_all
    assert told.completed + told.cancelled + told.skipped == 10 * told.pages
    assert told.left[-1] == [10 * told.pages, -1]
    assert told.folded is not None and told.folded.done == told.completed


async def test_paused_and_resumed(perdure, crowd):
    if crowd.fault == "evicted":
        pytest.skip("the SDK loses workflow tasks when it has no cache and is queried often")
    crowd.block = {15}
    async with workers(perdure):
        handle = await perdure.start(CrowdedPages.run, Large(60, 10, 4, 2))
        await until(lambda: crowd.items[15])
        await handle.signal("perdure_fan_out_pause")
        await until_state(perdure, handle, "paused")
        crowd.block = set()
        while (await progress_of(perdure, handle)).in_flight:
            await asyncio.sleep(0.02)
        done = len(set(crowd.items))
        assert done < 60
        told = await progress_of(perdure, handle)
        assert (told.state, told.completed) == ("paused", done)
        await handle.signal("perdure_fan_out_resume")
        assert_all_done(crowd, await handle.result(), 60)


async def progress_of(perdure, handle):
    [told] = await fan_out_progress(perdure.client, handle.id)
    return told


async def until_state(perdure, handle, state):
    """Until the leaves have heard of it, too."""
    while True:
        [top] = await handle.query("perdure_fan_out")
        asked = [child for child in (await progress_of(perdure, handle)).children if "/leaf#" in child]
        states = [(await perdure.client.get_workflow_handle(each).query("perdure_fan_out"))[0] for each in asked]
        if top["state"] == state and all(each["state"] in (state, "completed") for each in states):
            return
        await asyncio.sleep(0.02)


async def test_a_page_that_can_not_be_read_ends_it(perdure, crowd):
    crowd.unreadable = {20}
    crowd.block = {1}
    async with workers(perdure):
        error = await failure_of(await perdure.start(CrowdedPages.run, Large(60, 10, 6, 3, "collect")))
    assert error.type == "FanOutFailed" and error.message == "Unreadable: no such page"
    assert crowd.running == 0


async def test_the_worker_goes_away_and_another_goes_on(perdure, crowd):
    crowd.block = {17}
    async with workers(perdure, task_queue="q"):
        handle = await perdure.start(CrowdedPages.run, Large(60, 10, 4, 2), task_queue="q")
        await until(lambda: crowd.items[17])
        crowd.block = set()
    async with workers(perdure, task_queue="q"):
        told = await handle.result()
    assert (told.completed, told.read_all) == (60, True)


async def test_nothing_starts_after_a_terminate(perdure, crowd):
    crowd.block = set(range(5, 100))
    async with workers(perdure):
        handle = await perdure.start(CrowdedPages.run, Large(100, 10, 6, 2))
        await until(lambda: crowd.running == 6)
        await handle.terminate()
        await until(lambda: crowd.running == 0)
        started = Counter(crowd.items)
        await asyncio.sleep(0.2)
    assert crowd.items == started


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (Large(1, most=0), "max_in_flight is 0"),
        (Large(1, most=5, children=6), "children is 6: it has to be 1 to 5"),
        (Large(1, most=2000, children=2), "more than 500 for each of 2 children"),
        (Large(1, on_error=0.5), "nobody knows how many items the pages have"),
    ],
)
async def test_what_makes_no_sense_is_refused(perdure, order, text):
    crowds.fresh()
    async with workers(perdure, workflow_failure_exception_types=[ValueError]):
        error = await failure_of(await perdure.start(CrowdedPages.run, order))
    assert text in str(error)


def test_histories_of_earlier_releases_replay():
    assert_replays([*LARGE, FanOutTree, FanOutLeaf], HISTORIES / "*-fan-out-pages-*.json")


async def test_the_plugin_registers_what_is_needed_once(perdure):
    crowd = crowds.fresh()
    crowd.fault = ""
    async with perdure.worker(*LARGE, FanOutTree, activities=ACTIVITIES, plugins=[PatternsPlugin()]):
        assert_all_done(crowd, await perdure.execute(CrowdedPages.run, Large(5)), 5)
    assert PatternsPlugin().configure_worker(WorkerConfig(client=perdure.client, workflows=[]))["workflows"] == []


async def test_events_next_to_a_tree_that_is_written_by_hand(perdure):
    """Ours has one workflow more, and a signal a page; the calls, the reading and the folds are the same."""
    crowds.fresh()
    async with perdure.worker(*LARGE, FanOutTree, FanOutLeaf, PageByHand, PagesByHand, activities=ACTIVITIES):
        ours = await perdure.start(CrowdedPages.run, Large(20, 10, 4, 1))
        theirs = await perdure.start(PagesByHand.run, 20, 10, 4, 1)
        await asyncio.gather(ours.result(), theirs.result())
        counted = [await events(perdure, each.id) for each in (ours, theirs)]
    more = counted[0] - counted[1]
    assert not counted[1] - counted[0]
    assert more == {
        "workflow_execution_started": 1,
        "workflow_execution_completed": 1,
        "start_child_workflow_execution_initiated": 1,
        "child_workflow_execution_started": 1,
        "child_workflow_execution_completed": 1,
        "signal_external_workflow_execution_initiated": 2,
        "external_workflow_execution_signaled": 2,
        "workflow_execution_signaled": 2,
    }


async def events(perdure, prefix):
    """By type, over a workflow and its children, without workflow tasks, whose number chance decides."""
    found = Counter()
    async for run in perdure.client.list_workflows():
        if run.id.startswith(prefix):
            for event in (await perdure.history(run.id, run.run_id)).events:
                found[event.WhichOneof("attributes").removesuffix("_event_attributes")] += 1
    return Counter({name: number for name, number in found.items() if not name.startswith("workflow_task")})
