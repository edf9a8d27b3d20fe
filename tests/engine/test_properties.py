"""Random conversations, legal or not: after every step the invariants hold, and nothing interesting is out of reach."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Memo, Payload, RetryPolicy, SearchAttributes, WorkflowExecution
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest
from tests.engine import driver as d
from tests.engine.driver import Conversation

from perdure.config import Dynamic
from perdure.engine import inputs
from perdure.engine.execution import Kind
from perdure.errors import PerdureError

SWEEP = bool(os.environ.get("PERDURE_SWEEP"))
SETTINGS = settings(
    max_examples=2000 if SWEEP else 80,
    stateful_step_count=100 if SWEEP else 50,
    derandomize=not SWEEP,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
SMALL = Dynamic(
    maximum_buffered_events_batch=4,
    maximum_signals_per_execution=12,
    history_count_limit_error=150,
    history_count_suggest_continue_as_new=40,
    workflow_task_heartbeat_timeout_s=60.0,
)
"""Limits that random conversations can reach."""

RETRY = RetryPolicy(initial_interval=d.duration(2), backoff_coefficient=2, maximum_attempts=3)
FEW = st.integers(0, 2)
NAMES = st.sampled_from(["a", "b", "c"])
KINDS = st.sampled_from(list(Kind))

activities = st.builds(
    lambda name, retry, timeouts: d.schedule_activity(name, retry, **timeouts),
    NAMES,
    st.sampled_from([d.NO_RETRY, RETRY]),
    st.sampled_from(
        [
            {"start_to_close": 10},
            {"schedule_to_close": 15},
            {"start_to_close": 10, "schedule_to_start": 5},
            {"start_to_close": 30, "heartbeat": 4},
            {"start_to_close": 30, "request_eager_execution": True},
        ]
    ),
)
NULL = Payload(metadata={"encoding": b"binary/null"})
closing = st.sampled_from(
    [
        d.complete_workflow(),
        d.fail_workflow(),
        d.cancel_workflow(),
        d.continue_as_new(),
        d.continue_as_new(initiator=2, backoff_start_interval=d.duration(3)),
    ]
)
ordinary = st.one_of(
    activities,
    st.builds(d.start_timer, NAMES, st.sampled_from([1, 3, 20])),
    st.builds(d.cancel_timer, NAMES),
    st.builds(d.cancel_activity, st.integers(5, 40)),
    st.builds(lambda name, policy: d.start_child(name, parent_close_policy=policy), NAMES, st.integers(0, 3)),
    st.builds(
        lambda name: d.command(
            "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION", signal_name="s", execution=WorkflowExecution(workflow_id=name)
        ),
        NAMES,
    ),
    st.builds(lambda name: d.command("REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION", workflow_id=name), NAMES),
    st.builds(lambda name: d.command("RECORD_MARKER", marker_name=name), st.sampled_from(["a", ""])),
    st.builds(
        lambda name, value: d.command(
            "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES", search_attributes=SearchAttributes(indexed_fields={name: value})
        ),
        NAMES,
        st.sampled_from([d.payloads("x").payloads[0], NULL]),
    ),
    st.builds(
        lambda name, value: d.command("MODIFY_WORKFLOW_PROPERTIES", upserted_memo=Memo(fields={name: value})),
        NAMES,
        st.sampled_from([d.payloads("x").payloads[0], NULL]),
    ),
)
commands = st.builds(
    lambda some, end: some + end,
    st.lists(ordinary, max_size=4),
    st.sampled_from([0] * 7 + [1]).flatmap(lambda n: st.lists(closing, min_size=n, max_size=n)),
)

FAILURES = [d.application("oops"), d.application("never", non_retryable=True), d.application("later", delay_s=7)]
CLOSE_EVENTS = [
    HistoryEvent(event_type=EventType.Value(f"EVENT_TYPE_WORKFLOW_EXECUTION_{name}"))  # type: ignore[arg-type]
    for name in ("COMPLETED", "FAILED", "CANCELED", "TIMED_OUT", "TERMINATED")
]
for close_event in CLOSE_EVENTS:
    name = EventType.Name(close_event.event_type).removeprefix("EVENT_TYPE_").lower()
    getattr(close_event, f"{name}_event_attributes").SetInParent()

STARTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "child": {"parent": True},
    "retried": {"retry_policy": RETRY, "workflow_run_timeout": d.duration(60)},
    "cron": {"cron_schedule": "* * * * *", "backoff_s": 20},
    "delayed": {"backoff_s": 5, "workflow_execution_timeout": d.duration(90)},
    "timed": {"workflow_run_timeout": d.duration(30), "workflow_execution_timeout": d.duration(100)},
}

REACHED: Counter[str] = Counter()


class Talk(RuleBasedStateMachine):
    """Each rule is an input, more often than not one that makes sense."""

    @initialize(start=st.sampled_from(sorted(STARTS)))
    def begin(self, start: str) -> None:
        self.talk = Conversation(config=SMALL, **STARTS[start])
        self.tokens: list[Any] = []
        REACHED[f"start {start}"] += 1

    def say(self, action: Callable[[], Any]) -> Any:
        """Do it; a refusal is fine (the driver looks whether it left a trace)."""
        try:
            result = action()
        except PerdureError as error:
            REACHED["refused"] += 1
            REACHED[f"refused: {type(error).__name__}"] += 1
            result = None
        count(self.talk)
        if self.talk.next is not None:
            REACHED["next run"] += 1
            self.talk = self.talk.next
        return result

    def tell(self, input: inputs.Input) -> None:
        self.say(lambda: self.talk.tell(input))

    # Workflow tasks.

    @rule(sticky=st.booleans())
    def poll(self, sticky: bool) -> None:
        task = self.talk.execution.pending_workflow_task
        scheduled = task.scheduled_event_id if task is not None else 1
        self.tell(inputs.StartWorkflowTask(scheduled, "poll", d.WORKER, sticky))
        task = self.talk.execution.pending_workflow_task
        if task is not None:
            self.tokens.append(d.token(task))

    @rule(some=commands, sticky=st.booleans(), more=st.booleans(), inline=st.booleans())
    def complete(self, some: list[Command], sticky: bool, more: bool, inline: bool) -> None:
        self._answer(some, sticky, force_create_new_workflow_task=more, return_new_workflow_task=inline)

    @rule(some=commands)
    def work(self, some: list[Command]) -> None:
        self.poll(bool(self.talk.execution.core.sticky_queue))
        self._answer(some, True)

    @rule()
    def heartbeat(self) -> None:
        self._answer([], True, force_create_new_workflow_task=True, return_new_workflow_task=True)

    def _answer(self, some: list[Command], sticky: bool, **fields: Any) -> None:
        task = self.talk.execution.pending_workflow_task
        if task is None:
            return
        self.say(lambda: self.talk.complete(*some, sticky="sticky" if sticky else "", task=task, **fields))

    @rule(which=FEW)
    def complete_stale(self, which: int) -> None:
        if len(self.tokens) > which:
            request = d.RespondWorkflowTaskCompletedRequest(identity=d.WORKER)
            self.tell(inputs.CompleteWorkflowTask(*self.tokens[-1 - which], request=request))

    @rule(cause=st.sampled_from(["WORKFLOW_WORKER_UNHANDLED_FAILURE", "RESET_WORKFLOW", "UNHANDLED_COMMAND"]))
    def fail(self, cause: str) -> None:
        if self.talk.execution.pending_workflow_task is not None:
            number = WorkflowTaskFailedCause.Value(f"WORKFLOW_TASK_FAILED_CAUSE_{cause}")  # type: ignore[arg-type]
            self.say(lambda: self.talk.fail(number))

    @rule()
    def reset_stickiness(self) -> None:
        self.tell(inputs.ResetStickiness())

    @rule()
    def ensure(self) -> None:
        self.tell(inputs.EnsureWorkflowTask())

    # Time.

    @rule(seconds=st.sampled_from([0.1, 1, 5, 11, 61]))
    def advance(self, seconds: float) -> None:
        self.say(lambda: self.talk.advance(seconds))

    @rule(kind=KINDS, key=st.sampled_from(["a", "", "first-task", "5"]))
    def early_deadline(self, kind: Kind, key: str) -> None:
        self.tell(inputs.Deadline(kind, [5 if key == "5" or kind == Kind.ACTIVITY else key]))

    # Clients.

    @rule(request_id=st.sampled_from(["", "", "r1", "r2"]))
    def signal(self, request_id: str) -> None:
        self.say(lambda: self.talk.signal("hello", request_id))

    @rule()
    def cancel(self) -> None:
        self.say(lambda: self.talk.cancel())

    @rule(really=st.sampled_from([False] * 9 + [True]))
    def terminate(self, really: bool) -> None:
        if really:
            self.say(lambda: self.talk.terminate())

    @rule()
    def attach(self) -> None:
        request = StartWorkflowExecutionRequest(request_id="attached")
        request.on_conflict_options.attach_request_id = True
        self.tell(inputs.AttachRequest(request))

    # Activities.

    @rule(which=FEW)
    def start_activity(self, which: int) -> None:
        self.tell(inputs.StartActivity(self._key(Kind.ACTIVITY, which), "poll", d.WORKER))

    @rule(which=FEW, fresh=st.booleans(), by_id=st.booleans())
    def complete_activity(self, which: int, fresh: bool, by_id: bool) -> None:
        self.tell(inputs.CompleteActivity(*self._activity(which, fresh, by_id), result=d.payloads("done")))

    @rule(which=FEW, fresh=st.booleans(), failure=st.sampled_from(FAILURES))
    def fail_activity(self, which: int, fresh: bool, failure: d.Failure) -> None:
        details = d.payloads("last words")
        self.tell(inputs.FailActivity(*self._activity(which, fresh, False), failure, details))

    @rule(which=FEW, fresh=st.booleans())
    def cancel_activity(self, which: int, fresh: bool) -> None:
        self.tell(inputs.CancelActivity(*self._activity(which, fresh, False), details=None))

    @rule(which=FEW)
    def heartbeat_activity(self, which: int) -> None:
        self.tell(inputs.HeartbeatActivity(*self._activity(which, True, False), details=d.payloads("half")))

    @rule(which=FEW, request_id=st.sampled_from(["poll", "other"]))
    def release_activity(self, which: int, request_id: str) -> None:
        key = self._key(Kind.ACTIVITY, which)
        self.tell(inputs.ReleaseActivity(key, self._attempt(key), request_id))

    def _key(self, kind: Kind, which: int) -> int:
        keys = [*self.talk.execution.pending[kind], 5, 6]
        return int(keys[which % len(keys)])

    def _attempt(self, key: int) -> int:
        activity = self.talk.execution.pending[Kind.ACTIVITY].get(key)
        return activity.attempt if activity is not None else 1

    def _activity(self, which: int, fresh: bool, by_id: bool) -> tuple[int, int, str, str]:
        key = self._key(Kind.ACTIVITY, which)
        activity = self.talk.execution.pending[Kind.ACTIVITY].get(key)
        activity_id = activity.activity_id if activity is not None else "a"
        return 0 if by_id else key, self._attempt(key) + (not fresh), activity_id, d.WORKER

    # Other workflows.

    @rule(which=FEW)
    def child_started(self, which: int) -> None:
        self.tell(inputs.ChildStarted(self._key(Kind.CHILD, which), "child-run"))

    @rule(which=FEW)
    def child_start_failed(self, which: int) -> None:
        self.tell(inputs.ChildStartFailed(self._key(Kind.CHILD, which), 1))

    @rule(which=FEW, event=st.sampled_from(CLOSE_EVENTS), right=st.sampled_from([True, True, False]))
    def child_closed(self, which: int, event: HistoryEvent, right: bool) -> None:
        key = self._key(Kind.CHILD, which)
        child = self.talk.execution.pending[Kind.CHILD].get(key)
        workflow_id = child.workflow_id if child is not None and right else "wrong"
        self.tell(inputs.ChildClosed(key, workflow_id, "child-run", event))

    @rule(which=FEW, cause=st.sampled_from([0, 1]))
    def external_signaled(self, which: int, cause: int) -> None:
        self.tell(inputs.ExternalSignaled(self._key(Kind.EXTERNAL_SIGNAL, which), cause))

    @rule(which=FEW, cause=st.sampled_from([0, 1]))
    def external_canceled(self, which: int, cause: int) -> None:
        self.tell(inputs.ExternalCanceled(self._key(Kind.EXTERNAL_CANCEL, which), cause))

    @rule(which=FEW)
    def settled(self, which: int) -> None:
        if not self.talk.execution.running:
            self.tell(inputs.Settled(Kind.CHILD, self._key(Kind.CHILD, which)))
            self.tell(inputs.Settled(Kind.FOLLOW_UP, "report"))


def count(talk: Conversation) -> None:
    """Remember what this step was about."""
    task = talk.execution.pending_workflow_task
    REACHED["step"] += 1
    REACHED["buffered events"] += bool(talk.buffered)
    REACHED["unwritten task"] += task is not None and task.attempt > 1
    REACHED["unwritten task started"] += task is not None and task.attempt > 1 and task.started_ns > 0
    REACHED["task with a longer timeout"] += task is not None and task.attempt > 3
    REACHED["sticky task"] += task is not None and task.sticky
    REACHED["suggested to continue as new"] += task is not None and task.suggest_continue_as_new
    activities = talk.execution.pending[Kind.ACTIVITY].values()
    REACHED["activity waits for its next attempt"] += any(a.next_attempt_ns for a in activities)
    REACHED["closed with children owed"] += not talk.execution.running and bool(talk.execution.pending[Kind.CHILD])
    for _, data in talk.decision.history:
        REACHED.update(d.short(event.event_type) for event in d.History.FromString(data).events)


NEVER_HERE = {
    "WorkflowExecutionUpdate",
    "WorkflowExecutionPaused",
    "Nexus",
    "ActivityProperties",
    "WorkflowPropertiesModifiedExternally",
}


def test_random_conversations() -> None:
    """The state is what the events say, nothing is lost, and what is refused leaves no trace. See `invariants`."""
    REACHED.clear()
    run_state_machine_as_test(Talk, settings=SETTINGS)
    print("\nreached:", dict(sorted(REACHED.items())))
    from perdure.engine.apply import _BY_NAME

    wanted = {d.short(EventType.Value(f"EVENT_TYPE_{name}")) for name in _BY_NAME}  # type: ignore[arg-type]
    wanted |= {f"start {name}" for name in STARTS}
    wanted |= {"buffered events", "unwritten task", "unwritten task started", "task with a longer timeout"}
    wanted |= {"sticky task", "suggested to continue as new", "activity waits for its next attempt"}
    wanted |= {"closed with children owed", "next run", "refused"}
    assert not {name for name in wanted if not REACHED[name]}, "out of reach"
