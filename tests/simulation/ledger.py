"""The model: what was promised, what is durable, and whether the two agree.

It sees every batch that becomes durable and every reply that leaves the server. `complain` takes what may not be.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.simulation import policies, resets
from tests.simulation.entities import Entities
from tests.simulation.records import NAMES, Record

from perdure.engine.execution import Kind
from perdure.engine.machines.workflow import COMPLETED_MESSAGE
from perdure.rpc import tokens
from perdure.storage.base import Batch, RunChange

OWED = (Kind.FOLLOW_UP, Kind.SCHEDULED)
"""What a closed run may still owe others."""
OPEN_STATUSES = (1, 8)
"""Running and paused."""
_NAMED_RUN = re.compile(r"\bRunId: ([0-9a-f-]{36})")
_NONE = ((-1, 0), 0, b"")
EARLIER = "reached a restart at an earlier time"
LONG_NS = 30_000_000_000
"""Longer than any answer is on its way out of the server."""


class Ledger:
    """See the module's text. `now_ns` is the server's time, `passed_ns` what passes; `counts` takes what occurs."""

    def __init__(
        self,
        complain: Callable[[str], None],
        now_ns: Callable[[], int],
        passed_ns: Callable[[], int],
        counts: Counter[str],
    ) -> None:
        self._complain = complain
        self._now_ns = now_ns
        self._passed_ns = passed_ns
        self._counts = counts
        self.records: dict[int, Record] = {}
        self.by_run_id: dict[str, Record] = {}
        self.by_workflow: dict[str, list[Record]] = {}
        self.deleted: set[str] = set()
        self.latest_ns = 0
        """The latest time that a process of the server has seen before it crashed."""
        self.epoch = 0
        """Grows when memory may have lost what it knew: at a crash, or when a commit failed."""
        self._handed: dict[tuple[str, int, int], tuple[int, bytes]] = {}
        self._latest: dict[str, tuple[tuple[int, int], int, bytes]] = {}
        """By run: ((epoch, when the workflow task was started), when it was handed out, its token) of the newest."""
        self._handed_activities: dict[tuple[str, int], int] = {}
        self._beaten: dict[tuple[str, int], int] = {}
        """The first attempt of an activity of which a heartbeat was acknowledged: later ones get the details."""
        self._accepted: Counter[bytes] = Counter()
        self._not_before: dict[tuple[str, int], tuple[int, int]] = {}
        self._touched: set[tuple[str, str]] = set()
        self._run_ids: dict[str, str] = {}
        self._sent: dict[str, int] = {}
        self._acknowledged: dict[str, tuple[int, Record]] = {}
        self._clock = 0
        self._started_by: dict[str, str] = {}
        self._children: dict[tuple[str, int], str] = {}
        self._reports_by_way_of: dict[str, set[str]] = {}
        """Of a run that a reset made, those to which its children report, who pass it on as long as they are there."""
        self.entities = Entities(self, complain, counts)
        self.batch_resets: set[tuple[str, str]] = set()
        self._reset_by: dict[str, str] = {}

    # What is durable.

    def written(self, batch: Batch) -> None:
        for change in batch.runs.values():
            if self.records.get(change.run_key) is None:
                self.entities.written(change)
        born = [record for change in batch.runs.values() if (record := self._written(change)) is not None]
        for record in born:
            event = resets.beginning(record)
            if event is not None:
                self._counts["reached reset"] += 1
                resets.check(self, record, event)
            siblings = self.by_workflow[record.who.workflow_id]
            if sum(not each.end and not each.deleted for each in siblings) > 1:
                record.complain("two runs of its workflow id are open")
        self.entities.settled()

    def _written(self, change: RunChange) -> Record | None:
        """A change of a run. Returns the run if it began."""
        record, born = self.records.get(change.run_key), None
        if change.delete:
            if record is not None:
                record.deleted = True
                self.deleted.add(record.who.run_id)
                del self.records[change.run_key]
            return None
        if change.insert is not None:
            if "/" in change.insert.namespace_id:
                return None
            record = born = self.records[change.run_key] = Record(
                change.run_key, change.insert, self._complain, self._is_workflow_touched, self._is_set_back
            )
            record.begun_ns = self._passed_ns()
            self.by_run_id[change.insert.run_id] = record
            self.by_workflow.setdefault(change.insert.workflow_id, []).append(record)
        if record is None:
            return None
        for event in record.write(change):
            self._count(record, event)
        if record.end and not record.ended_ns:
            record.ended_ns = self._passed_ns()
        return born

    def came_back(self, record: Record) -> bool:
        """Whether the workflow had ended once before a reset made the run, or one that it continues."""
        at: Record | None = record
        while at is not None and not at.reset_from:
            at = self.by_run_id.get(at.first.continued_execution_run_id)
        return at is not None and at.brought_back

    def take_over_children(self, from_run_id: str, to_run_id: str, before_event_id: int) -> None:
        """A reset was made: the children that had been initiated before are those of the new run, too."""
        for (run_id, number), child in list(self._children.items()):
            if run_id == from_run_id and number < before_event_id:
                self._children.setdefault((to_run_id, number), child)
                self._reports_by_way_of[to_run_id] = {from_run_id, *self._reports_by_way_of.get(from_run_id, ())}

    def _is_set_back(self) -> bool:
        return self._counts[EARLIER] > 0

    def _is_workflow_touched(self, workflow_id: str) -> bool:
        return (workflow_id, "") in self._touched or ("", "") in self._touched

    def _count(self, record: Record, event: Any) -> None:
        name = NAMES[event.event_type]
        self._counts[f"event {name}"] += 1
        if name == "WORKFLOW_EXECUTION_SIGNALED":
            self._check_order(record, event.workflow_execution_signaled_event_attributes.signal_name)
        elif name == "WORKFLOW_EXECUTION_STARTED":
            self.entities.started(record, event.workflow_execution_started_event_attributes)
            self._check_birth(record, event.workflow_execution_started_event_attributes)
        elif name == "ACTIVITY_TASK_STARTED":
            self._check_activity(record, event.activity_task_started_event_attributes)

    def _check_order(self, record: Record, uid: str) -> None:
        """A signal that was acknowledged before the next one was sent comes before it."""
        who, _, number = uid.rpartition("-")
        acknowledged, by = self._acknowledged.get(uid, (0, None))
        if by is not record:  # a repeat may reach a later run
            return
        for other in record.signals[: record.signals.index(uid)]:
            other_who, _, other_number = other.rpartition("-")
            if other_who == who and int(other_number) > int(number) and acknowledged < self._sent.get(other, 0):
                record.complain(f"signal {uid} comes behind {other}, which was sent later")

    def _check_birth(self, record: Record, attributes: Any) -> None:
        parent = attributes.parent_workflow_execution.run_id
        first = attributes.first_execution_run_id == record.who.run_id
        if not parent or not first or attributes.continued_execution_run_id:
            return
        key = (parent, attributes.parent_initiated_event_id)
        if key in self._children:
            record.complain(f"its parent's event {key[1]} had started {self._children[key]} before")
        self._children[key] = record.name

    def _check_activity(self, record: Record, attributes: Any) -> None:
        handed = self._handed_activities.get((record.who.run_id, attributes.scheduled_event_id), 0)
        if attributes.attempt < handed and not self._is_touched(record, attributes.scheduled_event_id):
            record.complain(f"attempt {attributes.attempt} is told of, and {handed} was handed out")

    # What was asked.

    def tick(self) -> int:
        self._clock += 1
        return self._clock

    def signal_sent(self, uid: str) -> None:
        self._sent.setdefault(uid, self.tick())

    def touch(self, workflow_id: str, activity_id: str = "") -> None:
        """Somebody operates on activities of this workflow: their attempts and backoff are no longer what they were."""
        self._touched.add((workflow_id, ""))

    def _is_touched(self, record: Record, scheduled: int) -> bool:
        return self._is_workflow_touched(record.who.workflow_id)

    # What was told. `arrived_ns` is when the request came in.

    def replied(self, method: str, request: Any, reply: Any, arrived_ns: int) -> None:
        check = getattr(self, f"_{method}", None)
        if check is not None:
            check(request, reply, arrived_ns)
        self.entities.replied(method, request, reply)

    def refused(self, method: str, request: Any, message: str) -> None:
        """A refusal may name a run, or say that one has ended: that is durable, too."""
        for run_id in _NAMED_RUN.findall(message):
            if run_id not in self.entities.run_ids:
                self._record(run_id)
        who = getattr(request, "workflow_execution", None)
        if message == COMPLETED_MESSAGE and who is not None:
            runs = self.by_workflow.get(who.workflow_id, ())
            if runs and not any(run.end or run.deleted for run in runs if who.run_id in ("", run.who.run_id)):
                self._complain(f"{method}: {who.workflow_id} was said to be completed, and is durably open")

    def _record(self, run_id: str) -> Record | None:
        record = self.by_run_id.get(run_id)
        if record is None:
            self._complain(f"run {run_id} was told of and is not durable")
        return record

    def _PollWorkflowTaskQueue(self, request: Any, reply: Any, arrived_ns: int) -> None:
        if not reply.task_token:
            return
        record = self._record(reply.workflow_execution.run_id)
        if record is None or record.deleted:
            return
        record.check_served(reply.history.events, "a worker")
        if reply.HasField("query"):
            self._counts["reached direct query"] += 1
            return
        self._counts["reached query with a task"] += bool(reply.queries)
        self._counts["reached task of a sticky worker"] += bool(
            reply.history.events and reply.history.events[0].event_id > 1
        )
        self._counts["reached unwritten task"] += reply.attempt > 1
        token = tokens.decode(tokens.WorkflowTaskToken, reply.task_token)
        if record.end and self._passed_ns() - record.ended_ns > LONG_NS:
            record.complain(f"task {token.scheduled_event_id} was handed out behind the end")
        key = (token.run_id, token.scheduled_event_id, token.attempt)
        epoch, before = self._handed.get(key, (-1, b""))
        eager = "request_eager_execution" in request.DESCRIPTOR.fields_by_name and before == reply.task_token
        if epoch == self.epoch and not eager:
            record.complain(f"workflow task {key[1:]} was handed out twice")
        self._handed[key] = (self.epoch, reply.task_token)
        latest, _, _ = self._latest.get(token.run_id, _NONE)
        if (self.epoch, token.started_ns) >= latest:  # an earlier one may still have been on its way out
            self._latest[token.run_id] = ((self.epoch, token.started_ns), self._now_ns(), reply.task_token)

    def _RespondWorkflowTaskCompleted(self, request: Any, reply: Any, arrived_ns: int) -> None:
        token = tokens.decode(tokens.WorkflowTaskToken, request.task_token)
        record = self._record(token.run_id)
        if record is None:
            return
        self._accept(record, request.task_token, f"workflow task {token.scheduled_event_id}")
        _, handed_ns, latest = self._latest.get(token.run_id, _NONE)
        if latest != request.task_token and handed_ns < arrived_ns:
            record.complain(f"a stale completion of workflow task {token.scheduled_event_id} was accepted")
        if reply.HasField("workflow_task") and reply.workflow_task.task_token:
            self._PollWorkflowTaskQueue(request, reply.workflow_task, arrived_ns)
        for task in reply.activity_tasks:
            self._counts["reached eager activity"] += 1
            self._PollActivityTaskQueue(request, task, arrived_ns)
        self._handed.pop((token.run_id, token.scheduled_event_id, token.attempt), None)
        if reply.reset_history_event_id or not (record.last_started or request.commands):
            self._counts["reached task discarded"] += 1
            return
        if record.deleted:
            return
        if record.ended_as.get(token.scheduled_event_id) != "WORKFLOW_TASK_COMPLETED":
            record.complain(f"workflow task {token.scheduled_event_id} was acknowledged and is not completed")

    def _RespondWorkflowTaskFailed(self, request: Any, reply: Any, arrived_ns: int) -> None:
        token = tokens.decode(tokens.WorkflowTaskToken, request.task_token)
        record = self._record(token.run_id)
        if record is not None:
            self._accept(record, request.task_token, f"workflow task {token.scheduled_event_id}")

    def _accept(self, record: Record, token: bytes, what: str) -> None:
        self._accepted[token] += 1
        if self._accepted[token] > 1:
            record.complain(f"two answers to {what} were accepted")

    def _PollActivityTaskQueue(self, request: Any, reply: Any, arrived_ns: int) -> None:
        if not reply.task_token:
            return
        token = tokens.decode(tokens.ActivityTaskToken, reply.task_token)
        record = self._record(token.run_id)
        if record is None or record.deleted or self._is_touched(record, token.scheduled_event_id):
            return
        key = (token.run_id, token.scheduled_event_id)
        handed = self._handed_activities.get(key, 0)
        if token.attempt <= handed:
            record.complain(f"attempt {token.attempt} of activity {key[1]} was handed out, and {handed} before")
        self._handed_activities[key] = token.attempt
        if record.attempts.get(key[1], 1) < token.attempt:
            record.complain(f"attempt {token.attempt} of activity {key[1]} is not durable")
        attempt, not_before_ns = self._not_before.get(key, (0, 0))
        early_ns = not_before_ns - max(self._now_ns(), self.latest_ns)
        if attempt == token.attempt and early_ns > 0:
            record.complain(f"attempt {attempt} of activity {key[1]} began {early_ns} ns early")
        beaten = self._beaten.get(key, 0)
        if reply.HasField("heartbeat_details") or 0 < beaten < token.attempt:
            policies.check_payload(record, reply.heartbeat_details, "beat", reply.activity_id, token.attempt)
        maximum = reply.retry_policy.maximum_attempts
        if maximum and token.attempt > maximum:
            record.complain(f"attempt {token.attempt} of activity {key[1]}, which may have {maximum}")

    def _activity_ended(self, request: Any, kind: str) -> None:
        token = tokens.decode(tokens.ActivityTaskToken, request.task_token)
        record = self._record(token.run_id)
        if record is None:
            return
        if not self._is_touched(record, token.scheduled_event_id):
            self._accept(record, request.task_token, f"attempt {token.attempt} of activity {token.scheduled_event_id}")
        latest = self._handed_activities.get((token.run_id, token.scheduled_event_id), 0)
        if latest > token.attempt and not self._is_touched(record, token.scheduled_event_id):
            record.complain(
                f"a stale answer to attempt {token.attempt} of activity {token.scheduled_event_id} was accepted"
            )
        if kind != "FAILED" and not record.deleted:
            name = record.ended_as.get(token.scheduled_event_id, "")
            waits = any(each == f"ACTIVITY_TASK_{kind}" for each, _ in record.buffered.values())
            if name != f"ACTIVITY_TASK_{kind}" and not waits:
                record.complain(f"activity {token.scheduled_event_id} was acknowledged as {kind} and is not: {name}")

    def _RecordActivityTaskHeartbeat(self, request: Any, reply: Any, arrived_ns: int) -> None:
        token = tokens.decode(tokens.ActivityTaskToken, request.task_token)
        self._beaten.setdefault((token.run_id, token.scheduled_event_id), token.attempt)

    def _RespondActivityTaskCompleted(self, request: Any, reply: Any, arrived_ns: int) -> None:
        self._activity_ended(request, "COMPLETED")

    def _RespondActivityTaskCanceled(self, request: Any, reply: Any, arrived_ns: int) -> None:
        self._activity_ended(request, "CANCELED")

    def _RespondActivityTaskFailed(self, request: Any, reply: Any, arrived_ns: int) -> None:
        self._activity_ended(request, "FAILED")
        token = tokens.decode(tokens.ActivityTaskToken, request.task_token)
        record = self.by_run_id[token.run_id]
        _, event = record.open.get(token.scheduled_event_id, ("", None))
        if event is None:
            return
        policy = event.activity_task_scheduled_event_attributes.retry_policy
        not_before_ns = arrived_ns + policies.interval_ns(policy, token.attempt)
        self._not_before[token.run_id, token.scheduled_event_id] = (token.attempt + 1, not_before_ns)

    def _StartWorkflowExecution(self, request: Any, reply: Any, arrived_ns: int) -> None:
        record = self._record(reply.run_id)
        if record is None:
            return
        if not reply.started:
            return
        if record.reset_from:
            return
        known = self._started_by.setdefault(request.request_id, reply.run_id)
        runs = self.by_workflow[record.who.workflow_id]
        if known != reply.run_id and known not in self.deleted and runs[runs.index(record) - 1].who.run_id == known:
            record.complain(f"the repeat of a start that had begun {known}")
        if reply.HasField("eager_workflow_task"):
            self._PollWorkflowTaskQueue(request, reply.eager_workflow_task, arrived_ns)

    def _ResetWorkflowExecution(self, request: Any, reply: Any, arrived_ns: int) -> None:
        record = self._record(reply.run_id)
        if record is None:
            return
        known = self._reset_by.setdefault(request.request_id, reply.run_id)
        runs = self.by_workflow[record.who.workflow_id]
        if known != reply.run_id and known not in self.deleted and runs[runs.index(record) - 1].who.run_id == known:
            record.complain(f"the repeat of a reset that had made {known}")

    def _SignalWithStartWorkflowExecution(self, request: Any, reply: Any, arrived_ns: int) -> None:
        record = self._record(reply.run_id)
        if record is not None:
            self._check_signal(request.workflow_id, request.signal_name)

    def _SignalWorkflowExecution(self, request: Any, reply: Any, arrived_ns: int) -> None:
        self._check_signal(request.workflow_execution.workflow_id, request.signal_name)

    def _check_signal(self, workflow_id: str, uid: str) -> None:
        for record in self.by_workflow.get(workflow_id, ()):
            if record.deleted or uid in record.signals or any(uid == each for _, each in record.buffered.values()):
                self._acknowledged.setdefault(uid, (self.tick(), record))
                return
        self._complain(f"{workflow_id}: signal {uid} was acknowledged and is not durable")

    def _TerminateWorkflowExecution(self, request: Any, reply: Any, arrived_ns: int) -> None:
        self._check_told(request, "WORKFLOW_EXECUTION_TERMINATED")

    def _RequestCancelWorkflowExecution(self, request: Any, reply: Any, arrived_ns: int) -> None:
        self._check_told(request, "WORKFLOW_EXECUTION_CANCEL_REQUESTED")

    def _check_told(self, request: Any, name: str) -> None:
        workflow_id = request.workflow_execution.workflow_id
        for record in self.by_workflow.get(workflow_id, ()):
            if record.deleted or record.end or name in record.names:
                return
            if any(name == each for each, _ in record.buffered.values()):
                return
        self._complain(f"{workflow_id}: {name} was acknowledged and is not durable")

    def _UpdateWorkflowExecution(self, request: Any, reply: Any, arrived_ns: int) -> None:
        self._check_update(reply)

    def _PollWorkflowExecutionUpdate(self, request: Any, reply: Any, arrived_ns: int) -> None:
        self._check_update(reply)

    def _check_update(self, reply: Any) -> None:
        if reply.stage < 2 or not reply.update_ref.workflow_execution.run_id:
            return
        record = self._record(reply.update_ref.workflow_execution.run_id)
        if record is None or record.deleted:
            return
        update_id = reply.update_ref.update_id
        accepted = record.updates[update_id, "ACCEPTED"]
        rejected = reply.outcome.HasField("failure") and not accepted
        if not accepted and not rejected:
            record.complain(f"update {update_id} was said to be accepted and is not")
        if reply.HasField("outcome") and not rejected:
            if update_id not in record.outcomes:
                if not record.end:
                    record.complain(f"the outcome of update {update_id} is not durable")
            elif record.outcomes[update_id] != reply.outcome.SerializeToString(deterministic=True):
                record.complain(f"update {update_id} has two outcomes")

    def _GetWorkflowExecutionHistory(self, request: Any, reply: Any, arrived_ns: int) -> None:
        run_id = request.execution.run_id
        record = self.by_run_id.get(run_id)
        if record is not None and not record.deleted:
            record.check_served(reply.history.events, "a client")

    # Listings are checked against what was durable when they were asked for.

    def snapshot(self) -> dict[str, int]:
        return {record.who.run_id: record.status for record in self.records.values()}

    def check_listing(self, reply: Any, before: dict[str, int], *, whole: bool) -> None:
        shown = {each.execution.run_id: each.status for each in reply.executions}
        for run_id, status in shown.items():
            record = self.by_run_id.get(run_id)
            if record is None:
                self._complain(f"run {run_id} is listed and not durable")
            elif before.get(run_id, status) not in (*OPEN_STATUSES, status) or (
                before.get(run_id) == record.status != status
            ):
                record.complain(f"it is listed as {status}, and is {record.status}")
        missing = [run_id for run_id in before if run_id not in shown and run_id not in self.deleted] if whole else []
        if missing:
            self._complain(f"runs {missing} are not listed")

    def check_count(self, number: int, before: dict[str, int]) -> None:
        if before == self.snapshot() and number != len(before):
            self._complain(f"{number} runs are counted, and there are {len(before)}")

    def check_description(self, reply: Any, before: dict[str, int]) -> None:
        info = reply.workflow_execution_info
        record = self.by_run_id.get(info.execution.run_id)
        if record is None:
            self._complain(f"run {info.execution.run_id} is described and not durable")
        elif before.get(info.execution.run_id) == record.status != info.status:
            record.complain(f"it is described as {info.status}, and is {record.status}")

    # Quiet points.

    def open_records(self) -> list[Record]:
        return [record for record in self.records.values() if not record.end]

    def overdue(self, limit_ns: int) -> list[str]:
        """Durable items whose time came before `limit_ns` and that nobody has looked at."""
        return [
            f"{record.name}: {Kind(kind).name} {key} is overdue"
            for record in self.records.values()
            for (kind, key), row in record.pending.items()
            if row.due_ns is not None and row.due_ns < limit_ns
        ]

    def unreported(self, limit_ns: int) -> list[str]:
        """Children that have ended for good and whose open parents do not know. A report that was due only after
        `limit_ns` may still be under way."""
        ends: dict[str, list[Record]] = {}
        for record in self.records.values():
            ends.setdefault(record.first.first_execution_run_id, []).append(record)
        found = []
        for parent in self.open_records():
            if self._reports_by_way_of.get(parent.who.run_id, set()) & self.deleted:
                continue
            heard = parent.heard_of_children()
            for number, (what, _) in parent.open.items():
                child = self._children.get((parent.who.run_id, number)) if what == "child" else None
                chain = ends.get(child.rpartition("/")[2], []) if child else []
                if number in heard or any(record.reports_since(limit_ns) for record in chain):
                    continue
                if chain and all(record.end and not record.gave_way for record in chain):
                    found.append(f"{parent.name}: child {child} has ended, and event {number} has not")
        return found

    def busy(self) -> list[str]:
        """What open runs still wait for, apart from the limits of their own lives, and what closed ones owe."""
        return [
            f"{record.name}: {Kind(kind).name} {key} waits"
            for record in self.records.values()
            for (kind, key), row in record.pending.items()
            if (row.due_ns is not None or row.queue is not None)
            and (kind in OWED if record.end else kind != Kind.LIFETIME)
        ] + self.entities.busy()
