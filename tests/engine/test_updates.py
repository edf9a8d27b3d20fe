"""Updates: their speculative task, how often one acts, their limits, and what is left of them in storage."""

from __future__ import annotations

import pytest
from tests.engine import driver as d
from tests.engine.driver import Conversation

from perdure.config import Dynamic
from perdure.engine import inputs
from perdure.engine.execution import Kind, UpdateState, decode_item, encode
from perdure.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, WorkflowNotReady


def begun(config: Dynamic | None = None) -> Conversation:
    """A workflow whose first task is over; its history has four events."""
    talk = Conversation(config=config)
    talk.work()
    return talk


def restart(talk: Conversation) -> None:
    """Memory is gone: only what is stored is there."""
    for kind, key, item in list(talk.execution.items()):
        if item.volatile:
            del talk.execution.pending[kind][key]
        else:
            talk.execution.pending[kind][key] = decode_item(kind, encode(item))


def states(talk: Conversation) -> dict[object, UpdateState]:
    return {key: UpdateState(update.state) for key, update in talk.execution.pending[Kind.UPDATE].items()}


# The speculative task.


def test_an_update_alone_writes_nothing() -> None:
    talk = begun()
    talk.update()
    assert talk.decision.volatile
    assert talk.task.speculative and (talk.task.scheduled_event_id, len(talk.written)) == (5, 4)
    talk.poll()
    assert talk.decision.volatile and len(talk.written) == 4
    assert states(talk) == {"u": UpdateState.SENT}


def test_a_rejection_leaves_no_trace() -> None:
    talk = begun()
    talk.update()
    talk.poll()
    reply = talk.complete(messages=[d.reject("u")])
    assert reply.discarded and talk.decision.volatile
    assert (len(talk.written), states(talk), talk.execution.pending_workflow_task) == (4, {}, None)


def test_an_acceptance_writes_the_task_first() -> None:
    talk = begun()
    talk.update()
    talk.poll()
    talk.complete(messages=[d.accept("u"), d.respond("u")])
    talk.expect(
        """
        5 WorkflowTaskScheduled
        6 WorkflowTaskStarted
        7 WorkflowTaskCompleted
        8 WorkflowExecutionUpdateAccepted protocol_instance_id=u
        9 WorkflowExecutionUpdateCompleted accepted_event_id=8
        """,
        since=5,
    )
    assert states(talk) == {"u": UpdateState.COMPLETED}


def test_a_signal_writes_the_task_that_waits() -> None:
    talk = begun()
    talk.update()
    talk.signal("hello")
    assert not talk.task.speculative
    talk.expect("5 WorkflowTaskScheduled\n6 WorkflowExecutionSignaled", since=5)


def test_a_task_that_nobody_takes_is_written_in_the_end() -> None:
    talk = begun()
    talk.update()
    talk.advance(6)
    talk.expect("5 WorkflowTaskScheduled\n6 WorkflowTaskTimedOut\n7 WorkflowTaskScheduled", since=5)
    talk.poll()
    assert [message.protocol_instance_id for message in talk.decision.messages] == ["u"]


def test_an_update_rides_on_the_task_that_is_pending() -> None:
    talk = begun()
    talk.signal("hello")
    talk.update()
    assert not talk.task.speculative
    talk.poll()
    assert [message.protocol_instance_id for message in talk.decision.messages] == ["u"]


def test_an_update_that_comes_while_a_task_is_started_gets_one_of_its_own() -> None:
    talk = begun()
    talk.signal("hello")
    talk.poll()
    talk.update()
    talk.complete()
    assert states(talk) == {"u": UpdateState.ADMITTED}
    talk.work(messages=[d.accept("u")])
    assert states(talk) == {"u": UpdateState.ACCEPTED}


# Once.


def test_the_same_id_is_the_same_update_in_every_state() -> None:
    talk = begun()
    talk.update()
    talk.update()
    talk.poll()
    talk.update()
    assert len(talk.execution.pending[Kind.UPDATE]) == 1
    talk.complete(messages=[d.accept("u")])
    assert talk.update().accepted_event_id == 8
    assert talk.execution.pending_workflow_task is None
    talk.signal("hello")
    talk.work(messages=[d.respond("u")])
    assert talk.update().completed_event_id == 13
    talk.terminate()
    assert talk.update().completed_event_id == 13
    with pytest.raises(NotFound, match="already completed"):
        talk.update("other")


def test_a_rejected_id_may_be_used_again() -> None:
    talk = begun()
    talk.update()
    talk.work(messages=[d.reject("u")])
    talk.update()
    talk.work(messages=[d.accept("u"), d.respond("u")])
    assert states(talk) == {"u": UpdateState.COMPLETED}


# Refused.


