"""Timers: started and cancelled by command, fired when due."""

from __future__ import annotations

from temporalio.api.command.v1 import CancelTimerCommandAttributes, StartTimerCommandAttributes
from temporalio.api.enums.v1 import event_type_pb2 as E

from perdure.engine.execution import Kind
from perdure.engine.messages import copy_present
from perdure.engine.transition import Transition, illegal


def start(t: Transition, completed_event_id: int, command: StartTimerCommandAttributes) -> None:
    if command.timer_id in t.items(Kind.TIMER):
        raise illegal("add-timer-started-event", f"TimerID: {command.timer_id}")
    event = t.event(E.EVENT_TYPE_TIMER_STARTED)
    a = event.timer_started_event_attributes
    a.timer_id = command.timer_id
    copy_present(command, a, ("start_to_fire_timeout",))
    a.workflow_task_completed_event_id = completed_event_id
    t.record(event)


def cancel(t: Transition, completed_event_id: int, command: CancelTimerCommandAttributes, identity: str) -> None:
    """Cancel a timer. One that has fired, but whose event is still buffered, counts as not fired."""
    timer = t.items(Kind.TIMER).get(command.timer_id)
    if timer is not None:
        started_event_id = timer.started_event_id
    else:
        fired = t.take_buffered_timer_fired(command.timer_id)
        if fired is None:
            raise illegal("add-timer-canceled-event", f"TimerID: {command.timer_id}")
        started_event_id = fired.timer_fired_event_attributes.started_event_id
    event = t.event(E.EVENT_TYPE_TIMER_CANCELED)
    a = event.timer_canceled_event_attributes
    a.timer_id, a.started_event_id = command.timer_id, started_event_id
    a.workflow_task_completed_event_id = completed_event_id
    a.identity = identity
    t.record(event)


def fire(t: Transition, timer_id: str) -> bool:
    """The timer's deadline has come, if it is still there. The caller sees to the workflow task."""
    timer = t.items(Kind.TIMER).get(timer_id)
    if timer is None or timer.due_ns > t.now_ns:
        return False
    event = t.event(E.EVENT_TYPE_TIMER_FIRED)
    a = event.timer_fired_event_attributes
    a.timer_id, a.started_event_id = timer_id, timer.started_event_id
    t.record(event)
    return True
