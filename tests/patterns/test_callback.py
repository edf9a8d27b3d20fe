"""Callbacks: an outside system completes once or fails once, and is missed when it is silent."""

from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.client import WithStartWorkflowOperation, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from tests.patterns import test_approval, waiting
from tests.patterns.waiting import CALLED, DAY, Again, Call, CallAndStay, Payload, Wanted, submit

from perdure.patterns import Callbacks, PatternsPlugin, Reply, callback

pytestmark = pytest.mark.perdure(time="manual")
DONE = Payload("s3://talk.mp4", 90)


@pytest.fixture(autouse=True)
def _fresh():
    waiting.fresh()


async def started(perdure, workflow, *args):
    """Once it waits."""
    handle = await test_approval.started(perdure, workflow, *args)
    return handle, Callbacks(perdure.client, handle.id)


async def failure(handle) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as raised:
        await handle.result()
    assert isinstance(raised.value.cause, ApplicationError)
    return raised.value.cause


async def test_it_completes_with_a_typed_value(perdure):
    async with perdure.worker(Call, activities=[submit]):
        handle, callbacks = await started(perdure, Call, Wanted())
        [(address, what)] = CALLED
        assert (address.callback, address.workflow_id, what) == ("callback", handle.id, "talk.mov")
        assert address.chain == handle.first_execution_run_id
        reply = await callbacks.complete(DONE)
        assert await handle.result() == DONE
    assert reply.taken and reply.outcome == "completed"


async def test_what_can_not_be_taken_is_refused_and_the_wait_goes_on(perdure):
    async with perdure.worker(Call, activities=[submit]):
        handle, callbacks = await started(perdure, Call, Wanted())
        before = len((await perdure.history(handle)).events)
        for bad in ({"url": "x"}, {"url": 1, "seconds": 2}, None, "x", {"url": "x", "seconds": 0}):
            reply = await callbacks.complete(bad)
            assert reply.status == "refused" and reply.text.startswith("This can't be taken, and the wait goes on")
        assert "seconds has to be positive" in (await callbacks.complete(Payload("x", -1))).text
        assert len((await perdure.history(handle)).events) == before
        await handle.signal("perdure_callback_complete", args=["callback", {"url": "x"}])
        await handle.signal("perdure_callback_complete", args=["callback", {"url": "x"}, 3])
        await handle.signal("perdure_callback_complete", args=[])
        await handle.signal("perdure_callback_complete", args=["callback", {"url": "x", "seconds": 2}])
        assert await handle.result() == Payload("x", 2)


@workflow.defn(sandboxed=False)
class Checked:
    """Its check says False to what it does not want, or is async."""

    @workflow.run
    async def run(self, how: str) -> int:
        check = {"says": is_positive, "async": later_positive}[how]
        return (await callback(Payload, notify=None, expires=DAY, check=check)).seconds


def is_positive(payload: Payload) -> bool:
    return payload.seconds > 0


async def later_positive(payload: Payload) -> None:
    waiting.positive(payload)


async def test_a_check_that_says_false_refuses(perdure):
    async with perdure.worker(Checked):
        handle, callbacks = await started(perdure, Checked, "says")
        reply = await callbacks.complete(Payload("x", 0))
        assert reply.status == "refused" and "it should raise an error" in reply.text
        await handle.signal("perdure_callback_complete", args=["callback", Payload("x", 0)])
        await perdure.settle()
        assert (await callbacks.complete(Payload("x", 3))).taken
        assert await handle.result() == 3


async def test_a_check_is_not_async(perdure):
    async with perdure.worker(Checked, workflow_failure_exception_types=[TypeError]):
        assert "it can't be async" in (await failure(await perdure.start(Checked.run, "async"))).message


async def test_it_fails_once(perdure):
    async with perdure.worker(Call, activities=[submit]):
        handle, callbacks = await started(perdure, Call, Wanted())
        assert (await callbacks.fail("codec unknown")).outcome == "failed"
        error = await failure(handle)
        assert (error.type, error.message) == ("CallbackFailed", "callback callback: codec unknown")
        late = await callbacks.complete(DONE)
        assert (late.status, late.outcome) == ("late", "failed") and "codec unknown" in late.text


async def test_the_first_that_is_taken_ends_it(perdure):
    async with perdure.worker(CallAndStay):
        handle, callbacks = await started(perdure, CallAndStay, Wanted())
        await callbacks.complete(DONE)
        assert (await callbacks.complete(Payload("other", 1))).status == "again"
        assert (await callbacks.fail("no")).status == "late"
        assert (await callbacks.heartbeat(1)).status == "late"
        assert (await callbacks.complete(DONE, id="other")).status == "unknown"
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update("perdure_callback_complete", args=["callback", DONE])
        await perdure.advance(30 * DAY)
        assert await handle.result() == str(DONE)