def test_too_many_in_flight_are_refused() -> None:
    talk = begun(Dynamic(max_in_flight_updates=2))
    talk.update("one")
    talk.update("two")
    with pytest.raises(ResourceExhausted, match=r"concurrent in-flight updates has been reached \(2\)"):
        talk.update("three")
    talk.update("two")
    talk.work(messages=[d.accept("one"), d.respond("one"), d.reject("two")])
    talk.update("three")


def test_too_large_ones_in_flight_are_refused() -> None:
    talk = begun(Dynamic(max_in_flight_update_payloads_bytes=60))
    talk.update("one")
    with pytest.raises(ResourceExhausted, match="total payload size"):
        talk.update("a" * 50)


def test_requests_in_memory_are_no_state_that_ends_the_workflow() -> None:
    talk = begun(Dynamic(mutable_state_size_limit_error_bytes=1000))
    request = d.update_request()
    request.input.args.payloads.add().data = b"x" * 2000
    talk.tell(inputs.AdmitUpdate(request))
    talk.signal("hello")
    talk.work(messages=[d.accept("u", accepted_request=request), d.respond("u")])
    assert states(talk) == {"u": UpdateState.COMPLETED}


def test_too_many_in_all_are_refused_and_make_continuing_as_new_advisable() -> None:
    talk = begun(Dynamic(max_total_updates=2))
    for update_id in ("one", "two"):
        talk.update(update_id)
        talk.work(messages=[d.accept(update_id), d.respond(update_id)])
    with pytest.raises(FailedPrecondition, match=r"total number of distinct updates .* \(2\)"):
        talk.update("three")
    talk.update("two")
    talk.signal("hello")
    assert talk.poll().suggest_continue_as_new


def test_a_workflow_whose_task_keeps_failing_takes_none() -> None:
    talk = begun()
    talk.signal("hello")
    for _ in range(2):
        talk.poll()
        talk.fail()
    with pytest.raises(WorkflowNotReady):
        talk.update()


# Lost and found.


def test_one_that_memory_lost_comes_back_with_its_acceptance() -> None:
    talk = begun()
    talk.signal("hello")
    talk.update()
    talk.poll()
    restart(talk)
    assert states(talk) == {}
    talk.complete(messages=[d.accept("u", accepted_request=d.update_request("u")), d.respond("u")])
    assert states(talk) == {"u": UpdateState.COMPLETED}


def test_one_that_memory_lost_does_not_come_back_without_its_request() -> None:
    talk = begun()
    talk.signal("hello")
    talk.update()
    talk.poll()
    restart(talk)
    with pytest.raises(InvalidArgument, match="update u wasn't found on the server"):
        talk.complete(messages=[d.accept("u")])


def test_a_speculative_task_is_lost_with_the_memory_and_its_worker_is_refused() -> None:
    talk = begun()
    talk.update()
    task = talk.poll()
    restart(talk)
    assert talk.execution.pending_workflow_task is None
    with pytest.raises(NotFound):
        talk.complete(task=task, messages=[d.accept("u")])
    talk.update()
    talk.work(messages=[d.accept("u"), d.respond("u")])
    assert states(talk) == {"u": UpdateState.COMPLETED}


@pytest.mark.parametrize("completes", [False, True])
def test_what_was_accepted_is_stored(completes: bool) -> None:
    talk = begun()
    talk.update()
    talk.work(messages=[d.accept("u"), d.respond("u")] if completes else [d.accept("u")])
    before = states(talk)
    restart(talk)
    assert states(talk) == before
    if not completes:
        talk.signal("hello")
        talk.work(messages=[d.respond("u")])
    assert states(talk) == {"u": UpdateState.COMPLETED}


# The worker's answer is refused.


def test_a_bad_message_ends_what_came_with_the_task() -> None:
    talk = begun()
    talk.update("one")
    talk.update("two")
    talk.poll()
    with pytest.raises(InvalidArgument, match="Response message while in state Sent"):
        talk.complete(messages=[d.accept("one"), d.respond("two")])
    assert states(talk) == {}
    assert all(isinstance(result.error, WorkflowNotReady) for result in talk.decision.updates.values())
    assert [d.short(event.event_type) for event in talk.written[4:]] == [
        "WorkflowTaskScheduled",
        "WorkflowTaskStarted",
        "WorkflowTaskFailed",
    ]
    assert talk.task.attempt == 2


def test_updates_of_a_workflow_that_closes_are_told() -> None:
    talk = begun()
    talk.update("accepted")
    talk.work(messages=[d.accept("accepted")])
    talk.update("admitted")
    talk.tell(inputs.TerminateWorkflow(reason="stop", identity="client"))
    results = talk.decision.updates
    assert results["accepted"].outcome is not None
    assert isinstance(results["admitted"].error, NotFound)
