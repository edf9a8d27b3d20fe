"""What a workflow does: legal commands at random, read off its own history as an SDK would."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import ActivityType, Payload, Payloads, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.protocol.v1 import Message
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.update.v1 import Acceptance, Meta, Outcome, Rejection, Request, Response
from tests.simulation.records import NAMES

QUEUE = "q"


def duration(seconds: float) -> Duration:
    result = Duration()
    result.FromNanoseconds(int(seconds * 1_000_000_000))
    return result


def payload(text: str) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=f'"{text}"'.encode())


def payloads(text: str) -> Payloads:
    return Payloads(payloads=[payload(text)])


def failure(words: str, *, final: bool = False) -> Failure:
    return Failure(message=words, application_failure_info=ApplicationFailureInfo(type="Mishap", non_retryable=final))


class View:
    """What a worker knows of a run: a fold of the events it was shown, up to `last`."""

    def __init__(self) -> None:
        self.last = 0
        self.timers: dict[int, str] = {}
        self.activities: dict[int, bool] = {}
        self.children: dict[int, tuple[str, str]] = {}
        self.tasks = 0
        self.cancel_requested = False
        self.finish = False
        self.has_parent = False
        self.updates: dict[str, None] = {}
        """Updates that were accepted and not completed."""

    def see(self, events: Any) -> None:
        for event in events:
            self.last = event.event_id
            fold = _FOLDS.get(NAMES[event.event_type])
            if fold is not None:
                fold(self, event, getattr(event, event.WhichOneof("attributes")))

    def _started(self, event: Any, a: Any) -> None:
        self.has_parent = bool(a.parent_workflow_execution.workflow_id)

    def _timer(self, event: Any, a: Any) -> None:
        self.timers[event.event_id] = a.timer_id

    def _timer_over(self, event: Any, a: Any) -> None:
        self.timers.pop(a.started_event_id, None)

    def _activity(self, event: Any, a: Any) -> None:
        self.activities[event.event_id] = False

    def _activity_cancel(self, event: Any, a: Any) -> None:
        if a.scheduled_event_id in self.activities:
            self.activities[a.scheduled_event_id] = True

    def _activity_over(self, event: Any, a: Any) -> None:
        self.activities.pop(a.scheduled_event_id, None)

    def _child(self, event: Any, a: Any) -> None:
        self.children[a.initiated_event_id] = (a.workflow_execution.workflow_id, a.workflow_execution.run_id)

    def _child_over(self, event: Any, a: Any) -> None:
        self.children.pop(a.initiated_event_id, None)

    def _task(self, event: Any, a: Any) -> None:
        self.tasks += 1

    def _cancel(self, event: Any, a: Any) -> None:
        self.cancel_requested = True

    def _accepted(self, event: Any, a: Any) -> None:
        self.updates[a.protocol_instance_id] = None

    def _completed(self, event: Any, a: Any) -> None:
        self.updates.pop(a.meta.update_id, None)

    def _signal(self, event: Any, a: Any) -> None:
        self.finish = self.finish or a.signal_name.startswith("finish")


_FOLDS: dict[str, Callable[[View, Any, Any], None]] = {
    "WORKFLOW_EXECUTION_STARTED": View._started,
    "TIMER_STARTED": View._timer,
    "TIMER_FIRED": View._timer_over,
    "TIMER_CANCELED": View._timer_over,
    "ACTIVITY_TASK_SCHEDULED": View._activity,
    "ACTIVITY_TASK_CANCEL_REQUESTED": View._activity_cancel,
    **{f"ACTIVITY_TASK_{end}": View._activity_over for end in ("COMPLETED", "FAILED", "TIMED_OUT", "CANCELED")},
    "CHILD_WORKFLOW_EXECUTION_STARTED": View._child,
    **{
        f"CHILD_WORKFLOW_EXECUTION_{end}": View._child_over
        for end in ("COMPLETED", "FAILED", "TIMED_OUT", "CANCELED", "TERMINATED")
    },
    "WORKFLOW_TASK_COMPLETED": View._task,
    "WORKFLOW_EXECUTION_CANCEL_REQUESTED": View._cancel,
    "WORKFLOW_EXECUTION_SIGNALED": View._signal,
    "WORKFLOW_EXECUTION_UPDATE_ACCEPTED": View._accepted,
    "WORKFLOW_EXECUTION_UPDATE_COMPLETED": View._completed,
}


def command(kind: str, **fields: Any) -> Command:
    """A command of a type, its attributes given by name."""
    result = Command(command_type=CommandType.Value(f"COMMAND_TYPE_{kind}"))
    getattr(result, _ATTRIBUTES[kind]).SetInParent()
    for name, value in fields.items():
        target = getattr(result, _ATTRIBUTES[kind])
        if hasattr(value, "DESCRIPTOR"):
            getattr(target, name).CopyFrom(value)
        else:
            setattr(target, name, value)
    return result


_SPECIAL = {
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": "upsert_workflow_search_attributes_command_attributes",
    "MODIFY_WORKFLOW_PROPERTIES": "modify_workflow_properties_command_attributes",
}
_ATTRIBUTES = {
    name.removeprefix("COMMAND_TYPE_"): _SPECIAL.get(
        name.removeprefix("COMMAND_TYPE_"), f"{name.removeprefix('COMMAND_TYPE_').lower()}_command_attributes"
    )
    for name in CommandType.keys()  # noqa: SIM118
}


class Script:
    """Makes the answer to a workflow task. `name(prefix)` gives names that are used once."""

    def __init__(self, chance: random.Random, name: Callable[[str], str], counts: Counter[str]) -> None:
        self.chance = chance
        self.name = name
        self._counts = counts

    def commands(self, view: View, *, healing: bool, workflow_ids: list[str]) -> list[Command]:
        """What the workflow does next. When healing, it ends at once."""
        chance = self.chance
        if healing or view.finish:
            made = [command("COMPLETE_WORKFLOW_EXECUTION", result=payloads("end"))]
        else:
            made = [self._one(view, workflow_ids) for _ in range(chance.choice([0, 1, 1, 1, 2, 2, 3]))]
            if chance.random() < 0.04 + 0.02 * view.tasks or (view.cancel_requested and chance.random() < 0.5):
                made.append(self._end(view))
            elif not (made or view.timers or view.activities):
                made.append(self._timer(view))
        made = [each for each in made if each is not None]
        for each in made:
            self._counts[f"command {CommandType.Name(each.command_type).removeprefix('COMMAND_TYPE_')}"] += 1
        return made

    def _one(self, view: View, workflow_ids: list[str]) -> Any:
        roll = self.chance.random()
        if roll < 0.33:
            return self._activity(view)
        if roll < 0.55:
            return self._timer(view)
        if roll < 0.63 and view.timers:
            started, timer_id = self.chance.choice(sorted(view.timers.items()))
            del view.timers[started]
            return command("CANCEL_TIMER", timer_id=timer_id)
        if roll < 0.70 and not all(view.activities.values()):
            scheduled = self.chance.choice([key for key, asked in view.activities.items() if not asked])
            view.activities[scheduled] = True
            return command("REQUEST_CANCEL_ACTIVITY_TASK", scheduled_event_id=scheduled)
        if roll < 0.78 and not (view.has_parent and self.chance.random() < 0.8):
            return self._child()
        if roll < 0.90 and workflow_ids:
            return self._external(view, workflow_ids)
        return self._note()

    def _timer(self, view: View) -> Command:
        seconds = self.chance.choice([0.001, 0.5, 1, 3, 10, 30, 70, 200])
        return command("START_TIMER", timer_id=self.name("t"), start_to_fire_timeout=duration(seconds))

    def _activity(self, view: View) -> Command:
        chance = self.chance
        made = command("SCHEDULE_ACTIVITY_TASK", activity_id=self.name("a"), activity_type=ActivityType(name="Act"))
        a = made.schedule_activity_task_command_attributes
        a.task_queue.name = QUEUE
        a.start_to_close_timeout.CopyFrom(duration(chance.choice([1, 5, 20])))
        if chance.random() < 0.3:
            a.schedule_to_close_timeout.CopyFrom(duration(chance.choice([5, 30, 120])))
        if chance.random() < 0.2:
            a.schedule_to_start_timeout.CopyFrom(duration(chance.choice([2, 20])))
        if chance.random() < 0.3:
            a.heartbeat_timeout.CopyFrom(duration(chance.choice([1, 4])))
        a.retry_policy.initial_interval.CopyFrom(duration(chance.choice([0.2, 1, 3])))
        a.retry_policy.backoff_coefficient = chance.choice([1, 2])
        a.retry_policy.maximum_attempts = chance.choice([1, 2, 3, 5])
        if chance.random() < 0.3:
            a.retry_policy.maximum_interval.CopyFrom(duration(5))
        a.request_eager_execution = chance.random() < 0.2
        return made

    def _child(self) -> Command:
        chance = self.chance
        made = command("START_CHILD_WORKFLOW_EXECUTION", workflow_id=self.name("child"))
        a = made.start_child_workflow_execution_command_attributes
        a.workflow_type.name = "Child"
        a.task_queue.name = QUEUE
        a.workflow_task_timeout.CopyFrom(duration(chance.choice([2, 10])))
        a.parent_close_policy = chance.choice([0, 1, 2, 3])  # type: ignore[assignment]
        if chance.random() < 0.15:
            a.workflow_id = f"w{chance.randrange(6)}"  # may exist
        if chance.random() < 0.2:
            a.workflow_run_timeout.CopyFrom(duration(chance.choice([5, 60])))
        if chance.random() < 0.2:
            a.retry_policy.initial_interval.CopyFrom(duration(1))
            a.retry_policy.maximum_attempts = 2
        return made

    def _external(self, view: View, workflow_ids: list[str]) -> Command:
        target = WorkflowExecution(workflow_id=self.chance.choice([*workflow_ids, "nobody"]))
        if view.children and self.chance.random() < 0.4:
            workflow_id, run_id = self.chance.choice(sorted(view.children.values()))
            target = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
        if self.chance.random() < 0.75:
            name = f"{self.name('x')}-1"
            return command(
                "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION", execution=target, signal_name=name, input=payloads(name)
            )
        return command(
            "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION", workflow_id=target.workflow_id, run_id=target.run_id
        )

    def _note(self) -> Command:
        roll = self.chance.random()
        if roll < 0.4:
            return command("RECORD_MARKER", marker_name="m")
        if roll < 0.7:
            made = command("UPSERT_WORKFLOW_SEARCH_ATTRIBUTES")
            a = made.upsert_workflow_search_attributes_command_attributes
            a.search_attributes.indexed_fields["Mood"].CopyFrom(payload(self.chance.choice(["good", "bad"])))
            return made
        made = command("MODIFY_WORKFLOW_PROPERTIES")
        a2 = made.modify_workflow_properties_command_attributes
        a2.upserted_memo.fields["note"].CopyFrom(payload("n"))
        return made

    def _end(self, view: View) -> Command:
        roll = self.chance.random()
        if view.cancel_requested and roll < 0.6:
            return command("CANCEL_WORKFLOW_EXECUTION")
        if roll < 0.6:
            return command("COMPLETE_WORKFLOW_EXECUTION", result=payloads("done"))
        if roll < 0.8:
            return command("FAIL_WORKFLOW_EXECUTION", failure=failure("failed", final=self.chance.random() < 0.3))
        return command(
            "CONTINUE_AS_NEW_WORKFLOW_EXECUTION",
            workflow_type=WorkflowType(name="Flow"),
            task_queue=TaskQueue(name=QUEUE),
        )

    def bad_command(self) -> Command:
        """One that the server has to refuse."""
        self._counts["fault bad command"] += 1
        return self.chance.choice(
            [
                command("CANCEL_TIMER", timer_id="no such timer"),
                command("START_TIMER", timer_id=""),
                command("REQUEST_CANCEL_ACTIVITY_TASK", scheduled_event_id=100_000),
                command("SCHEDULE_ACTIVITY_TASK", activity_id=""),
            ]
        )

    # Updates.

    def answers(
        self, task: Any, open_updates: dict[str, None], *, healing: bool
    ) -> tuple[list[Message], list[Command]]:
        """Messages and their commands for updates that came with the task, and for those accepted before."""
        messages: list[Message] = []
        for came in task.messages:
            request = Request()
            if not came.body.Unpack(request):
                continue
            update_id = came.protocol_instance_id
            roll = self.chance.random()
            if roll < 0.25:
                rejection = Rejection(rejected_request_message_id=came.id, rejected_request=request)
                rejection.rejected_request_sequencing_event_id = came.event_id
                rejection.failure.CopyFrom(failure("rejected"))
                messages.append(_message(update_id, rejection))
                continue
            acceptance = Acceptance(accepted_request_message_id=came.id, accepted_request=request)
            acceptance.accepted_request_sequencing_event_id = came.event_id
            messages.append(_message(update_id, acceptance))
            open_updates[update_id] = None
        for update_id in list(open_updates):
            if healing or self.chance.random() < 0.6:
                del open_updates[update_id]
                outcome = Outcome(success=payloads("updated"))
                if self.chance.random() < 0.3:
                    outcome = Outcome(failure=failure("update failed"))
                messages.append(_message(update_id, Response(meta=Meta(update_id=update_id), outcome=outcome)))
        said = [each for each in messages if not each.body.Is(Rejection.DESCRIPTOR)]
        made = [command("PROTOCOL_MESSAGE", message_id=each.id) for each in said]
        self._counts["command PROTOCOL_MESSAGE"] += len(made)
        return messages, made


def _message(update_id: str, body: Any) -> Message:
    result = Message(id=f"{update_id}/{type(body).__name__}", protocol_instance_id=update_id)
    result.body.Pack(body)
    return result
