"""Worker processes as an SDK would run them: they poll, think, answer, and die, stall, repeat themselves or err."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from temporalio.api.enums.v1 import QueryResultType, TaskQueueKind
from temporalio.api.query.v1 import WorkflowQueryResult
from temporalio.api.taskqueue.v1 import StickyExecutionAttributes, TaskQueue
from temporalio.api.workflowservice import v1 as api
from tests.simulation.faults import MS, S
from tests.simulation.network import DEADLINE_EXCEEDED, UNAVAILABLE, Exchange
from tests.simulation.policies import words
from tests.simulation.script import QUEUE, Script, View, duration, failure, payloads

if TYPE_CHECKING:
    from tests.simulation.world import World

AGAIN = (UNAVAILABLE, DEADLINE_EXCEEDED)
POLL_S = 70.0
TRIES = 4


class Worker:
    """One process at a time: after a death a new one, with another name, takes its place."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.life = 0
        self.alive = False
        self.script = Script(world.chance, world.name, world.counts)
        self._exchanges: dict[Exchange, None] = {}
        self._cache: dict[str, View] = {}

    @property
    def identity(self) -> str:
        return f"worker-{self.number}-{self.life}"

    # Life.

    def start(self) -> None:
        if self.alive:
            return
        self.alive = True
        self.life += 1
        for _ in range(2):
            self._poll_workflow(sticky=False)
            self._poll_activity()
        self._poll_workflow(sticky=True)

    def die(self) -> None:
        """Nobody answers for it any more; its connection breaks."""
        self.world.note(f"{self.identity} dies")
        self.alive = False
        self.life += 1
        self._cache.clear()
        exchanges, self._exchanges = self._exchanges, {}
        for exchange in exchanges:
            exchange.forget()
        self._later(self.world.chance.randrange(100 * MS, 20 * S), self.start, any_life=True)

    def revive(self) -> None:
        self.start()

    def _later(self, delay_ns: int, what: Callable[[], object], *, any_life: bool = False) -> None:
        life = self.life

        def go() -> None:
            if any_life or life == self.life:
                what()

        self.world.after(delay_ns, go)

    def _send(
        self, method: str, request: Any, answered: Callable[[Any, int, str], None], timeout_s: float = 10
    ) -> None:
        life = self.life

        def back(reply: Any, code: int, message: str) -> None:
            self._exchanges.pop(exchange, None)
            if life == self.life:
                answered(reply, code, message)

        exchange = self.world.network.send(method, request, back, timeout_s)
        self._exchanges[exchange] = None

    def _insist(self, method: str, request: Any, answered: Callable[[Any], None], tries: int = TRIES) -> None:
        """Send until there is an answer; None after too many tries or a refusal."""

        def back(reply: Any, code: int, message: str) -> None:
            if code in AGAIN and tries > 1:
                self._later(
                    self.world.chance.randrange(50 * MS, 2 * S),
                    lambda: self._insist(method, request, answered, tries - 1),
                )
            else:
                answered(reply)

        self._send(method, request, back)
        if self.world.faults.happens("twice"):
            delay_ns = self.world.chance.choice([0, 5 * MS, 12 * S])
            self._later(delay_ns, lambda: self._send(method, request, lambda *_: None))

    # Workflow tasks.

    def _poll_workflow(self, *, sticky: bool) -> None:
        request = api.PollWorkflowTaskQueueRequest(namespace="default", identity=self.identity)
        if sticky:
            request.task_queue.name = f"sticky-{self.identity}"
            request.task_queue.kind = TaskQueueKind.TASK_QUEUE_KIND_STICKY
            request.task_queue.normal_name = QUEUE
        else:
            request.task_queue.name = QUEUE

        def back(reply: Any, code: int, message: str) -> None:
            delay_ns = self.world.chance.randrange(50 * MS, S) if reply is None else MS
            self._later(delay_ns, lambda: self._poll_workflow(sticky=sticky))
            if reply is not None and reply.task_token:
                self._take(reply)

        self._send("PollWorkflowTaskQueue", request, back, POLL_S)

    def _take(self, task: Any) -> None:
        world, faults = self.world, self.world.faults
        if faults.happens("die"):
            self.die()
            return
        delay_ns = world.chance.randrange(MS, world.chance.choice([60, 60, 60, 1500]) * MS)
        if faults.happens("stall"):
            delay_ns = world.chance.randrange(S, 25 * S)
        self._later(delay_ns, lambda: self._think(task))

    def _think(self, task: Any) -> None:
        if task.HasField("query"):
            request = api.RespondQueryTaskCompletedRequest(namespace="default", task_token=task.task_token)
            request.completed_type = QueryResultType.QUERY_RESULT_TYPE_ANSWERED
            request.query_result.CopyFrom(payloads("answer"))
            self._insist("RespondQueryTaskCompleted", request, lambda reply: None)
            return
        events = task.history.events
        view = self._cache.pop(task.workflow_execution.run_id, None)
        first = events[0].event_id if events else 0
        if first == 1 and not task.next_page_token:
            view = View()
        elif view is None or first != view.last + 1 or task.next_page_token:
            self._fetch(task)
            return
        view.see(events)
        self._answer(task, view)

    def _fetch(self, task: Any) -> None:
        """The history was for somebody who remembers: read all of it."""
        self.world.counts["reached history read by a worker"] += 1
        request = api.GetWorkflowExecutionHistoryRequest(namespace="default", execution=task.workflow_execution)

        def back(reply: Any) -> None:
            if reply is None or reply.next_page_token:
                self._fail(task)
                return
            view = View()
            view.see(event for event in reply.history.events if event.event_id <= task.started_event_id)
            self._answer(task, view)

        self._insist("GetWorkflowExecutionHistory", request, back)

    def _fail(self, task: Any) -> None:
        request = api.RespondWorkflowTaskFailedRequest(
            namespace="default", task_token=task.task_token, identity=self.identity, failure=failure("a bug")
        )
        self._insist("RespondWorkflowTaskFailed", request, lambda reply: None)

    def _answer(self, task: Any, view: View) -> None:
        world = self.world
        if world.faults.happens("misbehave"):
            if world.chance.random() < 0.5:
                self._fail(task)
                return
            made, messages = [self.script.bad_command()], []
        else:
            messages, made = self.script.answers(task, view.updates, healing=world.healing)
            made += (
                []
                if world.settling
                else self.script.commands(
                    view, healing=world.healing, workflow_ids=[f"w{number}" for number in range(6)]
                )
            )
        request = api.RespondWorkflowTaskCompletedRequest(
            namespace="default", task_token=task.task_token, identity=self.identity, commands=made, messages=messages
        )
        request.capabilities.discard_speculative_workflow_task_with_events = True
        request.return_new_workflow_task = world.chance.random() < 0.3
        request.force_create_new_workflow_task = not world.healing and world.chance.random() < 0.04
        for query_id in task.queries:
            answer = WorkflowQueryResult(result_type=QueryResultType.QUERY_RESULT_TYPE_ANSWERED, answer=payloads("a"))
            request.query_results[query_id].CopyFrom(answer)
        if world.chance.random() < 0.7:
            queue = TaskQueue(name=f"sticky-{self.identity}", kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY)
            queue.normal_name = QUEUE
            sticky = StickyExecutionAttributes(worker_task_queue=queue, schedule_to_start_timeout=duration(5))
            request.sticky_attributes.CopyFrom(sticky)

        def back(reply: Any) -> None:
            if reply is None:
                return
            if not reply.reset_history_event_id:
                view.last = task.started_event_id
                self._cache[task.workflow_execution.run_id] = view
            if reply.HasField("workflow_task") and reply.workflow_task.task_token:
                self._take(reply.workflow_task)
            for activity in reply.activity_tasks:
                self._perform(activity)

        self._insist("RespondWorkflowTaskCompleted", request, back)

    # Activities.

    def _poll_activity(self) -> None:
        request = api.PollActivityTaskQueueRequest(namespace="default", identity=self.identity)
        request.task_queue.name = QUEUE

        def back(reply: Any, code: int, message: str) -> None:
            delay_ns = self.world.chance.randrange(50 * MS, S) if reply is None else MS
            self._later(delay_ns, self._poll_activity)
            if reply is not None and reply.task_token:
                self._perform(reply)

        self._send("PollActivityTaskQueue", request, back, POLL_S)

    def _perform(self, task: Any) -> None:
        world, faults = self.world, self.world.faults
        if faults.happens("die"):
            self.die()
            return
        delay_ns = world.chance.randrange(MS, 500 * MS)
        if faults.happens("stall"):
            delay_ns = world.chance.randrange(S, 30 * S)
        roll = 1.0 if world.healing else world.chance.random()
        if roll < 0.25:
            self._later(delay_ns, lambda: self._heartbeat(task, world.chance.randrange(1, 4)))
        else:
            self._later(delay_ns, lambda: self._finish_activity(task, canceled=False))

    def _heartbeat(self, task: Any, left: int) -> None:
        if self.world.chance.random() < 0.2:
            request: Any = api.RecordActivityTaskHeartbeatByIdRequest(namespace="default", identity=self.identity)
            self._by_id(request, task)
            method = "RecordActivityTaskHeartbeatById"
        else:
            request = api.RecordActivityTaskHeartbeatRequest(namespace="default", task_token=task.task_token)
            method = "RecordActivityTaskHeartbeat"
        request.details.CopyFrom(payloads(words("beat", task.activity_id, task.attempt)))

        def back(reply: Any) -> None:
            if reply is None:
                return
            if reply.cancel_requested:
                self._finish_activity(task, canceled=True)
            elif left > 1:
                delay_ns = self.world.chance.randrange(50 * MS, 2 * S)
                self._later(delay_ns, lambda: self._heartbeat(task, left - 1))
            else:
                self._finish_activity(task, canceled=False)

        self._insist(method, request, back)

    def _by_id(self, request: Any, task: Any) -> None:
        request.workflow_id = task.workflow_execution.workflow_id
        request.run_id = task.workflow_execution.run_id
        request.activity_id = task.activity_id

    def _finish_activity(self, task: Any, *, canceled: bool) -> None:
        world = self.world
        fails = not canceled and not world.healing and world.chance.random() < 0.3
        what = "Canceled" if canceled else "Failed" if fails else "Completed"
        method = f"RespondActivityTask{what}"
        if world.chance.random() < (0.5 if canceled else 0.15):
            method += "ById"
        request: Any = getattr(api, f"{method}Request")(namespace="default", identity=self.identity)
        if method.endswith("ById"):
            self._by_id(request, task)
        else:
            request.task_token = task.task_token
        if fails:
            request.failure.CopyFrom(failure("mishap", final=world.chance.random() < 0.1))
        elif not canceled:
            request.result.CopyFrom(payloads(words("result", task.activity_id, task.attempt)))
        self._insist(method, request, lambda reply: None)
