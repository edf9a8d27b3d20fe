"""The model of schedules and batch jobs: what is durable of them, and what may not be found there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from temporalio.api.schedule.v1 import Schedule
from temporalio.api.workflowservice.v1 import StartBatchOperationRequest

from perdure.engine import entity
from perdure.engine.batch import JobCore
from perdure.engine.execution import Kind
from perdure.engine.schedule import shown
from perdure.engine.schedule.state import ScheduleCore, Start
from perdure.storage.base import RunChange

if TYPE_CHECKING:
    from tests.simulation.ledger import Ledger
    from tests.simulation.records import Record

LONG_S = 36_000
"""A catch-up window that nothing here is too late for."""
RUNNING = 1
CANCEL_OTHER, TERMINATE_OTHER, ALLOW_ALL = 4, 5, 6
S = 1_000_000_000
TRIGGER_EPOCH_S, TRIGGER_STEP_S = 1_000_000_000, 60
BACKFILLED = range(800_000_000, 900_000_000, 1_000)
"""When backfills begin, in seconds, and how far from one another."""
_TIMESTAMP = "2010-01-01T00:00:00Z"
"""Actions that are not taken by hand have nominal times behind it."""
NO_SIGNALS = "/no signals"
"""How the reason of a reset ends that applies no signals again."""


class Life:
    """One life of a schedule, from its creation to its end."""

    def __init__(self, core: ScheduleCore) -> None:
        self.core = core
        self.definitions: list[Schedule] = []
        self.meddled = False
        """Somebody wanted to pause or to change it."""
        self.owed: dict[str, None] = {}
        """Ids of workflows that were promised to be started, whatever else runs."""
        self.running: set[str] = set()
        """First run ids of what it started and may not overlap."""
        self.action_count = 0
        self.tokens = {core.conflict_token}

    @property
    def over(self) -> bool:
        return self.core.status != RUNNING

    @property
    def plain(self) -> bool:
        """Every time of it is acted on."""
        definition = self.definitions[0]
        return (
            not (self.meddled or self.over or self.core.limited_actions or self.core.paused)
            and len(self.definitions) == 1
            and definition.policies.overlap_policy == ALLOW_ALL
            and not definition.policies.pause_on_failure
            and definition.policies.catchup_window.seconds >= LONG_S
            and self.regular
        )

    @property
    def regular(self) -> bool:
        """Whether its times are multiples of one interval."""
        spec = self.definitions[0].spec
        return not (spec.structured_calendar or spec.cron_string or spec.HasField("jitter"))

    @property
    def single(self) -> bool:
        """Whether no two of its workflows may be open at once."""
        return all(each.policies.overlap_policy != ALLOW_ALL for each in self.definitions)

    @property
    def stops_others(self) -> bool:
        """Whether its actions end what runs: those that are due at the same time are then not even begun, as in the
        real server, whatever their own policy."""
        policy = self.definitions[0].policies.overlap_policy
        return policy in (CANCEL_OTHER, TERMINATE_OTHER)

    def workflow_ids(self, after_ns: int, until_ns: int) -> list[str]:
        """Of the workflows to be started at regular times."""
        (interval,) = self.definitions[0].spec.interval
        every_ns, phase_ns = interval.interval.ToNanoseconds(), interval.phase.ToNanoseconds()
        first_ns = ((after_ns - phase_ns) // every_ns + 1) * every_ns + phase_ns
        return [self.workflow_id(at_ns) for at_ns in range(first_ns, until_ns + 1, every_ns)]

    def workflow_id(self, at_ns: int) -> str:
        start = Start(nominal_ns=at_ns, actual_ns=at_ns, manual=False, single=False)
        return shown.start_request(self.core, self.definitions[0], start, "").workflow_id


class Job:
    """A batch job."""

    def __init__(self, core: JobCore, open_before: list[Record]) -> None:
        self.core = core
        self.request = StartBatchOperationRequest()
        self.open_before = open_before

    def concerns(self, record: Record) -> bool:
        """Whether an execution that was open all the time has to have the operation."""
        query = self.request.visibility_query
        if query:
            wanted = query.split("'")[1]
            return wanted in (record.who.workflow_id, record.first.workflow_type.name)
        who = record.who
        return any(
            each.workflow_id == who.workflow_id and each.run_id == who.run_id for each in self.request.executions
        )


class Entities:
    """All of them. Part of the ledger, which tells it what becomes durable and what is replied."""

    def __init__(self, ledger: Ledger, complain: Callable[[str], None], counts: Counter[str]) -> None:
        self._ledger = ledger
        self._complain = complain
        self._counts = counts
        self.lives: dict[int, Life] = {}
        self.jobs: dict[int, Job] = {}
        self._by_action: dict[str, Life] = {}
        self._started: Counter[str] = Counter()
        self._meddled: set[str] = set()
        self._changed: list[Life] = []
        self._job_ids: set[str] = set()
        self.run_ids: set[str] = set()

    # What is durable.

    def written(self, change: RunChange) -> None:
        """A change of an entity, before those of runs in the same batch."""
        if change.core is None:
            return
        core = entity.load(change.run_key, change.core).core
        self.run_ids.add(core.run_id)
        if isinstance(core, ScheduleCore):
            self._written_schedule(change, core)
        elif isinstance(core, JobCore):
            self._written_job(change, core)

    def _written_schedule(self, change: RunChange, core: ScheduleCore) -> None:
        life = self.lives.get(change.run_key)
        if life is None:
            life = self.lives[change.run_key] = Life(core)
            life.meddled = core.workflow_id in self._meddled
        if life.over and core.status == RUNNING:
            self._complain(f"schedule {core.workflow_id} comes back")
        if core.action_count < life.core.action_count or core.processed_ns < life.core.processed_ns:
            self._complain(f"schedule {core.workflow_id} goes back")
        life.core = core
        life.tokens.add(core.conflict_token)
        row = change.pending.get((Kind.SCHEDULE, ""))
        if row is not None:
            definition = Schedule.FromString(entity.load_item(Kind.SCHEDULE, row.blob).schedule)  # type: ignore[attr-defined]
            life.definitions.append(definition)
            self._by_action[definition.action.start_workflow.workflow_id] = life
        self._changed.append(life)

    def _written_job(self, change: RunChange, core: JobCore) -> None:
        job = self.jobs.get(change.run_key)
        if job is None:
            job = self.jobs[change.run_key] = Job(core, self._ledger.open_records())
            self._job_ids.add(core.workflow_id)
        row = change.pending.get((Kind.BATCH, ""))
        if row is not None:
            job.request.MergeFromString(entity.load_item(Kind.BATCH, row.blob).request)  # type: ignore[attr-defined]
        before, job.core = job.core, core
        if core.succeeded < before.succeeded or core.failed < before.failed:
            self._complain(f"batch job {core.workflow_id} goes back")
        if core.succeeded + core.failed > core.total and core.counted and core.page_token == b"":
            self._counts["reached more targets than were counted"] += 1

    def started(self, record: Record, attributes: Any) -> None:
        """A workflow has begun: did a schedule start it?"""
        fields = attributes.search_attributes.indexed_fields
        if "TemporalScheduledById" not in fields or attributes.first_execution_run_id != record.who.run_id:
            return
        workflow_id = record.who.workflow_id
        life = self._by_action.get(workflow_id[: -len(_TIMESTAMP) - 1])
        if life is None or json.loads(fields["TemporalScheduledById"].data) != life.core.workflow_id:
            self._complain(f"{record.name}: no schedule is known to have started it")
            return
        self._counts["reached scheduled start"] += 1
        self._started[workflow_id] += 1
        if self._started[workflow_id] > 1:
            self._complain(f"schedule {life.core.workflow_id} started {workflow_id} twice")
        life.action_count += 1
        if life.single and workflow_id[-len(_TIMESTAMP) :] > _TIMESTAMP:  # not by hand
            others = [each for each in life.running if self._chain_is_open(each)]
            if others:
                self._complain(f"{record.name}: {others} of the same schedule still run")
            life.running = {*others, record.who.run_id}

    def _chain_is_open(self, first_run_id: str) -> bool:
        """Whether a workflow goes on. One that a reset brought back from its end is no longer the schedule's."""
        return any(
            not record.end and not self._ledger.came_back(record)
            for record in self._ledger.records.values()
            if record.first is not None and record.first.first_execution_run_id == first_run_id
        )

    def settled(self) -> None:
        """All changes of a batch were told."""
        for life in self._changed:
            if life.action_count != life.core.action_count:
                self._complain(
                    f"schedule {life.core.workflow_id} counts {life.core.action_count} actions, "
                    f"and {life.action_count} were taken"
                )
        self._changed.clear()
        for key, job in list(self.jobs.items()):
            if job.core.status == 2 and not job.core.failed and job.request.HasField("signal_operation"):
                self._check_signaled(job)
            if job.core.status != RUNNING:
                self._counts[f"reached batch job that ended as {job.core.status}"] += 1
                del self.jobs[key]

    def _check_signaled(self, job: Job) -> None:
        name = job.request.signal_operation.signal
        for record in job.open_before:
            if record.end or record.deleted or not job.concerns(record):
                continue
            if name not in record.signals and all(name != each for _, each in record.buffered.values()):
                record.complain(f"batch job {job.core.workflow_id} has left it out")

    # What was asked and told.

    def meddled(self, schedule_id: str) -> None:
        """Somebody asks for a pause or a change: its times are no longer what they were, now or when the request
        arrives."""
        self._meddled.add(schedule_id)
        for life in self.lives.values():
            life.meddled = life.meddled or life.core.workflow_id == schedule_id

    def _lives(self, schedule_id: str) -> list[Life]:
        return [life for life in self.lives.values() if life.core.workflow_id == schedule_id]

    def replied(self, method: str, request: Any, reply: Any) -> None:
        check = getattr(self, f"_{method}", None)
        if check is not None:
            check(request, reply)

    def _CreateSchedule(self, request: Any, reply: Any) -> None:
        if not any(life.core.create_request_id == request.request_id for life in self._lives(request.schedule_id)):
            self._complain(f"schedule {request.schedule_id} was acknowledged and is not durable")

    def _UpdateSchedule(self, request: Any, reply: Any) -> None:
        self._life_that_knows(request)

    def _PatchSchedule(self, request: Any, reply: Any) -> None:
        life = self._life_that_knows(request)
        if life is None or life.meddled or len(life.definitions) > 1 or life.stops_others:
            return
        patch = request.patch
        trigger = patch.trigger_immediately
        if patch.HasField("trigger_immediately") and trigger.overlap_policy == ALLOW_ALL:
            life.owed[life.workflow_id(trigger.scheduled_time.seconds * S)] = None
        for backfill in patch.backfill_request:
            if backfill.overlap_policy == ALLOW_ALL and life.regular:
                start_ns, end_ns = backfill.start_time.seconds * S, backfill.end_time.seconds * S
                life.owed |= dict.fromkeys(life.workflow_ids(start_ns - 1, end_ns))

    def _life_that_knows(self, request: Any) -> Life | None:
        for life in self._lives(request.schedule_id):
            if request.request_id in life.core.requests:
                return life
        self._complain(f"schedule {request.schedule_id}: {request.request_id} was acknowledged and is not durable")
        return None

    def _DeleteSchedule(self, request: Any, reply: Any) -> None:
        if not any(life.over for life in self._lives(request.schedule_id)):
            self._complain(f"schedule {request.schedule_id} was said to be deleted and is not")

    def _DescribeSchedule(self, request: Any, reply: Any) -> None:
        token = int.from_bytes(reply.conflict_token, "big")
        lives = [life for life in self._lives(request.schedule_id) if token in life.tokens]
        if not any(reply.info.action_count <= life.core.action_count for life in lives):
            self._complain(f"schedule {request.schedule_id} was shown as it is not durable")
        for each in reply.info.recent_actions:
            if each.start_workflow_result.run_id not in self._ledger.by_run_id:
                self._complain(f"schedule {request.schedule_id} shows an action that is not durable")

    def _StartBatchOperation(self, request: Any, reply: Any) -> None:
        if request.job_id not in self._job_ids:
            self._complain(f"batch job {request.job_id} was acknowledged and is not durable")

    def _StopBatchOperation(self, request: Any, reply: Any) -> None:
        if any(job.core.workflow_id == request.job_id and job.core.status == RUNNING for job in self.jobs.values()):
            self._complain(f"batch job {request.job_id} was said to be stopped and goes on")

    # Quiet points.

    def snapshot(self) -> list[str]:
        """Ids of the schedules that there are."""
        return sorted(life.core.workflow_id for life in self.lives.values() if not life.over)

    def check_listing(self, shown: list[str], before: list[str]) -> None:
        if before == self.snapshot() and before != sorted(shown):
            self._complain(f"schedules {shown} are listed, and there are {before}")

    def check_count(self, number: int, before: list[str]) -> None:
        if before == self.snapshot() and number != len(before):
            self._complain(f"{number} schedules are counted, and there are {len(before)}")

    def lost(self, until_ns: int) -> list[str]:
        """What schedules should have started by then, and have not."""
        found = []
        for life in self.lives.values():
            wanted = list(life.owed) if not life.over and not life.meddled else []
            if life.plain:
                wanted += life.workflow_ids(life.core.start_ns, until_ns)
            missing = [each for each in wanted if not self._started[each]]
            if missing:
                found.append(f"schedule {life.core.workflow_id} has not started {missing[:3]}")
            self._counts["reached scheduled times that were checked"] += len(wanted)
        return found

    def busy(self) -> list[str]:
        """Jobs that are not over."""
        return [f"batch job {job.core.workflow_id} goes on" for job in self.jobs.values()]
