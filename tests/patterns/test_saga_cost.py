"""A saga costs what a hand-written one does, and one event more, for which docs/PATTERNS.md says why."""

from collections import Counter

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError
from tests.patterns import sagas
from tests.patterns.sagas import Trip, act, revoke
from tests.patterns.twins.saga import TripTwin

MEMO = EventType.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED


async def counts(perdure, workflow, failing):
    world = sagas.fresh()
    world.fail = {failing: "after"}
    handle = await perdure.start(workflow.run, 0.0)
    if failing:
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    else:
        await handle.result()
    told = Counter(event.event_type for event in (await perdure.history(handle)).events)
    return told, world.log


@pytest.mark.parametrize(("failing", "over"), [("", 1), ("mail", 1), ("money", 0), ("seat", 0)])
async def test_events_by_type(perdure, failing, over):
    async with perdure.worker(Trip, TripTwin, activities=[act, revoke]):
        ours, log = await counts(perdure, Trip, failing)
        theirs, their_log = await counts(perdure, TripTwin, failing)
    pairs = {entry.translate(str.maketrans("", "", "+-")) for entry in log}
    assert pairs == {entry.translate(str.maketrans("", "", "+-")) for entry in their_log}
    assert ours.pop(MEMO, 0) == over, "the memo at the pivot, or at the end, by which `resume` knows that it is over"
    tasks = {EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED}
    tasks.add(EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
    for kind in tasks:
        # Whether the two side by side end in one workflow task or in two is chance.
        assert abs(ours.pop(kind) - theirs.pop(kind)) <= 2
    assert ours == theirs
