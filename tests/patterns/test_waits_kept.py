"""What a run hands to the next one is bounded in bytes: an input that servers refuse would end a workflow for ever."""

from datetime import timedelta

import pytest
from temporalio import workflow
from tests.patterns.test_approval import started

from perdure.patterns import Answer, ApprovalRequest, Callbacks, Reply, Waits, approval, callback

pytestmark = pytest.mark.perdure(time="manual")
DAY = timedelta(days=1)
LARGE = "x" * 42_000


@workflow.defn(sandboxed=False)
class Heavy:
    """Approvals and callbacks that are over, one that is open, and what it would hand over of all that."""

    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self, approvals: int, callbacks: int) -> Waits:
        for number in range(approvals):
            request = ApprovalRequest(f"expense {number}", "ann", {"receipt": LARGE})
            await approval(request, ["bob"], deadline=timedelta(seconds=1), id=f"a{number}")
        for number in range(callbacks):
            await callback(str, notify=None, expires=DAY, id=f"c{number}")
        # Hears signals, and is open.
        Waits().restore()
        await workflow.wait_condition(lambda: self.go)
        return Waits.carry()

    @workflow.signal
    def on(self) -> None:
        self.go = True


async def carried(handle) -> Waits:
    await handle.signal(Heavy.on)
    waits: Waits = await handle.result()
    return waits


async def test_the_oldest_approvals_are_forgotten(perdure):
    async with perdure.worker(Heavy):
        handle = await perdure.start(Heavy.run, args=[9, 0])
        await perdure.advance(timedelta(minutes=1))
        waits = await carried(handle)
    assert [each.id for each in waits.approvals] == ["a4", "a5", "a6", "a7", "a8"]


async def test_values_that_the_code_has_are_not_kept(perdure):
    async with perdure.worker(Heavy):
        handle, systems = await callbacks_started(perdure, 9)
        for number in range(9):
            assert (await systems.complete(LARGE, id=f"c{number}")).taken
        assert {each.value for each in await systems.states()} == {""}
        await perdure.advance(timedelta(minutes=1))
        waits = await carried(handle)
    assert [(each.id, each.outcome, each.value) for each in waits.callbacks] == [
        (f"c{number}", "completed", "") for number in range(9)
    ]


async def callbacks_started(perdure, count):
    handle = await started(perdure, Heavy, 0, count)
    return handle, Callbacks(perdure.client, handle.id)


async def test_early_signals_beyond_the_room_are_dropped(perdure, caplog):
    async with perdure.worker(Heavy):
        handle = await started(perdure, Heavy, 0, 0)
        for _ in range(9):
            await handle.signal("perdure_approval", Answer("later", "bob", "approve", reason=LARGE))
            await handle.signal("perdure_callback_complete", args=["later", LARGE])
        small = Answer("later", "carol", "approve")
        await handle.signal("perdure_approval", small)
        waits = await carried(handle)
    assert len(waits.early_answers) == 6 and waits.early_answers[-1] == small
    assert len(waits.early_calls) == 4
    assert caplog.text.count("an early answer is dropped: 'later' is not open yet") == 4 + 5


async def test_an_early_update_beyond_the_room_is_rejected(perdure):
    async with perdure.worker(Heavy):
        handle = await started(perdure, Heavy, 0, 0)
        reply: Reply = await Callbacks(perdure.client, handle.id).complete("x" * 200_000, id="later")
        assert reply.status == "unknown"