async def test_it_expires_at_its_moment(perdure):
    async with perdure.worker(CallAndStay):
        handle, callbacks = await started(perdure, CallAndStay, Wanted(days=2))
        await perdure.advance(2 * DAY - timedelta(minutes=1))
        assert (await callbacks.heartbeat()).taken
        await perdure.advance(timedelta(minutes=2))
        late = await callbacks.complete(DONE)
        assert (late.status, late.outcome) == ("late", "expired")
        state = await callbacks.state()
        assert state is not None and state.ended is not None
        assert timedelta(0) <= state.ended - state.opened - 2 * DAY < timedelta(seconds=5)
        await perdure.advance(30 * DAY)
        assert await handle.result() == "CallbackExpired"


async def test_heartbeats_tell_of_progress_and_those_too_close_cost_nothing(perdure):
    async with perdure.worker(Call, activities=[submit]):
        handle, callbacks = await started(perdure, Call, Wanted(stall_s=60))
        assert (await callbacks.heartbeat({"frame": 10})).taken
        before = len((await perdure.history(handle)).events)
        assert (await callbacks.heartbeat({"frame": 11})).status == "again"
        assert (await callbacks.heartbeat(b"bytes")).status == "refused"
        assert len((await perdure.history(handle)).events) == before
        await perdure.advance(timedelta(seconds=50))
        assert (await callbacks.heartbeat({"frame": 20})).taken
        await perdure.advance(timedelta(seconds=50))
        state = await callbacks.state()
        assert state is not None and (state.progress, state.heartbeats, state.outcome) == ({"frame": 20}, 2, "")
        await perdure.advance(timedelta(seconds=15))
        error = await failure(handle)
        assert (error.type, error.message) == ("CallbackStalled", "callback callback: nothing was heard for 0:01:00")


async def test_after_a_stall_it_goes_on_from_the_last_progress(perdure):
    async with perdure.worker(Again, activities=[submit]):
        handle, callbacks = await started(perdure, Again, Wanted(stall_s=60))
        await callbacks.heartbeat(120, id="attempt-1")
        await perdure.advance(timedelta(seconds=90))
        assert [what for _, what in CALLED] == ["from 0", "from 120"]
        assert (await callbacks.complete(DONE, id="attempt-1")).status == "late"
        await callbacks.complete(DONE, id="attempt-2")
        assert await handle.result() == ["2", "120", DONE.url]


async def test_who_can_not_be_asked_will_not_call_back(perdure):
    async with perdure.worker(Call, activities=[perdure.mock(submit, raises=ConnectionError("down"))]):
        handle, callbacks = await started(perdure, Call, Wanted())
        await perdure.advance(timedelta(minutes=1))
        with pytest.raises(WorkflowFailureError) as raised:
            await handle.result()
        assert isinstance(raised.value.cause, ActivityError)
        assert (await callbacks.complete(DONE)).outcome == "cancelled"


async def test_who_calls_back_before_the_asking_has_ended(perdure):
    asked = perdure.mock(submit, raises=[ConnectionError("down")] * 2)
    async with perdure.worker(Call, activities=[asked]):
        handle, callbacks = await started(perdure, Call, Wanted())
        assert (await callbacks.complete(DONE)).taken
        assert await handle.result() == DONE


@pytest.mark.parametrize("first", [{"url": 1}, None])
async def test_an_early_call_is_judged_when_the_type_is_known(perdure, first):
    """It comes with the first workflow task, before the callback is opened."""
    async with perdure.worker(Call, activities=[submit], task_queue="q", plugins=[PatternsPlugin()]):
        start = WithStartWorkflowOperation(
            Call.run, Wanted(), id="one", task_queue="q", id_conflict_policy=WorkflowIDConflictPolicy.FAIL
        )
        reply = await perdure.client.execute_update_with_start_workflow(
            "perdure_callback_complete",
            args=["callback", first or DONE],
            start_workflow_operation=start,
            result_type=Reply,
        )
        callbacks = Callbacks(perdure.client, "one")
        if first:
            assert reply.status == "refused" and reply.text.startswith("This can't be taken, and the wait goes on")
            assert (await callbacks.complete(DONE)).taken
        else:
            assert reply.taken and not CALLED, "who has called need not be asked"
        assert await (await start.workflow_handle()).result() == DONE
