"""Answers that come before their approval or callback is open, and those that a reset hands to the workflow again."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy
from tests.patterns import waiting
from tests.patterns.resets import reset_first_run
from tests.patterns.waiting import (
    Ask,
    AskAndStay,
    AskForever,
    AskLater,
    AskTwo,
    Call,
    Later,
    Payload,
    Terms,
    Wanted,
    submit,
    tell,
)

from perdure.patterns import Answer, Approvals, Callbacks, PatternsPlugin, Reply, early
from perdure.patterns.early import MAX_EARLY, PATIENCE
from perdure.testing import assert_replays

pytestmark = pytest.mark.perdure(time="manual")
DONE = Payload("s3://talk.mp4", 90)
WORKFLOWS = [Ask, AskAndStay, AskForever, AskLater, AskTwo, Call]
HOUR_S = 3600.0


@pytest.fixture(autouse=True, params=[False, True], ids=["cached", "evicted"])
def _fresh(perdure, request):
    waiting.fresh()
    perdure.faults(evict_every_task=request.param)


def worker(perdure, plugin=True):
    plugins = [PatternsPlugin()] if plugin else []
    return perdure.worker(*WORKFLOWS, activities=[tell, submit], task_queue="q", plugins=plugins)


def answer(who, id="approval", do="approve"):
    return Answer(id, who, do)


async def with_start(perdure, workflow, argument, update, *args):
    """The reply to an update that comes with the first workflow task, and the workflow."""
    start = WithStartWorkflowOperation(
        workflow.run, argument, id="one", task_queue="q", id_conflict_policy=WorkflowIDConflictPolicy.FAIL
    )
    reply = await perdure.client.execute_update_with_start_workflow(
        update, args=args, start_workflow_operation=start, result_type=Reply
    )
    return reply, await start.workflow_handle()


async def early_reply(perdure, call):
    """What is said when time is up before it opens."""
    task = asyncio.ensure_future(call)
    while not task.done():
        await perdure.settle()
        await perdure.advance(PATIENCE)
    return (await task).status


async def started(perdure, workflow, argument):
    handle = await perdure.start(workflow.run, argument, task_queue="q")
    await perdure.settle()
    return handle, Approvals(perdure.client, handle.id)


async def kinds(perdure, handle):
    history = await perdure.history(handle)
    return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events]


@pytest.mark.parametrize("workflow", [AskForever, Ask], ids=["restores in init", "the plugin"])
async def test_an_update_with_start_is_taken_by_the_approval_that_opens(perdure, workflow):
    async with worker(perdure, plugin=workflow is Ask):
        reply, handle = await with_start(perdure, workflow, Terms(), "perdure_approval", answer("bob"))
        assert reply.taken and reply.outcome == "approved"
        assert (await handle.result()).by == ["bob"]
        expected = ["WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED"]
        expected += ["WORKFLOW_TASK_COMPLETED", "WORKFLOW_EXECUTION_UPDATE_ACCEPTED"]
        expected += ["WORKFLOW_EXECUTION_UPDATE_COMPLETED", "WORKFLOW_EXECUTION_COMPLETED"]
        assert await kinds(perdure, handle) == expected


async def test_an_update_with_start_is_taken_by_the_callback_that_opens(perdure):
    async with worker(perdure):
        reply, handle = await with_start(perdure, Call, Wanted(), "perdure_callback_complete", "callback", DONE)
        assert reply.taken and await handle.result() == DONE


async def test_an_early_update_that_can_not_be_taken_is_told_why(perdure):
    async with worker(perdure):
        reply, _ = await with_start(perdure, Ask, Terms(), "perdure_approval", answer("ann"))
        assert reply.status == "refused"
        approvals = Approvals(perdure.client, "one")
        [state] = await approvals.states()
        assert "ignored" not in [entry.what for entry in state.audit], "who has sent it knows"
        assert (await approvals.approve("bob")).taken


async def test_without_a_handler_in_the_first_moment_the_sdk_rejects_it(perdure):
    """Which is what the plugin and `restore` in `__init__` are for."""
    async with perdure.worker(Ask, activities=[tell], task_queue="elsewhere"):
        pass
    handle = await perdure.start(Ask.run, Terms(), task_queue="q")
    reply = asyncio.ensure_future(Approvals(perdure.client, handle.id).approve("bob"))
    await asyncio.sleep(0.1)
    async with worker(perdure, plugin=False):
        assert (await reply).status == "unknown"


@pytest.mark.parametrize("sleep_s", [1.0, HOUR_S])
async def test_it_waits_a_moment_to_hear_what_becomes_of_it_and_is_kept_beyond_that(perdure, sleep_s):
    async with worker(perdure):
        handle, approvals = await started(perdure, AskLater, Later(sleep_s=sleep_s))
        reply = asyncio.ensure_future(approvals.approve("bob"))
        await perdure.advance(timedelta(seconds=2))
        if sleep_s == HOUR_S:
            assert not reply.done()
            assert await early_reply(perdure, reply) == "early"
            await perdure.advance(timedelta(hours=1))
        else:
            assert (await reply).outcome == "approved"
        assert await handle.result() == ["bob"]


async def test_one_timer_serves_all_that_wait(perdure):
    async with worker(perdure):
        handle, approvals = await started(perdure, AskLater, Later(sleep_s=HOUR_S))
        replies = [asyncio.ensure_future(approvals.approve(who)) for who in ("bob", "carol", "dora")]
        assert [await early_reply(perdure, reply) for reply in replies] == ["early"] * 3
        assert (await kinds(perdure, handle)).count("TIMER_STARTED") == 2, "one is that of the workflow"
        await perdure.advance(timedelta(hours=1))
        assert await handle.result() in (["bob"], ["carol"], ["dora"]), "the first that came"


async def test_what_never_opens_holds_no_run_for_long(perdure):
    """Its code waits for its handlers before it ends."""
    async with worker(perdure):
        handle = await perdure.start(AskLater.run, Later(sleep_s=1, ids=[]), task_queue="q")
        assert await early_reply(perdure, Approvals(perdure.client, handle.id).approve("bob")) == "early"
        assert await handle.result() == []


@pytest.mark.parametrize("turns", [1, 2])
async def test_it_crosses_runs_and_nobody_waits_meanwhile(perdure, turns):
    async with worker(perdure):
        reply, handle = await with_start(perdure, AskLater, Later(turns), "perdure_approval", answer("bob"))
        assert (reply.status, await handle.result()) == ("early", ["bob"])
        assert len(await perdure.histories("one")) == 1 + turns


async def test_a_run_that_ends_with_an_early_answer_in_hand_says_so(perdure):
    async with worker(perdure):
        handle, approvals = await started(perdure, AskLater, Later(sleep_s=HOUR_S))
        reply = asyncio.ensure_future(approvals.approve("bob"))
        while "WORKFLOW_EXECUTION_UPDATE_ACCEPTED" not in await kinds(perdure, handle):
            await asyncio.sleep(0.01)
        await handle.terminate()
        assert await reply == Reply("unknown", "Nothing has changed: the workflow is over.")


async def test_once_something_is_open_the_unknown_is_rejected_and_costs_nothing(perdure):
    async with worker(perdure):
        handle, approvals = await started(perdure, Ask, Terms())
        callbacks = Callbacks(perdure.client, handle.id)
        called, _ = await started(perdure, Call, Wanted())
        before = len(await kinds(perdure, handle)), len(await kinds(perdure, called))
        reply = await approvals.approve("bob", id="other")
        assert reply.status == "unknown" and "open are: approval" in reply.text
        assert (await Callbacks(perdure.client, called.id).complete(DONE, id="other")).status == "unknown"
        assert before == (len(await kinds(perdure, handle)), len(await kinds(perdure, called)))
        assert await early_reply(perdure, callbacks.complete(DONE)) == "early", "no callback was opened yet"


async def test_only_so_many_wait_and_ids_are_ids(perdure):
    async with worker(perdure):
        handle, approvals = await started(perdure, AskLater, Later(sleep_s=HOUR_S))
        for number in range(MAX_EARLY):
            await handle.signal("perdure_approval", answer("bob", f"never {number}"))
        assert (await approvals.approve("bob")).status == "unknown"
        assert (await approvals.approve("bob", id="")).status == "unknown"
        handle, _ = await started(perdure, AskLater, Later(sleep_s=HOUR_S))
        callbacks = Callbacks(perdure.client, handle.id)
        assert (await callbacks.complete(DONE, id="x" * 201)).status == "unknown"
        for number in range(MAX_EARLY):
            await handle.signal("perdure_callback_complete", args=[f"never {number}", DONE])
        assert (await callbacks.complete(DONE)).status == "unknown"


@pytest.mark.parametrize("workflow", [AskForever, Ask], ids=["restores in init", "the plugin"])
async def test_votes_that_a_reset_hands_to_the_first_workflow_task_count_again(perdure, workflow, monkeypatch):
    """However many they are."""
    monkeypatch.setattr(early, "MAX_EARLY", 1)
    async with worker(perdure, plugin=workflow is Ask):
        handle, approvals = await started(perdure, workflow, Terms(quorum=2))
        assert (await approvals.approve("bob")).taken
        assert (await approvals.approve("carol")).taken
        await handle.result()
        again = await reset_first_run(perdure, handle.id)
        decision = await again.result()
        assert decision["outcome"] == "approved" and decision["by"] == ["bob", "carol"]


async def test_a_value_that_a_reset_hands_to_the_first_workflow_task_is_taken_again(perdure):
    async with worker(perdure):
        handle, _ = await started(perdure, Call, Wanted())
        assert (await Callbacks(perdure.client, handle.id).complete(DONE)).taken
        await handle.result()
        assert await (await reset_first_run(perdure, handle.id)).result() == {"url": DONE.url, "seconds": DONE.seconds}


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_answers_that_a_reset_hands_over_wait_for_what_opens_late(perdure, number):
    """Also when another approval was open before them: they were taken once, and nobody would send them again."""
    async with worker(perdure):
        handle, approvals = await started(perdure, AskLater, Later(sleep_s=HOUR_S, ids=["first", "second"]))
        for who, id in (("bob", "first"), ("carol", "second")):
            await perdure.advance(timedelta(hours=1))
            await perdure.settle()
            assert (await approvals.approve(who, id=id)).taken
        assert await handle.result() == ["bob", "carol"]
        again = await reset_first_run(perdure, handle.id, number)
        for _ in range(4):
            await perdure.settle()
            await perdure.advance(timedelta(hours=1))
        assert await again.result() == ["bob", "carol"]


async def test_a_history_from_before_the_plugin_replays_with_it(perdure, tmp_path):
    """Early signals come after what the approval does first, as the SDK has it: the plugin listens to updates alone."""
    handle = await perdure.start(AskAndStay.run, Terms(), task_queue="q")
    await handle.signal("perdure_approval", answer("bob"))
    async with worker(perdure, plugin=False):
        await perdure.settle()
        await perdure.advance(timedelta(days=31))
        assert (await handle.result()).by == ["bob"]
    (await perdure.history(handle)).save(tmp_path / "before.json")
    assert_replays(AskAndStay, tmp_path / "before.json", plugins=[PatternsPlugin()])
