"""Clients: each does one thing after another, and repeats it with the same request id until it knows how that went."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.update.v1 import UpdateRef
from temporalio.api.workflowservice import v1 as api
from tests.simulation import administrators
from tests.simulation.faults import MS, S
from tests.simulation.network import DEADLINE_EXCEEDED, UNAVAILABLE
from tests.simulation.script import QUEUE, duration, payload, payloads

if TYPE_CHECKING:
    from tests.simulation.world import World

AGAIN = (UNAVAILABLE, DEADLINE_EXCEEDED, 8)
TRIES = 6
WORKFLOWS = [f"w{number}" for number in range(6)]


class Client:
    """`idle` when it waits for no answer and has nothing left to do."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.identity = f"client-{number}"
        self.known: list[WorkflowExecution] = []
        self.updates: list[UpdateRef] = []
        self.jobs: list[str] = []
        self._signals = 0
        self._left: list[Callable[[], None]] = []
        self._doing = ""

    @property
    def idle(self) -> bool:
        return not self._doing and not self._left

    @property
    def stuck(self) -> str:
        return f"{self.identity} waits for {self._doing}"

    def start(self) -> None:
        self._next()

    def _next(self) -> None:
        world = self.world
        self._doing = ""
        if self._left:
            self._left.pop(0)()
        elif not world.healing:
            weights = [weight for weight, _ in OPERATIONS]
            ((_, operation),) = world.chance.choices(OPERATIONS, weights)
            operation(self)

    def rest(self) -> None:
        chance = self.world.chance
        delay_ns = chance.choice([1, 20, 200]) * chance.randrange(MS, 20 * MS)
        self.world.after(delay_ns, self._next)

    def do(
        self,
        method: str,
        request: Any,
        then: Callable[[Any], None] | None = None,
        *,
        tries: int = TRIES,
        timeout_s: float = 10,
    ) -> None:
        """Send until there is an answer, then `then(reply)` (None: refused, or given up), then the next operation."""
        world = self.world
        self._doing = method

        def back(reply: Any, code: int, message: str) -> None:
            if code in AGAIN and tries > 1:
                again = lambda: self.do(method, request, then, tries=tries - 1, timeout_s=timeout_s)  # noqa: E731
                world.after(world.chance.randrange(100 * MS, 3 * S), again)
                return
            if then is not None:
                then(reply)
            self.rest()

        world.network.send(method, request, back, timeout_s)

    def target(self, *, run: bool | None = None) -> WorkflowExecution:
        chance = self.world.chance
        if self.known and (chance.random() < 0.4 if run is None else run):
            return chance.choice(self.known[-8:])
        return WorkflowExecution(workflow_id=chance.choice(WORKFLOWS))

    def _signal_name(self, target: str) -> str:
        self._signals += 1
        uid = f"{self.identity}/{target}-{self._signals}"
        self.world.ledger.signal_sent(uid)
        return uid

    # Operations.

    def start_workflow(self) -> None:
        request = self._start_request(api.StartWorkflowExecutionRequest())
        request.request_eager_execution = self.world.chance.random() < 0.1
        self.do("StartWorkflowExecution", request, lambda reply: self.know(request.workflow_id, reply))

    def know(self, workflow_id: str, reply: Any) -> None:
        if reply is not None:
            self.known.append(WorkflowExecution(workflow_id=workflow_id, run_id=reply.run_id))

    def _start_request(self, request: Any) -> Any:
        chance = self.world.chance
        request.namespace = "default"
        request.workflow_id = chance.choice(WORKFLOWS)
        request.workflow_type.name = "Flow"
        request.task_queue.name = QUEUE
        request.request_id = self.world.name("request-")
        request.identity = self.identity
        request.workflow_task_timeout.CopyFrom(duration(chance.choice([1, 3, 10])))
        request.workflow_id_conflict_policy = chance.choice([0, 0, 1, 2, 3])
        request.workflow_id_reuse_policy = (
            chance.choice([0, 1, 1, 2]) if request.workflow_id_conflict_policy != 3 else 1
        )
        if chance.random() < 0.15:
            request.workflow_run_timeout.CopyFrom(duration(chance.choice([3, 30, 120])))
        if chance.random() < 0.1:
            request.workflow_execution_timeout.CopyFrom(duration(chance.choice([20, 300])))
        if chance.random() < 0.2:
            request.retry_policy.initial_interval.CopyFrom(duration(chance.choice([1, 5])))
            request.retry_policy.maximum_attempts = 3
        roll = chance.random()
        if roll < 0.05:
            request.cron_schedule = "* * * * *"
        elif roll < 0.15:
            request.workflow_start_delay.CopyFrom(duration(chance.choice([1, 20])))
        if chance.random() < 0.3:
            request.search_attributes.indexed_fields["Mood"].CopyFrom(payload("good"))
        return request

    def signal(self, target: WorkflowExecution | None = None) -> None:
        target = target or self.target()
        request = api.SignalWorkflowExecutionRequest(
            namespace="default", workflow_execution=target, request_id=self.world.name("request-")
        )
        request.signal_name = self._signal_name(target.workflow_id)
        request.input.CopyFrom(payloads(request.signal_name))
        if self.world.chance.random() < 0.4:  # one that has to come behind
            self._left.append(lambda: self.signal(target))
        self.do("SignalWorkflowExecution", request)

    def signal_with_start(self) -> None:
        request = self._start_request(api.SignalWithStartWorkflowExecutionRequest())
        request.signal_name = self._signal_name(request.workflow_id)
        request.signal_input.CopyFrom(payloads(request.signal_name))
        self.do("SignalWithStartWorkflowExecution", request, lambda reply: self.know(request.workflow_id, reply))

    def cancel(self) -> None:
        request = api.RequestCancelWorkflowExecutionRequest(
            namespace="default", workflow_execution=self.target(), request_id=self.world.name("request-")
        )
        self.do("RequestCancelWorkflowExecution", request)

    def terminate(self) -> None:
        request = api.TerminateWorkflowExecutionRequest(namespace="default", workflow_execution=self.target())
        self.do("TerminateWorkflowExecution", request)

    def update(self) -> None:
        request = self._update_request(self.target())

        def then(reply: Any) -> None:
            if reply is not None and reply.update_ref.update_id:
                self.updates.append(reply.update_ref)

        self.do("UpdateWorkflowExecution", request, then, tries=3, timeout_s=self.world.chance.choice([2, 10, 30]))

    def _update_request(self, target: WorkflowExecution) -> Any:
        request = api.UpdateWorkflowExecutionRequest(namespace="default", workflow_execution=target)
        request.wait_policy.lifecycle_stage = self.world.chance.choice([2, 3])
        request.request.meta.update_id = self.world.name("update-")
        request.request.meta.identity = self.identity
        request.request.input.name = "change"
        return request

    def update_with_start(self) -> None:
        request = api.ExecuteMultiOperationRequest(namespace="default")
        start = self._start_request(api.StartWorkflowExecutionRequest())
        start.ClearField("cron_schedule")
        start.ClearField("workflow_start_delay")
        start.workflow_id_conflict_policy = 2
        start.workflow_id_reuse_policy = 1
        update = self._update_request(WorkflowExecution(workflow_id=start.workflow_id))
        request.operations.add().start_workflow.CopyFrom(start)
        request.operations.add().update_workflow.CopyFrom(update)
        self.do("ExecuteMultiOperation", request, tries=3)

    def poll_update(self) -> None:
        if not self.updates:
            self.rest()
            return
        request = api.PollWorkflowExecutionUpdateRequest(namespace="default")
        request.update_ref.CopyFrom(self.world.chance.choice(self.updates[-5:]))
        request.wait_policy.lifecycle_stage = self.world.chance.choice([0, 3])
        self.do("PollWorkflowExecutionUpdate", request, tries=2)

    def query(self) -> None:
        request = api.QueryWorkflowRequest(namespace="default", execution=self.target())
        request.query.query_type = "how"
        self.do("QueryWorkflow", request, tries=2, timeout_s=8)

    def describe(self) -> None:
        request = api.DescribeWorkflowExecutionRequest(namespace="default", execution=self.target())
        self.do("DescribeWorkflowExecution", request)

    def list(self) -> None:
        query = self.world.chance.choice(["", "", "ExecutionStatus = 'Running'", "Mood = 'good'", "WorkflowId = 'w1'"])
        self.do(
            "ListWorkflowExecutions",
            api.ListWorkflowExecutionsRequest(namespace="default", page_size=1000, query=query),
        )

    def count(self) -> None:
        self.do("CountWorkflowExecutions", api.CountWorkflowExecutionsRequest(namespace="default"))

    def history(self) -> None:
        request = api.GetWorkflowExecutionHistoryRequest(namespace="default", execution=self.target(run=True))
        request.wait_new_event = self.world.chance.random() < 0.3
        request.history_event_filter_type = self.world.chance.choice([1, 1, 2])
        request.maximum_page_size = self.world.chance.choice([0, 0, 5])
        self.do("GetWorkflowExecutionHistory", request, tries=2, timeout_s=25)

    def history_backwards(self) -> None:
        request = api.GetWorkflowExecutionHistoryReverseRequest(namespace="default", execution=self.target(run=True))
        self.do("GetWorkflowExecutionHistoryReverse", request, tries=2)

    def pause(self) -> None:
        target = self.target()
        request = api.PauseWorkflowExecutionRequest(
            namespace="default", workflow_id=target.workflow_id, run_id=target.run_id, identity=self.identity
        )
        request.request_id = self.world.name("request-")
        self.do("PauseWorkflowExecution", request, lambda reply: self._left.append(lambda: self.unpause(target)))

    def unpause(self, target: WorkflowExecution) -> None:
        request = api.UnpauseWorkflowExecutionRequest(
            namespace="default", workflow_id=target.workflow_id, run_id=target.run_id, identity=self.identity
        )
        request.request_id = self.world.name("request-")
        self.do("UnpauseWorkflowExecution", request)

    def operate_on_activity(self) -> None:
        target = self.target()
        method = self.world.chance.choice(
            ["PauseActivity", "UnpauseActivity", "ResetActivity", "UpdateActivityOptions"]
        )
        request: Any = getattr(api, f"{method}Request")(namespace="default", execution=target, type="Act")
        if method == "UpdateActivityOptions":
            request.activity_options.start_to_close_timeout.CopyFrom(duration(7))
            request.update_mask.paths.append("start_to_close_timeout")
        self.world.ledger.touch(target.workflow_id)
        self.do(method, request)

    def reset_stickiness(self) -> None:
        self.do("ResetStickyTaskQueue", api.ResetStickyTaskQueueRequest(namespace="default", execution=self.target()))

    def describe_queue(self) -> None:
        request = api.DescribeTaskQueueRequest(namespace="default", report_stats=True)
        request.task_queue.name = QUEUE
        request.task_queue_type = 1
        self.do("DescribeTaskQueue", request)

    def delete(self) -> None:
        request = api.DeleteWorkflowExecutionRequest(namespace="default", workflow_execution=self.target(run=True))
        self.do("DeleteWorkflowExecution", request)

    # The end.

    def finish_all(self) -> None:
        """Ask every open run to end."""
        for record in self.world.ledger.open_records():
            target = WorkflowExecution(workflow_id=record.who.workflow_id, run_id=record.who.run_id)
            self._left.append(lambda target=target: self.unpause(target))  # type: ignore[misc]
            if record.first.cron_schedule:
                request: Any = api.TerminateWorkflowExecutionRequest(namespace="default", workflow_execution=target)
                request.workflow_execution.run_id = ""
                self._left.append(lambda request=request: self.do("TerminateWorkflowExecution", request))  # type: ignore[misc]
                continue
            request = api.SignalWorkflowExecutionRequest(namespace="default", workflow_execution=target)
            request.signal_name = f"finish-{self.identity}/{self.world.name('f')}-1"
            request.input.CopyFrom(payloads(request.signal_name))
            request.request_id = self.world.name("request-")
            self._left.append(lambda request=request: self.do("SignalWorkflowExecution", request))  # type: ignore[misc]
        self._next()

    def delete_schedules(self) -> None:
        """Let no schedule start anything any more."""
        self._left += administrators.delete_schedules(self)
        if not self._doing:
            self._next()

    def look_at_all(self) -> None:
        """Read everything once more."""
        self._left += [lambda: self.count(), lambda: self.list()]
        for record in self.world.ledger.records.values():
            target = WorkflowExecution(workflow_id=record.who.workflow_id, run_id=record.who.run_id)
            request: Any = api.DescribeWorkflowExecutionRequest(namespace="default", execution=target)
            self._left.append(lambda request=request: self.do("DescribeWorkflowExecution", request))  # type: ignore[misc]
            request = api.GetWorkflowExecutionHistoryRequest(namespace="default", execution=target)
            self._left.append(lambda request=request: self.do("GetWorkflowExecutionHistory", request))  # type: ignore[misc]
        self._next()


OPERATIONS: list[tuple[float, Callable[[Client], None]]] = [
    (20, Client.start_workflow),
    (24, Client.signal),
    (6, Client.signal_with_start),
    (4, Client.cancel),
    (3, Client.terminate),
    (12, Client.update),
    (3, Client.update_with_start),
    (3, Client.poll_update),
    (6, Client.query),
    (4, Client.describe),
    (3, Client.list),
    (2, Client.count),
    (4, Client.history),
    (1, Client.history_backwards),
    (3, Client.pause),
    (4, Client.operate_on_activity),
    (1, Client.reset_stickiness),
    (1, Client.describe_queue),
    (2, Client.delete),
    *administrators.ADMINISTRATION,
]
